/* Run folders without a model at work: settings, creation, events and following them, checkpoints. */
#include "core/engine/checkpoint.h"
#include "core/engine/run.h"
#include "core/engine/run_events.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static ts_err err;

/* One folder for each test: fresh() makes it. */
static const char *here;

static int fresh(void **state) {
    (void)state;
    here = ts_test_dir();
    return 0;
}

static char *path_of(const char *name) {
    return ts_path_join(here, name);
}

static void write_file(const char *path, const char *text) {
    assert_ok(ts_file_write(path, text, strlen(text), &err));
}

static const char *const two_rows =
    "{\"ids\":[1,5,6,2],\"labels\":[-100,5,6,2]}\n{\"ids\":[1,7,2],\"labels\":[-100,7,2]}\n";

/* A run in ts_test_dir()/name, its path is the caller's. */
static char *make_run(const char *name, ts_run_settings *s) {
    char *model = path_of("tiny"), *train = path_of("two.jsonl"), *dir = path_of(name);
    if (!ts_is_dir(model)) ts_tiny_hf(model, NULL);
    write_file(train, two_rows);
    ts_run_set(&s->model, model);
    assert_ok(ts_run_create(dir, s, train, NULL, NULL, &err));
    free(model);
    free(train);
    return dir;
}

static void settings_survive_the_file(void **state) {
    (void)state;
    ts_run_settings s, back;
    ts_run_settings_init(&s);
    assert_ok(ts_run_settings_set(&s, "learning-rate", "3e-5", &err));
    assert_ok(ts_run_settings_set(&s, "target-modules", "q_proj,v_proj", &err));
    assert_ok(ts_run_settings_set(&s, "no-shuffle", "yes", &err));
    assert_ok(ts_run_settings_set(&s, "seed", "9007199254740991", &err));
    char *dir = make_run("survives", &s);
    assert_ok(ts_run_settings_read(dir, &back, &err));
    ts_buf a = TS_BUF_INIT, b = TS_BUF_INIT;
    ts_run_settings_write(&s, &a);
    ts_run_settings_write(&back, &b);
    assert_string_equal(a.data, b.data);
    assert_int_equal(back.train_rows, 2);
    assert_int_equal(strlen(back.model_hash), 32);
    assert_string_equal(back.precision, "f32");
    ts_buf_release(&a);
    ts_buf_release(&b);
    ts_run_settings_release(&s);
    ts_run_settings_release(&back);
    free(dir);
}

static void command_repeats_what_differs(void **state) {
    (void)state;
    ts_run_settings s;
    ts_buf out = TS_BUF_INIT;
    ts_run_settings_init(&s);
    ts_run_set(&s.model, "my model");
    assert_ok(ts_run_settings_set(&s, "epochs", "1", &err));
    assert_ok(ts_run_settings_set(&s, "no-shuffle", "yes", &err));
    assert_ok(ts_run_settings_set(&s, "where", "it's new", &err));
    ts_run_settings_command(&s, &out);
    assert_string_equal(out.data, " --model 'my model' --epochs 1 --no-shuffle --where 'it'\\''s new'");
    ts_buf_release(&out);
    ts_run_settings_release(&s);
}

static void wrong_values_are_named(void **state) {
    (void)state;
    static const struct {
        const char *option, *value, *word;
        ts_status status;
    } cases[] = {
        {"batch-size", "0", "--batch-size", TS_INVALID},        {"batch-size", "many", "whole number", TS_INVALID},
        {"learning-rate", "nan", "a number", TS_INVALID},       {"valid", "1.5", "--valid", TS_INVALID},
        {"no-shuffle", "perhaps", "yes or no", TS_INVALID},     {"speed", "9", "--speed", TS_NOT_FOUND},
        {"lora-dropout", "-0.1", "--lora-dropout", TS_INVALID},
    };
    ts_run_settings s;
    ts_run_settings_init(&s);
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        assert_int_equal(ts_run_settings_set(&s, cases[i].option, cases[i].value, &err), cases[i].status);
        assert_non_null(strstr(err.text, cases[i].word));
    }
    ts_run_settings_release(&s);
}

