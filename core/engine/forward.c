#include "core/engine/net_impl.h"

#include "core/base/rand.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

/* Room for rows of `width` numbers behind what is carved already; NULL without a block: then they are only counted. */
static float *carve(ts_net_bufs *b, size_t width) {
    size_t from = b->floats;
    b->floats += (b->rows * width + 15) & ~(size_t)15;
    return b->block ? b->block + from : NULL;
}

/* All of a layer but its input. */
static void carve_layer(const ts_net *n, ts_net_bufs *b, ts_acts *a) {
    a->qkv = carve(b, n->qkv);
    a->o = carve(b, n->hd);
    a->lse = carve(b, 2 * n->m->config.heads);
    a->mid = carve(b, n->h);
    a->gu = carve(b, 2 * n->f);
    a->u = carve(b, b->ranks);
    if (n->qk_norms) a->raw = carve(b, n->hd + n->kd);
    if (n->post_norms) a->attn_out = carve(b, n->h);
    if (n->post_norms) a->mlp_out = carve(b, n->h);
}

static void carve_layers(const ts_net *n, ts_net_bufs *b) {
    size_t layers = n->m->config.layers;
    for (size_t l = 0; l < layers; l++) {
        if (l == 0 || (b->keep && !n->recompute))
            carve_layer(n, b, &b->layer[l]);
        else
            b->layer[l] = b->layer[0];
    }
    for (size_t l = 0; l <= layers; l++)
        b->layer[l].x = l == 0 || b->keep ? carve(b, n->h) : b->layer[0].x;
}

static void carve_shared(const ts_net *n, ts_net_bufs *b) {
    b->norm = carve(b, n->h);
    b->act = carve(b, n->f);
    if (!b->keep) return;
    b->wide = carve(b, n->f);
    b->dres = carve(b, n->h);
    b->dqkv = carve(b, n->qkv);
    b->dhid = carve(b, TS_MAX(n->h, n->hd));
    b->du = carve(b, b->ranks);
    b->dropped = carve(b, TS_MAX(TS_MAX(n->h, n->hd), n->f));
    if (n->post_norms) b->dpost = carve(b, n->h);
}

size_t ts_bufs_floats(const ts_net *n, size_t rows, size_t ranks, bool keep) {
    ts_net_bufs b = {.rows = rows, .ranks = ranks, .keep = keep};
    b.layer = ts_calloc(n->m->config.layers + 1, sizeof *b.layer);
    carve_layers(n, &b);
    carve_shared(n, &b);
    free(b.layer);
    return b.floats;
}

void ts_bufs_release(ts_net_bufs *b) {
    free(b->block);
    free(b->layer);
    *b = (ts_net_bufs){0};
}

/* The block serves passes with and without a backward one: it is laid out anew, and grows when it must. */
ts_status ts_bufs_need(ts_net *n, size_t rows, size_t ranks, bool keep, ts_err *err) {
    ts_net_bufs *b = &n->bufs;
    if (b->block && b->rows >= rows && b->ranks >= ranks && (b->keep || !keep)) return TS_OK;
    size_t floats = ts_bufs_floats(n, rows, ranks, keep);
    if (floats > b->capacity) {
        free(b->block);
        b->block = ts_try_alloc(floats, sizeof *b->block);
        b->capacity = b->block ? floats : 0;
    }
    if (!b->block) {
        ts_bufs_release(b);
        return ts_fail(err, TS_NO_MEMORY,
                       "no memory for the activations of %zu tokens (%.0f MiB); use a smaller micro-batch or shorter "
                       "sequences",
                       rows, (double)floats * sizeof(float) / 1048576);
    }
    if (!b->layer) b->layer = ts_calloc(n->m->config.layers + 1, sizeof *b->layer);
    *b = (ts_net_bufs){
        .rows = rows, .ranks = ranks, .keep = keep, .block = b->block, .capacity = b->capacity, .layer = b->layer};
    memset(b->layer, 0, (n->m->config.layers + 1) * sizeof *b->layer);
    carve_layers(n, b);
    carve_shared(n, b);
    return TS_OK;
}

/* Angles as transformers has them: f32 position times f32 frequency; cosine and sine in double, times the model's
 * gain. */
