/* Modules that are replaced as a whole: PEFT's modules_to_save, and all of a model for full fine-tuning. */
#include "core/base/file.h"
#include "core/model/adapter_private.h"
#include "core/model/model_private.h"

#include "core/work/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what there is ---- */

enum { IN_LAYER = 2 * TS_PROJS + TS_NORMS };

size_t ts_part_count(const ts_model *m) {
    return 1 + m->config.layers * IN_LAYER + 2;
}

static void matrix_part(const ts_model *m, ts_module module, const ts_weight *w, ts_part_of *out) {
    ts_module_path(m, module, out->path);
    out->replaces = w;
    out->weight = *w;
    out->proj = module.kind == TS_MODULE_PROJ;
}

static void vector_part(const float *v, size_t n, ts_part_of *out) {
    out->replaces = v;
    out->weight = (ts_weight){TS_F32, 1, n, n * sizeof *v, v};
    if (!v) out->path[0] = 0;
}

static void norm_part(const ts_model *m, size_t i, ts_part_of *out) {
    const float *values = NULL;
    size_t n = 0;
    if (!ts_norm_at(m, i, out->path, &values, &n)) return;
    out->norm = true;
    vector_part(*out->path ? values : NULL, n, out);
}

bool ts_part_at(const ts_model *m, size_t i, ts_part_of *out) {
    size_t layers = m->config.layers, in = i - 1;
    *out = (ts_part_of){.layer = SIZE_MAX};
    if (i >= ts_part_count(m)) return false;
    if (i == 0) {
        matrix_part(m, (ts_module){.kind = TS_MODULE_EMBED}, &m->embed, out);
    } else if (in == layers * IN_LAYER) {
        norm_part(m, TS_NORMS * layers, out);
    } else if (in > layers * IN_LAYER) {
        matrix_part(m, (ts_module){.kind = TS_MODULE_HEAD}, &m->head, out);
    } else {
        const ts_layer *l = &m->layer[in / IN_LAYER];
        size_t k = in % IN_LAYER;
        ts_module module = {.layer = in / IN_LAYER, .proj = (ts_proj)(k % TS_PROJS)};
        if (k < 2 * TS_PROJS) matrix_part(m, module, &l->proj[module.proj], out);
        if (k >= TS_PROJS && k < 2 * TS_PROJS) {
            out->proj = false;
            out->bias = true;
            vector_part(l->bias[module.proj], l->proj[module.proj].rows, out);
        }
        if (k >= 2 * TS_PROJS) norm_part(m, module.layer * TS_NORMS + k - 2 * TS_PROJS, out);
        out->layer = module.layer;
    }
    return true;
}

/* ---- the list ---- */

void ts_add_saved(ts_adapter *a, const ts_part_of *part) {
    ts_saved s = {.replaces = part->replaces, .weight = part->weight};
    if (part->norm || part->bias) s.factors = part->weight.data;
    s.from_one = part->norm && ts_family_of(a->model)->norms_from_one;
    snprintf(s.name, sizeof s.name, "%s", part->path);
    a->saved = ts_realloc_array(a->saved, a->n_saved + 1, sizeof *a->saved);
    a->saved[a->n_saved++] = s;
}

static int by_address(const void *x, const void *y) {
    uintptr_t a = (uintptr_t)(*(const ts_saved *const *)x)->replaces,
              b = (uintptr_t)(*(const ts_saved *const *)y)->replaces;
    return a < b ? -1 : a > b;
}

void ts_index_saved(ts_adapter *a) {
    free(a->by_own);
    a->by_own = NULL;
    if (!a->n_saved) return;
    a->by_own = ts_calloc(a->n_saved, sizeof *a->by_own);
    for (size_t i = 0; i < a->n_saved; i++)
        a->by_own[i] = &a->saved[i];
    qsort(a->by_own, a->n_saved, sizeof *a->by_own, by_address);
}

/* PEFT would save projections too; we do not. */
ts_status ts_list_saved(ts_adapter *a, const char *what, ts_err *err) {
    ts_json *save = a->settings.save ? ts_json_parse(a->settings.save, strlen(a->settings.save), err) : NULL;
    ts_part_of part;
    ts_status status = TS_OK;
    if (!save) return TS_OK;
    for (size_t i = 0; status == TS_OK && ts_part_at(a->model, i, &part); i++) {
        if (!*part.path || part.bias || !ts_save_matches(save, part.path)) continue;
        if (part.proj)
            status = ts_fail(err, TS_UNSUPPORTED,
                             "%s saves %s whole (modules_to_save), which is done for norms, embed_tokens and lm_head "
                             "only",
                             what, part.path);
        else
            ts_add_saved(a, &part);
    }
    if (status == TS_OK && a->n_saved == 0)
        status = ts_fail(err, TS_UNSUPPORTED, "%s saves modules that the model %s does not have (modules_to_save %s)",
                         what, a->model->config.name, a->settings.save);
    ts_json_free(save);
    return status;
}

