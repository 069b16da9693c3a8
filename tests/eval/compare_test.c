/* Comparing sides: the check file, repetition, prompts of all forms, and a whole comparison on a tiny model. */
#include "core/base/file.h"
#include "core/model/adapter.h"
#include "core/text/cells.h"
#include "dataset/answers.h"
#include "eval/compare.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ts_err err;
static const char *here;

static int fresh(void **state) {
    const char *binary = getenv("TS_BINARY");
    (void)state;
    here = ts_test_dir();
    if (binary) setenv("TUNESMITH_BINARY", binary, 1);
    return 0;
}

static char *file(const char *name, const char *text) {
    char *path = ts_path_join(here, name);
    assert_ok(ts_file_write(path, text, strlen(text), &err));
    return path;
}

static bool matches(const ts_check *c, const char *text, size_t *failed) {
    return ts_check_match(c, text, strlen(text), failed);
}

static void check_file(void **state) {
    (void)state;
    ts_check *c;
    size_t failed;
    char *path = file("check", "# a comment\n\n\\AHello\\b\r\nend\\.\\z\n");
    assert_ok(ts_check_read(&c, path, &err));
    assert_true(matches(c, "Hello, this is the end.", &failed));
    assert_int_equal(failed, 0);
    assert_false(matches(c, "Hello, this is the end", &failed));
    assert_int_equal(failed, 4); /* the line of the file */
    assert_false(matches(c, "the end.", &failed));
    assert_int_equal(failed, 3);
    assert_false(matches(c, "Hello \xff end.", NULL)); /* not UTF-8: no pass */
    ts_check_free(c);
    free(path);
    path = file("bad", "fine\n(open\n");
    assert_int_equal(ts_check_read(&c, path, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "line 2"));
    free(path);
    path = file("nothing", "# only\n");
    assert_int_equal(ts_check_read(&c, path, &err), TS_INVALID);
    assert_int_equal(ts_check_read(&c, here, &err), TS_INVALID);
    free(path);
}

static double repetition(const char *text) {
    return ts_repetition(text, strlen(text));
}

static void repeated_words(void **state) {
    (void)state;
    assert_near(repetition(""), 0, 0, "nothing");
    assert_near(repetition("a b c"), 0, 0, "too short");
    assert_near(repetition("a b c d e f"), 0, 0, "all different");
    assert_near(repetition("a b c d\n a  b c d"), 1.0 / 5, 1e-12, "the fifth four repeat the first");
    assert_near(repetition("x x x x x x x x"), 4.0 / 5, 1e-12, "one word");
}

static size_t prompts_of(const char *name, const char *text, ts_compare *c) {
    static const char *const base[] = {"base"};
    ts_compare_options o = TS_COMPARE_DEFAULTS;
    char *path = file(name, text);
    o.sides = base;
    o.n_sides = 1;
    o.model = "unused";
    o.prompts = path;
    assert_ok(ts_compare_prepare(c, &o, &err));
    free(path);
    return c->n_prompts;
}

static void prompts_of_all_forms(void **state) {
    (void)state;
    ts_compare c;
    assert_int_equal(prompts_of("a.txt", "What is up?\n\n  And down?\n", &c), 2);
    assert_string_equal(c.prompts[0].messages, "[{\"role\":\"user\",\"content\":\"What is up?\"}]");
    assert_null(c.prompts[0].reference);
    ts_compare_release(&c);
    assert_int_equal(prompts_of("b.jsonl",
                                "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief\"},{\"role\":\"user\","
                                "\"content\":\"Q\"},{\"role\":\"assistant\",\"content\":\"A\"}]}\n"
                                "{\"instruction\":\"Add\",\"input\":\"1 2\",\"output\":\"3\"}\n"
                                "{\"prompt\":\"P\",\"completion\":\"C\"}",
                                &c),
                     3);
    assert_string_equal(c.prompts[0].text, "Q");
    assert_string_equal(c.prompts[0].reference, "A");
    assert_null(strstr(c.prompts[0].messages, "assistant"));
    assert_non_null(strstr(c.prompts[0].messages, "Be brief"));
    assert_string_equal(c.prompts[1].text, "Add\n1 2");
    assert_string_equal(c.prompts[1].reference, "3");
    assert_string_equal(c.prompts[2].reference, "C");
    ts_compare_release(&c);
    assert_int_equal(prompts_of("c.json", "[\n {\"prompt\":\"one\"},\n {\"prompt\":\"two\"}\n]\n", &c), 2);
    ts_compare_release(&c);
    assert_int_equal(prompts_of("d.json", "[{\"role\":\"user\",\"content\":\"hi\"}]", &c), 1);
    ts_compare_release(&c);
    assert_int_equal(prompts_of("e.jsonl",
                                "[{\"role\":\"user\",\"content\":\"hi\"}]\n[{\"role\":\"user\",\"content\":"
                                "\"ho\"}]\n",
                                &c),
                     2);
    assert_string_equal(c.prompts[1].text, "ho");
    ts_compare_release(&c);
}

