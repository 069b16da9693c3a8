/* Reads a Hugging Face folder: tokenizer.json by its structure (never by the model's name), tokenizer_config.json and
 * chat_template.jinja beside it. What we do not do is refused by the name it has in the file. Vocabulary and merges
 * are most of up to 17 MB and are read in one pass; the rest is small and read as trees. */
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/json_stream.h"
#include "core/model/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

enum { TOKENIZER_MAX = 256 << 20, CONFIG_MAX = 64 << 20 };

enum { PART_NORMALIZER, PART_PRE, PART_POST, PART_DECODER, PART_ADDED, PARTS };
static const char *const part_names[PARTS] = {"normalizer", "pre_tokenizer", "post_processor", "decoder",
                                              "added_tokens"};

/* While a tokenizer.json is read. */
typedef struct reading {
    ts_tokenizer *t;
    const char *what;
    const char *parts[PARTS];
    size_t part_n[PARTS];
    const char *merges; /* where merges stand that came before the vocabulary */
    size_t merges_n;
    ts_buf type, unk, joined;
    bool has_vocab, has_pieces, has_merges;
    int64_t unk_id;      /* -1: none */
    const char *refused; /* a setting of the model that we do not do */
} reading;

static bool key_is(const char *key, size_t n, const char *name) {
    return strlen(name) == n && memcmp(key, name, n) == 0;
}

static bool read_vocab(ts_js *j, ts_vocab *v) {
    const char *name;
    size_t n;
    int64_t id;
    if (!ts_js_object(j)) return false;
    ts_vocab_expect(v, (size_t)(j->end - j->at) / 90); /* a line of vocabulary and its merges take 70 to 90 bytes */
    while (ts_js_key(j, &name, &n)) {
        char *copy = NULL;
        if (name == ts_buf_str(&j->unescaped)) copy = ts_strndup(name, n);
        bool ok = ts_js_int(j, &id) && (ts_vocab_add(v, copy ? copy : name, n, id) ||
                                        ts_js_fail(j, "a token id should be a whole number below 10,000,000"));
        free(copy);
        if (!ok) return false;
    }
    return !j->problem;
}

/* A Unigram's vocabulary: [name, score], the id is the place. */
static bool read_piece(ts_js *j, ts_tokenizer *t) {
    const char *name;
    size_t n;
    double score;
    if (!ts_js_array(j) || !ts_js_item(j) || !ts_js_str(j, &name, &n)) return false;
    if (n > TS_PIECE_MAX) return ts_js_fail(j, "no piece of a Unigram vocabulary is that long");
    if (!ts_vocab_add(&t->vocab, name, n, (int64_t)t->unigram.n))
        return ts_js_fail(j, "the vocabulary is larger than we take");
    if (!ts_js_item(j) || !ts_js_num(j, &score)) return false;
    TS_PUSH(t->unigram.scores, t->unigram.n, t->unigram.cap, score);
    return !ts_js_item(j) && !j->problem;
}

static bool read_pieces(ts_js *j, ts_tokenizer *t) {
    if (!ts_js_array(j)) return false;
    while (ts_js_item(j))
        if (!read_piece(j, t)) return ts_js_fail(j, "a piece of a Unigram vocabulary should be a name and a score");
    return !j->problem;
}

/* The two sides of a merge, one behind the other in r->joined; the left one takes *left_n bytes. */
static bool read_merge(ts_js *j, reading *r, size_t *left_n) {
    const char *s, *space;
    size_t n;
    bool more;
    ts_buf_reset(&r->joined);
    if (ts_js_peek(j) == '[') {
        bool ok = ts_js_array(j) && ts_js_item(j) && ts_js_str(j, &s, &n);
        if (!ok) return ts_js_fail(j, "a merge should be two strings");
        ts_buf_add(&r->joined, s, n);
        *left_n = n;
        if (!ts_js_item(j) || !ts_js_str(j, &s, &n)) return ts_js_fail(j, "a merge should be two strings");
        ts_buf_add(&r->joined, s, n);
        more = ts_js_item(j);
        return more ? ts_js_fail(j, "a merge should be two strings") : !j->problem;
    }
    if (!ts_js_str(j, &s, &n)) return false;
    space = memchr(s, ' ', n);
    if (!space) return ts_js_fail(j, "a merge should be two tokens with a space between");
    *left_n = (size_t)(space - s);
    ts_buf_add(&r->joined, s, *left_n);
    ts_buf_add(&r->joined, space + 1, n - *left_n - 1);
    return true;
}

