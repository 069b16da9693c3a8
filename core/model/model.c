#include "core/model/model.h"

#include "core/base/hash.h"
#include "core/model/locate.h"
#include "core/model/model_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const ts_tensor *ts_store_find(const struct ts_model_store *s, const char *name, const char **type) {
    if (s->gguf) {
        const ts_tensor *t = ts_gguf_find(s->gguf, name);
        if (t) *type = ts_gguf_type_name(s->gguf, (size_t)(t - ts_gguf_tensor(s->gguf, 0)));
        return t;
    }
    for (size_t i = 0; i < s->n_shards; i++) {
        const ts_tensor *t = ts_safetensors_find(s->shards[i], name);
        if (!t) continue;
        for (size_t k = 0; t->type == TS_DTYPES && k < ts_safetensors_count(s->shards[i]); k++)
            if (ts_safetensors_at(s->shards[i], k) == t) *type = ts_safetensors_type_name(s->shards[i], k);
        return t;
    }
    return NULL;
}

ts_status ts_model_open(ts_model **out, const char *spec, ts_err *err) {
    *out = NULL;
    ts_model_place place;
    TS_TRY(ts_model_locate(spec, &place, err));
    ts_model *m = ts_calloc(1, sizeof *m);
    m->store = ts_calloc(1, sizeof *m->store);
    pthread_mutex_init(&m->store->lock, NULL);
    m->path = ts_strdup(place.path);
    ts_status status =
        place.kind == TS_MODEL_GGUF ? ts_model_read_gguf(m, place.path, err) : ts_model_read_hf(m, place.path, err);
    ts_model_place_release(&place);
    if (status == TS_OK)
        *out = m;
    else
        ts_model_close(m);
    return status;
}

static void close_store(struct ts_model_store *s) {
    ts_gguf_close(s->gguf);
    for (size_t i = 0; i < s->n_shards; i++)
        ts_safetensors_close(s->shards[i]);
    for (size_t i = 0; i < s->n_paths; i++)
        free(s->paths[i]);
    if (s->block) munmap(s->block, s->block_bytes);
    if (s->nf4) munmap(s->nf4, s->nf4_bytes);
    free(s->shards);
    free(s->paths);
    ts_arena_release(&s->arena);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void ts_model_close(ts_model *m) {
    if (!m) return;
    close_store(m->store);
    free(m->layer);
    free(m->path);
    free(m);
}

void ts_weight_rows(const ts_weight *w, size_t first, size_t n, float *out) {
    ts_assert(w->data && first <= w->rows && n <= w->rows - first);
    ts_dequantize(w->type, (const unsigned char *)w->data + first * w->row_bytes, out, n * w->cols);
}

static bool inside(const void *p, const void *block, size_t bytes) {
    return block && (uintptr_t)p >= (uintptr_t)block && (uintptr_t)p < (uintptr_t)block + bytes;
}

size_t ts_model_copied_bytes(const ts_model *m) {
    return m->store->block_bytes;
}

/* The whole pages of it. */
void ts_model_forget(const ts_model *m, const ts_weight *w) {
    const struct ts_model_store *s = m->store;
    if (inside(w->data, s->block, s->block_bytes) || inside(w->data, s->nf4, s->nf4_bytes)) return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)w->data, end = at + w->rows * w->row_bytes;
    at = (at + page - 1) & ~(page - 1);
    end &= ~(page - 1);
    if (end > at && madvise((void *)at, end - at, MADV_DONTNEED) != 0) return; /* then they stay in memory */
}

/* The hash of the list of the files' hashes: names and places do not count. */
static ts_status hash_files(const struct ts_model_store *s, char out[33], ts_err *err) {
    ts_buf list = TS_BUF_INIT;
    ts_status status = TS_OK;
    for (size_t i = 0; i < s->n_paths && status == TS_OK; i++) {
        char one[33] = "";
        status = ts_hash_file(s->paths[i], one, err);
        ts_buf_printf(&list, "%s\n", one);
    }
    if (status == TS_OK) ts_hash128_hex(ts_buf_str(&list), list.len, out);
    ts_buf_release(&list);
    return status;
}

ts_status ts_model_hash(const ts_model *m, char out[33], ts_err *err) {
    struct ts_model_store *s = m->store;
    ts_status status = TS_OK;
    pthread_mutex_lock(&s->lock);
    if (!s->hash[0]) status = hash_files(s, s->hash, err);
    memcpy(out, s->hash, sizeof s->hash);
    pthread_mutex_unlock(&s->lock);
    return status;
}
