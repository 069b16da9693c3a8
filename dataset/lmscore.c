#include "dataset/lmscore.h"

#include "dataset/db.h"
#include "dataset/view.h"

#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define OF(shown, column)                                                                                              \
    "(SELECT l." column " FROM lm_score l WHERE l.model=(SELECT id FROM lm_model WHERE shown=" shown                   \
    ") AND l.hash=e.hash)"
const ts_lm_field ts_lm_fields[TS_LM_FIELDS] = {
    {"loss", "mean NLL a token of the answer", OF("1", "loss")},
    {"perplexity", "e to the power of loss", OF("1", "perplexity")},
    {"ifd_loss", "loss with the prompt / loss without", OF("1", "ifd_loss")},
    {"ifd_ppl", "perplexity with the prompt / without", OF("1", "ifd_ppl")},
    {"loss_max", "loss of the worst turn", OF("1", "loss_max")},
    {"perplexity_max", "perplexity of the worst turn", OF("1", "perplexity_max")},
    {"ifd_loss_max", "ifd_loss of the worst turn", OF("1", "ifd_loss_max")},
    {"ifd_ppl_max", "ifd_ppl of the worst turn", OF("1", "ifd_ppl_max")},
    {"loss_after", "loss after the run", OF("2", "loss")},
    {"learning", "loss before the run - loss after it", OF("2", "learning")},
    {"noise", "share of rows with a lower loss_after: high ones may be wrong", OF("2", "noise")},
};

const ts_lm_field *ts_lm_field_find(const char *name, size_t n) {
    for (size_t i = 0; i < TS_LM_FIELDS; i++)
        if (strlen(ts_lm_fields[i].name) == n && memcmp(ts_lm_fields[i].name, name, n) == 0) return &ts_lm_fields[i];
    return NULL;
}

