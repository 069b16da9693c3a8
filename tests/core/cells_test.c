#include "core/text/cells.h"
#include "core/text/worddiff.h"
#include "core/text/wrap.h"
#include "tests/support.h"

#include "core/base/mem.h"
#include "core/base/rand.h"
#include "core/base/utf8.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include <wchar.h>

static char *drawn(const char *s, size_t n, size_t *width) {
    ts_buf out = TS_BUF_INIT;
    ts_cells c;
    ts_glyph g;
    *width = 0;
    ts_cells_init(&c, s, n);
    while (ts_cells_next(&c, &g)) {
        ts_buf_add(&out, g.text, g.len);
        *width += g.width;
    }
    if (!out.data) ts_buf_puts(&out, "");
    return ts_buf_take(&out);
}

static void check(const char *text, const char *expect, size_t width) {
    size_t got;
    char *d = drawn(text, strlen(text), &got);
    assert_string_equal(d, expect);
    assert_int_equal(got, width);
    assert_int_equal(ts_cells_width(text, strlen(text)), width);
    free(d);
}

static void test_widths(void **state) {
    (void)state;
    check("", "", 0);
    check("plain", "plain", 5);
    check("\xe4\xb8\xad\xe6\x96\x87", "\xe4\xb8\xad\xe6\x96\x87", 4);                         /* CJK */
    check("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", 2); /* jamo: one syllable */
    check("e\xcc\x81x", "e\xcc\x81x", 2);                                                     /* combining acute */
    check("\xf0\x9f\x9a\x80", "\xf0\x9f\x9a\x80", 2);                                         /* rocket */
    check("\xe2\x9a\xa0\xef\xb8\x8f", "\xe2\x9a\xa0", 1);                                     /* warning sign + VS16 */
    check("\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd", "\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd", 4);         /* skin tone */
    check("\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa", "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa", 2);         /* flag */
    check("\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7", "\xf0\x9f\x91\xa9\xf0\x9f\x91\xa7", 4); /* family */
    check("\xcc\x81", " \xcc\x81", 1);                                                            /* a mark alone */
}

static void test_hostile(void **state) {
    (void)state;
    check("a\x1b[31mb", "a^[[31mb", 8);
    check("\x7f", "^?", 2);
    check("\xc2\x9b", "<U+009B>", 8);             /* C1 control sequence introducer */
    check("x\xe2\x80\xaey", "x<U+202E>y", 10);    /* right-to-left override */
    check("\xe2\x80\x8b", "<U+200B>", 8);         /* zero-width space: invisible, so shown */
    check("\xef\xbb\xbfx", "x", 1);               /* byte order mark */
    check("\xff\xfe", "\\xff\\xfe", 8);           /* no UTF-8 */
    check("\xe4\xb8", "\\xe4\\xb8", 8);           /* cut sequence */
    check("\xed\xa0\x80", "\\xed\\xa0\\x80", 12); /* surrogate */
    check("a\nb\tc\r", "a b c ", 6);
    check("\xd8\xa7\xd9\x84", "\xd8\xa7\xd9\x84", 2); /* Arabic letters stay */
    check("\xf4\x8f\xbf\xbf", "\xef\xbf\xbd", 1);     /* unassigned */
}

static void test_marks_are_bounded(void **state) {
    (void)state;
    ts_buf b = TS_BUF_INIT;
    ts_buf_putc(&b, 'a');
    for (int i = 0; i < 100000; i++)
        ts_buf_puts(&b, "\xcc\x81");
    ts_cells c;
    ts_glyph g;
    ts_cells_init(&c, b.data, b.len);
    assert_true(ts_cells_next(&c, &g));
    assert_true(g.len < sizeof g.text);
    assert_int_equal(g.end, b.len);
    assert_false(ts_cells_next(&c, &g));
    ts_buf_release(&b);
}

/* Against glibc, for every assigned character it knows: what ncurses believes must be what we lay out. */
static void test_against_wcwidth(void **state) {
    (void)state;
    if (!setlocale(LC_CTYPE, "C.UTF-8")) {
        print_message("skipped: the locale C.UTF-8 is not there\n");
        skip();
    }
    int apart = 0, known = 0;
    for (uint32_t cp = 0xa0; cp < 0x110000; cp++) {
        utf8proc_category_t cat = utf8proc_category((utf8proc_int32_t)cp);
        if (cat == UTF8PROC_CATEGORY_CN || cat == UTF8PROC_CATEGORY_CS || cat == UTF8PROC_CATEGORY_CO) continue;
        ts_buf b = TS_BUF_INIT;
        ts_cells c;
        ts_glyph g;
        ts_buf_putc(&b, 'a');
        ts_utf8_put(&b, cp);
        size_t width = ts_cells_width(b.data, b.len) - 1;
        ts_cells_init(&c, b.data + 1, b.len - 1);
        bool escaped = ts_cells_next(&c, &g) && g.escaped;
        int expect = wcwidth((wchar_t)cp);
        if (expect >= 0 && !escaped) {
            known++;
            if (width != (size_t)expect) {
                if (apart++ < 20) print_message("U+%04X: %zu columns, wcwidth %d\n", cp, width, expect);
            }
        }
        ts_buf_release(&b);
    }
    setlocale(LC_CTYPE, "C");
    assert_true(known > 130000);
    assert_int_equal(apart, 0);
}

