/* stories260K against PyTorch: shared/golden/stories260K/README.md. */
#include "tests/golden_support.h"

#include "core/engine/optim.h"

static ts_model *model;
static ts_net *net;

static void open_model(void) {
    model = golden_model("models/stories260K");
    assert_ok(ts_net_new(&net, model, NULL, &err));
}

static void close_model(void) {
    ts_net_free(net);
    ts_model_close(model);
    net = NULL;
    model = NULL;
}

/* Of all prompts, with or without the adapter, against the tensors of a file. */
static void check_logits(const char *adapter, const char *file, double tolerance) {
    open_model();
    ts_adapter *a = adapter ? golden_adapter(model, adapter) : NULL;
    ts_json *prompts = golden_json("golden/stories260K/prompts.json");
    ts_safetensors *s;
    assert_ok(ts_safetensors_open(&s, ts_test_shared(file), &err));
    size_t i = 0;
    for (const ts_json *p = ts_json_child(prompts); p; p = ts_json_next(p), i++) {
        size_t n;
        int32_t *ids = golden_ids(ts_json_get(p, "ids"), &n);
        float *out = ts_malloc(n * model->config.vocab * sizeof *out);
        assert_ok(ts_net_logits(net, a, ids, n, out, &err));
        char name[64];
        snprintf(name, sizeof name, "prompt_%zu.logits", i);
        const ts_tensor *want = golden_tensor(s, name);
        for (size_t k = 0; k < n * model->config.vocab; k++)
            assert_near(out[k], golden_value(want, k), tolerance, name);
        free(out);
        free(ids);
    }
    ts_adapter_free(a);
    ts_safetensors_close(s);
    ts_json_free(prompts);
    close_model();
}

static void logits_are_right(void **state) {
    (void)state;
    check_logits(NULL, "golden/stories260K/logits.safetensors", 5e-5);
}

static void nlls_are_right(void **state) {
    (void)state;
    open_model();
    ts_json *texts = golden_json("golden/stories260K/nll.json");
    for (const ts_json *t = ts_json_child(texts); t; t = ts_json_next(t)) {
        size_t n;
        double sum;
        int32_t *ids = golden_ids(ts_json_get(t, "ids"), &n);
        float *each = golden_nll(net, NULL, ids, n, &sum);
        for (size_t k = 1; k < n; k++)
            assert_near(each[k], golden_at(ts_json_get(t, "nll_f64"), k - 1), 5e-5, "nll");
        assert_near(sum / (double)(n - 1), ts_json_num(ts_json_get(t, "mean"), NAN), 1e-5, "mean");
        free(each);
        free(ids);
    }
    ts_json_free(texts);
    close_model();
}

/* The window of one step: both micro batches, padding cut off. */
static golden_batch window(const ts_json *step) {
    golden_batch b = {0};
    for (const ts_json *micro = ts_json_child(step); micro; micro = ts_json_next(micro)) {
        const ts_json *labels = ts_json_child(ts_json_get(micro, "labels"));
        const ts_json *length = ts_json_child(ts_json_get(micro, "lengths"));
        for (const ts_json *ids = ts_json_child(ts_json_get(micro, "ids")); ids; ids = ts_json_next(ids)) {
            golden_add(&b, ids, labels);
            b.seqs[b.n - 1].n = (size_t)ts_json_num(length, 0);
            labels = ts_json_next(labels);
            length = ts_json_next(length);
        }
    }
    return b;
}

static const ts_dropout no_dropout;

/* Gradient of the mean loss of the window into grad's block; the loss. */
static double mean_gradient(const ts_adapter *a, ts_adapter *grad, const golden_batch *b, size_t *count) {
    double nll;
    memset(grad->block, 0, grad->n_params * sizeof *grad->block);
    assert_ok(ts_net_backward(net, a, b->seqs, b->n, no_dropout, grad, &nll, count, NULL, &err));
    for (size_t i = 0; i < grad->n_params; i++)
        grad->block[i] /= (float)*count;
    return nll / (double)*count;
}

