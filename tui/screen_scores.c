/* Scores: the overall score and what each rule finds, with a histogram, a cut that is moved by keys, and the rows that
 * the cut takes, worst first. Enter shows them in Browse; findings that are wrong are dismissed row by row. */
#include "core/base/file.h"
#include "dataset/histogram.h"
#include "eval/lmscores.h"
#include "tui/browse.h"
#include "tui/row.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_SCORES = 7, KIND_WORST = 8, KIND_LM = 9 };

struct scores {
    ts_screen screen;
    ts_list list; /* of histograms */
    ts_histogram hist[TS_HISTOGRAMS];
    size_t n;
    int cut[TS_HISTOGRAMS]; /* in bins: the score takes rows below it, a rule those from it on, at 0 all findings */
    ts_counts counts;
    bool loaded, scoring, by_model, log, on_rows, zoom;
    ts_view *worst; /* of worst_of at worst_cut */
    size_t worst_of;
    int worst_cut;
    ts_list rows;
    ts_rect list_rect, rows_rect;
};

static bool is_overall(const struct scores *k) {
    return k->list.cursor == 0;
}

static int cut_of(const struct scores *k) {
    return k->cut[k->list.cursor];
}

static int64_t taken(const struct scores *k) {
    const ts_histogram *h = &k->hist[k->list.cursor];
    return is_overall(k) ? ts_histogram_between(h, 0, cut_of(k))
                         : ts_histogram_between(h, cut_of(k), TS_HISTOGRAM_BINS);
}

/* The rows that the cut takes, as a query. */
static void cut_query(const struct scores *k, char out[80]) {
    double cut = (double)cut_of(k) / TS_HISTOGRAM_BINS;
    const char *name = k->hist[k->list.cursor].name;
    if (is_overall(k) && cut_of(k) == TS_HISTOGRAM_BINS)
        snprintf(out, 80, "score<=1");
    else if (is_overall(k))
        snprintf(out, 80, "score<%.2f", cut);
    else if (cut_of(k) == 0)
        snprintf(out, 80, "%s>0", name);
    else
        snprintf(out, 80, "%s>=%.2f", name, cut);
}

/* ---- counting and scoring ---- */

struct scores_job {
    ts_job job;
    struct scores *scores;
    bool score;
    ts_histogram hist[TS_HISTOGRAMS];
    size_t n;
    ts_counts counts;
    ts_score_report report;
};

static void scores_run(ts_job *job) {
    struct scores_job *s = (struct scores_job *)job;
    ts_store *st = s->scores->screen.app->scanner;
    if (s->score) job->status = ts_score_all(st, &job->progress, &s->report, &job->err);
    if (job->status == TS_OK) job->status = ts_store_counts(st, &s->counts, &job->err);
    if (job->status == TS_OK) job->status = ts_histograms_read(st, s->hist, &s->n, &job->progress, &job->err);
}

static void find_worst(struct scores *k);

static void scores_done(ts_job *job) {
    struct scores_job *s = (struct scores_job *)job;
    struct scores *k = s->scores;
    ts_app *app = k->screen.app;
    char n[32];
    if (s->score) k->scoring = false;
    if (job->status == TS_OK) {
        memcpy(k->hist, s->hist, sizeof k->hist);
        k->n = s->n;
        k->counts = s->counts;
        k->loaded = true;
        if (s->score) {
            ts_app_say(app, TS_R_OK, "scored %s rows, mean %.2f", ts_thousands(s->report.rows, n), s->report.mean);
            ts_app_changed(app, false);
        }
        find_worst(k);
    } else if (job->status != TS_CANCELLED) {
        ts_app_say(app, TS_R_ERROR, "%s", job->err.text);
    }
    free(s);
}

