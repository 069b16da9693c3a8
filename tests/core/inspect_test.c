#include "core/model/inspect.h"

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/engine/net.h"
#include "core/model/adapter.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

static ts_json *as_json(const char *spec) {
    ts_buf out = TS_BUF_INIT;
    assert_ok(ts_model_inspect(spec, ts_net_memory, true, &out, &err));
    ts_json *root = ts_json_parse(out.data, out.len, &err);
    if (!root) fail_msg("%s: %s", err.text, out.data);
    ts_buf_release(&out);
    return root;
}

static void has_lines(const char *spec, const char *const *lines) {
    ts_buf out = TS_BUF_INIT;
    assert_ok(ts_model_inspect(spec, ts_net_memory, false, &out, &err));
    for (; *lines; lines++)
        if (!strstr(ts_buf_str(&out), *lines)) fail_msg("\"%s\" is not in:\n%s", *lines, out.data);
    ts_buf_release(&out);
}

static void a_folder_and_a_gguf_file(void **state) {
    (void)state;
    const char *dir = ts_test_dir();
    char *gguf = ts_path_join(ts_test_dir(), "tiny.gguf");
    ts_tiny_hf(dir, &(ts_tiny){.qwen2 = true, .untied = true});
    ts_tiny_gguf(gguf, &(ts_tiny){.type = TS_Q4_1});
    has_lines(dir, (const char *[]){"Hugging Face folder", "Qwen2ForCausalLM (qwen2)", "hidden 64",
                                    "4 of 16, key-value heads 2", "288, a head of its own",
                                    "GPT2Tokenizer, byte-level BPE, 274 tokens, chat template", "f32", NULL});
    has_lines(gguf, (const char *[]){"Tiny random\n", "GGUF file, version 3", "14 q4_1", "1 q8_0", "5 f32",
                                     "pre-split smollm, 288 tokens, 15 merges, chat template", NULL});
    ts_json *j = as_json(gguf);
    assert_true(ts_json_is_true(ts_json_get(j, "usable")));
    assert_true(ts_json_num(ts_json_get(j, "layers"), 0) == 2);
    assert_true(ts_json_num(ts_json_child(ts_json_get(j, "stop_tokens")), 0) == 2);
    assert_true(ts_json_num(ts_json_get(ts_json_get(j, "tokenizer"), "tokens"), 0) == 288);
    ts_json_free(j);
    free(gguf);
}

static void what_only_some_families_have(void **state) {
    (void)state;
    const char *gemma = ts_test_dir(), *phi = ts_test_dir(), *smol = ts_test_dir();
    ts_tiny_hf(gemma, &(ts_tiny){.family = "gemma2", .layers = 3});
    ts_tiny_hf(phi, &(ts_tiny){.family = "phi3", .rope = "longrope"});
    ts_tiny_hf(smol, &(ts_tiny){.family = "smollm3", .layers = 4});
    has_lines(gemma, (const char *[]){"7 tokens in 2 of 3 layers", "scores 5, logits 4", "rope theta 10000\n", NULL});
    has_lines(phi, (const char *[]){"scaled by longrope, factor 4, on 8 of a head's 16 numbers", NULL});
    has_lines(smol, (const char *[]){"not in 1 of 4 layers", NULL});
    ts_json *j = as_json(gemma);
    assert_true(ts_json_num(ts_json_get(j, "window"), 0) == 7 && ts_json_num(ts_json_get(j, "window_layers"), 0) == 2);
    assert_true(ts_json_num(ts_json_get(j, "attention_cap"), 0) == 5);
    ts_json_free(j);
    j = as_json(smol);
    assert_true(ts_json_is_null(ts_json_get(j, "window")) && ts_json_is_null(ts_json_get(j, "logit_cap")));
    assert_string_equal(ts_json_str(ts_json_get(j, "rope_type"), ""), "default");
    ts_json_free(j);
}

