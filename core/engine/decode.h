/* One step of generation: the next token of several items at once. Private to the engine.
 *
 * Every product goes through `dots`, whose results do not depend on what else is in the batch; so an item's answer has
 * the same bits alone and beside any others. */
#ifndef TS_ENGINE_DECODE_H
#define TS_ENGINE_DECODE_H

#include "core/engine/net_impl.h"

/* Keys (after rope) and values of one item: [layer][kv head] x ([cap][stride] keys, [cap][stride] values), f32 or f16
 * (rounded to nearest even). The stride is head_dim up to a multiple of 16, padded with zeros. Zeroed = empty. */
typedef struct ts_cache {
    unsigned char *data;
    bool f16;
    size_t cap, len; /* tokens: room for, stored */
} ts_cache;
/* Makes room for `tokens`, keeping what is stored. */
TS_MUST_USE ts_status ts_cache_need(ts_cache *c, const ts_net *n, size_t tokens, ts_err *err);
void ts_cache_release(ts_cache *c);
size_t ts_cache_bytes(const ts_net *n, bool f16, size_t tokens);
/* Stores rows [first, first + count) of a layer's qkv as tokens from `at` on. */
void ts_cache_store(const ts_net *n, ts_cache *c, size_t layer, const float *qkv, size_t first, size_t count,
                    size_t at);

/* A row of the batch: one item, the token to feed. Rows with the same adapter stand together. */
typedef struct ts_decode_row {
    ts_cache *cache;
    int32_t id;
    const ts_adapter *adapter;
} ts_decode_row;

typedef struct ts_decoder_bufs {
    size_t rows, ranks;
    float *block;
    float *x, *norm, *qkv, *o, *gu, *act, *u, *logits;
} ts_decoder_bufs;
void ts_decoder_release_bufs(ts_decoder_bufs *b);

/* Feeds one token per row; logits [m][vocab] in b->logits; the caches grow by one. */
TS_MUST_USE ts_status ts_decode_step(ts_net *n, ts_decoder_bufs *b, const ts_decode_row *rows, size_t m, ts_err *err);

#endif
