#include "eval/endpoint.h"

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/utf8.h"
#include "eval/http.h"
#include "eval/pace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_BYTES = 16 << 20, MAX_KEY = 4096, EXCERPT = 160, MOST_PAUSE = 60, MOST_JOBS = 32 };

/* ---- the spec ---- */

void ts_endpoint_release(ts_endpoint *e) {
    free(e->url);
    free(e->model);
    free(e->key_env);
    free(e->key_file);
    *e = (ts_endpoint){0};
}

static ts_status take_number(const char *name, const char *value, double least, double most, double *out, ts_err *err) {
    char *end;
    double v = strtod(value, &end);
    if (end == value || *end || !(v >= least && v <= most))
        return ts_fail(err, TS_INVALID, "an endpoint's %s is a number from %g to %g, not \"%.40s\"", name, least, most,
                       value);
    *out = v;
    return TS_OK;
}

static ts_status take_word(ts_endpoint *e, const char *name, const char *value, ts_err *err) {
    double tries = e->tries, jobs = e->jobs;
    const struct {
        const char *name;
        char **text;
        double *number, least, most;
    } words[] = {{"url", &e->url, NULL, 0, 0},
                 {"model", &e->model, NULL, 0, 0},
                 {"key-env", &e->key_env, NULL, 0, 0},
                 {"key-file", &e->key_file, NULL, 0, 0},
                 {"price-in", NULL, &e->price_in, 0, 1e6},
                 {"price-out", NULL, &e->price_out, 0, 1e6},
                 {"timeout", NULL, &e->timeout, 0.1, 3600},
                 {"pause", NULL, &e->pause, 0, MOST_PAUSE},
                 {"tries", NULL, &tries, 1, 20},
                 {"jobs", NULL, &jobs, 1, MOST_JOBS}};
    for (size_t i = 0; i < TS_COUNT(words); i++) {
        if (strcmp(words[i].name, name) != 0) continue;
        if (words[i].number)
            TS_TRY(take_number(name, value, words[i].least, words[i].most, words[i].number, err));
        else
            free(*words[i].text), *words[i].text = ts_strdup(value);
        e->tries = (int)tries;
        e->jobs = (int)jobs;
        return TS_OK;
    }
    if (strcmp(name, "key") == 0)
        return ts_fail(err, TS_INVALID,
                       "a key is not given on the command line, where others can read it: key-env=NAME names an "
                       "environment variable that holds it, key-file=FILE a file");
    return ts_fail(err, TS_INVALID,
                   "an endpoint has no \"%.40s\"; it has url, model, key-env, key-file, price-in, price-out, timeout, "
                   "tries, pause, jobs",
                   name);
}

ts_status ts_endpoint_read(ts_endpoint *e, const char *spec, ts_err *err) {
    *e = (ts_endpoint){.price_in = NAN, .price_out = NAN, .timeout = 120, .pause = 1, .tries = 4, .jobs = 4};
    for (const char *at = spec; *at;) {
        size_t n = strcspn(at, ","), name = strcspn(at, "=");
        if (name >= n)
            return ts_fail(err, TS_INVALID, "an endpoint is written url=..,model=..; \"%.40s\" is no such part", at);
        char *key = ts_strndup(at, name), *value = ts_strndup(at + name + 1, n - name - 1);
        ts_status status = take_word(e, key, value, err);
        free(key);
        free(value);
        TS_TRY(status);
        at += n + (at[n] == ',');
    }
    char host[160];
    ts_http_host(e->url ? e->url : "", host);
    if (!*host) return ts_fail(err, TS_INVALID, "an endpoint needs url=https://.. (or http://..)");
    if (strchr(e->url, '?') || strstr(e->url, "@"))
        return ts_fail(err, TS_INVALID,
                       "an endpoint's url holds no ? and no name or password (@): sides are kept with the answers; the "
                       "key comes by key-env or key-file");
    if (!e->model) return ts_fail(err, TS_INVALID, "an endpoint needs model=NAME, the name that %s has for it", host);
    if (e->key_env && e->key_file) return ts_fail(err, TS_INVALID, "an endpoint takes key-env or key-file, not both");
    if ((e->key_env || e->key_file) && !ts_http_safe_for_keys(e->url))
        return ts_fail(err, TS_INVALID, "the key would go to %s unencrypted; use https", host);
    return TS_OK;
}

/* ---- the key ---- */

