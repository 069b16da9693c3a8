/* Unicode's tables (utf8proc): normal forms and classes of characters. Any thread. */
#ifndef TS_TEXT_NORMALIZE_H
#define TS_TEXT_NORMALIZE_H

#include "core/base/buf.h"

typedef enum ts_normal_form { TS_NFC, TS_NFD, TS_NFKC, TS_NFKD } ts_normal_form;

/* Appends text[0..n), valid UTF-8, in the given form. */
void ts_normalize(ts_buf *out, const char *text, size_t n, ts_normal_form form);
/* Length of the shortest start of text (n > 0, valid UTF-8) that can be normalised apart from what follows: it ends
 * before a character that is neither a mark nor a conjoining jamo. So text can be normalised stretch by stretch. */
size_t ts_normal_stretch(const char *text, size_t n);

bool ts_is_numeric(uint32_t cp);     /* categories Nd, Nl, No */
bool ts_is_punctuation(uint32_t cp); /* categories P*, and ASCII's marks and symbols */
bool ts_is_space(uint32_t cp);       /* White_Space */
bool ts_is_word(uint32_t cp);        /* letters, marks, digits, connecting punctuation: \w */
bool ts_is_letter(uint32_t cp);      /* categories L* */
bool ts_is_upper(uint32_t cp);
bool ts_is_lower(uint32_t cp);
uint32_t ts_to_lower(uint32_t cp); /* one character for one */
uint32_t ts_to_upper(uint32_t cp);

#endif
