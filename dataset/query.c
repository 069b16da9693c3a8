/* Parser of the query language: straight from text to an SQL condition; what SQL cannot say is a call of ts_find,
 * with the number of a compiled pattern of this query. Values never become part of the SQL, they are bound. */
#include "dataset/query.h"

#include "core/text/match.h"
#include "dataset/db.h"
#include "dataset/frozen.h"
#include "dataset/lmscore.h"
#include "dataset/score.h"

#include <ctype.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 100, MAX_VALUES = 500, MAX_FILTERS = 100 };

struct pattern {
    ts_regex *re;
    ts_matcher *m;
};

struct value {
    char *text; /* NULL: a number */
    double number;
};

struct ts_query {
    const ts_query *of; /* a twin: all but the matchers are this one's */
    ts_buf sql;
    struct pattern *patterns;
    size_t n_patterns, cap_patterns;
    struct value *values; /* bound to ?2, ?3, ... ; ?1 is the query itself */
    size_t n_values, cap_values;
    bool rows; /* asks for more than the texts */
};

/* ---- the fields ---- */

/* MEASURE: a number that is a matter of the texts alone */
enum kind { NUMBER, MEASURE, TEXT, STATUS, TAG, ORIGIN, SHAPE, DUP, SPLIT, SNAPSHOT };

struct field {
    const char *name;
    enum kind kind;
    const char *sql; /* its value */
    const char *all; /* TEXT: the texts that a word is looked for in, if more than `sql` */
};

#define ORIGIN_SQL "ifnull((SELECT t.path||':'||e.line FROM batch t WHERE t.id=e.batch),'typed')"
#define ALL_TEXTS "b.instruction,b.input,b.output,b.system"

static const struct field fields[] = {
    {"id", NUMBER, "e.id", NULL},
    {"status", STATUS, "e.status", NULL},
    {"rating", NUMBER, "e.rating", NULL},
    {"tag", TAG, "e.tags", NULL},
    {"origin", ORIGIN, ORIGIN_SQL, NULL},
    {"line", NUMBER, "e.line", NULL},
    {"shape", SHAPE, "e.shape", NULL},
    {"score", NUMBER, "m.score", NULL},
    {"tokens", NUMBER, "m.tokens", NULL},
    {"words", MEASURE, "ts_words(" ALL_TEXTS ")", NULL},
    {"chars", MEASURE, "(length(b.instruction)+length(b.input)+length(b.output))", NULL},
    {"dup", DUP, "(SELECT d.grp FROM dup d WHERE d.id=e.id)", NULL},
    {"split", SPLIT, "m.split", NULL},
    {"snapshot", SNAPSHOT, NULL, NULL},
    {"instruction", TEXT, "b.instruction", NULL},
    {"input", TEXT, "b.input", NULL},
    {"output", TEXT, "b.output", NULL},
    {"answer", TEXT, "b.output", NULL},
    {"prompt", TEXT, "b.instruction", "b.instruction,b.input"},
    {"system", TEXT, "ifnull(b.system,'')", NULL},
};

static const char rule_sql[] =
    "CASE WHEN m.score IS NULL THEN NULL ELSE ifnull((SELECT s.value FROM score s WHERE s.id=e.id"
    " AND s.rule='%s' AND NOT EXISTS(SELECT 1 FROM dismissed x WHERE x.id=s.id AND"
    " x.rule=s.rule)),0) END";

/* Rules are number fields; *sql is then the caller's to free. */
static bool find_field(const char *name, size_t n, struct field *out, char **sql) {
    *sql = NULL;
    for (size_t i = 0; i < TS_COUNT(fields); i++)
        if (strlen(fields[i].name) == n && memcmp(fields[i].name, name, n) == 0) {
            *out = fields[i];
            return true;
        }
    const ts_lm_field *lm = ts_lm_field_find(name, n);
    if (lm) {
        *out = (struct field){lm->name, NUMBER, lm->sql, NULL};
        return true;
    }
    if (!ts_rule_exists(name, n)) return false; /* its name is letters, digits and _ */
    size_t rule = ts_rule_find(name, n);
    char own[TS_RULE_NAME] = "";
    memcpy(own, name, TS_MIN(n, sizeof own - 1));
    *sql = ts_printf(rule_sql, own);
    *out = (struct field){rule < ts_rule_count() ? ts_rules[rule].name : "a rule of your own", NUMBER, *sql, NULL};
    return true;
}