static ts_status read_key(const ts_endpoint *e, ts_buf *out, ts_err *err) {
    if (e->key_env) {
        const char *v = getenv(e->key_env);
        if (!v || !*v)
            return ts_fail(err, TS_INVALID, "the environment variable %s, which should hold the key, is not set",
                           e->key_env);
        ts_buf_puts(out, v);
    } else if (e->key_file) {
        TS_TRY(ts_file_read(e->key_file, MAX_KEY, out, err));
    }
    while (out->len && strchr(" \r\n\t", out->data[out->len - 1]))
        out->data[--out->len] = 0;
    for (size_t i = 0; i < out->len; i++)
        if ((unsigned char)out->data[i] <= ' ' || (unsigned char)out->data[i] > '~')
            return ts_fail(err, TS_INVALID, "the key in %s is not one word of plain letters",
                           e->key_env ? e->key_env : e->key_file);
    return TS_OK;
}

static void forget_key(ts_buf *key) {
    if (key->data) explicit_bzero(key->data, key->len);
    ts_buf_release(key);
}

/* Words of a server for a sentence: one line, printable, without the key or what looks like one. */
static void excerpt(const char *s, size_t n, const ts_buf *key, char out[EXCERPT + 1]) {
    size_t used = 0;
    for (size_t i = 0; i < n && used < EXCERPT;) {
        bool is_key = key->len >= 4 && n - i >= key->len && memcmp(s + i, key->data, key->len) == 0;
        bool looks = n - i > 3 && memcmp(s + i, "sk-", 3) == 0;
        if (is_key || looks) {
            used += (size_t)snprintf(out + used, EXCERPT + 1 - used, "(key)");
            used = TS_MIN(used, (size_t)EXCERPT);
            i += is_key ? key->len : 0;
            while (looks && i < n && strchr(" \"'\n\r\t,;<>.)", s[i]) == NULL)
                i++;
            continue;
        }
        unsigned char c = (unsigned char)s[i++];
        bool blank = c <= ' ' || c == 0x7f;
        if (blank && (!used || out[used - 1] == ' ')) continue;
        out[used++] = c >= 0x80 ? '?' : blank ? ' ' : (char)c;
    }
    out[used] = 0;
}

/* ---- request and answer ---- */

static char *request_body(const ts_endpoint *e, const ts_endpoint_ask *ask) {
    ts_buf out = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&out);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "model", e->model);
    ts_jw_key(&w, "messages");
    ts_jw_raw(&w, ask->messages, strlen(ask->messages));
    ts_jw_kint(&w, "max_tokens", ask->max_new_tokens);
    ts_jw_knum(&w, "temperature", ask->sampling.temperature);
    if (ask->sampling.temperature > 0) ts_jw_knum(&w, "top_p", ask->sampling.top_p);
    ts_jw_kint(&w, "seed", (int64_t)ask->sampling.seed);
    if (ask->n_stops) {
        ts_jw_key(&w, "stop");
        ts_jw_arr(&w);
        for (size_t i = 0; i < ask->n_stops; i++)
            ts_jw_str(&w, ask->stops[i]);
        ts_jw_end_arr(&w);
    }
    ts_jw_kbool(&w, "stream", true);
    ts_jw_key(&w, "stream_options");
    ts_jw_obj(&w);
    ts_jw_kbool(&w, "include_usage", true);
    ts_jw_end_obj(&w);
    ts_jw_end_obj(&w);
    return ts_buf_take(&out);
}

/* An answer on its way. */
struct reading {
    const ts_endpoint_ask *ask;
    ts_endpoint_answer *out;
    ts_buf line;
    bool any, finished; /* any: something of a chat answer came; finished: [DONE], or a reason to stop */
    char problem[EXCERPT + 1];
    const ts_buf *key;
};

static void take_usage(const ts_json *usage, ts_endpoint_answer *out) {
    int64_t n;
    if (ts_json_int(ts_json_get(usage, "prompt_tokens"), 0, INT32_MAX, &n)) out->prompt_tokens = n;
    if (ts_json_int(ts_json_get(usage, "completion_tokens"), 0, INT32_MAX, &n)) out->tokens = n;
}

