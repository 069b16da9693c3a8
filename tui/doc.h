/* A page of wrapped, styled text in a pane: built for one frame from borrowed texts, drawn from a scroll position.
 * Everything lives in the frame's arena. */
#ifndef TS_TUI_DOC_H
#define TS_TUI_DOC_H

#include "core/text/match.h"
#include "core/text/worddiff.h"
#include "tui/canvas.h"

/* Longer texts are shown to here, with a line that says how much more there is; wrapping this much takes about 2 ms. */
enum { TS_DOC_TEXT_MAX = 64 << 10 };

typedef struct ts_doc_line ts_doc_line;
typedef struct ts_doc {
    ts_arena *arena;
    ts_doc_line *lines;
    size_t n, cap;
    int width;
    ts_matcher *hits; /* what is searched for is shown in role HIT; NULL: nothing */
} ts_doc;

ts_doc ts_doc_new(ts_arena *arena, int width);
/* Frees the array of lines (the texts are the arena's). */
void ts_doc_release(ts_doc *d);

/* One line as it is, cut at the width. */
void ts_doc_line_put(ts_doc *d, int indent, ts_role role, const char *s);
void ts_doc_linef(ts_doc *d, int indent, ts_role role, const char *fmt, ...) TS_PRINTF(4, 5);
void ts_doc_blank(ts_doc *d);
void ts_doc_text(ts_doc *d, int indent, ts_role role, const char *s, size_t n, const ts_spans *marks,
                 ts_role mark_role);
/* A small label before the first line of a wrapped text: "instruction  Give three tips". */
void ts_doc_labelled(ts_doc *d, const char *label, int label_width, ts_role role, const char *s, size_t n);

/* Draws lines from *scroll on, which is brought into range. Returns true when there is more below. */
bool ts_doc_draw(const ts_doc *d, ts_canvas *c, ts_rect r, size_t *scroll);

/* Without colours marks are written into the text, as git does ("[-" and "-]", "{+" and "+}"): a copy in `arena` of
 * *out_n bytes. */
char *ts_marked_text(ts_arena *arena, const char *s, size_t n, const ts_spans *marks, const char *open,
                     const char *close, size_t *out_n);

/* One line of data at (x, y), cut to w columns, what `hits` finds in it shown in role HIT. */
void ts_put_hits(ts_canvas *c, int x, int y, int w, ts_role role, const char *s, size_t n, ts_matcher *hits);

#endif
