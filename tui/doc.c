#include "tui/doc.h"

#include "core/base/utf8.h"
#include "core/text/cells.h"
#include "core/text/wrap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ts_doc_line {
    const char *s; /* the whole text it is a part of */
    size_t from, to;
    int indent;
    ts_role role, mark_role;
    const ts_spans *marks;
    const char *label;
};

ts_doc ts_doc_new(ts_arena *arena, int width) {
    return (ts_doc){.arena = arena, .width = TS_MAX(width, 4)};
}

void ts_doc_release(ts_doc *d) {
    free(d->lines);
    d->lines = NULL;
    d->n = d->cap = 0;
}

static void push(ts_doc *d, ts_doc_line line) {
    TS_PUSH(d->lines, d->n, d->cap, line);
}

void ts_doc_line_put(ts_doc *d, int indent, ts_role role, const char *s) {
    size_t n = strlen(s);
    push(d, (ts_doc_line){.s = ts_arena_strndup(d->arena, s, n), .to = n, .indent = indent, .role = role});
}

void ts_doc_linef(ts_doc *d, int indent, ts_role role, const char *fmt, ...) {
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ts_doc_line_put(d, indent, role, text);
}

void ts_doc_blank(ts_doc *d) {
    push(d, (ts_doc_line){.s = ""});
}

void ts_doc_text(ts_doc *d, int indent, ts_role role, const char *s, size_t n, const ts_spans *marks,
                 ts_role mark_role) {
    size_t shown = n;
    ts_wrapped lines = {0};
    if (n > TS_DOC_TEXT_MAX) shown = ts_cells_prev(s, n, TS_DOC_TEXT_MAX);
    ts_wrap_all(s, shown, (size_t)TS_MAX(d->width - indent, 2), 20000, &lines);
    for (size_t i = 0; i < lines.n; i++)
        push(d, (ts_doc_line){.s = s,
                              .from = lines.items[i].from,
                              .to = lines.items[i].to,
                              .indent = indent,
                              .role = role,
                              .marks = marks,
                              .mark_role = mark_role});
    ts_wrapped_release(&lines);
    if (shown < n) ts_doc_linef(d, indent, TS_R_DIM, "(%zu bytes more)", n - shown);
}

void ts_doc_labelled(ts_doc *d, const char *label, int label_width, ts_role role, const char *s, size_t n) {
    size_t first = d->n;
    ts_doc_text(d, label_width, role, s, n, NULL, role);
    if (first < d->n) d->lines[first].label = ts_arena_strndup(d->arena, label, strlen(label));
}

/* The part of a line that is searched for, from byte `at` on; n when there is none. */
static void next_hit(const ts_doc *d, const ts_doc_line *l, size_t at, size_t *from, size_t *to) {
    size_t n = l->to - l->from;
    *from = *to = n;
    if (!d->hits || at >= n || ts_utf8_check(l->s + l->from, n) != n) return;
    while (at < n && ts_matcher_find(d->hits, l->s + l->from, n, at, from, to, NULL)) {
        if (*to > *from) return;
        at = ts_cells_after(l->s + l->from, n, *to); /* an empty hit has nothing to show */
    }
    *from = *to = n;
}

static void draw_line(const ts_doc *d, const ts_doc_line *l, ts_canvas *c, int x, int y, int w) {
    size_t at = 0, n = l->to - l->from, mark = 0, hit, hit_end;
    if (l->label) ts_put(c, x, y, TS_MIN(l->indent - 1, w), TS_R_LABEL, l->label);
    x += l->indent;
    w -= l->indent;
    next_hit(d, l, 0, &hit, &hit_end);
    while (at < n && w > 0) { /* a piece at a time that has one role */
        size_t end = n, place = l->from + at;
        ts_role role = l->role;
        while (l->marks && mark < l->marks->n && l->marks->items[mark].to <= place)
            mark++;
        if (l->marks && mark < l->marks->n) {
            ts_span m = l->marks->items[mark];
            if (m.from <= place) role = l->mark_role;
            end = TS_MIN(end, (m.from <= place ? m.to : m.from) - l->from);
        }
        if (at >= hit_end) next_hit(d, l, at, &hit, &hit_end);
        if (at >= hit && at < hit_end) role = TS_R_HIT;
        end = TS_MIN(end, at < hit ? hit : at < hit_end ? hit_end : n);
        int used = ts_putn(c, x, y, w, role, l->s + l->from + at, end - at);
        x += used;
        w -= used;
        at = end;
    }
}

char *ts_marked_text(ts_arena *arena, const char *s, size_t n, const ts_spans *marks, const char *open,
                     const char *close, size_t *out_n) {
    ts_buf b = TS_BUF_INIT;
    size_t at = 0;
    for (size_t i = 0; i < marks->n; i++) {
        ts_buf_add(&b, s + at, marks->items[i].from - at);
        ts_buf_puts(&b, open);
        ts_buf_add(&b, s + marks->items[i].from, marks->items[i].to - marks->items[i].from);
        ts_buf_puts(&b, close);
        at = marks->items[i].to;
    }
    ts_buf_add(&b, s + at, n - at);
    char *out = ts_arena_strndup(arena, ts_buf_str(&b), b.len);
    *out_n = b.len;
    ts_buf_release(&b);
    return out;
}

void ts_put_hits(ts_canvas *c, int x, int y, int w, ts_role role, const char *s, size_t n, ts_matcher *hits) {
    ts_doc d = {.hits = hits};
    size_t fits = ts_cells_fit(s, n, (size_t)TS_MAX(w, 0), NULL);
    if (!hits || w < 2) {
        ts_putn(c, x, y, w, role, s, n);
        return;
    }
    if (fits < n) {
        fits = ts_cells_fit(s, n, (size_t)w - 1, NULL);
        ts_put(c, x + w - 1, y, 1, TS_R_DIM, ">");
    }
    ts_doc_line line = {.s = s, .to = fits, .role = role};
    draw_line(&d, &line, c, x, y, w);
}

bool ts_doc_draw(const ts_doc *d, ts_canvas *c, ts_rect r, size_t *scroll) {
    size_t height = (size_t)TS_MAX(r.h, 0), last = d->n > height ? d->n - height : 0;
    if (*scroll > last) *scroll = last;
    for (size_t i = 0; i < height && *scroll + i < d->n; i++)
        draw_line(d, &d->lines[*scroll + i], c, r.x, r.y + (int)i, r.w);
    return *scroll + height < d->n;
}
