/* Import and export: every row accounted for, bad files leave nothing, what goes out comes in again, kill -9. */
#include "tests/support.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "dataset/export.h"
#include "dataset/formats.h"
#include "dataset/history.h"
#include "dataset/import.h"
#include "dataset/view.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static ts_err err;

static ts_store *new_store(char **ws) {
    ts_store *st;
    *ws = ts_path_join(ts_test_dir(), "ws");
    assert_ok(ts_store_init(*ws, &err));
    assert_ok(ts_store_open(&st, *ws, "test", &err));
    return st;
}

static const char *file_of(const char *text, size_t n) {
    const char *path = ts_test_path("with blank.json");
    assert_ok(ts_file_write(path, text, n, &err));
    return path;
}

static ts_status import_text(ts_store *st, const char *text, ts_import_file *result) {
    const char *path = file_of(text, strlen(text));
    return ts_import(st, &path, 1, NULL, NULL, result, NULL, &err);
}

static int64_t rows_of(ts_store *st) {
    ts_counts c;
    assert_ok(ts_store_counts(st, &c, &err));
    return c.rows;
}

static void accounts_for_every_row(void **state) {
    (void)state;
    char *ws;
    ts_store *st = new_store(&ws);
    ts_import_file f;
    assert_ok(import_text(st,
                          "{\"instruction\":\"a\",\"input\":null,\"output\":\"1\",\"extra\": [1, 2.50]}\n"
                          "{\"instruction\":\"b\",\"output\":null}\n"
                          "{\"instruction\":\"c\"}\n"
                          "{\"output\":\"d\"}\n"
                          "{\"instruction\":7,\"output\":\"e\"}\n"
                          "[1]\n"
                          "{\"instruction\":\"f\",\"output\":\"\xff\"}\n"
                          "{\"instruction\":\"g\",\"output\":\"\\u0000\"}\n"
                          "{\"instruction\":\"h\",\"instruction\":\"h\",\"output\":\"\"}\n"
                          "{\"instruction\":\"i\",\"output\":\"\\ud800\"}\n"
                          "oops\n"
                          "{\"instruction\":\"\",\"output\":\"\",\"system\":\"s\"}\r\n"
                          "{\"instruction\":\"cut\",\"outp",
                          &f));
    assert_string_equal(f.format, "alpaca");
    assert_int_equal(f.read, 13);
    assert_int_equal(f.imported, 2);
    assert_int_equal(f.rejected, 11);
    ts_reject *r;
    size_t n;
    ts_arena arena = TS_ARENA_INIT;
    static const char *const codes[] = {
        "missing_answer", "missing_answer", "missing_instruction", "not_text", "data_type", "bad_utf8",
        "nul_character",  "duplicate_key",  "half_surrogate",      "not_json", "cut"};
    assert_ok(ts_rejects_read(st, 0, 0, &r, &n, &arena, &err));
    assert_int_equal(n, 11);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(r[i].code, codes[i]);
        assert_true(*ts_reason_sentence(r[i].code));
    }
    int64_t *ids;
    assert_ok(ts_rejects_ids(st, &ids, &n, &err));
    assert_int_equal(n, 11);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ids[i], r[i].id);
    free(ids);
    assert_int_equal(r[10].line, 13);
    assert_string_equal(r[9].text.s, "oops");
    ts_row row;
    assert_ok(ts_row_read(st, 1, &row, &arena, &err));
    assert_string_equal(row.extra.s, "\"extra\":[1,2.50]");
    assert_string_equal(row.origin, "with blank.json:1");
    assert_ok(ts_row_read(st, 2, &row, &arena, &err));
    assert_string_equal(row.system.s, "s");
    ts_arena_release(&arena);
    ts_store_close(st);
    free(ws);
}

