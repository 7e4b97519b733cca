# kmodtrace: build, show, test, install. `make help` lists what there is.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-print-directory
export PATH := $(PATH):/usr/local/go/bin

KERNEL  ?= 6.12
ARCH    ?= amd64
PREFIX  ?= /usr/local
DESTDIR ?=
FUZZTIME ?= 1m
TIMES  ?= 20
BENCH  ?= 6.1 6.12 newest
ROUNDS ?= 3
SIEGE  ?= 10m
# How many of the lab's machines run at once. Under emulation each takes one core, but
# waits for its kernel's grace periods almost half the time: four suit two cores.
export MACHINES ?= 4

# The compiler of the BPF objects that are committed.
export CLANG := 19

# The version comes from git, where git can tell: not in a tarball, nor in a
# tree of another user.
VCS := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)
export CGO_ENABLED ?= 0
BUILD  := go build -trimpath -ldflags=-s -buildvcs=$(VCS)
GOTEST := bin/gotest $${GOTEST_TALLY:+--tally "$$GOTEST_TALLY"}

# What make test and make test-matrix run on.
TESTED := amd64/6.1 amd64/6.12 amd64/6.12/machines
MATRIX := amd64/5.10 amd64/6.1 amd64/6.12 amd64/7.2 amd64/newest arm64/6.1 arm64/6.12
PARTS  ?= amd64/6.1/trials amd64/newest/trials amd64/6.12/shop
CAUSES ?= amd64/5.10 amd64/6.1 amd64/6.12 amd64/7.2 amd64/newest

.DEFAULT_GOAL := build
.PHONY: help build guest setup generate check-generate fmt vet staticcheck race fuzz test-unit lab-test \
	test test-all test-matrix causes attribution siege records lab-bench cost bench benchmarks demo screenshots readme check-readme deb install uninstall clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/kmodtrace, static
	@$(BUILD) -o bin/kmodtrace ./cmd/kmodtrace

guest: build ## what the lab's tests need beside it: arm64's kmodtrace, a 32-bit program, the test runner
	@GOARCH=arm64 $(BUILD) -o bin/arm64/kmodtrace ./cmd/kmodtrace
	@GOARCH=386 $(BUILD) -o tracer/testdata/bin/finit32 ./tracer/testdata/finit32
	@go build -o bin/gotest ./scripts/gotest

setup: ## install by apt what the lab needs and is missing
	@scripts/setup lab

generate: ## rebuild the generated code with the pinned compiler
	@scripts/setup generate
	@scripts/generate

check-generate: ## fail when the generated code is not what generate makes
	@scripts/setup generate
	@scripts/generate --check

fmt: ## fail when gofmt would change a file
	@test -z "$$(gofmt -l . | tee /dev/stderr)"

vet: ## go vet, as amd64 and as arm64
	@GOARCH=amd64 go vet ./...
	@GOARCH=arm64 go vet ./...

staticcheck: ## staticcheck
	@go tool staticcheck ./...

race: guest ## the host-side tests under the race detector
	@scripts/setup race
	@CGO_ENABLED=1 $(GOTEST) -race -short ./...

fuzz: ## fuzz with each target for FUZZTIME=1m
	@scripts/fuzz $(FUZZTIME)

test-unit: guest ## unit and script tests, on this machine
	@$(GOTEST) ./...

ifdef RUN
lab-test: setup guest
	@scripts/lab-test '$(RUN)' $(ARCH)/$(KERNEL) $(PKG)
else
lab-test: setup guest ## the tests that need a kernel, on KERNEL=6.12 ARCH=amd64; RUN=TestX: that one alone, in PKG=./tracer or wherever it is
	@scripts/tally scripts/lab-tests $(ARCH)/$(KERNEL)
endif

test: ## everything: unit, script and lab tests on 6.1 and 6.12
	@scripts/tally $(MAKE) test-all

test-all: setup guest
	@scripts/lab-kernels $(filter-out %/machines,$(TESTED))
	@status=0; $(MAKE) test-unit || status=1; scripts/lab-tests $(TESTED) || status=1; exit $$status

