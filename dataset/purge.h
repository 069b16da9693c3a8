/* Purging: rows taken out of a workspace for good, with what the history kept of their texts. The one act that cannot
 * be undone; it is a step of the history all the same, and undo goes back to it and no further.
 *
 * Gone afterwards: the rows, their marks, scores and places in groups of duplicates, the texts that steps of the
 * history kept of them, rejected lines that were repaired into them, and what was undone and could have been done
 * again. Left: the ids and hashes in snapshots, and every copy outside: runs, exports, backups, prompts that compare
 * asked. The pages of the database file that held them are overwritten. */
#ifndef TS_DATASET_PURGE_H
#define TS_DATASET_PURGE_H

#include "dataset/store.h"

typedef struct ts_purge_costs {
    int64_t rows;      /* that are there, of those asked for */
    int64_t accepted;  /* of them */
    int64_t edits;     /* steps whose texts will be forgotten */
    int64_t undoable;  /* steps that can be undone now and cannot afterwards */
    int64_t redoable;  /* steps that can be done again now and cannot afterwards */
    int64_t snapshots; /* that name one of the rows */
    int64_t prompts;   /* of compare that ask what one of the rows asks; they stay, with their answers */
} ts_purge_costs;
/* What ts_purge of these rows would cost. */
TS_MUST_USE ts_status ts_purge_ask(ts_store *st, const int64_t *ids, size_t n, ts_purge_costs *out, ts_err *err);

/* The same in words for people, one a line, appended. */
void ts_purge_words(const ts_purge_costs *c, ts_buf *out);

/* One step, whole or not at all. Rows that are not there do not count; none: done->step is 0. A job. */
TS_MUST_USE ts_status ts_purge(ts_store *st, const int64_t *ids, size_t n, ts_progress *progress, ts_done *done,
                               ts_err *err);

#endif
