#include "core/model/tokenizer_impl.h"

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/rand.h"
#include "core/base/utf8.h"
#include "tests/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- against Hugging Face's tokenizers (shared/tokenizers/cases.jsonl) ---- */

/* Calls `check` for each line of the cases. */
typedef void (*case_check)(const ts_tokenizer *t, const char *name, const ts_json *line);

static void for_each_case(const ts_tokenizer *t, const char *name, case_check check) {
    ts_buf text = TS_BUF_INIT;
    ts_err err;
    size_t lines = 0;
    assert_ok(ts_file_read(ts_test_shared("tokenizers/cases.jsonl"), 1 << 24, &text, &err));
    for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        ts_json *v = ts_json_parse(line, (size_t)(end - line), &err);
        if (!v) fail_msg("case %zu: %s", lines, err.text);
        check(t, name, v);
        ts_json_free(v);
        lines++;
    }
    assert_int_equal(lines, 250);
    ts_buf_release(&text);
}

static void assert_ids(const ts_ids *got, const ts_json *want, const char *name, const char *id, const char *how) {
    const ts_json *v = ts_json_child(want);
    for (size_t i = 0; i < got->n || v; i++, v = ts_json_next(v)) {
        int have = i < got->n ? (int)got->items[i] : -1, need = v ? (int)ts_json_num(v, -2) : -1;
        if (have != need) fail_msg("%s, case %s, %s: id %zu is %d, should be %d", name, id, how, i, have, need);
    }
}

static void check_text(const ts_tokenizer *t, const ts_ids *ids, bool skip, const char *want, const char *name,
                       const char *id) {
    ts_buf text = TS_BUF_INIT;
    ts_tokenizer_decode(t, ids->items, ids->n, skip, &text);
    if (strcmp(ts_buf_str(&text), want) != 0)
        fail_msg("%s, case %s: decoded to %s, should be %s", name, id, ts_buf_str(&text), want);
    ts_buf_release(&text);
}

static void check_case(const ts_tokenizer *t, const char *name, const ts_json *line) {
    const char *text = ts_json_str(ts_json_get(line, "text"), NULL), *id = ts_json_str(ts_json_get(line, "id"), "");
    const ts_json *want = ts_json_get(ts_json_get(line, "expected"), name);
    const ts_json *decoded = ts_json_get(ts_json_get(line, "decoded"), name);
    ts_ids ids = {0}, starts = {0};
    assert_non_null(want);
    ts_tokenizer_encode(t, text, strlen(text), true, &ids, NULL);
    assert_ids(&ids, ts_json_get(want, "special"), name, id, "special");
    ids.n = 0;
    ts_tokenizer_encode(t, text, strlen(text), false, &ids, &starts);
    assert_ids(&ids, ts_json_get(want, "plain"), name, id, "plain");
    assert_int_equal(starts.n, ids.n);
    for (size_t i = 0; i < starts.n; i++) {
        assert_true(starts.items[i] >= 0 && starts.items[i] <= (int)strlen(text));
        assert_true(i == 0 || starts.items[i] >= starts.items[i - 1]);
    }
    const char *keep = ts_json_str(ts_json_get(decoded, "keep"), text);
    check_text(t, &ids, false, keep, name, id);
    check_text(t, &ids, true, ts_json_str(ts_json_get(decoded, "skip"), keep), name, id);
    ts_ids_release(&ids);
    ts_ids_release(&starts);
}

static void check_model(const char *folder, const char *name) {
    ts_tokenizer *t;
    ts_err err;
    assert_ok(ts_tokenizer_open(&t, ts_test_shared(folder), &err));
    for_each_case(t, name, check_case);
    ts_tokenizer_free(t);
}

static void golden_smollm2(void **state) {
    (void)state;
    check_model("tokenizers/smollm2", "smollm2");
}

static void golden_smollm2_gguf(void **state) {
    ts_tokenizer *t;
    ts_err err;
    (void)state;
    assert_ok(ts_tokenizer_open(&t, ts_test_smollm2(), &err));
    for_each_case(t, "smollm2", check_case);
    assert_int_equal(ts_tokenizer_size(t), 49152);
    assert_int_equal(ts_tokenizer_eos(t), 2);
    assert_string_equal(ts_tokenizer_token(t, 2), "<|im_end|>");
    assert_true(ts_tokenizer_is_special(t, 2));
    assert_non_null(ts_tokenizer_template(t));
    ts_tokenizer_free(t);
}

static void golden_gpt2(void **state) {
    (void)state;
    check_model("tokenizers/gpt2", "gpt2");
}

static void golden_llama3(void **state) {
    (void)state;
    check_model("tokenizers/llama3", "llama3");
}

static void golden_qwen3(void **state) {
    (void)state;
    check_model("tokenizers/qwen3", "qwen3");
}

static void golden_llama2(void **state) {
    (void)state;
    check_model("tokenizers/llama2", "llama2");
}

static void golden_mistral(void **state) {
    (void)state;
    check_model("tokenizers/mistral", "mistral");
}

