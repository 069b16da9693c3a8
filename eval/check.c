/* The check file and the measures of one answer. */
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/utf8.h"
#include "core/text/match.h"
#include "eval/compare.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_CHECK_FILE = 1 << 20 };

struct ts_check {
    ts_regex **lines;
    ts_matcher **matchers;
    size_t *numbers; /* of the file, from 1 */
    size_t n, cap, cap_matchers, cap_numbers;
};

static ts_status add_line(ts_check *c, const char *path, const char *text, size_t n, size_t number, ts_err *err) {
    ts_regex *re = NULL;
    ts_status status = ts_regex_new(&re, text, n, 0, err);
    if (status != TS_OK) return ts_wrap(err, status, "%s line %zu", path, number);
    TS_GROW(c->matchers, c->cap_matchers, c->n + 1);
    TS_GROW(c->numbers, c->cap_numbers, c->n + 1);
    c->matchers[c->n] = ts_matcher_new(re);
    c->numbers[c->n] = number;
    TS_PUSH(c->lines, c->n, c->cap, re);
    return TS_OK;
}

ts_status ts_check_read(ts_check **out, const char *path, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    ts_check *c = ts_calloc(1, sizeof *c);
    size_t number = 0;
    *out = NULL;
    ts_status status = ts_file_read(path, MAX_CHECK_FILE, &text, err);
    for (size_t at = 0; at < text.len && status == TS_OK;) {
        const char *line = text.data + at, *end = memchr(line, '\n', text.len - at);
        size_t n = end ? (size_t)(end - line) : text.len - at;
        at += n + 1;
        number++;
        if (n && line[n - 1] == '\r') n--;
        if (n > 0 && line[0] != '#') status = add_line(c, path, line, n, number, err);
    }
    if (status == TS_OK && c->n == 0)
        status = ts_fail(err, TS_INVALID, "%s holds no pattern: one regular expression a line is needed", path);
    ts_buf_release(&text);
    if (status == TS_OK)
        *out = c;
    else
        ts_check_free(c);
    return status;
}

void ts_check_free(ts_check *c) {
    if (!c) return;
    for (size_t i = 0; i < c->n; i++) {
        ts_matcher_free(c->matchers[i]);
        ts_regex_free(c->lines[i]);
    }
    free(c->lines);
    free(c->matchers);
    free(c->numbers);
    free(c);
}

bool ts_check_match(const ts_check *c, const char *text, size_t n, size_t *failed) {
    size_t from, to, i = 0;
    bool valid = ts_utf8_check(text, n) == n;
    while (valid && i < c->n && ts_matcher_find(c->matchers[i], text, n, 0, &from, &to, NULL))
        i++;
    if (failed) *failed = valid && i == c->n ? 0 : c->numbers[i];
    return valid && i == c->n;
}

static size_t skip(const char *text, size_t n, size_t at, bool spaces) {
    while (at < n && (memchr(" \t\r\n", text[at], 4) != NULL) == spaces)
        at++;
    return at;
}

/* Hashes of the words of the text; the caller frees. */
static uint64_t *word_hashes(const char *text, size_t n, size_t *count) {
    uint64_t *hashes = NULL;
    size_t cap = 0;
    *count = 0;
    for (size_t at = skip(text, n, 0, true); at < n;) {
        size_t end = skip(text, n, at, false);
        TS_PUSH(hashes, *count, cap, ts_hash64(text + at, end - at, 0));
        at = skip(text, n, end, true);
    }
    return hashes;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

double ts_repetition(const char *text, size_t n) {
    enum { GRAM = 4 };
    size_t words, repeated = 0;
    uint64_t *hashes = word_hashes(text, n, &words);
    if (words < GRAM) {
        free(hashes);
        return 0;
    }
    size_t grams = words - GRAM + 1;
    uint64_t *all = ts_calloc(grams, sizeof *all);
    for (size_t i = 0; i < grams; i++)
        all[i] = ts_hash64(hashes + i, GRAM * sizeof *hashes, 1);
    qsort(all, grams, sizeof *all, by_value);
    for (size_t i = 1; i < grams; i++)
        repeated += all[i] == all[i - 1];
    free(all);
    free(hashes);
    return (double)repeated / (double)grams;
}
