#include "core/model/adapter.h"

#include "core/base/file.h"
#include "core/model/safetensors.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;
enum { QV = 1 << TS_Q | 1 << TS_V, ALL = (1 << TS_PROJS) - 1 };

static ts_model *tiny(const ts_tiny *settings) {
    ts_model *m;
    const char *dir = ts_test_dir();
    ts_tiny_hf(dir, settings);
    assert_ok(ts_model_open(&m, dir, &err));
    return m;
}

static ts_adapter *fresh(const ts_model *m, size_t r, unsigned targets, bool rslora) {
    ts_adapter *a;
    assert_ok(ts_adapter_new(&a, m, r, 16, .05, rslora, targets, 7, &err));
    for (size_t i = 0; i < a->n_params; i++)
        if (a->block[i] == 0) a->block[i] = (float)i * 1e-3f; /* B, so that a mix-up shows */
    return a;
}

static ts_buf read_file(const char *dir, const char *name) {
    ts_buf b = TS_BUF_INIT;
    char *path = ts_path_join(dir, name);
    assert_ok(ts_file_read(path, 1 << 28, &b, &err));
    free(path);
    return b;
}

static void assert_same_file(const char *a, const char *b, const char *name) {
    ts_buf x = read_file(a, name), y = read_file(b, name);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    ts_buf_release(&x);
    ts_buf_release(&y);
}

static void replace_config(const char *dir, const char *from, const char *to) {
    ts_buf x = read_file(dir, "adapter_config.json"), out = TS_BUF_INIT;
    char *at = strstr(x.data, from), *path = ts_path_join(dir, "adapter_config.json");
    assert_non_null(at);
    ts_buf_add(&out, x.data, (size_t)(at - x.data));
    ts_buf_puts(&out, to);
    ts_buf_puts(&out, at + strlen(from));
    assert_ok(ts_file_write(path, out.data, out.len, &err));
    ts_buf_release(&x);
    ts_buf_release(&out);
    free(path);
}

static void a_new_one_starts_as_peft_does(void **state) {
    (void)state;
    ts_model *m = tiny(NULL);
    ts_adapter *a, *again;
    assert_ok(ts_adapter_new(&a, m, 8, 16, 0, false, QV, 42, &err));
    assert_int_equal(a->n_params, 2 * (8 * (64 + 64) + 8 * (64 + 32)));
    ts_adapter_settings settings = {.r = 8, .alpha = 16};
    size_t params;
    assert_ok(ts_targets_set(&settings, "q_proj,v_proj", m, &err));
    assert_ok(ts_lora_params(&params, m, &settings, &err));
    ts_adapter_settings_release(&settings);
    assert_int_equal(a->n_params, params);
    const ts_lora *q = &a->lora[1][TS_Q];
    assert_true(q->scale == 2);
    assert_int_equal(a->lora[1][TS_K].r, 0);
    double sum = 0, largest = 0;
    for (size_t i = 0; i < 8 * 64; i++) {
        sum += (double)q->a[i];
        largest = fmax(largest, fabs((double)q->a[i]));
        assert_true(q->b[i] == 0);
    }
    assert_true(largest <= 0.125 && largest > 0.12); /* 1/sqrt(64) */
    assert_near(sum / (8 * 64), 0, .02, "mean of A");
    assert_ok(ts_adapter_new(&again, m, 8, 16, 0, false, QV, 42, &err));
    assert_memory_equal(a->block, again->block, a->n_params * sizeof(float));
    ts_adapter_free(again);
    assert_ok(ts_adapter_new(&again, m, 8, 16, 0, true, QV, 43, &err));
    assert_memory_not_equal(a->block, again->block, a->n_params * sizeof(float));
    assert_near(again->lora[0][TS_V].scale, 16 / sqrt(8), 1e-6, "rsLoRA scale");
    ts_adapter_free(again);
    ts_adapter_free(a);
    ts_model_close(m);
}

static void impossible_settings_are_refused(void **state) {
    (void)state;
    ts_model *m = tiny(NULL);
    ts_adapter *a;
    assert_int_equal(ts_adapter_new(&a, m, 0, 16, 0, false, QV, 1, &err), TS_INVALID);
    assert_int_equal(ts_adapter_new(&a, m, 1 << 20, 16, 0, false, QV, 1, &err), TS_INVALID);
    assert_int_equal(ts_adapter_new(&a, m, 8, NAN, 0, false, QV, 1, &err), TS_INVALID);
    assert_int_equal(ts_adapter_new(&a, m, 8, 16, 1, false, QV, 1, &err), TS_INVALID);
    assert_int_equal(ts_adapter_new(&a, m, 8, 16, 0, false, 0, 1, &err), TS_INVALID);
    assert_null(a);
    ts_model_close(m);
}

