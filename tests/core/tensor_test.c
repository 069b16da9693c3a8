#include "core/model/tensor.h"

#include "core/base/rand.h"
#include "core/model/gguf.h"
#include "core/model/safetensors.h"
#include "tests/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

static uint32_t bits(float f) {
    uint32_t b;
    memcpy(&b, &f, sizeof b);
    return b;
}

static float value(uint32_t b) {
    float f;
    memcpy(&f, &b, sizeof f);
    return f;
}

static void f16_values(void **state) {
    (void)state;
    assert_int_equal(bits(ts_f16_to_f32(0x3c00)), bits(1));
    assert_int_equal(bits(ts_f16_to_f32(0x8000)), 0x80000000);
    assert_int_equal(bits(ts_f16_to_f32(0x0001)), bits(0x1p-24f));
    assert_int_equal(bits(ts_f16_to_f32(0x83ff)), bits(-0x3ffp-24f));
    assert_int_equal(bits(ts_f16_to_f32(0x7bff)), bits(65504));
    assert_true(isinf(ts_f16_to_f32(0xfc00)));
    assert_true(isnan(ts_f16_to_f32(0x7c01)));
}

/* Every f16 comes back from f32, and what lies between two neighbours goes to the nearer, in the middle to the even. */
static void f16_rounds_to_nearest_even(void **state) {
    (void)state;
    for (unsigned h = 0; h < 0x7c00; h++) {
        float low = ts_f16_to_f32((uint16_t)h), high = h == 0x7bff ? 65536 : ts_f16_to_f32((uint16_t)(h + 1));
        float middle = (float)(((double)low + (double)high) / 2); /* has one bit more: exact */
        unsigned even = h + (h & 1);
        assert_int_equal(ts_f32_to_f16(low), h);
        assert_int_equal(ts_f32_to_f16(-low), h | 0x8000);
        assert_int_equal(ts_f32_to_f16(middle), even);
        assert_int_equal(ts_f32_to_f16(nextafterf(middle, 0)), h);
        assert_int_equal(ts_f32_to_f16(nextafterf(middle, 1e9f)), h + 1);
    }
    assert_int_equal(ts_f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(ts_f32_to_f16(-1e30f), 0xfc00);
    assert_true((ts_f32_to_f16(NAN) & 0x7fff) > 0x7c00);
}

static void bf16_rounds_to_nearest_even(void **state) {
    (void)state;
    ts_rand r;
    ts_rand_seed(&r, 1);
    for (int i = 0; i < 100000; i++) {
        uint32_t high = (uint32_t)ts_rand_below(&r, 0x7f80) << 16, low = (uint32_t)ts_rand_below(&r, 0x10000);
        unsigned h = high >> 16, up = low > 0x8000 || (low == 0x8000 && (h & 1));
        assert_int_equal(ts_f32_to_bf16(value(high | low)), h + up);
        assert_int_equal(bits(ts_bf16_to_f32((uint16_t)h)), high);
    }
    assert_int_equal(ts_f32_to_bf16(value(0x3f808000)), 0x3f80);
    assert_int_equal(ts_f32_to_bf16(value(0x3f818000)), 0x3f82);
    assert_true((ts_f32_to_bf16(value(0x7f800001)) & 0x7fff) > 0x7f80); /* a NaN whose bits are all low */
}

/* Over every random number the mean is the value itself, exactly; only the two neighbours occur. */
static void stochastic_rounding_has_no_bias(void **state) {
    (void)state;
    static const float values[] = {1.0000001f, -1.003f, 3.14159265f, -2.5e-39f, 1e-40f, 6.5e37f, -0.0078f};
    for (size_t k = 0; k < TS_COUNT(values); k++) {
        float toward = value(bits(values[k]) & 0xffff0000), away = value((bits(values[k]) & 0xffff0000) + 0x10000);
        double sum = 0;
        for (unsigned r = 0; r < 65536; r++) {
            float f = ts_bf16_to_f32(ts_f32_to_bf16_stochastic(values[k], (uint16_t)r));
            assert_true(f == toward || f == away);
            sum += ((double)f - (double)toward) * 0x1p40; /* both exact: a multiple of one step */
        }
        assert_true(sum / 65536 == ((double)values[k] - (double)toward) * 0x1p40);
    }
}

/* What bf16 can hold stays, whatever the random number; infinity is held, and NaN stays one. */
static void stochastic_rounding_keeps_what_fits(void **state) {
    (void)state;
    static const uint16_t some[] = {0, 1, 0x7fff, 0x8000, 0xffff};
    for (unsigned h = 0; h < 65536; h++)
        for (size_t k = 0; k < TS_COUNT(some); k++) {
            float f = ts_bf16_to_f32((uint16_t)h);
            uint16_t back = ts_f32_to_bf16_stochastic(f, some[k]);
            assert_true(isnan(f) ? isnan(ts_bf16_to_f32(back)) : back == h);
        }
    assert_true(isnan(ts_bf16_to_f32(ts_f32_to_bf16_stochastic(value(0x7f800001), 0))));
}

static void blocks_by_hand(void **state) {
    (void)state;
    unsigned char q8[34] = {0, 0x38, 0x81, 127, 0}, q4_0[18] = {0, 0x40, 0x0f, 0xf8},
                  q4_1[20] = {0, 0x40, 0, 0xbc, 0xf1, 0x0a};
    float out[32];
    ts_dequantize(TS_Q8_0, q8, out, 32); /* d = .5 */
    assert_true(out[0] == -63.5f && out[1] == 63.5f && out[31] == 0);
    ts_dequantize(TS_Q4_0, q4_0, out, 32); /* d = 2 */
    assert_true(out[0] == 14 && out[16] == -16 && out[1] == 0 && out[17] == 14 && out[2] == -16);
    ts_dequantize(TS_Q4_1, q4_1, out, 32); /* d = 2, m = -1 */
    assert_true(out[0] == 1 && out[16] == 29 && out[1] == 19 && out[17] == -1 && out[15] == -1);
}

/* d = 2 for all; codes and scales worked out from the layout in tensor.h. */
static void five_bits_and_tables_by_hand(void **state) {
    (void)state;
    unsigned char q5_0[22] = {0, 0x40, 1, 0, 2, 0, 0x0f, 0xf8}, q5_1[24] = {0, 0x40, 0, 0xbc, 1, 0, 2, 0, 0x0f, 0xf8};
    unsigned char nl[18] = {0, 0x40, 0x80, 0xf7}, fp4[17] = {129, 0x21, 0x9f}; /* 2^1 */
    float out[32];
    ts_dequantize(TS_Q5_0, q5_0, out, 32); /* fifth bits of weights 0 and 17 */
    assert_true(out[0] == 30 && out[16] == -32 && out[1] == -16 && out[17] == 30 && out[2] == -32);
    ts_dequantize(TS_Q5_1, q5_1, out, 32); /* m = -1 */
    assert_true(out[0] == 61 && out[16] == -1 && out[1] == 15 && out[17] == 61 && out[2] == -1);
    ts_dequantize(TS_IQ4_NL, nl, out, 32);
    assert_true(out[0] == -254 && out[16] == 2 && out[1] == -20 && out[17] == 226 && out[2] == -254);
    ts_dequantize(TS_MXFP4, fp4, out, 32); /* twice 0.5, 1, -6, -0.5 */
    assert_true(out[0] == 2 && out[16] == 4 && out[1] == -24 && out[17] == -2 && out[2] == 0);
    fp4[0] = 0; /* 2^-128 */
    ts_dequantize(TS_MXFP4, fp4, out, 32);
    assert_true(out[0] == 0x1p-128f && out[16] == 0x1p-127f);
}

static void blocks_of_256_by_hand(void **state) {
    (void)state;
    float out[256];
    unsigned char q2[84] = {[0] = 0x23, [9] = 0x01, [16] = 0xe4, [16 + 32 + 16] = 2, [81] = 0x40, [83] = 0x3c};
    ts_dequantize(TS_Q2_K, q2, out, 256);        /* d = 2, m = 1; groups of 16: 0 has scale 3 and min 2, 9 scale 1 */
    assert_true(out[0] == -2 && out[32] == 0);   /* codes 0 and 1, the latter in a group without scale */
    assert_true(out[144] == 4 && out[145] == 0); /* second half, code 2 of group 9 */
    unsigned char q3[110] = {[0] = 1, [32] = 3, [33] = 1, [96] = 0x05, [104] = 0x02, [109] = 0x40};
    ts_dequantize(TS_Q3_K, q3, out, 256); /* group 0: scale 5 + 32 - 32; others -32 */
    assert_true(out[0] == 30 && out[1] == -30 && out[2] == -40 && out[32] == 256);
    unsigned char q4[144] = {
        [1] = 0x40, [3] = 0x3c, [4] = 5 | 0xc0, [8] = 3 | 0x80, [12] = 0x21, [16] = 0xa7, [80] = 0x0f};
    ts_dequantize(TS_Q4_K, q4, out, 256);
    assert_true(out[0] == 67 && out[1] == -3); /* 2*5*7 - 3 */
    assert_true(out[32] == 0);                 /* group 1 has neither scale nor min */
    assert_true(out[128] == 2 * 49 * 15 - 34); /* group 4: scale 1 + 16*3, min 2 + 16*2 */
    unsigned char q5[176] = {[1] = 0x40, [3] = 0x3c, [4] = 5, [8] = 3, [16] = 0x01, [48] = 0xa7};
    ts_dequantize(TS_Q5_K, q5, out, 256);
    assert_true(out[0] == 2 * 5 * 23 - 3 && out[1] == -3 && out[32] == 0);
    unsigned char q6[210] = {[0] = 0xf5, [128] = 0x31, [192] = 0xfd, [196] = 1, [209] = 0x40};
    ts_dequantize(TS_Q6_K, q6, out, 256);
    assert_true(out[0] == 2 * -3 * (5 + 16 - 32) && out[1] == 192); /* scale -3 */
    assert_true(out[64] == 2 * 1 * (15 + 48 - 32));                 /* third part: high nibble, bits 4 and 5 */
    unsigned char xs[136] = {[1] = 0x40, [2] = 0x09, [4] = 0x21, [8] = 0x80};
    ts_dequantize(TS_IQ4_XS, xs, out, 256); /* group 0: 1 + 16 - 32 = -15; group 1: 2 + 32 - 32; group 2: -32 */
    assert_true(out[0] == 2 * -15 * -127 && out[16] == -30 && out[32] == 2 * 2 * -127 && out[64] == 64 * 127);
}

static void row_sizes(void **state) {
    (void)state;
    assert_int_equal(ts_row_bytes(TS_F32, 7), 28);
    assert_int_equal(ts_row_bytes(TS_Q4_1, 64), 40);
    assert_int_equal(ts_row_bytes(TS_Q8_0, 33), 0);
    assert_int_equal(ts_row_bytes(TS_F32, SIZE_MAX / 2), 0);
    assert_int_equal(ts_row_bytes(TS_DTYPES, 32), 0);
    assert_string_equal(ts_dtype_name(TS_BF16), "bf16");
}

static bool same(float a, float b) {
    return bits(a) == bits(b) || (isnan(a) && isnan(b)); /* which NaN is the CPU's choice */
}

/* Random bytes are valid blocks of every type: all levels must agree with the plain loops, at any alignment. */
static void every_level_gives_the_bits_of_the_plain_one(void **state) {
    (void)state;
    enum { N = 256 * 9 };
    unsigned char *src = malloc(N * 4 + 64);
    float plain[N], fast[N + 1];
    ts_rand r;
    ts_rand_seed(&r, 3);
    print_message("levels up to %s\n", ts_simd_name(ts_simd_best()));
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < N * 4 + 64; i++)
            src[i] = (unsigned char)ts_rand_u64(&r);
        for (ts_dtype t = 0; t < TS_DTYPES; t++) {
            size_t block = ts_dtype_block(t), n = block * (1 + (size_t)ts_rand_below(&r, N / block));
            const unsigned char *from = src + ts_rand_below(&r, 63);
            ts_dequantize_with(TS_PLAIN, t, from, plain, n);
            for (ts_simd level = TS_AVX2; level <= ts_simd_best(); level++) {
                fast[n] = 123;
                ts_dequantize_with(level, t, from, fast, n);
                for (size_t i = 0; i < n; i++)
                    if (!same(plain[i], fast[i]))
                        fail_msg("%s with %s, weight %zu: %.9g, not %.9g", ts_dtype_name(t), ts_simd_name(level), i,
                                 (double)fast[i], (double)plain[i]);
                assert_true(fast[n] == 123);
            }
        }
    }
    free(src);
}

