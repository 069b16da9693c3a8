#include "tests/tiny_model.h"

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/rand.h"
#include "core/base/utf8.h"
#include "core/model/adapter.h"
#include "core/model/safetensors.h"
#include "tests/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

static const char *const specials[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
/* pairs in the order of their rank; \u0120 is the byte alphabet's blank */
static const char *const merges[][2] = {
    {"\u0120", "t"}, {"h", "e"}, {"i", "n"},        {"\u0120", "a"},  {"o", "n"},
    {"r", "e"},      {"e", "r"}, {"\u0120t", "he"}, {"in", "g"},      {"\u0120", "s"},
    {"o", "r"},      {"a", "n"}, {"an", "d"},       {"\u0120a", "n"}, {"\u0120", "\u0120"},
};
static const char chat_template[] =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
    "'\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

enum { N_SPECIAL = TS_COUNT(specials), N_MERGES = TS_COUNT(merges), N_TOKENS = N_SPECIAL + 256 + N_MERGES };

/* What a family writes otherwise than llama. */
typedef struct kind {
    const char *name, *hf, *type, *gguf;
    bool interleaved, qk_norms, gemma, fused;
} kind;
static const kind kinds[] = {
    {.name = "llama", .hf = "LlamaForCausalLM", .type = "llama", .gguf = "llama", .interleaved = true},
    {.name = "qwen2", .hf = "Qwen2ForCausalLM", .type = "qwen2", .gguf = "qwen2"},
    {.name = "mistral", .hf = "MistralForCausalLM", .type = "mistral", .gguf = "llama", .interleaved = true},
    {.name = "qwen3", .hf = "Qwen3ForCausalLM", .type = "qwen3", .gguf = "qwen3", .qk_norms = true},
    {.name = "smollm3", .hf = "SmolLM3ForCausalLM", .type = "smollm3", .gguf = "smollm3", .interleaved = true},
    {.name = "phi3", .hf = "Phi3ForCausalLM", .type = "phi3", .gguf = "phi3", .fused = true},
    {.name = "gemma2", .hf = "Gemma2ForCausalLM", .type = "gemma2", .gguf = "gemma2", .gemma = true},
    {.name = "gemma3",
     .hf = "Gemma3ForCausalLM",
     .type = "gemma3_text",
     .gguf = "gemma3",
     .qk_norms = true,
     .gemma = true},
};

static const kind *kind_of(const ts_tiny *t) {
    for (size_t i = 0; i < TS_COUNT(kinds); i++)
        if (strcmp(kinds[i].name, t->family) == 0) return &kinds[i];
    fail_msg("no tiny model of the family %s", t->family);
    return NULL;
}

/* A tensor of the plan: both names, its shape (rows 0: a vector), what it holds. */
typedef struct planned {
    char hf[96], gguf[48];
    size_t rows, cols;
    ts_dtype type;
    bool permute;  /* GGUF: q and k of the llama architecture */
    bool from_one; /* GGUF: 1 + what the folder has */
    unsigned char *data;
    size_t bytes;
} planned;

typedef struct plan {
    ts_tiny t;
    planned *items;
    size_t n, cap;
} plan;

/* Bytes of f32 values in the given type; blocks in the simplest way that keeps the values near. */
static void encode_block(ts_dtype type, const float *x, unsigned char *out) {
    float low = x[0], high = x[0], d, m = 0;
    for (size_t i = 1; i < 32; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    float largest = fmaxf(fabsf(low), fabsf(high));
    d = type == TS_Q8_0 ? largest / 127 : type == TS_Q4_0 ? largest / 7 : (high - low) / 15;
    if (type == TS_Q4_1) m = low;
    uint16_t half = ts_f32_to_f16(d), half_m = ts_f32_to_f16(m);
    memcpy(out, &half, 2);
    if (type == TS_Q4_1) memcpy(out + 2, &half_m, 2);
    unsigned char *codes = out + (type == TS_Q4_1 ? 4 : 2);
    for (size_t i = 0; i < 32; i++) {
        int q = d > 0 ? (int)lrintf((x[i] - m) / d) : 0;
        if (type == TS_Q8_0) {
            codes[i] = (unsigned char)(signed char)TS_MAX(-127, TS_MIN(127, q));
            continue;
        }
        q = TS_MAX(0, TS_MIN(15, type == TS_Q4_0 ? q + 8 : q));
        codes[i % 16] = (unsigned char)(i < 16 ? q : codes[i % 16] | q << 4);
    }
}

static void encode(ts_dtype type, const float *x, size_t n, unsigned char *out) {
    size_t block = ts_dtype_block(type), bytes = ts_row_bytes(type, block);
    for (size_t i = 0; i < n; i += block, out += bytes) {
        uint16_t half = type == TS_F16 ? ts_f32_to_f16(x[i]) : ts_f32_to_bf16(x[i]);
        if (type == TS_F32)
            memcpy(out, &x[i], 4);
        else if (type == TS_F16 || type == TS_BF16)
            memcpy(out, &half, 2);
        else
            encode_block(type, x + i, out);
    }
}

/* Adds one tensor with random values: normal with the given deviation around `mean`. */
static void add(plan *p, size_t rows, size_t cols, ts_dtype type, float mean, float deviation, const char *hf,
                const char *gguf) {
    planned x = {.rows = rows, .cols = cols, .type = type};
    size_t n = (rows ? rows : 1) * cols;
    float *values = ts_malloc(n * sizeof *values);
    ts_rand r;
    snprintf(x.hf, sizeof x.hf, "%s", hf);
    snprintf(x.gguf, sizeof x.gguf, "%s", gguf);
    ts_rand_seed(&r, ts_rand_mix(p->t.seed, p->n));
    for (size_t i = 0; i < n; i++)
        values[i] = mean + deviation * (float)ts_rand_normal(&r);
    x.bytes = ts_row_bytes(type, n);
    assert_true(x.bytes > 0);
    x.data = ts_malloc(x.bytes);
    encode(type, values, n, x.data);
    free(values);
    TS_PUSH(p->items, p->n, p->cap, x);
}

static void add_proj(plan *p, size_t layer, const char *hf, const char *gguf, size_t rows, size_t cols, bool bias,
                     bool permute) {
    char a[96], b[48];
    snprintf(a, sizeof a, "model.layers.%zu.%s.weight", layer, hf);
    snprintf(b, sizeof b, "blk.%zu.%s.weight", layer, gguf);
    add(p, rows, cols, p->t.type, 0, 1 / sqrtf((float)cols), a, b);
    p->items[p->n - 1].permute = permute;
    if (!bias) return;
    snprintf(a, sizeof a, "model.layers.%zu.%s.bias", layer, hf);
    snprintf(b, sizeof b, "blk.%zu.%s.bias", layer, gguf);
    add(p, 0, rows, TS_F32, 0, .1f, a, b);
    p->items[p->n - 1].permute = permute;
}

/* Weights of norms lie around 1; gemma's folders hold what is missing to that. */
static void add_norm(plan *p, size_t layer, const char *hf, const char *gguf, size_t n) {
    char a[96], b[48];
    bool gemma = kind_of(&p->t)->gemma;
    snprintf(a, sizeof a, "model.layers.%zu.%s.weight", layer, hf);
    snprintf(b, sizeof b, "blk.%zu.%s.weight", layer, gguf);
    add(p, 0, n, TS_F32, gemma ? 0 : 1, .1f, a, b);
    p->items[p->n - 1].from_one = gemma;
}

static void add_layer(plan *p, size_t i) {
    const ts_tiny *t = &p->t;
    const kind *k = kind_of(t);
    size_t q = t->heads * t->head_dim, kv = t->kv_heads * t->head_dim;
    bool qkv = t->qwen2 || t->attention_bias, permute = k->interleaved;
    add_norm(p, i, "input_layernorm", "attn_norm", t->hidden);
    if (k->qk_norms) {
        add_norm(p, i, "self_attn.q_norm", "attn_q_norm", t->head_dim);
        add_norm(p, i, "self_attn.k_norm", "attn_k_norm", t->head_dim);
    }
    if (k->gemma) {
        add_norm(p, i, "post_attention_layernorm", "post_attention_norm", t->hidden);
        add_norm(p, i, "post_feedforward_layernorm", "post_ffw_norm", t->hidden);
    }
    if (k->fused) {
        add_proj(p, i, "self_attn.qkv_proj", "attn_qkv", q + 2 * kv, t->hidden, false, false);
        add_proj(p, i, "self_attn.o_proj", "attn_output", t->hidden, q, false, false);
        add_norm(p, i, "post_attention_layernorm", "ffn_norm", t->hidden);
        add_proj(p, i, "mlp.gate_up_proj", "ffn_up", 2 * t->ffn, t->hidden, false, false);
        add_proj(p, i, "mlp.down_proj", "ffn_down", t->hidden, t->ffn, false, false);
        return;
    }
    add_proj(p, i, "self_attn.q_proj", "attn_q", q, t->hidden, qkv, permute);
    add_proj(p, i, "self_attn.k_proj", "attn_k", kv, t->hidden, qkv, permute);
    add_proj(p, i, "self_attn.v_proj", "attn_v", kv, t->hidden, qkv, false);
    add_proj(p, i, "self_attn.o_proj", "attn_output", t->hidden, q, t->attention_bias && !t->qwen2, false);
    add_norm(p, i, k->gemma ? "pre_feedforward_layernorm" : "post_attention_layernorm", "ffn_norm", t->hidden);
    add_proj(p, i, "mlp.gate_proj", "ffn_gate", t->ffn, t->hidden, false, false);
    add_proj(p, i, "mlp.up_proj", "ffn_up", t->ffn, t->hidden, false, false);
    add_proj(p, i, "mlp.down_proj", "ffn_down", t->hidden, t->ffn, false, false);
}

static plan make_plan(const ts_tiny *settings) {
    plan p = {.t = settings ? *settings : (ts_tiny){0}};
    ts_tiny *t = &p.t;
    t->hidden = t->hidden ? t->hidden : 64;
    t->ffn = t->ffn ? t->ffn : 96;
    t->layers = t->layers ? t->layers : 2;
    t->heads = t->heads ? t->heads : 4;
    t->kv_heads = t->kv_heads ? t->kv_heads : 2;
    t->head_dim = t->head_dim ? t->head_dim : t->hidden / t->heads;
    t->vocab = t->vocab ? t->vocab : 288;
    assert_true(t->vocab >= N_TOKENS);
    if (!t->family) t->family = t->qwen2 ? "qwen2" : "llama";
    if (kind_of(t)->gemma && !t->window) t->window = 7;
    ts_dtype ends = t->type == TS_Q4_0 || t->type == TS_Q4_1 ? TS_Q8_0 : t->type;
    add(&p, t->vocab, t->hidden, ends, 0, .3f, "model.embed_tokens.weight", "token_embd.weight");
    for (size_t i = 0; i < t->layers; i++)
        add_layer(&p, i);
    bool gemma = kind_of(t)->gemma;
    add(&p, 0, t->hidden, TS_F32, gemma ? 0 : 1, .1f, "model.norm.weight", "output_norm.weight");
    p.items[p.n - 1].from_one = gemma;
    if (t->untied) add(&p, t->vocab, t->hidden, ends, 0, .1f, "lm_head.weight", "output.weight");
    return p;
}

static void free_plan(plan *p) {
    for (size_t i = 0; i < p->n; i++)
        free(p->items[i].data);
    free(p->items);
}

/* GPT-2's byte alphabet: printable bytes stand for themselves, the others for U+0100 on, in order. */
static void byte_token(unsigned byte, ts_buf *out) {
    uint32_t next = 0x100;
    for (unsigned b = 0; b < 256; b++) {
        bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        uint32_t cp = itself ? b : next++;
        if (b == byte) ts_utf8_put(out, cp);
    }
}

/* The name of token `id` into out (emptied first). */
static void token_name(size_t id, ts_buf *out) {
    ts_buf_reset(out);
    if (id < N_SPECIAL)
        ts_buf_puts(out, specials[id]);
    else if (id < N_SPECIAL + 256)
        byte_token((unsigned)(id - N_SPECIAL), out);
    else if (id < N_TOKENS)
        ts_buf_printf(out, "%s%s", merges[id - N_SPECIAL - 256][0], merges[id - N_SPECIAL - 256][1]);
    else
        ts_buf_printf(out, "[PAD%zu]", id);
}

static void write_text(const char *dir, const char *name, ts_buf *text) {
    char *path = ts_path_join(dir, name);
    assert_ok(ts_file_write(path, text->data, text->len, &err));
    ts_buf_release(text);
    free(path);
}

enum { FIRST_PLACES = 16, FACTOR = 4, CONTEXT = 512 };

/* Longrope's divisors: 1, 1.1, 1.2 .. and three times that. */
static float long_factor(size_t i, bool far) {
    return (1 + .1f * (float)i) * (far ? 3 : 1);
}

static size_t rotary(const ts_tiny *t) {
    return kind_of(t)->fused ? t->head_dim / 2 : t->head_dim;
}

static size_t context(const ts_tiny *t) {
    return t->rope && strcmp(t->rope, "dynamic") == 0 ? FIRST_PLACES : CONTEXT;
}

static void put_scaling(const ts_tiny *t, ts_jw *w) {
    ts_jw_kstr(w, "rope_type", t->rope);
    ts_jw_knum(w, "factor", FACTOR);
    ts_jw_kint(w, "original_max_position_embeddings", FIRST_PLACES);
    for (int far = 0; far < 2 && strcmp(t->rope, "longrope") == 0; far++) {
        ts_jw_key(w, far ? "long_factor" : "short_factor");
        ts_jw_arr(w);
        for (size_t i = 0; i < rotary(t) / 2; i++)
            ts_jw_num(w, long_factor(i, far));
        ts_jw_end_arr(w);
    }
}

/* What config.json says beyond llama's. */
static void put_family(const ts_tiny *t, ts_jw *w) {
    const kind *k = kind_of(t);
    if (t->window) ts_jw_kint(w, "sliding_window", (int64_t)t->window);
    if (strcmp(t->family, "mistral") == 0 && !t->window) ts_jw_key(w, "sliding_window"), ts_jw_null(w);
    if (k->fused) ts_jw_knum(w, "partial_rotary_factor", .5);
    if (k->fused) ts_jw_kint(w, "original_max_position_embeddings", FIRST_PLACES);
    if (!k->gemma) return;
    ts_jw_kstr(w, "hidden_activation", "gelu_pytorch_tanh");
    ts_jw_kint(w, "query_pre_attn_scalar", (int64_t)t->head_dim);
    ts_jw_kint(w, "sliding_window_pattern", 2);
    if (k->qk_norms) return;
    ts_jw_knum(w, "attn_logit_softcapping", 5);
    ts_jw_knum(w, "final_logit_softcapping", 4);
}

static void put_rope(const ts_tiny *t, ts_jw *w) {
    if (!t->rope5) ts_jw_knum(w, "rope_theta", t->qwen2 ? 1e6 : 1e4);
    if (!t->rope5 && !t->llama3 && !t->rope) return;
    ts_jw_key(w, t->rope5 ? "rope_parameters" : "rope_scaling");
    ts_jw_obj(w);
    if (t->rope5) ts_jw_knum(w, "rope_theta", t->qwen2 ? 1e6 : 1e4);
    if (t->rope)
        put_scaling(t, w);
    else
        ts_jw_kstr(w, "rope_type", t->llama3 ? "llama3" : "default");
    if (t->llama3) {
        ts_jw_knum(w, "factor", 8);
        ts_jw_knum(w, "low_freq_factor", 1);
        ts_jw_knum(w, "high_freq_factor", 4);
        ts_jw_kint(w, "original_max_position_embeddings", 64);
    }
    ts_jw_end_obj(w);
}

static void write_config(const ts_tiny *t, const char *dir) {
    ts_buf text = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&text);
    ts_jw_obj(&w);
    ts_jw_key(&w, "architectures");
    ts_jw_arr(&w);
    ts_jw_str(&w, kind_of(t)->hf);
    ts_jw_end_arr(&w);
    ts_jw_kstr(&w, "model_type", kind_of(t)->type);
    ts_jw_kint(&w, "hidden_size", (int64_t)t->hidden);
    ts_jw_kint(&w, "intermediate_size", (int64_t)t->ffn);
    ts_jw_kint(&w, "num_hidden_layers", (int64_t)t->layers);
    ts_jw_kint(&w, "num_attention_heads", (int64_t)t->heads);
    ts_jw_kint(&w, "num_key_value_heads", (int64_t)t->kv_heads);
    ts_jw_kint(&w, "head_dim", (int64_t)t->head_dim);
    ts_jw_kint(&w, "vocab_size", (int64_t)t->vocab);
    ts_jw_kint(&w, "max_position_embeddings", (int64_t)context(t));
    ts_jw_knum(&w, "rms_norm_eps", 1e-5);
    ts_jw_kstr(&w, "hidden_act", "silu");
    ts_jw_kbool(&w, "tie_word_embeddings", !t->untied);
    ts_jw_kbool(&w, "attention_bias", t->attention_bias);
    ts_jw_kint(&w, "bos_token_id", 1);
    ts_jw_kint(&w, "eos_token_id", 2);
    put_family(t, &w);
    put_rope(t, &w);
    ts_jw_end_obj(&w);
    write_text(dir, "config.json", &text);
}

static void put_added_tokens(ts_jw *w) {
    static const char *const flags[] = {"single_word", "lstrip", "rstrip", "normalized"};
    ts_jw_key(w, "added_tokens");
    ts_jw_arr(w);
    for (size_t i = 0; i < N_SPECIAL; i++) {
        ts_jw_obj(w);
        ts_jw_kint(w, "id", (int64_t)i);
        ts_jw_kstr(w, "content", specials[i]);
        for (size_t k = 0; k < TS_COUNT(flags); k++)
            ts_jw_kbool(w, flags[k], false);
        ts_jw_kbool(w, "special", true);
        ts_jw_end_obj(w);
    }
    ts_jw_end_arr(w);
}

static void put_bpe(ts_jw *w) {
    ts_buf name = TS_BUF_INIT;
    ts_jw_key(w, "model");
    ts_jw_obj(w);
    ts_jw_kstr(w, "type", "BPE");
    ts_jw_kbool(w, "byte_fallback", false);
    ts_jw_key(w, "vocab");
    ts_jw_obj(w);
    for (size_t i = 0; i < N_TOKENS; i++) {
        token_name(i, &name);
        ts_jw_kint(w, ts_buf_str(&name), (int64_t)i);
    }
    ts_jw_end_obj(w);
    ts_jw_key(w, "merges");
    ts_jw_arr(w);
    for (size_t i = 0; i < N_MERGES; i++) {
        ts_buf_reset(&name);
        ts_buf_printf(&name, "%s %s", merges[i][0], merges[i][1]);
        ts_jw_str(w, ts_buf_str(&name));
    }
    ts_jw_end_arr(w);
    ts_jw_end_obj(w);
    ts_buf_release(&name);
}

static void write_tokenizer(const char *dir) {
    static const char splits[] = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":"
                                 "true},{\"type\":\"ByteLevel\","
                                 "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}]}";
    static const char decoder[] =
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true}";
    ts_buf text = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&text);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "version", "1.0");
    put_added_tokens(&w);
    ts_jw_key(&w, "normalizer");
    ts_jw_null(&w);
    ts_jw_key(&w, "pre_tokenizer");
    ts_jw_raw(&w, splits, sizeof splits - 1);
    ts_jw_key(&w, "post_processor");
    ts_jw_null(&w);
    ts_jw_key(&w, "decoder");
    ts_jw_raw(&w, decoder, sizeof decoder - 1);
    put_bpe(&w);
    ts_jw_end_obj(&w);
    write_text(dir, "tokenizer.json", &text);

    w = ts_jw_to(&text);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "tokenizer_class", "GPT2Tokenizer");
    ts_jw_kstr(&w, "bos_token", specials[1]);
    ts_jw_kstr(&w, "eos_token", specials[2]);
    ts_jw_kstr(&w, "pad_token", specials[2]);
    ts_jw_kstr(&w, "chat_template", chat_template);
    ts_jw_end_obj(&w);
    write_text(dir, "tokenizer_config.json", &text);
}

