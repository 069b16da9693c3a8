/* Causal attention with grouped heads, per run of tokens; softmax streams over blocks of keys (Dao et al.,
 * FlashAttention 2, 2023), so no more than a tile of scores exists, and the backward pass recomputes them from the
 * stored maximum and sum of a row.
 *
 * Keys and values of a run (its parent's first) are packed per kv head: keys as columns of panels, so that a tile of
 * scores is one product, values and everything that is summed over keys as rows of panels. */
#include "core/engine/net_impl.h"

#include "core/work/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { QUERIES = 48, KEYS = 256 }; /* a tile of scores is 48 KiB */

static size_t padded(size_t n) {
    return (n + TS_PANEL - 1) / TS_PANEL * TS_PANEL;
}

typedef struct attention {
    ts_net *n;
    const ts_batch *b;
    const float *qkv, *dout;
    float *o, *lse;   /* lse: [rows][heads][2] */
    const float *out; /* backward: attention's output */
    float *dqkv;
    size_t heads, kv_heads, d, dp; /* dp: d padded to whole panels */
    size_t *at;                    /* [n_runs] where a run's packed keys are in n->kv, in keys */
    size_t keys;                   /* keys of all runs, each padded */
    float *dkv;                    /* backward: [2][keys][hd] */
    size_t window;                 /* 0: none */
    float scale, cap;              /* of scores; cap 0: none */
} attention;

static size_t run_keys(const ts_run *r) {
    return r->before + r->n;
}

/* The first key that the query at `place` sees. */
static size_t first_key(const attention *t, size_t place) {
    return t->window && place + 1 > t->window ? place + 1 - t->window : 0;
}

/* Where the first tile of keys begins that a query at `place` or later sees. Tiles lie on a fixed grid: sums are cut at
 * the same keys whatever block a query falls into. */
static size_t first_tile(const attention *t, size_t place) {
    return first_key(t, place) / KEYS * KEYS;
}

/* Row of the batch that holds key j of the run. */
static size_t key_row(const ts_batch *b, const ts_run *r, size_t j) {
    return j < r->before ? b->runs[r->parent].first + j : r->first + j - r->before;
}

/* Packed form of `count` rows of width d that start at row 0 of `get`: by columns (keys as columns of panels) or rows.
 */
static void pack_columns(const attention *t, const ts_run *r, const float *src, size_t ld, float *dst) {
    const ts_kernels *kn = ts_kernels_get();
    for (size_t j = 0; j < run_keys(r); j += TS_PANEL) {
        size_t n = TS_MIN(run_keys(r) - j, (size_t)TS_PANEL);
        float *panel = dst + j * t->d;
        if (key_row(t->b, r, j + n - 1) == key_row(t->b, r, j) + n - 1) {
            kn->pack_t(src + key_row(t->b, r, j) * ld, ld, n, t->d, panel);
            continue;
        }
        for (size_t c = 0; c < t->d; c++)
            for (size_t i = 0; i < TS_PANEL; i++)
                panel[c * TS_PANEL + i] = i < n ? src[key_row(t->b, r, j + i) * ld + c] : 0;
    }
}

/* dst: for each TS_PANEL columns of d a panel of `keys` rows. */
static void pack_rows(const attention *t, const ts_run *r, const float *src, size_t ld, float *dst) {
    size_t keys = run_keys(r);
    for (size_t c = 0; c < t->d; c += TS_PANEL) {
        size_t n = TS_MIN(t->d - c, (size_t)TS_PANEL);
        float *panel = dst + c * padded(keys);
        for (size_t j = 0; j < keys; j++) {
            memcpy(panel + j * TS_PANEL, src + key_row(t->b, r, j) * ld + c, n * sizeof *panel);
            memset(panel + j * TS_PANEL + n, 0, (TS_PANEL - n) * sizeof *panel);
        }
    }
}

static float *packed_keys(const attention *t, size_t run, size_t kv_head) {
    size_t keys = padded(run_keys(&t->b->runs[run]));
    return t->n->kv + (t->at[run] * t->kv_heads + kv_head * keys) * (t->d + t->dp);
}

static float *packed_values(const attention *t, size_t run, size_t kv_head) {
    return packed_keys(t, run, kv_head) + padded(run_keys(&t->b->runs[run])) * t->d;
}

