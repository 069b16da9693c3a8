/* config.json of both generations: rope_theta and rope_scaling; rope_parameters since transformers 5, also one for each
 * type of layer. Meanings and defaults: transformers' configuration files and modeling_rope_utils.py. */
#include "core/model/model_private.h"

#include "core/base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const ts_json *ts_hf_get(const ts_hf *r, const char *name) {
    const ts_json *v = ts_json_get(r->config, name);
    return v && !ts_json_is_null(v) ? v : NULL;
}

ts_status ts_hf_size(const ts_hf *r, const char *name, size_t otherwise, size_t *out) {
    int64_t v = (int64_t)otherwise;
    const ts_json *j = ts_hf_get(r, name);
    if (!j && !otherwise)
        return ts_fail(r->err, TS_FORMAT, "%s/config.json: %s is missing; the file is no model's config", r->dir, name);
    if (j && !ts_json_int(j, 1, 1 << 30, &v))
        return ts_fail(r->err, TS_FORMAT, "%s/config.json: %s is not a whole number from 1 on", r->dir, name);
    *out = (size_t)v;
    return TS_OK;
}

ts_status ts_hf_num(const ts_hf *r, const ts_json *object, const char *name, double otherwise, double *out) {
    const ts_json *j = ts_json_get(object, name);
    *out = ts_json_num(j, otherwise);
    if (j && !ts_json_is_null(j) && !ts_json_is_number(j))
        return ts_fail(r->err, TS_FORMAT, "%s/config.json: %s is not a number", r->dir, name);
    return TS_OK;
}

ts_status ts_hf_windows(const ts_hf *r, size_t otherwise, ts_sliding sliding) {
    size_t window = 0, layers = r->m->config.layers;
    const ts_json *list = ts_hf_get(r, "layer_types"), *v = ts_json_child(list);
    if (!ts_json_is_null(ts_json_get(r->config, "sliding_window")) && (otherwise || ts_hf_get(r, "sliding_window")))
        TS_TRY(ts_hf_size(r, "sliding_window", otherwise, &window));
    for (size_t i = 0; i < layers; i++, v = ts_json_next(v)) {
        const char *type = list ? ts_json_str(v, "nothing") : sliding(r, i) ? "sliding_attention" : "full_attention";
        if (strcmp(type, "sliding_attention") == 0)
            r->m->layer[i].window = window;
        else if (strcmp(type, "full_attention") != 0)
            return ts_fail(
                r->err, TS_UNSUPPORTED,
                "%s: layer_types has %s for layer %zu of %zu; full_attention and sliding_attention are known", r->dir,
                type, i, layers);
    }
    return TS_OK;
}

static ts_status read_architecture(ts_hf *r) {
    ts_config *c = &r->m->config;
    const char *architecture = ts_json_str(ts_json_child(ts_hf_get(r, "architectures")), NULL);
    const char *type = ts_json_str(ts_hf_get(r, "model_type"), NULL);
    char list[TS_FAMILY_LIST];
    bool wrapped = false;
    if (!architecture && !type)
        return ts_fail(r->err, TS_FORMAT,
                       "%s/config.json names neither architectures nor model_type; the file is no model's config",
                       r->dir);
    const ts_family *f = ts_family_by_hf(architecture, type, &wrapped);
    snprintf(c->architecture, sizeof c->architecture, "%s", architecture ? architecture : type);
    if (!f)
        return ts_fail(r->err, TS_UNSUPPORTED,
                       "%s: the architecture %s is not known here; known are %s: choose a model of these", r->dir,
                       c->architecture, ts_family_list(list));
    if (wrapped) r->config = ts_hf_get(r, "text_config");
    if (!ts_json_is_object(r->config))
        return ts_fail(r->err, TS_FORMAT, "%s/config.json: a %s has its settings in text_config, which is missing",
                       r->dir, c->architecture);
    r->src->family = f;
    c->fused = f->fused;
    snprintf(c->modules, sizeof c->modules, "%s", wrapped ? "model.language_model" : "model");
    snprintf(c->family, sizeof c->family, "%s", f->name);
    char *absolute = ts_path_absolute(r->dir);
    snprintf(c->name, sizeof c->name, "%s", ts_path_base(absolute));
    free(absolute);
    return TS_OK;
}

static ts_status read_sizes(const ts_hf *r) {
    ts_config *c = &r->m->config;
    const ts_family *f = r->src->family;
    double eps;
    TS_TRY(ts_hf_size(r, "hidden_size", 0, &c->hidden));
    TS_TRY(ts_hf_size(r, "intermediate_size", 0, &c->ffn));
    TS_TRY(ts_hf_size(r, "num_hidden_layers", 0, &c->layers));
    TS_TRY(ts_hf_size(r, "num_attention_heads", f->heads, &c->heads));
    TS_TRY(ts_hf_size(r, "vocab_size", f->vocab, &c->vocab));
    TS_TRY(ts_hf_size(r, "num_key_value_heads", f->kv_heads ? f->kv_heads : c->heads, &c->kv_heads));
    TS_TRY(
        ts_hf_size(r, "head_dim", f->head_dim ? f->head_dim : TS_MAX(c->hidden / c->heads, (size_t)1), &c->head_dim));
    TS_TRY(ts_hf_size(r, "max_position_embeddings", f->context ? f->context : 2048, &c->context));
    TS_TRY(ts_hf_num(r, r->config, "rms_norm_eps", 1e-6, &eps));
    c->rms_eps = (float)eps;
    const ts_json *tied = ts_hf_get(r, "tie_word_embeddings");
    if (!tied) tied = ts_json_get(r->root, "tie_word_embeddings");
    c->tied = ts_json_is_bool(tied) ? ts_json_is_true(tied) : f->tied;
    return TS_OK;
}

