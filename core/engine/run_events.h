/* The writing side of events.jsonl (DESIGN of a run folder: core/engine/run.h); ts_follow is the reading side.
 *
 *   {"event":"start","time","step","steps","epochs","examples","tokens","supervised_tokens","truncated","unsupervised",
 *        "trainable_params","all_params","pid","host","kernel","threads","weights"?,"resumed"}
 *   {"event":"step","step","loss","kl"?,"l2"?,"ewc"?,"penalty"?,"lr","grad_norm","tokens","supervised_tokens","seconds",
 *        "time","peak_rss_bytes"}
 *   {"event":"eval","step","valid_loss"?,"general_loss"?,"best","seconds","time"} {"event":"checkpoint","step","time"}
 *   {"event":"sample","step","index","prompt","text","ids","stop","time"}
 *   {"event":"warning","step","text","time"}
 *   {"event":"end","state":"done|stopped|failed","step","reason","train_loss","valid_loss","best_step",
 *        "best_valid_loss","seconds","tokens_per_second","supervised_tokens_per_second","peak_rss_bytes","time"}
 *
 * kl, l2 and ewc are what each penalty adds to the loss, penalty is their sum; loss is without.
 * step counts finished optimiser steps from 1 (0: before the first); tokens, supervised_tokens and seconds of a step
 * are that step's; time is milliseconds since 1970. */
#ifndef TS_ENGINE_RUN_EVENTS_H
#define TS_ENGINE_RUN_EVENTS_H

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/engine/run_room.h"

typedef struct ts_events {
    int fd;
    char *path;
    int64_t size;
    ts_room *room; /* set after opening: a full disk is waited for; NULL: it is a failure */
} ts_events;
#define TS_EVENTS_INIT                                                                                                 \
    { -1, NULL, 0, NULL }

/* Opens DIR/events.jsonl for appending, cut to its first `keep` bytes. A cut is a new file under the old name, so that
 * a reader sees another inode and starts over. */
TS_MUST_USE ts_status ts_events_open(ts_events *e, const char *run_dir, int64_t keep, ts_err *err);
void ts_events_close(ts_events *e);
/* Begins a line in `line` (emptied) with its event, step and time; the caller adds members and calls ts_events_add. */
ts_jw ts_events_begin(ts_buf *line, const char *event, int64_t step);
/* Closes the object and appends the line. On a full disk the part that was written is taken back,
 * and with `room` it is tried again. */
TS_MUST_USE ts_status ts_events_add(ts_events *e, ts_jw *w, ts_err *err);
TS_MUST_USE ts_status ts_events_sync(ts_events *e, ts_err *err);

#endif
