/* Progress and cancellation of one long act, shared by the thread that works and the one that shows or stops it.
 * The worker calls ts_progress_set often (it is cheap) and looks at ts_cancelled at least every few milliseconds. */
#ifndef TS_WORK_PROGRESS_H
#define TS_WORK_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct ts_progress {
    _Atomic int64_t done, total; /* total 0: not known yet */
    _Atomic(const char *) what;  /* a string constant: "importing", "comparing" */
    atomic_bool cancel;
} ts_progress;

/* All take NULL: an act nobody watches. */
static inline void ts_progress_set(ts_progress *p, int64_t done, int64_t total) {
    if (p) {
        atomic_store_explicit(&p->done, done, memory_order_relaxed);
        atomic_store_explicit(&p->total, total, memory_order_relaxed);
    }
}
static inline void ts_progress_what(ts_progress *p, const char *what) {
    if (p) atomic_store_explicit(&p->what, what, memory_order_relaxed);
}
static inline bool ts_cancelled(const ts_progress *p) {
    return p && atomic_load_explicit(&p->cancel, memory_order_relaxed);
}
static inline void ts_cancel(ts_progress *p) {
    if (p) atomic_store_explicit(&p->cancel, true, memory_order_relaxed);
}

#endif
