/* Runs of a workspace, with real training processes on a tiny model. */
#include "core/base/clock.h"
#include "core/base/rand.h"
#include "core/work/turns.h"
#include "dataset/store.h"
#include "eval/runs.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <errno.h>
#include <math.h>
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
    return 0;
}

static char *path_of(const char *name) {
    return ts_path_join(ws, name);
}

static void write_file(const char *name, const char *text) {
    char *path = path_of(name);
    assert_ok(ts_file_write(path, text, strlen(text), &err));
    free(path);
}

static void write_rows(size_t n) {
    ts_buf out = TS_BUF_INIT;
    for (size_t i = 0; i < n; i++)
        ts_buf_printf(&out, "{\"ids\":[1,%zu,%zu,40,41,42,2],\"labels\":[-100,-100,%zu,40,41,42,2]}\n", 5 + i % 200,
                      7 + i % 100, 7 + i % 100);
    write_file("rows.jsonl", out.data);
    ts_buf_release(&out);
}

static void settings(ts_run_settings *s, const char *epochs) {
    char *model = path_of("tiny");
    if (!ts_is_dir(model)) ts_tiny_hf(model, NULL);
    ts_run_settings_init(s);
    ts_run_set(&s->model, model);
    assert_ok(ts_run_settings_set(s, "r", "4", &err));
    assert_ok(ts_run_settings_set(s, "batch-size", "2", &err));
    assert_ok(ts_run_settings_set(s, "threads", "1", &err));
    assert_ok(ts_run_settings_set(s, "epochs", epochs, &err));
    free(model);
}

/* A run of n rows; its folder is the caller's. */
static char *create(const char *name, size_t n, const char *epochs, const char *every, int64_t *id) {
    ts_run_settings s;
    char *dir, *rows = path_of("rows.jsonl");
    write_rows(n);
    settings(&s, epochs);
    assert_ok(ts_run_settings_set(&s, "checkpoint-every", every, &err));
    assert_ok(ts_runs_create(ws, name, &s, rows, NULL, id, &dir, NULL, &err));
    ts_run_settings_release(&s);
    free(rows);
    return dir;
}

static ts_run_state wait_until(const char *dir, bool (*enough)(const ts_follow *)) {
    ts_follow f;
    bool changed;
    ts_follow_init(&f, dir);
    for (double until = ts_now() + 60; ts_now() < until; usleep(3000)) {
        assert_ok(ts_follow_poll(&f, &changed, &err));
        if (enough(&f)) break;
    }
    ts_run_state state = f.state;
    assert_true(enough(&f));
    ts_follow_release(&f);
    return state;
}

static bool not_running(const ts_follow *f) {
    return f->state != TS_RUN_RUNNING;
}
static bool has_started(const ts_follow *f) {
    return f->steps > 0;
}
static bool some_steps(const ts_follow *f) {
    return f->n_points >= 3;
}

