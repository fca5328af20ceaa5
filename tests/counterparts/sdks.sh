#!/usr/bin/env bash
# Official SDKs against the simulators: every call they serve, its effect, and its errors; and each answer against the
# platform's contract; and a clean-up by opsctl that an SDK edits meanwhile. Ends with the tables.
. "$(dirname "$0")/lib/serve.bash" "$@"
need node npm python3
here=$(realpath "$(dirname "$0")")

cp -r "$here/sdk" "$work/sdk"
(cd "$work/sdk" && npm ci --no-audit --no-fund --ignore-scripts >"$work/npm.out" 2>&1) \
  || skip "cannot install the JavaScript SDKs: $(grep -m 1 'npm error' "$work/npm.out")"
python_with -r "$work/sdk/requirements.txt"

mkdir "$work/sims"
env -i PATH="$PATH" HOME="$work" "$opsctl" sandbox sims --dir "$work/sims" >"$work/sims.out" 2>&1 &
started+=($!)
for _ in $(seq 100); do
  [ -e "$work/sims/simulators.json" ] && break
  sleep 0.1
done
[ -e "$work/sims/simulators.json" ] || { cat "$work/sims.out" >&2; fail "the simulators do not start"; }

# The bound is no measure: without it a client that waits for ever would hold everything up.
NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 timeout 300 \
  node "$work/sdk/check.mjs" "$work/sims/simulators.json" "$here/../contracts" "$work/venv/bin/python" "$opsctl" || fail "see above"
