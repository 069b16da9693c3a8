#include "core/model/locate.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_UP = 5 }; /* build/release/tests/x and one more */

char *ts_models_dir(void) {
    const char *set = getenv("TUNESMITH_MODELS"), *home = getenv("HOME");
    if (set && *set) return ts_strdup(set);
    return ts_printf("%s/.cache/tunesmith/models", home ? home : "");
}

static char *if_model(char *dir) {
    char *config = ts_path_join(dir, "config.json");
    bool there = ts_is_file(config);
    free(config);
    if (there) return dir;
    free(dir);
    return NULL;
}

char *ts_sample_model(void) {
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) return NULL;
    self[n] = 0;
    char *folder = ts_path_dir(self), *found = if_model(ts_printf("%s/../share/tunesmith/model", folder));
    for (int up = 0; up < MAX_UP && !found; up++) {
        char *above = ts_path_dir(folder);
        free(folder);
        folder = above;
        found = if_model(ts_path_join(folder, "samples/model"));
    }
    free(folder);
    if (!found) return NULL;
    char *absolute = ts_path_absolute(found);
    free(found);
    return absolute;
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static size_t count_ending(const ts_names *names, const char *end, const char **first, const char **second) {
    size_t n = 0;
    for (size_t i = 0; i < names->n; i++) {
        if (!ends_with(names->items[i], end)) continue;
        if (n == 0) *first = names->items[i];
        if (n == 1) *second = names->items[i];
        n++;
    }
    return n;
}

static ts_status give(ts_model_place *out, ts_model_kind kind, char *path) {
    *out = (ts_model_place){kind, path};
    return TS_OK;
}

/* A Hugging Face folder is one with a config.json or tokenizer.json; where a lone GGUF file lies beside those and no
 * weights of theirs do, the GGUF file is meant. */
static ts_status locate_dir(const char *dir, ts_model_place *out, ts_err *err) {
    ts_names names = {0};
    const char *gguf = NULL, *other = NULL, *shard = NULL;
    TS_TRY(ts_dir_list(dir, &names, err));
    size_t n_gguf = count_ending(&names, ".gguf", &gguf, &other);
    size_t n_weights = count_ending(&names, ".safetensors", &shard, &shard);
    bool hf = false;
    for (size_t i = 0; i < names.n; i++)
        hf = hf || strcmp(names.items[i], "config.json") == 0 || strcmp(names.items[i], "tokenizer.json") == 0;
    ts_status status;
    if (hf && (n_weights > 0 || n_gguf == 0))
        status = give(out, TS_MODEL_HF, ts_strdup(dir));
    else if (n_gguf == 1)
        status = give(out, TS_MODEL_GGUF, ts_path_join(dir, gguf));
    else if (n_gguf > 1)
        status = ts_fail(err, TS_INVALID, "the folder %s holds %zu GGUF files (%s, %s%s); name the file you mean", dir,
                         n_gguf, gguf, other, n_gguf > 2 ? ", ..." : "");
    else
        status =
            ts_fail(err, TS_NOT_FOUND,
                    "the folder %s holds no model: neither a config.json with safetensors files nor a GGUF file", dir);
    ts_names_release(&names);
    return status;
}

static ts_status locate_file(const char *path, ts_model_place *out, ts_err *err) {
    const char *name = ts_path_base(path);
    if (ends_with(name, ".safetensors") || ends_with(name, ".json"))
        return ts_fail(err, TS_INVALID, "%s is one file of a Hugging Face model; name the folder that it lies in",
                       path);
    return give(out, TS_MODEL_GGUF, ts_strdup(path));
}

ts_status ts_model_locate(const char *spec, ts_model_place *out, ts_err *err) {
    *out = (ts_model_place){0};
    if (!*spec) return ts_fail(err, TS_INVALID, "the model's name is empty");
    if (ts_is_dir(spec)) return locate_dir(spec, out, err);
    if (ts_is_file(spec)) return locate_file(spec, out, err);
    char *models = ts_models_dir(), *named = ts_path_join(models, spec),
         *sample = strcmp(spec, "sample") == 0 ? ts_sample_model() : NULL;
    ts_status status;
    if (*spec == '/')
        status = ts_fail(err, TS_NOT_FOUND, "there is no model at %s", spec);
    else if (ts_is_dir(named))
        status = locate_dir(named, out, err);
    else if (ts_is_file(named))
        status = locate_file(named, out, err);
    else if (sample)
        status = locate_dir(sample, out, err);
    else
        status =
            ts_fail(err, TS_NOT_FOUND,
                    "there is no model %s: neither here nor in %s; put a Hugging Face folder or a GGUF file there, or "
                    "give a path (TUNESMITH_MODELS names another folder)",
                    spec, models);
    free(models);
    free(named);
    free(sample);
    return status;
}

void ts_model_place_release(ts_model_place *p) {
    free(p->path);
    *p = (ts_model_place){0};
}
