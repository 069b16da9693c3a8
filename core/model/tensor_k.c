/* The types with blocks of 256 weights, in the obvious way (layouts: tensor.h). */
#include "core/model/tensor_simd.h"

#include <string.h>

static float half(const unsigned char *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return ts_f16_to_f32(v);
}

void ts_plain_q2_k(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 84, dst += 256) {
        float d = half(src + 80), m = half(src + 82);
        for (size_t i = 0; i < 256; i++) {
            unsigned scale = src[i / 16], q = src[16 + i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
            dst[i] = d * (float)(scale & 15) * (float)q - m * (float)(scale >> 4);
        }
    }
}

/* Scale i of 16: four bits, and two more from the last four bytes. */
static int scale_q3(const unsigned char *s, size_t i) {
    return (s[i % 8] >> (i / 8 * 4) & 15) | (s[8 + i % 4] >> (i / 4 * 2) & 3) << 4;
}

void ts_plain_q3_k(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 110, dst += 256) {
        float d = half(src + 108);
        for (size_t i = 0; i < 256; i++) {
            int low = src[32 + i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3, high = src[i % 32] >> (i / 32) & 1;
            dst[i] = d * (float)(scale_q3(src + 96, i / 16) - 32) * (float)(low + 4 * high - 4);
        }
    }
}

/* Scale and min of group g of 8: six bits each; those of the last four groups lie in two pieces. */
static void scale_min(const unsigned char *s, size_t g, float *scale, float *min) {
    int sc = g < 4 ? s[g] & 63 : (s[g + 4] & 15) | s[g - 4] >> 6 << 4;
    int mn = g < 4 ? s[g + 4] & 63 : s[g + 4] >> 4 | s[g] >> 6 << 4;
    *scale = (float)sc;
    *min = (float)mn;
}

void ts_plain_q4_k(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 144, dst += 256) {
        float d = half(src), m = half(src + 2), scale, min;
        for (size_t i = 0; i < 256; i++) {
            scale_min(src + 4, i / 32, &scale, &min);
            int q = src[16 + i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
            dst[i] = d * scale * (float)q - m * min;
        }
    }
}

void ts_plain_q5_k(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 176, dst += 256) {
        float d = half(src), m = half(src + 2), scale, min;
        for (size_t i = 0; i < 256; i++) {
            scale_min(src + 4, i / 32, &scale, &min);
            int q = src[48 + i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15, fifth = src[16 + i % 32] >> (i / 32) & 1;
            dst[i] = d * scale * (float)(q + 16 * fifth) - m * min;
        }
    }
}

void ts_plain_q6_k(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 210, dst += 256) {
        float d = half(src + 208);
        for (size_t i = 0; i < 256; i++) {
            size_t part = i / 32 % 4; /* of half i / 128 */
            int low = src[i / 128 * 64 + part % 2 * 32 + i % 32] >> (part / 2 * 4) & 15;
            int high = src[128 + i / 128 * 32 + i % 32] >> (part * 2) & 3;
            dst[i] = d * (float)(int8_t)src[192 + i / 16] * (float)(low + 16 * high - 32);
        }
    }
}

void ts_plain_iq4_xs(const unsigned char *src, float *dst, size_t n) {
    for (const float *end = dst + n; dst < end; src += 136, dst += 256) {
        float d = half(src);
        unsigned high = src[2] | (unsigned)src[3] << 8;
        for (size_t i = 0; i < 256; i++) {
            size_t g = i / 32;
            int scale = (src[4 + g / 2] >> (g % 2 * 4) & 15) | (int)(high >> (2 * g) & 3) << 4;
            int q = src[8 + g * 16 + i % 16] >> (i / 16 % 2 * 4) & 15;
            dst[i] = d * (float)(scale - 32) * (float)ts_iq4_values[q];
        }
    }
}
