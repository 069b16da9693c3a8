#include "dataset/apart.h"

#include "dataset/db.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

/* ---- the pairs ---- */

static ts_status write_pair(ts_act *a, int64_t x, int64_t y, bool on, ts_err *err) {
    sqlite3_stmt *s = on ? ts_db_stmt(a->st, "INSERT OR IGNORE INTO apart VALUES(?1,?2)", err)
                         : ts_db_stmt(a->st, "DELETE FROM apart WHERE a=?1 AND b=?2", err);
    if (s) sqlite3_bind_int64(s, 1, TS_MIN(x, y));
    if (s) sqlite3_bind_int64(s, 2, TS_MAX(x, y));
    TS_TRY(ts_db_step(a->st, s, a->what, err));
    a->rows += sqlite3_changes(a->st->db);
    return TS_OK;
}

ts_status ts_rows_apart(ts_store *st, int64_t id, const int64_t *others, size_t n, bool on, ts_done *done,
                        ts_err *err) {
    ts_act a;
    char words[48];
    ts_status status;
    TS_TRY(ts_act_begin(&a, st, TS_KIND_CHANGES, "note that rows are no duplicates", err));
    a.value = 1; /* texts stay as they are */
    for (size_t i = 0; i < n; i++)
        if (others[i] != id) TS_GOTO(write_pair(&a, id, others[i], on, err));
    if (a.rows) TS_GOTO(ts_act_touch(&a, id, err));
    ts_rows_words(a.rows, words);
    status = ts_act_commit(&a, done, err, "row %lld is %s of %s", (long long)id,
                           on ? "no duplicate" : "again held a duplicate", words);
out:
    if (status != TS_OK) ts_act_abandon(&a);
    return status;
}

bool ts_apart_any(ts_store *st) {
    return ts_db_int(st, "SELECT EXISTS(SELECT 1 FROM apart)", 0) != 0;
}

/* ---- groups without them ---- */

struct pairs {
    int64_t (*items)[2]; /* a < b, rising */
    size_t n, cap;
};

static ts_status load_pairs(ts_store *st, struct pairs *p, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT a,b FROM apart ORDER BY a,b", err);
    int rc;
    if (!s) return err ? err->code : TS_IO;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        if (p->n == p->cap) {
            p->cap = TS_MAX(p->cap * 2, (size_t)64);
            p->items = ts_realloc(p->items, p->cap * sizeof *p->items);
        }
        p->items[p->n][0] = sqlite3_column_int64(s, 0);
        p->items[p->n++][1] = sqlite3_column_int64(s, 1);
    }
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? TS_OK : ts_db_fail(st, "read which rows are no duplicates", err);
}

static bool has_pair(const struct pairs *p, int64_t a, int64_t b) {
    size_t low = 0, high = p->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const int64_t *at = p->items[mid];
        if (at[0] < a || (at[0] == a && at[1] < b))
            low = mid + 1;
        else
            high = mid;
    }
    return low < p->n && p->items[low][0] == a && p->items[low][1] == b;
}