static void check_tensors(const ts_adapter *got, const char *file, double tolerance) {
    ts_safetensors *s;
    assert_ok(ts_safetensors_open(&s, ts_test_shared(file), &err));
    for (size_t l = 0; l < got->layers; l++)
        for (size_t p = 0; p < TS_PROJS; p++)
            for (int side = 0; side < 2; side++) {
                const ts_weight *w = &model->layer[l].proj[p];
                const ts_tensor *want = golden_lora_tensor(s, l, p, "AB"[side]);
                const float *x = side ? got->lora[l][p].b : got->lora[l][p].a;
                size_t n = got->lora[l][p].r * (side ? w->rows : w->cols);
                double largest = 1e-30;
                for (size_t i = 0; i < n; i++)
                    largest = fmax(largest, fabs(golden_value(want, i)));
                for (size_t i = 0; i < n; i++)
                    assert_near(x[i], golden_value(want, i), tolerance > 0 ? tolerance : 3e-5 * largest + 1e-9,
                                ts_proj_names[p]);
            }
    ts_safetensors_close(s);
}

static void check_gradients(const char *name) {
    open_model();
    ts_json *batches = golden_json("golden/stories260K/batches.json"),
            *grads = golden_json("golden/stories260K/grads.json");
    golden_batch b = window(ts_json_child(batches));
    char path[128], key[64];
    snprintf(path, sizeof path, "golden/stories260K/adapter_%s", name);
    ts_adapter *a = golden_adapter(model, path);
    ts_adapter *grad = golden_zeros(a);
    size_t count;
    double loss = mean_gradient(a, grad, &b, &count);
    snprintf(key, sizeof key, "%s_f64_loss", name);
    assert_near(loss, ts_json_num(ts_json_get(grads, key), NAN), 5e-6, "loss");
    double norm = 0;
    for (size_t i = 0; i < grad->n_params; i++)
        norm += (double)grad->block[i] * (double)grad->block[i];
    snprintf(key, sizeof key, "%s_f64_grad_norm", name);
    assert_near(sqrt(norm), ts_json_num(ts_json_get(grads, key), NAN), 5e-5, "norm of the gradient");
    snprintf(path, sizeof path, "golden/stories260K/grads_%s_f64.safetensors", name);
    check_tensors(grad, path, 0);
    ts_adapter_free(a);
    ts_adapter_free(grad);
    golden_batch_release(&b);
    ts_json_free(batches);
    ts_json_free(grads);
    close_model();
}

static void gradients_from_the_start_are_right(void **state) {
    (void)state;
    check_gradients("init");
}

static void gradients_of_a_warm_adapter_are_right(void **state) {
    (void)state;
    check_gradients("warm");
}

/* 20 steps as lora_train.json and lora_train_sched.json describe them. */
static void check_training(const char *log, const char *final, double max_norm) {
    open_model();
    ts_json *batches = golden_json("golden/stories260K/batches.json"), *golden = golden_json(log);
    ts_adapter *a = golden_adapter(model, "golden/stories260K/adapter_init");
    ts_adapter *grad = golden_zeros(a);
    float *m = ts_calloc(a->n_params, sizeof *m), *v = ts_calloc(a->n_params, sizeof *v);
    const ts_json *step = ts_json_child(batches);
    size_t t = 0, count;
    for (const ts_json *want = ts_json_child(ts_json_get(golden, "steps")); want; want = ts_json_next(want)) {
        golden_batch b = window(step);
        assert_near(mean_gradient(a, grad, &b, &count), ts_json_num(ts_json_get(want, "loss"), NAN), 1e-5, "loss");
        assert_int_equal(count, (size_t)ts_json_num(ts_json_get(want, "label_tokens"), 0));
        double norm = ts_grad_norm(grad->block, grad->n_params);
        assert_near(norm, ts_json_num(ts_json_get(want, "grad_norm"), NAN), 1e-4, "norm of the gradient");
        float factor = max_norm > 0 ? (float)ts_clip_factor(norm, max_norm) : 1;
        for (size_t i = 0; i < grad->n_params; i++)
            grad->block[i] *= factor;
        ts_adamw o = TS_ADAMW_DEFAULTS;
        o.lr = ts_json_num(ts_json_get(want, "lr"), NAN);
        o.weight_decay = 0.01;
        ts_adamw_step(&o, ++t, a->block, grad->block, m, v, a->n_params);
        golden_batch_release(&b);
        step = ts_json_next(step);
    }
    assert_int_equal(t, 20);
    check_tensors(a, final, 1e-4);
    free(m), free(v);
    ts_adapter_free(a);
    ts_adapter_free(grad);
    ts_json_free(batches);
    ts_json_free(golden);
    close_model();
}

