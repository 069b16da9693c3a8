/* Walking the tree. */
#include "core/model/jinja_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static jv eval(jx *x, const jnode *e);

/* ---- names ---- */

static jframe *new_frame(jx *x, jframe *parent) {
    static jframe none;
    jframe *f = jalloc(x, sizeof *f);
    if (!f) return &none;
    *f = (jframe){.parent = parent};
    return f;
}

static jvar *find_here(jframe *f, const char *name) {
    for (size_t i = f->n; i > 0; i--)
        if (strcmp(f->vars[i - 1].name, name) == 0) return &f->vars[i - 1];
    return NULL;
}

static void assign(jx *x, jframe *f, const char *name, jv value) {
    if (x->status != TS_OK) return;
    jvar *have = find_here(f, name);
    if (have) {
        have->value = value;
        return;
    }
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 8;
        jvar *vars = jalloc(x, cap * sizeof *vars);
        if (!vars) return;
        if (f->n) memcpy(vars, f->vars, f->n * sizeof *vars);
        f->vars = vars;
        f->cap = cap;
    }
    f->vars[f->n++] = (jvar){name, value};
}

static jv lookup(jx *x, const char *name) {
    for (jframe *f = x->frame; f; f = f->parent) {
        jvar *v = find_here(f, name);
        if (v) return v->value;
    }
    return jhas_global(name) ? (jv){.kind = J_GLOBAL, .name = name} : jundefined(name);
}

/* ---- attributes and items ---- */

static jv fail_undefined(jx *x, jv v) {
    return v.name ? jfail(x, TS_INVALID, "'%.100s' is undefined", v.name)
                  : jfail(x, TS_INVALID, "a value is undefined");
}

static jv bind(jx *x, jv self, const char *name) {
    jmethod *m = jalloc(x, sizeof *m);
    if (!m) return jundefined(name);
    *m = (jmethod){self, name};
    return (jv){.kind = J_METHOD, .method = m};
}

static jv loop_attribute(jx *x, jv self, const char *name) {
    const jloop *l = self.loop;
    int64_t at = (int64_t)l->at, n = (int64_t)l->items->n;
    const struct {
        const char *name;
        jv value;
    } table[] = {
        {"index", jint(at + 1)},
        {"index0", jint(at)},
        {"revindex", jint(n - at)},
        {"revindex0", jint(n - at - 1)},
        {"first", jbool(at == 0)},
        {"last", jbool(at == n - 1)},
        {"length", jint(n)},
        {"depth", jint(l->depth)},
        {"depth0", jint(l->depth - 1)},
    };
    for (size_t i = 0; i < TS_COUNT(table); i++)
        if (strcmp(table[i].name, name) == 0) return table[i].value;
    if (strcmp(name, "previtem") == 0 && at > 0) return l->items->items[at - 1];
    if (strcmp(name, "nextitem") == 0 && at + 1 < n) return l->items->items[at + 1];
    return jhas_method(self, name) ? bind(x, self, name) : jundefined(name);
}

jv jattribute(jx *x, jv v, const char *name) {
    const jv *member;
    if (v.kind == J_UNDEFINED) return fail_undefined(x, v);
    if (v.kind == J_LOOP) return loop_attribute(x, v, name);
    if (v.kind != J_NAMESPACE && jhas_method(v, name)) return bind(x, v, name);
    if (v.kind != J_DICT && v.kind != J_NAMESPACE) return jundefined(name);
    member = jdict_find(v.d, name);
    return member ? *member : jundefined(name);
}

static jv item_at(jx *x, jv v, int64_t i) {
    int64_t n = (int64_t)(v.kind == J_STR ? jlength(v.s) : v.l->n);
    if (i < 0) i += n;
    if (i < 0 || i >= n) return jundefined("the element asked for");
    if (jis_list(v)) return v.l->items[i];
    size_t start = jbyte_at(v.s, (size_t)i);
    jcharge(x, v.s->n);
    return jsub(x, v.s, start, start + jbyte_at(&(jstr){.s = v.s->s + start, .n = v.s->n - start}, 1));
}

