/* A form: fields in a box, Tab from one to the next, text typed, choices turned with Left and Right. The owner draws
 * the box and whatever else stands in it. */
#ifndef TS_TUI_FORM_H
#define TS_TUI_FORM_H

#include "tui/editor.h"

typedef struct ts_form_field {
    const char *label;
    int x, y, label_width, width; /* relative to the form's place; y below 0: there is no room for it now */
    const char *const *choices;   /* ends with NULL; NULL: text */
    const char *empty;            /* what nothing typed means, shown in its place; NULL: nothing is shown */
    bool button;                  /* Enter on it is the form's business */
    ts_editor editor;
    size_t choice;
} ts_form_field;

typedef struct ts_form {
    ts_form_field *fields;
    size_t n, cap, focus;
} ts_form;

size_t ts_form_add(ts_form *f, ts_form_field field, const char *value);
void ts_form_release(ts_form *f);
const char *ts_form_value(const ts_form *f, size_t field); /* borrowed until the next key */
void ts_form_set(ts_form *f, size_t field, const char *value);

typedef enum ts_form_answer { TS_FORM_NOTHING, TS_FORM_MOVED, TS_FORM_CHANGED, TS_FORM_PRESSED } ts_form_answer;
/* PRESSED: Enter on a button (f->focus says which). NOTHING: not a key of the form's. */
ts_form_answer ts_form_input(ts_form *f, const ts_input *in);
void ts_form_draw(ts_form *f, ts_canvas *c, int x, int y);

#endif
