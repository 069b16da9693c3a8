#include "eval/endpoint_many.h"

#include "eval/http.h"
#include "eval/pace.h"

#include <pthread.h>
#include <stdlib.h>

enum { GIVE_UP_AFTER = 3 };

struct many {
    const ts_endpoint *e;
    const ts_questions *q;
    ts_progress *progress;
    ts_pace *pace;
    pthread_mutex_t lock; /* guards what follows, and is held while the caller is told something */
    pthread_cond_t ended;
    size_t next;
    int on_way, failures;    /* failures: in a row */
    bool answered, given_up; /* given_up: for good, also when one that is still on its way is answered */
    ts_err why;              /* of the latest failure */
};

struct question {
    struct many *m;
    size_t i;
};

static void on_text(void *ctx, const char *text) {
    const struct question *at = ctx;
    pthread_mutex_lock(&at->m->lock);
    at->m->q->text(at->m->q->ctx, at->i, text);
    pthread_mutex_unlock(&at->m->lock);
}

static bool asks_on(const struct many *m) {
    return m->next < m->q->n && !m->given_up && !ts_cancelled(m->progress);
}

/* False: nothing more is asked. It waits only while another question is on its way, whose end wakes it. */
static bool take(struct many *m, ts_endpoint_ask *ask, size_t *i) {
    pthread_mutex_lock(&m->lock);
    while (asks_on(m) && (m->failures || !m->answered) && m->failures + m->on_way >= GIVE_UP_AFTER)
        pthread_cond_wait(&m->ended, &m->lock);
    bool more = asks_on(m);
    if (more) {
        *i = m->next++;
        m->on_way++;
        m->q->ask(m->q->ctx, *i, ask);
    }
    pthread_mutex_unlock(&m->lock);
    return more;
}

static void end(struct many *m, size_t i, ts_status status, ts_endpoint_answer *a, const ts_err *why) {
    pthread_mutex_lock(&m->lock);
    m->on_way--;
    if (status == TS_OK) {
        m->failures = 0;
        m->answered = true;
        m->q->end(m->q->ctx, i, a, NULL);
    } else if (status != TS_CANCELLED) {
        m->failures++;
        m->given_up |= m->failures >= GIVE_UP_AFTER;
        m->why = *why;
        m->q->end(m->q->ctx, i, a, why->text);
    }
    pthread_cond_broadcast(&m->ended);
    pthread_mutex_unlock(&m->lock);
}

static void *ask_questions(void *ctx) {
    struct many *m = ctx;
    ts_http *http = ts_http_new();
    struct question at = {.m = m};
    ts_endpoint_ask ask = {0};
    while (take(m, &ask, &at.i)) {
        ts_endpoint_answer answer = {0};
        ts_err why = {0};
        ask.pace = m->pace;
        ask.on_text = on_text;
        ask.ctx = &at;
        ts_status status = ts_endpoint_chat(m->e, http, &ask, &answer, m->progress, &why);
        end(m, at.i, status, &answer, &why);
        ts_endpoint_answer_release(&answer);
    }
    ts_http_free(http);
    return NULL;
}

ts_status ts_endpoint_chat_many(const ts_endpoint *e, const ts_questions *q, ts_progress *progress, ts_err *err) {
    struct many m = {.e = e, .q = q, .progress = progress, .pace = ts_pace_new(e->jobs)};
    size_t helpers = TS_MIN((size_t)e->jobs, TS_MAX(q->n, (size_t)1)) - 1, n = 0; /* this thread asks too */
    pthread_t *threads = ts_calloc(helpers + 1, sizeof *threads);
    pthread_mutex_init(&m.lock, NULL);
    pthread_cond_init(&m.ended, NULL);
    while (n < helpers && pthread_create(&threads[n], NULL, ask_questions, &m) == 0)
        n++;
    ask_questions(&m);
    while (n > 0)
        pthread_join(threads[--n], NULL);
    bool stopped = ts_cancelled(progress);
    for (; !stopped && m.next < q->n; m.next++) {
        ts_endpoint_answer none = {0};
        q->end(q->ctx, m.next, &none, m.why.text);
    }
    pthread_cond_destroy(&m.ended);
    pthread_mutex_destroy(&m.lock);
    ts_pace_free(m.pace);
    free(threads);
    return stopped ? ts_fail(err, TS_CANCELLED, "stopped") : TS_OK;
}
