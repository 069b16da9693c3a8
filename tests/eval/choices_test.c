/* Multiple choice by likelihood: the shapes of rows, what is refused, and the numbers against the engine's own losses.
 */
#include "core/base/file.h"
#include "eval/compare.h"
#include "eval/engine_client.h"
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

static ts_status prepare(const char *text, ts_compare *c) {
    static const char *const base[] = {"base"};
    ts_compare_options o = TS_COMPARE_DEFAULTS;
    char *path = ts_path_join(here, "rows.jsonl");
    assert_ok(ts_file_write(path, text, strlen(text), &err));
    o.sides = base;
    o.n_sides = 1;
    o.model = "unused";
    o.prompts = path;
    ts_status status = ts_compare_prepare(c, &o, &err);
    free(path);
    return status;
}

#define CHOICES "\"choices\":[\"red\",\"B\",\"blue\"]"
static const struct {
    const char *row;
    size_t right;
} good[] = {
    {"{\"question\":\"Q\"," CHOICES ",\"answer\":2}", 2},
    {"{\"question\":\"Q\"," CHOICES ",\"answer\":\"red\"}", 0},
    {"{\"prompt\":\"Q\"," CHOICES ",\"answer\":\"c\"}", 2},
    {"{\"prompt\":\"Q\"," CHOICES ",\"answer\":\"B\"}", 1}, /* a text first, which here is the letter too */
    {"{\"instruction\":\"Q\",\"output\":\"no\"," CHOICES ",\"answer\":\"A\"}", 0},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"Q\"}]," CHOICES ",\"answer\":0}", 0},
};

static void shapes(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(good); i++) {
        ts_compare c;
        assert_ok(prepare(good[i].row, &c));
        assert_int_equal(c.prompts[0].n_choices, 3);
        assert_int_equal(c.prompts[0].right, good[i].right);
        assert_string_equal(c.prompts[0].reference, c.prompts[0].choices[good[i].right]);
        assert_string_equal(c.prompts[0].text, "Q");
        ts_compare_release(&c);
    }
}

/* As logs of an API and other files have them. */
static const char *const none[] = {
    "{\"prompt\":\"Q\",\"completion\":\"yes\",\"choices\":null}",
    "{\"instruction\":\"Q\",\"output\":\"yes\",\"choices\":[],\"answer\":\"yes\"}",
    ("{\"messages\":[{\"role\":\"user\",\"content\":\"Q\"},{\"role\":\"assistant\",\"content\":\"yes\"}],"
     "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"no\"}}]}"),
};

static void no_choices(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(none); i++) {
        ts_compare c;
        assert_ok(prepare(none[i], &c));
        assert_null(c.prompts[0].choices);
        assert_string_equal(c.prompts[0].text, "Q");
        assert_string_equal(c.prompts[0].reference, "yes");
        ts_compare_release(&c);
    }
}

static const struct {
    const char *row, *says;
} bad[] = {
    {"{\"question\":\"Q\",\"choices\":[\"one\"],\"answer\":0}", "holds 1, from 2 to 26"},
    {"{\"question\":\"Q\",\"choices\":\"ab\",\"answer\":0}", "no list"},
    {"{\"question\":\"Q\",\"choices\":[\"a\",5],\"answer\":0}", "choice 2 is no text"},
    {"{\"question\":\"Q\",\"choices\":[\"\",\"b\"],\"answer\":0}", "choice 1 is empty"},
    {"{\"question\":\"Q\"," CHOICES ",\"answer\":3}", "\"answer\" is 3; it must be an index from 0 to 2"},
    {"{\"question\":\"Q\"," CHOICES ",\"answer\":-1}", "is -1;"},
    {"{\"question\":\"Q\"," CHOICES ",\"answer\":1.5}", "is 1.5;"},
    {"{\"question\":\"Q\"," CHOICES ",\"answer\":\"D\"}", "letter from A to C"},
    {"{\"question\":\"Q\"," CHOICES "}", "\"answer\" is missing"},
    {"{\"question\":\"Q\",\"answer\":1}", "neither \"messages\""},
};

