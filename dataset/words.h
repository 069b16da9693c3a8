/* Words of a text: runs of letters, marks, digits, other numbers and underscores, in lower case; every other character
 * parts them. A CJK character is a word of its own, since nothing parts the words there. */
#ifndef TS_DATASET_WORDS_H
#define TS_DATASET_WORDS_H

#include "core/base/buf.h"

typedef struct ts_words {
    const char *s;
    size_t n, at;
    size_t start, end; /* of the word found, in s */
    ts_buf word;       /* the word in lower case */
} ts_words;

/* ASCII letters, digits and the underscore, in lower case; 0 for what parts words (and for bytes of other characters).
 */
extern const char ts_word_lower[256];

/* Begins with s[0..n), valid UTF-8; `word` keeps its memory between texts. */
void ts_words_begin(ts_words *w, const char *s, size_t n);
bool ts_words_next(ts_words *w);
void ts_words_release(ts_words *w);

/* The text folded for comparing whole texts: NFC, lower case, every run of white space one blank, none at the ends.
 * Appended. */
void ts_fold_text(const char *s, size_t n, ts_buf *out);

#endif
