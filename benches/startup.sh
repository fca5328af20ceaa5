#!/usr/bin/env bash
# Start-up, one request, and the fan-out of `check health`, beside what people use today. One round-robin run each, so
# read the ratios. Needs cargo, curl, node and npm; leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --profile dist
cargo bench --quiet --profile dist --no-run --bench timer
set -- "${CARGO_TARGET_DIR:-$PWD/target}/dist/opsctl"
repository=$PWD
. tests/counterparts/lib/serve.bash
need cargo curl node npm
rounds=${OPSCTL_BENCH_ROUNDS:-21}

timer() {
  env -i PATH="$PATH" HOME="$work" CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" \
    "${context[@]}" OPSCTL_TIMEOUT=2s \
    cargo bench --quiet --profile dist --manifest-path "$repository/Cargo.toml" --bench timer -- "$@"
}

serve || fail "opsctl serve does not start"
mkdir "$work/npm"
cat >"$work/npm/package.json" <<'JSON'
{ "name": "ops", "private": true, "scripts": { "queue:status": "node queue-status.mjs" } }
JSON
cat >"$work/npm/queue-status.mjs" <<JS
const answer = await fetch("$url/queue");
console.table(await answer.json());
JS

echo "## Start-up and one request ($(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg))"
echo
timer -n "$rounds" -r /bin/true -r 'curl /queue' <<LIST
/bin/true	/bin/true
opsctl --version	$opsctl --version
opsctl --help	$opsctl --help
curl --version	curl --version
opsctl queue status	$opsctl queue status
curl /queue	curl -s $url/queue
npm run -s queue:status	npm --prefix $work/npm run -s queue:status
LIST

# Three vendors' status feeds that answer after 200 ms; the fourth takes the request and never answers, or answers too.
cat >"$work/feeds.mjs" <<'JS'
import http from "node:http";
const page = { page: { id: "x", name: "x" }, status: { indicator: "none", description: "All Systems Operational" } };
const bodies = { "/slack": { status: "ok", active_incidents: [] }, "/google": [] };
http.createServer((request, answer) => {
  if (request.url.endsWith("/hang")) return;
  setTimeout(() => {
    answer.setHeader("content-type", "application/json");
    answer.end(JSON.stringify(bodies[request.url] ?? page));
  }, 200);
}).listen(Number(process.argv[2]), "127.0.0.1");
JS
feeds=$(free_port)
node "$work/feeds.mjs" "$feeds" &
started+=($!)
until curl -s -o /dev/null "http://127.0.0.1:$feeds/notion"; do sleep 0.05; done
base=http://127.0.0.1:$feeds

# fan_out URL-OF-THE-SECOND-FEED
fan_out() {
  printf '[contexts.served.platforms]\nstatus_notion = "%s"\nstatus_trello = "%s"\nstatus_slack = "%s"\nstatus_google = "%s"\n' \
    "$base/notion" "$1" "$base/slack" "$base/google" | cat "$work/served.toml" - >"$work/config/config.toml"
  timer -n 7 -r 'xargs -P4 curl -m 2' <<LIST
opsctl check health --all --external	$opsctl check health --all --external
xargs -P4 curl -m 2	$work/xargs $1
curl, one after the other	$work/serial $1
LIST
}
cp "$work/config/config.toml" "$work/served.toml"
for kind in 'xargs:xargs -P4 -n1' 'serial:xargs -n1'; do
  cat >"$work/${kind%%:*}" <<SH
#!/bin/sh
printf '%s\n' $base/notion "\$1" $base/slack $base/google | ${kind#*:} curl -s -m 2 -o /dev/null -w '%{url} %{http_code}\n'
SH
  chmod +x "$work/${kind%%:*}"
done

printf '\n## Fan-out, one feed of four never answers (deadline 2 s)\n\n'
fan_out "$base/hang"
printf '\n## Fan-out, all healthy (the slowest answers after 200 ms)\n\n'
fan_out "$base/trello"
