/* The engine process. Two threads: the first works requests off, the second reads stdin, so that a cancel or the end of
 * stdin is noticed whatever the first is doing. The second also tells the progress five times a second.
 *
 * lock guards: queue, current, closing. write_lock guards the output (whole lines). */
#include "core/engine/serve.h"

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/engine/embed.h"
#include "core/engine/examples.h"
#include "core/engine/ifd.h"
#include "core/engine/net.h"
#include "core/engine/stops.h"
#include "core/work/child.h"
#include "core/work/pool.h"
#include "core/work/turns.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* For so long a request waits for the end of a training step. */
static const double PATIENCE_SECONDS = 60;

enum { MAX_NEW_TOKENS = 1 << 20, KEPT_ADAPTERS = 16, PROGRESS_MS = 200 };

struct kept {
    char *dir;
    ts_adapter *adapter;
    int64_t stamp; /* of the tensors' file */
    double used;
};

struct request {
    ts_json *json;
    int64_t id;
};

struct server {
    int in, out;
    pthread_mutex_t lock, write_lock;
    pthread_cond_t wake;
    struct request *queue;
    size_t n_queue, cap_queue;
    int64_t current; /* 0: idle */
    bool closing;
    ts_progress progress;
    /* the first thread's own */
    ts_turns turns;
    ts_model *model;
    char *model_spec, *template_spec; /* template_spec "": the model's own */
    ts_net *net;
    ts_encoder encoder;
    struct kept kept[KEPT_ADAPTERS];
};

static const char *const codes[] = {"ok",        "invalid", "not found",   "format",  "io",       "busy",
                                    "cancelled", "limit",   "unsupported", "corrupt", "no memory"};

const char *ts_serve_code(ts_status status) {
    return (size_t)status < TS_COUNT(codes) ? codes[status] : codes[TS_IO];
}

ts_status ts_serve_status(const char *code) {
    for (size_t i = 0; i < TS_COUNT(codes); i++)
        if (strcmp(codes[i], code) == 0) return (ts_status)i;
    return TS_IO;
}

/* --- answers --- */

static ts_jw begin(ts_buf *line, int64_t id, const char *event) {
    ts_jw w = ts_jw_to(line);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "id", id);
    ts_jw_kstr(&w, "event", event);
    return w;
}

/* Whoever asked is gone when this fails; the reading thread then sees the end of stdin. */
static void send(struct server *s, ts_jw *w) {
    ts_err ignored;
    ts_jw_end_obj(w);
    ts_buf_putc(w->out, '\n');
    pthread_mutex_lock(&s->write_lock);
    ts_status status = ts_file_append(s->out, "the answer", w->out->data, w->out->len, &ignored);
    pthread_mutex_unlock(&s->write_lock);
    (void)status;
    ts_buf_release(w->out);
}

static void send_error(struct server *s, int64_t id, const ts_err *e) {
    ts_buf line = TS_BUF_INIT;
    ts_jw w = begin(&line, id, "error");
    ts_jw_kstr(&w, "code", ts_serve_code(e->code));
    ts_jw_kstr(&w, "text", e->text);
    send(s, &w);
}

/* --- model and adapters --- */

static void drop_model(struct server *s) {
    for (size_t i = 0; i < KEPT_ADAPTERS; i++) {
        ts_adapter_free(s->kept[i].adapter);
        free(s->kept[i].dir);
        s->kept[i] = (struct kept){0};
    }
    ts_net_free(s->net);
    ts_encoder_release(&s->encoder);
    ts_model_close(s->model);
    free(s->model_spec);
    free(s->template_spec);
    s->net = NULL;
    s->model = NULL;
    s->model_spec = s->template_spec = NULL;
}

static ts_status load(struct server *s, const char *spec, ts_err *err) {
    if (s->model_spec && strcmp(s->model_spec, spec) == 0) return TS_OK;
    drop_model(s);
    ts_progress_what(&s->progress, "loading the model");
    TS_TRY(ts_model_open(&s->model, spec, err));
    ts_encoder_init(&s->encoder, s->model->path, s->model->config.vocab);
    TS_TRY(ts_net_new(&s->net, s->model, NULL, err));
    s->model_spec = ts_strdup(spec);
    return TS_OK;
}

