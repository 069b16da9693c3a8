"""The Python half of peft.sh.

    peft_nll.py rows MODEL ROWS.jsonl              alpaca rows to {"ids","labels"} lines, everything but the first token counted
    peft_nll.py adapter MODEL OUT FORM             a PEFT adapter with random values: all, dora, patterns, embedding, saved
    peft_nll.py weighted MODEL OURS HOW A W B W    what `combine` wrote against add_weighted_adapter: the largest difference of dW
    peft_nll.py compare MODEL ADAPTER ROWS OURS    NLL of every token here against `tunesmith nll --per-token --json`
"""
import json
import sys
import warnings

warnings.filterwarnings("ignore")
import peft
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

TOLERANCE = 1e-4  # a token, natural logarithm
transformers.logging.set_verbosity_error()


def lines(path):
    return [json.loads(line) for line in open(path, encoding="utf-8") if line.strip()]


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def rows(folder, path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for row in lines(path):
        if not row.get("instruction") or not row.get("output"):
            continue
        user = row["instruction"] + ("\n" + row["input"] if row.get("input") else "")
        turns = [{"role": "user", "content": user}, {"role": "assistant", "content": row["output"]}]
        text = tokenizer.apply_chat_template(turns, tokenize=False)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"][:256]
        print(json.dumps({"ids": ids, "labels": [-100] + ids[1:]}))


FORMS = {
    "all": dict(target_modules="all-linear"),
    "dora": dict(target_modules=["q_proj", "o_proj", "down_proj"], use_dora=True, use_rslora=True),
    "patterns": dict(target_modules=["k_proj", "gate_proj", "lm_head"], exclude_modules=["layers.3.mlp.gate_proj"],
                     layers_to_transform=[0, 3, 7, 12], rank_pattern={"k_proj": 3, r"layers\.\d\.mlp.*": 1},
                     alpha_pattern={r"layers\.0\..*": 5}),
    "embedding": dict(target_modules=["embed_tokens", "v_proj"]),
    "saved": dict(target_modules=["v_proj"], modules_to_save=["norm", "lm_head"]),
}


def adapter(folder, out, form):
    torch.manual_seed(7)
    config = peft.LoraConfig(r=8, lora_alpha=16, task_type="CAUSAL_LM", **FORMS[form])
    model = peft.get_peft_model(load(folder), config)
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        if "lora_B" in name or "lora_embedding_A" in name:
            torch.nn.init.normal_(p, std=0.02)
        elif "lora_magnitude" in name or "modules_to_save" in name:
            p.data *= 1 + 0.05 * torch.randn_like(p)
    model.save_pretrained(out)


def changes(model, name):
    """dW of every adapted module, and the largest entry of A and B."""
    out = {}
    for path, module in model.named_modules():
        if hasattr(module, "lora_A") and name in module.lora_A:
            out[path] = (module.get_delta_weight(name), module.lora_A[name].weight, module.lora_B[name].weight)
    return out


def weighted(folder, ours, how, *parts):
    adapters, weights = parts[0::2], [float(w) for w in parts[1::2]]
    model = peft.PeftModel.from_pretrained(load(folder), adapters[0], adapter_name="0")
    for i, path in enumerate(adapters[1:], 1):
        model.load_adapter(path, adapter_name=str(i))
    names = [str(i) for i in range(len(adapters))]
    model.add_weighted_adapter(names, weights, "theirs", combination_type=how)
    model.load_adapter(ours, adapter_name="ours")
    with torch.no_grad():
        theirs, mine = changes(model.base_model, "theirs"), changes(model.base_model, "ours")
        worst = max(((x[0] - y[0]).abs().max() / x[0].abs().max()).item() for x, y in zip(theirs.values(), mine.values()))
        same = how == "svd" or max((x[k] - y[k]).abs().max().item() for x, y in zip(theirs.values(), mine.values()) for k in (1, 2))
    print(f"    {len(mine)} modules, largest difference of dW {worst:.2e} of its largest entry" +
          ("" if how == "svd" else f", of A and B {same:.2e}"))
    return 0 if theirs.keys() == mine.keys() and worst < 1e-5 and (how == "svd" or same < 1e-6) else 1


def compare(folder, adapter_folder, path, ours):
    model = peft.PeftModel.from_pretrained(load(folder), adapter_folder).eval()
    worst, count, total = 0.0, 0, 0.0
    with torch.no_grad():
        model(torch.arange(3, 163)[None])  # the first forward of a process may take another path
        for row, answer in zip(lines(path), lines(ours), strict=True):
            ids = torch.tensor(row["ids"])[None]
            logp = torch.log_softmax(model(ids).logits[0, :-1].double(), dim=-1)
            nll = -logp.gather(1, ids[0, 1:, None])[:, 0]
            theirs = torch.tensor(answer["nlls"], dtype=torch.float64)
            if len(theirs) != len(nll):
                raise SystemExit(f"line {answer['line']}: {len(theirs)} tokens here, {len(nll)} there")
            worst = max(worst, (nll - theirs).abs().max().item())
            count += len(nll)
            total += nll.sum().item()
    print(f"    peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}: "
          f"{count} tokens, mean NLL {total / count:.4f}, largest difference {worst:.2e}")
    return 1 if worst > TOLERANCE else 0


if __name__ == "__main__":
    what = {"rows": rows, "adapter": adapter, "compare": compare, "weighted": weighted}[sys.argv[1]]
    sys.exit(what(*sys.argv[2:]) or 0)
