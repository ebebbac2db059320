# The front door; the real build is meson.build, the list of checks is tools/run_tests.
ARGS ?=
N ?= 20
SECONDS ?= 60
EVENTS ?= 10000000
LIVE_EVENTS ?= 50000000
release = build/release/src/app/hezou

test_deps = tools/install tests && tools/fetch

.PHONY: build deps run test golden crash fuzz bench bench-data nightly asan tsan format docs
build: deps # what a user runs: build/release/src/app/hezou
	test -f build/release/build.ninja || meson setup build/release --buildtype=release
	ninja -C build/release

deps: # Debian packages that are missing, then what Debian lacks
	tools/install
	tools/fetch

run: build # the sample data in, the first report out, then keep serving (ARGS=--once: stop)
	$(release) run --data data --sample examples/online_retail $(ARGS)

test: # all that CI runs; ends with "N passed, N failed"
	$(test_deps)
	tools/run_tests

golden: # published figures on real data; fails where test would only name what it skipped
	$(test_deps)
	STRICT=1 tools/run_tests build_hooks golden

crash: # kill -9 N times, the named points, the seeded bugs
	$(test_deps)
	N=$(N) tools/run_tests build_hooks crash

fuzz:
	$(test_deps)
	SECONDS_ALL=$(SECONDS) tools/run_tests fuzz

bench: build # the table of figures; 10 minutes and more, two idle cores
	$(test_deps)
	EVENTS=$(EVENTS) tests/bench/run; code=$$?; tests/bench/reports || code=1; EVENTS=$(LIVE_EVENTS) tests/bench/live && exit $$code

bench-data: build # the history of tests/bench/live, once: LIVE_EVENTS events through the road; a quarter of an hour and 11 GB
	$(test_deps)
	EVENTS=$(LIVE_EVENTS) tests/bench/live_data

nightly: # long runs, and make test in a bare Debian 12 (root, network)
	$(test_deps)
	tools/nightly

asan:
	$(test_deps)
	tools/run_tests build_test unit

tsan:
	$(test_deps)
	tools/run_tests tsan

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

docs: build # the documents that the program prints
	$(release) help --markdown > docs/params.md
