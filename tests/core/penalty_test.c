/* The penalty on LoRA's change of the weights, against the change itself written out. */
#include "core/engine/penalty.h"

#include "core/base/rand.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <stdlib.h>
#include <string.h>

static ts_err err;

/* lambda * |s B A|^2 with the matrix made, in double. */
static double by_hand(const ts_adapter *a, double lambda) {
    double sum = 0;
    for (size_t l = 0; l < a->layers; l++)
        for (size_t p = 0; p < TS_PROJS; p++) {
            const ts_lora *x = &a->lora[l][p];
            for (size_t o = 0; x->r && o < x->out; o++)
                for (size_t i = 0; i < x->in; i++) {
                    double d = 0;
                    for (size_t k = 0; k < x->r; k++)
                        d += (double)x->b[o * x->r + k] * (double)x->a[k * x->in + i];
                    sum += (double)x->scale * d * (double)x->scale * d;
                }
        }
    return lambda * sum;
}

static void value_and_gradient(void **state) {
    (void)state;
    enum { MANY = 60 };
    const double lambda = 0.3, times = 7;
    ts_model *m = NULL;
    ts_adapter *a = NULL, *grad = NULL;
    ts_rand r;
    const char *dir = ts_test_path("tiny");
    ts_tiny_hf(dir, NULL);
    assert_ok(ts_model_open(&m, dir, &err));
    assert_ok(ts_adapter_new(&a, m, 3, 8, 0, true, 1U << TS_Q | 1U << TS_DOWN, 5, &err));
    assert_ok(ts_adapter_zero_like(&grad, a, &err));
    ts_rand_seed(&r, 11);
    for (size_t i = 0; i < a->n_params; i++) {
        a->block[i] = (float)(ts_rand_unit(&r) - 0.5);
        grad->block[i] = 2; /* what is there already stays */
    }
    double value = ts_penalty_l2(a, lambda, times, grad), want = by_hand(a, lambda);
    assert_near(value, want, 1e-9 * want, "value");
    for (int i = 0; i < MANY; i++) {
        size_t at = (size_t)ts_rand_below(&r, a->n_params);
        float was = a->block[at];
        const float step = 1.0f / 64; /* the penalty is of the second degree in each number: differences are exact */
        a->block[at] = was + step;
        double up = by_hand(a, lambda);
        a->block[at] = was - step;
        double down = by_hand(a, lambda), slope = (up - down) / (2 * (double)step);
        a->block[at] = was;
        assert_near((double)grad->block[at], 2 + times * slope, 1e-4 * (1 + 7 * (slope < 0 ? -slope : slope)), "slope");
    }
    ts_adapter_free(a);
    ts_adapter_free(grad);
    ts_model_close(m);
}

enum { PROBES = 12, ROWS = 3 };
static const int32_t ids[ROWS][5] = {{5, 9, 30, 31, 40}, {8, 7, 60, 20, 21}, {100, 3, 44, 45, 46}};
static const int32_t labels[ROWS][5] = {{-100, -100, 30, 31, 40}, {-100, 7, 60, 20, 21}, {-100, -100, -100, 45, 46}};

/* The mean over the rows of the squared slope of each one's loss, by central differences. */
static double squared_slope(ts_net *net, ts_adapter *a, const ts_seq *seqs, size_t at) {
    const float step = 1.0f / 128, was = a->block[at];
    double up[ROWS], down[ROWS], sum = 0;
    size_t count[ROWS];
    a->block[at] = was + step;
    assert_ok(ts_net_nll(net, a, seqs, ROWS, up, count, NULL, NULL, &err));
    a->block[at] = was - step;
    assert_ok(ts_net_nll(net, a, seqs, ROWS, down, count, NULL, NULL, &err));
    a->block[at] = was;
    for (size_t i = 0; i < ROWS; i++)
        sum += (up[i] - down[i]) * (up[i] - down[i]);
    return sum / (4 * (double)step * (double)step * ROWS);
}

