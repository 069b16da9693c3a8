/* A Hugging Face folder: config.json (model_hf_config.c), generation_config.json for the stop tokens, model.safetensors
 * or shards with an index. */
#include "core/model/model_private.h"

#include "core/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG = 16 << 20, MAX_INDEX = 256 << 20 };

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

static void add_eos(ts_config *c, const ts_json *v) {
    int64_t id;
    if (c->n_eos < TS_COUNT(c->eos) && ts_json_int(v, 0, INT32_MAX - 1, &id)) c->eos[c->n_eos++] = (int32_t)id;
}

/* generation_config.json has the authoritative list; config.json's stands in where there is none. */
static ts_status read_stops(const ts_hf *r) {
    ts_config *c = &r->m->config;
    ts_json *generation = NULL;
    int64_t bos, pad;
    if (has_file(r->dir, "generation_config.json")) {
        generation = read_json(r->dir, "generation_config.json", MAX_CONFIG, r->err);
        if (!generation) return r->err ? r->err->code : TS_FORMAT;
    }
    const ts_json *eos = ts_json_get(generation, "eos_token_id");
    if (!eos || ts_json_is_null(eos)) eos = ts_hf_get(r, "eos_token_id");
    if (!eos) eos = ts_json_get(r->root, "eos_token_id");
    if (ts_json_is_array(eos))
        for (const ts_json *v = ts_json_child(eos); v; v = ts_json_next(v))
            add_eos(c, v);
    else
        add_eos(c, eos);
    c->pad = ts_json_int(ts_hf_get(r, "pad_token_id"), 0, INT32_MAX - 1, &pad) ? (int32_t)pad : -1;
    c->bos = ts_json_int(ts_hf_get(r, "bos_token_id"), 0, INT32_MAX - 1, &bos) ? (int32_t)bos : -1;
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
static ts_status open_indexed(const ts_hf *r, const ts_json *map) {
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

static ts_status check_index(const ts_hf *r, const ts_json *map) {
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

static ts_status open_weights(const ts_hf *r) {
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

/* What stands before "layers.0." and "embed_tokens": a model inside another one has a longer name, which changed. */
static const char *find_prefix(const ts_hf *r) {
    static const char *const inner[] = {"model.language_model.", "language_model.model."};
    char name[64];
    const char *type;
    for (size_t i = 0; r->config != r->root && i < TS_COUNT(inner); i++) {
        snprintf(name, sizeof name, "%sembed_tokens.weight", inner[i]);
        if (ts_store_find(r->m->store, name, &type)) return inner[i];
    }
    return "model.";
}

/* A tensor of a layer that the family does not have would change the result: better refused than left out. What stands
 * outside the layers we do not need. */
static bool known_tensor(const ts_hf *r, const char *name) {
    size_t n = strlen(r->src->prefix);
    if (strncmp(name, r->src->prefix, n) != 0 || strncmp(name + n, "layers.", 7) != 0) return true;
    const char *rest = strchr(name + n + 7, '.');
    return !rest || ts_known_tensor(r->src, &r->m->config, rest + 1);
}

static ts_status refuse_unknown_tensors(const ts_hf *r) {
    const struct ts_model_store *s = r->m->store;
    for (size_t i = 0; i < s->n_shards; i++)
        for (size_t k = 0; k < ts_safetensors_count(s->shards[i]); k++) {
            const char *name = ts_safetensors_at(s->shards[i], k)->name;
            if (!known_tensor(r, name))
                return ts_fail(
                    r->err, TS_UNSUPPORTED,
                    "%s: tensor %s is no part of a %s model as it is done here; this seems to be another kind of model",
                    r->dir, name, r->m->config.family);
        }
    return TS_OK;
}

static ts_status read_folder(ts_hf *r) {
    TS_TRY(ts_hf_read_config(r));
    TS_TRY(read_stops(r));
    TS_TRY(open_weights(r));
    r->src->prefix = find_prefix(r);
    TS_TRY(refuse_unknown_tensors(r));
    return ts_model_build(r->m, r->src, r->err);
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
    ts_source src = {0};
    ts_hf r = {.m = m, .dir = dir, .root = config, .config = config, .src = &src, .err = err};
    ts_status status = read_folder(&r);
    ts_json_free(config);
    return status;
}
