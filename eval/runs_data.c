/* Runs made from the rows of a workspace. */
#include "core/base/rand.h"
#include "dataset/view.h"
#include "eval/runs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS_AT_ONCE = 256 };

static void put_turn(ts_jw *w, const char *role, ts_text text) {
    ts_jw_obj(w);
    ts_jw_kstr(w, "role", role);
    ts_jw_key(w, "content");
    ts_jw_strn(w, text.s ? text.s : "", text.n);
    ts_jw_end_obj(w);
}

/* The row as a training line. */
static void put_row(const ts_row *row, ts_buf *line) {
    ts_buf prompt = TS_BUF_INIT;
    ts_jw w = ts_jw_to(line);
    ts_jw_obj(&w);
    ts_jw_key(&w, "messages");
    if (row->messages.s) {
        ts_jw_raw(&w, row->messages.s, row->messages.n);
    } else {
        ts_buf_add(&prompt, row->instruction.s, row->instruction.n);
        if (row->input.n) ts_buf_putc(&prompt, '\n');
        ts_buf_add(&prompt, row->input.s, row->input.n);
        ts_jw_arr(&w);
        if (row->system.s) put_turn(&w, "system", row->system);
        put_turn(&w, "user", (ts_text){ts_buf_str(&prompt), prompt.len});
        put_turn(&w, "assistant", row->output);
        ts_jw_end_arr(&w);
    }
    ts_jw_end_obj(&w);
    ts_buf_putc(line, '\n');
    ts_buf_release(&prompt);
}

static bool held_out(const ts_run_settings *s, int64_t id) {
    return (double)(ts_rand_mix((uint64_t)s->seed, (uint64_t)id) >> 11) * 0x1p-53 < s->valid_fraction;
}

static ts_status write_rows(ts_store *st, const ts_view *v, const ts_run_settings *s, ts_out out[2], int64_t n[2],
                            ts_progress *progress, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_buf line = TS_BUF_INIT;
    ts_row rows[ROWS_AT_ONCE];
    size_t count = ts_view_count(v);
    ts_status status = TS_OK;
    for (size_t at = 0; at < count; at += ROWS_AT_ONCE) {
        size_t piece = TS_MIN(count - at, (size_t)ROWS_AT_ONCE);
        if (ts_cancelled(progress)) TS_GOTO(ts_fail(err, TS_CANCELLED, "stopped"));
        ts_arena_reset(&arena);
        TS_GOTO(ts_rows_read(st, ts_view_ids(v) + at, piece, rows, &arena, err));
        for (size_t i = 0; i < piece; i++) {
            int to = out[1].path && held_out(s, rows[i].id);
            if (rows[i].gone) continue;
            ts_buf_reset(&line);
            put_row(&rows[i], &line);
            ts_out_add(&out[to], line.data, line.len);
            n[to]++;
        }
        ts_progress_set(progress, (int64_t)(at + piece), (int64_t)count);
    }
out:
    ts_arena_release(&arena);
    ts_buf_release(&line);
    return status;
}

ts_status ts_runs_export(const char *ws, const ts_run_settings *s, const char *train_file, const char *valid_file,
                         int64_t *n_train, int64_t *n_valid, ts_progress *progress, ts_err *err) {
    ts_store *st = NULL;
    ts_view *v = NULL;
    const char *where = s->where ? s->where : "status=accepted";
    ts_out out[2] = {{.fd = -1}, {.fd = -1}};
    int64_t n[2] = {0, 0};
    ts_status status = TS_OK;
    ts_progress_what(progress, "choosing the rows");
    TS_GOTO(ts_store_open(&st, ws, "train", err));
    TS_GOTO(ts_view_new(&v, st, where, NULL, progress, NULL, err));
    if (ts_view_count(v) == 0)
        TS_GOTO(ts_fail(err, TS_INVALID, "no row of %s fits \"%s\"; accept some first, or say --where", ws, where));
    TS_GOTO(ts_out_open(&out[0], train_file, err));
    if (valid_file) TS_GOTO(ts_out_open(&out[1], valid_file, err));
    TS_GOTO(write_rows(st, v, s, out, n, progress, err));
    TS_GOTO(ts_out_commit(&out[0], err));
    if (valid_file) TS_GOTO(ts_out_commit(&out[1], err));
    *n_train = n[0];
    *n_valid = n[1];
out:
    ts_out_drop(&out[0]);
    ts_out_drop(&out[1]);
    ts_view_free(v);
    ts_store_close(st);
    return status;
}

ts_status ts_runs_model(const char *ws, ts_run_settings *s, ts_err *err) {
    ts_store *st = NULL;
    ts_buf model = TS_BUF_INIT;
    if (s->model && *s->model) return TS_OK;
    TS_TRY(ts_store_open(&st, ws, "train", err));
    if (ts_setting_get(st, "model", &model)) ts_run_set(&s->model, ts_buf_str(&model));
    ts_store_close(st);
    ts_buf_release(&model);
    return TS_OK;
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
    TS_GOTO(ts_runs_export(ws, s, train, s->valid_fraction > 0 ? valid : NULL, &n_train, &n_valid, progress, err));
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
