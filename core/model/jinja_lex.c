/* Template source to tokens, with Jinja's white-space rules (jinja2 lexer.py): "-" takes all white space on its side,
 * trim_blocks the newline behind a block or comment, lstrip_blocks the blanks between the start of a line and a block
 * or comment, "+" switches both off; one newline at the very end goes. */
#include "core/base/utf8.h"
#include "core/model/jinja_impl.h"
#include "core/text/normalize.h"

#include <stdlib.h>
#include <string.h>

typedef struct lexer {
    const char *s; /* with \n only */
    size_t n, at;
    int line;
    bool line_start; /* the token before ended a line, or there is none */
    ts_arena *arena;
    jtokens *out;
    ts_err *err;
} lexer;

static ts_status complain(const lexer *l, const char *what) {
    return ts_fail(l->err, TS_FORMAT, "the chat template, line %d: %s", l->line, what);
}

static jtoken *add(lexer *l, jtoken_kind kind, const char *s, size_t n) {
    jtoken t = {.kind = kind, .line = l->line, .s = s, .n = n};
    TS_PUSH(l->out->items, l->out->n, l->out->cap, t);
    return &l->out->items[l->out->n - 1];
}

static void advance(lexer *l, size_t to) {
    for (; l->at < to; l->at++)
        l->line += l->s[l->at] == '\n';
}

static bool looking_at(const lexer *l, size_t at, const char *what) {
    size_t n = strlen(what);
    return l->n - at >= n && memcmp(l->s + at, what, n) == 0;
}

bool jpy_space(uint32_t cp) {
    return ts_is_space(cp) || (cp >= 0x1c && cp <= 0x1f);
}

static size_t skip_space(const lexer *l, size_t at) {
    while (at < l->n) {
        uint32_t cp;
        size_t len = ts_utf8_decode(l->s + at, l->n - at, &cp);
        if (!jpy_space(cp)) break;
        at += len;
    }
    return at;
}

static size_t rstrip(const lexer *l, size_t start, size_t end) {
    while (end > start) {
        uint32_t cp;
        size_t i = end - 1;
        while (i > start && ((unsigned char)l->s[i] & 0xc0) == 0x80)
            i--;
        ts_utf8_decode(l->s + i, end - i, &cp);
        if (!jpy_space(cp)) break;
        end = i;
    }
    return end;
}

/* Where the text before a block ends once lstrip_blocks is done. */
static size_t lstrip_line(const lexer *l, size_t start, size_t end) {
    size_t line = end;
    while (line > start && l->s[line - 1] != '\n')
        line--;
    if (line == start && !l->line_start) return end;
    return rstrip(l, line, end) == line ? line : end;
}

/* The next "{%", "{{" or "{#". */
static size_t next_tag(const lexer *l, size_t at) {
    for (; at + 1 < l->n; at++) {
        const char *brace = memchr(l->s + at, '{', l->n - 1 - at);
        if (!brace) return l->n;
        at = (size_t)(brace - l->s);
        if (strchr("%{#", l->s[at + 1]) && l->s[at + 1]) return at;
    }
    return l->n;
}

/* Behind the end of a block or comment at `at` (which is behind "%}"): what trimming takes. `sign` stood before it. */
static void end_tag(lexer *l, size_t at, char sign, bool block) {
    advance(l, at);
    if (sign == '-')
        advance(l, skip_space(l, at));
    else if (sign != '+' && block && at < l->n && l->s[at] == '\n')
        advance(l, at + 1);
    l->line_start = l->at > 0 && l->s[l->at - 1] == '\n';
}

static ts_status lex_comment(lexer *l) {
    const char *end = memmem(l->s + l->at + 2, l->n - l->at - 2, "#}", 2);
    if (!end) return complain(l, "a comment is not closed by #}");
    size_t at = (size_t)(end - l->s);
    char sign = at > l->at + 2 ? l->s[at - 1] : 0;
    end_tag(l, at + 2, sign, true);
    return TS_OK;
}

/* Behind "{% raw %}" if that stands at l->at, else 0. */
static size_t raw_begin(const lexer *l, char *sign) {
    size_t at = l->at + 2;
    if (at < l->n && (l->s[at] == '-' || l->s[at] == '+')) at++;
    at = skip_space(l, at);
    if (!looking_at(l, at, "raw")) return 0;
    at = skip_space(l, at + 3);
    *sign = at < l->n && l->s[at] == '-' ? '-' : 0;
    if (*sign) at++;
    return looking_at(l, at, "%}") ? at + 2 : 0;
}

