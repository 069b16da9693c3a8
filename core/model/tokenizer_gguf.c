/* A tokenizer from the keys of a GGUF file (ggml docs/gguf.md, tokenizer.ggml.*). A file says only the name of its
 * pre-split; what the names mean is the table below (llama.cpp's llama-vocab.cpp, and the tokenizer.json that the name
 * stands for where the two differ, because that is what the model was trained with). */
#include "core/base/file.h"
#include "core/model/gguf.h"
#include "core/model/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

typedef struct pre_split {
    const char *name;
    const char *patterns[4]; /* each cuts the words of the one before; the matches are isolated */
    bool digits;             /* every numeric character stands alone first */
    bool byte_regex;         /* ByteLevel's own pattern last */
    bool nfc, ignore_merges;
    bool bos; /* BOS goes in front where the file does not say */
} pre_split;
#define NUMBERS3 "|\\p{N}{1,3}"
#define WORDS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
/* words that end where lower case turns into upper case */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(end) "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" end "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" end
#define REST_SLASH "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA3 CONTRACTIONS "|" WORDS NUMBERS3 REST
static const pre_split pre_splits[] = {
    {"smollm", {0}, .digits = true, .byte_regex = true},
    {"gpt-2", {0}, .byte_regex = true},
    {"phi-2", {0}, .byte_regex = true},
    {"llama-bpe", {LLAMA3}, .ignore_merges = true, .bos = true},
    {"llama3", {LLAMA3}, .ignore_merges = true, .bos = true},
    {"llama-v3", {LLAMA3}, .ignore_merges = true, .bos = true},
    {"smaug-bpe", .patterns = {LLAMA3}},
    {"dbrx", .patterns = {LLAMA3}},
    {"qwen2", {CONTRACTIONS "|" WORDS "|\\p{N}" REST}, .nfc = true},
    {"tekken", {CASED("") "|\\p{N}" REST_SLASH}, .ignore_merges = true, .bos = true},
    {"gpt-4o", .patterns = {CASED(CONTRACTIONS "?") NUMBERS3 REST_SLASH}},
    {"default", .patterns = {"[\\p{P}\\$\\+<=>\\^~\\|]+",
                             "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)", "\\p{N}+",
                             "[0-9][0-9][0-9]"}},
};

/* tokenizer.ggml.token_type */
enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4 };

static const pre_split *find_split(const char *name, size_t n) {
    for (size_t i = 0; i < TS_COUNT(pre_splits); i++)
        if (strlen(pre_splits[i].name) == n && memcmp(pre_splits[i].name, name, n) == 0) return &pre_splits[i];
    return NULL;
}

static ts_status read_tokens(ts_tokenizer *t, const ts_gguf *g, const char *path, ts_err *err) {
    ts_gguf_array tokens;
    const char *s;
    size_t n;
    if (!ts_gguf_array_get(g, "tokenizer.ggml.tokens", &tokens) || tokens.kind != 's')
        return ts_fail(err, TS_FORMAT, "%s: it has no tokenizer.ggml.tokens, so it has no tokenizer", path);
    ts_vocab_expect(&t->vocab, TS_MIN(tokens.n, (size_t)TS_TOKEN_IDS_MAX));
    for (int64_t id = 0; ts_gguf_next_str(&tokens, &s, &n); id++)
        if (!ts_vocab_add(&t->vocab, s, n, id))
            return ts_fail(err, TS_LIMIT, "%s: its vocabulary is larger than we take", path);
    return TS_OK;
}

/* Control tokens and those that the model's makers added are recognised inside text. */
static ts_status read_types(ts_tokenizer *t, const ts_gguf *g, const char *path, ts_err *err) {
    ts_gguf_array types;
    if (!ts_gguf_array_get(g, "tokenizer.ggml.token_type", &types) || types.kind != 'i') return TS_OK;
    if (types.n != t->vocab.n)
        return ts_fail(err, TS_FORMAT, "%s: it has %zu token types for %zu tokens", path, types.n, t->vocab.n);
    for (size_t i = 0; i < types.n; i++) {
        int64_t type = ts_gguf_array_int(&types, i);
        if (type != TYPE_CONTROL && type != TYPE_USER && type != TYPE_UNKNOWN) continue;
        const ts_vocab_name *name = &t->vocab.names[i];
        ts_tokenizer_add(t, (int32_t)i, t->vocab.text.data + name->at, name->n)->special = type != TYPE_USER;
    }
    return TS_OK;
}

