/* The filters, one table row each. */
#include "core/model/jinja_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

jv jarg(const jargs *a, size_t i, const char *name, jv otherwise) {
    if (i < a->n) return a->items[i];
    for (size_t k = 0; name && k < a->n_kw; k++)
        if (strcmp(a->kw[k].name, name) == 0) return a->kw[k].value;
    return otherwise;
}

/* A string argument; NULL (after saying so, unless it may be none) when it is something else. */
static const jstr *str_arg(jx *x, const jargs *a, size_t i, const char *name, const jstr *otherwise) {
    jv v = jarg(a, i, name, jnone());
    if (v.kind == J_STR) return v.s;
    if (v.kind != J_NONE && v.kind != J_UNDEFINED)
        jfail(x, TS_INVALID, "a string is needed here, not a %s", jkind_name(v));
    return otherwise;
}

static int64_t int_arg(jx *x, const jargs *a, size_t i, const char *name, int64_t otherwise) {
    jv v = jarg(a, i, name, jnone());
    if (v.kind == J_INT) return v.i;
    if (v.kind != J_NONE && v.kind != J_UNDEFINED)
        jfail(x, TS_INVALID, "a whole number is needed here, not a %s", jkind_name(v));
    return otherwise;
}

static const jstr *text_of(jx *x, jv v) {
    return jstr_of(x, v).s;
}

/* ---- text ---- */

static jv f_trim(jx *x, jv v, const jargs *a) {
    return jstrip(x, text_of(x, v), str_arg(x, a, 0, "chars", NULL), true, true);
}

static jv f_upper(jx *x, jv v, const jargs *a) {
    (void)a;
    return jchange_case(x, text_of(x, v), CASE_UPPER);
}

static jv f_lower(jx *x, jv v, const jargs *a) {
    (void)a;
    return jchange_case(x, text_of(x, v), CASE_LOWER);
}

static jv f_title(jx *x, jv v, const jargs *a) {
    (void)a;
    return jchange_case(x, text_of(x, v), CASE_TITLE);
}

static jv f_capitalize(jx *x, jv v, const jargs *a) {
    (void)a;
    return jchange_case(x, text_of(x, v), CASE_CAPITAL);
}

static jv f_string(jx *x, jv v, const jargs *a) {
    (void)a;
    return jstr_of(x, v);
}

static jv f_replace(jx *x, jv v, const jargs *a) {
    const jstr *from = str_arg(x, a, 0, "old", NULL), *to = str_arg(x, a, 1, "new", NULL);
    if (!from || !to) return jfail(x, TS_INVALID, "replace needs two strings");
    return jreplace(x, text_of(x, v), from, to, int_arg(x, a, 2, "count", -1));
}

static jv f_indent(jx *x, jv v, const jargs *a) {
    jv width = jarg(a, 0, "width", jint(4));
    jstr space = {.s = " ", .n = 1};
    if (width.kind != J_STR && width.kind != J_INT)
        return jfail(x, TS_INVALID, "indent needs a width, not a %s", jkind_name(width));
    if (width.kind == J_INT) width = jrepeat(x, &space, TS_MIN(width.i, 10000));
    return jindent(x, text_of(x, v), width.s, jtrue(jarg(a, 1, "first", jbool(false))),
                   jtrue(jarg(a, 2, "blank", jbool(false))));
}

static jv f_escape(jx *x, jv v, const jargs *a) {
    static const struct {
        char c;
        const char *as;
    } table[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&#34;"}, {'\'', "&#39;"}};
    const jstr *s = text_of(x, v);
    jbuild b = {0};
    size_t done = 0;
    (void)a;
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < TS_COUNT(table); k++) {
            if (s->s[i] != table[k].c) continue;
            jadd_str(x, &b, s, done, i);
            jadd_as(x, &b, table[k].as, strlen(table[k].as), jrun_at(s, i));
            done = i + 1;
        }
    jadd_str(x, &b, s, done, s->n);
    return jbuilt(x, &b);
}

static jv f_safe(jx *x, jv v, const jargs *a) {
    (void)x;
    (void)a;
    return v;
}

static jv f_format(jx *x, jv v, const jargs *a) {
    jlist values = {a->items, a->n, a->n};
    return jformat(x, text_of(x, v), jlist_value(&values, J_TUPLE));
}

