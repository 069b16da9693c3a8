/* Worker threads for calculation: split one job over the cores and wait for it. One pool per process, made on first
 * use; workers spin briefly between jobs (a step has thousands of short ones) and then sleep. */
#ifndef TS_WORK_POOL_H
#define TS_WORK_POOL_H

#include <stddef.h>

/* Threads used by ts_parallel from now on (1 = none but the caller's); n < 1: one per core the process may use. */
void ts_pool_set_threads(int n);
int ts_pool_threads(void);
/* Calls task(ctx, i, worker) once for every i in [0, n), handed out in order from one counter, on all threads; returns
 * when all are done. `worker` in [0, threads) tells which scratch to use. Which worker gets which i varies, so results
 * must not depend on it. Not reentrant: called from one thread at a time, never from inside a task. */
void ts_parallel(size_t n, void (*task)(void *ctx, size_t i, int worker), void *ctx);
/* Ends the threads (tests under sanitizers; a later ts_parallel starts new ones). */
void ts_pool_stop(void);

#endif
