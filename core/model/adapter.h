/* LoRA adapters, in every form that PEFT writes for a causal language model, and two that others write.
 *
 * A folder is PEFT's (adapter_config.json + adapter_model.safetensors; facts: PEFT's config.py, save_and_load.py,
 * tuners/lora/) or mlx-lm's (adapters.safetensors); a file is a GGUF adapter of llama.cpp. ts_adapter_load looks at
 * what is there. Reading refuses what does not match the model exactly and lists what is missing, unexpected or of a
 * wrong shape; PEFT itself would only warn and do nothing.
 *
 * In memory, for an adapted linear W [out, in] with input x:
 *   y = x W^T + bias + s (x A^T) B^T                      A [r, in], B [out, r], s = alpha / r (rsLoRA: alpha /
 * sqrt(r)) y = g o (x W^T + s (x A^T) B^T) + bias                DoRA: g = mag / n, n_i = |row i of W + s B A|, a
 * constant The embedding is row-wise: E[id] + s B A[:, id], A [r, vocab], B [hidden, r]. Saved modules (norms,
 * embedding, head) replace the model's while the adapter is active. On a model whose head is its embedding, an adapted
 * or saved embedding changes the input side only. r, alpha and which modules are adapted may differ from layer to
 * layer. Of an embedding that is scaled
 * (Gemma) the change is scaled too. Not read, and refused by name: trained biases, lora_bias, DoRA on the embedding,
 * initialisations that change the base, saved modules of other kinds. Written tensors are F32 (saved modules keep their
 * type).
 *
 * An adapter is bound to the model it was made for, which must stay open. One that is not being trained may be read by
 * any number of threads. */
#ifndef TS_MODEL_ADAPTER_H
#define TS_MODEL_ADAPTER_H

#include "core/model/model.h"

typedef struct ts_lora {
    size_t r;       /* 0: this module is not adapted */
    size_t in, out; /* a is [r, in], b is [out, r] */
    double alpha;
    float scale; /* s */
    float *a, *b;
    float *mag;     /* DoRA's magnitude [out]; NULL: plain LoRA */
    float *gain;    /* g [out], from mag, a, b and the model: ts_adapter_refresh; NULL: plain LoRA */
    float *inverse; /* 1 / n [out]; 0 for a row of zeros */
} ts_lora;

/* A module that is replaced as a whole. */
typedef struct ts_saved {
    char name[64];        /* "model.norm": its path without ".weight" */
    const void *replaces; /* the model's own values: the struct of a matrix, the numbers of a norm or a bias */
    ts_weight weight;     /* as stored; [1, n] f32 for a norm or a bias */
    const float *factors; /* of a norm or a bias: as they are used (Gemma's 1 + w added up); else NULL */
    bool from_one;        /* ... which is so here */
    bool base;            /* stored beside LoRA on it, as base_layer.weight; not trained */
    bool both;            /* of the embedding: also the head of a model whose head is its embedding */
    bool held;            /* it can be trained; else it is mapped */
    size_t at;            /* where it begins in the block (or in halves) */
    float *values;        /* that place in the block; NULL: it is mapped, or in halves */
} ts_saved;

/* What adapter_config.json says, as text of JSON where it is more than a number; NULL: null. */
typedef struct ts_adapter_settings {
    size_t r;
    double alpha, dropout;
    bool rslora, dora;
    char *targets;                      /* ["q_proj", ..] or "regular expression" */
    char *exclude;                      /* the same */
    char *layers, *layers_pattern;      /* layers_to_transform: 3 or [0, 1]; layers_pattern: "layers" or ["h"] */
    char *rank_pattern, *alpha_pattern; /* {"pattern": number}, the first that matches counts */
    char *save;                         /* modules_to_save: ["norm"] */
    char *base_model;                   /* base_model_name_or_path, plain text */
} ts_adapter_settings;

typedef struct ts_adapter {
    const ts_model *model;
    ts_adapter_settings settings;
    size_t layers;
    ts_lora (*lora)[TS_PROJS]; /* [layers][TS_PROJS] */
    ts_lora embed, head;
    ts_saved *saved;
    size_t n_saved;
    const ts_saved **by_own; /* saved, by the addresses that they replace; NULL: they are searched one by one */
    bool whole;              /* a model in place of another: saved modules alone, see ts_adapter_whole */
    double dropout;
    float *block; /* all A, B and magnitudes, one allocation of n_params floats, in the order layer, projection (then
                     embedding, head), A, B, magnitude; then the saved modules that are held (ts_adapter_hold) */
    uint16_t *halves;        /* of a whole model that is kept in bf16: its n_params values; block is NULL then */
    size_t n_params, n_held; /* n_held: of the saved modules in it, at its end */
    float *gains;            /* all g and 1 / n */
    size_t n_gains;
    float *norms;                /* saved norms: stored values, then factors; held: the factors that differ from them */
    struct ts_safetensors *file; /* where saved modules are mapped; NULL: none */
    ts_model *source;            /* the same for a whole model */
} ts_adapter;