static jv f_wordcount(jx *x, jv v, const jargs *a) {
    jv words = jsplit(x, text_of(x, v), NULL, -1, false);
    (void)a;
    return x->status == TS_OK ? jint((int64_t)words.l->n) : jint(0);
}

/* json.dumps(v, ensure_ascii, indent, separators, sort_keys) with transformers' defaults. */
static jv f_tojson(jx *x, jv v, const jargs *a) {
    jv indent = jarg(a, 1, "indent", jnone()), separators = jarg(a, 2, "separators", jnone());
    jbuild b = {0};
    char spaces[65], *pad = NULL, *marks[2] = {NULL, NULL};
    if (indent.kind == J_INT) {
        int n = (int)TS_MAX(0, TS_MIN(indent.i, 64));
        snprintf(spaces, sizeof spaces, "%*s", n, "");
        pad = spaces;
    } else if (indent.kind == J_STR) {
        pad = jcopy(x, indent.s->s, indent.s->n);
    }
    for (size_t i = 0; jis_list(separators) && separators.l->n == 2 && i < 2; i++) {
        jv mark = separators.l->items[i];
        if (mark.kind == J_STR) marks[i] = jcopy(x, mark.s->s, mark.s->n);
    }
    jdumps(x, &b, v, pad, jtrue(jarg(a, 3, "sort_keys", jbool(false))), marks[0], marks[1],
           jtrue(jarg(a, 0, "ensure_ascii", jbool(false))), 0);
    return jbuilt(x, &b);
}

/* ---- numbers ---- */

static jv f_int(jx *x, jv v, const jargs *a) {
    jv otherwise = jarg(a, 0, "default", jint(0));
    if (v.kind == J_INT) return v;
    if (v.kind == J_BOOL) return jint(v.b);
    if (v.kind == J_FLOAT) return isfinite(v.f) && fabs(v.f) < 9e18 ? jint((int64_t)v.f) : otherwise;
    if (v.kind != J_STR) return otherwise;
    char *text = jcopy(x, v.s->s, v.s->n), *end;
    long long i = strtoll(text, &end, 10);
    if (end != text && *(end + strspn(end, " \t\r\n")) == 0) return jint(i);
    double f = strtod(text, &end);
    return end != text && *end == 0 && fabs(f) < 9e18 ? jint((int64_t)f) : otherwise;
}

static jv f_float(jx *x, jv v, const jargs *a) {
    jv otherwise = jarg(a, 0, "default", jfloat(0));
    if (jis_number(v)) return jfloat(jnumber(v));
    if (v.kind != J_STR) return otherwise;
    char *text = jcopy(x, v.s->s, v.s->n), *end;
    double f = strtod(text, &end);
    return end != text && *(end + strspn(end, " \t\r\n")) == 0 ? jfloat(f) : otherwise;
}

static jv f_abs(jx *x, jv v, const jargs *a) {
    (void)a;
    if (v.kind == J_INT && v.i != INT64_MIN) return jint(v.i < 0 ? -v.i : v.i);
    if (v.kind == J_FLOAT) return jfloat(fabs(v.f));
    return v.kind == J_BOOL ? jint(v.b) : jfail(x, TS_INVALID, "abs needs a number, not a %s", jkind_name(v));
}

/* To even at .5, as Python's round. */
static jv f_round(jx *x, jv v, const jargs *a) {
    int64_t digits = int_arg(x, a, 0, "precision", 0);
    const jstr *how = str_arg(x, a, 1, "method", NULL);
    if (!jis_number(v)) return jfail(x, TS_INVALID, "round needs a number, not a %s", jkind_name(v));
    double scale = pow(10, (double)TS_MAX(-300, TS_MIN(digits, 300))), f = jnumber(v) * scale;
    bool up = how && how->n == 4 && memcmp(how->s, "ceil", 4) == 0, down = how && how->n == 5;
    f = up ? ceil(f) : down && memcmp(how->s, "floor", 5) == 0 ? floor(f) : nearbyint(f);
    return jfloat(f / scale);
}

/* ---- lists ---- */

static jv f_length(jx *x, jv v, const jargs *a) {
    (void)a;
    if (v.kind == J_STR) return jint((int64_t)jlength(v.s));
    if (v.kind == J_DICT) return jint((int64_t)v.d->n);
    if (v.kind == J_UNDEFINED) return jint(0);
    if (!jis_list(v)) return jfail(x, TS_INVALID, "a %s has no length", jkind_name(v));
    return jint((int64_t)v.l->n);
}

