/* Values as Python has them: truth, equality, order, printing, repr, json.dumps. */
#include "core/base/utf8.h"
#include "core/model/jinja_impl.h"
#include "core/text/normalize.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

jv jfail(jx *x, ts_status status, const char *fmt, ...) {
    char text[400];
    va_list args;
    if (x->status != TS_OK) return jundefined(NULL);
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    x->status = ts_fail(x->err, status, "the chat template, line %d: %s", x->line, text);
    return jundefined(NULL);
}

void *jalloc(jx *x, size_t n) {
    jcharge(x, n / 4);
    if (x->status == TS_OK && n > J_MEMORY_MAX - x->used) jfail(x, TS_LIMIT, "it takes more than 512 MB of memory");
    if (x->status != TS_OK) return NULL;
    x->used += n;
    return ts_arena_alloc(&x->arena, n);
}

char *jcopy(jx *x, const char *s, size_t n) {
    char *copy = jalloc(x, n + 1);
    if (!copy) return (char *)""; /* nobody writes into an empty one */
    if (n) memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

void jcharge(jx *x, size_t bytes) {
    x->steps += 1 + bytes / 64;
    if (x->steps > J_STEPS_MAX) jfail(x, TS_LIMIT, "it does not come to an end");
}

jv jnone(void) {
    return (jv){.kind = J_NONE};
}

jv jbool(bool b) {
    return (jv){.kind = J_BOOL, .b = b};
}

jv jint(int64_t i) {
    return (jv){.kind = J_INT, .i = i};
}

jv jfloat(double f) {
    return (jv){.kind = J_FLOAT, .f = f};
}

jv jundefined(const char *name) {
    return (jv){.kind = J_UNDEFINED, .name = name};
}

jv jtext(jx *x, const char *s, size_t n) {
    jbuild b = {0};
    jadd(x, &b, s, n);
    return jbuilt(x, &b);
}

jv jcstr(const char *s, jstr *room) {
    *room = (jstr){.s = s, .n = strlen(s)};
    return (jv){.kind = J_STR, .s = room};
}

jlist *jlist_new(jx *x) {
    static jlist none; /* after a failure nothing is pushed */
    jlist *l = jalloc(x, sizeof *l);
    if (!l) return &none;
    *l = (jlist){0};
    return l;
}

jv jlist_value(jlist *l, jkind kind) {
    return (jv){.kind = kind, .l = l};
}

void jlist_push(jx *x, jlist *l, jv v) {
    if (x->status != TS_OK) return;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 8;
        jv *items = jalloc(x, cap * sizeof *items);
        if (!items) return;
        if (l->n) memcpy(items, l->items, l->n * sizeof *items);
        l->items = items;
        l->cap = cap;
    }
    l->items[l->n++] = v;
}

jdict *jdict_new(jx *x) {
    static jdict none;
    jdict *d = jalloc(x, sizeof *d);
    if (!d) return &none;
    *d = (jdict){0};
    return d;
}

const jv *jdict_find(const jdict *d, const char *key) {
    for (size_t i = 0; i < d->n; i++)
        if (jis_str(d->items[i].key, key)) return &d->items[i].value;
    return NULL;
}

const jv *jdict_get(jx *x, const jdict *d, jv key) {
    jcharge(x, d->n * 8);
    for (size_t i = 0; i < d->n; i++)
        if (jequal(x, d->items[i].key, key)) return &d->items[i].value;
    return NULL;
}

static void jdict_append(jx *x, jdict *d, jv key, jv value) {
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 8;
        jpair *items = jalloc(x, cap * sizeof *items);
        if (!items) return;
        if (d->n) memcpy(items, d->items, d->n * sizeof *items);
        d->items = items;
        d->cap = cap;
    }
    d->items[d->n++] = (jpair){key, value};
}

void jdict_set(jx *x, jdict *d, jv key, jv value) {
    jv *have = (jv *)jdict_get(x, d, key);
    if (x->status != TS_OK) return;
    if (have)
        *have = value;
    else
        jdict_append(x, d, key, value);
}

