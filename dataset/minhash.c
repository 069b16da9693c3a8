#include "core/base/hash.h"
#include "core/base/rand.h"
#include "core/work/pool.h"
#include "dataset/join.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* VALUES: of a signature at most. COMPARISONS: of all bands together; some 100 ns each. A bucket of more than MANY
 * sets, and every one once there are more than KEPT pairs, does not compare sets that are in one group already. */
enum { VALUES = 256, MOST_ROWS = 16, PARTS = 64, BLOCK = 512, MANY = 64, LEAST_WINDOW = 8 };
#define COMPARISONS 200000000u
#define KEPT 16000000u

struct entry {
    uint64_t hash;
    uint32_t unit;
};

struct hashing {
    ts_join *j;
    int rows, bands;
    uint64_t factor[MOST_ROWS]; /* of this band */
    uint64_t *hashes;           /* per unit */
    struct entry *entries;      /* by part, then by hash, then by unit */
    size_t part[PARTS + 1];     /* part p: entries[part[p] .. part[p + 1]) */
    uint64_t need[PARTS];       /* comparisons that the part would take */
    size_t window;              /* how many others of its bucket a set is compared with */
    bool dense;
    /* pairs of units that were found in earlier bands, open-addressed; 0: free */
    uint64_t *known;
    size_t n_known, cap_known;
};

/* The largest r whose bands find a pair at the threshold with chance .998 within VALUES values. */
static void choose_bands(struct hashing *h, double t) {
    double needed = 1;
    for (h->rows = MOST_ROWS; h->rows > 1; h->rows--) {
        needed = ceil(log(0.002) / log(1 - TS_MIN(pow(t, h->rows), 1 - 1e-12)));
        if (needed * h->rows <= VALUES) break;
    }
    if (h->rows == 1) needed = VALUES;
    h->bands = (int)TS_MAX(needed, 1.0);
    h->j->out->recall = 1 - pow(1 - pow(t, h->rows), h->bands);
}

/* ---- signatures, a band at a time ---- */

static void hash_block(void *ctx, size_t block, int worker) {
    struct hashing *h = ctx;
    (void)worker;
    for (size_t u = block * BLOCK; u < TS_MIN((block + 1) * BLOCK, h->j->n); u++) {
        const ts_unit *unit = &h->j->units[u];
        uint32_t least[MOST_ROWS];
        memset(least, 0xff, sizeof least);
        for (size_t i = 0; i < unit->n; i++)
            for (int r = 0; r < h->rows; r++) {
                uint32_t v = (uint32_t)(unit->keys[i] * h->factor[r] >> 32);
                least[r] = TS_MIN(least[r], v);
            }
        h->hashes[u] = ts_hash64(least, (size_t)h->rows * sizeof *least, 0);
    }
}

static int by_hash(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return (x->unit > y->unit) - (x->unit < y->unit);
}

static void place_entries(struct hashing *h) {
    size_t at[PARTS + 1] = {0};
    for (size_t u = 0; u < h->j->n; u++)
        at[h->hashes[u] % PARTS + 1]++;
    for (size_t p = 1; p <= PARTS; p++)
        at[p] += at[p - 1];
    memcpy(h->part, at, sizeof at);
    for (size_t u = 0; u < h->j->n; u++)
        h->entries[at[h->hashes[u] % PARTS]++] = (struct entry){h->hashes[u], (uint32_t)u};
}

/* End of the bucket that begins at `i`. */
static size_t bucket_end(const struct hashing *h, size_t i, size_t end) {
    size_t e = i + 1;
    while (e < end && h->entries[e].hash == h->entries[i].hash)
        e++;
    return e;
}

static void sort_part(void *ctx, size_t p, int worker) {
    struct hashing *h = ctx;
    size_t n = h->part[p + 1] - h->part[p];
    (void)worker;
    if (n) qsort(h->entries + h->part[p], n, sizeof *h->entries, by_hash);
    h->need[p] = 0;
    for (size_t i = h->part[p], e; i < h->part[p + 1]; i = e) {
        e = bucket_end(h, i, h->part[p + 1]);
        h->need[p] += (uint64_t)(e - i) * (e - i - 1) / 2;
    }
}

/* ---- pairs that are known ---- */

static bool find_known(const struct hashing *h, uint64_t pair, size_t *slot) {
    size_t i = (size_t)(pair * 0x9e3779b97f4a7c15u >> 20) & (h->cap_known - 1);
    while (h->known[i] && h->known[i] != pair)
        i = (i + 1) & (h->cap_known - 1);
    *slot = i;
    return h->known[i] == pair;
}

/* x > y, so it is never 0. */
static uint64_t pair_of(size_t x, size_t y) {
    return (uint64_t)x << 32 | (uint64_t)y;
}

