#include "eval/runs_queue.h"

#include "core/base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Longer than a start may take (ts_runs_start), so that nobody gives up on a queue that is only busy. */
static const double PATIENCE_SECONDS = 40;

/* A run folder that matters to the queue: it trains, or it waits. */
struct entry {
    char *dir;
    ts_run_place at;
    bool trains;
};

struct entries {
    struct entry *items; /* in the order in which they will train */
    size_t n, cap;
};

static void release(struct entries *q) {
    for (size_t i = 0; i < q->n; i++)
        free(q->items[i].dir);
    free(q->items);
    *q = (struct entries){0};
}

static int by_place(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->trains != y->trains) return x->trains ? -1 : 1;
    if (x->at.place != y->at.place) return x->at.place < y->at.place ? -1 : 1;
    return strcmp(x->dir, y->dir);
}

/* Nothing of a run but its lock and its place is read: this is asked for often. */
static ts_status look(const char *ws, struct entries *q, ts_err *err) {
    ts_names names = {0};
    char *root = ts_path_join(ws, "runs");
    *q = (struct entries){0};
    ts_status status = ts_is_dir(root) ? ts_dir_list(root, &names, err) : TS_OK;
    for (size_t i = 0; i < names.n; i++) {
        if (names.items[i][0] == '.') continue;
        char *dir = ts_path_join(root, names.items[i]), *lock = ts_path_join(dir, "lock");
        struct entry e = {.dir = dir, .trains = ts_lock_is_held(lock), .at = ts_run_place_read(dir)};
        free(lock);
        if (e.trains || e.at.place)
            TS_PUSH(q->items, q->n, q->cap, e);
        else
            free(dir);
    }
    if (q->n) qsort(q->items, q->n, sizeof *q->items, by_place);
    ts_names_release(&names);
    free(root);
    return status;
}

static ts_status take_lock(const char *ws, double patience, ts_lock *lock, ts_err *err) {
    char *root = ts_path_join(ws, "runs"), *path = ts_path_join(root, ".queue");
    double until = ts_now() + patience;
    ts_status status = ts_is_dir(root) ? TS_BUSY : ts_fail(err, TS_NOT_FOUND, "there are no runs in %s", ws);
    while (status == TS_BUSY) {
        status = ts_lock_take(lock, path, "the queue of runs is being changed", err);
        if (status != TS_BUSY || ts_now() >= until) break;
        nanosleep(&(struct timespec){0, 20 * 1000000L}, NULL);
    }
    free(root);
    free(path);
    return status;
}

static size_t index_of(const struct entries *q, const char *dir) {
    size_t i = 0;
    while (i < q->n && strcmp(ts_path_base(q->items[i].dir), ts_path_base(dir)) != 0)
        i++;
    return i;
}

static size_t trainers(const struct entries *q) {
    size_t n = 0;
    while (n < q->n && q->items[n].trains)
        n++;
    return n;
}

/* A run that could not be started: if its own events tell why it is out of the queue, else (no process could be made)
 * it is held, so that nobody tries the same again and again. */
static ts_status put_aside(const char *dir, ts_run_place at, ts_err *err) {
    ts_follow f;
    bool changed;
    ts_follow_init(&f, dir);
    ts_status status = ts_follow_poll(&f, &changed, err);
    if (status == TS_OK && f.place.place) {
        at.held = !(f.ended && f.end_state == TS_RUN_FAILED);
        status = ts_run_place_write(dir, at.held ? at : (ts_run_place){0}, err);
    }
    ts_follow_release(&f);
    return status;
}

/* With the queue's lock held: starts the first that can be. `wanted`: whose failure is the caller's (NULL: nobody's).
 */
static ts_status advance(const char *ws, const char *wanted, char **started, ts_err *err) {
    for (;;) {
        struct entries q;
        ts_err why;
        TS_TRY(look(ws, &q, err));
        size_t i = 0;
        while (i < q.n && q.items[i].at.held)
            i++;
        bool nothing = i == q.n || q.items[0].trains;
        char *dir = nothing ? NULL : ts_strdup(q.items[i].dir);
        ts_run_place at = nothing ? (ts_run_place){0} : q.items[i].at;
        release(&q);
        if (nothing) return TS_OK;
        ts_status status = ts_runs_start(dir, &why);
        if (status == TS_OK) {
            *started = dir;
            return TS_OK;
        }
        bool mine = wanted && strcmp(ts_path_base(wanted), ts_path_base(dir)) == 0;
        ts_status aside = put_aside(dir, at, err);
        free(dir);
        if (aside != TS_OK) return aside;
        if (!mine) continue;
        if (err) *err = why;
        return status;
    }
}

ts_status ts_runs_next(const char *ws, double patience, char **started, ts_err *err) {
    struct entries q;
    ts_lock lock = TS_LOCK_INIT;
    *started = NULL;
    TS_TRY(look(ws, &q, err));
    size_t n = q.n;
    release(&q);
    if (n == 0) return TS_OK; /* nobody waits: no lock file is made for it */
    TS_TRY(take_lock(ws, patience, &lock, err));
    ts_status status = advance(ws, NULL, started, err);
    ts_lock_release(&lock);
    return status;
}

