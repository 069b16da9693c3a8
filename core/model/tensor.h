/* A tensor as it lies in a file: a view, nothing is owned or converted. Conversion to f32 goes row by row.
 *
 * Block types (facts: ggml): Q4_0 18 bytes for 32 weights (f16 d; byte j holds weight j low, j+16 high; d*(q-8)), Q4_1
 * 20 bytes (f16 d, f16 m; d*q+m), Q8_0 34 bytes (f16 d, 32 int8; d*q). */
#ifndef TS_MODEL_TENSOR_H
#define TS_MODEL_TENSOR_H

#include "core/base/mem.h"

/* TS_DTYPES as a tensor's type: its file names a type that we cannot read (only ts_gguf gives such tensors). */
typedef enum ts_dtype { TS_F32, TS_F16, TS_BF16, TS_Q8_0, TS_Q4_0, TS_Q4_1, TS_DTYPES } ts_dtype;

typedef struct ts_tensor {
    const char *name; /* borrowed from the file */
    ts_dtype type;
    int n_dims;       /* 0 to 4 */
    size_t dims[4];   /* outermost first, as in Hugging Face: a linear is [out, in] */
    const void *data; /* may be unaligned */
    size_t bytes;
} ts_tensor;

const char *ts_dtype_name(ts_dtype t);         /* "f32", "q4_1", ...; "unknown" for TS_DTYPES */
size_t ts_dtype_block(ts_dtype t);             /* weights in a block: 1 or 32 */
uint32_t ts_dtype_ggml(ts_dtype t);            /* its number in GGUF files */
ts_dtype ts_dtype_from_ggml(uint32_t number);  /* TS_DTYPES when it is none of ours */
ts_dtype ts_dtype_from_name(const char *name); /* "q8_0" to TS_Q8_0; TS_DTYPES when it is none of ours */
/* Bytes of a row of n weights; 0 when n is not a whole number of blocks or the size overflows. */
size_t ts_row_bytes(ts_dtype t, size_t n);
/* Converts n weights (whole blocks) at src to f32. Exact: d*q needs no rounding (11 + 7 bits), d*q+m one. Any alignment
 * of src; src and dst do not overlap. Any thread. */
void ts_dequantize(ts_dtype t, const void *src, float *dst, size_t n);

/* The same with the instructions of one level, which must be at most ts_simd_best(). All levels give the same bits;
 * TS_PLAIN is the obvious version that the others are tested against. */
typedef enum ts_simd { TS_PLAIN, TS_AVX2, TS_AVX512 } ts_simd;
ts_simd ts_simd_best(void);
const char *ts_simd_name(ts_simd level);
void ts_dequantize_with(ts_simd level, ts_dtype t, const void *src, float *dst, size_t n);

float ts_f16_to_f32(uint16_t h); /* a signalling NaN becomes a quiet one, as the CPU's own conversion does */
float ts_bf16_to_f32(uint16_t h);
uint16_t ts_f32_to_f16(float f);  /* round to nearest even */
uint16_t ts_f32_to_bf16(float f); /* round to nearest even, NaN stays NaN */

#endif
