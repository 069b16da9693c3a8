/* The families of models that are read, one row each. A family belongs here when its forward pass is the Llama one:
 * RMSNorm, rotary half-split attention with grouped keys, SiLU-gated MLP, and only the differences named in ts_family.
 */
#include "core/model/model_private.h"

#include <string.h>

const ts_family ts_families[] = {
    {.name = "llama",
     .hf_architecture = "LlamaForCausalLM",
     .hf_model_type = "llama",
     .gguf_architecture = "llama",
     .bias = TS_BIAS_CONFIG,
     .gguf_interleaved = true},
    {.name = "mistral", .hf_architecture = "MistralForCausalLM", .hf_model_type = "mistral", .default_window = 4096},
    {.name = "qwen2",
     .hf_architecture = "Qwen2ForCausalLM",
     .hf_model_type = "qwen2",
     .gguf_architecture = "qwen2",
     .bias = TS_BIAS_QKV,
     .default_window = 4096,
     .window_needs_flag = true},
};
const size_t ts_n_families = TS_COUNT(ts_families);

const ts_family *ts_family_by_hf(const char *architecture, const char *model_type) {
    for (size_t i = 0; i < ts_n_families; i++)
        if (architecture ? strcmp(ts_families[i].hf_architecture, architecture) == 0
                         : strcmp(ts_families[i].hf_model_type, model_type) == 0)
            return &ts_families[i];
    return NULL;
}

const ts_family *ts_family_by_gguf(const char *architecture) {
    for (size_t i = 0; i < ts_n_families; i++)
        if (ts_families[i].gguf_architecture && strcmp(ts_families[i].gguf_architecture, architecture) == 0)
            return &ts_families[i];
    return NULL;
}

const char *ts_family_list(void) {
    return "llama (with SmolLM2 and TinyLlama), mistral and qwen2";
}
