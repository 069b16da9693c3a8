#include "eval/engine_client.h"

#include "core/base/file.h"
#include "core/engine/serve.h"
#include "core/work/child.h"
#include "core/work/turns.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NICE = 5 };

/* An open request. A load that was made for another request has that one as its owner; others own themselves. */
struct open_request {
    int64_t id, owner;
    bool load;
};

struct ts_engine {
    char *log;
    size_t log_at; /* its length when the process was started */
    ts_engine_fn *fn;
    void *ctx;
    ts_child child;
    ts_lines lines;
    ts_buf out; /* not written yet */
    size_t written;
    int64_t last_id;
    char *model, *template; /* that the child was told to load; template "": the model's own */
    struct open_request *open;
    size_t n_open, cap_open;
    /* for ts_engine_wait */
    int64_t waited;
    bool over, waits; /* waits: for a training step to end */
    bool own_progress;
    ts_err result;
    ts_progress *progress;
    const char *doing; /* what progress said before the wait */
};

ts_engine *ts_engine_new(const char *log, ts_engine_fn *fn, void *ctx) {
    ts_engine *e = ts_calloc(1, sizeof *e);
    *e = (ts_engine){.log = log ? ts_strdup(log) : NULL, .fn = fn, .ctx = ctx, .child = TS_CHILD_INIT};
    return e;
}

void ts_engine_own_progress(ts_engine *e) {
    e->own_progress = true;
}

static void forget_model(ts_engine *e) {
    free(e->model);
    free(e->template);
    e->model = e->template = NULL;
}

static void drop_child(ts_engine *e, double grace) {
    ts_child_end(&e->child, grace);
    ts_lines_release(&e->lines);
    ts_buf_release(&e->out);
    e->written = 0;
    forget_model(e);
}

void ts_engine_free(ts_engine *e) {
    if (!e) return;
    drop_child(e, 0.5);
    free(e->open);
    free(e->log);
    free(e);
}

bool ts_engine_busy(const ts_engine *e) {
    return e->n_open > 0;
}

int ts_engine_pid(const ts_engine *e) {
    return (int)e->child.pid;
}

/* progress->what holds constants: of the child's words only those that say why nothing moves are taken over. */
static void on_progress(ts_engine *e, const ts_engine_event *ev) {
    bool waits = strcmp(ev->what, ts_turns_wait_for_step) == 0;
    if (!e->own_progress) ts_progress_set(e->progress, ev->done, ev->total);
    if (waits == e->waits || !e->progress) return;
    e->waits = waits;
    if (waits) e->doing = atomic_load(&e->progress->what);
    ts_progress_what(e->progress, waits ? ts_turns_wait_for_step : e->doing);
}

static void deliver(ts_engine *e, const ts_engine_event *ev) {
    if (ev->request == e->waited) {
        if (ev->kind == TS_ENGINE_DONE || ev->kind == TS_ENGINE_ERROR) e->over = true;
        if (ev->kind == TS_ENGINE_ERROR) ts_fail(&e->result, ev->status, "%s", ev->text);
        if (ev->kind == TS_ENGINE_PROGRESS) on_progress(e, ev);
    }
    if (e->fn) e->fn(e->ctx, ev);
}

/* Takes the request off the list; its owner, or 0 when it is not open. */
static int64_t close_request(ts_engine *e, int64_t id) {
    for (size_t i = 0; i < e->n_open; i++)
        if (e->open[i].id == id) {
            int64_t owner = e->open[i].owner;
            memmove(e->open + i, e->open + i + 1, (--e->n_open - i) * sizeof *e->open);
            return owner;
        }
    return 0;
}

static int64_t owner_of(const ts_engine *e, int64_t id) {
    for (size_t i = 0; i < e->n_open; i++)
        if (e->open[i].id == id) return e->open[i].owner;
    return 0;
}

static bool is_load(const ts_engine *e, int64_t id) {
    for (size_t i = 0; i < e->n_open; i++)
        if (e->open[i].id == id) return e->open[i].load;
    return false;
}

static void fail_request(ts_engine *e, int64_t id, ts_status status, const char *text) {
    int64_t owner = close_request(e, id);
    if (owner == 0) return;
    close_request(e, owner); /* a load failed: what it was for cannot be done either */
    ts_engine_event ev = {.kind = TS_ENGINE_ERROR, .request = owner, .status = status, .text = text};
    deliver(e, &ev);
}

