#include "eval/perturb.h"

#include "core/base/mem.h"
#include "core/base/rand.h"
#include "core/base/utf8.h"
#include "core/text/normalize.h"

#include <string.h>

enum { LONGEST_WORD = 64, LETTERS_FOR_TYPO = 4 };

const ts_perturbation ts_perturbations[TS_P_COUNT] = {
    [TS_P_TYPOS] = {"typos", "in one of six words (at least one) two letters swapped, one left out or doubled"},
    [TS_P_LOWER] = {"lower", "all letters small"},
    [TS_P_UPPER] = {"upper", "all letters capital"},
    [TS_P_SPACES] = {"spaces", "one of three gaps between words (at least one) is wider"},
    [TS_P_PUNCTUATION] = {"punctuation", "no . , ; : ! ? at the ends of words"},
};

/* ---- words, gaps, and what is kept ---- */

enum kind { KEPT, WORD, GAP };

struct piece {
    enum kind kind;
    size_t from, to;
};

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t end_of_line(const char *s, size_t n, size_t at) {
    const char *end = memchr(s + at, '\n', n - at);
    return end ? (size_t)(end - s) + 1 : n;
}

/* Up to the line after the closing fence; an open one goes on to the end. */
static size_t end_of_fence(const char *s, size_t n, size_t at) {
    for (at = end_of_line(s, n, at); at < n; at = end_of_line(s, n, at))
        if (n - at >= 3 && memcmp(s + at, "```", 3) == 0) return end_of_line(s, n, at);
    return n;
}

static size_t end_of_inline(const char *s, size_t n, size_t at) {
    size_t line = end_of_line(s, n, at);
    const char *end = memchr(s + at + 1, '`', line - at - 1);
    return end ? (size_t)(end - s) + 1 : at;
}

static bool is_changeable(const char *s, size_t n) {
    if (ts_utf8_check(s, n) != n || (n >= 4 && memcmp(s, "www.", 4) == 0)) return false;
    for (size_t i = 0; i < n; i++)
        if ((s[i] >= '0' && s[i] <= '9') || strchr("/\\@_", s[i])) return false;
    return true;
}

static struct piece next_piece(const char *s, size_t n, size_t at) {
    struct piece p = {KEPT, at, at + 1};
    bool begins = at == 0 || s[at - 1] == '\n';
    if (begins && n - at >= 3 && memcmp(s + at, "```", 3) == 0) {
        p.to = end_of_fence(s, n, at);
    } else if (s[at] == '`' && end_of_inline(s, n, at) > at) {
        p.to = end_of_inline(s, n, at);
    } else if (is_space(s[at])) {
        while (p.to < n && s[p.to] == s[at])
            p.to++;
        bool ends = p.to == n || is_space(s[p.to]);
        if (s[at] == ' ' && !begins && !ends && !is_space(s[at - 1])) p.kind = GAP;
    } else {
        while (p.to < n && !is_space(s[p.to]) && s[p.to] != '`')
            p.to++;
        if (is_changeable(s + at, p.to - at)) p.kind = WORD;
    }
    return p;
}

/* ---- the changes ---- */

static bool is_letter(uint32_t cp) {
    return ts_is_lower(cp) || ts_is_upper(cp);
}

static size_t decode(const char *s, size_t n, uint32_t out[LONGEST_WORD]) {
    size_t count = 0;
    for (size_t at = 0; at < n && count < LONGEST_WORD; count++)
        at += ts_utf8_decode(s + at, n - at, &out[count]);
    return count;
}

/* Enough letters in a row from the start: the first and the last one stay. */
static bool can_be_mistyped(const char *s, size_t n) {
    uint32_t cps[LONGEST_WORD];
    size_t count = decode(s, n, cps), letters = 0;
    while (letters < count && is_letter(cps[letters]))
        letters++;
    return count < LONGEST_WORD && letters >= LETTERS_FOR_TYPO;
}

static void mistype(const char *s, size_t n, ts_rand *rand, ts_buf *out) {
    uint32_t cps[LONGEST_WORD];
    size_t count = decode(s, n, cps), letters = 0;
    while (letters < count && is_letter(cps[letters]))
        letters++;
    size_t at = 1 + ts_rand_below(rand, letters - 3); /* also of a swap the last letter stays */
    uint64_t how = ts_rand_below(rand, 3);
    if (how == 0 && cps[at] == cps[at + 1]) how = 1; /* nothing would be seen of a swap */
    for (size_t i = 0; i < count; i++) {
        if (how == 0 && i == at) {
            ts_utf8_put(out, cps[at + 1]);
            ts_utf8_put(out, cps[at]);
            i++;
            continue;
        }
        if (how == 1 && i == at) continue;
        ts_utf8_put(out, cps[i]);
        if (how == 2 && i == at) ts_utf8_put(out, cps[i]);
    }
}

static void change_case(const char *s, size_t n, bool upper, ts_buf *out) {
    uint32_t cp;
    for (size_t at = 0; at < n;) {
        at += ts_utf8_decode(s + at, n - at, &cp);
        ts_utf8_put(out, upper ? ts_to_upper(cp) : ts_to_lower(cp));
    }
}

static size_t without_marks(const char *s, size_t n) {
    while (n && strchr(".,;:!?", s[n - 1]))
        n--;
    return n;
}

static bool can_change(int which, const char *s, const struct piece *p) {
    size_t n = p->to - p->from;
    if (which == TS_P_SPACES) return p->kind == GAP;
    if (p->kind != WORD) return false;
    return which != TS_P_TYPOS || can_be_mistyped(s + p->from, n);
}

static void change(int which, const char *s, size_t n, ts_rand *rand, ts_buf *out) {
    switch (which) {
    case TS_P_TYPOS:
        mistype(s, n, rand, out);
        break;
    case TS_P_LOWER:
        change_case(s, n, false, out);
        break;
    case TS_P_UPPER:
        change_case(s, n, true, out);
        break;
    case TS_P_SPACES:
        ts_buf_add(out, s, n);
        for (size_t more = 1 + ts_rand_below(rand, 3); more > 0; more--)
            ts_buf_putc(out, ' ');
        break;
    default:
        ts_buf_add(out, s, without_marks(s, n));
    }
}

bool ts_perturb(int which, const char *text, size_t n, uint64_t seed, ts_buf *out) {
    static const uint64_t one_of[TS_P_COUNT] = {[TS_P_TYPOS] = 6, [TS_P_SPACES] = 3};
    size_t able = 0, seen = 0, begun = out->len;
    ts_rand rand;
    ts_rand_seed(&rand, ts_rand_mix(seed, (uint64_t)which));
    for (size_t at = 0; at < n;) {
        struct piece p = next_piece(text, n, at);
        able += can_change(which, text, &p);
        at = p.to;
    }
    size_t sure = able ? ts_rand_below(&rand, able) : 0; /* this one in any case */
    for (size_t at = 0; at < n;) {
        struct piece p = next_piece(text, n, at);
        bool now = can_change(which, text, &p);
        if (now && one_of[which]) {
            bool this_one = seen++ == sure;
            now = ts_rand_below(&rand, one_of[which]) == 0 || this_one;
        }
        if (now)
            change(which, text + p.from, p.to - p.from, &rand, out);
        else
            ts_buf_add(out, text + p.from, p.to - p.from);
        at = p.to;
    }
    return out->len - begun != n || (n && memcmp(out->data + begun, text, n) != 0);
}
