#include "eval/compare.h"

#include "core/base/clock.h"
#include "core/base/file.h"
#include "eval/engine_client.h"
#include "eval/prompts.h"
#include "eval/runs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Answers generated at once. The key-value cache of one token takes 45 kB in SmolLM2-135M (engine research 4.3), so 48
 * answers of 300 tokens take about 650 MB. */
enum { ANSWERS_AT_ONCE = 48, SCORED_AT_ONCE = 64, MAX_SCHEMA = 1 << 24 };

/* --- sides --- */

static bool is_base(const char *side) {
    return strcmp(side, "base") == 0;
}

static ts_status find_sides(ts_compare *c, const ts_compare_options *o, ts_err *err) {
    if (o->n_sides == 0) return ts_fail(err, TS_INVALID, "no side is named; say --side base --side run:1");
    c->sides = ts_calloc(o->n_sides, sizeof *c->sides);
    c->adapters = ts_calloc(o->n_sides, sizeof *c->adapters);
    c->n_sides = o->n_sides;
    for (size_t i = 0; i < o->n_sides; i++) {
        c->sides[i] = ts_strdup(o->sides[i]);
        for (size_t j = 0; j < i; j++)
            if (strcmp(c->sides[i], c->sides[j]) == 0)
                return ts_fail(err, TS_INVALID, "the side %s is named twice", c->sides[i]);
        if (!is_base(o->sides[i])) TS_TRY(ts_runs_adapter(o->ws, o->sides[i], &c->adapters[i], err));
    }
    return TS_OK;
}

static char *first_run(const ts_compare *c) {
    for (size_t i = 0; i < c->n_sides; i++) {
        char *run = c->adapters[i] ? ts_runs_of_adapter(c->adapters[i]) : NULL;
        if (run) return run;
    }
    return NULL;
}

/* As asked; else what the first run was trained on; else the workspace's. */
static ts_status find_model(ts_compare *c, const ts_compare_options *o, ts_err *err) {
    ts_run_settings s;
    char *run = first_run(c);
    if (o->model) {
        c->model = ts_strdup(o->model);
    } else if (run && ts_run_settings_read(run, &s, NULL) == TS_OK) {
        if (s.model) c->model = ts_strdup(s.model);
        ts_run_settings_release(&s);
    }
    free(run);
    if (!c->model && o->ws) {
        ts_run_settings_init(&s);
        ts_status status = ts_runs_model(o->ws, &s, err);
        if (status == TS_OK && s.model) c->model = ts_strdup(s.model);
        ts_run_settings_release(&s);
        TS_TRY(status);
    }
    return c->model ? TS_OK
                    : ts_fail(err, TS_INVALID, "no model is known; say --model, or set one: config WS model NAME");
}

static ts_status find_prompts(ts_compare *c, const ts_compare_options *o, ts_err *err) {
    if (o->prompts) return ts_prompts_read(c, o->prompts, o->limit, err);
    char *run = first_run(c), *held = run ? ts_path_join(run, "valid.jsonl") : NULL;
    ts_status status = TS_OK;
    if (held && ts_is_file(held))
        status = ts_prompts_read(c, held, o->limit, err);
    else if (o->ws)
        status = ts_prompts_query(c, o->ws, "split=valid", o->limit, err);
    free(run);
    free(held);
    if (status == TS_OK && c->n_prompts == 0)
        status =
            ts_fail(err, TS_INVALID,
                    "there are no held-out examples to ask: the run was trained without (--valid 0). Give prompts of "
                    "your own: --prompts FILE, or e on the Compare screen");
    return status;
}

ts_status ts_compare_prepare(ts_compare *c, const ts_compare_options *o, ts_err *err) {
    *c = (ts_compare){0};
    ts_status status = TS_OK;
    TS_GOTO(find_sides(c, o, err));
    TS_GOTO(find_model(c, o, err));
    TS_GOTO(ts_runs_template(o->ws, o->template, (const char *const *)c->adapters, c->n_sides, &c->template, err));
    TS_GOTO(find_prompts(c, o, err));
    c->answers = ts_calloc(c->n_prompts * c->n_sides, sizeof *c->answers);
    c->metrics = ts_calloc(c->n_sides, sizeof *c->metrics);
    for (size_t i = 0; i < c->n_prompts * c->n_sides; i++)
        c->answers[i].reference_nll = NAN;
out:
    if (status != TS_OK) ts_compare_release(c);
    return status;
}

void ts_compare_release(ts_compare *c) {
    for (size_t i = 0; i < c->n_sides; i++) {
        if (c->sides) free(c->sides[i]);
        if (c->adapters) free(c->adapters[i]);
    }
    for (size_t i = 0; c->answers && i < c->n_prompts * c->n_sides; i++) {
        free(c->answers[i].text);
        free(c->answers[i].ids);
    }
    for (size_t i = 0; i < c->n_prompts; i++) {
        free(c->prompts[i].text);
        free(c->prompts[i].messages);
        free(c->prompts[i].reference);
    }
    free(c->sides);
    free(c->adapters);
    free(c->prompts);
    free(c->answers);
    free(c->metrics);
    free(c->votes);
    free(c->model);
    free(c->template);
    *c = (ts_compare){0};
}

