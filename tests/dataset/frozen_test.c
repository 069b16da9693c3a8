/* Snapshots by name, the split, saved filters, statistics. */
#include "tests/support.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "dataset/db.h"
#include "dataset/frozen.h"
#include "dataset/query.h"
#include "dataset/split.h"
#include "dataset/stats.h"
#include "dataset/tokens.h"
#include "dataset/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

static ts_text text(const char *s) {
    return (ts_text){s, strlen(s)};
}

static ts_store *new_store(void) {
    ts_store *st = NULL;
    char *ws = ts_path_join(ts_test_dir(), "ws");
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    free(ws);
    return st;
}

static int64_t add(ts_store *st, const char *instruction, const char *output) {
    ts_draft d = {.instruction = text(instruction), .input = text(""), .output = text(output)};
    int64_t id = 0;
    assert_ok(ts_row_add(st, &d, &id, NULL, &err));
    return id;
}

static size_t count(ts_store *st, const char *where) {
    ts_view *v;
    assert_ok(ts_view_new(&v, st, where, NULL, NULL, NULL, &err));
    size_t n = ts_view_count(v);
    ts_view_free(v);
    return n;
}

static void note_ids(void *ctx, int64_t id, ts_frozen_kind kind) {
    static const char signs[TS_FROZEN_KINDS] = "=~>-+";
    ts_buf_printf(ctx, "%c%lld ", signs[kind], (long long)id);
}

/* Names that are taken, are no names, or would be of nothing. */
static void check_refusals(ts_store *st, ts_arena *arena) {
    ts_frozen again;
    assert_int_equal(ts_frozen_make(st, "first", "", 0, 1, NULL, &again, arena, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "already"));
    assert_int_equal(ts_frozen_make(st, "two words", "", 0, 1, NULL, &again, arena, &err), TS_INVALID);
    assert_int_equal(ts_frozen_make(st, "now", "", 0, 1, NULL, &again, arena, &err), TS_INVALID);
    assert_int_equal(ts_frozen_make(st, "none", "status=later", 0, 1, NULL, &again, arena, &err), TS_NOT_FOUND);
}

/* The snapshots as terms of a query. */
static void check_terms(ts_store *st) {
    int64_t counts[TS_FROZEN_KINDS];
    assert_int_equal(count(st, "snapshot:first"), 4);
    assert_int_equal(count(st, "snapshot!=first"), 2);
    assert_int_equal(count(st, "snapshot:second -snapshot:first"), 1);
    size_t at;
    ts_view *v;
    assert_int_equal(ts_view_new(&v, st, "id>0 snapshot:third", NULL, NULL, &at, &err), TS_INVALID);
    assert_int_equal(at, 5);
    assert_non_null(strstr(err.text, "first, same, second"));
    assert_int_equal(ts_view_new(&v, st, "", "snapshot", NULL, NULL, &err), TS_INVALID);
    assert_int_equal(ts_frozen_compare(st, "first", "x", counts, NULL, NULL, NULL, &err), TS_NOT_FOUND);
}

static void check_list(ts_store *st, ts_arena *arena) {
    ts_frozen *list;
    size_t n;
    assert_ok(ts_frozen_delete(st, "same", &err));
    assert_int_equal(ts_frozen_delete(st, "same", &err), TS_NOT_FOUND);
    assert_ok(ts_frozen_list(st, &list, &n, arena, &err));
    assert_int_equal(n, 2);
    assert_string_equal(list[0].query, "status=accepted");
    assert_string_equal(list[1].name, "second");
    assert_int_equal(ts_db_int(st, "SELECT count(*) FROM snapshot_row", 0), 8);
}

