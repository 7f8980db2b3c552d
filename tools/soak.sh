#!/usr/bin/env bash
# The tests with their large counts. Prints what make soak puts into
# docs/benchmarks.md.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
record=$(mktemp) # what tests say of their large counts
trap 'rm -f "$log" "$record"' EXIT
SECONDS=0
if ! CLOISTER_SOAK=1 CLOISTER_SOAK_RECORD="$record" go test -count=1 -timeout 24h ./... >"$log" 2>&1; then
	tail -n 100 "$log" >&2
	echo "soak: the tests failed" >&2
	exit 1
fi
echo "date    $(date -u +%Y-%m-%d)"
echo "commit  $(git rev-parse HEAD)$([[ -z $(git status --porcelain) ]] || echo ' with changes')"
printf 'tests with CLOISTER_SOAK=1 passed in %dm%02ds\n' $((SECONDS / 60)) $((SECONDS % 60))
sort "$record"
