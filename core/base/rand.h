/* Random numbers: xoshiro256++ (Blackman and Vigna), seeded by splitmix64. The state is a plain struct, so that a
 * checkpoint can store it and a resumed run goes on with the same numbers. Not for secrets. */
#ifndef TS_BASE_RAND_H
#define TS_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

typedef struct ts_rand {
    uint64_t s[4];
} ts_rand;

void ts_rand_seed(ts_rand *r, uint64_t seed);
uint64_t ts_rand_u64(ts_rand *r);
uint64_t ts_rand_below(ts_rand *r, uint64_t n); /* uniform in [0, n); n > 0; no modulo bias */
double ts_rand_unit(ts_rand *r);                /* uniform in [0, 1), 53 bits */
double ts_rand_normal(ts_rand *r);              /* mean 0, deviation 1 (Box-Muller, one draw used) */
/* A permutation of 0..n-1 into `out` (Fisher-Yates). */
void ts_rand_permutation(ts_rand *r, size_t *out, size_t n);
/* One well-mixed number for a pair of seeds, for example (run seed, epoch). */
uint64_t ts_rand_mix(uint64_t a, uint64_t b);

#endif
