/* Purging: what goes, what stays, how far undo goes back; restoring one row's texts. */
#include "tests/support.h"

#include "core/base/file.h"
#include "dataset/db.h"
#include "dataset/dedupe.h"
#include "dataset/frozen.h"
#include "dataset/history.h"
#include "dataset/import.h"
#include "dataset/purge.h"

#include <stdlib.h>
#include <string.h>

static ts_err err;

static ts_text text(const char *s) {
    return (ts_text){s, strlen(s)};
}

static ts_store *new_store(char **folder) {
    ts_store *st = NULL;
    char *ws = ts_path_join(ts_test_dir(), "ws");
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    *folder = ws;
    return st;
}

static int64_t add(ts_store *st, const char *instruction, const char *output) {
    ts_draft d = {.instruction = text(instruction), .input = text(""), .output = text(output)};
    int64_t id = 0;
    assert_ok(ts_row_add(st, &d, &id, NULL, &err));
    return id;
}

static void edit(ts_store *st, int64_t id, ts_field field, const char *to) {
    ts_edit e = {field, text(to)};
    assert_ok(ts_row_edit(st, id, -1, &e, 1, NULL, &err));
}

static bool file_has(const char *ws, const char *name, const char *words) {
    char *path = ts_path_join(ws, name);
    ts_buf b = TS_BUF_INIT;
    bool found = false;
    if (ts_file_size(path) > 0) {
        assert_ok(ts_file_read(path, 1 << 26, &b, &err));
        found = memmem(b.data, b.len, words, strlen(words)) != NULL;
    }
    ts_buf_release(&b);
    free(path);
    return found;
}

static void check_costs(ts_store *st, const int64_t *ids, size_t n) {
    ts_purge_costs costs;
    assert_ok(ts_purge_ask(st, ids, n, &costs, &err));
    assert_int_equal(costs.rows, 1);
    assert_int_equal(costs.accepted, 1);
    assert_int_equal(costs.edits, 2); /* added, edited */
    assert_int_equal(costs.undoable, 5);
    assert_int_equal(costs.redoable, 1);
    assert_int_equal(costs.snapshots, 1);
}

static void check_history(ts_store *st, int64_t keep, int64_t gone, ts_arena *arena) {
    ts_done done;
    ts_row row;
    /* undo stops there, redo is over, a new act is undone as ever, the other row's history is whole */
    assert_int_equal(ts_undo(st, 0, NULL, &err), TS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "test purged 1 row"));
    assert_int_equal(ts_redo(st, NULL, &err), TS_NOT_FOUND);
    edit(st, keep, TS_OUTPUT, "dough");
    assert_ok(ts_undo(st, 0, &done, &err));
    assert_ok(ts_row_read(st, keep, &row, arena, &err));
    assert_string_equal(row.output.s, "flour and water");
    assert_int_equal(ts_undo(st, 0, NULL, &err), TS_UNSUPPORTED);
    ts_step *steps;
    size_t n;
    assert_ok(ts_history_row(st, keep, &steps, &n, arena, &err));
    assert_true(n >= 5);
    assert_int_equal(ts_history_row(st, gone, &steps, &n, arena, &err), TS_OK); /* marks name its number, no text */
    for (size_t i = 0; i < n; i++)
        assert_true(!steps[i].after || !strstr(steps[i].after, "lives here"));
    assert_int_equal(add(st, "new", "row"), 3); /* the number is not used again */
    assert_ok(ts_undo(st, 0, NULL, &err));
}

static void takes_rows_out_for_good(void **state) {
    (void)state;
    char *ws;
    ts_store *st = new_store(&ws);
    ts_arena arena = TS_ARENA_INIT;
    int64_t keep = add(st, "What is bread?", "flour"), gone = add(st, "What is bread", "Jane Q Secret lives here");
    edit(st, gone, TS_OUTPUT, "John R Hidden lives here");
    edit(st, keep, TS_OUTPUT, "flour and water");
    int64_t both[] = {keep, gone, 99};
    assert_ok(ts_rows_set_status(st, both, 2, TS_ACCEPTED, NULL, &err));
    assert_ok(ts_rows_tag(st, both, 2, "x", true, NULL, &err));
    ts_dedupe_options o = TS_DEDUPE_DEFAULTS;
    ts_dedupe_report r;
    ts_frozen f;
    assert_ok(ts_dedupe(st, &o, NULL, NULL, NULL, &r, &err));
    assert_int_equal(r.groups, 1);
    assert_ok(ts_frozen_make(st, "one", "", 0, 1, NULL, &f, &arena, &err));
    assert_ok(ts_undo(st, 0, NULL, &err)); /* the tag */

    check_costs(st, both + 1, 2);
    ts_done done;
    ts_row row;
    assert_ok(ts_purge(st, both + 1, 2, NULL, &done, &err));
    assert_string_equal(done.text, "purged 1 row");
    assert_int_equal(ts_row_read(st, gone, &row, &arena, &err), TS_NOT_FOUND);
    assert_ok(ts_row_read(st, keep, &row, &arena, &err));
    assert_int_equal(row.status, TS_ACCEPTED);
    assert_int_equal(row.dup, 0); /* alone it is no group */
    assert_int_equal(ts_db_int(st, "SELECT count(*) FROM dup_group", -1), 0);

    check_history(st, keep, gone, &arena);
    int64_t counts[TS_FROZEN_KINDS];
    assert_ok(ts_frozen_compare(st, "one", NULL, counts, NULL, NULL, NULL, &err));
    assert_int_equal(counts[TS_FROZEN_SAME], 1);
    assert_int_equal(counts[TS_FROZEN_LEFT], 1);
    assert_ok(ts_store_check(st, &err));
    assert_false(file_has(ws, "tunesmith.db", "Jane Q Secret"));
    assert_false(file_has(ws, "tunesmith.db", "John R Hidden"));
    assert_false(file_has(ws, "tunesmith.db-wal", "John R Hidden"));
    assert_true(file_has(ws, "tunesmith.db", "flour and water"));
    ts_arena_release(&arena);
    ts_store_close(st);
    free(ws);
}

