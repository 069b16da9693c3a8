#include "core/base/clock.h"
#include "core/text/cells.h"
#include "tui/row.h"
#include "tui/runs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_role state_role(ts_run_state s) {
    switch (s) {
    case TS_RUN_RUNNING:
        return TS_R_TITLE;
    case TS_RUN_DONE:
        return TS_R_OK;
    case TS_RUN_FAILED:
    case TS_RUN_CRASHED:
        return TS_R_ERROR;
    case TS_RUN_STOPPED:
    case TS_RUN_HELD:
        return TS_R_WARN;
    default:
        return TS_R_TEXT;
    }
}

/* A dash for what is not measured yet. decimals -1: three figures, whatever the size. */
static void rounded(double v, int decimals, char out[24]) {
    if (!isfinite(v))
        snprintf(out, 24, "-");
    else if (decimals < 0)
        snprintf(out, 24, "%.3g", v);
    else
        snprintf(out, 24, "%.*f", decimals, v);
}

/* Columns: sign, number, state, base, rows, steps, loss, eval, best, tok/s, started, note; what does not fit goes. */
static void list_line(ts_canvas *c, ts_rect r, int y, ts_role role, const char *const texts[11]) {
    static const struct {
        int width;
        bool right, wide_only;
    } columns[11] = {{4, true, false},  {9, false, false}, {20, false, false}, {7, true, false},
                     {10, true, false}, {7, true, false},  {7, true, false},   {7, true, true},
                     {6, true, true},   {12, false, true}, {0, false, true}};
    int x = r.x + 2;
    for (size_t i = 0; i < TS_COUNT(columns); i++) {
        int w = columns[i].width ? columns[i].width : r.x + r.w - x;
        if (columns[i].wide_only && r.w < 100) continue;
        if (x + w > r.x + r.w || w <= 0) return;
        if (columns[i].right)
            ts_put_right(c, x, y, w, role, texts[i]);
        else
            ts_put(c, x, y, w, role, texts[i]);
        x += w + 1 + (i == 0);
    }
}

static void list_run(const struct runs *s, ts_canvas *c, ts_rect r, int y, const ts_run_view *v) {
    char noted[sizeof v->tags + sizeof v->note + 4], id[16], state[32], rows[32], steps[48], loss[24], eval[24],
        best[24], speed[24];
    bool overlay = false;
    for (size_t i = 0; i < s->n_overlays; i++)
        overlay |= s->overlays[i] == v->id;
    snprintf(id, sizeof id, "%lld", (long long)v->id);
    snprintf(state, sizeof state, "%s", ts_run_state_names[v->state]);
    if (v->number) snprintf(state, sizeof state, "%s %zu", v->state == TS_RUN_HELD ? "held" : "waits", v->number);
    ts_thousands(v->rows, rows);
    snprintf(steps, sizeof steps, "%lld/%lld", (long long)v->step, (long long)v->steps);
    rounded(v->loss, 3, loss);
    rounded(v->valid_loss, 3, eval);
    rounded(v->best_valid_loss, 3, best);
    rounded(v->tokens_per_second > 0 ? v->tokens_per_second : NAN, 0, speed);
    snprintf(noted, sizeof noted, *v->tags ? "[%s] %s" : "%s%s", v->tags, v->note);
    const char *texts[11] = {id, state, v->model, rows, steps, loss, eval, best, speed, v->created, noted};
    if (overlay) ts_put(c, r.x + 1, y, 1, TS_R_MARK, "*");
    if (!v->readable) {
        ts_putf(c, r.x + 2, y, r.w - 3, TS_R_ERROR, "%4s  %s", id, v->problem);
        return;
    }
    list_line(c, r, y, TS_R_TEXT, texts);
    ts_put(c, r.x + 8, y, 9, state_role(v->state), texts[1]);
}

