#include "core/engine/embed.h"

#include "core/engine/net_impl.h"

#include <string.h>

static size_t length_of(const ts_ids *text) {
    return TS_MIN(text->n, (size_t)TS_EMBED_TOKENS);
}

static ts_status check_text(const ts_net *n, const ts_ids *text, size_t number, ts_err *err) {
    for (size_t i = 0; i < length_of(text); i++)
        if (text->items[i] < 0 || (size_t)text->items[i] >= n->m->config.vocab)
            return ts_fail(err, TS_INVALID, "text %zu has token id %ld, the model has ids 0 to %zu", number + 1,
                           (long)text->items[i], n->m->config.vocab - 1);
    return TS_OK;
}

static void mean_of(const float *rows, size_t n, size_t h, float *out) {
    memset(out, 0, h * sizeof *out);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < h; k++)
            out[k] += rows[i * h + k] / (float)n;
}

/* Texts [first, last) through the layers. */
static ts_status embed_some(ts_net *n, const ts_ids *texts, size_t first, size_t last, float *out, ts_err *err) {
    ts_pass p = {.net = n, .batch = &n->batch};
    size_t rows = 0;
    ts_batch_reset(&n->batch);
    for (size_t i = first; i < last; i++) {
        if (length_of(&texts[i])) ts_batch_run(&n->batch, texts[i].items, length_of(&texts[i]), -1);
        rows += length_of(&texts[i]);
    }
    if (rows) TS_TRY(ts_forward(&p, err));
    if (rows) ts_norm_rows(n, n->bufs.layer[n->m->config.layers].x, n->m->final_norm, rows, n->bufs.norm);
    const float *at = n->bufs.norm;
    for (size_t i = first; i < last; i++) {
        mean_of(at, length_of(&texts[i]), n->h, out + i * n->h);
        at += length_of(&texts[i]) * n->h;
    }
    return TS_OK;
}

ts_status ts_net_embed(ts_net *n, const ts_ids *texts, size_t n_texts, float *out, ts_progress *progress, ts_err *err) {
    for (size_t i = 0; i < n_texts; i++)
        TS_TRY(check_text(n, &texts[i], i, err));
    for (size_t first = 0; first < n_texts;) {
        size_t last = first, rows = 0;
        while (last < n_texts && (last == first || rows + length_of(&texts[last]) <= n->micro_tokens))
            rows += length_of(&texts[last++]);
        if (ts_cancelled(progress)) return ts_fail(err, TS_CANCELLED, "stopped");
        TS_TRY(embed_some(n, texts, first, last, out, err));
        ts_progress_set(progress, (int64_t)last, (int64_t)n_texts);
        first = last;
    }
    return TS_OK;
}
