#include "core/model/quantize.h"

#include "core/base/rand.h"
#include "core/model/gguf.h"
#include "core/model/safetensors.h"
#include "tests/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

/* Root of the mean square of what is lost, against that of the weights. */
static double loss(ts_dtype t, const float *x, size_t n) {
    unsigned char *bytes = malloc(ts_row_bytes(t, n));
    float *back = malloc(n * sizeof *back);
    double lost = 0, all = 0;
    assert_true(ts_quantize(t, x, bytes, n));
    ts_dequantize(t, bytes, back, n);
    for (size_t i = 0; i < n; i++) {
        lost += pow((double)back[i] - x[i], 2);
        all += pow(x[i], 2);
    }
    free(bytes);
    free(back);
    return sqrt(lost / all);
}

static void each_type_keeps_what_its_bits_allow(void **state) {
    (void)state;
    enum { N = 256 * 200 };
    static const struct {
        ts_dtype type;
        double most, least; /* measured, with some room: a search that finds less, and a test that sees nothing */
    } bounds[] = {{TS_F32, 0, 0},        {TS_F16, 3e-4, 1e-4},  {TS_BF16, 2.4e-3, 1e-3}, {TS_Q8_0, 6.5e-3, 4e-3},
                  {TS_Q4_0, .095, .07},  {TS_Q4_1, .082, .06},  {TS_Q5_0, .047, .035},   {TS_Q5_1, .040, .03},
                  {TS_Q4_K, .075, .055}, {TS_Q5_K, .038, .025}, {TS_Q6_K, .0205, .012}};
    float *x = malloc(N * sizeof *x);
    ts_rand r;
    ts_rand_seed(&r, 5);
    for (size_t i = 0; i < N; i++)
        x[i] = (float)ts_rand_normal(&r) * 0.04f;
    size_t tried = 0;
    for (size_t i = 0; i < TS_COUNT(bounds); i++) {
        double lost = loss(bounds[i].type, x, N);
        print_message("%s loses %.5f\n", ts_dtype_name(bounds[i].type), lost);
        if (!(lost <= bounds[i].most && lost >= bounds[i].least))
            fail_msg("%s loses %g", ts_dtype_name(bounds[i].type), lost);
    }
    for (ts_dtype t = 0; t < TS_DTYPES; t++)
        tried += ts_can_quantize(t);
    assert_int_equal(tried, TS_COUNT(bounds)); /* every encoder is in the table */
    free(x);
}

/* What a type can hold exactly comes back exactly. */
static void what_fits_is_kept(void **state) {
    (void)state;
    static const ts_dtype types[] = {TS_Q8_0, TS_Q4_0, TS_Q4_1, TS_Q5_0, TS_Q5_1, TS_Q4_K, TS_Q5_K, TS_Q6_K};
    float x[256], zero[256] = {0}, back[256];
    unsigned char bytes[256 * 2];
    for (size_t k = 0; k < TS_COUNT(types); k++) {
        for (int i = 0; i < 256; i++) /* all of -8 to 7, a quarter each; q8_0 needs 127 to be the largest */
            x[i] = types[k] == TS_Q8_0 ? (float)(i % 32 == 0 ? 127 : i % 16) : (float)(i % 16 - 8) * .25f;
        assert_true(ts_quantize(types[k], x, bytes, 256));
        ts_dequantize(types[k], bytes, back, 256);
        for (int i = 0; i < 256; i++)
            assert_near(back[i], x[i],
                        types[k] == TS_Q8_0   ? 0
                        : types[k] <= TS_Q5_1 ? 0.07
                                              : 0.02,
                        ts_dtype_name(types[k]));
        assert_true(ts_quantize(types[k], zero, bytes, 256));
        ts_dequantize(types[k], bytes, back, 256);
        for (int i = 0; i < 256; i++)
            assert_true(back[i] == 0);
    }
}

static void values_out_of_range_are_reported(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float x[256] = {1, -2, 3};
    unsigned char bytes[256 * 4];
    for (ts_dtype t = 0; t < TS_DTYPES; t++) {
        if (!ts_can_quantize(t)) continue;
        assert_true(ts_quantize(t, x, bytes, 256));
        for (size_t i = 0; i < TS_COUNT(bad); i++) {
            x[200] = bad[i];
            assert_false(ts_quantize(t, x, bytes, 256));
        }
        x[200] = 1e37f; /* its scale has no f16 */
        assert_int_equal(ts_quantize(t, x, bytes, 256), t == TS_F32 || t == TS_BF16);
        x[200] = 1e-40f;
        assert_true(ts_quantize(t, x, bytes, 256));
        x[200] = 0;
    }
}

