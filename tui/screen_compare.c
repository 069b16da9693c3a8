/* Compare: the same prompts answered by the base model and by runs, beside each other. */
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "tui/compare.h"
#include "tui/runs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROMPTS_MAX = 60, KIND_ANSWERS = 4 };

/* ---- what is shown ---- */

static void release_answer(struct shown_answer *a) {
    ts_buf_release(&a->text);
    ts_buf_release(&a->context);
}

static void free_prompts(struct shown_prompt *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        free(p[i].text);
        free(p[i].messages);
        free(p[i].reference);
        free(p[i].choices);
        for (size_t k = 0; k < SIDES_MAX; k++)
            release_answer(&p[i].answers[k]);
    }
    free(p);
}

static void free_note(struct note *n) {
    free_prompts(n->prompts, n->n_prompts);
    release_answer(&n->answer);
    free(n->text);
    free(n);
}

static void post(struct inbox *in, struct note *n) {
    pthread_mutex_lock(&in->lock);
    if (in->last)
        in->last->next = n;
    else
        in->first = n;
    in->last = n;
    pthread_mutex_unlock(&in->lock);
}

static struct note *take_all(struct inbox *in) {
    pthread_mutex_lock(&in->lock);
    struct note *first = in->first;
    in->first = in->last = NULL;
    pthread_mutex_unlock(&in->lock);
    return first;
}

/* By key, one prompt each: there are at most PROMPTS_MAX. */
static void read_votes(struct compare *k) {
    ts_buf side = TS_BUF_INIT, note = TS_BUF_INIT;
    for (size_t i = 0; i < k->n_prompts; i++) {
        struct shown_prompt *p = &k->prompts[i];
        ts_buf_reset(&side);
        if (p->kept) ts_vote_get(k->screen.app->reader, p->kept, &side);
        snprintf(p->vote, sizeof p->vote, "%s", ts_buf_str(&side));
        ts_buf_reset(&note);
        if (*p->vote) ts_vote_note_get(k->screen.app->reader, p->kept, &note);
        snprintf(p->note, sizeof p->note, "%s", ts_buf_str(&note));
    }
    ts_buf_release(&side);
    ts_buf_release(&note);
}

static void apply(struct compare *k, struct note *n) {
    if (n->kind == NOTE_PROMPTS) {
        free_prompts(k->prompts, k->n_prompts);
        k->prompts = n->prompts;
        k->n_prompts = n->n_prompts;
        n->prompts = NULL;
        n->n_prompts = 0;
        read_votes(k);
        compare_relist(k);
        return;
    }
    if (n->prompt >= k->n_prompts || n->side >= k->n_sides) return;
    struct shown_answer *a = &k->prompts[n->prompt].answers[n->side];
    if (n->kind == NOTE_TEXT) {
        ts_buf_reset(&a->text); /* all that it says so far */
        ts_buf_puts(&a->text, n->text);
    } else {
        release_answer(a);
        *a = n->answer;
        n->answer = (struct shown_answer){0};
    }
}

static void empty_inbox(struct compare *k) {
    struct note *n = take_all(&k->inbox), *next;
    for (; n; n = next) {
        next = n->next;
        apply(k, n);
        free_note(n);
        k->screen.app->dirty = true;
    }
}

/* ---- the job ---- */

struct answers_job {
    ts_job job;
    struct compare *screen;
    ts_compare result;
    ts_compare_options o;
    char *sides[SIDES_MAX], *prompts, *check, *log;
    bool own; /* prompts is a file of ours, for one prompt */
};

