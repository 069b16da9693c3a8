/* What holds a LoRA adapter near its base: penalties beside the loss (engine research 2.13, form c). Each gives its
 * value and adds its gradient; neither is part of the loss that is reported. */
#ifndef TS_ENGINE_PENALTY_H
#define TS_ENGINE_PENALTY_H

#include "core/engine/net.h"

/* lambda * sum over the adapted matrices of |s B A|^2, the change that merging would make to the weights, by the
 * squares of its entries: |sBA|^2 = s^2 tr((B'B)(AA')), so only r x r products are made and never the matrix. `times`
 * its gradient, 2 lambda s^2 (B'B) A and 2 lambda s^2 B (AA'), is added to grad, which has the adapter's shape. Summed
 * in double in a fixed order. Not for DoRA, whose merged change is another. */
double ts_penalty_l2(const ts_adapter *a, double lambda, double times, ts_adapter *grad);

/* Elastic weight consolidation (form a; Kirkpatrick et al., 2017): lambda/2 * sum F_i (theta_i - start_i)^2 over all
 * that is trained. `times` its gradient, lambda F_i (theta_i - start_i), is added to grad. All have the same shape. */
double ts_penalty_ewc(const ts_adapter *a, const ts_adapter *start, const ts_adapter *fisher, double lambda,
                      double times, ts_adapter *grad);
/* F for it: the mean over seqs of the squared gradient of each one's log likelihood (one at a time, its labels from the
 * data: the empirical Fisher; no dropout), divided by its mean, so that lambda means the same for every model. fisher
 * and scratch have a's shape; what was in them is lost. TS_INVALID: all is zero or not finite. */
TS_MUST_USE ts_status ts_penalty_fisher(ts_net *net, const ts_adapter *a, const ts_seq *seqs, size_t n,
                                        ts_adapter *fisher, ts_adapter *scratch, ts_progress *progress, ts_err *err);

#endif
