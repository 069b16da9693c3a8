#include "core/model/adapter_combine.h"

#include "core/base/rand.h"
#include "core/model/adapter_private.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;
enum { QV = 1 << TS_Q | 1 << TS_V, ALL = (1 << TS_PROJS) - 1 };

static ts_model *tiny(void) {
    ts_model *m;
    const char *dir = ts_test_dir();
    ts_tiny_hf(dir, NULL);
    assert_ok(ts_model_open(&m, dir, &err));
    return m;
}

static ts_adapter *filled(const ts_model *m, size_t r, unsigned targets, bool rslora, uint64_t seed) {
    ts_adapter *a;
    ts_rand random;
    assert_ok(ts_adapter_new(&a, m, r, 12, 0, rslora, targets, seed, &err));
    ts_rand_seed(&random, seed);
    for (size_t i = 0; i < a->n_params; i++)
        a->block[i] = (float)ts_rand_normal(&random) * .1f;
    return a;
}

/* Element [row, col] of s B A, in double. */
static double change(const ts_adapter *a, ts_module module, size_t row, size_t col) {
    const ts_lora *x = ts_adapter_lora(a, module);
    double sum = 0;
    for (size_t k = 0; k < x->r; k++)
        sum += (double)x->b[row * x->r + k] * (double)x->a[k * x->in + col];
    return sum * (double)x->scale;
}

/* The largest difference of the whole change from w1 dW1 + w2 dW2, over every element of every module. */
static double distance(const ts_adapter *sum, const ts_weighted *parts, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < ts_module_count(sum->model); i++) {
        ts_module module = ts_module_at(sum->model, i);
        size_t rows, cols;
        ts_module_size(sum->model, module, &rows, &cols);
        for (size_t k = 0; k < rows * cols && module.kind == TS_MODULE_PROJ; k++) {
            double want = 0;
            for (size_t p = 0; p < n; p++)
                want += parts[p].weight * change(parts[p].adapter, module, k / cols, k % cols);
            worst = fmax(worst, fabs(change(sum, module, k / cols, k % cols) - want));
        }
    }
    return worst;
}

static void exact_ways_add_up(void **state) {
    (void)state;
    ts_model *m = tiny();
    ts_adapter *sum, *again, *a = filled(m, 4, QV, false, 1), *b = filled(m, 6, ALL, true, 2);
    ts_weighted parts[] = {{a, .7, "a"}, {b, -.4, "b"}};
    assert_ok(ts_adapter_combine(&sum, parts, 2, TS_COMBINE_CAT, 0, NULL, &err));
    assert_int_equal(sum->settings.r, 10);
    assert_true(distance(sum, parts, 2) < 1e-7);
    const char *dir = ts_test_path("sum"); /* what is not adapted in one of them counts as 0, also when read again */
    assert_ok(ts_adapter_save(sum, dir, &err));
    assert_ok(ts_adapter_load(&again, dir, m, &err));
    assert_true(distance(again, parts, 2) < 1e-7);
    ts_adapter_free(again);
    ts_adapter_free(sum);
    assert_ok(ts_adapter_combine(&sum, parts, 2, TS_COMBINE_SVD, 10, NULL, &err)); /* all directions that there are */
    assert_true(distance(sum, parts, 2) < 1e-7);
    ts_adapter_free(sum);
    assert_ok(ts_adapter_combine(&sum, parts, 1, TS_COMBINE_LINEAR, 0, NULL, &err));
    assert_true(distance(sum, parts, 1) < 1e-7);
    ts_adapter_free(sum);
    ts_adapter_free(a);
    ts_adapter_free(b);
    ts_model_close(m);
}