static void a_snapshot_is_found_and_compared(void **state) {
    (void)state;
    ts_store *st = new_store();
    ts_arena arena = TS_ARENA_INIT;
    ts_buf ids = TS_BUF_INIT;
    ts_frozen f, again;
    int64_t counts[TS_FROZEN_KINDS], row[6];
    char words[32];
    for (int i = 0; i < 6; i++) {
        snprintf(words, sizeof words, "question %d", i);
        row[i] = add(st, words, "answer");
    }
    assert_ok(ts_rows_set_status(st, row, 4, TS_ACCEPTED, NULL, &err));
    assert_ok(ts_frozen_make(st, "first", "status=accepted", 0, 1, NULL, &f, &arena, &err));
    assert_int_equal(f.rows, 4);
    assert_ok(ts_frozen_make(st, "same", "status=accepted", 0, 7, NULL, &again, &arena, &err));
    assert_string_equal(f.hash, again.hash);
    check_refusals(st, &arena);

    ts_edit e = {TS_OUTPUT, text("changed")};
    assert_ok(ts_row_edit(st, row[1], -1, &e, 1, NULL, &err));
    assert_ok(ts_rows_set_status(st, row + 2, 1, TS_REJECTED, NULL, &err));
    assert_ok(ts_rows_set_status(st, row + 5, 1, TS_ACCEPTED, NULL, &err));
    assert_ok(ts_frozen_compare(st, "first", NULL, counts, note_ids, &ids, NULL, &err));
    assert_string_equal(ids.data, "~2 -3 +6 ");
    assert_int_equal(counts[TS_FROZEN_SAME], 2);
    assert_ok(ts_frozen_make(st, "second", "status=accepted", 0.5, 1, NULL, &f, &arena, &err));
    assert_int_equal(f.valid, 2);
    assert_int_equal(count(st, "split=valid"), 2);
    ts_buf_reset(&ids);
    assert_ok(ts_frozen_compare(st, "second", "first", counts, note_ids, &ids, NULL, &err));
    assert_int_equal(counts[TS_FROZEN_CAME], 1);
    assert_int_equal(counts[TS_FROZEN_LEFT], 1);
    assert_int_equal(counts[TS_FROZEN_CHANGED], 1);
    assert_int_equal(counts[TS_FROZEN_MOVED], 2); /* split there, not split here */

    /* taken back, all is as it was frozen */
    for (int i = 0; i < 3; i++)
        assert_ok(ts_undo(st, 0, NULL, &err));
    assert_ok(ts_frozen_compare(st, "first", NULL, counts, NULL, NULL, NULL, &err));
    assert_int_equal(counts[TS_FROZEN_SAME], 4);
    assert_int_equal(counts[TS_FROZEN_CHANGED] + counts[TS_FROZEN_LEFT] + counts[TS_FROZEN_CAME], 0);

    check_terms(st);
    check_list(st, &arena);
    ts_buf_release(&ids);
    ts_arena_release(&arena);
    ts_store_close(st);
}

/* ---- the split ---- */

enum { ROWS = 400 };

static const struct {
    const char *tag;
    int rows;
} tags[] = {{"rare", 10}, {"health", 40}, {"diet", 100}, {NULL, 250}};

/* Rows of each tag; every fifth has a twin that asks nearly the same, of another tag at times. */
static void fill(ts_store *st, int64_t ids[ROWS]) {
    char words[200];
    int at = 0;
    for (size_t t = 0; t < TS_COUNT(tags); t++)
        for (int i = 0; i < tags[t].rows; i++, at++) {
            int n = at % 5 == 4 ? at - 3 : at;
            snprintf(words, sizeof words, "word%d thing%d place%d name%d colour%d sound%d taste%d time%d%s", n, n * 3,
                     n * 5, n * 7, n * 11, n * 13, n * 17, n * 19, n == at ? "" : " please");
            ids[at] = add(st, words, "answer");
            if (tags[t].tag) assert_ok(ts_rows_tag(st, ids + at, 1, tags[t].tag, true, NULL, &err));
        }
    assert_ok(ts_rows_tag(st, ids + 50, 20, "both", true, NULL, &err));
}

static void each_tag_has_its_share(void **state) {
    (void)state;
    ts_store *st = new_store();
    int64_t ids[ROWS];
    bool out[ROWS], again[ROWS], any_other = false;
    assert_ok(ts_db_run(st, "PRAGMA synchronous=OFF", "be quick", &err));
    fill(st, ids);
    for (uint64_t seed = 1; seed <= 10; seed++) {
        size_t n, n2;
        assert_ok(ts_split_rows(st, ids, ROWS, 0.2, seed, NULL, out, &n, &err));
        assert_int_equal(n, 80);
        int at = 0, total = 0;
        for (size_t t = 0; t < TS_COUNT(tags); t++) {
            int held = 0;
            for (int i = 0; i < tags[t].rows; i++, at++)
                held += out[at];
            int wanted = tags[t].rows / 5;
            if (abs(held - wanted) > 2) /* twins of two tags move one now and then */
                fail_msg("seed %d: %d of %d rows of %s held out", (int)seed, held, tags[t].rows,
                         tags[t].tag ? tags[t].tag : "no tag");
            total += held;
        }
        assert_int_equal(total, 80);
        int both = 0;
        for (int i = 50; i < 70; i++)
            both += out[i];
        assert_true(both >= 3 && both <= 5);
        for (int i = 4; i < ROWS; i += 5) /* twins are on one side */
            assert_int_equal(out[i], out[i - 3]);
        assert_ok(ts_split_rows(st, ids, ROWS, 0.2, seed, NULL, again, &n2, &err));
        assert_memory_equal(out, again, sizeof out);
        assert_ok(ts_split_rows(st, ids, ROWS, 0.2, seed + 100, NULL, again, &n2, &err));
        any_other |= memcmp(out, again, sizeof out) != 0;
    }
    assert_true(any_other);
    size_t n;
    assert_ok(ts_split_rows(st, ids, 2, 0.01, 1, NULL, out, &n, &err));
    assert_int_equal(n, 1); /* at least one */
    assert_ok(ts_split_rows(st, ids, 1, 0.5, 1, NULL, out, &n, &err));
    assert_int_equal(n, 0); /* but one stays */
    ts_store_close(st);
}