static void draw_list(struct runs *s, ts_canvas *c, ts_rect r) {
    static const char *const head[11] = {"run",  "state", "base",  "rows",    "steps", "loss",
                                         "eval", "best",  "tok/s", "started", "note"};
    s->list_rect = r;
    list_line(c, r, r.y, TS_R_DIM, head);
    ts_list_fit(&s->list, s->view.n, r.h - 1);
    for (int i = 0; i < r.h - 1 && s->list.top + (size_t)i < s->view.n; i++) {
        size_t at = s->list.top + (size_t)i;
        list_run(s, c, r, r.y + 1 + i, &s->view.items[at]);
        if (at != s->list.cursor) continue;
        ts_put(c, r.x, r.y + 1 + i, 1, TS_R_KEY, ">");
        if (s->pane == RUNS_LIST) ts_select(c, r.x, r.y + 1 + i, r.w);
    }
}

/* A rule with words in it: "-- run 8  step 230 of 500  46%  1:42 left ---- loss --" */
static void titled_rule(ts_canvas *c, ts_rect r, ts_role role, const char *left, const char *right) {
    ts_hline(c, r.x, r.y, r.w);
    ts_put(c, r.x + 2, r.y, 1, TS_R_TEXT, " ");
    int used = ts_put(c, r.x + 3, r.y, r.w - 6, role, left);
    ts_put(c, r.x + 3 + used, r.y, 1, TS_R_TEXT, " ");
    if (!*right) return;
    int w = (int)strlen(right);
    if (used + w + 12 > r.w) return;
    ts_putf(c, r.x + r.w - w - 4, r.y, w + 2, TS_R_DIM, " %s ", right);
}

static void run_head(const ts_run_view *v, bool waits, char *out, size_t n) {
    char left[32], spent[32], run[sizeof v->tags + 32];
    int percent = v->steps > 0 ? (int)(100 * v->step / v->steps) : 0;
    snprintf(run, sizeof run, "run %lld%s%s%s", (long long)v->id, *v->tags ? " [" : "", v->tags, *v->tags ? "]" : "");
    ts_format_duration(v->seconds, spent);
    ts_format_duration(v->eta, left);
    if (*v->paused)
        snprintf(out, n, "%s  paused until there is room: %s", run, v->paused);
    else if (v->state == TS_RUN_RUNNING && v->step > 0)
        snprintf(out, n, "%s  step %lld of %lld  %d%%  %s%.1f s a step  %s so far  %s left", run, (long long)v->step,
                 (long long)v->steps, percent, waits ? "waits for the answers  " : "", v->seconds / (double)v->step,
                 spent, left);
    else if (v->number)
        snprintf(out, n, "%s  waits: number %zu of the queue%s", run, v->number,
                 v->state == TS_RUN_HELD ? ", held back until h releases it" : "");
    else if (*v->reason)
        snprintf(out, n, "%s  %s: %s", run, ts_run_state_names[v->state], v->reason);
    else
        snprintf(out, n, "%s  %s  step %lld of %lld  %s", run, ts_run_state_names[v->state], (long long)v->step,
                 (long long)v->steps, spent);
}

static const ts_run_view *by_id(const struct runs *s, int64_t id) {
    for (size_t i = 0; i < s->view.n; i++)
        if (s->view.items[i].id == id) return &s->view.items[i];
    return NULL;
}

static void draw_chart(const struct runs *s, const ts_run_view *v, ts_canvas *c, ts_rect r) {
    ts_curve curves[8];
    size_t n = 0;
    double weight = runs_smoothing[s->smoothing], x_max = (double)v->steps;
    char names[4][24];
    for (size_t i = 0; i < s->n_overlays; i++) {
        const ts_run_view *o = by_id(s, s->overlays[i]);
        if (!o || o == v || !o->n_points) continue;
        snprintf(names[i], sizeof names[i], "run %lld", (long long)o->id);
        curves[n++] = (ts_curve){o->step_x, o->loss_y, o->n_points, TS_R_OTHER, false, names[i]};
    }
    double *smooth = ts_arena_alloc(&s->screen.app->frame, (v->n_points + 1) * sizeof *smooth);
    ts_smooth(v->loss_y, smooth, v->n_points, weight);
    if (weight > 0) curves[n++] = (ts_curve){v->step_x, v->loss_y, v->n_points, TS_R_DIM, false, NULL};
    curves[n++] = (ts_curve){v->step_x, smooth, v->n_points, TS_R_TRAIN, false, "train"};
    curves[n++] = (ts_curve){v->eval_x, v->eval_y, v->n_evals, TS_R_EVAL, true, "held out"};
    if (v->n_generals) curves[n++] = (ts_curve){v->general_x, v->general_y, v->n_generals, TS_R_WARN, false, "general"};
    ts_chart_draw(c, r, curves, n, x_max, s->log_scale);
}

