#!/usr/bin/env bash
# The commands of docs/restate.md as they are written there: a cluster of three nodes and three workers comes up, and a
# queue is moved onto it. The platforms are the simulators, and consent is given ahead, since nobody is at the prompt.
. "$(dirname "$0")/lib/serve.bash" "$@"
. "$(dirname "$0")/lib/restate.bash"
need curl jq
for port in 3000 3001 9080 {90,91,92}70 {80,81,82}80 {51,52,53}22; do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && skip "somebody listens on port $port, which the commands use"
done
docs=$(realpath "$(dirname "$0")/../../docs/restate.md")
install_restate
actions=40

# block HEADING: the commands below a heading.
block() { awk -v heading="## $1" '/^## /{on=($0==heading)} on&&/^```/{code=!code;next} on&&code' "$docs"; }

mkdir -p "$work/home" "$work/sims" "$work/desk"
export HOME=$work/home
unset XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_CACHE_HOME
"$opsctl" sandbox sims --dir "$work/sims" >"$work/sims.out" 2>&1 &
started+=($!)
for _ in $(seq 100); do [ -s "$work/sims/simulators.json" ] && break; sleep 0.1; done
jq .endpoints "$work/sims/simulators.json" >"$work/endpoints.json"
cat >"$work/bin/opsctl" <<SHIM
#!/usr/bin/env bash
case "\$1 \$2" in
  "serve "* | "worker --engine") set -- "\$@" --endpoints "$work/endpoints.json" ;;
esac
case "\$*" in
  *"state export"* | *"state import"*) set -- "\$@" --yes ;;
esac
exec "$opsctl" "\$@"
SHIM
chmod +x "$work/bin/opsctl"
export PATH=$work/bin:$PATH APPROVAL_RULES=none TRELLO_RATE_LIMIT=1000000 RESTATE_DISABLE_TELEMETRY=true
while IFS='=' read -r name value; do export "$name=$value"; done \
  < <(jq -r '.environment | to_entries[] | "\(.key)=\(.value)"' "$work/sims/simulators.json")

cd "$work/desk"
opsctl serve >"$work/serve.out" 2>&1 &
started+=($!)
for _ in $(seq 100); do curl -fsS -o /dev/null http://127.0.0.1:3000/health 2>/dev/null && break; sleep 0.1; done

# Each in a group of its own, which ends with everything it started.
type_block() {
  { echo 'set -eu'; block "$1"; } >"$work/$2.sh"
  [ "$(wc -l <"$work/$2.sh")" -gt 3 ] || fail "there are no commands below \`$1\`"
  setsid timeout --foreground 180 bash "$work/$2.sh" >"$work/$2.out" 2>&1 &
  started+=("-$!")
  wait "$!" || { echo "exit $?" >>"$work/$2.out"; cat "$work/$2.out" >&2; fail "the commands below \`$1\`"; }
}

type_block "A cluster, workers, and the service in front" cluster
grep -q 'Restate 1\.' "$work/cluster.out" || { cat "$work/cluster.out" >&2; fail "no word about the cluster"; }
echo "a cluster came up as the docs say"

# What is moved: it waits, because the first command of the next block pauses what is still empty.
opsctl --context local queue pause --reason "before it is filled" >/dev/null
for n in $(seq $actions); do printf '{"type":"create","platform":"trello","data":{"name":"moved %s"},"correlationId":"moved-%s"}\n' "$n" "$n"; done \
  | jq -s . >"$work/actions.json"
curl -fsS -o /dev/null -H "Authorization: Bearer $(cat "$HOME"/.local/share/opsctl/serve/admin.token)" \
  -H 'content-type: application/json' --data @"$work/actions.json" http://127.0.0.1:3000/admin/v1/actions
type_block "Moving the queue over, and back" moving
grep -E "^(Exported|Left|Imported) " "$work/moving.out"

made() {
  curl -fsS -H "x-sandbox-token: $(jq -r .control.token "$work/sims/simulators.json")" \
    "$(jq -r .control.url "$work/sims/simulators.json")/stats" | jq -c '.apis.trello.createdByName // {} | with_entries(select(.key | startswith("moved ")))'
}
for _ in $(seq 300); do [ "$(made | jq length)" = $actions ] && break; sleep 0.2; done
[ "$(made | jq '[.[]] | add')" = $actions ] && [ "$(made | jq length)" = $actions ] \
  || { cat "$work/moving.out" >&2; fail "of $actions actions were made: $(made)"; }
echo "$actions actions were moved as the docs say, and each was made once"
