#include "dataset/neardup.h"

#include "core/base/hash.h"
#include "core/work/pool.h"
#include "dataset/join.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* JOIN_BUDGET: meetings of two texts in the index of prefixes beyond which MinHash takes over. Real sets stay far below
 * (100,000 recombined rows: 1.5 million); each costs up to some 60 ns, when the pair has to be verified. */
enum { BLOCK = 128 };
#define JOIN_BUDGET 300000000u

const char *ts_near_search_name(ts_near_search s) {
    static const char *const names[] = {"auto", "join", "minhash"};
    return names[s];
}

size_t ts_join_least(double t, size_t x, size_t y) {
    return (size_t)ceil(t / (1 + t) * (double)(x + y) - TS_JOIN_SLACK);
}

/* ---- equal sets taken together ---- */

struct posting {
    uint64_t key;
    uint32_t unit, at;
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

static void make_units(ts_join *j) {
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
        ts_unit *u = j->n ? &j->units[j->n - 1] : NULL;
        if (u && u->n == order[i].n && memcmp(u->keys, keys, u->n * sizeof *keys) == 0) {
            u->copies++;
            u->fresh += order[i].text >= j->o->old;
            j->next_copy[last] = order[i].text;
        } else {
            j->units[j->n++] = (ts_unit){keys, order[i].n, order[i].text, 1, order[i].text >= j->o->old};
        }
        last = order[i].text;
    }
    free(order);
}

/* ---- the index of prefixes ---- */

static size_t prefix_length(const ts_unit *u, double t) {
    return u->n - (size_t)ceil(t * u->n - TS_JOIN_SLACK) + 1;
}

/* A shingle that occurs once leads nowhere. */
static bool leads(uint64_t key) {
    return key >> TS_KEY_BITS > 0;
}

static size_t bucket_of(const ts_join *j, uint64_t key) {
    return (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (j->buckets - 1);
}

/* Returns how often two texts meet in the index: what the join would cost. */
static uint64_t index_prefixes(ts_join *j) {
    size_t total = 0;
    uint64_t meetings = 0;
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
        for (size_t b = 2; pass == 0 && b < j->buckets + 2; b++) {
            meetings += (uint64_t)j->bucket[b] * (j->bucket[b] - (j->bucket[b] > 0)) / 2;
            j->bucket[b] += j->bucket[b - 1];
        }
        if (pass == 0 && j->o->search != TS_NEAR_JOIN && meetings > JOIN_BUDGET) return meetings;
    }
    return meetings;
}

/* ---- one text against the smaller ones ---- */

