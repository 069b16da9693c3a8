/* f32 to the types that are written. Blocks as ggml's quantize_row_*_ref (ggml-quants.c): the same bytes, but where a
 * value lies on a rounding tie. */
#include "core/model/export_private.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 32 };

static void put_half(unsigned char *to, float v) {
    uint16_t half = ts_f32_to_f16(v);
    memcpy(to, &half, sizeof half);
}

static void encode_q8_0(const float *x, unsigned char *to) {
    float most = 0;
    for (int i = 0; i < BLOCK; i++)
        most = fmaxf(most, fabsf(x[i]));
    float d = most / 127, inverse = d != 0 ? 1 / d : 0;
    put_half(to, d);
    for (int i = 0; i < BLOCK; i++)
        to[2 + i] = (unsigned char)(signed char)roundf(x[i] * inverse);
}

/* Codes 0 to 15, two a byte: weight j low, j + 16 high. In double, so that fused and plain products agree. */
static void put_codes(const float *x, double least, float inverse, double shift, unsigned char *to) {
    for (int j = 0; j < BLOCK / 2; j++) {
        int low = (int)(((double)x[j] - least) * (double)inverse + shift);
        int high = (int)(((double)x[j + BLOCK / 2] - least) * (double)inverse + shift);
        to[j] = (unsigned char)(TS_MAX(0, TS_MIN(low, 15)) | TS_MAX(0, TS_MIN(high, 15)) << 4);
    }
}

/* The value that is largest without its sign becomes code 0: -8 d. */
static void encode_q4_0(const float *x, unsigned char *to) {
    float most = 0;
    for (int i = 0; i < BLOCK; i++)
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    float d = most / -8, inverse = d != 0 ? 1 / d : 0;
    put_half(to, d);
    put_codes(x, 0, inverse, 8.5, to + 2);
}

static void encode_q4_1(const float *x, unsigned char *to) {
    float low = x[0], high = x[0];
    for (int i = 1; i < BLOCK; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    float d = (high - low) / 15, inverse = d != 0 ? 1 / d : 0;
    put_half(to, d);
    put_half(to + 2, low);
    put_codes(x, (double)low, inverse, 0.5, to + 4);
}

static void encode_blocks(ts_dtype type, const float *src, unsigned char *dst, size_t n) {
    size_t bytes = ts_row_bytes(type, BLOCK);
    for (size_t i = 0; i < n / BLOCK; i++, src += BLOCK, dst += bytes) {
        if (type == TS_Q8_0)
            encode_q8_0(src, dst);
        else if (type == TS_Q4_0)
            encode_q4_0(src, dst);
        else
            encode_q4_1(src, dst);
    }
}

void ts_export_encode(ts_dtype type, const float *src, void *dst, size_t n) {
    uint16_t *half = dst;
    switch (type) {
    case TS_F32:
        memcpy(dst, src, n * sizeof *src);
        break;
    case TS_F16:
        for (size_t i = 0; i < n; i++)
            half[i] = ts_f32_to_f16(src[i]);
        break;
    case TS_BF16:
        for (size_t i = 0; i < n; i++)
            half[i] = ts_f32_to_bf16(src[i]);
        break;
    default:
        ts_assert(type == TS_Q8_0 || type == TS_Q4_0 || type == TS_Q4_1);
        encode_blocks(type, src, dst, n);
    }
}
