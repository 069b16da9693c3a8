/* What every test program needs: where the tree, the oracles and the real model are, and folders that vanish again. */
#ifndef TS_TESTS_SUPPORT_H
#define TS_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/err.h"

/* Path of a file of the oracles outside the tree (TUNESMITH_SHARED, default ../shared beside the source tree). Skips
 * the running test, with the reason printed, when it is not there. The string lives until the program ends. */
const char *ts_test_shared(const char *relative);
/* Path of the real SmolLM2-135M-Instruct GGUF file; skips when it is not there. */
const char *ts_test_smollm2(void);
/* Path of the program under test (TS_BINARY), which children are started from too; skips when it is not built. */
const char *ts_test_program(void);
/* Path of a file of the source tree. */
const char *ts_test_source(const char *relative);
/* A new empty folder, removed when the program ends. */
const char *ts_test_dir(void);
/* Path of `name` in such a folder. The string lives until the program ends. */
const char *ts_test_path(const char *name);

/* Fails the test with err's text when the call does not give TS_OK. */
#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        ts_status status_ = (call);                                                                                    \
        if (status_ != TS_OK) fail_msg("%s: status %d: %s", #call, (int)status_, err.text);                            \
    } while (0)
/* Fails unless |a - b| <= tolerance (absolute); prints both. NaN fails. */
void assert_near(double a, double b, double tolerance, const char *what);

#endif
