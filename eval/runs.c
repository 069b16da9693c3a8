#include "eval/runs.h"

#include "core/base/clock.h"
#include "core/model/adapter.h"
#include "core/work/child.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NAME_MAX_LENGTH = 60, NICE = 5, START_SECONDS = 30 };

/* The number of a run folder's name, 0 when it is none ("0003-lora", "12"). */
static int64_t number_of(const char *name) {
    size_t digits = strspn(name, "0123456789");
    if (digits == 0 || digits > 15 || (name[digits] && name[digits] != '-')) return 0;
    return strtoll(name, NULL, 10);
}

static char *runs_dir(const char *ws) {
    return ts_path_join(ws, "runs");
}

/* Names of ws/runs; none when the folder is not there. */
static ts_status run_names(const char *ws, ts_names *out, ts_err *err) {
    char *root = runs_dir(ws);
    ts_status status = ts_file_exists(root) ? ts_dir_list(root, out, err) : TS_OK;
    free(root);
    return status;
}

static bool is_run(const char *dir) {
    char *path = ts_path_join(dir, "run.json");
    bool yes = ts_is_file(path);
    free(path);
    return yes;
}

/* --- listing --- */

static char *read_note(const char *dir) {
    ts_buf text = TS_BUF_INIT;
    ts_err ignored;
    char *path = ts_path_join(dir, "note.txt");
    if (!ts_is_file(path) || ts_file_read(path, 1 << 16, &text, &ignored) != TS_OK) ts_buf_reset(&text);
    while (text.len && text.data[text.len - 1] == '\n')
        text.data[--text.len] = 0;
    free(path);
    ts_buf_reserve(&text, 1);
    text.data[text.len] = 0;
    return ts_buf_take(&text);
}

static void read_run(ts_run_info *r) {
    ts_err err;
    bool changed;
    ts_follow_init(&r->follow, r->dir);
    r->note = read_note(r->dir);
    r->tags = ts_run_tags(r->dir);
    r->readable = ts_run_settings_read(r->dir, &r->settings, &err) == TS_OK;
    if (r->readable) r->readable = ts_follow_poll(&r->follow, &changed, &err) == TS_OK;
    if (!r->readable) snprintf(r->problem, sizeof r->problem, "%s", err.text);
    r->model_name = ts_strdup(r->settings.model ? ts_path_base(r->settings.model) : "");
}

static int newest_first(const void *a, const void *b) {
    const ts_run_info *x = a, *y = b;
    if (x->id != y->id) return x->id < y->id ? 1 : -1;
    return strcmp(x->name, y->name);
}

ts_status ts_runs_list(const char *ws, ts_runs *out, ts_err *err) {
    ts_names names = {0};
    char *root = runs_dir(ws);
    *out = (ts_runs){0};
    ts_status status = run_names(ws, &names, err);
    for (size_t i = 0; i < names.n && status == TS_OK; i++) {
        char *dir = ts_path_join(root, names.items[i]);
        if (number_of(names.items[i]) == 0 || !is_run(dir)) {
            free(dir);
            continue;
        }
        ts_run_info r = {.id = number_of(names.items[i]), .name = ts_strdup(names.items[i]), .dir = dir};
        read_run(&r);
        TS_PUSH(out->items, out->n, out->cap, r);
    }
    if (out->n) qsort(out->items, out->n, sizeof *out->items, newest_first);
    ts_names_release(&names);
    free(root);
    return status;
}

void ts_runs_release(ts_runs *runs) {
    for (size_t i = 0; i < runs->n; i++) {
        ts_run_info *r = &runs->items[i];
        free(r->name);
        free(r->dir);
        free(r->note);
        free(r->tags);
        free(r->model_name);
        ts_run_settings_release(&r->settings);
        ts_follow_release(&r->follow);
    }
    free(runs->items);
    *runs = (ts_runs){0};
}

/* --- finding --- */

