#include "core/model/locate.h"

#include "tests/support.h"

#include <stdlib.h>
#include <string.h>

static ts_err err;

static void put(const char *dir, const char *name) {
    char *path = ts_path_join(dir, name);
    assert_ok(ts_file_write(path, "x", 1, &err));
    free(path);
}

static void found(const char *spec, ts_model_kind kind, const char *dir, const char *name) {
    ts_model_place p;
    char *expected = *name ? ts_path_join(dir, name) : ts_strdup(dir);
    assert_ok(ts_model_locate(spec, &p, &err));
    assert_int_equal(p.kind, kind);
    assert_string_equal(p.path, expected);
    ts_model_place_release(&p);
    free(expected);
}

static void refused(const char *spec, ts_status status, const char *words) {
    ts_model_place p;
    err.text[0] = 0;
    assert_int_equal(ts_model_locate(spec, &p, &err), status);
    assert_null(p.path);
    if (!strstr(err.text, words)) fail_msg("\"%s\" is not in: %s", words, err.text);
}

static void folders_and_files(void **state) {
    (void)state;
    const char *dir = ts_test_dir();
    refused(dir, TS_NOT_FOUND, "holds no model");
    put(dir, "b.gguf");
    found(dir, TS_MODEL_GGUF, dir, "b.gguf");
    put(dir, "tokenizer.json"); /* somebody's extra beside the GGUF file */
    found(dir, TS_MODEL_GGUF, dir, "b.gguf");
    put(dir, "model.safetensors");
    found(dir, TS_MODEL_HF, dir, "");
    char *gguf = ts_path_join(dir, "b.gguf"), *weights = ts_path_join(dir, "model.safetensors");
    found(gguf, TS_MODEL_GGUF, dir, "b.gguf");
    refused(weights, TS_INVALID, "name the folder");
    free(gguf);
    free(weights);
}

static void two_gguf_files_are_named(void **state) {
    (void)state;
    const char *dir = ts_test_dir();
    put(dir, "a.gguf");
    put(dir, "b.gguf");
    refused(dir, TS_INVALID, "2 GGUF files (a.gguf, b.gguf)");
}

static void a_tokenizer_alone_is_a_folder_too(void **state) {
    (void)state;
    const char *dir = ts_test_dir();
    put(dir, "tokenizer.json");
    found(dir, TS_MODEL_HF, dir, "");
}

static void names_are_looked_up_among_the_models(void **state) {
    (void)state;
    const char *models = ts_test_dir();
    char *one = ts_path_join(models, "my model"), *before = getenv("TUNESMITH_MODELS");
    before = before ? ts_strdup(before) : NULL;
    setenv("TUNESMITH_MODELS", models, 1);
    assert_ok(ts_mkdirs(one, &err));
    put(one, "x.gguf");
    found("my model", TS_MODEL_GGUF, one, "x.gguf");
    refused("other", TS_NOT_FOUND, models);
    refused("other", TS_NOT_FOUND, "no model other");
    refused("", TS_INVALID, "empty");
    refused("/no/such/place", TS_NOT_FOUND, "/no/such/place");
    unsetenv("TUNESMITH_MODELS");
    setenv("HOME", models, 1);
    char *dir = ts_models_dir(), *expected = ts_path_join(models, ".cache/tunesmith/models");
    assert_string_equal(dir, expected);
    free(dir);
    free(expected);
    free(one);
    if (before) setenv("TUNESMITH_MODELS", before, 1);
    free(before);
}

/* The model that comes with the program: above the test program in the source tree. */
static void the_sample_model_is_found(void **state) {
    (void)state;
    char *want = ts_path_absolute(ts_test_source("samples/model"));
    found("sample", TS_MODEL_HF, want, "");
    free(want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_model_is_found),
        cmocka_unit_test(folders_and_files),
        cmocka_unit_test(two_gguf_files_are_named),
        cmocka_unit_test(a_tokenizer_alone_is_a_folder_too),
        cmocka_unit_test(names_are_looked_up_among_the_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
