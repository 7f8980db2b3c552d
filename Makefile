# The default target lists the others.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

export GOTOOLCHAIN := local

# A release is named by its tag; anything else by the nearest tag and the commit.
VERSION ?= $(shell git describe --tags --match 'v*' --dirty --abbrev=12 2>/dev/null || echo v0.1.0-dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

BUILD_FLAGS := -trimpath -buildvcs=false \
	-ldflags '-s -w -buildid= -X cloister/cli.version=$(VERSION) -X cloister/cli.commit=$(COMMIT)'

PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

# Built tools; go.mod in tools/ pins them.
TOOLS  ?= $(CURDIR)/.cache/bin
VENV   := .venv
PYTHON ?= python3

FUZZTIME ?= 8m
# The inputs that each fuzz target runs in a soak.
SOAK_RUNS ?= 10000000
SOAK_ONLY ?= .
# Arguments of test/bench: -only SETS, -write docs/benchmarks.md, ...
BENCH ?=
# Arguments of test/bench/broker, likewise.
BENCH_BROKER ?=

##@ Use
.PHONY: build
build: ## Build bin/cloister, a static binary
	@mkdir -p bin
	CGO_ENABLED=0 go build $(BUILD_FLAGS) -o bin/cloister ./cmd/cloister

.PHONY: quickstart
quickstart: build ## Train on real data and look at the result
	@examples/quickstart.sh

##@ Check
.PHONY: test
test: test-go test-peers ## Run all tests, against LightGBM too; installs what it needs

.PHONY: test-go
test-go: ## Run the tests that need Go alone
	go test ./...
	cd tools && go test ./...

.PHONY: test-peers
test-peers: build venv ## Run the tests against LightGBM and the like
	CLOISTER_PYTHON='$(CURDIR)/$(VENV)/bin/python' CLOISTER_BINARY='$(CURDIR)/bin/cloister' \
		go test -count=1 -tags peers -timeout 30m ./test/peers/...

.PHONY: venv
venv: ## Install the Python peers into .venv, each pinned by hash
	@tools/venv.sh '$(PYTHON)' '$(VENV)'

.PHONY: lint
lint: lint-tool ## Check style, layering and reproducible arithmetic
	"$(TOOLS)/golangci-lint" run
	go vet -tags cloudkms ./trust/broker/vault/protector/cloudkms
	cd tools && "$(TOOLS)/golangci-lint" run --config ../.golangci.yml
	go mod tidy -diff
	cd tools && go mod tidy -diff
	cd tools && go run ./fma -dir ..
	cd tools && go run ./links -dir ..
	cd tools && go run ./threats -dir ..
	for script in $$(git ls-files '*.sh' .ci/run); do bash -n "$$script"; done

.PHONY: format
format: lint-tool ## Format the Go files
	"$(TOOLS)/golangci-lint" fmt
	cd tools && "$(TOOLS)/golangci-lint" fmt --config ../.golangci.yml

.PHONY: race
race: ## Run the tests under the race detector
	CGO_ENABLED=1 go test -race -timeout 30m ./...

.PHONY: fips
fips: ## Run the tests of attestation and the broker in Go's FIPS 140-3 mode
	GODEBUG=fips140=on go test ./trust/...

.PHONY: fuzz
fuzz: ## Fuzz every target, FUZZTIME (8m) in all
	cd tools && go run ./fuzz -dir .. -total $(FUZZTIME)

.PHONY: arm64
arm64: ## Run the reproducibility tests on arm64 (emulated elsewhere)
	tools/arm64.sh

.PHONY: bench
bench: build venv bench-broker ## Measure beside LightGBM; BENCH='-only dense' and the like choose what
	go run ./test/bench -python '$(CURDIR)/$(VENV)/bin/python' -cloister '$(CURDIR)/bin/cloister' $(BENCH)

.PHONY: bench-broker
bench-broker: ## Measure the key broker; BENCH_BROKER='-only release' and the like choose what
	go run ./test/bench/broker $(BENCH_BROKER)

.PHONY: bench-go
bench-go: ## Run the benchmarks of Go's packages
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: soak
soak: ## Run tests with their large counts and long fuzzing; hours
	cd tools && go run ./block -dir .. -file docs/benchmarks.md -name soak -always -- tools/soak.sh
	$(MAKE) soak-fuzz

.PHONY: soak-fuzz
soak-fuzz: ## Run SOAK_RUNS inputs of each fuzz target that SOAK_ONLY matches
	cd tools && go run ./fuzz -dir .. -runs $(SOAK_RUNS) -only '$(SOAK_ONLY)' -record ../docs/benchmarks.md

##@ Make
.PHONY: generate
generate: build ## Write everything that is generated
	go generate ./...
	go run ./cli/gendocs docs/reference
	cd tools && go run ./block -dir .. -file README.md -name 'quickstart output' -- \
		examples/quickstart.sh

.PHONY: peers-lock
peers-lock: ## Pin the Python peers by hash
	tools/lock.sh '$(PYTHON)'

.PHONY: release
release: sbom-tool ## Build dist/: reproducible binaries, checksums, SBOM
	@TOOLS='$(TOOLS)' VERSION='$(VERSION)' tools/release.sh '$(PLATFORMS)' $(BUILD_FLAGS)

.PHONY: version
version: ## Print the version that a build gets
	@echo '$(VERSION)'

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin dist .cache

.PHONY: lint-tool
lint-tool:
	@mkdir -p "$(TOOLS)"
	cd tools && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$(TOOLS)/" github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: sbom-tool
sbom-tool:
	@mkdir -p "$(TOOLS)"
	cd tools && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$(TOOLS)/" github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
