/* Cutting text into the words that BPE works on. Behaviours as in Hugging Face's tokenizers (normalizer.rs, split):
 * every step cuts each word of the step before, seeing nothing beyond its ends; empty words vanish. */
#include "core/base/utf8.h"
#include "core/model/tokenizer_impl.h"

#include <string.h>

const char ts_gpt2_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static void add_stretch(ts_scratch *s, size_t start, size_t end, bool match) {
    ts_stretch c = {start, end, match};
    TS_PUSH(s->cuts.items, s->cuts.n, s->cuts.cap, c);
}

static void find_regex(ts_scratch *s, ts_matcher *m, const char *text, size_t start, size_t end) {
    size_t done = start, from = start, a, b;
    while (from <= end && ts_matcher_find(m, text + start, end - start, from - start, &a, &b, NULL)) {
        a += start;
        b += start;
        if (a > done) add_stretch(s, done, a, false);
        add_stretch(s, a, b, true);
        done = from = b;
        if (a == b) { /* an empty match: go on behind the next character */
            size_t len = b < end ? ts_utf8_sequence(text + b, end - b) : 1;
            from = b + TS_MAX(len, 1);
        }
    }
    if (done < end) add_stretch(s, done, end, false);
}

static void find_string(ts_scratch *s, const ts_step *step, const char *text, size_t start, size_t end) {
    size_t done = start;
    while (step->a_n && end - done >= step->a_n) {
        const char *at = memmem(text + done, end - done, step->a, step->a_n);
        if (!at) break;
        size_t a = (size_t)(at - text);
        if (a > done) add_stretch(s, done, a, false);
        add_stretch(s, a, a + step->a_n, true);
        done = a + step->a_n;
    }
    if (done < end) add_stretch(s, done, end, false);
}

static void find_class(ts_scratch *s, bool (*is)(uint32_t), const char *text, size_t start, size_t end) {
    size_t done = start, len;
    for (size_t i = start; i < end; i += len) {
        uint32_t cp;
        len = ts_utf8_decode(text + i, end - i, &cp);
        if (!is(cp)) continue;
        if (i > done) add_stretch(s, done, i, false);
        add_stretch(s, i, i + len, true);
        done = i + len;
    }
    if (done < end) add_stretch(s, done, end, false);
}

static bool is_numeric(uint32_t cp) {
    return cp < 0x80 ? cp >= '0' && cp <= '9' : ts_is_numeric(cp);
}

void ts_find_stretches(ts_scratch *s, const ts_step *step, const char *text, size_t start, size_t end) {
    s->cuts.n = 0;
    if (step->kind == TS_PRE_DIGITS)
        find_class(s, is_numeric, text, start, end);
    else if (step->kind == TS_PRE_PUNCTUATION)
        find_class(s, ts_is_punctuation, text, start, end);
    else if (step->re)
        find_regex(s, s->matchers[step->matcher], text, start, end);
    else
        find_string(s, step, text, start, end);
    for (size_t i = 0; step->invert && i < s->cuts.n; i++)
        s->cuts.items[i].match = !s->cuts.items[i].match;
}

static void add_word(ts_scratch *s, size_t start, size_t end) {
    ts_range word = {start, end};
    if (start < end) TS_PUSH(s->other.items, s->other.n, s->other.cap, word);
}

/* Neighbours of one kind become one word. */
static void cut_contiguous(ts_scratch *s) {
    const ts_stretch *c = s->cuts.items;
    for (size_t i = 0, last; i < s->cuts.n; i = last + 1) {
        for (last = i; last + 1 < s->cuts.n && c[last + 1].match == c[i].match;)
            last++;
        add_word(s, c[i].start, c[last].end);
    }
}

/* A match joins the stretch before it, unless that is a match too. */
static void cut_with_previous(ts_scratch *s) {
    const ts_stretch *c = s->cuts.items;
    for (size_t i = 0; i < s->cuts.n; i++) {
        bool takes_next = !c[i].match && i + 1 < s->cuts.n && c[i + 1].match;
        add_word(s, c[i].start, c[i + takes_next].end);
        i += takes_next;
    }
}

static void cut_with_next(ts_scratch *s) {
    const ts_stretch *c = s->cuts.items;
    for (size_t i = 0; i < s->cuts.n; i++) {
        bool takes_next = c[i].match && i + 1 < s->cuts.n && !c[i + 1].match;
        add_word(s, c[i].start, c[i + takes_next].end);
        i += takes_next;
    }
}

static void cut(ts_scratch *s, ts_cut how) {
    const ts_stretch *c = s->cuts.items;
    if (how == TS_CONTIGUOUS) {
        cut_contiguous(s);
    } else if (how == TS_WITH_PREVIOUS) {
        cut_with_previous(s);
    } else if (how == TS_WITH_NEXT) {
        cut_with_next(s);
    } else {
        for (size_t i = 0; i < s->cuts.n; i++)
            if (how == TS_ISOLATED || !c[i].match) add_word(s, c[i].start, c[i].end);
    }
}

