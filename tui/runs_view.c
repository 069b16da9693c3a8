#include "tui/runs_view.h"

#include "core/base/clock.h"
#include "core/work/turns.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ts_watcher {
    ts_runs runs;
    ts_names names;   /* of the runs folder, to see new and deleted ones */
    double next_list; /* and notes and settings are read again from time to time */
    int64_t wanted[16];
    size_t n_wanted;
    bool waits;
    double next_start; /* when to look after the queue again */
};

void ts_watcher_free(ts_watcher *w) {
    if (!w) return;
    ts_runs_release(&w->runs);
    ts_names_release(&w->names);
    free(w);
}

static void release_run(ts_run_view *v) {
    free(v->dir);
    free(v->base);
    free(v->command);
    free(v->where);
    free(v->step_x);
    free(v->loss_y);
    free(v->norm_y);
    free(v->speed_y);
    free(v->rate_y);
    free(v->eval_x);
    free(v->eval_y);
    free(v->general_x);
    free(v->general_y);
    for (size_t i = 0; i < v->n_log; i++)
        free(v->log[i]);
    free(v->log);
    for (size_t i = 0; i < v->n_prompts; i++)
        free(v->prompts[i]);
    free(v->prompts);
    for (size_t i = 0; i < v->n_samples; i++)
        free(v->samples[i].text);
    free(v->samples);
}

void ts_runs_view_release(ts_runs_view *v) {
    for (size_t i = 0; i < v->n; i++)
        release_run(&v->items[i]);
    free(v->items);
    *v = (ts_runs_view){0};
}

static void copy_points(ts_run_view *v, const ts_follow *f) {
    size_t n = f->n_points;
    double **columns[] = {&v->step_x, &v->loss_y, &v->norm_y, &v->speed_y, &v->rate_y};
    for (size_t k = 0; k < TS_COUNT(columns); k++)
        *columns[k] = ts_calloc(n + 1, sizeof **columns[k]);
    for (size_t i = 0; i < n; i++) {
        v->step_x[i] = (double)f->points[i].step;
        v->loss_y[i] = f->points[i].loss;
        v->norm_y[i] = f->points[i].grad_norm;
        v->speed_y[i] = f->points[i].seconds > 0 ? f->points[i].tokens / f->points[i].seconds : NAN;
        v->rate_y[i] = f->points[i].lr;
    }
    v->n_points = n;
    v->eval_x = ts_calloc(f->n_evals + 1, sizeof *v->eval_x);
    v->eval_y = ts_calloc(f->n_evals + 1, sizeof *v->eval_y);
    for (size_t i = 0; i < f->n_evals; i++) {
        v->eval_x[i] = (double)f->evals[i].step;
        v->eval_y[i] = f->evals[i].loss;
    }
    v->n_evals = f->n_evals;
    v->general_x = ts_calloc(f->n_generals + 1, sizeof *v->general_x);
    v->general_y = ts_calloc(f->n_generals + 1, sizeof *v->general_y);
    for (size_t i = 0; i < f->n_generals; i++) {
        v->general_x[i] = (double)f->generals[i].step;
        v->general_y[i] = f->generals[i].loss;
    }
    v->n_generals = f->n_generals;
    v->log = ts_calloc(f->n_log + 1, sizeof *v->log);
    for (size_t i = 0; i < f->n_log; i++)
        v->log[i] = ts_strdup(f->log[i]);
    v->n_log = f->n_log;
}

/* "lora r 16 alpha 32  all-linear" */
static void describe_method(const ts_run_settings *s, char *out, size_t n) {
    const ts_method_facts *method = ts_run_method(s);
    if (method && method->whole)
        snprintf(out, n, "%s  %s", method->name, s->train_modules && *s->train_modules ? s->train_modules : "all");
    else
        snprintf(out, n, "%s r %lld alpha %g  %s", s->method ? s->method : "?", (long long)s->r, s->lora_alpha,
                 s->target_modules ? s->target_modules : "?");
}

static void copy_samples(ts_run_view *v, const ts_follow *f) {
    v->prompts = ts_calloc(f->n_prompts + 1, sizeof *v->prompts);
    v->samples = ts_calloc(f->n_samples + 1, sizeof *v->samples);
    v->n_prompts = f->n_prompts;
    v->n_samples = f->n_samples;
    for (size_t i = 0; i < f->n_prompts; i++)
        v->prompts[i] = ts_strdup(f->prompts[i] ? f->prompts[i] : "");
    for (size_t i = 0; i < f->n_samples; i++)
        v->samples[i] = (ts_run_sample){f->samples[i].step, f->samples[i].prompt, ts_strdup(f->samples[i].text)};
}

static void describe_settings(ts_run_view *v, const ts_run_settings *s) {
    char iso[32], method[120];
    ts_buf command = TS_BUF_INIT;
    describe_method(s, method, sizeof method);
    snprintf(v->settings, sizeof v->settings, "%s  batch %lldx%lld  lr %g %s  length %lld  seed %lld", method,
             (long long)s->batch_size, (long long)s->grad_accum, s->learning_rate, s->schedule ? s->schedule : "?",
             (long long)s->max_length, (long long)s->seed);
    ts_wall_iso(s->created_ms, iso);
    if (s->created_ms > 0) snprintf(v->created, sizeof v->created, "%.2s-%.2s %.5s", iso + 5, iso + 8, iso + 11);
    ts_run_settings_command(s, &command);
    v->command = ts_strdup(ts_buf_str(&command));
    ts_buf_release(&command);
    v->base = ts_strdup(s->model ? s->model : "");
    v->where = s->where ? ts_strdup(s->where) : NULL;
    v->rows = s->train_rows;
    v->valid_rows = s->valid_rows;
    v->r = s->r;
}

