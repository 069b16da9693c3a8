/* The vector versions of ts_dequantize, private to core/model/tensor*.c. An entry that is NULL: use the plain one. */
#ifndef TS_MODEL_TENSOR_SIMD_H
#define TS_MODEL_TENSOR_SIMD_H

#include "core/model/tensor.h"

typedef void (*ts_dequantizer)(const unsigned char *src, float *dst, size_t n);
extern const ts_dequantizer ts_dequantizers_avx2[TS_DTYPES], ts_dequantizers_avx512[TS_DTYPES];

#endif
