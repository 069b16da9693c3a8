#include "tui/browse.h"
#include "tui/row.h"

#include <stdio.h>
#include <string.h>

struct layout {
    int id, sign, text; /* left edges */
    int id_width;
    int left[TS_COLUMNS_MAX];
    ts_columns columns; /* as many as leave room for the instruction */
};

static struct layout layout_for(const struct browse *b, int64_t largest, int width) {
    enum { TEXT_LEAST = 24 };
    char number[32];
    struct layout k = {.id = 3, .columns = browse_columns_shown(b)};
    k.id_width = TS_MAX(5, (int)strlen(ts_thousands(largest, number)));
    k.sign = k.id + k.id_width + 1;
    int x = k.sign + 3;
    size_t n = 0;
    for (; n < k.columns.n && x + k.columns.items[n].width + 1 + TEXT_LEAST <= TS_MAX(width, 50); n++) {
        k.left[n] = x;
        x += TS_MAX(k.columns.items[n].width, 5) + 1;
    }
    k.columns.n = n;
    k.text = x;
    return k;
}

static void draw_head(ts_canvas *c, ts_rect r, const struct layout *k) {
    ts_put_right(c, r.x + k->id, r.y, k->id_width, TS_R_DIM, "#");
    ts_put(c, r.x + k->sign, r.y, 2, TS_R_DIM, "st");
    for (size_t i = 0; i < k->columns.n; i++)
        browse_column_head(c, r.x + k->left[i], r.y, &k->columns.items[i]);
    ts_put(c, r.x + k->text, r.y, r.w - k->text, TS_R_DIM, "instruction");
}

static void draw_row(const struct browse *b, ts_canvas *c, int x, int y, int w, const struct layout *k,
                     const ts_row *row, bool here) {
    char number[32], sign[2] = {ts_row_sign(row->status), 0};
    ts_role role = row->status == TS_REJECTED ? TS_R_DIM : TS_R_TEXT;
    if (here) ts_put(c, x, y, 1, TS_R_KEY, ">");
    if (ts_idset_has(&b->marks, row->id)) ts_put(c, x + 1, y, 1, TS_R_MARK, "*");
    ts_put_right(c, x + k->id, y, k->id_width, TS_R_DIM, ts_thousands(row->id, number));
    if (row->gone) {
        ts_put(c, x + k->text, y, w - k->text, TS_R_DIM, "(no longer here)");
        return;
    }
    ts_put(c, x + k->sign, y, 1, ts_row_role(row->status), sign);
    if (row->dup) ts_put(c, x + k->sign + 1, y, 1, TS_R_WARN, "=");
    for (size_t i = 0; i < k->columns.n; i++)
        browse_column_draw(b, c, x + k->left[i], y, &k->columns.items[i], row);
    if (row->instruction.n)
        ts_put_hits(c, x + k->text, y, w - k->text, role, row->instruction.s, row->instruction.n, b->hits);
    else
        ts_put(c, x + k->text, y, w - k->text, TS_R_DIM, "(empty)");
}

static void draw_empty(const struct browse *b, ts_canvas *c, ts_rect r) {
    const char *first = "Reading the workspace.", *second = "";
    if (b->view && *b->filter) {
        first = "No row fits the filter.";
        second = "Esc clears it, & changes it.";
    } else if (b->view) {
        first = "No examples yet.";
        second = ":import FILE reads JSON, CSV or text, + writes the first one by hand.";
    }
    ts_put(c, r.x + 3, r.y + 2, r.w - 4, TS_R_STRONG, first);
    ts_put(c, r.x + 3, r.y + 3, r.w - 4, TS_R_TEXT, second);
}

static void draw_list(struct browse *b, ts_canvas *c, ts_rect r) {
    ts_app *app = b->screen.app;
    ts_err err;
    size_t count = browse_count(b);
    ts_list_fit(&b->list, count, r.h - 1);
    b->list_rect = r;
    if (count == 0) {
        draw_empty(b, c, r);
        return;
    }
    size_t n = TS_MIN(count - b->list.top, (size_t)b->list.height);
    const int64_t *ids = ts_view_ids(b->view->view) + b->list.top;
    ts_row *rows = ts_arena_alloc(&app->frame, n * sizeof *rows);
    if (ts_rows_read(app->reader, ids, n, rows, &app->frame, &err) != TS_OK) {
        ts_put(c, r.x + 1, r.y + 1, r.w - 2, TS_R_ERROR, err.text);
        return;
    }
    int64_t largest = 99999;
    for (size_t i = 0; i < n; i++)
        largest = TS_MAX(largest, ids[i]);
    struct layout k = layout_for(b, largest, r.w);
    draw_head(c, r, &k);
    for (size_t i = 0; i < n; i++) {
        bool here = b->list.top + i == b->list.cursor;
        int y = r.y + 1 + (int)i;
        rows[i].id = ids[i];
        draw_row(b, c, r.x, y, r.w, &k, &rows[i], here);
        if (here && b->pane == PANE_LIST) ts_select(c, r.x, y, r.w);
    }
}

