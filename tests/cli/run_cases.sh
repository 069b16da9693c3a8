#!/bin/sh
# Runs the command-line cases: sh tests/cli/run_cases.sh [FILE.case...] (all of tests/cli without arguments).
#
# A case file is a little session in an empty folder, told line by line:
#   $ COMMAND      a shell command; `tunesmith` is the program under test. Each command is one check
#   + TEXT         goes on with the command (here documents)
#   > TEXT         the next line it must print, exactly        >~ REGEX   or one that this matches (grep -E)
#   ! TEXT         the next line on stderr, exactly            !~ REGEX   likewise
#   >* and !*      whatever else comes, or nothing
#   ? N            its exit code; 0 where it is not said
#   # TEXT         a remark; empty lines too
# What is not said must not happen: a line too many on stdout or stderr is a failure. $SOURCE is the source tree,
# $SHARED the oracles outside the tree. A line `skip-without PATH` skips the rest of the file where PATH is not there.
here=$(cd "$(dirname "$0")" && pwd)
SOURCE=$(cd "${TS_SOURCE_DIR:-$here/../..}" && pwd)
SHARED=${TUNESMITH_SHARED:-$SOURCE/../shared}
TS_BINARY=${TS_BINARY:-$SOURCE/build/release/tunesmith}
export SOURCE SHARED
unset COLUMNS TUNESMITH_MODELS
[ -x "$TS_BINARY" ] || { echo "0 passed, 0 failed, 1 skipped: $TS_BINARY is not built"; exit 0; }
work=$(mktemp -d)
export TUNESMITH_TURNS="$work/turns"
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/io"
ln -s "$(readlink -f "$TS_BINARY")" "$work/bin/tunesmith"
PATH=$work/bin:$PATH
passed=0 failed=0 skipped=0

# Compares FILE with the wanted lines in WANT (each `= text`, `~ regex` or `*`); prints what differs.
compare() {
    awk -v wantfile="$2" '
        BEGIN { while ((getline line < wantfile) > 0) want[++n] = line }
        { got[++m] = $0 }
        END {
            i = 1
            for (k = 1; k <= n; k++) {
                kind = substr(want[k], 1, 1); text = substr(want[k], 3)
                if (kind == "*") exit 0
                if (i > m) { print "  missing: " text; exit 1 }
                if (kind == "=" ? got[i] != text : got[i] !~ text) {
                    print "  wanted:  " text; print "  got:     " got[i]; exit 1
                }
                i++
            }
            if (i <= m) { print "  too much: " got[i]; exit 1 }
        }' "$1"
}

# Runs the command that was collected, if there is one, and checks it.
check() {
    [ -s "$work/io/command" ] || return 0
    (cd "$work/case" && timeout 120 sh "$work/io/command" </dev/null >"$work/io/out" 2>"$work/io/err")
    code=$?
    { compare "$work/io/out" "$work/io/want-out" && compare "$work/io/err" "$work/io/want-err" &&
        { [ "$code" = "$want_code" ] || { echo "  exit code $code, wanted $want_code"; false; }; }; } >"$work/io/diff"
    if [ $? = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not ok $name:$at: $(head -1 "$work/io/command")"
        cat "$work/io/diff"
        [ ! -s "$work/io/err" ] || sed 's/^/  stderr: /' "$work/io/err" | head -5
    fi
    : >"$work/io/command"
}

run_file() {
    name=$(basename "$1") at=0 want_code=0 number=0
    rm -rf "$work/case"
    mkdir "$work/case"
    : >"$work/io/command"
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1))
        case $line in
        '$ '*)
            check
            at=$number want_code=0
            printf '%s\n' "${line#??}" >"$work/io/command"
            : >"$work/io/want-out"
            : >"$work/io/want-err"
            ;;
        '+ '* | '+') rest=${line#?}; printf '%s\n' "${rest# }" >>"$work/io/command" ;;
        '>~ '*) printf '~ %s\n' "${line#???}" >>"$work/io/want-out" ;;
        '>*') echo '*' >>"$work/io/want-out" ;;
        '> '* | '>') rest=${line#?}; printf '= %s\n' "${rest# }" >>"$work/io/want-out" ;;
        '!~ '*) printf '~ %s\n' "${line#???}" >>"$work/io/want-err" ;;
        '!*') echo '*' >>"$work/io/want-err" ;;
        '! '* | '!') rest=${line#?}; printf '= %s\n' "${rest# }" >>"$work/io/want-err" ;;
        '? '*) want_code=${line#??} ;;
        'skip-without '*)
            check
            need=$(eval "echo ${line#skip-without }")
            [ -e "$need" ] || { echo "skipped: the rest of $name ($need is not there)"; skipped=$((skipped + 1)); return; }
            ;;
        '' | '#'*) ;;
        *) echo "not ok $name:$number: not a line of a case: $line"; failed=$((failed + 1)) ;;
        esac
    done <"$1"
    check
}

[ $# -gt 0 ] || set -- "$here"/*.case
for file in "$@"; do run_file "$file"; done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
