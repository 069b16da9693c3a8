#include "dataset/history.h"

#include "dataset/db.h"

#define SQLITE_ENABLE_SESSION
#define SQLITE_ENABLE_PREUPDATE_HOOK
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct list {
    ts_step *items;
    size_t n, cap;
    ts_arena *arena;
    int64_t row;
};

static void hand_over(struct list *l, ts_step **out, size_t *n) {
    *n = l->n;
    *out = ts_arena_alloc(l->arena, TS_MAX(l->n, 1) * sizeof **out);
    if (l->n) memcpy(*out, l->items, l->n * sizeof **out);
    free(l->items);
}

/* Columns: id, at, rows, state, who, label. */
static ts_step read_step(sqlite3_stmt *s, ts_arena *arena) {
    return (ts_step){.id = sqlite3_column_int64(s, 0),
                     .at_ms = sqlite3_column_int64(s, 1),
                     .rows = sqlite3_column_int64(s, 2),
                     .state = (ts_step_state)sqlite3_column_int(s, 3),
                     .who = ts_db_copy(s, 4, arena),
                     .label = ts_db_copy(s, 5, arena)};
}

ts_status ts_history_list(ts_store *st, size_t limit, ts_step **out, size_t *n, ts_arena *arena, ts_err *err) {
    struct list l = {.arena = arena};
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT id,at,rows,state,who,label FROM step ORDER BY id DESC LIMIT ?1", err);
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_int64(s, 1, limit ? (int64_t)limit : -1);
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        TS_PUSH(l.items, l.n, l.cap, read_step(s, arena));
    sqlite3_reset(s);
    hand_over(&l, out, n);
    return rc == SQLITE_DONE ? TS_OK : ts_db_fail(st, "read the history", err);
}

/* ---- one row ---- */

static void push_change(struct list *l, ts_step step, const char *field, const char *before, const char *after) {
    step.field = field;
    step.before = before;
    step.after = after;
    TS_PUSH(l->items, l->n, l->cap, step);
}

static const char *value_copy(sqlite3_value *v, ts_arena *arena) {
    if (!v || sqlite3_value_type(v) == SQLITE_NULL) return NULL;
    const char *text = (const char *)sqlite3_value_text(v);
    return ts_arena_strndup(arena, text, (size_t)sqlite3_value_bytes(v));
}

/* Columns of body and example that are texts of the row. */
static const char *column_name(const char *table, int column) {
    static const char *const body[] = {NULL, "instruction", "input", "output", "system", "messages", "extra"};
    if (strcmp(table, "body") == 0 && column < (int)TS_COUNT(body)) return body[column];
    if (strcmp(table, "example") == 0 && column == 6) return "tags";
    if (strcmp(table, "dismissed") == 0 && column == 1) return "dismissed";
    return NULL;
}

static void push_changed_columns(struct list *l, ts_step step, sqlite3_changeset_iter *it, const char *table,
                                 int columns, int op) {
    for (int c = 1; c < columns; c++) {
        sqlite3_value *before = NULL, *after = NULL;
        const char *name = column_name(table, c);
        if (!name) continue;
        if (op != SQLITE_INSERT) sqlite3changeset_old(it, c, &before);
        if (op != SQLITE_DELETE) sqlite3changeset_new(it, c, &after);
        const char *old = value_copy(before, l->arena), *new = value_copy(after, l->arena);
        if (old || new) push_change(l, step, name, old, new);
    }
}

static ts_status push_changes(struct list *l, ts_step step, const void *changes, int n, ts_err *err) {
    sqlite3_changeset_iter *it = NULL;
    if (sqlite3changeset_start(&it, n, (void *)(uintptr_t)changes) != SQLITE_OK)
        return ts_fail(err, TS_CORRUPT, "step %lld of the history is damaged", (long long)step.id);
    while (sqlite3changeset_next(it) == SQLITE_ROW) {
        const char *table;
        int columns, op, indirect;
        sqlite3_value *id = NULL;
        if (sqlite3changeset_op(it, &table, &columns, &op, &indirect) != SQLITE_OK) break;
        if (op == SQLITE_INSERT)
            sqlite3changeset_new(it, 0, &id);
        else
            sqlite3changeset_old(it, 0, &id);
        if (id && sqlite3_value_int64(id) == l->row) push_changed_columns(l, step, it, table, columns, op);
    }
    sqlite3changeset_finalize(it);
    return TS_OK;
}

static ts_status push_edits(ts_store *st, struct list *l, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st,
                                 "SELECT s.id,s.at,s.rows,s.state,s.who,s.label,s.changes FROM step_row r JOIN step s"
                                 " ON s.id=r.step WHERE r.id=?1",
                                 err);
    ts_status status = TS_OK;
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_int64(s, 1, l->row);
    while (status == TS_OK && sqlite3_step(s) == SQLITE_ROW)
        status = push_changes(l, read_step(s, l->arena), sqlite3_column_blob(s, 6), sqlite3_column_bytes(s, 6), err);
    sqlite3_reset(s);
    return status;
}

struct mark_search {
    struct list *l;
    ts_step step;
    ts_step_kind kind;
    int64_t value;
    const char *tag;
};

static const char *mark_text(const struct mark_search *m, int64_t v) {
    if (m->kind == TS_KIND_STATUS) return ts_row_status_name((ts_row_status)v);
    return v ? ts_arena_printf(m->l->arena, "%lld", (long long)v) : NULL;
}

