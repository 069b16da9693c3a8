/* undo, redo, history */
#include "core/base/clock.h"
#include "core/base/json.h"
#include "dataset/history.h"
#include "tui/cli_data.h"

#include <stdio.h>
#include <string.h>

static int step_back_or_forth(const ts_cmd *cmd, bool forward) {
    int64_t times = 1;
    ts_err err;
    ts_done done;
    if (cmd->n_args > 1 && !ts_cmd_number(cmd, cmd->args[1], "N", &times)) return TS_EXIT_USAGE;
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    int code = TS_EXIT_OK;
    for (int64_t i = 0; i < times && code == TS_EXIT_OK; i++) {
        ts_status status = forward ? ts_redo(st, &done, &err) : ts_undo(st, 0, &done, &err);
        code = status == TS_OK ? ts_cmd_done(cmd, &done, "") : ts_cmd_fail(cmd, &err);
    }
    ts_store_close(st);
    return code;
}

static int run_undo(const ts_cmd *cmd, const void *opts) {
    (void)opts;
    return step_back_or_forth(cmd, false);
}

static int run_redo(const ts_cmd *cmd, const void *opts) {
    (void)opts;
    return step_back_or_forth(cmd, true);
}

static void put_json(ts_buf *out, const ts_step *s, bool of_row) {
    static const char *const states[] = {"done", "undone", "dropped"};
    char when[32];
    ts_jw w = ts_jw_to(out);
    ts_wall_iso(s->at_ms, when);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "step", s->id);
    ts_jw_kstr(&w, "at", when);
    ts_jw_kstr(&w, "who", s->who);
    ts_jw_kstr(&w, "text", s->label);
    ts_jw_kint(&w, "rows", s->rows);
    ts_jw_kstr(&w, "state", states[s->state]);
    if (of_row) {
        ts_jw_kstr(&w, "field", s->field);
        ts_jw_kstr(&w, "before", s->before);
        ts_jw_kstr(&w, "after", s->after);
    }
    ts_jw_end_obj(&w);
}

static void put_value(ts_buf *out, const char *text) {
    if (text)
        ts_cmd_safe(out, text, strlen(text), false, 60);
    else
        ts_buf_puts(out, "(none)");
}

static void put_text(ts_buf *out, const ts_step *s) {
    static const char *const states[] = {"", "  (undone)", "  (undone, dropped)"};
    char when[32];
    ts_wall_iso(s->at_ms, when);
    ts_buf_printf(out, "%5lld  %s  %-4s  ", (long long)s->id, when, s->who);
    ts_cmd_safe(out, s->label, strlen(s->label), false, 0);
    ts_buf_puts(out, states[s->state]);
    if (!s->field) return;
    ts_buf_printf(out, "\n       %s: ", s->field);
    put_value(out, s->before);
    ts_buf_puts(out, " -> ");
    put_value(out, s->after);
}

static int run_history(const ts_cmd *cmd, const void *opts) {
    ts_arena arena = TS_ARENA_INIT;
    ts_buf line = TS_BUF_INIT;
    ts_step *steps;
    size_t n = 0;
    int64_t id = 0;
    ts_err err;
    (void)opts;
    if (cmd->n_args > 1 && !ts_cmd_number(cmd, cmd->args[1], "ID", &id)) return TS_EXIT_USAGE;
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    ts_status status =
        id ? ts_history_row(st, id, &steps, &n, &arena, &err) : ts_history_list(st, 0, &steps, &n, &arena, &err);
    for (size_t i = 0; i < n && status == TS_OK; i++) {
        if (cmd->json)
            put_json(&line, &steps[i], id != 0);
        else
            put_text(&line, &steps[i]);
        ts_cmd_print_line(&line);
    }
    ts_buf_release(&line);
    ts_arena_release(&arena);
    ts_store_close(st);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

const ts_verb ts_verb_undo = {
    "undo", "WS [N]", "take back the latest change, or the latest N", NULL, 1, 2, NULL, 0, 0, NULL, run_undo, false};
const ts_verb ts_verb_redo = {"redo",   "WS [N]", "do again what was undone", NULL, 1, 2, NULL, 0, 0, NULL,
                              run_redo, false};
const ts_verb ts_verb_history = {
    "history", "WS [ID]", "what was changed, by whom and when", NULL, 1, 2, NULL, 0, 0, NULL, run_history, false};
