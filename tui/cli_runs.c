/* runs: the training runs of a workspace. */
#include "core/base/clock.h"
#include "eval/runs_diff.h"
#include "eval/runs_queue.h"
#include "tui/cli_data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct runs_opts {
    const char *note, *tag, *rename, *delete, *stop, *resume, *hold, *release, *up, *down, *samples, *diff;
    bool queue;
};

static void put_loss(ts_jw *w, const char *key, double v) {
    ts_jw_knum(w, key, v); /* not measured: null */
}

static void put_tags(ts_jw *w, const char *tags) {
    ts_jw_key(w, "tags");
    ts_jw_arr(w);
    for (const char *at = tags; *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");
        ts_jw_strn(w, at, n);
        at += n;
    }
    ts_jw_end_arr(w);
}

static void print_json(const ts_run_info *r, size_t number) {
    const ts_follow *f = &r->follow;
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&line);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "run", r->id);
    ts_jw_kstr(&w, "name", r->name);
    ts_jw_kstr(&w, "dir", r->dir);
    ts_jw_kstr(&w, "state", r->readable ? ts_run_state_names[f->state] : "unreadable");
    ts_jw_kstr(&w, "reason", !r->readable ? r->problem : *f->paused ? f->paused : f->reason);
    ts_jw_knum(&w, "queue", number ? (double)number : NAN);
    ts_jw_kstr(&w, "note", r->note);
    put_tags(&w, r->tags);
    ts_jw_kstr(&w, "model", r->settings.model);
    ts_jw_kint(&w, "examples", r->settings.train_rows);
    ts_jw_kint(&w, "held_out", r->settings.valid_rows);
    ts_jw_kint(&w, "step", f->step);
    ts_jw_kint(&w, "steps", f->steps);
    put_loss(&w, "train_loss", f->train_loss);
    put_loss(&w, "valid_loss", f->valid_loss);
    ts_jw_knum(&w, "best_step", f->best_step < 0 ? NAN : (double)f->best_step);
    put_loss(&w, "best_valid_loss", f->best_valid_loss);
    put_loss(&w, "general_before", f->general_before);
    put_loss(&w, "general_loss", f->general_loss);
    for (size_t i = 0; i < TS_PENALTIES; i++)
        put_loss(&w, ts_penalty_names[i], f->penalties[i]);
    ts_jw_knum(&w, "seconds", f->seconds);
    ts_jw_knum(&w, "tokens_per_second", f->n_points ? f->tokens_per_second : NAN);
    ts_jw_knum(&w, "eta", f->state == TS_RUN_RUNNING ? f->eta : NAN);
    ts_jw_kint(&w, "created", r->settings.created_ms);
    ts_jw_end_obj(&w);
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
}

static void loss_text(double v, char out[16]) {
    if (isfinite(v))
        snprintf(out, 16, "%.3f", v);
    else
        snprintf(out, 16, "-");
}

static void print_text(const ts_run_info *r, size_t number) {
    const ts_follow *f = &r->follow;
    char loss[16], valid[16], best[16], state[32], when[32] = "";
    time_t made = (time_t)(r->settings.created_ms / 1000);
    struct tm local;
    loss_text(f->train_loss, loss);
    loss_text(f->valid_loss, valid);
    loss_text(f->best_valid_loss, best);
    if (r->readable && localtime_r(&made, &local)) strftime(when, sizeof when, "%Y-%m-%d %H:%M", &local);
    snprintf(state, sizeof state, "%s", r->readable ? ts_run_state_names[f->state] : "damaged");
    if (number) snprintf(state, sizeof state, "%s %zu", f->state == TS_RUN_HELD ? "held" : "waits", number);
    ts_buf line = TS_BUF_INIT;
    ts_buf_printf(&line, "%4lld  %-9s %6lld  %5lld/%-5lld  %7s %7s %7s  %-16s  ", (long long)r->id, state,
                  (long long)r->settings.train_rows, (long long)f->step, (long long)f->steps, loss, valid, best, when);
    ts_buf_printf(&line, "%-22s ", r->name);
    if (*r->tags) ts_buf_printf(&line, "[%s] ", r->tags);
    ts_buf_puts(&line, r->readable ? r->note : r->problem);
    if (r->readable && *f->paused) ts_buf_printf(&line, "\n      paused until there is room: %s", f->paused);
    if (r->readable && f->state == TS_RUN_FAILED) ts_buf_printf(&line, "\n      %s", f->reason);
    ts_buf shown = TS_BUF_INIT; /* names, notes and reasons come from files that anybody may have made */
    ts_cmd_safe(&shown, line.data, line.len, true, 0);
    ts_cmd_print_line(&shown);
    ts_buf_release(&shown);
    ts_buf_release(&line);
}