static void bad_rows_are_named(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(bad); i++) {
        ts_compare c;
        char *text = ts_printf("{\"prompt\":\"fine\"}\n%s\n", bad[i].row);
        assert_int_equal(prepare(text, &c), TS_FORMAT);
        assert_non_null(strstr(err.text, "line 2"));
        if (!strstr(err.text, bad[i].says)) fail_msg("%s: %s", bad[i].row, err.text);
        free(text);
    }
}

static void likeliest(void **state) {
    (void)state;
    char a_text[] = "a", long_text[] = "long text", b_text[] = "b";
    char *texts[] = {a_text, long_text, b_text};
    double sums[] = {-3, -9, -3};
    ts_prompt p = {.choices = texts, .n_choices = 3, .right = 1};
    ts_answer a = {.choices = sums, .n_choices = 3};
    ts_compare_choose(&p, &a);
    assert_true(a.chose && !a.right && a.right_norm);
    assert_int_equal(a.chosen, 0); /* of equal ones the first */
    assert_int_equal(a.chosen_norm, 1);
    sums[2] = NAN; /* not all scored: no verdict */
    ts_compare_choose(&p, &a);
    assert_false(a.chose);
}

/* ---- against the engine ---- */

static double text_alone[2];

/* All tokens but the last one, which ends the turn. */
static void take(void *ctx, const ts_engine_event *e) {
    (void)ctx;
    if (e->kind != TS_ENGINE_NLL) return;
    double sum = 0, last = 0;
    for (const ts_json *v = ts_json_child(e->nlls); v; v = ts_json_next(v))
        sum += last = ts_json_num(v, NAN);
    text_alone[e->prompt] = sum - last;
}

static void score_directly(const char *model) {
    static const char *const base[] = {NULL};
    ts_engine *e = ts_engine_new(NULL, take, NULL);
    ts_ask ask = TS_ASK_DEFAULTS;
    ask.model = model;
    ask.sides = base;
    ask.n_sides = 1;
    ask.per_token = true;
    ask.items = "[{\"messages\":[{\"role\":\"user\",\"content\":\"Say hi\"},{\"role\":\"assistant\",\"content\":\"hi "
                "there\"}]},{\"messages\":[{\"role\":\"user\",\"content\":\"Say hi\"},{\"role\":\"assistant\","
                "\"content\":\"no\"}]}]";
    assert_ok(ts_engine_wait(e, ts_engine_nll(e, &ask, &err), NULL, &err));
    ts_engine_free(e);
}

static void check_json(const ts_compare *c) {
    ts_buf out = TS_BUF_INIT;
    ts_compare_write_json(c, &out);
    ts_json *root = ts_json_parse(out.data, out.len, &err);
    const ts_json *row = ts_json_child(ts_json_get(root, "rows"));
    const ts_json *answers = ts_json_get(row, "answers");
    const ts_json *base = ts_json_get(answers, "base"), *metrics = ts_json_get(ts_json_get(root, "metrics"), "base");
    assert_near(ts_json_num(ts_json_child(ts_json_get(base, "choices")), 0), c->answers[0].choices[0], 1e-9, "in JSON");
    assert_near(ts_json_num(ts_json_get(metrics, "acc"), 9), c->answers[0].right, 0, "acc");
    assert_int_equal(ts_json_count(ts_json_get(ts_json_get(metrics, "intervals"), "acc_norm")), 2);
    const ts_json *url = ts_json_get(ts_json_get(root, "metrics"), c->sides[1]);
    assert_true(ts_json_is_null(ts_json_get(url, "acc")));
    assert_true(ts_json_is_string(ts_json_get(url, "no_choices")));
    ts_json_free(root);
    ts_buf_reset(&out);
    ts_compare_write_text(c, 120, &out);
    assert_non_null(strstr(out.data, "\nchoice right    "));
    assert_non_null(strstr(out.data, "an endpoint does not tell"));
    ts_buf_release(&out);
}

