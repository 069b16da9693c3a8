#include "core/engine/net.h"
#include "core/model/nf4.h"

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
    double acts = (double)ts_net_train_bytes(m, 0), lora = 16 * trained;
    double file = (double)m->file_bytes, all = (double)m->params;
    rows[n++] = (ts_memory_row){"load", "to load, mapped from the file", m->file_bytes};
    rows[n++] = (ts_memory_row){"kv_token", "a token of an answer (keys and values f32; f16: half)", token};
    if (c->context) rows[n++] = (ts_memory_row){"kv_context", "an answer as long as the context", token * c->context};
    rows[n++] =
        (ts_memory_row){"lora", "to train with lora, r 16, all linears, f32", (size_t)(1.1 * (file + lora + acts))};
    rows[n++] = (ts_memory_row){"qlora", "with qlora: the linears in 4 bits",
                                (size_t)(1.1 * ((double)ts_nf4_model_bytes(m) + lora + acts))};
    rows[n++] = (ts_memory_row){"full", "with full (estimate)", (size_t)(1.1 * (16 * all + acts))};
    return n;
}
