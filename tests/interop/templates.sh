#!/bin/sh
# Chat templates rendered by us and by transformers: every text must be the same, every refusal a refusal on both sides.
#
#   sh tests/interop/templates.sh [TEMPLATE.jinja...]
#
# Without files: those that TRL ships (some 70, with their training variants), and the cases of tests/data/jinja.cases.
# INTEROP_PYTHON: a Python that has transformers, jinja2 and trl; without it a virtual environment is made under build/.
# TUNESMITH: the program (default build/release/tunesmith). Prints versions and differences; exit 1 if there is one.
set -eu
cd "$(dirname "$0")/../.."
ts=${TUNESMITH:-build/release/tunesmith}
[ -x "$ts" ] || { echo "there is no program $ts; build it or set TUNESMITH"; exit 1; }
python=${INTEROP_PYTHON:-}
if [ -z "$python" ]; then
    python=build/interop-venv/bin/python
    [ -x "$python" ] || python3 -m venv build/interop-venv
    "$python" -c 'import transformers, trl' 2>/dev/null || build/interop-venv/bin/pip install -q torch transformers trl
fi
exec "$python" tests/interop/templates.py "$ts" "$@"
