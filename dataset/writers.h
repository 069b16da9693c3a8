/* Inside of export: one row as the text of a file, a table of formats. */
#ifndef TS_DATASET_WRITERS_H
#define TS_DATASET_WRITERS_H

#include "dataset/store.h"

typedef struct ts_writer {
    const char *name, *holds; /* holds: one line for people */
    bool table;               /* CSV: a line of column names, no JSON */
    /* Appends the row without a line end; TS_INVALID names the row that the format cannot hold. */
    ts_status (*put)(const ts_row *row, ts_buf *out, ts_err *err);
} ts_writer;
extern const ts_writer ts_writers[]; /* ends with name NULL */
const ts_writer *ts_writer_find(const char *name);

/* The columns of a table; a field that is not there has no bytes, an empty text is "". */
void ts_write_csv_header(ts_buf *out);

#endif
