#include "tui/term.h"

#include <stdlib.h>
#include <string.h>

struct fake {
    ts_term term;
    int w, h;
    ts_canvas frame;
    struct event {
        ts_input in;
        char *text;
    } * events;
    size_t n, cap, at;
    ts_buf copied;
};

static bool fake_read(ts_term *t, ts_input *in) {
    struct fake *f = (struct fake *)t;
    if (f->at == f->n) return false;
    *in = f->events[f->at].in;
    in->text = f->events[f->at].text;
    f->at++;
    return true;
}

static void fake_size(ts_term *t, int *w, int *h) {
    const struct fake *f = (const struct fake *)t;
    *w = f->w;
    *h = f->h;
}

static void fake_draw(ts_term *t, const ts_canvas *c) {
    struct fake *f = (struct fake *)t;
    ts_cell *cells = f->frame.cells;
    size_t n = (size_t)c->w * (size_t)c->h;
    cells = ts_realloc_array(cells, n, sizeof *cells);
    memcpy(cells, c->cells, n * sizeof *cells);
    f->frame = *c;
    f->frame.cells = cells;
}

static void fake_nothing(ts_term *t) {
    (void)t;
}

static void fake_mouse(ts_term *t, bool on) {
    (void)t;
    (void)on;
}

static void fake_copy(ts_term *t, const char *text, size_t n) {
    struct fake *f = (struct fake *)t;
    ts_buf_reset(&f->copied);
    ts_buf_add(&f->copied, text, n);
}

static void fake_free(ts_term *t) {
    struct fake *f = (struct fake *)t;
    for (size_t i = 0; i < f->n; i++)
        free(f->events[i].text);
    free(f->events);
    ts_canvas_release(&f->frame);
    ts_buf_release(&f->copied);
    free(f);
}

ts_term *ts_term_fake(int w, int h, bool mono, bool ascii) {
    struct fake *f = ts_calloc(1, sizeof *f);
    f->term = (ts_term){.fd = -1,
                        .mono = mono,
                        .ascii = ascii,
                        .read = fake_read,
                        .size = fake_size,
                        .draw = fake_draw,
                        .repaint = fake_nothing,
                        .leave = fake_nothing,
                        .enter = fake_nothing,
                        .copy = fake_copy,
                        .mouse = fake_mouse,
                        .free = fake_free};
    f->w = w;
    f->h = h;
    return &f->term;
}

static void push(ts_term *t, ts_input in, const char *text) {
    struct fake *f = (struct fake *)t;
    struct event e = {in, text ? ts_strndup(text, in.n) : NULL};
    TS_PUSH(f->events, f->n, f->cap, e);
}

void ts_term_fake_key(ts_term *t, uint32_t key) {
    push(t, (ts_input){.kind = TS_IN_KEY, .key = key}, NULL);
}

void ts_term_fake_paste(ts_term *t, const char *text, size_t n) {
    push(t, (ts_input){.kind = TS_IN_PASTE, .n = n}, text);
}

void ts_term_fake_click(ts_term *t, int x, int y, bool twice) {
    push(t, (ts_input){.kind = TS_IN_CLICK, .x = x, .y = y, .twice = twice}, NULL);
}

void ts_term_fake_wheel(ts_term *t, int x, int y, int delta) {
    push(t, (ts_input){.kind = TS_IN_WHEEL, .x = x, .y = y, .delta = delta}, NULL);
}

void ts_term_fake_resize(ts_term *t, int w, int h) {
    struct fake *f = (struct fake *)t;
    f->w = w;
    f->h = h;
    push(t, (ts_input){.kind = TS_IN_RESIZE}, NULL);
}

const ts_canvas *ts_term_fake_frame(const ts_term *t) {
    return &((const struct fake *)t)->frame;
}

const char *ts_term_fake_copied(const ts_term *t) {
    return ts_buf_str(&((const struct fake *)t)->copied);
}
