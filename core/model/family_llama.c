/* Llama 2 and 3 and the models of their form; Mistral, which adds a window to all layers. In GGUF files Mistral calls
 * itself llama. Facts: transformers' configuration_llama.py and configuration_mistral.py. */
#include "core/model/model_private.h"

/* A llama GGUF file that names a window has it on all layers. */
static ts_status gguf_window(ts_keys *r) {
    return ts_keys_windows(r, 0, 1);
}

const ts_family ts_family_llama = {.name = "llama",
                                   .also = "SmolLM2 and TinyLlama",
                                   .hf_architecture = "LlamaForCausalLM",
                                   .hf_model_type = "llama",
                                   .gguf_architecture = "llama",
                                   .peft_targets = true,
                                   .bias = TS_BIAS_CONFIG,
                                   .gguf_interleaved = true,
                                   .gguf = gguf_window};

static bool every_layer(const ts_hf *r, size_t layer) {
    (void)r;
    (void)layer;
    return true;
}

static ts_status mistral(const ts_hf *r) {
    return ts_hf_windows(r, 4096, every_layer);
}

const ts_family ts_family_mistral = {.name = "mistral",
                                     .peft_targets = true,
                                     .hf_architecture = "MistralForCausalLM",
                                     .hf_model_type = "mistral",
                                     .hf = mistral};