/* A fresh adapter for m: A uniform in +-1/sqrt(in) from `seed` (PEFT's kaiming_uniform with a = sqrt 5), B zero, DoRA's
 * magnitudes the norms of the model's rows. Embedding: A zero, B normal. Saved modules (settings.save) begin as the
 * model's own and are held. */
TS_MUST_USE ts_status ts_adapter_make(ts_adapter **out, const ts_model *m, const ts_adapter_settings *settings,
                                      uint64_t seed, ts_err *err);
/* The same for whole projections: bit (1 << ts_proj) of targets in every layer. */
TS_MUST_USE ts_status ts_adapter_new(ts_adapter **out, const ts_model *m, size_t r, double alpha, double dropout,
                                     bool rslora, unsigned targets, uint64_t seed, ts_err *err);
/* All the weights of m (or some) as an adapter that can be trained: full fine-tuning. Every module begins as the
 * model's own in f32 or, rounded to nearest, in bf16 (`type`), held; the embedding of a model whose head is its
 * embedding counts for both. `modules`: "all" or NULL, all-linear, names (the end of a path: "norm", "embed_tokens",
 * "q_proj") or a regular expression for whole paths
 * ("model.layers.0.input_layernorm"); a projection's bias goes with it. `layers`: "20-29", "0,3,5-7"; then nothing
 * outside of layers is chosen; NULL or "": all. TS_INVALID: nothing is chosen, or a name that there is not. Large: the
 * model's size in that type. */
TS_MUST_USE ts_status ts_adapter_whole(ts_adapter **out, const ts_model *m, const char *modules, const char *layers,
                                       ts_dtype type, ts_err *err);
/* How many parameters that would be, without allocating. */
TS_MUST_USE ts_status ts_whole_params(size_t *out, const ts_model *m, const char *modules, const char *layers,
                                      ts_err *err);
/* Copies the saved modules into the block in f32, so that they are trained and counted in n_params. */
TS_MUST_USE ts_status ts_adapter_hold(ts_adapter *a, ts_err *err);
/* Same shape as `like`, all zero, of saved modules those that are held, in f32: gradients, optimiser state. */
TS_MUST_USE ts_status ts_adapter_zero_like(ts_adapter **out, const ts_adapter *like, ts_err *err);
/* Is it a folder or file of an adapter, by what is there? */
bool ts_is_adapter(const char *path);
/* Is it a Hugging Face folder of a model? ts_adapter_load takes it as an adapter that replaces everything. */
bool ts_is_whole(const char *path);
/* The adapter that `path` means: itself (also a whole model), or its only sub-folder that is one (PEFT puts a named
 * adapter into a folder of its name). *out is the caller's. TS_NOT_FOUND, or TS_INVALID with their names when there are
 * several. */
TS_MUST_USE ts_status ts_adapter_find(char **out, const char *path, ts_err *err);
/* Reads a PEFT or mlx-lm folder (or the only sub-folder of one that is), a GGUF file, or a Hugging Face folder of a
 * model with the sizes of m, whose weights then take the place of m's and stay mapped. F16 and BF16 are widened.
 * TS_FORMAT when it does not fit m, with what is missing, unexpected or of a wrong shape. */
TS_MUST_USE ts_status ts_adapter_load(ts_adapter **out, const char *path, const ts_model *m, ts_err *err);
/* Writes a PEFT folder (made if missing); each file atomically, the tensors before the config. Written, read and
 * written again gives the same bytes. */
TS_MUST_USE ts_status ts_adapter_save(const ts_adapter *a, const char *dir, ts_err *err);
/* Writes a GGUF adapter for llama.cpp, F32, atomically. rsLoRA, patterns and alphas are folded into alpha and B.
 * TS_UNSUPPORTED, with the advice to merge instead, for what the format cannot say: DoRA, saved modules, LoRA on
 * the embedding or head of a model where they are one tensor. */
