/* Browse: the list of examples, the one under the cursor beside it, and decisions by one key. */
#include "tui/browse.h"
#include "tui/dups.h"
#include "tui/row.h"

#include "core/base/json.h"
#include "dataset/score.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_VIEW = 1, KIND_COUNTS = 5 };

/* ---- counts ---- */

/* What the status row counts, and which columns there are. */
struct counts_job {
    ts_job job;
    struct browse *browse;
    ts_counts counts;
};

static void counts_run(ts_job *job) {
    struct counts_job *k = (struct counts_job *)job;
    job->status = ts_cancelled(&job->progress) ? TS_CANCELLED
                                               : ts_store_counts(k->browse->screen.app->scanner, &k->counts, &job->err);
}

static void counts_done(ts_job *job) {
    struct counts_job *k = (struct counts_job *)job;
    if (job->status == TS_OK) k->browse->counts = k->counts;
    free(k);
}

static void count(struct browse *b) {
    struct counts_job *k = ts_calloc(1, sizeof *k);
    k->job = (ts_job){.kind = KIND_COUNTS, .run = counts_run, .done = counts_done};
    k->browse = b;
    ts_queue_cancel(b->screen.app->jobs, KIND_COUNTS);
    ts_queue_push(b->screen.app->jobs, &k->job);
}

/* ---- the view ---- */

struct view_job {
    ts_job job;
    struct browse *browse;
    char *where, *sort;
    bool reverse;
    ts_view *view;
    int64_t keep;
};

static void view_run(ts_job *job) {
    struct view_job *v = (struct view_job *)job;
    ts_store *st = v->browse->screen.app->scanner;
    char *sort = ts_printf("%s%s", v->reverse ? "-" : "", v->sort);
    job->status = ts_view_new(&v->view, st, v->where, sort, &job->progress, NULL, &job->err);
    free(sort);
}

static void take_view(struct browse *b, struct view_job *v) {
    struct shared_view *old = b->view;
    b->view = ts_calloc(1, sizeof *b->view);
    *b->view = (struct shared_view){v->view, 1};
    v->view = NULL;
    free(b->filter);
    free(b->sort);
    b->filter = v->where;
    b->sort = v->sort;
    b->reverse = v->reverse;
    v->where = v->sort = NULL;
    size_t at = v->keep ? ts_view_find(b->view->view, v->keep) : browse_count(b);
    if (at < browse_count(b)) b->list.cursor = at;
    if (b->list.cursor >= browse_count(b)) b->list.cursor = browse_count(b) ? browse_count(b) - 1 : 0;
    b->range_from = -1;
    shared_view_drop(old);
}

static void view_done(ts_job *job) {
    struct view_job *v = (struct view_job *)job;
    struct browse *b = v->browse;
    if (job->status == TS_OK) {
        take_view(b, v);
        count(b); /* after the rows are there to be looked at */
    } else if (job->status != TS_CANCELLED)
        ts_app_say(b->screen.app, TS_R_ERROR, "%s", job->err.text);
    ts_view_free(v->view);
    free(v->where);
    free(v->sort);
    free(v);
}

static void build_view(struct browse *b, const char *where, const char *sort, bool reverse) {
    struct view_job *v = ts_calloc(1, sizeof *v);
    *v = (struct view_job){.job = {.title = "reading rows", .kind = KIND_VIEW, .run = view_run, .done = view_done},
                           .browse = b,
                           .where = ts_strdup(where),
                           .sort = ts_strdup(sort),
                           .reverse = reverse,
                           .keep = b->go_after ? b->go_after : browse_row(b)};
    b->go_after = 0;
    ts_queue_cancel(b->screen.app->jobs, KIND_VIEW);
    ts_queue_push(b->screen.app->jobs, &v->job);
}

static void rebuild(struct browse *b) {
    build_view(b, b->filter, b->sort, b->reverse);
}

