/* ts_buf: bytes that grow. `data` is never NULL after the first append and always has a NUL behind `len` bytes,
 * so it can be handed to functions that want a C string; it may hold NUL bytes itself. */
#ifndef TS_BASE_BUF_H
#define TS_BASE_BUF_H

#include "core/base/mem.h"

typedef struct ts_buf {
    char *data;
    size_t len, cap;
} ts_buf;
#define TS_BUF_INIT                                                                                                    \
    { 0 }

void ts_buf_add(ts_buf *b, const void *data, size_t n);
void ts_buf_puts(ts_buf *b, const char *s);
void ts_buf_putc(ts_buf *b, char c);
void ts_buf_printf(ts_buf *b, const char *fmt, ...) TS_PRINTF(2, 3);
/* One word of a command line to type: quoted for a POSIX shell when it needs to be. */
void ts_buf_shell_word(ts_buf *b, const char *text);
void ts_buf_reserve(ts_buf *b, size_t more); /* room for `more` further bytes and a NUL */
void ts_buf_reset(ts_buf *b);                /* len = 0, memory kept */
void ts_buf_release(ts_buf *b);              /* frees; b can be used again */
const char *ts_buf_str(const ts_buf *b);     /* "" for an empty one */
char *ts_buf_take(ts_buf *b);                /* the bytes become the caller's (free); b is empty again */

#endif
