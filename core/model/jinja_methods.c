/* Methods of Python's str, dict and list that templates call, of the loop, and the global functions. */
#include "core/base/utf8.h"
#include "core/model/jinja_impl.h"
#include "core/text/normalize.h"

#include <string.h>
#include <time.h>

typedef jv (*method)(jx *x, jv self, const jargs *a);

/* An optional string; none and nothing are NULL. */
static const jstr *str_arg(jx *x, const jargs *a, size_t i, const char *name) {
    jv v = jarg(a, i, name, jnone());
    if (v.kind != J_STR && v.kind != J_NONE) jfail(x, TS_INVALID, "a string is needed here, not a %s", jkind_name(v));
    return v.kind == J_STR ? v.s : NULL;
}

static const jstr *need_str(jx *x, const jargs *a, size_t i, const char *method_name) {
    static const jstr empty = {.s = ""};
    const jstr *s = str_arg(x, a, i, NULL);
    if (!s) jfail(x, TS_INVALID, "%s needs a string", method_name);
    return s ? s : &empty;
}

static int64_t count_arg(const jargs *a, size_t i, const char *name) {
    jv v = jarg(a, i, name, jint(-1));
    return v.kind == J_INT ? v.i : -1;
}

static jv s_strip(jx *x, jv self, const jargs *a) {
    return jstrip(x, self.s, str_arg(x, a, 0, NULL), true, true);
}

static jv s_lstrip(jx *x, jv self, const jargs *a) {
    return jstrip(x, self.s, str_arg(x, a, 0, NULL), true, false);
}

static jv s_rstrip(jx *x, jv self, const jargs *a) {
    return jstrip(x, self.s, str_arg(x, a, 0, NULL), false, true);
}

static bool has_at(const jstr *s, const jstr *part, bool at_end) {
    return part->n <= s->n && (part->n == 0 || memcmp(at_end ? s->s + s->n - part->n : s->s, part->s, part->n) == 0);
}

/* One string or a tuple of them. */
static jv starts_or_ends(jx *x, jv self, const jargs *a, bool at_end) {
    jv what = jarg(a, 0, NULL, jnone());
    if (what.kind == J_STR) return jbool(has_at(self.s, what.s, at_end));
    if (!jis_list(what)) return jfail(x, TS_INVALID, "%s needs a string", at_end ? "endswith" : "startswith");
    for (size_t i = 0; i < what.l->n; i++)
        if (what.l->items[i].kind == J_STR && has_at(self.s, what.l->items[i].s, at_end)) return jbool(true);
    return jbool(false);
}

static jv s_startswith(jx *x, jv self, const jargs *a) {
    return starts_or_ends(x, self, a, false);
}

static jv s_endswith(jx *x, jv self, const jargs *a) {
    return starts_or_ends(x, self, a, true);
}

static jv s_split(jx *x, jv self, const jargs *a) {
    return jsplit(x, self.s, str_arg(x, a, 0, "sep"), count_arg(a, 1, "maxsplit"), false);
}

static jv s_rsplit(jx *x, jv self, const jargs *a) {
    return jsplit(x, self.s, str_arg(x, a, 0, "sep"), count_arg(a, 1, "maxsplit"), true);
}

static jv s_splitlines(jx *x, jv self, const jargs *a) {
    return jsplitlines(x, self.s, jtrue(jarg(a, 0, "keepends", jbool(false))));
}

/* (before, separator, behind) at the first or the last place. */
static jv s_partition(jx *x, jv self, const jargs *a) {
    const jstr *by = need_str(x, a, 0, "partition");
    ptrdiff_t at = jfind(self.s, by, 0);
    jlist *l = jlist_new(x);
    size_t cut = at < 0 ? self.s->n : (size_t)at, next = at < 0 ? self.s->n : cut + by->n;
    jlist_push(x, l, jsub(x, self.s, 0, cut));
    jlist_push(x, l, jsub(x, self.s, cut, next));
    jlist_push(x, l, jsub(x, self.s, next, self.s->n));
    return jlist_value(l, J_TUPLE);
}

static jv s_upper(jx *x, jv self, const jargs *a) {
    (void)a;
    return jchange_case(x, self.s, CASE_UPPER);
}

static jv s_lower(jx *x, jv self, const jargs *a) {
    (void)a;
    return jchange_case(x, self.s, CASE_LOWER);
}

static jv s_title(jx *x, jv self, const jargs *a) {
    (void)a;
    return jchange_case(x, self.s, CASE_TITLE);
}

static jv s_capitalize(jx *x, jv self, const jargs *a) {
    (void)a;
    return jchange_case(x, self.s, CASE_CAPITAL);
}

