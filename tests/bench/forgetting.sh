#!/bin/sh
# What each way against forgetting costs and saves on the sample: the loss on held-out help-desk questions (lower: more was
# learned) and on general questions (higher: more was forgotten), before and after. Half of the general rows are measured,
# the other half is there to be replayed. Prints a Markdown table. Run by hand.
#
#   sh tests/bench/forgetting.sh [PROGRAM]     MODEL, STEPS, BATCH, RATE and ROWS (of each measured file) from the environment
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
program=$(readlink -f "${1:-$top/build/release/tunesmith}")
model=${MODEL:-smollm2-135m-instruct} steps=${STEPS:-100} batch=${BATCH:-4} rate=${RATE:-1e-3} rows=${ROWS:-12}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$program" init ws --quiet
"$program" import ws "$top/samples/helpdesk.jsonl" --quiet >rejected || [ $? = 3 ]
"$program" set ws --where "" --status accepted --quiet >accepted
"$program" export ws train.jsonl --format messages --quiet >exported
head -n "$rows" "$top/samples/general.jsonl" >general.jsonl
tail -n 12 "$top/samples/general.jsonl" >replay.jsonl
head -n "$rows" "$top/samples/heldout.jsonl" >heldout.jsonl

# NAME OPTIONS...: trains, and prints a row of the table.
one() {
    name=$1
    shift
    rm -rf run
    "$program" train --data train.jsonl --valid-data heldout.jsonl --general general.jsonl --model "$model" --out run --max-steps "$steps" \
        --batch-size "$batch" --learning-rate "$rate" --eval-every "$steps" --seed 1 --json --quiet "$@" >result
    python3 - "$name" run/events.jsonl <<'PY'
import json, sys
events = [json.loads(line) for line in open(sys.argv[2])]
evals = [e for e in events if e["event"] == "eval"]
seconds = sum(e["seconds"] for e in events if e["event"] == "step")
a, b = evals[0], evals[-1]
print("| %s | %.3f | %.3f | %.3f | %.3f | %+.3f | %.0f |" % (sys.argv[1], a["valid_loss"], b["valid_loss"], a["general_loss"],
      b["general_loss"], b["general_loss"] - a["general_loss"], seconds))
PY
}

echo "| | held out before | after | general before | after | forgotten | seconds of steps |"
echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
one "LoRA r 16 alone"
one "with \`--replay\`, a share of 0.1" --replay replay.jsonl --replay-fraction 0.1
one "with \`--l2-delta 1e-4\`" --l2-delta 1e-4
one "half the rate" --learning-rate "$(python3 -c "print($rate / 2)")"