static ts_status read_merges(ts_tokenizer *t, const ts_gguf *g, const char *path, ts_err *err) {
    ts_gguf_array merges;
    ts_buf joined = TS_BUF_INIT;
    ts_status status = TS_OK;
    const char *s;
    size_t n;
    if (!ts_gguf_array_get(g, "tokenizer.ggml.merges", &merges) || merges.kind != 's')
        return ts_fail(err, TS_FORMAT, "%s: it has no tokenizer.ggml.merges", path);
    ts_merges_expect(&t->merges, TS_MIN(merges.n, (size_t)TS_TOKEN_IDS_MAX));
    ts_merge_batch batch = {.vocab = &t->vocab, .merges = &t->merges};
    bool fine = true;
    while (fine && ts_gguf_next_str(&merges, &s, &n)) {
        const char *space = n > 1 ? memchr(s + 1, ' ', n - 1) : NULL;
        size_t left_n = space ? (size_t)(space - s) : 0;
        ts_buf_reset(&joined);
        ts_buf_add(&joined, s, left_n);
        if (space) ts_buf_add(&joined, space + 1, n - left_n - 1);
        fine = ts_merge_batch_add(&batch, ts_buf_str(&joined), left_n, joined.len, NULL);
    }
    fine = fine && ts_merge_batch_end(&batch);
    if (!fine && batch.bad) {
        const ts_merge_name *bad = batch.bad;
        const char *name = ts_buf_str(&batch.text) + bad->at;
        status = ts_fail(err, TS_FORMAT, "%s: merge %zu (%.*s %.*s) names a token that is not in the vocabulary", path,
                         (size_t)batch.rank + (size_t)(bad - batch.items), (int)TS_MIN(bad->left_n, 40U), name,
                         (int)TS_MIN(bad->n - bad->left_n, 40U), name + bad->left_n);
    }
    ts_merge_batch_release(&batch);
    ts_buf_release(&joined);
    return status;
}

static ts_status add_split(ts_tokenizer *t, const char *pattern, ts_err *err) {
    ts_step *step = ts_steps_add(&t->pre, TS_PRE_SPLIT);
    step->cut = TS_ISOLATED;
    return ts_step_regex(t, step, pattern, strlen(pattern), false, err);
}

static ts_status read_byte_level(ts_tokenizer *t, const ts_gguf *g, const char *path, bool *bos, ts_err *err) {
    const char *name = "default";
    size_t n = strlen(name);
    ts_gguf_str(g, "tokenizer.ggml.pre", &name, &n);
    const pre_split *p = find_split(name, n);
    if (!p)
        return ts_fail(
            err, TS_UNSUPPORTED,
            "%s: the pre-split \"%.*s\" (tokenizer.ggml.pre) is not done; a Hugging Face folder of the model "
            "says its own",
            path, (int)TS_MIN(n, 60), name);
    if (p->nfc) ts_steps_add(&t->normalizer, TS_NORM_FORM)->form = TS_NFC;
    if (p->digits) ts_steps_add(&t->pre, TS_PRE_DIGITS)->cut = TS_ISOLATED;
    for (size_t i = 0; i < TS_COUNT(p->patterns) && p->patterns[i]; i++)
        TS_TRY(add_split(t, p->patterns[i], err));
    ts_step *last = ts_steps_add(&t->pre, TS_PRE_BYTE_LEVEL);
    if (p->byte_regex) TS_TRY(ts_step_regex(t, last, ts_gpt2_pattern, strlen(ts_gpt2_pattern), false, err));
    t->ignore_merges = p->ignore_merges;
    *bos = p->bos;
    t->decode_bytes = true;
    return read_merges(t, g, path, err);
}

static void add_replace(ts_steps *steps, ts_step_kind kind, const char *a, const char *b) {
    ts_step *step = ts_steps_add(steps, kind);
    ts_step_text(&step->a, &step->a_n, a, strlen(a));
    ts_step_text(&step->b, &step->b_n, b, strlen(b));
}

static bool same_pattern(const ts_step *s, const char *pattern) {
    return s->re && strcmp(s->pattern, pattern) == 0;
}

/* Do the steps cut as this row does? */
static bool cuts_like(const ts_tokenizer *t, const pre_split *p) {
    const ts_step *s = t->pre.items, *end = s + t->pre.n;
    if (p->digits && (s == end || s->kind != TS_PRE_DIGITS || s++->cut != TS_ISOLATED)) return false;
    for (size_t i = 0; i < TS_COUNT(p->patterns) && p->patterns[i]; i++, s++)
        if (s == end || s->kind != TS_PRE_SPLIT || s->cut != TS_ISOLATED || s->invert ||
            !same_pattern(s, p->patterns[i]))
            return false;
    return s + 1 == end && s->kind == TS_PRE_BYTE_LEVEL && !s->prefix_space && (s->re != NULL) == p->byte_regex &&
           (t->normalizer.n > 0) == p->nfc;
}