/* ---- saved filters ---- */

static void filters_by_name_stand_for_their_query(void **state) {
    (void)state;
    ts_store *st = new_store();
    ts_view *v;
    size_t at;
    add(st, "bread", "flour");
    add(st, "beer @home", "barley");
    add(st, "bread and beer", "grain");
    assert_ok(ts_setting_set(st, "filter.b-1", "bread or beer", &err));
    assert_ok(ts_setting_set(st, "filter.deep", "@b-1 and grain", &err));
    assert_ok(ts_setting_set(st, "filter.all", " ", &err));
    assert_int_equal(count(st, "@b-1"), 3);
    assert_int_equal(count(st, "@b-1 flour"), 1); /* in brackets */
    assert_int_equal(count(st, "not @b-1"), 0);
    assert_int_equal(count(st, "@deep or barley"), 2);
    assert_int_equal(count(st, "@all"), 3);
    assert_int_equal(count(st, "\"@home\""), 1);
    assert_int_equal(ts_view_new(&v, st, "bread @nothing", NULL, NULL, &at, &err), TS_INVALID);
    assert_int_equal(at, 6);
    assert_non_null(strstr(err.text, "no saved filter \"nothing\""));
    assert_ok(ts_setting_set(st, "filter.bad", "id>", &err));
    assert_int_equal(ts_view_new(&v, st, "x or (@bad)", NULL, NULL, &at, &err), TS_INVALID);
    assert_int_equal(at, 6);
    assert_non_null(strstr(err.text, "in the saved filter bad"));
    assert_ok(ts_setting_set(st, "filter.round", "@about @about", &err));
    assert_ok(ts_setting_set(st, "filter.about", "@round or @round", &err));
    assert_int_equal(ts_view_new(&v, st, "@round", NULL, NULL, &at, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "circle"));
    ts_query *q;
    assert_int_equal(ts_query_parse(&q, "@b-1", &at, &err), TS_INVALID); /* without a workspace there are none */
    ts_store_close(st);
}

/* So many rows that all cores search them, each with its own connection. */
static void names_are_known_on_every_core(void **state) {
    (void)state;
    enum { MANY = 20000 };
    ts_store *st = new_store();
    ts_arena arena = TS_ARENA_INIT;
    ts_frozen f;
    int64_t first;
    char words[32];
    assert_ok(ts_db_begin(st, "fill", &err));
    assert_ok(ts_db_next(st, "example", MANY, &first, &err));
    for (int i = 1; i <= MANY; i++) {
        snprintf(words, sizeof words, "row %d %s", i, i % 4 ? "bread" : "beer");
        ts_draft d = {.instruction = text(words), .output = text("a")};
        assert_ok(ts_row_insert(st, i, 0, i, 0, 0, &d, &err));
    }
    assert_ok(ts_db_commit(st, "fill", &err));
    assert_ok(ts_setting_set(st, "filter.drink", "beer or re:/w[i]ne/", &err));
    assert_ok(ts_frozen_make(st, "half", "id<=10000 or id>19000", 0, 1, NULL, &f, &arena, &err));
    assert_int_equal(f.rows, 11000);
    assert_int_equal(count(st, "@drink"), 5000);
    assert_int_equal(count(st, "snapshot:half"), 11000);
    assert_int_equal(count(st, "@drink and snapshot:half -19004"), 2749);
    ts_arena_release(&arena);
    ts_store_close(st);
}

/* ---- statistics ---- */

