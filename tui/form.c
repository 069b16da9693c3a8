#include "tui/form.h"

#include <stdlib.h>
#include <string.h>

size_t ts_form_add(ts_form *f, ts_form_field field, const char *value) {
    ts_editor_init(&field.editor, value, strlen(value), true);
    TS_PUSH(f->fields, f->n, f->cap, field);
    if (field.choices) ts_form_set(f, f->n - 1, value);
    return f->n - 1;
}

void ts_form_release(ts_form *f) {
    for (size_t i = 0; i < f->n; i++)
        ts_editor_release(&f->fields[i].editor);
    free(f->fields);
    *f = (ts_form){0};
}

const char *ts_form_value(const ts_form *f, size_t field) {
    const ts_form_field *at = &f->fields[field];
    return at->choices ? at->choices[at->choice] : ts_buf_str(&at->editor.text);
}

void ts_form_set(ts_form *f, size_t field, const char *value) {
    ts_form_field *at = &f->fields[field];
    if (!at->choices) ts_editor_set(&at->editor, value, strlen(value));
    for (size_t i = 0; at->choices && at->choices[i]; i++)
        if (strcmp(at->choices[i], value) == 0) at->choice = i;
}

static ts_form_answer move(ts_form *f, size_t by) {
    f->focus = (f->focus + by) % f->n;
    return TS_FORM_MOVED;
}

static ts_form_answer turn(ts_form_field *at, int by) {
    size_t n = 0;
    while (at->choices[n])
        n++;
    at->choice = (at->choice + n + (size_t)(by + (int)n)) % n;
    return TS_FORM_CHANGED;
}

ts_form_answer ts_form_input(ts_form *f, const ts_input *in) {
    ts_form_field *at = &f->fields[f->focus];
    if (in->kind == TS_IN_PASTE && !at->choices && !at->button) {
        ts_editor_paste(&at->editor, in->text, in->n);
        return TS_FORM_CHANGED;
    }
    if (in->kind != TS_IN_KEY) return TS_FORM_NOTHING;
    switch (in->key) {
    case TS_KEY_TAB:
    case TS_KEY_DOWN:
        return move(f, 1);
    case TS_KEY_BACKTAB:
    case TS_KEY_UP:
        return move(f, f->n - 1);
    case TS_KEY_ENTER:
        return at->button ? TS_FORM_PRESSED : move(f, 1);
    default:
        break;
    }
    if (at->button) return TS_FORM_NOTHING;
    if (at->choices) {
        if (in->key == TS_KEY_LEFT) return turn(at, -1);
        return in->key == TS_KEY_RIGHT || in->key == ' ' ? turn(at, 1) : TS_FORM_NOTHING;
    }
    if (in->key == 31) return ts_editor_undo(&at->editor) ? TS_FORM_CHANGED : TS_FORM_MOVED;
    return ts_editor_key(&at->editor, in->key) ? TS_FORM_CHANGED : TS_FORM_NOTHING;
}

static void draw_field(ts_form_field *at, ts_canvas *c, int x, int y, bool on) {
    if (at->button) {
        ts_putf(c, x, y, at->width, on ? TS_R_FIELD_ON : TS_R_STRONG, "[ %s ]", at->label);
        if (on) ts_cursor(c, x + 2, y);
        return;
    }
    ts_put(c, x, y, at->label_width - 1, on ? TS_R_TITLE : TS_R_LABEL, at->label);
    x += at->label_width;
    if (at->choices) {
        ts_putf(c, x, y, at->width, on ? TS_R_FIELD_ON : TS_R_TEXT, "<%s>", at->choices[at->choice]);
        if (on) ts_cursor(c, x, y);
        return;
    }
    ts_editor_draw(&at->editor, c, (ts_rect){x, y, at->width, 1}, on ? TS_R_FIELD_ON : TS_R_FIELD, on);
    if (at->empty && !at->editor.text.len) ts_put(c, x, y, at->width, TS_R_DIM, at->empty);
}

void ts_form_draw(ts_form *f, ts_canvas *c, int x, int y) {
    for (size_t i = 0; i < f->n; i++)
        if (f->fields[i].y >= 0) draw_field(&f->fields[i], c, x + f->fields[i].x, y + f->fields[i].y, i == f->focus);
}
