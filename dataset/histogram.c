#include "dataset/histogram.h"

#include "dataset/db.h"

#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct values {
    double *items;
    size_t n, cap;
};

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const struct values *v, size_t per_cent) {
    return v->n ? v->items[(v->n - 1) * per_cent / 100] : NAN;
}

static void conclude(ts_histogram *h, struct values *v) {
    if (v->n) qsort(v->items, v->n, sizeof *v->items, by_value);
    h->rows = (int64_t)v->n;
    for (size_t i = 0; i < v->n; i++) {
        int bin = (int)(v->items[i] * TS_HISTOGRAM_BINS);
        h->bins[TS_MAX(0, TS_MIN(bin, TS_HISTOGRAM_BINS - 1))]++;
    }
    h->p5 = percentile(v, 5);
    h->p50 = percentile(v, 50);
    h->p95 = percentile(v, 95);
}

/* The place of a rule's histogram; a user's rule gets one when it is met. TS_HISTOGRAMS: no place is left. */
static size_t place_of(ts_histogram *out, size_t *n, const char *rule) {
    size_t i = 1;
    while (i < *n && strcmp(out[i].name, rule) != 0)
        i++;
    if (i < *n || *n == TS_HISTOGRAMS) return i < *n ? i : TS_HISTOGRAMS;
    memccpy(out[i].name, rule, 0, sizeof out[i].name - 1);
    return (*n)++;
}

static ts_status collect(ts_store *st, const char *sql, ts_histogram *out, size_t *n, struct values *values,
                         ts_progress *progress, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, sql, err);
    ts_status status = TS_OK;
    int64_t seen = 0;
    int rc = SQLITE_DONE;
    if (!s) return err ? err->code : TS_IO;
    while (status == TS_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        const char *rule = (const char *)sqlite3_column_text(s, 0);
        size_t at = rule ? place_of(out, n, rule) : 0;
        if (at < TS_HISTOGRAMS) TS_PUSH(values[at].items, values[at].n, values[at].cap, sqlite3_column_double(s, 1));
        if (++seen % 4096 == 0 && ts_cancelled(progress)) status = ts_fail(err, TS_CANCELLED, "stopped");
    }
    sqlite3_reset(s);
    if (status == TS_OK && rc != SQLITE_DONE) status = ts_db_fail(st, "read the scores", err);
    return status;
}

ts_status ts_histograms_read(ts_store *st, ts_histogram out[TS_HISTOGRAMS], size_t *n, ts_progress *progress,
                             ts_err *err) {
    struct values *values = ts_calloc(TS_HISTOGRAMS, sizeof *values);
    ts_status status;
    memset(out, 0, TS_HISTOGRAMS * sizeof *out);
    memcpy(out[0].name, "score", sizeof "score");
    *n = 1;
    for (size_t i = 0; i < ts_rule_count(); i++)
        place_of(out, n, ts_rules[i].name);
    TS_GOTO(collect(st,
                    "SELECT NULL,m.score FROM metric m JOIN example e ON e.id=m.id WHERE m.score IS NOT NULL"
                    " AND e.batch NOT IN " TS_HIDDEN,
                    out, n, values, progress, err));
    TS_GOTO(collect(st,
                    "SELECT s.rule,s.value FROM score s JOIN example e ON e.id=s.id JOIN metric m ON m.id=s.id"
                    " WHERE m.score IS NOT NULL AND s.value>0 AND e.batch NOT IN " TS_HIDDEN
                    " AND NOT EXISTS(SELECT 1 FROM dismissed x WHERE x.id=s.id AND x.rule=s.rule)",
                    out, n, values, progress, err));
    for (size_t i = 0; i < *n; i++)
        conclude(&out[i], &values[i]);
out:
    for (size_t i = 0; i < TS_HISTOGRAMS; i++)
        free(values[i].items);
    free(values);
    return status;
}

int64_t ts_histogram_between(const ts_histogram *h, int from, int to) {
    int64_t sum = 0;
    for (int i = TS_MAX(from, 0); i < TS_MIN(to, (int)TS_HISTOGRAM_BINS); i++)
        sum += h->bins[i];
    return sum;
}
