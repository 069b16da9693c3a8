#include "core/engine/ops_ref.h"

#include "core/base/rand.h"
#include "core/engine/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct ref {
    const ts_model *m;
    const ts_adapter *a;
    ts_dropout dropout;
    size_t n, token;
} ref;

static double *zeros(size_t n) {
    return ts_calloc(n + 1, sizeof(double));
}

/* Element masks of one row, 0 or 1 / (1 - p). */
static void mask_row(const ref *r, size_t layer, size_t proj, size_t row, size_t width, float *mask) {
    uint64_t key = ts_rand_mix(r->dropout.seed, layer * TS_PROJS + proj);
    for (size_t i = 0; i < width; i++)
        mask[i] = 1;
    if (r->dropout.p > 0)
        ts_kernels_plain()->dropout(mask, mask, width, (uint32_t)ts_rand_mix(key, r->token + row), r->dropout.p, false);
}

static void ref_lora(const ref *r, size_t layer, size_t proj, const double *x, double *y) {
    const ts_lora *l = r->a ? &r->a->lora[layer][proj] : NULL;
    if (!l || !l->r) return;
    const ts_weight *w = &r->m->layer[layer].proj[proj];
    float *mask = ts_malloc(w->cols * sizeof *mask);
    for (size_t i = 0; i < r->n; i++) {
        mask_row(r, layer, proj, i, w->cols, mask);
        for (size_t k = 0; k < l->r; k++) {
            double u = 0;
            for (size_t j = 0; j < w->cols; j++)
                u += x[i * w->cols + j] * (double)mask[j] * (double)l->a[k * w->cols + j];
            for (size_t o = 0; o < w->rows; o++)
                y[i * w->rows + o] += (double)l->scale * u * (double)l->b[o * l->r + k];
        }
    }
    free(mask);
}

/* y [n, rows]; the caller frees. */
static double *ref_matrix(const ts_weight *w, const float *bias, const double *x, size_t n) {
    double *y = zeros(n * w->rows);
    float *row = ts_malloc(w->cols * sizeof *row);
    for (size_t o = 0; o < w->rows; o++) {
        ts_weight_rows(w, o, 1, row);
        for (size_t i = 0; i < n; i++) {
            double sum = bias ? (double)bias[o] : 0;
            for (size_t j = 0; j < w->cols; j++)
                sum += x[i * w->cols + j] * (double)row[j];
            y[i * w->rows + o] = sum;
        }
    }
    free(row);
    return y;
}

static double *ref_linear(const ref *r, size_t layer, size_t proj, const double *x) {
    double *y = ref_matrix(&r->m->layer[layer].proj[proj], r->m->layer[layer].bias[proj], x, r->n);
    ref_lora(r, layer, proj, x, y);
    return y;
}

static double *ref_norm(const ref *r, const double *x, const float *w) {
    size_t h = r->m->config.hidden;
    double *y = zeros(r->n * h);
    for (size_t i = 0; i < r->n; i++) {
        double square = 0;
        for (size_t j = 0; j < h; j++)
            square += x[i * h + j] * x[i * h + j];
        double f = 1 / sqrt(square / (double)h + (double)r->m->config.rms_eps);
        for (size_t j = 0; j < h; j++)
            y[i * h + j] = x[i * h + j] * f * (double)w[j];
    }
    return y;
}

static void ref_rope(const ref *r, double *x, size_t heads) {
    size_t d = r->m->config.head_dim, half = d / 2;
    for (size_t i = 0; i < r->n; i++)
        for (size_t h = 0; h < heads; h++)
            for (size_t j = 0; j < half; j++) {
                double *p = x + (i * heads + h) * d + j, a = p[0], b = p[half];
                double angle = (double)i * (double)r->m->rope_freq[j], f = (double)r->m->rope_factor;
                p[0] = (a * cos(angle) - b * sin(angle)) * f;
                p[half] = (b * cos(angle) + a * sin(angle)) * f;
            }
}

