#include "core/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ts_buf_reserve(ts_buf *b, size_t more) {
    if (more > SIZE_MAX / 2 || b->len > SIZE_MAX / 2 - 1)
        ts_fatal("out of memory: a text would be larger than the address space");
    TS_GROW(b->data, b->cap, b->len + more + 1);
}

void ts_buf_add(ts_buf *b, const void *data, size_t n) {
    ts_buf_reserve(b, n);
    if (n) memcpy(b->data + b->len, data, n);
    b->len += n;
    b->data[b->len] = 0;
}

void ts_buf_puts(ts_buf *b, const char *s) {
    ts_buf_add(b, s, strlen(s));
}

void ts_buf_putc(ts_buf *b, char c) {
    ts_buf_add(b, &c, 1);
}

void ts_buf_printf(ts_buf *b, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ts_assert(n >= 0);
    ts_buf_reserve(b, (size_t)n);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
    va_end(again);
    b->len += (size_t)n;
}

void ts_buf_reset(ts_buf *b) {
    b->len = 0;
    if (b->data) b->data[0] = 0;
}

void ts_buf_release(ts_buf *b) {
    free(b->data);
    *b = (ts_buf)TS_BUF_INIT;
}

const char *ts_buf_str(const ts_buf *b) {
    return b->data ? b->data : "";
}

char *ts_buf_take(ts_buf *b) {
    char *data = b->data ? b->data : ts_strdup("");
    *b = (ts_buf)TS_BUF_INIT;
    return data;
}

void ts_buf_shell_word(ts_buf *b, const char *text) {
    static const char *const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./,:=+@%";
    if (*text && strspn(text, safe) == strlen(text)) {
        ts_buf_puts(b, text);
        return;
    }
    ts_buf_putc(b, '\'');
    for (; *text; text++)
        if (*text == '\'')
            ts_buf_puts(b, "'\\''");
        else
            ts_buf_putc(b, *text);
    ts_buf_putc(b, '\'');
}
