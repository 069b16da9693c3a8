/* The tokenizer's files of a Hugging Face folder: copied from a folder, or written from the steps that a GGUF file's
 * keys were read into. tokenizer_class is PreTrainedTokenizerFast, because that is the class which takes tokenizer.json
 * as it is (GPT2Tokenizer of transformers 5 puts its own pre-tokenizer in place of ours). */
#include "core/model/export_private.h"

#include "core/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_status copy_files(const char *from, const char *to, ts_err *err) {
    static const char *const names[] = {"tokenizer.json",      "tokenizer_config.json",
                                        "chat_template.jinja", "special_tokens_map.json",
                                        "added_tokens.json",   "vocab.json",
                                        "merges.txt",          "tokenizer.model",
                                        "chat_template.json"};
    ts_status status = TS_OK;
    for (size_t i = 0; i < TS_COUNT(names) && status == TS_OK; i++) {
        char *a = ts_path_join(from, names[i]), *b = ts_path_join(to, names[i]);
        if (ts_is_file(a)) status = ts_file_copy(a, b, err);
        free(a);
        free(b);
    }
    return status;
}

/* ---- tokenizer.json ---- */

static void pattern_of(ts_jw *w, const ts_step *s) {
    ts_jw_key(w, "pattern");
    ts_jw_obj(w);
    if (s->re)
        ts_jw_kstr(w, "Regex", s->pattern);
    else {
        ts_jw_key(w, "String");
        ts_jw_strn(w, s->a, s->a_n);
    }
    ts_jw_end_obj(w);
}

static void put_step(ts_jw *w, const ts_step *s) {
    static const char *const forms[] = {[TS_NFC] = "NFC", [TS_NFD] = "NFD", [TS_NFKC] = "NFKC", [TS_NFKD] = "NFKD"};
    static const char *const cuts[] = {[TS_ISOLATED] = "Isolated",
                                       [TS_REMOVED] = "Removed",
                                       [TS_CONTIGUOUS] = "Contiguous",
                                       [TS_WITH_PREVIOUS] = "MergedWithPrevious",
                                       [TS_WITH_NEXT] = "MergedWithNext"};
    ts_jw_obj(w);
    switch (s->kind) {
    case TS_NORM_FORM:
        ts_jw_kstr(w, "type", forms[s->form]);
        break;
    case TS_NORM_PREPEND:
        ts_jw_kstr(w, "type", "Prepend");
        ts_jw_kstr(w, "prepend", s->a);
        break;
    case TS_NORM_REPLACE:
    case TS_DEC_REPLACE:
        ts_jw_kstr(w, "type", "Replace");
        pattern_of(w, s);
        ts_jw_kstr(w, "content", s->b);
        break;
    case TS_PRE_DIGITS:
        ts_jw_kstr(w, "type", "Digits");
        ts_jw_kbool(w, "individual_digits", s->cut == TS_ISOLATED);
        break;
    case TS_PRE_SPLIT:
        ts_jw_kstr(w, "type", "Split");
        pattern_of(w, s);
        ts_jw_kstr(w, "behavior", cuts[s->cut]);
        ts_jw_kbool(w, "invert", s->invert);
        break;
    case TS_PRE_BYTE_LEVEL:
        ts_jw_kstr(w, "type", "ByteLevel");
        ts_jw_kbool(w, "add_prefix_space", s->prefix_space);
        ts_jw_kbool(w, "trim_offsets", true);
        ts_jw_kbool(w, "use_regex", s->re != NULL);
        break;
    default:
        ts_assert(!"a step that GGUF files are read into");
    }
    ts_jw_end_obj(w);
}

static void put_steps(ts_jw *w, const char *key, const char *list, const ts_steps *steps) {
    ts_jw_key(w, key);
    if (steps->n == 0) {
        ts_jw_null(w);
        return;
    }
    ts_jw_obj(w);
    ts_jw_kstr(w, "type", "Sequence");
    ts_jw_key(w, list);
    ts_jw_arr(w);
    for (size_t i = 0; i < steps->n; i++)
        put_step(w, &steps->items[i]);
    ts_jw_end_arr(w);
    ts_jw_end_obj(w);
}

static void put_flags(ts_jw *w, const ts_added *a) {
    ts_jw_kstr(w, "content", a->text);
    ts_jw_kbool(w, "single_word", a->single_word);
    ts_jw_kbool(w, "lstrip", a->lstrip);
    ts_jw_kbool(w, "rstrip", a->rstrip);
    ts_jw_kbool(w, "normalized", a->normalized);
    ts_jw_kbool(w, "special", a->special);
}

static void put_template_part(ts_jw *w, const ts_tokenizer *t, const ts_ids *ids) {
    for (size_t i = 0; i < ids->n; i++) {
        ts_jw_obj(w);
        ts_jw_key(w, "SpecialToken");
        ts_jw_obj(w);
        ts_jw_kstr(w, "id", ts_tokenizer_token(t, ids->items[i]));
        ts_jw_kint(w, "type_id", 0);
        ts_jw_end_obj(w);
        ts_jw_end_obj(w);
    }
}

