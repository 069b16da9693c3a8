/* The train form: every setting that matters, what the run would be, and the command line that does the same. What it
 * would be (examples, tokens, steps, parameters) is counted by a job with the model's own tokenizer, again after every
 * change that matters. Time tries a step of it here. Start makes the run folder and a detached process that trains it.
 * Where there is no room for all fields, those around the one that is typed in are shown. */
#include "core/base/clock.h"
#include "core/base/json.h"
#include "eval/plan_check.h"
#include "tui/form.h"
#include "tui/row.h"
#include "tui/runs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_PLAN = 3, COLUMNS = 3 };

static const char *const methods[] = {"lora", "qlora", "full", NULL};
static const char *const presets[] = {"none", "style", "hundreds", "thousands", NULL};
static const char *const schedules[] = {"cosine", "linear", "constant", "wsd", NULL};

/* One row: the field of the form and the option of `train` it is. */
static const struct setting {
    const char *label, *option, *key;
    const char *const *choices;
    bool whole_row;
    const char *empty;
} settings[] = {
    {"rows", "where", "where", NULL, true, NULL},
    {"model", NULL, "model", NULL, true, NULL},
    {"template", "template", "template", NULL, true, "the model's own"},
    {"preset", "preset", "preset", presets, true, NULL},
    {"targets", "target-modules", "target_modules", NULL, true, NULL},
    {"rank r", "r", "r", NULL, false, NULL},
    {"alpha", "lora-alpha", "lora_alpha", NULL, false, NULL},
    {"dropout", "lora-dropout", "lora_dropout", NULL, false, NULL},
    {"epochs", "epochs", "epochs", NULL, false, NULL},
    {"steps", "max-steps", "max_steps", NULL, false, NULL},
    {"batch", "batch-size", "batch_size", NULL, false, NULL},
    {"rate", "learning-rate", "learning_rate", NULL, false, NULL},
    {"schedule", "schedule", "schedule", schedules, false, NULL},
    {"warm-up", "warmup-ratio", "warmup_ratio", NULL, false, NULL},
    {"length", "max-length", "max_length", NULL, false, NULL},
    {"held out", "valid", "valid_fraction", NULL, false, NULL},
    {"seed", "seed", "seed", NULL, false, NULL},
    {"method", "method", "method", methods, false, NULL},
    {"LoRA+ x", "loraplus-lr-ratio", "loraplus_lr_ratio", NULL, false, NULL},
    {"noise", "neftune-noise-alpha", "neftune_noise_alpha", NULL, false, NULL},
    {"samples", "sample-prompts", "sample_prompts", NULL, false, "a file"},
    {"every", "sample-every", "sample_every", NULL, false, NULL},
    {"general", "general", "general", NULL, false, "a file"},
    {"replay", "replay", "replay", NULL, false, "a file"},
    {"share", "replay-fraction", "replay_fraction", NULL, false, NULL},
    {"KL x", "kl-weight", "kl_weight", NULL, false, NULL},
    {"L2 x", "l2-delta", "l2_delta", NULL, false, NULL},
    {"EWC x", "ewc-lambda", "ewc_lambda", NULL, false, NULL},
    {"EWC rows", "ewc-data", "ewc_data", NULL, false, "a file"},
};
enum { SETTINGS = sizeof settings / sizeof *settings, START = SETTINGS, CANCEL, TIME, WHERE = 0, PRESET = 3 };
static const char accepted[] = "status=accepted";

struct train_form {
    ts_layer layer;
    ts_form form;
    char *like;      /* folder of the run whose other settings are taken over; NULL: the defaults */
    double plan_at;  /* when to count: a moment after the last change; 0: not */
    unsigned number; /* of the count that belongs to what stands in the form */
    bool planned, starting;
    bool timed;       /* the plan's time comes from a step that was tried */
    bool from_filter; /* `where` is Browse's filter, and nobody has typed another since */
    ts_train_plan plan;
    char warning[500]; /* the gravest one, and how many more there are; "" */
    int64_t n_valid;
    char problem[600];
};

