/* Which language a text is in, as far as script and function words tell. Any thread. */
#ifndef TS_DATASET_LANGUAGE_H
#define TS_DATASET_LANGUAGE_H

#include "dataset/words.h"

enum { TS_LANGUAGE_WORDS = 400, TS_MAX_LANGUAGES = 32 }; /* words that are looked at; ts_language_count is at most */

/* Index of a language, -1 when there are too few words to tell. `w` is a scratch. */
int ts_language_of(const char *s, size_t n, ts_words *w);
const char *ts_language_name(int language); /* "en", "de", ..., "?" for -1 */
int ts_language_find(const char *name);     /* -1 unknown */
size_t ts_language_count(void);
/* Is it one of the function words that the language is told by? False for languages in other scripts. */
bool ts_language_function_word(int language, const ts_buf *word);

/* The parts of ts_language_of, for who has the words already. */
/* Language of a script other than Latin, when a third of the letters is of it; else -1. */
int ts_language_script(const char *s, size_t n);
/* Makes the table that ts_language_lists looks into: to be called before it, as often as one likes. */
void ts_language_prepare(void);
enum { TS_LANGUAGE_SLOTS = 2048 };
extern uint64_t ts_language_used[TS_LANGUAGE_SLOTS / 64]; /* bit s: slot s of the table holds a word */
uint32_t ts_language_look_up(uint64_t packed);
static inline size_t ts_language_slot(uint64_t packed) {
    return (size_t)(packed * 0x9e3779b97f4a7c15u >> 53);
}
/* Bit l: list l has the word, whose at most 8 bytes lie in `packed`, the first one lowest on a little-endian machine.
 * Most words of a text are told by their slot to be in no list. */
static inline uint32_t ts_language_lists(uint64_t packed) {
    size_t i = ts_language_slot(packed);
    return ts_language_used[i / 64] >> i % 64 & 1 ? ts_language_look_up(packed) : 0;
}
/* The language by how many of `words` words each list has (hits[TS_MAX_LANGUAGES]). */
int ts_language_choose(const size_t *hits, size_t words);

#endif
