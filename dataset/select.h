/* Choosing the best rows of a workspace: good ones that are not alike. Likeness is the cosine of TF-IDF vectors of
 * prompt and answer (dataset/tfidf.h).
 *
 * gate      in the order of `by`, best first; a row is taken unless it is `gate` or more like one taken before
 * facility  the rows that stand best for all: each pick adds most to the sum over all rows of the likeness to the
 *           nearest pick (facility location, lazy greedy: at least 1 - 1/e of the best possible)
 * farthest  first the best, then always the row that is least like any pick (k-center); loves outliers
 *
 * The result follows from the rows alone. */
#ifndef TS_DATASET_SELECT_H
#define TS_DATASET_SELECT_H

#include "dataset/store.h"

typedef enum ts_select_method { TS_SELECT_GATE, TS_SELECT_FACILITY, TS_SELECT_FARTHEST } ts_select_method;

enum {
    TS_SELECT_QUOTAS = 32,
    TS_SELECT_FACILITY_ROWS = 6000,  /* the best so many are considered: 144 MB of likenesses */
    TS_SELECT_FARTHEST_ROWS = 50000, /* 205 MB of vectors */
};

/* `count` places are kept for rows with the tag, and no more are given to them; a row takes a place of the first tag
 * it has that is not full. The other places are for rows without these tags. */
typedef struct ts_quota {
    char tag[65];
    int64_t count, taken;
} ts_quota;

typedef struct ts_select_options {
    int64_t count;
    const char *where; /* NULL: status!=rejected */
    const char *by;    /* a field; higher is better */
    double gate;       /* above 0; over 1 lets everything through */
    ts_select_method method;
    ts_quota quotas[TS_SELECT_QUOTAS];
    size_t n_quotas;
    bool apply; /* accepts the picks, one undoable step */
} ts_select_options;
#define TS_SELECT_DEFAULTS                                                                                             \
    { .by = "score", .gate = 0.7 }

typedef struct ts_pick {
    int64_t id, rank; /* rank: its place in the order of `by`, from 1 */
    double score;     /* its overall score, NaN before scoring */
    int64_t nearest;  /* the pick before it that is most like it, 0 for the first */
    double likeness;  /* to that one */
    double gain;      /* facility: what it added, as a share of the number of rows; others NaN */
    int quota;        /* index of the quota whose place it took, -1 for none */
} ts_pick;

typedef struct ts_selection {
    int64_t rows, considered;      /* rows of the query; those that were looked at */
    int64_t too_alike, quota_full; /* gate: rows passed over */
    ts_pick *picks;                /* in the order they were taken; the caller's (free) */
    size_t n;
    ts_done done; /* with apply */
} ts_selection;

/* A job. TS_INVALID for a field or query that is not there, TS_CANCELLED. */
TS_MUST_USE ts_status ts_select_rows(ts_store *st, ts_select_options *options, ts_progress *progress, ts_selection *out,
                                     ts_err *err);
/* "a:10,b:20" into options->quotas. */
TS_MUST_USE ts_status ts_select_quotas(ts_select_options *options, const char *text, ts_err *err);

#endif
