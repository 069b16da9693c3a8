/* Scores: what each rule finds, how often, and where the rule is known to be wrong. Enter shows the rows in Browse. */
#include "dataset/score.h"
#include "tui/browse.h"
#include "tui/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_SCORES = 7, RULES_MAX = 64 };

struct scores {
    ts_screen screen;
    ts_list list;
    int64_t hits[RULES_MAX]; /* rows with a finding, by rule */
    ts_counts counts;
    bool loaded, scoring;
    ts_rect list_rect;
};

/* ---- counting and scoring ---- */

struct scores_job {
    ts_job job;
    struct scores *scores;
    bool score;
    int64_t hits[RULES_MAX];
    ts_counts counts;
    ts_score_report report;
};

static ts_status count_rule(ts_store *st, const char *rule, int64_t *out, ts_progress *progress, ts_err *err) {
    ts_view *view;
    char *where = ts_printf("%s>0", rule);
    ts_status status = ts_view_new(&view, st, where, NULL, progress, NULL, err);
    if (status == TS_OK) *out = (int64_t)ts_view_count(view);
    if (status == TS_OK) ts_view_free(view);
    free(where);
    return status;
}

static void scores_run(ts_job *job) {
    struct scores_job *s = (struct scores_job *)job;
    ts_store *st = s->scores->screen.app->scanner;
    if (s->score) job->status = ts_score_all(st, &job->progress, &s->report, &job->err);
    if (job->status == TS_OK) job->status = ts_store_counts(st, &s->counts, &job->err);
    for (size_t i = 0; i < ts_rule_count() && i < RULES_MAX && job->status == TS_OK && s->counts.scored; i++)
        job->status = count_rule(st, ts_rules[i].name, &s->hits[i], &job->progress, &job->err);
}

