#include "tui/chart.h"

#include "core/base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AXIS = 8 };

struct plot {
    ts_canvas *c;
    ts_rect area; /* without the axes */
    double x0, x1, y0, y1;
    bool log;
    int dots_w, dots_h;   /* per cell */
    uint8_t *bits, *role; /* per cell */
};

void ts_smooth(const double *in, double *out, size_t n, double w) {
    double last = 0, weight = 0;
    for (size_t i = 0; i < n; i++) {
        if (isfinite(in[i])) {
            last = last * w + (1 - w) * in[i];
            weight = weight * w + (1 - w);
        }
        out[i] = isfinite(in[i]) && weight > 0 ? last / weight : in[i];
    }
}

static double scaled(const struct plot *p, double y) {
    return p->log ? log10(y) : y;
}

static void set_dot(struct plot *p, int x, int y, ts_role role) {
    static const uint8_t braille[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
    int cx = x / p->dots_w, cy = y / p->dots_h;
    if (x < 0 || y < 0 || cx >= p->area.w || cy >= p->area.h) return;
    size_t at = (size_t)(cy * p->area.w + cx);
    uint8_t bit = p->dots_h == 4 ? braille[y % 4][x % 2] : (uint8_t)(1 << (y % 2));
    if (p->role[at] != (uint8_t)role) p->bits[at] = 0; /* one cell, one colour: the curve drawn last */
    p->bits[at] |= bit;
    p->role[at] = (uint8_t)role;
}

static int dot_x(const struct plot *p, double x) {
    double w = p->area.w * p->dots_w - 1;
    return (int)lround((x - p->x0) / (p->x1 - p->x0) * w);
}

static int dot_y(const struct plot *p, double y) {
    double h = p->area.h * p->dots_h - 1;
    return (int)lround((p->y1 - scaled(p, y)) / (p->y1 - p->y0) * h);
}

static void line(struct plot *p, int x0, int y0, int x1, int y1, ts_role role) {
    int steps = TS_MAX(abs(x1 - x0), abs(y1 - y0));
    for (int i = 0; i <= steps; i++) {
        int x = steps ? x0 + (int)lround((double)(x1 - x0) * i / steps) : x0;
        int y = steps ? y0 + (int)lround((double)(y1 - y0) * i / steps) : y0;
        set_dot(p, x, y, role);
    }
}

static void draw_curve(struct plot *p, const ts_curve *k) {
    bool before = false;
    int bx = 0, by = 0;
    for (size_t i = 0; i < k->n; i++) {
        if (!isfinite(k->y[i]) || (p->log && k->y[i] <= 0)) {
            before = false;
            continue;
        }
        int x = dot_x(p, k->x[i]), y = dot_y(p, k->y[i]);
        line(p, before ? bx : x, before ? by : y, x, y, k->role);
        before = true;
        bx = x;
        by = y;
    }
}

/* Single points, and what is not finite, over the curves. */
static void draw_marks(struct plot *p, const ts_curve *k) {
    for (size_t i = 0; i < k->n; i++) {
        bool finite = isfinite(k->y[i]);
        if (finite && !k->marks) continue;
        int x = p->area.x + dot_x(p, k->x[i]) / p->dots_w;
        int y = p->area.y + (finite ? dot_y(p, k->y[i]) / p->dots_h : 0);
        if (x >= p->area.x && x < p->area.x + p->area.w && y >= p->area.y && y < p->area.y + p->area.h)
            ts_put(p->c, x, y, 1, finite ? k->role : TS_R_ERROR, finite ? "o" : "x");
    }
}

static void show_dots(struct plot *p) {
    static const char *const ascii[] = {" ", "'", ".", ":"};
    for (int y = 0; y < p->area.h; y++)
        for (int x = 0; x < p->area.w; x++) {
            size_t at = (size_t)(y * p->area.w + x);
            if (!p->bits[at]) continue;
            ts_buf b = TS_BUF_INIT;
            if (p->dots_h == 4)
                ts_utf8_put(&b, 0x2800u + p->bits[at]);
            else
                ts_buf_puts(&b, ascii[p->bits[at] & 3]);
            ts_put(p->c, p->area.x + x, p->area.y + y, 1, (ts_role)p->role[at], b.data);
            ts_buf_release(&b);
        }
}

static bool find_range(struct plot *p, const ts_curve *curves, size_t n, double x_max, bool log) {
    double lo = INFINITY, hi = -INFINITY, positive = INFINITY, right = x_max;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < curves[k].n; i++) {
            right = TS_MAX(right, curves[k].x[i]);
            if (!isfinite(curves[k].y[i])) continue;
            lo = TS_MIN(lo, curves[k].y[i]);
            hi = TS_MAX(hi, curves[k].y[i]);
            if (curves[k].y[i] > 0) positive = TS_MIN(positive, curves[k].y[i]);
        }
    p->x0 = 0;
    p->x1 = right > 0 ? right : 1;
    if (!isfinite(lo)) return false;
    p->log = log && isfinite(positive);
    if (p->log) lo = positive;
    p->y0 = scaled(p, lo);
    p->y1 = scaled(p, hi);
    double pad = (p->y1 - p->y0) * 0.04;
    if (pad <= 0) pad = TS_MAX(fabs(p->y1) * 0.05, 0.05);
    p->y0 -= pad;
    p->y1 += pad;
    return true;
}

