/* A GGUF file. Names of keys and tensors: ggml's docs/gguf.md, llama.cpp's gguf-py/gguf/constants.py. */
#include "core/model/model_private.h"

#include "core/base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *key(ts_keys *r, const char *name) {
    snprintf(r->key, sizeof r->key, "%s.%s", r->m->config.architecture, name);
    return r->key;
}

static ts_status need_size(ts_keys *r, const char *name, size_t *out) {
    int64_t v;
    if (!ts_gguf_int(r->g, key(r, name), &v))
        return ts_fail(r->err, TS_FORMAT, "%s: the key %s is missing or no single whole number; the file is incomplete",
                       r->m->path, r->key);
    *out = v < 0 ? 0 : (size_t)v;
    return TS_OK;
}

int64_t ts_keys_int(ts_keys *r, const char *name, int64_t otherwise) {
    ts_gguf_int(r->g, key(r, name), &otherwise);
    return otherwise;
}

double ts_keys_num(ts_keys *r, const char *name, double otherwise) {
    ts_gguf_num(r->g, key(r, name), &otherwise);
    return otherwise;
}

ts_status ts_keys_windows(ts_keys *r, int64_t otherwise, int64_t period) {
    ts_config *c = &r->m->config;
    ts_gguf_array each;
    int64_t window = ts_keys_int(r, "attention.sliding_window", otherwise);
    if (window < 0 || window > INT32_MAX)
        return ts_fail(r->err, TS_FORMAT, "%s: a sliding window of %lld tokens is impossible", r->m->path,
                       (long long)window);
    bool listed = ts_gguf_array_get(r->g, key(r, "attention.sliding_window_pattern"), &each);
    if (listed && ((each.kind != 'i' && each.kind != 'b') || each.n < c->layers))
        return ts_fail(r->err, TS_FORMAT, "%s: %s does not tell for each of %zu layers", r->m->path, r->key, c->layers);
    if (!listed) period = ts_keys_int(r, "attention.sliding_window_pattern", period);
    for (size_t i = 0; i < c->layers; i++) {
        bool slides = listed
                          ? ts_gguf_array_int(&each, i) != 0
                          : period <= 1 || (int64_t)(i % (size_t)period) < period - 1; /* llama.cpp's set_swa_pattern */
        if (slides) r->m->layer[i].window = (size_t)window;
    }
    return TS_OK;
}

static void copy_str(char *out, size_t size, const char *s, size_t n) {
    if (n >= size) n = size - 1;
    memcpy(out, s, n);
    out[n] = 0;
}

static ts_status read_architecture(ts_keys *r) {
    ts_config *c = &r->m->config;
    const char *s;
    size_t n;
    char list[TS_FAMILY_LIST];
    if (!ts_gguf_str(r->g, "general.architecture", &s, &n))
        return ts_fail(r->err, TS_FORMAT, "%s: the key general.architecture is missing; this is no model file",
                       r->m->path);
    copy_str(c->architecture, sizeof c->architecture, s, n);
    r->src->family = ts_family_by_gguf(c->architecture);
    if (!r->src->family)
        return ts_fail(r->err, TS_UNSUPPORTED,
                       "%s: the architecture %s is not known here; known are %s: choose a model of these", r->m->path,
                       c->architecture, ts_family_list(list));
    c->fused = r->src->family->fused;
    snprintf(c->modules, sizeof c->modules, "model");
    snprintf(c->family, sizeof c->family, "%s", r->src->family->name);
    if (ts_gguf_str(r->g, "general.name", &s, &n) && n > 0)
        copy_str(c->name, sizeof c->name, s, n);
    else
        snprintf(c->name, sizeof c->name, "%s", ts_path_base(r->m->path));
    return TS_OK;
}

/* What would change the forward pass and is not done here is refused by its key. */
static ts_status refuse_extras(ts_keys *r) {
    int64_t parts;
    if (ts_keys_int(r, "expert_count", 0) > 0)
        return ts_fail(r->err, TS_UNSUPPORTED, "%s: a mixture of experts is not done here; choose a dense model",
                       r->m->path);
    if (ts_keys_int(r, "split.count", 0) > 1 || (ts_gguf_int(r->g, "split.count", &parts) && parts > 1))
        return ts_fail(r->err, TS_UNSUPPORTED,
                       "%s is one part of a split GGUF model; join the parts first (llama-gguf-split --merge)",
                       r->m->path);
    return TS_OK;
}

