/* Where the kept scores lie: a histogram of the overall score and of every rule that found something, for choosing a
 * cut. Dismissed findings and rows of undone imports do not count. */
#ifndef TS_DATASET_HISTOGRAM_H
#define TS_DATASET_HISTOGRAM_H

#include "dataset/score.h"

enum { TS_HISTOGRAM_BINS = 20, TS_HISTOGRAMS = 1 + TS_MAX_RULES };

/* Bin i holds [i/20, (i+1)/20), the last one 1 too: so the rows with a value of at least i/20, as the query language
 * compares it, are those of the bins from i on. */
typedef struct ts_histogram {
    char name[TS_RULE_NAME]; /* "score", or the rule's */
    int64_t rows;            /* score: rows that were scored; a rule: rows with a value above 0 */
    int64_t bins[TS_HISTOGRAM_BINS];
    double p5, p50, p95; /* of these rows; NaN without any */
} ts_histogram;

/* The overall score first, then all rules of the table in its order, then the user's own that found something. A job.
 * TS_CANCELLED. */
TS_MUST_USE ts_status ts_histograms_read(ts_store *st, ts_histogram out[TS_HISTOGRAMS], size_t *n,
                                         ts_progress *progress, ts_err *err);
/* Rows in the bins [from, to). */
int64_t ts_histogram_between(const ts_histogram *h, int from, int to);

#endif
