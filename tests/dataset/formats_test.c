/* What can be imported: every format and kind of file, encodings, tables with hostile quotes, every public file. */
#include "tests/support.h"

#include "core/base/file.h"
#include "dataset/formats.h"
#include "dataset/import.h"
#include "dataset/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ts_err err;
static char *ws;
static ts_arena arena;

static ts_store *open_new(void) {
    ts_store *st;
    ts_arena_reset(&arena);
    ws = ts_path_join(ts_test_dir(), "ws");
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    return st;
}

static void close_ws(ts_store *st) {
    ts_store_close(st);
    ts_arena_release(&arena);
    free(ws);
}

static ts_status import_as(ts_store *st, const char *name, const char *text, size_t n, const ts_import_options *o,
                           ts_import_file *f) {
    const char *path = ts_test_path(name);
    assert_ok(ts_file_write(path, text, n, &err));
    return ts_import(st, &path, 1, o, NULL, f, NULL, &err);
}

static ts_row row_of(ts_store *st, int64_t id) {
    ts_row row;
    assert_ok(ts_row_read(st, id, &row, &arena, &err));
    return row;
}

static const struct {
    const char *row, *format, *instruction, *input, *output, *system, *extra;
} rows_of_formats[] = {
    {"{\"instruction\":\"i\",\"input\":\"n\",\"output\":\"o\",\"k\":1}", "alpaca", "i", "n", "o", NULL, "\"k\":1"},
    {"{\"instruction\":\"i\",\"context\":\"c\",\"response\":\"o\",\"category\":\"x\"}", "dolly", "i", "c", "o", NULL,
     "\"category\":\"x\""},
    {"{\"question\":\"q\",\"answer\":\"a\"}", "qa", "q", "", "a", NULL, NULL},
    {"{\"id\":\"7\",\"system_prompt\":\"s\",\"question\":\"q\",\"response\":\"a\"}", "qa", "q", "", "a", "s",
     "\"id\":\"7\""},
    {"{\"prompt\":\"p\",\"completion\":\"c\",\"label\":false}", "completion", "p", "", "c", NULL, "\"label\":false"},
    {"{\"prompt\":[{\"role\":\"user\",\"content\":\"p\"}],\"completion\":[{\"role\":\"assistant\",\"content\":"
     "\"c\"}"
     "]}",
     "completion", "p", "", "c", NULL, NULL},
    {"{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\"}", "preference", "p", "", "c", NULL, "\"rejected\":\"r\""},
    {"{\"instruction\":\"i\",\"input\":\"\",\"chosen\":\"c\",\"rejected\":\"r\"}", "preference", "i", "", "c", NULL,
     "\"rejected\":\"r\""},
    {"{\"chosen\":[{\"role\":\"user\",\"content\":\"p\"},{\"role\":\"assistant\",\"content\":\"c\"}],"
     "\"rejected\":[{\"role\":\"user\",\"content\":\"p\"},{\"role\":\"assistant\",\"content\":\"r\"}]}",
     "preference", "p", "", "c", NULL,
     "\"rejected\":[{\"role\":\"user\",\"content\":\"p\"},{\"role\":\"assistant\",\"content\":\"r\"}]"},
    {"{\"prompt\":\"p\",\"chosen\":[{\"role\":\"user\",\"content\":\"p\"},{\"role\":\"assistant\",\"content\":"
     "\"c\"}"
     "],\"rejected\":[]}",
     "preference", "p", "", "c", NULL, "\"rejected\":[]"},
    {"{\"prompt\":[{\"role\":\"user\",\"content\":\"p\"}],\"chosen\":[{\"role\":\"assistant\",\"content\":\"c\"}],"
     "\"rejected\":[{\"role\":\"assistant\",\"content\":\"r\"}]}",
     "preference", "p", "", "c", NULL, "\"rejected\":[{\"role\":\"assistant\",\"content\":\"r\"}]"},
    {"{\"conversations\":[{\"from\":\"human\",\"value\":\"p\"}],\"chosen\":{\"from\":\"gpt\",\"value\":\"c\"},"
     "\"rejected\":{\"from\":\"gpt\",\"value\":\"r\"}}",
     "sharegpt", "p", "", "c", NULL, "\"rejected\":{\"from\":\"gpt\",\"value\":\"r\"}"},
    {"{\"conversations\":[{\"from\":\"system\",\"value\":\"s\"},{\"from\":\"human\",\"value\":\"a\"},{\"from\":"
     "\"function_call\",\"value\":\"f()\"},{\"from\":\"observation\",\"value\":\"3\"},{\"from\":\"gpt\",\"value\":"
     "\"b\",\"weight\":0}],\"tools\":\"[]\"}",
     "sharegpt", "a", "", "f()\n\nb", "s", "\"tools\":\"[]\""},
    {"{\"conversations\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}",
     "sharegpt", "a", "", "b", NULL, NULL},
    {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]},{\"role\":\"assistant\","
     "\"content\":null,\"tool_calls\":[]},{\"role\":\"assistant\",\"content\":\"b\",\"weight\":0}],\"tools\":[1]}",
     "messages", "a", "", "b", NULL, "\"tools\":[1]"},
    {"{\"id\":\"s\",\"instruction\":\"i\",\"instances\":[{\"input\":\"n\",\"output\":\"o\"}]}", "self-instruct", "i",
     "n", "o", NULL, "\"id\":\"s\""},
    {"{\"instruction\":\"i\",\"instances\":[{\"input\":\"\",\"output\":\"o\"},{\"input\":\"n\",\"output\":\"2\"}]}",
     "self-instruct", "i", "", "o", NULL,
     "\"instances\":[{\"input\":\"\",\"output\":\"o\"},{\"input\":\"n\",\"output\":\"2\"}]"},
    {"{\"text\":\"t\",\"meta\":{\"a\":1}}", "text", "", "", "t", NULL, "\"meta\":{\"a\":1}"},
};

