#include "core/engine/decode.h"

#include "core/work/pool.h"

#include <stdlib.h>
#include <string.h>

/* ---- cache ---- */

static size_t stride(const ts_net *n) {
    return (n->m->config.head_dim + 15) & ~(size_t)15;
}

size_t ts_cache_bytes(const ts_net *n, bool f16, size_t tokens) {
    return n->m->config.layers * n->m->config.kv_heads * 2 * tokens * stride(n) * (f16 ? 2 : 4);
}

/* Bytes of a token in one list of keys or values. */
static size_t token_bytes(const ts_net *n, const ts_cache *c) {
    return stride(n) * (c->f16 ? 2 : 4);
}

static unsigned char *cache_keys(const ts_net *n, const ts_cache *c, size_t layer, size_t kv_head) {
    return c->data + (layer * n->m->config.kv_heads + kv_head) * 2 * c->cap * token_bytes(n, c);
}

static unsigned char *cache_values(const ts_net *n, const ts_cache *c, size_t layer, size_t kv_head) {
    return cache_keys(n, c, layer, kv_head) + c->cap * token_bytes(n, c);
}

ts_status ts_cache_need(ts_cache *c, const ts_net *n, size_t tokens, ts_err *err) {
    if (c->data && c->cap >= tokens) return TS_OK;
    ts_cache bigger = {.f16 = c->f16, .cap = tokens, .len = c->len};
    size_t none = 0, lists = n->m->config.layers * n->m->config.kv_heads * 2, bytes = token_bytes(n, c);
    float *data = NULL;
    TS_TRY(ts_need_floats(&data, &none, ts_cache_bytes(n, c->f16, tokens) / sizeof *data,
                          "the keys and values of an answer: fewer new tokens, fewer prompts at once or an f16 cache",
                          err));
    bigger.data = (unsigned char *)data;
    for (size_t i = 0; i < lists && c->len > 0; i++)
        memcpy(bigger.data + i * bigger.cap * bytes, c->data + i * c->cap * bytes, c->len * bytes);
    free(c->data);
    *c = bigger;
    return TS_OK;
}

void ts_cache_release(ts_cache *c) {
    free(c->data);
    *c = (ts_cache){0};
}

/* head_dim numbers into a token's place. */
static void put_token(const ts_net *n, const ts_cache *c, unsigned char *to, const float *x) {
    size_t d = n->m->config.head_dim;
    if (!c->f16) {
        memcpy(to, x, d * sizeof *x);
        return;
    }
    for (size_t i = 0; i < d; i++) {
        uint16_t half = ts_f32_to_f16(x[i]);
        memcpy(to + 2 * i, &half, sizeof half);
    }
}

void ts_cache_store(const ts_net *n, ts_cache *c, size_t layer, const float *qkv, size_t first, size_t count,
                    size_t at) {
    const ts_config *m = &n->m->config;
    size_t bytes = token_bytes(n, c);
    for (size_t kv = 0; kv < m->kv_heads; kv++) {
        unsigned char *keys = cache_keys(n, c, layer, kv) + at * bytes,
                      *values = cache_values(n, c, layer, kv) + at * bytes;
        for (size_t i = 0; i < count; i++) {
            const float *k = qkv + (first + i) * n->qkv + n->hd + kv * m->head_dim;
            put_token(n, c, keys + i * bytes, k);
            put_token(n, c, values + i * bytes, k + n->kd);
        }
    }
}

/* ---- memory ---- */

void ts_decoder_release_bufs(ts_decoder_bufs *b) {
    free(b->block);
    *b = (ts_decoder_bufs){0};
}

static ts_status need_bufs(const ts_net *n, ts_decoder_bufs *b, size_t rows, size_t ranks, ts_err *err) {
    if (b->block && b->rows >= rows && b->ranks >= ranks) return TS_OK;
    rows = TS_MAX(rows, b->rows);
    ranks = TS_MAX(ranks, b->ranks);
    ts_decoder_release_bufs(b);
    float **parts[] = {&b->x, &b->norm, &b->qkv, &b->o, &b->gu, &b->act, &b->u, &b->logits};
    size_t widths[] = {n->h, n->h, n->qkv, n->hd, 2 * n->f, n->f, ranks, n->m->config.vocab};
    size_t floats = 0, none = 0;
    for (size_t i = 0; i < TS_COUNT(widths); i++)
        floats += (rows * widths[i] + 15) & ~(size_t)15;
    TS_TRY(ts_need_floats(&b->block, &none, floats, "generation", err));
    float *at = b->block;
    for (size_t i = 0; i < TS_COUNT(widths); i++) {
        *parts[i] = at;
        at += (rows * widths[i] + 15) & ~(size_t)15;
    }
    b->rows = rows;
    b->ranks = ranks;
    return TS_OK;
}

