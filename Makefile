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
FORMATS ?= deb rpm apk archlinux
# Of all-modules: which of how many parts.
PART   ?= 1/1
# How many steps of a run, such as the lab's machines, run at once. Under emulation each
# machine takes one core, but waits for its kernel's grace periods a part of the time: three
# suit two cores. With four, each computes up to a fifth more for the same.
export MACHINES ?= 3

# The compiler of the BPF objects that are committed.
export CLANG := 19

# The version comes from git, where git can tell: not in a tarball, nor in a
# tree of another user.
VCS := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)
export CGO_ENABLED ?= 0
# Programs, tests, vet and staticcheck are compiled alike: another flag, or the path of another
# tree, would have every dependency compiled once more.
export GOFLAGS := $(strip $(filter-out -trimpath,$(shell go env GOFLAGS)) -trimpath)
BUILD  := go build -ldflags=-s -buildvcs=$(VCS)
GOTEST := bin/gotest $${GOTEST_TALLY:+--tally "$$GOTEST_TALLY"}

# What make test and make test-matrix run on, and what .ci/run adds to make test. The longest
# come first: a long step that begins last makes the whole run longer.
TESTED := amd64/6.12/machines amd64/6.12 amd64/6.1
MATRIX := amd64/5.10 amd64/6.1 amd64/6.12 amd64/7.2 amd64/newest arm64/6.1 arm64/6.12
PARTS  ?= amd64/6.1/trials amd64/newest/trials amd64/6.12/shop
CAUSES ?= amd64/5.10 amd64/6.1 amd64/6.12 amd64/7.2 amd64/newest
CI_CAUSES := amd64/newest
CI_MATRIX := amd64/newest arm64/6.12/library amd64/5.10/library amd64/7.2/library

# A run of many steps is one make with a pool of MACHINES places, which keeps the output of
# each step together. scripts/tally sets STEPS in it: a goal of many steps starts such a run
# where there is none, and where there is one its steps belong to that.
run     = $(if $(STEPS),:,scripts/tally $(MAKE) -k -j$(MACHINES) -O $@)
steps   = $(if $(STEPS),$1)
STEP    = scripts/step '$@' '$(strip $^ $|)'
# kernel gives ARCH/SERIES of ARCH/SERIES/PART; lab lists the steps of lab tests, long ones first.
kernel  = $(word 1,$(subst /, ,$1))/$(word 2,$(subst /, ,$1))
whole   = $(foreach k,$1,$(if $(word 3,$(subst /, ,$k)),,$k))
lab     = $(patsubst %,lab/%,$(filter-out $(call whole,$1),$1) $(patsubst %,%/commands,$(call whole,$1)) $(patsubst %,%/library,$(call whole,$1)))

.DEFAULT_GOAL := build
.PHONY: help build guest setup generate check-generate fmt vet staticcheck race fuzz test-unit lab-test \
	test fleet test-fleet test-matrix ci-long ci-rest causes attribution all-modules siege records lab-bench cost bench benchmarks demo screenshots readme check-readme packages image chart release install uninstall clean
.SECONDEXPANSION:
.PRECIOUS: setup/% # which are not files that make could remove

##@ Build

help: ## list the targets
	@awk -F ':.*## ' '/^##@ / { printf "%s%s\n", n++ ? "\n" : "", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/kmodtrace, static
	@$(STEP) $(BUILD) -o bin/kmodtrace ./cmd/kmodtrace

guest: build ## what the lab's tests need beside it: arm64's kmodtrace, a 32-bit program, the test runner
	@$(STEP) bash -c 'GOARCH=arm64 $(BUILD) -o bin/arm64/kmodtrace ./cmd/kmodtrace && \
		GOARCH=386 $(BUILD) -o tracer/testdata/bin/finit32 ./tracer/testdata/finit32 && \
		go build -o bin/gotest ./scripts/gotest'

setup: setup/lab ## install by apt what the lab needs and is missing

setup/%:
	@$(STEP) scripts/setup $*

generate: setup/generate ## rebuild the generated code with the pinned compiler
	@scripts/generate

##@ Check the source

check-generate: setup/generate ## fail when the generated code is not what generate makes
	@$(STEP) scripts/generate --check

fmt: ## fail when gofmt would change a file
	@$(STEP) bash -c 'test -z "$$(gofmt -l . | tee /dev/stderr)"'