static ts_status take_template(struct server *s, const char *spec, ts_err *err) {
    if (s->template_spec && strcmp(s->template_spec, spec) == 0) return TS_OK;
    TS_TRY(ts_encoder_template(&s->encoder, spec, err));
    free(s->template_spec);
    s->template_spec = ts_strdup(spec);
    if (ts_encoder_overrides(&s->encoder))
        fprintf(stderr, "the chat template %s takes the place of the model's own\n", spec);
    return TS_OK;
}

static ts_status do_load(struct server *s, const struct request *r, ts_err *err) {
    const char *spec = ts_json_str(ts_json_get(r->json, "model"), NULL);
    ts_buf line = TS_BUF_INIT;
    if (!spec) return ts_fail(err, TS_INVALID, "a load request names no \"model\"");
    TS_TRY(load(s, spec, err));
    TS_TRY(take_template(s, ts_json_str(ts_json_get(r->json, "template"), ""), err));
    ts_jw w = begin(&line, r->id, "loaded");
    ts_jw_kstr(&w, "name", s->model->config.name);
    ts_jw_kstr(&w, "path", s->model->path);
    ts_jw_kint(&w, "params", (int64_t)s->model->params);
    ts_jw_kstr(&w, "kernel", ts_net_kernel());
    send(s, &w);
    return TS_OK;
}

/* Of the files an adapter may lie in: a GGUF file, or those of a PEFT, mlx-lm or model's folder. */
static int64_t stamp_of(const char *dir) {
    static const char *const names[] = {"adapter_model.safetensors", "adapters.safetensors", "adapter_config.json",
                                        "model.safetensors", "config.json"};
    struct stat st;
    int64_t stamp = -1;
    if (stat(dir, &st) == 0 && S_ISREG(st.st_mode))
        return st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec + st.st_size;
    for (size_t i = 0; i < TS_COUNT(names); i++) {
        char *path = ts_path_join(dir, names[i]);
        if (stat(path, &st) == 0) stamp += st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec + st.st_size;
        free(path);
    }
    return stamp;
}

/* The adapter of a folder, read anew when its file changed; the longest unused one makes room. */
static ts_status find_adapter(struct server *s, const char *dir, const ts_adapter **out, ts_err *err) {
    int64_t stamp = stamp_of(dir);
    struct kept *oldest = &s->kept[0];
    for (size_t i = 0; i < KEPT_ADAPTERS; i++) {
        struct kept *k = &s->kept[i];
        if (k->dir && strcmp(k->dir, dir) == 0 && k->stamp == stamp) {
            k->used = ts_now();
            *out = k->adapter;
            return TS_OK;
        }
        if (k->used < oldest->used) oldest = k;
    }
    ts_adapter *fresh = NULL;
    TS_TRY(ts_adapter_load(&fresh, dir, s->model, err));
    ts_adapter_free(oldest->adapter);
    free(oldest->dir);
    *oldest = (struct kept){ts_strdup(dir), fresh, stamp, ts_now()};
    *out = fresh;
    return TS_OK;
}

/* The request's sides; none given means the base alone. */
static ts_status find_sides(struct server *s, const ts_json *json, const ts_adapter *sides[KEPT_ADAPTERS], size_t *n,
                            ts_err *err) {
    const ts_json *list = ts_json_get(json, "sides");
    *n = 0;
    for (const ts_json *v = ts_json_child(list); v; v = ts_json_next(v)) {
        if (*n == KEPT_ADAPTERS)
            return ts_fail(err, TS_LIMIT, "more than %d sides at once are not taken", KEPT_ADAPTERS);
        sides[*n] = NULL;
        if (ts_json_is_string(v)) TS_TRY(find_adapter(s, ts_json_str(v, ""), &sides[*n], err));
        ++*n;
    }
    if (*n == 0) sides[(*n)++] = NULL;
    return TS_OK;
}

static ts_status need_model(const struct server *s, ts_err *err) {
    return s->model_spec ? TS_OK : ts_fail(err, TS_INVALID, "no model is loaded");
}

/* --- generate --- */

struct generation {
    struct server *s;
    int64_t id;
    size_t n_sides;
    ts_gen_item *items; /* [prompt * n_sides + side] */
    ts_decoder *decoders;
    ts_stopping *texts;
    ts_stops stops;
    bool stream;
    size_t *left_out; /* shots, by prompt */
    size_t *refused;  /* tokens of a prompt that is too long, by item; 0: it is asked. NULL: such a prompt fails all */
};

