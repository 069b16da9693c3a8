#include "tui/app.h"

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/text/cells.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const ts_screen_ops *const screen_table[TS_SCREENS] = {
    [TS_SCREEN_BROWSE] = &ts_browse_ops, [TS_SCREEN_DUPS] = &ts_dups_ops,       [TS_SCREEN_SCORES] = &ts_scores_ops,
    [TS_SCREEN_RUNS] = &ts_runs_ops,     [TS_SCREEN_COMPARE] = &ts_compare_ops,
};

/* ---- messages ---- */

void ts_app_say(ts_app *app, ts_role role, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(app->message, sizeof app->message, fmt, ap);
    va_end(ap);
    app->message_role = role;
    app->dirty = true;
    if (!*app->message) return;
    if (app->n_log == 200) {
        free(app->log[0]);
        memmove(app->log, app->log + 1, --app->n_log * sizeof *app->log);
    }
    TS_PUSH(app->log, app->n_log, app->cap_log, ts_strdup(app->message));
}

struct ts_history *ts_app_history(ts_app *app, const char *label) {
    for (size_t i = 0; i < app->n_histories; i++)
        if (strcmp(app->histories[i].label, label) == 0) return &app->histories[i];
    TS_PUSH(app->histories, app->n_histories, app->cap_histories, (struct ts_history){.label = ts_strdup(label)});
    return &app->histories[app->n_histories - 1];
}

void ts_history_add(struct ts_history *h, const char *text) {
    if (!*text || (h->n && strcmp(h->items[h->n - 1], text) == 0)) return;
    TS_PUSH(h->items, h->n, h->cap, ts_strdup(text));
}

/* ---- life ---- */

static ts_status open_stores(ts_app *app, ts_err *err) {
    TS_TRY(ts_store_open(&app->reader, app->folder, "screen", err));
    TS_TRY(ts_store_open(&app->scanner, app->folder, "screen", err));
    TS_TRY(ts_store_open(&app->writer, app->folder, "screen", err));
    app->version = ts_store_version(app->reader);
    return TS_OK;
}

static ts_status open_queues(ts_app *app, ts_err *err) {
    TS_TRY(ts_wake_open(&app->wake, err));
    TS_TRY(ts_queue_new(&app->jobs, &app->wake, err));
    TS_TRY(ts_queue_new(&app->acts, &app->wake, err));
    TS_TRY(ts_queue_new(&app->watch, &app->wake, err));
    TS_TRY(ts_queue_new(&app->counts, &app->wake, err));
    return ts_queue_new(&app->models, &app->wake, err);
}

ts_status ts_app_new(ts_app **out, const char *folder, ts_term *term, ts_err *err) {
    ts_app *app = ts_calloc(1, sizeof *app);
    int w, h;
    *out = NULL;
    app->term = term;
    app->wake = (ts_wake){-1, -1};
    app->folder = ts_strdup(folder);
    app->mouse = app->count_wanted = true;
    ts_status status = open_stores(app, err);
    if (status == TS_OK) status = open_queues(app, err);
    if (status != TS_OK) {
        ts_app_free(app);
        return status;
    }
    term->size(term, &w, &h);
    app->canvas.ascii = term->ascii;
    ts_canvas_resize(&app->canvas, w, h);
    for (int i = 0; i < TS_SCREENS; i++) {
        app->screens[i] = screen_table[i]->create(app);
        app->screens[i]->ops = screen_table[i];
        app->screens[i]->app = app;
    }
    if (ts_store_read_only(app->reader))
        ts_app_say(app, TS_R_WARN, "this workspace can only be read: nothing you change can be saved");
    ts_app_show(app, TS_SCREEN_BROWSE);
    *out = app;
    return TS_OK;
}

static void pop_closed(ts_app *app, bool all) {
    for (ts_layer **at = &app->layers; *at;) {
        ts_layer *l = *at;
        if (!l->closed && !all) {
            at = &l->below;
            continue;
        }
        *at = l->below;
        l->ops->free(l);
    }
}

