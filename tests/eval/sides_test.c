/* Sides: how they are written, what each is asked, and a comparison of all kinds on a tiny model and an endpoint on
 * this machine. */
#include "core/base/file.h"
#include "dataset/store.h"
#include "eval/compare.h"
#include "tests/chat_server.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;
static char *ws, *model, *docs;

static const struct {
    const char *line, *words; /* parted by | */
} lines[] = {
    {"base run:3", "base|run:3"},
    {" base, run:3,few-shot:2 ", "base|run:3|few-shot:2"},
    {"base \"system:Be brief, please\"", "base|system:Be brief, please"},
    {"url=http://x/v1,model=m,key-env=K few-shot:#1,#2", "url=http://x/v1,model=m,key-env=K|few-shot:#1,#2"},
    {"  ", ""},
};

static void sides_in_a_line(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(lines); i++) {
        char **words;
        ts_buf all = TS_BUF_INIT;
        size_t n = ts_sides_split(lines[i].line, &words);
        for (size_t k = 0; k < n; k++) {
            ts_buf_printf(&all, "%s%s", k ? "|" : "", words[k]);
            free(words[k]);
        }
        assert_string_equal(ts_buf_str(&all), lines[i].words);
        free(words);
        ts_buf_release(&all);
    }
}

static const struct {
    const char *side, *said;
} wrong[] = {
    {"few-shot:many", "a number of examples from 1 to 64"},
    {"few-shot:0", "a number of examples"},
    {"retrieval:/no/such/folder", "needs a folder of text files"},
    {"retrieval", "needs a folder"},
    {"system:", "followed by the system prompt"},
    {"model:/no/such/model", "/no/such/model"},
    {"url=http://x", "needs model="},
    {"run:7", "run"},
};

static void wrong_sides_are_said(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(wrong); i++) {
        ts_side_spec s;
        assert_true(ts_side_read(&s, ws, wrong[i].side, &err) != TS_OK);
        if (!strstr(err.text, wrong[i].said)) fail_msg("%s: %s", wrong[i].side, err.text);
        ts_side_release(&s);
    }
}

static ts_text text_of(const char *s) {
    return (ts_text){s, strlen(s)};
}

static const char *const rows[][2] = {
    {"How do I reset the router", "Hold the button."}, {"How do I bake bread", "Knead the dough."},
    {"How do I reset the printer", "Press the key."},  {"how do I  reset the MODEM", "The reference itself."},
    {"Where is the printer", "In the hall."},
};

static void make_workspace(void) {
    ts_store *st;
    int64_t ids[TS_COUNT(rows)];
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    for (size_t i = 0; i < TS_COUNT(rows); i++) {
        ts_draft d = {.instruction = text_of(rows[i][0]), .output = text_of(rows[i][1])};
        assert_ok(ts_row_add(st, &d, &ids[i], NULL, &err));
    }
    assert_ok(ts_rows_set_status(st, ids, TS_COUNT(rows) - 1, TS_ACCEPTED, NULL, &err)); /* the last is not accepted */
    ts_store_close(st);
}

static void write_file(const char *dir, const char *name, const char *text) {
    char *path = ts_path_join(dir, name);
    assert_ok(ts_file_write(path, text, strlen(text), &err));
    free(path);
}

static void check_asked(const ts_compare *c) {
    const ts_answer *a = c->answers;
    assert_null(a[0].messages); /* base */
    /* the two that reset something, the nearest last; not the one that asks the same, not the one that is new */
    assert_string_equal(
        a[1].messages,
        "[{\"role\":\"user\",\"content\":\"How do I reset the printer\"},{\"role\":\"assistant\","
        "\"content\":\"Press the key.\"},{\"role\":\"user\",\"content\":\"How do I reset the router\"},{"
        "\"role\":\"assistant\",\"content\":\"Hold the button.\"},{\"role\":\"user\",\"content\":\"How do "
        "I reset the modem\"}]");
    assert_string_equal(a[1].context, "#1, #3");
    assert_non_null(strstr(a[2].messages, "Modems: hold the small switch."));
    assert_null(strstr(a[2].messages, "hidden"));
    assert_non_null(strstr(a[2].context, "sub/modem.txt #1"));
    assert_non_null(strstr(a[2].messages, "How do I reset the modem\"}]"));
    assert_null(strstr(a[3].messages, "The reference itself"));
    assert_non_null(strstr(a[3].context, "#1"));
    assert_string_equal(
        a[4].messages,
        "[{\"role\":\"system\",\"content\":\"Be brief\"},{\"role\":\"user\",\"content\":\"How do I reset "
        "the modem\"}]");
    assert_string_equal(a[6].text, "medom eht teser I od woH");
    assert_non_null(strstr(a[7].error, "after 2 tries"));
    assert_null(a[7].text);
}

