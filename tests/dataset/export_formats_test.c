/* What goes out comes in again: every export format with hostile texts; repairs of rejected rows; OpenAI's rules. */
#include "tests/support.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "dataset/card.h"
#include "dataset/export.h"
#include "dataset/import.h"
#include "dataset/openai.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

static ts_store *open_new(const char *name) {
    ts_store *st;
    char *ws = ts_path_join(ts_test_dir(), name);
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    free(ws);
    return st;
}

static void import_text(ts_store *st, const char *name, const char *text, ts_import_file *f) {
    const char *path = ts_test_path(name);
    assert_ok(ts_file_write(path, text, strlen(text), &err));
    assert_ok(ts_import(st, &path, 1, NULL, NULL, f, NULL, &err));
}

static void random_text(ts_rand *r, ts_buf *out) {
    static const char *const bits[] = {
        "a", "word ", "\"",   "\\", "\n", "\t", "\xc3\xa9", "\xe6\xbc\xa2", ",",    "\r",
        "/", "\x01",  "\x7f", "{",  "]",  "'",  "\r\n",     "\xe2\x80\xa8", "\"\"", "\xf0\x9f\x98\x80"};
    for (uint64_t n = ts_rand_below(r, 30); n > 0; n--)
        ts_buf_puts(out, bits[ts_rand_below(r, TS_COUNT(bits))]);
    ts_buf_puts(out, "x");
}

/* Single texts: with an input and a system prompt where the format has room for them. */
static void add_plain(ts_store *st, bool inputs, bool systems) {
    ts_rand r;
    ts_rand_seed(&r, 11);
    for (int i = 0; i < 40; i++) {
        ts_buf t[4] = {TS_BUF_INIT};
        for (int k = 0; k < 4; k++)
            if (k != 1 || inputs) random_text(&r, &t[k]);
        ts_draft d = {.instruction = {t[0].data, t[0].len},
                      .input = {ts_buf_str(&t[1]), i % 2 ? t[1].len : 0},
                      .output = {t[2].data, t[2].len}};
        if (systems && i % 3 == 0) d.system = (ts_text){t[3].data, i % 2 ? t[3].len : 0};
        if (i % 4 == 0) d.extra = (ts_text){"\"n\":1.50,\"\\u006b\":{\"a\":[1,null,\"x\\ny\"]}", 38};
        if (d.extra.s) d.extra.n = strlen(d.extra.s);
        assert_ok(ts_row_add(st, &d, NULL, NULL, &err));
        for (int k = 0; k < 4; k++)
            ts_buf_release(&t[k]);
    }
}

