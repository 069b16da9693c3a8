/* The choice of the next token. A row of logits is penalised as a whole; then only the candidates that are still in are
 * carried on, in the order of their ids (so that a draw means the same whatever was cut), and nothing is ever sorted:
 * top_k is a heap, top_p and typical_p a selection by weight. The same by sorting everything: tests/core/sampling_test.
 */
#include "core/engine/sampling.h"

#include "core/base/rand.h"
#include "core/engine/kernels.h"

#include <stdlib.h>
#include <string.h>

/* ---- penalties, on the whole row ---- */

static int by_id(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void count_penalty(const ts_sampling *s, size_t vocab, const int32_t *ids, size_t n, float *x) {
    int32_t *sorted = ts_malloc(TS_MAX(n, 1) * sizeof *sorted);
    if (n) memcpy(sorted, ids, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_id);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && sorted[end] == sorted[i];)
            end++;
        if ((size_t)sorted[i] < vocab)
            x[sorted[i]] -= (float)(s->frequency_penalty * (double)(end - i) + s->presence_penalty);
    }
    free(sorted);
}

/* Whatever followed the last n - 1 tokens before may not follow them now. */
static void forbid_ngrams(size_t n, size_t vocab, const ts_past *past, float *x) {
    if (n == 0 || past->n + 1 < n) return;
    const int32_t *last = past->ids + past->n - (n - 1);
    for (size_t i = 0; i + n <= past->n; i++)
        if (memcmp(past->ids + i, last, (n - 1) * sizeof *last) == 0 && (size_t)past->ids[i + n - 1] < vocab)
            x[past->ids[i + n - 1]] = -INFINITY;
}

static bool penalises(const ts_sampling *s) {
    return (s->repetition_penalty != 1 && s->repetition_penalty > 0) || s->presence_penalty != 0 ||
           s->frequency_penalty != 0 || s->no_repeat_ngram_size > 0;
}

static void penalise(const ts_sampling *s, const float *logits, size_t vocab, const ts_past *past, float *x) {
    size_t window = s->penalty_window > 0 ? TS_MIN((size_t)s->penalty_window, past->n) : past->n;
    size_t from = past->n - window, counted = s->order == TS_ORDER_HF ? TS_MAX(from, past->prompt) : from;
    if (s->repetition_penalty != 1 && s->repetition_penalty > 0)
        for (size_t i = from; i < past->n; i++) { /* from the raw logit: a second time changes nothing */
            size_t id = (size_t)past->ids[i];
            double raw = id < vocab ? (double)logits[id] : 0;
            if (id < vocab) x[id] = (float)(raw < 0 ? raw * s->repetition_penalty : raw / s->repetition_penalty);
        }
    if (s->presence_penalty != 0 || s->frequency_penalty != 0)
        count_penalty(s, vocab, past->ids + counted, past->n - counted, x);
    forbid_ngrams((size_t)s->no_repeat_ngram_size, vocab, past, x);
}

/* ---- candidates ---- */

typedef struct candidates {
    float *x; /* logits, none is -inf unless it is about to be dropped */
    float *p; /* after `share`: probabilities */
    int32_t *id;
    size_t n;
} candidates;

static void sift_down(float *heap, size_t n) {
    for (size_t i = 0, child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (heap[i] <= heap[child]) return;
        float swap = heap[i];
        heap[i] = heap[child];
        heap[child] = swap;
    }
}

/* The k-th largest of n values: a heap of the k largest so far, the smallest on top. 0 < k < n. */
static float kth_largest(const float *x, size_t n, size_t k) {
    float *heap = ts_malloc(k * sizeof *heap);
    for (size_t i = 0; i < k; i++)
        heap[i] = -INFINITY;
    for (size_t i = 0; i < n; i++)
        if (x[i] > heap[0]) {
            heap[0] = x[i];
            sift_down(heap, k);
        }
    float kth = heap[0];
    free(heap);
    return kth;
}

/* Those of the row that top_k leaves. */
static void gather(const ts_sampling *s, const float *x, size_t vocab, candidates *c) {
    size_t k = (size_t)s->top_k, above = 0, equal = 0;
    float kth = k > 0 && k < vocab ? kth_largest(x, vocab, k) : -INFINITY;
    for (size_t i = 0; i < vocab; i++) {
        above += x[i] > kth;
        equal += x[i] == kth;
    }
    if (kth == -INFINITY) equal = 0; /* forbidden ones */
    if (s->order == TS_ORDER_LLAMACPP && k > 0 && k < vocab) equal = TS_MIN(equal, k - TS_MIN(above, k));
    *c = (candidates){.x = ts_malloc(TS_MAX(above + equal, 1) * (2 * sizeof(float) + sizeof(int32_t)))};
    c->p = c->x + above + equal;
    c->id = (int32_t *)(void *)(c->p + above + equal);
    for (size_t i = 0; i < vocab && c->n < above + equal; i++) {
        if (!(x[i] > kth) && !(x[i] == kth && equal > 0)) continue;
        if (x[i] == kth) equal--, above++;
        c->x[c->n] = x[i];
        c->id[c->n++] = (int32_t)i;
    }
}