static void put_sequence(ts_jw *w, const char *id) {
    ts_jw_obj(w);
    ts_jw_key(w, "Sequence");
    ts_jw_obj(w);
    ts_jw_kstr(w, "id", id);
    ts_jw_kint(w, "type_id", 0);
    ts_jw_end_obj(w);
    ts_jw_end_obj(w);
}

static void put_template_ids(ts_jw *w, const ts_tokenizer *t, const ts_ids *ids, const ts_ids *before) {
    for (size_t i = 0; i < ids->n; i++) {
        const char *name = ts_tokenizer_token(t, ids->items[i]);
        bool again = before && before->n && before->items[0] == ids->items[i];
        if (again) continue;
        ts_jw_key(w, name);
        ts_jw_obj(w);
        ts_jw_kstr(w, "id", name);
        ts_jw_key(w, "ids");
        ts_jw_arr(w);
        ts_jw_int(w, ids->items[i]);
        ts_jw_end_arr(w);
        ts_jw_key(w, "tokens");
        ts_jw_arr(w);
        ts_jw_str(w, name);
        ts_jw_end_arr(w);
        ts_jw_end_obj(w);
    }
}

/* What is added around a text. */
static void put_post(ts_jw *w, const ts_tokenizer *t) {
    ts_jw_key(w, "post_processor");
    if (t->prefix.n + t->suffix.n == 0) {
        ts_jw_null(w);
        return;
    }
    ts_jw_obj(w);
    ts_jw_kstr(w, "type", "TemplateProcessing");
    for (int pair = 0; pair < 2; pair++) {
        ts_jw_key(w, pair ? "pair" : "single");
        ts_jw_arr(w);
        for (int i = 0; i <= pair; i++) {
            put_template_part(w, t, &t->prefix);
            put_sequence(w, i ? "B" : "A");
            put_template_part(w, t, &t->suffix);
        }
        ts_jw_end_arr(w);
    }
    ts_jw_key(w, "special_tokens");
    ts_jw_obj(w);
    put_template_ids(w, t, &t->prefix, NULL);
    put_template_ids(w, t, &t->suffix, &t->prefix);
    ts_jw_end_obj(w);
    ts_jw_end_obj(w);
}

static void put_decoder(ts_jw *w, const ts_tokenizer *t) {
    ts_jw_key(w, "decoder");
    ts_jw_obj(w);
    if (t->decode_bytes) {
        ts_jw_kstr(w, "type", "ByteLevel");
        ts_jw_kbool(w, "add_prefix_space", true);
        ts_jw_kbool(w, "trim_offsets", true);
        ts_jw_kbool(w, "use_regex", true);
        ts_jw_end_obj(w);
        return;
    }
    ts_jw_kstr(w, "type", "Sequence");
    ts_jw_key(w, "decoders");
    ts_jw_arr(w);
    for (size_t i = 0; i < t->decoder.n; i++)
        put_step(w, &t->decoder.items[i]);
    static const char fallback[] = "{\"type\":\"ByteFallback\"}", fuse[] = "{\"type\":\"Fuse\"}",
                      strip[] = "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}";
    if (t->decode_fallback) ts_jw_raw(w, fallback, sizeof fallback - 1);
    ts_jw_raw(w, fuse, sizeof fuse - 1);
    if (t->strip_left) ts_jw_raw(w, strip, sizeof strip - 1);
    ts_jw_end_arr(w);
    ts_jw_end_obj(w);
}

/* An entry that only fills the table up to the size of the embedding. */
static bool is_filler(const ts_tokenizer *t, int32_t id) {
    char name[32];
    snprintf(name, sizeof name, "[PAD%d]", (int)id);
    return strcmp(ts_tokenizer_token(t, id), name) == 0;
}

static void put_model(ts_jw *w, const ts_tokenizer *t) {
    ts_merge_list merges;
    ts_buf both = TS_BUF_INIT;
    ts_jw_key(w, "model");
    ts_jw_obj(w);
    ts_jw_kstr(w, "type", "BPE");
    ts_jw_key(w, "dropout");
    ts_jw_null(w);
    ts_jw_kstr(w, "unk_token", t->unk >= 0 ? ts_tokenizer_token(t, t->unk) : NULL);
    ts_jw_kstr(w, "continuing_subword_prefix", NULL);
    ts_jw_kstr(w, "end_of_word_suffix", NULL);
    ts_jw_kbool(w, "fuse_unk", t->fuse_unk);
    ts_jw_kbool(w, "byte_fallback", t->byte_fallback);
    ts_jw_kbool(w, "ignore_merges", t->ignore_merges);
    ts_jw_key(w, "vocab");
    ts_jw_obj(w);
    for (size_t id = 0; id < t->vocab.n; id++)
        if (t->vocab.names[id].at && !is_filler(t, (int32_t)id))
            ts_jw_kint(w, ts_tokenizer_token(t, (int32_t)id), (int64_t)id);
    ts_jw_end_obj(w);
    ts_jw_key(w, "merges");
    ts_jw_arr(w);
    ts_tokenizer_merges(t, &merges);
    for (size_t i = 0; i < merges.n; i++) {
        ts_buf_reset(&both);
        ts_buf_printf(&both, "%s %s", ts_tokenizer_token(t, merges.items[i].left),
                      ts_tokenizer_token(t, merges.items[i].right));
        ts_jw_strn(w, both.data, both.len);
    }
    ts_jw_end_arr(w);
    ts_jw_end_obj(w);
    free(merges.items);
    ts_buf_release(&both);
}

