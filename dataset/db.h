/* Inside of the dataset folder only: the connection, statements, acts. sqlite3.h itself is included by the .c files. */
#ifndef TS_DATASET_DB_H
#define TS_DATASET_DB_H

#include "dataset/store.h"

struct sqlite3;
struct sqlite3_stmt;
struct sqlite3_session;

#define TS_APPLICATION_ID 0x54534d54 /* "TSMT": tells our file from other programs' databases */
/* Of a reject r: it was repaired, and that was not undone. */
#define TS_REPAIRED "r.repaired IN (SELECT id FROM batch WHERE state=0)"
#define TS_HIDDEN "(SELECT id FROM batch WHERE state<>0)"

#define TS_CACHE "PRAGMA cache_size=-16000;" /* 16 MB, of a connection at rest */

enum { TS_MAX_STATEMENTS = 192 };

struct ts_store {
    struct sqlite3 *db;
    char *folder, *path, *who;
    bool read_only;
    int patience_ms;
    const ts_progress *watched;
    struct {
        const char *sql;
        struct sqlite3_stmt *stmt;
    } kept[TS_MAX_STATEMENTS];
    size_t n_kept;
};

/* ---- db.c ---- */

/* The sentence for SQLite's last error, "cannot WHAT: ..." with what to do. Returns its code. */
ts_status ts_db_fail(ts_store *st, const char *what, ts_err *err);
/* A statement that is kept prepared; `sql` must be a string constant. Reset and without bindings. NULL on failure. */
struct sqlite3_stmt *ts_db_stmt(ts_store *st, const char *sql, ts_err *err);
/* One or more statements without results. */
TS_MUST_USE ts_status ts_db_run(ts_store *st, const char *sql, const char *what, ts_err *err);
/* Steps a statement that gives no rows, and resets it. */
TS_MUST_USE ts_status ts_db_step(ts_store *st, struct sqlite3_stmt *s, const char *what, ts_err *err);
/* The first column of the first row as an integer, `otherwise` when there is none. `sql` is a string constant. */
int64_t ts_db_int(ts_store *st, const char *sql, int64_t otherwise);
void ts_db_bind_text(struct sqlite3_stmt *s, int i, ts_text t);   /* NULL text binds NULL */
ts_text ts_db_text(struct sqlite3_stmt *s, int i);                /* borrowed until the next step */
char *ts_db_copy(struct sqlite3_stmt *s, int i, ts_arena *arena); /* "" for NULL */
/* A number that is never given out twice, from the table counter. Inside a transaction. 0 on failure. */
TS_MUST_USE ts_status ts_db_next(ts_store *st, const char *counter, int64_t count, int64_t *first, ts_err *err);

/* BEGIN IMMEDIATE / COMMIT with the version counted up / ROLLBACK, for changes outside the history. */
TS_MUST_USE ts_status ts_db_begin(ts_store *st, const char *what, ts_err *err);
TS_MUST_USE ts_status ts_db_commit(ts_store *st, const char *what, ts_err *err);
void ts_db_rollback(ts_store *st);

/* ---- schema.c, migrate.c ---- */

enum { TS_SCHEMA_VERSION = 7 };
/* Runs the steps of the schema from version `from` to version `to` (tests make old databases with it). */
TS_MUST_USE ts_status ts_schema_upgrade(struct sqlite3 *db, int from, int to, ts_err *err);
/* Brings an opened database to TS_SCHEMA_VERSION: refuses a newer one, copies and migrates an older one. */
TS_MUST_USE ts_status ts_migrate(ts_store *st, ts_err *err);

/* ---- act.c: a step of history in the making ---- */

enum { TS_MARK_PIECE = 16384 }; /* rows that one statement marks */

typedef enum ts_step_kind {
    TS_KIND_CHANGES,
    TS_KIND_STATUS,
    TS_KIND_RATING,
    TS_KIND_TAG,
    TS_KIND_IMPORT,
    TS_KIND_PURGE
} ts_step_kind;

