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

/* One row a family: how files name it and which biases it has. */
typedef enum ts_bias { TS_BIAS_NONE, TS_BIAS_QKV, TS_BIAS_CONFIG } ts_bias;
typedef struct ts_family {
    const char *name, *hf_architecture, *hf_model_type;
    const char *gguf_architecture; /* NULL: no GGUF name of its own */
    ts_bias bias;                  /* CONFIG: attention_bias and mlp_bias say so */
    bool gguf_interleaved;         /* rows of q and k are stored in interleaved rotary order */
    int default_window;            /* sliding_window when the key is absent; 0: none */
    bool window_needs_flag;        /* sliding_window counts only with use_sliding_window */
} ts_family;
extern const ts_family ts_families[];
extern const size_t ts_n_families;
const ts_family *ts_family_by_hf(const char *architecture, const char *model_type);
const ts_family *ts_family_by_gguf(const char *architecture);
/* "llama, qwen2": for messages. */
const char *ts_family_list(void);

typedef struct ts_rope {
    double theta, factor; /* factor: linear and llama3 */
    enum { TS_ROPE_PLAIN, TS_ROPE_LINEAR, TS_ROPE_LLAMA3 } type;
    double low_freq, high_freq, original; /* llama3 */
} ts_rope;
/* out[i] = theta^(-2i/d) with the scaling applied, i < head_dim / 2. */
void ts_rope_frequencies(const ts_rope *r, size_t head_dim, float *out);

struct ts_model_store {
    ts_gguf *gguf;
    ts_safetensors **shards;
    char **paths; /* files that belong to the hash, in order */
    size_t n_shards, n_paths, cap_paths;
    void *block; /* mapped: q and k in another row order; NULL: none */
    size_t block_bytes;
    ts_arena arena; /* small f32 vectors */
    pthread_mutex_t lock;
    char hash[33]; /* "" until asked for; guarded by lock */
};

/* What the binder needs to know beyond ts_config. */
typedef struct ts_source {
    bool gguf;
    bool bias[TS_PROJS]; /* must be there (HF), may be there (GGUF) */
    bool permute;        /* q and k rows as GGUF stores them for llama */
    ts_rope rope;
} ts_source;

/* Finds a tensor by name in whatever file it is; `type` receives what its file calls the type. NULL: not there. */
const ts_tensor *ts_store_find(const struct ts_model_store *s, const char *name, const char **type);
/* Checks config's numbers against each other and binds every tensor. */
TS_MUST_USE ts_status ts_model_build(ts_model *m, const ts_source *src, ts_err *err);
TS_MUST_USE ts_status ts_model_read_hf(ts_model *m, const char *dir, ts_err *err);
TS_MUST_USE ts_status ts_model_read_gguf(ts_model *m, const char *path, ts_err *err);

#endif
