/* The state of the Runs screen, shared by screen_runs.c (commands, jobs) and draw_runs.c. */
#ifndef TS_TUI_RUNS_H
#define TS_TUI_RUNS_H

#include "tui/runs_view.h"

enum { TS_RUNS_CHOSEN = 5 }; /* runs that are chosen together, at the most: marked ones and the one under the cursor */
enum runs_pane { RUNS_LIST, RUNS_LOG, RUNS_SAMPLES, RUNS_PANES };

struct runs {
    ts_screen screen;
    ts_runs_view view;
    bool loaded;
    ts_watcher *watcher; /* the job's while one is under way */
    bool looking, again, fresh;
    double next_look;
    ts_list list;
    int64_t chosen;                       /* the run under the cursor, by number; 0: none */
    int64_t overlays[TS_RUNS_CHOSEN - 1]; /* the marked ones */
    size_t n_overlays;
    bool log_scale, zoom;
    int smoothing;              /* index into runs_smoothing */
    enum runs_pane pane, below; /* below: what stands under the chart, log or samples */
    size_t prompt, sample_scroll;
    size_t log_back; /* lines scrolled back; 0 follows */
    ts_rect list_rect;
};
extern const double runs_smoothing[3];

const ts_run_view *runs_chosen(const struct runs *r); /* NULL: none */
void runs_draw(ts_screen *s, ts_canvas *c, ts_rect body);
void runs_status(ts_screen *s, char *left, char *right);
/* Whether there is something to answer with: the last adapter of a run that ended, the best so far of one that goes on.
 * The sides that compare it with its base: "base run:3", "base run:3/best". */
bool ts_run_has_adapter(const ts_run_view *v);
void ts_run_side(const ts_run_view *v, char *out, size_t n);
/* A form to add their adapters up to one, or to merge one (n 1) into its model (form_adapters.c). */
void ts_adapters_form_open(ts_app *app, const ts_run_view *const *runs, size_t n, bool merge);
/* Asks those jobs to stop; false: none goes on. */
bool ts_adapters_cancel(ts_app *app);
bool ts_adapters_busy(const ts_app *app);
/* Shows Runs with this run under the cursor. */
void ts_runs_screen_show(ts_app *app, int64_t id);
/* Shows Compare with these sides. */
void ts_compare_screen_show(ts_app *app, const char *sides);

#endif
