#!/usr/bin/env python3
"""Writes the seeds of fuzz_gguf, fuzz_safetensors and fuzz_adapter (corpus/ beside this file): small files of every kind of value and
tensor, and a whole tiny model. Only Python's standard library; the output is the same on every run."""
import json
import os
import random
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
RANDOM = random.Random(7)
BLOCK = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84), 11: (256, 110),
         12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 20: (32, 18), 23: (256, 136), 30: (1, 2), 39: (32, 17)}


def text(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def value(v):
    """(type, bytes) of a key's value; (format, number) pairs choose a width."""
    if isinstance(v, bool):
        return 7, struct.pack("<B", v)
    if isinstance(v, str):
        return 8, text(v)
    if isinstance(v, float):
        return 6, struct.pack("<f", v)
    if isinstance(v, int):
        return 4, struct.pack("<I", v)
    if isinstance(v, tuple):
        return dict(B=0, b=1, H=2, h=3, I=4, i=5, Q=10, q=11, d=12)[v[0]], struct.pack("<" + v[0], v[1])
    kinds = [value(x) for x in v]
    return 9, struct.pack("<IQ", kinds[0][0], len(kinds)) + b"".join(b for _, b in kinds)


def gguf(keys, tensors, version=3):
    """tensors: (name, dims with the innermost first, type)."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    for name, v in keys.items():
        kind, data = value(v)
        out += text(name) + struct.pack("<I", kind) + data
    data, align = b"", keys.get("general.alignment", 32)
    for name, dims, kind in tensors:
        n = 1
        for d in dims:
            n *= d
        block, size = BLOCK[kind]
        out += text(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
        out += struct.pack("<IQ", kind, len(data))
        data += RANDOM.randbytes(n // block * size)
        data += b"\0" * (-len(data) % align)
    return out + b"\0" * (-len(out) % align) + data


def llama(arch, kind, kv=1):
    keys = {"general.architecture": arch, "general.name": "seed", "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.tokens": ["a", "b", "ab", "<|x|>"], "tokenizer.ggml.token_type": [("i", t) for t in (1, 1, 1, 3)],
            "tokenizer.ggml.merges": ["a b"], "tokenizer.ggml.eos_token_id": 3, "tokenizer.ggml.bos_token_id": 3}
    for k, v in dict(block_count=1, context_length=64, embedding_length=32, feed_forward_length=32).items():
        keys[arch + "." + k] = v
    keys[arch + ".attention.head_count"] = 2
    keys[arch + ".attention.head_count_kv"] = kv
    keys[arch + ".attention.layer_norm_rms_epsilon"] = 1e-5
    keys[arch + ".rope.freq_base"] = 1e4
    b = "blk.0."
    tensors = [("token_embd.weight", (32, 4), 8), (b + "attn_norm.weight", (32,), 0), (b + "ffn_norm.weight", (32,), 0),
               (b + "attn_q.weight", (32, 32), kind), (b + "attn_k.weight", (32, 16 * kv), kind),
               (b + "attn_v.weight", (32, 16 * kv), kind), (b + "attn_output.weight", (32, 32), kind),
               (b + "ffn_gate.weight", (32, 32), kind), (b + "ffn_up.weight", (32, 32), kind),
               (b + "ffn_down.weight", (32, 32), kind), ("output_norm.weight", (32,), 0)]
    if arch == "qwen2":
        tensors += [(b + "attn_q.bias", (32,), 0), (b + "attn_k.bias", (16 * kv,), 0), (b + "attn_v.bias", (16 * kv,), 0)]
    return gguf(keys, tensors)


def safetensors(tensors, metadata=None, pad=True, random=True):
    head, data = {}, b""
    if metadata is not None:
        head["__metadata__"] = metadata
    for name, dtype, shape in tensors:
        n = {"F32": 4, "F64": 8, "U8": 1}.get(dtype, 2)
        for d in shape:
            n *= d
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + n]}
        data += RANDOM.randbytes(n) if random else b"\0" * n
    h = json.dumps(head, separators=(",", ":")).encode()
    h += b" " * (-len(h) % 8) if pad else b""
    return struct.pack("<Q", len(h)) + h + data


def save(folder, name, data):
    path = os.path.join(HERE, "corpus", folder)
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, name), "wb") as f:
        f.write(data)


every = {"u8": ("B", 200), "i8": ("b", -3), "u16": ("H", 60000), "i16": ("h", -5), "u32": 7, "i32": ("i", -7), "f32": 0.5,
         "yes": True, "text": "h\u00e9llo", "u64": ("Q", 1 << 63), "i64": ("q", -1), "f64": ("d", 0.25),
         "words": ["", "a", "long enough"], "numbers": [1, 2, 3], "reals": [0.5, 1.5], "flags": [True, False]}
save("fuzz_gguf", "values", gguf(every, []))
save("fuzz_gguf", "types", gguf({"general.alignment": 64}, [("t%d" % k, (BLOCK[k][0] * 2, 2), k) for k in BLOCK]))
save("fuzz_gguf", "version2", gguf({"a": 1}, [("t", (4,), 0)], 2))
save("fuzz_gguf", "llama_q4_1", llama("llama", 3))
save("fuzz_gguf", "qwen2_f16", llama("qwen2", 1, 2))
save("fuzz_gguf", "lemma_q8_0", llama("lemma", 8))
save("fuzz_safetensors", "empty", safetensors([]))
save("fuzz_safetensors", "three", safetensors([("a.weight", "F32", [2, 3]), ("b", "BF16", [4]), ("c", "F16", [])], {"format": "pt"}))
save("fuzz_safetensors", "others", safetensors([("x", "F64", [2]), ("none", "F32", [0, 4]), ("y", "U8", [3])], pad=False))
save("fuzz_safetensors", "adapter", safetensors([("base_model.model.model.layers.0.self_attn.q_proj.lora_%s.weight" % x, "F32", s)
                                                 for x, s in (("A", [2, 8]), ("B", [8, 2]))], {"format": "pt"}))


# adapters for the tiny model of fuzz_adapter: hidden 16, ffn 32, 2 layers, 2 heads, 1 kv head, 288 tokens
SIZES = dict(q=(16, 16), k=(8, 16), v=(8, 16), o=(16, 16), gate=(32, 16), up=(32, 16), down=(16, 32))
PREFIX = "base_model.model."


def path(layer, p):
    return "model.layers.%d.%s.%s_proj" % (layer, "self_attn" if p in "qkvo" else "mlp", p)


def lora(layer, p, r, dora=False):
    out, inner = SIZES[p]
    name = PREFIX + path(layer, p)
    pair = [(name + ".lora_A.weight", "F32", [r, inner]), (name + ".lora_B.weight", "BF16", [out, r])]
    return pair + ([(name + ".lora_magnitude_vector", "F32", [out])] if dora else [])


def adapter(name, kind, config, tensors):
    c = json.dumps(config, separators=(",", ":")).encode()
    save("fuzz_adapter", name, struct.pack("<BH", kind, len(c)) + c + safetensors(tensors, random=False))


def peft(name, tensors, **settings):
    adapter(name, 0, dict(dict(peft_type="LORA", r=2, lora_alpha=4), **settings), tensors)


peft("plain", [t for l in (0, 1) for p in "qv" for t in lora(l, p, 2)], target_modules=["q_proj", "v_proj"])
peft("dora", [t for l in (0, 1) for t in lora(l, "down", 2, True)], target_modules=["down_proj"], use_dora=True, use_rslora=True)
peft("patterns", lora(1, "k", 3) + lora(1, "up", 1), target_modules=["k_proj", "up_proj"], layers_to_transform=[1],
     layers_pattern="layers", rank_pattern={"k_proj": 3, "layers\\.1\\.mlp.*": 1}, alpha_pattern={"up_proj": 0.5})
peft("expression", lora(0, "gate", 2), target_modules=r".*layers\.0\.mlp\.(gate|up)_proj", exclude_modules=["up_proj"])
peft("saved", [t for l in (0, 1) for t in lora(l, "o", 2)] + [(PREFIX + "model.norm.weight", "F32", [16])] +
     [(PREFIX + "model.layers.%d.%s_layernorm.weight" % (l, n), "F32", [16]) for l in (0, 1) for n in ("input", "post_attention")] +
     [(PREFIX + "lm_head.weight", "F16", [288, 16])], target_modules=["o_proj"], modules_to_save=["norm", "lm_head"])
peft("embedding", [(PREFIX + "model.embed_tokens.lora_embedding_A", "F32", [2, 288]),
                   (PREFIX + "model.embed_tokens.lora_embedding_B", "F32", [16, 2]),
                   (PREFIX + "model.embed_tokens.base_layer.weight", "F16", [288, 16])], target_modules=["embed_tokens"])
adapter("mlx", 1, dict(fine_tune_type="dora", num_layers=1, lora_parameters=dict(rank=2, scale=20.0, dropout=0.0)),
        [(path(1, "q") + ".lora_a", "F32", [16, 2]), (path(1, "q") + ".lora_b", "F32", [2, 16]), (path(1, "q") + ".m", "F32", [16])])
file = gguf({"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 4.0},
            [("blk.0.attn_q.weight.lora_a", (16, 2), 0), ("blk.0.attn_q.weight.lora_b", (2, 16), 0)])
save("fuzz_adapter", "gguf", struct.pack("<BH", 2, 0) + file[:-256] + b"\0" * 256)
