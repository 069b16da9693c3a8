/* What all screens share: the workspace, the terminal, the job queues, the message row, and the layers above the
 * screen.
 *
 * One loop (loop.c) waits for keys, for finished jobs and for the time of the next look at a run; it never waits
 * anywhere else. Screens and layers are told of keys and commands, draw themselves into the canvas, and hand everything
 * that may take long to a queue:
 *   jobs    reads of any length: filters, orders, searches, plans, imports, exports
 *   acts    short writes: decisions, edits, undo
 *   watch   looks at run folders
 *   models  answers for Compare, in the engine's process
 * Layers (prompt, palette, help, dialogs, forms) are not loops of their own: while one is open it gets the keys, and
 * everything else goes on. UI thread throughout. */
#ifndef TS_TUI_APP_H
#define TS_TUI_APP_H

#include "core/work/queue.h"
#include "dataset/view.h"
#include "tui/commands.h"
#include "tui/doc.h"
#include "tui/editor.h"
#include "tui/list.h"
#include "tui/term.h"
#include "tui/workbench.h"

typedef struct ts_app ts_app;
typedef struct ts_screen ts_screen;
typedef struct ts_layer ts_layer;

enum { TS_MIN_WIDTH = 60, TS_MIN_HEIGHT = 16 };

/* ---- screens ---- */

typedef enum ts_screen_id {
    TS_SCREEN_BROWSE,
    TS_SCREEN_DUPS,
    TS_SCREEN_SCORES,
    TS_SCREEN_RUNS,
    TS_SCREEN_COMPARE,
    TS_SCREENS
} ts_screen_id;

typedef struct ts_screen_ops {
    const char *tab;   /* "1 Browse" */
    ts_command_id key; /* the command that shows it */
    ts_screen *(*create)(ts_app *app);
    void (*free)(ts_screen *s);
    void (*shown)(ts_screen *s);           /* it becomes the one on the screen; may be NULL */
    unsigned (*place)(const ts_screen *s); /* which commands its keys mean now */
    void (*draw)(ts_screen *s, ts_canvas *c, ts_rect body);
    /* The row above the hints: what is shown and in which order; where in it. Buffers of 200 bytes. */
    void (*status)(ts_screen *s, char *left, char *right);
    /* Carries a command out; arg: what stood behind its name in the palette, else NULL. False: not one of its own. */
    bool (*command)(ts_screen *s, ts_command_id id, const char *arg);
    /* NULL when the command is possible now, else why not, as a sentence. */
    const char *(*why_not)(ts_screen *s, ts_command_id id);
    /* Keys before they become commands, pasted text, clicks. False: not wanted. May be NULL. */
    bool (*input)(ts_screen *s, const ts_input *in);
    /* Looked at about every 100 ms while it is on the screen (`visible`) and every second otherwise. May be NULL. */
    void (*tick)(ts_screen *s, double now, bool visible);
    /* The data set changed. rows: other rows may be there now. May be NULL. */
    void (*changed)(ts_screen *s, bool rows);
    bool (*unsaved)(const ts_screen *s); /* quitting now would lose typed text. May be NULL */
} ts_screen_ops;

struct ts_screen {
    const ts_screen_ops *ops;
    ts_app *app;
};
extern const ts_screen_ops ts_browse_ops, ts_dups_ops, ts_scores_ops, ts_runs_ops, ts_compare_ops;

/* ---- layers ---- */

typedef struct ts_layer_ops {
    bool (*input)(ts_layer *l, const ts_input *in); /* true: used up; false: the screen's turn (rare) */
    void (*draw)(ts_layer *l, ts_canvas *c);
    void (*free)(ts_layer *l);
    void (*tick)(ts_layer *l, double now); /* about ten times a second; may be NULL */
} ts_layer_ops;

struct ts_layer {
    const ts_layer_ops *ops;
    ts_app *app;
    ts_layer *below;
    bool closed; /* set by itself; freed when its input has returned */
};
void ts_layer_push(ts_app *app, ts_layer *l);

/* A line of input in the last row. `done` gets the text (borrowed); `change` (may be NULL) every state on the way;
 * `drop` (may be NULL) is called on Esc. The history of a label is kept while the program runs. */
typedef struct ts_prompt_options {
    const char *label, *initial, *hint;
    void (*done)(ts_app *app, void *ctx, const char *text);
    void (*change)(ts_app *app, void *ctx, const char *text);
    void (*drop)(ts_app *app, void *ctx);
    void *ctx;
} ts_prompt_options;
void ts_prompt_open(ts_app *app, const ts_prompt_options *o);

/* A question answered by one key. Lines of text (ends with NULL); `keys` are the keys that mean something; every other
 * key, Enter and Esc too, means no and calls nothing. One line with no title is asked in the last row. */
typedef void ts_answer_fn(ts_app *app, void *ctx, char key);
void ts_dialog_open(ts_app *app, const char *title, const char *const *lines, const char *keys, ts_answer_fn *fn,
                    void *ctx);
/* A menu: Enter calls fn with the chosen index. Items are copied. */
void ts_menu_open(ts_app *app, const char *title, const char *const *items, size_t n, size_t chosen,
                  void (*fn)(ts_app *app, void *ctx, size_t index), void *ctx);
