/* Which words differ between two texts, for marking them where both are shown beside each other. Any thread. */
#ifndef TS_TEXT_WORDDIFF_H
#define TS_TEXT_WORDDIFF_H

#include "core/base/mem.h"

/* Bytes [from, to) of a text. */
typedef struct ts_span {
    size_t from, to;
} ts_span;
typedef struct ts_spans {
    ts_span *items;
    size_t n, cap;
} ts_spans;
void ts_spans_release(ts_spans *s);

/* Compares word by word (words, runs of white space and single signs are units) and appends the parts of `a` that are
 * not in `b` to `gone` and those of `b` not in `a` to `added`, in order. Returns false and appends nothing when marks
 * would only be noise: the texts share less than a fifth of their words, or differ in more than 800 places, or are
 * longer than 20,000 units. */
bool ts_worddiff(const char *a, size_t na, const char *b, size_t nb, ts_spans *gone, ts_spans *added);

#endif
