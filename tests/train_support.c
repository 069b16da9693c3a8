#include "tests/train_support.h"

#include "core/base/rand.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <stdlib.h>
#include <string.h>

static ts_err err;
static const char *here;

int train_fresh(void **state) {
    (void)state;
    here = ts_test_dir();
    return 0;
}

const char *train_dir(void) {
    return here;
}

char *train_path(const char *name) {
    return ts_path_join(here, name);
}

void train_write(const char *name, const char *text) {
    char *path = train_path(name);
    assert_ok(ts_file_write(path, text, strlen(text), &err));
    free(path);
}

void train_rows(const char *name, size_t n, uint64_t seed) {
    ts_buf out = TS_BUF_INIT;
    ts_rand r;
    ts_rand_seed(&r, seed);
    for (size_t i = 0; i < n; i++) {
        ts_buf ids = TS_BUF_INIT, labels = TS_BUF_INIT;
        size_t prompt = 2 + ts_rand_below(&r, 6), answer = 3 + ts_rand_below(&r, 8);
        for (size_t k = 0; k < prompt + answer; k++) {
            int id = k < prompt ? (int)(3 + ts_rand_below(&r, 250)) : (int)(20 + k - prompt);
            ts_buf_printf(&ids, "%s%d", k ? "," : "", id);
            ts_buf_printf(&labels, "%s%d", k ? "," : "", k < prompt ? -100 : id);
        }
        ts_buf_printf(&out, "{\"ids\":[%s],\"labels\":[%s]}\n", ids.data, labels.data);
        ts_buf_release(&ids);
        ts_buf_release(&labels);
    }
    train_write(name, out.data);
    ts_buf_release(&out);
}

void train_set(ts_run_settings *s, const char *option, const char *value) {
    assert_ok(ts_run_settings_set(s, option, value, &err));
}

void train_settings(ts_run_settings *s) {
    char *model = train_path("tiny");
    if (!ts_is_dir(model)) ts_tiny_hf(model, NULL);
    ts_run_settings_init(s);
    ts_run_set(&s->model, model);
    train_set(s, "r", "4");
    train_set(s, "batch-size", "4");
    train_set(s, "learning-rate", "0.01");
    train_set(s, "epochs", "3");
    train_set(s, "eval-every", "2");
    train_set(s, "lora-dropout", "0.1");
    free(model);
}

char *train_create(const char *name, ts_run_settings *s, bool valid) {
    char *dir = train_path(name), *train = train_path("train.jsonl"), *held = train_path("valid.jsonl");
    assert_ok(ts_run_create(dir, s, train, valid ? held : NULL, NULL, &err));
    ts_run_settings_release(s);
    free(train);
    free(held);
    return dir;
}

ts_follow train_follow(const char *dir) {
    ts_follow f;
    bool changed;
    ts_follow_init(&f, dir);
    assert_ok(ts_follow_poll(&f, &changed, &err));
    return f;
}

void assert_same_run_file(const char *a_dir, const char *b_dir, const char *name) {
    ts_buf a = TS_BUF_INIT, b = TS_BUF_INIT;
    char *pa = ts_path_join(a_dir, name), *pb = ts_path_join(b_dir, name);
    assert_ok(ts_file_read(pa, 1 << 24, &a, &err));
    assert_ok(ts_file_read(pb, 1 << 24, &b, &err));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    ts_buf_release(&a);
    ts_buf_release(&b);
    free(pa);
    free(pb);
}

void train_stop_after(void *ctx, const char *line) {
    ts_train_stopper *s = ctx;
    (void)line;
    if (++s->lines == s->at) ts_cancel(&s->progress);
}
