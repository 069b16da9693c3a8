/* Two forms over adapters of runs: several added up to one, each with a weight, and one merged into its model. Both
 * show the command line that does the same; it is what runs, as a child (verb_job.h), on the models queue. */
#include "core/base/file.h"
#include "core/model/combine_how.h"
#include "core/model/quantize.h"
#include "tui/compare.h"
#include "tui/form.h"
#include "tui/runs.h"
#include "tui/verb_job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_ADAPTERS = 21, WIDE = 84 };

static const char *const last_or_best[] = {"last", "best", NULL}, *const best_only[] = {"best", NULL},
                         *const last_only[] = {"last", NULL};
static const char *const afterwards[] = {"stay here", "compare", NULL};

struct part {
    int64_t id;
    char label[200];
    char *base;           /* the model it was trained on */
    size_t which, weight; /* fields */
};

struct adapters_form {
    ts_layer layer;
    ts_form form;
    bool merge;
    struct part parts[TS_RUNS_CHOSEN];
    size_t n;
    size_t model, how, rank, type, out, then, start, leave; /* fields; those of the other form are 0 */
    char problem[520];
};

/* ---- the command line ---- */

static char *adapter_of(const struct adapters_form *f, const struct part *p) {
    bool best = strcmp(ts_form_value(&f->form, p->which), "best") == 0;
    return ts_printf("run:%lld%s", (long long)p->id, best ? "/best" : "");
}

static void add_option(ts_call *w, const char *name, const char *value) {
    if (!*value) return;
    ts_call_add(w, ts_strdup(name));
    ts_call_add(w, ts_strdup(value));
}

static void command_of(const struct adapters_form *f, ts_call *w) {
    ts_call_add(w, ts_strdup(f->merge ? "merge" : "combine"));
    add_option(w, "--model", ts_form_value(&f->form, f->model));
    for (size_t i = 0; i < f->n; i++) {
        char *adapter = adapter_of(f, &f->parts[i]);
        ts_call_add(w, ts_strdup("--adapter"));
        ts_call_add(w, f->merge ? ts_strdup(adapter)
                                : ts_printf("%s=%s", adapter, ts_form_value(&f->form, f->parts[i].weight)));
        free(adapter);
    }
    if (!f->merge) add_option(w, "--how", ts_form_value(&f->form, f->how));
    if (!f->merge) add_option(w, "--rank", ts_form_value(&f->form, f->rank));
    if (f->merge) add_option(w, "--type", ts_form_value(&f->form, f->type));
    add_option(w, "--workspace", f->layer.app->folder);
    add_option(w, "--out", ts_form_value(&f->form, f->out));
}

/* NULL, or what must be put right before it can begin; the rest is for the verb to say. */
static const char *why_not(const struct adapters_form *f) {
    for (size_t i = 0; i < f->n && !f->merge; i++) {
        const char *text = ts_form_value(&f->form, f->parts[i].weight);
        char *end;
        double weight = strtod(text, &end);
        if (end == text || *end || !isfinite(weight)) return "A weight is a number: 1, 0.3, or -0.5 to take away.";
    }
    if (!*ts_form_value(&f->form, f->model)) return "Which model? The one that the runs were trained on.";
    if (!*ts_form_value(&f->form, f->out)) return "Where to? A new folder, or a file that ends in .gguf.";
    return NULL;
}

/* ---- the job ---- */

struct adapters_job {
    ts_job job;
    ts_app *app;
    ts_call words;
    char *exports, *out;
    char *sides; /* to compare when it is done; NULL: that is not wanted */
    bool merge;
    ts_buf result, said;
};

static void adapters_run(ts_job *job) {
    struct adapters_job *j = (struct adapters_job *)job;
    job->status = ts_mkdirs(j->exports, &job->err);
    if (job->status == TS_OK) job->status = ts_call_run(&j->words, &job->progress, &j->result, &j->said, &job->err);
}

/* It ends whenever it ends: what the person does then is not taken from the screen, nor answers on their way. */
static bool may_show_compare(const ts_app *app) {
    const struct compare *k = (const struct compare *)app->screens[TS_SCREEN_COMPARE];
    const ts_screen *s = app->screens[app->current];
    return !app->layers && !app->quit && !k->running && !(s->ops->unsaved && s->ops->unsaved(s));
}