static void checks_conversations(void **state) {
    (void)state;
    char *ws;
    ts_store *st = new_store(&ws);
    ts_import_file f;
    assert_ok(import_text(
        st,
        "[{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]},{\"role\":\"assistant\","
        "\"content\":\"b\"}],\"id\":9},\n"
        "{\"messages\":[]},\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]},\n"
        "{\"messages\":[{\"role\":\"robot\",\"content\":\"a\"}]},\n"
        "{\"messages\":[{\"role\":\"assistant\"}]},\n"
        "{\"messages\":[{\"role\":\"assistant\",\"content\":null}]},\n"
        "{\"messages\":[7]}]",
        &f));
    assert_int_equal(f.read, 7);
    assert_int_equal(f.imported, 1);
    ts_reject *r;
    size_t n;
    ts_arena arena = TS_ARENA_INIT;
    static const char *const codes[] = {"missing_messages_list", "example_missing_assistant_message",
                                        "unrecognized_role",     "message_missing_key",
                                        "missing_content",       "message_not_object"};
    assert_ok(ts_rejects_read(st, 0, 0, &r, &n, &arena, &err));
    assert_int_equal(n, 6);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(r[i].code, codes[i]);
    ts_row row;
    assert_ok(ts_row_read(st, 1, &row, &arena, &err));
    assert_string_equal(row.instruction.s, "a");
    ts_arena_release(&arena);
    ts_store_close(st);
    free(ws);
}

static void bad_files_leave_nothing(void **state) {
    (void)state;
    char *ws, before[33], after[33];
    ts_store *st = new_store(&ws);
    ts_import_file f[2];
    const char *good = file_of("{\"instruction\":\"a\",\"output\":\"b\"}", 32);
    char *missing = ts_path_join(ws, "no such file"), *folder = ts_path_join(ws, "runs");
    const struct {
        const char *path, *words;
        ts_status status;
    } cases[] = {
        {missing, "cannot open", TS_NOT_FOUND},
        {folder, "is a folder", TS_INVALID},
        {file_of("", 0), "is empty", TS_FORMAT},
        {file_of("hello", 5), "not JSON", TS_FORMAT},
        {file_of("[{\"instruction\":\"a\",\"output\":\"b\"}, {\"instr", 42), "cut short", TS_FORMAT},
        {file_of("{\"title\":\"a\"}", 13), "title", TS_FORMAT},
        {file_of("\xff\xfe{\0", 4), "line 1, the row ends in the middle", TS_FORMAT},
        {file_of("{\0}\0", 4), "UTF-16", TS_FORMAT},
        {file_of("[1,2]", 5), "no row", TS_FORMAT},
    };
    assert_ok(ts_store_hash(st, before, &err));
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        const char *both[2] = {good, cases[i].path};
        assert_int_equal(ts_import(st, both, 2, NULL, NULL, f, NULL, &err), cases[i].status);
        if (!strstr(err.text, cases[i].words)) fail_msg("case %zu: %s", i, err.text);
        assert_ok(ts_store_hash(st, after, &err));
        assert_string_equal(before, after);
    }
    assert_int_equal(ts_history_last(st), 0);
    free(missing);
    free(folder);
    ts_store_close(st);
    free(ws);
}

static void cancel_keeps_nothing(void **state) {
    (void)state;
    char *ws;
    ts_store *st = new_store(&ws);
    ts_progress progress = {0};
    ts_import_file f;
    const char *path =
        file_of("{\"instruction\":\"a\",\"output\":\"b\"}\n{\"instruction\":\"c\",\"output\":\"d\"}", 65);
    ts_cancel(&progress);
    assert_int_equal(ts_import(st, &path, 1, NULL, &progress, &f, NULL, &err), TS_CANCELLED);
    assert_int_equal(rows_of(st), 0);
    ts_store_close(st);
    free(ws);
}

static void notices_known_rows(void **state) {
    (void)state;
    char *ws;
    ts_store *st = new_store(&ws);
    ts_import_file f;
    const char *path =
        file_of("{\"instruction\":\"a\",\"output\":\"b\"}\n{\"instruction\":\"c\",\"output\":\"d\"}", 65);
    ts_import_options skip = {.skip_known = true};
    assert_ok(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err));
    assert_int_equal(f.known, 0);
    assert_ok(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err));
    assert_int_equal(f.known, 2);
    assert_int_equal(f.imported, 2);
    assert_int_equal(rows_of(st), 4);
    ts_done done;
    assert_ok(ts_undo(st, 0, &done, &err));
    assert_int_equal(rows_of(st), 2);
    assert_int_equal(done.rows, 2);
    assert_ok(ts_redo(st, &done, &err));
    assert_int_equal(rows_of(st), 4);
    assert_ok(ts_undo(st, 0, &done, &err));
    assert_ok(ts_import(st, &path, 1, &skip, NULL, &f, NULL, &err));
    assert_int_equal(f.imported, 0);
    assert_int_equal(f.rejected, 2);
    assert_int_equal(rows_of(st), 2);
    ts_store_close(st);
    free(ws);
}

