/* Byte-pair encoding of one word.
 *
 * Start with one symbol per character, then merge again and again the neighbours of lowest rank, the leftmost of
 * equals. The heap holds candidates (rank, place); one that no longer describes what stands at its place is dropped
 * when it comes up, so a word of n characters costs n log n: with SentencePiece-like vocabularies a whole document is
 * one word. A SentencePiece vocabulary from a GGUF file has scores in place of merges: neighbours merge when their
 * text together is a name, the higher score first (sentencepiece's bpe_model.cc). */
#include "core/model/tokenizer_impl.h"

#include "core/base/utf8.h"

#include <string.h>

/* Scores order like ranks when their bits are read as an integer: the better, the smaller. */
static int32_t score_rank(float score) {
    int32_t bits;
    memcpy(&bits, &score, sizeof bits);
    bits = bits < 0 ? bits ^ 0x7fffffff : bits; /* rises with the score */
    return ~bits;
}

/* What the symbol at `left` makes with its right neighbour. */
static bool pair_at(const ts_tokenizer *t, const ts_scratch *s, const char *word, int32_t left, ts_candidate *out) {
    const ts_symbol *l = &s->symbols[left];
    if (left < 0 || l->len == 0 || l->next < 0) return false;
    const ts_symbol *r = &s->symbols[l->next];
    if (t->scores) {
        int32_t id = ts_vocab_find(&t->vocab, word + l->start, l->len + r->len);
        if (id < 0) return false;
        *out = (ts_candidate){score_rank(t->scores[id]), left, id};
        return true;
    }
    const ts_merge *m = ts_merges_find(&t->merges, l->id, r->id);
    if (!m) return false;
    *out = (ts_candidate){m->rank, left, m->id};
    return true;
}

static bool earlier(const ts_candidate *a, const ts_candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(ts_scratch *s, ts_candidate c) {
    TS_GROW(s->heap, s->cap_heap, s->n_heap + 1);
    size_t i = s->n_heap++;
    for (; i && earlier(&c, &s->heap[(i - 1) / 2]); i = (i - 1) / 2, s->heap_steps++)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap_steps++;
    s->heap[i] = c;
}

static ts_candidate heap_pop(ts_scratch *s) {
    ts_candidate top = s->heap[0], last = s->heap[--s->n_heap];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < s->n_heap) {
        if (child + 1 < s->n_heap && earlier(&s->heap[child + 1], &s->heap[child])) child++;
        if (!earlier(&s->heap[child], &last)) break;
        s->heap[i] = s->heap[child];
        s->heap_steps++;
        i = child;
    }
    s->heap_steps++;
    s->heap[i] = last;
    return top;
}

static void merge(ts_scratch *s, int32_t at, int32_t id) {
    ts_symbol *l = &s->symbols[at], *r = &s->symbols[l->next];
    l->id = id;
    l->len += r->len;
    l->next = r->next;
    r->len = 0;
    if (l->next >= 0) s->symbols[l->next].prev = at;
}

static void consider(const ts_tokenizer *t, ts_scratch *s, const char *word, int32_t at) {
    ts_candidate c;
    if (at >= 0 && pair_at(t, s, word, at, &c)) heap_push(s, c);
}

static void merge_by_heap(const ts_tokenizer *t, ts_scratch *s, const char *word) {
    s->n_heap = 0;
    for (size_t i = 0; i < s->n_symbols; i++)
        consider(t, s, word, (int32_t)i);
    while (s->n_heap) {
        ts_candidate top = heap_pop(s), now;
        if (!pair_at(t, s, word, top.at, &now) || now.id != top.id) continue;
        merge(s, top.at, top.id);
        consider(t, s, word, s->symbols[top.at].prev);
        consider(t, s, word, top.at);
    }
}

/* The definition itself. Also the faster one for short words. */
static void merge_by_search(const ts_tokenizer *t, ts_scratch *s, const char *word) {
    for (;;) {
        ts_candidate best = {0}, c;
        bool found = false;
        for (int32_t i = 0; i >= 0; i = s->symbols[i].next) {
            if (!pair_at(t, s, word, i, &c) || (found && !earlier(&c, &best))) continue;
            best = c;
            found = true;
        }
        if (!found) return;
        merge(s, best.at, best.id);
    }
}

static void add_symbol(ts_scratch *s, int32_t id, size_t start, size_t len) {
    TS_GROW(s->symbols, s->cap_symbols, s->n_symbols + 1);
    int32_t at = (int32_t)s->n_symbols++;
    s->symbols[at] = (ts_symbol){id, (uint32_t)len, at - 1, -1, start};
    if (at) s->symbols[at - 1].next = at;
}

