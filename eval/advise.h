/* Prompting, retrieval, fine-tuning, or a mix: the decision framework that articles on tuning agree on, as one table of
 * questions, answers and weights. What the workspace can tell is filled in from it: how many good examples there are,
 * and how the sides of kept comparisons did; a person says the rest. Every answer gives points to the three ways, with
 * its reason; what would change the advice is found by trying every other answer to every question.
 *
 * The weights are ours. They follow the order in which the questions usually decide: what a prompt already does and
 * what was measured weigh most, then knowledge and sources (for retrieval), form and load (for tuning), then the rest.
 */
#ifndef TS_EVAL_ADVISE_H
#define TS_EVAL_ADVISE_H

#include "core/base/json.h"
#include "core/work/progress.h"

typedef enum ts_way { TS_PROMPTING, TS_RETRIEVAL, TS_TUNING, TS_WAYS } ts_way;
extern const char *const ts_way_names[TS_WAYS]; /* "prompting", "retrieval", "fine-tuning" */

/* id, key (option, JSON), label (22 columns), what is asked */
#define TS_QUESTIONS(X)                                                                                                \
    X(PROMPT, "prompt", "a prompt alone", "does a good prompt, with examples in it, give the answers you want?")       \
    X(KNOWLEDGE, "knowledge", "new knowledge", "must it know what the model does not: new, private, changing facts?")  \
    X(SOURCES, "sources", "sources cited", "must answers cite their sources?")                                         \
    X(FORM, "form", "format, tone, words", "how much do format, tone or vocabulary matter?")                           \
    X(LOAD, "load", "speed, volume, cost", "is latency, volume or the cost of answers a constraint?")                  \
    X(PRIVACY, "privacy", "data stays here", "must the data stay on your own machines?")                               \
    X(BUDGET, "budget", "budget", "what may the making of it cost?")                                                   \
    X(EXAMPLES, "examples", "good examples", "how many good examples are there?")                                      \
    X(TUNED, "tuned", "tuned, measured", "how did a tuned side do beside the prompted ones?")                          \
    X(RETRIEVED, "retrieved", "retrieval, measured", "how did retrieval do beside the base?")

typedef enum ts_question_id {
#define TS_QUESTION_ID(id, ...) TS_Q_##id,
    TS_QUESTIONS(TS_QUESTION_ID)
#undef TS_QUESTION_ID
        TS_QUESTION_COUNT
} ts_question_id;

enum { TS_CHOICES = 4 };
typedef struct ts_choice {
    const char *name;    /* as typed; NULL: there are no more */
    int points[TS_WAYS]; /* for (or against) each way */
    const char *reason;
} ts_choice;
typedef struct ts_question {
    const char *key, *label, *ask;
    const ts_choice *choices; /* TS_CHOICES of them */
} ts_question;
extern const ts_question ts_questions[TS_QUESTION_COUNT];

typedef struct ts_verdict {
    int points[TS_WAYS];
    bool way[TS_WAYS]; /* advised; prompting and fine-tuning exclude each other */
} ts_verdict;
/* answers[q]: index of a choice; -1: not known. */
ts_verdict ts_advise_decide(const int answers[TS_QUESTION_COUNT]);
/* "prompting", "fine-tuning", "retrieval with prompting", "retrieval with a fine-tuned model". */
const char *ts_verdict_name(const ts_verdict *v);

typedef struct ts_advise {
    int answers[TS_QUESTION_COUNT];        /* -1: not known */
    bool measured[TS_QUESTION_COUNT];      /* from the workspace, not said */
    char evidence[TS_QUESTION_COUNT][256]; /* what was measured; "" */
    int64_t accepted, good;                /* examples; -1: not measured */
} ts_advise;

void ts_advise_init(ts_advise *a);
/* Answers from the workspace where it can tell. A job: it counts rows and reads the kept comparisons. */
TS_MUST_USE ts_status ts_advise_measure(ts_advise *a, const char *ws, ts_progress *progress, ts_err *err);
/* A person's answer, which counts instead of a measured one. TS_INVALID names the choices. */
TS_MUST_USE ts_status ts_advise_say(ts_advise *a, ts_question_id q, const char *choice, ts_err *err);

void ts_advise_write_json(const ts_advise *a, ts_buf *out);
void ts_advise_write_text(const ts_advise *a, ts_buf *out);

/* What so many examples are good for. */
typedef struct ts_example_advice {
    const char *name; /* that of the choice of TS_Q_EXAMPLES */
    const char *range, *text;
} ts_example_advice;
extern const ts_example_advice ts_example_advices[TS_CHOICES];
/* Index into both. */
int ts_example_band(int64_t examples);

/* How side a did beside side b: 1 better, -1 worse, 0 the same as far as so few answers tell: each value must lie
 * outside the other's interval. Exposed for its test. */
int ts_advise_compare(double a, double a_low, double a_high, double b, double b_low, double b_high);

#endif
