/* Random keys, pastes, clicks and sizes on the whole workbench: it neither crashes nor hangs, no control character
 * reaches a cell, the cursor stays on the screen, and undoing everything brings the data set back to its first hash.
 * TS_RANDOM_KEYS=20000 for a long run. */
#include "core/base/file.h"
#include "core/base/rand.h"
#include "tests/support.h"
#include "tests/tui/screen_driver.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Everything but what starts other programs (E, ^O, ^Z), quits (Q, q twice, ^C) or writes files (w). */
static const uint32_t keys[] = {
    'a',
    'x',
    'f',
    'r',
    '3',
    '#',
    'u',
    'j',
    'k',
    'A',
    'K',
    'C',
    'Y',
    'D',
    'i',
    'g',
    'G',
    'z',
    'o',
    'O',
    '/',
    'n',
    'N',
    '&',
    'v',
    '*',
    ' ',
    'e',
    't',
    '1',
    '4',
    '5',
    'T',
    'L',
    'S',
    'd',
    'p',
    ']',
    '[',
    '?',
    ':',
    'y',
    '+',
    'R',
    'h',
    'l',
    'b',
    '=',
    'i',
    's',
    0x4e2d,
    0xe9,
    TS_KEY_TAB,
    TS_KEY_BACKTAB,
    TS_KEY_ENTER,
    TS_KEY_ENTER,
    TS_KEY_ESC,
    TS_KEY_ESC,
    TS_KEY_ESC,
    TS_KEY_UP,
    TS_KEY_DOWN,
    TS_KEY_PGDN,
    TS_KEY_PGUP,
    TS_KEY_HOME,
    TS_KEY_END,
    TS_KEY_LEFT,
    TS_KEY_RIGHT,
    TS_KEY_BACKSPACE,
    TS_KEY_DELETE,
    TS_KEY_F1,
    4,
    21,
    19,
    31,
    18,
    TS_KEY_ALT | 'r',
    TS_KEY_ALT | 'x',
};

static void check_frame(ts_drive *d) {
    const ts_canvas *c = ts_term_fake_frame(d->term);
    assert_true(c->cursor_x >= 0 && c->cursor_x < c->w && c->cursor_y >= 0 && c->cursor_y < c->h);
    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++) {
            const unsigned char *s = (const unsigned char *)ts_canvas_at(c, x, y)->text;
            assert_true(*s == 0 ? ts_canvas_at(c, x, y)->width == 0 : *s >= 0x20 && *s != 0x7f);
            assert_false(s[0] == 0xc2 && s[1] < 0xa0); /* C1 */
        }
}

static void random_event(ts_drive *d, ts_rand *r) {
    static const char nasty[] = "\x1b[2Jq\xff\xe2\x80\xae\n\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7";
    uint64_t what = ts_rand_below(r, 100);
    if (what < 2)
        ts_term_fake_resize(d->term, 20 + (int)ts_rand_below(r, 120), 5 + (int)ts_rand_below(r, 45));
    else if (what < 4)
        ts_term_fake_paste(d->term, nasty, sizeof nasty - 1);
    else if (what < 6)
        ts_term_fake_click(d->term, (int)ts_rand_below(r, 100), (int)ts_rand_below(r, 30), what == 5);
    else if (what < 8)
        ts_term_fake_wheel(d->term, (int)ts_rand_below(r, 100), (int)ts_rand_below(r, 30), what == 6 ? 3 : -3);
    else
        ts_term_fake_key(d->term, keys[ts_rand_below(r, TS_COUNT(keys))]);
}

static void get_hash(const char *ws, char out[33]) {
    ts_err err;
    ts_store *st;
    assert_ok(ts_store_open(&st, ws, "test", &err));
    assert_ok(ts_store_hash(st, out, &err));
    ts_store_close(st);
}

static void undo_everything(const char *ws) {
    ts_err err;
    ts_store *st;
    ts_done done;
    ts_status status;
    assert_ok(ts_store_open(&st, ws, "test", &err));
    while ((status = ts_undo(st, 0, &done, &err)) == TS_OK)
        ;
    assert_int_equal(status, TS_NOT_FOUND);
    ts_store_close(st);
}

static void test_random_keys(void **state) {
    (void)state;
    const char *asked = getenv("TS_RANDOM_KEYS");
    int steps = asked ? (int)strtol(asked, NULL, 10) : 400;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        ts_drive d = {.mono = seed == 2, .ascii = seed == 3};
        ts_rand r;
        char before[33], after[33];
        ts_rand_seed(&r, seed);
        ts_drive_step(&d, "resize 80x24", "random keys");
        get_hash(d.ws, before);
        ts_drive_step(&d, "import samples/helpdesk.jsonl", "random keys");
        ts_drive_add_run(d.ws, 1, 40, 102, "crashed", "made up");
        ts_drive_open(&d);
        for (int i = 0; i < steps; i++) {
            random_event(&d, &r);
            d.app->quit = d.app->suspend = false;    /* the palette reaches every command */
            if (ts_rand_below(&r, 3) == 0) continue; /* some keys come faster than the answers */
            assert_true(ts_app_settle(d.app, 60));
            check_frame(&d);
        }
        assert_true(ts_app_settle(d.app, 60));
        char *ws = ts_strdup(d.ws);
        ts_drive_end(&d);
        undo_everything(ws);
        get_hash(ws, after);
        assert_string_equal(before, after);
        free(ws);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_keys)};
    setenv("TUNESMITH_MODELS", "/nonexistent", 1);
    setenv("VISUAL", "true", 1);
    setenv("TUNESMITH_BINARY", "/bin/false", 1); /* a child must not be this test again */
    char *source = ts_path_absolute(ts_test_source("."));
    setenv("TS_SOURCE_DIR", source, 1);
    free(source);
    if (chdir(ts_test_dir()) != 0) return 1; /* exports with made-up names land here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