TS_MUST_USE ts_status ts_adapter_save_gguf(const ts_adapter *a, const char *path, ts_err *err);
void ts_adapter_free(ts_adapter *a);
/* Calculates what is made from the block anew, after it changed: DoRA's g (on all cores), Gemma's 1 + w, the factors
 * of norms that are kept in bf16. */
void ts_adapter_refresh(ts_adapter *a);

/* "all-linear", "q_proj,v_proj", or a regular expression that must match the whole module path
 * ("model.layers.0.self_attn.q_proj") into settings' targets (owned by it). Names must exist in m. An
 * expression that also matches what is no matrix (a layer, its attention) is kept as the list of what it chose: PEFT
 * would refuse it. */
TS_MUST_USE ts_status ts_targets_set(ts_adapter_settings *s, const char *text, const ts_model *m, ts_err *err);
/* "20-29" or "0,3,5-7" into settings' layers. NULL or "": all. */
TS_MUST_USE ts_status ts_layers_set(ts_adapter_settings *s, const char *text, const ts_model *m, ts_err *err);
/* "q_proj=8,.*down_proj=4" into {"q_proj": 8, ..}, new text (free); a comma in braces does not part. NULL for "". */
TS_MUST_USE ts_status ts_pattern_parse(char **out, const char *text, ts_err *err);
void ts_adapter_settings_release(ts_adapter_settings *s);
/* Number of parameters that would be trained and the largest sum of the ranks of a layer (NULL: not asked), without
 * allocating. Checks the settings as ts_adapter_make does. */
TS_MUST_USE ts_status ts_lora_params(size_t *out, size_t *ranks, const ts_model *m, const ts_adapter_settings *s,
                                     ts_err *err);
/* Number of the model's weights that would be adapted, and the longest row of them. */
TS_MUST_USE ts_status ts_lora_weights(size_t *out, size_t *cols, const ts_model *m, const ts_adapter_settings *s,
                                      ts_err *err);
/* TS_UNSUPPORTED with the name of what the adapter has that training cannot change: saved modules that are not held,
 * LoRA on embedding or head. */
TS_MUST_USE ts_status ts_adapter_trainable(const ts_adapter *a, ts_err *err);
/* Parameters that PEFT counts as trainable: LoRA's, magnitudes and saved modules. */
size_t ts_adapter_params(const ts_adapter *a);
/* "trainable params: 4,884,480 || all params: 139,399,488 || trainable%: 3.5039": PEFT's line, into out. */
void ts_trainable_line(size_t trainable, size_t base, char *out, size_t n);

/* ---- what the model is while the adapter is active; a NULL: the model itself ---- */

/* The values in place of a norm's or a bias' own (a pointer of the model; NULL stays NULL). */
const float *ts_adapter_norm(const ts_adapter *a, const float *own);
/* The matrix of a projection, before LoRA. */
const ts_weight *ts_adapter_proj(const ts_adapter *a, const ts_model *m, size_t layer, size_t proj);
/* Where the held module is that replaces `own` (as ts_saved.replaces says): in a gradient, where to add. NULL: none. */
float *ts_adapter_values(const ts_adapter *a, const void *own);
/* The matrices before any LoRA of theirs. */
const ts_weight *ts_adapter_embed(const ts_adapter *a, const ts_model *m);
const ts_weight *ts_adapter_head(const ts_adapter *a, const ts_model *m);
/* Row `id` of the embedding with everything applied, [hidden] f32. */
void ts_adapter_embed_row(const ts_adapter *a, const ts_model *m, size_t id, float *out);

/* One matrix of a model. `layer` and `proj` count for TS_MODULE_PROJ only. */
typedef struct ts_module {
    enum { TS_MODULE_PROJ, TS_MODULE_EMBED, TS_MODULE_HEAD } kind;
    size_t layer;
    ts_proj proj;
} ts_module;
/* Does the adapter change it? (A head that is the embedding is not changed by what is done to the embedding.) */
bool ts_adapter_changes(const ts_adapter *a, ts_module module);
/* Rows [first, first + n) of the matrix that gives the same outputs without the adapter, as f32 into out [n, in]:
 * W + s B A; DoRA g o (W + s B A); a saved module's own values. s B A is summed in f32 and added once. For merging; any
 * thread, rows in any cut give the same bits. */
void ts_adapter_apply(const ts_adapter *a, const ts_model *m, ts_module module, size_t first, size_t n, float *out);

#endif