/* ---- linears ---- */

typedef struct step {
    ts_net *n;
    ts_decoder_bufs *b;
    const ts_decode_row *rows;
    size_t m, layer;
} step;

/* Rows [first, end) that share an adapter. */
static size_t same_adapter(const step *s, size_t first) {
    size_t end = first + 1;
    while (end < s->m && s->rows[end].adapter == s->rows[first].adapter)
        end++;
    return end;
}

typedef struct linear_job {
    const step *s;
    int group; /* -1: the head */
    const float *x;
    float *y;
    size_t in, out, piece;
    bool residual; /* y += */
} linear_job;

/* LoRA of a row on projection i of a group, or on the head; NULL: none. *column: where its u is. */
static const ts_lora *lora_of(const linear_job *j, size_t row, size_t proj, size_t *column) {
    const ts_adapter *a = j->s->rows[row].adapter;
    const ts_lora *lora = !a ? NULL : j->group < 0 ? &a->head : &a->lora[j->s->layer][proj];
    if (!lora || !lora->r) return NULL;
    *column = j->group < 0 ? 0 : ts_rank_column(a, j->s->layer, proj);
    return lora;
}

/* u = s A x for the projections of a group; task: one projection. */
static void thin_task(void *ctx, size_t i, int worker) {
    const linear_job *j = ctx;
    const step *s = j->s;
    size_t proj = j->group < 0 ? 0 : ts_groups[j->group].first + i, column = 0;
    for (size_t r = 0, end; r < s->m; r = end) {
        end = same_adapter(s, r);
        const ts_lora *lora = lora_of(j, r, proj, &column);
        if (!lora) continue;
        float *u = s->b->u + r * s->b->ranks + column;
        ts_dots d = {.type = TS_F32,
                     .w = lora->a,
                     .row_bytes = j->in * sizeof(float),
                     .rows = lora->r,
                     .k = j->in,
                     .x = j->x + r * j->in,
                     .ldx = j->in,
                     .m = end - r,
                     .y = u,
                     .ldy = s->b->ranks,
                     .scratch = ts_scratch_of(&s->n->scratch, worker)};
        ts_kernels_get()->dots(&d);
        for (size_t k = r; k < end; k++)
            ts_kernels_get()->scale(u + (k - r) * s->b->ranks, lora->r, lora->scale);
    }
}

/* A piece of the work of one task: rows [r0, r1) of a weight for items [first, end). */
typedef struct piece {
    const linear_job *j;
    const ts_weight *w;
    size_t proj, column, r0, r1;
    size_t first, end;
    float *scratch;
} piece;

/* y (+)= w x */
static void base_dots(const piece *p, float *y, size_t ldy, bool add) {
    ts_dots d = {.type = p->w->type,
                 .w = (const char *)p->w->data + p->r0 * p->w->row_bytes,
                 .row_bytes = p->w->row_bytes,
                 .rows = p->r1 - p->r0,
                 .k = p->w->cols,
                 .x = p->j->x + p->first * p->j->in,
                 .ldx = p->j->in,
                 .m = p->end - p->first,
                 .y = y,
                 .ldy = ldy,
                 .add = add,
                 .scratch = p->scratch};
    ts_kernels_get()->dots(&d);
}

/* y += B u */
static void thin_dots(const piece *p, const ts_lora *lora, size_t column, float *y, size_t ldy) {
    ts_dots thin = {.type = TS_F32,
                    .w = lora->b + p->r0 * lora->r,
                    .row_bytes = lora->r * sizeof(float),
                    .rows = p->r1 - p->r0,
                    .k = lora->r,
                    .x = p->j->s->b->u + p->first * p->j->s->b->ranks + column,
                    .ldx = p->j->s->b->ranks,
                    .m = p->end - p->first,
                    .y = y,
                    .ldy = ldy,
                    .add = true,
                    .scratch = p->scratch};
    ts_kernels_get()->dots(&thin);
}

/* The same for all items of a piece: whoever replaces a bias replaces the matrix too. */
static const float *bias_of(const piece *p) {
    const step *s = p->j->s;
    return p->j->group < 0 ? NULL : ts_adapter_norm(s->rows[p->first].adapter, s->n->m->layer[s->layer].bias[p->proj]);
}

