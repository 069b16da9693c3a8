/* LoRA adapters as PEFT folders: adapter_config.json + adapter_model.safetensors (facts: PEFT's config.py,
 * save_and_load.py).
 *
 * In memory: for each adapted projection of each layer A [r, in] and B [out, r] in f32 and the factor s = alpha / r
 * (alpha / sqrt(r) with rsLoRA); y += s * (x A^T) B^T. Reading refuses a folder whose names or shapes do not match the
 * model exactly and lists what is missing, unexpected or of a wrong shape; PEFT itself would only warn and do nothing.
 * Written tensors are F32. DoRA, patterns, trained embeddings or norms and the like are refused by name. */
#ifndef TS_MODEL_ADAPTER_H
#define TS_MODEL_ADAPTER_H

#include "core/model/model.h"

typedef struct ts_lora {
    size_t r;       /* 0: this projection is not adapted */
    size_t in, out; /* a is [r, in], b is [out, r] */
    float scale;    /* s */
    float *a, *b;
} ts_lora;

typedef struct ts_adapter {
    size_t layers;
    ts_lora (*lora)[TS_PROJS]; /* [layers][TS_PROJS] */
    /* what adapter_config.json says */
    size_t r;
    double alpha, dropout;
    bool rslora;
    unsigned targets; /* bit (1 << ts_proj) */
    char *base_model; /* base_model_name_or_path */
    float *block;     /* all A and B, one allocation of n_params floats, in the order layer, projection, A, B */
    size_t n_params;
} ts_adapter;

/* A fresh adapter for m: A uniform in +-1/sqrt(in) from `seed` (PEFT's kaiming_uniform with a = sqrt 5), B zero. */
TS_MUST_USE ts_status ts_adapter_new(ts_adapter **out, const ts_model *m, size_t r, double alpha, double dropout,
                                     bool rslora, unsigned targets, uint64_t seed, ts_err *err);
/* Same shape as `like`, all zero: gradients, optimiser state. */
TS_MUST_USE ts_status ts_adapter_zero_like(ts_adapter **out, const ts_adapter *like, ts_err *err);
/* Reads the folder; the scale comes from its settings, F16 and BF16 tensors are widened. TS_FORMAT when it does not fit
 * m, with what is missing, unexpected or of a wrong shape. */
TS_MUST_USE ts_status ts_adapter_load(ts_adapter **out, const char *dir, const ts_model *m, ts_err *err);
/* Writes the folder (made if missing); each file atomically, the tensors before the config. */
TS_MUST_USE ts_status ts_adapter_save(const ts_adapter *a, const char *dir, ts_err *err);
void ts_adapter_free(ts_adapter *a);

/* "all-linear", "q_proj,v_proj", or a regular expression that must match the whole module path
 * ("model.layers.0.self_attn.q_proj"). For now a projection is adapted in all layers or in none: an expression that
 * splits one over layers is refused. */
TS_MUST_USE ts_status ts_targets_parse(const char *text, const ts_model *m, unsigned *targets, ts_err *err);
/* Number of parameters LoRA of this rank would train, without allocating. */
size_t ts_lora_params(const ts_model *m, size_t r, unsigned targets);
/* "trainable params: 4,884,480 || all params: 139,399,488 || trainable%: 3.5039": PEFT's line, into out. */
void ts_trainable_line(size_t trainable, size_t base, char *out, size_t n);

#endif