static void draw_rates(const ts_run_view *v, ts_canvas *c, ts_rect r) {
    int w = TS_MAX(10, TS_MIN(40, r.w - 50));
    double now = v->n_points ? v->norm_y[v->n_points - 1] : NAN, lr = v->n_points ? v->rate_y[v->n_points - 1] : NAN;
    char memory[48] = "", trainable[32], norm[24], rate[24], speed[24];
    if (v->peak_rss) snprintf(memory, sizeof memory, "memory %.2f GB", (double)v->peak_rss / 1e9);
    ts_put(c, r.x + 1, r.y, 10, TS_R_LABEL, "grad norm");
    ts_spark_draw(c, r.x + 12, r.y, w, TS_R_TEXT, v->norm_y, v->n_points);
    rounded(now, -1, norm);
    rounded(lr, -1, rate);
    rounded(v->n_points ? v->tokens_per_second : NAN, 0, speed);
    ts_putf(c, r.x + 14 + w, r.y, r.w - w - 15, TS_R_TEXT, "%8s   lr %s", norm, rate);
    if (r.h < 2) return;
    ts_put(c, r.x + 1, r.y + 1, 10, TS_R_LABEL, "tokens/s");
    ts_spark_draw(c, r.x + 12, r.y + 1, w, TS_R_TEXT, v->speed_y, v->n_points);
    ts_putf(c, r.x + 14 + w, r.y + 1, r.w - w - 15, TS_R_TEXT, "%8s   trains %s   %s", speed,
            v->trainable ? ts_thousands(v->trainable, trainable) : "-", memory);
}

static void draw_log(struct runs *s, const ts_run_view *v, ts_canvas *c, ts_rect r) {
    size_t rows = (size_t)TS_MAX(r.h - 1, 0), last = v->n_log > rows ? v->n_log - rows : 0;
    if (s->log_back > last) s->log_back = last;
    titled_rule(c, r, s->pane == RUNS_LOG ? TS_R_TITLE : TS_R_TEXT, "log", s->log_back ? "f follows again" : "");
    size_t from = last - s->log_back;
    for (size_t i = 0; i < rows && from + i < v->n_log; i++)
        ts_put(c, r.x + 1, r.y + 1 + (int)i, r.w - 2, TS_R_TEXT, v->log[from + i]);
    if (s->pane == RUNS_LOG) ts_cursor(c, r.x, r.y + 1);
}

/* The same prompt at every step at which it was answered, the newest on top. */
static void draw_samples(struct runs *s, const ts_run_view *v, ts_canvas *c, ts_rect r) {
    bool here = s->pane == RUNS_SAMPLES;
    char title[80] = "samples";
    ts_doc d = ts_doc_new(&s->screen.app->frame, r.w - 2);
    if (s->prompt >= v->n_prompts) s->prompt = 0;
    if (v->n_prompts) snprintf(title, sizeof title, "samples  prompt %zu of %zu", s->prompt + 1, v->n_prompts);
    titled_rule(c, r, here ? TS_R_TITLE : TS_R_TEXT, title, v->n_prompts > 1 ? "[ ] another prompt" : "");
    if (v->n_prompts == 0) {
        static const char none[] =
            "No prompts are answered while this run trains; the form (T) has a field for a file with some.";
        ts_doc_text(&d, 0, TS_R_DIM, none, strlen(none), NULL, TS_R_DIM);
    } else {
        ts_doc_text(&d, 0, TS_R_STRONG, v->prompts[s->prompt], strlen(v->prompts[s->prompt]), NULL, TS_R_STRONG);
    }
    for (size_t i = v->n_samples; i-- > 0;) {
        char label[40];
        if (v->samples[i].prompt != s->prompt) continue;
        snprintf(label, sizeof label, "step %lld", (long long)v->samples[i].step);
        ts_doc_labelled(&d, label, 11, TS_R_TEXT, v->samples[i].text, strlen(v->samples[i].text));
    }
    ts_doc_draw(&d, c, (ts_rect){r.x + 1, r.y + 1, r.w - 2, r.h - 1}, &s->sample_scroll);
    ts_doc_release(&d);
    if (here) ts_cursor(c, r.x, r.y + 1);
}

