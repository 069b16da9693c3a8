/* The query language: what it finds, what it refuses and where, in which order rows come. */
#include "tests/support.h"

#include "core/base/file.h"
#include "core/work/pool.h"
#include "dataset/db.h"
#include "dataset/import.h"
#include "dataset/query.h"
#include "dataset/view.h"

#include <stdlib.h>
#include <string.h>

static ts_err err;
static ts_store *st;

static ts_text text(const char *s) {
    return (ts_text){s, strlen(s)};
}

static int set_up(void **state) {
    (void)state;
    static const char *const rows[][3] = {
        {"Give three tips for health", "", "Eat well, Sleep well."}, /* 1 accepted, tag health, rating 5 */
        {"What is the capital of France?", "", "Paris"},             /* 2 rejected */
        {"Translate to German", "good morning", "Guten Morgen"},     /* 3 new, tag lang */
        {"Say \"hello\" (twice)", "", "hello hello"},                /* 4 later, rating 2 */
        {"\xc3\x89t\xc3\xa9 en France", "", ""},                     /* 5 new */
    };
    char *ws = ts_path_join(ts_test_dir(), "ws");
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    for (size_t i = 0; i < TS_COUNT(rows); i++) {
        ts_draft d = {.instruction = text(rows[i][0]), .input = text(rows[i][1]), .output = text(rows[i][2])};
        assert_ok(ts_row_add(st, &d, NULL, NULL, &err));
    }
    int64_t ids[] = {1, 2, 3, 4, 5};
    assert_ok(ts_rows_set_status(st, ids, 1, TS_ACCEPTED, NULL, &err));
    assert_ok(ts_rows_set_status(st, ids + 1, 1, TS_REJECTED, NULL, &err));
    assert_ok(ts_rows_set_status(st, ids + 3, 1, TS_LATER, NULL, &err));
    assert_ok(ts_rows_set_rating(st, ids, 1, 5, NULL, &err));
    assert_ok(ts_rows_set_rating(st, ids + 3, 1, 2, NULL, &err));
    assert_ok(ts_rows_tag(st, ids, 1, "health", true, NULL, &err));
    assert_ok(ts_rows_tag(st, ids + 2, 1, "lang", true, NULL, &err));
    assert_ok(ts_db_run(st, "INSERT INTO metric(id,tokens) VALUES(1,40),(2,7),(3,12)", "count", &err));
    free(ws);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    ts_store_close(st);
    return 0;
}

/* The ids of the rows as digits in order. */
static void found(const char *where, const char *sort, char out[16]) {
    ts_view *v;
    ts_status status = ts_view_new(&v, st, where, sort, NULL, NULL, &err);
    if (status != TS_OK) fail_msg("%s: %s", where, err.text);
    size_t n = ts_view_count(v);
    for (size_t i = 0; i < n; i++)
        out[i] = (char)('0' + ts_view_id(v, i));
    out[n] = 0;
    assert_int_equal(ts_view_find(v, 99), n);
    if (n) assert_int_equal(ts_view_find(v, ts_view_id(v, n - 1)), n - 1);
    ts_view_free(v);
}

static void finds(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", "12345"},
        {"france", "25"},
        {"France", "25"},
        {"FRANCE", ""},
        {"\xc3\xa9t\xc3\xa9", "5"}, /* smart case beyond ASCII */
        {"capital paris", "2"},
        {"\"three tips\"", "1"},
        {"\"tips three\"", ""},
        {"\"\\\"hello\\\"\"", "4"},
        {"status=accepted", "1"},
        {"status!=new", "124"},
        {"not status=new", "124"},
        {"tag:health", "1"},
        {"tag=heal", ""},
        {"tag=\"\"", "245"},
        {"rating>=2", "14"},
        {"rating=0", "235"},
        {"tokens>=12", "13"},
        {"tokens<100", "123"},
        {"id>=3 id<5", "34"},
        {"id=2 or id=4", "24"},
        {"(id=2 or id=4) status=later", "4"},
        {"id=2 or id=4 status=later", "24"},
        {"not (id=2 or id=4)", "135"},
        {"-france", "134"},
        {"output:well", "1"},
        {"instruction:well", ""},
        {"prompt:morning", "3"},
        {"answer=Paris", "2"},
        {"output=\"\"", "5"},
        {"output!=Paris", "1345"},
        {"re:/(hello) \\1/", "4"},
        {"re:/HELLO/", ""},
        {"re:/HELLO/i", "4"},
        {"instruction:re:/^[A-Z]\\w+ is/", "2"},
        {"words>8", "1"},
        {"dup=yes", ""},
        {"dup=no", "12345"},
        {"split=valid", ""},
        {"origin:typed", "12345"},
        {"shape=alpaca", "12345"},
        {"refusal>0", ""}, /* not scored: fits nothing */
        {"orphan", ""},    /* a word that begins like an operator */
        {"NOT status=new AND rating>0", "14"},
    };
    char ids[16];
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        found(cases[i][0], NULL, ids);
        if (strcmp(ids, cases[i][1]) != 0) fail_msg("%s: found %s, not %s", cases[i][0], ids, cases[i][1]);
    }
}

