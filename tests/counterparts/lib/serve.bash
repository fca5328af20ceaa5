# Sourced by the counterpart checks: a served orchestrator with its own data folder, and an end that leaves nothing.

set -euo pipefail

[ $# -ge 1 ] && [ -x "$1" ] || { echo "usage: $0 PATH-TO-OPSCTL" >&2; exit 2; }
opsctl=$(realpath "$1")
name=$(basename "$0" .sh)
work=$(mktemp -d "${TMPDIR:-/tmp}/opsctl-$name.XXXXXX")
started=()

finish() {
  for pid in "${started[@]}"; do
    # What it started itself would live on: strace's.
    pkill -9 -P "$pid" 2>/dev/null || true
    { kill -9 "$pid" && wait "$pid"; } 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

# Not a failure: something this machine lacks. .ci/run shows it by name.
skip() {
  echo "$name: skipped: $*"
  exit 77
}

fail() {
  echo "$name: FAILED: $*" >&2
  exit 1
}

need() {
  for tool in "$@"; do command -v "$tool" >/dev/null 2>&1 || skip "$tool is not installed"; done
}

# serve [PREFIX COMMAND...]: starts `opsctl serve`, under a prefix command if one is given, and waits until it answers.
# Sets `url`, `token` and `data`, and makes a context for it: `context` has the variables that choose it.
serve() {
  data=$work/data
  local port
  port=$(free_port)
  url=http://127.0.0.1:$port
  env -i PATH="$PATH" HOME="$work" QUEUE_MAX_SIZE=100000 "$@" \
    "$opsctl" serve --data-dir "$data" --listen "127.0.0.1:$port" >"$work/serve.out" 2>&1 &
  started+=($!)
  for _ in $(seq 600); do
    if curl -fsS -o /dev/null "$url/health" 2>/dev/null; then
      token=$(cat "$data/admin.token")
      mkdir -p "$work/config"
      printf '[contexts.served]\nurl = "%s"\ncredential.file = "%s"\n' "$url" "$data/admin.token" >"$work/config/config.toml"
      context=(OPSCTL_CONFIG_DIR="$work/config" OPSCTL_CONTEXT=served)
      return
    fi
    kill -0 "${started[-1]}" 2>/dev/null || break
    sleep 0.1
  done
  sed 's/^/  serve: /' "$work/serve.out" >&2
  return 1
}

# A port that nobody listens on now.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# A Python environment of its own with these packages, from the package index this machine uses.
python_with() {
  need python3
  python3 -m venv "$work/venv" >/dev/null 2>&1 || skip "python3 has no venv module"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check "$@" >"$work/pip.out" 2>&1 \
    || skip "cannot install $*: $(tail -n 1 "$work/pip.out")"
}
