/* Answers of several sides (eval/sides.h) to the same prompts, beside each other, with what can be measured about them.
 *
 * The base and adapters are generated in one batch; all local sides draw from the same random numbers, in the engine
 * process. What is measured of them: eval/measures.h. An answer passes when every line of
 * the check file (a PCRE2 regular expression; empty lines and lines that begin with # do not count) matches it, it
 * ended by itself, and no four words in a row occur twice. */
#ifndef TS_EVAL_COMPARE_H
#define TS_EVAL_COMPARE_H

#include "core/engine/sampling.h"
#include "core/work/progress.h"
#include "dataset/answers.h"
#include "eval/measures.h"
#include "eval/robust.h"
#include "eval/sides.h"

/* --check FILE. */
typedef struct ts_check ts_check;
TS_MUST_USE ts_status ts_check_read(ts_check **out, const char *path, ts_err *err);
void ts_check_free(ts_check *c);
/* Whether all lines match `text`; *failed (may be NULL) gets the number of the first line that does not, 1-based. */
bool ts_check_match(const ts_check *c, const char *text, size_t n, size_t *failed);
/* Share of four-word sequences that occurred before in the text; 0 for short texts. */
double ts_repetition(const char *text, size_t n);

enum { TS_CHOICES_MAX = 26 };

typedef struct ts_prompt {
    char *text;      /* the last user turn: what a person is shown */
    char *messages;  /* JSON array: what the model is given */
    char *reference; /* NULL: none */
    char **choices;  /* of multiple choice; NULL: none. The right one is the reference */
    size_t n_choices, right;
    int form;        /* 0: as it was given; else 1 + a change of eval/perturb.h */
    size_t of;       /* with a form: the prompt it was made from */
    char *asks;      /* with a form: the text before; NULL */
    int64_t example; /* id in the workspace; 0: from a file */
    int64_t sample;  /* which of several answers to the same prompt: 0, 1, .. */
    size_t leak;     /* words in a row that it shares with a row that was trained on; 0: none known, under 8 */
    int64_t leak_row;
    int64_t kept; /* its number in the workspace (dataset/answers.h), by which it is voted on; 0: not kept */
} ts_prompt;

/* What a side knows of rows that it was not tuned on: mean loss a token of their answers. Of the model and adapters on
 * it only; of other sides, which are asked something else or count tokens in another way, all is NAN. */
typedef struct ts_general {
    ts_measure loss;
    double change; /* against the side without an adapter, more is forgotten; NAN: there is none, or this is it */
} ts_general;

/* One choice is scored as the whole answer to the prompt: the sum of the log-probabilities of its tokens behind the
 * prompt in the model's template, without the end of the turn, as lm-evaluation-harness does. `acc` takes the choice
 * with the highest sum, `acc_norm` the one with the highest sum divided by its bytes (the harness divides by
 * characters: the same for ASCII); of equal ones the first. */
void ts_compare_choose(const ts_prompt *p, ts_answer *a);
/* Why a side has no likelihoods of choices; NULL: it has. */
const char *ts_compare_no_choices(const ts_side_spec *s);

typedef struct ts_compare {
    char **sides; /* as asked */
    ts_side_spec *specs;
    char **adapters; /* folders; NULL: none */
    size_t n_sides;
    ts_prompt *prompts;
    size_t n_prompts, cap_prompts; /* with `samples` neighbours for each prompt */
    size_t n_asked;                /* behind the prompts stand their changed forms, which nobody is shown */
    size_t samples;
    ts_answer *answers; /* [prompt * n_sides + side], of the changed forms too */
    ts_compare_metrics *metrics;
    char *model, *template; /* template NULL: the model's own */
    double seconds;
    int64_t done, total;  /* progress: answers made and texts scored, in all; total is known before the first */
    ts_side_votes *votes; /* [n_sides]; NULL until kept in a workspace */
    ts_general *general;  /* [n_sides]; NULL: no general rows were given */
    ts_metric_id robust_by;
    ts_robust *robust; /* [n_sides]; NULL: not asked for */
} ts_compare;

typedef struct ts_compare_options {
    const char *ws;       /* NULL: sides are folders and prompts come from a file */
    const char *model;    /* NULL: the workspace's, else the first run's */
    const char *template; /* name or file; NULL: as for ts_runs_template */
    const char *const *sides;
    size_t n_sides;
    const char *prompts; /* JSONL or JSON of {"messages"}, {"instruction","input","output"} or {"prompt"}; plain text:
                            one a line; or the name of a saved set (eval/prompt_sets.h). Multiple choice: {"question"
                            or any of these,"choices":["..",..],"answer"}, the answer being an index from 0, the text
                            of a choice, or a letter from A ("choices" of null, [] or, without "answer",
                            objects are none). NULL: the held-out examples (split=valid) of the first
                            run, else the workspace */
    const char *check;   /* NULL: none */
    const char *schema;  /* file of the JSON schema that answers must fit (ts_json_fits); NULL: none */
    const char *general; /* file of rows with answers, forms of `prompts`: what was forgotten; NULL: none */
    bool robust;         /* every prompt also in its changed forms (eval/robust.h), scored by `robust_by` */
    /* pass_rate, acc, exact_match or f1; NULL: the check if there is one, else multiple choice where all prompts are,
     * else token F1 */
    const char *robust_by;
    int64_t limit;   /* prompts at most; 0: all */
    int64_t samples; /* answers of each side to each prompt; 0: 1 */
    int64_t max_new_tokens;
    ts_sampling sampling; /* settled */
    const char *const *stops;
    size_t n_stops;
    bool f16_cache;
    const char *log; /* the engine's stderr; NULL: ours */
    /* Called after new text came (prompt, side), may be NULL: the screen copies and draws. Both are called from working
     * threads, never two at once. */
    void (*on_text)(void *ctx, size_t prompt, size_t side, const char *text);
    /* The answer is complete (its `reference_nll` may still be missing). */
    void (*on_answer)(void *ctx, const ts_compare *c, size_t prompt, size_t side);
    void *ctx;
} ts_compare_options;
#define TS_COMPARE_DEFAULTS                                                                                            \
    { .max_new_tokens = 256, .sampling = TS_SAMPLING_GREEDY }

/* Sides and prompts only: what a screen shows at once. */
TS_MUST_USE ts_status ts_compare_prepare(ts_compare *c, const ts_compare_options *o, ts_err *err);
/* Prepares (unless done), generates, scores. Blocks: a worker's or the command line's. */
TS_MUST_USE ts_status ts_compare_run(ts_compare *c, const ts_compare_options *o, ts_progress *progress, ts_err *err);
/* Keeps the prompts, and what is answered already, in the workspace `ws`; sets the prompts' `kept` and the sides' votes
 * so far in this workspace. */
TS_MUST_USE ts_status ts_compare_keep(ts_compare *c, const char *ws, ts_err *err);
void ts_compare_write_json(const ts_compare *c, ts_buf *out);
/* Side by side for `width` columns with words that differ from the first side marked [-so-] and {+so+}. */
void ts_compare_write_text(const ts_compare *c, size_t width, ts_buf *out);
void ts_compare_release(ts_compare *c);
/* Wins of decided votes with Wilson's interval, and the sign test: as JSON, and "8 of 11 = 73% [43%, 90%]". */
void ts_side_votes_write(const ts_side_votes *v, ts_jw *w);
void ts_side_votes_print(const ts_side_votes *v, ts_buf *out);

#endif
