#!/usr/bin/env bash
# A real Restate server: the suite of every engine with services in JavaScript that keep to the state contract and with
# `opsctl worker`, and three nodes of it that are killed while they work.
. "$(dirname "$0")/lib/serve.bash" "$@"
. "$(dirname "$0")/lib/restate.bash"
need cargo
here=$(realpath "$(dirname "$0")")
install_restate

cd "$here/../.."
# over_restate NAME TESTS...: runs tests over the real server. The bound is no measure: without it a cluster that never
# answers would hold everything up.
over_restate() {
  local out=$work/$1.out
  OPSCTL_RESTATE=$work/restate timeout 600 cargo test --quiet --test engines -- "${@:2}" >"$out" 2>&1 \
    || { cat "$out" >&2; fail "see above"; }
}

over_restate suite restate_ --skip killed
grep -oE 'restate( with opsctl worker)?: .*' "$work/suite.out"
[ "$(grep -c 'what waited is executed once: ok' "$work/suite.out")" = 2 ] || fail "the suite did not run to its end"

over_restate kills restate_loses_nothing_when_nodes_and_workers_are_killed
grep -A 8 '^cluster kill loop: ' "$work/kills.out" || fail "the kill loop did not run"
