/* The other end of `tunesmith engine` (core/engine/serve.h): starts it, asks, receives. Never blocks unless it says so,
 * so the UI can use it from its loop: poll the descriptors of ts_engine_fds, then call ts_engine_pump. If the child
 * dies, every open request gets an ERROR event with a sentence, and the next request starts a new child. One thread. */
#ifndef TS_EVAL_ENGINE_CLIENT_H
#define TS_EVAL_ENGINE_CLIENT_H

#include "core/engine/sampling.h"
#include "core/work/progress.h"

#include <poll.h>

typedef struct ts_engine ts_engine;

typedef enum ts_engine_kind {
    TS_ENGINE_PROGRESS,  /* what, done, total */
    TS_ENGINE_LOADED,    /* text: the model's name; kernel, params */
    TS_ENGINE_TOKEN,     /* prompt, side, text: appended to that answer */
    TS_ENGINE_ANSWER,    /* prompt, side, text, ids, stop, left_out */
    TS_ENGINE_REFUSED,   /* prompt (the row), side, text: why it gets no answer, or is not scored */
    TS_ENGINE_NLL,       /* prompt (the row), side, nll, tokens, nlls */
    TS_ENGINE_IFD,       /* prompt (the row), turns; or text: why the row was left out */
    TS_ENGINE_EMBEDDING, /* prompt (the row), values */
    TS_ENGINE_DONE,      /* the request is over */
    TS_ENGINE_ERROR,     /* the request is over: status, text */
} ts_engine_kind;

/* Borrowed until the callback returns. */
typedef struct ts_engine_event {
    ts_engine_kind kind;
    int64_t request;
    size_t prompt, side;
    const char *text, *what, *stop, *kernel;
    const ts_json *ids, *nlls, *turns, *values; /* arrays; NULL: none */
    double nll;
    int64_t tokens, done, total, params;
    int64_t left_out; /* shots that did not fit */
    ts_status status;
} ts_engine_event;
typedef void ts_engine_fn(void *ctx, const ts_engine_event *e);

/* Starts nothing yet: the first request does. `log`: where the child's stderr goes; NULL: the parent's. */
ts_engine *ts_engine_new(const char *log, ts_engine_fn *fn, void *ctx);
/* Quits the child (at once, whatever it does). */
void ts_engine_free(ts_engine *e);
/* From now on ts_engine_wait leaves the numbers of its progress to fn, which knows of how much the request is a part.
 */
void ts_engine_own_progress(ts_engine *e);

typedef struct ts_ask {
    const char *model;        /* loaded first when it is not the loaded one */
    const char *template;     /* name or file of a chat template; NULL: the model's own */
    const char *const *sides; /* adapter folders; NULL entry: the base */
    size_t n_sides;
    /* JSON array: prompts of a generate request, rows of an nll or ifd request */
    const char *items;
    bool per_token;      /* nll */
    const char *numbers; /* nll: JSON array, what the rows are called in errors ("line 7"); NULL: 1, 2, .. */
    bool alone;          /* ifd: also without the prompt */
    int64_t max_length;  /* ifd: longer rows are left out */
    /* generate */
    int64_t max_new_tokens;
    ts_sampling sampling;     /* settled */
    const char *const *stops; /* texts that end an answer */
    size_t n_stops;
    bool f16_cache;
    int64_t first_stream; /* random numbers of prompt i are those of stream first_stream + i */
    bool stream;
    bool refuse_long; /* a prompt or row (nll) longer than the context gets a REFUSED event; else a prompt fails the
                         request, and a row is scored all the same */
} ts_ask;
#define TS_ASK_DEFAULTS                                                                                                \
    { .max_new_tokens = 256, .sampling = TS_SAMPLING_GREEDY }

/* Return the request's number (> 0), or 0 with err when the child cannot be started. */
int64_t ts_engine_load(ts_engine *e, const char *model, const char *template, ts_err *err);
int64_t ts_engine_generate(ts_engine *e, const ts_ask *ask, ts_err *err);
int64_t ts_engine_nll(ts_engine *e, const ts_ask *ask, ts_err *err);
int64_t ts_engine_embed(ts_engine *e, const ts_ask *ask, ts_err *err); /* items: [{"text"}..]; the base */
int64_t ts_engine_ifd(ts_engine *e, const ts_ask *ask, ts_err *err);   /* the first side alone */
/* The request ends soon with an ERROR event of status TS_CANCELLED. */
void ts_engine_cancel(ts_engine *e, int64_t request);
bool ts_engine_busy(const ts_engine *e); /* some request is open */
int ts_engine_pid(const ts_engine *e);   /* of the child; 0: none */

/* Fills at most 2 descriptors to poll; returns how many (0: no child). */
size_t ts_engine_fds(const ts_engine *e, struct pollfd fds[2]);
/* Writes what can be written, reads what is there, calls fn for each event. */
void ts_engine_pump(ts_engine *e);
/* Blocks until `request` is over, pumping; a cancelled progress cancels the request. The request's error, if any, is
 * the result; progress follows its progress events. For the command line and for workers. */
TS_MUST_USE ts_status ts_engine_wait(ts_engine *e, int64_t request, ts_progress *progress, ts_err *err);

#endif
