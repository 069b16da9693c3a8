/* compare: several sides answer the same prompts. */
#include "core/base/file.h"
#include "eval/compare.h"
#include "tui/cli_engine.h"
#include "tui/cli_sampling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct compare_opts {
    const char *model, *template, *prompts, *check, *schema, *general, *precision;
    ts_texts side;
    const char *robust_by;
    bool robust;
    int64_t limit, samples;
    ts_answer_opts answer;
};

static size_t terminal_width(void) {
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col) return size.ws_col;
    long n = columns ? strtol(columns, NULL, 10) : 0;
    return n >= 40 && n <= 1000 ? (size_t)n : 100;
}

/* Answers that cannot be kept (a folder that may only be read) are printed all the same. */
static void keep(const ts_cmd *cmd, ts_compare *c) {
    ts_err err;
    char *db = ts_path_join(cmd->args[0], "tunesmith.db");
    if (ts_file_exists(db) && ts_compare_keep(c, cmd->args[0], &err) != TS_OK)
        ts_cmd_note(cmd, "the answers are not kept for votes: %s", err.text);
    free(db);
}

static void tell_what_is_missing(const ts_cmd *cmd, const ts_compare *c) {
    size_t shots = 0, answers = 0, unscored = 0;
    for (size_t i = 0; i < c->n_prompts * c->n_sides; i++) {
        shots += c->answers[i].left_out;
        answers += c->answers[i].left_out > 0;
        unscored += c->answers[i].unscored != NULL;
    }
    if (shots)
        ts_cmd_note(cmd,
                    "%zu %s left out of the prompts of %zu few-shot %s: with --max-new-tokens they are more than the "
                    "model's context",
                    shots, shots == 1 ? "example was" : "examples were", answers, answers == 1 ? "answer" : "answers");
    if (unscored)
        ts_cmd_note(cmd,
                    "references or choices of %zu %s are not scored: with the prompt too long for the model's context",
                    unscored, unscored == 1 ? "answer" : "answers");
}

static bool needs_workspace(const struct compare_opts *o) {
    for (size_t i = 0; i < o->side.n; i++)
        if (strncmp(o->side.items[i], "run:", 4) == 0 || strncmp(o->side.items[i], "few-shot", 8) == 0) return true;
    return false;
}

