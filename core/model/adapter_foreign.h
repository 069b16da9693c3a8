/* Adapters whose files say module by module what they adapt (mlx-lm, GGUF): the settings PEFT would need are made from
 * the modules found. Private to core/model/adapter*.c. */
#ifndef TS_MODEL_ADAPTER_FOREIGN_H
#define TS_MODEL_ADAPTER_FOREIGN_H

#include "core/model/adapter_private.h"

/* The two matrices of a module as they lie in the file, and how. */
typedef struct ts_pair {
    const ts_tensor *a, *b, *mag;
    bool a_across, b_across; /* stored transposed against [r, in] and [out, r] */
} ts_pair;

/* Makes an adapter from pairs [ts_module_count(m)] (a and b NULL: not adapted), with alpha = scale * r where scale > 0,
 * else `alpha`, or r when alpha is 0 too. settings: dora, dropout, base_model are taken; the rest is found. Shapes that
 * do not fit are counted in bad, and then *out is NULL. */
TS_MUST_USE ts_status ts_adapter_from_pairs(ts_adapter **out, const ts_model *m, const ts_pair *pairs,
                                            const ts_adapter_settings *settings, double scale, double alpha,
                                            ts_misfits *bad, ts_err *err);
/* Module `path` ("model.layers.3.mlp.up_proj") by number; ts_module_count when there is none. */
size_t ts_module_find(const ts_model *m, const char *path, size_t n);

#endif