static void sums_are_the_engines(void **state) {
    (void)state;
    static const char *const sides[] = {"base", "url=http://127.0.0.1:9/v1,model=m,tries=1"};
    ts_compare c = {0};
    ts_compare_options o = TS_COMPARE_DEFAULTS;
    ts_progress progress = {0};
    char *model = ts_path_join(here, "tiny"), *rows = ts_path_join(here, "mc.jsonl");
    static const char row[] = "{\"question\":\"Say hi\",\"choices\":[\"hi there\",\"no\"],\"answer\":0}\n";
    ts_test_program();
    ts_tiny_hf(model, NULL);
    assert_ok(ts_file_write(rows, row, strlen(row), &err));
    o.model = model;
    o.sides = sides;
    o.n_sides = 2;
    o.prompts = rows;
    o.max_new_tokens = 4;
    assert_ok(ts_compare_run(&c, &o, &progress, &err));
    score_directly(model);
    for (size_t i = 0; i < 2; i++)
        assert_near(-c.answers[0].choices[i], text_alone[i], 1e-4, "sum of the choice's tokens");
    assert_true(c.answers[0].chose);
    assert_int_equal(c.answers[0].chosen, text_alone[0] <= text_alone[1] ? 0 : 1);
    assert_false(c.answers[1].chose);
    assert_int_equal(progress.done, progress.total); /* two answers, a reference, two choices */
    assert_int_equal(progress.total, 5);
    check_json(&c);
    ts_compare_release(&c);
    free(model);
    free(rows);
}

static void compare_rows(const char *model, const char *text, ts_compare *c) {
    static const char *const base[] = {"base"};
    ts_compare_options o = TS_COMPARE_DEFAULTS;
    char *path = ts_path_join(here, "long.jsonl");
    assert_ok(ts_file_write(path, text, strlen(text), &err));
    o.model = model;
    o.sides = base;
    o.n_sides = 1;
    o.prompts = path;
    o.max_new_tokens = 4;
    *c = (ts_compare){0};
    assert_ok(ts_compare_run(c, &o, NULL, &err));
    free(path);
}

/* The model's context is 512 tokens, nearly a byte each. */
static void too_long_to_score(void **state) {
    (void)state;
    static const char fits[] = "{\"question\":\"Say hi\",\"choices\":[\"hi there\",\"no\"],\"answer\":0}\n";
    ts_compare c, alone;
    char *model = ts_path_join(here, "tiny");
    char *text = ts_printf("{\"prompt\":\"One\",\"completion\":\"%0600d\"}\n"
                           "{\"question\":\"Two\",\"choices\":[\"a\",\"%0600d\"],\"answer\":0}\n%s",
                           1, 1, fits);
    ts_test_program();
    ts_tiny_hf(model, NULL);
    compare_rows(model, text, &c);
    compare_rows(model, fits, &alone);
    const ts_answer *a = c.answers;
    assert_non_null(strstr(a[0].unscored, "the reference is not scored: "));
    assert_non_null(strstr(a[0].unscored, "the model's context is 512"));
    assert_true(isnan(a[0].reference_nll) && a[0].text && !a[0].error); /* it has its answer all the same */
    assert_non_null(strstr(a[1].unscored, "choice B is not scored: "));
    assert_true(isfinite(a[1].reference_nll) && isfinite(a[1].choices[0]) && !a[1].chose);
    assert_null(a[2].unscored);
    assert_near(a[2].reference_nll, alone.answers[0].reference_nll, 1e-4, "beside ones that are too long");
    assert_true(a[2].chose);
    ts_buf out = TS_BUF_INIT;
    ts_compare_write_json(&c, &out);
    assert_non_null(strstr(out.data, "\"unscored\":\"choice B is not scored: "));
    ts_buf_release(&out);
    ts_compare_release(&c);
    ts_compare_release(&alone);
    free(model);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(shapes, fresh),
        cmocka_unit_test_setup(no_choices, fresh),
        cmocka_unit_test_setup(bad_rows_are_named, fresh),
        cmocka_unit_test_setup(likeliest, fresh),
        cmocka_unit_test_setup(sums_are_the_engines, fresh),
        cmocka_unit_test_setup(too_long_to_score, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
