#!/bin/sh
# GGUF files of ours in llama.cpp: models in every type, merged models and adapters. The loss of a token must agree with
# what we compute from the same file, and the tokenizers must give the same ids.
#
#   sh tests/interop/llamacpp.sh [HF_FOLDER]
#
# HF_FOLDER: the model as a Hugging Face folder in f32 (default: smollm2-135m-instruct-hf-f32 among the models).
# LLAMACPP: a folder with node-llama-cpp 3 in node_modules and its sources in src; without it one is made under build/.
# TUNESMITH: the program (default build/release/tunesmith). Prints versions and differences; exit 1 over tolerance.
# The mean over all tokens counts: llama.cpp rounds what it multiplies with f16, bf16 and quantised matrices to 16 or 8
# bits, we do not. With 8 bits single tokens differ by 0.06 on average (q8_0 as much as q4_0), the mean of 572 of them by
# some thousandths; a wrong order of bits or rows shows in the first digit.
set -eu
cd "$(dirname "$0")/../.."
models=${TUNESMITH_MODELS:-$HOME/.cache/tunesmith/models}
model=${1:-$models/smollm2-135m-instruct-hf-f32}
ts=${TUNESMITH:-build/release/tunesmith}
shared=${TUNESMITH_SHARED:-../shared}
[ -d "$model" ] || { echo "there is no Hugging Face folder $model; give one as the argument"; exit 1; }
[ -x "$ts" ] || { echo "there is no program $ts; build it or set TUNESMITH"; exit 1; }
llama=${LLAMACPP:-build/interop-llamacpp}
if [ ! -d "$llama/src" ]; then
    echo "fetching llama.cpp (node-llama-cpp 3) into $llama"
    mkdir -p "$llama"
    (cd "$llama" && npm i node-llama-cpp@3 --ignore-scripts >/dev/null &&
        git clone -q node_modules/node-llama-cpp/llama/gitRelease.bundle src)
fi
libs=$(cd "$llama/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE 2>/dev/null || true
${CC:-cc} -O2 -I"$llama/src/include" -I"$llama/src/ggml/include" tests/interop/llamacpp_nll.c -o "$work/llama" \
    "$libs"/libllama.v*.so "$libs"/libggml.v*.so "$libs"/libggml-base.so -Wl,-rpath,"$libs" -lm
echo "llama.cpp of node-llama-cpp $(sed -n 's/^  "version": "\(.*\)",/\1/p' "$llama/node_modules/node-llama-cpp/package.json"), tunesmith $("$ts" --version)"

grep '^{' samples/helpdesk.jsonl | head -6 > "$work/raw.jsonl"
python3 tests/interop/llamacpp.py rows "$work/raw.jsonl" "$work/texts" "$work/strings" "$work/rows"
"$ts" tokenize --model "$model" < "$work/rows" > "$work/ids"
python3 tests/interop/llamacpp.py ids "$work/ids" "$work/ours.jsonl" "$work/theirs.in"
fail=0

# check NAME TOLERANCE FILE.gguf [ADAPTER OURS]: the file in both programs
check() {
    label=$1 tolerance=$2 file=$3
    "$ts" nll --model "$file" ${5:+--adapter "$5"} "$work/ours.jsonl" --per-token --json --quiet > "$work/a"
    "$work/llama" "$libs" "$file" ${4:+"$4"} < "$work/theirs.in" > "$work/b" || { echo "    $label: llama.cpp does not load it"; fail=1; return; }
    python3 tests/interop/llamacpp.py nll "$label" "$work/a" "$work/b" "$tolerance" || fail=1
}

for type in ${TYPES:-f32 f16 bf16 q8_0 q6_k q5_k_m q5_1 q5_0 q4_k_m q4_1 q4_0}; do
    "$ts" convert --model "$model" --type "$type" --out "$work/$type.gguf" --quiet > /dev/null
    case $type in f32 | f16 | bf16) tolerance=1e-3 ;; *) tolerance=2e-2 ;; esac
    check "$type" $tolerance "$work/$type.gguf"
    [ "$type" = f32 ] && {
        "$work/llama" "$libs" "$work/f32.gguf" < "$work/texts" > "$work/b"
        "$ts" tokenize --model "$work/f32.gguf" < "$work/strings" > "$work/a"
        python3 tests/interop/llamacpp.py tokens "$work/a" "$work/b" || fail=1
        "$ts" tokenize --model "$model" < "$work/strings" > "$work/a"
        python3 tests/interop/llamacpp.py tokens "$work/a" "$work/b" || fail=1
    }
    [ "$type" = f32 ] || rm -f "$work/$type.gguf"
done
for adapter in "$shared"/golden/smollm2-135m/adapters/*; do
    [ -d "$adapter" ] || continue
    name=$(basename "$adapter")
    if "$ts" merge --model "$model" --adapter "$adapter" --type f32 --out "$work/merged.gguf" --quiet > "$work/said" 2>&1; then
        check "merged $name" 1e-3 "$work/merged.gguf"
    else
        sed 's/^/    /' "$work/said"
        fail=1
    fi
    rm -f "$work/merged.gguf"
    # what a GGUF adapter cannot say (DoRA, saved modules, ...) is refused with a sentence; that is no failure here
    rm -f "$work/adapter.gguf"
    if "$ts" convert --model "$model" --adapter "$adapter" --out "$work/adapter.gguf" --quiet > "$work/said" 2>&1; then
        check "adapter $name" 1e-3 "$work/f32.gguf" "$work/adapter.gguf" "$adapter"
    else
        sed 's/^/    /' "$work/said"
    fi
done
[ $fail = 0 ] && echo "all within tolerance" || echo "OVER TOLERANCE"
exit $fail