static void copy_run(ts_run_view *v, const ts_run_info *i, bool points) {
    const ts_follow *f = &i->follow;
    *v = (ts_run_view){.id = i->id, .dir = ts_strdup(i->dir), .readable = i->readable, .state = f->state};
    snprintf(v->name, sizeof v->name, "%s", i->name ? i->name : "");
    const char *tags = i->tags ? i->tags : "";
    snprintf(v->tags, sizeof v->tags, "%s", tags);
    snprintf(v->note, sizeof v->note, "%s", i->note ? i->note : "");
    snprintf(v->model, sizeof v->model, "%s", i->model_name ? i->model_name : "");
    snprintf(v->problem, sizeof v->problem, "%.250s", i->problem);
    if (!i->readable) return;
    snprintf(v->reason, sizeof v->reason, "%s", f->reason);
    snprintf(v->paused, sizeof v->paused, "%s", f->paused);
    describe_settings(v, &i->settings);
    v->steps = f->steps;
    v->step = f->step;
    v->best_step = f->best_step;
    v->trainable = f->trainable_params;
    v->all = f->all_params;
    v->peak_rss = f->peak_rss;
    v->loss = f->n_points ? f->points[f->n_points - 1].loss : NAN;
    v->valid_loss = f->valid_loss;
    v->best_valid_loss = f->best_valid_loss;
    v->tokens_per_second = f->tokens_per_second;
    v->seconds = f->seconds;
    v->eta = f->eta;
    if (!points) return;
    copy_points(v, f);
    copy_samples(v, f);
}

static bool same_names(const ts_names *a, const ts_names *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->items[i], b->items[i]) != 0) return false;
    return true;
}

/* Lists anew when folders came or went, and every few seconds. */
static ts_status list_if_needed(ts_watcher *w, const char *ws, bool fresh, bool *changed, ts_err *err) {
    char *path = ts_path_join(ws, "runs");
    ts_names names = {0};
    ts_status status = TS_OK;
    if (ts_is_dir(path)) status = ts_dir_list(path, &names, err);
    free(path);
    if (status == TS_OK && (fresh || !same_names(&names, &w->names) || ts_now() > w->next_list)) {
        ts_runs_release(&w->runs);
        status = ts_runs_list(ws, &w->runs, err);
        w->next_list = ts_now() + 5;
        *changed = true;
    }
    ts_names_release(&w->names);
    w->names = names;
    return status;
}

static bool over(ts_run_state s) {
    return s == TS_RUN_DONE || s == TS_RUN_FAILED;
}

static bool running(const ts_runs *runs) {
    bool any = false;
    for (size_t i = 0; i < runs->n; i++)
        any |= runs->items[i].readable && runs->items[i].follow.state == TS_RUN_RUNNING;
    return any;
}

/* Runs wait and nothing trains: the run before was killed, or the machine was. The workbench goes on with the queue. */
static void see_to_queue(struct ts_watcher *w, const char *ws, ts_runs_view *out, bool *changed) {
    ts_err err;
    char *started = NULL;
    bool any = false;
    for (size_t i = 0; i < w->runs.n; i++)
        any |= w->runs.items[i].readable && w->runs.items[i].follow.state == TS_RUN_WAITING;
    if (!any || running(&w->runs) || ts_now() < w->next_start) return;
    w->next_start = ts_now() + 1;
    ts_status status = ts_runs_next(ws, 0, &started, &err);
    if (started) snprintf(out->begun, sizeof out->begun, "%.60s begins: it was its turn", ts_path_base(started));
    if (status != TS_OK && status != TS_BUSY) snprintf(out->begun, sizeof out->begun, "%.150s", err.text);
    if (*out->begun) *changed = true;
    free(started);
}

ts_status ts_watcher_look(ts_watcher **at, const char *ws, const int64_t *wanted, size_t n_wanted, bool fresh,
                          ts_runs_view *out, bool *changed, ts_err *err) {
    bool first = !*at;
    if (first) *at = ts_calloc(1, sizeof **at);
    ts_watcher *w = *at;
    n_wanted = TS_MIN(n_wanted, TS_COUNT(w->wanted));
    *changed = first || n_wanted != w->n_wanted || memcmp(wanted, w->wanted, n_wanted * sizeof *wanted) != 0;
    memcpy(w->wanted, wanted, n_wanted * sizeof *wanted);
    w->n_wanted = n_wanted;
    TS_TRY(list_if_needed(w, ws, fresh || first, changed, err));
    for (size_t i = 0; i < w->runs.n; i++) {
        bool news = false;
        if (!w->runs.items[i].readable || over(w->runs.items[i].follow.state)) continue;
        TS_TRY(ts_follow_poll(&w->runs.items[i].follow, &news, err));
        *changed |= news;
    }
    see_to_queue(w, ws, out, changed);
    bool waits = running(&w->runs) && ts_turns_answers_wanted();
    *changed |= waits != w->waits;
    w->waits = out->waits = waits;
    if (!*changed) return TS_OK;
    out->items = ts_calloc(w->runs.n + 1, sizeof *out->items);
    out->n = w->runs.n;
    for (size_t i = 0; i < w->runs.n; i++) {
        bool points = false;
        for (size_t k = 0; k < n_wanted; k++)
            points |= wanted[k] == w->runs.items[i].id;
        copy_run(&out->items[i], &w->runs.items[i], points);
        out->items[i].number = ts_runs_number(&w->runs, i);
    }
    return TS_OK;
}
