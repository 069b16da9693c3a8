#include "dataset/db.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

static ts_status fail_system(ts_store *st, const char *what, ts_err *err) {
    int sys = sqlite3_system_errno(st->db);
    int wide = sqlite3_extended_errcode(st->db);
    bool write = wide == SQLITE_IOERR_WRITE || wide == SQLITE_IOERR_SHMSIZE; /* a roll-back may have lost the errno */
    if (sys == ENOSPC || sys == EDQUOT || sys == EFBIG || (write && sys == 0))
        return ts_fail(err, TS_IO,
                       "cannot %s: no room is left on the disk of %s; nothing was changed. Make room and try again",
                       what, st->folder);
    return ts_fail(err, TS_IO, "cannot %s: reading or writing %s failed (%s%s%s)", what, st->path,
                   sqlite3_errmsg(st->db), sys ? ": " : "", sys ? strerror(sys) : "");
}

ts_status ts_db_fail(ts_store *st, const char *what, ts_err *err) {
    switch (sqlite3_errcode(st->db)) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ts_fail(err, TS_BUSY,
                       "cannot %s: another program is changing %s and was not done within %g s; try again, or close it",
                       what, st->folder, st->patience_ms / 1000.0);
    case SQLITE_FULL:
        return ts_fail(err, TS_IO,
                       "cannot %s: no room is left on the disk of %s; nothing was changed. Make room and try again",
                       what, st->folder);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return ts_fail(err, TS_IO, "cannot %s: %s may only be read, not changed (check the rights of the folder)", what,
                       st->folder);
    case SQLITE_NOTADB:
        return ts_fail(err, TS_CORRUPT, "cannot %s: %s is not a tunesmith database", what, st->path);
    case SQLITE_CORRUPT:
        return ts_fail(err, TS_CORRUPT, "cannot %s: %s is damaged (%s); go back to a copy of it", what, st->path,
                       sqlite3_errmsg(st->db));
    case SQLITE_INTERRUPT:
        return ts_fail(err, TS_CANCELLED, "stopped before it was done; nothing was changed");
    case SQLITE_NOMEM:
        return ts_fail(err, TS_NO_MEMORY, "cannot %s: out of memory", what);
    case SQLITE_TOOBIG:
        return ts_fail(err, TS_LIMIT, "cannot %s: the text is larger than the database takes", what);
    default:
        return fail_system(st, what, err);
    }
}

sqlite3_stmt *ts_db_stmt(ts_store *st, const char *sql, ts_err *err) {
    sqlite3_stmt *s = NULL;
    for (size_t i = 0; i < st->n_kept; i++)
        if (st->kept[i].sql == sql) {
            s = st->kept[i].stmt;
            sqlite3_reset(s);
            sqlite3_clear_bindings(s);
            return s;
        }
    if (sqlite3_prepare_v3(st->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL) != SQLITE_OK) {
        ts_db_fail(st, "read the workspace", err);
        return NULL;
    }
    ts_assert(st->n_kept < TS_MAX_STATEMENTS);
    st->kept[st->n_kept].sql = sql;
    st->kept[st->n_kept++].stmt = s;
    return s;
}

ts_status ts_db_run(ts_store *st, const char *sql, const char *what, ts_err *err) {
    return sqlite3_exec(st->db, sql, NULL, NULL, NULL) == SQLITE_OK ? TS_OK : ts_db_fail(st, what, err);
}

ts_status ts_db_step(ts_store *st, sqlite3_stmt *s, const char *what, ts_err *err) {
    if (!s) return err ? err->code : TS_IO;
    int rc = sqlite3_step(s);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
        ts_status status = ts_db_fail(st, what, err);
        sqlite3_reset(s);
        return status;
    }
    sqlite3_reset(s);
    return TS_OK;
}

int64_t ts_db_int(ts_store *st, const char *sql, int64_t otherwise) {
    sqlite3_stmt *s = ts_db_stmt(st, sql, NULL);
    int64_t v = otherwise;
    if (!s) return v;
    if (sqlite3_step(s) == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL) v = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return v;
}

void ts_db_bind_text(sqlite3_stmt *s, int i, ts_text t) {
    if (t.s)
        sqlite3_bind_text64(s, i, t.s, t.n, SQLITE_STATIC, SQLITE_UTF8);
    else
        sqlite3_bind_null(s, i);
}

ts_text ts_db_text(sqlite3_stmt *s, int i) {
    const char *text = (const char *)sqlite3_column_text(s, i);
    return (ts_text){text, text ? (size_t)sqlite3_column_bytes(s, i) : 0};
}

char *ts_db_copy(sqlite3_stmt *s, int i, ts_arena *arena) {
    ts_text t = ts_db_text(s, i);
    return ts_arena_strndup(arena, t.s ? t.s : "", t.n);
}

ts_status ts_db_next(ts_store *st, const char *counter, int64_t count, int64_t *first, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, "UPDATE counter SET value=value+?2 WHERE name=?1 RETURNING value", err);
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_text(s, 1, counter, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, count);
    ts_status status = TS_OK;
    if (sqlite3_step(s) == SQLITE_ROW)
        *first = sqlite3_column_int64(s, 0) - count + 1;
    else
        status = ts_db_fail(st, "number the rows", err);
    sqlite3_reset(s);
    return status;
}

ts_status ts_db_begin(ts_store *st, const char *what, ts_err *err) {
    if (st->read_only)
        return ts_fail(err, TS_IO, "cannot %s: %s may only be read, not changed (check the rights of the folder)", what,
                       st->folder);
    return ts_db_run(st, "BEGIN IMMEDIATE", what, err);
}

ts_status ts_db_commit(ts_store *st, const char *what, ts_err *err) {
    int64_t version;
    ts_status status = ts_db_next(st, "version", 1, &version, err);
    if (status == TS_OK) status = ts_db_run(st, "COMMIT", what, err);
    if (status != TS_OK) ts_db_rollback(st);
    return status;
}

void ts_db_rollback(ts_store *st) {
    for (size_t i = 0; i < st->n_kept; i++)
        sqlite3_reset(st->kept[i].stmt);
    if (!sqlite3_get_autocommit(st->db)) sqlite3_exec(st->db, "ROLLBACK", NULL, NULL, NULL);
}
