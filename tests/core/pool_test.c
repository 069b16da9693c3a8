#include "tests/support.h"

#include "core/work/pool.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

typedef struct job {
    atomic_int calls[5000];
    long long plain[5000]; /* written by the tasks without a lock, read by the caller afterwards */
    atomic_int bad_worker;
    int salt;
} job;
static job j;

static void count(void *ctx, size_t i, int worker) {
    job *x = ctx;
    atomic_fetch_add(&x->calls[i], 1);
    x->plain[i] = (long long)i * 3 + x->salt;
    if (worker < 0 || worker >= ts_pool_threads()) atomic_store(&x->bad_worker, 1);
}

static void check_job(size_t n, int salt) {
    memset(&j, 0, sizeof j);
    j.salt = salt;
    ts_parallel(n, count, &j);
    for (size_t i = 0; i < 5000; i++) {
        assert_int_equal(atomic_load(&j.calls[i]), i < n ? 1 : 0);
        assert_int_equal(j.plain[i], i < n ? (long long)i * 3 + salt : 0);
    }
    assert_int_equal(atomic_load(&j.bad_worker), 0);
}

static void every_index_runs_once(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 3, 7, 100, 5000};
    for (int threads = 1; threads <= 5; threads++) {
        ts_pool_set_threads(threads);
        assert_int_equal(ts_pool_threads(), threads);
        for (size_t s = 0; s < 7; s++)
            check_job(sizes[s], threads);
    }
}

/* Short jobs of changing size one after another: a worker that comes late must not run an index of the wrong job. */
static void jobs_do_not_mix(void **state) {
    (void)state;
    ts_pool_set_threads(4);
    for (int round = 0; round < 3000; round++) {
        size_t n = (size_t)(round * 7 % 23) + 1;
        for (size_t i = 0; i < n; i++)
            j.plain[i] = 0;
        j.salt = round;
        ts_parallel(n, count, &j);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(j.plain[i], (long long)i * 3 + round);
    }
}

static void sleeping_workers_come_back(void **state) {
    (void)state;
    ts_pool_set_threads(3);
    for (int round = 0; round < 5; round++) {
        struct timespec pause = {0, 20 * 1000 * 1000};
        nanosleep(&pause, NULL); /* long enough for every worker to sleep */
        check_job(100, round);
    }
    ts_pool_stop();
    check_job(10, 1); /* starts them again */
}

static void zero_threads_means_all_cores(void **state) {
    (void)state;
    ts_pool_set_threads(0);
    assert_true(ts_pool_threads() >= 1);
    check_job(50, 9);
    ts_pool_stop();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_runs_once),
        cmocka_unit_test(jobs_do_not_mix),
        cmocka_unit_test(sleeping_workers_come_back),
        cmocka_unit_test(zero_threads_means_all_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
