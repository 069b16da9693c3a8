/* Runs: the training runs of the workspace, the loss of the chosen one as it comes, and what to do with them. The runs
 * are processes of their own; this screen only looks at their folders and starts or stops them. */
#include "core/base/clock.h"
#include "eval/runs_diff.h"
#include "tui/runs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const double runs_smoothing[3] = {0, 0.6, 0.9};

const ts_run_view *runs_chosen(const struct runs *r) {
    return r->list.cursor < r->view.n ? &r->view.items[r->list.cursor] : NULL;
}

bool ts_run_has_adapter(const ts_run_view *v) {
    return v->readable && (v->state == TS_RUN_DONE || v->state == TS_RUN_STOPPED || v->best_step >= 0);
}

void ts_run_side(const ts_run_view *v, char *out, size_t n) {
    bool ended = v->state == TS_RUN_DONE || v->state == TS_RUN_STOPPED;
    snprintf(out, n, "base run:%lld%s", (long long)v->id, ended ? "" : "/best");
}

/* ---- looking ---- */

struct look {
    ts_job job;
    struct runs *runs;
    int64_t wanted[8];
    size_t n_wanted;
    bool fresh, changed;
    ts_runs_view view;
};

static void look_run(ts_job *job) {
    struct look *l = (struct look *)job;
    struct runs *r = l->runs;
    job->status = ts_watcher_look(&r->watcher, r->screen.app->folder, l->wanted, l->n_wanted, l->fresh, &l->view,
                                  &l->changed, &job->err);
}

static void title_line(struct runs *r) {
    r->screen.app->run_line[0] = 0;
    for (size_t i = 0; i < r->view.n; i++) {
        const ts_run_view *v = &r->view.items[i];
        if (v->state == TS_RUN_RUNNING && v->steps > 0)
            snprintf(r->screen.app->run_line, sizeof r->screen.app->run_line, "run %lld %d%%%s", (long long)v->id,
                     (int)(100 * v->step / v->steps), r->view.waits ? ", waits for the answers" : "");
    }
}

/* A run that was going on and no longer is: said wherever the person is. */
static void announce(struct runs *r, const ts_runs_view *now) {
    for (size_t i = 0; i < r->view.n; i++)
        for (size_t k = 0; k < now->n; k++) {
            const ts_run_view *a = &r->view.items[i], *b = &now->items[k];
            if (a->id != b->id || a->state != TS_RUN_RUNNING || b->state == TS_RUN_RUNNING) continue;
            bool bad = b->state == TS_RUN_FAILED || b->state == TS_RUN_CRASHED;
            ts_app_say(r->screen.app, bad ? TS_R_ERROR : TS_R_OK, "run %lld: %s%s%s", (long long)b->id,
                       ts_run_state_names[b->state], *b->reason ? ": " : "", b->reason);
        }
}

static void look(struct runs *r);

static void look_done(ts_job *job) {
    struct look *l = (struct look *)job;
    struct runs *r = l->runs;
    r->looking = false;
    if (job->status == TS_OK && l->changed) {
        announce(r, &l->view);
        if (*l->view.begun) ts_app_say(r->screen.app, TS_R_OK, "%s", l->view.begun);
        ts_runs_view_release(&r->view);
        r->view = l->view;
        r->loaded = true;
        for (size_t i = 0; i < r->view.n; i++)
            if (r->view.items[i].id == r->chosen) r->list.cursor = i;
        title_line(r);
        r->screen.app->dirty = true;
        const ts_run_view *v = runs_chosen(r);
        if (v && v->readable && !v->step_x) look(r); /* its points were not asked for */
    } else if (job->status != TS_OK && job->status != TS_CANCELLED) {
        ts_app_say(r->screen.app, TS_R_ERROR, "%s", job->err.text);
    }
    free(l);
}