static uint32_t root_of(uint32_t *parent, uint32_t i) {
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

/* Drops the pairs and joins what the others hold together; the smaller index is the root. */
static void join(ts_near *near, const int64_t *ids, const struct pairs *apart, uint32_t *parent) {
    uint64_t kept = 0;
    for (uint32_t i = 0; i < near->n; i++)
        parent[i] = i;
    memset(near->best, 0, near->n * sizeof *near->best);
    for (uint64_t i = 0; i < near->pairs; i++) {
        ts_near_pair p = near->list[i];
        if (has_pair(apart, TS_MIN(ids[p.a], ids[p.b]), TS_MAX(ids[p.a], ids[p.b]))) continue;
        uint32_t x = root_of(parent, p.a), y = root_of(parent, p.b);
        parent[TS_MAX(x, y)] = TS_MIN(x, y);
        near->best[p.a] = TS_MAX(near->best[p.a], p.similarity);
        near->best[p.b] = TS_MAX(near->best[p.b], p.similarity);
        near->list[kept++] = p;
    }
    near->pairs = kept;
}

/* Numbers the groups in the order of their first texts. */
static void number_groups(ts_near *near, uint32_t *parent) {
    uint32_t *sizes = ts_calloc(near->n + 1, sizeof *sizes);
    for (uint32_t i = 0; i < near->n; i++)
        sizes[root_of(parent, i)]++;
    near->groups = near->removable = 0;
    near->largest = near->n ? 1 : 0;
    for (uint32_t i = 0; i < near->n; i++) {
        uint32_t root = root_of(parent, i);
        near->group[i] = sizes[root] < 2 ? 0 : root == i ? (uint32_t)++near->groups : near->group[root];
        if (root != i || sizes[i] < 2) continue;
        near->removable += sizes[i] - 1;
        near->largest = TS_MAX(near->largest, (size_t)sizes[i]);
    }
    free(sizes);
}

ts_status ts_apart_regroup(ts_store *st, const int64_t *ids, ts_near *near, ts_err *err) {
    struct pairs apart = {0};
    ts_status status = load_pairs(st, &apart, err);
    if (status == TS_OK && apart.n && near->list && near->n) {
        uint32_t *parent = ts_malloc(near->n * sizeof *parent);
        join(near, ids, &apart, parent);
        number_groups(near, parent);
        near->weakest = ts_realloc(near->weakest, (near->groups + 1) * sizeof *near->weakest);
        for (size_t g = 0; g <= near->groups; g++)
            near->weakest[g] = 1;
        for (uint64_t i = 0; i < near->pairs; i++) {
            float *w = &near->weakest[near->group[near->list[i].a]];
            *w = TS_MIN(*w, near->list[i].similarity);
        }
        free(parent);
    }
    free(apart.items);
    return status;
}

/* ---- deciding on groups ---- */

/* For later searches: of the group's rows this one is chosen and no other. */
static ts_status remember_keeper(ts_store *st, int64_t group, int64_t id, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, "DELETE FROM keeper WHERE id IN (SELECT id FROM dup WHERE grp=?1)", err);
    if (s) sqlite3_bind_int64(s, 1, group);
    TS_TRY(ts_db_step(st, s, "choose the row that stays", err));
    s = ts_db_stmt(st, "INSERT INTO keeper VALUES(?1)", err);
    if (s) sqlite3_bind_int64(s, 1, id);
    return ts_db_step(st, s, "choose the row that stays", err);
}

ts_status ts_dup_keeper(ts_store *st, int64_t group, int64_t id, ts_err *err) {
    TS_TRY(ts_db_begin(st, "choose the row that stays", err));
    sqlite3_stmt *s = ts_db_stmt(st,
                                 "UPDATE dup SET keep=(id=?2) WHERE grp=?1 AND EXISTS(SELECT 1 FROM dup WHERE grp=?1"
                                 " AND id=?2)",
                                 err);
    if (s) sqlite3_bind_int64(s, 1, group);
    if (s) sqlite3_bind_int64(s, 2, id);
    ts_status status = ts_db_step(st, s, "choose the row that stays", err);
    if (status == TS_OK && sqlite3_changes(st->db) == 0)
        status = ts_fail(err, TS_NOT_FOUND, "row %lld is no longer in duplicate group %lld; search again",
                         (long long)id, (long long)group);
    if (status == TS_OK) status = remember_keeper(st, group, id, err);
    if (status == TS_OK) return ts_db_commit(st, "choose the row that stays", err);
    ts_db_rollback(st);
    return status;
}

ts_status ts_dup_removable(ts_store *st, double least, int64_t **ids, size_t *n, int64_t *groups, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(
        st,
        "WITH alive AS (SELECT d.id,d.grp,d.keep FROM dup d JOIN example e ON e.id=d.id"
        "  WHERE e.status<>2 AND e.batch NOT IN " TS_HIDDEN "),"
        " kept AS (SELECT a.id,a.grp FROM alive a JOIN dup_group g ON g.id=a.grp WHERE a.keep AND g.weakest>=?1)"
        " SELECT a.id,a.grp FROM alive a JOIN kept k ON k.grp=a.grp WHERE NOT a.keep"
        " AND NOT EXISTS(SELECT 1 FROM apart p WHERE p.a=min(a.id,k.id) AND p.b=max(a.id,k.id)) ORDER BY a.grp,a.id",
        err);
    size_t cap = 0;
    int64_t group = 0;
    int rc;
    *ids = NULL;
    *n = 0;
    *groups = 0;
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_double(s, 1, least - 1e-6); /* likenesses were single precision once */
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        TS_PUSH(*ids, *n, cap, sqlite3_column_int64(s, 0));
        *groups += sqlite3_column_int64(s, 1) != group;
        group = sqlite3_column_int64(s, 1);
    }
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? TS_OK : ts_db_fail(st, "look for what can be rejected", err);
}
