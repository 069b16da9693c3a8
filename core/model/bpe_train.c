#include "core/model/bpe_train.h"

#include "core/base/json.h"
#include "core/base/utf8.h"
#include "core/model/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

/* A pair that occurs once is no habit of the language: HF's min_frequency of 2. */
enum { LEAST_COUNT = 2, LOOK_EVERY = 64 };
#define NO_PAIR UINT32_MAX

typedef struct pair {
    uint64_t key; /* left << 32 | right: also the order among equals */
    int64_t count;
    uint32_t *words; /* that have or had it, some of them twice */
    size_t n, cap;
    bool merged, touched;
} pair;

typedef struct waiting {
    int64_t count;
    uint32_t pair;
} waiting;

typedef struct word {
    size_t at; /* in symbols */
    uint32_t n;
    int64_t count;
} word;

struct ts_bpe_trainer {
    ts_tokenizer *cutter; /* a tokenizer without merges: cuts texts into words */
    ts_vocab texts;       /* of the words, by index */
    word *words;
    size_t cap_words;
    int32_t *symbols;
    size_t n_symbols, cap_symbols;
    ts_vocab names; /* of the tokens */
    size_t n_specials;
    int32_t byte_ids[256];
    uint64_t *merges; /* keys, in order */
    size_t n_merges, cap_merges;
    pair *pairs;
    size_t n_pairs, cap_pairs;
    uint32_t *slots; /* by hash of the key */
    size_t n_slots;
    waiting *heap;
    size_t n_heap, cap_heap;
    uint32_t *touched;
    size_t n_touched, cap_touched;
    bool full; /* too many words */
};

static void put_head(const ts_bpe_trainer *t, ts_jw *w) {
    static const char pre[] =
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},{\"type\":"
        "\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}]}",
                      decoder[] =
                          "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true}";
    ts_jw_kstr(w, "version", "1.0");
    ts_jw_kstr(w, "truncation", NULL);
    ts_jw_kstr(w, "padding", NULL);
    ts_jw_key(w, "added_tokens");
    ts_jw_arr(w);
    for (size_t i = 0; i < t->n_specials; i++) {
        ts_jw_obj(w);
        ts_jw_kint(w, "id", (int64_t)i);
        ts_jw_kstr(w, "content", t->names.text.data + t->names.names[i].at);
        ts_jw_kbool(w, "single_word", false);
        ts_jw_kbool(w, "lstrip", false);
        ts_jw_kbool(w, "rstrip", false);
        ts_jw_kbool(w, "normalized", false);
        ts_jw_kbool(w, "special", true);
        ts_jw_end_obj(w);
    }
    ts_jw_end_arr(w);
    ts_jw_kstr(w, "normalizer", NULL);
    ts_jw_key(w, "pre_tokenizer");
    ts_jw_raw(w, pre, sizeof pre - 1);
    ts_jw_kstr(w, "post_processor", NULL);
    ts_jw_key(w, "decoder");
    ts_jw_raw(w, decoder, sizeof decoder - 1);
}

static void put_name(ts_jw *w, const ts_vocab *v, const uint64_t *merge) {
    size_t left = (size_t)(*merge >> 32), right = (size_t)(uint32_t)*merge;
    ts_buf both = TS_BUF_INIT;
    ts_buf_printf(&both, "%s %s", v->text.data + v->names[left].at, v->text.data + v->names[right].at);
    ts_jw_strn(w, both.data, both.len);
    ts_buf_release(&both);
}

void ts_bpe_trainer_write(const ts_bpe_trainer *t, ts_buf *json) {
    ts_jw w = ts_jw_to(json);
    ts_jw_obj(&w);
    put_head(t, &w);
    ts_jw_key(&w, "model");
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "type", "BPE");
    ts_jw_key(&w, "dropout");
    ts_jw_null(&w);
    ts_jw_kstr(&w, "unk_token", NULL);
    ts_jw_kstr(&w, "continuing_subword_prefix", NULL);
    ts_jw_kstr(&w, "end_of_word_suffix", NULL);
    ts_jw_kbool(&w, "fuse_unk", false);
    ts_jw_kbool(&w, "byte_fallback", false);
    ts_jw_kbool(&w, "ignore_merges", false);
    ts_jw_key(&w, "vocab");
    ts_jw_obj(&w);
    for (size_t i = 0; i < t->names.n; i++)
        ts_jw_kint(&w, t->names.text.data + t->names.names[i].at, (int64_t)i);
    ts_jw_end_obj(&w);
    ts_jw_key(&w, "merges");
    ts_jw_arr(&w);
    for (size_t i = 0; i < t->n_merges; i++)
        put_name(&w, &t->names, &t->merges[i]);
    ts_jw_end_arr(&w);
    ts_jw_end_obj(&w);
    ts_jw_end_obj(&w);
    ts_buf_putc(json, '\n');
}

