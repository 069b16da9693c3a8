/* Stored types to vectors of f32, for kernels_body.h; layouts and formulas: core/model/tensor.h.
 *
 * A block is taken in groups of 32 weights, which is what a panel of TS_PANEL columns needs of a row. The scales of all
 * groups of a block are made first, d[i] and m[i] for weights i * SPAN and on: w = d * code + m. All products are
 * exact, so it does not matter what is fused. */
#ifndef TS_ENGINE_KERNELS_TYPES_H
#define TS_ENGINE_KERNELS_TYPES_H

#include "core/engine/simd.h"

static float f16_at(const uint8_t *p) {
#if LANES > 4
    uint16_t h;
    memcpy(&h, p, 2);
    return _cvtsh_ss(h);
#else
    uint8_t four[8] = {p[0], p[1]};
    return vf_from_f16(four)[0];
#endif
}

typedef struct scales {
    float d[16], m[16];
} scales;

INLINE size_t block_weights(ts_dtype t) {
    return t == TS_NF4 ? 64 : t >= TS_Q2_K ? 256 : 32;
}

INLINE size_t block_bytes(ts_dtype t) {
    static const unsigned short bytes[TS_DTYPES] = {
        [TS_Q8_0] = 34,   [TS_Q4_0] = 18,  [TS_Q4_1] = 20,    [TS_Q5_0] = 22,  [TS_Q5_1] = 24,
        [TS_IQ4_NL] = 18, [TS_MXFP4] = 17, [TS_Q2_K] = 84,    [TS_Q3_K] = 110, [TS_Q4_K] = 144,
        [TS_Q5_K] = 176,  [TS_Q6_K] = 210, [TS_IQ4_XS] = 136, [TS_NF4] = 36};
    return bytes[t];
}

/* Weights that share a scale. */
INLINE size_t span(ts_dtype t) {
    return t == TS_Q2_K || t == TS_Q3_K || t == TS_Q6_K ? 16 : 32;
}

/* Rows that a product with one vector takes at a time. The sum of a row is a chain of additions that wait for each
 * other, so with AVX2 two rows of a type whose decoding is the work go together (Q4_1 13 -> 19 GF/s, one core). Types
 * of more bits wait for the memory, of which two rows are two places: Q8_0 would fall from 13 to 8, and with AVX-512,
 * whose chains are half as long, Q4_1 from 91 to 67 tok/s. Two sums a row or prefetching gain nothing. */
enum { MOST_ROWS = LANES == 16 ? 1 : 2 };

INLINE size_t rows_at_once(ts_dtype t) {
    return t >= TS_Q8_0 && block_bytes(t) * 8 < block_weights(t) * 6 ? MOST_ROWS : 1;
}

INLINE bool has_min(ts_dtype t) {
    return t == TS_Q4_1 || t == TS_Q5_1 || t == TS_Q2_K || t == TS_Q4_K || t == TS_Q5_K;
}

/* out[i] = f * code i for 16 (signed) bytes. */
INLINE void times(float f, const int8_t *code, size_t n, float *out) {
    for (size_t i = 0; i < n; i += LANES) {
#if LANES == 16
        vf v = vf_from_i8((const uint8_t *)code + i);
        if (n < LANES)
            _mm256_storeu_ps(out, _mm512_castps512_ps256((__m512)(v * vf_set(f))));
        else
#else
        vf v = vf_from_i8((const uint8_t *)code + i);
#endif
            vf_store(out + i, v * vf_set(f));
    }
}

/* The 6-bit scales and mins of Q4_K and Q5_K, four at a time in a word: the first four of each as they lie, the last
 * four from low nibbles, high nibbles and the top bits of the first eight bytes. */
INLINE void scales_mins(const uint8_t *p, int8_t *scale, int8_t *min) {
    uint32_t a, b, c, out[4];
    memcpy(&a, p, 4);
    memcpy(&b, p + 4, 4);
    memcpy(&c, p + 8, 4);
    out[0] = a & 0x3f3f3f3f;
    out[1] = (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030);
    out[2] = b & 0x3f3f3f3f;
    out[3] = (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030);
    memcpy(scale, out, 8);
    memcpy(min, out + 2, 8);
}

