/* Reading the oracles outside the tree: JSON arrays of numbers, tensors of a safetensors file. For golden tests. */
#ifndef TS_TESTS_GOLDEN_SUPPORT_H
#define TS_TESTS_GOLDEN_SUPPORT_H

#include "tests/support.h"

#include "core/base/json.h"
#include "core/engine/net.h"
#include "core/model/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

static inline ts_json *golden_json(const char *relative) {
    ts_json *v = ts_json_read(ts_test_shared(relative), (size_t)1 << 28, &err);
    if (!v) fail_msg("%s", err.text);
    return v;
}

/* The caller frees. */
static inline int32_t *golden_ids(const ts_json *array, size_t *n) {
    *n = ts_json_count(array);
    int32_t *ids = ts_malloc((*n + 1) * sizeof *ids), *at = ids;
    for (const ts_json *v = ts_json_child(array); v; v = ts_json_next(v))
        *at++ = (int32_t)ts_json_num(v, -1);
    return ids;
}

static inline double golden_at(const ts_json *array, size_t i) {
    const ts_json *v = ts_json_child(array);
    while (i-- > 0)
        v = ts_json_next(v);
    return ts_json_num(v, NAN);
}

/* Element i of an F32 or F64 tensor. */
static inline double golden_value(const ts_tensor *t, size_t i) {
    float f;
    double d;
    if (t->bytes / sizeof f > i && t->type == TS_F32) {
        memcpy(&f, (const char *)t->data + i * sizeof f, sizeof f);
        return f;
    }
    memcpy(&d, (const char *)t->data + i * sizeof d, sizeof d);
    return d;
}

static inline const ts_tensor *golden_tensor(const ts_safetensors *s, const char *name) {
    const ts_tensor *t = ts_safetensors_find(s, name);
    if (!t) fail_msg("no tensor %s", name);
    return t;
}

static inline ts_model *golden_model(const char *relative) {
    ts_model *m = NULL;
    assert_ok(ts_model_open(&m, ts_test_shared(relative), &err));
    return m;
}

/* Examples of one optimiser step, in one array. */
typedef struct golden_batch {
    ts_seq *seqs;
    size_t n, cap;
} golden_batch;

static inline void golden_add(golden_batch *b, const ts_json *ids, const ts_json *labels) {
    ts_seq s = {0};
    size_t n_labels;
    s.ids = golden_ids(ids, &s.n);
    s.labels = golden_ids(labels, &n_labels);
    assert_int_equal(s.n, n_labels);
    TS_PUSH(b->seqs, b->n, b->cap, s);
}

static inline void golden_batch_release(golden_batch *b) {
    for (size_t i = 0; i < b->n; i++) {
        free((void *)b->seqs[i].ids);
        free((void *)b->seqs[i].labels);
    }
    free(b->seqs);
    *b = (golden_batch){0};
}

/* NLL of every token of one sequence, all supervised. The caller frees. */
static inline float *golden_nll(ts_net *n, const ts_adapter *a, const int32_t *ids, size_t len, double *sum) {
    float *each = ts_malloc(len * sizeof *each);
    size_t count;
    ts_seq s = {ids, ids, len, NULL};
    assert_ok(ts_net_nll(n, a, &s, 1, sum, &count, each, NULL, &err));
    assert_int_equal(count, len - 1);
    return each;
}

static inline const ts_tensor *golden_lora_tensor(const ts_safetensors *s, size_t layer, size_t proj, char side) {
    char name[160];
    snprintf(name, sizeof name, "base_model.model.model.layers.%zu.%s.%s.lora_%c.weight", layer, ts_proj_parents[proj],
             ts_proj_names[proj], side);
    return golden_tensor(s, name);
}

static inline ts_adapter *golden_adapter(const ts_model *m, const char *relative) {
    ts_adapter *a = NULL;
    assert_ok(ts_adapter_load(&a, ts_test_shared(relative), m, &err));
    return a;
}

static inline ts_adapter *golden_zeros(const ts_adapter *like) {
    ts_adapter *a = NULL;
    assert_ok(ts_adapter_zero_like(&a, like, &err));
    return a;
}

#endif
