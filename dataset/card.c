#include "dataset/card.h"

#include "core/base/file.h"
#include "dataset/db.h"
#include "dataset/history.h"
#include "dataset/score.h"
#include "dataset/view.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PIECE = 256, MOST_STEPS = 50, MOST_TAGS = 200 };

struct tag {
    char name[72];
    int64_t rows;
};

struct card {
    ts_store *st;
    int64_t rows, conversations, by_status[TS_ROW_STATUSES], rated[6], in_groups, scored;
    int64_t hits[64]; /* rows by rule with a finding */
    double score;
    uint32_t *lengths[2]; /* characters of prompt and answer, a value per row */
    uint32_t *tokens;     /* of the rows that have them */
    size_t n_tokens;
    int64_t tokens_sum;
    struct tag *tags;
    size_t n_tags, cap_tags;
    struct source {
        int64_t batch, rows;
    } * sources;
    size_t n_sources, cap_sources;
};

/* ---- counting ---- */

static uint32_t characters(ts_text t) {
    uint32_t n = 0;
    for (size_t i = 0; i < t.n; i++)
        n += ((unsigned char)t.s[i] & 0xc0) != 0x80;
    return n;
}

static void count_tags(struct card *c, const char *tags) {
    while (*tags) {
        size_t len = strcspn(tags, " "), i = 0;
        while (i < c->n_tags && !(strlen(c->tags[i].name) == len && memcmp(c->tags[i].name, tags, len) == 0))
            i++;
        if (i == c->n_tags && i < MOST_TAGS) {
            struct tag t = {"", 0};
            snprintf(t.name, sizeof t.name, "%.*s", (int)len, tags);
            TS_PUSH(c->tags, c->n_tags, c->cap_tags, t);
        }
        if (i < c->n_tags) c->tags[i].rows++;
        tags += len + (tags[len] == ' ');
    }
}

static ts_status count_source(struct card *c, int64_t id, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(c->st, "SELECT batch FROM example WHERE id=?1", err);
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_int64(s, 1, id);
    int64_t batch = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_reset(s);
    size_t i = c->n_sources; /* rows of one import stand together: look from the end */
    while (i > 0 && c->sources[i - 1].batch != batch)
        i--;
    if (i == 0) {
        struct source made = {batch, 0};
        TS_PUSH(c->sources, c->n_sources, c->cap_sources, made);
        i = c->n_sources;
    }
    c->sources[i - 1].rows++;
    return TS_OK;
}

static ts_status count_row(struct card *c, const ts_row *row, ts_arena *arena, ts_err *err) {
    ts_rule_value *values;
    size_t n;
    TS_TRY(count_source(c, row->id, err));
    c->lengths[0][c->rows] = characters(row->instruction) + characters(row->input);
    c->lengths[1][c->rows] = characters(row->output);
    c->rows++;
    c->conversations += row->shape == TS_MESSAGES;
    c->by_status[row->status]++;
    c->rated[row->rating]++;
    c->in_groups += row->dup != 0;
    count_tags(c, row->tags);
    if (row->tokens >= 0) {
        c->tokens[c->n_tokens++] = (uint32_t)TS_MIN(row->tokens, (int64_t)UINT32_MAX);
        c->tokens_sum += row->tokens;
    }
    if (!(row->score >= 0)) return TS_OK;
    c->scored++;
    c->score += row->score;
    TS_TRY(ts_row_scores(c->st, row->id, &values, &n, arena, err));
    for (size_t i = 0; i < n; i++) {
        size_t rule = ts_rule_find(values[i].rule, strlen(values[i].rule));
        if (rule < TS_COUNT(c->hits) && rule < ts_rule_count()) c->hits[rule] += !values[i].dismissed;
    }
    return TS_OK;
}

