#include "dataset/shingle.h"

#include "core/base/hash.h"
#include "core/work/pool.h"
#include "dataset/words.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256, LEAST_COMMON = 10, FREQUENCY_SLOTS = 1 << 21 };

/* ---- lines that occur in many texts ---- */

struct line {
    uint64_t hash;
    uint32_t text; /* the last text it was seen in, plus one */
    uint32_t texts;
};

struct lines {
    struct line *slots;
    size_t n, cap;
    uint32_t common; /* a line in so many texts or more is left out; 0: none is */
};

static struct line *find_line(const struct lines *l, uint64_t hash) {
    size_t i = (size_t)hash & (l->cap - 1);
    while (l->slots[i].texts && l->slots[i].hash != hash)
        i = (i + 1) & (l->cap - 1);
    return &l->slots[i];
}

static void grow_lines(struct lines *l) {
    struct lines larger = {ts_calloc(l->cap * 2, sizeof *l->slots), l->n, l->cap * 2, l->common};
    for (size_t i = 0; i < l->cap; i++)
        if (l->slots[i].texts) *find_line(&larger, l->slots[i].hash) = l->slots[i];
    free(l->slots);
    *l = larger;
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

static void count_lines(struct lines *l, const ts_text *texts, size_t n) {
    l->cap = 4096;
    l->slots = ts_calloc(l->cap, sizeof *l->slots);
    for (size_t i = 0; i < n; i++) {
        const char *line;
        size_t at = 0, len;
        while (next_line(texts[i].s, texts[i].n, &at, &line, &len)) {
            uint64_t hash = ts_hash64(line, len, 1);
            struct line *slot = find_line(l, hash);
            if (slot->text == i + 1) continue;
            if (!slot->texts) l->n++;
            *slot = (struct line){hash, (uint32_t)i + 1, slot->texts + 1};
            if (l->n * 2 > l->cap) grow_lines(l);
        }
    }
}

static bool is_common(const struct lines *l, const char *line, size_t len) {
    if (!l->common) return false;
    const struct line *slot = find_line(l, ts_hash64(line, len, 1));
    return slot->texts >= l->common;
}

static size_t find_common(struct lines *l, const ts_text *texts, size_t n, double per_cent) {
    size_t found = 0;
    *l = (struct lines){0};
    if (per_cent <= 0) return 0;
    double least = per_cent / 100 * (double)n;
    count_lines(l, texts, n);
    l->common = (uint32_t)TS_MAX(least, (double)LEAST_COMMON);
    if ((double)l->common < least) l->common++;
    for (size_t i = 0; i < l->cap; i++)
        found += l->slots[i].texts >= l->common;
    return found;
}

/* ---- shingles of one text ---- */

struct scratch {
    ts_words words;
    uint64_t *hashes; /* of the words, then of the shingles */
    size_t n, cap;
    ts_buf folded;
};

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
    while (l->common && next_line(t.s, t.n, &at, &line, &len))
        if (!is_common(l, line, len)) add_words(k, line, len);
    if (!k->n) add_words(k, t.s, t.n);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static size_t sort_unique(uint64_t *v, size_t n) {
    size_t kept = 0;
    if (n) qsort(v, n, sizeof *v, by_value);
    for (size_t i = 0; i < n; i++)
        if (!kept || v[kept - 1] != v[i]) v[kept++] = v[i];
    return kept;
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
    for (size_t i = 0; i < shingles; i++)
        k->hashes[i] = ts_hash64(k->hashes + i, width * sizeof *k->hashes, 7);
    k->n = sort_unique(k->hashes, shingles);
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
    const struct lines *lines;
    struct scratch *scratch; /* per worker */
    struct piece *pieces;
    _Atomic uint32_t *frequency;
    const ts_sets *sets;
    ts_progress *progress;
    atomic_size_t done;
};

static void make_block(void *ctx, size_t block, int worker) {
    struct making *m = ctx;
    struct scratch *k = &m->scratch[worker];
    struct piece *piece = &m->pieces[block];
    size_t cap = 0, first = block * BLOCK, last = TS_MIN(first + BLOCK, m->n);
    if (ts_cancelled(m->progress)) return;
    for (size_t i = first; i < last; i++) {
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

/* Puts the frequency in front of the hash and sorts each set again. */
static void order_block(void *ctx, size_t block, int worker) {
    struct making *m = ctx;
    const ts_sets *s = m->sets;
    (void)worker;
    for (size_t i = block * BLOCK; i < TS_MIN((block + 1) * BLOCK, m->n); i++) {
        uint64_t *keys = s->keys + s->start[i];
        size_t n = s->start[i + 1] - s->start[i];
        for (size_t j = 0; j < n; j++) {
            uint64_t f = atomic_load_explicit(&m->frequency[keys[j] & (FREQUENCY_SLOTS - 1)], memory_order_relaxed);
            keys[j] = TS_MIN(f, (uint64_t)0xfffff) << 44 | (keys[j] >> 20);
        }
        if (n) qsort(keys, n, sizeof *keys, by_value);
    }
}

static ts_status join_pieces(ts_sets *out, struct making *m, size_t blocks, ts_err *err) {
    size_t total = 0, at = 0;
    for (size_t b = 0; b < blocks; b++)
        total += m->pieces[b].n;
    out->keys = ts_try_alloc(TS_MAX(total, 1), sizeof *out->keys);
    out->start = ts_try_alloc(m->n + 1, sizeof *out->start);
    if (!out->keys || !out->start)
        return ts_fail(err, TS_NO_MEMORY, "out of memory for comparing %zu texts (%zu shingles)", m->n, total);
    for (size_t b = 0; b < blocks; b++) {
        struct piece *p = &m->pieces[b];
        if (p->n) memcpy(out->keys + at, p->keys, p->n * sizeof *p->keys);
        for (size_t i = b * BLOCK; i < TS_MIN((b + 1) * BLOCK, m->n); i++) {
            out->start[i] = at;
            at += p->sizes[i - b * BLOCK];
        }
        free(p->keys);
        p->keys = NULL;
    }
    out->start[m->n] = at;
    return TS_OK;
}

ts_status ts_sets_make(ts_sets *out, const ts_text *texts, size_t n, const ts_near_options *options,
                       ts_progress *progress, ts_err *err) {
    struct lines lines;
    size_t blocks = (n + BLOCK - 1) / BLOCK, threads = (size_t)ts_pool_threads();
    struct making m = {.texts = texts, .n = n, .o = options, .lines = &lines, .sets = out, .progress = progress};
    *out = (ts_sets){.n = n};
    out->lines_skipped = find_common(&lines, texts, n, options->exact ? 0 : options->common_lines);
    m.scratch = ts_calloc(threads, sizeof *m.scratch);
    m.pieces = ts_calloc(TS_MAX(blocks, 1), sizeof *m.pieces);
    m.frequency = ts_calloc(FREQUENCY_SLOTS, sizeof *m.frequency);
    ts_parallel(blocks, make_block, &m);
    ts_status status =
        ts_cancelled(progress) ? ts_fail(err, TS_CANCELLED, "the search for duplicates was stopped") : TS_OK;
    if (status == TS_OK) status = join_pieces(out, &m, blocks, err);
    if (status == TS_OK) ts_parallel(blocks, order_block, &m);
    for (size_t b = 0; b < blocks; b++)
        free(m.pieces[b].keys);
    for (size_t i = 0; i < threads; i++) {
        ts_words_release(&m.scratch[i].words);
        ts_buf_release(&m.scratch[i].folded);
        free(m.scratch[i].hashes);
    }
    free(m.scratch);
    free(m.pieces);
    free(m.frequency);
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
    for (int t = 0; t < 2; t++) {
        ts_words_release(&k[t].words);
        free(k[t].hashes);
    }
    return all > 0 ? (double)both / all : 0;
}
