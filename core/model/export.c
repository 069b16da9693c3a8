/* What both outputs share: the list of tensors, and how a tensor's rows become bytes. */
#include "core/model/export_private.h"

#include "core/base/file.h"
#include "core/work/pool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ts_model_quantised(const ts_model *m) {
    return ts_dtype_block(m->layer[0].proj[TS_Q].type) > 1 || ts_dtype_block(m->embed.type) > 1;
}

const ts_file_type *ts_file_type_default(const ts_model *m) {
    ts_dtype t = m->layer[0].proj[TS_Q].type;
    return ts_file_type_named(ts_model_quantised(m) ? "f16" : ts_dtype_name(t));
}

/* ---- the list ---- */

static void add(ts_parts *to, ts_part p, const char *hf, const char *gguf) {
    snprintf(p.hf, sizeof p.hf, "%s", hf);
    snprintf(p.gguf, sizeof p.gguf, "%s", gguf);
    TS_PUSH(to->items, to->n, to->cap, p);
}

static void add_layer(ts_parts *to, size_t layer, ts_part p, const char *hf, const char *gguf, const char *kind) {
    char a[96], b[80];
    snprintf(a, sizeof a, "model.layers.%zu.%s.%s", layer, hf, kind);
    snprintf(b, sizeof b, "blk.%zu.%s.%s", layer, gguf, kind);
    p.layer = layer;
    add(to, p, a, b);
}

static ts_part vector(const float *v, size_t n) {
    return (ts_part){.role = TS_ROLE_VECTOR, .rows = 1, .cols = n, .vector = v};
}

static ts_part norm(const ts_export *x, const float *v, size_t n) {
    ts_part p = vector(ts_adapter_norm(x->adapter, v), n);
    p.from_one = ts_family_of(x->model)->norms_from_one;
    return p;
}

/* own: the model's. A whole model in its place is written as it is. */
static ts_part matrix(const ts_export *x, ts_role role, const ts_weight *own, const ts_weight *whole) {
    const ts_weight *w = x->adapter && x->adapter->whole ? whole : own;
    return (ts_part){.role = role, .rows = w->rows, .cols = w->cols, .weight = *w};
}

static void add_norm(const ts_export *x, ts_parts *to, size_t layer, ts_norm n) {
    const ts_model *m = x->model;
    const ts_family *f = ts_family_of(m);
    const char *hf = ts_norm_name(f, false, n);
    size_t size = n >= TS_Q_NORM ? m->config.head_dim : m->config.hidden;
    if (hf)
        add_layer(to, layer, norm(x, *ts_norm_of(&m->layer[layer], n), size), hf, ts_norm_name(f, true, n), "weight");
}

static void add_proj(const ts_export *e, ts_parts *to, size_t layer, ts_proj p) {
    const ts_model *m = e->model;
    const ts_layer *l = &m->layer[layer];
    char hf[TS_PROJ_TENSOR], gguf[TS_PROJ_TENSOR];
    if (!ts_proj_name(&m->config, p)) return;
    ts_proj_tensor(&m->config, false, p, hf);
    ts_proj_tensor(&m->config, true, p, gguf);
    ts_part x = matrix(e, TS_ROLE_PROJ, &l->proj[p], ts_adapter_proj(e->adapter, m, layer, p));
    x.proj = p;
    x.rotary = p == TS_Q || p == TS_K;
    add_layer(to, layer, x, hf, gguf, "weight");
    if (!l->bias[p]) return;
    x = vector(ts_adapter_norm(e->adapter, l->bias[p]), l->proj[p].rows);
    x.rotary = p == TS_Q || p == TS_K;
    add_layer(to, layer, x, hf, gguf, "bias");
}

/* ---- the adapter ---- */

static ts_module module_of(const ts_part *p) {
    return (ts_module){.kind = p->role == TS_ROLE_EMBED  ? TS_MODULE_EMBED
                               : p->role == TS_ROLE_HEAD ? TS_MODULE_HEAD
                                                         : TS_MODULE_PROJ,
                       .layer = p->layer,
                       .proj = p->proj};
}

static bool changes(const ts_adapter *a, const ts_part *p) {
    return p->role != TS_ROLE_VECTOR && !(a && a->whole) && ts_adapter_changes(a, module_of(p));
}

/* What the adapter makes of the input side must not reach a head that shares the matrix, nor the other way round. */
static bool stays_tied(const ts_export *x) {
    const ts_module embed = {.kind = TS_MODULE_EMBED}, head = {.kind = TS_MODULE_HEAD};
    if (!x->model->config.tied) return false;
    if (x->adapter && x->adapter->whole) return true; /* one matrix there too */
    return !ts_adapter_changes(x->adapter, embed) && !ts_adapter_changes(x->adapter, head);
}

