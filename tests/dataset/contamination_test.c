/* Outside prompts among the rows: runs of words by the obvious way, the shapes of files, a real test set. */
#include "tests/support.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "dataset/contamination.h"
#include "dataset/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

static const char *file(const char *name, const char *text) {
    const char *path = ts_test_path(name);
    assert_ok(ts_file_write(path, text, strlen(text), &err));
    return path;
}

static ts_store *rows(const char *text) {
    ts_store *st;
    ts_import_file f;
    const char *path = file("rows.jsonl", text);
    char *ws = ts_path_join(ts_test_dir(), "ws");
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    assert_ok(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err));
    free(ws);
    return st;
}

static void runs_are_found_whatever_the_file(void **state) {
    (void)state;
    static const char *const files[] = {
        "Is it one two three four five six seven, eight nine?\nshort\n",
        "{\"question\":\"Is it one two three four five six seven, eight "
        "nine?\",\"answer\":\"x\"}\n{\"prompt\":\"short\"}\n",
        "[{\"turns\":[\"Is it one two three\", \"four five six seven, eight nine?\"]},{\"text\":\"short\"}]",
        "{\"messages\":[{\"role\":\"system\",\"content\":\"no\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
        "\"text\":\"Is it one two three four five six seven, eight "
        "nine?\"}]}]}\n{\"conversations\":[{\"from\":\"human\","
        "\"value\":\"short\"}]}",
    };
    ts_store *st = rows("{\"instruction\":\"ONE two; three four five six seven eight nine ten\",\"output\":\"a\"}\n"
                        "{\"instruction\":\"x\",\"output\":\"So: is it one two three four five six seven EIGHT?\"}\n"
                        "{\"instruction\":\"one two three four five six seven\",\"output\":\"eight nine\"}\n");
    for (size_t i = 0; i < TS_COUNT(files); i++) {
        ts_arena arena = TS_ARENA_INIT;
        ts_leak_report r;
        assert_ok(ts_contamination(st, file("outside", files[i]), NULL, 8, NULL, &r, &arena, &err));
        assert_int_equal(r.rows, 3);
        assert_int_equal(r.prompts, 2);
        assert_int_equal(r.short_prompts, 1);
        assert_int_equal(r.n, 2); /* a run does not go on from the prompt into the answer */
        assert_int_equal(r.leaks[0].id, 2);
        assert_int_equal(r.leaks[0].words, 10);
        assert_true(r.leaks[0].in_answer);
        assert_string_equal(r.leaks[0].run.s, "is it one two three four five six seven EIGHT");
        assert_int_equal(r.leaks[1].id, 1);
        assert_int_equal(r.leaks[1].words, 9);
        assert_string_equal(r.leaks[1].run.s, "ONE two; three four five six seven eight nine");
        assert_int_equal(r.rows_at[0], 2);
        assert_int_equal(r.rows_at[1], 1);
        assert_int_equal(r.rows_at[2], 0);
        assert_int_equal(r.prompts_at[1], 1);
        ts_arena_release(&arena);
    }
    ts_store_close(st);
}

static size_t slow_run(const int *a, size_t n, const int *b, size_t m) {
    size_t longest = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) {
            size_t k = 0;
            while (i + k < n && j + k < m && a[i + k] == b[j + k])
                k++;
            longest = TS_MAX(longest, k);
        }
    return longest >= TS_LEAK_LEAST ? longest : 0;
}

static void longest_runs_equal_the_obvious_way(void **state) {
    (void)state;
    enum { N = 60, M = 40, LENGTH = 60 };
    static int a[N][LENGTH], b[M][LENGTH];
    ts_rand r;
    ts_buf in = TS_BUF_INIT, out = TS_BUF_INIT;
    ts_arena arena = TS_ARENA_INIT;
    ts_leak_report report;
    ts_rand_seed(&r, 9);
    for (int i = 0; i < M; i++) { /* two letters: long runs, many places */
        for (int k = 0; k < LENGTH; k++)
            ts_buf_printf(&out, "w%d ", b[i][k] = (int)ts_rand_below(&r, 3));
        ts_buf_putc(&out, '\n');
    }
    for (int i = 0; i < N; i++) {
        ts_buf_puts(&in, "{\"instruction\":\"q\",\"output\":\"");
        for (int k = 0; k < LENGTH; k++)
            ts_buf_printf(&in, "w%d ", a[i][k] = (int)ts_rand_below(&r, 3));
        ts_buf_puts(&in, "\"}\n");
    }
    ts_store *st = rows(in.data);
    assert_ok(ts_contamination(st, file("outside", out.data), NULL, 8, NULL, &report, &arena, &err));
    size_t found = 0;
    for (int i = 0; i < N; i++) {
        size_t longest = 0;
        for (int j = 0; j < M; j++)
            longest = TS_MAX(longest, slow_run(a[i], LENGTH, b[j], LENGTH));
        for (size_t k = 0; k < report.n; k++)
            if (report.leaks[k].id == i + 1) assert_int_equal(report.leaks[k].words, longest);
        found += longest > 0;
    }
    assert_int_equal(report.n, found);
    assert_true(found > 10);
    ts_buf_release(&in);
    ts_buf_release(&out);
    ts_arena_release(&arena);
    ts_store_close(st);
}

static void bad_files_are_refused(void **state) {
    (void)state;
    ts_store *st = rows("{\"instruction\":\"a\",\"output\":\"b\"}\n");
    static const char *const files[] = {"", "\n \n", "[1, 2]", "{\"a\":", "{}", "\xff\xfe", "[{\"question\":5}]"};
    ts_arena arena = TS_ARENA_INIT;
    ts_leak_report r;
    for (size_t i = 0; i < TS_COUNT(files); i++) {
        assert_true(ts_contamination(st, file("outside", files[i]), NULL, 8, NULL, &r, &arena, &err) != TS_OK);
        assert_non_null(strstr(err.text, "outside"));
    }
    assert_true(ts_contamination(st, "/no/such", NULL, 8, NULL, &r, &arena, &err) != TS_OK);
    ts_arena_release(&arena);
    ts_store_close(st);
}

static void a_clean_set_is_clean(void **state) {
    (void)state;
    const char *path = ts_test_shared("data/llama-factory/alpaca_en_demo.json");
    const char *outside = ts_test_shared("data/gsm8k/test.jsonl");
    ts_arena arena = TS_ARENA_INIT;
    ts_leak_report r;
    ts_import_file f;
    ts_store *st = rows("{\"instruction\":\"a\",\"output\":\"b\"}\n");
    assert_ok(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err));
    assert_ok(ts_contamination(st, outside, NULL, 8, NULL, &r, &arena, &err));
    assert_int_equal(r.prompts, 1319);
    assert_int_equal(r.rows_at[0], 0);
    assert_ok(ts_import(st, &outside, 1, NULL, NULL, &f, NULL, &err)); /* and itself holds itself */
    assert_ok(ts_contamination(st, outside, NULL, 8, NULL, &r, &arena, &err));
    assert_int_equal(r.rows_at[0], f.imported - r.short_prompts);
    ts_arena_release(&arena);
    ts_store_close(st);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_are_found_whatever_the_file),
        cmocka_unit_test(longest_runs_equal_the_obvious_way),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(a_clean_set_is_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