static void tell(const struct adapters_job *j) {
    const char *said = ts_buf_str(&j->said);
    ts_app_say(j->app, TS_R_OK, "%s %s%s%s%.*s", j->merge ? "the merged model is" : "their sum is the adapter", j->out,
               j->sides && !may_show_compare(j->app) ? "; Compare offers it as a side (a)" : "", *said ? "; " : "",
               (int)strcspn(said, "\n"), said);
}

static void adapters_done(ts_job *job) {
    struct adapters_job *j = (struct adapters_job *)job;
    if (job->status == TS_OK) {
        tell(j);
        if (j->sides && may_show_compare(j->app)) ts_compare_screen_show(j->app, j->sides);
    } else {
        ts_app_say(j->app, job->status == TS_CANCELLED ? TS_R_WARN : TS_R_ERROR, "%s",
                   job->status == TS_CANCELLED ? "stopped; nothing was written" : job->err.text);
    }
    ts_call_release(&j->words);
    ts_buf_release(&j->result);
    ts_buf_release(&j->said);
    free(j->exports);
    free(j->out);
    free(j->sides);
    free(j);
}

/* "base run:1 run:3 demo/exports/sum": base, what it was made of, what was made. */
static char *sides_of(const struct adapters_form *f) {
    ts_buf text = TS_BUF_INIT;
    const char *out = ts_form_value(&f->form, f->out);
    char *made = f->merge ? ts_printf("model:%s", out) : ts_strdup(out);
    compare_put_side(&text, "base");
    for (size_t i = 0; i < f->n && i + 2 < SIDES_MAX; i++) {
        char *adapter = adapter_of(f, &f->parts[i]);
        compare_put_side(&text, adapter);
        free(adapter);
    }
    compare_put_side(&text, made);
    free(made);
    return ts_buf_take(&text);
}

static void start(struct adapters_form *f) {
    ts_app *app = f->layer.app;
    const char *problem = why_not(f);
    snprintf(f->problem, sizeof f->problem, "%s", problem ? problem : "");
    if (problem) return;
    struct adapters_job *j = ts_calloc(1, sizeof *j);
    j->job = (ts_job){
        .title = f->merge ? "merging" : "combining", .kind = KIND_ADAPTERS, .run = adapters_run, .done = adapters_done};
    j->app = app;
    j->merge = f->merge;
    command_of(f, &j->words);
    j->exports = ts_path_join(app->folder, "exports");
    j->out = ts_strdup(ts_form_value(&f->form, f->out));
    if (strcmp(ts_form_value(&f->form, f->then), "compare") == 0) j->sides = sides_of(f);
    ts_queue_push(app->models, &j->job);
    ts_app_say(app, TS_R_TEXT, "%s; c stops it", j->job.title);
    f->layer.closed = true;
}

bool ts_adapters_busy(const ts_app *app) {
    bool any = false;
    for (const ts_job *job = ts_queue_jobs(app->models); job; job = job->next_alive)
        any |= job->kind == KIND_ADAPTERS;
    return any;
}

bool ts_adapters_cancel(ts_app *app) {
    bool any = ts_adapters_busy(app);
    if (any) ts_queue_cancel(app->models, KIND_ADAPTERS);
    return any;
}

/* ---- the layer ---- */

static bool adapters_input(ts_layer *l, const ts_input *in) {
    struct adapters_form *f = (struct adapters_form *)l;
    if (in->kind == TS_IN_KEY && (in->key == TS_KEY_ESC || in->key == TS_CTRL('C'))) {
        l->closed = true;
    } else if (in->kind == TS_IN_KEY && in->key == TS_CTRL('S')) {
        start(f);
    } else {
        ts_form_answer answer = ts_form_input(&f->form, in);
        if (answer == TS_FORM_CHANGED) f->problem[0] = 0;
        if (answer == TS_FORM_PRESSED && f->form.focus == f->start) start(f);
        if (answer == TS_FORM_PRESSED && f->form.focus == f->leave) l->closed = true;
    }
    return true;
}

static void place(struct adapters_form *f, size_t field, int x, int y, int label, int width) {
    ts_form_field *at = &f->form.fields[field];
    at->x = x;
    at->y = y;
    at->label_width = label;
    at->width = width;
}