static void start(struct scores *k, bool score) {
    struct scores_job *s = ts_calloc(1, sizeof *s);
    s->job = (ts_job){
        .title = score ? "scoring" : "counting findings", .kind = KIND_SCORES, .run = scores_run, .done = scores_done};
    s->scores = k;
    s->score = score;
    k->scoring |= score;
    ts_queue_push(k->screen.app->jobs, &s->job);
}

/* ---- scoring by the model ---- */

struct lm_job {
    ts_job job;
    struct scores *scores;
    ts_lm_options o;
    char *run, *log;
    ts_lm_report report;
};

static void lm_run(ts_job *job) {
    struct lm_job *l = (struct lm_job *)job;
    job->status = ts_lm_scores(&l->o, &job->progress, &l->report, &job->err);
}

static void lm_done(ts_job *job) {
    struct lm_job *l = (struct lm_job *)job;
    ts_app *app = l->scores->screen.app;
    char n[32];
    l->scores->by_model = false;
    if (job->status == TS_OK)
        ts_app_say(app, TS_R_OK, "scored %s rows by the model in %.0f s; C in Browse shows loss, ifd_loss, learning ..",
                   ts_thousands(l->report.scored, n), l->report.seconds);
    else
        ts_app_say(app, job->status == TS_CANCELLED ? TS_R_WARN : TS_R_ERROR, "%s",
                   job->status == TS_CANCELLED ? "stopped; what was scored is kept, m goes on" : job->err.text);
    ts_app_changed(app, false);
    free(l->run);
    free(l->log);
    free(l);
}

/* run NULL: the workspace's model alone. */
static void start_lm(struct scores *k, const char *run) {
    ts_app *app = k->screen.app;
    struct lm_job *l = ts_calloc(1, sizeof *l);
    l->job = (ts_job){.title = "scoring by the model", .kind = KIND_LM, .run = lm_run, .done = lm_done};
    l->scores = k;
    l->run = run && *run ? ts_strdup(run) : NULL;
    l->log = ts_path_join(app->folder, "engine.log");
    l->o = (ts_lm_options){.ws = app->folder, .run = l->run, .log = l->log};
    k->by_model = true;
    ts_queue_push(app->models, &l->job);
    ts_app_say(app, TS_R_OK, "scoring by the model; c stops it");
}

static void lm_entered(ts_app *app, void *ctx, const char *text) {
    (void)app;
    start_lm(ctx, text);
}

static void ask_lm(struct scores *k, const char *arg) {
    if (arg)
        start_lm(k, arg);
    else
        ts_prompt_open(k->screen.app, &(ts_prompt_options){.label = "what a run learnt too:",
                                                           .hint = "run:3   run:3/best   empty: the model alone",
                                                           .done = lm_entered,
                                                           .ctx = k});
}

/* ---- the rows under the cut ---- */

struct worst_job {
    ts_job job;
    struct scores *scores;
    size_t of;
    int cut;
    char where[80], sort[40];
    ts_view *view;
};

static void worst_run(ts_job *job) {
    struct worst_job *w = (struct worst_job *)job;
    job->status =
        ts_view_new(&w->view, w->scores->screen.app->scanner, w->where, w->sort, &job->progress, NULL, &job->err);
}

static void worst_done(ts_job *job) {
    struct worst_job *w = (struct worst_job *)job;
    struct scores *k = w->scores;
    if (job->status == TS_OK) {
        int64_t at = k->rows.cursor < ts_view_count(k->worst) ? ts_view_id(k->worst, k->rows.cursor) : 0;
        bool same = k->worst_of == w->of && k->worst_cut == w->cut;
        ts_view_free(k->worst);
        k->worst = w->view;
        k->worst_of = w->of;
        k->worst_cut = w->cut;
        w->view = NULL;
        size_t find = same && at ? ts_view_find(k->worst, at) : 0;
        if (!same)
            k->rows = (ts_list){0};
        else if (find < ts_view_count(k->worst))
            k->rows.cursor = find;
    } else if (job->status != TS_CANCELLED) {
        ts_app_say(k->screen.app, TS_R_ERROR, "%s", job->err.text);
    }
    ts_view_free(w->view);
    free(w);
}

