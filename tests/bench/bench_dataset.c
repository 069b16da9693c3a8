/* The data set at size: import, opening, pages, filters, duplicates, scores, bulk marks, export. Made rows, fixed seed.
 *
 *   bench_dataset [ROWS]      100,000 unless told otherwise; prints one line per act */
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/rand.h"
#include "core/work/pool.h"
#include "dataset/dedupe.h"
#include "dataset/export.h"
#include "dataset/import.h"
#include "dataset/score.h"
#include "dataset/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static ts_err err;

static void must(ts_status status) {
    if (status == TS_OK) return;
    fprintf(stderr, "bench_dataset: %s\n", err.text);
    exit(1);
}

static void put_words(ts_buf *out, ts_rand *r, uint64_t n) {
    for (; n > 0; n--) {
        uint64_t x = ts_rand_below(r, 1000), word = x * x / 100 + ts_rand_below(r, 10); /* some are frequent */
        ts_buf_printf(out, "w%llu ", (unsigned long long)word);
    }
}

/* Rows of about 420 bytes (as alpaca's 52,002 have); every tenth prompt is close to the one before. */
static void make_file(const char *path, size_t rows) {
    ts_buf all = TS_BUF_INIT, prompt = TS_BUF_INIT, answer = TS_BUF_INIT;
    ts_rand r;
    ts_rand_seed(&r, 1);
    for (size_t i = 0; i < rows; i++) {
        if (i % 10 != 9) ts_buf_reset(&prompt);
        put_words(&prompt, &r, i % 10 == 9 ? 1 : 8 + ts_rand_below(&r, 12));
        ts_buf_reset(&answer);
        put_words(&answer, &r, 30 + ts_rand_below(&r, 50));
        ts_buf_printf(&all, "{\"instruction\": \"%s\", \"input\": \"\", \"output\": \"%s.\"}\n", prompt.data,
                      answer.data);
    }
    must(ts_file_write(path, all.data, all.len, &err));
    printf("%zu rows, %.1f MB\n", rows, (double)all.len / 1e6);
    ts_buf_release(&all);
    ts_buf_release(&prompt);
    ts_buf_release(&answer);
}

static double started;

static void begin(void) {
    started = ts_now();
}

static void report(const char *what, double rows) {
    double s = ts_now() - started;
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("%-34s %9.1f ms", what, s * 1e3);
    if (rows > 0) printf("  %10.0f rows/s", rows / s);
    printf("  (peak so far %ld MB)\n", u.ru_maxrss / 1024);
}

static void first_page(const char *ws) {
    ts_store *st;
    ts_view *v;
    ts_arena arena = TS_ARENA_INIT;
    ts_row rows[40];
    begin();
    must(ts_store_open(&st, ws, "bench", &err));
    must(ts_view_new(&v, st, NULL, NULL, NULL, NULL, &err));
    size_t n = TS_MIN(ts_view_count(v), TS_COUNT(rows));
    must(ts_rows_read(st, ts_view_ids(v), n, rows, &arena, &err));
    report("open, all ids, first 40 rows", 0);
    begin();
    must(ts_rows_read(st, ts_view_ids(v) + ts_view_count(v) - n, n, rows, &arena, &err));
    report("a page of 40 rows", 0);
    ts_view_free(v);
    ts_arena_release(&arena);
    ts_store_close(st);
}

static void filters(ts_store *st, size_t rows) {
    static const char *const queries[] = {"status=accepted", "w1234", "re:/w12\\d\\d w[5-9]/", "words>60",
                                          "output:w77 or tag:x"};
    for (size_t i = 0; i < TS_COUNT(queries); i++) {
        ts_view *v;
        char what[64];
        begin();
        must(ts_view_new(&v, st, queries[i], NULL, NULL, NULL, &err));
        snprintf(what, sizeof what, "filter %s", queries[i]);
        report(what, (double)rows);
        ts_view_free(v);
    }
}

static void bulk(ts_store *st, size_t rows) {
    ts_view *v;
    must(ts_view_new(&v, st, NULL, NULL, NULL, NULL, &err));
    begin();
    must(ts_rows_set_status(st, ts_view_ids(v), ts_view_count(v), TS_ACCEPTED, NULL, &err));
    report("accept all", (double)rows);
    begin();
    must(ts_undo(st, 0, NULL, &err));
    report("undo it", (double)rows);
    begin();
    must(ts_rows_set_status(st, ts_view_ids(v), 1, TS_LATER, NULL, &err));
    report("mark one row", 0);
    ts_view_free(v);
}

static void searches(ts_store *st, size_t rows) {
    ts_dedupe_options o = TS_DEDUPE_DEFAULTS;
    ts_dedupe_report d;
    ts_score_report s;
    o.near.shingle = 3;
    o.near.threshold = 0.8;
    begin();
    must(ts_dedupe(st, &o, NULL, NULL, NULL, &d, &err));
    report("near duplicates, 3 words, .8", (double)rows);
    printf("  %lld pairs, %lld removable\n", (long long)d.pairs, (long long)d.removable);
    o.near.exact = true;
    begin();
    must(ts_dedupe(st, &o, NULL, NULL, NULL, &d, &err));
    report("exact duplicates", (double)rows);
    begin();
    must(ts_score_all(st, NULL, &s, &err));
    report("score", (double)rows);
}

int main(int argc, char **argv) {
    size_t rows = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    char dir[] = "/tmp/bench-dataset-XXXXXX";
    ts_store *st;
    ts_import_file f;
    ts_export_report e;
    ts_export_options all = {.where = ""};
    if (!mkdtemp(dir)) return 1;
    char *ws = ts_path_join(dir, "ws"), *out = ts_path_join(dir, "out.jsonl"), *file = ts_path_join(dir, "rows.jsonl");
    const char *files[1] = {file};
    printf("%d threads\n", ts_pool_threads());
    make_file(file, rows);
    must(ts_store_init(ws, &err));
    must(ts_store_open(&st, ws, "bench", &err));
    begin();
    must(ts_import(st, files, 1, NULL, NULL, &f, NULL, &err));
    report("import", (double)rows);
    ts_store_close(st);
    first_page(ws);
    must(ts_store_open(&st, ws, "bench", &err));
    filters(st, rows);
    searches(st, rows);
    bulk(st, rows);
    begin();
    must(ts_export(st, out, &all, NULL, &e, &err));
    report("export", (double)rows);
    ts_store_close(st);
    must(ts_remove_tree(dir, &err));
    free(ws);
    free(out);
    free(file);
    return 0;
}