typedef struct ts_act {
    ts_store *st;
    ts_step_kind kind;
    int64_t step, rows;
    int64_t value;   /* STATUS, RATING: the new one; TAG: 1 set, 0 taken away; CHANGES: 1 for a dismissal, texts stay */
    const char *tag; /* TAG */
    struct sqlite3_session *session;
    ts_buf chunk; /* runs not written yet */
    int64_t chunk_first, chunk_end, chunks;
    const char *what;
} ts_act;

/* Begins the transaction and the step. `what` completes "cannot ...". On failure nothing is held. */
TS_MUST_USE ts_status ts_act_begin(ts_act *a, ts_store *st, ts_step_kind kind, const char *what, ts_err *err);
/* Notes that rows [id, id + n) changed from `old`; ids must rise. Marks only. */
TS_MUST_USE ts_status ts_act_run(ts_act *a, int64_t id, int64_t n, int64_t old, ts_err *err);
/* Notes that a row is touched by a step of changes. */
TS_MUST_USE ts_status ts_act_touch(ts_act *a, int64_t id, ts_err *err);
/* Writes the step and commits; a step with rows = 0 is rolled back and gives done->step = 0. */
TS_MUST_USE ts_status ts_act_commit(ts_act *a, ts_done *done, ts_err *err, const char *label, ...) TS_PRINTF(4, 5);
void ts_act_abandon(ts_act *a); /* rolls back; safe after commit */

/* Varints of the chunks. */
void ts_put_varint(ts_buf *out, uint64_t v);
/* Reads one; false at the end or when cut. */
bool ts_get_varint(const unsigned char **p, const unsigned char *end, uint64_t *v);

/* Walks the runs of a stored step in order. fn returns TS_OK to go on. */
TS_MUST_USE ts_status ts_step_runs(ts_store *st, int64_t step, int64_t from_id, int64_t to_id,
                                   ts_status (*fn)(void *ctx, int64_t id, int64_t n, int64_t old, ts_err *err),
                                   void *ctx, ts_err *err);

/* ---- marks.c ---- */

/* Registers the SQL functions that marks use. */
TS_MUST_USE ts_status ts_marks_functions(ts_store *st, ts_err *err);
TS_MUST_USE ts_status ts_tag_check(const char *tag, size_t n, ts_err *err);

/* Forgets scores and token counts of a row whose texts changed. */
TS_MUST_USE ts_status ts_derived_forget(ts_store *st, int64_t id, ts_err *err);

/* "1 row", "1,203 rows" into out (48 bytes). */
const char *ts_rows_words(int64_t n, char out[48]);

/* ---- edit.c ---- */

/* XXH3-64 of the texts (not of unknown members): equal rows have equal hashes. */
int64_t ts_texts_hash(const ts_draft *d);
/* ts_row_edit with a label of the step of one's own (NULL: "edited FIELDS of row ID"). */
TS_MUST_USE ts_status ts_row_change(ts_store *st, int64_t id, int64_t revision, const ts_edit *edits, size_t n,
                                    const char *label, ts_done *done, ts_err *err);
/* Writes a row as it is; the caller is inside a transaction and checked the texts. */
TS_MUST_USE ts_status ts_row_insert(ts_store *st, int64_t id, int64_t batch, int64_t line, int64_t revision,
                                    int64_t hash, const ts_draft *d, ts_err *err);

/* The same for TS_ROWS_AT_ONCE rows, whose ids rise, by one statement a table: half the time of as many calls. */
enum { TS_ROWS_AT_ONCE = 16 };
typedef struct ts_new_row {
    int64_t id, batch, line, hash;
    ts_draft d;
} ts_new_row;
TS_MUST_USE ts_status ts_rows_insert(ts_store *st, const ts_new_row *rows, ts_err *err);

/* ---- import.c ---- */

/* Clears the rows of imports that were undone and can no longer be done again. Inside a transaction. */
TS_MUST_USE ts_status ts_batches_clear_dropped(ts_store *st, ts_err *err);

#endif
