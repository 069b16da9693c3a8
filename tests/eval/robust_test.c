/* Prompts in changed forms, and the table that is made of the answers to them. */
#include "core/base/file.h"
#include "core/base/utf8.h"
#include "eval/compare.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;
static const char *here;

static int fresh(void **state) {
    (void)state;
    here = ts_test_dir();
    return 0;
}

static const char kept[] =
    "```\nlet Sum = a, b;\n```\nUse `Foo, bar` at https://Example.org/Path, see www.Site.org: 3.50, 2B";

/* Fences, inline code, addresses and numbers stay, whatever the change and seed. */
static void code_addresses_and_numbers_stay(void **state) {
    (void)state;
    static const char *const whole[] = {
        "```\nlet Sum = a, b;\n```\n", "`Foo, bar`", "https://Example.org/Path,", "www.Site.org:", "3.50,", "2B"};
    for (int k = 0; k < TS_P_COUNT; k++)
        for (uint64_t seed = 0; seed < 50; seed++) {
            ts_buf out = TS_BUF_INIT;
            ts_perturb(k, kept, strlen(kept), seed, &out);
            for (size_t i = 0; i < TS_COUNT(whole); i++)
                if (!strstr(ts_buf_str(&out), whole[i])) fail_msg("%s: %s", ts_perturbations[k].name, out.data);
            ts_buf_release(&out);
        }
}

static const struct {
    int which;
    const char *text, *becomes;
} exact[] = {
    {TS_P_LOWER,
     "Was heißt \xc3\x9c"
     "BER?\n  Say",
     "was heißt \xc3\xbc"
     "ber?\n  say"},
    {TS_P_UPPER, "abc \xc3\xa4 x1y", "ABC \xc3\x84 x1y"},
    {TS_P_PUNCTUATION, "Well, is it? Yes! a.b (c).", "Well is it Yes a.b (c)"},
    {TS_P_TYPOS, "to be or", "to be or"},          /* no word is long enough */
    {TS_P_SPACES, "one\n  two\n", "one\n  two\n"}, /* indentation is no gap */
    {TS_P_LOWER, "", ""},
    {TS_P_UPPER,
     "bad \xff"
     "bytes",
     "BAD \xff"
     "bytes"},
};

static void changes(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(exact); i++) {
        ts_buf out = TS_BUF_INIT;
        bool changed = ts_perturb(exact[i].which, exact[i].text, strlen(exact[i].text), 1, &out);
        assert_string_equal(ts_buf_str(&out), exact[i].becomes);
        assert_int_equal(changed, strcmp(exact[i].text, exact[i].becomes) != 0);
        ts_buf_release(&out);
    }
}

static void typos_and_gaps_are_few_seeded_and_valid(void **state) {
    (void)state;
    static const char text[] = "Please tell me the f\xc3\xbcnfte \xce\xb3\xce\xbb\xcf\x8e\xcf\x83\xcf\x83\xce\xb1 word";
    size_t others = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        ts_buf a = TS_BUF_INIT, b = TS_BUF_INIT, gaps = TS_BUF_INIT;
        assert_true(ts_perturb(TS_P_TYPOS, text, strlen(text), seed, &a));
        ts_perturb(TS_P_TYPOS, text, strlen(text), seed, &b);
        assert_string_equal(a.data, b.data);
        assert_int_equal(ts_utf8_check(a.data, a.len), a.len);
        assert_memory_equal(a.data, "P", 1); /* first letters stay */
        ts_buf_reset(&b);
        ts_perturb(TS_P_TYPOS, text, strlen(text), seed + 1, &b);
        others += strcmp(a.data, b.data) != 0;
        assert_true(ts_perturb(TS_P_SPACES, text, strlen(text), seed, &gaps) && gaps.len > strlen(text));
        ts_buf_release(&a);
        ts_buf_release(&b);
        ts_buf_release(&gaps);
    }
    assert_true(others > 50);
}

