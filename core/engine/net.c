#include "core/engine/net_impl.h"

#include "core/work/pool.h"

#include <math.h>
#include <stdlib.h>

ts_status ts_need_floats(float **p, size_t *have, size_t floats, const char *what, ts_err *err) {
    if (*p && *have >= floats) return TS_OK;
    free(*p);
    *have = 0;
    *p = ts_try_alloc(TS_MAX(floats, 1), sizeof **p);
    if (!*p)
        return ts_fail(err, TS_NO_MEMORY, "no memory for %s (%.0f MiB)", what,
                       (double)floats * sizeof(float) / 1048576);
    *have = floats;
    return TS_OK;
}

ts_status ts_net_new(ts_net **out, const ts_model *m, const ts_net_options *options, ts_err *err) {
    (void)err;
    const ts_config *c = &m->config;
    ts_net *n = ts_calloc(1, sizeof *n);
    n->m = m;
    n->micro_tokens = options && options->micro_tokens ? options->micro_tokens : 1024;
    n->recompute = options && options->recompute;
    n->h = c->hidden;
    n->f = c->ffn;
    n->hd = c->heads * c->head_dim;
    n->kd = c->kv_heads * c->head_dim;
    n->qkv = n->hd + 2 * n->kd;
    n->qk_norms = m->layer[0].q_norm != NULL;
    n->post_norms = m->layer[0].attn_post_norm != NULL;
    *out = n;
    return TS_OK;
}

void ts_net_free(ts_net *n) {
    if (!n) return;
    ts_scratch_release(&n->scratch);
    ts_bufs_release(&n->bufs);
    ts_batch_release(&n->batch);
    free(n->rope[0]);
    free(n->rope[1]);
    free(n->kv);
    free(n->dora);
    free(n->head_u);
    free(n->norm_scale);
    free(n->logits);
    free(n->hidden);
    free(n->dhidden);
    free(n->base);
    free(n->base_logits);
    free(n);
}

const char *ts_net_kernel(void) {
    return ts_kernels_get()->name;
}

/* ---- batches ---- */

void ts_batch_reset(ts_batch *b) {
    b->rows = b->n_runs = b->n_targets = b->n_spans = 0;
}

void ts_batch_release(ts_batch *b) {
    free(b->runs);
    free(b->targets);
    free(b->spans);
    *b = (ts_batch){0};
}

int ts_batch_run(ts_batch *b, const int32_t *ids, size_t n, int parent) {
    ts_run run = {.first = b->rows, .n = n, .parent = parent, .ids = ids};
    if (parent >= 0) run.before = b->runs[parent].n;
    run.length = run.before + n;
    TS_PUSH(b->runs, b->n_runs, b->cap_runs, run);
    b->rows += n;
    return (int)b->n_runs - 1;
}

static bool supervised(const ts_seq *s, size_t t) {
    return t > 0 && s->labels && s->labels[t] != TS_NO_LABEL;
}

double ts_seq_weight(const ts_seq *s) {
    double sum = 0;
    for (size_t t = 1; t < s->n; t++)
        if (supervised(s, t)) sum += s->weights ? (double)s->weights[t] : 1;
    return sum;
}

/* Tokens that must be calculated: those before the last supervised one (nothing looks back at the rest). */
static size_t used_tokens(const ts_seq *s) {
    size_t t = s->n;
    while (t > 0 && !supervised(s, t - 1))
        t--;
    return t > 0 ? t - 1 : 0;
}

static ts_status check_ids(const ts_net *n, const ts_seq *seqs, size_t n_seqs, ts_err *err) {
    size_t vocab = n->m->config.vocab;
    for (size_t s = 0; s < n_seqs; s++)
        for (size_t t = 0; t < seqs[s].n; t++) {
            int32_t id = seqs[s].ids[t];
            if (id < 0 || (size_t)id >= vocab)
                return ts_fail(err, TS_INVALID,
                               "sequence %zu has token id %ld at place %zu, the model has ids 0 to %zu", s + 1,
                               (long)id, t, vocab - 1);
            if (supervised(&seqs[s], t) && (seqs[s].labels[t] < 0 || (size_t)seqs[s].labels[t] >= vocab))
                return ts_fail(err, TS_INVALID, "sequence %zu has label %ld at place %zu, the model has ids 0 to %zu",
                               s + 1, (long)seqs[s].labels[t], t, vocab - 1);
        }
    return TS_OK;
}