static void check_numbers(const ts_compare *c) {
    for (size_t i = 0; i < 6; i++)
        assert_true(isfinite(c->answers[i].reference_nll) && c->answers[i].reference_tokens > 0);
    /* the other model is the same model: the same answer, the same loss; the examples change it */
    assert_string_equal(c->answers[5].text, c->answers[0].text);
    assert_near(c->answers[5].reference_nll, c->answers[0].reference_nll, 1e-9, "the other model");
    assert_int_equal(c->answers[1].reference_tokens, c->answers[0].reference_tokens); /* not those of the examples */
    assert_true(c->answers[1].reference_nll != c->answers[0].reference_nll);
    assert_true(isnan(c->answers[6].reference_nll));
    assert_near(c->metrics[6].m[TS_M_COST].value, 0.0015, 1e-12, "cost");
    assert_true(isnan(c->metrics[7].m[TS_M_F1].value) && isnan(c->metrics[7].m[TS_M_ENDED].value));
    /* the second prompt is longer than the model's context: it alone has no answer */
    assert_non_null(strstr(c->answers[8].error, "the model's context is"));
    assert_string_equal(c->answers[8].stop, "error");
}

static void all_kinds(void **state) {
    (void)state;
    ts_compare c = {0};
    ts_compare_options o = TS_COMPARE_DEFAULTS;
    chat_server *server = chat_server_new();
    ts_test_program();
    ts_tiny_hf(model, NULL);
    make_workspace();
    char *sub = ts_path_join(docs, "sub"), *prompts = ts_path_join(ws, "prompts.jsonl"), *filler = ts_malloc(40001);
    assert_ok(ts_mkdirs(sub, &err));
    write_file(sub, "modem.txt", "Modems: hold the small switch.\n");
    write_file(docs, "bread.md", "Bread wants time.\n");
    write_file(docs, ".hidden", "hidden modem reset\n");
    memset(filler, 'x', 40000);
    filler[40000] = 0;
    char *file = ts_printf(
        "{\"prompt\":\"How do I reset the modem\",\"completion\":\"Unplug it.\"}\n{\"prompt\":\"%s\"}\n", filler);
    assert_ok(ts_file_write(prompts, file, strlen(file), &err));
    char *sides[] = {ts_strdup("base"),
                     ts_strdup("few-shot:2"),
                     ts_printf("retrieval:%s", docs),
                     ts_strdup("retrieval:examples"),
                     ts_strdup("system:Be brief"),
                     ts_printf("model:%s", model),
                     ts_printf("url=http://127.0.0.1:%d/v1,model=m,price-in=1,price-out=1", chat_server_port(server)),
                     ts_printf("url=http://127.0.0.1:%d/r500,model=m,tries=2,pause=0", chat_server_port(server))};
    o.ws = ws;
    o.model = model;
    o.sides = (const char *const *)sides;
    o.n_sides = TS_COUNT(sides);
    o.prompts = prompts;
    o.max_new_tokens = 8;
    assert_ok(ts_compare_run(&c, &o, NULL, &err));
    check_asked(&c);
    check_numbers(&c);
    assert_ok(ts_compare_keep(&c, ws, &err));
    ts_compare_release(&c);
    for (size_t i = 0; i < TS_COUNT(sides); i++)
        free(sides[i]);
    free(file);
    free(filler);
    free(prompts);
    free(sub);
    chat_server_free(server);
}

/* The model's context is 512 tokens, nearly a byte each: two of these fit behind a short question, none behind a long
 * one. */
static void make_long_examples(const char *folder) {
    static const char *const prompts[] = {"How do I reset the router", "How do I reset the printer", "How do I bake",
                                          "Where is it"};
    char answer[151];
    ts_store *st;
    int64_t id;
    memset(answer, 'x', sizeof answer - 1);
    answer[sizeof answer - 1] = 0;
    assert_ok(ts_store_init(folder, &err));
    assert_ok(ts_store_open(&st, folder, "test", &err));
    for (size_t i = 0; i < TS_COUNT(prompts); i++) {
        ts_draft d = {.instruction = text_of(prompts[i]), .output = text_of(answer)};
        assert_ok(ts_row_add(st, &d, &id, NULL, &err));
        assert_ok(ts_rows_set_status(st, &id, 1, TS_ACCEPTED, NULL, &err));
    }
    ts_store_close(st);
}

enum { SHORT, LONG, TOO_LONG };

