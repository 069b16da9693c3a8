/* Duplicates: the join against every pair compared, the golden counts, keepers, applying; and the split for training.
 */
#include "tests/support.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "core/work/pool.h"
#include "dataset/dedupe.h"
#include "dataset/import.h"
#include "dataset/snapshot.h"
#include "dataset/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

static ts_text text(const char *s) {
    return (ts_text){s, strlen(s)};
}

static ts_store *new_store(void) {
    ts_store *st;
    char *ws = ts_path_join(ts_test_dir(), "ws");
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    free(ws);
    return st;
}

/* Texts of a small vocabulary, so that many are alike; some are copies, some are empty, some share lines. */
static ts_text *random_texts(ts_rand *r, size_t n) {
    ts_text *texts = ts_calloc(n, sizeof *texts);
    for (size_t i = 0; i < n; i++) {
        ts_buf b = TS_BUF_INIT;
        if (i && ts_rand_below(r, 5) == 0) {
            const ts_text *other = &texts[ts_rand_below(r, i)];
            ts_buf_add(&b, other->s, other->n);
            if (ts_rand_below(r, 2)) ts_buf_printf(&b, " w%d", (int)ts_rand_below(r, 30));
        } else {
            if (ts_rand_below(r, 3) == 0) ts_buf_puts(&b, "a line that many have\n");
            for (uint64_t k = ts_rand_below(r, 14); k > 0; k--)
                ts_buf_printf(&b, "w%d ", (int)ts_rand_below(r, 12));
        }
        texts[i] = (ts_text){b.data ? b.data : ts_strdup(""), b.len};
    }
    return texts;
}

static void same_result(const ts_near *a, const ts_near *b) {
    assert_int_equal(a->pairs, b->pairs);
    assert_int_equal(a->groups, b->groups);
    assert_int_equal(a->removable, b->removable);
    assert_int_equal(a->largest, b->largest);
    assert_int_equal(a->lines_skipped, b->lines_skipped);
    for (size_t i = 0; i < a->n; i++) {
        assert_int_equal(a->group[i], b->group[i]);
        assert_true(a->best[i] == b->best[i]);
    }
    for (size_t g = 1; g <= a->groups; g++)
        assert_true(a->weakest[g] == b->weakest[g]);
    for (uint64_t i = 0; i < a->pairs; i++) {
        assert_int_equal(a->list[i].a, b->list[i].a);
        assert_int_equal(a->list[i].b, b->list[i].b);
        assert_true(a->list[i].similarity == b->list[i].similarity);
    }
}

static void join_equals_all_pairs(void **state) {
    (void)state;
    static const double thresholds[] = {0.3, 0.5, 0.7, 0.8, 1};
    ts_rand r;
    ts_rand_seed(&r, 3);
    for (int round = 0; round < 20; round++) {
        size_t n = 1 + ts_rand_below(&r, 300);
        ts_text *texts = random_texts(&r, n);
        ts_near_options o = TS_NEAR_DEFAULTS;
        ts_near fast, slow;
        o.shingle = 1 + round % 3;
        o.threshold = thresholds[round % 5];
        o.common_lines = round % 2 ? 5 : 0;
        o.exact = round % 7 == 6;
        o.keep_pairs = true;
        assert_ok(ts_near_find(texts, n, &o, NULL, &fast, &err));
        assert_ok(ts_near_find_slowly(texts, n, &o, &slow, &err));
        same_result(&fast, &slow);
        ts_near_release(&slow);
        ts_pool_set_threads(round % 2 ? 1 : 3); /* whatever the number of threads */
        assert_ok(ts_near_find(texts, n, &o, NULL, &slow, &err));
        same_result(&fast, &slow);
        ts_pool_set_threads(2);
        ts_near_release(&fast);
        ts_near_release(&slow);
        for (size_t i = 0; i < n; i++)
            free((void *)(uintptr_t)texts[i].s);
        free(texts);
    }
}

/* Real rows recombined: sentences of a pool, some rows copied with words changed, so that similarities lie on both
 * sides of the threshold. */
