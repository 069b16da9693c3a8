/* What the Runs screen shows: a copy of what the run folders say, made on the watch queue and handed over whole. */
#ifndef TS_TUI_RUNS_VIEW_H
#define TS_TUI_RUNS_VIEW_H

#include "eval/runs_queue.h"
#include "tui/app.h"
#include "tui/chart.h"

typedef struct ts_run_view {
    int64_t id;
    char name[64], tags[100], note[160], model[80], created[32];
    char *dir, *base; /* base: the model it is trained on, as run.json names it */
    bool readable;
    char problem[256];
    ts_run_state state;
    size_t number; /* in the queue, from 1; 0: it does not wait */
    char reason[256], paused[256];
    int64_t rows, valid_rows, r, steps, step, best_step, trainable, all, peak_rss;
    double loss, valid_loss, best_valid_loss, tokens_per_second, seconds, eta;
    char settings[320]; /* one line for people */
    char *command;      /* the equal command line */
    char *where;
    /* of runs that are drawn (asked for) only */
    double *step_x, *loss_y, *norm_y, *speed_y, *rate_y;
    size_t n_points;
    double *eval_x, *eval_y;
    size_t n_evals;
    double *general_x, *general_y;
    size_t n_generals;
    char **log;
    size_t n_log;
    char **prompts;
    size_t n_prompts;
    ts_run_sample *samples;
    size_t n_samples;
} ts_run_view;

typedef struct ts_runs_view {
    ts_run_view *items; /* newest first */
    size_t n;
    bool waits;      /* a run goes on, and waits while answers are generated */
    char begun[160]; /* nothing trained, so the next of the queue was started: a line that says so; "" */
} ts_runs_view;
void ts_runs_view_release(ts_runs_view *v);

/* The watcher's own memory, touched by its job only; NULL before the first look. */
typedef struct ts_watcher ts_watcher;
void ts_watcher_free(ts_watcher *w);
/* Looks at the run folders of a workspace. *changed says whether `out` was made (the caller's). `wanted`: runs whose
 * points are asked for. `fresh`: make it in any case, list the folder again. On the watch queue. */
TS_MUST_USE ts_status ts_watcher_look(ts_watcher **w, const char *ws, const int64_t *wanted, size_t n_wanted,
                                      bool fresh, ts_runs_view *out, bool *changed, ts_err *err);

#endif
