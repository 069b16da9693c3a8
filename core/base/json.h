/* JSON, on cJSON (its only home): reading small documents into a tree, and writing any document piece by piece.
 *
 * Reading: names are looked up case-sensitively, trailing text and NUL escapes (\u0000, which cJSON would take for the
 * end of a string) are refused, nesting stops at 1,000. Numbers are doubles: integers are exact to 2^53.
 * What is borrowed from a tree lives until ts_json_free of its root. A tree belongs to one thread. */
#ifndef TS_BASE_JSON_H
#define TS_BASE_JSON_H

#include "core/base/buf.h"

typedef struct cJSON ts_json;

/* Parses n bytes. NULL on failure, with line and column in err. The caller frees the root. */
TS_MUST_USE ts_json *ts_json_parse(const char *text, size_t n, ts_err *err);
/* Reads and parses a file of at most max bytes. */
TS_MUST_USE ts_json *ts_json_read(const char *path, size_t max, ts_err *err);
void ts_json_free(ts_json *root); /* NULL is fine */

/* All take NULL and then answer "not there". */
const ts_json *ts_json_get(const ts_json *object, const char *key);
const ts_json *ts_json_child(const ts_json *v); /* first element or member, NULL at the end */
const ts_json *ts_json_next(const ts_json *v);  /* the one behind it */
const char *ts_json_key(const ts_json *member); /* the name of a member of an object */
size_t ts_json_count(const ts_json *v);
bool ts_json_is_object(const ts_json *v);
bool ts_json_is_array(const ts_json *v);
bool ts_json_is_string(const ts_json *v);
bool ts_json_is_number(const ts_json *v);
bool ts_json_is_bool(const ts_json *v);
bool ts_json_is_null(const ts_json *v); /* a null that is there; NULL itself gives false */
bool ts_json_is_true(const ts_json *v);
const char *ts_json_str(const ts_json *v, const char *otherwise);
double ts_json_num(const ts_json *v, double otherwise);
/* A whole number within [min, max]; false (out untouched) for anything else. */
bool ts_json_int(const ts_json *v, int64_t min, int64_t max, int64_t *out);
void ts_json_print(const ts_json *v, ts_buf *out); /* compact, appended */

/* The writer puts commas and quotes; the caller nests rightly.
 *   ts_jw w = ts_jw_to(&buf); ts_jw_obj(&w); ts_jw_key(&w, "loss"); ts_jw_num(&w, 1.5); ts_jw_end_obj(&w); */
typedef struct ts_jw {
    ts_buf *out;
    bool comma;
} ts_jw;
ts_jw ts_jw_to(ts_buf *out);
void ts_jw_obj(ts_jw *w);
void ts_jw_end_obj(ts_jw *w);
void ts_jw_arr(ts_jw *w);
void ts_jw_end_arr(ts_jw *w);
void ts_jw_key(ts_jw *w, const char *key);
void ts_jw_str(ts_jw *w, const char *s);            /* NULL writes null */
void ts_jw_strn(ts_jw *w, const char *s, size_t n); /* invalid UTF-8 becomes U+FFFD */
void ts_jw_int(ts_jw *w, int64_t v);
void ts_jw_num(ts_jw *w, double v); /* shortest text that reads back equal; not finite: null */
void ts_jw_bool(ts_jw *w, bool v);
void ts_jw_null(ts_jw *w);
void ts_jw_raw(ts_jw *w, const char *json, size_t n); /* text that is JSON already */
/* key and value in one call */
void ts_jw_kstr(ts_jw *w, const char *key, const char *v);
void ts_jw_kint(ts_jw *w, const char *key, int64_t v);
void ts_jw_knum(ts_jw *w, const char *key, double v);
void ts_jw_kbool(ts_jw *w, const char *key, bool v);

#endif