/* The tensor as a folder holds it: f32, f16 and bf16 as they are, blocks widened (then *widened is to be freed). */
static ts_tensor hf_tensor(const planned *x, float **widened) {
    size_t n = (x->rows ? x->rows : 1) * x->cols;
    ts_tensor t = {.name = x->hf, .type = x->type, .n_dims = x->rows ? 2 : 1, .data = x->data, .bytes = x->bytes};
    t.dims[0] = x->rows ? x->rows : x->cols;
    t.dims[1] = x->cols;
    if (ts_dtype_block(x->type) == 1) return t;
    *widened = ts_malloc(n * sizeof **widened);
    ts_dequantize(x->type, x->data, *widened, n);
    t.type = TS_F32;
    t.data = *widened;
    t.bytes = n * sizeof **widened;
    return t;
}

static void write_index(const plan *p, const char *dir, size_t first_half) {
    ts_buf text = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&text);
    ts_jw_obj(&w);
    ts_jw_key(&w, "weight_map");
    ts_jw_obj(&w);
    for (size_t i = 0; i < p->n; i++)
        ts_jw_kstr(&w, p->items[i].hf,
                   i < first_half ? "model-00001-of-00002.safetensors" : "model-00002-of-00002.safetensors");
    ts_jw_end_obj(&w);
    ts_jw_end_obj(&w);
    write_text(dir, "model.safetensors.index.json", &text);
}

