/* Phi-3 and Phi-4-mini: q, k and v in one matrix, gate and up in another; longrope; the newer ones turn only a part of
 * each head. Facts: transformers' configuration_phi3.py and modeling_phi3.py. */
#include "core/model/model_private.h"

static bool every_layer(const ts_hf *r, size_t layer) {
    (void)r;
    (void)layer;
    return true;
}

static ts_status read_window(const ts_hf *r) {
    return ts_hf_windows(r, 0, every_layer);
}

/* llama.cpp reads the key and leaves it unused; the model was trained with it (sliding_window of config.json). */
static ts_status gguf_window(ts_keys *r) {
    return ts_keys_windows(r, 0, 1);
}

const ts_family ts_family_phi3 = {.name = "phi3",
                                  .also = "Phi-4-mini",
                                  .hf_architecture = "Phi3ForCausalLM",
                                  .hf_model_type = "phi3",
                                  .gguf_architecture = "phi3",
                                  .fused = true,
                                  .partial_rotary = true,
                                  .hf = read_window,
                                  .gguf = gguf_window};
