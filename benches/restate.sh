#!/usr/bin/env bash
# The queue's verbs over 100,000 invocations of a real Restate, beside the bare calls to it and the `restate` CLI: the answers
# compared first, then one round-robin run. Read the ratios. Needs cargo, curl, node and npm; leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${OPSCTL_BENCH_PROFILE:-dist}
[ -n "${OPSCTL_BIN:-}" ] || cargo build --quiet --profile "$profile"
set -- "${OPSCTL_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/$profile/opsctl}"
. tests/counterparts/lib/serve.bash
need curl node npm

mkdir "$work/npm" "$work/sims"
cp tests/counterparts/restate/package*.json "$work/npm"
version=$(node -p "require('$work/npm/package.json').dependencies['@restatedev/restate-server']")
(cd "$work/npm" && npm ci --no-audit --no-fund --ignore-scripts &&
  npm install --no-save --no-audit --no-fund --ignore-scripts "@restatedev/restate@$version") >"$work/npm.out" 2>&1 ||
  fail "cannot install Restate: $(grep -m 1 'npm error' "$work/npm.out")"
binary() { ls "$work"/npm/node_modules/@restatedev/*/bin/"$1" | head -n 1; }

# start NAME [VARIABLE=VALUE...] COMMAND...: a process that ends with this script.
start() {
  env -i PATH="$PATH" HOME="$work" "${@:2}" >"$work/$1.log" 2>&1 &
  started+=($!)
}
# until_true COMMAND...: waits for it, for a minute at most.
until_true() {
  for _ in $(seq 600); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
  tail -n 5 "$work"/*.log >&2
  fail "does not come about: $*"
}
admin_port=$(free_port) ingress_port=$(free_port) fabric=$(free_port) services=$(free_port) port=$(free_port)
admin=http://127.0.0.1:$admin_port ingress=http://127.0.0.1:$ingress_port url=http://127.0.0.1:$port

start sims "$opsctl" sandbox sims --dir "$work/sims"
# What backs off keeps its place: there have to be more of them than items that wait.
start node RESTATE_ADMIN__BIND_ADDRESS="127.0.0.1:$admin_port" RESTATE_INGRESS__BIND_ADDRESS="127.0.0.1:$ingress_port" \
  RESTATE_BIND_ADDRESS="127.0.0.1:$fabric" RESTATE_DEFAULT_NUM_PARTITIONS=4 RESTATE_DISABLE_TELEMETRY=true \
  RESTATE_WORKER__INVOKER__CONCURRENT_INVOCATIONS_LIMIT=100000 \
  "$(binary restate-server)" --no-logo --listen-mode tcp --node-name n1 --cluster-name bench --base-dir "$work/node"
until_true test -s "$work/sims/simulators.json"
of_sims() { node -p "const sims = JSON.parse(require('fs').readFileSync('$work/sims/simulators.json')); $1"; }
of_sims 'JSON.stringify(sims.endpoints)' >"$work/endpoints.json"
mapfile -t credentials < <(of_sims 'Object.entries(sims.environment).map(([k, v]) => `${k}=${v}`).join("\n")')
start worker "${credentials[@]}" TRELLO_RATE_LIMIT=1000000 APPROVAL_RULES=none \
  "$opsctl" worker --engine restate --restate-ingress "$ingress" --listen "127.0.0.1:$services" --endpoints "$work/endpoints.json"
until_true env -i PATH="$PATH" HOME="$work" \
  "$opsctl" worker register "http://127.0.0.1:$services" --restate-admin "$admin" --yes
start serve APPROVAL_RULES=none "$opsctl" serve --engine restate --restate-admin "$admin" --restate-ingress "$ingress" \
  --listen "127.0.0.1:$port" --data-dir "$work/data"
until_true curl -fsS "$url/health"
mkdir -p "$work/config"
printf '[contexts.served]\nurl = "%s"\ncredential.file = "%s"\n' "$url" "$work/data/admin.token" >"$work/config/config.toml"

echo "## 100,000 invocations on Restate $version ($(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg))"
echo
# The bound is no measure: without it a cluster that never answers would hold everything up.
env -i PATH="$PATH" HOME="$work" OPSCTL_CONFIG_DIR="$work/config" OPSCTL_CONTEXT=served OPSCTL_TOKEN="$(cat "$work/data/admin.token")" \
  RESTATE_ADMIN_URL="$admin" RESTATE_INGRESS_URL="$ingress" OPSCTL="$opsctl" OPSCTL_URL="$url" RESTATE="$(binary restate)" \
  ROUNDS="${OPSCTL_BENCH_ROUNDS:-3}" timeout 900 node benches/restate.mjs
