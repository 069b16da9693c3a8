#include "dataset/neardup.h"

#include "core/base/hash.h"
#include "core/work/pool.h"
#include "dataset/shingle.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128 };

/* Rounding must not lose a pair that is exactly at the threshold. */
#define SLACK 1e-9

static size_t least_overlap(double t, size_t x, size_t y) {
    return (size_t)ceil(t / (1 + t) * (double)(x + y) - SLACK);
}

/* ---- equal sets taken together ---- */

/* Sets by rising size; equal ones once, with their number. */
struct unit {
    const uint64_t *keys;
    uint32_t n, first, copies; /* first: the text that stands for it; next copies hang on `next_copy` */
};

struct joining {
    const ts_sets *sets;
    const ts_near_options *o;
    ts_progress *progress;
    struct unit *units;
    size_t n;            /* units */
    uint32_t *next_copy; /* per text: the next one with an equal set, 0 at the end (text 0 is never next) */
    /* prefixes: bucket b holds postings[bucket[b] .. bucket[b + 1]) */
    struct posting *postings;
    size_t *bucket, buckets;
    struct worker *workers;
    /* results; lock guards all below */
    pthread_mutex_t lock;
    uint32_t *parent;  /* union-find over texts */
    float *best, *low; /* low: weakest pair at a root */
    uint64_t pairs;
    ts_near_pair *list;
    size_t n_list, cap_list, done;
};

struct posting {
    uint64_t key;
    uint32_t unit, at;
};

struct worker {
    uint32_t *overlap; /* per unit, zero between probes */
    uint32_t *touched;
    size_t n_touched, cap_touched;
    struct found {
        uint32_t x, y;
        float similarity;
    } * found;
    size_t n_found, cap_found;
};

struct by_size {
    uint64_t hash;
    uint32_t n, text;
};

static int compare_sets(const void *a, const void *b) {
    const struct by_size *x = a, *y = b;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return (x->text > y->text) - (x->text < y->text);
}

static void make_units(struct joining *j) {
    const ts_sets *s = j->sets;
    struct by_size *order = ts_malloc(TS_MAX(s->n, 1) * sizeof *order);
    uint32_t last = 0;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        size_t len = s->start[i + 1] - s->start[i];
        if (len)
            order[n++] = (struct by_size){ts_hash64(s->keys + s->start[i], len * sizeof *s->keys, 0), (uint32_t)len,
                                          (uint32_t)i};
    }
    qsort(order, n, sizeof *order, compare_sets);
    j->units = ts_malloc(TS_MAX(n, 1) * sizeof *j->units);
    for (size_t i = 0; i < n; i++) {
        const uint64_t *keys = s->keys + s->start[order[i].text];
        struct unit *u = j->n ? &j->units[j->n - 1] : NULL;
        if (u && u->n == order[i].n && memcmp(u->keys, keys, u->n * sizeof *keys) == 0) {
            u->copies++;
            j->next_copy[last] = order[i].text;
        } else {
            j->units[j->n++] = (struct unit){keys, order[i].n, order[i].text, 1};
        }
        last = order[i].text;
    }
    free(order);
}

/* ---- the index of prefixes ---- */

static size_t prefix_length(const struct unit *u, double t) {
    return u->n - (size_t)ceil(t * u->n - SLACK) + 1;
}

/* A shingle that occurs once leads nowhere. */
static bool leads(uint64_t key) {
    return key >> 44 > 1;
}

