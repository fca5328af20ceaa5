#!/usr/bin/env bash
# The suite of every engine over a real Restate server: with services in JavaScript that keep to the state contract, and
# with `opsctl worker`.
. "$(dirname "$0")/lib/serve.bash" "$@"
need node npm cargo
here=$(realpath "$(dirname "$0")")

cp -r "$here/restate" "$work/restate"
(cd "$work/restate" && npm ci --no-audit --no-fund --ignore-scripts >"$work/npm.out" 2>&1) \
  || skip "cannot install Restate: $(grep -m 1 'npm error' "$work/npm.out")"
ls "$work"/restate/node_modules/@restatedev/*/bin/restate-server >/dev/null 2>&1 \
  || skip "there is no Restate server for this machine in its packages"

cd "$here/../.."
# The bound is no measure: without it a cluster that never answers would hold everything up.
OPSCTL_RESTATE=$work/restate timeout 600 cargo test --quiet --test engines restate_ >"$work/suite.out" 2>&1 \
  || { cat "$work/suite.out" >&2; fail "see above"; }
grep -oE 'restate( with opsctl worker)?: .*' "$work/suite.out"
[ "$(grep -c 'what waited is executed once: ok' "$work/suite.out")" = 2 ] || fail "the suite did not run to its end"