static ts_status lex_raw(lexer *l, size_t begin, char sign) {
    advance(l, sign == '-' ? skip_space(l, begin) : begin);
    for (size_t at = l->at; at < l->n; at++) {
        if (!looking_at(l, at, "{%")) continue;
        size_t inner = at + 2, end = at;
        char left = inner < l->n ? l->s[inner] : 0;
        if (left == '-' || left == '+') inner++;
        inner = skip_space(l, inner);
        if (!looking_at(l, inner, "endraw")) continue;
        inner = skip_space(l, inner + 6);
        char right = inner < l->n && (l->s[inner] == '-' || l->s[inner] == '+') ? l->s[inner] : 0;
        if (right) inner++;
        if (!looking_at(l, inner, "%}")) continue;
        if (left == '-')
            end = rstrip(l, l->at, at);
        else if (left != '+')
            end = lstrip_line(l, l->at, at);
        if (end > l->at) add(l, T_DATA, l->s + l->at, end - l->at);
        end_tag(l, inner + 2, right, true);
        return TS_OK;
    }
    return complain(l, "raw is not closed by endraw");
}

static bool name_char(unsigned char c, bool first) {
    return ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || c >= 0x80 || (!first && c >= '0' && c <= '9');
}

/* One escape of a Python string literal, l->at behind the backslash. */
static void unescape(lexer *l, ts_buf *b) {
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    char c = l->s[l->at];
    const char *known = c ? strchr(from, c) : NULL;
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t cp = 0;
    if (known) {
        ts_buf_putc(b, to[known - from]);
        l->at++;
        return;
    }
    if (c >= '0' && c <= '7') {
        for (int k = 0; k < 3 && l->at < l->n && l->s[l->at] >= '0' && l->s[l->at] <= '7'; k++)
            cp = cp * 8 + (uint32_t)(l->s[l->at++] - '0');
        ts_utf8_put(b, cp);
        return;
    }
    if (c == '\n') { /* a line continued */
        advance(l, l->at + 1);
        return;
    }
    size_t k = 0;
    for (; k < digits && l->at + 1 + k < l->n; k++) {
        char h = l->s[l->at + 1 + k];
        int v = h >= '0' && h <= '9' ? h - '0' : (h | 32) >= 'a' && (h | 32) <= 'f' ? (h | 32) - 'a' + 10 : -1;
        if (v < 0) break;
        cp = cp * 16 + (uint32_t)v;
    }
    if (digits && k == digits) {
        ts_utf8_put(b, cp);
        l->at += 1 + digits;
        return;
    }
    ts_buf_putc(b, '\\'); /* not an escape: stays as it is */
}

static ts_status lex_string(lexer *l) {
    char quote = l->s[l->at++];
    ts_buf b = TS_BUF_INIT;
    int line = l->line;
    while (l->at < l->n && l->s[l->at] != quote) {
        if (l->s[l->at] == '\\' && l->at + 1 < l->n) {
            l->at++;
            unescape(l, &b);
        } else {
            ts_buf_putc(&b, l->s[l->at]);
            advance(l, l->at + 1);
        }
    }
    if (l->at >= l->n) {
        ts_buf_release(&b);
        l->line = line;
        return complain(l, "a string is not closed");
    }
    l->at++;
    jtoken *t = add(l, T_STR, ts_arena_strndup(l->arena, ts_buf_str(&b), b.len), b.len);
    t->line = line;
    ts_buf_release(&b);
    return TS_OK;
}

static ts_status lex_number(lexer *l) {
    char text[64];
    size_t n = 0, at = l->at;
    bool is_float = false;
    for (; at < l->n && n + 1 < sizeof text; at++) {
        char c = l->s[at], next = at + 1 < l->n ? l->s[at + 1] : 0;
        bool digit = c >= '0' && c <= '9';
        if (c == '_' && next >= '0' && next <= '9') continue;
        bool dot = c == '.' && !is_float && next >= '0' && next <= '9';
        bool sign_next = (next == '+' || next == '-') && at + 2 < l->n && l->s[at + 2] >= '0' && l->s[at + 2] <= '9';
        bool exponent = (c | 32) == 'e' && n && !strpbrk(text, "eE") && ((next >= '0' && next <= '9') || sign_next);
        if (!digit && !dot && !exponent) break;
        is_float = is_float || dot || exponent;
        text[n++] = c;
        text[n] = 0;
        if (exponent && sign_next) {
            text[n++] = next;
            text[n] = 0;
            at++;
        }
    }
    if (n + 1 >= sizeof text || (!is_float && n > 18)) return complain(l, "a number is too long");
    jtoken *t = add(l, is_float ? T_FLOAT : T_INT, l->s + l->at, at - l->at);
    if (is_float)
        t->f = strtod(text, NULL);
    else
        t->i = strtoll(text, NULL, 10);
    l->at = at;
    return TS_OK;
}