static void purges_nothing_when_stopped(void **state) {
    (void)state;
    char *ws, before[33], after[33];
    ts_store *st = new_store(&ws);
    ts_progress progress = {0};
    ts_done done;
    int64_t id = add(st, "q", "a"), none = 77;
    assert_ok(ts_store_hash(st, before, &err));
    progress.cancel = true;
    assert_int_equal(ts_purge(st, &id, 1, &progress, NULL, &err), TS_CANCELLED);
    assert_ok(ts_store_hash(st, after, &err));
    assert_string_equal(before, after);
    assert_ok(ts_purge(st, &none, 1, NULL, &done, &err));
    assert_int_equal(done.step, 0);
    assert_ok(ts_undo(st, 0, NULL, &err));
    assert_ok(ts_redo(st, NULL, &err));
    ts_store_close(st);
    free(ws);
}

/* Rows of an undone import are no rows, and go with a purge as what could be redone goes. */
static void purges_what_could_be_redone(void **state) {
    (void)state;
    char *ws;
    ts_store *st = new_store(&ws);
    static const char rows[] = "{\"instruction\":\"Zebra question\",\"output\":\"Zebra answer\"}\n";
    const char *path = ts_test_path("rows.jsonl");
    ts_import_file f;
    int64_t id = add(st, "q", "a");
    assert_ok(ts_file_write(path, rows, sizeof rows - 1, &err));
    assert_ok(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err));
    assert_ok(ts_undo(st, 0, NULL, &err));
    assert_ok(ts_purge(st, &id, 1, NULL, NULL, &err));
    assert_int_equal(ts_redo(st, NULL, &err), TS_NOT_FOUND);
    assert_false(file_has(ws, "tunesmith.db", "Zebra"));
    ts_store_close(st);
    free(ws);
}

static void restores_the_texts_of_a_step(void **state) {
    (void)state;
    char *ws;
    ts_store *st = new_store(&ws);
    ts_arena arena = TS_ARENA_INIT;
    ts_row row;
    ts_done done;
    int64_t id = add(st, "question", "first"); /* step 1 */
    edit(st, id, TS_OUTPUT, "second");         /* 2 */
    assert_ok(ts_rows_tag(st, &id, 1, "x", true, NULL, &err));
    edit(st, id, TS_INSTRUCTION, "another"); /* 4 */
    edit(st, id, TS_OUTPUT, "third");
    edit(st, id, TS_SYSTEM, "be kind");
    edit(st, id, TS_OUTPUT, "taken back"); /* 7 */
    assert_ok(ts_undo(st, 0, NULL, &err));
    assert_int_equal(ts_row_restore(st, id, 7, &done, &err), TS_NOT_FOUND);
    assert_ok(ts_row_restore(st, id, 2, &done, &err));
    assert_string_equal(done.text, "restored row 1 as it was after step 2");
    assert_ok(ts_row_read(st, id, &row, &arena, &err));
    assert_string_equal(row.output.s, "second");
    assert_string_equal(row.instruction.s, "question");
    assert_null(row.system.s);
    assert_string_equal(row.tags, "x"); /* marks stay */
    assert_ok(ts_row_restore(st, id, 2, &done, &err));
    assert_int_equal(done.step, 0);
    assert_ok(ts_undo(st, 0, NULL, &err));
    assert_ok(ts_row_read(st, id, &row, &arena, &err));
    assert_string_equal(row.output.s, "third");
    assert_string_equal(row.system.s, "be kind");
    assert_int_equal(ts_row_restore(st, id, 99, &done, &err), TS_NOT_FOUND);
    assert_int_equal(ts_row_restore(st, 5, 1, &done, &err), TS_NOT_FOUND);

    ts_draft d = {.messages =
                      text("[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]")};
    ts_edit longer = {TS_MESSAGES_JSON,
                      text("[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":"
                           "\"c\"},{\"role\":\"user\",\"content\":\"d\"},{\"role\":\"assistant\","
                           "\"content\":\"e\"}]")};
    assert_ok(ts_row_add(st, &d, &id, &done, &err));
    int64_t made = done.step;
    assert_ok(ts_row_edit(st, id, -1, &longer, 1, NULL, &err));
    assert_ok(ts_row_restore(st, id, made, &done, &err));
    assert_ok(ts_row_read(st, id, &row, &arena, &err));
    assert_string_equal(row.output.s, "b");
    assert_string_equal(row.messages.s, d.messages.s);
    ts_arena_release(&arena);
    ts_store_close(st);
    free(ws);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_rows_out_for_good),
        cmocka_unit_test(purges_nothing_when_stopped),
        cmocka_unit_test(purges_what_could_be_redone),
        cmocka_unit_test(restores_the_texts_of_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
