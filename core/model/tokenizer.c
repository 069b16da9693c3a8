/* Opening, and encode: the steps of tokenizer_impl.h in order. */
#include "core/base/utf8.h"
#include "core/model/locate.h"
#include "core/model/tokenizer_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ts_ids_release(ts_ids *ids) {
    free(ids->items);
    *ids = (ts_ids){0};
}

static void push_id(ts_ids *ids, int32_t id) {
    TS_PUSH(ids->items, ids->n, ids->cap, id);
}

uint32_t ts_byte_char(unsigned char b) {
    if ((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174) return b;
    return 256u + (b < 33 ? b : b < 161 ? 33u + b - 127u : 67u);
}

int ts_char_byte(uint32_t cp) {
    if ((cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 172) || (cp >= 174 && cp <= 255)) return (int)cp;
    if (cp < 256 || cp > 256 + 67) return -1;
    uint32_t i = cp - 256;
    return (int)(i < 33 ? i : i < 67 ? i - 33 + 127 : 173);
}

ts_tokenizer *ts_tokenizer_new(void) {
    ts_tokenizer *t = ts_calloc(1, sizeof *t);
    t->unk = t->bos = t->eos = -1;
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

static void release_steps(ts_steps *s) {
    for (size_t i = 0; i < s->n; i++) {
        free(s->items[i].a);
        free(s->items[i].b);
        free(s->items[i].pattern);
        ts_regex_free(s->items[i].re);
    }
    free(s->items);
}

static void free_scratch(const ts_tokenizer *t, ts_scratch *s) {
    for (size_t i = 0; i < t->n_matchers; i++)
        ts_matcher_free(s->matchers[i]);
    free(s->matchers);
    ts_buf_release(&s->a.text);
    ts_buf_release(&s->b.text);
    free(s->a.from);
    free(s->b.from);
    free(s->words.items);
    free(s->other.items);
    free(s->cuts.items);
    ts_buf_release(&s->name);
    free(s->symbols);
    free(s->heap);
    free(s->best);
    free(s->cache);
    free(s);
}

void ts_tokenizer_free(ts_tokenizer *t) {
    if (!t) return;
    while (t->idle) {
        ts_scratch *s = t->idle;
        t->idle = s->next;
        free_scratch(t, s);
    }
    ts_vocab_release(&t->vocab);
    free(t->merges.slots);
    free(t->scores);
    ts_unigram_release(&t->unigram);
    free(t->word_prefix);
    free(t->word_suffix);
    free(t->decode_suffix);
    release_steps(&t->normalizer);
    release_steps(&t->pre);
    release_steps(&t->decoder);
    free(t->regexes);
    for (size_t i = 0; i < t->n_added; i++)
        free(t->added[i].text);
    free(t->added);
    ts_added_release(&t->raw_set);
    ts_added_release(&t->normal_set);
    free(t->special);
    ts_ids_release(&t->prefix);
    ts_ids_release(&t->suffix);
    free(t->chat_template);
    free(t->kind);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

ts_step *ts_steps_add(ts_steps *s, ts_step_kind kind) {
    TS_PUSH(s->items, s->n, s->cap, (ts_step){.kind = kind});
    return &s->items[s->n - 1];
}

/* Files are hostile: text on its way through the steps must stay valid UTF-8, which PCRE2 relies on. */
void ts_step_text(char **to, size_t *to_n, const char *s, size_t n) {
    ts_buf good = TS_BUF_INIT;
    ts_utf8_repair(&good, s, n);
    free(*to);
    *to = ts_strndup(ts_buf_str(&good), good.len);
    *to_n = good.len;
    ts_buf_release(&good);
}

/* PCRE2's \s also matches U+180E, which Unicode took out of White_Space in 6.3 and the others do not match. */
static void exact_spaces(const char *pattern, size_t n, ts_buf *out) {
    for (size_t i = 0; i < n; i++) {
        if (pattern[i] != '\\' || i + 1 == n) {
            ts_buf_putc(out, pattern[i]);
            continue;
        }
        char c = pattern[++i];
        if (c == 's' || c == 'S')
            ts_buf_printf(out, "\\%c{White_Space}", c == 's' ? 'p' : 'P');
        else
            ts_buf_printf(out, "\\%c", c);
    }
}

ts_status ts_step_regex(ts_tokenizer *t, ts_step *step, const char *pattern, size_t n, bool literal, ts_err *err) {
    ts_buf exact = TS_BUF_INIT;
    if (literal) {
        ts_step_text(&step->a, &step->a_n, pattern, n);
        return TS_OK;
    }
    exact_spaces(pattern, n, &exact);
    ts_status status = ts_regex_new(&step->re, ts_buf_str(&exact), exact.len, 0, err);
    ts_buf_release(&exact);
    if (status != TS_OK) return status;
    step->pattern = ts_strndup(pattern, n);
    step->matcher = t->n_matchers++;
    t->regexes = ts_realloc_array(t->regexes, t->n_matchers, sizeof *t->regexes);
    t->regexes[step->matcher] = step->re;
    return TS_OK;
}

ts_added *ts_tokenizer_add(ts_tokenizer *t, int32_t id, const char *text, size_t n) {
    ts_added a = {.id = id};
    ts_step_text(&a.text, &a.n, text, n);
    TS_PUSH(t->added, t->n_added, t->cap_added, a);
    return &t->added[t->n_added - 1];
}

static ts_scratch *take_scratch(const ts_tokenizer *constant) {
    ts_tokenizer *t = (ts_tokenizer *)constant; /* idle is the one part that changes, under its lock */
    pthread_mutex_lock(&t->lock);
    ts_scratch *s = t->idle;
    if (s) t->idle = s->next;
    pthread_mutex_unlock(&t->lock);
    if (s) return s;
    s = ts_calloc(1, sizeof *s);
    s->matchers = ts_calloc(t->n_matchers, sizeof *s->matchers);
    for (size_t i = 0; i < t->n_matchers; i++)
        s->matchers[i] = ts_matcher_new(t->regexes[i]);
    s->cache = ts_calloc(TS_WORD_SLOTS, sizeof *s->cache);
    return s;
}

static void give_scratch(const ts_tokenizer *constant, ts_scratch *s) {
    ts_tokenizer *t = (ts_tokenizer *)constant;
    pthread_mutex_lock(&t->lock);
    s->next = t->idle;
    t->idle = s;
    pthread_mutex_unlock(&t->lock);
}

/* Added tokens marked `normalized` are looked for in normalised text, so they are normalised too. */
static void normalize_added(ts_tokenizer *t) {
    ts_scratch *s = take_scratch(t);
    for (size_t i = 0; i < t->n_added; i++) {
        ts_added *a = &t->added[i];
        if (!a->normalized) continue;
        ts_flow_view(&s->a, a->text, a->n, 0);
        ts_normalize_flow(t, s);
        char *text = ts_strndup(s->a.s, s->a.n);
        a->n = s->a.n;
        free(a->text);
        a->text = text;
    }
    give_scratch(t, s);
}

static void build_byte_tables(ts_tokenizer *t) {
    char name[8];
    ts_buf c = TS_BUF_INIT;
    for (int b = 0; b < 256; b++) {
        ts_buf_reset(&c);
        ts_utf8_put(&c, ts_byte_char((unsigned char)b));
        t->byte_ids[b] = ts_vocab_find(&t->vocab, c.data, c.len);
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        t->fallback_ids[b] = ts_vocab_find(&t->vocab, name, 6);
    }
    ts_buf_release(&c);
}

ts_status ts_tokenizer_finish(ts_tokenizer *t, const char *what, ts_err *err) {
    if (t->vocab.n == 0) return ts_fail(err, TS_FORMAT, "%s: its vocabulary is empty", what);
    t->byte_level = t->pre.n && t->pre.items[t->pre.n - 1].kind == TS_PRE_BYTE_LEVEL;
    t->special = ts_calloc(t->vocab.n, sizeof *t->special);
    for (size_t i = 0; i < t->n_added; i++)
        if (t->added[i].special) t->special[t->added[i].id] = true;
    t->space_begins = ts_space_begins(t);
    if (t->unigram.n) ts_unigram_build(t);
    build_byte_tables(t);
    normalize_added(t);
    ts_added_build(t, &t->raw_set, false);
    ts_added_build(t, &t->normal_set, true);
    free(t->kind);
    t->kind = ts_printf("%s, %zu tokens",
                        t->byte_level  ? "byte-level BPE"
                        : t->scores    ? "SentencePiece BPE"
                        : t->unigram.n ? "Unigram"
                                       : "BPE",
                        t->vocab.used);
    return TS_OK;
}

ts_status ts_tokenizer_open(ts_tokenizer **out, const char *spec, ts_err *err) {
    ts_model_place place = {0};
    *out = NULL;
    TS_TRY(ts_model_locate(spec, &place, err));
    ts_tokenizer *t = ts_tokenizer_new();
    ts_status status = place.kind == TS_MODEL_GGUF ? ts_tokenizer_read_gguf(t, place.path, err)
                                                   : ts_tokenizer_read_json(t, place.path, err);
    ts_model_place_release(&place);
    if (status == TS_OK)
        *out = t;
    else
        ts_tokenizer_free(t);
    return status;
}

/* Where the ids go. `repaired` maps bytes of repaired text to the caller's. */
typedef struct ts_sink {
    ts_ids *ids, *starts;
    const size_t *repaired;
} ts_sink;

static void put(ts_sink *sink, int32_t id, size_t at) {
    push_id(sink->ids, id);
    if (sink->starts) push_id(sink->starts, (int32_t)(sink->repaired ? sink->repaired[at] : at));
}

static ts_word_slot *cached(ts_scratch *s, const char *word, size_t n) {
    uint64_t hash = n;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)word[i]) * 0x100000001b3u; /* FNV-1a */
    return &s->cache[(hash ^ hash >> 29) % TS_WORD_SLOTS];
}

static void remember(ts_word_slot *slot, const ts_scratch *s, const char *word, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < s->n_symbols; i++) {
        const ts_symbol *y = &s->symbols[i];
        if (!y->len) continue;
        if (count == TS_COUNT(slot->ids)) return;
        slot->ids[count] = y->id;
        slot->starts[count++] = (unsigned char)y->start;
    }
    memcpy(slot->text, word, n);
    slot->n = (unsigned char)n;
    slot->n_ids = (unsigned char)count;
}

