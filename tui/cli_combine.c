/* combine: several adapters over one base as one adapter. */
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/model/adapter_combine.h"
#include "eval/runs.h"
#include "tui/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct combine_opts {
    const char *model, *out, *how, *ws;
    ts_texts adapters;
    int64_t rank;
};

/* One --adapter: "run:3", "run:3=0.7", "folder=-1". */
typedef struct part {
    char *name, *dir;
    double weight;
    ts_adapter *adapter;
} part;

static void read_part(const char *text, part *p) {
    const char *equal = strrchr(text, '=');
    char *end = NULL;
    double weight = equal ? strtod(equal + 1, &end) : 1;
    bool weighted = equal && equal[1] && *end == 0;
    *p = (part){.name = weighted ? ts_strndup(text, (size_t)(equal - text)) : ts_strdup(text),
                .weight = weighted ? weight : 1};
}

static ts_status load_parts(const struct combine_opts *o, const ts_model *m, part *parts, ts_err *err) {
    for (size_t i = 0; i < o->adapters.n; i++) {
        TS_TRY(ts_runs_adapter(o->ws, parts[i].name, &parts[i].dir, err));
        TS_TRY(ts_adapter_load(&parts[i].adapter, parts[i].dir, m, err));
    }
    return TS_OK;
}

static ts_status write_result(const char *out, const ts_adapter *a, const ts_progress *progress, ts_err *err) {
    size_t n = strlen(out);
    ts_adapter *again = NULL;
    if (ts_file_exists(out))
        return ts_fail(err, TS_INVALID, "%s is there already; choose another name or remove it", out);
    if (ts_cancelled(progress)) return ts_fail(err, TS_CANCELLED, "stopped");
    ts_status status =
        n >= 5 && strcmp(out + n - 5, ".gguf") == 0 ? ts_adapter_save_gguf(a, out, err) : ts_adapter_save(a, out, err);
    if (status == TS_OK) status = ts_adapter_load(&again, out, a->model, err); /* what cannot be read is noticed here */
    ts_adapter_free(again);
    if (status != TS_OK && ts_remove_tree(out, NULL) != TS_OK) ts_wrap(err, status, "%s could not be removed", out);
    return status;
}

static void report(const ts_cmd *cmd, const struct combine_opts *o, const ts_adapter *a) {
    if (!cmd->json) {
        printf("%s: %zu adapters as one (%s), rank %zu, %zu parameters\n", o->out, o->adapters.n, o->how, a->settings.r,
               ts_adapter_params(a));
        return;
    }
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&line);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "out", o->out);
    ts_jw_kstr(&w, "how", o->how);
    ts_jw_kint(&w, "rank", (int64_t)a->settings.r);
    ts_jw_kint(&w, "parameters", (int64_t)ts_adapter_params(a));
    ts_jw_end_obj(&w);
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
}

static ts_status combine(const ts_cmd *cmd, const struct combine_opts *o, ts_combine_how how, ts_err *err) {
    size_t n = o->adapters.n;
    part *parts = ts_calloc(n, sizeof *parts);
    ts_weighted *weighted = ts_calloc(n, sizeof *weighted);
    ts_model *m = NULL;
    ts_adapter *sum = NULL;
    ts_progress progress = {0};
    ts_meter *meter;
    ts_status status;
    for (size_t i = 0; i < n; i++)
        read_part(o->adapters.items[i], &parts[i]);
    TS_GOTO(ts_model_open(&m, o->model, err));
    TS_GOTO(load_parts(o, m, parts, err));
    for (size_t i = 0; i < n; i++)
        weighted[i] = (ts_weighted){parts[i].adapter, parts[i].weight, parts[i].name};
    meter = ts_meter_start(cmd, &progress, "combining", "matrices");
    status = ts_adapter_combine(&sum, weighted, n, how, (size_t)o->rank, &progress, err);
    if (status == TS_OK) status = write_result(o->out, sum, &progress, err);
    ts_meter_stop(meter); /* a stop while it is written does not end the program halfway */
    TS_GOTO(status);
    report(cmd, o, sum);
out:
    for (size_t i = 0; i < n; i++) {
        ts_adapter_free(parts[i].adapter);
        free(parts[i].name);
        free(parts[i].dir);
    }
    ts_adapter_free(sum);
    ts_model_close(m);
    free(parts);
    free(weighted);
    return status;
}

static int run_combine(const ts_cmd *cmd, const void *opts) {
    const struct combine_opts *o = opts;
    ts_err err;
    int how = 0;
    while (how < TS_COMBINE_HOWS && strcmp(o->how, ts_combine_names[how]) != 0)
        how++;
    if (!o->model) return ts_cmd_usage(cmd, "--model is missing");
    if (!o->adapters.n) return ts_cmd_usage(cmd, "--adapter is missing: name at least one, best two");
    if (!o->out) return ts_cmd_usage(cmd, "--out is missing");
    if (how == TS_COMBINE_HOWS) return ts_cmd_usage(cmd, "--how is \"%s\"; it must be cat, linear or svd", o->how);
    if (o->rank && how != TS_COMBINE_SVD) return ts_cmd_usage(cmd, "--rank is for --how svd");
    if (o->rank < 0) return ts_cmd_usage(cmd, "--rank cannot be negative");
    return combine(cmd, o, (ts_combine_how)how, &err) == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

#define AT(member) offsetof(struct combine_opts, member)
static const ts_opt combine_table[] = {
    {"model", TS_OPT_TEXT, AT(model), "MODEL", "the base of all of them: folder, GGUF file or name"},
    {"adapter", TS_OPT_LIST, AT(adapters), "A[=W]", "folder, run:3, run:3/best or run:TAG, and its weight (1)"},
    {"out", TS_OPT_TEXT, AT(out), "OUT", "a new PEFT folder, or a file that ends in .gguf"},
    {"how", TS_OPT_TEXT, AT(how), "WAY",
     "cat: exact, the ranks add up; linear: equal ranks, rough; svd: best of a rank"},
    {"rank", TS_OPT_INT, AT(rank), "N", "svd: of the result (0: the largest of theirs)"},
    {"workspace", TS_OPT_TEXT, AT(ws), "WS", "where runs are looked up"},
};
static const struct combine_opts combine_defaults = {.how = "cat", .ws = "."};

const ts_verb ts_verb_combine = {
    .name = "combine",
    .args = "",
    .help = "add adapters over one base up, each with a weight, to one adapter",
    .more =
        "The ways and their numbers are those of PEFT's add_weighted_adapter. For example, two thirds of one and a\n"
        "little of another: tunesmith combine --model M --adapter run:1=0.7 --adapter run:2=0.3 --out both",
    .opts = combine_table,
    .n_opts = TS_COUNT(combine_table),
    .size = sizeof(struct combine_opts),
    .defaults = &combine_defaults,
    .run = run_combine,
};
