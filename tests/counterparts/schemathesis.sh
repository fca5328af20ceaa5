#!/usr/bin/env bash
# The served OpenAPI document, taken at its word: generated requests, valid and not, against the real server. No
# server error, no answer that the document does not describe.
. "$(dirname "$0")/lib/serve.bash" "$@"
need curl
python_with 'schemathesis>=4.32,<5'

serve || fail "opsctl serve does not start"
ask() { curl -fsS "$url$1" -H "authorization: Bearer $token" -o "${2:-/dev/null}"; }
ask /admin/v1/openapi.json "$work/openapi.json" || fail "no OpenAPI document"
cd "$work"
# 503 is the documented "not now": a full queue, a pause, a part that restarts. Every other 5xx is a failure.
printf '[checks]\nnot_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]\n' >schemathesis.toml

generated() {
  local bearer=$1
  shift
  "$work/venv/bin/schemathesis" --config-file schemathesis.toml run openapi.json --url "$url" \
    --header "Authorization: Bearer $bearer" --phases coverage,fuzzing --seed 7 --workers 2 --no-color \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
    --max-failures 20 --max-examples "${OPSCTL_SCHEMATHESIS_EXAMPLES:-15}" "$@" >report 2>&1 \
    || { tail -n 120 report; fail "see above"; }
  grep -E '^  [0-9]+ generated' report
}
# It finds out the id of its own token, and it locks the service down: what takes the token away comes last, the
# lockdown with the one token that it leaves.
generated "$token" --exclude-operation-id revokeToken --exclude-operation-id lockDown
ask /admin/v1 || fail "the token does not work any more: what came after that proves nothing"
generated "$token" --include-operation-id revokeToken
generated "$(cat "$data/break-glass.token")" --include-operation-id lockDown
curl -fsS "$url/health" -o /dev/null || fail "the server does not answer any more"
