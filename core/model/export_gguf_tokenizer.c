/* The tokenizer of a Hugging Face folder as the keys of a GGUF file (ggml docs/gguf.md, tokenizer.ggml.*). */
#include "core/model/export_private.h"

#include "core/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* tokenizer.ggml.token_type */
enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

struct tokens {
    const ts_tokenizer *t;
    size_t n;
    const char **names;
    int32_t *types;
    ts_arena arena;
};

static void put_text(ts_gguf_writer *w, const char *key, const char *s) {
    ts_gguf_put_str(w, key, s, strlen(s));
}

static bool is_byte(const char *name, size_t n) {
    return n == 6 && memcmp(name, "<0x", 3) == 0 && name[5] == '>';
}

/* One entry for each row of the embedding; rows without a token get a name that no text has. */
static void list_tokens(struct tokens *k) {
    const ts_tokenizer *t = k->t;
    k->names = ts_malloc(k->n * sizeof *k->names);
    k->types = ts_malloc(k->n * sizeof *k->types);
    for (size_t i = 0; i < k->n; i++) {
        const char *name = i < t->vocab.n && t->vocab.names[i].at ? ts_tokenizer_token(t, (int32_t)i) : NULL;
        k->types[i] = !name                                             ? UNUSED
                      : (int32_t)i == t->unk                            ? UNKNOWN
                      : t->byte_fallback && is_byte(name, strlen(name)) ? BYTE
                                                                        : NORMAL;
        k->names[i] = name ? name : ts_arena_printf(&k->arena, "[PAD%zu]", i);
    }
    for (size_t i = 0; i < t->n_added; i++)
        if ((size_t)t->added[i].id < k->n && t->added[i].id != t->unk)
            k->types[t->added[i].id] = t->added[i].special ? CONTROL : USER_DEFINED;
}

static void put_merges(const ts_tokenizer *t, ts_gguf_writer *w, struct tokens *k) {
    ts_merge_list list;
    ts_tokenizer_merges(t, &list);
    const char **text = ts_malloc(list.n * sizeof *text);
    for (size_t i = 0; i < list.n; i++)
        text[i] = ts_arena_printf(&k->arena, "%s %s", ts_tokenizer_token(t, list.items[i].left),
                                  ts_tokenizer_token(t, list.items[i].right));
    ts_gguf_put_strs(w, "tokenizer.ggml.merges", text, NULL, list.n);
    free(text);
    free(list.items);
}

/* SentencePiece joins the neighbours whose piece has the best score; the merges are in that order, so a piece's score
 * is the place of the first merge that makes it, counted down. (Exporters without tokenizer.model write -1000 for all,
 * which loses the order.) */
static void put_scores(const ts_tokenizer *t, ts_gguf_writer *w, const struct tokens *k) {
    ts_merge_list list;
    float *scores = ts_calloc(k->n, sizeof *scores);
    ts_tokenizer_merges(t, &list);
    size_t place = 0;
    for (size_t i = 0; i < list.n; i++) {
        size_t id = (size_t)list.items[i].id;
        if (id < k->n && scores[id] == 0) scores[id] = -(float)++place;
    }
    for (size_t i = 0; i < k->n; i++)
        if (scores[i] == 0 && k->types[i] == NORMAL) scores[i] = -(float)++place;
    ts_gguf_put_array(w, "tokenizer.ggml.scores", TS_GGUF_F32, scores, k->n);
    free(scores);
    free(list.items);
}

static bool prepends(const ts_tokenizer *t) {
    for (size_t i = 0; i < t->normalizer.n; i++)
        if (t->normalizer.items[i].kind == TS_NORM_PREPEND) return true;
    for (size_t i = 0; i < t->pre.n; i++)
        if (t->pre.items[i].kind == TS_PRE_METASPACE && t->pre.items[i].scheme != TS_PREPEND_NEVER) return true;
    return false;
}

