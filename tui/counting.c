/* Counting tokens in the background: whenever rows came or changed, those without a count get one, as soon as the
 * workspace has a model. A queue and a connection of its own, so that nothing waits for it. */
#include "dataset/tokens.h"
#include "tui/app.h"

#include <stdlib.h>
#include <string.h>

struct counting {
    ts_job job;
    ts_app *app;
    int64_t counted;
};

static void counting_run(ts_job *job) {
    struct counting *k = (struct counting *)job;
    ts_store *st = NULL;
    job->status = ts_store_open(&st, k->app->folder, "screen", &job->err);
    if (job->status == TS_OK) job->status = ts_tokens_count(st, &job->progress, &k->counted, &job->err);
    ts_store_close(st);
}

static void counting_done(ts_job *job) {
    struct counting *k = (struct counting *)job;
    ts_app *app = k->app;
    /* without a model, or stopped: nothing to say; and what goes wrong is said once, not after every change */
    if (job->status != TS_OK && job->status != TS_CANCELLED && job->status != TS_NOT_FOUND && !app->counting_failed) {
        app->counting_failed = true;
        ts_app_say(app, TS_R_WARN, "tokens are not counted: %s", job->err.text);
    }
    if (k->counted) {
        app->version = ts_store_version(app->reader);
        ts_app_changed(app, true);
    }
    free(k);
}

void ts_counting_step(ts_app *app) {
    ts_buf model = TS_BUF_INIT;
    if (!app->count_wanted || ts_queue_busy(app->counts)) return;
    app->count_wanted = false;
    if (!ts_store_read_only(app->reader) && ts_setting_get(app->reader, "model", &model)) {
        struct counting *k = ts_calloc(1, sizeof *k);
        k->job = (ts_job){.title = "counting tokens", .run = counting_run, .done = counting_done};
        k->app = app;
        ts_queue_push(app->counts, &k->job);
    }
    ts_buf_release(&model);
}
