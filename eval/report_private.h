/* What the forms of a report share. */
#ifndef TS_EVAL_REPORT_PRIVATE_H
#define TS_EVAL_REPORT_PRIVATE_H

#include "eval/report.h"

/* Facts of a run, as a name and a value: fn is called for each, in the order they are shown; value is text from data.
 */
typedef void ts_fact_fn(void *ctx, const char *name, const char *value);
void ts_report_run_facts(const ts_run_info *run, ts_fact_fn *fn, void *ctx);
/* Every member of its run.json. */
void ts_report_run_settings(const ts_run_info *run, ts_fact_fn *fn, void *ctx);
/* The command line that would train it again, without the workspace. */
void ts_report_command(const ts_run_info *run, ts_buf *out);
/* "2026-11-25 19:20 UTC" */
void ts_report_time(int64_t ms, ts_buf *out);
/* A measure as it is shown: "92% [85%, 96%]"; "-": not measured. */
void ts_report_measure(ts_metric_id id, const ts_measure *m, ts_buf *out);
/* Whether any side has that measure. */
bool ts_report_measured(const ts_report *r, int id);
/* Whether any side was voted on. */
bool ts_report_voted(const ts_report *r);
/* Whether all sides answered the same number of prompts: else their numbers do not compare. */
bool ts_report_even(const ts_report *r);
/* What is said below an answer: "58 tokens, ended, check passed, loss on the reference 1.087". */
void ts_report_answer_facts(const ts_answer *a, ts_buf *out);
/* How a side stands in the votes, in words. */
void ts_report_votes(const ts_side_votes *v, ts_buf *out);
/* The index of the side with the best number of a metric, when it is better than all others; n_sides: none. */
size_t ts_report_best(const ts_report *r, int id);

#endif