static void copy_answer(struct shown_answer *to, const ts_answer *a) {
    *to = (struct shown_answer){.tokens = (int64_t)a->n_ids,
                                .repetition = a->repetition,
                                .complete = a->stop[0] != 0,
                                .failed = a->error != NULL,
                                .checked = a->checked,
                                .passed = a->passed,
                                .reference_loss = NAN};
    memcpy(to->values, a->values, sizeof to->values);
    if (a->reference_tokens > 0) to->reference_loss = a->reference_nll / (double)a->reference_tokens;
    snprintf(to->stop, sizeof to->stop, "%s", a->stop);
    ts_buf_puts(&to->text, a->error ? a->error : a->text ? a->text : "");
    if (a->context) ts_buf_puts(&to->context, a->context);
}

static void on_text(void *ctx, size_t prompt, size_t side, const char *text) {
    struct answers_job *j = ctx;
    struct note *n = ts_calloc(1, sizeof *n);
    *n = (struct note){.kind = NOTE_TEXT, .prompt = prompt, .side = side, .text = ts_strdup(text)};
    post(&j->screen->inbox, n);
}

static void on_answer(void *ctx, const ts_compare *c, size_t prompt, size_t side) {
    struct answers_job *j = ctx;
    struct note *n = ts_calloc(1, sizeof *n);
    *n = (struct note){.kind = NOTE_ANSWER, .prompt = prompt, .side = side};
    copy_answer(&n->answer, &c->answers[prompt * c->n_sides + side]);
    post(&j->screen->inbox, n);
}

static char *choices_of(const ts_prompt *p) {
    ts_buf text = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&text);
    if (!p->choices) return NULL;
    ts_jw_arr(&w);
    for (size_t i = 0; i < p->n_choices; i++)
        ts_jw_str(&w, p->choices[i]);
    ts_jw_end_arr(&w);
    return ts_buf_take(&text);
}

static void post_prompts(struct answers_job *j) {
    const ts_compare *c = &j->result;
    struct note *n = ts_calloc(1, sizeof *n);
    n->kind = NOTE_PROMPTS;
    n->prompts = ts_calloc(c->n_prompts + 1, sizeof *n->prompts);
    n->n_prompts = c->n_prompts;
    for (size_t i = 0; i < c->n_prompts; i++) {
        n->prompts[i].text = ts_strdup(c->prompts[i].text ? c->prompts[i].text : "");
        n->prompts[i].messages = ts_strdup(c->prompts[i].messages ? c->prompts[i].messages : "[]");
        n->prompts[i].reference = c->prompts[i].reference ? ts_strdup(c->prompts[i].reference) : NULL;
        n->prompts[i].choices = choices_of(&c->prompts[i]);
        n->prompts[i].right = c->prompts[i].right;
        n->prompts[i].example = c->prompts[i].example;
        n->prompts[i].kept = c->prompts[i].kept;
        n->prompts[i].leak = c->prompts[i].leak;
        n->prompts[i].leak_row = c->prompts[i].leak_row;
    }
    post(&j->screen->inbox, n);
}

/* Where the workspace can only be read, nothing is kept and nothing can be voted on. */
static void keep(struct answers_job *j) {
    ts_err ignored;
    ts_status status = ts_compare_keep(&j->result, j->o.ws, &ignored);
    (void)status;
}

static void answers_run(ts_job *job) {
    struct answers_job *j = (struct answers_job *)job;
    job->status = ts_compare_prepare(&j->result, &j->o, &job->err);
    if (job->status != TS_OK) return;
    keep(j);
    post_prompts(j);
    job->status = ts_compare_run(&j->result, &j->o, &job->progress, &job->err);
    keep(j);
}

