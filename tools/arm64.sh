#!/usr/bin/env bash
# arm64.sh: runs the engine's reproducibility tests (TestReproducible…,
# TestBits…) compiled for arm64, and trains the example with the amd64 and the
# arm64 binary and compares the models' bytes. On another architecture the arm64
# programs run in QEMU's user mode emulation.
set -euo pipefail
cd "$(dirname "$0")/.."

run=()
if [[ $(uname -m) != aarch64 ]]; then
	if ! command -v qemu-aarch64-static >/dev/null; then
		if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
			echo "arm64: qemu-aarch64-static is missing on this machine; install it (Debian: apt-get install qemu-user-static) and run again" >&2
			exit 1
		fi
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends qemu-user-static
	fi
	run=(qemu-aarch64-static)
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0
pattern='^Test(Reproducible|Bits)'

# The packages with such a test.
go test -list "$pattern" ./engine/... | awk '/^Test/ {n = 1} /^ok/ {if (n) print $2; n = 0}' >"$work/packages"
if [[ ! -s $work/packages ]]; then
	echo "arm64: no test in ./engine/... is called TestReproducible… or TestBits…" >&2
	exit 1
fi
logged() { "$@" </dev/null >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }; }
while read -r package; do
	echo "arm64: $package"
	GOARCH=arm64 go test -c -o "$work/test" "$package"
	folder=$(go list -f '{{.Dir}}' "$package")
	logged env -C "$folder" "${run[@]}" "$work/test" -test.run "$pattern" -test.timeout 20m -test.v
	grep '^--- ' "$work/log"
done <"$work/packages"

for arch in amd64 arm64; do
	GOARCH=$arch go build -trimpath -buildvcs=false -o "$work/cloister-$arch" ./cmd/cloister
done
on_amd64=()
[[ $(uname -m) == x86_64 ]] || on_amd64=(qemu-x86_64-static)
train() {
	local model=$1 threads=$2
	shift 2
	logged "$@" train config=examples/breast_cancer/train.conf "num_threads=$threads" "output_model=$work/$model.$threads"
}
for threads in 1 3; do
	train amd64 $threads "${on_amd64[@]}" "$work/cloister-amd64"
	train arm64 $threads "${run[@]}" "$work/cloister-arm64"
done
# The model says where it was written and with how many threads; its trees must agree.
for model in arm64.1 amd64.3 arm64.3; do
	for file in amd64.1 $model; do
		sed -e '/^\[output_model: /d' -e '/^\[num_threads: /d' "$work/$file" >"$work/$file.trees"
	done
	cmp "$work/amd64.1.trees" "$work/$model.trees"
done
echo "arm64: the example's model is the same on amd64 and arm64, with 1 and 3 threads"
