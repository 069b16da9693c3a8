#include "eval/compare_ask.h"

#include "core/base/clock.h"
#include "eval/endpoint_many.h"
#include "eval/engine_client.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Answers generated at once. The key-value cache of one token takes 45 kB in SmolLM2-135M (engine research 4.3), so 64
 * answers of 300 tokens take about 650 MB. */
enum { ANSWERS_AT_ONCE = 64, SCORED_AT_ONCE = 64 };

struct asking {
    ts_compare *c;
    const ts_compare_options *o;
    const ts_check *check;
    ts_measurer *measurer;
    ts_engine *engine;
    ts_progress *progress;
    /* the sides of the open request: all on one model, all asked the same */
    size_t *sides, n_sides;
    const char **adapters;
    size_t first, n;   /* prompts of the open request; when scoring, places in `rows` */
    struct text *rows; /* while scoring */
    size_t n_rows;
    ts_buf *partial; /* text so far, [side of the open request's items] */
};

/* What is scored behind a prompt. */
struct text {
    size_t prompt, choice; /* choice REFERENCE: its reference answer */
};
enum { REFERENCE = INT32_MAX };

static ts_answer *answer_at(const struct asking *a, size_t prompt, size_t side) {
    return &a->c->answers[prompt * a->c->n_sides + side];
}

/* What a side is asked for a prompt. */
static const char *messages_of(const struct asking *a, size_t prompt, size_t side) {
    const char *own = answer_at(a, prompt, side)->messages;
    return own ? own : a->c->prompts[prompt].messages;
}

static void judge(const struct asking *a, size_t prompt, ts_answer *x) {
    size_t n = strlen(x->text);
    const ts_asked asked = {a->c->prompts[prompt].text, a->c->prompts[prompt].reference};
    x->repetition = ts_repetition(x->text, n);
    x->checked = a->check != NULL;
    if (a->check)
        x->passed = ts_check_match(a->check, x->text, n, &x->failed_line) && strcmp(x->stop, "length") != 0 &&
                    x->repetition == 0;
    ts_measure_answer(a->measurer, &asked, x);
}

static void tell_answer(const struct asking *a, size_t prompt, size_t side) {
    if (a->o->on_answer && prompt < a->c->n_prompts) a->o->on_answer(a->o->ctx, a->c, prompt, side);
}

static void fail_answer(const struct asking *a, size_t prompt, size_t side, const char *why) {
    ts_answer *x = answer_at(a, prompt, side);
    free(x->error);
    x->error = ts_strdup(why);
    snprintf(x->stop, sizeof x->stop, "error");
    tell_answer(a, prompt, side);
}

/* ---- events of the engine ---- */

static void on_answer(struct asking *a, const ts_engine_event *e, size_t side) {
    size_t prompt = a->first + e->prompt, i = 0;
    ts_answer *x = answer_at(a, prompt, side);
    free(x->text);
    free(x->ids);
    x->text = ts_strdup(e->text);
    x->n_ids = ts_json_count(e->ids);
    x->tokens = (int64_t)x->n_ids;
    x->ids = ts_calloc(x->n_ids, sizeof *x->ids);
    for (const ts_json *v = ts_json_child(e->ids); v; v = ts_json_next(v))
        x->ids[i++] = (int32_t)ts_json_num(v, 0);
    snprintf(x->stop, sizeof x->stop, "%s", e->stop);
    if (e->left_out && x->shots) ts_side_leave_out(x, (size_t)e->left_out);
    judge(a, prompt, x);
    tell_answer(a, prompt, side);
}

static void on_progress(const struct asking *a, const ts_engine_event *e) {
    int64_t units = (int64_t)(a->n * a->n_sides);
    if (e->total > 0) ts_progress_set(a->progress, a->c->done + units * e->done / e->total, a->c->total);
}

static void advance(struct asking *a, size_t units) {
    a->c->done += (int64_t)units;
    ts_progress_set(a->progress, a->c->done, a->c->total);
}

static void take_nll(const struct asking *a, const struct text *t, size_t side, const ts_engine_event *e) {
    const ts_prompt *p = &a->c->prompts[t->prompt];
    ts_answer *x = answer_at(a, t->prompt, side);
    if (t->choice == REFERENCE) {
        x->reference_nll = e->nll;
        x->reference_tokens = e->tokens;
        return;
    }
    if (!x->choices) {
        x->choices = ts_calloc(p->n_choices, sizeof *x->choices);
        x->n_choices = p->n_choices;
        for (size_t i = 0; i < x->n_choices; i++)
            x->choices[i] = NAN;
    }
    x->choices[t->choice] = e->tokens > 0 ? -e->nll : NAN;
}

