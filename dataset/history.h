/* History: every act on the examples is one step, with who, when and what; steps form one order in the database.
 *
 * A step is stored by its kind. Edits, new rows and dismissals keep an SQLite changeset, which the library inverts.
 * Marks (status, rating, tag) on any number of rows keep runs of ids with their old values in chunks, so one mark and
 * a million marks are the same few lines of code and memory stays flat. An import keeps its batch ids: undo hides the
 * batches, redo shows them. Undo takes the latest step; a new act drops what could have been redone. A purge
 * (dataset/purge.h) is a step that undo refuses. Derived tables (scores, groups, token counts) are not tracked. */
#ifndef TS_DATASET_HISTORY_H
#define TS_DATASET_HISTORY_H

#include "dataset/store.h"

typedef enum ts_step_state { TS_STEP_DONE, TS_STEP_UNDONE, TS_STEP_DROPPED } ts_step_state;

typedef struct ts_step {
    int64_t id, at_ms, rows;
    ts_step_state state;
    const char *who, *label;
    /* of one row's history only: the field and its texts before and after; NULL where the step has none */
    const char *field, *before, *after;
} ts_step;

/* The latest `limit` steps (0: all), newest first, in `arena`. */
TS_MUST_USE ts_status ts_history_list(ts_store *st, size_t limit, ts_step **out, size_t *n, ts_arena *arena,
                                      ts_err *err);
/* Steps that touched row `id`, newest first; one entry per changed field. TS_NOT_FOUND when the row never was. */
TS_MUST_USE ts_status ts_history_row(ts_store *st, int64_t id, ts_step **out, size_t *n, ts_arena *arena, ts_err *err);
/* Gives row `id` the texts that it had after `step`, one of its own steps that was not undone; its marks and tags stay.
 * A step of history itself, so it can be undone. TS_NOT_FOUND when the row has no such step. `done` (may be NULL) says
 * step 0 when it has these texts already. */
TS_MUST_USE ts_status ts_row_restore(ts_store *st, int64_t id, int64_t step, ts_done *done, ts_err *err);
/* The step that undo would take (0: none). */
int64_t ts_history_last(ts_store *st);

#endif