/* A row of more than 64 MB between two good ones. */
static void refuses_a_huge_row(void **state) {
    (void)state;
    char *ws;
    ts_store *st = new_store(&ws);
    ts_import_file f;
    size_t huge = (size_t)66 << 20;
    for (int array = 0; array < 2; array++) {
        ts_buf text = TS_BUF_INIT;
        ts_buf_puts(&text, array ? "[" : "");
        ts_buf_puts(&text, "{\"instruction\":\"a\",\"output\":\"b\"}");
        ts_buf_puts(&text, array ? ",\n" : "\n");
        ts_buf_puts(&text, "{\"instruction\":\"x\",\"output\":\"");
        ts_buf_reserve(&text, huge);
        memset(text.data + text.len, 'y', huge);
        text.len += huge;
        ts_buf_puts(&text, array ? "\"},\n{\"instruction\":\"c\",\"output\":\"d\"}]"
                                 : "\"}\n{\"instruction\":\"c\",\"output\":\"d\"}\n");
        const char *path = file_of(text.data, text.len);
        assert_ok(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err));
        assert_int_equal(f.read, 3);
        assert_int_equal(f.imported, 2);
        ts_buf_release(&text);
    }
    ts_arena arena = TS_ARENA_INIT;
    ts_reject *r;
    size_t n;
    assert_ok(ts_rejects_read(st, 0, 0, &r, &n, &arena, &err));
    assert_int_equal(n, 2);
    assert_string_equal(r[1].code, "too_large");
    assert_int_equal(r[1].line, 2);
    assert_true(r[1].cut && r[1].text.n < 10000);
    ts_arena_release(&arena);
    ts_store_close(st);
    free(ws);
}

static void random_text(ts_rand *r, ts_buf *out) {
    static const char *const bits[] = {
        "a", "word ", "\"",   "\\", "\n", "\t",           "\xc3\xa9", "\xe6\xbc\xa2", "\xf0\x9f\x98\x80",
        "/", "\x01",  "\x7f", "{",  "]",  "\xe2\x80\xa8", "0",        "\r\n",         "'"};
    for (uint64_t n = ts_rand_below(r, 30); n > 0; n--)
        ts_buf_puts(out, bits[ts_rand_below(r, TS_COUNT(bits))]);
}

/* Export, import into another workspace: the same texts, byte for byte, unknown members too. */
static void export_comes_back_the_same(void **state) {
    (void)state;
    char *ws[2];
    ts_store *st[2] = {new_store(&ws[0]), new_store(&ws[1])};
    ts_rand r;
    ts_rand_seed(&r, 5);
    for (int i = 0; i < 60; i++) {
        ts_buf t[5] = {TS_BUF_INIT};
        ts_draft d = {0};
        for (int k = 0; k < 5; k++)
            random_text(&r, &t[k]);
        ts_buf_puts(&t[0], "x");
        d = (ts_draft){.instruction = {t[0].data, t[0].len},
                       .input = {ts_buf_str(&t[1]), t[1].len},
                       .output = {ts_buf_str(&t[2]), t[2].len}};
        if (i % 3 == 0) d.system = (ts_text){ts_buf_str(&t[3]), t[3].len};
        if (i % 4 == 0) d.extra = (ts_text){"\"n\":1.50,\"\\u006b\":{\"a\":[1,null]}", 31};
        ts_text whole = d.extra;
        if (whole.s) d.extra.n = strlen(whole.s);
        assert_ok(ts_row_add(st[0], &d, NULL, NULL, &err));
        for (int k = 0; k < 5; k++)
            ts_buf_release(&t[k]);
    }
    for (int array = 0; array < 2; array++) {
        ts_export_options o = {.array = array};
        ts_export_report report;
        ts_import_file f;
        const char *path = ts_test_path("out.jsonl");
        assert_ok(ts_export(st[0], path, &o, NULL, &report, &err));
        assert_int_equal(report.rows, 60);
        assert_ok(ts_import(st[1], &path, 1, NULL, NULL, &f, NULL, &err));
        assert_int_equal(f.imported, 60);
    }
    ts_arena arena = TS_ARENA_INIT;
    for (int64_t id = 1; id <= 60; id++)
        for (int again = 0; again < 2; again++) {
            ts_row a, b;
            assert_ok(ts_row_read(st[0], id, &a, &arena, &err));
            assert_ok(ts_row_read(st[1], id + 60 * again, &b, &arena, &err));
            assert_string_equal(a.instruction.s, b.instruction.s);
            assert_string_equal(a.input.s, b.input.s);
            assert_string_equal(a.output.s, b.output.s);
            assert_string_equal(a.system.s ? a.system.s : "(none)", b.system.s ? b.system.s : "(none)");
            assert_string_equal(a.extra.s ? a.extra.s : "(none)", b.extra.s ? b.extra.s : "(none)");
        }
    ts_arena_release(&arena);
    for (int i = 0; i < 2; i++) {
        ts_store_close(st[i]);
        free(ws[i]);
    }
}

