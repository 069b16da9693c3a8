#include "tui/canvas.h"

#include "core/text/cells.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ts_cell blank = {.text = " ", .width = 1};

void ts_canvas_resize(ts_canvas *c, int w, int h) {
    c->w = TS_MAX(w, 1);
    c->h = TS_MAX(h, 1);
    c->cells = ts_realloc_array(c->cells, (size_t)c->w * (size_t)c->h, sizeof *c->cells);
    ts_canvas_clear(c);
}

void ts_canvas_clear(ts_canvas *c) {
    for (int i = 0; i < c->w * c->h; i++)
        c->cells[i] = blank;
    c->cursor_x = c->cursor_y = 0;
}

void ts_canvas_release(ts_canvas *c) {
    free(c->cells);
    c->cells = NULL;
}

static ts_cell *cell(const ts_canvas *c, int x, int y) {
    return x >= 0 && y >= 0 && x < c->w && y < c->h ? &c->cells[y * c->w + x] : NULL;
}

const ts_cell *ts_canvas_at(const ts_canvas *c, int x, int y) {
    return cell(c, x, y);
}

/* A cell that covers half of a wide character leaves a blank in the other half. */
static void set_cell(ts_canvas *c, int x, int y, const char *text, size_t len, int width, ts_role role) {
    ts_cell *at = cell(c, x, y), *right = cell(c, x + 1, y);
    if (!at || (width == 2 && !right)) return;
    if (at->width == 0 && x > 0) c->cells[y * c->w + x - 1] = blank;
    if (at->width == 2 && right) *right = blank;
    if (width == 2 && right->width == 2 && cell(c, x + 2, y)) c->cells[y * c->w + x + 2] = blank;
    bool selected = at->selected;
    *at = (ts_cell){.width = (uint8_t)width, .role = (uint8_t)role, .selected = selected};
    memcpy(at->text, text, TS_MIN(len, sizeof at->text - 1));
    if (width == 2) *right = (ts_cell){.width = 0, .role = (uint8_t)role, .selected = selected};
}

static void put_glyph(ts_canvas *c, int x, int y, const ts_glyph *g, ts_role role) {
    if (!g->escaped) {
        size_t len = g->len; /* whole marks only */
        while (len >= sizeof c->cells->text)
            do {
                len--;
            } while (((unsigned char)g->text[len] & 0xc0) == 0x80);
        set_cell(c, x, y, g->text, len, g->width, role);
        return;
    }
    for (int i = 0; i < g->len; i++)
        set_cell(c, x + i, y, &g->text[i], 1, 1, TS_R_ESCAPE);
}

int ts_putn(ts_canvas *c, int x, int y, int w, ts_role role, const char *s, size_t n) {
    size_t width = 0;
    if (w <= 0) return 0;
    size_t fits = ts_cells_fit(s, n, (size_t)w, &width);
    bool cut = fits < n;
    if (cut) fits = ts_cells_fit(s, n, (size_t)w - 1, &width);
    ts_cells cells;
    ts_glyph g;
    int at = x;
    ts_cells_init(&cells, s, fits);
    while (ts_cells_next(&cells, &g)) {
        put_glyph(c, at, y, &g, role);
        at += g.width;
    }
    if (!cut) return at - x;
    set_cell(c, x + w - 1, y, ">", 1, 1, TS_R_DIM);
    return w;
}

int ts_put(ts_canvas *c, int x, int y, int w, ts_role role, const char *s) {
    return ts_putn(c, x, y, w, role, s, strlen(s));
}

int ts_putf(ts_canvas *c, int x, int y, int w, ts_role role, const char *fmt, ...) {
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return ts_put(c, x, y, w, role, text);
}

void ts_put_right(ts_canvas *c, int x, int y, int w, ts_role role, const char *s) {
    int width = (int)TS_MIN(ts_cells_width(s, strlen(s)), (size_t)w);
    ts_put(c, x + w - width, y, width, role, s);
}

void ts_fill(ts_canvas *c, ts_rect r, ts_role role) {
    for (int y = r.y; y < r.y + r.h; y++)
        for (int x = r.x; x < r.x + r.w; x++)
            set_cell(c, x, y, " ", 1, 1, role);
}

static void draw_sign(ts_canvas *c, int x, int y, const char *utf8, const char *ascii, ts_role role) {
    const char *s = c->ascii ? ascii : utf8;
    set_cell(c, x, y, s, strlen(s), 1, role);
}

void ts_hline(ts_canvas *c, int x, int y, int w) {
    for (int i = 0; i < w; i++)
        draw_sign(c, x + i, y, "─", "-", TS_R_RULE);
}

void ts_vline(ts_canvas *c, int x, int y, int h) {
    for (int i = 0; i < h; i++)
        draw_sign(c, x, y + i, "│", "|", TS_R_RULE);
}

void ts_box(ts_canvas *c, ts_rect r, const char *title) {
    ts_fill(c, r, TS_R_TEXT);
    for (int y = r.y; y < r.y + r.h; y++) /* what was selected below the box is not selected in it */
        for (int x = r.x; x < r.x + r.w; x++)
            if (cell(c, x, y)) cell(c, x, y)->selected = false;
    ts_hline(c, r.x, r.y, r.w);
    ts_hline(c, r.x, r.y + r.h - 1, r.w);
    ts_vline(c, r.x, r.y, r.h);
    ts_vline(c, r.x + r.w - 1, r.y, r.h);
    draw_sign(c, r.x, r.y, "┌", "+", TS_R_RULE);
    draw_sign(c, r.x + r.w - 1, r.y, "┐", "+", TS_R_RULE);
    draw_sign(c, r.x, r.y + r.h - 1, "└", "+", TS_R_RULE);
    draw_sign(c, r.x + r.w - 1, r.y + r.h - 1, "┘", "+", TS_R_RULE);
    if (title && *title) {
        ts_put(c, r.x + 2, r.y, 1, TS_R_TEXT, " ");
        int used = ts_put(c, r.x + 3, r.y, r.w - 6, TS_R_TITLE, title);
        ts_put(c, r.x + 3 + used, r.y, 1, TS_R_TEXT, " ");
    }
}

void ts_select(ts_canvas *c, int x, int y, int w) {
    for (int i = x; i < x + w; i++)
        if (cell(c, i, y)) cell(c, i, y)->selected = true;
    ts_cursor(c, x, y);
}

void ts_cursor(ts_canvas *c, int x, int y) {
    c->cursor_x = TS_MAX(0, TS_MIN(x, c->w - 1));
    c->cursor_y = TS_MAX(0, TS_MIN(y, c->h - 1));
}

static void end_line(ts_buf *out, size_t from, char pad) {
    while (out->len > from && out->data[out->len - 1] == pad)
        out->len--;
    ts_buf_putc(out, '\n');
}

void ts_canvas_text(const ts_canvas *c, ts_buf *out) {
    for (int y = 0; y < c->h; y++) {
        size_t from = out->len;
        for (int x = 0; x < c->w; x++)
            ts_buf_puts(out, cell(c, x, y)->text);
        end_line(out, from, ' ');
    }
}

void ts_canvas_attrs(const ts_canvas *c, bool mono, ts_buf *out) {
    for (int y = 0; y < c->h; y++) {
        size_t from = out->len;
        for (int x = 0; x < c->w; x++) {
            const ts_cell *at = cell(c, x, y);
            ts_buf_putc(out, ts_style_letter(ts_theme_style((ts_role)at->role, at->selected, mono)));
        }
        end_line(out, from, '.');
    }
}
