/* purge */
#include "core/base/json.h"
#include "dataset/purge.h"
#include "tui/cli_data.h"

#include <stdio.h>
#include <unistd.h>

struct purge_opts {
    const char *where;
    bool yes;
};

static void say_costs(const ts_purge_costs *c) {
    ts_buf out = TS_BUF_INIT;
    ts_purge_words(c, &out);
    fprintf(stderr, "%s\n", out.data);
    ts_buf_release(&out);
}

/* "y" or "yes" on a terminal; anything else, and no terminal, is no. */
static bool agreed(void) {
    char answer[16] = "";
    if (!isatty(STDIN_FILENO)) return false;
    fprintf(stderr, "Purge them? [y/N] ");
    if (!fgets(answer, sizeof answer, stdin)) return false;
    return answer[0] == 'y' || answer[0] == 'Y';
}

static int purge(const ts_cmd *cmd, const struct purge_opts *o, ts_store *st, const ts_view *v) {
    ts_purge_costs costs;
    ts_progress progress = {0};
    ts_done done;
    ts_err err;
    if (ts_purge_ask(st, ts_view_ids(v), ts_view_count(v), &costs, &err) != TS_OK) return ts_cmd_fail(cmd, &err);
    if (!costs.rows) return ts_cmd_done(cmd, &(ts_done){0}, "nothing to purge");
    if (!cmd->quiet || !o->yes) say_costs(&costs);
    if (!o->yes && !agreed()) {
        fprintf(stderr, "nothing was purged%s\n", isatty(STDIN_FILENO) ? "" : "; --yes does it without asking");
        return TS_EXIT_FAILED;
    }
    ts_meter *meter = ts_meter_start(cmd, &progress, "purging", "rows");
    ts_status status = ts_purge(st, ts_view_ids(v), ts_view_count(v), &progress, &done, &err);
    ts_meter_stop(meter);
    return status == TS_OK ? ts_cmd_done(cmd, &done, "nothing to purge") : ts_cmd_fail(cmd, &err);
}

static int run_purge(const ts_cmd *cmd, const void *opts) {
    const struct purge_opts *o = opts;
    if (!o->where || !*o->where) return ts_cmd_usage(cmd, "--where says which rows (all of them: --where 'id>0')");
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    int code = TS_EXIT_OK;
    ts_view *v = ts_cmd_view(cmd, st, o->where, NULL, &code);
    if (v) code = purge(cmd, o, st, v);
    ts_view_free(v);
    ts_store_close(st);
    return code;
}

static const ts_opt purge_opts[] = {
    {"where", TS_OPT_TEXT, offsetof(struct purge_opts, where), "QUERY", "which rows"},
    {"yes", TS_OPT_FLAG, offsetof(struct purge_opts, yes), NULL, "do not ask"},
};
const ts_verb ts_verb_purge = {
    "purge",
    "WS",
    "take examples out for good, with what the history kept of them",
    "The one act that cannot be undone, and undo does not go back past it. `set --status rejected` keeps rows and\n"
    "leaves them out of training and can be undone; purge is for what may not be kept (names, secrets). It says what\n"
    "it costs and asks; without a terminal it needs --yes.",
    1,
    1,
    purge_opts,
    TS_COUNT(purge_opts),
    sizeof(struct purge_opts),
    NULL,
    run_purge,
    false};
