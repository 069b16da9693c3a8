/* Inside of the near-duplicate search: the sets that are compared, and what becomes of the pairs that are found. */
#ifndef TS_DATASET_JOIN_H
#define TS_DATASET_JOIN_H

#include "dataset/shingle.h"

#include <pthread.h>

/* Rounding must not lose a pair that is exactly at the threshold. */
#define TS_JOIN_SLACK 1e-9

/* Equal sets taken together. */
typedef struct ts_unit {
    const uint64_t *keys;
    uint32_t n, first, copies; /* first: the text that stands for it; next copies hang on `next_copy` */
    uint32_t fresh;            /* of its copies: how many are not of the old texts */
} ts_unit;

typedef struct ts_found {
    uint32_t x, y; /* units */
    float similarity;
} ts_found;

/* One thread's. */
typedef struct ts_join_worker {
    uint32_t *overlap; /* per unit, zero between probes */
    uint32_t *touched;
    size_t n_touched, cap_touched;
    ts_found *found;
    size_t n_found, cap_found;
    uint32_t *together; /* MinHash: union-find over the members of one bucket */
    size_t cap_together;
    uint64_t uncompared;
} ts_join_worker;

typedef struct ts_join {
    const ts_sets *sets;
    const ts_near_options *o;
    ts_progress *progress;
    ts_unit *units;      /* by rising size */
    size_t n;            /* units */
    uint32_t *next_copy; /* per text: the next one with an equal set, 0 at the end (text 0 is never next) */
    /* prefixes: bucket b holds postings[bucket[b] .. bucket[b + 1]) */
    struct posting *postings;
    size_t *bucket, buckets;
    ts_join_worker *workers;
    ts_near *out;
    bool *like_old; /* per text, with o->old; NULL without */
    /* results; lock guards all below */
    pthread_mutex_t lock;
    uint32_t *parent;  /* union-find over texts */
    float *best, *low; /* low: weakest pair at a root */
    uint64_t pairs;
    ts_near_pair *list;
    size_t n_list, cap_list, done;
} ts_join;

/* Least number of shared keys that two sets of x and y keys need for similarity t. */
size_t ts_join_least(double t, size_t x, size_t y);
/* Were both compared before? Then nothing is to be found. */
static inline bool ts_join_both_old(const ts_unit *x, const ts_unit *y) {
    return !x->fresh && !y->fresh;
}
/* Verifies a pair; one that is similar enough is added to w->found. */
void ts_join_verify(const ts_join *j, ts_join_worker *w, size_t x, size_t y);
/* Takes all copies of both units as pairs, once per pair of units. Under the lock, or with one thread. */
void ts_join_take(ts_join *j, const ts_found *f);
uint32_t ts_join_root(uint32_t *parent, uint32_t i);

/* ---- minhash.c ---- */

/* Finds pairs by MinHash signatures and verifies them: for sets where comparing all candidates of the prefix filter
 * would take too long. A signature is cut into bands of r values; two sets of similarity t agree on a whole band, and
 * meet, with chance 1 - (1 - t^r)^b (Broder 1997; Indyk, Motwani 1998). r and b are chosen so that this is at least
 * .998 at the threshold; out->recall says it. Work per band is bounded: where more sets agree than can be compared,
 * each is compared with those nearest in size, sets of one group are not compared again, and out->uncompared counts
 * what was left. The result does not depend on the number of threads. */
void ts_join_minhash(ts_join *j);

#endif
