#!/usr/bin/env bash
# Our clients against Prism's mocks of the platforms' contracts: every request keeps to its contract, and every error
# a contract has an example of is understood.
. "$(dirname "$0")/lib/serve.bash" "$@"
need node npm cargo curl
here=$(realpath "$(dirname "$0")")

cp "$here"/prism/package*.json "$work"
(cd "$work" && npm ci --no-audit --no-fund --ignore-scripts >npm.out 2>&1) \
  || skip "cannot install Prism: $(grep -m 1 'npm error' "$work/npm.out")"

# Built while the mocks start.
(cd "$here/../.." && cargo test --quiet --lib --no-run) &
build=$!
declare -A at
mock() {
  local port
  port=$(free_port)
  NO_PROXY=127.0.0.1 "$work/node_modules/.bin/prism" mock -h 127.0.0.1 -p "$port" "$here/../contracts/$2.openapi.json" \
    >"$work/$1.out" 2>&1 &
  started+=($!)
  at[$1]=http://127.0.0.1:$port
}
mock notion notion/notion
mock trello trello/trello
mock slack slack/slack
mock drive drive/drive.v3
mock sheets sheets/sheets.v4
mock oauth google-auth/oauth2
for api in "${!at[@]}"; do
  for _ in $(seq 600); do
    grep -q 'Prism is listening' "$work/$api.out" && continue 2
    sleep 0.1
  done
  tail -n 3 "$work/$api.out" >&2
  fail "the mock of $api does not start"
done
wait "$build" || fail "the tests do not build"

cat >"$work/mocks.json" <<JSON
{
  "notion": "${at[notion]}/v1",
  "trello": "${at[trello]}/1",
  "slack": "${at[slack]}/api",
  "drive": "${at[drive]}/drive/v3",
  "drive_upload": "${at[drive]}/upload/drive/v3",
  "sheets": "${at[sheets]}/v4",
  "google_token": "${at[oauth]}/token",
  "google_tokeninfo": "${at[oauth]}/tokeninfo"
}
JSON
cd "$here/../.."
RUST_BACKTRACE=0 OPSCTL_CONTRACT_MOCKS=$(cat "$work/mocks.json") \
  cargo test --quiet --lib -- --ignored --nocapture --test-threads 1 platforms::tests::contracts || fail "see above"