const char *const *ts_query_fields(void) {
    static const char *names[TS_COUNT(fields) + 64];
    if (names[0]) return names;
    size_t n = 1;
    for (size_t i = 1; i < TS_COUNT(fields); i++)
        if (fields[i].sql) names[n++] = fields[i].name;
    for (size_t i = 0; i < ts_rule_count() && n + 1 < TS_COUNT(names); i++)
        names[n++] = ts_rules[i].name;
    for (size_t i = 0; i < TS_LM_FIELDS && n + 1 < TS_COUNT(names); i++)
        names[n++] = ts_lm_fields[i].name;
    names[0] = fields[0].name; /* last: a second thread sees all or makes the same table again */
    return names;
}

bool ts_query_order(const char *name, size_t n, ts_buf *sql) {
    struct field f;
    char *made;
    if (!find_field(name, n, &f, &made) || !f.sql) return false;
    ts_buf_puts(sql, f.sql);
    if (f.kind == TEXT) ts_buf_puts(sql, " COLLATE NOCASE");
    free(made);
    return true;
}

size_t ts_filter_name_length(const char *s) {
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_' || (n && s[n] == '-'))
        n++;
    return n <= 64 ? n : 0;
}

/* ---- the parser ---- */

struct parser {
    ts_query *q;
    ts_store *st; /* NULL: no saved filters, no snapshots */
    const char *text, *p;
    int depth, filters; /* filters: saved ones that were put in so far */
    bool circle;        /* too many of them */
    size_t at;
    ts_err *err;
};

