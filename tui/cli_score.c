/* score */
#include "core/base/json.h"
#include "dataset/score.h"
#include "tui/cli_data.h"

#include <string.h>

struct score_opts {
    const char *dismiss;
    bool again;
};

/* `--dismiss ID SCORE`: the second word arrives as an argument. */
static int dismiss(const ts_cmd *cmd, const struct score_opts *o, ts_store *st) {
    ts_err err;
    ts_done done;
    int64_t id;
    if (!ts_cmd_number(cmd, o->dismiss, "ID", &id)) return TS_EXIT_USAGE;
    if (cmd->n_args != 2) return ts_cmd_usage(cmd, "--dismiss takes a row's ID and the name of a score");
    ts_status status = ts_row_dismiss(st, id, cmd->args[1], !o->again, &done, &err);
    if (status == TS_INVALID) return ts_cmd_usage(cmd, "%s", err.text);
    return status == TS_OK ? ts_cmd_done(cmd, &done, "nothing to change") : ts_cmd_fail(cmd, &err);
}

static void print_json(const ts_score_report *r, ts_buf *out) {
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "rows", r->rows);
    ts_jw_knum(&w, "mean", r->mean);
    ts_jw_kstr(&w, "language", r->language);
    ts_jw_key(&w, "scores");
    ts_jw_obj(&w);
    for (size_t i = 0; i < ts_rule_count(); i++) {
        ts_jw_key(&w, ts_rules[i].name);
        if (strcmp(ts_rules[i].name, "format") == 0 && !r->checked_format)
            ts_jw_null(&w);
        else
            ts_jw_int(&w, r->hits[i]);
    }
    ts_jw_end_obj(&w);
    ts_jw_end_obj(&w);
    ts_cmd_print_line(out);
}

static void print_text(const ts_score_report *r, ts_buf *out) {
    ts_buf_printf(out, "%lld rows scored, mean %.2f, main language %s", (long long)r->rows, r->mean, r->language);
    ts_cmd_print_line(out);
    for (size_t i = 0; i < ts_rule_count(); i++) {
        if (strcmp(ts_rules[i].name, "format") == 0 && !r->checked_format)
            ts_buf_printf(out, "       -  %-12s no check file is set (config WS check FILE)", ts_rules[i].name);
        else
            ts_buf_printf(out, "%8lld  %-12s %s", (long long)r->hits[i], ts_rules[i].name, ts_rules[i].finds);
        ts_cmd_print_line(out);
    }
}

static int run_score(const ts_cmd *cmd, const void *opts) {
    const struct score_opts *o = opts;
    ts_progress progress = {0};
    ts_score_report report;
    ts_buf out = TS_BUF_INIT;
    ts_err err;
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    if (o->dismiss || cmd->n_args > 1) {
        int code = o->dismiss ? dismiss(cmd, o, st) : ts_cmd_usage(cmd, "one workspace is needed");
        ts_store_close(st);
        return code;
    }
    ts_meter *meter = ts_meter_start(cmd, &progress, "scoring", "rows");
    ts_status status = ts_score_all(st, &progress, &report, &err);
    ts_meter_stop(meter);
    if (status == TS_OK && cmd->json)
        print_json(&report, &out);
    else if (status == TS_OK)
        print_text(&report, &out);
    ts_buf_release(&out);
    ts_store_close(st);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

static const ts_opt opts_table[] = {
    {"dismiss", TS_OPT_TEXT, offsetof(struct score_opts, dismiss), "ID SCORE", "this finding is wrong: it counts as 0"},
    {"again", TS_OPT_FLAG, offsetof(struct score_opts, again), NULL, "with --dismiss: let it count again"},
};
const ts_verb ts_verb_score = {
    "score",
    "WS",
    "look for flaws by rule and score every example",
    "`tunesmith list WS --sort score` shows the worst first, --where 'refusal>0' one kind of flaw.\n"
    "Findings are hints; each can be dismissed per row.",
    1,
    2,
    opts_table,
    TS_COUNT(opts_table),
    sizeof(struct score_opts),
    NULL,
    run_score,
    false};