/* The detail pane: a head line with its own rule where it stands below the list. */
static void draw_detail(struct browse *b, ts_canvas *c, ts_rect r, bool rule) {
    ts_app *app = b->screen.app;
    int64_t id = browse_row(b);
    ts_row row;
    ts_rule_value *rules = NULL;
    size_t n_rules = 0;
    char title[200];
    b->detail_rect = r;
    if (rule) ts_hline(c, r.x, r.y, r.w);
    if (!id || ts_row_read(app->reader, id, &row, &app->frame, NULL) != TS_OK) return;
    if (b->scroll_of != id) b->scroll = 0;
    b->scroll_of = id;
    if (ts_row_scores(app->reader, id, &rules, &n_rules, &app->frame, NULL) != TS_OK) n_rules = 0;
    ts_row_title(&row, title, sizeof title);
    int x = r.x + (rule ? 3 : 0);
    int used = ts_put(c, x, r.y, r.w - 4, row.status == TS_NEW ? TS_R_STRONG : ts_row_role(row.status), title);
    if (rule) {
        ts_put(c, 2, r.y, 1, TS_R_TEXT, " ");
        ts_put(c, x + used, r.y, 1, TS_R_TEXT, " ");
    }
    ts_rect page = {r.x + 1, r.y + (rule ? 1 : 2), r.w - 2, r.h - (rule ? 1 : 2)};
    ts_doc d = ts_doc_new(&app->frame, page.w);
    d.hits = b->hits;
    ts_row_page(&d, &row, rules, n_rules);
    bool more = ts_doc_draw(&d, c, page, &b->scroll);
    if (more) ts_put_right(c, page.x, page.y + page.h - 1, page.w, TS_R_DIM, "  more ");
    if (b->pane == PANE_DETAIL) {
        ts_put(c, r.x, r.y + (rule ? 1 : 0), 1, TS_R_KEY, rule ? ">" : "");
        ts_cursor(c, page.x, page.y);
    }
    ts_doc_release(&d);
}

void browse_draw(ts_screen *s, ts_canvas *c, ts_rect body) {
    struct browse *b = (struct browse *)s;
    b->list_rect = b->detail_rect = (ts_rect){0};
    if (b->record) {
        ts_record_draw(b->record, c, body);
    } else if (b->zoom && b->pane == PANE_LIST) {
        draw_list(b, c, body);
    } else if (b->zoom || browse_count(b) == 0) {
        if (browse_count(b) == 0)
            draw_list(b, c, body);
        else
            draw_detail(b, c, body, true);
    } else if (body.w >= 100) {
        int left = body.w * 55 / 100;
        draw_list(b, c, (ts_rect){0, body.y, left, body.h});
        ts_vline(c, left, body.y, body.h);
        draw_detail(b, c, (ts_rect){left + 2, body.y, body.w - left - 2, body.h}, false);
    } else {
        int top = body.h * 6 / 10;
        draw_list(b, c, (ts_rect){0, body.y, body.w, top});
        draw_detail(b, c, (ts_rect){0, body.y + top, body.w, body.h - top}, true);
    }
}

void browse_status(ts_screen *s, char *left, char *right) {
    struct browse *b = (struct browse *)s;
    char at[32], all[32], total[40] = "", number[32];
    size_t count = browse_count(b);
    if (b->record) {
        ts_record_status(b->record, left, right);
        return;
    }
    int n = snprintf(left, 200, "order: %s %s", b->sort, b->reverse ? "falling" : "rising");
    if (*b->filter) n += snprintf(left + n, (size_t)(200 - n), "   filter: %.100s", b->filter);
    if (b->pattern && n < 150) n += snprintf(left + n, (size_t)(200 - n), "   find: %.40s", b->pattern);
    if (b->marks.n && n < 170) n += snprintf(left + n, (size_t)(200 - n), "   %zu marked", b->marks.n);
    if (b->range_from >= 0 && n < 180) snprintf(left + n, (size_t)(200 - n), "   range, v ends it");
    if (*b->filter) snprintf(total, sizeof total, " of %s", ts_thousands(b->counts.rows, number));
    if (count)
        snprintf(right, 200, "%s / %s%s  %s accepted", ts_thousands((int64_t)b->list.cursor + 1, at),
                 ts_thousands((int64_t)count, all), total, ts_thousands(b->counts.by_status[TS_ACCEPTED], number));
}
