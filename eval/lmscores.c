#include "eval/lmscores.h"

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/model/chat_templates.h"
#include "core/model/model.h"
#include "dataset/snapshot.h"
#include "eval/engine_client.h"
#include "eval/runs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows of one request, which is also what is kept at once. */
enum { ROWS_AT_ONCE = 24, TURNS = 64 };

struct scoring {
    const ts_lm_options *o;
    ts_lm_report *report;
    ts_progress *progress;
    ts_store *st;
    ts_engine *engine;
    char *model, *template, *adapter;
    int64_t keys[2]; /* of the model, of the run */
    int64_t done, total;
    bool run; /* which of the two is at work */
    /* the open request */
    ts_lm_kept piece[ROWS_AT_ONCE];
    size_t n;
};

/* ---- what is scored with ---- */

static ts_status find_model(struct scoring *s, ts_err *err) {
    const ts_lm_options *o = s->o;
    ts_run_settings settings;
    char *run = NULL;
    if (o->run) TS_TRY(ts_runs_adapter(o->ws, o->run, &s->adapter, err));
    if (o->model) {
        s->model = ts_strdup(o->model);
    } else if (s->adapter && (run = ts_runs_of_adapter(s->adapter)) &&
               ts_run_settings_read(run, &settings, NULL) == TS_OK) {
        if (settings.model) s->model = ts_strdup(settings.model);
        ts_run_settings_release(&settings);
    }
    free(run);
    if (!s->model) {
        ts_run_settings_init(&settings);
        ts_status status = ts_runs_model(o->ws, &settings, err);
        if (status == TS_OK && settings.model) s->model = ts_strdup(settings.model);
        ts_run_settings_release(&settings);
        TS_TRY(status);
    }
    if (!s->model) return ts_fail(err, TS_INVALID, "no model is known; say --model, or set one: config WS model NAME");
    const char *dirs[] = {s->adapter};
    return ts_runs_template(o->ws, o->template, dirs, 1, &s->template, err);
}

/* An adapter is its weights: the same key wherever it lies. */
static ts_status adapter_hash(const char *adapter, char out[33], ts_err *err) {
    static const char *const names[] = {"adapter_model.safetensors", "adapters.safetensors"};
    if (ts_is_file(adapter)) return ts_hash_file(adapter, out, err);
    for (size_t i = 0; i < TS_COUNT(names); i++) {
        char *path = ts_path_join(adapter, names[i]);
        bool there = ts_is_file(path);
        ts_status status = there ? ts_hash_file(path, out, err) : TS_OK;
        free(path);
        if (there) return status;
    }
    return ts_fail(err, TS_NOT_FOUND, "%s holds no adapter weights (adapter_model.safetensors)", adapter);
}

static ts_status template_hash(const char *template, char out[33], ts_err *err) {
    ts_buf source = TS_BUF_INIT;
    ts_status status = template && *template ? ts_chat_template_read(template, &source, err) : TS_OK;
    if (status == TS_OK) ts_hash128_hex(ts_buf_str(&source), source.len, out);
    ts_buf_release(&source);
    return status;
}

static ts_status model_hash(const char *spec, char out[33], ts_err *err) {
    ts_model *m = NULL;
    TS_TRY(ts_model_open(&m, spec, err));
    ts_status status = ts_model_hash(m, out, err);
    ts_model_close(m);
    return status;
}

static ts_status find_keys(struct scoring *s, ts_err *err) {
    char model[33], template[33], adapter[33], key[120];
    ts_progress_what(s->progress, "looking at the model");
    TS_TRY(model_hash(s->model, model, err));
    TS_TRY(template_hash(s->template, template, err));
    snprintf(key, sizeof key, "%s %s %lld", model, template, (long long)s->o->max_length);
    TS_TRY(ts_lm_model(s->st, key, s->model, 1, &s->keys[0], err));
    if (!s->adapter) return TS_OK;
    TS_TRY(adapter_hash(s->adapter, adapter, err));
    snprintf(key, sizeof key, "%s %s %lld %s", model, template, (long long)s->o->max_length, adapter);
    return ts_lm_model(s->st, key, s->o->run, 2, &s->keys[1], err);
}

/* ---- scoring ---- */

static void left_out(struct scoring *s, size_t i, const char *why) {
    ts_lm_report *r = s->report;
    if (s->run) return; /* told of with the model already */
    r->left_out++;
    if (!r->first_left_out || s->piece[i].id < r->first_left_out) { /* they come in no order within a piece */
        snprintf(r->why, sizeof r->why, "%.190s", why);
        r->first_left_out = s->piece[i].id;
    }
}

static void on_event(void *ctx, const ts_engine_event *e) {
    struct scoring *s = ctx;
    ts_lm_turn turns[TURNS];
    size_t n = 0;
    if (e->kind == TS_ENGINE_PROGRESS && e->total > 0 && s->n)
        ts_progress_set(s->progress, s->done + (int64_t)s->n * e->done / e->total, s->total);
    if (e->kind != TS_ENGINE_IFD || e->prompt >= s->n) return;
    for (const ts_json *t = ts_json_child(e->turns); t && n < TURNS; t = ts_json_next(t)) {
        const ts_json *v = ts_json_child(t);
        turns[n++] = (ts_lm_turn){ts_json_num(v, NAN), ts_json_num(ts_json_next(v), NAN),
                                  (int64_t)ts_json_num(ts_json_next(ts_json_next(v)), 0)};
    }
    if (n == 0) left_out(s, e->prompt, *e->text ? e->text : "no answer");
    ts_lm_score_of(turns, n, &s->piece[e->prompt].score);
}

