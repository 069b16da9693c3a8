/* vote: whose answer to a prompt is the best; what the digits do on the Compare screen. */
#include "core/base/json.h"
#include "dataset/answers.h"
#include "eval/compare.h"
#include "tui/cli_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vote_opts {
    bool sides;
    const char *note;
};

static void print_prompt(void *ctx, int64_t id, ts_text messages, const char *vote) {
    const ts_cmd *cmd = ctx;
    ts_buf text = TS_BUF_INIT, line = TS_BUF_INIT;
    ts_prompt_text(messages, &text);
    if (cmd->json) {
        ts_jw w = ts_jw_to(&line);
        ts_jw_obj(&w);
        ts_jw_kint(&w, "prompt", id);
        ts_jw_kstr(&w, "vote", *vote ? vote : NULL);
        ts_jw_key(&w, "text");
        ts_jw_strn(&w, ts_buf_str(&text), text.len);
        ts_jw_end_obj(&w);
    } else {
        ts_buf_printf(&line, "%6lld  ", (long long)id);
        ts_cmd_safe(&line, *vote ? vote : "-", strlen(*vote ? vote : "-"), false, 0);
        while (line.len < 20)
            ts_buf_putc(&line, ' ');
        ts_buf_puts(&line, "  ");
        ts_cmd_safe(&line, ts_buf_str(&text), text.len, false, 60);
    }
    ts_cmd_print_line(&line);
    ts_buf_release(&text);
    ts_buf_release(&line);
}

static void print_answer(const ts_cmd *cmd, const ts_kept_answer *a) {
    ts_buf line = TS_BUF_INIT;
    if (cmd->json) {
        ts_jw w = ts_jw_to(&line);
        ts_jw_obj(&w);
        ts_jw_kstr(&w, "side", a->side);
        ts_jw_key(&w, "text");
        ts_jw_strn(&w, a->text.s, a->text.n);
        ts_jw_end_obj(&w);
    } else {
        ts_cmd_safe(&line, a->side, strlen(a->side), false, 0);
        ts_buf_puts(&line, "\n  ");
        ts_cmd_safe(&line, a->text.s, a->text.n, true, 0);
    }
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
}

/* Whether `side` may be voted for: it answered this prompt, or is a tie, or none. */
static ts_status check_side(const ts_kept_answer *answers, size_t n, int64_t prompt, const char *side, ts_err *err) {
    ts_buf names = TS_BUF_INIT;
    bool known = strcmp(side, TS_VOTE_TIE) == 0 || strcmp(side, TS_VOTE_NONE) == 0 || strcmp(side, "-") == 0;
    for (size_t i = 0; i < n; i++) {
        known |= strcmp(answers[i].side, side) == 0;
        ts_buf_printf(&names, "%s, ", answers[i].side);
    }
    ts_status status = known ? TS_OK
                             : ts_fail(err, TS_INVALID,
                                       "\"%s\" did not answer prompt %lld; a vote is one of %s" TS_VOTE_TIE
                                       ", " TS_VOTE_NONE " (all bad) and - (no vote)",
                                       side, (long long)prompt, ts_buf_str(&names));
    ts_buf_release(&names);
    return status;
}