static bool read_merges(ts_js *j, reading *r) {
    ts_tokenizer *t = r->t;
    ts_merge_batch batch = {.vocab = &t->vocab, .merges = &t->merges, .cut = t->word_prefix_n};
    size_t left_n = 0;
    bool fine = true;
    if (!ts_js_array(j)) return false;
    ts_merges_expect(&t->merges, (size_t)(j->end - j->at) / 30);
    while (fine && ts_js_item(j)) {
        fine = read_merge(j, r, &left_n) &&
               ts_merge_batch_add(&batch, ts_buf_str(&r->joined), left_n, r->joined.len, j->at);
    }
    fine = fine && !j->problem && ts_merge_batch_end(&batch);
    if (batch.bad) {
        j->at = batch.bad->where; /* the cursor is some merges further by now */
        ts_js_fail(j, "this merge names a token that is not in the vocabulary");
    }
    ts_merge_batch_release(&batch);
    return fine;
}

static bool read_text(ts_js *j, ts_buf *out) {
    const char *s;
    size_t n;
    if (ts_js_peek(j) != '"') return ts_js_skip(j, NULL, NULL);
    if (!ts_js_str(j, &s, &n)) return false;
    ts_buf_add(out, s, n);
    return true;
}

static bool read_bool(ts_js *j, bool *out) {
    *out = ts_js_peek(j) == 't';
    return ts_js_skip(j, NULL, NULL);
}

/* continuing_subword_prefix or end_of_word_suffix; null and "" are none. */
static bool read_affix(ts_js *j, const reading *r, char **to, size_t *to_n) {
    ts_buf text = TS_BUF_INIT;
    bool fine = read_text(j, &text);
    if (fine && text.len && r->has_merges)
        fine = ts_js_fail(j, "this should stand in front of the merges, whose names it belongs to");
    else if (fine && text.len)
        ts_step_text(to, to_n, text.data, text.len);
    ts_buf_release(&text);
    return fine;
}

/* A setting that must be null or empty. */
static bool read_refused(ts_js *j, reading *r, const char *name) {
    const char *s;
    size_t n;
    if (!ts_js_skip(j, &s, &n)) return false;
    if (!key_is(s, n, "null") && !key_is(s, n, "\"\"") && !key_is(s, n, "0.0") && !key_is(s, n, "0")) r->refused = name;
    return true;
}

static bool read_model_key(ts_js *j, reading *r, const char *key, size_t n) {
    ts_tokenizer *t = r->t;
    if (key_is(key, n, "type")) return read_text(j, &r->type);
    if (key_is(key, n, "unk_token")) return read_text(j, &r->unk);
    if (key_is(key, n, "fuse_unk")) return read_bool(j, &t->fuse_unk);
    if (key_is(key, n, "byte_fallback")) return read_bool(j, &t->byte_fallback);
    if (key_is(key, n, "ignore_merges")) return read_bool(j, &t->ignore_merges);
    if (key_is(key, n, "dropout")) return read_refused(j, r, "dropout");
    if (key_is(key, n, "continuing_subword_prefix")) return read_affix(j, r, &t->word_prefix, &t->word_prefix_n);
    if (key_is(key, n, "end_of_word_suffix")) return read_affix(j, r, &t->word_suffix, &t->word_suffix_n);
    if (key_is(key, n, "unk_id") && ts_js_peek(j) != 'n') return ts_js_int(j, &r->unk_id);
    if (key_is(key, n, "vocab") && ts_js_peek(j) == '[') {
        r->has_pieces = true;
        return read_pieces(j, t);
    }
    if (key_is(key, n, "vocab") && ts_js_peek(j) == '{') {
        r->has_vocab = true;
        return read_vocab(j, &t->vocab);
    }
    if (key_is(key, n, "merges")) {
        r->has_merges = true;
        return r->has_vocab ? read_merges(j, r) : ts_js_skip(j, &r->merges, &r->merges_n);
    }
    return ts_js_skip(j, NULL, NULL);
}

