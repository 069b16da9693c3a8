/* Every tests/screens/NAME.script as one test: steps on the workbench without a terminal, frames against NAME.frame. */
#include "core/base/file.h"
#include "tests/support.h"
#include "tests/tui/screen_driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void run_script(void **state) {
    const char *path = *state;
    ts_err err;
    ts_buf script = TS_BUF_INIT;
    ts_drive d = {0};
    int number = 0;
    assert_ok(ts_file_read(path, 1 << 20, &script, &err));
    for (char *line = script.data, *end; line && *line; line = end ? end + 1 : NULL) {
        char where[300];
        end = strchr(line, '\n');
        if (end) *end = 0;
        snprintf(where, sizeof where, "%s:%d", ts_path_base(path), ++number);
        ts_drive_step(&d, line, where);
    }
    ts_drive_end(&d);
    ts_buf_release(&script);
}

int main(void) {
    ts_names names = {0};
    ts_err err;
    struct CMUnitTest *tests = NULL;
    size_t n = 0, cap = 0;
    const char *dir = ts_test_source("tests/screens");
    setenv("TZ", "UTC", 1);
    unsetenv("EDITOR");
    setenv("TUNESMITH_BINARY", "/bin/false", 1); /* a child must not be this test again */
    unsetenv("VISUAL");
    setenv("TUNESMITH_TURNS", ts_test_path("turns"), 1); /* what trains or answers elsewhere is not on these screens */
    if (ts_dir_list(dir, &names, &err) != TS_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (size_t i = 0; i < names.n; i++) {
        size_t len = strlen(names.items[i]);
        if (len < 8 || strcmp(names.items[i] + len - 7, ".script") != 0) continue;
        struct CMUnitTest t = {names.items[i], run_script, NULL, NULL, ts_path_join(dir, names.items[i])};
        TS_PUSH(tests, n, cap, t);
    }
    int failed = _cmocka_run_group_tests("frames", tests, n, NULL, NULL);
    for (size_t i = 0; i < n; i++)
        free(tests[i].initial_state);
    free(tests);
    ts_names_release(&names);
    return failed || n == 0;
}