static ts_jw begin_of(const struct generation *g, ts_buf *line, size_t item, const char *event) {
    ts_jw w = begin(line, g->id, event);
    ts_jw_kint(&w, "prompt", (int64_t)(item / g->n_sides));
    ts_jw_kint(&w, "side", (int64_t)(item % g->n_sides));
    ts_jw_key(&w, "text");
    return w;
}

static void tell_text(const struct generation *g, size_t item, bool over) {
    ts_stopping *t = &g->texts[item];
    size_t sure = ts_stops_sure(&g->stops, t, over);
    ts_buf line = TS_BUF_INIT;
    if (!g->stream || sure <= t->told) return;
    ts_jw w = begin_of(g, &line, item, "token");
    ts_jw_strn(&w, t->text.data + t->told, sure - t->told);
    send(g->s, &w);
    t->told = sure;
}

static bool on_token(void *ctx, size_t item, int32_t id) {
    struct generation *g = ctx;
    ts_buf piece = TS_BUF_INIT;
    if (g->refused && g->refused[item]) return true;
    if (!g->s->encoder.tokenizer) return false;
    ts_decoder_push(&g->decoders[item], id, &piece);
    bool ended = ts_stops_push(&g->stops, &g->texts[item], ts_buf_str(&piece), piece.len);
    tell_text(g, item, false);
    ts_buf_release(&piece);
    return ended;
}

static void send_refused(struct generation *g, size_t item) {
    ts_buf line = TS_BUF_INIT;
    ts_jw w = begin_of(g, &line, item, "refused");
    char *why = ts_printf("the prompt has %zu tokens, and the model's context is %zu: nothing would fit behind it",
                          g->refused[item], ts_net_context(g->s->net));
    ts_jw_str(&w, why);
    free(why);
    send(g->s, &w);
}

static void send_answer(struct generation *g, size_t item) {
    static const char *const stops[] = {"eos", "length", "cancelled", "stop"};
    const ts_gen_item *it = &g->items[item];
    ts_stopping *t = &g->texts[item];
    ts_buf line = TS_BUF_INIT;
    if (g->s->encoder.tokenizer && !t->ended) {
        ts_decoder_push(&g->decoders[item], -1, &t->text);
        tell_text(g, item, true);
    }
    ts_jw w = begin_of(g, &line, item, "answer");
    ts_jw_strn(&w, ts_buf_str(&t->text), t->text.len);
    ts_jw_key(&w, "ids");
    ts_jw_arr(&w);
    for (size_t i = 0; i < it->out.n; i++)
        ts_jw_int(&w, it->out.items[i]);
    ts_jw_end_arr(&w);
    ts_jw_kstr(&w, "stop", stops[it->stop]);
    ts_jw_kint(&w, "left_out", (int64_t)g->left_out[item / g->n_sides]);
    send(g->s, &w);
}

static ts_status read_options(const ts_json *json, ts_gen_options *o, ts_err *err) {
    int64_t max = 256;
    const ts_json *asked = ts_json_get(json, "max_new_tokens");
    if (asked && !ts_json_int(asked, 1, MAX_NEW_TOKENS, &max))
        return ts_fail(err, TS_INVALID, "max_new_tokens must be from 1 to %d, not %g", MAX_NEW_TOKENS,
                       ts_json_num(asked, NAN));
    o->max_new_tokens = (size_t)max;
    const char *cache = ts_json_str(ts_json_get(json, "kv_cache"), "f32");
    o->f16_cache = strcmp(cache, "f16") == 0;
    if (!o->f16_cache && strcmp(cache, "f32") != 0)
        return ts_fail(err, TS_INVALID, "kv_cache must be f32 or f16, not \"%.40s\"", cache);
    return ts_sampling_read(json, &o->sampling, err);
}

/* The texts are the request's; the list is the caller's to free. */
static ts_status read_stops(struct server *s, const ts_json *json, ts_stops *out, ts_err *err) {
    const ts_json *list = ts_json_get(json, "stop");
    const char **texts = ts_calloc(TS_MAX(ts_json_count(list), 1), sizeof *texts);
    *out = (ts_stops){texts, 0};
    for (const ts_json *v = ts_json_child(list); v; v = ts_json_next(v)) {
        const char *text = ts_json_str(v, "");
        if (!*text) return ts_fail(err, TS_INVALID, "a stop text is empty");
        texts[out->n++] = text;
    }
    return out->n ? ts_encoder_tokenizer(&s->encoder, err) : TS_OK;
}