static void look(struct runs *r) {
    const ts_run_view *v = runs_chosen(r);
    if (r->looking) {
        r->again = true;
        return;
    }
    struct look *l = ts_calloc(1, sizeof *l);
    l->job = (ts_job){.run = look_run, .done = look_done};
    l->runs = r;
    l->fresh = r->fresh;
    if (v) l->wanted[l->n_wanted++] = v->id;
    for (size_t i = 0; i < r->n_overlays; i++)
        l->wanted[l->n_wanted++] = r->overlays[i];
    r->looking = true;
    r->fresh = r->again = false;
    ts_queue_push(r->screen.app->watch, &l->job);
}

/* Ten times a second while a run goes on and is looked at, else now and then. */
static void runs_tick(ts_screen *s, double now, bool visible) {
    struct runs *r = (struct runs *)s;
    if (now < r->next_look && !r->again) return;
    r->next_look = now + (visible ? 0.1 : 1);
    if (visible && !*s->app->run_line) r->next_look = now + 0.5;
    if (!r->loaded && !visible && r->view.n == 0 && r->next_look == 0) return;
    look(r);
}

static void chose(struct runs *r) {
    const ts_run_view *v = runs_chosen(r);
    r->chosen = v ? v->id : 0;
    r->log_back = r->sample_scroll = 0;
    look(r);
}

void ts_runs_screen_show(ts_app *app, int64_t id) {
    struct runs *r = (struct runs *)app->screens[TS_SCREEN_RUNS];
    r->chosen = id;
    r->fresh = true;
    ts_app_show(app, TS_SCREEN_RUNS);
}

/* ---- what is done to runs ---- */

enum run_act {
    RUN_STOP,
    RUN_RESUME,
    RUN_DELETE,
    RUN_NOTE,
    RUN_TAG,
    RUN_RENAME,
    RUN_LEAVE,
    RUN_HOLD,
    RUN_RELEASE,
    RUN_UP,
    RUN_DOWN
};

struct run_job {
    ts_job job;
    struct runs *runs;
    enum run_act act;
    int64_t id;
    size_t number; /* a resumed run's place in the queue; 0: it trains */
    char *dir, *text;
};

static ts_status do_act(struct run_job *a, ts_err *err) {
    const char *ws = a->runs->screen.app->folder;
    switch (a->act) {
    case RUN_STOP:
        return ts_run_stop(a->dir, err);
    case RUN_RESUME:
        return ts_runs_begin(ws, a->dir, &a->number, err);
    case RUN_DELETE:
        return ts_runs_delete(a->dir, err);
    case RUN_NOTE:
        return ts_runs_note(a->dir, a->text, err);
    case RUN_TAG:
        return ts_runs_tag(ws, a->dir, a->text, err);
    case RUN_RENAME:
        return ts_runs_rename(ws, a->id, a->text, err);
    case RUN_LEAVE:
        return ts_runs_leave(ws, a->dir, err);
    case RUN_HOLD:
    case RUN_RELEASE:
        return ts_runs_hold(ws, a->dir, a->act == RUN_HOLD, err);
    case RUN_UP:
    case RUN_DOWN:
        return ts_runs_move(ws, a->dir, a->act == RUN_UP ? -1 : 1, err);
    }
    return TS_OK;
}

static void act_run(ts_job *job) {
    job->status = do_act((struct run_job *)job, &job->err);
}

static void act_done(ts_job *job) {
    static const char *const words[] = {"asked to stop; it writes a checkpoint first",
                                        "goes on",
                                        "deleted",
                                        "noted",
                                        "tagged anew",
                                        "has another name",
                                        "waits no longer; r lets it train",
                                        "held: those behind it go first",
                                        "released",
                                        "one place earlier",
                                        "one place later"};
    struct run_job *a = (struct run_job *)job;
    struct runs *r = a->runs;
    if (job->status == TS_OK && a->number)
        ts_app_say(r->screen.app, TS_R_OK, "run %lld waits as number %zu of the queue", (long long)a->id, a->number);
    else if (job->status == TS_OK)
        ts_app_say(r->screen.app, TS_R_OK, "run %lld: %s", (long long)a->id, words[a->act]);
    else
        ts_app_say(r->screen.app, TS_R_ERROR, "%s", job->err.text);
    r->fresh = true;
    look(r);
    free(a->dir);
    free(a->text);
    free(a);
}

