/* Whether an answer is JSON, and of the wanted shape. */
#include "core/base/utf8.h"
#include "eval/metrics.h"

#include <math.h>
#include <string.h>

static const char blanks[] = " \t\r\n";

static ts_text trim(ts_text t) {
    while (t.n && memchr(blanks, t.s[t.n - 1], 4))
        t.n--;
    while (t.n && memchr(blanks, t.s[0], 4))
        t.s++, t.n--;
    return t;
}

/* The text within ``` and ```, when all of it stands between them; the word behind the first fence names the language.
 */
static ts_text unfenced(ts_text t) {
    t = trim(t);
    if (t.n < 7 || memcmp(t.s, "```", 3) != 0 || memcmp(t.s + t.n - 3, "```", 3) != 0) return t;
    const char *line = memchr(t.s, '\n', t.n);
    if (!line || line >= t.s + t.n - 3) return t;
    return trim((ts_text){line + 1, (size_t)(t.s + t.n - 3 - line - 1)});
}

static ts_json *parse(ts_text t) {
    ts_err ignored;
    t = unfenced(t);
    return t.n ? ts_json_parse(t.s, t.n, &ignored) : NULL;
}

bool ts_json_valid(ts_text t) {
    ts_json *v = parse(t);
    ts_json_free(v);
    return v != NULL;
}

bool ts_json_valid_for(ts_text t, const ts_json *schema) {
    ts_json *v = parse(t);
    bool fits = v && ts_json_fits(schema, v);
    ts_json_free(v);
    return fits;
}

static bool is_whole(const ts_json *v) {
    double x = ts_json_num(v, NAN);
    return ts_json_is_number(v) && x == floor(x);
}

static bool has_type(const char *type, const ts_json *v) {
    static const struct {
        const char *name;
        bool (*is)(const ts_json *v);
    } types[] = {{"object", ts_json_is_object}, {"array", ts_json_is_array},  {"string", ts_json_is_string},
                 {"number", ts_json_is_number}, {"boolean", ts_json_is_bool}, {"null", ts_json_is_null},
                 {"integer", is_whole}};
    for (size_t i = 0; i < TS_COUNT(types); i++)
        if (strcmp(types[i].name, type) == 0) return types[i].is(v);
    return false;
}

static bool fits_type(const ts_json *type, const ts_json *v) {
    if (!ts_json_is_array(type)) return !type || has_type(ts_json_str(type, ""), v);
    for (const ts_json *t = ts_json_child(type); t; t = ts_json_next(t))
        if (has_type(ts_json_str(t, ""), v)) return true;
    return false;
}

static bool same(const ts_json *a, const ts_json *b);

static bool same_members(const ts_json *a, const ts_json *b) {
    for (const ts_json *m = ts_json_child(a); m; m = ts_json_next(m))
        if (!same(m, ts_json_get(b, ts_json_key(m)))) return false;
    return true;
}

static bool same_elements(const ts_json *a, const ts_json *b) {
    const ts_json *y = ts_json_child(b);
    for (const ts_json *x = ts_json_child(a); x; x = ts_json_next(x), y = ts_json_next(y))
        if (!same(x, y)) return false;
    return true;
}

static bool same(const ts_json *a, const ts_json *b) {
    if (!a || !b || ts_json_count(a) != ts_json_count(b)) return false;
    if (ts_json_is_object(a)) return ts_json_is_object(b) && same_members(a, b);
    if (ts_json_is_array(a)) return ts_json_is_array(b) && same_elements(a, b);
    if (ts_json_is_string(a)) return ts_json_is_string(b) && strcmp(ts_json_str(a, ""), ts_json_str(b, "")) == 0;
    if (ts_json_is_number(a)) return ts_json_is_number(b) && ts_json_num(a, 0) == ts_json_num(b, 0);
    if (ts_json_is_bool(a)) return ts_json_is_bool(b) && ts_json_is_true(a) == ts_json_is_true(b);
    return ts_json_is_null(a) && ts_json_is_null(b);
}

static bool is_one_of(const ts_json *list, const ts_json *v) {
    for (const ts_json *x = ts_json_child(list); x; x = ts_json_next(x))
        if (same(x, v)) return true;
    return false;
}

/* minimum and maximum of whatever is counted. */
static bool within(const ts_json *schema, const char *least, const char *most, double n) {
    return n >= ts_json_num(ts_json_get(schema, least), -INFINITY) &&
           n <= ts_json_num(ts_json_get(schema, most), INFINITY);
}

static double characters(const char *s) {
    double n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static bool fits_object(const ts_json *schema, const ts_json *v) {
    const ts_json *properties = ts_json_get(schema, "properties"), *more = ts_json_get(schema, "additionalProperties");
    for (const ts_json *k = ts_json_child(ts_json_get(schema, "required")); k; k = ts_json_next(k))
        if (!ts_json_get(v, ts_json_str(k, ""))) return false;
    for (const ts_json *m = ts_json_child(v); m; m = ts_json_next(m)) {
        const ts_json *known = ts_json_get(properties, ts_json_key(m));
        if (!known && ts_json_is_bool(more) && !ts_json_is_true(more)) return false;
        if (!ts_json_fits(known ? known : more, m)) return false;
    }
    return true;
}

static bool fits_array(const ts_json *schema, const ts_json *v) {
    if (!within(schema, "minItems", "maxItems", (double)ts_json_count(v))) return false;
    for (const ts_json *x = ts_json_child(v); x; x = ts_json_next(x))
        if (!ts_json_fits(ts_json_get(schema, "items"), x)) return false;
    return true;
}

bool ts_json_fits(const ts_json *schema, const ts_json *v) {
    if (ts_json_is_bool(schema)) return ts_json_is_true(schema);
    if (!ts_json_is_object(schema)) return true;
    const ts_json *listed = ts_json_get(schema, "enum"), *constant = ts_json_get(schema, "const");
    if (!fits_type(ts_json_get(schema, "type"), v)) return false;
    if (listed && !is_one_of(listed, v)) return false;
    if (constant && !same(constant, v)) return false;
    if (ts_json_is_object(v)) return fits_object(schema, v);
    if (ts_json_is_array(v)) return fits_array(schema, v);
    if (ts_json_is_number(v)) return within(schema, "minimum", "maximum", ts_json_num(v, NAN));
    if (ts_json_is_string(v)) return within(schema, "minLength", "maxLength", characters(ts_json_str(v, "")));
    return true;
}
