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

/* Makes the sets on all threads. Keys sort rare shingles first: how rare the shingle is in the upper 6 bits (0: it
 * occurs once in all texts), its hash in the lower 58 (100 million different shingles: the chance that two share a key
 * is 2 % in all). */
enum { TS_KEY_BITS = 58, TS_KEY_CLASSES = 64 };
TS_MUST_USE ts_status ts_sets_make(ts_sets *out, const ts_text *texts, size_t n, const ts_near_options *options,
                                   ts_progress *progress, ts_err *err);
void ts_sets_release(ts_sets *s);

#endif
