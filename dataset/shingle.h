/* Inside of the near-duplicate search: texts as sorted sets of shingle keys. */
#ifndef TS_DATASET_SHINGLE_H
#define TS_DATASET_SHINGLE_H

#include "dataset/neardup.h"

typedef struct ts_sets {
    uint64_t *keys; /* of all texts, one after another */
    size_t *start;  /* n + 1: set i is keys[start[i] .. start[i + 1]), rising, no key twice */
    size_t n;
    size_t lines_skipped;
} ts_sets;

/* Makes the sets on all threads. Keys sort rare shingles first: how often the shingle occurs in the upper 20 bits, its
 * hash in the lower 44 (among 10 million different shingles, three pairs will share a key). */
TS_MUST_USE ts_status ts_sets_make(ts_sets *out, const ts_text *texts, size_t n, const ts_near_options *options,
                                   ts_progress *progress, ts_err *err);
void ts_sets_release(ts_sets *s);

#endif