/* ---- from JSON ---- */

static jv from_text(jx *x, const char *s, int source) {
    jstr *t = jalloc(x, sizeof *t);
    ts_jinja_run *run = source >= 0 && *s ? jalloc(x, sizeof *run) : NULL;
    if (!t) return jundefined(NULL);
    *t = (jstr){.s = s, .n = strlen(s)};
    if (ts_utf8_check(s, t->n) != t->n) {
        ts_buf good = TS_BUF_INIT;
        ts_utf8_repair(&good, s, t->n);
        char *copy = jalloc(x, good.len + 1);
        if (copy) {
            memcpy(copy, good.data, good.len);
            *t = (jstr){.s = copy, .n = good.len};
        }
        ts_buf_release(&good);
    }
    if (run) {
        *run = (ts_jinja_run){0, t->n, source, false};
        t->runs = run;
        t->n_runs = 1;
    }
    return (jv){.kind = J_STR, .s = t};
}

static jv from_number(const ts_json *v) {
    int64_t i;
    if (ts_json_int(v, INT64_MIN, INT64_MAX, &i)) return jint(i);
    return jfloat(ts_json_num(v, 0));
}

/* Strings anywhere in v belong to message `source` (-1: to nobody). */
jv jfrom_json(jx *x, const ts_json *v, int source) {
    if (ts_json_is_string(v)) return from_text(x, ts_json_str(v, ""), source);
    if (ts_json_is_bool(v)) return jbool(ts_json_is_true(v));
    if (ts_json_is_number(v)) return from_number(v);
    if (ts_json_is_array(v)) {
        jlist *l = jlist_new(x);
        for (const ts_json *c = ts_json_child(v); c; c = ts_json_next(c))
            jlist_push(x, l, jfrom_json(x, c, source));
        return jlist_value(l, J_LIST);
    }
    if (ts_json_is_object(v)) {
        jdict *d = jdict_new(x);
        for (const ts_json *c = ts_json_child(v); c; c = ts_json_next(c))
            jdict_append(x, d, from_text(x, ts_json_key(c), -1), jfrom_json(x, c, source));
        return (jv){.kind = J_DICT, .d = d};
    }
    return jnone();
}

jv jmessages(jx *x, const ts_json *array) {
    jlist *l = jlist_new(x);
    int i = 0;
    for (const ts_json *m = ts_json_child(array); m; m = ts_json_next(m), i++) {
        if (!ts_json_is_object(m)) {
            jlist_push(x, l, jfrom_json(x, m, -1));
            continue;
        }
        jdict *d = jdict_new(x);
        for (const ts_json *c = ts_json_child(m); c; c = ts_json_next(c)) {
            bool content = strcmp(ts_json_key(c), "content") == 0;
            jdict_append(x, d, from_text(x, ts_json_key(c), -1), jfrom_json(x, c, content ? i : -1));
        }
        jlist_push(x, l, (jv){.kind = J_DICT, .d = d});
    }
    return jlist_value(l, J_LIST);
}

/* ---- truth, equality, order ---- */

bool jis_number(jv v) {
    return v.kind == J_INT || v.kind == J_FLOAT || v.kind == J_BOOL;
}

double jnumber(jv v) {
    return v.kind == J_INT ? (double)v.i : v.kind == J_BOOL ? v.b : v.f;
}

bool jis_str(jv v, const char *s) {
    return v.kind == J_STR && v.s->n == strlen(s) && memcmp(v.s->s, s, v.s->n) == 0;
}

bool jis_list(jv v) {
    return v.kind == J_LIST || v.kind == J_TUPLE;
}

