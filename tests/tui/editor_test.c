#include "tests/support.h"
#include "tui/editor.h"

#include "core/base/rand.h"
#include "core/base/utf8.h"

#include <stdlib.h>
#include <string.h>

static void type(ts_editor *e, const char *s) {
    for (; *s; s++)
        assert_true(ts_editor_key(e, *s == '\n' ? TS_KEY_ENTER : (unsigned char)*s));
}

static void is(const ts_editor *e, const char *text, size_t cursor) {
    assert_string_equal(ts_buf_str(&e->text), text);
    assert_int_equal(e->cursor, cursor);
}

static void test_keys(void **state) {
    (void)state;
    ts_editor e;
    ts_editor_init(&e, "one two", 7, true);
    is(&e, "one two", 7);
    ts_editor_key(&e, TS_CTRL('W'));
    is(&e, "one ", 4);
    ts_editor_key(&e, TS_KEY_HOME);
    type(&e, "x");
    is(&e, "xone ", 1);
    ts_editor_key(&e, TS_CTRL('K'));
    is(&e, "x", 1);
    ts_editor_key(&e, TS_KEY_BACKSPACE);
    ts_editor_key(&e, TS_KEY_BACKSPACE);
    is(&e, "", 0);
    assert_false(ts_editor_key(&e, TS_KEY_ENTER)); /* one line: the owner's key */
    ts_editor_paste(&e, "a\nb", 3);
    is(&e, "a b", 3);
    ts_editor_release(&e);
}

static void test_undo(void **state) {
    (void)state;
    ts_editor e;
    ts_editor_init(&e, "start", 5, false);
    e.cursor = 5;
    type(&e, "abc");
    ts_editor_paste(&e, "long pasted\ntext", 16);
    type(&e, "\n");
    ts_editor_undo(&e);
    ts_editor_undo(&e);
    is(&e, "startabc", 8);
    ts_editor_undo(&e); /* typing without a pause is one step */
    is(&e, "start", 5);
    assert_false(ts_editor_undo(&e));
    assert_true(ts_editor_redo(&e));
    is(&e, "startabc", 8);
    type(&e, "!"); /* a new change ends redo */
    assert_false(ts_editor_redo(&e));
    ts_editor_release(&e);
}

static void test_characters_move_whole(void **state) {
    (void)state;
    const char *text = "a\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7z"; /* a, a family, z */
    ts_editor e;
    ts_editor_init(&e, text, strlen(text), false);
    ts_editor_key(&e, TS_KEY_RIGHT);
    ts_editor_key(&e, TS_KEY_RIGHT);
    assert_int_equal(e.cursor, strlen(text) - 1);
    ts_editor_key(&e, TS_KEY_BACKSPACE);
    is(&e, "az", 1);
    ts_editor_release(&e);
}

static void test_up_and_down_follow_the_screen(void **state) {
    (void)state;
    ts_editor e;
    ts_canvas c = {0};
    ts_canvas_resize(&c, 20, 10);
    ts_editor_init(&e, "a long first line that wraps\nxy\nlast line", 41, false);
    ts_editor_draw(&e, &c, (ts_rect){0, 0, 10, 8}, TS_R_TEXT, true);
    ts_editor_key(&e, TS_KEY_END);
    size_t end = e.cursor;
    ts_editor_key(&e, TS_KEY_UP);
    assert_true(e.cursor < end && e.cursor > 0); /* within the wrapped line */
    ts_editor_key(&e, TS_KEY_PGDN);
    assert_int_equal(e.cursor, 41);
    ts_editor_release(&e);
    ts_canvas_release(&c);
}

/* Any sequence of keys: the text stays a string, the cursor on a boundary, and undoing everything gives the start. */
static void test_random_keys(void **state) {
    (void)state;
    static const uint32_t keys[] = {
        'a',           ' ',          0xe9,         0x4e2d,       TS_KEY_ENTER, TS_KEY_LEFT,
        TS_KEY_RIGHT,  TS_KEY_UP,    TS_KEY_DOWN,  TS_KEY_HOME,  TS_KEY_END,   TS_KEY_BACKSPACE,
        TS_KEY_DELETE, TS_CTRL('K'), TS_CTRL('W'), TS_CTRL('U'), TS_KEY_PGUP,  TS_KEY_PGDN};
    const char *start = "first \xe4\xb8\xad\xe6\x96\x87 line\n\nthird";
    ts_rand r;
    ts_canvas c = {0};
    ts_rand_seed(&r, 3);
    ts_canvas_resize(&c, 12, 5);
    for (int round = 0; round < 60; round++) {
        ts_editor e;
        ts_editor_init(&e, start, strlen(start), false);
        for (int i = 0; i < 200; i++) {
            if (ts_rand_below(&r, 10) == 0)
                ts_editor_undo(&e);
            else
                ts_editor_key(&e, keys[ts_rand_below(&r, TS_COUNT(keys))]);
            assert_true(e.cursor <= e.text.len);
            assert_int_equal(ts_utf8_check(ts_buf_str(&e.text), e.text.len), e.text.len);
            ts_editor_draw(&e, &c, (ts_rect){0, 0, 12, 5}, TS_R_TEXT, true);
        }
        while (ts_editor_undo(&e))
            ;
        assert_string_equal(e.text.data, start);
        ts_editor_release(&e);
    }
    ts_canvas_release(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_undo),
        cmocka_unit_test(test_characters_move_whole),
        cmocka_unit_test(test_up_and_down_follow_the_screen),
        cmocka_unit_test(test_random_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
