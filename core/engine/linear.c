/* The linear layers: y = x W^T + b + s (drop(x) A^T) B^T and its gradients
 *   du = s dy B      dB += s dy^T u      dA += du^T drop(x)      dx = dy W + (du A) o mask / (1 - p)
 * (PEFT's lora/layer.py). Projections that share an input run as one job. A matrix of LoRA is never multiplied out: u
 * and du have r columns, and their products ride on the tasks of the large ones as one more term.
 *
 * DoRA (PEFT's lora/dora.py), V = W + s B A, g = mag / n:
 *   y = (x - drop(x)) W^T + b + g o (drop(x) V^T), without dropout y = g o (x V^T) + b
 *   dmag_i += sum over rows of dy_i (drop(x) V^T)_i / n_i      A and B as above with dy' = g o dy
 *   dx = dy W + ((dy' - dy) W + du A) o mask / (1 - p), without dropout dx = dy' V
 * A batch whose rows have several adapters, or DoRA, is calculated in steps: the weights once over all rows, then each
 * adapter's part on its rows. The steps add in the order in which the single job does, so the bits are the same. */
#include "core/engine/net_impl.h"

#include "core/base/rand.h"

#include <string.h>

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

/* The matrix of a projection under an adapter, and its bias. */
static const ts_weight *weight_of(const ts_pass *p, const ts_adapter *a, size_t layer, size_t proj) {
    return ts_adapter_proj(a, p->net->m, layer, proj);
}

static const float *bias_of(const ts_pass *p, const ts_adapter *a, size_t layer, size_t proj) {
    return ts_adapter_norm(a, p->net->m->layer[layer].bias[proj]);
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

/* u of the rows of a span. */
static void thin_forward(const ts_pass *p, const ts_stretch *span, size_t layer, int group, const float *x, float *u) {
    ts_product list[3] = {0};
    size_t n = 0, in = ts_group_in(p->net, group), rows = span->end - span->first;
    x += span->first * in;
    u += span->first * p->ranks;
    for (size_t i = 0; i < ts_groups[group].count; i++) {
        size_t proj = ts_groups[group].first + i;
        const ts_lora *lora = lora_of(span->adapter, layer, proj);
        if (!lora->r) continue;
        const float *from = x;
        if (p->dropout.p > 0) {
            drop(p, layer, proj, x, p->net->bufs.dropped, in, false);
            from = p->net->bufs.dropped;
        }
        ts_product *q = add_product(list, &n, rows, lora->r, u + ts_rank_column(span->adapter, layer, proj), p->ranks);
        add_term(q, plain_term(from, in, in, lora->a, in, true, 1));
        if (p->dropout.p > 0) { /* the buffer serves the next projection */
            ts_products(list, n, &p->net->scratch);
            n = 0;
        }
    }
    if (n) ts_products(list, n, &p->net->scratch);
}

static bool any_dora(const ts_adapter *a, size_t layer, int group) {
    for (size_t i = 0; i < ts_groups[group].count; i++)
        if (lora_of(a, layer, ts_groups[group].first + i)->mag) return true;
    return false;
}

/* What the steps of a mixed batch share: the rows of a span and the columns of a projection. */
typedef struct part {
    const ts_pass *p;
    const ts_lora *lora;
    const float *bias, *add;
    float *y;
    size_t first, width, ld; /* first row; width columns of rows of ld floats */
} part;

/* Before the product: DoRA's rows start at zero, because all of the product is scaled; others as they always do. */
static void start_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const part *j = ctx;
    for (size_t i = j->first + first; i < j->first + end; i++) {
        float *y = j->y + i * j->ld;
        if (j->lora->mag || !j->add)
            memset(y, 0, j->width * sizeof *y);
        else
            memcpy(y, j->add + i * j->ld, j->width * sizeof *y);
        if (j->bias && !j->lora->mag) ts_kernels_get()->add(y, j->bias, j->width);
    }
}

/* After it: y = g o y + bias + add. */
static void dora_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const part *j = ctx;
    for (size_t i = j->first + first; i < j->first + end; i++) {
        float *y = j->y + i * j->ld;
        for (size_t k = 0; k < j->width; k++)
            y[k] *= j->lora->gain[k];
        if (j->bias) ts_kernels_get()->add(y, j->bias, j->width);
        if (j->add) ts_kernels_get()->add(y, j->add + i * j->ld, j->width);
    }
}

