# make play        build and open the game     (ARGS="--players 3" for options)
# make test        build and run all tests
# make check       formatting, lints, documentation
# make bench       measure
# make help        this list

CARGO ?= cargo
TARGET ?= $(or $(CARGO_TARGET_DIR),target)

.PHONY: play test check bench help

# The game replaces the shell, so that the terminal's signals reach it directly.
play:
	@$(CARGO) build --release
	@exec "$(TARGET)/release/raftian" $(ARGS)

test:
	$(CARGO) test

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --no-deps

bench:
	$(CARGO) bench

help:
	@sed -n 's/^# make/make/p' Makefile