/* Two prompts, by hand: 1 with a form at 0.5, and 0.5 with a form at 0. */
static void worst_and_mean(void **state) {
    (void)state;
    ts_answer a[2] = {{.perturbed = true, .score_by = TS_M_F1, .own_score = 1, .tokens = 10, .took = 2},
                      {.perturbed = true, .score_by = TS_M_F1, .own_score = 0.5, .tokens = 30, .took = 3}};
    for (int k = 0; k < TS_P_COUNT; k++)
        a[0].changed_scores[k] = k == TS_P_TYPOS ? 0.5 : 1, a[1].changed_scores[k] = k == TS_P_UPPER ? 0 : 0.75;
    ts_robust r;
    ts_robust_side(a, 2, 1, 1, &r);
    assert_near(r.rows[0].m.value, 0.75, 1e-12, "accuracy");
    assert_near(r.rows[1].m.value, 0.25, 1e-12, "the worst of each");
    assert_near(r.rows[2].m.value, (0.9 + 0.6) / 2, 1e-12, "mean of the changed forms");
    assert_near(r.rows[3].m.value, (0.5 + 0.75) / 2, 1e-12, "typos");
    assert_near(r.rows[TS_ROBUST_ROWS - 3].m.value, 40.0 / 5, 1e-12, "tokens a second");
    assert_near(r.rows[TS_ROBUST_ROWS - 2].m.value, 2.5, 1e-12, "seconds");
    assert_true(isnan(r.rows[TS_ROBUST_ROWS - 1].m.value)); /* no price, no cost */
    assert_true(r.rows[1].m.interval.low <= 0.25 && r.rows[1].m.interval.high >= 0.25);
    a[0].perturbed = a[1].perturbed = false;
    ts_robust_side(a, 2, 1, 1, &r);
    assert_int_equal(r.by, TS_METRIC_COUNT);
    assert_true(isnan(r.rows[0].m.value));
}

static void count_answers(void *ctx, const ts_compare *c, size_t prompt, size_t side) {
    (void)side;
    assert_true(prompt < c->n_prompts); /* nobody is told of changed forms */
    ++*(size_t *)ctx;
}

static void check_outputs(const ts_compare *c) {
    ts_buf out = TS_BUF_INIT;
    ts_compare_write_text(c, 120, &out);
    assert_non_null(strstr(out.data, "\nrobust, worst"));
    assert_non_null(strstr(out.data, "\ntokens a second"));
    assert_non_null(strstr(out.data, "accuracy and robustness by token F1; 2 prompts"));
    ts_buf_reset(&out);
    ts_compare_write_json(c, &out);
    ts_json *root = ts_json_parse(out.data, out.len, &err);
    const ts_json *robust = ts_json_get(ts_json_get(ts_json_get(root, "metrics"), "base"), "robust");
    assert_string_equal(ts_json_str(ts_json_get(robust, "by"), ""), "f1");
    assert_near(ts_json_num(ts_json_get(robust, "accuracy"), 9), c->metrics[0].m[TS_M_F1].value, 1e-9, "as F1");
    assert_true(ts_json_num(ts_json_get(robust, "robustness"), 9) <= ts_json_num(ts_json_get(robust, "accuracy"), -1));
    assert_true(ts_json_num(ts_json_get(robust, "tokens_per_second"), 0) > 0);
    assert_int_equal(ts_json_count(ts_json_get(root, "rows")), 2);
    ts_json_free(root);
    ts_buf_release(&out);
}

static void a_whole_comparison(void **state) {
    (void)state;
    static const char *const base[] = {"base"};
    static const char rows[] = "{\"prompt\":\"Please say hi, now\",\"completion\":\"hi there\"}\n"
                               "{\"prompt\":\"12\",\"completion\":\"hi\"}\n"; /* nothing to change in it */
    ts_compare c = {0};
    ts_compare_options o = TS_COMPARE_DEFAULTS;
    ts_progress progress = {0};
    size_t told = 0;
    char *model = ts_path_join(here, "tiny"), *prompts = ts_path_join(here, "p.jsonl");
    ts_test_program();
    ts_tiny_hf(model, NULL);
    assert_ok(ts_file_write(prompts, rows, strlen(rows), &err));
    o.model = model;
    o.sides = base;
    o.n_sides = 1;
    o.prompts = prompts;
    o.robust = true;
    o.max_new_tokens = 6;
    o.on_answer = count_answers;
    o.ctx = &told;
    assert_ok(ts_compare_run(&c, &o, &progress, &err));
    assert_int_equal(c.n_prompts, 2);
    assert_int_equal(c.n_asked, 2 + TS_P_COUNT);
    assert_int_equal(told, 2);
    assert_int_equal(progress.done, progress.total);
    assert_non_null(strstr(c.prompts[2 + TS_P_UPPER].messages, "PLEASE SAY HI, NOW"));
    assert_near(c.answers[1].changed_scores[TS_P_LOWER], c.answers[1].own_score, 0, "nothing changed");
    check_outputs(&c);
    ts_compare_release(&c);
    o.robust_by = "rouge";
    assert_int_equal(ts_compare_prepare(&c, &o, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "not by \"rouge\""));
    free(model);
    free(prompts);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(code_addresses_and_numbers_stay, fresh),
        cmocka_unit_test_setup(changes, fresh),
        cmocka_unit_test_setup(typos_and_gaps_are_few_seeded_and_valid, fresh),
        cmocka_unit_test_setup(worst_and_mean, fresh),
        cmocka_unit_test_setup(a_whole_comparison, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