static void find_worst(struct scores *k) {
    if (!k->loaded || k->counts.scored == 0) return;
    struct worst_job *w = ts_calloc(1, sizeof *w);
    w->job = (ts_job){.title = "reading rows", .kind = KIND_WORST, .run = worst_run, .done = worst_done};
    w->scores = k;
    w->of = k->list.cursor;
    w->cut = cut_of(k);
    cut_query(k, w->where);
    snprintf(w->sort, sizeof w->sort, "%s%s", is_overall(k) ? "" : "-", k->hist[k->list.cursor].name);
    ts_queue_cancel(k->screen.app->jobs, KIND_WORST);
    ts_queue_push(k->screen.app->jobs, &w->job);
}

/* The rows shown are those of the metric and cut chosen now. */
static bool rows_fit(const struct scores *k) {
    return k->worst && k->worst_of == k->list.cursor && k->worst_cut == cut_of(k);
}

static int64_t row_here(const struct scores *k) {
    return rows_fit(k) && k->rows.cursor < ts_view_count(k->worst) ? ts_view_id(k->worst, k->rows.cursor) : 0;
}

/* ---- drawing ---- */

static void draw_metric(const struct scores *k, size_t at, ts_canvas *c, ts_rect r, int y) {
    char n[32];
    bool any = k->hist[at].rows > 0;
    ts_put(c, r.x + 2, y, r.w - 13, any ? TS_R_STRONG : TS_R_DIM, k->hist[at].name);
    ts_put_right(c, r.x + r.w - 11, y, 9, at == 0 || !any ? TS_R_DIM : TS_R_WARN,
                 k->counts.scored ? ts_thousands(k->hist[at].rows, n) : "-");
    if (at != k->list.cursor) return;
    ts_put(c, r.x, y, 1, TS_R_KEY, ">");
    if (!k->on_rows) ts_select(c, r.x, y, r.w - 1);
}

static void draw_metrics(struct scores *k, ts_canvas *c, ts_rect r) {
    k->list_rect = r;
    ts_put(c, r.x + 2, r.y, 16, TS_R_DIM, "score or rule");
    ts_put_right(c, r.x + r.w - 11, r.y, 9, TS_R_DIM, "rows");
    ts_list_fit(&k->list, k->n, r.h - 1);
    for (int i = 0; i < r.h - 1 && k->list.top + (size_t)i < k->n; i++)
        draw_metric(k, k->list.top + (size_t)i, c, r, r.y + 1 + i);
}

/* Height of a bar in eighths of a cell; what is there is seen. */
static int bar_height(const struct scores *k, int64_t rows, int64_t most, int cells) {
    if (rows == 0) return 0;
    double share = k->log ? log((double)rows + 1) / log((double)most + 1) : (double)rows / (double)most;
    return TS_MAX(1, (int)lround(share * cells * 8));
}

