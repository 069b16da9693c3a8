#include "dataset/stats.h"

#include "core/base/file.h"
#include "dataset/db.h"
#include "dataset/jsontext.h"
#include "dataset/language.h"
#include "dataset/score.h"
#include "dataset/view.h"

#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 256, MOST_LANGUAGES = 64 };

struct values {
    uint32_t *items;
    size_t n, cap;
};

struct counting {
    ts_store *st;
    ts_arena *arena;
    ts_stats *out;
    struct values prompts, answers, tokens, turns;
    int64_t languages[MOST_LANGUAGES + 1]; /* the last: could not be told */
    size_t cap_tags, cap_origins;
    ts_named_count *tags;
    ts_origin *origins;
    ts_words words;
};

static uint32_t characters(ts_text t) {
    uint32_t n = 0;
    for (size_t i = 0; i < t.n; i++)
        n += ((unsigned char)t.s[i] & 0xc0) != 0x80;
    return n;
}

static void push(struct values *v, int64_t value) {
    TS_PUSH(v->items, v->n, v->cap, (uint32_t)TS_MIN(value, (int64_t)UINT32_MAX));
}

static void count_tags(struct counting *c, const char *tags) {
    ts_stats *o = c->out;
    while (*tags) {
        size_t len = strcspn(tags, " "), i = 0;
        while (i < o->n_tags && !(strlen(c->tags[i].name) == len && memcmp(c->tags[i].name, tags, len) == 0))
            i++;
        if (i == o->n_tags && i < TS_STATS_TAGS) {
            ts_named_count made = {ts_arena_strndup(c->arena, tags, len), 0};
            TS_PUSH(c->tags, o->n_tags, c->cap_tags, made);
        }
        if (i < o->n_tags) c->tags[i].rows++;
        tags += len + (tags[len] == ' ');
    }
}

static ts_status read_origin(struct counting *c, ts_origin *origin, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(c->st, "SELECT path,format,rows_read,rejected,at FROM batch WHERE id=?1", err);
    if (!s) return err ? err->code : TS_IO;
    origin->path = origin->format = "";
    sqlite3_bind_int64(s, 1, origin->batch);
    if (origin->batch && sqlite3_step(s) == SQLITE_ROW) {
        origin->path = ts_db_copy(s, 0, c->arena);
        origin->format = ts_db_copy(s, 1, c->arena);
        origin->read = sqlite3_column_int64(s, 2);
        origin->rejected = sqlite3_column_int64(s, 3);
        origin->at_ms = sqlite3_column_int64(s, 4);
    }
    sqlite3_reset(s);
    return TS_OK;
}

static ts_status count_origin(struct counting *c, int64_t id, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(c->st, "SELECT batch FROM example WHERE id=?1", err);
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_int64(s, 1, id);
    int64_t batch = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_reset(s);
    size_t i = c->out->n_origins; /* rows of one import stand together: look from the end */
    while (i > 0 && c->origins[i - 1].batch != batch)
        i--;
    if (i == 0) {
        ts_origin made = {.batch = batch};
        TS_TRY(read_origin(c, &made, err));
        TS_PUSH(c->origins, c->out->n_origins, c->cap_origins, made);
        i = c->out->n_origins;
    }
    c->origins[i - 1].rows++;
    return TS_OK;
}

static int64_t count_turns(const ts_row *row) {
    int64_t n = 0;
    ts_jview at = {0}, m, all = ts_jview_of(row->messages.s, row->messages.n);
    while (ts_jview_next(all, &at, NULL, &m))
        n += ts_jview_equals(ts_jview_get(m, "role"), "assistant");
    return n;
}

static ts_status count_scores(struct counting *c, const ts_row *row, ts_arena *arena, ts_err *err) {
    ts_rule_value *values;
    size_t n;
    if (!(row->score >= 0)) return TS_OK;
    c->out->scored++;
    c->out->score += row->score;
    TS_TRY(ts_row_scores(c->st, row->id, &values, &n, arena, err));
    for (size_t i = 0; i < n; i++) {
        size_t rule = ts_rule_find(values[i].rule, strlen(values[i].rule));
        if (rule < TS_COUNT(c->out->hits) && rule < ts_rule_count()) c->out->hits[rule] += !values[i].dismissed;
    }
    return TS_OK;
}

