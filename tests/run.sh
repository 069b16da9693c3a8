#!/bin/sh
# Installs what the tests need, builds twice (release with gcc; AddressSanitizer + UBSan with clang) and runs every test.
#
#   sh tests/run.sh [--no-install] [--quick]
#
# --no-install  do not touch packages         --quick  the release build only, without slow, fuzz and terminal tests
# Last line: `N passed, N failed, N skipped`. Exit 0 only if nothing failed; where the oracles (TUNESMITH_SHARED) and
# the real model are on this machine, a skipped test is a failure too, because nothing may fall out of sight there.
set -u
cd "$(dirname "$0")/.." || exit 1
install=yes quick=
for word in "$@"; do
    case $word in
    --no-install) install= ;;
    --quick) quick=yes ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
packages="build-essential cmake pkg-config clang libclang-rt-14-dev libncurses-dev libsqlite3-dev zlib1g-dev libcjson-dev libopenblas-dev
    libpcre2-dev libutf8proc-dev libxxhash-dev libcurl4-openssl-dev libcmocka-dev libvterm-dev tmux"

say() { echo "tests/run.sh: $*"; }

install_packages() {
    missing=
    for p in $packages; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q "ok installed" || missing="$missing $p"
    done
    [ -n "$missing" ] || return 0
    say "installing:$missing"
    root=
    [ "$(id -u)" = 0 ] || root=sudo
    $root apt-get update -q >/dev/null || say "apt-get update failed; trying with the lists that are there"
    # shellcheck disable=SC2086
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null || {
        say "could not install:$missing; install them by hand, then use --no-install"
        exit 1
    }
}
[ -z "$install" ] || install_packages

# The library picks its kernels from these at load time; tests run on what a user's machine would choose.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export TUNESMITH_SHARED="${TUNESMITH_SHARED:-$PWD/../shared}"
launcher=
command -v ccache >/dev/null 2>&1 && launcher=-DCMAKE_C_COMPILER_LAUNCHER=ccache
total_passed=0 total_failed=0 total_skipped=0
mkdir -p build

build() { # build PRESET ARGS...
    preset=$1
    shift
    say "building $preset"
    # shellcheck disable=SC2086
    { cmake --preset "$preset" $launcher -DTS_WERROR=ON "$@" && cmake --build --preset "$preset" -j"$(nproc)"; } \
        >"build/$preset.log" 2>&1 && return 0
    grep -E -A3 "error:|warning:|Error" "build/$preset.log" | head -60
    say "the $preset build failed; the whole output is in build/$preset.log"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
}

# Adds up what the programs say: cmocka's summary lines and our scripts' own; a program without either is one test.
count() {
    awk '
        function close_test() { if (name != "" && !said) passed++ ; said = 0 }
        /^test [0-9]+$/ { close_test(); name = $2 }
        /\[  PASSED  \] [0-9]+ test/ { sub(/.*PASSED  \] /, ""); passed += $1; said = 1 }
        /\[  SKIPPED \] ([^ ]*: )?[0-9]+ test/ { sub(/.*SKIPPED \] ([^ ]*: )?/, ""); skipped += $1; said = 1 }
        /\[  FAILED  \] ([^ ]*: )?[0-9]+ test/ { sub(/.*FAILED  \] ([^ ]*: )?/, ""); failed += $1; said = 1 }
        /: [0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ {
            sub(/^[0-9]+: /, ""); passed += $1; failed += $3; skipped += $5; said = 1 }
        END { close_test(); print passed + 0, failed + 0, skipped + 0 }' "$1"
}

check() { # check PRESET CTEST_ARGS...
    preset=$1
    shift
    say "testing $preset"
    log=build/$preset-tests.log
    ctest --test-dir "build/$preset" -V "$@" >"$log" 2>&1
    broken=$?
    grep -E "^ *[0-9]+/[0-9]+ Test .*(Failed|Timeout|Exception|Not Run)" "$log"
    grep -E "\[  FAILED  \]|ERROR: (Address|Leak)Sanitizer|runtime error:|--- |: error: |^[0-9]+: not ok" "$log" | head -60
    grep -E "skipped: " "$log" | sed 's/^[0-9]*: //' | sort | uniq -c
    # shellcheck disable=SC2046
    set -- $(count "$log")
    [ $broken = 0 ] || [ "$2" -gt 0 ] || set -- "$1" 1 "$3"
    say "$preset: $1 passed, $2 failed, $3 skipped (build/$preset-tests.log)"
    total_passed=$((total_passed + $1)) total_failed=$((total_failed + $2)) total_skipped=$((total_skipped + $3))
}

build release -DCMAKE_C_COMPILER=gcc
if [ -n "$quick" ]; then
    check release -LE 'slow|fuzz|term'
else
    check release
    build asan -DCMAKE_C_COMPILER=clang
    check asan -LE 'slow|lint'
fi

model=${TUNESMITH_MODELS:-$HOME/.cache/tunesmith/models}/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf
if [ -d "$TUNESMITH_SHARED/golden" ] && [ -f "$model" ] && [ $total_skipped -gt 0 ]; then
    say "$total_skipped tests were skipped although the oracles and the real model are here: that counts as failed"
    total_failed=$((total_failed + total_skipped)) total_skipped=0
fi
echo "$total_passed passed, $total_failed failed, $total_skipped skipped"
[ $total_failed = 0 ]
