/* Prompting, retrieval, fine-tuning or a mix: the questions as a form, filled in where the workspace can tell, and what
 * the answers come to, at once. */
#include "eval/advise.h"
#include "tui/app.h"
#include "tui/form.h"

#include <stdlib.h>
#include <string.h>

struct advise_form {
    ts_layer layer;
    ts_form form;
    const char *choices[TS_QUESTION_COUNT][TS_CHOICES + 2]; /* "?" first */
    ts_advise advise;
    ts_buf text;
    size_t scroll;
};

struct advise_job {
    ts_job job;
    ts_app *app;
    ts_advise advise;
};

/* Every answer turned says so itself; what was measured and not touched stays measured. */
static void take_answers(struct advise_form *f) {
    for (int q = 0; q < TS_QUESTION_COUNT; q++) {
        int now = (int)f->form.fields[q].choice - 1;
        if (now == f->advise.answers[q]) continue;
        f->advise.answers[q] = now;
        f->advise.measured[q] = false;
    }
    ts_buf_reset(&f->text);
    ts_advise_write_text(&f->advise, &f->text);
}

static bool advise_input(ts_layer *l, const ts_input *in) {
    struct advise_form *f = (struct advise_form *)l;
    bool key = in->kind == TS_IN_KEY;
    if (key && (in->key == TS_KEY_ESC || in->key == 'q' || in->key == TS_CTRL('C'))) {
        l->closed = true;
    } else if (key && in->key == TS_KEY_PGDN) {
        f->scroll += 4;
    } else if (key && in->key == TS_KEY_PGUP) {
        f->scroll -= TS_MIN(f->scroll, (size_t)4);
    } else if (in->kind == TS_IN_WHEEL) {
        f->scroll = in->delta > 0 || f->scroll > 0 ? f->scroll + (size_t)(in->delta > 0 ? 1 : -1) : 0;
    } else if (ts_form_input(&f->form, in) == TS_FORM_CHANGED) {
        take_answers(f);
        f->scroll = 0;
    }
    return true;
}

static void advise_draw(ts_layer *l, ts_canvas *c) {
    struct advise_form *f = (struct advise_form *)l;
    ts_rect r = {0, 1, c->w, c->h - 2};
    ts_box(c, r, "Prompting, retrieval or fine-tuning?");
    for (int q = 0; q < TS_QUESTION_COUNT; q++) {
        ts_form_field *at = &f->form.fields[q];
        at->y = q;
        at->label_width = 21;
        at->width = 14;
    }
    ts_form_draw(&f->form, c, r.x + 2, r.y + 1);
    int x = c->cursor_x, y = c->cursor_y, right = r.x + 40;
    for (int q = 0; q < TS_QUESTION_COUNT; q++) {
        const char *words = f->form.focus == (size_t)q ? ts_questions[q].ask
                            : f->advise.measured[q]    ? f->advise.evidence[q]
                                                       : "";
        ts_put(c, right, r.y + 1 + q, r.x + r.w - 2 - right, f->form.focus == (size_t)q ? TS_R_TEXT : TS_R_DIM, words);
    }
    ts_hline(c, r.x + 1, r.y + 1 + TS_QUESTION_COUNT, r.w - 2);
    ts_rect below = {r.x + 2, r.y + 2 + TS_QUESTION_COUNT, r.w - 4, r.h - 3 - TS_QUESTION_COUNT};
    ts_doc d = ts_doc_new(&l->app->frame, below.w);
    ts_doc_text(&d, 0, TS_R_TEXT, f->text.data, f->text.len, NULL, TS_R_TEXT);
    ts_doc_draw(&d, c, below, &f->scroll);
    ts_doc_release(&d);
    ts_put(c, r.x + 3, r.y + r.h - 1, r.w - 6, TS_R_DIM, " Left Right answer   Down next   PgDn more   Esc ");
    ts_cursor(c, x, y);
}

static void advise_free(ts_layer *l) {
    struct advise_form *f = (struct advise_form *)l;
    ts_form_release(&f->form);
    ts_buf_release(&f->text);
    free(f);
}

static const ts_layer_ops advise_ops = {.input = advise_input, .draw = advise_draw, .free = advise_free};

static void open_form(ts_app *app, const ts_advise *advise) {
    struct advise_form *f = ts_calloc(1, sizeof *f);
    f->layer.ops = &advise_ops;
    f->advise = *advise;
    for (int q = 0; q < TS_QUESTION_COUNT; q++) {
        f->choices[q][0] = "?";
        for (int k = 0; k < TS_CHOICES; k++)
            f->choices[q][k + 1] = ts_questions[q].choices[k].name;
        ts_form_add(&f->form, (ts_form_field){.label = ts_questions[q].label, .choices = f->choices[q]},
                    f->choices[q][advise->answers[q] + 1]);
    }
    ts_advise_write_text(&f->advise, &f->text);
    ts_layer_push(app, &f->layer);
}

static void measure_run(ts_job *job) {
    struct advise_job *k = (struct advise_job *)job;
    job->status = ts_advise_measure(&k->advise, k->app->folder, &job->progress, &job->err);
}

static void measure_done(ts_job *job) {
    struct advise_job *k = (struct advise_job *)job;
    if (job->status == TS_OK)
        open_form(k->app, &k->advise);
    else
        ts_app_say(k->app, job->status == TS_CANCELLED ? TS_R_WARN : TS_R_ERROR, "%s", job->err.text);
    free(k);
}

void ts_advise_open(ts_app *app) {
    struct advise_job *k = ts_calloc(1, sizeof *k);
    k->job = (ts_job){.title = "measuring", .run = measure_run, .done = measure_done};
    k->app = app;
    ts_advise_init(&k->advise);
    ts_queue_push(app->jobs, &k->job);
}
