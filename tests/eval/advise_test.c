/* Advice: what single answers and mixes come to, the table as a whole, and what a workspace tells. */
#include "core/base/file.h"
#include "dataset/answers.h"
#include "eval/advise.h"
#include "tests/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

/* "prompt=no form=much" */
static void say(ts_advise *a, const char *words) {
    char text[300], *save = NULL;
    ts_advise_init(a);
    snprintf(text, sizeof text, "%s", words);
    for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *equal = strchr(word, '=');
        int q = 0;
        *equal = 0;
        while (q < TS_QUESTION_COUNT && strcmp(ts_questions[q].key, word) != 0)
            q++;
        assert_true(q < TS_QUESTION_COUNT);
        assert_ok(ts_advise_say(a, (ts_question_id)q, equal + 1, &err));
    }
}

static const struct {
    const char *said, *advice;
} cases[] = {
    {"", "prompting"}, /* the cheapest to try */
    {"prompt=yes form=much", "prompting"},
    {"prompt=yes form=much load=yes", "prompting"},
    {"prompt=yes form=much load=yes examples=about-1000", "fine-tuning"}, /* what a long prompt does, for less */
    {"form=some examples=100-to-500", "prompting"},                       /* not tried yet */
    {"prompt=no form=much examples=100-to-500", "fine-tuning"},
    {"prompt=no form=much examples=under-100", "prompting"}, /* nothing to train on */
    {"prompt=no form=much examples=10000 tuned=worse", "prompting"},
    {"knowledge=changing", "retrieval with prompting"},
    {"knowledge=changing prompt=no form=much examples=about-1000", "retrieval with a fine-tuned model"},
    {"sources=yes", "retrieval with prompting"},
    {"sources=yes retrieved=same", "retrieval with prompting"}, /* there is no other way to cite */
    {"knowledge=stable retrieved=same", "prompting"},           /* it was tried */
    {"knowledge=none load=yes form=some prompt=nearly", "fine-tuning"},
    {"privacy=yes budget=small examples=about-1000", "fine-tuning"},
    {"tuned=better", "fine-tuning"},
    {"form=little budget=none load=no knowledge=none", "prompting"},
};

static void advice(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        ts_advise a;
        say(&a, cases[i].said);
        ts_verdict v = ts_advise_decide(a.answers);
        if (strcmp(ts_verdict_name(&v), cases[i].advice) != 0)
            fail_msg("%s: %s, not %s", cases[i].said, ts_verdict_name(&v), cases[i].advice);
    }
}

/* Every question can change some advice, every choice has a reason, and no answer speaks for tuning more when there are
 * fewer examples. */
static void the_table(void **state) {
    int before = -100;
    (void)state;
    for (int q = 0; q < TS_QUESTION_COUNT; q++) {
        bool weighs = false;
        for (int c = 0; c < TS_CHOICES && ts_questions[q].choices[c].name; c++) {
            const ts_choice *choice = &ts_questions[q].choices[c];
            assert_true(strlen(choice->reason) > 10);
            for (int w = 0; w < TS_WAYS; w++)
                weighs |= choice->points[w] != ts_questions[q].choices[0].points[w];
        }
        assert_true(weighs);
        assert_true(strlen(ts_questions[q].label) <= 20);
    }
    for (int c = 0; c < TS_CHOICES; c++) {
        assert_string_equal(ts_example_advices[c].name, ts_questions[TS_Q_EXAMPLES].choices[c].name);
        assert_true(ts_questions[TS_Q_EXAMPLES].choices[c].points[TS_TUNING] > before);
        before = ts_questions[TS_Q_EXAMPLES].choices[c].points[TS_TUNING];
    }
    assert_int_equal(ts_example_band(99), 0);
    assert_int_equal(ts_example_band(100), 1);
    assert_int_equal(ts_example_band(1000), 2);
    assert_int_equal(ts_example_band(10000), 3);
}

static void wrong_answers(void **state) {
    ts_advise a;
    (void)state;
    ts_advise_init(&a);
    assert_int_equal(ts_advise_say(&a, TS_Q_KNOWLEDGE, "some", &err), TS_INVALID);
    assert_non_null(strstr(err.text, "none, stable, changing"));
    assert_int_equal(a.answers[TS_Q_KNOWLEDGE], -1);
}

