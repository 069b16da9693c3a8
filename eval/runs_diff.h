/* Two runs or more beside each other: the settings in which they differ, and what came of it. Any thread but the UI's.
 */
#ifndef TS_EVAL_RUNS_DIFF_H
#define TS_EVAL_RUNS_DIFF_H

#include "eval/runs.h"

enum { TS_DIFF_RUNS = 5 /* at most */ };

typedef struct ts_diff_row {
    char *name;                 /* "learning_rate", or of a result "held-out loss" */
    bool result;                /* else a setting, as run.json has it */
    char *values[TS_DIFF_RUNS]; /* as texts; "-": not set, not measured */
} ts_diff_row;

typedef struct ts_diff {
    size_t n_runs;
    char *names[TS_DIFF_RUNS]; /* "0003-lora" */
    ts_diff_row *rows;         /* settings first, then results */
    size_t n, cap;
} ts_diff;

/* dirs: 2 to TS_DIFF_RUNS run folders. Settings that are the same in all, and when a run was made, are left out;
 * results are all there. Released by the caller, also after a failure. */
TS_MUST_USE ts_status ts_runs_diff(const char *const *dirs, size_t n, ts_diff *out, ts_err *err);
void ts_diff_release(ts_diff *d);
/* A table for people, appended. width: columns there are; long values are cut. */
void ts_diff_table(const ts_diff *d, size_t width, ts_buf *out);

#endif
