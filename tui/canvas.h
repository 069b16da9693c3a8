/* The picture of one frame: a grid of cells, drawn fresh by the screens and handed to a terminal, which sends what
 * changed. Tests read it as text. All text is drawn through core/text/cells, so nothing from data reaches a terminal
 * unescaped. Everything is clipped to the grid. UI thread. */
#ifndef TS_TUI_CANVAS_H
#define TS_TUI_CANVAS_H

#include "core/base/buf.h"
#include "tui/theme.h"

typedef struct ts_cell {
    char text[16]; /* one character with its marks and a NUL; empty: the right half of a wide one */
    uint8_t width; /* 1, 2; 0 for the right half */
    uint8_t role;
    bool selected;
} ts_cell;

typedef struct ts_rect {
    int x, y, w, h;
} ts_rect;

typedef struct ts_canvas {
    int w, h;
    ts_cell *cells;         /* [y * w + x] */
    int cursor_x, cursor_y; /* the terminal's own cursor: on the selected row, or in the text */
    bool ascii;             /* no box lines, blocks or braille */
} ts_canvas;

void ts_canvas_resize(ts_canvas *c, int w, int h); /* blank afterwards */
void ts_canvas_clear(ts_canvas *c);
void ts_canvas_release(ts_canvas *c);
const ts_cell *ts_canvas_at(const ts_canvas *c, int x, int y); /* NULL outside */

/* Draws s from column x on, at most w columns; a text that does not fit ends in a `>` mark. Returns the columns used.
 */
int ts_put(ts_canvas *c, int x, int y, int w, ts_role role, const char *s);
int ts_putn(ts_canvas *c, int x, int y, int w, ts_role role, const char *s, size_t n);
int ts_putf(ts_canvas *c, int x, int y, int w, ts_role role, const char *fmt, ...) TS_PRINTF(6, 7);
/* The same, ending at column x + w. */
void ts_put_right(ts_canvas *c, int x, int y, int w, ts_role role, const char *s);

void ts_fill(ts_canvas *c, ts_rect r, ts_role role); /* blanks */
void ts_hline(ts_canvas *c, int x, int y, int w);
void ts_vline(ts_canvas *c, int x, int y, int h);
void ts_box(ts_canvas *c, ts_rect r, const char *title); /* blank inside */
/* The row under the cursor: r's cells look selected and the terminal's cursor stands at its begin. */
void ts_select(ts_canvas *c, int x, int y, int w);
void ts_cursor(ts_canvas *c, int x, int y);

/* The frame as text: h lines, blanks at line ends cut. `attrs`: the same grid as signs of ts_style_letter. */
void ts_canvas_text(const ts_canvas *c, ts_buf *out);
void ts_canvas_attrs(const ts_canvas *c, bool mono, ts_buf *out);

#endif
