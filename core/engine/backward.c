#include "core/engine/net_impl.h"

#include <string.h>

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

static void norm_back(const ts_pass *p, const float *x, const float *w, const float *dy, float *dx) {
    back_ctx c = {.p = p, .x = x, .w = w, .dy = dy, .dx = dx};
    ts_rows(p->batch->rows, 16, norm_back_rows, &c);
}

/* The gradient of a norm behind attention or MLP: dx alone, the residual has its own. */
static void post_norm_back_rows(void *ctx, size_t first, size_t end, int worker) {
    const back_ctx *c = ctx;
    size_t h = c->p->net->h;
    memset(c->dx + first * h, 0, (end - first) * h * sizeof *c->dx);
    norm_back_rows(ctx, first, end, worker);
}

/* The gradient of what a group gave, from that of the residual: through its norm if it has one. */
static const float *leave(const ts_pass *p, const float *raw, const float *norm) {
    ts_net_bufs *b = &p->net->bufs;
    back_ctx c = {.p = p, .x = raw, .w = norm, .dy = b->dres, .dx = b->dpost};
    if (!norm) return b->dres;
    ts_rows(p->batch->rows, 16, post_norm_back_rows, &c);
    return b->dpost;
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

static void place_back_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const back_ctx *c = ctx;
    const ts_net *n = c->p->net;
    const ts_config *m = &n->m->config;
    for (size_t r = 0; r < c->p->batch->n_runs; r++) {
        const ts_run *run = &c->p->batch->runs[r];
        for (size_t i = TS_MAX(first, run->first); i < TS_MIN(end, run->first + run->n); i++) {
            float *dq = c->dx + i * n->qkv;
            ts_rope_heads(n, c->layer, dq, m->heads + m->kv_heads, run->before + i - run->first, run->length, true);
            if (!n->qk_norms) continue;
            const float *raw = c->x + i * (n->hd + n->kd);
            norm_heads_back(n, c->layer->q_norm, raw, m->heads, dq);
            norm_heads_back(n, c->layer->k_norm, raw + n->hd, m->kv_heads, dq + n->hd);
        }
    }
}

static bool adapted(const ts_pass *p, size_t layer, int group) {
    for (size_t i = 0; i < ts_groups[group].count; i++)
        if (p->adapter->lora[layer][ts_groups[group].first + i].r) return true;
    return false;
}

/* The four steps of a layer from the top: down, gate and up, o, then q, k, v. A step is needed if anything at it or
 * below it has parameters; `below` says that a lower layer has. */
static bool needed(const ts_pass *p, size_t layer, int group, bool below) {
    for (int g = 0; g <= group && !below; g++)
        below = adapted(p, layer, g);
    return below;
}

/* dres: the gradient of the layer's output in, of its middle out. */
static void mlp_backward(const ts_pass *p, size_t l, bool below) {
    ts_net *n = p->net;
    ts_net_bufs *b = &n->bufs;
    ts_acts *a = &b->layer[l];
    bool gate = needed(p, l, TS_GROUP_GU, below), rest = needed(p, l, TS_GROUP_O, below);
    const float *dy = leave(p, a->mlp_out, n->m->layer[l].ffn_post_norm);
    ts_gated_rows(n, a->gu, p->batch->rows, b->act);
    ts_group_backward(p, l, TS_GROUP_DOWN, dy, b->act, a->u, gate ? b->wide : NULL);
    if (!gate) return;
    back_ctx c = {.p = p, .gu = a->gu, .dy = b->wide};
    ts_rows(p->batch->rows, 16, gated_back_rows, &c); /* gate and up become their gradients */
    ts_norm_rows(n, a->mid, n->m->layer[l].ffn_norm, p->batch->rows, b->norm);
    ts_group_backward(p, l, TS_GROUP_GU, a->gu, b->norm, a->u, rest ? b->dhid : NULL);
    if (rest) norm_back(p, a->mid, n->m->layer[l].ffn_norm, b->dhid, b->dres);
}

/* dres: the gradient of the layer's middle in, of its input out. */
static void attention_backward(const ts_pass *p, size_t l, bool below) {
    ts_net *n = p->net;
    ts_net_bufs *b = &n->bufs;
    ts_acts *a = &b->layer[l];
    bool qkv = needed(p, l, TS_GROUP_QKV, below);
    const ts_layer *w = &n->m->layer[l];
    const float *dy = leave(p, a->attn_out, w->attn_post_norm);
    ts_group_backward(p, l, TS_GROUP_O, dy, a->o, a->u, qkv ? b->dhid : NULL);
    if (!qkv) return;
    ts_attention_backward(n, p->batch, w->window, a->qkv, a->o, a->lse, b->dhid, b->dqkv);
    back_ctx c = {.p = p, .layer = w, .x = a->raw, .dx = b->dqkv};
    if (w->rope >= 0 || n->qk_norms) ts_rows(p->batch->rows, 16, place_back_rows, &c);
    ts_norm_rows(n, a->x, w->attn_norm, p->batch->rows, b->norm);
    ts_group_backward(p, l, TS_GROUP_QKV, b->dqkv, b->norm, a->u, below ? b->dhid : NULL);
    if (below) norm_back(p, a->x, w->attn_norm, b->dhid, b->dres);
}

ts_status ts_backward(ts_pass *p, ts_err *err) {
    size_t layers = p->net->m->config.layers, lowest = layers;
    for (size_t l = layers; l-- > 0;)
        if (needed(p, l, TS_GROUP_DOWN, false)) lowest = l;
    for (size_t l = layers; l-- > lowest;) {
        if (ts_cancelled(p->progress)) return ts_fail(err, TS_CANCELLED, "cancelled");
        mlp_backward(p, l, l > lowest);
        if (needed(p, l, TS_GROUP_O, l > lowest)) attention_backward(p, l, l > lowest);
    }
    return TS_OK;
}
