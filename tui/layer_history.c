/* The history of one example: what was done to it, newest first, the words that changed, and any text put back. */
#include "core/base/clock.h"
#include "dataset/history.h"
#include "tui/change.h"
#include "tui/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct history {
    ts_layer layer;
    int64_t row;
    ts_arena arena; /* of the steps */
    ts_step *steps;
    size_t n, scroll;
    ts_list list;
};

/* ---- putting back ---- */

struct restore {
    ts_act act; /* first; text: the value to put back, on: there is one */
    char *field;
};

static ts_status restore_mark(const struct restore *r, ts_store *st, ts_done *done, ts_err *err) {
    const ts_act *a = &r->act;
    const char *value = a->on ? a->text : "";
    ts_row_status status;
    if (strcmp(r->field, "status") == 0 && ts_row_status_of(value, strlen(value), &status))
        return ts_rows_set_status(st, &a->id, 1, status, done, err);
    if (strcmp(r->field, "rating") == 0)
        return ts_rows_set_rating(st, &a->id, 1, (int)strtol(value, NULL, 10), done, err);
    return ts_fail(err, TS_INVALID, "%s cannot be put back from here", r->field);
}

static ts_status run_restore(ts_act *a, ts_store *st, ts_err *err) {
    struct restore *r = (struct restore *)a;
    ts_edit edit = {.text = {a->on ? a->text : NULL, a->on ? strlen(a->text) : 0}};
    ts_status status;
    if (strcmp(r->field, "tag") == 0)
        status = ts_rows_tag(st, &a->id, 1, a->text, a->on, &a->done, err);
    else if (ts_field_of(r->field, strlen(r->field), &edit.field))
        status = ts_row_edit(st, a->id, -1, &edit, 1, &a->done, err);
    else
        status = restore_mark(r, st, &a->done, err);
    if (status == TS_OK && !a->done.step)
        snprintf(a->done.text, sizeof a->done.text, "that is how %.40s is now", r->field);
    return status;
}

static void restore_done(ts_job *job) {
    free(((struct restore *)job)->field);
    ts_act_done(job);
}

static void restore(const struct history *h) {
    const ts_step *s = &h->steps[h->list.cursor];
    bool tag = s->field && strcmp(s->field, "tag") == 0;
    ts_app *app = h->layer.app;
    if (!s->field || (!s->before && !tag && strcmp(s->field, "system") != 0 && strcmp(s->field, "rating") != 0)) {
        ts_app_say(app, TS_R_WARN, "there was nothing before this that could be put back");
        return;
    }
    if (ts_store_read_only(app->reader)) {
        ts_app_say(app, TS_R_WARN, "this workspace can only be read");
        return;
    }
    ts_act *plain = ts_act_new(app, run_restore);
    struct restore *r = ts_calloc(1, sizeof *r);
    r->act = *plain;
    free(plain);
    r->act.job.done = restore_done;
    r->act.id = h->row;
    r->act.on = s->before != NULL;
    r->act.text = ts_strdup(s->before ? s->before : s->after ? s->after : "");
    r->field = ts_strdup(s->field);
    ts_act_push(&r->act);
}

/* ---- drawing ---- */

static void draw_steps(struct history *h, ts_canvas *c, ts_rect r) {
    for (int i = 0; i < r.h && h->list.top + (size_t)i < h->n; i++) {
        const ts_step *s = &h->steps[h->list.top + (size_t)i];
        char at[32];
        bool here = h->list.top + (size_t)i == h->list.cursor;
        ts_role role = s->state == TS_STEP_DONE ? TS_R_TEXT : TS_R_DIM;
        ts_wall_iso(s->at_ms, at);
        ts_put(c, r.x, r.y + i, 1, TS_R_KEY, here ? ">" : " ");
        ts_putf(c, r.x + 2, r.y + i, 17, TS_R_DIM, "%.10s %.5s", at, at + 11);
        ts_put(c, r.x + 20, r.y + i, 7, TS_R_DIM, s->who ? s->who : "?");
        ts_put(c, r.x + 28, r.y + i, 12, role, s->field ? s->field : "");
        ts_putf(c, r.x + 41, r.y + i, r.w - 41, role, "%s%s", s->state == TS_STEP_DONE ? "" : "(undone) ",
                s->label ? s->label : "?");
        if (here) ts_select(c, r.x, r.y + i, r.w);
    }
}

static ts_text readable(const ts_step *s, const char *value, ts_arena *arena) {
    if (!value) return (ts_text){NULL, 0};
    if (s->field && strcmp(s->field, "messages") == 0) return ts_row_talk(value, strlen(value), arena);
    return (ts_text){value, strlen(value)};
}