/* One row of each format: what becomes of it. */
static void reads_every_format(void **state) {
    (void)state;
    ts_store *st = open_new();
    for (size_t i = 0; i < TS_COUNT(rows_of_formats); i++) {
        ts_import_file f;
        if (import_as(st, "row.json", rows_of_formats[i].row, strlen(rows_of_formats[i].row), NULL, &f) != TS_OK)
            fail_msg("case %zu: %s", i, err.text);
        if (f.imported != 1) fail_msg("case %zu is rejected", i);
        assert_string_equal(f.format, rows_of_formats[i].format);
        ts_row row = row_of(st, (int64_t)i + 1);
        assert_string_equal(row.instruction.s, rows_of_formats[i].instruction);
        assert_string_equal(row.input.s, rows_of_formats[i].input);
        assert_string_equal(row.output.s, rows_of_formats[i].output);
        assert_string_equal(row.system.s ? row.system.s : "-",
                            rows_of_formats[i].system ? rows_of_formats[i].system : "-");
        assert_string_equal(row.extra.n ? row.extra.s : "-", rows_of_formats[i].extra ? rows_of_formats[i].extra : "-");
    }
    close_ws(st);
}

/* What a row of the wrong sort among others becomes, and what asking for a format changes. */
static void mixed_rows_and_overrides(void **state) {
    (void)state;
    static const char mixed[] = "{\"instruction\":\"a\",\"output\":\"b\"}\n{\"question\":\"c\",\"answer\":\"d\"}\n"
                                "{\"instruction\":\"e\",\"output\":\"f\"}\n{\"instruction\":\"no answer\"}\n";
    ts_store *st = open_new();
    ts_import_file f;
    ts_import_options o = {.format = "alpaca"};
    assert_ok(import_as(st, "mixed.jsonl", mixed, strlen(mixed), NULL, &f));
    assert_int_equal(f.imported, 3);
    assert_int_equal(f.rejected, 1);
    assert_ok(import_as(st, "mixed.jsonl", mixed, strlen(mixed), &o, &f));
    assert_int_equal(f.imported, 2);
    assert_int_equal(f.rejected, 2);
    o.format = "csv";
    assert_int_equal(import_as(st, "x.csv", "a,b\n1,2\n", 8, &o, &f), TS_FORMAT);
    assert_non_null(strstr(err.text, "its first object has a, b"));
    const char *map[] = {"instruction=a", "output=b"};
    o = (ts_import_options){.map = map, .n_map = 2};
    assert_ok(import_as(st, "x.csv", "a,b,c\n1,2,3\n4,,6\n", 17, &o, &f));
    assert_int_equal(f.imported, 1);
    assert_int_equal(f.rejected, 1);
    ts_row row = row_of(st, 6);
    assert_string_equal(row.instruction.s, "1");
    assert_string_equal(row.extra.s, "\"c\":\"3\"");
    const char *bad[] = {"outptu=b"};
    o = (ts_import_options){.map = bad, .n_map = 1};
    assert_int_equal(import_as(st, "x.csv", "a,b\n1,2\n", 8, &o, &f), TS_INVALID);
    close_ws(st);
}

