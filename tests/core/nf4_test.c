/* The 4-bit type of QLoRA: against bitsandbytes, against the rule written out, and as a whole model. */
#include "core/model/nf4.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "core/model/safetensors.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

enum { N = 64 * 512 };

static float *normal(size_t n, double by) {
    float *x = malloc(n * sizeof *x);
    ts_rand r;
    ts_rand_seed(&r, 4);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(ts_rand_normal(&r) * by);
    return x;
}

/* The code of weight i of encoded blocks. */
static unsigned code_at(const unsigned char *blocks, size_t i) {
    size_t in = i % 64, half = in / 32, j = in % 32;
    return blocks[i / 64 * 36 + 4 + half * 16 + j % 16] >> (j / 16 * 4) & 15;
}

/* One value after the other against every midpoint. */
static void codes_count_midpoints(void **state) {
    (void)state;
    float *x = normal(N, 0.04);
    unsigned char *blocks = malloc(ts_row_bytes(TS_NF4, N));
    for (size_t i = 0; i < 16; i++) /* values of the table and midpoints themselves: the lower code */
        x[i] = ts_nf4_values[i], x[16 + i] = (ts_nf4_values[i] + ts_nf4_values[TS_MIN(i + 1, 15)]) / 2;
    memset(x + 64, 0, 64 * sizeof *x);
    ts_nf4_encode(x, blocks, N);
    for (size_t b = 0; b < N / 64; b++) {
        double most = 0;
        for (size_t i = b * 64; i < b * 64 + 64; i++)
            most = TS_MAX(most, fabs((double)x[i]));
        for (size_t i = b * 64; i < b * 64 + 64; i++) {
            unsigned want = 0;
            for (int k = 0; k < 15; k++)
                want += ((double)ts_nf4_values[k] + ts_nf4_values[k + 1]) / 2 < x[i] / (most > 0 ? most : 1);
            assert_int_equal(code_at(blocks, i), want);
        }
    }
    free(x);
    free(blocks);
}

static void what_is_lost(void **state) {
    (void)state;
    float *x = normal(N, 1), *y = malloc(N * sizeof *y);
    unsigned char *blocks = malloc(ts_row_bytes(TS_NF4, N)), *again = malloc(ts_row_bytes(TS_NF4, N));
    double lost = 0, all = 0;
    ts_nf4_encode(x, blocks, N);
    ts_dequantize(TS_NF4, blocks, y, N);
    for (size_t i = 0; i < N; i++) {
        lost += pow((double)y[i] - x[i], 2);
        all += pow(x[i], 2);
    }
    print_message("a normal distribution loses %.4f\n", sqrt(lost / all));
    assert_near(sqrt(lost / all), 0.0918, 0.002, "relative error");
    ts_nf4_encode(y, again, N);
    assert_memory_equal(again, blocks, ts_row_bytes(TS_NF4, N));
    ts_nf4_nest(blocks, N / 64, NULL);
    ts_dequantize(TS_NF4, blocks, y, N);
    lost = 0;
    for (size_t i = 0; i < N; i++)
        lost += pow((double)y[i] - x[i], 2);
    assert_near(sqrt(lost / all), 0.0918, 0.003, "relative error with double quantisation");
    free(x), free(y), free(blocks), free(again);
}

static void nested_values(void **state) {
    (void)state;
    float v[256];
    ts_nf4_nested(v);
    for (int i = 1; i < 256; i++)
        assert_true(v[i - 1] < v[i]);
    assert_true(v[127] == 0 && v[255] == 1);
    assert_near(v[254], 0.99296875, 1e-7, "the second largest");
    assert_near(v[0], -0.99296875, 1e-7, "the smallest");
    assert_near(v[128], 5.5e-7, 1e-12, "the smallest above 0");
}

