/* Time. Any thread. */
#ifndef TS_BASE_CLOCK_H
#define TS_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

double ts_now(void);      /* seconds since an arbitrary start, never goes back */
int64_t ts_wall_ms(void); /* milliseconds since 1970 (UTC) */
/* "2026-11-23T19:06:00Z" for `ms`, into `out` of at least 32 bytes. */
void ts_wall_iso(int64_t ms, char *out);
/* "2:05", "1:02:05" for a length of time, into `out` of at least 32 bytes; "-" when not finite or negative. */
void ts_format_duration(double seconds, char *out);

#endif
