/* Export: rows out of the workspace as files that others (and we) read. What an import of the file gives back is the
 * same data: texts byte for byte, unknown members as they were written. */
#ifndef TS_DATASET_EXPORT_H
#define TS_DATASET_EXPORT_H

#include "dataset/store.h"

typedef struct ts_export_options {
    /* A name of ts_writers (dataset/writers.h): alpaca, messages, sharegpt, completion, openai, csv. NULL or "auto":
     * csv for a name in .csv, else alpaca when every row has that shape, else messages. */
    const char *format;
    const char *where; /* NULL: all rows */
    bool array;        /* one JSON array instead of one row per line */
} ts_export_options;

typedef struct ts_export_report {
    int64_t rows;
    const char *format; /* a constant */
} ts_export_report;

/* Writes `path` whole or not at all. A row that the format cannot hold (a conversation as alpaca, one that breaks
 * OpenAI's rules as openai) is TS_INVALID and named. What is an input beside an instruction becomes part of the prompt
 * in formats that have one text for both. A job. */
TS_MUST_USE ts_status ts_export(ts_store *st, const char *path, const ts_export_options *options, ts_progress *progress,
                                ts_export_report *out, ts_err *err);

#endif