/* One head of one query: softmax over the keys up to its own place. */
static void ref_attend(const double *q, const double *k, const double *v, size_t ld, size_t keys, size_t d,
                       double *out) {
    double *p = zeros(keys), sum = 0, top = -INFINITY;
    for (size_t j = 0; j < keys; j++) {
        for (size_t e = 0; e < d; e++)
            p[j] += q[e] * k[j * ld + e];
        p[j] /= sqrt((double)d);
        top = fmax(top, p[j]);
    }
    for (size_t j = 0; j < keys; j++)
        sum += p[j] = exp(p[j] - top);
    for (size_t j = 0; j < keys; j++)
        for (size_t e = 0; e < d; e++)
            out[e] += p[j] / sum * v[j * ld + e];
    free(p);
}

static double *ref_attention(const ref *r, size_t layer, const double *x) {
    const ts_config *c = &r->m->config;
    size_t d = c->head_dim, hd = c->heads * d, kd = c->kv_heads * d;
    double *q = ref_linear(r, layer, TS_Q, x), *k = ref_linear(r, layer, TS_K, x), *v = ref_linear(r, layer, TS_V, x);
    double *o = zeros(r->n * hd);
    ref_rope(r, q, c->heads);
    ref_rope(r, k, c->kv_heads);
    for (size_t i = 0; i < r->n; i++)
        for (size_t h = 0; h < c->heads; h++) {
            size_t kv = h / (c->heads / c->kv_heads) * d;
            ref_attend(q + i * hd + h * d, k + kv, v + kv, kd, i + 1, d, o + i * hd + h * d);
        }
    double *y = ref_linear(r, layer, TS_O, o);
    free(q), free(k), free(v), free(o);
    return y;
}

static double *ref_mlp(const ref *r, size_t layer, const double *x) {
    double *gate = ref_linear(r, layer, TS_GATE, x), *up = ref_linear(r, layer, TS_UP, x);
    for (size_t i = 0; i < r->n * r->m->config.ffn; i++)
        gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
    double *y = ref_linear(r, layer, TS_DOWN, gate);
    free(gate), free(up);
    return y;
}

static void add_and_free(double *x, double *y, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
    free(y);
}

void ts_ref_logits(const ts_model *m, const ts_adapter *a, const int32_t *ids, size_t n, ts_dropout dropout,
                   size_t token, double *out) {
    ref r = {m, a, dropout, n, token};
    size_t h = m->config.hidden;
    double *x = zeros(n * h), *y;
    float *row = ts_malloc(h * sizeof *row);
    for (size_t i = 0; i < n; i++) {
        ts_weight_rows(&m->embed, (size_t)ids[i], 1, row);
        for (size_t j = 0; j < h; j++)
            x[i * h + j] = (double)row[j];
    }
    for (size_t l = 0; l < m->config.layers; l++) {
        y = ref_norm(&r, x, m->layer[l].attn_norm);
        add_and_free(x, ref_attention(&r, l, y), n * h);
        free(y);
        y = ref_norm(&r, x, m->layer[l].ffn_norm);
        add_and_free(x, ref_mlp(&r, l, y), n * h);
        free(y);
    }
    y = ref_norm(&r, x, m->final_norm);
    double *logits = ref_matrix(&m->head, NULL, y, n);
    memcpy(out, logits, n * m->config.vocab * sizeof *out);
    free(logits), free(y), free(x), free(row);
}

double ts_ref_nll(const ts_model *m, const ts_adapter *a, const ts_seq *s, ts_dropout dropout, size_t token) {
    size_t vocab = m->config.vocab;
    double *logits = zeros(s->n * vocab), nll = 0;
    ts_ref_logits(m, a, s->ids, s->n, dropout, token, logits);
    for (size_t t = 1; t < s->n; t++) {
        if (s->labels[t] == TS_NO_LABEL) continue;
        const double *row = logits + (t - 1) * vocab;
        double top = -INFINITY, sum = 0;
        for (size_t i = 0; i < vocab; i++)
            top = fmax(top, row[i]);
        for (size_t i = 0; i < vocab; i++)
            sum += exp(row[i] - top);
        nll += top + log(sum) - row[s->labels[t]];
    }
    free(logits);
    return nll;
}