jv jitem(jx *x, jv v, jv key) {
    const jv *member;
    if (v.kind == J_UNDEFINED) return fail_undefined(x, v);
    if (v.kind == J_DICT || v.kind == J_NAMESPACE) {
        member = jdict_get(x, v.d, key);
        if (member) return *member;
    } else if ((v.kind == J_STR || jis_list(v)) && (key.kind == J_INT || key.kind == J_BOOL)) {
        return item_at(x, v, key.kind == J_INT ? key.i : key.b);
    }
    if (key.kind != J_STR) return jundefined("item");
    const char *name = jcopy(x, key.s->s, key.s->n);
    return v.kind == J_DICT && !jhas_method(v, name) ? jundefined(name) : jattribute(x, v, name);
}

/* ---- operators ---- */

static jv bad_operands(jx *x, const char *op, jv a, jv b) {
    if (a.kind == J_UNDEFINED) return fail_undefined(x, a);
    if (b.kind == J_UNDEFINED) return fail_undefined(x, b);
    return jfail(x, TS_INVALID, "%s does not work with a %s and a %s", op, jkind_name(a), jkind_name(b));
}

static jv whole(jx *x, const char *op, int64_t a, int64_t b) {
    int64_t r = 0;
    bool over = false;
    if ((*op == '/' || *op == '%') && b == 0) return jfail(x, TS_INVALID, "division by zero");
    if (b == -1 && (*op == '/' || *op == '%')) { /* INT64_MIN / -1 overflows */
        over = *op == '/' && __builtin_sub_overflow((int64_t)0, a, &r);
    } else if (*op == '+') {
        over = __builtin_add_overflow(a, b, &r);
    } else if (*op == '-') {
        over = __builtin_sub_overflow(a, b, &r);
    } else if (*op == '*') {
        over = __builtin_mul_overflow(a, b, &r);
    } else { /* rounding down, as Python does */
        int64_t q = a / b, rest = a % b;
        if (rest && (rest < 0) != (b < 0)) {
            q--;
            rest += b;
        }
        r = *op == '%' ? rest : q;
    }
    return over ? jfail(x, TS_LIMIT, "a number is out of range") : jint(r);
}

static jv power(jx *x, jv a, jv b) {
    int64_t r = 1;
    if (a.kind == J_FLOAT || b.kind == J_FLOAT || jnumber(b) < 0) return jfloat(pow(jnumber(a), jnumber(b)));
    int64_t base = (int64_t)jnumber(a), n = (int64_t)jnumber(b);
    if (base == 0 || base == 1) return jint(n ? base : 1);
    if (base == -1) return jint(n % 2 ? -1 : 1);
    for (; n > 0 && x->status == TS_OK; n--)
        if (__builtin_mul_overflow(r, base, &r)) jfail(x, TS_LIMIT, "a number is out of range");
    return jint(r);
}

static jv arithmetic(jx *x, const char *op, jv a, jv b) {
    bool divide = strcmp(op, "/") == 0;
    if (strcmp(op, "**") == 0) return power(x, a, b);
    if (a.kind != J_FLOAT && b.kind != J_FLOAT && !divide)
        return whole(x, op, a.kind == J_BOOL ? a.b : a.i, b.kind == J_BOOL ? b.b : b.i);
    double p = jnumber(a), q = jnumber(b);
    if ((*op == '/' || *op == '%') && q == 0) return jfail(x, TS_INVALID, "division by zero");
    if (*op == '+') return jfloat(p + q);
    if (*op == '-') return jfloat(p - q);
    if (*op == '*') return jfloat(p * q);
    if (divide) return jfloat(p / q);
    return jfloat(*op == '/' ? floor(p / q) : p - q * floor(p / q));
}

static jv join_lists(jx *x, jv a, jv b) {
    jlist *l = jlist_new(x);
    for (size_t i = 0; i < a.l->n; i++)
        jlist_push(x, l, a.l->items[i]);
    for (size_t i = 0; i < b.l->n; i++)
        jlist_push(x, l, b.l->items[i]);
    return jlist_value(l, a.kind);
}

