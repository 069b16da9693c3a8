/* Adapters as GGUF files (facts: llama.cpp's convert_lora_to_gguf.py and llama-adapter.cpp): tensors
 * <base tensor>.lora_a [r, in] and .lora_b [out, r], of token_embd lora_a [vocab, r]; one alpha for all, scale = alpha
 * / r with r from lora_b, 1 for an alpha of 0. Rows of q's and k's B are in the interleaved rotary order where the
 * architecture has it. */
#include "core/base/file.h"
#include "core/model/adapter_foreign.h"
#include "core/model/gguf_write.h"
#include "core/model/model_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "" for a projection that a fused model does not have. */
static void gguf_name(const ts_model *m, ts_module module, char part, char out[64]) {
    const char *name = module.kind == TS_MODULE_PROJ ? ts_gguf_proj_name(&m->config, module.proj) : NULL;
    out[0] = 0;
    if (name)
        snprintf(out, 64, "blk.%zu.%s.weight.lora_%c", module.layer, name, part);
    else if (module.kind == TS_MODULE_PROJ)
        return;
    else
        snprintf(out, 64, "%s.weight.lora_%c", module.kind == TS_MODULE_EMBED ? "token_embd" : "output", part);
}

/* The row of the table that says how this model's GGUF files are: mistral's are llama's. */
static const ts_family *family_of(const ts_model *m) {
    for (size_t i = 0; i < ts_n_families; i++)
        if (strcmp(ts_families[i]->name, m->config.family) == 0 && ts_families[i]->gguf_architecture)
            return ts_families[i];
    return ts_family_by_gguf("llama");
}

static bool has_text(const ts_gguf *g, const char *key, const char *text) {
    const char *s;
    size_t n;
    return ts_gguf_str(g, key, &s, &n) && n == strlen(text) && memcmp(s, text, n) == 0;
}

static ts_status check_header(const ts_gguf *g, const char *path, const ts_model *m, ts_err *err) {
    const char *architecture = family_of(m)->gguf_architecture, *s = "";
    size_t n = 0;
    if (!has_text(g, "general.type", "adapter"))
        return ts_fail(err, TS_FORMAT, "%s is no adapter: its general.type is not \"adapter\"; is it a model?", path);
    if (!has_text(g, "adapter.type", "lora"))
        return ts_fail(err, TS_UNSUPPORTED, "the adapter %s is not of the type lora; only that is read", path);
    ts_gguf_str(g, "general.architecture", &s, &n);
    if (!has_text(g, "general.architecture", architecture))
        return ts_fail(err, TS_FORMAT, "the adapter %s is for the architecture %.*s, the model %s is %s", path,
                       (int)TS_MIN(n, (size_t)64), s, m->config.name, architecture);
    return TS_OK;
}

static void sort_out(const ts_gguf *g, const ts_model *m, ts_pair *pairs, ts_misfits *bad) {
    size_t taken = 0, count = ts_module_count(m);
    for (size_t i = 0; i < count; i++) {
        ts_module module = ts_module_at(m, i);
        char name[2][64];
        gguf_name(m, module, 'a', name[0]);
        gguf_name(m, module, 'b', name[1]);
        ts_pair *p = &pairs[i];
        *p = (ts_pair){.a = ts_gguf_find(g, name[0]), .b = ts_gguf_find(g, name[1])};
        p->a_across = module.kind == TS_MODULE_EMBED;
        if (!p->a != !p->b) ts_misfit_missing(bad, name[!p->b]);
        taken += (p->a != NULL) + (p->b != NULL);
    }
    for (size_t t = 0; taken < ts_gguf_tensors(g) && t < ts_gguf_tensors(g); t++) {
        bool known = false;
        for (size_t i = 0; i < count && !known; i++)
            known = pairs[i].a == ts_gguf_tensor(g, t) || pairs[i].b == ts_gguf_tensor(g, t);
        if (!known) ts_misfit_unexpected(bad, ts_gguf_tensor(g, t)->name);
    }
}

/* Rows of q's and k's B: from the file's order, or into it. Row h*d + half*(d/2) + j here is row h*d + 2j + half there.
 */
static void permute_rows(const ts_lora *x, size_t d, bool into_file, const float *from, float *to) {
    for (size_t row = 0; row < x->out; row++) {
        size_t in_head = row % d, half = in_head / (d / 2), j = in_head % (d / 2), there = row - in_head + 2 * j + half;
        memcpy(to + (into_file ? there : row) * x->r, from + (into_file ? row : there) * x->r, x->r * sizeof *to);
    }
}

static void unpermute_all(ts_adapter *a) {
    for (size_t l = 0; l < a->layers; l++)
        for (ts_proj p = TS_Q; p <= TS_K; p++) {
            const ts_lora *x = &a->lora[l][p];
            if (!x->r) continue;
            float *copy = ts_malloc(x->out * x->r * sizeof *copy);
            memcpy(copy, x->b, x->out * x->r * sizeof *copy);
            permute_rows(x, a->model->config.head_dim, false, copy, x->b);
            free(copy);
        }
}

