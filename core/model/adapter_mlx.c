/* Reading mlx-lm's adapters (facts: mlx_lm/tuner/lora.py, dora.py, utils.py): adapters.safetensors holds lora_a [in, r]
 * and lora_b [r, out] of each module under the model's own names, y += scale (x a) b; DoRA adds m [out]. An embedding's
 * lora_a is [vocab, r]. adapter_config.json says the scale, and how many of the last layers are adapted. */
#include "core/base/file.h"
#include "core/model/adapter_foreign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG = 16 << 20 };

typedef struct mlx {
    const char *dir;
    const ts_model *m;
    double scale, dropout;
    size_t num_layers; /* the last so many; 0: all */
    bool dora;
} mlx;

static ts_status read_config(mlx *x, ts_err *err) {
    char *path = ts_path_join(x->dir, "adapter_config.json");
    ts_json *c = ts_json_read(path, MAX_CONFIG, err);
    free(path);
    if (!c) return err->code;
    const ts_json *p = ts_json_get(c, "lora_parameters");
    const char *type = ts_json_str(ts_json_get(c, "fine_tune_type"), "lora");
    const ts_json *layers = ts_json_get(c, "num_layers") ? ts_json_get(c, "num_layers") : ts_json_get(c, "lora_layers");
    int64_t n = 0;
    ts_json_int(layers, 1, 1 << 20, &n); /* -1: all */
    x->num_layers = (size_t)n;
    x->scale = ts_json_num(ts_json_get(p, "scale"), 0);
    x->dropout = ts_json_num(ts_json_get(p, "dropout"), 0);
    x->dora = strcmp(type, "dora") == 0 || ts_json_is_true(ts_json_get(c, "use_dora"));
    ts_status status = TS_OK;
    if (strcmp(type, "lora") != 0 && strcmp(type, "dora") != 0)
        status = ts_fail(err, TS_UNSUPPORTED, "the mlx-lm adapter %s is of the type %s; lora and dora are read", x->dir,
                         type);
    else if (!(x->scale > 0) || !(x->scale < 1e9))
        status =
            ts_fail(err, TS_FORMAT,
                    "%s/adapter_config.json names no scale above 0 (lora_parameters.scale); mlx-lm writes one", x->dir);
    ts_json_free(c);
    return status;
}

/* "model.layers.0.mlp.up_proj.lora_a": the module's number and which of its parts (0 a, 1 b, 2 m); false: neither. */
static bool part_of(const mlx *x, const char *name, size_t *module, size_t *part) {
    static const char *const ends[] = {".lora_a", ".lora_b", ".m"};
    size_t n = strlen(name);
    for (*part = 0; *part < TS_COUNT(ends); ++*part) {
        size_t k = strlen(ends[*part]);
        if (n <= k || strcmp(name + n - k, ends[*part]) != 0) continue;
        *module = ts_module_find(x->m, name, n - k);
        return *module < ts_module_count(x->m);
    }
    return false;
}

static void sort_out(const mlx *x, const ts_safetensors *s, ts_pair *pairs, ts_misfits *bad) {
    size_t layers = x->m->config.layers, first = x->num_layers ? layers - TS_MIN(x->num_layers, layers) : 0;
    for (size_t i = 0; i < ts_safetensors_count(s); i++) {
        const ts_tensor *t = ts_safetensors_at(s, i);
        size_t module, part;
        bool known = part_of(x, t->name, &module, &part) && (part < 2 || x->dora);
        if (known && ts_module_at(x->m, module).kind == TS_MODULE_PROJ) known = module / TS_PROJS >= first;
        if (!known) {
            ts_misfit_unexpected(bad, t->name);
            continue;
        }
        ts_pair *p = &pairs[module];
        *(part == 0 ? &p->a : part == 1 ? &p->b : &p->mag) = t;
        p->a_across = p->b_across = true;
    }
    for (size_t i = 0; i < ts_module_count(x->m); i++) {
        const ts_pair *p = &pairs[i];
        char path[TS_MODULE_PATH], name[TS_MODULE_PATH + 8];
        if (!p->a && !p->b && !p->mag) continue;
        ts_module_path(x->m, ts_module_at(x->m, i), path);
        snprintf(name, sizeof name, "%s.%s", path, !p->a ? "lora_a" : !p->b ? "lora_b" : "m");
        if (!p->a || !p->b || (x->dora && !p->mag)) ts_misfit_missing(bad, name);
    }
}

ts_status ts_adapter_load_mlx(ts_adapter **out, const char *dir, const ts_model *m, ts_err *err) {
    mlx x = {.dir = dir, .m = m};
    ts_misfits bad = {0};
    ts_safetensors *s = NULL;
    char *path = ts_path_join(dir, "adapters.safetensors");
    ts_pair *pairs = ts_calloc(ts_module_count(m), sizeof *pairs);
    ts_status status;
    TS_GOTO(read_config(&x, err));
    TS_GOTO(ts_safetensors_open(&s, path, err));
    sort_out(&x, s, pairs, &bad);
    ts_adapter_settings settings = {.dora = x.dora, .dropout = x.dropout, .base_model = m->path};
    TS_GOTO(ts_adapter_from_pairs(out, m, pairs, &settings, x.scale, 0, &bad, err));
    TS_GOTO(ts_misfits_report(&bad, dir, m, err));
    TS_GOTO(ts_adapter_finite(*out, dir, err));
out:
    ts_safetensors_close(s);
    free(pairs);
    free(path);
    return status;
}