static jv repeat(jx *x, jv v, int64_t times) {
    if (v.kind == J_STR) return jrepeat(x, v.s, times);
    jlist *l = jlist_new(x);
    for (int64_t i = 0; v.l->n && i < times && x->status == TS_OK; i++)
        for (size_t k = 0; k < v.l->n; k++)
            jlist_push(x, l, v.l->items[k]);
    return jlist_value(l, v.kind);
}

jv jbinary(jx *x, const char *op, jv a, jv b) {
    bool a_row = a.kind == J_STR || jis_list(a), b_row = b.kind == J_STR || jis_list(b);
    if (*op == '~') {
        jv left = jstr_of(x, a), right = jstr_of(x, b);
        return jconcat(x, left.s, right.s);
    }
    if (jis_number(a) && jis_number(b)) return arithmetic(x, op, a, b);
    if (strcmp(op, "+") == 0 && a.kind == J_STR && b.kind == J_STR) return jconcat(x, a.s, b.s);
    if (strcmp(op, "+") == 0 && jis_list(a) && a.kind == b.kind) return join_lists(x, a, b);
    if (strcmp(op, "*") == 0 && a_row && b.kind == J_INT) return repeat(x, a, b.i);
    if (strcmp(op, "*") == 0 && b_row && a.kind == J_INT) return repeat(x, b, a.i);
    if (*op == '%' && a.kind == J_STR) return jformat(x, a.s, b);
    return bad_operands(x, op, a, b);
}

static jv eval_unary(jx *x, const jnode *e) {
    jv v = eval(x, e->a);
    if (*e->op == 'n') return jbool(!jtrue(v));
    if (!jis_number(v)) return bad_operands(x, e->op, v, v);
    if (v.kind == J_FLOAT) return jfloat(*e->op == '-' ? -v.f : v.f);
    return whole(x, e->op, 0, v.kind == J_BOOL ? v.b : v.i);
}

static bool compare_one(jx *x, const char *op, jv a, jv b) {
    if (strcmp(op, "in") == 0) return jcontains(x, b, a);
    if (strcmp(op, "not in") == 0) return !jcontains(x, b, a);
    if (strcmp(op, "==") == 0) return jequal(x, a, b);
    if (strcmp(op, "!=") == 0) return !jequal(x, a, b);
    if (a.kind == J_UNDEFINED || b.kind == J_UNDEFINED) {
        bad_operands(x, op, a, b);
        return false;
    }
    int c = jcompare(x, a, b);
    return op[0] == '<' ? (op[1] ? c <= 0 : c < 0) : (op[1] ? c >= 0 : c > 0);
}

static jv eval_compare(jx *x, const jnode *e) {
    jv left = eval(x, e->a);
    for (size_t i = 0; i < e->list.n && x->status == TS_OK; i++) {
        jv right = eval(x, e->list.items[i]);
        if (x->status != TS_OK || !compare_one(x, e->ops[i], left, right)) return jbool(false);
        left = right;
    }
    return jbool(true);
}

static jv eval_binary(jx *x, const jnode *e) {
    jv a = eval(x, e->a);
    if (strcmp(e->op, "and") == 0) return jtrue(a) ? eval(x, e->b) : a;
    if (strcmp(e->op, "or") == 0) return jtrue(a) ? a : eval(x, e->b);
    jv b = eval(x, e->b);
    return x->status == TS_OK ? jbinary(x, e->op, a, b) : a;
}

/* ---- calls ---- */

static jargs eval_args(jx *x, const jnode *e) {
    jargs a = {.n = e->list.n, .n_kw = e->n_kwargs};
    a.items = jalloc(x, (a.n + 1) * sizeof *a.items);
    a.kw = jalloc(x, (a.n_kw + 1) * sizeof *a.kw);
    for (size_t i = 0; x->status == TS_OK && i < a.n; i++)
        a.items[i] = eval(x, e->list.items[i]);
    for (size_t i = 0; x->status == TS_OK && i < a.n_kw; i++)
        a.kw[i] = (jvar){e->kwargs[i].name, eval(x, e->kwargs[i].value)};
    if (x->status != TS_OK) a.n = a.n_kw = 0;
    return a;
}

