/* A terminal: keys in, frames out. Two kinds: the real one (term_ncurses.c, the only home of ncurses) and one for tests
 * that takes keys from a list and keeps the last frame (term_fake.c). UI thread. */
#ifndef TS_TUI_TERM_H
#define TS_TUI_TERM_H

#include "core/base/err.h"
#include "tui/canvas.h"
#include "tui/keys.h"

typedef struct ts_term ts_term;

struct ts_term {
    int fd; /* to poll for keys; -1: none */
    bool mono, ascii;
    /* The next event that is there already; false when there is none. Never waits. */
    bool (*read)(ts_term *t, ts_input *in);
    void (*size)(ts_term *t, int *w, int *h);
    /* Sends what differs from the last frame. */
    void (*draw)(ts_term *t, const ts_canvas *c);
    /* Sends everything at the next draw. */
    void (*repaint)(ts_term *t);
    /* The terminal as it was before us / ours again: for an editor, for stopping, for the end. Modes we set (bracketed
     * paste, mouse) are off in between. leave may be called twice, also from a fatal hook. */
    void (*leave)(ts_term *t);
    void (*enter)(ts_term *t);
    void (*copy)(ts_term *t, const char *text, size_t n); /* to the clipboard of the person's own machine (OSC 52) */
    void (*mouse)(ts_term *t, bool on);
    void (*free)(ts_term *t);
};

/* stdin and stdout must be terminals. TS_UNSUPPORTED with a sentence when this one cannot be used. */
TS_MUST_USE ts_status ts_term_ncurses(ts_term **out, bool mono, bool ascii, ts_err *err);

/* A terminal of w x h for tests. */
ts_term *ts_term_fake(int w, int h, bool mono, bool ascii);
void ts_term_fake_key(ts_term *t, uint32_t key);
void ts_term_fake_paste(ts_term *t, const char *text, size_t n);
void ts_term_fake_click(ts_term *t, int x, int y, bool twice);
void ts_term_fake_wheel(ts_term *t, int x, int y, int delta);
void ts_term_fake_resize(ts_term *t, int w, int h);
const ts_canvas *ts_term_fake_frame(const ts_term *t);
const char *ts_term_fake_copied(const ts_term *t);

#endif