static void mixtures_follow_llama_cpp(void **state) {
    (void)state;
    static const struct {
        const char *file, *name;
        int n_dims;
        bool tied, large;
        ts_dtype type;
    } cases[] = {
        {"q4_k_m", "blk.0.attn_norm.weight", 1, false, false, TS_F32},
        {"q4_k_m", "blk.0.attn_q.bias", 1, false, false, TS_F32},
        {"q4_k_m", "blk.0.attn_q.weight", 2, false, false, TS_Q4_K},
        {"q4_k_m", "blk.0.attn_v.weight", 2, false, false, TS_Q6_K}, /* the first eighth of 30 layers is 0 to 2 */
        {"q4_k_m", "blk.2.ffn_down.weight", 2, false, false, TS_Q6_K},
        {"q4_k_m", "blk.3.ffn_down.weight", 2, false, false, TS_Q4_K},
        {"q4_k_m", "blk.5.ffn_down.weight", 2, false, false, TS_Q6_K}, /* every third from 5 on */
        {"q4_k_m", "blk.25.attn_v.weight", 2, false, false, TS_Q4_K},
        {"q4_k_m", "blk.25.attn_v.weight", 2, false, true, TS_Q5_K},
        {"q4_k_m", "blk.25.attn_k.weight", 2, false, true, TS_Q4_K},
        {"q4_k_m", "blk.26.attn_v.weight", 2, false, false, TS_Q6_K}, /* the last eighth begins at 7 * 30 / 8 */
        {"q4_k_m", "blk.26.attn_v.weight", 2, false, true, TS_Q6_K},
        {"q4_k_m", "blk.26.attn_qkv.weight", 2, false, false, TS_Q6_K},
        {"q4_k_m", "blk.25.attn_qkv.weight", 2, false, false, TS_Q4_K},
        {"q4_k_m", "token_embd.weight", 2, false, false, TS_Q4_K},
        {"q4_k_m", "token_embd.weight", 2, true, false, TS_Q6_K},
        {"q5_k_m", "blk.5.ffn_down.weight", 2, false, false, TS_Q6_K},
        {"q5_k_m", "blk.25.attn_v.weight", 2, false, true, TS_Q5_K},
        {"q4_0", "output.weight", 2, false, false, TS_Q6_K},
        {"q8_0", "output.weight", 2, false, false, TS_Q8_0},
        {"f16", "output.weight", 2, false, false, TS_F16},
        {"q4_0", "blk.5.attn_v.weight", 2, false, false, TS_Q4_0},
        {"q8_0", "rope_freqs.weight", 1, false, false, TS_F32},
    };
    char names[TS_FILE_TYPE_LIST];
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        const ts_file_type *f = ts_file_type_named(cases[i].file);
        ts_file_model m = {.layers = 30, .tied = cases[i].tied, .large = cases[i].large};
        assert_non_null(f);
        ts_dtype t = ts_file_type_of(f, &m, cases[i].name, cases[i].n_dims);
        if (t != cases[i].type) fail_msg("%s in a %s file is %s", cases[i].name, cases[i].file, ts_dtype_name(t));
        assert_non_null(strstr(ts_file_type_names(false, names), cases[i].file));
    }
    assert_string_equal(ts_file_type_names(true, names), "f32, f16, bf16");
    assert_null(ts_file_type_named("q4"));
    assert_int_equal(ts_file_type_named("q4_k_m")->number, 15);
}

static void blocks_that_do_not_fit_give_way(void **state) {
    (void)state;
    static const struct {
        ts_dtype type;
        size_t cols;
        ts_dtype gets;
    } cases[] = {{TS_Q4_K, 512, TS_Q4_K}, {TS_Q4_K, 576, TS_Q5_0}, {TS_Q5_K, 576, TS_Q5_1}, {TS_Q6_K, 576, TS_Q8_0},
                 {TS_Q4_K, 40, TS_F16},   {TS_Q4_0, 96, TS_Q4_0},  {TS_Q4_0, 40, TS_F16},   {TS_BF16, 41, TS_BF16}};
    for (size_t i = 0; i < TS_COUNT(cases); i++)
        assert_int_equal(ts_dtype_fitting(cases[i].type, cases[i].cols), cases[i].gets);
}

/* The bytes that the `gguf` package writes. A weight on the border of two codes may get either. */
static void bytes_are_those_of_the_oracle(void **state) {
    (void)state;
    static const ts_dtype types[] = {TS_BF16, TS_Q8_0, TS_Q4_0, TS_Q4_1, TS_Q5_0, TS_Q5_1};
    ts_safetensors *s;
    unsigned char bytes[4 * 512 * 2];
    assert_ok(ts_safetensors_open(&s, ts_test_shared("golden/gguf-types/encode.safetensors"), &err));
    const ts_tensor *x = ts_safetensors_find(s, "x");
    assert_non_null(x);
    for (size_t k = 0; k < TS_COUNT(types); k++) {
        const ts_tensor *want = ts_safetensors_find(s, ts_dtype_name(types[k]));
        assert_non_null(want);
        float *copy = malloc(x->bytes);
        memcpy(copy, x->data, x->bytes);
        assert_true(ts_quantize(types[k], copy, bytes, 4 * 512));
        assert_int_equal(want->bytes, ts_row_bytes(types[k], 4 * 512));
        size_t differ = 0;
        for (size_t i = 0; i < want->bytes; i++)
            differ += bytes[i] != ((const unsigned char *)want->data)[i];
        if (differ) fail_msg("%s: %zu of %zu bytes differ", ts_dtype_name(types[k]), differ, want->bytes);
        free(copy);
    }
    ts_safetensors_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_keeps_what_its_bits_allow), cmocka_unit_test(what_fits_is_kept),
        cmocka_unit_test(values_out_of_range_are_reported),    cmocka_unit_test(mixtures_follow_llama_cpp),
        cmocka_unit_test(blocks_that_do_not_fit_give_way),     cmocka_unit_test(bytes_are_those_of_the_oracle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
