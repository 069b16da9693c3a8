/* labels: slow */
/* Each golden adapter of SmolLM2-135M-Instruct merged, written and opened again, against PEFT's merge_and_unload:
 * shared/golden/smollm2-135m/README.md. Where PEFT's merge adds an embedding's LoRA to the head too (embed-r1), ours is
 * to equal the active adapter instead, as export.h promises. */
#include "tests/golden_support.h"

#include "core/base/file.h"
#include "core/model/export.h"

static void check_merged(const ts_model *m, const char *path, const ts_json *entry, const char *want) {
    ts_model *merged;
    ts_net *n;
    assert_ok(ts_model_open(&merged, path, &err));
    assert_ok(ts_net_new(&n, merged, NULL, &err));
    assert_int_equal(merged->config.layers, m->config.layers);
    double apart = 0;
    for (const ts_json *in = ts_json_child(ts_json_get(entry, "inputs")); in; in = ts_json_next(in)) {
        size_t len;
        double sum;
        int32_t *ids = golden_ids(ts_json_get(in, "ids"), &len);
        float *each = golden_nll(n, NULL, ids, len, &sum);
        const ts_json *list = ts_json_get(in, want);
        assert_int_equal(ts_json_count(list), len - 1);
        for (size_t k = 1; k < len; k++) {
            double nll = golden_at(list, k - 1);
            assert_near(each[k], nll, 5e-4, want);
            apart = fmax(apart, fabs(each[k] - nll));
        }
        free(each);
        free(ids);
    }
    print_message("%s: at most %.1e a token\n", ts_json_str(ts_json_get(entry, "adapter"), ""), apart);
    ts_net_free(n);
    ts_model_close(merged);
}

static void merged_adapters_are_pefts(void **state) {
    (void)state;
    ts_model *m;
    size_t checked = 0;
    ts_json *golden = golden_json("golden/smollm2-135m/lora_adapter_logits.json");
    assert_ok(ts_model_open(&m, ts_test_smollm2(), &err));
    for (const ts_json *e = ts_json_child(golden); e; e = ts_json_next(e), checked++) {
        const char *name = ts_json_str(ts_json_get(e, "adapter"), "");
        bool gguf = checked % 2 == 0; /* both forms get their share */
        char *from = ts_path_join("golden/smollm2-135m", name),
             *out = ts_path_join(ts_test_dir(), gguf ? "m.gguf" : "m");
        ts_adapter *a = golden_adapter(m, from);
        ts_export x = {.model = m, .adapter = a, .out = out, .type = ts_file_type_named("f32")};
        ts_export_report report;
        bool embed = strstr(name, "embed-r1") != NULL;
        assert_ok(gguf ? ts_export_gguf(&x, &report, &err) : ts_export_folder(&x, &report, &err));
        assert_int_equal(report.untied, embed);
        check_merged(m, out, e, embed ? "nll" : "nll_merged");
        assert_ok(ts_remove_tree(out, &err));
        ts_adapter_free(a);
        free(from);
        free(out);
    }
    assert_int_equal(checked, 6);
    ts_model_close(m);
    ts_json_free(golden);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(merged_adapters_are_pefts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
