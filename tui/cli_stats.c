/* stats */
#include "core/base/file.h"
#include "core/base/json.h"
#include "dataset/score_rules.h"
#include "dataset/stats.h"
#include "dataset/tokens.h"
#include "tui/cli_data.h"

#include <string.h>

struct stats_opts {
    const char *where;
};

/* ---- JSON ---- */

static void json_spread(ts_jw *w, const char *key, const ts_spread *s) {
    const struct {
        const char *name;
        uint32_t value;
    } parts[] = {{"min", s->least}, {"p10", s->p10}, {"p50", s->p50},
                 {"p90", s->p90},   {"p99", s->p99}, {"max", s->most}};
    ts_jw_key(w, key);
    ts_jw_obj(w);
    ts_jw_kint(w, "rows", s->n);
    if (s->n)
        ts_jw_kint(w, "sum", s->sum);
    else
        ts_jw_key(w, "sum"), ts_jw_null(w);
    for (size_t i = 0; i < TS_COUNT(parts); i++) {
        ts_jw_key(w, parts[i].name);
        if (s->n)
            ts_jw_int(w, parts[i].value);
        else
            ts_jw_null(w); /* not measured is not 0 */
    }
    ts_jw_end_obj(w);
}

static void json_counts(ts_jw *w, const char *key, const ts_named_count *list, size_t n) {
    ts_jw_key(w, key);
    ts_jw_obj(w);
    for (size_t i = 0; i < n; i++)
        ts_jw_kint(w, list[i].name, list[i].rows);
    ts_jw_end_obj(w);
}

static void json_origins(ts_jw *w, const ts_stats *s) {
    ts_jw_key(w, "origins");
    ts_jw_arr(w);
    for (size_t i = 0; i < s->n_origins; i++) {
        const ts_origin *o = &s->origins[i];
        ts_jw_obj(w);
        ts_jw_kstr(w, "path", o->batch ? o->path : NULL);
        ts_jw_kstr(w, "format", o->batch ? o->format : "typed");
        ts_jw_kint(w, "rows", o->rows);
        ts_jw_end_obj(w);
    }
    ts_jw_end_arr(w);
}

static void put_json(const ts_stats *s, ts_buf *out) {
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "rows", s->rows);
    ts_jw_kint(&w, "conversations", s->conversations);
    ts_jw_key(&w, "status");
    ts_jw_obj(&w);
    for (int i = 0; i < TS_ROW_STATUSES; i++)
        ts_jw_kint(&w, ts_row_status_name((ts_row_status)i), s->by_status[i]);
    ts_jw_end_obj(&w);
    ts_jw_key(&w, "ratings");
    ts_jw_arr(&w);
    for (size_t i = 0; i < TS_COUNT(s->rated); i++)
        ts_jw_int(&w, s->rated[i]);
    ts_jw_end_arr(&w);
    json_counts(&w, "tags", s->tags, s->n_tags);
    json_counts(&w, "languages", s->languages, s->n_languages);
    json_origins(&w, s);
    json_spread(&w, "prompt_chars", &s->prompt);
    json_spread(&w, "answer_chars", &s->answer);
    json_spread(&w, "tokens", &s->tokens);
    json_spread(&w, "turns", &s->turns);
    ts_jw_kint(&w, "in_groups", s->in_groups);
    ts_jw_kint(&w, "scored", s->scored);
    ts_jw_knum(&w, "score", s->score);
    ts_jw_key(&w, "findings");
    ts_jw_obj(&w);
    for (size_t i = 0; i < ts_rule_count() && i < TS_STATS_RULES && s->scored; i++)
        ts_jw_kint(&w, ts_rules[i].name, s->hits[i]);
    ts_jw_end_obj(&w);
    ts_jw_end_obj(&w);
    ts_cmd_print_line(out);
}

/* ---- text ---- */

static void put_spread(ts_buf *out, const char *what, const ts_spread *s) {
    if (!s->n) return;
    ts_buf_printf(out, "%-18s %8lld %7u %7u %7u %7u %7u %7u", what, (long long)(s->sum / s->n), s->least, s->p10,
                  s->p50, s->p90, s->p99, s->most);
    ts_cmd_print_line(out);
}

