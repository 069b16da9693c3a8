/* Matrix products through OpenBLAS, f32, row-major. The only home of cblas.
 *
 * OpenBLAS chooses its kernels when the library is loaded, and obeys OPENBLAS_CORETYPE from the environment; child
 * processes that calculate are started with the OPENBLAS_ variables cleared (core/work/child.h). */
#ifndef TS_BASE_LINALG_H
#define TS_BASE_LINALG_H

#include <stdbool.h>
#include <stddef.h>

/* C[m,n] = alpha * op(A)[m,k] * op(B)[k,n] + beta * C; lda, ldb, ldc are row lengths of the stored matrices.
 * One caller at a time when threads > 1. beta = 0 ignores what C holds (NaN too). */
void ts_sgemm(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
              const float *b, size_t ldb, float beta, float *c, size_t ldc);
void ts_linalg_set_threads(int n); /* threads that one product uses; n < 1: all cores */
int ts_linalg_threads(void);
const char *ts_linalg_kernel(void); /* the core type OpenBLAS runs, for example "Zen" or "Cooperlake" */
const char *ts_linalg_config(void); /* OpenBLAS's own description of its build */

#endif
