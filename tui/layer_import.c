/* Importing a file: what it is, what happens to rows that are known and to what was read when it is stopped; the result
 * with its reasons, from which the rejected rows are looked at or the known ones taken out again. */
#include "core/base/file.h"
#include "dataset/formats.h"
#include "dataset/import.h"
#include "tui/app.h"
#include "tui/form.h"
#include "tui/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the job ---- */

struct import_job {
    ts_job job;
    ts_app *app;
    char *path, *format;
    bool skip_known, keep_read;
    int64_t take_back; /* the step of the import that this one replaces; 0 */
    ts_import_file file;
    ts_done done;
};

/* What the result's answers are about. One import is asked about at a time. */
static struct {
    char *path, *format;
    int64_t step;
    bool keep_read;
} latest;

static void free_job(struct import_job *k) {
    free(k->path);
    free(k->format);
    free(k);
}

static void import_run(ts_job *job) {
    struct import_job *k = (struct import_job *)job;
    const char *path = k->path;
    ts_import_options o = {.format = k->format, .skip_known = k->skip_known, .keep_read = k->keep_read};
    if (k->take_back) job->status = ts_undo(k->app->scanner, k->take_back, NULL, &job->err);
    if (job->status == TS_OK)
        job->status = ts_import(k->app->scanner, &path, 1, &o, &job->progress, &k->file, &k->done, &job->err);
}

static void push_import(ts_app *app, const char *path, const char *format, bool skip_known, bool keep_read,
                        int64_t take_back);

static void answered(ts_app *app, void *ctx, char key) {
    (void)ctx;
    if (key == 'r') ts_rejects_open(app);
    if (key == 's') push_import(app, latest.path, latest.format, true, latest.keep_read, latest.step);
}

static int64_t known_left_out(const ts_import_file *f) {
    int64_t n = 0;
    for (size_t i = 0; ts_reasons[i].code; i++)
        n += strcmp(ts_reasons[i].code, "known") == 0 ? f->reasons[i] : 0;
    return n;
}

enum { REASONS_SHOWN = 8, LINES = REASONS_SHOWN + 8 };

/* The lines of the result; returns how many. */
static size_t result_lines(const struct import_job *k, char lines[LINES][100], const char **last) {
    const ts_import_file *f = &k->file;
    char n[4][32];
    size_t at = 0, reasons = 0;
    int64_t known = known_left_out(f);
    snprintf(lines[at++], 100, "%s row%s read as %s: %s imported, %s rejected", ts_thousands(f->read, n[0]),
             f->read == 1 ? "" : "s", f->format, ts_thousands(f->imported, n[1]),
             ts_thousands(f->rejected - known, n[2]));
    if (known) snprintf(lines[at++], 100, "%s were there already and are left out.", ts_thousands(known, n[3]));
    if (f->stopped) snprintf(lines[at++], 100, "It was stopped; what was read until then is kept.");
    if (f->known && !k->skip_known)
        snprintf(lines[at++], 100, "%s of them were there before and are there twice now.",
                 ts_thousands(f->known, n[3]));
    for (size_t i = 0; ts_reasons[i].code; i++) {
        if (!f->reasons[i] || strcmp(ts_reasons[i].code, "known") == 0) continue;
        if (reasons == 0) lines[at++][0] = 0;
        if (reasons++ < REASONS_SHOWN)
            snprintf(lines[at++], 100, "%7s  %s", ts_thousands(f->reasons[i], n[0]), ts_reasons[i].sentence);
    }
    if (reasons > REASONS_SHOWN) snprintf(lines[at++], 100, "and %zu further reasons", reasons - REASONS_SHOWN);
    lines[at++][0] = 0;
    bool again = f->known && !k->skip_known, rejects = f->rejected > known;
    *last = again && rejects ? "r  rejected rows    s  again without the known ones    any other key closes"
            : again          ? "s  take it back, import without the known ones    any other key closes"
            : rejects        ? "r  the rejected rows, to put them right    any other key closes"
                             : "any key closes";
    return at;
}

static void show_result(struct import_job *k) {
    char lines[LINES][100], title[120];
    const char *shown[LINES + 2], *last;
    size_t n = result_lines(k, lines, &last);
    for (size_t i = 0; i < n; i++)
        shown[i] = lines[i];
    shown[n] = last;
    shown[n + 1] = NULL;
    free(latest.path);
    free(latest.format);
    latest.path = ts_strdup(k->path);
    latest.format = k->format ? ts_strdup(k->format) : NULL;
    latest.step = k->done.step;
    latest.keep_read = k->keep_read;
    snprintf(title, sizeof title, "Imported %.80s", ts_path_base(k->path));
    ts_dialog_open(k->app, title, shown, k->file.known && !k->skip_known ? "rs" : "r", answered, NULL);
}

/* Rows left out because they are known are no cause to ask anything. */
static bool needs_a_look(const struct import_job *k) {
    return k->file.rejected > known_left_out(&k->file) || k->file.stopped || (k->file.known && !k->skip_known);
}

static void import_done(ts_job *job) {
    struct import_job *k = (struct import_job *)job;
    ts_app *app = k->app;
    char n[2][32], known[60] = "";
    if (job->status != TS_OK) {
        ts_app_say(app, job->status == TS_CANCELLED ? TS_R_WARN : TS_R_ERROR, "%s", job->err.text);
    } else {
        if (k->file.known && k->skip_known)
            snprintf(known, sizeof known, "; %s known ones left out", ts_thousands(k->file.known, n[1]));
        ts_app_say(app, TS_R_OK, "imported %s row%s of %s%s%s", ts_thousands(k->file.imported, n[0]),
                   k->file.imported == 1 ? "" : "s", ts_path_base(k->path), known,
                   k->done.step ? "  (u takes it back)" : "");
        if (needs_a_look(k)) show_result(k);
    }
    if (job->status == TS_OK || k->take_back) ts_app_changed(app, true);
    free_job(k);
}

