/* Training by the other methods: over a rounded base, of whole weights, of modules beside LoRA. */
#include "core/engine/net.h"
#include "core/engine/train.h"
#include "core/model/adapter.h"
#include "core/model/safetensors.h"
#include "tests/support.h"
#include "tests/tiny_model.h"
#include "tests/train_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

/* qlora is lora over the base in 4 bits: another loss before the first step, the same after the model was rounded. */
static void qlora_trains_over_the_rounded_base(void **state) {
    (void)state;
    double first[2];
    char *model = train_path("wide");
    ts_tiny_hf(model, &(ts_tiny){.hidden = 64, .ffn = 128, .seed = 3});
    train_rows("train.jsonl", 8, 12);
    for (int q = 0; q < 2; q++) {
        ts_run_settings s;
        ts_train_result r;
        train_settings(&s);
        ts_run_set(&s.model, model);
        train_set(&s, "lora-dropout", "0");
        train_set(&s, "epochs", "8");
        train_set(&s, "method", q ? "qlora" : "lora");
        char *dir = train_create(q ? "qlora" : "lora", &s, false);
        assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
        ts_follow f = train_follow(dir);
        first[q] = f.points[0].loss;
        assert_true(f.points[f.n_points - 1].loss < 0.8 * first[q]);
        ts_follow_release(&f);
        free(dir);
    }
    assert_true(fabs(first[0] - first[1]) > 1e-5 && fabs(first[0] - first[1]) < 0.2);
    free(model);
}

static void set_full(ts_run_settings *s) {
    train_settings(s);
    train_set(s, "method", "full");
    train_set(s, "lora-dropout", "0");
    train_set(s, "learning-rate", "0.003");
    train_set(s, "weight-decay", "0.1");
}

/* All weights: stopped at every line and resumed it ends with the bytes of one left alone, and the result is a model.
 */
static void full_resumes(const char *weights) {
    ts_run_settings s;
    ts_train_result whole, r = {0};
    train_rows("train.jsonl", 11, 3);
    train_rows("valid.jsonl", 3, 4);
    set_full(&s);
    train_set(&s, "weights", weights);
    char *left_alone = train_create("alone", &s, true);
    assert_ok(ts_train_run(left_alone, NULL, NULL, &whole, &err));
    ts_follow f = train_follow(left_alone);
    assert_true(f.points[f.n_points - 1].loss < 0.8 * f.points[0].loss);
    assert_int_equal(f.trainable_params, f.all_params);
    ts_follow_release(&f);
    set_full(&s);
    train_set(&s, "weights", weights);
    train_set(&s, "threads", "1"); /* the other one has all */
    char *stopped = train_create("stopped", &s, true);
    int starts = 0;
    do {
        ts_train_stopper st = {.at = 2 + starts % 3};
        ts_train_options o = {.on_line = train_stop_after, .ctx = &st};
        assert_ok(ts_train_run(stopped, &o, &st.progress, &r, &err));
        assert_true(++starts < 40);
    } while (r.state == TS_RUN_STOPPED);
    assert_true(starts > 3);
    assert_same_run_file(left_alone, stopped, "model/model.safetensors");
    assert_same_run_file(left_alone, stopped, "best/model.safetensors");
    assert_true(whole.best_valid_loss == r.best_valid_loss && whole.train_loss == r.train_loss);
    free(left_alone);
    free(stopped);
}

static void full_resumes_to_the_bit(void **state) {
    (void)state;
    full_resumes("f32");
}

static void full_in_bf16_resumes_to_the_bit(void **state) {
    (void)state;
    full_resumes("bf16");
}

static double nll_of(const ts_model *m, const ts_adapter *a) {
    static const int32_t ids[] = {1, 40, 77, 20, 21, 22, 23, 24};
    ts_seq s = {ids, ids, TS_COUNT(ids), NULL};
    ts_net *n;
    double nll;
    size_t count;
    assert_ok(ts_net_new(&n, m, NULL, &err));
    assert_ok(ts_net_nll(n, a, &s, 1, &nll, &count, NULL, NULL, &err));
    ts_net_free(n);
    return nll;
}

