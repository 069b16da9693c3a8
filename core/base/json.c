#include "core/base/json.h"

#include "core/base/file.h"
#include "core/base/utf8.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* \u0000 outside an escaped backslash. */
static const char *find_nul_escape(const char *text, size_t n) {
    for (size_t i = 0; i + 6 <= n; i++) {
        if (text[i] != '\\') continue;
        if (memcmp(text + i, "\\u0000", 6) == 0) return text + i;
        i++; /* skip what is escaped, so that "\\u0000" is text */
    }
    return memchr(text, 0, n);
}

static void fail_at(const char *text, const char *at, const char *what, ts_err *err) {
    size_t line = 1, column = 1;
    for (const char *p = text; p < at; p++) {
        column++;
        if (*p == '\n') {
            line++;
            column = 1;
        }
    }
    ts_fail(err, TS_FORMAT, "not valid JSON at line %zu, column %zu: %s", line, column, what);
}

ts_json *ts_json_parse(const char *text, size_t n, ts_err *err) {
    const char *nul = n ? find_nul_escape(text, n) : NULL, *end = text;
    if (nul) {
        fail_at(text, nul, "a NUL character is not taken", err);
        return NULL;
    }
    size_t good = ts_utf8_check(text, n);
    if (good < n) {
        fail_at(text, text + good, "a byte is not UTF-8; save the text as UTF-8", err);
        return NULL;
    }
    cJSON *root = n ? cJSON_ParseWithLengthOpts(text, n, &end, 0) : NULL;
    if (!root) {
        if (n == 0)
            ts_fail(err, TS_FORMAT, "not valid JSON: it is empty");
        else
            fail_at(text, end, "the value is not complete or has an unexpected character", err);
        return NULL;
    }
    while (end < text + n && strchr(" \t\r\n", *end))
        end++;
    if (end < text + n) {
        fail_at(text, end, "there is text behind the value", err);
        cJSON_Delete(root);
        return NULL;
    }
    return root;
}

ts_json *ts_json_read(const char *path, size_t max, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    ts_json *root = NULL;
    if (ts_file_read(path, max, &text, err) == TS_OK) {
        root = ts_json_parse(text.data, text.len, err);
        if (!root) ts_wrap(err, TS_FORMAT, "%s", path);
    }
    ts_buf_release(&text);
    return root;
}

void ts_json_free(ts_json *root) {
    cJSON_Delete(root);
}

