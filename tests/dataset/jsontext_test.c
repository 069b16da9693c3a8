/* The strict check of JSON text, views into it, and cutting files into rows. */
#include "tests/support.h"

#include "core/base/file.h"
#include "dataset/jsontext.h"
#include "dataset/splitter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

static void names_every_fault(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        ts_json_fault fault;
        size_t at;
    } cases[] = {
#define CASE(text, fault, at) {text, sizeof text - 1, fault, at}
        CASE("{\"a\": [1, -2.5e+3, true, null, \"x\\n\\u00e9\\ud83d\\ude00\"]} \r\n", TS_JSON_FINE, 57),
        CASE("[]", TS_JSON_FINE, 2),
        CASE("01", TS_JSON_BROKEN, 2),
        CASE("1.", TS_JSON_CUT, 2),
        CASE("{\"a\":1,}", TS_JSON_BROKEN, 7),
        CASE("{\"a\" 1}", TS_JSON_BROKEN, 5),
        CASE("[1 2]", TS_JSON_BROKEN, 3),
        CASE("{} x", TS_JSON_BROKEN, 3),
        CASE("\"a\nb\"", TS_JSON_BROKEN, 2),
        CASE("\"\\x\"", TS_JSON_BROKEN, 2),
        CASE("NaN", TS_JSON_BROKEN, 0),
        CASE("{\"a\": \"b", TS_JSON_CUT, 8),
        CASE("{\"a\":", TS_JSON_CUT, 5),
        CASE("tru", TS_JSON_CUT, 3),
        CASE("", TS_JSON_CUT, 0),
        CASE("\"a\xff\"", TS_JSON_UTF8, 2),
        CASE("\"\xed\xa0\x80\"", TS_JSON_UTF8, 1),
        CASE("\"a\\u0000\"", TS_JSON_NUL, 4),
        CASE("\"a\0b\"", TS_JSON_NUL, 2),
        CASE("{}\0", TS_JSON_NUL, 2),
        CASE("\"\\ud83d\"", TS_JSON_SURROGATE, 7),
        CASE("\"\\ude00\"", TS_JSON_SURROGATE, 7),
        CASE("{\"a\":1,\"b\":{\"c\":1,\"\\u0063\":2}}", TS_JSON_DUPLICATE_KEY, 11),
        CASE("{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}]}", TS_JSON_FINE, 35),
    };
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        size_t at = 999;
        ts_json_fault fault = ts_json_check(cases[i].text, cases[i].n, &at);
        if (fault != cases[i].fault || (fault && at != cases[i].at))
            fail_msg("case %zu (%s): fault %d at %zu", i, cases[i].text, (int)fault, at);
    }
}

static void counts_depth_and_many_keys(void **state) {
    (void)state;
    ts_buf text = TS_BUF_INIT;
    size_t at;
    for (int i = 0; i < 10000; i++)
        ts_buf_putc(&text, '[');
    assert_int_equal(ts_json_check(text.data, text.len, &at), TS_JSON_DEEP);
    ts_buf_reset(&text);
    for (int i = 0; i < 3000; i++)
        ts_buf_printf(&text, "%s\"key%d\":%d", i ? "," : "{", i == 2999 ? 7 : i, i);
    ts_buf_putc(&text, '}');
    assert_int_equal(ts_json_check(text.data, text.len, &at), TS_JSON_DUPLICATE_KEY);
    ts_buf_release(&text);
}

static void views_decode_and_compact(void **state) {
    (void)state;
    const char *text =
        " { \"k\\u0065y\" : [ 1 , \"a b\\\"\\u00e9\\ud83d\\ude00\\/\" ] , \"n\": 12345678901234567890 } ";
    ts_buf out = TS_BUF_INIT;
    ts_jview v = ts_jview_of(text, strlen(text)), at = {0}, item;
    ts_jview list = ts_jview_get(v, "key");
    assert_int_equal(ts_jview_count(v), 2);
    assert_int_equal(ts_jview_count(list), 2);
    assert_true(ts_jview_next(list, &at, NULL, &item) && ts_jview_next(list, &at, NULL, &item));
    ts_jview_string(item, &out);
    assert_string_equal(out.data, "a b\"\xc3\xa9\xf0\x9f\x98\x80/");
    ts_buf_reset(&out);
    ts_jview_compact(v, &out);
    assert_string_equal(out.data, "{\"k\\u0065y\":[1,\"a b\\\"\\u00e9\\ud83d\\ude00\\/\"],\"n\":12345678901234567890}");
    assert_null(ts_jview_get(v, "Key").p);
    ts_buf_release(&out);
}

