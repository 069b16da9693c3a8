#include "core/model/nf4.h"

#include "core/model/model_private.h"
#include "core/work/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { BLOCK = 64, BYTES = 36, NESTED = 256 };

/* ---- one block ---- */

static unsigned code_of(double x) {
    unsigned code = 0;
    for (unsigned step = 8; step; step >>= 1) { /* midpoints rise: how many are below x */
        unsigned at = code + step;
        if (((double)ts_nf4_values[at - 1] + (double)ts_nf4_values[at]) / 2 < x) code = at;
    }
    return code;
}

void ts_nf4_encode(const float *src, void *dst, size_t n) {
    unsigned char *to = dst;
    for (const float *end = src + n; src < end; src += BLOCK, to += BYTES) {
        float a = 0;
        for (size_t i = 0; i < BLOCK; i++)
            a = fmaxf(a, fabsf(src[i]));
        memcpy(to, &a, sizeof a);
        double by = a > 0 ? a : 1;
        for (size_t half = 0; half < 2; half++)
            for (size_t j = 0; j < 16; j++) {
                const float *x = src + half * 32 + j;
                to[4 + half * 16 + j] = (unsigned char)(code_of(x[0] / by) | code_of(x[16] / by) << 4);
            }
    }
}

/* ---- double quantisation ---- */

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Point i of n + 1 equally far apart from .1 to 1, with torch.linspace's roundings: from the nearer end,
 * product and sum rounded once. */
static float point(int i, int n) {
    float step = (1 - .1F) / (float)n;
    return (float)(i < (n + 1) / 2 ? (double).1F + (double)step * i : 1 - (double)step * (n - i));
}

/* bitsandbytes' create_dynamic_map(signed=True, 7 bits of exponent, 8 in all): for each power of ten the middles of 2^e
 * equal intervals of [.1, 1], with both signs; 0 and 1. */
void ts_nf4_nested(float out[256]) {
    size_t n = 0;
    for (int e = 0; e < 7; e++)
        for (int i = 0; i < 1 << e; i++) {
            float v = (float)pow(10, e - 6) * ((point(i, 1 << e) + point(i + 1, 1 << e)) / 2);
            out[n++] = v;
            out[n++] = -v;
        }
    out[n++] = 0;
    out[n++] = 1;
    ts_assert(n == 256);
    qsort(out, n, sizeof *out, by_value);
}

/* Index of the value nearest to x, the lower of two. */
static size_t nearest(const float *values, double x) {
    size_t low = 0, high = 255;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (values[middle] < x)
            low = middle;
        else
            high = middle;
    }
    return x - (double)values[low] <= (double)values[high] - x ? low : high;
}

static float scale_at(const unsigned char *blocks, size_t i) {
    float a;
    memcpy(&a, blocks + i * BYTES, sizeof a);
    return a;
}

void ts_nf4_nest(void *blocks, size_t n, unsigned char *codes) {
    float values[256];
    double sum = 0;
    ts_nf4_nested(values);
    for (size_t i = 0; i < n; i++)
        sum += scale_at(blocks, i);
    float mean = n ? (float)(sum / (double)n) : 0;
    for (size_t first = 0; first < n; first += NESTED) {
        size_t end = TS_MIN(n, first + NESTED);
        float most = 0;
        for (size_t i = first; i < end; i++)
            most = fmaxf(most, fabsf(scale_at(blocks, i) - mean));
        for (size_t i = first; i < end; i++) {
            float rest = scale_at(blocks, i) - mean;
            size_t code = nearest(values, most > 0 ? (double)(rest / most) : 0);
            float product = values[code] * most, a = product + mean; /* two roundings, as there */
            memcpy((unsigned char *)blocks + i * BYTES, &a, sizeof a);
            if (codes) codes[i] = (unsigned char)code;
        }
    }
}

/* ---- a model ---- */

typedef struct matrix_job {
    const ts_weight *from;
    unsigned char *to;
    size_t row_bytes;
    atomic_bool *broken; /* a weight that is not finite */
} matrix_job;

