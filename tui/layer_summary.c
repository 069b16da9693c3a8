/* The data set in numbers, on a page: how far it is, what it is made of, how long its rows are. */
#include "core/base/file.h"
#include "core/text/cells.h"
#include "dataset/stats.h"
#include "tui/app.h"
#include "tui/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT, ACCEPTED, SETS, TALLIES = 24 };

struct summary {
    ts_counts counts;
    int64_t target; /* how many accepted rows are wanted; 0: not said */
    ts_stats of[SETS];
};

struct summary_job {
    ts_job job;
    ts_app *app;
    ts_arena arena;
    struct summary summary;
};

static void put_bar(ts_buf *out, int64_t part, int64_t all, int width) {
    int filled = all > 0 ? (int)(TS_MIN(part, all) * width / all) : 0;
    if (part > 0 && filled == 0) filled = 1;
    for (int i = 0; i < width; i++)
        ts_buf_putc(out, i < filled ? '#' : '-');
}

static void put_progress(ts_buf *out, const struct summary *s) {
    char n[3][32];
    int64_t accepted = s->counts.by_status[TS_ACCEPTED];
    int64_t decided = accepted + s->counts.by_status[TS_REJECTED];
    if (s->target) {
        ts_buf_puts(out, "wanted     ");
        put_bar(out, accepted, s->target, 30);
        ts_buf_printf(out, " %3d%%  %s of %s accepted%s\n", (int)(accepted * 100 / s->target),
                      ts_thousands(accepted, n[0]), ts_thousands(s->target, n[1]),
                      accepted >= s->target ? ": enough" : "");
    } else {
        ts_buf_puts(out, "wanted     no number is set: `summary 300` in the palette sets one\n");
    }
    ts_buf_puts(out, "decided    ");
    put_bar(out, decided, s->counts.rows, 30);
    ts_buf_printf(out, " %3d%%  %s of %s rows\n", s->counts.rows ? (int)(decided * 100 / s->counts.rows) : 0,
                  ts_thousands(decided, n[0]), ts_thousands(s->counts.rows, n[1]));
}

static void put_status(ts_buf *out, const struct summary *s) {
    char n[32];
    ts_buf_puts(out, "\nby status\n");
    for (int i = 0; i < TS_ROW_STATUSES; i++) {
        ts_buf_printf(out, "  %c %-10s %9s  ", ts_row_sign((ts_row_status)i), ts_row_status_name((ts_row_status)i),
                      ts_thousands(s->counts.by_status[i], n));
        put_bar(out, s->counts.by_status[i], s->counts.rows, 30);
        ts_buf_putc(out, '\n');
    }
}

static void put_spread(ts_buf *out, const char *name, const ts_spread *kept, const ts_spread *accepted) {
    const ts_spread *const of[SETS] = {kept, accepted};
    static const char *const whose[SETS] = {"kept", "accepted"};
    char n[6][32];
    for (int i = 0; i < SETS; i++) {
        const ts_spread *s = of[i];
        if (s->n == 0) continue;
        ts_buf_printf(out, "  %-7s %-8s %7s %7s %7s %7s %7s %10s\n", i ? "" : name, whose[i],
                      ts_thousands(s->least, n[0]), ts_thousands(s->p10, n[1]), ts_thousands(s->p50, n[2]),
                      ts_thousands(s->p90, n[3]), ts_thousands(s->most, n[4]), ts_thousands(s->sum, n[5]));
    }
}

static void put_lengths(ts_buf *out, const struct summary *s) {
    const ts_stats *a = &s->of[KEPT], *b = &s->of[ACCEPTED];
    ts_buf_printf(out, "\nlengths%19s %7s %7s %7s %7s %10s\n", "least", "10%", "half", "90%", "most", "together");
    put_spread(out, "tokens", &a->tokens, &b->tokens);
    put_spread(out, "prompt", &a->prompt, &b->prompt);
    put_spread(out, "answer", &a->answer, &b->answer);
    if (a->tokens.n == 0) ts_buf_puts(out, "  no tokens are counted: that needs the setting `model`\n");
    ts_buf_puts(out, "  prompt and answer in characters; kept: not rejected\n");
}

static void put_name(ts_buf *out, const char *name, int64_t kept, int64_t accepted) {
    char n[2][32];
    size_t width = 0, len = ts_cells_fit(name, strlen(name), 36, &width);
    ts_buf_printf(out, "  %.*s%*s %9s %9s\n", (int)len, name, (int)(36 - width), "", ts_thousands(kept, n[0]),
                  ts_thousands(accepted, n[1]));
}

static int64_t count_of(const ts_named_count *list, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0) return list[i].rows;
    return 0;
}

static int by_rows(const void *a, const void *b) {
    const ts_named_count *x = a, *y = b;
    if (x->rows != y->rows) return x->rows < y->rows ? 1 : -1;
    return strcmp(x->name, y->name);
}

