#include "core/engine/net_impl.h"

#include <math.h>
#include <string.h>

/* ---- sums over rows: a task has some columns and takes the rows in order, so the bits do not depend on threads ----
 */

enum { COLUMNS = 64 };

typedef struct sum_job {
    ts_norm_rows_of of;
    const float *scale; /* of each vector; NULL: plain sums of dy */
    float *grad;
} sum_job;

static void sum_columns(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const sum_job *j = ctx;
    const ts_norm_rows_of *of = &j->of;
    double sum[COLUMNS] = {0};
    for (size_t i = 0; i < of->count; i++) {
        size_t row = i / of->heads, head = i % of->heads * of->n;
        const float *dy = of->dy + row * of->ldy + head;
        if (!j->scale) {
            for (size_t k = first; k < end; k++)
                sum[k - first] += (double)dy[k];
            continue;
        }
        const float *x = of->x + (of->targets ? of->targets[row].row : row) * of->ldx + head;
        for (size_t k = first; k < end; k++)
            sum[k - first] += (double)(dy[k] * x[k] * j->scale[i]);
    }
    for (size_t k = first; k < end; k++)
        j->grad[k] += (float)sum[k - first];
}

void ts_column_sums(const float *dy, size_t ld, size_t rows, size_t n, float *grad) {
    sum_job j = {.of = {.dy = dy, .ldy = ld, .count = rows, .heads = 1, .n = n}, .grad = grad};
    ts_rows(n, COLUMNS, sum_columns, &j);
}

typedef struct scale_job {
    ts_norm_rows_of of;
    float eps, *scale;
} scale_job;

static void scale_vectors(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const scale_job *j = ctx;
    for (size_t i = first; i < end; i++) {
        size_t row = i / j->of.heads;
        const float *x =
            j->of.x + (j->of.targets ? j->of.targets[row].row : row) * j->of.ldx + i % j->of.heads * j->of.n;
        double square = (double)ts_kernels_get()->dot(x, x, j->of.n);
        j->scale[i] = (float)(1 / sqrt(square / (double)j->of.n + (double)j->eps));
    }
}

ts_status ts_norm_gradient(ts_net *n, const ts_norm_rows_of *of, float *grad, ts_err *err) {
    if (!grad) return TS_OK;
    TS_TRY(ts_need_floats(&n->norm_scale, &n->norm_scale_floats, of->count, "the norms' gradients", err));
    scale_job s = {*of, n->m->config.rms_eps, n->norm_scale};
    ts_rows(of->count, 64, scale_vectors, &s);
    sum_job j = {*of, n->norm_scale, grad};
    ts_rows(of->n, COLUMNS, sum_columns, &j);
    return TS_OK;
}

/* ---- norms ---- */

typedef struct back_ctx {
    const ts_pass *p;
    const ts_layer *layer;
    const float *x, *w, *dy;
    float *dx, *gu;
} back_ctx;

static void norm_back_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const back_ctx *c = ctx;
    size_t h = c->p->net->h;
    for (size_t i = first; i < end; i++)
        ts_kernels_get()->rmsnorm_back(c->x + i * h, c->w, c->dy + i * h, h, c->p->net->m->config.rms_eps,
                                       c->dx + i * h);
}

static ts_status norm_gradient(const ts_pass *p, const float *x, const float *own, const float *dy, ts_err *err) {
    size_t h = p->net->h;
    ts_norm_rows_of of = {.x = x, .dy = dy, .ldx = h, .ldy = h, .count = p->batch->rows, .heads = 1, .n = h};
    return ts_norm_gradient(p->net, &of, ts_adapter_values(p->grad, own), err);
}

/* From dy the gradient of the norm's factors and, unless dx is NULL, dx += that of x. */
static ts_status norm_back(const ts_pass *p, const float *x, const float *own, const float *dy, float *dx,
                           ts_err *err) {
    back_ctx c = {.p = p, .x = x, .w = ts_adapter_norm(p->adapter, own), .dy = dy, .dx = dx};
    if (dx) ts_rows(p->batch->rows, 16, norm_back_rows, &c);
    return norm_gradient(p, x, own, dy, err);
}

/* The gradient of a norm behind attention or MLP: dx alone, the residual has its own. */
static void post_norm_back_rows(void *ctx, size_t first, size_t end, int worker) {
    const back_ctx *c = ctx;
    size_t h = c->p->net->h;
    memset(c->dx + first * h, 0, (end - first) * h * sizeof *c->dx);
    norm_back_rows(ctx, first, end, worker);
}

/* The gradient of what a group gave, from that of the residual: through its norm if it has one. */
static ts_status leave(const ts_pass *p, const float *raw, const float *own, const float **dy, ts_err *err) {
    ts_net_bufs *b = &p->net->bufs;
    back_ctx c = {.p = p, .x = raw, .w = ts_adapter_norm(p->adapter, own), .dy = b->dres, .dx = b->dpost};
    *dy = own ? b->dpost : b->dres;
    if (!own) return TS_OK;
    ts_rows(p->batch->rows, 16, post_norm_back_rows, &c);
    return norm_gradient(p, raw, own, b->dres, err);
}

