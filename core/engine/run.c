#include "core/engine/run.h"

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/engine/replay.h"
#include "core/engine/train_samples.h"
#include "core/model/adapter.h"
#include "core/model/chat_templates.h"
#include "core/model/jinja.h"
#include "core/work/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char TEMPLATE_FILE[] = "chat_template.jinja";

const char *const ts_run_state_names[] = {"new", "running", "done", "stopped", "failed", "crashed", "waiting", "held"};

static void boot_id(char *out, size_t n) {
    ts_buf text = TS_BUF_INIT;
    ts_err err;
    snprintf(out, n, "-");
    if (ts_file_read("/proc/sys/kernel/random/boot_id", 100, &text, &err) == TS_OK && text.len > 1)
        snprintf(out, n, "%.*s", (int)(text.len - 1), text.data);
    ts_buf_release(&text);
}

static void host_name(char *out, size_t n) {
    if (gethostname(out, n) != 0) snprintf(out, n, "-");
    out[n - 1] = 0;
    for (char *p = out; *p; p++)
        if (*p == ' ' || *p == '\n') *p = '-';
}

void ts_run_lock_words(char *out, size_t n) {
    char host[64], boot[64];
    host_name(host, sizeof host);
    boot_id(boot, sizeof boot);
    snprintf(out, n, "%s %s %d", host, boot, (int)getpid());
}

/* Whether the lock is held, and by which pid if that is a process of this host and boot (else 0). */
static bool lock_holder(const char *run_dir, int *pid) {
    char *path = ts_path_join(run_dir, "lock");
    bool held = ts_lock_is_held(path);
    ts_buf text = TS_BUF_INIT;
    ts_err err;
    char host[64], boot[64], mine[64], my_boot[64];
    *pid = 0;
    host_name(mine, sizeof mine);
    boot_id(my_boot, sizeof my_boot);
    if (held && ts_file_read(path, 1000, &text, &err) == TS_OK &&
        (sscanf(ts_buf_str(&text), "%63s %63s %d", host, boot, pid) != 3 || strcmp(host, mine) != 0 ||
         strcmp(boot, my_boot) != 0))
        *pid = 0;
    ts_buf_release(&text);
    free(path);
    return held;
}

int ts_run_pid(const char *run_dir) {
    int pid;
    return lock_holder(run_dir, &pid) ? pid : 0;
}

ts_status ts_run_stop(const char *run_dir, ts_err *err) {
    int pid;
    if (!lock_holder(run_dir, &pid)) return ts_fail(err, TS_NOT_FOUND, "nobody is training %s", run_dir);
    if (pid <= 0) return ts_fail(err, TS_UNSUPPORTED, "%s is being trained on another machine; stop it there", run_dir);
    if (sigqueue(pid, SIGTERM, (union sigval){.sival_int = 1}) != 0 && errno != ESRCH)
        return ts_fail_errno(err, "cannot stop process %d that trains %s", pid, run_dir);
    return TS_OK;
}

bool ts_run_stop_asked(int si_code) {
    return si_code == SI_QUEUE;
}

static ts_status count_rows(const char *path, int64_t *rows, ts_err *err) {
    ts_lines l = {0};
    ts_status status = TS_OK;
    const char *line;
    size_t n;
    *rows = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ts_fail_errno(err, "cannot open %s", path);
    while (status == TS_OK && !l.eof) {
        status = ts_lines_fill(&l, fd, err);
        if (l.eof && l.buf.len > l.next) ts_buf_putc(&l.buf, '\n'); /* a last line without its newline */
        while (ts_lines_next(&l, &line, &n))
            *rows += strspn(line, " \t\r") < n;
    }
    close(fd);
    ts_lines_release(&l);
    return status;
}

static ts_status take_data(const char *run_dir, const char *name, const char *from, char **hash, int64_t *rows,
                           ts_err *err) {
    char hex[33];
    char *path = ts_path_join(run_dir, name);
    ts_status status = TS_OK;
    *rows = 0;
    ts_run_set(hash, NULL);
    if (!from) goto out;
    TS_GOTO(ts_file_copy(from, path, err));
    TS_GOTO(count_rows(path, rows, err));
    TS_GOTO(ts_hash_file(path, hex, err));
    ts_run_set(hash, hex);
    if (*rows == 0) TS_GOTO(ts_fail(err, TS_INVALID, "%s holds no rows to train on", from));
out:
    free(path);
    return status;
}