static void write_weights(const plan *p, const char *dir) {
    ts_tensor *tensors = ts_calloc(p->n, sizeof *tensors);
    float **widened = ts_calloc(p->n, sizeof *widened);
    size_t half = p->t.shards ? p->n / 2 : p->n;
    for (size_t i = 0; i < p->n; i++)
        tensors[i] = hf_tensor(&p->items[i], &widened[i]);
    char *path = ts_path_join(dir, p->t.shards ? "model-00001-of-00002.safetensors" : "model.safetensors");
    assert_ok(ts_safetensors_write(path, tensors, half, &err));
    free(path);
    if (p->t.shards) {
        path = ts_path_join(dir, "model-00002-of-00002.safetensors");
        assert_ok(ts_safetensors_write(path, tensors + half, p->n - half, &err));
        free(path);
        write_index(p, dir, half);
    }
    for (size_t i = 0; i < p->n; i++)
        free(widened[i]);
    free(widened);
    free(tensors);
}

void ts_tiny_hf(const char *dir, const ts_tiny *settings) {
    plan p = make_plan(settings);
    assert_ok(ts_mkdirs(dir, &err));
    write_config(&p.t, dir);
    write_tokenizer(dir);
    write_weights(&p, dir);
    free_plan(&p);
}

/* The pieces of a GGUF file (see core/model/gguf.c). */
enum { U32 = 4, I32 = 5, F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9 };

