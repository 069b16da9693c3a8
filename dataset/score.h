/* Rule scores: what a rule finds in one example's texts. One table of rules (dataset/score_rules.c); a rule's value is
 * 0 (fine) to 1 (surely this fault). Only values above 0 are stored. The overall score is the product over all rules of
 * (1 - weight x value): 1 is best. Every finding is a hint; a person can dismiss it per row. */
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

typedef struct ts_score_report {
    int64_t rows;
    int64_t hits[64];    /* rows with a value above 0, by rule; dismissed ones do not count */
    double mean;         /* of the overall score */
    char language[16];   /* the main language of the set: "en", ..., "?" */
    bool checked_format; /* a check file is configured and was used */
} ts_score_report;
/* Scores all rows. A job: reads in pieces, calculates on all cores, writes in one transaction at the end. The check
 * file of setting `check` (one PCRE2 pattern a line, all must match the answer) feeds the rule format. Cancelled:
 * nothing is kept. */
TS_MUST_USE ts_status ts_score_all(ts_store *st, ts_progress *progress, ts_score_report *report, ts_err *err);

/* Calculates the overall score of a row again from the stored values (after a dismissal). Inside a transaction. */
TS_MUST_USE ts_status ts_score_refresh(ts_store *st, int64_t id, ts_err *err);

#endif
