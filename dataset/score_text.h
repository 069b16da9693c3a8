/* Inside of the scores: what is known of a text before a rule looks at it. Its words are taken once for all rules, and
 * one pass over its bytes tells which patterns can occur in it at all. */
#ifndef TS_DATASET_SCORE_TEXT_H
#define TS_DATASET_SCORE_TEXT_H

#include "dataset/store.h"
#include "dataset/words.h"

typedef struct ts_word {
    uint64_t hash;       /* of the word in lower case */
    uint64_t stem;       /* hash of its stem; 0 for words under three letters and English function words */
    uint32_t start, end; /* in the text */
    uint32_t letters;    /* characters */
    uint32_t lists;      /* bit l: a function word of language l (dataset/language.h) */
} ts_word;

typedef struct ts_look {
    ts_text text;
    ts_word *words;
    size_t n, cap;
    size_t digits;
    bool ascii;
    bool other_digits;         /* may have digits of other scripts than ours */
    bool exotic;               /* has characters whose lower case is an ASCII letter: byte sequences tell nothing */
    unsigned char bytes[256];  /* 1: occurs, in lower case */
    unsigned char three[4096]; /* 1: three bytes in a row that fall here occur, in lower case */
} ts_look;

/* Looks at a text; `l` keeps its memory between texts, `w` is a scratch. The text is borrowed. Texts of 4 GB or more
 * are not looked at beyond that. */
void ts_look_at(ts_look *l, ts_text t, ts_words *w);
/* The words alone: bytes, three, digits, other_digits and exotic stay as they were. */
void ts_look_for_words(ts_look *l, ts_text t, ts_words *w);
void ts_look_release(ts_look *l);

/* Strings (lower case) one of which a text must have, in any case, for something to occur in it. */
typedef struct ts_needle {
    const char *s;     /* NULL behind the last */
    uint16_t n, three; /* three: where its first three bytes fall */
    uint16_t rare;     /* which of its bytes is the rarest in texts */
} ts_needle;
/* From one string with a line end between them, which must live as long. NULL gives NULL. The caller frees. */
ts_needle *ts_needles_new(const char *alternatives);
/* Can one of them occur in the text? False is certain. */
bool ts_look_may_have(const ts_look *l, const ts_needle *needles);
/* The same of telephone numbers: a plus and a digit; three digits, a dash or point, four more; or one of `words` and a
 * number that begins with 0. */
bool ts_look_may_have_phone(const ts_look *l, const ts_needle *words);
/* Words that begin in [from, to) of the text. */
size_t ts_look_words(const ts_look *l, size_t from, size_t to);
/* The language as ts_language_of tells it. */
int ts_look_language(const ts_look *l);
/* Hash of a word in lower case, as in ts_word. */
uint64_t ts_word_hash(const char *word, size_t n);

/* A set of hashes, made anew for each text. */
typedef struct ts_hash_set {
    uint64_t *slots;
    size_t cap, room;
} ts_hash_set;
void ts_hash_set_begin(ts_hash_set *h, size_t most); /* empty, with room for `most` */
void ts_hash_set_release(ts_hash_set *h);
/* Where it is or would be; 0 stands for an empty place, and so 1 for the hash 0. */
static inline uint64_t *ts_hash_set_slot(const ts_hash_set *h, uint64_t hash) {
    size_t i = (size_t)(hash >> 20) & (h->cap - 1);
    while (h->slots[i] && h->slots[i] != hash)
        i = (i + 1) & (h->cap - 1);
    return &h->slots[i];
}
static inline bool ts_hash_set_has(const ts_hash_set *h, uint64_t hash) {
    return *ts_hash_set_slot(h, hash + !hash) != 0;
}
/* False: it was in it. */
static inline bool ts_hash_set_add(ts_hash_set *h, uint64_t hash) {
    uint64_t *slot = ts_hash_set_slot(h, hash + !hash);
    if (*slot) return false;
    *slot = hash + !hash;
    return true;
}

#endif
