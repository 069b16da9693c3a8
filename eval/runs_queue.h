/* The queue of a workspace: one run trains, the others wait their turn.
 *
 * The queue is no list anywhere but the small file `queue` in the folder of every run that waits (ts_run_place): it is
 * there after a restart of the workbench and of the machine. Whoever finds that nothing trains starts the first one
 * that is not held: the training process that ends, the workbench, `runs` and `train`. Everything that changes the
 * queue happens under the lock runs/.queue, which is kept until the run that was started has its own lock, so two
 * programs never start two runs, nor one twice. A run that cannot be started is left behind (its events say why) and
 * the next one begins. Any thread but the UI's: a start takes as long as the other process needs to begin. */
#ifndef TS_EVAL_RUNS_QUEUE_H
#define TS_EVAL_RUNS_QUEUE_H

#include "eval/runs.h"

/* The run trains when it is its turn: at once where nothing else of the workspace trains or waits. *number: its place
 * in the queue from 1, the one that trains not counted; 0: it has begun. */
TS_MUST_USE ts_status ts_runs_begin(const char *ws, const char *dir, size_t *number, ts_err *err);
/* Starts the first of the queue if nothing trains. *started: its folder (the caller's), NULL: nothing was started.
 * patience: seconds to wait for another program that is at the queue; after them TS_BUSY. */
TS_MUST_USE ts_status ts_runs_next(const char *ws, double patience, char **started, ts_err *err);
/* Takes a run out of the queue; it stays as it is. TS_NOT_FOUND: it does not wait. */
TS_MUST_USE ts_status ts_runs_leave(const char *ws, const char *dir, ts_err *err);
/* Held runs keep their place and are passed over. dir NULL: every run that waits. */
TS_MUST_USE ts_status ts_runs_hold(const char *ws, const char *dir, bool held, ts_err *err);
/* Changes places with the run before (by -1) or behind it (1); nothing at the ends. */
TS_MUST_USE ts_status ts_runs_move(const char *ws, const char *dir, int by, ts_err *err);

/* The place of runs->items[i] in the queue, from 1; 0: it does not wait. */
size_t ts_runs_number(const ts_runs *runs, size_t i);
/* The workspace that a run folder lies in (WS/runs/NNNN-name); NULL: it lies elsewhere. The caller frees. */
char *ts_runs_workspace(const char *run_dir);

#endif