void ts_browse_show(ts_app *app, const char *where, const char *sort, bool reverse, int64_t row) {
    struct browse *b = (struct browse *)app->screens[TS_SCREEN_BROWSE];
    b->list.cursor = 0;
    b->go_after = row;
    build_view(b, where, sort, reverse);
    ts_app_show(app, TS_SCREEN_BROWSE);
}

void ts_browse_go_after(ts_app *app, int64_t row) {
    ((struct browse *)app->screens[TS_SCREEN_BROWSE])->go_after = row;
}

static void filter_entered(ts_app *app, void *ctx, const char *text) {
    struct browse *b = ctx;
    (void)app;
    build_view(b, text, b->sort, b->reverse);
}

static void ask_filter(struct browse *b, const char *arg) {
    if (arg) {
        build_view(b, arg, b->sort, b->reverse);
        return;
    }
    ts_prompt_open(b->screen.app,
                   &(ts_prompt_options){.label = "show only:",
                                        .initial = b->filter,
                                        .hint = "words   status=new   tag:health   score<0.4   re:/pattern/   and or "
                                                "not ( )   empty: all",
                                        .done = filter_entered,
                                        .ctx = b});
}

static void order_chosen(ts_app *app, void *ctx, size_t index) {
    struct browse *b = ctx;
    (void)app;
    build_view(b, b->filter, ts_view_fields()[index], false);
}

static void ask_order(struct browse *b, const char *arg) {
    const char *const *fields = ts_view_fields();
    size_t n = 0, now = 0;
    for (; fields[n]; n++) {
        if (strcmp(fields[n], b->sort) == 0) now = n;
    }
    if (arg) { /* also the name of a rule of the user's own; a wrong one is answered by the search */
        build_view(b, b->filter, arg, false);
        return;
    }
    ts_menu_open(b->screen.app, "Order by", fields, n, now, order_chosen, b);
}

/* ---- marks ---- */

static void mark_range(struct browse *b) {
    if (b->range_from < 0) {
        b->range_from = (int64_t)b->list.cursor;
        ts_app_say(b->screen.app, TS_R_TEXT, "range begins here; move and press v again to mark it");
        return;
    }
    size_t from = TS_MIN((size_t)b->range_from, b->list.cursor), to = TS_MAX((size_t)b->range_from, b->list.cursor);
    for (size_t i = from; i <= to && i < browse_count(b); i++)
        ts_idset_put(&b->marks, ts_view_id(b->view->view, i), true);
    b->range_from = -1;
}

static void mark_all(struct browse *b) {
    size_t n = browse_count(b), marked = 0;
    for (size_t i = 0; i < n; i++)
        marked += ts_idset_has(&b->marks, ts_view_id(b->view->view, i));
    for (size_t i = 0; i < n; i++)
        ts_idset_put(&b->marks, ts_view_id(b->view->view, i), marked < n);
    if (b->marks.n == 0) ts_idset_clear(&b->marks);
}

void ts_browse_mark(ts_app *app, const int64_t *ids, size_t n) {
    struct browse *b = (struct browse *)app->screens[TS_SCREEN_BROWSE];
    char number[32];
    ts_idset_clear(&b->marks);
    for (size_t i = 0; i < n; i++)
        ts_idset_put(&b->marks, ids[i], true);
    ts_app_say(app, TS_R_OK, "%s rows are marked; Esc takes the marks away", ts_thousands((int64_t)n, number));
}

static void mark_one(struct browse *b) {
    int64_t id = browse_row(b);
    ts_idset_put(&b->marks, id, !ts_idset_has(&b->marks, id));
    ts_list_move(&b->list, 1);
}

/* ---- decisions ---- */

static ts_status run_status(ts_act *a, ts_store *st, ts_err *err) {
    return ts_rows_set_status(st, a->ids, a->n_ids, (ts_row_status)a->number, &a->done, err);
}

static ts_status run_rating(ts_act *a, ts_store *st, ts_err *err) {
    return ts_rows_set_rating(st, a->ids, a->n_ids, a->number, &a->done, err);
}

