/* Duplicates of a workspace: found (dataset/neardup.h), kept as groups for the screens and the query fields `dup`, and
 * on request rejected but for one of each group. Rows that are rejected already take no part, nor do
 * pairs that a person found to be none (dataset/apart.h). Nothing is ever deleted.
 */
#ifndef TS_DATASET_DEDUPE_H
#define TS_DATASET_DEDUPE_H

#include "dataset/neardup.h"

typedef enum ts_dup_field { TS_DUP_PROMPT, TS_DUP_ANSWER, TS_DUP_BOTH } ts_dup_field;
/* A row that a person chose (ts_dup_keeper) comes before all others. best: accepted before others, then higher rating,
 * score, longer answer, lower id. */
typedef enum ts_dup_keep { TS_KEEP_BEST, TS_KEEP_LONGEST, TS_KEEP_FIRST } ts_dup_keep;

/* Vectors of texts by whoever has a model: *out [n, *dims], the caller's (free); zeros: no text. */
typedef ts_status ts_vectors_fn(void *ctx, const ts_text *texts, size_t n, float **out, size_t *dims,
                                ts_progress *progress, ts_err *err);

/* Least cosine of vectors whose mean was taken away: paraphrases lie above, rows on one subject below. */
#define TS_SEMANTIC_THRESHOLD 0.8

typedef struct ts_dedupe_options {
    ts_near_options near;
    ts_dup_field field;
    ts_dup_keep keep;
    bool apply;             /* rejects all but the kept row of each group, one undoable step */
    ts_vectors_fn *vectors; /* compare these (dataset/vecnear.h) instead of shared words; NULL: words */
    void *vectors_ctx;
} ts_dedupe_options;
#define TS_DEDUPE_DEFAULTS                                                                                             \
    { .near = TS_NEAR_DEFAULTS }

typedef struct ts_dedupe_report {
    int64_t rows, groups, pairs, removable, largest, lines_skipped;
    ts_near_search search; /* and what it found of the pairs at the threshold: see ts_near */
    double recall;
    int64_t uncompared;
    double seconds;
    ts_done done; /* with apply */
} ts_dedupe_report;

/* A job. `pair` (may be NULL) is called for each pair of row ids with near.keep_pairs. In a workspace that may only be
 * read the groups are found and reported, not kept. */
TS_MUST_USE ts_status ts_dedupe(ts_store *st, const ts_dedupe_options *options, ts_progress *progress,
                                void (*pair)(void *ctx, int64_t a, int64_t b, double similarity), void *ctx,
                                ts_dedupe_report *out, ts_err *err);

/* How many rows that step `step` imported are near duplicates of rows that were there before: the new rows are compared
 * with all, the old ones not among themselves. Keeps nothing; the groups stay as they were. */
TS_MUST_USE ts_status ts_dup_count_new(ts_store *st, int64_t step, ts_progress *progress, int64_t *count, ts_err *err);

typedef struct ts_dup_group {
    int64_t id, rows;
    double weakest; /* lowest similarity of a verified pair in the group */
} ts_dup_group;
typedef struct ts_dup_member {
    int64_t id;        /* row */
    double similarity; /* highest with another row of the group */
    bool keep;         /* suggested */
    bool apart;        /* a person found it to be no duplicate of any other (dataset/apart.h) */
} ts_dup_member;
/* Groups as the last search left them, and the rows of one of them; in `arena`. */
TS_MUST_USE ts_status ts_dup_groups(ts_store *st, ts_dup_group **out, size_t *n, ts_arena *arena, ts_err *err);
TS_MUST_USE ts_status ts_dup_members(ts_store *st, int64_t group, ts_dup_member **out, size_t *n, ts_arena *arena,
                                     ts_err *err);

/* The text of a row that is compared. Appended. */
void ts_dup_text(const ts_row *row, ts_dup_field field, ts_buf *out);

#endif
