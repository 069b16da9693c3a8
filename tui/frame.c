/* The frame around every screen: tabs in the first row; status, hints and message in the last three. */
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/text/cells.h"
#include "tui/app.h"

#include <stdio.h>
#include <string.h>

void ts_app_draw(ts_app *app);

ts_rect ts_app_body(const ts_app *app) {
    return (ts_rect){0, 1, app->canvas.w, app->canvas.h - 4};
}

static void too_small(ts_app *app) {
    ts_canvas *c = &app->canvas;
    ts_rect box = {0, 0, TS_MIN(c->w, 32), TS_MIN(c->h, 5)};
    box.x = (c->w - box.w) / 2;
    box.y = (c->h - box.h) / 2;
    ts_box(c, box, "");
    ts_putf(c, box.x + 2, box.y + 1, box.w - 3, TS_R_TEXT, "tunesmith needs %dx%d.", TS_MIN_WIDTH, TS_MIN_HEIGHT);
    ts_putf(c, box.x + 2, box.y + 2, box.w - 3, TS_R_TEXT, "This terminal is %dx%d.", c->w, c->h);
    ts_put(c, box.x + 2, box.y + 3, box.w - 3, TS_R_TEXT, "Make it larger, or q quits.");
}

/* What takes longer than 300 ms: "filtering 43%, 0:12 left". */
static void describe_job(const ts_app *app, char *out, size_t n) {
    const ts_queue *const queues[] = {app->jobs, app->models, app->counts};
    *out = 0;
    for (size_t i = 0; i < TS_COUNT(queues) && !*out; i++)
        for (const ts_job *j = ts_queue_jobs(queues[i]); j && !*out; j = j->next_alive) {
            double since = ts_now() - j->begun;
            int64_t done = atomic_load(&j->progress.done), total = atomic_load(&j->progress.total);
            const char *what = atomic_load(&j->progress.what);
            char left[32];
            if (!j->title || since < 0.3) continue;
            if (!what) what = j->title;
            if (total > 0 && done > 0) {
                ts_format_duration(since * (double)(total - done) / (double)done, left);
                snprintf(out, n, "%s %d%%, %s left", what, (int)(100 * done / total), left);
            } else {
                snprintf(out, n, "%s", what);
            }
        }
}

static void draw_tabs(ts_app *app) {
    ts_canvas *c = &app->canvas;
    char job[120], right[300];
    int x = 0;
    for (int i = 0; i < TS_SCREENS; i++) {
        const char *tab = ts_app_tab(app, (ts_screen_id)i);
        bool on = i == (int)app->current;
        x += ts_putf(c, x, 0, c->w - x, on ? TS_R_TAB_ON : TS_R_TAB, on ? "[%s]" : " %s ", tab);
    }
    describe_job(app, job, sizeof job);
    snprintf(right, sizeof right, "%s%s%s%s%s ", job, *job ? "   " : "", app->run_line, *app->run_line ? "   " : "",
             ts_path_base(app->folder));
    if (x + 2 < c->w) ts_put_right(c, x + 2, 0, c->w - x - 2, TS_R_DIM, right);
}

static void draw_status(ts_app *app, int y) {
    ts_canvas *c = &app->canvas;
    ts_screen *s = ts_app_screen(app);
    char left[200] = "", right[200] = "";
    s->ops->status(s, left, right);
    ts_hline(c, 0, y, c->w);
    int right_w = *right ? (int)ts_cells_width(right, strlen(right)) + 2 : 0;
    if (*left) {
        int used = ts_put(c, 3, y, c->w - right_w - 8, TS_R_TEXT, left);
        ts_put(c, 2, y, 1, TS_R_TEXT, " ");
        ts_put(c, 3 + used, y, 1, TS_R_TEXT, " ");
    }
    if (*right) {
        ts_put(c, c->w - right_w - 2, y, 1, TS_R_TEXT, " ");
        ts_put(c, c->w - right_w - 1, y, right_w, TS_R_TEXT, right);
        ts_put(c, c->w - 3, y, 1, TS_R_TEXT, " ");
    }
}

static bool usable(void *ctx, ts_command_id id) {
    return ts_app_why_not(ctx, id) == NULL;
}

static int draw_hint(ts_canvas *c, int x, int y, ts_command_id id, unsigned place) {
    char key[16];
    ts_command_key(id, place, key);
    int from = x;
    x += ts_put(c, x, y, c->w - x, TS_R_KEY, key) + 1;
    x += ts_put(c, x, y, c->w - x, TS_R_HINT, ts_commands[id].hint) + 2;
    return x - from;
}

static void draw_hints(ts_app *app, int y) {
    ts_canvas *c = &app->canvas;
    ts_screen *s = ts_app_screen(app);
    ts_command_id ids[40];
    size_t n = ts_command_hints(s->ops->place(s), (size_t)c->w, usable, app, ids, TS_COUNT(ids));
    int x = 1, right = 0;
    for (size_t i = 0; i < n; i++)
        if (ts_commands[ids[i]].rank >= 98) right += (int)strlen(ts_commands[ids[i]].hint) + 4;
    for (size_t i = 0; i < n; i++) {
        if (ts_commands[ids[i]].rank == 98 || (ts_commands[ids[i]].rank == 99 && x < c->w - right))
            x = TS_MAX(x, c->w - right);
        x += draw_hint(c, x, y, ids[i], ts_app_place(app));
    }
}

/* The message; one that does not fit takes the rows above, for the time it stands there. */
static void draw_message(ts_app *app) {
    ts_canvas *c = &app->canvas;
    size_t n = strlen(app->message), scroll = 0;
    if (ts_cells_width(app->message, n) <= (size_t)c->w - 2) {
        ts_put(c, 1, c->h - 1, c->w - 1, app->message_role, app->message);
        return;
    }
    ts_doc d = ts_doc_new(&app->frame, c->w - 2);
    ts_doc_text(&d, 0, app->message_role, app->message, n, NULL, app->message_role);
    int h = (int)TS_MIN(d.n, 6);
    ts_fill(c, (ts_rect){0, c->h - h, c->w, h}, TS_R_TEXT);
    ts_hline(c, 0, c->h - h - 1, c->w);
    ts_doc_draw(&d, c, (ts_rect){1, c->h - h, c->w - 2, h}, &scroll);
    ts_doc_release(&d);
}

void ts_app_draw(ts_app *app) {
    ts_canvas *c = &app->canvas;
    ts_screen *s = ts_app_screen(app);
    ts_arena_reset(&app->frame);
    ts_canvas_clear(c);
    if (c->w < TS_MIN_WIDTH || c->h < TS_MIN_HEIGHT) {
        too_small(app);
    } else {
        draw_tabs(app);
        s->ops->draw(s, c, ts_app_body(app));
        draw_status(app, c->h - 3);
        draw_hints(app, c->h - 2);
        draw_message(app);
        ts_layer *stack[16];
        size_t n = 0;
        for (ts_layer *l = app->layers; l && n < TS_COUNT(stack); l = l->below)
            stack[n++] = l;
        while (n > 0) {
            n--;
            stack[n]->ops->draw(stack[n], c);
        }
    }
    app->term->draw(app->term, c);
}