/* RFC 4180 and what people do to it: the texts of each row's answer, or the code of its refusal. */
static void reads_tables(void **state) {
    (void)state;
    static const struct {
        const char *name, *text, *answers; /* answers: of the rows imported, each with | behind */
        int rejected;
        const char *code;
    } cases[] = {
        {"a.csv", "question,answer\na,b\nc,d\n", "b|d|", 0, ""},
        {"a.csv", "question,answer\r\n\"a, b\",\"one\r\ntwo \"\"x\"\"\"\r\n", "one\r\ntwo \"x\"|", 0, ""},
        {"a.csv", "\xef\xbb\xbf\"question\",\"answer\"\na,\"\"\n", "|", 0, ""},
        {"a.csv", "question,answer\n\na,b", "b|", 0, ""},
        {"a.csv", "question,answer\na\nb,c,d\ne,f\n", "f|", 2, "wrong_columns"},
        {"a.csv", "question,answer\na,b\"c\ne,f\n", "f|", 1, "odd_quotes"},
        {"a.csv", "question,answer\na,\"b\"c\ne,f\n", "f|", 1, "odd_quotes"},
        {"a.csv", "question,answer\na,\"b\ne,f\ng,h\n", "f|h|", 1, "odd_quotes"},
        {"a.csv", "question,answer\na,\n,b\ne,f\n", "f|", 2, "missing_answer"},
        {"a.csv", "question,answer\na,\xff\ne,f\n", "f|", 1, "bad_utf8"},
        {"a.csv", "question,answer\ra,b\rc,d\r", "b|d|", 0, ""},
        {"a.tsv", "question\tanswer\na, b\t\"c\"\n", "c|", 0, ""},
        {"a.tsv", "question\tanswer\n\"a\" is what?\t\"b\n c\td\n", "\"b|d|", 0, ""},
        {"noname", "question\tanswer\na\tb\n", "b|", 0, ""},
        {"noname", "id,question,answer\n1,a,b\n", "b|", 0, ""},
        {"a.txt", "a line\n\n  another \r\n", "a line|  another |", 0, ""},
        {"a.csv",
         "messages,extra\n\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"q\"\"},{\"\"role\"\":"
         "\"\"assistant\"\",\"\"content\"\":\"\"r\"\"}]\",\"{\"\"k\"\": 1}\"\n",
         "r|", 0, ""},
    };
    ts_store *st = open_new();
    int64_t id = 1;
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        ts_import_file f;
        ts_buf answers = TS_BUF_INIT;
        if (import_as(st, cases[i].name, cases[i].text, strlen(cases[i].text), NULL, &f) != TS_OK)
            fail_msg("case %zu: %s", i, err.text);
        for (int64_t k = 0; k < f.imported; k++)
            ts_buf_printf(&answers, "%s|", row_of(st, id++).output.s);
        if (strcmp(ts_buf_str(&answers), cases[i].answers) != 0 || f.rejected != cases[i].rejected)
            fail_msg("case %zu: %s, %d rejected", i, ts_buf_str(&answers), (int)f.rejected);
        for (size_t r = 0; ts_reasons[r].code; r++)
            if (strcmp(ts_reasons[r].code, cases[i].code) == 0) assert_true(f.reasons[r] > 0);
        ts_buf_release(&answers);
    }
    assert_string_equal(row_of(st, id - 1).extra.s, "\"k\":1");
    close_ws(st);
}

static void put_wide(ts_buf *out, const char *ascii, bool big) {
    for (; *ascii; ascii++) {
        ts_buf_putc(out, big ? 0 : *ascii);
        ts_buf_putc(out, big ? *ascii : 0);
    }
}