/* One chat.completion, or one chunk of it. */
static void take_object(struct reading *r, const ts_json *v) {
    const ts_json *choice = ts_json_child(ts_json_get(v, "choices")), *error = ts_json_get(v, "error");
    const ts_json *part = ts_json_get(choice, "delta");
    if (!part) part = ts_json_get(choice, "message");
    const char *text = ts_json_str(ts_json_get(part, "content"), NULL);
    const char *reason = ts_json_str(ts_json_get(choice, "finish_reason"), NULL);
    if (error && !ts_json_is_null(error)) {
        const char *words = ts_json_str(ts_json_get(error, "message"), ts_json_str(error, "an error"));
        excerpt(words, strlen(words), r->key, r->problem);
    }
    r->any |= ts_json_is_array(ts_json_get(v, "choices"));
    if (text) ts_buf_puts(&r->out->text, text);
    if (text && *text && r->ask->on_text) r->ask->on_text(r->ask->ctx, ts_buf_str(&r->out->text));
    if (reason) {
        r->finished = true;
        snprintf(r->out->stop, sizeof r->out->stop, "%s", strcmp(reason, "length") == 0 ? "length" : "eos");
    }
    take_usage(ts_json_get(v, "usage"), r->out);
}

static void take_line(struct reading *r) {
    const char *s = ts_buf_str(&r->line);
    ts_err ignored;
    size_t n = r->line.len;
    while (n && s[n - 1] == '\r')
        n--;
    if (n > 5 && strncmp(s, "data:", 5) == 0) {
        size_t at = 5 + strspn(s + 5, " ");
        if (n - at == 6 && memcmp(s + at, "[DONE]", 6) == 0) {
            r->finished = true;
        } else {
            ts_json *v = ts_json_parse(s + at, n - at, &ignored);
            if (v) take_object(r, v);
            ts_json_free(v);
        }
    }
    ts_buf_reset(&r->line);
}

static bool on_data(void *ctx, const char *data, size_t n) {
    struct reading *r = ctx;
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n')
            take_line(r);
        else
            ts_buf_putc(&r->line, data[i]);
    }
    return true;
}

/* The answer was no stream: one object, as from a server that does not know streams. */
static void take_whole(struct reading *r, const ts_http_answer *a) {
    ts_err ignored;
    if (r->any || *r->problem) return;
    ts_json *v = a->body.len ? ts_json_parse(a->body.data, a->body.len, &ignored) : NULL;
    if (ts_json_is_object(v)) take_object(r, v);
    ts_json_free(v);
}

static bool is_page(const ts_http_answer *a) {
    const char *s = ts_buf_str(&a->body);
    s += strspn(s, " \t\r\n");
    return strncmp(a->type, "text/html", 9) == 0 || strncasecmp(s, "<!doctype", 9) == 0 ||
           strncasecmp(s, "<html", 5) == 0;
}

/* Whether asking again may help. */
static bool is_passing(int status) {
    return status == 429 || status == 408 || status >= 500;
}

/* What is wrong with an answer that came; *again: it may pass. */
static ts_status judge(const ts_endpoint *e, const struct reading *r, const ts_http_answer *a, bool *again,
                       ts_err *err) {
    char host[160], words[EXCERPT + 1];
    ts_http_host(e->url, host);
    excerpt(ts_buf_str(&a->body), a->body.len, r->key, words);
    const char *said = *r->problem ? r->problem : words;
    *again = is_passing(a->status);
    if (is_page(a))
        return ts_fail(err, TS_FORMAT, "%s answers %d with a web page, not with JSON; is the address right?", host,
                       a->status);
    if (a->status == 401 || a->status == 403)
        return ts_fail(err, TS_INVALID, "%s refuses the key (%d): %s", host, a->status, said);
    if (a->status == 429) return ts_fail(err, TS_BUSY, "%s asks for fewer requests (429): %s", host, said);
    if (a->status < 200 || a->status > 299) return ts_fail(err, TS_IO, "%s answers %d: %s", host, a->status, said);
    if (*r->problem) return ts_fail(err, TS_IO, "%s reports an error: %s", host, r->problem);
    if (!r->any) return ts_fail(err, TS_FORMAT, "%s answers with what is no chat completion: %s", host, words);
    *again = true;
    if (!r->finished)
        return ts_fail(err, TS_IO, "%s broke the answer off after %zu bytes of text", host, r->out->text.len);
    return TS_OK;
}

static void begin_answer(ts_endpoint_answer *a) {
    ts_buf_reset(&a->text);
    a->stop[0] = 0;
    a->prompt_tokens = a->tokens = -1;
    a->cost = NAN;
}

