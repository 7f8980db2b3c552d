#!/usr/bin/env bash
# soak.sh RUNS: the tests with their large counts, then RUNS inputs of every
# fuzz target. Prints what make soak puts into docs/benchmarks.md.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=$1

log=$(mktemp)
trap 'rm -f "$log"' EXIT
step() {
	local name=$1
	shift
	SECONDS=0
	if ! "$@" >"$log" 2>&1; then
		tail -n 100 "$log" >&2
		echo "soak: $name failed" >&2
		exit 1
	fi
	printf '%-40s passed in %dm%02ds\n' "$name" $((SECONDS / 60)) $((SECONDS % 60))
}

echo "date    $(date -u +%Y-%m-%d)"
echo "commit  $(git rev-parse HEAD)$([[ -z $(git status --porcelain) ]] || echo ' with changes')"
step "tests with CLOISTER_SOAK=1" env CLOISTER_SOAK=1 go test -count=1 -timeout 24h ./...
step "fuzzing, $runs inputs a target" go -C tools run ./fuzz -dir .. -runs "$runs"