static bool read_model(ts_js *j, reading *r) {
    const char *key;
    size_t n;
    if (!ts_js_object(j)) return false;
    while (ts_js_key(j, &key, &n))
        if (!read_model_key(j, r, key, n)) return false;
    return !j->problem;
}

static bool read_part(ts_js *j, reading *r, const char *key, size_t n) {
    for (int i = 0; i < PARTS; i++)
        if (key_is(key, n, part_names[i])) return ts_js_skip(j, &r->parts[i], &r->part_n[i]);
    return key_is(key, n, "model") ? read_model(j, r) : ts_js_skip(j, NULL, NULL);
}

static ts_status read_all(reading *r, const char *text, size_t n, ts_err *err) {
    ts_js j = ts_js_over(text, n);
    const char *key;
    size_t key_n;
    if (ts_js_object(&j))
        while (ts_js_key(&j, &key, &key_n))
            if (!read_part(&j, r, key, key_n)) break;
    TS_TRY(ts_js_finish(&j, r->what, err));
    if (!r->merges) return TS_OK;
    j = ts_js_over(r->merges, r->merges_n);
    if (read_merges(&j, r)) return ts_js_finish(&j, r->what, err);
    return ts_js_finish(&j, r->what, err);
}

static ts_status check_unigram(reading *r, ts_err *err) {
    ts_tokenizer *t = r->t;
    if (!t->unigram.n) return ts_fail(err, TS_FORMAT, "%s: its model has no vocab", r->what);
    if (r->unk_id < 0 || (uint64_t)r->unk_id >= t->unigram.n)
        return ts_fail(err, TS_FORMAT, "%s: its Unigram model names no unknown token (unk_id)", r->what);
    t->unk = (int32_t)r->unk_id;
    return TS_OK;
}

static ts_status check_model(reading *r, ts_err *err) {
    const char *type = r->type.len ? r->type.data : r->has_merges ? "BPE" : "of no stated type";
    if (strcmp(type, "Unigram") == 0 && !r->has_vocab) return check_unigram(r, err);
    if (strcmp(type, "BPE") != 0)
        return ts_fail(err, TS_UNSUPPORTED, "%s: its model is %s; only BPE and Unigram tokenizers are done", r->what,
                       type);
    if (r->refused)
        return ts_fail(err, TS_UNSUPPORTED, "%s: its model sets %s, which is not done", r->what, r->refused);
    if (!r->has_vocab || r->has_pieces) return ts_fail(err, TS_FORMAT, "%s: its model has no vocab", r->what);
    if (r->unk.len) {
        r->t->unk = ts_vocab_find(&r->t->vocab, r->unk.data, r->unk.len);
        if (r->t->unk < 0)
            return ts_fail(err, TS_FORMAT, "%s: the unknown token %s is not in the vocabulary", r->what, r->unk.data);
    }
    return TS_OK;
}

/* ---- the small parts, as trees ---- */

static const char *type_of(const ts_json *v) {
    return ts_json_str(ts_json_get(v, "type"), "without a type");
}

static bool flag(const ts_json *v, const char *key, bool otherwise) {
    const ts_json *b = ts_json_get(v, key);
    return ts_json_is_bool(b) ? ts_json_is_true(b) : otherwise;
}

static size_t count_of(const ts_json *v, const char *key) {
    int64_t n = 0;
    return ts_json_int(ts_json_get(v, key), 0, 1000, &n) ? (size_t)n : 0;
}

static void text_of(const ts_json *v, const char *key, const char *otherwise, char **to, size_t *n) {
    const char *s = ts_json_str(ts_json_get(v, key), otherwise);
    ts_step_text(to, n, s, strlen(s));
}

static ts_status unsupported(const reading *r, const char *part, const char *name, ts_err *err) {
    return ts_fail(err, TS_UNSUPPORTED, "%s: the %s %s is not done", r->what, part, name);
}

typedef ts_status (*part_reader)(reading *r, const ts_json *v, ts_err *err);

