#include "core/base/linalg.h"

#include "core/base/err.h"

#include <cblas.h>
#include <limits.h>
#include <unistd.h>

void ts_sgemm(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
              const float *b, size_t ldb, float beta, float *c, size_t ldc) {
    ts_assert(m <= INT_MAX && n <= INT_MAX && k <= INT_MAX && lda <= INT_MAX && ldb <= INT_MAX && ldc <= INT_MAX);
    cblas_sgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, (int)m, (int)n,
                (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

void ts_linalg_set_threads(int n) {
    if (n < 1) n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    openblas_set_num_threads(n);
}

int ts_linalg_threads(void) {
    return openblas_get_num_threads();
}

const char *ts_linalg_kernel(void) {
    return openblas_get_corename();
}

const char *ts_linalg_config(void) {
    return openblas_get_config();
}
