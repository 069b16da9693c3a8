/* Tokens to a tree: recursive descent, with the precedences of Jinja's own parser (parser.py): filters and tests bind
 * closer than every operator, ~ closer than + and -, `not` looser than comparisons. */
#include "core/model/jinja_impl.h"

#include <stdlib.h>
#include <string.h>

typedef struct parser {
    const jtoken *t;
    ts_arena *arena;
    int depth, loops;
    ts_status status;
    ts_err *err;
} parser;

static jnode *expression(parser *p);
static jnode *tuple(parser *p, bool conditions);
static void statements(parser *p, const char *const *ends, jnodes *out);

void *jarena_zero(ts_arena *arena, size_t n) {
    void *p = ts_arena_alloc(arena, n);
    memset(p, 0, n);
    return p;
}

static void complain(parser *p, ts_status status, const char *what, const char *name) {
    if (p->status != TS_OK) return;
    p->status = ts_fail(p->err, status, "the chat template, line %d: %s%s%s", p->t->line, what, name ? " " : "",
                        name ? name : "");
}

static const char *shown(const parser *p) {
    return p->t->kind == T_STR ? "a string" : p->t->kind == T_DATA ? "text" : p->t->s;
}

static void expected(parser *p, const char *what) {
    if (p->status != TS_OK) return;
    p->status = ts_fail(p->err, TS_FORMAT, "the chat template, line %d: %s should stand here, not %.*s", p->t->line,
                        what, (int)TS_MIN(strlen(shown(p)), 60), shown(p));
}

static jnode *node(parser *p, jnode_kind kind) {
    jnode *n = jarena_zero(p->arena, sizeof *n);
    n->kind = kind;
    n->line = p->t->line;
    return n;
}

/* Appends in the arena: the old array stays behind, which doubling keeps small. */
static void append(parser *p, jnodes *list, jnode *n) {
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 4;
        jnode **items = ts_arena_alloc(p->arena, cap * sizeof *items);
        if (list->n) memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = n;
}

static void append_kwarg(parser *p, jnode *to, const char *name, jnode *value) {
    size_t n = to->n_kwargs;
    if ((n & (n - 1)) == 0) { /* room for the next power of two */
        jkwarg *items = ts_arena_alloc(p->arena, (n ? 2 * n : 1) * sizeof *items);
        if (n) memcpy(items, to->kwargs, n * sizeof *items);
        to->kwargs = items;
    }
    to->kwargs[to->n_kwargs++] = (jkwarg){name, value};
}

static bool at_op(const parser *p, const char *op) {
    return p->status == TS_OK && p->t->kind == T_OP && strcmp(p->t->s, op) == 0;
}

static bool at_name(const parser *p, const char *name) {
    return p->status == TS_OK && p->t->kind == T_NAME && strcmp(p->t->s, name) == 0;
}

static bool take_op(parser *p, const char *op) {
    if (!at_op(p, op)) return false;
    p->t++;
    return true;
}

static bool take_name(parser *p, const char *name) {
    if (!at_name(p, name)) return false;
    p->t++;
    return true;
}

static void need_op(parser *p, const char *op) {
    if (!take_op(p, op)) expected(p, op);
}

static const char *need_name(parser *p) {
    if (p->status != TS_OK) return "";
    if (p->t->kind != T_NAME) {
        expected(p, "a name");
        return "";
    }
    return (p->t++)->s;
}

static void need_block_end(parser *p) {
    if (p->status != TS_OK) return;
    if (p->t->kind == T_BLOCK_END)
        p->t++;
    else
        expected(p, "%}");
}

static bool deeper(parser *p) {
    if (++p->depth > J_DEPTH_MAX) complain(p, TS_LIMIT, "this is nested deeper than we follow", NULL);
    return p->status == TS_OK;
}

static jnode *constant(parser *p, jv value) {
    jnode *n = node(p, E_CONST);
    n->value = value;
    return n;
}

/* Strings that stand beside each other are one. */
static jnode *string(parser *p) {
    ts_buf joined = TS_BUF_INIT;
    jnode *n = node(p, E_CONST);
    for (; p->t->kind == T_STR; p->t++)
        ts_buf_add(&joined, p->t->s, p->t->n);
    jstr *s = jarena_zero(p->arena, sizeof *s);
    s->s = ts_arena_strndup(p->arena, ts_buf_str(&joined), joined.len);
    s->n = joined.len;
    n->value = (jv){.kind = J_STR, .s = s};
    ts_buf_release(&joined);
    return n;
}

