#include "dataset/dedupe.h"

#include "core/base/clock.h"
#include "dataset/apart.h"
#include "dataset/db.h"
#include "dataset/scan.h"
#include "dataset/vecnear.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

/* What choosing a keeper looks at. */
struct candidate {
    int64_t id;
    ts_row_status status;
    int rating;
    double score;
    size_t answer;
    bool chosen; /* by a person */
};

struct rows {
    ts_arena arenas[TS_SCAN_WORKERS]; /* the texts */
    ts_text *texts;
    struct candidate *info;
    size_t n;
    ts_dup_field field;
    struct piece {
        ts_text *texts;
        struct candidate *info;
        size_t n, cap, cap_info;
    } pieces[TS_SCAN_PIECES]; /* while they are read */
};

void ts_dup_text(const ts_row *row, ts_dup_field field, ts_buf *out) {
    if (field != TS_DUP_ANSWER) {
        ts_buf_add(out, row->instruction.s, row->instruction.n);
        ts_buf_putc(out, '\n'); /* so that the input's first line is a line of its own */
        ts_buf_add(out, row->input.s, row->input.n);
    }
    if (field == TS_DUP_BOTH) ts_buf_putc(out, '\n');
    if (field != TS_DUP_PROMPT) ts_buf_add(out, row->output.s, row->output.n);
}

/* What ts_dup_text makes, straight from the statement's columns into the arena. */
static ts_text text_of(sqlite3_stmt *s, int column, ts_dup_field field, ts_arena *arena) {
    ts_text part[3];
    size_t n = 0, total = 0;
    char *text, *p;
    if (field != TS_DUP_ANSWER) part[n++] = ts_db_text(s, column);
    if (field != TS_DUP_ANSWER) part[n++] = ts_db_text(s, column + 1);
    if (field != TS_DUP_PROMPT) part[n++] = ts_db_text(s, column + 2);
    for (size_t i = 0; i < n; i++)
        total += part[i].n + (i > 0);
    text = p = ts_arena_alloc(arena, total + 1);
    for (size_t i = 0; i < n; i++) {
        if (i) *p++ = '\n';
        if (part[i].n) memcpy(p, part[i].s, part[i].n);
        p += part[i].n;
    }
    *p = 0;
    return (ts_text){text, total};
}

static ts_status take_row(void *ctx, int worker, size_t piece, sqlite3_stmt *s, ts_err *err) {
    struct rows *r = ctx;
    struct piece *p = &r->pieces[piece];
    struct candidate c = {sqlite3_column_int64(s, 0), (ts_row_status)(sqlite3_column_int(s, 1) & 3),
                          sqlite3_column_int(s, 2),   sqlite3_column_double(s, 3),
                          ts_db_text(s, 6).n,         sqlite3_column_int(s, 7) != 0};
    (void)err;
    TS_GROW(p->info, p->cap_info, p->n + 1);
    p->info[p->n] = c;
    TS_PUSH(p->texts, p->n, p->cap, text_of(s, 4, r->field, &r->arenas[worker]));
    return TS_OK;
}

static const char rows_sql[] =
    "SELECT e.id,e.status,e.rating,m.score,b.instruction,b.input,b.output,e.id IN (SELECT id FROM keeper) FROM example "
    "e JOIN body b ON b.id=e.id"
    " LEFT JOIN metric m ON m.id=e.id WHERE e.batch NOT IN " TS_HIDDEN " AND e.status<>2" /* TS_REJECTED */
    " AND e.id>=:first AND e.id<:last ORDER BY e.id";