/* What `body` prints, as a string. */
static jv capture(jx *x, const jnodes *body) {
    jbuild b = {0}, *out = x->out;
    x->out = &b;
    jrun_statements(x, body);
    x->out = out;
    return jbuilt(x, &b);
}

static const jvar *kwarg(const jargs *a, const char *name) {
    for (size_t i = 0; i < a->n_kw; i++)
        if (strcmp(a->kw[i].name, name) == 0) return &a->kw[i];
    return NULL;
}

static void bind_parameters(jx *x, const jnode *m, const jargs *a) {
    for (size_t i = 0; i < m->n_kwargs && x->status == TS_OK; i++) {
        const char *name = m->kwargs[i].name;
        const jvar *kw = kwarg(a, name);
        jv value = i < a->n             ? a->items[i]
                   : kw                 ? kw->value
                   : m->kwargs[i].value ? eval(x, m->kwargs[i].value)
                                        : jundefined(name);
        assign(x, x->frame, name, value);
    }
    for (size_t i = 0; i < a->n_kw; i++) {
        bool known = strcmp(a->kw[i].name, "caller") == 0;
        for (size_t k = 0; k < m->n_kwargs; k++)
            known = known || strcmp(m->kwargs[k].name, a->kw[i].name) == 0;
        if (!known) jfail(x, TS_INVALID, "the macro %s has no parameter %s", m->name, a->kw[i].name);
    }
    if (a->n > m->n_kwargs) jfail(x, TS_INVALID, "the macro %s takes %zu values, not %zu", m->name, m->n_kwargs, a->n);
    const jvar *caller = kwarg(a, "caller");
    if (caller) assign(x, x->frame, "caller", caller->value);
}

static jv call_macro(jx *x, const jmacro *m, const jargs *a) {
    jframe *frame = x->frame;
    if (++x->depth > J_DEPTH_MAX) return jfail(x, TS_LIMIT, "macros call each other too deeply");
    x->frame = new_frame(x, m->home);
    bind_parameters(x, m->node, a);
    jv text = capture(x, &m->node->body);
    x->frame = frame;
    x->depth--;
    return text;
}

jv jcall(jx *x, jv f, const jargs *a) {
    if (x->status != TS_OK) return jundefined(NULL);
    if (f.kind == J_METHOD) return jmethod_call(x, f.method->self, f.method->name, a);
    if (f.kind == J_GLOBAL) return jglobal_call(x, f.name, a);
    if (f.kind == J_MACRO) return call_macro(x, f.macro, a);
    if (f.kind == J_UNDEFINED && f.name)
        return jfail(x, TS_UNSUPPORTED, "there is no function or method %.100s", f.name);
    return jfail(x, TS_INVALID, "a %s cannot be called", jkind_name(f));
}

static jv eval_call(jx *x, const jnode *e) {
    jv f = eval(x, e->a);
    jargs a = eval_args(x, e);
    x->line = e->line;
    return jcall(x, f, &a);
}

static jv eval_filter(jx *x, const jnode *e) {
    jv v = e->a ? eval(x, e->a) : x->piped;
    jargs a = eval_args(x, e);
    x->line = e->line;
    return x->status == TS_OK ? jfilter(x, e->name, v, &a) : v;
}

static jv eval_test(jx *x, const jnode *e) {
    jv v = eval(x, e->a);
    jargs a = eval_args(x, e);
    x->line = e->line;
    return jbool(x->status == TS_OK && jtest(x, e->name, v, &a));
}

/* ---- expressions ---- */

static jv eval_list(jx *x, const jnode *e) {
    jlist *l = jlist_new(x);
    for (size_t i = 0; i < e->list.n && x->status == TS_OK; i++)
        jlist_push(x, l, eval(x, e->list.items[i]));
    return jlist_value(l, e->kind == E_LIST ? J_LIST : J_TUPLE);
}

