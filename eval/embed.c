#include "eval/embed.h"

#include "core/base/json.h"
#include "eval/engine_client.h"

#include <stdlib.h>
#include <string.h>

/* Texts of one request: short prompts, about half a micro-batch, after which a stop is heard. */
enum { AT_ONCE = 32, MAX_DIMS = 1 << 16 };

struct embedding {
    size_t first, n, texts; /* the open request's texts; all */
    float *out;             /* made when the first vector says how long it is */
    size_t dims;
    bool odd; /* a vector came that is no like the others */
    ts_progress *progress;
};

static void on_event(void *ctx, const ts_engine_event *e) {
    struct embedding *m = ctx;
    size_t i = 0;
    if (e->kind == TS_ENGINE_PROGRESS) /* of the piece, or of nothing yet; ours counts all */
        ts_progress_set(m->progress, (int64_t)m->first + (e->total > 0 ? (int64_t)m->n * e->done / e->total : 0),
                        (int64_t)m->texts);
    if (e->kind != TS_ENGINE_EMBEDDING || e->prompt >= m->n) return;
    size_t dims = ts_json_count(e->values);
    if (!m->out && dims > 0 && dims <= MAX_DIMS) {
        m->dims = dims;
        m->out = ts_try_alloc(m->texts * dims, sizeof *m->out);
    }
    m->odd |= dims != m->dims || !m->out;
    if (m->odd) return;
    for (const ts_json *v = ts_json_child(e->values); v; v = ts_json_next(v))
        m->out[(m->first + e->prompt) * dims + i++] = (float)ts_json_num(v, 0);
}

static ts_status embed_piece(struct embedding *m, ts_engine *engine, const char *model, const ts_text *texts,
                             ts_err *err) {
    ts_buf items = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&items);
    ts_jw_arr(&w);
    for (size_t i = 0; i < m->n; i++) {
        const ts_text *t = &texts[m->first + i];
        ts_jw_obj(&w);
        ts_jw_key(&w, "text");
        ts_jw_strn(&w, t->s ? t->s : "", t->n);
        ts_jw_end_obj(&w);
    }
    ts_jw_end_arr(&w);
    ts_ask ask = TS_ASK_DEFAULTS;
    ask.model = model;
    ask.items = items.data;
    int64_t request = ts_engine_embed(engine, &ask, err);
    ts_status status = request ? ts_engine_wait(engine, request, m->progress, err) : err ? err->code : TS_IO;
    ts_buf_release(&items);
    return status;
}

ts_status ts_embed_texts(void *ctx, const ts_text *texts, size_t n, float **out, size_t *dims, ts_progress *progress,
                         ts_err *err) {
    const ts_embedder *e = ctx;
    struct embedding m = {.texts = n, .progress = progress};
    ts_engine *engine = ts_engine_new(e->log, on_event, &m);
    ts_status status = TS_OK;
    ts_progress_what(progress, "reading the texts with the model");
    for (m.first = 0; m.first < n && status == TS_OK; m.first += AT_ONCE) {
        m.n = TS_MIN((size_t)AT_ONCE, n - m.first);
        status = embed_piece(&m, engine, e->model, texts, err);
        if (status == TS_OK && m.odd) status = ts_fail(err, TS_NO_MEMORY, "no memory for the vectors of %zu rows", n);
        ts_progress_set(progress, (int64_t)(m.first + m.n), (int64_t)n);
        if (status == TS_OK && ts_cancelled(progress)) status = ts_fail(err, TS_CANCELLED, "stopped");
    }
    ts_engine_free(engine);
    if (status != TS_OK || !m.out) {
        free(m.out);
        m.out = NULL;
    }
    if (status == TS_OK && !m.out) { /* no row has a text */
        m.dims = 1;
        m.out = ts_calloc(n + 1, sizeof *m.out);
    }
    *out = m.out;
    *dims = m.dims;
    return status;
}
