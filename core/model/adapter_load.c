/* Reading a PEFT folder. PEFT itself only warns when names do not match and then computes the base model; here every
 * expected tensor must be there in its shape, and nothing else. */
#include "core/base/file.h"
#include "core/model/adapter_private.h"
#include "core/model/model_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG = 16 << 20 };
#define PREFIX "base_model.model."

typedef struct loader {
    const char *dir;
    const ts_model *m;
    ts_err *err;
} loader;

/* ---- what does not fit ---- */

void ts_misfit_missing(ts_misfits *bad, const char *name) {
    if (bad->missing++ == 0) snprintf(bad->first_missing, sizeof bad->first_missing, "%s", name);
}

void ts_misfit_unexpected(ts_misfits *bad, const char *name) {
    if (bad->unexpected++ == 0) snprintf(bad->first_unexpected, sizeof bad->first_unexpected, "%s", name);
}

void ts_misfit_shape(ts_misfits *bad, const ts_tensor *t, const char *name, size_t rows, size_t cols) {
    if (bad->shapes++ > 0) return;
    char expected[48];
    snprintf(expected, sizeof expected, cols ? "%zu x %zu" : "%zu", rows, cols);
    snprintf(bad->first_shape, sizeof bad->first_shape, "%s has %zu%s%.0zu, not %s", name,
             t->n_dims > 0 ? t->dims[0] : 0, t->n_dims > 1 ? " x " : "", t->n_dims > 1 ? t->dims[1] : 0, expected);
}

ts_status ts_misfits_report(const ts_misfits *bad, const char *path, const ts_model *m, ts_err *err) {
    ts_buf parts = TS_BUF_INIT;
    if (!bad->missing && !bad->unexpected && !bad->shapes) return TS_OK;
    if (bad->shapes) ts_buf_printf(&parts, "; %zu of a wrong shape (%s)", bad->shapes, bad->first_shape);
    if (bad->missing) ts_buf_printf(&parts, "; %zu missing (%s)", bad->missing, bad->first_missing);
    if (bad->unexpected) ts_buf_printf(&parts, "; %zu unexpected (%s)", bad->unexpected, bad->first_unexpected);
    ts_status status =
        ts_fail(err, TS_FORMAT, "the adapter %s does not fit the model %s%s; it was made for another model", path,
                m->config.name, ts_buf_str(&parts));
    ts_buf_release(&parts);
    return status;
}

ts_status ts_adapter_finite(const ts_adapter *a, const char *path, ts_err *err) {
    bool finite = true;
    for (size_t i = 0; i < a->n_params; i++)
        finite = finite && isfinite(a->block[i]);
    float *row = NULL;
    for (size_t i = 0; i < a->n_saved; i++) {
        const ts_weight *w = &a->saved[i].weight;
        row = ts_realloc(row, w->cols * sizeof *row);
        for (size_t r = 0; finite && r < w->rows; r++) {
            ts_weight_rows(w, r, 1, row);
            for (size_t k = 0; k < w->cols; k++)
                finite = finite && isfinite(row[k]);
        }
    }
    free(row);
    if (finite) return TS_OK;
    return ts_fail(
        err, TS_FORMAT,
        "the adapter %s holds values that are not finite; its training went wrong: use an earlier checkpoint", path);
}

/* ---- names ---- */

bool ts_norm_at(const ts_model *m, size_t i, char path[TS_MODULE_PATH], const float **values, size_t *n) {
    const ts_config *c = &m->config;
    size_t layer = i / TS_NORMS;
    ts_norm norm = (ts_norm)(i % TS_NORMS);
    *n = c->hidden;
    path[0] = 0;
    if (i > TS_NORMS * c->layers) return false;
    if (i == TS_NORMS * c->layers) {
        snprintf(path, TS_MODULE_PATH, "%s.norm", c->modules);
        *values = m->final_norm;
        return true;
    }
    const char *name = ts_norm_name(ts_family_of(m), false, norm);
    if (!name) return true;
    snprintf(path, TS_MODULE_PATH, "%s.layers.%zu.%s", c->modules, layer, name);
    *values = *ts_norm_of(&m->layer[layer], norm);
    if (norm >= TS_Q_NORM) *n = c->head_dim;
    return true;
}

