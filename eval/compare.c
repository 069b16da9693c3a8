#include "eval/compare.h"

#include "core/base/clock.h"
#include "core/base/file.h"
#include "eval/compare_ask.h"
#include "eval/prompt_sets.h"
#include "eval/prompts.h"
#include "eval/runs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SCHEMA = 1 << 24, MAX_SAMPLES = 100 };

/* --- sides --- */

static ts_status find_sides(ts_compare *c, const ts_compare_options *o, ts_err *err) {
    if (o->n_sides == 0) return ts_fail(err, TS_INVALID, "no side is named; say --side base --side run:1");
    c->sides = ts_calloc(o->n_sides, sizeof *c->sides);
    c->adapters = ts_calloc(o->n_sides, sizeof *c->adapters);
    c->specs = ts_calloc(o->n_sides, sizeof *c->specs);
    c->n_sides = o->n_sides;
    for (size_t i = 0; i < o->n_sides; i++) {
        c->sides[i] = ts_strdup(o->sides[i]);
        for (size_t j = 0; j < i; j++)
            if (strcmp(c->sides[i], c->sides[j]) == 0)
                return ts_fail(err, TS_INVALID, "the side %s is named twice", c->sides[i]);
        TS_TRY(ts_side_read(&c->specs[i], o->ws, o->sides[i], err));
        if (c->specs[i].adapter) c->adapters[i] = ts_strdup(c->specs[i].adapter);
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
    bool needed = false;
    for (size_t i = 0; i < c->n_sides; i++)
        needed |= c->specs[i].kind != TS_BY_ENDPOINT && c->specs[i].kind != TS_BY_OTHER_MODEL;
    return c->model || !needed
               ? TS_OK
               : ts_fail(err, TS_INVALID, "no model is known; say --model, or set one: config WS model NAME");
}

/* A file, or else a saved set of this name. */
static ts_status read_prompts(ts_compare *c, const ts_compare_options *o, ts_err *err) {
    char *set = o->ws && !ts_file_exists(o->prompts) ? ts_prompt_set_file(o->ws, o->prompts) : NULL;
    ts_status status = ts_prompts_read(c, set ? set : o->prompts, o->limit, err);
    free(set);
    return status;
}

static ts_status find_prompts(ts_compare *c, const ts_compare_options *o, ts_err *err) {
    if (o->prompts) return read_prompts(c, o, err);
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
                    "your own: --prompts FILE, or e and P on the Compare screen");
    return status;
}

/* Every prompt so many times, one behind the other. */
static ts_status repeat_prompts(ts_compare *c, int64_t samples, ts_err *err) {
    if (samples < 0 || samples > MAX_SAMPLES)
        return ts_fail(err, TS_INVALID, "from 1 to %d samples of each answer can be made", MAX_SAMPLES);
    c->samples = TS_MAX((size_t)samples, (size_t)1);
    ts_prompt *all = ts_calloc(c->n_prompts * c->samples, sizeof *all);
    for (size_t i = 0; i < c->n_prompts * c->samples; i++) {
        const ts_prompt *p = &c->prompts[i / c->samples];
        bool first = i % c->samples == 0;
        all[i] = *p;
        all[i].sample = (int64_t)(i % c->samples);
        if (first) continue;
        all[i].text = ts_strdup(p->text);
        all[i].messages = ts_strdup(p->messages);
        all[i].reference = p->reference ? ts_strdup(p->reference) : NULL;
        all[i].choices = NULL; /* scored once */
        all[i].n_choices = 0;
    }
    free(c->prompts);
    c->prompts = all;
    c->n_prompts = c->n_asked = c->cap_prompts = c->n_prompts * c->samples;
    return TS_OK;
}

ts_status ts_compare_prepare(ts_compare *c, const ts_compare_options *o, ts_err *err) {
    *c = (ts_compare){0};
    ts_status status = TS_OK;
    TS_GOTO(find_sides(c, o, err));
    TS_GOTO(find_model(c, o, err));
    TS_GOTO(ts_runs_template(o->ws, o->template, (const char *const *)c->adapters, c->n_sides, &c->template, err));
    TS_GOTO(find_prompts(c, o, err));
    TS_GOTO(repeat_prompts(c, o->samples, err));
    if (o->robust) TS_GOTO(ts_compare_forms(c, o, err));
    c->answers = ts_calloc(c->n_asked * c->n_sides, sizeof *c->answers);
    c->metrics = ts_calloc(c->n_sides, sizeof *c->metrics);
    for (size_t i = 0; i < c->n_asked * c->n_sides; i++)
        c->answers[i].reference_nll = NAN;
out:
    if (status != TS_OK) ts_compare_release(c);
    return status;
}

