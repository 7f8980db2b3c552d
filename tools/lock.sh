#!/usr/bin/env bash
# lock.sh PYTHON: writes test/peers/*.txt from test/peers/*.in: every package,
# those that they need included, with the hashes of all its files.
set -euo pipefail
cd "$(dirname "$0")/../test/peers"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$1" -m venv "$work"
"$work/bin/pip" install --quiet --disable-pip-version-check pip-tools==7.6.2
for name in build requirements; do
	env -u PIP_FIND_LINKS "$work/bin/pip-compile" --quiet --generate-hashes --allow-unsafe --strip-extras \
		--no-header --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--output-file $name.txt $name.in
done