static ts_status run_tag(ts_act *a, ts_store *st, ts_err *err) {
    return ts_rows_tag(st, a->ids, a->n_ids, a->text, a->on, &a->done, err);
}

/* An act on the marked rows if there are any, else on the row under the cursor; then the cursor goes on. */
static void act_on_rows(struct browse *b, ts_act *a, bool go_on) {
    if (b->marks.n) {
        a->ids = ts_idset_list(&b->marks);
        a->n_ids = b->marks.n;
        ts_idset_clear(&b->marks);
    } else {
        a->ids = ts_malloc(sizeof *a->ids);
        a->ids[0] = b->record ? ts_record_id(b->record) : browse_row(b);
        a->n_ids = 1;
        if (go_on && !b->record) ts_list_move(&b->list, 1);
    }
    ts_act_push(a);
}

static void decide(struct browse *b, ts_row_status status) {
    ts_act *a = ts_act_new(b->screen.app, run_status);
    a->number = (int)status;
    act_on_rows(b, a, status != TS_NEW);
}

static void rated(ts_app *app, void *ctx, char key) {
    ts_act *a = ts_act_new(app, run_rating);
    a->number = key - '0';
    act_on_rows(ctx, a, true);
}

static void ask_rating(struct browse *b) {
    char line[80] = "rate: 1 to 5, 0 for none";
    const char *lines[] = {line, NULL};
    if (b->marks.n) snprintf(line, sizeof line, "rate %zu marked rows: 1 to 5, 0 for none", b->marks.n);
    ts_dialog_open(b->screen.app, NULL, lines, "012345", rated, b);
}

static void tag_entered(ts_app *app, void *ctx, const char *text) {
    if (!*text) return;
    ts_act *a = ts_act_new(app, run_tag);
    a->on = *text != '-';
    a->text = ts_strdup(a->on ? text + (*text == '+') : text + 1);
    act_on_rows(ctx, a, false);
}

static void ask_tag(struct browse *b, const char *arg) {
    char label[60] = "tag:";
    if (arg) {
        tag_entered(b->screen.app, b, arg);
        return;
    }
    if (b->marks.n) snprintf(label, sizeof label, "tag %zu marked rows:", b->marks.n);
    ts_prompt_open(b->screen.app, &(ts_prompt_options){.label = label,
                                                       .hint = "a word adds the tag   -word takes it away",
                                                       .done = tag_entered,
                                                       .ctx = b});
}

/* ---- scores ---- */

struct score_job {
    ts_job job;
    struct browse *browse;
    ts_score_report report;
};

static void score_run(ts_job *job) {
    struct score_job *s = (struct score_job *)job;
    job->status = ts_score_all(s->browse->screen.app->scanner, &job->progress, &s->report, &job->err);
}

static void score_done(ts_job *job) {
    struct score_job *s = (struct score_job *)job;
    ts_app *app = s->browse->screen.app;
    char n[32];
    if (job->status == TS_OK)
        ts_app_say(app, TS_R_OK, "scored %s rows, mean %.2f; o orders by score", ts_thousands(s->report.rows, n),
                   s->report.mean);
    else
        ts_app_say(app, job->status == TS_CANCELLED ? TS_R_WARN : TS_R_ERROR, "%s", job->err.text);
    if (job->status == TS_OK) ts_app_changed(app, false);
    free(s);
}

static void score(struct browse *b) {
    struct score_job *s = ts_calloc(1, sizeof *s);
    s->job = (ts_job){.title = "scoring", .run = score_run, .done = score_done};
    s->browse = b;
    ts_queue_push(b->screen.app->jobs, &s->job);
}

static void go_to_duplicates(struct browse *b) {
    ts_row row;
    if (ts_row_read(b->screen.app->reader, browse_row(b), &row, &b->screen.app->frame, NULL) == TS_OK && row.dup)
        ts_dups_screen_show(b->screen.app, row.dup);
    else
        ts_app_say(b->screen.app, TS_R_TEXT, "no duplicate of this row is known; 2 and then R searches for them");
}

/* ---- one example ---- */