static jv eval_dict(jx *x, const jnode *e) {
    jdict *d = jdict_new(x);
    for (size_t i = 0; i + 1 < e->list.n && x->status == TS_OK; i += 2) {
        jv key = eval(x, e->list.items[i]);
        jdict_set(x, d, key, eval(x, e->list.items[i + 1]));
    }
    return (jv){.kind = J_DICT, .d = d};
}

static jv eval_slice(jx *x, const jnode *e) {
    jv v = eval(x, e->a);
    jv start = e->b ? eval(x, e->b) : jnone(), stop = e->c ? eval(x, e->c) : jnone();
    jv step = e->d ? eval(x, e->d) : jnone();
    if (v.kind == J_UNDEFINED && x->status == TS_OK) return fail_undefined(x, v);
    return x->status == TS_OK ? jslice(x, v, start, stop, step) : v;
}

static jv eval_item(jx *x, const jnode *e) {
    jv v = eval(x, e->a), key = eval(x, e->b);
    return x->status == TS_OK ? jitem(x, v, key) : v;
}

static jv eval_attribute(jx *x, const jnode *e) {
    jv v = eval(x, e->a);
    return x->status == TS_OK ? jattribute(x, v, e->name) : v;
}

static jv eval_if(jx *x, const jnode *e) {
    if (jtrue(eval(x, e->b))) return eval(x, e->a);
    return e->c ? eval(x, e->c) : jundefined(NULL);
}

static jv eval_kind(jx *x, const jnode *e) {
    switch (e->kind) {
    case E_CONST:
        return e->value;
    case E_NAME:
        return lookup(x, e->name);
    case E_LIST:
    case E_TUPLE:
        return eval_list(x, e);
    case E_DICT:
        return eval_dict(x, e);
    case E_ATTR:
        return eval_attribute(x, e);
    case E_ITEM:
        return eval_item(x, e);
    case E_SLICE:
        return eval_slice(x, e);
    case E_CALL:
        return eval_call(x, e);
    case E_FILTER:
        return eval_filter(x, e);
    case E_TEST:
        return eval_test(x, e);
    case E_UNARY:
        return eval_unary(x, e);
    case E_BINARY:
        return eval_binary(x, e);
    case E_COMPARE:
        return eval_compare(x, e);
    case E_IF:
        return eval_if(x, e);
    default:
        ts_assert(!"a statement where an expression belongs");
        return jundefined(NULL);
    }
}

static jv eval(jx *x, const jnode *e) {
    jcharge(x, 0);
    x->line = e->line;
    if (++x->depth > J_DEPTH_MAX) jfail(x, TS_LIMIT, "this is nested deeper than we follow");
    jv v = x->status == TS_OK ? eval_kind(x, e) : jundefined(NULL);
    x->depth--;
    return v;
}

/* ---- statements ---- */

static void assign_target(jx *x, const jnode *target, jv value) {
    if (target->kind == E_NAME) {
        assign(x, x->frame, target->name, value);
        return;
    }
    jv of = eval(x, target->a);
    if (x->status != TS_OK) return;
    if (of.kind != J_NAMESPACE) {
        jfail(x, TS_INVALID, "only a namespace can be assigned to, %s is a %s", target->a->name, jkind_name(of));
        return;
    }
    jstr room;
    jv *have = (jv *)jdict_find(of.d, target->name);
    if (have) {
        *have = value;
        return;
    }
    jv key = jcstr(target->name, &room);
    jdict_set(x, of.d, jtext(x, key.s->s, key.s->n), value);
}

/* One value to one target, or a list to as many. */
static void unpack(jx *x, const jnodes *targets, jv value) {
    if (x->status != TS_OK) return;
    if (targets->n == 1) {
        assign_target(x, targets->items[0], value);
        return;
    }
    const jlist *l = jiterate(x, value);
    if (!l) return;
    if (l->n != targets->n) {
        jfail(x, TS_INVALID, "%zu values for %zu names", l->n, targets->n);
        return;
    }
    for (size_t i = 0; i < l->n; i++)
        assign_target(x, targets->items[i], l->items[i]);
}