/* Calls `one` for v, or for each element of its list if it is a Sequence. */
static ts_status each(reading *r, const ts_json *v, const char *list, part_reader one, ts_err *err) {
    if (!v || ts_json_is_null(v)) return TS_OK;
    if (strcmp(type_of(v), "Sequence") != 0) return one(r, v, err);
    for (const ts_json *c = ts_json_child(ts_json_get(v, list)); c; c = ts_json_next(c))
        TS_TRY(one(r, c, err));
    return TS_OK;
}

static ts_status read_pattern(reading *r, ts_step *step, const ts_json *v, ts_err *err) {
    const ts_json *pattern = ts_json_get(v, "pattern");
    const char *text = ts_json_str(ts_json_get(pattern, "String"), NULL);
    const char *regex = ts_json_str(ts_json_get(pattern, "Regex"), NULL);
    if (text) return ts_step_regex(r->t, step, text, strlen(text), true, err);
    if (!regex) return ts_fail(err, TS_FORMAT, "%s: the %s has no pattern", r->what, type_of(v));
    if (ts_step_regex(r->t, step, regex, strlen(regex), false, err) != TS_OK)
        return ts_wrap(err, TS_UNSUPPORTED, "%s", r->what);
    return TS_OK;
}

static bool form_of(const char *type, ts_normal_form *form) {
    static const char *const names[] = {[TS_NFC] = "NFC", [TS_NFD] = "NFD", [TS_NFKC] = "NFKC", [TS_NFKD] = "NFKD"};
    for (size_t i = 0; i < TS_COUNT(names); i++) {
        if (strcmp(type, names[i]) != 0) continue;
        *form = (ts_normal_form)i;
        return true;
    }
    return false;
}

static ts_status read_normalizer(reading *r, const ts_json *v, ts_err *err) {
    const char *type = type_of(v);
    ts_steps *steps = &r->t->normalizer;
    ts_normal_form form;
    if (strcmp(type, "Sequence") == 0) return each(r, v, "normalizers", read_normalizer, err);
    if (form_of(type, &form)) {
        ts_steps_add(steps, TS_NORM_FORM)->form = form;
        return TS_OK;
    }
    if (strcmp(type, "Lowercase") == 0) {
        ts_steps_add(steps, TS_NORM_LOWER);
        return TS_OK;
    }
    if (strcmp(type, "Prepend") == 0) {
        ts_step *step = ts_steps_add(steps, TS_NORM_PREPEND);
        text_of(v, "prepend", "", &step->a, &step->a_n);
        return TS_OK;
    }
    if (strcmp(type, "Replace") == 0) {
        ts_step *step = ts_steps_add(steps, TS_NORM_REPLACE);
        text_of(v, "content", "", &step->b, &step->b_n);
        return read_pattern(r, step, v, err);
    }
    if (strcmp(type, "StripAccents") == 0) {
        ts_step *step = ts_steps_add(steps, TS_NORM_REPLACE);
        ts_step_text(&step->b, &step->b_n, "", 0);
        return ts_step_regex(r->t, step, "\\p{M}+", 6, false, err);
    }
    if (strcmp(type, "Strip") == 0) {
        ts_step *step = ts_steps_add(steps, TS_NORM_STRIP);
        step->left = flag(v, "strip_left", true);
        step->right = flag(v, "strip_right", true);
        return TS_OK;
    }
    return unsupported(r, "normalizer", type, err);
}

static ts_status read_cut(reading *r, ts_step *step, const ts_json *v, const char *otherwise, ts_err *err) {
    static const char *const names[] = {[TS_ISOLATED] = "Isolated",
                                        [TS_REMOVED] = "Removed",
                                        [TS_CONTIGUOUS] = "Contiguous",
                                        [TS_WITH_PREVIOUS] = "MergedWithPrevious",
                                        [TS_WITH_NEXT] = "MergedWithNext"};
    const char *name = ts_json_str(ts_json_get(v, "behavior"), otherwise);
    for (size_t i = 0; i < TS_COUNT(names); i++) {
        if (strcmp(name, names[i]) != 0) continue;
        step->cut = (ts_cut)i;
        return TS_OK;
    }
    return unsupported(r, "behaviour", name, err);
}