static void golden_stories(void **state) {
    (void)state;
    check_model("models/stories260K", "stories260K");
}

/* ---- our own tokenizers (tests/data/tokenizers, made with make.py) ---- */

static ts_tokenizer *own(const char *name) {
    char *relative = ts_printf("tests/data/tokenizers/%s", name);
    ts_tokenizer *t;
    ts_err err;
    assert_ok(ts_tokenizer_open(&t, ts_test_source(relative), &err));
    free(relative);
    return t;
}

typedef void (*line_check)(const ts_json *line, void *with);

static size_t for_each_line(const char *file, line_check check_line, void *with) {
    ts_buf text = TS_BUF_INIT;
    ts_err err;
    size_t lines = 0;
    assert_ok(ts_file_read(ts_test_source(file), 1 << 24, &text, &err));
    for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        ts_json *v = ts_json_parse(line, (size_t)(end - line), &err);
        if (!v) fail_msg("%s, line %zu: %s", file, lines + 1, err.text);
        check_line(v, with);
        ts_json_free(v);
    }
    ts_buf_release(&text);
    return lines;
}

/* Streamed one id at a time, the text is the same. */
static void check_stream(const ts_tokenizer *t, const ts_ids *ids, bool skip, const char *want) {
    ts_decoder d = {.t = t, .skip_special = skip};
    ts_buf text = TS_BUF_INIT;
    for (size_t i = 0; i < ids->n; i++) {
        ts_decoder_push(&d, ids->items[i], &text);
        assert_int_equal(ts_utf8_check(ts_buf_str(&text), text.len), text.len);
    }
    ts_decoder_push(&d, -1, &text);
    assert_string_equal(ts_buf_str(&text), want);
    ts_decoder_release(&d);
    ts_buf_release(&text);
}

static void check_own(const ts_tokenizer *t, const ts_json *line) {
    const char *text = ts_json_str(ts_json_get(line, "text"), NULL),
               *name = ts_json_str(ts_json_get(line, "tokenizer"), "");
    ts_ids ids = {0};
    ts_tokenizer_encode(t, text, strlen(text), true, &ids, NULL);
    assert_ids(&ids, ts_json_get(line, "special"), name, text, "special");
    ids.n = 0;
    ts_tokenizer_encode(t, text, strlen(text), false, &ids, NULL);
    assert_ids(&ids, ts_json_get(line, "plain"), name, text, "plain");
    check_text(t, &ids, false, ts_json_str(ts_json_get(line, "kept"), ""), name, text);
    check_text(t, &ids, true, ts_json_str(ts_json_get(line, "skipped"), ""), name, text);
    check_stream(t, &ids, false, ts_json_str(ts_json_get(line, "kept"), ""));
    check_stream(t, &ids, true, ts_json_str(ts_json_get(line, "skipped"), ""));
    ts_ids_release(&ids);
}

typedef struct own_set {
    ts_tokenizer *bytes, *pieces, *unigram; /* NULL: its lines are left out */
} own_set;

static void check_own_line(const ts_json *line, void *with) {
    own_set *p = with;
    const char *name = ts_json_str(ts_json_get(line, "tokenizer"), "");
    ts_tokenizer *t = strcmp(name, "bytes") == 0 ? p->bytes : strcmp(name, "pieces") == 0 ? p->pieces : p->unigram;
    if (t) check_own(t, line);
}

static void own_tokenizers(void **state) {
    own_set p = {own("bytes"), own("pieces"), own("unigram")};
    (void)state;
    assert_int_equal(for_each_line("tests/data/tokenizers/cases.jsonl", check_own_line, &p), 204);
    assert_string_equal(ts_tokenizer_kind(p.bytes), "byte-level BPE, 702 tokens");
    assert_string_equal(ts_tokenizer_kind(p.unigram), "Unigram, 600 tokens");
    assert_string_equal(ts_tokenizer_token(p.bytes, 1), "<|end|>");
    assert_string_equal(ts_tokenizer_token(p.bytes, 99999), "");
    assert_int_equal(ts_tokenizer_id(p.bytes, "<|end|>"), 1);
    assert_int_equal(ts_tokenizer_id(p.bytes, "<|none|>"), -1);
    assert_true(ts_tokenizer_is_special(p.bytes, 1));
    assert_false(ts_tokenizer_is_special(p.bytes, ts_tokenizer_id(p.bytes, "<tool>")));
    assert_false(ts_tokenizer_is_special(p.bytes, -1));
    ts_tokenizer_free(p.bytes);
    ts_tokenizer_free(p.pieces);
    ts_tokenizer_free(p.unigram);
}

