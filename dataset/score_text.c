#include "dataset/score_text.h"

#include "core/base/hash.h"
#include "dataset/language.h"

#include <stdlib.h>
#include <string.h>

/* ---- words ---- */

/* All bits depend on all bits (the finalizer of splitmix64). */
static uint64_t mixed(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Ones in the first n of the eight bytes of a number, as they lie in memory. */
static uint64_t first_bytes(size_t n) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return n >= 8 ? UINT64_MAX : ((uint64_t)1 << 8 * n) - 1;
#else
    return n >= 8 ? UINT64_MAX : ~(UINT64_MAX >> 8 * n);
#endif
}

/* The first n <= 8 bytes as a number; 8 bytes can be read. Words hold no NUL, so different words give different
 * numbers. (Masked: bytes that were just stored one by one would have to reach memory before eight can be loaded.) */
static uint64_t packed(const char *word, size_t n) {
    uint64_t v;
    memcpy(&v, word, 8);
    return v & first_bytes(n);
}

static uint64_t hash_of(const char *word, size_t n) {
    return n <= 8 ? mixed(packed(word, n)) : ts_hash64(word, n, 0);
}

uint64_t ts_word_hash(const char *word, size_t n) {
    char bytes[8] = {0};
    if (n <= 8) memcpy(bytes, word, n);
    return hash_of(n <= 8 ? bytes : word, n);
}

/* A word's stem, roughly: without a plural s, at most its first five letters. Never 0. */
static uint64_t stem_hash(const char *word, size_t len) {
    size_t n = len;
    if (n > 3 && word[n - 1] == 's' && word[n - 2] != 's') n--;
    n = TS_MIN(n, 5);
    while (n > 1 && n < len && ((unsigned char)word[n] & 0xc0) == 0x80)
        n--;
    return mixed(packed(word, n) + 3) | (uint64_t)1 << 63;
}

static uint32_t count_letters(const ts_words *w) {
    uint32_t n = 0;
    for (size_t i = w->start; i < w->end; i++)
        n += ((unsigned char)w->s[i] & 0xc0) != 0x80;
    return n;
}

/* The next of l's words, to be filled in place. */
static ts_word *new_word(ts_look *l) {
    if (l->n == l->cap) TS_GROW(l->words, l->cap, l->n + 1);
    return &l->words[l->n++];
}

/* Any text. */
static void take_words(ts_look *l, ts_words *w) {
    ts_buf_reserve(&w->word, 16); /* packed reads 8 bytes */
    ts_words_begin(w, l->text.s, l->text.n);
    while (ts_words_next(w)) {
        const char *word = w->word.data;
        size_t n = w->word.len;
        uint32_t lists = n <= 8 ? ts_language_lists(packed(word, n)) : 0;
        ts_word *found = new_word(l);
        found->hash = hash_of(word, n);
        found->stem = n >= 3 && !(lists & 1) ? stem_hash(word, n) : 0;
        found->start = (uint32_t)w->start;
        found->end = (uint32_t)w->end;
        found->letters = count_letters(w);
        found->lists = lists;
    }
}

/* ---- words of ASCII text: the same ones, taken from the text eight bytes at a time ---- */

/* Each of eight ASCII bytes in lower case. */
static uint64_t lower_eight(uint64_t x) {
    static const uint64_t each = 0x0101010101010101u;
    uint64_t upper = (x + each * (0x80 - 'A')) & ~(x + each * (0x7f - 'Z')) & each * 0x80;
    return x | upper >> 2;
}

static uint64_t eight_at(ts_text t, size_t i) {
    uint64_t v = 0;
    if (i + 8 <= t.n)
        memcpy(&v, t.s + i, 8);
    else
        memcpy(&v, t.s + i, t.n - i);
    return lower_eight(v);
}

