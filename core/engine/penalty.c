#include "core/engine/penalty.h"

#include <stdlib.h>

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
