/* The two hash tables of a tokenizer: names to ids, pairs to merges. Open addressing, filled to
 * two thirds at most: a fuller table misses the cache less than a long probe costs. */
#include "core/model/tokenizer_impl.h"

#include "core/base/hash.h"

#include <stdlib.h>
#include <string.h>

static uint32_t name_hash(const char *name, size_t n) {
    return (uint32_t)ts_hash64(name, n, 0);
}

static bool same_name(const ts_vocab *v, int32_t id, const char *name, size_t n) {
    const ts_vocab_name *have = &v->names[id];
    return have->n == n && memcmp(v->text.data + have->at, name, n) == 0;
}

static ts_vocab_slot *vocab_slot(const ts_vocab *v, const char *name, size_t n, uint32_t hash) {
    size_t mask = v->n_slots - 1, i = hash & mask;
    while (v->slots[i].id >= 0 && !(v->slots[i].hash == hash && same_name(v, v->slots[i].id, name, n)))
        i = (i + 1) & mask;
    return &v->slots[i];
}

static void vocab_resize(ts_vocab *v, size_t n_slots) {
    ts_vocab_slot *old = v->slots;
    size_t n_old = v->n_slots;
    v->slots = ts_malloc(n_slots * sizeof *v->slots);
    v->n_slots = n_slots;
    memset(v->slots, 0xff, n_slots * sizeof *v->slots);
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].id < 0) continue;
        size_t at = old[i].hash & (n_slots - 1);
        while (v->slots[at].id >= 0)
            at = (at + 1) & (n_slots - 1);
        v->slots[at] = old[i];
    }
    free(old);
}

static size_t slots_for(size_t count) {
    size_t n = 64;
    while (n <= count + count / 2)
        n *= 2;
    return n;
}

void ts_vocab_expect(ts_vocab *v, size_t count) {
    if (count + count / 2 >= v->n_slots) vocab_resize(v, slots_for(count));
}

bool ts_vocab_add(ts_vocab *v, const char *name, size_t n, int64_t id) {
    if (id < 0 || id >= TS_TOKEN_IDS_MAX || v->text.len + n + 2 > UINT32_MAX) return false;
    ts_vocab_expect(v, v->used + 1);
    if (v->text.len == 0) ts_buf_putc(&v->text, 0);
    if ((size_t)id >= v->n) {
        TS_GROW(v->names, v->cap, (size_t)id + 1);
        memset(v->names + v->n, 0, ((size_t)id + 1 - v->n) * sizeof *v->names);
        v->n = (size_t)id + 1;
    }
    uint32_t hash = name_hash(name, n);
    ts_vocab_slot *slot = vocab_slot(v, name, n, hash);
    uint32_t at = (uint32_t)v->text.len;
    if (slot->id < 0) {
        v->used++;
        ts_buf_add(&v->text, name, n);
        ts_buf_putc(&v->text, 0);
    } else {
        at = v->names[slot->id].at;
    }
    v->names[id] = (ts_vocab_name){at, (uint32_t)n};
    *slot = (ts_vocab_slot){hash, (int32_t)id};
    return true;
}

int32_t ts_vocab_find(const ts_vocab *v, const char *name, size_t n) {
    return v->n_slots ? vocab_slot(v, name, n, name_hash(name, n))->id : -1;
}

void ts_vocab_release(ts_vocab *v) {
    ts_buf_release(&v->text);
    free(v->names);
    free(v->slots);
    *v = (ts_vocab){0};
}

static uint64_t pair_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static size_t pair_place(const ts_merges *m, uint64_t pair) {
    return (size_t)((pair * 0x9e3779b97f4a7c15u) >> 32) & (m->n_slots - 1); /* Fibonacci hashing, Knuth 6.4 */
}

static ts_merge *merge_slot(const ts_merges *m, uint64_t pair) {
    size_t mask = m->n_slots - 1, i = pair_place(m, pair);
    while (m->slots[i].pair != UINT64_MAX && m->slots[i].pair != pair)
        i = (i + 1) & mask;
    return &m->slots[i];
}

static void merges_resize(ts_merges *m, size_t n_slots) {
    ts_merge *old = m->slots;
    size_t n_old = m->n_slots;
    m->slots = ts_malloc(n_slots * sizeof *m->slots);
    m->n_slots = n_slots;
    memset(m->slots, 0xff, n_slots * sizeof *m->slots);
    for (size_t i = 0; i < n_old; i++)
        if (old[i].pair != UINT64_MAX) *merge_slot(m, old[i].pair) = old[i];
    free(old);
}