static jnode *name_or_constant(parser *p) {
    const char *name = p->t->s;
    jnode *n;
    if (strcmp(name, "true") == 0 || strcmp(name, "True") == 0)
        n = constant(p, jbool(true));
    else if (strcmp(name, "false") == 0 || strcmp(name, "False") == 0)
        n = constant(p, jbool(false));
    else if (strcmp(name, "none") == 0 || strcmp(name, "None") == 0)
        n = constant(p, jnone());
    else {
        n = node(p, E_NAME);
        n->name = name;
    }
    p->t++;
    return n;
}

static jnode *list_literal(parser *p) {
    jnode *n = node(p, E_LIST);
    need_op(p, "[");
    while (p->status == TS_OK && !at_op(p, "]")) {
        append(p, &n->list, expression(p));
        if (!take_op(p, ",")) break;
    }
    need_op(p, "]");
    return n;
}

static jnode *dict_literal(parser *p) {
    jnode *n = node(p, E_DICT);
    need_op(p, "{");
    while (p->status == TS_OK && !at_op(p, "}")) {
        append(p, &n->list, expression(p));
        need_op(p, ":");
        append(p, &n->list, expression(p));
        if (!take_op(p, ",")) break;
    }
    need_op(p, "}");
    return n;
}

static jnode *primary(parser *p) {
    jnode *n = NULL;
    if (p->status != TS_OK || !deeper(p)) return node(p, E_CONST);
    if (p->t->kind == T_NAME) {
        n = name_or_constant(p);
    } else if (p->t->kind == T_STR) {
        n = string(p);
    } else if (p->t->kind == T_INT) {
        n = constant(p, jint(p->t->i));
        p->t++;
    } else if (p->t->kind == T_FLOAT) {
        n = constant(p, jfloat(p->t->f));
        p->t++;
    } else if (take_op(p, "(")) {
        n = at_op(p, ")") ? node(p, E_TUPLE) : tuple(p, true);
        need_op(p, ")");
    } else if (at_op(p, "[")) {
        n = list_literal(p);
    } else if (at_op(p, "{")) {
        n = dict_literal(p);
    } else {
        expected(p, "an expression");
        n = node(p, E_CONST);
    }
    p->depth--;
    return n;
}

/* ( a, b=c ) into n. */
static void arguments(parser *p, jnode *n) {
    need_op(p, "(");
    while (p->status == TS_OK && !at_op(p, ")")) {
        if (at_op(p, "*") || at_op(p, "**")) complain(p, TS_UNSUPPORTED, "arguments with * are not done", NULL);
        if (p->t->kind == T_NAME && p->t[1].kind == T_OP && strcmp(p->t[1].s, "=") == 0) {
            const char *name = p->t->s;
            p->t += 2;
            append_kwarg(p, n, name, expression(p));
        } else {
            append(p, &n->list, expression(p));
        }
        if (!take_op(p, ",")) break;
    }
    need_op(p, ")");
}

static jnode *attribute(parser *p, jnode *of) {
    jnode *n = node(p, E_ATTR);
    n->a = of;
    if (p->t->kind == T_INT) {
        n->kind = E_ITEM;
        n->b = constant(p, jint(p->t->i));
        p->t++;
    } else {
        n->name = need_name(p);
    }
    return n;
}

/* [b], [b:c:d]; a part left out is NULL. */
static jnode *subscript(parser *p, jnode *of) {
    jnode *n = node(p, E_ITEM), **parts[3] = {&n->b, &n->c, &n->d};
    n->a = of;
    for (int i = 0; i < 3; i++) {
        if (!at_op(p, ":") && !at_op(p, "]")) *parts[i] = expression(p);
        if (!at_op(p, ":")) break;
        n->kind = E_SLICE;
        p->t++;
    }
    need_op(p, "]");
    if (n->kind == E_ITEM && !n->b) expected(p, "an index");
    return n;
}

static jnode *call(parser *p, jnode *of) {
    jnode *n = node(p, E_CALL);
    n->a = of;
    arguments(p, n);
    return n;
}

static jnode *postfix(parser *p, jnode *n) {
    int depth = p->depth;
    while (p->status == TS_OK && deeper(p)) {
        if (take_op(p, "."))
            n = attribute(p, n);
        else if (take_op(p, "["))
            n = subscript(p, n);
        else if (at_op(p, "("))
            n = call(p, n);
        else
            break;
    }
    p->depth = depth;
    return n;
}

static jnode *filter(parser *p, jnode *of) {
    jnode *n = node(p, E_FILTER);
    n->a = of;
    n->name = need_name(p);
    if (at_op(p, "(")) arguments(p, n);
    return n;
}

