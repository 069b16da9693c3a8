/* Searching in Browse: a job looks through the rows from the cursor on; typing on begins a new one. */
#include "tui/browse.h"

#include <stdlib.h>
#include <string.h>

enum { KIND_FIND = 2, CHUNK = 64 };

struct find_job {
    ts_job job;
    struct browse *browse;
    struct shared_view *view;
    ts_regex *regex;
    size_t from;
    int direction;
    bool itself; /* the row `from` counts too */
    unsigned number;
    size_t at; /* result; the view's count when nothing was found */
    bool wrapped;
};

void shared_view_drop(struct shared_view *v) {
    if (!v || --v->users > 0) return;
    ts_view_free(v->view);
    free(v);
}

static ts_regex *compile(const char *pattern, ts_err *err) {
    bool re = strncmp(pattern, "re:", 3) == 0;
    const char *text = re ? pattern + 3 : pattern;
    size_t n = strlen(text);
    ts_regex *out = NULL;
    unsigned flags = (re ? 0 : TS_REGEX_LITERAL) | (ts_has_upper(text, n) ? 0 : TS_REGEX_CASELESS);
    return n && ts_regex_new(&out, text, n, flags, err) == TS_OK ? out : NULL;
}

static bool row_has(ts_matcher *m, const ts_row *row) {
    const ts_text texts[] = {row->instruction, row->input, row->output, row->system};
    size_t from, to;
    for (size_t i = 0; i < TS_COUNT(texts); i++)
        if (texts[i].n && ts_matcher_find(m, texts[i].s, texts[i].n, 0, &from, &to, NULL)) return true;
    return false;
}

/* The k-th row to look at. */
static size_t place(const struct find_job *f, size_t k, size_t count) {
    size_t step = (k + !f->itself) % count;
    return f->direction > 0 ? (f->from + step) % count : (f->from + count - step) % count;
}

static void find_run(ts_job *job) {
    struct find_job *f = (struct find_job *)job;
    size_t count = ts_view_count(f->view->view);
    ts_store *st = f->browse->screen.app->scanner;
    ts_matcher *m = ts_matcher_new(f->regex);
    ts_arena arena = TS_ARENA_INIT;
    ts_row rows[CHUNK];
    int64_t ids[CHUNK];
    f->at = count;
    for (size_t k = 0; k < count && f->at == count && job->status == TS_OK; k += CHUNK) {
        size_t n = TS_MIN((size_t)CHUNK, count - k);
        for (size_t i = 0; i < n; i++)
            ids[i] = ts_view_id(f->view->view, place(f, k + i, count));
        ts_progress_set(&job->progress, (int64_t)k, (int64_t)count);
        ts_arena_reset(&arena);
        job->status = ts_cancelled(&job->progress) ? ts_fail(&job->err, TS_CANCELLED, "stopped")
                                                   : ts_rows_read(st, ids, n, rows, &arena, &job->err);
        for (size_t i = 0; i < n && job->status == TS_OK && f->at == count; i++)
            if (row_has(m, &rows[i])) f->at = place(f, k + i, count);
    }
    f->wrapped = f->at < count && (f->direction > 0 ? f->at < f->from : f->at > f->from);
    ts_arena_release(&arena);
    ts_matcher_free(m);
}

static void find_done(ts_job *job) {
    struct find_job *f = (struct find_job *)job;
    struct browse *b = f->browse;
    ts_app *app = b->screen.app;
    if (f->number == b->find_number && job->status == TS_OK) {
        if (f->at < ts_view_count(f->view->view) && f->view == b->view) {
            b->list.cursor = f->at;
            if (f->wrapped)
                ts_app_say(app, TS_R_TEXT, f->direction > 0 ? "went on at the top" : "went on at the bottom");
        } else {
            ts_app_say(app, TS_R_WARN, "nothing has \"%s\"", b->pattern ? b->pattern : "");
        }
    } else if (job->status != TS_OK && job->status != TS_CANCELLED) {
        ts_app_say(app, TS_R_ERROR, "%s", job->err.text);
    }
    shared_view_drop(f->view);
    ts_regex_free(f->regex);
    free(f);
}

static void start(struct browse *b, size_t from, int direction, bool itself) {
    ts_err err;
    ts_regex *regex = b->pattern && browse_count(b) ? compile(b->pattern, &err) : NULL;
    if (!regex) return;
    struct find_job *f = ts_calloc(1, sizeof *f);
    *f = (struct find_job){.job = {.title = "searching", .kind = KIND_FIND, .run = find_run, .done = find_done},
                           .browse = b,
                           .view = b->view,
                           .regex = regex,
                           .from = from,
                           .direction = direction,
                           .itself = itself,
                           .number = ++b->find_number};
    b->view->users++;
    ts_queue_cancel(b->screen.app->jobs, KIND_FIND);
    ts_queue_push(b->screen.app->jobs, &f->job);
}

void browse_find_clear(struct browse *b) {
    free(b->pattern);
    b->pattern = NULL;
    ts_matcher_free(b->hits);
    ts_regex_free(b->regex);
    b->hits = NULL;
    b->regex = NULL;
    b->find_number++;
}

static bool set_pattern(struct browse *b, const char *text, bool complain) {
    ts_err err = {.text = ""};
    browse_find_clear(b);
    if (!*text) return false;
    b->regex = compile(text, &err);
    if (!b->regex) {
        if (complain && *err.text) ts_app_say(b->screen.app, TS_R_ERROR, "%s", err.text);
        return false;
    }
    b->hits = ts_matcher_new(b->regex);
    b->pattern = ts_strdup(text);
    return true;
}

static void typed(ts_app *app, void *ctx, const char *text) {
    struct browse *b = ctx;
    app->message[0] = 0;
    if (set_pattern(b, text, false))
        start(b, b->find_origin, 1, true);
    else
        b->list.cursor = b->find_origin;
}

static void entered(ts_app *app, void *ctx, const char *text) {
    struct browse *b = ctx;
    (void)app;
    if (!b->pattern || strcmp(b->pattern, text) != 0) set_pattern(b, text, true);
    if (b->pattern) start(b, b->find_origin, 1, true);
}

static void dropped(ts_app *app, void *ctx) {
    struct browse *b = ctx;
    (void)app;
    browse_find_clear(b);
    b->list.cursor = b->find_origin;
}

void browse_find(struct browse *b) {
    b->find_origin = b->list.cursor;
    ts_prompt_open(b->screen.app, &(ts_prompt_options){.label = "find:",
                                                       .hint = "finds as you type   re: before a pattern   n N next, "
                                                               "previous   Esc leaves",
                                                       .done = entered,
                                                       .change = typed,
                                                       .drop = dropped,
                                                       .ctx = b});
}

void browse_find_next(struct browse *b, int direction) {
    if (b->pattern) start(b, b->list.cursor, direction, false);
}