/* Tokens at the start of both that are the same and no target row of either (that one belongs to its own sequence). */
static size_t common_start(const ts_seq *a, const ts_seq *b, size_t limit) {
    size_t n = 0;
    limit = TS_MIN(limit, TS_MIN(a->n, b->n));
    while (n < limit && a->ids[n] == b->ids[n] && (n + 1 >= a->n || !supervised(a, n + 1)) &&
           (n + 1 >= b->n || !supervised(b, n + 1)))
        n++;
    return n;
}

/* `shared` tokens of it are run `parent`'s; held: ts_target.held of its first target, 0: it is not held. */
static void add_sequence(ts_batch *b, const ts_seq *s, size_t index, size_t token, size_t shared, int parent,
                         size_t held) {
    size_t n = used_tokens(s);
    int run = ts_batch_run(b, s->ids + shared, n - shared, parent);
    b->runs[run].token = token + shared;
    b->runs[run].length = s->n;
    for (size_t t = 1; t <= n; t++) {
        if (!supervised(s, t)) continue;
        ts_target target = {.row = b->runs[run].first + t - 1 - shared, .label = s->labels[t], .seq = index, .at = t};
        target.weight = s->weights ? s->weights[t] : 1;
        if (held) target.held = held++;
        TS_PUSH(b->targets, b->n_targets, b->cap_targets, target);
    }
}

typedef struct cutting {
    const ts_seq *seqs;
    const ts_adapter *const *adapters; /* of each sequence; NULL: all have the pass's */
    const size_t *order;               /* in which sequences are taken; NULL: as they come */
    const size_t *held;                /* of each sequence: ts_target.held of its first target; NULL: none is held */
    size_t n_seqs, next, token;
    size_t aim; /* tokens of a micro-batch when all are of about the same size */
    bool share; /* a beginning that all sequences of a micro-batch have is calculated once */
} cutting;

static size_t at(const cutting *c, size_t i) {
    return c->order ? c->order[i] : i;
}

/* May sequences i and j share their beginning? */
static bool same_adapter(const cutting *c, size_t i, size_t j) {
    return !c->adapters || c->adapters[i] == c->adapters[j];
}

static void aim_at_equal_sizes(cutting *c, size_t micro_tokens) {
    size_t total = 0;
    for (size_t i = 0; i < c->n_seqs; i++)
        total += used_tokens(&c->seqs[at(c, i)]);
    size_t batches = TS_MAX((total + micro_tokens - 1) / micro_tokens, 1);
    c->aim = (total + batches - 1) / batches;
}

/* Index behind the last sequence of the next micro-batch, which has at most micro_tokens rows (or one sequence). */
static size_t find_cut(const cutting *c, size_t micro_tokens, size_t *shared) {
    size_t count = 0, tokens = 0, i = c->next, first = 0;
    *shared = 0;
    for (; i < c->n_seqs; i++) {
        size_t s = at(c, i), used = used_tokens(&c->seqs[s]), common = 0;
        if (used == 0) continue;
        if (count > 0 && c->share && same_adapter(c, first, s))
            common = common_start(&c->seqs[first], &c->seqs[s], count == 1 ? SIZE_MAX : *shared);
        if (count > 0 && (tokens + used - count * common > micro_tokens || tokens + used / 2 > c->aim)) break;
        if (count == 0) first = s;
        *shared = common;
        tokens += used;
        count++;
    }
    if (count < 2 || *shared < 4) *shared = 0; /* not worth a run */
    return i;
}

static void cut_batch(ts_net *n, cutting *c) {
    ts_batch *b = &n->batch;
    size_t shared, end = find_cut(c, n->micro_tokens, &shared);
    int parent = -1;
    ts_batch_reset(b);
    for (; c->next < end; c->next++) {
        size_t index = at(c, c->next);
        const ts_seq *s = &c->seqs[index];
        size_t first_run = b->n_runs;
        if (used_tokens(s) > 0) {
            if (shared && parent < 0) parent = ts_batch_run(b, s->ids, shared, -1);
            add_sequence(b, s, index, c->token, shared, parent, c->held ? c->held[index] : 0);
        }
        for (size_t r = first_run; c->adapters && r < b->n_runs; r++)
            b->runs[r].adapter = c->adapters[index];
        c->token += s->n;
    }
}

