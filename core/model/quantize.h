/* f32 to the stored types, and which type each tensor of a file gets.
 *
 * Formulas are ggml's (ggml-quants.c and the `gguf` package's quants.py), so that f16, bf16, q8_0, q4_0, q4_1, q5_0 and
 * q5_1 have the bytes that llama.cpp's converters write. q4_k, q5_k and q6_k search for the scale (and minimum) of each
 * group that leaves the smallest weighted square error, as llama-quantize does without an importance matrix. */
#ifndef TS_MODEL_QUANTIZE_H
#define TS_MODEL_QUANTIZE_H

#include "core/model/tensor.h"

bool ts_can_quantize(ts_dtype t); /* f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k */

/* Converts n weights (whole blocks) to ts_row_bytes(t, n) bytes at dst (any alignment). A pure function of its input:
 * rows may be converted by many threads, in any pieces, with the same result. False when a weight is not finite or is
 * too large for the type (f16 and its scales end at 65,504); dst is filled all the same, without meaning. */
TS_MUST_USE bool ts_quantize(ts_dtype t, const float *src, void *dst, size_t n);

/* What a person asks for: one type for all matrices, or one of llama.cpp's mixtures. */
typedef struct ts_file_type {
    const char *name; /* "q8_0", "q4_k_m" */
    uint32_t number;  /* general.file_type */
    ts_dtype type;    /* of most matrices */
    bool more_bits;   /* "_m": attn_v and ffn_down of about half the layers get more (see ts_file_type_of) */
} ts_file_type;

/* NULL for an unknown name. ts_file_type_names: all of them, for help and messages ("f32, f16, ..."); returns out. */
const ts_file_type *ts_file_type_named(const char *name);
const char *ts_file_type_names(char *out, size_t size);

/* The type of one tensor in such a file. `name` is GGUF's ("blk.3.attn_v.weight"), cols its row length, layers the
 * model's; tied: there is no output.weight, token_embd.weight serves as the head. llama.cpp's rules (llama-quant.cpp):
 * - vectors, and everything that does not end in ".weight", are f32;
 * - the head (output.weight, or token_embd.weight when tied) is q6_k in every type of blocks except q8_0;
 * - "_m": attn_v and ffn_down are q6_k in the first and last eighth of the layers and every third between;
 * - a row that is no multiple of 256: q4_k becomes q5_0, q5_k q5_1, q6_k q8_0; no multiple of 32: f16. */
ts_dtype ts_file_type_of(const ts_file_type *f, const char *name, int n_dims, size_t cols, size_t layers, bool tied);

#endif
