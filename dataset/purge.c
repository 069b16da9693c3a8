#include "dataset/purge.h"

#include "dataset/answers.h"
#include "dataset/db.h"
#include "dataset/snapshot.h"

#include <sqlite3.h>
#include <string.h>

/* The same statement for each of the rows; its ?1 is the id. Adds up the rows changed, or the numbers it gives. */
static ts_status each_id(ts_store *st, const char *sql, const int64_t *ids, size_t n, int64_t *sum, ts_err *err) {
    for (size_t i = 0; i < n; i++) {
        sqlite3_stmt *s = ts_db_stmt(st, sql, err);
        if (!s) return err ? err->code : TS_IO;
        sqlite3_bind_int64(s, 1, ids[i]);
        int rc = sqlite3_step(s);
        if (rc == SQLITE_ROW && sum) *sum += sqlite3_column_int64(s, 0);
        if (rc == SQLITE_DONE && sum) *sum += sqlite3_changes64(st->db);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE) return ts_db_fail(st, "purge the rows", err);
        sqlite3_reset(s);
    }
    return TS_OK;
}

static ts_status count_prompts(ts_store *st, const int64_t *ids, size_t n, int64_t *found, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_buf messages = TS_BUF_INIT;
    ts_status status = TS_OK;
    if (!ts_db_int(st, "SELECT EXISTS(SELECT 1 FROM prompt)", 0)) return TS_OK;
    for (size_t i = 0; i < n && status == TS_OK; i++) {
        ts_row row;
        status = ts_rows_read(st, ids + i, 1, &row, &arena, err);
        if (status == TS_OK && !row.gone) {
            ts_buf_reset(&messages);
            ts_row_prompt_messages(&row, &messages);
            *found += ts_prompt_find(st, (ts_text){ts_buf_str(&messages), messages.len}) != 0;
        }
        ts_arena_reset(&arena);
    }
    ts_arena_release(&arena);
    ts_buf_release(&messages);
    return status;
}

_Static_assert(TS_KIND_PURGE == 5, "the number in the statement below");

ts_status ts_purge_ask(ts_store *st, const int64_t *ids, size_t n, ts_purge_costs *out, ts_err *err) {
    *out = (ts_purge_costs){0};
    TS_TRY(
        each_id(st, "SELECT count(*) FROM example WHERE id=?1 AND batch NOT IN " TS_HIDDEN, ids, n, &out->rows, err));
    TS_TRY(each_id(st, "SELECT count(*) FROM example WHERE id=?1 AND status=1 AND batch NOT IN " TS_HIDDEN, ids, n,
                   &out->accepted, err));
    TS_TRY(each_id(st, "SELECT count(*) FROM step_row r JOIN step s ON s.id=r.step WHERE r.id=?1 AND s.state<>2", ids,
                   n, &out->edits, err));
    out->undoable = ts_db_int(st,
                              "SELECT count(*) FROM step WHERE state=0 AND id>"
                              "ifnull((SELECT max(id) FROM step WHERE kind=5 AND state=0),0)",
                              0);
    out->redoable = ts_db_int(st, "SELECT count(*) FROM step WHERE state=1", 0);
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT id FROM snapshot", err);
    if (!s) return err ? err->code : TS_IO;
    while (sqlite3_step(s) == SQLITE_ROW) {
        sqlite3_stmt *has = ts_db_stmt(st, "SELECT 1 FROM snapshot_row WHERE snapshot=?1 AND id=?2", err);
        bool found = false;
        for (size_t i = 0; i < n && has && !found; i++) {
            sqlite3_reset(has);
            sqlite3_bind_int64(has, 1, sqlite3_column_int64(s, 0));
            sqlite3_bind_int64(has, 2, ids[i]);
            found = sqlite3_step(has) == SQLITE_ROW;
        }
        if (has) sqlite3_reset(has);
        out->snapshots += found;
    }
    sqlite3_reset(s);
    return count_prompts(st, ids, n, &out->prompts, err);
}

static void say_count(ts_buf *out, int64_t n, const char *one, const char *many) {
    if (n) ts_buf_printf(out, "\n  %lld %s", (long long)n, n == 1 ? one : many);
}

