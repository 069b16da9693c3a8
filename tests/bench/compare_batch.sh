#!/bin/sh
# 32 prompts answered by the base and by an adapter, 64 new tokens each, greedy: one `compare` beside `generate` run once
# for each prompt and side. Run it on a quiet machine; processor seconds are told beside wall seconds.
#
#   sh tests/bench/compare_batch.sh MODEL ADAPTER [PROMPTS.jsonl [N]]      (default: 32 of samples/, one user turn each)
set -eu
[ $# -ge 2 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2; }
cd "$(dirname "$0")/../.."
model=$1 adapter=$2 prompts=${3:-} n=${4:-32}
ts=${TS_BINARY:-build/release/tunesmith}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
if [ -n "$prompts" ]; then head -n "$n" "$prompts"; else cat samples/heldout.jsonl samples/general.jsonl | head -n "$n"; fi |
    sed 's/, *{"role": *"assistant".*$/]}/' >"$work/prompts.jsonl" # references would be scored too

# Runs a command, says its name, wall seconds and processor seconds (of its children too).
timed() {
    name=$1
    shift
    bash -c 'TIMEFORMAT="%R %U %S"; time "$@" >/dev/null 2>"$0"' "$work/errors" "$@" 2>"$work/time" || { cat "$work/errors"; exit 1; }
    awk -v name="$name" '{ printf "%-28s %7.1f s wall  %7.1f s of processor\n", name, $1, $2 + $3 }' "$work/time"
}

cat >"$work/alone.sh" <<'END'
while read -r line; do
    printf '%s\n' "$line" >"$work/one.jsonl"
    "$ts" generate --model "$model" --messages "$work/one.jsonl" --max-new-tokens 64 --json --quiet
    "$ts" generate --model "$model" --adapter "$adapter" --messages "$work/one.jsonl" --max-new-tokens 64 --json --quiet
done <"$work/prompts.jsonl"
END
export ts model adapter work
echo "$(wc -l <"$work/prompts.jsonl") prompts, load $(cut -d' ' -f1 /proc/loadavg)"
timed "compare, one batch" "$ts" compare "$work" --model "$model" --side base --side "$adapter" --prompts "$work/prompts.jsonl" \
    --max-new-tokens 64 --json --quiet
timed "generate, one by one" sh -eu "$work/alone.sh"
