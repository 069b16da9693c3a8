/* Near duplicates among vectors beside every pair compared in double precision. */
#include "core/base/rand.h"
#include "dataset/vecnear.h"
#include "tests/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;
enum { N = 1100, DIMS = 24 }; /* more than two blocks */

/* A narrow cone, some twins in it, and rows without a text. */
static float *make_vectors(void) {
    ts_rand r;
    float *v = ts_calloc(N * DIMS, sizeof *v);
    ts_rand_seed(&r, 5);
    for (size_t i = 0; i < N; i++) {
        bool twin = i >= 40 && i % 10 == 3;
        for (size_t k = 0; k < DIMS; k++)
            v[i * DIMS + k] =
                twin ? v[(i - 37) * DIMS + k] + 0.25f * (float)ts_rand_normal(&r) : 20 + (float)ts_rand_normal(&r);
        if (i % 100 == 99) memset(v + i * DIMS, 0, DIMS * sizeof *v);
    }
    return v;
}

static double cosine(const float *v, const double *mean, size_t a, size_t b) {
    double dot = 0, x = 0, y = 0;
    if (a % 100 == 99 || b % 100 == 99) return 0;
    for (size_t k = 0; k < DIMS; k++) {
        double p = (double)v[a * DIMS + k] - mean[k], q = (double)v[b * DIMS + k] - mean[k];
        dot += p * q;
        x += p * p;
        y += q * q;
    }
    return dot / sqrt(x * y);
}

static void every_pair(void **state) {
    (void)state;
    float *v = make_vectors(), *given = ts_calloc(N * DIMS, sizeof *given);
    double mean[DIMS] = {0};
    ts_near near;
    ts_near_options o = TS_NEAR_DEFAULTS;
    uint64_t pairs = 0, unsure = 0;
    memcpy(given, v, N * DIMS * sizeof *v);
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < DIMS; k++)
            mean[k] += i % 100 == 99 ? 0 : (double)v[i * DIMS + k] / (N - N / 100);
    o.threshold = 0.8;
    o.keep_pairs = true;
    assert_ok(ts_near_of_vectors(given, N, DIMS, &o, NULL, &near, &err));
    for (size_t a = 0; a < N; a++)
        for (size_t b = a + 1; b < N; b++) {
            double c = cosine(v, mean, a, b);
            unsure += fabs(c - 0.8) < 1e-4;
            if (c < 0.8 || fabs(c - 0.8) < 1e-4) continue;
            assert_true(near.group[a] && near.group[a] == near.group[b]);
            assert_true((double)near.best[a] >= c - 1e-4);
            pairs++;
        }
    assert_true(near.pairs >= pairs && near.pairs <= pairs + unsure && pairs > 90);
    for (uint64_t i = 0; i < near.pairs; i++) {
        const ts_near_pair *p = &near.list[i];
        assert_near((double)p->similarity, cosine(v, mean, p->a, p->b), 1e-4, "likeness");
        assert_true((double)near.weakest[near.group[p->a]] <= (double)p->similarity);
        if (i) assert_true(near.list[i - 1].a < p->a || (near.list[i - 1].a == p->a && near.list[i - 1].b < p->b));
    }
    for (size_t i = 99; i < N; i += 100)
        assert_int_equal(near.group[i], 0);
    ts_near_release(&near);
    free(given);
    free(v);
}

static void few_and_many(void **state) {
    (void)state;
    float two[] = {1, 2, 1, 2}, none[] = {0, 0};
    ts_near near;
    ts_near_options o = TS_NEAR_DEFAULTS;
    assert_ok(ts_near_of_vectors(two, 2, 2, &o, NULL, &near, &err));
    assert_int_equal(near.groups, 1);
    assert_int_equal(near.removable, 1);
    ts_near_release(&near);
    assert_ok(ts_near_of_vectors(none, 1, 2, &o, NULL, &near, &err));
    assert_int_equal(near.groups, 0);
    ts_near_release(&near);
    assert_ok(ts_near_of_vectors(NULL, 0, 2, &o, NULL, &near, &err));
    ts_near_release(&near);
    assert_int_equal(ts_near_of_vectors(two, TS_VECNEAR_MOST + 1, 2, &o, NULL, &near, &err), TS_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_pair), cmocka_unit_test(few_and_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