static void pack_task(void *ctx, size_t i, int worker) {
    (void)worker;
    const attention *t = ctx;
    size_t run = i / t->kv_heads, kv = i % t->kv_heads;
    const ts_run *r = &t->b->runs[run];
    pack_columns(t, r, t->qkv + t->n->hd + kv * t->d, t->n->qkv, packed_keys(t, run, kv));
    pack_rows(t, r, t->qkv + t->n->hd + t->n->kd + kv * t->d, t->n->qkv, packed_values(t, run, kv));
}

/* s[m][KEYS] = rows of a times keys [k0, k0 + n) in column panels of depth d. */
static void scores(const attention *t, const float *a, size_t lda, size_t m, const float *keys, size_t k0, size_t n,
                   float *s) {
    for (size_t j = 0; j < n; j += TS_PANEL) {
        ts_panel p = {.m = m,
                      .n = TS_PANEL,
                      .k = t->d,
                      .a = a,
                      .lda = lda,
                      .b = keys + (k0 + j) * t->d,
                      .ldb = TS_PANEL,
                      .c = s + j,
                      .ldc = KEYS};
        ts_kernels_get()->panel(&p);
    }
}

/* c[m][d] (+)= a times row panels of `keys` rows, from row k0 on, k of them. */
static void times_rows(const attention *t, const float *a, size_t lda, bool a_trans, size_t m, const float *rows,
                       size_t panel_rows, size_t k0, size_t k, float *c, size_t ldc, bool add) {
    for (size_t j = 0; j < t->d; j += TS_PANEL) {
        ts_panel p = {.m = m,
                      .n = TS_MIN(t->d - j, (size_t)TS_PANEL),
                      .k = k,
                      .a = a,
                      .lda = lda,
                      .a_trans = a_trans,
                      .b = rows + j * panel_rows + k0 * TS_PANEL,
                      .ldb = TS_PANEL,
                      .c = c + j,
                      .ldc = ldc,
                      .add = add};
        ts_kernels_get()->panel(&p);
    }
}

/* ---- forward ---- */

typedef struct softmax_state {
    float top[QUERIES], sum[QUERIES];
} softmax_state;

/* The part [from, to) of the n keys from k0 on that the query at `place` sees. */
typedef struct span {
    size_t from, to;
} span;

static span seen(const attention *t, size_t place, size_t k0, size_t n) {
    size_t first = first_key(t, place);
    span v = {first > k0 ? TS_MIN(first - k0, n) : 0, place >= k0 ? TS_MIN(place + 1 - k0, n) : 0};
    if (v.from > v.to) v.from = v.to;
    return v;
}

static void clear_unseen(float *s, span v, size_t n) {
    memset(s, 0, v.from * sizeof *s);
    memset(s + v.to, 0, (n - v.to) * sizeof *s);
}

/* Turns a row of n scores of which those of `v` count into probabilities relative to the running maximum. */
static void stream_row(const attention *t, softmax_state *st, size_t i, float *s, span v, size_t n, float *o) {
    const ts_kernels *kn = ts_kernels_get();
    size_t valid = v.to - v.from;
    float *x = s + v.from, scale = t->cap > 0 ? 1 : t->scale;
    if (valid > 0) {
        if (t->cap > 0) kn->softcap(x, valid, t->scale / t->cap, t->cap);
        float top = TS_MAX(st->top[i], kn->max(x, valid) * scale);
        float fade = expf(st->top[i] - top);
        if (st->sum[i] > 0 && fade != 1) kn->scale(o, t->d, fade);
        st->sum[i] = st->sum[i] * fade + kn->exp_sum(x, valid, scale, top);
        st->top[i] = top;
    }
    clear_unseen(s, v, n);
}