static ts_status lex_operator(lexer *l, int *depth) {
    static const char *const ops[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                      "]",  "(",  ")",  "{",  "}",  "<",  ">", "=", ".", ":", "|", ",", ";"};
    for (size_t i = 0; i < TS_COUNT(ops); i++) {
        if (!looking_at(l, l->at, ops[i])) continue;
        add(l, T_OP, ops[i], strlen(ops[i]));
        l->at += strlen(ops[i]);
        *depth += strchr("[({", ops[i][0]) ? 1 : strchr("])}", ops[i][0]) ? -1 : 0;
        return TS_OK;
    }
    uint32_t cp;
    size_t len = ts_utf8_decode(l->s + l->at, l->n - l->at, &cp);
    return ts_fail(l->err, TS_FORMAT, "the chat template, line %d: unexpected character '%.*s'", l->line, (int)len,
                   l->s + l->at);
}

/* The inside of {{ }} or {% %}, with its end. */
static ts_status lex_code(lexer *l, bool block) {
    const char *close = block ? "%}" : "}}";
    int depth = 0, line = l->line;
    advance(l, l->at + 2);
    if (l->at < l->n && (l->s[l->at] == '-' || (block && l->s[l->at] == '+'))) l->at++;
    for (;;) {
        advance(l, skip_space(l, l->at));
        if (l->at >= l->n) {
            l->line = line;
            return complain(l, block ? "a block is not closed by %}" : "an expression is not closed by }}");
        }
        char c = l->s[l->at];
        bool sign = c == '-' || (block && c == '+');
        if (depth <= 0 && looking_at(l, l->at + sign, close)) {
            add(l, block ? T_BLOCK_END : T_VAR_END, close, 2);
            end_tag(l, l->at + sign + 2, sign ? c : 0, block);
            return TS_OK;
        }
        if (c == '"' || c == '\'') {
            TS_TRY(lex_string(l));
        } else if (c >= '0' && c <= '9') {
            TS_TRY(lex_number(l));
        } else if (name_char((unsigned char)c, true)) {
            size_t end = l->at;
            while (end < l->n && name_char((unsigned char)l->s[end], false))
                end++;
            add(l, T_NAME, ts_arena_strndup(l->arena, l->s + l->at, end - l->at), end - l->at);
            l->at = end;
        } else {
            TS_TRY(lex_operator(l, &depth));
        }
    }
}

static ts_status lex_all(lexer *l) {
    while (l->at < l->n) {
        size_t tag = next_tag(l, l->at), end = tag, raw;
        char kind = tag < l->n ? l->s[tag + 1] : 0, sign = tag + 2 < l->n ? l->s[tag + 2] : 0, raw_sign;
        if (kind && sign == '-')
            end = rstrip(l, l->at, tag);
        else if (kind && kind != '{' && sign != '+')
            end = lstrip_line(l, l->at, tag);
        if (end > l->at) add(l, T_DATA, l->s + l->at, end - l->at);
        advance(l, tag);
        if (kind == '#') {
            TS_TRY(lex_comment(l));
        } else if (kind == '%' && (raw = raw_begin(l, &raw_sign)) != 0) {
            TS_TRY(lex_raw(l, raw, raw_sign));
        } else if (kind) {
            add(l, kind == '%' ? T_BLOCK_BEGIN : T_VAR_BEGIN, l->s + tag, 2);
            TS_TRY(lex_code(l, kind == '%'));
        }
    }
    return TS_OK;
}

ts_status jlex(const char *source, size_t n, ts_arena *arena, jtokens *out, ts_err *err) {
    char *s = ts_arena_alloc(arena, n + 1);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (source[i] == '\r' && i + 1 < n && source[i + 1] == '\n') continue;
        s[k++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (k && s[k - 1] == '\n') k--;
    s[k] = 0;
    lexer l = {s, k, 0, 1, true, arena, out, err};
    TS_TRY(lex_all(&l));
    add(&l, T_END, "the end of the template", 0);
    return TS_OK;
}