/* The place of `i` in what is printed: by number, or the queue's order. */
static size_t in_order(const ts_runs *runs, size_t i, bool queue) {
    for (size_t k = 0; k < runs->n && queue; k++)
        if (ts_runs_number(runs, k) == i + 1) return k;
    return queue ? runs->n : i;
}

static int list(const ts_cmd *cmd, bool queue) {
    ts_runs runs;
    ts_err err;
    if (ts_runs_list(cmd->args[0], &runs, &err) != TS_OK) return ts_cmd_fail(cmd, &err);
    size_t shown = 0, at;
    for (; shown < runs.n && (at = in_order(&runs, shown, queue)) < runs.n; shown++) {
        if (!cmd->json && shown == 0)
            printf(" run  state       rows     steps         loss   valid    best  created           name             "
                   "      note\n");
        if (cmd->json)
            print_json(&runs.items[at], ts_runs_number(&runs, at));
        else
            print_text(&runs.items[at], ts_runs_number(&runs, at));
    }
    if (!cmd->json && shown == 0 && queue)
        ts_cmd_note(cmd, "no run waits");
    else if (!cmd->json && shown == 0)
        ts_cmd_note(cmd, "no runs yet; tunesmith train %s starts one", cmd->args[0]);
    ts_runs_release(&runs);
    return TS_EXIT_OK;
}

static void print_sample(const ts_cmd *cmd, const ts_follow *f, const ts_run_sample *s, int64_t *asked) {
    ts_buf line = TS_BUF_INIT;
    const char *prompt = f->prompts[s->prompt] ? f->prompts[s->prompt] : "";
    if (cmd->json) {
        ts_jw w = ts_jw_to(&line);
        ts_jw_obj(&w);
        ts_jw_kint(&w, "index", (int64_t)s->prompt);
        ts_jw_kstr(&w, "prompt", prompt);
        ts_jw_kint(&w, "step", s->step);
        ts_jw_kstr(&w, "text", s->text);
        ts_jw_end_obj(&w);
    } else {
        if (*asked != (int64_t)s->prompt) {
            ts_cmd_safe(&line, prompt, strlen(prompt), true, 0);
            ts_buf_putc(&line, '\n');
        }
        ts_buf_printf(&line, "  step %-6lld ", (long long)s->step);
        ts_cmd_safe(&line, s->text, strlen(s->text), false, 0);
    }
    *asked = (int64_t)s->prompt;
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
}

/* The same prompt at every step, one prompt after the other. */
static ts_status samples(const ts_cmd *cmd, const char *dir, ts_err *err) {
    ts_follow f;
    bool changed;
    int64_t asked = -1;
    ts_follow_init(&f, dir);
    ts_status status = ts_follow_poll(&f, &changed, err);
    for (size_t p = 0; p < f.n_prompts; p++)
        for (size_t i = 0; i < f.n_samples; i++)
            if (f.samples[i].prompt == p) print_sample(cmd, &f, &f.samples[i], &asked);
    if (status == TS_OK && f.n_samples == 0)
        ts_cmd_note(cmd, "no prompts were answered in this run; train --sample-prompts FILE answers some");
    ts_follow_release(&f);
    return status;
}

