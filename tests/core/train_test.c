/* Training on a tiny model: it learns, it resumes to the bit, and bad input ends with a sentence. */
#include "core/base/clock.h"
#include "core/engine/net.h"
#include "core/engine/penalty.h"
#include "core/engine/train.h"
#include "core/model/adapter.h"
#include "tests/support.h"
#include "tests/tiny_model.h"
#include "tests/train_support.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static ts_err err;

static void learns_and_tells(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_result r;
    train_settings(&s);
    train_set(&s, "epochs", "8");
    train_rows("train.jsonl", 10, 1);
    train_rows("valid.jsonl", 4, 2);
    char *dir = train_create("run", &s, true);
    assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
    ts_follow f = train_follow(dir);
    assert_int_equal(r.state, TS_RUN_DONE);
    assert_int_equal(r.steps, 24); /* 10 rows in batches of 4: three steps an epoch */
    assert_int_equal(f.state, TS_RUN_DONE);
    assert_int_equal(f.n_points, 24);
    assert_true(f.points[23].loss < 0.6 * f.points[0].loss);
    assert_int_equal(f.evals[0].step, 0);
    assert_false(f.evals[0].best);
    assert_true(f.best_valid_loss < f.evals[0].loss);
    assert_near(f.best_valid_loss, r.best_valid_loss, 0, "best");
    char *best = ts_path_join(dir, "best/adapter_config.json"),
         *last = ts_path_join(dir, "adapter/adapter_config.json");
    assert_true(ts_is_file(best));
    assert_true(ts_is_file(last));
    assert_ok(ts_train_run(dir, NULL, NULL, &r, &err)); /* a finished run: told once more, nothing trained */
    assert_int_equal(r.steps, 24);
    ts_follow_release(&f);
    free(best);
    free(last);
    free(dir);
}

/* Stopped after every possible line of its report and resumed each time, a run ends with the bytes of one left alone.
 * Dropout, shuffling, warm-up, best-so-far and patience all take part. */
static void resumes_to_the_bit(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_result whole, r;
    train_rows("train.jsonl", 11, 3);
    train_rows("valid.jsonl", 3, 4);
    train_settings(&s);
    char *left_alone = train_create("alone", &s, true);
    assert_ok(ts_train_run(left_alone, NULL, NULL, &whole, &err));
    train_settings(&s);
    char *stopped = train_create("stopped", &s, true);
    int starts = 0;
    do {
        ts_train_stopper st = {.at = 2 + starts % 3};
        ts_train_options o = {.on_line = train_stop_after, .ctx = &st};
        assert_ok(ts_train_run(stopped, &o, &st.progress, &r, &err));
        assert_true(++starts < 40);
    } while (r.state == TS_RUN_STOPPED);
    assert_true(starts > 3);
    assert_same_run_file(left_alone, stopped, "adapter/adapter_model.safetensors");
    assert_same_run_file(left_alone, stopped, "best/adapter_model.safetensors");
    ts_follow a = train_follow(left_alone), b = train_follow(stopped);
    assert_int_equal(a.n_points, b.n_points);
    assert_int_equal(a.n_evals, b.n_evals);
    for (size_t i = 0; i < a.n_points; i++)
        assert_true(a.points[i].loss == b.points[i].loss && a.points[i].step == b.points[i].step);
    assert_true(whole.best_valid_loss == r.best_valid_loss);
    ts_follow_release(&a);
    ts_follow_release(&b);
    free(left_alone);
    free(stopped);
}

/* Every line that is known of the answers in a run. */
static void assert_same_samples(const char *a_dir, const char *b_dir) {
    ts_follow a = train_follow(a_dir), b = train_follow(b_dir);
    assert_int_equal(a.n_samples, b.n_samples);
    for (size_t i = 0; i < a.n_samples; i++) {
        assert_int_equal(a.samples[i].step, b.samples[i].step);
        assert_int_equal(a.samples[i].prompt, b.samples[i].prompt);
        assert_string_equal(a.samples[i].text, b.samples[i].text);
    }
    ts_follow_release(&a);
    ts_follow_release(&b);
}

