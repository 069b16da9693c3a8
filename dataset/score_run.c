/* The two passes over all rows: first what the set is like (languages, lengths, how common words are), then the rules.
 */
#include "dataset/db.h"
#include "dataset/language.h"
#include "dataset/scan.h"
#include "dataset/score_rules.h"

#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct finding {
    int64_t id;
    double value; /* as it is kept */
    size_t rule;
};

struct scored {
    int64_t id;
    double overall;
};

/* What one piece of the ids gives; taken together in the order of the pieces, so that threads change nothing. */
struct piece {
    int64_t rows, votes[TS_MAX_LANGUAGES];
    double sum, sum_squares; /* of log(1 + words) */
    struct finding *findings;
    size_t n_findings, cap_findings;
    struct scored *scores;
    size_t n_scores, cap_scores;
};

struct scoring {
    ts_store *st;
    ts_progress *progress;
    ts_score_set set;
    struct worker {
        ts_scorer scorer;
        bool made;
        ts_buf prompt;
    } workers[TS_SCAN_WORKERS];
    struct piece pieces[TS_SCAN_PIECES];
    size_t
        by_name[TS_MAX_RULES]; /* the rules in the order of the table score: each finding is written behind the last */
};

static const char rows_sql[] = "SELECT e.id,b.instruction,b.input,b.output FROM example e JOIN body b ON b.id=e.id"
                               " WHERE e.batch NOT IN " TS_HIDDEN " AND e.id>=:first AND e.id<:last ORDER BY e.id";

/* The texts of the row under the statement; the prompt is put together in the worker's buffer. */
static struct worker *read_texts(struct scoring *sc, int worker, sqlite3_stmt *s, ts_score_text *t) {
    struct worker *w = &sc->workers[worker];
    if (!w->made) ts_scorer_init(&w->scorer, &sc->set);
    w->made = true;
    t->instruction = ts_db_text(s, 1);
    t->input = ts_db_text(s, 2);
    t->answer = ts_db_text(s, 3);
    ts_buf_reset(&w->prompt);
    ts_buf_add(&w->prompt, t->instruction.s, t->instruction.n);
    if (t->input.n && t->instruction.n) ts_buf_putc(&w->prompt, '\n');
    ts_buf_add(&w->prompt, t->input.s, t->input.n);
    t->prompt = (ts_text){w->prompt.data, w->prompt.len};
    t->instruction.s = w->prompt.data; /* parts of the prompt, as the rules expect */
    t->input.s = w->prompt.data + w->prompt.len - t->input.n;
    return w;
}

static ts_status survey_row(void *ctx, int worker, size_t piece, sqlite3_stmt *s, ts_err *err) {
    struct scoring *sc = ctx;
    struct piece *p = &sc->pieces[piece];
    ts_score_text t;
    struct worker *w = read_texts(sc, worker, s, &t);
    int language;
    size_t n;
    (void)err;
    ts_score_survey(&w->scorer, &t, &language, &n);
    double words = log(1 + (double)n);
    if (language >= 0) p->votes[language]++;
    p->sum += words;
    p->sum_squares += words * words;
    p->rows++;
    return TS_OK;
}

static ts_status score_row(void *ctx, int worker, size_t piece, sqlite3_stmt *s, ts_err *err) {
    struct scoring *sc = ctx;
    struct piece *p = &sc->pieces[piece];
    float values[TS_MAX_RULES];
    ts_score_text t;
    struct worker *w = read_texts(sc, worker, s, &t);
    struct scored row = {sqlite3_column_int64(s, 0), ts_score_row(&w->scorer, &t, values)};
    (void)err;
    TS_PUSH(p->scores, p->n_scores, p->cap_scores, row);
    for (size_t i = 0; i < ts_rule_count() + sc->set.n_own; i++) {
        size_t rule = sc->by_name[i];
        if (!(values[rule] > 0)) continue;
        struct finding f = {row.id, round((double)values[rule] * 1e4) / 1e4, rule};
        TS_PUSH(p->findings, p->n_findings, p->cap_findings, f);
    }
    return TS_OK;
}

