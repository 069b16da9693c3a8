/* Choosing the sides from a list: the base, the workspace's runs and what was made of them, the base with examples in
 * its prompt, and sides that were typed. */
#include "core/base/file.h"
#include "eval/runs.h"
#include "tui/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct choices {
    ts_job job;
    struct compare *screen;
    char *ws;
    char **sides, **lines; /* what is added, and what the person reads */
    size_t n, cap_sides, cap_lines;
};

static bool is_side(const struct compare *k, const char *side) {
    for (size_t i = 0; i < k->n_sides; i++)
        if (strcmp(k->sides[i], side) == 0) return true;
    return false;
}

static void add_choice(struct choices *c, char *side, char *line) {
    size_t n = c->n;
    TS_PUSH(c->lines, n, c->cap_lines, line);
    TS_PUSH(c->sides, c->n, c->cap_sides, side);
}

/* "run:3/best  0003-lora [good]  best 1.475  shorter answers" */
static void add_run(struct choices *c, const ts_run_info *r, bool best) {
    char *side = ts_printf("run:%lld%s", (long long)r->id, best ? "/best" : ""), loss[48] = "";
    double v = best ? r->follow.best_valid_loss : r->follow.valid_loss;
    if (isfinite(v)) snprintf(loss, sizeof loss, "  held out %.3f", v);
    add_choice(c, side,
               ts_printf("%-11s %s%s%s%s%s  %s", side, r->name, *r->tags ? " [" : "", r->tags, *r->tags ? "]" : "",
                         loss, r->note));
}

/* What needs no run; the others are typed (p), since they name a folder, a text, a model or an address. */
static void add_prompted(struct choices *c) {
    static const char *const prompted[][2] = {
        {"few-shot", "few-shot    the model, shown the 4 accepted examples nearest to the question"},
        {"retrieval:examples", "retrieval   the model, shown the 3 accepted examples that BM25 ranks first"}};
    for (size_t i = 0; i < TS_COUNT(prompted); i++)
        add_choice(c, ts_strdup(prompted[i][0]), ts_strdup(prompted[i][1]));
}

static bool holds(const char *dir, const char *name) {
    char *path = ts_path_join(dir, name);
    bool there = ts_is_file(path);
    free(path);
    return there;
}

/* What was made of runs and lies in WS/exports: adapters added up, merged models. */
static void add_exports(struct choices *c) {
    char *root = ts_path_join(c->ws, "exports");
    ts_names names = {0};
    ts_err ignored;
    if (!ts_is_dir(root) || ts_dir_list(root, &names, &ignored) != TS_OK) names.n = 0;
    for (size_t i = 0; i < names.n; i++) {
        char *dir = ts_path_join(root, names.items[i]);
        if (holds(dir, "adapter_config.json"))
            add_choice(c, ts_strdup(dir), ts_printf("%s  an adapter", dir));
        else if (holds(dir, "config.json"))
            add_choice(c, ts_printf("model:%s", dir), ts_printf("%s  a model", dir));
        free(dir);
    }
    ts_names_release(&names);
    free(root);
}

static void list_run(ts_job *job) {
    struct choices *c = (struct choices *)job;
    ts_runs runs;
    job->status = ts_runs_list(c->ws, &runs, &job->err);
    if (job->status != TS_OK) return;
    add_choice(c, ts_strdup("base"), ts_strdup("base        the model as it is"));
    for (size_t i = 0; i < runs.n; i++) {
        const ts_run_info *r = &runs.items[i];
        if (!r->readable) continue;
        if (r->follow.state == TS_RUN_DONE || r->follow.state == TS_RUN_STOPPED) add_run(c, r, false);
        if (isfinite(r->follow.best_valid_loss)) add_run(c, r, true);
    }
    ts_runs_release(&runs);
    add_exports(c);
    add_prompted(c);
}

static void free_choices(struct choices *c) {
    for (size_t i = 0; i < c->n; i++) {
        free(c->sides[i]);
        free(c->lines[i]);
    }
    free(c->sides);
    free(c->lines);
    free(c->ws);
    free(c);
}

/* The sides as they are, with this one more, or without it. */
static void side_chosen(ts_app *app, void *ctx, size_t index) {
    struct choices *c = ctx;
    struct compare *k = c->screen;
    const char *side = c->sides[index];
    bool away = is_side(k, side);
    ts_buf text = TS_BUF_INIT;
    for (size_t i = 0; i < k->n_sides; i++)
        if (strcmp(k->sides[i], side) != 0) compare_put_side(&text, k->sides[i]);
    if (!away) compare_put_side(&text, side);
    if (away && k->n_sides == 1)
        ts_app_say(app, TS_R_WARN, "one side stays");
    else if (!away && k->n_sides == SIDES_MAX)
        ts_app_say(app, TS_R_WARN, "%d sides are the most; choose one of them to take it away", SIDES_MAX);
    else
        compare_set_sides(k, ts_buf_str(&text));
    ts_buf_release(&text);
}

/* Sides that were typed stand in the list too, to be taken away. */
static void add_typed(struct choices *c) {
    const struct compare *k = c->screen;
    for (size_t i = 0; i < k->n_sides; i++) {
        bool listed = false;
        for (size_t n = 0; n < c->n; n++)
            listed |= strcmp(c->sides[n], k->sides[i]) == 0;
        if (!listed) add_choice(c, ts_strdup(k->sides[i]), ts_strdup(k->sides[i]));
    }
}

static void list_done(ts_job *job) {
    struct choices *c = (struct choices *)job;
    struct compare *k = c->screen;
    ts_app *app = k->screen.app;
    if (job->status != TS_OK) {
        if (job->status != TS_CANCELLED) ts_app_say(app, TS_R_ERROR, "%s", job->err.text);
        free_choices(c);
        return;
    }
    add_typed(c);
    for (size_t i = 0; i < c->n; i++) {
        char *line = ts_printf("%s %s", is_side(k, c->sides[i]) ? "*" : " ", c->lines[i]);
        free(c->lines[i]);
        c->lines[i] = line;
    }
    if (k->choices) free_choices(k->choices); /* of the menu before */
    k->choices = c;
    ts_menu_open(app, "A side more, or * one less", (const char *const *)c->lines, c->n, 0, side_chosen, c);
}

void compare_pick_side(struct compare *k) {
    struct choices *c = ts_calloc(1, sizeof *c);
    c->job = (ts_job){.run = list_run, .done = list_done};
    c->screen = k;
    c->ws = ts_strdup(k->screen.app->folder);
    ts_queue_push(k->screen.app->watch, &c->job);
}

void compare_forget_choices(struct compare *k) {
    if (k->choices) free_choices(k->choices);
    k->choices = NULL;
}
