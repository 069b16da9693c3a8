/* Shared by core/model/adapter*.c. */
#ifndef TS_MODEL_ADAPTER_PRIVATE_H
#define TS_MODEL_ADAPTER_PRIVATE_H

#include "core/base/json.h"
#include "core/model/adapter.h"

/* An adapter of zeros with the settings (r, alpha, dropout, rslora, targets, base_model) of `settings`, after checking
 * them. */
TS_MUST_USE ts_status ts_adapter_alloc(ts_adapter **out, const ts_adapter *settings, const ts_model *m, ts_err *err);
float ts_lora_scale(size_t r, double alpha, bool rslora);

/* target_modules of adapter_config.json: a list of names, "all-linear", a regular expression, or null (PEFT's default
 * for these families: q_proj and v_proj). */
TS_MUST_USE ts_status ts_targets_from_json(const ts_json *v, const ts_model *m, unsigned *targets, ts_err *err);

enum { TS_MODULE_PATH = 64 };
/* "model.layers.0.self_attn.q_proj" */
void ts_module_path(size_t layer, ts_proj p, char out[TS_MODULE_PATH]);
/* Name of a tensor in adapter_model.safetensors: "base_model.model." + path + ".lora_A.weight" (or B). */
void ts_adapter_key(size_t layer, ts_proj p, bool b, char out[128]);

#endif