/* Prompts are answered before the first step, as often as was said and after the last one; training does not notice,
 * and a run that is stopped and resumed answers each once. */
static void samples_change_no_bit(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_result r;
    char *prompts = train_path("prompts.txt");
    train_rows("train.jsonl", 11, 3);
    train_rows("valid.jsonl", 3, 4);
    train_write("prompts.txt", "Say hello\n\n{\"instruction\":\"Add\",\"input\":\"1 and 2\",\"output\":\"3\"}\n"
                               "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\","
                               "\"content\":\"no\"}]}\n{\"ids\":[1,5,9]}");
    const char *const names[] = {"without", "with", "stopped"};
    char *dirs[3];
    for (size_t i = 0; i < TS_COUNT(names); i++) {
        train_settings(&s);
        if (i > 0) ts_run_set(&s.sample_prompts, prompts);
        train_set(&s, "sample-every", "4");
        train_set(&s, "sample-tokens", "5");
        dirs[i] = train_create(names[i], &s, true);
        int starts = 0;
        do {
            ts_train_stopper st = {.at = i == 2 ? 3 : 1000};
            ts_train_options o = {.on_line = train_stop_after, .ctx = &st};
            assert_ok(ts_train_run(dirs[i], &o, &st.progress, &r, &err));
            assert_true(++starts < 40);
        } while (r.state == TS_RUN_STOPPED);
        assert_true(i != 2 || starts > 2);
        assert_same_run_file(dirs[0], dirs[i], "adapter/adapter_model.safetensors");
        assert_same_run_file(dirs[0], dirs[i], "best/adapter_model.safetensors");
    }
    assert_same_samples(dirs[1], dirs[2]);
    static const int64_t steps[] = {0, 4, 8, 9};
    static const char *const asked[] = {"Say hello", "Add\n1 and 2", "Hi", "{\"ids\":[1,5,9]}"};
    ts_follow f = train_follow(dirs[1]);
    assert_int_equal(f.n_prompts, 4);
    assert_int_equal(f.n_samples, 4 * TS_COUNT(steps));
    for (size_t i = 0; i < f.n_samples; i++) {
        assert_int_equal(f.samples[i].step, steps[i / 4]);
        assert_string_equal(f.prompts[f.samples[i].prompt], asked[i % 4]);
    }
    ts_follow_release(&f);
    for (size_t i = 0; i < TS_COUNT(names); i++)
        free(dirs[i]);
    free(prompts);
}

static double change_of(const char *dir, const char *model) {
    ts_model *m = NULL;
    ts_adapter *a = NULL, *grad = NULL;
    char *path = ts_path_join(dir, "adapter");
    assert_ok(ts_model_open(&m, model, &err));
    assert_ok(ts_adapter_load(&a, path, m, &err));
    assert_ok(ts_adapter_hold(a, &err));
    assert_ok(ts_adapter_trainable(a, &err));
    assert_ok(ts_adapter_zero_like(&grad, a, &err));
    double change = ts_penalty_l2(a, 1, 0, grad);
    ts_adapter_free(a);
    ts_adapter_free(grad);
    ts_model_close(m);
    free(path);
    return change;
}

/* General rows are measured before, during and after, with and without held-out rows, and change no bit; the penalty
 * keeps the change of the weights small, is not part of the loss, and goes through a stop to the bit. */
