#include "core/base/json_stream.h"

#include "core/base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

ts_js ts_js_over(const char *text, size_t n) {
    return (ts_js){.text = text, .at = text, .end = text + n};
}

bool ts_js_fail(ts_js *j, const char *problem) {
    if (!j->problem) j->problem = problem;
    return false;
}

char ts_js_peek(ts_js *j) {
    if (j->problem) return 0;
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\t' || *j->at == '\r'))
        j->at++;
    return j->at < j->end ? *j->at : 0;
}

static bool take(ts_js *j, char c, const char *problem) {
    if (ts_js_peek(j) != c || c == 0) return ts_js_fail(j, problem);
    j->at++;
    return true;
}

static bool enter(ts_js *j, char c, const char *problem) {
    j->fresh = take(j, c, problem);
    return j->fresh;
}

bool ts_js_object(ts_js *j) {
    return enter(j, '{', "an object should begin here");
}

bool ts_js_array(ts_js *j) {
    return enter(j, '[', "an array should begin here");
}

/* The step between two members or elements: false at the closing bracket, which is taken. */
static bool step(ts_js *j, char closing) {
    bool first = j->fresh;
    j->fresh = false;
    if (ts_js_peek(j) == closing) {
        j->at++;
        return false;
    }
    return first ? !j->problem : take(j, ',', "a comma or the closing bracket should stand here");
}

bool ts_js_item(ts_js *j) {
    return step(j, ']');
}

bool ts_js_key(ts_js *j, const char **s, size_t *n) {
    return step(j, '}') && ts_js_str(j, s, n) && take(j, ':', "a colon should stand here");
}

static int hex4(const char *s, const char *end) {
    int v = 0;
    if (end - s < 4) return -1;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0) return -1;
        v = v * 16 + digit;
    }
    return v;
}

/* \uXXXX behind the `u`; a pair of surrogates is one character, a lone one becomes U+FFFD. */
static bool unescape_u(ts_js *j) {
    int high = hex4(j->at, j->end), low;
    if (high < 0) return ts_js_fail(j, "\\u needs four hexadecimal digits");
    j->at += 4;
    if (high >= 0xd800 && high < 0xdc00 && j->end - j->at >= 6 && j->at[0] == '\\' && j->at[1] == 'u') {
        low = hex4(j->at + 2, j->end);
        if (low >= 0xdc00 && low < 0xe000) {
            j->at += 6;
            high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    ts_utf8_put(&j->unescaped, (uint32_t)high);
    return true;
}

static bool unescape(ts_js *j) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (j->at >= j->end) return ts_js_fail(j, "the text ends inside a string");
    char c = *j->at++;
    if (c == 'u') return unescape_u(j);
    const char *at = c ? strchr(from, c) : NULL;
    if (!at) return ts_js_fail(j, "there is no such escape");
    ts_buf_putc(&j->unescaped, to[at - from]);
    return true;
}

/* The rest of a string that has an escape at j->at; its start is copied. */
static bool slow_string(ts_js *j, const char *start) {
    ts_buf_reset(&j->unescaped);
    ts_buf_add(&j->unescaped, start, (size_t)(j->at - start));
    while (j->at < j->end && *j->at != '"') {
        if (*j->at == '\\') {
            j->at++;
            if (!unescape(j)) return false;
        } else {
            ts_buf_putc(&j->unescaped, *j->at++);
        }
    }
    return true;
}

bool ts_js_str(ts_js *j, const char **s, size_t *n) {
    if (!take(j, '"', "a string should stand here")) return false;
    const char *start = j->at;
    while (j->at < j->end && *j->at != '"' && *j->at != '\\')
        j->at++;
    *s = start;
    *n = (size_t)(j->at - start);
    if (j->at < j->end && *j->at == '\\') {
        if (!slow_string(j, start)) return false;
        *s = ts_buf_str(&j->unescaped);
        *n = j->unescaped.len;
    }
    if (j->at >= j->end) return ts_js_fail(j, "the text ends inside a string");
    j->at++;
    return true;
}

bool ts_js_int(ts_js *j, int64_t *v) {
    bool negative = ts_js_peek(j) == '-';
    const char *p = j->at + negative, *digits = p;
    int64_t sum = 0;
    if (j->problem) return false;
    for (; p < j->end && *p >= '0' && *p <= '9' && p - digits < 18; p++)
        sum = sum * 10 + (*p - '0');
    if (p == digits || (p < j->end && strchr(".eE0123456789", *p) && *p))
        return ts_js_fail(j, "a whole number should stand here");
    j->at = p;
    *v = negative ? -sum : sum;
    return true;
}

bool ts_js_num(ts_js *j, double *v) {
    char digits[64], *rest;
    size_t n = 0;
    ts_js_peek(j);
    if (j->problem) return false;
    while (j->at + n < j->end && n + 1 < sizeof digits && j->at[n] && strchr("+-.eE0123456789", j->at[n])) {
        digits[n] = j->at[n];
        n++;
    }
    digits[n] = 0;
    *v = strtod(digits, &rest); /* tui/main.c keeps the decimal point a point */
    if (n == 0 || *rest || !isfinite(*v)) return ts_js_fail(j, "a number should stand here");
    j->at += n;
    return true;
}

static void skip_string(ts_js *j) {
    for (j->at++; j->at < j->end && *j->at != '"'; j->at++)
        if (*j->at == '\\' && j->end - j->at > 1) j->at++;
    if (j->at >= j->end)
        ts_js_fail(j, "the text ends inside a string");
    else
        j->at++;
}

bool ts_js_skip(ts_js *j, const char **s, size_t *n) {
    size_t depth = 0;
    ts_js_peek(j);
    const char *start = j->at;
    do {
        char c = ts_js_peek(j);
        if (c == 0 || c == ',' || c == ':') {
            if (c == 0 || depth == 0) return ts_js_fail(j, "a value should stand here");
            j->at++;
        } else if (c == '"') {
            skip_string(j);
        } else if (c == '{' || c == '[') {
            depth++;
            j->at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0) return ts_js_fail(j, "a value should stand here");
            depth--;
            j->at++;
        } else {
            while (j->at < j->end && !strchr(" \t\r\n,:\"{}[]", *j->at))
                j->at++;
            if (j->at < j->end && *j->at == 0) return ts_js_fail(j, "a NUL character is not taken");
        }
    } while (depth && !j->problem);
    if (s) {
        *s = start;
        *n = (size_t)(j->at - start);
    }
    return !j->problem;
}

ts_status ts_js_finish(ts_js *j, const char *what, ts_err *err) {
    size_t line = 1, column = 1;
    ts_buf_release(&j->unescaped);
    if (!j->problem) return TS_OK;
    for (const char *p = j->text; p < j->at; p++) {
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
    }
    return ts_fail(err, TS_FORMAT, "%s: not valid at line %zu, column %zu: %s", what, line, column, j->problem);
}