/* Can the argument of a test without brackets begin here? */
static bool at_test_argument(const parser *p) {
    static const char *const words[] = {"else", "or", "and", "if", "is", "in", "not", "recursive"};
    const jtoken *t = p->t;
    if (t->kind == T_STR || t->kind == T_INT || t->kind == T_FLOAT) return true;
    if (t->kind == T_OP) return strchr("([{", t->s[0]) != NULL;
    if (t->kind != T_NAME) return false;
    for (size_t i = 0; i < TS_COUNT(words); i++)
        if (strcmp(t->s, words[i]) == 0) return false;
    return true;
}

static jnode *test(parser *p, jnode *of) {
    bool negated = take_name(p, "not");
    jnode *n = node(p, E_TEST);
    n->a = of;
    n->name = need_name(p);
    if (p->status != TS_OK) return n;
    if (at_op(p, "("))
        arguments(p, n);
    else if (at_test_argument(p))
        append(p, &n->list, postfix(p, primary(p)));
    if (!negated) return n;
    jnode *inverse = node(p, E_UNARY);
    inverse->op = "not";
    inverse->a = n;
    return inverse;
}

static jnode *unary(parser *p, bool filters) {
    jnode *n;
    if (!deeper(p)) return node(p, E_CONST);
    if (at_op(p, "-") || at_op(p, "+")) {
        n = node(p, E_UNARY);
        n->op = (p->t++)->s;
        n->a = unary(p, false);
    } else {
        n = primary(p);
    }
    n = postfix(p, n);
    int depth = p->depth;
    while (filters && p->status == TS_OK && deeper(p)) {
        if (take_op(p, "|"))
            n = filter(p, n);
        else if (take_name(p, "is"))
            n = test(p, n);
        else if (at_op(p, "("))
            n = call(p, n);
        else
            break;
    }
    p->depth = depth - 1;
    return n;
}

/* Levels of operators that group to the left, loosest first. */
static const char *const levels[][6] = {{"+", "-"}, {"~"}, {"*", "/", "//", "%"}, {"**"}};

static jnode *binary(parser *p, size_t level) {
    if (level == TS_COUNT(levels)) return unary(p, true);
    jnode *left = binary(p, level + 1);
    int depth = p->depth;
    for (size_t i = 0; levels[level][i];) {
        if (!at_op(p, levels[level][i])) {
            i++;
            continue;
        }
        if (!deeper(p)) break;
        jnode *n = node(p, E_BINARY);
        n->op = levels[level][i];
        p->t++;
        n->a = left;
        n->b = binary(p, level + 1);
        left = n;
        i = 0;
    }
    p->depth = depth;
    return left;
}

static const char *compare_op(parser *p) {
    static const char *const ops[] = {"==", "!=", ">=", "<=", ">", "<"};
    for (size_t i = 0; i < TS_COUNT(ops); i++)
        if (take_op(p, ops[i])) return ops[i];
    if (take_name(p, "in")) return "in";
    if (at_name(p, "not") && p->t[1].kind == T_NAME && strcmp(p->t[1].s, "in") == 0) {
        p->t += 2;
        return "not in";
    }
    return NULL;
}

static jnode *comparison(parser *p) {
    const char *ops[64], *op;
    size_t count = 0;
    jnode *first = binary(p, 0), *n = node(p, E_COMPARE);
    while (p->status == TS_OK && (op = compare_op(p)) != NULL) {
        if (count == TS_COUNT(ops)) {
            complain(p, TS_LIMIT, "this compares more than we follow", NULL);
            break;
        }
        ops[count++] = op;
        append(p, &n->list, binary(p, 0));
    }
    if (!count) return first;
    n->a = first;
    n->ops = ts_arena_alloc(p->arena, count * sizeof *n->ops);
    memcpy(n->ops, ops, count * sizeof *n->ops);
    return n;
}

static jnode *negation(parser *p) {
    if (!at_name(p, "not") || !deeper(p)) return comparison(p);
    jnode *n = node(p, E_UNARY);
    p->t++;
    n->op = "not";
    n->a = negation(p);
    p->depth--;
    return n;
}

static jnode *logic(parser *p, bool is_or) {
    jnode *left = is_or ? logic(p, false) : negation(p);
    int depth = p->depth;
    while (take_name(p, is_or ? "or" : "and") && deeper(p)) {
        jnode *n = node(p, E_BINARY);
        n->op = is_or ? "or" : "and";
        n->a = left;
        n->b = is_or ? logic(p, false) : negation(p);
        left = n;
    }
    p->depth = depth;
    return left;
}

