#include "core/model/adapter.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "core/model/gguf.h"
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
    assert_ok(ts_lora_params(&params, NULL, m, &settings, &err));
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
    assert_int_equal(ts_adapter_new(&a, m, 8, 1e-60, 0, false, QV, 1, &err), TS_INVALID); /* its float would be 0 */
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

/* PEFT writes whole paths where its search for short names finds none, as with all-linear on a small model. */
static void whole_paths_as_targets_are_read(void **state) {
    (void)state;
    ts_model *m = tiny(NULL);
    const char *dir = ts_test_dir();
    ts_adapter *a = fresh(m, 4, QV, false), *b;
    assert_ok(ts_adapter_save(a, dir, &err));
    replace_config(dir, "\"q_proj\",\n    \"v_proj\"",
                   "\"model.layers.0.self_attn.q_proj\", \"layers.1.self_attn.q_proj\", "
                   "\"model.layers.0.self_attn.v_proj\", \"self_attn.v_proj\"");
    assert_ok(ts_adapter_load(&b, dir, m, &err));
    assert_memory_equal(a->block, b->block, a->n_params * sizeof(float));
    ts_adapter_free(b);
    /* a name is whole parts of a path */
    replace_config(dir, "\"layers.1.self_attn.q_proj\"", "\"ayers.1.self_attn.q_proj\"");
    refused(dir, m, TS_FORMAT, "2 unexpected|layers.1.self_attn.q_proj.lora_A.weight");
    ts_adapter_free(a);
    ts_model_close(m);
}

/* An expression is kept as it is, unless PEFT would trip over what else it matches. */
static void expressions_are_kept_or_written_out(void **state) {
    (void)state;
    ts_model *m = tiny(NULL);
    ts_adapter_settings s = {0};
    assert_ok(ts_targets_set(&s, ".*\\.[qv]_proj", m, &err));
    assert_string_equal(s.targets, "\".*\\\\.[qv]_proj\"");
    assert_ok(ts_targets_set(&s, ".*layers\\.1\\.self_attn.*", m, &err));
    assert_string_equal(s.targets, "[\"model.layers.1.self_attn.k_proj\",\"model.layers.1.self_attn.o_proj\","
                                   "\"model.layers.1.self_attn.q_proj\",\"model.layers.1.self_attn.v_proj\"]");
    ts_adapter_settings_release(&s);
    ts_model_close(m);
}

/* What PEFT's table has for the model's type, and a refusal where it has nothing. */
static void no_targets_are_those_of_the_family(void **state) {
    (void)state;
    static const struct {
        const char *family, *refused;
    } cases[] = {{"mistral", NULL}, {"qwen3", NULL},          {"gemma2", NULL},
                 {"gemma3", NULL},  {"smollm3", "a smollm3"}, {"phi3", "a phi3"}};
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        ts_model *m = tiny(&(ts_tiny){.family = cases[i].family});
        const char *dir = ts_test_dir(), *names = "[\n    \"q_proj\",\n    \"v_proj\"\n  ]";
        bool fused = m->config.fused;
        ts_adapter *a = fresh(m, 4, fused ? 1 << TS_Q : QV, false), *b;
        assert_ok(ts_adapter_save(a, dir, &err));
        replace_config(dir, fused ? "[\n    \"qkv_proj\"\n  ]" : names, "null");
        if (cases[i].refused) {
            refused(dir, m, TS_UNSUPPORTED, cases[i].refused);
        } else {
            assert_ok(ts_adapter_load(&b, dir, m, &err));
            assert_memory_equal(a->block, b->block, a->n_params * sizeof(float));
            ts_adapter_free(b);
        }
        ts_adapter_free(a);
        ts_model_close(m);
    }
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

/* An adapter of these settings, every value random. */
static ts_adapter *shaped(const ts_model *m, const ts_adapter_settings *s, uint64_t seed) {
    ts_adapter *a;
    ts_rand r;
    assert_ok(ts_adapter_make(&a, m, s, seed, &err));
    ts_rand_seed(&r, seed);
    for (size_t i = 0; i < a->n_params; i++)
        a->block[i] = 0.1f * (float)ts_rand_normal(&r);
    ts_adapter_refresh(a);
    return a;
}

#define TEXT(s) ((char[]){s})