static void share(candidates *c) {
    const ts_kernels *kn = ts_kernels_get();
    float top = kn->max(c->x, c->n);
    double sum = 0;
    memcpy(c->p, c->x, c->n * sizeof *c->p);
    for (size_t i = 0; i < c->n; i += 1024)
        sum += (double)kn->exp_sum(c->p + i, TS_MIN(c->n - i, (size_t)1024), 1, top);
    kn->scale(c->p, c->n, (float)(1 / sum));
}

static void drop_forbidden(candidates *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->x[i] > -INFINITY) {
            c->x[n] = c->x[i];
            c->p[n] = c->p[i];
            c->id[n++] = c->id[i];
        }
    c->n = n;
}

static void warm(candidates *c, double temperature) {
    if (temperature != 1)
        for (size_t i = 0; i < c->n; i++)
            c->x[i] /= (float)temperature;
}

static void keep_min_p(candidates *c, double min_p) {
    if (!(min_p > 0)) return;
    double least = (double)ts_kernels_get()->max(c->x, c->n) + log(min_p);
    for (size_t i = 0; i < c->n; i++)
        if ((double)c->x[i] < least) c->x[i] = -INFINITY;
    drop_forbidden(c);
}

/* ---- selection by weight ---- */

typedef struct weighted {
    float key, p;
    uint32_t at; /* index in the candidates: ascending ids, so it decides between equal keys */
} weighted;

static bool before(const weighted *a, const weighted *b) {
    return a->key < b->key || (a->key == b->key && a->at < b->at);
}

static void swap(weighted *a, weighted *b) {
    weighted c = *a;
    *a = *b;
    *b = c;
}

/* Splits w[lo, hi) at one of its elements; returns where that one stands then. */
static size_t split(weighted *w, size_t lo, size_t hi) {
    size_t mid = lo + (hi - lo) / 2, out = lo;
    if (before(&w[mid], &w[lo])) swap(&w[mid], &w[lo]);
    if (before(&w[hi - 1], &w[lo])) swap(&w[hi - 1], &w[lo]);
    if (before(&w[mid], &w[hi - 1])) swap(&w[mid], &w[hi - 1]); /* the middle one of the three is last now */
    for (size_t i = lo; i + 1 < hi; i++)
        if (before(&w[i], &w[hi - 1])) swap(&w[i], &w[out++]);
    swap(&w[out], &w[hi - 1]);
    return out;
}

/* Moves to the front those that, in ascending order, have less than `mass` before them; returns how many, at least 1.
 */
static size_t front_by_mass(weighted *w, size_t n, double mass) {
    size_t lo = 0, hi = n;
    double gone = 0;
    while (lo < hi) {
        size_t at = split(w, lo, hi);
        double smaller = 0;
        for (size_t i = lo; i < at; i++)
            smaller += (double)w[i].p;
        if (gone + smaller >= mass) {
            hi = at;
        } else {
            gone += smaller + (double)w[at].p;
            lo = at + 1;
        }
    }
    return TS_MAX(lo, 1);
}

/* The list of keys is freed; candidates that are not among the first `kept` go. */
static void keep_front(candidates *c, weighted *w, size_t kept) {
    float *x = ts_malloc(c->n * sizeof *x);
    for (size_t i = 0; i < c->n; i++)
        x[i] = -INFINITY;
    for (size_t i = 0; i < kept; i++)
        x[w[i].at] = c->x[w[i].at];
    memcpy(c->x, x, c->n * sizeof *x);
    free(x);
    free(w);
    drop_forbidden(c);
}

/* transformers drops from below while the sum is <= 1 - p, llama.cpp keeps the shortest list that reaches p: both keep
 * whoever has less than p above it. Who has at most (1 - p) / n is not among them. */
static void keep_top_p(candidates *c, double top_p) {
    if (!(top_p < 1)) return;
    share(c);
    weighted *w = ts_malloc(c->n * sizeof *w);
    float sure = (float)((1 - top_p) / (double)c->n) * 0.999f;
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->p[i] > sure) w[n++] = (weighted){-c->p[i], c->p[i], (uint32_t)i};
    keep_front(c, w, front_by_mass(w, n, top_p));
}

