#include "tui/cli_engine.h"

#include "eval/runs.h"

#include <stdlib.h>
#include <string.h>

ts_status ts_sides_find(ts_sides *out, const char *ws, const ts_texts *adapters, ts_err *err) {
    size_t n = TS_MAX(adapters->n, (size_t)1);
    *out = (ts_sides){ts_calloc(n, sizeof *out->names), ts_calloc(n, sizeof *out->dirs), n};
    out->names[0] = "base";
    for (size_t i = 0; i < adapters->n; i++) {
        out->names[i] = adapters->items[i];
        if (strcmp(out->names[i], "base") == 0) continue;
        ts_status status = ts_runs_adapter(ws ? ws : ".", out->names[i], &out->dirs[i], err);
        if (status != TS_OK) {
            ts_sides_release(out);
            return status;
        }
    }
    return TS_OK;
}

void ts_sides_release(ts_sides *s) {
    for (size_t i = 0; i < s->n; i++)
        free(s->dirs[i]);
    free(s->dirs);
    free(s->names);
    *s = (ts_sides){0};
}

void ts_put_tree(ts_jw *w, const char *key, const ts_json *tree) {
    ts_buf text = TS_BUF_INIT;
    ts_json_print(tree, &text);
    ts_jw_key(w, key);
    ts_jw_raw(w, ts_buf_str(&text), text.len);
    ts_buf_release(&text);
}

int ts_check_precision(const ts_cmd *cmd, const char *precision) {
    if (strcmp(precision, "f32") == 0 || strcmp(precision, "auto") == 0) return 0;
    if (strcmp(precision, "bf16") == 0)
        return ts_cmd_usage(cmd, "--precision bf16 is not available in this version; leave it out or use f32");
    return ts_cmd_usage(cmd, "--precision is \"%s\"; it must be f32 or auto", precision);
}
