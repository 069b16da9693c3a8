/* Near duplicates among vectors: all pairs with a cosine of at least the threshold, after the mean of all vectors was
 * taken away (a language model's vectors lie in one narrow cone: uncentred, all are alike). Every pair is compared, in
 * blocks, as matrix products. */
#ifndef TS_DATASET_VECNEAR_H
#define TS_DATASET_VECNEAR_H

#include "dataset/neardup.h"

enum { TS_VECNEAR_MOST = 100000 }; /* vectors: 5 billion pairs */

/* vectors [n, dims] are changed: centred, scaled to length 1. One of zeros (there was no text) is like no other. Of the
 * options threshold and keep_pairs count. TS_LIMIT, TS_CANCELLED. */
TS_MUST_USE ts_status ts_near_of_vectors(float *vectors, size_t n, size_t dims, const ts_near_options *options,
                                         ts_progress *progress, ts_near *out, ts_err *err);

#endif