/* ---- what callers ask for ---- */

typedef struct sums {
    double *nll;
    size_t *count;
    float *per_token;
    size_t *offset; /* of each sequence in per_token */
} sums;

static void add_up(const ts_batch *b, const float *nll, const sums *to) {
    for (size_t i = 0; i < b->n_targets; i++) {
        const ts_target *t = &b->targets[i];
        to->nll[t->seq] += (double)t->weight * (double)nll[i];
        to->count[t->seq]++;
        if (to->per_token) to->per_token[to->offset[t->seq] + t->at] = nll[i];
    }
}

static ts_status micro_batch(ts_pass *p, const sums *to, ts_err *err) {
    ts_status status = TS_OK;
    float *nll = ts_malloc((p->batch->n_targets + 1) * sizeof *nll);
    TS_GOTO(ts_forward(p, err));
    TS_GOTO(ts_loss(p, nll, p->grad ? p->net->bufs.dres : NULL, err));
    add_up(p->batch, nll, to);
    if (p->grad) TS_GOTO(ts_backward(p, err));
    if (p->fisher) ts_fisher_next(p->fisher);
out:
    free(nll);
    return status;
}

/* Draws differ from sequence to sequence, and so do stretched positions. */
static bool may_share(const ts_net *n, const ts_seq *seqs, size_t n_seqs, bool drawn) {
    bool share = !drawn;
    for (size_t s = 0; s < n_seqs; s++)
        share = share && !ts_rope_stretched(n->m, seqs[s].n);
    return share;
}

/* ---- held to the base ---- */

/* The held sequences in order, and where their targets are in net->base; how many. Both [n + 1]. */
static size_t find_held(const ts_held *held, const ts_seq *seqs, size_t n, size_t *order, size_t *first,
                        size_t *targets) {
    size_t count = 0;
    *targets = 0;
    for (size_t s = 0; s < n; s++) {
        first[s] = 0;
        if (!held->of[s]) continue;
        order[count++] = s;
        first[s] = 1 + *targets;
        for (size_t t = 1; t < seqs[s].n; t++)
            *targets += supervised(&seqs[s], t);
    }
    return count;
}

/* The last hidden states of the base at their targets into net->base. */
static ts_status run_base(const ts_pass *of, cutting c, ts_err *err) {
    ts_pass p = {.net = of->net, .batch = of->batch, .progress = of->progress};
    c.share = true;
    for (size_t i = 0; i < c.n_seqs; i++)
        c.share = c.share && !ts_rope_stretched(p.net->m, c.seqs[c.order[i]].n);
    aim_at_equal_sizes(&c, p.net->micro_tokens);
    while (c.next < c.n_seqs) {
        cut_batch(p.net, &c);
        if (!p.batch->n_targets) continue;
        TS_TRY(ts_forward(&p, err));
        ts_base_hidden(&p);
    }
    return TS_OK;
}

/* first [n + 1] is for the pass itself; it has nothing held where nothing is supervised. */
static ts_status look_at_base(ts_pass *p, const ts_seq *seqs, size_t n, size_t *first, ts_err *err) {
    ts_net *net = p->net;
    size_t targets, *order = ts_malloc((n + 1) * sizeof *order);
    cutting c = {.seqs = seqs, .order = order, .held = first};
    c.n_seqs = find_held(p->held, seqs, n, order, first, &targets);
    ts_status status = check_ids(net, seqs, n, err);
    if (status == TS_OK)
        status = ts_need_floats(&net->base, &net->base_floats, targets * net->h, "the base's hidden states", err);
    if (status == TS_OK) status = run_base(p, c, err);
    if (targets == 0) p->held = NULL;
    free(order);
    return status;
}

