/* How many requests to one server are on their way at once, and when the next one may go. What the server says to one
 * request counts for all: asked for fewer, half as many go at a time and none before the pause it wants is over; every
 * answer lets one more in again, up to `most`. Any thread. */
#ifndef TS_EVAL_PACE_H
#define TS_EVAL_PACE_H

#include "core/work/progress.h"

typedef struct ts_pace ts_pace;
ts_pace *ts_pace_new(int most);
void ts_pace_free(ts_pace *p);
/* Waits until one more request may go. False: stopped, and there is nothing to leave. NULL: goes at once, as do all. */
bool ts_pace_enter(ts_pace *p, ts_progress *progress);
typedef enum ts_pace_end {
    TS_PACE_ANSWERED,
    TS_PACE_FAILED, /* which says nothing about how many may go */
    TS_PACE_BUSY,   /* the server asked for fewer, or for a pause */
} ts_pace_end;
/* The request is over. TS_PACE_BUSY: for `seconds` none goes. */
void ts_pace_leave(ts_pace *p, ts_pace_end end, double seconds);
int ts_pace_limit(ts_pace *p); /* how many may be on their way now */

#endif