static void act_on_run(struct runs *r, enum run_act act, const char *text) {
    const ts_run_view *v = runs_chosen(r);
    if (!v) return;
    struct run_job *a = ts_calloc(1, sizeof *a);
    *a = (struct run_job){
        .job = {.title = act == RUN_RESUME ? "starting the run" : NULL, .run = act_run, .done = act_done},
        .runs = r,
        .act = act,
        .id = v->id,
        .dir = ts_strdup(v->dir),
        .text = text ? ts_strdup(text) : NULL};
    ts_queue_push(r->screen.app->watch, &a->job);
}

static void stop_answered(ts_app *app, void *ctx, char key) {
    (void)app;
    (void)key;
    act_on_run(ctx, RUN_STOP, NULL);
}

static void delete_answered(ts_app *app, void *ctx, char key) {
    (void)app;
    (void)key;
    act_on_run(ctx, RUN_DELETE, NULL);
}

static void note_entered(ts_app *app, void *ctx, const char *text) {
    (void)app;
    act_on_run(ctx, RUN_NOTE, text);
}

static void tag_entered(ts_app *app, void *ctx, const char *text) {
    (void)app;
    act_on_run(ctx, RUN_TAG, text);
}

static void name_entered(ts_app *app, void *ctx, const char *text) {
    (void)app;
    act_on_run(ctx, RUN_RENAME, text);
}

/* A line of text for the chosen run: given with the command, or asked for. */
static void ask_text(struct runs *r, const char *arg, enum run_act act, const char *label, const char *initial,
                     void (*done)(ts_app *, void *, const char *)) {
    const ts_run_view *v = runs_chosen(r);
    char hint[sizeof v->tags + 80];
    snprintf(hint, sizeof hint, *v->tags ? "it has: %s   -NAME ends one" : "a name for it: run:NAME%s", v->tags);
    if (arg)
        act_on_run(r, act, arg);
    else
        ts_prompt_open(
            r->screen.app,
            &(ts_prompt_options){
                .label = label, .initial = initial, .hint = act == RUN_TAG ? hint : NULL, .done = done, .ctx = r});
}

/* "lora" of "0003-lora". */
static const char *name_alone(const char *name) {
    name += strspn(name, "0123456789");
    return *name == '-' ? name + 1 : name;
}

static const char *waiting_line(const struct runs *r) {
    for (size_t i = 0; i < r->view.n; i++)
        if (r->view.items[i].state == TS_RUN_WAITING) return "The next run of the queue begins then.";
    return "";
}

static void ask_stop(struct runs *r) {
    char line[120];
    if (runs_chosen(r)->number) { /* nothing is lost by it */
        act_on_run(r, RUN_LEAVE, NULL);
        return;
    }
    snprintf(line, sizeof line, "Run %lld is at step %lld of %lld.", (long long)runs_chosen(r)->id,
             (long long)runs_chosen(r)->step, (long long)runs_chosen(r)->steps);
    const char *lines[] = {line, "Stopping writes a checkpoint; r goes on from there later.", waiting_line(r),
                           "y  stop it        n  let it run (default)", NULL};
    ts_dialog_open(r->screen.app, "Stop training?", lines, "y", stop_answered, r);
}

static void ask_delete(struct runs *r) {
    char line[160];
    snprintf(line, sizeof line, "Run %lld (%.40s): adapter, checkpoints and curves leave the disk.",
             (long long)runs_chosen(r)->id, runs_chosen(r)->name);
    const char *lines[] = {line, "This cannot be undone.", "", "y  delete it for good        n  keep it (default)",
                           NULL};
    ts_dialog_open(r->screen.app, "Delete the run?", lines, "y", delete_answered, r);
}

