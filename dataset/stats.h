/* What is in a set of rows: counts, lengths, tokens, tags, languages, where they came from. For the verb stats, the
 * data card and the data summary. */
#ifndef TS_DATASET_STATS_H
#define TS_DATASET_STATS_H

#include "dataset/store.h"

/* How values lie: n of them, and the least, those at 10, 50, 90 and 99 per cent (the value at rank (n - 1) * p, rounded
 * down), and the most. n = 0: nothing was measured, all else is 0. */
typedef struct ts_spread {
    int64_t n, sum;
    uint32_t least, p10, p50, p90, p99, most;
} ts_spread;

typedef struct ts_named_count {
    const char *name;
    int64_t rows;
} ts_named_count;

/* Where rows came from: an import, or batch 0: written by hand. */
typedef struct ts_origin {
    int64_t batch, rows; /* rows: of the set */
    int64_t read, rejected, at_ms;
    const char *path, *format; /* "" for batch 0 */
} ts_origin;

enum { TS_STATS_RULES = 64, TS_STATS_TAGS = 1000 };

typedef struct ts_stats {
    int64_t rows, conversations, by_status[TS_ROW_STATUSES], rated[6], in_groups;
    int64_t scored;
    double score;                 /* mean; NaN: none was scored */
    int64_t hits[TS_STATS_RULES]; /* rows with a finding that was not dismissed, by index in ts_rules */
    ts_spread prompt, answer;     /* characters */
    ts_spread tokens;             /* of the rows whose tokens were counted */
    ts_spread turns;              /* answers in a conversation; 1 for a single text */
    ts_named_count *tags;         /* at most TS_STATS_TAGS, in the order they were met */
    size_t n_tags;
    ts_named_count *languages; /* of the answers, most first; "?": too short to tell */
    size_t n_languages;
    ts_origin *origins;
    size_t n_origins;
} ts_stats;

/* The rows that answer `where` (NULL: all); names in `arena`. About 20 bytes a row of memory. A job. */
TS_MUST_USE ts_status ts_stats_make(ts_store *st, const char *where, ts_progress *progress, ts_stats *out,
                                    ts_arena *arena, ts_err *err);

#endif
