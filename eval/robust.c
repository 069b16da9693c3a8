#include "eval/robust.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ACCURACY, WORST, MEAN_OF_CHANGED, FIRST_CHANGE, SPEED = FIRST_CHANGE + TS_P_COUNT, SECONDS, COST };

static const struct {
    const char *name, *label, *help;
} lines[TS_ROBUST_ROWS] = {
    [ACCURACY] = {"accuracy", "accuracy", "the prompts as they are"},
    [WORST] = {"robustness", "robust, worst", "the worst of each prompt and its changed forms"},
    [MEAN_OF_CHANGED] = {"robustness_mean", "robust, mean", "the mean over the changed forms"},
    [SPEED] = {"tokens_per_second", "tokens a second", "generated"},
    [SECONDS] = {"seconds_per_answer", "seconds", "for an answer"},
    [COST] = {"cost_per_answer", "cost", "of an answer of an endpoint, in the currency of its prices"},
};

const char *ts_robust_label(size_t row) {
    return row >= FIRST_CHANGE && row < SPEED ? ts_perturbations[row - FIRST_CHANGE].name : lines[row].label;
}

static double share(const double *sums) {
    return sums[1] > 0 ? sums[0] / sums[1] : NAN;
}

/* What an answer adds to a line: a value and what it is divided by; false: nothing. */
static bool count(const ts_answer *a, size_t row, double out[2]) {
    double sum = 0, worst = a->own_score;
    size_t n = 0;
    for (size_t i = 0; i < TS_P_COUNT; i++) {
        if (!isfinite(a->changed_scores[i])) continue;
        sum += a->changed_scores[i];
        worst = fmin(worst, a->changed_scores[i]);
        n++;
    }
    double value = row == ACCURACY          ? a->own_score
                   : row == WORST           ? worst
                   : row == MEAN_OF_CHANGED ? (n ? sum / (double)n : NAN)
                   : row < SPEED            ? a->changed_scores[row - FIRST_CHANGE]
                   : row == SPEED           ? (a->took > 0 && a->tokens >= 0 ? (double)a->tokens : NAN)
                   : row == SECONDS         ? (a->took > 0 ? a->took : NAN)
                                            : (a->cost > 0 ? a->cost : NAN);
    out[0] = value;
    out[1] = row == SPEED ? a->took : 1;
    return isfinite(value) != 0;
}

static ts_measure measure(const ts_answer *answers, size_t n, size_t stride, size_t row, bool shares, uint64_t seed) {
    double *counts = ts_calloc(2 * n + 1, sizeof *counts), sums[2] = {0};
    ts_measure m = {.value = NAN, .interval = {NAN, NAN}};
    for (size_t i = 0; i < n; i++) {
        const ts_answer *a = &answers[i * stride];
        if (!a->perturbed || !isfinite(a->own_score) || !count(a, row, counts + 2 * m.n)) continue;
        sums[0] += counts[2 * m.n];
        sums[1] += counts[2 * m.n + 1];
        m.n++;
    }
    m.value = share(sums);
    if (isfinite(m.value))
        m.interval = shares ? ts_wilson(sums[0], sums[1]) : ts_bootstrap(counts, 2, m.n, share, seed);
    if (row >= SPEED && !(m.interval.low < m.interval.high)) m.interval = (ts_interval){NAN, NAN}; /* of one batch */
    free(counts);
    return m;
}

void ts_robust_side(const ts_answer *answers, size_t n, size_t stride, uint64_t seed, ts_robust *out) {
    static const ts_metric_id formats[] = {TS_M_TOKENS, TS_M_REFERENCE_NLL, TS_M_COST};
    *out = (ts_robust){.by = TS_METRIC_COUNT};
    for (size_t i = 0; i < n; i++)
        if (answers[i * stride].perturbed) out->by = answers[i * stride].score_by;
    for (size_t row = 0; row < TS_ROBUST_ROWS; row++) {
        ts_robust_row *r = &out->rows[row];
        const ts_perturbation *change =
            row >= FIRST_CHANGE && row < SPEED ? &ts_perturbations[row - FIRST_CHANGE] : NULL;
        r->name = change ? change->name : lines[row].name;
        r->help = change ? change->help : lines[row].help;
        r->format = row >= SPEED ? formats[row - SPEED] : out->by;
        r->m = (ts_measure){.value = NAN, .interval = {NAN, NAN}};
        if (out->by == TS_METRIC_COUNT) continue;
        bool shares = ts_metrics[r->format].percent && row != MEAN_OF_CHANGED;
        r->m = measure(answers, n, stride, row, shares, seed);
    }
}

void ts_robust_write(const ts_robust *r, ts_jw *w) {
    ts_jw_obj(w);
    ts_jw_kstr(w, "by", ts_metrics[r->by].name);
    for (size_t i = 0; i < TS_ROBUST_ROWS; i++)
        ts_jw_knum(w, r->rows[i].name, r->rows[i].m.value);
    ts_jw_key(w, "intervals");
    ts_jw_obj(w);
    for (size_t i = 0; i < TS_ROBUST_ROWS; i++) {
        ts_jw_key(w, r->rows[i].name);
        ts_jw_arr(w);
        ts_jw_num(w, r->rows[i].m.interval.low);
        ts_jw_num(w, r->rows[i].m.interval.high);
        ts_jw_end_arr(w);
    }
    ts_jw_end_obj(w);
    ts_jw_end_obj(w);
}

bool ts_robust_measured(const ts_robust *sides, size_t n, size_t row) {
    for (size_t i = 0; i < n; i++)
        if (sides[i].by != TS_METRIC_COUNT && isfinite(sides[i].rows[row].m.value)) return true;
    return false;
}

void ts_robust_explain(const ts_robust *sides, size_t n, ts_buf *out) {
    for (size_t i = 0; i < n; i++) {
        if (sides[i].by == TS_METRIC_COUNT) continue;
        ts_buf_printf(out, "accuracy and robustness by %s; %zu prompts, each also changed in %d ways (",
                      ts_metrics[sides[i].by].label, sides[i].rows[ACCURACY].m.n, TS_P_COUNT);
        for (int k = 0; k < TS_P_COUNT; k++)
            ts_buf_printf(out, "%s%s", k ? ", " : "", ts_perturbations[k].name);
        ts_buf_puts(out,
                    "); worst: the worst of a prompt's forms counts, as in HELM. Sides of one batch share its time");
        return;
    }
}
