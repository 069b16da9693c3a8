/* report: all that is known of a workspace's tuning, to read or to pass on. */
#include "eval/report.h"
#include "tui/cli.h"

#include <stdio.h>

struct report_opts {
    const char *where, *csv;
    ts_texts side;
    int64_t limit;
};

/* --json, --csv: to stdout. */
static ts_status print(const ts_cmd *cmd, const ts_report_options *q, const char *csv, ts_progress *progress,
                       ts_err *err) {
    ts_report r;
    ts_buf out = TS_BUF_INIT;
    ts_status status = ts_report_make(&r, q, progress, err);
    if (status == TS_OK && csv) status = ts_report_csv(&r, csv, &out, err);
    if (status == TS_OK && !csv) {
        ts_report_json(&r, &out);
        ts_buf_putc(&out, '\n');
    }
    if (status == TS_OK && fwrite(out.data, 1, out.len, stdout) != out.len)
        status = ts_fail_errno(err, "cannot write the report of %s", cmd->args[0]);
    ts_buf_release(&out);
    ts_report_release(&r);
    return status;
}

static int run_report(const ts_cmd *cmd, const void *opts) {
    const struct report_opts *o = opts;
    ts_report_options q = {
        .ws = cmd->args[0], .where = o->where, .sides = o->side.items, .n_sides = o->side.n, .limit = o->limit};
    ts_progress progress = {0};
    ts_status status;
    ts_err err;
    bool to_file = cmd->n_args > 1;
    if (o->csv && cmd->json) return ts_cmd_usage(cmd, "say one of --csv and --json");
    if (!to_file && !o->csv && !cmd->json)
        return ts_cmd_usage(cmd,
                            "say where to write it: OUT.html, OUT.md or OUT.json; or --json or --csv TABLE for stdout");
    if (to_file && (o->csv || cmd->json))
        return ts_cmd_usage(cmd, "--csv and --json print; they take no file to write");
    ts_meter *meter = ts_meter_start(cmd, &progress, "gathering", "prompts");
    if (to_file)
        status = ts_report_write(&q, cmd->args[1], &progress, &err);
    else
        status = print(cmd, &q, o->csv, &progress, &err);
    ts_meter_stop(meter);
    if (status != TS_OK) return ts_cmd_fail(cmd, &err);
    if (to_file) ts_cmd_note(cmd, "wrote %s", cmd->args[1]);
    return TS_EXIT_OK;
}

static const ts_opt report_table[] = {
    {"side", TS_OPT_LIST, offsetof(struct report_opts, side), "SIDE",
     "only these sides; may be repeated (all that answered)"},
    {"limit", TS_OPT_INT, offsetof(struct report_opts, limit), "N", "only the latest N prompts"},
    {"where", TS_OPT_TEXT, offsetof(struct report_opts, where), "QUERY", "rows of the data card (status=accepted)"},
    {"csv", TS_OPT_TEXT, offsetof(struct report_opts, csv), "TABLE",
     "print a table: answers, metrics, votes, curves or settings"},
};

const ts_verb ts_verb_report = {
    .name = "report",
    .args = "WS [OUT]",
    .help = "what was tuned on what, curves, metrics, answers side by side, votes, data card: .html, .md, .json",
    .more =
        "OUT.html is one page that needs nothing from elsewhere: it can be mailed, printed, read on a phone. It is "
        "made from\nthe runs of the workspace and from what compare and vote kept in it; no model is needed. In CSV "
        "a cell of text that a\nspreadsheet would take for a formula has a ' in front.",
    .min_args = 1,
    .max_args = 2,
    .opts = report_table,
    .n_opts = TS_COUNT(report_table),
    .size = sizeof(struct report_opts),
    .run = run_report,
};