/* target_modules as typed: names with commas, or the expression. */
static void take_targets(const ts_adapter_settings *shape, ts_run_settings *s) {
    ts_buf names = TS_BUF_INIT;
    ts_json *v = ts_json_parse(shape->targets, strlen(shape->targets), NULL);
    if (ts_json_is_string(v)) ts_buf_puts(&names, ts_json_str(v, ""));
    for (const ts_json *x = ts_json_is_array(v) ? ts_json_child(v) : NULL; x; x = ts_json_next(x))
        ts_buf_printf(&names, "%s%s", names.len ? "," : "", ts_json_str(x, ""));
    ts_run_set(&s->target_modules, ts_buf_str(&names));
    ts_json_free(v);
    ts_buf_release(&names);
}

/* The adapter to start from must fit the model and be one that can be trained; its shape is the run's. Whatever form it
 * has, init/ gets a PEFT folder. */
static ts_status take_adapter(const char *run_dir, const ts_model *m, ts_run_settings *s, ts_err *err) {
    ts_adapter *a = NULL;
    char *dir = ts_path_join(run_dir, "init");
    ts_status status = ts_adapter_load(&a, s->init_adapter, m, err);
    if (status == TS_OK && a->whole) status = ts_fail(err, TS_INVALID, "it is a whole model; name it with --model");
    if (status == TS_OK) status = ts_adapter_hold(a, err);
    if (status == TS_OK) status = ts_adapter_trainable(a, err);
    if (status == TS_OK) status = ts_adapter_save(a, dir, err);
    free(dir);
    if (status != TS_OK) {
        ts_adapter_free(a);
        return ts_wrap(err, status, "--init-adapter %s", s->init_adapter);
    }
    s->r = (int64_t)a->settings.r;
    s->lora_alpha = a->settings.alpha;
    s->use_rslora = a->settings.rslora;
    s->use_dora = a->settings.dora;
    take_targets(&a->settings, s);
    ts_adapter_free(a);
    status = ts_run_settings_check(s, err); /* again: the shape may not go with what was asked */
    return status == TS_OK ? TS_OK : ts_wrap(err, status, "--init-adapter %s", s->init_adapter);
}

/* The template is kept by its text: a file may change, and so may our table. */
static ts_status take_template(const char *run_dir, const char *spec, ts_err *err) {
    ts_buf source = TS_BUF_INIT;
    ts_jinja *parsed = NULL;
    char *path = ts_path_join(run_dir, TEMPLATE_FILE);
    ts_status status = ts_chat_template_read(spec, &source, err);
    if (status == TS_OK) status = ts_jinja_parse(&parsed, ts_buf_str(&source), source.len, err);
    if (status == TS_OK) status = ts_file_write(path, ts_buf_str(&source), source.len, err);
    ts_jinja_free(parsed);
    free(path);
    ts_buf_release(&source);
    return status == TS_OK ? TS_OK : ts_wrap(err, status, "--template %s", spec);
}

char *ts_adapter_template(const char *adapter_dir) {
    char *run = ts_path_join(adapter_dir, ".."), *facts = ts_path_join(run, "run.json"), *found = NULL;
    const char *const places[] = {ts_is_whole(adapter_dir) ? NULL : adapter_dir, ts_is_file(facts) ? run : NULL};
    for (size_t i = 0; i < TS_COUNT(places) && !found; i++) {
        char *path = places[i] ? ts_path_join(places[i], TEMPLATE_FILE) : NULL;
        if (path && ts_is_file(path))
            found = path;
        else
            free(path);
    }
    free(facts);
    free(run);
    return found;
}

static ts_status take_model(const char *run_dir, ts_run_settings *s, ts_err *err) {
    ts_model *m = NULL;
    char hash[33];
    size_t params;
    ts_status status = TS_OK;
    TS_TRY(ts_model_open(&m, s->model, err));
    TS_GOTO(ts_model_hash(m, hash, err));
    if (s->init_adapter)
        TS_GOTO(take_adapter(run_dir, m, s, err));
    else
        TS_GOTO(ts_run_params(s, m, &params, NULL, err)); /* before anything is copied: can it be trained? */
    char *absolute = ts_path_absolute(m->path);
    ts_run_set(&s->model, absolute);
    ts_run_set(&s->model_hash, hash);
    free(absolute);
out:
    ts_model_close(m);
    return status;
}