/* Items of one DoRA adapter, one after the other through a row of scratch: y (+)= g o (w x + s B A x) + bias. */
static void dora_rows(const piece *all, const ts_lora *lora, size_t column, float *y) {
    const linear_job *j = all->j;
    size_t n = all->r1 - all->r0;
    float *row = all->scratch + j->s->n->scratch.floats - j->piece;
    const float *bias = bias_of(all);
    for (size_t i = all->first; i < all->end; i++) {
        piece one = *all;
        one.first = i;
        one.end = i + 1;
        base_dots(&one, row, n, false);
        thin_dots(&one, lora, column, row, n);
        float *to = y + i * j->out;
        for (size_t k = 0; k < n; k++) {
            float v = lora->gain[all->r0 + k] * row[k] + (bias ? bias[all->r0 + k] : 0);
            to[k] = j->residual ? to[k] + v : v;
        }
    }
}

/* y[:, column + r0..] for items [first, end), which all have DoRA here or all have not; the adapters' part added. */
static void weight_rows(const piece *p, bool dora) {
    const linear_job *j = p->j;
    float *y = j->y + p->column + p->r0;
    const float *bias = dora ? NULL : bias_of(p);
    if (!dora) base_dots(p, y + p->first * j->out, j->out, j->residual);
    for (size_t i = p->first; bias && i < p->end; i++)
        ts_kernels_get()->add(y + i * j->out, bias + p->r0, p->r1 - p->r0);
    for (size_t r = p->first; r < p->end;) {
        piece part = *p;
        size_t column = 0;
        const ts_lora *lora = lora_of(j, r, p->proj, &column);
        part.first = r;
        r = part.end = TS_MIN(same_adapter(j->s, r), p->end);
        if (dora)
            dora_rows(&part, lora, column, y);
        else if (lora)
            thin_dots(&part, lora, column, y + part.first * j->out, j->out);
    }
}

static bool has_dora(const linear_job *j, size_t row, size_t proj) {
    size_t column;
    const ts_lora *lora = lora_of(j, row, proj, &column);
    return lora && lora->mag;
}

static const ts_weight *weight_of(const linear_job *j, size_t row, size_t proj) {
    const ts_model *m = j->s->n->m;
    const ts_adapter *a = j->s->rows[row].adapter;
    return j->group < 0 ? ts_adapter_head(a, m) : ts_adapter_proj(a, m, j->s->layer, proj);
}

/* All items, in stretches that read the same weight in the same way. */
static void all_rows(const linear_job *j, size_t proj, size_t column, size_t r0, size_t r1, float *scratch) {
    for (size_t r = 0, end; r < j->s->m; r = end) {
        bool dora = has_dora(j, r, proj);
        const ts_weight *w = weight_of(j, r, proj);
        for (end = same_adapter(j->s, r); end < j->s->m; end = same_adapter(j->s, end))
            if (has_dora(j, end, proj) != dora || weight_of(j, end, proj) != w) break;
        weight_rows(&(piece){j, w, proj, column, r0, r1, r, end, scratch}, dora);
    }
    float cap = j->s->n->m->config.logit_cap;
    for (size_t i = 0; j->group < 0 && cap > 0 && i < j->s->m; i++)
        ts_kernels_get()->softcap(j->y + i * j->out + r0, r1 - r0, 1 / cap, cap);
}

static void linear_task(void *ctx, size_t i, int worker) {
    const linear_job *j = ctx;
    size_t from = i * j->piece, to = TS_MIN(from + j->piece, j->out), column = 0;
    float *scratch = ts_scratch_of(&j->s->n->scratch, worker);
    if (j->group < 0) {
        all_rows(j, 0, 0, from, to, scratch);
        return;
    }
    for (size_t k = 0; k < ts_groups[j->group].count; k++) {
        size_t proj = ts_groups[j->group].first + k;
        const ts_weight *w = &j->s->n->m->layer[j->s->layer].proj[proj];
        size_t r0 = TS_MAX(from, column), r1 = TS_MIN(to, column + w->rows);
        if (r0 < r1) all_rows(j, proj, column, r0 - column, r1 - column, scratch);
        column += w->rows;
    }
}

static size_t group_count(int group) {
    return group < 0 ? 1 : ts_groups[group].count;
}

