/* What a model makes of the rows: losses of their answers, IFD, what a run learnt of them. Kept by the hash of a row's
 * texts and a key of the model, so the same texts are never scored twice, a changed row has no scores, and two models'
 * scores stand beside each other. The scores of one model and of one run are shown at a time (the ones asked for last);
 * they are fields of the query language, of Browse's columns and of `select --by`:
 *
 *   loss perplexity      mean NLL a token of all assistant turns, and e to the power of it
 *   loss_max perplexity_max   of the worst turn
 *   ifd_loss             loss with the prompt / loss without; above 1: the prompt makes the answer less likely
 *   ifd_ppl              perplexity with the prompt / perplexity without; above 1 exactly when ifd_loss is
 *   ifd_loss_max ifd_ppl_max  of the worst turn
 *   loss_after           loss in the model with a run's adapter
 *   learning             loss - loss_after: what the run learnt of the row
 *   noise                a hint at wrong labels: share of the scored rows whose loss_after is lower (0.95: among the
 *                        highest twentieth)
 *
 * IFD is left out for turns under TS_IFD_LEAST tokens. Of several turns the mean is weighted by tokens. */
#ifndef TS_DATASET_LMSCORE_H
#define TS_DATASET_LMSCORE_H

#include "dataset/store.h"

enum { TS_IFD_LEAST = 10 };

enum { TS_LM_FIELDS = 11 };
typedef struct ts_lm_field {
    const char *name;
    const char *help;
    const char *sql; /* the expression for example e */
} ts_lm_field;
extern const ts_lm_field ts_lm_fields[TS_LM_FIELDS];
/* NULL: there is no such field. */
const ts_lm_field *ts_lm_field_find(const char *name, size_t n);
/* The values of a row, in the order of the table; NAN: there is none. By key. */
void ts_lm_values(ts_store *st, int64_t id, double out[TS_LM_FIELDS]);

/* Where a field lies among the rows that are not rejected. */
typedef struct ts_lm_spread {
    int64_t rows;
    double p5, p50, p95; /* NAN: no rows */
} ts_lm_spread;
TS_MUST_USE ts_status ts_lm_spread_read(ts_store *st, const ts_lm_field *f, ts_lm_spread *out, ts_err *err);

/* One assistant turn: sums of NLL over n tokens; alone NAN: not measured. */
typedef struct ts_lm_turn {
    double given, alone;
    int64_t n;
} ts_lm_turn;
/* NAN: could not be measured. */
typedef struct ts_lm_score {
    int64_t tokens;
    double loss, loss_max, perplexity, perplexity_max, ifd_loss, ifd_loss_max, ifd_ppl, ifd_ppl_max;
} ts_lm_score;
/* Pure. n = 0: all NAN. */
void ts_lm_score_of(const ts_lm_turn *turns, size_t n, ts_lm_score *out);

/* The number of a model's key, made when it is new; its scores are shown from now on (as model 1 or run 2). `name` is
 * what people are told. */
TS_MUST_USE ts_status ts_lm_model(ts_store *st, const char *key, const char *name, int shown, int64_t *model,
                                  ts_err *err);
/* The rows of a query (NULL: all but rejected) that the model has not scored, by id, each text once; the caller's
 * (free). *all: how many the query has. */
TS_MUST_USE ts_status ts_lm_pending(ts_store *st, int64_t model, const char *where, int64_t **ids, size_t *n,
                                    int64_t *all, ts_err *err);
typedef struct ts_lm_kept {
    int64_t id; /* of the row, whose texts must be those that were scored: `hash` */
    int64_t hash;
    ts_lm_score score;
} ts_lm_kept;
/* The hash of a row's texts; false: there is no such row. */
bool ts_lm_hash(ts_store *st, int64_t id, int64_t *hash);
TS_MUST_USE ts_status ts_lm_keep(ts_store *st, int64_t model, const ts_lm_kept *scores, size_t n, ts_err *err);
/* Fills `learning` and `noise` of the run's scores from those of the model. */
TS_MUST_USE ts_status ts_lm_learnt(ts_store *st, int64_t model, int64_t run, ts_err *err);

#endif
