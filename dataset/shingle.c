#include "dataset/shingle.h"

#include "core/base/hash.h"
#include "core/work/pool.h"
#include "dataset/words.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256, LEAST_COMMON = 10, FREQUENCY_SLOTS = 1 << 21, LINE_SLOTS = 1 << 18, CLASSIFIED = 1 << 15 };

/* ---- lines that occur in many texts ---- */

struct line {
    uint64_t hash;
    uint32_t texts;
};

/* Counted twice: first all lines, roughly (how many lines have a hash with the same last bits), then exactly those of
 * which there may be enough. Real sets have few of these, so the exact table stays small and its lock is seldom taken.
 */
struct lines {
    _Atomic uint32_t *rough; /* LINE_SLOTS */
    struct line *slots;
    size_t n, cap;
    uint32_t common; /* a line in so many texts or more is left out; 0: none is */
    bool any;        /* is there one? */
    pthread_mutex_t lock;
};

static struct line *find_line(const struct lines *l, uint64_t hash) {
    size_t i = (size_t)hash & (l->cap - 1);
    while (l->slots[i].texts && l->slots[i].hash != hash)
        i = (i + 1) & (l->cap - 1);
    return &l->slots[i];
}

static void grow_lines(struct lines *l) {
    struct lines larger = {.slots = ts_calloc(l->cap * 2, sizeof *l->slots), .cap = l->cap * 2};
    for (size_t i = 0; i < l->cap; i++)
        if (l->slots[i].texts) *find_line(&larger, l->slots[i].hash) = l->slots[i];
    free(l->slots);
    l->slots = larger.slots;
    l->cap = larger.cap;
}

/* The next line of s[*at..n), split as at every line end (a text has one line more than line ends), without white space
 * at its ends; false behind the last. */
static bool next_line(const char *s, size_t n, size_t *at, const char **line, size_t *len) {
    if (*at > n) return false;
    const char *p = s + *at, *end = memchr(p, '\n', n - *at);
    if (!end) end = s + n;
    *at = (size_t)(end - s) + 1;
    while (p < end && strchr(" \t\r", *p))
        p++;
    while (end > p && strchr(" \t\r", end[-1]))
        end--;
    *line = p;
    *len = (size_t)(end - p);
    return true;
}

static bool is_rough(const struct lines *l, uint64_t hash) {
    return atomic_load_explicit(&l->rough[hash & (LINE_SLOTS - 1)], memory_order_relaxed) >= l->common;
}

static bool is_common(const struct lines *l, const char *line, size_t len) {
    uint64_t hash = ts_hash64(line, len, 1);
    return is_rough(l, hash) && find_line(l, hash)->texts >= l->common;
}

/* ---- shingles of one text ---- */

struct scratch {
    ts_words words;
    uint64_t *hashes, *sorted; /* of the words, then of the shingles */
    size_t n, cap, cap_sorted;
    uint32_t *bucket;
    size_t cap_bucket;
    ts_buf folded;
};

static void release_scratch(struct scratch *k) {
    ts_words_release(&k->words);
    ts_buf_release(&k->folded);
    free(k->hashes);
    free(k->sorted);
    free(k->bucket);
}

static void add_words(struct scratch *k, const char *s, size_t n) {
    ts_words_begin(&k->words, s, n);
    while (ts_words_next(&k->words))
        TS_PUSH(k->hashes, k->n, k->cap, ts_hash64(k->words.word.data, k->words.word.len, 0));
}

/* Words of the lines that are not common; a text of nothing but common lines is taken whole, or it would have no
 * duplicates at all. */
