/* Any bytes as an adapter: one byte says the kind (PEFT folder, mlx-lm folder, GGUF file), two the length of the
 * config, then the config and the tensors. What is accepted is applied to a tiny model, written and read again, and
 * must then be the same. */
#include "core/base/file.h"
#include "core/model/adapter.h"
#include "tests/fuzz/memory_limit.h"
#include "tests/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ts_model *model;
static char folders[4][64]; /* of each kind, and of what is written */

static void clean_up(void) {
    ts_err err;
    ts_model_close(model);
    for (size_t i = 0; i < TS_COUNT(folders); i++)
        if (ts_remove_tree(folders[i], &err) != TS_OK) fprintf(stderr, "%s\n", err.text);
}

static void start(void) {
    const char *root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    char path[128];
    ts_err err;
    for (size_t i = 0; i < TS_COUNT(folders); i++) {
        snprintf(folders[i], sizeof folders[i], "%s/fuzz_adapter-%ld-%zu", root, (long)getpid(), i);
        ts_assert(mkdir(folders[i], 0700) == 0);
    }
    snprintf(path, sizeof path, "%s/model.gguf", folders[3]);
    ts_tiny_gguf(path, &(ts_tiny){.hidden = 16, .ffn = 32, .layers = 2, .heads = 2, .kv_heads = 1, .untied = true});
    ts_assert(ts_model_open(&model, path, &err) == TS_OK);
    atexit(clean_up);
}

static void put(const char *dir, const char *name, const uint8_t *data, size_t n) {
    char *path = ts_path_join(dir, name);
    FILE *f = fopen(path, "wb");
    ts_assert(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
    free(path);
}

static volatile float sink; /* so that reads are not left out */

static void use(const ts_adapter *a) {
    float row[32];
    for (size_t l = 0; l < a->layers; l++)
        for (ts_proj p = 0; p < TS_PROJS; p++) {
            ts_adapter_apply(a, model, (ts_module){.layer = l, .proj = p}, 1, 1, row);
            sink += row[0];
        }
    ts_adapter_apply(a, model, (ts_module){.kind = TS_MODULE_HEAD}, model->config.vocab - 1, 1, row);
    ts_adapter_embed_row(a, model, model->config.vocab - 1, row);
    sink += row[0] + ts_adapter_norm(a, model->final_norm)[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ts_adapter *a, *again;
    ts_err err;
    if (!model) start();
    if (size < 3) return 0;
    LIMIT_MEMORY(size);
    size_t kind = data[0] % 3, config = data[1] | (size_t)data[2] << 8;
    data += 3;
    size -= 3;
    config = TS_MIN(config, size);
    char *path = kind == 2 ? ts_path_join(folders[2], "a.gguf") : ts_strdup(folders[kind]);
    if (kind < 2) put(path, "adapter_config.json", data, config);
    if (kind == 2)
        put(folders[2], "a.gguf", data, size);
    else
        put(path, kind ? "adapters.safetensors" : "adapter_model.safetensors", data + config, size - config);
    if (ts_adapter_load(&a, path, model, &err) == TS_OK) {
        use(a);
        ts_assert(ts_adapter_save(a, folders[3], &err) == TS_OK);
        ts_status status = ts_adapter_load(&again, folders[3], model, &err);
        if (status != TS_OK) fprintf(stderr, "%s\n", err.text);
        ts_assert(status == TS_OK && again->n_params == a->n_params);
        ts_assert(memcmp(again->block, a->block, a->n_params * sizeof *a->block) == 0);
        ts_adapter_free(again);
        ts_adapter_free(a);
    }
    free(path);
    return 0;
}
