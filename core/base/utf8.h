/* UTF-8 as bytes: checking and decoding. What needs Unicode's tables (width, graphemes) is in core/text. */
#ifndef TS_BASE_UTF8_H
#define TS_BASE_UTF8_H

#include "core/base/buf.h"

/* Length (1 to 4) of the valid sequence at s, of which n > 0 bytes are there; 0 if there is none (overlong forms,
 * surrogates, values over U+10FFFF and cut sequences are not valid). */
size_t ts_utf8_sequence(const char *s, size_t n);
/* Offset of the first byte that starts no valid sequence, or n if all is valid. */
size_t ts_utf8_check(const char *s, size_t n);
/* Decodes the sequence at s into *cp and returns its length; an invalid byte gives U+FFFD and 1. n > 0. */
size_t ts_utf8_decode(const char *s, size_t n, uint32_t *cp);
/* Bytes of the maximal invalid part at s, where no valid sequence starts: what one U+FFFD stands for. n > 0. */
size_t ts_utf8_bad(const char *s, size_t n);
/* Appends cp (at most U+10FFFF, no surrogate; others become U+FFFD). */
void ts_utf8_put(ts_buf *out, uint32_t cp);
/* Appends s with every maximal invalid part replaced by one U+FFFD, as Python's decode(errors="replace") does. */
void ts_utf8_repair(ts_buf *out, const char *s, size_t n);

#endif
