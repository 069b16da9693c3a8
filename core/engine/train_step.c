/* One step of the optimiser. */
#include "core/engine/train_private.h"

#include "core/base/clock.h"
#include "core/base/rand.h"
#include "core/engine/penalty.h"

#include <math.h>
#include <string.h>

static void make_order(ts_trainer *t, int64_t epoch) {
    if (t->epoch_of_order == epoch) return;
    ts_train_order(&t->s, epoch, t->order, t->train.n);
    t->epoch_of_order = epoch;
}

/* The examples of step `step` (from 0) into t->seqs; *first is the place in t->order where they begin. */
static size_t make_batch(ts_trainer *t, int64_t step, size_t *first) {
    make_order(t, step / t->steps_per_epoch);
    *first = (size_t)(step % t->steps_per_epoch) * t->batch;
    size_t n = TS_MIN(t->batch, t->train.n - *first);
    for (size_t i = 0; i < n; i++) {
        t->seqs[i] = ts_train_seq(&t->train.items[t->order[*first + i]]);
        if (t->held) t->held[i] = t->replayed[t->order[*first + i]];
    }
    return n;
}

/* Which example of the batch gives a loss that is not finite; the step itself if none does alone. */
static ts_status name_culprit(ts_trainer *t, size_t first, size_t n, ts_err *err) {
    for (size_t i = 0; i < n; i++) {
        double nll;
        size_t count;
        TS_TRY(ts_net_nll(t->net, t->adapter, &t->seqs[i], 1, &nll, &count, NULL, NULL, err));
        if (!isfinite(nll))
            return ts_fail(err, TS_INVALID,
                           "the loss is not finite at step %lld: line %lld of train.jsonl; the state before it is kept "
                           "(look at that example, lower --learning-rate)",
                           (long long)t->at.step + 1, (long long)t->train.lines[t->order[first + i]]);
    }
    return ts_fail(
        err, TS_INVALID,
        "the gradient is not finite at step %lld (lines of train.jsonl from %lld on); the state before it is "
        "kept (lower --learning-rate)",
        (long long)t->at.step + 1, (long long)t->train.lines[t->order[first]]);
}

/* AdamW on n parameters that begin at `from` of the block. */
static void update_part(ts_trainer *t, const ts_adamw *o, size_t from, size_t n) {
    if (!n) return; /* without LoRA, and in bf16 there is no block */
    ts_adamw_step(o, (size_t)t->at.updates, t->adapter->block + from, t->grad->block + from, t->m->block + from,
                  t->v->block + from, n);
}

/* LoRA+ (PEFT's optimizers/loraplus.py): A at the learning rate, B and magnitudes at a multiple of it. */
static void update_lora(ts_trainer *t, const ts_adamw *o, const ts_adamw *fast) {
    for (size_t l = 0; l < t->adapter->layers; l++)
        for (size_t p = 0; p < TS_PROJS; p++) {
            const ts_lora *x = &t->adapter->lora[l][p];
            if (!x->r) continue;
            size_t a = (size_t)(x->a - t->adapter->block), n_a = x->r * x->in;
            update_part(t, o, a, n_a);
            update_part(t, fast, a + n_a, x->out * x->r + (x->mag ? x->out : 0));
        }
}

/* Modules that are trained whole. Norms and biases do not decay (transformers' get_decay_parameter_names), and in LoRA+
 * they are with the fast ones, as there. */
static void update_whole(ts_trainer *t, const ts_adamw *o, const ts_adamw *fast) {
    uint64_t key = ts_rand_mix(ts_rand_mix((uint64_t)t->s.seed, TS_STREAM_ROUND), (uint64_t)t->at.step);
    for (size_t i = 0; i < t->adapter->n_saved; i++) {
        const ts_saved *s = &t->adapter->saved[i];
        size_t at = s->at, n = s->weight.rows * s->weight.cols;
        ts_adamw vector = *fast;
        vector.weight_decay = 0;
        const ts_adamw *which = s->factors ? &vector : o;
        if (t->adapter->halves)
            ts_adamw_step_bf16(which, (size_t)t->at.updates, t->adapter->halves + at, t->grad->block + at,
                               t->m->block + at, t->v->block + at, n, ts_rand_mix(key, i));
        else
            update_part(t, which, at, n);
    }
}

static void update(ts_trainer *t, double lr, double norm, double scale) {
    ts_adamw o = TS_ADAMW_DEFAULTS;
    o.lr = lr;
    o.weight_decay = t->s.weight_decay;
    double clip = t->s.max_grad_norm > 0 ? ts_clip_factor(norm, t->s.max_grad_norm) : 1;
    float factor = (float)(scale * clip);
    if (factor != 1)
        for (size_t i = 0; i < t->grad->n_params; i++)
            t->grad->block[i] *= factor;
    t->at.updates++;
    ts_adamw fast = o;
    fast.lr *= t->s.loraplus_lr_ratio;
    if (t->s.loraplus_lr_ratio == 1)
        update_part(t, &o, 0, t->adapter->n_params - t->adapter->n_held);
    else
        update_lora(t, &o, &fast);
    update_whole(t, &o, &fast);
    ts_adapter_refresh(t->adapter);
}