/* sqrt(w s) on both sides, the sign on A's: PEFT's rule, counted by hand. */
static void linear_is_peft_s(void **state) {
    (void)state;
    ts_model *m = tiny();
    ts_adapter *sum, *a = filled(m, 3, QV, false, 1), *b = filled(m, 3, QV, false, 2);
    ts_weighted parts[] = {{a, .5, "a"}, {b, -.25, "b"}}; /* scale 4: 2 and -1 */
    assert_ok(ts_adapter_combine(&sum, parts, 2, TS_COMBINE_LINEAR, 0, NULL, &err));
    const ts_lora *x = &a->lora[1][TS_V], *y = &b->lora[1][TS_V], *z = &sum->lora[1][TS_V];
    assert_int_equal(z->r, 3);
    assert_true(z->scale == 1);
    for (size_t i = 0; i < 3 * z->in; i++)
        assert_near((double)z->a[i], sqrt(2) * (double)x->a[i] - (double)y->a[i], 1e-7, "A");
    for (size_t i = 0; i < 3 * z->out; i++)
        assert_near((double)z->b[i], sqrt(2) * (double)x->b[i] + (double)y->b[i], 1e-7, "B");
    ts_adapter_free(sum);
    ts_adapter_free(a);
    ts_adapter_free(b);
    ts_model_close(m);
}

/* The squares of what is left out are the squares of the directions left out, and each part is at right angles. */
static void svd_keeps_the_strongest(void **state) {
    (void)state;
    enum { OUT = 9, IN = 7, N = 5, R = 2 };
    double p[OUT * N], q[N * IN], u[OUT * N], v[N * IN], small[OUT * R], right[R * IN], lost = 0, rest = 0;
    ts_rand random;
    ts_rand_seed(&random, 5);
    for (size_t i = 0; i < OUT * N; i++)
        p[i] = ts_rand_normal(&random);
    for (size_t i = 0; i < N * IN; i++)
        q[i] = ts_rand_normal(&random);
    for (size_t i = 0; i < OUT; i++) /* one column is another's double: only four directions are there */
        p[i * N + 3] = 2 * p[i * N + 1];
    ts_svd_product(p, q, OUT, N, IN, N, u, v);
    ts_svd_product(p, q, OUT, N, IN, R, small, right);
    for (size_t i = 0; i < OUT; i++)
        for (size_t j = 0; j < IN; j++) {
            double want = 0, all = 0, some = 0;
            for (size_t k = 0; k < N; k++) {
                want += p[i * N + k] * q[k * IN + j];
                all += u[i * N + k] * v[k * IN + j];
            }
            for (size_t k = 0; k < R; k++)
                some += small[i * R + k] * right[k * IN + j];
            assert_near(all, want, 1e-12, "all directions");
            lost += (some - want) * (some - want);
        }
    for (size_t k = 0; k < N; k++) {
        double size = 0, length = 0;
        for (size_t i = 0; i < OUT; i++)
            size += u[i * N + k] * u[i * N + k];
        for (size_t j = 0; j < IN; j++)
            length += v[k * IN + j] * v[k * IN + j];
        if (k >= R) rest += size;
        if (k == 4) assert_near(size, 0, 1e-20, "the fifth is nothing");
        if (k < 4) assert_near(length, 1, 1e-12, "length");
    }
    assert_near(lost, rest, 1e-10, "what is lost");
}

static void what_cannot_be_added_is_said(void **state) {
    (void)state;
    ts_model *m = tiny();
    ts_adapter *sum, *dora, *a = filled(m, 4, QV, false, 1), *b = filled(m, 6, QV, false, 2);
    ts_adapter_settings settings = {.r = 4, .alpha = 8, .dora = true};
    ts_weighted parts[] = {{a, .7, "first"}, {b, .3, "second"}};
    assert_int_equal(ts_adapter_combine(&sum, parts, 2, TS_COMBINE_LINEAR, 0, NULL, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "first"));
    parts[1].weight = NAN;
    assert_int_equal(ts_adapter_combine(&sum, parts, 2, TS_COMBINE_CAT, 0, NULL, &err), TS_INVALID);
    assert_ok(ts_targets_set(&settings, "q_proj", m, &err));
    assert_ok(ts_adapter_make(&dora, m, &settings, 1, &err));
    parts[1] = (ts_weighted){dora, 1, "second"};
    assert_int_equal(ts_adapter_combine(&sum, parts, 2, TS_COMBINE_CAT, 0, NULL, &err), TS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "second is a DoRA adapter"));
    assert_null(sum);
    ts_adapter_settings_release(&settings);
    ts_adapter_free(a);
    ts_adapter_free(b);
    ts_adapter_free(dora);
    ts_model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_ways_add_up),
        cmocka_unit_test(linear_is_peft_s),
        cmocka_unit_test(svd_keeps_the_strongest),
        cmocka_unit_test(what_cannot_be_added_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
