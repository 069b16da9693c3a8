/* The state of Browse, shared by its files: screen_browse.c (commands, jobs) and draw_browse.c. */
#ifndef TS_TUI_BROWSE_H
#define TS_TUI_BROWSE_H

#include "core/text/match.h"
#include "dataset/store.h"
#include "tui/app.h"
#include "tui/idset.h"
#include "tui/record.h"

/* A finished view that jobs may still read when the screen has a newer one. Counted on the UI thread. */
struct shared_view {
    ts_view *view;
    int users;
};

/* What a list shows of a row between its signs and its instruction. */
typedef enum ts_column_kind {
    TS_COL_SCORE,
    TS_COL_TOKENS,
    TS_COL_RATING,
    TS_COL_CHARS,
    TS_COL_TAGS,
    TS_COL_ORIGIN,
    TS_COL_INPUT,
    TS_COL_OUTPUT,
    TS_COL_SYSTEM,
    TS_COL_RULE,
    TS_COL_LM /* what a model makes of the row: dataset/lmscore.h */
} ts_column_kind;
typedef struct ts_column {
    ts_column_kind kind;
    int width;
    char rule[32]; /* RULE, LM */
} ts_column;
enum { TS_COLUMNS_MAX = 12 };
typedef struct ts_columns {
    ts_column items[TS_COLUMNS_MAX];
    size_t n;
} ts_columns;

enum browse_pane { PANE_LIST, PANE_DETAIL };

struct browse {
    ts_screen screen;
    struct shared_view *view; /* NULL until the first one is built */
    ts_list list;
    char *filter, *sort; /* "" and "id" at first */
    bool reverse;
    ts_counts counts; /* as of the view */
    ts_idset marks;
    int64_t range_from; /* place in the view where a range of marks begins; -1 */
    char *pattern;      /* what is searched for; NULL */
    ts_regex *regex;
    ts_matcher *hits;
    size_t find_origin; /* where the cursor stood when the search was begun */
    unsigned find_number;
    ts_columns chosen; /* setting `columns`; columns_set: there is one */
    bool columns_set;
    int64_t go_after;  /* the row to go to when the next view is there; 0 */
    ts_record *record; /* an example is open */
    enum browse_pane pane;
    bool zoom;
    char *write_path;   /* of the export asked for last */
    int64_t *purge_ids; /* the rows that a question is about */
    size_t n_purge;
    size_t scroll; /* of the detail pane */
    int64_t scroll_of;
    ts_rect list_rect, detail_rect; /* of the last draw, for the mouse */
};

static inline size_t browse_count(const struct browse *b) {
    return b->view ? ts_view_count(b->view->view) : 0;
}
/* The row under the cursor; 0: none. */
static inline int64_t browse_row(const struct browse *b) {
    return b->list.cursor < browse_count(b) ? ts_view_id(b->view->view, b->list.cursor) : 0;
}

void browse_draw(ts_screen *s, ts_canvas *c, ts_rect body);
void browse_status(ts_screen *s, char *left, char *right);
/* Shows Browse with this filter and order; row: the one to stand on, 0 the first. */
void ts_browse_show(ts_app *app, const char *where, const char *sort, bool reverse, int64_t row);
/* When the list is read the next time, the cursor goes to this row. */
void ts_browse_go_after(ts_app *app, int64_t row);
/* Marks these rows and no others. */
void ts_browse_mark(ts_app *app, const int64_t *ids, size_t n);
/* browse_find.c */
void browse_find(struct browse *b);
void browse_find_next(struct browse *b, int direction);
void browse_find_clear(struct browse *b);
void shared_view_drop(struct shared_view *v);
/* browse_columns.c */
void browse_columns_read(struct browse *b);
ts_columns browse_columns_shown(const struct browse *b);
void browse_column_head(ts_canvas *c, int x, int y, const ts_column *k);
void browse_column_draw(const struct browse *b, ts_canvas *c, int x, int y, const ts_column *k, const ts_row *row);
void browse_choose_columns(struct browse *b, const char *arg);
/* browse_purge.c */
void browse_purge(struct browse *b);
/* layer_snapshots.c: the rows of the filter; NULL: asks for the name */
void ts_snapshot_make(ts_app *app, struct browse *b, const char *name);
/* browse_files.c */
void browse_write(struct browse *b, const char *arg);

#endif
