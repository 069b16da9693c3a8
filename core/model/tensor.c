#include "core/model/tensor.h"

#include "core/model/tensor_simd.h"

#include <string.h>

static const struct {
    const char *name;
    uint32_t ggml; /* its number in GGUF files */
    size_t block, bytes;
} types[TS_DTYPES] = {
    [TS_F32] = {"f32", 0, 1, 4},     [TS_F16] = {"f16", 1, 1, 2},     [TS_BF16] = {"bf16", 30, 1, 2},
    [TS_Q8_0] = {"q8_0", 8, 32, 34}, [TS_Q4_0] = {"q4_0", 2, 32, 18}, [TS_Q4_1] = {"q4_1", 3, 32, 20},
};

const char *ts_dtype_name(ts_dtype t) {
    return t < TS_DTYPES ? types[t].name : "unknown";
}

size_t ts_dtype_block(ts_dtype t) {
    return t < TS_DTYPES ? types[t].block : 1;
}

uint32_t ts_dtype_ggml(ts_dtype t) {
    ts_assert(t < TS_DTYPES);
    return types[t].ggml;
}

ts_dtype ts_dtype_from_ggml(uint32_t number) {
    ts_dtype t = 0;
    while (t < TS_DTYPES && types[t].ggml != number)
        t++;
    return t;
}

ts_dtype ts_dtype_from_name(const char *name) {
    ts_dtype t = 0;
    while (t < TS_DTYPES && strcmp(types[t].name, name) != 0)
        t++;
    return t;
}

size_t ts_row_bytes(ts_dtype t, size_t n) {
    size_t bytes;
    if (t >= TS_DTYPES || n % types[t].block != 0 || !ts_mul(n / types[t].block, types[t].bytes, &bytes)) return 0;
    return bytes;
}

static float from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t to_bits(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static uint16_t load16(const unsigned char *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

float ts_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ff;
    if (exponent == 0) return from_bits(sign | to_bits((float)mantissa * 0x1p-24f));
    if (exponent == 31) return from_bits(sign | 0x7f800000 | mantissa << 13 | (mantissa ? 0x400000 : 0));
    return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

float ts_bf16_to_f32(uint16_t h) {
    return from_bits((uint32_t)h << 16);
}

uint16_t ts_f32_to_f16(float f) {
    uint32_t x = to_bits(f), sign = x >> 16 & 0x8000;
    x &= 0x7fffffff;
    if (x > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (x >> 13 & 0x3ff));
    if (x >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520 and more round to infinity */
    /* below 2^-14 the result counts in steps of 2^-24, which is what a float in [.5, 1) holds: the addition rounds */
    if (x < 0x38800000) return (uint16_t)(sign | (to_bits(from_bits(x) + 0.5f) - to_bits(0.5f)));
    x += 0xfff + (x >> 13 & 1); /* half a step, ties to even */
    return (uint16_t)(sign | ((x >> 13) - (112u << 10)));
}

uint16_t ts_f32_to_bf16(float f) {
    uint32_t x = to_bits(f);
    if ((x & 0x7fffffff) > 0x7f800000) return (uint16_t)(x >> 16 | 0x40);
    return (uint16_t)((x + 0x7fff + (x >> 16 & 1)) >> 16);
}

static void plain_f16(const unsigned char *src, float *dst, size_t n) {
    for (size_t i = 0; i < n; i++)
        dst[i] = ts_f16_to_f32(load16(src + 2 * i));
}

static void plain_bf16(const unsigned char *src, float *dst, size_t n) {
    for (size_t i = 0; i < n; i++)
        dst[i] = ts_bf16_to_f32(load16(src + 2 * i));
}

static void plain_q8_0(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 34, dst += 32) {
        float d = ts_f16_to_f32(load16(src));
        for (size_t j = 0; j < 32; j++)
            dst[j] = d * (float)(int8_t)src[2 + j];
    }
}

static void plain_q4_0(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 18, dst += 32) {
        float d = ts_f16_to_f32(load16(src));
        for (size_t j = 0; j < 16; j++) {
            dst[j] = d * (float)((src[2 + j] & 15) - 8);
            dst[j + 16] = d * (float)((src[2 + j] >> 4) - 8);
        }
    }
}

static void plain_q4_1(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 20, dst += 32) {
        float d = ts_f16_to_f32(load16(src)), m = ts_f16_to_f32(load16(src + 2));
        for (size_t j = 0; j < 16; j++) {
            dst[j] = d * (float)(src[4 + j] & 15) + m;
            dst[j + 16] = d * (float)(src[4 + j] >> 4) + m;
        }
    }
}

static void copy_f32(const unsigned char *src, float *dst, size_t n) {
    if (n) memcpy(dst, src, n * sizeof *dst);
}

static const ts_dequantizer plain[TS_DTYPES] = {
    [TS_F32] = copy_f32,    [TS_F16] = plain_f16,   [TS_BF16] = plain_bf16,
    [TS_Q8_0] = plain_q8_0, [TS_Q4_0] = plain_q4_0, [TS_Q4_1] = plain_q4_1,
};

void ts_dequantize_with(ts_simd level, ts_dtype t, const void *src, float *dst, size_t n) {
    ts_assert(t < TS_DTYPES && n % types[t].block == 0);
    ts_dequantizer f = level == TS_AVX512 ? ts_dequantizers_avx512[t]
                       : level == TS_AVX2 ? ts_dequantizers_avx2[t]
                                          : NULL;
    (f ? f : plain[t])(src, dst, n);
}

void ts_dequantize(ts_dtype t, const void *src, float *dst, size_t n) {
    ts_dequantize_with(ts_simd_best(), t, src, dst, n);
}

const char *ts_simd_name(ts_simd level) {
    return level == TS_AVX512 ? "AVX-512" : level == TS_AVX2 ? "AVX2" : "plain C";
}