static void put32(ts_buf *b, uint32_t v) {
    ts_buf_add(b, &v, sizeof v);
}

static void put64(ts_buf *b, uint64_t v) {
    ts_buf_add(b, &v, sizeof v);
}

static void put_text(ts_buf *b, const char *s) {
    put64(b, strlen(s));
    ts_buf_puts(b, s);
}

static void key_text(ts_buf *b, size_t *n, const char *key, const char *value) {
    put_text(b, key);
    put32(b, STRING);
    put_text(b, value);
    ++*n;
}

static void key_u32(ts_buf *b, size_t *n, const char *arch, const char *key, size_t value) {
    char name[96];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    put_text(b, name);
    put32(b, U32);
    put32(b, (uint32_t)value);
    ++*n;
}

static void key_f32(ts_buf *b, size_t *n, const char *arch, const char *key, float value) {
    char name[96];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    put_text(b, name);
    put32(b, F32);
    ts_buf_add(b, &value, sizeof value);
    ++*n;
}

static void put_model_keys(const ts_tiny *t, ts_buf *b, size_t *n) {
    const kind *k = kind_of(t);
    const char *arch = k->gguf;
    key_text(b, n, "general.architecture", arch);
    key_text(b, n, "general.name", "Tiny random");
    key_u32(b, n, arch, "block_count", t->layers);
    key_u32(b, n, arch, "context_length", context(t));
    key_u32(b, n, arch, "embedding_length", t->hidden);
    key_u32(b, n, arch, "feed_forward_length", t->ffn);
    key_u32(b, n, arch, "attention.head_count", t->heads);
    key_u32(b, n, arch, "attention.head_count_kv", t->kv_heads);
    key_u32(b, n, arch, "attention.key_length", t->head_dim);
    key_u32(b, n, arch, "attention.value_length", t->head_dim);
    key_u32(b, n, arch, "rope.dimension_count", rotary(t));
    if (t->window) key_u32(b, n, arch, "attention.sliding_window", t->window);
    if (k->gemma) key_u32(b, n, arch, "attention.sliding_window_pattern", 2);
    if (k->gemma && !k->qk_norms) {
        key_f32(b, n, arch, "attn_logit_softcapping", 5);
        key_f32(b, n, arch, "final_logit_softcapping", 4);
    }
    if (t->rope) {
        char type[64];
        snprintf(type, sizeof type, "%s.rope.scaling.type", arch);
        key_text(b, n, type, t->rope);
        key_f32(b, n, arch, "rope.scaling.factor", FACTOR);
        key_u32(b, n, arch, "rope.scaling.original_context_length", FIRST_PLACES);
    }
    key_u32(b, n, arch, "vocab_size", t->vocab);
    key_f32(b, n, arch, "attention.layer_norm_rms_epsilon", 1e-5f);
    key_f32(b, n, arch, "rope.freq_base", t->qwen2 ? 1e6f : 1e4f);
}