static void collect_words(struct scratch *k, ts_text t, const struct lines *l) {
    const char *line;
    size_t at = 0, len;
    k->n = 0;
    while (l->any && next_line(t.s, t.n, &at, &line, &len))
        if (!is_common(l, line, len)) add_words(k, line, len);
    if (!k->n) add_words(k, t.s, t.n);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sorts a run that is nearly sorted, or short. */
static void sort_run(uint64_t *v, size_t n) {
    enum { SHORT = 48 };
    if (n > SHORT) {
        qsort(v, n, sizeof *v, by_value);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        uint64_t x = v[i];
        size_t at = i;
        for (; at > 0 && v[at - 1] > x; at--)
            v[at] = v[at - 1];
        v[at] = x;
    }
}

/* k->hashes becomes a set. Hashes are spread evenly, so by their highest bits nearly every one falls into a bucket of
 * its own; whatever falls together is sorted within it. */
static void sort_unique(struct scratch *k, size_t n) {
    unsigned bits = 1;
    while (bits < 20 && (size_t)1 << bits < n)
        bits++;
    size_t buckets = (size_t)1 << bits, kept = 0;
    TS_GROW(k->sorted, k->cap_sorted, n);
    TS_GROW(k->bucket, k->cap_bucket, buckets + 1);
    memset(k->bucket, 0, (buckets + 1) * sizeof *k->bucket);
    for (size_t i = 0; i < n; i++)
        k->bucket[(k->hashes[i] >> (64 - bits)) + 1]++;
    for (size_t b = 1; b <= buckets; b++)
        k->bucket[b] += k->bucket[b - 1];
    for (size_t i = 0; i < n; i++)
        k->sorted[k->bucket[k->hashes[i] >> (64 - bits)]++] = k->hashes[i];
    for (size_t b = 0, from = 0; b < buckets; b++) { /* bucket[b] is now b's end */
        if (k->bucket[b] - from > 1) sort_run(k->sorted + from, k->bucket[b] - from);
        from = k->bucket[b];
    }
    for (size_t i = 0; i < n; i++)
        if (!kept || k->hashes[kept - 1] != k->sorted[i]) k->hashes[kept++] = k->sorted[i];
    k->n = kept;
}

/* All bits of the result depend on all bits of x (the finalizer of splitmix64; Steele, Lea, Flood 2014). */
static uint64_t mixed(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Word hashes become shingle hashes: a polynomial over each run of `width`, mixed. */
static void make_shingles(struct scratch *k, size_t width, size_t shingles) {
    for (size_t i = 0; i < shingles; i++) {
        uint64_t h = k->hashes[i];
        for (size_t w = 1; w < width; w++)
            h = h * 0x9e3779b97f4a7c15u + k->hashes[i + w];
        k->hashes[i] = mixed(h);
    }
}

/* k->hashes becomes the set of shingles. */
static void make_set(struct scratch *k, ts_text t, const struct lines *l, const ts_near_options *o) {
    if (o->exact) {
        ts_buf_reset(&k->folded);
        ts_fold_text(t.s, t.n, &k->folded);
        k->n = 0;
        if (k->folded.len) TS_PUSH(k->hashes, k->n, k->cap, ts_hash64(k->folded.data, k->folded.len, 0));
        return;
    }
    collect_words(k, t, l);
    size_t width = TS_MIN((size_t)o->shingle, k->n), shingles = k->n ? k->n - width + 1 : 0;
    make_shingles(k, width, shingles);
    sort_unique(k, shingles);
}

/* ---- all texts ---- */

struct piece { /* the sets of BLOCK texts, one after another */
    uint64_t *keys;
    size_t sizes[BLOCK];
    size_t n;
};

struct making {
    const ts_text *texts;
    size_t n;
    const ts_near_options *o;
    struct lines *lines;
    struct scratch *scratch; /* per worker */
    struct piece *pieces;
    _Atomic uint32_t *frequency; /* FREQUENCY_SLOTS, by hash */
    unsigned char *classes;      /* of the frequencies: small enough to stay in a core's cache */
    const ts_sets *sets;
    ts_progress *progress;
    atomic_size_t done;
};

/* ---- common lines of all texts ---- */

static void count_roughly(void *ctx, size_t block, int worker) {
    struct making *m = ctx;
    (void)worker;
    for (size_t i = block * BLOCK; i < TS_MIN((block + 1) * BLOCK, m->n) && !ts_cancelled(m->progress); i++) {
        const char *line;
        size_t at = 0, len;
        while (next_line(m->texts[i].s, m->texts[i].n, &at, &line, &len))
            atomic_fetch_add_explicit(&m->lines->rough[ts_hash64(line, len, 1) & (LINE_SLOTS - 1)], 1,
                                      memory_order_relaxed);
    }
}

/* Once per text, however often it has the line. */
static void count_line(struct lines *l, uint64_t hash) {
    struct line *slot = find_line(l, hash);
    if (!slot->texts) l->n++;
    *slot = (struct line){hash, slot->texts + 1};
    if (l->n * 2 > l->cap) grow_lines(l);
}

static void count_exactly(void *ctx, size_t block, int worker) {
    struct making *m = ctx;
    struct scratch *k = &m->scratch[worker];
    for (size_t i = block * BLOCK; i < TS_MIN((block + 1) * BLOCK, m->n) && !ts_cancelled(m->progress); i++) {
        const char *line;
        size_t at = 0, len;
        k->n = 0;
        while (next_line(m->texts[i].s, m->texts[i].n, &at, &line, &len)) {
            uint64_t hash = ts_hash64(line, len, 1);
            if (is_rough(m->lines, hash)) TS_PUSH(k->hashes, k->n, k->cap, hash);
        }
        if (!k->n) continue;
        sort_unique(k, k->n);
        pthread_mutex_lock(&m->lines->lock);
        for (size_t j = 0; j < k->n; j++)
            count_line(m->lines, k->hashes[j]);
        pthread_mutex_unlock(&m->lines->lock);
    }
}

static size_t find_common(struct making *m, size_t blocks, double per_cent) {
    struct lines *l = m->lines;
    double least = per_cent / 100 * (double)m->n;
    size_t found = 0;
    if (per_cent <= 0) return 0;
    l->common = (uint32_t)TS_MAX(least, (double)LEAST_COMMON);
    if ((double)l->common < least) l->common++;
    l->rough = ts_calloc(LINE_SLOTS, sizeof *l->rough);
    ts_parallel(blocks, count_roughly, m);
    bool any = false;
    for (size_t i = 0; i < LINE_SLOTS && !any; i++)
        any = is_rough(l, i);
    if (!any) return 0;
    l->cap = 1024;
    l->slots = ts_calloc(l->cap, sizeof *l->slots);
    ts_parallel(blocks, count_exactly, m);
    for (size_t i = 0; i < l->cap; i++)
        found += l->slots[i].texts >= l->common;
    l->any = found > 0;
    return found;
}

static void make_block(void *ctx, size_t block, int worker) {
    struct making *m = ctx;
    struct scratch *k = &m->scratch[worker];
    struct piece *piece = &m->pieces[block];
    size_t cap = 0, first = block * BLOCK, last = TS_MIN(first + BLOCK, m->n);
    for (size_t i = first; i < last && !ts_cancelled(m->progress); i++) {
        make_set(k, m->texts[i], m->lines, m->o);
        piece->sizes[i - first] = k->n;
        TS_GROW(piece->keys, cap, piece->n + k->n);
        if (k->n) memcpy(piece->keys + piece->n, k->hashes, k->n * sizeof *k->hashes);
        piece->n += k->n;
        for (size_t j = 0; j < k->n; j++)
            atomic_fetch_add_explicit(&m->frequency[k->hashes[j] & (FREQUENCY_SLOTS - 1)], 1, memory_order_relaxed);
    }
    ts_progress_set(m->progress, (int64_t)(atomic_fetch_add(&m->done, last - first) + last - first), (int64_t)m->n);
}

/* How rare: exact up to 8, then four steps to every doubling; 0 for a shingle that occurs once. */
static unsigned rarity_class(uint32_t frequency) {
    if (frequency <= 8) return frequency ? frequency - 1 : 0;
    unsigned log = 31u - (unsigned)__builtin_clz(frequency);
    return TS_MIN(8 + (log - 3) * 4 + (frequency >> (log - 2) & 3), TS_KEY_CLASSES - 1);
}

static void classify_block(void *ctx, size_t block, int worker) {
    struct making *m = ctx;
    (void)worker;
    for (size_t i = block * CLASSIFIED; i < (block + 1) * CLASSIFIED; i++)
        m->classes[i] = (unsigned char)rarity_class(atomic_load_explicit(&m->frequency[i], memory_order_relaxed));
}

/* Moves the sets of a block to their place, rare shingles first: the hashes are in order, and stay so within a class.
 */
static void order_block(void *ctx, size_t block, int worker) {
    struct making *m = ctx;
    const ts_sets *s = m->sets;
    struct piece *piece = &m->pieces[block];
    const uint64_t *from = piece->keys;
    (void)worker;
    for (size_t i = block * BLOCK; i < TS_MIN((block + 1) * BLOCK, m->n); i++) {
        uint64_t *keys = s->keys + s->start[i];
        size_t n = s->start[i + 1] - s->start[i], place[TS_KEY_CLASSES + 1] = {0};
        for (size_t j = 0; j < n; j++)
            place[m->classes[from[j] & (FREQUENCY_SLOTS - 1)] + 1]++;
        for (size_t c = 1; c <= TS_KEY_CLASSES; c++)
            place[c] += place[c - 1];
        for (size_t j = 0; j < n; j++) {
            uint64_t c = m->classes[from[j] & (FREQUENCY_SLOTS - 1)];
            keys[place[c]++] = c << TS_KEY_BITS | from[j] >> (64 - TS_KEY_BITS);
        }
        from += n;
    }
    free(piece->keys);
    piece->keys = NULL;
}

/* Room for all sets, and where each begins. */
static ts_status place_sets(ts_sets *out, struct making *m, ts_err *err) {
    size_t total = 0;
    for (size_t i = 0; i < m->n; i++)
        total += m->pieces[i / BLOCK].sizes[i % BLOCK];
    out->keys = malloc(TS_MAX(total, 1) * sizeof *out->keys); /* not zeroed: it is large, and written once */
    out->start = malloc((m->n + 1) * sizeof *out->start);
    if (!out->keys || !out->start)
        return ts_fail(err, TS_NO_MEMORY, "out of memory for comparing %zu texts (%zu shingles)", m->n, total);
    out->start[0] = 0;
    for (size_t i = 0; i < m->n; i++)
        out->start[i + 1] = out->start[i] + m->pieces[i / BLOCK].sizes[i % BLOCK];
    return TS_OK;
}

ts_status ts_sets_make(ts_sets *out, const ts_text *texts, size_t n, const ts_near_options *options,
                       ts_progress *progress, ts_err *err) {
    struct lines lines = {.lock = PTHREAD_MUTEX_INITIALIZER};
    size_t blocks = (n + BLOCK - 1) / BLOCK, threads = (size_t)ts_pool_threads();
    struct making m = {.texts = texts, .n = n, .o = options, .lines = &lines, .sets = out, .progress = progress};
    *out = (ts_sets){.n = n};
    m.scratch = ts_calloc(threads, sizeof *m.scratch);
    m.pieces = ts_calloc(TS_MAX(blocks, 1), sizeof *m.pieces);
    m.frequency = ts_calloc(FREQUENCY_SLOTS, sizeof *m.frequency);
    m.classes = ts_malloc(FREQUENCY_SLOTS);
    out->lines_skipped = find_common(&m, blocks, options->exact ? 0 : options->common_lines);
    ts_parallel(blocks, make_block, &m);
    ts_status status =
        ts_cancelled(progress) ? ts_fail(err, TS_CANCELLED, "the search for duplicates was stopped") : TS_OK;
    if (status == TS_OK) status = place_sets(out, &m, err);
    if (status == TS_OK) {
        ts_parallel(FREQUENCY_SLOTS / CLASSIFIED, classify_block, &m);
        ts_parallel(blocks, order_block, &m);
    }
    for (size_t b = 0; b < blocks; b++)
        free(m.pieces[b].keys);
    for (size_t i = 0; i < threads; i++)
        release_scratch(&m.scratch[i]);
    free(m.scratch);
    free(m.pieces);
    free(m.frequency);
    free(m.classes);
    free(lines.rough);
    free(lines.slots);
    return status;
}

void ts_sets_release(ts_sets *s) {
    free(s->keys);
    free(s->start);
    *s = (ts_sets){0};
}

double ts_near_similarity(ts_text a, ts_text b, int shingle) {
    struct scratch k[2];
    struct lines none = {0};
    memset(k, 0, sizeof k);
    ts_near_options o = TS_NEAR_DEFAULTS;
    o.shingle = shingle;
    make_set(&k[0], a, &none, &o);
    make_set(&k[1], b, &none, &o);
    size_t i = 0, j = 0, both = 0;
    while (i < k[0].n && j < k[1].n) {
        uint64_t x = k[0].hashes[i], y = k[1].hashes[j];
        both += x == y;
        i += x <= y;
        j += y <= x;
    }
    double all = (double)(k[0].n + k[1].n - both);
    release_scratch(&k[0]);
    release_scratch(&k[1]);
    return all > 0 ? (double)both / all : 0;
}