static void forward_block(const attention *t, size_t run, size_t head, size_t q0, float *s) {
    const ts_run *r = &t->b->runs[run];
    const ts_kernels *kn = ts_kernels_get();
    size_t m = TS_MIN(r->n - q0, (size_t)QUERIES), hd = t->n->hd, kv = head / (t->heads / t->kv_heads);
    const float *q = t->qkv + (r->first + q0) * t->n->qkv + head * t->d;
    const float *keys = packed_keys(t, run, kv), *values = packed_values(t, run, kv);
    float *o = t->o + (r->first + q0) * hd + head * t->d;
    size_t limit = r->before + q0 + m; /* behind the last query's last key */
    size_t start = first_tile(t, r->before + q0);
    softmax_state st;
    for (size_t i = 0; i < m; i++) {
        st.top[i] = -INFINITY;
        st.sum[i] = 0;
    }
    for (size_t k0 = start; k0 < limit; k0 += KEYS) {
        size_t n = TS_MIN(limit - k0, (size_t)KEYS);
        scores(t, q, t->n->qkv, m, keys, k0, n, s);
        for (size_t i = 0; i < m; i++)
            stream_row(t, &st, i, s + i * KEYS, seen(t, r->before + q0 + i, k0, n), n, o + i * hd);
        times_rows(t, s, KEYS, false, m, values, padded(run_keys(r)), k0, n, o, hd, k0 > start);
    }
    for (size_t i = 0; i < m; i++) {
        float *lse = t->lse + ((r->first + q0 + i) * t->heads + head) * 2;
        lse[0] = st.top[i];
        lse[1] = 1 / st.sum[i];
        kn->scale(o + i * hd, t->d, lse[1]);
    }
}

/* Finds task i among the runs' (head, block of queries) pairs. */
static void forward_task(void *ctx, size_t i, int worker) {
    const attention *t = ctx;
    for (size_t run = 0; run < t->b->n_runs; run++) {
        size_t blocks = (t->b->runs[run].n + QUERIES - 1) / QUERIES, tasks = blocks * t->heads;
        if (i < tasks) {
            /* long blocks first: threads end together */
            forward_block(t, run, i % t->heads, (blocks - 1 - i / t->heads) * QUERIES,
                          ts_scratch_of(&t->n->scratch, worker));
            return;
        }
        i -= tasks;
    }
}

static void plan(attention *t, ts_net *n, const ts_batch *b, size_t window, const float *qkv) {
    const ts_config *c = &n->m->config;
    *t = (attention){.n = n, .b = b, .qkv = qkv, .heads = c->heads, .kv_heads = c->kv_heads, .d = c->head_dim};
    t->dp = padded(t->d);
    t->window = window;
    t->scale = c->attn_scale;
    t->cap = c->attn_cap;
    t->at = ts_malloc((b->n_runs + 1) * sizeof *t->at);
    for (size_t r = 0; r < b->n_runs; r++) {
        t->at[r] = t->keys;
        t->keys += padded(run_keys(&b->runs[r]));
    }
}

static size_t packed_floats(const attention *t) {
    return t->keys * t->kv_heads * (t->d + t->dp);
}

size_t ts_attention_floats(ts_net *n, const ts_batch *b, bool backward) {
    attention t;
    plan(&t, n, b, 0, NULL);
    free(t.at);
    return packed_floats(&t) + (backward ? t.keys * 2 * n->hd : 0);
}

ts_status ts_attention_need(ts_net *n, const ts_batch *b, bool backward, ts_err *err) {
    return ts_need_floats(&n->kv, &n->kv_floats, ts_attention_floats(n, b, backward), "attention's keys and values",
                          err);
}

void ts_attention_forward(ts_net *n, const ts_batch *b, size_t window, const float *qkv, float *o, float *lse) {
    attention t;
    plan(&t, n, b, window, qkv);
    t.o = o;
    t.lse = lse;
    ts_assert(n->kv_floats >= packed_floats(&t));
    ts_scratch_need(&n->scratch, QUERIES * KEYS);
    ts_parallel(b->n_runs * t.kv_heads, pack_task, &t);
    size_t tasks = 0;
    for (size_t r = 0; r < b->n_runs; r++)
        tasks += (b->runs[r].n + QUERIES - 1) / QUERIES * t.heads;
    ts_parallel(tasks, forward_task, &t);
    free(t.at);
}

/* ---- backward ----
 * P = exp(scale S - top) / sum, S = Q K^T;  dV = P^T dO;  dP = dO V^T;  dS = P o (dP - D) scale with D = rowsum(dO o
 * O); dQ = dS K;  dK = dS^T Q; with a cap dS also times its slope. One task per run and head; the gradients of a key
 * that several heads and runs share are added afterwards in a fixed order. */

