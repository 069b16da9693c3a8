/* Reading a PEFT folder. PEFT itself only warns when names do not match and then computes the base model; here every
 * expected tensor must be there in its shape, and nothing else. */
#include "core/model/adapter_private.h"

#include "core/base/file.h"
#include "core/model/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG = 16 << 20 };

typedef struct loader {
    const char *dir;
    const ts_model *m;
    ts_err *err;
} loader;

void ts_adapter_key(size_t layer, ts_proj p, bool b, char out[128]) {
    char path[TS_MODULE_PATH];
    ts_module_path(layer, p, path);
    snprintf(out, 128, "base_model.model.%s.lora_%c.weight", path, b ? 'B' : 'A');
}

/* Absent, null, false, "", [], {}: a setting that is not used. */
static bool unset(const ts_json *v) {
    if (!v || ts_json_is_null(v)) return true;
    if (ts_json_is_bool(v)) return !ts_json_is_true(v);
    if (ts_json_is_string(v)) return ts_json_str(v, "")[0] == 0;
    return (ts_json_is_array(v) || ts_json_is_object(v)) && ts_json_count(v) == 0;
}

static ts_status refuse(const loader *x, const char *key) {
    return ts_fail(x->err, TS_UNSUPPORTED, "the adapter %s uses %s, which is not done yet; train one without it",
                   x->dir, key);
}

/* Settings under which the plain formula would be wrong. */
static ts_status refuse_extras(const loader *x, const ts_json *c) {
    static const char *const keys[] = {
        "use_dora",
        "modules_to_save",
        "rank_pattern",
        "alpha_pattern",
        "layers_to_transform",
        "layers_pattern",
        "exclude_modules",
        "fan_in_fan_out",
        "lora_bias",
        "trainable_token_indices",
        "target_parameters",
        "alora_invocation_tokens",
        "use_qalora",
        "layer_replication",
        "use_bdlora",
        "kasa_config",
        "monteclora_config",
        "arrow_config",
        "velora_config",
    };
    static const char *const plain_init[] = {"gaussian", "orthogonal", "eva"};
    for (size_t i = 0; i < TS_COUNT(keys); i++)
        if (!unset(ts_json_get(c, keys[i]))) return refuse(x, keys[i]);
    const char *bias = ts_json_str(ts_json_get(c, "bias"), "none"),
               *init = ts_json_str(ts_json_get(c, "init_lora_weights"), NULL);
    if (strcmp(bias, "none") != 0) return refuse(x, "trained biases (bias)");
    bool plain = init == NULL; /* true or false: nothing but the numbers in the file counts */
    for (size_t i = 0; i < TS_COUNT(plain_init); i++)
        plain = plain || strcmp(init, plain_init[i]) == 0;
    if (!plain)
        return ts_fail(
            x->err, TS_UNSUPPORTED,
            "the adapter %s began with init_lora_weights %s, which changes the base model; save it as plain LoRA first",
            x->dir, init);
    return TS_OK;
}

static ts_status read_settings(const loader *x, const ts_json *c, ts_adapter *a) {
    const char *type = ts_json_str(ts_json_get(c, "peft_type"), NULL);
    if (!type)
        return ts_fail(x->err, TS_FORMAT, "%s/adapter_config.json has no peft_type; it is no PEFT adapter", x->dir);
    if (strcmp(type, "LORA") != 0)
        return ts_fail(x->err, TS_UNSUPPORTED, "the adapter %s is of the type %s; only LORA is read", x->dir, type);
    TS_TRY(refuse_extras(x, c));
    int64_t r = 8; /* PEFT's defaults */
    const ts_json *rank = ts_json_get(c, "r");
    if (rank && !ts_json_int(rank, 1, 1 << 20, &r))
        return ts_fail(x->err, TS_FORMAT, "%s/adapter_config.json: r is not a whole number from 1 on", x->dir);
    a->r = (size_t)r;
    a->alpha = ts_json_num(ts_json_get(c, "lora_alpha"), 8);
    a->dropout = ts_json_num(ts_json_get(c, "lora_dropout"), 0);
    a->rslora = ts_json_is_true(ts_json_get(c, "use_rslora"));
    ts_status status = ts_targets_from_json(ts_json_get(c, "target_modules"), x->m, &a->targets, x->err);
    return status == TS_OK ? TS_OK : ts_wrap(x->err, status, "%s/adapter_config.json", x->dir);
}

/* What does not fit, by kind: how many, and the first. */
typedef struct misfits {
    size_t missing, unexpected, shapes;
    char first_missing[128], first_unexpected[160], first_shape[200];
} misfits;

static bool same_shape(const ts_tensor *t, size_t rows, size_t cols) {
    return t->n_dims == 2 && t->dims[0] == rows && t->dims[1] == cols;
}

static ts_status take_tensor(const loader *x, const ts_safetensors *s, size_t layer, ts_proj p, bool b, size_t rows,
                             size_t cols, float *out, misfits *bad) {
    char key[128];
    ts_adapter_key(layer, p, b, key);
    const ts_tensor *t = ts_safetensors_find(s, key);
    if (!t) {
        if (bad->missing++ == 0) snprintf(bad->first_missing, sizeof bad->first_missing, "%s", key);
    } else if (t->type == TS_DTYPES) {
        return ts_fail(x->err, TS_UNSUPPORTED,
                       "the adapter %s stores %s in a type that is not read; save it as F32, F16 or BF16", x->dir, key);
    } else if (!same_shape(t, rows, cols)) {
        if (bad->shapes++ == 0)
            snprintf(bad->first_shape, sizeof bad->first_shape, "%s has %zu x %zu, not %zu x %zu", key,
                     t->n_dims > 0 ? t->dims[0] : 0, t->n_dims > 1 ? t->dims[1] : 0, rows, cols);
    } else {
        ts_dequantize(t->type, t->data, out, rows * cols);
    }
    return TS_OK;
}