ts_status ts_runs_begin(const char *ws, const char *dir, size_t *number, ts_err *err) {
    struct entries q = {0};
    ts_lock lock = TS_LOCK_INIT;
    char *started = NULL, *path = ts_path_join(dir, "lock");
    ts_status status = TS_OK;
    *number = 0;
    if (ts_lock_is_held(path)) TS_GOTO(ts_fail(err, TS_BUSY, "%s is being trained already", dir));
    TS_GOTO(take_lock(ws, PATIENCE_SECONDS, &lock, err));
    TS_GOTO(look(ws, &q, err));
    ts_run_place last = q.n ? q.items[q.n - 1].at : (ts_run_place){0};
    size_t i = index_of(&q, dir);
    if (i == q.n || q.items[i].at.held) /* one that waits already keeps its place */
        TS_GOTO(ts_run_place_write(dir, (ts_run_place){i < q.n ? q.items[i].at.place : last.place + 1, false}, err));
    TS_GOTO(advance(ws, dir, &started, err));
    release(&q);
    TS_GOTO(look(ws, &q, err));
    i = index_of(&q, dir);
    *number = i < q.n && !q.items[i].trains ? i + 1 - trainers(&q) : 0;
out:
    release(&q);
    ts_lock_release(&lock);
    free(started);
    free(path);
    return status;
}

/* --- order --- */

struct change {
    bool leave, held; /* by 0 and not leave: to be held, or not */
    int by;
};

/* Two runs change places; all are numbered anew, whatever numbers a program that was killed had left. */
static ts_status move(struct entries *q, size_t i, int by, ts_err *err) {
    size_t first = trainers(q), to = by < 0 ? i - 1 : i + 1;
    if (by < 0 ? i == first : to >= q->n) return TS_OK;
    struct entry moved = q->items[i];
    q->items[i] = q->items[to];
    q->items[to] = moved;
    for (size_t k = first; k < q->n; k++) {
        ts_run_place at = {(int64_t)(k - first) + 1, q->items[k].at.held};
        if (at.place != q->items[k].at.place) TS_TRY(ts_run_place_write(q->items[k].dir, at, err));
    }
    return TS_OK;
}

static ts_status change_one(struct entries *q, size_t i, const struct change *c, ts_err *err) {
    if (c->leave) return ts_run_place_write(q->items[i].dir, (ts_run_place){0}, err);
    if (c->by) return move(q, i, c->by, err);
    return ts_run_place_write(q->items[i].dir, (ts_run_place){q->items[i].at.place, c->held}, err);
}

static ts_status change(const char *ws, const char *dir, const struct change *c, ts_err *err) {
    struct entries q = {0};
    ts_lock lock = TS_LOCK_INIT;
    char *started = NULL;
    size_t done = 0;
    ts_status status = TS_OK;
    TS_GOTO(take_lock(ws, PATIENCE_SECONDS, &lock, err));
    TS_GOTO(look(ws, &q, err));
    size_t one = dir ? index_of(&q, dir) : 0;
    for (size_t i = trainers(&q); i < q.n; i++) {
        if (dir && i != one) continue;
        TS_GOTO(change_one(&q, i, c, err));
        done++;
    }
    if (dir && !done) TS_GOTO(ts_fail(err, TS_NOT_FOUND, "%s does not wait in the queue", dir));
    if (!c->leave && !c->by && !c->held) TS_GOTO(advance(ws, NULL, &started, err));
out:
    release(&q);
    ts_lock_release(&lock);
    free(started);
    return status;
}

ts_status ts_runs_leave(const char *ws, const char *dir, ts_err *err) {
    return change(ws, dir, &(struct change){.leave = true}, err);
}

ts_status ts_runs_hold(const char *ws, const char *dir, bool held, ts_err *err) {
    return change(ws, dir, &(struct change){.held = held}, err);
}

ts_status ts_runs_move(const char *ws, const char *dir, int by, ts_err *err) {
    return change(ws, dir, &(struct change){.by = by}, err);
}

/* --- asking --- */

size_t ts_runs_number(const ts_runs *runs, size_t i) {
    size_t n = 1;
    const ts_run_info *me = &runs->items[i];
    for (size_t k = 0; k < runs->n; k++) {
        const ts_run_info *r = &runs->items[k];
        int64_t a = r->follow.place.place, b = me->follow.place.place;
        n += a && (a < b || (a == b && r->id < me->id));
    }
    return me->follow.place.place ? n : 0;
}

char *ts_runs_workspace(const char *run_dir) {
    char *absolute = ts_path_absolute(run_dir), *root = ts_path_dir(absolute), *ws = NULL;
    size_t digits = strspn(ts_path_base(absolute), "0123456789");
    if (digits && strcmp(ts_path_base(root), "runs") == 0) ws = ts_path_dir(root);
    free(absolute);
    free(root);
    return ws;
}