/* bitsandbytes on one matrix of the real model. */
static void as_bitsandbytes_has_it(void **state) {
    (void)state;
    ts_safetensors *s;
    ts_model *m;
    enum { ROWS = 192, COLS = 576, BLOCKS = ROWS * COLS / 64 };
    assert_ok(ts_safetensors_open(&s, ts_test_shared("golden/smollm2-135m/nf4.safetensors"), &err));
    assert_ok(ts_model_open(&m, ts_test_smollm2(), &err));
    float *x = malloc(sizeof(float) * ROWS * COLS), *y = malloc(sizeof(float) * ROWS * COLS), map[256];
    unsigned char *blocks = malloc(BLOCKS * 36), nested[BLOCKS];
    ts_weight_rows(&m->layer[3].proj[TS_V], 0, ROWS, x);
    ts_nf4_encode(x, blocks, ROWS * COLS);

    const unsigned char *codes = ts_safetensors_find(s, "plain.codes")->data;
    for (size_t i = 0; i < ROWS * COLS; i++)
        assert_int_equal(code_at(blocks, i), i % 2 ? codes[i / 2] & 15 : codes[i / 2] >> 4);
    ts_dequantize(TS_NF4, blocks, y, ROWS * COLS);
    assert_memory_equal(y, ts_safetensors_find(s, "plain.dequantised")->data, sizeof(float) * ROWS * COLS);

    ts_nf4_nested(map);
    assert_memory_equal(map, ts_safetensors_find(s, "double.nested_map")->data, sizeof map);
    ts_nf4_nest(blocks, BLOCKS, nested);
    const unsigned char *want = ts_safetensors_find(s, "double.absmax_codes")->data;
    const float *back = ts_safetensors_find(s, "double.dequantised")->data;
    size_t off = 0;
    ts_dequantize(TS_NF4, blocks, y, ROWS * COLS);
    for (size_t b = 0; b < BLOCKS; b++) {
        off += nested[b] != want[b];
        assert_true(abs(nested[b] - want[b]) <= 1);
        for (size_t i = b * 64; nested[b] == want[b] && i < b * 64 + 64; i++)
            assert_near(y[i], back[i], 1e-6, "weight");
    }
    assert_int_equal(off, 2); /* where bitsandbytes' table misses the nearest */
    ts_model_close(m);
    ts_safetensors_close(s);
    free(x), free(y), free(blocks);
}

static ts_model *tiny(const ts_tiny *shape, bool gguf) {
    ts_model *m;
    char *path = ts_path_join(ts_test_dir(), gguf ? "m.gguf" : "m");
    if (gguf)
        ts_tiny_gguf(path, shape);
    else
        ts_tiny_hf(path, shape);
    assert_ok(ts_model_open(&m, path, &err));
    free(path);
    return m;
}

static void whole_models(void **state) {
    (void)state;
    for (int gguf = 0; gguf < 2; gguf++)
        for (int type = 0; type < 2; type++) {
            ts_tiny shape = {.hidden = 128, .ffn = 192, .heads = 4, .kv_heads = 2, .type = type ? TS_BF16 : TS_F32};
            ts_model *m = tiny(&shape, gguf), *was = tiny(&shape, gguf);
            float row[192], old[192];
            unsigned char blocks[3 * 36];
            assert_ok(ts_model_to_nf4(m, NULL, &err));
            for (size_t l = 0; l < m->config.layers; l++)
                for (int p = 0; p < TS_PROJS; p++) {
                    const ts_weight *w = &m->layer[l].proj[p];
                    assert_int_equal(w->type, TS_NF4);
                    for (size_t r = 0; r < w->rows; r += 5) { /* codes as of the row alone */
                        ts_weight_rows(&was->layer[l].proj[p], r, 1, old);
                        ts_nf4_encode(old, blocks, w->cols);
                        for (size_t i = 0; i < w->cols; i++)
                            assert_int_equal(code_at((const unsigned char *)w->data + r * w->row_bytes, i),
                                             code_at(blocks, i));
                    }
                }
            ts_weight_rows(&m->embed, 3, 1, row);
            ts_weight_rows(&was->embed, 3, 1, old);
            assert_memory_equal(row, old, 128 * sizeof *row);
            ts_model_close(m);
            ts_model_close(was);
        }
}

static void what_cannot_be_rounded_is_said(void **state) {
    (void)state;
    ts_tiny shape = {.hidden = 64, .ffn = 96};
    ts_model *m = tiny(&shape, false);
    assert_int_equal(ts_model_to_nf4(m, NULL, &err), TS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "down_proj"));
    assert_int_equal(m->layer[0].proj[TS_Q].type, TS_F32); /* nothing was touched */
    ts_model_close(m);
    shape = (ts_tiny){.type = TS_Q8_0};
    m = tiny(&shape, true);
    assert_ok(ts_model_to_nf4(m, NULL, &err)); /* in blocks already */
    assert_int_equal(m->layer[0].proj[TS_Q].type, TS_Q8_0);
    ts_model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_count_midpoints), cmocka_unit_test(what_is_lost),
        cmocka_unit_test(nested_values),         cmocka_unit_test(as_bitsandbytes_has_it),
        cmocka_unit_test(whole_models),          cmocka_unit_test(what_cannot_be_rounded_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
