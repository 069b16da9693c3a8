/* Runs a fuzz target without libFuzzer: each file of the corpus (tests/fuzz/corpus/TARGET/) as it is, then seeded
 * random changes of them for --seconds. Deterministic but for how far it gets. With clang, -DTS_FUZZ=ON builds the same
 * targets for libFuzzer instead. */
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/rand.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *current;
static size_t current_n;

/* A crash leaves its input behind. */
static void on_crash(int sig) {
    FILE *f = fopen("fuzz-crash.bin", "wb");
    if (f) {
        fwrite(current, 1, current_n, f);
        fclose(f);
    }
    signal(sig, SIG_DFL);
    raise(sig);
}

static void mutate(ts_rand *r, ts_buf *b, const ts_buf *seeds, size_t n_seeds) {
    size_t changes = 1 + (size_t)ts_rand_below(r, 6);
    for (size_t i = 0; i < changes; i++) {
        size_t at = b->len ? (size_t)ts_rand_below(r, b->len) : 0;
        size_t span = (size_t)ts_rand_below(r, 64);
        span = TS_MIN(span, b->len - at); /* the macro evaluates its arguments twice */
        const ts_buf *other = &seeds[ts_rand_below(r, n_seeds)];
        switch (ts_rand_below(r, 6)) {
        case 0: /* a bit */
            if (b->len) b->data[at] = (char)(b->data[at] ^ (1 << ts_rand_below(r, 8)));
            break;
        case 1: /* a byte of the interesting kind */
            if (b->len) b->data[at] = "\0\xff\x7f\x80\"\\{}[],:\n"[ts_rand_below(r, 13)];
            break;
        case 2: /* cut the end */
            b->len = at;
            break;
        case 3: /* remove a part */
            if (span) {
                memmove(b->data + at, b->data + at + span, b->len - at - span);
                b->len -= span;
            }
            break;
        case 4: /* a part of another seed */
            if (other->len) {
                size_t from = (size_t)ts_rand_below(r, other->len);
                ts_buf_add(b, other->data + from, TS_MIN(other->len - from, 256));
            }
            break;
        default: /* eight bytes of a large number */
            if (b->len >= at + 8) memset(b->data + at, ts_rand_below(r, 2) ? 0xff : 0x00, 8);
        }
    }
}

static void run(const ts_buf *b) {
    current_n = b->len;
    current = ts_malloc(b->len); /* an exact allocation, so that reading past the end is seen */
    if (b->len) memcpy(current, b->data, b->len);
    LLVMFuzzerTestOneInput(current, current_n);
    free(current);
    current = NULL;
}

int main(int argc, char **argv) {
    double seconds = argc > 2 && strcmp(argv[1], "--seconds") == 0 ? atof(argv[2]) : 3;
    const char *root = getenv("TS_SOURCE_DIR");
    char *dir = ts_printf("%s/tests/fuzz/corpus/%s", root ? root : ".", ts_path_base(argv[0]));
    ts_names names = {0};
    ts_err err;
    ts_buf *seeds = NULL, work = TS_BUF_INIT;
    size_t n = 0, cap = 0, runs = 0;
    ts_rand r;
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    if (ts_dir_list(dir, &names, &err) != TS_OK) fprintf(stderr, "%s: starting from nothing\n", err.text);
    for (size_t i = 0; i < names.n; i++) {
        ts_buf seed = TS_BUF_INIT;
        char *path = ts_path_join(dir, names.items[i]);
        if (ts_file_read(path, 1 << 20, &seed, &err) == TS_OK) TS_PUSH(seeds, n, cap, seed);
        free(path);
    }
    TS_PUSH(seeds, n, cap, (ts_buf)TS_BUF_INIT);
    for (size_t i = 0; i < n; i++)
        run(&seeds[i]);
    ts_rand_seed(&r, 1);
    for (double end = ts_now() + seconds; ts_now() < end; runs++) {
        const ts_buf *seed = &seeds[ts_rand_below(&r, n)];
        ts_buf_reset(&work);
        ts_buf_add(&work, seed->data, seed->len);
        mutate(&r, &work, seeds, n);
        run(&work);
    }
    printf("%zu inputs, %zu changed ones, no crash\n", n, runs);
    for (size_t i = 0; i < n; i++)
        ts_buf_release(&seeds[i]);
    free(seeds);
    ts_buf_release(&work);
    ts_names_release(&names);
    free(dir);
    return 0;
}
