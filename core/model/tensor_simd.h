/* Private to core/model/tensor*.c, and the tables to the engine's kernels. */
#ifndef TS_MODEL_TENSOR_SIMD_H
#define TS_MODEL_TENSOR_SIMD_H

#include "core/model/tensor.h"

typedef void (*ts_dequantizer)(const unsigned char *src, float *dst, size_t n);
/* The vector versions of ts_dequantize. An entry that is NULL: use the plain one. */
extern const ts_dequantizer ts_dequantizers_avx2[TS_DTYPES], ts_dequantizers_avx512[TS_DTYPES];

/* The plain ones of the types with blocks of 256 (tensor_k.c). */
void ts_plain_q2_k(const unsigned char *src, float *dst, size_t n);
void ts_plain_q3_k(const unsigned char *src, float *dst, size_t n);
void ts_plain_q4_k(const unsigned char *src, float *dst, size_t n);
void ts_plain_q5_k(const unsigned char *src, float *dst, size_t n);
void ts_plain_q6_k(const unsigned char *src, float *dst, size_t n);
void ts_plain_iq4_xs(const unsigned char *src, float *dst, size_t n);

#endif
