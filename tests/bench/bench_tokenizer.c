/* Loading and encoding speed of a tokenizer: bench_tokenizer MODEL [TEXT-FILE]. Medians of five. */
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/model/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 5 };

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v) {
    qsort(v, ROUNDS, sizeof *v, by_value);
    return v[ROUNDS / 2];
}

static double time_load(const char *model, ts_tokenizer **t) {
    double seconds[ROUNDS];
    ts_err err;
    for (int i = 0; i < ROUNDS; i++) {
        double start = ts_now();
        ts_tokenizer_free(*t);
        if (ts_tokenizer_open(t, model, &err) != TS_OK) {
            fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
        seconds[i] = ts_now() - start;
    }
    return median(seconds);
}

static double time_encode(const ts_tokenizer *t, const ts_buf *text, size_t *tokens) {
    double seconds[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        ts_ids ids = {0};
        double start = ts_now();
        ts_tokenizer_encode(t, ts_buf_str(text), text->len, false, &ids, NULL);
        seconds[i] = ts_now() - start;
        *tokens = ids.n;
        ts_ids_release(&ids);
    }
    return median(seconds);
}

int main(int argc, char **argv) {
    const char *file = argc > 2 ? argv[2] : "samples/helpdesk.jsonl";
    ts_tokenizer *t = NULL;
    ts_buf text = TS_BUF_INIT;
    ts_err err;
    size_t tokens;
    if (argc < 2 || ts_file_read(file, (size_t)1 << 30, &text, &err) != TS_OK) {
        fprintf(stderr, "usage: bench_tokenizer MODEL [TEXT-FILE]\n");
        return 2;
    }
    double load = time_load(argv[1], &t), encode = time_encode(t, &text, &tokens);
    printf("%s: load %.1f ms; encode %.1f MB, %zu tokens: %.1f MB/s\n", ts_tokenizer_kind(t), load * 1e3,
           (double)text.len / 1e6, tokens, (double)text.len / 1e6 / encode);
    ts_tokenizer_free(t);
    ts_buf_release(&text);
    return 0;
}