static void zero_like_has_the_same_layout(void **state) {
    (void)state;
    ts_model *m = tiny(&(ts_tiny){.layers = 3});
    ts_adapter *a = fresh(m, 4, ALL, false), *z;
    assert_ok(ts_adapter_zero_like(&z, a, &err));
    for (size_t i = 0; i < z->n_params; i++)
        assert_true(z->block[i] == 0);
    assert_int_equal(z->lora[2][TS_DOWN].b - z->block, a->lora[2][TS_DOWN].b - a->block);
    ts_adapter_free(z);
    ts_adapter_free(a);
    ts_model_close(m);
}

static void saved_loaded_and_saved_again_are_equal_bytes(void **state) {
    (void)state;
    ts_model *m = tiny(&(ts_tiny){.qwen2 = true, .layers = 12});
    const unsigned targets[] = {QV, ALL, 1 << TS_DOWN};
    for (size_t i = 0; i < TS_COUNT(targets); i++) {
        const char *one = ts_test_dir(), *two = ts_test_dir();
        ts_adapter *a = fresh(m, 3 + i, targets[i], i == 1), *b;
        assert_ok(ts_adapter_save(a, one, &err));
        assert_ok(ts_adapter_load(&b, one, m, &err));
        assert_int_equal(b->n_params, a->n_params);
        assert_memory_equal(a->block, b->block, a->n_params * sizeof(float));
        assert_true(b->lora[1][TS_DOWN].scale == a->lora[1][TS_DOWN].scale);
        assert_true(b->dropout == .05);
        assert_ok(ts_adapter_save(b, two, &err));
        assert_same_file(one, two, "adapter_config.json");
        assert_same_file(one, two, "adapter_model.safetensors");
        ts_adapter_free(a);
        ts_adapter_free(b);
    }
    ts_model_close(m);
}

static void the_config_is_written_as_peft_writes_it(void **state) {
    (void)state;
    ts_model *m = tiny(NULL);
    const char *dir = ts_test_dir();
    ts_adapter *a;
    assert_ok(ts_adapter_new(&a, m, 16, 32, 0, true, QV, 1, &err));
    free(a->settings.base_model);
    a->settings.base_model = ts_strdup("a \"model\"");
    assert_ok(ts_adapter_save(a, dir, &err));
    ts_buf text = read_file(dir, "adapter_config.json");
    assert_string_equal(text.data, "{\n  \"alpha_pattern\": {},\n  \"auto_mapping\": null,\n"
                                   "  \"base_model_name_or_path\": \"a \\\"model\\\"\",\n  \"bias\": \"none\",\n"
                                   "  \"exclude_modules\": null,\n  \"fan_in_fan_out\": false,\n"
                                   "  \"inference_mode\": true,\n  \"init_lora_weights\": true,\n"
                                   "  \"layers_pattern\": null,\n  \"layers_to_transform\": null,\n"
                                   "  \"lora_alpha\": 32,\n  \"lora_dropout\": 0.0,\n  \"modules_to_save\": null,\n"
                                   "  \"peft_type\": \"LORA\",\n  \"peft_version\": \"0.17.0\",\n  \"r\": 16,\n"
                                   "  \"rank_pattern\": {},\n  \"revision\": null,\n  \"target_modules\": [\n"
                                   "    \"q_proj\",\n    \"v_proj\"\n  ],\n  \"task_type\": \"CAUSAL_LM\",\n"
                                   "  \"use_dora\": false,\n  \"use_rslora\": true\n}");
    ts_buf_release(&text);
    ts_adapter_free(a);
    ts_model_close(m);
}

/* Loading fails with `status` and all the words (separated by |) in its sentence. */
static void refused(const char *dir, const ts_model *m, ts_status status, const char *words) {
    ts_adapter *a;
    char copy[256], *rest = copy, *word;
    err.text[0] = 0;
    assert_int_equal(ts_adapter_load(&a, dir, m, &err), status);
    assert_null(a);
    snprintf(copy, sizeof copy, "%s", words);
    while ((word = strsep(&rest, "|")))
        if (!strstr(err.text, word)) fail_msg("\"%s\" is not in: %s", word, err.text);
}

