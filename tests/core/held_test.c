/* What holds a model near its base: KL on replayed rows, and EWC of the base's weights. */
#include "core/base/rand.h"
#include "core/engine/fisher.h"
#include "core/engine/ops_ref.h"
#include "core/model/nf4.h"
#include "tests/support.h"
#include "tests/tiny_model.h"
#include "tests/train_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

enum { SEQS = 4, LONGEST = 12, PROBES = 10 };
/* The first and the last begin with the same tokens; the third's weights are not all 1. */
static const int32_t ids[SEQS][LONGEST] = {{5, 9, 30, 31, 40, 7, 61, 62},
                                           {8, 7, 60, 20, 21, 90, 91, 92, 93, 94, 95, 96},
                                           {100, 3, 44, 45, 46, 47},
                                           {5, 9, 30, 31, 40, 80, 81, 82, 83}};
static const int32_t labels[SEQS][LONGEST] = {
    {-100, -100, -100, -100, -100, -100, 61, 62},
    {-100, 7, 60, 20, -100, -100, -100, -100, 93, 94, 95, 96},
    {-100, -100, -100, 45, 46, 47},
    {-100, -100, -100, -100, -100, -100, 81, 82, 83},
};
static const size_t lengths[SEQS] = {8, 12, 6, 9};
static const float weights[LONGEST] = {1, 1, 1, 0.5f, 2, 1, 1, 1, 1, 1, 1, 1};
static const bool of[SEQS] = {true, false, true, true};

typedef struct fixture {
    ts_model *m;
    ts_net *net;
    ts_adapter *a, *grad;
    ts_seq seqs[SEQS];
    ts_rand r;
} fixture;

static ts_net *net_of(const ts_model *m, size_t micro_tokens, bool recompute) {
    ts_net *net;
    ts_net_options o = {.micro_tokens = micro_tokens, .recompute = recompute};
    assert_ok(ts_net_new(&net, m, &o, &err));
    return net;
}

static fixture open_model(const char *name, const ts_tiny *t, bool four_bits) {
    fixture f = {0};
    const char *dir = ts_test_path(name);
    ts_tiny_hf(dir, t);
    assert_ok(ts_model_open(&f.m, dir, &err));
    if (four_bits) assert_ok(ts_model_to_nf4(f.m, NULL, &err));
    f.net = net_of(f.m, 0, false);
    for (size_t s = 0; s < SEQS; s++)
        f.seqs[s] = (ts_seq){ids[s], labels[s], lengths[s], s == 2 ? weights : NULL};
    ts_rand_seed(&f.r, 11);
    return f;
}

static void shake(fixture *f, float size) {
    for (size_t i = 0; i < f->a->n_params; i++)
        f->a->block[i] += size * (float)ts_rand_normal(&f->r);
    ts_adapter_refresh(f->a);
}

static void close_model(fixture *f) {
    ts_adapter_free(f->a);
    ts_adapter_free(f->grad);
    ts_net_free(f->net);
    ts_model_close(f->m);
}

static void backward(const fixture *f, ts_net *net, ts_held *held, ts_adapter *grad) {
    double nll;
    size_t count;
    memset(grad->block, 0, grad->n_params * sizeof(float));
    assert_ok(ts_net_backward_held(net, f->a, f->seqs, SEQS, (ts_dropout){0}, held, grad, &nll, &count, NULL, &err));
}

/* ---- KL against the slow model ---- */

static double log_sum(const double *row, size_t n) {
    double top = row[0], sum = 0;
    for (size_t k = 1; k < n; k++)
        top = row[k] > top ? row[k] : top;
    for (size_t k = 0; k < n; k++)
        sum += exp(row[k] - top);
    return top + log(sum);
}