static void encode_word(const ts_tokenizer *t, ts_scratch *s, ts_range range, ts_sink *sink) {
    const char *word = s->a.s + range.start;
    size_t n = range.end - range.start;
    ts_word_slot *slot = n <= sizeof slot->text ? cached(s, word, n) : NULL;
    if (slot && slot->n == n && memcmp(slot->text, word, n) == 0) {
        for (size_t i = 0; i < slot->n_ids; i++)
            put(sink, slot->ids[i], ts_flow_from(&s->a, range.start + slot->starts[i]));
        return;
    }
    if (slot) slot->n = 0;
    if (t->unigram.n)
        ts_unigram_word(t, s, word, n, false);
    else
        ts_bpe(t, s, word, n, false);
    for (size_t i = 0; i < s->n_symbols; i++) {
        const ts_symbol *y = &s->symbols[i];
        if (y->len) put(sink, y->id, ts_flow_from(&s->a, range.start + y->start));
    }
    if (slot) remember(slot, s, word, n);
}

static void encode_words(const ts_tokenizer *t, ts_scratch *s, ts_sink *sink) {
    ts_pretokenize(t, s);
    for (size_t i = 0; i < s->words.n; i++)
        encode_word(t, s, s->words.items[i], sink);
}

void ts_tokenizer_words(const ts_tokenizer *t, const char *text, size_t n,
                        void (*fn)(void *ctx, const char *word, size_t n), void *ctx) {
    ts_scratch *s = take_scratch(t);
    ts_flow_view(&s->a, text, n, 0);
    ts_normalize_flow(t, s);
    ts_pretokenize(t, s);
    for (size_t i = 0; i < s->words.n; i++)
        fn(ctx, s->a.s + s->words.items[i].start, s->words.items[i].end - s->words.items[i].start);
    give_scratch(t, s);
}

