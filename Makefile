# make play        build and open the game     (ARGS="--players 3" for options)
# make test        build and run all tests
# make image       build the container image `raftian`, which compose.yaml starts five times
# make attach      the screen of one of them, until Ctrl-P Ctrl-Q     (ID=3)
# make test-docker test across containers whose networks are cut; needs a Docker engine, and root
# make check       formatting, lints, documentation
# make soak        kill and restart real processes, 200 times over     (CYCLES=1000, SEED=7)
# make bench       measure
# make coverage    run all tests and count the lines that they reach, module by module
# make model       walk through larger models than make test does: minutes, and 4 GB
# make fuzz        give the readers ten minutes each of bytes that are made up
#                  (FUZZ_SECONDS=20 FUZZ_TARGETS=xmlrpc for less)
# make sim-night   the simulator over 200,000 seeds, with what happened how often   (SEEDS=20000)
# make million     a million commands: do memory and disk stay bounded?   (COMMANDS=100000)
# make help        this list

CARGO ?= cargo
CYCLES ?= 200
SEEDS ?= 200000
TARGET ?= $(or $(CARGO_TARGET_DIR),target)

FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?= xmlrpc http_head log_reader snapshot_reader
# What one input may take: bytes of its own, seconds, and MiB in all and in one piece.
FUZZ_LIMITS = -max_len=32768 -timeout=5 -rss_limit_mb=1024 -malloc_limit_mb=16

# The toolchain's readers of what is counted, or the system's if they are of the same LLVM.
LLVM = $(shell rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
LLVM_TOOLS = $(shell rustc --print target-libdir)/../bin
llvm_tool = $(or $(wildcard $(LLVM_TOOLS)/$(1)),$(shell command -v $(1)-$(LLVM)))
LLVM_COV ?= $(call llvm_tool,llvm-cov)
LLVM_PROFDATA ?= $(call llvm_tool,llvm-profdata)

IMAGE ?= raftian
ID ?= 1
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

.PHONY: play test test-docker soak check coverage bench model sim-night fuzz million image attach help

# The game replaces the shell, so that the terminal's signals reach it directly.
play:
	@$(CARGO) build --release
	@exec "$(TARGET)/release/raftian" $(ARGS)

test:
	$(CARGO) test

soak:
	CYCLES=$(CYCLES) $(CARGO) test --test durability killed_again_and_again -- --nocapture
	$(CARGO) test --test histories for_a_long_time -- --ignored --nocapture

check:
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --no-deps

# What is counted lies in a folder of its own, target/llvm-cov-target. A process that is not allowed
# to write its counts is left out, and no reason to fail.
coverage:
	@$(CARGO) llvm-cov --version >/dev/null 2>&1 || \
	    { echo "make coverage: cargo-llvm-cov is missing: cargo install cargo-llvm-cov --locked" >&2; exit 1; }
	@test -n "$(LLVM_COV)" && test -n "$(LLVM_PROFDATA)" || \
	    { echo "make coverage: llvm-cov is missing: rustup component add llvm-tools (or your system's llvm-$(LLVM))" >&2; exit 1; }
	LLVM_COV="$(LLVM_COV)" LLVM_PROFDATA="$(LLVM_PROFDATA)" $(CARGO) llvm-cov test --tests \
	    --no-cfg-coverage --failure-mode all --lcov --output-path "$(TARGET)/coverage.lcov"
	@python3 tests/coverage.py "$(TARGET)/coverage.lcov"

# Static, since the image has no libraries. `--target` keeps the flag from what runs while building,
# and a folder of its own keeps the other builds from being thrown away. target/image/root is what the
# Dockerfile copies, wherever cargo builds.
image:
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --profile image --bin raftian \
	    --target $(HOST) --target-dir "$(TARGET)/image"
	@mkdir -p target/image/root/empty
	@cp "$(TARGET)/image/$(HOST)/image/raftian" target/image/root/raftian
	docker build --quiet --tag $(IMAGE) .

# What docker leaves behind when one detaches: the other screen, no cursor, clicks as characters.
attach:
	@docker attach raftian-$(ID); printf '\033[?1006l\033[?1000l\033[?1049l\033[?25h'

# It must not pass without having run. What a test leaves behind that was killed goes by its label.
test-docker:
	@docker info >/dev/null 2>&1 || \
	    { echo "make test-docker: no Docker engine answers, so nothing was tested" >&2; exit 1; }
	@$(MAKE) --no-print-directory image IMAGE=raftian-test
	@label=$$$$; log=target/image/test-docker.log; \
	ours="label=raftian.test=$$label"; \
	tidy() { \
	    trap '' INT TERM; \
	    docker ps --all --quiet --filter "$$ours" | xargs -r docker rm --force; \
	    docker network ls --quiet --filter "$$ours" | xargs -r docker network rm; \
	    docker volume ls --quiet --filter "$$ours" | xargs -r docker volume rm; \
	}; \
	trap 'tidy; exit 1' INT TERM; \
	RAFTIAN_IMAGE=raftian-test RAFTIAN_TEST_LABEL=$$label \
	    $(CARGO) test --test docker -- --ignored --test-threads 2 2>&1 | tee "$$log"; \
	tidy; \
	grep -q '^test result: ok\. [1-9]' "$$log" || \
	    { echo "make test-docker: failed, or ran no test" >&2; exit 1; }

bench:
	$(CARGO) bench

# The numbers of states are printed as they grow, and compared with those written down.
model:
	$(CARGO) test --lib model::tests::every_state_within_larger_bounds_keeps_every_rule -- \
	    --ignored --exact --nocapture

# On every core, with progress. A failure ends it, with the command that repeats that run.
sim-night:
	@$(CARGO) build --release
	"$(TARGET)/release/raftian" sim --seed 0 --seeds $(SEEDS) --markers

# What is found goes on from run to run in fuzz/corpus. A finding is left in fuzz/artifacts, and
# docs/TESTING.md says what to do with it.
fuzz:
	@$(CARGO) fuzz --version >/dev/null 2>&1 || \
	    { echo "make fuzz: cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2; exit 1; }
	@$(CARGO) +nightly --version >/dev/null 2>&1 || \
	    { echo "make fuzz: nightly Rust is missing: rustup toolchain install nightly" >&2; exit 1; }
	@for target in $(FUZZ_TARGETS); do \
	    echo "$$target: $(FUZZ_SECONDS) s"; \
	    mkdir -p "fuzz/corpus/$$target" && \
	    $(CARGO) +nightly fuzz run "$$target" "fuzz/corpus/$$target" "fuzz/seeds/$$target" -- \
	        -dict="fuzz/dict/$$target.dict" -max_total_time=$(FUZZ_SECONDS) $(FUZZ_LIMITS) || exit 1; \
	done

million:
	$(CARGO) bench --bench million

help:
	@sed -n -e 's/^# make/make/p' -e 's/^#  / /p' -e '/^$$/q' Makefile
