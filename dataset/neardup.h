/* Near duplicates among texts: every pair whose sets of word n-grams (shingles) have a Jaccard similarity of at least
 * the threshold is found, and no other.
 *
 * How: each text becomes a sorted set of 64-bit shingle keys, ordered by how rare the shingle is. Two sets of
 * similarity t or more must share a shingle among the first |x| - ceil(t |x|) + 1 of each (prefix filter; Chaudhuri,
 * Ganti, Kaushik 2006), and only sets of at least t |x| shingles come into question; positions in the prefixes bound
 * the overlap (PPJoin; Xiao et al. 2008). Candidates are verified on the whole sets. Equal sets are taken together
 * first, so a text that is there 10,000 times costs as much as one.
 *
 * Where that would compare too many (texts that share most of what they say, by the hundred thousand), candidates come
 * from MinHash signatures instead (dataset/join.h): still no false pair, a few missed, bounded work and memory. */
#ifndef TS_DATASET_NEARDUP_H
#define TS_DATASET_NEARDUP_H

#include "core/work/progress.h"
#include "dataset/store.h"

typedef enum ts_near_search { TS_NEAR_AUTO, TS_NEAR_JOIN, TS_NEAR_MINHASH } ts_near_search;
const char *ts_near_search_name(ts_near_search s); /* "auto", "join", "minhash" */

typedef struct ts_near_options {
    int shingle;         /* words per shingle; a text with fewer words is one shingle */
    double threshold;    /* above 0, up to 1 */
    double common_lines; /* lines in at least so many per cent of the texts are left out; 0: none are */
    bool exact;          /* compare folded whole texts instead (dataset/words.h) */
    bool keep_pairs;     /* list the pairs */
    ts_near_search search;
    size_t old; /* texts [0, old) were compared before: pairs of two of them are not sought */
} ts_near_options;
#define TS_NEAR_DEFAULTS                                                                                               \
    { .shingle = 2, .threshold = 0.7, .common_lines = 5 }

typedef struct ts_near_pair {
    uint32_t a, b; /* a < b */
    float similarity;
} ts_near_pair;

typedef struct ts_near {
    size_t n;              /* texts */
    uint32_t *group;       /* per text: 0 for none, else 1 up in the order of the groups' first texts */
    float *best;           /* per text: its highest similarity with another, 0 for none */
    float *weakest;        /* per group [1, groups]: lowest similarity of a verified pair in it */
    size_t groups;         /* connected components of verified pairs */
    uint64_t pairs;        /* verified pairs */
    size_t removable;      /* texts minus components */
    size_t largest;        /* texts of the largest group, 1 if there is none */
    size_t lines_skipped;  /* different lines that were left out for being common */
    ts_near_search search; /* how it was searched: join or minhash */
    double recall;       /* chance that a pair just at the threshold is among the pairs: 1, or by the bands of MinHash;
                                    NaN: not known, because candidates were left */
    uint64_t uncompared; /* MinHash: candidates that were left, because there were too many */
    size_t like_old;     /* with options.old: texts behind these that have a pair with one of them */
    ts_near_pair *list;  /* with keep_pairs: all pairs, by (a, b) */
} ts_near;

/* The same result whatever the number of threads. A text without words is like no other. TS_CANCELLED, TS_NO_MEMORY.
 * Uses the thread pool. */
TS_MUST_USE ts_status ts_near_find(const ts_text *texts, size_t n, const ts_near_options *options,
                                   ts_progress *progress, ts_near *out, ts_err *err);
/* The obvious way, every pair compared: for tests. */
TS_MUST_USE ts_status ts_near_find_slowly(const ts_text *texts, size_t n, const ts_near_options *options, ts_near *out,
                                          ts_err *err);
void ts_near_release(ts_near *out);

/* Jaccard similarity of two texts as ts_near_find sees it, without lines being left out. */
double ts_near_similarity(ts_text a, ts_text b, int shingle);

#endif