void ts_purge_words(const ts_purge_costs *c, ts_buf *out) {
    ts_buf_printf(out, "%lld %s will be gone for good. With %s go", (long long)c->rows, c->rows == 1 ? "row" : "rows",
                  c->rows == 1 ? "it" : "them");
    say_count(out, c->accepted, "of them is accepted", "of them are accepted");
    say_count(out, c->edits, "change to its texts in the history", "changes to their texts in the history");
    say_count(out, c->undoable, "step that can be undone now and cannot afterwards",
              "steps that can be undone now and cannot afterwards");
    say_count(out, c->redoable, "step that can be done again now and cannot afterwards",
              "steps that can be done again now and cannot afterwards");
    say_count(out, c->snapshots, "snapshot that names one of them keeps only its number",
              "snapshots that name one of them keep only its number");
    say_count(out, c->prompts, "prompt of compare asks what one of them asks: it stays, with its answers",
              "prompts of compare ask what they ask: they stay, with their answers");
    ts_buf_puts(out, "\nCopies in runs, exports, backups and the files that were imported stay.");
}

/* Everything that hangs on one row, before the row itself. */
static const char *const hanging[] = {
    "UPDATE step SET changes=NULL WHERE id IN (SELECT step FROM step_row WHERE id=?1)",
    "DELETE FROM step_row WHERE id=?1",
    "DELETE FROM body WHERE id=?1",
    "DELETE FROM dismissed WHERE id=?1",
    "DELETE FROM metric WHERE id=?1",
    "DELETE FROM score WHERE id=?1",
    "DELETE FROM dup WHERE id=?1",
    "DELETE FROM apart WHERE a=?1",
    "DELETE FROM apart WHERE b=?1",
    "DELETE FROM keeper WHERE id=?1",
};

static ts_status purge_piece(ts_act *a, const int64_t *ids, size_t n, ts_err *err) {
    for (size_t i = 0; i < TS_COUNT(hanging); i++)
        TS_TRY(each_id(a->st, hanging[i], ids, n, NULL, err));
    return each_id(a->st, "DELETE FROM example WHERE id=?1", ids, n, &a->rows, err);
}

/* Groups that lost rows, and lines that were repaired into rows which are no more. */
static ts_status purge_rest(ts_store *st, ts_err *err) {
    return ts_db_run(st,
                     "UPDATE dup_group SET rows=(SELECT count(*) FROM dup WHERE grp=dup_group.id);"
                     "DELETE FROM dup_group WHERE rows<2;"
                     "DELETE FROM dup WHERE grp NOT IN (SELECT id FROM dup_group);"
                     "DELETE FROM lm_score WHERE hash NOT IN (SELECT hash FROM example);"
                     "DELETE FROM reject WHERE repaired<>0 AND repaired NOT IN (SELECT batch FROM example);",
                     "purge the rows", err);
}

/* The file keeps nothing of them: SQLite overwrites what it frees, and the log of changes is written back and cut. */
static ts_status overwrite(ts_store *st, bool on, ts_err *err) {
    return ts_db_run(st, on ? "PRAGMA secure_delete=ON" : "PRAGMA secure_delete=OFF; PRAGMA wal_checkpoint(TRUNCATE)",
                     "purge the rows", err);
}

ts_status ts_purge(ts_store *st, const int64_t *ids, size_t n, ts_progress *progress, ts_done *done, ts_err *err) {
    enum { PIECE = 1024 };
    ts_act a;
    char words[48];
    ts_status status;
    TS_TRY(overwrite(st, true, err));
    ts_progress_what(progress, "purging");
    TS_GOTO(ts_act_begin(&a, st, TS_KIND_PURGE, "purge the rows", err));
    TS_GOTO(ts_batches_clear_dropped(st, err));
    for (size_t i = 0; i < n && status == TS_OK; i += PIECE) {
        status = purge_piece(&a, ids + i, TS_MIN((size_t)PIECE, n - i), err);
        ts_progress_set(progress, (int64_t)TS_MIN(i + PIECE, n), (int64_t)n);
        if (status == TS_OK && ts_cancelled(progress))
            status = ts_fail(err, TS_CANCELLED, "stopped; nothing was purged");
    }
    if (status == TS_OK) status = purge_rest(st, err);
    if (status == TS_OK) status = ts_act_commit(&a, done, err, "purged %s", ts_rows_words(a.rows, words));
out:
    if (status != TS_OK) ts_act_abandon(&a);
    ts_err ignored; /* what was purged stays purged: another program that still reads may keep the log for a while */
    if (overwrite(st, false, &ignored) != TS_OK) sqlite3_exec(st->db, "PRAGMA secure_delete=OFF", NULL, NULL, NULL);
    return status;
}
