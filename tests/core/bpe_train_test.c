#include "core/model/bpe_train.h"

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/rand.h"
#include "core/model/tokenizer_impl.h"
#include "tests/support.h"

#include <stdlib.h>
#include <string.h>

static const char *const specials[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

static ts_bpe_trainer *over(const char *text, size_t n) {
    ts_bpe_trainer *t = ts_bpe_trainer_new(specials, TS_COUNT(specials));
    ts_err err;
    assert_ok(ts_bpe_trainer_add(t, text, n, &err));
    return t;
}

static ts_tokenizer *reopen(const ts_bpe_trainer *t) {
    ts_buf json = TS_BUF_INIT;
    ts_tokenizer *out = ts_tokenizer_new();
    ts_err err;
    ts_bpe_trainer_write(t, &json);
    assert_ok(ts_tokenizer_parse_json(out, json.data, json.len, "what was trained", &err));
    ts_buf_release(&json);
    return out;
}

static void merges_of(const ts_tokenizer *t, ts_buf *out) {
    ts_merge_list merges;
    ts_tokenizer_merges(t, &merges);
    for (size_t i = 0; i < merges.n; i++)
        ts_buf_printf(out, "%s %s\n", ts_tokenizer_token(t, merges.items[i].left),
                      ts_tokenizer_token(t, merges.items[i].right));
    free(merges.items);
}

/* The golden has 4,000 tokens asked for and what there was to merge. */
static void as_hugging_face_trains(void **state) {
    (void)state;
    ts_buf text = TS_BUF_INIT, want = TS_BUF_INIT, got = TS_BUF_INIT;
    ts_ids ids = {0};
    ts_err err;
    assert_ok(ts_file_read(ts_test_source("tests/data/tokenizers/trained.txt"), 1 << 20, &text, &err));
    ts_json *golden = ts_json_read(ts_test_source("tests/data/tokenizers/trained.json"), 1 << 24, &err);
    ts_bpe_trainer *trainer = over(text.data, text.len);
    assert_ok(ts_bpe_trainer_run(trainer, 4000, NULL, &err));
    assert_int_equal(ts_bpe_trainer_size(trainer), (int)ts_json_num(ts_json_get(golden, "size"), 0));
    ts_tokenizer *t = reopen(trainer);
    merges_of(t, &got);
    for (const ts_json *m = ts_json_child(ts_json_get(golden, "merges")); m; m = ts_json_next(m))
        ts_buf_printf(&want, "%s\n", ts_json_str(m, ""));
    assert_string_equal(got.data, want.data);
    ts_tokenizer_encode(t, text.data, text.len, false, &ids, NULL);
    const ts_json *id = ts_json_child(ts_json_get(golden, "ids"));
    for (size_t i = 0; i < ids.n; i++, id = ts_json_next(id))
        assert_int_equal(ids.items[i], (int)ts_json_num(id, -1));
    assert_null(id);
    ts_json_free(golden);
    ts_bpe_trainer_free(trainer);
    ts_tokenizer_free(t);
    ts_ids_release(&ids);
    ts_buf_release(&text);
    ts_buf_release(&want);
    ts_buf_release(&got);
}

/* Few letters make many ties, runs of one letter and tokens that are spelled in two ways. */
static void fast_is_plain(void **state) {
    (void)state;
    ts_rand r;
    ts_err err;
    for (uint64_t seed = 0; seed < 60; seed++) {
        ts_buf text = TS_BUF_INIT, a = TS_BUF_INIT, b = TS_BUF_INIT;
        ts_rand_seed(&r, seed);
        for (size_t i = 0; i < 2000; i++)
            ts_buf_putc(&text, "aaabbc d"[ts_rand_below(&r, seed % 2 ? 4 : 8)]);
        if (seed % 2)
            for (size_t i = 20; i < text.len; i += 5 + ts_rand_below(&r, 20))
                text.data[i] = ' ';
        ts_bpe_trainer *fast = over(text.data, text.len), *plain = over(text.data, text.len);
        assert_ok(ts_bpe_trainer_run(fast, 400 + seed * 5, NULL, &err));
        assert_ok(ts_bpe_trainer_run_plain(plain, 400 + seed * 5, &err));
        ts_bpe_trainer_write(fast, &a);
        ts_bpe_trainer_write(plain, &b);
        assert_string_equal(a.data, b.data);
        ts_bpe_trainer_free(fast);
        ts_bpe_trainer_free(plain);
        ts_buf_release(&text);
        ts_buf_release(&a);
        ts_buf_release(&b);
    }
}

/* In any order of the texts; every text comes back from its ids. */
static void nothing_but_the_words_counts(void **state) {
    (void)state;
    static const char *const texts[] = {"low lower lowest, newer and wider", "the widest and the newest",
                                        "\xff\xfe 7up 77"};
    ts_bpe_trainer *forth = ts_bpe_trainer_new(specials, 3), *back = ts_bpe_trainer_new(specials, 3);
    ts_buf a = TS_BUF_INIT, b = TS_BUF_INIT, text = TS_BUF_INIT;
    ts_ids ids = {0};
    ts_err err;
    for (size_t i = 0; i < 3; i++) {
        assert_ok(ts_bpe_trainer_add(forth, texts[i], strlen(texts[i]), &err));
        assert_ok(ts_bpe_trainer_add(back, texts[2 - i], strlen(texts[2 - i]), &err));
    }
    assert_ok(ts_bpe_trainer_run(forth, 280, NULL, &err));
    assert_ok(ts_bpe_trainer_run(back, 280, NULL, &err));
    ts_bpe_trainer_write(forth, &a);
    ts_bpe_trainer_write(back, &b);
    assert_string_equal(a.data, b.data);
    ts_tokenizer *t = reopen(forth);
    ts_tokenizer_encode(t, texts[0], strlen(texts[0]), true, &ids, NULL);
    ts_tokenizer_decode(t, ids.items, ids.n, false, &text);
    assert_string_equal(text.data, texts[0]);
    assert_true(ids.n < strlen(texts[0]));
    ts_bpe_trainer_free(forth);
    ts_bpe_trainer_free(back);
    ts_tokenizer_free(t);
    ts_ids_release(&ids);
    ts_buf_release(&a);
    ts_buf_release(&b);
    ts_buf_release(&text);
}

static void bounds(void **state) {
    (void)state;
    ts_err err;
    ts_bpe_trainer *t = over("a b c", 5);
    assert_int_equal(ts_bpe_trainer_run(t, 258, NULL, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "259"));
    assert_int_equal(ts_bpe_trainer_run(t, (size_t)TS_TOKEN_IDS_MAX + 1, NULL, &err), TS_LIMIT);
    assert_ok(ts_bpe_trainer_run(t, 1000, NULL, &err)); /* nothing occurs twice */
    assert_int_equal(ts_bpe_trainer_size(t), 259);
    ts_bpe_trainer_free(t);
    t = over("", 0);
    assert_ok(ts_bpe_trainer_run(t, 300, NULL, &err));
    assert_int_equal(ts_bpe_trainer_words(t), 0);
    ts_bpe_trainer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_hugging_face_trains),
        cmocka_unit_test(fast_is_plain),
        cmocka_unit_test(nothing_but_the_words_counts),
        cmocka_unit_test(bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
