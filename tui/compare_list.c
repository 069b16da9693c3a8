/* Which prompts Compare lists and in what order; which side stands in which column while the sides are hidden. */
#include "core/base/rand.h"
#include "tui/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shown_prompt *compare_here(const struct compare *k) {
    return k->list.cursor < k->n_order ? &k->prompts[k->order[k->list.cursor]] : NULL;
}

/* Do two sides say different things? What is still being written may. */
static bool differs(const struct compare *k, const struct shown_prompt *p) {
    const ts_buf *first = &p->answers[0].text;
    for (size_t i = 0; i < k->n_sides; i++) {
        const ts_buf *text = &p->answers[i].text;
        if (!p->answers[i].complete || text->len != first->len ||
            (text->len && memcmp(text->data, first->data, text->len) != 0))
            return true;
    }
    return false;
}

/* The worse one first; what was not measured last. */
static bool before(const struct compare *k, size_t a, size_t b) {
    double x = k->prompts[a].answers[k->metric_side].values[k->metric];
    double y = k->prompts[b].answers[k->metric_side].values[k->metric];
    bool rising = (ts_metrics[k->metric].better >= 0) != k->reversed;
    if (isnan(x) || isnan(y)) return !isnan(x);
    return rising ? x < y : x > y;
}

/* There are at most some sixty prompts: an insertion sort, which keeps equal ones in the order they were asked in. */
static void sort(struct compare *k) {
    for (size_t i = 1; i < k->n_order; i++)
        for (size_t j = i; j > 0 && before(k, k->order[j], k->order[j - 1]); j--) {
            size_t other = k->order[j];
            k->order[j] = k->order[j - 1];
            k->order[j - 1] = other;
        }
}

static void reverse(struct compare *k) {
    for (size_t i = 0; i + 1 < k->n_order - i; i++) {
        size_t other = k->order[i];
        k->order[i] = k->order[k->n_order - 1 - i];
        k->order[k->n_order - 1 - i] = other;
    }
}

void compare_relist(struct compare *k) {
    size_t place = k->list.cursor < k->n_order ? k->order[k->list.cursor] : 0;
    free(k->order);
    k->order = ts_calloc(k->n_prompts + 1, sizeof *k->order);
    k->n_order = 0;
    for (size_t i = 0; i < k->n_prompts; i++)
        if (!k->different || differs(k, &k->prompts[i])) k->order[k->n_order++] = i;
    if (k->metric >= 0 && k->metric_side < k->n_sides)
        sort(k);
    else if (k->reversed && k->n_order)
        reverse(k);
    k->list.count = k->n_order;
    k->list.cursor = 0;
    for (size_t i = 0; i < k->n_order; i++)
        if (k->order[i] == place) k->list.cursor = i;
    k->scroll = 0;
}

/* ---- blind ---- */

bool compare_named(const struct compare *k, const struct shown_prompt *p) {
    return !k->blind || *p->vote;
}

/* sides[column], shuffled anew for every prompt. */
static void deal(const struct compare *k, const struct shown_prompt *p, size_t sides[SIDES_MAX]) {
    ts_rand r;
    ts_rand_seed(&r, k->blind_seed + (uint64_t)(p - k->prompts));
    for (size_t i = 0; i < k->n_sides; i++)
        sides[i] = i;
    for (size_t i = k->n_sides; k->blind && i > 1; i--) {
        size_t j = (size_t)ts_rand_below(&r, i), other = sides[i - 1];
        sides[i - 1] = sides[j];
        sides[j] = other;
    }
}

size_t compare_side_at(const struct compare *k, const struct shown_prompt *p, size_t column) {
    size_t sides[SIDES_MAX] = {0};
    deal(k, p, sides);
    return sides[column];
}

size_t compare_column_of(const struct compare *k, const struct shown_prompt *p, size_t side) {
    size_t sides[SIDES_MAX] = {0}, column = 0;
    deal(k, p, sides);
    while (column + 1 < k->n_sides && sides[column] != side)
        column++;
    return column;
}

/* ---- order ---- */

struct choice {
    int metric;
    size_t side;
};

