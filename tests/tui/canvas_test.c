#include "tests/support.h"
#include "tui/canvas.h"
#include "tui/chart.h"
#include "tui/idset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *shown(const ts_canvas *c) {
    ts_buf b = TS_BUF_INIT;
    ts_canvas_text(c, &b);
    return ts_buf_take(&b);
}

static void check(ts_canvas *c, const char *expect) {
    char *text = shown(c);
    assert_string_equal(text, expect);
    free(text);
}

static void test_put_cuts(void **state) {
    (void)state;
    ts_canvas c = {0};
    ts_canvas_resize(&c, 10, 2);
    assert_int_equal(ts_put(&c, 0, 0, 6, TS_R_TEXT, "longer text"), 6);
    assert_int_equal(ts_put(&c, 0, 1, 10, TS_R_TEXT, "fits"), 4);
    check(&c, "longe>\nfits\n");
    ts_canvas_clear(&c);
    ts_put(&c, 0, 0, 4, TS_R_TEXT, "\xe4\xb8\xad\xe6\x96\x87\xe5\xad\x97"); /* a wide one does not fit half */
    ts_put(&c, 8, 1, 2, TS_R_TEXT, "\xe4\xb8\xad");
    check(&c, "\xe4\xb8\xad >\n        \xe4\xb8\xad\n");
    ts_canvas_release(&c);
}

static void test_hostile_text_is_escaped(void **state) {
    (void)state;
    ts_canvas c = {0};
    ts_canvas_resize(&c, 30, 1);
    ts_putn(&c, 0, 0, 30, TS_R_TEXT, "a\x1b]0;x\a\xff\xc2\x9b", 10);
    for (int x = 0; x < c.w; x++)
        for (const char *s = ts_canvas_at(&c, x, 0)->text; *s; s++)
            assert_true((unsigned char)*s >= 0x20 && *s != 0x7f && (unsigned char)*s < 0x80);
    check(&c, "a^[]0;x^G\\xff<U+009B>\n");
    ts_canvas_release(&c);
}

static void test_halves_of_wide_cells(void **state) {
    (void)state;
    ts_canvas c = {0};
    ts_canvas_resize(&c, 6, 1);
    ts_put(&c, 0, 0, 6, TS_R_TEXT, "\xe4\xb8\xad\xe6\x96\x87");
    ts_put(&c, 1, 0, 1, TS_R_TEXT, "x"); /* over the right half */
    check(&c, " x\xe6\x96\x87\n");
    ts_put(&c, 2, 0, 1, TS_R_TEXT, "y"); /* over the left half */
    check(&c, " xy\n");
    ts_put(&c, -3, 0, 10, TS_R_TEXT, "outside");
    ts_put(&c, 0, 9, 10, TS_R_TEXT, "outside");
    ts_canvas_release(&c);
}

static void test_mono_has_no_colour(void **state) {
    (void)state;
    for (int r = 0; r < TS_ROLES; r++)
        for (int selected = 0; selected < 2; selected++) {
            assert_int_equal(ts_theme_style((ts_role)r, selected, true).color, -1);
            if (selected) assert_true(ts_theme_style((ts_role)r, true, false).attrs & TS_REVERSE);
        }
}

static void test_chart_keeps_spikes(void **state) {
    (void)state;
    enum { N = 5000 };
    static double x[N], y[N];
    ts_canvas c = {0};
    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = 1;
    }
    y[2500] = 9; /* one step of five thousand, many of them in a column */
    y[100] = NAN;
    ts_canvas_resize(&c, 60, 12);
    c.ascii = true;
    ts_curve k = {x, y, N, TS_R_TRAIN, false, "train"};
    ts_chart_draw(&c, (ts_rect){0, 0, 60, 12}, &k, 1, N, false);
    bool spike = false, mark = false;
    for (int i = 8; i < 60; i++) {
        spike |= strchr(".':", *ts_canvas_at(&c, i, 1)->text) != NULL;
        mark |= *ts_canvas_at(&c, i, 0)->text == 'x';
    }
    assert_true(spike);
    assert_true(mark);
    y[0] = -1; /* no logarithm of it: the chart stays, the point goes */
    ts_chart_draw(&c, (ts_rect){0, 0, 60, 12}, &k, 1, 0, true);
    ts_chart_draw(&c, (ts_rect){0, 0, 60, 12}, &k, 0, 0, true);
    ts_chart_draw(&c, (ts_rect){0, 0, 3, 2}, &k, 1, 0, true);
    ts_canvas_release(&c);
}

static void test_smoothing(void **state) {
    (void)state;
    double in[] = {2, 2, NAN, 2, 4}, out[5];
    ts_smooth(in, out, 5, 0.9);
    assert_near(out[0], 2, 1e-12, "first value");
    assert_near(out[3], 2, 1e-12, "constant");
    assert_true(isnan(out[2]));
    assert_true(out[4] > 2 && out[4] < 4);
    ts_smooth(in, out, 5, 0);
    assert_near(out[4], 4, 1e-12, "weight 0 changes nothing");
}

static void test_idset(void **state) {
    (void)state;
    ts_idset s = {0};
    assert_false(ts_idset_has(&s, 1));
    for (int64_t i = 1; i <= 20000; i++)
        ts_idset_put(&s, i * 7, true);
    for (int64_t i = 1; i <= 20000; i += 2)
        ts_idset_put(&s, i * 7, false);
    assert_int_equal(s.n, 10000);
    for (int64_t i = 1; i <= 20000; i++)
        assert_int_equal(ts_idset_has(&s, i * 7), i % 2 == 0);
    int64_t *ids = ts_idset_list(&s);
    for (size_t i = 1; i < s.n; i++)
        assert_true(ids[i - 1] < ids[i]);
    free(ids);
    ts_idset_clear(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_cuts),
        cmocka_unit_test(test_hostile_text_is_escaped),
        cmocka_unit_test(test_halves_of_wide_cells),
        cmocka_unit_test(test_mono_has_no_colour),
        cmocka_unit_test(test_chart_keeps_spikes),
        cmocka_unit_test(test_smoothing),
        cmocka_unit_test(test_idset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