static ts_status wrong(struct parser *ps, const char *at, const char *fmt, ...) TS_PRINTF(3, 4);
static ts_status wrong(struct parser *ps, const char *at, const char *fmt, ...) {
    char what[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    ps->at = (size_t)(at - ps->text);
    return ts_fail(ps->err, TS_INVALID, "the query is wrong at character %zu (\"%.30s\"): %s", ps->at + 1, at, what);
}

static void skip_blanks(struct parser *ps) {
    while (*ps->p && strchr(" \t\r\n", *ps->p))
        ps->p++;
}

/* Binds a value and writes its ?N. */
static ts_status put_value(struct parser *ps, const char *at, struct value v) {
    ts_query *q = ps->q;
    if (q->n_values >= MAX_VALUES) {
        free(v.text);
        return wrong(ps, at, "the query is too long (more than %d values)", MAX_VALUES);
    }
    TS_PUSH(q->values, q->n_values, q->cap_values, v);
    ts_buf_printf(&q->sql, "?%zu", q->n_values + 1);
    return TS_OK;
}

static ts_status put_pattern(struct parser *ps, const char *at, const char *texts, const char *pattern, size_t n,
                             unsigned flags) {
    ts_query *q = ps->q;
    struct pattern made = {NULL, NULL};
    ts_err inner;
    if (q->n_patterns >= MAX_VALUES) return wrong(ps, at, "the query is too long (more than %d words)", MAX_VALUES);
    if (ts_regex_new(&made.re, pattern, n, flags, &inner) != TS_OK) return wrong(ps, at, "%s", inner.text);
    made.m = ts_matcher_new(made.re);
    TS_PUSH(q->patterns, q->n_patterns, q->cap_patterns, made);
    ts_buf_printf(&q->sql, "ts_find(?1,%zu,%s)", q->n_patterns - 1, texts);
    return TS_OK;
}

/* /pattern/ or /pattern/i at ps->p. */
static ts_status parse_regex(struct parser *ps, const char *texts) {
    const char *start = ps->p++;
    ts_buf pattern = TS_BUF_INIT;
    while (*ps->p && *ps->p != '/') {
        if (*ps->p == '\\' && ps->p[1]) {
            if (ps->p[1] != '/') ts_buf_putc(&pattern, '\\');
            ps->p++;
        }
        ts_buf_putc(&pattern, *ps->p++);
    }
    ts_status status = TS_OK;
    if (*ps->p != '/') {
        status = wrong(ps, start, "the pattern has no closing /");
    } else {
        ps->p++;
        unsigned flags = *ps->p == 'i' ? TS_REGEX_CASELESS : 0;
        ps->p += *ps->p == 'i';
        status = put_pattern(ps, start, texts, ts_buf_str(&pattern), pattern.len, flags);
    }
    ts_buf_release(&pattern);
    return status;
}

/* "quoted" (with \" and \\ inside) or up to the next blank or bracket. */
static ts_status parse_word(struct parser *ps, ts_buf *out) {
    const char *start = ps->p;
    if (*ps->p != '"') {
        while (*ps->p && !strchr(" \t\r\n()\"", *ps->p))
            ts_buf_putc(out, *ps->p++);
        return TS_OK;
    }
    for (ps->p++; *ps->p && *ps->p != '"'; ps->p++) {
        if (*ps->p == '\\' && (ps->p[1] == '"' || ps->p[1] == '\\')) ps->p++;
        ts_buf_putc(out, *ps->p);
    }
    if (*ps->p != '"') return wrong(ps, start, "the quote is not closed");
    ps->p++;
    return TS_OK;
}

static ts_status put_words(struct parser *ps, const char *at, const char *texts, const ts_buf *word) {
    unsigned flags = TS_REGEX_LITERAL;
    if (!word->len) return wrong(ps, at, "there is nothing to look for");
    if (!ts_has_upper(word->data, word->len)) flags |= TS_REGEX_CASELESS;
    return put_pattern(ps, at, texts, word->data, word->len, flags);
}

static ts_status put_compare(struct parser *ps, const char *sql, const char *op, const char *at, struct value v) {
    ts_buf_printf(&ps->q->sql, "ifnull(%s%s", sql, strcmp(op, ":") == 0 ? "=" : op);
    TS_TRY(put_value(ps, at, v));
    ts_buf_puts(&ps->q->sql, ",0)");
    return TS_OK;
}

static ts_status number_term(struct parser *ps, const struct field *f, const char *op, const char *at, const char *v) {
    char *end;
    double number = strtod(v, &end);
    if (end == v || *end || !isfinite(number))
        return wrong(ps, at, "%s is compared with a number, not \"%.60s\"", f->name, v);
    return put_compare(ps, f->sql, op, at, (struct value){NULL, number});
}

/* Fields whose values are names: status, shape, split. */
static ts_status named_term(struct parser *ps, const struct field *f, const char *op, const char *at, const char *v) {
    static const char *const shapes[] = {"alpaca", "messages", NULL}, *const splits[] = {"train", "valid", NULL};
    static const char *const states[] = {"new", "accepted", "rejected", "later", NULL};
    const char *const *names = f->kind == STATUS ? states : f->kind == SHAPE ? shapes : splits;
    if (*op == '<' || *op == '>') return wrong(ps, at, "%s takes = or !=, not %s", f->name, op);
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], v) == 0) return put_compare(ps, f->sql, op, at, (struct value){NULL, i});
    ts_buf list = TS_BUF_INIT;
    for (int i = 0; names[i]; i++)
        ts_buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
    ts_status status = wrong(ps, at, "there is no %s \"%.60s\"; there are %s", f->name, v, list.data);
    ts_buf_release(&list);
    return status;
}

static ts_status tag_term(struct parser *ps, const char *op, const char *at, const char *v) {
    ts_buf_puts(&ps->q->sql, *op == '!' ? "NOT " : "");
    if (!*v) {
        ts_buf_puts(&ps->q->sql, "(e.tags='')");
        return TS_OK;
    }
    ts_buf_puts(&ps->q->sql, "ts_has_tag(e.tags,");
    TS_TRY(put_value(ps, at, (struct value){ts_strdup(v), 0}));
    ts_buf_puts(&ps->q->sql, ")");
    return TS_OK;
}

static ts_status dup_term(struct parser *ps, const struct field *f, const char *op, const char *at, const char *v) {
    bool yes = strcmp(v, "yes") == 0, no = strcmp(v, "no") == 0;
    if (!yes && !no) return number_term(ps, f, op, at, v);
    if (*op == '<' || *op == '>') return wrong(ps, at, "dup=yes, dup=no or a group's number is meant");
    ts_buf_printf(&ps->q->sql, "%sEXISTS(SELECT 1 FROM dup d WHERE d.id=e.id)", yes == (*op != '!') ? "" : "NOT ");
    return TS_OK;
}

