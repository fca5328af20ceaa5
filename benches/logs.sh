#!/usr/bin/env bash
# Log questions on 1 GiB, beside what people type today: the answers compared first, then one round-robin run, then the
# memory. Read the ratios. Needs cargo, rg, jq, gzip, GNU time, and DuckDB as a Python module (`pip install duckdb`;
# OPSCTL_BENCH_PYTHON names the python that has it). Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."
bytes=${OPSCTL_BENCH_BYTES:-1073741824} rounds=${OPSCTL_BENCH_ROUNDS:-7} python=${OPSCTL_BENCH_PYTHON:-python3}
target=${CARGO_TARGET_DIR:-$PWD/target}
opsctl=${OPSCTL_BIN:-$target/dist/opsctl}
[ -n "${OPSCTL_BIN:-}" ] || cargo build --quiet --profile dist
fail() { echo "error: $*" >&2; exit 1; }
for need in rg jq gzip /usr/bin/time; do command -v "$need" >/dev/null || fail "$need is not installed"; done
"$python" -c 'import duckdb' || fail "DuckDB is not installed for $python"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OPSCTL_CONFIG_DIR=$work/config OPSCTL_DATA_DIR=$work/data OPSCTL_STATE_DIR=$work/state \
  OPSCTL_CACHE_DIR=$work/cache LC_ALL=C

bench() { cargo bench --quiet --profile "${OPSCTL_BENCH_PROFILE:-dist}" --bench "$@"; }
log=$work/app.log
bench log_lines -- "$bytes" >"$log"
gzip -1 -c "$log" >"$work/packed.log.gz"

# command NAME: a script of that name with the lines from standard input.
command_of() { { echo '#!/bin/sh'; cat; } >"$work/$1" && chmod +x "$work/$1"; }
hour=2026-10-03T23:00:00.000Z needle=needle-7c1e9a52
command_of last.ours <<<"exec $opsctl logs search --file $log --level error --platform notion --limit 20 -o jsonl"
command_of last.peer <<<"tac $log | grep -F '\"level\":\"error\"' | grep -m20 -F '\"platform\":\"notion\"' | tac"
command_of none.ours <<<"exec $opsctl logs search --file $log --level error --grep no-line-has-this -o jsonl"
command_of lines.peer <<<"exec wc -l $log"
command_of hour.ours <<<"exec $opsctl logs search --file $log --level error --since $hour -o jsonl"
command_of hour.check <<<"jq -c 'select(.level == \"error\" and .timestamp >= \"$hour\")' $work/tail.log"
command_of sparse.ours <<<"exec $opsctl logs search --file $log --group-by errorCode -o csv"
command_of sparse.peer <<<"rg -N -o '\"errorCode\":\"[A-Z_]*\"' $log | sort | uniq -c"
command_of any.ours <<<"exec $opsctl logs search --file $log --group-by platform -o csv"
command_of any.peer <<SH
exec $python -c "import duckdb
for row in duckdb.sql(\"select platform, count(*) from read_json('$log', format='newline_delimited', columns={platform: 'VARCHAR'}) group by 1\").fetchall(): print(*row, sep=',')"
SH
command_of text.ours <<<"exec $opsctl logs search --file $log --grep $needle -o jsonl"
command_of text.peer <<<"exec rg -N --no-mmap -F $needle $log"
command_of packed.ours <<<"exec $opsctl logs search --file $work/packed.log.gz --grep $needle -o jsonl"
command_of packed.peer <<<"gzip -dc $work/packed.log.gz | wc -l"

# same WHAT ONE OTHER: the answers of two commands are equal.
same() { [ -s "$2" ] && diff -q "$2" "$3" >/dev/null || fail "the answers to $1 differ"; }
counts() { tr -d '"' | awk -F, 'NR > 1 || $2 ~ /^[0-9]+$/ { if ($2 ~ /^[0-9]+$/) print $1, $2 }' | sort; }
# The last hour as jq reads it: the lines are in order, so a tail is enough.
tail -c $((bytes / 36)) "$log" | tail -n +2 >"$work/tail.log"
for what in last text packed; do "$work/$what.ours" >"$work/$what.a" 2>"$work/err" || fail "$(cat "$work/err")"; done
"$work/last.peer" >"$work/b" && same last "$work/last.a" "$work/b"
"$work/text.peer" >"$work/b" && same text "$work/text.a" "$work/b" && same packed "$work/packed.a" "$work/b"
"$work/hour.ours" 2>/dev/null | jq -c . >"$work/a" && "$work/hour.check" >"$work/b" && same hour "$work/a" "$work/b"
[ -z "$("$work/none.ours" 2>/dev/null)" ] || fail "nothing was to be found"
"$work/sparse.ours" 2>/dev/null | counts >"$work/a"
"$work/sparse.peer" | awk -F'"' '{ split($1, n, " "); print $4, n[1] }' | sort >"$work/b" && same sparse "$work/a" "$work/b"
"$work/any.ours" 2>/dev/null | counts >"$work/a"
"$work/any.peer" | counts >"$work/b" && same any "$work/a" "$work/b"

echo "## Logs, $((bytes >> 20)) MiB, $(wc -l <"$log") lines ($(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)); answers equal"
echo
for case in $(ls "$work" | grep -E '\.(ours|peer)$'); do printf '%s\t%s\n' "$case" "$work/$case"; done |
  bench timer -- -n "$rounds" | tee "$work/times"

# verdict WHAT OURS PEER BAR, on the fastest of each
echo
echo "| question | ours ms | peer ms | ratio | bar | |"
echo "| --- | ---: | ---: | ---: | ---: | --- |"
verdict() {
  awk -F'|' -v ours=" $2.ours " -v peer=" $3.peer " -v bar="$4" -v what="$1" '
    $2 == ours { o = $4 } $2 == peer { p = $4 }
    END { printf "| %s | %.1f | %.1f | %.2f | %s | %s |\n", what, o, p, o / p, bar, o / p <= bar ? "met" : "missed" }' \
    "$work/times"
}
verdict "last 20 errors of a platform, beside tac, grep" last last 2
verdict "nothing matches, beside wc -l" none lines 2.5
verdict "errors of the last hour, beside wc -l" hour lines 0.14
verdict "group by a sparse key, beside rg, sort, uniq" sparse sparse 0.7
verdict "group by any key, beside DuckDB" any any 0.9
verdict "a text, beside rg --no-mmap" text text 1.25
verdict "a text from .gz, beside gzip -dc, wc -l" packed packed 1.1

echo
echo "| question | peak MiB |"
echo "| --- | ---: |"
command_of all.ours <<<"exec $opsctl logs search --file $log -o jsonl"
command_of many.ours <<<"exec $opsctl logs search --file $log --group-by workflowId"
for case in last none hour sparse any many text packed all; do
  /usr/bin/time -f %M -o "$work/peak" "$work/$case.ours" >/dev/null 2>&1
  printf '| %s | %.1f |\n' "$case" "$(awk '{ print $1 / 1024 }' "$work/peak")"
done
