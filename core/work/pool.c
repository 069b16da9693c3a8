#include "core/work/pool.h"

#include "core/base/err.h"
#include "core/base/mem.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* One job at a time. Its ticket counter holds (job number << 32 | next index); an index is taken by compare-and-swap,
 * so a worker that wakes late and still looks at the fields of an earlier job cannot take an index with them: the job
 * number in the counter has changed. A job ends when all its indices are done, whoever did them; a sleeping worker is
 * woken but not waited for. Workers spin SPINS rounds (some tens of microseconds, longer than the serial pieces between
 * the products of a step) before they sleep, because waking costs 50 us and a step has thousands of short jobs. */
enum { SPINS = 4000, MAX_THREADS = 256 };
#define CLOSED UINT32_MAX /* index that no job reaches: the fields are being changed */

static struct {
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) _Atomic size_t finished;
    _Alignas(64) _Atomic size_t n;
    _Atomic(void (*)(void *, size_t, int)) task;
    _Atomic(void *) ctx;
    atomic_bool stop;
    atomic_int sleepers;       /* workers in pthread_cond_wait, or about to be */
    atomic_bool caller_sleeps; /* the same for ts_parallel's caller */
    pthread_mutex_t lock;      /* guards nothing but the two conditions' sleep */
    pthread_cond_t work, done;
    int wanted, running; /* threads asked for; workers started (caller not counted); the caller's alone */
    pthread_t *threads;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    sched_yield();
#endif
}

static int available_cores(void) {
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return TS_MAX(1, TS_MIN(n, (int)MAX_THREADS));
}

/* Takes indices until the job has no more. */
static void work_off(int worker) {
    uint64_t ticket = atomic_load(&pool.ticket);
    for (;;) {
        uint32_t index = (uint32_t)ticket;
        size_t n = atomic_load(&pool.n);
        void (*task)(void *, size_t, int) = atomic_load(&pool.task);
        void *ctx = atomic_load(&pool.ctx);
        if (index == CLOSED || index >= n) return;
        if (!atomic_compare_exchange_weak(&pool.ticket, &ticket, ticket + 1)) continue;
        task(ctx, index, worker);
        if (atomic_fetch_add(&pool.finished, 1) + 1 == n && atomic_load(&pool.caller_sleeps)) {
            pthread_mutex_lock(&pool.lock);
            pthread_cond_signal(&pool.done);
            pthread_mutex_unlock(&pool.lock);
        }
        ticket = atomic_load(&pool.ticket);
    }
}

static bool job_changed(uint64_t seen) {
    return atomic_load(&pool.ticket) >> 32 != seen || atomic_load(&pool.stop);
}

static void sleep_until_job(uint64_t seen) {
    for (int i = 0; i < SPINS; i++) {
        if (job_changed(seen)) return;
        relax();
    }
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleepers, 1);
    while (!job_changed(seen))
        pthread_cond_wait(&pool.work, &pool.lock);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.lock);
}

static void *worker_main(void *arg) {
    int worker = (int)(intptr_t)arg;
    while (!atomic_load(&pool.stop)) {
        uint64_t seen = atomic_load(&pool.ticket) >> 32;
        work_off(worker);
        sleep_until_job(seen);
    }
    return NULL;
}

static void start_workers(void) {
    int count = ts_pool_threads() - 1;
    pool.threads = ts_calloc((size_t)TS_MAX(count, 1), sizeof *pool.threads);
    for (int i = 0; i < count; i++) {
        if (pthread_create(&pool.threads[i], NULL, worker_main, (void *)(intptr_t)(i + 1)) != 0) break;
        pool.running++; /* fewer threads than wanted: slower, the same results */
    }
}

static void wake_workers(void) {
    if (atomic_load(&pool.sleepers) == 0) return;
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.lock);
}

static void wait_finished(size_t n) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&pool.finished) == n) return;
        relax();
    }
    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.caller_sleeps, true);
    while (atomic_load(&pool.finished) != n)
        pthread_cond_wait(&pool.done, &pool.lock);
    atomic_store(&pool.caller_sleeps, false);
    pthread_mutex_unlock(&pool.lock);
}

void ts_parallel(size_t n, void (*task)(void *ctx, size_t i, int worker), void *ctx) {
    if (n > 1 && ts_pool_threads() > 1 && !pool.threads) start_workers();
    if (n <= 1 || pool.running == 0) {
        for (size_t i = 0; i < n; i++)
            task(ctx, i, 0);
        return;
    }
    ts_assert(n < CLOSED);
    uint64_t job = (atomic_load(&pool.ticket) >> 32) + 1;
    atomic_store(&pool.ticket, job << 32 | CLOSED);
    atomic_store(&pool.n, n);
    atomic_store(&pool.task, task);
    atomic_store(&pool.ctx, ctx);
    atomic_store(&pool.finished, 0);
    atomic_store(&pool.ticket, job << 32);
    wake_workers();
    work_off(0);
    wait_finished(n);
}

int ts_pool_threads(void) {
    if (pool.wanted == 0) pool.wanted = available_cores();
    return pool.wanted;
}

void ts_pool_set_threads(int n) {
    n = n < 1 ? available_cores() : TS_MIN(n, (int)MAX_THREADS);
    if (n == pool.wanted) return;
    ts_pool_stop();
    pool.wanted = n;
}

void ts_pool_stop(void) {
    if (!pool.threads) return;
    atomic_store(&pool.stop, true);
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.lock);
    for (int i = 0; i < pool.running; i++)
        pthread_join(pool.threads[i], NULL);
    free(pool.threads);
    pool.threads = NULL;
    pool.running = 0;
    atomic_store(&pool.stop, false);
}