static int place_fields(struct adapters_form *f, int inner) {
    int y = 0, name = TS_MIN(46, inner - 24);
    for (size_t i = 0; i < f->n; i++, y++) {
        place(f, f->parts[i].which, 0, y, name, 8);
        if (!f->merge) place(f, f->parts[i].weight, name + 9, y, 7, 8);
    }
    place(f, f->model, 0, ++y, 7, inner - 7);
    if (f->merge) {
        place(f, f->type, 0, ++y, 7, inner - 7);
    } else {
        place(f, f->how, 0, ++y, 7, 10);
        place(f, f->rank, inner / 2, y, 7, inner / 2 - 8);
    }
    place(f, f->out, 0, ++y, 7, inner - 7);
    place(f, f->then, 0, ++y, 7, 12);
    place(f, f->start, 0, y += 2, 0, 12);
    place(f, f->leave, 12, y, 0, 12);
    return y;
}

/* What the choices mean, in words. */
static const char *explain(const struct adapters_form *f, char list[TS_FILE_TYPE_LIST + 40]) {
    static const char *const ways[TS_COMBINE_HOWS] = {
        [TS_COMBINE_CAT] = "cat is exact: the ranks add up. The weights are as in w1 dW1 + w2 dW2.",
        [TS_COMBINE_LINEAR] = "linear keeps the rank, which must be equal, and is a rough guess at the sum.",
        [TS_COMBINE_SVD] = "svd is the best adapter of its rank; an empty rank is the largest of theirs."};
    char names[TS_FILE_TYPE_LIST];
    if (!f->merge) return ways[f->form.fields[f->how].choice];
    snprintf(list, TS_FILE_TYPE_LIST + 40, "types: %s; a folder takes the first three",
             ts_file_type_names(false, names));
    return list;
}

/* Adapters of two models cannot be added; that they have one shape does not make it right. */
static const char *other_base(const struct adapters_form *f, char out[240]) {
    for (size_t i = 1; i < f->n; i++)
        if (strcmp(f->parts[i].base, f->parts[0].base) != 0) {
            snprintf(out, 240, "run %lld was trained on another model: %s", (long long)f->parts[i].id,
                     f->parts[i].base);
            return out;
        }
    return NULL;
}

static int draw_text(const struct adapters_form *f, ts_canvas *c, ts_rect r, ts_role role, const char *text) {
    size_t scroll = 0;
    if (r.h <= 0) return 0;
    ts_doc d = ts_doc_new(&f->layer.app->frame, r.w);
    ts_doc_text(&d, 0, role, text, strlen(text), NULL, role);
    int lines = TS_MIN((int)d.n, r.h);
    ts_doc_draw(&d, c, (ts_rect){r.x, r.y, r.w, lines}, &scroll);
    ts_doc_release(&d);
    return lines;
}

static void draw_below(const struct adapters_form *f, ts_canvas *c, ts_rect r) {
    char list[TS_FILE_TYPE_LIST + 40], base[240];
    const char *other = other_base(f, base);
    ts_buf line = TS_BUF_INIT;
    ts_call w = {0};
    int used = *f->problem ? draw_text(f, c, r, TS_R_ERROR, f->problem)
               : other     ? draw_text(f, c, r, TS_R_WARN, other)
                           : draw_text(f, c, r, TS_R_TEXT, explain(f, list));
    r = (ts_rect){r.x, r.y + used + 1, r.w, r.h - used - 1};
    if (r.h >= 2) {
        ts_put(c, r.x, r.y, r.w, TS_R_LABEL, "the same on the command line");
        command_of(f, &w);
        ts_call_command(&w, &line);
        draw_text(f, c, (ts_rect){r.x + 2, r.y + 1, r.w - 2, r.h - 1}, TS_R_DIM, ts_buf_str(&line));
    }
    ts_call_release(&w);
    ts_buf_release(&line);
}

