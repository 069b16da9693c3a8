#include "core/text/wrap.h"

#include "core/text/cells.h"

#include <stdlib.h>

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

/* The text of the line ends in front of the newline at `nl`. */
static size_t hard_end(const char *s, size_t from, size_t nl, ts_line *line) {
    line->to = nl > from && s[nl - 1] == '\r' ? nl - 1 : nl;
    line->hard = true;
    return nl + 1;
}

/* Spaces that stand over the edge are not drawn. */
static void trim(const char *s, size_t used, size_t columns, ts_line *line) {
    for (; line->to > line->from && used > columns && is_space(s[line->to - 1]); used--)
        line->to--;
}

/* Spaces at a soft break belong to neither line. */
static size_t soft_end(const char *s, size_t n, size_t from, size_t cut, ts_line *line) {
    size_t to = cut, next = cut;
    while (to > from && is_space(s[to - 1]))
        to--;
    while (next < n && is_space(s[next]))
        next++;
    if (next < n && s[next] == '\n') return hard_end(s, from, next, line), line->to = to, next + 1;
    if (next == n) line->hard = true;
    line->to = to;
    return next;
}

size_t ts_wrap_next(const char *s, size_t n, size_t at, size_t columns, ts_line *line) {
    ts_cells c;
    ts_glyph g;
    size_t used = 0, soft = 0, cut = 0; /* the last place to break: between words, between characters; 0 = none */
    bool space_before = false, wide_before = false;
    *line = (ts_line){.from = at, .to = at};
    ts_cells_init(&c, s + at, n - at);
    while (ts_cells_next(&c, &g)) {
        size_t here = at + g.at;
        if (s[here] == '\n') {
            size_t next = hard_end(s, at, here, line);
            trim(s, used, columns, line);
            return next;
        }
        bool space = is_space(s[here]);
        if (here > at && g.cut_here) {
            cut = here;
            if ((space_before && !space) || (wide_before || g.width == 2) || (space && !space_before)) soft = here;
        }
        if (s[here] == '\r' && here + 1 < n && s[here + 1] == '\n') continue;
        used += g.width;
        if (used > columns && !space) return soft_end(s, n, at, soft ? soft : cut ? cut : at + g.end, line);
        space_before = space;
        wide_before = g.width == 2;
    }
    line->to = n;
    trim(s, used, columns, line);
    line->hard = true;
    return n;
}

bool ts_wrap_all(const char *s, size_t n, size_t columns, size_t max, ts_wrapped *out) {
    size_t at = 0, made = 0;
    for (;;) {
        ts_line line;
        if (made++ == max) return false;
        size_t next = ts_wrap_next(s, n, at, columns, &line);
        TS_PUSH(out->items, out->n, out->cap, line);
        bool newline = next > 0 && next <= n && next > line.to && s[next - 1] == '\n';
        if (next >= n && !newline) return true;
        at = next;
    }
}

void ts_wrapped_release(ts_wrapped *lines) {
    free(lines->items);
    *lines = (ts_wrapped){0};
}