const char *jkind_name(jv v) {
    static const char *const names[] = {[J_UNDEFINED] = "Undefined", [J_NONE] = "NoneType",
                                        [J_BOOL] = "bool",           [J_INT] = "int",
                                        [J_FLOAT] = "float",         [J_STR] = "str",
                                        [J_LIST] = "list",           [J_TUPLE] = "tuple",
                                        [J_DICT] = "dict",           [J_NAMESPACE] = "Namespace",
                                        [J_MACRO] = "Macro",         [J_GLOBAL] = "function",
                                        [J_METHOD] = "method",       [J_LOOP] = "LoopContext"};
    return names[v.kind];
}

bool jtrue(jv v) {
    switch (v.kind) {
    case J_UNDEFINED:
    case J_NONE:
        return false;
    case J_BOOL:
        return v.b;
    case J_INT:
        return v.i != 0;
    case J_FLOAT:
        return v.f != 0;
    case J_STR:
        return v.s->n != 0;
    case J_LIST:
    case J_TUPLE:
        return v.l->n != 0;
    case J_DICT:
        return v.d->n != 0;
    default:
        return true;
    }
}

static bool equal_at(jx *x, jv a, jv b, int nest);

static bool equal_lists(jx *x, const jlist *a, const jlist *b, int nest) {
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n && x->status == TS_OK; i++)
        same = equal_at(x, a->items[i], b->items[i], nest);
    return same;
}

static bool equal_dicts(jx *x, const jdict *a, const jdict *b, int nest) {
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n && x->status == TS_OK; i++) {
        const jv *other = jdict_get(x, b, a->items[i].key);
        same = other && equal_at(x, a->items[i].value, *other, nest);
    }
    return same;
}

static bool equal_at(jx *x, jv a, jv b, int nest) {
    jcharge(x, 0);
    if (nest > J_NEST_MAX) jfail(x, TS_LIMIT, "lists are nested too deeply");
    if (x->status != TS_OK) return false;
    if (a.kind == J_INT && b.kind == J_INT) return a.i == b.i;
    if (jis_number(a) && jis_number(b)) return jnumber(a) == jnumber(b);
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case J_UNDEFINED:
    case J_NONE:
        return true;
    case J_STR:
        jcharge(x, a.s->n);
        return a.s->n == b.s->n && (a.s->n == 0 || memcmp(a.s->s, b.s->s, a.s->n) == 0);
    case J_LIST:
    case J_TUPLE:
        return a.l == b.l || equal_lists(x, a.l, b.l, nest + 1);
    case J_DICT:
        return a.d == b.d || equal_dicts(x, a.d, b.d, nest + 1);
    case J_GLOBAL:
        return strcmp(a.name, b.name) == 0;
    default:
        return a.d == b.d;
    }
}

bool jequal(jx *x, jv a, jv b) {
    return equal_at(x, a, b, 0);
}

int jcompare(jx *x, jv a, jv b) {
    if (a.kind == J_INT && b.kind == J_INT) return a.i < b.i ? -1 : a.i > b.i;
    if (jis_number(a) && jis_number(b)) return jnumber(a) < jnumber(b) ? -1 : jnumber(a) > jnumber(b);
    if (a.kind == J_STR && b.kind == J_STR) {
        int c = memcmp(a.s->s, b.s->s, TS_MIN(a.s->n, b.s->n)); /* UTF-8 sorts as its characters do */
        jcharge(x, a.s->n);
        return c ? (c < 0 ? -1 : 1) : a.s->n < b.s->n ? -1 : a.s->n > b.s->n;
    }
    if (jis_list(a) && a.kind == b.kind) {
        for (size_t i = 0; i < TS_MIN(a.l->n, b.l->n) && x->status == TS_OK; i++)
            if (!jequal(x, a.l->items[i], b.l->items[i])) {
                if (++x->depth > J_DEPTH_MAX) jfail(x, TS_LIMIT, "lists are nested too deeply");
                int c = x->status == TS_OK ? jcompare(x, a.l->items[i], b.l->items[i]) : 0;
                x->depth--;
                return c;
            }
        return a.l->n < b.l->n ? -1 : a.l->n > b.l->n;
    }
    jfail(x, TS_INVALID, "%s and %s cannot be put in order", jkind_name(a), jkind_name(b));
    return 0;
}

