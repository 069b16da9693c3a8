/* BM25 beside its formula written out over whole texts, and passages cut where people would. */
#include "core/base/rand.h"
#include "dataset/bm25.h"
#include "tests/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXTS = 60, WORDS = 12, KINDS = 9 };

static char texts[TEXTS][WORDS * 3 + 1];
static int counts[TEXTS][KINDS], lengths[TEXTS];

/* Words w0 to w8, the early ones often. */
static void make_texts(void) {
    ts_rand r;
    ts_rand_seed(&r, 3);
    for (int i = 0; i < TEXTS; i++) {
        lengths[i] = 1 + (int)ts_rand_below(&r, WORDS);
        for (int k = 0; k < lengths[i]; k++) {
            int w = (int)TS_MIN(ts_rand_below(&r, KINDS), ts_rand_below(&r, KINDS));
            counts[i][w]++;
            sprintf(texts[i] + 3 * k, "w%d ", w);
        }
    }
}

static double score(int text, const int *question, int n) {
    double sum = 0, mean = 0;
    for (int i = 0; i < TEXTS; i++)
        mean += (double)lengths[i] / TEXTS;
    for (int k = 0; k < n; k++) {
        double df = 0, tf = counts[text][question[k]];
        for (int i = 0; i < TEXTS; i++)
            df += counts[i][question[k]] > 0;
        double idf = log(1 + (TEXTS - df + 0.5) / (df + 0.5));
        sum += idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * lengths[text] / mean));
    }
    return sum;
}

static void the_formula(void **state) {
    (void)state;
    static const int question[] = {2, 7, 8};
    ts_bm25 *b = ts_bm25_new();
    ts_hit hits[TEXTS];
    make_texts();
    for (int i = 0; i < TEXTS; i++)
        ts_bm25_add(b, texts[i], strlen(texts[i]), "t");
    size_t n = ts_bm25_search(b, "W7, w2? w8! w2", 14, hits, TEXTS), with = 0;
    for (int i = 0; i < TEXTS; i++)
        with += score(i, question, 3) > 0;
    assert_int_equal(n, with);
    for (size_t i = 0; i < n; i++) {
        assert_near(hits[i].score, score((int)hits[i].text, question, 3), 1e-9, "score");
        if (i) assert_true(hits[i - 1].score >= hits[i].score);
    }
    ts_hit best[3];
    assert_int_equal(ts_bm25_search(b, "w2 w7 w8", 8, best, 3), 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(best[i].text, hits[i].text);
    assert_int_equal(ts_bm25_search(b, "nothing", 7, hits, 3), 0);
    assert_int_equal(ts_bm25_search(b, "", 0, hits, 3), 0);
    ts_bm25_free(b);
}

static void passages(void **state) {
    (void)state;
    static const char text[] =
        "one two three four five\nsix seven\n\neight nine ten eleven twelve. Thirteen fourteen\n\n\n"
        "fifteen sixteen seventeen eighteen nineteen twenty twentyone twentytwo";
    ts_bm25 *b = ts_bm25_new();
    ts_bm25_add_passages(b, text, sizeof text - 1, "a.txt", 8);
    assert_int_equal(ts_bm25_count(b), 3);
    assert_string_equal(ts_bm25_text(b, 0), "one two three four five\nsix seven");
    assert_string_equal(ts_bm25_text(b, 1), "eight nine ten eleven twelve. Thirteen fourteen");
    assert_string_equal(ts_bm25_from(b, 2), "a.txt #3");
    ts_bm25_add_passages(b, " \n ", 3, "blank", 8);
    ts_bm25_add_passages(b, "xx", 2, "short", 8);
    assert_int_equal(ts_bm25_count(b), 4);
    ts_bm25_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_formula), cmocka_unit_test(passages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
