#!/bin/sh
# Tokenizers: random texts encoded and decoded by us and by Hugging Face's tokenizers (Rust); every list of ids and every
# text must be the same.
#
#   sh tests/interop/tokenizers.sh [--texts N] [--seed N] [FOLDER...]
#
# A FOLDER holds a tokenizer.json. Without folders: those of tests/data/tokenizers with all its variants, and those of
# TUNESMITH_SHARED (default ../shared). INTEROP_PYTHON: a Python that has tokenizers; without it a virtual environment is
# made under build/. TUNESMITH: the program (default build/release/tunesmith). Prints versions and differences; exit 1 if
# there is one.
set -eu
cd "$(dirname "$0")/../.."
ts=${TUNESMITH:-build/release/tunesmith}
[ -x "$ts" ] || { echo "there is no program $ts; build it or set TUNESMITH"; exit 1; }
python=${INTEROP_PYTHON:-}
if [ -z "$python" ]; then
    python=build/interop-venv/bin/python
    [ -x "$python" ] || python3 -m venv build/interop-venv
    "$python" -c 'import tokenizers' 2>/dev/null || build/interop-venv/bin/pip install -q tokenizers
fi
exec "$python" tests/interop/tokenizers_hf.py "$ts" "$@"
