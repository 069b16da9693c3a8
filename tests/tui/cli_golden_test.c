/* labels: slow */
/* `tunesmith nll` on the real model, base and with an adapter, against the golden losses of every token (tolerances:
 * the README beside the files). */
#include "core/base/file.h"
#include "core/base/json.h"
#include "tests/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ts_err err;

/* The inputs as rows in which every token but the first is supervised. */
static char *write_rows(const ts_json *inputs) {
    char *path = ts_path_join(ts_test_dir(), "rows.jsonl");
    ts_buf out = TS_BUF_INIT, ids = TS_BUF_INIT;
    for (const ts_json *x = ts_json_child(inputs); x; x = ts_json_next(x)) {
        ts_buf_reset(&ids);
        ts_json_print(ts_json_get(x, "ids"), &ids);
        const char *rest = strchr(ids.data, ',');
        ts_buf_printf(&out, "{\"ids\":%s,\"labels\":[-100%s}\n", ids.data, rest);
    }
    assert_ok(ts_file_write(path, out.data, out.len, &err));
    ts_buf_release(&out);
    ts_buf_release(&ids);
    return path;
}

static void compare_row(const ts_json *want, const char *line, double tolerance) {
    const ts_json *truth = ts_json_get(want, "nll_f64") ? ts_json_get(want, "nll_f64") : ts_json_get(want, "nll");
    ts_json *got = ts_json_parse(line, strlen(line), &err);
    assert_non_null(got);
    const ts_json *a = ts_json_child(ts_json_get(got, "nlls")), *b = ts_json_child(truth);
    for (; a && b; a = ts_json_next(a), b = ts_json_next(b))
        assert_near(ts_json_num(a, NAN), ts_json_num(b, NAN), tolerance, "NLL of a token");
    assert_null(a);
    assert_null(b);
    ts_json_free(got);
}

static void losses(const ts_json *inputs, const char *adapter, double tolerance) {
    static char line[1 << 18];
    char *rows = write_rows(inputs);
    char *command = ts_printf("'%s' nll --model '%s' %s%s --json --per-token --quiet '%s'", getenv("TS_BINARY"),
                              ts_test_smollm2(), adapter ? "--adapter " : "", adapter ? adapter : "", rows);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    for (const ts_json *x = ts_json_child(inputs); x; x = ts_json_next(x)) {
        assert_non_null(fgets(line, sizeof line, p));
        compare_row(x, line, tolerance);
    }
    assert_int_equal(pclose(p), 0);
    free(command);
    free(rows);
}

static void base_model(void **state) {
    (void)state;
    ts_test_program();
    ts_json *root = ts_json_read(ts_test_shared("golden/smollm2-135m/logits.json"), 1 << 26, &err);
    assert_non_null(root);
    losses(ts_json_get(root, "inputs"), NULL, 2e-4);
    ts_json_free(root);
}

static void with_an_adapter(void **state) {
    (void)state;
    ts_test_program();
    ts_json *root = ts_json_read(ts_test_shared("golden/smollm2-135m/lora_adapter_logits.json"), 1 << 26, &err);
    assert_non_null(root);
    for (const ts_json *x = ts_json_child(root); x; x = ts_json_next(x))
        if (strcmp(ts_json_str(ts_json_get(x, "adapter"), ""), "adapters/qv-r8") == 0)
            losses(ts_json_get(x, "inputs"), ts_test_shared("golden/smollm2-135m/adapters/qv-r8"), 5e-4);
    ts_json_free(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(base_model), cmocka_unit_test(with_an_adapter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