/* --- asking the engine --- */

struct asking {
    ts_compare *c;
    const ts_compare_options *o;
    const ts_check *check;
    ts_measurer *measurer;
    ts_engine *engine;
    ts_progress *progress;
    size_t first, n; /* prompts of the open request; when scoring, places in `rows` */
    size_t *rows;    /* while scoring: the prompts that have a reference */
    size_t n_rows;
    ts_buf *partial; /* text so far, [side of the open request's items] */
};

static ts_answer *answer_at(const struct asking *a, size_t prompt, size_t side) {
    return &a->c->answers[prompt * a->c->n_sides + side];
}

static ts_asked asked_of(const ts_prompt *p) {
    return (ts_asked){p->text, p->reference};
}

static void judge(const struct asking *a, ts_answer *x) {
    size_t n = strlen(x->text);
    x->repetition = ts_repetition(x->text, n);
    x->checked = a->check != NULL;
    if (!a->check) return;
    x->passed =
        ts_check_match(a->check, x->text, n, &x->failed_line) && strcmp(x->stop, "length") != 0 && x->repetition == 0;
}

static void on_answer(struct asking *a, const ts_engine_event *e) {
    size_t prompt = a->first + e->prompt;
    ts_answer *x = answer_at(a, prompt, e->side);
    free(x->text);
    free(x->ids);
    x->text = ts_strdup(e->text);
    x->n_ids = ts_json_count(e->ids);
    x->tokens = (int64_t)x->n_ids;
    x->ids = ts_calloc(x->n_ids, sizeof *x->ids);
    size_t i = 0;
    for (const ts_json *v = ts_json_child(e->ids); v; v = ts_json_next(v))
        x->ids[i++] = (int32_t)ts_json_num(v, 0);
    snprintf(x->stop, sizeof x->stop, "%s", e->stop);
    judge(a, x);
    ts_asked asked = asked_of(&a->c->prompts[prompt]);
    ts_measure_answer(a->measurer, &asked, x);
    if (a->o->on_answer) a->o->on_answer(a->o->ctx, a->c, prompt, e->side);
}

static void on_progress(const struct asking *a, const ts_engine_event *e) {
    size_t sides = a->c->n_sides, rows = a->rows ? a->n_rows : a->c->n_prompts;
    if (e->total > 0)
        ts_progress_set(a->progress, (int64_t)(a->first * sides) + (int64_t)(a->n * sides) * e->done / e->total,
                        (int64_t)(rows * sides));
}

static void on_event(void *ctx, const ts_engine_event *e) {
    struct asking *a = ctx;
    if (e->kind == TS_ENGINE_PROGRESS) on_progress(a, e);
    if (e->prompt >= a->n || e->side >= a->c->n_sides) return;
    if (e->kind == TS_ENGINE_TOKEN && a->o->on_text && a->partial) {
        ts_buf *text = &a->partial[e->prompt * a->c->n_sides + e->side];
        ts_buf_puts(text, e->text);
        a->o->on_text(a->o->ctx, a->first + e->prompt, e->side, ts_buf_str(text));
    }
    if (e->kind == TS_ENGINE_ANSWER) on_answer(a, e);
    if (e->kind == TS_ENGINE_NLL && a->rows) {
        ts_answer *x = answer_at(a, a->rows[a->first + e->prompt], e->side);
        x->reference_nll = e->nll;
        x->reference_tokens = e->tokens;
    }
}

static ts_status wait_for(struct asking *a, int64_t request, ts_err *err) {
    if (request == 0) return err ? err->code : TS_IO;
    return ts_engine_wait(a->engine, request, a->progress, err);
}

static ts_ask ask_of(const struct asking *a, const char *items) {
    const ts_compare_options *o = a->o;
    return (ts_ask){.model = a->c->model,
                    .template = a->c->template,
                    .sides = (const char *const *)a->c->adapters,
                    .n_sides = a->c->n_sides,
                    .items = items,
                    .first_stream = (int64_t)a->first,
                    .max_new_tokens = o->max_new_tokens,
                    .sampling = o->sampling,
                    .stops = o->stops,
                    .n_stops = o->n_stops,
                    .f16_cache = o->f16_cache,
                    .stream = o->on_text != NULL};
}

