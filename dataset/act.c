/* A step in the making, and its undoing.
 *
 * Inside one BEGIN IMMEDIATE: the step gets its number (never used twice, so it can serve as a row's revision), what
 * could have been redone is dropped, the change is made, the step is written, the version counted up, COMMIT.
 *
 * Marks are stored as runs: varints (gap to the end of the run before, length, old value), about 2 bytes a run, in
 * chunks of some 32 KB with their first and last id, so that one row's history reads only chunks that may hold it. */
#include "core/base/clock.h"
#include "dataset/db.h"
#include "dataset/history.h"
#include "dataset/score.h"

#define SQLITE_ENABLE_SESSION
#define SQLITE_ENABLE_PREUPDATE_HOOK
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 32 * 1024 };

const char *ts_rows_words(int64_t n, char out[48]) {
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n), o = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0) out[o++] = ',';
        out[o++] = digits[i];
    }
    snprintf(out + o, 48 - (size_t)o, n == 1 ? " row" : " rows");
    return out;
}

void ts_put_varint(ts_buf *out, uint64_t v) {
    for (; v >= 0x80; v >>= 7)
        ts_buf_putc(out, (char)(v | 0x80));
    ts_buf_putc(out, (char)v);
}

bool ts_get_varint(const unsigned char **p, const unsigned char *end, uint64_t *v) {
    *v = 0;
    for (int shift = 0; *p < end && shift < 64; shift += 7) {
        unsigned char c = *(*p)++;
        *v |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) return true;
    }
    return false;
}

/* ---- making a step ---- */

static ts_status drop_undone(ts_store *st, ts_err *err) {
    if (!ts_db_int(st, "SELECT EXISTS(SELECT 1 FROM step WHERE state=1)", 0)) return TS_OK;
    return ts_db_run(st,
                     "UPDATE batch SET state=2 WHERE state=1;"
                     "DELETE FROM step_chunk WHERE step IN (SELECT id FROM step WHERE state=1);"
                     "DELETE FROM step_row WHERE step IN (SELECT id FROM step WHERE state=1);"
                     "UPDATE step SET state=2, changes=NULL WHERE state=1",
                     "drop the steps that were undone", err);
}

static ts_status begin_recording(ts_act *a, ts_err *err) {
    static const char *const tables[] = {"example", "body", "dismissed", "apart", "vote"};
    int rc = sqlite3session_create(a->st->db, "main", &a->session);
    for (size_t i = 0; i < TS_COUNT(tables) && rc == SQLITE_OK; i++)
        rc = sqlite3session_attach(a->session, tables[i]);
    return rc == SQLITE_OK ? TS_OK : ts_fail(err, TS_NO_MEMORY, "cannot %s: out of memory", a->what);
}

ts_status ts_act_begin(ts_act *a, ts_store *st, ts_step_kind kind, const char *what, ts_err *err) {
    *a = (ts_act){.st = st, .kind = kind, .what = what};
    ts_status status = ts_db_begin(st, what, err);
    if (status != TS_OK) {
        a->st = NULL;
        return status;
    }
    TS_GOTO(ts_db_next(st, "step", 1, &a->step, err));
    TS_GOTO(drop_undone(st, err));
    if (kind == TS_KIND_CHANGES) TS_GOTO(begin_recording(a, err));
out:
    if (status != TS_OK) ts_act_abandon(a);
    return status;
}

static ts_status flush_chunk(ts_act *a, ts_err *err) {
    if (!a->chunk.len) return TS_OK;
    sqlite3_stmt *s = ts_db_stmt(a->st, "INSERT INTO step_chunk VALUES(?1,?2,?3,?4,?5)", err);
    if (s) {
        sqlite3_bind_int64(s, 1, a->step);
        sqlite3_bind_int64(s, 2, a->chunks++);
        sqlite3_bind_int64(s, 3, a->chunk_first);
        sqlite3_bind_int64(s, 4, a->chunk_end - 1);
        sqlite3_bind_blob64(s, 5, a->chunk.data, a->chunk.len, SQLITE_STATIC);
    }
    TS_TRY(ts_db_step(a->st, s, a->what, err));
    ts_buf_reset(&a->chunk);
    return TS_OK;
}

ts_status ts_act_run(ts_act *a, int64_t id, int64_t n, int64_t old, ts_err *err) {
    if (!a->chunk.len) a->chunk_first = a->chunk_end = id;
    ts_assert(id >= a->chunk_end && n > 0);
    ts_put_varint(&a->chunk, (uint64_t)(id - a->chunk_end));
    ts_put_varint(&a->chunk, (uint64_t)n);
    ts_put_varint(&a->chunk, (uint64_t)old);
    a->chunk_end = id + n;
    a->rows += n;
    return a->chunk.len < CHUNK_BYTES ? TS_OK : flush_chunk(a, err);
}