static ts_text *recombined_texts(ts_rand *r, size_t n) {
    ts_text *texts = ts_calloc(n, sizeof *texts);
    for (size_t i = 0; i < n; i++) {
        ts_buf b = TS_BUF_INIT;
        if (i && ts_rand_below(r, 3) == 0) {
            const ts_text *other = &texts[ts_rand_below(r, i)];
            for (const char *p = other->s; *p;) {
                size_t len = strcspn(p, " ") + 1;
                if (ts_rand_below(r, 30) == 0)
                    ts_buf_printf(&b, "new%d ", (int)ts_rand_below(r, 1000));
                else
                    ts_buf_add(&b, p, len);
                p += len;
            }
        } else {
            for (uint64_t k = 20 + ts_rand_below(r, 60); k > 0; k--)
                ts_buf_printf(&b, "w%d ", (int)ts_rand_below(r, 2000));
        }
        texts[i] = (ts_text){ts_buf_str(&b), b.len};
    }
    return texts;
}

/* New texts against old ones: as many are like an old one as all pairs say. */
static void new_texts_are_compared_with_old_ones(void **state) {
    (void)state;
    ts_rand r;
    ts_rand_seed(&r, 31);
    for (int round = 0; round < 30; round++) {
        size_t n = 2 + ts_rand_below(&r, 200), like = 0;
        ts_text *texts = random_texts(&r, n);
        ts_near_options o = TS_NEAR_DEFAULTS;
        ts_near all, fresh;
        o.common_lines = 0;
        o.keep_pairs = true;
        assert_ok(ts_near_find_slowly(texts, n, &o, &all, &err));
        o.old = 1 + ts_rand_below(&r, n - 1);
        for (size_t i = o.old; i < n; i++) {
            bool found = false;
            for (uint64_t p = 0; p < all.pairs; p++)
                found |= all.list[p].b == i && all.list[p].a < o.old;
            like += found;
        }
        o.search = round % 3 ? TS_NEAR_JOIN : TS_NEAR_AUTO;
        assert_ok(ts_near_find(texts, n, &o, NULL, &fresh, &err));
        assert_int_equal(fresh.like_old, like);
        ts_near_release(&all);
        ts_near_release(&fresh);
        for (size_t i = 0; i < n; i++)
            free((void *)(uintptr_t)texts[i].s);
        free(texts);
    }
}

static bool has_pair(const ts_near *near, uint32_t a, uint32_t b, float similarity) {
    size_t low = 0, high = near->pairs;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const ts_near_pair *p = &near->list[mid];
        if (p->a < a || (p->a == a && p->b < b))
            low = mid + 1;
        else
            high = mid;
    }
    return low < near->pairs && near->list[low].a == a && near->list[low].b == b &&
           near->list[low].similarity == similarity;
}

/* MinHash against the exact join: no pair that the join has not, with the same similarity, and 99 of 100 of its pairs.
 */
static void minhash_finds_what_the_join_finds(void **state) {
    (void)state;
    static const double thresholds[] = {0.5, 0.7, 0.8, 0.9};
    enum { ROWS = 4000 };
    ts_rand r;
    ts_rand_seed(&r, 8);
    ts_text *texts = recombined_texts(&r, ROWS);
    for (size_t t = 0; t < TS_COUNT(thresholds); t++) {
        ts_near_options o = TS_NEAR_DEFAULTS;
        ts_near join, minhash, again;
        o.threshold = thresholds[t];
        o.keep_pairs = true;
        o.search = TS_NEAR_JOIN;
        assert_ok(ts_near_find(texts, ROWS, &o, NULL, &join, &err));
        assert_int_equal(join.search, TS_NEAR_JOIN);
        assert_true(join.recall == 1 && join.pairs > 500);
        o.search = TS_NEAR_MINHASH;
        assert_ok(ts_near_find(texts, ROWS, &o, NULL, &minhash, &err));
        assert_int_equal(minhash.search, TS_NEAR_MINHASH);
        assert_true(minhash.recall >= 0.99 && minhash.uncompared == 0);
        assert_true((double)minhash.pairs >= 0.99 * (double)join.pairs);
        for (uint64_t i = 0; i < minhash.pairs; i++)
            assert_true(has_pair(&join, minhash.list[i].a, minhash.list[i].b, minhash.list[i].similarity));
        ts_pool_set_threads(t % 2 ? 1 : 3);
        assert_ok(ts_near_find(texts, ROWS, &o, NULL, &again, &err));
        same_result(&minhash, &again);
        ts_pool_set_threads(2);
        ts_near_release(&join);
        ts_near_release(&minhash);
        ts_near_release(&again);
    }
    for (size_t i = 0; i < ROWS; i++)
        free((void *)(uintptr_t)texts[i].s);
    free(texts);
}