static ts_status all_batches(ts_pass *p, cutting c, const sums *to, ts_err *err) {
    const ts_seq *seqs = c.seqs;
    size_t n_seqs = c.n_seqs;
    c.share = !p->fisher && may_share(p->net, seqs, n_seqs, p->dropout.p > 0 || p->dropout.neftune > 0);
    TS_TRY(check_ids(p->net, seqs, n_seqs, err));
    aim_at_equal_sizes(&c, p->net->micro_tokens);
    for (size_t s = 0; s < n_seqs; s++) {
        to->nll[s] = 0;
        to->count[s] = 0;
    }
    while (c.next < n_seqs) {
        cut_batch(p->net, &c);
        if (p->batch->n_targets) TS_TRY(micro_batch(p, to, err));
        ts_progress_set(p->progress, (int64_t)c.next, (int64_t)n_seqs);
    }
    return TS_OK;
}

/* Sequences of one adapter stand together, in the order in which the adapters first come. */
static size_t *group_by_adapter(const ts_adapter *const *adapters, size_t n) {
    size_t *order = ts_malloc((n + 1) * sizeof *order), k = 0;
    bool *taken = ts_calloc(n + 1, sizeof *taken);
    for (size_t i = 0; i < n; i++) {
        if (taken[i]) continue;
        for (size_t j = i; j < n; j++)
            if (!taken[j] && adapters[j] == adapters[i]) {
                order[k++] = j;
                taken[j] = true;
            }
    }
    free(taken);
    return order;
}

static ts_status nll_of(ts_pass p, cutting c, double *nll, size_t *count, float *per_token, ts_err *err) {
    const ts_seq *seqs = c.seqs;
    size_t n_seqs = c.n_seqs;
    sums to = {nll, count, per_token, ts_malloc((n_seqs + 1) * sizeof *to.offset)};
    to.offset[0] = 0;
    for (size_t s = 0; s < n_seqs; s++)
        to.offset[s + 1] = to.offset[s] + seqs[s].n;
    for (size_t i = 0; per_token && i < to.offset[n_seqs]; i++)
        per_token[i] = 0;
    ts_status status = all_batches(&p, c, &to, err);
    free(to.offset);
    return status;
}

ts_status ts_net_nll(ts_net *n, const ts_adapter *adapter, const ts_seq *seqs, size_t n_seqs, double *nll,
                     size_t *count, float *per_token, ts_progress *progress, ts_err *err) {
    ts_pass p = {.net = n, .batch = &n->batch, .adapter = adapter, .progress = progress};
    return nll_of(p, (cutting){.seqs = seqs, .n_seqs = n_seqs}, nll, count, per_token, err);
}

ts_status ts_net_nll_each(ts_net *n, const ts_adapter *const *adapters, const ts_seq *seqs, size_t n_seqs, double *nll,
                          size_t *count, float *per_token, ts_progress *progress, ts_err *err) {
    ts_pass p = {.net = n, .batch = &n->batch, .each = true, .progress = progress};
    size_t *order = group_by_adapter(adapters, n_seqs);
    cutting c = {.seqs = seqs, .adapters = adapters, .order = order, .n_seqs = n_seqs};
    ts_status status = nll_of(p, c, nll, count, per_token, err);
    free(order);
    return status;
}

ts_status ts_net_backward(ts_net *n, const ts_adapter *adapter, const ts_seq *seqs, size_t n_seqs, ts_dropout dropout,
                          ts_adapter *grad, double *nll, size_t *count, ts_progress *progress, ts_err *err) {
    return ts_net_backward_held(n, adapter, seqs, n_seqs, dropout, NULL, grad, nll, count, progress, err);
}

ts_status ts_net_backward_held(ts_net *n, const ts_adapter *adapter, const ts_seq *seqs, size_t n_seqs,
                               ts_dropout dropout, ts_held *held, ts_adapter *grad, double *nll, size_t *count,
                               ts_progress *progress, ts_err *err) {
    ts_pass p = {.net = n, .batch = &n->batch, .adapter = adapter, .grad = grad, .dropout = dropout, .held = held};
    p.progress = progress;
    TS_TRY(ts_adapter_trainable(adapter, err));
    sums to = {ts_calloc(n_seqs + 1, sizeof *to.nll), ts_calloc(n_seqs + 1, sizeof *to.count), NULL, NULL};
    size_t *first = held ? ts_malloc((n_seqs + 1) * sizeof *first) : NULL;
    if (held) held->sum = 0;
    ts_status status = held ? look_at_base(&p, seqs, n_seqs, first, err) : TS_OK;
    if (status == TS_OK) status = all_batches(&p, (cutting){.seqs = seqs, .n_seqs = n_seqs, .held = first}, &to, err);
    free(first);
    *nll = 0;
    *count = 0;
    for (size_t s = 0; status == TS_OK && s < n_seqs; s++) {
        *nll += to.nll[s];
        *count += to.count[s];
    }
    free(to.nll);
    free(to.count);
    return status;
}