static double slow_kl(const fixture *f, const ts_adapter *a) {
    size_t vocab = f->m->config.vocab;
    double *p = ts_calloc(LONGEST * vocab, sizeof *p), *q = ts_calloc(LONGEST * vocab, sizeof *q), sum = 0;
    for (size_t s = 0; s < SEQS; s++) {
        if (!of[s]) continue;
        ts_ref_logits(f->m, NULL, ids[s], lengths[s], (ts_dropout){0}, 0, p);
        ts_ref_logits(f->m, a, ids[s], lengths[s], (ts_dropout){0}, 0, q);
        for (size_t t = 1; t < lengths[s]; t++) {
            const double *x = p + (t - 1) * vocab, *y = q + (t - 1) * vocab;
            double by_x = log_sum(x, vocab), by_y = log_sum(y, vocab), kl = 0;
            for (size_t k = 0; k < vocab; k++)
                kl += exp(x[k] - by_x) * ((x[k] - by_x) - (y[k] - by_y));
            if (labels[s][t] != -100) sum += kl * (f->seqs[s].weights ? (double)weights[t] : 1);
        }
    }
    free(p);
    free(q);
    return sum;
}

static const struct kl_case {
    const char *name;
    ts_tiny tiny;
    bool four_bits, whole;
} kl_cases[] = {
    {"lora", {.seed = 3}, false, false},
    {"capped", {.family = "gemma2"}, false, false}, /* logits through a soft cap */
    {"nf4", {.hidden = 64, .ffn = 128}, true, false},
    {"full", {.seed = 4}, false, true},
};

/* The value against the slow model's, the gradient that KL adds against central differences of it. */
static void check_kl(const struct kl_case *c) {
    const float step = 1.0f / 256;
    fixture f = open_model(c->name, &c->tiny, c->four_bits);
    ts_held none = {.of = of, .weight = 0}, held = {.of = of, .weight = 3};
    ts_adapter *plain = NULL;
    if (c->whole)
        assert_ok(ts_adapter_whole(&f.a, f.m, NULL, NULL, TS_F32, &err));
    else
        assert_ok(ts_adapter_new(&f.a, f.m, 3, 6, 0, false, 1U << TS_Q | 1U << TS_DOWN, 5, &err));
    assert_ok(ts_adapter_zero_like(&f.grad, f.a, &err));
    assert_ok(ts_adapter_zero_like(&plain, f.a, &err));
    shake(&f, c->whole ? 0.02f : 0.15f);
    backward(&f, f.net, &none, plain);
    backward(&f, f.net, &held, f.grad);
    double want = slow_kl(&f, f.a);
    assert_true(want > 0.001);
    assert_near(held.sum, want, 1e-4 * want, c->name);
    assert_near(none.sum, held.sum, 1e-6 * want, "the weight is not in the sum");
    for (int k = 0, done = 0; done < PROBES && k < 100000; k++) {
        size_t at = (size_t)ts_rand_below(&f.r, f.a->n_params);
        double slope = (double)f.grad->block[at] - (double)plain->block[at];
        if (fabs(slope) < 0.05 * sqrt(want)) continue; /* large enough for differences */
        float was = f.a->block[at];
        f.a->block[at] = was + step;
        ts_adapter_refresh(f.a);
        double up = slow_kl(&f, f.a);
        f.a->block[at] = was - step;
        ts_adapter_refresh(f.a);
        double by_hand = held.weight * (up - slow_kl(&f, f.a)) / (2 * (double)step);
        f.a->block[at] = was;
        ts_adapter_refresh(f.a);
        assert_near(slope, by_hand, 0.01 * fabs(by_hand) + 1e-4, c->name);
        done++;
    }
    ts_adapter_free(plain);
    close_model(&f);
}

static void kl_against_the_slow_model(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(kl_cases); i++)
        check_kl(&kl_cases[i]);
}

static void assert_close(const ts_adapter *a, const ts_adapter *b, double tolerance) {
    double square = 0, away = 0;
    for (size_t i = 0; i < a->n_params; i++) {
        square += (double)a->block[i] * (double)a->block[i];
        away += ((double)a->block[i] - (double)b->block[i]) * ((double)a->block[i] - (double)b->block[i]);
    }
    assert_true(square > 0);
    assert_near(sqrt(away / square), 0, tolerance, "gradient");
}

/* With B = 0 the model is the base: no distance, and the gradient is that of the loss to the bit. Layers calculated
 * twice give the same bits; micro-batches, and calls one behind the other, the same sum. */
