/* Import: files into the workspace, every row accounted for.
 *
 * A file that cannot be read as what it claims to be fails the whole act and nothing is written. A row that is no good
 * is rejected with its line, a code (dataset/formats.h) and its text, and the rest is imported: read = imported +
 * rejected. All files of one call are one transaction and one step of history. Rows keep their file's order in their
 * ids. */
#ifndef TS_DATASET_IMPORT_H
#define TS_DATASET_IMPORT_H

#include "dataset/store.h"

typedef struct ts_import_options {
    /* A name of ts_formats; "csv", "tsv", "json": the kind of file alone; NULL or "auto": found out from the first
     * rows, and a row of another known format among them is read as that one. */
    const char *format;
    const char *const *map; /* n_map of "FIELD=COLUMN" (ts_mapping_make), instead of a format's names */
    size_t n_map;
    bool skip_known; /* leave out rows whose texts were there before this import */
    bool keep_read;  /* cancelled: keep what was read until then, and say so in ts_import_file.stopped */
} ts_import_options;

enum { TS_IMPORT_REASONS = 32 };

typedef struct ts_import_file {
    const char *path;   /* borrowed */
    const char *format; /* a constant */
    int64_t read, imported, rejected;
    int64_t known; /* of the rows read, how many were there before (imported or, with skip_known, rejected) */
    int64_t reasons[TS_IMPORT_REASONS]; /* rejected rows by index in ts_reasons */
    bool stopped;                       /* it was cancelled here, and what was read is kept */
} ts_import_file;

/* Is it a name that ts_import_options.format takes? */
bool ts_import_format_known(const char *name);

/* results: n of them, filled as far as it came. A job: progress counts bytes; cancelled, nothing is kept
 * unless keep_read was set and a row was imported. */
TS_MUST_USE ts_status ts_import(ts_store *st, const char *const *paths, size_t n, const ts_import_options *options,
                                ts_progress *progress, ts_import_file *results, ts_done *done, ts_err *err);

/* A rejected row. */
typedef struct ts_reject {
    int64_t id, line;
    const char *file, *code, *detail;
    ts_text text; /* as it was read, at most 256 KB of it; may be no UTF-8 */
    bool cut;     /* there was more */
} ts_reject;
/* Rejected rows in order, from the one behind id `after`, at most `limit`, in `arena`. */
/* The numbers of all of them, rising, for lists that read what they draw. The caller frees. For a job. */
TS_MUST_USE ts_status ts_rejects_ids(ts_store *st, int64_t **ids, size_t *n, ts_err *err);
TS_MUST_USE ts_status ts_rejects_read(ts_store *st, int64_t after, size_t limit, ts_reject **out, size_t *n,
                                      ts_arena *arena, ts_err *err);

/* Imports rejected rows that a person put right. The file has an object per row: "id" is the reject's, and either "row"
 * is the row as JSON, or "text" its text as JSON (what `rejects --json` prints can be edited there). Rows that are read
 * are imported and no longer among the rejects; rows that are still no good stay there and count as rejected. One step:
 * undo takes the rows back and the rejects are there again. An id that is no reject's, or a line without one, fails the
 * whole file. A job. */
TS_MUST_USE ts_status ts_rejects_repair(ts_store *st, const char *path, ts_progress *progress, ts_import_file *result,
                                        ts_done *done, ts_err *err);

#endif
