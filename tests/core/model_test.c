#include "core/model/model.h"

#include "core/base/file.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <stdio.h>
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
    assert_near(m->rope[0].freq[0], 1, 0, "fastest");
    assert_near(m->rope[0].freq[7], 1.28917316e-6, 1e-13, "slowest");
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
    if (!a->rows && !b->rows) return; /* part of a fused one */
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

static void assert_same_vector(const float *a, const float *b, size_t n) {
    assert_int_equal(a == NULL, b == NULL);
    if (a) assert_memory_equal(a, b, n * sizeof *a);
}

static void assert_same_model(const ts_model *a, const ts_model *b) {
    assert_int_equal(a->params, b->params);
    assert_int_equal(a->config.tied, b->config.tied);
    assert_int_equal(a->config.eos[0], b->config.eos[0]);
    assert_same_matrix(&a->embed, &b->embed);
    assert_same_matrix(&a->head, &b->head);
    assert_same_vector(a->final_norm, b->final_norm, a->config.hidden);
    for (size_t l = 0; l < a->config.layers; l++) {
        for (ts_proj p = 0; p < TS_PROJS; p++) {
            assert_same_matrix(&a->layer[l].proj[p], &b->layer[l].proj[p]);
            assert_same_vector(a->layer[l].bias[p], b->layer[l].bias[p], a->layer[l].proj[p].rows);
        }
        assert_same_vector(a->layer[l].attn_norm, b->layer[l].attn_norm, a->config.hidden);
        assert_same_vector(a->layer[l].ffn_norm, b->layer[l].ffn_norm, a->config.hidden);
    }
    for (size_t l = 0; l < a->config.layers; l++) {
        const ts_layer *x = &a->layer[l], *y = &b->layer[l];
        assert_same_vector(x->q_norm, y->q_norm, a->config.head_dim);
        assert_same_vector(x->k_norm, y->k_norm, a->config.head_dim);
        assert_same_vector(x->attn_post_norm, y->attn_post_norm, a->config.hidden);
        assert_same_vector(x->ffn_post_norm, y->ffn_post_norm, a->config.hidden);
        assert_int_equal(x->window, y->window);
        assert_int_equal(x->rope, y->rope);
    }
    assert_true(a->config.attn_cap == b->config.attn_cap && a->config.logit_cap == b->config.logit_cap);
    assert_true(a->config.attn_scale == b->config.attn_scale && a->config.embed_scale == b->config.embed_scale);
    assert_int_equal(a->config.act, b->config.act);
    for (int r = 0; r < 2; r++) {
        const ts_rope *x = &a->rope[r], *y = &b->rope[r];
        assert_int_equal(x->rotary, y->rotary);
        assert_int_equal(x->limit, y->limit);
        for (size_t i = 0; i < x->rotary / 2; i++)
            assert_near(x->freq[i], y->freq[i], 2e-7 * y->freq[i], "rotary frequency");
        assert_near(x->gain, y->gain, 1e-6, "gain");
    }
}

/* The same random model as a folder and as a GGUF file, for every type and family: equal bits, wherever rows lie. */
static void folders_and_gguf_files_agree(void **state) {
    (void)state;
    const ts_tiny cases[] = {
        {.seed = 1},
        {.type = TS_F16, .qwen2 = true, .untied = true},
        {.type = TS_BF16, .attention_bias = true, .shards = true, .rope5 = true},
        {.type = TS_Q8_0, .llama3 = true, .head_dim = 32, .layers = 3},
        {.type = TS_Q4_0, .qwen2 = true, .rope5 = true},
        {.type = TS_Q4_1, .heads = 8, .kv_heads = 1, .untied = true},
        {.family = "mistral", .window = 7, .rope = "yarn"},
        {.family = "qwen3", .head_dim = 32, .type = TS_BF16, .rope = "linear", .rope5 = true},
        {.family = "smollm3", .layers = 4},
        {.family = "phi3", .type = TS_Q8_0, .untied = true, .window = 9},
        {.family = "phi3", .rope = "longrope", .rope5 = true},
        {.family = "gemma2", .head_dim = 24},
        {.family = "gemma3", .layers = 3, .type = TS_Q4_0},
    };
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        const char *dir = ts_test_dir();
        char *gguf = ts_path_join(ts_test_dir(), "tiny.gguf");
        ts_tiny_hf(dir, &cases[i]);
        ts_tiny_gguf(gguf, &cases[i]);
        ts_model *a = open_ok(dir), *b = open_ok(gguf);
        assert_int_equal(b->layer[0].proj[TS_GATE].type, cases[i].type);
        assert_same_model(a, b);
        ts_model_close(a);
        ts_model_close(b);
        free(gguf);
    }
}