/* The 6-bit scales of Q3_K less 32: 16 nibbles, and two bits of each from the last word. */
INLINE void scales_q3(const uint8_t *p, int8_t *scale) {
    uint32_t a, b, c, out[4];
    memcpy(&a, p, 4);
    memcpy(&b, p + 4, 4);
    memcpy(&c, p + 8, 4);
    out[0] = (a & 0x0f0f0f0f) | (c << 4 & 0x30303030);
    out[1] = (b & 0x0f0f0f0f) | (c << 2 & 0x30303030);
    out[2] = (a >> 4 & 0x0f0f0f0f) | (c & 0x30303030);
    out[3] = (b >> 4 & 0x0f0f0f0f) | (c >> 2 & 0x30303030);
    memcpy(scale, out, 16);
    for (size_t i = 0; i < 16; i++)
        scale[i] = (int8_t)(scale[i] - 32);
}

INLINE void scales_iq4_xs(const uint8_t *p, int8_t *scale) {
    unsigned high = p[0] | (unsigned)p[1] << 8;
    for (size_t g = 0; g < 8; g++)
        scale[g] = (int8_t)((p[2 + g / 2] >> (g % 2 * 4) & 15) + (high >> (2 * g) & 3) * 16 - 32);
}

INLINE void block_scales(ts_dtype t, const uint8_t *p, scales *s) {
    int8_t scale[16], min[16];
    switch (t) {
    case TS_MXFP4:
        s->d[0] = ts_e8m0_half(p[0]);
        break;
    case TS_NF4:
        memcpy(s->d, p, 4);
        s->d[1] = s->d[0];
        break;
    case TS_Q4_1:
    case TS_Q5_1:
        s->d[0] = f16_at(p);
        s->m[0] = f16_at(p + 2);
        break;
    case TS_Q2_K:
        for (size_t i = 0; i < 16; i++) {
            scale[i] = p[i] & 15;
            min[i] = (int8_t)(p[i] >> 4);
        }
        times(f16_at(p + 80), scale, 16, s->d);
        times(-f16_at(p + 82), min, 16, s->m);
        break;
    case TS_Q3_K:
        scales_q3(p + 96, scale);
        times(f16_at(p + 108), scale, 16, s->d);
        break;
    case TS_Q4_K:
    case TS_Q5_K:
        scales_mins(p + 4, scale, min);
        times(f16_at(p), scale, 8, s->d);
        times(-f16_at(p + 2), min, 8, s->m);
        break;
    case TS_Q6_K:
        times(f16_at(p + 208), (const int8_t *)p + 192, 16, s->d);
        break;
    case TS_IQ4_XS:
        scales_iq4_xs(p + 2, scale);
        times(f16_at(p), scale, 8, s->d);
        break;
    default:
        s->d[0] = f16_at(p);
    }
}

/* Where the LANES bytes of vector v of group g are that hold the codes' low bits, and by how much to shift them. */
INLINE vi low_bits(ts_dtype t, const uint8_t *p, size_t g, size_t v) {
    const size_t at = v * LANES, in_half = at % 16;
    const int high = at >= 16 ? 4 : 0;
    switch (t) {
    case TS_Q4_0:
    case TS_IQ4_NL:
        return vi_from_u8(p + 2 + in_half) >> high & 15;
    case TS_MXFP4:
        return vi_from_u8(p + 1 + in_half) >> high & 15;
    case TS_Q4_1:
        return vi_from_u8(p + 4 + in_half) >> high & 15;
    case TS_NF4:
        return vi_from_u8(p + 4 + g * 16 + in_half) >> high & 15;
    case TS_Q5_0:
        return vi_from_u8(p + 6 + in_half) >> high & 15;
    case TS_Q5_1:
        return vi_from_u8(p + 8 + in_half) >> high & 15;
    case TS_Q2_K:
        return vi_from_u8(p + 16 + g / 4 * 32 + at) >> (int)(g % 4 * 2) & 3;
    case TS_Q3_K:
        return vi_from_u8(p + 32 + g / 4 * 32 + at) >> (int)(g % 4 * 2) & 3;
    case TS_Q4_K:
        return vi_from_u8(p + 16 + g / 2 * 32 + at) >> (int)(g % 2 * 4) & 15;
    case TS_Q5_K:
        return vi_from_u8(p + 48 + g / 2 * 32 + at) >> (int)(g % 2 * 4) & 15;
    case TS_Q6_K:
        return vi_from_u8(p + g / 4 * 64 + g % 2 * 32 + at) >> (int)(g % 4 / 2 * 4) & 15;
    default: /* TS_IQ4_XS */
        return vi_from_u8(p + 8 + g * 16 + in_half) >> high & 15;
    }
}