static void check_what_fits(const ts_compare *c) {
    const ts_answer *two = &c->answers[2];
    const ts_answer *bare = &c->answers[LONG * c->n_sides];
    ts_buf out = TS_BUF_INIT;
    assert_int_equal(two->left_out, 0);
    assert_null(strstr(two->context, "fit"));
    for (size_t shots = 3; shots <= 4; shots++) { /* as if two had been asked for */
        const ts_answer *more = &c->answers[shots];
        assert_string_equal(more->messages, two->messages);
        assert_string_equal(more->text, two->text);
        assert_near(more->reference_nll, two->reference_nll, 1e-6, "behind two examples");
        assert_int_equal(more->left_out, shots - 2);
    }
    assert_string_equal(c->answers[4].context, "#1, #2; 2 of 4 examples did not fit the model's context");
    for (size_t shots = 1; shots <= 4; shots++) {
        const ts_answer *none = bare + shots;
        assert_string_equal(none->messages, c->prompts[LONG].messages);
        assert_string_equal(none->text, bare->text);
        assert_int_equal(none->left_out, shots);
        assert_non_null(strstr(c->answers[TOO_LONG * c->n_sides + shots].error, "the model's context is 512"));
    }
    assert_string_equal(bare[1].context, "1 of 1 examples did not fit the model's context");
    ts_compare_write_json(c, &out);
    assert_non_null(strstr(out.data, "\"left_out\":2"));
    ts_buf_release(&out);
}

static void examples_that_do_not_fit(void **state) {
    (void)state;
    static const char *const sides[] = {"base", "few-shot:1", "few-shot:2", "few-shot:3", "few-shot:4"};
    ts_compare c = {0};
    ts_compare_options o = TS_COMPARE_DEFAULTS;
    char *folder = ts_path_join(ts_test_dir(), "long"), *prompts = ts_path_join(folder, "prompts.jsonl");
    ts_test_program();
    ts_tiny_hf(model, NULL);
    make_long_examples(folder);
    char *file = ts_printf("{\"prompt\":\"How do I reset it\",\"completion\":\"Unplug it.\"}\n{\"prompt\":\"%0400d\"}\n"
                           "{\"prompt\":\"%0600d\"}\n",
                           7, 7);
    assert_ok(ts_file_write(prompts, file, strlen(file), &err));
    o.ws = folder;
    o.model = model;
    o.sides = sides;
    o.n_sides = TS_COUNT(sides);
    o.prompts = prompts;
    o.max_new_tokens = 8;
    assert_ok(ts_compare_run(&c, &o, NULL, &err));
    check_what_fits(&c);
    ts_compare_release(&c);
    free(file);
    free(prompts);
    free(folder);
}

static void samples_and_leaks(void **state) {
    (void)state;
    static const char *const base[] = {"base"};
    ts_compare c = {0};
    ts_compare_options o = TS_COMPARE_DEFAULTS;
    ts_store *st;
    int64_t id;
    char *prompts = ts_path_join(ws, "leaky.jsonl");
    assert_ok(ts_store_open(&st, ws, "test", &err));
    ts_draft d = {.instruction = text_of("Please tell me what the nine words in this row are"), .output = text_of("x")};
    assert_ok(ts_row_add(st, &d, &id, NULL, &err));
    assert_ok(ts_rows_set_status(st, &id, 1, TS_ACCEPTED, NULL, &err));
    ts_store_close(st);
    write_file(
        ws, "leaky.jsonl",
        "{\"prompt\":\"Something else that is not there at all, I think\"}\n{\"prompt\":\"So: tell me what the nine "
        "words in this row are!\"}\n");
    o.ws = ws;
    o.model = model;
    o.sides = base;
    o.n_sides = 1;
    o.prompts = prompts;
    o.max_new_tokens = 12;
    o.samples = 3;
    o.sampling.temperature = 5;
    assert_ok(ts_compare_run(&c, &o, NULL, &err));
    assert_int_equal(c.n_prompts, 6);
    assert_int_equal(c.prompts[4].sample, 1);
    assert_string_equal(c.prompts[3].text, c.prompts[5].text);
    assert_true(strcmp(c.answers[0].text, c.answers[1].text) != 0 || strcmp(c.answers[1].text, c.answers[2].text) != 0);
    assert_int_equal(c.prompts[0].leak, 0);
    assert_int_equal(c.prompts[3].leak, 10);
    assert_int_equal(c.prompts[3].leak_row, id);
    ts_compare_release(&c);
    free(prompts);
}

int main(void) {
    const char *binary = getenv("TS_BINARY"), *here = ts_test_dir();
    ws = ts_path_join(here, "ws");
    model = ts_path_join(here, "tiny");
    docs = ts_path_join(here, "docs");
    if (binary) setenv("TUNESMITH_BINARY", binary, 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(sides_in_a_line), cmocka_unit_test(wrong_sides_are_said),
                                       cmocka_unit_test(all_kinds), cmocka_unit_test(examples_that_do_not_fit),
                                       cmocka_unit_test(samples_and_leaks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