static ts_status read_byte_level(reading *r, const ts_json *v, ts_err *err) {
    ts_step *step = ts_steps_add(&r->t->pre, TS_PRE_BYTE_LEVEL);
    step->prefix_space = flag(v, "add_prefix_space", true);
    if (flag(v, "use_regex", true))
        TS_TRY(ts_step_regex(r->t, step, ts_gpt2_pattern, strlen(ts_gpt2_pattern), false, err));
    ts_step_text(&step->a, &step->a_n, " ", 1);
    return TS_OK;
}

static ts_status read_scheme(reading *r, ts_step *step, const ts_json *v, ts_err *err) {
    bool legacy = flag(v, "add_prefix_space", true);
    const char *scheme = ts_json_str(ts_json_get(v, "prepend_scheme"), legacy ? "always" : "never");
    step->scheme = strcmp(scheme, "always") == 0  ? TS_PREPEND_ALWAYS
                   : strcmp(scheme, "first") == 0 ? TS_PREPEND_FIRST
                                                  : TS_PREPEND_NEVER;
    if (step->scheme == TS_PREPEND_NEVER && strcmp(scheme, "never") != 0)
        return unsupported(r, "Metaspace scheme", scheme, err);
    return TS_OK;
}

static ts_status read_metaspace(reading *r, const ts_json *v, ts_err *err) {
    ts_step *step = ts_steps_add(&r->t->pre, TS_PRE_METASPACE);
    step->cut = TS_WITH_NEXT;
    step->split = flag(v, "split", true);
    text_of(v, "replacement", "\xe2\x96\x81", &step->a, &step->a_n);
    return read_scheme(r, step, v, err);
}

/* Words and runs of marks; what lies between is left out. \w as Rust's regex has it: Alphabetic, marks, digits,
 * connecting punctuation, joiners. */
#define WORD_CLASS                                                                                                     \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{200c}\\x{200d}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}" \
    "\\x{1f170}-\\x{1f189}"
static ts_status read_whitespace(reading *r, bool words, ts_err *err) {
    const char *pattern = words ? "[" WORD_CLASS "]+|[^" WORD_CLASS "\\s]+" : "\\s";
    ts_step *step = ts_steps_add(&r->t->pre, TS_PRE_SPLIT);
    step->cut = TS_REMOVED;
    step->invert = words;
    return ts_step_regex(r->t, step, pattern, strlen(pattern), false, err);
}

static ts_status read_pre(reading *r, const ts_json *v, ts_err *err) {
    const char *type = type_of(v);
    ts_steps *steps = &r->t->pre;
    if (strcmp(type, "Sequence") == 0) return each(r, v, "pretokenizers", read_pre, err);
    if (steps->n && steps->items[steps->n - 1].kind == TS_PRE_BYTE_LEVEL)
        return ts_fail(err, TS_UNSUPPORTED, "%s: the pre-tokenizer %s stands behind ByteLevel, which is not done",
                       r->what, type);
    if (strcmp(type, "ByteLevel") == 0 && r->t->unigram.n)
        return unsupported(r, "pre-tokenizer", "ByteLevel of a Unigram model", err);
    if (strcmp(type, "ByteLevel") == 0) return read_byte_level(r, v, err);
    if (strcmp(type, "Metaspace") == 0) return read_metaspace(r, v, err);
    if (strcmp(type, "Whitespace") == 0) return read_whitespace(r, true, err);
    if (strcmp(type, "WhitespaceSplit") == 0) return read_whitespace(r, false, err);
    if (strcmp(type, "Split") == 0) {
        ts_step *step = ts_steps_add(steps, TS_PRE_SPLIT);
        step->invert = flag(v, "invert", false);
        TS_TRY(read_cut(r, step, v, "without a name", err));
        return read_pattern(r, step, v, err);
    }
    if (strcmp(type, "Digits") == 0) {
        ts_steps_add(steps, TS_PRE_DIGITS)->cut = flag(v, "individual_digits", false) ? TS_ISOLATED : TS_CONTIGUOUS;
        return TS_OK;
    }
    if (strcmp(type, "Punctuation") == 0)
        return read_cut(r, ts_steps_add(steps, TS_PRE_PUNCTUATION), v, "Isolated", err);
    return unsupported(r, "pre-tokenizer", type, err);
}

