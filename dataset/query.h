/* The query language of the filter line and of --where.
 *
 *   words and "phrases"     all must occur in the texts; upper case in a word makes it case-sensitive
 *   re:/pattern/            PCRE2 on the texts; re:/pattern/i without case; \/ is a slash
 *   field:word field:"x y"  occurs in that field (tag:health: has the tag; origin:part)
 *   field=value field!=value field<1 <= > >=
 *   and or not ( )          "and" may be left out; not binds tightest, then and, then or; "-word" is "not word"
 *   @name                   the query that was saved as the setting filter.name, in brackets
 *   snapshot:name           rows of a snapshot (dataset/frozen.h)
 *
 * Fields: id status rating tag origin shape score tokens words chars dup split instruction input output (answer) system
 * prompt, every rule score by its name (those of the user's own file as my_NAME), and what a model makes of the row
 * (dataset/lmscore.h: loss, perplexity, ifd_loss, learning, ..). A value that was not measured
 * fits no comparison.
 *
 * A query becomes one SQL condition on example e, body b, metric m; texts are matched by functions in C. */
#ifndef TS_DATASET_QUERY_H
#define TS_DATASET_QUERY_H

#include "dataset/store.h"

typedef struct ts_query ts_query;

/* TS_INVALID with a sentence that shows the place; *at is the byte. An empty text takes every row. */
TS_MUST_USE ts_status ts_query_parse(ts_query **out, const char *text, size_t *at, ts_err *err);
/* The same for a query in which saved filters and snapshots of `st` may be named; without a store there are none. */
TS_MUST_USE ts_status ts_query_parse_in(ts_query **out, ts_store *st, const char *text, size_t *at, ts_err *err);
/* The same query for another thread; q must live longer. */
ts_query *ts_query_twin(const ts_query *q);
void ts_query_free(ts_query *q); /* NULL is fine */

/* Bytes at the start of `s` that are the name of a saved filter: letters, digits, _ and (not first) -, up to 64. */
size_t ts_filter_name_length(const char *s);

/* For the dataset folder: the condition, and the binding of its values (?1 up) to a statement of `st`. */
const char *ts_query_sql(const ts_query *q);
/* It asks for texts (body) and nothing else; false too when it asks for nothing. */
bool ts_query_texts_only(const ts_query *q);
/* The expression that orders by a field (score, rating, instruction, a rule), or NULL when there is no such field. */
bool ts_query_order(const char *field, size_t n, ts_buf *sql);
struct sqlite3_stmt;
void ts_query_bind(const ts_query *q, struct sqlite3_stmt *s);
/* Names of the fields and rules that have a value to compare and order by (all but snapshot), NULL at the end. */
const char *const *ts_query_fields(void);
TS_MUST_USE ts_status ts_query_functions(ts_store *st, ts_err *err);

#endif