static void the_hash_follows_the_bytes(void **state) {
    (void)state;
    const char *one = ts_test_dir(), *same = ts_test_dir(), *other = ts_test_dir();
    ts_tiny_hf(one, NULL);
    ts_tiny_hf(same, NULL);
    ts_tiny_hf(other, &(ts_tiny){.seed = 2});
    char a[33], b[33], c[33];
    ts_model *m = open_ok(one);
    assert_ok(ts_model_hash(m, a, &err));
    assert_ok(ts_model_hash(m, b, &err));
    assert_string_equal(a, b);
    ts_model_close(m);
    m = open_ok(same);
    assert_ok(ts_model_hash(m, b, &err));
    assert_string_equal(a, b);
    ts_model_close(m);
    m = open_ok(other);
    assert_ok(ts_model_hash(m, c, &err));
    assert_string_not_equal(a, c);
    ts_model_close(m);
}

/* What a person gets for a file that cannot be used: one sentence with the words they need. */
static void refused(const char *path, ts_status status, const char *words) {
    ts_model *m;
    err.text[0] = 0;
    assert_int_equal(ts_model_open(&m, path, &err), status);
    assert_null(m);
    if (!strstr(err.text, words)) fail_msg("\"%s\" is not in: %s", words, err.text);
}

static void replace_in_file(const char *dir, const char *name, const char *from, const char *to) {
    char *path = ts_path_join(dir, name);
    ts_buf text = TS_BUF_INIT, out = TS_BUF_INIT;
    assert_ok(ts_file_read(path, 1 << 24, &text, &err));
    char *at = memmem(text.data, text.len, from, strlen(from));
    assert_non_null(at);
    ts_buf_add(&out, text.data, (size_t)(at - text.data));
    ts_buf_puts(&out, to);
    at += strlen(from);
    ts_buf_add(&out, at, (size_t)(text.data + text.len - at));
    assert_ok(ts_file_write(path, out.data, out.len, &err));
    ts_buf_release(&text);
    ts_buf_release(&out);
    free(path);
}

static void settings_we_do_not_do_are_refused_by_name(void **state) {
    (void)state;
    const struct {
        const char *from, *to, *words;
        ts_status status;
    } cases[] = {
        {"LlamaForCausalLM", "MambaForCausalLM", "architecture MambaForCausalLM", TS_UNSUPPORTED},
        {"\"silu\"", "\"gelu\"", "activation gelu", TS_UNSUPPORTED},
        {"\"rope_theta\":10000", "\"rope_scaling\":{\"type\":\"mrope\",\"factor\":4}", "type mrope", TS_UNSUPPORTED},
        {"\"rope_theta\":10000", "\"rope_scaling\":{\"type\":\"longrope\"}", "8 numbers in short_factor", TS_FORMAT},
        {"\"rope_theta\":10000", "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":-4}", "factor -4", TS_FORMAT},
        {"LlamaForCausalLM", "MistralForCausalLM\"],\"layer_types\":[\"chunked_attention\"],\"x\":[\"",
         "chunked_attention", TS_UNSUPPORTED},
        {"LlamaForCausalLM", "Gemma3ForConditionalGeneration", "text_config", TS_FORMAT},
        {"\"tie_word", "\"quantization_config\":{\"quant_method\":\"gptq\"},\"tie_word", "gptq", TS_UNSUPPORTED},
        {"\"tie_word", "\"partial_rotary_factor\":0.5,\"tie_word", "partial_rotary_factor", TS_UNSUPPORTED},
        {"\"num_hidden_layers\":2", "\"num_hidden_layers\":3", "9 tensors of the model are missing", TS_FORMAT},
        {"\"hidden_size\":64", "\"hidden_size\":32", "288 x 64, but the model's settings need 288 x 32", TS_FORMAT},
        {"\"hidden_size\":64", "\"hidden_size\":\"64\"", "hidden_size is not a whole number", TS_FORMAT},
        {"\"hidden_size\":64,", "", "hidden_size is missing", TS_FORMAT},
        {"\"num_key_value_heads\":2", "\"num_key_value_heads\":3", "3 key-value heads", TS_FORMAT},
        {"{", "{,", "config.json", TS_FORMAT},
    };
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        const char *dir = ts_test_dir();
        ts_tiny_hf(dir, NULL);
        replace_in_file(dir, "config.json", cases[i].from, cases[i].to);
        refused(dir, cases[i].status, cases[i].words);
    }
}