/* The rows of a text, each as "line:text|". */
static ts_status pieces(const char *text, size_t n, ts_buf *out) {
    ts_splitter *s;
    ts_piece p;
    bool more;
    ts_buf_reset(out);
    TS_TRY(ts_splitter_open_bytes(&s, text, n, "the text", NULL, &err));
    ts_status status;
    while ((status = ts_splitter_next(s, &p, &more, &err)) == TS_OK && more) {
        ts_buf_printf(out, "%lld:", (long long)p.line);
        ts_buf_add(out, p.text, p.n);
        ts_buf_putc(out, '|');
    }
    ts_splitter_close(s);
    return status;
}

static void splits_all_shapes(void **state) {
    (void)state;
    static const struct {
        const char *text, *rows;
    } cases[] = {
        {"[{\"a\":1},\n {\"a\":\"]}\"} ]\n", "1:{\"a\":1}|2:{\"a\":\"]}\"}|"},
        {"[]", ""},
        {"{\"a\":1}\n\n{\"b\":2}\r\n{\"c\":3}", "1:{\"a\":1}|3:{\"b\":2}\r|4:{\"c\":3}|"},
        {"\xef\xbb\xbf\n{\"a\":1}\n", "2:{\"a\":1}|"},
        {"{\n  \"a\": 1\n}\n", "1:{\n  \"a\": 1\n}|"},
        {"{\n \"a\": 1\n}\n{\n \"b\": 2\n}", "1:{\n \"a\": 1\n}|4:{\n \"b\": 2\n}|"},
        {"{\"a\": \"cut\n{\"b\":2}\n", "1:{\"a\": \"cut|2:{\"b\":2}|"},
        {"{\"a\":1}\nnot json\n{\"b\":2}\n", "1:{\"a\":1}|2:not json|3:{\"b\":2}|"},
        {"[1, \"x\\\"]\", null]", "1:1|1:\"x\\\"]\"|1:null|"},
        {"{\"a\":1}", "1:{\"a\":1}|"},
        {"{\"a\":1}\r\r{\"b\":2}\r", "1:{\"a\":1}|3:{\"b\":2}|"},
    };
    ts_buf out = TS_BUF_INIT;
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        assert_ok(pieces(cases[i].text, strlen(cases[i].text), &out));
        assert_string_equal(ts_buf_str(&out), cases[i].rows);
    }
    ts_buf_release(&out);
}

static void refuses_broken_files(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "empty"},
        {" \n ", "empty"},
        {"hello", "not JSON"},
        {"[{\"a\":1}", "cut short"},
        {"[{\"a\":1},", "cut short"},
        {"[{\"a\":1}, {\"b\":", "cut short"},
        {"[{\"a\":1} {\"b\":1}]", "comma"},
        {"[1] 2", "behind the end"},
        {"PAR1....", "Parquet"},
        {"\x1f\x8b....", "gzip"},
    };
    ts_buf out = TS_BUF_INIT;
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        assert_int_equal(pieces(cases[i].text, strlen(cases[i].text), &out), TS_FORMAT);
        assert_non_null(strstr(err.text, cases[i].words));
    }
    ts_buf_release(&out);
}

/* Rows that end anywhere relative to the window, which is a megabyte. */
static void rows_across_windows(void **state) {
    (void)state;
    ts_buf text = TS_BUF_INIT;
    const char *path = ts_test_path("rows.json");
    ts_splitter *s;
    ts_piece p;
    bool more = true;
    int rows = 0;
    ts_buf_putc(&text, '[');
    for (int i = 0; i < 3000; i++) {
        ts_buf_printf(&text, "%s{\"i\": %d, \"t\": \"", i ? ",\n" : "", i);
        for (int k = 0; k < i % 1500; k++)
            ts_buf_puts(&text, k % 7 ? "\\\\" : "\\\"");
        ts_buf_puts(&text, "\"}");
    }
    ts_buf_puts(&text, "]\n");
    assert_ok(ts_file_write(path, text.data, text.len, &err));
    assert_ok(ts_splitter_open(&s, path, NULL, &err));
    for (;; rows++) {
        char start[32];
        size_t at;
        assert_ok(ts_splitter_next(s, &p, &more, &err));
        if (!more) break;
        snprintf(start, sizeof start, "{\"i\": %d,", rows);
        assert_memory_equal(p.text, start, strlen(start));
        assert_int_equal(ts_json_check(p.text, p.n, &at), TS_JSON_FINE);
        assert_int_equal(p.line, rows + 1);
    }
    assert_int_equal(rows, 3000);
    assert_int_equal(ts_splitter_offset(s), text.len);
    ts_splitter_close(s);
    ts_buf_release(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_every_fault),        cmocka_unit_test(counts_depth_and_many_keys),
        cmocka_unit_test(views_decode_and_compact), cmocka_unit_test(splits_all_shapes),
        cmocka_unit_test(refuses_broken_files),     cmocka_unit_test(rows_across_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
