#include "core/model/adapter_combine.h"

#include "core/model/adapter_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const ts_combine_names[TS_COMBINE_HOWS + 1] = {"cat", "linear", "svd", NULL};

/* ---- the strongest directions of a product ---- */

/* The columns of m [rows, n] made orthonormal in place (Gram-Schmidt, twice); r [n, n]: what they are made of. A column
 * that depends on those before it becomes 0. */
static void orthonormal(double *m, size_t rows, size_t n, double *r) {
    memset(r, 0, n * n * sizeof *r);
    for (size_t j = 0; j < n; j++) {
        double before = 0, left = 0;
        for (size_t i = 0; i < rows; i++)
            before += m[i * n + j] * m[i * n + j];
        for (int pass = 0; pass < 2; pass++)
            for (size_t k = 0; k < j; k++) {
                double dot = 0;
                for (size_t i = 0; i < rows; i++)
                    dot += m[i * n + k] * m[i * n + j];
                for (size_t i = 0; i < rows; i++)
                    m[i * n + j] -= dot * m[i * n + k];
                r[k * n + j] += dot;
            }
        for (size_t i = 0; i < rows; i++)
            left += m[i * n + j] * m[i * n + j];
        bool depends = left <= before * 1e-24;
        r[j * n + j] = depends ? 0 : sqrt(left);
        for (size_t i = 0; i < rows; i++)
            m[i * n + j] = depends ? 0 : m[i * n + j] / r[j * n + j];
    }
}

/* One-sided Jacobi: turns pairs of columns of c [n, n] until all are at right angles; v collects the turns. Then
 * column j of c is u_j s_j and c_before = c v^T. */
static void turn_columns(double *c, double *v, size_t n) {
    for (size_t i = 0; i < n * n; i++)
        v[i] = i / n == i % n;
    for (int sweep = 0, turned = 1; sweep < 60 && turned; sweep++) {
        turned = 0;
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++) {
                double pp = 0, qq = 0, pq = 0;
                for (size_t i = 0; i < n; i++) {
                    pp += c[i * n + p] * c[i * n + p];
                    qq += c[i * n + q] * c[i * n + q];
                    pq += c[i * n + p] * c[i * n + q];
                }
                if (fabs(pq) <= 1e-15 * sqrt(pp * qq)) continue;
                double zeta = (qq - pp) / (2 * pq), t = (zeta < 0 ? -1 : 1) / (fabs(zeta) + sqrt(1 + zeta * zeta)),
                       cosine = 1 / sqrt(1 + t * t), sine = cosine * t;
                for (size_t i = 0; i < n; i++) {
                    double a = c[i * n + p], b = c[i * n + q], x = v[i * n + p], y = v[i * n + q];
                    c[i * n + p] = cosine * a - sine * b;
                    c[i * n + q] = sine * a + cosine * b;
                    v[i * n + p] = cosine * x - sine * y;
                    v[i * n + q] = sine * x + cosine * y;
                }
                turned = 1;
            }
    }
}

typedef struct direction {
    double size;
    size_t at;
} direction;

static int strongest_first(const void *a, const void *b) {
    const direction *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return x->at < y->at ? -1 : 1;
}

/* P = Qp Rp, Q^T = Qq Rq, so P Q = Qp (Rp Rq^T) Qq^T and only an n x n matrix is taken apart. */
void ts_svd_product(const double *p, const double *q, size_t out, size_t n, size_t in, size_t r, double *u, double *v) {
    double *left = ts_malloc(out * n * sizeof *left), *right = ts_malloc(in * n * sizeof *right),
           *rp = ts_malloc(n * n * sizeof *rp), *rq = ts_malloc(n * n * sizeof *rq),
           *core = ts_calloc(n * n, sizeof *core), *turns = ts_malloc(n * n * sizeof *turns);
    direction *order = ts_calloc(n, sizeof *order);
    memcpy(left, p, out * n * sizeof *left);
    for (size_t i = 0; i < in; i++)
        for (size_t k = 0; k < n; k++)
            right[i * n + k] = q[k * in + i];
    orthonormal(left, out, n, rp);
    orthonormal(right, in, n, rq);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            for (size_t k = 0; k < n; k++)
                core[i * n + j] += rp[i * n + k] * rq[j * n + k];
    turn_columns(core, turns, n);
    for (size_t j = 0; j < n; j++) {
        order[j].at = j;
        for (size_t i = 0; i < n; i++)
            order[j].size += core[i * n + j] * core[i * n + j];
    }
    qsort(order, n, sizeof *order, strongest_first);
    memset(u, 0, out * r * sizeof *u);
    memset(v, 0, in * r * sizeof *v);
    for (size_t d = 0; d < TS_MIN(r, n); d++)
        for (size_t k = 0; k < n; k++) {
            double c = core[k * n + order[d].at], t = turns[k * n + order[d].at];
            for (size_t i = 0; i < out; i++)
                u[i * r + d] += left[i * n + k] * c;
            for (size_t i = 0; i < in; i++)
                v[d * in + i] += right[i * n + k] * t;
        }
    free(left);
    free(right);
    free(rp);
    free(rq);
    free(core);
    free(turns);
    free(order);
}