static jv f_first(jx *x, jv v, const jargs *a) {
    const jlist *l = jiterate(x, v);
    (void)a;
    return l && l->n ? l->items[0] : jundefined("the first of nothing");
}

static jv f_last(jx *x, jv v, const jargs *a) {
    const jlist *l = jiterate(x, v);
    (void)a;
    return l && l->n ? l->items[l->n - 1] : jundefined("the last of nothing");
}

static jv copy_list(jx *x, jv v) {
    const jlist *from = jiterate(x, v);
    jlist *l = jlist_new(x);
    for (size_t i = 0; from && i < from->n; i++)
        jlist_push(x, l, from->items[i]);
    return jlist_value(l, J_LIST);
}

static jv f_list(jx *x, jv v, const jargs *a) {
    (void)a;
    return copy_list(x, v);
}

static jv f_reverse(jx *x, jv v, const jargs *a) {
    (void)a;
    jv l = v.kind == J_DICT ? copy_list(x, v) : v;
    return jslice(x, l, jnone(), jnone(), jint(-1));
}

/* a.b.0 of v; undefined where there is none. */
static jv path(jx *x, jv v, jv name) {
    if (name.kind == J_INT) return jitem(x, v, name);
    if (name.kind != J_STR) return jfail(x, TS_INVALID, "an attribute's name is needed, not a %s", jkind_name(name));
    char *part = jcopy(x, name.s->s, name.s->n), *next;
    for (; part && v.kind != J_UNDEFINED && x->status == TS_OK; part = next) {
        next = strchr(part, '.');
        if (next) *next++ = 0;
        if (*part && strspn(part, "0123456789") == strlen(part)) {
            v = jitem(x, v, jint(strtol(part, NULL, 10)));
            continue;
        }
        jstr room; /* an item goes before an attribute here, as in Jinja's environment.getitem */
        jv key = jcstr(part, &room);
        v = v.kind == J_DICT ? jitem(x, v, key) : jattribute(x, v, part);
    }
    return v;
}

static jv f_join(jx *x, jv v, const jargs *a) {
    static const jstr nothing = {.s = ""};
    jv attribute = jarg(a, 1, "attribute", jnone());
    if (attribute.kind != J_NONE) {
        const jlist *from = jiterate(x, v);
        jlist *l = jlist_new(x);
        for (size_t i = 0; from && i < from->n && x->status == TS_OK; i++)
            jlist_push(x, l, path(x, from->items[i], attribute));
        v = jlist_value(l, J_LIST);
    }
    return jjoin(x, str_arg(x, a, 0, "d", &nothing), v);
}

/* The arguments from the i-th on. */
static jargs rest(const jargs *a, size_t i) {
    jargs r = *a;
    r.items += TS_MIN(i, a->n);
    r.n -= TS_MIN(i, a->n);
    return r;
}

static char *name_arg(jx *x, const jargs *a, size_t i) {
    jv v = jarg(a, i, NULL, jnone());
    if (v.kind != J_STR) {
        jfail(x, TS_INVALID, "a name is needed here, not a %s", jkind_name(v));
        return NULL;
    }
    return jcopy(x, v.s->s, v.s->n);
}

/* map('filter', ...) or map(attribute='a.b', default=...) */
static jv f_map(jx *x, jv v, const jargs *a) {
    const jlist *from = jiterate(x, v);
    jv attribute = jarg(a, 1000, "attribute", jnone()), otherwise = jarg(a, 1000, "default", jundefined(NULL));
    char *name = attribute.kind == J_NONE ? name_arg(x, a, 0) : NULL;
    jargs more = rest(a, 1);
    jlist *l = jlist_new(x);
    for (size_t i = 0; from && i < from->n && x->status == TS_OK; i++) {
        jv one = name ? jfilter(x, name, from->items[i], &more) : path(x, from->items[i], attribute);
        jlist_push(x, l, one.kind == J_UNDEFINED && !name ? otherwise : one);
    }
    return jlist_value(l, J_LIST);
}