static void numbers_names_and_notes(void **state) {
    (void)state;
    int64_t id;
    ts_runs runs;
    char *found;
    assert_ok(ts_runs_list(ws, &runs, &err));
    assert_int_equal(runs.n, 0);
    char *first = create(NULL, 2, "1", "0", &id);
    assert_int_equal(id, 1);
    char *second = create("my run/.. x", 2, "1", "0", &id);
    assert_int_equal(id, 2);
    assert_string_equal(ts_path_base(first), "0001-lora");
    assert_string_equal(ts_path_base(second), "0002-my-run-..-x");
    assert_ok(ts_runs_note(second, "small slice", &err));
    assert_ok(ts_runs_rename(ws, 2, "tidy", &err));
    assert_ok(ts_runs_list(ws, &runs, &err));
    assert_int_equal(runs.n, 2);
    assert_string_equal(runs.items[0].name, "0002-tidy");
    assert_string_equal(runs.items[0].note, "small slice");
    assert_int_equal(runs.items[0].follow.state, TS_RUN_NEW);
    assert_int_equal(runs.items[1].settings.train_rows, 2);
    ts_runs_release(&runs);
    assert_ok(ts_runs_tag(ws, first, "old", &err)); /* moves on to the second run below */
    assert_ok(ts_runs_tag(ws, first, "good", &err));
    assert_ok(ts_runs_find(ws, "2", &found, &err));
    assert_ok(ts_runs_tag(ws, found, "old", &err));
    assert_ok(ts_runs_tag(ws, found, "-old", &err));
    assert_int_equal(ts_runs_tag(ws, found, "-old", &err), TS_NOT_FOUND);
    assert_int_equal(ts_runs_tag(ws, found, "7th", &err), TS_INVALID);
    assert_int_equal(ts_runs_tag(ws, found, "a b", &err), TS_INVALID);
    assert_ok(ts_runs_tag(ws, found, "v2", &err));
    free(found);
    assert_ok(ts_runs_list(ws, &runs, &err));
    assert_string_equal(runs.items[0].tags, "v2");
    assert_string_equal(runs.items[1].tags, "good");
    ts_runs_release(&runs);
    static const char *const forms[] = {"1", "run:1", "good", "run:good", "0001-lora", "run:0001-lora", "0001"};
    for (size_t i = 0; i < TS_COUNT(forms); i++) {
        assert_ok(ts_runs_find(ws, forms[i], &found, &err));
        assert_string_equal(found, first);
        free(found);
    }
    assert_ok(ts_runs_find(NULL, first, &found, &err));
    free(found);
    assert_int_equal(ts_runs_find(ws, "run:9", &found, &err), TS_NOT_FOUND);
    assert_non_null(strstr(err.text, "0002-tidy"));
    assert_int_equal(ts_runs_adapter(ws, "run:1", &found, &err), TS_NOT_FOUND);
    assert_int_equal(ts_runs_adapter(ws, "run:1/first", &found, &err), TS_INVALID);
    assert_int_equal(ts_runs_adapter(ws, ws, &found, &err), TS_NOT_FOUND);
    assert_ok(ts_runs_delete(first, &err));
    assert_false(ts_file_exists(first));
    assert_int_equal(ts_runs_delete(first, &err), TS_NOT_FOUND);
    free(first);
    free(second);
}

static void damaged_run_is_listed_with_its_problem(void **state) {
    (void)state;
    int64_t id;
    ts_runs runs;
    char *dir = create(NULL, 2, "1", "0", &id);
    write_file("runs/0001-lora/run.json", "{\"r\": \"four\"}");
    assert_ok(ts_runs_list(ws, &runs, &err));
    assert_int_equal(runs.n, 1);
    assert_false(runs.items[0].readable);
    assert_non_null(strstr(runs.items[0].problem, "\"r\""));
    ts_runs_release(&runs);
    free(dir);
}

static void a_held_run_is_left_alone(void **state) {
    (void)state;
    int64_t id;
    ts_lock lock = TS_LOCK_INIT;
    char *dir = create(NULL, 2, "1", "0", &id), *path = ts_path_join(dir, "lock");
    assert_ok(ts_lock_take(&lock, path, "host boot 1", &err));
    assert_int_equal(ts_runs_delete(dir, &err), TS_BUSY);
    assert_int_equal(ts_runs_rename(ws, 1, "other", &err), TS_BUSY);
    assert_int_equal(ts_runs_start(dir, &err), TS_BUSY);
    ts_lock_release(&lock);
    free(path);
    free(dir);
}

static void trains_in_a_process_of_its_own(void **state) {
    (void)state;
    int64_t id;
    char *adapter;
    ts_test_program();
    char *dir = create(NULL, 6, "2", "0", &id);
    assert_ok(ts_runs_start(dir, &err));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child of ours */
    assert_int_equal(wait_until(dir, not_running), TS_RUN_DONE);
    assert_ok(ts_runs_adapter(ws, "run:1", &adapter, &err));
    free(adapter);
    assert_ok(ts_runs_adapter(ws, "run:1/best", &adapter, &err)); /* without validation the last is the best */
    free(adapter);
    free(dir);
}

