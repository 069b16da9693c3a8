#include "core/engine/fisher.h"

#include "core/base/rand.h"
#include "core/engine/net_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TILE = 256 }; /* rows of a matrix that are worked on at once */

struct ts_fisher {
    const ts_adapter *like;    /* whose matrices */
    uint16_t *(*of)[TS_PROJS]; /* [layers]: bf16 [out, in] in block; NULL: not adapted */
    uint16_t *block;
    size_t n;
    float *tile, *sums; /* [TILE, widest] each */
    double *values;     /* [TILE] */
    uint64_t pass;      /* micro-batches so far: what random rounding is drawn from */
    ts_scratch scratch;
};

size_t ts_fisher_bytes(size_t weights, size_t cols) {
    return weights * sizeof(uint16_t) + 2 * TILE * cols * sizeof(float);
}

static ts_status no_memory(const ts_fisher *f, size_t cols, ts_err *err) {
    return ts_fail(err, TS_NO_MEMORY,
                   "no memory for how much each of the %zu adapted weights matters (%.0f MiB); adapt fewer modules "
                   "(--target-modules q_proj,v_proj), or use --l2-delta, which needs none",
                   f->n, (double)ts_fisher_bytes(f->n, cols) / 1048576);
}

ts_status ts_fisher_new(ts_fisher **out, const ts_adapter *a, ts_err *err) {
    ts_fisher *f = ts_calloc(1, sizeof *f);
    size_t widest = 1;
    ts_status status = TS_OK;
    f->like = a;
    f->of = ts_calloc(a->layers, sizeof *f->of);
    f->values = ts_calloc(TILE, sizeof *f->values);
    for (size_t i = 0; i < a->layers * TS_PROJS; i++) {
        const ts_lora *x = &a->lora[i / TS_PROJS][i % TS_PROJS];
        if (!x->r) continue;
        f->n += x->out * x->in;
        widest = TS_MAX(widest, x->in);
    }
    f->block = ts_try_alloc(f->n, sizeof *f->block);
    f->tile = ts_try_alloc(TILE * widest, sizeof *f->tile);
    f->sums = ts_try_alloc(TILE * widest, sizeof *f->sums);
    if (!f->block || !f->tile || !f->sums) TS_GOTO(no_memory(f, widest, err));
    uint16_t *next = f->block;
    for (size_t i = 0; i < a->layers * TS_PROJS; i++) {
        const ts_lora *x = &a->lora[i / TS_PROJS][i % TS_PROJS];
        if (!x->r) continue;
        f->of[i / TS_PROJS][i % TS_PROJS] = next;
        next += x->out * x->in;
    }
out:
    if (status != TS_OK) {
        ts_fisher_free(f);
        f = NULL;
    }
    *out = f;
    return status;
}

void ts_fisher_free(ts_fisher *f) {
    if (!f) return;
    ts_scratch_release(&f->scratch);
    free(f->of);
    free(f->block);
    free(f->tile);
    free(f->sums);
    free(f->values);
    free(f);
}

float ts_fisher_at(const ts_fisher *f, size_t layer, ts_proj proj, size_t row, size_t col) {
    return ts_bf16_to_f32(f->of[layer][proj][row * f->like->lora[layer][proj].in + col]);
}

/* ---- measuring ---- */

/* Up or down by chance, as far as it is from either; what is not finite stays so. */
static uint16_t rounded(float v, uint32_t draw) {
    uint32_t bits;
    if (!isfinite(v)) return ts_f32_to_bf16(v);
    memcpy(&bits, &v, sizeof bits);
    return (uint16_t)((bits + (draw & 0xffff)) >> 16);
}

/* What the row tasks share: rows of `in` numbers of the tile that begins at weight `at`. */
typedef struct tile_job {
    ts_fisher *f;
    uint16_t *of;
    size_t in;
    uint64_t at;
} tile_job;

static void square_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const tile_job *j = ctx;
    for (size_t k = first * j->in; k < end * j->in; k++)
        j->f->sums[k] += j->f->tile[k] * j->f->tile[k];
}

static void keep_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const tile_job *j = ctx;
    for (size_t k = first * j->in; k < end * j->in; k++)
        j->of[k] = rounded(ts_bf16_to_f32(j->of[k]) + j->f->sums[k], (uint32_t)ts_rand_mix(j->f->pass, j->at + k));
}

/* The gradient of some rows of the matrix, one sequence of the micro-batch after the other. */
void ts_fisher_add(const ts_pass *p, size_t layer, size_t proj, const float *dy, size_t ldy, const float *x) {
    ts_fisher *f = p->fisher;
    const ts_lora *lora = &f->like->lora[layer][proj];
    if (!lora->r) return;
    for (size_t first = 0; first < lora->out; first += TILE) {
        size_t rows = TS_MIN(lora->out - first, (size_t)TILE), in = lora->in;
        uint16_t *of = f->of[layer][proj] + first * in;
        tile_job j = {f, of, in, (uint64_t)(of - f->block)};
        memset(f->sums, 0, rows * in * sizeof *f->sums);
        for (size_t r = 0; r < p->batch->n_runs; r++) {
            const ts_run *run = &p->batch->runs[r];
            ts_product q = {.m = rows, .n = in, .c = f->tile, .ldc = in, .n_terms = 1};
            q.terms[0] = (ts_term){.a = dy + run->first * ldy + first,
                                   .lda = ldy,
                                   .a_trans = true,
                                   .k = run->n,
                                   .b = x + run->first * in,
                                   .row_bytes = in * sizeof(float)};
            ts_products(&q, 1, &p->net->scratch);
            ts_rows(rows, 8, square_rows, &j);
        }
        ts_rows(rows, 8, keep_rows, &j);
    }
}

