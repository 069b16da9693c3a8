/* Vectors of LANES floats for kernels_body.h, on GCC's and clang's vector types; intrinsics only where the compilers do
 * not find the instruction themselves. Not for other files. */
#ifndef TS_ENGINE_SIMD_H
#define TS_ENGINE_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#define SPREAD(x)                                                                                                      \
    { x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x }
#elif defined(__AVX2__)
#define LANES 8
#define SPREAD(x)                                                                                                      \
    { x, x, x, x, x, x, x, x }
#else
#define LANES 4
#define SPREAD(x)                                                                                                      \
    { x, x, x, x }
#endif

typedef float vf __attribute__((vector_size(LANES * 4)));
typedef int32_t vi __attribute__((vector_size(LANES * 4)));
typedef uint32_t vu __attribute__((vector_size(LANES * 4)));
typedef float vf_any __attribute__((vector_size(LANES * 4), aligned(1), may_alias));

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

INLINE vf vf_set(float x) {
    return (vf)SPREAD(x);
}

INLINE vf vf_load(const void *p) {
    return *(const vf_any *)p;
}

INLINE void vf_store(void *p, vf x) {
    *(vf_any *)p = x;
}

/* The first n lanes; the others 0. */
INLINE vf vf_load_n(const void *p, size_t n) {
    vf x = vf_set(0);
    memcpy(&x, p, n * sizeof(float));
    return x;
}

INLINE void vf_store_n(void *p, vf x, size_t n) {
    memcpy(p, &x, n * sizeof(float));
}

INLINE vf vf_pick(vi mask, vf yes, vf no) {
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

/* a * b + c with one rounding where the processor has it. Written out where two pieces of code must give the same bits:
 * elsewhere the compiler decides what to fuse. */
INLINE vf vf_fma(vf a, vf b, vf c) {
#if LANES == 16
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif LANES == 8
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

INLINE vf vf_max(vf a, vf b) {
#if LANES == 16
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif LANES == 8
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
    return vf_pick(a > b, a, b);
#endif
}

INLINE vf vf_min(vf a, vf b) {
    return -vf_max(-a, -b);
}

/* Sums lanes in a fixed tree. */
INLINE float vf_sum(vf x) {
    float l[LANES];
    memcpy(l, &x, sizeof l);
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            l[i] += l[i + half];
    return l[0];
}

/* out[i] = sum of the lanes of a[i] for LANES vectors, each in the same fixed order. */
INLINE void vf_sums(const vf *a, float *out) {
#if LANES == 16
    __m512 t[8], u[4];
    UNROLL
    for (int i = 0; i < 8; i++) {
        __m512 x = (__m512)a[2 * i], y = (__m512)a[2 * i + 1];
        t[i] = _mm512_add_ps(_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y));
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        __m512d x = _mm512_castps_pd(t[2 * i]), y = _mm512_castps_pd(t[2 * i + 1]);
        u[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
    }
    __m512 v = _mm512_add_ps(_mm512_shuffle_f32x4(u[0], u[1], 0x88), _mm512_shuffle_f32x4(u[0], u[1], 0xdd));
    __m512 w = _mm512_add_ps(_mm512_shuffle_f32x4(u[2], u[3], 0x88), _mm512_shuffle_f32x4(u[2], u[3], 0xdd));
    _mm512_storeu_ps(out, _mm512_add_ps(_mm512_shuffle_f32x4(v, w, 0x88), _mm512_shuffle_f32x4(v, w, 0xdd)));
#elif LANES == 8
    __m256 t[4], u[2];
    UNROLL
    for (int i = 0; i < 4; i++) { /* vf_sum's tree: the upper half on the lower ... */
        __m256 x = (__m256)a[i], y = (__m256)a[i + 4];
        t[i] = _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
    }
    UNROLL
    for (int i = 0; i < 2; i++) /* ... two on two, for two vectors at once ... */
        u[i] = _mm256_add_ps(_mm256_shuffle_ps(t[2 * i], t[2 * i + 1], 0x44),
                             _mm256_shuffle_ps(t[2 * i], t[2 * i + 1], 0xee));
    /* ... and one on one, for four: those of a[0] to a[3] are in the lower half */
    _mm256_storeu_ps(out, _mm256_add_ps(_mm256_shuffle_ps(u[0], u[1], 0x88), _mm256_shuffle_ps(u[0], u[1], 0xdd)));
#else
    for (size_t i = 0; i < LANES; i++)
        out[i] = vf_sum(a[i]);
#endif
}

/* e^x within 2 units in the last place (Cephes' expf); 0 below -87.3, e^88.37 above 88.37; NaN stays (max and min give
 * their second operand then). */
INLINE vf vf_exp(vf x) {
    const vf magic = vf_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to a whole number */
    vi dead = x < vf_set(-87.3f);
    x = vf_min(vf_set(88.37f), vf_max(vf_set(-87.3f), x));
    vf t = x * vf_set(1.44269504088896341f) + magic, n = t - magic;
    vf r = x - n * vf_set(0.693359375f);
    r = r - n * vf_set(-2.12194440e-4f);
    vf p = vf_set(1.9875691500e-4f);
    p = p * r + vf_set(1.3981999507e-3f);
    p = p * r + vf_set(8.3334519073e-3f);
    p = p * r + vf_set(4.1665795894e-2f);
    p = p * r + vf_set(1.6666665459e-1f);
    p = p * r + vf_set(5.0000001201e-1f);
    p = p * (r * r) + r + vf_set(1);
    vi power = ((vi)t - (vi)magic + 127) << 23;
    return (vf)((vi)(p * (vf)power) & ~dead);
}

/* LANES numbers of a stored type. */
INLINE vf vf_from_f16(const uint8_t *p) {
#if LANES == 16
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
#elif LANES == 8
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
#else
    uint16_t h[LANES];
    memcpy(h, p, sizeof h);
    vu u = {h[0], h[1], h[2], h[3]}, size = (u & 0x7fff) << 13;
    vf f = (vf)size * vf_set(0x1p112f); /* the exponent's bias; small numbers come out right too */
    vu special = (vu)((u & 0x7fff) >= 0x7c00) & 0x7f800000;
    return (vf)((vu)f | special | (u & 0x8000) << 16);
#endif
}

INLINE vf vf_from_bf16(const uint8_t *p) {
#if LANES == 16
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p)), 16);
#elif LANES == 8
    return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p)), 16);
