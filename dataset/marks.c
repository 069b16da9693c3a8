/* Marks on any number of rows: status, rating, tags. */
#include "dataset/db.h"

#include "core/base/utf8.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tags: sorted words with one blank between ---- */

static const char *find_tag(const char *tags, const char *tag) {
    size_t n = strlen(tag);
    for (const char *p = tags; *p;) {
        size_t len = strcspn(p, " ");
        if (len == n && memcmp(p, tag, n) == 0) return p;
        p += len;
        p += strspn(p, " ");
    }
    return NULL;
}

static void put_tag(ts_buf *out, const char *tag, size_t n) {
    if (out->len) ts_buf_putc(out, ' ');
    ts_buf_add(out, tag, n);
}

/* `tags` with (or without) `tag`, in order. */
static void change_tag(ts_buf *out, const char *tags, const char *tag, bool on) {
    size_t n = strlen(tag);
    bool placed = !on;
    for (const char *p = tags; *p;) {
        size_t len = strcspn(p, " ");
        int order = memcmp(tag, p, TS_MIN(n, len));
        bool same = order == 0 && n == len, before = order < 0 || (order == 0 && n < len);
        if (!placed && before) put_tag(out, tag, n);
        if (!placed && (before || same)) placed = true;
        if (!same || on) put_tag(out, p, len);
        p += len;
        p += strspn(p, " ");
    }
    if (!placed) put_tag(out, tag, n);
}

static const char *value_text(sqlite3_value *v) {
    const char *s = (const char *)sqlite3_value_text(v);
    return s ? s : "";
}

/* ts_tag(tags, tag, on) */
static void sql_tag(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
    ts_buf out = TS_BUF_INIT;
    (void)argc;
    change_tag(&out, value_text(argv[0]), value_text(argv[1]), sqlite3_value_int(argv[2]) != 0);
    sqlite3_result_text64(ctx, ts_buf_str(&out), out.len, SQLITE_TRANSIENT, SQLITE_UTF8);
    ts_buf_release(&out);
}

/* ts_has_tag(tags, tag) */
static void sql_has_tag(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
    (void)argc;
    sqlite3_result_int(ctx, find_tag(value_text(argv[0]), value_text(argv[1])) != NULL);
}

ts_status ts_marks_functions(ts_store *st, ts_err *err) {
    int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
    if (sqlite3_create_function(st->db, "ts_tag", 3, flags, NULL, sql_tag, NULL, NULL) != SQLITE_OK ||
        sqlite3_create_function(st->db, "ts_has_tag", 2, flags, NULL, sql_has_tag, NULL, NULL) != SQLITE_OK)
        return ts_db_fail(st, "open the workspace", err);
    return TS_OK;
}

ts_status ts_tag_check(const char *tag, size_t n, ts_err *err) {
    if (n == 0 || n > 64 || memchr(tag, 0, n)) return ts_fail(err, TS_INVALID, "a tag has 1 to 64 bytes, not %zu", n);
    if (ts_utf8_check(tag, n) < n) return ts_fail(err, TS_INVALID, "the tag \"%.*s\" is not UTF-8", (int)n, tag);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)tag[i] <= ' ' || strchr(",\"'()\x7f", tag[i]))
            return ts_fail(err, TS_INVALID, "a tag has no blanks, commas, quotes or brackets: \"%.*s\"", (int)n, tag);
    return TS_OK;
}

/* ---- marking ---- */

struct marking {
    const char *find;   /* rows of [?1, ?2] that will change, with their old value, by id; ?3 the new value, ?4 tag */
    const char *change; /* changes them */
};

static const struct marking markings[] = {
    [TS_KIND_STATUS] = {"SELECT id,status FROM example WHERE id BETWEEN ?1 AND ?2 AND status<>?3"
                        " AND batch NOT IN " TS_HIDDEN " ORDER BY id",
                        "UPDATE example SET status=?3 WHERE id BETWEEN ?1 AND ?2 AND status<>?3"
                        " AND batch NOT IN " TS_HIDDEN},
    [TS_KIND_RATING] = {"SELECT id,rating FROM example WHERE id BETWEEN ?1 AND ?2 AND rating<>?3"
                        " AND batch NOT IN " TS_HIDDEN " ORDER BY id",
                        "UPDATE example SET rating=?3 WHERE id BETWEEN ?1 AND ?2 AND rating<>?3"
                        " AND batch NOT IN " TS_HIDDEN},
    [TS_KIND_TAG] = {"SELECT id,0 FROM example WHERE id BETWEEN ?1 AND ?2 AND ts_has_tag(tags,?4)<>?3"
                     " AND batch NOT IN " TS_HIDDEN " ORDER BY id",
                     "UPDATE example SET tags=ts_tag(tags,?4,?3) WHERE id BETWEEN ?1 AND ?2"
                     " AND ts_has_tag(tags,?4)<>?3 AND batch NOT IN " TS_HIDDEN},
};

