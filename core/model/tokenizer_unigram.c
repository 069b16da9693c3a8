/* Unigram models: of all ways to put a word together from names of the vocabulary, the one whose scores add up to most
 * (Viterbi's search; Kudo 2018, "Subword Regularization", section 3.2), as Hugging Face's tokenizers has it. A
 * character that is no name costs the least score of all minus 10 and is unknown; neighbours that are unknown become
 * one, which is written as bytes where the vocabulary has them all.
 *
 * The names that begin at a place are found in a sorted list, each byte of the word narrowing the stretch of it that is
 * left: 4 bytes a name, where a trie would take ten times the file. */
#include "core/model/tokenizer_impl.h"

#include "core/base/utf8.h"

#include <stdlib.h>
#include <string.h>

static const char *name_at(const ts_vocab *v, int32_t id) {
    return v->text.data + v->names[id].at;
}

static int by_bytes(const void *a, const void *b, void *vocab) {
    const ts_vocab *v = vocab;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    uint32_t n = v->names[x].n, m = v->names[y].n;
    int order = memcmp(name_at(v, x), name_at(v, y), TS_MIN(n, m));
    return order ? order : (n > m) - (n < m);
}

void ts_unigram_build(ts_tokenizer *t) {
    ts_unigram *u = &t->unigram;
    ts_vocab *v = &t->vocab;
    u->sorted = ts_malloc(u->n * sizeof *u->sorted);
    u->unknown = u->scores[0];
    for (size_t id = 0; id < u->n; id++) {
        const ts_vocab_name *name = &v->names[id];
        u->unknown = TS_MIN(u->unknown, u->scores[id]);
        bool counts = name->at && name->n && ts_vocab_find(v, name_at(v, (int32_t)id), name->n) == (int32_t)id;
        if (counts) u->sorted[u->n_sorted++] = (int32_t)id;
    }
    u->unknown -= 10; /* kUnkPenalty of sentencepiece's unigram_model.cc */
    qsort_r(u->sorted, u->n_sorted, sizeof *u->sorted, by_bytes, v);
    for (size_t i = 0; i < u->n_sorted; i++)
        u->first[(unsigned char)*name_at(v, u->sorted[i]) + 1] = (uint32_t)i + 1;
    for (size_t c = 0; c < 256; c++)
        u->first[c + 1] = TS_MAX(u->first[c + 1], u->first[c]);
}

void ts_unigram_release(ts_unigram *u) {
    free(u->scores);
    free(u->sorted);
}

/* The first of sorted[low..high), which agree in `depth` bytes, whose next byte is at least c. */
static size_t narrow(const ts_tokenizer *t, size_t low, size_t high, size_t depth, unsigned c) {
    while (low < high) {
        size_t mid = (low + high) / 2;
        if ((unsigned char)name_at(&t->vocab, t->unigram.sorted[mid])[depth] < c)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void offer(ts_best *to, double score, int32_t id, size_t from) {
    if (to->from >= 0 && score <= to->score) return;
    *to = (ts_best){.score = score, .id = id, .from = (int32_t)from};
}

/* Every name that stands at word[at..n), the shortest first. true: one of them has `len` bytes. */
static bool offer_names(const ts_tokenizer *t, ts_best *best, const char *word, size_t n, size_t at, size_t len) {
    const ts_unigram *u = &t->unigram;
    unsigned char c = (unsigned char)word[at];
    size_t low = u->first[c], high = u->first[c + 1];
    bool single = false;
    for (size_t depth = 1; low < high; depth++) {
        int32_t id = u->sorted[low];
        if (t->vocab.names[id].n == depth) { /* the shortest stands first */
            offer(&best[at + depth], best[at].score + u->scores[id], id, at);
            single = single || depth == len;
            low++;
        }
        if (at + depth == n) break;
        c = (unsigned char)word[at + depth];
        low = narrow(t, low, high, depth, c);
        high = narrow(t, low, high, depth, c + 1u);
    }
    return single;
}

/* The definition: every stretch looked up. */
static bool offer_stretches(const ts_tokenizer *t, ts_best *best, const char *word, size_t n, size_t at, size_t len) {
    bool single = false;
    for (size_t size = 1; size <= n - at; size++) {
        int32_t id = ts_vocab_find(&t->vocab, word + at, size);
        if (id < 0 || (size_t)id >= t->unigram.n) continue;
        offer(&best[at + size], best[at].score + t->unigram.scores[id], id, at);
        single = single || size == len;
    }
    return single;
}

static void add_symbol(ts_scratch *s, int32_t id, size_t start, size_t len) {
    TS_GROW(s->symbols, s->cap_symbols, s->n_symbols + 1);
    s->symbols[s->n_symbols++] = (ts_symbol){.id = id, .len = (uint32_t)len, .prev = -1, .next = -1, .start = start};
}

static void add_piece(const ts_tokenizer *t, ts_scratch *s, const char *word, size_t start, size_t end) {
    int32_t id = ts_vocab_find(&t->vocab, word + start, end - start);
    bool bytes = t->byte_fallback;
    if (id >= 0 && (size_t)id < t->unigram.n) {
        add_symbol(s, id, start, end - start);
        return;
    }
    for (size_t i = start; i < end; i++)
        bytes = bytes && t->fallback_ids[(unsigned char)word[i]] >= 0;
    for (size_t i = start; bytes && i < end; i++)
        add_symbol(s, t->fallback_ids[(unsigned char)word[i]], i, 1);
    if (!bytes) add_symbol(s, t->unk, start, end - start);
}

void ts_unigram_word(const ts_tokenizer *t, ts_scratch *s, const char *word, size_t n, bool slow) {
    TS_GROW(s->best, s->cap_best, n + 1);
    ts_best *best = s->best;
    s->n_symbols = 0;
    for (size_t i = 0; i <= n; i++)
        best[i] = (ts_best){.from = -1};
    for (size_t at = 0, len; at < n; at += len) {
        uint32_t cp;
        len = ts_utf8_decode(word + at, n - at, &cp);
        bool single = slow ? offer_stretches(t, best, word, n, at, len) : offer_names(t, best, word, n, at, len);
        if (!single) offer(&best[at + len], best[at].score + t->unigram.unknown, t->unk, at);
    }
    for (size_t end = n; end > 0; end = (size_t)best[end].from)
        best[best[end].from].next = (int32_t)end;
    for (size_t start = 0, end; start < n; start = end) {
        end = (size_t)best[start].next;
        if (best[end].id == t->unk)
            while (end < n && best[best[end].next].id == t->unk)
                end = (size_t)best[end].next;
        add_piece(t, s, word, start, end);
    }
}
