#include "core/engine/gemm.h"

#include "core/work/pool.h"

#include <stdlib.h>
#include <string.h>

/* DEPTH rows of a panel are 192 KiB: they stay in a core's second-level cache while all rows of A pass. STRIP columns
 * of TS_PANEL weight rows are converted at a time before they are transposed, in 16 KiB of the first-level cache. */
enum { DEPTH = 1536, STRIP = 128, MAX_PRODUCTS = 16 };

void ts_scratch_need(ts_scratch *s, size_t floats) {
    floats = (floats + 15) & ~(size_t)15;
    if (s->floats >= floats && s->workers >= ts_pool_threads()) return;
    floats = TS_MAX(floats, s->floats);
    ts_scratch_release(s);
    s->workers = ts_pool_threads();
    s->floats = floats;
    s->data = ts_try_alloc(floats * (size_t)s->workers, sizeof(float));
    if (!s->data) ts_fatal("out of memory: no room for the workers' scratch memory");
}

void ts_scratch_release(ts_scratch *s) {
    free(s->data);
    *s = (ts_scratch){0};
}

/* Rows [k0, k0 + k) and columns [n0, n0 + n) of B as a panel. */
static void pack(const ts_kernels *kn, const ts_term *t, size_t k0, size_t k, size_t n0, size_t n, float *panel,
                 float *strip) {
    const unsigned char *b = t->b;
    if (!t->trans) {
        kn->pack_n(t->type, b + k0 * t->row_bytes, t->row_bytes, k, n0, n, panel);
    } else {
        for (size_t c = 0; c < k; c += STRIP) {
            size_t cols = TS_MIN(k - c, (size_t)STRIP);
            for (size_t r = 0; r < n; r++)
                kn->dequant(t->type, b + (n0 + r) * t->row_bytes, k0 + c, strip + r * STRIP, cols);
            kn->pack_t(strip, STRIP, n, cols, panel + c * TS_PANEL);
        }
    }
    if (t->scale != 0 && t->scale != 1) kn->scale(panel, k * TS_PANEL, t->scale);
}

/* What C starts from; false when the first term shall overwrite it. */
static bool start_c(const ts_kernels *kn, const ts_product *p, size_t m0, size_t m1, size_t n0, size_t n) {
    if (!p->add && !p->bias) return false;
    for (size_t i = m0; i < m1; i++) {
        float *c = p->c + i * p->ldc + n0;
        const float *from = p->add ? p->add + i * p->ldadd + n0 : p->bias + n0;
        if (from != c) memcpy(c, from, n * sizeof *c);
        if (p->add && p->bias) kn->add(c, p->bias + n0, n);
    }
    return true;
}

static void block(const ts_product *p, size_t m0, size_t m1, size_t n0, float *scratch) {
    const ts_kernels *kn = ts_kernels_get();
    size_t n = TS_MIN(p->n - n0, (size_t)TS_PANEL);
    bool add = start_c(kn, p, m0, m1, n0, n);
    float *strip = scratch + DEPTH * TS_PANEL;
    for (size_t i = 0; i < p->n_terms; i++) {
        const ts_term *t = &p->terms[i];
        for (size_t k0 = 0; k0 < t->k; k0 += DEPTH) {
            size_t k = TS_MIN(t->k - k0, (size_t)DEPTH);
            pack(kn, t, k0, k, n0, n, scratch, strip);
            ts_panel call = {.m = m1 - m0,
                             .n = n,
                             .k = k,
                             .a = t->a_trans ? t->a + k0 * t->lda + m0 : t->a + m0 * t->lda + k0,
                             .lda = t->lda,
                             .a_trans = t->a_trans,
                             .b = scratch,
                             .ldb = TS_PANEL,
                             .c = p->c + m0 * p->ldc + n0,
                             .ldc = p->ldc,
                             .add = add};
            kn->panel(&call);
            add = true;
        }
    }
}

typedef struct products_job {
    const ts_product *p;
    size_t n, first[MAX_PRODUCTS + 1], rows[MAX_PRODUCTS], pieces[MAX_PRODUCTS];
    const ts_scratch *scratch;
} products_job;

static void products_task(void *ctx, size_t i, int worker) {
    const products_job *j = ctx;
    size_t q = 0;
    while (i >= j->first[q + 1])
        q++;
    size_t index = i - j->first[q], m0 = index % j->pieces[q] * j->rows[q], n0 = index / j->pieces[q] * TS_PANEL;
    block(&j->p[q], m0, TS_MIN(j->p[q].m, m0 + j->rows[q]), n0, ts_scratch_of(j->scratch, worker));
}

/* Few columns: rows are cut too, so that every thread gets three tasks; pieces stay over 48 rows, because each packs
 * its panel again. */
void ts_products(const ts_product *p, size_t n, ts_scratch *s) {
    ts_assert(n <= MAX_PRODUCTS);
    ts_scratch_need(s, (DEPTH + STRIP) * TS_PANEL);
    products_job j = {.p = p, .n = n, .scratch = s};
    size_t panels = 0;
    for (size_t q = 0; q < n; q++)
        panels += (p[q].n + TS_PANEL - 1) / TS_PANEL;
    size_t want = panels ? ((size_t)ts_pool_threads() * 3 + panels - 1) / panels : 1;
    for (size_t q = 0; q < n; q++) {
        size_t rows = (p[q].m + want - 1) / want;
        rows = TS_MAX((rows + 47) / 48 * 48, 48);
        j.rows[q] = rows;
        j.pieces[q] = (p[q].m + rows - 1) / rows;
        j.first[q + 1] = j.first[q] + j.pieces[q] * ((p[q].n + TS_PANEL - 1) / TS_PANEL);
    }
    ts_parallel(j.first[n], products_task, &j);
}

typedef struct rows_job {
    size_t rows, piece;
    void (*fn)(void *, size_t, size_t, int);
    void *ctx;
} rows_job;

static void rows_task(void *ctx, size_t i, int worker) {
    const rows_job *j = ctx;
    j->fn(j->ctx, i * j->piece, TS_MIN(j->rows, (i + 1) * j->piece), worker);
}

void ts_rows(size_t rows, size_t piece, void (*fn)(void *ctx, size_t first, size_t end, int worker), void *ctx) {
    rows_job j = {rows, piece, fn, ctx};
    ts_parallel((rows + piece - 1) / piece, rows_task, &j);
}
