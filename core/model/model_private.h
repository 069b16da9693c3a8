/* Shared by core/model/model*.c: how a model is put together from a source of tensors.
 *
 * A reader (model_hf.c, model_gguf.c) fills in the config and the traits, then offers tensors by Hugging Face's and by
 * GGUF's names; model_build.c binds them to their roles, checks every shape and type, and reports all that is missing
 * in one sentence. */
#ifndef TS_MODEL_PRIVATE_H
#define TS_MODEL_PRIVATE_H

#include "core/base/json.h"
#include "core/model/gguf.h"
#include "core/model/model.h"
#include "core/model/safetensors.h"

#include <pthread.h>

/* One row a family (model_families.c lists them, family_*.c hold them): how files name it and in what it differs. What
 * stands in no flag is done by its two functions, which are called once the sizes are known and the layers exist. */
typedef enum ts_bias { TS_BIAS_NONE, TS_BIAS_QKV, TS_BIAS_CONFIG } ts_bias;
typedef struct ts_hf ts_hf;
typedef struct ts_keys ts_keys;
typedef struct ts_family {
    const char *name, *also;                     /* also: other models of the family, for messages; NULL: none */
    const char *hf_architecture, *hf_model_type; /* NULL: no Hugging Face name */
    const char *hf_wrapper, *hf_wrapper_type;    /* the same model inside one for pictures, settings in text_config */
    const char *gguf_architecture;               /* NULL: no GGUF name of its own */
    ts_bias bias;                                /* CONFIG: attention_bias and mlp_bias say so */
    bool gguf_interleaved;                       /* rows of q and k are stored in interleaved rotary order */
    bool fused, qk_norms, post_norms;
    bool norms_from_one;   /* Hugging Face's files hold w of 1 + w */
    bool gelu;             /* the activation must be the tanh form of gelu, else silu */
    bool scaled_embedding; /* by the square root of the hidden size */
    bool partial_rotary;   /* partial_rotary_factor counts */
    bool peft_targets;     /* PEFT's targets are q_proj and v_proj where an adapter names none; else it has none */
    bool tied;             /* what absent settings mean, as in the family's config class in transformers */
    double theta;          /* 0: 10000 */
    size_t heads, kv_heads, head_dim, vocab, context; /* 0: must be there, heads, hidden / heads, must be there, 2048 */
    ts_status (*hf)(const ts_hf *r);
    ts_status (*gguf)(ts_keys *r);
} ts_family;
extern const ts_family ts_family_llama, ts_family_mistral, ts_family_qwen2, ts_family_qwen3, ts_family_smollm3,
    ts_family_phi3, ts_family_gemma2, ts_family_gemma3;
extern const ts_family *const ts_families[];
extern const size_t ts_n_families;
/* *wrapped: the settings are in text_config. NULL: not known. */
const ts_family *ts_family_by_hf(const char *architecture, const char *model_type, bool *wrapped);
const ts_family *ts_family_by_gguf(const char *architecture);
const ts_family *ts_family_of(const ts_model *m);
/* "llama (with SmolLM2 and TinyLlama), mistral, ...": for messages. */
enum { TS_FAMILY_LIST = 256 };
const char *ts_family_list(char out[TS_FAMILY_LIST]);

/* Names of a layer's tensors, without what stands before and behind: "self_attn.q_proj", in a GGUF file "attn_q". */
enum { TS_PROJ_TENSOR = 48 };
const char *ts_proj_tensor(const ts_config *c, bool gguf, ts_proj p, char out[TS_PROJ_TENSOR]);
/* The norms of a layer. Hugging Face's name of the one before the MLP depends on whether there is one behind attention.
 * NULL: the family has no such norm. */
typedef enum ts_norm {
    TS_ATTN_NORM,
    TS_FFN_NORM,
    TS_ATTN_POST_NORM,
    TS_FFN_POST_NORM,
    TS_Q_NORM,
    TS_K_NORM,
    TS_NORMS
} ts_norm;
const char *ts_norm_name(const ts_family *f, bool gguf, ts_norm n);
const float **ts_norm_of(ts_layer *l, ts_norm n);