/* The base's file with some of its parts replaced. */
static ts_tokenizer *with_parts(const char *base, const ts_json *parts) {
    char *path = ts_printf("tests/data/tokenizers/%s/tokenizer.json", base);
    ts_buf text = TS_BUF_INIT;
    ts_err err;
    ts_json *v = ts_json_read(ts_test_source(path), 1 << 24, &err);
    assert_non_null(v);
    for (const ts_json *m = ts_json_child(v); m; m = ts_json_next(m)) {
        const ts_json *instead = ts_json_get(parts, ts_json_key(m));
        ts_buf_printf(&text, "%c\"%s\":", text.len ? ',' : '{', ts_json_key(m));
        ts_json_print(instead ? instead : m, &text);
    }
    ts_buf_putc(&text, '}');
    ts_tokenizer *t = ts_tokenizer_new();
    assert_ok(ts_tokenizer_parse_json(t, text.data, text.len, path, &err));
    ts_buf_release(&text);
    ts_json_free(v);
    free(path);
    return t;
}

static void check_variant(const ts_json *line, void *with) {
    const ts_json *parts = ts_json_get(line, "parts");
    ts_buf name = TS_BUF_INIT;
    ts_tokenizer *t = with_parts(ts_json_str(ts_json_get(line, "base"), ""), parts);
    (void)with;
    ts_json_print(parts, &name);
    for (const ts_json *v = ts_json_child(ts_json_get(line, "texts")); v; v = ts_json_next(v)) {
        const char *text = ts_json_str(ts_json_get(v, "text"), ""),
                   *decoded = ts_json_str(ts_json_get(v, "decoded"), "");
        ts_ids ids = {0};
        ts_tokenizer_encode(t, text, strlen(text), false, &ids, NULL);
        assert_ids(&ids, ts_json_get(v, "ids"), name.data, text, "ids");
        check_text(t, &ids, false, decoded, name.data, text);
        check_stream(t, &ids, false, decoded);
        ts_ids_release(&ids);
    }
    ts_tokenizer_free(t);
    ts_buf_release(&name);
}

/* Every kind of step, against Hugging Face's. */
static void variants(void **state) {
    (void)state;
    assert_int_equal(for_each_line("tests/data/tokenizers/variants.jsonl", check_variant, NULL), 70);
}

