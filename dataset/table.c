#include "dataset/table.h"

#include "dataset/formats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ts_table_release(ts_table *t) {
    ts_buf_release(&t->names);
    ts_buf_release(&t->field);
    free(t->ends);
    *t = (ts_table){0};
}

/* ---- where a record ends ---- */

enum { FIELD_START, PLAIN, QUOTED, QUOTE_SEEN };

static int behind_quote(const ts_table *t, ts_table_scan *k, char c) {
    if (c == '"') return QUOTED; /* two are one */
    if (c == t->delimiter) return FIELD_START;
    if (c != '\r') k->odd = true;
    return c == '\r' ? QUOTE_SEEN : PLAIN;
}

bool ts_table_scan_end(const ts_table *t, ts_table_scan *k, const char *text, size_t n) {
    for (; k->at < n; k->at++) {
        char c = text[k->at];
        if (k->state == QUOTED && c != '"') {
            const char *quote = memchr(text + k->at, '"', n - k->at), *stop = quote ? quote : text + n;
            const char *line = k->line_end ? NULL : memchr(text + k->at, t->line_end, (size_t)(stop - text) - k->at);
            if (line) k->line_end = (size_t)(line - text) + 1;
            k->at = (size_t)(stop - text) - 1;
            continue;
        }
        if (c == t->line_end) return true;
        if (k->odd || !t->quotes) continue;
        if (k->state == QUOTED)
            k->state = QUOTE_SEEN;
        else if (k->state == QUOTE_SEEN)
            k->state = behind_quote(t, k, c);
        else if (c == t->delimiter)
            k->state = FIELD_START;
        else if (k->state == FIELD_START)
            k->state = c == '"' ? QUOTED : PLAIN;
        else
            k->odd |= c == '"' && t->delimiter == ',';
    }
    return false;
}

bool ts_table_scan_open(const ts_table_scan *k) {
    return k->state == QUOTED;
}

void ts_table_dialect(ts_table *t, const char *text, size_t n) {
    t->quotes = true;
    if (t->delimiter == ',') return;
    for (size_t at = 0; at < n && t->quotes;) {
        ts_table_scan k = {0};
        if (!ts_table_scan_end(t, &k, text + at, n - at)) break; /* the text ends in it, which says nothing */
        t->quotes = !k.odd;
        at += k.at + 1;
    }
    if (!t->quotes) return;
    for (size_t at = 0; at + 1 < n; at++) /* a quote that is never closed */
        if (text[at] == '"') {
            ts_table_scan k = {0};
            size_t from = at;
            while (from > 0 && text[from - 1] != t->line_end)
                from--;
            t->quotes = ts_table_scan_end(t, &k, text + from, n - from) || !ts_table_scan_open(&k);
            return;
        }
}

/* ---- fields ---- */

enum kind { NOTHING, UNQUOTED, IN_QUOTES };

struct fields {
    const ts_table *t;
    const char *p, *end;
    bool begun, odd;
};

/* The next field's text into `out`; false behind the last one. */
static bool next_field(struct fields *f, ts_buf *out, enum kind *kind) {
    ts_buf_reset(out);
    if (f->begun && (f->p >= f->end || *f->p != f->t->delimiter)) {
        f->odd |= f->p < f->end;
        return false;
    }
    f->p += f->begun;
    f->begun = true;
    if (f->p < f->end && *f->p == '"' && f->t->quotes) {
        *kind = IN_QUOTES;
        for (f->p++; f->p < f->end; f->p++) {
            if (*f->p == '"' && !(f->p + 1 < f->end && f->p[1] == '"')) break;
            f->p += *f->p == '"';
            ts_buf_putc(out, *f->p);
        }
        f->odd |= f->p >= f->end;
        f->p += f->p < f->end;
        return true;
    }
    const char *stop = memchr(f->p, f->t->delimiter, (size_t)(f->end - f->p));
    stop = stop ? stop : f->end;
    f->odd |= f->t->quotes && f->t->delimiter == ',' && memchr(f->p, '"', (size_t)(stop - f->p));
    ts_buf_add(out, f->p, (size_t)(stop - f->p));
    *kind = stop == f->p ? NOTHING : UNQUOTED;
    f->p = stop;
    return true;
}

/* A JSON string of any bytes: what is no UTF-8 stays, and the check of the row finds it. */
static void put_string(ts_buf *out, const char *s, size_t n) {
    ts_buf_putc(out, '"');
    for (size_t i = 0; i < n;) {
        size_t from = i;
        while (i < n && (unsigned char)s[i] >= 0x20 && s[i] != '"' && s[i] != '\\')
            i++;
        ts_buf_add(out, s + from, i - from);
        if (i == n) break;
        if (s[i] == '"' || s[i] == '\\')
            ts_buf_printf(out, "\\%c", s[i]);
        else
            ts_buf_printf(out, "\\u%04x", (unsigned char)s[i]);
        i++;
    }
    ts_buf_putc(out, '"');
}