bool jcontains(jx *x, jv in, jv v) {
    if (in.kind == J_STR) {
        if (v.kind != J_STR) {
            jfail(x, TS_INVALID, "'in' with a string needs a string, not %s", jkind_name(v));
            return false;
        }
        jcharge(x, in.s->n);
        return jfind(in.s, v.s, 0) >= 0;
    }
    if (in.kind == J_DICT || in.kind == J_NAMESPACE) return jdict_get(x, in.d, v) != NULL;
    const jlist *l = jiterate(x, in);
    for (size_t i = 0; l && i < l->n && x->status == TS_OK; i++)
        if (jequal(x, l->items[i], v)) return true;
    return false;
}

const jlist *jiterate(jx *x, jv v) {
    jlist *l;
    if (jis_list(v)) return v.l;
    if (v.kind == J_UNDEFINED) return jlist_new(x);
    if (v.kind == J_DICT) {
        l = jlist_new(x);
        for (size_t i = 0; i < v.d->n; i++)
            jlist_push(x, l, v.d->items[i].key);
        return l;
    }
    if (v.kind == J_STR) {
        l = jlist_new(x);
        for (size_t i = 0, len; i < v.s->n && x->status == TS_OK; i += len) {
            len = ts_utf8_sequence(v.s->s + i, v.s->n - i);
            len = TS_MAX(len, 1);
            jlist_push(x, l, jsub(x, v.s, i, i + len));
        }
        return l;
    }
    jfail(x, TS_INVALID, "a %s cannot be looped over", jkind_name(v));
    return NULL;
}

/* ---- printing ---- */

static void print_float(jx *x, jbuild *b, double f) {
    char text[40], digits[32];
    int count = 1;
    if (!isfinite(f)) {
        const char *word = isnan(f) ? "nan" : f < 0 ? "-inf" : "inf";
        jadd(x, b, word, strlen(word));
        return;
    }
    do /* the shortest that reads back the same */
        snprintf(digits, sizeof digits, "%.*e", count - 1, f);
    while (strtod(digits, NULL) != f && ++count < 18);
    int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent >= -4 && exponent < 16) {
        snprintf(text, sizeof text, "%.*f", TS_MAX(count - 1 - exponent, 1), f);
        jadd(x, b, text, strlen(text));
        return;
    }
    size_t mantissa = (size_t)(strchr(digits, 'e') - digits);
    jadd(x, b, digits, mantissa);
    snprintf(text, sizeof text, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    jadd(x, b, text, strlen(text));
}

static void print_plain(jx *x, jbuild *b, jv v) {
    char text[64];
    switch (v.kind) {
    case J_NONE:
        jadd(x, b, "None", 4);
        break;
    case J_BOOL:
        jadd(x, b, v.b ? "True" : "False", v.b ? 4 : 5);
        break;
    case J_INT:
        snprintf(text, sizeof text, "%lld", (long long)v.i);
        jadd(x, b, text, strlen(text));
        break;
    case J_FLOAT:
        print_float(x, b, v.f);
        break;
    case J_UNDEFINED:
        break;
    default:
        snprintf(text, sizeof text, "<%s>", jkind_name(v));
        jadd(x, b, text, strlen(text));
    }
}

