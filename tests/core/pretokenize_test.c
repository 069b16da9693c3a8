/* The words that the pre-split cuts, by hand and for each name of a GGUF file: what BPE sees. Against Hugging Face's
 * they are tested through their ids in tokenizer_test.c. */
#include "core/base/file.h"
#include "core/model/gguf_write.h"
#include "core/model/tokenizer_impl.h"
#include "tests/support.h"

#include <stdlib.h>
#include <string.h>

/* The words of text, each in brackets; t is freed. */
static char *words_of(ts_tokenizer *t, const char *text) {
    ts_scratch s = {0};
    ts_buf b = TS_BUF_INIT;
    s.matchers = ts_calloc(t->n_matchers, sizeof *s.matchers);
    for (size_t i = 0; i < t->n_matchers; i++)
        s.matchers[i] = ts_matcher_new(t->regexes[i]);
    ts_flow_view(&s.a, text, strlen(text), 0);
    ts_normalize_flow(t, &s);
    ts_pretokenize(t, &s);
    for (size_t i = 0; i < s.words.n; i++)
        ts_buf_printf(&b, "[%.*s]", (int)(s.words.items[i].end - s.words.items[i].start),
                      s.a.s + s.words.items[i].start);
    ts_buf_puts(&b, "");
    s.next = t->idle; /* freed with the tokenizer */
    t->idle = ts_calloc(1, sizeof s);
    *t->idle = s;
    ts_tokenizer_free(t);
    return ts_buf_take(&b);
}

static char *words(const char *pre_tokenizer, const char *normalizer, const char *text) {
    char *json = ts_printf("{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"normalizer\":%s,\"pre_tokenizer\":%s}",
                           normalizer ? normalizer : "null", pre_tokenizer);
    ts_tokenizer *t = ts_tokenizer_new();
    ts_err err;
    assert_ok(ts_tokenizer_parse_json(t, json, strlen(json), "test", &err));
    free(json);
    return words_of(t, text);
}

static void check(const char *pre_tokenizer, const char *normalizer, const char *text, const char *want) {
    char *have = words(pre_tokenizer, normalizer, text);
    if (strcmp(have, want) != 0) fail_msg("%s: %s is cut into %s, should be %s", pre_tokenizer, text, have, want);
    free(have);
}

#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"
#define SMOLLM                                                                                                         \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true}," BYTE_LEVEL "]}"

static void gpt2(void **state) {
    (void)state;
    check(BYTE_LEVEL, NULL, "Hello  world, it's 123!!\n\n x", "[Hello][ ][ world][,][ it]['s][ 123][!!][\n\n][ x]");
    check(BYTE_LEVEL, NULL, "trailing   ", "[trailing][   ]");
    check(BYTE_LEVEL, NULL, "I'LL we'll", "[I]['][LL][ we]['ll]");
    check(BYTE_LEVEL, NULL, "caf\xc3\xa9\xe3\x80\x80\xe6\x97\xa5", "[caf\xc3\xa9][\xe3\x80\x80][\xe6\x97\xa5]");
    check(BYTE_LEVEL, NULL, "", "");
    /* U+180E is no white space since Unicode 6.3, whatever PCRE2's \s says */
    check(BYTE_LEVEL, NULL,
          "a \xe1\xa0\x8e"
          "b",
          "[a][ \xe1\xa0\x8e][b]");
}

static void smollm(void **state) {
    (void)state;
    check(SMOLLM, NULL, "in 2024.", "[in][ ][2][0][2][4][.]");
    /* every numeric character: fractions, Roman and Arabic-Indic digits */
    check(SMOLLM, NULL, "a \xc2\xbd \xe2\x85\xa7\xd9\xa3", "[a][ ][\xc2\xbd][ ][\xe2\x85\xa7][\xd9\xa3]");
}

static void behaviours(void **state) {
    static const struct {
        const char *name, *want, *inverted;
    } cases[] = {
        {"Isolated", "[a][-][-][b][-]", "[a][-][-][b][-]"}, {"Removed", "[a][b]", "[-][-][-]"},
        {"Contiguous", "[a][--][b][-]", "[a][--][b][-]"},   {"MergedWithPrevious", "[a-][-][b-]", "[a][-][-b][-]"},
        {"MergedWithNext", "[a][-][-b][-]", "[a-][-][b-]"},
    };
    (void)state;
    for (size_t i = 0; i < TS_COUNT(cases); i++)
        for (int invert = 0; invert < 2; invert++) {
            char *pre =
                ts_printf("{\"type\":\"Split\",\"pattern\":{\"String\":\"-\"},\"behavior\":\"%s\",\"invert\":%s}",
                          cases[i].name, invert ? "true" : "false");
            check(pre, NULL, "a--b-", invert ? cases[i].inverted : cases[i].want);
            free(pre);
        }
}

static void an_empty_match_cuts_nothing_off(void **state) {
    (void)state;
    check("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"x*\"},\"behavior\":\"Isolated\",\"invert\":false}", NULL,
          "axxb", "[a][xx][b]");
}

static void metaspace(void **state) {
    (void)state;
    check("{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"always\",\"split\":true}", NULL, "to  be",
          "[_to][_][_be]");
    check("{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"never\",\"split\":false}", NULL, "to be",
          "[to_be]");
}

