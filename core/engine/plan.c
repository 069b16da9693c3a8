/* What a run would be, before it is started. */
#include "core/base/clock.h"
#include "core/base/machine.h"
#include "core/base/rand.h"
#include "core/engine/examples.h"
#include "core/engine/fisher.h"
#include "core/engine/net.h"
#include "core/engine/optim.h"
#include "core/engine/penalty.h"
#include "core/engine/replay.h"
#include "core/engine/train.h"
#include "core/model/nf4.h"
#include "core/work/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int64_t ts_train_steps(const ts_run_settings *s, int64_t examples) {
    int64_t batch = s->batch_size * s->grad_accum;
    return s->max_steps ? s->max_steps : (int64_t)ceil(s->epochs * (double)((examples + batch - 1) / batch));
}

void ts_train_order(const ts_run_settings *s, int64_t epoch, size_t *order, size_t n) {
    enum { STREAM_ORDER = 1 };
    ts_rand r;
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    if (s->no_shuffle) return;
    ts_rand_seed(&r, ts_rand_mix(ts_rand_mix((uint64_t)s->seed, STREAM_ORDER), (uint64_t)epoch));
    ts_rand_permutation(&r, order, n);
}

/* The model and the rows, as a run has them. */
typedef struct planning {
    const ts_run_settings *s;
    const ts_method_facts *method;
    ts_model *m;
    ts_net *net;
    ts_encoder encoder;
    ts_examples x, ewc; /* ewc: the rows that EWC is to keep */
    size_t *order;
    ts_seq *seqs; /* of a batch */
    size_t batch;
    char *mixed; /* file of the rows with those that are replayed; NULL: none are */
    int64_t replayed;
    bool *held; /* with KL: which examples are held to the base; NULL: none are */
} planning;

/* The rows as the run will have them, in a temporary file. */
static ts_status mix(planning *p, const char *train_file, ts_err *err) {
    const char *tmp = getenv("TMPDIR");
    p->mixed = ts_printf("%s/tunesmith-mixed-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    int fd = mkstemp(p->mixed);
    if (fd < 0) return ts_fail_errno(err, "cannot make a file for counting in %s", tmp && *tmp ? tmp : "/tmp");
    close(fd);
    return ts_replay_mix(p->s, train_file, p->mixed, &p->replayed, err);
}

static ts_status planning_open(planning *p, const ts_run_settings *s, const char *train_file, ts_progress *progress,
                               ts_err *err) {
    *p = (planning){.s = s, .method = ts_run_method(s), .batch = (size_t)(s->batch_size * s->grad_accum)};
    if (!p->method) return ts_fail(err, TS_INVALID, "--method \"%.40s\" is not known", s->method ? s->method : "");
    ts_net_options o = {.micro_tokens = (size_t)s->micro_tokens, .recompute = s->gradient_checkpointing};
    TS_TRY(ts_model_open(&p->m, s->model, err));
    TS_TRY(ts_net_new(&p->net, p->m, &o, err));
    ts_encoder_init(&p->encoder, p->m->path, p->m->config.vocab);
    TS_TRY(ts_encoder_template(&p->encoder, s->template, err));
    if (ts_replay_wanted(s)) TS_TRY(mix(p, train_file, err));
    if (p->mixed) train_file = p->mixed;
    TS_TRY(ts_examples_read(&p->x, train_file, &p->encoder, (size_t)s->max_length, progress, err));
    if (s->kl_weight > 0 && p->mixed) p->held = ts_replay_examples(&p->x, p->replayed);
    if (s->ewc_lambda > 0 && s->ewc_data)
        TS_TRY(ts_examples_read(&p->ewc, s->ewc_data, &p->encoder, (size_t)s->max_length, progress, err));
    p->order = ts_calloc(p->x.n + 1, sizeof *p->order);
    p->seqs = ts_calloc(TS_MIN(p->batch, p->x.n) + 1, sizeof *p->seqs);
    return TS_OK;
}

static void planning_close(planning *p) {
    if (p->mixed) unlink(p->mixed);
    free(p->mixed);
    ts_net_free(p->net);
    ts_examples_release(&p->x);
    ts_examples_release(&p->ewc);
    free(p->held);
    ts_encoder_release(&p->encoder);
    ts_model_close(p->m);
    free(p->order);
    free(p->seqs);
}

static ts_seq seq_of(const ts_example *x) {
    return (ts_seq){x->ids.items, x->labels.items, x->ids.n, x->weights};
}

/* The batch that begins at `first` of p->order; how many sequences, and their tokens. */
static size_t take_batch(planning *p, size_t first, size_t *tokens) {
    size_t n = TS_MIN(p->batch, p->x.n - first);
    *tokens = 0;
    for (size_t i = 0; i < n; i++) {
        p->seqs[i] = seq_of(&p->x.items[p->order[first + i]]);
        *tokens += p->seqs[i].n;
    }
    return n;
}

/* Supervised tokens of that batch that are held to the base. */
static size_t held_of(const planning *p, size_t first, size_t n) {
    size_t sum = 0;
    for (size_t i = first; p->held && i < first + n; i++)
        if (p->held[p->order[i]]) sum += p->x.items[p->order[i]].supervised;
    return sum;
}

static bool draws(const ts_run_settings *s) {
    return s->lora_dropout > 0 || s->neftune_noise_alpha > 0;
}

/* Over the steps of the first epochs: more bring nothing larger. */
static ts_net_load largest_load(planning *p) {
    enum { EPOCHS = 3 };
    ts_net_load most = {0};
    int64_t left = ts_train_steps(p->s, (int64_t)p->x.n);
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++) {
        ts_train_order(p->s, epoch, p->order, p->x.n);
        for (size_t first = 0; first < p->x.n && left > 0; first += p->batch, left--) {
            size_t tokens, n = take_batch(p, first, &tokens);
            ts_net_measure(p->net, p->seqs, n, draws(p->s), &most);
            most.held = TS_MAX(most.held, held_of(p, first, n));
        }
    }
    ts_seq *ewc = ts_calloc(p->ewc.n + 1, sizeof *ewc);
    for (size_t i = 0; i < p->ewc.n; i++)
        ewc[i] = seq_of(&p->ewc.items[i]);
    ts_net_measure(p->net, ewc, p->ewc.n, true, &most);
    free(ewc);
    return most;
}

