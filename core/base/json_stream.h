/* A cursor over JSON text, for documents too large for a tree (a tokenizer.json of 17 MB): the caller walks in the
 * order of the text and builds nothing it does not need. After the first mistake every call answers false and the
 * cursor stays; ts_js_finish says what was wrong and where.
 *
 *   ts_js j = ts_js_over(text, n);
 *   ts_js_object(&j);
 *   while (ts_js_key(&j, &key, &key_n))
 *       if (...) ts_js_int(&j, &value); else ts_js_skip(&j, NULL, NULL);
 *   return ts_js_finish(&j, path, err); */
#ifndef TS_BASE_JSON_STREAM_H
#define TS_BASE_JSON_STREAM_H

#include "core/base/buf.h"

typedef struct ts_js {
    const char *text, *at, *end;
    ts_buf unescaped; /* private: the last string that had escapes */
    bool fresh;       /* private: a container was just entered */
    const char *problem;
} ts_js;

ts_js ts_js_over(const char *text, size_t n);
/* First character of the next value ('{' '[' '"' 't' 'f' 'n', a digit or '-'); 0 at the end or after a mistake. */
char ts_js_peek(ts_js *j);
bool ts_js_object(ts_js *j); /* enters one */
bool ts_js_array(ts_js *j);
/* Goes to the next member and gives its name, or leaves the object and answers false. Strings are borrowed until the
 * next string is read. */
bool ts_js_key(ts_js *j, const char **s, size_t *n);
bool ts_js_item(ts_js *j); /* goes to the next element, or leaves the array and answers false */
bool ts_js_str(ts_js *j, const char **s, size_t *n);
bool ts_js_int(ts_js *j, int64_t *v);
bool ts_js_num(ts_js *j, double *v); /* a finite number */
/* Steps over one value; its text, unchecked inside, is [*s, *s + *n) where s is not NULL. */
bool ts_js_skip(ts_js *j, const char **s, size_t *n);
/* Says that what was read makes no sense (`problem` is a constant sentence); answers false. */
bool ts_js_fail(ts_js *j, const char *problem);
/* Releases the cursor. TS_FORMAT with `what`, line and column if anything was wrong. */
TS_MUST_USE ts_status ts_js_finish(ts_js *j, const char *what, ts_err *err);

#endif
