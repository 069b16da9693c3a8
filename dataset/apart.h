/* What a person decided about duplicate groups: rows that are no duplicates of each other, which one stays, and
 * rejecting the others everywhere at once.
 *
 * "No duplicate" is kept as pairs of row ids, part of the history like any act, and every later search leaves these
 * pairs out. A group falls apart when no other verified pair holds it together. */
#ifndef TS_DATASET_APART_H
#define TS_DATASET_APART_H

#include "dataset/dedupe.h"

/* Row `id` is no duplicate (on) or may be one after all (off) of each of others[0..n). One undoable step. */
TS_MUST_USE ts_status ts_rows_apart(ts_store *st, int64_t id, const int64_t *others, size_t n, bool on, ts_done *done,
                                    ts_err *err);

/* Are there any such pairs? When there are, a search has to list its pairs (ts_near_options.keep_pairs) for
 * ts_apart_regroup. */
bool ts_apart_any(ts_store *st);
/* Takes the pairs that are known to be none out of a finished search (with its list) and makes the groups anew; ids[i]
 * is the row of text i. */
TS_MUST_USE ts_status ts_apart_regroup(ts_store *st, const int64_t *ids, ts_near *near, ts_err *err);

/* Of this group row `id` is the one to keep, in later searches too, until another row of its group is chosen. Not part
 * of the history: choose another to take it back. */
TS_MUST_USE ts_status ts_dup_keeper(ts_store *st, int64_t group, int64_t id, ts_err *err);

/* The rows that applying would reject: in every group of likeness `least` or more, all but the one to keep. Rows that
 * are rejected already or stand apart are left out, and so are groups whose kept row was rejected. ids: the caller's
 * (free), by group; *groups: how many groups lose a row. For a job. */
TS_MUST_USE ts_status ts_dup_removable(ts_store *st, double least, int64_t **ids, size_t *n, int64_t *groups,
                                       ts_err *err);

#endif