ts_status ts_net_squares(ts_net *n, const ts_adapter *adapter, const ts_seq *seqs, size_t n_seqs,
                         struct ts_fisher *fisher, ts_adapter *grad, ts_progress *progress, ts_err *err) {
    ts_pass p = {.net = n, .batch = &n->batch, .adapter = adapter, .grad = grad, .fisher = fisher};
    sums to = {ts_calloc(n_seqs + 1, sizeof *to.nll), ts_calloc(n_seqs + 1, sizeof *to.count), NULL, NULL};
    p.progress = progress;
    ts_status status = all_batches(&p, (cutting){.seqs = seqs, .n_seqs = n_seqs}, &to, err);
    free(to.nll);
    free(to.count);
    return status;
}

ts_status ts_net_logits(ts_net *n, const ts_adapter *adapter, const int32_t *ids, size_t len, float *out, ts_err *err) {
    ts_seq s = {.ids = ids, .n = len};
    size_t vocab = n->m->config.vocab;
    TS_TRY(check_ids(n, &s, 1, err));
    ts_batch_reset(&n->batch);
    ts_batch_run(&n->batch, ids, len, -1);
    ts_pass p = {.net = n, .batch = &n->batch, .adapter = adapter};
    TS_TRY(ts_forward(&p, err));
    ts_norm_rows(n, n->bufs.layer[n->m->config.layers].x, ts_adapter_norm(adapter, n->m->final_norm), len,
                 n->bufs.norm);
    TS_TRY(ts_head_forward(&p, adapter, n->bufs.norm, len, out, vocab, err));
    float cap = n->m->config.logit_cap;
    for (size_t i = 0; cap > 0 && i < len; i++)
        ts_kernels_get()->softcap(out + i * vocab, vocab, 1 / cap, cap);
    return TS_OK;
}

void ts_net_measure(ts_net *n, const ts_seq *seqs, size_t n_seqs, bool drawn, ts_net_load *most) {
    cutting c = {.seqs = seqs, .n_seqs = n_seqs, .share = may_share(n, seqs, n_seqs, drawn)};
    aim_at_equal_sizes(&c, n->micro_tokens);
    while (c.next < n_seqs) {
        cut_batch(n, &c);
        const ts_batch *b = &n->batch;
        if (!b->n_targets) continue;
        most->rows = TS_MAX(most->rows, b->rows);
        most->targets = TS_MAX(most->targets, b->n_targets);
        most->attention = TS_MAX(most->attention, ts_attention_floats(n, b, true));
        for (size_t r = 0; r < b->n_runs; r++)
            most->longest = TS_MAX(most->longest, b->runs[r].before + b->runs[r].n);
    }
}

/* As ts_forward, ts_loss and ts_backward ask for it. */
size_t ts_net_train_bytes(const ts_net *n, const ts_net_load *most, size_t ranks, bool dora) {
    enum { PRODUCTS = (1536 + 128) * TS_PANEL }; /* a worker's memory in gemm.c */
    size_t widest = TS_MAX(TS_MAX(n->qkv, 2 * n->f), n->h), threads = (size_t)ts_pool_threads();
    size_t vocab = n->m->config.vocab, floats = ts_bufs_floats(n, most->rows, ranks, true) + most->attention;
    size_t worker = TS_MAX(ts_attention_scratch((ts_net *)(uintptr_t)n, most->longest), (size_t)PRODUCTS);
    floats += TS_MIN(most->targets, (size_t)TS_LOGIT_ROWS) * vocab + 2 * most->targets * n->h;
    floats += TS_MIN(TS_MIN(most->held, most->targets), (size_t)TS_LOGIT_ROWS) * vocab + most->held * n->h;
    floats += threads * TS_MAX(worker, most->held ? vocab * (n->m->config.logit_cap > 0 ? 2 : 1) : 0);
    return (floats + (dora ? most->rows * widest : 0)) * sizeof(float);
}
