/* Drives the workbench without a terminal: a workspace made for the test, the fake terminal, steps in the words of the
 * scripts of tests/screens (see tests/screens/README.md). */
#ifndef TS_TESTS_SCREEN_DRIVER_H
#define TS_TESTS_SCREEN_DRIVER_H

#include "tui/app.h"

typedef struct ts_drive {
    char *ws;
    ts_term *term;
    ts_app *app;
    int w, h;
    bool mono, ascii;
} ts_drive;

/* One line of a script. Fails the running test with `where` in front. */
void ts_drive_step(ts_drive *d, const char *line, const char *where);
void ts_drive_end(ts_drive *d);
/* The frame that is shown, as text; the caller frees. */
char *ts_drive_text(ts_drive *d);
/* Opens the workbench unless it is open. */
void ts_drive_open(ts_drive *d);

/* A run folder with made-up curves: `steps` of `of` steps done; state "done", "stopped", "crashed", "running",
 * "waiting" or "held". */
void ts_drive_add_run(const char *ws, int id, int steps, int of, const char *state, const char *note);
/* Two sides and three prompts with made-up answers on the Compare screen. */
void ts_drive_add_answers(ts_app *app);

#endif
