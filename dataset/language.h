/* Which language a text is in, as far as script and function words tell. Any thread. */
#ifndef TS_DATASET_LANGUAGE_H
#define TS_DATASET_LANGUAGE_H

#include "dataset/words.h"

/* Index of a language, -1 when there are too few words to tell. `w` is a scratch. */
int ts_language_of(const char *s, size_t n, ts_words *w);
const char *ts_language_name(int language); /* "en", "de", ..., "?" for -1 */
int ts_language_find(const char *name);     /* -1 unknown */
size_t ts_language_count(void);
/* Is it one of the function words that the language is told by? False for languages in other scripts. */
bool ts_language_function_word(int language, const ts_buf *word);

#endif
