/* The inside of a tokenizer: what tokenizer_json.c and tokenizer_gguf.c fill in and the rest of tokenizer*.c uses.
 * Nobody else includes this.
 *
 * The steps of encode, as in Hugging Face's tokenizers:
 *   text -> repaired UTF-8 -> cut at added tokens -> each piece normalised -> cut at added tokens that are looked for
 *   in normalised text -> pre-tokenizer steps cut it into words -> each word by BPE or as a Unigram model ->
 *   post-processor adds ids
 * Byte-level pre-tokenizers write every byte as one printable character (alphabet below). We keep the bytes and map
 * only where names are looked up. */
#ifndef TS_MODEL_TOKENIZER_IMPL_H
#define TS_MODEL_TOKENIZER_IMPL_H

#include "core/model/tokenizer.h"
#include "core/text/match.h"
#include "core/text/normalize.h"

#include <pthread.h>

enum { TS_TOKEN_IDS_MAX = 10000000 }; /* 35 times the largest vocabulary known (Gemma's 262,144) */

/* Names to ids and back. */
typedef struct ts_vocab_name {
    uint32_t at, n; /* in text; at 0 = no such id */
} ts_vocab_name;
typedef struct ts_vocab_slot {
    uint32_t hash;
    int32_t id; /* -1 = free */
} ts_vocab_slot;
typedef struct ts_vocab {
    ts_buf text; /* names, a NUL behind each; starts with one NUL byte */
    ts_vocab_name *names;
    size_t n, cap;
    ts_vocab_slot *slots;
    size_t n_slots, used;
} ts_vocab;
/* false: id out of bounds or names longer than 4 GB in all. A name that is there gets the new id. */
bool ts_vocab_add(ts_vocab *v, const char *name, size_t n, int64_t id);
int32_t ts_vocab_find(const ts_vocab *v, const char *name, size_t n); /* -1 */
void ts_vocab_expect(ts_vocab *v, size_t count);                      /* room for so many, once, at the start */
void ts_vocab_release(ts_vocab *v);

/* (left id, right id) -> rank and id of the two together. */
typedef struct ts_merge {
    uint64_t pair; /* UINT64_MAX = free */
    int32_t rank, id;
} ts_merge;
typedef struct ts_merges {
    ts_merge *slots;
    size_t n_slots, used;
} ts_merges;
void ts_merges_add(ts_merges *m, int32_t left, int32_t right, int32_t rank, int32_t id);
const ts_merge *ts_merges_find(const ts_merges *m, int32_t left, int32_t right); /* NULL */
void ts_merges_expect(ts_merges *m, size_t count);

/* The merges of a file on their way into the table. The names of hundreds of thousands lie all over some 20 MB, so each
 * look-up waits for memory; a batch asks for the memory of all its names first. */
enum { TS_MERGE_BATCH = 32 };
typedef struct ts_merge_name {
    size_t at; /* in text */
    uint32_t left_n, n;
    const char *where; /* the caller's: for errors */
    uint32_t hash[3];  /* left, right, both */
    int32_t id[3];
} ts_merge_name;
typedef struct ts_merge_batch {
    const ts_vocab *vocab;
    ts_merges *merges;
    int32_t rank; /* of items[0] */
    size_t cut;   /* bytes that the right side loses in the name of both: continuing_subword_prefix */
    ts_buf text;
    ts_merge_name items[TS_MERGE_BATCH];
    size_t n;
    const ts_merge_name *bad; /* names a token that is not in the vocabulary */
} ts_merge_batch;
/* Left and right side, one behind the other in joined[0..n). false: one of those collected so far is bad. */
bool ts_merge_batch_add(ts_merge_batch *b, const char *joined, size_t left_n, size_t n, const char *where);
bool ts_merge_batch_end(ts_merge_batch *b); /* those still waiting */
void ts_merge_batch_release(ts_merge_batch *b);