static ts_status snapshot_term(struct parser *ps, const char *op, const char *at, const char *v) {
    ts_arena arena = TS_ARENA_INIT;
    ts_frozen f;
    ts_err why;
    bool there = ps->st && ts_frozen_find(ps->st, v, &f, &arena, &why) == TS_OK;
    ts_arena_release(&arena);
    if (*op == '<' || *op == '>') return wrong(ps, at, "snapshot takes : or !=, not %s", op);
    if (!there) return wrong(ps, at, "%s", ps->st ? why.text : "there are no snapshots here");
    ts_buf_printf(&ps->q->sql,
                  "%se.id IN (SELECT r.id FROM snapshot_row r WHERE r.snapshot=(SELECT n.id FROM snapshot n"
                  " WHERE n.name=",
                  *op == '!' ? "NOT " : "");
    TS_TRY(put_value(ps, at, (struct value){ts_strdup(v), 0}));
    ts_buf_puts(&ps->q->sql, "))");
    return TS_OK;
}

static ts_status text_term(struct parser *ps, const struct field *f, const char *op, const char *at, const ts_buf *v) {
    if (*op == ':') return put_words(ps, at, f->all ? f->all : f->sql, v);
    if (*op == '<' || *op == '>')
        return wrong(ps, at, "%s is a text: it takes : (has the word), = or !=, not %s", f->name, op);
    return put_compare(ps, f->sql, op, at, (struct value){ts_strdup(ts_buf_str(v)), 0});
}

static ts_status field_term(struct parser *ps, const struct field *f, const char *op, const char *at) {
    bool quoted = *ps->p == '"';
    ps->q->rows |= f->kind != TEXT && f->kind != MEASURE;
    if (*op == ':' && strncmp(ps->p, "re:/", 4) == 0 && (f->kind == TEXT || f->kind == ORIGIN)) {
        ps->p += 3;
        return parse_regex(ps, f->all ? f->all : f->sql);
    }
    ts_buf v = TS_BUF_INIT;
    ts_status status;
    TS_GOTO(parse_word(ps, &v));
    if (!v.len && !quoted && f->kind != TEXT && f->kind != TAG) {
        status = wrong(ps, at, "a value is missing behind %s", op);
        goto out;
    }
    const char *text = ts_buf_str(&v);
    switch (f->kind) {
    case NUMBER:
    case MEASURE:
        status = number_term(ps, f, op, at, text);
        break;
    case TAG:
        status = tag_term(ps, op, at, text);
        break;
    case DUP:
        status = dup_term(ps, f, op, at, text);
        break;
    case SNAPSHOT:
        status = snapshot_term(ps, op, at, text);
        break;
    case STATUS:
    case SHAPE:
    case SPLIT:
        status = named_term(ps, f, op, at, text);
        break;
    default:
        status = text_term(ps, f, op, at, &v);
    }
out:
    ts_buf_release(&v);
    return status;
}

static const char *parse_operator(const char *p) {
    static const char *const operators[] = {"!=", "<=", ">=", "=", "<", ">", ":", NULL};
    for (int i = 0; operators[i]; i++)
        if (strncmp(p, operators[i], strlen(operators[i])) == 0) return operators[i];
    return NULL;
}

static ts_status unknown_field(struct parser *ps, const char *at, size_t n) {
    ts_buf list = TS_BUF_INIT;
    for (size_t i = 0; i < TS_COUNT(fields); i++)
        ts_buf_printf(&list, "%s%s", i ? " " : "", fields[i].name);
    ts_status status =
        wrong(ps, at, "there is no field \"%.*s\" (%s, and the names of scores); quotes look for the text itself",
              (int)TS_MIN(n, 40), at, list.data);
    ts_buf_release(&list);
    return status;
}

static ts_status parse_or(struct parser *ps);

static ts_status parse_all(struct parser *ps) {
    ps->p = ps->text;
    skip_blanks(ps);
    if (!*ps->p) {
        ts_buf_puts(&ps->q->sql, "1");
        return TS_OK;
    }
    TS_TRY(parse_or(ps));
    return *ps->p ? wrong(ps, ps->p, "there is no opening bracket for this one") : TS_OK;
}