static ts_status count_row(struct counting *c, const ts_row *row, ts_arena *arena, ts_err *err) {
    ts_stats *o = c->out;
    int language = ts_language_of(row->output.s, row->output.n, &c->words);
    TS_TRY(count_origin(c, row->id, err));
    push(&c->prompts, (int64_t)characters(row->instruction) + characters(row->input));
    push(&c->answers, characters(row->output));
    push(&c->turns, row->shape == TS_MESSAGES ? count_turns(row) : 1);
    if (row->tokens >= 0) push(&c->tokens, row->tokens);
    o->rows++;
    o->conversations += row->shape == TS_MESSAGES;
    o->by_status[row->status]++;
    o->rated[row->rating]++;
    o->in_groups += row->dup != 0;
    c->languages[language >= 0 && language < MOST_LANGUAGES ? language : MOST_LANGUAGES]++;
    count_tags(c, row->tags);
    return count_scores(c, row, arena, err);
}

static ts_status count_rows(struct counting *c, const ts_view *v, ts_progress *progress, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_row *rows = ts_malloc(PIECE * sizeof *rows);
    size_t n = ts_view_count(v);
    ts_status status = TS_OK;
    for (size_t i = 0; i < n && status == TS_OK; i += PIECE) {
        size_t m = TS_MIN((size_t)PIECE, n - i);
        ts_arena_reset(&arena);
        status = ts_rows_read(c->st, ts_view_ids(v) + i, m, rows, &arena, err);
        for (size_t k = 0; k < m && status == TS_OK; k++)
            if (!rows[k].gone) status = count_row(c, &rows[k], &arena, err);
        ts_progress_set(progress, (int64_t)(i + m), (int64_t)n);
        if (status == TS_OK && ts_cancelled(progress)) status = ts_fail(err, TS_CANCELLED, "stopped");
    }
    free(rows);
    ts_arena_release(&arena);
    return status;
}

/* ---- from the counts to the result ---- */

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static ts_spread spread_of(struct values *v) {
    ts_spread s = {.n = (int64_t)v->n};
    if (!v->n) return s;
    size_t last = v->n - 1;
    const uint32_t *x = v->items;
    qsort(v->items, v->n, sizeof *v->items, by_value);
    for (size_t i = 0; i < v->n; i++)
        s.sum += x[i];
    s.least = x[0];
    s.p10 = x[last / 10];
    s.p50 = x[last / 2];
    s.p90 = x[last * 9 / 10];
    s.p99 = x[last * 99 / 100];
    s.most = x[last];
    return s;
}

static int most_first(const void *a, const void *b) {
    const ts_named_count *x = a, *y = b;
    if (x->rows != y->rows) return x->rows > y->rows ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void hand_over(struct counting *c) {
    ts_stats *o = c->out;
    o->score = o->scored ? o->score / (double)o->scored : NAN;
    o->prompt = spread_of(&c->prompts);
    o->answer = spread_of(&c->answers);
    o->tokens = spread_of(&c->tokens);
    o->turns = spread_of(&c->turns);
    o->languages = ts_arena_alloc(c->arena, (MOST_LANGUAGES + 1) * sizeof *o->languages);
    for (int i = 0; i <= MOST_LANGUAGES; i++)
        if (c->languages[i])
            o->languages[o->n_languages++] =
                (ts_named_count){ts_language_name(i < MOST_LANGUAGES ? i : -1), c->languages[i]};
    if (o->n_languages) qsort(o->languages, o->n_languages, sizeof *o->languages, most_first);
    o->tags = ts_arena_alloc(c->arena, TS_MAX(o->n_tags, (size_t)1) * sizeof *o->tags);
    if (o->n_tags) memcpy(o->tags, c->tags, o->n_tags * sizeof *o->tags);
    o->origins = ts_arena_alloc(c->arena, TS_MAX(o->n_origins, (size_t)1) * sizeof *o->origins);
    if (o->n_origins) memcpy(o->origins, c->origins, o->n_origins * sizeof *o->origins);
}

ts_status ts_stats_make(ts_store *st, const char *where, ts_progress *progress, ts_stats *out, ts_arena *arena,
                        ts_err *err) {
    struct counting c = {.st = st, .arena = arena, .out = out};
    ts_view *v = NULL;
    ts_status status;
    *out = (ts_stats){0};
    ts_progress_what(progress, "counting");
    TS_GOTO(ts_view_new(&v, st, where, NULL, NULL, NULL, err));
    TS_GOTO(count_rows(&c, v, progress, err));
    hand_over(&c);
out:
    free(c.prompts.items);
    free(c.answers.items);
    free(c.tokens.items);
    free(c.turns.items);
    free(c.tags);
    free(c.origins);
    ts_words_release(&c.words);
    ts_view_free(v);
    return status;
}
