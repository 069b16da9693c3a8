#include "core/engine/net_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Cross entropy at supervised rows only, TS_LOGIT_ROWS rows of logits at a time (a row has `vocab` floats: 192 KiB for
 * SmolLM2). The exponentials are summed in f32 over BLOCK of them and in double above that. */
enum { BLOCK = 1024 };

typedef struct loss_job {
    ts_pass *p;
    size_t first; /* target of the chunk's row 0 */
    float *nll, *dx;
    bool grad;
    size_t held; /* ts_target.held of the first row of base_logits */
    double *kl;  /* of each target; NULL: none is held */
} loss_job;

static void gather_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const loss_job *j = ctx;
    ts_net *n = j->p->net;
    const float *x = n->bufs.layer[n->m->config.layers].x;
    for (size_t i = first; i < end; i++) {
        size_t row = j->p->batch->targets[i].row;
        const float *w = ts_adapter_norm(ts_row_adapter(j->p->batch, row), n->m->final_norm);
        ts_kernels_get()->rmsnorm(x + row * n->h, w, n->h, n->m->config.rms_eps, n->hidden + i * n->h);
    }
}

static void base_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const loss_job *j = ctx;
    ts_net *n = j->p->net;
    const float *x = n->bufs.layer[n->m->config.layers].x;
    for (size_t i = first; i < end; i++) {
        const ts_target *t = &j->p->batch->targets[i];
        ts_kernels_get()->rmsnorm(x + t->row * n->h, n->m->final_norm, n->h, n->m->config.rms_eps,
                                  n->base + (t->held - 1) * n->h);
    }
}

void ts_base_hidden(ts_pass *p) {
    ts_rows(p->batch->n_targets, 16, base_rows, &(loss_job){.p = p});
}

static double exp_sums(float *row, size_t n, float top) {
    double sum = 0;
    for (size_t k = 0; k < n; k += BLOCK)
        sum += ts_kernels_get()->exp_sum(row + k, TS_MIN(n - k, (size_t)BLOCK), 1, top);
    return sum;
}

/* What KL takes of the base's logits: p, the logarithm of what they were divided by, and the mean over p of how far the
 * logits are below the base's. */
typedef struct held_row {
    float *p;
    double log_sum, mean;
} held_row;

/* `base` is lost. */
static held_row hold_row(const ts_net *n, float *base, const float *row, float *p) {
    const ts_kernels *kn = ts_kernels_get();
    size_t vocab = n->m->config.vocab;
    float cap = n->m->config.logit_cap;
    double mean = 0;
    if (cap > 0) kn->softcap(base, vocab, 1 / cap, cap);
    float top = kn->max(base, vocab);
    memcpy(p, base, vocab * sizeof *p);
    double sum = exp_sums(p, vocab, top);
    for (size_t k = 0; k < vocab; k++)
        base[k] -= row[k]; /* before the sum: what is the same leaves exactly nothing */
    kn->scale(p, vocab, (float)(1 / sum));
    for (size_t k = 0; k < vocab; k += BLOCK)
        mean += (double)kn->dot(p + k, base + k, TS_MIN(vocab - k, (size_t)BLOCK));
    return (held_row){p, (double)top + log(sum), mean};
}

/* Softmax minus one at the label, times the label's weight, in place of the exponentials; and q - p for what is held.
 * Where q = p and the weight is 1, the bits are those of the plain gradient. */
static void slope_row(const loss_job *j, const ts_target *t, const held_row *held, double sum, float *row) {
    const ts_kernels *kn = ts_kernels_get();
    size_t vocab = j->p->net->m->config.vocab;
    if (held->p) {
        kn->scale(row, vocab, (float)(1 / sum));
        for (size_t k = 0; k < vocab; k++)
            held->p[k] = row[k] - held->p[k];
        kn->scale(held->p, vocab, (float)((double)t->weight * j->p->held->weight));
        sum = 1;
    }
    kn->scale(row, vocab, (float)((double)t->weight / sum));
    row[t->label] -= t->weight;
    if (held->p) kn->add(row, held->p, vocab);
}