static ts_status count_rows(struct card *c, const ts_view *v, ts_progress *progress, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_row rows[PIECE];
    size_t n = ts_view_count(v);
    ts_status status = TS_OK;
    c->lengths[0] = ts_calloc(n + 1, sizeof(uint32_t));
    c->lengths[1] = ts_calloc(n + 1, sizeof(uint32_t));
    c->tokens = ts_calloc(n + 1, sizeof(uint32_t));
    for (size_t i = 0; i < n && status == TS_OK; i += PIECE) {
        size_t m = TS_MIN((size_t)PIECE, n - i);
        ts_arena_reset(&arena);
        status = ts_rows_read(c->st, ts_view_ids(v) + i, m, rows, &arena, err);
        for (size_t k = 0; k < m && status == TS_OK; k++)
            if (!rows[k].gone) status = count_row(c, &rows[k], &arena, err);
        ts_progress_set(progress, (int64_t)(i + m), (int64_t)n);
        if (status == TS_OK && ts_cancelled(progress)) status = ts_fail(err, TS_CANCELLED, "stopped");
    }
    ts_arena_release(&arena);
    return status;
}

/* ---- writing; text from data is one line of plain Markdown ---- */

static void put_cell(ts_buf *out, const char *s) {
    for (; *s; s++) {
        if (strchr("|`*_<>[]#\\", *s)) ts_buf_putc(out, '\\');
        ts_buf_putc(out, (unsigned char)*s < 0x20 || *s == 0x7f ? ' ' : *s);
    }
}