/* The items that pass the loop's condition, which sees the targets. */
static const jlist *filtered(jx *x, const jnode *s, const jlist *items) {
    jlist *kept = jlist_new(x);
    for (size_t i = 0; i < items->n && x->status == TS_OK; i++) {
        jcharge(x, 0);
        x->frame->n = 0;
        unpack(x, &s->list, items->items[i]);
        if (x->status == TS_OK && jtrue(eval(x, s->b))) jlist_push(x, kept, items->items[i]);
    }
    return kept;
}

static int loop_depth(const jx *x) {
    for (jframe *f = x->frame; f; f = f->parent) {
        const jvar *v = find_here(f, "loop");
        if (v && v->value.kind == J_LOOP) return v->value.loop->depth;
    }
    return 0;
}

static void run_for(jx *x, const jnode *s) {
    jframe *outer = x->frame;
    const jlist *items = jiterate(x, eval(x, s->a));
    jloop *loop = jalloc(x, sizeof *loop);
    if (!items || !loop) return;
    *loop = (jloop){.depth = loop_depth(x) + 1};
    x->frame = new_frame(x, outer);
    if (s->b) items = filtered(x, s, items);
    loop->items = items;
    for (size_t i = 0; i < items->n && x->status == TS_OK; i++) {
        jcharge(x, 0);
        x->frame->n = 0;
        loop->at = i;
        assign(x, x->frame, "loop", (jv){.kind = J_LOOP, .loop = loop});
        unpack(x, &s->list, items->items[i]);
        jrun_statements(x, &s->body);
        bool stop = x->flow == FLOW_BREAK;
        x->flow = FLOW_ON;
        if (stop) break;
    }
    x->frame = outer;
    if (items->n == 0) jrun_statements(x, &s->other);
}

static jv in_new_frame(jx *x, const jnodes *body) {
    jframe *outer = x->frame;
    x->frame = new_frame(x, outer);
    jv text = capture(x, body);
    x->frame = outer;
    return text;
}

static void run_set_block(jx *x, const jnode *s) {
    jv text = in_new_frame(x, &s->body), piped = x->piped;
    x->piped = text;
    if (s->a && x->status == TS_OK) text = eval(x, s->a);
    x->piped = piped;
    unpack(x, &s->list, text);
}

static jv macro_value(jx *x, const jnode *s) {
    jmacro *m = jalloc(x, sizeof *m);
    if (!m) return jundefined(s->name);
    *m = (jmacro){s, x->frame};
    return (jv){.kind = J_MACRO, .macro = m};
}

static void run_call(jx *x, const jnode *s) {
    jv f = eval(x, s->a->a);
    jargs a = eval_args(x, s->a);
    if (x->status != TS_OK) return;
    a.kw[a.n_kw++] = (jvar){"caller", macro_value(x, s)}; /* eval_args leaves room for one more */
    jprint(x, x->out, jcall(x, f, &a));
}

static void run_filter(jx *x, const jnode *s) {
    jv text = in_new_frame(x, &s->body), piped = x->piped;
    x->piped = text;
    if (x->status == TS_OK) jprint(x, x->out, eval(x, s->a));
    x->piped = piped;
}

static void run_with(jx *x, const jnode *s) {
    jframe *outer = x->frame, *inner = new_frame(x, outer);
    for (size_t i = 0; i < s->n_kwargs && x->status == TS_OK; i++)
        assign(x, inner, s->kwargs[i].name, eval(x, s->kwargs[i].value));
    x->frame = inner;
    jrun_statements(x, &s->body);
    x->frame = outer;
}

/* Everything printed inside is marked, whoever it belongs to. */
static void run_generation(jx *x, const jnode *s) {
    jv text = capture(x, &s->body);
    const jstr *t = text.s;
    size_t done = 0;
    for (size_t k = 0; k <= t->n_runs && x->status == TS_OK; k++) {
        size_t start = k < t->n_runs ? t->runs[k].start : t->n, end = k < t->n_runs ? t->runs[k].end : t->n;
        ts_jinja_run gap = {.source = -1, .generation = true}, own = gap;
        if (k < t->n_runs) own.source = t->runs[k].source;
        jadd_as(x, x->out, t->s + done, start - done, &gap);
        jadd_as(x, x->out, t->s + start, end - start, &own);
        done = end;
    }
}

