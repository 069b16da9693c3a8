/* What training learns of a row: the example as the model sees it, through its template and tokenizer, on a page. */
#include "core/engine/examples.h"
#include "dataset/snapshot.h"
#include "tui/app.h"
#include "tui/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct learnt_job {
    ts_job job;
    ts_app *app;
    int64_t row;
    size_t tokens, supervised;
    ts_buf text;
};

/* The row as training would have it. */
static ts_status encode(struct learnt_job *k, ts_encoder *e, const ts_row *row, ts_err *err) {
    ts_buf line = TS_BUF_INIT;
    ts_example x = {0};
    ts_row_messages_line(row, &line);
    ts_json *json = ts_json_parse(ts_buf_str(&line), line.len, err);
    ts_status status = json ? ts_encoder_row(e, json, &x, err) : TS_FORMAT;
    if (status == TS_OK) {
        ts_example_preview(e->tokenizer, &x, &k->text);
        k->tokens = x.ids.n;
        k->supervised = x.supervised;
    }
    ts_example_release(&x);
    ts_json_free(json);
    ts_buf_release(&line);
    return status;
}

static void learnt_run(ts_job *job) {
    struct learnt_job *k = (struct learnt_job *)job;
    ts_buf model = TS_BUF_INIT, template = TS_BUF_INIT;
    ts_arena arena = TS_ARENA_INIT;
    ts_encoder e = {0};
    ts_row row;
    ts_err *err = &job->err;
    ts_status status = TS_OK;
    if (!ts_setting_get(k->app->scanner, "model", &model))
        TS_GOTO(
            ts_fail(err, TS_NOT_FOUND,
                    "the workspace names no model whose tokenizer could be asked; `config WS model NAME` sets one"));
    TS_GOTO(ts_row_read(k->app->scanner, k->row, &row, &arena, err));
    ts_encoder_init(&e, ts_buf_str(&model), SIZE_MAX);
    if (ts_setting_get(k->app->scanner, "template", &template))
        TS_GOTO(ts_encoder_template(&e, ts_buf_str(&template), err));
    TS_GOTO(encode(k, &e, &row, err));
out:
    job->status = status;
    ts_encoder_release(&e);
    ts_arena_release(&arena);
    ts_buf_release(&model);
    ts_buf_release(&template);
}

static void learnt_done(ts_job *job) {
    struct learnt_job *k = (struct learnt_job *)job;
    char title[120];
    if (job->status == TS_OK) {
        snprintf(title, sizeof title, "Row %lld: %zu tokens, + %zu of them are learnt", (long long)k->row, k->tokens,
                 k->supervised);
        ts_pager_open(k->app, title, ts_buf_str(&k->text));
    } else {
        ts_app_say(k->app, job->status == TS_CANCELLED ? TS_R_WARN : TS_R_ERROR, "%s", job->err.text);
    }
    ts_buf_release(&k->text);
    free(k);
}

void ts_learnt_open(ts_app *app, int64_t row) {
    struct learnt_job *k = ts_calloc(1, sizeof *k);
    k->job = (ts_job){.title = "reading the tokenizer", .run = learnt_run, .done = learnt_done};
    k->app = app;
    k->row = row;
    ts_queue_push(app->jobs, &k->job);
}