static ts_status put_kind(const ts_tokenizer *t, const char *path, ts_gguf_writer *w, struct tokens *k, ts_err *err) {
    if (t->unigram.n || t->word_prefix || t->word_suffix)
        return ts_fail(err, TS_UNSUPPORTED,
                       "%s: its tokenizer is %s, which we do not write into GGUF files; write a folder instead", path,
                       t->unigram.n ? "a Unigram model" : "BPE with marks for where a word begins or ends");
    const char *pre = t->byte_level ? ts_tokenizer_pre_name(t) : "default";
    if (!pre)
        return ts_fail(err, TS_UNSUPPORTED,
                       "%s: the way its tokenizer cuts text has no name that GGUF files know; write a folder instead",
                       path);
    if (!t->byte_level && !t->byte_fallback)
        return ts_fail(err, TS_UNSUPPORTED,
                       "%s: its tokenizer is neither byte-level nor falls back to bytes; write a folder instead", path);
    put_text(w, "tokenizer.ggml.model", t->byte_level ? "gpt2" : "llama");
    put_text(w, "tokenizer.ggml.pre", pre);
    ts_gguf_put_strs(w, "tokenizer.ggml.tokens", k->names, NULL, k->n);
    if (!t->byte_level) put_scores(t, w, k);
    ts_gguf_put_array(w, "tokenizer.ggml.token_type", TS_GGUF_I32, k->types, k->n);
    if (t->byte_level) put_merges(t, w, k);
    if (!t->byte_level) ts_gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", prepends(t));
    return TS_OK;
}

/* A token that tokenizer_config.json names, by its id; -1. */
static int32_t named(const ts_model *m, const ts_tokenizer *t, const char *key) {
    char *path = ts_path_join(m->path, "tokenizer_config.json");
    ts_json *config = ts_is_file(path) ? ts_json_read(path, (size_t)64 << 20, NULL) : NULL;
    const ts_json *v = ts_json_get(config, key);
    const char *name = ts_json_str(v, ts_json_str(ts_json_get(v, "content"), NULL));
    int32_t id = name ? ts_tokenizer_id(t, name) : -1;
    ts_json_free(config);
    free(path);
    return id;
}

static void put_id(ts_gguf_writer *w, const char *key, int32_t id, size_t n) {
    if (id >= 0 && (size_t)id < n) ts_gguf_put_u32(w, key, (uint32_t)id);
}

static void put_ends(const ts_model *m, const ts_tokenizer *t, ts_gguf_writer *w) {
    const ts_config *c = &m->config;
    int32_t bos = t->bos >= 0 ? t->bos : c->bos, eos = t->eos >= 0 ? t->eos : c->n_eos ? c->eos[0] : -1, other = -1;
    int32_t first = t->prefix.n ? t->prefix.items[0] : -1, last = t->suffix.n ? t->suffix.items[0] : -1;
    for (size_t i = c->n_eos; i-- > 0;)
        if (c->eos[i] != eos) other = c->eos[i];
    if (first >= 0) bos = first;
    put_id(w, "tokenizer.ggml.bos_token_id", bos, c->vocab);
    put_id(w, "tokenizer.ggml.eos_token_id", eos, c->vocab);
    put_id(w, "tokenizer.ggml.eot_token_id", other, c->vocab);
    put_id(w, "tokenizer.ggml.unknown_token_id", t->unk >= 0 ? t->unk : named(m, t, "unk_token"), c->vocab);
    put_id(w, "tokenizer.ggml.padding_token_id", named(m, t, "pad_token"), c->vocab);
    ts_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", first >= 0);
    ts_gguf_put_bool(w, "tokenizer.ggml.add_eos_token", last >= 0 && last == eos);
    if (t->chat_template) put_text(w, "tokenizer.chat_template", t->chat_template);
}

ts_status ts_export_gguf_tokenizer(const ts_export *x, ts_gguf_writer *w, ts_err *err) {
    const ts_model *m = x->model;
    ts_tokenizer *t;
    TS_TRY(ts_tokenizer_open(&t, m->path, err));
    ts_tokenizer_set_template(t, x->chat_template);
    struct tokens k = {.t = t, .n = m->config.vocab};
    ts_status status = TS_OK;
    if (t->vocab.n > k.n)
        status =
            ts_fail(err, TS_FORMAT,
                    "%s: its tokenizer has ids up to %zu, but the embedding only %zu rows; a GGUF file cannot hold "
                    "that: write a folder",
                    m->path, t->vocab.n - 1, k.n);
    if (status == TS_OK) {
        list_tokens(&k);
        status = put_kind(t, m->path, w, &k, err);
    }
    if (status == TS_OK) put_ends(m, t, w);
    free(k.names);
    free(k.types);
    ts_arena_release(&k.arena);
    ts_tokenizer_free(t);
    return status;
}