/* The form's settings as typed; the caller releases. */
static ts_status typed_settings(const struct train_form *t, ts_run_settings *s, ts_err *err) {
    ts_status status = TS_OK;
    if (!t->like || ts_run_settings_read(t->like, s, err) != TS_OK) ts_run_settings_init(s);
    ts_run_set(&s->kernel, "");
    for (int i = 0; i < SETTINGS && status == TS_OK; i++) {
        const char *value = ts_form_value(&t->form, (size_t)i);
        if (!settings[i].option)
            ts_run_set(&s->model, value);
        else if (*value)
            status = ts_run_settings_set(s, settings[i].option, value, err);
        else if (settings[i].empty)
            status = ts_run_settings_set(s, settings[i].option, "", err); /* whatever workspace and other run say */
    }
    if (!(s->ewc_lambda > 0)) ts_run_set(&s->ewc_form, "adapter"); /* another run's form has nothing to weigh */
    if (s->ewc_lambda > 0 && !(s->init_adapter && *s->init_adapter)) ts_run_set(&s->ewc_form, "base");
    if (status == TS_OK && !(s->model && *s->model))
        status =
            ts_fail(err, TS_INVALID, "Which model? A name in the models folder, a GGUF file or a Hugging Face folder.");
    return status;
}

/* The same, checked: "auto" and other words have become what they stand for. */
static ts_status read_settings(const struct train_form *t, ts_run_settings *s, ts_err *err) {
    ts_status status = typed_settings(t, s, err);
    return status == TS_OK ? ts_run_settings_check(s, err) : status;
}

/* ---- counting ---- */

struct plan_job {
    ts_job job;
    ts_app *app;
    unsigned number;
    ts_run_settings settings;
    ts_train_plan plan;
    ts_names warnings;
    int64_t n_train, n_valid;
    bool timed;
};

/* The form that is open, if it is one; a job that comes back late finds another or none. */
static struct train_form *form_of(ts_app *app);

/* From a step that is tried, on all rows: some of them will be held out. */
static ts_status try_step(struct plan_job *p, const char *dir, ts_err *err) {
    ts_progress *progress = &p->job.progress;
    char *all = ts_path_join(dir, "all.jsonl");
    ts_status status = ts_runs_export_all(p->app->folder, p->settings.where, all, progress, err);
    if (status == TS_OK)
        status = ts_train_plan_time(&p->settings, all, p->settings.valid_fraction, progress, &p->plan, err);
    free(all);
    return status;
}

static void plan_run(ts_job *job) {
    struct plan_job *p = (struct plan_job *)job;
    const char *tmp = getenv("TMPDIR");
    char *dir = ts_printf("%s/tunesmith-plan-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        job->status = ts_fail_errno(&job->err, "cannot make a folder for counting in %s", tmp ? tmp : "/tmp");
        free(dir);
        return;
    }
    char *train = ts_path_join(dir, "train.jsonl"), *valid = ts_path_join(dir, "valid.jsonl");
    job->status = ts_runs_export(p->app->folder, &p->settings, true, train, valid, &p->n_train, &p->n_valid,
                                 &job->progress, &job->err);
    if (job->status == TS_OK)
        job->status = ts_train_plan_make(&p->settings, train, &job->progress, &p->plan, &job->err);
    ts_plan_data data = {.train = train, .valid = p->n_valid > 0 ? valid : NULL};
    if (job->status == TS_OK) job->status = ts_plan_check(&p->settings, &p->plan, &data, &p->warnings, &job->err);
    if (job->status == TS_OK && p->timed)
        job->status = try_step(p, dir, &job->err);
    else if (job->status == TS_OK)
        ts_runs_plan_time(p->app->folder, &p->settings, &p->plan);
    ts_err ignored;
    if (ts_remove_tree(dir, &ignored) != TS_OK && job->status == TS_OK)
        job->status = ts_fail(&job->err, TS_IO, "%s", ignored.text);
    free(train);
    free(valid);
    free(dir);
}

static void start_plan(struct train_form *t, bool timed);

/* Browse still shows the rows of "status=new" after all of them were accepted, and no row answers that filter: the
 * accepted rows are meant. False if the count ended otherwise. */
