#include "core/model/adapter.h"

#include "core/base/rand.h"
#include "core/model/adapter_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RANK = 1 << 14 };

/* ---- modules by number ---- */

size_t ts_module_count(const ts_model *m) {
    return m->config.layers * TS_PROJS + 2;
}

ts_module ts_module_at(const ts_model *m, size_t i) {
    size_t projections = m->config.layers * TS_PROJS;
    if (i >= projections) return (ts_module){.kind = i == projections ? TS_MODULE_EMBED : TS_MODULE_HEAD};
    return (ts_module){.layer = i / TS_PROJS, .proj = (ts_proj)(i % TS_PROJS)};
}

void ts_module_path(const ts_model *m, ts_module module, char out[TS_MODULE_PATH]) {
    const ts_config *c = &m->config;
    const char *name = module.kind == TS_MODULE_PROJ ? ts_proj_name(c, module.proj) : NULL;
    out[0] = 0;
    if (name)
        snprintf(out, TS_MODULE_PATH, "%s.layers.%zu.%s.%s", c->modules, module.layer, ts_proj_parents[module.proj],
                 name);
    if (module.kind == TS_MODULE_EMBED) snprintf(out, TS_MODULE_PATH, "%s.embed_tokens", c->modules);
    if (module.kind == TS_MODULE_HEAD) snprintf(out, TS_MODULE_PATH, "lm_head");
}

const ts_weight *ts_module_weight(const ts_model *m, ts_module module) {
    if (module.kind == TS_MODULE_PROJ) return &m->layer[module.layer].proj[module.proj];
    return module.kind == TS_MODULE_EMBED ? &m->embed : &m->head;
}

/* Of LoRA's product B A: PEFT's embedding has its vocabulary on A's side. */
void ts_module_size(const ts_model *m, ts_module module, size_t *rows, size_t *cols) {
    if (module.kind == TS_MODULE_PROJ) {
        ts_proj_size(&m->config, module.proj, rows, cols);
        return;
    }
    bool embed = module.kind == TS_MODULE_EMBED;
    *rows = embed ? m->config.hidden : m->config.vocab;
    *cols = embed ? m->config.vocab : m->config.hidden;
}

ts_lora *ts_adapter_lora(const ts_adapter *a, ts_module module) {
    if (module.kind == TS_MODULE_PROJ) return &a->lora[module.layer][module.proj];
    return (ts_lora *)(uintptr_t)(module.kind == TS_MODULE_EMBED ? &a->embed : &a->head);
}

/* ---- memory ---- */

float ts_lora_scale(size_t r, double alpha, bool rslora) {
    return (float)(rslora ? alpha / sqrt((double)r) : alpha / (double)r);
}

static char *copy_text(const char *s) {
    return s ? ts_strdup(s) : NULL;
}

void ts_settings_copy(ts_adapter_settings *to, const ts_adapter_settings *from) {
    *to = *from;
    to->targets = copy_text(from->targets);
    to->exclude = copy_text(from->exclude);
    to->layers = copy_text(from->layers);
    to->layers_pattern = copy_text(from->layers_pattern);
    to->rank_pattern = copy_text(from->rank_pattern);
    to->alpha_pattern = copy_text(from->alpha_pattern);
    to->save = copy_text(from->save);
    to->base_model = copy_text(from->base_model);
}

void ts_adapter_settings_release(ts_adapter_settings *s) {
    char *texts[] = {s->targets,      s->exclude,       s->layers, s->layers_pattern,
                     s->rank_pattern, s->alpha_pattern, s->save,   s->base_model};
    for (size_t i = 0; i < TS_COUNT(texts); i++)
        free(texts[i]);
    *s = (ts_adapter_settings){0};
}

static ts_status check_numbers(size_t r, double alpha, ts_err *err) {
    if (r < 1 || r > MAX_RANK)
        return ts_fail(err, TS_INVALID, "a LoRA rank of %zu is not possible; take 1 to %d", r, MAX_RANK);
    if (!(alpha > 0) || !isfinite(alpha))
        return ts_fail(err, TS_INVALID, "a LoRA alpha of %g is not possible; take a positive number", alpha);
    if (!isnormal((float)(alpha / (double)r)))
        return ts_fail(err, TS_INVALID, "a LoRA alpha of %g over the rank %zu is no scale that a float can hold", alpha,
                       r);
    return TS_OK;
}

