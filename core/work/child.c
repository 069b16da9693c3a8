#include "core/work/child.h"

#include "core/base/clock.h"
#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* Everything the forked child needs, prepared before the fork: between fork and exec only async-signal-safe calls are
 * allowed, because other threads may have held locks (malloc's) at the moment of the fork. */
struct launch {
    const char *program;
    char **argv, **envp;
    int in, out, errors; /* become 0, 1, 2; -1: stays */
    int report;
    int nice;
    bool detached;
};

/* What comes back through the report pipe; the pipe closes by itself when exec succeeds. */
struct report {
    int pid;   /* of a detached child; 0: not told here */
    int error; /* errno of exec or fork; 0: fine */
};

static bool self_is_tunesmith;

void ts_child_self_is_tunesmith(void) {
    self_is_tunesmith = true;
}

const char *ts_child_self(void) {
    const char *named = getenv("TUNESMITH_BINARY");
    return named && *named ? named : self_is_tunesmith ? "/proc/self/exe" : NULL;
}

/* The environment without OPENBLAS_ variables; the strings stay environ's. */
static char **child_environment(void) {
    const char *keep = getenv("TUNESMITH_KEEP_OPENBLAS");
    bool all = keep && strcmp(keep, "1") == 0;
    size_t n = 0, count = 0;
    while (environ && environ[count])
        count++;
    char **list = ts_calloc(count + 1, sizeof *list);
    for (size_t i = 0; i < count; i++)
        if (all || strncmp(environ[i], "OPENBLAS_", 9) != 0) list[n++] = environ[i];
    return list;
}

/* The words of /proc/self/cmdline, NULL at the end; the memory is the process's. */
static char **own_arguments(void) {
    ts_buf text = TS_BUF_INIT;
    ts_err ignored;
    char **argv = NULL;
    size_t n = 0, cap = 0;
    if (ts_file_read("/proc/self/cmdline", 1 << 22, &text, &ignored) != TS_OK) return NULL;
    for (size_t at = 0; at < text.len; at += strlen(text.data + at) + 1)
        TS_PUSH(argv, n, cap, text.data + at);
    TS_PUSH(argv, n, cap, NULL);
    return argv;
}

static const char one_thread[] = "OPENBLAS_NUM_THREADS=1";

void ts_child_spare_blas_threads(void) {
    struct rlimit limit;
    const char *threads = getenv("OPENBLAS_NUM_THREADS");
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || (threads && strcmp(threads, "1") == 0))
        return;
    char **argv = own_arguments();
    if (argv && argv[0] && setenv("OPENBLAS_NUM_THREADS", "1", 1) == 0) execve("/proc/self/exe", argv, environ);
    free(argv);
}

void ts_child_restart_clean(void) {
    ts_buf cleared = TS_BUF_INIT;
    const char *keep = getenv("TUNESMITH_KEEP_OPENBLAS");
    for (char **v = environ; v && *v; v++)
        if (strncmp(*v, "OPENBLAS_", 9) == 0 && strcmp(*v, one_thread) != 0)
            ts_buf_printf(&cleared, "%s%s", cleared.len ? " " : "", *v);
    char **argv = cleared.len && !(keep && strcmp(keep, "1") == 0) ? own_arguments() : NULL;
    if (argv && argv[0]) {
        setenv("TUNESMITH_CLEARED", cleared.data, 1);
        execve("/proc/self/exe", argv, child_environment());
    }
    free(argv);
    ts_buf_release(&cleared);
}

static char **child_arguments(const ts_child_options *o) {
    size_t n = 0;
    while (o->args && o->args[n])
        n++;
    char **argv = ts_calloc(n + 2, sizeof *argv);
    argv[0] = ts_strdup(o->program ? ts_path_base(o->program) : "tunesmith");
    for (size_t i = 0; i < n; i++)
        argv[i + 1] = ts_strdup(o->args[i]);
    return argv;
}