/* The answer stands; what a person is told first is the reason for what is missing first. */
static void refuse_text(const struct asking *a, const struct text *t, size_t side, const char *why) {
    ts_answer *x = answer_at(a, t->prompt, side);
    if (x->unscored) return;
    x->unscored = t->choice == REFERENCE ? ts_printf("the reference is not scored: %s", why)
                                         : ts_printf("choice %c is not scored: %s", (int)('A' + t->choice), why);
}

static void on_event(void *ctx, const ts_engine_event *e) {
    struct asking *a = ctx;
    if (e->kind == TS_ENGINE_PROGRESS) on_progress(a, e);
    if (e->prompt >= a->n || e->side >= a->n_sides) return;
    size_t side = a->sides[e->side];
    if (e->kind == TS_ENGINE_TOKEN && a->o->on_text && a->partial) {
        ts_buf *text = &a->partial[e->prompt * a->n_sides + e->side];
        ts_buf_puts(text, e->text);
        if (a->first + e->prompt < a->c->n_prompts)
            a->o->on_text(a->o->ctx, a->first + e->prompt, side, ts_buf_str(text));
    }
    if (e->kind == TS_ENGINE_ANSWER) on_answer(a, e, side);
    if (e->kind == TS_ENGINE_REFUSED && a->rows)
        refuse_text(a, &a->rows[a->first + e->prompt], side, e->text);
    else if (e->kind == TS_ENGINE_REFUSED)
        fail_answer(a, a->first + e->prompt, side, e->text);
    if (e->kind == TS_ENGINE_NLL && a->rows) take_nll(a, &a->rows[a->first + e->prompt], side, e);
}

static ts_status wait_for(struct asking *a, int64_t request, ts_err *err) {
    if (request == 0) return err ? err->code : TS_IO;
    return ts_engine_wait(a->engine, request, a->progress, err);
}

static ts_ask ask_of(const struct asking *a, const char *items) {
    const ts_compare_options *o = a->o;
    const ts_side_spec *s = &a->c->specs[a->sides[0]];
    bool other = s->kind == TS_BY_OTHER_MODEL;
    return (ts_ask){.model = other ? s->model : a->c->model,
                    .template = other ? NULL : a->c->template,
                    .sides = a->adapters,
                    .n_sides = a->n_sides,
                    .items = items,
                    .first_stream = (int64_t)a->first,
                    .max_new_tokens = o->max_new_tokens,
                    .sampling = o->sampling,
                    .stops = o->stops,
                    .n_stops = o->n_stops,
                    .f16_cache = o->f16_cache,
                    .refuse_long = true,
                    .stream = o->on_text != NULL};
}

/* ---- generating ---- */

static ts_status generate_piece(struct asking *a, ts_err *err) {
    ts_buf items = TS_BUF_INIT;
    size_t n_items = a->n * a->n_sides;
    a->partial = ts_calloc(n_items, sizeof *a->partial);
    ts_buf_putc(&items, '[');
    for (size_t i = 0; i < a->n; i++)
        ts_buf_printf(&items, "%s{\"messages\":%s,\"shots\":%zu}", i ? "," : "",
                      messages_of(a, a->first + i, a->sides[0]), answer_at(a, a->first + i, a->sides[0])->shots);
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

/* A batch's time, by the tokens of its answers. */
static void share_time(const struct asking *a, double seconds) {
    int64_t tokens = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < a->n * a->n_sides; i++) {
            ts_answer *x = answer_at(a, a->first + i / a->n_sides, a->sides[i % a->n_sides]);
            if (x->error) continue;
            if (pass == 0)
                tokens += x->tokens;
            else if (tokens)
                x->took = seconds * (double)x->tokens / (double)tokens;
        }
}

/* So that the first batch's time is without the loading. */
static ts_status load(struct asking *a, ts_err *err) {
    ts_ask ask = ask_of(a, "[]");
    return wait_for(a, ts_engine_load(a->engine, ask.model, ask.template, err), err);
}

static ts_status generate(struct asking *a, ts_err *err) {
    size_t at_once = TS_MAX(ANSWERS_AT_ONCE / a->n_sides, (size_t)1);
    ts_progress_what(a->progress, "generating");
    for (a->first = 0; a->first < a->c->n_asked; a->first += a->n) {
        double begun = ts_now();
        a->n = TS_MIN(at_once, a->c->n_asked - a->first);
        TS_TRY(generate_piece(a, err));
        share_time(a, ts_now() - begun);
        advance(a, a->n * a->n_sides);
    }
    return TS_OK;
}