static bool took_accepted(struct train_form *t, const struct plan_job *p) {
    if (!t->from_filter || p->job.status != TS_NOT_FOUND || p->n_train) return false;
    t->from_filter = false;
    ts_form_set(&t->form, WHERE, accepted);
    start_plan(t, false);
    return true;
}

static void tell_warnings(struct train_form *t, const ts_names *w) {
    char more[64] = "";
    if (w->n > 1) snprintf(more, sizeof more, "  (%zu more: tunesmith plan)", w->n - 1);
    snprintf(t->warning, sizeof t->warning, "%s%s", w->n ? w->items[0] : "", more);
}

static void plan_done(ts_job *job) {
    struct plan_job *p = (struct plan_job *)job;
    struct train_form *t = form_of(p->app);
    bool current = t && t->number == p->number && job->status != TS_CANCELLED;
    if (current && !took_accepted(t, p)) {
        t->planned = job->status == TS_OK;
        t->plan = p->plan;
        t->timed = p->timed;
        tell_warnings(t, &p->warnings);
        t->n_valid = p->n_valid;
        snprintf(t->problem, sizeof t->problem, "%s", job->status == TS_OK ? "" : job->err.text);
    }
    ts_names_release(&p->warnings);
    ts_run_settings_release(&p->settings);
    free(p);
}

static void start_plan(struct train_form *t, bool timed) {
    ts_err err;
    struct plan_job *p = ts_calloc(1, sizeof *p);
    t->plan_at = 0;
    t->planned = false;
    ts_queue_cancel(t->layer.app->jobs, KIND_PLAN);
    p->job = (ts_job){.title = timed ? "trying a step" : "counting tokens", .kind = KIND_PLAN};
    p->job.run = plan_run;
    p->job.done = plan_done;
    p->app = t->layer.app;
    p->timed = t->timed = timed;
    p->number = ++t->number;
    if (read_settings(t, &p->settings, &err) != TS_OK) {
        snprintf(t->problem, sizeof t->problem, "%s", err.text);
        ts_run_settings_release(&p->settings);
        free(p);
        return;
    }
    t->problem[0] = 0;
    ts_queue_push(t->layer.app->jobs, &p->job);
}

/* ---- starting ---- */

struct start_job {
    ts_job job;
    ts_app *app;
    ts_run_settings settings;
    int64_t id;
    size_t number; /* in the queue; 0: it trains */
    char *dir;
};

static void start_run(ts_job *job) {
    struct start_job *s = (struct start_job *)job;
    job->status = ts_runs_create_from(s->app->folder, NULL, &s->settings, &s->id, &s->dir, &job->progress, &job->err);
    if (job->status == TS_OK) job->status = ts_runs_begin(s->app->folder, s->dir, &s->number, &job->err);
}

static void start_done(ts_job *job) {
    struct start_job *s = (struct start_job *)job;
    struct train_form *t = form_of(s->app);
    if (t) t->starting = false;
    if (job->status == TS_OK) {
        if (t) t->layer.closed = true;
        if (s->number)
            ts_app_say(s->app, TS_R_OK, "another run trains: run %lld waits as number %zu of the queue",
                       (long long)s->id, s->number);
        else
            ts_app_say(s->app, TS_R_OK, "run %lld trains; it goes on when you quit", (long long)s->id);
        ts_runs_screen_show(s->app, s->id);
    } else {
        ts_app_say(s->app, TS_R_ERROR, "%s", job->err.text);
        if (t) snprintf(t->problem, sizeof t->problem, "%s", job->err.text);
    }
    ts_run_settings_release(&s->settings);
    free(s->dir);
    free(s);
}

static void start(struct train_form *t) {
    ts_err err;
    struct start_job *s = ts_calloc(1, sizeof *s);
    s->job = (ts_job){.title = "starting the run", .run = start_run, .done = start_done};
    s->app = t->layer.app;
    if (read_settings(t, &s->settings, &err) != TS_OK) {
        snprintf(t->problem, sizeof t->problem, "%s", err.text);
        ts_run_settings_release(&s->settings);
        free(s);
        return;
    }
    ts_queue_cancel(s->app->jobs, KIND_PLAN);
    t->starting = true;
    t->problem[0] = 0;
    ts_queue_push(s->app->jobs, &s->job);
}

