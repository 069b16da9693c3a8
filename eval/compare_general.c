/* What tuned sides have forgotten: their loss on general rows beside the model's own. */
#include "eval/compare_ask.h"
#include "eval/prompts.h"

#include <math.h>
#include <stdlib.h>

static bool by_model(const ts_compare *c, size_t side) {
    return c->specs[side].kind == TS_BY_MODEL;
}

/* Every side is measured on the same rows, so that a difference is one of the sides. */
static bool scored_by_all(const ts_compare *g, size_t row) {
    for (size_t i = 0; i < g->n_sides; i++)
        if (by_model(g, i) && !isfinite(g->answers[row * g->n_sides + i].reference_nll)) return false;
    return true;
}

static ts_measure loss_of(const ts_compare *g, size_t side, uint64_t seed) {
    ts_finish_fn *mean = ts_metrics[TS_M_REFERENCE_NLL].finish;
    double *counts = ts_calloc(2 * g->n_prompts + 1, sizeof *counts), sums[2] = {0};
    ts_measure m = {.value = NAN, .interval = {NAN, NAN}};
    for (size_t row = 0; by_model(g, side) && row < g->n_prompts; row++) {
        const ts_answer *x = &g->answers[row * g->n_sides + side];
        if (!scored_by_all(g, row)) continue;
        counts[2 * m.n] = x->reference_nll;
        counts[2 * m.n + 1] = (double)x->reference_tokens;
        sums[0] += counts[2 * m.n];
        sums[1] += counts[2 * m.n + 1];
        m.n++;
    }
    if (m.n) {
        m.value = mean(sums);
        m.interval = ts_bootstrap(counts, 2, m.n, mean, seed);
    }
    free(counts);
    return m;
}

static void take_losses(ts_compare *c, const ts_compare *g, uint64_t seed) {
    double base = NAN;
    free(c->general);
    c->general = ts_calloc(c->n_sides, sizeof *c->general);
    for (size_t i = 0; i < c->n_sides; i++) {
        c->general[i].loss = loss_of(g, i, seed);
        if (by_model(c, i) && !c->adapters[i]) base = c->general[i].loss.value;
    }
    for (size_t i = 0; i < c->n_sides; i++)
        c->general[i].change = c->adapters[i] ? c->general[i].loss.value - base : NAN;
}

/* Rows without an answer say nothing here. */
static void drop_unanswered(ts_compare *g) {
    size_t n = 0;
    for (size_t i = 0; i < g->n_prompts; i++) {
        ts_prompt *p = &g->prompts[i];
        if (p->reference) {
            g->prompts[n++] = *p;
            continue;
        }
        free(p->text); /* and no choices: who has them has a reference */
        free(p->messages);
    }
    g->n_prompts = n;
}

ts_status ts_compare_general_read(const ts_compare *c, const ts_compare_options *o, ts_compare *g, ts_err *err) {
    *g = (ts_compare){.specs = c->specs, .adapters = c->adapters, .model = c->model, .template = c->template};
    TS_TRY(ts_prompts_read(g, o->general, 0, err));
    drop_unanswered(g);
    if (g->n_prompts == 0)
        return ts_fail(err, TS_INVALID, "no row of %s has an answer whose loss could be measured", o->general);
    g->n_sides = c->n_sides;
    g->n_asked = g->n_prompts;
    g->answers = ts_calloc(g->n_prompts * g->n_sides, sizeof *g->answers);
    for (size_t i = 0; i < g->n_prompts * g->n_sides; i++)
        g->answers[i].reference_nll = NAN;
    return TS_OK;
}

ts_status ts_compare_general(ts_compare *c, const ts_compare_options *o, ts_compare *g, ts_progress *progress,
                             ts_err *err) {
    ts_compare_options quiet = *o;
    quiet.on_text = NULL;
    quiet.on_answer = NULL;
    g->done = c->done;
    g->total = c->total;
    TS_TRY(ts_compare_score(g, &quiet, progress, err));
    c->done = g->done;
    take_losses(c, g, (uint64_t)o->sampling.seed);
    return TS_OK;
}

void ts_compare_general_release(ts_compare *g) {
    g->specs = NULL; /* the comparison's own */
    g->adapters = NULL;
    g->model = g->template = NULL;
    ts_compare_release(g);
}