/* ---- one module ---- */

typedef struct combining {
    const ts_weighted *parts;
    size_t n;
    ts_adapter *out;
} combining;

/* The parts' modules one below the other: A [rank, in] times w s, B [out, rank]. */
static void put_cat(const combining *c, ts_module module, ts_lora *x) {
    size_t at = 0;
    for (size_t i = 0; i < c->n; i++) {
        const ts_lora *y = ts_adapter_lora(c->parts[i].adapter, module);
        float f = (float)(c->parts[i].weight), s = y->scale;
        for (size_t k = 0; k < y->r * x->in; k++)
            x->a[at * x->in + k] = y->a[k] * f * s;
        for (size_t row = 0; row < x->out && y->r; row++)
            memcpy(x->b + row * x->r + at, y->b + row * y->r, y->r * sizeof(float));
        at += y->r;
    }
}

static void put_linear(const combining *c, ts_module module, ts_lora *x) {
    for (size_t i = 0; i < c->n; i++) {
        const ts_lora *y = ts_adapter_lora(c->parts[i].adapter, module);
        double w = c->parts[i].weight * (double)y->scale;
        float b = (float)sqrt(fabs(w)), a = w < 0 ? -b : b;
        if (!y->r) continue;
        for (size_t k = 0; k < x->r * x->in; k++)
            x->a[k] += a * y->a[k];
        for (size_t k = 0; k < x->out * x->r; k++)
            x->b[k] += b * y->b[k];
    }
}

static void put_svd(const combining *c, ts_module module, ts_lora *x) {
    size_t n = 0, at = 0;
    for (size_t i = 0; i < c->n; i++)
        n += ts_adapter_lora(c->parts[i].adapter, module)->r;
    double *p = ts_malloc(x->out * n * sizeof *p), *q = ts_malloc(n * x->in * sizeof *q),
           *u = ts_malloc(x->out * x->r * sizeof *u), *v = ts_malloc(x->r * x->in * sizeof *v);
    for (size_t i = 0; i < c->n; i++) {
        const ts_lora *y = ts_adapter_lora(c->parts[i].adapter, module);
        double w = c->parts[i].weight * (double)y->scale;
        for (size_t k = 0; k < y->r * x->in; k++)
            q[at * x->in + k] = w * (double)y->a[k];
        for (size_t row = 0; row < x->out; row++)
            for (size_t k = 0; k < y->r; k++)
                p[row * n + at + k] = (double)y->b[row * y->r + k];
        at += y->r;
    }
    ts_svd_product(p, q, x->out, n, x->in, x->r, u, v);
    for (size_t k = 0; k < x->out * x->r; k++)
        x->b[k] = (float)u[k];
    for (size_t k = 0; k < x->r * x->in; k++)
        x->a[k] = (float)v[k];
    free(p);
    free(q);
    free(u);
    free(v);
}

/* ---- the whole ---- */

static ts_status check_part(const ts_weighted *p, const ts_model *m, ts_err *err) {
    const ts_adapter *a = p->adapter;
    ts_assert(a->model == m);
    const char *what = a->settings.dora ? "is a DoRA adapter" : a->n_saved ? "holds whole modules" : NULL;
    if (what)
        return ts_fail(err, TS_UNSUPPORTED,
                       "%s %s, which cannot be added up with a weight; merge it into the model first", p->name, what);
    if (!isfinite(p->weight)) return ts_fail(err, TS_INVALID, "the weight of %s is no finite number", p->name);
    return TS_OK;
}

/* The rank that each module of `p` has, 0: they differ; linear adds matrices up as they are. */
static size_t common_rank(const ts_weighted *p) {
    size_t r = 0;
    for (size_t i = 0; i < ts_module_count(p->adapter->model); i++) {
        size_t have = ts_adapter_lora(p->adapter, ts_module_at(p->adapter->model, i))->r;
        if (have && r && have != r) return 0;
        if (have) r = have;
    }
    return r;
}

static size_t largest_rank(const ts_weighted *p) {
    size_t r = 0;
    for (size_t i = 0; i < ts_module_count(p->adapter->model); i++)
        r = TS_MAX(r, ts_adapter_lora(p->adapter, ts_module_at(p->adapter->model, i))->r);
    return r;
}