/* RobertaProcessing inside a template: ids in front and behind, the later step outside. */
static void ends_around_ends(void **state) {
    static const char file[] =
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"<\":1,\">\":2,\"[\":3},\"merges\":[]},\"post_processor\":"
        "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
        "\"[\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"[\":{\"ids\":[3]}}},{\"type\":"
        "\"RobertaProcessing\","
        "\"sep\":[\">\",2],\"cls\":[\"<\",1]}]}}";
    static const int32_t want[] = {1, 3, 0, 2};
    ts_tokenizer *t = ts_tokenizer_new();
    ts_ids ids = {0};
    ts_err err;
    (void)state;
    assert_ok(ts_tokenizer_parse_json(t, file, strlen(file), "t.json", &err));
    ts_tokenizer_encode(t, "a", 1, true, &ids, NULL);
    assert_int_equal(ids.n, TS_COUNT(want));
    assert_memory_equal(ids.items, want, sizeof want);
    ts_ids_release(&ids);
    ts_tokenizer_free(t);
}

/* ---- the same from GGUF keys ---- */

static void gguf_raw(ts_buf *b, uint64_t v, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        ts_buf_putc(b, (char)(v >> (8 * i)));
}

static void gguf_str(ts_buf *b, const char *s, size_t n) {
    gguf_raw(b, n, 8);
    ts_buf_add(b, s, n);
}

enum { G_INT32 = 5, G_FLOAT32 = 6, G_BOOL = 7, G_STRING = 8, G_ARRAY = 9 };

static void gguf_key(ts_buf *b, const char *key, uint32_t type) {
    gguf_str(b, key, strlen(key));
    gguf_raw(b, type, 4);
}

static void gguf_text(ts_buf *b, const char *key, const char *value) {
    gguf_key(b, key, G_STRING);
    gguf_str(b, value, strlen(value));
}

static void gguf_array(ts_buf *b, const char *key, uint32_t type, size_t n) {
    gguf_key(b, key, G_ARRAY);
    gguf_raw(b, type, 4);
    gguf_raw(b, n, 8);
}

/* A GGUF file with `keys` keys and no tensors. */
static ts_status open_gguf(ts_tokenizer **t, const ts_buf *body, size_t keys, ts_err *open_err) {
    ts_err err;
    ts_buf b = TS_BUF_INIT;
    char *path = ts_path_join(ts_test_dir(), "t.gguf");
    ts_buf_puts(&b, "GGUF");
    gguf_raw(&b, 3, 4);
    gguf_raw(&b, 0, 8);
    gguf_raw(&b, keys, 8);
    ts_buf_add(&b, body->data, body->len);
    assert_ok(ts_file_write(path, b.data, b.len, &err));
    ts_status status = ts_tokenizer_open(t, path, open_err);
    ts_buf_release(&b);
    free(path);
    return status;
}

/* Tokens and their types (3 = control, 4 = user defined, else 1) of a tokenizer. */
static void gguf_tokens(ts_buf *b, const ts_tokenizer *t, size_t n_special) {
    size_t n = ts_tokenizer_size(t);
    gguf_array(b, "tokenizer.ggml.tokens", G_STRING, n);
    for (size_t i = 0; i < n; i++)
        gguf_str(b, ts_tokenizer_token(t, (int32_t)i), strlen(ts_tokenizer_token(t, (int32_t)i)));
    gguf_array(b, "tokenizer.ggml.token_type", G_INT32, n);
    for (size_t i = 0; i < n; i++)
        gguf_raw(b, i < n_special ? 3 : strncmp(ts_tokenizer_token(t, (int32_t)i), "<tool", 5) == 0 ? 4 : 1, 4);
}

static void gguf_merges(ts_buf *b, const char *base) {
    char *path = ts_printf("tests/data/tokenizers/%s/tokenizer.json", base);
    ts_err err;
    ts_json *v = ts_json_read(ts_test_source(path), 1 << 24, &err);
    const ts_json *merges = ts_json_get(ts_json_get(v, "model"), "merges");
    gguf_array(b, "tokenizer.ggml.merges", G_STRING, ts_json_count(merges));
    for (const ts_json *m = ts_json_child(merges); m; m = ts_json_next(m)) {
        const ts_json *left = ts_json_child(m);
        char *text = ts_printf("%s %s", ts_json_str(left, ""), ts_json_str(ts_json_next(left), ""));
        gguf_str(b, text, strlen(text));
        free(text);
    }
    ts_json_free(v);
    free(path);
}

static void own_tokenizer_from_gguf(void **state) {
    ts_tokenizer *base = own("bytes"), *t;
    ts_buf b = TS_BUF_INIT;
    ts_err err;
    (void)state;
    gguf_text(&b, "tokenizer.ggml.model", "gpt2");
    gguf_text(&b, "tokenizer.ggml.pre", "smollm");
    gguf_tokens(&b, base, 2);
    gguf_merges(&b, "bytes");
    gguf_text(&b, "tokenizer.chat_template", "{{ messages }}");
    gguf_key(&b, "tokenizer.ggml.eos_token_id", G_INT32);
    gguf_raw(&b, 1, 4);
    assert_ok(open_gguf(&t, &b, 7, &err));
    for_each_line("tests/data/tokenizers/cases.jsonl", check_own_line, &(own_set){t, NULL, NULL});
    assert_int_equal(ts_tokenizer_eos(t), 1);
    assert_int_equal(ts_tokenizer_bos(t), -1);
    assert_string_equal(ts_tokenizer_template(t), "{{ messages }}");
    ts_tokenizer_free(t);
    ts_tokenizer_free(base);
    ts_buf_release(&b);
}

static void gguf_refusals(void **state) {
    ts_tokenizer *base = own("bytes"), *t;
    ts_buf b = TS_BUF_INIT;
    ts_err err;
    (void)state;
    gguf_text(&b, "tokenizer.ggml.model", "gpt2");
    assert_int_equal(open_gguf(&t, &b, 1, &err), TS_FORMAT);
    assert_non_null(strstr(err.text, "tokenizer.ggml.tokens"));
    gguf_tokens(&b, base, 2);
    assert_int_equal(open_gguf(&t, &b, 3, &err), TS_FORMAT);
    assert_non_null(strstr(err.text, "merges"));
    gguf_text(&b, "tokenizer.ggml.pre", "frobnicated");
    assert_int_equal(open_gguf(&t, &b, 4, &err), TS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "frobnicated"));
    ts_buf_reset(&b);
    gguf_tokens(&b, base, 2);
    gguf_text(&b, "tokenizer.ggml.model", "bert");
    assert_int_equal(open_gguf(&t, &b, 3, &err), TS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "bert"));
    ts_tokenizer_free(base);
    ts_buf_release(&b);
}

/* SentencePiece scores: the vocabulary of stories260K, whose scores are 0, -1, -2 ... from id 259 on, must give what
 * its tokenizer.json with merges gives. */
static void golden_sentencepiece_gguf(void **state) {
    ts_tokenizer *base, *t;
    ts_buf b = TS_BUF_INIT;
    ts_err err;
    (void)state;
    assert_ok(ts_tokenizer_open(&base, ts_test_shared("models/stories260K"), &err));
    size_t n = ts_tokenizer_size(base);
    gguf_text(&b, "tokenizer.ggml.model", "llama");
    gguf_tokens(&b, base, 3);
    gguf_array(&b, "tokenizer.ggml.scores", G_FLOAT32, n);
    for (size_t i = 0; i < n; i++) {
        float score = i < 259 ? 0 : -(float)(i - 259);
        uint32_t bits;
        memcpy(&bits, &score, sizeof bits);
        gguf_raw(&b, bits, 4);
    }
    gguf_key(&b, "tokenizer.ggml.bos_token_id", G_INT32);
    gguf_raw(&b, 1, 4);
    assert_ok(open_gguf(&t, &b, 5, &err));
    for_each_case(t, "stories260K", check_case);
    ts_tokenizer_free(t);
    ts_tokenizer_free(base);
    ts_buf_release(&b);
}

/* ---- properties ---- */

