/* The vector kernels everything in the engine is made of, in three builds of one source (kernels_body.h): AVX-512,
 * AVX2 with FMA, and plain (whatever the compiler's base target has). The CPU decides at run time.
 *
 * All matrix products go through `panel`: own code rather than OpenBLAS, because it takes weights in their stored type
 * (the copy into a panel converts), needs one pool of threads only, and each element of a product is summed in an order
 * that depends on nothing but its length: not on threads, not on the other rows. Measured on 2 Zen 4 cores, 1008 x 1536
 * x 576: 229 GF/s of 236 the cores can do; OpenBLAS 0.3.21 gives 190 to 206 with its own two threads.
 *
 * Sums are f32 with fused multiply-add where the CPU has it. The three builds differ in the last bits. A
 * fourth, "exact", is chosen by its name only: it gives the same bits on every processor with AVX2 and with every
 * compiler (train --deterministic). Any thread. */
#ifndef TS_ENGINE_KERNELS_H
#define TS_ENGINE_KERNELS_H

#include "core/model/tensor.h"

/* Columns of a packed panel: as many as the quantised types have in a block or in a piece of one that can
 * be converted alone. */
enum { TS_PANEL = 32 };

/* C[m, n] = A[m, k] B[k, n], or += with `add`; n <= TS_PANEL. Row p of B is b + p * ldb and must be readable up to the
 * next multiple of 16 columns. With a_trans A is stored [k, m]. */
typedef struct ts_panel {
    size_t m, n, k;
    const float *a;
    size_t lda;
    bool a_trans;
    const float *b;
    size_t ldb;
    float *c;
    size_t ldc;
    bool add;
} ts_panel;

/* y[i * ldy + r] (+)= w_r . x_i for `rows` rows of w and m vectors x: what decoding uses, reading each weight once. The
 * bits of one result do not depend on m. scratch: 4 * k floats (used when m > 1). */
typedef struct ts_dots {
    ts_dtype type;
    const void *w;
    size_t row_bytes, rows, k;
    const float *x;
    size_t ldx, m;
    float *y;
    size_t ldy;
    bool add;
    float *scratch;
} ts_dots;

typedef struct ts_kernels {
    const char *name; /* "avx512", "avx2", "exact", "plain" */
    void (*panel)(const ts_panel *p);
    void (*dots)(const ts_dots *d);
    /* Weights [from, from + n) of a row to f32; the same bits as ts_dequantize. In block types both are multiples of
     * 32, also where the blocks have 256. */
    void (*dequant)(ts_dtype t, const void *row, size_t from, float *dst, size_t n);
    /* dst[c * TS_PANEL + r] = src[r * ld + c], columns from `rows` on are zero. */
    void (*pack_t)(const float *src, size_t ld, size_t rows, size_t cols, float *dst);
    /* dst[p * TS_PANEL + c] = weight from + c of row p (src + p * row_bytes), columns from `cols` on are zero; `from`
     * as above. */
    void (*pack_n)(ts_dtype t, const void *src, size_t row_bytes, size_t rows, size_t from, size_t cols, float *dst);

    void (*rmsnorm)(const float *x, const float *w, size_t n, float eps, float *y);
    /* dx += gradient of rmsnorm at x for dy */
    void (*rmsnorm_back)(const float *x, const float *w, const float *dy, size_t n, float eps, float *dx);
    /* Rotates `heads` vectors of d in place; cs: d/2 cosines, d/2 sines; back: the inverse. */
    void (*rope)(float *x, size_t heads, size_t d, const float *cs, bool back);
    void (*swiglu)(const float *gate, const float *up, float *y, size_t n); /* y = silu(gate) * up */
    void (*swiglu_back)(float *gate, float *up, const float *dy, size_t n); /* in place: their gradients */
    /* the same with gelu in its tanh form: g (1 + tanh(sqrt(2 / pi) (g + 0.044715 g^3))) / 2 */
    void (*geglu)(const float *gate, const float *up, float *y, size_t n);
    void (*geglu_back)(float *gate, float *up, const float *dy, size_t n);
    /* x = cap tanh(x * scale); then, of that y, dy *= its slope: scale cap (1 - (y / cap)^2) */
    void (*softcap)(float *x, size_t n, float scale, float cap);
    void (*softcap_back)(const float *y, float *dy, size_t n, float scale, float cap);
    float (*max)(const float *x, size_t n);                         /* -inf for n = 0 */
    float (*exp_sum)(float *x, size_t n, float scale, float shift); /* x = exp(x * scale - shift); their sum */
    void (*scale)(float *x, size_t n, float f);
    void (*add)(float *y, const float *x, size_t n);
    float (*dot)(const float *a, const float *b, size_t n);
    /* p = exp(p * scale - top) * share; dp = p * (dp - delta) * scale */
    void (*attention_back)(float *p, float *dp, size_t n, float scale, float top, float share, float delta);
    /* y = x * mask, or y += x * mask with `add`; element j is kept (times 1 / (1 - p)) when hash(key, j) >= p * 2^32 */
    void (*dropout)(const float *x, float *y, size_t n, uint32_t key, double p, bool add);
} ts_kernels;

/* The best one this CPU runs, or the one named by the environment variable TUNESMITH_KERNEL. */
const ts_kernels *ts_kernels_get(void);
/* By name; NULL when this CPU or build does not have it. */
const ts_kernels *ts_kernels_named(const char *name);
/* From now on ts_kernels_get gives this one (tests). Not while a net is at work. */
void ts_kernels_use(const ts_kernels *k);

/* private: the builds; NULL where not built */
const ts_kernels *ts_kernels_avx512(void);
const ts_kernels *ts_kernels_avx2(void);
const ts_kernels *ts_kernels_exact(void);
const ts_kernels *ts_kernels_plain(void);

#endif