static void turn(const ts_rope *r, const float *freq, size_t place, float *cs) {
    size_t half = r->rotary / 2;
    for (size_t i = 0; i < half; i++) {
        double angle = (double)((float)place * freq[i]);
        cs[i] = (float)(cos(angle) * r->gain);
        cs[half + i] = (float)(sin(angle) * r->gain);
    }
}

static ts_status table_need(ts_net *n, int which, size_t positions, ts_err *err) {
    const ts_rope *r = &n->m->rope[which];
    size_t have = n->rope_len[which] * r->rotary;
    if (n->rope_len[which] >= positions) return TS_OK;
    positions = TS_MAX(positions, TS_MIN(2 * n->rope_len[which], (size_t)1 << 20));
    TS_TRY(ts_need_floats(&n->rope[which], &have, positions * r->rotary, "the table of positions", err));
    for (size_t p = 0; p < positions; p++)
        turn(r, r->freq, p, n->rope[which] + p * r->rotary);
    n->rope_len[which] = positions;
    return TS_OK;
}

ts_status ts_rope_need(ts_net *n, size_t positions, ts_err *err) {
    for (int i = 0; i < 2; i++)
        if (n->m->rope[i].freq) TS_TRY(table_need(n, i, positions, err));
    return TS_OK;
}

bool ts_rope_stretched(const ts_model *m, size_t length) {
    return (m->rope[0].freq && length > m->rope[0].limit) || (m->rope[1].freq && length > m->rope[1].limit);
}

bool ts_rope_changes(const ts_model *m, size_t length) {
    for (int i = 0; i < 2; i++) {
        const ts_rope *r = &m->rope[i];
        if (r->freq && length + 1 > r->limit && (length == r->limit || r->type == TS_ROPE_DYNAMIC)) return true;
    }
    return false;
}

/* Sequences over the limit are rare: their angles are calculated each time (some microseconds a layer and token). */
void ts_rope_heads(const ts_net *n, const ts_layer *w, float *x, size_t heads, size_t place, size_t length, bool back) {
    if (w->rope < 0) return;
    const ts_rope *r = &n->m->rope[w->rope];
    size_t d = n->m->config.head_dim;
    float own[TS_MAX_HEAD_DIM], freq[TS_MAX_HEAD_DIM / 2];
    const float *cs = n->rope[w->rope] + place * r->rotary;
    if (length > r->limit) {
        ts_rope_frequencies(r, length, freq);
        turn(r, freq, place, own);
        cs = own;
    }
    if (r->rotary == d) {
        ts_kernels_get()->rope(x, heads, d, cs, back);
        return;
    }
    for (size_t h = 0; h < heads; h++)
        ts_kernels_get()->rope(x + h * d, 1, r->rotary, cs, back);
}

/* ---- rows ---- */

typedef struct rows_ctx {
    const ts_net *n;
    const ts_batch *b;
    const ts_layer *layer;
    const float *x, *w, *add;
    float *y;
    const ts_dropout *dropout;
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

static void post_norm_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const rows_ctx *c = ctx;
    const ts_kernels *kn = ts_kernels_get();
    size_t h = c->n->h;
    for (size_t i = first; i < end; i++) {
        kn->rmsnorm(c->x + i * h, c->w, h, c->n->m->config.rms_eps, c->y + i * h);
        kn->add(c->y + i * h, c->add + i * h, h);
    }
}

void ts_post_norm_rows(ts_net *n, const float *a, const float *w, const float *x, size_t rows, float *y) {
    rows_ctx c = {.n = n, .x = a, .w = w, .add = x, .y = y};
    ts_rows(rows, 16, post_norm_rows, &c);
}

/* y = norm(x), or add + norm(x): each row with its own adapter's weights. */
static void norm_pass(const ts_pass *p, const float *x, const float *w, const float *add, float *y) {
    size_t h = p->net->h;
    for (size_t k = 0, end; k < p->batch->n_spans; k = end) {
        const ts_stretch *s = &p->batch->spans[k];
        const float *own = ts_adapter_norm(s->adapter, w);
        for (end = k + 1; end < p->batch->n_spans && ts_adapter_norm(p->batch->spans[end].adapter, w) == own; end++) {
        }
        size_t rows = p->batch->spans[end - 1].end - s->first, at = s->first * h;
        if (add)
            ts_post_norm_rows(p->net, x + at, own, add + at, rows, y + at);
        else
            ts_norm_rows(p->net, x + at, own, rows, y + at);
    }
}