static bool any_adapted(const linear_job *j) {
    size_t column;
    for (size_t r = 0; r < j->s->m; r = same_adapter(j->s, r))
        for (size_t i = 0; i < group_count(j->group); i++)
            if (lora_of(j, r, j->group < 0 ? 0 : ts_groups[j->group].first + i, &column)) return true;
    return false;
}

/* Outputs of a task. */
static size_t piece_rows(size_t out) {
    size_t pieces = (size_t)ts_pool_threads() * 4;
    return TS_MAX(((out + pieces - 1) / pieces + 15) & ~(size_t)15, 16);
}

static void linear(const step *s, int group, const float *x, float *y, bool residual) {
    linear_job j = {.s = s, .group = group, .x = x, .y = y, .residual = residual};
    j.in = group < 0 ? s->n->h : ts_group_in(s->n, group);
    j.out = group < 0 ? s->n->m->config.vocab : ts_group_out(s->n, group);
    if (any_adapted(&j)) ts_parallel(group_count(group), thin_task, &j);
    j.piece = piece_rows(j.out);
    ts_parallel((j.out + j.piece - 1) / j.piece, linear_task, &j);
}

/* ---- attention of one query per item ---- */

/* out = scores times the values, a panel of columns at a time. packed: room for TS_PANEL numbers a token, f16 only. */
static void mix_values(const ts_net *n, const ts_cache *cache, const unsigned char *values, const float *scores,
                       size_t group, size_t len, float *packed, float *out) {
    const ts_kernels *kn = ts_kernels_get();
    for (size_t col = 0; col < stride(n); col += TS_PANEL) {
        size_t cols = TS_MIN(stride(n) - col, (size_t)TS_PANEL);
        const float *b = (const float *)(const void *)values + col;
        if (cache->f16) kn->pack_n(TS_F16, values, token_bytes(n, cache), len, col, cols, packed);
        ts_panel p = {.m = group,
                      .n = cols,
                      .k = len,
                      .a = scores,
                      .lda = len,
                      .b = cache->f16 ? packed : b,
                      .ldb = cache->f16 ? (size_t)TS_PANEL : stride(n),
                      .c = out + col,
                      .ldc = stride(n)};
        kn->panel(&p);
    }
}

/* Floats of scratch a task of attention needs. */
static size_t attention_floats(const ts_net *n, size_t len, bool f16) {
    size_t group = n->m->config.heads / n->m->config.kv_heads;
    return group * len + 4 * n->m->config.head_dim + group * stride(n) + (f16 ? len * TS_PANEL : 0);
}

/* Task: an item and a kv head with the query heads that use it. */
static void attention_task(void *ctx, size_t i, int worker) {
    const step *s = ctx;
    const ts_net *n = s->n;
    const ts_config *c = &n->m->config;
    const ts_kernels *kn = ts_kernels_get();
    size_t row = i / c->kv_heads, kv = i % c->kv_heads, group = c->heads / c->kv_heads, d = c->head_dim;
    ts_cache *cache = s->rows[row].cache;
    const ts_layer *w = &n->m->layer[s->layer];
    size_t at = cache->len, first = w->window && at + 1 > w->window ? at + 1 - w->window : 0, len = at + 1 - first;
    float *q = s->b->qkv + row * n->qkv + kv * group * d, *k = s->b->qkv + row * n->qkv + n->hd + kv * d;
    size_t bytes = token_bytes(n, cache);
    unsigned char *keys = cache_keys(n, cache, s->layer, kv), *values = cache_values(n, cache, s->layer, kv);
    float *scores = ts_scratch_of(&n->scratch, worker), *scratch = scores + group * len;
    float *out = scratch + 4 * d, *packed = out + group * stride(n);
    ts_norm_heads(n, ts_adapter_norm(s->rows[row].adapter, w->q_norm), q, group, q);
    ts_norm_heads(n, ts_adapter_norm(s->rows[row].adapter, w->k_norm), k, 1, k);
    ts_rope_heads(n, w, q, group, at, at + 1, false);
    ts_rope_heads(n, w, k, 1, at, at + 1, false);
    put_token(n, cache, keys + at * bytes, k);
    put_token(n, cache, values + at * bytes, k + n->kd);
    ts_dots dots = {.type = cache->f16 ? TS_F16 : TS_F32,
                    .w = keys + first * bytes,
                    .row_bytes = bytes,
                    .rows = len,
                    .k = d,
                    .x = q,
                    .ldx = d,
                    .m = group,
                    .y = scores,
                    .ldy = len,
                    .scratch = scratch};
    kn->dots(&dots);
    float scale = c->attn_cap > 0 ? 1 : c->attn_scale;
    for (size_t h = 0; h < group; h++) {
        float *p = scores + h * len;
        if (c->attn_cap > 0) kn->softcap(p, len, c->attn_scale / c->attn_cap, c->attn_cap);
        kn->scale(p, len, 1 / kn->exp_sum(p, len, scale, kn->max(p, len) * scale));
    }
    mix_values(n, cache, values + first * bytes, scores, group, len, packed, out);
    for (size_t h = 0; h < group; h++)
        memcpy(s->b->o + row * n->hd + (kv * group + h) * d, out + h * stride(n), d * sizeof *out);
}