/* ---- the words ---- */

ts_bpe_trainer *ts_bpe_trainer_new(const char *const *specials, size_t n_specials) {
    ts_bpe_trainer *t = ts_calloc(1, sizeof *t);
    ts_buf text = TS_BUF_INIT;
    ts_err err;
    t->n_specials = n_specials;
    for (size_t i = 0; i < n_specials; i++)
        ts_assert(ts_vocab_add(&t->names, specials[i], strlen(specials[i]), (int64_t)i));
    for (uint32_t c = 0, id = (uint32_t)n_specials; c < 512; c++) {
        if (ts_char_byte(c) < 0) continue;
        ts_buf_reset(&text);
        ts_utf8_put(&text, c);
        ts_assert(ts_vocab_add(&t->names, text.data, text.len, id));
        t->byte_ids[ts_char_byte(c)] = (int32_t)id++;
    }
    ts_buf_reset(&text);
    ts_bpe_trainer_write(t, &text);
    t->cutter = ts_tokenizer_new();
    if (ts_tokenizer_parse_json(t->cutter, text.data, text.len, "a new tokenizer", &err) != TS_OK) ts_fatal(err.text);
    ts_buf_release(&text);
    return t;
}

void ts_bpe_trainer_free(ts_bpe_trainer *t) {
    if (!t) return;
    ts_tokenizer_free(t->cutter);
    ts_vocab_release(&t->texts);
    ts_vocab_release(&t->names);
    for (size_t i = 0; i < t->n_pairs; i++)
        free(t->pairs[i].words);
    free(t->words);
    free(t->symbols);
    free(t->merges);
    free(t->pairs);
    free(t->slots);
    free(t->heap);
    free(t->touched);
    free(t);
}

static void count_word(void *ctx, const char *text, size_t n) {
    ts_bpe_trainer *t = ctx;
    int32_t at = ts_vocab_find(&t->texts, text, n);
    if (at >= 0) {
        t->words[at].count++;
        return;
    }
    size_t i = t->texts.n;
    if (t->full || !ts_vocab_add(&t->texts, text, n, (int64_t)i)) {
        t->full = true;
        return;
    }
    TS_GROW(t->words, t->cap_words, i + 1);
    t->words[i] = (word){t->n_symbols, (uint32_t)n, 1};
    TS_GROW(t->symbols, t->cap_symbols, t->n_symbols + n);
    for (size_t k = 0; k < n; k++)
        t->symbols[t->n_symbols++] = t->byte_ids[(unsigned char)text[k]];
}

ts_status ts_bpe_trainer_add(ts_bpe_trainer *t, const char *text, size_t n, ts_err *err) {
    ts_buf good = TS_BUF_INIT;
    ts_utf8_repair(&good, text, n);
    ts_tokenizer_words(t->cutter, ts_buf_str(&good), good.len, count_word, t);
    ts_buf_release(&good);
    if (t->full)
        return ts_fail(err, TS_LIMIT, "the text has more than %d different words; give a part of it", TS_TOKEN_IDS_MAX);
    return TS_OK;
}

size_t ts_bpe_trainer_size(const ts_bpe_trainer *t) {
    return t->names.n;
}

size_t ts_bpe_trainer_words(const ts_bpe_trainer *t) {
    return t->texts.n;
}

/* ---- pairs ---- */

