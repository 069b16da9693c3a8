/* The bytes of a file to import as UTF-8, whatever they were: plain or gzip, with or without a BOM, UTF-8 or (with a
 * BOM) UTF-16. What is plainly no text (Parquet, Arrow, zip, xlsx, zstd, UTF-16 without its mark, UTF-32, Latin-1) is
 * refused with a sentence that says what it is and what to do. Bytes that are not UTF-8 inside of a UTF-8 file pass:
 * the row that has them is refused later. Memory does not grow with the file. One thread. */
#ifndef TS_DATASET_SOURCE_H
#define TS_DATASET_SOURCE_H

#include "core/base/buf.h"
#include "core/base/err.h"

typedef struct ts_source ts_source;

TS_MUST_USE ts_status ts_source_open(ts_source **out, const char *path, ts_err *err);
/* The same on bytes in memory, which must live longer (tests, fuzzing). `name` stands in the sentences. */
TS_MUST_USE ts_status ts_source_open_bytes(ts_source **out, const char *bytes, size_t n, const char *name, ts_err *err);
void ts_source_close(ts_source *s); /* NULL is fine */

const char *ts_source_name(const ts_source *s); /* the path */
/* Does the name end in `suffix` (".csv"), .gz behind it or not? Letters' case does not count. */
bool ts_source_is_named(const ts_source *s, const char *suffix);
/* Up to n bytes into `to` (n at least 4); *got = 0 at the end only. */
TS_MUST_USE ts_status ts_source_read(ts_source *s, char *to, size_t n, size_t *got, ts_err *err);
int64_t ts_source_offset(const ts_source *s); /* bytes of the file itself that were taken, for progress */

#endif
