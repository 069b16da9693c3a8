/* Added tokens: leftmost-longest search in text. For every first byte there is a list of the lengths that occur, so a
 * place in the text costs one look at a table, and a hash look-up per length where a token may begin. */
#include "core/model/tokenizer_impl.h"

#include "core/base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Inserts n into the falling, 0-terminated list. */
static uint32_t *with_length(uint32_t *list, uint32_t n) {
    size_t count = 0, at = 0;
    while (list && list[count])
        count++;
    while (at < count && list[at] > n)
        at++;
    if (at < count && list[at] == n) return list;
    list = ts_realloc(list, (count + 2) * sizeof *list);
    memmove(list + at + 1, list + at, (count - at) * sizeof *list);
    list[at] = n;
    list[count + 1] = 0;
    return list;
}

void ts_added_build(ts_tokenizer *t, ts_added_set *set, bool normalized) {
    for (size_t i = 0; i < t->n_added; i++) {
        const ts_added *a = &t->added[i];
        if (a->normalized != normalized || a->n == 0) continue;
        if (!ts_vocab_add(&set->index, a->text, a->n, (int64_t)i)) continue;
        unsigned char first = (unsigned char)a->text[0];
        set->lengths[first] = with_length(set->lengths[first], (uint32_t)a->n);
    }
}

void ts_added_release(ts_added_set *set) {
    ts_vocab_release(&set->index);
    for (size_t i = 0; i < TS_COUNT(set->lengths); i++)
        free(set->lengths[i]);
}

static size_t before(const char *text, size_t at) {
    do
        at--;
    while (at && ((unsigned char)text[at] & 0xc0) == 0x80);
    return at;
}

static bool word_before(const char *text, size_t at) {
    uint32_t cp;
    if (at == 0) return false;
    size_t i = before(text, at);
    ts_utf8_decode(text + i, at - i, &cp);
    return ts_is_word(cp);
}

static bool word_after(const char *text, size_t n, size_t at) {
    uint32_t cp;
    if (at >= n) return false;
    ts_utf8_decode(text + at, n - at, &cp);
    return ts_is_word(cp);
}

static size_t spaces_before(const char *text, size_t at, size_t floor) {
    while (at > floor) {
        uint32_t cp;
        size_t i = before(text, at);
        ts_utf8_decode(text + i, at - i, &cp);
        if (!ts_is_space(cp)) break;
        at = i;
    }
    return TS_MAX(at, floor);
}

static size_t spaces_after(const char *text, size_t n, size_t at) {
    while (at < n) {
        uint32_t cp;
        size_t len = ts_utf8_decode(text + at, n - at, &cp);
        if (!ts_is_space(cp)) break;
        at += len;
    }
    return at;
}

/* The longest token that begins at text[at], or -1. */
static int32_t longest_at(const ts_added_set *set, const char *text, size_t n, size_t at) {
    const uint32_t *lengths = set->lengths[(unsigned char)text[at]];
    for (; lengths && *lengths; lengths++) {
        int32_t i = *lengths <= n - at ? ts_vocab_find(&set->index, text + at, *lengths) : -1;
        if (i >= 0) return i;
    }
    return -1;
}

bool ts_added_next(const ts_tokenizer *t, const ts_added_set *set, const char *text, size_t n, size_t at, size_t floor,
                   size_t *which, ts_range *range) {
    if (set->index.used == 0) return false;
    while (at < n) {
        int32_t i = longest_at(set, text, n, at);
        if (i < 0) {
            at++;
            continue;
        }
        const ts_added *a = &t->added[i];
        size_t end = at + a->n;
        if (a->single_word && (word_before(text, at) || word_after(text, n, end))) {
            at = end;
            continue;
        }
        *which = (size_t)i;
        range->start = a->lstrip ? spaces_before(text, at, floor) : at;
        range->end = a->rstrip ? spaces_after(text, n, end) : end;
        return true;
    }
    return false;
}