ts_status ts_adapter_load_gguf(ts_adapter **out, const char *path, const ts_model *m, ts_err *err) {
    ts_gguf *g = NULL;
    ts_misfits bad = {0};
    double alpha = 0;
    ts_pair *pairs = ts_calloc(ts_module_count(m), sizeof *pairs);
    ts_adapter_settings settings = {.base_model = m->path};
    ts_status status;
    TS_GOTO(ts_gguf_open(&g, path, err));
    TS_GOTO(check_header(g, path, m, err));
    if (!ts_gguf_num(g, "adapter.lora.alpha", &alpha) || !(alpha >= 0) || alpha > 1e9)
        TS_GOTO(ts_fail(err, TS_FORMAT, "the adapter %s has no usable adapter.lora.alpha", path));
    sort_out(g, m, pairs, &bad);
    TS_GOTO(ts_adapter_from_pairs(out, m, pairs, &settings, 0, alpha, &bad, err));
    TS_GOTO(ts_misfits_report(&bad, path, m, err));
    if (family_of(m)->gguf_interleaved) unpermute_all(*out);
    TS_GOTO(ts_adapter_finite(*out, path, err));
out:
    ts_gguf_close(g);
    free(pairs);
    return status;
}

/* ---- writing ---- */

static ts_status refuse(const ts_adapter *a, const char *path, ts_err *err) {
    /* where head and embedding are one tensor, llama.cpp multiplies by what is meant for looking up, and aborts */
    bool tied = a->model->config.tied && (a->head.r || a->embed.r);
    const char *what = a->settings.dora ? "DoRA's magnitudes"
                       : a->n_saved     ? a->saved[0].name
                       : tied           ? "LoRA on an embedding that is also the head"
                                        : NULL;
    if (!what) return TS_OK;
    return ts_fail(err, TS_UNSUPPORTED, "%s: a GGUF adapter cannot hold %s; merge instead", path, what);
}

/* The one alpha of the file: the first module's, with rsLoRA's root in it, so that most need no folding. */
static double common_alpha(const ts_adapter *a) {
    for (size_t i = 0; i < ts_module_count(a->model); i++) {
        const ts_lora *x = ts_adapter_lora(a, ts_module_at(a->model, i));
        if (x->r) return x->alpha * (a->settings.rslora ? sqrt((double)x->r) : 1);
    }
    return a->settings.alpha;
}

/* A of the embedding lies across: [vocab, r]. */
static float *file_a(const ts_lora *x, bool embed) {
    float *a = ts_malloc(x->r * x->in * sizeof *a);
    for (size_t k = 0; k < x->r; k++)
        for (size_t j = 0; j < x->in; j++)
            a[embed ? j * x->r + k : k * x->in + j] = x->a[k * x->in + j];
    return a;
}

/* B times (s r / alpha), which is 1 for a module that is as the file's alpha says; rows in the file's order. */
static float *file_b(const ts_adapter *a, ts_module module, const ts_lora *x, double alpha) {
    double own = x->alpha * (a->settings.rslora ? sqrt((double)x->r) : 1);
    float factor = (float)(own / alpha), *b = ts_malloc(x->out * x->r * sizeof *b);
    bool turned = module.kind == TS_MODULE_PROJ && module.proj <= TS_K && family_of(a->model)->gguf_interleaved;
    if (turned)
        permute_rows(x, a->model->config.head_dim, true, x->b, b);
    else
        memcpy(b, x->b, x->out * x->r * sizeof *b);
    for (size_t i = 0; factor != 1 && i < x->out * x->r; i++)
        b[i] *= factor;
    return b;
}

static void add_tensors(const ts_adapter *a, ts_gguf_writer *w) {
    for (size_t i = 0; i < ts_module_count(a->model); i++) {
        ts_module module = ts_module_at(a->model, i);
        const ts_lora *x = ts_adapter_lora(a, module);
        bool embed = module.kind == TS_MODULE_EMBED;
        char name[64];
        if (!x->r) continue;
        gguf_name(a->model, module, 'a', name);
        ts_gguf_add_tensor(w, name, TS_F32, (size_t[]){embed ? x->in : x->r, embed ? x->r : x->in}, 2);
        gguf_name(a->model, module, 'b', name);
        ts_gguf_add_tensor(w, name, TS_F32, (size_t[]){x->out, x->r}, 2);
    }
}

static ts_status write_module(const ts_adapter *a, ts_module module, double alpha, ts_gguf_writer *w, ts_err *err) {
    const ts_lora *x = ts_adapter_lora(a, module);
    if (!x->r) return TS_OK;
    float *fa = file_a(x, module.kind == TS_MODULE_EMBED), *fb = file_b(a, module, x, alpha);
    ts_status status = ts_gguf_write_data(w, fa, x->r * x->in * sizeof *fa, err);
    if (status == TS_OK) status = ts_gguf_write_data(w, fb, x->out * x->r * sizeof *fb, err);
    free(fa);
    free(fb);
    return status;
}

ts_status ts_adapter_save_gguf(const ts_adapter *a, const char *path, ts_err *err) {
    const char *architecture = family_of(a->model)->gguf_architecture;
    double alpha = common_alpha(a);
    TS_TRY(refuse(a, path, err));
    ts_gguf_writer *w = ts_gguf_writer_new();
    ts_status status;
    ts_gguf_put_str(w, "general.architecture", architecture, strlen(architecture));
    ts_gguf_put_str(w, "general.type", "adapter", 7);
    ts_gguf_put_str(w, "adapter.type", "lora", 4);
    ts_gguf_put_num(w, "adapter.lora.alpha", TS_GGUF_F32, alpha);
    ts_gguf_put_u32(w, "general.file_type", 0); /* all F32 */
    add_tensors(a, w);
    TS_GOTO(ts_gguf_write_begin(w, path, err));
    for (size_t i = 0; i < ts_module_count(a->model); i++)
        TS_GOTO(write_module(a, ts_module_at(a->model, i), alpha, w, err));
    TS_GOTO(ts_gguf_write_commit(w, err));
out:
    ts_gguf_writer_free(w);
    return status;
}
