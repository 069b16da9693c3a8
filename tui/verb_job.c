#include "tui/verb_job.h"

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/work/child.h"
#include "tui/cli.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { MOST_LINE = 1 << 20, LOOK_MS = 100, NICE = 5, PATIENCE = 5, STOP_PATIENCE = 60 };

void ts_call_add(ts_call *w, char *word) {
    TS_PUSH(w->items, w->n, w->cap, word);
}

void ts_call_release(ts_call *w) {
    for (size_t i = 0; i < w->n; i++)
        free(w->items[i]);
    free(w->items);
    *w = (ts_call){0};
}

void ts_call_command(const ts_call *w, ts_buf *out) {
    ts_buf_puts(out, "tunesmith");
    for (size_t i = 0; i < w->n; i++) {
        ts_buf_putc(out, ' ');
        ts_buf_shell_word(out, w->items[i]);
    }
}

/* What the child does, as a constant: ts_progress keeps pointers. A verb has a few such words. */
static const char *constant(const char *words) {
    static char *known[32];
    static size_t n;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const char *found = NULL;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n && !found; i++)
        if (strcmp(known[i], words) == 0) found = known[i];
    if (!found && n < TS_COUNT(known)) found = known[n++] = ts_strdup(words);
    pthread_mutex_unlock(&lock);
    return found;
}

struct listening {
    ts_progress *progress;
    ts_buf *result, *said;
    const char *verb;
};

/* A remark or the sentence of a failure: "tunesmith merge: the base is ..". */
static void take_words(struct listening *l, const char *line) {
    char before[64];
    int n = snprintf(before, sizeof before, "tunesmith %s: ", l->verb);
    if (strncmp(line, before, (size_t)n) != 0) return;
    ts_buf_printf(l->said, "%s%s", l->said->len ? "\n" : "", line + n);
}

static void take_line(struct listening *l, const char *line, size_t n) {
    ts_json *v = *line == '{' ? ts_json_parse(line, n, NULL) : NULL;
    const char *what = ts_json_str(ts_json_get(v, "progress"), NULL);
    if (what) {
        ts_progress_set(l->progress, (int64_t)ts_json_num(ts_json_get(v, "done"), 0),
                        (int64_t)ts_json_num(ts_json_get(v, "total"), 0));
        ts_progress_what(l->progress, constant(what));
    } else if (v) {
        ts_buf_reset(l->result);
        ts_buf_add(l->result, line, n);
    } else {
        take_words(l, line);
    }
    ts_json_free(v);
}

/* Until it has closed its output. */
static ts_status listen(struct listening *l, ts_child *c, ts_err *err) {
    ts_lines lines = {.max = MOST_LINE};
    ts_status status = TS_OK;
    double asked = 0;
    while (!lines.eof && status == TS_OK) {
        struct pollfd p = {c->out, POLLIN, 0};
        const char *line;
        size_t n;
        poll(&p, 1, LOOK_MS);
        if (ts_cancelled(l->progress) && (asked == 0 || ts_now() > asked + STOP_PATIENCE)) {
            kill(c->pid, asked == 0 ? SIGTERM : SIGKILL);
            asked = ts_now();
        }
        status = ts_lines_fill(&lines, c->out, err);
        while (ts_lines_next(&lines, &line, &n))
            take_line(l, line, n);
    }
    ts_lines_release(&lines);
    return status;
}

static ts_status judge(const struct listening *l, int how, ts_err *err) {
    char end[80];
    if (WIFEXITED(how) && WEXITSTATUS(how) == TS_EXIT_OK) return TS_OK;
    if (ts_cancelled(l->progress)) return ts_fail(err, TS_CANCELLED, "stopped");
    const char *last = l->said->len ? strrchr(l->said->data, '\n') : NULL;
    if (l->said->len && WIFEXITED(how)) return ts_fail(err, TS_INVALID, "%s", last ? last + 1 : l->said->data);
    ts_child_describe(how, end, sizeof end);
    return ts_fail(err, TS_IO, "tunesmith %s %s", l->verb, end);
}

ts_status ts_call_run(const ts_call *w, ts_progress *progress, ts_buf *result, ts_buf *said, ts_err *err) {
    ts_assert(w->n > 0);
    if (ts_cancelled(progress)) return ts_fail(err, TS_CANCELLED, "stopped");
    struct listening l = {progress, result, said, w->items[0]};
    const char **args = ts_calloc(w->n + 3, sizeof *args);
    ts_child child;
    int how = 0;
    memcpy(args, w->items, w->n * sizeof *args);
    args[w->n] = "--json";
    args[w->n + 1] = "--progress-lines";
    const ts_child_options o = {.args = args, .pipes = true, .errors_too = true, .nice = NICE};
    ts_status status = ts_child_start(&child, &o, err);
    free(args);
    TS_TRY(status);
    status = listen(&l, &child, err);
    bool over = status == TS_OK && ts_child_wait(&child, PATIENCE, &how);
    ts_child_end(&child, 1);
    if (status == TS_OK) status = over ? judge(&l, how, err) : ts_fail(err, TS_IO, "tunesmith %s does not end", l.verb);
    return status;
}