/* A preset sets what fits the method; what is set after it wins; the command line repeats all of it. */
static void presets_set_what_fits(void **state) {
    (void)state;
    ts_run_settings s;
    ts_buf command = TS_BUF_INIT;
    for (size_t i = 0; i < TS_PRESETS; i++)
        for (int whole = 0; whole < 2; whole++) {
            ts_run_settings_init(&s);
            ts_run_set(&s.model, "x");
            assert_ok(ts_run_settings_set(&s, "method", whole ? "full" : "lora", &err));
            assert_ok(ts_run_settings_set(&s, "preset", ts_presets[i].name, &err));
            assert_ok(ts_run_settings_check(&s, &err));
            assert_near(s.learning_rate, atof(whole ? ts_presets[i].full_rate : ts_presets[i].rate), 1e-12, "rate");
            assert_int_equal(s.r, whole ? 16 : atoi(ts_presets[i].rank));
            assert_int_equal(s.batch_size, atoi(ts_presets[i].batch));
            ts_run_settings_release(&s);
        }
    ts_run_settings_init(&s);
    assert_ok(ts_run_settings_set(&s, "preset", "style", &err));
    assert_ok(ts_run_settings_set(&s, "r", "12", &err));
    assert_int_equal(s.r, 12);
    assert_near(s.lora_alpha, 16, 0, "alpha");
    ts_run_settings_command(&s, &command);
    assert_non_null(strstr(command.data, "--preset style"));
    assert_non_null(strstr(command.data, "--r 12"));
    assert_int_equal(ts_run_settings_set(&s, "preset", "stile", &err), TS_INVALID);
    assert_non_null(strstr(err.text, "stile"));
    ts_buf_release(&command);
    ts_run_settings_release(&s);
}

static void whole_settings_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *option, *value, *word;
    } cases[] = {{"precision", "bf16", "bf16"},
                 {"precision", "fp8", "fp8"},
                 {"schedule", "wavy", "wavy"},
                 {"method", "half", "lora, qlora or full"},
                 {"rank-pattern", "q_proj", "--rank-pattern"},
                 {"alpha-pattern", "q_proj=many", "--alpha-pattern"}};
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        ts_run_settings s;
        ts_run_settings_init(&s);
        ts_run_set(&s.model, "x");
        assert_ok(ts_run_settings_set(&s, cases[i].option, cases[i].value, &err));
        assert_int_not_equal(ts_run_settings_check(&s, &err), TS_OK);
        assert_non_null(strstr(err.text, cases[i].word));
        ts_run_settings_release(&s);
    }
}

static void nothing_half_made_is_left(void **state) {
    (void)state;
    ts_run_settings s;
    ts_run_settings_init(&s);
    char *dir = path_of("half"), *train = path_of("empty.jsonl"), *model = path_of("no model");
    write_file(train, "\n  \n");
    ts_run_set(&s.model, model);
    assert_int_equal(ts_run_create(dir, &s, train, NULL, NULL, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "no rows"));
    assert_false(ts_file_exists(dir));
    write_file(train, two_rows);
    assert_int_not_equal(ts_run_create(dir, &s, train, NULL, NULL, &err), TS_OK); /* the model is missing */
    assert_false(ts_file_exists(dir));
    assert_ok(ts_mkdirs(dir, &err));
    char *inside = ts_path_join(dir, "mine");
    write_file(inside, "x");
    assert_int_equal(ts_run_create(dir, &s, train, NULL, NULL, &err), TS_INVALID);
    assert_true(ts_is_file(inside)); /* somebody's folder is not touched */
    ts_run_settings_release(&s);
    free(inside);
    free(dir);
    free(train);
    free(model);
}

static void add_step(ts_events *e, int64_t step, double loss) {
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_events_begin(&line, "step", step);
    ts_jw_knum(&w, "loss", loss);
    ts_jw_kint(&w, "tokens", 100);
    ts_jw_kint(&w, "supervised_tokens", step == 1 ? 10 : 30);
    ts_jw_knum(&w, "seconds", 0.5);
    assert_ok(ts_events_add(e, &w, &err));
    ts_buf_release(&line);
}

