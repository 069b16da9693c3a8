#include "dataset/card.h"

#include "core/base/file.h"
#include "dataset/history.h"
#include "dataset/score.h"
#include "dataset/stats.h"

#include <string.h>
#include <time.h>

enum { MOST_STEPS = 50 };

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

static void put_spread(ts_buf *out, const char *what, const ts_spread *s) {
    if (!s->n) return;
    ts_buf_printf(out, "| %s | %u | %u | %u | %u | %u |\n", what, s->least, s->p10, s->p50, s->p90, s->most);
}

static void put_sources(const ts_stats *c, ts_buf *out) {
    ts_buf_puts(out,
                "\n## Where the rows came from\n\n| file | read as | rows read | rejected | imported on | rows here |\n"
                "| --- | --- | ---: | ---: | --- | ---: |\n");
    for (size_t i = 0; i < c->n_origins; i++) {
        const ts_origin *o = &c->origins[i];
        if (o->batch) {
            ts_buf_puts(out, "| ");
            put_cell(out, ts_path_base(o->path));
            ts_buf_printf(out, " | %s | %lld | %lld | ", o->format, (long long)o->read, (long long)o->rejected);
            put_date(out, o->at_ms);
        } else {
            ts_buf_puts(out, "| written by hand | | | |");
        }
        ts_buf_printf(out, " | %lld |\n", (long long)o->rows);
    }
    ts_buf_puts(out,
                "\nLicences: not known. The files say nothing of them; look them up where each file is from before "
                "passing this on.\n");
}

static void put_counts(const ts_stats *c, ts_buf *out) {
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
    if (c->tokens.n)
        ts_buf_printf(out, "- tokens: %lld in %lld rows%s\n", (long long)c->tokens.sum, (long long)c->tokens.n,
                      c->tokens.n < c->rows ? "; the other rows were not counted" : "");
    else
        ts_buf_puts(out, "- tokens: not counted\n");
    ts_buf_printf(out, "- rows in groups of duplicates, as they were last searched: %lld\n", (long long)c->in_groups);
    ts_buf_puts(out, "\n| length | least | 10 % | half | 90 % | most |\n| --- | ---: | ---: | ---: | ---: | ---: |\n");
    put_spread(out, "prompt, characters", &c->prompt);
    put_spread(out, "answer, characters", &c->answer);
    put_spread(out, "tokens", &c->tokens);
}

static void put_scores(const ts_stats *c, ts_buf *out) {
    ts_buf_puts(out, "\n## What the rules found\n\n");
    if (!c->scored) {
        ts_buf_puts(out, "The rows were not scored.\n");
        return;
    }
    ts_buf_printf(
        out, "%lld rows were scored; the mean is %.3f (1 is best).\n\n| rule | finds | rows |\n| --- | --- | ---: |\n",
        (long long)c->scored, c->score);
    for (size_t i = 0; i < ts_rule_count() && i < TS_COUNT(c->hits); i++)
        if (c->hits[i])
            ts_buf_printf(out, "| %s | %s | %lld |\n", ts_rules[i].name, ts_rules[i].finds, (long long)c->hits[i]);
}

static ts_status put_history(ts_store *st, ts_buf *out, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_step *steps;
    size_t n, done = 0, shown = 0;
    ts_status status = ts_history_list(st, 0, &steps, &n, &arena, err);
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

ts_status ts_data_card(ts_store *st, const char *file, const char *format, const char *where, ts_progress *progress,
                       ts_buf *out, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_stats c;
    ts_status status;
    TS_GOTO(ts_stats_make(st, where, progress, &c, &arena, err));
    ts_buf_puts(out, "# ");
    put_cell(out, ts_path_base(file));
    ts_buf_printf(out, "\n\n%lld examples as %s, written by tunesmith " TS_VERSION ".", (long long)c.rows, format);
    if (where && *where) {
        ts_buf_puts(out, " They are the rows that answer: ");
        put_cell(out, where);
    }
    ts_buf_putc(out, '\n');
    put_counts(&c, out);
    put_sources(&c, out);
    put_scores(&c, out);
    status = put_history(st, out, err);
out:
    ts_arena_release(&arena);
    return status;
}