static jv s_replace(jx *x, jv self, const jargs *a) {
    const jstr *from = need_str(x, a, 0, "replace"), *to = need_str(x, a, 1, "replace");
    return jreplace(x, self.s, from, to, count_arg(a, 2, "count"));
}

static jv s_find(jx *x, jv self, const jargs *a) {
    ptrdiff_t at = jfind(self.s, need_str(x, a, 0, "find"), 0);
    jcharge(x, self.s->n);
    return jint(at < 0 ? -1 : (int64_t)jlength(&(jstr){.s = self.s->s, .n = (size_t)at}));
}

static jv s_count(jx *x, jv self, const jargs *a) {
    const jstr *part = need_str(x, a, 0, "count");
    int64_t n = 0;
    jcharge(x, self.s->n);
    if (part->n == 0) return jint((int64_t)jlength(self.s) + 1);
    for (ptrdiff_t at = jfind(self.s, part, 0); at >= 0; at = jfind(self.s, part, (size_t)at + part->n))
        n++;
    return jint(n);
}

static jv s_join(jx *x, jv self, const jargs *a) {
    return jjoin(x, self.s, jarg(a, 0, NULL, jundefined(NULL)));
}

static jv s_removeprefix(jx *x, jv self, const jargs *a) {
    const jstr *part = need_str(x, a, 0, "removeprefix");
    return has_at(self.s, part, false) ? jsub(x, self.s, part->n, self.s->n) : self;
}

static jv s_removesuffix(jx *x, jv self, const jargs *a) {
    const jstr *part = need_str(x, a, 0, "removesuffix");
    return has_at(self.s, part, true) ? jsub(x, self.s, 0, self.s->n - part->n) : self;
}

static bool is_digit(uint32_t cp) {
    return cp < 0x80 ? cp >= '0' && cp <= '9' : ts_is_numeric(cp);
}

static bool is_alnum(uint32_t cp) {
    return ts_is_letter(cp) || is_digit(cp);
}

static jv all_are(jv self, bool (*is)(uint32_t)) {
    bool all = self.s->n > 0;
    for (size_t i = 0; all && i < self.s->n;) {
        uint32_t cp;
        i += ts_utf8_decode(self.s->s + i, self.s->n - i, &cp);
        all = is(cp);
    }
    return jbool(all);
}

static jv s_isdigit(jx *x, jv self, const jargs *a) {
    (void)x, (void)a;
    return all_are(self, is_digit);
}

static jv s_isalpha(jx *x, jv self, const jargs *a) {
    (void)x, (void)a;
    return all_are(self, ts_is_letter);
}

static jv s_isalnum(jx *x, jv self, const jargs *a) {
    (void)x, (void)a;
    return all_are(self, is_alnum);
}

static jv s_isspace(jx *x, jv self, const jargs *a) {
    (void)x, (void)a;
    return all_are(self, jpy_space);
}

static jv s_isupper(jx *x, jv self, const jargs *a) {
    return jbool(jtest(x, "upper", self, a));
}

static jv s_islower(jx *x, jv self, const jargs *a) {
    return jbool(jtest(x, "lower", self, a));
}

/* The value a {} of str.format means: the next one, one by number or one by name. */
static jv field(jx *x, const char *name, size_t n, const jargs *a, size_t *next) {
    size_t i = 0;
    if (n == 0) return jarg(a, (*next)++, NULL, jundefined(NULL));
    for (size_t k = 0; k < n && n < 6; k++)
        i = name[k] >= '0' && name[k] <= '9' && i != SIZE_MAX ? i * 10 + (size_t)(name[k] - '0') : SIZE_MAX;
    if (n < 6 && i != SIZE_MAX) return jarg(a, i, NULL, jundefined(NULL));
    return jarg(a, SIZE_MAX, jcopy(x, name, n), jundefined(NULL));
}

static jv s_format(jx *x, jv self, const jargs *a) {
    const jstr *f = self.s;
    jbuild b = {0};
    size_t next = 0;
    for (size_t i = 0; i < f->n && x->status == TS_OK; i++) {
        char c = f->s[i];
        if ((c == '{' || c == '}') && i + 1 < f->n && f->s[i + 1] == c) {
            jadd_str(x, &b, f, i, i + 1);
            i++;
        } else if (c != '{') {
            jadd_str(x, &b, f, i, i + 1);
        } else {
            const char *end = memchr(f->s + i, '}', f->n - i);
            size_t n = end ? (size_t)(end - f->s) - i - 1 : 0;
            if (!end || memchr(f->s + i + 1, ':', n) || memchr(f->s + i + 1, '.', n))
                return jfail(x, TS_UNSUPPORTED, "format does only {}, {0} and {name}");
            jv v = field(x, f->s + i + 1, n, a, &next);
            if (v.kind == J_UNDEFINED)
                return jfail(x, TS_INVALID, "format has no value for {%.*s}", (int)TS_MIN(n, 60), f->s + i + 1);
            jprint(x, &b, v);
            i += n + 1;
        }
    }
    return jbuilt(x, &b);
}