static ts_status add_template_ids(reading *r, const ts_json *piece, const ts_json *specials, ts_ids *to, ts_err *err) {
    const char *name = ts_json_str(ts_json_get(piece, "id"), "");
    const ts_json *ids = ts_json_get(ts_json_get(specials, name), "ids");
    if (!ts_json_count(ids))
        return ts_fail(err, TS_FORMAT, "%s: the post-processor names %s but has no ids for it", r->what, name);
    for (const ts_json *c = ts_json_child(ids); c; c = ts_json_next(c)) {
        int64_t id;
        if (!ts_json_int(c, 0, TS_TOKEN_IDS_MAX - 1, &id))
            return ts_fail(err, TS_FORMAT, "%s: the post-processor has an id for %s that is none", r->what, name);
        TS_PUSH(to->items, to->n, to->cap, (int32_t)id);
    }
    return TS_OK;
}

/* A template around what is there: its ids before $A go in front of the prefix, those behind to the end. */
static ts_status read_template(reading *r, const ts_json *v, ts_err *err) {
    ts_ids front = {0}, *to = &front, *prefix = &r->t->prefix;
    ts_status status = TS_OK;
    for (const ts_json *c = ts_json_child(ts_json_get(v, "single")); c; c = ts_json_next(c)) {
        const ts_json *special = ts_json_get(c, "SpecialToken");
        if (special)
            TS_GOTO(add_template_ids(r, special, ts_json_get(v, "special_tokens"), to, err));
        else
            to = &r->t->suffix;
    }
    for (size_t i = 0; i < prefix->n; i++)
        TS_PUSH(front.items, front.n, front.cap, prefix->items[i]);
out:
    ts_ids_release(prefix);
    *prefix = front;
    return status;
}

/* BertProcessing and RobertaProcessing: "cls": ["<s>", 0] in front, "sep" behind. */
static ts_status read_pair_of_ends(reading *r, const ts_json *v, ts_err *err) {
    static const char *const names[] = {"cls", "sep"};
    ts_ids *ends[] = {&r->t->prefix, &r->t->suffix};
    for (size_t i = 0; i < TS_COUNT(names); i++) {
        int64_t id;
        if (!ts_json_int(ts_json_next(ts_json_child(ts_json_get(v, names[i]))), 0, TS_TOKEN_IDS_MAX - 1, &id))
            return ts_fail(err, TS_FORMAT, "%s: the post-processor %s has no id for its %s", r->what, type_of(v),
                           names[i]);
        TS_PUSH(ends[i]->items, ends[i]->n, ends[i]->cap, (int32_t)id);
    }
    for (size_t i = ends[0]->n - 1; i > 0; i--) { /* around what is there */
        int32_t id = ends[0]->items[i];
        ends[0]->items[i] = ends[0]->items[i - 1];
        ends[0]->items[i - 1] = id;
    }
    return TS_OK;
}

static ts_status read_post(reading *r, const ts_json *v, ts_err *err) {
    const char *type = type_of(v);
    if (strcmp(type, "Sequence") == 0) return each(r, v, "processors", read_post, err);
    if (strcmp(type, "ByteLevel") == 0) return TS_OK; /* changes offsets only */
    if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0)
        return read_pair_of_ends(r, v, err);
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(r, v, err);
    return unsupported(r, "post-processor", type, err);
}

/* Behind Fuse there is one text: spaces may be taken from its start. */
static ts_status read_text_decoder(reading *r, const ts_json *v, ts_err *err) {
    const char *type = type_of(v), *content = ts_json_str(ts_json_get(v, "content"), "");
    if (strcmp(type, "Strip") != 0 || strcmp(content, " ") != 0 || count_of(v, "stop"))
        return ts_fail(err, TS_UNSUPPORTED, "%s: the decoder %s behind Fuse is not done", r->what, type);
    r->t->strip_left += count_of(v, "start");
    return TS_OK;
}