/* Shared keys of two sets, or 0 as soon as fewer than `least` are possible. */
static size_t overlap_of(const ts_unit *x, const ts_unit *y, size_t least) {
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

static void count_candidates(const ts_join *j, ts_join_worker *w, size_t x) {
    const ts_unit *ux = &j->units[x];
    double t = j->o->threshold;
    size_t least_size = (size_t)ceil(t * ux->n - TS_JOIN_SLACK);
    for (size_t i = 0, n = prefix_length(ux, t); i < n; i++) {
        if (!leads(ux->keys[i])) continue;
        size_t b = bucket_of(j, ux->keys[i]);
        for (size_t p = j->bucket[b]; p < j->bucket[b + 1] && j->postings[p].unit < x; p++) {
            const struct posting *post = &j->postings[p];
            const ts_unit *uy = &j->units[post->unit];
            if (post->key != ux->keys[i] || uy->n < least_size || ts_join_both_old(ux, uy)) continue;
            uint32_t *count = &w->overlap[post->unit];
            if (*count == RULED_OUT) continue;
            if (!*count) TS_PUSH(w->touched, w->n_touched, w->cap_touched, post->unit);
            size_t possible = *count + 1 + TS_MIN(ux->n - i - 1, (size_t)uy->n - post->at - 1);
            *count = possible >= ts_join_least(t, ux->n, uy->n) ? *count + 1 : RULED_OUT;
        }
    }
}

void ts_join_verify(const ts_join *j, ts_join_worker *w, size_t x, size_t y) {
    const ts_unit *ux = &j->units[x], *uy = &j->units[y];
    size_t both = overlap_of(ux, uy, ts_join_least(j->o->threshold, ux->n, uy->n));
    if (!both) return;
    double similarity = (double)both / (double)(ux->n + uy->n - both);
    if (similarity + TS_JOIN_SLACK < j->o->threshold) return;
    ts_found f = {(uint32_t)x, (uint32_t)y, (float)similarity};
    TS_PUSH(w->found, w->n_found, w->cap_found, f);
}

static void verify_candidates(const ts_join *j, ts_join_worker *w, size_t x) {
    for (size_t c = 0; c < w->n_touched; c++) {
        size_t y = w->touched[c];
        bool possible = w->overlap[y] != RULED_OUT;
        w->overlap[y] = 0;
        if (possible) ts_join_verify(j, w, x, y);
    }
    w->n_touched = 0;
}

/* ---- groups ---- */

uint32_t ts_join_root(uint32_t *parent, uint32_t i) {
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

/* Order of the calls does not matter: smallest root, lowest similarity, highest similarity win. */
static void unite(ts_join *j, uint32_t a, uint32_t b, float similarity) {
    uint32_t x = ts_join_root(j->parent, a), y = ts_join_root(j->parent, b);
    uint32_t root = TS_MIN(x, y), other = TS_MAX(x, y);
    float low = TS_MIN(TS_MIN(j->low[x], j->low[y]), similarity);
    j->parent[other] = root;
    j->low[root] = low;
    j->best[a] = TS_MAX(j->best[a], similarity);
    j->best[b] = TS_MAX(j->best[b], similarity);
}

static void list_pair(ts_join *j, uint32_t a, uint32_t b, float similarity) {
    ts_near_pair p = {TS_MIN(a, b), TS_MAX(a, b), similarity};
    if (j->o->keep_pairs) TS_PUSH(j->list, j->n_list, j->cap_list, p);
}

/* The new texts of x are like an old one of y. */
static void mark_like_old(ts_join *j, const ts_unit *x, const ts_unit *y) {
    if (!j->like_old || y->fresh == y->copies) return;
    for (uint32_t a = x->first, i = 0; i < x->copies; i++, a = j->next_copy[a])
        j->like_old[a] = a >= j->o->old;
}

/* All copies of x with all of y. */
void ts_join_take(ts_join *j, const ts_found *f) {
    const ts_unit *ux = &j->units[f->x], *uy = &j->units[f->y];
    j->pairs += (uint64_t)ux->copies * uy->copies;
    mark_like_old(j, ux, uy);
    mark_like_old(j, uy, ux);
    unite(j, ux->first, uy->first, f->similarity);
    for (uint32_t a = ux->first, i = 0; i < ux->copies; i++, a = j->next_copy[a]) {
        j->best[a] = TS_MAX(j->best[a], f->similarity);
        for (uint32_t b = uy->first, k = 0; j->o->keep_pairs && k < uy->copies; k++, b = j->next_copy[b])
            list_pair(j, a, b, f->similarity);
    }
    for (uint32_t b = uy->first, k = 0; k < uy->copies; k++, b = j->next_copy[b])
        j->best[b] = TS_MAX(j->best[b], f->similarity);
}

static void take_copies(ts_join *j, const ts_unit *u) {
    if (u->copies > 1) mark_like_old(j, u, u);
    j->pairs += (uint64_t)u->copies * (u->copies - 1) / 2;
    for (uint32_t a = u->first, i = 1; i < u->copies; i++, a = j->next_copy[a]) {
        unite(j, a, j->next_copy[a], 1);
        for (uint32_t b = j->next_copy[a], k = i; j->o->keep_pairs && k < u->copies; k++, b = j->next_copy[b])
            list_pair(j, a, b, 1);
    }
}

static void join_block(void *ctx, size_t block, int worker) {
    ts_join *j = ctx;
    ts_join_worker *w = &j->workers[worker];
    size_t last = TS_MIN((block + 1) * BLOCK, j->n);
    for (size_t x = block * BLOCK; x < last && !ts_cancelled(j->progress); x++) {
        count_candidates(j, w, x);
        verify_candidates(j, w, x);
    }
    pthread_mutex_lock(&j->lock);
    for (size_t i = 0; i < w->n_found; i++)
        ts_join_take(j, &w->found[i]);
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

static void number_groups(ts_join *j, ts_near *out) {
    uint32_t *size = ts_calloc(TS_MAX(out->n, 1), sizeof *size);
    size_t components = 0;
    for (uint32_t i = 0; i < out->n; i++)
        size[ts_join_root(j->parent, i)]++;
    out->weakest = ts_calloc(out->n + 1, sizeof *out->weakest);
    out->largest = out->n ? 1 : 0;
    for (uint32_t i = 0; i < out->n; i++) {
        uint32_t root = ts_join_root(j->parent, i);
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

static void begin_join(ts_join *j, const ts_sets *sets, const ts_near_options *o, ts_near *out) {
    size_t n = sets->n;
    *j = (ts_join){.sets = sets, .o = o, .out = out};
    pthread_mutex_init(&j->lock, NULL);
    *out = (ts_near){.n = n, .lines_skipped = sets->lines_skipped, .recall = 1};
    out->group = ts_calloc(TS_MAX(n, 1), sizeof *out->group);
    out->best = j->best = ts_calloc(TS_MAX(n, 1), sizeof *out->best);
    j->next_copy = ts_calloc(TS_MAX(n, 1), sizeof *j->next_copy);
    if (o->old) j->like_old = ts_calloc(TS_MAX(n, 1), sizeof *j->like_old);
    j->parent = ts_malloc(TS_MAX(n, 1) * sizeof *j->parent);
    j->low = ts_malloc(TS_MAX(n, 1) * sizeof *j->low);
    for (size_t i = 0; i < n; i++) {
        j->parent[i] = (uint32_t)i;
        j->low[i] = 1;
    }
}

static void end_join(ts_join *j, ts_near *out) {
    number_groups(j, out);
    out->pairs = j->pairs;
    if (j->n_list) qsort(j->list, j->n_list, sizeof *j->list, by_place);
    out->list = j->list;
    for (size_t i = j->o->old; j->like_old && i < out->n; i++)
        out->like_old += j->like_old[i];
    free(j->like_old);
    free(j->units);
    free(j->next_copy);
    free(j->postings);
    free(j->bucket);
    free(j->parent);
    free(j->low);
    pthread_mutex_destroy(&j->lock);
}

static void join(ts_join *j) {
    size_t threads = (size_t)ts_pool_threads();
    make_units(j);
    for (size_t u = 0; u < j->n; u++)
        take_copies(j, &j->units[u]);
    if (j->o->exact) return;
    bool minhash = j->o->search == TS_NEAR_MINHASH || (index_prefixes(j) > JOIN_BUDGET && j->o->search != TS_NEAR_JOIN);
    j->out->search = minhash ? TS_NEAR_MINHASH : TS_NEAR_JOIN;
    j->workers = ts_calloc(threads, sizeof *j->workers);
    for (size_t i = 0; i < threads && !minhash; i++)
        j->workers[i].overlap = ts_calloc(TS_MAX(j->n, 1), sizeof *j->workers[i].overlap);
    if (minhash)
        ts_join_minhash(j);
    else
        ts_parallel((j->n + BLOCK - 1) / BLOCK, join_block, j);
    for (size_t i = 0; i < threads; i++) {
        free(j->workers[i].overlap);
        free(j->workers[i].touched);
        free(j->workers[i].found);
        free(j->workers[i].together);
    }
    free(j->workers);
}

ts_status ts_near_find(const ts_text *texts, size_t n, const ts_near_options *options, ts_progress *progress,
                       ts_near *out, ts_err *err) {
    ts_sets sets;
    ts_join j;
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
    ts_join j;
    TS_TRY(ts_sets_make(&sets, texts, n, options, NULL, err));
    begin_join(&j, &sets, options, out);
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = a + 1; b < n; b++) {
            ts_unit x = {sets.keys + sets.start[a], (uint32_t)(sets.start[a + 1] - sets.start[a]), a, 1, 1};
            ts_unit y = {sets.keys + sets.start[b], (uint32_t)(sets.start[b + 1] - sets.start[b]), b, 1, 1};
            size_t both = overlap_of(&x, &y, 1);
            double similarity = both ? (double)both / (double)(x.n + y.n - both) : 0;
            if (!both || similarity + TS_JOIN_SLACK < (options->exact ? 1 : options->threshold)) continue;
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
