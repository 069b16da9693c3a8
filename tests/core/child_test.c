#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/work/child.h"
#include "tests/support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static ts_err err;

/* Waits for the first line of the child, at most ten seconds. */
static const char *first_line(ts_child *c, ts_lines *l) {
    const char *line = "";
    size_t n;
    for (double until = ts_now() + 10; ts_now() < until && !l->eof;) {
        assert_ok(ts_lines_fill(l, c->out, &err));
        if (ts_lines_next(l, &line, &n)) return line;
        usleep(2000);
    }
    return "";
}

static void start_shell(ts_child *c, const char *script, const char *log, bool pipes, bool detached) {
    const char *args[] = {"-c", script, NULL};
    ts_child_options o = {.program = "/bin/sh", .args = args, .log = log, .pipes = pipes, .detached = detached};
    assert_ok(ts_child_start(c, &o, &err));
}

static void talks_over_pipes(void **state) {
    (void)state;
    ts_child c;
    ts_lines l = {0};
    int how;
    start_shell(&c, "read a; echo got $a; exit 3", NULL, true, false);
    assert_int_equal(write(c.in, "hello\n", 6), 6);
    assert_string_equal(first_line(&c, &l), "got hello");
    assert_true(ts_child_wait(&c, 10, &how));
    assert_int_equal(WEXITSTATUS(how), 3);
    ts_child_end(&c, 1);
    ts_lines_release(&l);
}

static void missing_program_is_an_error(void **state) {
    (void)state;
    ts_child c;
    ts_child_options o = {.program = "/nowhere/at/all"};
    assert_int_equal(ts_child_start(&c, &o, &err), TS_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    o.detached = true;
    assert_int_equal(ts_child_start(&c, &o, &err), TS_NOT_FOUND);
}

/* A test program that asks for "ourselves" must not start itself. */
static void only_tunesmith_starts_itself(void **state) {
    (void)state;
    ts_child c;
    ts_child_options o = {.pipes = true};
    unsetenv("TUNESMITH_BINARY");
    assert_null(ts_child_self());
    assert_int_equal(ts_child_start(&c, &o, &err), TS_UNSUPPORTED);
}

static void environment_is_cleared(void **state) {
    (void)state;
    ts_child c;
    ts_lines l = {0};
    setenv("OPENBLAS_CORETYPE", "Haswell", 1);
    start_shell(&c, "echo \"[$OPENBLAS_CORETYPE]\"", NULL, true, false);
    assert_string_equal(first_line(&c, &l), "[]");
    ts_child_end(&c, 1);
    ts_lines_release(&l);
    setenv("TUNESMITH_KEEP_OPENBLAS", "1", 1);
    start_shell(&c, "echo \"[$OPENBLAS_CORETYPE]\"", NULL, true, false);
    assert_string_equal(first_line(&c, &l), "[Haswell]");
    ts_child_end(&c, 1);
    ts_lines_release(&l);
    unsetenv("TUNESMITH_KEEP_OPENBLAS");
    unsetenv("OPENBLAS_CORETYPE");
}

static void inherits_no_descriptor(void **state) {
    (void)state;
    ts_child c;
    ts_lines l = {0};
    int leaked = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as a library would */
    int high = dup2(leaked, 90);
    start_shell(&c, "if [ -e /proc/self/fd/90 ]; then echo open; else echo closed; fi", NULL, true, false);
    assert_string_equal(first_line(&c, &l), "closed");
    ts_child_end(&c, 1);
    ts_lines_release(&l);
    close(leaked);
    close(high);
}

static void stubborn_child_is_killed(void **state) {
    (void)state;
    ts_child c;
    ts_lines l = {0};
    start_shell(&c, "trap '' TERM; echo ready; while :; do sleep 1; done", NULL, true, false);
    assert_string_equal(first_line(&c, &l), "ready");
    pid_t pid = c.pid;
    ts_child_end(&c, 0.1);
    assert_int_not_equal(kill(pid, 0), 0);
    ts_lines_release(&l);
}

/* The detached child is no child of ours, leads no session of ours, and writes its log. */
static void detached_child_is_alone(void **state) {
    (void)state;
    ts_child c;
    char *log = ts_path_join(ts_test_dir(), "log with space.txt");
    ts_buf text = TS_BUF_INIT;
    start_shell(&c, "echo out; echo err >&2; sleep 30", log, false, true);
    for (double until = ts_now() + 10; ts_now() < until && text.len < 8; usleep(2000)) {
        ts_buf_reset(&text);
        assert_ok(ts_file_read(log, 1000, &text, &err));
    }
    assert_string_equal(ts_buf_str(&text), "out\nerr\n");
    assert_true(c.pid > 0);
    assert_int_not_equal(getsid(c.pid), getsid(0));
    assert_int_equal(waitpid(c.pid, NULL, WNOHANG), -1);
    assert_int_equal(kill(c.pid, SIGKILL), 0);
    ts_buf_release(&text);
    free(log);
}

static void long_line_is_refused(void **state) {
    (void)state;
    ts_child c;
    ts_lines l = {.max = 100};
    ts_status status = TS_OK;
    start_shell(&c, "printf '%0200d' 1; sleep 30", NULL, true, false);
    for (double until = ts_now() + 10; ts_now() < until && status == TS_OK; usleep(2000))
        status = ts_lines_fill(&l, c.out, &err);
    assert_int_equal(status, TS_LIMIT);
    ts_child_end(&c, 0);
    ts_lines_release(&l);
}

static void lines_survive_pieces(void **state) {
    (void)state;
    int fds[2];
    ts_lines l = {0};
    const char *line;
    size_t n;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "one\ntw", 6), 6);
    assert_ok(ts_lines_fill(&l, fds[0], &err));
    assert_true(ts_lines_next(&l, &line, &n));
    assert_string_equal(line, "one");
    assert_false(ts_lines_next(&l, &line, &n));
    assert_int_equal(write(fds[1], "o\n\n", 3), 3);
    assert_ok(ts_lines_fill(&l, fds[0], &err));
    assert_true(ts_lines_next(&l, &line, &n));
    assert_string_equal(line, "two");
    assert_true(ts_lines_next(&l, &line, &n));
    assert_int_equal(n, 0);
    close(fds[1]);
    assert_ok(ts_lines_fill(&l, fds[0], &err));
    assert_true(l.eof);
    close(fds[0]);
    ts_lines_release(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(talks_over_pipes),
        cmocka_unit_test(only_tunesmith_starts_itself),
        cmocka_unit_test(missing_program_is_an_error),
        cmocka_unit_test(environment_is_cleared),
        cmocka_unit_test(inherits_no_descriptor),
        cmocka_unit_test(stubborn_child_is_killed),
        cmocka_unit_test(detached_child_is_alone),
        cmocka_unit_test(long_line_is_refused),
        cmocka_unit_test(lines_survive_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
