/* compare --robust: prompts in changed forms, and what the answers to them say of a side. */
#include "core/base/rand.h"
#include "eval/compare_ask.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool has_choices(const ts_compare *c) {
    for (size_t i = 0; i < c->n_prompts; i++)
        if (c->prompts[i].sample == 0 && !c->prompts[i].choices) return false;
    return true;
}

static bool has_references(const ts_compare *c) {
    for (size_t i = 0; i < c->n_prompts; i++)
        if (c->prompts[i].reference) return true;
    return false;
}

static ts_status choose_measure(ts_compare *c, const ts_compare_options *o, ts_err *err) {
    static const ts_metric_id able[] = {TS_M_PASS_RATE, TS_M_ACC, TS_M_EXACT, TS_M_F1};
    bool found = false;
    c->robust_by = o->check ? TS_M_PASS_RATE : has_choices(c) ? TS_M_ACC : TS_M_F1;
    if (o->robust_by) c->robust_by = ts_metric_find(o->robust_by);
    for (size_t i = 0; i < TS_COUNT(able); i++)
        found |= able[i] == c->robust_by;
    if (!found)
        return ts_fail(err, TS_INVALID, "robustness is measured by pass_rate, acc, exact_match or f1, not by \"%.40s\"",
                       o->robust_by);
    if (c->robust_by == TS_M_PASS_RATE ? o->check != NULL : has_references(c)) return TS_OK;
    return ts_fail(err, TS_INVALID,
                   "nothing is there to tell a good answer by: give --check FILE, or prompts with reference answers or "
                   "choices");
}

static bool is_scored(const ts_compare *c, const ts_prompt *p) {
    if (p->sample || !*p->text) return false;
    if (c->robust_by == TS_M_PASS_RATE) return true;
    return c->robust_by == TS_M_ACC ? p->choices != NULL : p->reference != NULL;
}

static char *copy(const char *s) {
    return s ? ts_strdup(s) : NULL;
}

static void push_form(ts_compare *c, size_t of, int change, uint64_t seed) {
    const ts_prompt *p = &c->prompts[of];
    ts_buf text = TS_BUF_INIT;
    if (!ts_perturb(change, p->text, strlen(p->text), ts_rand_mix(seed, of), &text)) {
        ts_buf_release(&text);
        return; /* the same question: its score is the prompt's own */
    }
    ts_prompt form = {.form = 1 + change,
                      .of = of,
                      .asks = ts_strdup(p->text),
                      .text = ts_buf_take(&text),
                      .reference = copy(p->reference),
                      .example = p->example,
                      .right = p->right};
    form.messages = ts_side_question(p, form.text);
    if (c->robust_by == TS_M_ACC) {
        form.choices = ts_calloc(p->n_choices, sizeof *form.choices);
        for (; form.n_choices < p->n_choices; form.n_choices++)
            form.choices[form.n_choices] = ts_strdup(p->choices[form.n_choices]);
    }
    TS_PUSH(c->prompts, c->n_asked, c->cap_prompts, form);
}

ts_status ts_compare_forms(ts_compare *c, const ts_compare_options *o, ts_err *err) {
    TS_TRY(choose_measure(c, o, err));
    for (size_t i = 0; i < c->n_prompts; i++)
        for (int k = 0; k < TS_P_COUNT && is_scored(c, &c->prompts[i]); k++)
            push_form(c, i, k, (uint64_t)o->sampling.seed);
    return TS_OK;
}

void ts_compare_robust(ts_compare *c, uint64_t seed) {
    size_t n = c->n_sides;
    for (size_t i = 0; i < c->n_prompts * n; i++) {
        ts_answer *a = &c->answers[i];
        a->perturbed = is_scored(c, &c->prompts[i / n]);
        a->score_by = c->robust_by;
        a->own_score = a->values[c->robust_by];
        for (int k = 0; k < TS_P_COUNT; k++)
            a->changed_scores[k] = a->own_score;
    }
    for (size_t i = c->n_prompts * n; i < c->n_asked * n; i++) {
        const ts_prompt *form = &c->prompts[i / n];
        c->answers[form->of * n + i % n].changed_scores[form->form - 1] = c->answers[i].values[c->robust_by];
    }
    free(c->robust);
    c->robust = ts_calloc(n, sizeof *c->robust);
    for (size_t i = 0; i < n; i++)
        ts_robust_side(c->answers + i, c->n_prompts, n, seed, &c->robust[i]);
}