static void leave_record(struct browse *b) {
    ts_record_free(b->record);
    b->record = NULL;
    b->screen.app->dirty = true;
}

static void lose_and_leave(ts_app *app, void *ctx, char key) {
    (void)app;
    (void)key;
    leave_record(ctx);
}

static void ask_to_leave(struct browse *b) {
    static const char *const lines[] = {"Typed text in this example is not saved.", "",
                                        "y  leave and lose it        n  stay (default)", NULL};
    if (ts_record_unsaved(b->record))
        ts_dialog_open(b->screen.app, "Leave?", lines, "y", lose_and_leave, b);
    else
        leave_record(b);
}

static void open_record(struct browse *b) {
    ts_record_free(b->record);
    b->record = ts_record_open(b->screen.app, browse_row(b));
}

/* ---- copies ---- */

static ts_status run_duplicate(ts_act *a, ts_store *st, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_row row;
    ts_status status = ts_row_read(st, a->id, &row, &arena, err);
    if (status == TS_OK) {
        ts_draft d = {row.instruction, row.input, row.output, row.system, row.messages, row.extra};
        status = ts_row_add(st, &d, &a->id, &a->done, err);
    }
    ts_arena_release(&arena);
    return status;
}

/* The copy is opened, and the list will stand on it. */
static void duplicated(ts_act *a) {
    struct browse *b = (struct browse *)a->app->screens[TS_SCREEN_BROWSE];
    b->go_after = a->id;
    if (b->record && ts_record_unsaved(b->record)) return;
    ts_record_free(b->record);
    b->record = ts_record_open(a->app, a->id);
}

static void duplicate_row(struct browse *b) {
    ts_act *a = ts_act_new(b->screen.app, run_duplicate);
    a->id = b->record ? ts_record_id(b->record) : browse_row(b);
    a->rows_change = true;
    a->after = duplicated;
    ts_act_push(a);
}

static void step_record(struct browse *b, int by) {
    if (ts_record_unsaved(b->record)) {
        ts_app_say(b->screen.app, TS_R_WARN, "this example has unsaved text: ^S saves, Esc leaves");
        return;
    }
    ts_list_move(&b->list, by);
    open_record(b);
}

static void copy_row(struct browse *b) {
    ts_app *app = b->screen.app;
    ts_row row;
    ts_err err;
    if (ts_row_read(app->reader, browse_row(b), &row, &app->frame, &err) != TS_OK) {
        ts_app_say(app, TS_R_ERROR, "%s", err.text);
        return;
    }
    ts_buf out = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&out);
    ts_jw_obj(&w);
    if (row.messages.s) {
        ts_jw_key(&w, "messages");
        ts_jw_raw(&w, row.messages.s, row.messages.n);
    } else {
        ts_jw_key(&w, "instruction");
        ts_jw_strn(&w, row.instruction.s ? row.instruction.s : "", row.instruction.n);
        ts_jw_key(&w, "input");
        ts_jw_strn(&w, row.input.s ? row.input.s : "", row.input.n);
        ts_jw_key(&w, "output");
        ts_jw_strn(&w, row.output.s ? row.output.s : "", row.output.n);
    }
    ts_jw_end_obj(&w);
    app->term->copy(app->term, out.data, out.len);
    ts_app_say(app, TS_R_OK, "copied row %lld as JSON", (long long)row.id);
    ts_buf_release(&out);
}

/* ---- the screen ---- */

static ts_screen *browse_create(ts_app *app) {
    struct browse *b = ts_calloc(1, sizeof *b);
    b->screen.app = app;
    b->filter = ts_strdup("");
    b->sort = ts_strdup("id");
    b->range_from = -1;
    browse_columns_read(b);
    return &b->screen;
}

static void browse_free(ts_screen *s) {
    struct browse *b = (struct browse *)s;
    ts_record_free(b->record);
    browse_find_clear(b);
    ts_idset_clear(&b->marks);
    shared_view_drop(b->view);
    free(b->filter);
    free(b->sort);
    free(b->write_path);
    free(b->purge_ids);
    free(b);
}