static ts_status normalise(ts_fisher *f, ts_err *err) {
    double sum = 0;
    for (size_t i = 0; i < f->n; i++)
        sum += (double)ts_bf16_to_f32(f->block[i]);
    if (!isfinite(sum) || sum <= 0)
        return ts_fail(err, TS_INVALID,
                       "the rows of --ewc-data give a gradient that is %s: what they hold cannot be kept by it; choose "
                       "rows with answers that the model knows",
                       isfinite(sum) ? "zero" : "not finite");
    for (size_t i = 0; i < f->n; i++)
        f->block[i] = ts_f32_to_bf16((float)((double)ts_bf16_to_f32(f->block[i]) * ((double)f->n / sum)));
    return TS_OK;
}

/* The backward pass wants an adapter: one of rank 1 on the same matrices, whose B is zero, leaves the base as it is. */
ts_status ts_fisher_measure(ts_fisher *f, ts_net *net, const ts_seq *seqs, size_t n, ts_progress *progress,
                            ts_err *err) {
    const ts_adapter_settings *s = &f->like->settings;
    ts_adapter_settings shape = {.r = 1, .alpha = 1, .targets = s->targets, .exclude = s->exclude};
    ts_adapter *none = NULL, *grad = NULL;
    shape.layers = s->layers;
    shape.layers_pattern = s->layers_pattern;
    memset(f->block, 0, f->n * sizeof *f->block);
    f->pass = 0;
    ts_status status = ts_adapter_make(&none, f->like->model, &shape, 1, err);
    if (status == TS_OK) status = ts_adapter_zero_like(&grad, none, err);
    if (status == TS_OK) status = ts_net_squares(net, none, seqs, n, f, grad, progress, err);
    ts_adapter_free(none);
    ts_adapter_free(grad);
    return status == TS_OK ? normalise(f, err) : status;
}

void ts_fisher_next(ts_fisher *f) {
    f->pass++;
}

/* ---- holding ---- */

/* D becomes F o D; the value of each row is kept apart, so that their sum has one order. */
static void pull_rows(void *ctx, size_t first, size_t end, int worker) {
    (void)worker;
    const tile_job *j = ctx;
    for (size_t i = first; i < end; i++) {
        float *d = j->f->tile + i * j->in;
        const uint16_t *of = j->of + i * j->in;
        double value = 0;
        for (size_t k = 0; k < j->in; k++) {
            float pull = ts_bf16_to_f32(of[k]) * d[k];
            value += (double)(pull * d[k]);
            d[k] = pull;
        }
        j->f->values[i] = value;
    }
}

static ts_term plain(const float *a, size_t lda, size_t k, const float *b, size_t ldb, float scale) {
    return (ts_term){.a = a, .lda = lda, .k = k, .b = b, .row_bytes = ldb * sizeof(float), .scale = scale};
}

/* Rows [first, first + rows) of one matrix; factor: of the gradient, 0: none is wanted. */
static double pull_tile(ts_fisher *f, const ts_lora *x, const ts_lora *g, uint16_t *of, size_t first, size_t rows,
                        float factor) {
    double value = 0;
    const float *b = x->b + first * x->r;
    ts_product d = {.m = rows, .n = x->in, .c = f->tile, .ldc = x->in, .n_terms = 1}, q[2];
    d.terms[0] = plain(b, x->r, x->r, x->a, x->in, x->scale);
    ts_products(&d, 1, &f->scratch);
    ts_rows(rows, 8, pull_rows, &(tile_job){.f = f, .of = of + first * x->in, .in = x->in});
    for (size_t i = 0; i < rows; i++)
        value += f->values[i];
    if (factor == 0) return value;
    float *db = g->b + first * x->r;
    q[0] = (ts_product){.m = rows, .n = x->r, .c = db, .ldc = x->r, .add = db, .ldadd = x->r, .n_terms = 1};
    q[0].terms[0] = plain(f->tile, x->in, x->in, x->a, x->in, factor);
    q[0].terms[0].trans = true;
    q[1] = (ts_product){.m = x->r, .n = x->in, .c = g->a, .ldc = x->in, .add = g->a, .ldadd = x->in, .n_terms = 1};
    q[1].terms[0] = plain(b, x->r, rows, f->tile, x->in, factor);
    q[1].terms[0].a_trans = true;
    ts_products(q, 2, &f->scratch);
    return value;
}

double ts_fisher_pull(ts_fisher *f, const ts_adapter *a, double lambda, double times, ts_adapter *grad) {
    double sum = 0;
    for (size_t i = 0; i < a->layers * TS_PROJS; i++) {
        size_t l = i / TS_PROJS, p = i % TS_PROJS;
        const ts_lora *x = &a->lora[l][p];
        for (size_t first = 0; x->r && first < x->out; first += TILE)
            sum += pull_tile(f, x, &grad->lora[l][p], f->of[l][p], first, TS_MIN(x->out - first, (size_t)TILE),
                             (float)(times * lambda * (double)x->scale));
    }
    return lambda / 2 * sum;
}
