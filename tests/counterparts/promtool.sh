#!/usr/bin/env bash
# The metrics as Prometheus reads them: its linter, a real scrape, and the strict reference parser of OpenMetrics.
. "$(dirname "$0")/lib/serve.bash" "$@"
need curl jq promtool

serve || fail "opsctl serve does not start"
# Something to count.
for n in 1 2 3; do
  curl -fsS -o /dev/null -X POST "$url/admin/v1/actions" -H "authorization: Bearer $token" \
    -H 'content-type: application/json' \
    -d "{\"id\":\"m$n\",\"type\":\"create\",\"platform\":\"trello\",\"data\":{\"name\":\"m\",\"listId\":\"0123456789abcdef01234567\"}}"
done

curl -fsS "$url/metrics" -H 'accept: application/openmetrics-text; version=1.0.0' -D "$work/head" -o "$work/metrics"
grep -qi '^content-type: application/openmetrics-text' "$work/head" || fail "content type: $(grep -i ^content-type "$work/head")"
[ "$(tail -n 1 "$work/metrics")" = "# EOF" ] || fail "the last line is not # EOF"
samples=$(grep -vc '^#' "$work/metrics")
[ "$samples" -ge 10 ] || fail "only $samples samples"

# promtool's linter reads the older text format: a family's name carries `_total` or `_info`, and there are no units.
awk '$1 == "#" && $2 == "UNIT" || $0 == "# EOF" { next }
     $1 == "#" && $2 == "TYPE" && $4 == "counter" { suffix[$3] = "_total" }
     $1 == "#" && $2 == "TYPE" && $4 == "info" { suffix[$3] = "_info"; $4 = "gauge" }
     $1 == "#" { $3 = $3 suffix[$3] }
     { print }' "$work/metrics" \
  | promtool check metrics >"$work/lint" 2>&1 || { cat "$work/lint" >&2; fail "promtool check metrics"; }

# What a check writes for node_exporter is read as the older format too.
env "${context[@]}" OPSCTL_STATE_DIR="$work/state" "$opsctl" check alerts --textfile "$work/alerts.prom" >/dev/null 2>&1 || [ $? -eq 3 ] \
  || fail "check alerts"
[ "$(tail -n 1 "$work/alerts.prom")" = "# EOF" ] || fail "the last line of the textfile is not # EOF"
promtool check metrics <"$work/alerts.prom" >"$work/lint" 2>&1 || { cat "$work/lint" >&2; fail "promtool check metrics, textfile"; }
echo "textfile: $(grep -vc '^#' "$work/alerts.prom") samples, linted"
# Every question of the dashboard is one that Prometheus understands.
env -i PATH="$PATH" HOME="$work" "${context[@]}" "$opsctl" dashboard refresh --file "$work/board.json" >"$work/board.out" 2>&1 \
  || { cat "$work/board.out" >&2; fail "dashboard refresh"; }
jq '{groups: [{name: "dashboard", rules: [.panels[].targets[]?.expr] | to_entries
     | map({record: "dashboard:question\(.key)", expr: .value})}]}' "$work/board.json" >"$work/rules.json"
promtool check rules "$work/rules.json" >"$work/rules.out" 2>&1 || { cat "$work/rules.out" >&2; fail "promtool check rules"; }
echo "dashboard: $(jq '.groups[0].rules | length' "$work/rules.json") questions"

if command -v prometheus >/dev/null 2>&1; then
  port=$(free_port)
  cat >"$work/prometheus.yml" <<YAML
global: { scrape_interval: 1s }
scrape_configs: [ { job_name: opsctl, static_configs: [ { targets: [ "${url#http://}" ] } ] } ]
YAML
  prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" \
    --web.listen-address="127.0.0.1:$port" >"$work/prometheus.out" 2>&1 &
  started+=($!)
  ask() { curl -fsS "http://127.0.0.1:$port/api/v1/query" --data-urlencode "query=$1" 2>/dev/null || true; }
  for _ in $(seq 150); do
    scraped=$(ask 'up{job="opsctl"} == 1')
    case $scraped in *'"value"'*) break ;; esac
    sleep 0.2
  done
  case $scraped in *'"value"'*) ;; *) tail -n 3 "$work/prometheus.out" >&2; fail "Prometheus cannot scrape it: $scraped" ;; esac
  jq -r '.panels[].targets[]?.expr' "$work/board.json" | while read -r question; do
    case $(ask "$question") in *'"status":"success"'*) ;; *) fail "Prometheus does not answer: $question" ;; esac
  done
  echo "scraped by $(prometheus --version 2>&1 | head -n 1 | cut -d' ' -f1-3)"
else
  echo "no prometheus server here: linted only"
fi

if command -v python3 >/dev/null 2>&1; then
  (python_with prometheus-client) && "$work/venv/bin/python" - "$work/metrics" "$work/alerts.prom" <<'PY' || fail "not OpenMetrics"
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for path in sys.argv[1:]:
    families = list(text_string_to_metric_families(open(path).read()))
    print(f"{len(families)} families, {sum(len(f.samples) for f in families)} samples, valid OpenMetrics")
PY
fi