static void browse_shown(ts_screen *s) {
    struct browse *b = (struct browse *)s;
    if (!b->view) rebuild(b);
}

static unsigned browse_place(const ts_screen *s) {
    const struct browse *b = (const struct browse *)s;
    if (!b->record) return TS_IN_BROWSE;
    return ts_record_typing(b->record) ? TS_IN_TYPING : TS_IN_RECORD;
}

static const char *browse_why_not(ts_screen *s, ts_command_id id) {
    struct browse *b = (struct browse *)s;
    bool changes = ts_commands[id].group == TS_G_DECIDE || ts_commands[id].group == TS_G_EDIT;
    if ((id == TS_DO_HISTORY || id == TS_DO_LEARNT || id == TS_DO_GO_DUPS || id == TS_DO_OPEN) && !b->record &&
        browse_count(b) == 0)
        return "there is no row";
    bool needs_row = id != TS_DO_NEW_ROW && id != TS_DO_NEW_TALK && id != TS_DO_REJECTS && id != TS_DO_IMPORT &&
                     id != TS_DO_UNDO && id != TS_DO_REDO && id != TS_DO_SAVE;
    if (changes && id != TS_DO_COPY && id != TS_DO_WRITE && id != TS_DO_REJECTS && id != TS_DO_SELECT &&
        ts_store_read_only(s->app->reader))
        return "this workspace can only be read";
    if (changes && needs_row && !b->record && browse_count(b) == 0) return "there is no row; :import FILE reads some";
    if (b->record && ts_record_id(b->record) == 0 &&
        (ts_commands[id].group == TS_G_DECIDE || id == TS_DO_HISTORY || id == TS_DO_LEARNT || id == TS_DO_COPY_ROW ||
         id == TS_DO_NEXT || id == TS_DO_PREV))
        return "this example is not saved yet; ^S saves it";
    if (id == TS_DO_SNAPSHOT && ts_store_read_only(s->app->reader)) return "this workspace can only be read";
    if ((id == TS_DO_FIND_NEXT || id == TS_DO_FIND_PREV) && !b->pattern) return "nothing is searched for; / begins";
    if (id == TS_DO_SAVE && (!b->record || !ts_record_unsaved(b->record))) return "nothing to save";
    if (id == TS_DO_CANCEL && !ts_queue_busy(s->app->jobs)) return "nothing goes on that could be stopped";
    return NULL;
}

static void back_out(struct browse *b) {
    ts_app *app = b->screen.app;
    if (b->range_from >= 0)
        b->range_from = -1;
    else if (b->zoom)
        b->zoom = false;
    else if (b->pane != PANE_LIST)
        b->pane = PANE_LIST;
    else if (b->marks.n)
        ts_idset_clear(&b->marks);
    else if (b->pattern)
        browse_find_clear(b);
    else if (*b->filter)
        build_view(b, "", b->sort, b->reverse);
    else
        ts_app_say(app, TS_R_TEXT, "q quits");
}

static void go_to(struct browse *b, const char *arg) {
    int64_t id = 0;
    for (const char *c = arg ? arg : ""; *c; c++)
        if (*c >= '0' && *c <= '9' && id < INT64_MAX / 20) id = id * 10 + (*c - '0');
    size_t at = b->view ? ts_view_find(b->view->view, id) : 0;
    if (id && at < browse_count(b))
        b->list.cursor = at;
    else
        ts_app_say(b->screen.app, TS_R_WARN, "row %lld is not among those shown", (long long)id);
}

static bool scroll_detail(struct browse *b, ts_command_id id) {
    ts_list l = {.count = SIZE_MAX / 4, .cursor = b->scroll, .height = TS_MAX(b->detail_rect.h - 1, 1)};
    if (id == TS_DO_LAST) return b->scroll = SIZE_MAX / 8, true; /* drawing brings it into range */
    if (id == TS_DO_FIRST) return b->scroll = 0, true;
    if (!ts_list_command(&l, id)) return false;
    b->scroll = l.cursor;
    return true;
}

