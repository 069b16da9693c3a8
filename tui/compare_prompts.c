/* Which prompts are asked: the held-out rows, a saved set (eval/prompt_sets.h), a file; and putting prompts into a
 * set. */
#include "eval/prompt_sets.h"
#include "tui/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- choosing ---- */

struct sets_job {
    ts_job job;
    struct compare *screen;
    ts_names names;
};

static void ask_these(struct compare *k, char *from) {
    if (k->running) {
        free(from);
        ts_app_say(k->screen.app, TS_R_WARN, "answers are on their way; c stops them");
        return;
    }
    free(k->from);
    k->from = from;
    compare_ask_anew(k);
}

static void file_entered(ts_app *app, void *ctx, const char *text) {
    struct compare *k = ctx;
    char *set = ts_prompt_set_file(app->folder, text);
    ask_these(k, set ? set : *text ? ts_strdup(text) : NULL);
}

static void ask_file(struct compare *k) {
    ts_prompt_open(k->screen.app, &(ts_prompt_options){.label = "prompts from:",
                                                       .initial = k->from ? k->from : "",
                                                       .hint = "a file: JSON lines, or plain text with one a line; "
                                                               "empty: the held-out rows",
                                                       .done = file_entered,
                                                       .ctx = k});
}

/* 0: held-out rows; then the sets; last a file. */
static void prompts_chosen(ts_app *app, void *ctx, size_t index) {
    struct compare *k = ctx;
    if (index == 0 || index > k->sets.n) {
        if (index)
            ask_file(k);
        else
            ask_these(k, NULL);
        return;
    }
    const char *name = k->sets.items[index - 1];
    char *file = ts_prompt_set_file(app->folder, name);
    if (file)
        ask_these(k, file);
    else
        ts_app_say(app, TS_R_ERROR, "the set %s is no longer there", name);
}

static void sets_run(ts_job *job) {
    struct sets_job *s = (struct sets_job *)job;
    job->status = ts_prompt_sets_list(s->screen->screen.app->folder, &s->names, &job->err);
}

static void sets_done(ts_job *job) {
    struct sets_job *s = (struct sets_job *)job;
    struct compare *k = s->screen;
    const char **items = ts_calloc(s->names.n + 2, sizeof *items);
    size_t chosen = 0;
    ts_names_release(&k->sets);
    k->sets = s->names;
    items[0] = "the held-out rows";
    for (size_t i = 0; i < k->sets.n; i++) {
        char *path = ts_prompt_set_file(k->screen.app->folder, k->sets.items[i]);
        items[i + 1] = k->sets.items[i];
        if (path && k->from && strcmp(path, k->from) == 0) chosen = i + 1;
        free(path);
    }
    items[k->sets.n + 1] = "a file ..";
    if (job->status == TS_OK)
        ts_menu_open(k->screen.app, "Which prompts?", items, k->sets.n + 2, chosen, prompts_chosen, k);
    else if (job->status != TS_CANCELLED)
        ts_app_say(k->screen.app, TS_R_ERROR, "%s", job->err.text);
    free(items);
    free(s);
}

void compare_ask_prompts(struct compare *k, const char *arg) {
    if (arg) {
        file_entered(k->screen.app, k, arg);
        return;
    }
    struct sets_job *s = ts_calloc(1, sizeof *s);
    s->job = (ts_job){.run = sets_run, .done = sets_done};
    s->screen = k;
    ts_queue_push(k->screen.app->watch, &s->job);
}

/* ---- keeping ---- */

struct keep_job {
    ts_job job;
    struct compare *screen;
    char *name;
    ts_prompt_line *lines; /* its own texts */
    size_t n, added;
};

static void keep_run(ts_job *job) {
    struct keep_job *j = (struct keep_job *)job;
    job->status = ts_prompt_set_add(j->screen->screen.app->folder, j->name, j->lines, j->n, &j->added, &job->err);
}

static void keep_done(ts_job *job) {
    struct keep_job *j = (struct keep_job *)job;
    ts_app *app = j->screen->screen.app;
    if (job->status != TS_OK && job->status != TS_CANCELLED) ts_app_say(app, TS_R_ERROR, "%s", job->err.text);
    if (job->status == TS_OK && j->added == 0)
        ts_app_say(app, TS_R_TEXT, "set %s has %s already", j->name, j->n == 1 ? "this prompt" : "these prompts");
    if (job->status == TS_OK && j->added > 0)
        ts_app_say(app, TS_R_OK, "%zu prompt%s in set %s now; P asks them", j->added,
                   j->added == 1 ? " more" : "s more", j->name);
    for (size_t i = 0; i < j->n; i++) {
        free((char *)j->lines[i].messages);
        free((char *)j->lines[i].reference);
        free((char *)j->lines[i].choices);
    }
    free(j->lines);
    free(j->name);
    free(j);
}

static void keep(struct compare *k, const char *name, bool all) {
    const struct shown_prompt *here = compare_here(k);
    struct keep_job *j = ts_calloc(1, sizeof *j);
    j->job = (ts_job){.run = keep_run, .done = keep_done};
    j->screen = k;
    j->name = ts_strdup(name);
    j->lines = ts_calloc(k->n_order + 1, sizeof *j->lines);
    for (size_t i = 0; i < k->n_order; i++) {
        const struct shown_prompt *p = &k->prompts[k->order[i]];
        if ((!all && p != here) || !p->messages) continue;
        j->lines[j->n++] = (ts_prompt_line){.messages = ts_strdup(p->messages),
                                            .reference = p->reference ? ts_strdup(p->reference) : NULL,
                                            .choices = p->choices ? ts_strdup(p->choices) : NULL,
                                            .right = p->right};
    }
    snprintf(k->last_set, sizeof k->last_set, "%s", name);
    ts_queue_push(k->screen.app->watch, &j->job);
}

static void one_entered(ts_app *app, void *ctx, const char *text) {
    (void)app;
    keep(ctx, text, false);
}

static void all_entered(ts_app *app, void *ctx, const char *text) {
    (void)app;
    keep(ctx, text, true);
}

void compare_keep_prompts(struct compare *k, const char *arg, bool all) {
    if (arg)
        keep(k, arg, all);
    else
        ts_prompt_open(k->screen.app,
                       &(ts_prompt_options){.label = all ? "these prompts into the set:" : "this prompt into the set:",
                                            .initial = k->last_set,
                                            .hint = "a name; a new one makes a new set",
                                            .done = all ? all_entered : one_entered,
                                            .ctx = k});
}
