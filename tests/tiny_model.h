/* Tiny random models for tests, written to disk from C: the same settings give the same weights as a Hugging Face
 * folder and as a GGUF file, bit for bit (where `type` is one of blocks, the folder holds the dequantised values in
 * f32).
 *
 * The tokenizer is byte-level BPE: ids 0 <|endoftext|>, 1 <|im_start|>, 2 <|im_end|> (stop and padding), 3 to 258 the
 * bytes, then a few merges pre-split as SmolLM2's. The chat template is plain ChatML. */
#ifndef TS_TESTS_TINY_MODEL_H
#define TS_TESTS_TINY_MODEL_H

#include "core/model/tensor.h"

/* Zeros stand for the defaults in brackets. Row lengths must be multiples of 32 for block types. */
typedef struct ts_tiny {
    bool qwen2;          /* architecture qwen2, with biases on q, k and v; else llama */
    const char *family;  /* another one: "mistral", "qwen3", "smollm3", "phi3", "gemma2", "gemma3"; see tiny_model.c */
    const char *rope;    /* "linear", "dynamic", "yarn", "longrope": factor 4, 16 places at first */
    size_t window;       /* of mistral (all layers), phi3 (all) and gemma (every other one) [none; gemma: 7] */
    bool untied;         /* a head of its own */
    bool attention_bias; /* llama: biases on q, k, v and o */
    bool rope5;          /* folder: rope_parameters as transformers 5 writes them; else rope_theta */
    bool llama3;         /* llama3 scaling of the rotary positions: factor 8, 64 positions at first */
    bool shards;         /* folder: two safetensors files and an index */
    size_t hidden, ffn, layers, heads, kv_heads, head_dim, vocab; /* [64, 96, 2, 4, 2, hidden / heads, 288] */
    ts_dtype type; /* of the matrices [f32]; with a 4-bit type the embedding is q8_0 */
    uint64_t seed;
} ts_tiny;

/* Both fail the running test when something cannot be written. `t` may be NULL: all defaults. */
void ts_tiny_hf(const char *dir, const ts_tiny *t);    /* config, weights, tokenizer; the folder is made */
void ts_tiny_gguf(const char *path, const ts_tiny *t); /* the file */

/* A random adapter of rank r on all projections of the model at `model`: the PEFT folder `dir`. */
void ts_tiny_adapter(const char *model, const char *dir, size_t r, uint64_t seed);

#endif
