/* labels: slow */
/* Training killed with -9 at fifty random moments and resumed each time, with real processes on a tiny model. */
#include "core/base/clock.h"
#include "core/base/rand.h"
#include "core/work/child.h"
#include "eval/runs.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILLS = 50, MOMENTS = 110 /* milliseconds after the start of the process */ };

static ts_err err;
static const char *here;

static char *create(const char *name) {
    static const char *const options[][2] = {{"r", "4"},           {"batch-size", "2"},       {"threads", "1"},
                                             {"max-steps", "120"}, {"checkpoint-every", "3"}, {"eval-every", "7"},
                                             {"seed", "5"},        {"lora-dropout", "0.1"}};
    ts_run_settings s;
    ts_buf rows = TS_BUF_INIT;
    char *dir = ts_path_join(here, name), *model = ts_path_join(here, "tiny"), *data = ts_path_join(here, "rows.jsonl");
    if (!ts_is_dir(model)) ts_tiny_hf(model, NULL);
    for (int i = 0; i < 30; i++)
        ts_buf_printf(&rows, "{\"ids\":[1,%d,%d,40,41,2],\"labels\":[-100,-100,%d,40,41,2]}\n", 5 + i, 7 + i % 9,
                      7 + i % 9);
    assert_ok(ts_file_write(data, rows.data, rows.len, &err));
    ts_run_settings_init(&s);
    ts_run_set(&s.model, model);
    for (size_t i = 0; i < TS_COUNT(options); i++)
        assert_ok(ts_run_settings_set(&s, options[i][0], options[i][1], &err));
    assert_ok(ts_run_create(dir, &s, data, data, NULL, &err));
    ts_run_settings_release(&s);
    ts_buf_release(&rows);
    free(model);
    free(data);
    return dir;
}

static void start(const char *dir, ts_child *c) {
    const char *args[] = {"train", "--run", dir, "--quiet", NULL};
    ts_child_options o = {.args = args};
    assert_ok(ts_child_start(c, &o, &err));
}

static ts_run_state state_of(const char *dir) {
    ts_train_result r;
    assert_ok(ts_train_result_read(dir, &r, &err));
    return r.state;
}

/* The process was in the middle of a checkpoint: a folder is there that CURRENT does not name (being written, or not
 * yet removed after it was replaced). */
static bool in_a_checkpoint(const char *dir) {
    ts_names names = {0};
    char *root = ts_path_join(dir, "checkpoints");
    if (ts_is_dir(root)) assert_ok(ts_dir_list(root, &names, &err));
    bool yes = names.n > 2;
    ts_names_release(&names);
    free(root);
    return yes;
}

static void assert_same(const char *a_dir, const char *b_dir, const char *name) {
    ts_buf a = TS_BUF_INIT, b = TS_BUF_INIT;
    char *pa = ts_path_join(a_dir, name), *pb = ts_path_join(b_dir, name);
    assert_ok(ts_file_read(pa, 1 << 24, &a, &err));
    assert_ok(ts_file_read(pb, 1 << 24, &b, &err));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    ts_buf_release(&a);
    ts_buf_release(&b);
    free(pa);
    free(pb);
}

static void assert_same_course(const char *a_dir, const char *b_dir) {
    ts_follow a, b;
    bool changed;
    ts_follow_init(&a, a_dir);
    ts_follow_init(&b, b_dir);
    assert_ok(ts_follow_poll(&a, &changed, &err));
    assert_ok(ts_follow_poll(&b, &changed, &err));
    assert_int_equal(a.n_points, b.n_points);
    assert_int_equal(a.n_evals, b.n_evals);
    for (size_t i = 0; i < a.n_points; i++)
        assert_true(a.points[i].step == b.points[i].step && a.points[i].loss == b.points[i].loss);
    for (size_t i = 0; i < a.n_evals; i++)
        assert_true(a.evals[i].step == b.evals[i].step && a.evals[i].loss == b.evals[i].loss);
    ts_follow_release(&a);
    ts_follow_release(&b);
}

/* Lets the run end and holds it against the one that was left alone. */
static void finish(const char *alone, const char *killed) {
    ts_child c;
    int how;
    start(killed, &c);
    assert_true(ts_child_wait(&c, 60, &how));
    assert_int_equal(state_of(killed), TS_RUN_DONE);
    assert_same(alone, killed, "adapter/adapter_model.safetensors");
    assert_same(alone, killed, "best/adapter_model.safetensors");
    assert_same_course(alone, killed);
}

static void fifty_kills_change_nothing(void **state) {
    (void)state;
    ts_rand r;
    ts_child c;
    int kills = 0, in_checkpoint = 0, runs = 1, how;
    here = ts_test_dir();
    ts_test_program();
    char *alone = create("alone"), *killed = create("killed");
    start(alone, &c);
    assert_true(ts_child_wait(&c, 60, &how));
    assert_int_equal(state_of(alone), TS_RUN_DONE);
    ts_rand_seed(&r, 20261125);
    while (kills < KILLS) {
        start(killed, &c);
        usleep((useconds_t)(1000 * (10 + ts_rand_below(&r, MOMENTS))));
        assert_int_equal(kill(c.pid, SIGKILL), 0);
        assert_true(ts_child_wait(&c, 30, &how));
        kills += WIFSIGNALED(how);
        in_checkpoint += WIFSIGNALED(how) && in_a_checkpoint(killed);
        if (WIFSIGNALED(how) || state_of(killed) != TS_RUN_DONE) continue;
        finish(alone, killed); /* it was over between two kills: the next ones go to a new run */
        assert_ok(ts_remove_tree(killed, &err));
        free(killed);
        killed = create("killed");
        runs++;
    }
    finish(alone, killed);
    print_message("killed %d times, %d of them during the writing of a checkpoint, in %d runs\n", kills, in_checkpoint,
                  runs);
    assert_true(in_checkpoint > 0);
    free(alone);
    free(killed);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(fifty_kills_change_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
