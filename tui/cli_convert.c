/* convert: a model in another form. */
#include "tui/cli_export.h"

static int run_convert(const ts_cmd *cmd, const void *opts) {
    const struct export_opts *o = opts;
    if (!o->model) return ts_cmd_usage(cmd, "--model is missing");
    if (!o->out) return ts_cmd_usage(cmd, "--out is missing");
    return ts_cmd_export(cmd, o);
}

#define CONVERT(member) offsetof(struct export_opts, member)
static const ts_opt convert_table[] = {
    {"model", TS_OPT_TEXT, CONVERT(model), "MODEL", "folder, GGUF file or name"},
    {"out", TS_OPT_TEXT, CONVERT(out), "OUT", "a new folder, or a file that ends in .gguf"},
    {"type", TS_OPT_TEXT, CONVERT(type), "TYPE",
     "of the weights (the model's own; f16 where that is quantised): f32, f16, bf16; .gguf: also q8_0, q4_0, q4_1"},
    {"max-shard-size", TS_OPT_NUM, CONVERT(max_shard_gb), "GB", "folder: largest weights file"},
    {"no-verify", TS_OPT_FLAG, CONVERT(no_verify), NULL, "do not open and compare what was written"},
};
static const struct export_opts convert_defaults = {.max_shard_gb = 5};

const ts_verb ts_verb_convert = {
    .name = "convert",
    .args = "",
    .help = "write a model in another form or type: a folder for transformers or a GGUF file",
    .opts = convert_table,
    .n_opts = TS_COUNT(convert_table),
    .size = sizeof(struct export_opts),
    .defaults = &convert_defaults,
    .run = run_convert,
};