static void check_fisher(ts_net *net, ts_adapter *a, const ts_adapter *fisher, const ts_seq *seqs, ts_rand *r) {
    double mean = 0, ratio = 0;
    int done = 0;
    for (size_t i = 0; i < a->n_params; i++)
        mean += (double)fisher->block[i] / (double)a->n_params;
    assert_near(mean, 1, 1e-5, "mean");
    for (int k = 0; done < PROBES && k < 10000; k++) {
        size_t at = (size_t)ts_rand_below(r, a->n_params);
        if (fisher->block[at] < 1) continue; /* large enough for differences of f32 */
        double now = squared_slope(net, a, seqs, at) / (double)fisher->block[at];
        if (done++ == 0) ratio = now;
        assert_near(now, ratio, 0.03 * ratio, "squared gradient"); /* all by the same factor */
    }
    assert_int_equal(done, PROBES);
}

static void check_pull(ts_adapter *a, const ts_adapter *start, const ts_adapter *fisher, ts_adapter *grad,
                       ts_adapter *scratch, ts_rand *r) {
    const double lambda = 0.3, times = 7;
    assert_true(ts_penalty_ewc(a, start, fisher, lambda, times, grad) == 0);
    for (size_t i = 0; i < a->n_params; i++)
        a->block[i] += (float)(ts_rand_unit(r) - 0.5);
    assert_true(ts_penalty_ewc(a, start, fisher, lambda, times, grad) > 0);
    memcpy(scratch->block, grad->block, a->n_params * sizeof(float));
    assert_true(ts_penalty_ewc(a, start, fisher, 0, times, grad) == 0);
    for (size_t i = 0; i < a->n_params; i++)
        assert_true(scratch->block[i] == grad->block[i]);
    for (int k = 0; k < PROBES; k++) {
        size_t at = (size_t)ts_rand_below(r, a->n_params);
        float was = a->block[at];
        a->block[at] = was + 0.125f;
        double up = ts_penalty_ewc(a, start, fisher, lambda, 0, scratch);
        a->block[at] = was - 0.125f;
        double slope = (up - ts_penalty_ewc(a, start, fisher, lambda, 0, scratch)) / 0.25;
        a->block[at] = was;
        assert_near((double)grad->block[at], times * slope, 1e-4 * (1 + 7 * (slope < 0 ? -slope : slope)), "pull");
    }
}

/* F against the slopes of single rows, the pull against differences of the value; lambda 0 changes nothing. */
static void ewc(void **state) {
    (void)state;
    ts_model *m = NULL;
    ts_net *net = NULL;
    ts_adapter *a = NULL, *like[4] = {NULL};
    ts_net_options o = {0};
    ts_seq seqs[ROWS];
    ts_rand r;
    const char *dir = ts_test_path("tiny-ewc");
    ts_tiny_hf(dir, NULL);
    assert_ok(ts_model_open(&m, dir, &err));
    assert_ok(ts_net_new(&net, m, &o, &err));
    assert_ok(ts_adapter_new(&a, m, 3, 8, 0, true, 1U << TS_Q | 1U << TS_DOWN, 5, &err));
    for (size_t i = 0; i < TS_COUNT(like); i++)
        assert_ok(ts_adapter_zero_like(&like[i], a, &err));
    for (size_t i = 0; i < ROWS; i++)
        seqs[i] = (ts_seq){.ids = ids[i], .labels = labels[i], .n = 5};
    ts_rand_seed(&r, 11);
    for (size_t i = 0; i < a->n_params; i++)
        a->block[i] = (float)(ts_rand_unit(&r) - 0.5);
    memcpy(like[0]->block, a->block, a->n_params * sizeof(float));
    assert_ok(ts_penalty_fisher(net, a, seqs, ROWS, like[1], like[3], NULL, &err));
    check_fisher(net, a, like[1], seqs, &r);
    check_pull(a, like[0], like[1], like[2], like[3], &r);
    for (size_t i = 0; i < TS_COUNT(like); i++)
        ts_adapter_free(like[i]);
    ts_adapter_free(a);
    ts_net_free(net);
    ts_model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(value_and_gradient), cmocka_unit_test(ewc)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