static void every_f16_at_every_level(void **state) {
    (void)state;
    uint16_t *all = malloc(65536 * sizeof *all);
    float *out = malloc(65536 * sizeof *out);
    for (unsigned h = 0; h < 65536; h++)
        all[h] = (uint16_t)h;
    for (ts_simd level = TS_PLAIN; level <= ts_simd_best(); level++) {
        ts_dequantize_with(level, TS_F16, all, out, 65536);
        for (unsigned h = 0; h < 65536; h++)
            assert_int_equal(bits(out[h]), bits(ts_f16_to_f32((uint16_t)h)));
    }
    free(all);
    free(out);
}

/* llama.cpp's own Python package as the judge. */
static void blocks_as_the_oracle_decodes_them(void **state) {
    (void)state;
    ts_gguf *g;
    ts_safetensors *s;
    assert_ok(ts_gguf_open(&g, ts_test_shared("golden/gguf-types/types.gguf"), &err));
    assert_ok(ts_safetensors_open(&s, ts_test_shared("golden/gguf-types/types.safetensors"), &err));
    size_t read = 0;
    for (size_t i = 0; i < ts_gguf_tensors(g); i++) {
        const ts_tensor *t = ts_gguf_tensor(g, i), *truth = ts_safetensors_find(s, t->name);
        assert_non_null(truth);
        assert_int_not_equal(t->type, TS_DTYPES);
        float out[4 * 512];
        assert_int_equal(truth->bytes, sizeof out);
        ts_dequantize(t->type, t->data, out, 4 * 512);
        assert_memory_equal(out, truth->data, sizeof out);
        read++;
    }
    assert_int_equal(read, TS_FILE_DTYPES); /* there is one of each */
    ts_gguf_close(g);
    ts_safetensors_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f16_values),
        cmocka_unit_test(f16_rounds_to_nearest_even),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(stochastic_rounding_has_no_bias),
        cmocka_unit_test(stochastic_rounding_keeps_what_fits),
        cmocka_unit_test(blocks_by_hand),
        cmocka_unit_test(five_bits_and_tables_by_hand),
        cmocka_unit_test(blocks_of_256_by_hand),
        cmocka_unit_test(row_sizes),
        cmocka_unit_test(every_level_gives_the_bits_of_the_plain_one),
        cmocka_unit_test(every_f16_at_every_level),
        cmocka_unit_test(blocks_as_the_oracle_decodes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