/* A character without a name of its own: bytes, or the unknown token, or nothing. */
static void add_unknown(const ts_tokenizer *t, ts_scratch *s, const char *c, size_t n, size_t start, size_t len,
                        ts_symbol *unk) {
    bool have_all = t->byte_fallback;
    for (size_t i = 0; i < n; i++)
        have_all = have_all && t->fallback_ids[(unsigned char)c[i]] >= 0;
    if (have_all) {
        for (size_t i = 0; i < n; i++) {
            size_t part = n == len ? 1 : i + 1 == n ? len : 0; /* byte-level: n characters for one byte */
            add_symbol(s, t->fallback_ids[(unsigned char)c[i]], start + (n == len ? i : 0), TS_MAX(part, 1));
        }
        return;
    }
    if (t->unk < 0) return;
    if (unk->len && t->fuse_unk) {
        unk->len += (uint32_t)len;
        return;
    }
    if (unk->len) add_symbol(s, t->unk, unk->start, unk->len);
    *unk = (ts_symbol){.len = (uint32_t)len, .start = start};
}

static void add_character(const ts_tokenizer *t, ts_scratch *s, int32_t id, const char *c, size_t n, size_t start,
                          size_t len, ts_symbol *unk) {
    if (id < 0) {
        add_unknown(t, s, c, n, start, len, unk);
        return;
    }
    if (unk->len) add_symbol(s, t->unk, unk->start, unk->len);
    unk->len = 0;
    add_symbol(s, id, start, len);
}

/* continuing_subword_prefix and end_of_word_suffix: the name of a character says where in the word it stands. */
static void begin_name(const ts_tokenizer *t, ts_scratch *s, bool first) {
    ts_buf_reset(&s->name);
    if (t->word_prefix && !first) ts_buf_add(&s->name, t->word_prefix, t->word_prefix_n);
}

static void end_name(const ts_tokenizer *t, ts_scratch *s, bool last) {
    if (t->word_suffix && last) ts_buf_add(&s->name, t->word_suffix, t->word_suffix_n);
}

static void split_bytes(const ts_tokenizer *t, ts_scratch *s, const char *word, size_t n, ts_symbol *unk) {
    bool plain = !t->word_prefix && !t->word_suffix;
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = (unsigned char)word[i];
        int32_t id = t->byte_ids[byte];
        if (plain && id >= 0 && !unk->len) {
            add_symbol(s, id, i, 1);
            continue;
        }
        begin_name(t, s, i == 0);
        ts_utf8_put(&s->name, ts_byte_char(byte));
        end_name(t, s, i + 1 == n);
        if (!plain) id = ts_vocab_find(&t->vocab, s->name.data, s->name.len);
        add_character(t, s, id, s->name.data, s->name.len, i, 1, unk);
    }
}

static void split_characters(const ts_tokenizer *t, ts_scratch *s, const char *word, size_t n, ts_symbol *unk) {
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t len = ts_utf8_decode(word + i, n - i, &cp);
        const char *name = word + i;
        size_t name_n = len;
        if (t->word_prefix || t->word_suffix) {
            begin_name(t, s, i == 0);
            ts_buf_add(&s->name, word + i, len);
            end_name(t, s, i + len == n);
            name = s->name.data;
            name_n = s->name.len;
        }
        add_character(t, s, ts_vocab_find(&t->vocab, name, name_n), name, name_n, i, len, unk);
        i += len;
    }
}

/* The whole word as a name of the vocabulary, -1 if it is none. */
static int32_t whole_word(const ts_tokenizer *t, ts_scratch *s, const char *word, size_t n) {
    if (!t->byte_level) return ts_vocab_find(&t->vocab, word, n);
    ts_buf_reset(&s->name);
    for (size_t i = 0; i < n; i++)
        ts_utf8_put(&s->name, ts_byte_char((unsigned char)word[i]));
    return ts_vocab_find(&t->vocab, ts_buf_str(&s->name), s->name.len);
}

void ts_bpe(const ts_tokenizer *t, ts_scratch *s, const char *word, size_t n, bool slow) {
    enum { SHORT_WORD = 24 }; /* up to here looking through the word is as fast as the heap */
    ts_symbol unk = {0};
    s->n_symbols = 0;
    int32_t whole = t->ignore_merges ? whole_word(t, s, word, n) : -1;
    if (whole >= 0) {
        add_symbol(s, whole, 0, n);
        return;
    }
    if (t->byte_level)
        split_bytes(t, s, word, n, &unk);
    else
        split_characters(t, s, word, n, &unk);
    if (unk.len) add_symbol(s, t->unk, unk.start, unk.len);
    if (s->n_symbols < 2) return;
    if (slow || s->n_symbols <= SHORT_WORD)
        merge_by_search(t, s, word);
    else
        merge_by_heap(t, s, word);
}