static void bad_sides_and_prompts_are_named(void **state) {
    (void)state;
    static const char *const twice[] = {"base", "base"}, *const missing[] = {"base", "run:7"};
    ts_compare c;
    ts_compare_options o = TS_COMPARE_DEFAULTS;
    char *path = file("p.jsonl", "{\"prompt\":\"x\"}\n{\"nothing\":1}\n");
    o.ws = here;
    o.model = "unused";
    o.prompts = path;
    assert_int_equal(ts_compare_prepare(&c, &o, &err), TS_INVALID); /* no sides */
    o.sides = twice;
    o.n_sides = 2;
    assert_int_equal(ts_compare_prepare(&c, &o, &err), TS_INVALID);
    o.sides = missing;
    assert_int_equal(ts_compare_prepare(&c, &o, &err), TS_NOT_FOUND);
    o.n_sides = 1;
    assert_int_equal(ts_compare_prepare(&c, &o, &err), TS_FORMAT);
    assert_non_null(strstr(err.text, "line 2"));
    free(path);
}

/* An adapter that changes much, saved in here/adapter. */
static void save_adapter(const char *model, const char *dir) {
    ts_model *m = NULL;
    ts_adapter *a = NULL;
    assert_ok(ts_model_open(&m, model, &err));
    assert_ok(ts_adapter_new(&a, m, 4, 8, 0, false, 1U << TS_V | 1U << TS_DOWN, 3, &err));
    for (size_t i = 0; i < a->n_params; i++)
        a->block[i] += 0.3f * (float)((i * 2654435761U >> 7) % 101) / 101 - 0.15f;
    assert_ok(ts_adapter_save(a, dir, &err));
    ts_adapter_free(a);
    ts_model_close(m);
}

/* The general rows are the prompts here (the one without an answer counts for nothing), so the losses are known. */
static void check_general(const ts_compare *c) {
    ts_buf out = TS_BUF_INIT;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(c->general[i].loss.n, 1);
        assert_near(c->general[i].loss.value, c->metrics[i].m[TS_M_REFERENCE_NLL].value, 1e-6, "loss of the same row");
    }
    assert_true(isnan(c->general[0].change));
    assert_near(c->general[1].change, c->general[1].loss.value - c->general[0].loss.value, 1e-12, "against base");
    assert_true(c->general[1].change != 0);
    ts_compare_write_text(c, 120, &out);
    assert_non_null(strstr(out.data, "\ngeneral loss"));
    assert_non_null(strstr(out.data, "\nforgotten       -  "));
    ts_buf_reset(&out);
    ts_compare_write_json(c, &out);
    ts_json *root = ts_json_parse(out.data, out.len, &err);
    const ts_json *side = ts_json_get(ts_json_get(root, "metrics"), c->sides[1]);
    assert_near(ts_json_num(ts_json_get(side, "general_change"), 9), c->general[1].change, 1e-9, "in JSON");
    ts_json_free(root);
    ts_buf_release(&out);
}

static void check_json(const ts_compare *c, const char *side) {
    ts_buf out = TS_BUF_INIT;
    ts_compare_write_json(c, &out);
    ts_json *root = ts_json_parse(out.data, out.len, &err);
    assert_non_null(root);
    const ts_json *metrics = ts_json_get(ts_json_get(root, "metrics"), side),
                  *row = ts_json_child(ts_json_get(root, "rows"));
    const ts_json *answer = ts_json_get(ts_json_get(row, "answers"), side);
    assert_int_equal(ts_json_count(ts_json_get(root, "sides")), 2);
    assert_true(ts_json_is_number(ts_json_get(metrics, "pass_rate")));
    assert_true(ts_json_is_number(ts_json_get(metrics, "reference_nll")));
    assert_true(ts_json_is_number(ts_json_get(metrics, "rouge_l")));
    assert_true(ts_json_is_null(ts_json_get(metrics, "schema_valid"))); /* no schema was given */
    const ts_json *passed = ts_json_child(ts_json_get(ts_json_get(metrics, "intervals"), "pass_rate"));
    assert_true(ts_json_num(passed, 9) <= ts_json_num(ts_json_get(metrics, "pass_rate"), -1));
    assert_true(ts_json_num(ts_json_next(passed), -1) > ts_json_num(passed, 9)); /* two answers say little */
    assert_string_equal(ts_json_str(ts_json_get(row, "prompt"), ""), "Say hi");
    assert_true(ts_json_is_string(ts_json_get(answer, "text")));
    assert_true(ts_json_is_array(ts_json_get(answer, "ids")));
    assert_true(ts_json_is_bool(ts_json_get(answer, "passed")));
    assert_true(ts_json_is_number(ts_json_get(answer, "reference_nll")));
    row = ts_json_next(row); /* the second prompt has no reference: null, not 0 */
    answer = ts_json_get(ts_json_get(row, "answers"), side);
    assert_true(ts_json_is_null(ts_json_get(answer, "reference_nll")));
    assert_true(ts_json_is_null(ts_json_get(ts_json_get(answer, "metrics"), "f1")));
    assert_true(ts_json_is_number(ts_json_get(ts_json_get(answer, "metrics"), "tokens")));
    ts_json_free(root);
    ts_buf_release(&out);
}

