/* advise: prompting, retrieval, fine-tuning or a mix. */
#include "eval/advise.h"
#include "tui/cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct advise_opts {
    const char *answers[TS_QUESTION_COUNT];
    bool no_ask;
};

static ts_status take_options(ts_advise *a, const struct advise_opts *o, ts_err *err) {
    for (int q = 0; q < TS_QUESTION_COUNT; q++)
        if (o->answers[q]) TS_TRY(ts_advise_say(a, (ts_question_id)q, o->answers[q], err));
    return TS_OK;
}

/* On a terminal: what is not known is asked; an empty line leaves it open. False at the end of input. */
static bool ask(ts_advise *a, ts_question_id q) {
    const ts_question *question = &ts_questions[q];
    char line[80];
    int n = 0;
    fprintf(stderr, "\n%s\n", question->ask);
    for (; n < TS_CHOICES && question->choices[n].name; n++)
        fprintf(stderr, "  %d  %s\n", n + 1, question->choices[n].name);
    for (;;) {
        fprintf(stderr, "1 to %d, or Enter when it is not known: ", n);
        if (!fgets(line, sizeof line, stdin)) return false;
        size_t blank = strspn(line, " \t\r\n");
        if (!line[blank]) return true;
        bool one = strspn(line + blank + 1, " \t\r\n") == strlen(line + blank + 1);
        if (!one || line[blank] < '1' || line[blank] > '0' + n) continue;
        return ts_advise_say(a, q, question->choices[line[blank] - '1'].name, NULL) == TS_OK;
    }
}

static void ask_all(const ts_cmd *cmd, const struct advise_opts *o, ts_advise *a) {
    if (o->no_ask || cmd->json || cmd->quiet || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) return;
    for (int q = 0; q < TS_Q_EXAMPLES; q++) /* those behind it can only be measured */
        if (a->answers[q] < 0 && !ask(a, (ts_question_id)q)) break;
    fputc('\n', stderr);
}

static int run_advise(const ts_cmd *cmd, const void *opts) {
    const struct advise_opts *o = opts;
    ts_advise a;
    ts_progress progress = {0};
    ts_buf out = TS_BUF_INIT;
    ts_err err;
    ts_advise_init(&a);
    if (take_options(&a, o, &err) != TS_OK) return ts_cmd_usage(cmd, "%s", err.text);
    ts_meter *meter = ts_meter_start(cmd, &progress, "measuring", "rows");
    ts_status status = ts_advise_measure(&a, cmd->args[0], &progress, &err);
    ts_meter_stop(meter);
    if (status == TS_OK) status = take_options(&a, o, &err); /* they count instead of what was measured */
    if (status != TS_OK) return ts_cmd_fail(cmd, &err);
    ask_all(cmd, o, &a);
    if (cmd->json) {
        ts_advise_write_json(&a, &out);
        ts_cmd_print_line(&out);
    } else {
        ts_advise_write_text(&a, &out);
        fputs(out.data, stdout);
    }
    ts_buf_release(&out);
    return TS_EXIT_OK;
}

#define ROW(id, key, label, ask)                                                                                       \
    {key, TS_OPT_TEXT, offsetof(struct advise_opts, answers) + TS_Q_##id * sizeof(const char *), "ANSWER", ask},
static const ts_opt advise_table[] = {
    TS_QUESTIONS(ROW){"no-ask", TS_OPT_FLAG, offsetof(struct advise_opts, no_ask), NULL, "ask nothing on a terminal"},
};

const ts_verb ts_verb_advise = {
    .name = "advise",
    .args = "WS",
    .help = "whether prompting, retrieval, fine-tuning or a mix fits, why, and what would change that",
    .more =
        "What the workspace can tell is measured: the accepted examples, and how the sides of kept comparisons did. "
        "The rest is\nsaid by options or asked on a terminal; a wrong ANSWER lists those there are.",
    .min_args = 1,
    .max_args = 1,
    .opts = advise_table,
    .n_opts = TS_COUNT(advise_table),
    .size = sizeof(struct advise_opts),
    .run = run_advise,
};
