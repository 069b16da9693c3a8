/* What was asked and answered goes into the workspace, where it can be voted on. */
#include "dataset/answers.h"
#include "eval/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ts_text text_of(const char *s) {
    return (ts_text){s, s ? strlen(s) : 0};
}

static void keep_scores(const ts_answer *a, ts_jw *w) {
    ts_jw_key(w, "robust");
    ts_jw_obj(w);
    ts_jw_kstr(w, "by", ts_metrics[a->score_by].name);
    ts_jw_knum(w, "own", a->own_score);
    for (int k = 0; k < TS_P_COUNT; k++)
        ts_jw_knum(w, ts_perturbations[k].name, a->changed_scores[k]);
    ts_jw_knum(w, "took", a->took);
    ts_jw_end_obj(w);
}

static ts_status keep_answer(ts_store *st, const ts_compare *c, size_t prompt, size_t side, ts_err *err) {
    const ts_answer *a = &c->answers[prompt * c->n_sides + side];
    ts_buf detail = TS_BUF_INIT;
    if (!a->text || !a->stop[0]) return TS_OK; /* not answered yet, or not at all */
    ts_jw w = ts_jw_to(&detail);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "stop", a->stop);
    ts_jw_kint(&w, "tokens", a->tokens);
    if (a->context) ts_jw_kstr(&w, "context", a->context);
    if (a->cost > 0) ts_jw_knum(&w, "cost", a->cost);
    ts_jw_kstr(&w, "model", c->model);
    if (isfinite(a->reference_nll)) {
        ts_jw_knum(&w, "reference_nll", a->reference_nll);
        ts_jw_kint(&w, "reference_tokens", a->reference_tokens);
    }
    if (a->checked) ts_jw_kbool(&w, "passed", a->passed);
    if (a->checked && a->failed_line) ts_jw_kint(&w, "failed_line", (int64_t)a->failed_line);
    if (a->chose) {
        ts_jw_kbool(&w, "acc", a->right);
        ts_jw_kbool(&w, "acc_norm", a->right_norm);
    }
    if (a->perturbed) keep_scores(a, &w);
    ts_jw_end_obj(&w);
    ts_kept_answer kept = {c->sides[side], text_of(a->text), {detail.data, detail.len}};
    ts_status status = ts_answer_keep(st, c->prompts[prompt].kept, &kept, err);
    ts_buf_release(&detail);
    return status;
}

/* The votes so far, in the order of the sides. */
static ts_status take_votes(ts_compare *c, ts_store *st, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_side_votes *all;
    size_t n = 0;
    free(c->votes);
    c->votes = ts_calloc(c->n_sides, sizeof *c->votes);
    ts_status status = ts_votes_by_side(st, &all, &n, &arena, err);
    for (size_t i = 0; i < c->n_sides; i++) {
        for (size_t k = 0; status == TS_OK && k < n; k++)
            if (strcmp(all[k].side, c->sides[i]) == 0) c->votes[i] = all[k];
        c->votes[i].side = c->sides[i];
    }
    ts_arena_release(&arena);
    return status;
}

ts_status ts_compare_keep(ts_compare *c, const char *ws, ts_err *err) {
    ts_store *st = NULL;
    TS_TRY(ts_store_open(&st, ws, "compare", err));
    ts_status status = TS_OK;
    for (size_t i = 0; i < c->n_prompts && status == TS_OK; i++) {
        ts_prompt *p = &c->prompts[i];
        if (p->sample) continue; /* votes are on the first of several samples */
        if (!p->kept) status = ts_prompt_keep(st, text_of(p->messages), text_of(p->reference), &p->kept, err);
        for (size_t k = 0; k < c->n_sides && status == TS_OK; k++)
            status = keep_answer(st, c, i, k, err);
    }
    if (status == TS_OK) status = take_votes(c, st, err);
    ts_store_close(st);
    return status;
}
