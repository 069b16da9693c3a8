/* Snapshots: the rows of a filter frozen under a name; the list of them, one as a filter, one compared with what its
 * query finds now or with another. */
#include "core/base/clock.h"
#include "core/text/cells.h"
#include "dataset/frozen.h"
#include "tui/app.h"
#include "tui/browse.h"
#include "tui/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct snapshots {
    ts_layer layer;
    ts_arena arena; /* of items */
    ts_frozen *items;
    size_t n;
    ts_list list;
    char *marked; /* to compare with; NULL: what its query finds now */
};

struct snap_job {
    ts_job job;
    ts_app *app;
    ts_arena arena;
    char *name, *where, *other;
    ts_frozen *items, made;
    size_t n;
    int64_t counts[TS_FROZEN_KINDS];
};

static struct snap_job *new_job(ts_app *app, const char *title, void (*run)(ts_job *job), void (*done)(ts_job *job)) {
    struct snap_job *k = ts_calloc(1, sizeof *k);
    k->job = (ts_job){.title = title, .run = run, .done = done};
    k->app = app;
    return k;
}

static void finish(struct snap_job *k) {
    if (k->job.status != TS_OK)
        ts_app_say(k->app, k->job.status == TS_CANCELLED ? TS_R_WARN : TS_R_ERROR, "%s", k->job.err.text);
    ts_arena_release(&k->arena);
    free(k->name);
    free(k->where);
    free(k->other);
    free(k);
}

/* ---- freezing ---- */

static void freeze_run(ts_job *job) {
    struct snap_job *k = (struct snap_job *)job;
    job->status =
        ts_frozen_make(k->app->scanner, k->name, k->where, 0, 0, &job->progress, &k->made, &k->arena, &job->err);
}

static void freeze_done(ts_job *job) {
    struct snap_job *k = (struct snap_job *)job;
    char n[32];
    if (job->status == TS_OK)
        ts_app_say(k->app, TS_R_OK, "snapshot %s: %s rows; `snapshots` in the palette lists them", k->name,
                   ts_thousands(k->made.rows, n));
    finish(k);
}

static void named(ts_app *app, void *ctx, const char *name) {
    struct browse *b = ctx;
    if (!*name) return;
    struct snap_job *k = new_job(app, "freezing", freeze_run, freeze_done);
    k->name = ts_strdup(name);
    k->where = ts_strdup(b->filter);
    ts_queue_push(app->jobs, &k->job);
}

void ts_snapshot_make(ts_app *app, struct browse *b, const char *name) {
    if (name)
        named(app, b, name);
    else
        ts_prompt_open(app, &(ts_prompt_options){.label = "name of the snapshot:",
                                                 .hint = "the rows shown now, as they are now; snapshot:NAME finds "
                                                         "them again",
                                                 .done = named,
                                                 .ctx = b});
}

/* ---- comparing ---- */

static void compare_run(ts_job *job) {
    struct snap_job *k = (struct snap_job *)job;
    job->status =
        ts_frozen_compare(k->app->scanner, k->name, k->other, k->counts, NULL, NULL, &job->progress, &job->err);
}

static void compare_done(ts_job *job) {
    static const char *const words[TS_FROZEN_KINDS] = {"the same", "with other texts", "on another side of the split",
                                                       "in the first alone", "in the second alone"};
    struct snap_job *k = (struct snap_job *)job;
    ts_buf out = TS_BUF_INIT;
    char n[32];
    ts_buf_printf(&out, "first      %s\nsecond     %s\n\n", k->name,
                  k->other ? k->other : "the rows that its query finds now");
    for (int i = 0; i < TS_FROZEN_KINDS; i++)
        ts_buf_printf(&out, "%10s  %s\n", ts_thousands(k->counts[i], n), words[i]);
    ts_buf_printf(&out, "\nthe filter  snapshot:%s%s%s  shows the rows of the first%s\n", k->name,
                  k->other ? " -snapshot:" : "", k->other ? k->other : "", k->other ? " alone" : "");
    if (job->status == TS_OK) ts_pager_open(k->app, "Two snapshots", out.data);
    ts_buf_release(&out);
    finish(k);
}

static void compare(struct snapshots *s) {
    struct snap_job *k = new_job(s->layer.app, "comparing", compare_run, compare_done);
    const char *here = s->items[s->list.cursor].name;
    bool two = s->marked && strcmp(s->marked, here) != 0;
    k->name = ts_strdup(two ? s->marked : here);
    k->other = two ? ts_strdup(here) : NULL;
    ts_queue_push(s->layer.app->jobs, &k->job);
}