/* An answer shall have room for max_new tokens where leaving out shots can make it. */
static ts_status encode_prompts(struct server *s, const ts_json *list, size_t max_new, ts_ids *ids, size_t *left_out,
                                ts_err *err) {
    size_t i = 0, context = ts_net_context(s->net);
    size_t most = !context ? SIZE_MAX : context > max_new ? context - max_new : 0;
    for (const ts_json *p = ts_json_child(list); p; p = ts_json_next(p), i++) {
        ts_status status = ts_encoder_prompt_within(&s->encoder, p, most, &ids[i], &left_out[i], err);
        if (status != TS_OK) return ts_wrap(err, status, "prompt %zu", i + 1);
    }
    return TS_OK;
}

static void release_generation(struct generation *g, size_t n) {
    for (size_t i = 0; i < n; i++) {
        ts_decoder_release(&g->decoders[i]);
        ts_buf_release(&g->texts[i].text);
    }
    ts_gen_release(g->items, n);
    free((void *)g->stops.texts);
    free(g->refused);
    free(g->left_out);
    free(g->items);
    free(g->decoders);
    free(g->texts);
}

static void begin_items(struct generation *g, size_t n, const ts_ids *ids, const ts_adapter *const *sides,
                        int64_t first_stream) {
    for (size_t i = 0; i < n; i++) {
        g->items[i] = (ts_gen_item){.prompt = ids[i / g->n_sides].items,
                                    .n_prompt = ids[i / g->n_sides].n,
                                    .adapter = sides[i % g->n_sides],
                                    .stream = (uint64_t)first_stream + i / g->n_sides};
        g->decoders[i] = (ts_decoder){.t = g->s->encoder.tokenizer, .skip_special = true};
    }
}

/* With "refuse_long" a prompt that leaves no room for an answer does not fail the others: its first token stands in
 * for it, and ends at once. */
static void refuse_long(struct generation *g, size_t n, const ts_json *json) {
    size_t context = ts_net_context(g->s->net);
    if (!context || !ts_json_is_true(ts_json_get(json, "refuse_long"))) return;
    g->refused = ts_calloc(n, sizeof *g->refused);
    for (size_t i = 0; i < n; i++)
        if (g->items[i].n_prompt >= context) {
            g->refused[i] = g->items[i].n_prompt;
            g->items[i].n_prompt = 1;
        }
}

static ts_status do_generate(struct server *s, const struct request *r, ts_err *err) {
    const ts_json *list = ts_json_get(r->json, "prompts");
    size_t n = ts_json_count(list), n_sides;
    const ts_adapter *sides[KEPT_ADAPTERS];
    int32_t stops[16];
    int64_t first = 0;
    ts_gen_options o = {.on_token = on_token, .stop_ids = stops};
    TS_TRY(need_model(s, err));
    TS_TRY(read_options(r->json, &o, err));
    TS_TRY(find_sides(s, r->json, sides, &n_sides, err));
    if (n == 0) return ts_fail(err, TS_INVALID, "a generate request holds no \"prompts\"");
    ts_ids *ids = ts_calloc(n, sizeof *ids);
    struct generation g = {.s = s, .id = r->id, .n_sides = n_sides};
    g.left_out = ts_calloc(n, sizeof *g.left_out);
    g.items = ts_calloc(n * n_sides, sizeof *g.items);
    g.decoders = ts_calloc(n * n_sides, sizeof *g.decoders);
    g.texts = ts_calloc(n * n_sides, sizeof *g.texts);
    g.stream = ts_json_is_true(ts_json_get(r->json, "stream"));
    o.ctx = &g;
    ts_status status = TS_OK;
    TS_GOTO(read_stops(s, r->json, &g.stops, err));
    TS_GOTO(encode_prompts(s, list, o.max_new_tokens, ids, g.left_out, err));
    ts_json_int(ts_json_get(r->json, "first_stream"), 0, 1LL << 40, &first);
    o.n_stop_ids = ts_encoder_stops(&s->encoder, s->model, stops);
    begin_items(&g, n * n_sides, ids, sides, first);
    refuse_long(&g, n * n_sides, r->json);
    ts_progress_what(&s->progress, "generating");
    status = ts_net_generate(s->net, g.items, n * n_sides, &o, &s->progress, err);
    for (size_t i = 0; i < n * n_sides; i++) /* a cancelled request: as far as they came */
        if (g.refused && g.refused[i])
            send_refused(&g, i);
        else if (status == TS_OK || (status == TS_CANCELLED && g.items[i].out.n > 0))
            send_answer(&g, i);
out:
    release_generation(&g, n * n_sides);
    for (size_t i = 0; i < n; i++)
        ts_ids_release(&ids[i]);
    free(ids);
    return status;
}