static int on_prompt(const ts_cmd *cmd, const struct vote_opts *o, ts_store *st, int64_t prompt, const char *side) {
    ts_arena arena = TS_ARENA_INIT;
    ts_kept_answer *answers;
    ts_done done;
    ts_err err;
    size_t n = 0;
    ts_status status = ts_answers_read(st, prompt, &answers, &n, &arena, &err);
    if (status == TS_OK && n == 0)
        status =
            ts_fail(&err, TS_NOT_FOUND, "no answers to a prompt %lld are kept in %s; `tunesmith vote %s` lists them",
                    (long long)prompt, cmd->args[0], cmd->args[0]);
    for (size_t i = 0; status == TS_OK && !side && !o->note && i < n; i++)
        print_answer(cmd, &answers[i]);
    if (status == TS_OK && side) status = check_side(answers, n, prompt, side, &err);
    if (status == TS_OK && side) {
        status = ts_vote_set(st, prompt, strcmp(side, "-") == 0 ? NULL : side, false, NULL, &done, &err);
        if (status == TS_OK) ts_cmd_done(cmd, &done, done.text);
    }
    if (status == TS_OK && o->note) {
        status = ts_vote_note(st, prompt, o->note, &done, &err);
        if (status == TS_OK) ts_cmd_done(cmd, &done, done.text);
    }
    ts_arena_release(&arena);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

static void print_side(const ts_side_votes *v) {
    ts_buf line = TS_BUF_INIT;
    ts_cmd_safe(&line, v->side, strlen(v->side), false, 30);
    while (line.len < 20)
        ts_buf_putc(&line, ' ');
    ts_buf_puts(&line, "  won ");
    ts_side_votes_print(v, &line);
    ts_buf_printf(&line, ", sign test p = %.3g, ties %lld, all bad %lld, blind %lld", ts_sign_test(v->wins, v->losses),
                  (long long)v->ties, (long long)v->none, (long long)v->blind);
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
}

static void print_sides_json(const ts_side_votes *sides, size_t n) {
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&line);
    ts_jw_obj(&w);
    for (size_t i = 0; i < n; i++) {
        ts_jw_key(&w, sides[i].side);
        ts_side_votes_write(&sides[i], &w);
    }
    ts_jw_end_obj(&w);
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
}

/* --sides: how the sides stand. */
static int on_sides(const ts_cmd *cmd, ts_store *st) {
    ts_arena arena = TS_ARENA_INIT;
    ts_side_votes *sides;
    size_t n = 0;
    ts_err err;
    ts_status status = ts_votes_by_side(st, &sides, &n, &arena, &err);
    if (status == TS_OK && cmd->json)
        print_sides_json(sides, n);
    else
        for (size_t i = 0; status == TS_OK && i < n; i++)
            print_side(&sides[i]);
    ts_arena_release(&arena);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

static int run_vote(const ts_cmd *cmd, const void *opts) {
    const struct vote_opts *o = opts;
    ts_store *st;
    ts_err err;
    int64_t prompt = 0;
    if (o->note && cmd->n_args < 2) return ts_cmd_usage(cmd, "--note needs a PROMPT that was voted on");
    if (cmd->n_args > 1 && !ts_cmd_number(cmd, cmd->args[1], "PROMPT", &prompt)) return TS_EXIT_USAGE;
    if (!(st = ts_cmd_store(cmd))) return TS_EXIT_FAILED;
    int code = TS_EXIT_OK;
    if (o->sides)
        code = on_sides(cmd, st);
    else if (prompt)
        code = on_prompt(cmd, o, st, prompt, cmd->n_args > 2 ? cmd->args[2] : NULL);
    else if (ts_prompts_each(st, print_prompt, (void *)cmd, &err) != TS_OK)
        code = ts_cmd_fail(cmd, &err);
    ts_store_close(st);
    return code;
}

static const ts_opt vote_table[] = {
    {"sides", TS_OPT_FLAG, offsetof(struct vote_opts, sides), NULL, "how the sides stand: win rates, sign test"},
    {"note", TS_OPT_TEXT, offsetof(struct vote_opts, note), "TEXT", "a remark on the vote on PROMPT; \"\": none"},
};

const ts_verb ts_verb_vote = {
    .name = "vote",
    .args = "WS [PROMPT [SIDE]]",
    .help = "say which side's answer to a prompt is the best; lists prompts and votes",
    .more = "SIDE is one that answered (base, run:3, ..), tie, none (all bad) or - (no vote). Without SIDE the answers "
            "are\n"
            "shown, without PROMPT the prompts that compare asked. undo takes a vote back.",
    .min_args = 1,
    .max_args = 3,
    .opts = vote_table,
    .n_opts = TS_COUNT(vote_table),
    .size = sizeof(struct vote_opts),
    .run = run_vote,
};
