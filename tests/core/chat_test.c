#include "core/base/file.h"
#include "core/model/chat.h"
#include "tests/support.h"

#include <stdlib.h>
#include <string.h>

static void assert_ids(const ts_ids *got, const ts_json *want, const char *what) {
    const ts_json *v = ts_json_child(want);
    for (size_t i = 0; i < got->n || v; i++, v = ts_json_next(v)) {
        int have = i < got->n ? (int)got->items[i] : -1, need = v ? (int)ts_json_num(v, -2) : -1;
        if (have != need) fail_msg("%s: id %zu is %d, should be %d", what, i, have, need);
    }
}

/* ---- SmolLM2 (shared/golden/smollm2-135m), from the GGUF and from tokenizer.json ---- */

static void check_conversations(const ts_chat *c, const ts_tokenizer *t) {
    ts_err err;
    ts_json *all = ts_json_read(ts_test_shared("golden/smollm2-135m/chat.json"), 1 << 24, &err);
    assert_int_equal(ts_json_count(all), 12);
    for (const ts_json *v = ts_json_child(all); v; v = ts_json_next(v)) {
        ts_rendered r = {0};
        ts_ids ids = {0};
        const char *name = ts_json_str(ts_json_get(v, "name"), "");
        assert_ok(ts_chat_render(c, ts_json_get(v, "messages"),
                                 ts_json_is_true(ts_json_get(v, "add_generation_prompt")), NULL, &r, &err));
        assert_string_equal(ts_buf_str(&r.text), ts_json_str(ts_json_get(v, "text"), ""));
        ts_tokenizer_encode(t, ts_buf_str(&r.text), r.text.len, false, &ids, NULL);
        assert_ids(&ids, ts_json_get(v, "ids"), name);
        ts_ids_release(&ids);
        ts_rendered_release(&r);
    }
    ts_json_free(all);
}

static void check_examples(const ts_chat *c) {
    ts_err err;
    ts_json *all = ts_json_read(ts_test_shared("golden/smollm2-135m/train_examples.json"), 1 << 24, &err);
    assert_int_equal(ts_json_count(all), 16);
    for (const ts_json *v = ts_json_child(all); v; v = ts_json_next(v)) {
        ts_example e = {0};
        assert_ok(ts_chat_example(c, ts_json_get(v, "messages"), NULL, &e, &err));
        assert_ids(&e.ids, ts_json_get(v, "ids"), "ids");
        assert_int_equal(e.labels.n, e.ids.n);
        assert_ids(&e.labels, ts_json_get(v, "labels"), "labels");
        assert_int_equal(e.supervised, (int)ts_json_num(ts_json_get(v, "label_tokens"), -1));
        ts_example_release(&e);
    }
    ts_json_free(all);
}

static void check_smollm2(const char *spec) {
    ts_tokenizer *t;
    ts_chat *c;
    ts_err err;
    assert_ok(ts_tokenizer_open(&t, spec, &err));
    assert_ok(ts_chat_open(&c, t, NULL, &err));
    assert_int_equal(ts_chat_end_of_turn(c), 2);
    check_conversations(c, t);
    check_examples(c);
    ts_chat_free(c);
    ts_tokenizer_free(t);
}

static void golden_smollm2_gguf(void **state) {
    (void)state;
    ts_test_shared("golden/smollm2-135m/chat.json");
    check_smollm2(ts_test_smollm2());
}

static void golden_smollm2_json(void **state) {
    (void)state;
    check_smollm2(ts_test_shared("tokenizers/smollm2"));
}

/* ---- other families (shared/tokenizers/chat_cases.jsonl) ---- */

static void check_rendering(const ts_chat *c, const ts_tokenizer *t, const ts_json *line, const char *name,
                            bool generation_prompt) {
    const ts_json *want = ts_json_get(ts_json_get(ts_json_get(line, "expected"), name),
                                      generation_prompt ? "generation_prompt" : "no_generation_prompt");
    const char *error = ts_json_str(ts_json_get(want, "error"), NULL);
    ts_rendered r = {0};
    ts_ids ids = {0};
    ts_err err;
    assert_non_null(want);
    ts_status status =
        ts_chat_render(c, ts_json_get(line, "messages"), generation_prompt, ts_json_get(line, "vars"), &r, &err);
    if (error) {
        assert_int_equal(status, TS_INVALID);
        assert_string_equal(err.text, error);
        return;
    }
    if (status != TS_OK) fail_msg("%s, %s: %s", name, ts_json_str(ts_json_get(line, "id"), ""), err.text);
    assert_string_equal(ts_buf_str(&r.text), ts_json_str(ts_json_get(want, "text"), ""));
    ts_tokenizer_encode(t, ts_buf_str(&r.text), r.text.len, false, &ids, NULL);
    assert_ids(&ids, ts_json_get(want, "ids"), name);
    ts_ids_release(&ids);
    ts_rendered_release(&r);
}

static void check_family(const char *name, const char *folder, const char *template_file, const char *end_of_turn) {
    ts_buf text = TS_BUF_INIT;
    ts_tokenizer *t;
    ts_chat *c;
    ts_err err;
    size_t lines = 0;
    ts_json *source = template_file ? ts_json_read(ts_test_shared(template_file), 1 << 20, &err) : NULL;
    assert_ok(ts_file_read(ts_test_shared("tokenizers/chat_cases.jsonl"), 1 << 24, &text, &err));
    assert_ok(ts_tokenizer_open(&t, ts_test_shared(folder), &err));
    assert_ok(ts_chat_open(&c, t, ts_json_str(ts_json_get(source, "chat_template"), NULL), &err));
    assert_string_equal(ts_tokenizer_token(t, ts_chat_end_of_turn(c)), end_of_turn);
    for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        ts_json *v = ts_json_parse(line, (size_t)(end - line), &err);
        check_rendering(c, t, v, name, false);
        check_rendering(c, t, v, name, true);
        ts_json_free(v);
    }
    assert_int_equal(lines, 8);
    ts_json_free(source);
    ts_chat_free(c);
    ts_tokenizer_free(t);
    ts_buf_release(&text);
}

static void golden_families(void **state) {
    (void)state;
    check_family("smollm2", "tokenizers/smollm2", NULL, "<|im_end|>");
    check_family("llama2", "tokenizers/llama2", NULL, "</s>");
    check_family("llama3", "tokenizers/llama3", NULL, "<|eot_id|>");
    check_family("qwen3", "tokenizers/qwen3", NULL, "<|im_end|>");
    check_family("llama3.1", "tokenizers/llama3", "tokenizers/templates/llama3.1.json", "<|eot_id|>");
    check_family("qwen2.5", "tokenizers/qwen3", "tokenizers/templates/qwen2.5.json", "<|im_end|>");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_smollm2_gguf),
        cmocka_unit_test(golden_smollm2_json),
        cmocka_unit_test(golden_families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
