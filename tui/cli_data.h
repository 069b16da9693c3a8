/* What the verbs on data share. */
#ifndef TS_TUI_CLI_DATA_H
#define TS_TUI_CLI_DATA_H

#include "dataset/store.h"
#include "dataset/view.h"
#include "tui/cli.h"

/* Opens the workspace args[0]; NULL after the error was printed. */
ts_store *ts_cmd_store(const ts_cmd *cmd);
/* The rows of a query; NULL after the error was printed, with the exit code in *code. */
ts_view *ts_cmd_view(const ts_cmd *cmd, ts_store *st, const char *where, const char *sort, int *code);
/* Prints what an act did ("accepted 12 rows", or JSON step, rows, text). Returns 0. */
int ts_cmd_done(const ts_cmd *cmd, const ts_done *done, const char *if_nothing);
/* A whole number argument; false after usage was printed. */
bool ts_cmd_number(const ts_cmd *cmd, const char *text, const char *what, int64_t *out);
/* Appends text for a terminal: control characters and invalid bytes made visible, line ends kept when `lines`, cut at
 * `most` characters (0: never). */
void ts_cmd_safe(ts_buf *out, const char *s, size_t n, bool lines, size_t most);
/* An example conversation in the model's chat template or the one named, safe for a terminal. */
TS_MUST_USE ts_status ts_cmd_chat_example(const char *model, const char *template, ts_buf *out, ts_err *err);

#endif
