/* Elastic weight consolidation of the base (engine research 2.13, form b; Kirkpatrick et al., 2017): LoRA may change
 * the model, but little where what the model knows depends on it. The penalty beside the loss is
 *   lambda / 2 * sum over the adapted matrices of F_ij D_ij^2      D = s B A, the change that merging would make
 * with G = lambda F o D its gradient: dB += s G A', dA += s B' G. F_ij is the mean over rows of the square of the
 * gradient of each one's log likelihood by the base's weight W_ij, with the adapter off; every row alone, never the
 * square of a sum; its labels from the data (the empirical Fisher); divided by its mean over all, so that lambda means
 * the same for every model. Not for DoRA, whose merged change is another; modules that are trained whole are not held.
 *
 * F is kept in bf16: two bytes for every adapted weight. While it is measured it is rounded at random, evenly to both
 * sides, so that many small squares are not lost in a large sum; the numbers for that follow from the place and the
 * micro-batch alone, so F has the same bits every time. D and G are made some rows at a time. One thread drives it. */
#ifndef TS_ENGINE_FISHER_H
#define TS_ENGINE_FISHER_H

#include "core/engine/net.h"

typedef struct ts_fisher ts_fisher;

/* For the matrices that `a` adapts, all zero. TS_NO_MEMORY says how much it would be. */
TS_MUST_USE ts_status ts_fisher_new(ts_fisher **out, const ts_adapter *a, ts_err *err);
void ts_fisher_free(ts_fisher *f);
/* Bytes that it takes for so many adapted weights of which a row has at most `cols`. */
size_t ts_fisher_bytes(size_t weights, size_t cols);
/* Measures F on seqs, with the micro-batches and threads of the net. TS_INVALID: all of it is zero or not finite. */
TS_MUST_USE ts_status ts_fisher_measure(ts_fisher *f, ts_net *net, const ts_seq *seqs, size_t n, ts_progress *progress,
                                        ts_err *err);
/* F of a weight. */
float ts_fisher_at(const ts_fisher *f, size_t layer, ts_proj proj, size_t row, size_t col);
/* The penalty's value; `times` its gradient is added to grad, which has the shape of a. Summed in one order whatever
 * the threads. */
double ts_fisher_pull(ts_fisher *f, const ts_adapter *a, double lambda, double times, ts_adapter *grad);

#endif