/* ---- scoring references and choices ---- */

/* The conversation with an answer, as a row to score. `ends`: the end of the turn is scored too. */
static void put_scored(const char *messages, const char *reference, bool ends, ts_buf *out) {
    size_t n = strlen(messages);
    ts_buf_puts(out, "{\"messages\":");
    ts_buf_add(out, messages, n - 1); /* without the closing bracket */
    ts_jw w = ts_jw_to(out);
    ts_buf_puts(out, ",");
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "role", "assistant");
    ts_jw_kstr(&w, "content", reference);
    ts_jw_end_obj(&w);
    ts_buf_puts(out, "],\"last_turn\":true"); /* not the answers of turns and examples before it */
    ts_buf_puts(out, ends ? "}" : ",\"no_end\":true}");
}

static ts_status score_piece(struct asking *a, ts_err *err) {
    ts_buf items = TS_BUF_INIT;
    ts_buf_putc(&items, '[');
    for (size_t i = 0; i < a->n; i++) {
        const struct text *t = &a->rows[a->first + i];
        const ts_prompt *p = &a->c->prompts[t->prompt];
        bool whole = t->choice == REFERENCE;
        if (i) ts_buf_putc(&items, ',');
        put_scored(messages_of(a, t->prompt, a->sides[0]), whole ? p->reference : p->choices[t->choice], whole, &items);
    }
    ts_buf_putc(&items, ']');
    ts_ask ask = ask_of(a, items.data);
    ts_status status = wait_for(a, ts_engine_nll(a->engine, &ask, err), err);
    ts_buf_release(&items);
    return status;
}

/* How many texts of a prompt are scored by each side. */
static size_t scored_of(const ts_prompt *p) {
    return p->sample == 0 ? (p->reference && !p->form) + p->n_choices : 0;
}

static size_t texts_to_score(const ts_compare *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->n_asked; i++)
        n += scored_of(&c->prompts[i]);
    return n;
}

static void find_texts(struct asking *a) {
    a->rows = ts_calloc(texts_to_score(a->c) + 1, sizeof *a->rows);
    a->n_rows = 0;
    for (size_t i = 0; i < a->c->n_asked; i++) {
        const ts_prompt *p = &a->c->prompts[i];
        if (answer_at(a, i, a->sides[0])->error) {
            advance(a, scored_of(p) * a->n_sides);
            continue;
        }
        if (scored_of(p) && p->reference && !p->form) a->rows[a->n_rows++] = (struct text){i, REFERENCE};
        for (size_t k = 0; scored_of(p) && k < p->n_choices; k++)
            a->rows[a->n_rows++] = (struct text){i, k};
    }
}

static ts_status score(struct asking *a, ts_err *err) {
    ts_status status = TS_OK;
    ts_progress_what(a->progress, "scoring the reference answers");
    find_texts(a);
    for (a->first = 0; a->first < a->n_rows && status == TS_OK; a->first += a->n) {
        a->n = TS_MIN((size_t)SCORED_AT_ONCE, a->n_rows - a->first);
        status = score_piece(a, err);
        advance(a, a->n * a->n_sides);
    }
    for (size_t i = 0; i < a->c->n_asked * a->n_sides && status == TS_OK; i++)
        ts_compare_choose(&a->c->prompts[i / a->n_sides], answer_at(a, i / a->n_sides, a->sides[i % a->n_sides]));
    free(a->rows);
    a->rows = NULL;
    return status;
}

/* ---- endpoints ---- */

/* One side that is an endpoint, all prompts of it. */
struct talking {
    const struct asking *a;
    size_t side;
    int64_t ended;
};

static void ask_prompt(void *ctx, size_t i, ts_endpoint_ask *out) {
    const struct talking *t = ctx;
    const ts_compare_options *o = t->a->o;
    *out = (ts_endpoint_ask){.messages = messages_of(t->a, i, t->side),
                             .max_new_tokens = o->max_new_tokens,
                             .sampling = o->sampling,
                             .stops = o->stops,
                             .n_stops = o->n_stops};
    out->sampling.seed += t->a->c->prompts[i].sample;
}

static void on_endpoint_text(void *ctx, size_t i, const char *text) {
    const struct talking *t = ctx;
    if (t->a->o->on_text && i < t->a->c->n_prompts) t->a->o->on_text(t->a->o->ctx, i, t->side, text);
}