static void add_end(ts_events *e, const char *how) {
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_events_begin(&line, "end", 4);
    ts_jw_kstr(&w, "state", how);
    ts_jw_kstr(&w, "reason", "because");
    assert_ok(ts_events_add(e, &w, &err));
    ts_buf_release(&line);
}

static void add_start(ts_events *e) {
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_events_begin(&line, "start", 0);
    ts_jw_kint(&w, "steps", 8);
    ts_jw_knum(&w, "epochs", 4);
    assert_ok(ts_events_add(e, &w, &err));
    ts_buf_release(&line);
}

static void follows_what_is_appended(void **state) {
    (void)state;
    ts_follow f;
    bool changed;
    ts_events e;
    const char *dir = here;
    ts_follow_init(&f, dir);
    assert_ok(ts_follow_poll(&f, &changed, &err));
    assert_int_equal(f.state, TS_RUN_NEW);
    assert_ok(ts_events_open(&e, dir, 0, &err));
    add_start(&e);
    add_step(&e, 1, 3);
    add_step(&e, 2, 1);
    assert_ok(ts_follow_poll(&f, &changed, &err));
    assert_true(changed);
    assert_int_equal(f.n_points, 2);
    assert_int_equal(f.state, TS_RUN_CRASHED); /* events, no end, nobody holds the lock */
    assert_near(f.tokens_per_second, 200, 1e-9, "rate");
    assert_near(f.eta, 3, 1e-9, "half a second a step, six to go");
    assert_near(f.train_loss, (3 * 10 + 1 * 30) / 40.0, 1e-12, "token-weighted over the epoch's two steps");
    assert_ok(ts_follow_poll(&f, &changed, &err));
    assert_false(changed);
    int64_t keep = e.size;
    add_step(&e, 3, 0.5);
    assert_int_equal(write(e.fd, "{\"event\":\"ste", 13), 13); /* a line in the middle of being written */
    assert_ok(ts_follow_poll(&f, &changed, &err));
    assert_int_equal(f.n_points, 3);
    ts_events_close(&e);
    assert_ok(ts_events_open(&e, dir, keep, &err)); /* a resumed run goes back to its checkpoint */
    add_step(&e, 3, 0.25);
    add_end(&e, "stopped");
    assert_ok(ts_follow_poll(&f, &changed, &err));
    assert_int_equal(f.n_points, 3);
    assert_near(f.points[2].loss, 0.25, 0, "the new third step");
    assert_int_equal(f.state, TS_RUN_STOPPED);
    assert_string_equal(f.reason, "because");
    ts_events_close(&e);
    ts_follow_release(&f);
}

static void lock_tells_running_and_pid(void **state) {
    (void)state;
    ts_follow f;
    bool changed;
    char words[192], *lock = path_of("lock");
    ts_lock held = TS_LOCK_INIT;
    const char *dir = here;
    assert_int_equal(ts_run_stop(dir, &err), TS_NOT_FOUND);
    ts_run_lock_words(words, sizeof words);
    assert_ok(ts_lock_take(&held, lock, words, &err));
    assert_int_equal(ts_run_pid(dir), getpid());
    ts_follow_init(&f, dir);
    assert_ok(ts_follow_poll(&f, &changed, &err));
    assert_int_equal(f.state, TS_RUN_RUNNING);
    ts_lock_release(&held);
    assert_int_equal(ts_run_pid(dir), 0);
    assert_ok(ts_lock_take(&held, lock, "otherhost 123 1", &err));
    assert_int_equal(ts_run_stop(dir, &err), TS_UNSUPPORTED);
    ts_lock_release(&held);
    ts_follow_release(&f);
    free(lock);
}