static void kl_identities(void **state) {
    (void)state;
    fixture f = open_model("same", NULL, false);
    ts_adapter *other = NULL;
    ts_held held = {.of = of, .weight = 2};
    assert_ok(ts_adapter_new(&f.a, f.m, 3, 6, 0, false, 1U << TS_Q | 1U << TS_DOWN, 5, &err));
    assert_ok(ts_adapter_zero_like(&f.grad, f.a, &err));
    assert_ok(ts_adapter_zero_like(&other, f.a, &err));
    f.seqs[2].weights = NULL;
    backward(&f, f.net, &held, f.grad);
    backward(&f, f.net, NULL, other);
    assert_true(held.sum == 0);
    assert_memory_equal(f.grad->block, other->block, f.a->n_params * sizeof(float));
    f.seqs[2].weights = weights;
    shake(&f, 0.15f);
    backward(&f, f.net, &held, f.grad);
    double sum = held.sum;
    ts_net *again = net_of(f.m, 0, true), *small = net_of(f.m, 12, false);
    backward(&f, again, &held, other);
    assert_true(held.sum == sum);
    assert_memory_equal(f.grad->block, other->block, f.a->n_params * sizeof(float));
    backward(&f, small, &held, other);
    assert_near(held.sum, sum, 1e-6 * sum, "micro-batches");
    assert_close(f.grad, other, 1e-5);
    memset(other->block, 0, f.a->n_params * sizeof(float));
    double parts = 0, nll;
    for (size_t s = 0; s < SEQS; s++) {
        ts_held one = {.of = &of[s], .weight = 2};
        size_t count;
        assert_ok(
            ts_net_backward_held(f.net, f.a, &f.seqs[s], 1, (ts_dropout){0}, &one, other, &nll, &count, NULL, &err));
        parts += one.sum;
    }
    assert_near(parts, sum, 1e-6 * sum, "accumulated");
    assert_close(f.grad, other, 1e-5);
    ts_net_free(again);
    ts_net_free(small);
    ts_adapter_free(other);
    close_model(&f);
}

/* ---- EWC of the base ---- */

static const struct weight_of {
    size_t layer;
    ts_proj proj;
} adapted[] = {{0, TS_Q}, {1, TS_Q}, {0, TS_DOWN}, {1, TS_DOWN}};

/* The mean over the rows of the squared slope of each one's loss by a weight of the base, which an adapter of rank 1
 * moves: A and B have a single one. */
static double squared_slope(const fixture *f, ts_adapter *one, struct weight_of w, size_t row, size_t col) {
    const double step = 1.0 / 128;
    double nll[2][SEQS], sum = 0;
    size_t count[SEQS];
    const ts_lora *x = &one->lora[w.layer][w.proj];
    memset(one->block, 0, one->n_params * sizeof(float));
    x->a[col] = 1;
    for (int i = 0; i < 2; i++) {
        x->b[row] = (float)((i ? -step : step) / (double)x->scale);
        assert_ok(ts_net_nll(f->net, one, f->seqs, SEQS, nll[i], count, NULL, NULL, &err));
    }
    for (size_t s = 0; s < SEQS; s++)
        sum += (nll[0][s] - nll[1][s]) * (nll[0][s] - nll[1][s]);
    return sum / (4 * step * step * SEQS);
}