static ts_status generate_piece(struct asking *a, ts_err *err) {
    ts_buf items = TS_BUF_INIT;
    size_t n_items = a->n * a->c->n_sides;
    a->partial = ts_calloc(n_items, sizeof *a->partial);
    ts_buf_putc(&items, '[');
    for (size_t i = 0; i < a->n; i++)
        ts_buf_printf(&items, "%s{\"messages\":%s}", i ? "," : "", a->c->prompts[a->first + i].messages);
    ts_buf_putc(&items, ']');
    ts_ask ask = ask_of(a, items.data);
    ts_status status = wait_for(a, ts_engine_generate(a->engine, &ask, err), err);
    for (size_t i = 0; i < n_items; i++)
        ts_buf_release(&a->partial[i]);
    free(a->partial);
    a->partial = NULL;
    ts_buf_release(&items);
    return status;
}

/* The conversation with its reference answer, as a row to score. */
static void put_reference(const ts_prompt *p, ts_buf *out) {
    size_t n = strlen(p->messages);
    ts_buf_puts(out, "{\"messages\":");
    ts_buf_add(out, p->messages, n - 1); /* without the closing bracket */
    ts_jw w = ts_jw_to(out);
    ts_buf_puts(out, ",");
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "role", "assistant");
    ts_jw_kstr(&w, "content", p->reference);
    ts_jw_end_obj(&w);
    ts_buf_puts(out, "]}");
}

static ts_status score_piece(struct asking *a, ts_err *err) {
    ts_buf items = TS_BUF_INIT;
    ts_buf_putc(&items, '[');
    for (size_t i = 0; i < a->n; i++) {
        if (i) ts_buf_putc(&items, ',');
        put_reference(&a->c->prompts[a->rows[a->first + i]], &items);
    }
    ts_buf_putc(&items, ']');
    ts_ask ask = ask_of(a, items.data);
    ts_status status = wait_for(a, ts_engine_nll(a->engine, &ask, err), err);
    ts_buf_release(&items);
    return status;
}

/* --- the whole --- */

static void measure_all(struct asking *a) {
    ts_compare *c = a->c;
    ts_asked *asked = ts_calloc(c->n_prompts + 1, sizeof *asked);
    for (size_t i = 0; i < c->n_prompts; i++)
        asked[i] = asked_of(&c->prompts[i]);
    for (size_t i = 0; i < c->n_prompts * c->n_sides; i++)
        ts_measure_answer(a->measurer, &asked[i / c->n_sides], &c->answers[i]);
    for (size_t side = 0; side < c->n_sides; side++)
        ts_measure_side(a->measurer, asked, c->answers + side, c->n_prompts, c->n_sides, (uint64_t)a->o->sampling.seed,
                        &c->metrics[side]);
    free(asked);
}

static ts_status generate(struct asking *a, ts_err *err) {
    size_t at_once = TS_MAX(ANSWERS_AT_ONCE / a->c->n_sides, (size_t)1);
    ts_progress_what(a->progress, "generating");
    for (a->first = 0; a->first < a->c->n_prompts; a->first += a->n) {
        a->n = TS_MIN(at_once, a->c->n_prompts - a->first);
        TS_TRY(generate_piece(a, err));
    }
    return TS_OK;
}

static ts_status score(struct asking *a, ts_err *err) {
    ts_status status = TS_OK;
    ts_progress_what(a->progress, "scoring the reference answers");
    a->rows = ts_calloc(a->c->n_prompts, sizeof *a->rows);
    for (size_t i = 0; i < a->c->n_prompts; i++)
        if (a->c->prompts[i].reference) a->rows[a->n_rows++] = i;
    for (a->first = 0; a->first < a->n_rows && status == TS_OK; a->first += a->n) {
        a->n = TS_MIN((size_t)SCORED_AT_ONCE, a->n_rows - a->first);
        status = score_piece(a, err);
    }
    free(a->rows);
    a->rows = NULL;
    return status;
}

ts_status ts_compare_run(ts_compare *c, const ts_compare_options *o, ts_progress *progress, ts_err *err) {
    double begun = ts_now();
    ts_check *check = NULL;
    ts_json *schema = NULL;
    struct asking a = {.c = c, .o = o, .progress = progress};
    ts_status status = TS_OK;
    if (o->check) TS_GOTO(ts_check_read(&check, o->check, err));
    if (o->schema && !(schema = ts_json_read(o->schema, MAX_SCHEMA, err))) TS_GOTO(TS_FORMAT);
    TS_GOTO(ts_measurer_new(&a.measurer, schema, err));
    if (!c->answers) TS_GOTO(ts_compare_prepare(c, o, err));
    a.check = check;
    a.engine = ts_engine_new(o->log, on_event, &a);
    TS_GOTO(generate(&a, err));
    TS_GOTO(score(&a, err));
    measure_all(&a);
    c->seconds = ts_now() - begun;
out:
    ts_engine_free(a.engine);
    ts_measurer_free(a.measurer);
    ts_check_free(check);
    ts_json_free(schema);
    return status;
}
