/* Opening, reading, settings. Acts are in act.c and marks.c, edits in edit.c. */
#include "dataset/store.h"

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "dataset/db.h"
#include "dataset/query.h"

#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const status_names[TS_ROW_STATUSES] = {"new", "accepted", "rejected", "later"};

const char *ts_row_status_name(ts_row_status s) {
    return s < TS_ROW_STATUSES ? status_names[s] : "?";
}

bool ts_row_status_of(const char *name, size_t n, ts_row_status *out) {
    for (int i = 0; i < TS_ROW_STATUSES; i++)
        if (strlen(status_names[i]) == n && memcmp(name, status_names[i], n) == 0) {
            *out = (ts_row_status)i;
            return true;
        }
    return false;
}

/* ---- opening ---- */

static ts_store *store_new(const char *folder, const char *who) {
    ts_store *st = ts_calloc(1, sizeof *st);
    st->folder = ts_strdup(folder);
    st->path = ts_path_join(folder, "tunesmith.db");
    st->who = ts_strdup(who);
    st->patience_ms = 5000;
    return st;
}

static int interrupted(void *ctx) {
    return ts_cancelled(((ts_store *)ctx)->watched);
}

static ts_status connect(ts_store *st, const char *name, int flags, ts_err *err) {
    if (sqlite3_open_v2(name, &st->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return ts_db_fail(st, "open the workspace", err);
    sqlite3_busy_timeout(st->db, st->patience_ms);
    sqlite3_progress_handler(st->db, 20000, interrupted, st);
    return TS_OK;
}

static ts_status set_up(ts_store *st, ts_err *err) {
    const char *pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;" TS_CACHE
                          "PRAGMA trusted_schema=OFF;";
    if (st->read_only) pragmas = "PRAGMA temp_store=MEMORY;" TS_CACHE "PRAGMA trusted_schema=OFF;";
    return ts_db_run(st, pragmas, "open the workspace", err);
}

/* Takes away what a failed init made: half of a database would pass for a workspace. Folders that hold something stay.
 */
static void take_back_init(const char *folder, const char *path, const char *runs, const char *exports) {
    static const char *const parts[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < TS_COUNT(parts); i++) {
        char *name = ts_printf("%s%s", path, parts[i]);
        unlink(name);
        free(name);
    }
    rmdir(runs);
    rmdir(exports);
    rmdir(folder);
}

/* Without locks two programs would write over each other's changes. Where it cannot be found out (a full disk), SQLite
 * will say what is wrong. */
static ts_status check_locks(const char *folder, ts_err *err) {
    ts_err why;
    if (ts_locks_work(folder, &why) != TS_UNSUPPORTED) return TS_OK;
    return ts_fail(err, TS_UNSUPPORTED,
                   "%s; two programs could destroy each other's changes, so no workspace is opened there. Put it on a "
                   "local disk; runs and exports may stay",
                   why.text);
}

ts_status ts_store_init(const char *folder, ts_err *err) {
    ts_store *st = store_new(folder, "init");
    ts_status status = TS_OK;
    char *runs = ts_path_join(folder, "runs"), *exports = ts_path_join(folder, "exports"), *path = ts_strdup(st->path);
    bool there = ts_file_exists(path);
    if (there) TS_GOTO(ts_fail(err, TS_INVALID, "%s is a workspace already; nothing was changed", folder));
    TS_GOTO(ts_mkdirs(runs, err));
    TS_GOTO(ts_mkdirs(exports, err));
    TS_GOTO(check_locks(folder, err));
    TS_GOTO(connect(st, st->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err));
    TS_GOTO(ts_db_run(st, "PRAGMA page_size=8192", "make the workspace", err));
    TS_GOTO(set_up(st, err));
    TS_GOTO(ts_db_run(st, "PRAGMA application_id=0x54534d54", "make the workspace", err));
    status = ts_schema_upgrade(st->db, 0, TS_SCHEMA_VERSION, err);
out:
    if (status != TS_OK && st->db) ts_wrap(err, status, "cannot make the workspace %s", folder);
    ts_store_close(st);
    if (status != TS_OK && !there) take_back_init(folder, path, runs, exports);
    free(runs);
    free(exports);
    free(path);
    return status;
}

/* A folder that cannot be written cannot hold the index file WAL needs; the database alone can still be read, unless
 * a program died in it and left its last changes in the WAL. */
static ts_status connect_read_only(ts_store *st, ts_err *err) {
    char *wal = ts_printf("%s-wal", st->path);
    bool unfinished = ts_file_size(wal) > 0;
    free(wal);
    st->read_only = true;
    if (unfinished)
        return ts_fail(
            err, TS_IO,
            "cannot open %s: it may only be read, and its last changes are in tunesmith.db-wal, which must be "
            "written back first; open it once where it can be written",
            st->folder);
    ts_buf name = TS_BUF_INIT;
    ts_buf_puts(&name, "file:");
    for (const char *p = st->path; *p; p++)
        ts_buf_printf(&name, strchr("?#%", *p) ? "%%%02x" : "%c", (unsigned char)*p);
    ts_buf_puts(&name, "?immutable=1");
    ts_status status = connect(st, name.data, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, err);
    ts_buf_release(&name);
    return status;
}

static ts_status find_workspace(const ts_store *st, ts_err *err) {
    if (ts_is_file(st->path)) return TS_OK;
    if (!ts_file_exists(st->folder))
        return ts_fail(err, TS_NOT_FOUND, "there is no workspace %s; `tunesmith init %s` makes one", st->folder,
                       st->folder);
    if (!ts_is_dir(st->folder))
        return ts_fail(err, TS_INVALID, "%s is a file; a workspace is a folder that `tunesmith init` made", st->folder);
    return ts_fail(err, TS_INVALID, "%s is not a workspace (no tunesmith.db in it); `tunesmith init %s` makes it one",
                   st->folder, st->folder);
}

ts_status ts_store_open(ts_store **out, const char *folder, const char *who, ts_err *err) {
    ts_store *st = store_new(folder, who);
    ts_status status;
    *out = NULL;
    TS_GOTO(find_workspace(st, err));
    if (access(st->path, W_OK) == 0 && access(folder, W_OK) == 0) {
        TS_GOTO(check_locks(folder, err));
        TS_GOTO(connect(st, st->path, SQLITE_OPEN_READWRITE, err));
    } else {
        TS_GOTO(connect_read_only(st, err));
    }
    if (ts_db_int(st, "PRAGMA application_id", -1) == TS_APPLICATION_ID) TS_GOTO(set_up(st, err));
    TS_GOTO(ts_migrate(st, err));
    TS_GOTO(ts_marks_functions(st, err));
    TS_GOTO(ts_query_functions(st, err));
    *out = st;
out:
    if (status != TS_OK) ts_store_close(st);
    return status;
}

void ts_store_close(ts_store *st) {
    if (!st) return;
    for (size_t i = 0; i < st->n_kept; i++)
        sqlite3_finalize(st->kept[i].stmt);
    sqlite3_close(st->db);
    free(st->folder);
    free(st->path);
    free(st->who);
    free(st);
}

const char *ts_store_folder(const ts_store *st) {
    return st->folder;
}

bool ts_store_read_only(const ts_store *st) {
    return st->read_only;
}

void ts_store_patience(ts_store *st, int milliseconds) {
    st->patience_ms = milliseconds;
    sqlite3_busy_timeout(st->db, milliseconds);
}

void ts_store_watch(ts_store *st, const ts_progress *progress) {
    st->watched = progress;
}

int64_t ts_store_version(ts_store *st) {
    return ts_db_int(st, "SELECT value FROM counter WHERE name='version'", -1);
}

/* ---- rows ---- */

static const char row_sql[] =
    "SELECT e.shape,e.status,e.rating,e.tags,e.revision,e.line,t.path,b.instruction,b.input,b.output,b.system,"
    "b.messages,b.extra,m.tokens,m.score,d.grp FROM example e JOIN body b ON b.id=e.id"
    " LEFT JOIN batch t ON t.id=e.batch LEFT JOIN metric m ON m.id=e.id LEFT JOIN dup d ON d.id=e.id"
    " WHERE e.id=?1 AND ifnull(t.state,0)=0";

static ts_text copy_text(sqlite3_stmt *s, int i, ts_arena *arena) {
    ts_text t = ts_db_text(s, i);
    return t.s ? (ts_text){ts_arena_strndup(arena, t.s, t.n), t.n} : t;
}

static void fill_row(ts_row *row, sqlite3_stmt *s, ts_arena *arena) {
    row->shape = (ts_shape)sqlite3_column_int(s, 0);
    row->status = (ts_row_status)(sqlite3_column_int(s, 1) & 3);
    row->rating = sqlite3_column_int(s, 2);
    row->tags = ts_db_copy(s, 3, arena);
    row->revision = sqlite3_column_int64(s, 4);
    const char *path = (const char *)sqlite3_column_text(s, 6);
    row->origin = path ? ts_arena_printf(arena, "%s:%lld", ts_path_base(path), sqlite3_column_int64(s, 5)) : "typed";
    row->instruction = copy_text(s, 7, arena);
    row->input = copy_text(s, 8, arena);
    row->output = copy_text(s, 9, arena);
    row->system = copy_text(s, 10, arena);
    row->messages = copy_text(s, 11, arena);
    row->extra = copy_text(s, 12, arena);
    row->tokens = sqlite3_column_type(s, 13) == SQLITE_NULL ? -1 : sqlite3_column_int64(s, 13);
    row->score = sqlite3_column_type(s, 14) == SQLITE_NULL ? NAN : sqlite3_column_double(s, 14);
    row->dup = sqlite3_column_int64(s, 15);
}

static ts_status read_rows(ts_store *st, const int64_t *ids, size_t n, ts_row *out, ts_arena *arena, ts_err *err) {
    static const ts_text empty = {"", 0};
    for (size_t i = 0; i < n; i++) {
        sqlite3_stmt *s = ts_db_stmt(st, row_sql, err);
        if (!s) return err ? err->code : TS_IO;
        out[i] = (ts_row){.id = ids[i], .gone = true, .tags = "", .origin = "", .tokens = -1, .score = NAN};
        out[i].instruction = out[i].input = out[i].output = empty;
        sqlite3_bind_int64(s, 1, ids[i]);
        int rc = sqlite3_step(s);
        if (rc == SQLITE_ROW) {
            out[i].gone = false;
            fill_row(&out[i], s, arena);
        } else if (rc != SQLITE_DONE) {
            ts_status status = ts_db_fail(st, "read the rows", err);
            sqlite3_reset(s);
            return status;
        }
        sqlite3_reset(s);
    }
    return TS_OK;
}

/* In one transaction: else every row would take and give back the file's lock. */
ts_status ts_rows_read(ts_store *st, const int64_t *ids, size_t n, ts_row *out, ts_arena *arena, ts_err *err) {
    bool own = n > 1 && sqlite3_get_autocommit(st->db);
    if (own) TS_TRY(ts_db_run(st, "BEGIN", "read the rows", err));
    ts_status status = read_rows(st, ids, n, out, arena, err);
    if (own) sqlite3_exec(st->db, "COMMIT", NULL, NULL, NULL);
    return status;
}

ts_status ts_row_read(ts_store *st, int64_t id, ts_row *out, ts_arena *arena, ts_err *err) {
    TS_TRY(ts_rows_read(st, &id, 1, out, arena, err));
    if (!out->gone) return TS_OK;
    return ts_fail(err, TS_NOT_FOUND, "there is no row %lld in %s", (long long)id, st->folder);
}

ts_status ts_row_scores(ts_store *st, int64_t id, ts_rule_value **out, size_t *n, ts_arena *arena, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st,
                                 "SELECT s.rule,s.value,x.id IS NOT NULL FROM score s LEFT JOIN dismissed x"
                                 " ON x.id=s.id AND x.rule=s.rule WHERE s.id=?1 ORDER BY s.value DESC, s.rule",
                                 err);
    if (!s) return err ? err->code : TS_IO;
    ts_rule_value *list = NULL;
    size_t cap = 0;
    *n = 0;
    sqlite3_bind_int64(s, 1, id);
    while (sqlite3_step(s) == SQLITE_ROW) {
        ts_rule_value v = {ts_db_copy(s, 0, arena), sqlite3_column_double(s, 1), sqlite3_column_int(s, 2)};
        TS_PUSH(list, *n, cap, v);
    }
    sqlite3_reset(s);
    *out = ts_arena_alloc(arena, TS_MAX(*n, 1) * sizeof **out);
    if (*n) memcpy(*out, list, *n * sizeof **out);
    free(list);
    return TS_OK;
}

ts_status ts_store_counts(ts_store *st, ts_counts *out, ts_err *err) {
    *out = (ts_counts){0};
    sqlite3_stmt *s =
        ts_db_stmt(st, "SELECT status,count(*) FROM example WHERE batch NOT IN " TS_HIDDEN " GROUP BY status", err);
    if (!s) return err ? err->code : TS_IO;
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        int64_t n = sqlite3_column_int64(s, 1);
        out->by_status[sqlite3_column_int(s, 0) & 3] += n;
        out->rows += n;
    }
    if (rc != SQLITE_DONE) return ts_db_fail(st, "count the rows", err);
    sqlite3_reset(s);
    out->scored = ts_db_int(st,
                            "SELECT count(*) FROM metric JOIN example e USING(id) WHERE score IS NOT NULL"
                            " AND e.batch NOT IN " TS_HIDDEN,
                            0);
    out->tokens_counted = ts_db_int(st,
                                    "SELECT count(tokens) FROM metric JOIN example e USING(id)"
                                    " WHERE e.batch NOT IN " TS_HIDDEN,
                                    0);
    out->tokens = ts_db_int(st,
                            "SELECT sum(tokens) FROM metric JOIN example e USING(id)"
                            " WHERE e.batch NOT IN " TS_HIDDEN,
                            0);
    out->in_groups = ts_db_int(st, "SELECT count(*) FROM dup", 0);
    out->groups = ts_db_int(st, "SELECT count(*) FROM dup_group", 0);
    out->rejects =
        ts_db_int(st, "SELECT count(*) FROM reject r WHERE NOT " TS_REPAIRED " AND batch NOT IN " TS_HIDDEN, 0);
    return TS_OK;
}

