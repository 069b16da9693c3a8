/* The queue of runs, with real training processes on a tiny model. */
#include "eval/runs_queue.h"

#include "core/base/clock.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static ts_err err;
static const char *ws;

static int fresh(void **state) {
    (void)state;
    ws = ts_test_dir();
    ts_test_program();
    return 0;
}

static void write_rows(const char *path, const char *label) {
    ts_buf out = TS_BUF_INIT;
    for (int i = 0; i < 40; i++)
        ts_buf_printf(&out, "{\"ids\":[1,%d,%d,40,41,2],\"labels\":[-100,-100,%s,40,41,2]}\n", 5 + i, 9 + i, label);
    assert_ok(ts_file_write(path, out.data, out.len, &err));
    ts_buf_release(&out);
}

/* A run of so many steps; its folder is the caller's. */
static char *create(const char *steps) {
    ts_run_settings s;
    int64_t id;
    char *dir, *model = ts_path_join(ws, "tiny"), *rows = ts_path_join(ws, "rows.jsonl");
    if (!ts_is_dir(model)) ts_tiny_hf(model, NULL);
    write_rows(rows, "40");
    ts_run_settings_init(&s);
    ts_run_set(&s.model, model);
    assert_ok(ts_run_settings_set(&s, "max-steps", steps, &err));
    assert_ok(ts_run_settings_set(&s, "batch-size", "2", &err));
    assert_ok(ts_run_settings_set(&s, "threads", "1", &err));
    assert_ok(ts_runs_create(ws, NULL, &s, rows, NULL, &id, &dir, NULL, &err));
    ts_run_settings_release(&s);
    free(model);
    free(rows);
    return dir;
}

static ts_run_state state_of(const char *dir) {
    ts_follow f;
    bool changed;
    ts_follow_init(&f, dir);
    assert_ok(ts_follow_poll(&f, &changed, &err));
    ts_run_state state = f.state;
    ts_follow_release(&f);
    return state;
}

static void wait_for(const char *dir, ts_run_state wanted) {
    for (double until = ts_now() + 60; ts_now() < until && state_of(dir) != wanted;)
        usleep(3000);
    assert_string_equal(ts_run_state_names[state_of(dir)], ts_run_state_names[wanted]);
}

static void begins(const char *dir, size_t expected) {
    size_t number;
    assert_ok(ts_runs_begin(ws, dir, &number, &err));
    assert_int_equal(number, expected);
}

/* The numbers of the runs that wait, in the queue's order. */
static void assert_queue(const char *expected) {
    ts_runs runs;
    ts_buf text = TS_BUF_INIT;
    assert_ok(ts_runs_list(ws, &runs, &err));
    for (size_t number = 1; number <= runs.n; number++)
        for (size_t i = 0; i < runs.n; i++)
            if (ts_runs_number(&runs, i) == number)
                ts_buf_printf(&text, "%lld%s ", (long long)runs.items[i].id,
                              runs.items[i].follow.state == TS_RUN_HELD ? "h" : "");
    assert_string_equal(ts_buf_str(&text), expected);
    ts_buf_release(&text);
    ts_runs_release(&runs);
}

/* Somebody trains run 1 (a lock is all that shows of it); the others are put in order. */
static void order_holds_and_leaving(void **state) {
    (void)state;
    char *dirs[4], *started;
    ts_lock lock = TS_LOCK_INIT;
    for (int i = 0; i < 4; i++)
        dirs[i] = create("4");
    char *path = ts_path_join(dirs[0], "lock");
    assert_ok(ts_lock_take(&lock, path, "host boot 1", &err));
    begins(dirs[1], 1);
    begins(dirs[2], 2);
    begins(dirs[3], 3);
    begins(dirs[2], 2); /* it waits already */
    size_t number;
    assert_int_equal(ts_runs_begin(ws, dirs[0], &number, &err), TS_BUSY);
    assert_queue("2 3 4 ");
    assert_ok(ts_runs_move(ws, dirs[3], -1, &err));
    assert_ok(ts_runs_move(ws, dirs[1], -1, &err)); /* the first already */
    assert_queue("2 4 3 ");
    assert_ok(ts_runs_move(ws, dirs[1], 1, &err));
    assert_ok(ts_runs_hold(ws, dirs[3], true, &err));
    assert_queue("4h 2 3 ");
    assert_ok(ts_runs_leave(ws, dirs[1], &err));
    assert_int_equal(state_of(dirs[1]), TS_RUN_NEW);
    assert_int_equal(ts_runs_leave(ws, dirs[1], &err), TS_NOT_FOUND);
    assert_ok(ts_runs_next(ws, 0, &started, &err));
    assert_null(started); /* run 1 trains */
    ts_lock_release(&lock);
    assert_ok(ts_runs_next(ws, 0, &started, &err));
    assert_string_equal(started, dirs[2]); /* run 4 is held */
    free(started);
    wait_for(dirs[2], TS_RUN_DONE);
    assert_int_equal(state_of(dirs[3]), TS_RUN_HELD);
    assert_ok(ts_runs_hold(ws, NULL, false, &err)); /* released, it begins: nothing else trains */
    wait_for(dirs[3], TS_RUN_DONE);
    assert_queue("");
    free(path);
    for (int i = 0; i < 4; i++)
        free(dirs[i]);
}