static void loss_rows(void *ctx, size_t first, size_t end, int worker) {
    const loss_job *j = ctx;
    const ts_kernels *kn = ts_kernels_get();
    ts_net *n = j->p->net;
    size_t vocab = n->m->config.vocab;
    float cap = n->m->config.logit_cap;
    for (size_t i = first; i < end; i++) {
        float *row = n->logits + i * n->logits_ld, *capped = ts_scratch_of(&n->scratch, worker);
        if (cap > 0) {
            kn->softcap(row, vocab, 1 / cap, cap);
            if (j->grad) memcpy(capped, row, vocab * sizeof *row);
        }
        const ts_target *t = &j->p->batch->targets[j->first + i];
        float top = kn->max(row, vocab), at_label = row[t->label];
        held_row held = {0};
        if (j->kl && t->held)
            held =
                hold_row(n, n->base_logits + (t->held - j->held) * n->logits_ld, row, capped + (cap > 0 ? vocab : 0));
        double sum = exp_sums(row, vocab, top), log_sum = (double)top + log(sum);
        j->nll[j->first + i] = (float)(log_sum - (double)at_label);
        if (held.p) j->kl[j->first + i] = held.mean + log_sum - held.log_sum;
        if (!j->grad) continue;
        slope_row(j, t, &held, sum, row);
        if (cap > 0) kn->softcap_back(capped, row, vocab, 1 / cap, cap);
    }
}

static void scatter_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const loss_job *j = ctx;
    ts_net *n = j->p->net;
    const float *x = n->bufs.layer[n->m->config.layers].x, *norm = ts_adapter_norm(j->p->adapter, n->m->final_norm);
    for (size_t i = first; i < end; i++) {
        size_t row = j->p->batch->targets[i].row;
        ts_kernels_get()->rmsnorm_back(x + row * n->h, norm, n->dhidden + i * n->h, n->h, n->m->config.rms_eps,
                                       j->dx + row * n->h);
    }
}

static ts_status loss_memory(ts_net *n, size_t targets, bool grad, ts_err *err) {
    size_t have = n->hidden_rows * n->h, have_too = n->dhidden_rows * n->h;
    if (!n->logits) {
        n->logits_ld = ((n->m->config.vocab + 15) & ~(size_t)15) + 48; /* rows a power of two apart fall into one set */
        size_t none = 0;
        TS_TRY(ts_need_floats(&n->logits, &none, TS_LOGIT_ROWS * n->logits_ld, "logits", err));
    }
    targets = TS_MAX(targets, n->hidden_rows);
    TS_TRY(ts_need_floats(&n->hidden, &have, targets * n->h, "the hidden states", err));
    n->hidden_rows = targets;
    if (!grad) return TS_OK;
    TS_TRY(ts_need_floats(&n->dhidden, &have_too, targets * n->h, "the hidden states' gradients", err));
    n->dhidden_rows = TS_MAX(targets, n->dhidden_rows); /* a pass without gradients makes the others alone longer */
    return TS_OK;
}

static bool same_head(const ts_adapter *a, const ts_adapter *b, const ts_model *m) {
    bool plain = (!a || !a->head.r) && (!b || !b->head.r);
    return a == b || (plain && ts_adapter_head(a, m) == ts_adapter_head(b, m));
}

/* Logits of targets [first, first + rows), each with its adapter's head. */
static ts_status logits(const ts_pass *p, size_t first, size_t rows, ts_err *err) {
    ts_net *n = p->net;
    const ts_batch *b = p->batch;
    for (size_t i = 0, end; i < rows; i = end) {
        const ts_adapter *a = ts_row_adapter(b, b->targets[first + i].row);
        end = i + 1;
        while (end < rows && same_head(a, ts_row_adapter(b, b->targets[first + end].row), n->m))
            end++;
        TS_TRY(ts_head_forward(p, a, n->hidden + (first + i) * n->h, end - i, n->logits + i * n->logits_ld,
                               n->logits_ld, err));
    }
    return TS_OK;
}

/* The base's logits for those of the chunk's targets that are held: their rows follow each other. */
static ts_status base_logits(loss_job *j, size_t rows, ts_err *err) {
    ts_net *n = j->p->net;
    const ts_target *t = j->p->batch->targets + j->first;
    size_t count = 0;
    for (size_t i = 0; i < rows; i++)
        if (t[i].held && count++ == 0) j->held = t[i].held;
    if (count == 0) return TS_OK;
    TS_TRY(ts_need_floats(&n->base_logits, &n->base_logits_floats, count * n->logits_ld, "the base's logits", err));
    return ts_head_forward(j->p, NULL, n->base + (j->held - 1) * n->h, count, n->base_logits, n->logits_ld, err);
}

