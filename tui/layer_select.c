/* Choosing the best rows that are not alike: what is wanted, the rows that would be taken and why each of them, and
 * accepting them as one step. */
#include "dataset/select.h"
#include "tui/browse.h"
#include "tui/form.h"
#include "tui/row.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT, BY, METHOD, GATE, WHERE, QUOTA, ACCEPT, MARK, LEAVE, FIELDS, KIND_SELECT = 20 };

struct select_form {
    ts_layer layer;
    ts_form form;
    ts_selection found;
    ts_select_options how; /* of what was found */
    char by[64], where[400];
    bool looking, fresh; /* fresh: found is for what is typed now */
    char problem[520];
    ts_list list;
    unsigned number;
};

static const ts_layer_ops select_ops;

static struct select_form *open_form(ts_app *app) {
    for (ts_layer *l = app->layers; l; l = l->below)
        if (l->ops == &select_ops && !l->closed) return (struct select_form *)l;
    return NULL;
}

/* ---- looking ---- */

struct select_job {
    ts_job job;
    ts_app *app;
    ts_select_options how;
    char by[64], where[400];
    unsigned number;
    ts_selection found;
};

static void select_run(ts_job *job) {
    struct select_job *k = (struct select_job *)job;
    k->how.by = k->by;
    k->how.where = *k->where ? k->where : NULL;
    job->status = ts_select_rows(k->app->scanner, &k->how, &job->progress, &k->found, &job->err);
}

static void select_done(ts_job *job) {
    struct select_job *k = (struct select_job *)job;
    struct select_form *f = open_form(k->app);
    if (f && f->number == k->number) {
        f->looking = false;
        f->problem[0] = 0;
        if (job->status == TS_OK) {
            free(f->found.picks);
            f->found = k->found;
            f->how = k->how;
            memcpy(f->by, k->by, sizeof f->by);
            f->fresh = true;
            f->list = (ts_list){0};
            k->found.picks = NULL;
        } else {
            snprintf(f->problem, sizeof f->problem, "%s", job->err.text);
        }
    }
    if (job->status == TS_OK) free(k->found.picks);
    free(k);
}

static bool read_number(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    return end != text && !*end;
}

/* What is typed, as options; false and a problem when it makes no sense. */
static bool read_form(struct select_form *f, struct select_job *k) {
    double count, gate;
    ts_err err;
    k->how = (ts_select_options)TS_SELECT_DEFAULTS;
    if (!read_number(ts_form_value(&f->form, COUNT), &count) || count < 1 || count > 1e9 || floor(count) != count) {
        snprintf(f->problem, sizeof f->problem, "how many rows? a whole number above 0");
    } else if (!read_number(ts_form_value(&f->form, GATE), &gate) || !(gate > 0)) {
        snprintf(f->problem, sizeof f->problem,
                 "how alike two rows may be is a number above 0; 1 lets all but equal ones in");
    } else if (*ts_form_value(&f->form, QUOTA) &&
               ts_select_quotas(&k->how, ts_form_value(&f->form, QUOTA), &err) != TS_OK) {
        snprintf(f->problem, sizeof f->problem, "%s", err.text);
    } else {
        k->how.count = (int64_t)count;
        k->how.gate = gate;
        k->how.method = (ts_select_method)f->form.fields[METHOD].choice;
        snprintf(k->by, sizeof k->by, "%s", ts_form_value(&f->form, BY));
        snprintf(k->where, sizeof k->where, "%s", ts_form_value(&f->form, WHERE));
        return true;
    }
    return false;
}

static void look(struct select_form *f) {
    struct select_job *k = ts_calloc(1, sizeof *k);
    f->fresh = false;
    f->looking = false;
    if (!read_form(f, k)) {
        free(k);
        return;
    }
    k->job = (ts_job){.title = "choosing", .kind = KIND_SELECT, .run = select_run, .done = select_done};
    k->app = f->layer.app;
    k->number = ++f->number;
    f->problem[0] = 0;
    f->looking = true;
    ts_queue_cancel(k->app->jobs, KIND_SELECT);
    ts_queue_push(k->app->jobs, &k->job);
}

/* ---- taking ---- */

static ts_status run_accept(ts_act *a, ts_store *st, ts_err *err) {
    return ts_rows_set_status(st, a->ids, a->n_ids, TS_ACCEPTED, &a->done, err);
}

static int64_t *picked(const struct select_form *f) {
    int64_t *ids = ts_malloc(TS_MAX(f->found.n, 1) * sizeof *ids);
    for (size_t i = 0; i < f->found.n; i++)
        ids[i] = f->found.picks[i].id;
    return ids;
}