static void refuses_conversations_as_alpaca(void **state) {
    (void)state;
    char *ws;
    ts_store *st = new_store(&ws);
    ts_import_file f;
    ts_export_report report;
    ts_export_options o = {.format = "alpaca"};
    const char *path = ts_test_path("out.jsonl");
    assert_ok(
        import_text(st,
                    "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
                    "{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\"}]}",
                    &f));
    assert_int_equal(ts_export(st, path, &o, NULL, &report, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "row 1"));
    assert_false(ts_file_exists(path));
    o.format = NULL;
    assert_ok(ts_export(st, path, &o, NULL, &report, &err));
    assert_string_equal(report.format, "messages");
    ts_store_close(st);
    free(ws);
}

/* An import killed at some moment leaves the workspace as it was before or as it is after. */
static void survives_kill_9(void **state) {
    (void)state;
    char *ws;
    ts_store *st = new_store(&ws);
    ts_buf text = TS_BUF_INIT;
    for (int i = 0; i < 20000; i++)
        ts_buf_printf(&text, "{\"instruction\":\"question %d\",\"output\":\"answer number %d with some words\"}\n", i,
                      i);
    const char *path = file_of(text.data, text.len);
    ts_import_file f;
    ts_store_close(st);
    int killed = 0;
    for (int round = 0; round < 20; round++) {
        pid_t child = fork();
        if (child == 0) {
            if (ts_store_open(&st, ws, "test", &err) != TS_OK) _exit(1);
            _exit(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err) != TS_OK);
        }
        usleep((useconds_t)(round * 5000));
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        killed += WIFSIGNALED(status);
        assert_ok(ts_store_open(&st, ws, "test", &err));
        assert_ok(ts_store_check(st, &err));
        assert_int_equal(rows_of(st) % 20000, 0);
        ts_store_close(st);
    }
    assert_true(killed > 0);
    ts_buf_release(&text);
    free(ws);
}

/* Every public file: read = imported + rejected, and how many of each are known. */
static void reads_public_files(void **state) {
    (void)state;
    static const struct {
        const char *path, *format;
        int64_t read, imported;
    } cases[] = {
        {"data/llama-factory/alpaca_en_demo.json", "alpaca", 999, 999},
        {"data/gpteacher/roleplay-simple-deduped-roleplay-dataset.json", "alpaca", 3146, 3146},
        {"data/openai/toy_chat_fine_tuning.jsonl", "messages", 5, 5},
        {"data/llama-factory/v1_sft_demo.jsonl", "messages", 500, 500},
        {"data/fastchat/dummy_conversation.json", "sharegpt", 500, 500},
        {"data/llama-factory/glaive_toolcall_en_demo.json", "sharegpt", 300, 300},
        {"data/llama-factory/dpo_en_demo.json", "sharegpt", 300, 300},
        {"data/gsm8k/test.jsonl", "qa", 1319, 1319},
        {"data/axolotl/conversation.json", "sharegpt", 1, 1},
    };
    char *ws;
    ts_store *st = new_store(&ws);
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        const char *path = ts_test_shared(cases[i].path);
        ts_import_file f;
        assert_ok(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err));
        assert_string_equal(f.format, cases[i].format);
        assert_int_equal(f.read, cases[i].read);
        assert_int_equal(f.imported, cases[i].imported);
        assert_int_equal(f.read, f.imported + f.rejected);
    }
    ts_store_close(st);
    free(ws);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accounts_for_every_row),
        cmocka_unit_test(checks_conversations),
        cmocka_unit_test(bad_files_leave_nothing),
        cmocka_unit_test(cancel_keeps_nothing),
        cmocka_unit_test(notices_known_rows),
        cmocka_unit_test(refuses_a_huge_row),
        cmocka_unit_test(export_comes_back_the_same),
        cmocka_unit_test(refuses_conversations_as_alpaca),
        cmocka_unit_test(survives_kill_9),
        cmocka_unit_test(reads_public_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
