#!/usr/bin/env bash
# The tests: formatting, build, every test, generated files compared, lints with warnings as errors.
# Needs Rust and a C compiler. Completion, man-page and prompt tests use bash, zsh, fish, mandoc and tmux where they
# are installed, and name what they skipped where they are not; `.ci/run` installs them.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "formatting"
cargo fmt --all -- --check

step "build"
cargo test --quiet --no-run

beside=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$beside"' EXIT
# The tests mostly wait; the lints take what they leave of the processors. In a folder of their own, since cargo lets one at a
# time into a folder.
nice -n 19 cargo clippy --quiet --all-targets --target-dir "${CARGO_TARGET_DIR:-target}/lints" -- -D warnings \
  >"$beside/lints" 2>&1 &
lints=$!

# Most tests wait for real processes, so two fit on a core.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}

# The runbook's scenes wait longest, so they play beside everything else.
step "tests, generated files included"
cargo test --quiet --test runbook >"$beside/scenes" 2>&1 &
scenes=$!
status=0
others=$(for test in tests/*/main.rs; do basename "$(dirname "$test")"; done | grep -vx runbook)
# shellcheck disable=SC2046 # a word each
cargo test --quiet --no-fail-fast --lib --bins $(printf -- '--test %s ' $others) || status=1
wait "$scenes" || status=1
cat "$beside/scenes"

step "lints"
wait "$lints" || status=1
cat "$beside/lints"
exit "$status"
