/* The inside of the Jinja engine; only jinja*.c include this.
 *
 * source -> jinja_lex.c: tokens -> jinja_parse.c: a tree -> jinja_eval.c walks it, with values (jinja_value.c), traced
 * strings (jinja_string.c), filters, tests and methods from tables.
 * All memory of a template is one arena, all memory of a rendering another. After the first error of a rendering
 * (x->status) functions return at once with whatever value; loops look at it. */
#ifndef TS_MODEL_JINJA_IMPL_H
#define TS_MODEL_JINJA_IMPL_H

#include "core/model/jinja.h"

/* ---- values ---- */

typedef enum jkind {
    J_UNDEFINED,
    J_NONE,
    J_BOOL,
    J_INT,
    J_FLOAT,
    J_STR,
    J_LIST,
    J_TUPLE, /* a list too */
    J_DICT,
    J_NAMESPACE, /* a dict that can be assigned to */
    J_MACRO,
    J_GLOBAL, /* a function: name */
    J_METHOD, /* a function bound to a value */
    J_LOOP,
} jkind;

typedef struct jstr {
    const char *s;
    size_t n;
    const ts_jinja_run *runs; /* relative to s */
    size_t n_runs;
} jstr;

typedef struct jv {
    jkind kind;
    union {
        bool b;
        int64_t i;
        double f;
        const jstr *s;
        struct jlist *l;
        struct jdict *d;
        const char *name; /* J_GLOBAL; J_UNDEFINED: what was looked for, or NULL */
        struct jmacro *macro;
        struct jmethod *method;
        struct jloop *loop;
    };
} jv;
typedef struct jlist {
    jv *items;
    size_t n, cap;
} jlist;
typedef struct jpair {
    jv key, value;
} jpair;
typedef struct jdict {
    jpair *items;
    size_t n, cap;
} jdict;
typedef struct jmethod {
    jv self;
    const char *name;
} jmethod;

/* ---- the tree ---- */

typedef enum jnode_kind {
    /* expressions */
    E_CONST,
    E_NAME,
    E_LIST,
    E_TUPLE,
    E_DICT,
    E_ATTR,    /* a.name */
    E_ITEM,    /* a[b] */
    E_SLICE,   /* a[b:c:d] */
    E_CALL,    /* a(args) */
    E_FILTER,  /* a | name(args); a NULL in a filter block */
    E_TEST,    /* a is name(args) */
    E_UNARY,   /* op a */
    E_BINARY,  /* a op b */
    E_COMPARE, /* a ops[0] list[0] ops[1] list[1] ... */
    E_IF,      /* a if b else c */
    /* statements */
    S_TEXT,
    S_OUTPUT,
    S_FOR, /* targets in a, filter b; body, other */
    S_IF,  /* a; body, other */
    S_SET, /* targets = a */
    S_SET_BLOCK,
    S_MACRO,
    S_CALL,
    S_FILTER,
    S_WITH,
    S_GENERATION,
    S_BREAK,
    S_CONTINUE,
} jnode_kind;

typedef struct jnodes {
    struct jnode **items;
    size_t n, cap;
} jnodes;
typedef struct jkwarg {
    const char *name;
    struct jnode *value;
} jkwarg;

typedef struct jnode {
    jnode_kind kind;
    int line;
    const char *op, *name;
    jv value;
    struct jnode *a, *b, *c, *d;
    jnodes list; /* elements, arguments, targets; dict: key, value, key, value */
    const char **ops;
    jkwarg *kwargs; /* arguments by name; macro parameters with their default (or NULL) */
    size_t n_kwargs;
    jnodes body, other;
} jnode;

typedef enum jtoken_kind {
    T_END,
    T_DATA,
    T_VAR_BEGIN,
    T_VAR_END,
    T_BLOCK_BEGIN,
    T_BLOCK_END,
    T_NAME,
    T_STR,
    T_INT,
    T_FLOAT,
    T_OP,
} jtoken_kind;
typedef struct jtoken {
    jtoken_kind kind;
    int line;
    const char *s; /* T_OP, T_NAME: NUL-terminated and borrowed or in the arena */
    size_t n;
    int64_t i;
    double f;
} jtoken;
typedef struct jtokens {
    jtoken *items;
    size_t n, cap;
} jtokens;

struct ts_jinja {
    ts_arena arena;
    jnodes body;
};

/* Tokens in malloc'ed memory, their text in `arena`. */
TS_MUST_USE ts_status jlex(const char *source, size_t n, ts_arena *arena, jtokens *out, ts_err *err);
TS_MUST_USE ts_status jparse(const jtokens *tokens, ts_arena *arena, jnodes *out, ts_err *err);
void *jarena_zero(ts_arena *arena, size_t n);

/* ---- rendering ---- */

enum {
    J_DEPTH_MAX = 600,              /* nesting of expressions, statements and macros */
    J_NEST_MAX = 1200,              /* lists in lists; JSON input stops at 1,000 */
    J_STEPS_MAX = 50 * 1000 * 1000, /* some seconds */
    J_RANGE_MAX = 100000,           /* as Jinja's sandbox */
};
#define J_MEMORY_MAX ((size_t)512 << 20)
#define J_OUTPUT_MAX ((size_t)128 << 20)

/* A string under construction. */
typedef struct jbuild {
    char *s;
    size_t n, cap;
    ts_jinja_run *runs;
    size_t n_runs, cap_runs;
} jbuild;

typedef struct jvar {
    const char *name;
    jv value;
} jvar;
typedef struct jframe {
    struct jframe *parent;
    jvar *vars;
    size_t n, cap;
} jframe;

