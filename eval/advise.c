#include "eval/advise.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const ts_way_names[TS_WAYS] = {"prompting", "retrieval", "fine-tuning"};

/* clang-format off */
static const ts_choice choices[TS_QUESTION_COUNT][TS_CHOICES] = { /* prompting, retrieval, fine-tuning */
    [TS_Q_PROMPT] = {
        {"yes", {4, 0, -3}, "a prompt already gives the answers: there is nothing to train"},
        {"nearly", {2, 0, 1}, "a prompt nearly does it: clearer instructions or better examples in it may close the gap"},
        {"no", {-3, 0, 3}, "a prompt does not do it, even with examples in it"}},
    [TS_Q_KNOWLEDGE] = {
        {"none", {0, -2, 0}, "no new facts have to be known, so there is nothing to look up"},
        {"stable", {0, 3, 0}, "new or private facts are looked up better than learnt: a tuned model makes up what it half remembers"},
        {"changing", {0, 5, -2}, "facts that change daily cannot be trained in daily; they can be looked up"}},
    [TS_Q_SOURCES] = {
        {"no", {0, 0, 0}, "answers need no sources"},
        {"yes", {0, 6, -1}, "an answer can cite only what was put before it: passages that were retrieved"}},
    [TS_Q_FORM] = {
        {"little", {1, 0, -1}, "the form of answers hardly matters"},
        {"some", {0, 0, 2}, "format, tone and vocabulary are what tuning teaches"},
        {"much", {0, 0, 4}, "format, tone and vocabulary decide, and they are what tuning teaches best"}},
    [TS_Q_LOAD] = {
        {"no", {1, 0, 0}, "a long prompt may take the time and money that it takes"},
        {"yes", {-2, -1, 3}, "a small tuned model needs no long prompt: fewer tokens, less waiting, less cost at volume"}},
    [TS_Q_PRIVACY] = {
        {"no", {0, 0, 0}, "the data may go to a provider"},
        {"yes", {-1, 0, 1}, "the data stays here, so a small model of one's own answers, and small ones gain most from tuning"}},
    [TS_Q_BUDGET] = {
        {"none", {1, 0, -1}, "a prompt costs nothing to try"},
        {"small", {0, 0, 1}, "LoRA on a small model costs cents to a few dollars, or an hour of this machine"},
        {"ample", {0, 1, 1}, "there is budget for data, training and an index"}},
    [TS_Q_EXAMPLES] = {
        {"under-100", {2, 0, -6}, "too few good examples to train on: they serve in a prompt and as tests"},
        {"100-to-500", {0, 0, 1}, "enough good examples to teach a style or a format"},
        {"about-1000", {0, 0, 2}, "enough good examples to teach a style over many kinds of request"},
        {"10000", {0, 0, 3}, "more good examples than most styles need: the best of them can be chosen"}},
    [TS_Q_TUNED] = {
        {"better", {-2, 0, 4}, "a tuned side did better than prompting on your prompts"},
        {"same", {1, 0, -3}, "a tuned side did not do better than prompting, as far as so many prompts tell"},
        {"worse", {3, 0, -8}, "a tuned side did worse than prompting on your prompts"}},
    [TS_Q_RETRIEVED] = {
        {"better", {0, 4, 0}, "retrieval did better than the base on your prompts"},
        {"same", {0, -2, 0}, "retrieval did not do better than the base, as far as so many prompts tell"},
        {"worse", {0, -3, 0}, "retrieval did worse than the base on your prompts"}},
};
/* clang-format on */
enum { ENOUGH = 3 }; /* points from which on retrieval or tuning is advised */

#define ROW(id, key, label, ask) [TS_Q_##id] = {key, label, ask, choices[TS_Q_##id]},
const ts_question ts_questions[TS_QUESTION_COUNT] = {TS_QUESTIONS(ROW)};
#undef ROW

/* LIMA (Zhou et al. 2023): 1,000 careful examples for a whole assistant; AlpaGasus (Chen et al. 2023): the best 9,000
 * of 52,000 do better than all. */
const ts_example_advice ts_example_advices[TS_CHOICES] = {
    {"under-100", "under 100",
     "Put the best of them into the prompt and keep the others as tests. A model trained on them learns them by heart. "
     "Write more, of the kind that goes wrong now."},
    {"100-to-500", "100 to 500",
     "Enough for a style or a format with LoRA on a small model: 1 to 3 epochs, a tenth held out. One bad example in a "
     "hundred shows: quality first."},
    {"about-1000", "about 1,000",
     "Enough for a style over many kinds of request (LIMA took 1,000 careful ones). Watch that tags are balanced and "
     "near duplicates gone."},
    {"10000", "10,000",
     "More than most styles need. Compare a run on the best 1,000 (`select`) with one on all before paying for all; "
     "full "
     "fine-tuning becomes worth a try."},
};

int ts_example_band(int64_t examples) {
    return examples < 100 ? 0 : examples <= 500 ? 1 : examples < 5000 ? 2 : 3;
}

ts_verdict ts_advise_decide(const int answers[TS_QUESTION_COUNT]) {
    ts_verdict v = {.points = {[TS_PROMPTING] = ENOUGH}}; /* the cheapest to try, so it comes first */
    for (int q = 0; q < TS_QUESTION_COUNT; q++)
        for (int w = 0; w < TS_WAYS && answers[q] >= 0; w++)
            v.points[w] += choices[q][answers[q]].points[w];
    v.way[TS_RETRIEVAL] = v.points[TS_RETRIEVAL] >= ENOUGH;
    v.way[TS_TUNING] = v.points[TS_TUNING] >= ENOUGH && v.points[TS_TUNING] > v.points[TS_PROMPTING];
    v.way[TS_PROMPTING] = !v.way[TS_TUNING];
    return v;
}

const char *ts_verdict_name(const ts_verdict *v) {
    if (v->way[TS_RETRIEVAL])
        return v->way[TS_TUNING] ? "retrieval with a fine-tuned model" : "retrieval with prompting";
    return v->way[TS_TUNING] ? "fine-tuning" : "prompting";
}

void ts_advise_init(ts_advise *a) {
    *a = (ts_advise){.accepted = -1, .good = -1};
    for (int q = 0; q < TS_QUESTION_COUNT; q++)
        a->answers[q] = -1;
}

static int choice_of(ts_question_id q, const char *name) {
    for (int c = 0; c < TS_CHOICES && choices[q][c].name; c++)
        if (strcmp(choices[q][c].name, name) == 0) return c;
    return -1;
}

ts_status ts_advise_say(ts_advise *a, ts_question_id q, const char *choice, ts_err *err) {
    int c = choice_of(q, choice);
    if (c < 0) {
        char names[120] = "";
        for (int i = 0; i < TS_CHOICES && choices[q][i].name; i++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", choices[q][i].name);
        return ts_fail(err, TS_INVALID, "--%s is \"%.40s\"; it must be one of %s", ts_questions[q].key, choice, names);
    }
    a->answers[q] = c;
    a->measured[q] = false;
    return TS_OK;
}

int ts_advise_compare(double a, double a_low, double a_high, double b, double b_low, double b_high) {
    if (a > b_high && b < a_low) return 1;
    if (a < b_low && b > a_high) return -1;
    return 0;
}
