#include "tui/change.h"

#include <stdlib.h>
#include <string.h>

enum { COMPARED_MAX = 64 << 10, LEAD = 60 };

const ts_spans *ts_marks_in_frame(ts_app *app, ts_spans *marks) {
    ts_spans *out = ts_arena_alloc(&app->frame, sizeof *out);
    *out = (ts_spans){ts_arena_alloc(&app->frame, (marks->n + 1) * sizeof *out->items), marks->n, marks->n + 1};
    if (marks->n) memcpy(out->items, marks->items, marks->n * sizeof *out->items);
    ts_spans_release(marks);
    return out;
}

/* One side, without what stands before byte `from`. */
static void put_side(ts_app *app, ts_doc *d, int indent, ts_text t, size_t from, const ts_spans *marks, bool gone) {
    ts_spans shown = {ts_arena_alloc(&app->frame, (marks->n + 1) * sizeof *shown.items), 0, marks->n + 1};
    for (size_t i = 0; i < marks->n; i++)
        if (marks->items[i].from >= from)
            shown.items[shown.n++] = (ts_span){marks->items[i].from - from, marks->items[i].to - from};
    ts_spans *kept = ts_arena_alloc(&app->frame, sizeof *kept);
    const char *s = t.s ? t.s + from : "";
    size_t n = t.n - from;
    *kept = shown;
    if (app->term->mono && shown.n)
        s = ts_marked_text(&app->frame, s, n, kept, gone ? "[-" : "{+", gone ? "-]" : "+}", &n);
    if (t.n)
        ts_doc_text(d, indent, TS_R_TEXT, s, n, app->term->mono ? NULL : kept, gone ? TS_R_GONE : TS_R_ADDED);
    else
        ts_doc_line_put(d, indent, TS_R_DIM, t.s ? "(empty)" : "(nothing)");
}

static void compare(ts_text before, ts_text after, ts_spans *gone, ts_spans *added) {
    if (!before.n || !after.n || before.n > COMPARED_MAX || after.n > COMPARED_MAX) return;
    if (!ts_worddiff(before.s, before.n, after.s, after.n, gone, added)) return; /* marks would only be noise */
}

void ts_change_put(ts_app *app, ts_doc *d, ts_text before, ts_text after) {
    ts_spans gone = {0}, added = {0};
    compare(before, after, &gone, &added);
    ts_doc_line_put(d, 0, TS_R_LABEL, "before");
    put_side(app, d, 2, before, 0, ts_marks_in_frame(app, &gone), true);
    ts_doc_line_put(d, 0, TS_R_LABEL, "after");
    put_side(app, d, 2, after, 0, ts_marks_in_frame(app, &added), false);
}

/* Where both begin to differ, a little before it, at the begin of a line or a word. */
static size_t differ_from(ts_text a, ts_text b) {
    size_t at = 0;
    while (at < a.n && at < b.n && a.s[at] == b.s[at])
        at++;
    size_t least = at > LEAD ? at - LEAD : 0, line = at;
    while (line > least && a.s[line - 1] != '\n')
        line--;
    while (line > 0 && line < at && line == least && a.s[line] != ' ')
        least = ++line;
    while (line < at && line > 0 && a.s[line] == ' ')
        line++;
    while (line > 0 && line < a.n && ((unsigned char)a.s[line] & 0xc0) == 0x80) /* never inside a character */
        line--;
    return line;
}

void ts_change_draw(ts_app *app, ts_canvas *c, ts_rect r, ts_text before, ts_text after) {
    ts_spans gone = {0}, added = {0};
    int upper = r.h / 2;
    size_t from = differ_from(before, after), scroll = 0;
    compare(before, after, &gone, &added);
    const ts_spans *marks[] = {ts_marks_in_frame(app, &gone), ts_marks_in_frame(app, &added)};
    for (int i = 0; i < 2; i++) {
        ts_doc d = ts_doc_new(&app->frame, r.w - 2);
        ts_rect half = {r.x + 2, r.y + (i ? upper : 0), r.w - 2, i ? r.h - upper : upper};
        put_side(app, &d, 0, i ? after : before, from, marks[i], i == 0);
        ts_doc_draw(&d, c, half, &scroll);
        ts_put(c, r.x, half.y, 1, i ? TS_R_ADDED : TS_R_GONE, i ? "+" : "-");
        ts_doc_release(&d);
    }
}
