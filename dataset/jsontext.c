#include "dataset/jsontext.h"

#include "core/base/hash.h"
#include "core/base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* ---- the check: recursive descent, at most TS_JSON_MAX_DEPTH deep ---- */

struct check {
    const char *p, *end;
    ts_json_fault fault;
    uint64_t *keys; /* hashes of the keys of all objects that are open */
    size_t n_keys, cap_keys;
    ts_buf decoded;
};

static bool fault(struct check *c, ts_json_fault f) {
    if (!c->fault) c->fault = c->p >= c->end && f == TS_JSON_BROKEN ? TS_JSON_CUT : f;
    return false;
}

static void skip_space(struct check *c) {
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'))
        c->p++;
}

static int hex_digit(char h) {
    return h >= '0' && h <= '9'   ? h - '0'
           : h >= 'a' && h <= 'f' ? h - 'a' + 10
           : h >= 'A' && h <= 'F' ? h - 'A' + 10
                                  : -1;
}

/* Four hexadecimal digits at p, or -1. */
static int32_t unit_at(const char *p, const char *end) {
    int32_t v = 0;
    if (end - p < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(p[i]);
        if (d < 0) return -1;
        v = v << 4 | d;
    }
    return v;
}

/* Behind "\u". */
static bool check_unit(struct check *c) {
    int32_t v = unit_at(c->p, c->end), low;
    if (v < 0) {
        if (c->end - c->p < 4) c->p = c->end;
        return fault(c, TS_JSON_BROKEN);
    }
    if (v == 0) return fault(c, TS_JSON_NUL);
    c->p += 4;
    if (v < 0xd800 || v > 0xdfff) return true;
    if (v > 0xdbff || c->end - c->p < 6 || c->p[0] != '\\' || c->p[1] != 'u') return fault(c, TS_JSON_SURROGATE);
    low = unit_at(c->p + 2, c->end);
    if (low < 0xdc00 || low > 0xdfff) return fault(c, TS_JSON_SURROGATE);
    c->p += 6;
    return true;
}

static bool check_escape(struct check *c) {
    c->p++;
    if (c->p >= c->end) return fault(c, TS_JSON_BROKEN);
    char e = *c->p;
    if (e == 'u') {
        c->p++;
        return check_unit(c);
    }
    if (!strchr("\"\\/bfnrt", e) || !e) return fault(c, TS_JSON_BROKEN);
    c->p++;
    return true;
}

/* Bytes that need no look: printable ASCII but quote and backslash. */
static bool plain(unsigned char b) {
    return b >= 0x20 && b < 0x80 && b != '"' && b != '\\';
}

/* Moves over plain bytes, eight at a time while all eight are: for each byte the highest bit of one of the four terms
 * tells a control character, a quote, a backslash, or a byte of another character (Mycroft's test for a zero byte, on
 * the byte with the looked-for one taken away). */
static void skip_plain(struct check *c) {
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t eight;
    for (; c->end - c->p >= 8; c->p += 8) {
        memcpy(&eight, c->p, 8);
        uint64_t quote = eight ^ (ones * '"'), slash = eight ^ (ones * '\\');
        if (((eight - ones * 0x20) | (quote - ones) | (slash - ones) | eight) & highs) break;
    }
    while (c->p < c->end && plain((unsigned char)*c->p))
        c->p++;
}

static bool check_string(struct check *c) {
    c->p++;
    for (;;) {
        skip_plain(c);
        if (c->p >= c->end) return fault(c, TS_JSON_BROKEN);
        unsigned char b = (unsigned char)*c->p;
        if (b == '"') break;
        if (b == '\\') {
            if (!check_escape(c)) return false;
        } else if (b < 0x20) {
            return fault(c, b == 0 ? TS_JSON_NUL : TS_JSON_BROKEN);
        } else {
            size_t len = ts_utf8_sequence(c->p, (size_t)(c->end - c->p));
            if (!len) return fault(c, TS_JSON_UTF8);
            c->p += len;
        }
    }
    c->p++;
    return true;
}

static size_t digits(struct check *c) {
    const char *start = c->p;
    while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
        c->p++;
    return (size_t)(c->p - start);
}

static bool check_number(struct check *c) {
    if (*c->p == '-') c->p++;
    const char *first = c->p;
    size_t n = digits(c);
    if (n > 1 && *first == '0') c->fault = TS_JSON_BROKEN; /* also where the text ends behind it */
    if (n == 0 || c->fault) return fault(c, TS_JSON_BROKEN);
    if (c->p < c->end && *c->p == '.') {
        c->p++;
        if (!digits(c)) return fault(c, TS_JSON_BROKEN);
    }
    if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
        c->p++;
        if (c->p < c->end && (*c->p == '+' || *c->p == '-')) c->p++;
        if (!digits(c)) return fault(c, TS_JSON_BROKEN);
    }
    return true;
}

