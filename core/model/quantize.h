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

/* NULL for an unknown name. ts_file_type_names: all of them, or those that a Hugging Face folder can have (`folder`),
 * for messages ("f32, f16, ..."); returns out. */
const ts_file_type *ts_file_type_named(const char *name);
enum { TS_FILE_TYPE_LIST = 128 };
const char *ts_file_type_names(bool folder, char out[TS_FILE_TYPE_LIST]);
/* Of whole blocks: for GGUF files only. */
bool ts_file_type_in_blocks(const ts_file_type *f);

/* What the choice of a type depends on beside the tensor. */
typedef struct ts_file_model {
    size_t layers;
    bool tied;  /* there is no output.weight, token_embd.weight serves as the head */
    bool large; /* what llama.cpp calls 70B: 80 layers of the architecture qwen2, or of llama with shared k and v */
} ts_file_model;

/* The type of one tensor in such a file, if its rows allow. `name` is GGUF's ("blk.3.attn_v.weight"). llama.cpp's rules
 * (llama-quant.cpp, without an importance matrix):
 * - vectors, and everything that does not end in ".weight", are f32;
 * - the head (output.weight, or token_embd.weight when tied) is q6_k in every type of blocks except q8_0;
 * - "_m": attn_v (or attn_qkv) and ffn_down are q6_k in the first and last eighth of the layers and every third
 * between;
 * - where that leaves q4_k for attn_v, a large model has q5_k. */
ts_dtype ts_file_type_of(const ts_file_type *f, const ts_file_model *m, const char *name, int n_dims);
/* The type that takes the place of one whose blocks do not divide the row: where 256 does not, q4_k becomes q5_0, q5_k
 * q5_1, q6_k q8_0; where 32 does not, f16. */
ts_dtype ts_dtype_fitting(ts_dtype t, size_t cols);

#endif