static void check_measured(fixture *f, const ts_fisher *fisher) {
    ts_adapter *one = NULL;
    double mean = 0, ratio = 0;
    size_t n = 0;
    int done = 0;
    assert_ok(ts_adapter_new(&one, f->m, 1, 1, 0, false, 1U << TS_Q | 1U << TS_DOWN, 5, &err));
    for (size_t k = 0; k < TS_COUNT(adapted); k++) {
        const ts_lora *x = &f->a->lora[adapted[k].layer][adapted[k].proj];
        n += x->out * x->in;
        for (size_t i = 0; i < x->out * x->in; i++)
            mean += (double)ts_fisher_at(fisher, adapted[k].layer, adapted[k].proj, i / x->in, i % x->in);
    }
    assert_near(mean / (double)n, 1, 1e-3, "mean");
    for (int k = 0; done < PROBES && k < 100000; k++) {
        struct weight_of w = adapted[ts_rand_below(&f->r, TS_COUNT(adapted))];
        const ts_lora *x = &f->a->lora[w.layer][w.proj];
        size_t row = (size_t)ts_rand_below(&f->r, x->out), col = (size_t)ts_rand_below(&f->r, x->in);
        double value = (double)ts_fisher_at(fisher, w.layer, w.proj, row, col);
        if (value < 2) continue; /* large enough for differences of f32 */
        double now = squared_slope(f, one, w, row, col) / value;
        if (done++ == 0) ratio = now;
        assert_near(now, ratio, 0.05 * ratio, "squared gradient"); /* all by the same factor */
    }
    assert_int_equal(done, PROBES);
    ts_adapter_free(one);
}

static double pull_by_hand(const fixture *f, const ts_fisher *fisher, double lambda) {
    double sum = 0;
    for (size_t k = 0; k < TS_COUNT(adapted); k++) {
        struct weight_of w = adapted[k];
        const ts_lora *x = &f->a->lora[w.layer][w.proj];
        for (size_t i = 0; i < x->out * x->in; i++) {
            size_t row = i / x->in, col = i % x->in;
            double d = 0;
            for (size_t q = 0; q < x->r; q++)
                d += (double)x->scale * (double)x->b[row * x->r + q] * (double)x->a[q * x->in + col];
            sum += (double)ts_fisher_at(fisher, w.layer, w.proj, row, col) * d * d;
        }
    }
    return lambda / 2 * sum;
}

static void check_pull(fixture *f, ts_fisher *fisher) {
    const double lambda = 0.3, times = 7;
    for (size_t i = 0; i < f->a->n_params; i++)
        f->grad->block[i] = 2; /* what is there already stays */
    double value = ts_fisher_pull(fisher, f->a, lambda, times, f->grad), want = pull_by_hand(f, fisher, lambda);
    assert_near(value, want, 1e-5 * want, "value");
    for (int k = 0; k < PROBES; k++) {
        size_t at = (size_t)ts_rand_below(&f->r, f->a->n_params);
        float was = f->a->block[at];
        f->a->block[at] = was + 0.0625f; /* of the second degree in each number: differences are exact */
        double up = pull_by_hand(f, fisher, lambda);
        f->a->block[at] = was - 0.0625f;
        double slope = (up - pull_by_hand(f, fisher, lambda)) / 0.125;
        f->a->block[at] = was;
        assert_near((double)f->grad->block[at], 2 + times * slope, 1e-3 * (1 + 7 * fabs(slope)), "slope");
    }
}

/* F against slopes of single rows, however they fall into micro-batches and whatever the adapter holds by then; the
 * pull against the merged change written out, and its differences. */
static void ewc_of_the_base(void **state) {
    (void)state;
    fixture f = open_model("ewc", NULL, false);
    ts_fisher *fisher = NULL, *again = NULL;
    ts_net *small = net_of(f.m, 12, false);
    f.seqs[2].weights = NULL;
    assert_ok(ts_adapter_new(&f.a, f.m, 3, 8, 0, true, 1U << TS_Q | 1U << TS_DOWN, 5, &err));
    assert_ok(ts_adapter_zero_like(&f.grad, f.a, &err));
    assert_ok(ts_fisher_new(&fisher, f.a, &err));
    assert_ok(ts_fisher_new(&again, f.a, &err));
    assert_ok(ts_fisher_measure(fisher, f.net, f.seqs, SEQS, NULL, &err));
    assert_true(ts_fisher_pull(fisher, f.a, 1, 1, f.grad) == 0); /* B is zero */
    shake(&f, 0.5f);
    check_measured(&f, fisher);
    check_pull(&f, fisher);
    assert_ok(ts_fisher_measure(again, f.net, f.seqs, SEQS, NULL, &err));
    assert_true(ts_fisher_pull(again, f.a, 1, 0, f.grad) == ts_fisher_pull(fisher, f.a, 1, 0, f.grad));
    assert_ok(ts_fisher_measure(again, small, f.seqs, SEQS, NULL, &err));
    double whole = ts_fisher_pull(fisher, f.a, 1, 0, f.grad);
    assert_near(ts_fisher_pull(again, f.a, 1, 0, f.grad), whole, 0.01 * whole, "micro-batches");
    ts_fisher_free(fisher);
    ts_fisher_free(again);
    ts_net_free(small);
    close_model(&f);
}

