/* A full disk does not end a run: what has been trained since the last checkpoint would be lost, and the person who
 * makes room would have to start it again. So a write that finds no room waits and is tried again, until there is room
 * or the run is cancelled. Meanwhile the second line of the run's lock file, whose few bytes are on the disk already,
 * says why: ts_follow reads it as `paused`. */
#ifndef TS_ENGINE_RUN_ROOM_H
#define TS_ENGINE_RUN_ROOM_H

#include "core/base/file.h"
#include "core/work/progress.h"

typedef struct ts_room {
    const ts_lock *lock;
    ts_progress *progress;
    double since, pause; /* when the waiting began (0: nobody waits), and how long the next wait is */
} ts_room;

/* What to do after a write that ended with `status` and `why`: true: try again, some seconds have passed. False: it
 * worked, failed otherwise, or the run was cancelled. */
bool ts_room_wait(ts_room *r, ts_status status, const ts_err *why);
/* Seconds that were waited since the last call; 0: none. */
double ts_room_waited(ts_room *r);

#endif