static bool record_command(struct browse *b, ts_command_id id) {
    if (ts_record_command(b->record, id)) return true;
    switch (id) {
    case TS_DO_NEXT:
        step_record(b, 1);
        return true;
    case TS_DO_PREV:
        step_record(b, -1);
        return true;
    case TS_DO_BACK:
    case TS_DO_BACK_OUT:
        ask_to_leave(b);
        return true;
    case TS_DO_RELOAD:
        ts_record_changed(b->record);
        return true;
    default:
        return false;
    }
}

/* Commands that mean the same with an example open. */
static bool row_command(struct browse *b, ts_command_id id, const char *arg) {
    switch (id) {
    case TS_DO_ACCEPT:
        decide(b, TS_ACCEPTED);
        return true;
    case TS_DO_REJECT:
        decide(b, TS_REJECTED);
        return true;
    case TS_DO_LATER:
        decide(b, TS_LATER);
        return true;
    case TS_DO_RENEW:
        decide(b, TS_NEW);
        return true;
    case TS_DO_RATE:
        ask_rating(b);
        return true;
    case TS_DO_TAG:
        ask_tag(b, arg);
        return true;
    case TS_DO_HISTORY:
        ts_history_open(b->screen.app, b->record ? ts_record_id(b->record) : browse_row(b));
        return true;
    case TS_DO_LEARNT:
        ts_learnt_open(b->screen.app, b->record ? ts_record_id(b->record) : browse_row(b));
        return true;
    case TS_DO_DISMISS:
        ts_dismiss_open(b->screen.app, b->record ? ts_record_id(b->record) : browse_row(b), NULL);
        return true;
    case TS_DO_COPY_ROW:
        duplicate_row(b);
        return true;
    default:
        return false;
    }
}

static bool look_command(struct browse *b, ts_command_id id, const char *arg) {
    switch (id) {
    case TS_DO_FIND:
        browse_find(b);
        return true;
    case TS_DO_FIND_NEXT:
    case TS_DO_FIND_PREV:
        browse_find_next(b, id == TS_DO_FIND_NEXT ? 1 : -1);
        return true;
    case TS_DO_FILTER:
        ask_filter(b, arg);
        return true;
    case TS_DO_ORDER:
        ask_order(b, arg);
        return true;
    case TS_DO_ORDER_REVERSE:
        build_view(b, b->filter, b->sort, !b->reverse);
        return true;
    case TS_DO_RELOAD:
        rebuild(b);
        return true;
    case TS_DO_GO_TO:
        go_to(b, arg);
        return true;
    case TS_DO_COLUMNS:
        browse_choose_columns(b, arg);
        return true;
    case TS_DO_ZOOM:
        b->zoom = !b->zoom;
        return true;
    case TS_DO_PANE_NEXT:
    case TS_DO_PANE_PREV:
        b->pane = b->pane == PANE_LIST ? PANE_DETAIL : PANE_LIST;
        return true;
    case TS_DO_BACK_OUT:
        back_out(b);
        return true;
    case TS_DO_CANCEL:
        ts_queue_cancel(b->screen.app->jobs, 0);
        return true;
    default:
        return false;
    }
}

/* Commands about the whole data set. */
static bool set_command(struct browse *b, ts_command_id id, const char *arg) {
    ts_app *app = b->screen.app;
    switch (id) {
    case TS_DO_IMPORT:
        ts_import_open(app, arg);
        return true;
    case TS_DO_REJECTS:
        ts_rejects_open(app);
        return true;
    case TS_DO_PURGE:
        browse_purge(b);
        return true;
    case TS_DO_SNAPSHOT:
        ts_snapshot_make(app, b, arg);
        return true;
    case TS_DO_SNAPSHOTS:
        ts_snapshots_open(app);
        return true;
    case TS_DO_SELECT:
        ts_select_open(app, b->filter);
        return true;
    case TS_DO_SUMMARY:
        ts_summary_open(app, arg);
        return true;
    default:
        return false;
    }
}

