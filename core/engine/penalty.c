#include "core/engine/penalty.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* out [r, r] = the products of all pairs of rows (`along` numbers each, `step` apart from row to row, `next` from
 * number to number): AA' of a [r, in] and B'B of b [out, r]. */
static void gram(const float *x, size_t r, size_t along, size_t step, size_t next, double *out) {
    for (size_t i = 0; i < r; i++)
        for (size_t j = i; j < r; j++) {
            double sum = 0;
            for (size_t k = 0; k < along; k++)
                sum += (double)x[i * step + k * next] * (double)x[j * step + k * next];
            out[i * r + j] = out[j * r + i] = sum;
        }
}

/* Of one matrix; aa and bb are scratch of r * r. */
static double one(const ts_lora *x, const ts_lora *g, double lambda, double times, double *aa, double *bb) {
    double s2 = (double)x->scale * (double)x->scale, value = 0, factor = 2 * lambda * s2 * times;
    gram(x->a, x->r, x->in, x->in, 1, aa);
    gram(x->b, x->r, x->out, 1, x->r, bb);
    for (size_t i = 0; i < x->r * x->r; i++)
        value += aa[i] * bb[i]; /* both are symmetric */
    for (size_t i = 0; i < x->r; i++)
        for (size_t j = 0; j < x->r; j++) {
            float by_b = (float)(factor * bb[i * x->r + j]), by_a = (float)(factor * aa[j * x->r + i]);
            for (size_t k = 0; k < x->in; k++)
                g->a[i * x->in + k] += by_b * x->a[j * x->in + k];
            for (size_t k = 0; k < x->out; k++)
                g->b[k * x->r + i] += by_a * x->b[k * x->r + j];
        }
    return lambda * s2 * value;
}

double ts_penalty_l2(const ts_adapter *a, double lambda, double times, ts_adapter *grad) {
    double sum = 0;
    for (size_t l = 0; l < a->layers; l++)
        for (size_t p = 0; p < TS_PROJS; p++) {
            const ts_lora *x = &a->lora[l][p];
            if (!x->r) continue;
            double *scratch = ts_calloc(2 * x->r * x->r, sizeof *scratch);
            sum += one(x, &grad->lora[l][p], lambda, times, scratch, scratch + x->r * x->r);
            free(scratch);
        }
    return sum;
}

double ts_penalty_ewc(const ts_adapter *a, const ts_adapter *start, const ts_adapter *fisher, double lambda,
                      double times, ts_adapter *grad) {
    double sum = 0;
    for (size_t i = 0; i < a->n_params; i++) {
        double away = (double)a->block[i] - (double)start->block[i], pull = lambda * (double)fisher->block[i] * away;
        sum += pull * away / 2;
        grad->block[i] += (float)(times * pull);
    }
    return sum;
}

ts_status ts_penalty_fisher(ts_net *net, const ts_adapter *a, const ts_seq *seqs, size_t n, ts_adapter *fisher,
                            ts_adapter *scratch, ts_progress *progress, ts_err *err) {
    double sum = 0, nll;
    size_t count, size = a->n_params;
    memset(fisher->block, 0, size * sizeof(float));
    for (size_t k = 0; k < n; k++) {
        memset(scratch->block, 0, size * sizeof(float));
        TS_TRY(ts_net_backward(net, a, &seqs[k], 1, (ts_dropout){0}, scratch, &nll, &count, progress, err));
        for (size_t i = 0; i < size; i++)
            fisher->block[i] += scratch->block[i] * scratch->block[i];
    }
    for (size_t i = 0; i < size; i++)
        sum += (double)fisher->block[i];
    if (!isfinite(sum) || sum <= 0)
        return ts_fail(err, TS_INVALID,
                       "the rows of --ewc-data give a gradient that is %s: what they hold cannot be kept by it; choose "
                       "rows with answers that the adapter was trained on",
                       isfinite(sum) ? "zero" : "not finite");
    for (size_t i = 0; i < size; i++)
        fisher->block[i] = (float)((double)fisher->block[i] * ((double)size / sum));
    return TS_OK;
}