/* Every tensor of the run's model is that of the base, rounded to bf16. */
static void assert_rounded(const char *model, const char *result) {
    ts_safetensors *base, *made;
    char *a = ts_path_join(model, "model.safetensors"), *b = ts_path_join(result, "model.safetensors");
    assert_ok(ts_safetensors_open(&base, a, &err));
    assert_ok(ts_safetensors_open(&made, b, &err));
    assert_true(ts_safetensors_count(made) > 10);
    for (size_t i = 0; i < ts_safetensors_count(made); i++) {
        const ts_tensor *y = ts_safetensors_at(made, i), *x = ts_safetensors_find(base, y->name);
        assert_int_equal(y->type, TS_BF16);
        size_t n = y->bytes / 2;
        float *from = malloc(n * sizeof *from), *to = malloc(n * sizeof *to);
        ts_dequantize(x->type, x->data, from, n);
        ts_dequantize(y->type, y->data, to, n);
        for (size_t k = 0; k < n; k++)
            assert_true(to[k] == ts_bf16_to_f32(ts_f32_to_bf16(from[k])));
        free(from), free(to);
    }
    ts_safetensors_close(base);
    ts_safetensors_close(made);
    free(a), free(b);
}

/* Weights kept in bf16, from bases of every type and family: without a learning rate what is written is the base,
 * rounded; with one the losses stay near those in f32, within 1 % of the first. */
static void full_in_bf16_follows_f32(void **state) {
    (void)state;
    static const ts_tiny kinds[] = {
        {.type = TS_F32}, {.type = TS_F16}, {.type = TS_BF16}, {.family = "gemma3"}, {.qwen2 = true, .untied = true}};
    train_rows("train.jsonl", 8, 5);
    for (size_t k = 0; k < TS_COUNT(kinds); k++) {
        double losses[2][8];
        char name[16], *result = NULL;
        snprintf(name, sizeof name, "base%zu", k);
        char *model = train_path(name);
        ts_tiny_hf(model, &kinds[k]);
        for (int kind = 0; kind < 3; kind++) { /* f32, bf16, bf16 that does not learn */
            ts_run_settings s;
            ts_train_result r;
            set_full(&s);
            ts_run_set(&s.model, model);
            train_set(&s, "weights", kind ? "bf16" : "f32");
            train_set(&s, "max-steps", "8");
            if (kind == 2) train_set(&s, "learning-rate", "0");
            snprintf(name, sizeof name, "run%zu-%d", k, kind);
            free(result);
            char *dir = train_create(name, &s, false);
            result = ts_path_join(dir, "model");
            assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
            ts_follow f = train_follow(dir);
            for (size_t i = 0; kind < 2 && i < 8; i++)
                losses[kind][i] = f.points[i].loss;
            ts_follow_release(&f);
            free(dir);
        }
        for (size_t i = 0; i < 8; i++)
            assert_near(losses[1][i], losses[0][i], 0.01 * losses[0][0], "loss");
        assert_true(losses[1][7] < 0.9 * losses[1][0]);
        assert_rounded(model, result);
        free(model), free(result);
    }
}

/* Some layers' norms and one projection, over weights in any form: the rest is the base's, and the result is read as a
 * model and as a side beside its base with the same bits. */