/* s B A of both is the same: what they do to the model. */
static void assert_same_change(const ts_adapter *a, const ts_adapter *b, const ts_model *m) {
    float *x = ts_malloc(1024 * sizeof *x), *y = ts_malloc(1024 * sizeof *y);
    for (size_t l = 0; l < a->layers; l++)
        for (ts_proj p = 0; p < TS_PROJS; p++) {
            ts_module module = {.layer = l, .proj = p};
            assert_int_equal(ts_adapter_changes(a, module), ts_adapter_changes(b, module));
            for (size_t r = 0; r < m->layer[l].proj[p].rows; r++) {
                ts_adapter_apply(a, m, module, r, 1, x);
                ts_adapter_apply(b, m, module, r, 1, y);
                for (size_t k = 0; k < m->layer[l].proj[p].cols; k++)
                    assert_near(y[k], x[k], 1e-6, "changed weight");
            }
        }
    for (size_t id = 0; id < m->config.vocab; id++) {
        ts_adapter_embed_row(a, m, id, x);
        ts_adapter_embed_row(b, m, id, y);
        for (size_t k = 0; k < m->config.hidden; k++)
            assert_near(y[k], x[k], 1e-6, "changed embedding");
    }
    free(x), free(y);
}

static void every_form_is_written_and_read_alike(void **state) {
    (void)state;
    const ts_adapter_settings forms[] = {
        {.r = 3, .alpha = 6, .dora = true, .targets = TEXT("[\"lm_head\",\"q_proj\",\"v_proj\"]")},
        {.r = 3, .alpha = 6, .targets = TEXT("[\"embed_tokens\",\"lm_head\",\"o_proj\"]")},
        {.r = 2, .alpha = 4, .targets = TEXT("\".*layers.[02].*(q|up)_proj\""), .exclude = TEXT("[\"up_proj\"]")},
        {.r = 2,
         .alpha = 4,
         .rslora = true,
         .targets = TEXT("[\"k_proj\",\"down_proj\"]"),
         .layers = TEXT("[1, 2]"),
         .layers_pattern = TEXT("\"layers\""),
         .rank_pattern = TEXT("{\"layers\\\\.2\\\\.mlp.*\": 5, \"k_proj\": 1}"),
         .alpha_pattern = TEXT("{\"k_proj\": 0.5}")},
    };
    ts_model *m = tiny(&(ts_tiny){.untied = true, .layers = 3});
    for (size_t i = 0; i < TS_COUNT(forms); i++) {
        const char *one = ts_test_dir(), *two = ts_test_dir();
        ts_adapter *a = shaped(m, &forms[i], 9 + i), *b;
        assert_ok(ts_adapter_save(a, one, &err));
        assert_ok(ts_adapter_load(&b, one, m, &err));
        assert_int_equal(a->n_params, b->n_params);
        assert_memory_equal(a->block, b->block, a->n_params * sizeof(float));
        assert_ok(ts_adapter_save(b, two, &err));
        assert_same_file(one, two, "adapter_model.safetensors");
        assert_same_file(one, two, "adapter_config.json");
        ts_adapter_free(a);
        ts_adapter_free(b);
    }
    ts_model_close(m);
}

static void gguf_adapters_come_back(void **state) {
    (void)state;
    const ts_adapter_settings forms[] = {
        {.r = 4, .alpha = 8, .targets = TEXT("[\"q_proj\",\"k_proj\",\"up_proj\"]")},
        {.r = 4, .alpha = 8, .rslora = true, .targets = TEXT("[\"q_proj\",\"v_proj\",\"embed_tokens\",\"lm_head\"]")},
        {.r = 2,
         .alpha = 4,
         .targets = TEXT("[\"k_proj\",\"down_proj\"]"),
         .layers = TEXT("[1]"),
         .rank_pattern = TEXT("{\"k_proj\": 3}"),
         .alpha_pattern = TEXT("{\"down_proj\": 9}")},
    };
    for (size_t i = 0; i < TS_COUNT(forms) * 2; i++) {
        ts_model *m = tiny(&(ts_tiny){.untied = true, .qwen2 = i % 2 == 1});
        char *path = ts_path_join(ts_test_dir(), "a.gguf");
        ts_adapter *a = shaped(m, &forms[i / 2], 3 + i), *b;
        assert_ok(ts_adapter_save_gguf(a, path, &err));
        assert_ok(ts_adapter_load(&b, path, m, &err));
        assert_same_change(a, b, m);
        assert_false(b->settings.rslora);
        ts_adapter_free(a);
        ts_adapter_free(b);
        ts_model_close(m);
        free(path);
    }
}