/* Those whose surprise is nearest to the expected one (Meister et al. 2022). In the order hf equal ones stay. */
static void keep_typical(candidates *c, double typical_p, bool ties) {
    if (!(typical_p > 0 && typical_p < 1)) return;
    share(c);
    double entropy = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->p[i] > 0) entropy -= (double)c->p[i] * log((double)c->p[i]);
    weighted *w = ts_malloc(c->n * sizeof *w);
    for (size_t i = 0; i < c->n; i++)
        w[i] = (weighted){(float)fabs(-log((double)c->p[i]) - entropy), c->p[i], (uint32_t)i};
    size_t kept = front_by_mass(w, c->n, typical_p);
    float last = w[0].key;
    for (size_t i = 1; i < kept; i++)
        last = fmaxf(last, w[i].key);
    for (size_t i = kept; ties && i < c->n; i++)
        if (w[i].key == last) swap(&w[i], &w[kept++]);
    keep_front(c, w, kept);
}

/* What is left of a row after all cuts, with its probabilities. */
static void candidates_of(const ts_sampling *s, const float *x, size_t vocab, candidates *c) {
    gather(s, x, vocab, c);
    if (s->order == TS_ORDER_HF) {
        warm(c, s->temperature);
        keep_top_p(c, s->top_p);
        keep_min_p(c, s->min_p);
        keep_typical(c, s->typical_p, true);
    } else {
        keep_typical(c, s->typical_p, false);
        keep_top_p(c, s->top_p);
        keep_min_p(c, s->min_p);
        warm(c, s->temperature);
    }
    share(c);
}

/* ---- the choice ---- */

/* The first of the largest; 0 when there is none (numbers that are not finite). */
static size_t argmax(const float *x, size_t n) {
    float top = ts_kernels_get()->max(x, n);
    for (size_t i = 0; i < n; i++)
        if (x[i] == top) return i;
    return 0;
}

/* The row after the penalties: `logits` itself or a copy in *own, which the caller frees. */
static const float *penalised(const ts_sampling *s, const float *logits, size_t vocab, const ts_past *past,
                              float **own) {
    *own = NULL;
    if (!penalises(s)) return logits;
    *own = ts_malloc(vocab * sizeof **own);
    memcpy(*own, logits, vocab * sizeof **own);
    penalise(s, logits, vocab, past, *own);
    return *own;
}

void ts_sampling_probs(const ts_sampling *s, const float *logits, size_t vocab, const ts_past *past, float *probs) {
    float *own;
    const float *x = penalised(s, logits, vocab, past, &own);
    memset(probs, 0, vocab * sizeof *probs);
    if (s->temperature > 0) {
        candidates c;
        candidates_of(s, x, vocab, &c);
        for (size_t i = 0; i < c.n; i++)
            probs[c.id[i]] = c.p[i];
        free(c.x);
    } else {
        probs[argmax(x, vocab)] = 1;
    }
    free(own);
}

static int32_t draw(const ts_sampling *s, const float *x, size_t vocab, uint64_t bits) {
    candidates c;
    candidates_of(s, x, vocab, &c);
    double total = 0, sum = 0, want = (double)(bits >> 11) * 0x1p-53;
    for (size_t i = 0; i < c.n; i++)
        total += (double)c.p[i];
    int32_t id = c.n ? c.id[argmax(c.p, c.n)] : 0; /* if rounding leaves nobody */
    for (size_t i = 0; i < c.n; i++)
        if ((sum += (double)c.p[i]) > want * total) {
            id = c.id[i];
            break;
        }
    free(c.x);
    return id;
}

int32_t ts_sampling_next(const ts_sampling *s, const float *logits, size_t vocab, const ts_past *past, uint64_t stream,
                         size_t position, float *margin) {
    float *own;
    const float *x = penalised(s, logits, vocab, past, &own);
    uint64_t bits = ts_rand_mix(ts_rand_mix((uint64_t)s->seed, stream), position);
    int32_t id = s->temperature > 0 ? draw(s, x, vocab, bits) : (int32_t)argmax(x, vocab);
    if (margin) {
        size_t best = argmax(logits, vocab);
        float first = best > 0 ? ts_kernels_get()->max(logits, best) : -INFINITY;
        float rest = ts_kernels_get()->max(logits + best + 1, vocab - best - 1);
        *margin = logits[best] - TS_MAX(first, rest);
    }
    free(own);
    return id;
}