/* Mapped weights count while they are read: all of them, of a head of its own the embedding's rows in use only, and of
 * full fine-tuning those that are not trained, and with KL all. A trained parameter takes 16 bytes: itself, its
 * gradient, AdamW's means; and 12 more with EWC of an adapter: where it began, its weight, and itself once more while
 * that is found. Kept in bf16: 2 less. weights, cols: what EWC of the base keeps F of. */
static double memory_of(planning *p, size_t trainable, size_t ranks, size_t weights, size_t cols) {
    const ts_model *m = p->m;
    ts_net_load most = largest_load(p);
    double base = (double)(p->method->four_bits ? ts_nf4_model_bytes(m) : m->file_bytes + ts_model_copied_bytes(m));
    if (!m->config.tied) base -= (double)(m->embed.rows * m->embed.row_bytes);
    if (p->method->whole && !p->held) base *= 1 - (double)trainable / (double)m->params;
    double each = (p->s->ewc_lambda > 0 && !ts_run_ewc_base(p->s) ? 28 : 16) - (ts_run_weights_bf16(p->s) ? 2 : 0);
    if (ts_run_ewc_base(p->s)) base += (double)ts_fisher_bytes(weights, cols);
    return base + each * (double)trainable + (double)ts_net_train_bytes(p->net, &most, ranks, p->s->use_dora) +
           8 * (double)(p->x.tokens + p->ewc.tokens) + 300 * (double)(p->x.n + p->ewc.n) + TS_PROGRAM_BYTES;
}

static double disk_of(const planning *p, size_t trainable) {
    double each = ts_run_weights_bf16(p->s) ? 2 : 4; /* of a weight; AdamW's means are 8 */
    double result = each * (p->method->whole ? (double)p->m->params : (double)trainable);
    return 2 * result + 2 * (each + 8) * (double)trainable + 2 * 8 * (double)p->x.tokens;
}

