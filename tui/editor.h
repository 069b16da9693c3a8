/* Typing text: one line (prompts, form fields) or many, with the keys of readline and an undo of its own. The text may
 * be anything that UTF-8 can hold; bad bytes that were there stay. UI thread. */
#ifndef TS_TUI_EDITOR_H
#define TS_TUI_EDITOR_H

#include "tui/canvas.h"
#include "tui/keys.h"

typedef struct ts_editor_step ts_editor_step;

typedef struct ts_editor {
    ts_buf text; /* read it; change it only through the functions */
    size_t cursor;
    bool one_line;
    /* private */
    ts_editor_step *steps;
    size_t n_steps, cap_steps, done; /* steps[0..done) are applied */
    bool joining;                    /* typing goes on in the last step */
    size_t top;                      /* first line drawn, or first column of a one-line editor */
    int width, goal;                 /* columns at the last draw; column that up and down aim for, -1: none */
} ts_editor;

void ts_editor_init(ts_editor *e, const char *s, size_t n, bool one_line);
void ts_editor_release(ts_editor *e);
/* Replaces everything, as one step of undo. */
void ts_editor_set(ts_editor *e, const char *s, size_t n);

/* Carries out a key: printable characters, arrows, Home End, ^A ^E ^B ^F ^K ^U ^W ^D, Backspace, Delete; in many-line
 * text also Enter, Up, Down, PgUp, PgDn. False: not a key of the editor's. */
bool ts_editor_key(ts_editor *e, uint32_t key);
/* Pasted text: one step. Newlines become blanks in a one-line editor. */
void ts_editor_paste(ts_editor *e, const char *s, size_t n);
bool ts_editor_undo(ts_editor *e); /* false: nothing to undo */
bool ts_editor_redo(ts_editor *e);

/* Draws what fits into r, the cursor always in it; with `focused` the terminal's cursor stands there. */
void ts_editor_draw(ts_editor *e, ts_canvas *c, ts_rect r, ts_role role, bool focused);
/* Lines the text takes at `width` columns. */
size_t ts_editor_height(const ts_editor *e, int width);
/* Line and column of the cursor, 1-based, in the text as it is (not as wrapped). */
void ts_editor_place(const ts_editor *e, size_t *line, size_t *column);

#endif
