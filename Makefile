# The entry point. Each target is one script or one cargo command; logic is in scripts/. `make help` prints the lines of the form
# "name: ## text".

.DEFAULT_GOAL := help
.PHONY: help build install uninstall demo demo-host demo-windows test dist lint doc bench fuzz soak audit clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build target/release/ivshmem and target/release/ivshmem-server
	@scripts/install build
	cargo build --release --locked --package ivshmem-cli --package ivshmem-server

install: ## programs, man pages, completions and units below DESTDIR PREFIX; PREFIX=/usr/local unless said otherwise
	@[ -n "$(BIN)" ] || [ -x target/release/ivshmem -a -x target/release/ivshmem-server ] || $(MAKE) build
	@scripts/place install

uninstall: ## remove what `make install` with the same DESTDIR and PREFIX placed
	@scripts/place uninstall

# Passed to the scripts if given on the command line.
export PREFIX DESTDIR BIN

demo: ## a server, two virtual machines and the host, a JVM in each, exchange data and interrupts; installs what is missing
	@scripts/install demo
	@scripts/demo

demo-host: ## a server and two programs on the host, then two JVMs, do the same
	@scripts/install java
	@scripts/demo-host

demo-windows: ## the same with a JVM of Windows, in Wine, one in a virtual machine, and one on the host
	@scripts/install demo
	@scripts/install dist
	@scripts/demo-windows

test: ## every check and every test; installs what is missing
	@scripts/install test
	@scripts/test

dist: ## the products in dist/: jar, Maven repository, programs and native library
	@scripts/install dist
	@scripts/dist

lint: ## the checks without the tests: format, clippy, rustdoc, dependencies, rooms, documents
	@scripts/install build
	@scripts/test fmt clippy rustdoc deny rooms docs

doc: ## the library's reference in target/doc
	cargo doc --locked --workspace --no-deps

bench: ## measure against bare baselines of the same run; fails when a goal is not met
	@scripts/install test
	@scripts/bench

fuzz: ## fuzz each decoder, 10 minutes each (SECONDS_EACH=n changes that)
	@scripts/install test
	@scripts/fuzz $(or $(SECONDS_EACH),600)

soak: ## long forms of tests, 10 minutes each: hostile clients, misuse of the Java library (SECONDS_EACH=n changes that)
	@scripts/install test
	@scripts/soak $(or $(SECONDS_EACH),600)

audit: ## known advisories against the dependencies; needs the advisory database from the network
	@scripts/deny advisories

clean: ## remove everything that was built
	cargo clean
	rm -rf fuzz/target dist java/target java/*/target
