/* Products of matrices over all cores. One call takes several products that do not depend on each other (q, k and v;
 * the gradients of a layer's adapters), cuts them into tasks of TS_PANEL columns, and converts the columns of a weight
 * to f32 once for all rows that meet it. Every element of C is summed in one order, so results have the same bits for
 * any number of threads and whatever other rows are in the batch. */
#ifndef TS_ENGINE_GEMM_H
#define TS_ENGINE_GEMM_H

#include "core/engine/kernels.h"

/* A[m, k] times B[k, n]. `trans`: B is stored [n, k] (a linear's weight in the forward direction). */
typedef struct ts_term {
    const float *a;
    size_t lda;
    bool a_trans; /* A is stored [k, m] */
    size_t k;
    ts_dtype type; /* of B; TS_F32 is zero, so that products of activations leave it out */
    const void *b;
    size_t row_bytes;
    bool trans;
    float scale; /* of B; 0 means 1 */
} ts_term;

enum { TS_TERMS = 8 };
/* C[m, n] = add + bias + sum of the terms. add may be c itself (accumulate) or NULL. */
typedef struct ts_product {
    size_t m, n;
    float *c;
    size_t ldc;
    const float *add;
    size_t ldadd;
    const float *bias;
    ts_term terms[TS_TERMS];
    size_t n_terms;
} ts_product;

/* Memory of the workers: `floats` each, 64-byte aligned; grown by the driving thread between jobs. Zeroed = empty. */
typedef struct ts_scratch {
    float *data;
    size_t floats;
    int workers;
} ts_scratch;
void ts_scratch_need(ts_scratch *s, size_t floats);
void ts_scratch_release(ts_scratch *s);
static inline float *ts_scratch_of(const ts_scratch *s, int worker) {
    return s->data + (size_t)worker * s->floats;
}

void ts_products(const ts_product *p, size_t n, ts_scratch *s);

/* Rows of the tasks of `fn` over [0, rows) in pieces of at most `piece`: fn(ctx, first, end, worker). */
void ts_rows(size_t rows, size_t piece, void (*fn)(void *ctx, size_t first, size_t end, int worker), void *ctx);

#endif