/* The most frequent ones first. */
static void put_counts(ts_buf *out, const char *title, ts_named_count *kept, size_t n, const ts_named_count *accepted,
                       size_t n_accepted) {
    if (n == 0) return;
    qsort(kept, n, sizeof *kept, by_rows);
    ts_buf_printf(out, "\n%-38s %9s %9s\n", title, "kept", "accepted");
    for (size_t i = 0; i < n && i < TALLIES; i++)
        put_name(out, kept[i].name, kept[i].rows, count_of(accepted, n_accepted, kept[i].name));
    if (n > TALLIES) ts_buf_printf(out, "  and %zu more\n", n - TALLIES);
}

static void put_origins(ts_buf *out, const struct summary *s) {
    const ts_stats *a = &s->of[KEPT], *b = &s->of[ACCEPTED];
    if (a->n_origins) ts_buf_printf(out, "\n%-38s %9s %9s\n", "from", "kept", "accepted");
    for (size_t i = 0; i < a->n_origins && i < TALLIES; i++) {
        int64_t accepted = 0;
        for (size_t k = 0; k < b->n_origins; k++)
            if (b->origins[k].batch == a->origins[i].batch) accepted = b->origins[k].rows;
        put_name(out, a->origins[i].batch ? ts_path_base(a->origins[i].path) : "typed here", a->origins[i].rows,
                 accepted);
    }
    if (a->n_origins > TALLIES) ts_buf_printf(out, "  and %zu more\n", a->n_origins - TALLIES);
}

static void put_kinds(ts_buf *out, const struct summary *s) {
    const ts_stats *a = &s->of[KEPT];
    char n[5][32];
    int64_t rated = a->rows - a->rated[0];
    ts_buf_printf(out, "\n%s conversations, %s rated, %s scored, %s rows in %s groups of duplicates\n",
                  ts_thousands(a->conversations, n[0]), ts_thousands(rated, n[1]), ts_thousands(a->scored, n[2]),
                  ts_thousands(s->counts.in_groups, n[3]), ts_thousands(s->counts.groups, n[4]));
    if (s->counts.rejects)
        ts_buf_printf(out, "%s rows were refused by imports: `rejects` in the palette lists them\n",
                      ts_thousands(s->counts.rejects, n[0]));
}

static void read_target(ts_store *st, struct summary *s) {
    ts_buf text = TS_BUF_INIT;
    if (ts_setting_get(st, "target", &text)) s->target = TS_MAX(strtoll(text.data, NULL, 10), 0LL);
    ts_buf_release(&text);
}

static void summary_run(ts_job *job) {
    static const char *const where[SETS] = {"status!=rejected", "status=accepted"};
    struct summary_job *k = (struct summary_job *)job;
    ts_store *st = k->app->scanner;
    job->status = ts_store_counts(st, &k->summary.counts, &job->err);
    for (int i = 0; i < SETS && job->status == TS_OK; i++)
        job->status = ts_stats_make(st, where[i], &job->progress, &k->summary.of[i], &k->arena, &job->err);
    if (job->status == TS_OK) read_target(st, &k->summary);
}

static void summary_done(ts_job *job) {
    struct summary_job *k = (struct summary_job *)job;
    const struct summary *s = &k->summary;
    const ts_stats *a = &s->of[KEPT], *b = &s->of[ACCEPTED];
    ts_buf out = TS_BUF_INIT;
    if (job->status == TS_OK) {
        put_progress(&out, s);
        put_status(&out, s);
        put_lengths(&out, s);
        put_counts(&out, "tags", a->tags, a->n_tags, b->tags, b->n_tags);
        put_counts(&out, "languages of the answers", a->languages, a->n_languages, b->languages, b->n_languages);
        put_origins(&out, s);
        put_kinds(&out, s);
        ts_pager_open(k->app, "The data set in numbers", out.data);
    } else {
        ts_app_say(k->app, job->status == TS_CANCELLED ? TS_R_WARN : TS_R_ERROR, "%s", job->err.text);
    }
    ts_buf_release(&out);
    ts_arena_release(&k->arena);
    free(k);
}

static void count(ts_app *app) {
    struct summary_job *k = ts_calloc(1, sizeof *k);
    k->job = (ts_job){.title = "counting", .run = summary_run, .done = summary_done};
    k->app = app;
    ts_queue_push(app->jobs, &k->job);
}

static ts_status run_target(ts_act *a, ts_store *st, ts_err *err) {
    return ts_setting_set(st, "target", strcmp(a->text, "0") == 0 ? NULL : a->text, err);
}

static void target_kept(ts_act *a) {
    count(a->app);
}

void ts_summary_open(ts_app *app, const char *target) {
    if (!target) {
        count(app);
    } else if (strspn(target, "0123456789") != strlen(target) || strlen(target) > 12) {
        ts_app_say(app, TS_R_WARN, "how many accepted rows are wanted is a whole number, not \"%.40s\"", target);
    } else if (ts_store_read_only(app->reader)) {
        ts_app_say(app, TS_R_WARN, "this workspace can only be read");
    } else {
        ts_act *a = ts_act_new(app, run_target);
        a->text = ts_strdup(target);
        a->after = target_kept;
        ts_act_push(a);
    }
}