/* Is `name` one of the tensors that take_all looked for? */
static bool expected(const ts_adapter *a, const char *name) {
    static const char prefix[] = "base_model.model.model.layers.";
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) return false;
    size_t layer = strtoul(name + sizeof prefix - 1, NULL, 10);
    if (layer >= a->layers) return false;
    for (ts_proj p = 0; p < TS_PROJS; p++)
        for (int b = 0; b < 2 && a->lora[layer][p].r; b++) {
            char key[128];
            ts_adapter_key(layer, p, b, key);
            if (strcmp(name, key) == 0) return true;
        }
    return false;
}

static ts_status report(const loader *x, const misfits *bad) {
    ts_buf parts = TS_BUF_INIT;
    if (!bad->missing && !bad->unexpected && !bad->shapes) return TS_OK;
    if (bad->shapes) ts_buf_printf(&parts, "; %zu of a wrong shape (%s)", bad->shapes, bad->first_shape);
    if (bad->missing) ts_buf_printf(&parts, "; %zu missing (%s)", bad->missing, bad->first_missing);
    if (bad->unexpected) ts_buf_printf(&parts, "; %zu unexpected (%s)", bad->unexpected, bad->first_unexpected);
    ts_status status =
        ts_fail(x->err, TS_FORMAT, "the adapter %s does not fit the model %s%s; it was made for another model", x->dir,
                x->m->config.name, ts_buf_str(&parts));
    ts_buf_release(&parts);
    return status;
}

static ts_status take_all(const loader *x, const ts_safetensors *s, ts_adapter *a) {
    misfits bad = {0};
    for (size_t l = 0; l < a->layers; l++)
        for (ts_proj p = 0; p < TS_PROJS; p++) {
            const ts_lora *lora = &a->lora[l][p];
            if (!lora->r) continue;
            TS_TRY(take_tensor(x, s, l, p, false, lora->r, lora->in, lora->a, &bad));
            TS_TRY(take_tensor(x, s, l, p, true, lora->out, lora->r, lora->b, &bad));
        }
    size_t known = (size_t)__builtin_popcount(a->targets) * 2 * a->layers - bad.missing;
    for (size_t i = 0; ts_safetensors_count(s) > known && i < ts_safetensors_count(s); i++) {
        const char *name = ts_safetensors_at(s, i)->name;
        if (!expected(a, name) && bad.unexpected++ == 0)
            snprintf(bad.first_unexpected, sizeof bad.first_unexpected, "%s", name);
    }
    TS_TRY(report(x, &bad));
    for (size_t i = 0; i < a->n_params; i++)
        if (!isfinite(a->block[i]))
            return ts_fail(
                x->err, TS_FORMAT,
                "the adapter %s holds values that are not finite; its training went wrong: use an earlier checkpoint",
                x->dir);
    return TS_OK;
}

static ts_status read_tensors(const loader *x, ts_adapter *a) {
    char *path = ts_path_join(x->dir, "adapter_model.safetensors");
    ts_safetensors *s = NULL;
    ts_status status;
    if (!ts_is_file(path)) {
        char *old = ts_path_join(x->dir, "adapter_model.bin");
        status = ts_fail(x->err, TS_NOT_FOUND, "the adapter %s has no adapter_model.safetensors%s", x->dir,
                         ts_is_file(old) ? "; adapter_model.bin is not read: save it as safetensors" : "");
        free(old);
        goto out;
    }
    TS_GOTO(ts_safetensors_open(&s, path, x->err));
    TS_GOTO(take_all(x, s, a));
out:
    ts_safetensors_close(s);
    free(path);
    return status;
}

ts_status ts_adapter_load(ts_adapter **out, const char *dir, const ts_model *m, ts_err *err) {
    ts_err local;
    loader x = {dir, m, err ? err : &local};
    ts_adapter settings = {0};
    ts_json *config = NULL;
    ts_status status = TS_OK;
    *out = NULL;
    char *path = ts_path_join(dir, "adapter_config.json");
    if (!ts_is_file(path)) {
        status = ts_fail(x.err, TS_NOT_FOUND, "%s is no adapter: it holds no adapter_config.json", dir);
        goto out;
    }
    config = ts_json_read(path, MAX_CONFIG, x.err);
    if (!config) {
        status = x.err->code;
        goto out;
    }
    TS_GOTO(read_settings(&x, config, &settings));
    settings.base_model =
        (char *)(uintptr_t)ts_json_str(ts_json_get(config, "base_model_name_or_path"), ""); /* copied */
    status = ts_adapter_alloc(out, &settings, m, x.err);
    if (status != TS_OK) {
        ts_wrap(x.err, status, "%s", path);
        goto out;
    }
    status = read_tensors(&x, *out);
    if (status != TS_OK) {
        ts_adapter_free(*out);
        *out = NULL;
    }
out:
    ts_json_free(config);
    free(path);
    return status;
}
