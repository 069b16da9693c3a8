#include "core/model/adapter.h"

#include "core/base/rand.h"
#include "core/model/adapter_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RANK = 1 << 14 };

size_t ts_lora_params(const ts_model *m, size_t r, unsigned targets) {
    size_t n = 0, rows, cols;
    for (ts_proj p = 0; p < TS_PROJS; p++) {
        if (!(targets & 1u << p)) continue;
        ts_proj_size(&m->config, p, &rows, &cols);
        n += r * (rows + cols);
    }
    return n * m->config.layers;
}

float ts_lora_scale(size_t r, double alpha, bool rslora) {
    return (float)(rslora ? alpha / sqrt((double)r) : alpha / (double)r);
}

ts_status ts_adapter_alloc(ts_adapter **out, const ts_adapter *settings, const ts_model *m, ts_err *err) {
    *out = NULL;
    if (settings->r < 1 || settings->r > MAX_RANK)
        return ts_fail(err, TS_INVALID, "a LoRA rank of %zu is not possible; take 1 to %d", settings->r, MAX_RANK);
    if (!(settings->alpha > 0) || !isfinite(settings->alpha))
        return ts_fail(err, TS_INVALID, "a LoRA alpha of %g is not possible; take a positive number", settings->alpha);
    if (!(settings->dropout >= 0 && settings->dropout < 1))
        return ts_fail(err, TS_INVALID, "a LoRA dropout of %g is not possible; take 0 to below 1", settings->dropout);
    if (m->config.fused)
        return ts_fail(err, TS_UNSUPPORTED,
                       "adapters on a %s model, whose projections are fused (qkv_proj, gate_up_proj), are not done yet",
                       m->config.family);
    if (settings->targets == 0 || settings->targets >> TS_PROJS != 0)
        return ts_fail(err, TS_INVALID, "the adapter has no target modules; name some, for example all-linear");
    ts_adapter *a = ts_malloc(sizeof *a);
    *a = *settings;
    a->base_model = ts_strdup(settings->base_model ? settings->base_model : "");
    a->layers = m->config.layers;
    a->lora = ts_calloc(a->layers, sizeof *a->lora);
    a->n_params = ts_lora_params(m, a->r, a->targets); /* sizes of an open model: no overflow */
    a->block = ts_try_alloc(a->n_params, sizeof *a->block);
    if (!a->block) {
        ts_status status =
            ts_fail(err, TS_NO_MEMORY, "no memory for an adapter of %zu parameters (%zu MB); take a smaller rank",
                    a->n_params, a->n_params * sizeof *a->block >> 20);
        ts_adapter_free(a);
        return status;
    }
    float *next = a->block, scale = ts_lora_scale(a->r, a->alpha, a->rslora);
    for (size_t l = 0; l < a->layers; l++)
        for (ts_proj p = 0; p < TS_PROJS; p++) {
            size_t rows, cols;
            if (!(a->targets & 1u << p)) continue;
            ts_proj_size(&m->config, p, &rows, &cols);
            a->lora[l][p] =
                (ts_lora){.r = a->r, .in = cols, .out = rows, .scale = scale, .a = next, .b = next + a->r * cols};
            next += a->r * (rows + cols);
        }
    *out = a;
    return TS_OK;
}

ts_status ts_adapter_new(ts_adapter **out, const ts_model *m, size_t r, double alpha, double dropout, bool rslora,
                         unsigned targets, uint64_t seed, ts_err *err) {
    const ts_adapter settings = {
        .r = r, .alpha = alpha, .dropout = dropout, .rslora = rslora, .targets = targets, .base_model = m->path};
    TS_TRY(ts_adapter_alloc(out, &settings, m, err));
    ts_rand random;
    ts_rand_seed(&random, seed);
    for (size_t l = 0; l < m->config.layers; l++)
        for (ts_proj p = 0; p < TS_PROJS; p++) {
            const ts_lora *x = &(*out)->lora[l][p];
            double bound = x->r ? 1 / sqrt((double)x->in) : 0;
            for (size_t i = 0; i < x->r * x->in; i++)
                x->a[i] = (float)((2 * ts_rand_unit(&random) - 1) * bound);
        }
    return TS_OK;
}

ts_status ts_adapter_zero_like(ts_adapter **out, const ts_adapter *like, ts_err *err) {
    ts_adapter *a = ts_malloc(sizeof *a);
    *out = NULL;
    *a = *like;
    a->base_model = ts_strdup(like->base_model);
    a->lora = ts_malloc(a->layers * sizeof *a->lora);
    memcpy(a->lora, like->lora, a->layers * sizeof *a->lora);
    a->block = ts_try_alloc(a->n_params, sizeof *a->block);
    if (!a->block) {
        ts_adapter_free(a);
        return ts_fail(err, TS_NO_MEMORY,
                       "no memory for %zu gradients or optimiser values (%zu MB); take a smaller rank", like->n_params,
                       like->n_params * sizeof *like->block >> 20);
    }
    for (size_t l = 0; l < a->layers; l++)
        for (ts_proj p = 0; p < TS_PROJS; p++) {
            ts_lora *x = &a->lora[l][p];
            if (!x->r) continue;
            x->a = a->block + (x->a - like->block);
            x->b = a->block + (x->b - like->block);
        }
    *out = a;
    return TS_OK;
}

void ts_adapter_free(ts_adapter *a) {
    if (!a) return;
    free(a->lora);
    free(a->base_model);
    free(a->block);
    free(a);
}

static void with_commas(size_t v, char *out) {
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%zu", v);
    size_t k = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) out[k++] = ',';
        out[k++] = digits[i];
    }
    out[k] = 0;
}

void ts_trainable_line(size_t trainable, size_t base, char *out, size_t n) {
    char a[32], b[32];
    size_t all = trainable + base;
    with_commas(trainable, a);
    with_commas(all, b);
    snprintf(out, n, "trainable params: %s || all params: %s || trainable%%: %.4f", a, b,
             all ? 100.0 * (double)trainable / (double)all : 0);
}