static ts_status check_shapes(const ts_adapter_settings *s, const ts_model *m, const ts_shape *shapes, ts_err *err) {
    size_t adapted = 0;
    TS_TRY(check_numbers(s->r, s->alpha, err));
    if (!(s->dropout >= 0 && s->dropout < 1))
        return ts_fail(err, TS_INVALID, "a LoRA dropout of %g is not possible; take 0 to below 1", s->dropout);
    for (size_t i = 0; i < ts_module_count(m); i++) {
        if (!shapes[i].r) continue;
        adapted++;
        TS_TRY(check_numbers(shapes[i].r, shapes[i].alpha, err));
        if (s->dora && ts_module_at(m, i).kind == TS_MODULE_EMBED)
            return ts_fail(err, TS_UNSUPPORTED, "DoRA on embed_tokens is not done; leave it out of the target modules");
    }
    if (!adapted)
        return ts_fail(err, TS_INVALID, "the adapter has no target modules; name some, for example all-linear");
    return TS_OK;
}

static size_t count_params(const ts_adapter_settings *s, const ts_model *m, const ts_shape *shapes) {
    size_t n = 0, rows, cols; /* sizes of an open model and ranks up to MAX_RANK: no overflow */
    for (size_t i = 0; i < ts_module_count(m); i++) {
        if (!shapes[i].r) continue;
        ts_module_size(m, ts_module_at(m, i), &rows, &cols);
        n += shapes[i].r * (rows + cols) + (s->dora ? rows : 0);
    }
    return n;
}

/* Modules of a layer stand one behind the other. */
static size_t most_ranks(const ts_model *m, const ts_shape *shapes) {
    size_t most = 0;
    for (size_t l = 0; l < m->config.layers; l++) {
        size_t sum = 0;
        for (size_t p = 0; p < TS_PROJS; p++)
            sum += shapes[l * TS_PROJS + p].r;
        most = TS_MAX(most, sum);
    }
    return most;
}

ts_status ts_lora_params(size_t *out, size_t *ranks, const ts_model *m, const ts_adapter_settings *s, ts_err *err) {
    ts_shape *shapes;
    size_t saved;
    TS_TRY(ts_adapter_select(&shapes, s, m, true, err));
    ts_status status = check_shapes(s, m, shapes, err);
    if (status == TS_OK) status = ts_saved_params(&saved, m, s, err);
    if (status == TS_OK) *out = count_params(s, m, shapes) + saved;
    if (status == TS_OK && ranks) *ranks = most_ranks(m, shapes);
    free(shapes);
    return status;
}

ts_status ts_lora_weights(size_t *out, size_t *cols, const ts_model *m, const ts_adapter_settings *s, ts_err *err) {
    ts_shape *shapes;
    size_t rows, wide;
    *out = *cols = 0;
    TS_TRY(ts_adapter_select(&shapes, s, m, true, err));
    for (size_t i = 0; i < ts_module_count(m); i++) {
        if (!shapes[i].r) continue;
        ts_module_size(m, ts_module_at(m, i), &rows, &wide);
        *out += rows * wide;
        *cols = TS_MAX(*cols, wide);
    }
    free(shapes);
    return TS_OK;
}

/* Points every module into block and gains. */
static void lay_out(ts_adapter *a, const ts_shape *shapes) {
    float *next = a->block, *gain = a->gains;
    for (size_t i = 0; i < ts_module_count(a->model); i++) {
        ts_module module = ts_module_at(a->model, i);
        ts_lora *x = ts_adapter_lora(a, module);
        if (!shapes[i].r) continue;
        *x = (ts_lora){.r = shapes[i].r, .alpha = shapes[i].alpha};
        ts_module_size(a->model, module, &x->out, &x->in);
        x->scale = ts_lora_scale(x->r, x->alpha, a->settings.rslora);
        x->a = next;
        x->b = next + x->r * x->in;
        next = x->b + x->out * x->r;
        if (!a->settings.dora) continue;
        x->mag = next;
        x->gain = gain;
        x->inverse = gain + x->out;
        next += x->out;
        gain += 2 * x->out;
    }
}

