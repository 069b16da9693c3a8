/* The report on the workspace, written as a job. */
#include "core/base/file.h"
#include "eval/report.h"
#include "tui/app.h"

#include <stdlib.h>
#include <string.h>

struct report_job {
    ts_job job;
    ts_app *app;
    char *path;
};

/* Where a report is to be written over another file, while that is asked. */
static char *asked;

static void report_run(ts_job *job) {
    struct report_job *k = (struct report_job *)job;
    ts_report_options o = {.ws = k->app->folder};
    job->status = ts_report_write(&o, k->path, &job->progress, &job->err);
}

static void report_done(ts_job *job) {
    struct report_job *k = (struct report_job *)job;
    if (job->status == TS_OK)
        ts_app_say(k->app, TS_R_OK, "wrote the report to %s", k->path);
    else
        ts_app_say(k->app, job->status == TS_CANCELLED ? TS_R_WARN : TS_R_ERROR, "%s", job->err.text);
    free(k->path);
    free(k);
}

static void write_to(ts_app *app, const char *path) {
    struct report_job *k = ts_calloc(1, sizeof *k);
    k->job = (ts_job){.title = "writing the report", .run = report_run, .done = report_done};
    k->app = app;
    k->path = ts_strdup(path);
    ts_queue_push(app->jobs, &k->job);
}

static void overwrite_answered(ts_app *app, void *ctx, char key) {
    (void)ctx;
    (void)key;
    write_to(app, asked);
}

static void path_entered(ts_app *app, void *ctx, const char *text) {
    static const char *const lines[] = {"There is a file of this name already.", "",
                                        "y  replace it        n  leave it (default)", NULL};
    (void)ctx;
    if (!*text) return;
    if (!ts_file_exists(text)) {
        write_to(app, text);
        return;
    }
    free(asked);
    asked = ts_strdup(text);
    ts_dialog_open(app, "Replace the file?", lines, "y", overwrite_answered, NULL);
}

void ts_report_open(ts_app *app, const char *path) {
    char *exports = ts_path_join(app->folder, "exports/report.html");
    if (path)
        path_entered(app, NULL, path);
    else
        ts_prompt_open(app, &(ts_prompt_options){.label = "write the report to:",
                                                 .initial = exports,
                                                 .hint = ".html: one page   .md   .json",
                                                 .done = path_entered});
    free(exports);
}