static void add_known(struct hashing *h, uint64_t pair) {
    size_t slot;
    if (find_known(h, pair, &slot)) return;
    h->known[slot] = pair;
    if (++h->n_known * 2 <= h->cap_known) return;
    uint64_t *old = h->known;
    size_t n = h->cap_known;
    h->cap_known *= 2;
    h->known = ts_calloc(h->cap_known, sizeof *h->known);
    for (size_t i = 0; i < n; i++)
        if (old[i] && !find_known(h, old[i], &slot)) h->known[slot] = old[i];
    free(old);
}

/* ---- buckets ---- */

static bool in_one_group(const ts_join *j, ts_join_worker *w, const struct entry *bucket, size_t a, size_t b) {
    return j->parent[j->units[bucket[a].unit].first] == j->parent[j->units[bucket[b].unit].first] ||
           ts_join_root(w->together, (uint32_t)a) == ts_join_root(w->together, (uint32_t)b);
}

/* Each set of the bucket with those before it (of smaller or equal size), nearest first. */
static void compare_bucket(const struct hashing *h, ts_join_worker *w, const struct entry *bucket, size_t n) {
    const ts_join *j = h->j;
    bool sparing = n > MANY || h->dense;
    size_t slot;
    TS_GROW(w->together, w->cap_together, n);
    for (size_t i = 0; i < n; i++)
        w->together[i] = (uint32_t)i;
    for (size_t i = 1; i < n; i++) {
        size_t x = bucket[i].unit, last = i > h->window ? i - h->window : 0;
        size_t least = (size_t)ceil(j->o->threshold * j->units[x].n - TS_JOIN_SLACK);
        for (size_t k = i; k-- > last;) {
            size_t y = bucket[k].unit, before = w->n_found;
            if (j->units[y].n < least) break; /* so are all before it */
            if (ts_join_both_old(&j->units[x], &j->units[y])) continue;
            if (sparing && in_one_group(j, w, bucket, i, k)) continue;
            if (find_known(h, pair_of(x, y), &slot)) continue;
            ts_join_verify(j, w, x, y);
            if (w->n_found > before)
                w->together[ts_join_root(w->together, (uint32_t)i)] = ts_join_root(w->together, (uint32_t)k);
        }
        w->uncompared += last;
    }
}

static void compare_part(void *ctx, size_t p, int worker) {
    struct hashing *h = ctx;
    for (size_t i = h->part[p], e; i < h->part[p + 1] && !ts_cancelled(h->j->progress); i = e) {
        e = bucket_end(h, i, h->part[p + 1]);
        if (e - i > 1) compare_bucket(h, &h->j->workers[worker], h->entries + i, e - i);
    }
}

static void take_band(struct hashing *h) {
    ts_join *j = h->j;
    for (int w = 0; w < ts_pool_threads(); w++) {
        for (size_t i = 0; i < j->workers[w].n_found; i++) {
            const ts_found *f = &j->workers[w].found[i];
            if (!h->dense) add_known(h, pair_of(f->x, f->y));
            ts_join_take(j, f);
        }
        j->workers[w].n_found = 0;
        j->out->uncompared += j->workers[w].uncompared;
        j->workers[w].uncompared = 0;
    }
    for (uint32_t i = 0; i < j->sets->n; i++) /* flat, so that threads may look without writing */
        j->parent[i] = ts_join_root(j->parent, i);
}

static void do_band(struct hashing *h, ts_rand *random) {
    uint64_t need = 0, allowed = COMPARISONS / (uint64_t)h->bands;
    for (int r = 0; r < h->rows; r++)
        h->factor[r] = ts_rand_u64(random) | 1;
    ts_parallel((h->j->n + BLOCK - 1) / BLOCK, hash_block, h);
    place_entries(h);
    ts_parallel(PARTS, sort_part, h);
    for (size_t p = 0; p < PARTS; p++)
        need += h->need[p];
    h->window = need <= allowed ? SIZE_MAX : TS_MAX((size_t)(allowed / h->j->n), (size_t)LEAST_WINDOW);
    h->dense = h->dense || h->n_known > KEPT;
    ts_parallel(PARTS, compare_part, h);
    take_band(h);
}

void ts_join_minhash(ts_join *j) {
    struct hashing h = {.j = j, .cap_known = 1 << 16};
    ts_rand random;
    ts_rand_seed(&random, 20);
    choose_bands(&h, j->o->threshold);
    h.hashes = ts_malloc(TS_MAX(j->n, 1) * sizeof *h.hashes);
    h.entries = ts_malloc(TS_MAX(j->n, 1) * sizeof *h.entries);
    h.known = ts_calloc(h.cap_known, sizeof *h.known);
    for (uint32_t i = 0; i < j->sets->n; i++)
        j->parent[i] = ts_join_root(j->parent, i);
    for (int b = 0; b < h.bands && !ts_cancelled(j->progress); b++) {
        do_band(&h, &random);
        ts_progress_set(j->progress, b + 1, h.bands);
    }
    if (j->out->uncompared) j->out->recall = NAN;
    free(h.hashes);
    free(h.entries);
    free(h.known);
}
