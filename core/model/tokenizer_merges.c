/* The merges of a tokenizer as a list, for writing them: read from the table, or made from scores. */
#include "core/model/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

static int by_rank(const void *a, const void *b) {
    const ts_merge_item *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static void from_table(const ts_tokenizer *t, ts_merge_list *out) {
    for (size_t i = 0; i < t->merges.n_slots; i++) {
        const ts_merge *m = &t->merges.slots[i];
        ts_merge_item item = {(int32_t)(m->pair >> 32), (int32_t)(m->pair & 0xffffffffu), m->id, m->rank, 0};
        if (m->pair != UINT64_MAX) TS_PUSH(out->items, out->n, out->cap, item);
    }
    if (out->n) qsort(out->items, out->n, sizeof *out->items, by_rank);
}

/* Best score first; of one score the longer left side, then the longer right side: the order of transformers'
 * SentencePieceExtractor. `rank` holds the place where the pair was found, `left_n` the left side's length. */
static int by_score(const void *a, const void *b, void *scores) {
    const ts_merge_item *x = a, *y = b;
    const float *s = scores;
    if (s[x->id] != s[y->id]) return s[x->id] < s[y->id] ? 1 : -1;
    if (x->left_n != y->left_n) return x->left_n < y->left_n ? 1 : -1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* Every way to put a piece together from two others. */
static void from_scores(const ts_tokenizer *t, ts_merge_list *out) {
    for (size_t id = 0; id < t->vocab.n; id++) {
        const ts_vocab_name *name = &t->vocab.names[id];
        const char *s = t->vocab.text.data + name->at;
        if (!name->at || t->special[id]) continue;
        for (uint32_t cut = 1; cut < name->n; cut++) {
            if (((unsigned char)s[cut] & 0xc0) == 0x80) continue; /* inside a character */
            int32_t left = ts_vocab_find(&t->vocab, s, cut), right = ts_vocab_find(&t->vocab, s + cut, name->n - cut);
            ts_merge_item item = {left, right, (int32_t)id, (int32_t)out->n, cut};
            if (left >= 0 && right >= 0) TS_PUSH(out->items, out->n, out->cap, item);
        }
    }
    if (out->n) qsort_r(out->items, out->n, sizeof *out->items, by_score, t->scores);
}

void ts_tokenizer_merges(const ts_tokenizer *t, ts_merge_list *out) {
    *out = (ts_merge_list){0};
    if (t->scores)
        from_scores(t, out);
    else
        from_table(t, out);
}
