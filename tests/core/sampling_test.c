/* The logits processors on rows small enough to work out by hand. */
#include "tests/support.h"

#include "core/base/rand.h"
#include "core/engine/net_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check(const ts_sampling *s, const float *logits, size_t n, const int32_t *seen, size_t n_seen,
                  const double *want) {
    float *p = ts_malloc(n * sizeof *p);
    ts_sampling_probs(s, logits, n, seen, n_seen, p);
    for (size_t i = 0; i < n; i++)
        assert_near(p[i], want[i], 1e-6, "probability");
    free(p);
}

/* logits of the probabilities .5 .25 .125 .125 */
static const float four[4] = {0, -0.69314718f, -1.3862944f, -1.3862944f};

static void each_processor_alone(void **state) {
    (void)state;
    ts_sampling s = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};
    check(&s, four, 4, NULL, 0, (double[]){.5, .25, .125, .125});
    s.top_k = 2;
    check(&s, four, 4, NULL, 0, (double[]){2. / 3, 1. / 3, 0, 0});
    s.top_k = 3; /* the third and the fourth are equal: both stay */
    check(&s, four, 4, NULL, 0, (double[]){.5, .25, .125, .125});
    s.top_k = 0;
    s.top_p = 0.7; /* .125 + .125 <= .3 go; .5 does not */
    check(&s, four, 4, NULL, 0, (double[]){2. / 3, 1. / 3, 0, 0});
    s.top_p = 0.01; /* the best always stays */
    check(&s, four, 4, NULL, 0, (double[]){1, 0, 0, 0});
    s.top_p = 1;
    s.min_p = 0.4; /* of .5: less than .2 goes */
    check(&s, four, 4, NULL, 0, (double[]){2. / 3, 1. / 3, 0, 0});
    s.min_p = 0;
    s.temperature = 0.5;
    check(&s, four, 4, NULL, 0, (double[]){.25 / .34375, .0625 / .34375, .015625 / .34375, .015625 / .34375});
    s.temperature = 0;
    check(&s, four, 4, NULL, 0, (double[]){1, 0, 0, 0});
}

static void the_penalty_acts_once_and_by_sign(void **state) {
    (void)state;
    const float logits[3] = {1, -1, 0.5f};
    ts_sampling s = {.temperature = 1, .top_p = 1, .repetition_penalty = 2};
    double e[3] = {exp(.5), exp(-2), exp(.5)}, sum = e[0] + e[1] + e[2];
    check(&s, logits, 3, (int32_t[]){1, 0, 1, 1, 0}, 5, (double[]){e[0] / sum, e[1] / sum, e[2] / sum});
    s.temperature = 0; /* greedy sees it too: now token 2 ties with 0 and 0 comes first */
    check(&s, logits, 3, (int32_t[]){0}, 1, (double[]){1, 0, 0});
    s.repetition_penalty = 3;
    check(&s, logits, 3, (int32_t[]){0}, 1, (double[]){0, 0, 1});
}

/* top_p against its definition on a large random row: sort ascending, drop while the sum is <= 1 - p. */
static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void top_p_follows_its_definition(void **state) {
    (void)state;
    enum { N = 5000 };
    float *logits = ts_malloc(N * sizeof *logits), *p = ts_malloc(N * sizeof *p);
    double *sorted = ts_malloc(N * sizeof *sorted);
    ts_rand r;
    ts_rand_seed(&r, 2);
    for (int round = 0; round < 8; round++) {
        double sum = 0, cum = 0;
        for (size_t i = 0; i < N; i++) {
            logits[i] = (float)(ts_rand_normal(&r) * (round % 4 + 0.5));
            sorted[i] = exp((double)logits[i]);
            sum += sorted[i];
        }
        qsort(sorted, N, sizeof *sorted, ascending);
        double top_p = round < 4 ? 0.9 : 0.3;
        size_t dropped = 0;
        while (dropped + 1 < N && (cum += sorted[dropped] / sum) <= 1 - top_p)
            dropped++;
        ts_sampling s = {.temperature = 1, .top_p = top_p, .repetition_penalty = 1};
        ts_sampling_probs(&s, logits, N, NULL, 0, p);
        size_t left = 0;
        for (size_t i = 0; i < N; i++)
            left += p[i] > 0;
        assert_near((double)left, (double)(N - dropped), 1, "tokens left");
    }
    free(logits), free(p), free(sorted);
}

static void draws_follow_the_probabilities(void **state) {
    (void)state;
    ts_sampling s = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 5};
    size_t counts[4] = {0};
    for (size_t i = 0; i < 20000; i++) {
        int32_t id = ts_sampling_next(&s, four, 4, NULL, 0, i % 7, i / 7, NULL);
        counts[id]++;
    }
    assert_near((double)counts[0] / 20000, .5, .015, "share of token 0");
    assert_near((double)counts[1] / 20000, .25, .015, "share of token 1");
    assert_near((double)counts[3] / 20000, .125, .015, "share of token 3");
    float margin;
    assert_int_equal(ts_sampling_next(&s, four, 4, NULL, 0, 3, 9, &margin),
                     ts_sampling_next(&s, four, 4, NULL, 0, 3, 9, NULL));
    assert_near(margin, 0.69314718, 1e-6, "margin");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_processor_alone),
        cmocka_unit_test(the_penalty_acts_once_and_by_sign),
        cmocka_unit_test(top_p_follows_its_definition),
        cmocka_unit_test(draws_follow_the_probabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