#else
    uint16_t h[LANES];
    memcpy(h, p, sizeof h);
    vu u = {h[0], h[1], h[2], h[3]};
    return (vf)(u << 16);
#endif
}

INLINE vf vf_from_i8(const uint8_t *p) {
#if LANES == 16
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
#elif LANES == 8
    return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p)));
#else
    int8_t q[LANES];
    memcpy(q, p, sizeof q);
    return (vf){q[0], q[1], q[2], q[3]};
#endif
}

/* LANES bytes as whole numbers. */
INLINE vi vi_from_u8(const uint8_t *p) {
#if LANES == 16
    return (vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
#elif LANES == 8
    return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p));
#else
    return (vi){p[0], p[1], p[2], p[3]};
#endif
}

INLINE vf vf_from_i32(vi x) {
#if LANES == 16
    return (vf)_mm512_cvtepi32_ps((__m512i)x);
#elif LANES == 8
    return (vf)_mm256_cvtepi32_ps((__m256i)x);
#else
    return (vf){(float)x[0], (float)x[1], (float)x[2], (float)x[3]};
#endif
}

/* All bits of lane i set where bit i of `bits` is. */
INLINE vi vi_bits(uint32_t bits) {
#if LANES == 16
    const vi lane = {1 << 0, 1 << 1, 1 << 2,  1 << 3,  1 << 4,  1 << 5,  1 << 6,  1 << 7,
                     1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15};
#elif LANES == 8
    const vi lane = {1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7};
#else
    const vi lane = {1 << 0, 1 << 1, 1 << 2, 1 << 3};
#endif
    return ((vi)SPREAD((int32_t)bits) & lane) == lane;
}

/* values[code] for codes from 0 to 15. */
INLINE vf vf_look_up(const int8_t *values, vi code) {
#if LANES == 16
    return (vf)_mm512_permutexvar_ps((__m512i)code, (__m512)vf_from_i8((const uint8_t *)values));
#elif LANES == 8
    /* a byte a lane: the code's value lands in the lowest byte, whose sign is then spread */
    __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)values));
    __m256i byte = _mm256_shuffle_epi8(table, (__m256i)code);
    return vf_from_i32((vi)byte << 24 >> 24);
#else
    return (vf){values[code[0]], values[code[1]], values[code[2]], values[code[3]]};
#endif
}

/* The same from 16 floats. */
INLINE vf vf_look_up_float(const float *values, vi code) {
#if LANES == 16
    return (vf)_mm512_permutexvar_ps((__m512i)code, (__m512)vf_load(values));
#elif LANES == 8
    /* an entry is picked by the three lowest bits of a code; the fourth, moved to the sign, says from which half */
    __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(values), (__m256i)code);
    __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(values + 8), (__m256i)code);
    return (vf)_mm256_blendv_ps(low, high, (__m256)(code << 28));
#else
    return (vf){values[code[0]], values[code[1]], values[code[2]], values[code[3]]};
#endif
}

#endif