static void lora_slot(const ts_model *m, const ts_lora *x, ts_module module, size_t part, ts_slot *out) {
    bool embed = module.kind == TS_MODULE_EMBED;
    static const char *const names[2][3] = {{"lora_A.weight", "lora_B.weight", "lora_magnitude_vector"},
                                            {"lora_embedding_A", "lora_embedding_B", ""}};
    char path[TS_MODULE_PATH];
    if (!x->r || (part == 2 && !x->mag)) return;
    ts_module_path(m, module, path);
    snprintf(out->key, sizeof out->key, PREFIX "%s.%s", path, names[embed][part]);
    out->n_dims = part == 2 ? 1 : 2;
    out->dims[0] = part == 0 ? x->r : x->out;
    out->dims[1] = part == 0 ? x->in : part == 1 ? x->r : 0;
    out->into = part == 0 ? x->a : part == 1 ? x->b : x->mag;
}

bool ts_adapter_slot(const ts_adapter *a, size_t i, ts_slot *out) {
    size_t loras = 3 * ts_module_count(a->model);
    *out = (ts_slot){0};
    if (i < loras) {
        ts_module module = ts_module_at(a->model, i / 3);
        lora_slot(a->model, ts_adapter_lora(a, module), module, i % 3, out);
        return true;
    }
    if (i - loras >= a->n_saved) return false;
    ts_saved *s = &a->saved[i - loras];
    snprintf(out->key, sizeof out->key, PREFIX "%s.%sweight", s->name, s->base ? "base_layer." : "");
    out->n_dims = s->weight.rows == 1 ? 1 : 2;
    out->dims[0] = s->weight.rows == 1 ? s->weight.cols : s->weight.rows;
    out->dims[1] = s->weight.rows == 1 ? 0 : s->weight.cols;
    out->saved = s;
    return true;
}

/* ---- saved modules ---- */

/* The whole matrix that PEFT stores beside LoRA on the embedding or the head (save_embedding_layers). */
static void list_base_layers(const ts_safetensors *s, ts_adapter *a) {
    const ts_model *m = a->model;
    const ts_module modules[] = {{.kind = TS_MODULE_EMBED}, {.kind = TS_MODULE_HEAD}};
    for (size_t i = 0; i < TS_COUNT(modules); i++) {
        char path[TS_MODULE_PATH], key[160];
        ts_module_path(m, modules[i], path);
        snprintf(key, sizeof key, PREFIX "%s.base_layer.weight", path);
        if (!ts_safetensors_find(s, key)) continue;
        ts_part_of part = {.replaces = ts_module_weight(m, modules[i]), .weight = *ts_module_weight(m, modules[i])};
        snprintf(part.path, sizeof part.path, "%s", path);
        ts_add_saved(a, &part);
        a->saved[a->n_saved - 1].base = a->saved[a->n_saved - 1].both = true;
    }
}

/* Norms are converted, matrices stay where they are mapped. */
static ts_status take_saved(ts_adapter *a, size_t *norms, const ts_tensor *t, ts_saved *saved) {
    ts_weight *w = &saved->weight;
    if (w->rows == 1) {
        float *to = a->norms + *norms, *factors = to + w->cols;
        ts_dequantize(t->type, t->data, to, w->cols);
        for (size_t i = 0; i < w->cols; i++)
            factors[i] = to[i] + (ts_family_of(a->model)->norms_from_one ? 1 : 0);
        *norms += 2 * w->cols;
        w->type = TS_F32;
        w->data = to;
        saved->factors = factors;
    } else {
        w->type = t->type;
        w->data = t->data;
    }
    w->row_bytes = ts_row_bytes(w->type, w->cols);
    return TS_OK;
}

/* ---- tensors ---- */

