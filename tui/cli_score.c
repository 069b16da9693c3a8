/* score */
#include "core/base/json.h"
#include "dataset/score.h"
#include "eval/lmscores.h"
#include "tui/cli_data.h"

#include <string.h>

struct score_opts {
    const char *dismiss;
    const char *model, *template, *run, *where;
    int64_t max_length;
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

static void put_bins(ts_jw *w, const char *key, const int64_t *bins) {
    ts_jw_key(w, key);
    ts_jw_arr(w);
    for (int i = 0; i < TS_SCORE_BINS; i++)
        ts_jw_int(w, bins[i]);
    ts_jw_end_arr(w);
}

static bool unused(const ts_score_report *r, size_t rule) {
    return rule < ts_rule_count() && strcmp(ts_rules[rule].name, "format") == 0 && !r->checked_format;
}

static const char *name_of(const ts_score_report *r, size_t rule) {
    return rule < ts_rule_count() ? ts_rules[rule].name : r->own[rule - ts_rule_count()];
}

static void print_json(const ts_score_report *r, ts_buf *out) {
    const ts_score_spread *o = &r->overall;
    const double values[] = {o->p5, o->p25, o->p50, o->p75, o->p95};
    static const char *const names[] = {"p5", "p25", "p50", "p75", "p95"};
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "rows", r->rows);
    ts_jw_knum(&w, "mean", r->mean);
    ts_jw_kstr(&w, "language", r->language);
    ts_jw_key(&w, "scores");
    ts_jw_obj(&w);
    for (size_t i = 0; i < ts_rule_count() + r->n_own; i++) {
        ts_jw_key(&w, name_of(r, i));
        if (unused(r, i))
            ts_jw_null(&w);
        else
            ts_jw_int(&w, r->hits[i]);
    }
    ts_jw_end_obj(&w);
    ts_jw_key(&w, "percentiles");
    ts_jw_obj(&w);
    for (size_t i = 0; i < TS_COUNT(values); i++)
        ts_jw_knum(&w, names[i], values[i]);
    ts_jw_end_obj(&w);
    ts_jw_key(&w, "histograms"); /* tenths; of a rule only what is above 0 */
    ts_jw_obj(&w);
    put_bins(&w, "score", o->bins);
    for (size_t i = 0; i < ts_rule_count() + r->n_own; i++)
        if (!unused(r, i)) put_bins(&w, name_of(r, i), r->bins[i]);
    ts_jw_end_obj(&w);
    ts_jw_end_obj(&w);
    ts_cmd_print_line(out);
}

/* Ten columns of one character, as high as the share of the largest. */
static void put_bars(ts_buf *out, const int64_t *bins) {
    static const char *const bars[] = {" ",
                                       "\xe2\x96\x81",
                                       "\xe2\x96\x82",
                                       "\xe2\x96\x83",
                                       "\xe2\x96\x84",
                                       "\xe2\x96\x85",
                                       "\xe2\x96\x86",
                                       "\xe2\x96\x87",
                                       "\xe2\x96\x88"};
    int64_t most = 1;
    for (int i = 0; i < TS_SCORE_BINS; i++)
        most = TS_MAX(most, bins[i]);
    for (int i = 0; i < TS_SCORE_BINS; i++)
        ts_buf_puts(out, bars[bins[i] ? 1 + bins[i] * 7 / most : 0]);
}

static void print_text(const ts_score_report *r, ts_buf *out) {
    const ts_score_spread *o = &r->overall;
    ts_buf_printf(out, "%lld rows scored, mean %.2f, main language %s", (long long)r->rows, r->mean, r->language);
    ts_cmd_print_line(out);
    if (r->rows) {
        ts_buf_printf(out, "score  0 |");
        put_bars(out, o->bins);
        ts_buf_printf(out, "| 1   5%% of the rows are at %.2f or less, half at %.2f, 95%% at %.2f", o->p5, o->p50,
                      o->p95);
        ts_cmd_print_line(out);
    }
    for (size_t i = 0; i < ts_rule_count() + r->n_own; i++) {
        if (unused(r, i)) {
            ts_buf_printf(out, "       -  %-12s            no check file is set (config WS check FILE)", name_of(r, i));
        } else {
            ts_buf_printf(out, "%8lld  %-12s ", (long long)r->hits[i], name_of(r, i));
            put_bars(out, r->bins[i]);
            ts_buf_printf(out, " %s", i < ts_rule_count() ? ts_rules[i].finds : "a rule of your own");
        }
        ts_cmd_print_line(out);
    }
}

/* ---- by a model ---- */

static ts_status print_fields(const ts_cmd *cmd, ts_store *st, ts_jw *w, ts_err *err) {
    ts_buf line = TS_BUF_INIT;
    for (size_t i = 0; i < TS_LM_FIELDS; i++) {
        const ts_lm_field *f = &ts_lm_fields[i];
        ts_lm_spread s;
        TS_TRY(ts_lm_spread_read(st, f, &s, err));
        if (cmd->json) {
            ts_jw_key(w, f->name);
            ts_jw_obj(w);
            ts_jw_kint(w, "rows", s.rows);
            ts_jw_knum(w, "p5", s.p5);
            ts_jw_knum(w, "p50", s.p50);
            ts_jw_knum(w, "p95", s.p95);
            ts_jw_end_obj(w);
        } else if (s.rows) {
            ts_buf_printf(&line, "%-15s %8.3f %8.3f %8.3f  %s", f->name, s.p5, s.p50, s.p95, f->help);
            ts_cmd_print_line(&line);
        }
    }
    ts_buf_release(&line);
    return TS_OK;
}

