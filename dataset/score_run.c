/* The two passes over all rows: first what the set is like (languages, lengths, how common words are), then the rules.
 */
#include "core/work/pool.h"
#include "dataset/db.h"
#include "dataset/language.h"
#include "dataset/score_rules.h"
#include "dataset/snapshot.h"
#include "dataset/view.h"

#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1024, SLICE = 32 };

struct finding {
    int64_t id;
    size_t rule;
    float value;
};

struct scoring {
    ts_store *st;
    ts_view *view;
    ts_progress *progress;
    ts_score_set set;
    ts_scorer *workers;
    int n_workers;
    /* the piece at work */
    ts_arena arena;
    ts_row rows[PIECE];
    ts_score_text texts[PIECE];
    size_t n;
    int languages[PIECE];
    size_t words[PIECE];
    float values[PIECE][TS_MAX_RULES];
    double overall[PIECE];
    /* sums and results */
    int64_t *votes;
    double sum, sum_squares;
    struct finding *findings;
    size_t n_findings, cap_findings;
    double *scores; /* per row of the view, NaN where it is gone */
};

static void prepare_texts(struct scoring *sc) {
    for (size_t i = 0; i < sc->n; i++) {
        const ts_row *r = &sc->rows[i];
        char *prompt = ts_arena_alloc(&sc->arena, r->instruction.n + r->input.n + 2);
        size_t n = r->instruction.n;
        if (n) memcpy(prompt, r->instruction.s, n);
        if (r->input.n && n) prompt[n++] = '\n';
        if (r->input.n) memcpy(prompt + n, r->input.s, r->input.n);
        n += r->input.n;
        prompt[n] = 0;
        sc->texts[i] = (ts_score_text){{prompt, n}, r->output, r->instruction, r->input};
    }
}

static void survey_slice(void *ctx, size_t slice, int worker) {
    struct scoring *sc = ctx;
    for (size_t i = slice * SLICE; i < TS_MIN((slice + 1) * SLICE, sc->n); i++)
        ts_score_survey(&sc->workers[worker], &sc->texts[i], &sc->languages[i], &sc->words[i]);
}

static void score_slice(void *ctx, size_t slice, int worker) {
    struct scoring *sc = ctx;
    for (size_t i = slice * SLICE; i < TS_MIN((slice + 1) * SLICE, sc->n); i++)
        sc->overall[i] = ts_score_row(&sc->workers[worker], &sc->texts[i], sc->values[i]);
}

static void take_survey(struct scoring *sc, size_t first) {
    (void)first;
    for (size_t i = 0; i < sc->n; i++) {
        double words = log(1 + (double)sc->words[i]);
        if (sc->languages[i] >= 0) sc->votes[sc->languages[i]]++;
        sc->sum += words;
        sc->sum_squares += words * words;
        sc->set.rows++;
    }
}

static void take_scores(struct scoring *sc, size_t first) {
    for (size_t i = 0; i < sc->n; i++) {
        sc->scores[first + i] = sc->rows[i].gone ? NAN : sc->overall[i];
        for (size_t r = 0; r < ts_rule_count() + sc->set.n_own && !sc->rows[i].gone; r++) {
            struct finding f = {sc->rows[i].id, r, sc->values[i][r]};
            if (f.value > 0) TS_PUSH(sc->findings, sc->n_findings, sc->cap_findings, f);
        }
    }
}

static ts_status pass(struct scoring *sc, int64_t done_before, void (*slice)(void *ctx, size_t i, int worker),
                      void (*take)(struct scoring *sc, size_t first), ts_err *err) {
    size_t n = ts_view_count(sc->view);
    for (size_t i = 0; i < n; i += PIECE) {
        sc->n = TS_MIN((size_t)PIECE, n - i);
        ts_arena_reset(&sc->arena);
        TS_TRY(ts_rows_read(sc->st, ts_view_ids(sc->view) + i, sc->n, sc->rows, &sc->arena, err));
        prepare_texts(sc);
        ts_parallel((sc->n + SLICE - 1) / SLICE, slice, sc);
        take(sc, i);
        ts_progress_set(sc->progress, done_before + (int64_t)(i + sc->n), 2 * (int64_t)n);
        if (ts_cancelled(sc->progress)) return ts_fail(err, TS_CANCELLED, "scoring was stopped; nothing was kept");
    }
    return TS_OK;
}