static void answers_done(ts_job *job) {
    struct answers_job *j = (struct answers_job *)job;
    struct compare *k = j->screen;
    empty_inbox(k);
    k->running = false;
    char drawn[64] = "";
    if (j->o.sampling.temperature > 0)
        snprintf(drawn, sizeof drawn, ", temperature %g, seed %lld", j->o.sampling.temperature,
                 (long long)j->o.sampling.seed);
    if (job->status == TS_OK) {
        for (size_t i = 0; i < j->result.n_prompts && i < k->n_prompts; i++) {
            k->prompts[i].leak = j->result.prompts[i].leak;
            k->prompts[i].leak_row = j->result.prompts[i].leak_row;
            for (size_t s = 0; s < k->n_sides; s++) {
                release_answer(&k->prompts[i].answers[s]);
                copy_answer(&k->prompts[i].answers[s], &j->result.answers[i * j->result.n_sides + s]);
            }
        }
        for (size_t s = 0; s < k->n_sides; s++)
            k->metrics[s] = j->result.metrics[s];
        k->measured = true;
        compare_relist(k);
        ts_app_say(k->screen.app, TS_R_OK, "%zu prompt%s answered in %.1f s%s", j->result.n_prompts,
                   j->result.n_prompts == 1 ? "" : "s", j->result.seconds, drawn);
    } else {
        snprintf(k->problem, sizeof k->problem, "%s",
                 job->status == TS_CANCELLED ? "stopped; R begins again" : job->err.text);
        ts_app_say(k->screen.app, job->status == TS_CANCELLED ? TS_R_WARN : TS_R_ERROR, "%s", k->problem);
    }
    ts_compare_release(&j->result);
    if (j->own) unlink(j->prompts);
    for (size_t i = 0; i < SIDES_MAX; i++)
        free(j->sides[i]);
    free(j->prompts);
    free(j->check);
    free(j->log);
    free(j);
}

/* A prompt of the person's own as a file of one line, which compare reads like any other. NULL and a message when it
 * cannot be written. */
static char *own_prompt_file(struct compare *k) {
    ts_err err;
    const char *tmp = getenv("TMPDIR");
    char *path = ts_printf("%s/tunesmith-prompt-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    int fd = mkstemp(path);
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&line);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "prompt", k->own);
    ts_jw_end_obj(&w);
    ts_buf_putc(&line, '\n');
    ts_status status = fd < 0 ? ts_fail_errno(&err, "cannot write the prompt to %s", path)
                              : ts_file_append(fd, path, line.data, line.len, &err);
    if (fd >= 0) close(fd);
    ts_buf_release(&line);
    if (status == TS_OK) return path;
    ts_app_say(k->screen.app, TS_R_ERROR, "%s", err.text);
    free(path);
    return NULL;
}

static void begin(struct compare *k) {
    ts_app *app = k->screen.app;
    ts_buf check = TS_BUF_INIT;
    char *file = NULL;
    if (k->running) {
        ts_app_say(app, TS_R_WARN, "answers are on their way; c stops them");
        return;
    }
    if (k->own && !(file = own_prompt_file(k))) return;
    struct answers_job *j = ts_calloc(1, sizeof *j);
    j->job = (ts_job){.title = "answering", .kind = KIND_ANSWERS, .run = answers_run, .done = answers_done};
    j->screen = k;
    j->o = (ts_compare_options)TS_COMPARE_DEFAULTS;
    for (size_t i = 0; i < k->n_sides; i++)
        j->sides[i] = ts_strdup(k->sides[i]);
    if (!k->own && ts_setting_get(app->reader, "check", &check)) j->check = ts_buf_take(&check);
    j->own = file != NULL;
    j->prompts = file ? file : k->from ? ts_strdup(k->from) : NULL;
    j->log = ts_path_join(app->folder, "engine.log");
    j->o.ws = app->folder;
    j->o.sides = (const char *const *)j->sides;
    j->o.n_sides = k->n_sides;
    j->o.prompts = j->prompts;
    j->o.check = j->check;
    j->o.limit = PROMPTS_MAX;
    j->o.sampling.seed = k->seed;
    j->o.sampling.temperature = k->temperature;
    j->o.log = j->log;
    j->o.on_text = on_text;
    j->o.on_answer = on_answer;
    j->o.ctx = j;
    k->running = true;
    k->measured = false;
    k->problem[0] = 0;
    ts_queue_push(app->models, &j->job);
}

