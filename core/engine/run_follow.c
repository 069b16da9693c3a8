/* Following a run: events.jsonl is read from where the last look ended. A resumed run replaces the file (see
 * run_events.h), which shows as another inode. */
#include "core/base/clock.h"
#include "core/engine/run.h"
#include "core/work/child.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOG_LINES = 200, RATE_STEPS = 20, MOST_SAMPLES = 1000, MOST_PROMPTS = 32 };

const char *const ts_penalty_names[TS_PENALTIES] = {"kl", "l2", "ewc"};

static void forget(ts_follow *f) {
    for (size_t i = 0; i < f->n_log; i++)
        free(f->log[i]);
    for (size_t i = 0; i < f->n_prompts; i++)
        free(f->prompts[i]);
    for (size_t i = 0; i < f->n_samples; i++)
        free(f->samples[i].text);
    f->n_log = f->n_points = f->n_evals = f->n_generals = f->n_prompts = f->n_samples = 0;
    f->offset = 0;
    f->ended = false;
    f->steps = f->examples = f->tokens_per_epoch = f->supervised_per_epoch = f->truncated = f->unsupervised = 0;
    f->trainable_params = f->all_params = f->step = f->peak_rss = 0;
    f->epochs = f->seconds = f->tokens_per_second = f->supervised_per_second = 0;
    f->eta = f->train_loss = f->valid_loss = f->best_valid_loss = f->general_loss = f->general_before = NAN;
    for (size_t i = 0; i < TS_PENALTIES; i++)
        f->penalties[i] = NAN;
    f->best_step = -1;
    f->kernel[0] = f->host[0] = f->reason[0] = 0;
    f->threads = 0;
}

void ts_follow_init(ts_follow *f, const char *run_dir) {
    *f = (ts_follow){.dir = ts_strdup(run_dir), .state = TS_RUN_NEW};
    forget(f);
}

void ts_follow_release(ts_follow *f) {
    forget(f);
    free(f->dir);
    free(f->points);
    free(f->evals);
    free(f->generals);
    free(f->prompts);
    free(f->samples);
    free(f->log);
    *f = (ts_follow){0};
}

static void TS_PRINTF(3, 4) say(ts_follow *f, const ts_json *e, const char *fmt, ...) {
    char text[400];
    struct tm local;
    time_t seconds = (time_t)(ts_json_num(ts_json_get(e, "time"), 0) / 1000);
    localtime_r(&seconds, &local);
    size_t n = strftime(text, sizeof text, "%H:%M:%S ", &local);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text + n, sizeof text - n, fmt, ap);
    va_end(ap);
    if (f->n_log == LOG_LINES) {
        free(f->log[0]);
        memmove(f->log, f->log + 1, --f->n_log * sizeof *f->log);
    }
    TS_PUSH(f->log, f->n_log, f->cap_log, ts_strdup(text));
}

static double num(const ts_json *e, const char *key) {
    return ts_json_num(ts_json_get(e, key), NAN);
}

static int64_t whole(const ts_json *e, const char *key) {
    int64_t v = 0;
    ts_json_int(ts_json_get(e, key), -9007199254740992, 9007199254740992, &v);
    return v;
}

static void on_start(ts_follow *f, const ts_json *e) {
    f->ended = false;
    f->reason[0] = 0;
    f->steps = whole(e, "steps");
    f->epochs = num(e, "epochs");
    f->examples = whole(e, "examples");
    f->tokens_per_epoch = whole(e, "tokens");
    f->supervised_per_epoch = whole(e, "supervised_tokens");
    f->truncated = whole(e, "truncated");
    f->unsupervised = whole(e, "unsupervised");
    f->trainable_params = whole(e, "trainable_params");
    f->all_params = whole(e, "all_params");
    f->threads = (int)whole(e, "threads");
    snprintf(f->kernel, sizeof f->kernel, "%s", ts_json_str(ts_json_get(e, "kernel"), ""));
    snprintf(f->host, sizeof f->host, "%s", ts_json_str(ts_json_get(e, "host"), ""));
    say(f, e, "%s: %lld examples, %lld steps, %lld trainable parameters, %s kernel, %d threads",
        ts_json_is_true(ts_json_get(e, "resumed")) ? "resumed" : "started", (long long)f->examples, (long long)f->steps,
        (long long)f->trainable_params, f->kernel, f->threads);
    if (f->step == 0 && whole(e, "valid_examples") > 0)
        say(f, e, "the held-out examples are measured before the first step");
}

