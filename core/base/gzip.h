/* Unpacking gzip as it is read. zlib's one home. One thread. */
#ifndef TS_BASE_GZIP_H
#define TS_BASE_GZIP_H

#include "core/base/err.h"

#include <stddef.h>

typedef struct ts_gunzip ts_gunzip;
/* Gives packed bytes: up to n into `to`, *got = 0 at the end. Borrowed until the ts_gunzip is closed. */
typedef ts_status (*ts_gunzip_source)(void *ctx, char *to, size_t n, size_t *got, ts_err *err);

/* `name` is the file for the sentences. */
ts_gunzip *ts_gunzip_new(ts_gunzip_source source, void *ctx, const char *name);
void ts_gunzip_free(ts_gunzip *g); /* NULL is fine */
/* Up to n unpacked bytes into `to`; *got = 0 at the end only. Several packed parts one after another are one text, as
 * gunzip has it. TS_FORMAT for what is damaged, cut short, or followed by something else. */
TS_MUST_USE ts_status ts_gunzip_read(ts_gunzip *g, char *to, size_t n, size_t *got, ts_err *err);

#endif
