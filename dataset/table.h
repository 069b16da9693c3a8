/* Tables: CSV as RFC 4180 has it (fields in quotes may hold commas, line ends and doubled quotes) and TSV, where quotes
 * mean something only if all of the file's first fields that begin with one are well formed. A record becomes a JSON
 * object of strings:
 *
 *   - a field of no bytes is no member ("" in quotes is an empty text), so that a missing answer is a missing one;
 *   - JSON lists in the columns messages, conversations, prompt, completion, chosen and rejected stay lists, and the
 *     members of a JSON object in the column extra become members of the row: that is how our own export writes them.
 *
 * Any thread, one table at a time. */
#ifndef TS_DATASET_TABLE_H
#define TS_DATASET_TABLE_H

#include "core/base/buf.h"

typedef struct ts_table {
    char delimiter, line_end;
    bool quotes;
    ts_buf names;   /* column names as JSON strings, one behind the other */
    size_t *ends;   /* where each ends in names */
    size_t columns; /* 0 before the header */
    size_t cap_ends;
    ts_buf field;
} ts_table;
void ts_table_release(ts_table *t);

/* Looks at the first bytes of a TSV file: do quotes mean something? CSV always has them. */
void ts_table_dialect(ts_table *t, const char *text, size_t n);

/* Where a record ends; the state starts as {0} and is kept while more bytes come. */
typedef struct ts_table_scan {
    size_t at;
    int state;
    bool odd;        /* its quotes are not as they must be; it ends with the line then */
    size_t line_end; /* behind its first line, 0 when there is none yet */
} ts_table_scan;
/* Looks on in text[0..n); true when the end was found: `at` is the line end. */
bool ts_table_scan_end(const ts_table *t, ts_table_scan *k, const char *text, size_t n);
bool ts_table_scan_open(const ts_table_scan *k); /* in the middle of a field in quotes */

/* Takes the names from the first record, or (named = false) calls the columns 1, 2, .. */
TS_MUST_USE ts_status ts_table_header(ts_table *t, const char *record, size_t n, bool named, const char *file,
                                      ts_err *err);
/* Appends the record as an object. Returns NULL, or the code of the reason why not. */
const char *ts_table_row(ts_table *t, const char *record, size_t n, ts_buf *json, const char **detail);
/* Appends a line of plain text as {"text":..}. */
void ts_text_row(const char *line, size_t n, ts_buf *json);
/* Does one of the fields of this first line name a column that a format knows? */
bool ts_table_names_known(const ts_table *t, const char *line, size_t n);

#endif