/* The path in *member becomes absolute: run.json tells people where something came from. */
static void settle_path(char **member) {
    char *absolute = ts_path_absolute(*member);
    ts_run_set(member, absolute);
    free(absolute);
}

static ts_status take_training(const char *run_dir, ts_run_settings *s, const char *train_file, ts_err *err) {
    ts_err ignored;
    char *mixed = ts_path_join(run_dir, "mixed.jsonl");
    ts_status status = TS_OK;
    s->replay_rows = 0;
    if (ts_replay_wanted(s)) {
        TS_GOTO(ts_replay_mix(s, train_file, mixed, &s->replay_rows, err));
        settle_path(&s->replay);
    }
    TS_GOTO(
        take_data(run_dir, "train.jsonl", s->replay_rows ? mixed : train_file, &s->train_hash, &s->train_rows, err));
out:
    if (ts_remove_tree(mixed, &ignored) != TS_OK && status == TS_OK) status = ts_fail(err, TS_IO, "%s", ignored.text);
    free(mixed);
    return status;
}

static ts_status take_general(const char *run_dir, ts_run_settings *s, ts_err *err) {
    const char *from = s->general && *s->general ? s->general : NULL;
    TS_TRY(take_data(run_dir, "general.jsonl", from, &s->general_hash, &s->general_rows, err));
    if (from) settle_path(&s->general);
    from = s->ewc_lambda > 0 ? s->ewc_data : NULL;
    TS_TRY(take_data(run_dir, "ewc.jsonl", from, &s->ewc_hash, &s->ewc_rows, err));
    if (from) settle_path(&s->ewc_data);
    return TS_OK;
}

static ts_status fill(const char *run_dir, ts_run_settings *s, const char *train_file, const char *valid_file,
                      ts_progress *progress, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    char *path = ts_path_join(run_dir, "run.json");
    ts_status status = TS_OK;
    ts_progress_what(progress, "copying the examples");
    TS_GOTO(take_training(run_dir, s, train_file, err));
    TS_GOTO(take_general(run_dir, s, err));
    TS_GOTO(take_data(run_dir, "valid.jsonl", valid_file, &s->valid_hash, &s->valid_rows, err));
    if (s->template && *s->template) TS_GOTO(take_template(run_dir, s->template, err));
    if (s->sample_prompts && *s->sample_prompts) {
        TS_GOTO(ts_train_prompts_take(run_dir, s->sample_prompts, err));
        settle_path(&s->sample_prompts);
    }
    ts_progress_what(progress, "reading the model");
    TS_GOTO(take_model(run_dir, s, err));
    if (ts_cancelled(progress)) TS_GOTO(ts_fail(err, TS_CANCELLED, "stopped before the run was made"));
    ts_run_set(&s->version, TS_VERSION);
    s->created_ms = ts_wall_ms();
    ts_run_settings_write(s, &text);
    TS_GOTO(ts_file_write(path, text.data, text.len, err));
out:
    ts_buf_release(&text);
    free(path);
    return status;
}

ts_status ts_run_create(const char *run_dir, ts_run_settings *s, const char *train_file, const char *valid_file,
                        ts_progress *progress, ts_err *err) {
    ts_names names = {0};
    ts_err ignored;
    bool there = ts_file_exists(run_dir);
    TS_TRY(ts_run_settings_check(s, err));
    if (there) {
        TS_TRY(ts_dir_list(run_dir, &names, err));
        size_t n = names.n;
        ts_names_release(&names);
        if (n > 0)
            return ts_fail(err, TS_INVALID,
                           "%s exists and is not empty; choose another folder, or resume it with train --run", run_dir);
    }
    TS_TRY(ts_mkdirs(run_dir, err));
    ts_status status = fill(run_dir, s, train_file, valid_file, progress, err);
    if (status != TS_OK && ts_remove_tree(run_dir, &ignored) != TS_OK)
        return ts_wrap(err, status, "%s is left half-made", run_dir);
    return status;
}
