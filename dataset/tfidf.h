/* Texts as TF-IDF vectors. A word counts (1 + log tf) * log((1 + n) / df); the sparse vector is hashed with signs into
 * TS_TFIDF_DIMS numbers (Weinberger et al. 2009) and scaled to length 1, so that cosine similarities are matrix
 * products. They are lexical: they know the same words, not the same meaning. Hashing moves a cosine by about
 * 1 / sqrt(dims), .03. */
#ifndef TS_DATASET_TFIDF_H
#define TS_DATASET_TFIDF_H

#include "dataset/words.h"

enum { TS_TFIDF_DIMS = 1024, TS_TFIDF_DF_SLOTS = 1 << 18 };

typedef struct ts_tfidf {
    struct ts_tfidf_word {
        uint32_t hash, count;
    } * words; /* of all texts, one after another; each word of a text once */
    size_t n_words, cap_words;
    size_t *start; /* text i has words[start[i] .. start[i + 1]) */
    size_t n, cap_start;
    uint32_t *df; /* in how many texts a word occurs, by hash */
    ts_words scratch;
    uint64_t *hashes; /* of the text being added */
    size_t cap_hashes;
} ts_tfidf;

void ts_tfidf_init(ts_tfidf *t);
void ts_tfidf_release(ts_tfidf *t);
/* Adds a text, valid UTF-8; it gets the next number. */
void ts_tfidf_add(ts_tfidf *t, const char *s, size_t n);
/* The vector of text i, with what all texts added so far say about its words; all zero for a text without words. */
void ts_tfidf_vector(const ts_tfidf *t, size_t i, float out[TS_TFIDF_DIMS]);

#endif