void ts_app_free(ts_app *app) {
    if (!app) return;
    ts_queue *const queues[] = {app->models, app->watch, app->jobs, app->counts, app->acts};
    for (size_t i = 0; i < TS_COUNT(queues);
         i++) /* what finishes may push to another queue, layers cancel their jobs */
        ts_queue_stop(queues[i]);
    pop_closed(app, true);
    for (size_t i = 0; i < TS_COUNT(queues); i++)
        ts_queue_free(queues[i]);
    pop_closed(app, true);
    for (int i = 0; i < TS_SCREENS; i++)
        if (app->screens[i]) screen_table[i]->free(app->screens[i]);
    ts_store_close(app->reader);
    ts_store_close(app->scanner);
    ts_store_close(app->writer);
    ts_wake_close(&app->wake);
    for (size_t i = 0; i < app->n_histories; i++) {
        for (size_t k = 0; k < app->histories[i].n; k++)
            free(app->histories[i].items[k]);
        free(app->histories[i].items);
        free(app->histories[i].label);
    }
    free(app->histories);
    for (size_t i = 0; i < app->n_log; i++)
        free(app->log[i]);
    free(app->log);
    ts_canvas_release(&app->canvas);
    ts_arena_release(&app->frame);
    app->term->free(app->term);
    free(app->folder);
    free(app);
}

ts_screen *ts_app_screen(const ts_app *app) {
    return app->screens[app->current];
}

unsigned ts_app_place(const ts_app *app) {
    ts_screen *s = ts_app_screen(app);
    return s->ops->place(s);
}

const char *ts_app_tab(const ts_app *app, ts_screen_id id) {
    const char *tab = screen_table[id]->tab;
    unsigned place = ts_app_place(app);
    bool typing = (place & TS_IN_LISTS) == 0; /* the digits come back when it ends */
    return typing || *ts_command_keys(screen_table[id]->key, place) ? tab : strchr(tab, ' ') + 1;
}

void ts_app_show(ts_app *app, ts_screen_id id) {
    app->current = id;
    app->dirty = true;
    ts_screen *s = ts_app_screen(app);
    if (s->ops->shown) s->ops->shown(s);
}

void ts_app_changed(ts_app *app, bool rows) {
    app->dirty = true;
    app->count_wanted |= rows;
    for (int i = 0; i < TS_SCREENS; i++)
        if (app->screens[i]->ops->changed) app->screens[i]->ops->changed(app->screens[i], rows);
}

void ts_layer_push(ts_app *app, ts_layer *l) {
    l->app = app;
    l->below = app->layers;
    app->layers = l;
    app->dirty = true;
}

/* ---- acts ---- */

static void act_run(ts_job *job) {
    ts_act *a = (ts_act *)job;
    job->status = a->run(a, a->app->writer, &job->err);
}

void ts_act_done(ts_job *job) {
    ts_act *a = (ts_act *)job;
    ts_app *app = a->app;
    if (job->status != TS_OK && job->status != TS_CANCELLED)
        ts_app_say(app, TS_R_ERROR, "%s", job->err.text);
    else if (job->status == TS_OK && a->done.text[0])
        ts_app_say(app, TS_R_OK, "%s%s", a->done.text, a->done.step ? "  (u takes it back)" : "");
    if (job->status == TS_OK) {
        if (a->after) a->after(a);
        ts_app_changed(app, a->rows_change);
        app->version = ts_store_version(app->reader);
    }
    free(a->ids);
    free(a->text);
    free(a);
}

ts_act *ts_act_new(ts_app *app, ts_status (*run)(ts_act *a, ts_store *st, ts_err *err)) {
    ts_act *a = ts_calloc(1, sizeof *a);
    *a = (ts_act){.job = {.run = act_run, .done = ts_act_done}, .app = app, .run = run};
    return a;
}

void ts_act_push(ts_act *a) {
    ts_queue_push(a->app->acts, &a->job);
}

static ts_status run_undo(ts_act *a, ts_store *st, ts_err *err) {
    ts_status status = a->on ? ts_undo(st, 0, &a->done, err) : ts_redo(st, &a->done, err);
    a->done.step = 0; /* the message is about taking back already */
    return status;
}

static void undo_or_redo(ts_app *app, bool undo) {
    ts_act *a = ts_act_new(app, run_undo);
    a->on = undo;
    a->rows_change = true;
    ts_act_push(a);
}

/* ---- commands ---- */