typedef struct back_memory {
    float *values_t; /* values as columns of panels */
    float *keys;     /* keys as rows of panels */
    float *q, *dout; /* QUERIES rows as rows of panels */
    float *s, *dp;   /* [QUERIES][KEYS] */
} back_memory;

static size_t back_floats(const attention *t, size_t keys) {
    return padded(keys) * (t->d + t->dp) + 2 * QUERIES * t->dp + 2 * QUERIES * KEYS;
}

size_t ts_attention_scratch(ts_net *n, size_t keys) {
    attention t;
    plan(&t, n, &(ts_batch){0}, 0, NULL);
    free(t.at);
    return back_floats(&t, keys);
}

static back_memory split_memory(const attention *t, size_t keys, float *p) {
    back_memory m;
    m.values_t = p;
    m.keys = m.values_t + padded(keys) * t->d;
    m.q = m.keys + padded(keys) * t->dp;
    m.dout = m.q + QUERIES * t->dp;
    m.s = m.dout + QUERIES * t->dp;
    m.dp = m.s + QUERIES * KEYS;
    return m;
}

static void pack_queries(const attention *t, const float *src, size_t ld, size_t m, float *dst) {
    for (size_t c = 0; c < t->d; c += TS_PANEL)
        ts_kernels_get()->pack_n(TS_F32, src, ld * sizeof(float), m, c, TS_MIN(t->d - c, (size_t)TS_PANEL),
                                 dst + c * QUERIES);
}

typedef struct back_block {
    const ts_run *r;
    size_t head, q0, m;
    const float *q, *dout; /* rows in the batch */
    float *dq;
    const float *keys_t;
    float *dk, *dv; /* [keys][d] of this run and head */
    float delta[QUERIES];
} back_block;

/* Probabilities and gradients of a row's scores, of the n keys from k0 on. */
static void back_row(const attention *t, const back_block *b, size_t i, size_t k0, size_t n, float *s, float *dp) {
    const ts_kernels *kn = ts_kernels_get();
    const float *lse = t->lse + ((b->r->first + b->q0 + i) * t->heads + b->head) * 2;
    span v = seen(t, b->r->before + b->q0 + i, k0, n);
    size_t valid = v.to - v.from;
    if (t->cap > 0) {
        float capped[KEYS];
        kn->softcap(s + v.from, valid, t->scale / t->cap, t->cap);
        memcpy(capped, s + v.from, valid * sizeof *capped);
        kn->attention_back(s + v.from, dp + v.from, valid, 1, lse[0], lse[1], b->delta[i]);
        kn->softcap_back(capped, dp + v.from, valid, t->scale / t->cap, t->cap);
    } else {
        kn->attention_back(s + v.from, dp + v.from, valid, t->scale, lse[0], lse[1], b->delta[i]);
    }
    clear_unseen(s, v, n);
    clear_unseen(dp, v, n);
}

/* Queries [q0, q0 + m) against keys [k0, k0 + n); `first`: nothing of dq is there yet. */
static void back_tile(const attention *t, const back_block *b, const back_memory *w, size_t k0, size_t n, bool first) {
    size_t hd = t->n->hd, keys = padded(run_keys(b->r));
    scores(t, b->q, t->n->qkv, b->m, b->keys_t, k0, n, w->s);
    scores(t, b->dout, hd, b->m, w->values_t, k0, n, w->dp);
    for (size_t i = 0; i < b->m; i++)
        back_row(t, b, i, k0, n, w->s + i * KEYS, w->dp + i * KEYS);
    times_rows(t, w->dp, KEYS, false, b->m, w->keys, keys, k0, n, b->dq, t->n->qkv, !first);
    times_rows(t, w->s, KEYS, true, n, w->dout, QUERIES, 0, b->m, b->dv + k0 * t->d, t->d, true);
    times_rows(t, w->dp, KEYS, true, n, w->q, QUERIES, 0, b->m, b->dk + k0 * t->d, t->d, true);
}