/* ---- the list ---- */

static bool snapshots_input(ts_layer *l, const ts_input *in) {
    struct snapshots *s = (struct snapshots *)l;
    if (in->kind == TS_IN_WHEEL) ts_list_move(&s->list, in->delta > 0 ? 1 : -1);
    if (in->kind != TS_IN_KEY) return true;
    const char *here = s->items[s->list.cursor].name;
    if (in->key == TS_KEY_ENTER) {
        char *where = ts_printf("snapshot:%s", here);
        l->closed = true;
        ts_browse_show(l->app, where, "id", false, 0);
        free(where);
    } else if (in->key == ' ') {
        bool off = s->marked && strcmp(s->marked, here) == 0;
        free(s->marked);
        s->marked = off ? NULL : ts_strdup(here);
    } else if (in->key == '=') {
        compare(s);
    } else if (!ts_list_command(&s->list, ts_command_for_key(TS_IN_BROWSE, in->key))) {
        l->closed = in->key == TS_KEY_ESC || in->key == 'q' || in->key == TS_CTRL('C');
    }
    return true;
}

static void draw_item(const struct snapshots *s, ts_canvas *c, int x, int y, int w, size_t at) {
    const ts_frozen *f = &s->items[at];
    char when[32], rows[32], valid[64] = "", n[32];
    bool here = at == s->list.cursor, marked = s->marked && strcmp(s->marked, f->name) == 0;
    ts_wall_iso(f->at_ms, when);
    when[16] = 0;
    when[10] = ' ';
    if (f->fraction > 0) snprintf(valid, sizeof valid, ", %s held out", ts_thousands(f->valid, n));
    ts_put(c, x, y, 1, TS_R_KEY, here ? ">" : " ");
    ts_put(c, x + 1, y, 1, TS_R_KEY, marked ? "*" : " ");
    ts_put(c, x + 3, y, 18, TS_R_STRONG, f->name);
    ts_put(c, x + 22, y, 16, TS_R_DIM, when);
    ts_putf(c, x + 39, y, w - 39, TS_R_TEXT, "%s row%s%s  %s", ts_thousands(f->rows, rows), f->rows == 1 ? "" : "s",
            valid, *f->query ? f->query : "all rows");
    if (here) ts_select(c, x, y, w);
}

static void snapshots_draw(ts_layer *l, ts_canvas *c) {
    struct snapshots *s = (struct snapshots *)l;
    int rows = TS_MIN((int)s->n, TS_MAX(c->h - 8, 1));
    ts_rect box = {.w = TS_MIN(c->w - 4, 100), .h = rows + 2};
    box.x = (c->w - box.w) / 2;
    box.y = (c->h - box.h) / 2;
    ts_box(c, box, "Snapshots");
    ts_list_fit(&s->list, s->n, rows);
    for (int i = 0; i < rows && s->list.top + (size_t)i < s->n; i++)
        draw_item(s, c, box.x + 2, box.y + 1 + i, box.w - 4, s->list.top + (size_t)i);
    ts_put(c, box.x + 3, box.y + box.h - 1, box.w - 6, TS_R_DIM,
           " Enter its rows   = compare with now, or with the marked   Space mark ");
}

static void snapshots_free(ts_layer *l) {
    struct snapshots *s = (struct snapshots *)l;
    ts_arena_release(&s->arena);
    free(s->marked);
    free(s);
}

static const ts_layer_ops snapshots_ops = {.input = snapshots_input, .draw = snapshots_draw, .free = snapshots_free};

static void list_run(ts_job *job) {
    struct snap_job *k = (struct snap_job *)job;
    job->status = ts_frozen_list(k->app->scanner, &k->items, &k->n, &k->arena, &job->err);
}

static void list_done(ts_job *job) {
    struct snap_job *k = (struct snap_job *)job;
    if (job->status == TS_OK && k->n == 0)
        ts_app_say(k->app, TS_R_TEXT, "there are no snapshots; `snapshot NAME` in the palette makes one");
    if (job->status == TS_OK && k->n) {
        struct snapshots *s = ts_calloc(1, sizeof *s);
        *s = (struct snapshots){.layer.ops = &snapshots_ops, .arena = k->arena, .items = k->items, .n = k->n};
        k->arena = (ts_arena)TS_ARENA_INIT;
        ts_layer_push(k->app, &s->layer);
    }
    finish(k);
}

void ts_snapshots_open(ts_app *app) {
    ts_queue_push(app->jobs, &new_job(app, "reading the snapshots", list_run, list_done)->job);
}
