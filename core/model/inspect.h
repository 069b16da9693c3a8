/* What is in a model or an adapter, for the verb `inspect`: as lines for people or as one JSON object.
 *
 * A model: name, kind of file, architecture, sizes, parameters, types of the tensors with their numbers and bytes,
 * context, what the files say about the tokenizer, stop tokens. A GGUF file that cannot be used (unknown architecture
 * or type) is described all the same, with the reason. An adapter folder: rank, alpha, scale (of every module where patterns
 * differ), targets, DoRA and rsLoRA, modules saved whole, parameters as PEFT counts them, and for every module the
 * Frobenius norms of A, B and of the change s*B*A that it makes to the weight. */
#ifndef TS_MODEL_INSPECT_H
#define TS_MODEL_INSPECT_H

#include "core/base/buf.h"

/* Appends to out. `spec` as for ts_model_open, or an adapter's folder (one with an adapter_config.json). Touches the
 * headers of a model's files, all of an adapter's. */
TS_MUST_USE ts_status ts_model_inspect(const char *spec, bool json, ts_buf *out, ts_err *err);

#endif
