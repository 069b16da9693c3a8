/* Snapshots by name: which rows answered a query at a moment, with the hash of their texts and their side of a split.
 * A snapshot is written once and never changed; it holds no texts, so a million rows are some 20 MB. The query term
 * `snapshot:NAME` finds its rows again, whatever became of them. Snapshots are not part of the history. */
#ifndef TS_DATASET_FROZEN_H
#define TS_DATASET_FROZEN_H

#include "dataset/store.h"

typedef struct ts_frozen {
    int64_t at_ms, rows, valid; /* valid: of them, held out */
    const char *name, *who, *query;
    const char *hash; /* of all ids, hashes of texts and sides: equal snapshots have equal hashes */
    double fraction;  /* that was to be held out */
    uint64_t seed;
} ts_frozen;

/* Freezes the rows that answer `where` now. With a fraction above 0 they are split (dataset/split.h), and the sides are
 * kept for the query field `split` too. A name is what a tag may be, and not yet taken (TS_INVALID); no rows:
 * TS_NOT_FOUND. `out` is in `arena`. A job. */
TS_MUST_USE ts_status ts_frozen_make(ts_store *st, const char *name, const char *where, double fraction, uint64_t seed,
                                     ts_progress *progress, ts_frozen *out, ts_arena *arena, ts_err *err);
/* All of them, oldest first, in `arena`. */
TS_MUST_USE ts_status ts_frozen_list(ts_store *st, ts_frozen **out, size_t *n, ts_arena *arena, ts_err *err);
/* TS_NOT_FOUND with the names there are. */
TS_MUST_USE ts_status ts_frozen_find(ts_store *st, const char *name, ts_frozen *out, ts_arena *arena, ts_err *err);
TS_MUST_USE ts_status ts_frozen_delete(ts_store *st, const char *name, ts_err *err);

/* A row in a comparison of two snapshots. */
typedef enum ts_frozen_kind {
    TS_FROZEN_SAME,
    TS_FROZEN_CHANGED, /* in both, its texts differ */
    TS_FROZEN_MOVED,   /* in both with the same texts, on another side */
    TS_FROZEN_LEFT,    /* in the first alone */
    TS_FROZEN_CAME,    /* in the second alone */
    TS_FROZEN_KINDS
} ts_frozen_kind;

/* Compares `name` with `other`; other NULL: with the rows that its query finds now, which have no sides (none has
 * moved). Calls fn (may be NULL) for every row that is not the same, by id. A job. */
TS_MUST_USE ts_status ts_frozen_compare(ts_store *st, const char *name, const char *other,
                                        int64_t counts[TS_FROZEN_KINDS],
                                        void (*fn)(void *ctx, int64_t id, ts_frozen_kind kind), void *ctx,
                                        ts_progress *progress, ts_err *err);

#endif