static ts_status pass(struct scoring *sc, const char *what,
                      ts_status (*row)(void *ctx, int worker, size_t piece, sqlite3_stmt *s, ts_err *err),
                      ts_err *err) {
    const ts_scan scan = {.sql = rows_sql, .row = row, .ctx = sc};
    ts_progress_what(sc->progress, what);
    ts_status status = ts_scan_rows(sc->st, &scan, sc->progress, err);
    return status == TS_CANCELLED ? ts_fail(err, TS_CANCELLED, "scoring was stopped; nothing was kept") : status;
}

static void conclude_survey(struct scoring *sc) {
    ts_buf name = TS_BUF_INIT;
    int64_t votes[TS_MAX_LANGUAGES] = {0};
    double sum = 0, sum_squares = 0;
    int best = -1;
    for (size_t i = 0; i < TS_SCAN_PIECES; i++) {
        const struct piece *p = &sc->pieces[i];
        sc->set.rows += p->rows;
        sum += p->sum;
        sum_squares += p->sum_squares;
        for (size_t k = 0; k < TS_MAX_LANGUAGES; k++)
            votes[k] += p->votes[k];
    }
    for (int i = 0; i < (int)ts_language_count(); i++)
        if (votes[i] && (best < 0 || votes[i] > votes[best])) best = i;
    for (size_t i = 0; i < TS_SCAN_WORKERS; i++)
        if (sc->workers[i].made) ts_score_surveyed(&sc->set, &sc->workers[i].scorer);
    double n = (double)TS_MAX(sc->set.rows, 1);
    sc->set.language = ts_setting_get(sc->st, "language", &name) ? ts_language_find(name.data) : best;
    sc->set.log_words = sum / n;
    sc->set.log_words_deviation = sqrt(TS_MAX(sum_squares / n - sc->set.log_words * sc->set.log_words, 0));
    ts_buf_release(&name);
}

/* ---- writing ---- */

static const char *name_of(const struct scoring *sc, size_t rule) {
    return rule < ts_rule_count() ? ts_rules[rule].name : sc->set.own[rule - ts_rule_count()].name;
}

/* What is kept by one statement: takes half the time of as many statements. */
enum { AT_ONCE = 64 };
#define FOUR(row) row "," row "," row "," row
#define SIXTY_FOUR(row) FOUR(FOUR(FOUR(row)))
#define OR_UPDATE " ON CONFLICT(id) DO UPDATE SET score=excluded.score"

static const char finding_sql[] = "INSERT INTO score VALUES(?,?,?)";
static const char findings_sql[] = "INSERT INTO score VALUES" SIXTY_FOUR("(?,?,?)");
static const char overall_sql[] = "INSERT INTO metric(id,score) VALUES(?,?)" OR_UPDATE;
static const char overalls_sql[] = "INSERT INTO metric(id,score) VALUES" SIXTY_FOUR("(?,?)") OR_UPDATE;

static ts_status write_findings(struct scoring *sc, const struct piece *p, ts_err *err) {
    for (size_t i = 0, n; i < p->n_findings; i += n) {
        n = p->n_findings - i < AT_ONCE ? 1 : AT_ONCE;
        sqlite3_stmt *s = ts_db_stmt(sc->st, n == 1 ? finding_sql : findings_sql, err);
        for (size_t k = 0; s && k < n; k++) {
            const struct finding *f = &p->findings[i + k];
            sqlite3_bind_int64(s, (int)k * 3 + 1, f->id);
            sqlite3_bind_text(s, (int)k * 3 + 2, name_of(sc, f->rule), -1, SQLITE_STATIC);
            sqlite3_bind_double(s, (int)k * 3 + 3, f->value);
        }
        TS_TRY(ts_db_step(sc->st, s, "keep the scores", err));
    }
    return TS_OK;
}

