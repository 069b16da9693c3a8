/* Choosing rows: the gate against the obvious way, facility location against the plain greedy, quotas, applying. */
#include "tests/support.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "dataset/import.h"
#include "dataset/select.h"
#include "dataset/tfidf.h"
#include "dataset/view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

enum { ROWS = 700 }; /* more than one block of the gate */

/* Rows of ten subjects with words of their own, some nearly the same; every seventh has a rating. */
static ts_store *made_rows(ts_tfidf *texts) {
    ts_store *st;
    ts_rand r;
    ts_rand_seed(&r, 5);
    char *ws = ts_path_join(ts_test_dir(), "ws");
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    free(ws);
    ts_buf all = TS_BUF_INIT, text = TS_BUF_INIT, last = TS_BUF_INIT;
    if (texts) ts_tfidf_init(texts);
    for (int i = 0; i < ROWS; i++) {
        int subject = (int)ts_rand_below(&r, 10);
        ts_buf_reset(&text);
        if (i % 3 == 2) {
            ts_buf_add(&text, last.data, last.len);
            ts_buf_printf(&text, " again%d", (int)ts_rand_below(&r, 3));
        } else {
            for (int k = 0; k < 12; k++)
                ts_buf_printf(&text, "s%dw%d ", subject, (int)ts_rand_below(&r, 30));
        }
        ts_buf_reset(&last);
        ts_buf_add(&last, text.data, text.len);
        ts_buf_printf(&all, "{\"instruction\":\"Say\",\"input\":\"\",\"output\":\"%s\"}\n", text.data);
        ts_buf_reset(&text);
        ts_buf_printf(&text, "Say\n\n%s", last.data);
        if (texts) ts_tfidf_add(texts, text.data, text.len);
    }
    const char *path = ts_test_path("rows.jsonl");
    ts_import_file f;
    assert_ok(ts_file_write(path, all.data, all.len, &err));
    assert_ok(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err));
    assert_int_equal(f.imported, ROWS);
    ts_buf_release(&all);
    ts_buf_release(&text);
    ts_buf_release(&last);
    return st;
}

static double like(const ts_tfidf *t, int64_t a, int64_t b) {
    float x[TS_TFIDF_DIMS], y[TS_TFIDF_DIMS];
    double sum = 0;
    ts_tfidf_vector(t, (size_t)a - 1, x);
    ts_tfidf_vector(t, (size_t)b - 1, y);
    for (int i = 0; i < TS_TFIDF_DIMS; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

static void the_gate_equals_the_obvious_way(void **state) {
    (void)state;
    ts_tfidf t;
    ts_store *st = made_rows(&t);
    ts_select_options o = TS_SELECT_DEFAULTS;
    ts_selection r;
    int64_t taken[ROWS];
    size_t n = 0, passed = 0;
    o.count = 400;
    o.by = "id"; /* the last row first */
    for (int64_t id = ROWS; id > 0 && n < 400; id--) {
        bool alike = false;
        for (size_t k = 0; k < n && !alike; k++)
            alike = like(&t, id, taken[k]) >= 0.7;
        passed += alike;
        if (!alike) taken[n++] = id;
    }
    assert_true(n < ROWS && passed > 50);
    assert_ok(ts_select_rows(st, &o, NULL, &r, &err));
    assert_int_equal(r.n, n);
    assert_int_equal(r.too_alike, passed);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(r.picks[i].id, taken[i]);
        assert_true(r.picks[i].score != r.picks[i].score); /* not scored */
        if (i) assert_near(r.picks[i].likeness, like(&t, r.picks[i].id, r.picks[i].nearest), 1e-5, "likeness");
    }
    free(r.picks);
    ts_tfidf_release(&t);
    ts_store_close(st);
}

static void facility_adds_most_each_time(void **state) {
    (void)state;
    enum { PICKS = 12 };
    ts_tfidf t;
    ts_store *st = made_rows(&t);
    ts_select_options o = TS_SELECT_DEFAULTS;
    ts_selection r;
    static float x[ROWS][TS_TFIDF_DIMS], all[ROWS][ROWS], best[ROWS];
    for (size_t i = 0; i < ROWS; i++)
        ts_tfidf_vector(&t, i, x[i]);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < ROWS; j++) {
            float sum = 0;
            for (size_t d = 0; d < TS_TFIDF_DIMS; d++)
                sum += x[i][d] * x[j][d];
            all[i][j] = sum;
        }
    o.count = PICKS;
    o.method = TS_SELECT_FACILITY;
    o.by = "id";
    assert_ok(ts_select_rows(st, &o, NULL, &r, &err));
    assert_int_equal(r.n, PICKS);
    for (int p = 0; p < PICKS; p++) {
        double most = 0, mine = 0;
        for (size_t i = 0; i < ROWS; i++) {
            double gain = 0;
            for (size_t j = 0; j < ROWS; j++)
                gain += (double)fmaxf(all[i][j] - best[j], 0);
            most = fmax(most, gain);
            if ((int64_t)i + 1 == r.picks[p].id) mine = gain;
        }
        assert_near(mine, most, 1e-3 * most, "gain");
        assert_near(r.picks[p].gain * ROWS, mine, 1e-3 * most, "gain told");
        for (size_t j = 0; j < ROWS; j++)
            best[j] = fmaxf(best[j], all[r.picks[p].id - 1][j]);
    }
    free(r.picks);
    ts_tfidf_release(&t);
    ts_store_close(st);
}

