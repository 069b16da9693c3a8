/* Several adapters over one base as one: dW = w1 dW1 + w2 dW2 + .., with dW = s B A of each module.
 *
 * The ways are those of PEFT's add_weighted_adapter (tuners/lora/model.py), and so are the numbers:
 *   cat     A = rows of w s A, one adapter below the other; B = their columns side by side. Exact; the rank is the sum.
 *   linear  A = sum of sign(w s) sqrt|w s| A, B = sum of sqrt|w s| B. Equal ranks; a rough guess, since the product of
 *           sums is not the sum of products. One adapter alone is scaled exactly.
 *   svd     the `rank` (0: the largest rank given) strongest directions of dW: B = U S, A = V. The best of its rank.
 * The result has alpha = rank, so its scale is 1. A module that some of them do not adapt counts as 0 there. Where PEFT
 * keeps the first adapter's rsLoRA (and is then off by sqrt(rank)) we write plain LoRA, so that the sum is right.
 *
 * Refused, with the advice to merge one after the other: DoRA, saved modules and whole models, whose change is no
 * product of two matrices. */
#ifndef TS_MODEL_ADAPTER_COMBINE_H
#define TS_MODEL_ADAPTER_COMBINE_H

#include "core/model/adapter.h"
#include "core/model/combine_how.h"
#include "core/work/progress.h"

typedef struct ts_weighted {
    const ts_adapter *adapter; /* all of one model */
    double weight;             /* finite; may be negative */
    const char *name;          /* for messages */
} ts_weighted;

/* A new adapter for the same model; n from 1 on. Progress counts matrices. */
TS_MUST_USE ts_status ts_adapter_combine(ts_adapter **out, const ts_weighted *parts, size_t n, ts_combine_how how,
                                         size_t rank, ts_progress *progress, ts_err *err);

/* private, for tests: the r strongest directions of P Q with P [out, n] and Q [n, in], in double: u [out, r] with the
 * singular values multiplied in, v [r, in]. What there is no direction for is 0. */
void ts_svd_product(const double *p, const double *q, size_t out, size_t n, size_t in, size_t r, double *u, double *v);

#endif