/* What the penalties add to the loss; NAN: it is not used. Their gradients, times `weight`, are added to what the pass
 * left in t->grad; KL's is in it already. */
static void add_penalties(ts_trainer *t, const ts_held *held, double weight, double out[TS_PENALTIES]) {
    for (size_t i = 0; i < TS_PENALTIES; i++)
        out[i] = NAN;
    if (t->held) out[TS_PENALTY_KL] = held->weight * held->sum / weight;
    if (t->s.l2_delta > 0) out[TS_PENALTY_L2] = ts_penalty_l2(t->adapter, t->s.l2_delta, weight, t->grad);
    if (t->fisher)
        out[TS_PENALTY_EWC] = ts_penalty_ewc(t->adapter, t->start, t->fisher, t->s.ewc_lambda, weight, t->grad);
    if (t->base_fisher)
        out[TS_PENALTY_EWC] = ts_fisher_pull(t->base_fisher, t->adapter, t->s.ewc_lambda, weight, t->grad);
}

static void report_penalties(ts_jw *w, const double penalties[TS_PENALTIES]) {
    double sum = 0;
    bool any = false;
    for (size_t i = 0; i < TS_PENALTIES; i++)
        if (!isnan(penalties[i])) {
            ts_jw_knum(w, ts_penalty_names[i], penalties[i]);
            sum += penalties[i];
            any = true;
        }
    if (any) ts_jw_knum(w, "penalty", sum);
}

static ts_status report_step(ts_trainer *t, double loss, const double penalties[TS_PENALTIES], double lr, double norm,
                             size_t tokens, size_t supervised, double seconds, ts_err *err) {
    ts_jw w = ts_events_begin(&t->line, "step", t->at.step);
    ts_jw_knum(&w, "loss", loss);
    report_penalties(&w, penalties);
    ts_jw_knum(&w, "lr", lr);
    ts_jw_knum(&w, "grad_norm", norm);
    ts_jw_kint(&w, "tokens", (int64_t)tokens);
    ts_jw_kint(&w, "supervised_tokens", (int64_t)supervised);
    ts_jw_knum(&w, "seconds", seconds);
    ts_jw_kint(&w, "peak_rss_bytes", ts_peak_rss());
    ts_train_say(t, "step %lld/%lld  loss %.4f  lr %.3g  grad norm %.3f  %.0f tok/s", (long long)t->at.step,
                 (long long)t->steps, loss, lr, norm, (double)tokens / TS_MAX(seconds, 1e-9));
    return ts_events_add(&t->events, &w, err);
}

ts_status ts_train_step(ts_trainer *t, ts_err *err) {
    double begun = ts_now(), nll = 0, penalties[TS_PENALTIES], weight = 0;
    size_t count = 0, first, tokens = 0, n = make_batch(t, t->at.step, &first);
    ts_dropout dropout = {.p = t->adapter->dropout,
                          .seed =
                              ts_rand_mix(ts_rand_mix((uint64_t)t->s.seed, TS_STREAM_DROPOUT), (uint64_t)t->at.step),
                          .neftune = t->s.neftune_noise_alpha};
    for (size_t i = 0; i < n; i++) {
        tokens += t->seqs[i].n;
        weight += ts_seq_weight(&t->seqs[i]);
    }
    memset(t->grad->block, 0, t->grad->n_params * sizeof(float));
    ts_held held = {.of = t->held, .weight = t->s.kl_weight};
    TS_TRY(ts_net_backward_held(t->net, t->adapter, t->seqs, n, dropout, t->held ? &held : NULL, t->grad, &nll, &count,
                                t->progress, err));
    if (weight <= 0) weight = 1;
    /* the gradient is still the sum over the tokens, by their weights: so is the penalty's, before norm and clipping */
    add_penalties(t, &held, weight, penalties);
    double scale = 1 / weight, norm = ts_grad_norm(t->grad->block, t->grad->n_params) * scale;
    double factor = ts_schedule_factor(t->schedule, (size_t)t->at.step, (size_t)t->steps, (size_t)t->warmup);
    if (!isfinite(nll) || !isfinite(norm)) return name_culprit(t, first, n, err);
    if (count > 0) update(t, t->s.learning_rate * factor, norm, scale);
    t->at.step++;
    double seconds = ts_now() - begun;
    t->at.seconds += seconds;
    if (count == 0)
        return ts_train_warn(t, err, "step %lld has no supervised token and changed nothing", (long long)t->at.step);
    return report_step(t, nll * scale, penalties, t->s.learning_rate * factor, norm, tokens, count, seconds, err);
}
