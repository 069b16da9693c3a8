/* Inside of compare: asking the sides. */
#ifndef TS_EVAL_COMPARE_ASK_H
#define TS_EVAL_COMPARE_ASK_H

#include "eval/compare.h"

/* Generates every answer and scores the references. Sides on the same model that are asked the same are one batch;
 * prompt i draws from the same random numbers on every local side. An endpoint that fails spoils its own answers only
 * (ts_answer.error); after three failures in a row it is not asked again. */
TS_MUST_USE ts_status ts_compare_ask(ts_compare *c, const ts_compare_options *o, const ts_check *check,
                                     ts_measurer *measurer, ts_progress *progress, ts_err *err);

/* Finds prompts that share TS_LEAK_LEAST words in a row or more with a row that was trained on (split=train, else what
 * is accepted and not held out); sets their leak and leak_row. ws NULL: nothing is known. */
TS_MUST_USE ts_status ts_compare_leaks(ts_compare *c, const char *ws, ts_progress *progress, ts_err *err);

/* Scores the references of all prompts by the model and the adapters on it, nothing is generated: their reference_nll.
 * No side of this kind: nothing happens. */
TS_MUST_USE ts_status ts_compare_score(ts_compare *c, const ts_compare_options *o, ts_progress *progress, ts_err *err);

/* For o->robust: what a score is (c->robust_by), and the changed forms of the prompts behind them. TS_INVALID: nothing
 * is there to score answers by. */
TS_MUST_USE ts_status ts_compare_forms(ts_compare *c, const ts_compare_options *o, ts_err *err);
/* After all is measured: the scores of the changed forms into the answers of their prompts, and c->robust. */
void ts_compare_robust(ts_compare *c, uint64_t seed);

/* How many answers ts_compare_ask makes and texts it scores, and how many texts ts_compare_score does: the units of
 * c->done and c->total. */
int64_t ts_compare_work(const ts_compare *c);
int64_t ts_compare_score_work(const ts_compare *c);

/* Reads o->general into `rows`, a comparison with c's sides, before anything is generated; then scores it and sets
 * c->general. A row that is too long for a side counts for none. Released also after an error. */
TS_MUST_USE ts_status ts_compare_general_read(const ts_compare *c, const ts_compare_options *o, ts_compare *rows,
                                              ts_err *err);
TS_MUST_USE ts_status ts_compare_general(ts_compare *c, const ts_compare_options *o, ts_compare *rows,
                                         ts_progress *progress, ts_err *err);
void ts_compare_general_release(ts_compare *rows);

#endif