ts_status ts_adapter_alloc(ts_adapter **out, const ts_adapter_settings *s, const ts_model *m, const ts_shape *shapes,
                           ts_err *err) {
    *out = NULL;
    TS_TRY(check_shapes(s, m, shapes, err));
    ts_adapter *a = ts_calloc(1, sizeof *a);
    ts_settings_copy(&a->settings, s);
    a->model = m;
    a->dropout = s->dropout;
    a->layers = m->config.layers;
    a->lora = ts_calloc(a->layers, sizeof *a->lora);
    a->n_params = count_params(s, m, shapes);
    for (size_t i = 0, rows, cols; s->dora && i < ts_module_count(m); i++)
        if (shapes[i].r) {
            ts_module_size(m, ts_module_at(m, i), &rows, &cols);
            a->n_gains += 2 * rows;
        }
    a->block = ts_try_alloc(a->n_params, sizeof *a->block);
    a->gains = ts_try_alloc(a->n_gains + 1, sizeof *a->gains);
    if (!a->block || !a->gains) {
        ts_status status =
            ts_fail(err, TS_NO_MEMORY, "no memory for an adapter of %zu parameters (%zu MB); take a smaller rank",
                    a->n_params, a->n_params * sizeof *a->block >> 20);
        ts_adapter_free(a);
        return status;
    }
    lay_out(a, shapes);
    *out = a;
    return TS_OK;
}

void ts_adapter_free(ts_adapter *a) {
    if (!a) return;
    ts_adapter_settings_release(&a->settings);
    ts_safetensors_close(a->file);
    ts_model_close(a->source);
    free(a->by_own);
    free(a->saved);
    free(a->lora);
    free(a->block);
    free(a->halves);
    free(a->gains);
    free(a->norms);
    free(a);
}

static float *moved(const float *p, const float *from, float *to) {
    return p ? to + (p - from) : NULL;
}

static void copy_held(ts_adapter *a, const ts_adapter *like) {
    a->saved = ts_calloc(like->n_saved + 1, sizeof *a->saved);
    for (size_t i = 0; i < like->n_saved; i++) {
        ts_saved s = like->saved[i];
        if (!s.held) continue;
        s.values = a->block + s.at;
        s.weight = (ts_weight){TS_F32, s.weight.rows, s.weight.cols, s.weight.cols * sizeof *s.values, s.values};
        s.factors = NULL;
        a->saved[a->n_saved++] = s;
    }
    ts_index_saved(a);
}

ts_status ts_adapter_zero_like(ts_adapter **out, const ts_adapter *like, ts_err *err) {
    ts_adapter *a = ts_malloc(sizeof *a);
    *out = NULL;
    *a = *like;
    ts_settings_copy(&a->settings, &like->settings);
    a->saved = NULL;
    a->n_saved = 0;
    a->by_own = NULL;
    a->file = NULL;
    a->source = NULL;
    a->halves = NULL;
    a->norms = NULL;
    a->gains = NULL;
    a->n_gains = 0;
    a->lora = ts_malloc(a->layers * sizeof *a->lora);
    memcpy(a->lora, like->lora, a->layers * sizeof *a->lora);
    a->block = ts_try_alloc(a->n_params, sizeof *a->block);
    if (!a->block) {
        ts_adapter_free(a);
        return ts_fail(err, TS_NO_MEMORY,
                       "no memory for %zu gradients or optimiser values (%zu MB); take a smaller rank", like->n_params,
                       like->n_params * sizeof *like->block >> 20);
    }
    for (size_t i = 0; i < ts_module_count(a->model); i++) {
        ts_lora *x = ts_adapter_lora(a, ts_module_at(a->model, i));
        x->a = moved(x->a, like->block, a->block);
        x->b = moved(x->b, like->block, a->block);
        x->mag = moved(x->mag, like->block, a->block);
        x->gain = x->inverse = NULL;
    }
    copy_held(a, like);
    *out = a;
    return TS_OK;
}

/* ---- a fresh one ---- */

static double normal(ts_rand *random) {
    double u = 1 - ts_rand_unit(random), v = ts_rand_unit(random); /* Box and Muller */
    return sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v);
}