static void twenty_steps_are_right(void **state) {
    (void)state;
    check_training("golden/stories260K/lora_train.json", "golden/stories260K/adapter_final/adapter_model.safetensors",
                   0);
}

static void twenty_steps_with_schedule_and_clipping_are_right(void **state) {
    (void)state;
    check_training("golden/stories260K/lora_train_sched.json",
                   "golden/stories260K/adapter_final_sched/adapter_model.safetensors", 0.5);
}

/* Every weight of a whole model, or its gradient, against a file with the model's own names. */
static void check_whole(const ts_adapter *got, const char *file, double tolerance) {
    ts_safetensors *s;
    char name[160];
    assert_ok(ts_safetensors_open(&s, ts_test_shared(file), &err));
    assert_int_equal(got->n_saved, ts_safetensors_count(s));
    for (size_t k = 0; k < got->n_saved; k++) {
        const ts_saved *x = &got->saved[k];
        snprintf(name, sizeof name, "%s.weight", x->name);
        const ts_tensor *want = golden_tensor(s, name);
        size_t n = x->weight.rows * x->weight.cols;
        assert_int_equal(want->bytes, n * sizeof(float));
        double largest = 1e-30;
        for (size_t i = 0; i < n; i++)
            largest = fmax(largest, fabs(golden_value(want, i)));
        for (size_t i = 0; i < n; i++)
            assert_near(x->values[i], golden_value(want, i), tolerance > 0 ? tolerance : 1e-5 * largest + 1e-9, name);
    }
    ts_safetensors_close(s);
}

/* full_train.json: everything decays there, norms and embedding too. The trained model's answers are generate.json's.
 */
static void ten_steps_of_all_weights(const ts_json *golden, ts_adapter *a) {
    ts_json *batches = golden_json("golden/stories260K/batches.json");
    ts_adapter *grad = golden_zeros(a), *m = golden_zeros(a), *v = golden_zeros(a);
    const ts_json *step = ts_json_child(batches);
    size_t t = 0, count;
    for (const ts_json *want = ts_json_child(golden); want; want = ts_json_next(want), step = ts_json_next(step)) {
        golden_batch b = window(step);
        assert_near(mean_gradient(a, grad, &b, &count), ts_json_num(ts_json_get(want, "loss_f64"), NAN), 1e-5, "loss");
        if (t == 0) check_whole(grad, "golden/stories260K/full_grads.safetensors", 0);
        double norm = ts_grad_norm(grad->block, grad->n_params);
        assert_near(norm, ts_json_num(ts_json_get(want, "grad_norm_f64"), NAN), 1e-4, "norm of the gradient");
        ts_adamw o = TS_ADAMW_DEFAULTS;
        o.lr = ts_json_num(ts_json_get(want, "lr"), NAN);
        o.weight_decay = 0.01;
        ts_adamw_step(&o, ++t, a->block, grad->block, m->block, v->block, a->n_params);
        golden_batch_release(&b);
    }
    assert_int_equal(t, 10);
    ts_adapter_free(grad), ts_adapter_free(m), ts_adapter_free(v);
    ts_json_free(batches);
}