static void put_tokenizer_keys(const ts_tiny *t, ts_buf *b, size_t *n) {
    ts_buf name = TS_BUF_INIT;
    key_text(b, n, "tokenizer.ggml.model", "gpt2");
    key_text(b, n, "tokenizer.ggml.pre", "smollm");
    put_text(b, "tokenizer.ggml.tokens");
    put32(b, ARRAY), put32(b, STRING), put64(b, t->vocab);
    for (size_t i = 0; i < t->vocab; i++) {
        token_name(i, &name);
        put_text(b, ts_buf_str(&name));
    }
    put_text(b, "tokenizer.ggml.token_type");
    put32(b, ARRAY), put32(b, I32), put64(b, t->vocab);
    for (size_t i = 0; i < t->vocab; i++)
        put32(b, i < N_SPECIAL ? 3 : i < N_TOKENS ? 1 : 5);
    put_text(b, "tokenizer.ggml.merges");
    put32(b, ARRAY), put32(b, STRING), put64(b, N_MERGES);
    for (size_t i = 0; i < N_MERGES; i++) {
        ts_buf_reset(&name);
        ts_buf_printf(&name, "%s %s", merges[i][0], merges[i][1]);
        put_text(b, ts_buf_str(&name));
    }
    *n += 3;
    key_u32(b, n, "tokenizer.ggml", "bos_token_id", 1);
    key_u32(b, n, "tokenizer.ggml", "eos_token_id", 2);
    key_u32(b, n, "tokenizer.ggml", "padding_token_id", 2);
    put_text(b, "tokenizer.ggml.add_bos_token");
    put32(b, BOOL), ts_buf_putc(b, 0);
    ++*n;
    key_text(b, n, "tokenizer.chat_template", chat_template);
    ts_buf_release(&name);
}