static void show_details(struct runs *r) {
    const ts_run_view *v = runs_chosen(r);
    ts_buf b = TS_BUF_INIT;
    char title[80], percent[32] = "";
    snprintf(title, sizeof title, "Run %lld", (long long)v->id);
    if (v->all > 0) snprintf(percent, sizeof percent, "%.4f", 100.0 * (double)v->trainable / (double)v->all);
    ts_buf_printf(&b, "state      %s%s%s\nbase       %s\n", ts_run_state_names[v->state], *v->reason ? ": " : "",
                  v->reason, v->model);
    if (*v->tags) ts_buf_printf(&b, "tags       %s\n", v->tags);
    if (*v->note) ts_buf_printf(&b, "note       %s\n", v->note);
    ts_buf_printf(&b, "examples   %lld to learn from, %lld held out%s%s\n", (long long)v->rows,
                  (long long)v->valid_rows, v->where ? "   of " : "", v->where ? v->where : "");
    ts_buf_printf(&b, "settings   %s\n", v->settings);
    if (v->all > 0)
        ts_buf_printf(&b, "trainable params: %lld || all params: %lld || trainable%%: %s\n", (long long)v->trainable,
                      (long long)v->all, percent);
    if (v->best_step >= 0)
        ts_buf_printf(&b, "best       held-out loss %.4f at step %lld\n", v->best_valid_loss, (long long)v->best_step);
    ts_buf_printf(&b,
                  "\nfolder     %s\n  adapter/   the last adapter, a PEFT folder\n  best/      the one with the best "
                  "held-out loss\n"
                  "  log.txt    what the training process printed\n  events.jsonl  every step\n",
                  v->dir);
    ts_buf_puts(&b, "\nthe same again:\n  tunesmith train ");
    ts_buf_shell_word(&b, r->screen.app->folder);
    ts_buf_printf(&b, " %s\n", v->command ? v->command : "");
    ts_pager_open(r->screen.app, title, b.data);
    ts_buf_release(&b);
}

static bool is_marked(const struct runs *r, int64_t id) {
    bool marked = false;
    for (size_t i = 0; i < r->n_overlays; i++)
        marked |= r->overlays[i] == id;
    return marked;
}

/* The run under the cursor and the marked ones, the oldest first. */
static size_t chosen_together(const struct runs *r, const ts_run_view *out[TS_RUNS_CHOSEN]) {
    size_t n = 0;
    for (size_t i = r->view.n; i-- > 0 && n < TS_RUNS_CHOSEN;)
        if (i == r->list.cursor || is_marked(r, r->view.items[i].id)) out[n++] = &r->view.items[i];
    return n;
}

static void compare_chosen(struct runs *r) {
    const ts_run_view *runs[TS_RUNS_CHOSEN];
    ts_buf sides = TS_BUF_INIT;
    char pair[48];
    size_t n = chosen_together(r, runs);
    ts_buf_puts(&sides, "base");
    for (size_t i = 0; i < n; i++) {
        if (!ts_run_has_adapter(runs[i])) continue;
        ts_run_side(runs[i], pair, sizeof pair);
        ts_buf_puts(&sides, pair + strlen("base"));
    }
    ts_compare_screen_show(r->screen.app, sides.data);
    ts_buf_release(&sides);
}

static void open_adapters(struct runs *r, bool merge) {
    const ts_run_view *runs[TS_RUNS_CHOSEN] = {runs_chosen(r)};
    size_t n = merge ? 1 : chosen_together(r, runs);
    ts_adapters_form_open(r->screen.app, runs, n, merge);
}

static const char *why_not_add_up(const struct runs *r) {
    const ts_run_view *runs[TS_RUNS_CHOSEN];
    size_t n = chosen_together(r, runs);
    for (size_t i = 0; i < n; i++)
        if (!ts_run_has_adapter(runs[i])) return "one of the marked runs has no adapter yet";
    return n < 2 ? "mark the runs to add up with Space, two at least" : NULL;
}

