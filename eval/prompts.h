/* Prompts to compare on: from files, from a run's held-out rows, from a workspace. */
#ifndef TS_EVAL_PROMPTS_H
#define TS_EVAL_PROMPTS_H

#include "eval/compare.h"

/* Appends the prompts of a file to c->prompts (formats: ts_compare_options.prompts), at most `limit` (0: all). */
TS_MUST_USE ts_status ts_prompts_read(ts_compare *c, const char *path, int64_t limit, ts_err *err);
/* The same of the rows of a workspace that fit the query `where`. */
TS_MUST_USE ts_status ts_prompts_query(ts_compare *c, const char *ws, const char *where, int64_t limit, ts_err *err);

#endif