static void press(struct select_form *f, size_t button) {
    ts_app *app = f->layer.app;
    if (button == LEAVE) {
        f->layer.closed = true;
    } else if (!f->fresh) {
        look(f);
    } else if (f->found.n == 0) {
        ts_app_say(app, TS_R_WARN, "no row would be taken");
    } else if (button == MARK) {
        int64_t *ids = picked(f);
        ts_browse_mark(app, ids, f->found.n);
        free(ids);
        f->layer.closed = true;
    } else if (ts_store_read_only(app->reader)) {
        ts_app_say(app, TS_R_WARN, "this workspace can only be read");
    } else {
        ts_act *a = ts_act_new(app, run_accept);
        a->ids = picked(f);
        a->n_ids = f->found.n;
        ts_act_push(a);
        f->layer.closed = true;
    }
}

static bool select_input(ts_layer *l, const ts_input *in) {
    struct select_form *f = (struct select_form *)l;
    bool button = f->form.focus >= ACCEPT;
    if (in->kind == TS_IN_WHEEL) ts_list_scroll(&f->list, in->delta);
    if (in->kind == TS_IN_KEY && (in->key == TS_KEY_ESC || in->key == TS_CTRL('C'))) {
        l->closed = true;
    } else if (in->kind == TS_IN_KEY && (in->key == TS_KEY_PGDN || in->key == TS_KEY_PGUP)) {
        ts_list_scroll(&f->list, in->key == TS_KEY_PGDN ? f->list.height : -f->list.height);
    } else if (in->kind == TS_IN_KEY && in->key == TS_KEY_ENTER && !button) {
        look(f);
        if (!*f->problem) f->form.focus = ACCEPT;
    } else {
        ts_form_answer answer = ts_form_input(&f->form, in);
        if (answer == TS_FORM_PRESSED) press(f, f->form.focus);
        if (answer == TS_FORM_CHANGED) f->fresh = false;
    }
    return true;
}

/* ---- drawing ---- */

/* "the 3rd by score" is what took it; what it is most like, and how much, is why it passed. */
static void explain(const struct select_form *f, const ts_pick *p, char *out, size_t n) {
    char rank[32];
    size_t at = (size_t)snprintf(out, n, "number %s by %s", ts_thousands(p->rank, rank), f->by);
    if (!isnan(p->score) && strcmp(f->by, "score") == 0 && at < n)
        at += (size_t)snprintf(out + at, n - at, " %.2f", p->score);
    if (p->nearest && at < n)
        at += (size_t)snprintf(out + at, n - at, ", like #%lld %.2f", (long long)p->nearest, p->likeness);
    if (!isnan(p->gain) && at < n) at += (size_t)snprintf(out + at, n - at, ", stands for %.2f%% more", 100 * p->gain);
    if (p->quota >= 0 && at < n) snprintf(out + at, n - at, ", for tag %s", f->how.quotas[p->quota].tag);
}

static void draw_picks(struct select_form *f, ts_canvas *c, ts_rect r) {
    ts_app *app = f->layer.app;
    ts_list_fit(&f->list, f->found.n, r.h);
    size_t n = TS_MIN(f->found.n - TS_MIN(f->list.top, f->found.n), (size_t)TS_MAX(r.h, 0));
    int64_t *ids = ts_arena_alloc(&app->frame, (n + 1) * sizeof *ids);
    ts_row *rows = ts_arena_alloc(&app->frame, (n + 1) * sizeof *rows);
    int why_w = TS_MIN(r.w / 2, 46);
    for (size_t i = 0; i < n; i++)
        ids[i] = f->found.picks[f->list.top + i].id;
    if (ts_rows_read(app->reader, ids, n, rows, &app->frame, NULL) != TS_OK) return;
    for (size_t i = 0; i < n; i++) {
        char why[160], number[32];
        int y = r.y + (int)i;
        explain(f, &f->found.picks[f->list.top + i], why, sizeof why);
        ts_put_right(c, r.x, y, 7, TS_R_DIM, ts_thousands(ids[i], number));
        ts_put(c, r.x + 8, y, why_w, TS_R_LABEL, why);
        ts_putn(c, r.x + 9 + why_w, y, r.w - 9 - why_w, TS_R_TEXT, rows[i].instruction.s ? rows[i].instruction.s : "",
                rows[i].instruction.n);
    }
}

