/* Any bytes as a GGUF file: every key and tensor is walked, a row of each tensor converted, and the whole opened as a
 * model and inspected. */
#include "core/engine/net.h"
#include "core/model/gguf.h"
#include "core/model/model.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/memory_limit.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile size_t sink; /* so that reads are not left out */

static void walk_array(const ts_gguf *g, const char *key) {
    ts_gguf_array a;
    const char *s;
    size_t n;
    if (!ts_gguf_array_get(g, key, &a)) return;
    while (ts_gguf_next_str(&a, &s, &n))
        for (size_t i = 0; i < n; i++)
            sink += (size_t)s[i];
    for (size_t i = 0; a.kind == 'i' && i < a.n; i++)
        sink += (size_t)ts_gguf_array_int(&a, i);
    for (size_t i = 0; a.kind == 'f' && i < a.n; i++)
        sink += ts_gguf_array_num(&a, i) > 0;
}

static void walk_key(const ts_gguf *g, const char *key) {
    int64_t i;
    double d;
    bool b;
    const char *s;
    size_t n;
    sink += strlen(key) + ts_gguf_int(g, key, &i) + ts_gguf_num(g, key, &d) + ts_gguf_bool(g, key, &b);
    if (ts_gguf_str(g, key, &s, &n))
        for (size_t k = 0; k < n; k++)
            sink += (size_t)s[k];
    walk_array(g, key);
}

static void walk_tensor(const ts_tensor *t) {
    float row[1024];
    size_t n = t->n_dims ? t->dims[t->n_dims - 1] : 1;
    if (t->type == TS_DTYPES || n > 1024 || t->bytes == 0) return;
    ts_dequantize(t->type, t->data, row, n);
    sink += row[n - 1] > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    LIMIT_MEMORY(size);
    const char *path = memory_file(data, size);
    ts_gguf *g;
    ts_model *m;
    ts_err err;
    ts_buf out = TS_BUF_INIT;
    if (ts_gguf_open(&g, path, &err) == TS_OK) {
        for (size_t i = 0; i < ts_gguf_keys(g); i++)
            walk_key(g, ts_gguf_key(g, i));
        for (size_t i = 0; i < ts_gguf_tensors(g); i++)
            walk_tensor(ts_gguf_tensor(g, i));
        ts_gguf_close(g);
    }
    if (ts_model_open(&m, path, &err) == TS_OK) {
        for (ts_proj p = 0; p < TS_PROJS; p++) {
            const ts_weight *w = &m->layer[m->config.layers - 1].proj[p];
            float row[1024];
            if (w->cols <= 1024) ts_weight_rows(w, w->rows - 1, 1, row);
        }
        ts_model_close(m);
    }
    if (ts_model_inspect(path, ts_net_memory, size % 2 == 0, &out, &err) == TS_OK) sink += out.len;
    ts_buf_release(&out);
    return 0;
}
