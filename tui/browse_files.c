/* Export from Browse, a job with progress. */
#include "tui/browse.h"

#include "core/base/file.h"
#include "dataset/export.h"
#include "tui/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct file_job {
    ts_job job;
    struct browse *browse;
    char *path, *where;
    ts_export_report exported;
};

/* "~/x" as the shell would. */
static char *expand(const char *path) {
    const char *home = getenv("HOME");
    if (path[0] == '~' && path[1] == '/' && home) return ts_path_join(home, path + 2);
    return ts_strdup(path);
}

static void free_job(struct file_job *f) {
    free(f->path);
    free(f->where);
    free(f);
}

static void push(struct browse *b, struct file_job *f, const char *title, void (*run)(ts_job *),
                 void (*done)(ts_job *)) {
    f->job = (ts_job){.title = title, .run = run, .done = done};
    f->browse = b;
    ts_queue_push(b->screen.app->jobs, &f->job);
}

static void write_run(ts_job *job) {
    struct file_job *f = (struct file_job *)job;
    size_t n = strlen(f->path);
    ts_export_options o = {.where = f->where, .array = n > 5 && strcmp(f->path + n - 5, ".json") == 0};
    job->status = ts_export(f->browse->screen.app->scanner, f->path, &o, &job->progress, &f->exported, &job->err);
}

static void write_done(ts_job *job) {
    struct file_job *f = (struct file_job *)job;
    ts_app *app = f->browse->screen.app;
    char n[32];
    if (job->status == TS_OK)
        ts_app_say(app, TS_R_OK, "wrote %s rows as %s to %s", ts_thousands(f->exported.rows, n), f->exported.format,
                   f->path);
    else
        ts_app_say(app, job->status == TS_CANCELLED ? TS_R_WARN : TS_R_ERROR, "%s", job->err.text);
    free_job(f);
}

/* The marked rows as a query; rows that follow each other take two terms. NULL: it would have too many. */
static char *marked_query(const struct browse *b) {
    enum { TERMS_MAX = 400 };
    ts_buf q = TS_BUF_INIT;
    int64_t *ids = ts_idset_list(&b->marks);
    size_t terms = 0;
    for (size_t i = 0, end; i < b->marks.n; i = end, terms += 2) {
        for (end = i + 1; end < b->marks.n && ids[end] == ids[end - 1] + 1; end++)
            ;
        ts_buf_printf(&q, "%s(id>=%lld id<=%lld)", i ? " or " : "", (long long)ids[i], (long long)ids[end - 1]);
    }
    free(ids);
    if (terms > TERMS_MAX) ts_buf_release(&q);
    return terms > TERMS_MAX ? NULL : ts_buf_take(&q);
}

static void write_to(struct browse *b, const char *path) {
    char *where = b->marks.n ? marked_query(b) : ts_strdup(b->filter);
    if (!where) {
        ts_app_say(b->screen.app, TS_R_WARN,
                   "the marked rows lie too far apart for one query; tag them and filter by the tag instead");
        return;
    }
    struct file_job *f = ts_calloc(1, sizeof *f);
    f->path = expand(path);
    f->where = where;
    push(b, f, "writing", write_run, write_done);
}

static void overwrite_answered(ts_app *app, void *ctx, char key) {
    struct browse *b = ctx;
    (void)app;
    (void)key;
    write_to(b, b->write_path);
}

static void write_entered(ts_app *app, void *ctx, const char *text) {
    static const char *const lines[] = {"There is a file of this name already.", "",
                                        "y  replace it        n  leave it (default)", NULL};
    struct browse *b = ctx;
    if (!*text) return;
    free(b->write_path);
    b->write_path = expand(text);
    if (ts_file_exists(b->write_path))
        ts_dialog_open(app, "Replace the file?", lines, "y", overwrite_answered, b);
    else
        write_to(b, b->write_path);
}

void browse_write(struct browse *b, const char *arg) {
    char label[64] = "write the rows shown to:";
    if (b->marks.n) snprintf(label, sizeof label, "write %zu marked rows to:", b->marks.n);
    if (arg)
        write_entered(b->screen.app, b, arg);
    else
        ts_prompt_open(b->screen.app, &(ts_prompt_options){.label = label,
                                                           .hint = ".jsonl: a row a line   .json: one array",
                                                           .done = write_entered,
                                                           .ctx = b});
}
