# What there is to type. Everything that a target needs is installed or built by it; Debian packages by apt-get, as
# root or through sudo.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
.NOTPARALLEL:

CARGO ?= cargo
# A Go that is too old fetches the one it needs.
GO := GOTOOLCHAIN=auto go
# Properties are tried on the same inputs in every run; `make test PROPTEST_RNG_SEED=7 PROPTEST_CASES=5000` searches on.
export PROPTEST_RNG_SEED ?= 1137
# Command that must be there, and the Debian package that has it.
NEEDED := cc:gcc ld:binutils curl:curl git:git protoc:protobuf-compiler containerd:containerd runc:runc crun:crun \
	nft:nftables ip:iproute2 conntrack:conntrack /usr/lib/cni/bridge:containernetworking-plugins
# What only tests need besides.
TESTED_WITH := skopeo:skopeo docker-registry:docker-registry
# What only the measurement of ingress needs besides; the package's own service is neither started nor used.
MEASURED_WITH := /usr/sbin/nginx:nginx-light
# What only the comparison with upstream needs besides. The package's own service is not used.
COMPARED_WITH := etcd:etcd-server

.PHONY: help build release test tools clients kubectl packages test-packages compare-packages bench-packages \
	diff-upstream conformance conformance-ci up down bench bench-peers lint fmt facts outsiders clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: packages ## build everything for development
	$(CARGO) build --workspace

release: packages
	@$(CARGO) build --release -p proa

# Containers, their network and the ports below 1024 need root.
ROOT := $(if $(filter 0,$(shell id -u)),,sudo)
# The same with the environment, for programs that build.
AS_ROOT := $(if $(ROOT),sudo -E env PATH="$$PATH")

up: release ## build the release and start a cluster with real containers on this machine
	@$(ROOT) target/release/proa up
	tests/tools/kubectl-hint.sh

down: ## stop the cluster that `make up` started; its objects and images stay
	@if [ -x target/release/proa ]; then $(ROOT) target/release/proa down; else echo "nothing to stop: proa was never built"; fi

test: tools clients outsiders ## run all tests
	@mkdir -p target
	status=0
	$(CARGO) test --workspace --no-fail-fast 2>&1 | tee target/test.log || status=$$?
	tests/tools/summary.sh target/test.log
	exit $$status

diff-upstream: compare-packages build ## send the same requests to upstream's kube-apiserver and to Proa, show what differs
	@tests/tools/upstream.sh
	target/tools/upstream -totals docs/upstream.md $(UPSTREAM)

# Options are variables: FOCUS and SKIP (regular expressions), SHARD=k/n, PROCS, NODES; tests/conformance/run reads them.
conformance: release kubectl ## run upstream's conformance tests on a cluster with real containers, write docs/conformance.md
	@mkdir -p target/tools
	$(GO) build -C tests/conformance -buildvcs=false -o $(CURDIR)/target/tools/conformance ./run
	$(AS_ROOT) target/tools/conformance

conformance-ci: build kubectl ## those of them that must keep passing (tests/conformance/ci.txt), with the development build
	@mkdir -p target/tools
	$(GO) build -C tests/conformance -buildvcs=false -o $(CURDIR)/target/tools/conformance ./run
	export ONLY=tests/conformance/ci.txt PROA=target/debug/proa
	$(AS_ROOT) target/tools/conformance

bench: release tools ## measure the release; writes target/bench/
	@if [ -x tests/bench/run ]; then tests/bench/run; else echo "tests/bench/run is not there yet" >&2; exit 1; fi

# PARTS="start idle" measures these again; RUNS, FULL and the like: tests/bench/peers/run.
bench-peers: release bench-packages ## measure Proa beside kube-apiserver on etcd and on kine, and nginx; write docs/benchmarks.md
	@tests/bench/peers/run $(PARTS)

lint: ## formatting and clippy, warnings are errors
	@$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

fmt: ## format the sources
	@$(CARGO) fmt --all

facts: ## regenerate crds/facts/v1_37.tsv (needs Go >= 1.26)
	@cd crds/facts/gen
	go run . > v1_37.tsv.new
	mv v1_37.tsv.new ../v1_37.tsv

tools: test-packages kubectl ## get what the tests use: kubectl 1.37 in target/tools

clients: ## get the other Kubernetes clients that the tests run, as far as Go, Python and Node.js are there
	@tests/tools/clients.sh

# The tests tell of an error, so that it keeps no other test from running.
outsiders: ## build the example of an operator by others; what it shares with the project is built once
	-@$(CARGO) test --quiet --workspace --no-run --manifest-path examples/webserver-operator/Cargo.toml \
		--target-dir "$${CARGO_TARGET_DIR:-target}"

kubectl:
	@tests/tools/kubectl.sh

test-packages: NEEDED += $(TESTED_WITH)
compare-packages: NEEDED += $(COMPARED_WITH)
bench-packages: NEEDED += $(MEASURED_WITH)
packages test-packages compare-packages bench-packages:
	@missing="" PATH="$$PATH:/usr/sbin:/sbin"
	for need in $(NEEDED); do
		command -v "$${need%%:*}" >/dev/null || missing+=" $${need#*:}"
	done
	command -v $(CARGO) >/dev/null || { echo "cargo is missing: install Rust 1.95 or newer (https://rustup.rs)" >&2; exit 1; }
	[ -n "$$missing" ] || exit 0
	sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo
	echo "installing:$$missing"
	$$sudo apt-get update -qq
	$$sudo env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null

clean: down ## stop the cluster, remove its data and what was built
	@$(ROOT) rm -rf /var/lib/proa
	$(CARGO) clean
