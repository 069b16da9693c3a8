/* What the verbs that need a model share: an engine process, asked and waited for, with a progress meter. */
#ifndef TS_TUI_CLI_ENGINE_H
#define TS_TUI_CLI_ENGINE_H

#include "eval/engine_client.h"
#include "tui/cli.h"

/* The adapter folders behind --adapter (names of runs are looked up in `ws`, NULL: the current folder). "base" and no
 * adapter at all are the base model (NULL). Freed with ts_sides_release. */
typedef struct ts_sides {
    const char **names; /* as typed; "base" */
    char **dirs;
    size_t n;
} ts_sides;
TS_MUST_USE ts_status ts_sides_find(ts_sides *out, const char *ws, const ts_texts *adapters, ts_err *err);
void ts_sides_release(ts_sides *s);

/* A member whose value is a tree. */
void ts_put_tree(ts_jw *w, const char *key, const ts_json *tree);

/* Wrong values of --precision: usage error 2; f32 and auto: 0. */
int ts_check_precision(const ts_cmd *cmd, const char *precision);

#endif
