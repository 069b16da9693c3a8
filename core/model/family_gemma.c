/* Gemma 2 and the text part of Gemma 3: norms of 1 + w also behind attention and MLP, gelu, scaled embeddings, windows
 * on most layers. Gemma 2 caps scores and logits; Gemma 3 has norms on q and k and another theta in the layers with a
 * window. Facts: transformers' configuration_gemma2.py, configuration_gemma3.py and their modeling files; GGUF:
 * llama.cpp's LLM_ARCH_GEMMA2 and LLM_ARCH_GEMMA3. */
#include "core/model/model_private.h"

#include <math.h>

static ts_status read_scales(const ts_hf *r, double attn_cap, double logit_cap) {
    static const char *const names[] = {"query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping"};
    const double otherwise[] = {256, attn_cap, logit_cap};
    double v[3];
    for (size_t i = 0; i < TS_COUNT(names); i++) {
        bool none = i > 0 && ts_json_is_null(ts_json_get(r->config, names[i]));
        TS_TRY(ts_hf_num(r, r->config, names[i], none ? 0 : otherwise[i], &v[i]));
        if (v[i] < 0 || !isfinite(v[i]) || (i == 0 && v[i] == 0))
            return ts_fail(r->err, TS_FORMAT, "%s/config.json: %s is %g, which is impossible", r->dir, names[i], v[i]);
    }
    if (ts_json_is_true(ts_hf_get(r, "use_bidirectional_attention")))
        return ts_fail(r->err, TS_UNSUPPORTED,
                       "%s: attention in both directions (use_bidirectional_attention) is not done here", r->dir);
    r->m->config.attn_scale = (float)(1 / sqrt(v[0]));
    r->m->config.attn_cap = (float)v[1];
    r->m->config.logit_cap = (float)v[2];
    return TS_OK;
}

static bool even_layer(const ts_hf *r, size_t layer) {
    (void)r;
    return layer % 2 == 0;
}

static ts_status gemma2(const ts_hf *r) {
    TS_TRY(read_scales(r, 50, 30));
    return ts_hf_windows(r, 4096, even_layer);
}

static bool not_each_sixth(const ts_hf *r, size_t layer) {
    return fmod((double)layer + 1, ts_json_num(ts_hf_get(r, "sliding_window_pattern"), 6)) != 0;
}

static ts_status gemma3(const ts_hf *r) {
    TS_TRY(read_scales(r, 0, 0));
    return ts_hf_windows(r, 4096, not_each_sixth);
}

/* The 27B models divide by sqrt(hidden / heads), all others by sqrt(head_dim); no key says so, llama.cpp goes by the
 * number of layers too. */
static void gguf_scales(ts_keys *r, size_t large, double attn_cap, double logit_cap) {
    ts_config *c = &r->m->config;
    if (c->layers == large) c->attn_scale = (float)(1 / sqrt((double)(c->hidden / c->heads)));
    c->attn_cap = (float)ts_keys_num(r, "attn_logit_softcapping", attn_cap);
    c->logit_cap = (float)ts_keys_num(r, "final_logit_softcapping", logit_cap);
}

static ts_status gemma2_keys(ts_keys *r) {
    gguf_scales(r, 46, 50, 30);
    return ts_keys_windows(r, 4096, 2);
}

static ts_status gemma3_keys(ts_keys *r) {
    gguf_scales(r, 62, 0, 0);
    TS_TRY(ts_keys_windows(r, 0, 6));
    r->m->rope[1] = (ts_rope){.theta = ts_keys_num(r, "rope.freq_base_swa", 10000), .factor = 1};
    for (size_t i = 0; i < r->m->config.layers; i++)
        r->m->layer[i].rope = r->m->layer[i].window > 0;
    return TS_OK;
}

const ts_family ts_family_gemma2 = {.name = "gemma2",
                                    .hf_architecture = "Gemma2ForCausalLM",
                                    .hf_model_type = "gemma2",
                                    .gguf_architecture = "gemma2",
                                    .peft_targets = true,
                                    .bias = TS_BIAS_CONFIG,
                                    .post_norms = true,
                                    .norms_from_one = true,
                                    .gelu = true,
                                    .scaled_embedding = true,
                                    .tied = true,
                                    .head_dim = 256,
                                    .context = 8192,
                                    .hf = gemma2,
                                    .gguf = gemma2_keys};

const ts_family ts_family_gemma3 = {.name = "gemma3",
                                    .hf_architecture = "Gemma3ForCausalLM",
                                    .hf_model_type = "gemma3_text",
                                    .hf_wrapper = "Gemma3ForConditionalGeneration",
                                    .hf_wrapper_type = "gemma3",
                                    .gguf_architecture = "gemma3",
                                    .peft_targets = true,
                                    .bias = TS_BIAS_CONFIG,
                                    .qk_norms = true,
                                    .post_norms = true,
                                    .norms_from_one = true,
                                    .gelu = true,
                                    .scaled_embedding = true,
                                    .tied = true,
                                    .theta = 1e6,
                                    .heads = 8,
                                    .kv_heads = 4,
                                    .head_dim = 256,
                                    .vocab = 262208,
                                    .context = 131072,
                                    .hf = gemma3,
                                    .gguf = gemma3_keys};
