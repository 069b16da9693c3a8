"""Makes the tiny random models of every family in this folder, and what Hugging Face transformers and PEFT say of them.

    python tests/golden/make_families.py [FAMILY...]      # needs torch, transformers 5 and peft

A folder FAMILY holds
    config.json, generation_config.json, model.safetensors   as transformers 5 writes them; the weights in bf16
    config4.json        the same settings as transformers 4 wrote them: a model with either gives the same bits
    adapter/            a PEFT adapter on all linear layers, A and B random
    adapter-saved/      one on the embedding and v_proj (qkv_proj) that replaces every norm (modules_to_save)
    golden.json         see below
    golden.safetensors  logits.0, logits.1: [tokens, vocab] of the two sequences

golden.json (of gemma3-nested only {"same_as": "gemma3"}: no goldens of its own):
    sequences   [{ids, labels (-100: not counted), nll (sum over the counted tokens)}]
    label_tokens, loss   of both together
    greedy      {prompt, ids, margins (best minus second logit)}, everything calculated anew for every token
    long        the same from 28 tokens to 40: past the length at which dynamic and longrope change
    grad        {parameter: [norm, probe]} of the sum of the NLL
    lora        {nll of each sequence, grad {tensor: [norm, probe]}} with the adapter
    saved       {nll of each sequence} with the other one
    noise       how far float32 is from float64: the largest difference of a logit, of an NLL a token, and of a LoRA
                gradient (over its norm)
A probe is the sum of g[i] * (i * 7919 % 97 - 48) / 48 over the flat gradient g: a norm does not see a wrong order or
sign, the probe does.

All numbers are those of float64: the model's code runs with every mention of float32 replaced by float64, attention
written out ("eager"). The same seeds give the same files.
"""
import json
import math
import os
import shutil
import sys
import warnings
import zlib

warnings.filterwarnings("ignore")
import peft
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)

VOCAB = 64
LLAMA = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=VOCAB, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=True,
             bos_token_id=1, eos_token_id=2, pad_token_id=None)
LONG = dict(rope_theta=1e4, rope_type="longrope", original_max_position_embeddings=32,
            short_factor=[1.0, 1.05, 1.1, 1.3, 1.6, 2.0], long_factor=[1.0, 1.3, 1.9, 2.6, 3.3, 4.0])


def rope(theta, kind="default", **more):
    return dict(rope_theta=theta, rope_type=kind, **more)


