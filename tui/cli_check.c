/* check */
#include "core/base/json.h"
#include "dataset/contamination.h"
#include "tui/cli_data.h"

#include <stdio.h>
#include <string.h>

struct check_opts {
    const char *against, *where;
    int64_t words, limit;
};

static void put_leak_json(const ts_leak *l, ts_jw *w) {
    ts_jw_obj(w);
    ts_jw_kint(w, "id", l->id);
    ts_jw_kint(w, "words", (int64_t)l->words);
    ts_jw_kstr(w, "field", l->in_answer ? "answer" : "prompt");
    ts_jw_kint(w, "prompt", (int64_t)l->prompt);
    ts_jw_key(w, "line");
    if (l->line)
        ts_jw_int(w, l->line);
    else
        ts_jw_null(w);
    ts_jw_key(w, "run");
    ts_jw_strn(w, l->run.s, l->run.n);
    ts_jw_end_obj(w);
}

static void put_levels(ts_jw *w, const char *key, const int64_t *counts) {
    ts_jw_key(w, key);
    ts_jw_obj(w);
    for (size_t i = 0; i < TS_LEAK_LEVELS; i++) {
        char words[24];
        ts_jw_kint(w, (snprintf(words, sizeof words, "%zu", ts_leak_levels[i]), words), counts[i]);
    }
    ts_jw_end_obj(w);
}

static void print_json(const ts_leak_report *r, size_t shown, ts_buf *out) {
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "rows", r->rows);
    ts_jw_kint(&w, "prompts", r->prompts);
    ts_jw_kint(&w, "short_prompts", r->short_prompts);
    put_levels(&w, "rows_at", r->rows_at);
    put_levels(&w, "prompts_at", r->prompts_at);
    ts_jw_kint(&w, "found", (int64_t)r->n);
    ts_jw_key(&w, "longest");
    ts_jw_arr(&w);
    for (size_t i = 0; i < shown; i++)
        put_leak_json(&r->leaks[i], &w);
    ts_jw_end_arr(&w);
    ts_jw_end_obj(&w);
    ts_cmd_print_line(out);
}

static void print_text(const ts_leak_report *r, size_t shown, const char *file, ts_buf *out) {
    for (size_t i = 0; i < shown; i++) {
        const ts_leak *l = &r->leaks[i];
        ts_buf_printf(out, "%7lld  %3zu words of the %s, outside prompt %zu", (long long)l->id, l->words,
                      l->in_answer ? "answer" : "prompt", l->prompt);
        if (l->line) ts_buf_printf(out, " (line %lld)", (long long)l->line);
        ts_buf_puts(out, ": ");
        ts_cmd_safe(out, l->run.s, l->run.n, false, 120);
        ts_cmd_print_line(out);
    }
    if (shown < r->n) ts_buf_printf(out, "         and %zu more; --limit 0 shows all", r->n - shown);
    if (shown < r->n) ts_cmd_print_line(out);
    ts_buf_printf(out, "%lld rows against %lld prompts of ", (long long)r->rows, (long long)r->prompts);
    ts_cmd_safe(out, file, strlen(file), false, 0);
    ts_buf_puts(out, ":");
    for (size_t i = 0; i < TS_LEAK_LEVELS; i++)
        ts_buf_printf(out, "%s %lld rows share %zu words or more with one", i ? "," : "", (long long)r->rows_at[i],
                      ts_leak_levels[i]);
    ts_cmd_print_line(out);
    if (!r->short_prompts) return;
    ts_buf_printf(out, "%lld prompts have fewer than %d words and could not be looked for", (long long)r->short_prompts,
                  TS_LEAK_LEAST);
    ts_cmd_print_line(out);
}

static int run_check(const ts_cmd *cmd, const void *opts) {
    const struct check_opts *o = opts;
    ts_progress progress = {0};
    ts_leak_report r;
    ts_arena arena = TS_ARENA_INIT;
    ts_buf out = TS_BUF_INIT;
    ts_err err;
    if (!o->against) return ts_cmd_usage(cmd, "--against FILE says which prompts the rows must not hold");
    if (o->words < TS_LEAK_LEAST || o->words > 1000)
        return ts_cmd_usage(cmd, "--words is a number of words from %d to 1000", TS_LEAK_LEAST);
    if (o->limit < 0) return ts_cmd_usage(cmd, "--limit is a number of rows, 0 for all");
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    ts_meter *meter = ts_meter_start(cmd, &progress, "checking", "rows");
    ts_status status = ts_contamination(st, o->against, o->where, (size_t)o->words, &progress, &r, &arena, &err);
    ts_meter_stop(meter);
    int code = status == TS_OK ? r.n ? TS_EXIT_PROBLEMS : TS_EXIT_OK : ts_cmd_fail(cmd, &err);
    size_t shown = status != TS_OK ? 0 : o->limit ? TS_MIN(r.n, (size_t)o->limit) : r.n;
    if (status == TS_OK && cmd->json)
        print_json(&r, shown, &out);
    else if (status == TS_OK)
        print_text(&r, shown, o->against, &out);
    ts_buf_release(&out);
    ts_arena_release(&arena);
    ts_store_close(st);
    return code;
}

#define AT(member) offsetof(struct check_opts, member)
static const ts_opt opts_table[] = {
    {"against", TS_OPT_TEXT, AT(against), "FILE", "prompts that the rows must not hold: JSON, JSONL, or one a line"},
    {"where", TS_OPT_TEXT, AT(where), "QUERY", "look at these rows (default status!=rejected)"},
    {"words", TS_OPT_INT, AT(words), "N", "list rows that share so many words in a row with a prompt"},
    {"limit", TS_OPT_INT, AT(limit), "N", "list at most so many, 0 for all"},
};
static const struct check_opts defaults = {NULL, NULL, 8, 20};
const ts_verb ts_verb_check = {"check",
                               "WS",
                               "look for outside test prompts among the rows",
                               "Compared are words, without case and punctuation. Exit 3 when a row is found.",
                               1,
                               1,
                               opts_table,
                               TS_COUNT(opts_table),
                               sizeof(struct check_opts),
                               &defaults,
                               run_check,
                               false};
