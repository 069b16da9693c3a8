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
    ts_sampling_probs(s, logits, n, &(ts_past){seen, n_seen, n_seen}, p);
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

static void ngrams_are_not_repeated(void **state) {
    (void)state;
    ts_sampling s = {.temperature = 1, .top_p = 1, .no_repeat_ngram_size = 3};
    check(&s, four, 4, (int32_t[]){3, 1, 2, 0, 3, 1}, 6, (double[]){.5 / .875, .25 / .875, 0, .125 / .875});
    check(&s, four, 4, (int32_t[]){3, 1}, 2, (double[]){.5, .25, .125, .125});
    s.no_repeat_ngram_size = 1; /* whatever occurred */
    check(&s, four, 4, (int32_t[]){0, 0, 2}, 3, (double[]){0, 2. / 3, 0, 1. / 3});
    s.no_repeat_ngram_size = 2;
    s.temperature = 0;
    check(&s, four, 4, (int32_t[]){1, 0, 1}, 3, (double[]){0, 1, 0, 0});
}

static void presence_and_frequency(void **state) {
    (void)state;
    const float flat[3] = {0, 0, 0};
    const int32_t ids[] = {0, 0, 1, 2, 2, 1};
    ts_sampling s = {.temperature = 1, .top_p = 1, .presence_penalty = 0.5, .frequency_penalty = 0.25};
    ts_past past = {ids, 6, 3};
    float p[3];
    double e[3] = {1, exp(-.75), exp(-1)}, sum = e[0] + e[1] + e[2];
    ts_sampling_probs(&s, flat, 3, &past, p); /* the answer: 2 2 1 */
    for (int i = 0; i < 3; i++)
        assert_near(p[i], e[i] / sum, 1e-6, "hf");
    s.order = TS_ORDER_LLAMACPP; /* the last five, the prompt's too: 0 1 2 2 1 */
    s.penalty_window = 5;
    double f[3] = {exp(-.75), exp(-1), exp(-1)};
    sum = f[0] + f[1] + f[2];
    ts_sampling_probs(&s, flat, 3, &past, p);
    for (int i = 0; i < 3; i++)
        assert_near(p[i], f[i] / sum, 1e-6, "llamacpp");
}

/* ---- both orders, everything on, against sorting everything in double ---- */

typedef struct slow {
    double x, p, key;
    int32_t id;
} slow;

static int slow_by_key(const void *a, const void *b) {
    const slow *x = a, *y = b;
    return x->key != y->key ? (x->key > y->key) - (x->key < y->key) : (x->id > y->id) - (x->id < y->id);
}

static void slow_share(slow *c, size_t n) {
    double top = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        top = fmax(top, c[i].x);
    for (size_t i = 0; i < n; i++)
        sum += c[i].p = exp(c[i].x - top);
    for (size_t i = 0; i < n; i++)
        c[i].p /= sum;
}

static size_t slow_front(slow *c, size_t n, double mass) {
    qsort(c, n, sizeof *c, slow_by_key);
    double sum = 0;
    size_t kept = 0;
    while (kept < n && sum < mass)
        sum += c[kept++].p;
    return kept;
}

static size_t slow_top_p(slow *c, size_t n, const ts_sampling *s) {
    slow_share(c, n);
    for (size_t i = 0; i < n; i++)
        c[i].key = -c[i].p;
    return s->top_p < 1 ? slow_front(c, n, s->top_p) : n;
}

static size_t slow_typical(slow *c, size_t n, const ts_sampling *s) {
    double entropy = 0;
    slow_share(c, n);
    for (size_t i = 0; i < n; i++)
        entropy -= c[i].p * log(c[i].p);
    for (size_t i = 0; i < n; i++)
        c[i].key = fabs(-log(c[i].p) - entropy);
    return s->typical_p < 1 ? slow_front(c, n, s->typical_p) : n;
}

static size_t slow_min_p(slow *c, size_t n, const ts_sampling *s) {
    size_t kept = 0;
    double top = 0;
    slow_share(c, n);
    for (size_t i = 0; i < n; i++)
        top = fmax(top, c[i].p);
    for (size_t i = 0; i < n; i++)
        if (c[i].p >= s->min_p * top) c[kept++] = c[i];
    return kept;
}

static size_t slow_top_k(slow *c, size_t n, const ts_sampling *s) {
    for (size_t i = 0; i < n; i++)
        c[i].key = -c[i].x;
    qsort(c, n, sizeof *c, slow_by_key);
    return s->top_k ? TS_MIN(n, (size_t)s->top_k) : n;
}

static size_t slow_warm(slow *c, size_t n, const ts_sampling *s) {
    for (size_t i = 0; i < n; i++)
        c[i].x /= s->temperature;
    return n;
}

