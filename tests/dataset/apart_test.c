/* Rows that a person found to be no duplicates: later searches leave them out, undo brings them back, and applying
 * rejects everything but the kept rows and nothing else. */
#include "tests/support.h"

#include "core/base/file.h"
#include "dataset/apart.h"
#include "dataset/db.h"
#include "dataset/purge.h"
#include "dataset/view.h"

#include <stdio.h>
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

static void add(ts_store *st, const char *instruction, const char *output) {
    ts_draft d = {.instruction = {instruction, strlen(instruction)}, .output = {output, strlen(output)}};
    assert_ok(ts_row_add(st, &d, NULL, NULL, &err));
}

/* 1, 2, 3 are alike, 4 and 5 are the same, 6 is like nothing. */
static ts_store *six_rows(void) {
    ts_store *st = new_store();
    add(st, "how do I print a page on both sides of the paper please", "open the dialog and choose both sides");
    add(st, "how do I print a page on both sides of the paper now", "open the dialog and choose both sides");
    add(st, "how do I print a page on both sides of the paper today", "open the dialog and choose both sides, always");
    add(st, "what is a cookie", "a small file that a site keeps");
    add(st, "what is a cookie", "a small file that a site keeps");
    add(st, "is my disk full", "look at the settings");
    return st;
}

static ts_dedupe_report search(ts_store *st) {
    ts_dedupe_options o = TS_DEDUPE_DEFAULTS;
    ts_dedupe_report r;
    o.near.common_lines = 0;
    assert_ok(ts_dedupe(st, &o, NULL, NULL, NULL, &r, &err));
    return r;
}

static size_t members(ts_store *st, int64_t group, ts_dup_member out[8]) {
    ts_arena arena = TS_ARENA_INIT;
    ts_dup_member *m;
    size_t n;
    assert_ok(ts_dup_members(st, group, &m, &n, &arena, &err));
    assert_true(n <= 8);
    memcpy(out, m, n * sizeof *m);
    ts_arena_release(&arena);
    return n;
}

static void not_a_duplicate_is_remembered(void **state) {
    (void)state;
    ts_store *st = six_rows();
    ts_dup_member m[8];
    char before[33], after[33];
    const int64_t others[] = {1, 2}, four[] = {4};
    ts_done done;
    assert_int_equal(search(st).groups, 2);
    assert_int_equal(members(st, 1, m), 3);
    assert_ok(ts_store_hash(st, before, &err));

    assert_ok(ts_rows_apart(st, 3, others, 2, true, &done, &err));
    assert_int_equal(done.rows, 2);
    assert_int_equal(members(st, 1, m), 3); /* shown at once, without a search */
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(m[i].apart, m[i].id == 3);
    ts_dedupe_report r = search(st);
    assert_int_equal(r.groups, 2);
    assert_int_equal(r.removable, 2);
    assert_int_equal(r.largest, 2);
    assert_int_equal(r.pairs, 2);
    assert_int_equal(members(st, 1, m), 2);
    assert_int_equal(m[0].id + m[1].id, 3);

    assert_ok(ts_rows_apart(st, 5, four, 1, true, &done, &err));
    r = search(st);
    assert_int_equal(r.groups, 1);
    assert_int_equal(r.removable, 1);
    assert_int_equal(members(st, 2, m), 0);

    assert_ok(ts_undo(st, 0, NULL, &err));
    assert_ok(ts_undo(st, 0, NULL, &err));
    assert_ok(ts_store_hash(st, after, &err));
    assert_string_equal(before, after);
    assert_int_equal(search(st).removable, 3);
    ts_store_close(st);
}

/* A row apart from one member stays in the group through the other: there is a verified pair. */
static void one_pair_apart_keeps_the_rest(void **state) {
    (void)state;
    ts_store *st = six_rows();
    const int64_t one[] = {1};
    ts_dup_member m[8];
    search(st);
    assert_ok(ts_rows_apart(st, 3, one, 1, true, NULL, &err));
    ts_dedupe_report r = search(st);
    assert_int_equal(r.groups, 2);
    assert_int_equal(members(st, 1, m), 3);
    for (size_t i = 0; i < 3; i++)
        assert_false(m[i].apart);
    assert_ok(ts_rows_apart(st, 3, one, 1, false, NULL, &err));
    assert_false(ts_apart_any(st));
    ts_store_close(st);
}

static void chosen_keepers_stay_chosen(void **state) {
    (void)state;
    ts_store *st = six_rows();
    ts_dup_member m[8];
    const int64_t third[] = {3};
    search(st);
    assert_ok(ts_dup_keeper(st, 1, 2, &err));
    assert_ok(ts_dup_keeper(st, 1, 3, &err));
    search(st);
    members(st, 1, m);
    assert_int_equal(m[0].id, 3);
    assert_true(m[0].keep && !m[1].keep && !m[2].keep);
    assert_ok(ts_purge(st, third, 1, NULL, NULL, &err));
    search(st);
    members(st, 1, m);
    assert_true(m[0].keep && m[0].id != 3);
    assert_int_equal(ts_db_int(st, "SELECT count(*) FROM keeper", 0), 0);
    ts_store_close(st);
}

static void applying_rejects_all_but_the_kept(void **state) {
    (void)state;
    ts_store *st = six_rows();
    int64_t *ids, groups;
    const int64_t others[] = {1, 3}, three[] = {3};
    size_t n;
    ts_dup_member m[8];
    search(st);
    assert_ok(ts_dup_keeper(st, 1, 3, &err));
    members(st, 1, m);
    assert_int_equal(m[0].id, 3);
    assert_true(m[0].keep && !m[1].keep && !m[2].keep);
    assert_int_equal(ts_dup_keeper(st, 1, 6, &err), TS_NOT_FOUND);

    assert_ok(ts_dup_removable(st, 0, &ids, &n, &groups, &err));
    assert_int_equal(n, 3);
    assert_int_equal(groups, 2);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[1], 2);
    free(ids);
    assert_ok(ts_dup_removable(st, 1, &ids, &n, &groups, &err)); /* only the equal ones */
    assert_int_equal(n, 1);
    assert_int_equal(groups, 1);
    free(ids);
    assert_ok(ts_rows_apart(st, 2, others, 2, true, NULL, &err));
    assert_ok(ts_dup_removable(st, 0, &ids, &n, &groups, &err));
    assert_int_equal(n, 2);
    free(ids);
    assert_ok(ts_rows_set_status(st, three, 1, TS_REJECTED, NULL, &err)); /* then nothing would be left of it */
    assert_ok(ts_dup_removable(st, 0, &ids, &n, &groups, &err));
    assert_int_equal(n, 1);
    free(ids);
    ts_store_close(st);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_a_duplicate_is_remembered),
        cmocka_unit_test(one_pair_apart_keeps_the_rest),
        cmocka_unit_test(chosen_keepers_stay_chosen),
        cmocka_unit_test(applying_rejects_all_but_the_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
