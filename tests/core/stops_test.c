/* Stop texts in a stream that may be cut anywhere. */
#include "core/engine/stops.h"

#include "tests/support.h"

#include <stdlib.h>
#include <string.h>

static const char *const texts[] = {"\n\n", "STOP", "###", "#!"};
static const ts_stops stops = {texts, TS_COUNT(texts)};

/* Every way of cutting a text into two or three pieces gives the same, and nothing is handed out too early. */
static void ends_at(const char *all, const char *want, bool stopped) {
    size_t n = strlen(all);
    for (size_t a = 0; a <= n; a++)
        for (size_t b = a; b <= n; b++) {
            ts_stopping t = {0};
            const size_t cuts[] = {0, a, b, n};
            bool ended = false;
            for (int i = 0; i < 3 && !ended; i++) {
                ended = ts_stops_push(&stops, &t, all + cuts[i], cuts[i + 1] - cuts[i]);
                size_t sure = ts_stops_sure(&stops, &t, false);
                assert_true(sure <= strlen(want));
                assert_true(sure >= t.told);
                t.told = sure;
            }
            assert_int_equal(ended, stopped);
            assert_int_equal(ts_stops_sure(&stops, &t, true), strlen(want));
            assert_memory_equal(ts_buf_str(&t.text), want, strlen(want));
            ts_buf_release(&t.text);
        }
}

static void a_stop_is_found_across_borders(void **state) {
    (void)state;
    ends_at("one\ntwo\n\nthree", "one\ntwo", true);
    ends_at("a#b##c###d", "a#b##c", true);
    ends_at("##!x", "#", true); /* "#!" begins after the first */
    ends_at("STSTOP", "ST", true);
    ends_at("STOP", "", true);
}

static void what_only_began_belongs_to_the_answer(void **state) {
    (void)state;
    ends_at("that is all\n", "that is all\n", false);
    ends_at("STO", "STO", false);
    ends_at("", "", false);
}

static void only_what_may_become_one_is_held_back(void **state) {
    (void)state;
    ts_stopping t = {0};
    assert_false(ts_stops_push(&stops, &t, "abc ST", 6));
    assert_int_equal(ts_stops_sure(&stops, &t, false), 4);
    assert_false(ts_stops_push(&stops, &t, "x", 1));
    assert_int_equal(ts_stops_sure(&stops, &t, false), 7);
    assert_false(ts_stops_push(&stops, &t, "##", 2));
    assert_int_equal(ts_stops_sure(&stops, &t, false), 7);
    ts_buf_release(&t.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_is_found_across_borders),
        cmocka_unit_test(what_only_began_belongs_to_the_answer),
        cmocka_unit_test(only_what_may_become_one_is_held_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