static void random_text(ts_rand *r, ts_buf *b, size_t characters) {
    static const uint32_t bases[] = {0x20, 0x20, 0x61, 0x61, 0x30, 0xc0, 0x300, 0x4e00, 0xac00, 0x1f600, 0x2000, 0x0};
    ts_buf_reset(b);
    for (size_t i = 0; i < characters; i++) {
        uint32_t cp = bases[ts_rand_below(r, TS_COUNT(bases))] + (uint32_t)ts_rand_below(r, 48);
        ts_utf8_put(b, cp ? cp : 1);
    }
}

static void bytes_come_back(void **state) {
    ts_tokenizer *t = own("bytes");
    ts_buf text = TS_BUF_INIT, back = TS_BUF_INIT;
    ts_rand r;
    (void)state;
    ts_rand_seed(&r, 5);
    for (int round = 0; round < 2000; round++) {
        ts_ids ids = {0}, starts = {0};
        random_text(&r, &text, (size_t)ts_rand_below(&r, 60));
        ts_tokenizer_encode(t, ts_buf_str(&text), text.len, false, &ids, &starts);
        assert_int_equal(ids.n, starts.n);
        for (size_t i = 0; i < starts.n; i++)
            assert_true(i ? starts.items[i] > starts.items[i - 1] : starts.items[i] == 0);
        ts_buf_reset(&back);
        ts_tokenizer_decode(t, ids.items, ids.n, false, &back);
        assert_int_equal(back.len, text.len);
        assert_memory_equal(ts_buf_str(&back), ts_buf_str(&text), text.len);
        check_stream(t, &ids, false, ts_buf_str(&text));
        ts_ids_release(&ids);
        ts_ids_release(&starts);
    }
    ts_buf_release(&text);
    ts_buf_release(&back);
    ts_tokenizer_free(t);
}

/* Where a token starts, the text goes on with the token's own text. */
static void starts_point_at_the_text(void **state) {
    static const char text[] = "Reset  12 routers<|end|>\n caf\xc3\xa9 e\xcc\x81";
    ts_tokenizer *t = own("bytes");
    ts_ids ids = {0}, starts = {0};
    (void)state;
    ts_tokenizer_encode(t, text, strlen(text), false, &ids, &starts);
    for (size_t i = 0; i < ids.n; i++) {
        size_t start = (size_t)starts.items[i], end = i + 1 < ids.n ? (size_t)starts.items[i + 1] : strlen(text);
        ts_buf one = TS_BUF_INIT, want = TS_BUF_INIT;
        ts_tokenizer_decode(t, ids.items + i, 1, false, &one);
        ts_utf8_repair(&want, text + start, end - start);
        assert_string_equal(ts_buf_str(&one), ts_buf_str(&want));
        ts_buf_release(&one);
        ts_buf_release(&want);
    }
    ts_ids_release(&ids);
    ts_ids_release(&starts);
    ts_tokenizer_free(t);
}

/* The map survives normalisation: NFC shortens what stands before, the added token's start stays exact. */
static void starts_survive_normalising(void **state) {
    static const char text[] = "e\xcc\x81 e\xcc\x81 x<|end|>y";
    ts_err err;
    ts_json *parts = ts_json_parse("{\"normalizer\":{\"type\":\"NFC\"}}", 31, &err);
    ts_tokenizer *t = with_parts("bytes", parts);
    ts_ids ids = {0}, starts = {0};
    size_t i = 0;
    (void)state;
    ts_tokenizer_encode(t, text, strlen(text), false, &ids, &starts);
    while (i < ids.n && ids.items[i] != 1)
        i++;
    assert_int_equal(starts.items[i], 9);
    assert_int_equal(starts.items[i - 1], 8);
    assert_int_equal(starts.items[i + 1], 16);
    ts_ids_release(&ids);
    ts_ids_release(&starts);
    ts_json_free(parts);
    ts_tokenizer_free(t);
}

static void invalid_utf8_is_a_replacement_character(void **state) {
    static const char bad[] = "ab\xff\xe2\x82 c\xc3", good[] = "ab\xef\xbf\xbd\xef\xbf\xbd c\xef\xbf\xbd";
    ts_tokenizer *t = own("bytes");
    ts_ids have = {0}, want = {0}, starts = {0};
    (void)state;
    ts_tokenizer_encode(t, bad, strlen(bad), false, &have, &starts);
    ts_tokenizer_encode(t, good, strlen(good), false, &want, NULL);
    assert_int_equal(have.n, want.n);
    assert_memory_equal(have.items, want.items, want.n * sizeof *want.items);
    for (size_t i = 0; i < starts.n; i++)
        assert_true(starts.items[i] < (int)strlen(bad));
    ts_ids_release(&have);
    ts_ids_release(&want);
    ts_ids_release(&starts);
    ts_tokenizer_free(t);
}

static void compare_bpe(const ts_tokenizer *t, ts_scratch *s, const char *word, size_t n) {
    ts_ids slow = {0}, fast = {0};
    for (int pass = 0; pass < 2; pass++) {
        ts_ids *ids = pass ? &fast : &slow;
        ts_bpe(t, s, word, n, pass == 0);
        for (size_t i = 0; i < s->n_symbols; i++)
            if (s->symbols[i].len) TS_PUSH(ids->items, ids->n, ids->cap, s->symbols[i].id);
    }
    assert_int_equal(slow.n, fast.n);
    if (slow.n) assert_memory_equal(slow.items, fast.items, slow.n * sizeof *slow.items);
    ts_ids_release(&slow);
    ts_ids_release(&fast);
}

