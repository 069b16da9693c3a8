/* Which type each tensor of a GGUF file gets: quantize.h's rules over this model. */
#include "core/model/export_private.h"

#include <stdio.h>
#include <string.h>

static ts_file_model file_model(const ts_exporting *e) {
    const ts_config *c = &e->x->model->config;
    const char *arch = ts_export_architecture(e->x->model);
    return (ts_file_model){.layers = c->layers,
                           .tied = e->parts.tied,
                           .large = c->layers == 80 && (strcmp(arch, "qwen2") == 0 ||
                                                        (strcmp(arch, "llama") == 0 && c->kv_heads != c->heads))};
}

void ts_export_gguf_types(ts_exporting *e) {
    ts_export_report *r = e->report;
    ts_file_model m = file_model(e);
    for (size_t i = 0; i < e->parts.n; i++) {
        ts_part *p = &e->parts.items[i];
        ts_dtype wanted = ts_file_type_of(e->x->type, &m, p->gguf, p->role == TS_ROLE_VECTOR ? 1 : 2);
        p->type = ts_dtype_fitting(wanted, p->cols);
        if (p->type != wanted && r->fell_back++ == 0)
            snprintf(r->fallback, sizeof r->fallback, "%s is %s instead of %s", p->gguf, ts_dtype_name(p->type),
                     ts_dtype_name(wanted));
    }
}