static ts_status load_rows(struct rows *r, ts_store *st, ts_dup_field field, ts_progress *progress, ts_err *err) {
    const ts_scan scan = {.sql = rows_sql, .row = take_row, .ctx = r};
    size_t n = 0;
    r->field = field;
    ts_status status = ts_scan_rows(st, &scan, progress, err);
    for (size_t i = 0; i < TS_SCAN_PIECES; i++)
        n += r->pieces[i].n;
    r->texts = ts_malloc(TS_MAX(n, 1) * sizeof *r->texts);
    r->info = ts_malloc(TS_MAX(n, 1) * sizeof *r->info);
    for (size_t i = 0; i < TS_SCAN_PIECES; i++) {
        struct piece *p = &r->pieces[i];
        if (p->n) memcpy(r->texts + r->n, p->texts, p->n * sizeof *p->texts);
        if (p->n) memcpy(r->info + r->n, p->info, p->n * sizeof *p->info);
        r->n += p->n;
        free(p->texts);
        free(p->info);
    }
    if (status == TS_CANCELLED) return ts_fail(err, TS_CANCELLED, "the search for duplicates was stopped");
    return status;
}

static void release_rows(struct rows *r) {
    for (size_t i = 0; i < TS_SCAN_WORKERS; i++)
        ts_arena_release(&r->arenas[i]);
    free(r->texts);
    free(r->info);
}

/* ---- who stays ---- */

static bool better(const struct candidate *a, const struct candidate *b, ts_dup_keep keep) {
    if (a->chosen != b->chosen) return a->chosen;
    double x = a->score == a->score ? a->score : 0, y = b->score == b->score ? b->score : 0;
    if (keep == TS_KEEP_BEST) {
        if ((a->status == TS_ACCEPTED) != (b->status == TS_ACCEPTED)) return a->status == TS_ACCEPTED;
        if (a->rating != b->rating) return a->rating > b->rating;
        if (x != y) return x > y;
    }
    if (keep != TS_KEEP_FIRST && a->answer != b->answer) return a->answer > b->answer;
    return a->id < b->id;
}

/* Index of the row to keep, by group. The caller frees. */
static uint32_t *choose_keepers(const struct rows *r, const ts_near *near, ts_dup_keep keep) {
    uint32_t *best = ts_malloc((near->groups + 1) * sizeof *best);
    memset(best, 0xff, (near->groups + 1) * sizeof *best);
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t g = near->group[i];
        if (g && (best[g] == UINT32_MAX || better(&r->info[i], &r->info[best[g]], keep))) best[g] = i;
    }
    return best;
}

/* ---- keeping the groups ---- */

static ts_status write_members(ts_store *st, const struct rows *r, const ts_near *near, const uint32_t *keepers,
                               int64_t *sizes, ts_err *err) {
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t g = near->group[i];
        if (!g) continue;
        sqlite3_stmt *s = ts_db_stmt(st, "INSERT OR REPLACE INTO dup VALUES(?1,?2,?3,?4)", err);
        if (s) {
            sqlite3_bind_int64(s, 1, r->info[i].id);
            sqlite3_bind_int64(s, 2, g);
            sqlite3_bind_double(s, 3, near->best[i]);
            sqlite3_bind_int(s, 4, keepers[g] == i);
        }
        TS_TRY(ts_db_step(st, s, "keep the duplicates", err));
        sizes[g]++;
    }
    return TS_OK;
}

static ts_status write_groups(ts_store *st, const struct rows *r, const ts_near *near, const uint32_t *keepers,
                              ts_err *err) {
    int64_t *sizes = ts_calloc(near->groups + 1, sizeof *sizes);
    ts_status status;
    TS_GOTO(ts_db_begin(st, "keep the duplicates", err));
    TS_GOTO(ts_db_run(st, "DELETE FROM dup; DELETE FROM dup_group", "keep the duplicates", err));
    TS_GOTO(write_members(st, r, near, keepers, sizes, err));
    for (size_t g = 1; g <= near->groups; g++) {
        sqlite3_stmt *s = ts_db_stmt(st, "INSERT INTO dup_group VALUES(?1,?2,?3)", err);
        if (s) {
            sqlite3_bind_int64(s, 1, (int64_t)g);
            sqlite3_bind_int64(s, 2, sizes[g]);
            sqlite3_bind_double(s, 3, near->weakest[g]);
        }
        TS_GOTO(ts_db_step(st, s, "keep the duplicates", err));
    }
    status = ts_db_commit(st, "keep the duplicates", err);
out:
    if (status != TS_OK) ts_db_rollback(st);
    free(sizes);
    return status;
}

