#!/bin/sh
# Makes the sample model from nothing, bit for bit the same every time:
#
#   sh samples/make-model.sh [OUT]       default OUT: build/sample-model
#
# samples/corpus/make.awk writes the text, new-model a llama of 1.5 million random weights with a tokenizer of its own,
# and train --method full --deterministic teaches it (some five minutes on two idle cores). Compares the result with
# samples/model at the end; exit 1 when a file differs. To take a new model over: cp OUT/* samples/model/
#
# TUNESMITH: the program (default build/release/tunesmith).
set -eu
cd "$(dirname "$0")/.."
ts=${TUNESMITH:-build/release/tunesmith}
out=${1:-build/sample-model}
[ -x "$ts" ] || { echo "make-model: there is no program $ts; build it or set TUNESMITH" >&2; exit 1; }
[ ! -e "$out" ] || { echo "make-model: $out is there already; remove it or name another folder" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

awk -f samples/corpus/make.awk samples/corpus > "$work/corpus.jsonl"
echo "$(wc -l < "$work/corpus.jsonl") conversations, $(sha256sum "$work/corpus.jsonl" | cut -c1-16)"
"$ts" new-model "$work/new" --text "$work/corpus.jsonl" --vocab 1536 --hidden 160 --layers 4 --heads 5 --intermediate 432 \
    --context 512 --seed 20261125
"$ts" train --method full --deterministic --model "$work/new" --data "$work/corpus.jsonl" --out "$work/run" \
    --epochs 3 --batch-size 32 --learning-rate 3e-3 --warmup-ratio 0.05 --weight-decay 0.05
"$ts" convert --model "$work/run/model" --out "$out" --type f16
same=yes
for file in "$out"/*; do
    sha256sum "$file"
    [ ! -d samples/model ] || cmp -s "$file" "samples/model/${file##*/}" || same=no
done
if [ ! -d samples/model ]; then
    echo "there is no samples/model to compare with"
elif [ $same = yes ]; then
    echo "the same bytes as samples/model"
else
    echo "NOT the same bytes as samples/model"
    exit 1
fi
