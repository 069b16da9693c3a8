#include "core/model/adapter_foreign.h"

#include "core/base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t ts_module_find(const ts_model *m, const char *path, size_t n) {
    size_t count = ts_module_count(m), i = 0;
    for (; i < count; i++) {
        char own[TS_MODULE_PATH];
        ts_module_path(m, ts_module_at(m, i), own);
        if (strlen(own) == n && memcmp(own, path, n) == 0) break;
    }
    return i;
}

/* ---- settings from what was found ---- */

typedef struct found {
    const ts_model *m;
    const ts_shape *shapes;
} found;

static bool is_in(const found *f, size_t layer, size_t proj) {
    return f->shapes[layer * TS_PROJS + proj].r > 0;
}

static bool layer_used(const found *f, size_t layer) {
    bool used = false;
    for (size_t p = 0; p < TS_PROJS; p++)
        used = used || is_in(f, layer, p);
    return used;
}

/* Do all layers that have any adapted projection have the same ones? *used: how many such layers. */
static bool same_in_layers(const found *f, size_t *used, size_t *first) {
    bool same = true;
    *used = 0;
    for (size_t l = 0; l < f->m->config.layers; l++) {
        if (!layer_used(f, l)) continue;
        if ((*used)++ == 0) *first = l;
        for (size_t p = 0; p < TS_PROJS; p++)
            same = same && is_in(f, l, p) == is_in(f, *first, p);
    }
    return same;
}

static char *layers_json(const found *f) {
    ts_buf out = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&out);
    ts_jw_arr(&w);
    for (size_t l = 0; l < f->m->config.layers; l++)
        if (layer_used(f, l)) ts_jw_int(&w, (int64_t)l);
    ts_jw_end_arr(&w);
    return ts_buf_take(&out);
}

/* Names where the layers are alike, whole paths where they are not. A whole path is not asked for its layer, so the
 * embedding and the head may stand beside layers_to_transform. */
static void find_targets(const found *f, ts_adapter_settings *s) {
    ts_buf out = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&out);
    size_t used, first = 0, projections = f->m->config.layers * TS_PROJS;
    bool same = same_in_layers(f, &used, &first);
    ts_jw_arr(&w);
    for (size_t i = 0; i < ts_module_count(f->m); i++) {
        char path[TS_MODULE_PATH];
        if (!f->shapes[i].r || (same && i < projections && i / TS_PROJS != first)) continue;
        ts_module_path(f->m, ts_module_at(f->m, i), path);
        ts_jw_str(&w, same && i < projections ? strrchr(path, '.') + 1 : path);
    }
    ts_jw_end_arr(&w);
    s->targets = ts_buf_take(&out);
    if (same && used && used < f->m->config.layers) s->layers = layers_json(f);
}

static char *pattern_json(const found *f, const ts_adapter_settings *s, bool ranks) {
    ts_buf out = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&out);
    size_t n = 0;
    ts_jw_obj(&w);
    for (size_t i = 0; i < ts_module_count(f->m); i++) {
        const ts_shape *x = &f->shapes[i];
        char path[TS_MODULE_PATH];
        if (!x->r || (ranks ? x->r == s->r : x->alpha == s->alpha)) continue;
        ts_module_path(f->m, ts_module_at(f->m, i), path);
        ts_jw_knum(&w, path, ranks ? (double)x->r : x->alpha);
        n++;
    }
    ts_jw_end_obj(&w);
    if (n) return ts_buf_take(&out);
    ts_buf_release(&out);
    return NULL;
}

/* ---- values ---- */

/* to [rows, cols] from t, which lies as it is or across. */
static void copy_matrix(const ts_tensor *t, bool across, size_t rows, size_t cols, float *to) {
    if (!across) {
        ts_dequantize(t->type, t->data, to, rows * cols);
        return;
    }
    float *all = ts_malloc(rows * cols * sizeof *all);
    ts_dequantize(t->type, t->data, all, rows * cols);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            to[i * cols + j] = all[j * rows + i];
    free(all);
}

static bool has_shape(const ts_tensor *t, bool across, size_t rows, size_t cols) {
    return t->n_dims == 2 && t->type != TS_DTYPES && t->dims[across] == rows && t->dims[!across] == cols;
}

static size_t rank_of(const ts_pair *p) {
    return p->b->n_dims == 2 ? p->b->dims[!p->b_across] : 0;
}

static void check_pair(const ts_model *m, size_t i, const ts_pair *p, ts_misfits *bad) {
    size_t rows, cols, r = rank_of(p);
    ts_module_size(m, ts_module_at(m, i), &rows, &cols);
    if (r == 0 || !has_shape(p->b, p->b_across, rows, r))
        ts_misfit_shape(bad, p->b, p->b->name, p->b_across ? r : rows, p->b_across ? rows : r);
    else if (!has_shape(p->a, p->a_across, r, cols))
        ts_misfit_shape(bad, p->a, p->a->name, p->a_across ? cols : r, p->a_across ? r : cols);
    else if (p->mag && (p->mag->n_dims != 1 || p->mag->dims[0] != rows || p->mag->type == TS_DTYPES))
        ts_misfit_shape(bad, p->mag, p->mag->name, rows, 0);
}

static void take_values(ts_adapter *a, const ts_pair *pairs) {
    for (size_t i = 0; i < ts_module_count(a->model); i++) {
        const ts_lora *x = ts_adapter_lora(a, ts_module_at(a->model, i));
        if (!x->r) continue;
        copy_matrix(pairs[i].a, pairs[i].a_across, x->r, x->in, x->a);
        copy_matrix(pairs[i].b, pairs[i].b_across, x->out, x->r, x->b);
        if (x->mag) ts_dequantize(pairs[i].mag->type, pairs[i].mag->data, x->mag, x->out);
    }
}

ts_status ts_adapter_from_pairs(ts_adapter **out, const ts_model *m, const ts_pair *pairs,
                                const ts_adapter_settings *settings, double scale, double alpha, ts_misfits *bad,
                                ts_err *err) {
    size_t n = ts_module_count(m);
    ts_shape *shapes = ts_calloc(n, sizeof *shapes);
    ts_adapter_settings s;
    ts_settings_copy(&s, settings);
    ts_status status = TS_OK;
    *out = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!pairs[i].a || !pairs[i].b) continue;
        check_pair(m, i, &pairs[i], bad);
        size_t r = rank_of(&pairs[i]);
        shapes[i] = (ts_shape){r, scale > 0 ? scale * (double)r : alpha > 0 ? alpha : (double)r};
        s.r = TS_MAX(s.r, r);
    }
    if (bad->missing || bad->unexpected || bad->shapes) goto out;
    if (s.r == 0) TS_GOTO(ts_fail(err, TS_FORMAT, "the adapter holds no LoRA matrices at all"));
    s.alpha = scale > 0 ? scale * (double)s.r : alpha > 0 ? alpha : (double)s.r;
    const found f = {m, shapes};
    find_targets(&f, &s);
    s.rank_pattern = pattern_json(&f, &s, true);
    s.alpha_pattern = pattern_json(&f, &s, false);
    TS_GOTO(ts_adapter_alloc(out, &s, m, shapes, err));
    take_values(*out, pairs);
    ts_adapter_refresh(*out);
out:
    free(shapes);
    ts_adapter_settings_release(&s);
    return status;
}
