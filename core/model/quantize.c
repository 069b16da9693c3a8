#include "core/model/quantize.h"

#include "core/model/quantize_k.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- blocks of 32 ---- */

bool ts_put_half(unsigned char *to, float f) {
    uint16_t h = ts_f32_to_f16(f);
    memcpy(to, &h, sizeof h);
    return (h & 0x7c00) != 0x7c00; /* neither infinite nor NaN */
}

/* f cut to a whole number in [0, max]; NaN gives 0. */
static int cut(float f, int max) {
    return f >= (float)max ? max : f > 0 ? (int)f : 0;
}

/* The first of the largest by size, with its sign. */
static float largest(const float *x) {
    float best = 0, size = 0;
    for (size_t i = 0; i < 32; i++)
        if (fabsf(x[i]) > size) {
            size = fabsf(x[i]);
            best = x[i];
        }
    return best;
}

static float inverse(float d) {
    return d != 0 ? 1 / d : 0;
}

static bool to_q8_0(const float *x, unsigned char *to) {
    float d = fabsf(largest(x)) / 127, id = inverse(d);
    for (size_t i = 0; i < 32; i++) {
        int q = cut(fabsf(x[i] * id) + 0.5f, 127); /* halves away from zero */
        to[2 + i] = (unsigned char)(x[i] * id < 0 ? -q : q);
    }
    return ts_put_half(to, d);
}

/* Codes with an offset: the largest weight gets the code 0, which is one further from the middle than the last. */
static bool to_symmetric(const float *x, int bits, unsigned char *scale, unsigned char *codes) {
    int middle = 1 << (bits - 1);
    float d = largest(x) / (float)-middle, id = inverse(d);
    for (size_t i = 0; i < 32; i++)
        codes[i] = (unsigned char)cut(x[i] * id + ((float)middle + 0.5f), 2 * middle - 1);
    return ts_put_half(scale, d);
}

