/* Scores a model gives to the rows of a workspace (dataset/lmscore.h): the job behind `score --model` and the Scores
 * screen. What a model has scored before is not scored again: stopped or killed, the next call goes on. */
#ifndef TS_EVAL_LMSCORES_H
#define TS_EVAL_LMSCORES_H

#include "dataset/lmscore.h"

typedef struct ts_lm_options {
    const char *ws;
    const char *model;    /* NULL: the run's, else the workspace's */
    const char *template; /* NULL: as ts_runs_template chooses */
    const char *run;      /* ADAPTER: what it learnt is measured too; NULL: none */
    const char *where;    /* NULL: all but the rejected rows */
    int64_t max_length;   /* longer rows are left out; 0: 1024 */
    const char *log;      /* the engine's stderr; NULL: ours */
} ts_lm_options;

typedef struct ts_lm_report {
    int64_t rows;           /* of the query */
    int64_t scored, known;  /* now, with the model; and before (or the same texts as another row) */
    int64_t scored_run;     /* now, with the run */
    int64_t left_out;       /* of those scored now: too long, without an answer, or refused by the template */
    char why[200];          /* of the first one left out */
    int64_t first_left_out; /* its row; 0: none */
    char model[120], run[120];
    double seconds;
} ts_lm_report;

/* Blocks: a worker's or the command line's. Cancelled: what was scored is kept. */
TS_MUST_USE ts_status ts_lm_scores(const ts_lm_options *o, ts_progress *progress, ts_lm_report *report, ts_err *err);

#endif