static void draw_found(struct select_form *f, ts_canvas *c, ts_rect r) {
    char n[4][32], more[120] = "";
    const ts_selection *s = &f->found;
    if (*f->problem) {
        ts_doc d = ts_doc_new(&f->layer.app->frame, r.w);
        size_t scroll = 0;
        ts_doc_text(&d, 0, TS_R_ERROR, f->problem, strlen(f->problem), NULL, TS_R_ERROR);
        ts_doc_draw(&d, c, r, &scroll);
        ts_doc_release(&d);
    } else if (!f->fresh) {
        ts_put(c, r.x, r.y, r.w, TS_R_DIM,
               f->looking ? "choosing" : "Enter looks which rows would be taken; nothing is changed by it");
    } else {
        if (s->n && isnan(s->picks[0].score) && strcmp(f->by, "score") == 0)
            snprintf(more, sizeof more, "; none is scored: 3 R does");
        if (s->too_alike)
            snprintf(more + strlen(more), sizeof more - strlen(more), "; %s passed over for likeness",
                     ts_thousands(s->too_alike, n[2]));
        if (s->quota_full)
            snprintf(more + strlen(more), sizeof more - strlen(more), "; %s for full quotas",
                     ts_thousands(s->quota_full, n[3]));
        ts_putf(c, r.x, r.y, r.w, TS_R_STRONG, "%s of %s rows would be taken%s", ts_thousands((int64_t)s->n, n[0]),
                ts_thousands(s->rows, n[1]), more);
        draw_picks(f, c, (ts_rect){r.x, r.y + 1, r.w, r.h - 1});
    }
}

static void place_fields(struct select_form *f, int inner) {
    static const int rows[FIELDS] = {[COUNT] = 0, [BY] = 0, [METHOD] = 1, [GATE] = 1, [WHERE] = 2, [QUOTA] = 3};
    int half = inner / 2;
    for (int i = 0; i < ACCEPT; i++) {
        ts_form_field *at = &f->form.fields[i];
        bool right = i == BY || i == GATE, whole = i == WHERE || i == QUOTA;
        at->label_width = 10;
        at->x = right ? half : 0;
        at->y = rows[i];
        at->width = (whole ? inner : half - 2) - 10;
    }
    for (int i = ACCEPT; i < FIELDS; i++) {
        f->form.fields[i].y = 5;
        f->form.fields[i].x = i == ACCEPT ? 0 : i == MARK ? 16 : 35;
        f->form.fields[i].width = 18;
    }
}

static void select_draw(ts_layer *l, ts_canvas *c) {
    struct select_form *f = (struct select_form *)l;
    ts_rect r = {0, 1, c->w, c->h - 2};
    ts_box(c, r, "Choose the best rows that are not alike");
    place_fields(f, r.w - 6);
    ts_form_draw(&f->form, c, r.x + 3, r.y + 1);
    int x = c->cursor_x, y = c->cursor_y;
    ts_hline(c, r.x + 1, r.y + 7, r.w - 2);
    draw_found(f, c, (ts_rect){r.x + 2, r.y + 8, r.w - 4, r.h - 9});
    ts_put(c, r.x + 3, r.y + r.h - 1, r.w - 6, TS_R_DIM,
           " Enter looks or does it   Tab next field   PgDn more rows   Esc ");
    ts_cursor(c, x, y);
}

static void select_free(ts_layer *l) {
    struct select_form *f = (struct select_form *)l;
    ts_queue_cancel(l->app->jobs, KIND_SELECT);
    ts_form_release(&f->form);
    free(f->found.picks);
    free(f);
}

static const ts_layer_ops select_ops = {.input = select_input, .draw = select_draw, .free = select_free};

void ts_select_open(ts_app *app, const char *where) {
    static const char *const methods[] = {"gate", "facility", "farthest", NULL};
    static unsigned last_number; /* a late answer never meets a younger form's number */
    struct select_form *f = ts_calloc(1, sizeof *f);
    f->layer.ops = &select_ops;
    ts_form_add(&f->form, (ts_form_field){.label = "how many"}, "300");
    ts_form_add(&f->form, (ts_form_field){.label = "best by"}, "score");
    ts_form_add(&f->form, (ts_form_field){.label = "method", .choices = methods}, "gate");
    ts_form_add(&f->form, (ts_form_field){.label = "alike to"}, "0.7");
    ts_form_add(&f->form, (ts_form_field){.label = "among", .empty = "all that are not rejected"}, where ? where : "");
    ts_form_add(&f->form, (ts_form_field){.label = "quotas", .empty = "none; or tag:20,other:30"}, "");
    ts_form_add(&f->form, (ts_form_field){.label = "Accept", .button = true}, "");
    ts_form_add(&f->form, (ts_form_field){.label = "Mark only", .button = true}, "");
    ts_form_add(&f->form, (ts_form_field){.label = "Leave", .button = true}, "");
    f->number = last_number += 1000;
    ts_layer_push(app, &f->layer);
    look(f);
}