static ts_status write_overall(struct scoring *sc, const struct piece *p, ts_err *err) {
    for (size_t i = 0, n; i < p->n_scores; i += n) {
        n = p->n_scores - i < AT_ONCE ? 1 : AT_ONCE;
        sqlite3_stmt *s = ts_db_stmt(sc->st, n == 1 ? overall_sql : overalls_sql, err);
        for (size_t k = 0; s && k < n; k++) {
            sqlite3_bind_int64(s, (int)k * 2 + 1, p->scores[i + k].id);
            sqlite3_bind_double(s, (int)k * 2 + 2, p->scores[i + k].overall);
        }
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
    TS_GOTO(ts_db_run(sc->st,
                      "DELETE FROM score;"
                      "UPDATE metric SET score=NULL WHERE score IS NOT NULL AND NOT EXISTS"
                      "(SELECT 1 FROM example e WHERE e.id=metric.id AND e.batch NOT IN " TS_HIDDEN ")",
                      "keep the scores", err));
    for (size_t i = 0; i < TS_SCAN_PIECES; i++) {
        TS_GOTO(write_findings(sc, &sc->pieces[i], err));
        TS_GOTO(write_overall(sc, &sc->pieces[i], err));
    }
    TS_GOTO(apply_dismissals(sc, err));
    status = ts_db_commit(sc->st, "keep the scores", err);
out:
    if (status != TS_OK) ts_db_rollback(sc->st);
    return status;
}

static void count_finding(ts_score_report *report, size_t rule, double value, int n) {
    report->bins[rule][TS_MIN((int)(value * 10), 9)] += n;
    report->hits[rule] += n;
}

/* Findings that are kept and not dismissed, by rule and tenth. */
static void report_findings(struct scoring *sc, ts_score_report *report) {
    sqlite3_stmt *s = ts_db_stmt(sc->st,
                                 "SELECT s.rule,s.value FROM dismissed x CROSS JOIN score s"
                                 " ON s.id=x.id AND s.rule=x.rule",
                                 NULL);
    for (size_t i = 0; i < TS_SCAN_PIECES; i++)
        for (size_t k = 0; k < sc->pieces[i].n_findings; k++)
            count_finding(report, sc->pieces[i].findings[k].rule, sc->pieces[i].findings[k].value, 1);
    while (s && sqlite3_step(s) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(s, 0);
        size_t rule = 0, n = ts_rule_count() + sc->set.n_own;
        while (rule < n && strcmp(name_of(sc, rule), name) != 0)
            rule++;
        if (rule < n) count_finding(report, rule, sqlite3_column_double(s, 1), -1);
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

static void order_rules(struct scoring *sc) {
    size_t n = ts_rule_count() + sc->set.n_own;
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && strcmp(name_of(sc, sc->by_name[at - 1]), name_of(sc, i)) > 0; at--)
            sc->by_name[at] = sc->by_name[at - 1];
        sc->by_name[at] = i;
    }
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

static void release_scoring(struct scoring *sc) {
    for (size_t i = 0; i < TS_SCAN_WORKERS; i++) {
        if (sc->workers[i].made) ts_scorer_release(&sc->workers[i].scorer);
        ts_buf_release(&sc->workers[i].prompt);
    }
    for (size_t i = 0; i < TS_SCAN_PIECES; i++) {
        free(sc->pieces[i].findings);
        free(sc->pieces[i].scores);
    }
    ts_score_set_release(&sc->set);
    free(sc);
}

ts_status ts_score_all(ts_store *st, ts_progress *progress, ts_score_report *report, ts_err *err) {
    struct scoring *sc = ts_calloc(1, sizeof *sc);
    ts_status status;
    *report = (ts_score_report){0};
    sc->st = st;
    sc->progress = progress;
    TS_GOTO(ts_score_set_init(&sc->set, err));
    TS_GOTO(read_checks(sc, err));
    order_rules(sc);
    TS_GOTO(pass(sc, "surveying", survey_row, err));
    conclude_survey(sc);
    TS_GOTO(pass(sc, "scoring", score_row, err));
    TS_GOTO(write_scores(sc, err));
    report_on(sc, report);
out:
    release_scoring(sc);
    return status;
}