/* ---- held ---- */

typedef struct hold_job {
    const ts_saved *s;
    float *to;
    uint16_t *halves; /* instead of `to` */
    float minus;
} hold_job;

enum { PIECE = 64 };

static void hold_rows(void *ctx, size_t i, int worker) {
    (void)worker;
    const hold_job *j = ctx;
    size_t cols = j->s->weight.cols, first = i * PIECE, n = TS_MIN(j->s->weight.rows - first, (size_t)PIECE);
    float *to = j->halves ? ts_malloc(n * cols * sizeof *to) : j->to + first * cols;
    ts_weight_rows(&j->s->weight, first, n, to);
    for (size_t k = 0; j->minus > 0 && k < n * cols; k++)
        to[k] -= j->minus;
    if (!j->halves) return;
    for (size_t k = 0; k < n * cols; k++)
        j->halves[first * cols + k] = ts_f32_to_bf16(to[k]);
    free(to);
}

/* The values of s at s->at of the block or the halves. What comes from the model is not read there again. */
static void hold(ts_adapter *a, ts_saved *s, float **factors) {
    const ts_weight *own = s->factors ? NULL : s->replaces;
    size_t rows = s->weight.rows, cols = s->weight.cols;
    hold_job j = {.s = s, .minus = s->from_one && s->weight.data == s->factors ? 1 : 0};
    if (a->halves)
        j.halves = a->halves + s->at;
    else
        j.to = a->block + s->at;
    ts_parallel((rows + PIECE - 1) / PIECE, hold_rows, &j);
    if (own && own->data == s->weight.data) ts_model_forget(a->model, own);
    if (a->halves)
        s->weight = (ts_weight){TS_BF16, rows, cols, cols * sizeof *j.halves, j.halves};
    else
        s->weight = (ts_weight){TS_F32, rows, cols, cols * sizeof *j.to, j.to};
    s->values = j.to;
    s->held = true;
    if (!s->factors) return;
    bool derived = s->from_one || a->halves;
    s->factors = derived ? *factors : j.to;
    if (derived) *factors += cols;
}

static float *moved(const float *p, const float *from, float *to) {
    return p ? to + (p - from) : NULL;
}

static size_t size_of(const ts_saved *s) {
    return s->weight.rows * s->weight.cols;
}

/* A block of n parameters that begins with what there is already. */
static ts_status grow_block(ts_adapter *a, size_t n, ts_err *err) {
    float *block = ts_try_alloc(n, sizeof *block);
    if (!block)
        return ts_fail(err, TS_NO_MEMORY, "no memory for %zu trained parameters (%zu MB)", n, n * sizeof *block >> 20);
    if (a->n_params) memcpy(block, a->block, a->n_params * sizeof *block);
    for (size_t i = 0; i < ts_module_count(a->model); i++) {
        ts_lora *x = ts_adapter_lora(a, ts_module_at(a->model, i));
        x->a = moved(x->a, a->block, block);
        x->b = moved(x->b, a->block, block);
        x->mag = moved(x->mag, a->block, block);
    }
    free(a->block);
    a->block = block;
    return TS_OK;
}

/* The same in bf16, of a whole model: there is no LoRA. */
static ts_status make_halves(ts_adapter *a, size_t n, ts_err *err) {
    a->halves = ts_try_alloc(n, sizeof *a->halves);
    if (a->halves) return TS_OK;
    return ts_fail(err, TS_NO_MEMORY, "no memory for %zu trained parameters (%zu MB)", n, n * sizeof *a->halves >> 20);
}

static ts_status hold_all(ts_adapter *a, ts_dtype type, ts_err *err) {
    size_t n = a->n_params, vectors = 0;
    for (size_t i = 0; i < a->n_saved; i++) {
        ts_saved *s = &a->saved[i];
        if (s->held) return TS_OK;
        s->at = n;
        n += size_of(s);
        if (s->factors) vectors += s->weight.cols;
    }
    if (!a->n_saved) return TS_OK;
    TS_TRY(type == TS_BF16 ? make_halves(a, n, err) : grow_block(a, n, err));
    float *factors = ts_malloc((vectors + 1) * sizeof *factors), *norms = factors;
    for (size_t i = 0; i < a->n_saved; i++)
        hold(a, &a->saved[i], &factors);
    free(a->norms);
    ts_safetensors_close(a->file);
    a->n_held = n - a->n_params;
    a->n_params = n;
    a->norms = norms;
    a->file = NULL;
    ts_index_saved(a);
    ts_adapter_refresh(a);
    return TS_OK;
}

ts_status ts_adapter_hold(ts_adapter *a, ts_err *err) {
    return hold_all(a, TS_F32, err);
}