/* KL of the batch, in the order of its targets. */
static void add_held(const loss_job *j) {
    for (size_t i = 0; j->kl && i < j->p->batch->n_targets; i++)
        j->p->held->sum += (double)j->p->batch->targets[i].weight * j->kl[i];
}

/* Where the head's gradient goes: also the embedding's where they are one. NULL: the head is not trained. */
static float *head_gradient(const ts_pass *p) {
    const ts_model *m = p->net->m;
    float *own = ts_adapter_values(p->grad, &m->head);
    bool shared = m->config.tied && ts_adapter_head(p->adapter, m) == ts_adapter_embed(p->adapter, m);
    return own ? own : shared ? ts_adapter_values(p->grad, &m->embed) : NULL;
}

/* From a, the gradient of a chunk of logits: c = a W, the gradient of the hidden states x; and dW += a^T x. */
static void head_back(const ts_pass *p, size_t rows, const float *x, float *c) {
    ts_net *n = p->net;
    const ts_weight *w = ts_adapter_head(p->adapter, n->m);
    float *grad = head_gradient(p);
    ts_product q[2] = {{.m = rows, .n = w->cols, .c = c, .ldc = n->h, .n_terms = 1},
                       {.m = w->rows, .n = w->cols, .c = grad, .ldc = n->h, .add = grad, .ldadd = n->h, .n_terms = 1}};
    q[0].terms[0] = (ts_term){.a = n->logits,
                              .lda = n->logits_ld,
                              .k = w->rows,
                              .type = w->type,
                              .b = w->data,
                              .row_bytes = w->row_bytes,
                              .trans = false};
    q[1].terms[0] = (ts_term){
        .a = n->logits, .lda = n->logits_ld, .a_trans = true, .k = rows, .b = x, .row_bytes = n->h * sizeof(float)};
    ts_products(q, grad ? 2 : 1, &n->scratch);
}

/* Of one chunk of targets: logits, losses and, through the head, gradients of the hidden states. */
static ts_status chunk(loss_job *j, ts_err *err) {
    ts_pass *p = j->p;
    ts_net *n = p->net;
    size_t rows = TS_MIN(p->batch->n_targets - j->first, (size_t)TS_LOGIT_ROWS);
    size_t spare = (n->m->config.logit_cap > 0) + (j->kl != NULL);
    if (ts_cancelled(p->progress)) return ts_fail(err, TS_CANCELLED, "cancelled");
    if (spare) ts_scratch_need(&n->scratch, spare * n->m->config.vocab);
    TS_TRY(logits(p, j->first, rows, err));
    if (j->kl) TS_TRY(base_logits(j, rows, err));
    ts_rows(rows, 4, loss_rows, j);
    if (j->dx) head_back(p, rows, n->hidden + j->first * n->h, n->dhidden + j->first * n->h);
    return TS_OK;
}

static ts_status chunks(loss_job *j, ts_err *err) {
    for (j->first = 0; j->first < j->p->batch->n_targets; j->first += TS_LOGIT_ROWS)
        TS_TRY(chunk(j, err));
    return TS_OK;
}

ts_status ts_loss(ts_pass *p, float *nll, float *dx, ts_err *err) {
    ts_net *n = p->net;
    size_t targets = p->batch->n_targets;
    loss_job j = {.p = p, .nll = nll, .dx = dx, .grad = dx != NULL};
    TS_TRY(loss_memory(n, targets, j.grad, err));
    if (dx) memset(dx, 0, p->batch->rows * n->h * sizeof *dx);
    ts_rows(targets, 16, gather_rows, &j);
    if (p->held) j.kl = ts_calloc(targets + 1, sizeof *j.kl);
    ts_status status = chunks(&j, err);
    if (status == TS_OK) add_held(&j);
    free(j.kl);
    if (status != TS_OK || !dx) return status;
    ts_rows(targets, 16, scatter_rows, &j);
    ts_norm_rows_of x = {.x = n->bufs.layer[n->m->config.layers].x, .dy = n->dhidden, .count = targets, .n = n->h};
    x.ldx = x.ldy = n->h;
    x.heads = 1;
    x.targets = p->batch->targets;
    return ts_norm_gradient(n, &x, ts_adapter_values(p->grad, n->m->final_norm), err);
}
