#include "core/engine/ifd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where a turn's tokens lie in its row. */
struct turn {
    size_t row, first, n;
};

struct work {
    struct turn *turns;
    size_t n_turns, cap_turns;
    ts_ids header;
    ts_seq *seqs; /* rows, then turns alone */
    size_t n_seqs;
    const ts_adapter **adapters;
    double *sums;
    size_t *counts;
    float *nll;
    int32_t *ids, *labels; /* of the turns alone */
};

/* What the template writes before an answer: the rendering with a generation prompt behind the one without. */
static ts_status answer_header(ts_encoder *e, ts_ids *out, ts_err *err) {
    static const char user[] = "[{\"role\":\"user\",\"content\":\"x\"}]";
    ts_rendered without = {0}, with = {0};
    ts_json *messages = ts_json_parse(user, sizeof user - 1, err);
    if (!messages) return TS_FORMAT;
    ts_status status = TS_OK;
    TS_GOTO(ts_encoder_chat(e, err));
    TS_GOTO(ts_chat_render(e->chat, messages, false, NULL, &without, err));
    TS_GOTO(ts_chat_render(e->chat, messages, true, NULL, &with, err));
    size_t n = without.text.len;
    if (with.text.len > n && memcmp(with.text.data, ts_buf_str(&without.text), n) == 0)
        ts_tokenizer_encode(e->tokenizer, with.text.data + n, with.text.len - n, false, out, NULL);
    int32_t bos = ts_tokenizer_bos(e->tokenizer);
    if (out->n == 0 && bos >= 0) TS_PUSH(out->items, out->n, out->cap, bos);
out:
    ts_json_free(messages);
    ts_rendered_release(&without);
    ts_rendered_release(&with);
    return status;
}

/* Stretches of supervised tokens, without the one that ends the turn. */
static void find_turns(struct work *w, const ts_example *x, size_t row, int32_t end_of_turn) {
    for (size_t i = 0; i < x->labels.n;) {
        size_t first = i;
        while (i < x->labels.n && x->labels.items[i] != TS_NO_LABEL)
            i++;
        struct turn t = {row, first, i - first};
        if (t.n && x->labels.items[i - 1] == end_of_turn) t.n--;
        bool first_unseen = w->header.n == 0 || first == 0;
        if (t.n && first_unseen) t.first++, t.n--;
        if (t.n) TS_PUSH(w->turns, w->n_turns, w->cap_turns, t);
        i += i == first;
    }
}

static void lay_out(struct work *w, const ts_example *rows, size_t n, bool alone) {
    size_t tokens = 0, lead = TS_MAX(w->header.n, (size_t)1), at = 0;
    for (size_t i = 0; alone && i < w->n_turns; i++)
        tokens += lead + w->turns[i].n;
    w->n_seqs = n + (alone ? w->n_turns : 0);
    w->seqs = ts_calloc(w->n_seqs, sizeof *w->seqs);
    w->ids = ts_calloc(tokens, sizeof *w->ids);
    w->labels = ts_calloc(tokens, sizeof *w->labels);
    for (size_t i = 0; i < n; i++)
        w->seqs[i] = (ts_seq){rows[i].ids.items, rows[i].labels.items, rows[i].ids.n, NULL};
    for (size_t i = 0; alone && i < w->n_turns; i++) {
        const struct turn *t = &w->turns[i];
        const int32_t *answer = rows[t->row].ids.items + t->first;
        for (size_t k = 0; k < lead; k++) {
            w->ids[at + k] = w->header.n ? w->header.items[k] : answer[-1];
            w->labels[at + k] = TS_NO_LABEL;
        }
        memcpy(w->ids + at + lead, answer, t->n * sizeof *answer);
        memcpy(w->labels + at + lead, answer, t->n * sizeof *answer);
        w->seqs[n + i] = (ts_seq){w->ids + at, w->labels + at, lead + t->n, NULL};
        at += lead + t->n;
    }
}

static ts_status calculate(struct work *w, ts_net *net, const ts_adapter *adapter, ts_progress *progress, ts_err *err) {
    size_t tokens = 0;
    for (size_t i = 0; i < w->n_seqs; i++)
        tokens += w->seqs[i].n;
    w->adapters = ts_calloc(w->n_seqs, sizeof *w->adapters);
    w->sums = ts_calloc(w->n_seqs, sizeof *w->sums);
    w->counts = ts_calloc(w->n_seqs, sizeof *w->counts);
    w->nll = ts_calloc(tokens, sizeof *w->nll);
    for (size_t i = 0; i < w->n_seqs; i++)
        w->adapters[i] = adapter;
    return ts_net_nll_each(net, w->adapters, w->seqs, w->n_seqs, w->sums, w->counts, w->nll, progress, err);
}

static void collect(const struct work *w, size_t n, bool alone, ts_ifd *out) {
    size_t start = 0, row = 0;
    for (size_t i = 0; i < w->n_turns; i++) {
        const struct turn *t = &w->turns[i];
        ts_ifd_turn x = {.alone = alone ? w->sums[n + i] : NAN, .n = t->n};
        while (row < t->row)
            start += w->seqs[row++].n;
        for (size_t k = 0; k < t->n; k++)
            x.given += (double)w->nll[start + t->first + k];
        ts_ifd *o = &out[t->row];
        o->turns = ts_realloc(o->turns, (o->n + 1) * sizeof *o->turns);
        o->turns[o->n++] = x;
    }
}

ts_status ts_ifd_rows(ts_net *net, ts_encoder *e, const ts_adapter *adapter, const ts_example *rows, size_t n,
                      bool alone, ts_ifd *out, ts_progress *progress, ts_err *err) {
    struct work w = {0};
    ts_status status = TS_OK;
    memset(out, 0, n * sizeof *out);
    TS_GOTO(answer_header(e, &w.header, err));
    for (size_t i = 0; i < n; i++)
        find_turns(&w, &rows[i], i, ts_chat_end_of_turn(e->chat));
    lay_out(&w, rows, n, alone);
    TS_GOTO(calculate(&w, net, adapter, progress, err));
    collect(&w, n, alone, out);
out:
    ts_ids_release(&w.header);
    free(w.turns);
    free(w.seqs);
    free(w.adapters);
    free(w.sums);
    free(w.counts);
    free(w.nll);
    free(w.ids);
    free(w.labels);
    return status;
}

void ts_ifd_release(ts_ifd *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        free(x[i].turns);
    memset(x, 0, n * sizeof *x);
}
