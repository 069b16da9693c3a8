#!/bin/sh
# The house's rules that a script can check. Prints each offence as `not ok FILE:LINE what`; last line as the other tests.
cd "${TS_SOURCE_DIR:-$(dirname "$0")/../..}" || exit 1
out=$(mktemp)
trap 'rm -f "$out"' EXIT
files=$(find core dataset eval tui -name '*.[ch]' | sort)

# Who may include whom: folder, then the folders it may name.
allowed() {
    case $1 in
    core/base) echo "core/base" ;;
    core/text) echo "core/base core/text" ;;
    core/work) echo "core/base core/text core/work" ;;
    core/model) echo "core/base core/text core/work core/model" ;;
    core/engine) echo "core/base core/text core/work core/model core/engine" ;;
    dataset) echo "core/base core/text core/work core/model dataset" ;;
    eval) echo "core/base core/text core/work core/model core/engine dataset eval" ;;
    tui) echo "core/base core/text core/work core/model core/engine dataset eval tui" ;;
    esac
}

# The one home of each foreign header: an extended regular expression of files.
home() {
    case $1 in
    ncurses.h | curses.h | ncursesw/*) echo '^tui/term_ncurses\.c$' ;;
    cjson/*) echo '^core/base/json\.c$' ;;
    cblas.h | openblas*) echo '^core/base/linalg\.c$' ;;
    pcre2.h | utf8proc.h) echo '^core/text/[a-z0-9_]*\.c$' ;;
    sqlite3.h) echo '^dataset/[a-z0-9_]*\.c$' ;;
    curl/*) echo '^eval/http\.c$' ;;
    zlib.h) echo '^core/base/gzip\.c$' ;;
    xxhash.h) echo '^core/base/hash\.c$' ;;
    *) echo . ;;
    esac
}

check_includes() {
    for f in $files; do
        dir=$(dirname "$f")
        may=" $(allowed "$dir") "
        sed -n 's/^#include "\(.*\)".*/\1/p' "$f" | while read -r h; do
            hdir=$(dirname "$h")
            case $may in *" $hdir "*) ;; *) echo "not ok $f: includes $h, which $dir may not use" ;; esac
            [ -f "$h" ] || echo "not ok $f: includes $h, which is not there (write paths from the root)"
        done
        sed -n 's/^# *include <\(.*\)>.*/\1/p' "$f" | while read -r h; do
            echo "$f" | grep -qE "$(home "$h")" || echo "not ok $f: <$h> has another home"
        done
    done
}

check_lines() {
    for f in $files; do
        lines=$(wc -l <"$f")
        [ "$lines" -le 900 ] || echo "not ok $f: $lines lines, the limit is 900"
    done
    # shellcheck disable=SC2086
    grep -nE '\b(strcpy|strcat|sprintf|strtok|gets|atoi|localtime|gmtime)\(' $files | sed 's/^/not ok /; s/$/ (banned function)/'
    # shellcheck disable=SC2086
    grep -nE '\b(TODO|FIXME|XXX)\b' $files | sed 's/^/not ok /; s/$/ (unfinished)/'
    # shellcheck disable=SC2046
    grep -LE '^#ifndef TS_' $(find core dataset eval tui -name '*.h') | sed 's/^/not ok /; s/$/: no include guard TS_.../'
}

check_includes >"$out"
check_lines >>"$out"
cat "$out"
bad=$(wc -l <"$out")
checked=$(echo "$files" | wc -l)
echo "$((checked - (bad > checked ? checked : bad))) passed, $bad failed, 0 skipped"
[ "$bad" = 0 ]