static ts_status ask(struct scoring *s, const ts_buf *items, ts_err *err) {
    const char *sides[] = {s->run ? s->adapter : NULL};
    ts_ask ask = TS_ASK_DEFAULTS;
    ask.model = s->model;
    ask.template = s->template;
    ask.sides = sides;
    ask.n_sides = 1;
    ask.items = items->data;
    ask.alone = !s->run;
    ask.max_length = s->o->max_length;
    int64_t request = ts_engine_ifd(s->engine, &ask, err);
    return request ? ts_engine_wait(s->engine, request, s->progress, err) : err ? err->code : TS_IO;
}

/* Reads the rows of a piece as request items; rows that are gone meanwhile are skipped. */
static ts_status read_piece(struct scoring *s, const int64_t *ids, size_t n, ts_buf *items, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_row rows[ROWS_AT_ONCE];
    ts_status status = ts_rows_read(s->st, ids, n, rows, &arena, err);
    s->n = 0;
    ts_buf_putc(items, '[');
    for (size_t i = 0; i < n && status == TS_OK; i++) {
        ts_lm_kept *k = &s->piece[s->n];
        if (rows[i].gone || !ts_lm_hash(s->st, ids[i], &k->hash)) continue;
        k->id = ids[i];
        ts_lm_score_of(NULL, 0, &k->score);
        if (s->n++) ts_buf_putc(items, ',');
        ts_row_messages_line(&rows[i], items);
    }
    ts_buf_putc(items, ']');
    ts_arena_release(&arena);
    return status;
}

static ts_status score_piece(struct scoring *s, const int64_t *ids, size_t n, ts_err *err) {
    ts_buf items = TS_BUF_INIT;
    if (ts_cancelled(s->progress)) return ts_fail(err, TS_CANCELLED, "scoring was stopped; what was scored is kept");
    ts_status status = read_piece(s, ids, n, &items, err);
    if (status == TS_OK && s->n) status = ask(s, &items, err);
    if (status == TS_OK && s->n) status = ts_lm_keep(s->st, s->keys[s->run], s->piece, s->n, err);
    *(s->run ? &s->report->scored_run : &s->report->scored) += status == TS_OK ? (int64_t)s->n : 0;
    s->done += (int64_t)n;
    s->n = 0;
    ts_buf_release(&items);
    ts_progress_set(s->progress, s->done, s->total);
    return status;
}

static ts_status score_all(struct scoring *s, ts_err *err) {
    int64_t *ids[2] = {NULL, NULL};
    size_t n[2] = {0, 0};
    ts_status status = TS_OK;
    for (int k = 0; k <= (s->adapter != NULL); k++)
        TS_GOTO(ts_lm_pending(s->st, s->keys[k], s->o->where, &ids[k], &n[k], &s->report->rows, err));
    s->report->known = s->report->rows - (int64_t)n[0];
    s->total = (int64_t)(n[0] + n[1]);
    ts_progress_set(s->progress, 0, s->total);
    for (int k = 0; k <= (s->adapter != NULL); k++) {
        s->run = k == 1;
        ts_progress_what(s->progress, k ? "scoring with the run" : "scoring");
        for (size_t i = 0; i < n[k] && status == TS_OK; i += ROWS_AT_ONCE)
            status = score_piece(s, ids[k] + i, TS_MIN((size_t)ROWS_AT_ONCE, n[k] - i), err);
        if (status != TS_OK) break;
    }
    if (status == TS_OK && s->adapter) status = ts_lm_learnt(s->st, s->keys[0], s->keys[1], err);
out:
    free(ids[0]);
    free(ids[1]);
    return status;
}

ts_status ts_lm_scores(const ts_lm_options *options, ts_progress *progress, ts_lm_report *report, ts_err *err) {
    ts_lm_options o = *options;
    struct scoring *s = ts_calloc(1, sizeof *s);
    double begun = ts_now();
    ts_status status = TS_OK;
    *report = (ts_lm_report){0};
    if (o.max_length <= 0) o.max_length = 1024;
    *s = (struct scoring){.o = &o, .report = report, .progress = progress};
    TS_GOTO(ts_store_open(&s->st, o.ws, "score", err));
    TS_GOTO(find_model(s, err));
    TS_GOTO(find_keys(s, err));
    snprintf(report->model, sizeof report->model, "%.119s", s->model);
    snprintf(report->run, sizeof report->run, "%.119s", o.run ? o.run : "");
    s->engine = ts_engine_new(o.log, on_event, s);
    status = score_all(s, err);
out:
    report->seconds = ts_now() - begun;
    ts_engine_free(s->engine);
    ts_store_close(s->st);
    free(s->model);
    free(s->template);
    free(s->adapter);
    free(s);
    return status;
}