static int by_key(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool same_shape(const ts_tensor *t, const ts_slot *slot) {
    return t->n_dims == slot->n_dims && t->dims[0] == slot->dims[0] && (t->n_dims < 2 || t->dims[1] == slot->dims[1]);
}

static ts_status take_slot(const loader *x, const ts_safetensors *s, ts_adapter *a, const ts_slot *slot, size_t *norms,
                           ts_misfits *bad) {
    const ts_tensor *t = ts_safetensors_find(s, slot->key);
    if (!t) {
        ts_misfit_missing(bad, slot->key);
    } else if (t->type == TS_DTYPES) {
        return ts_fail(x->err, TS_UNSUPPORTED,
                       "the adapter %s stores %s in a type that is not read; save it as F32, F16 or BF16", x->dir,
                       slot->key);
    } else if (!same_shape(t, slot)) {
        ts_misfit_shape(bad, t, slot->key, slot->dims[0], slot->dims[1]);
    } else if (slot->into) {
        ts_dequantize(t->type, t->data, slot->into, slot->dims[0] * TS_MAX(slot->dims[1], (size_t)1));
    } else {
        return take_saved(a, norms, t, slot->saved);
    }
    return TS_OK;
}

static ts_status take_all(const loader *x, const ts_safetensors *s, ts_adapter *a) {
    ts_misfits bad = {0};
    ts_arena arena = TS_ARENA_INIT;
    const char **keys = NULL;
    size_t n = 0, cap = 0, norms = 0;
    ts_slot slot;
    ts_status status = TS_OK;
    a->norms = ts_calloc(a->n_saved + 1, 2 * TS_MAX(x->m->config.hidden, x->m->config.head_dim) * sizeof *a->norms);
    for (size_t i = 0; status == TS_OK && ts_adapter_slot(a, i, &slot); i++) {
        if (!*slot.key) continue;
        TS_PUSH(keys, n, cap, ts_arena_strndup(&arena, slot.key, strlen(slot.key)));
        status = take_slot(x, s, a, &slot, &norms, &bad);
    }
    if (n) qsort(keys, n, sizeof *keys, by_key);
    for (size_t i = 0; i < ts_safetensors_count(s); i++) {
        const char *name = ts_safetensors_at(s, i)->name;
        if (!n || !bsearch(&name, keys, n, sizeof *keys, by_key)) ts_misfit_unexpected(&bad, name);
    }
    free(keys);
    ts_arena_release(&arena);
    TS_TRY(status);
    TS_TRY(ts_misfits_report(&bad, x->dir, x->m, x->err));
    return ts_adapter_finite(a, x->dir, x->err);
}

static ts_status read_tensors(const loader *x, ts_adapter *a) {
    char *path = ts_path_join(x->dir, "adapter_model.safetensors"), *what = NULL;
    ts_status status;
    if (!ts_is_file(path)) {
        char *old = ts_path_join(x->dir, "adapter_model.bin");
        status = ts_fail(x->err, TS_NOT_FOUND, "the adapter %s has no adapter_model.safetensors%s", x->dir,
                         ts_is_file(old) ? "; adapter_model.bin is not read: save it as safetensors" : "");
        free(old);
        goto out;
    }
    TS_GOTO(ts_safetensors_open(&a->file, path, x->err));
    what = ts_printf("the adapter %s", x->dir);
    TS_GOTO(ts_list_saved(a, what, x->err));
    list_base_layers(a->file, a);
    ts_index_saved(a);
    TS_GOTO(take_all(x, a->file, a));
out:
    free(what);
    free(path);
    return status;
}

/* ---- the folder ---- */

/* target_modules null: what PEFT has for the family (constants.py). Elsewhere it refuses such an adapter itself. */
static ts_status default_targets(const loader *x, ts_adapter_settings *s) {
    const ts_family *f = ts_family_of(x->m);
    bool wrapped = f->hf_wrapper && strcmp(x->m->config.architecture, f->hf_wrapper) == 0;
    if (s->targets) return TS_OK;
    if (!f->peft_targets || wrapped)
        return ts_fail(x->err, TS_UNSUPPORTED,
                       "the adapter %s names no target_modules, and PEFT has none of its own for a %s model; name them "
                       "in adapter_config.json",
                       x->dir, wrapped ? f->hf_wrapper_type : f->name);
    s->targets = ts_strdup("[\"q_proj\",\"v_proj\"]");
    return TS_OK;
}

static ts_status load_peft(ts_adapter **out, const loader *x, const char *path) {
    ts_adapter_settings settings = {0};
    ts_shape *shapes = NULL;
    ts_json *config = ts_json_read(path, MAX_CONFIG, x->err);
    ts_status status = config ? TS_OK : x->err->code;
    if (!config) goto out;
    TS_GOTO(ts_settings_read(&settings, config, x->dir, x->err));
    TS_GOTO(default_targets(x, &settings));
    status = ts_adapter_select(&shapes, &settings, x->m, false, x->err);
    if (status == TS_OK) status = ts_adapter_alloc(out, &settings, x->m, shapes, x->err);
    if (status != TS_OK) {
        ts_wrap(x->err, status, "%s", path);
        goto out;
    }
    TS_GOTO(read_tensors(x, *out));
    if (!(*out)->n_saved) { /* nothing is mapped */
        ts_safetensors_close((*out)->file);
        (*out)->file = NULL;
    }
    ts_adapter_refresh(*out);
out:
    free(shapes);
    ts_adapter_settings_release(&settings);
    ts_json_free(config);
    return status;
}

static bool holds(const char *dir, const char *name) {
    char *path = ts_path_join(dir, name);
    bool there = ts_is_file(path);
    free(path);
    return there;
}

bool ts_is_adapter(const char *path) {
    if (!ts_is_dir(path)) {
        size_t n = strlen(path);
        return n > 5 && strcmp(path + n - 5, ".gguf") == 0 && ts_is_file(path);
    }
    return holds(path, "adapter_config.json") || holds(path, "adapters.safetensors");
}

/* PEFT puts an adapter that is not called "default" into a folder of its name. */
ts_status ts_adapter_find(char **out, const char *path, ts_err *err) {
    ts_names names = {0};
    ts_buf found = TS_BUF_INIT;
    size_t n = 0;
    *out = NULL;
    if (ts_is_adapter(path) || ts_is_whole(path)) {
        *out = ts_strdup(path);
        return TS_OK;
    }
    if (ts_is_dir(path)) TS_TRY(ts_dir_list(path, &names, err));
    for (size_t i = 0; i < names.n; i++) {
        char *sub = ts_path_join(path, names.items[i]);
        if (ts_is_dir(sub) && holds(sub, "adapter_config.json")) {
            ts_buf_printf(&found, "%s%s", n++ ? ", " : "", names.items[i]);
            if (!*out) *out = ts_strdup(sub);
        }
        free(sub);
    }
    ts_names_release(&names);
    ts_status status = TS_OK;
    if (n != 1) {
        free(*out);
        *out = NULL;
        status = n ? ts_fail(err, TS_INVALID, "%s holds several adapters (%s); name one", path, ts_buf_str(&found))
                   : ts_fail(err, TS_NOT_FOUND, "%s is no adapter: it holds no adapter_config.json", path);
    }
    ts_buf_release(&found);
    return status;
}

ts_status ts_adapter_load(ts_adapter **out, const char *path, const ts_model *m, ts_err *err) {
    ts_err local;
    char *dir = NULL, *config = NULL;
    *out = NULL;
    if (!err) err = &local;
    ts_status status = ts_adapter_find(&dir, path, err);
    if (status != TS_OK) return status;
    loader x = {dir, m, err};
    if (!ts_is_dir(dir)) {
        status = ts_adapter_load_gguf(out, dir, m, err);
    } else if (holds(dir, "adapters.safetensors") && !holds(dir, "adapter_model.safetensors")) {
        status = ts_adapter_load_mlx(out, dir, m, err);
    } else if (!ts_is_adapter(dir)) {
        status = ts_adapter_load_whole(out, dir, m, err);
    } else {
        config = ts_path_join(dir, "adapter_config.json");
        status = load_peft(out, &x, config);
    }
    if (status != TS_OK) {
        ts_adapter_free(*out);
        *out = NULL;
    }
    free(config);
    free(dir);
    return status;
}
