/* Texts as vectors by a model in the engine process (core/engine/embed.h). */
#ifndef TS_EVAL_EMBED_H
#define TS_EVAL_EMBED_H

#include "dataset/dedupe.h"

typedef struct ts_embedder {
    const char *model;
    const char *log; /* the engine's stderr; NULL: ours */
} ts_embedder;

/* *out [n, *dims], the caller's (free); zeros for a text without tokens. A ts_vectors_fn (dataset/dedupe.h) whose ctx
 * is a ts_embedder. Blocks. */
TS_MUST_USE ts_status ts_embed_texts(void *ctx, const ts_text *texts, size_t n, float **out, size_t *dims,
                                     ts_progress *progress, ts_err *err);

#endif
