/* Writing a PEFT folder: adapter_config.json with its keys sorted and an indent of two, as PEFT itself writes it. */
#include "core/model/adapter_private.h"

#include "core/base/file.h"
#include "core/model/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number as Python's json prints it: whole ones with ".0" when they are floats there. */
static void put_num(ts_buf *out, double v, bool whole_as_int) {
    ts_jw w = ts_jw_to(out);
    size_t start = out->len;
    ts_jw_num(&w, v);
    if (!whole_as_int && !strpbrk(out->data + start, ".eE")) ts_buf_puts(out, ".0");
}

static void put_str(ts_buf *out, const char *s) {
    ts_jw w = ts_jw_to(out);
    ts_jw_str(&w, s);
}

/* target_modules: sorted names, one a line. */
static void put_targets(ts_buf *out, unsigned targets) {
    static const ts_proj sorted[TS_PROJS] = {TS_DOWN, TS_GATE, TS_K, TS_O, TS_Q, TS_UP, TS_V};
    const char *comma = "";
    ts_buf_puts(out, "[");
    for (size_t i = 0; i < TS_PROJS; i++) {
        if (!(targets & 1u << sorted[i])) continue;
        ts_buf_printf(out, "%s\n    \"%s\"", comma, ts_proj_names[sorted[i]]);
        comma = ",";
    }
    ts_buf_puts(out, "\n  ]");
}

static void put_config(ts_buf *out, const ts_adapter *a) {
    ts_buf_puts(out, "{\n  \"alpha_pattern\": {},\n  \"auto_mapping\": null,\n  \"base_model_name_or_path\": ");
    put_str(out, a->base_model);
    ts_buf_puts(out, ",\n  \"bias\": \"none\",\n  \"exclude_modules\": null,\n  \"fan_in_fan_out\": false,\n"
                     "  \"inference_mode\": true,\n  \"init_lora_weights\": true,\n  \"layers_pattern\": null,\n"
                     "  \"layers_to_transform\": null,\n  \"lora_alpha\": ");
    put_num(out, a->alpha, true);
    ts_buf_puts(out, ",\n  \"lora_dropout\": ");
    put_num(out, a->dropout, false);
    ts_buf_printf(out,
                  ",\n  \"modules_to_save\": null,\n  \"peft_type\": \"LORA\",\n  \"peft_version\": \"0.17.0\",\n"
                  "  \"r\": %zu,\n  \"rank_pattern\": {},\n  \"revision\": null,\n  \"target_modules\": ",
                  a->r);
    put_targets(out, a->targets);
    ts_buf_printf(out, ",\n  \"task_type\": \"CAUSAL_LM\",\n  \"use_dora\": false,\n  \"use_rslora\": %s\n}",
                  a->rslora ? "true" : "false");
}

/* A and B of every adapted projection; the caller frees the list, names lie in `arena`. */
static ts_tensor *list_tensors(const ts_adapter *a, size_t *n, ts_arena *arena) {
    ts_tensor *list = ts_calloc(a->layers * TS_PROJS * 2, sizeof *list);
    *n = 0;
    for (size_t l = 0; l < a->layers; l++)
        for (ts_proj p = 0; p < TS_PROJS; p++)
            for (int b = 0; b < 2 && a->lora[l][p].r; b++) {
                const ts_lora *x = &a->lora[l][p];
                char key[128];
                ts_adapter_key(l, p, b, key);
                ts_tensor *t = &list[(*n)++];
                *t = (ts_tensor){.name = ts_arena_strndup(arena, key, strlen(key)), .type = TS_F32, .n_dims = 2};
                t->dims[0] = b ? x->out : x->r;
                t->dims[1] = b ? x->r : x->in;
                t->data = b ? x->b : x->a;
                t->bytes = t->dims[0] * t->dims[1] * sizeof(float);
            }
    return list;
}

ts_status ts_adapter_save(const ts_adapter *a, const char *dir, ts_err *err) {
    char *tensors_path = ts_path_join(dir, "adapter_model.safetensors"),
         *config_path = ts_path_join(dir, "adapter_config.json");
    ts_arena arena = TS_ARENA_INIT;
    ts_buf config = TS_BUF_INIT;
    size_t n = 0;
    ts_tensor *list = list_tensors(a, &n, &arena);
    ts_status status;
    TS_GOTO(ts_mkdirs(dir, err));
    TS_GOTO(ts_safetensors_write(tensors_path, list, n, err));
    put_config(&config, a);
    TS_GOTO(ts_file_write(config_path, config.data, config.len, err));
out:
    free(list);
    free(tensors_path);
    free(config_path);
    ts_buf_release(&config);
    ts_arena_release(&arena);
    return status;
}