static void gated_back_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const back_ctx *c = ctx;
    const ts_kernels *kn = ts_kernels_get();
    size_t f = c->p->net->f;
    for (size_t i = first; i < end; i++)
        (c->p->net->m->config.act == TS_ACT_GELU ? kn->geglu_back : kn->swiglu_back)(
            c->gu + i * 2 * f, c->gu + i * 2 * f + f, c->dy + i * f, f);
}

/* In place: dx holds the gradient of the normed heads, then that of the raw ones x. */
static void norm_heads_back(const ts_net *n, const float *w, const float *x, size_t heads, float *dx) {
    size_t d = n->m->config.head_dim;
    float dy[TS_MAX_HEAD_DIM];
    for (size_t h = 0; w && h < heads; h++) {
        memcpy(dy, dx + h * d, d * sizeof *dy);
        memset(dx + h * d, 0, d * sizeof *dx);
        ts_kernels_get()->rmsnorm_back(x + h * d, w, dy, d, n->m->config.rms_eps, dx + h * d);
    }
}

/* Positions turned back. */
static void place_back_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const back_ctx *c = ctx;
    const ts_net *n = c->p->net;
    const ts_config *m = &n->m->config;
    for (size_t r = 0; r < c->p->batch->n_runs; r++) {
        const ts_run *run = &c->p->batch->runs[r];
        for (size_t i = TS_MAX(first, run->first); i < TS_MIN(end, run->first + run->n); i++)
            ts_rope_heads(n, c->layer, c->dx + i * n->qkv, m->heads + m->kv_heads, run->before + i - run->first,
                          run->length, true);
    }
}

static void heads_back_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const back_ctx *c = ctx;
    const ts_net *n = c->p->net;
    const ts_config *m = &n->m->config;
    const float *q = ts_adapter_norm(c->p->adapter, c->layer->q_norm),
                *k = ts_adapter_norm(c->p->adapter, c->layer->k_norm);
    for (size_t i = first; i < end; i++) {
        const float *raw = c->x + i * (n->hd + n->kd);
        norm_heads_back(n, q, raw, m->heads, c->dx + i * n->qkv);
        norm_heads_back(n, k, raw + n->hd, m->kv_heads, c->dx + i * n->qkv + n->hd);
    }
}

/* dqkv: the gradient of q and k as attention takes them in, of what the projections gave out. */
static ts_status heads_back(const ts_pass *p, const ts_layer *w, const float *raw, ts_err *err) {
    ts_net *n = p->net;
    const ts_config *m = &n->m->config;
    float *dqkv = n->bufs.dqkv;
    back_ctx c = {.p = p, .layer = w, .x = raw, .dx = dqkv};
    if (w->rope >= 0) ts_rows(p->batch->rows, 16, place_back_rows, &c);
    if (!n->qk_norms) return TS_OK;
    ts_norm_rows_of q = {.x = raw, .dy = dqkv, .ldx = n->hd + n->kd, .ldy = n->qkv, .n = m->head_dim}, k = q;
    q.heads = m->heads;
    q.count = p->batch->rows * m->heads;
    k.x += n->hd;
    k.dy += n->hd;
    k.heads = m->kv_heads;
    k.count = p->batch->rows * m->kv_heads;
    TS_TRY(ts_norm_gradient(n, &q, ts_adapter_values(p->grad, w->q_norm), err));
    TS_TRY(ts_norm_gradient(n, &k, ts_adapter_values(p->grad, w->k_norm), err));
    ts_rows(p->batch->rows, 16, heads_back_rows, &c);
    return TS_OK;
}

/* ---- the layers ---- */

static bool trains(const ts_pass *p, const void *own) {
    return ts_adapter_values(p->grad, own) != NULL;
}

/* Does a step of the layer have parameters that are trained: its projections, what they add, the norms behind them? */
static bool adapted(const ts_pass *p, size_t layer, int group) {
    const ts_layer *w = &p->net->m->layer[layer];
    for (size_t i = 0; i < ts_groups[group].count; i++) {
        size_t proj = ts_groups[group].first + i;
        if (p->adapter->lora[layer][proj].r || trains(p, &w->proj[proj]) || trains(p, w->bias[proj])) return true;
    }
    if (group == TS_GROUP_QKV) return trains(p, w->q_norm) || trains(p, w->k_norm);
    return (group == TS_GROUP_O && trains(p, w->attn_post_norm)) ||
           (group == TS_GROUP_DOWN && trains(p, w->ffn_post_norm));
}

/* The four steps of a layer from the top: down, gate and up, o, then q, k, v. A step is needed if anything at it or
 * below it has parameters; `below` says that a lower layer has. */