static void check_text(const ts_compare *c) {
    ts_buf out = TS_BUF_INIT;
    ts_compare_write_text(c, 60, &out);
    for (const char *line = out.data; *line;) {
        const char *end = strchr(line, '\n');
        if (strncmp(line, "side ", 5) == 0) break; /* the summary has columns of its own */
        assert_true(ts_cells_width(line, (size_t)(end - line)) <= 60);
        for (const char *p = line; p < end; p++)
            assert_true((unsigned char)*p >= 0x20);
        line = end + 1;
    }
    ts_buf_release(&out);
}

/* What was asked and answered stands in a workspace afterwards, once, however often it is kept. */
static void check_kept(ts_compare *c) {
    char *ws = ts_path_join(here, "ws");
    ts_store *st;
    ts_arena arena = TS_ARENA_INIT;
    ts_kept_answer *list;
    size_t n;
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_compare_keep(c, ws, &err));
    assert_int_equal(c->prompts[0].kept, 1);
    assert_int_equal(c->prompts[1].kept, 2);
    assert_ok(ts_compare_keep(c, ws, &err));
    assert_int_equal(c->prompts[1].kept, 2);
    assert_ok(ts_store_open(&st, ws, "test", &err));
    assert_int_equal(ts_prompt_find(st, (ts_text){c->prompts[1].messages, strlen(c->prompts[1].messages)}), 2);
    assert_ok(ts_answers_read(st, 2, &list, &n, &arena, &err));
    assert_int_equal(n, 2);
    for (size_t i = 0; i < 2; i++) { /* read by name: the adapter's folder sorts before "base" */
        size_t side = strcmp(list[i].side, c->sides[0]) == 0 ? 0 : 1;
        assert_string_equal(list[i].side, c->sides[side]);
        assert_string_equal(list[i].text.s, c->answers[2 + side].text);
        assert_non_null(strstr(list[i].detail.s, "\"stop\""));
    }
    ts_arena_release(&arena);
    ts_store_close(st);
    free(ws);
}

static void a_whole_comparison(void **state) {
    (void)state;
    ts_compare c = {0};
    ts_compare_options o = TS_COMPARE_DEFAULTS;
    ts_test_program();
    char *model = ts_path_join(here, "tiny"), *adapter = ts_path_join(here, "adapter");
    char *prompts =
        file("prompts.jsonl", "{\"prompt\":\"Say hi\",\"completion\":\"hi there\"}\n{\"prompt\":\"\\u001b[31mred\"}\n");
    char *check = file("check", "(?s).*\n");
    const char *sides[] = {"base", adapter};
    ts_tiny_hf(model, NULL);
    save_adapter(model, adapter);
    o.model = model;
    o.sides = sides;
    o.n_sides = 2;
    o.prompts = prompts;
    o.check = check;
    o.general = prompts;
    o.max_new_tokens = 12;
    assert_ok(ts_compare_run(&c, &o, NULL, &err));
    assert_int_equal(c.n_prompts, 2);
    for (size_t i = 0; i < 4; i++) {
        const ts_answer *x = &c.answers[i];
        assert_true(x->checked);
        assert_int_equal(isfinite(x->reference_nll) != 0, i < 2);
        if (strcmp(x->stop, "length") == 0) assert_false(x->passed); /* matched, but did not end */
    }
    assert_true(c.answers[0].reference_nll != c.answers[1].reference_nll);
    assert_near(c.metrics[1].m[TS_M_REFERENCE_NLL].value,
                c.answers[1].reference_nll / (double)c.answers[1].reference_tokens, 1e-12, "mean a token");
    check_general(&c);
    check_json(&c, adapter);
    check_text(&c);
    check_kept(&c);
    ts_compare_release(&c);
    o.general = file("questions.jsonl", "{\"prompt\":\"no answer\"}\n");
    assert_int_equal(ts_compare_run(&c, &o, NULL, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "questions.jsonl has an answer"));
    ts_compare_release(&c);
    free((char *)o.general);
    free(model);
    free(adapter);
    free(prompts);
    free(check);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(check_file, fresh),
        cmocka_unit_test_setup(repeated_words, fresh),
        cmocka_unit_test_setup(prompts_of_all_forms, fresh),
        cmocka_unit_test_setup(bad_sides_and_prompts_are_named, fresh),
        cmocka_unit_test_setup(a_whole_comparison, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