void ts_neftune(const ts_dropout *d, uint64_t token, size_t length, float *x, size_t h) {
    enum { STREAM = 0x6e6566 }; /* other numbers than dropout's */
    double most = d->neftune / sqrt((double)length * (double)h);
    ts_rand r;
    ts_rand_seed(&r, ts_rand_mix(ts_rand_mix(d->seed, STREAM), token));
    for (size_t i = 0; i < h; i++)
        x[i] += (float)(most * (2 * ts_rand_unit(&r) - 1));
}

static void embed_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const rows_ctx *c = ctx;
    float scale = c->n->m->config.embed_scale;
    for (size_t r = 0; r < c->b->n_runs; r++) {
        const ts_run *run = &c->b->runs[r];
        for (size_t i = TS_MAX(first, run->first); i < TS_MIN(end, run->first + run->n); i++) {
            float *y = c->y + i * c->n->h;
            ts_adapter_embed_row(ts_row_adapter(c->b, i), c->n->m, (size_t)run->ids[i - run->first], y);
            if (scale != 1) ts_kernels_get()->scale(y, c->n->h, scale);
            if (c->dropout && c->dropout->neftune > 0)
                ts_neftune(c->dropout, run->token + i - run->first, run->length, y, c->n->h);
        }
    }
}

void ts_norm_heads(const ts_net *n, const float *w, const float *x, size_t heads, float *y) {
    size_t d = n->m->config.head_dim;
    for (size_t h = 0; w && h < heads; h++)
        ts_kernels_get()->rmsnorm(x + h * d, w, d, n->m->config.rms_eps, y + h * d);
}

static void norm_row(const ts_net *n, const ts_layer *w, const ts_adapter *a, float *q, float *raw) {
    memcpy(raw, q, (n->hd + n->kd) * sizeof *raw);
    ts_norm_heads(n, ts_adapter_norm(a, w->q_norm), raw, n->m->config.heads, q);
    ts_norm_heads(n, ts_adapter_norm(a, w->k_norm), raw + n->hd, n->m->config.kv_heads, q + n->hd);
}

/* q and k of a row: normed, the raw ones kept, and turned. */
static void place_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const rows_ctx *c = ctx;
    const ts_net *n = c->n;
    const ts_config *m = &n->m->config;
    for (size_t r = 0; r < c->b->n_runs; r++) {
        const ts_run *run = &c->b->runs[r];
        for (size_t i = TS_MAX(first, run->first); i < TS_MIN(end, run->first + run->n); i++) {
            float *q = c->y + i * n->qkv;
            if (n->qk_norms)
                norm_row(n, c->layer, ts_row_adapter(c->b, i), q, (float *)(uintptr_t)c->x + i * (n->hd + n->kd));
            ts_rope_heads(n, c->layer, q, m->heads + m->kv_heads, run->before + i - run->first, run->length, false);
        }
    }
}

static void gated_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const rows_ctx *c = ctx;
    const ts_kernels *kn = ts_kernels_get();
    size_t f = c->n->f;
    for (size_t i = first; i < end; i++)
        (c->n->m->config.act == TS_ACT_GELU ? kn->geglu : kn->swiglu)(c->x + i * 2 * f, c->x + i * 2 * f + f,
                                                                      c->y + i * f, f);
}

void ts_gated_rows(ts_net *n, const float *gu, size_t rows, float *act) {
    rows_ctx c = {.n = n, .x = gu, .y = act};
    ts_rows(rows, 16, gated_rows, &c);
}

/* ---- the layers ---- */

/* y = x + W in, or x + norm(W in) where the family has a norm there (then `raw` keeps W in). */
static void join(const ts_pass *p, size_t l, int group, const float *in, const float *x, const float *norm, float *raw,
                 float *y) {
    float *u = p->net->bufs.layer[l].u;
    ts_group_forward(p, l, group, in, norm ? raw : y, u, norm ? NULL : x);
    if (norm) norm_pass(p, raw, norm, x, y);
}

