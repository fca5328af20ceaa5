#!/usr/bin/env bash
# The suite of every engine over a real Restate server: with services in JavaScript that keep to the state contract, and
# with `opsctl worker`. The kill loop over three nodes is left out: it takes minutes and is run by hand (docs/restate.md).
. "$(dirname "$0")/lib/serve.bash" "$@"
. "$(dirname "$0")/lib/restate.bash"
need cargo
here=$(realpath "$(dirname "$0")")
install_restate

cd "$here/../.."
# The bound is no measure: without it a cluster that never answers would hold everything up.
OPSCTL_RESTATE=$work/restate timeout 600 cargo test --quiet --test engines -- restate_ --skip killed >"$work/suite.out" 2>&1 \
  || { cat "$work/suite.out" >&2; fail "see above"; }
grep -oE 'restate( with opsctl worker)?: .*' "$work/suite.out"
[ "$(grep -c 'what waited is executed once: ok' "$work/suite.out")" = 2 ] || fail "the suite did not run to its end"