ts_status ts_train_plan_make(const ts_run_settings *s, const char *train_file, ts_progress *progress,
                             ts_train_plan *out, ts_err *err) {
    planning p;
    size_t trainable = 0, ranks = 0, weights = 0, cols = 0;
    *out = (ts_train_plan){.seconds = NAN};
    ts_status status = planning_open(&p, s, train_file, progress, err);
    if (status == TS_OK) status = ts_run_params(s, p.m, &trainable, &ranks, err);
    if (status == TS_OK) status = ts_run_weights(s, p.m, &weights, &cols, err);
    if (status != TS_OK) goto out;
    out->examples = (int64_t)p.x.n;
    out->tokens = p.x.tokens;
    out->supervised_tokens = p.x.supervised;
    out->truncated = p.x.truncated;
    out->unsupervised = p.x.unsupervised;
    out->longest = p.x.longest;
    out->context = (int64_t)p.m->config.context;
    out->replayed = p.replayed;
    memcpy(out->truncated_lines, p.x.truncated_lines, sizeof p.x.truncated_lines);
    memcpy(out->unsupervised_lines, p.x.unsupervised_lines, sizeof p.x.unsupervised_lines);
    out->steps = p.x.n ? ts_train_steps(s, (int64_t)p.x.n) : 0;
    out->trainable_params = (int64_t)trainable;
    out->all_params = (int64_t)p.m->params + (p.method->whole ? 0 : out->trainable_params);
    out->memory_bytes = (int64_t)memory_of(&p, trainable, ranks, weights, cols);
    out->disk_bytes = (int64_t)disk_of(&p, trainable);
out:
    planning_close(&p);
    return status;
}

/* ---- how long ---- */

/* Where in p->order the batch begins whose tokens are nearest to the mean. */
static size_t mean_batch(planning *p) {
    double mean = (double)p->x.tokens / (double)p->x.n * (double)TS_MIN(p->batch, p->x.n), nearest = INFINITY;
    size_t best = 0;
    ts_train_order(p->s, 0, p->order, p->x.n);
    for (size_t first = 0; first < p->x.n; first += p->batch) {
        size_t tokens;
        take_batch(p, first, &tokens);
        if (fabs((double)tokens - mean) < nearest) {
            nearest = fabs((double)tokens - mean);
            best = first;
        }
    }
    return best;
}

typedef struct trial {
    ts_adapter *a, *grad, *m, *v;
    ts_fisher *fisher;                  /* with EWC of the base */
    double learning, updating, reading; /* seconds of: loss and gradient, penalties and AdamW, loss of a token alone */
    double weighing;                    /* of what EWC's rows need */
    size_t tokens;
} trial;

/* What a step does of them; where the values come from does not matter. */
static void try_penalties(const ts_run_settings *s, trial *t) {
    if (s->l2_delta > 0) ts_penalty_l2(t->a, s->l2_delta, 1, t->grad);
    if (t->fisher)
        ts_fisher_pull(t->fisher, t->a, s->ewc_lambda, 1, t->grad);
    else if (s->ewc_lambda > 0)
        ts_penalty_ewc(t->a, t->m, t->v, s->ewc_lambda, 1, t->grad);
}

/* Some of EWC's rows, for all of them. */
static ts_status try_weighing(planning *p, trial *t, ts_progress *progress, ts_err *err) {
    ts_seq some[4];
    size_t n = TS_MIN(p->ewc.n, TS_COUNT(some));
    double begun = ts_now();
    if (n == 0) return TS_OK;
    for (size_t i = 0; i < n; i++)
        some[i] = seq_of(&p->ewc.items[i]);
    if (t->fisher)
        TS_TRY(ts_fisher_measure(t->fisher, p->net, some, n, progress, err));
    else
        TS_TRY(ts_penalty_fisher(p->net, t->a, some, n, t->v, t->grad, progress, err));
    t->weighing = (ts_now() - begun) * (double)p->ewc.n / (double)n;
    return TS_OK;
}