static ts_status read_head_dim(ts_keys *r) {
    ts_config *c = &r->m->config;
    int64_t natural = c->heads ? (int64_t)(c->hidden / c->heads) : 0;
    int64_t dim = ts_keys_int(r, "attention.key_length", natural),
            value = ts_keys_int(r, "attention.value_length", dim);
    int64_t rotated = ts_keys_int(r, "rope.dimension_count", dim);
    if (rotated != dim && !r->src->family->partial_rotary)
        return ts_fail(r->err, TS_UNSUPPORTED,
                       "%s: rotary positions on %lld of a head's %lld numbers are not done here", r->m->path,
                       (long long)rotated, (long long)dim);
    if (dim != value)
        return ts_fail(r->err, TS_UNSUPPORTED, "%s: keys of %lld and values of %lld numbers a head are not done here",
                       r->m->path, (long long)dim, (long long)value);
    r->m->rope[0].rotary = rotated < 0 ? 0 : (size_t)rotated;
    c->head_dim = dim < 0 ? 0 : (size_t)dim;
    return TS_OK;
}

static ts_status read_yarn(ts_keys *r, ts_rope *rope) {
    rope->type = TS_ROPE_YARN;
    rope->beta_fast = ts_keys_num(r, "rope.scaling.yarn_beta_fast", 32);
    rope->beta_slow = ts_keys_num(r, "rope.scaling.yarn_beta_slow", 1);
    double natural = rope->factor > 1 ? 0.1 * log(rope->factor) + 1 : 1;
    rope->gain = natural * ts_keys_num(r, "rope.scaling.yarn_attn_factor", rope->gain > 0 ? rope->gain : 1);
    if (ts_keys_num(r, "rope.scaling.yarn_log_multiplier", 0) != 0 ||
        ts_keys_num(r, "rope.scaling.yarn_ext_factor", 1) != 1)
        return ts_fail(r->err, TS_UNSUPPORTED, "%s: rotary scaling of the type yarn with %s is not done here",
                       r->m->path, r->key);
    return TS_OK;
}

static ts_status read_rope(ts_keys *r) {
    const char *s = "none";
    size_t n = 4;
    ts_rope *rope = &r->m->rope[0];
    double old = ts_keys_num(r, "rope.scale_linear", 1); /* how files said it before rope.scaling.* */
    rope->theta = ts_keys_num(r, "rope.freq_base", 10000);
    rope->factor = ts_keys_num(r, "rope.scaling.factor", old);
    rope->original = ts_keys_num(r, "rope.scaling.original_context_length", (double)r->m->config.context);
    rope->gain = ts_keys_num(r, "rope.scaling.attn_factor", 0);
    if (!ts_gguf_str(r->g, key(r, "rope.scaling.type"), &s, &n)) {
        if (old != 1) rope->type = TS_ROPE_LINEAR;
        return TS_OK;
    }
    if (n == 4 && memcmp(s, "none", 4) == 0) return TS_OK;
    if (n == 4 && memcmp(s, "yarn", 4) == 0) return read_yarn(r, rope);
    rope->type = TS_ROPE_LINEAR;
    if (n == 6 && memcmp(s, "linear", 6) == 0) return TS_OK;
    rope->type = TS_ROPE_LONGROPE; /* its factors are tensors */
    if (n == 8 && memcmp(s, "longrope", 8) == 0) return TS_OK;
    return ts_fail(r->err, TS_UNSUPPORTED,
                   "%s: rotary scaling of the type %.*s is not done here; none, linear, yarn, longrope and llama3 are",
                   r->m->path, (int)TS_MIN(n, (size_t)40), s);
}

