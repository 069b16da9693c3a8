#include "dataset/words.h"

#include "core/base/utf8.h"
#include "core/text/normalize.h"

#include <string.h>

void ts_words_begin(ts_words *w, const char *s, size_t n) {
    w->s = s;
    w->n = n;
    w->at = 0;
}

static bool ascii_word(unsigned char c) {
    return ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* Han, kana and the like. */
static bool stands_alone(uint32_t cp) {
    return (cp >= 0x3040 && cp <= 0x30ff) || (cp >= 0x3400 && cp <= 0x9fff) || (cp >= 0xf900 && cp <= 0xfaff) ||
           (cp >= 0x20000 && cp <= 0x3ffff);
}

/* Takes the run of ASCII letters, digits and underscores at w->at. */
static void take_ascii(ts_words *w) {
    size_t end = w->at + 1, from = w->word.len;
    while (end < w->n && ascii_word((unsigned char)w->s[end]))
        end++;
    ts_buf_add(&w->word, w->s + w->at, end - w->at);
    for (char *p = w->word.data + from; *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
    w->at = end;
}

/* Takes the character at w->at into the word. False when it is none of a word's; *alone when it is a word by itself. */
static bool take(ts_words *w, bool *alone) {
    unsigned char c = (unsigned char)w->s[w->at];
    *alone = false;
    if (c < 0x80) {
        if (!ascii_word(c)) return false;
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

static void skip_char(ts_words *w) {
    uint32_t cp;
    w->at += (unsigned char)w->s[w->at] < 0x80 ? 1 : ts_utf8_decode(w->s + w->at, w->n - w->at, &cp);
}

bool ts_words_next(ts_words *w) {
    bool alone;
    ts_buf_reset(&w->word);
    for (; w->at < w->n; skip_char(w)) {
        w->start = w->at;
        while (w->at < w->n && take(w, &alone))
            if (alone) break;
        if (!w->word.len) continue;
        w->end = w->at;
        return true;
    }
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
