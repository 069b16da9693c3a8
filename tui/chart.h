/* A chart of a few curves over steps, in braille dots (2 x 4 a cell) or, in ASCII, in . ' : (1 x 2). Every point is
 * drawn and neighbours are joined, so a spike of one step stays visible however many steps share a column. Values that
 * are not finite are marked with x at the top. */
#ifndef TS_TUI_CHART_H
#define TS_TUI_CHART_H

#include "tui/canvas.h"

typedef struct ts_curve {
    const double *x, *y;
    size_t n;
    ts_role role;
    bool marks; /* single points as o, not joined */
    const char *name;
} ts_curve;

/* y on a logarithmic axis where `log` is set and all values are above 0. x_max: the right edge (0: the largest x). */
void ts_chart_draw(ts_canvas *c, ts_rect r, const ts_curve *curves, size_t n, double x_max, bool log);
/* One row of bars for the last r.w values. */
void ts_spark_draw(ts_canvas *c, int x, int y, int w, ts_role role, const double *v, size_t n);
/* Exponential smoothing with weight w in [0, 1) of the past, corrected at the start as TensorBoard does; values that
 * are not finite are passed over. */
void ts_smooth(const double *in, double *out, size_t n, double w);

#endif
