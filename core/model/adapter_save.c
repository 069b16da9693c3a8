/* Writing a PEFT folder. */
#include "core/base/file.h"
#include "core/model/adapter_private.h"

#include <stdlib.h>
#include <string.h>

/* All tensors; the caller frees the list, names lie in `arena`. */
static ts_tensor *list_tensors(const ts_adapter *a, size_t *n, ts_arena *arena) {
    ts_tensor *list = NULL;
    size_t cap = 0;
    ts_slot slot;
    *n = 0;
    for (size_t i = 0; ts_adapter_slot(a, i, &slot); i++) {
        if (!*slot.key) continue;
        ts_tensor t = {.name = ts_arena_strndup(arena, slot.key, strlen(slot.key)), .type = TS_F32};
        t.n_dims = slot.n_dims;
        memcpy(t.dims, slot.dims, sizeof slot.dims);
        t.data = slot.into;
        t.bytes = slot.dims[0] * TS_MAX(slot.dims[1], (size_t)1) * sizeof(float);
        if (slot.saved) {
            t.type = slot.saved->weight.type;
            t.data = slot.saved->weight.data;
            t.bytes = slot.saved->weight.rows * slot.saved->weight.row_bytes;
        }
        TS_PUSH(list, *n, cap, t);
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
    ts_settings_write(&a->settings, &config);
    TS_GOTO(ts_file_write(config_path, config.data, config.len, err));
out:
    free(list);
    free(tensors_path);
    free(config_path);
    ts_buf_release(&config);
    ts_arena_release(&arena);
    return status;
}
