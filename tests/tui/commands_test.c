/* The promises of the one table of commands. */
#include "tests/support.h"
#include "tui/commands.h"
#include "tui/keys.h"

#include "core/base/file.h"

#include <stdlib.h>
#include <string.h>

static const unsigned places[] = {TS_IN_DUPS,   TS_IN_SCORES, TS_IN_BROWSE, TS_IN_RECORD,
                                  TS_IN_TYPING, TS_IN_RUNS,   TS_IN_COMPARE};

static void test_rows_are_whole(void **state) {
    (void)state;
    for (int i = 0; i < TS_COMMAND_COUNT; i++) {
        const ts_command *c = &ts_commands[i];
        if (!*c->name || !*c->help || !c->places) fail_msg("command %d lacks a name, help or a place", i);
        if (strlen(c->help) > 44) fail_msg("%s: its help does not fit a row of 80 columns", c->name);
        if (strlen(c->name) > 15) fail_msg("%s: the name is too long for its column", c->name);
        if (strlen(c->keys) > 12) fail_msg("%s: the keys are too long for their column", c->name);
        assert_int_equal(ts_command_named(c->name, strlen(c->name)), i);
        if (c->rank && !*c->hint) fail_msg("%s: a rank without a hint", c->name);
    }
}

static void test_every_key_is_known(void **state) {
    (void)state;
    for (int i = 0; i < TS_COMMAND_COUNT; i++)
        for (const char *k = ts_commands[i].keys; *k;) {
            size_t n = strcspn(k, " ");
            uint32_t key = ts_key_of(k, ts_key_is_span(k, n) ? 1 : n); /* its first key stands for a span */
            char name[16];
            if (key == TS_KEY_NONE) fail_msg("%s: %.*s is no key", ts_commands[i].name, (int)n, k);
            ts_key_name(key, name);
            assert_int_equal(ts_key_of(name, strlen(name)), key);
            k += n + (k[n] == ' ');
        }
}

/* At most one command a key in each place: counted by key, not by the first hit. */
static void test_no_key_twice(void **state) {
    (void)state;
    for (size_t p = 0; p < TS_COUNT(places); p++)
        for (int i = 0; i < TS_COMMAND_COUNT; i++) {
            for (const char *k = ts_command_keys((ts_command_id)i, places[p]); *k;) {
                size_t n = strcspn(k, " ");
                uint32_t key = ts_key_is_span(k, n) ? (unsigned char)k[3] : ts_key_of(k, n);
                ts_command_id first = ts_command_for_key(places[p], key);
                if (first != (ts_command_id)i)
                    fail_msg("%.*s means %s and %s in place %u", (int)n, k, ts_commands[first].name,
                             ts_commands[i].name, places[p]);
                k += n + (k[n] == ' ');
            }
        }
}

/* Digits show screens, and vote on Compare, where the palette, < and > show screens. */
static void test_digits_vote_on_compare(void **state) {
    (void)state;
    assert_int_equal(ts_command_for_key(TS_IN_BROWSE, '5'), TS_DO_SCREEN_COMPARE);
    for (uint32_t key = '1'; key <= '9'; key++)
        assert_int_equal(ts_command_for_key(TS_IN_COMPARE, key), TS_DO_VOTE);
    assert_int_equal(ts_command_for_key(TS_IN_COMPARE, '0'), TS_DO_VOTE_NONE);
    assert_int_equal(ts_command_for_key(TS_IN_COMPARE, '='), TS_DO_VOTE_TIE);
    assert_int_equal(ts_command_for_key(TS_IN_COMPARE, '>'), TS_DO_SCREEN_NEXT);
    assert_true(ts_commands[TS_DO_SCREEN_RUNS].places & TS_IN_COMPARE); /* the palette has it there too */
    assert_string_equal(ts_command_keys(TS_DO_SCREEN_RUNS, TS_IN_COMPARE), "");
}

static void test_hints_fit(void **state) {
    (void)state;
    for (size_t p = 0; p < TS_COUNT(places); p++)
        for (size_t width = 60; width <= 200; width += 20) {
            ts_command_id ids[60];
            size_t n = ts_command_hints(places[p], width, NULL, NULL, ids, TS_COUNT(ids)), used = 1;
            assert_true(n > 2);
            for (size_t i = 0; i < n; i++) {
                char key[16];
                ts_command_key(ids[i], places[p], key);
                assert_true(ts_commands[ids[i]].places & places[p]);
                used += strlen(key) + 1 + strlen(ts_commands[ids[i]].hint) + 2;
            }
            assert_true(used <= width + 2); /* the blanks behind the last one may stand over */
            if (places[p] != TS_IN_TYPING) assert_int_equal(ids[n - 1], TS_DO_PALETTE);
        }
}

/* README carries the table between two marks; `tunesmith keys` prints the same. */
static void test_readme_table(void **state) {
    (void)state;
    ts_err err;
    ts_buf readme = TS_BUF_INIT, table = TS_BUF_INIT;
    assert_ok(ts_file_read(ts_test_source("README.md"), 1 << 20, &readme, &err));
    ts_command_table(&table);
    const char *begin = strstr(readme.data, "<!-- keys -->\n"), *end = strstr(readme.data, "<!-- end keys -->");
    assert_non_null(begin);
    assert_non_null(end);
    begin += strlen("<!-- keys -->\n");
    if ((size_t)(end - begin) != table.len || memcmp(begin, table.data, table.len) != 0)
        fail_msg("README's key table is not the built-in one: sh tests/screens/readme_pictures.sh writes it");
    ts_buf_release(&readme);
    ts_buf_release(&table);
}

/* The pictures are frames of the tests. */
static void test_readme_pictures(void **state) {
    (void)state;
    static const char *const names[] = {"browse", "runs", "compare"};
    ts_err err;
    ts_buf readme = TS_BUF_INIT;
    assert_ok(ts_file_read(ts_test_source("README.md"), 1 << 20, &readme, &err));
    for (size_t i = 0; i < TS_COUNT(names); i++) {
        ts_buf frame = TS_BUF_INIT;
        char *path = ts_printf("tests/screens/readme-%s.frame", names[i]),
             *mark = ts_printf("<!-- frame %s -->\n```text\n", names[i]);
        assert_ok(ts_file_read(ts_test_source(path), 1 << 20, &frame, &err));
        const char *at = strstr(readme.data, mark);
        if (!at || strncmp(at + strlen(mark), frame.data, frame.len) != 0)
            fail_msg("README's picture %s is not current: sh tests/screens/readme_pictures.sh writes it", names[i]);
        free(path);
        free(mark);
        ts_buf_release(&frame);
    }
    ts_buf_release(&readme);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_whole), cmocka_unit_test(test_every_key_is_known),
        cmocka_unit_test(test_no_key_twice),   cmocka_unit_test(test_hints_fit), cmocka_unit_test(test_digits_vote_on_compare),
        cmocka_unit_test(test_readme_table),   cmocka_unit_test(test_readme_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
