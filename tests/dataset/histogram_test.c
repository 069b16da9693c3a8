/* Histograms of the scores: each cut takes as many rows as the same query finds. */
#include "tests/support.h"

#include "core/base/file.h"
#include "dataset/histogram.h"
#include "dataset/import.h"
#include "dataset/view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

static ts_store *scored_store(void) {
    ts_store *st;
    ts_score_report report;
    ts_import_file file;
    const char *path = ts_test_source("samples/helpdesk.jsonl");
    char *ws = ts_path_join(ts_test_dir(), "ws");
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    assert_ok(ts_import(st, &path, 1, NULL, NULL, &file, NULL, &err));
    assert_ok(ts_score_all(st, NULL, &report, &err));
    free(ws);
    return st;
}

static int64_t count(ts_store *st, const char *where) {
    ts_view *v;
    assert_ok(ts_view_new(&v, st, where, NULL, NULL, NULL, &err));
    int64_t n = (int64_t)ts_view_count(v);
    ts_view_free(v);
    return n;
}

static void check_cuts(ts_store *st, const ts_histogram *h) {
    char where[80];
    for (int k = 1; k < TS_HISTOGRAM_BINS; k++) {
        snprintf(where, sizeof where, "%.31s>=%.2f", h->name, k * 0.05);
        assert_int_equal(ts_histogram_between(h, k, TS_HISTOGRAM_BINS), count(st, where));
        snprintf(where, sizeof where, "%.31s<%.2f", h->name, k * 0.05);
        if (strcmp(h->name, "score") == 0) assert_int_equal(ts_histogram_between(h, 0, k), count(st, where));
    }
}

static void cuts_are_queries(void **state) {
    (void)state;
    ts_store *st = scored_store();
    ts_histogram h[TS_HISTOGRAMS];
    size_t n, found = 0;
    assert_ok(ts_histograms_read(st, h, &n, NULL, &err));
    assert_int_equal(n, 1 + ts_rule_count());
    assert_string_equal(h[0].name, "score");
    assert_int_equal(h[0].rows, 305);
    assert_true(h[0].p5 <= h[0].p50 && h[0].p50 <= h[0].p95 && h[0].p95 <= 1);
    for (size_t i = 0; i < n; i++) {
        char where[64];
        check_cuts(st, &h[i]);
        assert_int_equal(ts_histogram_between(&h[i], 0, TS_HISTOGRAM_BINS), h[i].rows);
        if (i == 0) continue;
        snprintf(where, sizeof where, "%.31s>0", h[i].name);
        assert_int_equal(h[i].rows, count(st, where));
        assert_true(h[i].rows > 0 || isnan(h[i].p50));
        found += h[i].rows > 0;
    }
    assert_true(found >= 5);
    ts_store_close(st);
}

static void dismissed_and_undone_rows_do_not_count(void **state) {
    (void)state;
    ts_store *st = scored_store();
    ts_histogram h[TS_HISTOGRAMS], after[TS_HISTOGRAMS];
    ts_view *v;
    ts_progress stopped = {.cancel = true};
    size_t n, rule = ts_rule_find("refusal", 7);
    assert_ok(ts_histograms_read(st, h, &n, NULL, &err));
    assert_ok(ts_view_new(&v, st, "refusal>0", NULL, NULL, NULL, &err));
    assert_true(ts_view_count(v) > 0);
    assert_ok(ts_row_dismiss(st, ts_view_id(v, 0), "refusal", true, NULL, &err));
    ts_view_free(v);
    assert_ok(ts_histograms_read(st, after, &n, NULL, &err));
    assert_int_equal(after[1 + rule].rows, h[1 + rule].rows - 1);
    assert_ok(ts_undo(st, 0, NULL, &err));
    assert_ok(ts_undo(st, 0, NULL, &err));                        /* the import */
    assert_ok(ts_histograms_read(st, after, &n, &stopped, &err)); /* too few rows to look at the time */
    assert_int_equal(after[0].rows, 0);
    assert_true(isnan(after[0].p50));
    ts_store_close(st);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_are_queries),
        cmocka_unit_test(dismissed_and_undone_rows_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
