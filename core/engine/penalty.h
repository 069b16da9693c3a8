/* What holds a LoRA adapter near its base: penalties beside the loss (engine research 2.13, form c). Each gives its
 * value and adds its gradient; neither is part of the loss that is reported. */
#ifndef TS_ENGINE_PENALTY_H
#define TS_ENGINE_PENALTY_H

#include "core/model/adapter.h"

/* lambda * sum over the adapted matrices of |s B A|^2, the change that merging would make to the weights, by the
 * squares of its entries: |sBA|^2 = s^2 tr((B'B)(AA')), so only r x r products are made and never the matrix. `times`
 * its gradient, 2 lambda s^2 (B'B) A and 2 lambda s^2 B (AA'), is added to grad, which has the adapter's shape. Summed
 * in double in a fixed order. Not for DoRA, whose merged change is another. */
double ts_penalty_l2(const ts_adapter *a, double lambda, double times, ts_adapter *grad);

#endif
