/* The slow, obvious version of the whole model, in double, one sequence at a time: what the fast code is tested
 * against. Same formulas as forward.c, linear.c, attention.c and loss.c, none of their code. */
#ifndef TS_ENGINE_OPS_REF_H
#define TS_ENGINE_OPS_REF_H

#include "core/engine/net.h"

/* Logits of every position into out [n, vocab]. `token` is the number of the sequence's first token in its batch: the
 * key of dropout (p = 0: none). */
void ts_ref_logits(const ts_model *m, const ts_adapter *a, const int32_t *ids, size_t n, ts_dropout dropout,
                   size_t token, double *out);
/* Sum of the NLL over the supervised tokens. */
double ts_ref_nll(const ts_model *m, const ts_adapter *a, const ts_seq *s, ts_dropout dropout, size_t token);

#endif
