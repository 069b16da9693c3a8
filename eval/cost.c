/* What ways to tune cost, and when they pay. */
#include "eval/cost.h"

#include "core/base/file.h"
#include "core/engine/net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const methods[TS_COST_METHODS] = {"lora", "qlora", "full"};

/* From how many examples on a method usually helps: a few hundred good ones carry a style into an adapter (LIMA: 1,000
 * for a whole assistant); all weights forget less over more. */
static int64_t good_examples(const char *method) {
    return strcmp(method, "full") == 0 ? 1000 : strcmp(method, "managed") == 0 ? 50 : 100;
}

/* ---- this machine ---- */

/* Where a method cannot be planned: what the inspection of the model tells of it. */
static void estimate(ts_local_cost *out, const char *model) {
    ts_memory_row rows[TS_MEMORY_ROWS];
    ts_model *m = NULL;
    ts_err err;
    if (ts_model_open(&m, model, &err) != TS_OK) return;
    size_t n = ts_net_memory(m, rows);
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i].key, out->method) == 0) out->memory_bytes = (double)rows[i].bytes;
    out->estimate = isfinite(out->memory_bytes);
    ts_model_close(m);
}

/* The plan of the settings with that method in place of theirs. */
static void plan_method(ts_local_cost *out, const char *ws, ts_run_settings *s, const char *train_file,
                        ts_progress *progress) {
    char *method = s->method;
    ts_train_plan plan;
    ts_err err;
    s->method = ts_strdup(out->method);
    ts_status status = ts_run_settings_check(s, &err);
    if (status == TS_OK) status = ts_train_plan_make(s, train_file, progress, &plan, &err);
    if (status == TS_OK) {
        out->memory_bytes = (double)plan.memory_bytes;
        if (ws) ts_runs_plan_time(ws, s, &plan);
        out->seconds = plan.seconds;
    } else {
        snprintf(out->why, sizeof out->why, "%s", err.text);
        if (status == TS_UNSUPPORTED || status == TS_INVALID) estimate(out, s->model);
    }
    free(s->method);
    s->method = method;
}

void ts_cost_local(ts_cost *c, const char *ws, ts_run_settings *s, const char *train_file, ts_progress *progress) {
    for (int i = 0; i < TS_COST_METHODS; i++) {
        c->local[i] = (ts_local_cost){.method = methods[i], .memory_bytes = NAN, .seconds = NAN};
        plan_method(&c->local[i], ws, s, train_file, progress);
    }
}

static const ts_local_cost *local_of(const ts_cost *c, const char *method) {
    for (int i = 0; i < TS_COST_METHODS; i++)
        if (strcmp(methods[i], method) == 0) return &c->local[i];
    return NULL;
}

/* ---- ways to tune ---- */

static void add_local(ts_cost *c, const char *model, double params) {
    double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < TS_COST_METHODS; i++) {
        const ts_local_cost *l = &c->local[i];
        ts_cost_row row = {.provider = "this machine",
                           .method = l->method,
                           .model = model,
                           .hardware = "its processor",
                           .note = l->why,
                           .source = "",
                           .date = "",
                           .params = params,
                           .good = good_examples(l->method),
                           .memory_bytes = l->memory_bytes,
                           .fits = !(l->memory_bytes > memory),
                           .seconds = l->seconds,
                           .dollars = *l->why ? NAN : 0,
                           .per_hour = NAN};
        TS_PUSH(c->rows, c->n_rows, c->cap_rows, row);
    }
}

static void add_offer(ts_cost *c, const ts_offer *o, const char *method, const char *model, double params) {
    const ts_local_cost *l = local_of(c, method);
    bool own = !*o->model || isfinite(o->params);
    ts_cost_row row = {.provider = o->provider,
                       .method = method,
                       .model = *o->model ? o->model : model,
                       .hardware = *o->hardware ? o->hardware : "the provider's",
                       .note = o->note,
                       .source = o->price.source,
                       .date = o->price.date,
                       .params = own ? params : NAN,
                       .least = isfinite(o->least_examples.value) ? (int64_t)o->least_examples.value : 0,
                       .good = good_examples(method),
                       .memory_bytes = *o->hardware && l ? l->memory_bytes : NAN,
                       .fits = true,
                       .seconds = NAN,
                       .dollars = NAN,
                       .per_hour = o->by_hour ? o->price.value : NAN};
    if (isfinite(row.memory_bytes) && isfinite(o->memory_gb)) row.fits = row.memory_bytes <= o->memory_gb * 1e9;
    if (o->tokens_per_second.value > 0) row.seconds = c->tokens / o->tokens_per_second.value;
    row.dollars = o->by_hour ? row.seconds / 3600 * o->price.value : c->tokens / 1e6 * o->price.value;
    TS_PUSH(c->rows, c->n_rows, c->cap_rows, row);
}