vet: vet/amd64 vet/arm64 ## go vet, as amd64 and as arm64

# After guest, and so are staticcheck and benchmarks: two that compile the same at once both compile it.
vet/%: $$(call steps,guest)
	@$(STEP) env GOARCH=$* go vet ./...

staticcheck: $$(call steps,guest) ## staticcheck
	@$(STEP) go tool staticcheck ./...

##@ Test

race: guest setup/race ## the unit tests under the race detector, but for *_plain_test.go
	@scripts/unit-tests race

fuzz: ## fuzz with each target for FUZZTIME=1m
	@scripts/fuzz $(FUZZTIME)

test-unit: guest ## unit and script tests, on this machine
	@$(GOTEST) ./...

ifdef RUN
lab-test: setup guest
	@scripts/lab-test '$(RUN)' $(ARCH)/$(KERNEL) $(PKG)
else
lab-test: $$(call steps,$$(call lab,$(ARCH)/$(KERNEL))) ## the tests that need a kernel, on KERNEL=6.12 ARCH=amd64; RUN=TestX: that one alone, in PKG=./tracer or wherever it is
	@$(run)
endif

FLEET_HOSTS ?= 10
FLEET_TIME  ?= 30s

test-fleet: ## machines, a real Collector and a real VictoriaLogs, killed for FLEET_TIME=30s with FLEET_HOSTS=10
	@servers=$$(scripts/fleet-servers) && \
	KMODTRACE_SERVERS=$$servers KMODTRACE_FLEET_HOSTS=$(FLEET_HOSTS) KMODTRACE_FLEET_TIME=$(FLEET_TIME) \
		go test -count=1 -timeout=2h -v -run '^TestFleetServers$$' ./service

test: $$(call steps,unit/race unit/plain $$(call lab,$(TESTED))) ## everything: unit, script and lab tests on 6.1 and 6.12
	@$(run)

test-matrix: $$(call steps,$$(call lab,$(PARTS) $(MATRIX))) ## the lab tests on all kernels, amd64 and arm64
	@$(run)

# The steps of .ci/run beside those of make test. What ci-long names, some of make test's among it,
# begins first.
ci-long: unit/race $(CI_CAUSES:%=causes/%) unit/plain $(filter-out %/library,$(call lab,$(CI_MATRIX) $(TESTED)))
ci-rest: $(call lab,$(CI_MATRIX)) check-readme benchmarks staticcheck vet check-generate fmt

# Some unit tests boot kernels: those of make test are to be there.
unit/%: guest setup/lab $$(if $$(findstring race,$$*),setup/race)
	@$(STEP) bash -c 'scripts/lab-kernels $(sort $(foreach k,$(TESTED),$(call kernel,$k))) && scripts/unit-tests $*'

lab/%: guest setup/lab $$(if $$(findstring arm64,$$*),setup/matrix)
	@$(STEP) scripts/lab-tests $*

causes: setup guest ## make every cause happen on every kernel, and print what kmodtrace says of each
	@scripts/lab-kernels $(CAUSES)
	@go run ./scripts/causes --machines $(MACHINES) $(if $(ONLY),,--summary bin/causes.md) $${GOTEST_TALLY:+--tally "$$GOTEST_TALLY"} $(if $(ONLY),--only '$(ONLY)') $(CAUSES)

causes/%: guest setup/lab
	@$(STEP) bash -c 'scripts/lab-kernels $* && go run ./scripts/causes --machines 2 $${GOTEST_TALLY:+--tally "$$GOTEST_TALLY"} $*'

attribution: setup guest ## who did it: each case TIMES=20 times while others load modules, on CAUSES=...
	@scripts/lab-kernels $(CAUSES)
	@scripts/tally $(MAKE) -k -j$(MACHINES) -O $(addprefix attribution/,$(CAUSES))

attribution/%:
	@KMODTRACE_TIMES=$(TIMES) GOARCH=$(*D) $(GOTEST) -count=1 -run '^TestKernel$$/./^actor$$|^TestUnread$$/^gone$$|^TestCreators$$' \
		-exec "$(CURDIR)/bin/kmodtrace lab exec --arch $(*D) --kernel $(*F) --" ./tracer