static size_t slot_of(uint64_t key, size_t n_slots) {
    return (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & (n_slots - 1);
}

static void grow_slots(ts_bpe_trainer *t) {
    size_t n = t->n_slots ? 2 * t->n_slots : 1024;
    free(t->slots);
    t->slots = ts_realloc_array(NULL, n, sizeof *t->slots);
    t->n_slots = n;
    memset(t->slots, 0xff, n * sizeof *t->slots);
    for (size_t i = 0; i < t->n_pairs; i++) {
        size_t at = slot_of(t->pairs[i].key, n);
        while (t->slots[at] != NO_PAIR)
            at = (at + 1) & (n - 1);
        t->slots[at] = (uint32_t)i;
    }
}

static uint32_t pair_of(ts_bpe_trainer *t, int32_t left, int32_t right) {
    uint64_t key = (uint64_t)left << 32 | (uint32_t)right;
    if (2 * t->n_pairs >= t->n_slots) grow_slots(t);
    size_t at = slot_of(key, t->n_slots);
    for (; t->slots[at] != NO_PAIR; at = (at + 1) & (t->n_slots - 1))
        if (t->pairs[t->slots[at]].key == key) return t->slots[at];
    ts_assert(t->n_pairs < NO_PAIR);
    t->slots[at] = (uint32_t)t->n_pairs;
    TS_PUSH(t->pairs, t->n_pairs, t->cap_pairs, (pair){.key = key});
    return t->slots[at];
}

/* `by` more (or fewer) of a pair in a word; those that grew go onto the heap after the merge. */
static void change(ts_bpe_trainer *t, int32_t left, int32_t right, int64_t by, uint32_t in) {
    uint32_t i = pair_of(t, left, right);
    pair *p = &t->pairs[i];
    p->count += by;
    if (by < 0) return;
    if (p->n == 0 || p->words[p->n - 1] != in) TS_PUSH(p->words, p->n, p->cap, in);
    if (p->touched) return;
    p->touched = true;
    TS_PUSH(t->touched, t->n_touched, t->cap_touched, i);
}

/* Is a the better one? */
static bool better(const ts_bpe_trainer *t, waiting a, waiting b) {
    if (a.count != b.count) return a.count > b.count;
    return t->pairs[a.pair].key < t->pairs[b.pair].key;
}

static void push(ts_bpe_trainer *t, waiting w) {
    TS_GROW(t->heap, t->cap_heap, t->n_heap + 1);
    size_t i = t->n_heap++;
    for (; i && better(t, w, t->heap[(i - 1) / 2]); i = (i - 1) / 2)
        t->heap[i] = t->heap[(i - 1) / 2];
    t->heap[i] = w;
}

static waiting pop(ts_bpe_trainer *t) {
    waiting top = t->heap[0], last = t->heap[--t->n_heap];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < t->n_heap) {
        if (child + 1 < t->n_heap && better(t, t->heap[child + 1], t->heap[child])) child++;
        if (!better(t, t->heap[child], last)) break;
        t->heap[i] = t->heap[child];
        i = child;
    }
    t->heap[i] = last;
    return top;
}

static void push_touched(ts_bpe_trainer *t) {
    for (size_t i = 0; i < t->n_touched; i++) {
        pair *p = &t->pairs[t->touched[i]];
        p->touched = false;
        if (p->count >= LEAST_COUNT && !p->merged) push(t, (waiting){p->count, t->touched[i]});
    }
    t->n_touched = 0;
}

/* The most frequent pair as it is now: what the heap says of pairs that lost some is put right when it comes up. */
static uint32_t best_pair(ts_bpe_trainer *t) {
    while (t->n_heap) {
        waiting top = pop(t);
        const pair *p = &t->pairs[top.pair];
        if (p->merged || p->count < LEAST_COUNT) continue;
        if (p->count == top.count) return top.pair;
        if (p->count < top.count) push(t, (waiting){p->count, top.pair});
    }
    return NO_PAIR;
}

/* ---- merging ---- */

/* The token of a merge: new, unless another pair has spelled it already. */
static int32_t name_merge(ts_bpe_trainer *t, uint64_t key) {
    const ts_vocab_name *left = &t->names.names[key >> 32], *right = &t->names.names[(uint32_t)key];
    char *name = ts_printf("%s%s", t->names.text.data + left->at, t->names.text.data + right->at);
    int32_t id = ts_vocab_find(&t->names, name, strlen(name));
    if (id < 0) {
        id = (int32_t)t->names.n;
        ts_assert(ts_vocab_add(&t->names, name, strlen(name), id));
    }
    TS_PUSH(t->merges, t->n_merges, t->cap_merges, key);
    free(name);
    return id;
}