static void axis_label(double v, char *out, size_t n) {
    double size = fabs(v);
    snprintf(out, n, size >= 1000 || (size < 0.01 && size > 0) ? "%.2g" : size >= 10 ? "%.1f" : "%.2f", v);
}

static void draw_axes(const struct plot *p, bool any) {
    const ts_rect a = p->area;
    char text[32];
    int marks[] = {0, a.h / 2, a.h - 1};
    ts_vline(p->c, a.x - 1, a.y, a.h);
    ts_hline(p->c, a.x - 1, a.y + a.h, a.w + 1);
    ts_put(p->c, a.x - 1, a.y + a.h, 1, TS_R_RULE, p->c->ascii ? "+" : "└");
    for (size_t i = 0; i < TS_COUNT(marks) && any; i++) {
        double v = p->y1 - (p->y1 - p->y0) * (a.h > 1 ? (double)marks[i] / (a.h - 1) : 0);
        axis_label(p->log ? pow(10, v) : v, text, sizeof text);
        ts_put_right(p->c, a.x - AXIS, a.y + marks[i], AXIS - 2, TS_R_DIM, text);
    }
    for (int i = 0; i <= 4; i++) {
        snprintf(text, sizeof text, "%.0f", p->x1 * i / 4);
        int x = a.x + (a.w - 1) * i / 4, w = (int)strlen(text);
        ts_put(p->c, TS_MIN(x - (i == 4 ? w - 1 : i ? w / 2 : 0), p->c->w - w), a.y + a.h + 1, w, TS_R_DIM, text);
    }
}

static void draw_legend(const struct plot *p, const ts_curve *curves, size_t n) {
    int x = p->area.x + p->area.w;
    for (size_t k = n; k > 0; k--) {
        if (!curves[k - 1].name || !curves[k - 1].n) continue;
        const char *sign = curves[k - 1].marks ? "o" : p->c->ascii ? ".:" : "⣀⡠";
        x -= (int)strlen(curves[k - 1].name) + 5;
        if (x < p->area.x) return;
        ts_put(p->c, x, p->area.y, 2, curves[k - 1].role, sign);
        ts_put(p->c, x + (curves[k - 1].marks ? 2 : 3), p->area.y, 40, TS_R_DIM, curves[k - 1].name);
    }
}

void ts_chart_draw(ts_canvas *c, ts_rect r, const ts_curve *curves, size_t n, double x_max, bool log) {
    struct plot p = {.c = c, .area = {r.x + AXIS, r.y, r.w - AXIS, r.h - 2}};
    p.dots_w = c->ascii ? 1 : 2;
    p.dots_h = c->ascii ? 2 : 4;
    if (p.area.w < 8 || p.area.h < 2) return;
    bool any = find_range(&p, curves, n, x_max, log);
    size_t cells = (size_t)p.area.w * (size_t)p.area.h;
    draw_axes(&p, any);
    if (!any) {
        ts_put(c, p.area.x + 2, p.area.y + p.area.h / 2, p.area.w - 4, TS_R_DIM, "no step yet");
        return;
    }
    p.bits = ts_calloc(cells, 1);
    p.role = ts_calloc(cells, 1);
    for (size_t k = 0; k < n; k++)
        if (!curves[k].marks) draw_curve(&p, &curves[k]);
    show_dots(&p);
    for (size_t k = 0; k < n; k++)
        draw_marks(&p, &curves[k]);
    draw_legend(&p, curves, n);
    free(p.bits);
    free(p.role);
}

void ts_spark_draw(ts_canvas *c, int x, int y, int w, ts_role role, const double *v, size_t n) {
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const ascii[] = {".", ".", ":", ":", ":", "|", "|", "|"};
    double hi = 0;
    size_t from = n > (size_t)TS_MAX(w, 0) ? n - (size_t)w : 0;
    for (size_t i = from; i < n; i++)
        if (isfinite(v[i])) hi = TS_MAX(hi, v[i]);
    for (size_t i = from; i < n; i++) {
        int level = isfinite(v[i]) && hi > 0 ? (int)(v[i] / hi * 7.99) : 0;
        level = TS_MAX(0, TS_MIN(level, 7));
        ts_put(c, x + (int)(i - from), y, 1, role, c->ascii ? ascii[level] : blocks[level]);
    }
}
