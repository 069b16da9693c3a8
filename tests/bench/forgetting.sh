#!/bin/sh
# What each way against forgetting costs and saves on the sample: the loss on held-out help-desk questions (lower: more was
# learned) and on general questions (higher: more was forgotten), before and after. The general rows are samples/general.jsonl;
# of the model `sample`, which knows little of them, every hundredth row of what it was made from. Half of them are measured;
# the other half is replayed (a tenth of the rows) and tells EWC what matters. The last two rows go on from an adapter that
# has learned that half first. The rate is high, so that there is something to hold. Prints a Markdown table, a line as
# soon as it is there. Run by hand.
#
#   sh tests/bench/forgetting.sh [PROGRAM]     MODEL, STEPS, BATCH, RATE, ROWS (held-out questions), L2, EWC, KL and OWN (of EWC
#                                              of the adapter): how strong; from the environment
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
program=$(readlink -f "${1:-$top/build/release/tunesmith}")
model=${MODEL:-smollm2-135m-instruct} steps=${STEPS:-40} batch=${BATCH:-4} rate=${RATE:-7e-3} rows=${ROWS:-12}
l2=${L2:-5e-4} ewc=${EWC:-5e-4} kl=${KL:-10} own=${OWN:-3e-4}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$program" init ws --quiet
"$program" import ws "$top/samples/helpdesk.jsonl" --quiet >rejected || [ $? = 3 ]
"$program" set ws --where "" --status accepted --quiet >accepted
"$program" export ws train.jsonl --format messages --quiet >exported
if [ "$model" = sample ]; then
    awk -f "$top/samples/corpus/make.awk" "$top/samples/corpus" | awk 'NR % 100 == 1' >known.jsonl
    model=$top/samples/model
else
    cp "$top/samples/general.jsonl" known.jsonl
fi
half=$(($(wc -l <known.jsonl) / 2))
head -n "$half" known.jsonl >general.jsonl
tail -n "$half" known.jsonl >kept.jsonl
while [ "$(cat replay.jsonl 2>/dev/null | wc -l)" -lt 34 ]; do cat kept.jsonl >>replay.jsonl; done
head -n "$rows" "$top/samples/heldout.jsonl" >heldout.jsonl

# NAME OPTIONS...: trains, and prints a row of the table.
one() {
    name=$1
    shift
    rm -rf run
    python3 - "$name" "$program" train --data train.jsonl --valid-data heldout.jsonl --general general.jsonl --model "$model" \
        --out run --max-steps "$steps" --batch-size "$batch" --learning-rate "$rate" --eval-every "$steps" --seed 1 --json --quiet "$@" <<'PY'
import json, resource, subprocess, sys
subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
events = [json.loads(line) for line in open("run/events.jsonl")]
evals = [e for e in events if e["event"] == "eval"]
a, b = evals[0], evals[-1]
rss = max(e.get("peak_rss_bytes") or 0 for e in events)
print("| %s | %.3f | %.3f | %.3f | %.3f | %+.3f | %.0f | %.2f |" % (sys.argv[1], a["valid_loss"], b["valid_loss"], a["general_loss"],
      b["general_loss"], b["general_loss"] - a["general_loss"], used.ru_utime + used.ru_stime, rss / 1e9), flush=True)
PY
}

echo "| | held out before | after | general before | after | forgotten | processor seconds | GB |"
echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
replay="--replay replay.jsonl --replay-fraction 0.1"
one "LoRA r 16 alone"
one "\`--ewc-form base --ewc-lambda $ewc\`" --ewc-form base --ewc-lambda "$ewc" --ewc-data kept.jsonl
one "\`--l2-delta $l2\`" --l2-delta "$l2"
one "\`--replay\`, a share of 0.1" $replay
one "the same with \`--kl-weight $kl\`" $replay --kl-weight "$kl"
"$program" train --data kept.jsonl --model "$model" --out first --max-steps 12 --batch-size "$batch" --learning-rate 1e-3 --seed 1 \
    --json --quiet >result
one "from an adapter of the general rows, alone" --init-adapter first/adapter
one "the same with \`--ewc-lambda $own\`" --init-adapter first/adapter --ewc-lambda "$own" --ewc-data kept.jsonl
