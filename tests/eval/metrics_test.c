/* Metrics of texts beside rouge-score and sacrebleu on real pairs, and beside values worked out by hand; intervals and
 * the sign test beside published values. */
#include "eval/certainty.h"
#include "eval/metrics.h"
#include "tests/golden_support.h"

static ts_text text_of(const char *s) {
    return (ts_text){s, strlen(s)};
}

static double number(const ts_json *row, const char *key) {
    return ts_json_num(ts_json_get(row, key), NAN);
}

static double bleu(ts_text a, ts_text b) {
    double counts[TS_BLEU_COUNTS];
    ts_bleu_counts(a, b, counts);
    return ts_bleu(counts);
}

static double chrf(ts_text a, ts_text b) {
    double counts[TS_CHRF_COUNTS];
    ts_chrf_counts(a, b, counts);
    return ts_chrf(counts);
}

static void real_pairs(void **state) {
    (void)state;
    ts_json *root = golden_json("golden/metrics/pairs.json");
    double sum_bleu[TS_BLEU_COUNTS] = {0}, sum_chrf[TS_CHRF_COUNTS] = {0}, one[TS_CHRF_COUNTS];
    const ts_json *corpus = ts_json_get(root, "corpus");
    size_t rows = 0;
    for (const ts_json *r = ts_json_child(ts_json_get(root, "rows")); r; r = ts_json_next(r), rows++) {
        ts_text a = text_of(ts_json_str(ts_json_get(r, "hypothesis"), NULL)),
                b = text_of(ts_json_str(ts_json_get(r, "reference"), NULL));
        const char *from = ts_json_str(ts_json_get(r, "from"), "");
        assert_near(ts_rouge_n(a, b, 1), number(r, "rouge1"), 1e-6, from);
        assert_near(ts_rouge_n(a, b, 2), number(r, "rouge2"), 1e-6, from);
        assert_near(ts_rouge_l(a, b), number(r, "rougeL"), 1e-6, from);
        assert_near(bleu(a, b), number(r, "bleu"), 1e-6, from);
        assert_near(chrf(a, b), number(r, "chrf"), 1e-6, from);
        if (!b.n) continue;
        ts_bleu_counts(a, b, one);
        for (size_t i = 0; i < TS_BLEU_COUNTS; i++)
            sum_bleu[i] += one[i];
        ts_chrf_counts(a, b, one);
        for (size_t i = 0; i < TS_CHRF_COUNTS; i++)
            sum_chrf[i] += one[i];
    }
    assert_int_equal(rows, 206);
    assert_near(ts_bleu(sum_bleu), number(corpus, "bleu"), 1e-6, "corpus BLEU");
    assert_near(ts_chrf(sum_chrf), number(corpus, "chrf"), 1e-6, "corpus chrF");
    ts_json_free(root);
}

static const struct {
    const char *answer, *reference;
    double exact, f1;
} squad[] = {
    {"The Eiffel Tower!", "eiffel tower", 1, 1},
    {"a", "the", 1, 1},
    {"don't", "dont", 1, 1},
    {"Paris, France", "Paris", 0, 2.0 / 3},
    {"", "something", 0, 0},
    {"b a n", "n b", 0, 1},
    {"x x y", "x y y", 0, 2.0 / 3},
    {"caf\xc3\x89", "Caf\xc3\xa9", 1, 1},
};

static void words_as_squad_takes_them(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(squad); i++) {
        ts_text a = text_of(squad[i].answer), b = text_of(squad[i].reference);
        assert_near(ts_exact_match(a, b), squad[i].exact, 0, squad[i].answer);
        assert_near(ts_token_f1(a, b), squad[i].f1, 1e-12, squad[i].answer);
    }
}

static void distinct_words(void **state) {
    (void)state;
    assert_near(ts_distinct(text_of("a b a b"), 1), 0.5, 1e-12, "two of four");
    assert_near(ts_distinct(text_of("a b A b"), 2), 2.0 / 3, 1e-12, "ab ba ab");
    assert_true(isnan(ts_distinct(text_of("one"), 2)));
    assert_near(ts_distinct((ts_text){"\xff\xfe x", 4}, 1), 1, 0, "no UTF-8");
}

