/* The tests behind `is`, one table row each. */
#include "core/model/jinja_impl.h"
#include "core/text/normalize.h"

#include "core/base/utf8.h"

#include <string.h>

static jv other(const jargs *a) {
    return jarg(a, 0, NULL, jundefined(NULL));
}

static bool t_defined(jx *x, jv v, const jargs *a) {
    (void)x, (void)a;
    return v.kind != J_UNDEFINED;
}

static bool t_undefined(jx *x, jv v, const jargs *a) {
    (void)x, (void)a;
    return v.kind == J_UNDEFINED;
}

static bool t_none(jx *x, jv v, const jargs *a) {
    (void)x, (void)a;
    return v.kind == J_NONE;
}

static bool t_true(jx *x, jv v, const jargs *a) {
    (void)x, (void)a;
    return v.kind == J_BOOL && v.b;
}

static bool t_false(jx *x, jv v, const jargs *a) {
    (void)x, (void)a;
    return v.kind == J_BOOL && !v.b;
}

static bool t_boolean(jx *x, jv v, const jargs *a) {
    (void)x, (void)a;
    return v.kind == J_BOOL;
}

static bool t_integer(jx *x, jv v, const jargs *a) {
    (void)x, (void)a;
    return v.kind == J_INT;
}

static bool t_float(jx *x, jv v, const jargs *a) {
    (void)x, (void)a;
    return v.kind == J_FLOAT;
}

static bool t_number(jx *x, jv v, const jargs *a) {
    (void)x, (void)a;
    return jis_number(v);
}

static bool t_string(jx *x, jv v, const jargs *a) {
    (void)x, (void)a;
    return v.kind == J_STR;
}

static bool t_mapping(jx *x, jv v, const jargs *a) {
    (void)x, (void)a;
    return v.kind == J_DICT;
}

static bool t_sequence(jx *x, jv v, const jargs *a) {
    (void)x, (void)a;
    return v.kind == J_STR || v.kind == J_DICT || jis_list(v) || v.kind == J_UNDEFINED;
}

static bool t_callable(jx *x, jv v, const jargs *a) {
    (void)x, (void)a;
    return v.kind == J_MACRO || v.kind == J_GLOBAL || v.kind == J_METHOD;
}

static bool t_eq(jx *x, jv v, const jargs *a) {
    return jequal(x, v, other(a));
}

static bool t_ne(jx *x, jv v, const jargs *a) {
    return !jequal(x, v, other(a));
}

static bool t_lt(jx *x, jv v, const jargs *a) {
    return jcompare(x, v, other(a)) < 0;
}

static bool t_le(jx *x, jv v, const jargs *a) {
    return jcompare(x, v, other(a)) <= 0;
}

static bool t_gt(jx *x, jv v, const jargs *a) {
    return jcompare(x, v, other(a)) > 0;
}

static bool t_ge(jx *x, jv v, const jargs *a) {
    return jcompare(x, v, other(a)) >= 0;
}

static bool t_in(jx *x, jv v, const jargs *a) {
    return jcontains(x, other(a), v);
}

static bool t_sameas(jx *x, jv v, const jargs *a) {
    jv o = other(a);
    return v.kind == o.kind && (jis_list(v) || v.kind == J_DICT ? v.d == o.d : jequal(x, v, o));
}

static bool remainder_is(jx *x, jv v, jv by, int64_t what) {
    if (v.kind != J_INT || by.kind != J_INT) {
        jfail(x, TS_INVALID, "this test needs whole numbers, not a %s", jkind_name(v.kind != J_INT ? v : by));
        return false;
    }
    jv rest = jbinary(x, "%", v, by);
    return x->status == TS_OK && rest.i == what;
}

static bool t_even(jx *x, jv v, const jargs *a) {
    (void)a;
    return remainder_is(x, v, jint(2), 0);
}

static bool t_odd(jx *x, jv v, const jargs *a) {
    (void)a;
    return remainder_is(x, v, jint(2), 1);
}

static bool t_divisible(jx *x, jv v, const jargs *a) {
    return remainder_is(x, v, other(a), 0);
}

/* Has letters of the case and none of the other. */
static bool all_case(jx *x, jv v, bool upper) {
    bool any = false;
    jv s = jstr_of(x, v);
    for (size_t i = 0, len; i < s.s->n; i += len) {
        uint32_t cp;
        len = ts_utf8_decode(s.s->s + i, s.s->n - i, &cp);
        if (upper ? ts_is_lower(cp) : ts_is_upper(cp)) return false;
        any = any || (upper ? ts_is_upper(cp) : ts_is_lower(cp));
    }
    return any;
}

static bool t_upper(jx *x, jv v, const jargs *a) {
    (void)a;
    return all_case(x, v, true);
}

static bool t_lower(jx *x, jv v, const jargs *a) {
    (void)a;
    return all_case(x, v, false);
}

static const struct {
    const char *name;
    bool (*test)(jx *x, jv v, const jargs *a);
} tests[] = {
    {"defined", t_defined},
    {"undefined", t_undefined},
    {"none", t_none},
    {"true", t_true},
    {"false", t_false},
    {"boolean", t_boolean},
    {"integer", t_integer},
    {"float", t_float},
    {"number", t_number},
    {"string", t_string},
    {"mapping", t_mapping},
    {"sequence", t_sequence},
    {"iterable", t_sequence},
    {"callable", t_callable},
    {"eq", t_eq},
    {"==", t_eq},
    {"equalto", t_eq},
    {"ne", t_ne},
    {"!=", t_ne},
    {"lt", t_lt},
    {"<", t_lt},
    {"lessthan", t_lt},
    {"le", t_le},
    {"<=", t_le},
    {"gt", t_gt},
    {">", t_gt},
    {"greaterthan", t_gt},
    {"ge", t_ge},
    {">=", t_ge},
    {"in", t_in},
    {"sameas", t_sameas},
    {"even", t_even},
    {"odd", t_odd},
    {"divisibleby", t_divisible},
    {"upper", t_upper},
    {"lower", t_lower},
};

bool jtest(jx *x, const char *name, jv v, const jargs *a) {
    for (size_t i = 0; i < TS_COUNT(tests); i++)
        if (strcmp(tests[i].name, name) == 0) return tests[i].test(x, v, a);
    jfail(x, TS_UNSUPPORTED, "unknown test %.100s", name);
    return false;
}