static void print_lm_words(const ts_lm_report *r, ts_buf *out) {
    ts_buf_printf(out, "%lld of %lld rows scored with %s in %.1f s, %lld were known", (long long)r->scored,
                  (long long)r->rows, r->model, r->seconds, (long long)r->known);
    if (*r->run) ts_buf_printf(out, "; %lld with %s", (long long)r->scored_run, r->run);
    ts_cmd_print_line(out);
    if (r->left_out) {
        ts_buf_printf(out, "%lld left out; the first, row %lld: ", (long long)r->left_out,
                      (long long)r->first_left_out);
        ts_cmd_safe(out, r->why, strlen(r->why), false, 0);
        ts_cmd_print_line(out);
    }
    ts_buf_printf(out, "%-15s %8s %8s %8s", "", "5%", "half", "95%");
    ts_cmd_print_line(out);
}

static ts_status print_lm(const ts_cmd *cmd, ts_store *st, const ts_lm_report *r, ts_err *err) {
    ts_buf out = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&out);
    if (cmd->json) {
        ts_jw_obj(&w);
        ts_jw_kstr(&w, "model", r->model);
        ts_jw_kstr(&w, "run", *r->run ? r->run : NULL);
        ts_jw_kint(&w, "rows", r->rows);
        ts_jw_kint(&w, "scored", r->scored);
        ts_jw_kint(&w, "scored_run", r->scored_run);
        ts_jw_kint(&w, "known", r->known);
        ts_jw_kint(&w, "left_out", r->left_out);
        ts_jw_knum(&w, "seconds", r->seconds);
        ts_jw_key(&w, "fields");
        ts_jw_obj(&w);
    } else {
        print_lm_words(r, &out);
    }
    ts_status status = print_fields(cmd, st, &w, err);
    if (cmd->json && status == TS_OK) {
        ts_jw_end_obj(&w);
        ts_jw_end_obj(&w);
        ts_cmd_print_line(&out);
    }
    ts_buf_release(&out);
    return status;
}

static int score_by_model(const ts_cmd *cmd, const struct score_opts *o, ts_store *st) {
    ts_progress progress = {0};
    ts_lm_report report;
    ts_err err;
    const ts_lm_options q = {.ws = cmd->args[0],
                             .model = o->model,
                             .template = o->template,
                             .run = o->run,
                             .where = o->where,
                             .max_length = o->max_length};
    if (cmd->n_args > 1) return ts_cmd_usage(cmd, "one workspace is needed");
    ts_meter *meter = ts_meter_start(cmd, &progress, "scoring", "rows");
    ts_status status = ts_lm_scores(&q, &progress, &report, &err);
    ts_meter_stop(meter);
    if (status == TS_OK) status = print_lm(cmd, st, &report, &err);
    if (status == TS_CANCELLED)
        ts_cmd_note(cmd, "%lld rows are scored and kept; the same command goes on", (long long)report.scored);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

static int run_score(const ts_cmd *cmd, const void *opts) {
    const struct score_opts *o = opts;
    ts_progress progress = {0};
    ts_score_report report;
    ts_buf out = TS_BUF_INIT;
    ts_err err;
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    if ((o->model || o->run) && !o->dismiss) {
        int code = score_by_model(cmd, o, st);
        ts_store_close(st);
        return code;
    }
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

#define AT(member) offsetof(struct score_opts, member)
static const ts_opt opts_table[] = {
    {"dismiss", TS_OPT_TEXT, offsetof(struct score_opts, dismiss), "ID SCORE", "this finding is wrong: it counts as 0"},
    {"again", TS_OPT_FLAG, offsetof(struct score_opts, again), NULL, "with --dismiss: let it count again"},
    {"model", TS_OPT_TEXT, AT(model), "MODEL", "score by a model: losses, perplexity, IFD"},
    {"run", TS_OPT_TEXT, AT(run), "ADAPTER", "also what this run learnt of each row: learning, loss_after, noise"},
    {"where", TS_OPT_TEXT, AT(where), "QUERY", "with a model: which rows (all but the rejected)"},
    {"template", TS_OPT_TEXT, AT(template), "NAME|FILE", "with a model: chat template instead of its own"},
    {"max-length", TS_OPT_INT, AT(max_length), "N", "with a model: rows of more tokens are left out"},
};
static const struct score_opts defaults = {.max_length = 1024};
const ts_verb ts_verb_score = {
    "score",
    "WS",
    "look for flaws by rule and score every example",
    "`tunesmith list WS --sort score` shows the worst first, --where 'refusal>0' one kind of flaw.\n"
    "The bars show how many findings are weak (left) and strong (right). Findings are hints; each can be dismissed "
    "per\n"
    "row. Rules of your own: `tunesmith config WS rules FILE`.\n"
    "--model MODEL gives every row loss, perplexity, ifd_loss, ifd_ppl (and _max: of the worst turn); --run ID also\n"
    "loss_after, learning, noise. They are fields like the rules: list --sort -ifd_loss, select --by learning, columns "
    "in\n"
    "Browse. What was scored stays: the same texts are never scored twice, a stopped run goes on where it was.",
    1,
    2,
    opts_table,
    TS_COUNT(opts_table),
    sizeof(struct score_opts),
    &defaults,
    run_score,
    false};
