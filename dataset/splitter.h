/* Cuts a file into its rows without holding more than one of them. JSON: an array of values, one value per line, or
 * values one after another (a bare object is one). Tables (dataset/table.h): a record each, as a JSON object. Text: a
 * line each, as {"text":..}. So whoever reads rows reads JSON alone. For JSON the ends are found only; whether a row is
 * good JSON is for ts_json_check. Line ends may be LF, CRLF or CR; blank lines are skipped. One thread. */
#ifndef TS_DATASET_SPLITTER_H
#define TS_DATASET_SPLITTER_H

#include "core/base/buf.h"

#define TS_ROW_MAX ((size_t)64 << 20)

typedef struct ts_splitter ts_splitter;

/* AUTO: JSON when the file begins as JSON does; else a table when its name ends in .csv or .tsv or its first line names
 * columns that a format knows; else text when its name ends in .txt. */
typedef enum ts_file_kind { TS_FILE_AUTO, TS_FILE_JSON, TS_FILE_CSV, TS_FILE_TSV, TS_FILE_TEXT } ts_file_kind;

typedef struct ts_split_options {
    ts_file_kind kind;
    bool no_header; /* the columns of a table are called 1, 2, 3, .. */
} ts_split_options;

typedef struct ts_piece {
    const char *text; /* the row as JSON; borrowed until the next call; the first bytes only when too_large */
    size_t n;
    const char *raw; /* as it stands in the file */
    size_t n_raw;
    int64_t line; /* where it begins, from 1 */
    bool too_large;
    const char *fault, *detail; /* a code of dataset/formats.h when the record is none of the table's; else NULL, "" */
} ts_piece;

/* Fails with a sentence for what is not there, is empty, is a folder, or is no text we read (dataset/source.h).
 * options NULL: all automatic. */
TS_MUST_USE ts_status ts_splitter_open(ts_splitter **out, const char *path, const ts_split_options *options,
                                       ts_err *err);
/* The same on bytes in memory, which must live longer (tests, fuzzing). `name` is what a file would be called. */
TS_MUST_USE ts_status ts_splitter_open_bytes(ts_splitter **out, const char *bytes, size_t n, const char *name,
                                             const ts_split_options *options, ts_err *err);
void ts_splitter_close(ts_splitter *s);

ts_file_kind ts_splitter_kind(const ts_splitter *s); /* what was found; not AUTO */

/* *more = false at the end. TS_FORMAT when the array itself is broken or is cut short, with the line. */
TS_MUST_USE ts_status ts_splitter_next(ts_splitter *s, ts_piece *out, bool *more, ts_err *err);
int64_t ts_splitter_offset(const ts_splitter *s); /* bytes of the file read so far, for progress */

#endif
