#include "tests/support.h"

#include "core/base/rand.h"
#include "core/engine/optim.h"
#include "core/model/tensor.h"
#include "core/work/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

/* torch 2.13: p = [1], g = [0.1], lr 0.1, weight_decay 0.01. */
static void adamw_first_step_is_torchs(void **state) {
    (void)state;
    float p = 1, g = 0.1f, m = 0, v = 0;
    ts_adamw o = TS_ADAMW_DEFAULTS;
    o.lr = 0.1;
    o.weight_decay = 0.01;
    ts_adamw_step(&o, 1, &p, &g, &m, &v, 1);
    assert_near(p, 0.89900001, 2e-7, "p");
    assert_near(m, 0.01, 1e-8, "m");
    assert_near(v, 1e-5, 1e-11, "v");
}

/* Against the formulas in double, over several steps. */
static void adamw_follows_its_formula(void **state) {
    (void)state;
    enum { N = 70000, STEPS = 5 };
    float *p = malloc(N * sizeof *p), *g = malloc(N * sizeof *g), *m = calloc(N, sizeof *m), *v = calloc(N, sizeof *v);
    double *pd = malloc(N * sizeof *pd), *md = calloc(N, sizeof *md), *vd = calloc(N, sizeof *vd);
    ts_rand r;
    ts_rand_seed(&r, 3);
    for (size_t i = 0; i < N; i++)
        pd[i] = p[i] = (float)ts_rand_normal(&r);
    ts_adamw o = TS_ADAMW_DEFAULTS;
    o.lr = 1e-2;
    o.weight_decay = 0.1;
    for (size_t t = 1; t <= STEPS; t++) {
        for (size_t i = 0; i < N; i++) {
            g[i] = (float)ts_rand_normal(&r);
            md[i] = o.beta1 * md[i] + (1 - o.beta1) * g[i];
            vd[i] = o.beta2 * vd[i] + (1 - o.beta2) * g[i] * g[i];
            pd[i] -= o.lr * o.weight_decay * pd[i];
            pd[i] -= o.lr / (1 - pow(o.beta1, (double)t)) * md[i] /
                     (sqrt(vd[i]) / sqrt(1 - pow(o.beta2, (double)t)) + o.eps);
        }
        ts_adamw_step(&o, t, p, g, m, v, N);
    }
    for (size_t i = 0; i < N; i++)
        assert_near(p[i], pd[i], 2e-6, "parameter");
    free(p), free(g), free(m), free(v), free(pd), free(md), free(vd);
}

static void threads_do_not_change_a_bit(void **state) {
    (void)state;
    enum { N = 100003 };
    float *g = malloc(N * sizeof *g), *p[2], *m = malloc(N * sizeof *m), *v = malloc(N * sizeof *v);
    ts_rand r;
    ts_rand_seed(&r, 4);
    for (size_t i = 0; i < N; i++)
        g[i] = (float)ts_rand_normal(&r);
    double norm[2];
    ts_adamw o = TS_ADAMW_DEFAULTS;
    o.lr = 1e-3;
    for (int k = 0; k < 2; k++) {
        ts_pool_set_threads(k == 0 ? 1 : 3);
        p[k] = calloc(N, sizeof *p[k]);
        memset(m, 0, N * sizeof *m);
        memset(v, 0, N * sizeof *v);
        ts_adamw_step(&o, 1, p[k], g, m, v, N);
        norm[k] = ts_grad_norm(g, N);
    }
    assert_memory_equal(p[0], p[1], N * sizeof *p[0]);
    assert_true(norm[0] == norm[1]);
    assert_near(norm[0] * norm[0] / N, 1, 0.02, "mean square of normal numbers");
    free(g), free(p[0]), free(p[1]), free(m), free(v);
    ts_pool_set_threads(0);
}

static void clipping_keeps_small_gradients(void **state) {
    (void)state;
    assert_true(ts_clip_factor(0.5, 1) == 1);
    assert_near(ts_clip_factor(4, 1), 1 / (4 + 1e-6), 1e-15, "factor");
    assert_true(ts_clip_factor(0, 1) == 1);
    assert_true(ts_grad_norm(NULL, 0) == 0);
}

