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

/* Bit i: byte i of the eight, in lower case, is one of a word's. */
static uint64_t word_bits(uint64_t x) {
    static const uint64_t each = 0x0101010101010101u;
    uint64_t letter = (x + each * (0x80 - 'a')) & ~(x + each * (0x7f - 'z')),
             digit = (x + each * (0x80 - '0')) & ~(x + each * (0x7f - '9')),
             underscore = (x + each * (0x80 - '_')) & ~(x + each * (0x7f - '_'));
    x = ((letter | digit | underscore) & each * 0x80) >> 7;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x * 0x0102040810204080u >> 56; /* the eight bits side by side */
}

/* The word in [start, end), whose first eight bytes are in lower case. */
static void add_ascii_word(ts_look *l, size_t start, size_t end, ts_buf *word) {
    size_t n = end - start;
    uint64_t eight = eight_at(l->text, start) & first_bytes(n);
    uint32_t lists = n <= 8 ? ts_language_lists(eight) : 0;
    *new_word(l) = (ts_word){
        .hash = n <= 8 ? mixed(eight) : long_hash(l->text, start, n, word),
        .stem = n >= 3 && !(lists & 1) ? ascii_stem(l->text.s + end - 1, eight, n) : 0,
        .start = (uint32_t)start,
        .end = (uint32_t)end,
        .letters = (uint32_t)n,
        .lists = lists,
    };
}

/* By 64 bytes: where a byte of a word stands beside one that is none, a word begins or ends. */
static void take_ascii_words(ts_look *l, ts_buf *word) {
    const size_t n = l->text.n;
    size_t start = 0;
    bool inside = false;
    for (size_t at = 0; at < n; at += 64) {
        uint64_t bits = 0;
        for (size_t i = 0; i < 64 && at + i < n; i += 8)
            bits |= word_bits(eight_at(l->text, at + i)) << i;
        for (uint64_t edges = bits ^ (bits << 1 | inside); edges; edges &= edges - 1) {
            size_t edge = at + (size_t)__builtin_ctzll(edges);
            if (inside) add_ascii_word(l, start, edge, word);
            inside = !inside;
            start = edge;
        }
    }
    if (inside) add_ascii_word(l, start, n, word);
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

/* Bytes that characters begin with among which are digits of other scripts (Unicode's Nd): most letters of Latin with
 * marks, curly quotes, dashes and Han begin with others. */
static bool has_other_digits(const ts_look *l) {
    static const unsigned char first[] = {0xd9, 0xdb, 0xdf, 0xe0, 0xe1, 0xea, 0xef, 0xf0};
    bool has = false;
    for (size_t i = 0; i < sizeof first; i++)
        has |= l->bytes[first[i]];
    return has;
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
    l->other_digits = has_other_digits(l);
    /* U+017F, a long s, and U+212A, the sign of kelvin, match s and k in any case */
    l->exotic = (l->bytes[0xc5] && l->bytes[0xbf]) || (l->bytes[0xe2] && l->three[place(0xe2, 0x84, 0xaa)]);
}

static unsigned lower(char c) {
    unsigned u = (unsigned char)c;
    return u + (u - 'A' < 26u) * 32u;
}

/* Does the needle stand in the text so that its rarest byte is c? */
static bool occurs_with(ts_text t, const ts_needle *needle, char c) {
    const char *end = t.s + t.n;
    for (const char *p = t.s; (p = memchr(p, c, (size_t)(end - p))) != NULL; p++) {
        if ((size_t)(p - t.s) < needle->rare || (size_t)(end - p) + needle->rare < needle->n) continue;
        const char *at = p - needle->rare;
        size_t k = 0;
        while (k < needle->n && lower(at[k]) == (unsigned char)needle->s[k])
            k++;
        if (k == needle->n) return true;
    }
    return false;
}

static bool occurs(const ts_look *l, const ts_needle *needle) {
    char c = needle->s[needle->rare];
    return occurs_with(l->text, needle, c) || (c >= 'a' && c <= 'z' && occurs_with(l->text, needle, (char)(c - 32)));
}

/* Of the bytes of a needle, the one that texts have least: a sign, or a letter seldom used. */
static size_t rarest(const char *s, size_t n) {
    static const char often[] = " etaoinsrhldcumfpgwybvkxjqz";
    size_t best = 0, best_rank = 0;
    for (size_t i = 0; i < n; i++) {
        const char *at = strchr(often, s[i]);
        size_t rank = at ? (size_t)(at - often) : sizeof often;
        if (rank > best_rank) best = i;
        best_rank = TS_MAX(rank, best_rank);
    }
    return best;
}

ts_needle *ts_needles_new(const char *alternatives) {
    ts_needle *list = NULL, end = {NULL, 0, 0, 0};
    size_t n = 0, cap = 0;
    for (const char *p = alternatives; p && *p;) {
        const unsigned char *u = (const unsigned char *)p;
        ts_needle made = {p, (uint16_t)strcspn(p, "\n"), 0, 0};
        made.rare = (uint16_t)rarest(p, made.n);
        if (made.n >= 3) made.three = (uint16_t)place(u[0], u[1], u[2]);
        TS_PUSH(list, n, cap, made);
        p += made.n + (p[made.n] == '\n');
    }
    if (n) TS_PUSH(list, n, cap, end);
    return list;
}

/* The tables say no for most texts; where they say perhaps, the text itself is asked. */
static bool has_one(const ts_look *l, const ts_needle *needle) {
    const unsigned char *u = (const unsigned char *)needle->s;
    if (needle->n < 3) return l->bytes[u[0]] && l->bytes[u[needle->n - 1]] && (needle->n == 1 || occurs(l, needle));
    if (!l->three[needle->three]) return false;
    for (size_t i = 3; i < needle->n; i++)
        if (!l->three[place(u[i - 2], u[i - 1], u[i])]) return false;
    return occurs(l, needle);
}

bool ts_look_may_have(const ts_look *l, const ts_needle *needles) {
    if (l->exotic) return true;
    for (; needles->s; needles++)
        if (has_one(l, needles)) return true;
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

bool ts_look_may_have_phone(const ts_look *l, const ts_needle *words) {
    if (l->other_digits) return true;
    if (l->digits < 5) return false;
    return has_sign(l, '+') || has_sign(l, '-') || has_sign(l, '.') || (has_sign(l, '0') && ts_look_may_have(l, words));
}

void ts_look_for_words(ts_look *l, ts_text t, ts_words *w) {
    l->text = (ts_text){t.s ? t.s : "", TS_MIN(t.n, (size_t)UINT32_MAX - 1)};
    l->ascii = is_ascii(l->text);
    l->n = 0;
    ts_language_prepare();
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

void ts_hash_set_release(ts_hash_set *h) {
    free(h->slots);
}