static void toggle_overlay(struct runs *r) {
    int64_t id = runs_chosen(r)->id;
    for (size_t i = 0; i < r->n_overlays; i++)
        if (r->overlays[i] == id) {
            r->overlays[i] = r->overlays[--r->n_overlays];
            look(r);
            return;
        }
    if (r->n_overlays == TS_COUNT(r->overlays)) {
        ts_app_say(r->screen.app, TS_R_WARN, "%d runs at most can be marked", TS_RUNS_CHOSEN - 1);
        return;
    }
    r->overlays[r->n_overlays++] = id;
    ts_list_move(&r->list, 1);
    chose(r);
}

/* ---- runs beside each other ---- */

struct diff_job {
    ts_job job;
    struct runs *runs;
    char *dirs[TS_DIFF_RUNS];
    size_t n, width;
    ts_buf table;
};

static void diff_run(ts_job *job) {
    struct diff_job *d = (struct diff_job *)job;
    ts_diff diff = {0};
    job->status = ts_runs_diff((const char *const *)d->dirs, d->n, &diff, &job->err);
    if (job->status == TS_OK) ts_diff_table(&diff, d->width, &d->table);
    ts_diff_release(&diff);
}

static void diff_done(ts_job *job) {
    struct diff_job *d = (struct diff_job *)job;
    if (job->status == TS_OK)
        ts_pager_open(d->runs->screen.app, "Where the runs differ", ts_buf_str(&d->table));
    else if (job->status != TS_CANCELLED)
        ts_app_say(d->runs->screen.app, TS_R_ERROR, "%s", job->err.text);
    for (size_t i = 0; i < d->n; i++)
        free(d->dirs[i]);
    ts_buf_release(&d->table);
    free(d);
}

/* The chosen run beside those that are drawn with it, or the one below where none is. */
static void diff_runs(struct runs *r) {
    struct diff_job *d = ts_calloc(1, sizeof *d);
    d->job = (ts_job){.run = diff_run, .done = diff_done};
    d->runs = r;
    d->width = (size_t)TS_MAX(r->list_rect.w - 8, 40);
    d->dirs[d->n++] = ts_strdup(runs_chosen(r)->dir);
    for (size_t i = 0; i < r->view.n && d->n < TS_DIFF_RUNS; i++)
        if (is_marked(r, r->view.items[i].id) && r->view.items[i].id != r->chosen)
            d->dirs[d->n++] = ts_strdup(r->view.items[i].dir);
    size_t beside = r->list.cursor + 1 < r->view.n ? r->list.cursor + 1 : r->list.cursor - 1;
    if (d->n == 1) d->dirs[d->n++] = ts_strdup(r->view.items[beside].dir);
    ts_queue_push(r->screen.app->watch, &d->job);
}

/* ---- the screen ---- */

static ts_screen *runs_create(ts_app *app) {
    struct runs *r = ts_calloc(1, sizeof *r);
    r->screen.app = app;
    r->below = RUNS_LOG;
    return &r->screen;
}

static void runs_free(ts_screen *s) {
    struct runs *r = (struct runs *)s;
    ts_runs_view_release(&r->view);
    ts_watcher_free(r->watcher);
    free(r);
}

static void runs_shown(ts_screen *s) {
    struct runs *r = (struct runs *)s;
    r->fresh = true;
    look(r);
}

static unsigned runs_place(const ts_screen *s) {
    (void)s;
    return TS_IN_RUNS;
}

static bool of_queue(ts_command_id id) {
    return id == TS_DO_HOLD_RUN || id == TS_DO_RUN_EARLIER || id == TS_DO_RUN_LATER;
}

static bool needs_run(ts_command_id id) {
    return of_queue(id) || id == TS_DO_TRAIN_SAME || id == TS_DO_RESUME || id == TS_DO_CANCEL ||
           id == TS_DO_COMPARE_RUN || id == TS_DO_COMBINE || id == TS_DO_MERGE || id == TS_DO_TAG_RUN ||
           id == TS_DO_NOTE || id == TS_DO_RENAME_RUN || id == TS_DO_DELETE_RUN || id == TS_DO_OVERLAY ||
           id == TS_DO_OPEN || id == TS_DO_COPY || id == TS_DO_NEXT || id == TS_DO_PREV ||
           ts_commands[id].group == TS_G_VIEW;
}

