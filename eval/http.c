#include "eval/http.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ts_http_answer_release(ts_http_answer *a) {
    ts_buf_release(&a->body);
}

static const char *behind_scheme(const char *url) {
    if (strncmp(url, "https://", 8) == 0) return url + 8;
    return strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
}

void ts_http_host(const char *url, char out[160]) {
    const char *host = behind_scheme(url), *at;
    out[0] = 0;
    if (!host) return;
    size_t n = strcspn(host, "/?#");
    while ((at = memchr(host, '@', n))) {
        n -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    snprintf(out, 160, "%.*s", (int)TS_MIN(n, (size_t)150), host);
}

bool ts_http_safe_for_keys(const char *url) {
    static const char *const here[] = {"localhost", "127.0.0.1", "[::1]"};
    char host[160];
    ts_http_host(url, host);
    if (strncmp(url, "https://", 8) == 0) return true;
    for (size_t i = 0; i < TS_COUNT(here); i++) {
        size_t n = strlen(here[i]);
        if (strncmp(host, here[i], n) == 0 && (host[n] == 0 || host[n] == ':')) return true;
    }
    return false;
}

#ifdef TS_HAVE_CURL
#include <curl/curl.h>
#include <pthread.h>

struct ts_http {
    CURL *curl;
    CURLM *multi; /* drives it, so that a stop is noticed while the server is silent */
};

/* One request at work. */
struct transfer {
    const ts_http_request *r;
    ts_http_answer *out;
    ts_progress *progress;
    bool too_long, stopped;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void begin_curl(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

ts_http *ts_http_new(void) {
    ts_http *h = ts_calloc(1, sizeof *h);
    pthread_once(&once, begin_curl);
    h->curl = curl_easy_init();
    h->multi = curl_multi_init();
    return h;
}

void ts_http_free(ts_http *h) {
    if (!h) return;
    curl_easy_cleanup(h->curl);
    curl_multi_cleanup(h->multi);
    free(h);
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx) {
    struct transfer *t = ctx;
    n *= size;
    t->too_long = t->out->body.len + n > t->r->most;
    if (t->too_long) return 0;
    ts_buf_add(&t->out->body, data, n);
    t->stopped = t->r->on_data && !t->r->on_data(t->r->ctx, data, n);
    return t->stopped ? 0 : n;
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx) {
    static const char name[] = "retry-after:";
    struct transfer *t = ctx;
    n *= size;
    char line[100];
    snprintf(line, sizeof line, "%.*s", (int)TS_MIN(n, sizeof line - 1), data);
    for (char *p = line; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (strncmp(line, name, sizeof name - 1) == 0) {
        char *end, *value = line + sizeof name - 1;
        double seconds = strtod(value, &end); /* a date is not taken: the usual pause is */
        if (end != value && seconds >= 0 && (*end == '\r' || *end == '\n' || *end == 0)) t->out->retry_after = seconds;
    }
    return n;
}

static struct curl_slist *headers_of(const ts_http_request *r) {
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
    if (r->key) {
        char *bearer = ts_printf("Authorization: Bearer %s", r->key);
        list = curl_slist_append(list, bearer);
        explicit_bzero(bearer, strlen(bearer));
        free(bearer);
    }
    return list;
}

static void set_up(CURL *curl, const ts_http_request *r, struct transfer *t, struct curl_slist *headers) {
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, r->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, r->body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(r->body));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "tunesmith/" TS_VERSION);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(1000 * TS_MIN(r->timeout, 15)));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(1000 * r->timeout));
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)ceil(r->silence));
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
}

/* As curl_easy_perform, which looks up once a second only. */
static CURLcode perform(ts_http *h, const ts_progress *progress) {
    enum { LOOK_MS = 50 };
    CURLcode result = CURLE_FAILED_INIT;
    int going = 1, left;
    if (curl_multi_add_handle(h->multi, h->curl) != CURLM_OK) return result;
    while (going && !ts_cancelled(progress))
        if (curl_multi_perform(h->multi, &going) != CURLM_OK ||
            (going && curl_multi_poll(h->multi, NULL, 0, LOOK_MS, NULL) != CURLM_OK))
            break;
    for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left));)
        if (m->msg == CURLMSG_DONE) result = m->data.result;
    curl_multi_remove_handle(h->multi, h->curl);
    return result;
}

static ts_status why(CURLcode code, const struct transfer *t, ts_err *err) {
    char host[160];
    ts_http_host(t->r->url, host);
    if (ts_cancelled(t->progress)) return ts_fail(err, TS_CANCELLED, "stopped");
    if (t->too_long)
        return ts_fail(err, TS_LIMIT, "%s answers with more than %zu MB", host, TS_MAX(t->r->most >> 20, (size_t)1));
    if (code == CURLE_OPERATION_TIMEDOUT)
        return ts_fail(err, TS_IO, "%s does not answer in time (%.0f s in all, %.0f s without a byte)", host,
                       t->r->timeout, t->r->silence);
    if (code == CURLE_PARTIAL_FILE || code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR)
        return ts_fail(err, TS_IO, "%s broke the answer off", host);
    return ts_fail(err, TS_IO, "%s cannot be reached: %s", host, curl_easy_strerror(code));
}

ts_status ts_http_post(ts_http *h, const ts_http_request *r, ts_http_answer *out, ts_progress *progress, ts_err *err) {
    struct transfer t = {.r = r, .out = out, .progress = progress};
    *out = (ts_http_answer){.retry_after = NAN};
    if (!behind_scheme(r->url)) return ts_fail(err, TS_INVALID, "the address does not begin with https:// or http://");
    if (!h->curl || !h->multi) return ts_fail(err, TS_NO_MEMORY, "libcurl cannot be started");
    struct curl_slist *headers = headers_of(r);
    set_up(h->curl, r, &t, headers);
    CURLcode code = perform(h, progress);
    long status = 0;
    const char *type = NULL;
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(h->curl, CURLINFO_CONTENT_TYPE, &type);
    out->status = (int)status;
    snprintf(out->type, sizeof out->type, "%s", type ? type : "");
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
    for (struct curl_slist *l = headers; l; l = l->next)
        explicit_bzero(l->data, strlen(l->data));
    curl_slist_free_all(headers);
    return code == CURLE_OK || t.stopped ? TS_OK : why(code, &t, err);
}
#else
struct ts_http {
    int none;
};

ts_http *ts_http_new(void) {
    return ts_calloc(1, sizeof(ts_http));
}

void ts_http_free(ts_http *h) {
    free(h);
}

ts_status ts_http_post(ts_http *h, const ts_http_request *r, ts_http_answer *out, ts_progress *progress, ts_err *err) {
    (void)h, (void)r, (void)progress;
    *out = (ts_http_answer){.retry_after = NAN};
    return ts_fail(err, TS_UNSUPPORTED,
                   "this tunesmith was built without libcurl, so it can ask no endpoint; install libcurl4-openssl-dev "
                   "and build again");
}
#endif