/* --- nll --- */

struct scoring {
    size_t n;
    ts_example *rows;
    /* [sides][n], side after side */
    ts_seq *seqs;
    const ts_adapter **adapters;
    double *nll;
    size_t *count;
    float *per_token; /* NULL: not asked for */
    size_t *refused;  /* tokens of a row that is longer than the context, by row; 0: it is scored */
};

static void send_unscored(struct server *s, int64_t id, size_t row, size_t side, size_t tokens) {
    ts_buf line = TS_BUF_INIT;
    ts_jw w = begin(&line, id, "refused");
    char *why = ts_printf("behind its prompt it makes %zu tokens, and the model's context is %zu", tokens,
                          ts_net_context(s->net));
    ts_jw_kint(&w, "row", (int64_t)row);
    ts_jw_kint(&w, "side", (int64_t)side);
    ts_jw_kstr(&w, "text", why);
    free(why);
    send(s, &w);
}

static void send_nll(struct server *s, int64_t id, const struct scoring *c, size_t side) {
    size_t at = 0, first = side * c->n;
    for (size_t i = 0; i < first; i++)
        at += c->seqs[i].n;
    for (size_t i = 0; i < c->n; at += c->seqs[i++].n) {
        if (c->refused[i]) {
            send_unscored(s, id, i, side, c->refused[i]);
            continue;
        }
        ts_buf line = TS_BUF_INIT;
        ts_jw w = begin(&line, id, "nll");
        ts_jw_kint(&w, "row", (int64_t)i);
        ts_jw_kint(&w, "side", (int64_t)side);
        ts_jw_knum(&w, "nll", c->nll[first + i]);
        ts_jw_kint(&w, "tokens", (int64_t)c->count[first + i]);
        if (c->per_token) {
            ts_jw_key(&w, "nlls");
            ts_jw_arr(&w);
            for (size_t k = 1; k < c->seqs[i].n; k++)
                if (c->seqs[i].labels[k] != TS_NO_LABEL) ts_jw_num(&w, (double)c->per_token[at + k]);
            ts_jw_end_arr(&w);
        }
        send(s, &w);
    }
}

/* "numbers" are what the asker calls the rows, for errors (lines of a file). */
static ts_status encode_rows(struct server *s, const ts_json *json, struct scoring *c, ts_err *err) {
    const ts_json *number_of = ts_json_child(ts_json_get(json, "numbers"));
    size_t i = 0;
    for (const ts_json *p = ts_json_child(ts_json_get(json, "rows")); p; p = ts_json_next(p), i++) {
        ts_status status = ts_encoder_row(&s->encoder, p, &c->rows[i], err);
        if (status != TS_OK) return ts_wrap(err, status, "line %.0f", ts_json_num(number_of, (double)i + 1));
        c->seqs[i] = (ts_seq){c->rows[i].ids.items, c->rows[i].labels.items, c->rows[i].ids.n, NULL};
        number_of = ts_json_next(number_of);
    }
    return TS_OK;
}

/* With "refuse_long" a row that is longer than the context, where the model has learnt no places, does not count: its
 * first token stands in for it. */
static void refuse_long_rows(const struct server *s, const ts_json *json, struct scoring *c) {
    size_t context = ts_net_context(s->net);
    if (!context || !ts_json_is_true(ts_json_get(json, "refuse_long"))) return;
    for (size_t i = 0; i < c->n; i++)
        if (c->seqs[i].n > context) {
            c->refused[i] = c->seqs[i].n;
            c->seqs[i].n = 1;
        }
}

