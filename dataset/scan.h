/* Reading many rows on all cores: the ids are cut into pieces, and every thread reads pieces with a connection of its
 * own, all of them on the same state of the workspace (a connection that finds another one takes no part). A small
 * workspace, one that is inside a transaction, and a machine with one core are read by the caller's connection alone.
 * Inside of the dataset folder only. */
#ifndef TS_DATASET_SCAN_H
#define TS_DATASET_SCAN_H

#include "dataset/store.h"

struct sqlite3_stmt;

enum { TS_SCAN_PIECES = 128, TS_SCAN_WORKERS = 16 };

typedef struct ts_scan {
    const char *sql; /* a SELECT whose WHERE takes ids >= :first and < :last, rows in the order of their ids */
    /* Binds what else the statement needs; may be NULL. Called once per worker in [0, TS_SCAN_WORKERS). */
    ts_status (*bind)(void *ctx, int worker, struct sqlite3_stmt *s, ts_err *err);
    /* A row. All rows of one piece come to one worker, rising; pieces [0, TS_SCAN_PIECES) rise with the ids. */
    ts_status (*row)(void *ctx, int worker, size_t piece, struct sqlite3_stmt *s, ts_err *err);
    void *ctx;
} ts_scan;

/* TS_CANCELLED when progress says so. `progress` counts ids. */
TS_MUST_USE ts_status ts_scan_rows(ts_store *st, const ts_scan *scan, ts_progress *progress, ts_err *err);

#endif
