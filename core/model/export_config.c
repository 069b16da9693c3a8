/* config.json and generation_config.json: a folder's own with what changes replaced, or made from a GGUF file's keys in
 * the generation of settings that every version of transformers reads (rope_theta, torch_dtype). */
#include "core/model/export_private.h"

#include "core/base/file.h"
#include "core/base/json_stream.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG = 16 << 20 };

static const char *torch_name(const ts_file_type *t) {
    return t->type == TS_F32 ? "float32" : t->type == TS_F16 ? "float16" : "bfloat16";
}

static ts_status write_text(const char *dir, const char *name, const ts_buf *text, ts_err *err) {
    char *path = ts_path_join(dir, name);
    ts_status status = ts_file_write(path, text->data, text->len, err);
    free(path);
    return status;
}

/* ---- from a folder ---- */

static bool is(const char *s, size_t n, const char *name) {
    return strlen(name) == n && memcmp(s, name, n) == 0;
}

static void member(ts_buf *out, const char *key, size_t n) {
    ts_buf_puts(out, out->len > 1 ? ",\n  " : "\n  ");
    ts_jw w = ts_jw_to(out);
    ts_jw_strn(&w, key, n);
    ts_buf_puts(out, ": ");
}

/* Every member as its own text, so that 1e-05 and 10000.0 stay what they are; but the type and the tie. */
static ts_status edit(const ts_exporting *e, const char *path, const ts_buf *in, ts_buf *out, ts_err *err) {
    const char *tie = e->parts.tied ? "true" : "false", *key, *value;
    bool typed = false, said = false;
    size_t key_n, value_n;
    ts_js j = ts_js_over(ts_buf_str(in), in->len);
    ts_buf_putc(out, '{');
    if (ts_js_object(&j))
        while (ts_js_key(&j, &key, &key_n)) {
            bool type = is(key, key_n, "torch_dtype") || is(key, key_n, "dtype"),
                 ties = is(key, key_n, "tie_word_embeddings");
            member(out, key, key_n);
            if (!ts_js_skip(&j, &value, &value_n)) break;
            if (type)
                ts_buf_printf(out, "\"%s\"", torch_name(e->x->type));
            else if (ties)
                ts_buf_puts(out, tie);
            else
                ts_buf_add(out, value, value_n);
            typed = typed || type;
            said = said || ties;
        }
    TS_TRY(ts_js_finish(&j, path, err));
    if (!said) {
        member(out, "tie_word_embeddings", 19);
        ts_buf_puts(out, tie);
    }
    if (!typed) {
        member(out, "torch_dtype", 11);
        ts_buf_printf(out, "\"%s\"", torch_name(e->x->type));
    }
    ts_buf_puts(out, "\n}\n");
    return TS_OK;
}

static ts_status from_folder(const ts_exporting *e, const char *dir, ts_err *err) {
    const ts_family *f = ts_family_of(e->x->model);
    if (f->hf_wrapper && strcmp(e->x->model->config.architecture, f->hf_wrapper) == 0)
        return ts_fail(err, TS_UNSUPPORTED,
                       "%s also reads pictures, and a folder of its language part alone would lose that; write a .gguf "
                       "file instead",
                       e->x->model->path);
    char *from = ts_path_join(e->x->model->path, "config.json"),
         *generation = ts_path_join(e->x->model->path, "generation_config.json"),
         *copy = ts_path_join(dir, "generation_config.json");
    ts_buf in = TS_BUF_INIT, out = TS_BUF_INIT;
    ts_status status;
    TS_GOTO(ts_file_read(from, MAX_CONFIG, &in, err));
    TS_GOTO(edit(e, from, &in, &out, err));
    TS_GOTO(write_text(dir, "config.json", &out, err));
    if (ts_is_file(generation)) TS_GOTO(ts_file_copy(generation, copy, err));
out:
    free(from);
    free(generation);
    free(copy);
    ts_buf_release(&in);
    ts_buf_release(&out);
    return status;
}

/* ---- from a GGUF file ---- */

static void name(ts_buf *out, const char *key) {
    member(out, key, strlen(key));
}

static void put_str(ts_buf *out, const char *key, const char *v) {
    name(out, key);
    ts_buf_printf(out, "\"%s\"", v);
}

static void put_bool(ts_buf *out, const char *key, bool v) {
    name(out, key);
    ts_buf_puts(out, v ? "true" : "false");
}

static void put_int(ts_buf *out, const char *key, int64_t v) {
    name(out, key);
    ts_buf_printf(out, "%lld", (long long)v);
}

