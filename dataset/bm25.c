#include "dataset/bm25.h"

#include "core/base/hash.h"
#include "core/base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct posting {
    uint64_t word;
    uint32_t text, count;
};

struct ts_bm25 {
    struct item {
        char *text, *from;
        uint32_t words;
    } * items;
    size_t n, cap;
    struct posting *postings; /* sorted by word, then text, once somebody searches */
    size_t n_postings, cap_postings;
    uint64_t total; /* words of all texts */
    bool sorted;
    ts_words scratch;
    uint64_t *hashes; /* of the text being read */
    size_t cap_hashes;
    double *scores;
};

ts_bm25 *ts_bm25_new(void) {
    return ts_calloc(1, sizeof(ts_bm25));
}

void ts_bm25_free(ts_bm25 *b) {
    if (!b) return;
    for (size_t i = 0; i < b->n; i++) {
        free(b->items[i].text);
        free(b->items[i].from);
    }
    free(b->items);
    free(b->postings);
    free(b->hashes);
    free(b->scores);
    ts_words_release(&b->scratch);
    free(b);
}

size_t ts_bm25_count(const ts_bm25 *b) {
    return b->n;
}

const char *ts_bm25_text(const ts_bm25 *b, size_t i) {
    return b->items[i].text;
}

const char *ts_bm25_from(const ts_bm25 *b, size_t i) {
    return b->items[i].from;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Hashes of the words of a text, sorted, in b->hashes. */
static size_t words_of(ts_bm25 *b, const char *s, size_t n) {
    size_t words = 0;
    ts_words_begin(&b->scratch, s, n);
    while (ts_words_next(&b->scratch))
        TS_PUSH(b->hashes, words, b->cap_hashes, ts_hash64(b->scratch.word.data, b->scratch.word.len, 5));
    if (words) qsort(b->hashes, words, sizeof *b->hashes, by_value);
    return words;
}

void ts_bm25_add(ts_bm25 *b, const char *s, size_t n, const char *from) {
    size_t words = words_of(b, s, n);
    struct item item = {ts_strndup(s, n), ts_strdup(from), (uint32_t)words};
    for (size_t i = 0; i < words;) {
        size_t first = i;
        while (i < words && b->hashes[i] == b->hashes[first])
            i++;
        struct posting p = {b->hashes[first], (uint32_t)b->n, (uint32_t)(i - first)};
        TS_PUSH(b->postings, b->n_postings, b->cap_postings, p);
    }
    b->total += words;
    b->sorted = false;
    TS_PUSH(b->items, b->n, b->cap, item);
}

/* ---- passages ---- */

static bool is_blank_line(const char *s, size_t n) {
    size_t end = 0;
    while (end < n && s[end] != '\n')
        if (!memchr(" \t\r", s[end++], 3)) return false;
    return true;
}

/* How good a place to cut is the one before byte `at`: 3 an empty line, 2 a line's end, 1 a sentence's, 0 none. */
static int cut_here(const char *s, size_t n, size_t at) {
    if (s[at - 1] == '\n') return at < n && is_blank_line(s + at, n - at) ? 3 : 2;
    return s[at - 1] == ' ' && at >= 2 && memchr(".!?", s[at - 2], 3) ? 1 : 0;
}

/* Where the passage that begins at `from` ends: behind the best cut in its second half, or where the words are over. */
static size_t passage_end(ts_words *w, const char *s, size_t n, size_t from, size_t words) {
    size_t at = from, best = 0, end = n, half = from;
    int quality = 0;
    ts_words_begin(w, s + from, n - from);
    for (size_t i = 0; i <= words; i++) {
        if (!ts_words_next(w)) return n;
        if (i == words / 2) half = from + w->start;
        end = from + w->start;
    }
    for (at = TS_MAX(half, from + 1); at <= end; at++)
        if (cut_here(s, n, at) >= TS_MAX(quality, 1)) {
            quality = cut_here(s, n, at);
            best = at;
        }
    return best ? best : end;
}

void ts_bm25_add_passages(ts_bm25 *b, const char *s, size_t n, const char *from, size_t words) {
    ts_words w = {0};
    size_t number = 0;
    for (size_t at = 0; at < n;) {
        size_t end = passage_end(&w, s, n, at, words), first = at, last = end;
        while (first < last && memchr(" \t\r\n", s[first], 4))
            first++;
        while (last > first && memchr(" \t\r\n", s[last - 1], 4))
            last--;
        char *name = ts_printf("%s #%zu", from, ++number);
        if (last > first) ts_bm25_add(b, s + first, last - first, name);
        free(name);
        at = end;
    }
    ts_words_release(&w);
}

/* ---- searching ---- */

static int by_word(const void *a, const void *b) {
    const struct posting *x = a, *y = b;
    if (x->word != y->word) return x->word < y->word ? -1 : 1;
    return (x->text > y->text) - (x->text < y->text);
}

static void settle(ts_bm25 *b) {
    if (b->sorted) return;
    if (b->n_postings) qsort(b->postings, b->n_postings, sizeof *b->postings, by_word);
    free(b->scores);
    b->scores = ts_calloc(b->n + 1, sizeof *b->scores);
    b->sorted = true;
}

static size_t first_of(const ts_bm25 *b, uint64_t word) {
    size_t low = 0, high = b->n_postings;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (b->postings[middle].word < word)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void add_word(ts_bm25 *b, uint64_t word) {
    static const double k1 = 1.2, length = 0.75;
    size_t first = first_of(b, word), last = first;
    double mean = (double)b->total / (double)TS_MAX(b->n, (size_t)1);
    while (last < b->n_postings && b->postings[last].word == word)
        last++;
    double df = (double)(last - first), idf = log(1 + ((double)b->n - df + 0.5) / (df + 0.5));
    for (size_t i = first; i < last; i++) {
        const struct posting *p = &b->postings[i];
        double tf = p->count, long_by = (double)b->items[p->text].words / mean;
        b->scores[p->text] += idf * tf * (k1 + 1) / (tf + k1 * (1 - length + length * long_by));
    }
}

size_t ts_bm25_search(ts_bm25 *b, const char *s, size_t n, ts_hit *out, size_t most) {
    size_t found = 0, words = words_of(b, s, n);
    settle(b);
    memset(b->scores, 0, b->n * sizeof *b->scores);
    for (size_t i = 0; i < words; i++)
        if (i == 0 || b->hashes[i] != b->hashes[i - 1]) add_word(b, b->hashes[i]);
    for (size_t i = 0; i < b->n && most; i++) {
        if (!(b->scores[i] > 0) || (found == most && b->scores[i] <= out[found - 1].score)) continue;
        size_t at = found < most ? found++ : most - 1;
        for (; at > 0 && out[at - 1].score < b->scores[i]; at--)
            out[at] = out[at - 1];
        out[at] = (ts_hit){i, b->scores[i]};
    }
    return found;
}
