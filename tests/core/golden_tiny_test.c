/* The tiny random models against PyTorch: shared/golden/README.md. */
#include "tests/golden_support.h"

static void check_tiny(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "models/%s", name);
    ts_model *m = golden_model(path);
    ts_net *n;
    assert_ok(ts_net_new(&n, m, NULL, &err));
    snprintf(path, sizeof path, "golden/%s/golden.json", name);
    ts_json *g = golden_json(path);
    snprintf(path, sizeof path, "golden/%s/golden.safetensors", name);
    ts_safetensors *s;
    assert_ok(ts_safetensors_open(&s, ts_test_shared(path), &err));
    const ts_tensor *logits = golden_tensor(s, "logits");
    golden_batch b = {0};
    const ts_json *labels = ts_json_child(ts_json_get(g, "labels"));
    for (const ts_json *ids = ts_json_child(ts_json_get(g, "ids")); ids; ids = ts_json_next(ids)) {
        golden_add(&b, ids, labels);
        labels = ts_json_next(labels);
    }
    size_t vocab = m->config.vocab, at = 0;
    for (size_t i = 0; i < b.n; i++) {
        float *out = ts_malloc(b.seqs[i].n * vocab * sizeof *out);
        assert_ok(ts_net_logits(n, NULL, b.seqs[i].ids, b.seqs[i].n, out, &err));
        for (size_t k = 0; k < b.seqs[i].n * vocab; k++)
            assert_near(out[k], golden_value(logits, at++), 2e-5, name);
        free(out);
    }
    double nll[2];
    size_t count[2];
    assert_int_equal(b.n, 2);
    assert_ok(ts_net_nll(n, NULL, b.seqs, b.n, nll, count, NULL, NULL, &err));
    assert_int_equal(count[0] + count[1], (size_t)ts_json_num(ts_json_get(g, "label_tokens"), 0));
    assert_near((nll[0] + nll[1]) / (double)(count[0] + count[1]), ts_json_num(ts_json_get(g, "loss_f64"), NAN), 2e-6,
                name);
    ts_gen_item item = {.prompt = b.seqs[0].ids, .n_prompt = 8};
    ts_gen_options o = {.max_new_tokens = 32, .sampling = TS_SAMPLING_GREEDY};
    assert_ok(ts_net_generate(n, &item, 1, &o, NULL, &err));
    size_t len;
    int32_t *want = golden_ids(ts_json_get(g, "greedy_from_row0_first8"), &len);
    assert_int_equal(item.out.n, len);
    assert_memory_equal(item.out.items, want, len * sizeof *want);
    free(want);
    ts_gen_release(&item, 1);
    golden_batch_release(&b);
    ts_safetensors_close(s);
    ts_json_free(g);
    ts_net_free(n);
    ts_model_close(m);
}

static void biases_and_an_untied_head(void **state) {
    (void)state;
    check_tiny("tiny-qwen2");
}

static void scaled_positions_and_wide_heads_in_bf16(void **state) {
    (void)state;
    check_tiny("tiny-llama3");
}

static void no_groups_biases_everywhere_in_f16(void **state) {
    (void)state;
    check_tiny("tiny-mha");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(biases_and_an_untied_head),
        cmocka_unit_test(scaled_positions_and_wide_heads_in_bf16),
        cmocka_unit_test(no_groups_biases_everywhere_in_f16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