static void refuses_with_the_place(void **state) {
    (void)state;
    static const struct {
        const char *where;
        size_t at;
        const char *words;
    } cases[] = {
        {"health stauts=new", 7, "no field"},
        {"status=gone", 0, "there are new, accepted"},
        {"a and", 5, "missing"},
        {"(a or b", 0, "not closed"},
        {"a)", 1, "opening bracket"},
        {"\"open", 0, "not closed"},
        {"x re:/(/", 5, "missing"},
        {"re:/abc", 3, "closing /"},
        {"rating>high", 0, "number"},
        {"output>3", 0, "text"},
        {"status<new", 0, "= or !="},
        {"id=", 0, "value is missing"},
        {"or a", 0, "missing"},
    };
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        ts_view *v;
        size_t at = 999;
        if (ts_view_new(&v, st, cases[i].where, NULL, NULL, &at, &err) != TS_INVALID)
            fail_msg("%s was taken", cases[i].where);
        if (at != cases[i].at || !strstr(err.text, cases[i].words))
            fail_msg("%s: at %zu: %s", cases[i].where, at, err.text);
    }
    ts_view *v;
    assert_int_equal(ts_view_new(&v, st, "", "nonsense", NULL, NULL, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "nonsense"));
}

static void orders(void **state) {
    (void)state;
    char ids[16];
    found("", "-id", ids);
    assert_string_equal(ids, "54321");
    found("", "-rating", ids);
    assert_string_equal(ids, "14235");
    found("", "tokens", ids); /* not measured: last, in both directions */
    assert_string_equal(ids, "23145");
    found("", "-tokens", ids);
    assert_string_equal(ids, "13245");
    found("id<5", "instruction", ids);
    assert_string_equal(ids, "1432");
}

static void hostile_queries_end(void **state) {
    (void)state;
    ts_buf deep = TS_BUF_INIT;
    ts_query *q;
    size_t at;
    for (int i = 0; i < 100000; i++)
        ts_buf_puts(&deep, i % 2 ? "(" : "not ");
    assert_int_equal(ts_query_parse(&q, deep.data, &at, &err), TS_INVALID);
    ts_buf_reset(&deep);
    for (int i = 0; i < 2000; i++)
        ts_buf_puts(&deep, "id=1 or ");
    assert_int_equal(ts_query_parse(&q, deep.data, &at, &err), TS_INVALID);
    ts_buf_release(&deep);
    char ids[16];
    found("output=\"'); DROP TABLE example; --\"", NULL, ids);
    found("", NULL, ids);
    assert_string_equal(ids, "12345");
}

static ts_view *view_with(ts_store *large, int threads, const char *where) {
    ts_view *v;
    ts_pool_set_threads(threads);
    if (ts_view_new(&v, large, where, NULL, NULL, NULL, &err) != TS_OK) fail_msg("%s: %s", where, err.text);
    ts_pool_set_threads(2);
    return v;
}

/* Takes both apart. */
static void same_rows(ts_view *a, ts_view *b) {
    assert_int_equal(ts_view_count(a), ts_view_count(b));
    assert_true(ts_view_count(a) > 0);
    for (size_t k = 0; k < ts_view_count(a); k++)
        assert_int_equal(ts_view_id(a, k), ts_view_id(b, k));
    ts_view_free(a);
    ts_view_free(b);
}

/* Enough rows for several threads: the same rows in the same order as with one; an import that was undone is hidden,
 * and rows behind it have numbers that do not follow on. A query of texts alone reads the texts first; one that asks
 * for more does not. */
static void threads_change_nothing(void **state) {
    (void)state;
    enum { ROWS = 30000 };
    static const char *const queries[] = {"",        "re:/w1\\d /", "w77 or w78", "words>2", "id>=100 id<29000 not w3",
                                          "line>200"};
    ts_store *large;
    ts_buf rows = TS_BUF_INIT;
    ts_import_file f;
    ts_done done;
    char *ws = ts_path_join(ts_test_dir(), "large"), *path = ts_path_join(ts_test_dir(), "rows.jsonl");
    const char *paths[] = {path};
    for (int i = 0; i < ROWS; i++)
        ts_buf_printf(&rows, "{\"instruction\":\"w%d w%d\",\"output\":\"w%d \"}\n", i % 100, i % 83, i % 57);
    assert_ok(ts_file_write(path, rows.data, rows.len, &err));
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&large, ws, "test", &err));
    assert_ok(ts_import(large, paths, 1, NULL, NULL, &f, NULL, &err));
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < TS_COUNT(queries); i++) {
            ts_view *one = view_with(large, 1, queries[i]);
            char *more = ts_printf("(%s) id>=0", *queries[i] ? queries[i] : "w");
            if (i == 0) assert_int_equal(ts_view_count(one), ROWS + round);
            if (i == 0) assert_int_equal(ts_view_id(one, ROWS + (size_t)round - 1), round ? 2 * ROWS + 1 : ROWS);
            same_rows(one, view_with(large, 3, queries[i]));
            same_rows(view_with(large, 1, more), view_with(large, 3, queries[i]));
            free(more);
        }
        if (round) break;
        ts_draft d = {.instruction = text("w77"), .input = text(""), .output = text("w1")};
        assert_ok(ts_import(large, paths, 1, NULL, NULL, &f, &done, &err));
        assert_ok(ts_undo(large, done.step, NULL, &err));
        assert_ok(ts_row_add(large, &d, NULL, NULL, &err));
    }
    ts_store_close(large);
    ts_buf_release(&rows);
    free(ws);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_change_nothing), cmocka_unit_test(finds),
        cmocka_unit_test(refuses_with_the_place), cmocka_unit_test(orders),
        cmocka_unit_test(hostile_queries_end),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
