/* make_tiny_model FILE.gguf: the tests' tiny random model, for scripts that need one. */
#include "tests/support.h"
#include "tests/tiny_model.h"

static const char *path;

static void make(void **state) {
    (void)state;
    ts_tiny_gguf(path, NULL);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(make)};
    if (argc != 2) return 2;
    path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
