"""The Python half of templates.sh: templates.py PROGRAM [TEMPLATE.jinja...]"""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

import jinja2
import transformers
from transformers.utils.chat_template_utils import _compile_jinja_template

HERE = os.path.dirname(os.path.abspath(__file__))
TOKENIZER = os.path.join(HERE, "..", "data", "tokenizers", "bytes", "tokenizer.json")
CASES = os.path.join(HERE, "..", "data", "jinja.cases")
BOUNDED = ("multiply", "doubles", "bounded", "without an end")  # cases that would run for ever elsewhere

TOOL = {"type": "function", "function": {"name": "weather", "description": "Get <it> & \"more\"", "parameters": {
    "type": "object", "required": ["city"], "properties": {
        "city": {"type": "string", "description": "é city", "enum": ["a", "b"]}, "n": {"type": "integer"}}}}}
CALL = {"type": "function", "id": "abcdefghi", "function": {"name": "weather", "arguments": {"city": "Par\"is", "n": 3}}}


def text(s):
    return [{"type": "text", "text": s}]


CONVERSATIONS = [
    [{"role": "user", "content": "Hi there"}],
    [{"role": "system", "content": "Be kind."}, {"role": "user", "content": " What? "}, {"role": "assistant", "content": "Yes.\n"},
     {"role": "user", "content": "And?"}, {"role": "assistant", "content": "No é 日本."}],
    [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nA"},
     {"role": "user", "content": "Q2"}, {"role": "assistant", "content": "<think>x</think>B"}],
    [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "reasoning_content": "because", "thinking": "t"}],
    [{"role": "user", "content": "W?"}, {"role": "assistant", "content": "", "tool_calls": [CALL]},
     {"role": "tool", "name": "weather", "tool_call_id": "abcdefghi", "content": "{\"t\": 3}"},
     {"role": "assistant", "content": "3 degrees"}],
    [{"role": "user", "content": text("one") + text("two")}, {"role": "assistant", "content": text("answer")}],
    [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
]
VARIABLES = [{}, {"tools": [TOOL]}, {"enable_thinking": False}, {"enable_thinking": True, "reasoning_effort": "low"}]


def inputs():
    return [{"messages": c, "add_generation_prompt": g, **v} for c in CONVERSATIONS for v in VARIABLES for g in (False, True)]


def ours(program, source, rows):
    """What the program gives for each row: a text, or None where it refuses."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(TOKENIZER, folder)
        with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
            json.dump({"bos_token": "<|start|>", "eos_token": "<|end|>"}, f)
        with open(os.path.join(folder, "chat_template.jinja"), "w", encoding="utf-8", newline="") as f:
            f.write(source)
        done = subprocess.run([program, "render", "--model", folder, "-", "--quiet"], capture_output=True, text=True,
                              input="".join(json.dumps(r) + "\n" for r in rows))
    out = [json.loads(line) for line in done.stdout.splitlines()]
    return [x if isinstance(x, str) else None for x in out] or [None] * len(rows)


def theirs(source, rows):
    fixed = {"bos_token": "<|start|>", "eos_token": "<|end|>", "tools": None, "documents": None}
    out = []
    for row in rows:
        try:
            out.append(_compile_jinja_template(source).render(**{**fixed, **row}))
        except Exception:
            out.append(None)
    return out


def compare(program, name, source, rows):
    bad = 0
    mine, want = ours(program, source, rows), theirs(source, rows)
    for row, a, b in zip(rows, mine, want):
        if a != b:
            bad += 1
            if bad == 1:
                print(f"{name}: differs\n  with   {json.dumps(row)[:400]}\n  ours   {a!r}\n  theirs {b!r}")
    return len(rows), bad + abs(len(mine) - len(want))


def cases():
    """(name, template, variables) of the cases file."""
    name, parts, part = None, {}, None
    for line in open(CASES, encoding="utf-8", newline=""):
        if line.startswith("=== "):
            if name:
                yield name, parts
            name, parts, part = line[4:].strip(), {"source": ""}, "source"
        elif line.startswith("--- "):
            part = line[4:].strip()
            parts[part] = ""
        elif part:
            parts[part] += line
    yield name, parts


def main():
    program, files = sys.argv[1], sys.argv[2:]
    print(f"transformers {transformers.__version__}, jinja2 {jinja2.__version__}")
    total = bad = 0
    if not files:
        import trl
        print(f"templates of trl {trl.__version__}")
        files = sorted(glob.glob(os.path.join(os.path.dirname(trl.__file__), "chat_templates", "*.jinja")))
        for name, parts in cases():
            variables = json.loads(parts.get("with") or "{}")
            if any(word in name for word in BOUNDED):
                continue
            row = {"messages": [{"role": "user", "content": "x"}], **variables}
            if not all(isinstance(m, dict) for m in row["messages"]):
                continue
            n, b = compare(program, name, parts["source"][:-1], [row])
            total, bad = total + n, bad + b
    for path in files:
        with open(path, encoding="utf-8", newline="") as f:
            n, b = compare(program, os.path.basename(path), f.read(), inputs())
        total, bad = total + n, bad + b
    print(f"{total - bad} of {total} renderings the same")
    return 1 if bad else 0


sys.exit(main())
