/* labels: slow */
/* SmolLM2-135M-Instruct (the GGUF file) against transformers and PEFT: shared/golden/smollm2-135m/README.md. */
#include "tests/golden_support.h"

static ts_model *model;
static ts_net *net;

static void open_model(void) {
    assert_ok(ts_model_open(&model, ts_test_smollm2(), &err));
    assert_ok(ts_net_new(&net, model, NULL, &err));
}

static void close_model(void) {
    ts_net_free(net);
    ts_model_close(model);
    net = NULL;
    model = NULL;
}

/* `pairs`: [[id, value], ...] */
static void check_pairs(const ts_json *pairs, const float *logits, double tolerance, const char *what) {
    for (const ts_json *p = ts_json_child(pairs); p; p = ts_json_next(p))
        assert_near(logits[(size_t)golden_at(p, 0)], golden_at(p, 1), tolerance, what);
}

static void logits_and_nlls_are_right(void **state) {
    (void)state;
    open_model();
    ts_json *golden = golden_json("golden/smollm2-135m/logits.json");
    size_t vocab = model->config.vocab, inputs = 0;
    for (const ts_json *in = ts_json_child(ts_json_get(golden, "inputs")); in; in = ts_json_next(in), inputs++) {
        size_t n;
        double sum;
        int32_t *ids = golden_ids(ts_json_get(in, "ids"), &n);
        float *each = golden_nll(net, NULL, ids, n, &sum), *out = ts_malloc(n * vocab * sizeof *out);
        for (size_t k = 1; k < n; k++)
            assert_near(each[k], golden_at(ts_json_get(in, "nll"), k - 1), 2e-4, "nll");
        assert_ok(ts_net_logits(net, NULL, ids, n, out, &err));
        const ts_json *last = ts_json_get(in, "last_f64");
        const float *row = out + (n - 1) * vocab;
        check_pairs(ts_json_get(last, "top20"), row, 5e-4, "logit");
        size_t i = 0;
        for (const ts_json *at = ts_json_child(ts_json_get(last, "at")); at; at = ts_json_next(at), i++) {
            size_t id = (size_t)golden_at(ts_json_get(golden, "at_indices"), i);
            assert_near(row[id], ts_json_is_number(at) ? ts_json_num(at, NAN) : golden_at(at, 1), 5e-4, "logit");
        }
        free(out);
        free(each);
        free(ids);
    }
    assert_int_equal(inputs, 6);
    ts_json_free(golden);
    close_model();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_and_nlls_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