/* The last line that the process wrote into the log since it was started; false when there is none. */
static bool last_words(const ts_engine *e, char *out, size_t n) {
    enum { MAX_LOG = 1 << 24 };
    ts_buf log = TS_BUF_INIT;
    ts_err ignored;
    out[0] = 0;
    if (e->log && ts_file_read(e->log, MAX_LOG, &log, &ignored) == TS_OK && log.len > e->log_at) {
        char *from = log.data + e->log_at;
        while (log.len > e->log_at && log.data[log.len - 1] == '\n')
            log.data[--log.len] = 0;
        const char *line = strrchr(from, '\n');
        line = line ? line + 1 : from;
        if (strncmp(line, "tunesmith: ", 11) == 0) snprintf(out, n, "%s", line + 11);
    }
    ts_buf_release(&log);
    return out[0] != 0;
}

/* One that ended by itself has said why; one that was killed could not. */
static void child_died(ts_engine *e) {
    char how[80] = "", text[600], words[512];
    int status = 0;
    bool known = ts_child_wait(&e->child, 2, &status);
    if (known) ts_child_describe(status, how, sizeof how);
    if (known && WIFEXITED(status) && last_words(e, words, sizeof words))
        snprintf(text, sizeof text, "the engine process ended: %s", words);
    else if (known && WIFEXITED(status))
        snprintf(text, sizeof text, "the engine process %s%s%s", how, e->log ? ", see " : "", e->log ? e->log : "");
    else
        snprintf(text, sizeof text, "the engine process %s; it may have run out of memory%s%s",
                 *how ? how : "went away", e->log ? ", see " : "", e->log ? e->log : "");
    drop_child(e, 0);
    while (e->n_open > 0)
        fail_request(e, e->open[0].id, TS_IO, text);
}

/* --- asking --- */

static ts_status start(ts_engine *e, ts_err *err) {
    static const char *const args[] = {"engine", NULL};
    ts_child_options o = {.args = args, .log = e->log, .pipes = true, .show_errors = !e->log, .nice = NICE};
    if (e->child.pid > 0) return TS_OK;
    drop_child(e, 0);
    e->log_at = e->log && ts_is_file(e->log) ? (size_t)ts_file_size(e->log) : 0;
    return ts_child_start(&e->child, &o, err);
}

static void flush_out(ts_engine *e) {
    while (e->written < e->out.len && e->child.in >= 0) {
        ssize_t n = write(e->child.in, e->out.data + e->written, e->out.len - e->written);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break; /* full, or the child is gone: the reading side notices */
        e->written += (size_t)n;
    }
    if (e->written == e->out.len) {
        ts_buf_reset(&e->out);
        e->written = 0;
    }
}

static ts_jw begin(ts_engine *e, const char *op, int64_t id) {
    ts_jw w = ts_jw_to(&e->out);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "op", op);
    ts_jw_kint(&w, "id", id);
    return w;
}

static void end(ts_engine *e, ts_jw *w) {
    ts_jw_end_obj(w);
    ts_buf_putc(&e->out, '\n');
    flush_out(e);
}

static void open_request(ts_engine *e, int64_t id, int64_t owner, bool load) {
    struct open_request r = {id, owner, load};
    TS_PUSH(e->open, e->n_open, e->cap_open, r);
}

static void ask_load(ts_engine *e, const char *model, const char *template, int64_t id) {
    char *spec = ts_strdup(model), *chosen = ts_strdup(template ? template : "");
    forget_model(e);
    e->model = spec;
    e->template = chosen;
    ts_jw w = begin(e, "load", id);
    ts_jw_kstr(&w, "model", model);
    ts_jw_kstr(&w, "template", chosen);
    end(e, &w);
}

int64_t ts_engine_load(ts_engine *e, const char *model, const char *template, ts_err *err) {
    if (start(e, err) != TS_OK) return 0;
    int64_t id = ++e->last_id;
    open_request(e, id, id, true);
    ask_load(e, model, template, id);
    return id;
}

/* A request is one line, and the engine takes lines up to 64 MB. */
enum { MOST_BYTES = 60 << 20 };

static bool is_loaded(const ts_engine *e, const ts_ask *ask) {
    return e->model && strcmp(e->model, ask->model) == 0 &&
           strcmp(e->template, ask->template ? ask->template : "") == 0;
}

