# One command per task; `make help` lists them.

CARGO ?= cargo

# Namespace tests need root. Anybody else gets a user namespace in which they are root.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo unshare --user --map-root-user --)

# Programs that tests and demo start, each with its Debian package.
PROGRAMS := ip:iproute2 nft:nftables ping:iputils-ping nsenter:util-linux setpriv:util-linux \
	ssh:openssh-client sshd:openssh-server faketime:faketime \
	iperf3:iperf3 initdb:postgresql curl:curl jq:jq python3:python3 openssl:openssl git:git cc:gcc cmake:cmake

# The browser and the judge of units are for tests alone: a demo does not fail for want of them.
FOR_TESTS := chromium:chromium chromedriver:chromium-driver systemd-analyze:systemd
demo bench bench-idle: FOR_TESTS :=

# The fuzzer of the API is a Python program: it lives in an environment of its own.
SCHEMATHESIS := target/schemathesis/bin/schemathesis

.DEFAULT_GOAL := help
.PHONY: help demo test test-code test-long fuzz fuzz-api lint fmt tidy bench bench-idle bench-group deps

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: deps ## Build, lay a site with group service and members on this machine, and use it
	$(CARGO) build -p warren-node -p warren-group -p xtask
	$(AS_ROOT) $${CARGO_TARGET_DIR:-target}/debug/xtask demo

test: deps tidy lint test-code ## Install what tests need, then run all checks and tests

test-code: ## Run the tests only; one of them: make test-code TEST=ns_lab
	$(AS_ROOT) $(CARGO) test --workspace $(TEST)

test-long: deps $(SCHEMATHESIS) ## Run the tests that take minutes; one of them: make test-long TEST=sim_churn
	$(AS_ROOT) $(CARGO) test --workspace $(TEST) -- --ignored

fuzz: ## Try 10 million mutated messages per format and node; another number: make fuzz N=1000
	WARREN_HOSTILE_ITERATIONS=$(or $(N),10000000) $(CARGO) test -p warren-proto \
		--test hostile --test hostile_node -- --nocapture
	@echo "libFuzzer goes on where this ends: with nightly Rust and cargo-fuzz,"
	@echo "  cargo +nightly fuzz list    and    cargo +nightly fuzz run wire_control"

$(SCHEMATHESIS):
	python3 -m venv target/schemathesis || { \
		echo "missing, please install the Debian package: python3-venv" >&2; exit 1; }
	target/schemathesis/bin/pip install --quiet --disable-pip-version-check schemathesis==4.32.5

fuzz-api: deps $(SCHEMATHESIS) ## Try requests made from the API's description; more tries: make fuzz-api N=1000
	WARREN_FUZZ_API=$(or $(N),30) $(CARGO) test -p warren-group --test served \
		ns_wb_01_the_api_holds -- --ignored --nocapture

lint: ## Check format and lints, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

fmt: ## Format the code
	$(CARGO) fmt --all

tidy: ## Check what compiler and lints do not: headers, file sizes, the table of tests
	$(CARGO) xtask tidy

bench: deps ## TCP through the VPN beside the bare link; results go to docs/benchmarks
	$(CARGO) build --release -p warren-node -p xtask
	$(AS_ROOT) $${CARGO_TARGET_DIR:-target}/release/xtask bench throughput

bench-idle: deps ## Traffic and memory of 100 idle members, 20 minutes; results go to docs/benchmarks
	$(CARGO) build --release -p warren-node -p xtask
	$(AS_ROOT) $${CARGO_TARGET_DIR:-target}/release/xtask bench idle

bench-group: deps ## Enrolments at the group service on SQLite; results go to docs/benchmarks
	$(CARGO) xtask bench group

deps: ## Install the Debian packages that tests and demo need, where missing
	@export PATH="$$PATH:/usr/sbin:/sbin:$$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)"; \
	missing() { for entry in $(PROGRAMS) $(FOR_TESTS); do \
		command -v "$${entry%%:*}" >/dev/null || echo "$${entry##*:}"; done | sort -u | xargs; }; \
	packages="$$(missing)"; \
	[ -n "$$packages" ] || exit 0; \
	if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	if command -v apt-get >/dev/null && { [ -z "$$sudo" ] || command -v sudo >/dev/null; }; then \
		echo "installing: $$packages"; \
		export DEBIAN_FRONTEND=noninteractive; \
		install() { $$sudo apt-get install -y -qq --no-install-recommends "$$@"; }; \
		$$sudo apt-get update -qq; \
		install $$packages || for package in $$packages; do install $$package; done; \
	fi; \
	packages="$$(missing)"; \
	[ -z "$$packages" ] || { \
		echo "missing, please install the Debian packages or their like: $$packages" >&2; exit 1; }
	@$(AS_ROOT) true || { \
		echo "no root and no user namespaces: run as root, or allow them" \
			"(sysctl kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu)" >&2; exit 1; }
	@[ -w /dev/net/tun ] || { \
		echo "cannot open /dev/net/tun: run as root, or \`chmod 0666 /dev/net/tun\`" >&2; exit 1; }