static uint64_t long_hash(ts_text t, size_t start, size_t n, ts_buf *word) {
    ts_buf_reset(word);
    ts_buf_reserve(word, n + 8);
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = eight_at(t, start + i);
        memcpy(word->data + i, &v, 8);
    }
    return ts_hash64(word->data, n, 0);
}

static uint64_t ascii_stem(const char *last, uint64_t eight, size_t n) {
    if (n > 3 && (*last | 32) == 's' && (last[-1] | 32) != 's') n--;
    return mixed((eight & first_bytes(TS_MIN(n, (size_t)5))) + 3) | (uint64_t)1 << 63;
}

static void take_ascii_words(ts_look *l, ts_buf *word) {
    const ts_text t = l->text;
    for (size_t i = 0; i < t.n;) {
        size_t start = i, n;
        while (i < t.n && ts_word_lower[(unsigned char)t.s[i]])
            i++;
        if (!(n = i - start)) {
            i++;
            continue;
        }
        uint64_t eight = eight_at(t, start);
        uint32_t lists = n <= 8 ? ts_language_lists(eight & first_bytes(n)) : 0;
        ts_word *found = new_word(l);
        found->hash = n <= 8 ? mixed(eight & first_bytes(n)) : long_hash(t, start, n, word);
        found->stem = n >= 3 && !(lists & 1) ? ascii_stem(t.s + i - 1, eight, n) : 0;
        found->start = (uint32_t)start;
        found->end = (uint32_t)i;
        found->letters = (uint32_t)n;
        found->lists = lists;
    }
}

size_t ts_look_words(const ts_look *l, size_t from, size_t to) {
    size_t n = 0;
    for (size_t i = 0; i < l->n && l->words[i].start < to; i++)
        n += l->words[i].start >= from;
    return n;
}

int ts_look_language(const ts_look *l) {
    size_t hits[TS_MAX_LANGUAGES] = {0}, n = TS_MIN(l->n, (size_t)TS_LANGUAGE_WORDS);
    int script = l->ascii ? -1 : ts_language_script(l->text.s, l->text.n);
    if (script >= 0) return script;
    for (size_t w = 0; w < n; w++)
        for (uint32_t i = 0, lists = l->words[w].lists; lists; i++, lists >>= 1)
            hits[i] += lists & 1;
    return ts_language_choose(hits, n);
}

/* ---- bytes ---- */

static unsigned place(unsigned a, unsigned b, unsigned c) {
    return (a << 8 ^ b << 4 ^ c) & 4095;
}

static bool is_ascii(ts_text t) {
    size_t i = 0;
    uint64_t eight, high = 0;
    for (; i + 8 <= t.n; i += 8) {
        memcpy(&eight, t.s + i, 8);
        high |= eight;
    }
    for (; i < t.n; i++)
        high |= (unsigned char)t.s[i];
    return !(high & 0x8080808080808080u);
}

static void take_bytes(ts_look *l) {
    const unsigned char *p = (const unsigned char *)l->text.s, *end = p + l->text.n;
    unsigned h = 0;
    size_t digits = 0;
    memset(l->bytes, 0, sizeof l->bytes);
    memset(l->three, 0, sizeof l->three);
    for (; p < end; p++) {
        unsigned c = *p;
        c += (c - 'A' < 26u) * 32u;
        digits += c - '0' < 10u;
        h = (h << 4 ^ c) & 4095;
        l->bytes[c] = 1;
        l->three[h] = 1;
    }
    l->digits = digits;
    /* U+017F, a long s, and U+212A, the sign of kelvin, match s and k in any case */
    l->exotic = (l->bytes[0xc5] && l->bytes[0xbf]) || (l->bytes[0xe2] && l->three[place(0xe2, 0x84, 0xaa)]);
}

static unsigned lower(char c) {
    unsigned u = (unsigned char)c;
    return u + (u - 'A' < 26u) * 32u;
}

static bool occurs(ts_text t, const char *s, size_t n) {
    for (size_t i = 0; i + n <= t.n; i++) {
        size_t k = 0;
        while (k < n && lower(t.s[i + k]) == (unsigned char)s[k])
            k++;
        if (k == n) return true;
    }
    return false;
}

