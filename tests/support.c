#include "tests/support.h"

#include "core/base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static ts_arena strings; /* paths handed to tests: they live until the program ends */

static char *path_join(const char *dir, const char *name) {
    return ts_arena_printf(&strings, "%s/%s", dir, name);
}

static const char *source_dir(void) {
    const char *dir = getenv("TS_SOURCE_DIR");
    return dir ? dir : ".";
}

static const char *need(const char *path, const char *what) {
    if (!ts_file_exists(path)) {
        print_message("skipped: %s (%s is not there)\n", what, path);
        skip();
    }
    return path;
}

const char *ts_test_shared(const char *relative) {
    const char *root = getenv("TUNESMITH_SHARED");
    const char *fallback = path_join(source_dir(), "../shared");
    return need(path_join(root ? root : fallback, relative), "needs the oracle files of TUNESMITH_SHARED");
}

const char *ts_test_smollm2(void) {
    const char *models = getenv("TUNESMITH_MODELS"), *home = getenv("HOME");
    const char *root = models ? ts_arena_printf(&strings, "%s", models)
                              : ts_arena_printf(&strings, "%s/.cache/tunesmith/models", home ? home : "");
    return need(path_join(root, "smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf"),
                "needs the real model; samples/quickstart.sh fetches it");
}

const char *ts_test_program(void) {
    const char *binary = getenv("TS_BINARY");
    if (!binary || access(binary, X_OK) != 0) {
        print_message("skipped: TS_BINARY names no program\n");
        skip();
    }
    setenv("TUNESMITH_BINARY", binary, 1);
    return binary;
}

const char *ts_test_source(const char *relative) {
    return path_join(source_dir(), relative);
}

static char temp_dir[64];

static void remove_temp_dir(void) {
    ts_err err;
    if (ts_remove_tree(temp_dir, &err) != TS_OK) fprintf(stderr, "%s\n", err.text);
}

const char *ts_test_dir(void) {
    static int made;
    if (!made) {
        snprintf(temp_dir, sizeof temp_dir, "/tmp/tunesmith-test-XXXXXX");
        ts_assert(mkdtemp(temp_dir) != NULL);
        atexit(remove_temp_dir);
        setenv("TUNESMITH_TURNS", ts_arena_printf(&strings, "%s/turns", temp_dir), 0); /* tests run beside each other */
    }
    const char *dir = ts_arena_printf(&strings, "%s/%d", temp_dir, ++made);
    ts_err err;
    ts_assert(ts_mkdirs(dir, &err) == TS_OK);
    return dir;
}

const char *ts_test_path(const char *name) {
    return path_join(ts_test_dir(), name);
}

void assert_near(double a, double b, double tolerance, const char *what) {
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%s: %.9g against %.9g, apart by %.3g, allowed %.3g", what, a, b, fabs(a - b), tolerance);
}
