/* The GGUF file: keys by the names of llama.cpp's gguf-py/gguf/constants.py, tensors in the types that its
 * llama_tensor_get_type (src/llama-quant.cpp) chooses for the type of the file. */
#include "core/model/export_private.h"

#include "core/base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- keys ---- */

struct keys {
    ts_gguf_writer *w;
    const ts_model *m;
    const char *arch;
    char name[128];
};

static const char *key(struct keys *k, const char *name) {
    snprintf(k->name, sizeof k->name, "%s.%s", k->arch, name);
    return k->name;
}

static void put_size(struct keys *k, const char *name, size_t v) {
    ts_gguf_put_u32(k->w, key(k, name), (uint32_t)v);
}

static void put_num(struct keys *k, const char *name, double v) {
    ts_gguf_put_num(k->w, key(k, name), TS_GGUF_F32, v);
}

static void put_text(struct keys *k, const char *name, const char *v) {
    ts_gguf_put_str(k->w, name, v, strlen(v));
}

/* A model that llama.cpp reads as llama has no name of its own there (Mistral). */
const char *ts_export_architecture(const ts_model *m) {
    const ts_family *f = ts_family_of(m);
    return f->gguf_architecture ? f->gguf_architecture : ts_family_llama.gguf_architecture;
}

static ts_status put_rope(struct keys *k, ts_err *err) {
    const ts_rope *r = &k->m->rope[0];
    put_size(k, "rope.dimension_count", r->rotary);
    put_num(k, "rope.freq_base", r->theta);
    if (k->m->rope[1].theta > 0) put_num(k, "rope.freq_base_swa", k->m->rope[1].theta);
    switch (r->type) {
    case TS_ROPE_LINEAR:
        put_text(k, key(k, "rope.scaling.type"), "linear");
        put_num(k, "rope.scaling.factor", r->factor);
        break;
    case TS_ROPE_YARN:
        put_text(k, key(k, "rope.scaling.type"), "yarn");
        put_num(k, "rope.scaling.factor", r->factor);
        put_size(k, "rope.scaling.original_context_length", (size_t)r->original);
        put_num(k, "rope.scaling.yarn_beta_fast", r->beta_fast);
        put_num(k, "rope.scaling.yarn_beta_slow", r->beta_slow);
        put_num(k, "rope.scaling.yarn_attn_factor", r->gain / (r->factor > 1 ? 0.1 * log(r->factor) + 1 : 1));
        break;
    case TS_ROPE_LONGROPE:
        put_size(k, "rope.scaling.original_context_length", (size_t)r->original);
        put_num(k, "rope.scaling.attn_factor", r->gain);
        break;
    case TS_ROPE_DYNAMIC:
        return ts_fail(err, TS_UNSUPPORTED,
                       "%s: rotary scaling of the type dynamic cannot be said in a GGUF file; write a folder instead",
                       k->m->path);
    default:
        break; /* llama3's is a tensor */
    }
    return TS_OK;
}

static size_t widest_window(const ts_model *m) {
    size_t window = 0;
    for (size_t i = 0; i < m->config.layers; i++)
        window = TS_MAX(window, m->layer[i].window);
    return window;
}

/* The layers that have the window, where they are not those that readers take for this architecture. */
static void put_window(struct keys *k) {
    size_t window = widest_window(k->m), n = k->m->config.layers;
    static const struct {
        const char *arch;
        size_t period; /* every layer but each period-th has it; 1: all of them */
    } known[] = {{"gemma2", 2}, {"gemma3", 6}, {"llama", 1}, {"phi3", 1}};
    size_t period = 0;
    for (size_t i = 0; i < TS_COUNT(known); i++)
        if (strcmp(k->arch, known[i].arch) == 0) period = known[i].period;
    bool *slides = ts_calloc(n, sizeof *slides), usual = period > 0;
    for (size_t i = 0; i < n; i++) {
        slides[i] = k->m->layer[i].window > 0;
        usual = usual && slides[i] == (period == 1 || i % period + 1 < period);
    }
    if (window) put_size(k, "attention.sliding_window", window);
    if (window && !usual) ts_gguf_put_array(k->w, key(k, "attention.sliding_window_pattern"), TS_GGUF_BOOL, slides, n);
    free(slides);
}

/* llama.cpp reads the window of these alone (src/models/); in others it lets every token see all before it. */
static bool windows_are_read(const char *arch) {
    return strcmp(arch, "gemma2") == 0 || strcmp(arch, "gemma3") == 0;
}

static void put_extras(struct keys *k) {
    const ts_config *c = &k->m->config;
    if (c->attn_cap > 0) put_num(k, "attn_logit_softcapping", (double)c->attn_cap);
    if (c->logit_cap > 0) put_num(k, "final_logit_softcapping", (double)c->logit_cap);
    put_window(k);
}

static ts_status put_model(struct keys *k, ts_err *err) {
    const ts_config *c = &k->m->config;
    put_size(k, "block_count", c->layers);
    put_size(k, "context_length", c->context);
    put_size(k, "embedding_length", c->hidden);
    put_size(k, "feed_forward_length", c->ffn);
    put_size(k, "attention.head_count", c->heads);
    put_size(k, "attention.head_count_kv", c->kv_heads);
    put_size(k, "attention.key_length", c->head_dim);
    put_size(k, "attention.value_length", c->head_dim);
    put_num(k, "attention.layer_norm_rms_epsilon", (double)c->rms_eps);
    put_size(k, "vocab_size", c->vocab);
    put_extras(k);
    return put_rope(k, err);
}