static bool check_word(struct check *c) {
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < TS_COUNT(words); i++) {
        size_t n = strlen(words[i]), have = TS_MIN(n, (size_t)(c->end - c->p));
        if (memcmp(c->p, words[i], have) != 0) continue;
        c->p += have;
        return have == n ? true : fault(c, TS_JSON_BROKEN);
    }
    return fault(c, (unsigned char)*c->p >= 0x80 && !ts_utf8_sequence(c->p, (size_t)(c->end - c->p)) ? TS_JSON_UTF8
                    : *c->p == 0                                                                     ? TS_JSON_NUL
                                                                                                     : TS_JSON_BROKEN);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Is there a key twice among the last ones from `first`? They are forgotten. */
static bool keys_differ(struct check *c, size_t first) {
    size_t n = c->n_keys - first;
    if (n < 2) { /* keys is NULL before the first one */
        c->n_keys = first;
        return true;
    }
    uint64_t *k = c->keys + first;
    bool differ = true;
    if (n <= 12) {
        for (size_t i = 1; i < n && differ; i++)
            for (size_t j = 0; j < i && differ; j++)
                differ = k[i] != k[j];
    } else {
        qsort(k, n, sizeof *k, by_value);
        for (size_t i = 1; i < n && differ; i++)
            differ = k[i] != k[i - 1];
    }
    c->n_keys = first;
    return differ;
}

static bool check_key(struct check *c) {
    ts_jview key = {c->p, NULL};
    if (c->p >= c->end || *c->p != '"') return fault(c, TS_JSON_BROKEN);
    if (!check_string(c)) return false;
    key.end = c->p;
    uint64_t hash;
    if (memchr(key.p, '\\', (size_t)(key.end - key.p))) {
        ts_buf_reset(&c->decoded);
        ts_jview_string(key, &c->decoded);
        hash = ts_hash64(ts_buf_str(&c->decoded), c->decoded.len, 0);
    } else {
        hash = ts_hash64(key.p + 1, (size_t)(key.end - key.p) - 2, 0);
    }
    TS_PUSH(c->keys, c->n_keys, c->cap_keys, hash);
    skip_space(c);
    if (c->p >= c->end || *c->p != ':') return fault(c, TS_JSON_BROKEN);
    c->p++;
    return true;
}

static bool check_value(struct check *c, int depth);

static bool check_container(struct check *c, int depth) {
    char close = *c->p == '{' ? '}' : ']';
    const char *open = c->p++;
    size_t first_key = c->n_keys;
    if (depth >= TS_JSON_MAX_DEPTH) return fault(c, TS_JSON_DEEP);
    skip_space(c);
    if (c->p < c->end && *c->p == close) {
        c->p++;
        return true;
    }
    for (;;) {
        skip_space(c);
        if (close == '}' && !check_key(c)) return false;
        if (!check_value(c, depth + 1)) return false;
        skip_space(c);
        if (c->p >= c->end || (*c->p != ',' && *c->p != close)) return fault(c, TS_JSON_BROKEN);
        if (*c->p++ == close) break;
    }
    if (keys_differ(c, first_key)) return true;
    c->p = open;
    return fault(c, TS_JSON_DUPLICATE_KEY);
}

static bool check_value(struct check *c, int depth) {
    skip_space(c);
    if (c->p >= c->end) return fault(c, TS_JSON_BROKEN);
    char b = *c->p;
    if (b == '"') return check_string(c);
    if (b == '{' || b == '[') return check_container(c, depth);
    if (b == '-' || (b >= '0' && b <= '9')) return check_number(c);
    return check_word(c);
}

ts_json_fault ts_json_check(const char *text, size_t n, size_t *at) {
    struct check c = {.p = text, .end = text + n};
    if (check_value(&c, 0)) {
        skip_space(&c);
        if (c.p < c.end) fault(&c, *c.p ? TS_JSON_BROKEN : TS_JSON_NUL);
    }
    *at = (size_t)(c.p - text);
    free(c.keys);
    ts_buf_release(&c.decoded);
    return c.fault;
}

/* ---- views; the text was checked, so its grammar is trusted, its end is not passed ---- */