/* The codes' value before the scale; the higher bits come from a place of their own. */
INLINE vf codes(ts_dtype t, const uint8_t *p, size_t g, size_t v) {
    const size_t at = v * LANES;
    vi low, high;
    uint32_t fifth;
    if (t == TS_Q8_0) return vf_from_i8(p + 2 + at);
    low = low_bits(t, p, g, v);
    switch (t) {
    case TS_Q4_0:
        return vf_from_i32(low - 8);
    case TS_Q5_0:
    case TS_Q5_1:
        memcpy(&fifth, p + (t == TS_Q5_0 ? 2 : 4), 4);
        low += vi_bits(fifth >> at) & 16;
        return vf_from_i32(t == TS_Q5_0 ? low - 16 : low);
    case TS_IQ4_NL:
    case TS_IQ4_XS:
        return vf_look_up(ts_iq4_values, low);
    case TS_MXFP4:
        return vf_look_up(ts_fp4_values, low);
    case TS_NF4:
        return vf_look_up_float(ts_nf4_values, low);
    case TS_Q3_K:
        high = vi_from_u8(p + at) >> (int)g << 2 & 4;
        return vf_from_i32(low + high - 4);
    case TS_Q5_K:
        high = vi_from_u8(p + 16 + at) >> (int)g << 4 & 16;
        return vf_from_i32(low + high);
    case TS_Q6_K:
        high = vi_from_u8(p + 128 + g / 4 * 32 + at) >> (int)(g % 4 * 2) << 4 & 48;
        return vf_from_i32(low + high - 32);
    default:
        return vf_from_i32(low);
    }
}

#if LANES == 16
/* Types of four bits: the 16 values that a group can hold sit in one register and each code picks its own. */
INLINE bool by_table(ts_dtype t) {
    return t == TS_Q4_0 || t == TS_Q4_1 || t == TS_IQ4_NL || t == TS_MXFP4 || t == TS_NF4 || t == TS_Q4_K ||
           t == TS_IQ4_XS;
}

INLINE vf steps(ts_dtype t) {
    const vf count = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    if (t == TS_Q4_0) return count - 8;
    if (t == TS_NF4) return vf_load(ts_nf4_values);
    if (t == TS_IQ4_NL || t == TS_IQ4_XS) return vf_from_i8((const uint8_t *)ts_iq4_values);
    return t == TS_MXFP4 ? vf_from_i8((const uint8_t *)ts_fp4_values) : count;
}
#endif

/* Vector v of group g, whose block's scales are s. */
INLINE vf group_vector(ts_dtype t, const uint8_t *p, size_t g, size_t v, const scales *s) {
    const size_t i = (g * 32 + v * LANES) / span(t);
    vf d = vf_set(s->d[i]), m = vf_set(has_min(t) ? s->m[i] : 0);
#if LANES == 16
    if (by_table(t)) {
        vf table = has_min(t) ? d * steps(t) + m : d * steps(t);
        return (vf)_mm512_permutexvar_ps((__m512i)low_bits(t, p, g, v), (__m512)table);
    }
#endif
    vf q = codes(t, p, g, v);
    return has_min(t) ? d * q + m : d * q;
}

INLINE size_t plain_bytes(ts_dtype t) {
    return t == TS_F32 ? 4 : 2;
}

INLINE vf plain_vector(ts_dtype t, const uint8_t *p) {
    return t == TS_F32 ? vf_load(p) : t == TS_F16 ? vf_from_f16(p) : vf_from_bf16(p);
}

/* The last n < LANES weights of a row that is no whole number of vectors; the rest 0. */
INLINE vf plain_tail(ts_dtype t, const uint8_t *p, size_t n) {
    uint8_t copy[LANES * 4] = {0};
    memcpy(copy, p, n * plain_bytes(t));
    return plain_vector(t, copy);
}

