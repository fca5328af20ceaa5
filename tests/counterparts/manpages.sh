#!/usr/bin/env bash
# The man pages as mandoc reads them.
. "$(dirname "$0")/lib/serve.bash" "$@"
need mandoc
pages=$(dirname "$0")/../../man
ls "$pages"/*.1 >/dev/null 2>&1 || fail "there are no pages in man/"
mandoc -T lint -W warning "$pages"/*.1 || fail "mandoc warns"
echo "$(ls "$pages"/*.1 | wc -l) pages"
