/* One HTTP request at a time, by libcurl (whose only home is http.c). Redirects are not followed, so that a key goes to
 * no host that nobody named. Built without libcurl, every request fails with a sentence that says so. Any thread, each
 * with a client of its own. */
#ifndef TS_EVAL_HTTP_H
#define TS_EVAL_HTTP_H

#include "core/base/buf.h"
#include "core/work/progress.h"

typedef struct ts_http ts_http;
ts_http *ts_http_new(void); /* keeps connections open between requests */
void ts_http_free(ts_http *h);

typedef struct ts_http_request {
    const char *url;
    const char *body;                                       /* JSON, posted */
    const char *key;                                        /* sent as a bearer token; NULL: none */
    double timeout;                                         /* seconds for all of it */
    double silence;                                         /* seconds without a byte */
    size_t most;                                            /* bytes of the answer; more is TS_LIMIT */
    bool (*on_data)(void *ctx, const char *data, size_t n); /* as it comes; false stops. May be NULL */
    void *ctx;
} ts_http_request;

typedef struct ts_http_answer {
    int status;         /* 200, 429, .. */
    char type[80];      /* Content-Type */
    double retry_after; /* seconds the server asks to wait; NAN: it does not say */
    ts_buf body;
} ts_http_answer;

/* TS_OK for whatever the server answered, whole. TS_IO with a sentence: no answer came (no such host, refused, broken
 * off, too slow); `out` then holds what came. The key is in no sentence. */
TS_MUST_USE ts_status ts_http_post(ts_http *h, const ts_http_request *r, ts_http_answer *out, ts_progress *progress,
                                   ts_err *err);
void ts_http_answer_release(ts_http_answer *a);

/* Host and port of a URL without user name, password, path and query, for sentences; "" when it is no http(s) URL. */
void ts_http_host(const char *url, char out[160]);
/* https, or http to this machine: where a key may be sent. */
bool ts_http_safe_for_keys(const char *url);

#endif
