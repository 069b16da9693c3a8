#include "core/model/model_private.h"

#include "core/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the keys of one file are read: names begin with the architecture. */
typedef struct reader {
    ts_model *m;
    const ts_gguf *g;
    const char *arch;
    char key[128];
    ts_err *err;
} reader;

static const char *key(reader *r, const char *name) {
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, name);
    return r->key;
}

static ts_status need_size(reader *r, const char *name, size_t *out) {
    int64_t v;
    if (!ts_gguf_int(r->g, key(r, name), &v))
        return ts_fail(r->err, TS_FORMAT, "%s: the key %s is missing or no single whole number; the file is incomplete",
                       r->m->path, r->key);
    *out = v < 0 ? 0 : (size_t)v;
    return TS_OK;
}

static int64_t opt_int(reader *r, const char *name, int64_t otherwise) {
    ts_gguf_int(r->g, key(r, name), &otherwise);
    return otherwise;
}

static double opt_num(reader *r, const char *name, double otherwise) {
    ts_gguf_num(r->g, key(r, name), &otherwise);
    return otherwise;
}

static void copy_str(char *out, size_t size, const char *s, size_t n) {
    if (n >= size) n = size - 1;
    memcpy(out, s, n);
    out[n] = 0;
}

static ts_status read_architecture(reader *r, const ts_family **family) {
    ts_config *c = &r->m->config;
    const char *s;
    size_t n;
    if (!ts_gguf_str(r->g, "general.architecture", &s, &n))
        return ts_fail(r->err, TS_FORMAT, "%s: the key general.architecture is missing; this is no model file",
                       r->m->path);
    copy_str(c->architecture, sizeof c->architecture, s, n);
    r->arch = c->architecture;
    *family = ts_family_by_gguf(c->architecture);
    if (!*family)
        return ts_fail(r->err, TS_UNSUPPORTED,
                       "%s: the architecture %s is not known here; known are %s: choose a model of these", r->m->path,
                       c->architecture, ts_family_list());
    snprintf(c->family, sizeof c->family, "%s", (*family)->name);
    if (ts_gguf_str(r->g, "general.name", &s, &n) && n > 0)
        copy_str(c->name, sizeof c->name, s, n);
    else
        snprintf(c->name, sizeof c->name, "%s", ts_path_base(r->m->path));
    return TS_OK;
}

/* What would change the forward pass and is not done here is refused by its key. */
static ts_status refuse_extras(reader *r) {
    const ts_config *c = &r->m->config;
    int64_t window = opt_int(r, "attention.sliding_window", 0);
    if (window > 0 && (size_t)window < c->context)
        return ts_fail(
            r->err, TS_UNSUPPORTED,
            "%s: attention within a sliding window of %lld tokens is not done here; choose a model without one",
            r->m->path, (long long)window);
    if (opt_int(r, "expert_count", 0) > 0)
        return ts_fail(r->err, TS_UNSUPPORTED, "%s: a mixture of experts is not done here; choose a dense model",
                       r->m->path);
    if (opt_int(r, "split.count", 0) > 1 || (ts_gguf_int(r->g, "split.count", &window) && window > 1))
        return ts_fail(r->err, TS_UNSUPPORTED,
                       "%s is one part of a split GGUF model; join the parts first (llama-gguf-split --merge)",
                       r->m->path);
    return TS_OK;
}

static ts_status read_head_dim(reader *r) {
    ts_config *c = &r->m->config;
    int64_t natural = c->heads ? (int64_t)(c->hidden / c->heads) : 0;
    int64_t dim = opt_int(r, "attention.key_length", natural), value = opt_int(r, "attention.value_length", dim);
    int64_t rotated = opt_int(r, "rope.dimension_count", dim);
    if (dim != value)
        return ts_fail(r->err, TS_UNSUPPORTED, "%s: keys of %lld and values of %lld numbers a head are not done here",
                       r->m->path, (long long)dim, (long long)value);
    if (rotated != dim)
        return ts_fail(r->err, TS_UNSUPPORTED,
                       "%s: rotary positions on %lld of a head's %lld numbers are not done here", r->m->path,
                       (long long)rotated, (long long)dim);
    c->head_dim = dim < 0 ? 0 : (size_t)dim;
    return TS_OK;
}

