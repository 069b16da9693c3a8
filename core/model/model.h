/* A model: its hyper-parameters and its weights as views into mapped files, in one layout whatever file they came from.
 *
 * Layout: Hugging Face's. Linears are [out, in] and used as y = x W^T + b; rotary pairs are (i, i + head_dim/2). GGUF
 * files of the llama architecture store the rows of q and k in interleaved order; those two are copied in the right row
 * order when loading (whole rows of blocks move, so the values stay the same bits). Everything else stays where it is
 * mapped. A family is a row of the table in model_families.c; unknown architectures, rope types and activations are
 * refused by name.
 *
 * The forward pass of all families, with what only some have in brackets (formulas: transformers' modeling files):
 *   x = embed[id] [* embed_scale]
 *   per layer: a = attention(norm(x));  x += [attn_post_norm of] a;  b = mlp(norm(x));  x += [ffn_post_norm of] b
 *   attention: q, k, v = W norm(x) [+ bias]; [q_norm and k_norm over each head]; q and k turned by their position [in
 *     some layers, or only the first `rotary` numbers of a head]; softmax of attn_scale q k [capped: cap tanh(s / cap)]
 *     over the keys up to the query's place [the last `window` of them]
 *   mlp: down(act(gate) * up)
 *   logits = head norm(x) [capped] */
#ifndef TS_MODEL_MODEL_H
#define TS_MODEL_MODEL_H

#include "core/model/tensor.h"

/* The seven projections LoRA can adapt, in the order of the forward pass. */
typedef enum ts_proj { TS_Q, TS_K, TS_V, TS_O, TS_GATE, TS_UP, TS_DOWN, TS_PROJS } ts_proj;
extern const char *const ts_proj_names[TS_PROJS];   /* "q_proj", ...; of a model: ts_proj_name */
extern const char *const ts_proj_parents[TS_PROJS]; /* "self_attn" or "mlp" */

typedef enum ts_act { TS_ACT_SILU, TS_ACT_GELU } ts_act; /* GELU in its tanh form */

enum { TS_MAX_HEAD_DIM = 1024 };

typedef struct ts_config {
    char family[32];       /* "llama", "qwen2" */
    char architecture[64]; /* as the file says: "LlamaForCausalLM", "llama" */
    char name[128];        /* for people: general.name or the folder's name */
    size_t hidden, ffn, layers, heads, kv_heads, head_dim, vocab, context;
    float rms_eps;
    double rope_theta;
    bool tied;        /* the head is the embedding */
    bool fused;       /* q, k and v are one matrix, gate and up another: see ts_proj_name */
    char modules[24]; /* what Hugging Face's paths of its modules begin with: "model", "model.language_model" */
    ts_act act;
    float attn_scale;          /* 1 / sqrt(head_dim) unless the file says otherwise */
    float attn_cap, logit_cap; /* 0: none */
    float embed_scale;         /* 1: none */
    int32_t
        eos[8]; /* stop tokens: generation_config's or the tokenizer's; the template's end of turn is added by chat.h */
    size_t n_eos;
    int32_t bos; /* -1: none */
    int32_t pad; /* padding, as config.json or the GGUF file's tokenizer says; -1: none */
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
    const float *attn_norm, *ffn_norm; /* [hidden] f32; factors of the norm as they are used (Gemma's 1 + w added up) */
    const float *attn_post_norm, *ffn_post_norm; /* [hidden]; NULL: none */
    const float *q_norm, *k_norm;                /* [head_dim]; NULL: none */
    size_t window;                               /* a query sees its last `window` places; 0: all */
    int rope;                                    /* index into ts_model.rope; -1: positions do not count */
} ts_layer;

typedef enum ts_rope_type {
    TS_ROPE_PLAIN,
    TS_ROPE_LINEAR,
    TS_ROPE_DYNAMIC,
    TS_ROPE_LLAMA3,
    TS_ROPE_YARN,
    TS_ROPE_LONGROPE,
    TS_ROPE_TYPES
} ts_rope_type;
extern const char *const ts_rope_names[TS_ROPE_TYPES]; /* as Hugging Face calls them: "default", "linear", ... */

/* How places turn q and k: numbers i and i + rotary / 2 of a head are a pair, turned by place * freq[i]. */
typedef struct ts_rope {
    ts_rope_type type;
    double theta, factor, original;          /* original: length the model was first trained with */
    double low_freq, high_freq;              /* llama3 */
    double beta_fast, beta_slow;             /* yarn */
    bool exact_range;                        /* yarn: the ends of the ramp are not rounded (truncate false) */
    const float *short_factor, *long_factor; /* longrope: [rotary / 2] divisors */
    const float *divisor;                    /* of a GGUF file: [rotary / 2]; NULL: none */
    double gain;                             /* cosines and sines are multiplied by it */
    size_t rotary;
    const float *freq; /* [rotary / 2] for sequences of at most `limit` tokens */
    size_t limit;      /* longer ones turn by ts_rope_frequencies(length); SIZE_MAX: none do */
} ts_rope;

typedef struct ts_model {
    ts_config config;
    char *path;            /* what was opened */
    ts_weight embed, head; /* [vocab, hidden]; head is embed when tied */
    const float *final_norm;
    ts_layer *layer; /* [layers] */
    ts_rope rope[2]; /* [1]: that of layers with a window, where a file makes a difference (Gemma 3) */
    size_t params;   /* number of parameters, tied ones once */
    size_t file_bytes;
    struct ts_model_store *store; /* mappings and converted copies */
} ts_model;

/* Opens a GGUF file or a Hugging Face folder (see locate.h for names). An open model does not change: any number of
 * threads may read it. Shapes and types of every tensor are checked
 * against the config; what is missing or of a wrong shape is named. */
TS_MUST_USE ts_status ts_model_open(ts_model **out, const char *spec, ts_err *err);
void ts_model_close(ts_model *m);
/* Rows and columns of a projection's matrix; 0 rows where the model has no such matrix of its own. */
void ts_proj_size(const ts_config *c, ts_proj p, size_t *rows, size_t *cols);
/* What Hugging Face calls it: "q_proj". In a fused model TS_Q stands for "qkv_proj" (rows of q, k, v one below the
 * other), TS_GATE for "gate_up_proj", and TS_K, TS_V and TS_UP are not there: NULL. */
const char *ts_proj_name(const ts_config *c, ts_proj p);
/* out[i] for i < rotary / 2: the frequencies for a sequence of `length` tokens. */
void ts_rope_frequencies(const ts_rope *r, size_t length, float *out);
/* Rows [first, first + n) of w as f32 into out [n, cols]. */
void ts_weight_rows(const ts_weight *w, size_t first, size_t n, float *out);
/* Bytes of the weights that were copied when the model was opened (GGUF: q and k in another row order). */
size_t ts_model_copied_bytes(const ts_model *m);
/* Gives the memory of w, a matrix of m, back where it is mapped from a file: it is read again when it is used again. */
void ts_model_forget(const ts_model *m, const ts_weight *w);
/* Hash of the hashes of config.json (folders) and the weights' file(s), 32 hex digits. The first call reads the files
 * through, later ones answer from memory. */
TS_MUST_USE ts_status ts_model_hash(const ts_model *m, char out[33], ts_err *err);

#endif