# model_type, settings. Sequences have 40 and 24 tokens: windows and the ranges of positions are set against these.
FAMILIES = {
    # no size is a multiple of 16, keys for every second query head, a head of its own
    "llama-odd": ("llama", dict(LLAMA, hidden_size=42, intermediate_size=50, num_attention_heads=6, num_key_value_heads=3,
                                head_dim=10, vocab_size=67, tie_word_embeddings=False, rope_parameters=rope(1e4))),
    "llama-bias": ("llama", dict(LLAMA, num_key_value_heads=4, attention_bias=True, mlp_bias=True,
                                 rope_parameters=rope(1e4))),
    "llama3": ("llama", dict(LLAMA, hidden_size=48, intermediate_size=32, num_attention_heads=6, num_key_value_heads=2, head_dim=16, rope_parameters=rope(
        1e4, "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32))),
    "llama-linear": ("llama", dict(LLAMA, rope_parameters=rope(1e4, "linear", factor=4.0))),
    "llama-dynamic": ("llama", dict(LLAMA, max_position_embeddings=32, rope_parameters=rope(1e4, "dynamic", factor=2.0))),
    "llama-yarn": ("llama", dict(LLAMA, head_dim=16, rope_parameters=rope(
        1e4, "yarn", factor=4.0, original_max_position_embeddings=32))),
    "mistral": ("mistral", dict(LLAMA, hidden_size=48, intermediate_size=32, num_attention_heads=6, num_key_value_heads=2, head_dim=8, sliding_window=None,
                                tie_word_embeddings=False, rope_parameters=rope(1e6))),
    "mistral-window": ("mistral", dict(LLAMA, sliding_window=8, rope_parameters=rope(1e4))),
    "smollm3": ("smollm3", dict(LLAMA, num_hidden_layers=4, intermediate_size=32, no_rope_layers=[1, 0, 1, 0],
                                no_rope_layer_interval=2, rope_parameters=rope(5e4))),
    "qwen2": ("qwen2", dict(LLAMA, num_attention_heads=6, num_key_value_heads=2, hidden_size=48, intermediate_size=32, tie_word_embeddings=False,
                            rope_parameters=rope(1e6))),
    "qwen2-window": ("qwen2", dict(LLAMA, num_hidden_layers=3, use_sliding_window=True, sliding_window=8,
                                   max_window_layers=1, rope_parameters=rope(1e4))),
    "qwen3": ("qwen3", dict(LLAMA, num_attention_heads=4, num_key_value_heads=2, head_dim=16, rope_parameters=rope(1e6))),
    "gemma2": ("gemma2", dict(LLAMA, head_dim=16, sliding_window=8, query_pre_attn_scalar=20, attn_logit_softcapping=4.0,
                              final_logit_softcapping=3.0, rms_norm_eps=1e-6, hidden_activation="gelu_pytorch_tanh",
                              rope_parameters=rope(1e4))),
    "gemma3": ("gemma3_text", dict(LLAMA, num_hidden_layers=3, intermediate_size=32, num_key_value_heads=1, head_dim=16,
                                   sliding_window=8, query_pre_attn_scalar=20, rms_norm_eps=1e-6,
                                   layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                                   hidden_activation="gelu_pytorch_tanh", rope_parameters={
                                       "sliding_attention": rope(1e4),
                                       "full_attention": rope(1e6, "linear", factor=8.0)})),
    "phi3": ("phi3", dict(LLAMA, head_dim=16, tie_word_embeddings=False, hidden_size=64, intermediate_size=32,
                          sliding_window=None, rope_parameters=rope(1e4, partial_rotary_factor=0.75))),
    "phi3-longrope": ("phi3", dict(LLAMA, hidden_size=48, intermediate_size=32, sliding_window=100,
                                   original_max_position_embeddings=32, rope_parameters=LONG)),
}
NESTED = "gemma3-nested"  # gemma3 once more, as the text part of a model that also reads images


class Float64:
    """Within it, code that asks for float32 gets float64."""

    NAMES = ("float32", "float")

    def __enter__(self):
        self.saved = [getattr(torch, n) for n in self.NAMES], torch.Tensor.float
        torch.set_default_dtype(torch.float64)
        for n in self.NAMES:
            setattr(torch, n, torch.float64)
        torch.Tensor.float = torch.Tensor.double

    def __exit__(self, *_):
        names, torch.Tensor.float = self.saved
        for n, v in zip(self.NAMES, names):
            setattr(torch, n, v)
        torch.set_default_dtype(torch.float32)


def config_of(family):
    kind, settings = FAMILIES[family]
    config = AutoConfig.for_model(kind, **settings)
    config._attn_implementation = "eager"
    return config


def draw(name, shape, family, gemma):
    """Values that matter: norms away from neutral, biases away from zero, attention that looks at something."""
    g = torch.Generator().manual_seed(zlib.crc32(f"{family}/{name}".encode()))
    x = torch.randn(shape, generator=g, dtype=torch.float64)
    if "norm" in name:
        x = x * 0.2 + (0 if gemma else 1)
    elif name.endswith("bias"):
        x = x * 0.2
    elif "embed_tokens" in name or "lm_head" in name:
        x = x * 0.3
    else:
        wide = 1.5 if "q_proj" in name or "k_proj" in name or "qkv" in name else 1.0
        x = x * wide / math.sqrt(shape[-1])
    return x.to(torch.bfloat16)


def fill(model, weights):
    state = model.state_dict()
    for name, value in weights.items():
        state[name].copy_(value)
    model.tie_weights()
    return model.eval()


def build(config, weights, double):
    def make(dtype):
        return fill(AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="eager"), weights)

    if not double:
        return make(torch.float32)
    with Float64():
        return make(torch.float64)


def generation4(config):
    """config.json as transformers 4 wrote it, and as files without the later keys are."""
    c = {k: v for k, v in config.items() if not k.startswith("_")}
    c["torch_dtype"] = c.pop("dtype", "bfloat16")
    c["transformers_version"] = "4.44.0"
    params = c.pop("rope_parameters")
    if "full_attention" in params:
        local, params = params["sliding_attention"], params["full_attention"]
        c["rope_local_base_freq"] = local["rope_theta"]
        c["sliding_window_pattern"] = 2
    params = dict(params)
    c["rope_theta"] = params.pop("rope_theta")
    if "partial_rotary_factor" in params:
        c["partial_rotary_factor"] = params.pop("partial_rotary_factor")
    kind = params.pop("rope_type")
    if kind == "longrope":
        params.pop("original_max_position_embeddings")
    if kind == "default":
        c["rope_scaling"] = None
    else:
        newer = kind in ("llama3", "yarn") or c["model_type"].startswith("gemma3")
        c["rope_scaling"] = dict({"rope_type" if newer else "type": kind}, **params)
    c.pop("layer_types", None)
    return c


def sequences(vocab):
    g = torch.Generator().manual_seed(11)
    out = []
    for n in (40, 24):
        ids = torch.randint(3, vocab, (n,), generator=g).tolist()
        ids[0] = 1
        labels = [-100 if i < n // 4 or i == n // 2 else t for i, t in enumerate(ids)]
        out.append((ids, labels))
    return out


def nll_sum(model, ids, labels):
    """Sum of the NLL, and the logits."""
    logits = model(torch.tensor([ids]), use_cache=False).logits[0]
    logp = torch.log_softmax(logits.double(), dim=-1)
    total = sum(-logp[i - 1, t] for i, t in enumerate(labels) if i and t != -100)
    return total, logits


def summary(g):
    g = g.detach().double().flatten()
    i = torch.arange(len(g), dtype=torch.int64)
    return [g.norm().item(), (g * ((i * 7919 % 97 - 48).double() / 48)).sum().item()]


def measure(model, rows):
    """NLLs, logits and summaries of the gradients that are wanted."""
    nll, logits = [], []
    model.zero_grad()
    for ids, labels in rows:
        total, z = nll_sum(model, ids, labels)
        total.backward()
        nll.append(total.item())
        logits.append(z.detach())
    grads = {n: summary(p.grad) for n, p in model.named_parameters() if p.grad is not None}
    return nll, logits, grads


def greedy(model, prompt, n):
    ids, margins = list(prompt), []
    with torch.no_grad():
        for _ in range(n):
            best = model(torch.tensor([ids]), use_cache=False).logits[0, -1].topk(2)
            ids.append(best.indices[0].item())
            margins.append((best.values[0] - best.values[1]).item())
    return {"prompt": prompt, "ids": ids[len(prompt):], "margins": margins}


def generated(model, prompt, n):
    """The margins of generate() with its cache."""
    out = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                         do_sample=False, max_new_tokens=n, min_new_tokens=n, eos_token_id=None, pad_token_id=0,
                         output_logits=True, return_dict_in_generate=True)
    best = [z[0].topk(2).values for z in out.logits]
    return [(b[0] - b[1]).item() for b in best]


def check_cache(family, model, want):
    """generate() must agree. Under dynamic its cache keeps keys turned for the length at which they were stored: there
    the sequence calculated anew counts."""
    got = generated(model, want["prompt"], len(want["ids"]))
    apart = max(abs(a - b) for a, b in zip(got, want["margins"]))
    if (apart > 1e-6) != (family == "llama-dynamic"):
        raise SystemExit(f"{family}: generate() is {apart:.2e} away from the sequence calculated anew")


def adapt(model, family):
    """The model with LoRA on all its linear layers; A and B as they are stored (bf16)."""
    linears = {n.split(".")[-1] for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)} - {"lm_head"}
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=linears, task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, config, autocast_adapter_dtype=False)
    model.peft_config["default"].base_model_name_or_path = family
    for name, p in model.named_parameters():
        if "lora_" in name:
            g = torch.Generator().manual_seed(zlib.crc32(f"{family}/{name}".encode()))
            p.data.copy_((torch.randn(p.shape, generator=g, dtype=torch.float64) * 0.25).to(torch.bfloat16))
    return model.eval()