static void test_fit(void **state) {
    (void)state;
    size_t width;
    assert_int_equal(ts_cells_fit("hello", 5, 3, &width), 3);
    assert_int_equal(width, 3);
    assert_int_equal(ts_cells_fit("\xe4\xb8\xad\xe6\x96\x87", 6, 3, &width), 3); /* a wide one does not fit half */
    assert_int_equal(width, 2);
    /* a family is one character: it fits whole or not at all */
    const char *family = "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7";
    assert_int_equal(ts_cells_fit(family, strlen(family), 3, &width), 0);
    assert_int_equal(ts_cells_fit(family, strlen(family), 4, &width), strlen(family));
    assert_int_equal(ts_cells_after("e\xcc\x81x", 4, 0), 3);
    assert_int_equal(ts_cells_prev("e\xcc\x81x", 4, 3), 0);
    assert_int_equal(ts_cells_prev("a\nb", 3, 2), 1);
    assert_int_equal(ts_cells_after("a\r\nb", 4, 1), 3); /* \r\n is one */
}

static void check_wrap(const char *text, size_t columns, const char *expect) {
    ts_wrapped lines = {0};
    ts_buf got = TS_BUF_INIT;
    assert_true(ts_wrap_all(text, strlen(text), columns, 1000, &lines));
    for (size_t i = 0; i < lines.n; i++) {
        if (i) ts_buf_putc(&got, '|');
        ts_buf_add(&got, text + lines.items[i].from, lines.items[i].to - lines.items[i].from);
    }
    assert_string_equal(ts_buf_str(&got), expect);
    ts_buf_release(&got);
    ts_wrapped_release(&lines);
}

static void test_wrap(void **state) {
    (void)state;
    check_wrap("", 10, "");
    check_wrap("one two three", 8, "one two|three");
    check_wrap("one two three", 7, "one two|three");
    check_wrap("one  two", 4, "one|two");
    check_wrap("abcdefghij", 4, "abcd|efgh|ij");
    check_wrap("a\nb", 10, "a|b");
    check_wrap("a\r\nb\n", 10, "a|b|");
    check_wrap("a\n\nb", 10, "a||b");
    check_wrap("word\nnext", 4, "word|next");
    check_wrap("word \nnext", 4, "word|next");
    check_wrap("\xe4\xb8\xad\xe6\x96\x87\xe4\xb8\xad", 4, "\xe4\xb8\xad\xe6\x96\x87|\xe4\xb8\xad");
    check_wrap("a long-word here", 6, "a|long-w|ord|here");
}

/* Every line fits, no byte but white space is lost, whatever the text. */
static void test_wrap_random(void **state) {
    (void)state;
    static const char *const parts[] = {"a",    "word ",     " ",    "\n", "\xe4\xb8\xad", "\xf0\x9f\x9a\x80",
                                        "\xff", "e\xcc\x81", "\r\n", "\t", "\x1b",         "long-unbroken-thing"};
    ts_rand r;
    ts_rand_seed(&r, 7);
    for (int round = 0; round < 3000; round++) {
        ts_buf b = TS_BUF_INIT;
        size_t parts_n = ts_rand_below(&r, 20), columns = 8 + ts_rand_below(&r, 20);
        for (size_t i = 0; i < parts_n; i++)
            ts_buf_puts(&b, parts[ts_rand_below(&r, TS_COUNT(parts))]);
        const char *s = ts_buf_str(&b);
        ts_wrapped lines = {0};
        assert_true(ts_wrap_all(s, b.len, columns, 10000, &lines));
        size_t at = 0;
        for (size_t i = 0; i < lines.n; i++) {
            ts_line l = lines.items[i];
            assert_true(l.from <= l.to && l.from >= at && l.to <= b.len);
            for (; at < l.from; at++)
                assert_non_null(strchr(" \t\r\n", s[at]));
            assert_true(ts_cells_width(s + l.from, l.to - l.from) <= columns);
            at = l.to;
        }
        for (; at < b.len; at++)
            assert_non_null(strchr(" \t\r\n", s[at]));
        ts_wrapped_release(&lines);
        ts_buf_release(&b);
    }
}