static const char conversations[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"s\\n\\\"\"},{\"role\":\"user\",\"content\":\"a, \\u00e9\"},"
    "{\"role\":\"assistant\",\"content\":\"b\",\"weight\":0},{\"role\":\"user\",\"content\":\"c\\r\\n\"},"
    "{\"role\":\"assistant\",\"content\":\"d\"}],\"k\":[1, 2.0]}\n"
    "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"f()\",\"name\":"
    "\"function_call\"},{\"role\":\"tool\",\"content\":\"3\",\"name\":\"observation\"},{\"role\":\"assistant\","
    "\"content\":\"three\"}],\"tools\":\"[]\"}\n"
    "{\"messages\":[{\"role\":\"developer\",\"content\":\"d\"},{\"role\":\"user\",\"content\":\"q\"},"
    "{\"role\":\"assistant\",\"content\":\"r\"}]}\n";

/* The rows of one workspace are those of the other. */
static void same_rows(ts_store *a, ts_store *b, int64_t n, const char *format) {
    ts_arena arena = TS_ARENA_INIT;
    for (int64_t id = 1; id <= n; id++) {
        ts_row x, y;
        assert_ok(ts_row_read(a, id, &x, &arena, &err));
        assert_ok(ts_row_read(b, id, &y, &arena, &err));
        const ts_text texts[][2] = {{x.instruction, y.instruction}, {x.input, y.input},       {x.output, y.output},
                                    {x.system, y.system},           {x.messages, y.messages}, {x.extra, y.extra}};
        for (size_t i = 0; i < TS_COUNT(texts); i++) {
            const char *s = texts[i][0].s ? texts[i][0].s : "(none)", *t = texts[i][1].s ? texts[i][1].s : "(none)";
            if (strcmp(s, t) != 0) fail_msg("%s, row %d, text %zu: <%s> came back as <%s>", format, (int)id, i, s, t);
        }
    }
    ts_arena_release(&arena);
}

static void round_trip(ts_store *from, const char *format, const char *file, int64_t rows) {
    char *name = ts_printf("back-%s-%s-%d", format ? format : "auto", file, (int)rows);
    ts_store *to = open_new(name);
    free(name);
    const char *path = ts_test_path(file);
    ts_export_options o = {.format = format, .array = strstr(file, ".json") && !strstr(file, ".jsonl")};
    ts_export_report report;
    ts_import_file f;
    assert_ok(ts_export(from, path, &o, NULL, &report, &err));
    assert_int_equal(report.rows, rows);
    assert_ok(ts_import(to, &path, 1, NULL, NULL, &f, NULL, &err));
    assert_int_equal(f.imported, rows);
    same_rows(from, to, rows, format ? format : "auto");
    ts_store_close(to);
}

static void every_format_comes_back(void **state) {
    (void)state;
    ts_import_file f;
    ts_store *plain = open_new("plain"), *prompts = open_new("prompts"), *talks = open_new("talks");
    add_plain(plain, true, true);
    round_trip(plain, "alpaca", "a.jsonl", 40);
    round_trip(plain, "alpaca", "a.json", 40);
    round_trip(plain, "csv", "a.csv", 40);
    add_plain(prompts, false, true);
    round_trip(prompts, "completion", "p.jsonl", 40);
    import_text(talks, "talks.jsonl", conversations, &f);
    assert_int_equal(f.imported, 3);
    round_trip(talks, "messages", "t.jsonl", 3);
    round_trip(talks, "sharegpt", "t.json", 3);
    round_trip(talks, "completion", "t.jsonl", 3);
    round_trip(talks, "csv", "t.csv", 3);
    add_plain(talks, true, true); /* both in one table */
    round_trip(talks, NULL, "both.csv", 43);
    ts_store_close(plain);
    ts_store_close(prompts);
    ts_store_close(talks);
}

/* openai: what it takes comes back; what it does not take is refused with its name and nothing is written. */
static void openai_is_checked(void **state) {
    (void)state;
    ts_store *st = open_new("openai");
    ts_import_file f;
    ts_export_report report;
    ts_export_options o = {.format = "openai"};
    const char *path = ts_test_path("o.jsonl");
    import_text(st, "in.jsonl",
                "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"r\"}]}\n",
                &f);
    round_trip(st, "openai", "good.jsonl", 1);
    import_text(st, "in.jsonl",
                "{\"messages\":[{\"role\":\"user\",\"content\":\"\"},{\"role\":\"assistant\",\"content\":\"r\"}]}\n"
                "{\"messages\":[{\"role\":\"user\",\"content\":\"q\",\"loss\":1},{\"role\":\"assistant\",\"content\":"
                "null,\"tool_calls\":[]}]}\n",
                &f);
    assert_int_equal(f.imported, 2);
    assert_int_equal(ts_export(st, path, &o, NULL, &report, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "row 2"));
    assert_non_null(strstr(err.text, "missing_content"));
    assert_false(ts_file_exists(path));
    ts_openai_report r;
    assert_ok(ts_openai_check(st, NULL, TS_OPENAI_TOKENS, NULL, NULL, NULL, &r, &err));
    assert_int_equal(r.rows, 3);
    assert_int_equal(r.rows_with_errors, 2);
    assert_int_equal(r.rows_by_rule[TS_OPENAI_NO_CONTENT], 1);
    assert_int_equal(r.rows_by_rule[TS_OPENAI_UNKNOWN_KEY], 1);
    assert_int_equal(r.rows_by_rule[TS_OPENAI_NO_SYSTEM], 3);
    ts_store_close(st);
}

static void names_every_fault(void **state) {
    (void)state;
    static const struct {
        const char *messages;
        ts_openai_rule_id rule;
    } cases[] = {
        {"[1,{\"role\":\"assistant\",\"content\":\"a\"}]", TS_OPENAI_DATA_TYPE},
        {"[]", TS_OPENAI_NO_LIST},
        {"[{\"role\":\"assistant\"}]", TS_OPENAI_MISSING_KEY},
        {"[{\"role\":\"assistant\",\"content\":\"a\",\"x\":1}]", TS_OPENAI_UNKNOWN_KEY},
        {"[{\"role\":\"robot\",\"content\":\"a\"}]", TS_OPENAI_UNKNOWN_ROLE},
        {"[{\"role\":\"assistant\",\"content\":7}]", TS_OPENAI_NO_CONTENT},
        {"[{\"role\":\"user\",\"content\":\"a\"}]", TS_OPENAI_NO_ASSISTANT},
    };
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        ts_openai_findings is;
        ts_openai_look(cases[i].messages, strlen(cases[i].messages), &is);
        if (!is.found[cases[i].rule]) fail_msg("case %zu: not found", i);
    }
}