ts_status ts_act_touch(ts_act *a, int64_t id, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(a->st, "INSERT OR IGNORE INTO step_row VALUES(?1,?2)", err);
    if (s) sqlite3_bind_int64(s, 1, id);
    if (s) sqlite3_bind_int64(s, 2, a->step);
    return ts_db_step(a->st, s, a->what, err);
}

static ts_status write_step(ts_act *a, const char *label, ts_err *err) {
    void *changes = NULL;
    int n = 0;
    if (a->session && sqlite3session_changeset(a->session, &n, &changes) != SQLITE_OK)
        return ts_fail(err, TS_NO_MEMORY, "cannot %s: out of memory", a->what);
    sqlite3_stmt *s = ts_db_stmt(a->st, "INSERT INTO step VALUES(?1,?2,?3,?4,?5,?6,?7,?8,0,?9)", err);
    if (s) {
        sqlite3_bind_int64(s, 1, a->step);
        sqlite3_bind_int64(s, 2, ts_wall_ms());
        sqlite3_bind_text(s, 3, a->st->who, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 4, label, -1, SQLITE_STATIC);
        sqlite3_bind_int(s, 5, a->kind);
        sqlite3_bind_int64(s, 6, a->value);
        sqlite3_bind_text(s, 7, a->tag, -1, SQLITE_STATIC);
        sqlite3_bind_int64(s, 8, a->rows);
        if (changes) sqlite3_bind_blob(s, 9, changes, n, SQLITE_STATIC);
    }
    ts_status status = ts_db_step(a->st, s, a->what, err);
    sqlite3_free(changes);
    return status;
}

static void forget_act(ts_act *a) {
    if (a->session) sqlite3session_delete(a->session);
    ts_buf_release(&a->chunk);
    *a = (ts_act){0};
}

ts_status ts_act_commit(ts_act *a, ts_done *done, ts_err *err, const char *label, ...) {
    ts_done made = {.step = a->step, .rows = a->rows};
    va_list ap;
    va_start(ap, label);
    vsnprintf(made.text, sizeof made.text, label, ap);
    va_end(ap);
    if (!a->rows) {
        ts_act_abandon(a);
        made.step = 0;
        if (done) *done = made;
        return TS_OK;
    }
    ts_status status;
    TS_GOTO(flush_chunk(a, err));
    TS_GOTO(write_step(a, made.text, err));
    TS_GOTO(ts_db_commit(a->st, a->what, err));
    if (done) *done = made;
out:
    if (status != TS_OK) ts_db_rollback(a->st);
    forget_act(a);
    return status;
}

void ts_act_abandon(ts_act *a) {
    if (!a->st) return;
    if (a->session) sqlite3session_delete(a->session);
    a->session = NULL;
    ts_db_rollback(a->st);
    forget_act(a);
}

/* ---- reading stored steps ---- */

static ts_status decode_runs(const unsigned char *p, const unsigned char *end, int64_t first,
                             ts_status (*fn)(void *ctx, int64_t id, int64_t n, int64_t old, ts_err *err), void *ctx,
                             ts_err *err) {
    int64_t at = first;
    uint64_t gap, n, old;
    while (ts_get_varint(&p, end, &gap) && ts_get_varint(&p, end, &n) && ts_get_varint(&p, end, &old)) {
        at += (int64_t)gap;
        TS_TRY(fn(ctx, at, (int64_t)n, (int64_t)old, err));
        at += (int64_t)n;
    }
    return p == end ? TS_OK : ts_fail(err, TS_CORRUPT, "a step of the history is damaged");
}

ts_status ts_step_runs(ts_store *st, int64_t step, int64_t from_id, int64_t to_id,
                       ts_status (*fn)(void *ctx, int64_t id, int64_t n, int64_t old, ts_err *err), void *ctx,
                       ts_err *err) {
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(st->db,
                           "SELECT first_id,runs FROM step_chunk WHERE step=?1 AND first_id<=?3 AND last_id>=?2"
                           " ORDER BY seq",
                           -1, &s, NULL) != SQLITE_OK)
        return ts_db_fail(st, "read the history", err);
    sqlite3_bind_int64(s, 1, step);
    sqlite3_bind_int64(s, 2, from_id);
    sqlite3_bind_int64(s, 3, to_id);
    ts_status status = TS_OK;
    int rc;
    while (status == TS_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        const unsigned char *runs = sqlite3_column_blob(s, 1);
        status = decode_runs(runs, runs + sqlite3_column_bytes(s, 1), sqlite3_column_int64(s, 0), fn, ctx, err);
    }
    if (status == TS_OK && rc != SQLITE_DONE) status = ts_db_fail(st, "read the history", err);
    sqlite3_finalize(s);
    return status;
}

/* ---- undo and redo ---- */