static ts_status not_found(const char *ws, const char *which, const ts_names *names, ts_err *err) {
    ts_buf have = TS_BUF_INIT;
    for (size_t i = 0; i < names->n && have.len < 200; i++)
        if (number_of(names->items[i])) ts_buf_printf(&have, "%s%s", have.len ? ", " : "", names->items[i]);
    ts_status status =
        !ws        ? ts_fail(err, TS_NOT_FOUND, "there is no run folder %s (and no workspace was named)", which)
        : have.len ? ts_fail(err, TS_NOT_FOUND, "there is no run %s in %s; there are: %s", which, ws, ts_buf_str(&have))
                   : ts_fail(err, TS_NOT_FOUND, "there is no run %s in %s; there are none yet", which, ws);
    ts_buf_release(&have);
    return status;
}

ts_status ts_runs_find(const char *ws, const char *which, char **dir, ts_err *err) {
    ts_names names = {0};
    const char *asked = strncmp(which, "run:", 4) == 0 ? which + 4 : which;
    size_t digits = strspn(asked, "0123456789");
    int64_t id = digits && !asked[digits] && digits < 16 ? strtoll(asked, NULL, 10) : 0;
    *dir = NULL;
    if (ws) TS_TRY(run_names(ws, &names, err));
    for (size_t i = 0; i < names.n && !*dir; i++) {
        if (!(id > 0 && number_of(names.items[i]) == id) && strcmp(names.items[i], asked) != 0) continue;
        char *root = runs_dir(ws);
        *dir = ts_path_join(root, names.items[i]);
        free(root);
    }
    for (size_t i = 0; i < names.n && !*dir; i++) { /* names go before tags */
        char *root = runs_dir(ws), *run = ts_path_join(root, names.items[i]);
        if (number_of(names.items[i]) && ts_run_has_tag(run, asked)) *dir = ts_strdup(run);
        free(root);
        free(run);
    }
    if (!*dir && asked == which && is_run(which)) *dir = ts_strdup(which);
    ts_status status = *dir ? TS_OK : not_found(ws, which, &names, err);
    ts_names_release(&names);
    return status;
}

/* best/ if wanted and there, else the last one. */
static ts_status adapter_of_run(const char *run_dir, bool best, char **dir, ts_err *err) {
    const char *const names[] = {"best", "adapter", "model"};
    for (size_t i = best ? 0 : 1; i < TS_COUNT(names); i++) {
        *dir = ts_path_join(run_dir, names[i]);
        if (ts_is_adapter(*dir) || ts_is_whole(*dir)) return TS_OK;
        free(*dir);
    }
    *dir = NULL;
    return ts_fail(err, TS_NOT_FOUND, "%s holds no result yet: the run has not ended (stop it, or wait)", run_dir);
}

char *ts_runs_of_adapter(const char *adapter) {
    char *absolute = ts_path_absolute(adapter), *dir = ts_path_dir(absolute), *file = ts_path_join(dir, "run.json");
    bool run = ts_is_file(file);
    free(absolute);
    free(file);
    if (run) return dir;
    free(dir);
    return NULL;
}

ts_status ts_runs_adapter(const char *ws, const char *which, char **dir, ts_err *err) {
    *dir = NULL;
    if (strncmp(which, "run:", 4) != 0) {
        if (is_run(which)) return adapter_of_run(which, false, dir, err);
        ts_status found = ts_adapter_find(dir, which, err);
        if (found != TS_NOT_FOUND) return found;
        return ts_fail(err, TS_NOT_FOUND,
                       "%s is no adapter: a PEFT or mlx-lm folder (with adapter_config.json), a GGUF adapter, a run "
                       "folder or run:NUMBER is needed",
                       which);
    }
    char *run = ts_strdup(which + 4), *slash = strchr(run, '/'), *found = NULL;
    if (slash) *slash++ = 0;
    bool best = slash && strcmp(slash, "best") == 0, last = slash && strcmp(slash, "last") == 0;
    ts_status status = TS_OK;
    if (slash && !best && !last)
        status = ts_fail(err, TS_INVALID, "%s: after the number comes /best, /last or nothing", which);
    if (status == TS_OK) status = ts_runs_find(ws, run, &found, err);
    if (status == TS_OK) status = adapter_of_run(found, best, dir, err);
    free(found);
    free(run);
    return status;
}

/* --- making --- */

