"""The Python half of transformers.sh: models_check.py PROGRAM [families|written|new|real]..."""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

import torch
from peft import PeftModel
from peft_nll import AutoTokenizer, lines, load, peft, rows, transformers

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
GOLDEN = os.path.join(ROOT, "tests", "golden")
MODELS = os.environ.get("TUNESMITH_MODELS") or os.path.expanduser("~/.cache/tunesmith/models")
TINY = 1e-4  # a token, natural logarithm
REAL = 2e-4
FORMS = {  # options of train: what the program does not have yet is left out, and said
    "q and v": ["--target-modules", "q_proj,v_proj", "--r", "4", "--lora-alpha", "8"],
    "all-linear": ["--target-modules", "all-linear", "--r", "4", "--lora-alpha", "8"],
    "rslora": ["--target-modules", "all-linear", "--r", "4", "--lora-alpha", "8", "--use-rslora"],
    "dora": ["--target-modules", "all-linear", "--r", "4", "--lora-alpha", "8", "--use-dora"],
    "one layer": ["--target-modules", r".*layers\.1\..*(o_proj|down_proj)", "--r", "4", "--lora-alpha", "8"],
}


class Bench:
    """Runs the program, compares, counts."""

    def __init__(self, program, work):
        self.program, self.work = program, work
        self.good = self.bad = self.refused = 0
        self.n = 0

    def path(self):
        self.n += 1
        return os.path.join(self.work, str(self.n))

    def run(self, *args):
        """Standard output, or None where the program refuses (the reason is printed)."""
        done = subprocess.run([self.program, *args, "--quiet"], capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout
        if done.returncode != 1:
            raise SystemExit(f"{' '.join(args)}: exit {done.returncode}\n{done.stderr}")
        self.last_error = done.stderr.strip()
        return None

    def ours(self, model, adapter, file):
        """NLLs of every token of every line, or None."""
        more = ["--adapter", adapter] if adapter else []
        out = self.run("nll", "--model", model, *more, file, "--per-token", "--json", "--precision", "f32")
        return out and [json.loads(line)["nlls"] for line in out.splitlines()]

    def say(self, what, verdict, text):
        print(f"  {what:42} {text}{'' if verdict else '   OVER TOLERANCE'}", flush=True)
        self.good, self.bad = self.good + bool(verdict), self.bad + (not verdict)

    def refusal(self, what):
        self.refused += 1
        print(f"  {what:42} refused: {self.last_error[:200]}", flush=True)

    def against(self, what, mine, theirs, tolerance):
        if mine is None:
            return self.refusal(what)
        if [len(x) for x in mine] != [len(x) for x in theirs]:
            return self.say(what, False, "another number of tokens")
        apart = [abs(a - b) for x, y in zip(mine, theirs) for a, b in zip(x, y)]
        mean = sum(sum(x) for x in theirs) / len(apart)
        self.say(what, max(apart) <= tolerance, f"{len(apart)} tokens, mean NLL {mean:.4f}, largest difference {max(apart):.2e}")


def theirs(model, file):
    out = []
    with torch.no_grad():
        model(torch.arange(3, 24)[None], use_cache=False)  # the first forward of a process may take another path
        for row in lines(file):
            ids = torch.tensor(row["ids"])[None]
            logp = torch.log_softmax(model(input_ids=ids, use_cache=False).logits[0, :-1].double(), dim=-1)
            out.append((-logp.gather(1, ids[0, 1:, None])[:, 0]).tolist())
    return out


def with_adapter(folder, adapter):
    return PeftModel.from_pretrained(load(folder), adapter).eval()


def all_tokens(bench, all_ids):
    path = bench.path()
    with open(path, "w") as f:
        for ids in all_ids:
            f.write(json.dumps({"ids": ids, "labels": [-100] + ids[1:]}) + "\n")
    return path


def tiny_models(bench):
    """(name, folder, file of rows), all in the order of their names."""
    for golden in sorted(glob.glob(os.path.join(GOLDEN, "*", "golden.json"))):
        folder = os.path.dirname(golden)
        source = json.load(open(golden)).get("same_as") or os.path.basename(folder)
        sequences = json.load(open(os.path.join(GOLDEN, source, "golden.json")))["sequences"]
        yield os.path.basename(folder), folder, all_tokens(bench, [s["ids"] for s in sequences])


def families(bench):
    print("every family: the model, and with its adapter")
    for name, folder, file in tiny_models(bench):
        bench.against(name, bench.ours(folder, None, file), theirs(load(folder), file), TINY)
        adapter = os.path.join(folder, "adapter")
        if os.path.isdir(adapter):
            bench.against(f"{name} + adapter", bench.ours(folder, adapter, file), theirs(with_adapter(folder, adapter), file), TINY)


def has(bench, *words):
    return subprocess.run([bench.program, *words, "--help"], capture_output=True).returncode == 0


def trained(bench, name, folder, file):
    for form, options in FORMS.items():
        run = bench.path()
        done = bench.run("train", "--data", file, "--model", folder, "--out", run, *options, "--max-steps", "3", "--batch-size",
                         "2", "--learning-rate", "2e-2", "--warmup-steps", "0", "--precision", "f32")
        if done is None:
            bench.refusal(f"{name}: {form}")
            continue
        adapter = os.path.join(run, "adapter")
        base, got = bench.ours(folder, None, file), bench.ours(folder, adapter, file)
        if max(abs(a - b) for x, y in zip(base, got) for a, b in zip(x, y)) < 0.01:
            bench.say(f"{name}: {form}", False, "the adapter changes nothing")
        bench.against(f"{name}: {form}", got, theirs(with_adapter(folder, adapter), file), TINY)


def converted(bench, name, folder, file):
    """Folder to folder, with an adapter merged, to GGUF."""
    adapter = os.path.join(folder, "adapter")
    for what, adapters in ((["convert"], None), (["merge", "--adapter", adapter], adapter)):
        if adapters and not os.path.isdir(adapter):
            continue
        out = bench.path()
        if bench.run(*what, "--model", folder, "--out", out, "--type", "f32") is None:
            bench.refusal(f"{name}: {what[0]} to a folder")
        else:
            bench.against(f"{name}: {what[0]} to a folder", bench.ours(folder, adapters, file), theirs(load(out), file), TINY)
        gguf = bench.path() + ".gguf"
        if bench.run(*what, "--model", folder, "--out", gguf, "--type", "f32") is None:
            bench.refusal(f"{name}: {what[0]} to GGUF")
        else:
            bench.against(f"{name}: {what[0]} to GGUF, read by us", bench.ours(gguf, None, file),
                          bench.ours(folder, adapters, file), 1e-4)


def written(bench):
    print("adapters that we train, in PEFT")
    for name, folder, file in tiny_models(bench):
        if name in ("llama-odd", "qwen2", "gemma3", "phi3", "smollm3"):
            trained(bench, name, folder, file)
    if not has(bench, "convert") or not has(bench, "merge"):
        print("convert and merge: this program has neither")
        return
    print("what convert and merge write")
    for name, folder, file in tiny_models(bench):
        converted(bench, name, folder, file)


def new(bench):
    """A model from nothing, its tokenizer and its template, in transformers."""
    print("new-model")
    texts = [os.path.join(ROOT, "README.md"), os.path.join(ROOT, "samples", "helpdesk.jsonl")]
    for more in (["--type", "f32"], ["--type", "bf16", "--hidden", "96", "--heads", "6", "--kv-heads", "2", "--layers", "3"]):
        out = bench.path()
        bench.run("new-model", out, "--text", *texts, "--vocab", "900", *more)
        tokenizer = AutoTokenizer.from_pretrained(out)
        turns = [json.loads(line)["messages"] for line in open(os.path.join(ROOT, "samples", "general.jsonl"))]
        ids = [tokenizer(tokenizer.apply_chat_template(t, tokenize=False), add_special_tokens=False)["input_ids"] for t in turns]
        file, chats = all_tokens(bench, ids), os.path.join(ROOT, "samples", "general.jsonl")
        rendered = [json.loads(line) for line in bench.run("render", "--model", out, chats).splitlines()]
        done = subprocess.run([bench.program, "tokenize", "--model", out], input="\n".join(json.dumps(t) for t in rendered),
                              capture_output=True, text=True)
        same = [json.loads(line) for line in done.stdout.splitlines()] == ids
        bench.say(f"{' '.join(more)}: chats as text and as ids", same, "the same" if same else "not the same")
        bench.against(f"{' '.join(more)}: weights", bench.ours(out, None, file), theirs(load(out), file), TINY)


def real(bench):
    print("SmolLM2-135M-Instruct in all its forms")
    base = os.path.join(MODELS, "smollm2-135m-instruct")
    folders = {kind: f"{base}-hf-{kind}" for kind in ("f32", "bf16", "bf16-shards3")}
    missing = [d for d in (base, *folders.values()) if not os.path.isdir(d)]
    if missing:
        print(f"  left out: there is no {missing[0]} (shared/models/get-smollm2.sh --hf --shards 3)")
        return
    raw, file = bench.path(), bench.path()
    with open(os.path.join(ROOT, "samples", "helpdesk.jsonl")) as f, open(raw, "w") as out:
        out.writelines([line for line in f if line.startswith("{")][:16])
    with open(file, "w") as out:
        shown, sys.stdout = sys.stdout, out
        rows(folders["f32"], raw)
        sys.stdout = shown
    mine = {kind: bench.ours(folder, None, file) for kind, folder in folders.items()}
    mine["gguf"] = bench.ours(base, None, file)
    bench.against("Q4_1 GGUF against the f32 folder, both ours", mine["gguf"], mine["f32"], 1e-4)
    bench.say("bf16 in three files against one, both ours", mine["bf16-shards3"] == mine["bf16"],
              "the same" if mine["bf16-shards3"] == mine["bf16"] else "not the same")
    for kind in ("f32", "bf16"):
        bench.against(f"{kind} folder, theirs in f32", mine[kind], theirs(load(folders[kind]), file), REAL)
    if has(bench, "convert"):
        out = bench.path()
        if bench.run("convert", "--model", base, "--out", out, "--type", "f32") is None:
            bench.refusal("the GGUF file converted to a folder")
        else:
            bench.against("the GGUF file converted to a folder, theirs", mine["gguf"], theirs(load(out), file), REAL)


def main():
    program, parts = os.path.abspath(sys.argv[1]), sys.argv[2:] or ["families", "written", "new", "real"]
    transformers.logging.disable_progress_bar()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")
    work = tempfile.mkdtemp()
    try:
        bench = Bench(program, work)
        for part in parts:
            {"families": families, "written": written, "new": new, "real": real}[part](bench)
    finally:
        shutil.rmtree(work)
    print(f"{bench.good} within tolerance, {bench.bad} over it, {bench.refused} refused by us")
    return 1 if bench.bad else 0


if __name__ == "__main__":
    sys.exit(main())