static ts_status do_nll(struct server *s, const struct request *r, ts_err *err) {
    const ts_adapter *sides[KEPT_ADAPTERS];
    size_t n_sides, tokens = 0;
    struct scoring c = {.n = ts_json_count(ts_json_get(r->json, "rows"))};
    TS_TRY(need_model(s, err));
    TS_TRY(find_sides(s, r->json, sides, &n_sides, err));
    c.rows = ts_calloc(c.n, sizeof *c.rows);
    c.refused = ts_calloc(c.n, sizeof *c.refused);
    c.seqs = ts_calloc(c.n * n_sides, sizeof *c.seqs);
    c.adapters = ts_calloc(c.n * n_sides, sizeof *c.adapters);
    c.nll = ts_calloc(c.n * n_sides, sizeof *c.nll);
    c.count = ts_calloc(c.n * n_sides, sizeof *c.count);
    ts_status status = TS_OK;
    TS_GOTO(encode_rows(s, r->json, &c, err));
    refuse_long_rows(s, r->json, &c);
    for (size_t i = 0; i < c.n * n_sides; i++) {
        c.seqs[i] = c.seqs[i % c.n];
        c.adapters[i] = sides[i / c.n];
        tokens += c.seqs[i].n;
    }
    if (ts_json_is_true(ts_json_get(r->json, "per_token"))) c.per_token = ts_calloc(tokens, sizeof *c.per_token);
    ts_progress_what(&s->progress, "scoring");
    TS_GOTO(ts_net_nll_each(s->net, c.adapters, c.seqs, c.n * n_sides, c.nll, c.count, c.per_token, &s->progress, err));
    for (size_t i = 0; i < n_sides; i++)
        send_nll(s, r->id, &c, i);
out:
    for (size_t i = 0; i < c.n; i++)
        ts_example_release(&c.rows[i]);
    free(c.rows);
    free(c.refused);
    free(c.seqs);
    free(c.adapters);
    free(c.nll);
    free(c.count);
    free(c.per_token);
    return status;
}

/* --- ifd --- */

/* The rows of the request that are short enough; which[i] is the place of rows[i] in it. */
struct taken {
    ts_example *rows;
    size_t *which, n;
};

static void send_left_out(struct server *s, int64_t id, size_t row, const char *why) {
    ts_buf line = TS_BUF_INIT;
    ts_jw w = begin(&line, id, "ifd");
    ts_jw_kint(&w, "row", (int64_t)row);
    ts_jw_kstr(&w, "text", why);
    send(s, &w);
}

static void send_ifd(struct server *s, int64_t id, size_t row, const ts_ifd *x) {
    ts_buf line = TS_BUF_INIT;
    ts_jw w = begin(&line, id, "ifd");
    ts_jw_kint(&w, "row", (int64_t)row);
    ts_jw_key(&w, "turns");
    ts_jw_arr(&w);
    for (size_t i = 0; i < x->n; i++) {
        ts_jw_arr(&w);
        ts_jw_num(&w, x->turns[i].given);
        ts_jw_num(&w, x->turns[i].alone);
        ts_jw_int(&w, (int64_t)x->turns[i].n);
        ts_jw_end_arr(&w);
    }
    ts_jw_end_arr(&w);
    send(s, &w);
}

/* A row that the template refuses, or that is too long, is told of and left out: the others go on. */
static void take_rows(struct server *s, const struct request *r, int64_t max_length, struct taken *out) {
    size_t i = 0;
    ts_err why;
    for (const ts_json *p = ts_json_child(ts_json_get(r->json, "rows")); p; p = ts_json_next(p), i++) {
        ts_example x;
        if (ts_encoder_row(&s->encoder, p, &x, &why) != TS_OK) {
            send_left_out(s, r->id, i, why.text);
        } else if (x.ids.n > (size_t)max_length) {
            send_left_out(s, r->id, i, "too long");
            ts_example_release(&x);
        } else {
            out->which[out->n] = i;
            out->rows[out->n++] = x;
        }
    }
}

static ts_status do_ifd(struct server *s, const struct request *r, ts_err *err) {
    const ts_adapter *sides[KEPT_ADAPTERS];
    size_t n_sides, n = ts_json_count(ts_json_get(r->json, "rows"));
    int64_t max_length = 1024;
    TS_TRY(need_model(s, err));
    TS_TRY(find_sides(s, r->json, sides, &n_sides, err));
    TS_TRY(ts_encoder_chat(&s->encoder, err));
    ts_json_int(ts_json_get(r->json, "max_length"), 1, 1 << 24, &max_length);
    struct taken t = {ts_calloc(n, sizeof *t.rows), ts_calloc(n, sizeof *t.which), 0};
    ts_ifd *out = ts_calloc(n, sizeof *out);
    bool alone = ts_json_is_true(ts_json_get(r->json, "alone"));
    take_rows(s, r, max_length, &t);
    ts_progress_what(&s->progress, "scoring");
    ts_status status =
        t.n ? ts_ifd_rows(s->net, &s->encoder, sides[0], t.rows, t.n, alone, out, &s->progress, err) : TS_OK;
    for (size_t i = 0; i < t.n; i++) {
        if (status == TS_OK) send_ifd(s, r->id, t.which[i], &out[i]);
        ts_example_release(&t.rows[i]);
    }
    ts_ifd_release(out, t.n);
    free(out);
    free(t.rows);
    free(t.which);
    return status;
}