/* The scores of a Unigram model and its names in order. */
typedef struct ts_unigram {
    double *scores; /* by id; added tokens have none */
    size_t n, cap;  /* 0: the model is BPE */
    double unknown; /* the score of a character that is no name */
    int32_t *sorted;
    size_t n_sorted;
    uint32_t first[257]; /* by first byte: where those names begin in sorted */
} ts_unigram;
/* Longer names are refused, so that a hostile file cannot make a search out of each place of a text: sentencepiece's
 * trainer stops at 16 characters. */
enum { TS_PIECE_MAX = 1024 };

typedef enum ts_step_kind {
    /* normalizers */
    TS_NORM_PREPEND,
    TS_NORM_REPLACE,
    TS_NORM_FORM,
    TS_NORM_LOWER,
    TS_NORM_STRIP,
    /* pre-tokenizers */
    TS_PRE_SPLIT,
    TS_PRE_DIGITS,
    TS_PRE_PUNCTUATION,
    TS_PRE_METASPACE,
    TS_PRE_BYTE_LEVEL,
    /* decoders that work on one token */
    TS_DEC_REPLACE,
    TS_DEC_STRIP,
    TS_DEC_METASPACE,
} ts_step_kind;

typedef enum ts_cut { TS_ISOLATED, TS_REMOVED, TS_CONTIGUOUS, TS_WITH_PREVIOUS, TS_WITH_NEXT } ts_cut;
typedef enum ts_scheme { TS_PREPEND_ALWAYS, TS_PREPEND_FIRST, TS_PREPEND_NEVER } ts_scheme;

/* One step of the normalizer, the pre-tokenizer or the decoder; which fields count depends on the kind. */
typedef struct ts_step {
    ts_step_kind kind;
    char *a; /* prepended, replaced or stripped text; Metaspace's replacement */
    size_t a_n;
    char *b; /* what replaces it */
    size_t b_n;
    ts_regex *re;  /* Split and Replace with a regular expression, Byte-level with its own */
    char *pattern; /* its text, as the file has it */
    size_t matcher;
    ts_normal_form form;
    ts_cut cut;
    ts_scheme scheme;
    bool invert, prefix_space, split; /* split: Metaspace cuts; Digits: one by one */
    size_t left, right;               /* Strip */
} ts_step;
typedef struct ts_steps {
    ts_step *items;
    size_t n, cap;
} ts_steps;

typedef struct ts_added {
    int32_t id;
    char *text; /* as looked for: normalised where `normalized` */
    size_t n;
    bool lstrip, rstrip, single_word, normalized, special;
} ts_added;
/* Added tokens by text: leftmost-longest search. */
typedef struct ts_added_set {
    ts_vocab index;         /* text -> position in the tokenizer's list */
    uint32_t *lengths[256]; /* by first byte: lengths of the tokens, falling, 0 at the end; NULL = none */
} ts_added_set;

struct ts_scratch;

struct ts_tokenizer {
    ts_vocab vocab;
    ts_merges merges;
    ts_unigram unigram;
    char *word_prefix, *word_suffix; /* BPE: in the names of what does not begin a word, or ends one; NULL: none */
    size_t word_prefix_n, word_suffix_n;
    float *scores; /* SentencePiece vocabularies of GGUF: any two neighbours whose text together is a name merge */
    ts_steps normalizer, pre, decoder;
    size_t n_matchers;
    ts_regex **regexes; /* by matcher number, borrowed from the steps */
    ts_added *added;
    size_t n_added, cap_added;
    ts_added_set raw_set, normal_set;
    bool *special; /* by id, n = vocab.n */
    int32_t unk;
    bool byte_fallback, fuse_unk, ignore_merges, byte_level;
    bool space_begins;         /* words may be cut in front of U+2581: see ts_space_begins */
    bool before_mark[256];     /* but not behind these bytes */
    int32_t byte_ids[256];     /* byte-level: id of the byte's character, -1 */
    int32_t fallback_ids[256]; /* id of <0xHH>, -1 */
    bool decode_bytes, decode_fallback, decode_fuse, decode_joins; /* joins: no decoder, a space between tokens */
    char *decode_suffix;                                           /* BPEDecoder: what a space stands for; NULL: none */
    size_t decode_suffix_n;
    size_t strip_left;     /* spaces taken from the start of the whole text */
    ts_ids prefix, suffix; /* the post-processor */
    int32_t bos, eos;
    char *chat_template, *kind;
    pthread_mutex_t lock; /* guards idle */
    struct ts_scratch *idle;
};

