# Everything that is done to this repository, as make targets. `make help` lists them.
# Needs a Rust toolchain (rust-version in Cargo.toml), Python 3, and crates.io and PyPI.

# LOCKED=--locked makes a change of Cargo.lock an error, as in CI.
LOCKED ?=
CARGO ?= cargo
ENVOY_VERSION ?= $(shell cat envoy/VERSION)
FUZZ_SECONDS ?= 60
# What builds the container image, and what that is called.
DOCKER ?= docker
IMAGE ?= wasmplugin:envoy-$(ENVOY_VERSION)

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
DEV := $(TARGET)/debug

# Test files that start or read real Envoys and need the module built; `check` leaves them out.
ENVOY_TESTS := abi cli_run conformance e2e examples failures failures_many hostile hostile_neighbours hostile_process life panics reload reload_load routes sdks signatures soak sources
# Needs valgrind, and takes its time.
COUNTING_TESTS := instructions
PLAIN_TESTS := $(filter-out $(ENVOY_TESTS) $(COUNTING_TESTS),$(basename $(notdir $(wildcard tests/*.rs))))

GUESTS := $(wildcard examples/*/Cargo.toml)

DOC := --no-deps --document-private-items
# Private items are documented, so links to them work.
DOC_FLAGS := -D warnings -A rustdoc::private_intra_doc_links

.DEFAULT_GOAL := help
.PHONY: help build dev demo run test-build test test-guests check e2e lint doc fuzz bench bench-keep plugins envoy image ci clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Release build: target/release/libwasmplugin.so and target/release/wasmplugin
	$(CARGO) build --workspace --release $(LOCKED)

dev: ## Development build of both crates, as demo and run use it
	$(CARGO) build --workspace $(LOCKED)

demo: dev ## Start a real Envoy with the example plugins, send requests, show what each plugin did
	envoy=$$(envoy/fetch.sh $(ENVOY_VERSION)) && \
	    python3 examples/demo.py --envoy "$$envoy" --module-dir $(DEV)

run: dev ## As demo, but keep serving until Ctrl-C
	envoy=$$(envoy/fetch.sh $(ENVOY_VERSION)) && \
	    python3 examples/demo.py --envoy "$$envoy" --module-dir $(DEV) --keep

# As dev, with the features that dependencies have in tests: otherwise cargo builds wasmtime twice.
test-build:
	$(CARGO) build --workspace --lib --bins --tests --examples $(LOCKED)

test: test-build test-guests ## Everything that must pass: unit, golden and end-to-end tests on real Envoys
	$(CARGO) test --workspace $(LOCKED)

# What can be tested of the guests without WebAssembly.
test-guests:
	for guest in $(GUESTS); do \
	    $(CARGO) test --manifest-path $$guest --target-dir $(TARGET)/guests $(LOCKED) || exit; \
	done

check: ## Quick loop without Envoy: format, clippy, unit and golden tests
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets $(LOCKED) -- -D warnings
	$(CARGO) test --workspace --lib --bins $(addprefix --test ,$(PLAIN_TESTS)) $(LOCKED)

e2e: test-build ## The tests that need real Envoys (TEST=name selects)
	$(CARGO) test $(addprefix --test ,$(ENVOY_TESTS)) $(LOCKED) -- $(TEST)

lint: ## Format, lints and the dependencies' licences and advisories; warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets $(LOCKED) -- -D warnings
	.ci/deny

fuzz: ## Fuzz each target for FUZZ_SECONDS=60 under AddressSanitizer (FUZZ=name selects)
	fuzz/run $(FUZZ_SECONDS) $(FUZZ)

doc: ## API documentation; warnings are errors
	RUSTDOCFLAGS="$(DOC_FLAGS)" $(CARGO) doc -p wasmplugin-host --lib $(DOC) $(LOCKED)
	RUSTDOCFLAGS="$(DOC_FLAGS)" $(CARGO) doc -p wasmplugin-envoy $(DOC) $(LOCKED)

bench: ## The performance report: side by side with Envoy's own Wasm filter, then each layer (QUICK=1)
	$(CARGO) build --workspace --release $(LOCKED)
	$(CARGO) test --test allocations $(LOCKED)
	ulimit -n $$(ulimit -Hn) && envoy=$$(envoy/fetch.sh $(ENVOY_VERSION)) && \
	    $(TARGET)/release/side-by-side --envoy "$$envoy" --modules $(TARGET)/release \
	    --out $(TARGET)/bench $(if $(QUICK),--quick)
	$(CARGO) bench --bench host $(LOCKED) -- $(if $(QUICK),--quick)

bench-keep: ## Keep the last report in benches/results, and put its tables into the README
	cp $(TARGET)/bench/report.json benches/results/run.json
	$(TARGET)/release/side-by-side --summarize benches/results/run.json \
	    --readme README.md --out benches/results

plugins: ## Rebuild the example and fixture guests from source
	examples/build.sh

envoy: ## Print the path of a real Envoy, fetched on first use (ENVOY_VERSION selects)
	@envoy/fetch.sh $(ENVOY_VERSION)

image: ## Container image of Envoy with the module (IMAGE=name, DOCKER=podman)
	@$(DOCKER) info >/dev/null 2>&1 || { \
	    echo "make image: '$(DOCKER)' is not there or does not answer; DOCKER=podman and the like name another" >&2; \
	    exit 1; }
	$(DOCKER) build --file envoy/Dockerfile --build-arg ENVOY_VERSION=$(ENVOY_VERSION) --tag $(IMAGE) .

ci: lint doc test ## What CI runs

clean: ## Remove everything built or fetched
	$(CARGO) clean
	rm -rf target