typedef struct jmacro {
    const jnode *node;
    jframe *home; /* where it was defined: what it sees */
} jmacro;
typedef struct jloop {
    const jlist *items;
    size_t at;
    jv changed; /* what ifchanged compares with */
    bool has_changed;
    int depth;
} jloop;

typedef enum jflow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } jflow;

typedef struct jx {
    ts_arena arena;
    size_t used;
    uint64_t steps;
    int depth;
    jframe *frame;
    jbuild *out;
    jv piped; /* what goes into a filter of a block */
    jflow flow;
    int line; /* of the node at work, for messages */
    ts_status status;
    ts_err *err;
} jx;

typedef struct jargs {
    jv *items;
    size_t n;
    jvar *kw;
    size_t n_kw;
} jargs;

/* "the chat template, line 7: ..."; keeps the first one. Returns an undefined value for the caller to return. */
jv jfail(jx *x, ts_status status, const char *fmt, ...) TS_PRINTF(3, 4);
/* NULL after a failure, also when it is this one. */
void *jalloc(jx *x, size_t n);
char *jcopy(jx *x, const char *s, size_t n); /* with a NUL behind it; "" after a failure */
void jcharge(jx *x, size_t bytes);           /* for work that grows with a text */

/* jinja_value.c */
jv jnone(void);
jv jbool(bool b);
jv jint(int64_t i);
jv jfloat(double f);
jv jundefined(const char *name);
jv jtext(jx *x, const char *s, size_t n); /* copies */
jv jcstr(const char *s, jstr *room);      /* borrows both */
jv jlist_value(jlist *l, jkind kind);
jlist *jlist_new(jx *x);
void jlist_push(jx *x, jlist *l, jv v);
jdict *jdict_new(jx *x);
void jdict_set(jx *x, jdict *d, jv key, jv value);
const jv *jdict_get(jx *x, const jdict *d, jv key);
const jv *jdict_find(const jdict *d, const char *key);
jv jfrom_json(jx *x, const ts_json *v, int source);
jv jmessages(jx *x, const ts_json *array);
const char *jkind_name(jv v); /* as Python calls it */
bool jtrue(jv v);
bool jequal(jx *x, jv a, jv b);
int jcompare(jx *x, jv a, jv b); /* fails where Python does */
bool jcontains(jx *x, jv in, jv v);
bool jis_number(jv v);
double jnumber(jv v);
bool jis_str(jv v, const char *s);
bool jis_list(jv v);
/* Anything that can be looped over, as a list; NULL after saying what cannot. */
const jlist *jiterate(jx *x, jv v);
void jprint(jx *x, jbuild *b, jv v);          /* as {{ v }} */
void jrepr(jx *x, jbuild *b, jv v, int nest); /* as Python's repr */
void jdumps(jx *x, jbuild *b, jv v, const char *indent, bool sort, const char *item, const char *key, bool ascii,
            int nest);
jv jstr_of(jx *x, jv v); /* str(v) */

/* jinja_string.c */
void jadd(jx *x, jbuild *b, const char *s, size_t n);
void jadd_as(jx *x, jbuild *b, const char *s, size_t n, const ts_jinja_run *as); /* as: NULL or whose it is */
void jadd_str(jx *x, jbuild *b, const jstr *s, size_t start, size_t end);
jv jbuilt(jx *x, jbuild *b);
const ts_jinja_run *jrun_at(const jstr *s, size_t i);
jv jsub(jx *x, const jstr *s, size_t start, size_t end); /* bytes */
size_t jlength(const jstr *s);                           /* characters */
size_t jbyte_at(const jstr *s, size_t character);
jv jstrip(jx *x, const jstr *s, const jstr *set, bool left, bool right); /* set NULL: white space */
jv jreplace(jx *x, const jstr *s, const jstr *from, const jstr *to, int64_t max);
typedef enum jcase { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_CAPITAL } jcase;
jv jchange_case(jx *x, const jstr *s, jcase how);
jv jsplit(jx *x, const jstr *s, const jstr *by, int64_t max, bool from_right);
jv jsplitlines(jx *x, const jstr *s, bool keep);
jv jjoin(jx *x, const jstr *between, jv list);
jv jindent(jx *x, const jstr *s, const jstr *with, bool first, bool blank);
jv jconcat(jx *x, const jstr *a, const jstr *b);
jv jrepeat(jx *x, const jstr *s, int64_t times);
jv jslice(jx *x, jv v, jv start, jv stop, jv step);
jv jformat(jx *x, const jstr *format, jv args);
ptrdiff_t jfind(const jstr *s, const jstr *part, size_t from); /* bytes; -1 */
bool jpy_space(uint32_t cp);

/* jinja_filters.c, jinja_tests.c, jinja_methods.c */
jv jarg(const jargs *a, size_t i, const char *name, jv otherwise);
jv jfilter(jx *x, const char *name, jv v, const jargs *a);
bool jtest(jx *x, const char *name, jv v, const jargs *a);
bool jhas_method(jv self, const char *name);
jv jmethod_call(jx *x, jv self, const char *name, const jargs *a);
jv jglobal_call(jx *x, const char *name, const jargs *a);
bool jhas_global(const char *name);

/* jinja_eval.c */
jv jattribute(jx *x, jv v, const char *name);
jv jitem(jx *x, jv v, jv key);
jv jcall(jx *x, jv f, const jargs *a);
void jrun_statements(jx *x, const jnodes *body);
jv jbinary(jx *x, const char *op, jv a, jv b);

#endif
