/* A verb run as a child by a job of the workbench: its result, its progress, its sentence, a stop. */
#include "core/base/file.h"
#include "tests/support.h"
#include "tests/tiny_model.h"
#include "tui/verb_job.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static ts_err err;
static char *model, *one, *two, *out;
static ts_buf result, said;

static ts_status run(const char *const *words, ts_progress *progress) {
    ts_call call = {0};
    for (size_t i = 0; words[i]; i++)
        ts_call_add(&call, ts_strdup(words[i]));
    ts_buf_reset(&result);
    ts_buf_reset(&said);
    ts_status status = ts_call_run(&call, progress, &result, &said, &err);
    ts_call_release(&call);
    return status;
}

static void what_it_printed(void **state) {
    (void)state;
    ts_progress progress = {0};
    const char *const words[] = {"combine", "--model", model, "--adapter", one, "--adapter", two, "--out", out, NULL};
    ts_test_program();
    assert_ok(run(words, &progress));
    assert_non_null(strstr(ts_buf_str(&result), "\"rank\":5"));
    assert_true(progress.total > 0);
    assert_int_equal(progress.done, progress.total);
    assert_string_equal(progress.what, "combining");
    assert_true(ts_is_dir(out));
    assert_ok(ts_remove_tree(out, &err));
}

static void its_sentence(void **state) {
    (void)state;
    const char *const words[] = {"combine", "--model", "/no/such/model", "--adapter", one, "--out", out, NULL};
    const char *const usage[] = {"merge", "--model", model, NULL};
    ts_test_program();
    assert_int_equal(run(words, NULL), TS_INVALID);
    assert_non_null(strstr(err.text, "/no/such/model"));
    assert_null(strstr(err.text, "tunesmith combine:"));
    assert_int_equal(run(usage, NULL), TS_INVALID);
    assert_non_null(strstr(err.text, "--adapter is missing"));
    setenv("TUNESMITH_BINARY", "/bin/false", 1); /* one that says nothing */
    assert_int_equal(run(usage, NULL), TS_IO);
    assert_string_equal(err.text, "tunesmith merge ended with exit code 1");
}

/* Stops as soon as the first line of progress has come. */
static void *stop_when_it_moves(void *ctx) {
    ts_progress *progress = ctx;
    const struct timespec moment = {0, 1000000};
    while (atomic_load(&progress->done) != 1)
        nanosleep(&moment, NULL);
    ts_cancel(progress);
    return NULL;
}

/* A program that never ends by itself. */
static void a_stop(void **state) {
    (void)state;
    static const char script[] = "#!/bin/sh\ntrap 'exit 130' TERM\necho '{\"progress\":\"waiting\",\"done\":1,"
                                 "\"total\":2}' >&2\nwhile :; do sleep 0.02; done\n";
    ts_progress progress = {0};
    const char *const words[] = {"merge", NULL};
    char *path = ts_path_join(ts_test_dir(), "endless");
    pthread_t thread;
    assert_ok(ts_file_write(path, script, strlen(script), &err));
    assert_int_equal(chmod(path, 0755), 0);
    setenv("TUNESMITH_BINARY", path, 1);
    assert_int_equal(pthread_create(&thread, NULL, stop_when_it_moves, &progress), 0);
    assert_int_equal(run(words, &progress), TS_CANCELLED);
    pthread_join(thread, NULL);
    assert_string_equal(progress.what, "waiting");
    assert_int_equal(run(words, &progress), TS_CANCELLED); /* it is not even begun */
    free(path);
}

static void the_line_to_type(void **state) {
    (void)state;
    ts_call call = {0};
    ts_buf line = TS_BUF_INIT;
    ts_call_add(&call, ts_strdup("merge"));
    ts_call_add(&call, ts_strdup("--out"));
    ts_call_add(&call, ts_strdup("my voice/it's"));
    ts_call_command(&call, &line);
    assert_string_equal(line.data, "tunesmith merge --out 'my voice/it'\\''s'");
    ts_call_release(&call);
    ts_buf_release(&line);
}

int main(void) {
    const char *here = ts_test_dir();
    model = ts_path_join(here, "m");
    one = ts_path_join(here, "one");
    two = ts_path_join(here, "two");
    out = ts_path_join(here, "out");
    ts_tiny_hf(model, NULL);
    ts_tiny_adapter(model, one, 2, 1);
    ts_tiny_adapter(model, two, 3, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_printed),
        cmocka_unit_test(its_sentence),
        cmocka_unit_test(a_stop),
        cmocka_unit_test(the_line_to_type),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ts_buf_release(&result);
    ts_buf_release(&said);
    free(model);
    free(one);
    free(two);
    free(out);
    return failed;
}