static void draw(const ts_lora *x, bool embed, ts_rand *random) {
    double bound = 1 / sqrt((double)x->in);
    for (size_t i = 0; !embed && i < x->r * x->in; i++)
        x->a[i] = (float)((2 * ts_rand_unit(random) - 1) * bound);
    for (size_t i = 0; embed && i < x->out * x->r; i++)
        x->b[i] = (float)normal(random);
}

/* The norms of the model's rows: with B zero g is 1. */
static void start_magnitudes(ts_adapter *a) {
    ts_adapter_refresh(a);
    for (size_t i = 0; i < ts_module_count(a->model); i++) {
        const ts_lora *x = ts_adapter_lora(a, ts_module_at(a->model, i));
        for (size_t k = 0; x->mag && k < x->out; k++)
            x->mag[k] = x->inverse[k] > 0 ? 1 / x->inverse[k] : 0;
    }
    ts_adapter_refresh(a);
}

ts_status ts_adapter_make(ts_adapter **out, const ts_model *m, const ts_adapter_settings *settings, uint64_t seed,
                          ts_err *err) {
    ts_shape *shapes;
    *out = NULL;
    TS_TRY(ts_adapter_select(&shapes, settings, m, true, err));
    ts_status status = ts_adapter_alloc(out, settings, m, shapes, err);
    free(shapes);
    if (status != TS_OK) return status;
    ts_rand random;
    ts_rand_seed(&random, seed);
    for (size_t i = 0; i < ts_module_count(m); i++) {
        ts_module module = ts_module_at(m, i);
        const ts_lora *x = ts_adapter_lora(*out, module);
        if (x->r) draw(x, module.kind == TS_MODULE_EMBED, &random);
    }
    if (settings->dora) start_magnitudes(*out);
    status = ts_list_saved(*out, "the adapter", err);
    if (status == TS_OK) status = ts_adapter_hold(*out, err);
    if (status == TS_OK) return TS_OK;
    ts_adapter_free(*out);
    *out = NULL;
    return status;
}

ts_status ts_adapter_new(ts_adapter **out, const ts_model *m, size_t r, double alpha, double dropout, bool rslora,
                         unsigned targets, uint64_t seed, ts_err *err) {
    ts_buf names = TS_BUF_INIT;
    for (ts_proj p = 0; p < TS_PROJS; p++) {
        const char *name = ts_proj_name(&m->config, p);
        if (name && targets & 1u << p) ts_buf_printf(&names, "%s%s", names.len ? "," : "", name);
    }
    ts_adapter_settings s = {.r = r, .alpha = alpha, .dropout = dropout, .rslora = rslora};
    s.base_model = ts_strdup(m->path);
    *out = NULL;
    ts_status status = ts_targets_set(&s, ts_buf_str(&names), m, err);
    if (status == TS_OK) status = ts_adapter_make(out, m, &s, seed, err);
    ts_adapter_settings_release(&s);
    ts_buf_release(&names);
    return status;
}

/* ---- what there is ---- */

ts_status ts_adapter_trainable(const ts_adapter *a, ts_err *err) {
    const char *what = a->embed.r ? "embed_tokens" : a->head.r ? "lm_head" : NULL;
    for (size_t i = 0; i < a->n_saved && !what; i++)
        if (!a->saved[i].held) what = a->saved[i].name;
    if (!what) return TS_OK;
    return ts_fail(err, TS_UNSUPPORTED,
                   "the adapter changes %s in a way that training cannot; start from an adapter of projections alone",
                   what);
}

size_t ts_adapter_params(const ts_adapter *a) {
    size_t n = a->n_params;
    for (size_t i = 0; i < a->n_saved; i++)
        if (!a->saved[i].base && !a->saved[i].held) n += a->saved[i].weight.rows * a->saved[i].weight.cols;
    return n;
}

static void with_commas(size_t v, char *out) {
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%zu", v);
    size_t k = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) out[k++] = ',';
        out[k++] = digits[i];
    }
    out[k] = 0;
}

void ts_trainable_line(size_t trainable, size_t base, char *out, size_t n) {
    char a[32], b[32];
    size_t all = trainable + base;
    with_commas(trainable, a);
    with_commas(all, b);
    snprintf(out, n, "trainable params: %s || all params: %s || trainable%%: %.4f", a, b,
             all ? 100.0 * (double)trainable / (double)all : 0);
}