/* Check values of transformers' schedules: base 2e-4, 100 steps, 10 of them warm-up. */
static void schedules_are_transformers(void **state) {
    (void)state;
    assert_near(2e-4 * ts_schedule_factor(TS_COSINE, 5, 100, 10), 1e-4, 1e-15, "k 5");
    assert_near(2e-4 * ts_schedule_factor(TS_COSINE, 10, 100, 10), 2e-4, 1e-15, "k 10");
    assert_near(2e-4 * ts_schedule_factor(TS_COSINE, 55, 100, 10), 1e-4, 1e-15, "k 55");
    assert_near(2e-4 * ts_schedule_factor(TS_COSINE, 99, 100, 10), 6.09e-8, 1e-10, "k 99");
    assert_near(ts_schedule_factor(TS_COSINE, 100, 100, 10), 0, 0, "past the end");
    assert_near(ts_schedule_factor(TS_LINEAR, 55, 100, 10), 0.5, 1e-15, "linear");
    assert_near(ts_schedule_factor(TS_LINEAR, 200, 100, 10), 0, 0, "linear past the end");
    assert_near(ts_schedule_factor(TS_CONSTANT, 99, 100, 10), 1, 0, "constant");
    assert_near(ts_schedule_factor(TS_CONSTANT, 0, 100, 10), 0, 0, "constant warms up");
    assert_near(ts_schedule_factor(TS_COSINE, 0, 1, 0), 1, 0, "one step");
    assert_near(ts_schedule_factor(TS_WSD, 5, 100, 10), 0.5, 1e-15, "wsd warms up");
    assert_near(ts_schedule_factor(TS_WSD, 80, 100, 10), 1, 0, "wsd is stable");
    assert_near(ts_schedule_factor(TS_WSD, 85, 100, 10), 0.5, 1e-15, "wsd decays");
    assert_near(ts_schedule_factor(TS_WSD, 100, 100, 10), 0, 1e-15, "wsd ends");
    assert_near(ts_schedule_factor(TS_WSD, 95, 100, 90), 1 - sqrt(.5), 1e-15, "wsd after a long warm-up");
    ts_schedule s;
    assert_ok(ts_schedule_parse("linear", &s, &err));
    assert_int_equal(s, TS_LINEAR);
    assert_int_equal(ts_schedule_parse("cosin", &s, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "'cosin'"));
}

enum { HALVES = 300007 }; /* no multiple of what is taken at once */

/* HALVES weights of 1 in bf16 after one step with gradients of 1 at this rate, the sum of them in *sum. */
static uint16_t *step_of_ones(double rate, uint64_t key, double *sum) {
    uint16_t *p = malloc(HALVES * sizeof *p);
    float *g = malloc(HALVES * sizeof *g), *m = calloc(HALVES, sizeof *m), *v = calloc(HALVES, sizeof *v);
    ts_adamw o = TS_ADAMW_DEFAULTS;
    o.lr = rate;
    for (size_t i = 0; i < HALVES; i++) {
        p[i] = ts_f32_to_bf16(1);
        g[i] = 1;
    }
    ts_adamw_step_bf16(&o, 1, p, g, m, v, HALVES, key);
    *sum = 0;
    for (size_t i = 0; i < HALVES; i++)
        *sum += (double)ts_bf16_to_f32(p[i]);
    assert_near(m[HALVES - 1], 0.1, 1e-7, "its mean is f32");
    free(g), free(m), free(v);
    return p;
}

/* A step of 1e-4 is a 39th of what bf16 can tell from 1: rounding to nearest would never take it. In the mean it is
 * taken: 300,007 draws of a 256th or nothing, within 4.5 deviations of their mean. */
static void bf16_takes_small_steps_in_the_mean(void **state) {
    (void)state;
    double sum, unit = 0x1p-8, share = 1e-4 / unit, deviation = unit * sqrt(share * (1 - share) / HALVES);
    for (uint64_t key = 0; key < 3; key++) {
        free(step_of_ones(1e-4, key, &sum));
        assert_near(sum / HALVES, 1 - 1e-4, 4.5 * deviation, "mean");
    }
    free(step_of_ones(0, 1, &sum));
    assert_true(sum == HALVES);
}

/* Which of them moved follows from the key alone. */
static void bf16_steps_follow_from_the_key(void **state) {
    (void)state;
    double sum;
    uint16_t *first = step_of_ones(1e-3, 7, &sum), *other = step_of_ones(1e-3, 8, &sum);
    size_t both = 0, one = 0;
    for (int threads = 1; threads <= 3; threads++) {
        ts_pool_set_threads(threads);
        uint16_t *again = step_of_ones(1e-3, 7, &sum);
        assert_memory_equal(first, again, HALVES * sizeof *first);
        free(again);
    }
    ts_pool_set_threads(0);
    for (size_t i = 0; i < HALVES; i++) {
        one += first[i] != ts_f32_to_bf16(1);
        both += first[i] != ts_f32_to_bf16(1) && other[i] != ts_f32_to_bf16(1);
    }
    assert_near((double)both / (double)one, 0.256, 0.01, "two keys are independent");
    for (size_t apart = 1, n; apart < 6; apart++) {
        n = 0;
        for (size_t i = apart; i < HALVES; i++)
            n += first[i] != ts_f32_to_bf16(1) && first[i - apart] != ts_f32_to_bf16(1);
        assert_near((double)n / (double)one, 0.256, 0.01, "so are neighbours");
    }
    free(first), free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_first_step_is_torchs),     cmocka_unit_test(adamw_follows_its_formula),
        cmocka_unit_test(threads_do_not_change_a_bit),    cmocka_unit_test(clipping_keeps_small_gradients),
        cmocka_unit_test(schedules_are_transformers),     cmocka_unit_test(bf16_takes_small_steps_in_the_mean),
        cmocka_unit_test(bf16_steps_follow_from_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
