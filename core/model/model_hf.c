/* A Hugging Face folder: config.json of both generations (rope_theta and rope_scaling; rope_parameters since
 * transformers 5), generation_config.json for the stop tokens, model.safetensors or shards with an index. */
#include "core/model/model_private.h"

#include "core/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG = 16 << 20, MAX_INDEX = 256 << 20 };

typedef struct reader {
    ts_model *m;
    const char *dir;
    const ts_json *config;
    ts_err *err;
} reader;

static ts_json *read_json(const char *dir, const char *name, size_t max, ts_err *err) {
    char *path = ts_path_join(dir, name);
    ts_json *root = ts_json_read(path, max, err);
    if (root && !ts_json_is_object(root)) {
        ts_fail(err, TS_FORMAT, "%s is not a JSON object", path);
        ts_json_free(root);
        root = NULL;
    }
    free(path);
    return root;
}

static bool has_file(const char *dir, const char *name) {
    char *path = ts_path_join(dir, name);
    bool there = ts_is_file(path);
    free(path);
    return there;
}

/* A setting that is there and not null. */
static const ts_json *setting(const reader *r, const char *name) {
    const ts_json *v = ts_json_get(r->config, name);
    return v && !ts_json_is_null(v) ? v : NULL;
}

static ts_status size_setting(const reader *r, const char *name, size_t otherwise, size_t *out) {
    int64_t v = (int64_t)otherwise;
    const ts_json *j = setting(r, name);
    if (!j && !otherwise)
        return ts_fail(r->err, TS_FORMAT, "%s/config.json: %s is missing; the file is no model's config", r->dir, name);
    if (j && !ts_json_int(j, 1, 1 << 30, &v))
        return ts_fail(r->err, TS_FORMAT, "%s/config.json: %s is not a whole number from 1 on", r->dir, name);
    *out = (size_t)v;
    return TS_OK;
}

static ts_status num_setting(const reader *r, const ts_json *object, const char *name, double otherwise, double *out) {
    const ts_json *j = ts_json_get(object, name);
    *out = ts_json_num(j, otherwise);
    if (j && !ts_json_is_null(j) && !ts_json_is_number(j))
        return ts_fail(r->err, TS_FORMAT, "%s/config.json: %s is not a number", r->dir, name);
    return TS_OK;
}

static ts_status read_architecture(const reader *r, const ts_family **family) {
    ts_config *c = &r->m->config;
    const char *architecture = ts_json_str(ts_json_child(setting(r, "architectures")), NULL);
    const char *type = ts_json_str(setting(r, "model_type"), NULL);
    if (!architecture && !type)
        return ts_fail(r->err, TS_FORMAT,
                       "%s/config.json names neither architectures nor model_type; the file is no model's config",
                       r->dir);
    *family = ts_family_by_hf(architecture, type);
    snprintf(c->architecture, sizeof c->architecture, "%s", architecture ? architecture : type);
    if (!*family)
        return ts_fail(r->err, TS_UNSUPPORTED,
                       "%s: the architecture %s is not known here; known are %s: choose a model of these", r->dir,
                       c->architecture, ts_family_list());
    snprintf(c->family, sizeof c->family, "%s", (*family)->name);
    char *absolute = ts_path_absolute(r->dir);
    snprintf(c->name, sizeof c->name, "%s", ts_path_base(absolute));
    free(absolute);
    return TS_OK;
}

static ts_status read_sizes(const reader *r) {
    ts_config *c = &r->m->config;
    double eps;
    TS_TRY(size_setting(r, "hidden_size", 0, &c->hidden));
    TS_TRY(size_setting(r, "intermediate_size", 0, &c->ffn));
    TS_TRY(size_setting(r, "num_hidden_layers", 0, &c->layers));
    TS_TRY(size_setting(r, "num_attention_heads", 0, &c->heads));
    TS_TRY(size_setting(r, "vocab_size", 0, &c->vocab));
    TS_TRY(size_setting(r, "num_key_value_heads", c->heads, &c->kv_heads));
    TS_TRY(size_setting(r, "head_dim", TS_MAX(c->hidden / c->heads, (size_t)1), &c->head_dim));
    TS_TRY(size_setting(r, "max_position_embeddings", 2048, &c->context));
    TS_TRY(num_setting(r, r->config, "rms_norm_eps", 1e-6, &eps));
    c->rms_eps = (float)eps;
    c->tied = ts_json_is_true(setting(r, "tie_word_embeddings"));
    return TS_OK;
}