static void put_tokenizer(ts_buf *out, const ts_tokenizer *t) {
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "version", "1.0");
    ts_jw_kstr(&w, "truncation", NULL);
    ts_jw_kstr(&w, "padding", NULL);
    ts_jw_key(&w, "added_tokens");
    ts_jw_arr(&w);
    for (size_t i = 0; i < t->n_added; i++) { /* the reader adds them in the order of their ids */
        ts_jw_obj(&w);
        ts_jw_kint(&w, "id", t->added[i].id);
        put_flags(&w, &t->added[i]);
        ts_jw_end_obj(&w);
    }
    ts_jw_end_arr(&w);
    put_steps(&w, "normalizer", "normalizers", &t->normalizer);
    put_steps(&w, "pre_tokenizer", "pretokenizers", &t->pre);
    put_post(&w, t);
    put_decoder(&w, t);
    put_model(&w, t);
    ts_jw_end_obj(&w);
}

/* ---- tokenizer_config.json ---- */

static void put_token(ts_jw *w, const ts_tokenizer *t, const char *key, int32_t id) {
    if (id >= 0) ts_jw_kstr(w, key, ts_tokenizer_token(t, id));
}

static int32_t key_id(const ts_gguf *g, const char *key, const ts_tokenizer *t) {
    int64_t id;
    return ts_gguf_int(g, key, &id) && id >= 0 && (size_t)id < t->vocab.n ? (int32_t)id : -1;
}

static void put_settings(ts_buf *out, const ts_tokenizer *t, const ts_model *m) {
    const ts_gguf *g = m->store->gguf;
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_key(&w, "added_tokens_decoder");
    ts_jw_obj(&w);
    for (size_t i = 0; i < t->n_added; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", (int)t->added[i].id);
        ts_jw_key(&w, id);
        ts_jw_obj(&w);
        put_flags(&w, &t->added[i]);
        ts_jw_end_obj(&w);
    }
    ts_jw_end_obj(&w);
    put_token(&w, t, "bos_token", t->bos);
    if (t->chat_template) ts_jw_kstr(&w, "chat_template", t->chat_template);
    ts_jw_kbool(&w, "clean_up_tokenization_spaces", false);
    put_token(&w, t, "eos_token", t->eos);
    ts_jw_kint(&w, "model_max_length", (int64_t)m->config.context);
    put_token(&w, t, "pad_token", key_id(g, "tokenizer.ggml.padding_token_id", t));
    ts_jw_kstr(&w, "tokenizer_class", "PreTrainedTokenizerFast");
    put_token(&w, t, "unk_token", key_id(g, "tokenizer.ggml.unknown_token_id", t));
    ts_jw_end_obj(&w);
}

static ts_status write_files(const ts_model *m, const ts_tokenizer *t, const char *dir, ts_err *err) {
    char *tokens = ts_path_join(dir, "tokenizer.json"), *settings = ts_path_join(dir, "tokenizer_config.json");
    ts_buf out = TS_BUF_INIT;
    put_tokenizer(&out, t);
    ts_status status = ts_file_write(tokens, out.data, out.len, err);
    ts_buf_reset(&out);
    put_settings(&out, t, m);
    ts_buf_putc(&out, '\n');
    if (status == TS_OK) status = ts_file_write(settings, out.data, out.len, err);
    free(tokens);
    free(settings);
    ts_buf_release(&out);
    return status;
}

static ts_status write_template(const char *source, const char *dir, ts_err *err) {
    char *path = ts_path_join(dir, "chat_template.jinja");
    ts_status status = ts_file_write(path, source, strlen(source), err);
    free(path);
    return status;
}

ts_status ts_export_tokenizer(const ts_export *x, const char *dir, ts_err *err) {
    const ts_model *m = x->model;
    ts_tokenizer *t = NULL;
    ts_status status;
    if (m->store->gguf) {
        TS_TRY(ts_tokenizer_open(&t, m->path, err));
        ts_tokenizer_set_template(t, x->chat_template);
        status = write_files(m, t, dir, err);
        ts_tokenizer_free(t);
    } else {
        status = copy_files(m->path, dir, err);
    }
    if (status == TS_OK && x->chat_template) status = write_template(x->chat_template, dir, err);
    return status;
}
