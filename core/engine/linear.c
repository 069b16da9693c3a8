/* The linear layers: y = x W^T + b + s (drop(x) A^T) B^T and its gradients
 *   du = s dy B      dB += s dy^T u      dA += du^T drop(x)      dx = dy W + (du A) o mask / (1 - p)
 * (PEFT's lora/layer.py). Projections that share an input run as one job. A matrix of LoRA is never multiplied out: u
 * and du have r columns, and their products ride on the tasks of the large ones as one more term. */
#include "core/engine/net_impl.h"

#include "core/base/rand.h"

const ts_group ts_groups[4] = {{TS_Q, 3}, {TS_O, 1}, {TS_GATE, 2}, {TS_DOWN, 1}};

size_t ts_group_in(const ts_net *n, int group) {
    return group == TS_GROUP_O ? n->hd : group == TS_GROUP_DOWN ? n->f : n->h;
}

size_t ts_group_out(const ts_net *n, int group) {
    return group == TS_GROUP_QKV ? n->qkv : group == TS_GROUP_GU ? 2 * n->f : n->h;
}

static const ts_lora no_lora;

static const ts_lora *lora_of(const ts_adapter *a, size_t layer, size_t proj) {
    return a && a->lora[layer][proj].r ? &a->lora[layer][proj] : &no_lora;
}

size_t ts_ranks(const ts_adapter *a) {
    size_t most = 0;
    for (size_t l = 0; a && l < a->layers; l++) {
        size_t sum = 0;
        for (size_t p = 0; p < TS_PROJS; p++)
            sum += a->lora[l][p].r;
        most = TS_MAX(most, sum);
    }
    return most;
}

size_t ts_rank_column(const ts_adapter *a, size_t layer, size_t proj) {
    size_t sum = 0;
    for (size_t p = 0; p < proj; p++)
        sum += lora_of(a, layer, p)->r;
    return sum;
}

static ts_product *add_product(ts_product *list, size_t *n, size_t rows, size_t cols, float *c, size_t ldc) {
    ts_product *p = &list[(*n)++];
    *p = (ts_product){.m = rows, .n = cols, .c = c, .ldc = ldc};
    return p;
}

static void add_term(ts_product *p, ts_term t) {
    p->terms[p->n_terms++] = t;
}

static ts_term weight_term(const float *a, size_t lda, const ts_weight *w, bool trans) {
    return (ts_term){.a = a,
                     .lda = lda,
                     .k = trans ? w->cols : w->rows,
                     .type = w->type,
                     .b = w->data,
                     .row_bytes = w->row_bytes,
                     .trans = trans};
}

static ts_term plain_term(const float *a, size_t lda, size_t k, const float *b, size_t ldb, bool trans, float scale) {
    return (ts_term){
        .a = a, .lda = lda, .k = k, .b = b, .row_bytes = ldb * sizeof(float), .trans = trans, .scale = scale};
}

/* ---- dropout: every projection drops its own elements, drawn from (seed, layer, projection, token, element) ---- */

typedef struct drop_job {
    const ts_pass *p;
    const float *x;
    float *y;
    size_t width;
    uint64_t key;
    bool add;
} drop_job;

static void drop_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const drop_job *j = ctx;
    for (size_t r = 0; r < j->p->batch->n_runs; r++) {
        const ts_run *run = &j->p->batch->runs[r];
        for (size_t i = TS_MAX(first, run->first); i < TS_MIN(end, run->first + run->n); i++)
            ts_kernels_get()->dropout(j->x + i * j->width, j->y + i * j->width, j->width,
                                      (uint32_t)ts_rand_mix(j->key, run->token + (i - run->first)), j->p->dropout.p,
                                      j->add);
    }
}

static void drop(const ts_pass *p, size_t layer, size_t proj, const float *x, float *y, size_t width, bool add) {
    uint64_t key = ts_rand_mix(p->dropout.seed, layer * TS_PROJS + proj);
    drop_job j = {p, x, y, width, key, add};
    ts_rows(p->batch->rows, 16, drop_rows, &j);
}

/* ---- forward ---- */

static void thin_forward(const ts_pass *p, size_t layer, int group, const float *x, float *u) {
    ts_product list[3] = {0};
    size_t n = 0, in = ts_group_in(p->net, group), rows = p->batch->rows;
    for (size_t i = 0; i < ts_groups[group].count; i++) {
        size_t proj = ts_groups[group].first + i;
        const ts_lora *lora = lora_of(p->adapter, layer, proj);
        if (!lora->r) continue;
        const float *from = x;
        if (p->dropout.p > 0) {
            drop(p, layer, proj, x, p->net->bufs.dropped, in, false);
            from = p->net->bufs.dropped;
        }
        ts_product *q = add_product(list, &n, rows, lora->r, u + ts_rank_column(p->adapter, layer, proj), p->ranks);
        add_term(q, plain_term(from, in, in, lora->a, in, true, 1));
        if (p->dropout.p > 0) { /* the buffer serves the next projection */
            ts_products(list, n, &p->net->scratch);
            n = 0;
        }
    }
    if (n) ts_products(list, n, &p->net->scratch);
}

