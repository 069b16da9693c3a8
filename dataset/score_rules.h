/* Inside of the scores: what the rules need to know of the whole set, and the rules themselves as pure functions. */
#ifndef TS_DATASET_SCORE_RULES_H
#define TS_DATASET_SCORE_RULES_H

#include "core/text/match.h"
#include "dataset/score.h"
#include "dataset/words.h"

#include <stdatomic.h>

enum { TS_SCORE_DF_SLOTS = 1 << 20, TS_SCORE_PATTERNS = 16, TS_MAX_RULES = 64 };

/* What a first pass over all rows finds out. */
typedef struct ts_score_set {
    ts_regex *patterns[TS_SCORE_PATTERNS]; /* of the rules, in the order of score_rules.c */
    ts_regex **checks;                     /* of the check file */
    size_t n_checks;
    int language; /* main language (dataset/language.h), -1 unknown */
    int64_t rows;
    double log_words, log_words_deviation; /* of the answers' log(1 + words) */
    _Atomic uint32_t *df;                  /* in how many rows a word stem occurs, by hash */
} ts_score_set;

/* One thread's tools. */
typedef struct ts_scorer {
    const ts_score_set *set;
    ts_matcher *patterns[TS_SCORE_PATTERNS];
    ts_matcher **checks;
    ts_words words;
    ts_buf a, b;
    uint64_t *hashes[2];
    size_t cap[2];
} ts_scorer;

TS_MUST_USE ts_status ts_score_set_init(ts_score_set *set, ts_err *err);
/* The check file: one pattern a line; empty lines and lines that begin with # are not. Names file and line. */
TS_MUST_USE ts_status ts_score_set_checks(ts_score_set *set, const char *path, ts_err *err);
void ts_score_set_release(ts_score_set *set);
void ts_scorer_init(ts_scorer *s, const ts_score_set *set);
void ts_scorer_release(ts_scorer *s);

/* First pass: counts the stems of a row; gives the answer's language (-1 unknown) and number of words. */
void ts_score_survey(ts_scorer *s, const ts_score_text *t, int *language, size_t *words);
/* Second pass: values[i] of rule i, 0 to 1. Returns the overall score, dismissals aside. */
double ts_score_row(ts_scorer *s, const ts_score_text *t, float values[TS_MAX_RULES]);

#endif
