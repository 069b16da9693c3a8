/* merge: an adapter added into the model's own weights, as a model that needs no adapter. */
#include "tui/cli_export.h"

static int run_merge(const ts_cmd *cmd, const void *opts) {
    const struct export_opts *o = opts;
    if (!o->model) return ts_cmd_usage(cmd, "--model is missing");
    if (!o->adapter)
        return ts_cmd_usage(cmd, "--adapter is missing; without one, `tunesmith convert` is what you want");
    if (!o->out) return ts_cmd_usage(cmd, "--out is missing");
    return ts_cmd_export(cmd, o);
}

#define MERGE(member) offsetof(struct export_opts, member)
static const ts_opt merge_table[] = {
    {"model", TS_OPT_TEXT, MERGE(model), "MODEL", "folder, GGUF file or name; best the 16-bit original"},
    {"adapter", TS_OPT_TEXT, MERGE(adapter), "A", "PEFT folder, run:3 or run:3/best"},
    {"out", TS_OPT_TEXT, MERGE(out), "OUT", "a new folder, or a file that ends in .gguf"},
    {"type", TS_OPT_TEXT, MERGE(type), "TYPE", TS_EXPORT_TYPES},
    {"template", TS_OPT_TEXT, MERGE(template), "NAME|FILE",
     "chat template to write instead of the run's or the model's own: alpaca, chatml, llama2, plain"},
    {"max-shard-size", TS_OPT_NUM, MERGE(max_shard_gb), "GB", "folder: largest weights file"},
    {"no-verify", TS_OPT_FLAG, MERGE(no_verify), NULL, "do not open and compare what was written"},
    {"workspace", TS_OPT_TEXT, MERGE(ws), "WS", "where run:N is looked up (this folder)"},
};
static const struct export_opts merge_defaults = {.max_shard_gb = 5};

const ts_verb ts_verb_merge = {
    .name = "merge",
    .args = "",
    .help = "add an adapter into the model's weights: a folder for transformers or a GGUF file",
    .more =
        "The sum is made in 32 bits and rounded once. What was written is opened again and compared with the model\n"
        "and the active adapter on a few texts.",
    .opts = merge_table,
    .n_opts = TS_COUNT(merge_table),
    .size = sizeof(struct export_opts),
    .defaults = &merge_defaults,
    .run = run_merge,
};