static ts_status refuse_window(const reader *r, const ts_family *f) {
    const ts_json *there = ts_json_get(r->config, "sliding_window");
    double window = there ? ts_json_num(there, 0) : f->default_window;
    bool on = f->window_needs_flag ? ts_json_is_true(setting(r, "use_sliding_window")) : f->default_window > 0;
    for (const ts_json *v = ts_json_child(setting(r, "layer_types")); v; v = ts_json_next(v))
        on = on || strcmp(ts_json_str(v, ""), "sliding_attention") == 0;
    if (on && window > 0 && window < (double)r->m->config.context)
        return ts_fail(
            r->err, TS_UNSUPPORTED,
            "%s: attention within a sliding window of %.0f tokens is not done here; choose a model without one", r->dir,
            window);
    return TS_OK;
}

/* What would change the forward pass and is not done here is refused by its name. */
static ts_status refuse_extras(const reader *r, const ts_family *f) {
    const char *act = ts_json_str(setting(r, "hidden_act"), "silu");
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        return ts_fail(r->err, TS_UNSUPPORTED, "%s: the activation %s is not done here; silu is", r->dir, act);
    if (setting(r, "quantization_config")) {
        const char *method =
            ts_json_str(ts_json_get(setting(r, "quantization_config"), "quant_method"), "an unnamed method");
        return ts_fail(
            r->err, TS_UNSUPPORTED,
            "%s: weights quantised by %s are not read; use the model's f32, f16 or bf16 files or a GGUF file", r->dir,
            method);
    }
    if (ts_json_num(setting(r, "partial_rotary_factor"), 1) != 1)
        return ts_fail(r->err, TS_UNSUPPORTED,
                       "%s: rotary positions on a part of each head (partial_rotary_factor) are not done here", r->dir);
    return refuse_window(r, f);
}

static ts_status read_llama3(const reader *r, const ts_json *j, ts_rope *rope) {
    TS_TRY(num_setting(r, j, "low_freq_factor", 1, &rope->low_freq));
    TS_TRY(num_setting(r, j, "high_freq_factor", 4, &rope->high_freq));
    TS_TRY(num_setting(r, j, "original_max_position_embeddings", 0, &rope->original));
    if (!(rope->low_freq > 0) || !(rope->high_freq > rope->low_freq) || !(rope->original > 0))
        return ts_fail(r->err, TS_FORMAT,
                       "%s/config.json: the rope type llama3 needs original_max_position_embeddings and 0 < "
                       "low_freq_factor < high_freq_factor",
                       r->dir);
    rope->type = TS_ROPE_LLAMA3;
    return TS_OK;
}

static ts_status read_rope(const reader *r, ts_rope *rope) {
    const ts_json *params = setting(r, "rope_parameters"), *j = params ? params : setting(r, "rope_scaling");
    const char *type = ts_json_str(ts_json_get(j, "rope_type"), ts_json_str(ts_json_get(j, "type"), "default"));
    *rope = (ts_rope){.theta = 10000, .factor = 1};
    if (ts_json_get(params, "full_attention") || ts_json_get(params, "sliding_attention"))
        return ts_fail(r->err, TS_UNSUPPORTED, "%s: rope_parameters that differ by layer type are not done here",
                       r->dir);
    TS_TRY(num_setting(r, r->config, "rope_theta", rope->theta, &rope->theta));
    TS_TRY(num_setting(r, params, "rope_theta", rope->theta, &rope->theta));
    if (ts_json_num(ts_json_get(params, "partial_rotary_factor"), 1) != 1)
        return ts_fail(r->err, TS_UNSUPPORTED,
                       "%s: rotary positions on a part of each head (partial_rotary_factor) are not done here", r->dir);
    if (strcmp(type, "default") == 0) return TS_OK;
    TS_TRY(num_setting(r, j, "factor", 1, &rope->factor));
    if (strcmp(type, "llama3") == 0) return read_llama3(r, j, rope);
    rope->type = TS_ROPE_LINEAR;
    if (strcmp(type, "linear") == 0) return TS_OK;
    return ts_fail(r->err, TS_UNSUPPORTED,
                   "%s: rotary scaling of the type %s is not done here; default, linear and llama3 are", r->dir, type);
}