/* The toy file of OpenAI's cookbook: no errors, one row each without system, without user, over 4,096 tokens. */
static void judges_the_toy_file(void **state) {
    (void)state;
    const char *path = ts_test_shared("data/openai/toy_chat_fine_tuning.jsonl");
    ts_store *st = open_new("toy");
    ts_import_file f;
    ts_openai_report r;
    assert_ok(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err));
    assert_ok(ts_openai_check(st, NULL, 4096, NULL, NULL, NULL, &r, &err));
    assert_int_equal(r.rows, 5);
    assert_int_equal(r.rows_with_errors, 0);
    assert_int_equal(r.rows_by_rule[TS_OPENAI_NO_SYSTEM], 1);
    assert_int_equal(r.rows_by_rule[TS_OPENAI_NO_USER], 1);
    assert_int_equal(r.rows_by_rule[TS_OPENAI_TOO_LONG], 1);
    ts_store_close(st);
}

static int64_t rejects_of(ts_store *st) {
    ts_counts c;
    assert_ok(ts_store_counts(st, &c, &err));
    return c.rejects;
}

static void repairs_rejected_rows(void **state) {
    (void)state;
    ts_store *st = open_new("repair");
    ts_import_file f;
    ts_done done;
    import_text(st, "bad.jsonl",
                "{\"instruction\":\"a\",\"output\":\"b\"}\n{\"instruction\":\"c\"}\noops\n{\"output\":\"d\"}\n", &f);
    assert_int_equal(f.rejected, 3);
    const char *path = ts_test_path("repairs.jsonl");
    static const char repairs[] = "{\"id\":1,\"text\":\"{\\\"instruction\\\":\\\"c\\\",\\\"output\\\":\\\"C\\\"}\"}\n"
                                  "{\"id\":2,\"row\":{\"question\":\"q\",\"answer\":\"r\"}}\n"
                                  "{\"id\":3,\"text\":\"{\\\"output\\\":\\\"d\\\"}\"}\n";
    assert_ok(ts_file_write(path, repairs, strlen(repairs), &err));
    assert_ok(ts_rejects_repair(st, path, NULL, &f, &done, &err));
    assert_int_equal(f.read, 3);
    assert_int_equal(f.imported, 2);
    assert_int_equal(f.rejected, 1);
    assert_int_equal(rejects_of(st), 1);
    ts_reject *list;
    size_t n;
    ts_arena arena = TS_ARENA_INIT;
    assert_ok(ts_rejects_read(st, 0, 0, &list, &n, &arena, &err));
    assert_int_equal(n, 1);
    assert_int_equal(list[0].id, 3);
    assert_int_equal(ts_rejects_repair(st, path, NULL, &f, &done, &err), TS_NOT_FOUND); /* 1 is repaired already */
    assert_int_equal(rejects_of(st), 1);
    assert_ok(ts_undo(st, 0, &done, &err));
    assert_int_equal(rejects_of(st), 3);
    assert_ok(ts_redo(st, &done, &err));
    assert_int_equal(rejects_of(st), 1);
    ts_row row;
    assert_ok(ts_row_read(st, 2, &row, &arena, &err));
    assert_string_equal(row.output.s, "C");
    ts_arena_release(&arena);
    ts_store_close(st);
}

static void card_tells_what_is_known(void **state) {
    (void)state;
    static const char *const lines[] = {"# out.jsonl",
                                        "- rows: 3 (3 conversations",
                                        "| talk\\_s.jsonl | messages | 3 | 0 |",
                                        "Licences: not known",
                                        "tokens: not counted",
                                        "The rows were not scored",
                                        "imported 3 rows from talk\\_s.jsonl"};
    ts_store *st = open_new("card");
    ts_import_file f;
    ts_buf card = TS_BUF_INIT;
    import_text(st, "talk_s.jsonl", conversations, &f);
    assert_ok(ts_data_card(st, "out.jsonl", "messages", NULL, NULL, &card, &err));
    for (size_t i = 0; i < TS_COUNT(lines); i++)
        if (!strstr(card.data, lines[i])) fail_msg("\"%s\" is not in the card:\n%s", lines[i], card.data);
    ts_buf_release(&card);
    ts_store_close(st);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_comes_back), cmocka_unit_test(openai_is_checked),
        cmocka_unit_test(names_every_fault),       cmocka_unit_test(judges_the_toy_file),
        cmocka_unit_test(repairs_rejected_rows),   cmocka_unit_test(card_tells_what_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
