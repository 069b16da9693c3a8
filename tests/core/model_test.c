#include "core/model/model.h"

#include "core/base/file.h"
#include "tests/support.h"

#include <stdlib.h>
#include <string.h>

static ts_err err;

static ts_model *open_ok(const char *path) {
    ts_model *m;
    assert_ok(ts_model_open(&m, path, &err));
    return m;
}

static void stories_as_its_config_says(void **state) {
    (void)state;
    ts_model *m = open_ok(ts_test_shared("models/stories260K"));
    assert_int_equal(m->params, 260032);
    assert_int_equal(m->config.kv_heads, 4);
    assert_true(m->config.tied && m->head.data == m->embed.data);
    assert_int_equal(m->config.eos[0], 2);
    ts_model_close(m);
}

static void qwen2_has_biases_on_q_k_v(void **state) {
    (void)state;
    ts_model *m = open_ok(ts_test_shared("models/tiny-qwen2"));
    const ts_layer *l = &m->layer[1];
    assert_non_null(l->bias[TS_Q]);
    assert_non_null(l->bias[TS_V]);
    assert_null(l->bias[TS_O]);
    assert_false(m->config.tied);
    assert_true(m->head.data != m->embed.data);
    ts_model_close(m);
}

/* Shards, bf16, a head dimension of its own, llama3 scaling of the rotary positions, several stop tokens. */
static void llama3_shards_and_rope(void **state) {
    (void)state;
    ts_model *m = open_ok(ts_test_shared("models/tiny-llama3"));
    assert_int_equal(m->layer[0].proj[TS_Q].rows, 128);
    assert_int_equal(m->layer[0].proj[TS_Q].type, TS_BF16);
    assert_int_equal(m->config.n_eos, 2);
    /* factor 8, low 1, high 4, 64 positions at first: the fast rotation stays, the slow ones are divided by 8 */
    assert_near(m->rope_freq[0], 1, 0, "fastest");
    assert_near(m->rope_freq[7], 1.28917316e-6, 1e-13, "slowest");
    ts_model_close(m);
}

static void mha_without_kv_heads_has_every_attention_bias(void **state) {
    (void)state;
    ts_model *m = open_ok(ts_test_shared("models/tiny-mha"));
    assert_int_equal(m->config.kv_heads, 4);
    assert_non_null(m->layer[0].bias[TS_O]);
    assert_null(m->layer[0].bias[TS_UP]);
    assert_int_equal(m->embed.type, TS_F16);
    ts_model_close(m);
}

static void assert_same_matrix(const ts_weight *a, const ts_weight *b) {
    assert_int_equal(a->rows, b->rows);
    assert_int_equal(a->cols, b->cols);
    size_t n = TS_MIN(a->rows, (size_t)1024); /* of the embedding the first rows serve */
    float *x = malloc(n * a->cols * sizeof *x), *y = malloc(n * a->cols * sizeof *y);
    ts_weight_rows(a, 0, n, x);
    ts_weight_rows(b, 0, n, y);
    assert_memory_equal(x, y, n * a->cols * sizeof *x);
    free(x);
    free(y);
}

/* The GGUF file and the folder that was made from it in Hugging Face's row order hold the same bits. */
static void gguf_and_its_folder_are_the_same_model(void **state) {
    (void)state;
    const char *gguf = ts_test_smollm2();
    char *dir = ts_path_dir(gguf), *folder = ts_printf("%s-hf-f32", dir);
    if (!ts_is_dir(folder)) {
        print_message("skipped: needs %s\n", folder);
        skip();
    }
    ts_model *a = open_ok(gguf), *b = open_ok(folder);
    assert_int_equal(a->params, 134515008);
    assert_int_equal(b->params, 134515008);
    assert_same_matrix(&a->embed, &b->embed);
    for (size_t l = 0; l < a->config.layers; l += 7) {
        for (ts_proj p = 0; p < TS_PROJS; p++)
            assert_same_matrix(&a->layer[l].proj[p], &b->layer[l].proj[p]);
        assert_memory_equal(a->layer[l].ffn_norm, b->layer[l].ffn_norm, a->config.hidden * sizeof(float));
    }
    assert_memory_equal(a->rope_freq, b->rope_freq, a->config.head_dim / 2 * sizeof(float));
    ts_model_close(a);
    ts_model_close(b);
    free(dir);
    free(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stories_as_its_config_says),
        cmocka_unit_test(qwen2_has_biases_on_q_k_v),
        cmocka_unit_test(llama3_shards_and_rope),
        cmocka_unit_test(mha_without_kv_heads_has_every_attention_bias),
        cmocka_unit_test(gguf_and_its_folder_are_the_same_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