/* The shortest text that gives the same float; always with a point or an exponent, as some loaders insist on. */
static void put_float(ts_buf *out, const char *key, double v) {
    char text[40];
    name(out, key);
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtof(text, NULL) == (float)v) break;
    }
    if (fabs(v) >= 1e-3 && fabs(v) < 1e15 && strchr(text, 'e')) snprintf(text, sizeof text, "%.1f", v);
    ts_buf_printf(out, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

/* What llama3's settings were, from what each frequency is divided by: those that give the same divisors. */
static bool find_llama3(const ts_rope *have, ts_rope *r) {
    size_t n = have->rotary / 2;
    float *freq = ts_malloc(n * sizeof *freq);
    bool same = false;
    *r = (ts_rope){.type = TS_ROPE_LLAMA3, .theta = have->theta, .low_freq = 1, .high_freq = 4};
    r->factor = (double)have->divisor[n - 1];
    r->rotary = have->rotary;
    for (r->original = 32; r->original <= 1 << 21 && !same; r->original *= 2) {
        same = true;
        ts_rope_frequencies(r, 0, freq);
        for (size_t i = 0; i < n; i++)
            same = same && fabsf(freq[i] - have->freq[i]) <= 1e-6f * freq[i];
    }
    r->original /= 2;
    free(freq);
    return same;
}

static void put_factors(ts_buf *out, const char *key, const float *v, size_t n) {
    ts_buf_printf(out, ", \"%s\": [", key);
    for (size_t i = 0; i < n; i++)
        ts_buf_printf(out, "%s%.9g%s", i ? ", " : "", (double)v[i], v[i] == floorf(v[i]) ? ".0" : "");
    ts_buf_putc(out, ']');
}

/* rope_scaling of the generation before transformers 5. */
static ts_status put_scaling(const ts_model *m, const ts_rope *r, ts_buf *out, ts_err *err) {
    ts_rope found;
    name(out, "rope_scaling");
    if (r->type == TS_ROPE_PLAIN && !r->divisor) {
        ts_buf_puts(out, "null");
    } else if (r->divisor) {
        if (!find_llama3(r, &found))
            return ts_fail(err, TS_UNSUPPORTED,
                           "%s: no settings of config.json give its rotary frequencies; write a .gguf file instead",
                           m->path);
        ts_buf_printf(out,
                      "{\"factor\": %.1f, \"high_freq_factor\": 4.0, \"low_freq_factor\": 1.0, "
                      "\"original_max_position_embeddings\": %.0f, \"rope_type\": \"llama3\"}",
                      found.factor, found.original);
    } else if (r->type == TS_ROPE_LONGROPE) {
        ts_buf_puts(out, "{\"type\": \"longrope\"");
        put_factors(out, "short_factor", r->short_factor, r->rotary / 2);
        put_factors(out, "long_factor", r->long_factor, r->rotary / 2);
        ts_buf_putc(out, '}');
        put_int(out, "original_max_position_embeddings", (int64_t)r->original);
    } else if (r->type == TS_ROPE_YARN) {
        ts_buf_printf(out,
                      "{\"attention_factor\": %.9g, \"beta_fast\": %.1f, \"beta_slow\": %.1f, \"factor\": %.9g, "
                      "\"original_max_position_embeddings\": %.0f, \"rope_type\": \"yarn\"}",
                      r->gain, r->beta_fast, r->beta_slow, r->factor, r->original);
    } else {
        ts_buf_printf(out, "{\"factor\": %.9g, \"rope_type\": \"%s\"}", r->factor, ts_rope_names[r->type]);
    }
    return TS_OK;
}

/* 0: none, which is null there. */
static void put_cap(ts_buf *out, const char *key, double cap) {
    if (cap > 0) {
        put_float(out, key, cap);
    } else {
        name(out, key);
        ts_buf_puts(out, "null");
    }
}

/* What single families call their own. */
static void put_extras(const ts_model *m, const ts_family *f, ts_buf *out) {
    const ts_config *c = &m->config;
    size_t window = 0;
    bool all = true, turned = true;
    for (size_t i = 0; i < c->layers; i++) {
        window = TS_MAX(window, m->layer[i].window);
        all = all && m->layer[i].window > 0;
        turned = turned && m->layer[i].rope >= 0;
    }
    if (window) put_int(out, "sliding_window", (int64_t)window);
    if (window && !all) {
        name(out, "layer_types");
        for (size_t i = 0; i < c->layers; i++)
            ts_buf_printf(out, "%s\"%s_attention\"", i ? ", " : "[", m->layer[i].window ? "sliding" : "full");
        ts_buf_putc(out, ']');
    }
    if (!turned) {
        name(out, "no_rope_layers");
        for (size_t i = 0; i < c->layers; i++)
            ts_buf_printf(out, "%s%d", i ? ", " : "[", m->layer[i].rope >= 0);
        ts_buf_putc(out, ']');
    }
    if (f->partial_rotary && m->rope[0].rotary != c->head_dim)
        put_float(out, "partial_rotary_factor", (double)m->rope[0].rotary / (double)c->head_dim);
    if (!f->scaled_embedding) return;
    put_float(out, "query_pre_attn_scalar", round(1 / ((double)c->attn_scale * (double)c->attn_scale)));
    put_cap(out, "attn_logit_softcapping", (double)c->attn_cap);
    put_cap(out, "final_logit_softcapping", (double)c->logit_cap);
    if (m->rope[1].theta > 0) put_float(out, "rope_local_base_freq", m->rope[1].theta);
}

static void put_ids(const ts_model *m, ts_buf *out) {
    const ts_config *c = &m->config;
    int64_t pad;
    if (c->bos >= 0) put_int(out, "bos_token_id", c->bos);
    if (c->n_eos == 1) put_int(out, "eos_token_id", c->eos[0]);
    if (c->n_eos > 1) {
        name(out, "eos_token_id");
        for (size_t i = 0; i < c->n_eos; i++)
            ts_buf_printf(out, "%s%d", i ? ", " : "[", (int)c->eos[i]);
        ts_buf_putc(out, ']');
    }
    if (ts_gguf_int(m->store->gguf, "tokenizer.ggml.padding_token_id", &pad) && pad >= 0)
        put_int(out, "pad_token_id", pad);
}

static ts_status put_config(const ts_exporting *e, ts_buf *out, ts_err *err) {
    const ts_model *m = e->x->model;
    const ts_config *c = &m->config;
    const ts_family *f = ts_family_of(m);
    ts_buf_putc(out, '{');
    name(out, "architectures");
    ts_buf_printf(out, "[\"%s\"]", f->hf_architecture);
    put_bool(out, "attention_bias", m->layer[0].bias[TS_O] != NULL);
    put_float(out, "attention_dropout", 0);
    put_ids(m, out);
    put_int(out, "head_dim", (int64_t)c->head_dim);
    put_str(out, f->gelu ? "hidden_activation" : "hidden_act", f->gelu ? "gelu_pytorch_tanh" : "silu");
    put_int(out, "hidden_size", (int64_t)c->hidden);
    put_float(out, "initializer_range", 0.02);
    put_int(out, "intermediate_size", (int64_t)c->ffn);
    put_int(out, "max_position_embeddings", (int64_t)c->context);
    if (f->bias == TS_BIAS_CONFIG) put_bool(out, "mlp_bias", m->layer[0].bias[TS_DOWN] != NULL);
    put_str(out, "model_type", f->hf_model_type);
    put_int(out, "num_attention_heads", (int64_t)c->heads);
    put_int(out, "num_hidden_layers", (int64_t)c->layers);
    put_int(out, "num_key_value_heads", (int64_t)c->kv_heads);
    put_float(out, "rms_norm_eps", (double)c->rms_eps);
    put_float(out, "rope_theta", m->rope[0].theta);
    TS_TRY(put_scaling(m, &m->rope[0], out, err));
    put_extras(m, f, out);
    put_bool(out, "tie_word_embeddings", e->parts.tied);
    put_str(out, "torch_dtype", torch_name(e->x->type));
    put_bool(out, "use_cache", true);
    put_int(out, "vocab_size", (int64_t)c->vocab);
    ts_buf_puts(out, "\n}\n");
    return TS_OK;
}

static ts_status from_gguf(const ts_exporting *e, const char *dir, ts_err *err) {
    ts_buf out = TS_BUF_INIT;
    ts_status status;
    TS_GOTO(put_config(e, &out, err));
    TS_GOTO(write_text(dir, "config.json", &out, err));
    ts_buf_reset(&out);
    ts_buf_putc(&out, '{');
    put_ids(e->x->model, &out);
    ts_buf_puts(&out, "\n}\n");
    status = write_text(dir, "generation_config.json", &out, err);
out:
    ts_buf_release(&out);
    return status;
}

ts_status ts_export_config(const ts_exporting *e, const char *dir, ts_err *err) {
    return e->x->model->store->gguf ? from_gguf(e, dir, err) : from_folder(e, dir, err);
}
