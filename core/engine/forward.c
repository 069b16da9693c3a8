#include "core/engine/net_impl.h"

#include <math.h>
#include <stdlib.h>

/* ---- memory ---- */

static float *carve(float **at, size_t rows, size_t width) {
    float *p = *at;
    *at += (rows * width + 15) & ~(size_t)15;
    return p;
}

static size_t layer_floats(const ts_net *n, size_t rows, size_t ranks) {
    size_t c = 0;
    const size_t widths[] = {n->h, n->qkv, n->hd, 2 * n->m->config.heads, n->h, 2 * n->f, ranks};
    for (size_t i = 0; i < TS_COUNT(widths); i++)
        c += (rows * widths[i] + 15) & ~(size_t)15;
    return c;
}

static void carve_layer(const ts_net *n, ts_acts *a, size_t rows, size_t ranks, float **at) {
    a->x = carve(at, rows, n->h);
    a->qkv = carve(at, rows, n->qkv);
    a->o = carve(at, rows, n->hd);
    a->lse = carve(at, rows, 2 * n->m->config.heads);
    a->mid = carve(at, rows, n->h);
    a->gu = carve(at, rows, 2 * n->f);
    a->u = carve(at, rows, ranks);
}

void ts_bufs_release(ts_net_bufs *b) {
    free(b->block);
    free(b->layer);
    *b = (ts_net_bufs){0};
}

ts_status ts_bufs_need(ts_net *n, size_t rows, size_t ranks, bool keep, ts_err *err) {
    ts_net_bufs *b = &n->bufs;
    size_t layers = n->m->config.layers, widest = TS_MAX(TS_MAX(n->h, n->hd), n->f);
    if (b->block && b->rows >= rows && b->ranks >= ranks && (b->keep || !keep)) return TS_OK;
    rows = TS_MAX(rows, b->rows);
    ranks = TS_MAX(ranks, b->ranks);
    keep = keep || b->keep;
    ts_bufs_release(b);
    size_t shared = n->h + n->f + n->h + (keep ? n->f + n->h + n->qkv + TS_MAX(n->h, n->hd) + ranks + widest : 0);
    size_t floats = (keep ? layers : 1) * layer_floats(n, rows, ranks) + rows * shared + 16 * 16;
    b->block = ts_try_alloc(floats, sizeof *b->block);
    if (!b->block)
        return ts_fail(err, TS_NO_MEMORY,
                       "no memory for the activations of %zu tokens (%.0f MiB); use a smaller micro-batch or shorter "
                       "sequences",
                       rows, (double)floats * sizeof(float) / 1048576);
    *b = (ts_net_bufs){.rows = rows, .ranks = ranks, .keep = keep, .block = b->block};
    b->layer = ts_calloc(layers + 1, sizeof *b->layer);
    float *at = b->block;
    for (size_t l = 0; l < layers; l++) {
        if (keep || l == 0)
            carve_layer(n, &b->layer[l], rows, ranks, &at);
        else
            b->layer[l] = b->layer[0];
    }
    b->layer[layers].x = keep ? carve(&at, rows, n->h) : b->layer[0].x;
    b->norm = carve(&at, rows, n->h);
    b->act = carve(&at, rows, n->f);
    if (keep) {
        b->wide = carve(&at, rows, n->f);
        b->dres = carve(&at, rows, n->h);
        b->dqkv = carve(&at, rows, n->qkv);
        b->dhid = carve(&at, rows, TS_MAX(n->h, n->hd));
        b->du = carve(&at, rows, ranks);
        b->dropped = carve(&at, rows, widest);
    }
    return TS_OK;
}

/* Angles as transformers has them: f32 position times f32 frequency; cosine and sine in double, times the model's
 * factor. */
ts_status ts_rope_need(ts_net *n, size_t positions, ts_err *err) {
    size_t half = n->m->config.head_dim / 2, have = n->rope_len * 2 * half;
    if (n->rope_len >= positions) return TS_OK;
    positions = TS_MAX(positions, TS_MIN(2 * n->rope_len, (size_t)1 << 20));
    TS_TRY(ts_need_floats(&n->rope, &have, positions * 2 * half, "the table of positions", err));
    for (size_t p = 0; p < positions; p++)
        for (size_t i = 0; i < half; i++) {
            double angle = (double)((float)p * n->m->rope_freq[i]);
            n->rope[p * 2 * half + i] = (float)(cos(angle) * (double)n->m->rope_factor);
            n->rope[p * 2 * half + half + i] = (float)(sin(angle) * (double)n->m->rope_factor);
        }
    n->rope_len = positions;
    return TS_OK;
}

