/* A tensor as it lies in a file: a view, nothing is owned or converted. Conversion to f32 goes row by row.
 *
 * Block types (facts: ggml's ggml-common.h and ggml-quants.c). d and m are f16, q a weight's code. Blocks of 32
 * weights; byte j of the nibbles holds weight j low, j+16 high; bit i of the four bytes h is the fifth bit of weight i:
 * - Q4_0, 18 bytes: d, nibbles: d*(q-8)
 * - Q4_1, 20 bytes: d, m, nibbles: d*q + m
 * - Q5_0, 22 bytes: d, h, nibbles: d*(q-16)
 * - Q5_1, 24 bytes: d, m, h, nibbles: d*q + m
 * - Q8_0, 34 bytes: d, 32 int8: d*q
 * - IQ4_NL, 18 bytes: d, nibbles: d*v[q] with v from a table
 * - MXFP4, 17 bytes: exponent byte e, nibbles: 2^(e-128) times twice the 4-bit float q
 * NF4, which is in no file but made in memory (nf4.h), blocks of 64 weights, 36 bytes: a as f32, nibbles of the first
 * 32 as above, those of the others: a*v[q], rounded to f32 Blocks of 256 weights, in groups of 16 or 32 with scales s
 * and minima n of their own:
 * - Q2_K, 84 bytes: 16 of s and n, four bits each, 64 of 2-bit codes, d, m: d*s*q - m*n, by 16
 * - Q3_K, 110 bytes: 32 of third bits, 64 of 2-bit codes, 12 of 6-bit scales, d: d*(s-32)*(q-4), by 16
 * - Q4_K, 144 bytes: d, m, 12 of 6-bit scales and minima, 128 of nibbles: d*s*q - m*n, by 32
 * - Q5_K, 176 bytes: the same with 32 of fifth bits before the nibbles
 * - Q6_K, 210 bytes: 128 of nibbles, 64 of two high bits, 16 int8 scales, d: d*s*(q-32), by 16
 * - IQ4_XS, 136 bytes: d, 6 of 6-bit scales, 128 of nibbles: d*(s-32)*v[q], by 32 */
#ifndef TS_MODEL_TENSOR_H
#define TS_MODEL_TENSOR_H

#include "core/base/mem.h"

#include <string.h>

/* TS_DTYPES as a tensor's type: its file names a type that we cannot read (only ts_gguf gives such tensors). */
typedef enum ts_dtype {
    TS_F32,
    TS_F16,
    TS_BF16,
    TS_Q8_0,
    TS_Q4_0,
    TS_Q4_1,
    TS_Q5_0,
    TS_Q5_1,
    TS_IQ4_NL,
    TS_MXFP4,
    TS_Q2_K,
    TS_Q3_K,
    TS_Q4_K,
    TS_Q5_K,
    TS_Q6_K,
    TS_IQ4_XS,
    TS_NF4,
    TS_DTYPES,
    TS_FILE_DTYPES = TS_NF4 /* those before it are found in files */
} ts_dtype;

typedef struct ts_tensor {
    const char *name; /* borrowed from the file */
    ts_dtype type;
    int n_dims;       /* 0 to 4 */
    size_t dims[4];   /* outermost first, as in Hugging Face: a linear is [out, in] */
    const void *data; /* may be unaligned */
    size_t bytes;
} ts_tensor;

const char *ts_dtype_name(ts_dtype t); /* "f32", "q4_1", ...; "unknown" for TS_DTYPES */
size_t ts_dtype_block(ts_dtype t);     /* weights in a block: 1, 32, 64 or 256 */
/* "f32, f16, ..., iq4_xs": all that files have, for messages; returns out. */
const char *ts_dtype_list(char *out, size_t size);
uint32_t ts_dtype_ggml(ts_dtype t);            /* its number in GGUF files; not of NF4 */
ts_dtype ts_dtype_from_ggml(uint32_t number);  /* TS_DTYPES when it is none of ours */
ts_dtype ts_dtype_from_name(const char *name); /* "q8_0" to TS_Q8_0; TS_DTYPES when it is none of ours */
/* Bytes of a row of n weights; 0 when n is not a whole number of blocks or the size overflows. */
size_t ts_row_bytes(ts_dtype t, size_t n);
/* Converts n weights (whole blocks) at src to f32. All products are exact (an f16 has 11 bits, scale and
 * code together at most 12; only NF4's round), so only the sum with a minimum rounds, and fused or not gives the same
 * bits. Any alignment
 * of src; src and dst do not overlap. Any thread. */
void ts_dequantize(ts_dtype t, const void *src, float *dst, size_t n);

/* The same with the instructions of one level, which must be at most ts_simd_best(). All levels give the same bits;
 * TS_PLAIN is the obvious version that the others are tested against. */
typedef enum ts_simd { TS_PLAIN, TS_AVX2, TS_AVX512 } ts_simd;
ts_simd ts_simd_best(void);
const char *ts_simd_name(ts_simd level);
void ts_dequantize_with(ts_simd level, ts_dtype t, const void *src, float *dst, size_t n);

/* What a 4-bit code of IQ4_NL and IQ4_XS, and one of MXFP4 stands for; MXFP4's scale. */
extern const int8_t ts_iq4_values[16], ts_fp4_values[16];
extern const float ts_nf4_values[16];
float ts_e8m0_half(uint8_t e);

float ts_f16_to_f32(uint16_t h); /* a signalling NaN becomes a quiet one, as the CPU's own conversion does */
static inline float ts_bf16_to_f32(uint16_t h) { /* inline: loops over weights are vectorised around it */
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
uint16_t ts_f32_to_f16(float f);  /* round to nearest even */
uint16_t ts_f32_to_bf16(float f); /* round to nearest even, NaN stays NaN */
/* Stochastic rounding: of the two bf16 numbers around f the one away from zero when the share of the way that f has
 * gone to it is above random / 65536. Over all `random` the mean is f itself; what bf16 can hold stays, so does NaN. */
uint16_t ts_f32_to_bf16_stochastic(float f, uint16_t random);

#endif
