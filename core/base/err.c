#include "core/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void (*fatal_hook)(void);

void ts_set_fatal_hook(void (*hook)(void)) {
    fatal_hook = hook;
}

static void run_fatal_hook(void) {
    void (*hook)(void) = fatal_hook;
    fatal_hook = NULL; /* a hook that fails must not call itself */
    if (hook) hook();
}

/* Terminal escapes arrive in file names and data; only plain text may leave through an error. */
static void make_printable(char *text) {
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f) *p = *p == '\n' || *p == '\t' ? ' ' : '?';
}

static void TS_PRINTF(3, 0) set_text(ts_err *err, ts_status code, const char *fmt, va_list ap) {
    if (!err) return;
    err->code = code;
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    make_printable(err->text);
}

ts_status ts_fail(ts_err *err, ts_status code, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    set_text(err, code, fmt, ap);
    va_end(ap);
    return code;
}

ts_status ts_fail_errno(ts_err *err, const char *fmt, ...) {
    int saved = errno;
    ts_status code = saved == ENOENT ? TS_NOT_FOUND : saved == ENOMEM ? TS_NO_MEMORY : TS_IO;
    va_list ap;
    va_start(ap, fmt);
    set_text(err, code, fmt, ap);
    va_end(ap);
    if (err) {
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(saved));
    }
    return code;
}

ts_status ts_wrap(ts_err *err, ts_status code, const char *fmt, ...) {
    if (!err) return code;
    ts_err inner = *err;
    va_list ap;
    va_start(ap, fmt);
    set_text(err, inner.code ? inner.code : code, fmt, ap);
    va_end(ap);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", inner.text);
    return err->code;
}

void ts_assert_failed(const char *cond, const char *file, int line) {
    run_fatal_hook();
    fprintf(stderr, "tunesmith: internal error at %s:%d: %s does not hold. Please report it.\n", file, line, cond);
    abort();
}

void ts_fatal(const char *what) {
    run_fatal_hook();
    fprintf(stderr, "tunesmith: %s\n", what);
    exit(1);
}
