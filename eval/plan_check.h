/* What a plan warns of, before hours are spent: `plan`, and the train form. Any thread but the UI's. */
#ifndef TS_EVAL_PLAN_CHECK_H
#define TS_EVAL_PLAN_CHECK_H

#include "core/engine/train.h"

typedef struct ts_plan_data {
    const char *train, *valid; /* the JSONL files; valid NULL: none */
    const int64_t *ids;        /* the row of the workspace of each line of train; NULL: lines are named by number */
    size_t n_ids;
} ts_plan_data;

/* Sentences into `out`, gravest first: nothing or little to learn from, more memory than is free, rows twice, held-out
 * rows that are trained on, a learning rate out of the usual range of the method, examples longer than the model's
 * context, examples that are cut and that teach nothing, by name. No sentence: nothing was found. */
TS_MUST_USE ts_status ts_plan_check(const ts_run_settings *s, const ts_train_plan *p, const ts_plan_data *data,
                                    ts_names *out, ts_err *err);

#endif