/* ---- sides ---- */

/* The answers go, of whatever was asked. */
static void forget_answers(struct compare *k) {
    free_prompts(k->prompts, k->n_prompts);
    k->prompts = NULL;
    k->n_prompts = 0;
    k->measured = false;
    k->metric = -1;
    compare_relist(k);
}

static void set_sides(struct compare *k, const char *text) {
    for (size_t i = 0; i < k->n_sides; i++)
        free(k->sides[i]);
    k->n_sides = 0;
    k->first_column = 0;
    forget_answers(k);
    char **words;
    size_t n = ts_sides_split(text, &words);
    for (size_t i = 0; i < n; i++) {
        if (i < SIDES_MAX)
            k->sides[k->n_sides++] = words[i];
        else
            free(words[i]);
    }
    free(words);
}

void compare_set_sides(struct compare *k, const char *text) {
    if (k->running) {
        ts_app_say(k->screen.app, TS_R_WARN, "answers are on their way; c stops them");
        return;
    }
    set_sides(k, text);
    if (k->n_sides) begin(k);
}

static void sides_entered(ts_app *app, void *ctx, const char *text) {
    (void)app;
    compare_set_sides(ctx, text);
}

void compare_put_side(ts_buf *text, const char *side) {
    ts_buf_printf(text, strpbrk(side, " ,") ? "%s\"%s\"" : "%s%s", text->len ? " " : "", side);
}

static void ask_sides(struct compare *k, const char *arg) {
    if (arg) {
        sides_entered(k->screen.app, k, arg);
        return;
    }
    ts_buf now = TS_BUF_INIT;
    for (size_t i = 0; i < k->n_sides; i++)
        compare_put_side(&now, k->sides[i]);
    ts_prompt_open(k->screen.app,
                   &(ts_prompt_options){.label = "sides:",
                                        .initial = ts_buf_str(&now),
                                        .hint = "base  run:3  run:3/best  few-shot  retrieval:DIR  \"system:Be "
                                                "brief\"  model:NAME  url=..,model=..",
                                        .done = sides_entered,
                                        .ctx = k});
    ts_buf_release(&now);
}

static void own_entered(ts_app *app, void *ctx, const char *text) {
    struct compare *k = ctx;
    (void)app;
    free(k->own);
    k->own = *text ? ts_strdup(text) : NULL; /* empty: the held-out prompts again */
    begin(k);
}

void compare_ask_anew(struct compare *k) {
    free(k->own);
    k->own = NULL;
    forget_answers(k);
    begin(k);
}

void ts_compare_screen_show(ts_app *app, const char *sides) {
    struct compare *k = (struct compare *)app->screens[TS_SCREEN_COMPARE];
    ts_app_show(app, TS_SCREEN_COMPARE);
    free(k->own);
    k->own = NULL;
    sides_entered(app, k, sides);
}

/* Base and the newest run that has an adapter. */
static void default_sides(struct compare *k) {
    const struct runs *r = (const struct runs *)k->screen.app->screens[TS_SCREEN_RUNS];
    char text[48];
    if (k->n_sides) return;
    for (size_t i = 0; i < r->view.n; i++)
        if (ts_run_has_adapter(&r->view.items[i])) {
            ts_run_side(&r->view.items[i], text, sizeof text);
            set_sides(k, text);
            return;
        }
}

/* ---- votes ---- */

static void go(struct compare *k, int by) {
    ts_list_move(&k->list, by);
    k->scroll = 0;
}

static bool answered(const struct compare *k, const struct shown_prompt *p) {
    for (size_t i = 0; i < k->n_sides; i++)
        if (!p->answers[i].complete) return false;
    return k->n_sides > 0;
}

static const char *why_no_vote(const struct compare *k) {
    const struct shown_prompt *p = compare_here(k);
    if (!p) return k->n_prompts ? "no prompt is listed; f lists all" : "no answers yet; R makes some";
    if (!p->kept) return "this workspace can only be read, so votes cannot be kept";
    return answered(k, p) ? NULL : "not all sides have answered yet";
}