static void test_long_line(void **state) {
    (void)state;
    size_t n = 10 << 20, width;
    char *s = ts_malloc(n);
    memset(s, 'x', n);
    assert_int_equal(ts_cells_fit(s, n, 100, &width), 100); /* reads no further than it needs: see the time it takes */
    ts_line line;
    assert_int_equal(ts_wrap_next(s, n, 0, 80, &line), 80);
    assert_int_equal(ts_cells_width(s, n), n);
    free(s);
}

static char *mark(const char *s, const ts_spans *spans, const char *open, const char *close) {
    ts_buf out = TS_BUF_INIT;
    size_t at = 0;
    ts_buf_puts(&out, "");
    for (size_t i = 0; i < spans->n; i++) {
        ts_buf_add(&out, s + at, spans->items[i].from - at);
        ts_buf_puts(&out, open);
        ts_buf_add(&out, s + spans->items[i].from, spans->items[i].to - spans->items[i].from);
        ts_buf_puts(&out, close);
        at = spans->items[i].to;
    }
    ts_buf_puts(&out, s + at);
    return ts_buf_take(&out);
}

static void check_diff(const char *a, const char *b, const char *expect_a, const char *expect_b) {
    ts_spans gone = {0}, added = {0};
    bool marks = ts_worddiff(a, strlen(a), b, strlen(b), &gone, &added);
    assert_int_equal(marks, expect_a != NULL);
    if (marks) {
        char *ma = mark(a, &gone, "[-", "-]"), *mb = mark(b, &added, "{+", "+}");
        assert_string_equal(ma, expect_a);
        assert_string_equal(mb, expect_b);
        free(ma);
        free(mb);
    }
    ts_spans_release(&gone);
    ts_spans_release(&added);
}

static void test_worddiff(void **state) {
    (void)state;
    check_diff("same text", "same text", "same text", "same text");
    check_diff("Give three tips for staying healthy.", "Give me three tips to stay healthy",
               "Give three tips [-for staying-] healthy[-.-]", "Give {+me +}three tips {+to stay+} healthy");
    check_diff("one two three four", "alpha beta gamma delta", NULL, NULL);
    check_diff("", "", "", "");
    check_diff("a b", "a b c", "a b", "a b{+ c+}");
    check_diff("x a", "a", "[-x -]a", "a");
}

/* Taking the marked parts out of both leaves the same text, for any pair. */
static void test_worddiff_random(void **state) {
    (void)state;
    static const char *const words[] = {"a ", "b ", "c ", " ", ",", "dd ", "\n", "e"};
    ts_rand r;
    ts_rand_seed(&r, 11);
    int marked = 0;
    for (int round = 0; round < 4000; round++) {
        ts_buf t[2] = {TS_BUF_INIT, TS_BUF_INIT};
        ts_spans spans[2] = {{0}, {0}};
        for (int side = 0; side < 2; side++) {
            ts_buf_puts(&t[side], "");
            for (size_t i = ts_rand_below(&r, 30); i > 0; i--)
                ts_buf_puts(&t[side], words[ts_rand_below(&r, TS_COUNT(words))]);
        }
        if (ts_worddiff(t[0].data, t[0].len, t[1].data, t[1].len, &spans[0], &spans[1])) {
            ts_buf rest[2] = {TS_BUF_INIT, TS_BUF_INIT};
            marked++;
            for (int side = 0; side < 2; side++) {
                size_t at = 0;
                for (size_t i = 0; i < spans[side].n; i++) {
                    assert_true(spans[side].items[i].from >= at && spans[side].items[i].to > spans[side].items[i].from);
                    ts_buf_add(&rest[side], t[side].data + at, spans[side].items[i].from - at);
                    at = spans[side].items[i].to;
                }
                ts_buf_puts(&rest[side], t[side].data + at);
            }
            /* lone spaces between two marked words may be marked on one side only */
            for (int side = 0; side < 2; side++) {
                size_t kept = 0;
                for (size_t i = 0; i < rest[side].len; i++)
                    if (rest[side].data[i] != ' ') rest[side].data[kept++] = rest[side].data[i];
                rest[side].len = kept;
                rest[side].data[kept] = 0;
            }
            assert_string_equal(ts_buf_str(&rest[0]), ts_buf_str(&rest[1]));
            ts_buf_release(&rest[0]);
            ts_buf_release(&rest[1]);
        }
        for (int side = 0; side < 2; side++) {
            ts_buf_release(&t[side]);
            ts_spans_release(&spans[side]);
        }
    }
    if (marked < 1000) fail_msg("only %d of 4000 marked", marked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_marks_are_bounded),
        cmocka_unit_test(test_against_wcwidth),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_wrap_random),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_worddiff),
        cmocka_unit_test(test_worddiff_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