static ts_status try_step(planning *p, trial *t, size_t n, ts_progress *progress, ts_err *err) {
    double nll, begun = ts_now(), sums[2];
    size_t count;
    ts_dropout d = {.p = t->a->dropout, .seed = 1, .neftune = p->s->neftune_noise_alpha};
    ts_adamw o = TS_ADAMW_DEFAULTS;
    memset(t->grad->block, 0, t->grad->n_params * sizeof(float));
    TS_TRY(ts_net_backward(p->net, t->a, p->seqs, n, d, t->grad, &nll, &count, progress, err));
    t->learning = ts_now() - begun;
    begun = ts_now();
    try_penalties(p->s, t);
    sums[0] = ts_grad_norm(t->grad->block, t->grad->n_params);
    for (size_t i = 0; i < t->grad->n_params; i++)
        t->grad->block[i] *= (float)(1 / (1 + sums[0]));
    if (t->a->halves) /* both at rate 0 */
        ts_adamw_step_bf16(&o, 1, t->a->halves, t->grad->block, t->m->block, t->v->block, t->a->n_params, 1);
    else
        ts_adamw_step(&o, 1, t->a->block, t->grad->block, t->m->block, t->v->block, t->a->n_params);
    ts_adapter_refresh(t->a);
    t->updating = ts_now() - begun;
    begun = ts_now();
    TS_TRY(ts_net_nll(p->net, t->a, p->seqs, 1, sums, &count, NULL, progress, err));
    t->reading = (ts_now() - begun) / (double)p->seqs[0].n;
    return TS_OK;
}

static ts_status try_steps(planning *p, trial *t, ts_progress *progress, ts_err *err) {
    size_t n = take_batch(p, mean_batch(p), &t->tokens);
    ts_progress_what(progress, "trying a step");
    if (p->method->four_bits) TS_TRY(ts_model_to_nf4(p->m, progress, err));
    TS_TRY(ts_run_fresh(p->s, p->m, 1, &t->a, err));
    TS_TRY(ts_adapter_zero_like(&t->grad, t->a, err));
    TS_TRY(ts_adapter_zero_like(&t->m, t->a, err));
    TS_TRY(ts_adapter_zero_like(&t->v, t->a, err));
    if (ts_run_ewc_base(p->s)) TS_TRY(ts_fisher_new(&t->fisher, t->a, err));
    TS_TRY(try_weighing(p, t, progress, err));
    TS_TRY(try_step(p, t, n, progress, err)); /* the first touches the memory */
    return try_step(p, t, n, progress, err);
}

/* The base's pass over what a step holds to it. */
static double holding(const planning *p, const trial *t, double an_epoch) {
    double tokens = 0;
    for (size_t i = 0; p->held && i < p->x.n; i++)
        if (p->held[i]) tokens += (double)p->x.items[i].ids.n;
    return tokens / an_epoch * t->reading;
}

ts_status ts_train_plan_time(const ts_run_settings *s, const char *train_file, double held_out, ts_progress *progress,
                             ts_train_plan *plan, ts_err *err) {
    planning p;
    trial t = {0};
    ts_memory memory;
    ts_memory_read(&memory);
    if (memory.available >= 0 && plan->memory_bytes > memory.available)
        return ts_fail(err, TS_INVALID,
                       "a trial step takes the memory of the run, about %.2f GB, and %.2f GB are free here",
                       (double)plan->memory_bytes / 1e9, (double)memory.available / 1e9);
    ts_pool_set_threads((int)s->threads);
    ts_status status = planning_open(&p, s, train_file, progress, err);
    if (status == TS_OK && p.x.n > 0) status = try_steps(&p, &t, progress, err);
    if (status == TS_OK && p.x.n > 0) {
        double examples = (double)p.x.n * (1 - held_out), mean = (double)p.x.tokens / (double)p.x.n;
        double an_epoch = TS_MAX(ceil(examples / (double)p.batch), 1), steps = (double)plan->steps;
        double every = s->eval_every ? (double)s->eval_every : TS_MAX(1, floor(an_epoch / 4));
        double evaluations = held_out > 0 ? 1 + ceil(steps / every) : 0;
        double a_step = t.updating + t.learning / (double)t.tokens * mean * examples / an_epoch;
        plan->seconds = steps * (a_step + holding(&p, &t, an_epoch)) + t.weighing +
                        evaluations * held_out * (double)p.x.tokens * t.reading;
    }
    ts_adapter_free(t.a);
    ts_adapter_free(t.grad);
    ts_adapter_free(t.m);
    ts_adapter_free(t.v);
    ts_fisher_free(t.fisher);
    planning_close(&p);
    return status;
}
