"""The Python half of tokenizers.sh: tokenizers_hf.py PROGRAM [--texts N] [--seed N] [FOLDER...]"""
import argparse
import glob
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

import tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "data", "tokenizers")
SHARED = os.environ.get("TUNESMITH_SHARED") or os.path.join(HERE, "..", "..", "..", "shared")

# Unicode's versions differ between libraries (Rust's tables of normal forms end before U+32FF): only characters that
# have long been there.
POOLS = [(0x20, 0x7E), (0x61, 0x7A), (0x30, 0x39), (0xA0, 0x24F), (0x250, 0x2AF), (0x300, 0x345), (0x370, 0x3FF), (0x400, 0x4FF),
         (0x591, 0x5F4), (0x620, 0x669), (0x900, 0x96F), (0xE00, 0xE4F), (0x1100, 0x11FF), (0x1E00, 0x1EFF), (0x2000, 0x206F),
         (0x2070, 0x218B), (0x2190, 0x23FF), (0x2460, 0x24FF), (0x2581, 0x2581), (0x2F00, 0x2FD5), (0x3000, 0x30FF), (0x3200, 0x32FE), (0x3300, 0x33FF),
         (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0xF900, 0xFA2D), (0xFB00, 0xFB4F), (0xFE00, 0xFE0F), (0xFF01, 0xFFEE), (0x1D400, 0x1D7FF),
         (0x1F1E6, 0x1F1FF), (0x1F300, 0x1F5FF), (0x1F600, 0x1F64F), (0x10000, 0x1005D), (0x1, 0x1F), (0x7F, 0x9F), (0xE000, 0xE010)]
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\u00a0", "\u3000", "\u2028", "\u0085", "\u200b", "\ufeff", "\u180e"]
WORDS = ["the", "The", "THE", "don't", "I'M", "we'LL", "'s", "\u2019s", "naïve", "e\u0301", "日本語", "мир", "3.14159", "1,000,000", "2024-01-31",
         "http://a.b/c?d=e", "x_y", "++i;", "def f(x):\n    return x", "👨‍👩‍👧", "✊🏽", "ſ", "İ", "ǅ", "ß", "ﬁ", "Å", "½", "Ⅷ", "٣", "—", "…", "<0x41>",
         "<0xE2>", "Ġ", "Ċ", "▁", "▁▁the", "\u0000", "##ing", "</w>"]


def one_text(rng, added):
    kind = rng.random()
    if kind < 0.05:
        return rng.choice(WORDS + SPACES) * rng.choice([1, 2, 7, 100, 1000])
    out = []
    for _ in range(rng.choice([1, 3, 10, 30])):
        what = rng.random()
        if what < 0.25:
            out.append(rng.choice(SPACES))
        elif what < 0.5:
            out.append(rng.choice(WORDS))
        elif what < 0.6 and added:
            out.append(rng.choice(added))
        elif what < 0.65 and added:
            token = rng.choice(added)
            out.append(token[rng.randrange(len(token)):] if rng.random() < 0.5 else token[:rng.randrange(len(token) + 1)])
        else:
            low, high = rng.choice(POOLS)
            out.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 8))))
    text = "".join(out)
    return unicodedata.normalize("NFD", text) if rng.random() < 0.1 else text


def texts(rng, count, added):
    """Characters that Unicode 14 does not know are not asked for."""
    done = []
    while len(done) < count:
        text = "".join(c for c in one_text(rng, added) if unicodedata.category(c) not in ("Cn", "Cs") and c != "\0")
        done.append(text)
    return done


def ours(program, folder, rows, *options):
    done = subprocess.run([program, "tokenize", "--model", folder, *options], capture_output=True, text=True, encoding="utf-8",
                          input="".join(json.dumps(r) + "\n" for r in rows))
    if done.returncode:
        return None, done.stderr.strip()
    return [json.loads(line) for line in done.stdout.split("\n") if line], ""


def compare(program, name, folder, rng, count):
    """Number of texts that differ; None when we refuse the tokenizer."""
    t = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    t.no_padding()
    t.no_truncation()
    added = [a.content for a in t.get_added_tokens_decoder().values() if a.content]
    rows = texts(rng, count, added)
    encoded = [t.encode(x, add_special_tokens=False).ids for x in rows]
    last = t.get_vocab_size(with_added_tokens=True) - 1
    loose = [[rng.randint(0, last) for _ in range(rng.randint(1, 12))] for _ in rows]  # ids that no text gives
    checks = [("ids", rows, [], encoded), ("ids with special tokens", rows, ["--special"], [t.encode(x).ids for x in rows])]
    for what, ids in [("text", encoded), ("text of random ids", loose)]:
        checks += [(what, ids, ["--decode", "--special"], [t.decode(x, skip_special_tokens=False) for x in ids]),
                   (what + " without special tokens", ids, ["--decode"], [t.decode(x) for x in ids])]
    bad = 0
    for what, inputs, options, want in checks:
        got, why = ours(program, folder, inputs, *options)
        if got is None:
            print(f"{name}: refused: {why}")
            return None
        differ = [i for i in range(len(want)) if i >= len(got) or got[i] != want[i]]
        bad += len(differ)
        if differ:
            i = min(differ, key=lambda i: len(inputs[i]))
            print(f"{name}: {what}: {len(differ)} of {len(want)} differ\n  of     {ascii(inputs[i])[:600]}\n  ours   {ascii(got[i])[:600]}\n"
                  f"  theirs {ascii(want[i])[:600]}")
    return bad


def variant_folders(folder):
    """Our own tokenizers and each of their variants as a folder of its own."""
    for i, line in enumerate(open(os.path.join(DATA, "variants.jsonl"), encoding="utf-8")):
        v = json.loads(line)
        with open(os.path.join(DATA, v["base"], "tokenizer.json"), encoding="utf-8") as f:
            d = json.load(f)
        model = v["parts"].pop("model", {})
        d.update(v["parts"])
        d["model"].update(model)
        path = os.path.join(folder, f"variant-{i + 1}")
        os.mkdir(path)
        with open(os.path.join(path, "tokenizer.json"), "w", encoding="utf-8") as f:
            json.dump(d, f)
        yield f"variant {i + 1} ({v['base']})", path


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("--texts", type=int, default=300)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("folders", nargs="*")
    a = p.parse_intermixed_args()
    print(f"tokenizers {tokenizers.__version__}, {a.texts} texts for each, seed {a.seed}")
    rng = random.Random(a.seed)
    done = bad = refused = 0
    with tempfile.TemporaryDirectory() as scratch:
        if a.folders:
            named = [(f, f) for f in a.folders]
        else:
            found = glob.glob(os.path.join(DATA, "*", "tokenizer.json")) + glob.glob(os.path.join(SHARED, "tokenizers", "*", "tokenizer.json"))
            named = [(os.path.basename(os.path.dirname(f)), os.path.dirname(f)) for f in sorted(found)] + list(variant_folders(scratch))
        for name, folder in named:
            n = compare(a.program, name, folder, rng, a.texts)
            done += 1
            refused += n is None
            bad += n or 0
    print(f"{done} tokenizers, {bad} differences, {refused} refused")
    return 1 if bad or refused else 0


sys.exit(main())