static ts_status read_rope(reader *r, ts_rope *rope) {
    const char *s;
    size_t n;
    *rope = (ts_rope){.theta = opt_num(r, "rope.freq_base", 10000), .factor = 1};
    double old = opt_num(r, "rope.scale_linear", 1); /* how files said it before rope.scaling.* */
    if (!ts_gguf_str(r->g, key(r, "rope.scaling.type"), &s, &n)) {
        rope->type = old != 1 ? TS_ROPE_LINEAR : TS_ROPE_PLAIN;
        rope->factor = old;
        return TS_OK;
    }
    if (n == 6 && memcmp(s, "linear", 6) == 0) {
        rope->type = TS_ROPE_LINEAR;
        rope->factor = opt_num(r, "rope.scaling.factor", 1);
    } else if (n != 4 || memcmp(s, "none", 4) != 0) {
        return ts_fail(r->err, TS_UNSUPPORTED,
                       "%s: rotary scaling of the type %.*s is not done here; none, linear and llama3 are", r->m->path,
                       (int)TS_MIN(n, (size_t)40), s);
    }
    return TS_OK;
}

static ts_status read_sizes(reader *r) {
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
    int64_t kv = opt_int(r, "attention.head_count_kv", (int64_t)c->heads);
    int64_t context = opt_int(r, "context_length", 2048);
    c->kv_heads = kv < 0 ? 0 : (size_t)kv;
    c->context = context < 1 ? 2048 : (size_t)context;
    c->rms_eps = (float)opt_num(r, "attention.layer_norm_rms_epsilon", 1e-6);
    c->vocab = embed && embed->n_dims == 2 ? embed->dims[0] : 1; /* where it is missing the builder says so */
    return read_head_dim(r);
}

static void read_stops(reader *r) {
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    ts_config *c = &r->m->config;
    int64_t v;
    c->bos = ts_gguf_int(r->g, "tokenizer.ggml.bos_token_id", &v) && v >= 0 && v < INT32_MAX ? (int32_t)v : -1;
    for (size_t i = 0; i < TS_COUNT(keys); i++) {
        if (!ts_gguf_int(r->g, keys[i], &v) || v < 0 || v >= INT32_MAX) continue;
        bool known = false;
        for (size_t k = 0; k < c->n_eos; k++)
            known = known || c->eos[k] == v;
        if (!known) c->eos[c->n_eos++] = (int32_t)v;
    }
}

/* Tensors of a layer that this family does not have would change the result: better refused than left out. */
static ts_status refuse_unknown_tensors(reader *r) {
    static const char *const known[] = {
        "attn_norm.weight", "ffn_norm.weight", "attn_rot_embd.weight", "attn_rot_embd",   "attn_q.weight",
        "attn_k.weight",    "attn_v.weight",   "attn_output.weight",   "ffn_gate.weight", "ffn_up.weight",
        "ffn_down.weight",  "attn_q.bias",     "attn_k.bias",          "attn_v.bias",     "attn_output.bias",
        "ffn_gate.bias",    "ffn_up.bias",     "ffn_down.bias"};
    for (size_t i = 0; i < ts_gguf_tensors(r->g); i++) {
        const char *name = ts_gguf_tensor(r->g, i)->name, *rest;
        if (strncmp(name, "blk.", 4) != 0 || !(rest = strchr(name + 4, '.'))) continue;
        bool fine = false;
        for (size_t k = 0; k < TS_COUNT(known); k++)
            fine = fine || strcmp(known[k], rest + 1) == 0;
        if (!fine)
            return ts_fail(
                r->err, TS_UNSUPPORTED,
                "%s: tensor %s is no part of a %s model as it is done here; this seems to be another kind of model",
                r->m->path, name, r->m->config.family);
    }
    return TS_OK;
}

ts_status ts_model_read_gguf(ts_model *m, const char *path, ts_err *err) {
    struct ts_model_store *s = m->store;
    const ts_family *family;
    ts_source src = {.gguf = true};
    TS_TRY(ts_gguf_open(&s->gguf, path, err));
    reader r = {.m = m, .g = s->gguf, .err = err};
    TS_PUSH(s->paths, s->n_paths, s->cap_paths, ts_strdup(path));
    m->file_bytes = ts_gguf_bytes(s->gguf);
    TS_TRY(read_architecture(&r, &family));
    TS_TRY(read_sizes(&r));
    TS_TRY(refuse_extras(&r));
    TS_TRY(refuse_unknown_tensors(&r));
    TS_TRY(read_rope(&r, &src.rope));
    read_stops(&r);
    src.permute = family->gguf_interleaved;
    if (family->bias == TS_BIAS_QKV) src.bias[TS_Q] = src.bias[TS_K] = src.bias[TS_V] = true;
    return ts_model_build(m, &src, err);
}