/* Texts that share every shingle with thousands of others and are like none: the join would compare all with all. */
static void minhash_takes_over_where_all_share_all(void **state) {
    (void)state;
    enum { ROWS = 24000, WORDS = 60, OF = 150 };
    ts_rand r;
    ts_rand_seed(&r, 9);
    ts_text *texts = ts_calloc(ROWS, sizeof *texts);
    for (size_t i = 0; i < ROWS; i++) {
        ts_buf b = TS_BUF_INIT;
        for (int k = 0; k < WORDS; k++)
            ts_buf_printf(&b, "w%d ", (int)ts_rand_below(&r, OF));
        if (i % 100 == 99) { /* and some that are there twice, nearly */
            ts_buf_reset(&b);
            ts_buf_add(&b, texts[i - 1].s, texts[i - 1].n);
            ts_buf_puts(&b, "more");
        }
        texts[i] = (ts_text){ts_buf_str(&b), b.len};
    }
    ts_near_options o = TS_NEAR_DEFAULTS;
    ts_near near;
    o.shingle = 1;
    o.common_lines = 0;
    assert_ok(ts_near_find(texts, ROWS, &o, NULL, &near, &err));
    assert_int_equal(near.search, TS_NEAR_MINHASH);
    assert_int_equal(near.groups, ROWS / 100);
    assert_int_equal(near.removable, ROWS / 100);
    ts_near_release(&near);
    for (size_t i = 0; i < ROWS; i++)
        free((void *)(uintptr_t)texts[i].s);
    free(texts);
}

static void exact_folds_case_and_space(void **state) {
    (void)state;
    const ts_text texts[] = {text("Hello  World"),
                             text(" hello\nworld "),
                             text("hello\xc2\xa0world"),
                             text("hello world!"),
                             text("caf\xc3\xa9"),
                             text("cafe\xcc\x81"),
                             text(""),
                             text("")};
    ts_near_options o = TS_NEAR_DEFAULTS;
    ts_near near;
    o.exact = true;
    assert_ok(ts_near_find(texts, TS_COUNT(texts), &o, NULL, &near, &err));
    assert_int_equal(near.groups, 2);
    assert_int_equal(near.removable, 3);
    assert_int_equal(near.group[0], near.group[2]);
    assert_int_equal(near.group[3], 0);
    assert_int_equal(near.group[4], near.group[5]);
    assert_int_equal(near.group[6], 0); /* nothing is like no other */
    ts_near_release(&near);
}