all-modules: setup guest ## load and remove every module of KERNEL=6.12 under watch, and compare with modprobe and modinfo; PART=3/10: a tenth
	@scripts/lab-kernels $(ARCH)/$(KERNEL)
	@GOARCH=$(ARCH) KMODTRACE_PART=$(PART) go test -count=1 -timeout 0 -run '^TestModules$$' -v \
		-exec "$(CURDIR)/bin/kmodtrace lab exec --arch $(ARCH) --kernel $(KERNEL) --memory 1536 --env GOMAXPROCS=1 --" ./cmd/kmodtrace

siege: setup guest ## ten minutes of users without rights who try to blind and fill the service, on KERNEL=6.12
	@GOARCH=$(ARCH) KMODTRACE_SIEGE=$(SIEGE) go test -count=1 -timeout 0 -run '^TestSiege$$' -v \
		-exec "$(CURDIR)/bin/kmodtrace lab exec --arch $(ARCH) --kernel $(KERNEL) --" ./cmd/kmodtrace

records: setup guest ## record real kernels' events for tracer's tests anew
	@scripts/record amd64/5.10 amd64/6.1 amd64/6.12 amd64/newest

##@ Measure

lab-bench: setup build ## what a machine of the lab costs
	@bin/kmodtrace lab bench --kernel $(KERNEL)

cost: setup guest ## what the hooks add to the load of a large module, on KERNEL=6.12 ARCH=amd64
	@GOARCH=$(ARCH) go test -exec "$(CURDIR)/bin/kmodtrace lab exec --arch $(ARCH) --kernel $(KERNEL) --" -timeout 0 -run '^$$' -bench LoadXFS -benchtime 3x -v ./tracer

bench: setup guest ## what watching costs and what is lost, beside the tools of today; BENCH="6.12": on that kernel, and not into docs/performance.md; MEASURE=start: that part alone; AGAINST=REV: beside that revision; COUNTED=1: by instructions, also on a busy host
	@$(if $(COUNTED),KMODTRACE_LAB_ACCEL=counted )go run ./scripts/bench --rounds $(ROUNDS) --json bin/bench.json $(if $(AGAINST),--against $(AGAINST)) $(if $(MEASURE),--parts '$(MEASURE)' --only 'kmodtrace|bpftrace',$(if $(filter file,$(origin BENCH)),--page docs/performance.md)) $(BENCH)

benchmarks: $$(call steps,guest) ## decode, correlate and render: this tree against the parent commit
	@$(STEP) scripts/benchmarks

##@ Show

demo: build ## show the main job on a real kernel, in the lab; HOST=1: on this machine's own
	@$(if $(HOST),,scripts/setup lab)
	@scripts/demo $(if $(HOST),--host)

fleet: build ## twenty simulated machines and a VictoriaLogs on this machine, until Ctrl-C
	@scripts/fleet --keep

screenshots: ## draw the pictures of package timeline in a browser: into bin/screenshots; fail when text overlaps or is cut
	@scripts/setup screenshots
	@scripts/screenshots

readme: setup guest ## put what the programs print into the pages that show it (README.md, docs)
	@scripts/setup lab matrix
	@scripts/lab-kernels $(CAUSES)
	@MATRIX="$(MATRIX)" CAUSES="$(CAUSES)" scripts/readme

check-readme: setup guest ## fail when a page shows what the programs do not print
	@$(STEP) scripts/readme --check

##@ Package

packages: ## packages in dist/, of ARCH=amd64 or arm64: FORMATS="deb rpm apk archlinux"
	@scripts/package $(ARCH) $(FORMATS)

image: ## a container image in dist/, for amd64 and arm64, without a daemon
	@scripts/image

chart: ## the Helm chart in dist/
	@scripts/chart

release: ## all of a release in dist/: packages, programs, image, chart, SBOMs, changes, checksums
	@scripts/release

install: ## put the binary, completions, man pages and the systemd unit below $(DESTDIR)$(PREFIX)
	@test -x bin/kmodtrace || $(MAKE) build
	@DESTDIR="$(DESTDIR)" scripts/install "$(DESTDIR)$(PREFIX)"

uninstall: ## take them away again
	@scripts/install --remove "$(DESTDIR)$(PREFIX)"

clean: ## remove what was built (kernels stay in the user's cache: kmodtrace lab kernels)
	@rm -rf bin dist tracer/testdata/bin