static _Noreturn void report_and_exit(const struct launch *l, int pid, int error) {
    struct report r = {pid, error};
    ssize_t ignored = write(l->report, &r, sizeof r);
    (void)ignored;
    _exit(error ? 127 : 0);
}

/* In the child: signals as a fresh program has them, the three descriptors in place, the others closed by exec. */
static _Noreturn void become(const struct launch *l) {
    struct sigaction fresh = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int s = 1; s < NSIG; s++)
        sigaction(s, &fresh, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (l->nice) setpriority(PRIO_PROCESS, 0, TS_MIN(19, getpriority(PRIO_PROCESS, 0) + l->nice));
    if (l->in >= 0) dup2(l->in, STDIN_FILENO);
    if (l->out >= 0) dup2(l->out, STDOUT_FILENO);
    if (l->errors >= 0) dup2(l->errors, STDERR_FILENO);
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); /* what other libraries left open without the flag */
    execve(l->program, l->argv, l->envp);
    report_and_exit(l, 0, errno);
}

/* The process between: gives the child its own session and lets init inherit it. */
static _Noreturn void detach(const struct launch *l) {
    setsid();
    pid_t pid = _Fork();
    if (pid == 0) become(l);
    report_and_exit(l, pid, pid < 0 ? errno : 0);
}

static ts_status read_report(int fd, struct report *sum) {
    struct report r;
    ssize_t n;
    while ((n = read(fd, &r, sizeof r)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n != (ssize_t)sizeof r) return TS_IO;
        if (r.pid > 0) sum->pid = r.pid;
        if (r.error) sum->error = r.error;
    }
    return TS_OK;
}

static ts_status launch(struct launch *l, ts_child *c, ts_err *err) {
    int report[2];
    struct report r = {0, 0};
    if (pipe2(report, O_CLOEXEC) != 0) return ts_fail_errno(err, "cannot start %s", l->program);
    l->report = report[1];
    pid_t pid = fork();
    if (pid == 0) {
        if (l->detached) detach(l);
        become(l);
    }
    int fork_error = errno;
    close(report[1]);
    if (pid > 0 && read_report(report[0], &r) != TS_OK) r.error = EIO;
    close(report[0]);
    if (pid > 0 && (l->detached || r.error))
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
    errno = pid < 0 ? fork_error : r.error;
    if (pid < 0 || r.error) return ts_fail_errno(err, "cannot start %s", l->program);
    c->pid = l->detached ? r.pid : pid;
    c->detached = l->detached;
    return TS_OK;
}

static ts_status open_log(const char *path, int *fd, ts_err *err) {
    *fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : open("/dev/null", O_WRONLY | O_CLOEXEC);
    return *fd < 0 ? ts_fail_errno(err, "cannot write %s", path ? path : "/dev/null") : TS_OK;
}

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