static void push_import(ts_app *app, const char *path, const char *format, bool skip_known, bool keep_read,
                        int64_t take_back) {
    struct import_job *k = ts_calloc(1, sizeof *k);
    k->job = (ts_job){.title = "importing", .run = import_run, .done = import_done};
    k->app = app;
    k->path = ts_strdup(path);
    k->format = format ? ts_strdup(format) : NULL;
    k->skip_known = skip_known;
    k->keep_read = keep_read;
    k->take_back = take_back;
    ts_queue_push(app->jobs, &k->job);
}

/* ---- the form ---- */

enum { FILE_FIELD, FORMAT, KNOWN, STOPPED, START, LEAVE, FIELDS };

struct import_form {
    ts_layer layer;
    ts_form form;
    const char *formats[40]; /* ends with NULL */
};

static void list_formats(struct import_form *f) {
    size_t n = 0;
    f->formats[n++] = "auto";
    for (size_t i = 0; ts_formats[i].name && n < TS_COUNT(f->formats) - 4; i++) {
        bool twice = false;
        for (size_t k = 0; k < n; k++)
            twice |= strcmp(f->formats[k], ts_formats[i].name) == 0;
        if (!twice) f->formats[n++] = ts_formats[i].name;
    }
    f->formats[n++] = "csv";
    f->formats[n++] = "tsv";
}

/* "~/x" as the shell would. */
static char *expand(const char *path) {
    const char *home = getenv("HOME");
    if (path[0] == '~' && path[1] == '/' && home) return ts_path_join(home, path + 2);
    return ts_strdup(path);
}

static void start(struct import_form *f) {
    char *path = expand(ts_form_value(&f->form, FILE_FIELD));
    const char *format = ts_form_value(&f->form, FORMAT);
    if (*path) {
        push_import(f->layer.app, path, strcmp(format, "auto") == 0 ? NULL : format, f->form.fields[KNOWN].choice == 1,
                    f->form.fields[STOPPED].choice == 1, 0);
        f->layer.closed = true;
    } else {
        ts_app_say(f->layer.app, TS_R_WARN, "which file? its path is missing");
    }
    free(path);
}

static bool import_input(ts_layer *l, const ts_input *in) {
    struct import_form *f = (struct import_form *)l;
    bool enter = in->kind == TS_IN_KEY && in->key == TS_KEY_ENTER;
    if (in->kind == TS_IN_KEY && (in->key == TS_KEY_ESC || in->key == TS_CTRL('C')))
        l->closed = true;
    else if (in->kind == TS_IN_KEY && in->key == TS_CTRL('S'))
        start(f);
    else if (enter && f->form.focus == FILE_FIELD)
        start(f);
    else if (ts_form_input(&f->form, in) == TS_FORM_PRESSED && f->form.focus == START)
        start(f);
    else if (enter && f->form.focus == LEAVE)
        l->closed = true;
    return true;
}

static void import_draw(ts_layer *l, ts_canvas *c) {
    struct import_form *f = (struct import_form *)l;
    ts_rect r = {.w = TS_MIN(c->w, 78), .h = 12};
    r.x = (c->w - r.w) / 2;
    r.y = (c->h - r.h) / 2;
    ts_box(c, r, "Import a file");
    for (size_t i = 0; i < START; i++) {
        ts_form_field *at = &f->form.fields[i];
        at->label_width = 20;
        at->width = r.w - 6 - 20;
        at->y = (int)i + (i > 0);
    }
    f->form.fields[START].y = f->form.fields[LEAVE].y = 6;
    f->form.fields[LEAVE].x = 14;
    f->form.fields[START].width = f->form.fields[LEAVE].width = 12;
    ts_form_draw(&f->form, c, r.x + 3, r.y + 1);
    ts_put(c, r.x + 3, r.y + 9, r.w - 6, TS_R_DIM, "JSON, CSV, TSV or text, also .gz");
    ts_put(c, r.x + 3, r.y + 10, r.w - 6, TS_R_DIM, "Enter imports   Tab next field   Right other choice");
}

static void import_free(ts_layer *l) {
    ts_form_release(&((struct import_form *)l)->form);
    free(l);
}

static const ts_layer_ops import_ops = {.input = import_input, .draw = import_draw, .free = import_free};

void ts_import_open(ts_app *app, const char *path) {
    static const char *const known[] = {"import them again", "leave them out", NULL};
    static const char *const stopped[] = {"nothing is kept", "what was read is kept", NULL};
    if (path) {
        char *whole = expand(path);
        push_import(app, whole, NULL, false, false, 0);
        free(whole);
        return;
    }
    struct import_form *f = ts_calloc(1, sizeof *f);
    f->layer.ops = &import_ops;
    list_formats(f);
    ts_form_add(&f->form, (ts_form_field){.label = "file", .empty = "a path; ~ is your home folder"}, "");
    ts_form_add(&f->form, (ts_form_field){.label = "format", .choices = f->formats}, "auto");
    ts_form_add(&f->form, (ts_form_field){.label = "rows known already", .choices = known}, "");
    ts_form_add(&f->form, (ts_form_field){.label = "if it is stopped", .choices = stopped}, "");
    ts_form_add(&f->form, (ts_form_field){.label = "Import", .button = true}, "");
    ts_form_add(&f->form, (ts_form_field){.label = "Leave", .button = true}, "");
    ts_layer_push(app, &f->layer);
}
