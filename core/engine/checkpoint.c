#include "core/engine/checkpoint.h"

#include "core/base/hash.h"
#include "core/base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES = 3 };

typedef struct array {
    const char *file;
    void *at;
    size_t bytes;
} array;

static array array_of(const ts_checkpoint *c, size_t i) {
    size_t floats = c->n * sizeof(float);
    if (i == 1) return (array){"m.f32", c->m, floats};
    if (i == 2) return (array){"v.f32", c->v, floats};
    return c->halves ? (array){"adapter.bf16", c->params, floats / 2} : (array){"adapter.f32", c->params, floats};
}

static ts_status write_state(const char *dir, const ts_checkpoint *c, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&text);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "format", 1);
    ts_jw_kint(&w, "step", c->step);
    ts_jw_kint(&w, "updates", c->updates);
    ts_jw_kint(&w, "evaluated", c->evaluated);
    ts_jw_kint(&w, "sampled", c->sampled);
    ts_jw_kint(&w, "best_step", c->best_step);
    ts_jw_knum(&w, "best_valid_loss", c->best_valid_loss);
    ts_jw_knum(&w, "valid_loss", c->valid_loss);
    ts_jw_kint(&w, "bad_evals", c->bad_evals);
    ts_jw_kint(&w, "events_bytes", c->events_bytes);
    ts_jw_knum(&w, "seconds", c->seconds);
    ts_jw_kint(&w, "params", (int64_t)c->n);
    for (size_t i = 0; i < FILES; i++) {
        char hash[33];
        array x = array_of(c, i);
        ts_hash128_hex(x.at, x.bytes, hash);
        ts_jw_kstr(&w, x.file, hash);
    }
    ts_jw_end_obj(&w);
    ts_buf_putc(&text, '\n');
    char *path = ts_path_join(dir, "state.json");
    ts_status status = ts_file_write(path, text.data, text.len, err);
    free(path);
    ts_buf_release(&text);
    return status;
}

static ts_status write_folder(const char *dir, const ts_checkpoint *c, ts_err *err) {
    TS_TRY(ts_remove_tree(dir, err));
    TS_TRY(ts_mkdirs(dir, err));
    for (size_t i = 0; i < FILES; i++) {
        array x = array_of(c, i);
        char *path = ts_path_join(dir, x.file);
        ts_status status = ts_file_write(path, x.at, x.bytes, err);
        free(path);
        TS_TRY(status);
    }
    return write_state(dir, c, err);
}

/* The name in CURRENT ("" when there is none). */
static ts_status read_current(const char *root, char out[32], ts_err *err) {
    char *path = ts_path_join(root, "CURRENT");
    ts_buf text = TS_BUF_INIT;
    ts_status status = TS_OK;
    out[0] = 0;
    if (!ts_file_exists(path)) goto out;
    TS_GOTO(ts_file_read(path, 1000, &text, err));
    size_t n = strspn(ts_buf_str(&text), "0123456789");
    if (n == 0 || n > 20 || strcmp(text.data + n, "\n") != 0)
        TS_GOTO(ts_fail(err, TS_CORRUPT, "%s does not name a checkpoint", path));
    snprintf(out, 32, "%.*s", (int)n, text.data);
out:
    ts_buf_release(&text);
    free(path);
    return status;
}

/* Everything beside `keep` and CURRENT goes; failures do not matter, the next checkpoint tries again. */
static void prune(const char *root, const char *keep) {
    ts_names names = {0};
    ts_err ignored;
    if (ts_dir_list(root, &names, &ignored) != TS_OK) return;
    for (size_t i = 0; i < names.n; i++) {
        if (strcmp(names.items[i], keep) == 0 || strcmp(names.items[i], "CURRENT") == 0) continue;
        char *path = ts_path_join(root, names.items[i]);
        ts_status status = ts_remove_tree(path, &ignored);
        (void)status;
        free(path);
    }
    ts_names_release(&names);
}

