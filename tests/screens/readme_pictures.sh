#!/bin/sh
# Puts the frames of the tests and the built-in key table into README.md, between their marks:
#   <!-- frame NAME --> ... <!-- end frame -->      <!-- keys --> ... <!-- end keys -->
# NAME is tests/screens/readme-NAME.frame.
# usage: sh tests/screens/readme_pictures.sh [PROGRAM]   (default build/release/tunesmith)
set -eu
cd "$(dirname "$0")/../.."
program=${1:-build/release/tunesmith}
keys=$(mktemp)
out=$(mktemp)
trap 'rm -f "$keys" "$out"' EXIT
"$program" keys >"$keys"
awk -v keys="$keys" '
    function copy(file, line) { while ((getline line < file) > 0) print line; close(file) }
    /^<!-- frame .* -->$/ { print; print "```text"; copy("tests/screens/readme-" $3 ".frame"); print "```"; skip = 1; next }
    /^<!-- keys -->$/ { print; copy(keys); skip = 1; next }
    /^<!-- end (frame|keys) -->$/ { skip = 0 }
    !skip { print }
' README.md >"$out"
cat "$out" >README.md
