/* The data set in numbers: how many rows of which status, tag and origin, how long they are, how many tokens they have;
 * for all rows that are not rejected and for the accepted ones. One scan; a job. */
#ifndef TS_DATASET_SUMMARY_H
#define TS_DATASET_SUMMARY_H

#include "dataset/store.h"

/* Of the rows where it is known; percentiles are values that some row has. */
typedef struct ts_spread {
    int64_t rows, sum;
    int64_t min, p5, p50, p95, max; /* 0 without rows */
} ts_spread;

typedef struct ts_tally {
    char name[72]; /* a tag; a file's name, cut; "typed" */
    int64_t rows, accepted, rejected;
} ts_tally;

typedef enum ts_summary_of { TS_OF_KEPT, TS_OF_ACCEPTED, TS_SUMMARIES } ts_summary_of; /* KEPT: not rejected */

enum { TS_TALLIES = 24 };

typedef struct ts_summary {
    ts_counts counts;
    int64_t rated, conversations, with_system, with_input;
    ts_spread tokens[TS_SUMMARIES], prompt[TS_SUMMARIES], answer[TS_SUMMARIES]; /* the latter in characters */
    ts_tally tags[TS_TALLIES], origins[TS_TALLIES];    /* the most frequent ones, most first; tags of all rows */
    size_t n_tags, n_origins, more_tags, more_origins; /* more: how many are left out */
    int64_t target;                                    /* setting `target`: how many accepted rows are wanted; 0 none */
} ts_summary;

TS_MUST_USE ts_status ts_summary_read(ts_store *st, ts_summary *out, ts_progress *progress, ts_err *err);

#endif