struct ts_model_store {
    ts_gguf *gguf;
    ts_safetensors **shards;
    char **paths; /* files that belong to the hash, in order */
    size_t n_shards, n_paths, cap_paths;
    void *block; /* mapped: q and k in another row order; NULL: none */
    size_t block_bytes;
    void *nf4; /* mapped: the linears in 4 bits (nf4.h); NULL: none */
    size_t nf4_bytes;
    ts_arena arena; /* small f32 vectors */
    pthread_mutex_t lock;
    char hash[33]; /* "" until asked for; guarded by lock */
};

/* What the binder needs to know beyond ts_config. */
typedef struct ts_source {
    bool gguf;
    const ts_family *family;
    const char *prefix;  /* HF: what stands before "layers.0." and "embed_tokens.weight" */
    bool bias[TS_PROJS]; /* must be there (HF), may be there (GGUF) */
} ts_source;

/* Reading a Hugging Face folder; the functions fail with a sentence that names the setting. */
struct ts_hf {
    ts_model *m;
    const char *dir;
    const ts_json *root, *config; /* config.json; the object in it that describes the language model */
    ts_source *src;
    ts_err *err;
};
/* A setting that is there and not null. */
const ts_json *ts_hf_get(const ts_hf *r, const char *name);
/* A whole number from 1 on; `otherwise` 0: must be there. */
TS_MUST_USE ts_status ts_hf_size(const ts_hf *r, const char *name, size_t otherwise, size_t *out);
/* A number of `object`. */
TS_MUST_USE ts_status ts_hf_num(const ts_hf *r, const ts_json *object, const char *name, double otherwise, double *out);
/* The window of the layers that layer_types calls sliding_attention or, where there is no such list, for which
 * `sliding` holds. The setting sliding_window: `otherwise` when absent, none when null. */
typedef bool (*ts_sliding)(const ts_hf *r, size_t layer);
TS_MUST_USE ts_status ts_hf_windows(const ts_hf *r, size_t otherwise, ts_sliding sliding);
/* model_hf_config.c */
TS_MUST_USE ts_status ts_hf_read_config(ts_hf *r);

/* Reading the keys of a GGUF file: names begin with the architecture. */
struct ts_keys {
    ts_model *m;
    const ts_gguf *g;
    ts_source *src;
    char key[128]; /* the last one asked for */
    ts_err *err;
};
int64_t ts_keys_int(ts_keys *r, const char *name, int64_t otherwise);
double ts_keys_num(ts_keys *r, const char *name, double otherwise);
/* Every layer but each `period`-th gets the window of attention.sliding_window (`otherwise` when absent); 1: all of
 * them; attention.sliding_window_pattern may say another period or tell it for each layer. */
TS_MUST_USE ts_status ts_keys_windows(ts_keys *r, int64_t otherwise, int64_t period);

/* Checks config's numbers against each other and makes the layers, each with rope 0 and no window. */
TS_MUST_USE ts_status ts_model_layers(ts_model *m, ts_err *err);
/* What GGUF files call a projection: "attn_q", "attn_qkv"; NULL as ts_proj_name. */
const char *ts_gguf_proj_name(const ts_config *c, ts_proj p);
/* Whether a layer's tensor ("mlp.up_proj.weight", "ffn_up.weight") belongs to this family. */
bool ts_known_tensor(const ts_source *src, const ts_config *c, const char *rest);
/* model_rope.c: checks a rope's numbers, fills in freq, limit and, where it is 0, gain. */
TS_MUST_USE ts_status ts_rope_finish(ts_model *m, ts_rope *r, ts_err *err);

/* Finds a tensor by name in whatever file it is; `type` receives what its file calls the type. NULL: not there. */
const ts_tensor *ts_store_find(const struct ts_model_store *s, const char *name, const char **type);
/* Binds every tensor. */
TS_MUST_USE ts_status ts_model_build(ts_model *m, const ts_source *src, ts_err *err);
TS_MUST_USE ts_status ts_model_read_hf(ts_model *m, const char *dir, ts_err *err);
TS_MUST_USE ts_status ts_model_read_gguf(ts_model *m, const char *path, ts_err *err);

#endif
