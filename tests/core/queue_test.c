#include "core/work/queue.h"
#include "tests/support.h"

#include "core/base/mem.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

struct count_job {
    ts_job job;
    int number, *log, *n_log;
    bool wait_for_cancel;
};

static void run(ts_job *job) {
    struct count_job *c = (struct count_job *)job;
    while (c->wait_for_cancel && !ts_cancelled(&job->progress))
        usleep(500);
    job->status = ts_cancelled(&job->progress) ? ts_fail(&job->err, TS_CANCELLED, "stopped") : TS_OK;
}

static void done(ts_job *job) {
    struct count_job *c = (struct count_job *)job;
    c->log[(*c->n_log)++] = job->status == TS_OK ? c->number : -c->number;
    free(c);
}

static void push(ts_queue *q, int number, unsigned kind, bool wait, int *log, int *n_log) {
    struct count_job *c = ts_calloc(1, sizeof *c);
    *c = (struct count_job){.job = {.kind = kind, .run = run, .done = done},
                            .number = number,
                            .log = log,
                            .n_log = n_log,
                            .wait_for_cancel = wait};
    ts_queue_push(q, &c->job);
}

static void wait_idle(ts_queue *q, const ts_wake *wake) {
    while (ts_queue_busy(q)) {
        struct pollfd p = {.fd = wake->read_fd, .events = POLLIN};
        assert_true(poll(&p, 1, 10000) == 1);
        ts_wake_clear(wake);
        ts_queue_drain(q);
    }
}

static void test_order(void **state) {
    (void)state;
    ts_err err;
    ts_wake wake;
    ts_queue *q;
    int log[16], n_log = 0;
    assert_ok(ts_wake_open(&wake, &err));
    assert_ok(ts_queue_new(&q, &wake, &err));
    for (int i = 1; i <= 10; i++)
        push(q, i, 0, false, log, &n_log);
    assert_int_equal(ts_queue_busy(q), 10);
    wait_idle(q, &wake);
    for (int i = 0; i < 10; i++)
        assert_int_equal(log[i], i + 1);
    ts_queue_free(q);
    ts_wake_close(&wake);
}

static void test_cancel_by_kind(void **state) {
    (void)state;
    ts_err err;
    ts_wake wake;
    ts_queue *q;
    int log[16], n_log = 0;
    assert_ok(ts_wake_open(&wake, &err));
    assert_ok(ts_queue_new(&q, &wake, &err));
    push(q, 1, 7, true, log, &n_log);
    push(q, 2, 7, true, log, &n_log);
    push(q, 3, 8, false, log, &n_log);
    ts_queue_cancel(q, 7);
    wait_idle(q, &wake);
    assert_int_equal(n_log, 3);
    assert_int_equal(log[0], -1);
    assert_int_equal(log[1], -2);
    assert_int_equal(log[2], 3);
    ts_queue_free(q);
    ts_wake_close(&wake);
}

static void test_free_finishes_all(void **state) {
    (void)state;
    ts_err err;
    ts_wake wake;
    ts_queue *q;
    int log[16], n_log = 0;
    assert_ok(ts_wake_open(&wake, &err));
    assert_ok(ts_queue_new(&q, &wake, &err));
    push(q, 1, 1, true, log, &n_log);
    push(q, 2, 1, false, log, &n_log);
    ts_queue_free(q);
    assert_int_equal(n_log, 2);
    assert_int_equal(log[1], -2);
    ts_queue_free(NULL);
    ts_wake_close(&wake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_cancel_by_kind),
        cmocka_unit_test(test_free_finishes_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