static void on_endpoint_end(void *ctx, size_t i, ts_endpoint_answer *from, const char *why) {
    struct talking *t = ctx;
    const struct asking *a = t->a;
    ts_progress_set(a->progress, a->c->done + ++t->ended, a->c->total);
    if (why) {
        fail_answer(a, i, t->side, why);
        return;
    }
    ts_answer *x = answer_at(a, i, t->side);
    free(x->text);
    ts_buf_puts(&from->text, "");
    x->text = ts_buf_take(&from->text);
    x->tokens = from->tokens;
    x->cost = from->cost;
    x->seconds = x->took = from->seconds;
    snprintf(x->stop, sizeof x->stop, "%s", from->stop);
    judge(a, i, x);
    tell_answer(a, i, t->side);
}

static ts_status ask_endpoint(struct asking *a, size_t side, ts_err *err) {
    struct talking t = {a, side, 0};
    const ts_questions q = {a->c->n_asked, ask_prompt, on_endpoint_text, on_endpoint_end, &t};
    ts_progress_what(a->progress, "asking the endpoint");
    TS_TRY(ts_endpoint_chat_many(&a->c->specs[side].endpoint, &q, a->progress, err));
    advance(a, a->c->n_asked);
    return TS_OK;
}

/* ---- the groups ---- */

/* Sides with the model's own prompt are one group; every other side is one by itself. */
static void take_group(struct asking *a, size_t first) {
    const ts_compare *c = a->c;
    a->n_sides = 0;
    for (size_t i = first; i < c->n_sides; i++)
        if (i == first || (c->specs[first].kind == TS_BY_MODEL && c->specs[i].kind == TS_BY_MODEL)) {
            a->adapters[a->n_sides] = c->specs[i].adapter;
            a->sides[a->n_sides++] = i;
        }
}

static ts_status ask_group(struct asking *a, ts_err *err) {
    if (a->c->specs[a->sides[0]].kind == TS_BY_ENDPOINT) return ask_endpoint(a, a->sides[0], err);
    if (a->o->robust) TS_TRY(load(a, err));
    TS_TRY(generate(a, err));
    return score(a, err);
}

int64_t ts_compare_work(const ts_compare *c) {
    size_t scored = 0;
    for (size_t i = 0; i < c->n_sides; i++)
        if (c->specs[i].kind != TS_BY_ENDPOINT) scored += texts_to_score(c);
    return (int64_t)(c->n_asked * c->n_sides + scored);
}

int64_t ts_compare_score_work(const ts_compare *c) {
    size_t sides = 0;
    for (size_t i = 0; i < c->n_sides; i++)
        sides += c->specs[i].kind == TS_BY_MODEL;
    return (int64_t)(sides * texts_to_score(c));
}

ts_status ts_compare_ask(ts_compare *c, const ts_compare_options *o, const ts_check *check, ts_measurer *measurer,
                         ts_progress *progress, ts_err *err) {
    struct asking a = {.c = c, .o = o, .check = check, .measurer = measurer, .progress = progress};
    bool asked_models = false;
    ts_status status = TS_OK;
    a.sides = ts_calloc(c->n_sides, sizeof *a.sides);
    a.adapters = ts_calloc(c->n_sides, sizeof *a.adapters);
    a.engine = ts_engine_new(o->log, on_event, &a);
    ts_engine_own_progress(a.engine);
    advance(&a, 0);
    for (size_t i = 0; i < c->n_sides && status == TS_OK; i++) {
        bool plain = c->specs[i].kind == TS_BY_MODEL;
        if (plain && asked_models) continue; /* in the first one's group */
        asked_models |= plain;
        take_group(&a, i);
        status = ask_group(&a, err);
    }
    ts_engine_free(a.engine);
    free(a.sides);
    free(a.adapters);
    return status;
}

ts_status ts_compare_score(ts_compare *c, const ts_compare_options *o, ts_progress *progress, ts_err *err) {
    struct asking a = {.c = c, .o = o, .progress = progress};
    size_t first = 0;
    while (first < c->n_sides && c->specs[first].kind != TS_BY_MODEL)
        first++;
    if (first == c->n_sides) return TS_OK;
    a.sides = ts_calloc(c->n_sides, sizeof *a.sides);
    a.adapters = ts_calloc(c->n_sides, sizeof *a.adapters);
    a.engine = ts_engine_new(o->log, on_event, &a);
    ts_engine_own_progress(a.engine);
    advance(&a, 0);
    take_group(&a, first);
    ts_status status = score(&a, err);
    ts_engine_free(a.engine);
    free(a.sides);
    free(a.adapters);
    return status;
}
