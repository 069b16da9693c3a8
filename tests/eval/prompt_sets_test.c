/* Saved sets of prompts: what is put in comes out again as it was asked, once. */
#include "dataset/store.h"
#include "eval/prompt_sets.h"
#include "eval/prompts.h"
#include "tests/support.h"

#include <stdlib.h>
#include <string.h>

static ts_err err;
static char *ws;

static const ts_prompt_line lines[] = {
    {"[{\"role\":\"system\",\"content\":\"Be brief\"}, {\"role\":\"user\",\"content\":\"Why?\\nHow?\"}]", "Because.",
     NULL, 0},
    {"[{\"role\":\"user\",\"content\":\"Why?\"}]", NULL, NULL, 0},
    {"[{\"role\":\"user\",\"content\":\"Why?\"}]", "Because.", NULL, 0},
};

static size_t add(const char *name, size_t first, size_t n) {
    size_t added;
    assert_ok(ts_prompt_set_add(ws, name, lines + first, n, &added, &err));
    return added;
}

static void comes_out_again(void **state) {
    (void)state;
    ts_compare c = {0};
    assert_int_equal(add("hard", 0, 2), 2);
    assert_int_equal(add("hard", 0, 3), 1); /* another reference is another prompt */
    char *file = ts_prompt_set_file(ws, "hard");
    assert_ok(ts_prompts_read(&c, file, 0, &err));
    assert_int_equal(c.n_prompts, 3);
    assert_string_equal(c.prompts[0].text, "Why?\nHow?");
    assert_non_null(strstr(c.prompts[0].messages, "Be brief"));
    assert_string_equal(c.prompts[0].reference, "Because.");
    assert_null(c.prompts[1].reference);
    assert_string_equal(c.prompts[2].reference, "Because.");
    ts_compare_release(&c);
    free(file);
}

/* One that a person wrote, without a newline at its end, keeps its line. */
static void a_set_by_hand(void **state) {
    (void)state;
    ts_compare c = {0};
    char *path = ts_path_join(ws, "prompts/mine.jsonl");
    assert_ok(ts_file_write(path, "{\"prompt\":\"When?\"}", 18, &err));
    assert_int_equal(add("mine", 1, 1), 1);
    const ts_compare_options o = {
        .ws = ws, .model = "m", .prompts = "mine", .sides = (const char *const[]){"base"}, .n_sides = 1};
    assert_ok(ts_compare_prepare(&c, &o, &err));
    assert_int_equal(c.n_prompts, 2);
    assert_string_equal(c.prompts[0].text, "When?");
    assert_string_equal(c.prompts[1].text, "Why?");
    ts_compare_release(&c);
    free(path);
}

static void with_choices(void **state) {
    (void)state;
    static const ts_prompt_line line = {"[{\"role\":\"user\",\"content\":\"Which?\"}]", "b", "[\"a\",\"b\",\"c\"]", 1};
    ts_compare c = {0};
    size_t added;
    assert_ok(ts_prompt_set_add(ws, "mine", &line, 1, &added, &err));
    char *file = ts_prompt_set_file(ws, "mine");
    assert_ok(ts_prompts_read(&c, file, 0, &err));
    const ts_prompt *p = &c.prompts[c.n_prompts - 1];
    assert_string_equal(p->text, "Which?");
    assert_int_equal(p->n_choices, 3);
    assert_int_equal(p->right, 1);
    assert_string_equal(p->reference, "b");
    assert_null(strstr(p->messages, "assistant"));
    ts_compare_release(&c);
    free(file);
}

/* A line more would make them unreadable. */
static void other_forms_stay(void **state) {
    (void)state;
    static const char *const texts[] = {"Why?\nHow?\n", " [{\"prompt\":\"Why?\"}]"};
    char *path = ts_path_join(ws, "prompts/other.jsonl");
    for (size_t i = 0; i < TS_COUNT(texts); i++) {
        ts_buf now = TS_BUF_INIT;
        size_t added;
        assert_ok(ts_file_write(path, texts[i], strlen(texts[i]), &err));
        assert_int_equal(ts_prompt_set_add(ws, "other", lines, 1, &added, &err), TS_INVALID);
        assert_non_null(strstr(err.text, i ? "is a JSON array" : "is plain text"));
        assert_ok(ts_file_read(path, 1000, &now, &err));
        assert_string_equal(now.data, texts[i]);
        ts_buf_release(&now);
    }
    assert_ok(ts_remove_tree(path, &err));
    free(path);
}

static void names(void **state) {
    (void)state;
    static const char *const bad[] = {
        "", "a/b", "../x", ".x", "-x", "a b", "12345678901234567890123456789012345678901"};
    ts_names found;
    size_t added;
    char *other = ts_path_join(ws, "prompts/notes.txt");
    for (size_t i = 0; i < TS_COUNT(bad); i++) {
        assert_int_equal(ts_prompt_set_add(ws, bad[i], lines, 1, &added, &err), TS_INVALID);
        assert_null(ts_prompt_set_file(ws, bad[i]));
    }
    assert_null(ts_prompt_set_file(ws, "nothing"));
    assert_ok(ts_file_write(other, "x", 1, &err));
    assert_ok(ts_prompt_sets_list(ws, &found, &err));
    assert_int_equal(found.n, 2);
    assert_string_equal(found.items[0], "hard");
    assert_string_equal(found.items[1], "mine");
    ts_names_release(&found);
    assert_ok(ts_prompt_sets_list("/no/such/workspace", &found, &err));
    assert_int_equal(found.n, 0);
    free(other);
}

int main(void) {
    ws = ts_path_join(ts_test_dir(), "ws");
    assert_ok(ts_store_init(ws, &err));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_out_again),  cmocka_unit_test(a_set_by_hand), cmocka_unit_test(with_choices),
        cmocka_unit_test(other_forms_stay), cmocka_unit_test(names),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(ws);
    return failed;
}