/* ---- the step ---- */

/* The norm of x into the buffer for it, each row with its own adapter's weights. */
static void norm_rows(const step *s, const float *x, const float *w) {
    for (size_t r = 0, end; r < s->m; r = end) {
        const float *own = ts_adapter_norm(s->rows[r].adapter, w);
        for (end = same_adapter(s, r); end < s->m && ts_adapter_norm(s->rows[end].adapter, w) == own;)
            end = same_adapter(s, end);
        ts_norm_rows(s->n, x + r * s->n->h, own, end - r, s->b->norm + r * s->n->h);
    }
}

/* x += W in, through the norm that the family may have there. */
static void join(const step *s, int group, const float *in, const float *norm) {
    linear(s, group, in, norm ? s->b->norm : s->b->x, !norm);
    if (!norm) return;
    norm_rows(s, s->b->norm, norm);
    for (size_t i = 0; i < s->m; i++)
        ts_kernels_get()->add(s->b->x + i * s->n->h, s->b->norm + i * s->n->h, s->n->h);
}

static ts_status prepare(const step *s, ts_err *err) {
    size_t longest = 0, ranks = 0;
    for (size_t i = 0; i < s->m; i++) {
        TS_TRY(ts_cache_need(s->rows[i].cache, s->n, s->rows[i].cache->len + 1, err));
        longest = TS_MAX(longest, s->rows[i].cache->len + 1);
        ranks = TS_MAX(ranks, ts_ranks(s->rows[i].adapter));
        if (s->rows[i].adapter) ranks = TS_MAX(ranks, s->rows[i].adapter->head.r);
    }
    TS_TRY(need_bufs(s->n, s->b, s->m, ranks, err));
    TS_TRY(ts_rope_need(s->n, longest, err));
    /* what the products need, and behind it a task's outputs of one row for DoRA */
    size_t widest = 4 * TS_MAX(TS_MAX(s->n->h, s->n->hd), s->n->f);
    widest += piece_rows(TS_MAX(TS_MAX(s->n->qkv, 2 * s->n->f), s->n->m->config.vocab));
    size_t attention = attention_floats(s->n, longest, s->rows[0].cache->f16);
    ts_scratch_need(&s->n->scratch, TS_MAX(widest, attention + attention / 2));
    return TS_OK;
}

ts_status ts_decode_step(ts_net *n, ts_decoder_bufs *b, const ts_decode_row *rows, size_t m, ts_err *err) {
    step s = {.n = n, .b = b, .rows = rows, .m = m};
    TS_TRY(prepare(&s, err));
    for (size_t i = 0; i < m; i++) {
        ts_adapter_embed_row(rows[i].adapter, n->m, (size_t)rows[i].id, b->x + i * n->h);
        if (n->m->config.embed_scale != 1) ts_kernels_get()->scale(b->x + i * n->h, n->h, n->m->config.embed_scale);
    }
    for (s.layer = 0; s.layer < n->m->config.layers; s.layer++) {
        const ts_layer *w = &n->m->layer[s.layer];
        norm_rows(&s, b->x, w->attn_norm);
        linear(&s, TS_GROUP_QKV, b->norm, b->qkv, false);
        ts_parallel(m * n->m->config.kv_heads, attention_task, &s);
        join(&s, TS_GROUP_O, b->o, w->attn_post_norm);
        norm_rows(&s, b->x, w->ffn_norm);
        linear(&s, TS_GROUP_GU, b->norm, b->gu, false);
        ts_gated_rows(n, b->gu, m, b->act);
        join(&s, TS_GROUP_DOWN, b->act, w->ffn_post_norm);
    }
    norm_rows(&s, b->x, n->m->final_norm);
    linear(&s, -1, b->norm, b->logits, false);
    for (size_t i = 0; i < m; i++)
        rows[i].cache->len++;
    return TS_OK;
}
