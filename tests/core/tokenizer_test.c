#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/rand.h"
#include "core/model/tokenizer.h"
#include "tests/support.h"

#include <stdlib.h>
#include <string.h>

/* ---- against Hugging Face's tokenizers (shared/tokenizers/cases.jsonl) ---- */

/* Calls `check` for each line of the cases. */
typedef void (*case_check)(const ts_tokenizer *t, const char *name, const ts_json *line);

static void for_each_case(const ts_tokenizer *t, const char *name, case_check check) {
    ts_buf text = TS_BUF_INIT;
    ts_err err;
    size_t lines = 0;
    assert_ok(ts_file_read(ts_test_shared("tokenizers/cases.jsonl"), 1 << 24, &text, &err));
    for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        ts_json *v = ts_json_parse(line, (size_t)(end - line), &err);
        if (!v) fail_msg("case %zu: %s", lines, err.text);
        check(t, name, v);
        ts_json_free(v);
        lines++;
    }
    assert_int_equal(lines, 250);
    ts_buf_release(&text);
}

static void assert_ids(const ts_ids *got, const ts_json *want, const char *name, const char *id, const char *how) {
    const ts_json *v = ts_json_child(want);
    for (size_t i = 0; i < got->n || v; i++, v = ts_json_next(v)) {
        int have = i < got->n ? (int)got->items[i] : -1, need = v ? (int)ts_json_num(v, -2) : -1;
        if (have != need) fail_msg("%s, case %s, %s: id %zu is %d, should be %d", name, id, how, i, have, need);
    }
}

static void check_text(const ts_tokenizer *t, const ts_ids *ids, bool skip, const char *want, const char *name,
                       const char *id) {
    ts_buf text = TS_BUF_INIT;
    ts_tokenizer_decode(t, ids->items, ids->n, skip, &text);
    if (strcmp(ts_buf_str(&text), want) != 0)
        fail_msg("%s, case %s: decoded to %s, should be %s", name, id, ts_buf_str(&text), want);
    ts_buf_release(&text);
}

static void check_case(const ts_tokenizer *t, const char *name, const ts_json *line) {
    const char *text = ts_json_str(ts_json_get(line, "text"), NULL), *id = ts_json_str(ts_json_get(line, "id"), "");
    const ts_json *want = ts_json_get(ts_json_get(line, "expected"), name);
    const ts_json *decoded = ts_json_get(ts_json_get(line, "decoded"), name);
    ts_ids ids = {0}, starts = {0};
    assert_non_null(want);
    ts_tokenizer_encode(t, text, strlen(text), true, &ids, NULL);
    assert_ids(&ids, ts_json_get(want, "special"), name, id, "special");
    ids.n = 0;
    ts_tokenizer_encode(t, text, strlen(text), false, &ids, &starts);
    assert_ids(&ids, ts_json_get(want, "plain"), name, id, "plain");
    assert_int_equal(starts.n, ids.n);
    for (size_t i = 0; i < starts.n; i++) {
        assert_true(starts.items[i] >= 0 && starts.items[i] <= (int)strlen(text));
        assert_true(i == 0 || starts.items[i] >= starts.items[i - 1]);
    }
    const char *keep = ts_json_str(ts_json_get(decoded, "keep"), text);
    check_text(t, &ids, false, keep, name, id);
    check_text(t, &ids, true, ts_json_str(ts_json_get(decoded, "skip"), keep), name, id);
    ts_ids_release(&ids);
    ts_ids_release(&starts);
}

static void check_model(const char *folder, const char *name) {
    ts_tokenizer *t;
    ts_err err;
    assert_ok(ts_tokenizer_open(&t, ts_test_shared(folder), &err));
    for_each_case(t, name, check_case);
    ts_tokenizer_free(t);
}

static void golden_smollm2(void **state) {
    (void)state;
    check_model("tokenizers/smollm2", "smollm2");
}

static void golden_smollm2_gguf(void **state) {
    ts_tokenizer *t;
    ts_err err;
    (void)state;
    assert_ok(ts_tokenizer_open(&t, ts_test_smollm2(), &err));
    for_each_case(t, "smollm2", check_case);
    assert_int_equal(ts_tokenizer_size(t), 49152);
    assert_int_equal(ts_tokenizer_eos(t), 2);
    assert_string_equal(ts_tokenizer_token(t, 2), "<|im_end|>");
    assert_true(ts_tokenizer_is_special(t, 2));
    assert_non_null(ts_tokenizer_template(t));
    ts_tokenizer_free(t);
}

static void golden_gpt2(void **state) {
    (void)state;
    check_model("tokenizers/gpt2", "gpt2");
}

static void golden_llama3(void **state) {
    (void)state;
    check_model("tokenizers/llama3", "llama3");
}

static void golden_qwen3(void **state) {
    (void)state;
    check_model("tokenizers/qwen3", "qwen3");
}

static void golden_llama2(void **state) {
    (void)state;
    check_model("tokenizers/llama2", "llama2");
}

static void golden_mistral(void **state) {
    (void)state;
    check_model("tokenizers/mistral", "mistral");
}

static void golden_stories(void **state) {
    (void)state;
    check_model("models/stories260K", "stories260K");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_smollm2), cmocka_unit_test(golden_smollm2_gguf), cmocka_unit_test(golden_gpt2),
        cmocka_unit_test(golden_llama3),  cmocka_unit_test(golden_qwen3),        cmocka_unit_test(golden_llama2),
        cmocka_unit_test(golden_mistral), cmocka_unit_test(golden_stories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