static ts_status read_decoder(reading *r, const ts_json *v, ts_err *err) {
    const char *type = type_of(v);
    ts_tokenizer *t = r->t;
    if (strcmp(type, "Sequence") == 0) return each(r, v, "decoders", read_decoder, err);
    t->decode_joins = false;
    if (strcmp(type, "Fuse") == 0) {
        t->decode_fuse = true;
        return TS_OK;
    }
    if (t->decode_fuse) return read_text_decoder(r, v, err);
    if (strcmp(type, "BPEDecoder") == 0 && !t->decode_bytes && !t->decode_fallback && !t->decoder.n) {
        text_of(v, "suffix", "</w>", &t->decode_suffix, &t->decode_suffix_n);
        return TS_OK;
    }
    if (t->decode_bytes || t->decode_suffix || (t->decode_fallback && strcmp(type, "Strip") != 0))
        return ts_fail(err, TS_UNSUPPORTED, "%s: the decoder %s stands where it is not done", r->what, type);
    if (strcmp(type, "ByteLevel") == 0) {
        if (t->decoder.n) return unsupported(r, "decoder", "ByteLevel behind others", err);
        t->decode_bytes = true;
        return TS_OK;
    }
    if (strcmp(type, "ByteFallback") == 0) {
        t->decode_fallback = true;
        return TS_OK;
    }
    if (strcmp(type, "Replace") == 0) {
        ts_step *step = ts_steps_add(&t->decoder, TS_DEC_REPLACE);
        text_of(v, "content", "", &step->b, &step->b_n);
        TS_TRY(read_pattern(r, step, v, err));
        return step->re ? unsupported(r, "decoder", "Replace with a regular expression", err) : TS_OK;
    }
    if (strcmp(type, "Strip") == 0 && !t->decode_fallback) {
        ts_step *step = ts_steps_add(&t->decoder, TS_DEC_STRIP);
        text_of(v, "content", " ", &step->a, &step->a_n);
        step->left = count_of(v, "start");
        step->right = count_of(v, "stop");
        return TS_OK;
    }
    if (strcmp(type, "Metaspace") == 0) {
        ts_step *step = ts_steps_add(&t->decoder, TS_DEC_METASPACE);
        text_of(v, "replacement", "\xe2\x96\x81", &step->a, &step->a_n);
        ts_step_text(&step->b, &step->b_n, " ", 1);
        return read_scheme(r, step, v, err);
    }
    return unsupported(r, "decoder", type, err);
}

static ts_status read_added(reading *r, const ts_json *list, ts_err *err) {
    for (const ts_json *v = ts_json_child(list); v; v = ts_json_next(v)) {
        const char *content = ts_json_str(ts_json_get(v, "content"), NULL);
        int64_t id;
        if (!content || !ts_json_int(ts_json_get(v, "id"), 0, TS_TOKEN_IDS_MAX - 1, &id))
            return ts_fail(err, TS_FORMAT, "%s: an entry of added_tokens has no content or no id", r->what);
        size_t n = strlen(content);
        int32_t have = ts_vocab_find(&r->t->vocab, content, n);
        if (have < 0 && !ts_vocab_add(&r->t->vocab, content, n, id))
            return ts_fail(err, TS_LIMIT, "%s: the vocabulary is larger than we take", r->what);
        ts_added *a = ts_tokenizer_add(r->t, have < 0 ? (int32_t)id : have, content, n);
        a->lstrip = flag(v, "lstrip", false);
        a->rstrip = flag(v, "rstrip", false);
        a->single_word = flag(v, "single_word", false);
        a->special = flag(v, "special", false);
        a->normalized = flag(v, "normalized", !a->special);
    }
    return TS_OK;
}

static ts_status read_small_part(reading *r, int part, ts_err *err) {
    static const part_reader readers[PARTS] = {read_normalizer, read_pre, read_post, read_decoder, read_added};
    if (!r->parts[part]) return TS_OK;
    ts_json *v = ts_json_parse(r->parts[part], r->part_n[part], err);
    if (!v) return ts_wrap(err, TS_FORMAT, "%s: %s", r->what, part_names[part]);
    ts_status status = ts_json_is_null(v) ? TS_OK : readers[part](r, v, err);
    ts_json_free(v);
    return status;
}

