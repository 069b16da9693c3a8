#include "tui/cli_sampling.h"

int ts_answer_opts_settle(const ts_cmd *cmd, const ts_answer_opts *o, ts_sampling *out) {
    ts_err err;
    *out = o->sampling;
    if (!ts_sampling_order_find(o->preset, &out->order))
        return ts_cmd_usage(cmd, "--preset is \"%s\"; it must be hf or llamacpp", o->preset);
    if (!ts_answer_opts_f16(o) && strcmp(o->kv_cache, "f32") != 0)
        return ts_cmd_usage(cmd, "--kv-cache is \"%s\"; it must be f32 or f16", o->kv_cache);
    for (size_t i = 0; i < o->stop.n; i++)
        if (!*o->stop.items[i]) return ts_cmd_usage(cmd, "--stop needs a text that is not empty");
    return ts_sampling_settle(out, &err) == TS_OK ? 0 : ts_cmd_usage(cmd, "%s", err.text);
}