static void normalizers_come_first(void **state) {
    (void)state;
    check(BYTE_LEVEL, "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"},{\"type\":\"Strip\"}]}",
          "  To BE ", "[to][ be]");
    check(BYTE_LEVEL, "{\"type\":\"NFC\"}", "e\xcc\x81 x", "[\xc3\xa9][ x]");
}

/* ---- the names that GGUF files have for them ---- */

static ts_tokenizer *named(const char *pre) {
    const char *const tokens[] = {"a", "b"}, *const merges[] = {"a b"};
    char *path = ts_path_join(ts_test_dir(), "t.gguf");
    ts_gguf_writer *w = ts_gguf_writer_new();
    ts_tokenizer *t;
    ts_err err;
    ts_gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4);
    ts_gguf_put_str(w, "tokenizer.ggml.pre", pre, strlen(pre));
    ts_gguf_put_strs(w, "tokenizer.ggml.tokens", tokens, NULL, TS_COUNT(tokens));
    ts_gguf_put_strs(w, "tokenizer.ggml.merges", merges, NULL, 0);
    assert_ok(ts_gguf_write_begin(w, path, &err));
    assert_ok(ts_gguf_write_commit(w, &err));
    ts_gguf_writer_free(w);
    assert_ok(ts_tokenizer_open(&t, path, &err));
    free(path);
    return t;
}

#define SAMPLE "I'LL we'd HTTPServer fooBar 12345 a/b//\n\n  x  \u01c5e\u0301 \u00bd\u0663 caf\u00e9!?\r\n\ttab's"
#define LLAMA3                                                                                                         \
    "[I]['LL][ we]['d][ HTTPServer][ fooBar][ ][123][45][ a][/b][//\n\n][ ][ x][ ][ \u01c5e][\u0301][ ]"               \
    "[\u00bd\u0663][ caf\u00e9][!?\r\n][\ttab]['s]"
#define GPT2                                                                                                           \
    "[I]['][LL][ we]['d][ HTTPServer][ fooBar][ 12345][ a][/][b][//][\n\n ][ x][ ][ \u01c5e][\u0301]"                  \
    "[ \u00bd\u0663][ caf\u00e9][!?][\r\n][\t][tab]['s]"

/* What Hugging Face's tokenizers 0.23.3 cut with the tokenizer.json of a model of that name: SmolLM2, GPT-2, Llama 3
 * and 3.2, Qwen2.5, Mistral Nemo (tekken), gpt-oss (gpt-4o). llama.cpp has phi-2 with gpt-2, and llama3, llama-v3,
 * smaug-bpe and dbrx with llama-bpe (llama-vocab.cpp, the table of tokenizer_pre); of its tekken, whose expression
 * knows only ASCII case, the family's own is taken. `default` is its list of four expressions, one behind the other. */
static void names_of_gguf_files(void **state) {
    static const struct {
        const char *name, *want;
        bool ignore_merges;
    } cases[] = {
        {"smollm",
         "[I]['][LL][ we]['d][ HTTPServer][ fooBar][ ][1][2][3][4][5][ a][/][b][//][\n\n ][ x][ ][ \u01c5e][\u0301][ ]"
         "[\u00bd][\u0663][ caf\u00e9][!?][\r\n][\t][tab]['s]",
         false},
        {"gpt-2", GPT2, false},
        {"phi-2", GPT2, false},
        {"llama-bpe", LLAMA3, true},
        {"llama3", LLAMA3, true},
        {"llama-v3", LLAMA3, true},
        {"smaug-bpe", LLAMA3, false},
        {"dbrx", LLAMA3, false},
        {"qwen2",
         "[I]['LL][ we]['d][ HTTPServer][ fooBar][ ][1][2][3][4][5][ a][/b][//\n\n][ ][ x][ ][ \u01c5\u00e9][ ][\u00bd]"
         "[\u0663][ caf\u00e9][!?\r\n][\ttab]['s]",
         false},
        {"tekken",
         "[I]['LL][ we]['d][ HTTPServer][ foo][Bar][ ][1][2][3][4][5][ a][/b][//\n\n][ ][ x][ ][ \u01c5e\u0301][ ]"
         "[\u00bd][\u0663][ caf\u00e9][!?\r\n][\ttab]['s]",
         true},
        {"gpt-4o",
         "[I'LL][ we'd][ HTTPServer][ foo][Bar][ ][123][45][ a][/b][//\n\n][ ][ x][ ][ \u01c5e\u0301][ ][\u00bd\u0663]"
         "[ caf\u00e9][!?\r\n][\ttab's]",
         false},
        {"default",
         "[I]['][LL][ we]['][d][ HTTPServer][ fooBar][ ][123][45][ a][/][b][//][\n\n ][ x][ ][ \u01c5e][\u0301][ ]"
         "[\u00bd\u0663][ caf\u00e9][!?][\r\n][\t][tab]['][s]",
         false},
    };
    (void)state;
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        ts_tokenizer *t = named(cases[i].name);
        assert_int_equal(t->ignore_merges, cases[i].ignore_merges);
        char *have = words_of(t, SAMPLE);
        if (strcmp(have, cases[i].want) != 0)
            fail_msg("%s cuts\n%s, should be\n%s", cases[i].name, have, cases[i].want);
        free(have);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2),
        cmocka_unit_test(smollm),
        cmocka_unit_test(behaviours),
        cmocka_unit_test(an_empty_match_cuts_nothing_off),
        cmocka_unit_test(metaspace),
        cmocka_unit_test(normalizers_come_first),
        cmocka_unit_test(names_of_gguf_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