static bool list_command(struct browse *b, ts_command_id id, const char *arg) {
    ts_app *app = b->screen.app;
    switch (id) {
    case TS_DO_MARK:
        mark_one(b);
        return true;
    case TS_DO_MARK_RANGE:
        mark_range(b);
        return true;
    case TS_DO_MARK_ALL:
        mark_all(b);
        return true;
    case TS_DO_COPY:
        copy_row(b);
        return true;
    case TS_DO_OPEN:
    case TS_DO_EDIT:
        open_record(b);
        if (b->record && id == TS_DO_EDIT) ts_record_begin(b->record);
        return true;
    case TS_DO_EDIT_OUTSIDE:
        open_record(b);
        if (b->record) ts_record_outside(b->record);
        return true;
    case TS_DO_GO_DUPS:
        go_to_duplicates(b);
        return true;
    case TS_DO_SCORE:
        score(b);
        return true;
    case TS_DO_NEW_ROW:
        b->record = ts_record_new_row(app);
        ts_record_begin(b->record);
        return true;
    case TS_DO_NEW_TALK:
        b->record = ts_record_new_talk(app);
        ts_record_begin(b->record);
        return true;
    case TS_DO_WRITE:
        browse_write(b, arg);
        return true;
    case TS_DO_TRAIN:
        ts_train_form_open(app, b->filter, NULL);
        return true;
    default:
        return false;
    }
}

static bool browse_command(ts_screen *s, ts_command_id id, const char *arg) {
    struct browse *b = (struct browse *)s;
    if (b->record && record_command(b, id)) return true;
    if (row_command(b, id, arg)) return true;
    if (b->record) return false;
    if (b->pane == PANE_DETAIL && scroll_detail(b, id)) return true;
    return ts_list_command(&b->list, id) || look_command(b, id, arg) || set_command(b, id, arg) ||
           list_command(b, id, arg);
}

static bool inside(ts_rect r, int x, int y) {
    return x >= r.x && y >= r.y && x < r.x + r.w && y < r.y + r.h;
}

static bool browse_input(ts_screen *s, const ts_input *in) {
    struct browse *b = (struct browse *)s;
    if (b->record) return ts_record_input(b->record, in);
    bool detail = inside(b->detail_rect, in->x, in->y);
    if (in->kind == TS_IN_WHEEL && detail) {
        if (in->delta > 0 || b->scroll >= (size_t)-in->delta)
            b->scroll += (size_t)in->delta;
        else
            b->scroll = 0;
        return true;
    }
    if (in->kind == TS_IN_WHEEL) {
        ts_list_scroll(&b->list, in->delta);
        return true;
    }
    if (in->kind != TS_IN_CLICK) return false;
    size_t at = b->list.top + (size_t)(in->y - b->list_rect.y - 1);
    b->pane = detail ? PANE_DETAIL : PANE_LIST;
    if (!detail && in->y > b->list_rect.y && at < browse_count(b)) {
        b->list.cursor = at;
        if (in->twice) open_record(b);
    }
    return true;
}

static void browse_changed(ts_screen *s, bool rows) {
    struct browse *b = (struct browse *)s;
    if (b->record) ts_record_changed(b->record);
    if (rows && b->view)
        rebuild(b);
    else if (b->view)
        count(b);
}

static bool browse_unsaved(const ts_screen *s) {
    const struct browse *b = (const struct browse *)s;
    return b->record && ts_record_unsaved(b->record);
}

const ts_screen_ops ts_browse_ops = {
    .tab = "1 Browse",
    .key = TS_DO_SCREEN_BROWSE,
    .create = browse_create,
    .free = browse_free,
    .shown = browse_shown,
    .place = browse_place,
    .draw = browse_draw,
    .status = browse_status,
    .command = browse_command,
    .why_not = browse_why_not,
    .input = browse_input,
    .changed = browse_changed,
    .unsaved = browse_unsaved,
};
