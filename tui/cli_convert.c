/* convert: a model in another form, or an adapter. */
#include "core/base/file.h"
#include "core/base/json.h"
#include "eval/runs.h"
#include "tui/cli_export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_gguf(const char *out) {
    size_t n = strlen(out);
    return n >= 5 && strcmp(out + n - 5, ".gguf") == 0;
}

static ts_status write_adapter(const struct export_opts *o, const ts_adapter *a, ts_err *err) {
    if (ts_file_exists(o->out))
        return ts_fail(err, TS_INVALID, "%s is there already; choose another name or remove it", o->out);
    return is_gguf(o->out) ? ts_adapter_save_gguf(a, o->out, err) : ts_adapter_save(a, o->out, err);
}

static void report_adapter(const ts_cmd *cmd, const struct export_opts *o, const ts_adapter *a) {
    const char *format = is_gguf(o->out) ? "gguf" : "peft";
    if (!cmd->json) {
        printf("%s: an adapter of %zu parameters for %s\n", o->out, ts_adapter_params(a),
               is_gguf(o->out) ? "llama.cpp" : "PEFT");
        return;
    }
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&line);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "out", o->out);
    ts_jw_kstr(&w, "format", format);
    ts_jw_kint(&w, "parameters", (int64_t)ts_adapter_params(a));
    ts_jw_end_obj(&w);
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
}

/* What was written is read again, so that what cannot be read is noticed here. */
static ts_status convert_adapter(const ts_cmd *cmd, const struct export_opts *o, ts_err *err) {
    ts_model *m = NULL;
    ts_adapter *a = NULL, *again = NULL;
    char *dir = NULL;
    ts_status status;
    TS_GOTO(ts_model_open(&m, o->model, err));
    TS_GOTO(ts_runs_adapter(o->ws ? o->ws : ".", o->adapter, &dir, err));
    TS_GOTO(ts_adapter_load(&a, dir, m, err));
    TS_GOTO(write_adapter(o, a, err));
    if (!o->no_verify) TS_GOTO(ts_adapter_load(&again, o->out, m, err));
    report_adapter(cmd, o, a);
out:
    ts_adapter_free(again);
    ts_adapter_free(a);
    ts_model_close(m);
    free(dir);
    return status;
}

static int run_convert(const ts_cmd *cmd, const void *opts) {
    const struct export_opts *o = opts;
    if (!o->model) return ts_cmd_usage(cmd, "--model is missing");
    if (!o->out) return ts_cmd_usage(cmd, "--out is missing");
    if (!o->adapter) return ts_cmd_export(cmd, o);
    ts_err err;
    if (o->template) return ts_cmd_usage(cmd, "--template is for models; an adapter's file holds none");
    if (o->type) return ts_cmd_usage(cmd, "--type is for models; an adapter is always written as f32");
    return convert_adapter(cmd, o, &err) == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

#define CONVERT(member) offsetof(struct export_opts, member)
static const ts_opt convert_table[] = {
    {"model", TS_OPT_TEXT, CONVERT(model), "MODEL", "folder, GGUF file or name"},
    {"adapter", TS_OPT_TEXT, CONVERT(adapter), "A", "write this adapter (folder, .gguf, run:3) instead of the model"},
    {"out", TS_OPT_TEXT, CONVERT(out), "OUT", "a new folder, or a file that ends in .gguf"},
    {"type", TS_OPT_TEXT, CONVERT(type), "TYPE", TS_EXPORT_TYPES},
    {"template", TS_OPT_TEXT, CONVERT(template), "NAME|FILE",
     "chat template to write instead of the model's own: alpaca, chatml, llama2, plain"},
    {"max-shard-size", TS_OPT_NUM, CONVERT(max_shard_gb), "GB", "folder: largest weights file"},
    {"no-verify", TS_OPT_FLAG, CONVERT(no_verify), NULL, "do not open and compare what was written"},
    {"workspace", TS_OPT_TEXT, CONVERT(ws), "WS", "where run:N is looked up (this folder)"},
};
static const struct export_opts convert_defaults = {.max_shard_gb = 5};

const ts_verb ts_verb_convert = {
    .name = "convert",
    .args = "",
    .help = "write a model in another form or type: a folder for transformers or a GGUF file",
    .more =
        "With --adapter it is the adapter that is written: a PEFT folder, or a GGUF adapter where OUT ends in .gguf.",
    .opts = convert_table,
    .n_opts = TS_COUNT(convert_table),
    .size = sizeof(struct export_opts),
    .defaults = &convert_defaults,
    .run = run_convert,
};