static void adapters_draw(ts_layer *l, ts_canvas *c) {
    struct adapters_form *f = (struct adapters_form *)l;
    ts_rect r = {.w = TS_MIN(c->w, WIDE), .h = TS_MIN(c->h, 17 + (int)f->n)};
    r.x = (c->w - r.w) / 2;
    r.y = (c->h - r.h) / 2;
    ts_box(c, r, f->merge ? "Merge an adapter into its model" : "Add adapters up to one");
    int buttons = r.y + 1 + place_fields(f, r.w - 6);
    ts_form_draw(&f->form, c, r.x + 3, r.y + 1);
    int x = c->cursor_x, y = c->cursor_y;
    ts_put_right(c, r.x + 28, buttons, r.w - 31, TS_R_DIM, "Tab next field  ^S start  Esc leave");
    draw_below(f, c, (ts_rect){r.x + 3, buttons + 2, r.w - 6, r.y + r.h - buttons - 3});
    ts_cursor(c, x, y);
}

static void adapters_free(ts_layer *l) {
    struct adapters_form *f = (struct adapters_form *)l;
    ts_form_release(&f->form);
    for (size_t i = 0; i < f->n; i++)
        free(f->parts[i].base);
    free(f);
}

static const ts_layer_ops adapters_ops = {.input = adapters_input, .draw = adapters_draw, .free = adapters_free};

/* ---- opening ---- */

static void add_part(struct adapters_form *f, const ts_run_view *v, size_t of) {
    struct part *p = &f->parts[f->n++];
    bool ended = v->state == TS_RUN_DONE || v->state == TS_RUN_STOPPED, best = v->best_step >= 0;
    char weight[16];
    p->id = v->id;
    p->base = ts_strdup(v->base ? v->base : "");
    snprintf(p->label, sizeof p->label, "run:%lld  %s%s%s%s", (long long)v->id, v->name, *v->tags ? " [" : "", v->tags,
             *v->tags ? "]" : "");
    snprintf(weight, sizeof weight, "%.3g", of > 1 ? floor(1000.0 / (double)of) / 1000 : 1.0);
    p->which = ts_form_add(&f->form,
                           (ts_form_field){.label = p->label,
                                           .choices = ended && best ? last_or_best
                                                      : best        ? best_only
                                                                    : last_only},
                           "last");
    if (!f->merge) p->weight = ts_form_add(&f->form, (ts_form_field){.label = "weight"}, weight);
}

/* exports/run-1+run-3, with a number behind it where that is taken. */
static char *free_name(const struct adapters_form *f) {
    ts_buf name = TS_BUF_INIT;
    for (size_t i = 0; i < f->n; i++)
        ts_buf_printf(&name, "%srun-%lld", i ? "+" : "", (long long)f->parts[i].id);
    if (f->merge) ts_buf_puts(&name, "-merged");
    char *dir = ts_path_join(f->layer.app->folder, "exports"), *path = ts_path_join(dir, name.data);
    for (int i = 2; i < 100 && ts_file_exists(path); i++) {
        free(path);
        path = ts_printf("%s/%s-%d", dir, name.data, i);
    }
    free(dir);
    ts_buf_release(&name);
    return path;
}

void ts_adapters_form_open(ts_app *app, const ts_run_view *const *runs, size_t n, bool merge) {
    struct adapters_form *f = ts_calloc(1, sizeof *f);
    f->layer.ops = &adapters_ops;
    f->layer.app = app;
    f->merge = merge;
    for (size_t i = 0; i < n && i < TS_RUNS_CHOSEN; i++)
        add_part(f, runs[i], n);
    f->model = ts_form_add(&f->form, (ts_form_field){.label = "model"}, f->parts[0].base);
    if (merge) {
        f->type = ts_form_add(&f->form, (ts_form_field){.label = "type", .empty = "the model's own"}, "");
    } else {
        f->how = ts_form_add(&f->form, (ts_form_field){.label = "how", .choices = ts_combine_names}, "");
        f->rank = ts_form_add(&f->form, (ts_form_field){.label = "rank", .empty = "svd only"}, "");
    }
    char *out = free_name(f);
    f->out = ts_form_add(&f->form, (ts_form_field){.label = "into"}, out);
    free(out);
    f->then = ts_form_add(&f->form, (ts_form_field){.label = "then", .choices = afterwards}, "");
    f->start = ts_form_add(&f->form, (ts_form_field){.label = "Start", .button = true}, "");
    f->leave = ts_form_add(&f->form, (ts_form_field){.label = "Leave", .button = true}, "");
    if (!merge) f->form.focus = f->parts[0].weight;
    ts_layer_push(app, &f->layer);
}