static void repr_str(jx *x, jbuild *b, const jstr *s) {
    bool single = memchr(s->s, '\'', s->n) != NULL && memchr(s->s, '"', s->n) == NULL;
    char quote = single ? '"' : '\'', text[16];
    jadd(x, b, &quote, 1);
    for (size_t i = 0, len; i < s->n; i += len) {
        uint32_t cp;
        len = ts_utf8_decode(s->s + i, s->n - i, &cp);
        if (cp == '\n' || cp == '\r' || cp == '\t')
            jadd(x, b, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t", 2);
        else if (cp == '\\' || cp == (unsigned char)quote) {
            jadd(x, b, "\\", 1);
            jadd(x, b, s->s + i, 1);
        } else if (cp < 0x20 || cp == 0x7f || (cp >= 0x80 && cp < 0xa1)) {
            snprintf(text, sizeof text, "\\x%02x", (unsigned)cp);
            jadd(x, b, text, 4);
        } else
            jadd(x, b, s->s + i, len);
    }
    jadd(x, b, &quote, 1);
}

static void repr_list(jx *x, jbuild *b, jv v, int nest) {
    bool list = v.kind == J_LIST;
    jadd(x, b, list ? "[" : "(", 1);
    for (size_t i = 0; i < v.l->n && x->status == TS_OK; i++) {
        if (i) jadd(x, b, ", ", 2);
        jrepr(x, b, v.l->items[i], nest + 1);
    }
    if (!list && v.l->n == 1) jadd(x, b, ",", 1);
    jadd(x, b, list ? "]" : ")", 1);
}

static void repr_dict(jx *x, jbuild *b, const jdict *d, int nest) {
    jadd(x, b, "{", 1);
    for (size_t i = 0; i < d->n && x->status == TS_OK; i++) {
        if (i) jadd(x, b, ", ", 2);
        jrepr(x, b, d->items[i].key, nest + 1);
        jadd(x, b, ": ", 2);
        jrepr(x, b, d->items[i].value, nest + 1);
    }
    jadd(x, b, "}", 1);
}

void jrepr(jx *x, jbuild *b, jv v, int nest) {
    if (nest > J_NEST_MAX) jfail(x, TS_LIMIT, "lists are nested too deeply");
    if (x->status != TS_OK) return;
    if (v.kind == J_STR)
        repr_str(x, b, v.s);
    else if (jis_list(v))
        repr_list(x, b, v, nest);
    else if (v.kind == J_DICT)
        repr_dict(x, b, v.d, nest);
    else if (v.kind == J_UNDEFINED)
        jadd(x, b, "Undefined", 9);
    else
        print_plain(x, b, v);
}

void jprint(jx *x, jbuild *b, jv v) {
    if (v.kind == J_STR)
        jadd_str(x, b, v.s, 0, v.s->n);
    else if (v.kind == J_UNDEFINED)
        return;
    else
        jrepr(x, b, v, 0);
}

jv jstr_of(jx *x, jv v) {
    jbuild b = {0};
    if (v.kind == J_STR) return v;
    jprint(x, &b, v);
    return jbuilt(x, &b);
}

/* ---- json.dumps ---- */

static void dump_str(jx *x, jbuild *b, const jstr *s, bool ascii) {
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    char text[16];
    size_t done = 0, len;
    jadd(x, b, "\"", 1);
    for (size_t i = 0; i < s->n; i += len) {
        uint32_t cp;
        len = ts_utf8_decode(s->s + i, s->n - i, &cp);
        const char *known = cp && cp < 0x80 ? strchr(from, (int)cp) : NULL;
        if (!known && cp >= 0x20 && (cp < 0x7f || !ascii)) continue;
        jadd_str(x, b, s, done, i);
        done = i + len;
        if (known)
            snprintf(text, sizeof text, "\\%c", to[known - from]);
        else if (cp < 0x10000)
            snprintf(text, sizeof text, "\\u%04x", (unsigned)cp);
        else
            snprintf(text, sizeof text, "\\u%04x\\u%04x", (unsigned)(0xd800 + ((cp - 0x10000) >> 10)),
                     (unsigned)(0xdc00 + ((cp - 0x10000) & 0x3ff)));
        jadd_as(x, b, text, strlen(text), jrun_at(s, i));
    }
    jadd_str(x, b, s, done, s->n);
    jadd(x, b, "\"", 1);
}

typedef struct dumping {
    const char *indent, *item, *key;
    bool sort, ascii;
} dumping;

static void dump(jx *x, jbuild *b, jv v, const dumping *how, int nest);

static void dump_newline(jx *x, jbuild *b, const dumping *how, int nest) {
    if (!how->indent) return;
    jadd(x, b, "\n", 1);
    for (int i = 0; i < nest; i++)
        jadd(x, b, how->indent, strlen(how->indent));
}

static void dump_key(jx *x, jbuild *b, jv key, const dumping *how) {
    jbuild text = {0};
    if (key.kind != J_STR) {
        dump(x, &text, key, how, 0); /* numbers, true, null become strings */
        key = jbuilt(x, &text);
    }
    if (x->status == TS_OK) dump_str(x, b, key.s, how->ascii);
    jadd(x, b, how->key, strlen(how->key));
}

static int by_key(const void *a, const void *b) {
    const jpair *p = a, *q = b;
    if (p->key.kind != J_STR || q->key.kind != J_STR) return 0;
    int c = memcmp(p->key.s->s, q->key.s->s, TS_MIN(p->key.s->n, q->key.s->n));
    return c ? c : p->key.s->n < q->key.s->n ? -1 : p->key.s->n > q->key.s->n;
}

static void dump_dict(jx *x, jbuild *b, const jdict *d, const dumping *how, int nest) {
    jpair *items = d->items;
    if (how->sort && d->n) {
        items = jalloc(x, d->n * sizeof *items);
        if (!items) return;
        memcpy(items, d->items, d->n * sizeof *items);
        qsort(items, d->n, sizeof *items, by_key);
    }
    jadd(x, b, "{", 1);
    for (size_t i = 0; i < d->n && x->status == TS_OK; i++) {
        if (i) jadd(x, b, how->item, strlen(how->item));
        dump_newline(x, b, how, nest + 1);
        dump_key(x, b, items[i].key, how);
        dump(x, b, items[i].value, how, nest + 1);
    }
    if (d->n) dump_newline(x, b, how, nest);
    jadd(x, b, "}", 1);
}

static void dump_list(jx *x, jbuild *b, const jlist *l, const dumping *how, int nest) {
    jadd(x, b, "[", 1);
    for (size_t i = 0; i < l->n && x->status == TS_OK; i++) {
        if (i) jadd(x, b, how->item, strlen(how->item));
        dump_newline(x, b, how, nest + 1);
        dump(x, b, l->items[i], how, nest + 1);
    }
    if (l->n) dump_newline(x, b, how, nest);
    jadd(x, b, "]", 1);
}

static void dump(jx *x, jbuild *b, jv v, const dumping *how, int nest) {
    if (nest > J_NEST_MAX) jfail(x, TS_LIMIT, "lists are nested too deeply");
    if (x->status != TS_OK) return;
    if (v.kind == J_STR)
        dump_str(x, b, v.s, how->ascii);
    else if (jis_list(v))
        dump_list(x, b, v.l, how, nest);
    else if (v.kind == J_DICT)
        dump_dict(x, b, v.d, how, nest);
    else if (v.kind == J_NONE)
        jadd(x, b, "null", 4);
    else if (v.kind == J_BOOL)
        jadd(x, b, v.b ? "true" : "false", v.b ? 4 : 5);
    else if (v.kind == J_INT || (v.kind == J_FLOAT && isfinite(v.f)))
        print_plain(x, b, v);
    else if (v.kind == J_FLOAT)
        jadd(x, b, isnan(v.f) ? "NaN" : v.f < 0 ? "-Infinity" : "Infinity", isnan(v.f) ? 3 : v.f < 0 ? 9 : 8);
    else
        jfail(x, TS_INVALID, "tojson: a %s is not JSON", jkind_name(v));
}

void jdumps(jx *x, jbuild *b, jv v, const char *indent, bool sort, const char *item, const char *key, bool ascii,
            int nest) {
    dumping how = {indent, item ? item : indent ? "," : ", ", key ? key : ": ", sort, ascii};
    dump(x, b, v, &how, nest);
}
