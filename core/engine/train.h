/* The training loop on a run folder: starts it, or goes on from its checkpoint as if it had never stopped.
 *
 * Resume is exact: adapter, both moments, step, place in the data and best-so-far come from the checkpoint that
 * checkpoints/CURRENT names, and events.jsonl is cut back to where it stood then. N steps + stop + N steps give the
 * bytes of 2N steps. Between steps it lets answers go first (core/work/turns.h). A full disk is waited for
 * (run_room.h). Cancelling (SIGTERM in the verb) writes a checkpoint and ends with state "stopped". */
#ifndef TS_ENGINE_TRAIN_H
#define TS_ENGINE_TRAIN_H

#include "core/engine/examples.h"
#include "core/engine/run.h"

typedef struct ts_train_result {
    ts_run_state state; /* TS_RUN_DONE or TS_RUN_STOPPED */
    int64_t steps;
    double train_loss, valid_loss, best_valid_loss; /* NAN: not measured */
    int64_t best_step;                              /* -1 */
    double seconds, tokens_per_second, supervised_tokens_per_second;
    int64_t peak_rss_bytes;
} ts_train_result;

typedef struct ts_train_options {
    const char *model; /* instead of the path in run.json (the folder was moved); its content hash must be the same */
    /* Called after every step and evaluation from the training thread with one line for people. May be NULL. */
    void (*on_line)(void *ctx, const char *line);
    /* Called once before the first step with PEFT's line: "trainable params: 4,884,480 || all params: ..." */
    void (*on_start)(void *ctx, const char *trainable_line);
    void *ctx;
} ts_train_options;

/* Trains the run to its end. progress counts steps. TS_BUSY: another process has the run. TS_CORRUPT: data, model or
 * checkpoint are not those the run was made with; the text says which. A failure is also the run's end event. */
TS_MUST_USE ts_status ts_train_run(const char *run_dir, const ts_train_options *o, ts_progress *progress,
                                   ts_train_result *result, ts_err *err);
/* The same from what the run's folder tells, finished or not. */
TS_MUST_USE ts_status ts_train_result_read(const char *run_dir, ts_train_result *r, ts_err *err);
/* The last line of `train --json`; run 0: a run without a number. */
void ts_train_result_write(const ts_train_result *r, int64_t run, const char *dir, const char *precision, ts_buf *out);

/* What a run would cost, before it is started: `plan`, and the form. */
typedef struct ts_train_plan {
    int64_t examples, tokens, supervised_tokens, truncated, unsupervised, steps;
    int64_t trainable_params, all_params, memory_bytes;
    int64_t disk_bytes; /* of the run folder at its largest: results, two checkpoints */
    double seconds;     /* NAN: not measured */
    int64_t longest;
    int64_t replayed; /* of the examples: general rows that --replay mixes in */
    int64_t context;  /* tokens the model was made for */
    /* the first lines of the file that are cut, and that teach nothing */
    int64_t truncated_lines[TS_LINES_NAMED], unsupervised_lines[TS_LINES_NAMED];
} ts_train_plan;
/* Program, libraries and a tokenizer in memory. */
#define TS_PROGRAM_BYTES 40e6
/* Optimiser steps that a run on so many examples takes. */
int64_t ts_train_steps(const ts_run_settings *s, int64_t examples);
/* In which order an epoch (from 0) takes its n examples. */
void ts_train_order(const ts_run_settings *s, int64_t epoch, size_t *order, size_t n);
/* Reads the settings' model and the JSONL file as training would (all rows tokenised; nothing is held out of it). */
TS_MUST_USE ts_status ts_train_plan_make(const ts_run_settings *s, const char *train_file, ts_progress *progress,
                                         ts_train_plan *out, ts_err *err);
/* How long the run that `plan` describes would take here: does a step of it on the batch that is nearest to the mean
 * length (twice, the second one counts; nothing is kept) and scales it by tokens; steps and validation on a share of
 * `held_out` of the examples, every epoch. Takes the memory that the run takes:
 * TS_INVALID when plan->memory_bytes is more than this machine has free. Into plan->seconds. */
TS_MUST_USE ts_status ts_train_plan_time(const ts_run_settings *s, const char *train_file, double held_out,
                                         ts_progress *progress, ts_train_plan *plan, ts_err *err);

#endif
