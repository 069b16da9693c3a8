/* The progress meter of the command line: a thread of its own draws, the working thread only sets numbers. */
#include "core/base/clock.h"
#include "core/base/json.h"
#include "tui/cli.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ts_meter {
    ts_progress *progress;
    const char *what, *unit;
    bool terminal, lines, drawn, threaded; /* lines: of JSON */
    double begun;
    const char *stage; /* the words of the part of the work that began at `since` */
    double since;
    pthread_t thread;
    pthread_mutex_t lock; /* guards stop and words */
    pthread_cond_t wake;
    bool stop;
    char words[120];
    struct sigaction old_int, old_term;
};

static _Atomic(ts_progress *) interrupt_target;

/* First Ctrl-C: ask the act to stop. Second: the person means it. */
static void on_interrupt(int sig) {
    (void)sig;
    ts_progress *p = atomic_load(&interrupt_target);
    if (!p || ts_cancelled(p)) _exit(TS_EXIT_INTERRUPTED);
    ts_cancel(p);
}

/* "1.2 k", "34", "5.0 M" */
static void short_number(double v, char *out, size_t n) {
    if (v >= 1e6)
        snprintf(out, n, "%.1f M", v / 1e6);
    else if (v >= 1e4)
        snprintf(out, n, "%.0f k", v / 1e3);
    else
        snprintf(out, n, v < 10 ? "%.1f" : "%.0f", v);
}

/* "1.9 MB/s", "210 rows/s"; "" where bytes are the unit but a later part of the work counts something else. */
static void describe_rate(const ts_meter *m, double rate, char out[48]) {
    char speed[32];
    short_number(rate, speed, sizeof speed);
    if (strcmp(m->unit, "bytes") != 0)
        snprintf(out, 48, "%s %s/s", speed, m->unit);
    else
        snprintf(out, m->stage == m->what ? 48 : 1, "%s%sB/s", speed, rate < 1e4 ? " " : "");
}

static void describe(ts_meter *m, char *out, size_t n) {
    int64_t done = atomic_load(&m->progress->done), total = atomic_load(&m->progress->total);
    const char *what = atomic_load(&m->progress->what);
    if (what && !m->stage) m->what = what;
    if (!what) what = m->what;
    if (m->stage && what != m->stage) m->since = ts_now();
    m->stage = what;
    double elapsed = ts_now() - m->since, rate = elapsed > 0 ? (double)done / elapsed : 0;
    char speed[48], left[32] = "-", bar[21] = "";
    describe_rate(m, rate, speed);
    if (total > 0) {
        int filled = (int)(20 * TS_MIN(done, total) / total);
        memset(bar, '-', 20);
        memset(bar, '#', (size_t)filled);
        bar[20] = 0;
        if (rate > 0) ts_format_duration((double)(total - done) / rate, left);
        snprintf(out, n, "%s %s %3d%%  %s  %s left  %s", what, bar, (int)(100 * done / total), speed, left, m->words);
    } else {
        ts_format_duration(elapsed, left);
        snprintf(out, n, "%s  %lld %s  %s  %s  %s", what, (long long)done, m->unit, speed, left, m->words);
    }
}

static void print_line(ts_meter *m) {
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&line);
    const char *what = atomic_load(&m->progress->what);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "progress", what ? what : m->what);
    ts_jw_kint(&w, "done", atomic_load(&m->progress->done));
    ts_jw_kint(&w, "total", atomic_load(&m->progress->total));
    ts_jw_end_obj(&w);
    fprintf(stderr, "%s\n", line.data);
    ts_buf_release(&line);
}

static void draw(ts_meter *m) {
    char text[320];
    if (m->lines) {
        print_line(m);
        return;
    }
    pthread_mutex_lock(&m->lock);
    describe(m, text, sizeof text);
    pthread_mutex_unlock(&m->lock);
    if (m->terminal)
        fprintf(stderr, "\r%.110s\033[K", text);
    else
        fprintf(stderr, "%s\n", text);
    fflush(stderr);
    m->drawn = true;
}

static void *meter_thread(void *arg) {
    ts_meter *m = arg;
    double next = m->begun + (m->lines ? 0 : m->terminal ? 0.3 : 10), step = m->lines ? 0.2 : m->terminal ? 0.1 : 10;
    pthread_mutex_lock(&m->lock);
    while (!m->stop) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 50 * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&m->wake, &m->lock, &until);
        if (m->stop || ts_now() < next) continue;
        next = ts_now() + step;
        pthread_mutex_unlock(&m->lock);
        draw(m);
        pthread_mutex_lock(&m->lock);
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

ts_meter *ts_meter_start(const ts_cmd *cmd, ts_progress *progress, const char *what, const char *unit) {
    ts_meter *m = ts_calloc(1, sizeof *m);
    *m = (ts_meter){.progress = progress, .what = what, .unit = unit, .begun = ts_now()};
    m->since = m->begun;
    m->lines = cmd->progress_lines;
    m->terminal = isatty(STDERR_FILENO) && !m->lines;
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->wake, NULL);
    struct sigaction act = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    atomic_store(&interrupt_target, progress);
    sigaction(SIGINT, &act, &m->old_int);
    sigaction(SIGTERM, &act, &m->old_term); /* leaves no temporary file behind either */
    m->threaded = !cmd->quiet && pthread_create(&m->thread, NULL, meter_thread, m) == 0;
    return m;
}

void ts_meter_say(ts_meter *m, const char *fmt, ...) {
    va_list ap;
    if (!m) return;
    pthread_mutex_lock(&m->lock);
    va_start(ap, fmt);
    vsnprintf(m->words, sizeof m->words, fmt, ap);
    va_end(ap);
    pthread_mutex_unlock(&m->lock);
}

void ts_meter_stop(ts_meter *m) {
    if (!m) return;
    pthread_mutex_lock(&m->lock);
    m->stop = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
    if (m->threaded) pthread_join(m->thread, NULL);
    if (m->threaded && m->lines) print_line(m); /* how far it came */
    if (m->drawn && m->terminal) fprintf(stderr, "\r\033[K");
    sigaction(SIGINT, &m->old_int, NULL);
    sigaction(SIGTERM, &m->old_term, NULL);
    atomic_store(&interrupt_target, NULL);
    pthread_cond_destroy(&m->wake);
    pthread_mutex_destroy(&m->lock);
    free(m);
}
