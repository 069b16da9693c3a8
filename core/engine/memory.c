#include "core/engine/net.h"
#include "core/engine/train.h"
#include "core/model/nf4.h"

#include <stdlib.h>

/* Of a micro-batch of the default size, all of it supervised. */
static double activations(const ts_model *m, size_t ranks) {
    enum { TOKENS = 1024 };
    ts_net *n;
    ts_err ignored;
    int32_t *ids = ts_calloc(TOKENS, sizeof *ids);
    ts_net_load most = {0};
    if (ts_net_new(&n, m, NULL, &ignored) != TS_OK) return 0;
    ts_net_measure(n, &(ts_seq){ids, ids, TOKENS, NULL}, 1, false, &most);
    double bytes = (double)ts_net_train_bytes(n, &most, ranks, false);
    ts_net_free(n);
    free(ids);
    return bytes;
}

/* A trained parameter takes 16 bytes: itself, its gradient and AdamW's two means. */
size_t ts_net_memory(const ts_model *m, ts_memory_row rows[TS_MEMORY_ROWS]) {
    enum { RANK = 16 };
    double trained = 0;
    for (int p = 0; p < TS_PROJS; p++) {
        size_t out, in;
        ts_proj_size(&m->config, (ts_proj)p, &out, &in);
        trained += (double)(RANK * (out + in) * m->config.layers);
    }
    const ts_config *c = &m->config;
    size_t stride = (c->head_dim + 15) & ~(size_t)15, token = c->layers * c->kv_heads * 2 * stride * sizeof(float),
           n = 0;
    double acts = activations(m, TS_PROJS * RANK), lora = 16 * trained, program = TS_PROGRAM_BYTES;
    double file = (double)m->file_bytes, all = (double)m->params;
    rows[n++] = (ts_memory_row){"load", "to load, mapped from the file", m->file_bytes};
    rows[n++] = (ts_memory_row){"kv_token", "a token of an answer (keys and values f32; f16: half)", token};
    if (c->context) rows[n++] = (ts_memory_row){"kv_context", "an answer as long as the context", token * c->context};
    rows[n++] =
        (ts_memory_row){"lora", "to train with lora, r 16, all linears, f32", (size_t)(file + lora + acts + program)};
    rows[n++] = (ts_memory_row){"qlora", "with qlora: the linears in 4 bits",
                                (size_t)((double)ts_nf4_model_bytes(m) + lora + acts + program)};
    rows[n++] = (ts_memory_row){"full", "with full: all weights in f32", (size_t)(16 * all + acts + program)};
    return n;
}
