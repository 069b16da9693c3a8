/* Jobs beside the screen: one worker thread takes jobs in order; finished ones come back to the thread that owns the
 * queue, which is woken through a pipe it polls together with the keyboard (the shape of cmus' worker).
 *
 * Threads: every function is called by the owner only, unless it says otherwise. A job belongs to the worker while its
 * run() goes on and to the owner before and after; nothing in it is shared at the same time but `progress` and what the
 * job itself guards with a lock. The lock inside guards the two lists only. */
#ifndef TS_WORK_QUEUE_H
#define TS_WORK_QUEUE_H

#include "core/base/err.h"
#include "core/work/progress.h"

#include <stddef.h>

/* A pipe that wakes a poll(); several queues, signal handlers and children may ring the same one. */
typedef struct ts_wake {
    int read_fd, write_fd;
} ts_wake;
TS_MUST_USE ts_status ts_wake_open(ts_wake *w, ts_err *err);
void ts_wake_ring(const ts_wake *w);  /* any thread, also a signal handler */
void ts_wake_clear(const ts_wake *w); /* empties the pipe */
void ts_wake_close(ts_wake *w);

/* First member of a struct of the caller's, which `done` frees. */
typedef struct ts_job {
    const char *title;             /* "filtering": shown while it runs; NULL: too short to show */
    unsigned kind;                 /* 0, or a number of the caller's for ts_queue_cancel */
    void (*run)(struct ts_job *);  /* on the worker; looks at ts_cancelled(&job->progress) every few milliseconds */
    void (*done)(struct ts_job *); /* on the owner's thread, always called exactly once; status says how it went */
    ts_progress progress;
    ts_status status; /* set by run; TS_CANCELLED if it never ran */
    ts_err err;
    double begun; /* ts_now() when it was queued */
    struct ts_job *next, *next_alive;
} ts_job;

typedef struct ts_queue ts_queue;
TS_MUST_USE ts_status ts_queue_new(ts_queue **out, const ts_wake *wake, ts_err *err);
/* Cancels all, waits for the running one, ends the thread. The queue can still be pushed to (such jobs never run) and
 * looked at until ts_queue_free, so that several queues whose jobs push to each other can be ended in any order. */
void ts_queue_stop(ts_queue *q);
/* Stops it if it goes on; cancels all, waits for the running one, calls done for every job, ends the thread. NULL is
 * fine. */
void ts_queue_free(ts_queue *q);

void ts_queue_push(ts_queue *q, ts_job *job);
/* Asks all jobs of `kind` to stop (0: all). Those that wait are finished with TS_CANCELLED at the next drain. */
void ts_queue_cancel(ts_queue *q, unsigned kind);
/* Calls done for what has finished; returns how many. */
size_t ts_queue_drain(ts_queue *q);
/* Jobs pushed whose done was not yet called: 0 means idle, without exception, because a job counts before its thread
 * hears of it. */
size_t ts_queue_busy(const ts_queue *q);
/* The oldest living job and those behind it (next_alive), for lists of jobs. */
const ts_job *ts_queue_jobs(const ts_queue *q);

#endif
