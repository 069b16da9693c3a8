/* What is in a model or an adapter, for the verb `inspect`: as lines for people or as one JSON object.
 *
 * A model: name, kind of file, architecture, sizes, parameters, types of the tensors with their numbers and bytes,
 * context, window, rotary scaling, the tokenizer and the template (whether it marks what the assistant says), stop
 * tokens, memory. A model that cannot be used (unknown architecture, type, part of a tokenizer) is described all the
 * same, with the reason. An adapter folder: rank, alpha, scale (of every module where patterns differ), targets, DoRA
 * and rsLoRA, modules saved whole, parameters as PEFT counts them, and for every module the Frobenius norms of A, B and
 * of the change s*B*A that it makes to the weight. */
#ifndef TS_MODEL_INSPECT_H
#define TS_MODEL_INSPECT_H

#include "core/base/buf.h"
#include "core/model/model.h"

/* How much memory one use takes: the engine knows (ts_net_memory), and is above this folder. Texts are constants. */
enum { TS_MEMORY_ROWS = 8 };
typedef struct ts_memory_row {
    const char *key, *words;
    size_t bytes;
} ts_memory_row;
typedef size_t ts_memory_fn(const ts_model *m, ts_memory_row rows[TS_MEMORY_ROWS]);

/* Appends to out. `memory` may be NULL. `spec` as for ts_model_open, or an adapter's folder (one with an
 * adapter_config.json). Touches the headers of a model's files, all of an adapter's. */
TS_MUST_USE ts_status ts_model_inspect(const char *spec, ts_memory_fn *memory, bool json, ts_buf *out, ts_err *err);

#endif