static const char *runs_why_not(ts_screen *s, ts_command_id id) {
    struct runs *r = (struct runs *)s;
    const ts_run_view *v = runs_chosen(r);
    if (id == TS_DO_RELOAD) return NULL;
    if (needs_run(id) && !v) return "there is no run yet; T trains one";
    if (id == TS_DO_DIFF_RUNS && r->view.n < 2) return "there is one run only";
    if ((id == TS_DO_NEXT || id == TS_DO_PREV) && v->n_prompts == 0) return "this run answers no sample prompts";
    if (of_queue(id) && !v->number) return "this run does not wait in the queue";
    if (id == TS_DO_CANCEL && ts_adapters_busy(s->app)) return NULL;
    if (id == TS_DO_CANCEL && v->state != TS_RUN_RUNNING && !v->number) return "this run is not going on";
    if (id == TS_DO_DELETE_RUN && v->state == TS_RUN_RUNNING) return "this run goes on; c stops it first";
    if (id == TS_DO_RENAME_RUN && v->state == TS_RUN_RUNNING) return "this run goes on; name it when it is over";
    if (id == TS_DO_RESUME && (v->state == TS_RUN_DONE || v->state == TS_RUN_RUNNING || v->number))
        return v->state == TS_RUN_DONE ? "this run is finished" : "this run goes on or waits its turn";
    if ((id == TS_DO_COMPARE_RUN || id == TS_DO_MERGE || id == TS_DO_COMBINE) && !ts_run_has_adapter(v))
        return "this run has no adapter yet";
    if (id == TS_DO_COMBINE) return why_not_add_up(r);
    return NULL;
}

static bool scroll_log(struct runs *r, ts_command_id id) {
    ts_list l = {.count = 201, .cursor = 200 - TS_MIN(r->log_back, 200), .height = 4};
    if (!ts_list_command(&l, id)) return false;
    r->log_back = 200 - l.cursor;
    return true;
}

/* The pane below: lines of the log back, or down in the answers. */
static bool scroll_below(struct runs *r, ts_command_id id) {
    if (r->below == RUNS_LOG) return scroll_log(r, id);
    ts_list l = {.count = 100000, .cursor = r->sample_scroll, .height = 4}; /* drawing brings it into range */
    if (!ts_list_command(&l, id)) return false;
    r->sample_scroll = l.cursor;
    return true;
}

static bool look_command(struct runs *r, ts_command_id id) {
    switch (id) {
    case TS_DO_LOG_SCALE:
        r->log_scale = !r->log_scale;
        return true;
    case TS_DO_SMOOTH:
        r->smoothing = (r->smoothing + 1) % 3;
        return true;
    case TS_DO_FOLLOW:
        r->log_back = r->log_back ? 0 : 1;
        return true;
    case TS_DO_ZOOM:
        r->zoom = !r->zoom;
        return true;
    case TS_DO_PANE_NEXT:
    case TS_DO_PANE_PREV:
        r->pane = (r->pane + (id == TS_DO_PANE_NEXT ? 1 : RUNS_PANES - 1)) % RUNS_PANES;
        if (r->pane != RUNS_LIST) r->below = r->pane;
        return true;
    case TS_DO_NEXT:
    case TS_DO_PREV:
        r->prompt = (r->prompt + (id == TS_DO_NEXT ? 1 : runs_chosen(r)->n_prompts - 1)) % runs_chosen(r)->n_prompts;
        r->sample_scroll = 0;
        return true;
    case TS_DO_OVERLAY:
        toggle_overlay(r);
        return true;
    case TS_DO_DIFF_RUNS:
        diff_runs(r);
        return true;
    case TS_DO_RELOAD:
        r->fresh = true;
        look(r);
        return true;
    case TS_DO_BACK_OUT:
    case TS_DO_BACK:
        if (r->zoom)
            r->zoom = false;
        else
            ts_app_show(r->screen.app, TS_SCREEN_BROWSE);
        return true;
    default:
        return false;
    }
}