const ts_json *ts_json_get(const ts_json *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

const ts_json *ts_json_child(const ts_json *v) {
    return v ? v->child : NULL;
}

const ts_json *ts_json_next(const ts_json *v) {
    return v ? v->next : NULL;
}

const char *ts_json_key(const ts_json *member) {
    return member && member->string ? member->string : "";
}

size_t ts_json_count(const ts_json *v) {
    size_t n = 0;
    for (const ts_json *c = ts_json_child(v); c; c = c->next)
        n++;
    return n;
}

bool ts_json_is_object(const ts_json *v) {
    return cJSON_IsObject(v);
}

bool ts_json_is_array(const ts_json *v) {
    return cJSON_IsArray(v);
}

bool ts_json_is_string(const ts_json *v) {
    return cJSON_IsString(v);
}

bool ts_json_is_number(const ts_json *v) {
    return cJSON_IsNumber(v);
}

bool ts_json_is_bool(const ts_json *v) {
    return cJSON_IsBool(v);
}

bool ts_json_is_null(const ts_json *v) {
    return cJSON_IsNull(v);
}

bool ts_json_is_true(const ts_json *v) {
    return cJSON_IsTrue(v);
}

const char *ts_json_str(const ts_json *v, const char *otherwise) {
    return cJSON_IsString(v) && v->valuestring ? v->valuestring : otherwise;
}

double ts_json_num(const ts_json *v, double otherwise) {
    return cJSON_IsNumber(v) ? v->valuedouble : otherwise;
}

bool ts_json_int(const ts_json *v, int64_t min, int64_t max, int64_t *out) {
    if (!cJSON_IsNumber(v) || v->valuedouble != floor(v->valuedouble) || fabs(v->valuedouble) > 0x1p53) return false;
    int64_t n = (int64_t)v->valuedouble;
    if (n < min || n > max) return false;
    *out = n;
    return true;
}

void ts_json_print(const ts_json *v, ts_buf *out) {
    char *text = cJSON_PrintUnformatted(v);
    if (!text) ts_fatal("out of memory while writing JSON");
    ts_buf_puts(out, text);
    cJSON_free(text);
}

ts_jw ts_jw_to(ts_buf *out) {
    return (ts_jw){out, false};
}

static void separate(ts_jw *w) {
    if (w->comma) ts_buf_putc(w->out, ',');
    w->comma = true;
}

static void open_with(ts_jw *w, char c) {
    separate(w);
    ts_buf_putc(w->out, c);
    w->comma = false;
}

static void close_with(ts_jw *w, char c) {
    ts_buf_putc(w->out, c);
    w->comma = true;
}

void ts_jw_obj(ts_jw *w) {
    open_with(w, '{');
}

void ts_jw_end_obj(ts_jw *w) {
    close_with(w, '}');
}

void ts_jw_arr(ts_jw *w) {
    open_with(w, '[');
}

void ts_jw_end_arr(ts_jw *w) {
    close_with(w, ']');
}

/* The letter behind the backslash in JSON's short escapes, 0 where there is none. */
static char short_escape(unsigned char c) {
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

/* Bytes that stand for themselves: nearly all of most texts. */
static size_t plain_run(const char *s, size_t n) {
    size_t i = 0;
    while (i < n && (unsigned char)s[i] >= 0x20 && (unsigned char)s[i] < 0x7f && s[i] != '"' && s[i] != '\\')
        i++;
    return i;
}

static void put_escaped(ts_buf *out, const char *s, size_t n) {
    ts_buf_putc(out, '"');
    for (size_t i = 0; i < n;) {
        size_t run = plain_run(s + i, n - i);
        ts_buf_add(out, s + i, run);
        i += run;
        if (i == n) break;
        unsigned char c = (unsigned char)s[i];
        char letter = short_escape(c);
        size_t used = 1;
        if (letter) {
            ts_buf_putc(out, '\\');
            ts_buf_putc(out, letter);
        } else if (c < 0x20 || c == 0x7f) {
            ts_buf_printf(out, "\\u%04x", c);
        } else {
            size_t len = ts_utf8_sequence(s + i, n - i);
            ts_buf_add(out, len ? s + i : "\xef\xbf\xbd", len ? len : 3);
            used = len ? len : 1;
        }
        i += used;
    }
    ts_buf_putc(out, '"');
}

void ts_jw_key(ts_jw *w, const char *key) {
    separate(w);
    put_escaped(w->out, key, strlen(key));
    ts_buf_putc(w->out, ':');
    w->comma = false;
}

void ts_jw_strn(ts_jw *w, const char *s, size_t n) {
    separate(w);
    put_escaped(w->out, s, n);
}

void ts_jw_str(ts_jw *w, const char *s) {
    if (s)
        ts_jw_strn(w, s, strlen(s));
    else
        ts_jw_null(w);
}

void ts_jw_raw(ts_jw *w, const char *json, size_t n) {
    separate(w);
    ts_buf_add(w->out, json, n);
}

void ts_jw_int(ts_jw *w, int64_t v) {
    separate(w);
    ts_buf_printf(w->out, "%lld", (long long)v);
}

void ts_jw_num(ts_jw *w, double v) {
    char text[40];
    if (!isfinite(v)) {
        ts_jw_null(w);
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    separate(w);
    ts_buf_puts(w->out, text);
}

void ts_jw_bool(ts_jw *w, bool v) {
    ts_jw_raw(w, v ? "true" : "false", v ? 4 : 5);
}

void ts_jw_null(ts_jw *w) {
    ts_jw_raw(w, "null", 4);
}

void ts_jw_kstr(ts_jw *w, const char *key, const char *v) {
    ts_jw_key(w, key);
    ts_jw_str(w, v);
}

void ts_jw_kint(ts_jw *w, const char *key, int64_t v) {
    ts_jw_key(w, key);
    ts_jw_int(w, v);
}

void ts_jw_knum(ts_jw *w, const char *key, double v) {
    ts_jw_key(w, key);
    ts_jw_num(w, v);
}

void ts_jw_kbool(ts_jw *w, const char *key, bool v) {
    ts_jw_key(w, key);
    ts_jw_bool(w, v);
}
