/* Training and answers take turns on the cores. */
#include "core/base/clock.h"
#include "core/work/turns.h"
#include "tests/support.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static ts_turns training, answers;

static int fresh(void **state) {
    (void)state;
    setenv("TUNESMITH_TURNS", ts_test_path("turns"), 1);
    ts_turns_open(&training);
    ts_turns_open(&answers);
    return 0;
}

static int end(void **state) {
    (void)state;
    ts_turns_close(&training);
    ts_turns_close(&answers);
    return 0;
}

static void *take_step(void *arg) {
    ts_progress *p = arg;
    bool begun = ts_turns_begin_step(&training, 60, p);
    ts_progress_set(p, begun ? 1 : -1, 1);
    return NULL;
}

static void *take_answers(void *arg) {
    ts_progress *p = arg;
    bool begun = ts_turns_begin_answers(&answers, 60, p);
    ts_progress_set(p, begun ? 1 : -1, 1);
    return NULL;
}

static void wait_for_words(ts_progress *p, const char *words) {
    for (int i = 0; i < 2000 && atomic_load(&p->what) != words; i++)
        usleep(5000);
    assert_ptr_equal(atomic_load(&p->what), words);
}

static void a_step_waits_for_the_answers(void **state) {
    (void)state;
    pthread_t thread;
    ts_progress p = {.what = "training"};
    assert_false(ts_turns_answers_wanted());
    assert_true(ts_turns_begin_answers(&answers, 0, NULL));
    assert_true(ts_turns_answers_wanted());
    assert_int_equal(pthread_create(&thread, NULL, take_step, &p), 0);
    wait_for_words(&p, ts_turns_wait_for_answers);
    assert_int_equal(atomic_load(&p.done), 0);
    ts_turns_end_answers(&answers);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&p.done), 1);
    assert_string_equal(atomic_load(&p.what), "training"); /* what it said before */
    ts_turns_end_step(&training);
}

static void answers_wait_for_the_end_of_a_step(void **state) {
    (void)state;
    pthread_t thread;
    ts_progress p = {0};
    assert_true(ts_turns_begin_step(&training, 0, NULL));
    assert_int_equal(pthread_create(&thread, NULL, take_answers, &p), 0);
    wait_for_words(&p, ts_turns_wait_for_step);
    ts_turns_end_step(&training);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&p.done), 1);
    ts_turns_end_answers(&answers);
}

static void waiting_ends_by_itself_or_on_request(void **state) {
    (void)state;
    pthread_t thread;
    ts_progress p = {0};
    assert_true(ts_turns_begin_answers(&answers, 0, NULL));
    assert_true(ts_turns_begin_step(&training, 0.05, NULL)); /* out of patience: it goes on all the same */
    ts_turns_end_step(&training);
    assert_int_equal(pthread_create(&thread, NULL, take_step, &p), 0);
    wait_for_words(&p, ts_turns_wait_for_answers);
    ts_cancel(&p);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&p.done), -1);
    ts_turns_end_answers(&answers);
}

static void a_dead_process_keeps_nobody_waiting(void **state) {
    (void)state;
    int pipes[2];
    char c;
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        ts_turns own;
        ts_turns_close(&answers);
        ts_turns_open(&own);
        bool begun = ts_turns_begin_answers(&own, 0, NULL);
        _exit(write(pipes[1], begun ? "y" : "n", 1) == 1 && pause() == 0);
    }
    assert_int_equal(read(pipes[0], &c, 1), 1);
    assert_int_equal(c, 'y');
    assert_true(ts_turns_answers_wanted());
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_false(ts_turns_answers_wanted());
    double begun = ts_now();
    assert_true(ts_turns_begin_step(&training, 60, NULL));
    assert_true(ts_now() - begun < 30);
    ts_turns_end_step(&training);
    close(pipes[0]);
    close(pipes[1]);
}

static void without_a_file_nobody_waits(void **state) {
    (void)state;
    ts_turns none;
    setenv("TUNESMITH_TURNS", "/nowhere/at/all", 1);
    ts_turns_open(&none);
    assert_int_equal(none.fd, -1);
    assert_true(ts_turns_begin_answers(&none, 60, NULL));
    assert_true(ts_turns_begin_step(&none, 60, NULL));
    assert_false(ts_turns_answers_wanted());
    /* a link in everybody's folder is not followed */
    const char *link = ts_test_path("link");
    assert_int_equal(symlink("/etc/passwd", link), 0);
    setenv("TUNESMITH_TURNS", link, 1);
    ts_turns_open(&none);
    assert_int_equal(none.fd, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_step_waits_for_the_answers, fresh, end),
        cmocka_unit_test_setup_teardown(answers_wait_for_the_end_of_a_step, fresh, end),
        cmocka_unit_test_setup_teardown(waiting_ends_by_itself_or_on_request, fresh, end),
        cmocka_unit_test_setup_teardown(a_dead_process_keeps_nobody_waiting, fresh, end),
        cmocka_unit_test_setup_teardown(without_a_file_nobody_waits, fresh, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