/* All merges, best first, for writing them into a file; free items. Of a vocabulary with scores: every way to put a
 * piece together from two others. */
typedef struct ts_merge_item {
    int32_t left, right, id, rank;
    uint32_t left_n; /* private */
} ts_merge_item;
typedef struct ts_merge_list {
    ts_merge_item *items;
    size_t n, cap;
} ts_merge_list;
void ts_tokenizer_merges(const ts_tokenizer *t, ts_merge_list *out);

/* Byte-level alphabet: bytes 33-126, 161-172, 174-255 stand for themselves, the other 68 for U+0100 and on. */
uint32_t ts_byte_char(unsigned char byte);
int ts_char_byte(uint32_t cp); /* -1: not of the alphabet */

/* Builders, used by the two readers. */
ts_step *ts_steps_add(ts_steps *s, ts_step_kind kind);
TS_MUST_USE ts_status ts_step_regex(ts_tokenizer *t, ts_step *step, const char *pattern, size_t n, bool literal,
                                    ts_err *err);
void ts_step_text(char **to, size_t *to_n, const char *s, size_t n);
ts_added *ts_tokenizer_add(ts_tokenizer *t, int32_t id, const char *text, size_t n);
/* The pre-split that GPT-2's ByteLevel means by use_regex. */
extern const char ts_gpt2_pattern[];
/* After the parts are filled in: builds the tables that encode and decode use. */
TS_MUST_USE ts_status ts_tokenizer_finish(ts_tokenizer *t, const char *what, ts_err *err);

TS_MUST_USE ts_status ts_tokenizer_read_json(ts_tokenizer *t, const char *dir, ts_err *err);
TS_MUST_USE ts_status ts_tokenizer_parse_json(ts_tokenizer *t, const char *text, size_t n, const char *what,
                                              ts_err *err);
/* What GGUF calls the way this byte-level tokenizer cuts text (tokenizer.ggml.pre); NULL: it has no name. */
const char *ts_tokenizer_pre_name(const ts_tokenizer *t);
TS_MUST_USE ts_status ts_tokenizer_read_gguf(ts_tokenizer *t, const char *path, ts_err *err);
ts_tokenizer *ts_tokenizer_new(void);
/* Takes a copy of `source` in place of the template that it has; NULL: nothing happens. */
void ts_tokenizer_set_template(ts_tokenizer *t, const char *source);

/* Text on its way through the steps, knowing where in the caller's text each byte came from: a view of it until a step
 * changes something, then a copy with a map. */
typedef struct ts_flow {
    const char *s;
    size_t n;
    size_t base; /* a view: byte i came from base + i */
    bool mapped; /* a copy: byte i came from from[i] */
    ts_buf text;
    size_t *from;
    size_t cap_from;
} ts_flow;
void ts_flow_view(ts_flow *f, const char *s, size_t n, size_t base);
size_t ts_flow_from(const ts_flow *f, size_t i); /* i = n: where the last byte came from, plus 1 */

typedef struct ts_range {
    size_t start, end;
} ts_range;
typedef struct ts_ranges {
    ts_range *items;
    size_t n, cap;
} ts_ranges;
/* Stretches of a word, alternately found by a pattern and between. */
typedef struct ts_stretch {
    size_t start, end;
    bool match;
} ts_stretch;
typedef struct ts_stretches {
    ts_stretch *items;
    size_t n, cap;
} ts_stretches;