static void on_step(ts_follow *f, const ts_json *e) {
    ts_point p = {.step = f->step,
                  .loss = num(e, "loss"),
                  .lr = num(e, "lr"),
                  .grad_norm = num(e, "grad_norm"),
                  .tokens = ts_json_num(ts_json_get(e, "tokens"), 0),
                  .supervised = ts_json_num(ts_json_get(e, "supervised_tokens"), 0),
                  .seconds = ts_json_num(ts_json_get(e, "seconds"), 0)};
    TS_PUSH(f->points, f->n_points, f->cap_points, p);
    f->seconds += p.seconds;
    f->peak_rss = TS_MAX(f->peak_rss, whole(e, "peak_rss_bytes"));
    ts_buf held = TS_BUF_INIT;
    for (size_t i = 0; i < TS_PENALTIES; i++) {
        f->penalties[i] = num(e, ts_penalty_names[i]);
        if (isfinite(f->penalties[i])) ts_buf_printf(&held, " %s %.3g", ts_penalty_names[i], f->penalties[i]);
    }
    say(f, e, "step %lld loss %.3f%s lr %.2e gnorm %.2f %.0f tok/s", (long long)p.step, p.loss, ts_buf_str(&held), p.lr,
        p.grad_norm, p.seconds > 0 ? p.tokens / p.seconds : 0);
    ts_buf_release(&held);
}

static void on_general(ts_follow *f, const ts_json *e) {
    ts_eval_point p = {f->step, num(e, "general_loss"), false};
    TS_PUSH(f->generals, f->n_generals, f->cap_generals, p);
    if (f->n_generals == 1) f->general_before = p.loss;
    f->general_loss = p.loss;
    say(f, e, "general loss %.3f, %+.3f since the start", p.loss, p.loss - f->general_before);
}

static void on_eval(ts_follow *f, const ts_json *e) {
    ts_eval_point p = {f->step, num(e, "valid_loss"), ts_json_is_true(ts_json_get(e, "best"))};
    f->seconds += ts_json_num(ts_json_get(e, "seconds"), 0);
    if (ts_json_get(e, "general_loss")) on_general(f, e);
    if (!ts_json_get(e, "valid_loss")) return; /* a run without held-out rows */
    TS_PUSH(f->evals, f->n_evals, f->cap_evals, p);
    f->valid_loss = p.loss;
    if (p.best) {
        f->best_valid_loss = p.loss;
        f->best_step = p.step;
    }
    say(f, e, "validation loss %.3f%s", p.loss, p.best ? ", the best so far: adapter saved" : "");
}

static void on_sample(ts_follow *f, const ts_json *e) {
    int64_t index;
    if (!ts_json_int(ts_json_get(e, "index"), 0, MOST_PROMPTS - 1, &index)) return;
    while (f->n_prompts <= (size_t)index)
        TS_PUSH(f->prompts, f->n_prompts, f->cap_prompts, NULL);
    if (!f->prompts[index]) f->prompts[index] = ts_strdup(ts_json_str(ts_json_get(e, "prompt"), ""));
    if (f->n_samples == MOST_SAMPLES) {
        free(f->samples[0].text);
        memmove(f->samples, f->samples + 1, --f->n_samples * sizeof *f->samples);
    }
    ts_run_sample one = {f->step, (size_t)index, ts_strdup(ts_json_str(ts_json_get(e, "text"), ""))};
    TS_PUSH(f->samples, f->n_samples, f->cap_samples, one);
    if (index == 0) say(f, e, "the sample prompts are answered");
}

static void on_end(ts_follow *f, const ts_json *e) {
    const char *state = ts_json_str(ts_json_get(e, "state"), "failed");
    const char *reason = ts_json_str(ts_json_get(e, "reason"), "");
    f->ended = true;
    f->end_state = strcmp(state, "done") == 0      ? TS_RUN_DONE
                   : strcmp(state, "stopped") == 0 ? TS_RUN_STOPPED
                                                   : TS_RUN_FAILED;
    snprintf(f->reason, sizeof f->reason, "%s", reason);
    f->peak_rss = TS_MAX(f->peak_rss, whole(e, "peak_rss_bytes"));
    say(f, e, "%s%s%s", state, *reason ? ": " : "", reason);
}

static void on_event(ts_follow *f, const char *line, size_t n) {
    ts_json *e = ts_json_parse(line, n, NULL);
    const char *event = ts_json_str(ts_json_get(e, "event"), "");
    if (ts_json_get(e, "step")) f->step = whole(e, "step");
    if (strcmp(event, "start") == 0)
        on_start(f, e);
    else if (strcmp(event, "step") == 0)
        on_step(f, e);
    else if (strcmp(event, "eval") == 0)
        on_eval(f, e);
    else if (strcmp(event, "sample") == 0)
        on_sample(f, e);
    else if (strcmp(event, "checkpoint") == 0)
        say(f, e, "checkpoint");
    else if (strcmp(event, "warning") == 0)
        say(f, e, "warning: %.300s", ts_json_str(ts_json_get(e, "text"), ""));
    else if (strcmp(event, "end") == 0)
        on_end(f, e);
    ts_json_free(e);
}