static void conclude_survey(struct scoring *sc) {
    ts_buf name = TS_BUF_INIT;
    double n = (double)TS_MAX(sc->set.rows, 1);
    int best = -1;
    for (int i = 0; i < (int)ts_language_count(); i++)
        if (sc->votes[i] && (best < 0 || sc->votes[i] > sc->votes[best])) best = i;
    sc->set.language = ts_setting_get(sc->st, "language", &name) ? ts_language_find(name.data) : best;
    sc->set.log_words = sc->sum / n;
    sc->set.log_words_deviation = sqrt(TS_MAX(sc->sum_squares / n - sc->set.log_words * sc->set.log_words, 0));
    ts_buf_release(&name);
}

/* ---- writing ---- */

static const char *name_of(const struct scoring *sc, size_t rule) {
    return rule < ts_rule_count() ? ts_rules[rule].name : sc->set.own[rule - ts_rule_count()].name;
}

static ts_status write_findings(struct scoring *sc, ts_err *err) {
    for (size_t i = 0; i < sc->n_findings; i++) {
        sqlite3_stmt *s = ts_db_stmt(sc->st, "INSERT INTO score VALUES(?1,?2,?3)", err);
        if (s) {
            sqlite3_bind_int64(s, 1, sc->findings[i].id);
            sqlite3_bind_text(s, 2, name_of(sc, sc->findings[i].rule), -1, SQLITE_STATIC);
            sqlite3_bind_double(s, 3, round(sc->findings[i].value * 1e4) / 1e4);
        }
        TS_TRY(ts_db_step(sc->st, s, "keep the scores", err));
    }
    for (size_t i = 0; i < ts_view_count(sc->view); i++) {
        if (sc->scores[i] != sc->scores[i]) continue;
        sqlite3_stmt *s = ts_db_stmt(sc->st,
                                     "INSERT INTO metric(id,score) VALUES(?1,?2)"
                                     " ON CONFLICT(id) DO UPDATE SET score=?2",
                                     err);
        if (s) sqlite3_bind_int64(s, 1, ts_view_id(sc->view, i));
        if (s) sqlite3_bind_double(s, 2, sc->scores[i]);
        TS_TRY(ts_db_step(sc->st, s, "keep the scores", err));
    }
    return TS_OK;
}

/* Rows with dismissed findings are better than the pass said. */
static ts_status apply_dismissals(struct scoring *sc, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(sc->st, "SELECT DISTINCT id FROM dismissed", err);
    int64_t *ids = NULL;
    size_t n = 0, cap = 0;
    ts_status status = TS_OK;
    if (!s) return err ? err->code : TS_IO;
    while (sqlite3_step(s) == SQLITE_ROW)
        TS_PUSH(ids, n, cap, sqlite3_column_int64(s, 0));
    sqlite3_reset(s);
    for (size_t i = 0; i < n && status == TS_OK; i++)
        status = ts_score_refresh(sc->st, ids[i], err);
    free(ids);
    return status;
}

static ts_status write_scores(struct scoring *sc, ts_err *err) {
    ts_status status;
    ts_progress_what(sc->progress, "keeping the scores");
    TS_TRY(ts_db_begin(sc->st, "keep the scores", err));
    TS_GOTO(ts_db_run(sc->st, "DELETE FROM score; UPDATE metric SET score=NULL WHERE score IS NOT NULL",
                      "keep the scores", err));
    TS_GOTO(write_findings(sc, err));
    TS_GOTO(apply_dismissals(sc, err));
    status = ts_db_commit(sc->st, "keep the scores", err);
out:
    if (status != TS_OK) ts_db_rollback(sc->st);
    return status;
}

/* Findings that are kept and not dismissed, by rule and tenth. */
static void report_findings(struct scoring *sc, ts_score_report *report) {
    sqlite3_stmt *s = ts_db_stmt(sc->st,
                                 "SELECT rule,min(9,cast(value*10 AS INTEGER)),count(*) FROM score s WHERE NOT EXISTS"
                                 "(SELECT 1 FROM dismissed x WHERE x.id=s.id AND x.rule=s.rule) GROUP BY 1,2",
                                 NULL);
    while (s && sqlite3_step(s) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(s, 0);
        size_t rule = 0, n = ts_rule_count() + sc->set.n_own;
        while (rule < n && strcmp(name_of(sc, rule), name) != 0)
            rule++;
        if (rule == n) continue;
        report->bins[rule][sqlite3_column_int(s, 1)] += sqlite3_column_int64(s, 2);
        report->hits[rule] += sqlite3_column_int64(s, 2);
    }
    if (s) sqlite3_reset(s);
    report->n_own = sc->set.n_own;
    for (size_t i = 0; i < sc->set.n_own; i++)
        memcpy(report->own[i], sc->set.own[i].name, TS_RULE_NAME);
}