/* Heap against the definition, on long words; with merges, with scores, with unknown characters. */
static void heap_and_search_agree(void **state) {
    ts_tokenizer *t[3] = {own("bytes"), own("pieces"), own("pieces")};
    ts_buf text = TS_BUF_INIT;
    ts_scratch s = {0};
    ts_rand r;
    (void)state;
    ts_rand_seed(&r, 9);
    t[2]->scores = ts_calloc(t[2]->vocab.n, sizeof *t[2]->scores);
    for (size_t i = 0; i < t[2]->vocab.n; i++)
        t[2]->scores[i] = (float)((double)ts_rand_below(&r, 1000) - 700) / 8;
    for (int round = 0; round < 300; round++) {
        ts_buf_reset(&text);
        for (size_t i = 0, n = 30 + (size_t)ts_rand_below(&r, 300); i < n; i++)
            if (ts_rand_below(&r, 20))
                ts_buf_putc(&text, "etaoinshrdlu aee  stthin"[ts_rand_below(&r, 24)]);
            else
                ts_utf8_put(&text, 0x80 + (uint32_t)ts_rand_below(&r, 0x3000));
        for (size_t k = 0; k < 3; k++)
            compare_bpe(t[k], &s, text.data, text.len);
    }
    for (size_t k = 0; k < 3; k++)
        ts_tokenizer_free(t[k]);
    ts_buf_release(&s.name);
    free(s.symbols);
    free(s.heap);
    ts_buf_release(&text);
}

/* The sorted list against every stretch looked up: names that begin alike, unknown characters, white space. */
static void unigram_ways_agree(void **state) {
    ts_tokenizer *t = own("unigram");
    ts_buf text = TS_BUF_INIT;
    ts_scratch s = {0};
    ts_rand r;
    (void)state;
    ts_rand_seed(&r, 13);
    for (int round = 0; round < 300; round++) {
        ts_ids slow = {0}, fast = {0};
        random_text(&r, &text, (size_t)ts_rand_below(&r, 20));
        for (size_t i = 0, n = (size_t)ts_rand_below(&r, 60); i < n; i++)
            ts_buf_puts(&text, ts_tokenizer_token(t, (int32_t)ts_rand_below(&r, 600)));
        for (int pass = 0; pass < 2; pass++) {
            ts_ids *ids = pass ? &fast : &slow;
            ts_unigram_word(t, &s, ts_buf_str(&text), text.len, pass == 0);
            for (size_t i = 0; i < s.n_symbols; i++)
                TS_PUSH(ids->items, ids->n, ids->cap, s.symbols[i].id);
        }
        assert_int_equal(slow.n, fast.n);
        if (slow.n) assert_memory_equal(slow.items, fast.items, slow.n * sizeof *slow.items);
        ts_ids_release(&slow);
        ts_ids_release(&fast);
    }
    free(s.symbols);
    free(s.best);
    ts_buf_release(&text);
    ts_tokenizer_free(t);
}

/* Cutting at the spaces of a SentencePiece-like vocabulary gives what the document as one word gives. */
static void words_or_one_word(void **state) {
    ts_tokenizer *t = own("pieces");
    ts_buf text = TS_BUF_INIT;
    ts_rand r;
    (void)state;
    assert_true(t->space_begins);
    ts_rand_seed(&r, 11);
    for (int round = 0; round < 300; round++) {
        ts_ids words = {0}, whole = {0};
        random_text(&r, &text, (size_t)ts_rand_below(&r, 80));
        for (size_t i = 0; i < 10; i++)
            ts_buf_puts(&text, &"  the \xe2\x96\x81 and hold\xe2\x96\x81\xe2\x96\x81s "[ts_rand_below(&r, 2) ? 0 : 11]);
        ts_tokenizer_encode(t, text.data, text.len, false, &words, NULL);
        t->space_begins = false;
        ts_tokenizer_encode(t, text.data, text.len, false, &whole, NULL);
        t->space_begins = true;
        assert_int_equal(words.n, whole.n);
        assert_memory_equal(words.items, whole.items, whole.n * sizeof *whole.items);
        ts_ids_release(&words);
        ts_ids_release(&whole);
    }
    ts_buf_release(&text);
    ts_tokenizer_free(t);
}

/* How the cost of a word grows, counted in steps of the heap. Each of n characters enters one candidate and each merge
 * two, so at most 3 n go in and out, with log2(3 n) + 1 steps at most: the bound is n log n, and a search through the
 * word for each merge (no steps of the heap at all) is seen too. */