static ts_status find_rank(const ts_weighted *parts, size_t n, ts_combine_how how, size_t *rank, ts_err *err) {
    size_t sum = 0, most = 0;
    for (size_t i = 0; i < n; i++) {
        sum += largest_rank(&parts[i]);
        most = TS_MAX(most, largest_rank(&parts[i]));
    }
    if (how == TS_COMBINE_LINEAR)
        for (size_t i = 0; i < n; i++)
            if (common_rank(&parts[i]) != most)
                return ts_fail(err, TS_INVALID, "linear adds adapters of one rank, and %s has another; take cat or svd",
                               parts[i].name);
    *rank = how == TS_COMBINE_CAT ? sum : how == TS_COMBINE_LINEAR || !*rank ? most : *rank;
    return TS_OK;
}

/* Can the union of the lists say it? Else the modules are listed by their whole paths. */
static bool plain_list(const ts_adapter_settings *s) {
    return s->targets && *s->targets == '[' && !s->exclude && !s->layers && !s->rank_pattern && !s->alpha_pattern;
}

static bool listed(const ts_buf *list, const char *name) {
    char *quoted = ts_printf("\"%s\"", name);
    bool there = strstr(ts_buf_str(list), quoted) != NULL;
    free(quoted);
    return there;
}

static void add_name(ts_buf *list, const char *name) {
    if (!listed(list, name)) ts_buf_printf(list, "%s\"%s\"", list->len > 1 ? ", " : "", name);
}

/* Paths and names of modules need no escapes. */
static char *targets_of(const ts_weighted *parts, size_t n, const ts_shape *shapes) {
    const ts_model *m = parts[0].adapter->model;
    ts_buf list = TS_BUF_INIT;
    char path[TS_MODULE_PATH];
    bool plain = true;
    for (size_t i = 0; i < n; i++)
        plain = plain && plain_list(&parts[i].adapter->settings);
    ts_buf_putc(&list, '[');
    for (size_t i = 0; i < n && plain; i++) {
        const char *text = parts[i].adapter->settings.targets;
        ts_json *v = ts_json_parse(text, strlen(text), NULL);
        for (const ts_json *x = ts_json_child(v); x; x = ts_json_next(x))
            add_name(&list, ts_json_str(x, ""));
        ts_json_free(v);
    }
    for (size_t i = 0; i < ts_module_count(m) && !plain; i++) {
        if (!shapes[i].r) continue;
        ts_module_path(m, ts_module_at(m, i), path);
        add_name(&list, path);
    }
    ts_buf_putc(&list, ']');
    return ts_buf_take(&list);
}

static ts_shape *shapes_of(const ts_weighted *parts, size_t n, size_t rank) {
    const ts_model *m = parts[0].adapter->model;
    ts_shape *shapes = ts_calloc(ts_module_count(m), sizeof *shapes);
    for (size_t i = 0; i < ts_module_count(m); i++)
        for (size_t k = 0; k < n; k++)
            if (ts_adapter_lora(parts[k].adapter, ts_module_at(m, i))->r) shapes[i] = (ts_shape){rank, (double)rank};
    return shapes;
}

static ts_status fill(const combining *c, ts_combine_how how, ts_progress *progress, ts_err *err) {
    static void (*const put[TS_COMBINE_HOWS])(const combining *, ts_module, ts_lora *) = {put_cat, put_linear, put_svd};
    const ts_model *m = c->out->model;
    memset(c->out->block, 0, c->out->n_params * sizeof(float));
    for (size_t i = 0; i < ts_module_count(m); i++) {
        ts_lora *x = ts_adapter_lora(c->out, ts_module_at(m, i));
        if (x->r) put[how](c, ts_module_at(m, i), x);
        ts_progress_set(progress, (int64_t)i + 1, (int64_t)ts_module_count(m));
        if (ts_cancelled(progress)) return ts_fail(err, TS_CANCELLED, "stopped");
    }
    return TS_OK;
}

ts_status ts_adapter_combine(ts_adapter **out, const ts_weighted *parts, size_t n, ts_combine_how how, size_t rank,
                             ts_progress *progress, ts_err *err) {
    ts_assert(n > 0);
    const ts_model *m = parts[0].adapter->model;
    *out = NULL;
    for (size_t i = 0; i < n; i++)
        TS_TRY(check_part(&parts[i], m, err));
    TS_TRY(find_rank(parts, n, how, &rank, err));
    ts_shape *shapes = shapes_of(parts, n, rank);
    const ts_adapter_settings *first = &parts[0].adapter->settings;
    ts_adapter_settings s = {.r = rank, .alpha = (double)rank, .dropout = first->dropout};
    s.targets = targets_of(parts, n, shapes);
    s.base_model = ts_strdup(first->base_model ? first->base_model : "");
    ts_status status = ts_adapter_alloc(out, &s, m, shapes, err);
    if (status == TS_OK) {
        combining c = {parts, n, *out};
        status = fill(&c, how, progress, err);
    }
    if (status != TS_OK) {
        ts_adapter_free(*out);
        *out = NULL;
    }
    free(shapes);
    ts_adapter_settings_release(&s);
    return status;
}