void ts_lm_values(ts_store *st, int64_t id, double out[TS_LM_FIELDS]) {
    /* the columns in the order of the table: those of the model, then those of the run */
    sqlite3_stmt *s =
        ts_db_stmt(st,
                   "SELECT m.shown,l.loss,l.perplexity,l.ifd_loss,l.ifd_ppl,l.loss_max,l.perplexity_max,"
                   "l.ifd_loss_max,l.ifd_ppl_max,l.loss,l.learning,l.noise FROM lm_model m JOIN lm_score l"
                   " ON l.model=m.id AND l.hash=(SELECT hash FROM example WHERE id=?1) WHERE m.shown>0",
                   NULL);
    enum { OF_MODEL = 8 };
    for (int i = 0; i < TS_LM_FIELDS; i++)
        out[i] = NAN;
    if (!s) return;
    sqlite3_bind_int64(s, 1, id);
    while (sqlite3_step(s) == SQLITE_ROW) {
        bool run = sqlite3_column_int(s, 0) == 2;
        for (int i = run ? OF_MODEL : 0; i < (run ? TS_LM_FIELDS : OF_MODEL); i++)
            if (sqlite3_column_type(s, i + 1) != SQLITE_NULL) out[i] = sqlite3_column_double(s, i + 1);
    }
    sqlite3_reset(s);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

ts_status ts_lm_spread_read(ts_store *st, const ts_lm_field *f, ts_lm_spread *out, ts_err *err) {
    char *sql = ts_printf(
        "SELECT %s AS v FROM example e WHERE e.batch NOT IN " TS_HIDDEN " AND e.status<>2 AND v IS NOT NULL", f->sql);
    sqlite3_stmt *s = NULL;
    double *all = NULL;
    size_t n = 0, cap = 0;
    int rc = sqlite3_prepare_v2(st->db, sql, -1, &s, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW)
        if ((rc = sqlite3_step(s)) == SQLITE_ROW) TS_PUSH(all, n, cap, sqlite3_column_double(s, 0));
    ts_status status = rc == SQLITE_DONE ? TS_OK : ts_db_fail(st, "read the model's scores", err);
    sqlite3_finalize(s);
    free(sql);
    if (n) qsort(all, n, sizeof *all, by_size);
    *out = (ts_lm_spread){(int64_t)n, NAN, NAN, NAN};
    if (n) *out = (ts_lm_spread){(int64_t)n, all[(n - 1) * 5 / 100], all[(n - 1) / 2], all[(n - 1) * 95 / 100]};
    free(all);
    return status;
}

/* ---- scores of turns ---- */

static double larger(double a, double b) {
    return isfinite(a) && a > b ? a : b;
}

static void add_ifd(const ts_lm_turn *t, double sums[3], ts_lm_score *out) {
    double n = (double)t->n;
    if (t->n < TS_IFD_LEAST || !isfinite(t->alone) || !(t->alone > 0)) return;
    sums[0] += t->given;
    sums[1] += t->alone;
    sums[2] += n;
    out->ifd_loss_max = isnan(out->ifd_loss_max) ? t->given / t->alone : larger(t->given / t->alone, out->ifd_loss_max);
    double ppl = exp((t->given - t->alone) / n);
    out->ifd_ppl_max = isnan(out->ifd_ppl_max) ? ppl : larger(ppl, out->ifd_ppl_max);
}

void ts_lm_score_of(const ts_lm_turn *turns, size_t n, ts_lm_score *out) {
    double given = 0, worst = -INFINITY, sums[3] = {0};
    *out = (ts_lm_score){.loss = NAN,
                         .loss_max = NAN,
                         .perplexity = NAN,
                         .perplexity_max = NAN,
                         .ifd_loss = NAN,
                         .ifd_loss_max = NAN,
                         .ifd_ppl = NAN,
                         .ifd_ppl_max = NAN};
    for (size_t i = 0; i < n; i++) {
        if (turns[i].n <= 0 || !isfinite(turns[i].given)) continue;
        given += turns[i].given;
        out->tokens += turns[i].n;
        worst = larger(turns[i].given / (double)turns[i].n, worst);
        add_ifd(&turns[i], sums, out);
    }
    if (out->tokens == 0) return;
    out->loss = given / (double)out->tokens;
    out->loss_max = worst;
    out->perplexity = exp(out->loss);
    out->perplexity_max = exp(worst);
    if (!(sums[1] > 0)) return;
    out->ifd_loss = sums[0] / sums[1];
    out->ifd_ppl = exp((sums[0] - sums[1]) / sums[2]);
}

/* ---- keeping ---- */

ts_status ts_lm_model(ts_store *st, const char *key, const char *name, int shown, int64_t *model, ts_err *err) {
    static const char what[] = "keep the model's scores";
    TS_TRY(ts_db_begin(st, what, err));
    ts_status status;
    sqlite3_stmt *s = ts_db_stmt(st, "UPDATE lm_model SET shown=0 WHERE shown=?1", err);
    if (s) sqlite3_bind_int(s, 1, shown);
    TS_GOTO(ts_db_step(st, s, what, err));
    s = ts_db_stmt(st,
                   "INSERT INTO lm_model(key,name,shown) VALUES(?1,?2,?3)"
                   " ON CONFLICT(key) DO UPDATE SET name=?2,shown=?3 RETURNING id",
                   err);
    if (!s) TS_GOTO(err ? err->code : TS_IO);
    sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, name, -1, SQLITE_STATIC);
    sqlite3_bind_int(s, 3, shown);
    bool made = sqlite3_step(s) == SQLITE_ROW;
    if (made) *model = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    if (!made) TS_GOTO(ts_db_fail(st, what, err));
    status = ts_db_commit(st, what, err);
out:
    if (status != TS_OK) ts_db_rollback(st);
    return status;
}

bool ts_lm_hash(ts_store *st, int64_t id, int64_t *hash) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT hash FROM example WHERE id=?1", NULL);
    if (!s) return false;
    sqlite3_bind_int64(s, 1, id);
    bool there = sqlite3_step(s) == SQLITE_ROW;
    if (there) *hash = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return there;
}

static bool is_kept(ts_store *st, int64_t model, int64_t hash) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT 1 FROM lm_score WHERE model=?1 AND hash=?2", NULL);
    if (!s) return false;
    sqlite3_bind_int64(s, 1, model);
    sqlite3_bind_int64(s, 2, hash);
    bool there = sqlite3_step(s) == SQLITE_ROW;
    sqlite3_reset(s);
    return there;
}

struct waiting {
    int64_t hash, id;
};

static int by_hash(const void *a, const void *b) {
    const struct waiting *x = a, *y = b;
    return x->hash != y->hash ? (x->hash > y->hash) - (x->hash < y->hash) : (x->id > y->id) - (x->id < y->id);
}

