#include "core/work/queue.h"

#include "core/base/clock.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct ts_queue {
    pthread_t thread;
    pthread_mutex_t lock; /* guards waiting, finished and stop */
    pthread_cond_t more;
    ts_job *waiting, *finished; /* in order */
    bool stop;
    ts_wake wake;
    ts_job *alive; /* the owner's own list: pushed, done not called */
    size_t busy;
};

ts_status ts_wake_open(ts_wake *w, ts_err *err) {
    int fds[2];
    *w = (ts_wake){-1, -1};
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) return ts_fail_errno(err, "cannot make a pipe for the screen");
    *w = (ts_wake){fds[0], fds[1]};
    return TS_OK;
}

void ts_wake_ring(const ts_wake *w) {
    int keep = errno;
    ssize_t ignored = write(w->write_fd, "!", 1); /* a full pipe wakes just as well */
    (void)ignored;
    errno = keep;
}

void ts_wake_clear(const ts_wake *w) {
    char bytes[256];
    while (read(w->read_fd, bytes, sizeof bytes) > 0)
        ;
}

void ts_wake_close(ts_wake *w) {
    if (w->read_fd >= 0) close(w->read_fd);
    if (w->write_fd >= 0) close(w->write_fd);
    *w = (ts_wake){-1, -1};
}

static void append(ts_job **list, ts_job *job) {
    while (*list)
        list = &(*list)->next;
    job->next = NULL;
    *list = job;
}

static void *work(void *arg) {
    ts_queue *q = arg;
    pthread_mutex_lock(&q->lock);
    for (;;) {
        while (!q->waiting && !q->stop)
            pthread_cond_wait(&q->more, &q->lock);
        if (!q->waiting) break;
        ts_job *job = q->waiting;
        q->waiting = job->next;
        pthread_mutex_unlock(&q->lock);
        if (ts_cancelled(&job->progress))
            job->status = ts_fail(&job->err, TS_CANCELLED, "stopped before it began");
        else
            job->run(job);
        pthread_mutex_lock(&q->lock);
        append(&q->finished, job);
        ts_wake_ring(&q->wake);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

ts_status ts_queue_new(ts_queue **out, const ts_wake *wake, ts_err *err) {
    ts_queue *q = ts_calloc(1, sizeof *q);
    sigset_t all, old;
    *out = NULL;
    q->wake = *wake;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->more, NULL);
    sigfillset(&all); /* signals belong to the owner's thread */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&q->thread, NULL, work, q);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        free(q);
        errno = rc;
        return ts_fail_errno(err, "cannot start a worker thread");
    }
    *out = q;
    return TS_OK;
}

void ts_queue_push(ts_queue *q, ts_job *job) {
    ts_job **end = &q->alive;
    while (*end)
        end = &(*end)->next_alive;
    *end = job;
    job->next_alive = NULL;
    job->begun = ts_now();
    q->busy++;
    pthread_mutex_lock(&q->lock);
    append(&q->waiting, job);
    pthread_cond_signal(&q->more);
    pthread_mutex_unlock(&q->lock);
}

void ts_queue_cancel(ts_queue *q, unsigned kind) {
    for (ts_job *job = q->alive; job; job = job->next_alive)
        if (!kind || job->kind == kind) ts_cancel(&job->progress);
}

static void bury(ts_queue *q, ts_job *job) {
    ts_job **at = &q->alive;
    while (*at != job)
        at = &(*at)->next_alive;
    *at = job->next_alive;
    q->busy--;
    job->done(job);
}

size_t ts_queue_drain(ts_queue *q) {
    size_t count = 0;
    for (;; count++) {
        pthread_mutex_lock(&q->lock);
        ts_job *job = q->finished;
        if (job) q->finished = job->next;
        pthread_mutex_unlock(&q->lock);
        if (!job) return count;
        bury(q, job);
    }
}

size_t ts_queue_busy(const ts_queue *q) {
    return q->busy;
}

const ts_job *ts_queue_jobs(const ts_queue *q) {
    return q->alive;
}

void ts_queue_stop(ts_queue *q) {
    if (!q || q->stop) return;
    ts_queue_cancel(q, 0);
    pthread_mutex_lock(&q->lock);
    q->stop = true;
    pthread_cond_signal(&q->more);
    pthread_mutex_unlock(&q->lock);
    pthread_join(q->thread, NULL);
    while (ts_queue_drain(q))
        ; /* done may push; such jobs never run, see below */
}

void ts_queue_free(ts_queue *q) {
    if (!q) return;
    ts_queue_stop(q);
    while (q->waiting) {
        ts_job *job = q->waiting;
        q->waiting = job->next;
        job->status = ts_fail(&job->err, TS_CANCELLED, "stopped before it began");
        bury(q, job);
    }
    pthread_cond_destroy(&q->more);
    pthread_mutex_destroy(&q->lock);
    free(q);
}