enum { ROWS = 16 };

static void encode_rows(void *ctx, size_t piece, int worker) {
    (void)worker;
    const matrix_job *j = ctx;
    size_t cols = j->from->cols, end = TS_MIN(j->from->rows, (piece + 1) * ROWS);
    float *row = ts_calloc(cols, sizeof *row);
    for (size_t r = piece * ROWS; r < end; r++) {
        ts_weight_rows(j->from, r, 1, row);
        for (size_t i = 0; i < cols; i++)
            if (!isfinite(row[i])) atomic_store(j->broken, true);
        ts_nf4_encode(row, j->to + r * j->row_bytes, cols);
    }
    free(row);
}

static bool is_plain(const ts_weight *w) {
    return w->data && ts_dtype_block(w->type) == 1;
}

static ts_status encode_matrix(const ts_model *m, ts_weight *w, const char *name, size_t layer, unsigned char *to,
                               ts_err *err) {
    atomic_bool broken = false;
    matrix_job j = {w, to, ts_row_bytes(TS_NF4, w->cols), &broken};
    ts_parallel((w->rows + ROWS - 1) / ROWS, encode_rows, &j);
    if (atomic_load(&broken))
        return ts_fail(err, TS_INVALID, "%s: a weight of layer %zu's %s is not finite, so it has no 4-bit form",
                       m->path, layer, name);
    ts_nf4_nest(to, w->rows * (w->cols / BLOCK), NULL);
    ts_model_forget(m, w);
    *w = (ts_weight){TS_NF4, w->rows, w->cols, j.row_bytes, to};
    return TS_OK;
}

static ts_status need_bytes(const ts_model *m, size_t *bytes, ts_err *err) {
    *bytes = 0;
    for (size_t l = 0; l < m->config.layers; l++)
        for (int p = 0; p < TS_PROJS; p++) {
            const ts_weight *w = &m->layer[l].proj[p];
            if (!is_plain(w)) continue;
            if (w->cols % BLOCK)
                return ts_fail(err, TS_UNSUPPORTED,
                               "%s: NF4 has blocks of %d weights, and a row of %s has %zu; use --method lora", m->path,
                               BLOCK, ts_proj_name(&m->config, (ts_proj)p), w->cols);
            *bytes += w->rows * ts_row_bytes(TS_NF4, w->cols);
        }
    return TS_OK;
}

size_t ts_nf4_model_bytes(const ts_model *m) {
    size_t bytes = m->file_bytes;
    for (size_t l = 0; l < m->config.layers; l++)
        for (int p = 0; p < TS_PROJS; p++) {
            const ts_weight *w = &m->layer[l].proj[p];
            if (is_plain(w)) bytes += w->rows * (w->cols * BYTES / BLOCK) - w->rows * w->row_bytes;
        }
    return bytes;
}

ts_status ts_model_to_nf4(ts_model *m, ts_progress *progress, ts_err *err) {
    size_t bytes;
    TS_TRY(need_bytes(m, &bytes, err));
    if (!bytes) return TS_OK;
    void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return ts_fail(err, TS_NO_MEMORY, "%s: no memory for the weights in 4 bits (%zu bytes)", m->path, bytes);
    ts_assert(!m->store->nf4);
    m->store->nf4 = block;
    m->store->nf4_bytes = bytes;
    unsigned char *to = block;
    for (size_t l = 0; l < m->config.layers; l++)
        for (int p = 0; p < TS_PROJS; p++) {
            ts_weight *w = &m->layer[l].proj[p];
            if (!is_plain(w)) continue;
            if (ts_cancelled(progress)) return ts_fail(err, TS_CANCELLED, "cancelled");
            TS_TRY(encode_matrix(m, w, ts_proj_name(&m->config, (ts_proj)p), l, to, err));
            to += w->rows * w->row_bytes;
        }
    return TS_OK;
}