/* A piece between added tokens of the raw text: normalise, cut at those that are looked for afterwards. The pieces
 * between are views of the normalised text, whose map is composed by hand. */
static void encode_piece(const ts_tokenizer *t, ts_scratch *s, const char *text, size_t n, size_t base, ts_sink *sink) {
    ts_flow whole = {0};
    size_t at = 0, which;
    ts_range found;
    if (n == 0) return;
    ts_flow_view(&s->a, text, n, base);
    ts_normalize_flow(t, s);
    if (!ts_added_next(t, &t->normal_set, s->a.s, s->a.n, 0, 0, &which, &found)) {
        encode_words(t, s, sink);
        return;
    }
    ts_flow_begin(s); /* a copy that stays while the pieces are worked on */
    ts_flow_copy(s, 0, s->a.n);
    ts_flow_end(s);
    whole = s->a;
    s->a = (ts_flow){0};
    for (bool more = true; more;) {
        more = ts_added_next(t, &t->normal_set, whole.s, whole.n, at, at, &which, &found);
        size_t end = more ? found.start : whole.n;
        if (end > at) {
            ts_flow_begin(s);
            ts_flow piece = s->a;
            s->a = whole;
            ts_flow_copy(s, at, end);
            s->a = piece;
            ts_flow_end(s);
            encode_words(t, s, sink);
        }
        if (more) put(sink, t->added[which].id, ts_flow_from(&whole, found.start));
        at = more ? found.end : at;
    }
    ts_buf_release(&whole.text);
    free(whole.from);
}