const char *ts_tokenizer_pre_name(const ts_tokenizer *t) {
    for (size_t i = 0; i < TS_COUNT(pre_splits); i++)
        if (cuts_like(t, &pre_splits[i])) return pre_splits[i].name;
    return NULL;
}

/* SentencePiece: spaces are U+2581, one stands in front of the text, unknown characters become bytes. */
static ts_status read_sentencepiece(ts_tokenizer *t, const ts_gguf *g, const char *path, ts_err *err) {
    ts_gguf_array scores;
    bool prefix = true;
    int64_t unk = -1;
    if (!ts_gguf_array_get(g, "tokenizer.ggml.scores", &scores) || scores.kind != 'f' || scores.n != t->vocab.n)
        return ts_fail(err, TS_FORMAT, "%s: it has no tokenizer.ggml.scores, one for each token", path);
    t->scores = ts_malloc(scores.n * sizeof *t->scores);
    for (size_t i = 0; i < scores.n; i++)
        t->scores[i] = (float)ts_gguf_array_num(&scores, i);
    ts_gguf_bool(g, "tokenizer.ggml.add_space_prefix", &prefix);
    if (prefix) {
        ts_step *step = ts_steps_add(&t->normalizer, TS_NORM_PREPEND);
        ts_step_text(&step->a, &step->a_n, "\xe2\x96\x81", 3);
    }
    add_replace(&t->normalizer, TS_NORM_REPLACE, " ", "\xe2\x96\x81");
    add_replace(&t->decoder, TS_DEC_REPLACE, "\xe2\x96\x81", " ");
    t->decode_fallback = true;
    t->strip_left = prefix;
    t->byte_fallback = t->fuse_unk = true;
    if (ts_gguf_int(g, "tokenizer.ggml.unknown_token_id", &unk) && unk >= 0 && (size_t)unk < t->vocab.n)
        t->unk = (int32_t)unk;
    return TS_OK;
}

static ts_status read_id(const ts_gguf *g, const char *key, const ts_tokenizer *t, const char *path, int32_t *out,
                         ts_err *err) {
    int64_t id;
    if (!ts_gguf_int(g, key, &id)) return TS_OK;
    if (id < 0 || (size_t)id >= t->vocab.n)
        return ts_fail(err, TS_FORMAT, "%s: %s is %lld, but there are %zu tokens", path, key, (long long)id,
                       t->vocab.n);
    *out = (int32_t)id;
    return TS_OK;
}

static ts_status read_ends(ts_tokenizer *t, const ts_gguf *g, const char *path, bool add_bos, ts_err *err) {
    bool add_eos = false;
    TS_TRY(read_id(g, "tokenizer.ggml.bos_token_id", t, path, &t->bos, err));
    TS_TRY(read_id(g, "tokenizer.ggml.eos_token_id", t, path, &t->eos, err));
    ts_gguf_bool(g, "tokenizer.ggml.add_bos_token", &add_bos);
    ts_gguf_bool(g, "tokenizer.ggml.add_eos_token", &add_eos);
    if (add_bos && t->bos >= 0) TS_PUSH(t->prefix.items, t->prefix.n, t->prefix.cap, t->bos);
    if (add_eos && t->eos >= 0) TS_PUSH(t->suffix.items, t->suffix.n, t->suffix.cap, t->eos);
    return TS_OK;
}

static ts_status read_keys(ts_tokenizer *t, const ts_gguf *g, const char *path, ts_err *err) {
    const char *model = "", *text;
    size_t n = 0, text_n;
    TS_TRY(read_tokens(t, g, path, err));
    TS_TRY(read_types(t, g, path, err));
    ts_gguf_str(g, "tokenizer.ggml.model", &model, &n);
    bool bytes = n == 4 && memcmp(model, "gpt2", 4) == 0, pieces = n == 5 && memcmp(model, "llama", 5) == 0;
    if (!bytes && !pieces)
        return ts_fail(err, TS_UNSUPPORTED, "%s: its tokenizer is of the kind \"%.*s\"; gpt2 and llama are done", path,
                       (int)TS_MIN(n, 60), model);
    bool bos = pieces;
    TS_TRY(bytes ? read_byte_level(t, g, path, &bos, err) : read_sentencepiece(t, g, path, err));
    TS_TRY(read_ends(t, g, path, bos, err));
    if (ts_gguf_str(g, "tokenizer.chat_template", &text, &text_n)) t->chat_template = ts_strndup(text, text_n);
    return ts_tokenizer_finish(t, path, err);
}

ts_status ts_tokenizer_read_gguf(ts_tokenizer *t, const char *path, ts_err *err) {
    ts_gguf *g;
    TS_TRY(ts_gguf_open(&g, path, err));
    ts_status status = read_keys(t, g, path, err);
    ts_gguf_close(g);
    return status;
}
