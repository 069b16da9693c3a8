#include "core/text/cells.h"

#include "core/base/mem.h"
#include "core/base/utf8.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

enum { ZWNJ = 0x200c, ZWJ = 0x200d, BOM = 0xfeff };

static bool left_out(uint32_t cp) {
    return cp == ZWJ || cp == ZWNJ || cp == BOM || (cp >= 0xfe00 && cp <= 0xfe0f) || (cp >= 0xe0100 && cp <= 0xe01ef);
}

/* Format characters with a shape: soft hyphen, Arabic number signs. */
static bool seen_format(uint32_t cp) {
    return cp == 0xad || (cp >= 0x600 && cp <= 0x605) || cp == 0x6dd || cp == 0x70f || cp == 0x8e2 || cp == 0x110bd ||
           cp == 0x110cd;
}

/* What changes the order of text, or cannot be seen. */
static bool must_escape(uint32_t cp) {
    if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) return true;
    if (seen_format(cp)) return false;
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c == UTF8PROC_CATEGORY_CF || c == UTF8PROC_CATEGORY_ZL || c == UTF8PROC_CATEGORY_ZP;
}

/* -1: no known width. Spacing marks are one column wide for glibc and nothing for utf8proc; terminals follow glibc. */
static int char_width(uint32_t cp) {
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    if (c == UTF8PROC_CATEGORY_CN || c == UTF8PROC_CATEGORY_CS) return -1;
    if (seen_format(cp)) return 1;
    if ((cp >= 0x3248 && cp <= 0x324f) || (cp >= 0x4dc0 && cp <= 0x4dff)) return 2;
    if (cp == 0x16ff0 || cp == 0x16ff1) return 2;
    if (c == UTF8PROC_CATEGORY_MC && cp != 0x302e && cp != 0x302f) return 1;
    if ((cp >= 0x1160 && cp <= 0x11ff) || (cp >= 0xd7b0 && cp <= 0xd7ff))
        return 0; /* medial and final jamo join the syllable in front */
    return utf8proc_charwidth((utf8proc_int32_t)cp);
}

void ts_cells_init(ts_cells *c, const char *s, size_t n) {
    *c = (ts_cells){.s = s, .n = n, .before = -1};
}

static void set_text(ts_glyph *g, const char *text, size_t len, int width) {
    memcpy(g->text, text, len);
    g->text[len] = 0;
    g->len = (uint8_t)len;
    g->width = (uint8_t)width;
}

static void set_escape(ts_glyph *g, const char *text) {
    size_t len = strlen(text);
    set_text(g, text, len, (int)len);
    g->escaped = true;
}

static void escape_char(ts_glyph *g, uint32_t cp) {
    char text[sizeof g->text];
    if (cp < 0x20 || cp == 0x7f)
        snprintf(text, sizeof text, "^%c", (int)(cp ^ 0x40));
    else
        snprintf(text, sizeof text, "<U+%04X>", (unsigned)cp);
    set_escape(g, text);
}

static void escape_byte(ts_glyph *g, unsigned char byte) {
    char text[8];
    snprintf(text, sizeof text, "\\x%02x", byte);
    set_escape(g, text);
}

static void begin_glyph(ts_glyph *g, const char *s, size_t len, uint32_t cp) {
    int width = char_width(cp);
    char marked[8] = " ";
    if (cp == '\n' || cp == '\t' || cp == '\r') {
        set_text(g, " ", 1, 1);
    } else if (must_escape(cp)) {
        escape_char(g, cp);
    } else if (width < 0) {
        set_text(g, "\xef\xbf\xbd", 3, 1);
    } else if (width == 0) { /* a mark with nothing in front of it needs something to sit on */
        memcpy(marked + 1, s, len);
        set_text(g, marked, 1 + len, 1);
    } else {
        set_text(g, s, len, width);
    }
}

/* Takes the marks behind the base character that add no column. */
static void take_marks(ts_cells *c, ts_glyph *g) {
    while (c->at < c->n) {
        uint32_t cp;
        const char *s = c->s + c->at;
        size_t len = ts_utf8_sequence(s, c->n - c->at);
        if (!len) return;
        ts_utf8_decode(s, len, &cp);
        bool drop = left_out(cp);
        if (!drop && (must_escape(cp) || char_width(cp) != 0)) return;
        utf8proc_grapheme_break_stateful(c->before, (utf8proc_int32_t)cp, &c->state);
        c->before = (int32_t)cp;
        c->at += len;
        if (drop || g->escaped || g->len + len >= sizeof g->text) continue;
        memcpy(g->text + g->len, s, len);
        g->len = (uint8_t)(g->len + len);
        g->text[g->len] = 0;
    }
}

bool ts_cells_next(ts_cells *c, ts_glyph *g) {
    while (c->at < c->n) {
        uint32_t cp;
        const char *s = c->s + c->at;
        size_t len = ts_utf8_sequence(s, c->n - c->at), used = len ? len : 1;
        if (len)
            ts_utf8_decode(s, len, &cp);
        else
            cp = 0xfffd;
        bool cut = c->before < 0 || utf8proc_grapheme_break_stateful(c->before, (utf8proc_int32_t)cp, &c->state);
        *g = (ts_glyph){.at = c->at, .cut_here = cut};
        c->before = (int32_t)cp;
        c->at += used;
        if (len && left_out(cp)) continue;
        if (len)
            begin_glyph(g, s, len, cp);
        else
            escape_byte(g, (unsigned char)*s);
        if (g->escaped) g->cut_here = true;
        take_marks(c, g);
        g->end = c->at;
        return true;
    }
    return false;
}

/* Plain ASCII is most of the text there is. */
static size_t ascii_run(const char *s, size_t n) {
    size_t i = 0;
    while (i < n && s[i] >= 0x20 && s[i] < 0x7f)
        i++;
    return i;
}

size_t ts_cells_width(const char *s, size_t n) {
    size_t plain = ascii_run(s, n), width = plain > 0 ? plain - 1 : 0; /* the last one may carry marks */
    ts_cells c;
    ts_glyph g;
    ts_cells_init(&c, s + width, n - width);
    while (ts_cells_next(&c, &g))
        width += g.width;
    return width;
}

size_t ts_cells_fit(const char *s, size_t n, size_t columns, size_t *width) {
    size_t used = 0, good = 0, good_width = 0;
    ts_cells c;
    ts_glyph g;
    ts_cells_init(&c, s, n);
    for (;;) {
        bool more = ts_cells_next(&c, &g);
        if (!more || g.cut_here) {
            good = more ? g.at : n;
            good_width = used;
        }
        if (!more) break;
        used += g.width;
        if (used > columns) break;
    }
    if (width) *width = good_width;
    return good;
}

size_t ts_cells_after(const char *s, size_t n, size_t at) {
    ts_cells c;
    ts_glyph g;
    if (at >= n) return n;
    ts_cells_init(&c, s + at, n - at);
    ts_cells_next(&c, &g);
    while (ts_cells_next(&c, &g))
        if (g.cut_here) return at + g.at;
    return n;
}

size_t ts_cells_prev(const char *s, size_t n, size_t at) {
    /* Clusters are found forwards only: start at the line's begin, or far enough back for any honest cluster. */
    size_t from = at, last;
    (void)n;
    while (from > 0 && s[from - 1] != '\n' && at - from < 256)
        from--;
    while (from > 0 && ((unsigned char)s[from] & 0xc0) == 0x80 && at - from < 260)
        from--;
    if (from == at) return at > 0 ? at - 1 : 0;
    for (last = from; from < at; from = ts_cells_after(s, at, from))
        last = from;
    return last;
}