static bool needed(const ts_pass *p, size_t layer, int group, bool below) {
    const ts_layer *w = &p->net->m->layer[layer];
    below = below || trains(p, w->attn_norm) || (group >= TS_GROUP_GU && trains(p, w->ffn_norm));
    for (int g = 0; g <= group && !below; g++)
        below = adapted(p, layer, g);
    return below;
}

/* dres: the gradient of the layer's output in, of its middle out. */
static ts_status mlp_backward(const ts_pass *p, size_t l, bool below, ts_err *err) {
    ts_net *n = p->net;
    ts_net_bufs *b = &n->bufs;
    ts_acts *a = &b->layer[l];
    const ts_layer *w = &n->m->layer[l];
    const float *dy;
    bool gate = needed(p, l, TS_GROUP_GU, below), rest = needed(p, l, TS_GROUP_O, below);
    TS_TRY(leave(p, a->mlp_out, w->ffn_post_norm, &dy, err));
    ts_gated_rows(n, a->gu, p->batch->rows, b->act);
    ts_group_backward(p, l, TS_GROUP_DOWN, dy, b->act, a->u, gate ? b->wide : NULL);
    if (!gate) return TS_OK;
    back_ctx c = {.p = p, .gu = a->gu, .dy = b->wide};
    ts_rows(p->batch->rows, 16, gated_back_rows, &c); /* gate and up become their gradients */
    ts_norm_rows(n, a->mid, ts_adapter_norm(p->adapter, w->ffn_norm), p->batch->rows, b->norm);
    bool norm = rest || trains(p, w->ffn_norm);
    ts_group_backward(p, l, TS_GROUP_GU, a->gu, b->norm, a->u, norm ? b->dhid : NULL);
    return norm ? norm_back(p, a->mid, w->ffn_norm, b->dhid, rest ? b->dres : NULL, err) : TS_OK;
}

/* dres: the gradient of the layer's middle in, of its input out. */
static ts_status attention_backward(const ts_pass *p, size_t l, bool below, ts_err *err) {
    ts_net *n = p->net;
    ts_net_bufs *b = &n->bufs;
    ts_acts *a = &b->layer[l];
    bool qkv = needed(p, l, TS_GROUP_QKV, below);
    const ts_layer *w = &n->m->layer[l];
    const float *dy;
    TS_TRY(leave(p, a->attn_out, w->attn_post_norm, &dy, err));
    ts_group_backward(p, l, TS_GROUP_O, dy, a->o, a->u, qkv ? b->dhid : NULL);
    if (!qkv) return TS_OK;
    ts_attention_backward(n, p->batch, w->window, a->qkv, a->o, a->lse, b->dhid, b->dqkv);
    TS_TRY(heads_back(p, w, a->raw, err));
    ts_norm_rows(n, a->x, ts_adapter_norm(p->adapter, w->attn_norm), p->batch->rows, b->norm);
    bool norm = below || trains(p, w->attn_norm);
    ts_group_backward(p, l, TS_GROUP_QKV, b->dqkv, b->norm, a->u, norm ? b->dhid : NULL);
    return norm ? norm_back(p, a->x, w->attn_norm, b->dhid, below ? b->dres : NULL, err) : TS_OK;
}

/* ---- the embedding ---- */

typedef struct embed_job {
    const ts_pass *p;
    float *grad;
} embed_job;

/* Columns [first, end) of the rows that the tokens were taken from; that of padding gets nothing (torch's
 * nn.Embedding with padding_idx, as transformers makes them: SmolLM2's end of turn is its padding too). */
static void embed_columns(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const embed_job *j = ctx;
    const ts_net *n = j->p->net;
    float scale = n->m->config.embed_scale;
    for (size_t r = 0; r < j->p->batch->n_runs; r++) {
        const ts_run *run = &j->p->batch->runs[r];
        for (size_t i = 0; i < run->n; i++) {
            if (run->ids[i] == n->m->config.pad) continue;
            float *to = j->grad + (size_t)run->ids[i] * n->h;
            const float *from = n->bufs.dres + (run->first + i) * n->h;
            for (size_t k = first; k < end; k++)
                to[k] += scale * from[k];
        }
    }
}

ts_status ts_backward(ts_pass *p, ts_err *err) {
    size_t layers = p->net->m->config.layers, lowest = layers;
    embed_job embed = {p, ts_adapter_values(p->grad, &p->net->m->embed)};
    for (size_t l = layers; l-- > 0;)
        if (embed.grad || needed(p, l, TS_GROUP_DOWN, false)) lowest = l;
    for (size_t l = layers; l-- > lowest;) {
        bool below = embed.grad || l > lowest;
        if (ts_cancelled(p->progress)) return ts_fail(err, TS_CANCELLED, "cancelled");
        if (p->net->recompute && l + 1 < layers) ts_layer_forward(p, l); /* the last one's are still there */
        TS_TRY(mlp_backward(p, l, below, err));
        if (needed(p, l, TS_GROUP_O, below)) TS_TRY(attention_backward(p, l, below, err));
    }
    if (embed.grad) ts_rows(p->net->h, COLUMNS, embed_columns, &embed);
    return TS_OK;
}