typedef struct ts_symbol {
    int32_t id;
    uint32_t len;       /* bytes of the word; 0 = merged into the one before */
    int32_t prev, next; /* -1 */
    size_t start;
} ts_symbol;
/* The best way to the byte in front of which it stands. */
typedef struct ts_best {
    double score;
    int32_t id, from; /* the last name and where it begins; -1: no way leads here */
    int32_t next;     /* on the way chosen */
} ts_best;
typedef struct ts_candidate {
    int32_t rank, at, id;
} ts_candidate;

/* Word to ids, remembered: words repeat. */
typedef struct ts_word_slot {
    unsigned char n, n_ids;
    char text[24];
    unsigned char starts[6];
    int32_t ids[6];
} ts_word_slot;
enum { TS_WORD_SLOTS = 4096 };

/* What one running encode needs; kept by the tokenizer for the next one. */
typedef struct ts_scratch {
    struct ts_scratch *next;
    ts_matcher **matchers;
    ts_flow a, b;
    ts_ranges words, other; /* of a */
    ts_stretches cuts;
    ts_buf name;
    ts_symbol *symbols;
    size_t n_symbols, cap_symbols;
    ts_candidate *heap;
    size_t n_heap, cap_heap;
    size_t heap_steps; /* counted for the test of how the cost grows */
    ts_best *best;
    size_t cap_best;
    ts_word_slot *cache;
} ts_scratch;

/* normalizer.c: changes s->a. pretokenize.c: cuts s->a (and may change it) into s->words. */
void ts_normalize_flow(const ts_tokenizer *t, ts_scratch *s);
void ts_pretokenize(const ts_tokenizer *t, ts_scratch *s);
/* The words of a text of valid UTF-8 as encode would work on them, in order; added tokens are not looked for. `fn` must
 * not use t. */
void ts_tokenizer_words(const ts_tokenizer *t, const char *text, size_t n,
                        void (*fn)(void *ctx, const char *word, size_t n), void *ctx);
/* For steps that write a changed text: begin, then copy stretches of s->a and put new text, then end. */
void ts_flow_begin(ts_scratch *s);
void ts_flow_copy(ts_scratch *s, size_t start, size_t end);
void ts_flow_put(ts_scratch *s, const char *text, size_t n, size_t from);
void ts_flow_end(ts_scratch *s);
/* What `step` finds in text[start..end), and what lies between, in s->cuts. */
void ts_find_stretches(ts_scratch *s, const ts_step *step, const char *text, size_t start, size_t end);
/* SentencePiece-like vocabularies have no pre-tokenizer, so a document is one word. But if no name of the vocabulary
 * has U+2581 behind another character, nothing can ever merge across the place before one, and cutting there changes no
 * result: words are short again, and their tokens can be remembered. True of Llama 2 and Mistral; Gemma 3 has one such
 * name ("> </"), so nothing is cut behind the bytes that stand there in front of U+2581. */
bool ts_space_begins(ts_tokenizer *t);
/* tokenizer_bpe.c: the tokens of one word become s->symbols[0..n_symbols), merged ones with len 0. `slow` takes the
 * obvious way through the whole word for each merge; the tests compare. */
void ts_bpe(const ts_tokenizer *t, ts_scratch *s, const char *word, size_t n, bool slow);
/* tokenizer_unigram.c: the same for Unigram models; `slow` looks up every stretch of the word. */
void ts_unigram_word(const ts_tokenizer *t, ts_scratch *s, const char *word, size_t n, bool slow);
void ts_unigram_build(ts_tokenizer *t); /* after the scores are there */
void ts_unigram_release(ts_unigram *u);
/* tokenizer_added.c */
void ts_added_build(ts_tokenizer *t, ts_added_set *set, bool normalized);
void ts_added_release(ts_added_set *set);
/* The next added token in text[at..n): its index in t->added and its range with the white space that it
 * takes (not before `floor`). */
bool ts_added_next(const ts_tokenizer *t, const ts_added_set *set, const char *text, size_t n, size_t at, size_t floor,
                   size_t *which, ts_range *range);

#endif