static void forgetting_is_measured_and_held(void **state) {
    (void)state;
    static const char *const penalties[] = {"0", "0", "5", "5"};
    ts_run_settings s;
    ts_train_result r;
    char *dirs[4], *general = train_path("general.jsonl"), *model = train_path("tiny");
    train_rows("train.jsonl", 11, 3);
    train_rows("general.jsonl", 4, 17);
    for (size_t i = 0; i < TS_COUNT(penalties); i++) {
        char name[8] = {(char)('a' + i), 0};
        int starts = 0;
        train_settings(&s);
        if (i > 0) ts_run_set(&s.general, general);
        train_set(&s, "l2-delta", penalties[i]);
        dirs[i] = train_create(name, &s, false);
        do {
            ts_train_stopper st = {.at = i == 3 ? 3 : 1000};
            ts_train_options o = {.on_line = train_stop_after, .ctx = &st};
            assert_ok(ts_train_run(dirs[i], &o, &st.progress, &r, &err));
            assert_true(++starts < 40);
        } while (r.state == TS_RUN_STOPPED);
    }
    assert_same_run_file(dirs[0], dirs[1], "adapter/adapter_model.safetensors");
    assert_same_run_file(dirs[2], dirs[3], "adapter/adapter_model.safetensors");
    assert_true(change_of(dirs[2], model) < 0.5 * change_of(dirs[1], model));
    ts_follow plain = train_follow(dirs[1]), held = train_follow(dirs[3]);
    assert_int_equal(plain.n_evals, 0);
    assert_int_equal(plain.n_generals, 6); /* before, every second of 9 steps, after */
    assert_int_equal(held.n_generals, 6);
    assert_true(plain.general_before == held.general_before && plain.general_before == plain.generals[0].loss);
    assert_true(plain.general_loss == plain.generals[5].loss && isfinite(plain.general_loss));
    assert_true(plain.points[0].loss == held.points[0].loss); /* the penalty is reported beside it */
    ts_follow_release(&plain);
    ts_follow_release(&held);
    train_settings(&s);
    train_set(&s, "use-dora", "yes");
    train_set(&s, "l2-delta", "1");
    assert_int_equal(ts_run_settings_check(&s, &err), TS_INVALID);
    ts_run_settings_release(&s);
    for (size_t i = 0; i < TS_COUNT(dirs); i++)
        free(dirs[i]);
    free(general);
    free(model);
}

/* An adapter that is trained on forgets less of its earlier task with EWC, which is not part of the loss and goes
 * through a stop to the bit. */
static void an_earlier_task_is_held(void **state) {
    (void)state;
    static const char *const lambdas[] = {"0", "50", "50"};
    ts_run_settings s;
    ts_train_result r;
    char *dirs[3], *old = train_path("old.jsonl");
    ts_buf rows = TS_BUF_INIT;
    for (int i = 0; i < 8; i++)
        ts_buf_printf(&rows, "{\"ids\":[%d,7,60,61,62],\"labels\":[-100,-100,60,61,62]}\n", 100 + i);
    train_write("old.jsonl", rows.data);
    train_write("train.jsonl", rows.data);
    ts_buf_release(&rows);
    train_settings(&s);
    char *first = train_create("first", &s, false), *init = ts_path_join(first, "adapter");
    assert_ok(ts_train_run(first, NULL, NULL, &r, &err));
    train_rows("train.jsonl", 11, 29);
    for (size_t i = 0; i < TS_COUNT(lambdas); i++) {
        char name[8] = {(char)('a' + i), 0};
        int starts = 0;
        train_settings(&s);
        ts_run_set(&s.init_adapter, init);
        ts_run_set(&s.general, old);
        train_set(&s, "ewc-lambda", lambdas[i]);
        if (i > 0) ts_run_set(&s.ewc_data, old);
        dirs[i] = train_create(name, &s, false);
        do {
            ts_train_stopper st = {.at = i == 2 ? 3 : 1000};
            ts_train_options o = {.on_line = train_stop_after, .ctx = &st};
            assert_ok(ts_train_run(dirs[i], &o, &st.progress, &r, &err));
            assert_true(++starts < 40);
        } while (r.state == TS_RUN_STOPPED);
        assert_true(i != 2 || starts > 1);
    }
    assert_same_run_file(dirs[1], dirs[2], "adapter/adapter_model.safetensors");
    ts_follow plain = train_follow(dirs[0]), held = train_follow(dirs[1]);
    assert_true(plain.points[0].loss == held.points[0].loss); /* the penalty is reported beside it */
    assert_true(held.general_loss - held.general_before < 0.8 * (plain.general_loss - plain.general_before));
    assert_true(plain.general_loss > plain.general_before);
    ts_follow_release(&plain);
    ts_follow_release(&held);
    train_settings(&s);
    train_set(&s, "ewc-lambda", "1");
    assert_int_equal(ts_run_settings_check(&s, &err), TS_INVALID);
    ts_run_settings_release(&s);
    for (size_t i = 0; i < TS_COUNT(dirs); i++)
        free(dirs[i]);
    free(first);
    free(init);
    free(old);
}

