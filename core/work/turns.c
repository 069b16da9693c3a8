#include "core/work/turns.h"

#include "core/base/clock.h"
#include "core/base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HAND = 0, STEP = 1, LOOK_MS = 5 };

const char ts_turns_wait_for_answers[] = "waiting for the answers", ts_turns_wait_for_step[] = "waiting for a step";

/* /tmp is everybody's: a link is not followed, and a file that is not ours is not used. */
void ts_turns_open(ts_turns *t) {
    const char *given = getenv("TUNESMITH_TURNS");
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/tmp/tunesmith-%ld.turns", (long)geteuid());
    t->fd = open(given && *given ? given : path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (t->fd >= 0 && (fstat(t->fd, &st) != 0 || st.st_uid != geteuid() || !S_ISREG(st.st_mode))) ts_turns_close(t);
}

void ts_turns_close(ts_turns *t) {
    if (t->fd >= 0) close(t->fd);
    t->fd = -1;
}

static void set(const ts_turns *t, short type, off_t byte) {
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (t->fd >= 0 && fcntl(t->fd, F_OFD_SETLK, &l) != 0) {
        /* shared locks meet no resistance; a file system that has none at all means that nobody waits */
    }
}

/* By anybody else. */
static bool is_set(const ts_turns *t, off_t byte) {
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return t->fd >= 0 && fcntl(t->fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

/* False when cancelled. */
static bool wait_while(const ts_turns *t, off_t byte, double until, const char *what, ts_progress *progress) {
    const char *before = progress ? atomic_load(&progress->what) : NULL;
    bool waited = false;
    while (is_set(t, byte) && ts_now() < until && !ts_cancelled(progress)) {
        ts_progress_what(progress, what);
        waited = true;
        nanosleep(&(struct timespec){0, LOOK_MS * 1000000L}, NULL);
    }
    if (waited) ts_progress_what(progress, before);
    return !ts_cancelled(progress);
}

bool ts_turns_begin_answers(ts_turns *t, double patience, ts_progress *progress) {
    set(t, F_RDLCK, HAND);
    if (wait_while(t, STEP, ts_now() + patience, ts_turns_wait_for_step, progress)) return true;
    ts_turns_end_answers(t);
    return false;
}

void ts_turns_end_answers(ts_turns *t) {
    set(t, F_UNLCK, HAND);
}

bool ts_turns_begin_step(ts_turns *t, double patience, ts_progress *progress) {
    double until = ts_now() + patience;
    for (;;) {
        if (!wait_while(t, HAND, until, ts_turns_wait_for_answers, progress)) return false;
        set(t, F_RDLCK, STEP);
        /* a hand raised between the look and the lock waits for nobody: it has seen no step */
        if (!is_set(t, HAND) || ts_now() >= until) return true;
        ts_turns_end_step(t);
    }
}

void ts_turns_end_step(ts_turns *t) {
    set(t, F_UNLCK, STEP);
}

bool ts_turns_answers_wanted(void) {
    ts_turns t;
    ts_turns_open(&t);
    bool wanted = is_set(&t, HAND);
    ts_turns_close(&t);
    return wanted;
}
