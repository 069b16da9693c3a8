#include "dataset/frozen.h"

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "dataset/db.h"
#include "dataset/split.h"
#include "dataset/view.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One row of a snapshot; side -1: the rows were not split. */
struct frozen_row {
    int64_t id, hash;
    int side;
};

struct frozen_rows {
    struct frozen_row *items;
    size_t n, cap;
};

/* ---- making ---- */

/* The rows of a view that are still there, with the hashes of their texts. */
static ts_status hash_rows(ts_store *st, const ts_view *v, const bool *held_out, ts_progress *progress,
                           struct frozen_rows *out, ts_err *err) {
    size_t n = ts_view_count(v);
    for (size_t i = 0; i < n; i++) {
        sqlite3_stmt *s = ts_db_stmt(st, "SELECT hash FROM example WHERE id=?1", err);
        if (!s) return err ? err->code : TS_IO;
        struct frozen_row row = {ts_view_id(v, i), 0, held_out ? held_out[i] : -1};
        sqlite3_bind_int64(s, 1, row.id);
        if (sqlite3_step(s) == SQLITE_ROW) {
            row.hash = sqlite3_column_int64(s, 0);
            TS_PUSH(out->items, out->n, out->cap, row);
        }
        sqlite3_reset(s);
        if (i % 4096 == 0) ts_progress_set(progress, (int64_t)i, (int64_t)n);
        if (ts_cancelled(progress)) return ts_fail(err, TS_CANCELLED, "stopped; nothing was kept");
    }
    return TS_OK;
}

static void hash_all(const struct frozen_rows *rows, char out[33]) {
    ts_buf text = TS_BUF_INIT; /* the digest so far, then a piece of the rows */
    ts_hash128_hex("", 0, out);
    for (size_t i = 0; i < rows->n; i++) {
        if (!text.len) ts_buf_puts(&text, out);
        ts_buf_printf(&text, "%lld %016llx %d\n", (long long)rows->items[i].id, (unsigned long long)rows->items[i].hash,
                      rows->items[i].side);
        if (text.len < 65536 && i + 1 < rows->n) continue;
        ts_hash128_hex(text.data, text.len, out);
        ts_buf_reset(&text);
    }
    ts_buf_release(&text);
}

static ts_status write_snapshot(ts_store *st, const ts_frozen *f, const struct frozen_rows *rows, ts_err *err) {
    int64_t id = ts_db_int(st, "SELECT ifnull(max(id),0)+1 FROM snapshot", 1);
    sqlite3_stmt *s = ts_db_stmt(st, "INSERT INTO snapshot VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)", err);
    if (s) {
        sqlite3_bind_int64(s, 1, id);
        sqlite3_bind_text(s, 2, f->name, -1, SQLITE_STATIC);
        sqlite3_bind_int64(s, 3, f->at_ms);
        sqlite3_bind_text(s, 4, st->who, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 5, f->query, -1, SQLITE_STATIC);
        sqlite3_bind_int64(s, 6, (int64_t)f->seed);
        sqlite3_bind_double(s, 7, f->fraction);
        sqlite3_bind_int64(s, 8, f->rows);
        sqlite3_bind_int64(s, 9, f->valid);
        sqlite3_bind_text(s, 10, f->hash, -1, SQLITE_STATIC);
    }
    TS_TRY(ts_db_step(st, s, "keep the snapshot", err));
    for (size_t i = 0; i < rows->n; i++) {
        s = ts_db_stmt(st, "INSERT INTO snapshot_row VALUES(?1,?2,?3,?4)", err);
        if (s) {
            sqlite3_bind_int64(s, 1, id);
            sqlite3_bind_int64(s, 2, rows->items[i].id);
            sqlite3_bind_int64(s, 3, rows->items[i].hash);
            sqlite3_bind_int(s, 4, rows->items[i].side);
        }
        TS_TRY(ts_db_step(st, s, "keep the snapshot", err));
    }
    return TS_OK;
}

static ts_status check_name(ts_store *st, const char *name, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT 1 FROM snapshot WHERE name=?1", err);
    ts_err why;
    if (ts_tag_check(name, strlen(name), &why) != TS_OK || strcmp(name, "now") == 0)
        return ts_fail(err, TS_INVALID,
                       "a snapshot cannot be called \"%.64s\": a name has 1 to 64 bytes, no blanks, commas, quotes or "
                       "brackets, and \"now\" is none",
                       name);
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    bool taken = sqlite3_step(s) == SQLITE_ROW;
    sqlite3_reset(s);
    if (!taken) return TS_OK;
    return ts_fail(err, TS_INVALID, "there is a snapshot \"%.64s\" already; choose another name, or delete it first",
                   name);
}

