#include "core/engine/ops_ref.h"

#include "core/engine/net_impl.h"

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

/* y += s (x A^T) B^T */
static void ref_change(const ref *r, const ts_lora *l, const double *x, double *y) {
    for (size_t i = 0; i < r->n; i++)
        for (size_t k = 0; k < l->r; k++) {
            double u = 0;
            for (size_t j = 0; j < l->in; j++)
                u += x[i * l->in + j] * (double)l->a[k * l->in + j];
            for (size_t o = 0; o < l->out; o++)
                y[i * l->out + o] += (double)l->scale * u * (double)l->b[o * l->r + k];
        }
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

/* drop(x) of one projection; the caller frees. */
static double *ref_dropped(const ref *r, size_t layer, size_t proj, const double *x, size_t in) {
    double *dropped = zeros(r->n * in);
    float *mask = ts_malloc(in * sizeof *mask);
    for (size_t i = 0; i < r->n; i++) {
        mask_row(r, layer, proj, i, in, mask);
        for (size_t j = 0; j < in; j++)
            dropped[i * in + j] = x[i * in + j] * (double)mask[j];
    }
    free(mask);
    return dropped;
}

/* x W^T + bias + s drop(x) A^T B^T; DoRA in PEFT's words: base + (g - 1) o (drop(x) W^T) + g o s drop(x) A^T B^T with g
 * = mag / n. n is the adapter's own (ts_lora.inverse), a constant. */
static double *ref_linear(const ref *r, size_t layer, size_t proj, const double *x) {
    const ts_weight *w = ts_adapter_proj(r->a, r->m, layer, proj);
    const ts_lora *l = r->a ? &r->a->lora[layer][proj] : NULL;
    double *y = ref_matrix(w, ts_adapter_norm(r->a, r->m->layer[layer].bias[proj]), x, r->n);
    if (!l || !l->r) return y;
    double *dropped = ref_dropped(r, layer, proj, x, w->cols);
    if (!l->mag) {
        ref_change(r, l, dropped, y);
    } else {
        double *base = ref_matrix(w, NULL, dropped, r->n), *change = zeros(r->n * w->rows);
        ref_change(r, l, dropped, change);
        for (size_t i = 0; i < r->n * w->rows; i++) {
            double g = (double)l->mag[i % w->rows] * (double)l->inverse[i % w->rows];
            y[i] += (g - 1) * base[i] + g * change[i];
        }
        free(base), free(change);
    }
    free(dropped);
    return y;
}

/* What a group of projections gives, side by side [n, width]: fused ones are one matrix in the file. */
static double *ref_group(const ref *r, size_t layer, size_t first, size_t count, size_t width, const double *x) {
    double *y = zeros(r->n * width);
    for (size_t p = first, column = 0; p < first + count; p++) {
        size_t rows = r->m->layer[layer].proj[p].rows;
        double *part = rows ? ref_linear(r, layer, p, x) : NULL;
        for (size_t i = 0; i < r->n && rows; i++)
            memcpy(y + i * width + column, part + i * rows, rows * sizeof *y);
        column += rows;
        free(part);
    }
    return y;
}

/* In place. */
static void ref_norm_one(const ref *r, double *x, size_t n, const float *w) {
    double square = 0;
    for (size_t j = 0; j < n; j++)
        square += x[j] * x[j];
    double f = 1 / sqrt(square / (double)n + (double)r->m->config.rms_eps);
    for (size_t j = 0; j < n; j++)
        x[j] *= f * (double)w[j];
}

static double *ref_norm(const ref *r, const double *x, const float *w) {
    size_t h = r->m->config.hidden;
    double *y = zeros(r->n * h);
    memcpy(y, x, r->n * h * sizeof *y);
    for (size_t i = 0; i < r->n; i++)
        ref_norm_one(r, y + i * h, h, ts_adapter_norm(r->a, w));
    return y;
}

/* One head at a place. */
static void ref_rope(const ref *r, const ts_layer *w, double *x, size_t place) {
    if (w->rope < 0) return;
    const ts_rope *rope = &r->m->rope[w->rope];
    float freq[TS_MAX_HEAD_DIM / 2];
    size_t half = rope->rotary / 2;
    ts_rope_frequencies(rope, r->n, freq);
    for (size_t j = 0; j < half; j++) {
        double *p = x + j, a = p[0], b = p[half], angle = (double)place * (double)freq[j];
        p[0] = (a * cos(angle) - b * sin(angle)) * rope->gain;
        p[half] = (b * cos(angle) + a * sin(angle)) * rope->gain;
    }
}

static double ref_cap(double x, float cap) {
    return cap > 0 ? (double)cap * tanh(x / (double)cap) : x;
}

/* One head of one query: softmax over the keys that it sees, rows of ld numbers. */
static void ref_attend(const ts_config *c, const double *q, const double *k, const double *v, size_t ld, size_t keys,
                       double *out) {
    double *p = zeros(keys), sum = 0, top = -INFINITY;
    for (size_t j = 0; j < keys; j++) {
        for (size_t e = 0; e < c->head_dim; e++)
            p[j] += q[e] * k[j * ld + e];
        p[j] = ref_cap(p[j] * (double)c->attn_scale, c->attn_cap);
        top = fmax(top, p[j]);
    }
    for (size_t j = 0; j < keys; j++)
        sum += p[j] = exp(p[j] - top);
    for (size_t j = 0; j < keys; j++)
        for (size_t e = 0; e < c->head_dim; e++)
            out[e] += p[j] / sum * v[j * ld + e];
    free(p);
}

static double *ref_attention(const ref *r, size_t layer, const double *x) {
    const ts_config *c = &r->m->config;
    const ts_layer *w = &r->m->layer[layer];
    size_t d = c->head_dim, hd = c->heads * d, kd = c->kv_heads * d, ld = hd + 2 * kd;
    double *qkv = ref_group(r, layer, TS_Q, 3, ld, x), *o = zeros(r->n * hd);
    for (size_t i = 0; i < r->n; i++)
        for (size_t h = 0; h < c->heads + c->kv_heads; h++) {
            double *head = qkv + i * ld + h * d;
            const float *norm = h < c->heads ? w->q_norm : w->k_norm;
            if (norm) ref_norm_one(r, head, d, ts_adapter_norm(r->a, norm));
            ref_rope(r, w, head, i);
        }
    for (size_t i = 0; i < r->n; i++)
        for (size_t h = 0; h < c->heads; h++) {
            size_t first = w->window && i + 1 > w->window ? i + 1 - w->window : 0;
            const double *k = qkv + first * ld + hd + h / (c->heads / c->kv_heads) * d;
            ref_attend(c, qkv + i * ld + h * d, k, k + kd, ld, i + 1 - first, o + i * hd + h * d);
        }
    double *y = ref_linear(r, layer, TS_O, o);
    free(qkv), free(o);
    return y;
}

static double ref_act(const ts_config *c, double g) {
    if (c->act == TS_ACT_SILU) return g / (1 + exp(-g));
    return 0.5 * g * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (g + 0.044715 * g * g * g)));
}

