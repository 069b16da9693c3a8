#include "dataset/tfidf.h"

#include "core/base/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void ts_tfidf_init(ts_tfidf *t) {
    *t = (ts_tfidf){0};
    t->df = ts_calloc(TS_TFIDF_DF_SLOTS, sizeof *t->df);
    TS_PUSH(t->start, t->n, t->cap_start, 0);
    t->n = 0;
}

void ts_tfidf_release(ts_tfidf *t) {
    free(t->words);
    free(t->start);
    free(t->df);
    free(t->hashes);
    ts_words_release(&t->scratch);
    *t = (ts_tfidf){0};
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void ts_tfidf_add(ts_tfidf *t, const char *s, size_t n) {
    size_t words = 0, first = t->n_words;
    ts_words_begin(&t->scratch, s, n);
    while (ts_words_next(&t->scratch))
        TS_PUSH(t->hashes, words, t->cap_hashes, ts_hash64(t->scratch.word.data, t->scratch.word.len, 11) >> 32);
    if (words) qsort(t->hashes, words, sizeof *t->hashes, by_value);
    for (size_t i = 0; i < words; i++) {
        uint32_t hash = (uint32_t)t->hashes[i];
        if (t->n_words > first && t->words[t->n_words - 1].hash == hash) {
            t->words[t->n_words - 1].count++;
        } else {
            TS_PUSH(t->words, t->n_words, t->cap_words, ((struct ts_tfidf_word){hash, 1}));
            t->df[hash % TS_TFIDF_DF_SLOTS]++;
        }
    }
    t->n++;
    TS_GROW(t->start, t->cap_start, t->n + 1);
    t->start[t->n] = t->n_words;
}

void ts_tfidf_vector(const ts_tfidf *t, size_t i, float out[TS_TFIDF_DIMS]) {
    double square = 0;
    memset(out, 0, TS_TFIDF_DIMS * sizeof *out);
    for (size_t k = t->start[i]; k < t->start[i + 1]; k++) {
        const struct ts_tfidf_word *w = &t->words[k];
        double idf = log((1 + (double)t->n) / (double)t->df[w->hash % TS_TFIDF_DF_SLOTS]);
        double value = (1 + log((double)w->count)) * idf;
        uint64_t mixed = w->hash * 0x9e3779b97f4a7c15u; /* its place must not follow from the df slot */
        out[mixed >> 40 & (TS_TFIDF_DIMS - 1)] += (float)(mixed >> 63 ? -value : value);
    }
    for (size_t d = 0; d < TS_TFIDF_DIMS; d++)
        square += (double)out[d] * (double)out[d];
    float scale = square > 0 ? (float)(1 / sqrt(square)) : 0;
    for (size_t d = 0; d < TS_TFIDF_DIMS; d++)
        out[d] *= scale;
}
