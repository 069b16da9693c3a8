/* Runs made from the rows of a workspace. */
#include "core/model/locate.h"
#include "dataset/snapshot.h"
#include "dataset/view.h"
#include "eval/runs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ts_status ts_runs_export(const char *ws, const ts_run_settings *s, bool preview, const char *train_file,
                         const char *valid_file, int64_t *n_train, int64_t *n_valid, ts_progress *progress,
                         ts_err *err) {
    ts_store *st = NULL;
    ts_snapshot made = {0};
    ts_snapshot_options o = {.where = s->where,
                             .valid_fraction = valid_file ? s->valid_fraction : 0,
                             .seed = (uint64_t)s->seed,
                             .preview = preview};
    ts_progress_what(progress, "choosing the rows");
    TS_TRY(ts_store_open(&st, ws, "train", err));
    ts_status status = ts_dataset_write_messages(st, &o, train_file, valid_file, progress, &made, err);
    ts_store_close(st);
    *n_train = made.train;
    *n_valid = made.valid;
    return status;
}

/* All rows of the view as lines of run data. */
static ts_status write_rows(ts_store *st, const ts_view *v, ts_out *out, int64_t *ids, size_t *n, ts_progress *progress,
                            ts_err *err) {
    enum { ROWS_AT_ONCE = 256 };
    ts_arena arena = TS_ARENA_INIT;
    ts_buf line = TS_BUF_INIT;
    ts_row rows[ROWS_AT_ONCE];
    size_t count = ts_view_count(v);
    ts_status status = TS_OK;
    for (size_t at = 0; at < count; at += ROWS_AT_ONCE) {
        size_t piece = TS_MIN(count - at, (size_t)ROWS_AT_ONCE);
        if (ts_cancelled(progress)) TS_GOTO(ts_fail(err, TS_CANCELLED, "stopped"));
        ts_arena_reset(&arena);
        ts_buf_reset(&line);
        TS_GOTO(ts_rows_read(st, ts_view_ids(v) + at, piece, rows, &arena, err));
        for (size_t i = 0; i < piece; i++) {
            if (rows[i].gone) continue;
            ids[(*n)++] = ts_view_ids(v)[at + i];
            ts_row_messages_line(&rows[i], &line);
            ts_buf_putc(&line, '\n');
        }
        ts_out_add(out, ts_buf_str(&line), line.len);
        ts_progress_set(progress, (int64_t)(at + piece), (int64_t)count);
    }
out:
    ts_arena_release(&arena);
    ts_buf_release(&line);
    return status;
}

ts_status ts_runs_export_all(const char *ws, const char *where, const char *file, ts_progress *progress, ts_err *err) {
    int64_t *ids;
    size_t n;
    ts_status status = ts_runs_export_ids(ws, where, file, &ids, &n, progress, err);
    free(ids);
    return status;
}

ts_status ts_runs_export_ids(const char *ws, const char *where, const char *file, int64_t **ids, size_t *n,
                             ts_progress *progress, ts_err *err) {
    *ids = NULL;
    *n = 0;
    ts_store *st = NULL;
    ts_view *v = NULL;
    ts_out out = {.fd = -1};
    ts_status status = TS_OK;
    if (!where) where = "status=accepted";
    TS_GOTO(ts_store_open(&st, ws, "plan", err));
    TS_GOTO(ts_view_new(&v, st, where, NULL, progress, NULL, err));
    if (ts_view_count(v) == 0)
        TS_GOTO(ts_fail(err, TS_INVALID, "no row of %s fits \"%s\"; accept some first, or say --where", ws, where));
    TS_GOTO(ts_out_open(&out, file, err));
    *ids = ts_calloc(ts_view_count(v), sizeof **ids);
    TS_GOTO(write_rows(st, v, &out, *ids, n, progress, err));
    TS_GOTO(ts_out_commit(&out, err));
out:
    ts_out_drop(&out);
    ts_view_free(v);
    ts_store_close(st);
    return status;
}

ts_status ts_runs_model(const char *ws, ts_run_settings *s, ts_err *err) {
    ts_store *st = NULL;
    ts_buf model = TS_BUF_INIT, template = TS_BUF_INIT;
    TS_TRY(ts_store_open(&st, ws, "train", err)); /* also sees that it is a workspace before anything is written */
    if ((!s->model || !*s->model) && ts_setting_get(st, "model", &model)) ts_run_set(&s->model, ts_buf_str(&model));
    if (!s->template && ts_setting_get(st, "template", &template)) ts_run_set(&s->template, ts_buf_str(&template));
    ts_store_close(st);
    ts_buf_release(&model);
    ts_buf_release(&template);
    return TS_OK;
}

