/* A side's accuracy, robustness and efficiency, after HELM (Liang et al. 2022). Every prompt is also asked with each of
 * the changes of eval/perturb.h. Robustness is the worst score of the prompt and its changed forms, as HELM's is, and
 * beside it the mean over the changed forms alone. Intervals: over prompts; Wilson's where every prompt counts 0 or 1,
 * else the bootstrap. Speed and seconds of local sides: a batch's time shared by its tokens, the model's loading left
 * out; sides that are generated in one batch so have the same speed. */
#ifndef TS_EVAL_ROBUST_H
#define TS_EVAL_ROBUST_H

#include "core/base/json.h"
#include "eval/measures.h"

/* One line of the table. */
typedef struct ts_robust_row {
    const char *name; /* in JSON */
    const char *help;
    ts_measure m;
    ts_metric_id format; /* what it is printed like */
} ts_robust_row;
enum { TS_ROBUST_ROWS = 3 + TS_P_COUNT + 3 };

typedef struct ts_robust {
    ts_metric_id by; /* what a score is: TS_METRIC_COUNT where no answer has changed forms */
    ts_robust_row rows[TS_ROBUST_ROWS];
} ts_robust;

/* From the answers [i * stride] that have changed forms (ts_answer.perturbed). */
void ts_robust_side(const ts_answer *answers, size_t n, size_t stride, uint64_t seed, ts_robust *out);
/* {"by":"f1","accuracy":..,..,"intervals":{..}} */
void ts_robust_write(const ts_robust *r, ts_jw *w);
/* Whether some side has that line. */
bool ts_robust_measured(const ts_robust *sides, size_t n, size_t row);
/* A line's label, whether or not a side has it. */
const char *ts_robust_label(size_t row);
/* What was done, in a sentence; nothing where no side has changed forms. */
void ts_robust_explain(const ts_robust *sides, size_t n, ts_buf *out);

#endif
