/* History: undo and redo of everything, across restarts, and what one row went through. */
#include "tests/support.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "dataset/db.h"
#include "dataset/history.h"
#include "dataset/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

static ts_text text(const char *s) {
    return (ts_text){s, strlen(s)};
}

static ts_store *open_at(const char *ws, bool make) {
    ts_store *st = NULL;
    if (make) assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    return st;
}

static int64_t add(ts_store *st, const char *instruction, const char *output) {
    ts_draft d = {.instruction = text(instruction), .input = text(""), .output = text(output)};
    int64_t id = 0;
    assert_ok(ts_row_add(st, &d, &id, NULL, &err));
    return id;
}

static void names_what_it_undid(void **state) {
    (void)state;
    char *ws = ts_path_join(ts_test_dir(), "ws");
    ts_store *st = open_at(ws, true);
    ts_done done;
    assert_int_equal(ts_undo(st, 0, &done, &err), TS_NOT_FOUND);
    int64_t id = add(st, "q", "a");
    assert_ok(ts_rows_set_status(st, &id, 1, TS_LATER, NULL, &err));
    ts_store_close(st);
    st = open_at(ws, false); /* a restart between */
    assert_ok(ts_undo(st, 0, &done, &err));
    assert_string_equal(done.text, "undid: put off for later: 1 row");
    assert_ok(ts_undo(st, 0, &done, &err));
    assert_string_equal(done.text, "undid: added row 1");
    ts_store_close(st);
    st = open_at(ws, false);
    assert_ok(ts_redo(st, &done, &err));
    assert_string_equal(done.text, "did again: added row 1");
    int64_t other = add(st, "q2", "a2"); /* ends what could be redone; ids are not used twice */
    assert_int_equal(other, 2);
    assert_int_equal(ts_redo(st, &done, &err), TS_NOT_FOUND);
    ts_store_close(st);
    free(ws);
}

static void tells_what_one_row_went_through(void **state) {
    (void)state;
    char *ws = ts_path_join(ts_test_dir(), "ws");
    ts_store *st = open_at(ws, true);
    ts_arena arena = TS_ARENA_INIT;
    int64_t ids[3];
    for (int i = 0; i < 3; i++)
        ids[i] = add(st, "q", "a");
    ts_edit e = {TS_OUTPUT, text("better")};
    assert_ok(ts_row_edit(st, ids[1], -1, &e, 1, NULL, &err));
    assert_ok(ts_rows_set_status(st, ids, 3, TS_ACCEPTED, NULL, &err));
    assert_ok(ts_rows_tag(st, ids + 2, 1, "x", true, NULL, &err));
    ts_step *steps;
    size_t n;
    assert_ok(ts_history_row(st, ids[1], &steps, &n, &arena, &err));
    assert_int_equal(n, 6); /* accepted, output, four texts of the new row */
    assert_string_equal(steps[0].field, "status");
    assert_string_equal(steps[0].before, "new");
    assert_string_equal(steps[0].after, "accepted");
    assert_string_equal(steps[1].field, "output");
    assert_string_equal(steps[1].before, "a");
    assert_string_equal(steps[1].after, "better");
    assert_ok(ts_history_list(st, 2, &steps, &n, &arena, &err));
    assert_int_equal(n, 2);
    assert_string_equal(steps[0].label, "tagged 1 row with x");
    assert_string_equal(steps[0].who, "test");
    assert_int_equal(ts_history_row(st, 99, &steps, &n, &arena, &err), TS_NOT_FOUND);
    ts_arena_release(&arena);
    ts_store_close(st);
    free(ws);
}

