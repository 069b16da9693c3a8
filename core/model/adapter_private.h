/* Shared by core/model/adapter*.c. */
#ifndef TS_MODEL_ADAPTER_PRIVATE_H
#define TS_MODEL_ADAPTER_PRIVATE_H

#include "core/base/json.h"
#include "core/model/adapter.h"
#include "core/model/safetensors.h"

/* Modules that LoRA can adapt are numbered: layer * TS_PROJS + projection, then the embedding, then the head. */
size_t ts_module_count(const ts_model *m);
ts_module ts_module_at(const ts_model *m, size_t i);
enum { TS_MODULE_PATH = 64 };
/* "model.layers.0.self_attn.q_proj", "model.embed_tokens", "lm_head"; "" for one that a fused model does not have */
void ts_module_path(const ts_model *m, ts_module module, char out[TS_MODULE_PATH]);
void ts_module_size(const ts_model *m, ts_module module, size_t *rows, size_t *cols);
const ts_weight *ts_module_weight(const ts_model *m, ts_module module);
ts_lora *ts_adapter_lora(const ts_adapter *a, ts_module module);

/* Norm i of the model: its path ("" for one that the family does not have), values and their number; false behind the
 * last. */
bool ts_norm_at(const ts_model *m, size_t i, char path[TS_MODULE_PATH], const float **values, size_t *n);

/* What each module gets: rank 0 = not adapted. */
typedef struct ts_shape {
    size_t r;
    double alpha;
} ts_shape;
/* As the settings say, by PEFT's rules (tuners_utils.py check_target_module_exists, get_pattern_key): shapes
 * [ts_module_count], the caller frees. `strict`: every name of a list must exist. */
TS_MUST_USE ts_status ts_adapter_select(ts_shape **shapes, const ts_adapter_settings *s, const ts_model *m, bool strict,
                                        ts_err *err);
/* Does modules_to_save name this path? PEFT matches the end of the path. */
bool ts_save_matches(const ts_json *save, const char *path);

/* An adapter of zeros (gains 1) with a copy of the settings, after checking their numbers. */
TS_MUST_USE ts_status ts_adapter_alloc(ts_adapter **out, const ts_adapter_settings *s, const ts_model *m,
                                       const ts_shape *shapes, ts_err *err);
void ts_settings_copy(ts_adapter_settings *to, const ts_adapter_settings *from);
float ts_lora_scale(size_t r, double alpha, bool rslora);

/* adapter_config.c: adapter_config.json, read with everything that is not done refused by name, and written. Targets
 * that are null stay so: the model's family decides. */
TS_MUST_USE ts_status ts_settings_read(ts_adapter_settings *s, const ts_json *config, const char *dir, ts_err *err);
void ts_settings_write(const ts_adapter_settings *s, ts_buf *out);

/* The tensors of a PEFT file, one after the other: LoRA's, then saved modules. `i` counts from 0; false at the end.
 * For LoRA `into` is where its floats are (expected shape in t); for a saved module NULL, and `saved` says which. */
typedef struct ts_slot {
    char key[160];
    int n_dims;
    size_t dims[2];
    float *into;
    ts_saved *saved;
} ts_slot;
bool ts_adapter_slot(const ts_adapter *a, size_t i, ts_slot *out);

/* adapter_gguf.c, adapter_mlx.c */
TS_MUST_USE ts_status ts_adapter_load_gguf(ts_adapter **out, const char *path, const ts_model *m, ts_err *err);
TS_MUST_USE ts_status ts_adapter_load_mlx(ts_adapter **out, const char *dir, const ts_model *m, ts_err *err);

/* Names and shapes that do not fit, by kind: how many, and the first. */
typedef struct ts_misfits {
    size_t missing, unexpected, shapes;
    char first_missing[160], first_unexpected[160], first_shape[240];
} ts_misfits;
void ts_misfit_missing(ts_misfits *bad, const char *name);
void ts_misfit_unexpected(ts_misfits *bad, const char *name);
void ts_misfit_shape(ts_misfits *bad, const ts_tensor *t, const char *name, size_t rows, size_t cols);
/* TS_FORMAT with all of it; TS_OK when nothing is wrong. */
TS_MUST_USE ts_status ts_misfits_report(const ts_misfits *bad, const char *path, const ts_model *m, ts_err *err);
TS_MUST_USE ts_status ts_adapter_finite(const ts_adapter *a, const char *path, ts_err *err);

#endif
