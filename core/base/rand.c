#include "core/base/rand.h"

#include "core/base/err.h"

#include <math.h>

static uint64_t splitmix(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void ts_rand_seed(ts_rand *r, uint64_t seed) {
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix(&seed);
}

static uint64_t rotl(uint64_t x, int k) {
    return (x << k) | (x >> (64 - k));
}

uint64_t ts_rand_u64(ts_rand *r) {
    uint64_t *s = r->s, result = rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t ts_rand_below(ts_rand *r, uint64_t n) {
    ts_assert(n > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % n, x;
    do
        x = ts_rand_u64(r);
    while (x >= limit);
    return x % n;
}

double ts_rand_unit(ts_rand *r) {
    return (double)(ts_rand_u64(r) >> 11) * 0x1p-53;
}

double ts_rand_normal(ts_rand *r) {
    double u = 1.0 - ts_rand_unit(r), v = ts_rand_unit(r);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

void ts_rand_permutation(ts_rand *r, size_t *out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        size_t j = (size_t)ts_rand_below(r, i + 1);
        out[i] = out[j];
        out[j] = i;
    }
}

uint64_t ts_rand_mix(uint64_t a, uint64_t b) {
    uint64_t state = a;
    state = splitmix(&state) ^ b;
    return splitmix(&state);
}