static void a_megabyte_in_one_word(void **state) {
    ts_tokenizer *t = own("pieces");
    ts_buf text = TS_BUF_INIT, back = TS_BUF_INIT;
    ts_scratch s = {0};
    ts_ids ids = {0};
    (void)state;
    t->space_begins = false;
    for (size_t n = 1 << 12; n <= 1 << 20; n <<= 4) {
        while (text.len < n)
            ts_buf_puts(&text, "hold the button for ten seconds and wait ");
        s.heap_steps = 0;
        ts_bpe(t, &s, text.data, text.len, false);
        double most = 2 * 3 * (double)text.len * (log2(3 * (double)text.len) + 1);
        assert_true(s.heap_steps > text.len / 2);
        assert_true((double)s.heap_steps < most);
    }
    ts_tokenizer_encode(t, text.data, text.len, false, &ids, NULL);
    assert_true(ids.n < text.len / 2);
    ts_tokenizer_decode(t, ids.items, ids.n, false, &back);
    assert_string_equal(back.data, text.data);
    ts_ids_release(&ids);
    ts_buf_release(&s.name);
    free(s.symbols);
    free(s.heap);
    ts_buf_release(&text);
    ts_buf_release(&back);
    ts_tokenizer_free(t);
}

typedef struct shared_work {
    const ts_tokenizer *t;
    const ts_buf *text;
    ts_ids want;
    bool same;
} shared_work;

static void *encode_many(void *arg) {
    shared_work *w = arg;
    w->same = true;
    for (int i = 0; i < 20; i++) {
        ts_ids ids = {0};
        ts_tokenizer_encode(w->t, w->text->data, w->text->len, false, &ids, NULL);
        w->same = w->same && ids.n == w->want.n && memcmp(ids.items, w->want.items, ids.n * sizeof *ids.items) == 0;
        ts_ids_release(&ids);
    }
    return NULL;
}

static void threads_share_one(void **state) {
    enum { THREADS = 4 };
    ts_tokenizer *t = own("bytes");
    ts_buf text = TS_BUF_INIT;
    shared_work work[THREADS];
    pthread_t threads[THREADS];
    ts_ids want = {0};
    ts_rand r;
    (void)state;
    ts_rand_seed(&r, 3);
    random_text(&r, &text, 4000);
    ts_tokenizer_encode(t, text.data, text.len, false, &want, NULL);
    for (int i = 0; i < THREADS; i++) {
        work[i] = (shared_work){t, &text, want, false};
        assert_int_equal(pthread_create(&threads[i], NULL, encode_many, &work[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(work[i].same);
    }
    ts_ids_release(&want);
    ts_buf_release(&text);
    ts_tokenizer_free(t);
}

/* ---- what cannot be read ---- */

static void refusals(void **state) {
    static const struct {
        const char *text;
        ts_status status;
        const char *words;
    } cases[] = {
        {"", TS_FORMAT, "an object should begin here"},
        {"[]", TS_FORMAT, "an object should begin here"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}", TS_FORMAT, "line 1, column 39"},
        {"{}", TS_UNSUPPORTED, "of no stated type"},
        {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}", TS_UNSUPPORTED, "WordPiece"},
        {"{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0}}}", TS_UNSUPPORTED, "WordLevel"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]]}}", TS_FORMAT, "unk_id"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0]]}}", TS_FORMAT, "unk_id"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[]}}", TS_FORMAT, "no vocab"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\"]]}}", TS_FORMAT, "a name and a score"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\",1,2]]}}", TS_FORMAT, "a name and a score"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\",1e999]]}}", TS_FORMAT, "a number"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\",\"b\"]]}}", TS_FORMAT, "a number"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":[[\"a\",0]]}}", TS_FORMAT, "no vocab"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\",0]]},\"pre_tokenizer\":{\"type\":"
         "\"ByteLevel\"}}",
         TS_UNSUPPORTED, "ByteLevel of a Unigram"},
        {"{\"model\":{\"type\":\"BPE\",\"merges\":[]}}", TS_FORMAT, "no vocab"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}", TS_FORMAT, "empty"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1}}}", TS_FORMAT, "token id"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":99999999999}}}", TS_FORMAT, "token id"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1.5}}}", TS_FORMAT, "whole number"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", TS_FORMAT, "not in the vocabulary"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"ab\"]}}", TS_FORMAT, "a space between"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}", TS_FORMAT, "two strings"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"unk_token\":\"u\"}}", TS_FORMAT, "unknown token u"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"</w>\"}}", TS_FORMAT,
         "in front of the merges"},
        {"{\"model\":{\"type\":\"BPE\",\"continuing_subword_prefix\":\"##\",\"vocab\":{\"a\":0,\"#\":1},\"merges\":["
         "\"a #\"]}}",
         TS_FORMAT, "not in the vocabulary"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}},\"normalizer\":{\"type\":\"Precompiled\"}}", TS_UNSUPPORTED,
         "normalizer Precompiled"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}}",
         TS_UNSUPPORTED, "BertPreTokenizer"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}},\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":"
         "\"Isolated\",\"pattern\":{\"Regex\":\"(\"}}}",
         TS_INVALID, "regular expression"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}},\"decoder\":{\"type\":\"WordPiece\"}}", TS_UNSUPPORTED,
         "decoder WordPiece"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}},\"post_processor\":{\"type\":\"BertProcessing\"}}",
         TS_FORMAT, "no id for its cls"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}},\"added_tokens\":[{\"id\":3}]}", TS_FORMAT, "added_tokens"},
    };
    (void)state;
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        ts_err err = {0};
        ts_tokenizer *t = ts_tokenizer_new();
        ts_status status = ts_tokenizer_parse_json(t, cases[i].text, strlen(cases[i].text), "t.json", &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].words) || !strstr(err.text, "t.json"))
            fail_msg("%s: %d %s", cases[i].text, (int)status, err.text);
        ts_tokenizer_free(t);
    }
}