static void print_diff_row(const ts_cmd *cmd, const ts_diff *d, const ts_diff_row *row) {
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&line);
    (void)cmd;
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "name", row->name);
    ts_jw_kstr(&w, "kind", row->result ? "result" : "setting");
    ts_jw_key(&w, "values");
    ts_jw_arr(&w);
    for (size_t i = 0; i < d->n_runs; i++)
        ts_jw_str(&w, row->values[i]);
    ts_jw_end_arr(&w);
    ts_jw_end_obj(&w);
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
}

/* This run beside the one that is named behind the workspace. */
static ts_status diff(const ts_cmd *cmd, const char *dir, ts_err *err) {
    enum { WIDTH = 100 };
    ts_diff d = {0};
    ts_buf table = TS_BUF_INIT, shown = TS_BUF_INIT;
    char *other = NULL;
    TS_TRY(ts_runs_find(cmd->args[0], cmd->args[1], &other, err));
    const char *const dirs[] = {dir, other};
    ts_status status = ts_runs_diff(dirs, 2, &d, err);
    for (size_t i = 0; i < d.n && status == TS_OK && cmd->json; i++)
        print_diff_row(cmd, &d, &d.rows[i]);
    if (status == TS_OK && !cmd->json) {
        ts_diff_table(&d, WIDTH, &table);
        ts_cmd_safe(&shown, ts_buf_str(&table), table.len, true, 0);
        fputs(ts_buf_str(&shown), stdout);
    }
    ts_diff_release(&d);
    ts_buf_release(&table);
    ts_buf_release(&shown);
    free(other);
    return status;
}

/* Stops the run, or takes it out of the queue. */
static ts_status stop(const ts_cmd *cmd, const char *dir, ts_err *err) {
    if (!ts_run_place_read(dir).place || ts_run_pid(dir)) return ts_run_stop(dir, err);
    TS_TRY(ts_runs_leave(cmd->args[0], dir, err));
    ts_cmd_note(cmd, "it waits no longer");
    return TS_OK;
}

static ts_status resume(const ts_cmd *cmd, const char *dir, ts_err *err) {
    size_t number;
    TS_TRY(ts_runs_begin(cmd->args[0], dir, &number, err));
    if (number) ts_cmd_note(cmd, "another run trains: this one waits as number %zu of the queue", number);
    return TS_OK;
}

static ts_status act(const ts_cmd *cmd, const struct runs_opts *o, const char *dir, const char *id, ts_err *err) {
    const char *text = cmd->n_args > 1 ? cmd->args[1] : "", *ws = cmd->args[0];
    if (o->note) return ts_runs_note(dir, text, err);
    if (o->tag) return ts_runs_tag(ws, dir, text, err);
    if (o->delete) return ts_runs_delete(dir, err);
    if (o->stop) return stop(cmd, dir, err);
    if (o->resume) return resume(cmd, dir, err);
    if (o->samples) return samples(cmd, dir, err);
    if (o->diff) return diff(cmd, dir, err);
    if (o->hold || o->release) return ts_runs_hold(ws, dir, o->hold, err);
    if (o->up || o->down) return ts_runs_move(ws, dir, o->up ? -1 : 1, err);
    return ts_runs_rename(ws, strtoll(id, NULL, 10), text, err);
}

/* Before anything else the verb sees that the queue goes on: the run before may have been killed, with the machine. */
static void see_to_queue(const ts_cmd *cmd) {
    ts_err err;
    char *started = NULL;
    if (ts_runs_next(cmd->args[0], 0, &started, &err) == TS_OK && started)
        ts_cmd_note(cmd, "%s begins: it was the next of the queue", ts_path_base(started));
    free(started);
}

/* The database or the runs alone: a folder of runs may have been copied from another machine. */
static bool is_workspace(const char *ws, ts_err *err) {
    char *db = ts_path_join(ws, "tunesmith.db"), *runs = ts_path_join(ws, "runs");
    bool yes = ts_file_exists(db) || ts_is_dir(runs);
    if (!ts_is_dir(ws))
        ts_fail(err, TS_NOT_FOUND, "there is no workspace folder \"%s\"", ws);
    else if (!yes)
        ts_fail(err, TS_NOT_FOUND, "%s is not a workspace: it has neither tunesmith.db nor runs", ws);
    free(db);
    free(runs);
    return yes;
}

