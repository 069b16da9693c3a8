/* An import that is stopped keeps nothing, or what it read until then, as was chosen. */
#include "tests/support.h"

#include "core/base/file.h"
#include "dataset/import.h"

#include <stdlib.h>
#include <string.h>

static ts_err err;

static void stopped_keeps_what_was_chosen(void **state) {
    (void)state;
    ts_store *st;
    ts_import_file files[2];
    ts_counts counts;
    ts_done done;
    ts_progress stop = {.cancel = true};
    ts_import_options keep = {.keep_read = true};
    const char *paths[] = {ts_test_source("tests/data/broken-rows.jsonl"), ts_test_source("samples/helpdesk.jsonl")};
    char *ws = ts_path_join(ts_test_dir(), "ws"), before[33], after[33];
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    assert_ok(ts_store_hash(st, before, &err));
    assert_int_equal(ts_import(st, paths, 2, NULL, &stop, files, &done, &err), TS_CANCELLED);
    assert_ok(ts_store_hash(st, after, &err));
    assert_string_equal(before, after);

    assert_ok(ts_import(st, paths, 2, &keep, &stop, files, &done, &err));
    assert_true(files[0].stopped);
    assert_int_equal(files[0].read, 1);
    assert_int_equal(files[0].imported, 1);
    assert_int_equal(files[1].read, 0);
    assert_ok(ts_store_counts(st, &counts, &err));
    assert_int_equal(counts.rows, 1);
    assert_ok(ts_undo(st, done.step, NULL, &err));
    assert_ok(ts_store_hash(st, after, &err));
    assert_string_equal(before, after);

    stop.cancel = false;
    assert_ok(ts_import(st, paths, 1, &keep, &stop, files, &done, &err));
    assert_false(files[0].stopped);
    assert_int_equal(files[0].read, 6);
    ts_store_close(st);
    free(ws);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(stopped_keeps_what_was_chosen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
