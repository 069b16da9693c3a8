/* The data set in numbers, against the same numbers counted by queries and by hand. */
#include "tests/support.h"

#include "core/base/file.h"
#include "dataset/import.h"
#include "dataset/summary.h"
#include "dataset/view.h"

#include <stdlib.h>
#include <string.h>

static ts_err err;

static ts_store *new_store(void) {
    ts_store *st;
    char *ws = ts_path_join(ts_test_dir(), "ws");
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    free(ws);
    return st;
}

static void import(ts_store *st, const char *file) {
    ts_import_file result;
    const char *path = ts_test_source(file);
    assert_ok(ts_import(st, &path, 1, NULL, NULL, &result, NULL, &err));
}

static int64_t count(ts_store *st, const char *where) {
    ts_view *v;
    assert_ok(ts_view_new(&v, st, where, NULL, NULL, NULL, &err));
    int64_t n = (int64_t)ts_view_count(v);
    ts_view_free(v);
    return n;
}

static void numbers_are_those_of_the_rows(void **state) {
    (void)state;
    ts_store *st = new_store();
    ts_summary s;
    const int64_t accepted[] = {1, 2, 306}, rejected[] = {3}, tokens[] = {10, 30, 20, 1000};
    const int64_t counted[] = {1, 2, 306, 3};
    ts_draft typed = {.instruction = {"prompt", 6}, .input = {"in", 2}, .output = {"\xc3\xa9t\xc3\xa9", 5}};
    import(st, "samples/helpdesk.jsonl");
    import(st, "tests/data/conversations.jsonl");
    assert_ok(ts_row_add(st, &typed, NULL, NULL, &err));
    assert_ok(ts_rows_set_status(st, accepted, 3, TS_ACCEPTED, NULL, &err));
    assert_ok(ts_rows_set_status(st, rejected, 1, TS_REJECTED, NULL, &err));
    assert_ok(ts_rows_tag(st, accepted, 3, "good", true, NULL, &err));
    assert_ok(ts_rows_tag(st, rejected, 1, "good", true, NULL, &err));
    assert_ok(ts_rows_tag(st, rejected, 1, "bad", true, NULL, &err));
    assert_ok(ts_rows_set_rating(st, accepted, 2, 5, NULL, &err));
    assert_ok(ts_rows_set_tokens(st, counted, tokens, 4, &err));
    assert_ok(ts_setting_set(st, "target", "6", &err));
    assert_ok(ts_summary_read(st, &s, NULL, &err));
    assert_int_equal(s.counts.rows, 308);
    assert_int_equal(s.counts.by_status[TS_ACCEPTED], 3);
    assert_int_equal(s.rated, 2);
    assert_int_equal(s.conversations, 2);
    assert_int_equal(s.with_system, 1);
    assert_int_equal(s.with_input, count(st, "not input=\"\""));
    assert_int_equal(s.target, 6);
    assert_int_equal(s.n_tags, 2);
    assert_string_equal(s.tags[0].name, "good");
    assert_int_equal(s.tags[0].rows, 4);
    assert_int_equal(s.tags[0].accepted, 3);
    assert_int_equal(s.tags[0].rejected, 1);
    assert_int_equal(s.n_origins, 3);
    assert_string_equal(s.origins[0].name, "helpdesk.jsonl");
    assert_int_equal(s.origins[0].rows, 305);
    assert_string_equal(s.origins[2].name, "typed");
    /* the rejected row's 1,000 tokens are nobody's */
    const ts_spread *t = s.tokens;
    assert_int_equal(t[TS_OF_KEPT].rows, 3);
    assert_int_equal(t[TS_OF_KEPT].sum, 60);
    assert_int_equal(t[TS_OF_KEPT].min, 10);
    assert_int_equal(t[TS_OF_KEPT].p50, 20);
    assert_int_equal(t[TS_OF_ACCEPTED].max, 30);
    assert_int_equal(s.prompt[TS_OF_KEPT].rows, 307);
    assert_int_equal(s.answer[TS_OF_ACCEPTED].rows, 3);
    assert_int_equal(s.answer[TS_OF_KEPT].min, 0); /* the sample has empty answers */
    ts_store_close(st);
}

static void an_empty_workspace_has_numbers_too(void **state) {
    (void)state;
    ts_store *st = new_store();
    ts_summary s;
    assert_ok(ts_summary_read(st, &s, NULL, &err));
    assert_int_equal(s.counts.rows, 0);
    assert_int_equal(s.n_tags + s.n_origins, 0);
    assert_int_equal(s.answer[TS_OF_KEPT].max, 0);
    ts_store_close(st);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_the_rows),
        cmocka_unit_test(an_empty_workspace_has_numbers_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