static jnode *expression(parser *p) {
    if (p->status != TS_OK || !deeper(p)) return node(p, E_CONST);
    jnode *left = logic(p, true);
    while (take_name(p, "if")) {
        jnode *n = node(p, E_IF);
        n->a = left;
        n->b = logic(p, true);
        if (take_name(p, "else")) n->c = expression(p);
        left = n;
    }
    p->depth--;
    return left;
}

/* a or a, b; without conditions, so that `for x in a if b` keeps its `if`. */
static jnode *tuple(parser *p, bool conditions) {
    jnode *first = conditions ? expression(p) : logic(p, true), *n = NULL;
    while (take_op(p, ",")) {
        if (!n) {
            n = node(p, E_TUPLE);
            append(p, &n->list, first);
        }
        if (at_op(p, ")") || p->t->kind == T_BLOCK_END || p->t->kind == T_VAR_END || at_op(p, "=")) break;
        append(p, &n->list, conditions ? expression(p) : logic(p, true));
    }
    return n ? n : first;
}

/* ---- statements ---- */

/* x | x, y | (x, y) | ns.x */
static void targets(parser *p, jnode *n, bool attributes) {
    bool brackets = take_op(p, "(");
    do {
        jnode *t = node(p, E_NAME);
        t->name = need_name(p);
        if (attributes && take_op(p, ".")) {
            jnode *of = t;
            t = node(p, E_ATTR);
            t->a = of;
            t->name = need_name(p);
        }
        append(p, &n->list, t);
        if (p->status != TS_OK) return;
    } while (take_op(p, ",") && !at_op(p, ")") && !at_name(p, "in"));
    if (brackets) need_op(p, ")");
}

static void end_block(parser *p, const char *const *ends, jnodes *body) {
    need_block_end(p);
    statements(p, ends, body);
    if (p->status == TS_OK) p->t++; /* the end's name */
}

static jnode *parse_for(parser *p) {
    static const char *const ends[] = {"endfor", "else", NULL}, *const end[] = {"endfor", NULL};
    jnode *n = node(p, S_FOR);
    targets(p, n, false);
    if (!take_name(p, "in")) expected(p, "in");
    n->a = tuple(p, false);
    if (take_name(p, "if")) n->b = expression(p);
    if (at_name(p, "recursive")) complain(p, TS_UNSUPPORTED, "recursive loops are not done", NULL);
    p->loops++;
    end_block(p, ends, &n->body);
    p->loops--;
    if (p->status == TS_OK && strcmp(p->t[-1].s, "else") == 0) end_block(p, end, &n->other);
    return n;
}

static jnode *parse_if(parser *p) {
    static const char *const ends[] = {"elif", "else", "endif", NULL}, *const end[] = {"endif", NULL};
    jnode *first = node(p, S_IF), *n = first;
    for (;;) {
        n->a = tuple(p, true);
        end_block(p, ends, &n->body);
        if (p->status != TS_OK) break;
        const char *what = p->t[-1].s;
        if (strcmp(what, "else") == 0) {
            end_block(p, end, &n->other);
            break;
        }
        if (strcmp(what, "endif") == 0) break;
        jnode *next = node(p, S_IF);
        append(p, &n->other, next);
        n = next;
    }
    return first;
}

static jnode *parse_set(parser *p) {
    static const char *const end[] = {"endset", NULL};
    jnode *n = node(p, S_SET);
    targets(p, n, true);
    if (take_op(p, "=")) {
        n->a = tuple(p, true);
        return n;
    }
    n->kind = S_SET_BLOCK;
    while (take_op(p, "|"))
        n->a = filter(p, n->a);
    end_block(p, end, &n->body);
    return n;
}

static void parameters(parser *p, jnode *n) {
    need_op(p, "(");
    while (p->status == TS_OK && !at_op(p, ")")) {
        const char *name = need_name(p);
        append_kwarg(p, n, name, take_op(p, "=") ? expression(p) : NULL);
        if (!take_op(p, ",")) break;
    }
    need_op(p, ")");
}

static jnode *parse_macro(parser *p) {
    static const char *const end[] = {"endmacro", NULL};
    jnode *n = node(p, S_MACRO);
    int loops = p->loops;
    n->name = need_name(p);
    parameters(p, n);
    p->loops = 0;
    end_block(p, end, &n->body);
    p->loops = loops;
    return n;
}

/* {% call(x) name(args) %}body{% endcall %}: the body is a macro `caller` for the one called. */
static jnode *parse_call(parser *p) {
    static const char *const end[] = {"endcall", NULL};
    jnode *n = node(p, S_CALL);
    int loops = p->loops;
    n->name = "caller";
    if (at_op(p, "(")) parameters(p, n);
    n->a = expression(p);
    if (p->status == TS_OK && n->a->kind != E_CALL) expected(p, "a call");
    p->loops = 0;
    end_block(p, end, &n->body);
    p->loops = loops;
    return n;
}