static void reads_encodings(void **state) {
    (void)state;
    ts_store *st = open_new();
    ts_import_file f;
    for (int big = 0; big < 2; big++) { /* an e with an accent and a face, as a pair */
        ts_buf text = TS_BUF_INIT;
        ts_buf_add(&text, big ? "\xfe\xff" : "\xff\xfe", 2);
        put_wide(&text, "question,answer\r\na,b ", big);
        ts_buf_add(&text, big ? "\0\xe9\xd8\x3d\xde\0" : "\xe9\0\x3d\xd8\0\xde", 6);
        put_wide(&text, "\r\n", big);
        if (big) ts_buf_add(&text, "\0c\0,\xd8\x3d\0\n", 8); /* half a pair: this row alone is refused */
        assert_ok(import_as(st, "wide.csv", text.data, text.len, NULL, &f));
        assert_int_equal(f.imported, 1);
        assert_int_equal(f.rejected, big);
        assert_string_equal(row_of(st, 1 + big).output.s, "b \xc3\xa9\xf0\x9f\x98\x80");
        ts_buf_release(&text);
    }
    static const char latin[] = "question,answer\ncaf\xe9,d\xe9j\xe0\n";
    assert_int_equal(import_as(st, "latin.csv", latin, strlen(latin), NULL, &f), TS_FORMAT);
    assert_non_null(strstr(err.text, "byte 0xe9 at line 2"));
    assert_non_null(strstr(err.text, "Latin-1"));
    static const struct {
        const char *name, *bytes;
        size_t n;
        const char *word;
    } others[] = {
        {"a.parquet", "PAR1\x15\x04\x15\x02", 8, "Parquet"}, {"a.arrow", "ARROW1\0\0", 8, "Arrow"},
        {"a.zip", "PK\x03\x04....", 8, "zip archive"},       {"a.xlsx", "PK\x03\x04....", 8, "xlsx"},
        {"a.zst", "\x28\xb5\x2f\xfd....", 8, "zstd"},        {"a.gz", "\x1f\x8b....", 6, "damaged"},
        {"b.gz", "\x1f\x8b\x08\0\0\0\0\0", 8, "cut short"},
    };
    for (size_t i = 0; i < TS_COUNT(others); i++) {
        assert_int_equal(import_as(st, others[i].name, others[i].bytes, others[i].n, NULL, &f), TS_FORMAT);
        if (!strstr(err.text, others[i].word)) fail_msg("%s: %s", others[i].name, err.text);
    }
    close_ws(st);
}

/* gzip: the same rows as unpacked, also of two parts, also of more than a window. */
static void reads_gzip(void **state) {
    (void)state;
    ts_store *st = open_new();
    ts_buf text = TS_BUF_INIT;
    ts_import_file f;
    for (int i = 0; i < 30000; i++)
        ts_buf_printf(&text, "{\"question\":\"number %d of many\",\"answer\":\"%d, the answer\"}\n", i, i * i);
    char *plain = ts_path_join(ts_test_dir(), "rows.jsonl");
    assert_ok(ts_file_write(plain, text.data, text.len, &err));
    char *command = ts_printf("gzip -kc '%s' > '%s.gz' && gzip -kc '%s' >> '%s.gz'", plain, plain, plain, plain);
    char *packed = ts_printf("%s.gz", plain);
    assert_int_equal(system(command), 0);
    const char *path = packed;
    assert_ok(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err));
    assert_int_equal(f.imported, 60000);
    assert_string_equal(row_of(st, 60000).output.s, row_of(st, 30000).output.s);
    assert_int_equal(truncate(packed, ts_file_size(packed) - 5), 0);
    assert_int_equal(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err), TS_FORMAT);
    assert_non_null(strstr(err.text, "cut short"));
    ts_buf_release(&text);
    free(plain);
    free(command);
    free(packed);
    close_ws(st);
}

/* Nothing in the folder of public files is left out of the table; texts of licences and notes are no data. */
static size_t files_below(const char *folder, size_t depth) {
    ts_names names = {0};
    size_t n = 0;
    assert_ok(ts_dir_list(folder, &names, &err));
    for (size_t i = 0; i < names.n; i++) {
        char *path = ts_path_join(folder, names.items[i]);
        if (!ts_is_dir(path))
            n += depth > 0;
        else if (strcmp(names.items[i], "licenses") != 0)
            n += files_below(path, depth + 1);
        free(path);
    }
    ts_names_release(&names);
    return n;
}

