"""Makes the tokenizers of this folder from our own texts, and what Hugging Face's tokenizers says about them.

Run by hand with `tokenizers` installed: python3 tests/data/tokenizers/make.py
  bytes/, pieces/   a byte-level and a SentencePiece-like BPE (tokenizer.json)
  unigram/          a Unigram
  cases.jsonl       {tokenizer, text, plain, special, kept, skipped}
  variants.jsonl    {base, parts, texts: [{text, ids, decoded}]}: one line for each kind of step, put in place of the base's
"""
import json, os, random
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.join(here, "..", "..", "..")


def corpus():
    with open(os.path.join(root, "samples", "helpdesk.jsonl"), encoding="utf-8") as f:
        yield from f
    with open(os.path.join(root, "README.md"), encoding="utf-8") as f:
        yield from f


def make_bytes():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=["<|start|>", "<|end|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    t.train_from_iterator(corpus(), trainer)
    t.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("<tool_call>", normalized=False)])
    return t


def make_pieces():
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    byte_tokens = ["<0x%02X>" % b for b in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=["<unk>", "<s>", "</s>"] + byte_tokens,
                                  show_progress=False, limit_alphabet=90)
    t.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    t.train_from_iterator(corpus(), trainer)
    d = json.loads(t.to_str())
    d["pre_tokenizer"] = None
    d["added_tokens"] = d["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(d))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    return t


def make_unigram():
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.NFKC()
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.decoder = decoders.Metaspace()
    t.train_from_iterator(corpus(), trainers.UnigramTrainer(vocab_size=600, special_tokens=["<unk>", "<s>", "</s>"],
                                                            unk_token="<unk>", show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return t


def texts():
    rng = random.Random(7)
    out = ["", " ", "a", "Hello, world!", "  two  spaces ", "tabs\tand\nlines\r\n\n", "it's we'll 'S I'M", "12345 3.14 ½ Ⅷ ٣٤",
           "naïve café — “quoted” …", "日本語のテキスト", "한국어 문장", "e\u0301 e\u0300\u0323 \u1100\u1161\u11a8", "👨‍👩‍👧 🇩🇪 ✊🏽",
           "<|start|>user\nHi<|end|>\n", "a<|end|>b <|end|> c", "<tool_call><tool>x</tool>", "<s>x</s> y <unk>", "<0x41><0xC3>",
           "\u00a0\u2003\u180ex\u3000", "x" * 200, "ab " * 60, "\u0000\u0001\u007f\u0080", "a\u200bb\ufeffc", "ſ ß İ ı", "http://a.b/c?d=e&f=1_2",
           "def f(x):\n    return x ** 2  # ok\n", "▁low▁line", "Reset the router: hold the button for ten seconds."]
    ranges = [(0x20, 0x7e), (0xa0, 0x24f), (0x370, 0x3ff), (0x400, 0x45f), (0x4e00, 0x4e40), (0x1f600, 0x1f640), (0x300, 0x320), (9, 13)]
    for _ in range(40):
        out.append("".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(1, 30))))
    return out


def variants():
    texts = ["\u0130 I\u0130x", "It's 10 o'clock, 3.5% -- ok?", " lead and trail ", "a--b..c  d", "HÉllo ﬁne ① e\u0301", "x1y22z333", "", "no"]

    def added(content, **flags):
        return {"id": 0, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                "special": False, **flags}

    def split(pattern, behavior, invert=False, regex=False):
        return {"type": "Split", "pattern": {"Regex" if regex else "String": pattern}, "behavior": behavior, "invert": invert}

    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    for behavior in ["Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"]:
        for invert in [False, True]:
            yield "bytes", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split("[-.]", behavior, invert, True), byte_level]}}, texts
            yield "bytes", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split(" ", behavior, invert), byte_level]}}, texts
        yield "bytes", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Punctuation", "behavior": behavior}, byte_level]}}, texts
    for individual in [False, True]:
        yield "bytes", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": individual}, {**byte_level, "use_regex": True}]}}, texts
    yield "bytes", {"pre_tokenizer": {**byte_level, "add_prefix_space": True, "use_regex": True}}, texts
    yield "bytes", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True}, {**byte_level, "add_prefix_space": True}]}}, texts
    for kind in ["Whitespace", "WhitespaceSplit"]:
        yield "bytes", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": kind}, byte_level]}}, texts + ["a\u24b6_b \u2160x\u203f\u00b2 +-*"]
    yield "bytes", {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]}}, texts + ["\u0958 \u20dd x\u0301\u0302"]
    for form in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase"]:
        yield "bytes", {"normalizer": {"type": form}}, texts
    yield "bytes", {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": False}}, texts
    yield "bytes", {"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Strip", "strip_left": False, "strip_right": True}]}}, texts
    flagged = texts + ["a TOK b", "aTOKb", " TOK TOK", "TOKTOK", "tok x", "xTOK\n\nTOK  y", "TOK\u24e8 \u00b2TOK TOK\u2460"]
    for flags in [{}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True}, {"single_word": True}, {"special": True},
                  {"normalized": True}, {"single_word": True, "lstrip": True}]:
        names = ["tok", "tokt"] if flags.get("normalized") else ["TOK", "TOKT"]
        yield "bytes", {"added_tokens": [added(n, **flags) for n in names], "normalizer": {"type": "Lowercase"}}, flagged
    for scheme in ["always", "first", "never"]:
        for cut in [False, True]:
            meta = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}
            yield "pieces", {"normalizer": None, "pre_tokenizer": meta, "decoder": meta, "added_tokens": [added("TOK", special=True)]}, flagged
    # one name with a mark behind another character: words may be cut in front of marks, but not there
    names = ["<unk>", "▁", "a", "b", ">", "ab", "▁a", "▁▁", ">▁", ">▁b", "▁ab", "▁▁▁"]
    crossing = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None,
                "fuse_unk": True, "byte_fallback": False, "ignore_merges": False, "vocab": {n: i for i, n in enumerate(names)},
                "merges": [["a", "b"], ["▁", "▁"], [">", "▁"], [">▁", "b"], ["▁", "a"], ["▁", "ab"], ["▁▁", "▁"]]}
    for pre in [None, {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}]:
        yield "pieces", {"model": crossing, "added_tokens": [], "post_processor": None, "pre_tokenizer": pre}, [
            "ab ab", "> b > b  ab", ">  b", "a>  a x  y ab", "xx > x b", "b> ab>  ab >b", "   ab   > b"]
    yield "pieces", {"decoder": None}, texts
    yield "pieces", {"decoder": {"type": "Sequence", "decoders": [
        {"type": "Strip", "content": "▁", "start": 1, "stop": 0}, {"type": "Replace", "pattern": {"String": "e"}, "content": "E"}]}}, texts
    yield "pieces", {"decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}}, texts


def affixed(names, merges, prefix, suffix, **more):
    return {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": prefix, "end_of_word_suffix": suffix,
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": {n: i for i, n in enumerate(names)},
            "merges": merges, **more}


def word_variants():
    """BPE whose names say where in a word they stand, and Unigram models by hand: ties, unknown characters, bytes."""
    some = ["hello hell", "low lower  slower", "l lo w", "he x hexx é", "xl lx llo", "", " ", "o\nlow"]
    plain = {"normalizer": None, "added_tokens": [], "post_processor": None}
    spaces = {"type": "WhitespaceSplit"}
    marked = ["<unk>", "h", "##e", "##l", "##o", "l", "##w", "he", "##ll", "hell", "##lo", "lo", "low", "##r", "##er", "##x"]
    joins = [["h", "##e"], ["##l", "##l"], ["he", "##ll"], ["##l", "##o"], ["l", "##o"], ["lo", "##w"], ["##e", "##r"]]
    for more in [{}, {"fuse_unk": True}, {"ignore_merges": True}]:
        yield "pieces", {**plain, "model": affixed(marked, joins, "##", None, **more), "pre_tokenizer": spaces, "decoder": None}, some
    ends = ["<unk>", "h", "e", "l", "o", "w", "r", "s", "o</w>", "w</w>", "r</w>", "l</w>", "lo", "low</w>", "er</w>", "ll", "he", "lo</w>",
            "<0x78>", "<0x3C>", "<0x2F>", "<0x77>", "<0x3E>"]
    joins = [["l", "o"], ["lo", "w</w>"], ["e", "r</w>"], ["l", "l"], ["h", "e"], ["l", "o</w>"]]
    for more in [{}, {"byte_fallback": True}]:
        yield "pieces", {**plain, "model": affixed(ends, joins, "", "</w>", **more), "pre_tokenizer": spaces,
                         "decoder": {"type": "BPEDecoder", "suffix": "</w>"}}, some
    both = ["<unk>", "h", "@e", "@l", "@o</w>", "l", "@o", "@w</w>", "lo", "low</w>", "he", "Ġ", "@l</w>", "l</w>", "@h"]
    joins = [["l", "@o"], ["lo", "@w</w>"], ["h", "@e"]]
    yield "bytes", {**plain, "model": affixed(both, joins, "@", "</w>"), "pre_tokenizer": {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}}, some
    some = ["ab aab", "aaaa baa", "a é b", "xy xyz ab<0x41>", "zz zé z", "<unk> a<unk>z", "", "日本 a", "abaabbab" * 30]
    meta = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    bytes_of = [["<0x%02X>" % b, 0.0] for b in "zé日本".encode()]
    flat = [["<unk>", 0.0], ["▁", -2.0], ["a", -1.5], ["b", -1.75], ["aa", -3.0], ["ab", -3.25], ["▁a", -3.5], ["ba", -3.0], ["aab", -4.5], ["xy", -9.0]]
    high = [["<unk>", 30.0], ["▁", 40.0], ["a", 41.5], ["xy", 31.0], ["zz", 30.0], ["b", 50.0], ["ab", 91.5]]
    for vocab, byte_fallback, pre in [(flat, False, meta), (flat, False, None), (flat + bytes_of, True, meta), (high, False, meta),
                                      (flat + [["ab", -1.0]], False, meta), (flat, True, {**meta, "split": False})]:
        yield "unigram", {**plain, "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": byte_fallback},
                          "pre_tokenizer": pre}, some


