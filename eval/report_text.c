/* Texts of a report, made safe. */
#include "core/base/utf8.h"
#include "eval/report.h"

#include <string.h>

/* What changes the direction of text around it, or hides: never drawn as it is. */
static bool hidden(uint32_t cp) {
    return (cp >= 0x80 && cp < 0xa0) || cp == 0x061c || cp == 0x200e || cp == 0x200f ||
           (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff ||
           (cp >= 0xfff9 && cp <= 0xfffb) || (cp >= 0xe0000 && cp <= 0xe007f);
}

static void put_visible(ts_buf *out, uint32_t cp, const char *s, size_t n) {
    if (cp == '\n' || cp == '\t')
        ts_buf_putc(out, (char)cp);
    else if (cp < 0x20)
        ts_buf_printf(out, "^%c", (char)(cp + 64));
    else if (cp == 0x7f)
        ts_buf_puts(out, "^?");
    else if (hidden(cp))
        ts_buf_printf(out, "<U+%04X>", (unsigned)cp);
    else
        ts_buf_add(out, s, n);
}

void ts_report_visible(ts_buf *out, const char *s, size_t n) {
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        if (ts_utf8_sequence(s + i, n - i) == 0) {
            ts_buf_printf(out, "\\x%02x", (unsigned)(unsigned char)s[i++]);
            continue;
        }
        size_t len = ts_utf8_decode(s + i, n - i, &cp);
        if (cp != '\r' || i + 1 >= n || s[i + 1] != '\n') put_visible(out, cp, s + i, len);
        i += len;
    }
}

void ts_report_html_text(ts_buf *out, const char *s, size_t n) {
    ts_buf plain = TS_BUF_INIT;
    ts_report_visible(&plain, s, n);
    for (size_t i = 0; i < plain.len; i++) {
        const char c = plain.data[i];
        const char *name = c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&quot;" : NULL;
        if (c == '\'')
            ts_buf_puts(out, "&#39;");
        else if (name)
            ts_buf_puts(out, name);
        else
            ts_buf_putc(out, c);
    }
    ts_buf_release(&plain);
}

/* ---- Markdown of our own as HTML ---- */

/* A line's text: backslash escapes and `code`. */
static void put_inline(ts_buf *out, const char *s, size_t n) {
    ts_buf text = TS_BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\\' && i + 1 < n && strchr("|`*_<>[]#\\", s[i + 1])) i++;
        ts_buf_putc(&text, s[i]);
    }
    ts_report_html_text(out, ts_buf_str(&text), text.len);
    ts_buf_release(&text);
}

/* The end of the cell that begins at s: an unescaped bar or the line's end. */
static size_t cell_end(const char *s, size_t n) {
    size_t i = 0;
    while (i < n && s[i] != '|')
        i += s[i] == '\\' && i + 1 < n ? 2 : 1;
    return i;
}

static bool is_rule(const char *s, size_t n) {
    return n > 2 && strspn(s, "|-: ") >= n;
}

static void put_table_row(ts_buf *out, const char *s, size_t n, const char *cell) {
    ts_buf_puts(out, "<tr>");
    for (size_t at = 1; at < n;) { /* behind the first bar */
        size_t end = at + cell_end(s + at, n - at), from = at, to = end;
        while (from < to && s[from] == ' ')
            from++;
        while (to > from && s[to - 1] == ' ')
            to--;
        ts_buf_printf(out, "<%s>", cell);
        put_inline(out, s + from, to - from);
        ts_buf_printf(out, "</%s>", cell);
        at = end + 1;
    }
    ts_buf_puts(out, "</tr>\n");
}

enum block { NOTHING, LIST, TABLE, PARAGRAPH };

static void change_block(ts_buf *out, enum block *now, enum block to) {
    static const char *const open[] = {"", "<ul>\n", "<div class=\"wide\"><table>\n", "<p>"};
    static const char *const close[] = {"", "</ul>\n", "</table></div>\n", "</p>\n"};
    if (*now == to) return;
    ts_buf_puts(out, close[*now]);
    ts_buf_puts(out, open[to]);
    *now = to;
}

static void put_line(ts_buf *out, enum block *now, const char *s, size_t n) {
    size_t level = 0;
    while (level < n && s[level] == '#')
        level++;
    if (n == 0) {
        change_block(out, now, NOTHING);
    } else if (level && level < 5 && level < n && s[level] == ' ') {
        change_block(out, now, NOTHING);
        ts_buf_printf(out, "<h%zu>", level + 1);
        put_inline(out, s + level + 1, n - level - 1);
        ts_buf_printf(out, "</h%zu>\n", level + 1);
    } else if (n > 1 && s[0] == '-' && s[1] == ' ') {
        change_block(out, now, LIST);
        ts_buf_puts(out, "<li>");
        put_inline(out, s + 2, n - 2);
        ts_buf_puts(out, "</li>\n");
    } else if (s[0] == '|') {
        bool head = *now != TABLE;
        change_block(out, now, TABLE);
        if (!is_rule(s, n)) put_table_row(out, s, n, head ? "th" : "td");
    } else {
        change_block(out, now, PARAGRAPH);
        put_inline(out, s, n);
        ts_buf_putc(out, '\n');
    }
}

void ts_report_markdown_html(const char *markdown, size_t n, ts_buf *out) {
    enum block now = NOTHING;
    for (size_t at = 0; at < n;) {
        const char *end = memchr(markdown + at, '\n', n - at);
        size_t len = end ? (size_t)(end - markdown) - at : n - at;
        put_line(out, &now, markdown + at, len);
        at += len + 1;
    }
    change_block(out, &now, NOTHING);
}