static void read_biases(const reader *r, const ts_family *f, bool bias[TS_PROJS]) {
    bool attention = f->bias == TS_BIAS_CONFIG && ts_json_is_true(setting(r, "attention_bias"));
    bool mlp = f->bias == TS_BIAS_CONFIG && ts_json_is_true(setting(r, "mlp_bias"));
    for (ts_proj p = 0; p < TS_PROJS; p++)
        bias[p] = p <= TS_V ? attention || f->bias == TS_BIAS_QKV : p == TS_O ? attention : mlp;
}

static void add_eos(ts_config *c, const ts_json *v) {
    int64_t id;
    if (c->n_eos < TS_COUNT(c->eos) && ts_json_int(v, 0, INT32_MAX - 1, &id)) c->eos[c->n_eos++] = (int32_t)id;
}

/* generation_config.json has the authoritative list; config.json's stands in where there is none. */
static ts_status read_stops(const reader *r) {
    ts_config *c = &r->m->config;
    ts_json *generation = NULL;
    int64_t bos;
    if (has_file(r->dir, "generation_config.json")) {
        generation = read_json(r->dir, "generation_config.json", MAX_CONFIG, r->err);
        if (!generation) return r->err ? r->err->code : TS_FORMAT;
    }
    const ts_json *eos = ts_json_get(generation, "eos_token_id");
    if (!eos || ts_json_is_null(eos)) eos = setting(r, "eos_token_id");
    if (ts_json_is_array(eos))
        for (const ts_json *v = ts_json_child(eos); v; v = ts_json_next(v))
            add_eos(c, v);
    else
        add_eos(c, eos);
    c->bos = ts_json_int(setting(r, "bos_token_id"), 0, INT32_MAX - 1, &bos) ? (int32_t)bos : -1;
    ts_json_free(generation);
    return TS_OK;
}