static void pad32(ts_buf *b) {
    while (b->len % 32)
        ts_buf_putc(b, 0);
}

/* The tensor's bytes in the row order of a GGUF file. */
static void put_rows(const ts_tiny *t, const planned *x, ts_buf *data) {
    size_t rows = x->rows ? x->rows : x->cols, row_bytes = x->bytes / rows, d = t->head_dim;
    for (size_t r = 0; r < rows; r++) {
        /* row 2j + half of a head comes from row half*(d/2) + j of Hugging Face's order */
        size_t in_head = r % d, from = x->permute ? r - in_head + in_head % 2 * (d / 2) + in_head / 2 : r;
        ts_buf_add(data, x->data + from * row_bytes, row_bytes);
        if (!x->from_one) continue;
        float v;
        memcpy(&v, data->data + data->len - sizeof v, sizeof v);
        v += 1;
        memcpy(data->data + data->len - sizeof v, &v, sizeof v);
    }
}

static void put_info(ts_buf *b, const char *name, size_t rows, size_t cols, ts_dtype type, size_t offset) {
    put_text(b, name);
    put32(b, rows ? 2 : 1);
    put64(b, cols);
    if (rows) put64(b, rows);
    put32(b, ts_dtype_ggml(type));
    put64(b, offset);
}