static size_t bucket_of(const struct joining *j, uint64_t key) {
    return (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (j->buckets - 1);
}

static void index_prefixes(struct joining *j) {
    size_t total = 0;
    for (size_t u = 0; u < j->n; u++)
        for (size_t i = 0, n = prefix_length(&j->units[u], j->o->threshold); i < n; i++)
            total += leads(j->units[u].keys[i]);
    for (j->buckets = 1024; j->buckets < total; j->buckets *= 2) {
    }
    j->bucket = ts_calloc(j->buckets + 2, sizeof *j->bucket);
    j->postings = ts_malloc(TS_MAX(total, 1) * sizeof *j->postings);
    for (int pass = 0; pass < 2; pass++) { /* count, then place: bucket[b + 1] is where b's next one goes */
        for (size_t u = 0; u < j->n; u++)
            for (size_t i = 0, n = prefix_length(&j->units[u], j->o->threshold); i < n; i++) {
                uint64_t key = j->units[u].keys[i];
                if (!leads(key)) continue;
                size_t b = bucket_of(j, key);
                if (pass == 0)
                    j->bucket[b + 2]++;
                else
                    j->postings[j->bucket[b + 1]++] = (struct posting){key, (uint32_t)u, (uint32_t)i};
            }
        for (size_t b = 2; pass == 0 && b < j->buckets + 2; b++)
            j->bucket[b] += j->bucket[b - 1];
    }
}

/* ---- one text against the smaller ones ---- */

/* Shared keys of two sets, or 0 as soon as fewer than `least` are possible. */
static size_t overlap_of(const struct unit *x, const struct unit *y, size_t least) {
    size_t i = 0, j = 0, both = 0;
    while (i < x->n && j < y->n) {
        if (both + TS_MIN(x->n - i, y->n - j) < least) return 0;
        uint64_t a = x->keys[i], b = y->keys[j];
        both += a == b;
        i += a <= b;
        j += b <= a;
    }
    return both >= least ? both : 0;
}

enum { RULED_OUT = UINT32_MAX };

static void count_candidates(const struct joining *j, struct worker *w, size_t x) {
    const struct unit *ux = &j->units[x];
    double t = j->o->threshold;
    size_t least_size = (size_t)ceil(t * ux->n - SLACK);
    for (size_t i = 0, n = prefix_length(ux, t); i < n; i++) {
        if (!leads(ux->keys[i])) continue;
        size_t b = bucket_of(j, ux->keys[i]);
        for (size_t p = j->bucket[b]; p < j->bucket[b + 1] && j->postings[p].unit < x; p++) {
            const struct posting *post = &j->postings[p];
            const struct unit *uy = &j->units[post->unit];
            if (post->key != ux->keys[i] || uy->n < least_size) continue;
            uint32_t *count = &w->overlap[post->unit];
            if (*count == RULED_OUT) continue;
            if (!*count) TS_PUSH(w->touched, w->n_touched, w->cap_touched, post->unit);
            size_t possible = *count + 1 + TS_MIN(ux->n - i - 1, (size_t)uy->n - post->at - 1);
            *count = possible >= least_overlap(t, ux->n, uy->n) ? *count + 1 : RULED_OUT;
        }
    }
}

static void verify_candidates(const struct joining *j, struct worker *w, size_t x) {
    const struct unit *ux = &j->units[x];
    for (size_t c = 0; c < w->n_touched; c++) {
        size_t y = w->touched[c];
        const struct unit *uy = &j->units[y];
        bool possible = w->overlap[y] != RULED_OUT;
        w->overlap[y] = 0;
        if (!possible) continue;
        size_t both = overlap_of(ux, uy, least_overlap(j->o->threshold, ux->n, uy->n));
        if (!both) continue;
        double similarity = (double)both / (double)(ux->n + uy->n - both);
        if (similarity + SLACK < j->o->threshold) continue;
        struct found f = {(uint32_t)x, (uint32_t)y, (float)similarity};
        TS_PUSH(w->found, w->n_found, w->cap_found, f);
    }
    w->n_touched = 0;
}

/* ---- groups ---- */

static uint32_t root_of(uint32_t *parent, uint32_t i) {
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

/* Order of the calls does not matter: smallest root, lowest similarity, highest similarity win. */
static void unite(struct joining *j, uint32_t a, uint32_t b, float similarity) {
    uint32_t x = root_of(j->parent, a), y = root_of(j->parent, b);
    uint32_t root = TS_MIN(x, y), other = TS_MAX(x, y);
    float low = TS_MIN(TS_MIN(j->low[x], j->low[y]), similarity);
    j->parent[other] = root;
    j->low[root] = low;
    j->best[a] = TS_MAX(j->best[a], similarity);
    j->best[b] = TS_MAX(j->best[b], similarity);
}

static void list_pair(struct joining *j, uint32_t a, uint32_t b, float similarity) {
    ts_near_pair p = {TS_MIN(a, b), TS_MAX(a, b), similarity};
    if (j->o->keep_pairs) TS_PUSH(j->list, j->n_list, j->cap_list, p);
}

/* All copies of x with all of y. */
static void take_found(struct joining *j, const struct found *f) {
    const struct unit *ux = &j->units[f->x], *uy = &j->units[f->y];
    j->pairs += (uint64_t)ux->copies * uy->copies;
    unite(j, ux->first, uy->first, f->similarity);
    for (uint32_t a = ux->first, i = 0; i < ux->copies; i++, a = j->next_copy[a]) {
        j->best[a] = TS_MAX(j->best[a], f->similarity);
        for (uint32_t b = uy->first, k = 0; j->o->keep_pairs && k < uy->copies; k++, b = j->next_copy[b])
            list_pair(j, a, b, f->similarity);
    }
    for (uint32_t b = uy->first, k = 0; k < uy->copies; k++, b = j->next_copy[b])
        j->best[b] = TS_MAX(j->best[b], f->similarity);
}

static void take_copies(struct joining *j, const struct unit *u) {
    j->pairs += (uint64_t)u->copies * (u->copies - 1) / 2;
    for (uint32_t a = u->first, i = 1; i < u->copies; i++, a = j->next_copy[a]) {
        unite(j, a, j->next_copy[a], 1);
        for (uint32_t b = j->next_copy[a], k = i; j->o->keep_pairs && k < u->copies; k++, b = j->next_copy[b])
            list_pair(j, a, b, 1);
    }
}

static void join_block(void *ctx, size_t block, int worker) {
    struct joining *j = ctx;
    struct worker *w = &j->workers[worker];
    size_t last = TS_MIN((block + 1) * BLOCK, j->n);
    for (size_t x = block * BLOCK; x < last && !ts_cancelled(j->progress); x++) {
        count_candidates(j, w, x);
        verify_candidates(j, w, x);
    }
    pthread_mutex_lock(&j->lock);
    for (size_t i = 0; i < w->n_found; i++)
        take_found(j, &w->found[i]);
    w->n_found = 0;
    j->done += last - block * BLOCK;
    ts_progress_set(j->progress, (int64_t)j->done, (int64_t)j->n);
    pthread_mutex_unlock(&j->lock);
}

static int by_place(const void *a, const void *b) {
    const ts_near_pair *x = a, *y = b;
    if (x->a != y->a) return x->a < y->a ? -1 : 1;
    return (x->b > y->b) - (x->b < y->b);
}

static void number_groups(struct joining *j, ts_near *out) {
    uint32_t *size = ts_calloc(TS_MAX(out->n, 1), sizeof *size);
    size_t components = 0;
    for (uint32_t i = 0; i < out->n; i++)
        size[root_of(j->parent, i)]++;
    out->weakest = ts_calloc(out->n + 1, sizeof *out->weakest);
    out->largest = out->n ? 1 : 0;
    for (uint32_t i = 0; i < out->n; i++) {
        uint32_t root = root_of(j->parent, i);
        components += root == i;
        if (size[root] < 2) continue;
        if (root == i) out->group[i] = (uint32_t)++out->groups; /* a root is the first of its group */
        out->group[i] = out->group[root];
        out->weakest[out->group[i]] = j->low[root];
        out->largest = TS_MAX(out->largest, (size_t)size[root]);
    }
    out->removable = out->n - components;
    free(size);
}

static void begin_join(struct joining *j, const ts_sets *sets, const ts_near_options *o, ts_near *out) {
    size_t n = sets->n;
    *j = (struct joining){.sets = sets, .o = o};
    pthread_mutex_init(&j->lock, NULL);
    *out = (ts_near){.n = n, .lines_skipped = sets->lines_skipped};
    out->group = ts_calloc(TS_MAX(n, 1), sizeof *out->group);
    out->best = j->best = ts_calloc(TS_MAX(n, 1), sizeof *out->best);
    j->next_copy = ts_calloc(TS_MAX(n, 1), sizeof *j->next_copy);
    j->parent = ts_malloc(TS_MAX(n, 1) * sizeof *j->parent);
    j->low = ts_malloc(TS_MAX(n, 1) * sizeof *j->low);
    for (size_t i = 0; i < n; i++) {
        j->parent[i] = (uint32_t)i;
        j->low[i] = 1;
    }
}

static void end_join(struct joining *j, ts_near *out) {
    number_groups(j, out);
    out->pairs = j->pairs;
    if (j->n_list) qsort(j->list, j->n_list, sizeof *j->list, by_place);
    out->list = j->list;
    free(j->units);
    free(j->next_copy);
    free(j->postings);
    free(j->bucket);
    free(j->parent);
    free(j->low);
    pthread_mutex_destroy(&j->lock);
}

static void join(struct joining *j) {
    size_t threads = (size_t)ts_pool_threads();
    make_units(j);
    for (size_t u = 0; u < j->n; u++)
        take_copies(j, &j->units[u]);
    if (j->o->exact) return;
    index_prefixes(j);
    j->workers = ts_calloc(threads, sizeof *j->workers);
    for (size_t i = 0; i < threads; i++)
        j->workers[i].overlap = ts_calloc(TS_MAX(j->n, 1), sizeof *j->workers[i].overlap);
    ts_parallel((j->n + BLOCK - 1) / BLOCK, join_block, j);
    for (size_t i = 0; i < threads; i++) {
        free(j->workers[i].overlap);
        free(j->workers[i].touched);
        free(j->workers[i].found);
    }
    free(j->workers);
}

ts_status ts_near_find(const ts_text *texts, size_t n, const ts_near_options *options, ts_progress *progress,
                       ts_near *out, ts_err *err) {
    ts_sets sets;
    struct joining j;
    ts_assert(options->shingle > 0 && options->threshold > 0 && options->threshold <= 1 && n < UINT32_MAX);
    *out = (ts_near){0};
    ts_progress_what(progress, "reading words");
    ts_status status = ts_sets_make(&sets, texts, n, options, progress, err);
    if (status == TS_OK) {
        begin_join(&j, &sets, options, out);
        j.progress = progress;
        ts_progress_what(progress, "comparing");
        join(&j);
        end_join(&j, out);
        if (ts_cancelled(progress)) {
            status = ts_fail(err, TS_CANCELLED, "the search for duplicates was stopped");
            ts_near_release(out);
        }
    }
    ts_sets_release(&sets);
    return status;
}

ts_status ts_near_find_slowly(const ts_text *texts, size_t n, const ts_near_options *options, ts_near *out,
                              ts_err *err) {
    ts_sets sets;
    struct joining j;
    TS_TRY(ts_sets_make(&sets, texts, n, options, NULL, err));
    begin_join(&j, &sets, options, out);
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = a + 1; b < n; b++) {
            struct unit x = {sets.keys + sets.start[a], (uint32_t)(sets.start[a + 1] - sets.start[a]), a, 1};
            struct unit y = {sets.keys + sets.start[b], (uint32_t)(sets.start[b + 1] - sets.start[b]), b, 1};
            size_t both = overlap_of(&x, &y, 1);
            double similarity = both ? (double)both / (double)(x.n + y.n - both) : 0;
            if (!both || similarity + SLACK < (options->exact ? 1 : options->threshold)) continue;
            j.pairs++;
            unite(&j, a, b, (float)similarity);
            list_pair(&j, a, b, (float)similarity);
        }
    end_join(&j, out);
    ts_sets_release(&sets);
    return TS_OK;
}

void ts_near_release(ts_near *out) {
    free(out->group);
    free(out->best);
    free(out->weakest);
    free(out->list);
    *out = (ts_near){0};
}