/* The note stays when the vote changes. */
static ts_status run_vote(ts_act *a, ts_store *st, ts_err *err) {
    ts_buf note = TS_BUF_INIT;
    bool noted = ts_vote_note_get(st, a->id, &note);
    ts_status status = ts_vote_set(st, a->id, a->text, a->on, noted ? ts_buf_str(&note) : NULL, &a->done, err);
    ts_buf_release(&note);
    return status;
}

/* side NULL: takes the vote away. */
static void vote(struct compare *k, const char *side) {
    const struct shown_prompt *p = compare_here(k);
    ts_act *a = ts_act_new(k->screen.app, run_vote);
    a->id = p->kept;
    a->text = side ? ts_strdup(side) : NULL;
    a->on = !compare_named(k, p); /* blind */
    ts_act_push(a);
    if (side) go(k, 1);
}

/* arg: the number of a column, from the key or typed behind the name. */
static void vote_for(struct compare *k, const char *arg) {
    long n = arg ? strtol(arg, NULL, 10) : 0;
    if (n >= 1 && n <= (long)k->n_sides)
        vote(k, k->sides[compare_side_at(k, compare_here(k), (size_t)n - 1)]);
    else
        ts_app_say(k->screen.app, TS_R_WARN, "vote for a side by its number: 1 to %zu", k->n_sides);
}

static void compare_changed(ts_screen *s, bool rows) {
    (void)rows;
    read_votes((struct compare *)s);
}

/* ---- the screen ---- */

static ts_screen *compare_create(ts_app *app) {
    struct compare *k = ts_calloc(1, sizeof *k);
    k->screen.app = app;
    k->metric = -1;
    k->seed = 42;
    pthread_mutex_init(&k->inbox.lock, NULL);
    return &k->screen;
}

static void compare_free(ts_screen *s) {
    struct compare *k = (struct compare *)s;
    struct note *n = take_all(&k->inbox), *next;
    for (; n; n = next) {
        next = n->next;
        free_note(n);
    }
    set_sides(k, "");
    free(k->order);
    free(k->own);
    free(k->from);
    ts_names_release(&k->sets);
    compare_forget_choices(k);
    pthread_mutex_destroy(&k->inbox.lock);
    free(k);
}

static void compare_shown(ts_screen *s) {
    default_sides((struct compare *)s);
}

static unsigned compare_place(const ts_screen *s) {
    (void)s;
    return TS_IN_COMPARE;
}

static const char *compare_why_not(ts_screen *s, ts_command_id id) {
    const struct compare *k = (const struct compare *)s;
    bool needs = id == TS_DO_NEXT || id == TS_DO_PREV || id == TS_DO_WORDS || id == TS_DO_COPY || id == TS_DO_OPEN ||
                 id == TS_DO_PANE_NEXT || id == TS_DO_PANE_PREV || id == TS_DO_ZOOM || id == TS_DO_DIFFERENT ||
                 id == TS_DO_BLIND || id == TS_DO_ORDER || id == TS_DO_ORDER_REVERSE || id == TS_DO_SIDES_LEFT ||
                 id == TS_DO_SIDES_RIGHT || id == TS_DO_MEASURES || id == TS_DO_SAVE_ANSWER || id == TS_DO_NOTE ||
                 id == TS_DO_KEEP_PROMPT || id == TS_DO_KEEP_PROMPTS;
    bool needs_one = id == TS_DO_MEASURES || id == TS_DO_KEEP_PROMPT || id == TS_DO_KEEP_PROMPTS ||
                     id == TS_DO_SAVE_ANSWER || id == TS_DO_NOTE || id == TS_DO_COPY;
    if (id == TS_DO_VOTE || id == TS_DO_VOTE_TIE || id == TS_DO_VOTE_NONE || id == TS_DO_VOTE_CLEAR)
        return why_no_vote(k);
    if (needs && k->n_prompts == 0) return "no answers yet; R makes some";
    if (needs_one && !compare_here(k)) return "no prompt is listed; f lists all";
    if ((id == TS_DO_SAVE_ANSWER || id == TS_DO_NOTE || id == TS_DO_KEEP_PROMPT || id == TS_DO_KEEP_PROMPTS) &&
        ts_store_read_only(s->app->reader))
        return "this workspace can only be read";
    if (id == TS_DO_NOTE && !*compare_here(k)->vote) return "a note goes with a vote; vote first";
    if (id == TS_DO_CANCEL && !k->running) return "no answers are being made";
    if ((id == TS_DO_RELOAD || id == TS_DO_PROMPTS || id == TS_DO_OWN_PROMPT || id == TS_DO_EDIT_OUTSIDE) &&
        k->n_sides == 0)
        return "no sides yet; p chooses them, for example: base run:1";
    return NULL;
}