static ts_status reject_others(ts_store *st, const struct rows *r, const ts_near *near, const uint32_t *keepers,
                               ts_done *done, ts_err *err) {
    int64_t *ids = ts_malloc(TS_MAX(r->n, 1) * sizeof *ids);
    size_t n = 0;
    for (uint32_t i = 0; i < r->n; i++)
        if (near->group[i] && keepers[near->group[i]] != i) ids[n++] = r->info[i].id;
    ts_status status = ts_rows_set_status(st, ids, n, TS_REJECTED, done, err);
    free(ids);
    return status;
}

static ts_status leave_out_apart(ts_store *st, const struct rows *r, ts_near *near, ts_err *err) {
    int64_t *ids = ts_malloc(TS_MAX(r->n, 1) * sizeof *ids);
    for (size_t i = 0; i < r->n; i++)
        ids[i] = r->info[i].id;
    ts_status status = ts_apart_regroup(st, ids, near, err);
    free(ids);
    return status;
}

static ts_status find_near(const ts_dedupe_options *options, const struct rows *rows, const ts_near_options *how,
                           ts_progress *progress, ts_near *near, ts_err *err) {
    float *vectors = NULL;
    size_t dims = 0;
    if (!options->vectors) return ts_near_find(rows->texts, rows->n, how, progress, near, err);
    if (rows->n > TS_VECNEAR_MOST)
        return ts_fail(err, TS_LIMIT, "%zu rows are too many to be compared by meaning; %d are the most", rows->n,
                       TS_VECNEAR_MOST);
    TS_TRY(options->vectors(options->vectors_ctx, rows->texts, rows->n, &vectors, &dims, progress, err));
    ts_progress_what(progress, "comparing");
    ts_status status = ts_near_of_vectors(vectors, rows->n, dims, how, progress, near, err);
    free(vectors);
    return status;
}

ts_status ts_dedupe(ts_store *st, const ts_dedupe_options *options, ts_progress *progress,
                    void (*pair)(void *ctx, int64_t a, int64_t b, double similarity), void *ctx, ts_dedupe_report *out,
                    ts_err *err) {
    struct rows rows = {0};
    ts_near near = {0};
    uint32_t *keepers = NULL;
    double start = ts_now();
    ts_status status;
    *out = (ts_dedupe_report){0};
    ts_progress_what(progress, "reading");
    TS_GOTO(load_rows(&rows, st, options->field, progress, err));
    ts_near_options how = options->near;
    bool apart = ts_apart_any(st);
    how.keep_pairs |= apart;
    TS_GOTO(find_near(options, &rows, &how, progress, &near, err));
    if (apart) TS_GOTO(leave_out_apart(st, &rows, &near, err));
    keepers = choose_keepers(&rows, &near, options->keep);
    out->rows = (int64_t)rows.n;
    out->groups = (int64_t)near.groups;
    out->pairs = (int64_t)near.pairs;
    out->removable = (int64_t)near.removable;
    out->largest = (int64_t)near.largest;
    out->lines_skipped = (int64_t)near.lines_skipped;
    out->search = near.search;
    out->recall = near.recall;
    out->uncompared = (int64_t)near.uncompared;
    if (!ts_store_read_only(st)) TS_GOTO(write_groups(st, &rows, &near, keepers, err));
    if (options->apply) TS_GOTO(reject_others(st, &rows, &near, keepers, &out->done, err));
    out->seconds = ts_now() - start;
    for (uint64_t i = 0; pair && near.list && i < near.pairs; i++)
        pair(ctx, rows.info[near.list[i].a].id, rows.info[near.list[i].b].id, near.list[i].similarity);
out:
    free(keepers);
    ts_near_release(&near);
    release_rows(&rows);
    return status;
}