/* ---- the layer ---- */

static size_t field_of(const char *option) {
    size_t k = 0;
    while (k < SETTINGS && (!settings[k].option || strcmp(settings[k].option, option) != 0))
        k++;
    return k;
}

/* What a preset sets for the method is shown in the fields, and may be changed there. */
static void take_preset(struct train_form *t) {
    const char *options[8][2];
    ts_run_settings s;
    const ts_preset *preset = ts_preset_named(ts_form_value(&t->form, PRESET));
    if (!preset) return;
    ts_run_settings_init(&s);
    ts_run_set(&s.method, ts_form_value(&t->form, field_of("method")));
    size_t n = ts_preset_options(preset, &s, options);
    for (size_t i = 0; i < n; i++)
        if (field_of(options[i][0]) < SETTINGS) ts_form_set(&t->form, field_of(options[i][0]), options[i][1]);
    ts_run_settings_release(&s);
}

static bool train_input(ts_layer *l, const ts_input *in) {
    struct train_form *t = (struct train_form *)l;
    if (t->starting) return true;
    if (in->kind == TS_IN_KEY && (in->key == TS_KEY_ESC || in->key == TS_CTRL('C'))) {
        l->closed = true;
        return true;
    }
    if (in->kind == TS_IN_KEY && in->key == TS_CTRL('S')) {
        start(t);
        return true;
    }
    switch (ts_form_input(&t->form, in)) {
    case TS_FORM_CHANGED:
        if (t->form.focus == WHERE) t->from_filter = false;
        if (t->form.focus == PRESET) take_preset(t);
        t->planned = false;
        t->number++;
        t->plan_at = ts_now() + 0.4;
        break;
    case TS_FORM_PRESSED:
        if (t->form.focus == START) start(t);
        if (t->form.focus == CANCEL) l->closed = true;
        if (t->form.focus == TIME) start_plan(t, true);
        break;
    default:
        break;
    }
    return true;
}

static void train_tick(ts_layer *l, double now) {
    struct train_form *t = (struct train_form *)l;
    if (t->plan_at == 0 || now < t->plan_at) return;
    start_plan(t, false);
    l->app->dirty = true;
}

/* The rows of fields around the one that is typed in; those without room are not drawn. Returns how many are. */
static int scroll_fields(struct train_form *t, int rows, int room) {
    int at = t->form.focus < SETTINGS ? t->form.fields[t->form.focus].y : 0, top = TS_MAX(at - room + 1, 0);
    for (int i = 0; i < SETTINGS; i++) {
        int y = t->form.fields[i].y - top;
        t->form.fields[i].y = y < room ? TS_MAX(y, -1) : -1;
    }
    return TS_MIN(rows, room);
}

static void place_fields(struct train_form *t, int inner, int room) {
    static const int at[] = {0, 12, 24};
    int step = inner / COLUMNS, y = 0, column = 0;
    for (int i = 0; i < SETTINGS; i++) {
        ts_form_field *f = &t->form.fields[i];
        f->label_width = 9;
        if (settings[i].whole_row) {
            f->x = 0;
            f->width = inner - 9;
            f->y = y++;
            continue;
        }
        f->x = column * step;
        f->y = y;
        f->width = step - 10;
        column = (column + 1) % COLUMNS;
        if (column == 0) y++;
    }
    y = scroll_fields(t, y + (column > 0), room);
    for (int i = START; i <= TIME; i++) {
        t->form.fields[i].x = at[i - START];
        t->form.fields[i].y = y;
        t->form.fields[i].width = 12;
    }
}

static const char *plan_time(const ts_train_plan *p, bool timed, char out[80]) {
    char spent[32];
    if (!isfinite(p->seconds)) return "time not known before the first run here";
    ts_format_duration(p->seconds, spent);
    snprintf(out, 80, timed ? "about %s by a step tried here" : "about %s at the rate of the run before", spent);
    return out;
}

