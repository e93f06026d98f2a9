# A thin front for CMake (CMakePresets.json); `make help` lists what there is.
MAKEFLAGS += --no-print-directory --no-builtin-rules

PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
FUZZ_SECONDS ?= 20
KILLS ?= 90
SPANS ?= 1000000
ARGS ?=
DEMO_ARGS ?=

# A make below a make would warn about the jobs that it was not given.
cmake_build = env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL cmake --build $(1) --parallel $(JOBS) --target $(2)
c_files = $(shell find src tests -name '*.c' -o -name '*.h')

.PHONY: all build dependencies dev clang run demo test tidy fuzz chaos interop bench replay format check-format env-example install clean help
.NOTPARALLEL:

all: dependencies build

dependencies:
	@tools/install-dependencies build

build:
	@tools/quietly 'configuring' cmake --preset release -DCMAKE_INSTALL_PREFIX=$(PREFIX)
	@$(call cmake_build,build,all)

dev: dependencies ## the programs and unit tests with sanitizers, into build/dev
	@tools/quietly 'configuring' cmake --preset dev
	@$(call cmake_build,build/dev,all)
	@$(call cmake_build,build/dev,unit_tests)

clang: ## the programs with clang, into build/clang; warnings are errors
	@tools/install-dependencies build lint
	@tools/quietly 'configuring' cmake --preset clang
	@$(call cmake_build,build/clang,all)

run: all ## builds and runs the agent; ARGS='--log-level debug' are its options
	@build/spanwatch run $(ARGS)

demo: all ## the main job at work, on this machine alone; DEMO_ARGS='--for 60s' ends by itself
	@build/spanwatch demo $(DEMO_ARGS)

test: ## installs what is missing, builds, runs every test
	@tools/install-dependencies build test
	@JOBS=$(JOBS) tools/run-tests $(ARGS)

tidy: ## clang-tidy over src/
	@tools/install-dependencies build lint
	@JOBS=$(JOBS) tools/run-tidy

fuzz: ## each fuzz target for FUZZ_SECONDS (20)
	@tools/install-dependencies build lint
	@JOBS=$(JOBS) FUZZ_SECONDS=$(FUZZ_SECONDS) tools/run-fuzz $(ARGS)

chaos: all ## kills the agent KILLS (90) times at random moments; nothing may be lost or told twice
	@tools/install-dependencies test
	@tools/python-environment
	@CHAOS_KILLS=$(KILLS) build/venv/bin/python -m pytest -c tests/e2e/pytest.ini --rootdir=. tests/chaos -q -s -p no:cacheprovider

interop: all ## real senders: a Collector that is built with go, the JavaScript SDK; skips what cannot be had
	@tools/install-dependencies test
	@tools/python-environment
	@tools/interop-collector
	@tools/interop-javascript
	@build/venv/bin/python -m pytest -c tests/e2e/pytest.ini --rootdir=. tests/interop -q -n 2 -p no:cacheprovider

bench: all ## measures memory, time per tick, reloads, delivery (tests/bench)
	@tools/install-dependencies test
	@tools/real-servers
	@tools/interop-collector
	@$(call cmake_build,build,otlp_send)
	@tools/run-bench $(ARGS)

replay: ## a day of made-up spans (SPANS, a million) is received in eight ways, the clock moved on; all give the truth
	@tools/install-dependencies build test
	@tools/quietly 'configuring' cmake --preset release
	@$(call cmake_build,build,unit_sources_otlp_replay)
	@SPANWATCH_REPLAY_SPANS=$(SPANS) build/unit_sources_otlp_replay

format: ## writes the C files in the one format
	@tools/install-dependencies lint
	@clang-format -i $(c_files)

check-format: ## says which C files are not in the one format
	@tools/install-dependencies lint
	@clang-format --dry-run -Werror $(c_files)

env-example: all ## writes .env.example from the settings
	@build/spanwatch help --env-example >.env.example

install: all ## into PREFIX (/usr/local), below DESTDIR
	@cmake --install build --prefix $(PREFIX)

clean: ## removes build/
	@rm -rf build

help: ## this list
	@echo 'make              builds build/spanwatch and build/spanwatch-worker'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do printf 'make %-12s %s\n' "$$name" "$$text"; done
