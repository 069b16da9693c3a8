/* undo, redo, history */
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/text/worddiff.h"
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

/* What both texts share here, its middle left out when it is long. */
static void put_shared(ts_buf *out, const char *s, size_t n) {
    enum { ENDS = 40 };
    size_t head = ENDS, tail = n - ENDS;
    if (n <= 3 * ENDS) {
        ts_cmd_safe(out, s, n, false, 0);
        return;
    }
    while ((s[head] & 0xc0) == 0x80)
        head--;
    while (tail < n && (s[tail] & 0xc0) == 0x80)
        tail++;
    ts_cmd_safe(out, s, head, false, 0);
    ts_buf_puts(out, " .. ");
    ts_cmd_safe(out, s + tail, n - tail, false, 0);
}

static void put_marked(ts_buf *out, const char *open, const char *s, ts_span span, const char *close) {
    ts_buf_puts(out, open);
    for (const char *p = s + span.from, *end = s + span.to; p < end;) { /* a changed line end must be seen */
        const char *line = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((line ? line : end) - p);
        ts_cmd_safe(out, p, n, false, 0);
        if (line) ts_buf_puts(out, "\\n");
        p += n + (line != NULL);
    }
    ts_buf_puts(out, close);
}

/* One text with [-what went-] and {+what came+}; false when marks would only be noise. */
static bool put_words(ts_buf *out, const char *a, const char *b) {
    ts_spans gone = {0}, added = {0};
    size_t na = strlen(a), at_a = 0, at_b = 0, g = 0, d = 0;
    bool marks = ts_worddiff(a, na, b, strlen(b), &gone, &added);
    while (marks && at_a <= na) {
        size_t to_gone = (g < gone.n ? gone.items[g].from : na) - at_a;
        size_t to_added = d < added.n ? added.items[d].from - at_b : SIZE_MAX;
        size_t shared = to_gone < to_added ? to_gone : to_added;
        put_shared(out, a + at_a, shared);
        at_a += shared;
        at_b += shared;
        bool was = g < gone.n && gone.items[g].from == at_a, is = d < added.n && added.items[d].from == at_b;
        if (was) put_marked(out, "[-", a, gone.items[g], "-]");
        if (was) at_a = gone.items[g++].to;
        if (is) put_marked(out, "{+", b, added.items[d], "+}");
        if (is) at_b = added.items[d++].to;
        if (!was && !is) break;
    }
    ts_spans_release(&gone);
    ts_spans_release(&added);
    return marks;
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
    if (s->before && s->after && put_words(out, s->before, s->after)) return;
    put_value(out, s->before);
    ts_buf_puts(out, " -> ");
    put_value(out, s->after);
}

struct history_opts {
    int64_t restore;
};

static int restore(const ts_cmd *cmd, ts_store *st, int64_t id, int64_t step) {
    ts_done done;
    ts_err err;
    if (ts_row_restore(st, id, step, &done, &err) != TS_OK) return ts_cmd_fail(cmd, &err);
    return ts_cmd_done(cmd, &done, "nothing to change: the row has these texts");
}

static int run_history(const ts_cmd *cmd, const void *opts) {
    const struct history_opts *o = opts;
    ts_arena arena = TS_ARENA_INIT;
    ts_buf line = TS_BUF_INIT;
    ts_step *steps;
    size_t n = 0;
    int64_t id = 0;
    ts_err err;
    if (cmd->n_args > 1 && !ts_cmd_number(cmd, cmd->args[1], "ID", &id)) return TS_EXIT_USAGE;
    if (o->restore < 0 || (o->restore && !id)) return ts_cmd_usage(cmd, "--restore needs the ID of a row and a step");
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    if (o->restore) {
        int code = restore(cmd, st, id, o->restore);
        ts_store_close(st);
        return code;
    }
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
static const ts_opt history_opts[] = {
    {"restore", TS_OPT_INT, offsetof(struct history_opts, restore), "STEP",
     "give the row the texts it had after this step of its history; can be undone"},
};
const ts_verb ts_verb_history = {"history",
                                 "WS [ID]",
                                 "what was changed, by whom and when",
                                 "With the ID of a row: what became of it, changed words as [-old-]{+new+}.",
                                 1,
                                 2,
                                 history_opts,
                                 TS_COUNT(history_opts),
                                 sizeof(struct history_opts),
                                 NULL,
                                 run_history,
                                 false};