/* @name at ps->p: the saved query, as if it stood here in brackets. */
static ts_status parse_saved(struct parser *ps) {
    const char *start = ps->p;
    size_t n = ts_filter_name_length(start + 1);
    char *key = ts_printf("filter.%.*s", (int)n, start + 1);
    ts_buf text = TS_BUF_INIT;
    ts_err why;
    struct parser inner = {.q = ps->q, .st = ps->st, .depth = ps->depth + 1, .filters = ps->filters + 1, .err = &why};
    ts_status status = TS_OK;
    if (!ps->st || !ts_setting_get(ps->st, key, &text)) {
        status = wrong(ps, start,
                       "there is no saved filter \"%s\" (`tunesmith config WS filter.NAME QUERY` saves one); "
                       "quotes look for the text itself",
                       key + strlen("filter."));
    } else if (inner.filters > MAX_FILTERS || inner.depth > MAX_DEPTH) {
        ps->circle = true;
    } else {
        inner.text = ts_buf_str(&text);
        ts_buf_putc(&ps->q->sql, '(');
        if (parse_all(&inner) != TS_OK) status = wrong(ps, start, "in the saved filter %.40s, %s", key + 7, why.text);
        ts_buf_putc(&ps->q->sql, ')');
        ps->circle = inner.circle;
        ps->filters = inner.filters;
        ps->p = start + 1 + n;
    }
    if (ps->circle) status = wrong(ps, start, "the saved filters name each other in a circle, or too many of them");
    ts_buf_release(&text);
    free(key);
    return status;
}

static ts_status parse_term(struct parser *ps) {
    const char *start = ps->p, *p = start;
    if (*p == '@' && ts_filter_name_length(p + 1)) return parse_saved(ps);
    if (strncmp(p, "re:/", 4) == 0) {
        ps->p += 3;
        return parse_regex(ps, ALL_TEXTS);
    }
    while (isalnum((unsigned char)*p) || *p == '_')
        p++;
    const char *op = p > start ? parse_operator(p) : NULL;
    if (op) {
        struct field f;
        char *made;
        size_t n = (size_t)(p - start);
        if (!find_field(start, n, &f, &made)) return unknown_field(ps, start, n);
        ps->p = p + strlen(op);
        ts_status status = field_term(ps, &f, op, start);
        free(made);
        return status;
    }
    ts_buf word = TS_BUF_INIT;
    ts_status status = parse_word(ps, &word);
    if (status == TS_OK) status = put_words(ps, start, ALL_TEXTS, &word);
    ts_buf_release(&word);
    return status;
}

/* Does a word of the language stand alone at ps->p? */
static bool at_word(const struct parser *ps, const char *word) {
    size_t n = strlen(word);
    return strncasecmp(ps->p, word, n) == 0 && (!ps->p[n] || strchr(" \t\r\n()\"", ps->p[n]));
}

/* Takes it. */
static bool take(struct parser *ps, const char *word) {
    if (!at_word(ps, word)) return false;
    ps->p += strlen(word);
    skip_blanks(ps);
    return true;
}

static ts_status parse_unary(struct parser *ps) {
    const char *start = ps->p;
    if (ps->depth > MAX_DEPTH) return wrong(ps, start, "brackets are nested too deep");
    bool minus = *ps->p == '-' && ps->p[1] && !strchr(" \t\r\n", ps->p[1]);
    if (minus || take(ps, "not")) {
        ps->p += minus;
        ps->depth++;
        ts_buf_puts(&ps->q->sql, "NOT (");
        TS_TRY(parse_unary(ps));
        ts_buf_puts(&ps->q->sql, ")");
        ps->depth--;
        return TS_OK;
    }
    if (!*ps->p || *ps->p == ')' || at_word(ps, "or") || at_word(ps, "and"))
        return wrong(ps, ps->p, "a word or a condition is missing here");
    if (*ps->p != '(') return parse_term(ps);
    ps->p++;
    ps->depth++;
    ts_buf_putc(&ps->q->sql, '(');
    TS_TRY(parse_or(ps));
    if (*ps->p != ')') return wrong(ps, start, "this bracket is not closed");
    ps->p++;
    ps->depth--;
    ts_buf_putc(&ps->q->sql, ')');
    return TS_OK;
}

static ts_status parse_and(struct parser *ps) {
    for (bool first = true;; first = false) {
        skip_blanks(ps);
        if (!first && (!*ps->p || *ps->p == ')' || at_word(ps, "or"))) return TS_OK;
        if (!first) {
            take(ps, "and");
            ts_buf_puts(&ps->q->sql, " AND ");
        }
        TS_TRY(parse_unary(ps));
    }
}

static ts_status parse_or(struct parser *ps) {
    ts_buf_putc(&ps->q->sql, '(');
    TS_TRY(parse_and(ps));
    while (take(ps, "or")) {
        ts_buf_puts(&ps->q->sql, " OR ");
        TS_TRY(parse_and(ps));
    }
    ts_buf_putc(&ps->q->sql, ')');
    return TS_OK;
}