static jnode *parse_filter(parser *p) {
    static const char *const end[] = {"endfilter", NULL};
    jnode *n = node(p, S_FILTER);
    n->a = filter(p, NULL);
    while (take_op(p, "|"))
        n->a = filter(p, n->a);
    end_block(p, end, &n->body);
    return n;
}

static jnode *parse_with(parser *p) {
    static const char *const end[] = {"endwith", NULL};
    jnode *n = node(p, S_WITH);
    while (p->status == TS_OK && p->t->kind != T_BLOCK_END) {
        const char *name = need_name(p);
        need_op(p, "=");
        append_kwarg(p, n, name, expression(p));
        if (!take_op(p, ",")) break;
    }
    end_block(p, end, &n->body);
    return n;
}

static jnode *parse_generation(parser *p) {
    static const char *const end[] = {"endgeneration", NULL};
    jnode *n = node(p, S_GENERATION);
    end_block(p, end, &n->body);
    return n;
}

static jnode *parse_jump(parser *p, jnode_kind kind) {
    if (!p->loops) complain(p, TS_FORMAT, "break and continue belong inside a loop", NULL);
    return node(p, kind);
}

static jnode *parse_break(parser *p) {
    return parse_jump(p, S_BREAK);
}

static jnode *parse_continue(parser *p) {
    return parse_jump(p, S_CONTINUE);
}

static const struct {
    const char *name;
    jnode *(*parse)(parser *p);
} tags[] = {
    {"for", parse_for},           {"if", parse_if},
    {"set", parse_set},           {"macro", parse_macro},
    {"call", parse_call},         {"filter", parse_filter},
    {"with", parse_with},         {"break", parse_break},
    {"continue", parse_continue}, {"generation", parse_generation},
};

static void statement(parser *p, jnodes *out) {
    const char *name = need_name(p);
    for (size_t i = 0; p->status == TS_OK && i < TS_COUNT(tags); i++) {
        if (strcmp(tags[i].name, name) != 0) continue;
        jnode *n = tags[i].parse(p);
        need_block_end(p);
        append(p, out, n);
        return;
    }
    if (p->status != TS_OK) return;
    p->t--;
    bool stray = strncmp(name, "end", 3) == 0 || strcmp(name, "else") == 0 || strcmp(name, "elif") == 0;
    complain(p, stray ? TS_FORMAT : TS_UNSUPPORTED, stray ? "nothing is open for the tag" : "unknown tag", name);
}

static bool at_one_of(const parser *p, const char *const *ends) {
    for (; p->t->kind == T_NAME && *ends; ends++)
        if (strcmp(p->t->s, *ends) == 0) return true;
    return false;
}

/* Up to one of `ends` (which stays the current token), or the end of the template if there are none. */
static void statements(parser *p, const char *const *ends, jnodes *out) {
    if (!deeper(p)) return;
    while (p->status == TS_OK && p->t->kind != T_END) {
        jtoken_kind kind = p->t->kind;
        if (kind == T_DATA) {
            jnode *n = node(p, S_TEXT);
            n->name = p->t->s;
            n->value = jint((int64_t)p->t->n);
            append(p, out, n);
            p->t++;
        } else if (kind == T_VAR_BEGIN) {
            jnode *n = node(p, S_OUTPUT);
            p->t++;
            n->a = tuple(p, true);
            if (p->status == TS_OK && p->t->kind != T_VAR_END) expected(p, "}}");
            p->t++;
            append(p, out, n);
        } else {
            p->t++; /* {% */
            if (at_one_of(p, ends)) {
                p->depth--;
                return;
            }
            statement(p, out);
        }
    }
    p->depth--;
    if (p->status == TS_OK && *ends) {
        ts_buf words = TS_BUF_INIT;
        for (const char *const *e = ends; *e; e++)
            ts_buf_printf(&words, "%s%s", e == ends ? "" : " or ", *e);
        complain(p, TS_FORMAT, "the template ends, but this was not closed:", ts_buf_str(&words));
        ts_buf_release(&words);
    }
}

ts_status jparse(const jtokens *tokens, ts_arena *arena, jnodes *out, ts_err *err) {
    static const char *const none[] = {NULL};
    parser p = {.t = tokens->items, .arena = arena, .status = TS_OK, .err = err};
    statements(&p, none, out);
    return p.status;
}
