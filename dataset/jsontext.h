/* JSON as text: a strict check of one value, and views into text that was checked. Nothing is copied or rounded, so
 * what we do not understand can be kept as it was written. (core/base/json.h makes trees of documents we own; rows of
 * data come through here, a million of them, and have to be refused with a reason.) Any thread. */
#ifndef TS_DATASET_JSONTEXT_H
#define TS_DATASET_JSONTEXT_H

#include "core/base/buf.h"

enum { TS_JSON_MAX_DEPTH = 100 };

typedef enum ts_json_fault {
    TS_JSON_FINE,
    TS_JSON_BROKEN,        /* not JSON */
    TS_JSON_CUT,           /* ends in the middle */
    TS_JSON_UTF8,          /* bytes that are no UTF-8 */
    TS_JSON_NUL,           /* a NUL byte or \u0000 */
    TS_JSON_SURROGATE,     /* half of a \uD83D\uDE00 pair */
    TS_JSON_DEEP,          /* nested deeper than TS_JSON_MAX_DEPTH */
    TS_JSON_DUPLICATE_KEY, /* an object names a member twice */
} ts_json_fault;

/* Checks that text[0..n) is one JSON value (white space around it is fine). *at is the byte where it went wrong. */
ts_json_fault ts_json_check(const char *text, size_t n, size_t *at);

/* A value in checked text, without white space around it. p = NULL: there is none. */
typedef struct ts_jview {
    const char *p, *end;
} ts_jview;

ts_jview ts_jview_of(const char *text, size_t n); /* of the whole checked text */
/* First byte tells the kind: { [ " t f n, or a number's. 0 for none. */
static inline char ts_jview_kind(ts_jview v) {
    return v.p ? *v.p : 0;
}
/* Walks an object's members or an array's elements: *at starts as {0} and is moved on; false at the end. */
bool ts_jview_next(ts_jview container, ts_jview *at, ts_jview *key, ts_jview *value);
/* The member `name` of an object; none when it is not there or v is no object. */
ts_jview ts_jview_get(ts_jview object, const char *name);
size_t ts_jview_count(ts_jview container);
/* Appends the text that a string means; a key is a string too. */
void ts_jview_string(ts_jview string, ts_buf *out);
bool ts_jview_equals(ts_jview string, const char *text);
/* Appends the value as written, without white space between its parts. */
void ts_jview_compact(ts_jview v, ts_buf *out);

#endif