/* What would change the forward pass and is not done here is refused by its name. */
static ts_status refuse_extras(const ts_hf *r) {
    bool gelu = r->src->family->gelu;
    const char *key = gelu ? "hidden_activation" : "hidden_act", *tanh_form = "gelu_pytorch_tanh";
    const char *act = ts_json_str(ts_hf_get(r, key), gelu ? tanh_form : "silu");
    if (gelu ? strcmp(act, tanh_form) != 0 : strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        return ts_fail(r->err, TS_UNSUPPORTED, "%s: the activation %s is not done here in a %s model; %s is", r->dir,
                       act, r->m->config.family, gelu ? tanh_form : "silu");
    const ts_json *quantised = ts_json_get(r->root, "quantization_config");
    if (quantised && !ts_json_is_null(quantised)) {
        const char *method = ts_json_str(ts_json_get(quantised, "quant_method"), "an unnamed method");
        return ts_fail(
            r->err, TS_UNSUPPORTED,
            "%s: weights quantised by %s are not read; use the model's f32, f16 or bf16 files or a GGUF file", r->dir,
            method);
    }
    return TS_OK;
}

/* ---- rotary positions ---- */

static ts_status read_llama3(const ts_hf *r, const ts_json *j, ts_rope *rope) {
    TS_TRY(ts_hf_num(r, j, "low_freq_factor", 1, &rope->low_freq));
    TS_TRY(ts_hf_num(r, j, "high_freq_factor", 4, &rope->high_freq));
    if (!(rope->low_freq > 0) || !(rope->high_freq > rope->low_freq) || !(rope->original > 0))
        return ts_fail(r->err, TS_FORMAT,
                       "%s/config.json: the rope type llama3 needs original_max_position_embeddings and 0 < "
                       "low_freq_factor < high_freq_factor",
                       r->dir);
    return TS_OK;
}

static double mscale(double factor, double m) {
    return factor <= 1 ? 1 : 0.1 * m * log(factor) + 1;
}

static ts_status read_yarn(const ts_hf *r, const ts_json *j, ts_rope *rope) {
    double m, all;
    TS_TRY(ts_hf_num(r, j, "beta_fast", 32, &rope->beta_fast));
    TS_TRY(ts_hf_num(r, j, "beta_slow", 1, &rope->beta_slow));
    TS_TRY(ts_hf_num(r, j, "mscale", 0, &m));
    TS_TRY(ts_hf_num(r, j, "mscale_all_dim", 0, &all));
    const ts_json *truncate = ts_json_get(j, "truncate");
    rope->exact_range = ts_json_is_bool(truncate) && !ts_json_is_true(truncate);
    if (rope->gain == 0 && m != 0 && all != 0) rope->gain = mscale(rope->factor, m) / mscale(rope->factor, all);
    return TS_OK;
}

static ts_status read_factors(const ts_hf *r, const ts_json *j, const char *name, size_t n, const float **out) {
    const ts_json *list = ts_json_get(j, name);
    float *v = ts_arena_alloc(&r->m->store->arena, n * sizeof *v);
    if (!ts_json_is_array(list) || ts_json_count(list) != n)
        return ts_fail(r->err, TS_FORMAT, "%s/config.json: the rope type longrope needs a list of %zu numbers in %s",
                       r->dir, n, name);
    size_t i = 0;
    for (const ts_json *x = ts_json_child(list); x; x = ts_json_next(x), i++) {
        v[i] = (float)ts_json_num(x, 0);
        if (!(v[i] > 0))
            return ts_fail(r->err, TS_FORMAT, "%s/config.json: number %zu of %s is not positive", r->dir, i, name);
    }
    *out = v;
    return TS_OK;
}

static ts_status read_type(const ts_hf *r, const ts_json *j, ts_rope *rope) {
    const char *type = ts_json_str(ts_json_get(j, "rope_type"), ts_json_str(ts_json_get(j, "type"), "default"));
    if (r->src->family->fused && (strcmp(type, "su") == 0 || strcmp(type, "yarn") == 0))
        type = "longrope"; /* what early Phi-3 files call it */
    for (rope->type = 0; rope->type < TS_ROPE_TYPES; rope->type++)
        if (strcmp(type, ts_rope_names[rope->type]) == 0) return TS_OK;
    ts_buf names = TS_BUF_INIT;
    for (size_t i = 0; i < TS_ROPE_TYPES; i++)
        ts_buf_printf(&names, "%s%s", i == 0 ? "" : i + 1 < TS_ROPE_TYPES ? ", " : " and ", ts_rope_names[i]);
    ts_status status = ts_fail(r->err, TS_UNSUPPORTED, "%s: rotary scaling of the type %s is not done here; %s are",
                               r->dir, type, ts_buf_str(&names));
    ts_buf_release(&names);
    return status;
}

/* How many numbers of a head are turned. */
static ts_status read_rotary(const ts_hf *r, const ts_json *j, ts_rope *rope) {
    double part;
    TS_TRY(ts_hf_num(r, r->config, "partial_rotary_factor", 1, &part));
    TS_TRY(ts_hf_num(r, j, "partial_rotary_factor", part, &part));
    if (part != 1 && !r->src->family->partial_rotary)
        return ts_fail(r->err, TS_UNSUPPORTED,
                       "%s: rotary positions on a part of each head (partial_rotary_factor) are not done here in a %s "
                       "model",
                       r->dir, r->m->config.family);
    if (!(part > 0 && part <= 1))
        return ts_fail(r->err, TS_FORMAT, "%s/config.json: a partial_rotary_factor of %g is impossible", r->dir, part);
    rope->rotary = (size_t)((double)r->m->config.head_dim * part);
    return TS_OK;
}

static ts_status read_rope(const ts_hf *r, const ts_json *j, double theta, ts_rope *rope) {
    double context = (double)r->m->config.context;
    TS_TRY(read_type(r, j, rope));
    TS_TRY(read_rotary(r, j, rope));
    TS_TRY(ts_hf_num(r, j, "rope_theta", theta, &rope->theta));
    TS_TRY(ts_hf_num(r, j, "original_max_position_embeddings", context, &rope->original));
    /* Phi-3's stands beside and wins */
    if (r->src->family->fused)
        TS_TRY(ts_hf_num(r, r->config, "original_max_position_embeddings", rope->original, &rope->original));
    TS_TRY(ts_hf_num(r, j, "factor", rope->type >= TS_ROPE_YARN ? context / rope->original : 1, &rope->factor));
    if (rope->type >= TS_ROPE_YARN) TS_TRY(ts_hf_num(r, j, "attention_factor", 0, &rope->gain));
    if (rope->type == TS_ROPE_PLAIN) rope->factor = 1;
    if (rope->type == TS_ROPE_LLAMA3) return read_llama3(r, j, rope);
    if (rope->type == TS_ROPE_YARN) return read_yarn(r, j, rope);
    if (rope->type != TS_ROPE_LONGROPE) return TS_OK;
    TS_TRY(read_factors(r, j, "short_factor", rope->rotary / 2, &rope->short_factor));
    return read_factors(r, j, "long_factor", rope->rotary / 2, &rope->long_factor);
}

/* Files with one set of numbers for each type of layer: the second is for the layers with a window. Gemma 3 had it
 * before there was rope_parameters, as rope_local_base_freq. */
static ts_status read_ropes(const ts_hf *r) {
    const ts_json *scaling = ts_hf_get(r, "rope_scaling"), *params = ts_hf_get(r, "rope_parameters");
    const ts_json *full = ts_json_get(params, "full_attention"), *sliding = ts_json_get(params, "sliding_attention");
    bool nested = ts_json_is_object(full) || ts_json_is_object(sliding), local = r->src->family == &ts_family_gemma3;
    double theta, local_theta;
    TS_TRY(ts_hf_num(r, r->config, "rope_theta", r->src->family->theta > 0 ? r->src->family->theta : 1e4, &theta));
    TS_TRY(ts_hf_num(r, r->config, "rope_local_base_freq", local ? 1e4 : theta, &local_theta));
    TS_TRY(read_rope(r, nested ? full : scaling ? scaling : params, theta, &r->m->rope[0]));
    if (!nested && !local) return TS_OK;
    TS_TRY(read_rope(r, nested ? sliding : NULL, local_theta, &r->m->rope[1]));
    for (size_t i = 0; i < r->m->config.layers; i++)
        if (r->m->layer[i].rope >= 0) r->m->layer[i].rope = r->m->layer[i].window > 0;
    return TS_OK;
}

static void read_biases(const ts_hf *r) {
    ts_bias rule = r->src->family->bias;
    bool attention = rule == TS_BIAS_CONFIG && ts_json_is_true(ts_hf_get(r, "attention_bias"));
    bool mlp = rule == TS_BIAS_CONFIG && ts_json_is_true(ts_hf_get(r, "mlp_bias"));
    for (ts_proj p = 0; p < TS_PROJS; p++)
        r->src->bias[p] = p <= TS_V ? attention || rule == TS_BIAS_QKV : p == TS_O ? attention : mlp;
}

ts_status ts_hf_read_config(ts_hf *r) {
    TS_TRY(read_architecture(r));
    TS_TRY(read_sizes(r));
    TS_TRY(refuse_extras(r));
    TS_TRY(ts_model_layers(r->m, r->err));
    if (r->src->family->hf) TS_TRY(r->src->family->hf(r));
    TS_TRY(read_ropes(r));
    read_biases(r);
    return TS_OK;
}