static ts_status read_sizes(ts_keys *r) {
    ts_config *c = &r->m->config;
    const ts_tensor *embed = ts_gguf_find(r->g, "token_embd.weight");
    TS_TRY(need_size(r, "embedding_length", &c->hidden));
    TS_TRY(need_size(r, "feed_forward_length", &c->ffn));
    TS_TRY(need_size(r, "block_count", &c->layers));
    TS_TRY(need_size(r, "attention.head_count", &c->heads));
    ts_gguf_array per_layer;
    if (ts_gguf_array_get(r->g, key(r, "attention.head_count_kv"), &per_layer))
        return ts_fail(r->err, TS_UNSUPPORTED, "%s: a number of key-value heads that differs by layer is not done here",
                       r->m->path);
    int64_t kv = ts_keys_int(r, "attention.head_count_kv", (int64_t)c->heads);
    int64_t context = ts_keys_int(r, "context_length", 2048);
    c->kv_heads = kv < 0 ? 0 : (size_t)kv;
    c->context = context < 1 ? 2048 : (size_t)context;
    c->rms_eps = (float)ts_keys_num(r, "attention.layer_norm_rms_epsilon", 1e-6);
    c->vocab = embed && embed->n_dims == 2 ? embed->dims[0] : 1; /* where it is missing the builder says so */
    return read_head_dim(r);
}

static void read_stops(ts_keys *r) {
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    ts_config *c = &r->m->config;
    int64_t v;
    c->pad = ts_gguf_int(r->g, "tokenizer.ggml.padding_token_id", &v) && v >= 0 && v < INT32_MAX ? (int32_t)v : -1;
    c->bos = ts_gguf_int(r->g, "tokenizer.ggml.bos_token_id", &v) && v >= 0 && v < INT32_MAX ? (int32_t)v : -1;
    for (size_t i = 0; i < TS_COUNT(keys); i++) {
        if (!ts_gguf_int(r->g, keys[i], &v) || v < 0 || v >= INT32_MAX) continue;
        bool known = false;
        for (size_t k = 0; k < c->n_eos; k++)
            known = known || c->eos[k] == v;
        if (!known) c->eos[c->n_eos++] = (int32_t)v;
    }
}

/* A window that the family's function did not take: for the layers that the file lists, as we write it. */
static ts_status other_window(ts_keys *r) {
    const ts_config *c = &r->m->config;
    int64_t window = ts_keys_int(r, "attention.sliding_window", 0);
    for (size_t i = 0; i < c->layers; i++)
        if (r->m->layer[i].window > 0) return TS_OK;
    ts_gguf_array list;
    if (ts_gguf_array_get(r->g, key(r, "attention.sliding_window_pattern"), &list)) return ts_keys_windows(r, 0, 1);
    ts_keys_int(r, "attention.sliding_window", 0); /* the key for the message */
    if (window <= 0 || (uint64_t)window >= c->context) return TS_OK;
    return ts_fail(r->err, TS_UNSUPPORTED,
                   "%s: %s is %lld, but which layers of a %s model have that window is not known here", r->m->path,
                   r->key, (long long)window, c->family);
}

/* Tensors of a layer that this family does not have would change the result: better refused than left out. */
static ts_status refuse_unknown_tensors(ts_keys *r) {
    for (size_t i = 0; i < ts_gguf_tensors(r->g); i++) {
        const char *name = ts_gguf_tensor(r->g, i)->name, *rest;
        if (strncmp(name, "blk.", 4) != 0 || !(rest = strchr(name + 4, '.'))) continue;
        if (!ts_known_tensor(r->src, &r->m->config, rest + 1))
            return ts_fail(
                r->err, TS_UNSUPPORTED,
                "%s: tensor %s is no part of a %s model as it is done here; this seems to be another kind of model",
                r->m->path, name, r->m->config.family);
    }
    return TS_OK;
}

ts_status ts_model_read_gguf(ts_model *m, const char *path, ts_err *err) {
    struct ts_model_store *s = m->store;
    ts_source src = {.gguf = true};
    TS_TRY(ts_gguf_open(&s->gguf, path, err));
    ts_keys r = {.m = m, .g = s->gguf, .src = &src, .err = err};
    TS_PUSH(s->paths, s->n_paths, s->cap_paths, ts_strdup(path));
    m->file_bytes = ts_gguf_bytes(s->gguf);
    TS_TRY(read_architecture(&r));
    TS_TRY(read_sizes(&r));
    TS_TRY(refuse_extras(&r));
    TS_TRY(refuse_unknown_tensors(&r));
    TS_TRY(read_rope(&r));
    TS_TRY(ts_model_layers(m, err));
    if (src.family->gguf) TS_TRY(src.family->gguf(&r));
    TS_TRY(other_window(&r));
    read_stops(&r);
    if (src.family->bias == TS_BIAS_QKV) src.bias[TS_Q] = src.bias[TS_K] = src.bias[TS_V] = true;
    return ts_model_build(m, &src, err);
}