static void swap_words(ts_scratch *s) {
    ts_ranges done = s->other;
    s->other = s->words;
    s->words = done;
}

static void cut_words(ts_scratch *s, const ts_step *step) {
    s->other.n = 0;
    for (size_t i = 0; i < s->words.n; i++) {
        ts_find_stretches(s, step, s->a.s, s->words.items[i].start, s->words.items[i].end);
        cut(s, step->cut);
    }
    swap_words(s);
}

static bool begins_with(const ts_scratch *s, ts_range word, const char *with, size_t n) {
    return word.end - word.start >= n && memcmp(s->a.s + word.start, with, n) == 0;
}

/* Writes the words anew, each with a prefix where `wants` it and spaces replaced where the step says so. */
static void rewrite_words(ts_scratch *s, const ts_step *step,
                          bool (*wants)(const ts_scratch *, const ts_step *, ts_range), bool spaces) {
    ts_flow_begin(s);
    s->other.n = 0;
    for (size_t i = 0; i < s->words.n; i++) {
        ts_range word = s->words.items[i];
        size_t start = s->b.text.len, done = word.start;
        if (wants(s, step, word)) ts_flow_put(s, step->a, step->a_n, ts_flow_from(&s->a, word.start));
        for (size_t at = word.start; spaces && at < word.end; at++) {
            if (s->a.s[at] != ' ') continue;
            ts_flow_copy(s, done, at);
            ts_flow_put(s, step->a, step->a_n, ts_flow_from(&s->a, at));
            done = at + 1;
        }
        ts_flow_copy(s, done, word.end);
        add_word(s, start, s->b.text.len);
    }
    ts_flow_end(s);
    swap_words(s);
}

static bool wants_metaspace(const ts_scratch *s, const ts_step *step, ts_range word) {
    if (s->a.s[word.start] == ' ' || begins_with(s, word, step->a, step->a_n)) return false;
    return step->scheme == TS_PREPEND_ALWAYS ||
           (step->scheme == TS_PREPEND_FIRST && ts_flow_from(&s->a, word.start) == 0);
}

static bool wants_space(const ts_scratch *s, const ts_step *step, ts_range word) {
    return !begins_with(s, word, step->a, step->a_n);
}

#define MARK "\xe2\x96\x81"
enum { MARK_N = 3 };

/* The next mark in text[from..n) that has something else in front of it, none of the bytes `but`; n if there is none.
 */
static size_t word_begin(const char *text, size_t n, size_t from, const bool but[256]) {
    while (from < n) {
        const char *at = memmem(text + from, n - from, MARK, MARK_N);
        if (!at) break;
        size_t i = (size_t)(at - text);
        bool begins = i > 0 && (i < MARK_N || memcmp(at - MARK_N, MARK, MARK_N) != 0);
        if (begins && !but[(unsigned char)at[-1]]) return i;
        from = i + MARK_N;
    }
    return n;
}

bool ts_space_begins(ts_tokenizer *t) {
    static const bool none[256];
    /* a Unigram's sums would be rounded elsewhere, and names with a prefix or suffix ask where a word begins and ends
     */
    if (t->unigram.n || t->word_prefix || t->word_suffix) return false;
    if (t->byte_level || t->ignore_merges || ts_vocab_find(&t->vocab, MARK, MARK_N) < 0) return false;
    for (size_t i = 0; i < t->vocab.n; i++) {
        const ts_vocab_name *name = &t->vocab.names[i];
        const char *text = t->vocab.text.data + name->at;
        for (size_t at = name->at ? 0 : name->n; (at = word_begin(text, name->n, at, none)) < name->n; at += MARK_N)
            t->before_mark[(unsigned char)text[at - 1]] = true;
    }
    return true;
}

static void cut_at_marks(const ts_tokenizer *t, ts_scratch *s) {
    s->other.n = 0;
    for (size_t i = 0; i < s->words.n; i++) {
        ts_range word = s->words.items[i];
        const char *text = s->a.s + word.start;
        for (size_t n = word.end - word.start, start = 0, end; start < n; start = end) {
            end = word_begin(text, n, start + 1, t->before_mark);
            add_word(s, word.start + start, word.start + end);
        }
    }
    swap_words(s);
}

void ts_pretokenize(const ts_tokenizer *t, ts_scratch *s) {
    s->other.n = 0;
    add_word(s, 0, s->a.n);
    swap_words(s);
    for (size_t i = 0; i < t->pre.n; i++) {
        const ts_step *step = &t->pre.items[i];
        if (step->kind == TS_PRE_METASPACE)
            rewrite_words(s, step, wants_metaspace, true);
        else if (step->kind == TS_PRE_BYTE_LEVEL && step->prefix_space)
            rewrite_words(s, step, wants_space, false);
        bool cuts = step->kind == TS_PRE_METASPACE ? step->split : step->kind != TS_PRE_BYTE_LEVEL || step->re;
        if (cuts) cut_words(s, step);
    }
    if (t->space_begins) cut_at_marks(t, s);
}