def adapt_saved(model, family):
    """The model with LoRA on its embedding, and other norms."""
    names = {n.split(".")[-1] for n, _ in model.named_modules()}
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["embed_tokens", *names & {"v_proj", "qkv_proj"}],
                             modules_to_save=["norm"], task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, config, autocast_adapter_dtype=False)
    model.peft_config["default"].base_model_name_or_path = family
    for name, p in model.named_parameters():
        if p.requires_grad:
            g = torch.Generator().manual_seed(zlib.crc32(f"{family}/saved/{name}".encode()))
            drawn = torch.randn(p.shape, generator=g, dtype=torch.float64) * 0.25
            p.data.copy_((drawn if "lora_" in name else p.data.double() + drawn).to(torch.bfloat16))
    return model.eval()


def save_adapter(model, folder):
    model.save_pretrained(folder, save_embedding_layers=False)
    os.remove(os.path.join(folder, "README.md"))
    path = os.path.join(folder, "adapter_model.safetensors")
    save_file({n: t.to(torch.bfloat16) for n, t in load_file(path).items()}, path, metadata={"format": "pt"})
    path = os.path.join(folder, "adapter_config.json")
    with open(path) as f:
        config = json.load(f)
    write_json(path, dict(config, target_modules=sorted(config["target_modules"])))  # a set: any order


