#include "core/model/tensor.h"

#include "core/model/tensor_simd.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t ggml; /* its number in GGUF files */
    size_t block, bytes;
} types[TS_DTYPES] = {
    [TS_F32] = {"f32", 0, 1, 4},          [TS_F16] = {"f16", 1, 1, 2},
    [TS_BF16] = {"bf16", 30, 1, 2},       [TS_Q8_0] = {"q8_0", 8, 32, 34},
    [TS_Q4_0] = {"q4_0", 2, 32, 18},      [TS_Q4_1] = {"q4_1", 3, 32, 20},
    [TS_Q5_0] = {"q5_0", 6, 32, 22},      [TS_Q5_1] = {"q5_1", 7, 32, 24},
    [TS_IQ4_NL] = {"iq4_nl", 20, 32, 18}, [TS_MXFP4] = {"mxfp4", 39, 32, 17},
    [TS_Q2_K] = {"q2_k", 10, 256, 84},    [TS_Q3_K] = {"q3_k", 11, 256, 110},
    [TS_Q4_K] = {"q4_k", 12, 256, 144},   [TS_Q5_K] = {"q5_k", 13, 256, 176},
    [TS_Q6_K] = {"q6_k", 14, 256, 210},   [TS_IQ4_XS] = {"iq4_xs", 23, 256, 136},
    [TS_NF4] = {"nf4", 0, 64, 36},
};

const char *ts_dtype_name(ts_dtype t) {
    return t < TS_DTYPES ? types[t].name : "unknown";
}

const char *ts_dtype_list(char *out, size_t size) {
    size_t n = 0;
    for (ts_dtype t = 0; t < TS_FILE_DTYPES && n < size; t++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", t ? ", " : "", types[t].name);
    return out;
}

size_t ts_dtype_block(ts_dtype t) {
    return t < TS_DTYPES ? types[t].block : 1;
}

uint32_t ts_dtype_ggml(ts_dtype t) {
    ts_assert(t < TS_FILE_DTYPES);
    return types[t].ggml;
}

ts_dtype ts_dtype_from_ggml(uint32_t number) {
    ts_dtype t = 0;
    while (t < TS_FILE_DTYPES && types[t].ggml != number)
        t++;
    return t < TS_FILE_DTYPES ? t : TS_DTYPES;
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

/* The upper half is the number towards zero, the lower one the share: 16 more random bits carry into it that often. */
uint16_t ts_f32_to_bf16_stochastic(float f, uint16_t random) {
    uint32_t x = to_bits(f);
    if ((x & 0x7fffffff) > 0x7f800000) return (uint16_t)(x >> 16 | 0x40);
    return (uint16_t)((x + random) >> 16);
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

/* Two 4-bit types that look a code's value up. iq4_nl's values lie closer around 0; mxfp4's are twice the floats of one
 * sign, two exponent and one mantissa bit. (Facts: ggml-common.h.) */
const int8_t ts_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
const int8_t ts_fp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* 2^(e-128); the two smallest are below f32's normal numbers. */
float ts_e8m0_half(uint8_t e) {
    return from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

static void look_up(const unsigned char *codes, float d, const int8_t *values, float *dst) {
    for (size_t j = 0; j < 16; j++) {
        dst[j] = d * (float)values[codes[j] & 15];
        dst[j + 16] = d * (float)values[codes[j] >> 4];
    }
}

static void plain_iq4_nl(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 18, dst += 32)
        look_up(src + 2, ts_f16_to_f32(load16(src)), ts_iq4_values, dst);
}

static void plain_mxfp4(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 17, dst += 32)
        look_up(src + 1, ts_e8m0_half(src[0]), ts_fp4_values, dst);
}

/* bitsandbytes' functional.py: the quantiles of a normal distribution, scaled to +-1, with 0 among them. */
const float ts_nf4_values[16] = {-1.0F,
                                 -0.6961928009986877F,
                                 -0.5250730514526367F,
                                 -0.39491748809814453F,
                                 -0.28444138169288635F,
                                 -0.18477343022823334F,
                                 -0.09105003625154495F,
                                 0.0F,
                                 0.07958029955625534F,
                                 0.16093020141124725F,
                                 0.24611230194568634F,
                                 0.33791524171829224F,
                                 0.44070982933044434F,
                                 0.5626170039176941F,
                                 0.7229568362236023F,
                                 1.0F};

static void plain_nf4(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 36) {
        float a;
        memcpy(&a, src, sizeof a);
        for (size_t half = 0; half < 2; half++, dst += 32)
            for (size_t j = 0; j < 16; j++) {
                unsigned char both = src[4 + half * 16 + j];
                dst[j] = a * ts_nf4_values[both & 15];
                dst[j + 16] = a * ts_nf4_values[both >> 4];
            }
    }
}

static uint32_t load32(const unsigned char *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void plain_q5_0(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 22, dst += 32) {
        float d = ts_f16_to_f32(load16(src));
        uint32_t fifth = load32(src + 2);
        for (size_t j = 0; j < 16; j++) {
            dst[j] = d * (float)((int)((src[6 + j] & 15) | (fifth >> j & 1) << 4) - 16);
            dst[j + 16] = d * (float)((int)(src[6 + j] >> 4 | (fifth >> (j + 16) & 1) << 4) - 16);
        }
    }
}

static void plain_q5_1(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 24, dst += 32) {
        float d = ts_f16_to_f32(load16(src)), m = ts_f16_to_f32(load16(src + 2));
        uint32_t fifth = load32(src + 4);
        for (size_t j = 0; j < 16; j++) {
            dst[j] = d * (float)((src[8 + j] & 15) | (fifth >> j & 1) << 4) + m;
            dst[j + 16] = d * (float)(src[8 + j] >> 4 | (fifth >> (j + 16) & 1) << 4) + m;
        }
    }
}

static void copy_f32(const unsigned char *src, float *dst, size_t n) {
    if (n) memcpy(dst, src, n * sizeof *dst);
}

static const ts_dequantizer plain[TS_DTYPES] = {
    [TS_F32] = copy_f32,        [TS_F16] = plain_f16,      [TS_BF16] = plain_bf16,    [TS_Q8_0] = plain_q8_0,
    [TS_Q4_0] = plain_q4_0,     [TS_Q4_1] = plain_q4_1,    [TS_Q5_0] = plain_q5_0,    [TS_Q5_1] = plain_q5_1,
    [TS_IQ4_NL] = plain_iq4_nl, [TS_MXFP4] = plain_mxfp4,  [TS_Q2_K] = ts_plain_q2_k, [TS_Q3_K] = ts_plain_q3_k,
    [TS_Q4_K] = ts_plain_q4_k,  [TS_Q5_K] = ts_plain_q5_k, [TS_Q6_K] = ts_plain_q6_k, [TS_IQ4_XS] = ts_plain_iq4_xs,
    [TS_NF4] = plain_nf4,
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