static void scores_done(ts_job *job) {
    struct scores_job *s = (struct scores_job *)job;
    struct scores *k = s->scores;
    ts_app *app = k->screen.app;
    char n[32];
    if (s->score) k->scoring = false;
    if (job->status == TS_OK) {
        memcpy(k->hits, s->hits, sizeof k->hits);
        k->counts = s->counts;
        k->loaded = true;
        if (s->score) {
            ts_app_say(app, TS_R_OK, "scored %s rows, mean %.2f", ts_thousands(s->report.rows, n), s->report.mean);
            ts_app_changed(app, false);
        }
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

/* ---- drawing ---- */

static void draw_rule(const struct scores *k, size_t at, ts_canvas *c, ts_rect r, int y) {
    char n[32];
    bool here = at == k->list.cursor, any = k->hits[at] > 0;
    ts_role role = any ? TS_R_TEXT : TS_R_DIM;
    ts_put(c, r.x + 2, y, 18, any ? TS_R_STRONG : TS_R_DIM, ts_rules[at].name);
    ts_put_right(c, r.x + 20, y, 8, any ? TS_R_WARN : TS_R_DIM, k->counts.scored ? ts_thousands(k->hits[at], n) : "-");
    ts_put(c, r.x + 31, y, r.w - 32, role, ts_rules[at].finds);
    if (!here) return;
    ts_put(c, r.x, y, 1, TS_R_KEY, ">");
    ts_select(c, r.x, y, r.w);
}

static void draw_about(const struct scores *k, ts_canvas *c, ts_rect r) {
    const ts_rule *rule = &ts_rules[k->list.cursor];
    ts_doc d = ts_doc_new(&k->screen.app->frame, r.w - 2);
    size_t scroll = 0;
    ts_hline(c, r.x, r.y, r.w);
    ts_doc_linef(&d, 0, TS_R_TITLE, "%s takes up to %.0f%% of the score", rule->name, 100 * rule->weight);
    ts_doc_labelled(&d, "finds", 16, TS_R_TEXT, rule->finds, strlen(rule->finds));
    if (rule->false_alarms)
        ts_doc_labelled(&d, "may be wrong on", 16, TS_R_TEXT, rule->false_alarms, strlen(rule->false_alarms));
    ts_doc_draw(&d, c, (ts_rect){r.x + 1, r.y + 1, r.w - 2, r.h - 1}, &scroll);
    ts_doc_release(&d);
}

static void scores_draw(ts_screen *s, ts_canvas *c, ts_rect body) {
    struct scores *k = (struct scores *)s;
    int about = TS_MIN(6, body.h / 3);
    size_t n = TS_MIN(ts_rule_count(), (size_t)RULES_MAX);
    ts_rect r = {body.x, body.y, body.w, body.h - about};
    k->list_rect = r;
    ts_put(c, r.x + 2, r.y, 18, TS_R_DIM, "rule");
    ts_put_right(c, r.x + 20, r.y, 8, TS_R_DIM, "rows");
    ts_put(c, r.x + 31, r.y, r.w - 32, TS_R_DIM,
           k->scoring                           ? "scoring"
           : k->loaded && k->counts.scored == 0 ? "not scored yet: R scores all rows"
                                                : "what it finds");
    ts_list_fit(&k->list, n, r.h - 1);
    for (int i = 0; i < r.h - 1 && k->list.top + (size_t)i < n; i++)
        draw_rule(k, k->list.top + (size_t)i, c, r, r.y + 1 + i);
    draw_about(k, c, (ts_rect){body.x, body.y + r.h, body.w, about});
}

static void scores_status(ts_screen *s, char *left, char *right) {
    struct scores *k = (struct scores *)s;
    char a[32], b[32];
    if (!k->loaded) return;
    snprintf(left, 200, "%s of %s rows are scored", ts_thousands(k->counts.scored, a), ts_thousands(k->counts.rows, b));
    snprintf(right, 200, "rule %zu / %zu", k->list.cursor + 1, k->list.count);
}

/* ---- the screen ---- */

static ts_screen *scores_create(ts_app *app) {
    struct scores *k = ts_calloc(1, sizeof *k);
    k->screen.app = app;
    return &k->screen;
}

static void scores_free(ts_screen *s) {
    free(s);
}

static void scores_shown(ts_screen *s) {
    struct scores *k = (struct scores *)s;
    if (!k->scoring) start(k, false);
}

static unsigned scores_place(const ts_screen *s) {
    (void)s;
    return TS_IN_SCORES;
}

static const char *scores_why_not(ts_screen *s, ts_command_id id) {
    const struct scores *k = (const struct scores *)s;
    if (id == TS_DO_OPEN && k->counts.scored == 0) return "no row is scored yet; R scores them";
    if (id == TS_DO_RELOAD && k->scoring) return "scoring goes on; c stops it";
    if (id == TS_DO_RELOAD && ts_store_read_only(s->app->reader)) return "this workspace can only be read";
    if (id == TS_DO_CANCEL && !k->scoring) return "nothing goes on that could be stopped";
    if (id == TS_DO_ZOOM || id == TS_DO_PANE_NEXT || id == TS_DO_PANE_PREV || id == TS_DO_COPY)
        return "nothing to do here";
    return NULL;
}

static void show_rows(struct scores *k) {
    const char *rule = ts_rules[k->list.cursor].name;
    char *where = ts_printf("%s>0", rule);
    ts_browse_show(k->screen.app, where, rule);
    free(where);
}

static bool scores_command(ts_screen *s, ts_command_id id, const char *arg) {
    struct scores *k = (struct scores *)s;
    (void)arg;
    if (ts_list_command(&k->list, id)) return true;
    switch (id) {
    case TS_DO_OPEN:
        show_rows(k);
        return true;
    case TS_DO_RELOAD:
        start(k, true);
        return true;
    case TS_DO_CANCEL:
        ts_queue_cancel(s->app->jobs, KIND_SCORES);
        return true;
    case TS_DO_BACK:
    case TS_DO_BACK_OUT:
        ts_app_show(s->app, TS_SCREEN_BROWSE);
        return true;
    default:
        return false;
    }
}

static bool scores_input(ts_screen *s, const ts_input *in) {
    struct scores *k = (struct scores *)s;
    size_t at = k->list.top + (size_t)(in->y - k->list_rect.y - 1);
    if (in->kind == TS_IN_WHEEL) {
        ts_list_move(&k->list, in->delta > 0 ? 1 : -1);
        return true;
    }
    if (in->kind != TS_IN_CLICK) return false;
    if (in->y > k->list_rect.y && in->y < k->list_rect.y + k->list_rect.h && at < k->list.count) {
        k->list.cursor = at;
        if (in->twice && k->counts.scored) show_rows(k);
    }
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
};
