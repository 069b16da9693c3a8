/* Searching text with PCRE2 (its only home): always UTF-8 with Unicode classes, compiled by the JIT where there is one.
 * A ts_regex may be used by several threads at once, each with its own ts_matcher. */
#ifndef TS_TEXT_MATCH_H
#define TS_TEXT_MATCH_H

#include "core/base/buf.h"

typedef struct ts_regex ts_regex;
typedef struct ts_matcher ts_matcher;

enum ts_regex_flags {
    TS_REGEX_CASELESS = 1,
    TS_REGEX_LITERAL = 2, /* the pattern is plain text */
};

/* TS_INVALID with the position in the pattern when it does not compile. */
TS_MUST_USE ts_status ts_regex_new(ts_regex **out, const char *pattern, size_t n, unsigned flags, ts_err *err);
void ts_regex_free(ts_regex *re);

ts_matcher *ts_matcher_new(const ts_regex *re);
void ts_matcher_free(ts_matcher *m);
/* First match in text[from..n): true with its [start, end). text[0..n) must be valid UTF-8 (check it first) and `from`
 * a character boundary; what precedes `from` is seen by look-behinds. A pattern that needs more than the built-in
 * limits (depth, steps) counts as no match and sets *gave_up (may be NULL). */
bool ts_matcher_find(ts_matcher *m, const char *text, size_t n, size_t from, size_t *start, size_t *end, bool *gave_up);

/* Smart case: caseless when the pattern has no upper-case letter. */
bool ts_has_upper(const char *pattern, size_t n);

#endif