/* ---- when it pays ---- */

static void settle_demand(ts_cost *c, const ts_train_plan *plan, const ts_demand *given) {
    double rows = (double)TS_MAX(plan->examples, 1);
    ts_demand d = given ? *given : (ts_demand){0};
    if (!(d.requests > 0)) d.requests = 1000;
    if (!(d.answer_tokens > 0)) d.answer_tokens = (double)plan->supervised_tokens / rows;
    if (!(d.prompt_tokens > 0)) d.prompt_tokens = (double)(plan->tokens - plan->supervised_tokens) / rows;
    if (!(d.shots >= 0)) d.shots = 0;
    d.example_tokens = (double)plan->tokens / rows;
    c->demand = d;
}

/* Dollars of one request; 0 for hardware that is paid by the hour. */
static double request_cost(const ts_serving *s, double in, double out) {
    return s->by_hour ? 0 : (in * s->input.value + out * s->output.value) / 1e6;
}

/* What the training of that model costs at that provider; its own hardware: unknown without a speed. */
static double training_cost(const ts_cost *c, const ts_serving *s) {
    double least = NAN;
    for (size_t i = 0; i < c->n_rows; i++) {
        const ts_cost_row *r = &c->rows[i];
        bool same = strcmp(r->provider, s->provider) == 0 && strcmp(r->model, s->model) == 0;
        if (s->by_hour) same = strcmp(r->provider, "this machine") == 0; /* trained here, answered there */
        if (same && isfinite(r->dollars) && !(r->dollars >= least)) least = r->dollars;
    }
    return least;
}

static void add_pair(ts_cost *c, const ts_serving *tuned, const ts_serving *large) {
    const ts_demand *d = &c->demand;
    double large_one = request_cost(large, d->prompt_tokens + d->shots * d->example_tokens, d->answer_tokens);
    double tuned_one = request_cost(tuned, d->prompt_tokens, d->answer_tokens);
    double standing = tuned->by_hour ? 24 * tuned->hour.value : 0;
    ts_break_even b = {.tuned = tuned,
                       .large = large,
                       .tuned_day = standing + d->requests * tuned_one,
                       .large_day = d->requests * large_one,
                       .training = training_cost(c, tuned)};
    double saved = b.large_day - b.tuned_day, each = large_one - tuned_one;
    b.days = !isfinite(saved) ? NAN : saved <= 0 ? INFINITY : b.training / saved;
    b.requests = !isfinite(each) || !isfinite(standing) ? NAN : each <= 0 ? INFINITY : standing / each;
    TS_PUSH(c->pairs, c->n_pairs, c->cap_pairs, b);
}

void ts_cost_make(ts_cost *c, const ts_prices *p, const ts_run_settings *s, const ts_train_plan *plan,
                  const ts_demand *demand, const char *large) {
    const char *model = c->model = ts_strdup(ts_path_base(s->model ? s->model : ""));
    double params = (double)(plan->all_params - plan->trainable_params);
    if (!(params > 0)) params = (double)plan->all_params; /* all of them are trained */
    double batch = (double)(s->batch_size * s->grad_accum), rows = (double)TS_MAX(plan->examples, 1);
    c->tokens = (double)plan->tokens * (s->max_steps ? (double)s->max_steps * batch / rows : s->epochs);
    add_local(c, model, params);
    for (size_t i = 0; i < p->n_offers; i++)
        for (size_t k = 0; k < p->offers[i].n_methods; k++)
            if (params <= p->offers[i].params) add_offer(c, &p->offers[i], p->offers[i].methods[k], model, params);
    settle_demand(c, plan, demand);
    for (size_t i = 0; i < p->n_servings; i++)
        for (size_t k = 0; k < p->n_servings; k++)
            if (p->servings[i].tuned && !p->servings[k].tuned && (!large || strcasestr(p->servings[k].model, large)))
                add_pair(c, &p->servings[i], &p->servings[k]);
}

void ts_cost_release(ts_cost *c) {
    free(c->model);
    free(c->rows);
    free(c->pairs);
    *c = (ts_cost){0};
}