/* ---- settings, derived values ---- */

bool ts_setting_get(ts_store *st, const char *key, ts_buf *out) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT value FROM setting WHERE key=?1", NULL);
    if (!s) return false;
    sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
    bool found = sqlite3_step(s) == SQLITE_ROW;
    if (found) ts_buf_puts(out, (const char *)sqlite3_column_text(s, 0));
    sqlite3_reset(s);
    return found;
}

ts_status ts_setting_set(ts_store *st, const char *key, const char *value, ts_err *err) {
    TS_TRY(ts_db_begin(st, "change a setting", err));
    sqlite3_stmt *s =
        value ? ts_db_stmt(st, "INSERT INTO setting VALUES(?1,?2) ON CONFLICT(key) DO UPDATE SET value=?2", err)
              : ts_db_stmt(st, "DELETE FROM setting WHERE key=?1", err);
    if (s) sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
    if (s && value) sqlite3_bind_text(s, 2, value, -1, SQLITE_STATIC);
    ts_status status = ts_db_step(st, s, "change a setting", err);
    bool counts = strcmp(key, "model") == 0 || strcmp(key, "template") == 0; /* another one counts other tokens */
    if (status == TS_OK && counts)
        status = ts_db_run(st, "UPDATE metric SET tokens=NULL WHERE tokens IS NOT NULL", "change a setting", err);
    if (status == TS_OK) return ts_db_commit(st, "change a setting", err);
    ts_db_rollback(st);
    return status;
}

