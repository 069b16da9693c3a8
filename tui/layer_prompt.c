/* The prompt in the last row, and questions answered by one key. */
#include "core/text/cells.h"
#include "tui/app.h"

#include <stdlib.h>
#include <string.h>

struct prompt {
    ts_layer layer;
    ts_prompt_options o;
    char *label, *hint;
    ts_editor editor;
    size_t at;  /* place in the history; its n: the new line */
    char *kept; /* the new line while older ones are looked at */
};

static void from_history(struct prompt *p, int by) {
    struct ts_history *h = ts_app_history(p->layer.app, p->label);
    if ((by < 0 && p->at == 0) || (by > 0 && p->at >= h->n)) return;
    if (p->at == h->n) {
        free(p->kept);
        p->kept = ts_strdup(ts_buf_str(&p->editor.text));
    }
    p->at += (size_t)by;
    const char *text = p->at == h->n ? (p->kept ? p->kept : "") : h->items[p->at];
    ts_editor_set(&p->editor, text, strlen(text));
}

static void finish(struct prompt *p) {
    char *text = ts_strdup(ts_buf_str(&p->editor.text));
    ts_history_add(ts_app_history(p->layer.app, p->label), text);
    p->layer.closed = true;
    p->o.done(p->layer.app, p->o.ctx, text);
    free(text);
}

static void give_up(struct prompt *p) {
    p->layer.closed = true;
    if (p->o.drop) p->o.drop(p->layer.app, p->o.ctx);
}

static bool prompt_input(ts_layer *l, const ts_input *in) {
    struct prompt *p = (struct prompt *)l;
    bool empty = p->editor.text.len == 0;
    if (in->kind == TS_IN_PASTE) {
        ts_editor_paste(&p->editor, in->text, in->n);
    } else if (in->kind != TS_IN_KEY) {
        return true;
    } else if (in->key == TS_KEY_ENTER) {
        finish(p);
        return true;
    } else if (in->key == TS_KEY_ESC || in->key == TS_CTRL('C') || (in->key == TS_KEY_BACKSPACE && empty)) {
        give_up(p);
        return true;
    } else if (in->key == TS_KEY_UP || in->key == TS_CTRL('P')) {
        from_history(p, -1);
    } else if (in->key == TS_KEY_DOWN || in->key == TS_CTRL('N')) {
        from_history(p, 1);
    } else if (in->key == 31) { /* ^_ */
        ts_editor_undo(&p->editor);
    } else {
        ts_editor_key(&p->editor, in->key);
    }
    if (p->o.change) p->o.change(l->app, p->o.ctx, ts_buf_str(&p->editor.text));
    return true;
}

static void prompt_draw(ts_layer *l, ts_canvas *c) {
    struct prompt *p = (struct prompt *)l;
    int y = c->h - 1, x = 1;
    ts_fill(c, (ts_rect){0, y, c->w, 1}, TS_R_TEXT);
    x += ts_put(c, x, y, c->w / 3, TS_R_KEY, p->label) + 1;
    ts_editor_draw(&p->editor, c, (ts_rect){x, y, c->w - x - 1, 1}, TS_R_TEXT, true);
    ts_fill(c, (ts_rect){0, y - 1, c->w, 1}, TS_R_TEXT);
    ts_put(c, 1, y - 1, c->w - 2, TS_R_DIM, p->hint);
}

static void prompt_free(ts_layer *l) {
    struct prompt *p = (struct prompt *)l;
    ts_editor_release(&p->editor);
    free(p->label);
    free(p->hint);
    free(p->kept);
    free(p);
}

static const ts_layer_ops prompt_ops = {.input = prompt_input, .draw = prompt_draw, .free = prompt_free};

void ts_prompt_open(ts_app *app, const ts_prompt_options *o) {
    struct prompt *p = ts_calloc(1, sizeof *p);
    p->layer.ops = &prompt_ops;
    p->o = *o;
    p->label = ts_strdup(o->label);
    p->hint = ts_strdup(o->hint ? o->hint : "Enter does it   Esc leaves   Up older lines");
    ts_editor_init(&p->editor, o->initial, o->initial ? strlen(o->initial) : 0, true);
    p->at = ts_app_history(app, o->label)->n;
    ts_layer_push(app, &p->layer);
}

/* ---- questions ---- */

struct dialog {
    ts_layer layer;
    char *title, *keys;
    char **lines;
    size_t n, cap;
    ts_answer_fn *fn;
    void *ctx;
};

static bool dialog_input(ts_layer *l, const ts_input *in) {
    struct dialog *d = (struct dialog *)l;
    if (in->kind != TS_IN_KEY) return true;
    l->closed = true;
    if (in->key > 32 && in->key < 127 && strchr(d->keys, (int)in->key)) d->fn(l->app, d->ctx, (char)in->key);
    return true;
}

static void dialog_draw(ts_layer *l, ts_canvas *c) {
    struct dialog *d = (struct dialog *)l;
    if (!d->title) {
        ts_fill(c, (ts_rect){0, c->h - 1, c->w, 1}, TS_R_TEXT);
        int used = ts_put(c, 1, c->h - 1, c->w - 2, TS_R_KEY, d->lines[0]);
        ts_cursor(c, 2 + used, c->h - 1);
        return;
    }
    size_t width = strlen(d->title) + 8;
    for (size_t i = 0; i < d->n; i++)
        width = TS_MAX(width, ts_cells_width(d->lines[i], strlen(d->lines[i])) + 6);
    ts_rect r = {.w = TS_MIN((int)width, c->w), .h = TS_MIN((int)d->n + 4, c->h)};
    r.x = (c->w - r.w) / 2;
    r.y = (c->h - r.h) / 2;
    ts_box(c, r, d->title);
    for (size_t i = 0; i < d->n; i++)
        ts_put(c, r.x + 3, r.y + 2 + (int)i, r.w - 5, i + 1 == d->n ? TS_R_KEY : TS_R_TEXT, d->lines[i]);
    ts_cursor(c, r.x + 3, r.y + r.h - 3);
}

static void dialog_free(ts_layer *l) {
    struct dialog *d = (struct dialog *)l;
    for (size_t i = 0; i < d->n; i++)
        free(d->lines[i]);
    free(d->lines);
    free(d->title);
    free(d->keys);
    free(d);
}

static const ts_layer_ops dialog_ops = {.input = dialog_input, .draw = dialog_draw, .free = dialog_free};

void ts_dialog_open(ts_app *app, const char *title, const char *const *lines, const char *keys, ts_answer_fn *fn,
                    void *ctx) {
    struct dialog *d = ts_calloc(1, sizeof *d);
    d->layer.ops = &dialog_ops;
    d->title = title ? ts_strdup(title) : NULL;
    d->keys = ts_strdup(keys);
    d->fn = fn;
    d->ctx = ctx;
    for (; *lines; lines++)
        TS_PUSH(d->lines, d->n, d->cap, ts_strdup(*lines));
    ts_layer_push(app, &d->layer);
}