static void draw_change(struct history *h, ts_canvas *c, ts_rect r) {
    const ts_step *s = &h->steps[h->list.cursor];
    ts_arena *frame = &h->layer.app->frame;
    ts_doc d = ts_doc_new(frame, r.w);
    ts_text before = readable(s, s->before, frame), after = readable(s, s->after, frame);
    if (s->before || s->after) {
        ts_change_put(h->layer.app, &d, before, after);
    } else {
        ts_doc_line_put(&d, 0, TS_R_DIM, "no text was changed");
    }
    bool more = ts_doc_draw(&d, c, r, &h->scroll);
    if (more) ts_put_right(c, r.x, r.y + r.h, r.w, TS_R_DIM, " PgDn: more ");
    ts_doc_release(&d);
}

static void history_draw(ts_layer *l, ts_canvas *c) {
    struct history *h = (struct history *)l;
    char title[64], id[32];
    ts_rect r = {0, 1, c->w, c->h - 2};
    int rows = (int)TS_MIN(h->n, (size_t)TS_MAX(3, (r.h - 3) / 3));
    snprintf(title, sizeof title, "History of row #%s, newest first", ts_thousands(h->row, id));
    ts_box(c, r, title);
    ts_list_fit(&h->list, h->n, rows);
    draw_steps(h, c, (ts_rect){r.x + 2, r.y + 1, r.w - 4, rows});
    ts_hline(c, r.x + 1, r.y + 1 + rows, r.w - 2);
    int x = c->cursor_x, y = c->cursor_y;
    draw_change(h, c, (ts_rect){r.x + 2, r.y + 2 + rows, r.w - 4, r.h - rows - 3});
    ts_put(c, r.x + 3, r.y + r.h - 1, r.w - 20, TS_R_DIM, " j k step   Enter puts back what was before   Esc closes ");
    ts_cursor(c, x, y);
}

static bool history_input(ts_layer *l, const ts_input *in) {
    struct history *h = (struct history *)l;
    if (in->kind == TS_IN_WHEEL) h->scroll = in->delta > 0 ? h->scroll + 3 : h->scroll > 3 ? h->scroll - 3 : 0;
    if (in->kind != TS_IN_KEY) return true;
    ts_command_id id = ts_command_for_key(TS_IN_BROWSE, in->key);
    if (id == TS_DO_PAGE_DOWN || id == TS_DO_PAGE_UP) {
        h->scroll = id == TS_DO_PAGE_DOWN ? h->scroll + 5 : h->scroll > 5 ? h->scroll - 5 : 0;
    } else if (ts_list_command(&h->list, id)) {
        h->scroll = 0;
    } else if (in->key == TS_KEY_ENTER) {
        restore(h);
        l->closed = true;
    } else {
        l->closed = in->key == TS_KEY_ESC || in->key == 'q' || in->key == 'i' || in->key == TS_CTRL('C');
    }
    return true;
}

static void history_free(ts_layer *l) {
    ts_arena_release(&((struct history *)l)->arena);
    free(l);
}

static const ts_layer_ops history_ops = {.input = history_input, .draw = history_draw, .free = history_free};

/* ---- reading ---- */

struct history_job {
    ts_job job;
    ts_app *app;
    struct history *history;
};

static bool in_step(const ts_step *steps, size_t n, int64_t id, const char *field) {
    for (size_t i = 0; i < n; i++)
        if (steps[i].id == id && steps[i].field && strcmp(steps[i].field, field) == 0) return true;
    return false;
}

/* What is made from a conversation is not shown beside it. */
static void drop_derived(struct history *h) {
    static const char *const derived[] = {"instruction", "input", "output", "system"};
    ts_step *kept = ts_arena_alloc(&h->arena, TS_MAX(h->n, 1) * sizeof *kept);
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++) {
        bool drop = false;
        for (size_t k = 0; k < TS_COUNT(derived) && h->steps[i].field; k++)
            drop |= strcmp(h->steps[i].field, derived[k]) == 0 && in_step(h->steps, h->n, h->steps[i].id, "messages");
        if (!drop) kept[n++] = h->steps[i];
    }
    h->steps = kept;
    h->n = n;
}

static void history_run(ts_job *job) {
    struct history *h = ((struct history_job *)job)->history;
    job->status =
        ts_history_row(((struct history_job *)job)->app->scanner, h->row, &h->steps, &h->n, &h->arena, &job->err);
    if (job->status == TS_OK) drop_derived(h);
}

static void history_done(ts_job *job) {
    struct history_job *k = (struct history_job *)job;
    if (job->status == TS_OK && k->history->n) {
        ts_layer_push(k->app, &k->history->layer);
    } else {
        if (job->status == TS_OK)
            ts_app_say(k->app, TS_R_TEXT, "nothing was done to this row yet");
        else if (job->status != TS_CANCELLED)
            ts_app_say(k->app, TS_R_ERROR, "%s", job->err.text);
        history_free(&k->history->layer);
    }
    free(k);
}

void ts_history_open(ts_app *app, int64_t row) {
    struct history_job *k = ts_calloc(1, sizeof *k);
    k->job = (ts_job){.title = "reading the history", .run = history_run, .done = history_done};
    k->app = app;
    k->history = ts_calloc(1, sizeof *k->history);
    k->history->layer.ops = &history_ops;
    k->history->row = row;
    ts_queue_push(app->jobs, &k->job);
}
