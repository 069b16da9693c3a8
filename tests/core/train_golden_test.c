/* labels: slow */
/* Training runs of the real model against PEFT's and transformers': losses, learning rates and gradient norms of every
 * step, through a run folder (tolerances and the making of the files: the README beside the golden files). */
#include "core/base/file.h"
#include "core/engine/train.h"
#include "tests/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

/* ids and labels of the golden examples as training rows. */
static char *write_rows(const char *dir) {
    ts_json *list = ts_json_read(ts_test_shared("golden/smollm2-135m/train_examples.json"), 1 << 24, &err);
    char *path = ts_path_join(dir, "rows.jsonl");
    ts_buf out = TS_BUF_INIT;
    assert_non_null(list);
    for (const ts_json *x = ts_json_child(list); x; x = ts_json_next(x)) {
        ts_buf_puts(&out, "{\"ids\":");
        ts_json_print(ts_json_get(x, "ids"), &out);
        ts_buf_puts(&out, ",\"labels\":");
        ts_json_print(ts_json_get(x, "labels"), &out);
        ts_buf_puts(&out, "}\n");
    }
    assert_ok(ts_file_write(path, out.data, out.len, &err));
    ts_buf_release(&out);
    ts_json_free(list);
    return path;
}

static void relative(double got, double want, double tolerance, const char *what) {
    assert_near(got, want, tolerance * fmax(fabs(want), 1e-12), what);
}

static void compare(const ts_follow *f, const char *golden) {
    ts_json *root = ts_json_read(ts_test_shared(golden), 1 << 24, &err);
    size_t i = 0;
    assert_non_null(root);
    for (const ts_json *s = ts_json_child(ts_json_get(root, "steps")); s; s = ts_json_next(s), i++) {
        assert_true(i < f->n_points);
        double loss = ts_json_num(ts_json_get(s, "loss_f64"), ts_json_num(ts_json_get(s, "loss"), NAN));
        double norm = ts_json_num(ts_json_get(s, "grad_norm_f64"), ts_json_num(ts_json_get(s, "grad_norm"), NAN));
        relative(f->points[i].loss, loss, 5e-5, "loss");
        relative(f->points[i].grad_norm, norm, 2e-4, "gradient norm");
        relative(f->points[i].lr, ts_json_num(ts_json_get(s, "lr"), NAN), 1e-9, "learning rate");
    }
    assert_int_equal(i, f->n_points);
    ts_json_free(root);
}

static void train(const char *golden, const char *init, const char *const options[][2]) {
    ts_run_settings s;
    ts_train_result r;
    ts_follow f;
    bool changed;
    const char *model = ts_test_smollm2(), *adapter = init ? ts_test_shared(init) : NULL, *here = ts_test_dir();
    char *dir = ts_path_join(here, "run"), *rows = write_rows(here);
    ts_run_settings_init(&s);
    ts_run_set(&s.model, model);
    if (init) ts_run_set(&s.init_adapter, adapter);
    for (size_t i = 0; options[i][0]; i++)
        assert_ok(ts_run_settings_set(&s, options[i][0], options[i][1], &err));
    assert_ok(ts_run_create(dir, &s, rows, NULL, NULL, &err));
    assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
    ts_follow_init(&f, dir);
    assert_ok(ts_follow_poll(&f, &changed, &err));
    compare(&f, golden);
    ts_follow_release(&f);
    ts_run_settings_release(&s);
    free(dir);
    free(rows);
}

static void lora_on_q_and_v(void **state) {
    (void)state;
    static const char *const options[][2] = {{"no-shuffle", "yes"},    {"batch-size", "4"},   {"max-steps", "20"},
                                             {"schedule", "constant"}, {"warmup-steps", "0"}, {NULL, NULL}};
    train("golden/smollm2-135m/train_lora_qv.json", "golden/smollm2-135m/train_lora_qv_init", options);
}

static void lora_on_all_linears(void **state) {
    (void)state;
    static const char *const options[][2] = {{"no-shuffle", "yes"},  {"batch-size", "4"},   {"max-steps", "10"},
                                             {"schedule", "cosine"}, {"warmup-steps", "3"}, {NULL, NULL}};
    train("golden/smollm2-135m/train_lora_all.json", "golden/smollm2-135m/train_lora_all_init", options);
}

/* Every weight, clipped at every step, the embedding with the sum of both its uses. */
static void all_weights(void **state) {
    (void)state;
    static const char *const options[][2] = {
        {"method", "full"},        {"no-shuffle", "yes"},       {"batch-size", "4"},
        {"max-steps", "5"},        {"schedule", "constant"},    {"warmup-steps", "0"},
        {"learning-rate", "1e-5"}, {"checkpoint-seconds", "0"}, {NULL, NULL}};
    train("golden/smollm2-135m/train_full.json", NULL, options);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lora_on_q_and_v), cmocka_unit_test(lora_on_all_linears),
                                       cmocka_unit_test(all_weights)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
