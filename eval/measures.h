/* What is measured of an answer and of a side: one table. Every metric counts something of each answer and makes its
 * number from the (summed) counts, so that the number of a side is the corpus's own (BLEU, chrF, loss a token), not a
 * mean of means, and its interval comes from the same counts (eval/certainty.h): Wilson's for shares of answers, since
 * a bootstrap of "none of ten" would be sure of none, else the bootstrap. NAN: it cannot be measured (no
 * reference, no check file, ..). */
#ifndef TS_EVAL_MEASURES_H
#define TS_EVAL_MEASURES_H

#include "eval/certainty.h"
#include "eval/metrics.h"
#include "eval/perturb.h"

typedef enum ts_metric_id {
    TS_M_PASS_RATE,
    TS_M_REFERENCE_NLL,
    TS_M_PERPLEXITY,
    TS_M_ACC,
    TS_M_ACC_NORM,
    TS_M_EXACT,
    TS_M_F1,
    TS_M_ROUGE_1,
    TS_M_ROUGE_2,
    TS_M_ROUGE_L,
    TS_M_CHRF,
    TS_M_BLEU,
    TS_M_JSON,
    TS_M_SCHEMA,
    TS_M_LANGUAGE,
    TS_M_REFUSAL,
    TS_M_TOKENS,
    TS_M_REPETITION,
    TS_M_DISTINCT_1,
    TS_M_DISTINCT_2,
    TS_M_ENDED,
    TS_M_COST,
    TS_METRIC_COUNT
} ts_metric_id;

typedef struct ts_answer {
    char *messages;         /* what this side was asked, where that is not the prompt's own; NULL */
    char *context;          /* what it was shown, for people: numbers of examples, passages; NULL */
    char *error;            /* why there is no answer; NULL */
    char *unscored;         /* why its reference or one of its choices is not scored: too long; NULL */
    size_t shots, left_out; /* examples shown, and of these what did not fit the context */
    char *text;
    int32_t *ids;
    size_t n_ids;
    int64_t tokens;       /* made for this answer; -1: not known */
    char stop[12];        /* "eos", "stop", "length", "error"; "" while it is being written */
    double cost;          /* of an endpoint, in the currency of its prices; 0: not known */
    double seconds;       /* an endpoint took; 0: not known */
    double reference_nll; /* sum of NLL of the reference answer; NAN: no reference */
    int64_t reference_tokens;
    /* of a prompt with choices, once they are scored: sums of log-probability; NULL: not scored */
    double *choices;
    size_t n_choices, chosen, chosen_norm; /* the likeliest, and the likeliest a byte */
    bool chose, right, right_norm;         /* chose: the two below say something */
    /* of a prompt that was also asked in changed forms (eval/robust.h): scores by score_by; NAN: none */
    bool perturbed;
    ts_metric_id score_by;
    double own_score, changed_scores[TS_P_COUNT];
    double took; /* seconds; of a local side its part of a batch's, by tokens; 0: not known */
    double repetition;
    bool checked, passed; /* checked: a check file was given */
    size_t failed_line;   /* of the check file, 0: none */
    double values[TS_METRIC_COUNT];
} ts_answer;

typedef struct ts_metric {
    const char *name;  /* in JSON */
    const char *label; /* in tables */
    const char *help;
    int better;   /* 1: higher is better, -1: lower, 0: neither */
    bool percent; /* a share of answers: each counts 0 or 1 */
    size_t k;     /* counts, at most TS_BOOTSTRAP_COUNTS */
    ts_finish_fn *finish;
} ts_metric;
extern const ts_metric ts_metrics[TS_METRIC_COUNT];
/* Index of a metric by name; TS_METRIC_COUNT: there is none. */
ts_metric_id ts_metric_find(const char *name);
/* Appends a value as it is shown: "92%", "1.087", "-" for NAN. */
void ts_metric_print(ts_metric_id id, double value, ts_buf *out);

typedef struct ts_measure {
    double value; /* NAN: not measured */
    ts_interval interval;
    size_t n; /* answers that it is made from */
} ts_measure;
typedef struct ts_compare_metrics {
    ts_measure m[TS_METRIC_COUNT];
} ts_compare_metrics;

/* Tools of one thread. schema: of the JSON that answers must be, borrowed; NULL: none. */
typedef struct ts_measurer ts_measurer;
TS_MUST_USE ts_status ts_measurer_new(ts_measurer **out, const ts_json *schema, ts_err *err);
void ts_measurer_free(ts_measurer *m);

/* What an answer is measured against. */
typedef struct ts_asked {
    const char *prompt, *reference; /* reference NULL: none */
} ts_asked;
/* Fills a->values. */
void ts_measure_answer(ts_measurer *m, const ts_asked *asked, ts_answer *a);
/* The numbers of a side from n answers, of which answers[i * stride] answers asked[i]. Answers without text are left
 * out. samples: so many neighbours answer the same prompt (1 unless asked for) and are drawn together. seed: of the
 * bootstrap. */
void ts_measure_side(ts_measurer *m, const ts_asked *asked, const ts_answer *answers, size_t n, size_t stride,
                     size_t samples, uint64_t seed, ts_compare_metrics *out);

#endif
