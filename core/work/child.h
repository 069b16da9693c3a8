/* Child processes: starting them, talking to them in lines, and ending them.
 *
 * A child inherits no file descriptor but the three standard ones, has default signal handling and, because the
 * OpenBLAS library obeys its environment when it is loaded, no OPENBLAS_ variable (TUNESMITH_KEEP_OPENBLAS=1 keeps
 * them). A detached child has its own session and init for a parent: it goes on when the terminal closes or the parent
 * ends. One thread drives a ts_child. */
#ifndef TS_WORK_CHILD_H
#define TS_WORK_CHILD_H

#include "core/base/buf.h"

#include <sys/types.h>

typedef struct ts_child {
    pid_t pid;   /* 0: none */
    int in, out; /* pipe to its stdin, pipe from its stdout (non-blocking both); -1: none */
    bool detached;
} ts_child;
#define TS_CHILD_INIT                                                                                                  \
    { 0, -1, -1, false }

typedef struct ts_child_options {
    const char *program;     /* NULL: this program itself (ts_child_self) */
    const char *const *args; /* behind the program's name, ends with NULL */
    const char *log;         /* stderr, and stdout without pipes, are appended to this file; NULL: /dev/null */
    bool pipes;              /* stdin and stdout are pipes to the parent; otherwise stdin is /dev/null */
    bool show_errors;        /* stderr stays the parent's */
    bool errors_too;         /* with pipes: stderr goes into the pipe of stdout */
    bool detached;
    int nice; /* added to the priority value, 0 to 19 */
} ts_child_options;

/* The program to start as "ourselves": TUNESMITH_BINARY (tests), or /proc/self/exe once main has said that this is
 * tunesmith; else NULL. Any other program (a test) that started itself as a child would do all its work again, and its
 * child too. */
const char *ts_child_self(void);
void ts_child_self_is_tunesmith(void);
/* For a process that calculates itself: starts this program over, with the same arguments, when OPENBLAS_ variables are
 * set that OpenBLAS has obeyed by now. Their names are kept in TUNESMITH_CLEARED, for `doctor`. Returns when there is
 * nothing to clear (or it cannot be done). Call it before threads and files are open. */
void ts_child_restart_clean(void);
/* Under a limit on address space (ulimit -v): starts this program over with OPENBLAS_NUM_THREADS=1, unless it is set
 * so. OpenBLAS 0.3.21 maps 128 MB for each of its threads when it is loaded; a thread that does not get them tries for
 * ever, and the end of the process waits for it. The engine's own threads are another matter. Call it first of all. */
void ts_child_spare_blas_threads(void);
/* A program that cannot be started is an error here, not a child that ends at once. */
TS_MUST_USE ts_status ts_child_start(ts_child *c, const ts_child_options *o, ts_err *err);
/* Waits at most `seconds` (0: only looks) for the end; true when it is over, with waitpid's status in *how (may be
 * NULL). Not for detached children. */
bool ts_child_wait(ts_child *c, double seconds, int *how);
/* Closes the pipes and sees that the child is gone: waits `grace` seconds, then SIGTERM, again, then SIGKILL. */
void ts_child_end(ts_child *c, double grace);
/* "ended with exit code 1", "was killed by signal 9 (Killed)" into out. */
void ts_child_describe(int how, char *out, size_t n);

/* Lines out of a pipe or a growing file. */
typedef struct ts_lines {
    ts_buf buf;
    size_t next;    /* where the next line begins */
    size_t scanned; /* no newline between next and here */
    size_t max;     /* longest line taken; 0: 64 MB */
    bool eof;
} ts_lines;
/* One read call. TS_OK also when nothing was there (a non-blocking descriptor) and at the end of input (eof set).
 * TS_LIMIT: a line is longer than max. */
TS_MUST_USE ts_status ts_lines_fill(ts_lines *l, int fd, ts_err *err);
/* The next whole line without its newline, NUL behind it, valid until the next fill. A last line without newline is
 * not given. */
bool ts_lines_next(ts_lines *l, const char **line, size_t *n);
void ts_lines_release(ts_lines *l);

#endif
