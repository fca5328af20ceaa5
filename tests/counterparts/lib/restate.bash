# Sourced by the checks that need a real Restate: installs it, with the example's services, into `$work/restate`.
install_restate() {
  need node npm
  cp -r "$(dirname "${BASH_SOURCE[0]}")/../restate" "$work/restate"
  (cd "$work/restate" && npm ci --no-audit --no-fund --ignore-scripts >"$work/npm.out" 2>&1) \
    || skip "cannot install Restate: $(grep -m 1 'npm error' "$work/npm.out")"
  local server
  server=$(ls "$work"/restate/node_modules/@restatedev/*/bin/restate-server 2>/dev/null | head -n 1)
  [ -x "$server" ] || skip "there is no Restate server for this machine in its packages"
  # For whoever types its name.
  mkdir -p "$work/bin" && ln -s "$server" "$work/bin/restate-server"
}