static void counts_are_the_golden_ones(void **state) {
    (void)state;
    static const struct {
        const char *path;
        bool exact;
        int shingle;
        double threshold, common;
        int64_t groups, pairs, removable, largest, lines;
    } cases[] = {
        /* -1: not stated */
        {"data/llama-factory/alpaca_en_demo.json", true, 2, .7, 5, 13, 15, 14, 3, 0},
        {"data/llama-factory/alpaca_en_demo.json", false, 1, .8, 0, 13, 15, 14, 3, 0},
        {"data/llama-factory/alpaca_en_demo.json", false, 3, .7, 5, 13, 15, 14, 3, -1},
        {"data/gpteacher/roleplay-simple-deduped-roleplay-dataset.json", false, 1, .8, 5, -1, 13, 12, 5, -1},
        {"data/gpteacher/roleplay-simple-deduped-roleplay-dataset.json", false, 2, .7, 5, -1, 7, 7, 3, -1},
        {"data/gpteacher/toolformer-dedupe-only-dataset.json", false, 2, .7, 5, -1, -1, 1488, -1, 26},
        {"data/gpteacher/toolformer-dedupe-only-dataset.json", false, 2, .7, 0, -1, 1249832, 7380, 1141, 0},
    };
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        const char *path = ts_test_shared(cases[i].path);
        ts_store *st = new_store();
        ts_import_file f;
        ts_dedupe_report r;
        ts_dedupe_options o = TS_DEDUPE_DEFAULTS;
        assert_ok(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err));
        o.near.exact = cases[i].exact;
        o.near.shingle = cases[i].shingle;
        o.near.threshold = cases[i].threshold;
        o.near.common_lines = cases[i].common;
        assert_ok(ts_dedupe(st, &o, NULL, NULL, NULL, &r, &err));
        if (cases[i].groups >= 0) assert_int_equal(r.groups, cases[i].groups);
        if (cases[i].pairs >= 0) assert_int_equal(r.pairs, cases[i].pairs);
        assert_int_equal(r.removable, cases[i].removable);
        if (cases[i].largest >= 0) assert_int_equal(r.largest, cases[i].largest);
        if (cases[i].lines >= 0) assert_int_equal(r.lines_skipped, cases[i].lines);
        ts_store_close(st);
    }
}

static int64_t add(ts_store *st, const char *instruction, const char *output) {
    ts_draft d = {.instruction = text(instruction), .input = text(""), .output = text(output)};
    int64_t id = 0;
    assert_ok(ts_row_add(st, &d, &id, NULL, &err));
    return id;
}

static void keeps_one_and_can_be_undone(void **state) {
    (void)state;
    ts_store *st = new_store();
    int64_t a = add(st, "How do I bake bread at home?", "short"),
            b = add(st, "How do I bake bread at home", "a longer answer");
    int64_t other = add(st, "Something else entirely, nothing alike", "x");
    ts_dedupe_options o = TS_DEDUPE_DEFAULTS;
    ts_dedupe_report r;
    ts_arena arena = TS_ARENA_INIT;
    ts_row row;
    o.apply = true;
    o.keep = TS_KEEP_FIRST;
    assert_ok(ts_dedupe(st, &o, NULL, NULL, NULL, &r, &err));
    assert_int_equal(r.done.rows, 1);
    assert_ok(ts_row_read(st, b, &row, &arena, &err));
    assert_int_equal(row.status, TS_REJECTED);
    assert_int_equal(row.dup, 1);
    assert_ok(ts_undo(st, r.done.step, NULL, &err));
    o.keep = TS_KEEP_BEST; /* an accepted row stays before a longer one */
    assert_ok(ts_rows_set_status(st, &a, 1, TS_ACCEPTED, NULL, &err));
    assert_ok(ts_dedupe(st, &o, NULL, NULL, NULL, &r, &err));
    assert_ok(ts_row_read(st, a, &row, &arena, &err));
    assert_int_equal(row.status, TS_ACCEPTED);
    ts_dup_group *groups;
    ts_dup_member *members;
    size_t n;
    assert_ok(ts_dup_groups(st, &groups, &n, &arena, &err));
    assert_int_equal(n, 1);
    assert_ok(ts_dup_members(st, groups[0].id, &members, &n, &arena, &err));
    assert_int_equal(n, 2);
    assert_int_equal(members[0].id, a);
    assert_true(members[0].keep && !members[1].keep);
    assert_ok(ts_row_read(st, other, &row, &arena, &err));
    assert_int_equal(row.dup, 0);
    assert_ok(ts_dedupe(st, &o, NULL, NULL, NULL, &r, &err)); /* rejected rows take no part */
    assert_int_equal(r.removable, 0);
    ts_arena_release(&arena);
    ts_store_close(st);
}

static size_t lines_with(const char *path, const char *words, size_t *lines) {
    ts_buf b = TS_BUF_INIT;
    size_t n = 0;
    assert_ok(ts_file_read(path, 1 << 24, &b, &err));
    *lines = 0;
    for (char *p = b.data; p && *p;) {
        char *end = strchr(p, '\n');
        *end = 0;
        n += strstr(p, words) != NULL;
        (*lines)++;
        p = end + 1;
    }
    ts_buf_release(&b);
    return n;
}