static void nothing_sorted_is_everything_sorted(void **state) {
    (void)state;
    enum { N = 3000, ROUNDS = 60 };
    typedef size_t step(slow *, size_t, const ts_sampling *);
    step *const orders[TS_ORDERS][5] = {{slow_warm, slow_top_k, slow_top_p, slow_min_p, slow_typical},
                                        {slow_top_k, slow_typical, slow_top_p, slow_min_p, slow_warm}};
    float *logits = ts_malloc(N * sizeof *logits), *p = ts_malloc(N * sizeof *p);
    slow *c = ts_malloc(N * sizeof *c);
    ts_rand r;
    ts_rand_seed(&r, 12);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < N; i++) {
            logits[i] = (float)(ts_rand_normal(&r) * (round % 5 + 0.3));
            c[i] = (slow){.x = (double)logits[i], .id = (int32_t)i};
        }
        ts_sampling s = {.order = (ts_sampling_order)(round % 2), .temperature = 0.5 + round % 3};
        s.top_k = (int64_t[]){0, 900, 40, 2}[round / 2 % 4];
        s.top_p = (double[]){1, 0.95, 0.6}[round / 3 % 3];
        s.typical_p = (double[]){1, 0.9, 0.2}[round / 5 % 3];
        s.min_p = (double[]){0, 0.01, 0.2}[round / 7 % 3];
        size_t n = N, left = 0, differ = 0;
        for (int i = 0; i < 5; i++)
            n = orders[s.order][i](c, n, &s);
        slow_share(c, n);
        ts_sampling_probs(&s, logits, N, &(ts_past){0}, p);
        for (size_t i = 0; i < N; i++)
            left += p[i] > 0;
        for (size_t i = 0; i < n; i++)
            if (!(fabs((double)p[c[i].id] - c[i].p) < 1e-5 + 1e-3 * c[i].p)) differ++;
        if (differ > 1 || left > n + 1 || left + 1 < n) /* one may sit on an edge */
            fail_msg("round %d: %zu are left, %zu by sorting; %zu differ", round, left, n, differ);
    }
    free(logits), free(p), free(c);
}

static void settings_from_json(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {{"{\"top_p\":1.5}", "top_p must be from 0 to 1, not 1.5"},
               {"{\"top_k\":-1}", "top_k must be"},
               {"{\"top_k\":1.5}", "top_k must be a whole number"},
               {"{\"temperature\":\"hot\"}", "temperature must be a number"},
               {"{\"order\":\"mlx\"}", "no sampling order \"mlx\""}};
    ts_err err;
    ts_sampling s, again;
    ts_buf out = TS_BUF_INIT;
    for (size_t i = 0; i < TS_COUNT(bad); i++) {
        ts_json *j = ts_json_parse(bad[i].text, strlen(bad[i].text), &err);
        assert_int_equal(ts_sampling_read(j, &s, &err), TS_INVALID);
        if (!strstr(err.text, bad[i].says)) fail_msg("\"%s\" does not say \"%s\"", err.text, bad[i].says);
        ts_json_free(j);
    }
    static const char text[] = "{\"order\":\"llamacpp\",\"temperature\":0,\"top_k\":null}";
    ts_json *j = ts_json_parse(text, strlen(text), &err);
    assert_ok(ts_sampling_read(j, &s, &err));
    ts_json_free(j);
    assert_true(s.temperature == 0 && s.top_k == 40 && s.top_p == 0.95 && s.penalty_window == 64 && s.seed == 42);
    ts_jw w = ts_jw_to(&out);
    ts_jw_obj(&w);
    ts_sampling_write(&s, &w);
    ts_jw_end_obj(&w);
    j = ts_json_parse(out.data, out.len, &err);
    assert_ok(ts_sampling_read(j, &again, &err));
    assert_memory_equal(&s, &again, offsetof(ts_sampling, order));
    assert_int_equal(again.order, TS_ORDER_LLAMACPP);
    ts_json_free(j);
    ts_buf_release(&out);
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
        ts_sampling_probs(&s, logits, N, &(ts_past){0}, p);
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
        int32_t id = ts_sampling_next(&s, four, 4, &(ts_past){0}, i % 7, i / 7, NULL);
        counts[id]++;
    }
    assert_near((double)counts[0] / 20000, .5, .015, "share of token 0");
    assert_near((double)counts[1] / 20000, .25, .015, "share of token 1");
    assert_near((double)counts[3] / 20000, .125, .015, "share of token 3");
    float margin;
    assert_int_equal(ts_sampling_next(&s, four, 4, &(ts_past){0}, 3, 9, &margin),
                     ts_sampling_next(&s, four, 4, &(ts_past){0}, 3, 9, NULL));
    assert_near(margin, 0.69314718, 1e-6, "margin");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_processor_alone),
        cmocka_unit_test(the_penalty_acts_once_and_by_sign),
        cmocka_unit_test(ngrams_are_not_repeated),
        cmocka_unit_test(presence_and_frequency),
        cmocka_unit_test(nothing_sorted_is_everything_sorted),
        cmocka_unit_test(settings_from_json),
        cmocka_unit_test(top_p_follows_its_definition),
        cmocka_unit_test(draws_follow_the_probabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
