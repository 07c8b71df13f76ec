# make play        build and open the game     (ARGS="--players 3" for options)
# make test        build and run all tests
# make check       formatting, lints, documentation
# make soak        kill and restart real processes, 200 times over     (CYCLES=1000, SEED=7)
# make bench       measure
# make million     a million commands: do memory and disk stay bounded?   (COMMANDS=100000)
# make help        this list

CARGO ?= cargo
CYCLES ?= 200
TARGET ?= $(or $(CARGO_TARGET_DIR),target)

.PHONY: play test soak check bench million help

# The game replaces the shell, so that the terminal's signals reach it directly.
play:
	@$(CARGO) build --release
	@exec "$(TARGET)/release/raftian" $(ARGS)

test:
	$(CARGO) test

soak:
	CYCLES=$(CYCLES) $(CARGO) test --test durability killed_again_and_again -- --nocapture

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --no-deps

bench:
	$(CARGO) bench

million:
	$(CARGO) bench --bench million

help:
	@sed -n 's/^# make/make/p' Makefile
