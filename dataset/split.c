#include "dataset/split.h"

#include "core/base/rand.h"
#include "dataset/db.h"
#include "dataset/dedupe.h"

#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 256 };

/* Rows that must stay together, with their place in the draw. */
struct bundle {
    uint64_t draw;
    size_t rows, number;
    size_t last; /* of its rows, + 1; the others by splitting.before */
    bool out;
};

struct tag {
    const char *name; /* "" for rows without one */
    size_t rows, wanted;
};

struct splitting {
    const int64_t *ids;
    size_t n, wanted, n_out;
    double fraction;
    ts_arena arena;
    ts_text *prompts;
    const char **tags;                   /* of each row */
    size_t *bundle_of;                   /* each row's bundle, by number */
    size_t *before;                      /* the row before it in its bundle, + 1; 0: none */
    struct bundle **by_number, *bundles; /* in the order of the draw */
    size_t n_bundles;
    struct tag *all_tags;
    size_t n_tags, cap_tags;
};

/* ---- reading ---- */

static ts_status read_rows(struct splitting *s, ts_store *st, ts_progress *progress, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_buf text = TS_BUF_INIT;
    ts_row *rows = ts_malloc(PIECE * sizeof *rows);
    ts_status status = TS_OK;
    for (size_t i = 0; i < s->n && status == TS_OK; i += PIECE) {
        size_t m = TS_MIN((size_t)PIECE, s->n - i);
        ts_arena_reset(&arena);
        status = ts_rows_read(st, s->ids + i, m, rows, &arena, err);
        for (size_t k = 0; k < m && status == TS_OK; k++) {
            ts_buf_reset(&text);
            if (!rows[k].gone) ts_dup_text(&rows[k], TS_DUP_PROMPT, &text);
            s->prompts[i + k] = (ts_text){ts_arena_strndup(&s->arena, ts_buf_str(&text), text.len), text.len};
            s->tags[i + k] = *rows[k].tags ? ts_arena_strndup(&s->arena, rows[k].tags, strlen(rows[k].tags)) : "";
        }
        ts_progress_set(progress, (int64_t)(i + m), (int64_t)s->n);
        if (status == TS_OK && ts_cancelled(progress))
            status = ts_fail(err, TS_CANCELLED, "stopped; nothing was written");
    }
    free(rows);
    ts_buf_release(&text);
    ts_arena_release(&arena);
    return status;
}

/* ---- bundles ---- */