static int by_score(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The overall scores as they are kept, dismissals aside. */
static void report_overall(struct scoring *sc, ts_score_report *report) {
    sqlite3_stmt *s = ts_db_stmt(sc->st, "SELECT score FROM metric WHERE score IS NOT NULL", NULL);
    double *all = NULL, sum = 0;
    size_t n = 0, cap = 0;
    while (s && sqlite3_step(s) == SQLITE_ROW)
        TS_PUSH(all, n, cap, sqlite3_column_double(s, 0));
    if (s) sqlite3_reset(s);
    if (n) qsort(all, n, sizeof *all, by_score);
    for (size_t i = 0; i < n; i++) {
        sum += all[i];
        report->overall.bins[TS_MIN((size_t)(all[i] * TS_SCORE_BINS), (size_t)TS_SCORE_BINS - 1)]++;
    }
    double *const out[] = {&report->overall.p5, &report->overall.p25, &report->overall.p50, &report->overall.p75,
                           &report->overall.p95};
    static const int per_cent[] = {5, 25, 50, 75, 95};
    for (size_t i = 0; i < TS_COUNT(out); i++)
        *out[i] = n ? all[(n - 1) * (size_t)per_cent[i] / 100] : NAN;
    report->rows = (int64_t)n;
    report->mean = n ? sum / (double)n : NAN;
    free(all);
}

static void report_on(struct scoring *sc, ts_score_report *report) {
    report_findings(sc, report);
    report_overall(sc, report);
    memccpy(report->language, ts_language_name(sc->set.language), 0, sizeof report->language);
    report->checked_format = sc->set.n_checks > 0;
}

static ts_status read_checks(struct scoring *sc, ts_err *err) {
    ts_buf path = TS_BUF_INIT;
    ts_status status = TS_OK;
    if (ts_setting_get(sc->st, "check", &path)) status = ts_score_set_checks(&sc->set, path.data, err);
    if (status != TS_OK) ts_wrap(err, status, "the setting check");
    ts_buf_reset(&path);
    if (status == TS_OK && ts_setting_get(sc->st, "rules", &path)) {
        status = ts_score_set_own(&sc->set, path.data, err);
        if (status != TS_OK) ts_wrap(err, status, "the setting rules");
    }
    ts_buf_release(&path);
    return status;
}

static void make_workers(struct scoring *sc) {
    sc->n_workers = ts_pool_threads();
    sc->workers = ts_calloc((size_t)sc->n_workers, sizeof *sc->workers);
    for (int i = 0; i < sc->n_workers; i++)
        ts_scorer_init(&sc->workers[i], &sc->set);
}

ts_status ts_score_all(ts_store *st, ts_progress *progress, ts_score_report *report, ts_err *err) {
    struct scoring *sc = ts_calloc(1, sizeof *sc);
    ts_status status;
    *report = (ts_score_report){0};
    sc->st = st;
    sc->progress = progress;
    ts_progress_what(progress, "scoring");
    TS_GOTO(ts_score_set_init(&sc->set, err));
    TS_GOTO(read_checks(sc, err));
    TS_GOTO(ts_view_new(&sc->view, st, NULL, NULL, NULL, NULL, err));
    make_workers(sc);
    sc->votes = ts_calloc(ts_language_count(), sizeof *sc->votes);
    sc->scores = ts_calloc(TS_MAX(ts_view_count(sc->view), 1), sizeof *sc->scores);
    TS_GOTO(pass(sc, 0, survey_slice, take_survey, err));
    conclude_survey(sc);
    TS_GOTO(pass(sc, (int64_t)ts_view_count(sc->view), score_slice, take_scores, err));
    TS_GOTO(write_scores(sc, err));
    report_on(sc, report);
out:
    for (int i = 0; i < sc->n_workers; i++)
        ts_scorer_release(&sc->workers[i]);
    free(sc->workers);
    ts_score_set_release(&sc->set);
    ts_view_free(sc->view);
    ts_arena_release(&sc->arena);
    free(sc->votes);
    free(sc->scores);
    free(sc->findings);
    free(sc);
    return status;
}