static void put_counts(ts_buf *out, const char *what, const ts_named_count *list, size_t n) {
    if (!n) return;
    ts_buf_printf(out, "%-10s", what);
    for (size_t i = 0; i < n; i++) {
        ts_buf_puts(out, i ? ", " : " ");
        ts_cmd_safe(out, list[i].name, strlen(list[i].name), false, 0);
        ts_buf_printf(out, " %lld", (long long)list[i].rows);
    }
    ts_cmd_print_line(out);
}

static void put_text(const ts_stats *s, ts_buf *out) {
    ts_named_count states[TS_ROW_STATUSES];
    ts_buf_printf(out, "%lld rows, %lld of them conversations", (long long)s->rows, (long long)s->conversations);
    ts_cmd_print_line(out);
    for (int i = 0; i < TS_ROW_STATUSES; i++)
        states[i] = (ts_named_count){ts_row_status_name((ts_row_status)i), s->by_status[i]};
    put_counts(out, "status", states, TS_ROW_STATUSES);
    if (s->rated[0] < s->rows) {
        ts_buf_puts(out, "ratings   ");
        for (int i = 1; i <= 5; i++)
            ts_buf_printf(out, "%s %d: %lld", i > 1 ? "," : "", i, (long long)s->rated[i]);
        ts_cmd_print_line(out);
    }
    put_counts(out, "tags", s->tags, s->n_tags);
    put_counts(out, "languages", s->languages, s->n_languages);
    for (size_t i = 0; i < s->n_origins; i++) {
        const ts_origin *o = &s->origins[i];
        ts_buf_printf(out, "%-10s %lld rows ", i ? "" : "origin", (long long)o->rows);
        const char *name = o->batch ? ts_path_base(o->path) : "written by hand";
        ts_cmd_safe(out, name, strlen(name), false, 0);
        ts_cmd_print_line(out);
    }
    if (!s->rows) return;
    ts_buf_printf(out, "%-18s %8s %7s %7s %7s %7s %7s %7s", "", "mean", "least", "10 %", "half", "90 %", "99 %",
                  "most");
    ts_cmd_print_line(out);
    put_spread(out, "prompt, characters", &s->prompt);
    put_spread(out, "answer, characters", &s->answer);
    put_spread(out, "tokens", &s->tokens);
    put_spread(out, "turns", &s->turns);
    if (s->tokens.n)
        ts_buf_printf(out, "%lld tokens in %lld rows", (long long)s->tokens.sum, (long long)s->tokens.n);
    else
        ts_buf_puts(out, "tokens were not counted (`tunesmith config WS model MODEL` says by what)");
    ts_cmd_print_line(out);
    if (s->scored) {
        ts_buf_printf(out, "%lld rows scored, mean %.3f", (long long)s->scored, s->score);
        ts_cmd_print_line(out);
    }
}

static int run_stats(const ts_cmd *cmd, const void *opts) {
    const struct stats_opts *o = opts;
    ts_arena arena = TS_ARENA_INIT;
    ts_buf out = TS_BUF_INIT;
    ts_progress progress = {0};
    ts_stats s;
    ts_err err;
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    ts_meter *meter = ts_meter_start(cmd, &progress, "counting", "rows");
    ts_status status = ts_tokens_count(st, &progress, NULL, &err);
    if (status != TS_OK && status != TS_CANCELLED && ts_setting_get(st, "model", &out))
        ts_cmd_note(cmd, "tokens were not counted: %s", err.text); /* the rest can be told without the model */
    ts_buf_reset(&out);
    if (status != TS_CANCELLED) status = ts_stats_make(st, o->where, &progress, &s, &arena, &err);
    ts_meter_stop(meter);
    if (status == TS_OK && cmd->json) put_json(&s, &out);
    if (status == TS_OK && !cmd->json) put_text(&s, &out);
    ts_buf_release(&out);
    ts_arena_release(&arena);
    ts_store_close(st);
    if (status == TS_INVALID) return ts_cmd_usage(cmd, "%s", err.text);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

static const ts_opt stats_opts[] = {
    {"where", TS_OPT_TEXT, offsetof(struct stats_opts, where), "QUERY", "which rows; all without it"},
};
const ts_verb ts_verb_stats = {
    "stats",
    "WS",
    "what is in the data: counts, lengths, tokens, tags, languages, origins",
    "Rows whose tokens were not counted yet are counted with the tokenizer of the setting `model`.",
    1,
    1,
    stats_opts,
    TS_COUNT(stats_opts),
    sizeof(struct stats_opts),
    NULL,
    run_stats,
    false};
