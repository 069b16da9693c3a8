/* Qwen 2 and 2.5 (biases on q, k and v) and Qwen 3 (norms on the heads of q and k, no biases unless asked for). Facts:
 * transformers' configuration_qwen2.py and configuration_qwen3.py. */
#include "core/model/model_private.h"

static bool upper_layer(const ts_hf *r, size_t layer) {
    return (double)layer >= ts_json_num(ts_hf_get(r, "max_window_layers"), 28);
}

/* sliding_window counts only with use_sliding_window. */
static ts_status windows(const ts_hf *r) {
    return ts_json_is_true(ts_hf_get(r, "use_sliding_window")) ? ts_hf_windows(r, 4096, upper_layer) : TS_OK;
}

const ts_family ts_family_qwen2 = {.name = "qwen2",
                                   .also = "2.5",
                                   .hf_architecture = "Qwen2ForCausalLM",
                                   .hf_model_type = "qwen2",
                                   .gguf_architecture = "qwen2",
                                   .peft_targets = true,
                                   .bias = TS_BIAS_QKV,
                                   .hf = windows};

const ts_family ts_family_qwen3 = {.name = "qwen3",
                                   .hf_architecture = "Qwen3ForCausalLM",
                                   .hf_model_type = "qwen3",
                                   .gguf_architecture = "qwen3",
                                   .peft_targets = true,
                                   .bias = TS_BIAS_CONFIG,
                                   .qk_norms = true,
                                   .head_dim = 128,
                                   .hf = windows};
