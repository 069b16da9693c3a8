/* A model: its hyper-parameters and its weights as views into mapped files, in one layout whatever file they came from.
 *
 * Layout: Hugging Face's. Linears are [out, in] and used as y = x W^T + b; rotary pairs are (i, i + head_dim/2). GGUF
 * files of the llama architecture store the rows of q and k in interleaved order; those two are copied in the right row
 * order when loading (whole rows of blocks move, so the values stay the same bits). Everything else stays where it is
 * mapped. A family is a row of the table in model_families.c; unknown architectures, rope types and activations are
 * refused by name. */
#ifndef TS_MODEL_MODEL_H
#define TS_MODEL_MODEL_H

#include "core/model/tensor.h"

/* The seven projections LoRA can adapt, in the order of the forward pass. */
typedef enum ts_proj { TS_Q, TS_K, TS_V, TS_O, TS_GATE, TS_UP, TS_DOWN, TS_PROJS } ts_proj;
extern const char *const ts_proj_names[TS_PROJS];   /* "q_proj", ... */
extern const char *const ts_proj_parents[TS_PROJS]; /* "self_attn" or "mlp" */

typedef struct ts_config {
    char family[32];       /* "llama", "qwen2" */
    char architecture[64]; /* as the file says: "LlamaForCausalLM", "llama" */
    char name[128];        /* for people: general.name or the folder's name */
    size_t hidden, ffn, layers, heads, kv_heads, head_dim, vocab, context;
    float rms_eps;
    double rope_theta;
    bool tied; /* the head is the embedding */
    int32_t
        eos[8]; /* stop tokens: generation_config's or the tokenizer's; the template's end of turn is added by chat.h */
    size_t n_eos;
    int32_t bos; /* -1: none */
} ts_config;

/* A linear layer's matrix: rows = out, cols = in. */
typedef struct ts_weight {
    ts_dtype type;
    size_t rows, cols;
    size_t row_bytes;
    const void *data; /* NULL: not there */
} ts_weight;

typedef struct ts_layer {
    ts_weight proj[TS_PROJS];
    const float *bias[TS_PROJS];       /* NULL: none */
    const float *attn_norm, *ffn_norm; /* [hidden] f32 */
} ts_layer;

typedef struct ts_model {
    ts_config config;
    char *path;            /* what was opened */
    ts_weight embed, head; /* [vocab, hidden]; head is embed when tied */
    const float *final_norm;
    ts_layer *layer;        /* [layers] */
    const float *rope_freq; /* [head_dim / 2], theta^(-2i/d) with the model's scaling applied */
    float rope_factor;      /* cos and sin are multiplied by it (1 unless yarn or longrope) */
    size_t params;          /* number of parameters, tied ones once */
    size_t file_bytes;
    struct ts_model_store *store; /* mappings and converted copies */
} ts_model;

/* Opens a GGUF file or a Hugging Face folder (see locate.h for names). An open model does not change: any number of
 * threads may read it. Shapes and types of every tensor are checked
 * against the config; what is missing or of a wrong shape is named. */
TS_MUST_USE ts_status ts_model_open(ts_model **out, const char *spec, ts_err *err);
void ts_model_close(ts_model *m);
/* Rows and columns of a projection's matrix. */
void ts_proj_size(const ts_config *c, ts_proj p, size_t *rows, size_t *cols);
/* Rows [first, first + n) of w as f32 into out [n, cols]. */
void ts_weight_rows(const ts_weight *w, size_t first, size_t n, float *out);
/* Hash of the hashes of config.json (folders) and the weights' file(s), 32 hex digits. The first call reads the files
 * through, later ones answer from memory. */
TS_MUST_USE ts_status ts_model_hash(const ts_model *m, char out[33], ts_err *err);

#endif