/* The file's rows of q are in the interleaved order for llama, as they are for qwen2. */
static void gguf_rows_are_in_the_files_order(void **state) {
    (void)state;
    ts_model *m = tiny(NULL);
    char *path = ts_path_join(ts_test_dir(), "a.gguf");
    ts_adapter_settings s = {.r = 2, .alpha = 4, .targets = TEXT("[\"q_proj\"]")};
    ts_adapter *a = shaped(m, &s, 5);
    ts_gguf *g;
    double alpha;
    assert_ok(ts_adapter_save_gguf(a, path, &err));
    assert_ok(ts_gguf_open(&g, path, &err));
    const float *b = ts_gguf_find(g, "blk.1.attn_q.weight.lora_b")->data;
    /* the second number of the first pair of head 0 is row d / 2 in Hugging Face's order */
    assert_memory_equal(b + 2, a->lora[1][TS_Q].b + 2 * (m->config.head_dim / 2), 2 * sizeof *b);
    assert_true(ts_gguf_num(g, "adapter.lora.alpha", &alpha) && alpha == 4);
    ts_gguf_close(g);
    s.dora = true;
    ts_adapter *dora = shaped(m, &s, 5);
    assert_int_equal(ts_adapter_save_gguf(dora, path, &err), TS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "merge instead"));
    ts_adapter_free(dora);
    s = (ts_adapter_settings){.r = 2, .alpha = 4, .targets = TEXT("[\"embed_tokens\"]")};
    ts_adapter *both = shaped(m, &s, 5); /* one tensor, looked up and multiplied by */
    assert_int_equal(ts_adapter_save_gguf(both, path, &err), TS_UNSUPPORTED);
    ts_adapter_free(both);
    ts_adapter_free(a);
    ts_model *other = tiny(&(ts_tiny){.qwen2 = true});
    refused(path, other, TS_FORMAT, "for the architecture llama");
    ts_model_close(other);
    other = tiny(&(ts_tiny){.hidden = 32});
    refused(path, other, TS_FORMAT, "wrong shape");
    ts_model_close(other);
    ts_model_close(m);
    free(path);
}

/* An mlx-lm folder made from an adapter: every matrix across, one scale. */
static void write_mlx(const char *dir, const ts_adapter *a, size_t num_layers) {
    ts_tensor list[64];
    ts_arena arena = TS_ARENA_INIT;
    size_t n = 0;
    for (size_t l = 0; l < a->layers; l++)
        for (ts_proj p = 0; p < TS_PROJS; p++) {
            const ts_lora *x = &a->lora[l][p];
            for (int part = 0; x->r && part < (x->mag ? 3 : 2); part++) {
                size_t rows = part == 0 ? x->in : part == 1 ? x->r : x->out, cols = part == 0 ? x->r : x->out;
                const float *from = part == 0 ? x->a : x->b;
                float *to = ts_arena_alloc(&arena, rows * cols * sizeof *to);
                for (size_t i = 0; i < rows && part < 2; i++)
                    for (size_t j = 0; j < cols; j++)
                        to[i * cols + j] = from[j * rows + i];
                if (part == 2) memcpy(to, x->mag, rows * sizeof *to);
                char *name =
                    ts_arena_printf(&arena, "model.layers.%zu.%s.%s.%s", l, ts_proj_parents[p], ts_proj_names[p],
                                    part == 0   ? "lora_a"
                                    : part == 1 ? "lora_b"
                                                : "m");
                list[n] = (ts_tensor){.name = name, .type = TS_F32, .n_dims = part == 2 ? 1 : 2, .data = to};
                list[n].dims[0] = rows;
                list[n].dims[1] = part == 2 ? 0 : cols;
                list[n++].bytes = rows * (part == 2 ? 1 : cols) * sizeof *to;
            }
        }
    char *path = ts_path_join(dir, "adapters.safetensors"), *config = ts_path_join(dir, "adapter_config.json");
    char *text = ts_printf("{\"fine_tune_type\": \"%s\", \"num_layers\": %zu, \"lora_parameters\": {\"rank\": %zu, "
                           "\"dropout\": 0.0, \"scale\": 20.0}}",
                           a->settings.dora ? "dora" : "lora", num_layers, a->settings.r);
    assert_ok(ts_safetensors_write(path, list, n, &err));
    assert_ok(ts_file_write(config, text, strlen(text), &err));
    ts_arena_release(&arena);
    free(path), free(config), free(text);
}