static sqlite3_stmt *mark_stmt(ts_act *a, const char *sql, int64_t first, int64_t last, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(a->st, sql, err);
    if (!s) return NULL;
    sqlite3_bind_int64(s, 1, first);
    sqlite3_bind_int64(s, 2, last);
    sqlite3_bind_int64(s, 3, a->value);
    if (a->kind == TS_KIND_TAG) sqlite3_bind_text(s, 4, a->tag, -1, SQLITE_STATIC);
    return s;
}

/* Notes what will change in [first, last] as runs of equal old values, then changes it. */
static ts_status mark_range(ts_act *a, int64_t first, int64_t last, ts_err *err) {
    sqlite3_stmt *s = mark_stmt(a, markings[a->kind].find, first, last, err);
    if (!s) return err ? err->code : TS_IO;
    int64_t start = 0, n = 0, old = 0, before = a->rows;
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(s, 0), value = sqlite3_column_int64(s, 1);
        if (n && (id != start + n || value != old)) {
            TS_TRY(ts_act_run(a, start, n, old, err));
            n = 0;
        }
        if (!n++) start = id;
        old = value;
    }
    sqlite3_reset(s);
    if (rc != SQLITE_DONE) return ts_db_fail(a->st, a->what, err);
    if (n) TS_TRY(ts_act_run(a, start, n, old, err));
    if (a->rows == before) return TS_OK;
    return ts_db_step(a->st, mark_stmt(a, markings[a->kind].change, first, last, err), a->what, err);
}

static int by_id(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Consecutive ids are marked as one range, up to so many that what a statement remembers of them stays small. */
static ts_status mark_ids(ts_act *a, const int64_t *ids, size_t n, ts_err *err) {
    int64_t *sorted = ts_malloc(TS_MAX(n, 1) * sizeof *sorted);
    ts_status status = TS_OK;
    if (n) memcpy(sorted, ids, n * sizeof *ids);
    qsort(sorted, n, sizeof *sorted, by_id);
    for (size_t i = 0, end; i < n && status == TS_OK; i = end) {
        for (end = i + 1; end < n && sorted[end] - sorted[end - 1] <= 1 && end - i < TS_MARK_PIECE; end++) {
        }
        status = mark_range(a, sorted[i], sorted[end - 1], err);
        if (status == TS_OK && ts_cancelled(a->st->watched))
            status = ts_fail(err, TS_CANCELLED, "stopped; nothing was changed");
    }
    free(sorted);
    return status;
}

static ts_status mark(ts_act *a, const int64_t *ids, size_t n, ts_err *err) {
    ts_status status = mark_ids(a, ids, n, err);
    if (status != TS_OK) ts_act_abandon(a);
    return status;
}

ts_status ts_rows_set_status(ts_store *st, const int64_t *ids, size_t n, ts_row_status status, ts_done *done,
                             ts_err *err) {
    static const char *const did[TS_ROW_STATUSES] = {"set back to new:", "accepted", "rejected", "put off for later:"};
    ts_act a;
    char words[48];
    ts_assert(status < TS_ROW_STATUSES);
    TS_TRY(ts_act_begin(&a, st, TS_KIND_STATUS, "mark the rows", err));
    a.value = status;
    TS_TRY(mark(&a, ids, n, err));
    return ts_act_commit(&a, done, err, "%s %s", did[status], ts_rows_words(a.rows, words));
}

ts_status ts_rows_set_rating(ts_store *st, const int64_t *ids, size_t n, int rating, ts_done *done, ts_err *err) {
    ts_act a;
    char words[48];
    if (rating < 0 || rating > 5) return ts_fail(err, TS_INVALID, "a rating is 1 to 5, or 0 for none, not %d", rating);
    TS_TRY(ts_act_begin(&a, st, TS_KIND_RATING, "rate the rows", err));
    a.value = rating;
    TS_TRY(mark(&a, ids, n, err));
    if (rating) return ts_act_commit(&a, done, err, "rated %s %d", ts_rows_words(a.rows, words), rating);
    return ts_act_commit(&a, done, err, "took the rating of %s away", ts_rows_words(a.rows, words));
}

ts_status ts_rows_tag(ts_store *st, const int64_t *ids, size_t n, const char *tag, bool on, ts_done *done,
                      ts_err *err) {
    ts_act a;
    char words[48];
    TS_TRY(ts_tag_check(tag, strlen(tag), err));
    TS_TRY(ts_act_begin(&a, st, TS_KIND_TAG, "tag the rows", err));
    a.value = on;
    a.tag = tag;
    TS_TRY(mark(&a, ids, n, err));
    ts_rows_words(a.rows, words);
    if (on) return ts_act_commit(&a, done, err, "tagged %s with %s", words, tag);
    return ts_act_commit(&a, done, err, "took the tag %s from %s", tag, words);
}