void ts_export_parts(const ts_export *x, ts_parts *to) {
    const ts_model *m = x->model;
    *to = (ts_parts){.tied = stays_tied(x)};
    add(to, matrix(x, TS_ROLE_EMBED, &m->embed, ts_adapter_embed(x->adapter, m)), "model.embed_tokens.weight",
        "token_embd.weight");
    for (size_t l = 0; l < m->config.layers; l++) {
        for (ts_proj p = 0; p < TS_PROJS; p++)
            add_proj(x, to, l, p);
        for (ts_norm n = 0; n < TS_NORMS; n++)
            add_norm(x, to, l, n);
    }
    add(to, norm(x, m->final_norm, m->config.hidden), "model.norm.weight", "output_norm.weight");
    if (!to->tied)
        add(to, matrix(x, TS_ROLE_HEAD, &m->head, ts_adapter_head(x->adapter, m)), "lm_head.weight", "output.weight");
    for (size_t i = 0; i < to->n; i++)
        to->items[i].type = x->type->type;
}

size_t ts_part_bytes(const ts_part *p) {
    return p->rows * ts_row_bytes(p->type, p->cols);
}

/* ---- rows to bytes ---- */

enum { SLICE_WEIGHTS = 1 << 16, SLICES = 16 };

/* Rows [first, first + n) of a part on their way; one slice a task. */
typedef struct slice {
    size_t first, n;
    float *base, *value; /* [n, cols]: without and with the adapter */
    double change2, weight2, largest;
    size_t same;
    bool fits;
} slice;

typedef struct batch {
    const ts_export *x;
    const ts_part *p;
    bool changed, copy, interleave, gguf;
    size_t row_bytes;
    unsigned char *out; /* of all slices, one behind the other */
    size_t first;       /* row at out */
    slice slices[SLICES];
} batch;

/* Which row of our order is row r of GGUF's: 2j + half of a head holds half * (d / 2) + j. */
static size_t source_row(const batch *b, size_t r) {
    if (!b->interleave) return r;
    size_t d = b->x->model->config.head_dim, in_head = r % d;
    return r - in_head + in_head % 2 * (d / 2) + in_head / 2;
}

static void read_rows(const batch *b, slice *s) {
    const ts_part *p = b->p;
    for (size_t i = 0; i < s->n; i++) {
        size_t row = source_row(b, s->first + i);
        float *to = s->value + i * p->cols;
        if (p->role == TS_ROLE_VECTOR) {
            /* a bias of q or k is one row here, but its numbers are rows of the matrix */
            for (size_t c = 0; c < p->cols; c++)
                to[c] = p->vector[source_row(b, c)] - (p->from_one && !b->gguf ? 1 : 0);
            continue;
        }
        ts_weight_rows(&p->weight, row, 1, to);
        if (!b->changed) continue;
        memcpy(s->base + i * p->cols, to, p->cols * sizeof *to);
        ts_adapter_apply(b->x->adapter, b->x->model, module_of(p), row, 1, to);
    }
}

static void measure(slice *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        double change = (double)s->value[i] - (double)s->base[i];
        s->change2 += change * change;
        s->weight2 += (double)s->base[i] * (double)s->base[i];
        if (fabs(change) > s->largest) s->largest = fabs(change);
        s->same += ts_f32_to_bf16(s->value[i]) == ts_f32_to_bf16(s->base[i]);
    }
}

static void work(void *ctx, size_t i, int worker) {
    batch *b = ctx;
    slice *s = &b->slices[i];
    const ts_part *p = b->p;
    (void)worker;
    unsigned char *to = b->out + (s->first - b->first) * b->row_bytes;
    if (b->copy) {
        for (size_t r = 0; r < s->n; r++)
            memcpy(to + r * b->row_bytes,
                   (const unsigned char *)p->weight.data + source_row(b, s->first + r) * b->row_bytes, b->row_bytes);
        return;
    }
    read_rows(b, s);
    if (b->changed) measure(s, s->n * p->cols);
    s->fits = ts_quantize(p->type, s->value, to, s->n * p->cols);
}

static void count_slice(ts_exporting *e, const batch *b, const slice *s) {
    if (!b->changed) return;
    e->change2 += s->change2;
    e->weight2 += s->weight2;
    e->same_weights += (double)s->same;
    e->merged_weights += (double)(s->n * b->p->cols);
    e->report->max_change = TS_MAX(e->report->max_change, s->largest);
}