/* fn over the rows of every span, a projection at a time. */
static void each_part(const ts_pass *p, size_t layer, int group, float *y, const float *add, bool dora_only,
                      void (*fn)(void *, size_t, size_t, int)) {
    size_t column = 0;
    for (size_t i = 0; i < ts_groups[group].count; i++) {
        size_t proj = ts_groups[group].first + i, width = p->net->m->layer[layer].proj[proj].rows;
        for (size_t k = 0; k < p->batch->n_spans; k++) {
            const ts_stretch *s = &p->batch->spans[k];
            part j = {.p = p, .lora = lora_of(s->adapter, layer, proj), .bias = bias_of(p, s->adapter, layer, proj)};
            j.add = add ? add + column : NULL;
            j.y = y + column;
            j.first = s->first;
            j.width = width;
            j.ld = ts_group_out(p->net, group);
            if (!dora_only || j.lora->mag) ts_rows(s->end - s->first, 16, fn, &j);
        }
        column += width;
    }
}

/* y += s u B^T on the rows of one span. */
static void thin_outputs(const ts_pass *p, const ts_stretch *s, size_t layer, int group, float *y, const float *u) {
    size_t n = 0, ldy = ts_group_out(p->net, group), column = 0;
    ts_product list[3] = {0};
    for (size_t i = 0; i < ts_groups[group].count; i++) {
        size_t proj = ts_groups[group].first + i;
        const ts_lora *lora = lora_of(s->adapter, layer, proj);
        if (lora->r) {
            ts_product *q = add_product(list, &n, s->end - s->first, lora->out, y + s->first * ldy + column, ldy);
            q->add = q->c;
            q->ldadd = ldy;
            add_term(q, plain_term(u + s->first * p->ranks + ts_rank_column(s->adapter, layer, proj), p->ranks, lora->r,
                                   lora->b, lora->r, true, lora->scale));
        }
        column += p->net->m->layer[layer].proj[proj].rows;
    }
    if (n) ts_products(list, n, &p->net->scratch);
}

/* Spans from k on whose adapters leave the matrices of a group the same ones; the index behind them. */
static size_t same_weights(const ts_pass *p, size_t layer, int group, size_t k) {
    const ts_stretch *spans = p->batch->spans;
    size_t end = k + 1;
    for (bool same = true; end < p->batch->n_spans; end++) {
        for (size_t i = 0; i < ts_groups[group].count; i++) {
            size_t proj = ts_groups[group].first + i;
            same = same && weight_of(p, spans[k].adapter, layer, proj) == weight_of(p, spans[end].adapter, layer, proj);
        }
        if (!same) break;
    }
    return end;
}

/* y (+)= x W^T for the projections of a group. */
static void base_outputs(const ts_pass *p, size_t layer, int group, const float *x, float *y, bool accumulate) {
    size_t in = ts_group_in(p->net, group), ldy = ts_group_out(p->net, group);
    for (size_t k = 0, end; k < p->batch->n_spans; k = end) {
        end = same_weights(p, layer, group, k);
        size_t first = p->batch->spans[k].first, rows = p->batch->spans[end - 1].end - first, n = 0, column = 0;
        ts_product list[3] = {0};
        for (size_t i = 0; i < ts_groups[group].count; i++) {
            const ts_weight *w = weight_of(p, p->batch->spans[k].adapter, layer, ts_groups[group].first + i);
            ts_product *q = add_product(list, &n, rows, w->rows, y + first * ldy + column, ldy);
            q->add = accumulate ? q->c : NULL;
            q->ldadd = ldy;
            add_term(q, weight_term(x + first * in, in, w, true));
            column += w->rows;
        }
        ts_products(list, n, &p->net->scratch);
    }
}

static void mixed_forward(const ts_pass *p, size_t layer, int group, const float *x, float *y, float *u,
                          const float *add) {
    bool start = add != NULL;
    for (size_t i = 0; i < ts_groups[group].count; i++)
        start = start || p->net->m->layer[layer].bias[ts_groups[group].first + i];
    for (size_t k = 0; k < p->batch->n_spans; k++)
        thin_forward(p, &p->batch->spans[k], layer, group, x, u);
    if (start) each_part(p, layer, group, y, add, false, start_rows);
    base_outputs(p, layer, group, x, y, start);
    for (size_t k = 0; k < p->batch->n_spans; k++)
        thin_outputs(p, &p->batch->spans[k], layer, group, y, u);
    each_part(p, layer, group, y, add, true, dora_rows);
}