static const char *const pairs[] = {"instruction=2", "output=3"};
static const char *const answers[] = {"instruction=prompt", "output=answer1"};
static const struct {
    const char *path, *format, *word;
    int64_t read, imported;
    const char *const *map;
} public_files[] = {
    {"gpteacher/toolformer-dedupe-only-dataset.json", "alpaca", "", 7673, 7673, NULL},
    {"gpteacher/toolformer-similarity-0.6-dataset.json", "alpaca", "", 2396, 2396, NULL},
    {"gpteacher/roleplay-simple-deduped-roleplay-dataset.json", "alpaca", "", 3146, 3146, NULL},
    {"gsm8k/test.jsonl", "qa", "", 1319, 1319, NULL},
    {"self-instruct/seed_tasks.jsonl", "self-instruct", "", 175, 175, NULL},
    {"self-instruct/user_oriented_instructions.jsonl", "self-instruct", "", 252, 252, NULL},
    {"fastchat/dummy_conversation.json", "sharegpt", "", 500, 500, NULL},
    {"fastchat/vicuna_bench_question.jsonl", NULL, "question_id, category, turns", 0, 0, NULL},
    {"llama-factory/alpaca_en_demo.json", "alpaca", "", 999, 999, NULL},
    {"llama-factory/identity.json", "alpaca", "", 91, 91, NULL},
    {"llama-factory/glaive_toolcall_en_demo.json", "sharegpt", "", 300, 300, NULL},
    {"llama-factory/dpo_en_demo.json", "sharegpt", "", 300, 300, NULL},
    {"llama-factory/kto_en_demo.json", "messages", "", 300, 300, NULL},
    {"llama-factory/v1_sft_demo.jsonl", "messages", "", 500, 500, NULL},
    {"llama-factory/c4_demo.jsonl", "text", "", 300, 300, NULL},
    {"sts-pairs/question-question.test.tsv", "mapped", "", 1555, 1555, pairs},
    {"sts-pairs/answer-answer.test.tsv", "mapped", "", 1572, 1572, pairs},
    {"sts-pairs/postediting.test.tsv", "mapped", "", 3287, 3287, pairs},
    {"sts-pairs/answer-answer.test.tsv", NULL, "--map", 0, 0, NULL},
    {"sts-pairs/STS2016_LICENSE.txt", "text", "", 60, 60, NULL},
    {"data-juicer/demo-dataset-deduplication.jsonl", "text", "", 14, 14, NULL},
    {"data-juicer/demo-dataset-chatml.jsonl", "messages", "", 4, 4, NULL},
    {"data-juicer/demo-dataset-annotation-human-preference.jsonl", NULL, "prompt, answer1, answer2", 0, 0, NULL},
    {"data-juicer/demo-dataset-annotation-human-preference.jsonl", "mapped", "", 10, 10, answers},
    {"data-juicer/demo-dataset.csv", "text", "", 6, 6, NULL},
    {"data-juicer/demo-dataset.tsv", "text", "", 6, 6, NULL},
    {"data-juicer/demo-dataset.jsonl", "text", "", 6, 6, NULL},
    {"data-juicer/demo-dataset.parquet", NULL, "Parquet", 0, 0, NULL},
    {"axolotl/alpaca.json", "alpaca", "", 2, 2, NULL},
    {"axolotl/conversation.json", "sharegpt", "", 1, 1, NULL},
    {"axolotl/conversation.missingturns.json", "sharegpt", "", 1, 1, NULL},
    {"openai/toy_chat_fine_tuning.jsonl", "messages", "", 5, 5, NULL},
};

/* Every public file, as it was looked at by hand. read = imported + rejected; format NULL: refused whole, with a word
 * of the sentence. */
static void reads_every_public_file(void **state) {
    (void)state;
    ts_store *st = open_new();
    int wrong = 0;
    size_t files = 0;
    for (size_t i = 0; i < TS_COUNT(public_files); i++) {
        char *name = ts_printf("data/%s", public_files[i].path);
        size_t same = 0;
        while (strcmp(public_files[same].path, public_files[i].path) != 0)
            same++;
        files += same == i;
        const char *path = ts_test_shared(name);
        ts_import_options o = {.map = public_files[i].map, .n_map = public_files[i].map ? 2 : 0};
        ts_import_file f;
        ts_status status = ts_import(st, &path, 1, &o, NULL, &f, NULL, &err);
        bool fine = status == TS_OK ? public_files[i].format && strcmp(f.format, public_files[i].format) == 0 &&
                                          f.read == public_files[i].read && f.imported == public_files[i].imported &&
                                          f.read == f.imported + f.rejected
                                    : !public_files[i].format && strstr(err.text, public_files[i].word);
        if (!fine && status == TS_OK)
            print_error("%s: %s, %lld read, %lld imported\n", name, f.format, (long long)f.read, (long long)f.imported);
        else if (!fine)
            print_error("%s: %s\n", name, err.text);
        wrong += !fine;
        free(name);
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(files, files_below(ts_test_shared("data"), 0));
    close_ws(st);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_format), cmocka_unit_test(mixed_rows_and_overrides),
        cmocka_unit_test(reads_tables),       cmocka_unit_test(reads_encodings),
        cmocka_unit_test(reads_gzip),         cmocka_unit_test(reads_every_public_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