static void draw_plan(const struct train_form *t, ts_canvas *c, ts_rect r) {
    const ts_train_plan *p = &t->plan;
    char n[5][32], time[80];
    int y = r.y;
    if (*t->problem) {
        ts_doc d = ts_doc_new(&t->layer.app->frame, r.w);
        size_t scroll = 0;
        ts_doc_text(&d, 0, TS_R_ERROR, t->problem, strlen(t->problem), NULL, TS_R_ERROR);
        ts_doc_draw(&d, c, (ts_rect){r.x, y, r.w, TS_MIN(4, r.h)}, &scroll);
        ts_doc_release(&d);
        return;
    }
    if (!t->planned) {
        const char *what = t->starting ? "starting" : t->timed ? "trying a step" : "counting examples and tokens";
        ts_put(c, r.x, y, r.w, TS_R_DIM, what);
        return;
    }
    ts_putf(c, r.x, y++, r.w, TS_R_TEXT, "%s examples, %s held out   %s tokens, %s of them learnt   %s steps",
            ts_thousands(p->examples, n[0]), ts_thousands(t->n_valid, n[1]), ts_thousands(p->tokens, n[2]),
            ts_thousands(p->supervised_tokens, n[3]), ts_thousands(p->steps, n[4]));
    ts_putf(c, r.x, y++, r.w, TS_R_TEXT, "trainable params: %s || all params: %s || trainable%%: %.4f",
            ts_thousands(p->trainable_params, n[0]), ts_thousands(p->all_params, n[1]),
            p->all_params ? 100.0 * (double)p->trainable_params / (double)p->all_params : 0.0);
    ts_putf(c, r.x, y++, r.w, TS_R_TEXT, "about %.2f GB of memory, %s", (double)p->memory_bytes / 1e9,
            plan_time(p, t->timed, time));
    if (!*t->warning) return;
    ts_doc d = ts_doc_new(&t->layer.app->frame, r.w);
    size_t scroll = 0;
    ts_doc_text(&d, 0, TS_R_WARN, t->warning, strlen(t->warning), NULL, TS_R_WARN);
    ts_doc_draw(&d, c, (ts_rect){r.x, y, r.w, 2}, &scroll);
    ts_doc_release(&d);
}

static void draw_command(const struct train_form *t, ts_canvas *c, ts_rect r) {
    ts_run_settings s;
    ts_err err;
    size_t scroll = 0;
    if (r.h < 2) return;
    ts_put(c, r.x, r.y, r.w, TS_R_LABEL, "the same on the command line");
    if (typed_settings(t, &s, &err) == TS_OK) {
        ts_buf b = TS_BUF_INIT;
        ts_run_settings_command(&s, &b);
        ts_buf folder = TS_BUF_INIT;
        ts_buf_shell_word(&folder, t->layer.app->folder);
        char *line = ts_arena_printf(&t->layer.app->frame, "tunesmith train %s%s%s", folder.data,
                                     b.len && b.data[0] != ' ' ? " " : "", ts_buf_str(&b));
        ts_buf_release(&folder);
        ts_doc d = ts_doc_new(&t->layer.app->frame, r.w - 2);
        ts_doc_text(&d, 2, TS_R_DIM, line, strlen(line), NULL, TS_R_DIM);
        ts_doc_draw(&d, c, (ts_rect){r.x, r.y + 1, r.w, r.h - 1}, &scroll);
        ts_doc_release(&d);
        ts_buf_release(&b);
    }
    ts_run_settings_release(&s);
}