/* So many general rows that they are the share of all, spread evenly, the same ones for a seed; a run has them in its
 * own copy, and a plan counts them. */
static void general_rows_are_mixed_in(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_plan p;
    char *general = train_path("general.jsonl"), *train = train_path("train.jsonl");
    ts_buf mixed = TS_BUF_INIT, again = TS_BUF_INIT, out = TS_BUF_INIT;
    for (int i = 0; i < 30; i++)
        ts_buf_printf(&out, "{\"ids\":[1,7,9],\"labels\":[-100,7,%d]}\n", 10 + i); /* the only rows with [1,7,9] */
    train_write("general.jsonl", out.data);
    train_rows("train.jsonl", 12, 3);
    train_settings(&s);
    ts_run_set(&s.replay, general);
    train_set(&s, "replay-fraction", "0.25");
    assert_ok(ts_train_plan_make(&s, train, NULL, &p, &err));
    assert_int_equal(p.examples, 16);
    assert_int_equal(p.replayed, 4);
    char *dir = train_path("run"), *twin = train_path("twin"), *data = ts_path_join(dir, "train.jsonl");
    char *other = ts_path_join(twin, "train.jsonl"), *rest, *line;
    assert_ok(ts_run_create(dir, &s, train, NULL, NULL, &err));
    assert_int_equal(s.train_rows, 16);
    assert_int_equal(s.replay_rows, 4);
    assert_ok(ts_run_create(twin, &s, train, NULL, NULL, &err));
    assert_ok(ts_file_read(data, 1 << 20, &mixed, &err));
    assert_ok(ts_file_read(other, 1 << 20, &again, &err));
    assert_string_equal(ts_buf_str(&mixed), ts_buf_str(&again));
    int number = 0;
    for (line = strtok_r(mixed.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        assert_int_equal(strstr(line, "[1,7,9]") != NULL, ++number % 4 == 0);
    assert_int_equal(number, 16);
    ts_run_settings_release(&s);
    ts_buf_release(&mixed);
    ts_buf_release(&again);
    ts_buf_release(&out);
    free(general);
    free(train);
    free(dir);
    free(twin);
    free(data);
    free(other);
}

static void strange_prompts_are_named(void **state) {
    (void)state;
    static const char *const files[][2] = {{"\n \n", "no prompts"},
                                           {"fine\n{\"instruction\":", "line 2"},
                                           {"{\"answer\":1}\n", "line 1"},
                                           {"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\nn\no\np\nq\nr\ns\nt\nu\nv\nw\nx\ny"
                                            "\nz\n1\n2\n3\n4\n5\n6\n7\n",
                                            "more than 32"}};
    ts_run_settings s;
    char *prompts = train_path("prompts.txt"), *dir = train_path("run"), *train = train_path("train.jsonl");
    train_rows("train.jsonl", 2, 1);
    for (size_t i = 0; i < TS_COUNT(files); i++) {
        train_write("prompts.txt", files[i][0]);
        train_settings(&s);
        ts_run_set(&s.sample_prompts, prompts);
        assert_int_not_equal(ts_run_create(dir, &s, train, NULL, NULL, &err), TS_OK);
        if (!strstr(err.text, files[i][1])) fail_msg("\"%s\" does not say \"%s\"", err.text, files[i][1]);
        assert_false(ts_file_exists(dir));
        ts_run_settings_release(&s);
    }
    free(prompts);
    free(dir);
    free(train);
}

/* A batch is one sum over its tokens, however it is cut into calls and micro-batches. */
static void accumulation_equals_a_big_batch(void **state) {
    (void)state;
    static const char *const ways[][3] = {{"8", "1", "1024"}, {"2", "4", "1024"}, {"8", "1", "16"}};
    double losses[TS_COUNT(ways)] = {0};
    train_rows("train.jsonl", 16, 5);
    for (size_t i = 0; i < TS_COUNT(ways); i++) {
        ts_run_settings s;
        ts_train_result r;
        char name[16];
        train_settings(&s);
        train_set(&s, "lora-dropout", "0");
        train_set(&s, "batch-size", ways[i][0]);
        train_set(&s, "grad-accum", ways[i][1]);
        train_set(&s, "micro-tokens", ways[i][2]);
        snprintf(name, sizeof name, "way%zu", i);
        char *dir = train_create(name, &s, false);
        assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
        assert_int_equal(r.steps, 6);
        losses[i] = r.train_loss;
        free(dir);
    }
    assert_true(losses[0] == losses[1]);
    assert_near(losses[0], losses[2], 2e-5, "micro-batches");
}

static void patience_ends_the_run(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_result r;
    train_settings(&s);
    train_set(&s, "epochs", "200");
    train_set(&s, "learning-rate", "0.1");
    train_set(&s, "schedule", "constant");
    train_set(&s, "patience", "3");
    train_rows("train.jsonl", 4, 6);
    train_rows("valid.jsonl", 2, 7);
    char *dir = train_create("run", &s, true);
    assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
    assert_int_equal(r.state, TS_RUN_DONE);
    assert_true(r.steps < 200);
    assert_int_equal(r.steps - r.best_step, 6);
    free(dir);
}

static void one_row_is_enough(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_result r;
    train_settings(&s);
    train_write("train.jsonl", "{\"ids\":[1,5],\"labels\":[-100,5]}"); /* and no newline at the end */
    char *dir = train_create("run", &s, false);
    assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
    assert_int_equal(r.steps, 3);
    assert_int_equal(r.best_step, -1);
    assert_true(isnan(r.valid_loss));
    free(dir);
}

/* Trains rows that must be refused; the text must hold `word`. */
static void refused(const char *name, const char *rows, const char *word) {
    ts_run_settings s;
    ts_train_result r;
    train_settings(&s);
    train_set(&s, "max-length", "6");
    train_write("train.jsonl", rows);
    char *dir = train_create(name, &s, false);
    assert_int_not_equal(ts_train_run(dir, NULL, NULL, &r, &err), TS_OK);
    if (!strstr(err.text, word)) fail_msg("\"%s\" does not say \"%s\"", err.text, word);
    ts_follow f = train_follow(dir);
    assert_int_equal(f.state, TS_RUN_FAILED); /* a detached run has no other voice */
    assert_non_null(strstr(f.reason, word));
    ts_follow_release(&f);
    free(dir);
}

static void bad_rows_are_named(void **state) {
    (void)state;
    refused("masked", "{\"ids\":[1,5,6],\"labels\":[-100,-100,-100]}\n", "nothing to learn");
    refused("first", "{\"ids\":[1,5],\"labels\":[1,-100]}\n", "nothing to learn"); /* the first label never counts */
    refused("cut", "{\"ids\":[1,5,6,7,8,9,10,11],\"labels\":[-100,-100,-100,-100,-100,-100,10,11]}\n",
            "nothing to learn");
    refused("unequal", "\n{\"ids\":[1,5,6],\"labels\":[-100,5]}\n", "line 2");
    refused("large", "{\"ids\":[1,99999],\"labels\":[-100,5]}\n", "token id");
    refused("negative", "{\"ids\":[1,5],\"labels\":[-100,-3]}\n", "-3");
    refused("neither", "{\"text\":\"x\"}\n", "neither");
    refused("json", "{\"ids\":[1,5\n", "line 1");
}

static void what_is_left_out_is_counted(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_result r;
    train_settings(&s);
    train_set(&s, "max-length", "4");
    train_write("train.jsonl", "{\"ids\":[1,5,6],\"labels\":[-100,5,6]}\n"
                               "{\"ids\":[1,5,6],\"labels\":[-100,-100,-100]}\n"
                               "{\"ids\":[1,5,6,7,8,9],\"labels\":[-100,5,6,7,8,9]}\n");
    char *dir = train_create("run", &s, false);
    assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
    ts_follow f = train_follow(dir);
    assert_int_equal(f.examples, 2);
    assert_int_equal(f.truncated, 1);
    assert_int_equal(f.unsupervised, 1);
    assert_int_equal(f.supervised_per_epoch, 5);
    bool told = false;
    for (size_t i = 0; i < f.n_log; i++)
        told |= strstr(f.log[i], "the first is line 2") != NULL;
    assert_true(told);
    ts_follow_release(&f);
    free(dir);
}

static void changed_files_are_refused(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_result r;
    ts_train_stopper st = {.at = 2};
    ts_train_options o = {.on_line = train_stop_after, .ctx = &st};
    train_settings(&s);
    train_rows("train.jsonl", 9, 8);
    char *dir = train_create("run", &s, false);
    assert_ok(ts_train_run(dir, &o, &st.progress, &r, &err));
    assert_int_equal(r.state, TS_RUN_STOPPED);
    train_write("run/train.jsonl", "{\"ids\":[1,5],\"labels\":[-100,5]}\n");
    assert_int_equal(ts_train_run(dir, NULL, NULL, &r, &err), TS_CORRUPT);
    assert_non_null(strstr(err.text, "train.jsonl"));
    ts_tiny other = {.seed = 77};
    char *model = train_path("tiny2");
    ts_tiny_hf(model, &other);
    o = (ts_train_options){.model = model};
    assert_int_equal(ts_train_run(dir, &o, NULL, &r, &err), TS_CORRUPT);
    assert_non_null(strstr(err.text, "model"));
    free(model);
    free(dir);
}

/* The folder and the model lie elsewhere now, on another machine perhaps: the run goes on as if nothing was. */
static void moved_elsewhere_it_goes_on(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_result r;
    ts_train_stopper st = {.at = 4};
    train_rows("train.jsonl", 9, 8);
    train_settings(&s);
    char *alone = train_create("alone", &s, false);
    assert_ok(ts_train_run(alone, NULL, NULL, &r, &err));
    train_settings(&s);
    char *old = train_create("old", &s, false), *new = train_path("new"), *model = train_path("tiny"),
         *moved = train_path("elsewhere");
    ts_train_options o = {.on_line = train_stop_after, .ctx = &st};
    assert_ok(ts_train_run(old, &o, &st.progress, &r, &err));
    assert_int_equal(r.state, TS_RUN_STOPPED);
    assert_int_equal(rename(old, new), 0);
    assert_int_equal(rename(model, moved), 0);
    assert_int_equal(ts_train_run(new, NULL, NULL, &r, &err), TS_NOT_FOUND); /* says which model it looks for */
    assert_non_null(strstr(err.text, "tiny"));
    o = (ts_train_options){.model = moved};
    assert_ok(ts_train_run(new, &o, NULL, &r, &err));
    assert_int_equal(r.state, TS_RUN_DONE);
    assert_same_run_file(alone, new, "adapter/adapter_model.safetensors");
    free(alone);
    free(old);
    free(new);
    free(model);
    free(moved);
}

/* A disk that is full from the third step until its person, who sees why the run waits, makes room; played by a limit
 * on the size of files, under which the few bytes of the lock file stay. */
struct disk {
    const char *dir;
    struct rlimit whole;
    int lines;
    char seen[256];
};

static void fill_disk(void *ctx, const char *line) {
    struct disk *d = ctx;
    struct rlimit small = d->whole;
    small.rlim_cur = 700;
    (void)line;
    if (++d->lines == 3) setrlimit(RLIMIT_FSIZE, &small);
}

static void *make_room(void *ctx) {
    struct disk *d = ctx;
    ts_follow f;
    ts_err ignored;
    bool changed;
    ts_follow_init(&f, d->dir);
    for (double until = ts_now() + 30; ts_now() < until && !*f.paused; usleep(2000))
        if (ts_follow_poll(&f, &changed, &ignored) != TS_OK) break;
    snprintf(d->seen, sizeof d->seen, "%s", f.paused);
    usleep(250000); /* some tries in vain */
    setrlimit(RLIMIT_FSIZE, &d->whole);
    ts_follow_release(&f);
    return NULL;
}

static void full_disk_pauses(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_result r;
    pthread_t person;
    train_rows("train.jsonl", 9, 8);
    train_settings(&s);
    char *alone = train_create("alone", &s, false);
    assert_ok(ts_train_run(alone, NULL, NULL, &r, &err));
    train_settings(&s);
    train_set(&s, "checkpoint-every", "2");
    char *dir = train_create("full", &s, false);
    struct disk d = {.dir = dir};
    ts_train_options o = {.on_line = fill_disk, .ctx = &d};
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &d.whole);
    pthread_create(&person, NULL, make_room, &d);
    ts_status status = ts_train_run(dir, &o, NULL, &r, &err);
    pthread_join(person, NULL);
    assert_ok(status);
    assert_non_null(strstr(d.seen, "cannot write"));
    assert_int_equal(r.state, TS_RUN_DONE);
    assert_same_run_file(alone, dir, "adapter/adapter_model.safetensors");
    ts_follow f = train_follow(dir);
    assert_int_equal(f.n_points, r.steps);
    assert_string_equal(f.paused, "");
    bool told = false;
    for (size_t i = 0; i < f.n_log; i++)
        told |= strstr(f.log[i], "the disk was full: the run waited") != NULL;
    assert_true(told);
    ts_follow_release(&f);
    free(alone);
    free(dir);
}

static void one_process_at_a_time(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_result r;
    ts_lock lock = TS_LOCK_INIT;
    train_settings(&s);
    train_rows("train.jsonl", 2, 9);
    char *dir = train_create("run", &s, false), *path = ts_path_join(dir, "lock");
    assert_ok(ts_lock_take(&lock, path, "somehost someboot 4121", &err));
    assert_int_equal(ts_train_run(dir, NULL, NULL, &r, &err), TS_BUSY);
    assert_non_null(strstr(err.text, "4121"));
    ts_lock_release(&lock);
    assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
    assert_int_equal(ts_train_run(train_dir(), NULL, NULL, &r, &err), TS_NOT_FOUND);
    free(path);
    free(dir);
}

/* An adapter whose product overflows: the run stops, names the example and keeps what it had. */
static void overflow_stops_the_run(void **state) {
    (void)state;
    ts_run_settings s;
    ts_train_result r;
    ts_model *m = NULL;
    ts_adapter *a = NULL;
    train_settings(&s);
    char *wild = train_path("wild");
    assert_ok(ts_model_open(&m, s.model, &err));
    assert_ok(ts_adapter_new(&a, m, 4, 8, 0, false, 1U << TS_O, 1, &err));
    for (size_t i = 0; i < a->n_params; i++)
        a->block[i] = 3e37f;
    assert_ok(ts_adapter_save(a, wild, &err));
    train_rows("train.jsonl", 3, 10);
    ts_run_set(&s.init_adapter, wild);
    char *dir = train_create("run", &s, false);
    assert_int_equal(ts_train_run(dir, NULL, NULL, &r, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "not finite"));
    assert_non_null(strstr(err.text, "line "));
    assert_int_equal(r.state, TS_RUN_FAILED);
    ts_adapter_free(a);
    ts_model_close(m);
    free(wild);
    free(dir);
}

/* AdamW's first step moves a value by the learning rate: B by the ratio times as far; A has no gradient yet. */
static void loraplus_moves_b_further(void **state) {
    (void)state;
    ts_adapter *a[2];
    ts_model *m = NULL;
    train_rows("train.jsonl", 4, 13);
    for (int i = 0; i < 2; i++) {
        ts_run_settings s;
        ts_train_result r;
        train_settings(&s);
        train_set(&s, "lora-dropout", "0");
        train_set(&s, "max-steps", "1");
        train_set(&s, "warmup-ratio", "0");
        train_set(&s, "loraplus-lr-ratio", i ? "16" : "1");
        if (!m) assert_ok(ts_model_open(&m, s.model, &err));
        char *dir = train_create(i ? "plus" : "plain", &s, false), *adapter = ts_path_join(dir, "adapter");
        assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
        assert_ok(ts_adapter_load(&a[i], adapter, m, &err));
        free(adapter);
        free(dir);
    }
    const ts_lora *x = &a[0]->lora[1][TS_V], *y = &a[1]->lora[1][TS_V];
    assert_memory_equal(x->a, y->a, x->r * x->in * sizeof(float));
    assert_true(x->b[0] != 0);
    for (size_t i = 0; i < x->out * x->r; i++)
        assert_near(y->b[i], 16 * x->b[i], 1e-7, "B");
    ts_adapter_free(a[0]);
    ts_adapter_free(a[1]);
    ts_model_close(m);
}

/* What plan says of steps and parameters is what the run has; a step is tried without leaving anything. */
static void plan_tells_of_the_run(void **state) {
    (void)state;
    static const char *const methods[] = {"lora", "full"};
    train_rows("train.jsonl", 11, 3);
    char *train = train_path("train.jsonl");
    for (size_t i = 0; i < TS_COUNT(methods); i++) {
        ts_run_settings s;
        ts_train_result r;
        ts_train_plan plan;
        train_settings(&s);
        train_set(&s, "lora-dropout", "0");
        train_set(&s, "method", methods[i]);
        train_set(&s, "gradient-checkpointing", i ? "yes" : "no");
        assert_ok(ts_train_plan_make(&s, train, NULL, &plan, &err));
        assert_true(isnan(plan.seconds));
        assert_ok(ts_train_plan_time(&s, train, 0.1, NULL, &plan, &err));
        assert_true(plan.seconds > 0 && plan.seconds < 600);
        ts_train_plan huge = plan;
        huge.memory_bytes = INT64_MAX;
        assert_int_equal(ts_train_plan_time(&s, train, 0.1, NULL, &huge, &err), TS_INVALID);
        char *dir = train_create(methods[i], &s, false);
        assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
        ts_follow f = train_follow(dir);
        assert_int_equal(plan.steps, f.steps);
        assert_int_equal(plan.trainable_params, f.trainable_params);
        assert_int_equal(plan.all_params, f.all_params);
        assert_true(plan.memory_bytes > 16 * plan.trainable_params && plan.disk_bytes > 8 * plan.trainable_params);
        ts_follow_release(&f);
        free(dir);
    }
    free(train);
}

/* Same seed: same first adapter and order; another seed: another. */
static void seeds_decide(void **state) {
    (void)state;
    double loss[3];
    static const char *const seeds[] = {"1", "1", "2"};
    train_rows("train.jsonl", 12, 11);
    for (int i = 0; i < 3; i++) {
        ts_run_settings s;
        ts_train_result r;
        char name[16];
        train_settings(&s);
        train_set(&s, "seed", seeds[i]);
        snprintf(name, sizeof name, "seed%d", i);
        char *dir = train_create(name, &s, false);
        assert_ok(ts_train_run(dir, NULL, NULL, &r, &err));
        loss[i] = r.train_loss;
        free(dir);
    }
    assert_true(loss[0] == loss[1]);
    assert_true(loss[0] != loss[2]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(learns_and_tells, train_fresh),
        cmocka_unit_test_setup(resumes_to_the_bit, train_fresh),
        cmocka_unit_test_setup(samples_change_no_bit, train_fresh),
        cmocka_unit_test_setup(strange_prompts_are_named, train_fresh),
        cmocka_unit_test_setup(forgetting_is_measured_and_held, train_fresh),
        cmocka_unit_test_setup(an_earlier_task_is_held, train_fresh),
        cmocka_unit_test_setup(general_rows_are_mixed_in, train_fresh),
        cmocka_unit_test_setup(accumulation_equals_a_big_batch, train_fresh),
        cmocka_unit_test_setup(patience_ends_the_run, train_fresh),
        cmocka_unit_test_setup(one_row_is_enough, train_fresh),
        cmocka_unit_test_setup(bad_rows_are_named, train_fresh),
        cmocka_unit_test_setup(what_is_left_out_is_counted, train_fresh),
        cmocka_unit_test_setup(changed_files_are_refused, train_fresh),
        cmocka_unit_test_setup(moved_elsewhere_it_goes_on, train_fresh),
        cmocka_unit_test_setup(full_disk_pauses, train_fresh),
        cmocka_unit_test_setup(one_process_at_a_time, train_fresh),
        cmocka_unit_test_setup(overflow_stops_the_run, train_fresh),
        cmocka_unit_test_setup(loraplus_moves_b_further, train_fresh),
        cmocka_unit_test_setup(plan_tells_of_the_run, train_fresh),
        cmocka_unit_test_setup(seeds_decide, train_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