static ts_status does_not_fit(const ts_exporting *e, const ts_part *p, const slice *s, ts_err *err) {
    bool finite = true;
    for (size_t i = 0; i < s->n * p->cols; i++)
        finite = finite && isfinite(s->value[i]);
    if (finite)
        return ts_fail(err, TS_INVALID, "%s has a value that is too large for %s; write bf16 or f32 instead (--type)",
                       p->hf, ts_dtype_name(p->type));
    return ts_fail(err, TS_INVALID, "%s has a value that is not finite%s", p->hf,
                   e->x->adapter ? " after merging; the adapter's training went wrong: use an earlier checkpoint"
                                 : "; the model's file is damaged");
}

/* The next rows of the part, at most SLICES slices of them. */
static ts_status next_rows(ts_exporting *e, batch *b, size_t rows_a_slice, ts_err *err) {
    size_t n = 0;
    for (size_t row = b->first; n < SLICES && row < b->p->rows; n++, row += rows_a_slice) {
        slice *s = &b->slices[n];
        *s = (slice){.first = row, .n = TS_MIN(rows_a_slice, b->p->rows - row), .base = s->base, .value = s->value};
        s->fits = true;
    }
    ts_parallel(n, work, b);
    for (size_t i = 0; i < n; i++) {
        if (!b->slices[i].fits) return does_not_fit(e, b->p, &b->slices[i], err);
        count_slice(e, b, &b->slices[i]);
    }
    b->first = b->slices[n - 1].first + b->slices[n - 1].n;
    return TS_OK;
}

ts_status ts_export_part(ts_exporting *e, const ts_part *p, bool gguf, ts_part_sink *sink, void *ctx, ts_err *err) {
    batch b = {.x = e->x,
               .p = p,
               .gguf = gguf,
               .interleave = gguf && p->rotary && ts_family_of(e->x->model)->gguf_interleaved,
               .row_bytes = ts_row_bytes(p->type, p->cols)};
    b.changed = changes(e->x->adapter, p);
    b.copy = !b.changed && p->role != TS_ROLE_VECTOR && p->weight.type == p->type;
    size_t rows = TS_MIN(TS_MAX(SLICE_WEIGHTS / p->cols, (size_t)1), p->rows), room = rows * p->cols;
    ts_status status = TS_OK;
    b.out = ts_try_alloc(SLICES * rows, b.row_bytes);
    float *values = ts_try_alloc(SLICES * room * 2, sizeof *values);
    if (!b.out || !values) status = ts_fail(err, TS_NO_MEMORY, "no memory to write %s", p->hf);
    for (size_t i = 0; i < SLICES && values; i++) {
        b.slices[i].value = values + i * 2 * room;
        b.slices[i].base = b.slices[i].value + room;
    }
    while (status == TS_OK && b.first < p->rows) {
        size_t first = b.first;
        if (ts_cancelled(e->x->progress)) status = ts_fail(err, TS_CANCELLED, "stopped; nothing was written");
        if (status == TS_OK) status = next_rows(e, &b, rows, err);
        if (status == TS_OK) status = sink(ctx, b.out, (b.first - first) * b.row_bytes, err);
        e->done += (int64_t)((b.first - first) * b.row_bytes);
        ts_progress_set(e->x->progress, e->done, e->total);
    }
    e->report->merged += b.changed && status == TS_OK;
    free(b.out);
    free(values);
    return status;
}

void ts_export_finish_report(ts_exporting *e) {
    ts_export_report *r = e->report;
    r->tensors = e->parts.n;
    r->untied = e->x->model->config.tied && !e->parts.tied;
    if (e->merged_weights == 0) return;
    r->rms_change = sqrt(e->change2 / e->merged_weights);
    r->rms_weight = sqrt(e->weight2 / e->merged_weights);
    r->same_bf16 = e->same_weights / e->merged_weights;
}

ts_status ts_export_check_out(const char *out, bool folder, ts_err *err) {
    ts_names names = {0};
    if (!*out) return ts_fail(err, TS_INVALID, "the name to write to is empty");
    if (!ts_file_exists(out)) return TS_OK;
    if (!folder || !ts_is_dir(out))
        return ts_fail(err, TS_INVALID, "%s is there already; choose another name or remove it", out);
    TS_TRY(ts_dir_list(out, &names, err));
    bool empty = names.n == 0;
    ts_names_release(&names);
    return empty
               ? TS_OK
               : ts_fail(err, TS_INVALID, "the folder %s is there and not empty; choose another name or empty it", out);
}