static void full_trains_what_is_chosen(void **state) {
    (void)state;
    static const ts_tiny kinds[] = {{.layers = 3}, {.family = "gemma3", .layers = 3}, {.qwen2 = true, .layers = 3}};
    train_rows("train.jsonl", 8, 5);
    for (size_t k = 0; k < TS_COUNT(kinds); k++) {
        ts_run_settings s;
        ts_train_result r;
        ts_model *base, *tuned;
        ts_adapter *side;
        char name[16];
        snprintf(name, sizeof name, "base%zu", k);
        char *model = train_path(name);
        ts_tiny_hf(model, &kinds[k]);
        set_full(&s);
        ts_run_set(&s.model, model);
        train_set(&s, "train-modules", "input_layernorm,q_proj");
        train_set(&s, "layers-to-transform", "1,2");
        snprintf(name, sizeof name, "run%zu", k);
        char *dir = train_create(name, &s, false), *result = ts_path_join(dir, "model");
        assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
        assert_ok(ts_model_open(&base, model, &err));
        assert_ok(ts_model_open(&tuned, result, &err));
        assert_ok(ts_adapter_load(&side, result, base, &err));
        assert_true(nll_of(base, side) == nll_of(tuned, NULL));
        assert_true(fabs(nll_of(base, NULL) - nll_of(tuned, NULL)) > 1e-3);
        const ts_layer *a = base->layer, *b = tuned->layer;
        size_t bytes = a->proj[TS_Q].rows * a->proj[TS_Q].row_bytes, h = base->config.hidden * sizeof(float);
        assert_memory_equal(a[0].proj[TS_Q].data, b[0].proj[TS_Q].data, bytes);
        assert_memory_not_equal(a[1].proj[TS_Q].data, b[1].proj[TS_Q].data, bytes);
        assert_memory_equal(a[0].attn_norm, b[0].attn_norm, h);
        assert_memory_not_equal(a[2].attn_norm, b[2].attn_norm, h);
        assert_memory_equal(a[2].ffn_norm, b[2].ffn_norm, h);
        ts_adapter_free(side);
        ts_model_close(base);
        ts_model_close(tuned);
        free(model), free(dir), free(result);
    }
}

/* Norms and biases do not decay, as in transformers; matrices do. A learning rate of zero would decay nothing. */
static void norms_do_not_decay(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_result r;
    ts_model *base, *tuned;
    train_rows("train.jsonl", 4, 5);
    set_full(&s);
    train_set(&s, "weight-decay", "50");
    train_set(&s, "max-steps", "1");
    train_set(&s, "warmup-steps", "0");
    char *model = ts_strdup(s.model), *dir = train_create("decay", &s, false), *result = ts_path_join(dir, "model");
    assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
    assert_ok(ts_model_open(&base, model, &err));
    assert_ok(ts_model_open(&tuned, result, &err));
    for (size_t i = 0; i < base->config.hidden; i++)
        assert_near(tuned->final_norm[i], base->final_norm[i], 0.0031, "norm"); /* Adam's step is at most the rate */
    const float *x = base->layer[0].proj[TS_Q].data, *y = tuned->layer[0].proj[TS_Q].data;
    for (size_t i = 0; i < 64; i++)
        assert_near(y[i], 0.85 * (double)x[i], 0.0031, "matrix"); /* 1 - 0.003 * 50 */
    ts_model_close(base);
    ts_model_close(tuned);
    free(model), free(dir), free(result);
}

/* Options that mean nothing for the method are refused, and so is what the model does not have. */
static void options_of_another_method_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *method, *option, *value, *says;
    } cases[] = {
        {"full", "use-dora", "yes", "--use-dora goes with --method lora and qlora, not with full"},
        {"full", "modules-to-save", "norm", "--modules-to-save goes with"},
        {"lora", "train-modules", "norm", "--train-modules goes with --method full, not with lora"},
        {"lora", "weights", "bf16", "--weights bf16 goes with --method full, not with lora"},
        {"full", "weights", "f16", "--weights is \"f16\"; it must be f32 or bf16"},
        {"half", "r", "4", "must be lora, qlora or full"},
        {"full", "train-modules", "nrom", "no module nrom"},
        {"full", "layers-to-transform", "2-1", "\"2-1\" is no list of layers"},
        {"lora", "layers-to-transform", "7", "layers 0 to 1"},
        {"lora", "modules-to-save", "v_proj", "v_proj"},
    };
    train_rows("train.jsonl", 2, 5);
    char *train = train_path("train.jsonl"), *dir = train_path("refused");
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        ts_run_settings s;
        train_settings(&s);
        train_set(&s, "lora-dropout", "0");
        train_set(&s, "method", cases[i].method);
        train_set(&s, cases[i].option, cases[i].value);
        assert_true(ts_run_create(dir, &s, train, NULL, NULL, &err) != TS_OK);
        if (!strstr(err.text, cases[i].says)) fail_msg("%s", err.text);
        ts_run_settings_release(&s);
    }
    free(train), free(dir);
}