/* --- embed --- */

static void send_embedding(struct server *s, int64_t id, size_t row, const float *v, size_t h) {
    ts_buf line = TS_BUF_INIT;
    ts_jw w = begin(&line, id, "embedding");
    ts_jw_kint(&w, "row", (int64_t)row);
    ts_jw_key(&w, "values");
    ts_jw_arr(&w);
    for (size_t i = 0; i < h; i++)
        ts_jw_num(&w, (double)v[i]);
    ts_jw_end_arr(&w);
    send(s, &w);
}

static ts_status do_embed(struct server *s, const struct request *r, ts_err *err) {
    const ts_json *list = ts_json_get(r->json, "rows");
    size_t n = ts_json_count(list), i = 0, h = s->model ? s->model->config.hidden : 0;
    TS_TRY(need_model(s, err));
    TS_TRY(ts_encoder_tokenizer(&s->encoder, err));
    ts_ids *ids = ts_calloc(n, sizeof *ids);
    float *out = ts_calloc(n * h, sizeof *out);
    for (const ts_json *p = ts_json_child(list); p; p = ts_json_next(p), i++) {
        const char *text = ts_json_str(ts_json_get(p, "text"), "");
        if (*text) ts_tokenizer_encode(s->encoder.tokenizer, text, strlen(text), true, &ids[i], NULL);
    }
    ts_status status = ts_net_embed(s->net, ids, n, out, &s->progress, err);
    for (i = 0; i < n; i++) {
        if (status == TS_OK) send_embedding(s, r->id, i, out + i * h, h);
        ts_ids_release(&ids[i]);
    }
    free(ids);
    free(out);
    return status;
}

/* --- the two threads --- */

struct op {
    const char *op;
    ts_status (*run)(struct server *, const struct request *, ts_err *);
    bool heavy; /* takes its turn with trainings of this machine */
};

static ts_status in_turn(struct server *s, const struct op *op, const struct request *r, ts_err *err) {
    if (!op->heavy) return op->run(s, r, err);
    if (!ts_turns_begin_answers(&s->turns, PATIENCE_SECONDS, &s->progress))
        return ts_fail(err, TS_CANCELLED, "stopped");
    ts_status status = op->run(s, r, err);
    ts_turns_end_answers(&s->turns);
    return status;
}

static void work_off(struct server *s, const struct request *r) {
    static const struct op ops[] = {{"load", do_load, false},
                                    {"generate", do_generate, true},
                                    {"nll", do_nll, true},
                                    {"ifd", do_ifd, true},
                                    {"embed", do_embed, true}};
    const char *op = ts_json_str(ts_json_get(r->json, "op"), "");
    double begun = ts_now();
    ts_err err = {0};
    ts_status status = ts_fail(&err, TS_INVALID, "there is no operation \"%.40s\"", op);
    for (size_t i = 0; i < TS_COUNT(ops); i++)
        if (strcmp(op, ops[i].op) == 0) status = in_turn(s, &ops[i], r, &err);
    if (status != TS_OK) {
        err.code = status;
        send_error(s, r->id, &err);
        return;
    }
    ts_buf line = TS_BUF_INIT;
    ts_jw w = begin(&line, r->id, "done");
    ts_jw_knum(&w, "seconds", ts_now() - begun);
    send(s, &w);
}

/* Takes the first request off the queue; false when it is time to end. */
static bool next_request(struct server *s, struct request *out) {
    pthread_mutex_lock(&s->lock);
    s->current = 0;
    while (s->n_queue == 0 && !s->closing)
        pthread_cond_wait(&s->wake, &s->lock);
    bool got = s->n_queue > 0;
    if (got) {
        *out = s->queue[0];
        memmove(s->queue, s->queue + 1, --s->n_queue * sizeof *s->queue);
        ts_progress_set(&s->progress, 0, 0);
        ts_progress_what(&s->progress, NULL);
        atomic_store(&s->progress.cancel, false);
        s->current = out->id;
    }
    pthread_mutex_unlock(&s->lock);
    return got;
}