/* Rates over the last steps, loss over the last epoch's worth of them, time left. */
static void sum_up(ts_follow *f) {
    double tokens = 0, supervised = 0, seconds = 0, nll = 0, count = 0;
    size_t epoch = f->epochs > 0 && f->steps > 0 ? (size_t)((double)f->steps / f->epochs + 0.5) : f->n_points;
    for (size_t i = f->n_points; i-- > 0;) {
        const ts_point *p = &f->points[i];
        size_t back = f->n_points - 1 - i;
        if (back < RATE_STEPS) {
            tokens += p->tokens;
            supervised += p->supervised;
            seconds += p->seconds;
        }
        if (back < epoch && p->supervised > 0) {
            nll += p->loss * p->supervised;
            count += p->supervised;
        }
        if (back >= RATE_STEPS && back >= epoch) break;
    }
    f->tokens_per_second = seconds > 0 ? tokens / seconds : 0;
    f->supervised_per_second = seconds > 0 ? supervised / seconds : 0;
    f->train_loss = count > 0 ? nll / count : NAN;
    f->eta = f->n_points && f->steps > f->step
                 ? seconds / (double)TS_MIN(f->n_points, (size_t)RATE_STEPS) * (double)(f->steps - f->step)
                 : NAN;
}

static ts_status read_new(ts_follow *f, int fd, bool *changed, ts_err *err) {
    ts_lines l = {0};
    ts_status status = TS_OK;
    const char *line;
    size_t n;
    if (lseek(fd, f->offset, SEEK_SET) < 0) return ts_fail_errno(err, "cannot read the events of %s", f->dir);
    while (status == TS_OK && !l.eof) {
        status = ts_lines_fill(&l, fd, err);
        while (ts_lines_next(&l, &line, &n)) {
            f->offset += (int64_t)n + 1;
            on_event(f, line, n);
            *changed = true;
        }
    }
    ts_lines_release(&l);
    return status;
}

static ts_status look(ts_follow *f, bool *changed, ts_err *err) {
    struct stat st;
    char *path = ts_path_join(f->dir, "events.jsonl");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    if (fd < 0 && errno == ENOENT) return TS_OK;
    if (fd < 0 || fstat(fd, &st) != 0) {
        if (fd >= 0) close(fd);
        return ts_fail_errno(err, "cannot read the events of %s", f->dir);
    }
    if ((uint64_t)st.st_ino != f->inode || st.st_size < f->offset) {
        *changed |= f->offset > 0;
        forget(f);
        f->inode = (uint64_t)st.st_ino;
    }
    ts_status status = st.st_size > f->offset ? read_new(f, fd, changed, err) : TS_OK;
    close(fd);
    return status;
}

/* The second line of the lock file (run_room.h). */
static void read_pause(ts_follow *f, bool running, bool *changed) {
    ts_buf text = TS_BUF_INIT;
    ts_err ignored;
    char *path = ts_path_join(f->dir, "lock"), now[sizeof f->paused] = "";
    if (running && ts_file_read(path, 2000, &text, &ignored) == TS_OK) {
        const char *second = strchr(ts_buf_str(&text), '\n');
        snprintf(now, sizeof now, "%s", second ? second + 1 : "");
    }
    *changed |= strcmp(now, f->paused) != 0;
    memcpy(f->paused, now, sizeof now);
    ts_buf_release(&text);
    free(path);
}

ts_status ts_follow_poll(ts_follow *f, bool *changed, ts_err *err) {
    ts_run_state before = f->state;
    char *lock = ts_path_join(f->dir, "lock");
    /* the lock first: once it is free, every event is in the file */
    bool running = ts_lock_is_held(lock);
    free(lock);
    *changed = false;
    TS_TRY(look(f, changed, err));
    if (*changed) sum_up(f);
    read_pause(f, running, changed);
    ts_run_place place = running ? (ts_run_place){0} : ts_run_place_read(f->dir);
    *changed |= place.place != f->place.place;
    f->place = place;
    if (running)
        f->state = TS_RUN_RUNNING;
    else if (place.place)
        f->state = place.held ? TS_RUN_HELD : TS_RUN_WAITING;
    else if (f->ended)
        f->state = f->end_state;
    else
        f->state = f->offset > 0 ? TS_RUN_CRASHED : TS_RUN_NEW;
    *changed |= f->state != before;
    return TS_OK;
}
