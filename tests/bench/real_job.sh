#!/bin/sh
# The real job: LoRA r16 alpha 32 on all linear layers, batch 8, one epoch, f32, the whole process timed.
#
#   sh tests/bench/real_job.sh DATA.jsonl [MODEL]
#
# DATA: {"messages":[..]} lines, for example 300 real instruction rows. Prints tokens a second (of the whole process, and
# of the steps alone), supervised tokens a second, and the peak resident memory. Measure on an idle machine, beside the
# peer you compare with.
set -eu
cd "$(dirname "$0")/../.."
data=${1:?usage: real_job.sh DATA.jsonl [MODEL]}
model=${2:-smollm2-135m-instruct}
ts=${TUNESMITH:-build/release/tunesmith}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE 2>/dev/null || true
begun=$(date +%s.%N)
"$ts" train --data "$data" --model "$model" --out "$work/run" --r 16 --lora-alpha 32 --target-modules all-linear \
    --batch-size 8 --epochs 1 --precision f32 --json --quiet > "$work/result"
ended=$(date +%s.%N)
python3 - "$work" "$begun" "$ended" <<'P'
import json, sys
work, begun, ended = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
r = json.loads(open(work + "/result").read().splitlines()[-1])
steps = [e for e in map(json.loads, open(work + "/run/events.jsonl")) if e["event"] == "step"]
tokens, supervised = sum(e["tokens"] for e in steps), sum(e["supervised_tokens"] for e in steps)
wall = ended - begun
print(f"{len(steps)} steps, {tokens} tokens ({supervised} supervised), train loss {r['train_loss']:.4f}")
print(f"whole process {wall:.1f} s: {tokens / wall:.0f} tok/s, {supervised / wall:.0f} supervised tok/s")
print(f"steps alone   {r['tokens_per_second']:.0f} tok/s, {r['supervised_tokens_per_second']:.0f} supervised tok/s")
print(f"peak memory   {r['peak_rss_bytes'] / 1e9:.2f} GB")
P