const char *ts_app_why_not(ts_app *app, ts_command_id id) {
    ts_screen *s = ts_app_screen(app);
    if (!(ts_commands[id].places & s->ops->place(s))) return "not on this screen";
    return s->ops->why_not ? s->ops->why_not(s, id) : NULL;
}

static void really_quit(ts_app *app, void *ctx, char key) {
    (void)ctx;
    (void)key;
    app->quit = true;
}

static void quit(ts_app *app) {
    static const char *const lines[] = {"There is typed text that is not saved.", "",
                                        "y  quit and lose it        n  stay (default)", NULL};
    for (int i = 0; i < TS_SCREENS; i++)
        if (app->screens[i]->ops->unsaved && app->screens[i]->ops->unsaved(app->screens[i])) {
            ts_dialog_open(app, "Quit?", lines, "y", really_quit, NULL);
            return;
        }
    app->quit = true;
}

static void interrupt(ts_app *app) {
    double now = ts_now();
    bool again = now - app->interrupted < 1;
    app->interrupted = now;
    if (again) {
        quit(app);
        return;
    }
    if (ts_queue_busy(app->jobs)) {
        ts_queue_cancel(app->jobs, 0);
        ts_app_say(app, TS_R_TEXT, "stopping what goes on in the background");
    } else {
        ts_app_say(app, TS_R_TEXT, "q quits");
    }
}

static void show_messages(ts_app *app) {
    ts_buf b = TS_BUF_INIT;
    for (size_t i = app->n_log; i > 0; i--)
        ts_buf_printf(&b, "%s\n", app->log[i - 1]);
    ts_pager_open(app, "Messages, newest first", b.len ? b.data : "none yet");
    ts_buf_release(&b);
}

static void list_jobs(ts_buf *b, const ts_queue *q, const char *name) {
    for (const ts_job *j = ts_queue_jobs(q); j; j = j->next_alive) {
        char since[32];
        int64_t done = atomic_load(&j->progress.done), total = atomic_load(&j->progress.total);
        ts_format_duration(ts_now() - j->begun, since);
        ts_buf_printf(b, "%-8s %-24s", name, j->title ? j->title : "a short act");
        if (total > 0) ts_buf_printf(b, " %3d%%", (int)(100 * done / total));
        ts_buf_printf(b, "  for %s\n", since);
    }
}

static void show_jobs(ts_app *app) {
    ts_buf b = TS_BUF_INIT;
    list_jobs(&b, app->jobs, "reading");
    list_jobs(&b, app->acts, "writing");
    list_jobs(&b, app->models, "model");
    list_jobs(&b, app->counts, "counting");
    if (app->run_line[0])
        ts_buf_printf(&b, "training %s (a process of its own; it goes on when you quit)\n", app->run_line);
    ts_pager_open(app, "In the background", b.len ? b.data : "nothing");
    ts_buf_release(&b);
}

static bool app_command(ts_app *app, ts_command_id id, const char *arg) {
    switch (id) {
    case TS_DO_UNDO:
    case TS_DO_REDO:
        undo_or_redo(app, id == TS_DO_UNDO);
        return true;
    case TS_DO_SCREEN_BROWSE:
    case TS_DO_SCREEN_DUPS:
    case TS_DO_SCREEN_SCORES:
    case TS_DO_SCREEN_RUNS:
    case TS_DO_SCREEN_COMPARE:
        for (int i = 0; i < TS_SCREENS; i++)
            if (screen_table[i]->key == id) ts_app_show(app, (ts_screen_id)i);
        return true;
    case TS_DO_SCREEN_NEXT:
    case TS_DO_SCREEN_PREV:
        ts_app_show(app, (app->current + (id == TS_DO_SCREEN_NEXT ? 1 : TS_SCREENS - 1)) % TS_SCREENS);
        return true;
    case TS_DO_PALETTE:
        ts_palette_open(app);
        return true;
    case TS_DO_HELP:
        ts_help_open(app);
        return true;
    case TS_DO_JOBS:
        show_jobs(app);
        return true;
    case TS_DO_REPORT:
        ts_report_open(app, arg);
        return true;
    case TS_DO_ADVISE:
        ts_advise_open(app);
        return true;
    case TS_DO_MESSAGES:
        show_messages(app);
        return true;
    case TS_DO_MOUSE:
        app->mouse = !app->mouse;
        app->term->mouse(app->term, app->mouse);
        ts_app_say(app, TS_R_TEXT, app->mouse ? "the mouse works here" : "the mouse is left to the terminal");
        return true;
    case TS_DO_BACK:
    case TS_DO_QUIT:
        quit(app);
        return true;
    case TS_DO_BACK_OUT:
        ts_app_say(app, TS_R_TEXT, "q quits");
        return true;
    case TS_DO_INTERRUPT:
        interrupt(app);
        return true;
    case TS_DO_SUSPEND:
        app->suspend = true;
        return true;
    case TS_DO_REPAINT:
        app->term->repaint(app->term);
        return true;
    default:
        return false;
    }
}

