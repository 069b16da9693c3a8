#!/bin/sh
# What `plan` says of a run's memory and time against what the run then takes, for eleven settings on a real model.
#
#   sh tests/bench/plan_memory.sh DATA.jsonl [GGUF MODEL [HF FOLDER]]
#
# DATA: {"messages":[..]} lines, some of them long; some 20 are enough. Every run has STEPS (2) steps in the order of the
# file of the ROWS (16) longest, so that the largest batch is among them. Memory is the peak resident set of the process
# that trains. Times mean something on an idle machine only; TIMES=no leaves them out. Prints one line a setting; exit 1
# when an estimate of memory is off by more than 15 %, of time (five settings) by more than 20 %.
set -eu
cd "$(dirname "$0")/../.."
data=${1:?usage: plan_memory.sh DATA.jsonl [GGUF [FOLDER]]}
gguf=${2:-smollm2-135m-instruct}
folder=${3:-smollm2-135m-instruct-hf-f32}
ts=${TUNESMITH:-build/release/tunesmith}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE 2>/dev/null || true
python3 - "$data" "$work/rows.jsonl" "${ROWS:-16}" <<'P'
import sys
rows = sorted(open(sys.argv[1]), key=len, reverse=True)[:int(sys.argv[3])]
open(sys.argv[2], "w").writelines(rows)
P
bad=0
printf '%-44s %9s %9s %7s   %8s %8s %7s\n' setting 'est. GB' 'peak GB' off 'est. s' 's' off
measure() { # NAME MODEL TIMED OPTION...
    name=$1 model=$2 timed=$3
    shift 3
    [ "${TIMES:-yes}" = yes ] || timed=
    set -- --data "$work/rows.jsonl" --model "$model" --no-shuffle --max-steps "${STEPS:-2}" --checkpoint-seconds 0 "$@"
    "$ts" plan "$@" --json --quiet ${timed:+--time} > "$work/plan" # its peak does not count
    rm -rf "$work/run"
    "$ts" train "$@" --out "$work/run" --quiet --json > "$work/made"
    python3 - "$name" "$work" "$timed" <<'P' || bad=1
import json, sys
name, work, timed = sys.argv[1:]
plan = json.loads(open(work + "/plan").read().splitlines()[-1])
run = json.loads(open(work + "/made").read().splitlines()[-1])
memory = plan["memory_bytes"] / run["peak_rss_bytes"] - 1
line = f"{name:44} {plan['memory_bytes'] / 1e9:9.3f} {run['peak_rss_bytes'] / 1e9:9.3f} {100 * memory:+6.1f}%"
time = 0
if timed:
    time = plan["seconds"] / run["seconds"] - 1
    line += f"   {plan['seconds']:8.2f} {run['seconds']:8.2f} {100 * time:+6.1f}%"
print(line, flush=True)
sys.exit(abs(memory) > .15 or abs(time) > .2)
P
}
measure 'lora r16, f32 folder, batch 8'              "$folder" yes --batch-size 8
measure 'lora r16, 4-bit GGUF, batch 8'              "$gguf"   yes --batch-size 8
measure 'qlora r16, f32 folder, batch 8'             "$folder" yes --batch-size 8 --method qlora
measure 'full, f32 folder, batch 4'                  "$folder" yes --batch-size 4 --method full --learning-rate 1e-5
measure 'full, layers 20-29, batch 4'                "$folder" ''  --batch-size 4 --method full --learning-rate 1e-5 \
    --layers-to-transform 20-29
measure 'full in bf16, f32 folder, batch 4'          "$folder" ''  --batch-size 4 --method full --learning-rate 1e-5 \
    --weights bf16
measure 'lora r16, checkpointing, batch 8'           "$folder" yes --batch-size 8 --gradient-checkpointing
measure 'lora r4, q and v, batch 1, length 256'      "$gguf"   ''  --batch-size 1 --r 4 --target-modules q_proj,v_proj \
    --max-length 256
measure 'lora r64, batch 8, length 256'              "$gguf"   ''  --batch-size 8 --r 64 --max-length 256
measure 'lora r16, batch 8, 4096 tokens at once'     "$gguf"   ''  --batch-size 8 --micro-tokens 4096
measure 'dora r16 with dropout, batch 8'             "$gguf"   ''  --batch-size 8 --use-dora --lora-dropout 0.1
exit $bad
