/* The families of models that are read. A family belongs here when its forward pass is the one of model.h. */
#include "core/model/model_private.h"

#include <stdio.h>
#include <string.h>

const ts_family *const ts_families[] = {&ts_family_llama,   &ts_family_mistral, &ts_family_qwen2,  &ts_family_qwen3,
                                        &ts_family_smollm3, &ts_family_phi3,    &ts_family_gemma2, &ts_family_gemma3};
const size_t ts_n_families = TS_COUNT(ts_families);

static bool same(const char *a, const char *b) {
    return a && b && strcmp(a, b) == 0;
}

const ts_family *ts_family_by_hf(const char *architecture, const char *model_type, bool *wrapped) {
    for (size_t i = 0; i < ts_n_families; i++) {
        const ts_family *f = ts_families[i];
        *wrapped = architecture ? same(f->hf_wrapper, architecture) : same(f->hf_wrapper_type, model_type);
        if (*wrapped || (architecture ? same(f->hf_architecture, architecture) : same(f->hf_model_type, model_type)))
            return f;
    }
    return NULL;
}

const ts_family *ts_family_by_gguf(const char *architecture) {
    for (size_t i = 0; i < ts_n_families; i++)
        if (same(ts_families[i]->gguf_architecture, architecture)) return ts_families[i];
    return NULL;
}

const ts_family *ts_family_of(const ts_model *m) {
    for (size_t i = 0; i < ts_n_families; i++)
        if (strcmp(ts_families[i]->name, m->config.family) == 0) return ts_families[i];
    ts_assert(!"an open model is of a known family");
    return NULL;
}

const char *ts_family_list(char out[TS_FAMILY_LIST]) {
    size_t n = 0;
    for (size_t i = 0; i < ts_n_families; i++) {
        const ts_family *f = ts_families[i];
        const char *before = i == 0 ? "" : i + 1 < ts_n_families ? ", " : " and ";
        n += (size_t)snprintf(out + n, TS_FAMILY_LIST - n, "%s%s%s%s%s", before, f->name, f->also ? " (with " : "",
                              f->also ? f->also : "", f->also ? ")" : "");
        ts_assert(n < TS_FAMILY_LIST);
    }
    return out;
}