static void all_weights_train_as_they_should(void **state) {
    (void)state;
    open_model();
    ts_json *log = golden_json("golden/stories260K/full_train.json"),
            *answers = golden_json("golden/stories260K/generate.json");
    ts_adapter *a = NULL;
    assert_ok(ts_adapter_whole(&a, model, NULL, NULL, TS_F32, &err));
    ten_steps_of_all_weights(ts_json_get(log, "steps"), a);
    check_whole(a, "golden/stories260K/full_final.safetensors", 1e-4);
    for (const ts_json *p = ts_json_child(answers); p; p = ts_json_next(p)) {
        size_t n, len;
        int32_t *ids = golden_ids(ts_json_get(p, "ids"), &n), *want = golden_ids(ts_json_get(p, "after_full"), &len);
        ts_gen_item items[2] = {{.prompt = ids, .n_prompt = n, .adapter = a}, {.prompt = ids, .n_prompt = n}};
        ts_gen_options o = {.max_new_tokens = len, .sampling = TS_SAMPLING_GREEDY};
        assert_ok(ts_net_generate(net, items, 2, &o, NULL, &err)); /* the base beside it in the batch */
        assert_int_equal(items[0].out.n, len);
        assert_memory_equal(items[0].out.items, want, len * sizeof *want);
        ts_gen_release(items, 2);
        free(ids), free(want);
    }
    ts_adapter_free(a);
    ts_json_free(log), ts_json_free(answers);
    close_model();
}

static void logits_with_the_adapter_are_right(void **state) {
    (void)state;
    check_logits("golden/stories260K/adapter_final", "golden/stories260K/logits_after_lora.safetensors", 1e-4);
}

/* Base and tuned items of all prompts in one batch. */
static void greedy_answers_before_and_after_are_right(void **state) {
    (void)state;
    open_model();
    ts_adapter *a = golden_adapter(model, "golden/stories260K/adapter_final");
    ts_json *golden = golden_json("golden/stories260K/generate.json");
    ts_gen_item items[16] = {0};
    size_t n = 0;
    for (const ts_json *p = ts_json_child(golden); p; p = ts_json_next(p))
        for (int side = 0; side < 2; side++, n++) {
            items[n].prompt = golden_ids(ts_json_get(p, "ids"), &items[n].n_prompt);
            items[n].adapter = side ? a : NULL;
        }
    ts_gen_options o = {.max_new_tokens = 64, .sampling = TS_SAMPLING_GREEDY};
    assert_ok(ts_net_generate(net, items, n, &o, NULL, &err));
    size_t i = 0;
    for (const ts_json *p = ts_json_child(golden); p; p = ts_json_next(p))
        for (int side = 0; side < 2; side++, i++) {
            size_t len;
            int32_t *want = golden_ids(ts_json_get(p, side ? "after_lora" : "before"), &len);
            assert_int_equal(items[i].out.n, len);
            assert_memory_equal(items[i].out.items, want, len * sizeof *want);
            assert_int_equal(items[i].stop, TS_STOP_LENGTH);
            free(want);
            free((void *)items[i].prompt);
        }
    ts_gen_release(items, n);
    ts_adapter_free(a);
    ts_json_free(golden);
    close_model();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_right),
        cmocka_unit_test(nlls_are_right),
        cmocka_unit_test(gradients_from_the_start_are_right),
        cmocka_unit_test(gradients_of_a_warm_adapter_are_right),
        cmocka_unit_test(twenty_steps_are_right),
        cmocka_unit_test(twenty_steps_with_schedule_and_clipping_are_right),
        cmocka_unit_test(all_weights_train_as_they_should),
        cmocka_unit_test(logits_with_the_adapter_are_right),
        cmocka_unit_test(greedy_answers_before_and_after_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