/* The tables say no for most texts; where they say perhaps, the text itself is asked. */
static bool has_one(const ts_look *l, const char *s, size_t n) {
    const unsigned char *u = (const unsigned char *)s;
    for (size_t i = 0; i < n; i++)
        if (!l->bytes[u[i]]) return false;
    for (size_t i = 2; i < n; i++)
        if (!l->three[place(u[i - 2], u[i - 1], u[i])]) return false;
    return n == 1 || occurs(l->text, s, n);
}

bool ts_look_may_have(const ts_look *l, const char *alternatives) {
    if (l->exotic) return true;
    for (const char *p = alternatives; *p;) {
        const char *end = p;
        while (*end && *end != '\n')
            end++;
        if (has_one(l, p, (size_t)(end - p))) return true;
        p = end + (*end == '\n');
    }
    return false;
}

static bool is_digit(const ts_look *l, size_t i) {
    return i < l->text.n && l->text.s[i] >= '0' && l->text.s[i] <= '9';
}

/* Does the sign c stand where a telephone number could have it? */
static bool has_sign(const ts_look *l, char c) {
    if (!l->bytes[(unsigned char)c]) return false;
    const char *s = l->text.s, *end = s + l->text.n;
    for (const char *p = s; (p = memchr(p, c, (size_t)(end - p))) != NULL; p++) {
        size_t i = (size_t)(p - s);
        if (!is_digit(l, i + 1)) continue;
        if (c == '+' || (c == '0' && (i == 0 || !is_digit(l, i - 1)))) return true;
        if (c != '0' && i >= 3 && is_digit(l, i - 1) && is_digit(l, i - 2) && is_digit(l, i - 3) && is_digit(l, i + 4))
            return true;
    }
    return false;
}

bool ts_look_may_have_phone(const ts_look *l) {
    if (!l->ascii) return true; /* digits of other scripts */
    if (l->digits < 5) return false;
    return has_sign(l, '+') || has_sign(l, '-') || has_sign(l, '.') ||
           (has_sign(l, '0') && ts_look_may_have(l, "tel\nphone\ncall\nmobile\nfax"));
}

void ts_look_for_words(ts_look *l, ts_text t, ts_words *w) {
    l->text = (ts_text){t.s ? t.s : "", TS_MIN(t.n, (size_t)UINT32_MAX - 1)};
    l->ascii = is_ascii(l->text);
    l->n = 0;
    if (l->ascii)
        take_ascii_words(l, &w->word);
    else
        take_words(l, w);
}

void ts_look_at(ts_look *l, ts_text t, ts_words *w) {
    ts_look_for_words(l, t, w);
    take_bytes(l);
}

void ts_look_release(ts_look *l) {
    free(l->words);
}

/* ---- sets ---- */

void ts_hash_set_begin(ts_hash_set *h, size_t most) {
    for (h->cap = 64; h->cap < most * 2; h->cap *= 2) {
    }
    TS_GROW(h->slots, h->room, h->cap);
    memset(h->slots, 0, h->cap * sizeof *h->slots);
}

static size_t slot_of(const ts_hash_set *h, uint64_t hash) {
    size_t i = (size_t)(hash >> 20) & (h->cap - 1);
    while (h->slots[i] && h->slots[i] != hash)
        i = (i + 1) & (h->cap - 1);
    return i;
}

bool ts_hash_set_add(ts_hash_set *h, uint64_t hash) {
    size_t i = slot_of(h, hash + !hash);
    if (h->slots[i]) return false;
    h->slots[i] = hash + !hash;
    return true;
}

bool ts_hash_set_has(const ts_hash_set *h, uint64_t hash) {
    return h->slots[slot_of(h, hash + !hash)] != 0;
}

void ts_hash_set_release(ts_hash_set *h) {
    free(h->slots);
}
