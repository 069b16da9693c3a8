/* A text before and after a change, the words that differ marked: by colour, without colours as git writes them. */
#ifndef TS_TUI_CHANGE_H
#define TS_TUI_CHANGE_H

#include "tui/app.h"

/* The marks, handed over to the frame's arena, where a page may keep pointing at them until it is drawn. */
const ts_spans *ts_marks_in_frame(ts_app *app, ts_spans *marks);
/* Appends both texts to a page of the frame, each under its label. s = NULL: there was none. */
void ts_change_put(ts_app *app, ts_doc *d, ts_text before, ts_text after);
/* Draws both from where they begin to differ: the upper half of r is what was before. */
void ts_change_draw(ts_app *app, ts_canvas *c, ts_rect r, ts_text before, ts_text after);

#endif