/* Norms beside LoRA in some layers: saved as PEFT does, read back, gone on from. */
static void saved_modules_are_trained_and_kept(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_result r;
    ts_model *m;
    ts_adapter *a, *b;
    train_rows("train.jsonl", 8, 5);
    train_settings(&s);
    train_set(&s, "modules-to-save", "norm");
    train_set(&s, "layers-to-transform", "1");
    char *model = ts_strdup(s.model), *dir = train_create("saving", &s, false), *result = ts_path_join(dir, "adapter");
    assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
    assert_ok(ts_model_open(&m, model, &err));
    assert_ok(ts_adapter_load(&a, result, m, &err));
    assert_int_equal(a->n_saved, 5); /* "norm" ends the names of all norms, as in PEFT */
    assert_int_equal(a->lora[0][TS_Q].r, 0);
    assert_int_equal(a->lora[1][TS_Q].r, 4);
    assert_memory_not_equal(ts_adapter_norm(a, m->final_norm), m->final_norm, m->config.hidden * sizeof(float));
    train_settings(&s);
    ts_run_set(&s.init_adapter, result);
    train_set(&s, "learning-rate", "0");
    char *again = train_create("again", &s, false), *second = ts_path_join(again, "adapter");
    assert_ok(ts_train_run(again, NULL, NULL, &r, &err));
    assert_ok(ts_adapter_load(&b, second, m, &err));
    assert_true(nll_of(m, a) == nll_of(m, b));
    assert_same_run_file(result, second, "adapter_model.safetensors");
    ts_adapter_free(a), ts_adapter_free(b);
    ts_model_close(m);
    free(model), free(dir), free(result), free(again), free(second);
}

/* What does not go with the shape of the adapter to start from is said before there is a run. */
static void shape_to_start_from_is_checked(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_result r;
    train_rows("train.jsonl", 4, 5);
    train_settings(&s);
    train_set(&s, "use-dora", "yes");
    train_set(&s, "max-steps", "1");
    char *dir = train_create("dora", &s, false), *result = ts_path_join(dir, "adapter");
    char *train = train_path("train.jsonl"), *held = train_path("held");
    assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
    train_settings(&s);
    ts_run_set(&s.init_adapter, result);
    train_set(&s, "l2-delta", "1");
    assert_int_equal(ts_run_create(held, &s, train, NULL, NULL, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "--init-adapter"));
    assert_non_null(strstr(err.text, "--use-dora"));
    assert_false(ts_file_exists(held));
    ts_run_settings_release(&s);
    free(dir), free(result), free(train), free(held);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(qlora_trains_over_the_rounded_base, train_fresh),
        cmocka_unit_test_setup(full_resumes_to_the_bit, train_fresh),
        cmocka_unit_test_setup(full_in_bf16_resumes_to_the_bit, train_fresh),
        cmocka_unit_test_setup(full_in_bf16_follows_f32, train_fresh),
        cmocka_unit_test_setup(full_trains_what_is_chosen, train_fresh),
        cmocka_unit_test_setup(norms_do_not_decay, train_fresh),
        cmocka_unit_test_setup(options_of_another_method_are_refused, train_fresh),
        cmocka_unit_test_setup(saved_modules_are_trained_and_kept, train_fresh),
        cmocka_unit_test_setup(shape_to_start_from_is_checked, train_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