static void train_draw(ts_layer *l, ts_canvas *c) {
    struct train_form *t = (struct train_form *)l;
    bool tall = c->h >= 26; /* room for a line between the parts */
    ts_rect r = {.w = TS_MIN(c->w, 84), .h = TS_MIN(c->h, tall ? 24 : 22)};
    r.x = (c->w - r.w) / 2;
    r.y = (c->h - r.h) / 2;
    ts_box(c, r, "Train a LoRA adapter");
    place_fields(t, r.w - 6, r.h - 4);
    ts_form_draw(&t->form, c, r.x + 3, r.y + 1);
    int below = r.y + 1 + t->form.fields[START].y;
    ts_put_right(c, r.x + 38, below, r.w - 41, TS_R_DIM, "Tab next field  ^S start  Esc leave");
    const ts_preset *preset = ts_preset_named(ts_form_value(&t->form, PRESET));
    if (preset && t->form.fields[PRESET].y >= 0)
        ts_put(c, r.x + 29, r.y + 1 + t->form.fields[PRESET].y, r.w - 32, TS_R_DIM, preset->purpose);
    int plan = below + 1 + tall, command = plan + 4 + tall, end = r.y + r.h - 1;
    draw_plan(t, c, (ts_rect){r.x + 3, plan, r.w - 6, TS_MAX(TS_MIN(end - plan, 4), 0)});
    draw_command(t, c, (ts_rect){r.x + 3, command, r.w - 6, end - command});
}

static void train_free(ts_layer *l) {
    struct train_form *t = (struct train_form *)l;
    ts_queue_cancel(l->app->jobs, KIND_PLAN);
    ts_form_release(&t->form);
    free(t->like);
    free(t);
}

static const ts_layer_ops train_ops = {
    .input = train_input, .draw = train_draw, .free = train_free, .tick = train_tick};

static struct train_form *form_of(ts_app *app) {
    for (ts_layer *l = app->layers; l; l = l->below)
        if (l->ops == &train_ops) return (struct train_form *)l;
    return NULL;
}

static void fill(struct train_form *t, const ts_run_settings *s) {
    ts_buf json = TS_BUF_INIT, value = TS_BUF_INIT;
    ts_run_settings_write(s, &json);
    ts_json *root = ts_json_parse(json.data, json.len, NULL);
    for (int i = 0; i < SETTINGS; i++) {
        const ts_json *v = ts_json_get(root, settings[i].key);
        ts_buf_reset(&value);
        if (ts_json_is_string(v))
            ts_buf_puts(&value, ts_json_str(v, ""));
        else if (v && !ts_json_is_null(v))
            ts_json_print(v, &value);
        ts_form_field field = {.label = settings[i].label, .choices = settings[i].choices, .empty = settings[i].empty};
        ts_form_add(&t->form, field, ts_buf_str(&value));
    }
    ts_json_free(root);
    ts_buf_release(&json);
    ts_buf_release(&value);
}

/* The settings of the run folder `like`, or the defaults with the workspace's model and template. */
static void first_settings(ts_app *app, ts_run_settings *s, const char *where, const char *like) {
    ts_buf model = TS_BUF_INIT, template = TS_BUF_INIT;
    ts_err err;
    if (!like || ts_run_settings_read(like, s, &err) != TS_OK) {
        ts_run_settings_init(s);
        if (ts_setting_get(app->reader, "model", &model)) ts_run_set(&s->model, model.data);
        if (ts_setting_get(app->reader, "template", &template)) ts_run_set(&s->template, template.data);
    }
    if (where && *where)
        ts_run_set(&s->where, where);
    else if (!like)
        ts_run_set(&s->where, accepted);
    if (!s->model) ts_run_set(&s->model, "");
    ts_buf_release(&model);
    ts_buf_release(&template);
}

void ts_train_form_open(ts_app *app, const char *where, const char *like) {
    static unsigned last_number; /* a late count never meets a younger form's number */
    struct train_form *t = ts_calloc(1, sizeof *t);
    ts_run_settings s = {0};
    t->layer.ops = &train_ops;
    t->like = like ? ts_strdup(like) : NULL;
    t->from_filter = !like && where && *where;
    first_settings(app, &s, where, like);
    fill(t, &s);
    ts_run_settings_release(&s);
    ts_form_add(&t->form, (ts_form_field){.label = "Start", .button = true}, "");
    ts_form_add(&t->form, (ts_form_field){.label = "Leave", .button = true}, "");
    ts_form_add(&t->form, (ts_form_field){.label = "Time", .button = true}, "");
    t->form.focus = *ts_form_value(&t->form, 1) ? START : 1;
    t->number = last_number += 1000;
    ts_layer_push(app, &t->layer);
    start_plan(t, false);
}
