/* Which rows are held out for validation. The choice follows from seed and rows alone:
 *
 * - Rows whose prompts are near duplicates of each other (dataset/dedupe.h, defaults) are one bundle and stay on one
 *   side: a question that was trained on is no test.
 * - Each tag has its share: tags are taken from the rarest on, rows without a tag count as a tag of their own, and of
 *   each so many rows are held out as the fraction says (rounded), bundles in the order of a draw by seed and first id.
 *   (Iterative stratification, Sechidis, Tsoumakas and Vlahavas 2011, with a draw in place of their ties.)
 * - In all, the fraction of the rows, rounded, but at least one; at least one row stays for training. Bundles that are
 *   too large for what is left are passed over, so it may be fewer. */
#ifndef TS_DATASET_SPLIT_H
#define TS_DATASET_SPLIT_H

#include "dataset/store.h"

/* held_out: n flags, all false when the fraction is not above 0 or there are fewer than two rows. A job. */
TS_MUST_USE ts_status ts_split_rows(ts_store *st, const int64_t *ids, size_t n, double fraction, uint64_t seed,
                                    ts_progress *progress, bool *held_out, size_t *n_held_out, ts_err *err);

/* Keeps the sides for the query field `split`; rows not named have none afterwards. Nothing in a workspace that may
 * only be read. */
TS_MUST_USE ts_status ts_split_keep(ts_store *st, const int64_t *ids, size_t n, const bool *held_out, ts_err *err);

#endif
