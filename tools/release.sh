#!/usr/bin/env bash
# release.sh PLATFORMS BUILD-FLAG...: fills dist/ with a binary for each of the
# platforms, a software bill of materials and SHA256SUMS. The same commit gives
# the same bytes on any Linux machine with the same Go. Wants VERSION and TOOLS.
set -euo pipefail
platforms=$1
shift

# What a machine may be set to, and what would change the bytes.
export CGO_ENABLED=0 GOFLAGS= GOEXPERIMENT= GOAMD64=v1 GOARM64=v8.0

rm -rf dist
mkdir -p dist
for platform in $platforms; do
	os=${platform%/*} arch=${platform#*/}
	echo "release: $os/$arch"
	GOOS=$os GOARCH=$arch go build "$@" -o "dist/cloister-$os-$arch" ./cmd/cloister
done
# One bill for all platforms: what the Linux binary holds, read from it.
"$TOOLS/cyclonedx-gomod" bin -json -noserial -notimestamp -std -version "$VERSION" \
	-output dist/cloister.cdx.json dist/cloister-linux-amd64
cd dist
sha256sum cloister* >SHA256SUMS
cat SHA256SUMS
