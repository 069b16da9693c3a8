#!/bin/sh
# Models and adapters in Hugging Face transformers and PEFT against ours, by the NLL of every token:
#   - every tiny model of tests/golden, alone and with its adapter
#   - adapters that we train on them, in every form, loaded by PEFT
#   - what convert and merge write, loaded by transformers
#   - a model from new-model: its chats as text and ids, its weights
#   - the real model in all its forms: GGUF, f32, bf16, bf16 in three files
#
#   sh tests/interop/transformers.sh [families|written|new|real]...      (default: all)
#
# INTEROP_PYTHON: a Python that has torch, transformers and peft; without it a virtual environment is made under build/.
# TUNESMITH: the program (default build/release/tunesmith). TUNESMITH_MODELS: where the real model's folders are; without
# them that part is left out, and says so. Prints versions and differences; exit 1 over tolerance.
set -eu
cd "$(dirname "$0")/../.."
ts=${TUNESMITH:-build/release/tunesmith}
[ -x "$ts" ] || { echo "there is no program $ts; build it or set TUNESMITH"; exit 1; }
python=${INTEROP_PYTHON:-}
if [ -z "$python" ]; then
    python=build/interop-venv/bin/python
    [ -x "$python" ] || python3 -m venv build/interop-venv
    "$python" -c 'import transformers, peft' 2>/dev/null || build/interop-venv/bin/pip install -q torch transformers peft
fi
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE 2>/dev/null || true
exec "$python" tests/interop/models_check.py "$ts" "$@"