static void draw_below(struct runs *s, const ts_run_view *v, ts_canvas *c, ts_rect r) {
    if (s->below == RUNS_SAMPLES)
        draw_samples(s, v, c, r);
    else
        draw_log(s, v, c, r);
}

static void draw_empty(const struct runs *s, ts_canvas *c, ts_rect r) {
    if (!s->loaded) {
        ts_put(c, r.x + 3, r.y + 2, r.w - 4, TS_R_STRONG, "Reading the runs.");
        return;
    }
    static const char text[] =
        "T trains on the accepted examples; Browse (1) is where you accept them. A run is a process "
        "of its own: it goes on when you quit, and is shown here again when you return.";
    ts_doc d = ts_doc_new(&s->screen.app->frame, TS_MIN(r.w - 6, 76));
    size_t scroll = 0;
    ts_doc_line_put(&d, 0, TS_R_STRONG, "No training runs yet.");
    ts_doc_text(&d, 0, TS_R_TEXT, text, strlen(text), NULL, TS_R_TEXT);
    ts_doc_draw(&d, c, (ts_rect){r.x + 3, r.y + 2, r.w - 6, r.h - 3}, &scroll);
    ts_doc_release(&d);
}

void runs_draw(ts_screen *screen, ts_canvas *c, ts_rect body) {
    struct runs *s = (struct runs *)screen;
    char head[520], about[60];
    s->list_rect = (ts_rect){0};
    if (s->view.n == 0) {
        draw_empty(s, c, body);
        return;
    }
    int list_h = TS_MIN((int)s->view.n + 1, TS_MAX(4, body.h / 4));
    if (s->zoom && s->pane == RUNS_LIST) list_h = body.h;
    ts_rect r = {body.x, body.y, body.w, list_h};
    if (!(s->zoom && s->pane != RUNS_LIST)) {
        draw_list(s, c, r);
        body.y += list_h;
        body.h -= list_h;
    }
    const ts_run_view *v = runs_chosen(s);
    if (!v || !v->readable || body.h < 3) return;
    if (s->zoom && s->pane != RUNS_LIST) {
        draw_below(s, v, c, body);
        return;
    }
    run_head(v, s->view.waits, head, sizeof head);
    snprintf(about, sizeof about, "%s%s%.1f", s->log_scale ? "loss, log axis" : "loss", "   smoothing ",
             runs_smoothing[s->smoothing]);
    titled_rule(c, (ts_rect){body.x, body.y, body.w, 1}, state_role(v->state), head, about);
    int log_h = body.h >= 24 ? 8 : body.h >= 14 ? 4 : 0, rates_h = body.h >= 12 ? 2 : 0;
    int chart_h = body.h - 1 - log_h - rates_h - (rates_h ? 1 : 0);
    draw_chart(s, v, c, (ts_rect){body.x, body.y + 1, body.w - 2, chart_h});
    if (rates_h) draw_rates(v, c, (ts_rect){body.x, body.y + 1 + chart_h, body.w, rates_h});
    if (log_h) draw_below(s, v, c, (ts_rect){body.x, body.y + body.h - log_h, body.w, log_h});
}

void runs_status(ts_screen *screen, char *left, char *right) {
    struct runs *s = (struct runs *)screen;
    const ts_run_view *v = runs_chosen(s);
    if (!v) return;
    snprintf(left, 200, "%.150s", v->settings);
    snprintf(right, 200, "%zu of %zu", s->list.cursor + 1, s->view.n);
}