static jv choose(jx *x, jv v, const jargs *a, bool by_attribute, bool wanted) {
    const jlist *from = jiterate(x, v);
    jargs more = rest(a, by_attribute ? 2 : 1);
    jv attribute = jarg(a, 0, NULL, jnone());
    char *name = a->n > by_attribute ? name_arg(x, a, by_attribute) : NULL;
    jlist *l = jlist_new(x);
    for (size_t i = 0; from && i < from->n && x->status == TS_OK; i++) {
        jv one = by_attribute ? path(x, from->items[i], attribute) : from->items[i];
        if ((name ? jtest(x, name, one, &more) : jtrue(one)) == wanted) jlist_push(x, l, from->items[i]);
    }
    return jlist_value(l, J_LIST);
}

static jv f_select(jx *x, jv v, const jargs *a) {
    return choose(x, v, a, false, true);
}

static jv f_reject(jx *x, jv v, const jargs *a) {
    return choose(x, v, a, false, false);
}

static jv f_selectattr(jx *x, jv v, const jargs *a) {
    return choose(x, v, a, true, true);
}

static jv f_rejectattr(jx *x, jv v, const jargs *a) {
    return choose(x, v, a, true, false);
}

/* ---- order ---- */

/* What is compared: the value or its attribute, in lower case unless case counts. */
static jv sort_key(jx *x, jv v, jv attribute, bool case_sensitive) {
    if (attribute.kind != J_NONE) v = path(x, v, attribute);
    return v.kind == J_STR && !case_sensitive ? jchange_case(x, v.s, CASE_LOWER) : v;
}

/* Stable merge sort of pairs by key. */
static void sort_pairs(jx *x, jpair *p, jpair *spare, size_t n, bool reverse) {
    if (n < 2 || x->status != TS_OK) return;
    size_t half = n / 2, i = 0, k = half, out = 0;
    sort_pairs(x, p, spare, half, reverse);
    sort_pairs(x, p + half, spare, n - half, reverse);
    while (i < half && k < n && x->status == TS_OK) {
        int c = jcompare(x, p[i].key, p[k].key);
        spare[out++] = (reverse ? c >= 0 : c <= 0) ? p[i++] : p[k++];
        jcharge(x, 0);
    }
    while (i < half)
        spare[out++] = p[i++];
    memcpy(p, spare, out * sizeof *p);
}

static jv sorted(jx *x, const jlist *from, jv attribute, bool case_sensitive, bool reverse) {
    jlist *l = jlist_new(x);
    size_t n = from ? from->n : 0;
    jpair *p = jalloc(x, (n + 1) * sizeof *p), *spare = jalloc(x, (n + 1) * sizeof *p);
    if (!p || !spare) return jundefined(NULL);
    for (size_t i = 0; i < n; i++)
        p[i] = (jpair){sort_key(x, from->items[i], attribute, case_sensitive), from->items[i]};
    sort_pairs(x, p, spare, n, reverse);
    for (size_t i = 0; i < n; i++)
        jlist_push(x, l, p[i].value);
    return jlist_value(l, J_LIST);
}

static jv f_sort(jx *x, jv v, const jargs *a) {
    return sorted(x, jiterate(x, v), jarg(a, 2, "attribute", jnone()),
                  jtrue(jarg(a, 1, "case_sensitive", jbool(false))), jtrue(jarg(a, 0, "reverse", jbool(false))));
}

static jv items_of(jx *x, jv v) {
    jlist *l = jlist_new(x);
    if (v.kind == J_UNDEFINED) return jlist_value(l, J_LIST);
    if (v.kind != J_DICT) return jfail(x, TS_INVALID, "a %s has no items", jkind_name(v));
    for (size_t i = 0; i < v.d->n; i++) {
        jlist *pair = jlist_new(x);
        jlist_push(x, pair, v.d->items[i].key);
        jlist_push(x, pair, v.d->items[i].value);
        jlist_push(x, l, jlist_value(pair, J_TUPLE));
    }
    return jlist_value(l, J_LIST);
}

static jv f_items(jx *x, jv v, const jargs *a) {
    (void)a;
    return items_of(x, v);
}

static jv f_dictsort(jx *x, jv v, const jargs *a) {
    jv by = jarg(a, 1, "by", jnone()), list = items_of(x, v);
    if (x->status != TS_OK) return list;
    return sorted(x, list.l, jint(jis_str(by, "value")), jtrue(jarg(a, 0, "case_sensitive", jbool(false))),
                  jtrue(jarg(a, 2, "reverse", jbool(false))));
}