static int run_compare(const ts_cmd *cmd, const void *opts) {
    const struct compare_opts *o = opts;
    static const char *const both[] = {"base", NULL};
    ts_err err;
    ts_progress progress = {0};
    ts_compare c = {0};
    ts_buf out = TS_BUF_INIT;
    char *db = ts_path_join(cmd->args[0], "tunesmith.db"); /* a folder without is no workspace: runs/ and files only */
    bool workspace = ts_file_exists(db);
    free(db);
    if (!workspace && !ts_is_dir(cmd->args[0]))
        return ts_cmd_usage(cmd, "%s is no folder; name a workspace, or . for a comparison without one", cmd->args[0]);
    ts_compare_options q = {.ws = workspace || needs_workspace(o) ? cmd->args[0] : NULL,
                            .model = o->model,
                            .template = o->template,
                            .sides = o->side.n ? o->side.items : both,
                            .n_sides = o->side.n ? o->side.n : 1,
                            .prompts = o->prompts,
                            .check = o->check,
                            .schema = o->schema,
                            .general = o->general,
                            .robust = o->robust || o->robust_by,
                            .robust_by = o->robust_by,
                            .limit = o->limit,
                            .samples = o->samples,
                            .max_new_tokens = o->answer.max_new_tokens,
                            .stops = o->answer.stop.items,
                            .n_stops = o->answer.stop.n,
                            .f16_cache = ts_answer_opts_f16(&o->answer)};
    int code = ts_check_precision(cmd, o->precision);
    if (!code) code = ts_answer_opts_settle(cmd, &o->answer, &q.sampling);
    if (code) return code;
    if (o->samples > 1 && q.sampling.temperature == 0)
        return ts_cmd_usage(cmd, "at temperature 0 all samples are the same; give --temperature 0.8 or so");
    ts_meter *meter = ts_meter_start(cmd, &progress, "generating", "texts");
    ts_status status = ts_compare_run(&c, &q, &progress, &err);
    ts_meter_stop(meter);
    if (status == TS_OK) keep(cmd, &c);
    if (status == TS_OK) tell_what_is_missing(cmd, &c);
    if (status == TS_OK && cmd->json) {
        ts_compare_write_json(&c, &out);
        ts_cmd_print_line(&out);
    } else if (status == TS_OK) {
        ts_compare_write_text(&c, terminal_width(), &out);
        fputs(out.data, stdout);
    }
    ts_buf_release(&out);
    ts_compare_release(&c);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

#define AT(member) offsetof(struct compare_opts, member)
static const ts_opt compare_table[] = {
    {"side", TS_OPT_LIST, AT(side), "SIDE", "base, run:3, few-shot, ... (below); may be repeated"},
    {"model", TS_OPT_TEXT, AT(model), "MODEL", "base model (the run's, else the workspace's)"},
    {"template", TS_OPT_TEXT, AT(template), "NAME|FILE",
     "chat template instead of the model's: alpaca, chatml, llama2, plain"},
    {"prompts", TS_OPT_TEXT, AT(prompts), "FILE", "JSONL, JSON or plain lines, or a saved set (the held-out examples)"},
    {"check", TS_OPT_TEXT, AT(check), "FILE", "regular expressions, one a line, that every good answer matches"},
    {"schema", TS_OPT_TEXT, AT(schema), "FILE", "JSON schema that every good answer fits"},
    {"general", TS_OPT_TEXT, AT(general), "FILE", "rows with answers not tuned on: each side's loss, against base"},
    {"robust", TS_OPT_FLAG, AT(robust), NULL, "also with typos, other case, spaces, no punctuation: the worst counts"},
    {"robust-by", TS_OPT_TEXT, AT(robust_by), "NAME", "by pass_rate, acc, exact_match or f1 (the first there is)"},
    {"limit", TS_OPT_INT, AT(limit), "N", "only the first N prompts"},
    {"samples", TS_OPT_INT, AT(samples), "N", "answers of each side to each prompt (1)"},
    TS_ANSWER_OPTS{"precision", TS_OPT_TEXT, AT(precision), "NAME", "f32 or auto"},
};
static const struct compare_opts compare_defaults = {.answer = TS_ANSWER_OPTS_DEFAULTS, .precision = "auto"};

const ts_verb ts_verb_compare = {
    .name = "compare",
    .args = "WS",
    .help = "answers of base and tuned sides to the same prompts, side by side, with pass rates",
    .more =
        "A SIDE is one of:\n"
        "  base, run:3, run:3/best, DIR   the model, or an adapter on it\n"
        "  few-shot, few-shot:K           with the K (4) accepted examples nearest to the question before it;\n"
        "                                 the furthest are left out where they do not fit the context\n"
        "  few-shot:#12,#40               with these examples\n"
        "  retrieval:DIR                  with the best 3 passages of the text files in DIR (BM25)\n"
        "  retrieval:examples             with the best 3 accepted examples as passages\n"
        "  system:TEXT, system:FILE       with this system prompt\n"
        "  model:NAME                     another model\n"
        "  "
        "url=https://"
        "..,model=NAME[,key-env=VARIABLE|,key-file=FILE][,price-in=P,price-out=P][,timeout=S][,tries=N][,jobs=N]\n"
        "                                 an OpenAI-compatible endpoint; prices of a million tokens; jobs (4): "
        "requests\n"
        "                                 at a time\n"
        "All are asked the same prompts; the local ones draw the same random numbers. Prompts that share 8 words in a\n"
        "row with what was trained on are pointed out.\n"
        "A prompt with \"choices\" (texts) and \"answer\" (an index from 0, a letter from A, or the text) is multiple\n"
        "choice: each choice is scored as the answer, and the likeliest one should be the right one.",
    .min_args = 1,
    .max_args = 1,
    .opts = compare_table,
    .n_opts = TS_COUNT(compare_table),
    .size = sizeof(struct compare_opts),
    .defaults = &compare_defaults,
    .run = run_compare,
};