static ts_status open_shard(ts_model *m, const char *dir, const char *name, ts_err *err) {
    struct ts_model_store *s = m->store;
    char *path = ts_path_join(dir, name);
    ts_safetensors *shard = NULL;
    ts_status status = ts_safetensors_open(&shard, path, err);
    TS_PUSH(s->paths, s->n_paths, s->cap_paths, path);
    if (status != TS_OK) return status;
    s->shards = ts_realloc(s->shards, (s->n_shards + 1) * sizeof *s->shards);
    s->shards[s->n_shards++] = shard;
    m->file_bytes += ts_safetensors_bytes(shard);
    return TS_OK;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Every file that the index names, once, in the order of their names; every tensor of the index is in its file. */
static ts_status open_indexed(const reader *r, const ts_json *map) {
    size_t n = 0, total = ts_json_count(map);
    const char **files = ts_malloc(total * sizeof *files);
    ts_status status = TS_OK;
    for (const ts_json *v = ts_json_child(map); v && status == TS_OK; v = ts_json_next(v)) {
        files[n] = ts_json_str(v, "");
        if (!files[n][0] || strchr(files[n], '/'))
            status = ts_fail(r->err, TS_FORMAT, "%s/model.safetensors.index.json: %s has no plain file name", r->dir,
                             ts_json_key(v));
        n++;
    }
    if (n) qsort(files, n, sizeof *files, by_text);
    for (size_t i = 0; i < n && status == TS_OK; i++)
        if (i == 0 || strcmp(files[i], files[i - 1]) != 0) status = open_shard(r->m, r->dir, files[i], r->err);
    free(files);
    return status;
}

static ts_status check_index(const reader *r, const ts_json *map) {
    const struct ts_model_store *s = r->m->store;
    for (const ts_json *v = ts_json_child(map); v; v = ts_json_next(v)) {
        const ts_tensor *t = NULL;
        for (size_t i = 0; i < s->n_shards && !t; i++)
            if (strcmp(ts_path_base(s->paths[i + 1]), ts_json_str(v, "")) == 0) /* paths[0] is config.json */
                t = ts_safetensors_find(s->shards[i], ts_json_key(v));
        if (!t)
            return ts_fail(r->err, TS_FORMAT,
                           "%s: the index says that %s holds the tensor %s, but it does not; files of different models "
                           "may be mixed",
                           r->dir, ts_json_str(v, ""), ts_json_key(v));
    }
    return TS_OK;
}

static ts_status open_weights(const reader *r) {
    if (has_file(r->dir, "model.safetensors")) return open_shard(r->m, r->dir, "model.safetensors", r->err);
    if (!has_file(r->dir, "model.safetensors.index.json"))
        return ts_fail(
            r->err, TS_NOT_FOUND, "%s holds no model.safetensors and no model.safetensors.index.json%s", r->dir,
            has_file(r->dir, "pytorch_model.bin") ? "; pytorch_model.bin is not read: convert it to safetensors"
                                                  : "; put the model's weights there");
    ts_json *index = read_json(r->dir, "model.safetensors.index.json", MAX_INDEX, r->err);
    if (!index) return r->err ? r->err->code : TS_FORMAT;
    const ts_json *map = ts_json_get(index, "weight_map");
    ts_status status = ts_json_is_object(map) && ts_json_count(map) > 0
                           ? open_indexed(r, map)
                           : ts_fail(r->err, TS_FORMAT, "%s/model.safetensors.index.json has no weight_map", r->dir);
    if (status == TS_OK) status = check_index(r, map);
    ts_json_free(index);
    return status;
}

/* A tensor of a layer that the family does not have would change the result: better refused than left out. */
static bool known_tensor(const char *name) {
    if (strncmp(name, "model.layers.", 13) != 0) return true; /* what stands outside the layers we do not need */
    const char *rest = strchr(name + 13, '.');
    if (!rest || strstr(rest, "rotary_emb.inv_freq")) return true;
    rest++;
    if (strcmp(rest, "input_layernorm.weight") == 0 || strcmp(rest, "post_attention_layernorm.weight") == 0)
        return true;
    for (ts_proj p = 0; p < TS_PROJS; p++) {
        char full[64];
        int n = snprintf(full, sizeof full, "%s.%s.", ts_proj_parents[p], ts_proj_names[p]);
        if (strncmp(rest, full, (size_t)n) == 0)
            return strcmp(rest + n, "weight") == 0 || strcmp(rest + n, "bias") == 0;
    }
    return false;
}

static ts_status refuse_unknown_tensors(const reader *r) {
    const struct ts_model_store *s = r->m->store;
    for (size_t i = 0; i < s->n_shards; i++)
        for (size_t k = 0; k < ts_safetensors_count(s->shards[i]); k++) {
            const char *name = ts_safetensors_at(s->shards[i], k)->name;
            if (!known_tensor(name))
                return ts_fail(
                    r->err, TS_UNSUPPORTED,
                    "%s: tensor %s is no part of a %s model as it is done here; this seems to be another kind of model",
                    r->dir, name, r->m->config.family);
        }
    return TS_OK;
}

static ts_status read_folder(reader *r) {
    const ts_family *family;
    ts_source src = {0};
    TS_TRY(read_architecture(r, &family));
    TS_TRY(read_sizes(r));
    TS_TRY(refuse_extras(r, family));
    TS_TRY(read_rope(r, &src.rope));
    TS_TRY(read_stops(r));
    read_biases(r, family, src.bias);
    TS_TRY(open_weights(r));
    TS_TRY(refuse_unknown_tensors(r));
    return ts_model_build(r->m, &src, r->err);
}

ts_status ts_model_read_hf(ts_model *m, const char *dir, ts_err *err) {
    struct ts_model_store *s = m->store;
    ts_err local;
    if (!err) err = &local; /* the code of a JSON failure is read from it */
    if (!has_file(dir, "config.json"))
        return ts_fail(err, TS_NOT_FOUND, "%s holds no config.json; the folder of a Hugging Face model has one", dir);
    ts_json *config = read_json(dir, "config.json", MAX_CONFIG, err);
    if (!config) return err->code;
    TS_PUSH(s->paths, s->n_paths, s->cap_paths, ts_path_join(dir, "config.json"));
    reader r = {m, dir, config, err};
    ts_status status = read_folder(&r);
    ts_json_free(config);
    return status;
}