static jv f_unique(jx *x, jv v, const jargs *a) {
    const jlist *from = jiterate(x, v);
    bool case_sensitive = jtrue(jarg(a, 0, "case_sensitive", jbool(false)));
    jv attribute = jarg(a, 1, "attribute", jnone());
    jlist *l = jlist_new(x), *seen = jlist_new(x);
    for (size_t i = 0; from && i < from->n && x->status == TS_OK; i++) {
        jv key = sort_key(x, from->items[i], attribute, case_sensitive);
        if (jcontains(x, jlist_value(seen, J_LIST), key)) continue;
        jlist_push(x, seen, key);
        jlist_push(x, l, from->items[i]);
    }
    return jlist_value(l, J_LIST);
}

static jv extreme(jx *x, jv v, const jargs *a, bool largest) {
    jv attribute = jarg(a, 1, "attribute", jnone());
    jv l = sorted(x, jiterate(x, v), attribute, jtrue(jarg(a, 0, "case_sensitive", jbool(false))), largest);
    return x->status == TS_OK && l.l->n ? l.l->items[0] : jundefined("the extreme of nothing");
}

static jv f_min(jx *x, jv v, const jargs *a) {
    return extreme(x, v, a, false);
}

static jv f_max(jx *x, jv v, const jargs *a) {
    return extreme(x, v, a, true);
}

static jv f_sum(jx *x, jv v, const jargs *a) {
    const jlist *l = jiterate(x, v);
    jv attribute = jarg(a, 0, "attribute", jnone()), sum = jarg(a, 1, "start", jint(0));
    for (size_t i = 0; l && i < l->n && x->status == TS_OK; i++)
        sum = jbinary(x, "+", sum, attribute.kind == J_NONE ? l->items[i] : path(x, l->items[i], attribute));
    return sum;
}

static jv f_default(jx *x, jv v, const jargs *a) {
    bool falsy_too = jtrue(jarg(a, 1, "boolean", jbool(false)));
    (void)x;
    return v.kind == J_UNDEFINED || (falsy_too && !jtrue(v)) ? jarg(a, 0, "default_value", jundefined(NULL)) : v;
}

static jv f_attr(jx *x, jv v, const jargs *a) {
    char *name = name_arg(x, a, 0);
    return name ? jattribute(x, v, name) : v;
}

static const struct {
    const char *name;
    jv (*filter)(jx *x, jv v, const jargs *a);
} filters[] = {
    {"abs", f_abs},
    {"attr", f_attr},
    {"capitalize", f_capitalize},
    {"count", f_length},
    {"d", f_default},
    {"default", f_default},
    {"dictsort", f_dictsort},
    {"e", f_escape},
    {"escape", f_escape},
    {"first", f_first},
    {"float", f_float},
    {"format", f_format},
    {"indent", f_indent},
    {"int", f_int},
    {"items", f_items},
    {"join", f_join},
    {"last", f_last},
    {"length", f_length},
    {"list", f_list},
    {"lower", f_lower},
    {"map", f_map},
    {"max", f_max},
    {"min", f_min},
    {"reject", f_reject},
    {"replace", f_replace},
    {"reverse", f_reverse},
    {"round", f_round},
    {"rejectattr", f_rejectattr},
    {"safe", f_safe},
    {"select", f_select},
    {"selectattr", f_selectattr},
    {"sort", f_sort},
    {"string", f_string},
    {"sum", f_sum},
    {"title", f_title},
    {"tojson", f_tojson},
    {"trim", f_trim},
    {"unique", f_unique},
    {"upper", f_upper},
    {"wordcount", f_wordcount},
};

jv jfilter(jx *x, const char *name, jv v, const jargs *a) {
    jv result = v;
    for (size_t i = 0; i < TS_COUNT(filters); i++) {
        if (strcmp(filters[i].name, name) != 0) continue;
        if (++x->depth > J_DEPTH_MAX) jfail(x, TS_LIMIT, "filters are nested too deeply");
        if (x->status == TS_OK) result = filters[i].filter(x, v, a);
        x->depth--;
        return result;
    }
    return jfail(x, TS_UNSUPPORTED, "unknown filter %.100s", name);
}
