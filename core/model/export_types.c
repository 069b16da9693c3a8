/* Which type each tensor of a GGUF file gets. */
#include "core/model/export_private.h"

#include <stdio.h>

/* The head of a file of 4 bits gets 8: it weighs most. (llama.cpp takes q6_k, or q8_0 where that does not fit.) */
static ts_dtype wanted(const ts_exporting *e, const ts_part *p) {
    bool head = p->role == TS_ROLE_HEAD || (p->role == TS_ROLE_EMBED && e->parts.tied);
    return head && ts_file_type_in_blocks(e->x->type) ? TS_Q8_0 : p->type;
}

/* Rows that are no whole blocks are not quantised. */
static ts_dtype fitting(ts_dtype t, size_t cols) {
    return ts_row_bytes(t, cols) ? t : TS_F16;
}

void ts_export_gguf_types(ts_exporting *e) {
    ts_export_report *r = e->report;
    for (size_t i = 0; i < e->parts.n; i++) {
        ts_part *p = &e->parts.items[i];
        ts_dtype want = p->role == TS_ROLE_VECTOR ? TS_F32 : wanted(e, p);
        p->type = p->role == TS_ROLE_VECTOR ? TS_F32 : fitting(want, p->cols);
        if (p->type != want && r->fell_back++ == 0)
            snprintf(r->fallback, sizeof r->fallback, "%s is %s instead of %s", p->gguf, ts_dtype_name(p->type),
                     ts_dtype_name(want));
    }
}
