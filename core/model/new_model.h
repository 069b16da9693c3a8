/* A model made from nothing: a Hugging Face folder of the llama architecture with random weights and the tokenizer that
 * was trained for it, ready for `train --method full`. Head and embedding are one matrix (a small model's vocabulary is
 * a large part of it).
 *
 * Weights: normal with mean 0 and deviation 0.02, o_proj and down_proj by sqrt(2 layers) less, because each layer adds
 * those two to the residual stream (GPT-2's paper, 2.3); norms 1. Each matrix has random numbers of its own, from the
 * seed and its name, so the same settings give the same bytes. */
#ifndef TS_MODEL_NEW_MODEL_H
#define TS_MODEL_NEW_MODEL_H

#include "core/model/bpe_train.h"
#include "core/model/quantize.h"

typedef struct ts_new_model {
    const char *out; /* the folder: must not be there, an empty one may */
    size_t hidden, layers, heads, kv_heads, ffn, context;
    uint64_t seed;
    const ts_file_type *type; /* f32, f16 or bf16 */
} ts_new_model;

/* The tokenizer's special tokens, in this order: <|endoftext|> (BOS and padding), <|im_start|>, <|im_end|> (EOS), and
 * the chat template that goes with them. */
enum { TS_NEW_SPECIALS = 3 };
extern const char *const ts_new_specials[TS_NEW_SPECIALS];

/* TS_INVALID names the setting that does not fit and what would. */
TS_MUST_USE ts_status ts_new_model_check(const ts_new_model *n, ts_err *err);
size_t ts_new_model_params(const ts_new_model *n, size_t vocab);
/* Writes it under a temporary name, then renames: after a failure nothing stays. `t` has run. */
TS_MUST_USE ts_status ts_new_model_write(const ts_new_model *n, const ts_bpe_trainer *t, ts_err *err);

#endif