test-matrix: guest ## the lab tests on all kernels, amd64 and arm64
	@scripts/setup lab matrix
	@scripts/tally scripts/lab-tests $(MATRIX) $(PARTS)

causes: setup guest ## make every cause happen on every kernel, and print what kmodtrace says of each
	@scripts/lab-kernels $(CAUSES)
	@go run ./scripts/causes --machines $(MACHINES) $(if $(ONLY),,--summary bin/causes.md) $${GOTEST_TALLY:+--tally "$$GOTEST_TALLY"} $(if $(ONLY),--only '$(ONLY)') $(CAUSES)

attribution: setup guest ## who did it: each case TIMES=20 times while others load modules, on CAUSES=...
	@scripts/lab-kernels $(CAUSES)
	@scripts/tally $(MAKE) -k -j$(MACHINES) -O $(addprefix attribution/,$(CAUSES))

attribution/%:
	@KMODTRACE_TIMES=$(TIMES) GOARCH=$(*D) $(GOTEST) -count=1 -run '^TestActor' \
		-exec "$(CURDIR)/bin/kmodtrace lab exec --arch $(*D) --kernel $(*F) --" ./tracer

siege: setup guest ## ten minutes of users without rights who try to blind and fill the service, on KERNEL=6.12
	@GOARCH=$(ARCH) KMODTRACE_SIEGE=$(SIEGE) go test -count=1 -timeout 0 -run '^TestSiege$$' -v \
		-exec "$(CURDIR)/bin/kmodtrace lab exec --arch $(ARCH) --kernel $(KERNEL) --" ./cmd/kmodtrace

records: setup guest ## record real kernels' events for tracer's tests anew
	@scripts/record amd64/5.10 amd64/6.1 amd64/6.12 amd64/newest

lab-bench: setup build ## what a machine of the lab costs
	@bin/kmodtrace lab bench --kernel $(KERNEL)

cost: setup guest ## what the hooks add to the load of a large module, on KERNEL=6.12 ARCH=amd64
	@GOARCH=$(ARCH) go test -exec "$(CURDIR)/bin/kmodtrace lab exec --arch $(ARCH) --kernel $(KERNEL) --" -timeout 0 -run '^$$' -bench LoadXFS -benchtime 3x -v ./tracer

bench: setup guest ## what watching costs and what is lost, beside the tools of today; BENCH="6.12": on that kernel, and not into docs/performance.md
	@go run ./scripts/bench --rounds $(ROUNDS) --json bin/bench.json $(if $(filter file,$(origin BENCH)),--page docs/performance.md) $(BENCH)

benchmarks: ## decode, correlate and render: this tree against the parent commit
	@scripts/benchmarks

demo: build ## show the main job on a real kernel, in the lab; HOST=1: on this machine's own
	@$(if $(HOST),,scripts/setup lab)
	@scripts/demo $(if $(HOST),--host)

screenshots: ## draw the pictures of package timeline in a browser: into bin/screenshots; fail when text overlaps or is cut
	@scripts/setup screenshots
	@scripts/screenshots

readme: setup guest ## put what the programs print into README.md, docs/audit.md and docs/lab.md
	@scripts/setup lab matrix
	@scripts/lab-kernels $(CAUSES)
	@MATRIX="$(MATRIX)" CAUSES="$(CAUSES)" scripts/readme

check-readme: setup build ## fail when README.md or docs/audit.md shows what the programs do not print
	@scripts/readme --check

deb: build ## a Debian package in bin/, of ARCH=amd64 or arm64
	@scripts/deb $(ARCH)

install: ## put the binary, completions, man pages and the systemd unit below $(DESTDIR)$(PREFIX)
	@test -x bin/kmodtrace || $(MAKE) build
	@DESTDIR="$(DESTDIR)" scripts/install "$(DESTDIR)$(PREFIX)"

uninstall: ## take them away again
	@scripts/install --remove "$(DESTDIR)$(PREFIX)"

clean: ## remove what was built (kernels stay in the user's cache: kmodtrace lab kernels)
	@rm -rf bin tracer/testdata/bin