/* ---- rows ---- */

typedef struct rows_ctx {
    const ts_net *n;
    const ts_batch *b;
    const float *x, *w;
    float *y;
} rows_ctx;

static void norm_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const rows_ctx *c = ctx;
    size_t h = c->n->h;
    for (size_t i = first; i < end; i++)
        ts_kernels_get()->rmsnorm(c->x + i * h, c->w, h, c->n->m->config.rms_eps, c->y + i * h);
}

void ts_norm_rows(ts_net *n, const float *x, const float *w, size_t rows, float *y) {
    rows_ctx c = {.n = n, .x = x, .w = w, .y = y};
    ts_rows(rows, 16, norm_rows, &c);
}

static void embed_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const rows_ctx *c = ctx;
    for (size_t r = 0; r < c->b->n_runs; r++) {
        const ts_run *run = &c->b->runs[r];
        for (size_t i = TS_MAX(first, run->first); i < TS_MIN(end, run->first + run->n); i++)
            ts_weight_rows(&c->n->m->embed, (size_t)run->ids[i - run->first], 1, c->y + i * c->n->h);
    }
}

static void rope_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const rows_ctx *c = ctx;
    const ts_config *m = &c->n->m->config;
    for (size_t r = 0; r < c->b->n_runs; r++) {
        const ts_run *run = &c->b->runs[r];
        for (size_t i = TS_MAX(first, run->first); i < TS_MIN(end, run->first + run->n); i++)
            ts_kernels_get()->rope(c->y + i * c->n->qkv, m->heads + m->kv_heads, m->head_dim,
                                   c->n->rope + (run->before + i - run->first) * m->head_dim, false);
    }
}

static void swiglu_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const rows_ctx *c = ctx;
    size_t f = c->n->f;
    for (size_t i = first; i < end; i++)
        ts_kernels_get()->swiglu(c->x + i * 2 * f, c->x + i * 2 * f + f, c->y + i * f, f);
}

void ts_swiglu_rows(ts_net *n, const float *gu, size_t rows, float *act) {
    rows_ctx c = {.n = n, .x = gu, .y = act};
    ts_rows(rows, 16, swiglu_rows, &c);
}

/* ---- the layers ---- */

static void layer_forward(const ts_pass *p, size_t l) {
    ts_net *n = p->net;
    ts_net_bufs *b = &n->bufs;
    const ts_layer *w = &n->m->layer[l];
    ts_acts *a = &b->layer[l];
    size_t rows = p->batch->rows;
    ts_norm_rows(n, a->x, w->attn_norm, rows, b->norm);
    ts_group_forward(p, l, TS_GROUP_QKV, b->norm, a->qkv, a->u, NULL);
    rows_ctx c = {.n = n, .b = p->batch, .y = a->qkv};
    ts_rows(rows, 16, rope_rows, &c);
    if (p->on_kv) {
        p->on_kv(p->ctx, l, a->qkv);
        if (l + 1 == n->m->config.layers) return;
    }
    ts_attention_forward(n, p->batch, a->qkv, a->o, a->lse);
    ts_group_forward(p, l, TS_GROUP_O, a->o, a->mid, a->u, a->x);
    ts_norm_rows(n, a->mid, w->ffn_norm, rows, b->norm);
    ts_group_forward(p, l, TS_GROUP_GU, b->norm, a->gu, a->u, NULL);
    ts_swiglu_rows(n, a->gu, rows, b->act);
    ts_group_forward(p, l, TS_GROUP_DOWN, b->act, b->layer[l + 1].x, a->u, a->mid);
}

ts_status ts_forward(ts_pass *p, ts_err *err) {
    ts_net *n = p->net;
    const ts_batch *b = p->batch;
    size_t positions = 0;
    for (size_t r = 0; r < b->n_runs; r++)
        positions = TS_MAX(positions, b->runs[r].before + b->runs[r].n);
    p->ranks = ts_ranks(p->adapter);
    TS_TRY(ts_rope_need(n, positions, err));
    TS_TRY(ts_bufs_need(n, b->rows, p->ranks, p->grad != NULL, err));
    TS_TRY(ts_attention_need(n, b, p->grad != NULL, err));
    rows_ctx c = {.n = n, .b = b, .y = n->bufs.layer[0].x};
    ts_rows(b->rows, 16, embed_rows, &c);
    for (size_t l = 0; l < n->m->config.layers; l++) {
        if (ts_cancelled(p->progress)) return ts_fail(err, TS_CANCELLED, "cancelled");
        layer_forward(p, l);
    }
    return TS_OK;
}