static int run_runs(const ts_cmd *cmd, const void *opts) {
    const struct runs_opts *o = opts;
    const char *all[] = {o->note, o->tag,     o->rename, o->delete, o->stop,    o->resume,
                         o->hold, o->release, o->up,     o->down,   o->samples, o->diff};
    const char *id = NULL;
    size_t given = 0;
    ts_err err;
    char *dir = NULL;
    for (size_t i = 0; i < TS_COUNT(all); i++)
        if (all[i]) {
            id = all[i];
            given++;
        }
    if (!is_workspace(cmd->args[0], &err)) return ts_cmd_fail(cmd, &err);
    if (given + o->queue > 1)
        return ts_cmd_usage(cmd, "one thing at a time: --queue, or one of the options that take a run");
    if (o->diff && cmd->n_args < 2) return ts_cmd_usage(cmd, "--diff needs the other run behind the workspace");
    if (!o->note && !o->tag && !o->rename && !o->diff && cmd->n_args > 1)
        return ts_cmd_usage(cmd, "\"%s\" is one argument too many", cmd->args[1]);
    if (o->rename && cmd->n_args < 2) return ts_cmd_usage(cmd, "--rename needs the new name behind the workspace");
    if (o->tag && cmd->n_args < 2) return ts_cmd_usage(cmd, "--tag needs the tag behind the workspace");
    bool everyone = (o->hold || o->release) && strcmp(id, "all") == 0;
    ts_status status = TS_OK;
    if (given && !everyone) status = ts_runs_find(cmd->args[0], id, &dir, &err);
    if (given && status == TS_OK) status = act(cmd, o, dir, id, &err);
    free(dir);
    if (status != TS_OK) return ts_cmd_fail(cmd, &err);
    see_to_queue(cmd);
    return given ? TS_EXIT_OK : list(cmd, o->queue);
}

#define AT(member) offsetof(struct runs_opts, member)
static const ts_opt runs_table[] = {
    {"note", TS_OPT_TEXT, AT(note), "ID", "set the remark of a run to TEXT"},
    {"tag", TS_OPT_TEXT, AT(tag), "ID", "call a run TEXT too: run:TEXT then means it; \"-TEXT\" takes that away"},
    {"rename", TS_OPT_TEXT, AT(rename), "ID", "name a run TEXT; its number stays"},
    {"delete", TS_OPT_TEXT, AT(delete), "ID", "delete a run's folder for good"},
    {"stop", TS_OPT_TEXT, AT(stop), "ID", "stop a run with a checkpoint, or take it out of the queue"},
    {"resume", TS_OPT_TEXT, AT(resume), "ID", "go on with a run in the background, when it is its turn"},
    {"samples", TS_OPT_TEXT, AT(samples), "ID", "what it answered to its sample prompts, step by step"},
    {"diff", TS_OPT_TEXT, AT(diff), "ID", "its settings and results beside those of run TEXT, as far as they differ"},
    {"queue", TS_OPT_FLAG, AT(queue), NULL, "only the runs that wait, in the order in which they will train"},
    {"hold", TS_OPT_TEXT, AT(hold), "ID|all", "pass a waiting run over until it is released"},
    {"release", TS_OPT_TEXT, AT(release), "ID|all", "let it train again when it is its turn"},
    {"up", TS_OPT_TEXT, AT(up), "ID", "one place earlier in the queue"},
    {"down", TS_OPT_TEXT, AT(down), "ID", "one place later"},
};

const ts_verb ts_verb_runs = {
    .name = "runs",
    .args = "WS [TEXT]",
    .help = "the training runs of a workspace, newest first, and the queue of those that wait",
    .more = "One run of a workspace trains; the others wait, also over a restart of the machine, and the first that is "
            "not held\n"
            "begins when it ends.",
    .min_args = 1,
    .max_args = 2,
    .opts = runs_table,
    .n_opts = TS_COUNT(runs_table),
    .size = sizeof(struct runs_opts),
    .run = run_runs,
};