/* Only pairs at the seams change. */
static void merge_in_word(ts_bpe_trainer *t, uint32_t at, int32_t left, int32_t right, int32_t id, bool count) {
    word *w = &t->words[at];
    int32_t *s = t->symbols + w->at;
    size_t out = 0;
    for (size_t i = 0; i < w->n;) {
        if (i + 1 == w->n || s[i] != left || s[i + 1] != right) {
            s[out++] = s[i++];
            continue;
        }
        if (count && out) {
            change(t, s[out - 1], left, -w->count, at);
            change(t, s[out - 1], id, w->count, at);
        }
        if (count && i + 2 < w->n) {
            change(t, right, s[i + 2], -w->count, at);
            change(t, id, s[i + 2], w->count, at);
        }
        s[out++] = id;
        i += 2;
    }
    w->n = (uint32_t)out;
}

static void count_pairs(ts_bpe_trainer *t) {
    for (size_t i = 0; i < t->texts.n; i++) {
        const int32_t *s = t->symbols + t->words[i].at;
        for (size_t k = 0; k + 1 < t->words[i].n; k++)
            change(t, s[k], s[k + 1], t->words[i].count, (uint32_t)i);
    }
}

static ts_status check_size(const ts_bpe_trainer *t, size_t size, ts_err *err) {
    if (size < t->names.n)
        return ts_fail(err, TS_INVALID,
                       "a vocabulary of %zu tokens is too small: the %zu special tokens and the 256 bytes take %zu",
                       size, t->n_specials, t->names.n);
    if (size > TS_TOKEN_IDS_MAX)
        return ts_fail(err, TS_LIMIT, "a vocabulary of %zu tokens is too large; %d are the most", size,
                       TS_TOKEN_IDS_MAX);
    return TS_OK;
}

ts_status ts_bpe_trainer_run(ts_bpe_trainer *t, size_t size, ts_progress *progress, ts_err *err) {
    TS_TRY(check_size(t, size, err));
    ts_progress_what(progress, "merging pairs");
    count_pairs(t);
    push_touched(t);
    while (t->names.n < size) {
        uint32_t best = best_pair(t);
        if (best == NO_PAIR) break;
        uint64_t key = t->pairs[best].key;
        int32_t id = name_merge(t, key);
        uint32_t *words = t->pairs[best].words; /* out of the table, which may move */
        size_t n = t->pairs[best].n;
        t->pairs[best].merged = true;
        t->pairs[best].words = NULL;
        t->pairs[best].n = t->pairs[best].cap = 0;
        for (size_t i = 0; i < n; i++)
            merge_in_word(t, words[i], (int32_t)(key >> 32), (int32_t)(uint32_t)key, id, true);
        free(words);
        push_touched(t);
        if (t->n_merges % LOOK_EVERY == 0 && ts_cancelled(progress))
            return ts_fail(err, TS_CANCELLED, "stopped after %zu merges", t->n_merges);
        ts_progress_set(progress, (int64_t)t->names.n, (int64_t)size);
    }
    return TS_OK;
}

ts_status ts_bpe_trainer_run_plain(ts_bpe_trainer *t, size_t size, ts_err *err) {
    TS_TRY(check_size(t, size, err));
    while (t->names.n < size) {
        for (size_t i = 0; i < t->n_pairs; i++) {
            t->pairs[i].count = 0;
            t->pairs[i].n = 0;
        }
        count_pairs(t);
        uint32_t best = NO_PAIR;
        for (uint32_t i = 0; i < t->n_pairs; i++) {
            waiting have = {t->pairs[i].count, i};
            if (t->pairs[i].merged || have.count < LEAST_COUNT) continue;
            if (best == NO_PAIR || better(t, have, (waiting){t->pairs[best].count, best})) best = i;
        }
        if (best == NO_PAIR) break;
        uint64_t key = t->pairs[best].key;
        int32_t id = name_merge(t, key);
        t->pairs[best].merged = true;
        for (size_t i = 0; i < t->texts.n; i++)
            merge_in_word(t, (uint32_t)i, (int32_t)(key >> 32), (int32_t)(uint32_t)key, id, false);
    }
    return TS_OK;
}