static void split_keeps_near_duplicates_together(void **state) {
    (void)state;
    ts_store *st = new_store();
    char prompt[80];
    for (int i = 0; i < 60; i++) {
        snprintf(prompt, sizeof prompt, "Question number %d about topic %d and word%d", i, i * 7, i * 13);
        add(st, prompt, "an answer");
    }
    for (int i = 0; i < 6; i++) {
        snprintf(prompt, sizeof prompt, "How can I clean the lens of my old camera%s", i % 2 ? " please" : "");
        add(st, prompt, "twin");
    }
    const char *dir = ts_test_dir();
    char *train = ts_path_join(dir, "train.jsonl"), *valid = ts_path_join(dir, "valid.jsonl");
    ts_snapshot snap[3];
    ts_snapshot_options o = {.where = "", .valid_fraction = 0.2, .seed = 1};
    for (uint64_t seed = 1; seed <= 12; seed++) {
        o.seed = seed;
        assert_ok(ts_dataset_write_messages(st, &o, train, valid, NULL, &snap[0], &err));
        assert_int_equal(snap[0].train + snap[0].valid, 66);
        assert_true(snap[0].valid >= 7 && snap[0].valid <= 13);
        size_t lines, twins_train = lines_with(train, "twin", &lines);
        assert_int_equal(lines, snap[0].train);
        size_t twins_valid = lines_with(valid, "twin", &lines);
        assert_int_equal(lines, snap[0].valid);
        assert_true(twins_train == 0 || twins_valid == 0);
        assert_int_equal(twins_train + twins_valid, 6);
    }
    ts_view *v;
    assert_ok(ts_view_new(&v, st, "split=valid", NULL, NULL, NULL, &err));
    assert_int_equal(ts_view_count(v), snap[0].valid);
    ts_view_free(v);
    assert_ok(ts_dataset_write_messages(st, &o, train, valid, NULL, &snap[1], &err));
    assert_string_equal(snap[0].data_hash, snap[1].data_hash);
    o.seed++;
    assert_ok(ts_dataset_write_messages(st, &o, train, valid, NULL, &snap[2], &err));
    assert_string_not_equal(snap[0].data_hash, snap[2].data_hash);
    o.where = NULL; /* status=accepted: none */
    assert_int_equal(ts_dataset_write_messages(st, &o, train, valid, NULL, &snap[2], &err), TS_NOT_FOUND);
    assert_non_null(strstr(err.text, "status=accepted"));
    free(train);
    free(valid);
    ts_store_close(st);
}

static void rows_become_messages(void **state) {
    (void)state;
    ts_buf line = TS_BUF_INIT;
    ts_row row = {
        .instruction = text("Do it"), .input = text("now"), .output = text("Done \"it\""), .system = text("Be brief")};
    ts_row_messages_line(&row, &line);
    assert_string_equal(line.data,
                        "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief\"},{\"role\":\"user\",\"content\":"
                        "\"Do it\\nnow\"},{\"role\":\"assistant\",\"content\":\"Done \\\"it\\\"\"}]}");
    row = (ts_row){.shape = TS_MESSAGES,
                   .messages = text("[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]},"
                                    "{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"c\"},"
                                    "{\"role\":\"assistant\",\"content\":\"d\"}]")};
    ts_buf_reset(&line);
    ts_row_prompt_messages(&row, &line);
    assert_string_equal(line.data, "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
                                   "{\"role\":\"user\",\"content\":\"c\"}]");
    ts_buf_release(&line);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(join_equals_all_pairs),
        cmocka_unit_test(new_texts_are_compared_with_old_ones),
        cmocka_unit_test(minhash_finds_what_the_join_finds),
        cmocka_unit_test(minhash_takes_over_where_all_share_all),
        cmocka_unit_test(exact_folds_case_and_space),
        cmocka_unit_test(counts_are_the_golden_ones),
        cmocka_unit_test(keeps_one_and_can_be_undone),
        cmocka_unit_test(split_keeps_near_duplicates_together),
        cmocka_unit_test(rows_become_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