static void encode_valid(const ts_tokenizer *t, ts_scratch *s, const char *text, size_t n, ts_sink *sink) {
    size_t at = 0, which;
    ts_range found;
    while (ts_added_next(t, &t->raw_set, text, n, at, at, &which, &found)) {
        if (found.start > at) encode_piece(t, s, text + at, found.start - at, at, sink);
        put(sink, t->added[which].id, found.start);
        at = found.end;
    }
    encode_piece(t, s, text + at, n - at, at, sink);
}

/* text with U+FFFD for what is invalid, and where each byte came from. */
static void repair(const char *text, size_t n, ts_buf *out, size_t **from) {
    size_t cap = 0, len;
    for (size_t i = 0; i < n; i += len) {
        len = ts_utf8_sequence(text + i, n - i);
        const char *s = len ? text + i : "\xef\xbf\xbd";
        size_t m = len ? len : 3;
        TS_GROW(*from, cap, out->len + m);
        for (size_t k = 0; k < m; k++)
            (*from)[out->len + k] = len ? i + k : i;
        ts_buf_add(out, s, m);
        if (!len) len = ts_utf8_bad(text + i, n - i);
    }
}

void ts_tokenizer_encode(const ts_tokenizer *t, const char *text, size_t n, bool special, ts_ids *ids, ts_ids *starts) {
    ts_buf good = TS_BUF_INIT;
    size_t *from = NULL;
    ts_scratch *s = take_scratch(t);
    ts_sink sink = {ids, starts, NULL};
    for (size_t i = 0; special && i < t->prefix.n; i++) {
        push_id(ids, t->prefix.items[i]);
        if (starts) push_id(starts, 0);
    }
    if (ts_utf8_check(text, n) == n) {
        encode_valid(t, s, text, n, &sink);
    } else {
        repair(text, n, &good, &from);
        sink.repaired = from;
        encode_valid(t, s, good.data, good.len, &sink);
    }
    for (size_t i = 0; special && i < t->suffix.n; i++) {
        push_id(ids, t->suffix.items[i]);
        if (starts) push_id(starts, (int32_t)n);
    }
    give_scratch(t, s);
    ts_buf_release(&good);
    free(from);
}

size_t ts_tokenizer_size(const ts_tokenizer *t) {
    return t->vocab.n;
}

bool ts_tokenizer_is_special(const ts_tokenizer *t, int32_t id) {
    return id >= 0 && (size_t)id < t->vocab.n && t->special[id];
}

int32_t ts_tokenizer_id(const ts_tokenizer *t, const char *token) {
    return ts_vocab_find(&t->vocab, token, strlen(token));
}

const char *ts_tokenizer_token(const ts_tokenizer *t, int32_t id) {
    if (id < 0 || (size_t)id >= t->vocab.n || !t->vocab.names[id].at) return "";
    return t->vocab.text.data + t->vocab.names[id].at;
}

int32_t ts_tokenizer_bos(const ts_tokenizer *t) {
    return t->bos;
}

int32_t ts_tokenizer_eos(const ts_tokenizer *t) {
    return t->eos;
}

const char *ts_tokenizer_template(const ts_tokenizer *t) {
    return t->chat_template;
}

void ts_tokenizer_set_template(ts_tokenizer *t, const char *source) {
    if (!source) return;
    free(t->chat_template);
    t->chat_template = ts_strdup(source);
}

const char *ts_tokenizer_kind(const ts_tokenizer *t) {
    return t->kind;
}