struct stored {
    int64_t id, value;
    ts_step_kind kind;
    char tag[72], who[32], label[200];
    ts_buf changes;
    bool forward; /* doing it again rather than taking it back */
};

static ts_status load_step(ts_store *st, int state, struct stored *out, ts_err *err) {
    sqlite3_stmt *s = state == TS_STEP_DONE
                          ? ts_db_stmt(st,
                                       "SELECT id,kind,value,tag,who,label,changes FROM step WHERE state=0"
                                       " ORDER BY id DESC LIMIT 1",
                                       err)
                          : ts_db_stmt(st,
                                       "SELECT id,kind,value,tag,who,label,changes FROM step WHERE state=1"
                                       " ORDER BY id LIMIT 1",
                                       err);
    if (!s) return err ? err->code : TS_IO;
    ts_status status = TS_OK;
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        const char *tag = (const char *)sqlite3_column_text(s, 3);
        out->id = sqlite3_column_int64(s, 0);
        out->kind = (ts_step_kind)sqlite3_column_int(s, 1);
        out->value = sqlite3_column_int64(s, 2);
        snprintf(out->tag, sizeof out->tag, "%s", tag ? tag : "");
        snprintf(out->who, sizeof out->who, "%s", sqlite3_column_text(s, 4));
        snprintf(out->label, sizeof out->label, "%s", sqlite3_column_text(s, 5));
        ts_buf_add(&out->changes, sqlite3_column_blob(s, 6), (size_t)sqlite3_column_bytes(s, 6));
    } else if (rc == SQLITE_DONE) {
        status =
            ts_fail(err, TS_NOT_FOUND, state == TS_STEP_DONE ? "there is nothing to undo" : "there is nothing to redo");
    } else {
        status = ts_db_fail(st, "read the history", err);
    }
    sqlite3_reset(s);
    return status;
}

struct applying {
    ts_store *st;
    const struct stored *step;
    int64_t rows;
};

static ts_status outside_change(const struct stored *step, int64_t id, ts_err *err) {
    return ts_fail(err, TS_BUSY, "cannot %s \"%s\": row %lld was changed by something that keeps no history",
                   step->forward ? "redo" : "undo", step->label, (long long)id);
}

static const char *mark_sql(const struct stored *step) {
    bool on = (step->value != 0) == step->forward;
    switch (step->kind) {
    case TS_KIND_STATUS:
        return "UPDATE example SET status=?3 WHERE id BETWEEN ?1 AND ?2 AND status=?4";
    case TS_KIND_RATING:
        return "UPDATE example SET rating=?3 WHERE id BETWEEN ?1 AND ?2 AND rating=?4";
    default:
        return on ? "UPDATE example SET tags=ts_tag(tags,?5,1) WHERE id BETWEEN ?1 AND ?2 AND NOT ts_has_tag(tags,?5)"
                  : "UPDATE example SET tags=ts_tag(tags,?5,0) WHERE id BETWEEN ?1 AND ?2 AND ts_has_tag(tags,?5)";
    }
}

static ts_status apply_piece(struct applying *a, int64_t id, int64_t n, int64_t old, ts_err *err) {
    const struct stored *step = a->step;
    sqlite3_stmt *s = ts_db_stmt(a->st, mark_sql(step), err);
    if (s) {
        sqlite3_bind_int64(s, 1, id);
        sqlite3_bind_int64(s, 2, id + n - 1);
        sqlite3_bind_int64(s, 3, step->forward ? step->value : old);
        sqlite3_bind_int64(s, 4, step->forward ? old : step->value);
        if (step->kind == TS_KIND_TAG) sqlite3_bind_text(s, 5, step->tag, -1, SQLITE_STATIC);
    }
    TS_TRY(ts_db_step(a->st, s, "undo", err));
    if (sqlite3_changes64(a->st->db) != n) return outside_change(step, id, err);
    a->rows += n;
    return ts_cancelled(a->st->watched) ? ts_fail(err, TS_CANCELLED, "stopped; nothing was changed") : TS_OK;
}

/* In pieces: a statement that changes rows remembers their ids until it is done. */
static ts_status apply_run(void *ctx, int64_t id, int64_t n, int64_t old, ts_err *err) {
    for (int64_t at = 0; at < n; at += TS_MARK_PIECE)
        TS_TRY(apply_piece(ctx, id + at, TS_MIN(n - at, (int64_t)TS_MARK_PIECE), old, err));
    return TS_OK;
}

static int on_conflict(void *ctx, int what, sqlite3_changeset_iter *it) {
    (void)ctx;
    (void)what;
    (void)it;
    return SQLITE_CHANGESET_ABORT;
}