void ts_compare_release(ts_compare *c) {
    for (size_t i = 0; i < c->n_sides; i++) {
        if (c->sides) free(c->sides[i]);
        if (c->adapters) free(c->adapters[i]);
        if (c->specs) ts_side_release(&c->specs[i]);
    }
    size_t asked = TS_MAX(c->n_asked, c->n_prompts);
    for (size_t i = 0; c->answers && i < asked * c->n_sides; i++) {
        free(c->answers[i].messages);
        free(c->answers[i].choices);
        free(c->answers[i].context);
        free(c->answers[i].error);
        free(c->answers[i].unscored);
        free(c->answers[i].text);
        free(c->answers[i].ids);
    }
    for (size_t i = 0; i < asked; i++) {
        free(c->prompts[i].text);
        free(c->prompts[i].asks);
        free(c->prompts[i].messages);
        free(c->prompts[i].reference);
        for (size_t k = 0; k < c->prompts[i].n_choices; k++)
            free(c->prompts[i].choices[k]);
        free(c->prompts[i].choices);
    }
    free(c->sides);
    free(c->adapters);
    free(c->specs);
    free(c->prompts);
    free(c->answers);
    free(c->metrics);
    free(c->votes);
    free(c->general);
    free(c->robust);
    free(c->model);
    free(c->template);
    *c = (ts_compare){0};
}

/* --- multiple choice --- */

void ts_compare_choose(const ts_prompt *p, ts_answer *a) {
    double best = -INFINITY, best_norm = -INFINITY;
    a->chose = false;
    if (!a->choices || a->n_choices != p->n_choices) return;
    for (size_t i = 0; i < a->n_choices; i++) {
        double sum = a->choices[i], norm = sum / (double)strlen(p->choices[i]);
        if (!isfinite(sum)) return; /* not all are scored */
        if (sum > best) best = sum, a->chosen = i;
        if (norm > best_norm) best_norm = norm, a->chosen_norm = i;
    }
    a->chose = true;
    a->right = a->chosen == p->right;
    a->right_norm = a->chosen_norm == p->right;
}

const char *ts_compare_no_choices(const ts_side_spec *s) {
    return s->kind == TS_BY_ENDPOINT ? "an endpoint does not tell how likely given texts are" : NULL;
}

/* --- the whole --- */

static void measure_all(ts_compare *c, ts_measurer *measurer, uint64_t seed) {
    ts_asked *asked = ts_calloc(c->n_asked + 1, sizeof *asked);
    for (size_t i = 0; i < c->n_asked; i++)
        asked[i] = (ts_asked){c->prompts[i].text, c->prompts[i].reference};
    for (size_t i = 0; i < c->n_asked * c->n_sides; i++)
        ts_measure_answer(measurer, &asked[i / c->n_sides], &c->answers[i]);
    for (size_t side = 0; side < c->n_sides; side++)
        ts_measure_side(measurer, asked, c->answers + side, c->n_prompts, c->n_sides, c->samples, seed,
                        &c->metrics[side]);
    free(asked);
}

ts_status ts_compare_run(ts_compare *c, const ts_compare_options *o, ts_progress *progress, ts_err *err) {
    double begun = ts_now();
    ts_check *check = NULL;
    ts_json *schema = NULL;
    ts_measurer *measurer = NULL;
    ts_compare general = {0};
    ts_status status = TS_OK;
    if (o->check) TS_GOTO(ts_check_read(&check, o->check, err));
    if (o->schema && !(schema = ts_json_read(o->schema, MAX_SCHEMA, err))) TS_GOTO(TS_FORMAT);
    TS_GOTO(ts_measurer_new(&measurer, schema, err));
    if (!c->answers) TS_GOTO(ts_compare_prepare(c, o, err));
    if (o->general) TS_GOTO(ts_compare_general_read(c, o, &general, err));
    TS_GOTO(ts_sides_fill(c, o->ws, progress, err));
    TS_GOTO(ts_compare_leaks(c, o->ws, progress, err));
    c->done = 0;
    c->total = ts_compare_work(c) + ts_compare_score_work(&general);
    TS_GOTO(ts_compare_ask(c, o, check, measurer, progress, err));
    if (o->general) TS_GOTO(ts_compare_general(c, o, &general, progress, err));
    measure_all(c, measurer, (uint64_t)o->sampling.seed);
    if (o->robust) ts_compare_robust(c, (uint64_t)o->sampling.seed);
    c->seconds = ts_now() - begun;
out:
    ts_compare_general_release(&general);
    ts_measurer_free(measurer);
    ts_check_free(check);
    ts_json_free(schema);
    return status;
}