static void settle(const ts_endpoint *e, ts_endpoint_answer *a) {
    ts_buf valid = TS_BUF_INIT;
    ts_utf8_repair(&valid, ts_buf_str(&a->text), a->text.len);
    ts_buf_release(&a->text);
    a->text = valid;
    if (!a->stop[0]) snprintf(a->stop, sizeof a->stop, "eos");
    if (a->prompt_tokens >= 0 && a->tokens >= 0)
        a->cost = ((double)a->prompt_tokens * e->price_in + (double)a->tokens * e->price_out) / 1e6;
}

static ts_status try_once(const ts_endpoint *e, ts_http *http, const ts_endpoint_ask *ask, const char *body,
                          const ts_buf *key, ts_endpoint_answer *out, bool *again, double *wait, ts_progress *progress,
                          ts_err *err) {
    struct reading r = {.ask = ask, .out = out, .key = key};
    ts_http_answer a;
    size_t n = strlen(e->url);
    bool whole = n > 17 && strcmp(e->url + n - 17, "/chat/completions") == 0;
    char *url = ts_printf("%s%s", e->url,
                          whole                       ? ""
                          : n && e->url[n - 1] == '/' ? "chat/completions"
                                                      : "/chat/completions");
    const ts_http_request q = {.url = url,
                               .body = body,
                               .key = key->len ? key->data : NULL,
                               .timeout = e->timeout,
                               .silence = TS_MIN(e->timeout, 60),
                               .most = MOST_BYTES,
                               .on_data = on_data,
                               .ctx = &r};
    begin_answer(out);
    double begun = ts_now();
    ts_status status = ts_http_post(http, &q, &a, progress, err);
    *again = status == TS_IO;
    if (status == TS_OK) {
        if (r.line.len) take_line(&r);
        take_whole(&r, &a);
        status = judge(e, &r, &a, again, err);
    }
    *wait = a.retry_after;
    out->seconds = ts_now() - begun;
    ts_buf_release(&r.line);
    ts_http_answer_release(&a);
    free(url);
    return status;
}

static void rest(double seconds, ts_progress *progress) {
    for (double until = ts_now() + seconds; ts_now() < until && !ts_cancelled(progress);) {
        struct timespec t = {0, (long)(1e9 * TS_MIN(0.1, TS_MAX(until - ts_now(), 0)))};
        nanosleep(&t, NULL);
    }
}

ts_status ts_endpoint_chat(const ts_endpoint *e, ts_http *http, const ts_endpoint_ask *ask, ts_endpoint_answer *out,
                           ts_progress *progress, ts_err *err) {
    ts_buf key = TS_BUF_INIT;
    char *body = request_body(e, ask);
    double pause = e->pause, wait = NAN;
    bool again = true;
    *out = (ts_endpoint_answer){.cost = NAN};
    ts_status status = read_key(e, &key, err);
    for (int i = 1; status == TS_OK && again; i++) {
        out->tries = i;
        if (!ts_pace_enter(ask->pace, progress)) {
            status = ts_fail(err, TS_CANCELLED, "stopped");
            break;
        }
        status = try_once(e, http, ask, body, &key, out, &again, &wait, progress, err);
        bool busy = status == TS_BUSY || isfinite(wait); /* 503 with Retry-After is as good as 429 */
        wait = TS_MIN(isfinite(wait) ? wait : pause, MOST_PAUSE);
        ts_pace_leave(ask->pace, status == TS_OK ? TS_PACE_ANSWERED : busy ? TS_PACE_BUSY : TS_PACE_FAILED, wait);
        if (status == TS_OK || !again || i >= e->tries || ts_cancelled(progress)) break;
        rest(wait, progress);
        pause *= 2;
        status = ts_cancelled(progress) ? ts_fail(err, TS_CANCELLED, "stopped") : TS_OK;
    }
    if (status == TS_OK) settle(e, out);
    if (status != TS_OK && out->tries > 1 && status != TS_CANCELLED && err) {
        char first[sizeof err->text];
        memcpy(first, err->text, sizeof first);
        ts_fail(err, status, "after %d tries: %.480s", out->tries, first);
    }
    forget_key(&key);
    free(body);
    return status;
}

void ts_endpoint_answer_release(ts_endpoint_answer *a) {
    ts_buf_release(&a->text);
}