/* c = drop(x) V^T of one projection, from the dropped input and its u. */
static void changed_product(const ts_pass *p, size_t layer, size_t proj, const float *x, size_t in, const float *u,
                            float *c, size_t ldc) {
    const ts_lora *lora = lora_of(p->adapter, layer, proj);
    const ts_weight *w = weight_of(p, p->adapter, layer, proj);
    ts_product q = {.m = p->batch->rows, .n = w->rows, .c = c, .ldc = ldc};
    add_term(&q, weight_term(x, in, w, true));
    if (lora->r)
        add_term(&q, plain_term(u + ts_rank_column(p->adapter, layer, proj), p->ranks, lora->r, lora->b, lora->r, true,
                                lora->scale));
    ts_products(&q, 1, &p->net->scratch);
}

typedef struct blend {
    const float *x, *gain;
    float *y;
    size_t width, ldx, ldy;
} blend;

/* y += g o x */
static void add_scaled_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const blend *j = ctx;
    for (size_t i = first; i < end; i++)
        for (size_t k = 0; k < j->width; k++)
            j->y[i * j->ldy + k] += j->gain[k] * j->x[i * j->ldx + k];
}

/* y = x - y */
static void rest_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const blend *j = ctx;
    for (size_t i = first; i < end; i++)
        for (size_t k = 0; k < j->width; k++)
            j->y[i * j->ldy + k] = j->x[i * j->ldx + k] - j->y[i * j->ldy + k];
}

/* DoRA in training with dropout, a projection at a time. */
static void dropped_dora_forward(const ts_pass *p, size_t layer, int group, const float *x, float *y, float *u,
                                 const float *add) {
    size_t in = ts_group_in(p->net, group), ldy = ts_group_out(p->net, group), column = 0, rows = p->batch->rows;
    float *dropped = p->net->bufs.dropped, *changed = p->net->dora;
    thin_forward(p, &p->batch->spans[0], layer, group, x, u);
    for (size_t i = 0; i < ts_groups[group].count; i++) {
        size_t proj = ts_groups[group].first + i;
        const ts_weight *w = weight_of(p, p->adapter, layer, proj);
        const ts_lora *lora = lora_of(p->adapter, layer, proj);
        const float *from = x;
        if (lora->mag) {
            drop(p, layer, proj, x, dropped, in, false);
            changed_product(p, layer, proj, dropped, in, u, changed + column, ldy);
            ts_rows(rows, 16, rest_rows, &(blend){.x = x, .y = dropped, .width = in, .ldx = in, .ldy = in});
            from = dropped;
        }
        ts_product q = {.m = rows, .n = w->rows, .c = y + column, .ldc = ldy, .ldadd = ldy};
        q.bias = bias_of(p, p->adapter, layer, proj);
        q.add = add ? add + column : NULL;
        add_term(&q, weight_term(from, in, w, true));
        if (lora->r && !lora->mag)
            add_term(&q, plain_term(u + ts_rank_column(p->adapter, layer, proj), p->ranks, lora->r, lora->b, lora->r,
                                    true, lora->scale));
        ts_products(&q, 1, &p->net->scratch);
        if (lora->mag) {
            blend j = {.x = changed + column, .gain = lora->gain, .y = y + column, .width = w->rows};
            j.ldx = j.ldy = ldy;
            ts_rows(rows, 16, add_scaled_rows, &j);
        }
        column += w->rows;
    }
}

