/* Compiled for the build's base CPU; each function names the instructions it needs and is called only where
 * ts_simd_best() found them. Products d*q are exact in f32, so multiply-then-add and a fused one give the same bits. */
#include "core/model/tensor_simd.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2,f16c")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx2,f16c,fma")))

ts_simd ts_simd_best(void) {
    if (!__builtin_cpu_supports("avx2")) return TS_PLAIN; /* F16C is older: every CPU with AVX2 has it */
    bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
    return wide ? TS_AVX512 : TS_AVX2;
}

/* An f16 at any address. */
AVX2 static inline float half(const unsigned char *p) {
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return _cvtsh_ss(h);
}

AVX2 static void f16_avx2(const unsigned char *src, float *dst, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(src + 2 * i))));
    for (; i < n; i++)
        dst[i] = half(src + 2 * i);
}

AVX2 static void bf16_avx2(const unsigned char *src, float *dst, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i w = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(src + 2 * i)));
        _mm256_storeu_ps(dst + i, _mm256_castsi256_ps(_mm256_slli_epi32(w, 16)));
    }
    for (; i < n; i++) {
        uint16_t h;
        memcpy(&h, src + 2 * i, sizeof h);
        dst[i] = ts_bf16_to_f32(h);
    }
}

AVX2 static void q8_0_avx2(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 34, dst += 32) {
        __m256 d = _mm256_set1_ps(half(src));
        for (size_t j = 0; j < 32; j += 8) {
            __m256i q = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(src + 2 + j)));
            _mm256_storeu_ps(dst + j, _mm256_mul_ps(d, _mm256_cvtepi32_ps(q)));
        }
    }
}

/* 16 codes, one a byte, as f32: first eight, last eight. */
AVX2 static inline void widen(__m128i codes, __m256 *first, __m256 *last) {
    *first = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes));
    *last = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(codes, 8)));
}

AVX2 static void q4_0_avx2(const unsigned char *src, float *dst, size_t n) {
    const __m128i mask = _mm_set1_epi8(15), eight = _mm_set1_epi8(8);
    for (const float *end = dst + n; dst < end; src += 18, dst += 32) {
        __m256 d = _mm256_set1_ps(half(src)), v[4];
        __m128i packed = _mm_loadu_si128((const __m128i *)(const void *)(src + 2));
        widen(_mm_sub_epi8(_mm_and_si128(packed, mask), eight), v, v + 1);
        widen(_mm_sub_epi8(_mm_and_si128(_mm_srli_epi16(packed, 4), mask), eight), v + 2, v + 3);
        for (size_t j = 0; j < 4; j++)
            _mm256_storeu_ps(dst + 8 * j, _mm256_mul_ps(d, v[j]));
    }
}

AVX2 static void q4_1_avx2(const unsigned char *src, float *dst, size_t n) {
    const __m128i mask = _mm_set1_epi8(15);
    for (const float *end = dst + n; dst < end; src += 20, dst += 32) {
        __m256 d = _mm256_set1_ps(half(src)), m = _mm256_set1_ps(half(src + 2)), v[4];
        __m128i packed = _mm_loadu_si128((const __m128i *)(const void *)(src + 4));
        widen(_mm_and_si128(packed, mask), v, v + 1);
        widen(_mm_and_si128(_mm_srli_epi16(packed, 4), mask), v + 2, v + 3);
        for (size_t j = 0; j < 4; j++)
            _mm256_storeu_ps(dst + 8 * j, _mm256_add_ps(_mm256_mul_ps(d, v[j]), m));
    }
}

AVX512 static void f16_avx512(const unsigned char *src, float *dst, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(dst + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(src + 2 * i))));
    f16_avx2(src + 2 * i, dst + i, n - i);
}

AVX512 static void bf16_avx512(const unsigned char *src, float *dst, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512i w = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(src + 2 * i)));
        _mm512_storeu_ps(dst + i, _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)));
    }
    bf16_avx2(src + 2 * i, dst + i, n - i);
}

AVX512 static void q8_0_avx512(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 34, dst += 32) {
        __m512 d = _mm512_set1_ps(half(src));
        for (size_t j = 0; j < 32; j += 16) {
            __m512i q = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(src + 2 + j)));
            _mm512_storeu_ps(dst + j, _mm512_mul_ps(d, _mm512_cvtepi32_ps(q)));
        }
    }
}

/* The 16 values a block can hold sit in one register; each code picks its own (the permutation looks at the low four
 * bits only, so the low nibbles need no mask). */
AVX512 static inline void pick(const unsigned char *codes, __m512 values, float *dst) {
    __m512i low = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)codes));
    _mm512_storeu_ps(dst, _mm512_permutexvar_ps(low, values));
    _mm512_storeu_ps(dst + 16, _mm512_permutexvar_ps(_mm512_srli_epi32(low, 4), values));
}

AVX512 static void q4_0_avx512(const unsigned char *src, float *dst, size_t n) {
    const __m512 steps = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    for (const float *end = dst + n; dst < end; src += 18, dst += 32)
        pick(src + 2, _mm512_mul_ps(_mm512_set1_ps(half(src)), steps), dst);
}

AVX512 static void q4_1_avx512(const unsigned char *src, float *dst, size_t n) {
    const __m512 steps = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (const float *end = dst + n; dst < end; src += 20, dst += 32)
        pick(src + 4, _mm512_fmadd_ps(_mm512_set1_ps(half(src)), steps, _mm512_set1_ps(half(src + 2))), dst);
}

const ts_dequantizer ts_dequantizers_avx2[TS_DTYPES] = {
    [TS_F16] = f16_avx2, [TS_BF16] = bf16_avx2, [TS_Q8_0] = q8_0_avx2, [TS_Q4_0] = q4_0_avx2, [TS_Q4_1] = q4_1_avx2,
};
const ts_dequantizer ts_dequantizers_avx512[TS_DTYPES] = {
    [TS_F16] = f16_avx512,   [TS_BF16] = bf16_avx512, [TS_Q8_0] = q8_0_avx512,
    [TS_Q4_0] = q4_0_avx512, [TS_Q4_1] = q4_1_avx512,
};

#else

ts_simd ts_simd_best(void) {
    return TS_PLAIN;
}
const ts_dequantizer ts_dequantizers_avx2[TS_DTYPES], ts_dequantizers_avx512[TS_DTYPES];

#endif