/* Sees that the child is there and told to load the ask's model; returns the new request's number. */
static int64_t prepare(ts_engine *e, const ts_ask *ask, ts_err *err) {
    if (strlen(ask->items) > MOST_BYTES) {
        ts_fail(err, TS_LIMIT, "%zu MB of text are asked about at once, %d MB is the most; take shorter rows or fewer",
                strlen(ask->items) >> 20, MOST_BYTES >> 20);
        return 0;
    }
    if (start(e, err) != TS_OK) return 0;
    int64_t load = 0;
    if (!is_loaded(e, ask)) load = ++e->last_id;
    int64_t id = ++e->last_id;
    open_request(e, id, id, false);
    if (load) {
        open_request(e, load, id, true);
        ask_load(e, ask->model, ask->template, load);
    }
    return id;
}

static void put_texts(ts_jw *w, const char *key, const char *const *texts, size_t n) {
    ts_jw_key(w, key);
    ts_jw_arr(w);
    for (size_t i = 0; i < n; i++)
        ts_jw_str(w, texts[i]);
    ts_jw_end_arr(w);
}

int64_t ts_engine_generate(ts_engine *e, const ts_ask *ask, ts_err *err) {
    int64_t id = prepare(e, ask, err);
    if (!id) return 0;
    ts_jw w = begin(e, "generate", id);
    put_texts(&w, "sides", ask->sides, ask->n_sides);
    ts_jw_kint(&w, "max_new_tokens", ask->max_new_tokens);
    ts_jw_kstr(&w, "kv_cache", ask->f16_cache ? "f16" : "f32");
    ts_sampling_write(&ask->sampling, &w);
    put_texts(&w, "stop", ask->stops, ask->n_stops);
    ts_jw_kint(&w, "first_stream", ask->first_stream);
    ts_jw_kbool(&w, "stream", ask->stream);
    ts_jw_kbool(&w, "refuse_long", ask->refuse_long);
    ts_jw_key(&w, "prompts");
    ts_jw_raw(&w, ask->items, strlen(ask->items));
    end(e, &w);
    return id;
}

int64_t ts_engine_nll(ts_engine *e, const ts_ask *ask, ts_err *err) {
    int64_t id = prepare(e, ask, err);
    if (!id) return 0;
    ts_jw w = begin(e, "nll", id);
    put_texts(&w, "sides", ask->sides, ask->n_sides);
    ts_jw_kbool(&w, "per_token", ask->per_token);
    ts_jw_kbool(&w, "refuse_long", ask->refuse_long);
    if (ask->numbers) {
        ts_jw_key(&w, "numbers");
        ts_jw_raw(&w, ask->numbers, strlen(ask->numbers));
    }
    ts_jw_key(&w, "rows");
    ts_jw_raw(&w, ask->items, strlen(ask->items));
    end(e, &w);
    return id;
}

int64_t ts_engine_ifd(ts_engine *e, const ts_ask *ask, ts_err *err) {
    int64_t id = prepare(e, ask, err);
    if (!id) return 0;
    ts_jw w = begin(e, "ifd", id);
    put_texts(&w, "sides", ask->sides, TS_MIN(ask->n_sides, (size_t)1));
    ts_jw_kbool(&w, "alone", ask->alone);
    ts_jw_kint(&w, "max_length", ask->max_length);
    ts_jw_key(&w, "rows");
    ts_jw_raw(&w, ask->items, strlen(ask->items));
    end(e, &w);
    return id;
}

int64_t ts_engine_embed(ts_engine *e, const ts_ask *ask, ts_err *err) {
    int64_t id = prepare(e, ask, err);
    if (!id) return 0;
    ts_jw w = begin(e, "embed", id);
    ts_jw_key(&w, "rows");
    ts_jw_raw(&w, ask->items, strlen(ask->items));
    end(e, &w);
    return id;
}

void ts_engine_cancel(ts_engine *e, int64_t request) {
    if (e->child.pid <= 0) return;
    for (size_t i = 0; i < e->n_open; i++) {
        if (e->open[i].owner != request) continue;
        ts_jw w = begin(e, "cancel", e->open[i].id);
        end(e, &w);
    }
}

/* --- receiving --- */

static size_t place(const ts_json *json, const char *key) {
    int64_t v = 0;
    ts_json_int(ts_json_get(json, key), 0, INT32_MAX, &v);
    return (size_t)v;
}

