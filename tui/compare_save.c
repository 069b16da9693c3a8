/* From an answer to the data: as a new example, or in the place of the answer of the row that was asked. Both are steps
 * of the history. Remarks on votes are kept here too. */
#include "tui/browse.h"
#include "tui/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct saving {
    ts_act act; /* first; text: the answer, id: the row, 0: not known */
    char *prompt, *reference;
};

static ts_text text_of(const char *s) {
    return (ts_text){s, s ? strlen(s) : 0};
}

static ts_status run_add(ts_act *a, ts_store *st, ts_err *err) {
    const struct saving *s = (const struct saving *)a;
    const ts_draft d = {.instruction = text_of(s->prompt), .input = text_of(""), .output = text_of(a->text)};
    return ts_row_add(st, &d, &a->id, &a->done, err);
}

static ts_status run_correct(ts_act *a, ts_store *st, ts_err *err) {
    const struct saving *s = (const struct saving *)a;
    const ts_edit edit = {TS_OUTPUT, text_of(a->text)};
    if (!a->id) TS_TRY(ts_row_find_pair(st, text_of(s->prompt), text_of(s->reference), &a->id, err));
    return ts_row_edit(st, a->id, -1, &edit, 1, &a->done, err);
}

static void save_done(ts_job *job) {
    struct saving *s = (struct saving *)job;
    if (job->status == TS_OK) {
        ts_browse_go_after(s->act.app, s->act.id);
        s->act.app->count_wanted = true;
    }
    free(s->prompt);
    free(s->reference);
    ts_act_done(job);
}

static void push(struct compare *k, ts_status (*run)(ts_act *a, ts_store *st, ts_err *err), bool row) {
    const struct shown_prompt *p = compare_here(k);
    ts_act *plain = ts_act_new(k->screen.app, run);
    struct saving *s = ts_calloc(1, sizeof *s);
    s->act = *plain;
    free(plain);
    s->act.job.done = save_done;
    s->act.id = row ? p->example : 0;
    s->act.text = ts_strdup(ts_buf_str(&p->answers[k->saving].text));
    s->act.rows_change = true;
    s->prompt = ts_strdup(p->text);
    s->reference = p->reference ? ts_strdup(p->reference) : NULL;
    ts_act_push(&s->act);
}

static bool is_whole(const struct compare *k, const struct shown_prompt *p) {
    const struct shown_answer *a = &p->answers[k->saving];
    if (a->complete && !a->failed && a->text.len) return true;
    ts_app_say(k->screen.app, TS_R_WARN, "this side has no whole answer to save");
    return false;
}

static void how_chosen(ts_app *app, void *ctx, char key) {
    struct compare *k = ctx;
    const struct shown_prompt *p = compare_here(k);
    if (!p) return;
    if (key == 'e') {
        char *where = ts_printf("id=%lld", (long long)p->example);
        ts_app_show(app, TS_SCREEN_BROWSE);
        ts_browse_show(app, where, "id", false, p->example);
        free(where);
    } else if (is_whole(k, p)) { /* the answers may have been asked for anew meanwhile */
        push(k, key == 'c' ? run_correct : run_add, key == 'c');
    }
}

static void ask_how(struct compare *k) {
    const struct shown_prompt *p = compare_here(k);
    char title[80] = "Save an answer", row[80] = "the row that asked this";
    const char *lines[8] = {"It can be undone (u). Where to?", ""};
    size_t n = 2;
    bool known = p->example > 0;
    if (compare_named(k, p)) snprintf(title, sizeof title, "Save the answer of %.40s", k->sides[k->saving]);
    if (known) snprintf(row, sizeof row, "row %lld, which asked this", (long long)p->example);
    char correct[120];
    snprintf(correct, sizeof correct, "c  in the place of the answer of %s", row);
    lines[n++] = "n  a new example: this prompt, this answer";
    if (known || p->reference) lines[n++] = correct;
    if (known) lines[n++] = "e  nowhere: show that row in Browse, to write a better answer";
    lines[n++] = "";
    lines[n] = "any other key  leave the data as it is";
    ts_dialog_open(k->screen.app, title, lines, known ? "nce" : p->reference ? "nc" : "n", how_chosen, k);
}

static void side_chosen(ts_app *app, void *ctx, char key) {
    (void)app;
    struct compare *k = ctx;
    const struct shown_prompt *p = compare_here(k);
    size_t column = (size_t)(key - '1');
    if (!p || column >= k->n_sides) return;
    k->saving = compare_side_at(k, p, column);
    if (is_whole(k, p)) ask_how(k);
}

void compare_save(struct compare *k, const char *arg) {
    char line[80];
    const char *lines[] = {line, NULL};
    if (k->n_sides == 1 || (arg && *arg >= '1' && *arg <= '9')) {
        side_chosen(k->screen.app, k, k->n_sides == 1 ? '1' : *arg);
        return;
    }
    snprintf(line, sizeof line, "save which answer: 1 to %zu", k->n_sides);
    ts_dialog_open(k->screen.app, NULL, lines, "123456", side_chosen, k);
}

/* ---- remarks ---- */

static ts_status run_note(ts_act *a, ts_store *st, ts_err *err) {
    return ts_vote_note(st, a->id, a->text, &a->done, err);
}

static void note_entered(ts_app *app, void *ctx, const char *text) {
    struct compare *k = ctx;
    const struct shown_prompt *p = compare_here(k);
    if (!p || !p->kept) return;
    ts_act *a = ts_act_new(app, run_note);
    a->id = p->kept;
    a->text = ts_strdup(text);
    ts_act_push(a);
}

void compare_ask_note(struct compare *k, const char *arg) {
    ts_buf now = TS_BUF_INIT; /* all of it, to be changed */
    ts_vote_note_get(k->screen.app->reader, compare_here(k)->kept, &now);
    if (arg)
        note_entered(k->screen.app, k, arg);
    else
        ts_prompt_open(k->screen.app, &(ts_prompt_options){.label = "note:",
                                                           .initial = ts_buf_str(&now),
                                                           .hint = "why you voted so; empty: no note",
                                                           .done = note_entered,
                                                           .ctx = k});
    ts_buf_release(&now);
}