void ts_group_forward(const ts_pass *p, size_t layer, int group, const float *x, float *y, float *u, const float *add) {
    const ts_layer *weights = &p->net->m->layer[layer];
    size_t n = 0, in = ts_group_in(p->net, group), ldy = ts_group_out(p->net, group), column = 0;
    ts_product list[3] = {0};
    thin_forward(p, layer, group, x, u);
    for (size_t i = 0; i < ts_groups[group].count; i++) {
        size_t proj = ts_groups[group].first + i;
        const ts_weight *w = &weights->proj[proj];
        const ts_lora *lora = lora_of(p->adapter, layer, proj);
        if (!w->rows) continue; /* part of a fused one */
        ts_product *q = add_product(list, &n, p->batch->rows, w->rows, y + column, ldy);
        q->bias = weights->bias[proj];
        q->add = add ? add + column : NULL;
        q->ldadd = ldy;
        add_term(q, weight_term(x, in, w, true));
        if (lora->r)
            add_term(q, plain_term(u + ts_rank_column(p->adapter, layer, proj), p->ranks, lora->r, lora->b, lora->r,
                                   true, lora->scale));
        column += w->rows;
    }
    ts_products(list, n, &p->net->scratch);
}

/* ---- backward ---- */

static void thin_backward(const ts_pass *p, size_t layer, int group, const float *dy, float *du) {
    ts_product list[3] = {0};
    size_t n = 0, ldy = ts_group_out(p->net, group), column = 0;
    for (size_t i = 0; i < ts_groups[group].count; i++) {
        size_t proj = ts_groups[group].first + i, out = p->net->m->layer[layer].proj[proj].rows;
        const ts_lora *lora = lora_of(p->adapter, layer, proj);
        if (lora->r) {
            size_t at = ts_rank_column(p->adapter, layer, proj);
            ts_product *q = add_product(list, &n, p->batch->rows, lora->r, du + at, p->ranks);
            add_term(q, plain_term(dy + column, ldy, out, lora->b, lora->r, false, lora->scale));
        }
        column += out;
    }
    if (n) ts_products(list, n, &p->net->scratch);
}

static void grad_products(const ts_pass *p, size_t layer, size_t proj, const float *dy, size_t ldy, const float *x,
                          size_t in, const float *u, const float *du, ts_product *list, size_t *n) {
    const ts_lora *lora = lora_of(p->adapter, layer, proj);
    ts_lora *grad = &p->grad->lora[layer][proj];
    size_t out = p->net->m->layer[layer].proj[proj].rows, rows = p->batch->rows;
    size_t at = ts_rank_column(p->adapter, layer, proj);
    ts_product *q = add_product(list, n, lora->r, in, grad->a, in);
    q->add = grad->a;
    q->ldadd = in;
    add_term(q, plain_term(du + at, p->ranks, rows, x, in, false, 1));
    q->terms[0].a_trans = true;
    q = add_product(list, n, out, lora->r, grad->b, lora->r);
    q->add = grad->b;
    q->ldadd = lora->r;
    add_term(q, plain_term(dy, ldy, rows, u + at, p->ranks, false, lora->scale));
    q->terms[0].a_trans = true;
}

/* dx += (du A) o mask / (1 - p), through one buffer. */
static void dropped_dx(const ts_pass *p, size_t layer, size_t proj, const float *du, size_t in, float *dx) {
    const ts_lora *lora = lora_of(p->adapter, layer, proj);
    float *buffer = p->net->bufs.dropped;
    ts_product q = {.m = p->batch->rows, .n = in, .c = buffer, .ldc = in};
    add_term(&q, plain_term(du + ts_rank_column(p->adapter, layer, proj), p->ranks, lora->r, lora->a, in, false, 1));
    ts_products(&q, 1, &p->net->scratch);
    drop(p, layer, proj, buffer, dx, in, true);
}

void ts_group_backward(const ts_pass *p, size_t layer, int group, const float *dy, const float *x, const float *u,
                       float *dx) {
    const ts_group *g = &ts_groups[group];
    size_t n = 0, in = ts_group_in(p->net, group), ldy = ts_group_out(p->net, group), column = 0;
    float *du = p->net->bufs.du;
    bool dropping = p->dropout.p > 0;
    ts_product list[8] = {0}, *sum = NULL;
    thin_backward(p, layer, group, dy, du);
    if (dx) sum = add_product(list, &n, p->batch->rows, in, dx, in);
    for (size_t i = 0; i < g->count; i++) {
        size_t proj = g->first + i;
        const ts_weight *w = &p->net->m->layer[layer].proj[proj];
        const ts_lora *lora = lora_of(p->adapter, layer, proj);
        if (dx && w->rows) add_term(sum, weight_term(dy + column, ldy, w, false));
        if (dx && lora->r && !dropping)
            add_term(sum, plain_term(du + ts_rank_column(p->adapter, layer, proj), p->ranks, lora->r, lora->a, in,
                                     false, 1));
        if (lora->r && !dropping) grad_products(p, layer, proj, dy + column, ldy, x, in, u, du, list, &n);
        column += w->rows;
    }
    if (n) ts_products(list, n, &p->net->scratch);
    column = 0;
    for (size_t i = 0; dropping && i < g->count; column += p->net->m->layer[layer].proj[g->first + i].rows, i++) {
        size_t proj = g->first + i;
        if (!lora_of(p->adapter, layer, proj)->r) continue;
        n = 0;
        drop(p, layer, proj, x, p->net->bufs.dropped, in, false);
        grad_products(p, layer, proj, dy + column, ldy, p->net->bufs.dropped, in, u, du, list, &n);
        ts_products(list, n, &p->net->scratch);
        if (dx) dropped_dx(p, layer, proj, du, in, dx);
    }
}
