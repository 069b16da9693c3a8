/* Asking a model behind an OpenAI-compatible address (POST .../chat/completions), answers streamed.
 *
 * The key comes from an environment variable or a file at the moment of asking; it is sent over https, or to this
 * machine, only; it is stored nowhere and in no sentence, also not when the server repeats it. 429, 5xx, silence and
 * broken answers are tried again, with growing pauses (what Retry-After says, else 1, 2, 4 s) up to `tries`. What the
 * server sends is hostile: a web page, garbage, more than MB of it and streams that never end are refused with a
 * sentence. Any thread, each with an HTTP client of its own; many questions at a time: eval/endpoint_many.h. */
#ifndef TS_EVAL_ENDPOINT_H
#define TS_EVAL_ENDPOINT_H

#include "core/engine/sampling.h"
#include "core/work/progress.h"

typedef struct ts_endpoint {
    char *url, *model;
    char *key_env, *key_file;   /* at most one; both NULL: no key */
    double price_in, price_out; /* of a million tokens; NAN: not known */
    double timeout;             /* seconds for one try */
    double pause;               /* seconds before the second try; doubled with each */
    int tries;
    int jobs; /* requests on their way at a time, where there are many */
} ts_endpoint;

/* Reads "url=https://..,model=NAME[,key-env=NAME|,key-file=FILE][,price-in=N,price-out=N][,timeout=S][,tries=N]
 * [,pause=S][,jobs=N]". TS_INVALID says what is wrong; a key given itself is refused. Released also after an error. */
TS_MUST_USE ts_status ts_endpoint_read(ts_endpoint *e, const char *spec, ts_err *err);
void ts_endpoint_release(ts_endpoint *e);

typedef struct ts_endpoint_ask {
    const char *messages; /* JSON array */
    int64_t max_new_tokens;
    ts_sampling sampling; /* temperature, top_p and seed are handed on; servers do not draw as we do */
    const char *const *stops;
    size_t n_stops;
    struct ts_pace *pace; /* shared with other requests to this endpoint; NULL: there are none */
    void (*on_text)(void *ctx, const char *text); /* all text so far; may be NULL */
    void *ctx;
} ts_endpoint_ask;

typedef struct ts_endpoint_answer {
    ts_buf text;
    char stop[12];                 /* "stop" or "length", as the engine says it: "eos", "length" */
    int64_t prompt_tokens, tokens; /* as counted by the server; -1: it did not say */
    double cost;                   /* NAN: no prices, or nothing was counted */
    double seconds;                /* of the try that answered */
    int tries;
} ts_endpoint_answer;

struct ts_http;
TS_MUST_USE ts_status ts_endpoint_chat(const ts_endpoint *e, struct ts_http *http, const ts_endpoint_ask *ask,
                                       ts_endpoint_answer *out, ts_progress *progress, ts_err *err);
void ts_endpoint_answer_release(ts_endpoint_answer *a);

#endif
