/* bench_ui [ROWS]: how fast the workbench answers on a large workspace (100,000 rows unless told otherwise) while every
 * core is busy, as when training runs. First paint: from the start of the program's work (workspace opened, queues,
 * first frame) to the first frame, and to the first frame with rows. Key to frame: from a key being there to its frame
 * being drawn. The fake terminal stands in for the real one, so the time a terminal takes to show bytes is not in it.
 */
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/rand.h"
#include "dataset/import.h"
#include "tests/support.h"
#include "tests/tui/screen_driver.h"
#include "tui/browse.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static atomic_bool stop;

/* What a training process does to the machine: all cores, and memory traffic. */
static void *busy(void *arg) {
    size_t n = 4 << 20;
    float *v = ts_calloc(n, sizeof *v);
    (void)arg;
    if (nice(5) == -1) perror("nice");
    while (!atomic_load(&stop))
        for (size_t i = 0; i < n; i++)
            v[i] = v[i] * 0.999f + 1.0f;
    free(v);
    return NULL;
}

static void write_rows(const char *path, int rows) {
    FILE *f = fopen(path, "w");
    ts_rand r;
    ts_assert(f != NULL);
    ts_rand_seed(&r, 1);
    for (int i = 0; i < rows; i++) {
        fprintf(
            f, "{\"instruction\":\"Question %d: how does thing %llu work with word%llu?\",\"input\":\"\",\"output\":\"",
            i, (unsigned long long)ts_rand_below(&r, 1000), (unsigned long long)ts_rand_below(&r, 50000));
        for (int k = 0; k < 60; k++)
            fprintf(f, "word%llu ", (unsigned long long)ts_rand_below(&r, 20000));
        fprintf(f, "\"}\n");
    }
    ts_assert(fclose(f) == 0);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *what, double *v, size_t n) {
    qsort(v, n, sizeof *v, ascending);
    printf("%-34s median %6.2f ms  p95 %6.2f ms  max %6.2f ms  (%zu)\n", what, v[n / 2] * 1e3, v[n * 95 / 100] * 1e3,
           v[n - 1] * 1e3, n);
}

static void time_keys(ts_drive *d, const char *what, const uint32_t *keys, size_t n_keys, size_t n) {
    double *times = ts_calloc(n, sizeof *times);
    for (size_t i = 0; i < n; i++) {
        double begun = ts_now();
        ts_term_fake_key(d->term, keys[i % n_keys]);
        ts_app_step(d->app);
        times[i] = ts_now() - begun;
        if (i % 8 == 7) ts_app_settle(d->app, 30);
    }
    ts_app_settle(d->app, 30);
    report(what, times, n);
    free(times);
}

static void bench_open(ts_drive *d) {
    double begun = ts_now(), first, rows;
    ts_err err;
    d->term = ts_term_fake(120, 40, false, false);
    if (ts_app_new(&d->app, d->ws, d->term, &err) != TS_OK) ts_fatal(err.text);
    ts_app_step(d->app);
    first = ts_now() - begun;
    while (!((struct browse *)d->app->screens[TS_SCREEN_BROWSE])->view) {
        struct pollfd p = {.fd = d->app->wake.read_fd, .events = POLLIN};
        poll(&p, 1, 100);
        ts_wake_clear(&d->app->wake);
        ts_app_step(d->app);
    }
    rows = ts_now() - begun;
    ts_app_settle(d->app, 30);
    printf("%-34s %.2f ms, with rows %.2f ms\n", "first paint", first * 1e3, rows * 1e3);
}

int main(int argc, char **argv) {
    static const uint32_t down[] = {'j'}, page[] = {TS_KEY_PGDN, TS_KEY_PGDN, 'k'}, ends[] = {'G', 'g'},
                          decide[] = {'a', 'x', 'f'};
    int rows = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 100000;
    ts_err err;
    ts_store *st;
    ts_import_file result;
    ts_import_options o = {0};
    ts_drive d = {.w = 120, .h = 40};
    d.ws = ts_path_join(ts_test_dir(), "bench");
    char *file = ts_path_join(ts_test_dir(), "rows.jsonl");
    const char *paths[] = {file};
    write_rows(file, rows);
    if (ts_store_init(d.ws, &err) != TS_OK || ts_store_open(&st, d.ws, "bench", &err) != TS_OK ||
        ts_import(st, paths, 1, &o, NULL, &result, NULL, &err) != TS_OK)
        ts_fatal(err.text);
    ts_store_close(st);
    printf("%d rows, 120x40\n", rows);
    for (int i = 0; i < 3; i++) {
        bench_open(&d);
        if (i < 2) ts_app_free(d.app);
    }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_t threads[64];
    cores = TS_MIN(cores, 64);
    for (long i = 0; i < cores; i++)
        pthread_create(&threads[i], NULL, busy, NULL);
    printf("with %ld busy threads (nice 5):\n", cores);
    time_keys(&d, "j", down, 1, 1000);
    time_keys(&d, "PgDn, k", page, 3, 1000);
    time_keys(&d, "G, g", ends, 2, 400);
    time_keys(&d, "a, x, f", decide, 3, 400);
    atomic_store(&stop, true);
    for (long i = 0; i < cores; i++)
        pthread_join(threads[i], NULL);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("largest resident size: %ld MB (16 MB of it for each busy thread)\n", usage.ru_maxrss / 1024);
    ts_drive_end(&d);
    free(file);
    return 0;
}