static int by_id(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

ts_status ts_lm_pending(ts_store *st, int64_t model, const char *where, int64_t **ids, size_t *n, int64_t *all,
                        ts_err *err) {
    ts_view *v = NULL;
    struct waiting *list = NULL, w;
    size_t m = 0, cap = 0;
    *ids = NULL;
    *n = 0;
    TS_TRY(ts_view_new(&v, st, where ? where : "status!=rejected", NULL, NULL, NULL, err));
    *all = (int64_t)ts_view_count(v);
    for (size_t i = 0; i < ts_view_count(v); i++) {
        w.id = ts_view_id(v, i);
        if (ts_lm_hash(st, w.id, &w.hash) && !is_kept(st, model, w.hash)) TS_PUSH(list, m, cap, w);
    }
    ts_view_free(v);
    if (m) qsort(list, m, sizeof *list, by_hash);
    *ids = ts_calloc(m + 1, sizeof **ids);
    for (size_t i = 0; i < m; i++)
        if (i == 0 || list[i].hash != list[i - 1].hash) (*ids)[(*n)++] = list[i].id;
    qsort(*ids, *n, sizeof **ids, by_id);
    free(list);
    return TS_OK;
}

/* SQLite stores NAN as NULL. */
static ts_status keep_one(ts_store *st, int64_t model, const ts_lm_kept *k, ts_err *err) {
    const ts_lm_score *x = &k->score;
    const double values[] = {x->loss,     x->loss_max,     x->perplexity, x->perplexity_max,
                             x->ifd_loss, x->ifd_loss_max, x->ifd_ppl,    x->ifd_ppl_max};
    sqlite3_stmt *s = ts_db_stmt(st,
                                 "INSERT OR REPLACE INTO lm_score(model,hash,tokens,loss,loss_max,perplexity,"
                                 "perplexity_max,ifd_loss,ifd_loss_max,ifd_ppl,ifd_ppl_max)"
                                 " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
                                 err);
    if (s) {
        sqlite3_bind_int64(s, 1, model);
        sqlite3_bind_int64(s, 2, k->hash);
        sqlite3_bind_int64(s, 3, x->tokens);
        for (int i = 0; i < (int)TS_COUNT(values); i++)
            sqlite3_bind_double(s, 4 + i, values[i]);
    }
    return ts_db_step(st, s, "keep the model's scores", err);
}

ts_status ts_lm_keep(ts_store *st, int64_t model, const ts_lm_kept *scores, size_t n, ts_err *err) {
    static const char what[] = "keep the model's scores";
    TS_TRY(ts_db_begin(st, what, err));
    ts_status status = TS_OK;
    for (size_t i = 0; i < n && status == TS_OK; i++)
        status = keep_one(st, model, &scores[i], err);
    if (status == TS_OK) status = ts_db_commit(st, what, err);
    if (status != TS_OK) ts_db_rollback(st);
    return status;
}

ts_status ts_lm_learnt(ts_store *st, int64_t model, int64_t run, ts_err *err) {
    static const char what[] = "keep what was learnt";
    static const char *const steps[] = {
        "UPDATE lm_score SET learning=(SELECT b.loss FROM lm_score b WHERE b.model=?1 AND b.hash=lm_score.hash)-loss"
        " WHERE model=?2",
        /* the row with the highest loss has 1, the lowest 0; equal losses are equal */
        "UPDATE lm_score SET noise=r.share FROM (SELECT hash,percent_rank() OVER (ORDER BY loss) AS share FROM lm_score"
        " WHERE model=?2 AND loss IS NOT NULL AND ?1) AS r WHERE lm_score.model=?2 AND lm_score.hash=r.hash",
    };
    TS_TRY(ts_db_begin(st, what, err));
    ts_status status = TS_OK;
    for (size_t i = 0; i < TS_COUNT(steps) && status == TS_OK; i++) {
        sqlite3_stmt *s = ts_db_stmt(st, steps[i], err);
        if (s) sqlite3_bind_int64(s, 1, model);
        if (s) sqlite3_bind_int64(s, 2, run);
        status = ts_db_step(st, s, what, err);
    }
    if (status == TS_OK) status = ts_db_commit(st, what, err);
    if (status != TS_OK) ts_db_rollback(st);
    return status;
}
