/* What training takes from a workspace: the rows that a query selects, frozen as files of {"messages":[..]} lines,
 * split into training and validation. */
#ifndef TS_DATASET_SNAPSHOT_H
#define TS_DATASET_SNAPSHOT_H

#include "dataset/store.h"

typedef struct ts_snapshot_options {
    const char *where;     /* NULL: status=accepted */
    double valid_fraction; /* share of the rows held out, 0 to below 1 */
    uint64_t seed;
    bool preview; /* the files only: the split is not stored, the workspace stays as it is */
} ts_snapshot_options;

typedef struct ts_snapshot {
    int64_t train, valid; /* rows written */
    char data_hash[33];   /* of all lines in order, with their side */
} ts_snapshot;

/* Writes both files (each whole or not at all), rows in the order of their ids, split as dataset/split.h says.
 * valid_path NULL: everything is for training. The split of each row is stored for the query field `split`. No rows:
 * TS_INVALID with a sentence that names the query. A job: reads in pieces, looks at progress->cancel. */
TS_MUST_USE ts_status ts_dataset_write_messages(ts_store *st, const ts_snapshot_options *options,
                                                const char *train_path, const char *valid_path, ts_progress *progress,
                                                ts_snapshot *out, ts_err *err);

/* Appends one row as a line {"messages":[..]} without the line end: an alpaca row becomes system (if it has one), user
 * (instruction, and input behind a line end) and assistant; typed content parts become plain text. */
void ts_row_messages_line(const ts_row *row, ts_buf *out);
/* The same without the last assistant turn, as a bare array: what a model is asked. */
void ts_row_prompt_messages(const ts_row *row, ts_buf *out);
/* instruction, and input behind a line end: the prompt as one text. */
void ts_row_prompt(const ts_row *row, ts_buf *out);

#endif