static void adapters_for_another_model_are_refused(void **state) {
    (void)state;
    ts_model *m = tiny(NULL), *deeper = tiny(&(ts_tiny){.layers = 3}), *wider = tiny(&(ts_tiny){.hidden = 96});
    const char *dir = ts_test_dir();
    ts_adapter *a = fresh(deeper, 4, QV, false);
    assert_ok(ts_adapter_save(a, dir, &err));
    refused(dir, m, TS_FORMAT, "does not fit|4 unexpected|layers.2.self_attn.q_proj.lora_A.weight");
    ts_adapter_free(a);
    a = fresh(m, 4, QV, false);
    assert_ok(ts_adapter_save(a, dir, &err));
    refused(dir, deeper, TS_FORMAT, "4 missing|layers.2.self_attn.q_proj.lora_A.weight");
    refused(dir, wider, TS_FORMAT, "8 of a wrong shape|has 4 x 64, not 4 x 96");
    replace_config(dir, "\"q_proj\"", "\"k_proj\"");
    refused(dir, m, TS_FORMAT, "4 missing|k_proj|4 unexpected|q_proj");
    ts_adapter_free(a);
    ts_model_close(m);
    ts_model_close(deeper);
    ts_model_close(wider);
}

static void what_is_not_done_is_refused_by_name(void **state) {
    (void)state;
    ts_model *m = tiny(NULL);
    const struct {
        const char *from, *to, *words;
        ts_status status;
    } cases[] = {
        {"\"use_dora\": false", "\"use_dora\": true", "missing", TS_FORMAT},
        {"\"use_dora\": false", "\"lora_bias\": true", "lora_bias", TS_UNSUPPORTED},
        {"\"modules_to_save\": null", "\"modules_to_save\": [\"norm\"]", "missing", TS_FORMAT},
        {"\"modules_to_save\": null", "\"modules_to_save\": [\"up_proj\"]", "mlp.up_proj whole", TS_UNSUPPORTED},
        {"\"modules_to_save\": null", "\"modules_to_save\": [\"score\"]", "does not have", TS_UNSUPPORTED},
        {"\"rank_pattern\": {}", "\"rank_pattern\": {\"q_proj\": 3}", "wrong shape", TS_FORMAT},
        {"\"rank_pattern\": {}", "\"rank_pattern\": {\"q_proj\": 2.5}", "a rank of 2.5", TS_INVALID},
        {"\"rank_pattern\": {}", "\"rank_pattern\": {\"q_(\": 2}", "rank_pattern", TS_INVALID},
        {"\"layers_to_transform\": null", "\"layers_to_transform\": [0]", "unexpected", TS_FORMAT},
        {"\"bias\": \"none\"", "\"bias\": \"all\"", "bias", TS_UNSUPPORTED},
        {"\"init_lora_weights\": true", "\"init_lora_weights\": \"pissa\"", "pissa", TS_UNSUPPORTED},
        {"\"LORA\"", "\"IA3\"", "type IA3", TS_UNSUPPORTED},
        {"\"peft_type\": \"LORA\",", "", "peft_type", TS_FORMAT},
        {"\"r\": 4", "\"r\": -4", "r is not a whole number", TS_FORMAT},
        {"\"q_proj\"", "\"embed_tokens\"", "embed_tokens.lora_embedding_A", TS_FORMAT},
        {"\"q_proj\"", "\"query\"", "unexpected", TS_FORMAT},
        {"{", "{{", "adapter_config.json", TS_FORMAT},
    };
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        const char *dir = ts_test_dir();
        ts_adapter *a = fresh(m, 4, QV, false);
        assert_ok(ts_adapter_save(a, dir, &err));
        replace_config(dir, cases[i].from, cases[i].to);
        refused(dir, m, cases[i].status, cases[i].words);
        ts_adapter_free(a);
    }
    refused(ts_test_dir(), m, TS_NOT_FOUND, "no adapter_config.json");
    ts_model_close(m);
}

static void values_that_are_not_finite_are_refused(void **state) {
    (void)state;
    ts_model *m = tiny(NULL);
    const char *dir = ts_test_dir();
    ts_adapter *a = fresh(m, 4, QV, false);
    a->lora[1][TS_V].b[3] = NAN;
    assert_ok(ts_adapter_save(a, dir, &err));
    refused(dir, m, TS_FORMAT, "not finite");
    ts_adapter_free(a);
    ts_model_close(m);
}

/* Bits of the projections that an adapter with these target modules has in one layer. */
static unsigned adapted(const ts_model *m, const char *targets, size_t layer) {
    ts_adapter_settings s = {.r = 2, .alpha = 4};
    ts_adapter *a;
    unsigned bits = 0;
    assert_ok(ts_targets_set(&s, targets, m, &err));
    assert_ok(ts_adapter_make(&a, m, &s, 1, &err));
    for (ts_proj p = 0; p < TS_PROJS; p++)
        if (a->lora[layer][p].r) bits |= 1u << p;
    ts_adapter_free(a);
    ts_adapter_settings_release(&s);
    return bits;
}