ts_status ts_child_start(ts_child *c, const ts_child_options *o, ts_err *err) {
    *c = (ts_child)TS_CHILD_INIT;
    int in[2] = {-1, -1}, out[2] = {-1, -1}, log = -1;
    struct launch l = {o->program ? o->program : ts_child_self(),
                       child_arguments(o),
                       child_environment(),
                       -1,
                       -1,
                       -1,
                       -1,
                       o->nice,
                       o->detached};
    ts_status status = TS_OK;
    if (!l.program)
        TS_GOTO(ts_fail(err, TS_UNSUPPORTED,
                        "cannot start a child: this program is not tunesmith and TUNESMITH_BINARY "
                        "does not name it"));
    if (!o->show_errors || !o->pipes) TS_GOTO(open_log(o->log, &log, err));
    if (o->pipes && (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0))
        TS_GOTO(ts_fail_errno(err, "cannot make a pipe"));
    if (!o->pipes && (in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
        TS_GOTO(ts_fail_errno(err, "cannot open /dev/null"));
    l.in = in[0];
    l.out = o->pipes ? out[1] : log;
    l.errors = o->show_errors ? -1 : o->pipes && o->errors_too ? out[1] : log;
    TS_GOTO(launch(&l, c, err));
    if (o->pipes) {
        c->in = in[1];
        c->out = out[0];
        in[1] = out[0] = -1;
        fcntl(c->in, F_SETFL, O_NONBLOCK);
        fcntl(c->out, F_SETFL, O_NONBLOCK);
    }
out:
    close_fd(&in[0]);
    close_fd(&in[1]);
    close_fd(&out[0]);
    close_fd(&out[1]);
    close_fd(&log);
    for (char **a = l.argv; *a; a++)
        free(*a);
    free(l.argv);
    free(l.envp);
    return status;
}

bool ts_child_wait(ts_child *c, double seconds, int *how) {
    ts_assert(!c->detached);
    double until = ts_now() + seconds;
    while (c->pid > 0) {
        int status = 0;
        pid_t got = waitpid(c->pid, &status, WNOHANG);
        if (got == c->pid || (got < 0 && errno == ECHILD)) {
            c->pid = 0;
            if (how) *how = status;
            return true;
        }
        if (ts_now() >= until) return false;
        struct timespec nap = {0, 5 * 1000000L};
        nanosleep(&nap, NULL);
    }
    return true;
}

void ts_child_end(ts_child *c, double grace) {
    close_fd(&c->in);
    close_fd(&c->out);
    if (c->pid > 0 && !c->detached && !ts_child_wait(c, grace, NULL)) {
        kill(c->pid, SIGTERM);
        if (!ts_child_wait(c, grace, NULL)) {
            kill(c->pid, SIGKILL);
            ts_child_wait(c, 10, NULL);
        }
    }
    *c = (ts_child)TS_CHILD_INIT;
}

void ts_child_describe(int how, char *out, size_t n) {
    if (WIFSIGNALED(how))
        snprintf(out, n, "was killed by signal %d (%s)", WTERMSIG(how), strsignal(WTERMSIG(how)));
    else
        snprintf(out, n, "ended with exit code %d", WIFEXITED(how) ? WEXITSTATUS(how) : -1);
}

enum { LINE_DEFAULT = 64 << 20, READ_PIECE = 64 << 10 };

ts_status ts_lines_fill(ts_lines *l, int fd, ts_err *err) {
    size_t max = l->max ? l->max : LINE_DEFAULT;
    if (l->next > 0) {
        memmove(l->buf.data, l->buf.data + l->next, l->buf.len - l->next);
        l->buf.len -= l->next;
        l->scanned -= l->next;
        l->next = 0;
    }
    if (l->buf.len > max) return ts_fail(err, TS_LIMIT, "a line of more than %zu bytes came, which is not taken", max);
    ts_buf_reserve(&l->buf, READ_PIECE);
    ssize_t n;
    do
        n = read(fd, l->buf.data + l->buf.len, READ_PIECE);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return TS_OK;
    if (n < 0) return ts_fail_errno(err, "cannot read the next line");
    if (n == 0) l->eof = true;
    l->buf.len += (size_t)n;
    l->buf.data[l->buf.len] = 0;
    return TS_OK;
}

bool ts_lines_next(ts_lines *l, const char **line, size_t *n) {
    if (l->next >= l->buf.len) return false;
    size_t from = TS_MAX(l->next, l->scanned); /* a long line comes in many pieces: look at each byte once */
    char *start = l->buf.data + l->next, *end = memchr(l->buf.data + from, '\n', l->buf.len - from);
    l->scanned = l->buf.len;
    if (!end) return false;
    *end = 0;
    *line = start;
    *n = (size_t)(end - start);
    l->next += *n + 1;
    l->scanned = l->next;
    return true;
}

void ts_lines_release(ts_lines *l) {
    ts_buf_release(&l->buf);
    *l = (ts_lines){.max = l->max};
}
