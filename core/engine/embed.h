/* Texts as vectors: the mean of a model's last hidden states (behind the last norm) over a text's tokens. What a
 * decoder makes of a text on the way; texts of like meaning lie closer, but all lie in one narrow cone, so whoever
 * compares them takes the mean of all away first (dataset/vecnear.h). */
#ifndef TS_ENGINE_EMBED_H
#define TS_ENGINE_EMBED_H

#include "core/engine/net.h"

/* out [n, hidden]. Of a text only the first TS_EMBED_TOKENS tokens count; one without tokens gives zeros. Texts go
 * through the layers together, up to some thousand tokens at a time; the vectors do not depend on the company. */
enum { TS_EMBED_TOKENS = 1024 };
TS_MUST_USE ts_status ts_net_embed(ts_net *n, const ts_ids *texts, size_t n_texts, float *out, ts_progress *progress,
                                   ts_err *err);

#endif