/* What may stand in a folder's name; other bytes become '-'. */
static char *clean_name(const char *name) {
    char *out = ts_strndup(name, TS_MIN(strlen(name), (size_t)NAME_MAX_LENGTH));
    for (char *p = out; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '.' && *p != '_' && *p != '-') *p = '-';
    return out;
}

/* One program numbers at a time; nobody holds this for longer than a few milliseconds. */
static ts_status lock_numbers(const char *root, ts_lock *lock, ts_err *err) {
    char *path = ts_path_join(root, ".numbers");
    ts_status status = TS_BUSY;
    for (int tries = 0; tries < 100 && status == TS_BUSY; tries++) {
        if (tries) nanosleep(&(struct timespec){0, 20 * 1000000L}, NULL);
        status = ts_lock_take(lock, path, "a new run is being numbered", err);
    }
    free(path);
    return status;
}

static ts_status take_number(const char *ws, const char *name, int64_t *id, char **dir, ts_err *err) {
    ts_names names = {0};
    ts_lock lock = TS_LOCK_INIT;
    char *root = runs_dir(ws), *clean = clean_name(name);
    ts_status status = TS_OK;
    *dir = NULL;
    TS_GOTO(ts_mkdirs(root, err));
    TS_GOTO(lock_numbers(root, &lock, err));
    TS_GOTO(ts_dir_list(root, &names, err));
    *id = 1;
    for (size_t i = 0; i < names.n; i++)
        *id = TS_MAX(*id, number_of(names.items[i]) + 1);
    char *folder = ts_printf("%04lld-%s", (long long)*id, clean);
    *dir = ts_path_join(root, folder);
    free(folder);
    TS_GOTO(ts_mkdirs(*dir, err));
out:
    ts_lock_release(&lock);
    ts_names_release(&names);
    free(root);
    free(clean);
    return status;
}

ts_status ts_runs_create(const char *ws, const char *name, ts_run_settings *s, const char *train_file,
                         const char *valid_file, int64_t *id, char **dir, ts_progress *progress, ts_err *err) {
    TS_TRY(ts_run_settings_check(s, err));
    ts_status status = take_number(ws, name ? name : s->method, id, dir, err);
    if (status == TS_OK) status = ts_run_create(*dir, s, train_file, valid_file, progress, err);
    if (status != TS_OK && *dir) {
        ts_err ignored;
        ts_status removed = ts_remove_tree(*dir, &ignored);
        (void)removed;
        free(*dir);
        *dir = NULL;
    }
    return status;
}

/* --- starting and ending --- */

/* A process that ended counts as gone also while nobody has collected it. */
static bool is_gone(pid_t pid) {
    char path[64];
    ts_buf text = TS_BUF_INIT;
    ts_err ignored;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    bool gone = kill(pid, 0) != 0 && errno == ESRCH;
    if (!gone && ts_file_read(path, 4096, &text, &ignored) == TS_OK) {
        const char *state = strrchr(ts_buf_str(&text), ')');
        gone = state && strncmp(state, ") Z", 3) == 0;
    }
    ts_buf_release(&text);
    return gone;
}

/* The last line of log.txt, for a child that ended without a word in the events. */
static void last_words(const char *dir, char *out, size_t n) {
    ts_buf text = TS_BUF_INIT;
    ts_err ignored;
    char *path = ts_path_join(dir, "log.txt");
    out[0] = 0;
    if (ts_file_read(path, 1 << 24, &text, &ignored) == TS_OK && text.len) {
        while (text.len && isspace((unsigned char)text.data[text.len - 1]))
            text.data[--text.len] = 0;
        const char *line = strrchr(ts_buf_str(&text), '\n');
        snprintf(out, n, "%s", line ? line + 1 : ts_buf_str(&text));
    }
    ts_buf_release(&text);
    free(path);
}

static ts_status ended_early(const char *dir, ts_err *err) {
    ts_follow f;
    bool changed;
    char words[300];
    ts_follow_init(&f, dir);
    ts_status status = ts_follow_poll(&f, &changed, err);
    if (status == TS_OK && f.state == TS_RUN_FAILED)
        status = ts_fail(err, TS_INVALID, "%s", f.reason);
    else if (status == TS_OK && f.state != TS_RUN_DONE && f.state != TS_RUN_STOPPED) {
        last_words(dir, words, sizeof words);
        status = ts_fail(err, TS_IO, "the training process ended at once: %s", *words ? words : "it left no word");
    }
    ts_follow_release(&f);
    return status;
}