ts_status ts_tokenizer_parse_json(ts_tokenizer *t, const char *text, size_t n, const char *what, ts_err *err) {
    reading r = {.t = t, .what = what, .unk_id = -1};
    ts_status status;
    t->decode_joins = true;
    TS_GOTO(read_all(&r, text, n, err));
    TS_GOTO(check_model(&r, err));
    for (int part = 0; part < PARTS; part++)
        TS_GOTO(read_small_part(&r, part, err));
    status = ts_tokenizer_finish(t, what, err);
out:
    ts_buf_release(&r.type);
    ts_buf_release(&r.unk);
    ts_buf_release(&r.joined);
    return status;
}

/* ---- the files beside it ---- */

/* "<s>" or {"content": "<s>"}. */
static int32_t named_token(const ts_tokenizer *t, const ts_json *config, const char *key) {
    const ts_json *v = ts_json_get(config, key);
    const char *name = ts_json_str(v, ts_json_str(ts_json_get(v, "content"), NULL));
    return name ? ts_tokenizer_id(t, name) : -1;
}

/* The template is a string, or a list of {name, template} of which "default" is taken. */
static const char *config_template(const ts_json *config) {
    const ts_json *v = ts_json_get(config, "chat_template");
    for (const ts_json *c = ts_json_is_array(v) ? ts_json_child(v) : NULL; c; c = ts_json_next(c))
        if (strcmp(ts_json_str(ts_json_get(c, "name"), ""), "default") == 0)
            return ts_json_str(ts_json_get(c, "template"), NULL);
    return ts_json_str(v, NULL);
}

/* A token that only the model's config.json names, as a number or a list of which the first counts. */
static int32_t model_id(const ts_tokenizer *t, const char *dir, const char *key) {
    char *path = ts_path_join(dir, "config.json");
    ts_err ignored;
    ts_json *config = ts_is_file(path) ? ts_json_read(path, CONFIG_MAX, &ignored) : NULL;
    const ts_json *v = ts_json_get(config, key);
    int64_t id = -1;
    if (!ts_json_int(ts_json_is_array(v) ? ts_json_child(v) : v, 0, (int64_t)t->vocab.n - 1, &id)) id = -1;
    ts_json_free(config);
    free(path);
    return (int32_t)id;
}

static ts_status read_config(ts_tokenizer *t, const char *dir, ts_err *err) {
    char *path = ts_path_join(dir, "tokenizer_config.json");
    ts_status status = TS_OK;
    ts_json *config = NULL;
    if (ts_file_exists(path)) {
        config = ts_json_read(path, CONFIG_MAX, err);
        if (!config) {
            free(path);
            return err ? err->code : TS_FORMAT;
        }
        const char *source = config_template(config);
        t->bos = named_token(t, config, "bos_token");
        t->eos = named_token(t, config, "eos_token");
        if (source) t->chat_template = ts_strdup(source);
    }
    ts_json_free(config);
    free(path);
    if (t->eos < 0) t->eos = model_id(t, dir, "eos_token_id");
    return status;
}

/* chat_template.jinja goes before the template in tokenizer_config.json. */
static ts_status read_jinja(ts_tokenizer *t, const char *dir, ts_err *err) {
    char *path = ts_path_join(dir, "chat_template.jinja");
    ts_buf text = TS_BUF_INIT;
    ts_status status = TS_OK;
    if (ts_file_exists(path)) {
        status = ts_file_read(path, CONFIG_MAX, &text, err);
        if (status == TS_OK) {
            free(t->chat_template);
            t->chat_template = ts_strdup(ts_buf_str(&text));
        }
    }
    ts_buf_release(&text);
    free(path);
    return status;
}

ts_status ts_tokenizer_read_json(ts_tokenizer *t, const char *dir, ts_err *err) {
    char *path = ts_path_join(dir, "tokenizer.json");
    ts_buf text = TS_BUF_INIT;
    ts_status status;
    if (!ts_file_exists(path)) {
        status = ts_fail(
            err, TS_NOT_FOUND,
            "%s has no tokenizer.json; models with only a tokenizer.model need one written by transformers", dir);
        goto out;
    }
    TS_GOTO(ts_file_read(path, TOKENIZER_MAX, &text, err));
    TS_GOTO(ts_tokenizer_parse_json(t, ts_buf_str(&text), text.len, path, err));
    TS_GOTO(read_config(t, dir, err));
    status = read_jinja(t, dir, err);
out:
    ts_buf_release(&text);
    free(path);
    return status;
}