ts_status ts_frozen_make(ts_store *st, const char *name, const char *where, double fraction, uint64_t seed,
                         ts_progress *progress, ts_frozen *out, ts_arena *arena, ts_err *err) {
    struct frozen_rows rows = {0};
    ts_view *v = NULL;
    bool *held_out = NULL, begun = false;
    size_t n_held_out = 0;
    char hash[33];
    ts_status status;
    ts_progress_what(progress, "freezing");
    TS_GOTO(check_name(st, name, err));
    TS_GOTO(ts_view_new(&v, st, where, NULL, NULL, NULL, err));
    if (!ts_view_count(v)) {
        status = ts_fail(err, TS_NOT_FOUND, "no row of %s answers \"%s\", so there is nothing to freeze", st->folder,
                         where ? where : "");
        goto out;
    }
    held_out = ts_calloc(ts_view_count(v), sizeof *held_out);
    TS_GOTO(ts_split_rows(st, ts_view_ids(v), ts_view_count(v), fraction, seed, progress, held_out, &n_held_out, err));
    TS_GOTO(ts_db_begin(st, "keep the snapshot", err));
    begun = true;
    TS_GOTO(check_name(st, name, err)); /* another program may have been quicker */
    TS_GOTO(hash_rows(st, v, fraction > 0 ? held_out : NULL, progress, &rows, err));
    hash_all(&rows, hash);
    *out = (ts_frozen){.at_ms = ts_wall_ms(),
                       .rows = (int64_t)rows.n,
                       .valid = (int64_t)n_held_out,
                       .fraction = fraction,
                       .seed = seed};
    out->name = ts_arena_strndup(arena, name, strlen(name));
    out->who = ts_arena_strndup(arena, st->who, strlen(st->who));
    out->query = where ? ts_arena_strndup(arena, where, strlen(where)) : "";
    out->hash = ts_arena_strndup(arena, hash, strlen(hash));
    TS_GOTO(write_snapshot(st, out, &rows, err));
    begun = false;
    TS_GOTO(ts_db_commit(st, "keep the snapshot", err));
    if (fraction > 0) status = ts_split_keep(st, ts_view_ids(v), ts_view_count(v), held_out, err);
out:
    if (begun) ts_db_rollback(st);
    free(held_out);
    free(rows.items);
    ts_view_free(v);
    return status;
}

/* ---- reading ---- */

static ts_frozen read_frozen(sqlite3_stmt *s, ts_arena *arena) {
    return (ts_frozen){.name = ts_db_copy(s, 1, arena),
                       .at_ms = sqlite3_column_int64(s, 2),
                       .who = ts_db_copy(s, 3, arena),
                       .query = ts_db_copy(s, 4, arena),
                       .seed = (uint64_t)sqlite3_column_int64(s, 5),
                       .fraction = sqlite3_column_double(s, 6),
                       .rows = sqlite3_column_int64(s, 7),
                       .valid = sqlite3_column_int64(s, 8),
                       .hash = ts_db_copy(s, 9, arena)};
}

ts_status ts_frozen_list(ts_store *st, ts_frozen **out, size_t *n, ts_arena *arena, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT * FROM snapshot ORDER BY id", err);
    ts_frozen *list = NULL;
    size_t cap = 0;
    if (!s) return err ? err->code : TS_IO;
    *n = 0;
    while (sqlite3_step(s) == SQLITE_ROW)
        TS_PUSH(list, *n, cap, read_frozen(s, arena));
    sqlite3_reset(s);
    *out = ts_arena_alloc(arena, TS_MAX(*n, 1) * sizeof **out);
    if (*n) memcpy(*out, list, *n * sizeof **out);
    free(list);
    return TS_OK;
}

static ts_status not_there(ts_store *st, const char *name, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_buf names = TS_BUF_INIT;
    ts_frozen *list;
    size_t n = 0;
    ts_status status = ts_frozen_list(st, &list, &n, &arena, err);
    for (size_t i = 0; i < n && names.len < 300; i++)
        ts_buf_printf(&names, "%s%s", i ? ", " : "; there are ", list[i].name);
    if (status == TS_OK)
        status = ts_fail(err, TS_NOT_FOUND, "there is no snapshot \"%.64s\"%s", name, ts_buf_str(&names));
    ts_buf_release(&names);
    ts_arena_release(&arena);
    return status;
}