/* llama3 scaling as GGUF says it: what each frequency is divided by. */
static void put_rope_freqs(const ts_tiny *t, ts_buf *data) {
    for (size_t i = 0; i < t->head_dim / 2; i++) {
        double f = pow(t->qwen2 ? 1e6 : 1e4, -2.0 * (double)i / (double)t->head_dim), w = 2 * M_PI / f;
        double blend = (64 / w - 1) / 3;
        float divisor = (float)(w < 16 ? 1 : w > 64 ? 8 : 1 / ((1 - blend) / 8 + blend));
        ts_buf_add(data, &divisor, sizeof divisor);
    }
}

void ts_tiny_gguf(const char *path, const ts_tiny *settings) {
    plan p = make_plan(settings);
    ts_buf keys = TS_BUF_INIT, infos = TS_BUF_INIT, data = TS_BUF_INIT, file = TS_BUF_INIT;
    size_t n_keys = 0;
    put_model_keys(&p.t, &keys, &n_keys);
    put_tokenizer_keys(&p.t, &keys, &n_keys);
    for (size_t i = 0; i < p.n; i++) {
        const planned *x = &p.items[i];
        put_info(&infos, x->gguf, x->rows, x->cols, x->type, data.len);
        put_rows(&p.t, x, &data);
        pad32(&data);
    }
    bool longrope = p.t.rope && strcmp(p.t.rope, "longrope") == 0;
    for (int far = 0; far < 2 && longrope; far++) {
        size_t half = rotary(&p.t) / 2;
        put_info(&infos, far ? "rope_factors_long.weight" : "rope_factors_short.weight", 0, half, TS_F32, data.len);
        for (size_t i = 0; i < half; i++) {
            float v = long_factor(i, far);
            ts_buf_add(&data, &v, sizeof v);
        }
        pad32(&data);
    }
    if (p.t.llama3) {
        put_info(&infos, "rope_freqs.weight", 0, p.t.head_dim / 2, TS_F32, data.len);
        put_rope_freqs(&p.t, &data);
        pad32(&data);
    }
    ts_buf_puts(&file, "GGUF");
    put32(&file, 3);
    put64(&file, p.n + p.t.llama3 + (longrope ? 2 : 0));
    put64(&file, n_keys);
    ts_buf_add(&file, keys.data, keys.len);
    ts_buf_add(&file, infos.data, infos.len);
    pad32(&file);
    ts_buf_add(&file, data.data, data.len);
    assert_ok(ts_file_write(path, file.data, file.len, &err));
    ts_buf_release(&keys);
    ts_buf_release(&infos);
    ts_buf_release(&data);
    ts_buf_release(&file);
    free_plan(&p);
}

void ts_tiny_adapter(const char *model, const char *dir, size_t r, uint64_t seed) {
    ts_model *m;
    ts_adapter *a;
    ts_rand random;
    assert_ok(ts_model_open(&m, model, &err));
    assert_ok(ts_adapter_new(&a, m, r, (double)r, 0, false, (1u << TS_PROJS) - 1, seed, &err));
    ts_rand_seed(&random, seed);
    for (size_t i = 0; i < a->n_params; i++)
        a->block[i] = (float)ts_rand_normal(&random) * .02f;
    assert_ok(ts_adapter_save(a, dir, &err));
    ts_adapter_free(a);
    ts_model_close(m);
}