static int by_draw(const void *a, const void *b) {
    const struct bundle *x = a, *y = b;
    if (x->draw != y->draw) return x->draw < y->draw ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static void make_bundles(struct splitting *s, const ts_near *near, uint64_t seed) {
    size_t *of_group = ts_calloc(near->groups + 1, sizeof *of_group), n = 0;
    for (size_t i = 0; i < s->n; i++) {
        uint32_t g = near->group[i];
        if (g && of_group[g]) {
            s->bundle_of[i] = of_group[g] - 1;
        } else {
            s->bundles[n] = (struct bundle){.draw = ts_rand_mix(seed, (uint64_t)s->ids[i]), .number = n};
            s->bundle_of[i] = n++;
            if (g) of_group[g] = n;
        }
        struct bundle *b = &s->bundles[s->bundle_of[i]];
        b->rows++;
        s->before[i] = b->last;
        b->last = i + 1;
    }
    s->n_bundles = n;
    qsort(s->bundles, n, sizeof *s->bundles, by_draw);
    for (size_t b = 0; b < n; b++)
        s->by_number[s->bundles[b].number] = &s->bundles[b];
    free(of_group);
}

/* ---- tags ---- */

/* The next tag of a row from *p on ("" once for a row without any); false at the end. */
static bool next_tag(const char **p, const char **tag, size_t *n) {
    if (!*p) return false;
    *tag = *p;
    *n = strcspn(*p, " ");
    *p = (*p)[*n] ? *p + *n + 1 : NULL;
    return true;
}

static bool has_tag(const char *tags, const char *name) {
    const char *tag;
    size_t n;
    while (next_tag(&tags, &tag, &n))
        if (strlen(name) == n && memcmp(name, tag, n) == 0) return true;
    return false;
}

static struct tag *find_tag(struct splitting *s, const char *tag, size_t n) {
    for (size_t i = 0; i < s->n_tags; i++)
        if (strlen(s->all_tags[i].name) == n && memcmp(s->all_tags[i].name, tag, n) == 0) return &s->all_tags[i];
    struct tag made = {ts_arena_strndup(&s->arena, tag, n), 0, 0};
    TS_PUSH(s->all_tags, s->n_tags, s->cap_tags, made);
    return &s->all_tags[s->n_tags - 1];
}

static int rarest_first(const void *a, const void *b) {
    const struct tag *x = a, *y = b;
    if (x->rows != y->rows) return x->rows < y->rows ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void count_tags(struct splitting *s) {
    for (size_t i = 0; i < s->n; i++) {
        const char *p = s->tags[i], *tag;
        size_t n;
        while (next_tag(&p, &tag, &n))
            find_tag(s, tag, n)->rows++;
    }
    qsort(s->all_tags, s->n_tags, sizeof *s->all_tags, rarest_first);
    for (size_t t = 0; t < s->n_tags; t++)
        s->all_tags[t].wanted = (size_t)llround(s->fraction * (double)s->all_tags[t].rows);
}

/* ---- choosing ---- */

/* Holds a bundle out; the tags of its rows want so much less. */
static void take(struct splitting *s, struct bundle *b) {
    b->out = true;
    s->n_out += b->rows;
    for (size_t i = b->last; i; i = s->before[i - 1]) {
        const char *p = s->tags[i - 1], *tag;
        size_t n;
        while (next_tag(&p, &tag, &n)) {
            struct tag *t = find_tag(s, tag, n);
            t->wanted -= t->wanted > 0;
        }
    }
}

/* Does no tag of its rows have its share already? */
static bool is_wanted(struct splitting *s, const struct bundle *b) {
    for (size_t i = b->last; i; i = s->before[i - 1]) {
        const char *p = s->tags[i - 1], *tag;
        size_t n;
        while (next_tag(&p, &tag, &n))
            if (!find_tag(s, tag, n)->wanted) return false;
    }
    return true;
}

/* What a tag still wants, out of the bundles with a row that has it, in the order of the draw; those first that no
 * other tag has enough of. */
static void hold_out_tag(struct splitting *s, const struct tag *t) {
    if (!t->wanted) return;
    bool *has = ts_calloc(s->n_bundles, sizeof *has);
    for (size_t i = 0; i < s->n; i++)
        if (has_tag(s->tags[i], t->name)) has[s->bundle_of[i]] = true;
    for (int pass = 0; pass < 2; pass++)
        for (size_t b = 0; b < s->n_bundles && t->wanted; b++) {
            struct bundle *at = &s->bundles[b];
            if (at->out || !has[at->number] || at->rows > t->wanted || s->n_out + at->rows > s->wanted) continue;
            if (pass || is_wanted(s, at)) take(s, at);
        }
    free(has);
}

static void hold_out(struct splitting *s) {
    s->wanted = TS_MIN(TS_MAX((size_t)llround(s->fraction * (double)s->n), (size_t)1), s->n - 1);
    for (size_t t = 0; t < s->n_tags && s->n_tags > 1; t++)
        hold_out_tag(s, &s->all_tags[t]);
    for (size_t b = 0; b < s->n_bundles && s->n_out < s->wanted; b++) { /* what rounding left open */
        struct bundle *at = &s->bundles[b];
        if (at->out || s->n_out + at->rows > s->wanted) continue;
        at->out = true;
        s->n_out += at->rows;
    }
}

ts_status ts_split_rows(ts_store *st, const int64_t *ids, size_t n, double fraction, uint64_t seed,
                        ts_progress *progress, bool *held_out, size_t *n_held_out, ts_err *err) {
    struct splitting s = {.ids = ids, .n = n, .fraction = fraction, .arena = TS_ARENA_INIT};
    ts_near_options options = TS_NEAR_DEFAULTS;
    ts_near near;
    ts_status status;
    *n_held_out = 0;
    memset(held_out, 0, n * sizeof *held_out);
    if (!(fraction > 0) || n < 2) return TS_OK;
    s.prompts = ts_calloc(n, sizeof *s.prompts);
    s.tags = ts_calloc(n, sizeof *s.tags);
    s.bundle_of = ts_calloc(n, sizeof *s.bundle_of);
    s.before = ts_calloc(n, sizeof *s.before);
    s.bundles = ts_calloc(n, sizeof *s.bundles);
    s.by_number = ts_calloc(n, sizeof *s.by_number);
    TS_GOTO(read_rows(&s, st, progress, err));
    TS_GOTO(ts_near_find(s.prompts, n, &options, progress, &near, err));
    make_bundles(&s, &near, seed);
    ts_near_release(&near);
    count_tags(&s);
    hold_out(&s);
    for (size_t i = 0; i < n; i++)
        held_out[i] = s.by_number[s.bundle_of[i]]->out;
    *n_held_out = s.n_out;
out:
    free(s.prompts);
    free(s.tags);
    free(s.bundle_of);
    free(s.before);
    free(s.bundles);
    free(s.by_number);
    free(s.all_tags);
    ts_arena_release(&s.arena);
    return status;
}

ts_status ts_split_keep(ts_store *st, const int64_t *ids, size_t n, const bool *held_out, ts_err *err) {
    ts_status status;
    if (ts_store_read_only(st)) return TS_OK;
    TS_TRY(ts_db_begin(st, "note the split", err));
    TS_GOTO(ts_db_run(st, "UPDATE metric SET split=NULL WHERE split IS NOT NULL", "note the split", err));
    for (size_t i = 0; i < n; i++) {
        sqlite3_stmt *s = ts_db_stmt(st,
                                     "INSERT INTO metric(id,split) VALUES(?1,?2)"
                                     " ON CONFLICT(id) DO UPDATE SET split=?2",
                                     err);
        if (s) sqlite3_bind_int64(s, 1, ids[i]);
        if (s) sqlite3_bind_int(s, 2, held_out[i]);
        TS_GOTO(ts_db_step(st, s, "note the split", err));
    }
    status = ts_db_commit(st, "note the split", err);
out:
    if (status != TS_OK) ts_db_rollback(st);
    return status;
}