/* Groups of 32 from weight `from` on. */
INLINE void dequant_blocks(ts_dtype t, const uint8_t *row, size_t from, float *dst, size_t n) {
    scales s;
    const uint8_t *p = row;
    for (size_t i = from; i < from + n; i += 32, dst += 32) {
        size_t g = i % block_weights(t) / 32;
        if (g == 0 || i == from) {
            p = row + i / block_weights(t) * block_bytes(t);
            block_scales(t, p, &s);
        }
        UNROLL
        for (size_t v = 0; v < 32 / LANES; v++)
            vf_store(dst + v * LANES, group_vector(t, p, g, v, &s));
    }
}

INLINE void dequant_plain(ts_dtype t, const uint8_t *row, size_t from, float *dst, size_t n) {
    const uint8_t *src = row + from * plain_bytes(t);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(dst + i, plain_vector(t, src + i * plain_bytes(t)));
    if (i < n) vf_store_n(dst + i, plain_tail(t, src + i * plain_bytes(t), n - i), n - i);
}

/* s[q] = one vector of partial sums of row q times x, for n rows (a constant). */
INLINE void dot_blocks(ts_dtype t, size_t n, const uint8_t *p, size_t row_bytes, const float *x, size_t k, vf *s) {
    for (size_t q = 0; q < n; q++)
        s[q] = vf_set(0);
    for (size_t i = 0; i < k; i += block_weights(t), p += block_bytes(t)) {
        scales sc[MOST_ROWS];
        for (size_t q = 0; q < n; q++)
            block_scales(t, p + q * row_bytes, &sc[q]);
        UNROLL
        for (size_t g = 0; g < block_weights(t) / 32; g++)
            UNROLL
        for (size_t v = 0; v < 32 / LANES; v++) {
            vf here = vf_load(x + i + g * 32 + v * LANES);
            UNROLL
            for (size_t q = 0; q < n; q++)
                s[q] = vf_fma(group_vector(t, p + q * row_bytes, g, v, &sc[q]), here, s[q]);
        }
    }
}

INLINE vf dot_plain(ts_dtype t, const uint8_t *w, const float *x, size_t k) {
    vf s = vf_set(0);
    size_t i = 0;
    for (; i + LANES <= k; i += LANES)
        s = vf_fma(plain_vector(t, w + i * plain_bytes(t)), vf_load(x + i), s);
    if (i < k) s = vf_fma(plain_tail(t, w + i * plain_bytes(t), k - i), vf_load_n(x + i, k - i), s);
    return s;
}

/* Calls PLAIN(type) or BLOCKS(type) with the type as a constant, so that each gets code of its own. */
#define TYPE_CASE(T, CALL)                                                                                             \
    case T:                                                                                                            \
        CALL(T);                                                                                                       \
        break;
#define BY_TYPE(t, BLOCKS, PLAIN)                                                                                      \
    switch (t) {                                                                                                       \
        TYPE_CASE(TS_F32, PLAIN)                                                                                       \
        TYPE_CASE(TS_F16, PLAIN)                                                                                       \
        TYPE_CASE(TS_BF16, PLAIN)                                                                                      \
        TYPE_CASE(TS_Q8_0, BLOCKS)                                                                                     \
        TYPE_CASE(TS_Q4_0, BLOCKS)                                                                                     \
        TYPE_CASE(TS_Q4_1, BLOCKS)                                                                                     \
        TYPE_CASE(TS_Q5_0, BLOCKS)                                                                                     \
        TYPE_CASE(TS_Q5_1, BLOCKS)                                                                                     \
        TYPE_CASE(TS_IQ4_NL, BLOCKS)                                                                                   \
        TYPE_CASE(TS_MXFP4, BLOCKS)                                                                                    \
        TYPE_CASE(TS_NF4, BLOCKS)                                                                                      \
        TYPE_CASE(TS_Q2_K, BLOCKS)                                                                                     \
        TYPE_CASE(TS_Q3_K, BLOCKS)                                                                                     \
        TYPE_CASE(TS_Q4_K, BLOCKS)                                                                                     \
        TYPE_CASE(TS_Q5_K, BLOCKS)                                                                                     \
        TYPE_CASE(TS_Q6_K, BLOCKS)                                                                                     \
        TYPE_CASE(TS_IQ4_XS, BLOCKS)                                                                                   \
    default:                                                                                                           \
        break;                                                                                                         \
    }

#endif
