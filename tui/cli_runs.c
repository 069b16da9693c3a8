/* runs: the training runs of a workspace. */
#include "core/base/clock.h"
#include "eval/runs.h"
#include "tui/cli_data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct runs_opts {
    const char *note, *rename, *delete, *stop, *resume;
};

static void put_loss(ts_jw *w, const char *key, double v) {
    ts_jw_knum(w, key, v); /* not measured: null */
}

static void print_json(const ts_run_info *r) {
    const ts_follow *f = &r->follow;
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&line);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "run", r->id);
    ts_jw_kstr(&w, "name", r->name);
    ts_jw_kstr(&w, "dir", r->dir);
    ts_jw_kstr(&w, "state", r->readable ? ts_run_state_names[f->state] : "unreadable");
    ts_jw_kstr(&w, "reason", r->readable ? f->reason : r->problem);
    ts_jw_kstr(&w, "note", r->note);
    ts_jw_kstr(&w, "model", r->settings.model);
    ts_jw_kint(&w, "examples", r->settings.train_rows);
    ts_jw_kint(&w, "held_out", r->settings.valid_rows);
    ts_jw_kint(&w, "step", f->step);
    ts_jw_kint(&w, "steps", f->steps);
    put_loss(&w, "train_loss", f->train_loss);
    put_loss(&w, "valid_loss", f->valid_loss);
    ts_jw_knum(&w, "best_step", f->best_step < 0 ? NAN : (double)f->best_step);
    put_loss(&w, "best_valid_loss", f->best_valid_loss);
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

static void print_text(const ts_run_info *r) {
    const ts_follow *f = &r->follow;
    char loss[16], valid[16], best[16], when[32] = "";
    time_t made = (time_t)(r->settings.created_ms / 1000);
    struct tm local;
    loss_text(f->train_loss, loss);
    loss_text(f->valid_loss, valid);
    loss_text(f->best_valid_loss, best);
    if (r->readable && localtime_r(&made, &local)) strftime(when, sizeof when, "%Y-%m-%d %H:%M", &local);
    ts_buf line = TS_BUF_INIT;
    ts_buf_printf(&line, "%4lld  %-9s %6lld  %5lld/%-5lld  %7s %7s %7s  %-16s  ", (long long)r->id,
                  r->readable ? ts_run_state_names[f->state] : "damaged", (long long)r->settings.train_rows,
                  (long long)f->step, (long long)f->steps, loss, valid, best, when);
    ts_buf_printf(&line, "%-22s ", r->name);
    ts_buf_puts(&line, r->readable ? r->note : r->problem);
    if (r->readable && f->state == TS_RUN_FAILED) ts_buf_printf(&line, "\n      %s", f->reason);
    ts_buf shown = TS_BUF_INIT; /* names, notes and reasons come from files that anybody may have made */
    ts_cmd_safe(&shown, line.data, line.len, true, 0);
    ts_cmd_print_line(&shown);
    ts_buf_release(&shown);
    ts_buf_release(&line);
}

static int list(const ts_cmd *cmd) {
    ts_runs runs;
    ts_err err;
    if (ts_runs_list(cmd->args[0], &runs, &err) != TS_OK) return ts_cmd_fail(cmd, &err);
    if (!cmd->json && runs.n == 0) ts_cmd_note(cmd, "no runs yet; tunesmith train %s starts one", cmd->args[0]);
    if (!cmd->json && runs.n)
        printf(
            " run  state       rows     steps         loss   valid    best  created           name                   "
            "note\n");
    for (size_t i = 0; i < runs.n; i++)
        if (cmd->json)
            print_json(&runs.items[i]);
        else
            print_text(&runs.items[i]);
    ts_runs_release(&runs);
    return TS_EXIT_OK;
}

static ts_status act(const ts_cmd *cmd, const struct runs_opts *o, const char *dir, const char *id, ts_err *err) {
    const char *text = cmd->n_args > 1 ? cmd->args[1] : "";
    if (o->note) return ts_runs_note(dir, text, err);
    if (o->delete) return ts_runs_delete(dir, err);
    if (o->stop) return ts_run_stop(dir, err);
    if (o->resume) return ts_runs_start(dir, err);
    return ts_runs_rename(cmd->args[0], strtoll(id, NULL, 10), text, err);
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
    const char *all[] = {o->note, o->rename, o->delete, o->stop, o->resume}, *id = NULL;
    size_t given = 0;
    ts_err err;
    char *dir = NULL;
    for (size_t i = 0; i < TS_COUNT(all); i++)
        if (all[i]) {
            id = all[i];
            given++;
        }
    if (!is_workspace(cmd->args[0], &err)) return ts_cmd_fail(cmd, &err);
    if (given > 1) return ts_cmd_usage(cmd, "one of --note, --rename, --delete, --stop, --resume at a time");
    if (given == 0 && cmd->n_args > 1) return ts_cmd_usage(cmd, "\"%s\" is one argument too many", cmd->args[1]);
    if (o->rename && cmd->n_args < 2) return ts_cmd_usage(cmd, "--rename needs the new name behind the workspace");
    if (given == 0) return list(cmd);
    ts_status status = ts_runs_find(cmd->args[0], id, &dir, &err);
    if (status == TS_OK) status = act(cmd, o, dir, id, &err);
    free(dir);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

#define AT(member) offsetof(struct runs_opts, member)
static const ts_opt runs_table[] = {
    {"note", TS_OPT_TEXT, AT(note), "ID", "set the remark of a run to TEXT"},
    {"rename", TS_OPT_TEXT, AT(rename), "ID", "name a run TEXT; its number stays"},
    {"delete", TS_OPT_TEXT, AT(delete), "ID", "delete a run's folder for good"},
    {"stop", TS_OPT_TEXT, AT(stop), "ID", "stop a run with a checkpoint"},
    {"resume", TS_OPT_TEXT, AT(resume), "ID", "go on with a stopped or crashed run in the background"},
};

const ts_verb ts_verb_runs = {
    .name = "runs",
    .args = "WS [TEXT]",
    .help = "the training runs of a workspace, newest first",
    .min_args = 1,
    .max_args = 2,
    .opts = runs_table,
    .n_opts = TS_COUNT(runs_table),
    .size = sizeof(struct runs_opts),
    .run = run_runs,
};
