/* Rule scores: what a rule finds in one example's texts. One table of rules (dataset/score_rules.c); a rule's value is
 * 0 (fine) to 1 (surely this fault). Only values above 0 are stored. The overall score is the product over all rules of
 * (1 - weight x value): 1 is best. A user's rule has its points as value and weight 1. Every finding is a hint; a
 * person can dismiss it per row. */
#ifndef TS_DATASET_SCORE_H
#define TS_DATASET_SCORE_H

#include "dataset/store.h"

/* What a rule looks at. */
typedef struct ts_score_text {
    ts_text prompt; /* instruction, and input behind an empty line */
    ts_text answer;
    ts_text instruction, input;
} ts_score_text;

typedef struct ts_rule {
    const char *name;
    double weight;            /* share of the overall score that a full finding takes */
    const char *finds;        /* one line for people */
    const char *false_alarms; /* where it is known to be wrong */
} ts_rule;
extern const ts_rule ts_rules[]; /* ends with name NULL */
size_t ts_rule_count(void);
/* Index of a rule by name, or ts_rule_count(). */
size_t ts_rule_find(const char *name, size_t n);

/* A user's own rules are named my_NAME everywhere: in lists, queries and dismissals. */
enum { TS_MAX_RULES = 64, TS_OWN_RULES = 32, TS_RULE_NAME = 32, TS_SCORE_BINS = 10 };
bool ts_rule_own_name(const char *name, size_t n);
/* One of the table's, or a name such as users' rules have. */
bool ts_rule_exists(const char *name, size_t n);

/* Where scores of the set lie: counts in tenths ([0, .1) first, 1 in the last), and percentiles. */
typedef struct ts_score_spread {
    int64_t bins[TS_SCORE_BINS];
    double p5, p25, p50, p75, p95; /* NaN without rows */
} ts_score_spread;

typedef struct ts_score_report {
    int64_t rows;
    size_t n_own;                              /* rules of the user's own */
    char own[TS_OWN_RULES][TS_RULE_NAME];      /* their names */
    int64_t hits[TS_MAX_RULES];                /* rows with a value above 0, by rule, then by own rule; dismissed ones
                                                  do not count */
    int64_t bins[TS_MAX_RULES][TS_SCORE_BINS]; /* the same by value: (0, .1) first */
    double mean;                               /* of the overall score */
    ts_score_spread overall;
    char language[16];   /* the main language of the set: "en", ..., "?" */
    bool checked_format; /* a check file is configured and was used */
} ts_score_report;
/* Scores all rows. A job: reads in pieces, calculates on all cores, writes in one transaction at the end. The check
 * file of setting `check` (one PCRE2 pattern a line, all must match the answer) feeds the rule format, the file of
 * setting `rules` adds the user's own (dataset/score_rules.h). Cancelled: nothing is kept. */
TS_MUST_USE ts_status ts_score_all(ts_store *st, ts_progress *progress, ts_score_report *report, ts_err *err);

/* Calculates the overall score of a row again from the stored values (after a dismissal). Inside a transaction. */
TS_MUST_USE ts_status ts_score_refresh(ts_store *st, int64_t id, ts_err *err);

#endif