static void mistral_has_its_window_on_every_layer(void **state) {
    (void)state;
    const char *dir = ts_test_dir();
    ts_tiny_hf(dir, NULL);
    replace_in_file(dir, "config.json", "LlamaForCausalLM", "MistralForCausalLM\"],\"sliding_window\":512,\"x\":[\"");
    ts_model *m = open_ok(dir);
    assert_string_equal(m->config.family, "mistral");
    assert_true(m->layer[0].window == 512 && m->layer[1].window == 512);
    ts_model_close(m);
}

static void broken_folders_are_named(void **state) {
    (void)state;
    const char *dir = ts_test_dir();
    ts_tiny_hf(dir, NULL);
    replace_in_file(dir, "model.safetensors", "layers.1.mlp.up_proj.w", "layers.1.mlp.up_projew");
    refused(dir, TS_UNSUPPORTED, "layers.1.mlp.up_projew");
    ts_tiny_hf(dir, NULL);
    replace_in_file(dir, "model.safetensors", "model.norm.weight", "model.torm.weight");
    refused(dir, TS_FORMAT, "1 tensor of the model is missing: model.norm.weight");
    ts_tiny_hf(dir, NULL);
    replace_in_file(dir, "model.safetensors", "\"F32\"", "\"I32\"");
    refused(dir, TS_UNSUPPORTED, "has the type I32");
    ts_tiny_hf(dir, &(ts_tiny){.shards = true});
    char *single = ts_path_join(dir, "model.safetensors");
    remove(single); /* from the earlier writing: it would be read first */
    free(single);
    replace_in_file(dir, "model.safetensors.index.json", "model.norm.weight", "model.more.weight");
    refused(dir, TS_FORMAT, "model.more.weight");
    char *shard = ts_path_join(dir, "model-00002-of-00002.safetensors");
    remove(shard);
    free(shard);
    refused(dir, TS_NOT_FOUND, "model-00002-of-00002.safetensors");
}

static void broken_gguf_files_are_named(void **state) {
    (void)state;
    const char *dir = ts_test_dir();
    char *path = ts_path_join(dir, "m.gguf");
    const struct {
        const char *from, *to, *words;
        ts_status status;
    } cases[] = {
        {"output_norm.weight", "output_torm.weight", "missing: output_norm.weight", TS_FORMAT},
        {"blk.1.ffn_up.weight", "blk.1.ffn_op.weight", "blk.1.ffn_op.weight", TS_UNSUPPORTED},
        {"llama.block_count", "llama.black_count", "llama.block_count is missing", TS_FORMAT},
    };
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        ts_tiny_gguf(path, NULL);
        replace_in_file(dir, "m.gguf", cases[i].from, cases[i].to);
        refused(path, cases[i].status, cases[i].words);
    }
    ts_tiny_gguf(path, NULL);
    replace_in_file(dir, "m.gguf", "llama", "lemma");
    refused(path, TS_UNSUPPORTED, "architecture lemma");
    free(path);
}

/* The GGUF file and the folder that was made from it in Hugging Face's row order hold the same bits. */
static void gguf_and_its_folder_are_the_same_model(void **state) {
    (void)state;
    const char *gguf = ts_test_smollm2();
    char *dir = ts_path_dir(gguf), *folder = ts_printf("%s-hf-f32", dir);
    if (!ts_is_dir(folder)) {
        print_message("skipped: needs %s\n", folder);
        free(dir);
        free(folder);
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
    assert_memory_equal(a->rope[0].freq, b->rope[0].freq, a->config.head_dim / 2 * sizeof(float));
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
        cmocka_unit_test(folders_and_gguf_files_agree),
        cmocka_unit_test(the_hash_follows_the_bytes),
        cmocka_unit_test(settings_we_do_not_do_are_refused_by_name),
        cmocka_unit_test(mistral_has_its_window_on_every_layer),
        cmocka_unit_test(broken_folders_are_named),
        cmocka_unit_test(broken_gguf_files_are_named),
        cmocka_unit_test(gguf_and_its_folder_are_the_same_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