static void on_answer(ts_engine *e, const ts_json *json) {
    static const struct {
        const char *name;
        ts_engine_kind kind;
    } kinds[] = {{"progress", TS_ENGINE_PROGRESS}, {"loaded", TS_ENGINE_LOADED},
                 {"token", TS_ENGINE_TOKEN},       {"answer", TS_ENGINE_ANSWER},
                 {"nll", TS_ENGINE_NLL},           {"ifd", TS_ENGINE_IFD},
                 {"refused", TS_ENGINE_REFUSED},   {"embedding", TS_ENGINE_EMBEDDING},
                 {"done", TS_ENGINE_DONE}};
    const char *name = ts_json_str(ts_json_get(json, "event"), "");
    int64_t id = 0;
    ts_json_int(ts_json_get(json, "id"), 0, 9007199254740991, &id);
    ts_engine_event ev = {.request = owner_of(e, id),
                          .prompt = place(json, ts_json_get(json, "row") ? "row" : "prompt"),
                          .side = place(json, "side"),
                          .text = ts_json_str(ts_json_get(json, "text"), ts_json_str(ts_json_get(json, "name"), "")),
                          .what = ts_json_str(ts_json_get(json, "what"), ""),
                          .stop = ts_json_str(ts_json_get(json, "stop"), ""),
                          .kernel = ts_json_str(ts_json_get(json, "kernel"), ""),
                          .ids = ts_json_get(json, "ids"),
                          .nlls = ts_json_get(json, "nlls"),
                          .turns = ts_json_get(json, "turns"),
                          .values = ts_json_get(json, "values"),
                          .nll = ts_json_num(ts_json_get(json, "nll"), NAN)};
    ts_json_int(ts_json_get(json, "tokens"), 0, INT64_MAX / 2, &ev.tokens);
    ts_json_int(ts_json_get(json, "left_out"), 0, INT32_MAX, &ev.left_out);
    ts_json_int(ts_json_get(json, "done"), 0, INT64_MAX / 2, &ev.done);
    ts_json_int(ts_json_get(json, "total"), 0, INT64_MAX / 2, &ev.total);
    ts_json_int(ts_json_get(json, "params"), 0, INT64_MAX / 2, &ev.params);
    if (ev.request == 0) return; /* cancelled and forgotten */
    if (strcmp(name, "error") == 0) {
        if (is_load(e, id)) { /* the child has no model now */
            forget_model(e);
        }
        fail_request(e, id, ts_serve_status(ts_json_str(ts_json_get(json, "code"), "")), ev.text);
        return;
    }
    for (size_t i = 0; i < TS_COUNT(kinds); i++) {
        if (strcmp(name, kinds[i].name) != 0) continue;
        ev.kind = kinds[i].kind;
        if (ev.kind == TS_ENGINE_DONE && close_request(e, id) != id) return; /* the load before the request */
        deliver(e, &ev);
    }
}

size_t ts_engine_fds(const ts_engine *e, struct pollfd fds[2]) {
    size_t n = 0;
    if (e->child.pid <= 0) return 0;
    fds[n++] = (struct pollfd){e->child.out, POLLIN, 0};
    if (e->out.len > e->written) fds[n++] = (struct pollfd){e->child.in, POLLOUT, 0};
    return n;
}

void ts_engine_pump(ts_engine *e) {
    const char *line;
    size_t n;
    ts_err err;
    if (e->child.pid <= 0) return;
    flush_out(e);
    /* as long as whole pieces come, but not for ever: the caller has a screen to draw */
    for (int round = 0; round < 64 && e->child.pid > 0; round++) {
        size_t before = e->lines.buf.len - e->lines.next;
        bool broken = ts_lines_fill(&e->lines, e->child.out, &err) != TS_OK;
        bool nothing = e->lines.buf.len - e->lines.next == before;
        while (ts_lines_next(&e->lines, &line, &n)) {
            ts_json *json = ts_json_parse(line, n, &err);
            if (json) on_answer(e, json);
            ts_json_free(json);
        }
        if (broken || e->lines.eof) {
            child_died(e);
            return;
        }
        if (nothing) return;
    }
}

ts_status ts_engine_wait(ts_engine *e, int64_t request, ts_progress *progress, ts_err *err) {
    bool cancelled = false;
    e->waited = request;
    e->over = e->waits = false;
    e->progress = progress;
    e->result = (ts_err){.code = TS_OK};
    while (!e->over) {
        struct pollfd fds[2];
        size_t n = ts_engine_fds(e, fds);
        if (n == 0) break;
        poll(fds, (nfds_t)n, 100);
        ts_engine_pump(e);
        if (!cancelled && ts_cancelled(progress)) {
            ts_engine_cancel(e, request);
            cancelled = true;
        }
    }
    e->waited = 0;
    e->progress = NULL;
    if (!e->over) return ts_fail(err, TS_IO, "the engine process went away");
    if (e->result.code != TS_OK && err) *err = e->result;
    return e->result.code;
}