static void put_date(ts_buf *out, int64_t at_ms) {
    time_t t = (time_t)(at_ms / 1000);
    struct tm tm;
    char text[32] = "";
    if (gmtime_r(&t, &tm)) strftime(text, sizeof text, "%Y-%m-%d", &tm);
    ts_buf_puts(out, text);
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void put_spread(ts_buf *out, const char *what, uint32_t *v, size_t n) {
    if (!n) return;
    qsort(v, n, sizeof *v, by_value);
    ts_buf_printf(out, "| %s | %u | %u | %u | %u | %u |\n", what, v[0], v[(n - 1) / 10], v[(n - 1) / 2],
                  v[(n - 1) * 9 / 10], v[n - 1]);
}

static ts_status put_sources(const struct card *c, ts_buf *out, ts_err *err) {
    ts_buf_puts(out,
                "\n## Where the rows came from\n\n| file | read as | rows read | rejected | imported on | rows here |\n"
                "| --- | --- | ---: | ---: | --- | ---: |\n");
    for (size_t i = 0; i < c->n_sources; i++) {
        sqlite3_stmt *s = ts_db_stmt(c->st, "SELECT path,format,rows_read,rejected,at FROM batch WHERE id=?1", err);
        if (!s) return err ? err->code : TS_IO;
        sqlite3_bind_int64(s, 1, c->sources[i].batch);
        if (c->sources[i].batch && sqlite3_step(s) == SQLITE_ROW) {
            ts_buf_puts(out, "| ");
            put_cell(out, ts_path_base((const char *)sqlite3_column_text(s, 0)));
            ts_buf_printf(out, " | %s | %lld | %lld | ", (const char *)sqlite3_column_text(s, 1),
                          (long long)sqlite3_column_int64(s, 2), (long long)sqlite3_column_int64(s, 3));
            put_date(out, sqlite3_column_int64(s, 4));
        } else {
            ts_buf_puts(out, "| written by hand | | | |");
        }
        sqlite3_reset(s);
        ts_buf_printf(out, " | %lld |\n", (long long)c->sources[i].rows);
    }
    ts_buf_puts(out,
                "\nLicences: not known. The files say nothing of them; look them up where each file is from before "
                "passing this on.\n");
    return TS_OK;
}

static void put_counts(const struct card *c, ts_buf *out) {
    ts_buf_printf(out, "\n## What is in it\n\n- rows: %lld (%lld conversations, %lld of single texts)\n",
                  (long long)c->rows, (long long)c->conversations, (long long)(c->rows - c->conversations));
    for (int s = 0; s < TS_ROW_STATUSES; s++)
        ts_buf_printf(out, "- %s: %lld\n", ts_row_status_name((ts_row_status)s), (long long)c->by_status[s]);
    ts_buf_puts(out, "- ratings:");
    for (int r = 1; r <= 5; r++)
        ts_buf_printf(out, " %d: %lld%s", r, (long long)c->rated[r], r < 5 ? "," : "");
    ts_buf_printf(out, "; not rated: %lld\n- tags:", (long long)c->rated[0]);
    for (size_t i = 0; i < c->n_tags; i++) {
        ts_buf_puts(out, i ? ", " : " ");
        put_cell(out, c->tags[i].name);
        ts_buf_printf(out, ": %lld", (long long)c->tags[i].rows);
    }
    ts_buf_puts(out, c->n_tags ? "\n" : " none\n");
    if (c->n_tokens)
        ts_buf_printf(out, "- tokens: %lld in %zu rows%s\n", (long long)c->tokens_sum, c->n_tokens,
                      (int64_t)c->n_tokens < c->rows ? "; the other rows were not counted" : "");
    else
        ts_buf_puts(out, "- tokens: not counted\n");
    ts_buf_printf(out, "- rows in groups of duplicates, as they were last searched: %lld\n", (long long)c->in_groups);
    ts_buf_puts(out, "\n| length | least | 10 % | half | 90 % | most |\n| --- | ---: | ---: | ---: | ---: | ---: |\n");
    put_spread(out, "prompt, characters", c->lengths[0], (size_t)c->rows);
    put_spread(out, "answer, characters", c->lengths[1], (size_t)c->rows);
    put_spread(out, "tokens", c->tokens, c->n_tokens);
}

static void put_scores(const struct card *c, ts_buf *out) {
    ts_buf_puts(out, "\n## What the rules found\n\n");
    if (!c->scored) {
        ts_buf_puts(out, "The rows were not scored.\n");
        return;
    }
    ts_buf_printf(
        out, "%lld rows were scored; the mean is %.3f (1 is best).\n\n| rule | finds | rows |\n| --- | --- | ---: |\n",
        (long long)c->scored, c->score / (double)c->scored);
    for (size_t i = 0; i < ts_rule_count() && i < TS_COUNT(c->hits); i++)
        if (c->hits[i])
            ts_buf_printf(out, "| %s | %s | %lld |\n", ts_rules[i].name, ts_rules[i].finds, (long long)c->hits[i]);
}

static ts_status put_history(const struct card *c, ts_buf *out, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_step *steps;
    size_t n, done = 0, shown = 0;
    ts_status status = ts_history_list(c->st, 0, &steps, &n, &arena, err);
    ts_buf_puts(out, "\n## How it was made\n\n");
    for (size_t i = 0; i < n && status == TS_OK; i++)
        done += steps[i].state == TS_STEP_DONE;
    if (status == TS_OK && done > MOST_STEPS) ts_buf_printf(out, "The last %d of %zu steps:\n\n", MOST_STEPS, done);
    for (size_t i = n; i > 0 && status == TS_OK; i--) {
        const ts_step *s = &steps[i - 1];
        if (s->state != TS_STEP_DONE || shown++ + MOST_STEPS < done) continue;
        ts_buf_puts(out, "- ");
        put_date(out, s->at_ms);
        ts_buf_puts(out, ": ");
        put_cell(out, s->label);
        ts_buf_putc(out, '\n');
    }
    ts_arena_release(&arena);
    return status;
}

static void release(struct card *c) {
    free(c->lengths[0]);
    free(c->lengths[1]);
    free(c->tokens);
    free(c->tags);
    free(c->sources);
}

ts_status ts_data_card(ts_store *st, const char *file, const char *format, const char *where, ts_progress *progress,
                       ts_buf *out, ts_err *err) {
    struct card c = {.st = st};
    ts_view *v;
    TS_TRY(ts_view_new(&v, st, where, NULL, NULL, NULL, err));
    ts_status status;
    TS_GOTO(count_rows(&c, v, progress, err));
    ts_buf_puts(out, "# ");
    put_cell(out, ts_path_base(file));
    ts_buf_printf(out, "\n\n%lld examples as %s, written by tunesmith " TS_VERSION ".", (long long)c.rows, format);
    if (where && *where) {
        ts_buf_puts(out, " They are the rows that answer: ");
        put_cell(out, where);
    }
    ts_buf_putc(out, '\n');
    put_counts(&c, out);
    TS_GOTO(put_sources(&c, out, err));
    put_scores(&c, out);
    TS_GOTO(put_history(&c, out, err));
out:
    release(&c);
    ts_view_free(v);
    return status;
}