ts_status ts_runs_start(const char *dir, ts_err *err) {
    char *absolute = ts_path_absolute(dir), *log = ts_path_join(absolute, "log.txt"),
         *lock = ts_path_join(absolute, "lock");
    const char *args[] = {"train", "--run", absolute, NULL};
    ts_child_options o = {.args = args, .log = log, .detached = true, .nice = NICE};
    ts_child child;
    ts_status status = TS_OK;
    bool waits = ts_run_place_read(absolute).place > 0;
    if (!is_run(dir)) TS_GOTO(ts_fail(err, TS_NOT_FOUND, "%s is no run folder: it holds no run.json", dir));
    if (ts_lock_is_held(lock)) TS_GOTO(ts_fail(err, TS_BUSY, "%s is being trained already", dir));
    TS_GOTO(ts_child_start(&child, &o, err));
    for (double until = ts_now() + START_SECONDS; ts_now() < until;) {
        if (ts_lock_is_held(lock)) goto out;
        if (waits && !ts_run_place_read(absolute).place) goto out; /* it had the lock: a run may be over in no time */
        if (is_gone(child.pid)) {
            status = ended_early(dir, err);
            goto out;
        }
        nanosleep(&(struct timespec){0, 10 * 1000000L}, NULL);
    }
    status = ts_fail(err, TS_IO, "the training process did not begin within %d seconds; see %s", START_SECONDS, log);
out:
    free(absolute);
    free(log);
    free(lock);
    return status;
}

ts_status ts_runs_note(const char *dir, const char *note, ts_err *err) {
    char *path = ts_path_join(dir, "note.txt");
    ts_status status = is_run(dir) ? ts_file_write(path, note, strlen(note), err)
                                   : ts_fail(err, TS_NOT_FOUND, "%s is no run folder", dir);
    free(path);
    return status;
}

/* For as long as it is held nobody trains the run. */
static ts_status hold(const char *dir, const char *words, ts_lock *lock, ts_err *err) {
    char *path = ts_path_join(dir, "lock");
    ts_status status = ts_lock_take(lock, path, words, err);
    free(path);
    return status == TS_BUSY ? ts_fail(err, TS_BUSY, "%s is being trained; stop it first", dir) : status;
}

ts_status ts_runs_rename(const char *ws, int64_t id, const char *name, ts_err *err) {
    char which[32], *dir = NULL;
    ts_lock lock = TS_LOCK_INIT;
    snprintf(which, sizeof which, "%lld", (long long)id);
    if (!*name) return ts_fail(err, TS_INVALID, "a run needs a name");
    TS_TRY(ts_runs_find(ws, which, &dir, err));
    char *clean = clean_name(name), *root = runs_dir(ws), *folder = ts_printf("%04lld-%s", (long long)id, clean);
    char *to = ts_path_join(root, folder);
    ts_status status = hold(dir, "being renamed", &lock, err);
    if (status == TS_OK && strcmp(dir, to) != 0 && rename(dir, to) != 0)
        status = ts_fail_errno(err, "cannot rename %s to %s", dir, folder);
    ts_lock_release(&lock);
    free(clean);
    free(root);
    free(folder);
    free(to);
    free(dir);
    return status;
}

ts_status ts_runs_delete(const char *dir, ts_err *err) {
    ts_lock lock = TS_LOCK_INIT;
    if (!is_run(dir)) return ts_fail(err, TS_NOT_FOUND, "%s is no run folder", dir);
    TS_TRY(hold(dir, "being deleted", &lock, err));
    char *path = ts_path_join(dir, "run.json");
    /* first, so that what a power cut leaves is no run any more */
    ts_status status = ts_remove_tree(path, err);
    if (status == TS_OK) status = ts_remove_tree(dir, err);
    free(path);
    ts_lock_release(&lock);
    return status;
}