void ts_setting_each(ts_store *st, void (*fn)(void *ctx, const char *key, const char *value), void *ctx) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT key,value FROM setting ORDER BY key", NULL);
    while (s && sqlite3_step(s) == SQLITE_ROW)
        fn(ctx, (const char *)sqlite3_column_text(s, 0), (const char *)sqlite3_column_text(s, 1));
    if (s) sqlite3_reset(s);
}

ts_status ts_derived_forget(ts_store *st, int64_t id, ts_err *err) {
    static const char *const sql[] = {"DELETE FROM metric WHERE id=?1", "DELETE FROM score WHERE id=?1",
                                      "DELETE FROM dup WHERE id=?1"};
    for (size_t i = 0; i < TS_COUNT(sql); i++) {
        sqlite3_stmt *s = ts_db_stmt(st, sql[i], err);
        if (s) sqlite3_bind_int64(s, 1, id);
        TS_TRY(ts_db_step(st, s, "forget the scores of a changed row", err));
    }
    return TS_OK;
}

/* ---- checks ---- */

static void hash_columns(sqlite3_stmt *s, ts_buf *piece) {
    for (int i = 0; i < sqlite3_column_count(s); i++) {
        ts_text t = ts_db_text(s, i);
        ts_buf_printf(piece, "%zu%c", t.n, t.s ? ':' : '-');
        ts_buf_add(piece, t.s ? t.s : "", t.n);
    }
}