void ts_app_command(ts_app *app, ts_command_id id, const char *arg) {
    ts_screen *s = ts_app_screen(app);
    const char *why = ts_app_why_not(app, id);
    app->dirty = true;
    if (why)
        ts_app_say(app, TS_R_WARN, "%s: %s", ts_commands[id].name, why);
    else if (!s->ops->command(s, id, arg) && !app_command(app, id, arg))
        ts_app_say(app, TS_R_WARN, "%s: nothing to do here", ts_commands[id].name);
}

/* ---- events ---- */

static bool click_on_frame(ts_app *app, const ts_input *in) {
    int x = 0;
    if (in->kind != TS_IN_CLICK || in->y != 0) return false;
    for (int i = 0; i < TS_SCREENS; i++) {
        int w = (int)strlen(ts_app_tab(app, (ts_screen_id)i)) + 2;
        if (in->x >= x && in->x < x + w) {
            ts_app_command(app, screen_table[i]->key, NULL);
            return true;
        }
        x += w;
    }
    return true;
}

static void take_key(ts_app *app, uint32_t key) {
    ts_screen *s = ts_app_screen(app);
    ts_command_id id = ts_command_for_key(s->ops->place(s), key);
    if (id != TS_COMMAND_COUNT) {
        char name[16];
        ts_key_name(key, name);
        app->message[0] = 0;
        ts_app_command(app, id, ts_key_is_span(ts_commands[id].keys, strlen(ts_commands[id].keys)) ? name : NULL);
    } else if (key & TS_KEY_ALT) { /* an Alt key that means nothing is Esc and a key */
        take_key(app, TS_KEY_ESC);
        take_key(app, key & (TS_KEY_ALT - 1));
    } else {
        char name[16];
        ts_key_name(key, name);
        ts_app_say(app, TS_R_DIM, "%s means nothing here; ? shows the keys", name);
    }
}

/* An Alt key that somebody knows; any other is Esc and a key typed fast. */
static bool alt_is_known(uint32_t key) {
    uint32_t plain = key & (TS_KEY_ALT - 1);
    return plain == 'b' || plain == 'f' || ts_command_for_key(TS_IN_TYPING, key) != TS_COMMAND_COUNT;
}

static void take_input(ts_app *app, const ts_input *in) {
    ts_screen *s = ts_app_screen(app);
    if (in->kind == TS_IN_KEY && (in->key & TS_KEY_ALT) && !alt_is_known(in->key)) {
        ts_input parts[2] = {{.kind = TS_IN_KEY, .key = TS_KEY_ESC},
                             {.kind = TS_IN_KEY, .key = in->key & (TS_KEY_ALT - 1)}};
        take_input(app, &parts[0]);
        pop_closed(app, false);
        take_input(app, &parts[1]);
        return;
    }
    app->dirty = true;
    if (in->kind == TS_IN_RESIZE) {
        int w, h;
        app->term->size(app->term, &w, &h);
        ts_canvas_resize(&app->canvas, w, h);
        return;
    }
    if (in->kind == TS_IN_KEY && in->key == TS_CTRL('Z')) {
        app->suspend = true;
        return;
    }
    if (in->kind == TS_IN_KEY && in->key == TS_CTRL('L')) {
        app->term->repaint(app->term);
        return;
    }
    if (app->canvas.w < TS_MIN_WIDTH || app->canvas.h < TS_MIN_HEIGHT) {
        if (in->kind == TS_IN_KEY && (in->key == 'q' || in->key == 'Q')) quit(app);
        return;
    }
    if (app->layers) {
        if (app->layers->ops->input(app->layers, in)) return;
        if (app->layers->closed) return;
    }
    if (click_on_frame(app, in) || (s->ops->input && s->ops->input(s, in))) return;
    if (in->kind == TS_IN_PASTE)
        ts_app_say(app, TS_R_WARN, "pasted text ignored; press e first to paste into a field");
    else if (in->kind == TS_IN_KEY)
        take_key(app, in->key);
}

