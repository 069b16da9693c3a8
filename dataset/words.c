#include "dataset/words.h"

#include "core/base/utf8.h"
#include "core/text/normalize.h"

#include <string.h>

void ts_words_begin(ts_words *w, const char *s, size_t n) {
    w->s = s;
    w->n = n;
    w->at = 0;
}

const char ts_word_lower[256] = {
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8',
    ['9'] = '9', ['_'] = '_', ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g',
    ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p',
    ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y',
    ['Z'] = 'z', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h',
    ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q',
    ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z',
};

static char lower_at(const ts_words *w, size_t i) {
    return ts_word_lower[(unsigned char)w->s[i]];
}

/* Han, kana and the like. */
static bool stands_alone(uint32_t cp) {
    return (cp >= 0x3040 && cp <= 0x30ff) || (cp >= 0x3400 && cp <= 0x9fff) || (cp >= 0xf900 && cp <= 0xfaff) ||
           (cp >= 0x20000 && cp <= 0x3ffff);
}

/* Takes the run of ASCII letters, digits and underscores at w->at. */
static void take_ascii(ts_words *w) {
    size_t end = w->at + 1;
    while (end < w->n && lower_at(w, end))
        end++;
    if (w->word.len + (end - w->at) >= w->word.cap) ts_buf_reserve(&w->word, end - w->at);
    char *p = w->word.data + w->word.len;
    for (size_t i = w->at; i < end; i++)
        *p++ = lower_at(w, i);
    *p = 0;
    w->word.len += end - w->at;
    w->at = end;
}

/* Takes the character at w->at into the word. False when it is none of a word's; *alone when it is a word by itself. */
static bool take(ts_words *w, bool *alone) {
    unsigned char c = (unsigned char)w->s[w->at];
    *alone = false;
    if (c < 0x80) {
        if (!ts_word_lower[c]) return false;
        take_ascii(w);
        return true;
    }
    uint32_t cp;
    size_t len = ts_utf8_decode(w->s + w->at, w->n - w->at, &cp);
    if (!ts_is_word(cp) && !ts_is_numeric(cp)) return false; /* "x²" is a word */
    *alone = stands_alone(cp);
    if (*alone && w->word.len) return true; /* the word before it ends first */
    ts_utf8_put(&w->word, ts_to_lower(cp));
    w->at += len;
    return true;
}

/* Moves over what parts words. */
static void skip_gap(ts_words *w) {
    uint32_t cp;
    while (w->at < w->n && (unsigned char)w->s[w->at] < 0x80 && !lower_at(w, w->at))
        w->at++;
    if (w->at < w->n && (unsigned char)w->s[w->at] >= 0x80) {
        size_t len = ts_utf8_decode(w->s + w->at, w->n - w->at, &cp);
        if (!ts_is_word(cp) && !ts_is_numeric(cp)) w->at += len;
    }
}

bool ts_words_next(ts_words *w) {
    bool alone;
    w->word.len = 0;
    while (w->at < w->n) {
        w->start = w->at;
        if (lower_at(w, w->at)) { /* the usual word */
            take_ascii(w);
            if (w->at == w->n || (unsigned char)w->s[w->at] < 0x80) {
                w->end = w->at;
                return true;
            }
        }
        while (w->at < w->n && take(w, &alone))
            if (alone) break;
        if (w->word.len) {
            w->end = w->at;
            return true;
        }
        skip_gap(w);
    }
    if (w->word.data) w->word.data[0] = 0;
    return false;
}

void ts_words_release(ts_words *w) {
    ts_buf_release(&w->word);
}

void ts_fold_text(const char *s, size_t n, ts_buf *out) {
    ts_buf normal = TS_BUF_INIT;
    size_t start = out->len;
    bool plain = true;
    for (size_t i = 0; i < n && plain; i++)
        plain = (unsigned char)s[i] < 0x80;
    if (!plain) {
        ts_normalize(&normal, s, n, TS_NFC);
        s = ts_buf_str(&normal);
        n = normal.len;
    }
    for (size_t i = 0; i < n;) {
        uint32_t cp = (unsigned char)s[i];
        i += cp < 0x80 ? 1 : ts_utf8_decode(s + i, n - i, &cp);
        if (cp < 0x80 ? strchr(" \t\r\n\v\f", (int)cp) != NULL && cp : ts_is_space(cp)) {
            if (out->len > start && out->data[out->len - 1] != ' ') ts_buf_putc(out, ' ');
        } else {
            ts_utf8_put(out, cp < 0x80 ? (cp >= 'A' && cp <= 'Z' ? cp + 32 : cp) : ts_to_lower(cp));
        }
    }
    if (out->len > start && out->data[out->len - 1] == ' ') out->data[--out->len] = 0;
    ts_buf_release(&normal);
}
