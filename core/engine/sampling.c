/* From a row of logits to probabilities, in the order of transformers' logits processors
 * (generation/logits_process.py): repetition penalty, temperature, top_k, top_p, min_p, softmax. A token that is out
 * has the logit -inf. */
#include "core/engine/net_impl.h"

#include "core/base/rand.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Once per distinct token of prompt and answer: each takes the original logit, so a second time changes nothing. */
static void penalise(const float *logits, size_t vocab, const int32_t *seen, size_t n_seen, double penalty, float *x) {
    for (size_t i = 0; i < n_seen; i++) {
        size_t id = (size_t)seen[i];
        if (id >= vocab) continue;
        x[id] = logits[id] < 0 ? logits[id] * (float)penalty : logits[id] / (float)penalty;
    }
}

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

static void keep_top_k(float *x, size_t vocab, size_t k) {
    if (k == 0 || k >= vocab) return;
    float kth = kth_largest(x, vocab, k);
    for (size_t i = 0; i < vocab; i++)
        if (x[i] < kth) x[i] = -INFINITY; /* equal ones stay */
}

/* Into probs; their sum before division. */
static double softmax(const float *x, size_t vocab, float *probs) {
    const ts_kernels *kn = ts_kernels_get();
    float top = kn->max(x, vocab);
    double sum = 0;
    if (probs != x) memcpy(probs, x, vocab * sizeof *probs);
    for (size_t i = 0; i < vocab; i += 1024)
        sum += kn->exp_sum(probs + i, TS_MIN(vocab - i, (size_t)1024), 1, top);
    kn->scale(probs, vocab, (float)(1 / sum));
    return sum;
}

typedef struct candidate {
    float p;
    uint32_t id;
} candidate;

static int by_probability(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

/* Ascending, drops while the sum is <= 1 - top_p; the largest always stays. Whoever has at most (1 - top_p) / vocab is
 * dropped for sure, so only the others are sorted. */
static void keep_top_p(float *x, size_t vocab, double top_p, float *probs) {
    if (!(top_p < 1)) return;
    softmax(x, vocab, probs);
    candidate *rest = ts_malloc(vocab * sizeof *rest);
    size_t n = 0;
    double dropped = 0, sure = (1 - top_p) / (double)vocab;
    for (size_t i = 0; i < vocab; i++) {
        if (probs[i] > sure) {
            rest[n++] = (candidate){probs[i], (uint32_t)i};
        } else {
            dropped += probs[i];
            x[i] = -INFINITY;
        }
    }
    qsort(rest, n, sizeof *rest, by_probability);
    for (size_t i = 0; i + 1 < n; i++) {
        dropped += rest[i].p;
        if (dropped > 1 - top_p) break;
        x[rest[i].id] = -INFINITY;
    }
    free(rest);
}

static void keep_min_p(float *x, size_t vocab, double min_p, float *probs) {
    if (!(min_p > 0)) return;
    softmax(x, vocab, probs);
    float least = (float)min_p * ts_kernels_get()->max(probs, vocab);
    for (size_t i = 0; i < vocab; i++)
        if (probs[i] < least) x[i] = -INFINITY;
}

/* The logits after the penalty into x. */
static void start(const ts_sampling *s, const float *logits, size_t vocab, const int32_t *seen, size_t n_seen,
                  float *x) {
    memcpy(x, logits, vocab * sizeof *x);
    if (s->repetition_penalty != 1 && s->repetition_penalty > 0)
        penalise(logits, vocab, seen, n_seen, s->repetition_penalty, x);
}

static size_t argmax(const float *x, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

void ts_sampling_probs(const ts_sampling *s, const float *logits, size_t vocab, const int32_t *seen, size_t n_seen,
                       float *probs) {
    float *x = ts_malloc(vocab * sizeof *x);
    start(s, logits, vocab, seen, n_seen, x);
    if (s->temperature > 0) {
        if (s->temperature != 1)
            for (size_t i = 0; i < vocab; i++)
                x[i] /= (float)s->temperature;
        keep_top_k(x, vocab, s->top_k);
        keep_top_p(x, vocab, s->top_p, probs);
        keep_min_p(x, vocab, s->min_p, probs);
        softmax(x, vocab, probs);
    } else {
        memset(probs, 0, vocab * sizeof *probs);
        probs[argmax(x, vocab)] = 1;
    }
    free(x);
}

int32_t ts_sampling_next(const ts_sampling *s, const float *logits, size_t vocab, const int32_t *seen, size_t n_seen,
                         uint64_t stream, size_t position, float *margin) {
    float *x = ts_malloc(vocab * sizeof *x);
    size_t id;
    if (s->temperature > 0) {
        ts_sampling_probs(s, logits, vocab, seen, n_seen, x);
        double total = 0, sum = 0;
        for (size_t i = 0; i < vocab; i++)
            total += (double)x[i];
        uint64_t bits = ts_rand_mix(ts_rand_mix(s->seed, stream), position);
        double want = (double)(bits >> 11) * 0x1p-53 * total;
        id = argmax(x, vocab); /* if rounding leaves nobody */
        for (size_t i = 0; i < vocab; i++)
            if ((sum += (double)x[i]) > want) {
                id = i;
                break;
            }
    } else {
        start(s, logits, vocab, seen, n_seen, x);
        id = argmax(x, vocab);
    }
    if (margin) {
        size_t best = argmax(logits, vocab);
        float first = best > 0 ? ts_kernels_get()->max(logits, best) : -INFINITY;
        float rest = ts_kernels_get()->max(logits + best + 1, vocab - best - 1);
        *margin = logits[best] - TS_MAX(first, rest);
    }
    free(x);
    return (int32_t)id;
}