static ts_status apply_changes(ts_store *st, const struct stored *step, ts_err *err) {
    void *data = step->changes.data, *inverse = NULL;
    int n = (int)step->changes.len, rc = SQLITE_OK;
    if (!step->forward) {
        rc = sqlite3changeset_invert(n, data, &n, &inverse);
        data = inverse;
    }
    if (rc == SQLITE_OK) rc = sqlite3changeset_apply(st->db, n, data, NULL, on_conflict, NULL);
    sqlite3_free(inverse);
    if (rc == SQLITE_ABORT) return outside_change(step, 0, err);
    return rc == SQLITE_OK ? TS_OK : ts_db_fail(st, step->forward ? "redo" : "undo", err);
}

/* Derived values of the rows that a step of changes touched. */
static ts_status refresh_touched(ts_store *st, const struct stored *step, int64_t *rows, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT id FROM step_row WHERE step=?1", err);
    ts_status status = TS_OK;
    int64_t *ids = NULL;
    size_t n = 0, cap = 0;
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_int64(s, 1, step->id);
    while (sqlite3_step(s) == SQLITE_ROW)
        TS_PUSH(ids, n, cap, sqlite3_column_int64(s, 0));
    sqlite3_reset(s);
    for (size_t i = 0; i < n && status == TS_OK; i++)
        status = step->value ? ts_score_refresh(st, ids[i], err) : ts_derived_forget(st, ids[i], err);
    *rows = (int64_t)n;
    free(ids);
    return status;
}

static ts_status show_batches(ts_store *st, const struct stored *step, int64_t *rows, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, "UPDATE batch SET state=?2 WHERE step=?1", err);
    if (s) sqlite3_bind_int64(s, 1, step->id);
    if (s) sqlite3_bind_int(s, 2, step->forward ? 0 : 1);
    TS_TRY(ts_db_step(st, s, "undo an import", err));
    s = ts_db_stmt(st, "SELECT sum(imported) FROM batch WHERE step=?1", err);
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_int64(s, 1, step->id);
    if (sqlite3_step(s) == SQLITE_ROW) *rows = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return TS_OK;
}

static ts_status apply_step(ts_store *st, const struct stored *step, ts_done *done, ts_err *err) {
    struct applying a = {st, step, 0};
    ts_status status;
    if (step->kind == TS_KIND_CHANGES) {
        TS_TRY(apply_changes(st, step, err));
        status = refresh_touched(st, step, &a.rows, err);
    } else if (step->kind == TS_KIND_IMPORT) {
        status = show_batches(st, step, &a.rows, err);
    } else {
        status = ts_step_runs(st, step->id, 0, INT64_MAX, apply_run, &a, err);
    }
    TS_TRY(status);
    sqlite3_stmt *s = ts_db_stmt(st, "UPDATE step SET state=?2 WHERE id=?1", err);
    if (s) sqlite3_bind_int64(s, 1, step->id);
    if (s) sqlite3_bind_int(s, 2, step->forward ? TS_STEP_DONE : TS_STEP_UNDONE);
    TS_TRY(ts_db_step(st, s, "undo", err));
    if (done) {
        *done = (ts_done){.step = step->id, .rows = a.rows};
        snprintf(done->text, sizeof done->text, "%s: %.180s", step->forward ? "did again" : "undid", step->label);
    }
    return TS_OK;
}

static ts_status undo_or_redo(ts_store *st, int64_t expected, bool forward, ts_done *done, ts_err *err) {
    struct stored step = {.forward = forward};
    ts_status status = ts_db_begin(st, forward ? "redo" : "undo", err);
    if (status != TS_OK) return status;
    TS_GOTO(load_step(st, forward ? TS_STEP_UNDONE : TS_STEP_DONE, &step, err));
    if (expected > 0 && step.id != expected) {
        status = ts_fail(err, TS_BUSY, "not undone, because since then %s %s; undo again to take that back first",
                         step.who, step.label);
        goto out;
    }
    if (step.kind == TS_KIND_PURGE) {
        status = ts_fail(err, TS_UNSUPPORTED,
                         "cannot undo further: %s %s, which cannot be taken back, and neither can what was before it",
                         step.who, step.label);
        goto out;
    }
    TS_GOTO(apply_step(st, &step, done, err));
    status = ts_db_commit(st, forward ? "redo" : "undo", err);
out:
    if (status != TS_OK) ts_db_rollback(st);
    ts_buf_release(&step.changes);
    return status;
}

ts_status ts_undo(ts_store *st, int64_t expected, ts_done *done, ts_err *err) {
    return undo_or_redo(st, expected, false, done, err);
}

ts_status ts_redo(ts_store *st, ts_done *done, ts_err *err) {
    return undo_or_redo(st, 0, true, done, err);
}

int64_t ts_history_last(ts_store *st) {
    return ts_db_int(st, "SELECT id FROM step WHERE state=0 ORDER BY id DESC LIMIT 1", 0);
}
