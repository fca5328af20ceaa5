#!/usr/bin/env bash
# Accepted means synced: between the arrival of a submission and the first byte of its acknowledgement, a sync of the
# database has started and ended. The kernel's own record of the calls is the witness.
. "$(dirname "$0")/lib/serve.bash" "$@"
need strace curl awk
strace -o /dev/null true 2>/dev/null || skip "this machine does not let strace trace"

trace=$work/trace
serve strace -f -y -s 1000000 -o "$trace" -e trace=read,recvfrom,write,writev,sendto,sendmsg,fdatasync,fsync \
  || fail "opsctl serve does not start under strace"

submit() {
  curl -fsS -o /dev/null -X POST "$url/admin/v1/actions" -H "authorization: Bearer $token" \
    -H 'content-type: application/json' -d "$1" || fail "submission refused"
}
action() {
  printf '{"id":"traced-%s","type":"create","platform":"trello","data":{"name":"traced-%s","listId":"0123456789abcdef01234567"}}' "$1" "$1"
}
# Paused, so that no other commit than the submission's own can stand in for it.
curl -fsS -o /dev/null -X POST "$url/admin/v1/pauses" -H "authorization: Bearer $token" \
  -H 'content-type: application/json' -d '{"scope":"queue"}' || fail "cannot pause"
for n in $(seq 1 20); do submit "$(action "$n")"; done
for n in $(seq 21 60); do submit "$(action "$n")" & done
wait $(jobs -p | tail -n +2)
submit "[$(action 61),$(action 62),$(action 63)]"

# Reads the trace; fails unless each of the 63 ids was received, synced and acknowledged in this order.
cat >"$work/judge.awk" <<'AWK'
function ids(line, found,    n, id) {
  n = 0
  while (match(line, /traced-[0-9]+/)) {
    id = substr(line, RSTART, RLENGTH)
    line = substr(line, RSTART + RLENGTH)
    if (!(id in found)) { found[id] = 1; n++ }
  }
  return n
}
{ pid = $1 }
# A call of one thread is split when another thread's comes in between.
/<unfinished \.\.\.>/ {
  if ($0 ~ /f(data)?sync\([0-9]+<[^>]*\.db(-wal)?>/) { sync_began[pid] = NR }
  if ($0 !~ /(write|writev|sendto|sendmsg)\(/) next
}
/<\.\.\. f(data)?sync resumed>/ {
  if ((pid in sync_began) && $0 ~ /= 0$/) { n_sync++; from[n_sync] = sync_began[pid]; to[n_sync] = NR }
  delete sync_began[pid]
  next
}
/ f(data)?sync\([0-9]+<[^>]*\.db(-wal)?>\) += 0$/ { n_sync++; from[n_sync] = NR; to[n_sync] = NR; next }
/(read|recvfrom)(\([0-9]+<(socket|TCP)| resumed>)/ {
  delete got; ids($0, got)
  for (id in got) if (!(id in received)) received[id] = NR
  next
}
/(write|writev|sendto|sendmsg)\([0-9]+<(socket|TCP)/ {
  delete got; ids($0, got)
  for (id in got) if (!(id in answered)) answered[id] = NR
}
END {
  bad = 0
  for (n = 1; n <= 63; n++) {
    id = "traced-" n
    if (!(id in received) || !(id in answered)) { printf "%s: not seen in the trace\n", id; bad++; continue }
    synced = 0
    for (s = 1; s <= n_sync && !synced; s++) synced = from[s] > received[id] && to[s] < answered[id]
    if (!synced) { printf "%s: acknowledged on line %d without a sync after line %d\n", id, answered[id], received[id]; bad++ }
  }
  printf "%d acknowledgements, %d completed syncs, %d acknowledgements without one\n", 63, n_sync, bad
  exit (bad > 0)
}
AWK
awk -f "$work/judge.awk" "$trace" || fail "an acknowledgement left before its sync"
# The judge can say no: without the syncs the same trace is refused.
grep -v 'sync' "$trace" >"$work/unsynced"
if awk -f "$work/judge.awk" "$work/unsynced" >/dev/null; then fail "the judge accepts a trace without syncs"; fi