void ts_merges_expect(ts_merges *m, size_t count) {
    if (count + count / 2 >= m->n_slots) merges_resize(m, slots_for(count));
}

void ts_merges_add(ts_merges *m, int32_t left, int32_t right, int32_t rank, int32_t id) {
    ts_merges_expect(m, m->used + 1);
    ts_merge *slot = merge_slot(m, pair_of(left, right));
    m->used += slot->pair == UINT64_MAX;
    *slot = (ts_merge){pair_of(left, right), rank, id};
}

const ts_merge *ts_merges_find(const ts_merges *m, int32_t left, int32_t right) {
    if (!m->n_slots) return NULL;
    const ts_merge *slot = merge_slot(m, pair_of(left, right));
    return slot->pair == UINT64_MAX ? NULL : slot;
}

/* ---- many at once ---- */

static void names_of(const ts_merge_batch *b, const ts_merge_name *m, const char *name[3], size_t n[3]) {
    name[0] = b->text.data + m->at;
    name[1] = name[0] + m->left_n;
    name[2] = b->cut ? name[0] + m->n : name[0];
    n[0] = m->left_n;
    n[1] = m->n - m->left_n;
    n[2] = m->n - b->cut;
}

/* Three rounds, each asking for what the next one reads: slots, places of names, names. */
static void fetch_names(ts_merge_batch *b) {
    const ts_vocab *v = b->vocab;
    const char *name[3];
    size_t n[3], mask = v->n_slots - 1;
    for (size_t i = 0; i < b->n; i++) {
        names_of(b, &b->items[i], name, n);
        for (int k = 0; k < 3; k++) {
            b->items[i].hash[k] = name_hash(name[k], n[k]);
            __builtin_prefetch(&v->slots[b->items[i].hash[k] & mask]);
        }
    }
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < 3 * b->n; i++) {
            int32_t id = v->slots[b->items[i / 3].hash[i % 3] & mask].id;
            if (id < 0) continue;
            if (round == 0)
                __builtin_prefetch(&v->names[id]);
            else
                __builtin_prefetch(v->text.data + v->names[id].at);
        }
}

static bool flush(ts_merge_batch *b) {
    const char *name[3];
    size_t n[3];
    if (b->n == 0 || b->vocab->n_slots == 0) {
        b->bad = b->n ? &b->items[0] : NULL;
        return b->n == 0;
    }
    fetch_names(b);
    ts_merges_expect(b->merges, b->merges->used + b->n);
    for (size_t i = 0; i < b->n; i++) {
        ts_merge_name *m = &b->items[i];
        names_of(b, m, name, n);
        for (int k = 0; k < 3; k++) {
            m->id[k] = vocab_slot(b->vocab, name[k], n[k], m->hash[k])->id;
            if (m->id[k] < 0) b->bad = b->bad ? b->bad : m;
        }
        __builtin_prefetch(&b->merges->slots[pair_place(b->merges, pair_of(m->id[0], m->id[1]))], 1);
    }
    if (b->bad) return false;
    for (size_t i = 0; i < b->n; i++) {
        const ts_merge_name *m = &b->items[i];
        ts_merges_add(b->merges, m->id[0], m->id[1], b->rank++, m->id[2]);
    }
    b->n = 0;
    ts_buf_reset(&b->text);
    return true;
}

bool ts_merge_batch_add(ts_merge_batch *b, const char *joined, size_t left_n, size_t n, const char *where) {
    if (b->n == TS_MERGE_BATCH && !flush(b)) return false;
    b->items[b->n++] = (ts_merge_name){.at = b->text.len, .left_n = (uint32_t)left_n, .n = (uint32_t)n, .where = where};
    ts_buf_add(&b->text, joined, n);
    if (b->cut) { /* the name of both stands behind */
        if (n - left_n < b->cut) b->bad = &b->items[b->n - 1];
        if (b->bad) return false;
        ts_buf_add(&b->text, joined, left_n);
        ts_buf_add(&b->text, joined + left_n + b->cut, n - left_n - b->cut);
    }
    return true;
}

bool ts_merge_batch_end(ts_merge_batch *b) {
    return flush(b);
}

void ts_merge_batch_release(ts_merge_batch *b) {
    ts_buf_release(&b->text);
}
