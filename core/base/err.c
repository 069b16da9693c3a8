#include "core/base/err.h"

#include "core/base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void (*fatal_hook)(void);

void ts_set_fatal_hook(void (*hook)(void)) {
    fatal_hook = hook;
}

static void run_fatal_hook(void) {
    void (*hook)(void) = fatal_hook;
    fatal_hook = NULL; /* a hook that fails must not call itself */
    if (hook) hook();
}

/* Control characters of both kinds (a terminal takes U+009B for escape and bracket) and those that turn the direction
 * of the text around. */
static bool is_harmful(uint32_t cp) {
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x61c || cp == 0x200e || cp == 0x200f ||
           (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
}

/* Terminal escapes and bytes that are no UTF-8 arrive in file names and data; only plain text may leave through an
 * error. Also drops a character that the end of the buffer cut in two. */
static void make_printable(char *text) {
    size_t n = strlen(text), to = 0;
    for (size_t at = 0; at < n;) {
        uint32_t cp;
        size_t len = ts_utf8_sequence(text + at, n - at);
        if (len) ts_utf8_decode(text + at, n - at, &cp);
        if (!len && n - at < 4 && n == sizeof((ts_err *)0)->text - 1) break;
        if (len && !is_harmful(cp)) {
            memmove(text + to, text + at, len);
            to += len;
        } else {
            text[to++] = text[at] == '\n' || text[at] == '\t' ? ' ' : '?';
        }
        at += len ? len : 1;
    }
    text[to] = 0;
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
    bool full = saved == ENOSPC || saved == EDQUOT || saved == EFBIG;
    ts_status code = saved == ENOENT ? TS_NOT_FOUND : saved == ENOMEM ? TS_NO_MEMORY : full ? TS_NO_ROOM : TS_IO;
    va_list ap;
    va_start(ap, fmt);
    set_text(err, code, fmt, ap);
    va_end(ap);
    if (err) {
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(saved));
        make_printable(err->text);
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
    make_printable(err->text);
    return err->code;
}

void ts_assert_failed(const char *cond, const char *file, int line) {
    run_fatal_hook();
    fprintf(stderr, "tunesmith: internal error at %s:%d: %s does not hold. Please report it.\n", file, line, cond);
    abort();
}

/* Several threads may run out of memory at once: one of them speaks and ends the program. */
static void be_the_only_one(void) {
    static atomic_flag taken = ATOMIC_FLAG_INIT;
    static _Thread_local bool inside;
    if (inside) _exit(1); /* the hook itself failed */
    inside = true;
    while (atomic_flag_test_and_set(&taken))
        pause();
}

void ts_fatal(const char *what) {
    be_the_only_one();
    run_fatal_hook();
    fprintf(stderr, "tunesmith: %s\n", what);
    exit(1);
}