static void merges_before_the_vocabulary(void **state) {
    static const char text[] = "{\"model\":{\"merges\":[\"a b\",[\"ab\",\"c\"]],\"vocab\":{\"a\":0,\"b\":1,\"c\":2,"
                               "\"ab\":3,\"abc\":4}}}";
    ts_tokenizer *t = ts_tokenizer_new();
    ts_ids ids = {0};
    ts_err err;
    (void)state;
    assert_ok(ts_tokenizer_parse_json(t, text, strlen(text), "t.json", &err));
    ts_tokenizer_encode(t, "abcabxb", 7, false, &ids, NULL);
    static const int32_t want[] = {4, 3, 1}; /* x has no name and no stand-in: it vanishes */
    assert_int_equal(ids.n, 3);
    assert_memory_equal(ids.items, want, sizeof want);
    ts_ids_release(&ids);
    ts_tokenizer_free(t);
}

/* A folder's own files: the config's names, and the template in the order of precedence. */
static void files_of_a_folder(void **state) {
    static const char json[] = "{\"model\":{\"vocab\":{\"a\":0,\"<e>\":1},\"merges\":[]}}";
    static const char config[] = "{\"bos_token\":null,\"eos_token\":{\"content\":\"<e>\"},\"chat_template\":[{\"name\":"
                                 "\"tool_use\",\"template\":\"T\"},{\"name\":\"default\",\"template\":\"D\"}]}";
    const char *dir = ts_test_dir();
    char *a = ts_path_join(dir, "tokenizer.json"), *b = ts_path_join(dir, "tokenizer_config.json"),
         *c = ts_path_join(dir, "chat_template.jinja");
    ts_tokenizer *t;
    ts_err err;
    (void)state;
    assert_int_equal(ts_tokenizer_open(&t, dir, &err), TS_NOT_FOUND);
    assert_ok(ts_file_write(a, json, strlen(json), &err));
    assert_ok(ts_tokenizer_open(&t, dir, &err));
    assert_null(ts_tokenizer_template(t));
    assert_int_equal(ts_tokenizer_eos(t), -1);
    ts_tokenizer_free(t);
    assert_ok(ts_file_write(b, config, strlen(config), &err));
    assert_ok(ts_tokenizer_open(&t, dir, &err));
    assert_string_equal(ts_tokenizer_template(t), "D");
    assert_int_equal(ts_tokenizer_eos(t), 1);
    assert_int_equal(ts_tokenizer_bos(t), -1);
    ts_tokenizer_free(t);
    assert_ok(ts_file_write(c, "J", 1, &err));
    assert_ok(ts_tokenizer_open(&t, dir, &err));
    assert_string_equal(ts_tokenizer_template(t), "J");
    ts_tokenizer_free(t);
    assert_ok(ts_file_write(b, "{", 1, &err));
    assert_int_equal(ts_tokenizer_open(&t, dir, &err), TS_FORMAT);
    assert_non_null(strstr(err.text, "tokenizer_config.json"));
    free(a);
    free(b);
    free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_tokenizers),
        cmocka_unit_test(variants),
        cmocka_unit_test(ends_around_ends),
        cmocka_unit_test(own_tokenizer_from_gguf),
        cmocka_unit_test(gguf_refusals),
        cmocka_unit_test(bytes_come_back),
        cmocka_unit_test(starts_point_at_the_text),
        cmocka_unit_test(starts_survive_normalising),
        cmocka_unit_test(invalid_utf8_is_a_replacement_character),
        cmocka_unit_test(heap_and_search_agree),
        cmocka_unit_test(unigram_ways_agree),
        cmocka_unit_test(words_or_one_word),
        cmocka_unit_test(a_megabyte_in_one_word),
        cmocka_unit_test(threads_share_one),
        cmocka_unit_test(refusals),
        cmocka_unit_test(merges_before_the_vocabulary),
        cmocka_unit_test(files_of_a_folder),
        cmocka_unit_test(golden_smollm2),
        cmocka_unit_test(golden_smollm2_gguf),
        cmocka_unit_test(golden_gpt2),
        cmocka_unit_test(golden_llama3),
        cmocka_unit_test(golden_qwen3),
        cmocka_unit_test(golden_llama2),
        cmocka_unit_test(golden_mistral),
        cmocka_unit_test(golden_stories),
        cmocka_unit_test(golden_sentencepiece_gguf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