/* Many rows are kept as a few runs, not as a list of ids. */
static void bulk_marks_are_small_and_exact(void **state) {
    (void)state;
    enum { ROWS = 3000 };
    char *ws = ts_path_join(ts_test_dir(), "ws"), before[33], after[33];
    ts_store *st = open_at(ws, true);
    assert_ok(ts_db_begin(st, "fill", &err));
    for (int i = 1; i <= ROWS; i++) {
        ts_draft d = {.instruction = text("q"), .output = text("a")};
        assert_ok(ts_row_insert(st, i, 0, i, 0, 0, &d, &err));
    }
    assert_ok(ts_db_commit(st, "fill", &err));
    int64_t ids[ROWS];
    for (int i = 0; i < ROWS; i++)
        ids[i] = ROWS - i; /* not in order */
    ts_done done;
    assert_ok(ts_rows_set_status(st, ids, 100, TS_LATER, &done, &err));
    assert_ok(ts_store_hash(st, before, &err));
    assert_ok(ts_rows_set_status(st, ids, ROWS, TS_REJECTED, &done, &err));
    assert_int_equal(done.rows, ROWS);
    assert_true(ts_db_int(st, "SELECT sum(length(runs)) FROM step_chunk", 0) < 64);
    assert_ok(ts_undo(st, done.step, &done, &err));
    assert_int_equal(done.rows, ROWS);
    assert_ok(ts_store_hash(st, after, &err));
    assert_string_equal(before, after);
    ts_store_close(st);
    free(ws);
}

static void random_act(ts_store *st, ts_rand *r, int64_t last) {
    int64_t ids[8];
    size_t n = 1 + ts_rand_below(r, 8);
    char words[32];
    for (size_t i = 0; i < n; i++)
        ids[i] = 1 + (int64_t)ts_rand_below(r, (uint64_t)last);
    snprintf(words, sizeof words, "text %llu", (unsigned long long)ts_rand_below(r, 50));
    ts_edit e = {(ts_field)ts_rand_below(r, TS_SYSTEM + 1), text(words)};
    ts_status status = TS_OK;
    switch (ts_rand_below(r, 8)) {
    case 0:
        add(st, words, "answer");
        break;
    case 1:
    case 2:
        status = ts_row_edit(st, ids[0], -1, &e, 1, NULL, &err);
        break;
    case 3:
        status = ts_rows_set_rating(st, ids, n, (int)ts_rand_below(r, 6), NULL, &err);
        break;
    case 4:
        status = ts_rows_tag(st, ids, n, words + 5, ts_rand_below(r, 3) > 0, NULL, &err);
        break;
    case 5:
        status = ts_row_dismiss(st, ids[0], "refusal", ts_rand_below(r, 2), NULL, &err);
        break;
    default:
        status = ts_rows_set_status(st, ids, n, (ts_row_status)ts_rand_below(r, 4), NULL, &err);
    }
    assert_true(status == TS_OK || status == TS_NOT_FOUND); /* a row may have been undone */
}

static void random_acts_undo_to_the_start(void **state) {
    (void)state;
    char *ws = ts_path_join(ts_test_dir(), "ws"), start[33], end[33], now[33];
    ts_store *st = open_at(ws, true);
    ts_rand r;
    ts_rand_seed(&r, 11);
    for (int i = 0; i < 20; i++)
        add(st, "question", "answer");
    assert_ok(ts_db_run(st, "DELETE FROM step; DELETE FROM step_row", "forget the history", &err));
    assert_ok(ts_store_hash(st, start, &err));
    int64_t rows = 20;
    for (int i = 0; i < 400; i++) {
        random_act(st, &r, rows);
        if (ts_rand_below(&r, 10) == 0 && ts_undo(st, 0, NULL, &err) == TS_OK && ts_rand_below(&r, 2))
            assert_ok(ts_redo(st, NULL, &err));
        rows = ts_db_int(st, "SELECT value FROM counter WHERE name='example'", 0);
    }
    assert_ok(ts_store_hash(st, end, &err));
    size_t undone = 0;
    while (ts_undo(st, 0, NULL, &err) == TS_OK)
        undone++;
    assert_int_equal(err.code, TS_NOT_FOUND);
    assert_true(undone > 200);
    assert_ok(ts_store_hash(st, now, &err));
    assert_string_equal(start, now);
    ts_store_close(st);
    st = open_at(ws, false);
    while (ts_redo(st, NULL, &err) == TS_OK)
        undone--;
    assert_int_equal(undone, 0);
    assert_ok(ts_store_hash(st, now, &err));
    assert_string_equal(end, now);
    assert_ok(ts_store_check(st, &err));
    ts_store_close(st);
    free(ws);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_what_it_undid),
        cmocka_unit_test(tells_what_one_row_went_through),
        cmocka_unit_test(bulk_marks_are_small_and_exact),
        cmocka_unit_test(random_acts_undo_to_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
