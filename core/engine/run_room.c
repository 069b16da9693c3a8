#include "core/engine/run_room.h"

#include "core/base/clock.h"
#include "core/engine/run.h"

#include <stdio.h>
#include <time.h>

static const double FIRST_PAUSE = 0.1, LONGEST_PAUSE = 5;

static void tell(const ts_room *r, const ts_err *why) {
    char words[192], text[1024];
    ts_run_lock_words(words, sizeof words);
    snprintf(text, sizeof text, "%s\n%s", words, why ? why->text : "");
    ts_lock_words(r->lock, text);
}

bool ts_room_wait(ts_room *r, ts_status status, const ts_err *why) {
    if (status != TS_NO_ROOM || ts_cancelled(r->progress)) {
        if (r->pause > 0) {
            tell(r, NULL);
            ts_progress_what(r->progress, "training");
        }
        r->pause = 0;
        return false;
    }
    if (r->since == 0) r->since = ts_now();
    if (r->pause == 0) tell(r, why);
    ts_progress_what(r->progress, "paused: the disk is full");
    r->pause = r->pause == 0 ? FIRST_PAUSE : TS_MIN(2 * r->pause, LONGEST_PAUSE);
    for (double until = ts_now() + r->pause; ts_now() < until && !ts_cancelled(r->progress);)
        nanosleep(&(struct timespec){0, 50 * 1000000L}, NULL);
    return true;
}

double ts_room_waited(ts_room *r) {
    double seconds = r->since > 0 ? ts_now() - r->since : 0;
    r->since = 0;
    return seconds;
}