/* ---- in a run ---- */

enum { WAYS = 5 };
static const struct way {
    const char *name, *option, *value, *method;
    const char *event; /* what the events tell of it */
} ways[WAYS] = {
    {"kl", "kl-weight", "5", "lora", "kl"},       {"kl-4", "kl-weight", "5", "qlora", "kl"},
    {"kl-full", "kl-weight", "5", "full", "kl"},  {"ewc", "ewc-lambda", "2", "lora", "ewc"},
    {"ewc-4", "ewc-lambda", "2", "qlora", "ewc"},
};

static void set_way(ts_run_settings *s, const struct way *w, const char *value) {
    char *general = train_path("general.jsonl"), *model = train_path("wide");
    if (!ts_is_dir(model)) ts_tiny_hf(model, &(ts_tiny){.hidden = 64, .ffn = 128, .seed = 3});
    train_settings(s);
    ts_run_set(&s->model, model);
    train_set(s, "method", w->method);
    ts_run_set(&s->general, general);
    ts_run_set(&s->replay, general);
    train_set(s, "replay-fraction", "0.3");
    train_set(s, "micro-tokens", "32");
    if (strcmp(w->method, "full") == 0) train_set(s, "lora-dropout", "0");
    if (strcmp(w->method, "full") == 0) train_set(s, "learning-rate", "0.003");
    train_set(s, w->option, value);
    if (strcmp(w->option, "ewc-lambda") == 0 && strcmp(value, "0") != 0) {
        ts_run_set(&s->ewc_data, general);
        train_set(s, "ewc-form", "base");
    }
    free(general);
    free(model);
}

/* Stopped at every third line, or not. */
static char *run_way(const char *name, ts_run_settings *s, bool stops) {
    ts_train_result r;
    char *dir = train_create(name, s, false);
    int starts = 0;
    do {
        ts_train_stopper st = {.at = stops ? 3 : 1000};
        ts_train_options o = {.on_line = train_stop_after, .ctx = &st};
        assert_ok(ts_train_run(dir, &o, &st.progress, &r, &err));
        assert_true(++starts < 40);
    } while (r.state == TS_RUN_STOPPED);
    assert_true(!stops || starts > 1);
    return dir;
}

static void follow_way(const struct way *w) {
    ts_run_settings s;
    char name[32];
    set_way(&s, w, w->value);
    char *alone = run_way(w->name, &s, false);
    snprintf(name, sizeof name, "%s-stopped", w->name);
    set_way(&s, w, w->value);
    char *stopped = run_way(name, &s, true);
    bool whole = strcmp(w->method, "full") == 0;
    assert_same_run_file(alone, stopped, whole ? "model/model.safetensors" : "adapter/adapter_model.safetensors");
    snprintf(name, sizeof name, "%s-free", w->name);
    set_way(&s, w, "0");
    char *free_one = run_way(name, &s, false);
    snprintf(name, sizeof name, "%s-much", w->name);
    set_way(&s, w, "1000");
    char *much = run_way(name, &s, false);
    ts_follow plain = train_follow(free_one), held = train_follow(alone), hard = train_follow(much);
    for (size_t i = 0; i < TS_PENALTIES; i++) {
        bool used = strcmp(ts_penalty_names[i], w->event) == 0;
        assert_true(isnan(plain.penalties[i]) && isfinite(held.penalties[i]) == used);
    }
    assert_true(plain.points[0].loss == held.points[0].loss);                     /* it is reported beside the loss */
    assert_true(held.points[held.n_points - 1].loss < 0.9 * held.points[0].loss); /* there is still room to learn */
    assert_true(fabs(hard.general_loss - hard.general_before) < 0.3 * fabs(plain.general_loss - plain.general_before));
    ts_follow_release(&plain);
    ts_follow_release(&held);
    ts_follow_release(&hard);
    free(alone);
    free(stopped);
    free(free_one);
    free(much);
}