static void copy_answers(struct compare *k) {
    ts_buf b = TS_BUF_INIT;
    const struct shown_prompt *p = compare_here(k);
    ts_buf_printf(&b, "prompt: %s\n", p->text);
    for (size_t i = 0; i < k->n_sides; i++) {
        size_t side = compare_side_at(k, p, i);
        ts_buf_printf(&b, "\n%s: %s\n", compare_named(k, p) ? k->sides[side] : "?", ts_buf_str(&p->answers[side].text));
    }
    k->screen.app->term->copy(k->screen.app->term, b.data, b.len);
    ts_app_say(k->screen.app, TS_R_OK, "copied the prompt and its answers");
    ts_buf_release(&b);
}

static bool scroll_answers(struct compare *k, ts_command_id id) {
    ts_list l = {.count = SIZE_MAX / 4, .cursor = k->scroll, .height = 10};
    if (id == TS_DO_LAST) return k->scroll = SIZE_MAX / 8, true;
    if (id == TS_DO_FIRST) return k->scroll = 0, true;
    if (!ts_list_command(&l, id)) return false;
    k->scroll = l.cursor;
    return true;
}

/* What an own prompt begins with: the one that stands there, to change it and try again. */
static const char *own_begins(const struct compare *k) {
    const struct shown_prompt *p = compare_here(k);
    return k->own ? k->own : p ? p->text : "";
}

