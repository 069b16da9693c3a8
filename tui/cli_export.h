/* What merge and convert share: writing a model in another form, checking what was written, and the report. */
#ifndef TS_TUI_CLI_EXPORT_H
#define TS_TUI_CLI_EXPORT_H

#include "core/model/export.h"
#include "tui/cli.h"

struct export_opts {
    const char *model, *adapter, *out, *type, *template, *ws;
    double max_shard_gb;
    bool no_verify;
};

/* The help of --type. */
#define TS_EXPORT_TYPES                                                                                                \
    "of the weights (the model's own; f16 where that is quantised): f32, f16, bf16; .gguf: also q8_0, q6_k, q5_k_m, "  \
    "q5_1, q5_0, q4_k_m, q4_1, q4_0"

/* Writes o->model with o->adapter (NULL: none) merged into it to o->out, then opens the result and compares it with the
 * source. The chat template written is o->template (a name or file; "": the model's own), else the one that the adapter
 * was trained with, else the model's own. The exit code. */
int ts_cmd_export(const ts_cmd *cmd, const struct export_opts *o);

/* How far two models are apart on a few fixed texts. `a_adapter` is active in a. */
typedef struct ts_distance {
    size_t prompts, tokens;
    double max_logit;    /* largest difference of a logit */
    double nll_a, nll_b; /* mean NLL of a token */
    double agree;        /* share of positions with the same best token */
    bool same_ids;       /* both tokenizers give the same ids */
} ts_distance;
TS_MUST_USE ts_status ts_model_distance(const ts_model *a, const ts_adapter *a_adapter, const ts_model *b,
                                        ts_distance *out, ts_progress *progress, ts_err *err);

#endif
