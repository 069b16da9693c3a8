/* What the files of the training loop share: train.c (start, validation, loop, end), train_step.c (one step),
 * train_save.c (what is written beside the events). Private to core/engine/train*.c. */
#ifndef TS_ENGINE_TRAIN_PRIVATE_H
#define TS_ENGINE_TRAIN_PRIVATE_H

#include "core/engine/checkpoint.h"
#include "core/engine/examples.h"
#include "core/engine/fisher.h"
#include "core/engine/net.h"
#include "core/engine/optim.h"
#include "core/engine/run_events.h"
#include "core/engine/train.h"
#include "core/engine/train_samples.h"
#include "core/work/turns.h"

/* What the seed is mixed with; 1: ts_train_order, 4: replay.c. */
enum { TS_STREAM_INIT = 2, TS_STREAM_DROPOUT = 3, TS_STREAM_ROUND = 5 };

typedef struct ts_trainer {
    const char *dir;
    const ts_train_options *options;
    ts_progress *progress;
    ts_run_settings s;
    const ts_method_facts *method;
    ts_schedule schedule;
    ts_lock lock;
    ts_turns turns;
    ts_room room;
    ts_events events;
    ts_model *model;
    ts_net *net;
    ts_encoder encoder;
    ts_examples train, valid, general, ewc;
    ts_train_samples *samples;          /* NULL: no prompts are answered */
    ts_adapter *adapter, *grad, *m, *v; /* what is trained, its gradient, AdamW's two means */
    ts_adapter *start, *fisher;         /* with EWC, or NULL: where the run began, how much each number matters */
    ts_fisher *base_fisher;             /* with EWC of the base, or NULL: how much each adapted weight matters */
    bool *replayed;                     /* with KL, or NULL: which examples of train are held to the base */
    bool *held;                         /* the same of seqs */
    ts_checkpoint at;                   /* where the run is; its arrays are those of adapter, m and v */
    size_t batch;                       /* examples a step: batch_size * grad_accum */
    int64_t steps, steps_per_epoch, warmup, eval_every, sample_every;
    size_t *order; /* of the epoch that `epoch_of_order` names */
    int64_t epoch_of_order;
    ts_seq *seqs;
    ts_buf line;
    double last_checkpoint;
    bool resumed;
} ts_trainer;

/* A line for people. */
void TS_PRINTF(2, 3) ts_train_say(const ts_trainer *t, const char *fmt, ...);
/* The same as an event of the run. */
ts_status TS_PRINTF(3, 4) ts_train_warn(ts_trainer *t, ts_err *err, const char *fmt, ...);
int64_t ts_peak_rss(void);
static inline ts_seq ts_train_seq(const ts_example *x) {
    return (ts_seq){x->ids.items, x->labels.items, x->ids.n, x->weights};
}

/* One optimiser step and its event. */
TS_MUST_USE ts_status ts_train_step(ts_trainer *t, ts_err *err);
TS_MUST_USE ts_status ts_train_checkpoint(ts_trainer *t, ts_err *err);
/* DIR/name becomes what is trained, as it is now: written beside, then swapped in, so that a whole one is always there.
 */
TS_MUST_USE ts_status ts_train_save(ts_trainer *t, const char *name, ts_err *err);

#endif
