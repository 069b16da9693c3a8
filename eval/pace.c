#include "eval/pace.h"

#include "core/base/clock.h"
#include "core/base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct ts_pace {
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t moved;
    int most, limit, on_way;
    double until; /* ts_now() before which nothing goes */
};

ts_pace *ts_pace_new(int most) {
    ts_pace *p = ts_calloc(1, sizeof *p);
    pthread_condattr_t attr;
    p->most = p->limit = TS_MAX(most, 1);
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->moved, &attr);
    pthread_condattr_destroy(&attr);
    return p;
}

void ts_pace_free(ts_pace *p) {
    if (!p) return;
    pthread_cond_destroy(&p->moved);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* Until something moved, and no longer than a stop may go unnoticed. The lock is held. */
static void wait_a_little(ts_pace *p) {
    enum { LOOK_NS = 50000000, SECOND_NS = 1000000000 };
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += LOOK_NS;
    t.tv_sec += t.tv_nsec / SECOND_NS;
    t.tv_nsec %= SECOND_NS;
    pthread_cond_timedwait(&p->moved, &p->lock, &t);
}

bool ts_pace_enter(ts_pace *p, ts_progress *progress) {
    if (!p) return !ts_cancelled(progress);
    pthread_mutex_lock(&p->lock);
    while (!ts_cancelled(progress) && (p->on_way >= p->limit || ts_now() < p->until))
        wait_a_little(p);
    bool goes = !ts_cancelled(progress);
    p->on_way += goes;
    pthread_mutex_unlock(&p->lock);
    return goes;
}

void ts_pace_leave(ts_pace *p, ts_pace_end end, double seconds) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->on_way--;
    if (end == TS_PACE_BUSY) p->limit = TS_MAX(p->limit / 2, 1);
    if (end == TS_PACE_ANSWERED) p->limit = TS_MIN(p->limit + 1, p->most);
    if (end == TS_PACE_BUSY) p->until = TS_MAX(p->until, ts_now() + seconds);
    pthread_cond_broadcast(&p->moved);
    pthread_mutex_unlock(&p->lock);
}

int ts_pace_limit(ts_pace *p) {
    pthread_mutex_lock(&p->lock);
    int limit = p->limit;
    pthread_mutex_unlock(&p->lock);
    return limit;
}
