#include "eval/metrics.h"

#include "core/base/hash.h"
#include "core/base/utf8.h"
#include "core/text/normalize.h"
#include "dataset/words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Words as hashes, or characters as code points. */
struct units {
    uint64_t *items;
    size_t n, cap;
};

static void push(struct units *u, uint64_t unit) {
    if (u->n < TS_METRIC_UNITS) TS_PUSH(u->items, u->n, u->cap, unit);
}

static void push_word(struct units *u, const char *s, size_t n) {
    if (n) push(u, ts_hash64(s, n, 1));
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Hashes of the n-grams, sorted; the caller frees. */
static uint64_t *grams_of(const struct units *u, size_t order, size_t *n) {
    *n = u->n >= order ? u->n - order + 1 : 0;
    uint64_t *all = ts_calloc(*n + 1, sizeof *all);
    for (size_t i = 0; i < *n; i++)
        all[i] = order == 1 ? u->items[i] : ts_hash64(u->items + i, order * sizeof *all, order);
    qsort(all, *n, sizeof *all, by_value);
    return all;
}

/* How many n-grams each has and how many they share, each as often as in the one that has it less. */
static void count_grams(const struct units *a, const struct units *b, size_t order, size_t *na, size_t *nb,
                        size_t *shared) {
    uint64_t *x = grams_of(a, order, na), *y = grams_of(b, order, nb);
    *shared = 0;
    for (size_t i = 0, k = 0; i < *na && k < *nb;) {
        *shared += x[i] == y[k];
        bool next_x = x[i] <= y[k], next_y = y[k] <= x[i];
        i += next_x;
        k += next_y;
    }
    free(x);
    free(y);
}

static double f1(double shared, double n_answer, double n_reference) {
    double precision = n_answer > 0 ? shared / n_answer : 0, recall = n_reference > 0 ? shared / n_reference : 0;
    return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
}

/* White space as Python's split() sees it. */
static bool is_blank(uint32_t cp) {
    return ts_is_space(cp) || (cp >= 0x1c && cp <= 0x1f);
}

/* ---- words shared: SQuAD, ROUGE ---- */

static void squad_word(struct units *u, ts_buf *word) {
    const char *w = ts_buf_str(word);
    if (strcmp(w, "a") != 0 && strcmp(w, "an") != 0 && strcmp(w, "the") != 0) push_word(u, w, word->len);
    ts_buf_reset(word);
}

/* Punctuation is taken out before the words are parted: don't is dont. */
static struct units squad_words(ts_text t) {
    struct units u = {0};
    ts_buf word = TS_BUF_INIT;
    uint32_t cp;
    for (size_t at = 0; at < t.n;) {
        at += ts_utf8_decode(t.s + at, t.n - at, &cp);
        if (is_blank(cp))
            squad_word(&u, &word);
        else if (cp > 0x7e || cp < 0x21 || !ts_is_punctuation(cp))
            ts_utf8_put(&word, ts_to_lower(cp));
    }
    squad_word(&u, &word);
    ts_buf_release(&word);
    return u;
}

double ts_exact_match(ts_text answer, ts_text reference) {
    struct units a = squad_words(answer), b = squad_words(reference);
    bool same = a.n == b.n && (a.n == 0 || memcmp(a.items, b.items, a.n * sizeof *a.items) == 0);
    free(a.items);
    free(b.items);
    return same;
}

double ts_token_f1(ts_text answer, ts_text reference) {
    struct units a = squad_words(answer), b = squad_words(reference);
    size_t na, nb, shared;
    count_grams(&a, &b, 1, &na, &nb, &shared);
    free(a.items);
    free(b.items);
    return na + nb == 0 ? 1 : f1((double)shared, (double)na, (double)nb);
}

static struct units rouge_words(ts_text t) {
    struct units u = {0};
    ts_buf word = TS_BUF_INIT;
    uint32_t cp;
    for (size_t at = 0; at <= t.n;) {
        size_t n = at < t.n ? ts_utf8_decode(t.s + at, t.n - at, &cp) : 1;
        cp = at < t.n ? ts_to_lower(cp) : ' ';
        at += n;
        if ((cp >= 'a' && cp <= 'z') || (cp >= '0' && cp <= '9')) {
            ts_buf_putc(&word, (char)cp);
        } else {
            push_word(&u, ts_buf_str(&word), word.len);
            ts_buf_reset(&word);
        }
    }
    ts_buf_release(&word);
    return u;
}

double ts_rouge_n(ts_text answer, ts_text reference, size_t n) {
    struct units a = rouge_words(answer), b = rouge_words(reference);
    size_t na, nb, shared;
    count_grams(&a, &b, n, &na, &nb, &shared);
    free(a.items);
    free(b.items);
    return f1((double)shared, (double)na, (double)nb);
}

/* Length of the longest common subsequence, by the table that everybody knows, one row kept. */
static size_t common_subsequence(const struct units *a, const struct units *b) {
    size_t *row = ts_calloc(b->n + 1, sizeof *row);
    for (size_t i = 0; i < a->n; i++) {
        size_t corner = 0; /* of the row before, one to the left */
        for (size_t k = 0; k < b->n; k++) {
            size_t above = row[k + 1];
            row[k + 1] = a->items[i] == b->items[k] ? corner + 1 : TS_MAX(above, row[k]);
            corner = above;
        }
    }
    size_t most = row[b->n];
    free(row);
    return most;
}

double ts_rouge_l(ts_text answer, ts_text reference) {
    struct units a = rouge_words(answer), b = rouge_words(reference);
    double l = f1((double)common_subsequence(&a, &b), (double)a.n, (double)b.n);
    free(a.items);
    free(b.items);
    return l;
}

/* ---- BLEU ---- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_point(char c) {
    return c == '.' || c == ',';
}

/* The ASCII signs that 13a parts from everything; blanks are among them, which changes nothing. */
static bool stands_alone(char c) {
    return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') || (c >= '(' && c <= '+') ||
           (c >= ':' && c <= '@') || c == '/';
}

/* mteval's clean-up: markers of left-out text, words cut at line ends, four entities. */
static void bleu_clean(ts_text t, ts_buf *out) {
    static const struct {
        const char *from, *to;
    } swaps[] = {{"<skipped>", ""}, {"-\n", ""},   {"\n", " "},  {"&quot;", "\""},
                 {"&amp;", "&"},    {"&lt;", "<"}, {"&gt;", ">"}};
    ts_buf text = TS_BUF_INIT;
    ts_buf_add(out, t.s ? t.s : "", t.n);
    for (size_t i = 0; i < TS_COUNT(swaps); i++) {
        size_t n = strlen(swaps[i].from);
        ts_buf_reset(&text);
        for (size_t at = 0; at < out->len;) {
            bool here = out->len - at >= n && memcmp(out->data + at, swaps[i].from, n) == 0;
            if (here)
                ts_buf_puts(&text, swaps[i].to);
            else
                ts_buf_putc(&text, out->data[at]);
            at += here ? n : 1;
        }
        ts_buf_reset(out);
        ts_buf_add(out, ts_buf_str(&text), text.len);
    }
    ts_buf_release(&text);
}

/* One of 13a's substitutions of two neighbours, left to right; what one took the next cannot take. */
static void part_pairs(ts_buf *text, ts_buf *scratch, int rule) {
    const char *s = ts_buf_str(text);
    ts_buf_reset(scratch);
    for (size_t i = 0; i < text->len;) {
        char c = s[i], d = i + 1 < text->len ? s[i + 1] : 0;
        bool pair = i + 1 < text->len && (rule == 0   ? !is_digit(c) && is_point(d)
                                          : rule == 1 ? is_point(c) && !is_digit(d)
                                                      : is_digit(c) && d == '-');
        if (pair && rule == 1) ts_buf_putc(scratch, ' ');
        ts_buf_putc(scratch, c);
        if (pair) {
            ts_buf_putc(scratch, ' ');
            ts_buf_putc(scratch, d);
            if (rule != 1) ts_buf_putc(scratch, ' ');
        }
        i += pair ? 2 : 1;
    }
    ts_buf swapped = *text;
    *text = *scratch;
    *scratch = swapped;
}

static void push_blank_parted(struct units *u, const ts_buf *text) {
    const char *s = ts_buf_str(text);
    size_t from = 0, at = 0;
    while (at < text->len) {
        uint32_t cp;
        size_t n = ts_utf8_decode(s + at, text->len - at, &cp);
        if (is_blank(cp)) {
            push_word(u, s + from, at - from);
            from = at + n;
        }
        at += n;
    }
    push_word(u, s + from, at - from);
}

static struct units bleu_words(ts_text t) {
    struct units u = {0};
    ts_buf clean = TS_BUF_INIT, text = TS_BUF_INIT;
    bleu_clean(t, &clean);
    ts_buf_putc(&text, ' ');
    for (size_t i = 0; i < clean.len; i++) {
        bool alone = stands_alone(clean.data[i]);
        if (alone) ts_buf_putc(&text, ' ');
        ts_buf_putc(&text, clean.data[i]);
        if (alone) ts_buf_putc(&text, ' ');
    }
    ts_buf_putc(&text, ' ');
    for (int rule = 0; rule < 3; rule++)
        part_pairs(&text, &clean, rule);
    push_blank_parted(&u, &text);
    ts_buf_release(&clean);
    ts_buf_release(&text);
    return u;
}

/* sacrebleu takes blanks off the end before the line ends become blanks: "word-\n" stays a word with a dash. */
static ts_text without_end(ts_text t) {
    while (t.n && memchr(" \t\r\n\v\f", t.s[t.n - 1], 6))
        t.n--;
    return t;
}

void ts_bleu_counts(ts_text answer, ts_text reference, double out[TS_BLEU_COUNTS]) {
    struct units a = bleu_words(without_end(answer)), b = bleu_words(without_end(reference));
    for (size_t order = 1; order <= 4; order++) {
        size_t na, nb, shared;
        count_grams(&a, &b, order, &na, &nb, &shared);
        out[order - 1] = (double)shared;
        out[3 + order] = (double)na;
    }
    out[8] = (double)a.n;
    out[9] = (double)b.n;
    free(a.items);
    free(b.items);
}

double ts_bleu(const double counts[TS_BLEU_COUNTS]) {
    double smooth = 1, sum = 0;
    int order = 0;
    if (!(counts[0] > 0)) return 0; /* no word shared: no pair either */
    for (; order < 4 && counts[4 + order] > 0; order++) {
        if (counts[order] == 0) smooth *= 2;
        sum += log((counts[order] > 0 ? counts[order] : 1 / smooth) / counts[4 + order]);
    }
    double brevity = counts[8] < counts[9] ? exp(1 - counts[9] / counts[8]) : 1;
    return 100 * brevity * exp(sum / order);
}

/* ---- chrF ---- */

static struct units characters(ts_text t) {
    struct units u = {0};
    uint32_t cp;
    for (size_t at = 0; at < t.n && u.n < TS_METRIC_UNITS;) {
        at += ts_utf8_decode(t.s + at, t.n - at, &cp);
        if (!is_blank(cp)) push(&u, cp);
    }
    return u;
}

void ts_chrf_counts(ts_text answer, ts_text reference, double out[TS_CHRF_COUNTS]) {
    struct units a = characters(answer), b = characters(reference);
    for (size_t order = 1; order <= 6; order++) {
        size_t na, nb, shared;
        count_grams(&a, &b, order, &na, &nb, &shared);
        out[3 * order - 3] = nb ? (double)na : 0; /* where the reference has none, there is nothing to hit */
        out[3 * order - 2] = (double)nb;
        out[3 * order - 1] = (double)shared;
    }
    free(a.items);
    free(b.items);
}

double ts_chrf(const double counts[TS_CHRF_COUNTS]) {
    double precision = 0, recall = 0, orders = 0;
    for (const double *c = counts; c < counts + TS_CHRF_COUNTS; c += 3) {
        if (!(c[0] > 0 && c[1] > 0)) continue;
        precision += c[2] / c[0];
        recall += c[2] / c[1];
        orders++;
    }
    /* the orders cancel out but for the mean: F with beta 2 */
    double mean_precision = orders > 0 ? precision / orders : 0, mean_recall = orders > 0 ? recall / orders : 0;
    double below = 4 * mean_precision + mean_recall;
    return below > 0 ? 100 * 5 * mean_precision * mean_recall / below : 0;
}

double ts_distinct(ts_text t, size_t n) {
    struct units u = {0};
    ts_words w = {0};
    ts_buf valid = TS_BUF_INIT;
    size_t grams, different = 0;
    ts_utf8_repair(&valid, t.s ? t.s : "", t.n);
    ts_words_begin(&w, ts_buf_str(&valid), valid.len);
    while (u.n < TS_METRIC_UNITS && ts_words_next(&w))
        push_word(&u, w.word.data, w.word.len);
    uint64_t *all = grams_of(&u, n, &grams);
    for (size_t i = 0; i < grams; i++)
        different += i == 0 || all[i] != all[i - 1];
    free(all);
    free(u.items);
    ts_words_release(&w);
    ts_buf_release(&valid);
    return grams ? (double)different / (double)grams : NAN;
}