ts_status ts_saved_params(size_t *out, const ts_model *m, const ts_adapter_settings *settings, ts_err *err) {
    ts_adapter a = {.model = m, .settings = {.save = settings->save}};
    ts_status status = ts_list_saved(&a, "the adapter", err);
    *out = 0;
    for (size_t i = 0; i < a.n_saved; i++)
        *out += size_of(&a.saved[i]);
    free(a.saved);
    return status;
}

/* ---- a whole model ---- */

static ts_adapter *blank(const ts_model *m) {
    ts_adapter *a = ts_calloc(1, sizeof *a);
    a->model = m;
    a->whole = true;
    a->layers = m->config.layers;
    a->lora = ts_calloc(a->layers, sizeof *a->lora);
    return a;
}

static bool is_part(const ts_model *m, const ts_part_of *part) {
    return *part->path && part->weight.data && !(m->config.tied && part->replaces == &m->head);
}

ts_status ts_whole_params(size_t *out, const ts_model *m, const char *modules, const char *layers, ts_err *err) {
    bool *chosen = ts_calloc(ts_part_count(m), sizeof *chosen);
    ts_part_of part;
    ts_status status = ts_parts_select(chosen, m, modules, layers, err);
    *out = 0;
    for (size_t i = 0; ts_part_at(m, i, &part); i++)
        if (chosen[i] && is_part(m, &part)) *out += part.weight.rows * part.weight.cols;
    free(chosen);
    return status;
}

ts_status ts_adapter_whole(ts_adapter **out, const ts_model *m, const char *modules, const char *layers, ts_dtype type,
                           ts_err *err) {
    bool *chosen = ts_calloc(ts_part_count(m), sizeof *chosen);
    ts_part_of part;
    ts_adapter *a = blank(m);
    *out = NULL;
    ts_status status = ts_parts_select(chosen, m, modules, layers, err);
    for (size_t i = 0; status == TS_OK && ts_part_at(m, i, &part); i++)
        if (chosen[i] && is_part(m, &part)) {
            ts_add_saved(a, &part);
            a->saved[a->n_saved - 1].both = m->config.tied && part.replaces == &m->embed;
        }
    free(chosen);
    if (status == TS_OK) status = hold_all(a, type, err);
    if (status == TS_OK)
        *out = a;
    else
        ts_adapter_free(a);
    return status;
}

/* ---- a whole model, read ---- */

bool ts_is_whole(const char *path) {
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json"};
    char *config = ts_path_join(path, "config.json");
    bool whole = false, there = ts_is_file(config);
    free(config);
    for (size_t i = 0; there && i < TS_COUNT(names); i++) {
        char *weights = ts_path_join(path, names[i]);
        whole = whole || ts_is_file(weights);
        free(weights);
    }
    return whole;
}

static const char *difference(const ts_model *x, const ts_model *y) {
    const ts_config *a = &x->config, *b = &y->config;
    const struct {
        const char *name;
        bool same;
    } facts[] = {
        {"family", ts_family_of(x) == ts_family_of(y)},
        {"hidden size", a->hidden == b->hidden},
        {"feed-forward size", a->ffn == b->ffn},
        {"number of layers", a->layers == b->layers},
        {"heads", a->heads == b->heads && a->kv_heads == b->kv_heads && a->head_dim == b->head_dim},
        {"vocabulary", a->vocab == b->vocab},
        {"head (its own, or the embedding)", a->tied == b->tied},
        {"rotary positions", x->rope[0].type == y->rope[0].type && x->rope[0].theta == y->rope[0].theta},
    };
    for (size_t i = 0; i < TS_COUNT(facts); i++)
        if (!facts[i].same) return facts[i].name;
    return NULL;
}

ts_status ts_adapter_load_whole(ts_adapter **out, const char *dir, const ts_model *m, ts_err *err) {
    ts_model *own;
    ts_part_of part, base;
    TS_TRY(ts_model_open(&own, dir, err));
    const char *other = difference(own, m);
    bool fits = other == NULL;
    ts_adapter *a = blank(m);
    a->source = own;
    for (size_t i = 0; fits && ts_part_at(m, i, &base) && ts_part_at(own, i, &part); i++) {
        if (!is_part(m, &base) && !is_part(own, &part)) continue;
        fits = is_part(m, &base) && is_part(own, &part);
        part.replaces = base.replaces;
        ts_add_saved(a, &part);
        a->saved[a->n_saved - 1].both = m->config.tied && base.replaces == &m->embed;
    }
    if (!fits) {
        ts_adapter_free(a);
        return ts_fail(err, TS_FORMAT, "%s is no tuned form of the model %s: its %s differs", dir, m->config.name,
                       other ? other : "list of biases");
    }
    ts_index_saved(a);
    *out = a;
    return TS_OK;
}
