"""Helper of llamacpp.sh; needs nothing but Python.

rows FILE.jsonl TEXTS STRINGS ROWS    what both tokenizers are asked, and the rows of FILE as JSON strings
ids IDS OURS THEIRS                   lines of ids as rows for nll and for llama.cpp
tokens OURS THEIRS                    ids of both tokenizers must be equal
nll NAME OURS.json THEIRS TOLERANCE   losses per token of both; exit 1 when the mean differs by more
"""
import json
import sys

TEXTS = [
    "The capital of France is Paris.",
    "  two spaces,\n\n\n three newlines\tand a tab ",
    "12345 6.78e-9 0x1F\n",
    "def f(x):\n        return x**2  # comment\n",
    "Zürich, 東京, Москва, ½ ٣ Ⅷ, e\u0301",
    "don't I'LL we've <|im_start|>user\nhi<|im_end|>\n<|endoftext|>",
    "🙂👍🏽 \u200d\u00a0\u3000 end",
    "",
]


def rows(source, tokens, strings):
    with open(tokens, "w") as t, open(strings, "w") as s:
        for text in TEXTS:
            t.write("T %s\n" % text.encode().hex())
            s.write(json.dumps(text) + "\n")
    for line in open(source, encoding="utf-8"):
        yield "\n".join(v for v in json.loads(line).values() if isinstance(v, str))


def main():
    what = sys.argv[1]
    if what == "rows":
        with open(sys.argv[5], "w") as out:
            for text in rows(*sys.argv[2:5]):
                out.write(json.dumps(text) + "\n")
        return 0
    if what == "ids":  # ids a line -> rows for nll and for llama.cpp
        with open(sys.argv[3], "w") as ours, open(sys.argv[4], "w") as theirs:
            for line in open(sys.argv[2]):
                ids = json.loads(line)[:100]
                ours.write(json.dumps({"ids": ids, "labels": [-100] + ids[1:]}) + "\n")
                theirs.write("N %s\n" % " ".join(map(str, ids)))
        return 0
    if what == "tokens":
        bad = 0
        for text, a, b in zip(TEXTS, open(sys.argv[2]), open(sys.argv[3])):
            a, b = json.loads(a), [int(x) for x in b.split()]
            if a != b:
                bad += 1
                print("    %r: ours %s, llama.cpp's %s" % (text, a, b))
        print("    tokens of %d texts: %s" % (len(TEXTS), "equal" if not bad else "%d DIFFER" % bad))
        return bad > 0
    name, ours, theirs, tolerance = sys.argv[2:6]
    a = [x for line in open(ours) for x in json.loads(line)["nlls"]]
    b = [float(x) for line in open(theirs) for x in line.split()]
    if len(a) != len(b) or not a:
        print("    %s: %d losses against %d" % (name, len(a), len(b)))
        return 1
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    single = [abs(x - y) for x, y in zip(a, b)]
    bad = not abs(mean_a - mean_b) <= float(tolerance)
    print("    %-28s ours %.5f  llama.cpp %.5f  apart %.1e (single tokens: mean %.1e, worst %.1e), %d tokens%s"
          % (name, mean_a, mean_b, abs(mean_a - mean_b), sum(single) / len(a), max(single), len(a),
             "  OVER %s" % tolerance if bad else ""))
    return bad


sys.exit(main())