/* The folder is a run's best/ or adapter/. */
static bool of_run(const char *adapter_dir) {
    char *facts = ts_path_join(adapter_dir, "../run.json");
    bool yes = ts_is_file(facts);
    free(facts);
    return yes;
}

ts_status ts_runs_template(const char *ws, const char *chosen, const char *const *dirs, size_t n, char **out,
                           ts_err *err) {
    ts_run_settings s;
    *out = chosen && *chosen ? ts_strdup(chosen) : NULL;
    if (chosen) return TS_OK;
    for (size_t i = 0; i < n && !*out; i++) {
        if (!dirs[i]) continue;
        *out = ts_adapter_template(dirs[i]);
        if (!*out && of_run(dirs[i])) return TS_OK;
    }
    char *db = ws ? ts_path_join(ws, "tunesmith.db") : NULL;
    bool here = !*out && db && ts_is_file(db);
    free(db);
    if (!here) return TS_OK;
    ts_run_settings_init(&s);
    ts_status status = ts_runs_model(ws, &s, err);
    if (status == TS_OK && s.template) *out = ts_strdup(s.template);
    ts_run_settings_release(&s);
    return status;
}

ts_status ts_runs_create_from(const char *ws, const char *name, ts_run_settings *s, int64_t *id, char **dir,
                              ts_progress *progress, ts_err *err) {
    ts_err ignored;
    int64_t n_train, n_valid;
    *dir = NULL;
    TS_TRY(ts_runs_model(ws, s, err));
    TS_TRY(ts_run_settings_check(s, err));
    char *root = ts_path_join(ws, "runs"), *temp = ts_printf("%s/.new%ld", root, (long)getpid());
    char *train = ts_path_join(temp, "train.jsonl"), *valid = ts_path_join(temp, "valid.jsonl");
    ts_status status = TS_OK, removed;
    TS_GOTO(ts_mkdirs(temp, err));
    TS_GOTO(
        ts_runs_export(ws, s, false, train, s->valid_fraction > 0 ? valid : NULL, &n_train, &n_valid, progress, err));
    TS_GOTO(ts_runs_create(ws, name, s, train, n_valid > 0 ? valid : NULL, id, dir, progress, err));
out:
    removed = ts_remove_tree(temp, &ignored);
    (void)removed;
    free(root);
    free(temp);
    free(train);
    free(valid);
    return status;
}

/* --- how long it takes --- */

enum { RATE_STEPS_LEAST = 10 };

static bool same_model(const char *a, const char *b) {
    ts_model_place x = {0}, y = {0};
    ts_err ignored;
    bool same = ts_model_locate(a, &x, &ignored) == TS_OK && ts_model_locate(b, &y, &ignored) == TS_OK &&
                strcmp(x.path, y.path) == 0;
    ts_model_place_release(&x);
    ts_model_place_release(&y);
    return same;
}

/* Whether what `r` took says something about `s` on this machine. */
static bool comparable(const ts_run_info *r, const ts_run_settings *s, const char *host) {
    const ts_run_settings *o = &r->settings;
    return r->readable && r->follow.n_points >= RATE_STEPS_LEAST && strcmp(r->follow.host, host) == 0 && o->model &&
           strcmp(o->target_modules, s->target_modules) == 0 && strcmp(o->method, s->method) == 0 &&
           (s->threads == 0 || s->threads == o->threads) && same_model(o->model, s->model);
}

double ts_runs_rate(const char *ws, const ts_run_settings *s) {
    char host[64] = "";
    double rate = NAN;
    ts_runs runs = {0};
    ts_err ignored;
    gethostname(host, sizeof host - 1);
    if (!s->model || ts_runs_list(ws, &runs, &ignored) != TS_OK) return NAN;
    for (size_t i = 0; i < runs.n && isnan(rate); i++) {
        const ts_follow *f = &runs.items[i].follow;
        double tokens = 0;
        if (!comparable(&runs.items[i], s, host)) continue;
        for (size_t k = 0; k < f->n_points; k++)
            tokens += f->points[k].tokens;
        if (f->seconds > 0) rate = tokens / f->seconds;
    }
    ts_runs_release(&runs);
    return rate;
}

void ts_runs_plan_time(const char *ws, const ts_run_settings *s, ts_train_plan *plan) {
    double a_step = (double)TS_MIN(s->batch_size * s->grad_accum, plan->examples);
    if (plan->examples > 0)
        plan->seconds =
            (double)plan->steps * a_step * (double)plan->tokens / (double)plan->examples / ts_runs_rate(ws, s);
}