/* What can be ordered by: every measure that some answer has, of each side. Returns how many. */
static size_t find_choices(const struct compare *k, struct choice out[SIDES_MAX * TS_METRIC_COUNT]) {
    size_t n = 0;
    for (int m = 0; m < TS_METRIC_COUNT; m++)
        for (size_t s = 0; s < k->n_sides; s++) {
            bool any = false;
            for (size_t i = 0; i < k->n_prompts && !any; i++)
                any = k->prompts[i].answers[s].complete && !isnan(k->prompts[i].answers[s].values[m]);
            if (any) out[n++] = (struct choice){m, s};
        }
    return n;
}

static void order_chosen(ts_app *app, void *ctx, size_t index) {
    struct compare *k = ctx;
    struct choice choices[SIDES_MAX * TS_METRIC_COUNT];
    size_t n = find_choices(k, choices);
    k->metric = index && index <= n ? choices[index - 1].metric : -1;
    if (index && index <= n) k->metric_side = choices[index - 1].side;
    k->reversed = false;
    compare_relist(k);
    k->list.cursor = 0;
    app->dirty = true;
}

void compare_ask_order(struct compare *k) {
    struct choice choices[SIDES_MAX * TS_METRIC_COUNT];
    size_t n = find_choices(k, choices), at = 0;
    char *items[SIDES_MAX * TS_METRIC_COUNT + 1] = {ts_strdup("as they were asked")};
    for (size_t i = 0; i < n; i++) {
        const ts_metric *m = &ts_metrics[choices[i].metric];
        items[i + 1] = ts_printf("%s of %.24s", m->label, k->sides[choices[i].side]);
        if (choices[i].metric == k->metric && choices[i].side == k->metric_side) at = i + 1;
    }
    ts_menu_open(k->screen.app, "Order, the worst first", (const char *const *)items, n + 1, at, order_chosen, k);
    for (size_t i = 0; i <= n; i++)
        free(items[i]);
}

/* ---- measures ---- */

static bool measured(const struct compare *k, const struct shown_prompt *p, int m) {
    bool any = false;
    for (size_t s = 0; s < k->n_sides; s++)
        any |= (p->answers[s].complete && !isnan(p->answers[s].values[m])) ||
               (k->measured && !isnan(k->metrics[s].m[m].value));
    return any;
}

static void put_cell(ts_buf *out, ts_metric_id m, double value, const ts_interval *interval, int width) {
    ts_buf cell = TS_BUF_INIT;
    ts_metric_print(m, value, &cell);
    if (interval && isfinite(interval->low)) {
        ts_buf_puts(&cell, " [");
        ts_metric_print(m, interval->low, &cell);
        ts_buf_puts(&cell, ", ");
        ts_metric_print(m, interval->high, &cell);
        ts_buf_puts(&cell, "]");
    }
    ts_buf_printf(out, "  %-*s", width, ts_buf_str(&cell));
    ts_buf_release(&cell);
}

static void put_table(const struct compare *k, const struct shown_prompt *p, bool all, ts_buf *out) {
    const int width = all ? 24 : 14;
    ts_buf_printf(out, "%-16s", all ? "all prompts" : "this prompt");
    for (size_t s = 0; s < k->n_sides; s++)
        ts_buf_printf(out, "  %-*.*s", width, width, k->sides[s]);
    ts_buf_putc(out, '\n');
    for (int m = 0; m < TS_METRIC_COUNT; m++) {
        if (!measured(k, p, m)) continue;
        ts_buf_printf(out, "%-16.16s", ts_metrics[m].label);
        for (size_t s = 0; s < k->n_sides; s++)
            if (all)
                put_cell(out, (ts_metric_id)m, k->metrics[s].m[m].value, &k->metrics[s].m[m].interval, width);
            else
                put_cell(out, (ts_metric_id)m, p->answers[s].complete ? p->answers[s].values[m] : NAN, NULL, width);
        ts_buf_putc(out, '\n');
    }
}

void compare_measures(struct compare *k) {
    const struct shown_prompt *p = compare_here(k);
    ts_buf out = TS_BUF_INIT;
    if (!compare_named(k, p)) {
        ts_app_say(k->screen.app, TS_R_WARN,
                   "the measures would tell the sides apart: vote first, or b ends the blind");
        return;
    }
    put_table(k, p, false, &out);
    if (k->measured) {
        ts_buf_putc(&out, '\n');
        put_table(k, p, true, &out);
        ts_buf_puts(&out, "\n[ , ]: in 95 of 100 such samples of prompts the number lies there\n");
    }
    ts_pager_open(k->screen.app, "Measures", out.data);
    ts_buf_release(&out);
}