static jv d_get(jx *x, jv self, const jargs *a) {
    const jv *v = jdict_get(x, self.d, jarg(a, 0, NULL, jnone()));
    return v ? *v : jarg(a, 1, "default", jnone());
}

static jv d_items(jx *x, jv self, const jargs *a) {
    return jfilter(x, "items", self, a);
}

static jv d_keys(jx *x, jv self, const jargs *a) {
    return jfilter(x, "list", self, a);
}

static jv d_values(jx *x, jv self, const jargs *a) {
    jlist *l = jlist_new(x);
    (void)a;
    for (size_t i = 0; i < self.d->n; i++)
        jlist_push(x, l, self.d->items[i].value);
    return jlist_value(l, J_LIST);
}

static jv l_index(jx *x, jv self, const jargs *a) {
    jv what = jarg(a, 0, NULL, jundefined(NULL));
    for (size_t i = 0; i < self.l->n && x->status == TS_OK; i++)
        if (jequal(x, self.l->items[i], what)) return jint((int64_t)i);
    return jfail(x, TS_INVALID, "index: the value is not in the list");
}

static jv l_count(jx *x, jv self, const jargs *a) {
    int64_t n = 0;
    for (size_t i = 0; i < self.l->n && x->status == TS_OK; i++)
        n += jequal(x, self.l->items[i], jarg(a, 0, NULL, jundefined(NULL)));
    return jint(n);
}

/* As the sandbox that templates run in elsewhere. */
static jv l_changes(jx *x, jv self, const jargs *a) {
    (void)self, (void)a;
    return jfail(x, TS_UNSUPPORTED, "a template may not change lists and dicts; make a new one with +");
}

static jv o_cycle(jx *x, jv self, const jargs *a) {
    return a->n ? a->items[self.loop->at % a->n] : jfail(x, TS_INVALID, "cycle needs values");
}

static jv o_changed(jx *x, jv self, const jargs *a) {
    jv now = jarg(a, 0, NULL, jundefined(NULL));
    bool same = self.loop->has_changed && jequal(x, self.loop->changed, now);
    self.loop->changed = now;
    self.loop->has_changed = true;
    return jbool(!same);
}

static const struct {
    jkind kind; /* J_LIST stands for tuples too */
    const char *name;
    method call;
} methods[] = {
    {J_STR, "strip", s_strip},
    {J_STR, "lstrip", s_lstrip},
    {J_STR, "rstrip", s_rstrip},
    {J_STR, "startswith", s_startswith},
    {J_STR, "endswith", s_endswith},
    {J_STR, "split", s_split},
    {J_STR, "rsplit", s_rsplit},
    {J_STR, "splitlines", s_splitlines},
    {J_STR, "partition", s_partition},
    {J_STR, "upper", s_upper},
    {J_STR, "lower", s_lower},
    {J_STR, "title", s_title},
    {J_STR, "capitalize", s_capitalize},
    {J_STR, "replace", s_replace},
    {J_STR, "find", s_find},
    {J_STR, "count", s_count},
    {J_STR, "join", s_join},
    {J_STR, "format", s_format},
    {J_STR, "removeprefix", s_removeprefix},
    {J_STR, "removesuffix", s_removesuffix},
    {J_STR, "isdigit", s_isdigit},
    {J_STR, "isnumeric", s_isdigit},
    {J_STR, "isalpha", s_isalpha},
    {J_STR, "isalnum", s_isalnum},
    {J_STR, "isspace", s_isspace},
    {J_STR, "isupper", s_isupper},
    {J_STR, "islower", s_islower},
    {J_DICT, "get", d_get},
    {J_DICT, "items", d_items},
    {J_DICT, "keys", d_keys},
    {J_DICT, "values", d_values},
    {J_DICT, "update", l_changes},
    {J_DICT, "pop", l_changes},
    {J_LIST, "index", l_index},
    {J_LIST, "count", l_count},
    {J_LIST, "append", l_changes},
    {J_LIST, "extend", l_changes},
    {J_LIST, "insert", l_changes},
    {J_LIST, "pop", l_changes},
    {J_LOOP, "cycle", o_cycle},
    {J_LOOP, "changed", o_changed},
};