static void statistics_are_those_of_the_rows(void **state) {
    (void)state;
    ts_store *st = new_store();
    ts_arena arena = TS_ARENA_INIT;
    ts_stats s;
    for (int i = 1; i <= 100; i++) {
        char answer[101] = "";
        memset(answer, 'x', (size_t)i);
        add(st, "\xc3\xa9\xc3\xa9", answer);
    }
    ts_draft d = {.messages =
                      text("[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
                           "{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":"
                           "\"This is the one that is in English and not in any other language of the world\"}]")};
    int64_t id;
    assert_ok(ts_row_add(st, &d, &id, NULL, &err));
    assert_ok(ts_rows_set_status(st, &id, 1, TS_ACCEPTED, NULL, &err));
    assert_ok(ts_rows_tag(st, &id, 1, "x", true, NULL, &err));
    assert_ok(ts_rows_set_rating(st, &id, 1, 4, NULL, &err));
    char *count = ts_printf("INSERT INTO metric(id,tokens) VALUES(%lld,12) ON CONFLICT(id) DO UPDATE SET tokens=12",
                            (long long)id);
    assert_ok(ts_db_run(st, count, "count", &err));
    free(count);
    assert_ok(ts_stats_make(st, "shape=alpaca", NULL, &s, &arena, &err));
    assert_int_equal(s.rows, 100);
    assert_int_equal(s.answer.n, 100);
    assert_int_equal(s.answer.sum, 5050);
    assert_int_equal(s.answer.least, 1);
    assert_int_equal(s.answer.p10, 10);
    assert_int_equal(s.answer.p50, 50);
    assert_int_equal(s.answer.p90, 90);
    assert_int_equal(s.answer.p99, 99);
    assert_int_equal(s.answer.most, 100);
    assert_int_equal(s.prompt.most, 2); /* characters, not bytes */
    assert_int_equal(s.tokens.n, 0);
    assert_int_equal(s.turns.most, 1);
    assert_int_equal(s.n_tags, 0);
    assert_true(s.score != s.score);
    assert_ok(ts_stats_make(st, NULL, NULL, &s, &arena, &err));
    assert_int_equal(s.rows, 101);
    assert_int_equal(s.conversations, 1);
    assert_int_equal(s.by_status[TS_ACCEPTED], 1);
    assert_int_equal(s.rated[4], 1);
    assert_int_equal(s.turns.most, 2);
    assert_int_equal(s.tokens.n, 1);
    assert_int_equal(s.tokens.sum, 12);
    assert_string_equal(s.tags[0].name, "x");
    assert_int_equal(s.n_languages, 2);
    assert_string_equal(s.languages[0].name, "?");
    assert_string_equal(s.languages[1].name, "en");
    assert_int_equal(s.n_origins, 1);
    assert_int_equal(s.origins[0].rows, 101);
    ts_arena_release(&arena);
    ts_store_close(st);
}

static void tokens_are_those_of_the_template(void **state) {
    (void)state;
    ts_store *st = new_store();
    ts_arena arena = TS_ARENA_INIT;
    ts_row row;
    int64_t n, id = add(st, "Say hello", "Hello there.");
    assert_int_equal(ts_tokens_count(st, NULL, &n, &err), TS_NOT_FOUND);
    assert_ok(ts_setting_set(st, "model", ts_test_source("tests/data/tokenizers/bytes"), &err));
    assert_ok(ts_setting_set(st, "template", "chatml", &err));
    assert_ok(ts_tokens_count(st, NULL, &n, &err));
    assert_int_equal(n, 1);
    assert_ok(ts_row_read(st, id, &row, &arena, &err));
    int64_t with = row.tokens;
    assert_true(with > 4);
    assert_ok(ts_tokens_count(st, NULL, &n, &err));
    assert_int_equal(n, 0);                                   /* it was counted */
    assert_ok(ts_setting_set(st, "template", "plain", &err)); /* other words around it, fewer tokens */
    assert_ok(ts_row_read(st, id, &row, &arena, &err));
    assert_int_equal(row.tokens, -1);
    assert_ok(ts_tokens_count(st, NULL, &n, &err));
    assert_ok(ts_row_read(st, id, &row, &arena, &err));
    assert_true(row.tokens > 0 && row.tokens < with);
    ts_edit e = {TS_OUTPUT, text("Hello there, and good morning to you.")};
    assert_ok(ts_row_edit(st, id, -1, &e, 1, NULL, &err));
    assert_ok(ts_tokens_count(st, NULL, &n, &err));
    assert_int_equal(n, 1);
    ts_arena_release(&arena);
    ts_store_close(st);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_is_found_and_compared),      cmocka_unit_test(each_tag_has_its_share),
        cmocka_unit_test(filters_by_name_stand_for_their_query), cmocka_unit_test(names_are_known_on_every_core),
        cmocka_unit_test(statistics_are_those_of_the_rows),      cmocka_unit_test(tokens_are_those_of_the_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
