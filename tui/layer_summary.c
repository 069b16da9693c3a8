/* The data set in numbers, on a page: how far it is, what it is made of, how long its rows are. */
#include "core/text/cells.h"
#include "dataset/summary.h"
#include "tui/app.h"
#include "tui/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct summary_job {
    ts_job job;
    ts_app *app;
    ts_summary summary;
};

static void put_bar(ts_buf *out, int64_t part, int64_t all, int width) {
    int filled = all > 0 ? (int)(TS_MIN(part, all) * width / all) : 0;
    if (part > 0 && filled == 0) filled = 1;
    for (int i = 0; i < width; i++)
        ts_buf_putc(out, i < filled ? '#' : '-');
}

static void put_progress(ts_buf *out, const ts_summary *s) {
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

static void put_status(ts_buf *out, const ts_summary *s) {
    char n[32];
    ts_buf_puts(out, "\nby status\n");
    for (int i = 0; i < TS_ROW_STATUSES; i++) {
        ts_buf_printf(out, "  %c %-10s %9s  ", ts_row_sign((ts_row_status)i), ts_row_status_name((ts_row_status)i),
                      ts_thousands(s->counts.by_status[i], n));
        put_bar(out, s->counts.by_status[i], s->counts.rows, 30);
        ts_buf_putc(out, '\n');
    }
}

static void put_spread(ts_buf *out, const char *name, const ts_spread of[TS_SUMMARIES]) {
    static const char *const whose[] = {"kept", "accepted"};
    char n[6][32];
    for (int i = 0; i < TS_SUMMARIES; i++) {
        const ts_spread *s = &of[i];
        if (s->rows == 0) continue;
        ts_buf_printf(out, "  %-7s %-8s %7s %7s %7s %7s %7s %10s\n", i ? "" : name, whose[i],
                      ts_thousands(s->min, n[0]), ts_thousands(s->p5, n[1]), ts_thousands(s->p50, n[2]),
                      ts_thousands(s->p95, n[3]), ts_thousands(s->max, n[4]), ts_thousands(s->sum, n[5]));
    }
}

static void put_lengths(ts_buf *out, const ts_summary *s) {
    ts_buf_printf(out, "\nlengths%19s %7s %7s %7s %7s %10s\n", "least", "5%", "half", "95%", "most", "together");
    put_spread(out, "tokens", s->tokens);
    put_spread(out, "prompt", s->prompt);
    put_spread(out, "answer", s->answer);
    if (s->tokens[TS_OF_KEPT].rows == 0) ts_buf_puts(out, "  no tokens are counted: that needs the setting `model`\n");
    ts_buf_puts(out, "  prompt and answer in characters; kept: not rejected\n");
}

static void put_tallies(ts_buf *out, const char *name, const ts_tally *t, size_t n, size_t more) {
    char a[3][32];
    if (n == 0) return;
    ts_buf_printf(out, "\n%-38s %9s %9s %9s\n", name, "rows", "accepted", "rejected");
    for (size_t i = 0; i < n; i++) {
        size_t width = 0, len = ts_cells_fit(t[i].name, strlen(t[i].name), 36, &width);
        ts_buf_printf(out, "  %.*s%*s %9s %9s %9s\n", (int)len, t[i].name, (int)(36 - width), "",
                      ts_thousands(t[i].rows, a[0]), ts_thousands(t[i].accepted, a[1]),
                      ts_thousands(t[i].rejected, a[2]));
    }
    if (more) ts_buf_printf(out, "  and %zu more\n", more);
}

static void put_kinds(ts_buf *out, const ts_summary *s) {
    char n[4][32];
    ts_buf_printf(out, "\n%s conversations, %s with a system prompt, %s with an input, %s rated\n",
                  ts_thousands(s->conversations, n[0]), ts_thousands(s->with_system, n[1]),
                  ts_thousands(s->with_input, n[2]), ts_thousands(s->rated, n[3]));
    ts_buf_printf(out, "%s rows in %s groups of duplicates, %s scored, %s refused by imports\n",
                  ts_thousands(s->counts.in_groups, n[0]), ts_thousands(s->counts.groups, n[1]),
                  ts_thousands(s->counts.scored, n[2]), ts_thousands(s->counts.rejects, n[3]));
}

static void summary_run(ts_job *job) {
    struct summary_job *k = (struct summary_job *)job;
    job->status = ts_summary_read(k->app->scanner, &k->summary, &job->progress, &job->err);
}

static void summary_done(ts_job *job) {
    struct summary_job *k = (struct summary_job *)job;
    const ts_summary *s = &k->summary;
    ts_buf out = TS_BUF_INIT;
    if (job->status == TS_OK) {
        put_progress(&out, s);
        put_status(&out, s);
        put_lengths(&out, s);
        put_tallies(&out, "tags", s->tags, s->n_tags, s->more_tags);
        put_tallies(&out, "from", s->origins, s->n_origins, s->more_origins);
        put_kinds(&out, s);
        ts_pager_open(k->app, "The data set in numbers", out.data);
    } else {
        ts_app_say(k->app, job->status == TS_CANCELLED ? TS_R_WARN : TS_R_ERROR, "%s", job->err.text);
    }
    ts_buf_release(&out);
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
