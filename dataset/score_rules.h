/* Inside of the scores: what the rules need to know of the whole set, and the rules themselves as pure functions. */
#ifndef TS_DATASET_SCORE_RULES_H
#define TS_DATASET_SCORE_RULES_H

#include "core/text/match.h"
#include "dataset/score.h"
#include "dataset/score_text.h"

enum { TS_SCORE_DF_SLOTS = 1 << 20, TS_SCORE_PATTERNS = 16 };

/* A rule of the user's own, from the file of setting `rules`. */
typedef enum ts_own_field { TS_OWN_PROMPT, TS_OWN_ANSWER, TS_OWN_BOTH } ts_own_field;
typedef struct ts_own_rule {
    char name[TS_RULE_NAME]; /* with the my_ before it */
    ts_own_field field;
    double value; /* points / 100: share of the overall score that a finding takes */
    ts_regex *pattern;
} ts_own_rule;

/* What a first pass over all rows finds out. */
typedef struct ts_score_set {
    ts_regex *patterns[TS_SCORE_PATTERNS]; /* of the rules, in the order of score_rules.c */
    ts_needle *needs[TS_SCORE_PATTERNS];   /* what a text must have for them; NULL: not known */
    ts_regex **checks;                     /* of the check file */
    size_t n_checks;
    ts_own_rule own[TS_OWN_RULES];
    size_t n_own;
    int language; /* main language (dataset/language.h), -1 unknown */
    int64_t rows;
    double log_words, log_words_deviation; /* of the answers' log(1 + words) */
    uint32_t *df;                          /* in how many rows a word stem occurs, by hash */
} ts_score_set;

typedef enum ts_side { TS_SIDE_PROMPT, TS_SIDE_ANSWER } ts_side;

/* One thread's tools, and what they know of the row at work. */
typedef struct ts_scorer {
    const ts_score_set *set;
    ts_matcher *patterns[TS_SCORE_PATTERNS];
    ts_matcher **checks;
    ts_matcher *own[TS_OWN_RULES];
    bool unfiltered; /* every pattern is searched, also where it cannot occur: slow, for tests */
    ts_words words;
    ts_look look[2]; /* by side */
    ts_hash_set hashes, seen;
    ts_buf a, b;
    uint64_t *list;
    size_t cap_list;
    uint32_t *df; /* of the rows that this one surveyed */
} ts_scorer;

TS_MUST_USE ts_status ts_score_set_init(ts_score_set *set, ts_err *err);
/* The check file: one pattern a line; empty lines and lines that begin with # are not. Names file and line. */
TS_MUST_USE ts_status ts_score_set_checks(ts_score_set *set, const char *path, ts_err *err);
/* The user's rules: `name field points pattern` a line (field prompt, answer or both; points 1 to 100 per cent of the
 * score; the pattern is the rest of the line, PCRE2); empty lines and lines that begin with # are not. Names file and
 * line. */
TS_MUST_USE ts_status ts_score_set_own(ts_score_set *set, const char *path, ts_err *err);
void ts_score_set_release(ts_score_set *set);
void ts_scorer_init(ts_scorer *s, const ts_score_set *set);
void ts_scorer_release(ts_scorer *s);

/* First pass: counts the stems of a row in the scorer; gives the answer's language (-1 unknown) and number of words. */
void ts_score_survey(ts_scorer *s, const ts_score_text *t, int *language, size_t *words);
/* The first pass is over: what s counted goes to the set. */
void ts_score_surveyed(ts_score_set *set, ts_scorer *s);
/* Second pass: values[i] of rule i, 0 to 1, and behind them those of the user's rules. Returns the overall score,
 * dismissals aside. */
double ts_score_row(ts_scorer *s, const ts_score_text *t, float values[TS_MAX_RULES]);

/* What user rule `rule` takes from the row: 0 or its value. */
double ts_score_own(ts_scorer *s, size_t rule, const ts_score_text *t);

/* ---- score_style.c ---- */

/* How many fences of code, ```, the text has, a part of the answer. */
size_t ts_score_fences(const ts_scorer *s, ts_text t);
double ts_rule_unclosed(ts_scorer *s, const ts_score_text *t);
double ts_rule_profanity(ts_scorer *s, const ts_score_text *t);
double ts_rule_variety(ts_scorer *s, const ts_score_text *t);
double ts_rule_readability(ts_scorer *s, const ts_score_text *t);
/* Is it code, or a task whose answer repeats words for a reason (a poem, a table)? */
bool ts_score_special(ts_scorer *s, const ts_score_text *t);
/* Lexical variety of a text of n word hashes: mean number of words over which the share of different words stays at
 * .72 or more (MTLD, mean of both directions). Prose has 50 to 150; unreliable under 50 words. */
double ts_mtld(const uint64_t *words, size_t n);
/* Automated readability index of a text; about the years of school that it asks for. 0 without words. */
double ts_ari(const ts_look *l);

#endif