static bool of_tokenizer(const char *name) {
    return strncmp(name, "tokenizer.", 10) == 0;
}

static ts_status put_keys(const ts_exporting *e, ts_gguf_writer *w, ts_err *err) {
    const ts_model *m = e->x->model;
    struct keys k = {.w = w, .m = m, .arch = ts_export_architecture(m)};
    const ts_gguf *g = m->store->gguf;
    put_text(&k, "general.architecture", k.arch);
    put_text(&k, "general.type", "model");
    put_text(&k, "general.name", m->config.name);
    ts_gguf_put_u32(w, "general.file_type", e->x->type->number);
    if (ts_file_type_in_blocks(e->x->type)) ts_gguf_put_u32(w, "general.quantization_version", 2);
    TS_TRY(put_model(&k, err));
    if (!g) return ts_export_gguf_tokenizer(e->x, w, err);
    const char *own = e->x->chat_template;
    for (size_t i = 0; i < ts_gguf_keys(g); i++) {
        const char *key = ts_gguf_key(g, i);
        bool other = own && strcmp(key, "tokenizer.chat_template") == 0;
        if (of_tokenizer(key) && !other) ts_gguf_put_copy(w, g, i);
    }
    if (own) ts_gguf_put_str(w, "tokenizer.chat_template", own, strlen(own));
    return TS_OK;
}

/* ---- tensors ---- */

/* What llama3 divides each frequency by; NULL where there is no such scaling. The caller frees. */
static float *llama3_divisors(const ts_rope *r) {
    size_t n = r->rotary / 2;
    if (r->type != TS_ROPE_LLAMA3 && !r->divisor) return NULL;
    float *v = ts_malloc(n * sizeof *v);
    float *freq = ts_malloc(n * sizeof *freq);
    ts_rope_frequencies(r, 0, freq);
    for (size_t i = 0; i < n; i++)
        v[i] =
            r->divisor ? r->divisor[i] : (float)(pow(r->theta, -2.0 * (double)i / (double)r->rotary) / (double)freq[i]);
    free(freq);
    return v;
}

static void add_factors(ts_parts *to, const char *name, const float *v, size_t n) {
    ts_part p = {.role = TS_ROLE_VECTOR, .rows = 1, .cols = n, .vector = v, .type = TS_F32};
    if (!v) return;
    snprintf(p.gguf, sizeof p.gguf, "%s", name);
    snprintf(p.hf, sizeof p.hf, "%s", name);
    TS_PUSH(to->items, to->n, to->cap, p);
}

static ts_status add_tensors(ts_exporting *e, ts_gguf_writer *w, ts_err *err) {
    for (size_t i = 0; i < e->parts.n; i++) {
        ts_part *p = &e->parts.items[i];
        bool vector = p->role == TS_ROLE_VECTOR;
        size_t dims[2] = {vector ? p->cols : p->rows, p->cols};
        if (strlen(p->gguf) > 63) return ts_fail(err, TS_LIMIT, "%s: the name is too long for a GGUF file", p->gguf);
        ts_gguf_add_tensor(w, p->gguf, p->type, dims, vector ? 1 : 2);
        e->total += (int64_t)ts_part_bytes(p);
    }
    return TS_OK;
}

struct writing {
    ts_gguf_writer *w;
};

static ts_status add_bytes(void *ctx, const void *data, size_t n, ts_err *err) {
    return ts_gguf_write_data(((struct writing *)ctx)->w, data, n, err);
}

static ts_status write_file(ts_exporting *e, ts_gguf_writer *w, ts_err *err) {
    struct writing to = {w};
    TS_TRY(put_keys(e, w, err));
    TS_TRY(add_tensors(e, w, err));
    TS_TRY(ts_gguf_write_begin(w, e->x->out, err));
    for (size_t i = 0; i < e->parts.n; i++)
        TS_TRY(ts_export_part(e, &e->parts.items[i], true, add_bytes, &to, err));
    return ts_gguf_write_commit(w, err);
}

ts_status ts_export_gguf(const ts_export *x, ts_export_report *report, ts_err *err) {
    ts_exporting e = {.x = x, .report = report};
    const ts_rope *r = &x->model->rope[0];
    *report = (ts_export_report){0};
    TS_TRY(ts_export_check_out(x->out, false, err));
    ts_export_parts(x, &e.parts);
    ts_export_gguf_types(&e);
    float *divisors = llama3_divisors(r);
    add_factors(&e.parts, "rope_freqs.weight", divisors, r->rotary / 2);
    if (r->type == TS_ROPE_LONGROPE) {
        add_factors(&e.parts, "rope_factors_long.weight", r->long_factor, r->rotary / 2);
        add_factors(&e.parts, "rope_factors_short.weight", r->short_factor, r->rotary / 2);
    }
    ts_gguf_writer *w = ts_gguf_writer_new();
    ts_status status = write_file(&e, w, err);
    ts_gguf_writer_free(w);
    report->files = 1;
    report->window_unread = windows_are_read(ts_export_architecture(x->model)) ? 0 : widest_window(x->model);
    if (status == TS_OK) {
        report->bytes = (uint64_t)ts_file_size(x->out);
        ts_export_finish_report(&e);
    }
    free(divisors);
    free(e.parts.items);
    return status;
}