static bool to_affine(const float *x, int bits, unsigned char *scale, unsigned char *codes) {
    float low = x[0], high = x[0];
    for (size_t i = 1; i < 32; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    int last = (1 << bits) - 1;
    float d = (high - low) / (float)last, id = inverse(d);
    for (size_t i = 0; i < 32; i++)
        codes[i] = (unsigned char)cut((x[i] - low) * id + 0.5f, last);
    bool fits = ts_put_half(scale, d);
    return ts_put_half(scale + 2, low) && fits;
}

static void put_nibbles(const unsigned char *codes, unsigned char *to) {
    for (size_t i = 0; i < 16; i++)
        to[i] = (unsigned char)((codes[i] & 15) | (codes[i + 16] & 15) << 4);
}

static void put_fifth_bits(const unsigned char *codes, unsigned char *to) {
    uint32_t bits = 0;
    for (size_t i = 0; i < 32; i++)
        bits |= (uint32_t)(codes[i] >> 4) << i;
    memcpy(to, &bits, sizeof bits);
}

static bool to_q4_0(const float *x, unsigned char *to) {
    unsigned char codes[32];
    bool fits = to_symmetric(x, 4, to, codes);
    put_nibbles(codes, to + 2);
    return fits;
}

static bool to_q4_1(const float *x, unsigned char *to) {
    unsigned char codes[32];
    bool fits = to_affine(x, 4, to, codes);
    put_nibbles(codes, to + 4);
    return fits;
}

static bool to_q5_0(const float *x, unsigned char *to) {
    unsigned char codes[32];
    bool fits = to_symmetric(x, 5, to, codes);
    put_fifth_bits(codes, to + 2);
    put_nibbles(codes, to + 6);
    return fits;
}

static bool to_q5_1(const float *x, unsigned char *to) {
    unsigned char codes[32];
    bool fits = to_affine(x, 5, to, codes);
    put_fifth_bits(codes, to + 4);
    put_nibbles(codes, to + 8);
    return fits;
}

/* ---- single weights ---- */

static bool to_16_bits(ts_dtype t, const float *x, unsigned char *to, size_t n) {
    uint16_t top = t == TS_F16 ? 0x7c00 : 0x7f80; /* all of them set: infinite or NaN */
    bool fine = true;
    for (size_t i = 0; i < n; i++) {
        uint16_t h = t == TS_F16 ? ts_f32_to_f16(x[i]) : ts_f32_to_bf16(x[i]);
        memcpy(to + 2 * i, &h, sizeof h);
        fine = fine && (h & top) != top;
    }
    return fine;
}

static bool (*const encoders[TS_DTYPES])(const float *x, unsigned char *to) = {
    [TS_Q8_0] = to_q8_0, [TS_Q4_0] = to_q4_0,    [TS_Q4_1] = to_q4_1,    [TS_Q5_0] = to_q5_0,
    [TS_Q5_1] = to_q5_1, [TS_Q4_K] = ts_to_q4_k, [TS_Q5_K] = ts_to_q5_k, [TS_Q6_K] = ts_to_q6_k,
};

bool ts_can_quantize(ts_dtype t) {
    return t < TS_DTYPES && (ts_dtype_block(t) == 1 || encoders[t]);
}

bool ts_quantize(ts_dtype t, const float *src, void *dst, size_t n) {
    ts_assert(ts_can_quantize(t) && n % ts_dtype_block(t) == 0);
    size_t block = ts_dtype_block(t), bytes = ts_row_bytes(t, block);
    unsigned char *to = dst;
    bool fine = true;
    /* far over what any type of blocks can hold (65,504 * 127 * 32), far under what overflows while it is tried */
    float limit = block > 1 ? 1e9f : FLT_MAX;
    for (size_t i = 0; i < n; i++)
        fine = fine && fabsf(src[i]) <= limit; /* not so for NaN */
    if (t == TS_F32) memcpy(dst, src, n * sizeof *src);
    if (t == TS_F16 || t == TS_BF16) fine = to_16_bits(t, src, dst, n) && fine;
    for (size_t i = 0; block > 1 && i < n; i += block, to += bytes)
        fine = encoders[t](src + i, to) && fine;
    return fine;
}

/* ---- files ---- */

static const ts_file_type file_types[] = {
    {"f32", 0, TS_F32, false},   {"f16", 1, TS_F16, false},    {"bf16", 32, TS_BF16, false},
    {"q8_0", 7, TS_Q8_0, false}, {"q6_k", 18, TS_Q6_K, false}, {"q5_k_m", 17, TS_Q5_K, true},
    {"q5_1", 9, TS_Q5_1, false}, {"q5_0", 8, TS_Q5_0, false},  {"q4_k_m", 15, TS_Q4_K, true},
    {"q4_1", 3, TS_Q4_1, false}, {"q4_0", 2, TS_Q4_0, false},
};

const ts_file_type *ts_file_type_named(const char *name) {
    for (size_t i = 0; i < TS_COUNT(file_types); i++)
        if (strcmp(file_types[i].name, name) == 0) return &file_types[i];
    return NULL;
}

bool ts_file_type_in_blocks(const ts_file_type *f) {
    return ts_dtype_block(f->type) > 1;
}

const char *ts_file_type_names(bool folder, char out[TS_FILE_TYPE_LIST]) {
    size_t n = 0;
    for (size_t i = 0; i < TS_COUNT(file_types) && n < TS_FILE_TYPE_LIST; i++)
        if (!folder || !ts_file_type_in_blocks(&file_types[i]))
            n += (size_t)snprintf(out + n, TS_FILE_TYPE_LIST - n, "%s%s", n ? ", " : "", file_types[i].name);
    return out;
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool gets_more_bits(size_t layer, size_t layers) {
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

ts_dtype ts_dtype_fitting(ts_dtype t, size_t cols) {
    if (cols % ts_dtype_block(t) == 0) return t;
    ts_dtype small = t == TS_Q4_K ? TS_Q5_0 : t == TS_Q5_K ? TS_Q5_1 : t == TS_Q6_K ? TS_Q8_0 : t;
    return cols % ts_dtype_block(small) == 0 ? small : TS_F16;
}

ts_dtype ts_file_type_of(const ts_file_type *f, const ts_file_model *m, const char *name, int n_dims) {
    if (n_dims < 2 || !ends_with(name, ".weight")) return TS_F32;
    if (!ts_file_type_in_blocks(f) || f->type == TS_Q8_0) return f->type;
    if (strcmp(name, m->tied ? "token_embd.weight" : "output.weight") == 0) return TS_Q6_K;
    bool values = ends_with(name, ".attn_v.weight") || ends_with(name, ".attn_qkv.weight"),
         down = ends_with(name, ".ffn_down.weight");
    size_t layer = strncmp(name, "blk.", 4) == 0 ? strtoul(name + 4, NULL, 10) : 0;
    if (f->more_bits && (values || down) && gets_more_bits(layer, m->layers)) return TS_Q6_K;
    return values && m->large && f->type == TS_Q4_K ? TS_Q5_K : f->type;
}