static void own_outside(struct compare *k) {
    ts_app *app = k->screen.app;
    const char *tmp = getenv("TMPDIR"), *begins = own_begins(k);
    char *path = ts_printf("%s/tunesmith-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ts_buf text = TS_BUF_INIT;
    ts_err err;
    int fd = mkstemp(path);
    ts_status status = fd < 0 ? ts_fail_errno(&err, "cannot make a file for the editor")
                              : ts_file_append(fd, path, begins, strlen(begins), &err);
    if (fd >= 0) close(fd);
    if (status == TS_OK) status = ts_app_editor(app, path, &err);
    if (status == TS_OK) status = ts_file_read(path, 1 << 20, &text, &err);
    while (text.len && strchr("\n\r ", text.data[text.len - 1]))
        text.data[--text.len] = 0;
    if (status == TS_OK)
        own_entered(app, k, ts_buf_str(&text));
    else
        ts_app_say(app, TS_R_ERROR, "%s", err.text);
    if (fd >= 0) unlink(path);
    ts_buf_release(&text);
    free(path);
}

static void ask_own(struct compare *k, const char *arg) {
    ts_app *app = k->screen.app;
    const char *begins = own_begins(k);
    if (arg)
        own_entered(app, k, arg);
    else if (strchr(begins, '\n'))
        own_outside(k); /* a line cannot hold it */
    else
        ts_prompt_open(app, &(ts_prompt_options){.label = "ask:",
                                                 .initial = begins,
                                                 .hint = "empty: the prompts before again",
                                                 .done = own_entered,
                                                 .ctx = k});
}

static void temperature_entered(ts_app *app, void *ctx, const char *text) {
    struct compare *k = ctx;
    char *end;
    double t = strtod(text, &end);
    if (end == text || *end || !(t >= 0 && t <= 10)) {
        ts_app_say(app, TS_R_WARN, "a temperature is a number from 0 to 10, not \"%.40s\"", text);
        return;
    }
    k->temperature = t;
    ts_app_say(app, TS_R_TEXT,
               t > 0 ? "temperature %g: R draws other answers each time"
                     : "temperature %g: the likeliest words, the same each time",
               t);
}

static void ask_temperature(struct compare *k, const char *arg) {
    char now[32];
    snprintf(now, sizeof now, "%g", k->temperature);
    if (arg)
        temperature_entered(k->screen.app, k, arg);
    else
        ts_prompt_open(k->screen.app, &(ts_prompt_options){.label = "temperature:",
                                                           .initial = now,
                                                           .hint = "0: the likeliest words; 0.7: R draws others",
                                                           .done = temperature_entered,
                                                           .ctx = k});
}

static void set_blind(struct compare *k) {
    k->blind = !k->blind;
    k->blind_seed = (uint64_t)ts_wall_ms();
    ts_app_say(k->screen.app, TS_R_TEXT,
               k->blind ? "the sides are shuffled and have no names until you vote" : "the sides have names");
}

static void set_different(struct compare *k) {
    k->different = !k->different;
    compare_relist(k);
    ts_app_say(k->screen.app, TS_R_TEXT, "%zu of %zu prompts%s", k->n_order, k->n_prompts,
               k->different ? ", those whose answers differ" : "");
}

static void next_words(struct compare *k) {
    static const char *const says[] = {"marked: other words than the first side's",
                                       "marked: words that the reference does not have", "no words are marked"};
    k->words = (enum compare_words)((k->words + 1) % 3);
    ts_app_say(k->screen.app, TS_R_TEXT, "%s", says[k->words]);
}

static void move_columns(struct compare *k, int by) {
    if (by > 0 ? k->first_column + 1 < k->n_sides : k->first_column > 0)
        k->first_column = by > 0 ? k->first_column + 1 : k->first_column - 1;
}

static void again(struct compare *k) {
    if (k->measured) k->seed++; /* other random numbers than those on the screen */
    begin(k);
    if (k->running && k->seed > 42 && k->temperature == 0)
        ts_app_say(k->screen.app, TS_R_TEXT,
                   "at temperature 0 the likeliest words come again; `temperature 0.7` in the palette draws others");
}

static void step_back(struct compare *k) {
    if (k->zoom || k->on_list)
        k->zoom = k->on_list = false;
    else
        ts_app_show(k->screen.app, TS_SCREEN_BROWSE);
}

/* How the answers are looked at. */
static bool look_command(struct compare *k, ts_command_id id, const char *arg) {
    switch (id) {
    case TS_DO_DIFFERENT:
        set_different(k);
        return true;
    case TS_DO_BLIND:
        set_blind(k);
        return true;
    case TS_DO_ORDER:
        compare_ask_order(k);
        return true;
    case TS_DO_ORDER_REVERSE:
        k->reversed = !k->reversed;
        compare_relist(k);
        return true;
    case TS_DO_SIDES_LEFT:
    case TS_DO_SIDES_RIGHT:
        move_columns(k, id == TS_DO_SIDES_RIGHT ? 1 : -1);
        return true;
    case TS_DO_MEASURES:
        compare_measures(k);
        return true;
    case TS_DO_SAVE_ANSWER:
        compare_save(k, arg);
        return true;
    case TS_DO_NOTE:
        compare_ask_note(k, arg);
        return true;
    case TS_DO_TEMPERATURE:
        ask_temperature(k, arg);
        return true;
    case TS_DO_PROMPTS:
        compare_ask_prompts(k, arg);
        return true;
    case TS_DO_KEEP_PROMPT:
    case TS_DO_KEEP_PROMPTS:
        compare_keep_prompts(k, arg, id == TS_DO_KEEP_PROMPTS);
        return true;
    default:
        return false;
    }
}

/* Votes, by their keys. */
static bool vote_command(struct compare *k, ts_command_id id, const char *arg) {
    switch (id) {
    case TS_DO_VOTE:
        vote_for(k, arg);
        return true;
    case TS_DO_VOTE_TIE:
    case TS_DO_VOTE_NONE:
        vote(k, id == TS_DO_VOTE_TIE ? TS_VOTE_TIE : TS_VOTE_NONE);
        return true;
    case TS_DO_VOTE_CLEAR:
        vote(k, NULL);
        return true;
    default:
        return false;
    }
}

static bool compare_command(ts_screen *s, ts_command_id id, const char *arg) {
    struct compare *k = (struct compare *)s;
    if (look_command(k, id, arg) || vote_command(k, id, arg)) return true;
    if (k->on_list && ts_list_command(&k->list, id)) {
        k->scroll = 0;
        return true;
    }
    if (!k->on_list && scroll_answers(k, id)) return true;
    switch (id) {
    case TS_DO_NEXT:
    case TS_DO_PREV:
        go(k, id == TS_DO_NEXT ? 1 : -1);
        return true;
    case TS_DO_WORDS:
        next_words(k);
        return true;
    case TS_DO_ZOOM:
        k->zoom = !k->zoom;
        return true;
    case TS_DO_PANE_NEXT:
    case TS_DO_PANE_PREV:
    case TS_DO_OPEN:
        k->on_list = !k->on_list && k->n_order > 1;
        return true;
    case TS_DO_SIDES:
        ask_sides(k, arg);
        return true;
    case TS_DO_PICK_SIDE:
        compare_pick_side(k);
        return true;
    case TS_DO_OWN_PROMPT:
        ask_own(k, arg);
        return true;
    case TS_DO_EDIT_OUTSIDE:
        own_outside(k);
        return true;
    case TS_DO_RELOAD:
        again(k);
        return true;
    case TS_DO_CANCEL:
        ts_queue_cancel(s->app->models, KIND_ANSWERS);
        return true;
    case TS_DO_COPY:
        copy_answers(k);
        return true;
    case TS_DO_BACK:
    case TS_DO_BACK_OUT:
        step_back(k);
        return true;
    default:
        return false;
    }
}

static bool compare_input(ts_screen *s, const ts_input *in) {
    struct compare *k = (struct compare *)s;
    if (in->kind != TS_IN_WHEEL) return in->kind == TS_IN_CLICK;
    bool list = in->x < 30 && s->app->canvas.w >= 100 && k->n_prompts > 1;
    if (list)
        go(k, in->delta > 0 ? 1 : -1);
    else
        for (int i = 0; i < 3; i++)
            scroll_answers(k, in->delta > 0 ? TS_DO_DOWN : TS_DO_UP);
    return true;
}

static void compare_tick(ts_screen *s, double now, bool visible) {
    struct compare *k = (struct compare *)s;
    (void)now;
    if (k->running) empty_inbox(k);
    if (visible && k->n_sides == 0) default_sides(k);
}

const ts_screen_ops ts_compare_ops = {
    .tab = "5 Compare",
    .key = TS_DO_SCREEN_COMPARE,
    .create = compare_create,
    .free = compare_free,
    .shown = compare_shown,
    .place = compare_place,
    .draw = compare_draw,
    .status = compare_status,
    .command = compare_command,
    .why_not = compare_why_not,
    .input = compare_input,
    .tick = compare_tick,
    .changed = compare_changed,
};
