/* Cuts a JSON file into its rows without holding more than one of them: an array of values, one value per line, or
 * values one after another (a bare object is one). It finds the ends only; whether a row is good JSON is for
 * ts_json_check. Detected from the content; BOM, CRLF and blank lines are skipped. One thread. */
#ifndef TS_DATASET_SPLITTER_H
#define TS_DATASET_SPLITTER_H

#include "core/base/buf.h"

#define TS_ROW_MAX ((size_t)64 << 20)

typedef struct ts_splitter ts_splitter;

typedef struct ts_piece {
    const char *text; /* borrowed until the next call; the first bytes only when too_large */
    size_t n;
    int64_t line; /* where it begins, from 1 */
    bool too_large;
} ts_piece;

/* Fails with a sentence for what is not there, is empty, is a folder, or is plainly no JSON (Parquet, gzip, UTF-16). */
TS_MUST_USE ts_status ts_splitter_open(ts_splitter **out, const char *path, ts_err *err);
/* The same on bytes in memory, which must live longer (tests, fuzzing). */
TS_MUST_USE ts_status ts_splitter_open_bytes(ts_splitter **out, const char *bytes, size_t n, ts_err *err);
void ts_splitter_close(ts_splitter *s);

/* *more = false at the end. TS_FORMAT when the array itself is broken or is cut short, with the line. */
TS_MUST_USE ts_status ts_splitter_next(ts_splitter *s, ts_piece *out, bool *more, ts_err *err);
int64_t ts_splitter_offset(const ts_splitter *s); /* bytes used so far, for progress */

#endif
