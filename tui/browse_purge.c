/* Purging from Browse: the marked rows or the one under the cursor, for good. What it costs is found out first and
 * said; only y does it. */
#include "dataset/purge.h"
#include "tui/browse.h"

#include <stdlib.h>
#include <string.h>

struct purging {
    ts_job job;
    struct browse *browse;
    int64_t *ids;
    size_t n;
    ts_purge_costs costs;
    ts_done done;
};

static struct purging *new_job(struct browse *b, const char *title, void (*run)(ts_job *job),
                               void (*done)(ts_job *job)) {
    struct purging *p = ts_calloc(1, sizeof *p);
    p->job = (ts_job){.title = title, .run = run, .done = done};
    p->browse = b;
    return p;
}

static void finish(struct purging *p) {
    ts_job *job = &p->job;
    if (job->status != TS_OK)
        ts_app_say(p->browse->screen.app, job->status == TS_CANCELLED ? TS_R_WARN : TS_R_ERROR, "%s", job->err.text);
    free(p->ids);
    free(p);
}

static void purge_run(ts_job *job) {
    struct purging *p = (struct purging *)job;
    job->status = ts_purge(p->browse->screen.app->scanner, p->ids, p->n, &job->progress, &p->done, &job->err);
}

static void purge_done(ts_job *job) {
    struct purging *p = (struct purging *)job;
    if (job->status == TS_OK) {
        ts_idset_clear(&p->browse->marks);
        ts_app_say(p->browse->screen.app, TS_R_OK, "%s, for good", p->done.step ? p->done.text : "nothing was purged");
        ts_app_changed(p->browse->screen.app, true);
    }
    finish(p);
}

static void answered(ts_app *app, void *ctx, char key) {
    struct browse *b = ctx;
    struct purging *p = new_job(b, "purging", purge_run, purge_done);
    (void)key;
    p->ids = b->purge_ids;
    p->n = b->n_purge;
    b->purge_ids = NULL;
    ts_queue_push(app->jobs, &p->job);
}

static void ask_run(ts_job *job) {
    struct purging *p = (struct purging *)job;
    job->status = ts_purge_ask(p->browse->screen.app->scanner, p->ids, p->n, &p->costs, &job->err);
}

static void ask(struct purging *p) {
    enum { LINES = 16 };
    struct browse *b = p->browse;
    ts_buf words = TS_BUF_INIT;
    const char *lines[LINES + 3] = {NULL};
    size_t n = 0;
    ts_purge_words(&p->costs, &words);
    for (char *line = words.data; line && n < LINES;) {
        char *end = strchr(line, '\n');
        if (end) *end = 0;
        lines[n++] = line;
        line = end ? end + 1 : NULL;
    }
    lines[n++] = "";
    lines[n] = "y  purge, which cannot be undone        n  leave everything (default)";
    free(b->purge_ids);
    b->purge_ids = p->ids;
    b->n_purge = p->n;
    p->ids = NULL;
    ts_dialog_open(b->screen.app, "Purge?", lines, "y", answered, b);
    ts_buf_release(&words);
}

static void ask_done(ts_job *job) {
    struct purging *p = (struct purging *)job;
    if (job->status == TS_OK && p->costs.rows)
        ask(p);
    else if (job->status == TS_OK)
        ts_app_say(p->browse->screen.app, TS_R_WARN, "these rows are not there any more");
    finish(p);
}

void browse_purge(struct browse *b) {
    struct purging *p = new_job(b, "looking what a purge costs", ask_run, ask_done);
    if (b->marks.n) {
        p->ids = ts_idset_list(&b->marks);
        p->n = b->marks.n;
    } else {
        p->ids = ts_malloc(sizeof *p->ids);
        p->ids[0] = browse_row(b);
        p->n = 1;
    }
    ts_queue_push(b->screen.app->jobs, &p->job);
}