static const char *space_end(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* A quote ends the string unless an odd number of backslashes stands before it. */
static const char *string_end(const char *p, const char *end) {
    const char *first = p + 1;
    for (const char *q = first; (q = memchr(q, '"', (size_t)(end - q))) != NULL; q++) {
        const char *b = q;
        while (b > first && b[-1] == '\\')
            b--;
        if ((q - b) % 2 == 0) return q + 1;
    }
    return end;
}

static const char *value_end(const char *p, const char *end) {
    int depth = 0;
    if (p < end && *p == '"') return string_end(p, end);
    if (p < end && *p != '{' && *p != '[') {
        while (p < end && !strchr(",]} \t\r\n", *p))
            p++;
        return p;
    }
    while (p < end) {
        if (*p == '"') {
            p = string_end(p, end);
            continue;
        }
        if (*p == '{' || *p == '[') depth++;
        if (*p == '}' || *p == ']') depth--;
        p++;
        if (depth == 0) break;
    }
    return p;
}

ts_jview ts_jview_of(const char *text, size_t n) {
    const char *end = text + n, *p = space_end(text, end);
    return (ts_jview){p, value_end(p, end)};
}

bool ts_jview_next(ts_jview container, ts_jview *at, ts_jview *key, ts_jview *value) {
    const char *end = container.end;
    if (!container.p || (*container.p != '{' && *container.p != '[')) return false;
    const char *p = space_end(at->p ? at->end : container.p + 1, end);
    if (at->p && p < end && *p == ',') p = space_end(p + 1, end);
    if (p >= end || *p == '}' || *p == ']') return false;
    if (*container.p == '{') {
        ts_jview k = {p, string_end(p, end)};
        if (key) *key = k;
        p = space_end(k.end, end);
        p = space_end(p < end ? p + 1 : p, end);
    }
    *at = (ts_jview){p, value_end(p, end)};
    *value = *at;
    return true;
}

ts_jview ts_jview_get(ts_jview object, const char *name) {
    ts_jview at = {0}, key, value;
    if (ts_jview_kind(object) != '{') return at;
    while (ts_jview_next(object, &at, &key, &value))
        if (ts_jview_equals(key, name)) return value;
    return (ts_jview){0};
}

size_t ts_jview_count(ts_jview container) {
    ts_jview at = {0}, value;
    size_t n = 0;
    while (ts_jview_next(container, &at, NULL, &value))
        n++;
    return n;
}

static const char *put_unit(const char *p, const char *end, ts_buf *out) {
    uint32_t v = (uint32_t)unit_at(p, end);
    p += 4;
    if (v >= 0xd800 && v < 0xdc00 && end - p >= 6) {
        v = 0x10000 + ((v - 0xd800) << 10) + ((uint32_t)unit_at(p + 2, end) - 0xdc00);
        p += 6;
    }
    ts_utf8_put(out, v);
    return p;
}

void ts_jview_string(ts_jview string, ts_buf *out) {
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    if (ts_jview_kind(string) != '"') return;
    const char *p = string.p + 1, *end = string.end - 1;
    while (p < end) {
        const char *slash = memchr(p, '\\', (size_t)(end - p));
        ts_buf_add(out, p, (size_t)((slash ? slash : end) - p));
        if (!slash || slash + 1 >= end) break;
        p = slash + 2;
        if (slash[1] == 'u') {
            p = put_unit(p, end, out);
        } else {
            const char *known = strchr(from, slash[1]);
            ts_buf_putc(out, known ? to[known - from] : slash[1]);
        }
    }
}

bool ts_jview_equals(ts_jview string, const char *text) {
    size_t n = strlen(text);
    if (ts_jview_kind(string) != '"') return false;
    if (!memchr(string.p, '\\', (size_t)(string.end - string.p)))
        return (size_t)(string.end - string.p) == n + 2 && memcmp(string.p + 1, text, n) == 0;
    ts_buf decoded = TS_BUF_INIT;
    ts_jview_string(string, &decoded);
    bool same = decoded.len == n && memcmp(ts_buf_str(&decoded), text, n) == 0;
    ts_buf_release(&decoded);
    return same;
}

void ts_jview_compact(ts_jview v, ts_buf *out) {
    for (const char *p = v.p; p && p < v.end;) {
        if (*p == '"') {
            const char *end = string_end(p, v.end);
            ts_buf_add(out, p, (size_t)(end - p));
            p = end;
        } else {
            const char *space = space_end(p, v.end);
            if (space == p)
                ts_buf_putc(out, *p++);
            else
                p = space;
        }
    }
}