/* Each process that ends starts the next, also after a stop on request; one that cannot be trained is passed over. */
static void the_next_begins_by_itself(void **state) {
    (void)state;
    char *first = create("100000"), *broken = create("4"), *last = create("6");
    char *data = ts_path_join(broken, "train.jsonl");
    write_rows(data, "41"); /* not what the run was made with */
    begins(first, 0);
    begins(broken, 1);
    begins(last, 2);
    assert_int_equal(state_of(last), TS_RUN_WAITING);
    assert_ok(ts_run_stop(first, &err));
    wait_for(last, TS_RUN_DONE);
    assert_int_equal(state_of(first), TS_RUN_STOPPED);
    assert_int_equal(state_of(broken), TS_RUN_FAILED);
    free(data);
    free(first);
    free(broken);
    free(last);
}

/* A machine that shuts down sends SIGTERM to all; a power cut says nothing. What waits still waits afterwards, and
 * begins when somebody looks. */
static void shutdown_and_power_cut(void **state) {
    (void)state;
    static const int signals[] = {SIGTERM, SIGKILL};
    static const ts_run_state ends[] = {TS_RUN_STOPPED, TS_RUN_CRASHED};
    for (size_t i = 0; i < TS_COUNT(signals); i++) {
        char *first = create("100000"), *next = create("4"), *started;
        begins(first, 0);
        begins(next, 1);
        while (state_of(first) == TS_RUN_RUNNING && ts_run_pid(first) == 0)
            usleep(1000);
        usleep(100000); /* into the training, with its handler set */
        assert_int_equal(kill(ts_run_pid(first), signals[i]), 0);
        wait_for(first, ends[i]);
        usleep(300000);
        assert_int_equal(state_of(next), TS_RUN_WAITING);
        assert_ok(ts_runs_next(ws, 0, &started, &err));
        assert_string_equal(started, next);
        wait_for(next, TS_RUN_DONE);
        free(started);
        free(first);
        free(next);
    }
}

/* When the run began and when it ended, by its events; it must have been started once. */
static void began_and_ended(const char *dir, double *began, double *ended) {
    ts_buf text = TS_BUF_INIT;
    int starts = 0;
    char *path = ts_path_join(dir, "events.jsonl"), *rest, *line;
    assert_ok(ts_file_read(path, 1 << 20, &text, &err));
    for (line = strtok_r(text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        ts_json *e = ts_json_parse(line, strlen(line), &err);
        *ended = ts_json_num(ts_json_get(e, "time"), 0);
        if (strcmp(ts_json_str(ts_json_get(e, "event"), ""), "start") == 0 && ++starts) *began = *ended;
        ts_json_free(e);
    }
    assert_int_equal(starts, 1);
    ts_buf_release(&text);
    free(path);
}

/* Four programs at once at one queue: every run is started once, and never two beside each other. */
static void nobody_starts_twice(void **state) {
    (void)state;
    enum { RUNS = 5, PROGRAMS = 4 };
    char *dirs[RUNS];
    pid_t pids[PROGRAMS];
    for (int i = 0; i < RUNS; i++) {
        dirs[i] = create("3");
        assert_ok(ts_run_place_write(dirs[i], (ts_run_place){.place = i + 1}, &err));
    }
    for (int i = 0; i < PROGRAMS; i++) {
        pids[i] = fork();
        if (pids[i] != 0) continue;
        for (double until = ts_now() + 60; ts_now() < until && state_of(dirs[RUNS - 1]) != TS_RUN_DONE;) {
            char *started;
            ts_status status = ts_runs_next(ws, 0, &started, &err);
            if (status != TS_OK && status != TS_BUSY) _exit(1);
            free(started);
        }
        _exit(0);
    }
    for (int i = 0; i < PROGRAMS; i++) {
        int how;
        assert_int_equal(waitpid(pids[i], &how, 0), pids[i]);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    }
    double began = 0, ended = 0, before = 0;
    for (int i = 0; i < RUNS; i++, before = ended) {
        assert_int_equal(state_of(dirs[i]), TS_RUN_DONE);
        began_and_ended(dirs[i], &began, &ended);
        assert_true(began >= before);
        free(dirs[i]);
    }
}

static void whose_run_it_is(void **state) {
    (void)state;
    char *dir = create("2"), *outside = ts_path_join(ws, "tiny"), *mine = ts_runs_workspace(dir), *none;
    char *want = ts_path_absolute(ws);
    assert_string_equal(mine, want);
    none = ts_runs_workspace(outside);
    assert_null(none);
    char *file = ts_path_join(dir, "queue");
    static const char *const strange[] = {
        "", "x\n", "0\n", "-3\n", "7", "3 hold\n", "99999999999999999999999 9999999\n"};
    for (size_t i = 0; i < TS_COUNT(strange); i++) { /* nothing we wrote: the run does not wait */
        assert_ok(ts_file_write(file, strange[i], strlen(strange[i]), &err));
        assert_int_equal(state_of(dir), TS_RUN_NEW);
    }
    free(file);
    free(want);
    free(mine);
    free(outside);
    free(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(order_holds_and_leaving, fresh),
        cmocka_unit_test_setup(the_next_begins_by_itself, fresh),
        cmocka_unit_test_setup(shutdown_and_power_cut, fresh),
        cmocka_unit_test_setup(nobody_starts_twice, fresh),
        cmocka_unit_test_setup(whose_run_it_is, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