void ts_text_row(const char *line, size_t n, ts_buf *json) {
    ts_buf_puts(json, "{\"text\":");
    put_string(json, line, n);
    ts_buf_putc(json, '}');
}

static ts_text name_of(const ts_table *t, size_t column) {
    size_t from = column ? t->ends[column - 1] : 0;
    return (ts_text){t->names.data + from, t->ends[column] - from};
}

static ts_status add_name(ts_table *t, const char *s, size_t n, const char *file, ts_err *err) {
    size_t from = t->names.len;
    put_string(&t->names, s, n);
    for (size_t i = 0; i < t->columns; i++) {
        ts_text other = name_of(t, i);
        if (other.n == t->names.len - from && memcmp(other.s, t->names.data + from, other.n) == 0)
            return ts_fail(err, TS_FORMAT, "%s names the column \"%.*s\" twice; nothing was imported", file,
                           (int)TS_MIN(n, (size_t)60), s);
    }
    TS_PUSH(t->ends, t->columns, t->cap_ends, t->names.len);
    return TS_OK;
}

enum { MOST_COLUMNS = 2000 };

ts_status ts_table_header(ts_table *t, const char *record, size_t n, bool named, const char *file, ts_err *err) {
    struct fields f = {.t = t, .p = record, .end = record + n};
    enum kind kind;
    while (next_field(&f, &t->field, &kind)) {
        char number[24];
        int len = snprintf(number, sizeof number, "%zu", t->columns + 1);
        if (t->columns >= MOST_COLUMNS)
            return ts_fail(err, TS_FORMAT, "%s has more than %d columns; nothing was imported", file, MOST_COLUMNS);
        TS_TRY(named ? add_name(t, ts_buf_str(&t->field), t->field.len, file, err)
                     : add_name(t, number, (size_t)len, file, err));
    }
    if (f.odd && named)
        return ts_fail(err, TS_FORMAT,
                       "%s: the quotes in its first line, the names of the columns, do not match; "
                       "nothing was imported",
                       file);
    return TS_OK;
}

/* ---- a record as an object ---- */

static bool is_name(ts_text name, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (name.n == strlen(list[i]) + 2 && memcmp(name.s + 1, list[i], name.n - 2) == 0) return true;
    return false;
}

static bool good_json(const ts_buf *field, char kind) {
    size_t at;
    const char *p = ts_buf_str(field);
    return *p == kind && ts_json_check(p, field->len, &at) == TS_JSON_FINE;
}

static void put_members(ts_buf *json, const ts_buf *field) {
    ts_buf compact = TS_BUF_INIT;
    ts_jview_compact(ts_jview_of(field->data, field->len), &compact);
    if (compact.len > 2) {
        if (json->data[json->len - 1] != '{') ts_buf_putc(json, ',');
        ts_buf_add(json, compact.data + 1, compact.len - 2);
    }
    ts_buf_release(&compact);
}

static void put_field(const ts_table *t, size_t column, const ts_buf *field, ts_buf *json) {
    static const char *const lists[] = {"messages", "conversations", "prompt", "completion", "chosen", "rejected"};
    static const char *const members[] = {"extra"};
    ts_text name = name_of(t, column);
    if (is_name(name, members, TS_COUNT(members)) && good_json(field, '{')) {
        put_members(json, field);
        return;
    }
    if (json->data[json->len - 1] != '{') ts_buf_putc(json, ',');
    ts_buf_add(json, name.s, name.n);
    ts_buf_putc(json, ':');
    if (is_name(name, lists, TS_COUNT(lists)) && good_json(field, '['))
        ts_buf_add(json, field->data, field->len);
    else
        put_string(json, ts_buf_str(field), field->len);
}

const char *ts_table_row(ts_table *t, const char *record, size_t n, ts_buf *json, const char **detail) {
    struct fields f = {.t = t, .p = record, .end = record + n};
    enum kind kind;
    size_t column = 0;
    ts_buf_putc(json, '{');
    while (next_field(&f, &t->field, &kind)) {
        if (column < t->columns && kind != NOTHING) put_field(t, column, &t->field, json);
        column++;
    }
    ts_buf_putc(json, '}');
    *detail = "";
    if (f.odd) {
        *detail = "a quote stands inside of a field without quotes, or one is missing at the end";
        return "odd_quotes";
    }
    if (column == t->columns) return NULL;
    *detail = column < t->columns ? "the record has fewer fields than the first line"
                                  : "the record has more fields than the first line";
    return "wrong_columns";
}

bool ts_table_names_known(const ts_table *t, const char *line, size_t n) {
    struct fields f = {.t = t, .p = line, .end = line + n};
    ts_buf field = TS_BUF_INIT;
    enum kind kind;
    size_t fields = 0;
    bool known = false;
    while (fields++ < MOST_COLUMNS && next_field(&f, &field, &kind))
        known |= ts_format_names(ts_buf_str(&field), field.len);
    ts_buf_release(&field);
    return known && fields > 2;
}
