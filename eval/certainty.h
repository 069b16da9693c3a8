/* How sure a measured number is: intervals and a test. Pure; any thread. All intervals are of 95 %. */
#ifndef TS_EVAL_CERTAINTY_H
#define TS_EVAL_CERTAINTY_H

#include <stddef.h>
#include <stdint.h>

typedef struct ts_interval {
    double low, high; /* NAN: nothing can be said */
} ts_interval;

/* Wilson (1927) score interval of a share of `hits` in `n`; NAN where n is 0. */
ts_interval ts_wilson(double hits, double n);

/* Two-sided exact sign test: how likely so uneven a split of wins and losses is (ties left out) when neither side is
 * better. 1 where there is no vote. */
double ts_sign_test(int64_t wins, int64_t losses);

/* Percentile bootstrap (Efron 1979) of a number that is calculated from summed counts. counts[row * k + j]; `finish`
 * makes the number of k sums. Rows are drawn with replacement TS_BOOTSTRAP_ROUNDS times from random numbers of `seed`:
 * with one seed, the same rows are drawn for every metric and every side, so differences are seen on equal terms.
 * Rounds whose number is NAN are left out; under two rows the interval is NAN. */
enum { TS_BOOTSTRAP_ROUNDS = 1000, TS_BOOTSTRAP_COUNTS = 18 };
typedef double ts_finish_fn(const double *sums);
ts_interval ts_bootstrap(const double *counts, size_t k, size_t rows, ts_finish_fn *finish, uint64_t seed);

#endif