static double *ref_mlp(const ref *r, size_t layer, const double *x) {
    size_t f = r->m->config.ffn;
    double *gu = ref_group(r, layer, TS_GATE, 2, 2 * f, x), *act = zeros(r->n * f);
    for (size_t i = 0; i < r->n; i++)
        for (size_t j = 0; j < f; j++)
            act[i * f + j] = ref_act(&r->m->config, gu[i * 2 * f + j]) * gu[i * 2 * f + f + j];
    double *y = ref_linear(r, layer, TS_DOWN, act);
    free(gu), free(act);
    return y;
}

/* x += y or, where there is a norm behind it, x += norm(y); frees y. */
static void add_and_free(const ref *r, double *x, double *y, const float *norm) {
    double *z = norm ? ref_norm(r, y, norm) : y;
    for (size_t i = 0; i < r->n * r->m->config.hidden; i++)
        x[i] += z[i];
    if (z != y) free(z);
    free(y);
}

void ts_ref_logits(const ts_model *m, const ts_adapter *a, const int32_t *ids, size_t n, ts_dropout dropout,
                   size_t token, double *out) {
    ref r = {m, a, dropout, n, token};
    size_t h = m->config.hidden;
    double *x = zeros(n * h), *y;
    float *row = ts_malloc(h * sizeof *row);
    for (size_t i = 0; i < n; i++) {
        ts_weight_rows(ts_adapter_embed(a, m), (size_t)ids[i], 1, row);
        for (size_t j = 0; j < h; j++)
            x[i * h + j] = (double)row[j];
        for (size_t k = 0; a && k < a->embed.r; k++)
            for (size_t j = 0; j < h; j++)
                x[i * h + j] += (double)a->embed.scale * (double)a->embed.b[j * a->embed.r + k] *
                                (double)a->embed.a[k * m->config.vocab + (size_t)ids[i]];
        for (size_t j = 0; j < h; j++)
            x[i * h + j] *= (double)m->config.embed_scale;
        memset(row, 0, h * sizeof *row);
        if (dropout.neftune > 0) ts_neftune(&dropout, token + i, n, row, h);
        for (size_t j = 0; j < h; j++)
            x[i * h + j] += (double)row[j];
    }
    for (size_t l = 0; l < m->config.layers; l++) {
        y = ref_norm(&r, x, m->layer[l].attn_norm);
        add_and_free(&r, x, ref_attention(&r, l, y), m->layer[l].attn_post_norm);
        free(y);
        y = ref_norm(&r, x, m->layer[l].ffn_norm);
        add_and_free(&r, x, ref_mlp(&r, l, y), m->layer[l].ffn_post_norm);
        free(y);
    }
    y = ref_norm(&r, x, m->final_norm);
    double *logits = ref_matrix(ts_adapter_head(a, m), NULL, y, n);
    if (a && a->head.r) ref_change(&r, &a->head, y, logits);
    for (size_t i = 0; a && a->head.mag && i < n * m->config.vocab; i++)
        logits[i] *= (double)a->head.mag[i % m->config.vocab] * (double)a->head.inverse[i % m->config.vocab];
    for (size_t i = 0; i < n * m->config.vocab; i++)
        out[i] = ref_cap(logits[i], m->config.logit_cap);
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