static void draw_bar(ts_canvas *c, int x, int bottom, int eighths, int w, ts_role role) {
    static const char *const parts[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    for (int y = bottom; eighths > 0; y--, eighths -= 8)
        for (int i = 0; i < w; i++)
            ts_put(c, x + i, y, 1, role,
                   c->ascii ? (eighths >= 4 || y == bottom ? "#" : " ") : parts[TS_MIN(eighths, 8)]);
}

/* Bars of two columns and a scale below, with the cut in it; the rows that it takes are marked. */
static void draw_histogram(const struct scores *k, ts_canvas *c, ts_rect r) {
    const ts_histogram *h = &k->hist[k->list.cursor];
    int w = r.w >= TS_HISTOGRAM_BINS * 2 + 2 ? 2 : 1, bottom = r.y + r.h - 2, scale = bottom + 1, x = r.x + 1;
    int64_t most = 1;
    for (int i = 0; i < TS_HISTOGRAM_BINS; i++)
        most = TS_MAX(most, h->bins[i]);
    for (int i = 0; i < TS_HISTOGRAM_BINS; i++) {
        bool in = is_overall(k) ? i < cut_of(k) : i >= cut_of(k);
        draw_bar(c, x + i * w, bottom, bar_height(k, h->bins[i], most, r.h - 1), w, in ? TS_R_WARN : TS_R_DIM);
    }
    ts_hline(c, x, scale, TS_HISTOGRAM_BINS * w);
    ts_put(c, x - 1, scale, 1, TS_R_DIM, "0");
    ts_put(c, x + TS_HISTOGRAM_BINS * w, scale, 1, TS_R_DIM, "1");
    ts_put(c, x + cut_of(k) * w - (cut_of(k) == TS_HISTOGRAM_BINS), scale, 1, TS_R_KEY, "^");
}

static void draw_cut(const struct scores *k, ts_canvas *c, int x, int y, int w) {
    const ts_histogram *h = &k->hist[k->list.cursor];
    char n[2][32], where[80], spread[60] = "";
    cut_query(k, where);
    int used = ts_putf(c, x, y, w, TS_R_STRONG, "%s: %s of %s rows", where, ts_thousands(taken(k), n[0]),
                       ts_thousands(k->counts.scored, n[1]));
    if (h->rows && is_overall(k)) snprintf(spread, sizeof spread, "5%% have %.2f or less, half %.2f", h->p5, h->p50);
    if (h->rows && !is_overall(k)) snprintf(spread, sizeof spread, "half of them %.2f or less", h->p50);
    ts_put(c, x + used + 3, y, w - used - 3, TS_R_DIM, spread);
}

static double value_of(const struct scores *k, const ts_row *row) {
    ts_rule_value *rules;
    size_t n;
    ts_app *app = k->screen.app;
    if (is_overall(k)) return row->score;
    if (ts_row_scores(app->reader, row->id, &rules, &n, &app->frame, NULL) != TS_OK) return NAN;
    for (size_t i = 0; i < n; i++)
        if (strcmp(rules[i].rule, k->hist[k->list.cursor].name) == 0) return rules[i].value;
    return 0;
}

static void draw_rows(struct scores *k, ts_canvas *c, ts_rect r) {
    ts_app *app = k->screen.app;
    size_t count = rows_fit(k) ? ts_view_count(k->worst) : 0;
    char number[32];
    k->rows_rect = r;
    ts_list_fit(&k->rows, count, r.h);
    size_t n = TS_MIN(count - TS_MIN(k->rows.top, count), (size_t)TS_MAX(r.h, 0));
    if (n == 0) {
        ts_put(c, r.x + 2, r.y, r.w - 2, TS_R_DIM, rows_fit(k) ? "no row: the cut takes none" : "");
        return;
    }
    ts_row *rows = ts_arena_alloc(&app->frame, n * sizeof *rows);
    const int64_t *ids = ts_view_ids(k->worst) + k->rows.top;
    if (ts_rows_read(app->reader, ids, n, rows, &app->frame, NULL) != TS_OK) return;
    for (size_t i = 0; i < n; i++) {
        int y = r.y + (int)i;
        char sign[2] = {ts_row_sign(rows[i].status), 0};
        bool here = k->rows.top + i == k->rows.cursor;
        rows[i].id = ids[i];
        ts_putf(c, r.x + 2, y, 5, TS_R_WARN, "%.2f", value_of(k, &rows[i]));
        ts_put_right(c, r.x + 7, y, 8, TS_R_DIM, ts_thousands(ids[i], number));
        ts_put(c, r.x + 16, y, 1, ts_row_role(rows[i].status), sign);
        ts_text t = rows[i].instruction.n ? rows[i].instruction : (ts_text){"(empty)", 7};
        ts_putn(c, r.x + 18, y, r.w - 18, rows[i].status == TS_REJECTED ? TS_R_DIM : TS_R_TEXT, t.s, t.n);
        if (here) ts_put(c, r.x, y, 1, TS_R_KEY, ">");
        if (here && k->on_rows) ts_select(c, r.x, y, r.w);
    }
}

static void draw_about(const struct scores *k, ts_canvas *c, ts_rect r) {
    const char *name = k->hist[k->list.cursor].name;
    size_t rule = ts_rule_find(name, strlen(name)), scroll = 0;
    ts_doc d = ts_doc_new(&k->screen.app->frame, r.w - 2);
    ts_hline(c, r.x, r.y, r.w);
    if (is_overall(k)) {
        ts_doc_labelled(&d, "score", 16, TS_R_TEXT, "1 is best: what is left when every finding took its share", 57);
    } else if (rule == ts_rule_count()) {
        ts_doc_labelled(&d, "finds", 16, TS_R_TEXT, "what your own file of rules says", 32);
    } else {
        char *finds = ts_arena_printf(&k->screen.app->frame, "%s (takes up to %.0f%% of the score)",
                                      ts_rules[rule].finds, 100 * ts_rules[rule].weight);
        ts_doc_labelled(&d, "finds", 16, TS_R_TEXT, finds, strlen(finds));
        if (ts_rules[rule].false_alarms)
            ts_doc_labelled(&d, "may be wrong on", 16, TS_R_TEXT, ts_rules[rule].false_alarms,
                            strlen(ts_rules[rule].false_alarms));
    }
    ts_doc_draw(&d, c, (ts_rect){r.x + 1, r.y + 1, r.w - 2, r.h - 1}, &scroll);
    ts_doc_release(&d);
}

static void draw_unscored(const struct scores *k, ts_canvas *c, ts_rect r) {
    ts_put(c, r.x + 3, r.y + 2, r.w - 4, TS_R_STRONG,
           k->scoring   ? "Scoring all rows."
           : !k->loaded ? "Counting."
                        : "No row is scored yet.");
    if (k->loaded && !k->scoring)
        ts_put(c, r.x + 3, r.y + 3, r.w - 4, TS_R_TEXT, "R scores all rows by the rules; nothing is changed by it.");
}

static void scores_draw(ts_screen *s, ts_canvas *c, ts_rect body) {
    struct scores *k = (struct scores *)s;
    int left = body.w >= 100 ? 34 : 28, about = body.h >= 16 ? 4 : 3;
    k->list_rect = k->rows_rect = (ts_rect){0};
    if (!k->loaded || k->counts.scored == 0) {
        draw_unscored(k, c, body);
        return;
    }
    ts_rect r = {body.x, body.y, body.w, body.h - about};
    int bars = k->zoom ? 0 : TS_MIN(8, r.h / 2);
    if (k->zoom) left = 0;
    if (left) draw_metrics(k, c, (ts_rect){r.x, r.y, left, r.h});
    if (left) ts_vline(c, left, r.y, r.h);
    ts_rect right = {r.x + left + (left > 0), r.y, r.w - left - (left > 0), r.h};
    if (bars) draw_histogram(k, c, (ts_rect){right.x + 1, right.y, right.w - 2, bars});
    draw_cut(k, c, right.x + 2, right.y + bars, right.w - 3);
    draw_rows(k, c, (ts_rect){right.x, right.y + bars + 1, right.w, right.h - bars - 1});
    draw_about(k, c, (ts_rect){body.x, body.y + r.h, body.w, about});
}

static void scores_status(ts_screen *s, char *left, char *right) {
    struct scores *k = (struct scores *)s;
    char a[32], b[32];
    if (!k->loaded) return;
    snprintf(left, 200, "%s of %s rows are scored%s", ts_thousands(k->counts.scored, a),
             ts_thousands(k->counts.rows, b), k->log ? "   logarithmic bars" : "");
    if (k->on_rows)
        snprintf(right, 200, "row %s / %s", ts_thousands((int64_t)k->rows.cursor + 1, a),
                 ts_thousands((int64_t)k->rows.count, b));
    else
        snprintf(right, 200, "score %zu / %zu", k->list.cursor + 1, k->n);
}

/* ---- the screen ---- */

static ts_screen *scores_create(ts_app *app) {
    struct scores *k = ts_calloc(1, sizeof *k);
    k->screen.app = app;
    k->cut[0] = TS_HISTOGRAM_BINS / 2;
    return &k->screen;
}

static void scores_free(ts_screen *s) {
    ts_view_free(((struct scores *)s)->worst);
    free(s);
}

static void scores_shown(ts_screen *s) {
    struct scores *k = (struct scores *)s;
    if (!k->scoring) start(k, false);
}

/* Decisions change no score; what changes rows is counted again as soon as somebody looks. */
static void scores_changed(ts_screen *s, bool rows) {
    struct scores *k = (struct scores *)s;
    if (rows && k->loaded && !k->scoring && s->app->current == TS_SCREEN_SCORES) start(k, false);
}

static unsigned scores_place(const ts_screen *s) {
    (void)s;
    return TS_IN_SCORES;
}

static const char *scores_why_not(ts_screen *s, ts_command_id id) {
    const struct scores *k = (const struct scores *)s;
    bool decides =
        id == TS_DO_ACCEPT || id == TS_DO_REJECT || id == TS_DO_LATER || id == TS_DO_RENEW || id == TS_DO_DISMISS;
    bool needs = decides || id == TS_DO_OPEN || id == TS_DO_CUT_LESS || id == TS_DO_CUT_MORE || id == TS_DO_LOG_SCALE ||
                 id == TS_DO_PANE_NEXT || id == TS_DO_PANE_PREV || id == TS_DO_ZOOM;
    if (needs && k->counts.scored == 0) return "no row is scored yet; R scores them";
    if (decides && !k->on_rows) return "Tab goes to the rows, where one is decided on";
    if (decides && !row_here(k)) return "there is no row";
    if ((decides || id == TS_DO_RELOAD) && ts_store_read_only(s->app->reader)) return "this workspace can only be read";
    if (id == TS_DO_RELOAD && k->scoring) return "scoring goes on; c stops it";
    if (id == TS_DO_SCORE_MODEL && ts_store_read_only(s->app->reader)) return "this workspace can only be read";
    if (id == TS_DO_SCORE_MODEL && k->by_model) return "scoring by the model goes on; c stops it";
    if (id == TS_DO_CANCEL && !k->scoring && !k->by_model) return "nothing goes on that could be stopped";
    if (id == TS_DO_COPY) return "nothing to copy here";
    return NULL;
}

static void show_rows(struct scores *k) {
    char where[80];
    cut_query(k, where);
    ts_browse_show(k->screen.app, where, k->hist[k->list.cursor].name, !is_overall(k), k->on_rows ? row_here(k) : 0);
}

static ts_status run_status(ts_act *a, ts_store *st, ts_err *err) {
    return ts_rows_set_status(st, &a->id, 1, (ts_row_status)a->number, &a->done, err);
}

static void decide(struct scores *k, ts_row_status status) {
    ts_act *a = ts_act_new(k->screen.app, run_status);
    a->id = row_here(k);
    a->number = (int)status;
    ts_act_push(a);
    ts_list_move(&k->rows, 1);
}

static bool decide_command(struct scores *k, ts_command_id id) {
    switch (id) {
    case TS_DO_ACCEPT:
        decide(k, TS_ACCEPTED);
        return true;
    case TS_DO_REJECT:
        decide(k, TS_REJECTED);
        return true;
    case TS_DO_LATER:
        decide(k, TS_LATER);
        return true;
    case TS_DO_RENEW:
        decide(k, TS_NEW);
        return true;
    case TS_DO_DISMISS:
        ts_dismiss_open(k->screen.app, row_here(k), is_overall(k) ? NULL : k->hist[k->list.cursor].name);
        return true;
    default:
        return false;
    }
}

static void move_cut(struct scores *k, int by) {
    int *cut = &k->cut[k->list.cursor];
    *cut = TS_MAX(0, TS_MIN(*cut + by, TS_HISTOGRAM_BINS - !is_overall(k)));
    find_worst(k);
}

static bool move_command(struct scores *k, ts_command_id id) {
    size_t before = k->list.cursor;
    if (k->on_rows) return ts_list_command(&k->rows, id);
    if (!ts_list_command(&k->list, id)) return false;
    if (k->list.cursor != before) find_worst(k);
    return true;
}

static bool scores_command(ts_screen *s, ts_command_id id, const char *arg) {
    struct scores *k = (struct scores *)s;
    if (move_command(k, id) || decide_command(k, id)) return true;
    switch (id) {
    case TS_DO_OPEN:
        show_rows(k);
        return true;
    case TS_DO_CUT_LESS:
    case TS_DO_CUT_MORE:
        move_cut(k, id == TS_DO_CUT_MORE ? 1 : -1);
        return true;
    case TS_DO_LOG_SCALE:
        k->log = !k->log;
        return true;
    case TS_DO_PANE_NEXT:
    case TS_DO_PANE_PREV:
        k->on_rows = !k->on_rows;
        if (!k->on_rows) k->zoom = false;
        return true;
    case TS_DO_ZOOM:
        k->zoom = !k->zoom;
        k->on_rows |= k->zoom;
        return true;
    case TS_DO_RELOAD:
        start(k, true);
        return true;
    case TS_DO_SCORE_MODEL:
        ask_lm(k, arg);
        return true;
    case TS_DO_CANCEL:
        ts_queue_cancel(s->app->jobs, KIND_SCORES);
        ts_queue_cancel(s->app->models, KIND_LM);
        return true;
    case TS_DO_BACK:
    case TS_DO_BACK_OUT:
        if (k->zoom || k->on_rows)
            k->zoom = k->on_rows = false;
        else
            ts_app_show(s->app, TS_SCREEN_BROWSE);
        return true;
    default:
        return false;
    }
}

static bool inside(ts_rect r, const ts_input *in) {
    return in->x >= r.x && in->y >= r.y && in->x < r.x + r.w && in->y < r.y + r.h;
}

static bool scores_input(ts_screen *s, const ts_input *in) {
    struct scores *k = (struct scores *)s;
    bool rows = inside(k->rows_rect, in), metrics = inside(k->list_rect, in);
    if (in->kind == TS_IN_WHEEL && k->n) {
        ts_list_move(rows ? &k->rows : &k->list, in->delta > 0 ? 1 : -1);
        if (!rows) find_worst(k);
        return true;
    }
    if (in->kind != TS_IN_CLICK) return false;
    if (rows) {
        size_t at = k->rows.top + (size_t)(in->y - k->rows_rect.y);
        if (at < k->rows.count) k->rows.cursor = at;
        k->on_rows = true;
    } else if (metrics && in->y > k->list_rect.y) {
        size_t at = k->list.top + (size_t)(in->y - k->list_rect.y - 1);
        if (at < k->n) k->list.cursor = at;
        k->on_rows = false;
        find_worst(k);
    }
    if (in->twice && (rows || metrics) && k->counts.scored) show_rows(k);
    return true;
}

const ts_screen_ops ts_scores_ops = {
    .tab = "3 Scores",
    .key = TS_DO_SCREEN_SCORES,
    .create = scores_create,
    .free = scores_free,
    .shown = scores_shown,
    .place = scores_place,
    .draw = scores_draw,
    .status = scores_status,
    .command = scores_command,
    .why_not = scores_why_not,
    .input = scores_input,
    .changed = scores_changed,
};