static size_t drain(ts_app *app) {
    return ts_queue_drain(app->acts) + ts_queue_drain(app->jobs) + ts_queue_drain(app->watch) +
           ts_queue_drain(app->models) + ts_queue_drain(app->counts);
}

bool ts_app_idle(const ts_app *app) {
    return !ts_queue_busy(app->jobs) && !ts_queue_busy(app->acts) && !ts_queue_busy(app->watch) &&
           !ts_queue_busy(app->models) && !ts_queue_busy(app->counts);
}

/* Somebody else may have changed the data set; one row by key tells. */
static void look_at_version(ts_app *app, double now) {
    if (now < app->next_version) return;
    app->next_version = now + 1;
    int64_t version = ts_store_version(app->reader);
    if (version == app->version || ts_queue_busy(app->acts)) return;
    app->version = version;
    ts_app_changed(app, true);
}

static void tick(ts_app *app, double now) {
    if (now < app->next_tick) return;
    bool every = app->ticks++ % 10 == 0;
    app->next_tick = now + 0.1;
    for (int i = 0; i < TS_SCREENS; i++) {
        ts_screen *s = app->screens[i];
        bool visible = i == (int)app->current;
        if (s->ops->tick && (visible || every)) s->ops->tick(s, now, visible);
    }
    for (ts_layer *l = app->layers; l; l = l->below)
        if (l->ops->tick) l->ops->tick(l, now);
    const ts_queue *const shown[] = {app->jobs, app->models, app->counts}; /* their progress stands in the first row */
    for (size_t i = 0; i < TS_COUNT(shown); i++)
        for (const ts_job *j = ts_queue_jobs(shown[i]); j; j = j->next_alive)
            if (j->title && now - j->begun > 0.3) app->dirty = true;
}

void ts_app_draw(ts_app *app);

double ts_app_step(ts_app *app) {
    ts_input in;
    double now = ts_now();
    if (drain(app)) app->dirty = true;
    pop_closed(app, false);
    while (!app->quit && !app->suspend && app->term->read(app->term, &in)) {
        take_input(app, &in);
        pop_closed(app, false);
    }
    look_at_version(app, now);
    ts_counting_step(app);
    tick(app, now);
    if (app->dirty && !app->suspend) {
        app->dirty = false;
        ts_app_draw(app);
    }
    return TS_MAX(0.0, TS_MIN(app->next_tick, app->next_version) - ts_now());
}

bool ts_app_settle(ts_app *app, double seconds) {
    double end = ts_now() + seconds;
    do {
        ts_app_step(app);
        if (ts_app_idle(app)) {
            app->dirty = true;
            ts_app_step(app);
            if (ts_app_idle(app)) return true;
        }
        usleep(500);
    } while (ts_now() < end);
    return false;
}

/* ---- programs in front of us ---- */

ts_status ts_app_editor(ts_app *app, const char *path, ts_err *err) {
    const char *visual = getenv("VISUAL"), *editor = getenv("EDITOR");
    const char *program = visual && *visual ? visual : editor && *editor ? editor : "vi";
    int status = 0;
    app->term->leave(app->term);
    char *command = ts_printf("%s \"$1\"", program);
    char sh[] = "sh", dash_c[] = "-c";
    char *file = ts_strdup(path), *argv[] = {sh, dash_c, command, sh, file, NULL};
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTSTP, SIG_DFL);
        signal(SIGPIPE, SIG_DFL);
        execv("/bin/sh", argv);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    app->term->enter(app->term);
    app->dirty = true;
    free(command);
    free(file);
    if (pid < 0) return ts_fail_errno(err, "cannot start the editor %s", program);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return ts_fail(err, TS_IO, "the editor %s ended with an error (%d); nothing was changed", program,
                       WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return TS_OK;
}