static void back_task(void *ctx, size_t i, int worker) {
    const attention *t = ctx;
    size_t run = i / t->heads, head = i % t->heads, hd = t->n->hd, kv = head / (t->heads / t->kv_heads);
    const ts_run *r = &t->b->runs[run];
    size_t keys = run_keys(r);
    back_memory w = split_memory(t, keys, ts_scratch_of(&t->n->scratch, worker));
    back_block b = {.r = r, .head = head, .keys_t = packed_keys(t, run, kv)};
    b.dk = t->dkv + (t->at[run] * t->heads + head * padded(keys)) * t->d;
    b.dv = b.dk + t->keys * hd;
    memset(b.dk, 0, keys * t->d * sizeof(float));
    memset(b.dv, 0, keys * t->d * sizeof(float));
    pack_columns(t, r, t->qkv + hd + t->n->kd + kv * t->d, t->n->qkv, w.values_t);
    pack_rows(t, r, t->qkv + hd + kv * t->d, t->n->qkv, w.keys);
    for (b.q0 = 0; b.q0 < r->n; b.q0 += QUERIES) {
        size_t row = r->first + b.q0;
        b.m = TS_MIN(r->n - b.q0, (size_t)QUERIES);
        b.q = t->qkv + row * t->n->qkv + head * t->d;
        b.dout = t->dout + row * hd + head * t->d;
        b.dq = t->dqkv + row * t->n->qkv + head * t->d;
        for (size_t q = 0; q < b.m; q++)
            b.delta[q] = ts_kernels_get()->dot(b.dout + q * hd, t->out + (row + q) * hd + head * t->d, t->d);
        pack_queries(t, b.q, t->n->qkv, b.m, w.q);
        pack_queries(t, b.dout, hd, b.m, w.dout);
        size_t limit = r->before + b.q0 + b.m, start = first_tile(t, r->before + b.q0);
        for (size_t k0 = start; k0 < limit; k0 += KEYS)
            back_tile(t, &b, &w, k0, TS_MIN(limit - k0, (size_t)KEYS), k0 == start);
    }
}

/* Adds what run `from` found for its key j to the gradient of a key and value. */
static void add_key(const attention *t, size_t from, size_t j, float *dk, float *dv) {
    size_t group = t->heads / t->kv_heads, keys = padded(run_keys(&t->b->runs[from]));
    for (size_t head = 0; head < t->heads; head++) {
        const float *src = t->dkv + (t->at[from] * t->heads + head * keys + j) * t->d;
        ts_kernels_get()->add(dk + head / group * t->d, src, t->d);
        ts_kernels_get()->add(dv + head / group * t->d, src + t->keys * t->n->hd, t->d);
    }
}

static void sum_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const attention *t = ctx;
    for (size_t run = 0; run < t->b->n_runs; run++) {
        const ts_run *r = &t->b->runs[run];
        for (size_t row = TS_MAX(first, r->first); row < TS_MIN(end, r->first + r->n); row++) {
            float *dk = t->dqkv + row * t->n->qkv + t->n->hd, *dv = dk + t->n->kd;
            memset(dk, 0, 2 * t->n->kd * sizeof *dk);
            add_key(t, run, r->before + row - r->first, dk, dv);
            for (size_t child = 0; child < t->b->n_runs; child++)
                if (t->b->runs[child].parent == (int)run) add_key(t, child, row - r->first, dk, dv);
        }
    }
}

void ts_attention_backward(ts_net *n, const ts_batch *b, size_t window, const float *qkv, const float *o,
                           const float *lse, const float *dout, float *dqkv) {
    attention t;
    plan(&t, n, b, window, qkv);
    t.out = o;
    t.lse = (float *)lse;
    t.dout = dout;
    t.dqkv = dqkv;
    ts_assert(n->kv_floats >= packed_floats(&t) + t.keys * 2 * n->hd);
    t.dkv = n->kv + packed_floats(&t);
    size_t longest = 0;
    for (size_t r = 0; r < b->n_runs; r++)
        longest = TS_MAX(longest, run_keys(&b->runs[r]));
    ts_scratch_need(&n->scratch, back_floats(&t, longest));
    ts_parallel(b->n_runs * t.kv_heads, pack_task, &t);
    ts_parallel(b->n_runs * t.heads, back_task, &t);
    ts_rows(b->rows, 16, sum_rows, &t);
    free(t.at);
}