static void what_it_takes_to_use_it(void **state) {
    (void)state;
    const char *dir = ts_test_dir();
    ts_tiny_hf(dir, NULL);
    has_lines(dir,
              (const char *[]){"274 tokens", "a turn ends with 2 ", " to load, mapped from the file",
                               "512 bytes a token of an answer", "to train with lora", "with full: all weights in f32", NULL});
    ts_json *j = as_json(dir);
    const ts_json *memory = ts_json_get(j, "memory"), *t = ts_json_get(j, "tokenizer");
    /* 2 layers x 2 heads x (keys, values) x 16 x 4 bytes */
    assert_true(ts_json_num(ts_json_get(memory, "kv_token"), 0) == 512);
    assert_true(ts_json_num(ts_json_get(memory, "kv_context"), 0) == 512 * ts_json_num(ts_json_get(j, "context"), 0));
    assert_true(ts_json_num(ts_json_get(memory, "full"), 0) > 16 * ts_json_num(ts_json_get(j, "parameters"), 0));
    assert_true(ts_json_num(ts_json_get(memory, "lora"), 0) < ts_json_num(ts_json_get(memory, "full"), 0));
    assert_true(ts_json_is_true(ts_json_get(t, "usable")));
    assert_true(ts_json_is_true(ts_json_get(t, "template_usable")));
    assert_false(ts_json_is_true(ts_json_get(t, "marks_answers")));
    assert_true(ts_json_num(ts_json_get(t, "end_of_turn"), 0) == 2);
    ts_json_free(j);
}

static void a_folder_that_cannot_be_used_is_described(void **state) {
    (void)state;
    const char *dir = ts_test_dir();
    char *config = ts_path_join(dir, "config.json"), *tokenizer = ts_path_join(dir, "tokenizer.json");
    static const char strange[] = "{\"architectures\":[\"MambaForCausalLM\"],\"model_type\":\"mamba\"}";
    static const char broken[] = "{\"model\":{\"type\":\"Oracle\"}}";
    ts_tiny_hf(dir, NULL);
    assert_ok(ts_file_write(config, strange, sizeof strange - 1, &err));
    assert_ok(ts_file_write(tokenizer, broken, sizeof broken - 1, &err));
    has_lines(dir, (const char *[]){"architecture  MambaForCausalLM", "unusable", "MambaForCausalLM is not known",
                                    "Oracle", NULL});
    ts_json *j = as_json(dir);
    assert_false(ts_json_is_true(ts_json_get(j, "usable")));
    assert_string_equal(ts_json_str(ts_json_get(j, "architecture"), ""), "MambaForCausalLM");
    assert_non_null(strstr(ts_json_str(ts_json_get(ts_json_get(j, "tokenizer"), "reason"), ""), "Oracle"));
    ts_json_free(j);
    free(config);
    free(tokenizer);
}

static void a_gguf_file_that_cannot_be_used_is_described(void **state) {
    (void)state;
    char *path = ts_path_join(ts_test_dir(), "m.gguf");
    ts_buf file = TS_BUF_INIT;
    ts_tiny_gguf(path, NULL);
    assert_ok(ts_file_read(path, 1 << 24, &file, &err));
    memcpy(memmem(file.data, file.len, "llama", 5), "\033emma", 5);
    assert_ok(ts_file_write(path, file.data, file.len, &err));
    has_lines(path, (const char *[]){"unusable", "architecture ?emma is not known", "20 f32", NULL});
    ts_json *j = as_json(path);
    assert_false(ts_json_is_true(ts_json_get(j, "usable")));
    ts_json_free(j);
    file.len /= 2;
    assert_ok(ts_file_write(path, file.data, file.len, &err));
    ts_buf out = TS_BUF_INIT;
    assert_int_equal(ts_model_inspect(path, NULL, false, &out, &err), TS_FORMAT);
    assert_int_equal(out.len, 0);
    ts_buf_release(&file);
    free(path);
}