def plain(grads):
    return {n.replace("base_model.model.", "").replace(".default", ""): v for n, v in grads.items() if "lora_" in n}


def check_generation4(folder, rows, want):
    """transformers itself must read both configs as the same model."""
    other = folder + ".4"
    shutil.copytree(folder, other)
    try:
        os.replace(os.path.join(other, "config4.json"), os.path.join(other, "config.json"))
        model = AutoModelForCausalLM.from_pretrained(other, dtype=torch.float32, attn_implementation="eager").eval()
        for (ids, labels), z in zip(rows, want):
            got = nll_sum(model, ids, labels)[1]
            if not torch.equal(got, z):
                raise SystemExit(f"{folder}: config4.json is another model, apart by {(got - z).abs().max():.2e}")
    finally:
        shutil.rmtree(other)


def size_of(folder):
    return sum(os.path.getsize(os.path.join(d, f)) for d, _, names in os.walk(folder) for f in names) / 1000


def make_nested():
    """The text model of gemma3 within a model of text and images, whose tower stays random and is not used."""
    folder = os.path.join(HERE, NESTED)
    shutil.rmtree(folder, ignore_errors=True)
    inner = config_of("gemma3")
    config = transformers.Gemma3Config(
        text_config=inner.to_dict(), mm_tokens_per_image=4, image_token_index=VOCAB - 1, boi_token_index=VOCAB - 2,
        eoi_token_index=VOCAB - 3, vision_config=dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                                      num_attention_heads=2, image_size=8, patch_size=4))
    torch.manual_seed(3)
    model = transformers.Gemma3ForConditionalGeneration(config).to(torch.bfloat16)
    text = load_file(os.path.join(HERE, "gemma3", "model.safetensors"))
    missing = model.model.language_model.load_state_dict({n.removeprefix("model."): t for n, t in text.items()})
    assert not missing.missing_keys
    model.save_pretrained(folder)
    with open(os.path.join(folder, "config.json")) as f:
        written = json.load(f)
    written["torch_dtype"] = written.pop("dtype")
    written["transformers_version"] = "4.50.0"
    written["text_config"] = generation4(written["text_config"])
    write_json(os.path.join(folder, "config4.json"), written)
    write_json(os.path.join(folder, "golden.json"), {"same_as": "gemma3"})
    print(f"{NESTED:15} {size_of(folder):6.1f} KB  gemma3's weights: {', '.join(load_file(folder + '/model.safetensors'))[:60]}...")