ts_status ts_frozen_find(ts_store *st, const char *name, ts_frozen *out, ts_arena *arena, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT * FROM snapshot WHERE name=?1", err);
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    bool found = sqlite3_step(s) == SQLITE_ROW;
    if (found) *out = read_frozen(s, arena);
    sqlite3_reset(s);
    return found ? TS_OK : not_there(st, name, err);
}

ts_status ts_frozen_delete(ts_store *st, const char *name, ts_err *err) {
    static const char *const sql[] = {"DELETE FROM snapshot_row WHERE snapshot=(SELECT id FROM snapshot WHERE name=?1)",
                                      "DELETE FROM snapshot WHERE name=?1"};
    ts_arena arena = TS_ARENA_INIT;
    ts_frozen f;
    ts_status status;
    TS_GOTO(ts_frozen_find(st, name, &f, &arena, err));
    TS_GOTO(ts_db_begin(st, "delete the snapshot", err));
    for (size_t i = 0; i < TS_COUNT(sql) && status == TS_OK; i++) {
        sqlite3_stmt *s = ts_db_stmt(st, sql[i], err);
        if (s) sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
        status = ts_db_step(st, s, "delete the snapshot", err);
    }
    if (status == TS_OK)
        status = ts_db_commit(st, "delete the snapshot", err);
    else
        ts_db_rollback(st);
out:
    ts_arena_release(&arena);
    return status;
}

/* ---- comparing ---- */

static ts_status load_rows(ts_store *st, const char *name, struct frozen_rows *out, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st,
                                 "SELECT id,hash,side FROM snapshot_row WHERE snapshot="
                                 "(SELECT id FROM snapshot WHERE name=?1) ORDER BY id",
                                 err);
    int rc;
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct frozen_row row = {sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), sqlite3_column_int(s, 2)};
        TS_PUSH(out->items, out->n, out->cap, row);
    }
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? TS_OK : ts_db_fail(st, "read the snapshot", err);
}

static ts_status load_now(ts_store *st, const char *query, ts_progress *progress, struct frozen_rows *out,
                          ts_err *err) {
    ts_view *v;
    TS_TRY(ts_view_new(&v, st, query, NULL, progress, NULL, err));
    ts_status status = hash_rows(st, v, NULL, progress, out, err);
    ts_view_free(v);
    return status;
}

static ts_frozen_kind compare_row(const struct frozen_row *a, const struct frozen_row *b, bool sides) {
    if (a->hash != b->hash) return TS_FROZEN_CHANGED;
    return sides && a->side != b->side ? TS_FROZEN_MOVED : TS_FROZEN_SAME;
}

ts_status ts_frozen_compare(ts_store *st, const char *name, const char *other, int64_t counts[TS_FROZEN_KINDS],
                            void (*fn)(void *ctx, int64_t id, ts_frozen_kind kind), void *ctx, ts_progress *progress,
                            ts_err *err) {
    struct frozen_rows a = {0}, b = {0};
    ts_arena arena = TS_ARENA_INIT;
    ts_frozen first, second;
    ts_status status;
    memset(counts, 0, TS_FROZEN_KINDS * sizeof *counts);
    TS_GOTO(ts_frozen_find(st, name, &first, &arena, err));
    if (other) TS_GOTO(ts_frozen_find(st, other, &second, &arena, err));
    TS_GOTO(load_rows(st, name, &a, err));
    TS_GOTO(other ? load_rows(st, other, &b, err) : load_now(st, first.query, progress, &b, err));
    for (size_t i = 0, k = 0; i < a.n || k < b.n;) {
        bool left = k == b.n || (i < a.n && a.items[i].id < b.items[k].id);
        bool came = !left && (i == a.n || b.items[k].id < a.items[i].id);
        ts_frozen_kind kind = left   ? TS_FROZEN_LEFT
                              : came ? TS_FROZEN_CAME
                                     : compare_row(&a.items[i], &b.items[k], other != NULL);
        counts[kind]++;
        if (fn && kind != TS_FROZEN_SAME) fn(ctx, came ? b.items[k].id : a.items[i].id, kind);
        i += !came;
        k += !left;
    }
out:
    free(a.items);
    free(b.items);
    ts_arena_release(&arena);
    return status;
}