static void targets_as_names_expression_or_all(void **state) {
    (void)state;
    ts_model *m = tiny(&(ts_tiny){.layers = 12});
    assert_int_equal(adapted(m, "all-linear", 11), ALL);
    assert_int_equal(adapted(m, "q_proj, v_proj", 0), QV);
    assert_int_equal(adapted(m, "mlp.up_proj", 3), 1 << TS_UP);
    assert_int_equal(adapted(m, ".*\\.self_attn\\..*", 3), 1 << TS_Q | 1 << TS_K | 1 << TS_V | 1 << TS_O);
    assert_int_equal(adapted(m, ".*(gate|down)_proj", 3), 1 << TS_GATE | 1 << TS_DOWN);
    /* some layers only */
    assert_int_equal(adapted(m, "model.layers.1[0-9]?.self_attn.q_proj", 1), 1 << TS_Q);
    assert_int_equal(adapted(m, "model.layers.1[0-9]?.self_attn.q_proj", 11), 1 << TS_Q);
    assert_int_equal(adapted(m, "model.layers.1[0-9]?.self_attn.q_proj", 2), 0);
    assert_int_equal(adapted(m, "model.layers.3.self_attn.q_proj", 3), 1 << TS_Q);
    assert_int_equal(adapted(m, "model.layers.3.self_attn.q_proj", 4), 0);
    ts_adapter_settings s = {0};
    static const char *const wrong[] = {"(q|v)_proj" /* the whole path must match */, "proj", ".*(", "", ", ,"};
    for (size_t i = 0; i < TS_COUNT(wrong); i++)
        assert_int_equal(ts_targets_set(&s, wrong[i], m, &err), TS_INVALID);
    assert_null(s.targets); /* failure leaves it alone */
    ts_model_close(m);
}

static void trainable_line_as_peft_prints_it(void **state) {
    (void)state;
    char line[128];
    ts_trainable_line(4884480, 134515008, line, sizeof line);
    assert_string_equal(line, "trainable params: 4,884,480 || all params: 139,399,488 || trainable%: 3.5039");
    ts_trainable_line(0, 999, line, sizeof line);
    assert_string_equal(line, "trainable params: 0 || all params: 999 || trainable%: 0.0000");
}

/* Folders that PEFT wrote. */
static void peft_folders_of_smollm2_load(void **state) {
    (void)state;
    const char *qv = ts_test_shared("golden/smollm2-135m/adapters/qv-r8"),
               *all = ts_test_shared("golden/smollm2-135m/adapters/all-r4-rslora-bf16");
    ts_model *m;
    ts_adapter *a, *again;
    assert_ok(ts_model_open(&m, ts_test_smollm2(), &err));
    assert_ok(ts_adapter_load(&a, qv, m, &err));
    assert_true(a->lora[29][TS_Q].r == 8 && a->lora[29][TS_K].r == 0);
    assert_true(a->lora[29][TS_Q].scale == 2);
    const char *dir = ts_test_dir();
    assert_ok(ts_adapter_save(a, dir, &err));
    assert_same_file(qv, dir, "adapter_model.safetensors");
    ts_adapter_free(a);
    assert_ok(ts_adapter_load(&a, all, m, &err));
    assert_true(a->lora[0][TS_DOWN].scale == 4);
    assert_ok(ts_adapter_save(a, dir, &err));
    assert_ok(ts_adapter_load(&again, dir, m, &err));
    assert_memory_equal(a->block, again->block, a->n_params * sizeof(float));
    ts_adapter_free(a);
    ts_adapter_free(again);
    static const char *const forms[] = {"qv-r4-dora", "patterns", "norms-saved", "embed-r1"};
    for (size_t i = 0; i < TS_COUNT(forms); i++) {
        char *from = ts_path_join(ts_test_shared("golden/smollm2-135m/adapters"), forms[i]);
        assert_ok(ts_adapter_load(&a, from, m, &err));
        assert_ok(ts_adapter_save(a, dir, &err));
        assert_same_file(from, dir, "adapter_model.safetensors");
        ts_adapter_free(a);
        free(from);
    }
    ts_model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_starts_as_peft_does),
        cmocka_unit_test(impossible_settings_are_refused),
        cmocka_unit_test(zero_like_has_the_same_layout),
        cmocka_unit_test(saved_loaded_and_saved_again_are_equal_bytes),
        cmocka_unit_test(the_config_is_written_as_peft_writes_it),
        cmocka_unit_test(adapters_for_another_model_are_refused),
        cmocka_unit_test(what_is_not_done_is_refused_by_name),
        cmocka_unit_test(values_that_are_not_finite_are_refused),
        cmocka_unit_test(targets_as_names_expression_or_all),
        cmocka_unit_test(trainable_line_as_peft_prints_it),
        cmocka_unit_test(peft_folders_of_smollm2_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
