#!/usr/bin/env bash
# The tests: formatting, lints with warnings as errors, build, every test, generated files compared.
# Needs Rust and a C compiler. Completion, man-page and prompt tests use bash, zsh, fish, mandoc and tmux where they
# are installed, and name what they skipped where they are not; `.ci/run` installs them.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "formatting"
cargo fmt --all -- --check

step "lints"
cargo clippy --quiet --all-targets -- -D warnings

# Most tests wait for real processes, so two fit on a core.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}

step "tests, generated files included"
cargo test --quiet --no-fail-fast