def rounded(x):
    """Floats with 10 digits: shorter files, far below the noise."""
    if isinstance(x, float):
        return float(f"{x:.10g}")
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items()}
    return [rounded(v) for v in x] if isinstance(x, (list, tuple)) else x


def write_json(path, value):
    text = json.dumps(value, indent=1)
    with open(path, "w") as f:
        f.write(text + "\n")


def make(family):
    folder = os.path.join(HERE, family)
    shutil.rmtree(folder, ignore_errors=True)
    config = config_of(family)
    gemma = config.model_type.startswith("gemma")
    shapes = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    weights = {n: draw(n, p.shape, family, gemma) for n, p in shapes.named_parameters()}
    fill(shapes.to(torch.bfloat16), weights).save_pretrained(folder)
    with open(os.path.join(folder, "config.json")) as f:
        write_json(os.path.join(folder, "config4.json"), generation4(json.load(f)))

    rows = sequences(config.vocab_size)
    single, double = (build(config, weights, d) for d in (False, True))
    with Float64():
        nll, logits, grads = measure(double, rows)
        continuation = greedy(double, rows[1][0][:8], 16)
        longer = greedy(double, rows[0][0][:28], 12)
        check_cache(family, double, longer)
    nll32, logits32, _ = measure(single, rows)
    single = adapt(single, family)
    save_adapter(single, os.path.join(folder, "adapter"))
    lora32 = measure(single, rows)
    with Float64():
        lora = measure(adapt(double, family), rows)
        saved = adapt_saved(build(config, weights, True), family)
        with torch.no_grad():
            other = [nll_sum(saved, *row)[0].item() for row in rows]
    save_adapter(saved, os.path.join(folder, "adapter-saved"))
    check_generation4(folder, rows, logits32)

    tokens = sum(t != -100 for _, labels in rows for t in labels)
    mine, theirs = plain(lora[2]), plain(lora32[2])
    noise = {"logits": max((a - b).abs().max().item() for a, b in zip(logits, logits32)),
             "nll": max(abs(a - b) for a, b in zip(nll + lora[0], nll32 + lora32[0])) / tokens,
             "lora_grad": max(abs(theirs[n][k] - mine[n][k]) / mine[n][0] for n in mine for k in (0, 1))}
    save_file({f"logits.{i}": z.to(torch.float32).contiguous() for i, z in enumerate(logits)},
              os.path.join(folder, "golden.safetensors"))
    golden = {"family": family, "model_type": config.model_type, "made_with": {
        "torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
        "sequences": [{"ids": i, "labels": l, "nll": n} for (i, l), n in zip(rows, nll)],
        "label_tokens": tokens, "loss": sum(nll) / tokens, "greedy": continuation, "long": longer, "grad": grads,
        "lora": {"nll": lora[0], "grad": mine}, "saved": {"nll": other}, "noise": noise}
    text = json.dumps(rounded(golden), separators=(",", ":"))
    with open(os.path.join(folder, "golden.json"), "w") as f:
        f.write(text.replace('],"', '],\n"').replace('},"', '},\n"').replace('{"ids"', '\n{"ids"') + "\n")
    print(f"{family:15} {size_of(folder):6.1f} KB  loss {golden['loss']:.4f}  logits to {max(z.abs().max().item() for z in logits):.2f}"
          f"  least margin {min(continuation['margins']):.4f}  float32 - float64: logits {noise['logits']:.1e}"
          f", NLL {noise['nll']:.1e}, LoRA gradients {noise['lora_grad']:.1e}", flush=True)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")
    for name in sys.argv[1:] or [*FAMILIES, NESTED]:
        make_nested() if name == NESTED else make(name)