ts_status ts_checkpoint_write(const char *run_dir, const ts_checkpoint *c, ts_err *err) {
    char name[32], current[32], line[40];
    snprintf(name, sizeof name, "%06lld", (long long)c->step);
    snprintf(line, sizeof line, "%s\n", name);
    char *root = ts_path_join(run_dir, "checkpoints"), *final = ts_path_join(root, name);
    char *temp = ts_printf("%s.tmp", final), *pointer = ts_path_join(root, "CURRENT");
    bool begun = false;
    ts_status status = TS_OK;
    TS_GOTO(ts_mkdirs(root, err));
    TS_GOTO(read_current(root, current, err));
    if (strcmp(current, name) == 0) goto out;
    begun = true;
    TS_GOTO(write_folder(temp, c, err));
    TS_GOTO(ts_remove_tree(final, err)); /* left over from a life that ended before CURRENT was replaced */
    if (rename(temp, final) != 0) TS_GOTO(ts_fail_errno(err, "cannot give %s its name", final));
    TS_GOTO(ts_dir_sync(root, err));
    TS_GOTO(ts_file_write(pointer, line, strlen(line), err));
    prune(root, name);
out:
    if (status != TS_OK && begun) prune(root, current); /* gives a full disk its room back */
    free(root);
    free(final);
    free(temp);
    free(pointer);
    return status;
}

static ts_status read_array(const char *dir, size_t i, const ts_json *state, ts_checkpoint *c, ts_err *err) {
    array x = array_of(c, i);
    char *path = ts_path_join(dir, x.file), hash[33];
    ts_buf bytes = TS_BUF_INIT;
    ts_status status = TS_OK;
    TS_GOTO(ts_file_read(path, x.bytes, &bytes, err));
    ts_hash128_hex(bytes.data, bytes.len, hash);
    if (bytes.len != x.bytes || strcmp(hash, ts_json_str(ts_json_get(state, x.file), "")) != 0)
        TS_GOTO(
            ts_fail(err, TS_CORRUPT, "the checkpoint file %s is damaged: its content is not what was written", path));
    memcpy(x.at, bytes.data, bytes.len);
out:
    ts_buf_release(&bytes);
    free(path);
    return status;
}

static bool read_members(const ts_json *s, ts_checkpoint *c) {
    const int64_t top = 9007199254740992;
    int64_t n = 0;
    bool fine = ts_json_int(ts_json_get(s, "step"), 0, top, &c->step) &&
                ts_json_int(ts_json_get(s, "updates"), 0, top, &c->updates) &&
                ts_json_int(ts_json_get(s, "evaluated"), -1, top, &c->evaluated) &&
                ts_json_int(ts_json_get(s, "best_step"), -1, top, &c->best_step) &&
                ts_json_int(ts_json_get(s, "bad_evals"), 0, top, &c->bad_evals) &&
                ts_json_int(ts_json_get(s, "events_bytes"), 0, top, &c->events_bytes) &&
                ts_json_int(ts_json_get(s, "params"), 0, top, &n);
    c->sampled = -1; /* checkpoints of older versions do not say */
    ts_json_int(ts_json_get(s, "sampled"), -1, top, &c->sampled);
    c->best_valid_loss = ts_json_num(ts_json_get(s, "best_valid_loss"), NAN);
    c->valid_loss = ts_json_num(ts_json_get(s, "valid_loss"), NAN);
    c->seconds = ts_json_num(ts_json_get(s, "seconds"), 0);
    return fine && (size_t)n == c->n;
}

ts_status ts_checkpoint_read(const char *run_dir, ts_checkpoint *c, ts_err *err) {
    char name[32];
    char *root = ts_path_join(run_dir, "checkpoints"), *dir = NULL, *path = NULL;
    ts_json *state = NULL;
    ts_status status = TS_OK;
    TS_GOTO(read_current(root, name, err));
    if (!name[0]) TS_GOTO(ts_fail(err, TS_NOT_FOUND, "%s has no checkpoint yet", run_dir));
    dir = ts_path_join(root, name);
    path = ts_path_join(dir, "state.json");
    state = ts_json_read(path, 1 << 20, err);
    if (!state) TS_GOTO(TS_CORRUPT);
    if (!read_members(state, c))
        TS_GOTO(ts_fail(err, TS_CORRUPT, "%s does not fit this run's adapter of %zu parameters", path, c->n));
    for (size_t i = 0; i < FILES; i++)
        TS_GOTO(read_array(dir, i, state, c, err));
out:
    if (status != TS_OK && dir) { /* also a file that is gone: it must not pass for "no checkpoint yet" */
        ts_wrap(err, status, "cannot go on from a checkpoint (remove %s to begin this run again)", root);
        status = status == TS_NOT_FOUND ? TS_CORRUPT : status;
        if (err) err->code = status;
    }
    ts_json_free(state);
    free(root);
    free(dir);
    free(path);
    return status;
}