static method find_method(jkind kind, const char *name) {
    if (kind == J_TUPLE) kind = J_LIST;
    for (size_t i = 0; i < TS_COUNT(methods); i++)
        if (methods[i].kind == kind && strcmp(methods[i].name, name) == 0) return methods[i].call;
    return NULL;
}

bool jhas_method(jv self, const char *name) {
    return find_method(self.kind, name) != NULL;
}

jv jmethod_call(jx *x, jv self, const char *name, const jargs *a) {
    method call = find_method(self.kind, name);
    ts_assert(call != NULL);
    return call(x, self, a);
}

/* ---- global functions ---- */

static jv g_raise(jx *x, jv self, const jargs *a) {
    jv words = jstr_of(x, jarg(a, 0, "message", jundefined(NULL)));
    (void)self;
    if (x->status == TS_OK) x->status = ts_fail(x->err, TS_INVALID, "%.*s", (int)TS_MIN(words.s->n, 500), words.s->s);
    return jundefined(NULL);
}

static jv g_strftime(jx *x, jv self, const jargs *a) {
    const jstr *format = need_str(x, a, 0, "strftime_now");
    char text[256];
    time_t now = time(NULL);
    struct tm tm;
    (void)self;
    localtime_r(&now, &tm);
    char *copy = jcopy(x, format->s, format->n);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = strftime(text, sizeof text, copy, &tm); /* bounded by text, whatever the template's format says */
#pragma GCC diagnostic pop
    return jtext(x, text, n);
}

static jv g_range(jx *x, jv self, const jargs *a) {
    int64_t v[3] = {0, 0, 1};
    jlist *l = jlist_new(x);
    (void)self;
    for (size_t i = 0; i < a->n && i < 3; i++) {
        if (a->items[i].kind != J_INT) return jfail(x, TS_INVALID, "range needs whole numbers");
        v[i] = a->items[i].i;
    }
    if (a->n == 1) {
        v[1] = v[0];
        v[0] = 0;
    }
    if (a->n == 0 || a->n > 3 || v[2] == 0) return jfail(x, TS_INVALID, "range needs one to three whole numbers");
    if (v[0] < -(1ll << 40) || v[0] > 1ll << 40 || v[1] < -(1ll << 40) || v[1] > 1ll << 40 || v[2] < -(1ll << 40) ||
        v[2] > 1ll << 40)
        return jfail(x, TS_LIMIT, "range: a number is out of bounds");
    for (int64_t i = v[0]; (v[2] > 0 ? i < v[1] : i > v[1]) && x->status == TS_OK; i += v[2]) {
        if (l->n == J_RANGE_MAX) return jfail(x, TS_LIMIT, "range: more than %d numbers", J_RANGE_MAX);
        jlist_push(x, l, jint(i));
    }
    return jlist_value(l, J_LIST);
}

static jv new_dict(jx *x, const jargs *a, jkind kind) {
    jdict *d = jdict_new(x);
    jv from = jarg(a, 0, NULL, jnone());
    for (size_t i = 0; from.kind == J_DICT && i < from.d->n; i++)
        jdict_set(x, d, from.d->items[i].key, from.d->items[i].value);
    for (size_t i = 0; i < a->n_kw && x->status == TS_OK; i++)
        jdict_set(x, d, jtext(x, a->kw[i].name, strlen(a->kw[i].name)), a->kw[i].value);
    return (jv){.kind = kind, .d = d};
}

static jv g_namespace(jx *x, jv self, const jargs *a) {
    (void)self;
    return new_dict(x, a, J_NAMESPACE);
}

static jv g_dict(jx *x, jv self, const jargs *a) {
    (void)self;
    return new_dict(x, a, J_DICT);
}

static const struct {
    const char *name;
    method call;
} globals[] = {
    {"raise_exception", g_raise},
    {"strftime_now", g_strftime},
    {"range", g_range},
    {"namespace", g_namespace},
    {"dict", g_dict},
};

bool jhas_global(const char *name) {
    for (size_t i = 0; i < TS_COUNT(globals); i++)
        if (strcmp(globals[i].name, name) == 0) return true;
    return false;
}

jv jglobal_call(jx *x, const char *name, const jargs *a) {
    for (size_t i = 0; i < TS_COUNT(globals); i++)
        if (strcmp(globals[i].name, name) == 0) return globals[i].call(x, jnone(), a);
    return jfail(x, TS_UNSUPPORTED, "there is no function %.100s", name);
}
