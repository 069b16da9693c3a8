/* Many questions to one endpoint, `jobs` of them on their way at a time, each on a thread and a connection of its own;
 * they share one pace (eval/pace.h). Before the first answer, and after a failure until the next answer, no more are
 * on their way than may still fail: after three failures in a row nothing more is asked. */
#ifndef TS_EVAL_ENDPOINT_MANY_H
#define TS_EVAL_ENDPOINT_MANY_H

#include "eval/endpoint.h"

/* Called from the threads that ask, but never two at once. */
typedef struct ts_questions {
    size_t n;
    void (*ask)(void *ctx, size_t i, ts_endpoint_ask *out); /* fills in what is asked; what it points to stays */
    void (*text)(void *ctx, size_t i, const char *text);    /* the answer as far as it goes */
    /* Once for every question, in the order in which they end. why NULL: answered; what of `a` is taken is the
     * callee's. Else what went wrong, also for questions that were not asked any more. */
    void (*end)(void *ctx, size_t i, ts_endpoint_answer *a, const char *why);
    void *ctx;
} ts_questions;

/* TS_OK also where questions failed; TS_CANCELLED: not all have ended. */
TS_MUST_USE ts_status ts_endpoint_chat_many(const ts_endpoint *e, const ts_questions *q, ts_progress *progress,
                                            ts_err *err);

#endif
