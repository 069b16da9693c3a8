#include "core/engine/replay.h"

#include "core/base/rand.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_REPLAY = 4 }; /* what the seed is mixed with; 1 to 3: train_private.h */

struct lines {
    ts_buf text;
    struct line {
        const char *s;
        size_t n;
    } * items;
    size_t n, cap;
};

static ts_status read_lines(const char *path, struct lines *out, ts_err *err) {
    TS_TRY(ts_file_read(path, (size_t)1 << 34, &out->text, err));
    const char *end = ts_buf_str(&out->text) + out->text.len;
    for (const char *at = ts_buf_str(&out->text); at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        struct line line = {at, (size_t)((stop ? stop : end) - at)};
        if (strspn(at, " \t\r") < line.n) TS_PUSH(out->items, out->n, out->cap, line);
        at += line.n + 1;
    }
    return TS_OK;
}

static void release(struct lines *l) {
    ts_buf_release(&l->text);
    free(l->items);
}

static void put(ts_out *out, const struct line *line) {
    ts_out_add(out, line->s, line->n);
    ts_out_add(out, "\n", 1);
}

bool ts_replay_wanted(const ts_run_settings *s) {
    return s->replay && *s->replay && s->replay_fraction > 0;
}

void ts_replay_places(size_t train, size_t added, bool *replayed) {
    size_t next = 0;
    for (size_t i = 0; i < train; i++) {
        replayed[i + next] = false;
        for (; next < added && (next + 1) * train <= (i + 1) * added; next++)
            replayed[i + 1 + next] = true;
    }
}

bool *ts_replay_examples(const ts_examples *x, int64_t added) {
    size_t rows = (size_t)x->rows;
    bool *lines = ts_calloc(rows + 1, sizeof *lines), *out = ts_calloc(x->n + 1, sizeof *out);
    if (added > 0 && (size_t)added < rows) ts_replay_places(rows - (size_t)added, (size_t)added, lines);
    for (size_t i = 0; i < x->n; i++)
        out[i] = (size_t)x->lines[i] <= rows && lines[x->lines[i] - 1];
    free(lines);
    return out;
}

ts_status ts_replay_mix(const ts_run_settings *s, const char *train_file, const char *out, int64_t *added,
                        ts_err *err) {
    struct lines train = {0}, general = {0};
    ts_out f = {.fd = -1};
    ts_rand r;
    size_t *order = NULL, next = 0;
    bool *replayed = NULL;
    ts_status status = TS_OK;
    TS_GOTO(read_lines(train_file, &train, err));
    TS_GOTO(read_lines(s->replay, &general, err));
    if (general.n == 0) TS_GOTO(ts_fail(err, TS_INVALID, "--replay: %s holds no rows", s->replay));
    double share = s->replay_fraction / (1 - s->replay_fraction);
    size_t n = TS_MIN(general.n, (size_t)floor(share * (double)train.n + 0.5));
    order = ts_calloc(general.n, sizeof *order);
    for (size_t i = 0; i < general.n; i++)
        order[i] = i;
    ts_rand_seed(&r, ts_rand_mix((uint64_t)s->seed, STREAM_REPLAY));
    ts_rand_permutation(&r, order, general.n);
    TS_GOTO(ts_out_open(&f, out, err));
    replayed = ts_calloc(train.n + n + 1, sizeof *replayed);
    ts_replay_places(train.n, n, replayed);
    for (size_t i = 0; i < train.n + n; i++) {
        put(&f, replayed[i] ? &general.items[order[next]] : &train.items[i - next]);
        next += replayed[i];
    }
    TS_GOTO(ts_out_commit(&f, err));
    *added = (int64_t)next;
out:
    ts_out_drop(&f);
    release(&train);
    release(&general);
    free(order);
    free(replayed);
    return status;
}
