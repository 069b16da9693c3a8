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

/* What can be replaced as a whole, one after the other; path "" for what this model does not have. */
typedef struct ts_part_of {
    char path[TS_MODULE_PATH];
    const void *replaces;
    ts_weight weight; /* the model's own; [1, n] f32 for a norm or a bias: as used, with Gemma's 1 */
    bool norm, bias, proj;
    size_t layer; /* SIZE_MAX: in none */
} ts_part_of;
/* Embedding, then of each layer its projections, biases and norms, then the last norm and the head (also where it is
 * the embedding); false behind the last. */
bool ts_part_at(const ts_model *m, size_t i, ts_part_of *out);
size_t ts_part_count(const ts_model *m);
/* One more saved module, with the model's own values. */
void ts_add_saved(ts_adapter *a, const ts_part_of *part);
/* Makes by_own. */
void ts_index_saved(ts_adapter *a);
/* Those that settings.save names; `what` begins a message: "the adapter DIR". */
TS_MUST_USE ts_status ts_list_saved(ts_adapter *a, const char *what, ts_err *err);
/* How many numbers they are. */
TS_MUST_USE ts_status ts_saved_params(size_t *out, const ts_model *m, const ts_adapter_settings *s, ts_err *err);
TS_MUST_USE ts_status ts_adapter_load_whole(ts_adapter **out, const char *dir, const ts_model *m, ts_err *err);
/* adapter_select.c: which parts (chosen [ts_part_count]) modules and layers of ts_adapter_whole mean. */
TS_MUST_USE ts_status ts_parts_select(bool *chosen, const ts_model *m, const char *modules, const char *layers,
                                      ts_err *err);

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
