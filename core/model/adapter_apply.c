/* What a model's weights are while an adapter is active. */
#include "core/model/adapter_private.h"

#include "core/work/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const ts_saved *saved_for(const ts_adapter *a, const void *own) {
    if (!a || !a->n_saved) return NULL;
    for (size_t i = 0; !a->by_own && i < a->n_saved; i++)
        if (a->saved[i].replaces == own) return &a->saved[i];
    size_t low = 0, high = a->by_own ? a->n_saved : 0;
    while (low < high) {
        size_t mid = (low + high) / 2;
        const ts_saved *s = a->by_own[mid];
        if (s->replaces == own) return s;
        if ((uintptr_t)s->replaces < (uintptr_t)own)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const float *ts_adapter_norm(const ts_adapter *a, const float *own) {
    const ts_saved *s = own ? saved_for(a, own) : NULL;
    return s ? s->factors : own;
}

const ts_weight *ts_adapter_proj(const ts_adapter *a, const ts_model *m, size_t layer, size_t proj) {
    const ts_weight *own = &m->layer[layer].proj[proj];
    const ts_saved *s = saved_for(a, own);
    return s ? &s->weight : own;
}

float *ts_adapter_values(const ts_adapter *a, const void *own) {
    const ts_saved *s = own ? saved_for(a, own) : NULL;
    return s ? s->values : NULL;
}

/* The embedding and the head of a tied model are the same values, so the structs stand for them. */
const ts_weight *ts_adapter_embed(const ts_adapter *a, const ts_model *m) {
    const ts_saved *s = saved_for(a, &m->embed);
    return s ? &s->weight : &m->embed;
}

/* A base_layer is loaded into the model's own matrix, which is the head's too when they are tied. */
const ts_weight *ts_adapter_head(const ts_adapter *a, const ts_model *m) {
    const ts_saved *s = saved_for(a, &m->head), *e = m->config.tied ? saved_for(a, &m->embed) : NULL;
    return s ? &s->weight : e && e->both ? &e->weight : &m->head;
}

/* ---- rows ---- */

/* out [in] = s B A, row `row`. Plain loops: the compiler makes vectors of them. */
static void change_of_row(const ts_lora *x, size_t row, float *out) {
    memset(out, 0, x->in * sizeof *out);
    for (size_t k = 0; k < x->r; k++) {
        float f = x->b[row * x->r + k];
        const float *a = x->a + k * x->in;
        for (size_t j = 0; j < x->in; j++)
            out[j] += f * a[j];
    }
    for (size_t j = 0; j < x->in; j++)
        out[j] *= x->scale;
}

/* Row of W + s B A; change [in] is scratch. */
static void sum_of_row(const ts_lora *x, const ts_weight *w, size_t row, float *change, float *out) {
    change_of_row(x, row, change);
    ts_weight_rows(w, row, 1, out);
    for (size_t j = 0; j < x->in; j++)
        out[j] += change[j];
}

void ts_adapter_embed_row(const ts_adapter *a, const ts_model *m, size_t id, float *out) {
    ts_weight_rows(ts_adapter_embed(a, m), id, 1, out);
    if (!a || !a->embed.r) return;
    const ts_lora *x = &a->embed;
    for (size_t j = 0; j < x->out; j++) {
        float sum = 0;
        for (size_t k = 0; k < x->r; k++)
            sum += x->a[k * x->in + id] * x->b[j * x->r + k];
        out[j] += x->scale * sum;
    }
}

static const ts_weight *base_of(const ts_adapter *a, const ts_model *m, ts_module module) {
    if (module.kind == TS_MODULE_EMBED) return ts_adapter_embed(a, m);
    if (module.kind == TS_MODULE_HEAD) return ts_adapter_head(a, m);
    return ts_adapter_proj(a, m, module.layer, module.proj);
}

bool ts_adapter_changes(const ts_adapter *a, ts_module module) {
    return a && (ts_adapter_lora(a, module)->r || base_of(a, a->model, module) != ts_module_weight(a->model, module));
}

void ts_adapter_apply(const ts_adapter *a, const ts_model *m, ts_module module, size_t first, size_t n, float *out) {
    const ts_weight *w = base_of(a, m, module);
    const ts_lora *x = a ? ts_adapter_lora(a, module) : NULL;
    if (!x || !x->r) {
        ts_weight_rows(w, first, n, out);
        return;
    }
    float *change = module.kind == TS_MODULE_EMBED ? NULL : ts_malloc(x->in * sizeof *change);
    for (size_t i = 0; i < n; i++) {
        float *row = out + i * w->cols;
        if (module.kind == TS_MODULE_EMBED) {
            ts_adapter_embed_row(a, m, first + i, row);
            continue;
        }
        sum_of_row(x, w, first + i, change, row);
        for (size_t j = 0; x->gain && j < x->in; j++)
            row[j] *= x->gain[first + i];
    }
    free(change);
}

/* ---- what follows from the block ---- */

enum { ROWS = 64 };

typedef struct refresh_job {
    const ts_adapter *a;
    size_t *first; /* [modules + 1]: number of a module's first task */
    size_t n;
    float *scratch; /* [workers][2][widest] */
    size_t widest;
} refresh_job;

static void refresh_task(void *ctx, size_t i, int worker) {
    const refresh_job *j = ctx;
    size_t q = 0;
    while (i >= j->first[q + 1])
        q++;
    ts_module module = ts_module_at(j->a->model, q);
    ts_lora *x = ts_adapter_lora(j->a, module);
    const ts_weight *w = base_of(j->a, j->a->model, module);
    float *row = j->scratch + 2 * (size_t)worker * j->widest, *change = row + j->widest;
    for (size_t r = (i - j->first[q]) * ROWS; r < TS_MIN(x->out, (i - j->first[q] + 1) * ROWS); r++) {
        double square[8] = {0}, sum = 0;
        sum_of_row(x, w, r, change, row);
        for (size_t k = 0; k < x->in; k++)
            square[k % 8] += (double)row[k] * (double)row[k];
        for (size_t k = 0; k < 8; k++)
            sum += square[k];
        x->inverse[r] = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
        x->gain[r] = x->mag[r] * x->inverse[r];
    }
}

void ts_adapter_refresh(ts_adapter *a) {
    for (size_t i = 0; i < a->n_saved; i++) {
        const ts_saved *s = &a->saved[i];
        float *factors = s->held && s->factors != s->values ? (float *)(uintptr_t)s->factors : NULL;
        if (factors) ts_weight_rows(&s->weight, 0, 1, factors);
        for (size_t k = 0; factors && s->from_one && k < s->weight.cols; k++)
            factors[k] += 1;
    }
    if (!a->n_gains) return;
    refresh_job j = {.a = a, .n = ts_module_count(a->model)};
    j.first = ts_calloc(j.n + 1, sizeof *j.first);
    for (size_t i = 0; i < j.n; i++) {
        const ts_lora *x = ts_adapter_lora(a, ts_module_at(a->model, i));
        j.first[i + 1] = j.first[i] + (x->gain ? (x->out + ROWS - 1) / ROWS : 0);
        if (x->gain) j.widest = TS_MAX(j.widest, x->in);
    }
    j.scratch = ts_malloc((size_t)ts_pool_threads() * 2 * j.widest * sizeof *j.scratch);
    ts_parallel(j.first[j.n], refresh_task, &j);
    free(j.first);
    free(j.scratch);
}
