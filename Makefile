# The few commands a developer types. `make` alone lists them.

CARGO ?= cargo
FROM  ?=

prefix  ?= /usr/local
DESTDIR ?=
# What lies elsewhere than beneath the prefix, by GNU's names: make install bindir=/opt/bin
export bindir datadir mandir docdir unitdir bashdir zshdir fishdir

.DEFAULT_GOAL := help
.PHONY: help build release install uninstall installcheck package package-test fleet-test bench bench-quick test faults faults-long fuzz check recipes docs-test book demo setup clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## build every tool (debug)
	$(CARGO) build --workspace --bins --locked

release: ## build every tool, optimised and static; the last line says where
	@scripts/build-release

install: ## build and install into prefix=/usr/local, beneath DESTDIR=
	@prefix='$(prefix)' DESTDIR='$(DESTDIR)' scripts/install

uninstall: ## remove what install put there
	@prefix='$(prefix)' DESTDIR='$(DESTDIR)' scripts/install --uninstall

installcheck: ## check that what install put there is whole and runs
	@prefix='$(prefix)' DESTDIR='$(DESTDIR)' scripts/install --check

package: ## a tarball and a .deb with their SHA256SUMS, in target/package
	@scripts/package

fleet-test: ## three hosts with real sshd and systemd, and Ansible over them; a line per story
	@scripts/fleet-test

package-test: ## build both twice, compare; install, try and remove the .deb in a clean root (slow)
	@scripts/package-test

setup: ## install what the tests need, or say what is missing
	@scripts/setup

test: ## setup, then unit tests and stories with the real binaries
	@scripts/test

faults: ## faults, killed pipes and planted bugs against every promise; minutes
	@scripts/faults

faults-long: ## the same at every call and with every fault, and fuzzing; hours
	@scripts/faults long

fuzz: ## fuzz every reader of foreign bytes, ten minutes each; FUZZ_SECONDS=60 for less
	@scripts/fuzz

check: ## what CI checks: format, lints, docs, dependencies
	@scripts/check

recipes: ## try every recipe with real parts under load; a line each
	@scripts/try-recipes

docs-test: ## run every command that the documents show, follow every link
	@scripts/test -p stories -- documentation:: completions::

book: ## the documents as a book in docs/book, if mdbook is installed
	mdbook build docs

bench: ## measure beside the peers, write docs/performance.md; GROUPS=building,git renews these alone
	@scripts/bench $(if $(GROUPS),--only $(GROUPS))

bench-quick: ## the same on small corpora, in two minutes; writes nothing
	@scripts/bench --quick

demo: ## deploy a real service for real; FROM=DIR deploys your own directory
	@FROM='$(FROM)' scripts/demo

clean: ## remove everything that was built
	$(CARGO) clean