static void cancel(struct server *s, int64_t id) {
    ts_json *dropped = NULL;
    pthread_mutex_lock(&s->lock);
    if (s->current == id) ts_cancel(&s->progress);
    for (size_t i = 0; i < s->n_queue; i++)
        if (s->queue[i].id == id) {
            dropped = s->queue[i].json;
            memmove(s->queue + i, s->queue + i + 1, (--s->n_queue - i) * sizeof *s->queue);
            break;
        }
    pthread_mutex_unlock(&s->lock);
    if (!dropped) return;
    ts_json_free(dropped);
    ts_err err;
    ts_fail(&err, TS_CANCELLED, "stopped before it began");
    send_error(s, id, &err);
}

/* false: no more requests will come. */
static bool on_line(struct server *s, const char *line, size_t n) {
    ts_err err;
    ts_json *json = ts_json_parse(line, n, &err);
    const char *op = ts_json_str(ts_json_get(json, "op"), "");
    int64_t id = 0;
    bool numbered = ts_json_int(ts_json_get(json, "id"), 1, 9007199254740991, &id);
    if (!json || (!numbered && strcmp(op, "quit") != 0)) {
        if (json) ts_fail(&err, TS_INVALID, "a request needs an \"id\" above 0");
        send_error(s, id, &err);
        ts_json_free(json);
        return true;
    }
    if (strcmp(op, "cancel") == 0) {
        cancel(s, id);
        ts_json_free(json);
        return true;
    }
    bool quit = strcmp(op, "quit") == 0;
    pthread_mutex_lock(&s->lock);
    if (quit) {
        s->closing = true;
        ts_json_free(json);
    } else {
        struct request r = {json, id};
        TS_PUSH(s->queue, s->n_queue, s->cap_queue, r);
    }
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    return !quit;
}

struct told {
    int64_t done;
    const char *what;
};

static void tell_progress(struct server *s, struct told *last) {
    pthread_mutex_lock(&s->lock);
    int64_t id = s->current;
    pthread_mutex_unlock(&s->lock);
    int64_t done = atomic_load(&s->progress.done), total = atomic_load(&s->progress.total);
    const char *what = atomic_load(&s->progress.what);
    if (id == 0 || (done == last->done && what == last->what)) return;
    *last = (struct told){done, what};
    ts_buf line = TS_BUF_INIT;
    ts_jw w = begin(&line, id, "progress");
    ts_jw_kstr(&w, "what", what);
    ts_jw_kint(&w, "done", done);
    ts_jw_kint(&w, "total", total);
    send(s, &w);
}

static void *read_requests(void *arg) {
    struct server *s = arg;
    ts_lines l = {0};
    ts_err err;
    const char *line;
    size_t n;
    struct told last = {-1, NULL};
    bool more = true;
    while (more && !l.eof) {
        struct pollfd p = {s->in, POLLIN, 0};
        if (poll(&p, 1, PROGRESS_MS) == 0) {
            tell_progress(s, &last);
            continue;
        }
        if (ts_lines_fill(&l, s->in, &err) != TS_OK) break;
        while (more && ts_lines_next(&l, &line, &n))
            more = on_line(s, line, n);
    }
    if (more) _exit(0); /* nobody listens any more, and nothing here needs to be saved */
    ts_lines_release(&l);
    return NULL;
}

ts_status ts_serve(int in, int out, ts_err *err) {
    struct server s = {.in = in, .out = out};
    struct request r;
    pthread_t reader;
    ts_turns_open(&s.turns);
    pthread_mutex_init(&s.lock, NULL);
    pthread_mutex_init(&s.write_lock, NULL);
    pthread_cond_init(&s.wake, NULL);
    if (pthread_create(&reader, NULL, read_requests, &s) != 0)
        return ts_fail(err, TS_NO_MEMORY, "cannot start the thread that reads requests");
    while (next_request(&s, &r)) {
        work_off(&s, &r);
        ts_json_free(r.json);
    }
    pthread_join(reader, NULL);
    drop_model(&s);
    ts_turns_close(&s.turns);
    free(s.queue);
    return TS_OK;
}