static ts_status find_mark(void *ctx, int64_t id, int64_t n, int64_t old, ts_err *err) {
    struct mark_search *m = ctx;
    (void)err;
    if (m->l->row < id || m->l->row >= id + n) return TS_OK;
    if (m->kind == TS_KIND_TAG)
        push_change(m->l, m->step, "tag", m->value ? NULL : m->tag, m->value ? m->tag : NULL);
    else
        push_change(m->l, m->step, m->kind == TS_KIND_STATUS ? "status" : "rating", mark_text(m, old),
                    mark_text(m, m->value));
    return TS_OK;
}

static ts_status push_marks(ts_store *st, struct list *l, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st,
                                 "SELECT DISTINCT s.id,s.at,s.rows,s.state,s.who,s.label,s.kind,s.value,s.tag"
                                 " FROM step_chunk c JOIN step s ON s.id=c.step"
                                 " WHERE c.first_id<=?1 AND c.last_id>=?1",
                                 err);
    ts_status status = TS_OK;
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_int64(s, 1, l->row);
    while (status == TS_OK && sqlite3_step(s) == SQLITE_ROW) {
        struct mark_search m = {l, read_step(s, l->arena), (ts_step_kind)sqlite3_column_int(s, 6),
                                sqlite3_column_int64(s, 7), ts_db_copy(s, 8, l->arena)};
        status = ts_step_runs(st, m.step.id, l->row, l->row, find_mark, &m, err);
    }
    sqlite3_reset(s);
    return status;
}

static ts_status push_import(ts_store *st, struct list *l, ts_err *err) {
    sqlite3_stmt *s =
        ts_db_stmt(st,
                   "SELECT s.id,s.at,s.rows,s.state,s.who,s.label FROM example e JOIN batch t ON t.id=e.batch"
                   " JOIN step s ON s.id=t.step WHERE e.id=?1",
                   err);
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_int64(s, 1, l->row);
    if (sqlite3_step(s) == SQLITE_ROW) push_change(l, read_step(s, l->arena), NULL, NULL, NULL);
    sqlite3_reset(s);
    return TS_OK;
}

static int newest_first(const void *a, const void *b) {
    int64_t x = ((const ts_step *)a)->id, y = ((const ts_step *)b)->id;
    return (x < y) - (x > y);
}

ts_status ts_history_row(ts_store *st, int64_t id, ts_step **out, size_t *n, ts_arena *arena, ts_err *err) {
    struct list l = {.arena = arena, .row = id};
    ts_status status;
    TS_GOTO(push_edits(st, &l, err));
    TS_GOTO(push_marks(st, &l, err));
    TS_GOTO(push_import(st, &l, err));
    if (!l.n) {
        status = ts_fail(err, TS_NOT_FOUND, "there is no row %lld in %s", (long long)id, st->folder);
        goto out;
    }
    qsort(l.items, l.n, sizeof *l.items, newest_first);
    hand_over(&l, out, n);
    l.items = NULL;
out:
    free(l.items);
    return status;
}

/* ---- restoring ---- */

/* Of the steps since `step`, newest first, the oldest text before a change is the one the field had then. */
static size_t texts_of_then(const ts_step *steps, size_t n, int64_t step, ts_edit edits[TS_FIELDS], bool *found) {
    bool changed[TS_FIELDS] = {false};
    ts_text then[TS_FIELDS];
    size_t n_edits = 0;
    for (size_t i = 0; i < n; i++) {
        ts_field f;
        if (steps[i].state != TS_STEP_DONE) continue;
        *found |= steps[i].id == step;
        if (steps[i].id <= step || !steps[i].field) continue;
        if (!ts_field_of(steps[i].field, strlen(steps[i].field), &f) || f == TS_TAGS) continue;
        changed[f] = true;
        then[f] = (ts_text){steps[i].before, steps[i].before ? strlen(steps[i].before) : 0};
    }
    bool whole = changed[TS_MESSAGES_JSON]; /* a conversation's other texts are made from it */
    for (int f = 0; f < TS_TAGS; f++)
        if (changed[f] && (!whole || f == TS_MESSAGES_JSON)) edits[n_edits++] = (ts_edit){(ts_field)f, then[f]};
    return n_edits;
}

ts_status ts_row_restore(ts_store *st, int64_t id, int64_t step, ts_done *done, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_edit edits[TS_FIELDS];
    ts_step *steps;
    ts_row row;
    size_t n;
    bool found = false;
    char label[80];
    ts_status status;
    TS_GOTO(ts_row_read(st, id, &row, &arena, err));
    TS_GOTO(ts_history_row(st, id, &steps, &n, &arena, err));
    n = texts_of_then(steps, n, step, edits, &found);
    if (!found) {
        status = ts_fail(err, TS_NOT_FOUND,
                         "row %lld has no step %lld, or it was undone; `tunesmith history` lists the steps of a row",
                         (long long)id, (long long)step);
        goto out;
    }
    if (done) *done = (ts_done){0};
    snprintf(label, sizeof label, "restored row %lld as it was after step %lld", (long long)id, (long long)step);
    if (n) status = ts_row_change(st, id, row.revision, edits, n, label, done, err);
out:
    ts_arena_release(&arena);
    return status;
}