def variant(base, parts, texts):
    d = json.loads(base.to_str())
    parts = json.loads(json.dumps(parts))
    for i, a in enumerate(parts.get("added_tokens", [])):
        a["id"] = len(d["model"]["vocab"]) + i
    d.update(parts)
    t = Tokenizer.from_str(json.dumps(d))
    done = []
    for text in texts:
        ids = t.encode(text, add_special_tokens=False).ids
        done.append({"text": text, "ids": ids, "decoded": t.decode(ids, skip_special_tokens=False)})
    return parts, done


def main():
    # trained once: another version of the library may train another vocabulary, and every id would change
    bases = {name: Tokenizer.from_file(os.path.join(here, name, "tokenizer.json"))
             if os.path.exists(os.path.join(here, name, "tokenizer.json")) else make()
             for name, make in [("bytes", make_bytes), ("pieces", make_pieces), ("unigram", make_unigram)]}
    with open(os.path.join(here, "cases.jsonl"), "w", encoding="utf-8") as f:
        for name, t in bases.items():
            os.makedirs(os.path.join(here, name), exist_ok=True)
            with open(os.path.join(here, name, "tokenizer.json"), "w", encoding="utf-8") as out:
                out.write(json.dumps(json.loads(t.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n")
            for text in texts():
                if "\0" in text:
                    text = text.replace("\0", "")
                ids = t.encode(text, add_special_tokens=False).ids
                f.write(json.dumps({"tokenizer": name, "text": text, "plain": ids, "special": t.encode(text).ids,
                                    "kept": t.decode(ids, skip_special_tokens=False), "skipped": t.decode(ids)},
                                   ensure_ascii=False) + "\n")
    with open(os.path.join(here, "variants.jsonl"), "w", encoding="utf-8") as f:
        for base, parts, some in [*variants(), *word_variants()]:
            parts, done = variant(bases[base], parts, some)
            f.write(json.dumps({"base": base, "parts": parts, "texts": done}, ensure_ascii=False) + "\n")


main()