static void run_statement(jx *x, const jnode *s) {
    switch (s->kind) {
    case S_TEXT:
        jadd(x, x->out, s->name, (size_t)s->value.i);
        break;
    case S_OUTPUT: {
        jv v = eval(x, s->a);
        if (x->status == TS_OK) jprint(x, x->out, v);
        break;
    }
    case S_FOR:
        run_for(x, s);
        break;
    case S_IF:
        if (jtrue(eval(x, s->a)))
            jrun_statements(x, &s->body);
        else
            jrun_statements(x, &s->other);
        break;
    case S_SET:
        unpack(x, &s->list, eval(x, s->a));
        break;
    case S_SET_BLOCK:
        run_set_block(x, s);
        break;
    case S_MACRO:
        assign(x, x->frame, s->name, macro_value(x, s));
        break;
    case S_CALL:
        run_call(x, s);
        break;
    case S_FILTER:
        run_filter(x, s);
        break;
    case S_WITH:
        run_with(x, s);
        break;
    case S_GENERATION:
        run_generation(x, s);
        break;
    case S_BREAK:
        x->flow = FLOW_BREAK;
        break;
    case S_CONTINUE:
        x->flow = FLOW_CONTINUE;
        break;
    default:
        ts_assert(!"an expression where a statement belongs");
    }
}

void jrun_statements(jx *x, const jnodes *body) {
    if (++x->depth > J_DEPTH_MAX) jfail(x, TS_LIMIT, "this is nested deeper than we follow");
    for (size_t i = 0; i < body->n && x->status == TS_OK && x->flow == FLOW_ON; i++) {
        jcharge(x, 0);
        x->line = body->items[i]->line;
        run_statement(x, body->items[i]);
    }
    x->depth--;
}

/* ---- the template as a whole ---- */

ts_status ts_jinja_parse(ts_jinja **out, const char *source, size_t n, ts_err *err) {
    jtokens tokens = {0};
    ts_jinja *t = ts_calloc(1, sizeof *t);
    ts_status status = jlex(source, n, &t->arena, &tokens, err);
    if (status == TS_OK) status = jparse(&tokens, &t->arena, &t->body, err);
    free(tokens.items);
    *out = status == TS_OK ? t : NULL;
    if (status != TS_OK) ts_jinja_free(t);
    return status;
}

void ts_jinja_free(ts_jinja *t) {
    if (!t) return;
    ts_arena_release(&t->arena);
    free(t);
}

void ts_jinja_output_release(ts_jinja_output *o) {
    ts_buf_release(&o->text);
    free(o->runs);
    *o = (ts_jinja_output){0};
}

ts_status ts_jinja_render(const ts_jinja *t, const ts_jinja_var *vars, size_t n_vars, ts_jinja_output *out,
                          ts_err *err) {
    jbuild b = {0};
    ts_err spare;
    jx x = {.status = TS_OK, .err = err ? err : &spare, .out = &b};
    x.frame = new_frame(&x, NULL);
    for (size_t i = 0; i < n_vars; i++) {
        const ts_jinja_var *v = &vars[i];
        jv value = v->none   ? jnone()
                   : v->json ? (v->tracked ? jmessages(&x, v->json) : jfrom_json(&x, v->json, -1))
                   : v->text ? jtext(&x, v->text, strlen(v->text))
                             : jbool(v->truth);
        assign(&x, x.frame, v->name, value);
    }
    jrun_statements(&x, &t->body);
    if (x.status == TS_OK) {
        ts_buf_add(&out->text, b.n ? b.s : "", b.n);
        for (size_t i = 0; i < b.n_runs; i++)
            TS_PUSH(out->runs, out->n_runs, out->cap_runs, b.runs[i]);
    }
    ts_arena_release(&x.arena);
    return x.status;
}