static const struct {
    const char *answer;
    bool valid, fits;
} shapes[] = {
    {"{\"name\":\"Ann\",\"age\":3}", true, true},
    {"```json\n{\"name\":\"Ann\",\"age\":3}\n```", true, true},
    {" {\"name\":\"Ann\",\"age\":3,\"tags\":[\"a\"],\"kind\":\"x\"}\n", true, true},
    {"{\"name\":\"Ann\"}", true, false},                              /* required */
    {"{\"name\":\"Ann\",\"age\":3.5}", true, false},                  /* integer */
    {"{\"name\":\"Ann\",\"age\":-1}", true, false},                   /* minimum */
    {"{\"name\":\"\",\"age\":3}", true, false},                       /* minLength */
    {"{\"name\":\"Ann\",\"age\":3,\"tags\":[\"a\",1]}", true, false}, /* items */
    {"{\"name\":\"Ann\",\"age\":3,\"kind\":\"z\"}", true, false},     /* enum */
    {"{\"name\":\"Ann\",\"age\":3,\"more\":1}", true, false},         /* additionalProperties */
    {"{\"name\":\"Ann\",\"age\":3", false, false},
    {"Sure: {\"name\":\"Ann\",\"age\":3}", false, false},
    {"", false, false},
    {"``````", false, false},
};
static const char schema_text[] =
    "{\"type\":\"object\",\"required\":[\"name\",\"age\"],\"additionalProperties\":false,\"properties\":{\"name\":{"
    "\"type\":[\"string\",\"null\"],\"minLength\":1},\"age\":{\"type\":\"integer\",\"minimum\":0},\"tags\":{\"type\":"
    "\"array\",\"items\":{\"type\":\"string\"}},\"kind\":{\"enum\":[\"x\",\"y\",{\"a\":[1,2]}]}}}";

static void json_of_a_shape(void **state) {
    (void)state;
    ts_json *schema = ts_json_parse(schema_text, strlen(schema_text), &err);
    assert_non_null(schema);
    for (size_t i = 0; i < TS_COUNT(shapes); i++) {
        if (ts_json_valid(text_of(shapes[i].answer)) != shapes[i].valid ||
            ts_json_valid_for(text_of(shapes[i].answer), schema) != shapes[i].fits)
            fail_msg("%s", shapes[i].answer);
    }
    ts_json_free(schema);
}

/* Newcombe 1998 (Statistics in Medicine 17:857), table I: Wilson without continuity correction. */
static void wilson_intervals(void **state) {
    (void)state;
    static const double table[][4] = {
        {81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718}};
    for (size_t i = 0; i < TS_COUNT(table); i++) {
        ts_interval w = ts_wilson(table[i][0], table[i][1]);
        assert_near(w.low, table[i][2], 5e-5, "low");
        assert_near(w.high, table[i][3], 5e-5, "high");
    }
    assert_true(isnan(ts_wilson(0, 0).low));
}

static void sign_tests(void **state) {
    (void)state;
    assert_near(ts_sign_test(0, 0), 1, 0, "no votes");
    assert_near(ts_sign_test(5, 5), 1, 0, "even");
    assert_near(ts_sign_test(8, 2), 2 * (1 + 10 + 45) / 1024.0, 1e-12, "8 of 10");
    assert_near(ts_sign_test(2, 8), 2 * (1 + 10 + 45) / 1024.0, 1e-12, "the same the other way");
    assert_near(ts_sign_test(0, 20), 2 / 1048576.0, 1e-12, "all");
    assert_true(ts_sign_test(60000, 40000) < 1e-100); /* large numbers neither overflow nor take for ever */
}

static double mean(const double *sums) {
    return sums[1] > 0 ? sums[0] / sums[1] : NAN;
}

/* Of a mean of many values it is about the normal interval: 1.96 standard errors to both sides. */
static void bootstrap_of_a_mean(void **state) {
    (void)state;
    enum { N = 400 };
    double counts[N * 2];
    for (size_t i = 0; i < N; i++) {
        counts[2 * i] = i % 4 == 0;
        counts[2 * i + 1] = 1;
    }
    double half = 1.96 * sqrt(0.25 * 0.75 / N);
    ts_interval a = ts_bootstrap(counts, 2, N, mean, 7), b = ts_bootstrap(counts, 2, N, mean, 7);
    assert_near(a.low, 0.25 - half, 0.1 * half, "low");
    assert_near(a.high, 0.25 + half, 0.1 * half, "high");
    assert_true(a.low == b.low && a.high == b.high);
    assert_true(ts_bootstrap(counts, 2, N, mean, 8).low != a.low || ts_bootstrap(counts, 2, N, mean, 8).high != a.high);
    assert_true(isnan(ts_bootstrap(counts, 2, 1, mean, 7).low));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_pairs),          cmocka_unit_test(words_as_squad_takes_them),
        cmocka_unit_test(distinct_words),      cmocka_unit_test(json_of_a_shape),
        cmocka_unit_test(wilson_intervals),    cmocka_unit_test(sign_tests),
        cmocka_unit_test(bootstrap_of_a_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