/* The first row of an import; ids rise, so all rows before it were there. */
static int64_t first_of_step(ts_store *st, int64_t step) {
    sqlite3_stmt *s =
        ts_db_stmt(st, "SELECT min(e.id) FROM example e JOIN batch t ON t.id=e.batch WHERE t.step=?1", NULL);
    int64_t first = INT64_MAX;
    if (!s) return first;
    sqlite3_bind_int64(s, 1, step);
    if (sqlite3_step(s) == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL) first = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return first;
}

ts_status ts_dup_count_new(ts_store *st, int64_t step, ts_progress *progress, int64_t *count, ts_err *err) {
    struct rows rows = {0};
    ts_near near = {0};
    ts_near_options how = TS_NEAR_DEFAULTS;
    ts_status status;
    int64_t first = first_of_step(st, step);
    *count = 0;
    ts_progress_what(progress, "reading");
    TS_GOTO(load_rows(&rows, st, TS_DUP_PROMPT, progress, err));
    while (how.old < rows.n && rows.info[how.old].id < first)
        how.old++;
    if (how.old && how.old < rows.n) TS_GOTO(ts_near_find(rows.texts, rows.n, &how, progress, &near, err));
    *count = (int64_t)near.like_old;
out:
    ts_near_release(&near);
    release_rows(&rows);
    return status;
}

/* ---- reading the groups ---- */

ts_status ts_dup_groups(ts_store *st, ts_dup_group **out, size_t *n, ts_arena *arena, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT id,rows,weakest FROM dup_group ORDER BY id", err);
    int64_t count = ts_db_int(st, "SELECT count(*) FROM dup_group", 0);
    if (!s) return err ? err->code : TS_IO;
    *out = ts_arena_alloc(arena, (size_t)TS_MAX(count, 1) * sizeof **out);
    for (*n = 0; *n < (size_t)count && sqlite3_step(s) == SQLITE_ROW; (*n)++)
        (*out)[*n] =
            (ts_dup_group){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), sqlite3_column_double(s, 2)};
    sqlite3_reset(s);
    return TS_OK;
}

ts_status ts_dup_members(ts_store *st, int64_t group, ts_dup_member **out, size_t *n, ts_arena *arena, ts_err *err) {
    sqlite3_stmt *s =
        ts_db_stmt(st,
                   "WITH g AS MATERIALIZED (SELECT id,similarity,keep FROM dup WHERE grp=?1)"
                   " SELECT id,similarity,keep,(SELECT count(*) FROM apart WHERE a=g.id AND b IN (SELECT id FROM g))"
                   "+(SELECT count(*) FROM apart WHERE b=g.id AND a IN (SELECT id FROM g)) FROM g"
                   " ORDER BY keep DESC, id",
                   err);
    ts_dup_member *list = NULL;
    int64_t *apart = NULL;
    size_t cap = 0, n_apart = 0, cap_apart = 0;
    if (!s) return err ? err->code : TS_IO;
    *n = 0;
    sqlite3_bind_int64(s, 1, group);
    while (sqlite3_step(s) == SQLITE_ROW) {
        ts_dup_member m = {sqlite3_column_int64(s, 0), sqlite3_column_double(s, 1), sqlite3_column_int(s, 2),
                           sqlite3_column_int64(s, 3) > 0};
        TS_PUSH(list, *n, cap, m);
        TS_PUSH(apart, n_apart, cap_apart, sqlite3_column_int64(s, 3));
    }
    sqlite3_reset(s);
    for (size_t i = 0; i < *n; i++)
        list[i].apart = *n > 1 && apart[i] == (int64_t)*n - 1;
    free(apart);
    *out = ts_arena_alloc(arena, TS_MAX(*n, 1) * sizeof **out);
    if (*n) memcpy(*out, list, *n * sizeof **out);
    free(list);
    return TS_OK;
}