static void mlx_adapters_are_read(void **state) {
    (void)state;
    ts_model *m = tiny(&(ts_tiny){.layers = 3});
    for (size_t i = 0; i < 2; i++) {
        ts_adapter_settings s = {.r = 3, .alpha = 60, .dora = i == 1, .targets = TEXT("[\"q_proj\",\"down_proj\"]")};
        s.layers = TEXT("[1, 2]");
        ts_adapter *a = shaped(m, &s, 5), *b;
        const char *dir = ts_test_dir(), *peft = ts_test_dir();
        write_mlx(dir, a, 2);
        assert_ok(ts_adapter_load(&b, dir, m, &err));
        assert_same_change(a, b, m);
        assert_ok(ts_adapter_save(b, peft, &err)); /* and it is PEFT's from then on */
        ts_adapter_free(b);
        assert_ok(ts_adapter_load(&b, peft, m, &err));
        assert_same_change(a, b, m);
        write_mlx(dir, a, 1); /* says that one layer is adapted, holds two */
        refused(dir, m, TS_FORMAT, "unexpected (model.layers.1.");
        ts_adapter_free(a);
        ts_adapter_free(b);
    }
    ts_model_close(m);
}

static void an_adapter_in_a_sub_folder_is_found(void **state) {
    (void)state;
    ts_model *m = tiny(NULL);
    const char *dir = ts_test_dir();
    char *one = ts_path_join(dir, "german"), *two = ts_path_join(dir, "short");
    ts_adapter *a = fresh(m, 4, QV, false), *b;
    assert_ok(ts_adapter_save(a, one, &err));
    assert_ok(ts_adapter_load(&b, dir, m, &err));
    assert_memory_equal(a->block, b->block, a->n_params * sizeof(float));
    assert_ok(ts_adapter_save(a, two, &err));
    refused(dir, m, TS_INVALID, "german, short");
    ts_adapter_free(a), ts_adapter_free(b);
    free(one), free(two);
    ts_model_close(m);
}

static void patterns_are_typed_as_key_and_number(void **state) {
    (void)state;
    char *json;
    assert_ok(ts_pattern_parse(&json, "k_proj=8,layers\\.[0,1]\\.mlp.*=0.5,(a=b,c)=3", &err));
    assert_string_equal(json, "{\"k_proj\":8,\"layers\\\\.[0,1]\\\\.mlp.*\":0.5,\"(a=b,c)\":3}");
    free(json);
    static const char *const wrong[] = {"k_proj", "k_proj=", "=3", "k_proj=x", "k_proj=-1", ",", "k=1,,j=2"};
    for (size_t i = 0; i < TS_COUNT(wrong); i++)
        assert_int_equal(ts_pattern_parse(&json, wrong[i], &err), TS_INVALID);
    assert_ok(ts_pattern_parse(&json, "", &err));
    assert_null(json);
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
        cmocka_unit_test(expressions_are_kept_or_written_out),
        cmocka_unit_test(whole_paths_as_targets_are_read),
        cmocka_unit_test(no_targets_are_those_of_the_family),
        cmocka_unit_test(values_that_are_not_finite_are_refused),
        cmocka_unit_test(targets_as_names_expression_or_all),
        cmocka_unit_test(every_form_is_written_and_read_alike),
        cmocka_unit_test(gguf_adapters_come_back),
        cmocka_unit_test(gguf_rows_are_in_the_files_order),
        cmocka_unit_test(mlx_adapters_are_read),
        cmocka_unit_test(an_adapter_in_a_sub_folder_is_found),
        cmocka_unit_test(patterns_are_typed_as_key_and_number),
        cmocka_unit_test(trainable_line_as_peft_prints_it),
        cmocka_unit_test(peft_folders_of_smollm2_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