void ts_layer_forward(const ts_pass *p, size_t l) {
    ts_net *n = p->net;
    ts_net_bufs *b = &n->bufs;
    const ts_layer *w = &n->m->layer[l];
    ts_acts *a = &b->layer[l];
    size_t rows = p->batch->rows;
    norm_pass(p, a->x, w->attn_norm, NULL, b->norm);
    ts_group_forward(p, l, TS_GROUP_QKV, b->norm, a->qkv, a->u, NULL);
    rows_ctx c = {.n = n, .b = p->batch, .layer = w, .x = a->raw, .y = a->qkv};
    if (w->rope >= 0 || n->qk_norms) ts_rows(rows, 16, place_rows, &c);
    if (p->on_kv) {
        p->on_kv(p->ctx, l, a->qkv);
        if (l + 1 == n->m->config.layers) return;
    }
    ts_attention_forward(n, p->batch, w->window, a->qkv, a->o, a->lse);
    join(p, l, TS_GROUP_O, a->o, a->x, w->attn_post_norm, a->attn_out, a->mid);
    norm_pass(p, a->mid, w->ffn_norm, NULL, b->norm);
    ts_group_forward(p, l, TS_GROUP_GU, b->norm, a->gu, a->u, NULL);
    ts_gated_rows(n, a->gu, rows, b->act);
    join(p, l, TS_GROUP_DOWN, b->act, a->mid, w->ffn_post_norm, a->mlp_out, b->layer[l + 1].x);
}

const ts_adapter *ts_row_adapter(const ts_batch *b, size_t row) {
    size_t k = 0;
    while (row >= b->spans[k].end)
        k++;
    return b->spans[k].adapter;
}

/* Stretches of rows with one adapter; a pass that has only one is a pass of that adapter. */
static void find_spans(ts_pass *p) {
    ts_batch *b = p->batch;
    b->n_spans = 0;
    for (size_t r = 0; r < b->n_runs; r++) {
        const ts_run *run = &b->runs[r];
        ts_stretch s = {run->first, run->first + run->n, p->each ? run->adapter : p->adapter};
        if (b->n_spans && b->spans[b->n_spans - 1].adapter == s.adapter)
            b->spans[b->n_spans - 1].end = s.end;
        else
            TS_PUSH(b->spans, b->n_spans, b->cap_spans, s);
    }
    if (b->n_spans == 0) TS_PUSH(b->spans, b->n_spans, b->cap_spans, ((ts_stretch){0, 0, p->adapter}));
    if (p->each) p->adapter = b->n_spans == 1 ? b->spans[0].adapter : NULL;
}

static bool has_dora(const ts_adapter *a) {
    return a && a->settings.dora;
}

ts_status ts_forward(ts_pass *p, ts_err *err) {
    ts_net *n = p->net;
    const ts_batch *b = p->batch;
    size_t positions = 0, widest = TS_MAX(TS_MAX(n->qkv, 2 * n->f), n->h);
    find_spans(p);
    for (size_t r = 0; r < b->n_runs; r++)
        positions = TS_MAX(positions, b->runs[r].before + b->runs[r].n);
    p->ranks = 0;
    for (size_t k = 0; k < b->n_spans; k++)
        p->ranks = TS_MAX(p->ranks, ts_ranks(b->spans[k].adapter));
    if (p->grad && has_dora(p->adapter))
        TS_TRY(ts_need_floats(&n->dora, &n->dora_floats, b->rows * widest, "DoRA's gradients", err));
    TS_TRY(ts_rope_need(n, positions, err));
    TS_TRY(ts_bufs_need(n, b->rows, p->ranks, p->grad != NULL, err));
    TS_TRY(ts_attention_need(n, b, p->grad != NULL, err));
    rows_ctx c = {.n = n, .b = b, .y = n->bufs.layer[0].x, .dropout = &p->dropout};
    ts_rows(b->rows, 16, embed_rows, &c);
    for (size_t l = 0; l < n->m->config.layers; l++) {
        if (ts_cancelled(p->progress)) return ts_fail(err, TS_CANCELLED, "cancelled");
        ts_layer_forward(p, l);
    }
    return TS_OK;
}
