#include "tui/idset.h"

#include "core/base/rand.h"

#include <stdlib.h>

/* Open addressing, linear probing, at most half full, so every search meets a free slot. */
static size_t slot_of(const ts_idset *s, int64_t id) {
    size_t at = (size_t)ts_rand_mix((uint64_t)id, 1) & (s->cap - 1);
    while (s->slots[at] && s->slots[at] != id)
        at = (at + 1) & (s->cap - 1);
    return at;
}

bool ts_idset_has(const ts_idset *s, int64_t id) {
    return s->cap && s->slots[slot_of(s, id)] == id;
}

static void grow(ts_idset *s) {
    ts_idset bigger = {.cap = s->cap ? s->cap * 2 : 64};
    bigger.slots = ts_calloc(bigger.cap, sizeof *bigger.slots);
    for (size_t i = 0; i < s->cap; i++)
        if (s->slots[i]) bigger.slots[slot_of(&bigger, s->slots[i])] = s->slots[i];
    bigger.n = s->n;
    free(s->slots);
    *s = bigger;
}

/* Taking out moves the rest of the run back, so that no search stops early. */
static void take_out(ts_idset *s, size_t at) {
    s->slots[at] = 0;
    s->n--;
    for (size_t i = (at + 1) & (s->cap - 1); s->slots[i]; i = (i + 1) & (s->cap - 1)) {
        int64_t id = s->slots[i];
        s->slots[i] = 0;
        s->slots[slot_of(s, id)] = id;
    }
}

void ts_idset_put(ts_idset *s, int64_t id, bool in) {
    if (in && (s->n + 1) * 2 > s->cap) grow(s);
    if (!s->cap) return;
    size_t at = slot_of(s, id);
    bool there = s->slots[at] == id;
    if (in && !there) {
        s->slots[at] = id;
        s->n++;
    } else if (!in && there) {
        take_out(s, at);
    }
}

void ts_idset_clear(ts_idset *s) {
    free(s->slots);
    *s = (ts_idset){0};
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int64_t *ts_idset_list(const ts_idset *s) {
    int64_t *ids = ts_malloc((s->n + 1) * sizeof *ids);
    size_t n = 0;
    for (size_t i = 0; i < s->cap; i++)
        if (s->slots[i]) ids[n++] = s->slots[i];
    qsort(ids, n, sizeof *ids, compare);
    return ids;
}
