/* ts_view: the rows that answer a query, in an order, as an array of ids: what a list on the screen scrolls through.
 * Building one is a job for a worker thread with its own ts_store; a finished view is only read, by any thread. */
#ifndef TS_DATASET_VIEW_H
#define TS_DATASET_VIEW_H

#include "dataset/store.h"

typedef struct ts_view ts_view;

/* where: the query language of dataset/query.h; NULL or "" takes every row. sort: a field name, a minus sign before it
 * for falling order; NULL is "id". Rows without the value come last; equal rows by id. On a bad query TS_INVALID with a
 * sentence, and *at (may be NULL) is the byte of `where` where it went wrong. */
TS_MUST_USE ts_status ts_view_new(ts_view **out, ts_store *st, const char *where, const char *sort,
                                  ts_progress *progress, size_t *at, ts_err *err);
void ts_view_free(ts_view *v); /* NULL is fine */

size_t ts_view_count(const ts_view *v); /* NULL has none */
int64_t ts_view_id(const ts_view *v, size_t i);
/* All ids at once, ts_view_count of them; they live as long as the view. */
const int64_t *ts_view_ids(const ts_view *v);
/* Position of a row, or ts_view_count when it is not in it. */
size_t ts_view_find(const ts_view *v, int64_t id);

/* Field names that --sort and --where know, NULL at the end: for help and completion. */
const char *const *ts_view_fields(void);

#endif
