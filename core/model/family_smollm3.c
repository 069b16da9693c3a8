/* SmolLM3: some layers do not turn q and k by their position (NoPE); with a window, those are the ones that have it.
 * Facts: transformers' configuration_smollm3.py; in GGUF files it is every fourth layer (llama.cpp, LLM_ARCH_SMOLLM3)
 * and the rows of q and k are in the order of llama's. */
#include "core/model/model_private.h"

static bool nope_layer(const ts_hf *r, size_t layer) {
    return r->m->layer[layer].rope < 0;
}

static ts_status read_layers(const ts_hf *r) {
    const ts_json *list = ts_hf_get(r, "no_rope_layers"), *v = ts_json_child(list);
    size_t interval;
    TS_TRY(ts_hf_size(r, "no_rope_layer_interval", 4, &interval));
    for (size_t i = 0; i < r->m->config.layers; i++) {
        int64_t turned = (i + 1) % interval != 0;
        if (list && !ts_json_int(v, 0, 1, &turned))
            return ts_fail(r->err, TS_FORMAT,
                           "%s/config.json: no_rope_layers does not have a 0 or 1 for each of %zu layers", r->dir,
                           r->m->config.layers);
        if (!turned) r->m->layer[i].rope = -1;
        v = ts_json_next(v);
    }
    return ts_json_is_true(ts_hf_get(r, "use_sliding_window")) ? ts_hf_windows(r, 0, nope_layer) : TS_OK;
}

static ts_status every_fourth(ts_keys *r) {
    for (size_t i = 3; i < r->m->config.layers; i += 4)
        r->m->layer[i].rope = -1;
    return TS_OK;
}

const ts_family ts_family_smollm3 = {.name = "smollm3",
                                     .hf_architecture = "SmolLM3ForCausalLM",
                                     .hf_model_type = "smollm3",
                                     .gguf_architecture = "smollm3",
                                     .bias = TS_BIAS_CONFIG,
                                     .gguf_interleaved = true,
                                     .tied = true,
                                     .theta = 2e6,
                                     .hf = read_layers,
                                     .gguf = every_fourth};
