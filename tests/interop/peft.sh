#!/bin/sh
# Our adapters in Hugging Face PEFT and PEFT's in ours: the loss of every token must agree to 1e-4.
#
#   sh tests/interop/peft.sh [HF_FOLDER]
#
# HF_FOLDER: the model as a Hugging Face folder in f32 (default: smollm2-135m-instruct-hf-f32 among the models).
# PEFT_PYTHON: a Python that has torch, transformers and peft; without it a virtual environment is made under build/.
# TUNESMITH: the program (default build/release/tunesmith). Prints versions and differences; exit 1 over tolerance.
set -eu
cd "$(dirname "$0")/../.."
models=${TUNESMITH_MODELS:-$HOME/.cache/tunesmith/models}
model=${1:-$models/smollm2-135m-instruct-hf-f32}
ts=${TUNESMITH:-build/release/tunesmith}
[ -d "$model" ] || { echo "there is no Hugging Face folder $model; give one as the argument"; exit 1; }
[ -x "$ts" ] || { echo "there is no program $ts; build it or set TUNESMITH"; exit 1; }
python=${PEFT_PYTHON:-}
if [ -z "$python" ]; then
    python=build/interop-venv/bin/python
    if [ ! -x "$python" ]; then
        echo "making a Python environment in build/interop-venv (torch is some 200 MB)"
        python3 -m venv build/interop-venv
        build/interop-venv/bin/pip install -q torch transformers peft
    fi
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE 2>/dev/null || true

grep '^{' samples/helpdesk.jsonl | head -40 > "$work/raw.jsonl"
"$python" tests/interop/peft_nll.py rows "$model" "$work/raw.jsonl" > "$work/rows.jsonl"
head -24 "$work/rows.jsonl" > "$work/train.jsonl"
tail -12 "$work/rows.jsonl" > "$work/test.jsonl"

echo "ours in PEFT: a short run of each kind"
fail=0
for kind in "--target-modules q_proj,v_proj --r 8 --lora-alpha 16" \
            "--target-modules all-linear --r 16 --lora-alpha 32" \
            "--target-modules q_proj,down_proj --r 4 --lora-alpha 8 --use-rslora" \
            "--target-modules q_proj,v_proj,up_proj --r 4 --lora-alpha 8 --use-dora" \
            "--target-modules all-linear --r 4 --lora-alpha 8 --rank-pattern k_proj=2,layers\\.1\\d\\.mlp.*=1 --alpha-pattern v_proj=3" \
            "--target-modules .*layers\\.[0-9]\\.self_attn.* --r 4 --lora-alpha 8 --use-dora --use-rslora --lora-dropout 0.1"; do
    rm -rf "$work/run"
    # shellcheck disable=SC2086
    "$ts" train --data "$work/train.jsonl" --model "$model" --out "$work/run" $kind --max-steps 6 --batch-size 4 \
        --learning-rate 1e-3 --warmup-steps 0 --quiet
    "$ts" nll --model "$model" --adapter "$work/run/adapter" "$work/test.jsonl" --per-token --json --quiet > "$work/ours"
    echo "  $kind"
    "$python" tests/interop/peft_nll.py compare "$model" "$work/run/adapter" "$work/test.jsonl" "$work/ours" || fail=1
done

echo "PEFT's in ours: random adapters of every form"
for form in all dora patterns embedding saved; do
    rm -rf "$work/theirs"
    "$python" tests/interop/peft_nll.py adapter "$model" "$work/theirs" $form
    "$ts" nll --model "$model" --adapter "$work/theirs" "$work/test.jsonl" --per-token --json --quiet > "$work/ours"
    echo "  $form"
    "$python" tests/interop/peft_nll.py compare "$model" "$work/theirs" "$work/test.jsonl" "$work/ours" || fail=1
done
echo "adapters added up: combine against add_weighted_adapter"
run() {
    "$ts" train --data "$work/train.jsonl" --model "$model" --out "$work/$1" --target-modules "$2" --r "$3" --lora-alpha 16 \
        --max-steps 4 --batch-size 2 --learning-rate 1e-3 --warmup-steps 0 --quiet
}
run a q_proj,v_proj 8
run b q_proj,v_proj 8
run c v_proj,o_proj 4
for case in "cat a 0.7 b 0.3" "cat a 0.5 c -1.5" "linear a 0.7 b 0.3" "linear a 0.7 b -0.3" "svd a 0.7 c 0.6"; do
    # shellcheck disable=SC2086
    set -- $case
    rm -rf "$work/both"
    "$ts" combine --model "$model" --how "$1" --adapter "$work/$2=$3" --adapter "$work/$4=$5" --out "$work/both" --quiet
    echo "  $case"
    "$python" tests/interop/peft_nll.py weighted "$model" "$work/both" "$1" "$work/$2/adapter" "$3" "$work/$4/adapter" "$5" ||
        fail=1
done
[ $fail = 0 ] && echo "all within tolerance" || echo "OVER TOLERANCE"
exit $fail