/* What a plan counts: of KL the base's states and logits, of full fine-tuning with it all of the base; of EWC two bytes
 * for each adapted weight or twelve for each trained one; and some time for each. */
static ts_train_plan plan_of(const char *method, const char *option, const char *value, bool base) {
    ts_run_settings s;
    ts_train_plan p;
    struct way w = {.option = option, .method = method};
    char *train = train_path("train.jsonl");
    set_way(&s, &w, value);
    if (!base) train_set(&s, "ewc-form", "adapter");
    assert_ok(ts_train_plan_make(&s, train, NULL, &p, &err));
    assert_ok(ts_train_plan_time(&s, train, 0, NULL, &p, &err));
    assert_true(p.seconds > 0 && p.seconds < 600);
    ts_run_settings_release(&s);
    free(train);
    return p;
}

static void plans_count_what_holds(void **state) {
    (void)state;
    enum { WIDTH = 64, FFN = 128, ADAPTED = 2 * (2 * WIDTH * WIDTH + 2 * WIDTH * WIDTH / 2 + 3 * WIDTH * FFN) };
    train_rows("train.jsonl", 11, 3);
    train_rows("general.jsonl", 5, 17);
    int64_t plain = plan_of("lora", "kl-weight", "0", false).memory_bytes;
    ts_train_plan own = plan_of("lora", "ewc-lambda", "1", false);
    assert_true(own.memory_bytes - plain >= 12 * own.trainable_params);
    int64_t base = plan_of("lora", "ewc-lambda", "1", true).memory_bytes - plain;
    assert_true(base >= 2 * ADAPTED && base < 2 * ADAPTED + 500000);
    assert_true(plan_of("lora", "kl-weight", "1", false).memory_bytes > plain);
    int64_t whole = plan_of("full", "kl-weight", "0", false).memory_bytes;
    assert_true(plan_of("full", "kl-weight", "1", false).memory_bytes - whole > 4 * ADAPTED);
}

static void runs_are_held(void **state) {
    (void)state;
    train_rows("train.jsonl", 11, 3);
    train_rows("general.jsonl", 5, 17);
    for (size_t i = 0; i < WAYS; i++)
        follow_way(&ways[i]);
}

static const struct refusal {
    const char *set[4][2];
    const char *says;
} refusals[] = {
    {{{"kl-weight", "1"}}, "--replay"},
    {{{"kl-weight", "1"}, {"replay", "x"}, {"replay-fraction", "0"}}, "--replay-fraction"},
    {{{"ewc-form", "base"}}, "--ewc-lambda"},
    {{{"ewc-form", "both"}}, "adapter or base"},
    {{{"ewc-lambda", "1"}, {"ewc-form", "base"}}, "--ewc-data"},
    {{{"ewc-lambda", "1"}, {"ewc-form", "base"}, {"ewc-data", "x"}, {"use-dora", "yes"}}, "--use-dora"},
    {{{"ewc-lambda", "1"}, {"ewc-data", "x"}}, "--ewc-form base"},
};

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(refusals); i++) {
        ts_run_settings s;
        train_settings(&s);
        for (size_t k = 0; k < 4 && refusals[i].set[k][0]; k++)
            train_set(&s, refusals[i].set[k][0], refusals[i].set[k][1]);
        assert_int_equal(ts_run_settings_check(&s, &err), TS_INVALID);
        if (!strstr(err.text, refusals[i].says)) fail_msg("\"%s\" lacks \"%s\"", err.text, refusals[i].says);
        ts_run_settings_release(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kl_against_the_slow_model),
        cmocka_unit_test(kl_identities),
        cmocka_unit_test(ewc_of_the_base),
        cmocka_unit_test_setup(runs_are_held, train_fresh),
        cmocka_unit_test_setup(plans_count_what_holds, train_fresh),
        cmocka_unit_test_setup(what_cannot_be_is_refused, train_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