static void stops_on_request_and_goes_on(void **state) {
    (void)state;
    int64_t id;
    ts_train_result r;
    ts_test_program();
    char *dir = create(NULL, 40, "500", "0", &id);
    assert_ok(ts_runs_start(dir, &err));
    wait_until(dir, some_steps);
    assert_ok(ts_run_stop(dir, &err));
    assert_int_equal(wait_until(dir, not_running), TS_RUN_STOPPED);
    assert_ok(ts_train_result_read(dir, &r, &err));
    int64_t before = r.steps;
    assert_true(before > 0 && before < 10000);
    assert_ok(ts_runs_start(dir, &err));
    for (double until = ts_now() + 30; ts_now() < until && r.steps <= before; usleep(5000))
        assert_ok(ts_train_result_read(dir, &r, &err));
    assert_true(r.steps > before);
    assert_ok(ts_run_stop(dir, &err));
    assert_int_equal(wait_until(dir, not_running), TS_RUN_STOPPED);
    free(dir);
}

static void failure_to_start_is_told(void **state) {
    (void)state;
    ts_run_settings s;
    int64_t id;
    char *dir, *rows = path_of("rows.jsonl");
    ts_test_program();
    write_file("rows.jsonl", "{\"ids\":[1,5],\"labels\":[-100,-100]}\n");
    settings(&s, "1");
    assert_ok(ts_runs_create(ws, NULL, &s, rows, NULL, &id, &dir, NULL, &err));
    ts_status status = ts_runs_start(dir, &err);
    if (status == TS_OK) /* it had the lock for a moment: then the events tell */
        assert_int_equal(wait_until(dir, not_running), TS_RUN_FAILED);
    else
        assert_non_null(strstr(err.text, "nothing to learn"));
    ts_run_settings_release(&s);
    free(rows);
    free(dir);
}

static void read_adapter(const char *dir, ts_buf *out) {
    char *path = ts_path_join(dir, "adapter/adapter_model.safetensors");
    assert_ok(ts_file_read(path, 1 << 24, out, &err));
    free(path);
}

/* Killed with -9 at random moments and resumed until it is done, a run ends with the bytes of one left alone. */
static void kill_9_changes_nothing(void **state) {
    (void)state;
    enum { KILLS = 8 };
    int64_t id;
    ts_rand r;
    ts_buf a = TS_BUF_INIT, b = TS_BUF_INIT;
    int kills = 0;
    ts_test_program();
    char *alone = create("alone", 30, "8", "0", &id), *killed = create("killed", 30, "8", "4", &id);
    assert_ok(ts_runs_start(alone, &err));
    assert_int_equal(wait_until(alone, not_running), TS_RUN_DONE);
    ts_rand_seed(&r, (uint64_t)ts_wall_ms());
    for (int starts = 0;; starts++) {
        assert_true(starts < 100);
        assert_ok(ts_runs_start(killed, &err));
        usleep((useconds_t)ts_rand_below(&r, 100000));
        int pid = kills < KILLS ? ts_run_pid(killed) : 0;
        if (pid > 0 && kill(pid, SIGKILL) == 0) kills++;
        if (wait_until(killed, not_running) == TS_RUN_DONE) break;
    }
    read_adapter(alone, &a);
    read_adapter(killed, &b);
    print_message("killed %d times\n", kills);
    assert_true(kills > 0);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    ts_buf_release(&a);
    ts_buf_release(&b);
    free(alone);
    free(killed);
}

static void add_row(ts_store *st, const char *instruction, const char *output, int64_t *id) {
    ts_draft d = {
        .instruction = {instruction, strlen(instruction)}, .input = {"", 0}, .output = {output, strlen(output)}};
    assert_ok(ts_row_add(st, &d, id, NULL, &err));
}