static ts_checkpoint filled(float *store, size_t n, int64_t step) {
    for (size_t i = 0; i < 3 * n; i++)
        store[i] = (float)step + (float)i * 0.1f;
    return (ts_checkpoint){.step = step,
                           .updates = step,
                           .evaluated = -1,
                           .best_step = 2,
                           .best_valid_loss = 1.0 / 3,
                           .valid_loss = NAN,
                           .events_bytes = 17,
                           .seconds = 0.1,
                           .params = store,
                           .m = store + n,
                           .v = store + 2 * n,
                           .n = n};
}

static void checkpoint_comes_back_exactly(void **state) {
    (void)state;
    enum { N = 1000 };
    static float a[3 * N], b[3 * N];
    ts_checkpoint c = filled(a, N, 5), back = filled(b, N, 0);
    const char *dir = here;
    assert_int_equal(ts_checkpoint_read(dir, &back, &err), TS_NOT_FOUND);
    assert_ok(ts_checkpoint_write(dir, &c, &err));
    c = filled(a, N, 12);
    assert_ok(ts_checkpoint_write(dir, &c, &err));
    assert_ok(ts_checkpoint_read(dir, &back, &err));
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(back.step, 12);
    assert_int_equal(back.evaluated, -1);
    assert_true(back.best_valid_loss == c.best_valid_loss);
    assert_true(isnan(back.valid_loss));
    char *old = path_of("checkpoints/000005");
    assert_false(ts_file_exists(old)); /* older ones go */
    free(old);
}

static void damaged_checkpoint_is_refused(void **state) {
    (void)state;
    enum { N = 100 };
    static float a[3 * N];
    const char *dir = here;
    ts_checkpoint c = filled(a, N, 20);
    assert_ok(ts_checkpoint_write(dir, &c, &err));
    char *path = path_of("checkpoints/000020/m.f32");
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 77), 1);
    close(fd);
    assert_int_equal(ts_checkpoint_read(dir, &c, &err), TS_CORRUPT);
    assert_non_null(strstr(err.text, "m.f32"));
    c.n = N - 1;
    assert_int_equal(ts_checkpoint_read(dir, &c, &err), TS_CORRUPT);
    c.n = N;
    assert_int_equal(unlink(path), 0); /* gone is damaged too: training must not begin again in silence */
    assert_int_equal(ts_checkpoint_read(dir, &c, &err), TS_CORRUPT);
    assert_non_null(strstr(err.text, "m.f32"));
    free(path);
}

/* A disk with no more room, played by a limit on file sizes: the old checkpoint stays the good one. */
static void full_disk_keeps_the_old_one(void **state) {
    (void)state;
    enum { N = 4000 };
    static float a[3 * N], b[3 * N];
    ts_checkpoint c = filled(a, N, 30), back = filled(b, N, 0);
    const char *dir = here;
    struct rlimit old, small;
    assert_ok(ts_checkpoint_write(dir, &c, &err));
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 8000;
    c = filled(a, N, 40);
    setrlimit(RLIMIT_FSIZE, &small);
    ts_status status = ts_checkpoint_write(dir, &c, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(status, TS_NO_ROOM);
    assert_ok(ts_checkpoint_read(dir, &back, &err));
    assert_int_equal(back.step, 30);
    char *rest = path_of("checkpoints/000040.tmp");
    assert_false(ts_file_exists(rest));
    free(rest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(settings_survive_the_file, fresh),
        cmocka_unit_test_setup(command_repeats_what_differs, fresh),
        cmocka_unit_test_setup(wrong_values_are_named, fresh),
        cmocka_unit_test_setup(presets_set_what_fits, fresh),
        cmocka_unit_test_setup(whole_settings_are_checked, fresh),
        cmocka_unit_test_setup(nothing_half_made_is_left, fresh),
        cmocka_unit_test_setup(follows_what_is_appended, fresh),
        cmocka_unit_test_setup(lock_tells_running_and_pid, fresh),
        cmocka_unit_test_setup(checkpoint_comes_back_exactly, fresh),
        cmocka_unit_test_setup(damaged_checkpoint_is_refused, fresh),
        cmocka_unit_test_setup(full_disk_keeps_the_old_one, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
