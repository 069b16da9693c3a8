/* open: the workbench, which `tunesmith WORKSPACE` is short for. keys: its key table. */
#include "tui/cli.h"
#include "tui/commands.h"
#include "tui/workbench.h"

#include <stddef.h>
#include <stdio.h>

struct open_opts {
    const char *color;
    bool ascii;
};

static const struct open_opts defaults = {.color = "auto"};

static const ts_opt options[] = {
    {"color", TS_OPT_TEXT, offsetof(struct open_opts, color), "WHEN", "auto, always or never; auto follows NO_COLOR"},
    {"ascii", TS_OPT_FLAG, offsetof(struct open_opts, ascii), NULL, "no box lines, blocks or braille"},
};

static int run_open(const ts_cmd *cmd, const void *opts) {
    const struct open_opts *o = opts;
    ts_ui_options ui = {.color = o->color, .ascii = o->ascii};
    return ts_workbench(cmd->args[0], &ui);
}

const ts_verb ts_verb_open = {
    .name = "open",
    .args = "WS",
    .help = "the workbench in the terminal (the same as: tunesmith WS)",
    .more = "Browse examples, decide, edit, train, watch the loss, compare answers. ? inside lists the keys.",
    .min_args = 1,
    .max_args = 1,
    .opts = options,
    .n_opts = TS_COUNT(options),
    .size = sizeof(struct open_opts),
    .defaults = &defaults,
    .run = run_open,
};

struct keys_opts {
    char unused;
};

static int run_keys(const ts_cmd *cmd, const void *opts) {
    (void)cmd;
    (void)opts;
    ts_buf table = TS_BUF_INIT;
    ts_command_table(&table);
    fwrite(table.data, 1, table.len, stdout);
    ts_buf_release(&table);
    return TS_EXIT_OK;
}

const ts_verb ts_verb_keys = {
    .name = "keys",
    .args = "",
    .help = "the keys of the workbench, as a table",
    .min_args = 0,
    .max_args = 0,
    .size = sizeof(struct keys_opts),
    .run = run_keys,
};