static bool runs_command(ts_screen *s, ts_command_id id, const char *arg) {
    struct runs *r = (struct runs *)s;
    ts_app *app = s->app;
    if (r->pane != RUNS_LIST ? scroll_below(r, id) : ts_list_command(&r->list, id)) {
        if (r->pane == RUNS_LIST) chose(r);
        return true;
    }
    if (look_command(r, id)) return true;
    switch (id) {
    case TS_DO_TRAIN:
        ts_train_form_open(app, NULL, NULL);
        return true;
    case TS_DO_TRAIN_SAME:
        ts_train_form_open(app, runs_chosen(r)->where, runs_chosen(r)->dir);
        return true;
    case TS_DO_RESUME:
        act_on_run(r, RUN_RESUME, NULL);
        return true;
    case TS_DO_CANCEL:
        if (!ts_adapters_cancel(app)) ask_stop(r);
        return true;
    case TS_DO_DELETE_RUN:
        ask_delete(r);
        return true;
    case TS_DO_NOTE:
        ask_text(r, arg, RUN_NOTE, "note:", runs_chosen(r)->note, note_entered);
        return true;
    case TS_DO_TAG_RUN:
        ask_text(r, arg, RUN_TAG, "tag:", "", tag_entered);
        return true;
    case TS_DO_RENAME_RUN:
        ask_text(r, arg, RUN_RENAME, "name:", name_alone(runs_chosen(r)->name), name_entered);
        return true;
    case TS_DO_HOLD_RUN:
        act_on_run(r, runs_chosen(r)->state == TS_RUN_HELD ? RUN_RELEASE : RUN_HOLD, NULL);
        return true;
    case TS_DO_RUN_EARLIER:
    case TS_DO_RUN_LATER:
        act_on_run(r, id == TS_DO_RUN_EARLIER ? RUN_UP : RUN_DOWN, NULL);
        return true;
    case TS_DO_OPEN:
        show_details(r);
        return true;
    case TS_DO_COPY:
        app->term->copy(app->term, runs_chosen(r)->dir, strlen(runs_chosen(r)->dir));
        ts_app_say(app, TS_R_OK, "copied the path of run %lld", (long long)runs_chosen(r)->id);
        return true;
    case TS_DO_COMPARE_RUN:
        compare_chosen(r);
        return true;
    case TS_DO_COMBINE:
    case TS_DO_MERGE:
        open_adapters(r, id == TS_DO_MERGE);
        return true;
    default:
        return false;
    }
}

static bool runs_input(ts_screen *s, const ts_input *in) {
    struct runs *r = (struct runs *)s;
    bool above = in->y < r->list_rect.y + r->list_rect.h;
    if (in->kind == TS_IN_WHEEL) {
        r->pane = above ? RUNS_LIST : r->below;
        if (above) {
            ts_list_move(&r->list, in->delta > 0 ? 1 : -1);
            chose(r);
        } else {
            scroll_below(r, in->delta > 0 ? TS_DO_DOWN : TS_DO_UP);
        }
        return true;
    }
    if (in->kind != TS_IN_CLICK) return false;
    size_t at = r->list.top + (size_t)(in->y - r->list_rect.y - 1);
    if (above && in->y > r->list_rect.y && at < r->view.n) {
        r->list.cursor = at;
        chose(r);
        if (in->twice) show_details(r);
    }
    return true;
}

const ts_screen_ops ts_runs_ops = {
    .tab = "4 Runs",
    .key = TS_DO_SCREEN_RUNS,
    .create = runs_create,
    .free = runs_free,
    .shown = runs_shown,
    .place = runs_place,
    .draw = runs_draw,
    .status = runs_status,
    .command = runs_command,
    .why_not = runs_why_not,
    .input = runs_input,
    .tick = runs_tick,
};
