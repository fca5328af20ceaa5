#!/usr/bin/env bash
# The timers as systemd reads them: every unit verified, and the days they name held against the calendar for years.
. "$(dirname "$0")/lib/serve.bash" "$@"
need systemd-analyze date

export HOME=$work OPSCTL_STATE_DIR=$work/state OPSCTL_CONFIG_DIR=$work/config XDG_RUNTIME_DIR=$work
"$opsctl" cron install --dir "$work/units" --notify 'slack:#ops-alerts' >"$work/out" 2>&1 || { cat "$work/out" >&2; fail "cron install"; }
systemd-analyze verify --man=no --user "$work"/units/* >"$work/verify" 2>&1 || { cat "$work/verify" >&2; fail "systemd-analyze verify"; }
units=$(ls "$work/units" | wc -l)

# elapses UNIT COUNT: the next days on which a timer runs, from the start of 2027.
elapses() {
  calendar=$(sed -n 's/^OnCalendar=//p' "$work/units/opsctl-local-$1.timer")
  TZ=UTC systemd-analyze calendar --base-time='2027-01-01 00:00:00' --iterations="$2" "$calendar" |
    sed -n 's/.*[[:space:]]\([0-9]\{4\}-[0-9]\{2\}-[0-9]\{2\}\) \([0-9:]*\).*/\1 \2/p'
}

# first_mondays MONTH...: those of ten years, worked out with date.
first_mondays() {
  for year in $(seq 2027 2036); do
    for month in "$@"; do
      weekday=$(date -u -d "$year-$month-01" +%u)
      date -u -d "$year-$month-01 + $(((8 - weekday) % 7)) days" '+%F 09:00:00'
    done
  done
}

diff <(first_mondays 01 02 03 04 05 06 07 08 09 10 11 12) <(elapses monthly 120) || fail "the months' first Mondays"
diff <(first_mondays 01 04 07 10) <(elapses quarterly 40) || fail "the quarters' first Mondays"
for day in $(elapses weekly 520 | cut -d' ' -f1); do
  [ "$(date -u -d "$day" +%u)" = 1 ] || fail "$day is no Monday"
done
[ "$(elapses daily 2 | tr '\n' ' ')" = "2027-01-01 09:00:00 2027-01-02 09:00:00 " ] || fail "daily: $(elapses daily 2)"
[ "$(elapses health 2 | tr '\n' ' ')" = "2027-01-01 00:05:00 2027-01-01 00:10:00 " ] || fail "health: $(elapses health 2)"
[ "$(elapses alerts 2 | tr '\n' ' ')" = "2027-01-01 00:01:00 2027-01-01 00:02:00 " ] || fail "alerts: $(elapses alerts 2)"
echo "$units units verified; 120 months, 40 quarters and 520 weeks fall on their Mondays"