static void farthest_takes_the_least_alike(void **state) {
    (void)state;
    ts_tfidf t;
    ts_store *st = made_rows(&t);
    ts_select_options o = TS_SELECT_DEFAULTS;
    ts_selection r;
    o.count = 8;
    o.method = TS_SELECT_FARTHEST;
    o.by = "id";
    assert_ok(ts_select_rows(st, &o, NULL, &r, &err));
    assert_int_equal(r.picks[0].id, ROWS); /* the best by id */
    for (size_t p = 1; p < r.n; p++) {
        double least = 2;
        for (int64_t id = 1; id <= ROWS; id++) {
            double near = -2;
            for (size_t k = 0; k < p; k++)
                near = fmax(near, like(&t, id, r.picks[k].id));
            least = fmin(least, near);
        }
        assert_near(r.picks[p].likeness, least, 1e-5, "likeness");
    }
    free(r.picks);
    ts_tfidf_release(&t);
    ts_store_close(st);
}

static void quotas_keep_places_and_apply_is_one_step(void **state) {
    (void)state;
    ts_store *st = made_rows(NULL);
    ts_select_options o = TS_SELECT_DEFAULTS;
    ts_selection r;
    ts_view *v;
    int64_t a[] = {1, 2, 4, 5, 7}, b[] = {698, 700};
    char before[33], after[33];
    assert_ok(ts_rows_tag(st, a, 5, "low", true, NULL, &err));
    assert_ok(ts_rows_tag(st, b, 2, "high", true, NULL, &err));
    assert_ok(ts_store_hash(st, before, &err));
    o.count = 10;
    o.by = "id";
    o.gate = 2;
    o.apply = true;
    assert_ok(ts_select_quotas(&o, "low:3,high:1", &err));
    assert_ok(ts_select_rows(st, &o, NULL, &r, &err));
    assert_int_equal(r.n, 10);
    assert_int_equal(o.quotas[0].taken, 3);
    assert_int_equal(o.quotas[1].taken, 1);
    assert_int_equal(r.picks[0].id, 700);
    assert_int_equal(r.picks[9].id, 4); /* 7, 5 and 4 are the best with the tag low */
    assert_int_equal(r.done.rows, 10);
    assert_ok(ts_view_new(&v, st, "status=accepted", NULL, NULL, NULL, &err));
    assert_int_equal(ts_view_count(v), 10);
    ts_view_free(v);
    assert_ok(ts_undo(st, r.done.step, NULL, &err));
    assert_ok(ts_store_hash(st, after, &err));
    assert_string_equal(before, after);
    free(r.picks);
    ts_select_options bad = TS_SELECT_DEFAULTS;
    assert_int_equal(ts_select_quotas(&bad, "low", &err), TS_INVALID);
    assert_int_equal(ts_select_quotas(&bad, "low:0", &err), TS_INVALID);
    assert_int_equal(ts_select_quotas(&bad, ":3", &err), TS_INVALID);
    bad.count = 1;
    bad.by = "beauty";
    assert_int_equal(ts_select_rows(st, &bad, NULL, &r, &err), TS_INVALID);
    ts_store_close(st);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gate_equals_the_obvious_way),
        cmocka_unit_test(facility_adds_most_each_time),
        cmocka_unit_test(farthest_takes_the_least_alike),
        cmocka_unit_test(quotas_keep_places_and_apply_is_one_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
