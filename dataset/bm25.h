/* Texts ranked by the words they share with a question: Okapi BM25 (Robertson and Zaragoza 2009), k1 1.2, b 0.75, idf
 * ln(1 + (N - df + .5) / (df + .5)); words as everywhere (dataset/words.h). One thread while texts are added; searches
 * of a finished index need a scratch of their own each. */
#ifndef TS_DATASET_BM25_H
#define TS_DATASET_BM25_H

#include "dataset/words.h"

typedef struct ts_bm25 ts_bm25;
ts_bm25 *ts_bm25_new(void);
void ts_bm25_free(ts_bm25 *b);
/* Adds a text, valid UTF-8, which is copied; it gets the next number. `from` (copied) says where it is from. */
void ts_bm25_add(ts_bm25 *b, const char *s, size_t n, const char *from);
/* The text in passages of at most about `words` words, cut at empty lines, else at ends of lines or sentences, else
 * anywhere; "from #2" for the second. */
void ts_bm25_add_passages(ts_bm25 *b, const char *s, size_t n, const char *from, size_t words);
size_t ts_bm25_count(const ts_bm25 *b);
const char *ts_bm25_text(const ts_bm25 *b, size_t i);
const char *ts_bm25_from(const ts_bm25 *b, size_t i);

typedef struct ts_hit {
    size_t text;
    double score;
} ts_hit;
/* The best `most` texts with a score above 0, best first, equal ones in the order they were added; returns how many. */
size_t ts_bm25_search(ts_bm25 *b, const char *s, size_t n, ts_hit *out, size_t most);

#endif
