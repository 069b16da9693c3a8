/* stories260K against PyTorch: shared/golden/stories260K/README.md. */
#include "tests/golden_support.h"

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

static void logits_are_right(void **state) {
    (void)state;
    open_model();
    ts_json *prompts = golden_json("golden/stories260K/prompts.json");
    ts_safetensors *s;
    assert_ok(ts_safetensors_open(&s, ts_test_shared("golden/stories260K/logits.safetensors"), &err));
    size_t i = 0;
    for (const ts_json *p = ts_json_child(prompts); p; p = ts_json_next(p), i++) {
        size_t n;
        int32_t *ids = golden_ids(ts_json_get(p, "ids"), &n);
        float *out = ts_malloc(n * model->config.vocab * sizeof *out);
        assert_ok(ts_net_logits(net, NULL, ids, n, out, &err));
        char name[64];
        snprintf(name, sizeof name, "prompt_%zu.logits", i);
        const ts_tensor *want = golden_tensor(s, name);
        for (size_t k = 0; k < n * model->config.vocab; k++)
            assert_near(out[k], golden_value(want, k), 5e-5, name);
        free(out);
        free(ids);
    }
    ts_safetensors_close(s);
    ts_json_free(prompts);
    close_model();
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_right),
        cmocka_unit_test(nlls_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
