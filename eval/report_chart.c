/* The loss of a run as SVG. Colours come from the page's style (classes), so that dark mode and print can have theirs.
 */
#include "eval/report.h"

#include <math.h>

enum { WIDTH = 720, HEIGHT = 280, LEFT = 56, RIGHT = 12, TOP = 14, BOTTOM = 34, MOST_POINTS = 600, TICKS = 5 };

struct scale {
    double first_step, last_step, low, high;
};

static double x_of(const struct scale *s, double step) {
    double span = s->last_step - s->first_step;
    return LEFT + (span > 0 ? (step - s->first_step) / span : 0.5) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct scale *s, double loss) {
    return TOP + (s->high - loss) / (s->high - s->low) * (HEIGHT - TOP - BOTTOM);
}

static void widen(struct scale *s, double step, double loss) {
    if (!isfinite(loss)) return;
    s->first_step = fmin(s->first_step, step);
    s->last_step = fmax(s->last_step, step);
    s->low = fmin(s->low, loss);
    s->high = fmax(s->high, loss);
}

static bool find_scale(const ts_follow *f, struct scale *s) {
    *s = (struct scale){INFINITY, -INFINITY, INFINITY, -INFINITY};
    for (size_t i = 0; i < f->n_points; i++)
        widen(s, (double)f->points[i].step, f->points[i].loss);
    for (size_t i = 0; i < f->n_evals; i++)
        widen(s, (double)f->evals[i].step, f->evals[i].loss);
    if (!isfinite(s->low)) return false;
    double room = fmax((s->high - s->low) * 0.06, 1e-3);
    s->low -= room;
    s->high += room;
    return true;
}

static void put_axes(const struct scale *s, ts_buf *out) {
    double before = -1;
    for (int i = 0; i <= TICKS; i++) {
        double loss = s->low + (s->high - s->low) * i / TICKS, y = y_of(s, loss);
        double step = round(s->first_step + (s->last_step - s->first_step) * i / TICKS);
        ts_buf_printf(out,
                      "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" class=\"y\">%.2f</text>\n",
                      LEFT, y, WIDTH - RIGHT, LEFT - 6, y + 4, loss);
        if (step > before)
            ts_buf_printf(out, "<text x=\"%.1f\" y=\"%d\" class=\"%s\">%.0f</text>\n", x_of(s, step), HEIGHT - 16,
                          i == TICKS ? "x last" : "x", step);
        before = step;
    }
    ts_buf_printf(out, "<text x=\"%d\" y=\"%d\" class=\"x\">step</text>\n", (WIDTH + LEFT) / 2, HEIGHT - 2);
}

/* Of many points the mean of so many beside each other. */
static void put_training(const ts_follow *f, const struct scale *s, ts_buf *out) {
    size_t each = (f->n_points + MOST_POINTS - 1) / MOST_POINTS;
    ts_buf line = TS_BUF_INIT;
    for (size_t i = 0; i < f->n_points;) {
        double loss = 0, step = 0;
        size_t n = 0;
        for (size_t k = 0; k < each && i < f->n_points; k++, i++) {
            if (!isfinite(f->points[i].loss)) continue;
            loss += f->points[i].loss;
            step += (double)f->points[i].step;
            n++;
        }
        if (n)
            ts_buf_printf(&line, "%s%.1f %.1f", line.len ? "L" : "M", x_of(s, step / (double)n),
                          y_of(s, loss / (double)n));
    }
    if (line.len) ts_buf_printf(out, "<path class=\"train\" d=\"%s\"/>\n", line.data);
    ts_buf_release(&line);
}

static void put_held_out(const ts_follow *f, const struct scale *s, ts_buf *out) {
    ts_buf line = TS_BUF_INIT;
    for (size_t i = 0; i < f->n_evals; i++) {
        const ts_eval_point *e = &f->evals[i];
        if (!isfinite(e->loss)) continue;
        double x = x_of(s, (double)e->step), y = y_of(s, e->loss);
        ts_buf_printf(&line, "%s%.1f %.1f", line.len ? "L" : "M", x, y);
        ts_buf_printf(
            out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>step %lld: %.4f%s</title></circle>\n",
            e->step == f->best_step ? "best" : "valid", x, y, e->step == f->best_step ? "5" : "3", (long long)e->step,
            e->loss, e->step == f->best_step ? ", the best" : "");
    }
    if (line.len) ts_buf_printf(out, "<path class=\"held\" d=\"%s\"/>\n", line.data);
    ts_buf_release(&line);
}

void ts_report_chart(const ts_run_info *run, ts_buf *out) {
    struct scale s;
    if (!find_scale(&run->follow, &s)) return;
    ts_buf_printf(
        out,
        "<figure><svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"loss of run %lld by step\">\n"
        "<title>Loss of run %lld by step</title>\n",
        WIDTH, HEIGHT, (long long)run->id, (long long)run->id);
    put_axes(&s, out);
    put_training(&run->follow, &s, out);
    put_held_out(&run->follow, &s, out);
    ts_buf_puts(out, "</svg>\n<figcaption><span class=\"key train\"></span> training loss");
    if (run->follow.n_evals)
        ts_buf_puts(out, " &nbsp; <span class=\"key held\"></span> held-out loss, the best one ringed");
    ts_buf_puts(out, "</figcaption></figure>\n");
}
