#include "dataset/vecnear.h"

#include "core/base/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512 };
/* What rounding may take from the cosine of a vector with itself. */
static const float SLACK = 1e-5f;

struct pairing {
    const ts_near_options *o;
    ts_near *out;
    uint32_t *parent;
    float *low; /* of a root: lowest likeness of a pair in its group */
    size_t cap_list, n_list;
};

static bool is_there(const float *v, size_t dims) {
    for (size_t k = 0; k < dims; k++)
        if (v[k] != 0) return true;
    return false;
}

static void centre_and_scale(float *vectors, size_t n, size_t dims) {
    double *mean = ts_calloc(dims, sizeof *mean);
    size_t there = 0;
    bool *has = ts_calloc(n + 1, sizeof *has);
    for (size_t i = 0; i < n; i++) {
        has[i] = is_there(vectors + i * dims, dims);
        there += has[i];
        for (size_t k = 0; k < dims; k++)
            mean[k] += (double)vectors[i * dims + k];
    }
    for (size_t i = 0; i < n; i++) {
        float *v = vectors + i * dims;
        double square = 0;
        for (size_t k = 0; has[i] && k < dims; k++) {
            v[k] -= (float)(there > 2 ? mean[k] / (double)there : 0); /* two alone would be opposites */
            square += (double)v[k] * (double)v[k];
        }
        float scale = square > 0 ? (float)(1 / sqrt(square)) : 0;
        for (size_t k = 0; k < dims; k++)
            v[k] *= scale;
    }
    free(has);
    free(mean);
}

static uint32_t root_of(uint32_t *parent, uint32_t i) {
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static void take_pair(struct pairing *p, uint32_t a, uint32_t b, float likeness) {
    uint32_t x = root_of(p->parent, a), y = root_of(p->parent, b);
    float low = TS_MIN(TS_MIN(p->low[x], p->low[y]), likeness);
    p->parent[TS_MAX(x, y)] = TS_MIN(x, y);
    p->low[TS_MIN(x, y)] = low;
    p->out->best[a] = TS_MAX(p->out->best[a], likeness);
    p->out->best[b] = TS_MAX(p->out->best[b], likeness);
    p->out->pairs++;
    if (p->o->keep_pairs) TS_PUSH(p->out->list, p->n_list, p->cap_list, ((ts_near_pair){a, b, likeness}));
}

static void number_groups(struct pairing *p) {
    ts_near *out = p->out;
    uint32_t *size = ts_calloc(out->n + 1, sizeof *size);
    for (uint32_t i = 0; i < out->n; i++)
        size[root_of(p->parent, i)]++;
    out->largest = out->n ? 1 : 0;
    for (uint32_t i = 0; i < out->n; i++) {
        uint32_t root = root_of(p->parent, i);
        out->removable += root != i;
        if (size[root] < 2) continue;
        if (root == i) out->group[i] = (uint32_t)++out->groups; /* a root is the first of its group */
        out->group[i] = out->group[root];
        out->weakest[out->group[i]] = p->low[root];
        out->largest = TS_MAX(out->largest, (size_t)size[root]);
    }
    free(size);
}

static int by_place(const void *a, const void *b) {
    const ts_near_pair *x = a, *y = b;
    if (x->a != y->a) return x->a < y->a ? -1 : 1;
    return (x->b > y->b) - (x->b < y->b);
}

static void compare_blocks(struct pairing *p, const float *vectors, size_t dims, size_t i, size_t j, float *products) {
    size_t rows = TS_MIN(p->out->n - i, (size_t)BLOCK), columns = TS_MIN(p->out->n - j, (size_t)BLOCK);
    float least = (float)p->o->threshold - SLACK;
    ts_sgemm(false, true, rows, columns, dims, 1, vectors + i * dims, dims, vectors + j * dims, dims, 0, products,
             BLOCK);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = i == j ? r + 1 : 0; c < columns; c++)
            if (products[r * BLOCK + c] >= least)
                take_pair(p, (uint32_t)(i + r), (uint32_t)(j + c), TS_MIN(products[r * BLOCK + c], 1));
}

ts_status ts_near_of_vectors(float *vectors, size_t n, size_t dims, const ts_near_options *options,
                             ts_progress *progress, ts_near *out, ts_err *err) {
    struct pairing p = {.o = options, .out = out};
    ts_status status = TS_OK;
    *out = (ts_near){.n = n, .recall = 1};
    if (n > TS_VECNEAR_MOST)
        return ts_fail(err, TS_LIMIT, "%zu rows are too many to be compared all with all by meaning, %d are the most",
                       n, TS_VECNEAR_MOST);
    out->group = ts_calloc(n + 1, sizeof *out->group);
    out->best = ts_calloc(n + 1, sizeof *out->best);
    out->weakest = ts_calloc(n + 1, sizeof *out->weakest);
    p.parent = ts_calloc(n + 1, sizeof *p.parent);
    p.low = ts_calloc(n + 1, sizeof *p.low);
    float *products = ts_calloc((size_t)BLOCK * BLOCK, sizeof *products);
    for (size_t i = 0; i < n; i++) {
        p.parent[i] = (uint32_t)i;
        p.low[i] = 1;
    }
    centre_and_scale(vectors, n, dims);
    for (size_t i = 0; i < n && status == TS_OK; i += BLOCK) {
        for (size_t j = i; j < n; j += BLOCK)
            compare_blocks(&p, vectors, dims, i, j, products);
        ts_progress_set(progress, (int64_t)TS_MIN(i + BLOCK, n), (int64_t)n);
        if (ts_cancelled(progress)) status = ts_fail(err, TS_CANCELLED, "stopped");
    }
    number_groups(&p);
    if (p.n_list) qsort(out->list, p.n_list, sizeof *out->list, by_place);
    if (status != TS_OK) ts_near_release(out);
    free(products);
    free(p.parent);
    free(p.low);
    return status;
}