static void better_or_not(void **state) {
    (void)state;
    assert_int_equal(ts_advise_compare(0.9, 0.7, 0.97, 0.2, 0.1, 0.4), 1);
    assert_int_equal(ts_advise_compare(0.2, 0.1, 0.4, 0.9, 0.7, 0.97), -1);
    assert_int_equal(ts_advise_compare(0.33, 0.1, 0.7, 0, 0, 0.39), 0); /* six prompts tell too little */
    assert_int_equal(ts_advise_compare(NAN, NAN, NAN, 1, 1, 1), 0);
}

/* What would change the advice is what does change it. */
static void changes(void **state) {
    ts_advise a;
    ts_buf out = TS_BUF_INIT;
    (void)state;
    say(&a, "prompt=no form=much examples=100-to-500");
    ts_advise_write_json(&a, &out);
    ts_json *root = ts_json_parse(out.data, out.len, &err);
    assert_non_null(root);
    const ts_json *list = ts_json_get(root, "would_change");
    size_t n = 0;
    for (const ts_json *v = ts_json_child(list); v; v = ts_json_next(v), n++) {
        char more[300];
        ts_advise b;
        const char *key = ts_json_str(ts_json_get(v, "question"), ""), *to = ts_json_str(ts_json_get(v, "answer"), "");
        snprintf(more, sizeof more, "prompt=no form=much examples=100-to-500 %s=%s", key, to);
        say(&b, more);
        ts_verdict now = ts_advise_decide(b.answers);
        assert_string_equal(ts_verdict_name(&now), ts_json_str(ts_json_get(v, "advice"), ""));
        assert_string_not_equal(ts_verdict_name(&now), "fine-tuning");
    }
    assert_true(n >= 4);
    ts_json_free(root);
    ts_buf_release(&out);
}

static void keep(ts_store *st, int64_t prompt, const char *side, bool passed) {
    char detail[80];
    snprintf(detail, sizeof detail, "{\"stop\":\"eos\",\"tokens\":3,\"passed\":%s}", passed ? "true" : "false");
    ts_kept_answer a = {side, {"an answer", 9}, {detail, strlen(detail)}};
    assert_ok(ts_answer_keep(st, prompt, &a, &err));
}

/* 20 prompts: the base never passes, examples in the prompt half, retrieval as the base, the run always. */
static void measured(void **state) {
    const char *ws = ts_test_path("ws");
    ts_store *st;
    ts_advise a;
    ts_buf out = TS_BUF_INIT;
    (void)state;
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    ts_advise_init(&a);
    assert_ok(ts_advise_measure(&a, ws, NULL, &err));
    assert_int_equal(a.good, 0);
    assert_int_equal(a.answers[TS_Q_TUNED], -1);
    for (int i = 0; i < 20; i++) {
        char text[80];
        int64_t id;
        snprintf(text, sizeof text, "[{\"role\":\"user\",\"content\":\"question %d\"}]", i);
        assert_ok(ts_prompt_keep(st, (ts_text){text, strlen(text)}, (ts_text){NULL, 0}, &id, &err));
        keep(st, id, "base", false);
        keep(st, id, "run:1", true);
    }
    ts_advise_init(&a);
    assert_ok(ts_advise_measure(&a, ws, NULL, &err));
    assert_int_equal(a.answers[TS_Q_PROMPT], -1); /* examples in the prompt were not tried */
    assert_non_null(strstr(a.evidence[TS_Q_PROMPT], "few-shot"));
    assert_string_equal(ts_questions[TS_Q_TUNED].choices[a.answers[TS_Q_TUNED]].name, "better");
    for (int64_t id = 1; id <= 20; id++) {
        keep(st, id, "few-shot", id % 2 == 0);
        keep(st, id, "retrieval:docs", false);
    }
    ts_store_close(st);
    ts_advise_init(&a);
    assert_ok(ts_advise_measure(&a, ws, NULL, &err));
    assert_string_equal(ts_questions[TS_Q_PROMPT].choices[a.answers[TS_Q_PROMPT]].name, "no");
    assert_string_equal(ts_questions[TS_Q_RETRIEVED].choices[a.answers[TS_Q_RETRIEVED]].name, "same");
    assert_non_null(strstr(a.evidence[TS_Q_TUNED], "few-shot check passed 50%"));
    ts_advise_write_text(&a, &out);
    assert_non_null(strstr(out.data, "measured: run:1 check passed 100%"));
    assert_non_null(strstr(out.data, "> under 100"));
    ts_buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(advice),        cmocka_unit_test(the_table), cmocka_unit_test(wrong_answers),
        cmocka_unit_test(better_or_not), cmocka_unit_test(changes),   cmocka_unit_test(measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
