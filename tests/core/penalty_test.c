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
    enum { PROBES = 60 };
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
    for (int i = 0; i < PROBES; i++) {
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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(value_and_gradient)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