ts_status ts_store_hash(ts_store *st, char out[33], ts_err *err) {
    static const char *const sql[] = {
        "SELECT e.id,e.batch,e.line,e.shape,e.status,e.rating,e.tags,e.hash,b.instruction,b.input,b.output,b.system,"
        "b.messages,b.extra FROM example e JOIN body b USING(id) WHERE e.batch NOT IN " TS_HIDDEN " ORDER BY e.id",
        "SELECT id,rule FROM dismissed ORDER BY id,rule", "SELECT prompt,side,blind,note FROM vote ORDER BY prompt",
        "SELECT a,b FROM apart ORDER BY a,b"};
    ts_buf piece = TS_BUF_INIT; /* the digest so far, then one row */
    ts_hash128_hex("", 0, out);
    for (size_t i = 0; i < TS_COUNT(sql); i++) {
        sqlite3_stmt *s = ts_db_stmt(st, sql[i], err);
        int rc = SQLITE_ERROR;
        while (s && (rc = sqlite3_step(s)) == SQLITE_ROW) {
            ts_buf_reset(&piece);
            ts_buf_puts(&piece, out);
            hash_columns(s, &piece);
            ts_hash128_hex(piece.data, piece.len, out);
        }
        if (s) sqlite3_reset(s);
        if (rc != SQLITE_DONE) {
            ts_buf_release(&piece);
            return ts_db_fail(st, "read the rows", err);
        }
    }
    ts_buf_release(&piece);
    return TS_OK;
}

ts_status ts_store_check(ts_store *st, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, "PRAGMA integrity_check(1)", err);
    if (!s) return err ? err->code : TS_IO;
    ts_status status = TS_OK;
    if (sqlite3_step(s) != SQLITE_ROW)
        status = ts_db_fail(st, "check the database", err);
    else if (strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0)
        status = ts_fail(err, TS_CORRUPT, "%s is damaged: %s", st->path, sqlite3_column_text(s, 0));
    sqlite3_reset(s);
    return status;
}