/* Norms against the product written out. */
static void an_adapter_with_its_norms(void **state) {
    (void)state;
    const char *model = ts_test_dir(), *dir = ts_test_dir();
    ts_model *m;
    ts_adapter *a;
    ts_tiny_hf(model, NULL);
    assert_ok(ts_model_open(&m, model, &err));
    assert_ok(ts_adapter_new(&a, m, 3, 6, 0, false, 1 << TS_V | 1 << TS_UP, 5, &err));
    const ts_lora *x = &a->lora[1][TS_UP];
    for (size_t i = 0; i < x->r * x->out; i++)
        x->b[i] = (float)sin((double)i);
    double sum = 0, norm_b = 0;
    for (size_t o = 0; o < x->out; o++)
        for (size_t i = 0; i < x->in; i++) {
            double w = 0;
            for (size_t k = 0; k < x->r; k++)
                w += (double)x->b[o * x->r + k] * (double)x->a[k * x->in + i];
            sum += w * w;
        }
    for (size_t i = 0; i < x->r * x->out; i++)
        norm_b += (double)x->b[i] * (double)x->b[i];
    assert_ok(ts_adapter_save(a, dir, &err));
    has_lines(dir, (const char *[]){"PEFT adapter, LORA", "3, alpha 6, scale 2, dropout 0", "up_proj, v_proj", "8 f32",
                                    NULL});
    ts_json *j = as_json(dir);
    size_t seen = 0;
    for (const ts_json *v = ts_json_child(ts_json_get(j, "modules")); v; v = ts_json_next(v)) {
        seen++;
        bool ours = strcmp(ts_json_str(ts_json_get(v, "module"), ""), "model.layers.1.mlp.up_proj") == 0;
        assert_near(ts_json_num(ts_json_get(v, "norm_change"), -1), ours ? 2 * sqrt(sum) : 0, 1e-9, "change");
        assert_near(ts_json_num(ts_json_get(v, "norm_b"), -1), ours ? sqrt(norm_b) : 0, 1e-9, "B");
    }
    assert_int_equal(seen, 4);
    ts_json_free(j);
    ts_adapter_free(a);
    ts_model_close(m);
}

static void peft_patterns_have_their_own_scales(void **state) {
    (void)state;
    ts_json *j = as_json(ts_test_shared("golden/smollm2-135m/adapters/patterns"));
    size_t k = 0, down5 = 0;
    for (const ts_json *v = ts_json_child(ts_json_get(j, "modules")); v; v = ts_json_next(v)) {
        const char *path = ts_json_str(ts_json_get(v, "module"), "");
        double scale = ts_json_num(ts_json_get(v, "scale"), 0);
        if (strstr(path, "k_proj")) assert_true(scale == 4 && ++k); /* alpha 12, rank 3 */
        if (strcmp(path, "model.layers.5.mlp.down_proj") == 0) assert_true(scale == .5 && ++down5); /* 1 / 2 */
    }
    assert_int_equal(k, 5);
    assert_int_equal(down5, 1);
    ts_json_free(j);
    has_lines(ts_test_shared("golden/smollm2-135m/adapters/patterns"),
              (const char *[]){"5 x k_proj: rank 3, scale 4", "1 x q_proj: rank 5, scale 0.8",
                               "2 x down_proj: rank 1, scale 4", "1 x down_proj: rank 2, scale 0.5", NULL});
}

/* Embedding LoRA, saved norms and magnitudes are shown, and counted as PEFT counts. */
static void every_form_of_peft_is_described(void **state) {
    (void)state;
    const struct {
        const char *dir, *words;
        size_t trainable;
    } cases[] = {
        {"qv-r4-dora", "LORA with DoRA", 253440},
        {"norms-saved", "61: model.layers.0.input_layernorm", 81216},
        {"embed-r1", "1 x ", 84288},
    };
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        char *dir = ts_path_join(ts_test_shared("golden/smollm2-135m/adapters"), cases[i].dir);
        ts_json *j = as_json(dir);
        if (i < 2) has_lines(dir, (const char *[]){cases[i].words, NULL});
        assert_int_equal((size_t)ts_json_num(ts_json_get(j, "trainable_params"), 0), cases[i].trainable);
        ts_json_free(j);
        free(dir);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_and_a_gguf_file),
        cmocka_unit_test(what_only_some_families_have),
        cmocka_unit_test(what_it_takes_to_use_it),
        cmocka_unit_test(a_folder_that_cannot_be_used_is_described),
        cmocka_unit_test(a_gguf_file_that_cannot_be_used_is_described),
        cmocka_unit_test(an_adapter_with_its_norms),
        cmocka_unit_test(peft_patterns_have_their_own_scales),
        cmocka_unit_test(every_form_of_peft_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