void ts_group_forward(const ts_pass *p, size_t layer, int group, const float *x, float *y, float *u, const float *add) {
    size_t n = 0, in = ts_group_in(p->net, group), ldy = ts_group_out(p->net, group), column = 0;
    ts_product list[3] = {0};
    bool dora = any_dora(p->adapter, layer, group);
    if (p->batch->n_spans > 1 || dora) {
        (dora && p->dropout.p > 0 ? dropped_dora_forward : mixed_forward)(p, layer, group, x, y, u, add);
        return;
    }
    thin_forward(p, &p->batch->spans[0], layer, group, x, u);
    for (size_t i = 0; i < ts_groups[group].count; i++) {
        size_t proj = ts_groups[group].first + i;
        const ts_weight *w = weight_of(p, p->adapter, layer, proj);
        const ts_lora *lora = lora_of(p->adapter, layer, proj);
        if (!w->rows) continue; /* part of a fused one */
        ts_product *q = add_product(list, &n, p->batch->rows, w->rows, y + column, ldy);
        q->bias = bias_of(p, p->adapter, layer, proj);
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

/* ---- the head ---- */

ts_status ts_head_forward(const ts_pass *p, const ts_adapter *a, const float *x, size_t rows, float *logits, size_t ld,
                          ts_err *err) {
    ts_net *n = p->net;
    const ts_weight *w = ts_adapter_head(a, n->m);
    const ts_lora *lora = a ? &a->head : &no_lora;
    ts_product q = {.m = rows, .n = w->rows, .c = logits, .ldc = ld};
    add_term(&q, weight_term(x, n->h, w, true));
    if (lora->r) {
        TS_TRY(ts_need_floats(&n->head_u, &n->head_u_floats, rows * lora->r, "the adapter's head", err));
        ts_product thin = {.m = rows, .n = lora->r, .c = n->head_u, .ldc = lora->r};
        add_term(&thin, plain_term(x, n->h, n->h, lora->a, n->h, true, 1));
        ts_products(&thin, 1, &n->scratch);
        add_term(&q, plain_term(n->head_u, lora->r, lora->r, lora->b, lora->r, true, lora->scale));
    }
    ts_products(&q, 1, &n->scratch);
    if (!lora->mag) return TS_OK;
    part j = {.p = p, .lora = lora, .y = logits, .width = w->rows, .ld = ld};
    ts_rows(rows, 4, dora_rows, &j);
    return TS_OK;
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

/* Of a projection that is trained whole: dW += dy^T x, and of its bias. */
static void whole_products(const ts_pass *p, size_t layer, size_t proj, const float *dy, size_t ldy, const float *x,
                           size_t in, ts_product *list, size_t *n) {
    const ts_layer *own = &p->net->m->layer[layer];
    float *grad = ts_adapter_values(p->grad, &own->proj[proj]), *bias = ts_adapter_values(p->grad, own->bias[proj]);
    size_t rows = p->batch->rows, out = own->proj[proj].rows;
    if (bias) ts_column_sums(dy, ldy, rows, out, bias);
    if (!grad) return;
    ts_product *q = add_product(list, n, out, in, grad, in);
    q->add = grad;
    q->ldadd = in;
    add_term(q, plain_term(dy, ldy, rows, x, in, false, 1));
    q->terms[0].a_trans = true;
}

/* dx += (du A) o mask / (1 - p), through one buffer; with DoRA's more = dy' - dy also (more W) o mask / (1 - p). */
static void dropped_dx(const ts_pass *p, size_t layer, size_t proj, const float *du, const float *more, size_t ldmore,
                       size_t in, float *dx) {
    const ts_lora *lora = lora_of(p->adapter, layer, proj);
    float *buffer = p->net->bufs.dropped;
    ts_product q = {.m = p->batch->rows, .n = in, .c = buffer, .ldc = in};
    if (more) add_term(&q, weight_term(more, ldmore, weight_of(p, p->adapter, layer, proj), false));
    add_term(&q, plain_term(du + ts_rank_column(p->adapter, layer, proj), p->ranks, lora->r, lora->a, in, false, 1));
    ts_products(&q, 1, &p->net->scratch);
    drop(p, layer, proj, buffer, dx, in, true);
}

typedef struct mag_job {
    const ts_lora *lora;
    const float *dy, *v;
    float *grad;
    size_t rows, ld;
} mag_job;

/* Columns [first, end) of dmag. */
static void mag_columns(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const mag_job *j = ctx;
    for (size_t k = first; k < end; k++) {
        double sum = 0;
        for (size_t i = 0; i < j->rows; i++)
            sum += (double)j->dy[i * j->ld + k] * (double)j->v[i * j->ld + k];
        j->grad[k] += (float)(sum * (double)j->lora->inverse[k]);
    }
}

/* y = g o x */
static void scaled_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const blend *j = ctx;
    for (size_t i = first; i < end; i++)
        for (size_t k = 0; k < j->width; k++)
            j->y[i * j->ldy + k] = j->gain ? j->gain[k] * j->x[i * j->ldx + k] : j->x[i * j->ldx + k];
}

/* y -= x */
static void minus_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const blend *j = ctx;
    for (size_t i = first; i < end; i++)
        for (size_t k = 0; k < j->width; k++)
            j->y[i * j->ldy + k] -= j->x[i * j->ldx + k];
}

/* The magnitudes' gradients; dy' of the group (of plain projections dy itself) in a buffer laid out as dy is. */
static const float *dora_backward(const ts_pass *p, size_t layer, int group, const float *dy, const float *x,
                                  const float *u) {
    size_t in = ts_group_in(p->net, group), ld = ts_group_out(p->net, group), column = 0, rows = p->batch->rows;
    float *buffer = p->net->dora;
    for (size_t i = 0; i < ts_groups[group].count; i++) {
        size_t proj = ts_groups[group].first + i, width = p->net->m->layer[layer].proj[proj].rows;
        const ts_lora *lora = lora_of(p->adapter, layer, proj);
        if (lora->mag) {
            const float *from = x;
            if (p->dropout.p > 0) drop(p, layer, proj, x, p->net->bufs.dropped, in, false);
            if (p->dropout.p > 0) from = p->net->bufs.dropped;
            changed_product(p, layer, proj, from, in, u, buffer + column, ld);
            mag_job j = {lora, dy + column, buffer + column, p->grad->lora[layer][proj].mag, rows, ld};
            ts_rows(width, 64, mag_columns, &j);
        }
        blend j = {.x = dy + column, .gain = lora->gain, .y = buffer + column, .width = width, .ldx = ld, .ldy = ld};
        ts_rows(rows, 16, scaled_rows, &j);
        column += width;
    }
    return buffer;
}

void ts_group_backward(const ts_pass *p, size_t layer, int group, const float *dy, const float *x, const float *u,
                       float *dx) {
    const ts_group *g = &ts_groups[group];
    size_t n = 0, in = ts_group_in(p->net, group), ldy = ts_group_out(p->net, group), column = 0;
    float *du = p->net->bufs.du;
    bool dropping = p->dropout.p > 0;
    ts_product list[8] = {0}, *sum = NULL;
    const float *dy_of_dx = dy; /* with dropout the rest of DoRA's dx goes through the masks, below */
    bool dora = any_dora(p->adapter, layer, group);
    if (dora) dy = dora_backward(p, layer, group, dy, x, u);
    if (!dropping) dy_of_dx = dy;
    thin_backward(p, layer, group, dy, du);
    if (dx) sum = add_product(list, &n, p->batch->rows, in, dx, in);
    for (size_t i = 0; i < g->count; i++) {
        size_t proj = g->first + i;
        const ts_weight *w = weight_of(p, p->adapter, layer, proj);
        const ts_lora *lora = lora_of(p->adapter, layer, proj);
        if (dx && w->rows) add_term(sum, weight_term(dy_of_dx + column, ldy, w, false));
        if (dx && lora->r && !dropping)
            add_term(sum, plain_term(du + ts_rank_column(p->adapter, layer, proj), p->ranks, lora->r, lora->a, in,
                                     false, 1));
        if (lora->r && !dropping) grad_products(p, layer, proj, dy + column, ldy, x, in, u, du, list, &n);
        if (w->rows) whole_products(p, layer, proj, dy + column, ldy, x, in, list, &n);
        if (p->fisher) ts_fisher_add(p, layer, proj, dy + column, ldy, x);
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
        if (!dx) continue;
        float *more = lora_of(p->adapter, layer, proj)->mag ? p->net->dora + column : NULL; /* dy' becomes dy' - dy */
        blend j = {.x = dy_of_dx + column, .y = more, .width = p->net->m->layer[layer].proj[proj].rows};
        j.ldx = j.ldy = ldy;
        if (more) ts_rows(p->batch->rows, 16, minus_rows, &j);
        dropped_dx(p, layer, proj, du, more, ldy, in, dx);
    }
}