static void made_from_a_workspace(void **state) {
    (void)state;
    enum { ROWS = 30 };
    static const char *const words[] = {"river", "copper", "window", "salad", "engine", "planet"};
    ts_store *st;
    ts_run_settings s;
    int64_t ids[ROWS], id;
    char *dir;
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    for (int i = 0; i < ROWS; i++) {
        char question[80];
        snprintf(question, sizeof question, "%s %d and %s %d", words[i % 6], i * 7919, words[i % 5], i * 104729);
        add_row(st, question, "An answer.", &ids[i]);
    }
    settings(&s, "1");
    assert_int_equal(ts_runs_create_from(ws, NULL, &s, &id, &dir, NULL, &err), TS_NOT_FOUND); /* nothing is accepted */
    assert_ok(ts_rows_set_status(st, ids, ROWS - 5, TS_ACCEPTED, NULL, &err));

    /* counting beforehand makes the same files and leaves the workspace alone */
    int64_t n_train, n_valid, version = ts_store_version(st);
    char *train = path_of("train.jsonl"), *valid = path_of("valid.jsonl");
    assert_ok(ts_runs_export(ws, &s, true, train, valid, &n_train, &n_valid, NULL, &err));
    assert_int_equal(n_train + n_valid, ROWS - 5);
    assert_true(n_valid > 0);
    assert_int_equal(ts_store_version(st), version);
    free(train);
    free(valid);
    assert_ok(ts_runs_create_from(ws, "first", &s, &id, &dir, NULL, &err));
    assert_int_equal(s.train_rows + s.valid_rows, ROWS - 5);
    assert_int_equal(s.valid_rows, n_valid);
    assert_int_not_equal(ts_store_version(st), version); /* the run notes its split */
    free(dir);
    assert_ok(ts_run_settings_set(&s, "where", "id<=3", &err));
    assert_ok(ts_run_settings_set(&s, "valid", "0", &err));
    assert_ok(ts_runs_create_from(ws, NULL, &s, &id, &dir, NULL, &err));
    assert_int_equal(s.train_rows, 3);
    assert_int_equal(s.valid_rows, 0);
    assert_int_equal(id, 2);
    free(dir);
    ts_run_set(&s.model, NULL);
    assert_int_equal(ts_runs_create_from(ws, NULL, &s, &id, &dir, NULL, &err), TS_INVALID); /* no model anywhere */
    ts_names left = {0};
    char *runs = path_of("runs");
    assert_ok(ts_dir_list(runs, &left, &err));
    for (size_t i = 0; i < left.n; i++)
        assert_null(strstr(left.items[i], ".new")); /* no temporary folder stays */
    ts_names_release(&left);
    ts_run_settings_release(&s);
    ts_store_close(st);
    free(runs);
}

/* A hand that is raised holds the steps up, and only as long as it is. */
static void training_waits_for_answers(void **state) {
    (void)state;
    int64_t id;
    ts_turns turns;
    ts_follow f;
    bool changed;
    ts_test_program();
    char *dir = create("turns", 40, "2", "0", &id);
    ts_turns_open(&turns);
    assert_true(turns.fd >= 0);
    assert_true(ts_turns_begin_answers(&turns, 0, NULL));
    assert_ok(ts_runs_start(dir, &err));
    wait_until(dir, has_started);
    usleep(300000);
    ts_follow_init(&f, dir);
    assert_ok(ts_follow_poll(&f, &changed, &err));
    assert_int_equal(f.state, TS_RUN_RUNNING);
    assert_int_equal(f.n_points, 0);
    ts_turns_end_answers(&turns);
    assert_int_equal(wait_until(dir, not_running), TS_RUN_DONE);
    assert_ok(ts_follow_poll(&f, &changed, &err));
    assert_int_equal(f.n_points, 40);
    ts_follow_release(&f);
    ts_turns_close(&turns);

    /* and how long such a run took tells how long the next one will */
    ts_run_settings s;
    settings(&s, "4");
    ts_train_plan plan = {.examples = 40, .tokens = 280, .steps = 80};
    assert_true(ts_runs_rate(ws, &s) > 0);
    ts_runs_plan_time(ws, &s, &plan);
    assert_near(plan.seconds, 80 * 2 * 7 / ts_runs_rate(ws, &s), 1e-9, "seconds");
    assert_ok(ts_run_settings_set(&s, "target-modules", "q_proj", &err));
    ts_runs_plan_time(ws, &s, &plan);
    assert_true(isnan(plan.seconds)); /* no such run was measured */
    ts_run_settings_release(&s);
    free(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(numbers_names_and_notes, fresh),
        cmocka_unit_test_setup(damaged_run_is_listed_with_its_problem, fresh),
        cmocka_unit_test_setup(a_held_run_is_left_alone, fresh),
        cmocka_unit_test_setup(trains_in_a_process_of_its_own, fresh),
        cmocka_unit_test_setup(stops_on_request_and_goes_on, fresh),
        cmocka_unit_test_setup(failure_to_start_is_told, fresh),
        cmocka_unit_test_setup(kill_9_changes_nothing, fresh),
        cmocka_unit_test_setup(made_from_a_workspace, fresh),
        cmocka_unit_test_setup(training_waits_for_answers, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