/* Text to read. Copied. */
void ts_pager_open(ts_app *app, const char *title, const char *text);
/* What was done to a row, with word marks; any text of it can be put back (layer_history.c). */
void ts_history_open(ts_app *app, int64_t row);
/* A row as the model sees it, and what training learns of it (layer_learnt.c). */
void ts_learnt_open(ts_app *app, int64_t row);
/* Importing: a form, or at once with a path (layer_import.c); the rejected rows (layer_rejects.c). */
void ts_import_open(ts_app *app, const char *path);
void ts_rejects_open(ts_app *app);
/* The snapshots (layer_snapshots.c). */
void ts_snapshots_open(ts_app *app);
/* Choosing the best rows among those of a query (layer_select.c). */
void ts_select_open(ts_app *app, const char *where);
/* The data set in numbers; with a number: so many accepted rows are wanted (layer_summary.c). */
void ts_summary_open(ts_app *app, const char *target);
/* Writes the report on the workspace (eval/report.h); asks where to without a path (layer_report.c). */
void ts_report_open(ts_app *app, const char *path);
/* Whether prompting, retrieval or tuning fits, as a form filled in from the workspace (layer_advise.c). */
void ts_advise_open(ts_app *app);
/* Asks which finding on a row is wrong; with a rule: that one (dismiss.c). */
void ts_dismiss_open(ts_app *app, int64_t row, const char *rule);
void ts_palette_open(ts_app *app);
void ts_help_open(ts_app *app);
/* The train form (form_train.c). where: the rows, empty or NULL: the accepted ones (they are also taken where a filter
 * of Browse finds no row any more); like: folder of a run whose settings to begin with, NULL: the defaults. */
void ts_train_form_open(ts_app *app, const char *where, const char *like);

/* ---- the app ---- */

struct ts_history {
    char *label;
    char **items;
    size_t n, cap;
};

struct ts_app {
    ts_term *term;
    ts_canvas canvas;
    ts_arena frame; /* reset at every draw */
    char *folder;
    ts_store *reader, *scanner, *writer; /* the UI thread's, the jobs queue's, the acts queue's */
    ts_wake wake;
    ts_queue *jobs, *acts, *watch, *models, *counts;
    ts_screen *screens[TS_SCREENS];
    ts_screen_id current;
    ts_layer *layers; /* the top one first */
    bool dirty, quit, mouse, suspend;
    double interrupted; /* when ^C was pressed last */
    char message[700];
    ts_role message_role;
    char **log; /* the latest messages */
    size_t n_log, cap_log;
    struct ts_history *histories;
    size_t n_histories, cap_histories;
    bool count_wanted, counting_failed; /* tokens (counting.c) */
    int64_t version;                    /* of the data set, as last seen */
    double next_version, next_tick;
    unsigned ticks;
    char run_line[80]; /* "run 8 46%": a training run that goes on, for the first row */
};

/* Opens the workspace; `term` becomes the app's also on failure. */
TS_MUST_USE ts_status ts_app_new(ts_app **out, const char *folder, ts_term *term, ts_err *err);
void ts_app_free(ts_app *app);
/* Takes finished jobs and keys that are there, draws if something changed. Returns the seconds until something is to be
 * looked at again. */
double ts_app_step(ts_app *app);
bool ts_app_idle(const ts_app *app); /* nothing goes on in any queue */
/* Steps until idle and no key waits (tests). False after `seconds`. */
bool ts_app_settle(ts_app *app, double seconds);
/* loop.c: until quit. */
void ts_app_run(ts_app *app);

void ts_app_say(ts_app *app, ts_role role, const char *fmt, ...) TS_PRINTF(3, 4);
void ts_app_show(ts_app *app, ts_screen_id id);
unsigned ts_app_place(const ts_app *app); /* of the screen that is shown: which commands its keys mean now */
/* A screen's name in the first row: without its digit where digits mean something else. */
const char *ts_app_tab(const ts_app *app, ts_screen_id id);
ts_screen *ts_app_screen(const ts_app *app);
/* Gives a command to the screen or carries it out; says why when it is not possible now. */
void ts_app_command(ts_app *app, ts_command_id id, const char *arg);
const char *ts_app_why_not(ts_app *app, ts_command_id id);
/* The data set changed (by us): all screens are told. */
void ts_app_changed(ts_app *app, bool rows);
/* Leaves the terminal, runs $VISUAL, $EDITOR or vi on the file, comes back. TS_IO with a sentence when it failed. */
TS_MUST_USE ts_status ts_app_editor(ts_app *app, const char *path, ts_err *err);
/* Begins to count tokens where rows may lack a count (count_wanted) and none are being counted. */
void ts_counting_step(ts_app *app);
/* The area of the screen between first row and status row. */
ts_rect ts_app_body(const ts_app *app);
struct ts_history *ts_app_history(ts_app *app, const char *label);
void ts_history_add(struct ts_history *h, const char *text);

/* ---- acts: short writes on the acts queue ---- */

typedef struct ts_act ts_act;
struct ts_act {
    ts_job job;
    ts_app *app;
    ts_status (*run)(ts_act *a, ts_store *st, ts_err *err);
    void (*after)(ts_act *a); /* on success, before the act is freed; may be NULL */
    int64_t *ids;             /* the act's own */
    size_t n_ids;
    int number;
    bool on, rows_change; /* rows_change: other rows may be there afterwards */
    char *text;           /* the act's own */
    ts_done done;
    int64_t id;
};
/* A new act, to fill in and push. */
ts_act *ts_act_new(ts_app *app, ts_status (*run)(ts_act *a, ts_store *st, ts_err *err));
void ts_act_done(ts_job *job); /* what its job's done is; for acts with more to free */
void ts_act_push(ts_act *a);   /* says what it did, or why it failed */

#endif