ts_status ts_query_parse(ts_query **out, const char *text, size_t *at, ts_err *err) {
    return ts_query_parse_in(out, NULL, text, at, err);
}

ts_status ts_query_parse_in(ts_query **out, ts_store *st, const char *text, size_t *at, ts_err *err) {
    struct parser ps = {.st = st, .text = text ? text : "", .err = err};
    ps.q = ts_calloc(1, sizeof *ps.q);
    *out = NULL;
    ts_status status = parse_all(&ps);
    if (status != TS_OK) {
        if (at) *at = ps.at;
        ts_query_free(ps.q);
        return status;
    }
    *out = ps.q;
    return TS_OK;
}

ts_query *ts_query_twin(const ts_query *q) {
    ts_query *twin = ts_malloc(sizeof *twin);
    *twin = *q;
    twin->of = q;
    twin->patterns = ts_calloc(TS_MAX(q->n_patterns, (size_t)1), sizeof *twin->patterns);
    for (size_t i = 0; i < q->n_patterns; i++)
        twin->patterns[i] = (struct pattern){q->patterns[i].re, ts_matcher_new(q->patterns[i].re)};
    return twin;
}

static void free_twin(ts_query *twin) {
    for (size_t i = 0; i < twin->n_patterns; i++)
        ts_matcher_free(twin->patterns[i].m);
    free(twin->patterns);
    free(twin);
}

void ts_query_free(ts_query *q) {
    if (!q) return;
    if (q->of) {
        free_twin(q);
        return;
    }
    for (size_t i = 0; i < q->n_patterns; i++) {
        ts_matcher_free(q->patterns[i].m);
        ts_regex_free(q->patterns[i].re);
    }
    for (size_t i = 0; i < q->n_values; i++)
        free(q->values[i].text);
    free(q->patterns);
    free(q->values);
    ts_buf_release(&q->sql);
    free(q);
}

const char *ts_query_sql(const ts_query *q) {
    return ts_buf_str(&q->sql);
}

bool ts_query_texts_only(const ts_query *q) {
    return !q->rows && q->n_patterns + q->n_values > 0;
}

void ts_query_bind(const ts_query *q, sqlite3_stmt *s) {
    if (sqlite3_bind_parameter_count(s) >= 1) sqlite3_bind_pointer(s, 1, (void *)(uintptr_t)q, "ts_query", NULL);
    for (size_t i = 0; i < q->n_values; i++) {
        if (q->values[i].text)
            sqlite3_bind_text(s, (int)i + 2, q->values[i].text, -1, SQLITE_STATIC);
        else
            sqlite3_bind_double(s, (int)i + 2, q->values[i].number);
    }
}

/* ---- the functions ---- */

/* ts_find(query, pattern, text...): 1 when the pattern occurs in one of the texts. */
static void sql_find(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
    const ts_query *q = sqlite3_value_pointer(argv[0], "ts_query");
    size_t k = (size_t)sqlite3_value_int64(argv[1]);
    int found = 0;
    if (!q || k >= q->n_patterns) return;
    for (int i = 2; i < argc && !found; i++) {
        const char *text = (const char *)sqlite3_value_text(argv[i]);
        size_t start, end;
        if (text)
            found =
                ts_matcher_find(q->patterns[k].m, text, (size_t)sqlite3_value_bytes(argv[i]), 0, &start, &end, NULL);
    }
    sqlite3_result_int(ctx, found);
}

/* ts_words(text...): how many pieces between white space. */
static void sql_words(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
    int64_t n = 0;
    for (int i = 0; i < argc; i++) {
        const char *p = (const char *)sqlite3_value_text(argv[i]);
        bool inside = false;
        for (; p && *p; p++) {
            bool space = *p == ' ' || (*p >= '\t' && *p <= '\r');
            n += !space && !inside;
            inside = !space;
        }
    }
    sqlite3_result_int64(ctx, n);
}

ts_status ts_query_functions(ts_store *st, ts_err *err) {
    if (sqlite3_create_function(st->db, "ts_find", -1, SQLITE_UTF8, NULL, sql_find, NULL, NULL) != SQLITE_OK ||
        sqlite3_create_function(st->db, "ts_words", -1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, sql_words, NULL,
                                NULL) != SQLITE_OK)
        return ts_db_fail(st, "open the workspace", err);
    return TS_OK;
}
