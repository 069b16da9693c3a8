/* Export: rows out of the workspace as files that others (and we) read. What an import of the file gives back is the
 * same data: texts byte for byte, unknown members as they were written. */
#ifndef TS_DATASET_EXPORT_H
#define TS_DATASET_EXPORT_H

#include "dataset/store.h"

typedef struct ts_export_options {
    /* "alpaca" or "messages"; NULL or "auto": alpaca when every row has that shape, else messages */
    const char *format;
    const char *where; /* NULL: all rows */
    bool array;        /* one JSON array instead of one row per line */
} ts_export_options;

typedef struct ts_export_report {
    int64_t rows;
    const char *format; /* a constant */
} ts_export_report;

/* Writes `path` whole or not at all. An alpaca file cannot hold a conversation of more than one turn each: TS_INVALID
 * names the first such row. A job. */
TS_MUST_USE ts_status ts_export(ts_store *st, const char *path, const ts_export_options *options, ts_progress *progress,
                                ts_export_report *out, ts_err *err);

#endif
