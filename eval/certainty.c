#include "eval/certainty.h"

#include "core/base/mem.h"
#include "core/base/rand.h"

#include <math.h>
#include <stdlib.h>

static double log_factorial(double n) {
    int sign;
    return lgamma_r(n + 1, &sign);
}

ts_interval ts_wilson(double hits, double n) {
    static const double z = 1.959963984540054; /* 97.5 % of the normal distribution lie below */
    if (!(n > 0)) return (ts_interval){NAN, NAN};
    double share = hits / n, z2 = z * z, below = 1 + z2 / n;
    double centre = (share + z2 / (2 * n)) / below;
    double half = z / below * sqrt(share * (1 - share) / n + z2 / (4 * n * n));
    return (ts_interval){TS_MAX(centre - half, 0), TS_MIN(centre + half, 1)};
}

double ts_sign_test(int64_t wins, int64_t losses) {
    double n = (double)(wins + losses), tail = 0;
    int64_t few = TS_MIN(wins, losses);
    for (int64_t i = 0; i <= few; i++) /* binomial with one half, by logarithms: n may be large */
        tail += exp(log_factorial(n) - log_factorial((double)i) - log_factorial(n - (double)i) - n * log(2));
    return TS_MIN(2 * tail, 1);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the two values that lie about it, as numpy's percentile does. */
static double percentile(const double *sorted, size_t n, double share) {
    double at = share * (double)(n - 1);
    size_t i = (size_t)at;
    double next = sorted[TS_MIN(i + 1, n - 1)];
    return sorted[i] + (next - sorted[i]) * (at - (double)i);
}

ts_interval ts_bootstrap(const double *counts, size_t k, size_t rows, ts_finish_fn *finish, uint64_t seed) {
    double *values, sums[TS_BOOTSTRAP_COUNTS];
    size_t n = 0;
    ts_rand rand;
    ts_assert(k <= TS_BOOTSTRAP_COUNTS);
    if (rows < 2) return (ts_interval){NAN, NAN};
    values = ts_calloc(TS_BOOTSTRAP_ROUNDS, sizeof *values);
    ts_rand_seed(&rand, seed);
    for (int round = 0; round < TS_BOOTSTRAP_ROUNDS; round++) {
        for (size_t j = 0; j < k; j++)
            sums[j] = 0;
        for (size_t i = 0; i < rows; i++) {
            const double *row = counts + ts_rand_below(&rand, rows) * k;
            for (size_t j = 0; j < k; j++)
                sums[j] += row[j];
        }
        double v = finish(sums);
        if (isfinite(v)) values[n++] = v;
    }
    qsort(values, n, sizeof *values, by_value);
    ts_interval out = {n ? percentile(values, n, 0.025) : NAN, n ? percentile(values, n, 0.975) : NAN};
    free(values);
    return out;
}
