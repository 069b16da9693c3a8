#include "core/engine/optim.h"

#include "core/base/mem.h"
#include "core/base/rand.h"
#include "core/model/tensor.h"
#include "core/work/pool.h"

#include <math.h>
#include <string.h>

/* torch.optim.AdamW's order (torch/optim/adamw.py, single-tensor form):
 *   p -= lr * wd * p;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *   p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 * Work is cut into pieces of fixed size, so the results do not depend on the number of threads. */
enum { PIECE = 1 << 15 };

typedef struct adamw_job {
    float decay, beta1, beta2, one_minus_beta1, one_minus_beta2, step_size, root, eps;
    float *p, *m, *v;
    uint16_t *halves; /* instead of p */
    uint64_t key;
    const float *g;
    size_t n;
} adamw_job;

/* Of the n parameters p, whose gradient and means begin at `from`. */
static void adamw_run(const adamw_job *j, float *restrict p, size_t from, size_t n) {
    float *restrict m = j->m + from, *restrict v = j->v + from;
    const float *restrict g = j->g + from;
    for (size_t k = 0; k < n; k++) {
        m[k] = j->beta1 * m[k] + j->one_minus_beta1 * g[k];
        v[k] = j->beta2 * v[k] + j->one_minus_beta2 * (g[k] * g[k]);
        p[k] = p[k] * j->decay - j->step_size * (m[k] / (sqrtf(v[k]) / j->root + j->eps));
    }
}

static void adamw_piece(void *ctx, size_t i, int worker) {
    (void)worker;
    const adamw_job *j = ctx;
    adamw_run(j, j->p + i * PIECE, i * PIECE, TS_MIN(j->n - i * PIECE, (size_t)PIECE));
}

static void adamw_bf16_piece(void *ctx, size_t i, int worker) {
    (void)worker;
    enum { SPAN = 1 << 10, BY = 4 }; /* a piece is some spans, a span some random numbers of BY elements */
    const adamw_job *j = ctx;
    size_t end = TS_MIN(j->n, (i + 1) * PIECE);
    float p[SPAN];
    for (size_t k = i * PIECE; k < end; k += SPAN) {
        size_t n = TS_MIN(end - k, (size_t)SPAN);
        for (size_t e = 0; e < n; e++)
            p[e] = ts_bf16_to_f32(j->halves[k + e]);
        adamw_run(j, p, k, n);
        for (size_t e = 0; e < n; e += BY) {
            uint64_t random = ts_rand_mix(j->key, (k + e) / BY);
            for (size_t q = e; q < TS_MIN(e + BY, n); q++, random >>= 16)
                j->halves[k + q] = ts_f32_to_bf16_stochastic(p[q], (uint16_t)random);
        }
    }
}

static adamw_job adamw_of(const ts_adamw *o, size_t t, const float *g, float *m, float *v, size_t n) {
    double correct1 = 1 - pow(o->beta1, (double)t), correct2 = 1 - pow(o->beta2, (double)t);
    return (adamw_job){.decay = (float)(1 - o->lr * o->weight_decay),
                       .beta1 = (float)o->beta1,
                       .beta2 = (float)o->beta2,
                       .one_minus_beta1 = (float)(1 - o->beta1),
                       .one_minus_beta2 = (float)(1 - o->beta2),
                       .step_size = (float)(o->lr / correct1),
                       .root = (float)sqrt(correct2),
                       .eps = (float)o->eps,
                       .m = m,
                       .v = v,
                       .g = g,
                       .n = n};
}

void ts_adamw_step(const ts_adamw *o, size_t t, float *p, const float *g, float *m, float *v, size_t n) {
    adamw_job j = adamw_of(o, t, g, m, v, n);
    j.p = p;
    ts_parallel((n + PIECE - 1) / PIECE, adamw_piece, &j);
}

void ts_adamw_step_bf16(const ts_adamw *o, size_t t, uint16_t *p, const float *g, float *m, float *v, size_t n,
                        uint64_t key) {
    adamw_job j = adamw_of(o, t, g, m, v, n);
    j.halves = p;
    j.key = key;
    ts_parallel((n + PIECE - 1) / PIECE, adamw_bf16_piece, &j);
}

typedef struct norm_job {
    const float *g;
    size_t n;
    double sums[64];
} norm_job;

/* Piece i of 64 of the array, whatever its length. */
static void norm_piece(void *ctx, size_t i, int worker) {
    (void)worker;
    norm_job *j = ctx;
    size_t begin = j->n / 64 * i + TS_MIN(i, j->n % 64), end = begin + j->n / 64 + (i < j->n % 64);
    double lanes[8] = {0};
    size_t k = begin;
    for (; k + 8 <= end; k += 8)
        for (size_t e = 0; e < 8; e++)
            lanes[e] += (double)j->g[k + e] * j->g[k + e];
    for (; k < end; k++)
        lanes[0] += (double)j->g[k] * j->g[k];
    j->sums[i] = ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

double ts_grad_norm(const float *g, size_t n) {
    norm_job j = {.g = g, .n = n};
    ts_parallel(64, norm_piece, &j);
    double sum = 0;
    for (size_t i = 0; i < 64; i++)
        sum += j.sums[i];
    return sqrt(sum);
}

double ts_clip_factor(double norm, double max_norm) {
    double factor = max_norm / (norm + 1e-6);
    return factor < 1 ? factor : 1;
}

const char *const ts_schedule_names[] = {"cosine", "linear", "constant", "wsd"};

ts_status ts_schedule_parse(const char *name, ts_schedule *out, ts_err *err) {
    for (size_t i = 0; i < TS_COUNT(ts_schedule_names); i++)
        if (strcmp(name, ts_schedule_names[i]) == 0) {
            *out = (ts_schedule)i;
            return TS_OK;
        }
    return ts_fail(err, TS_INVALID, "schedule '%s' is not known; use cosine, linear, constant or wsd", name);
}

/* transformers' get_cosine_schedule_with_warmup and its siblings. */
double ts_schedule_factor(ts_schedule s, size_t k, size_t steps, size_t warmup) {
    if (k < warmup) return (double)k / (double)warmup;
    double stable = TS_MAX((double)warmup, 0.8 * (double)steps);
    double rest = steps > warmup ? (double)(steps - warmup) : 1, done = (double)(k - warmup) / rest;
    switch (s) {
    case TS_COSINE:
        return k >= steps && steps > 0 ? 0 : TS_MAX(0, 0.5 * (1 + cos(3.14159265358979323846 * done)));
    case TS_LINEAR:
        return TS_MAX(0, 1 - done);
    case TS_CONSTANT:
        return 1;
    case TS_WSD:
        return (double)k <= stable ? 1
                                   : TS_MAX(0, 1 - sqrt(((double)k - stable) / TS_MAX((double)steps - stable, 1e-9)));
    }
    return 1;
}
