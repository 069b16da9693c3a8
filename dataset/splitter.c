/* A window of the file slides over it: [start, len) of `window` is what was read and not yet used. A row's end is
 * searched with a small state (depth, in a string), kept while the window is filled up, so every byte is looked at
 * once. A row larger than TS_ROW_MAX is walked through and dropped, all but its first bytes. */
#include "dataset/splitter.h"

#include "core/base/utf8.h"
#include "dataset/jsontext.h"
#include "dataset/source.h"
#include "dataset/table.h"

#include <stdlib.h>
#include <string.h>

enum { FILL = 1 << 20, HEAD = 4096 };

enum mode { LINES, ARRAY, VALUES, RECORDS, TEXT };

struct ts_splitter {
    ts_source *source;
    ts_buf window;
    size_t start;
    bool end_of_file, begun, finished;
    enum mode mode;
    char eol; /* '\n', or '\r' in files that have no other */
    int64_t line;
    ts_buf head; /* first bytes of a row that is being dropped */
    ts_table table;
    ts_buf row; /* a record or a line of text as JSON */
};

static const char *name_of(const ts_splitter *s) {
    return ts_source_name(s->source);
}

/* Reads more behind the window; false at the end of the file. */
static ts_status fill(ts_splitter *s, bool *got, ts_err *err) {
    size_t n;
    *got = false;
    if (s->end_of_file) return TS_OK;
    if (s->start > 0) {
        memmove(s->window.data, s->window.data + s->start, s->window.len - s->start);
        s->window.len -= s->start;
        s->start = 0;
    }
    ts_buf_reserve(&s->window, FILL);
    TS_TRY(ts_source_read(s->source, s->window.data + s->window.len, FILL, &n, err));
    s->window.len += n;
    s->window.data[s->window.len] = 0;
    s->end_of_file = n == 0;
    *got = n > 0;
    return TS_OK;
}

static int64_t count_lines(const char *p, size_t n, char eol) {
    int64_t lines = 0;
    for (const char *end = p + n; (p = memchr(p, eol, (size_t)(end - p))); p++)
        lines++;
    return lines;
}

/* Moves over n bytes of the window. */
static void use(ts_splitter *s, size_t n) {
    s->line += count_lines(s->window.data + s->start, n, s->eol);
    s->start += n;
}

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Skips white space; *c is the byte behind it, 0 at the end of the file. */
static ts_status skip_space(ts_splitter *s, char *c, ts_err *err) {
    for (bool more = true; more;) {
        size_t i = s->start;
        while (i < s->window.len && is_space(s->window.data[i]))
            i++;
        use(s, i - s->start);
        if (s->start < s->window.len) {
            *c = s->window.data[s->start];
            return TS_OK;
        }
        TS_TRY(fill(s, &more, err));
    }
    *c = 0;
    return TS_OK;
}

/* ---- what kind of file ---- */

/* Does a line that begins an object at its first byte follow the first line? Pretty-printed JSON indents. */
static bool objects_on_lines(const char *p, size_t n, char eol) {
    const char *end = p + n, *at = memchr(p, eol, n);
    while (at && at + 1 < end && is_space(at[1]) && at[1] != ' ' && at[1] != '\t')
        at = memchr(at + 1, eol, (size_t)(end - at - 1));
    return at && at + 1 < end && at[1] == '{';
}

static enum mode object_mode(const ts_splitter *s) {
    const char *p = s->window.data + s->start;
    size_t n = s->window.len - s->start, at;
    const char *line_end = memchr(p, s->eol, n);
    if (!line_end) return s->end_of_file ? VALUES : LINES;
    ts_json_fault fault = ts_json_check(p, (size_t)(line_end - p), &at);
    return fault != TS_JSON_CUT || objects_on_lines(p, n, s->eol) ? LINES : VALUES;
}

static bool is_json(const ts_splitter *s) {
    const char *p = s->window.data + s->start, *end = memchr(p, s->eol, s->window.len - s->start);
    size_t at;
    ts_json_fault fault = ts_json_check(p, end ? (size_t)(end - p) : s->window.len - s->start, &at);
    return fault == TS_JSON_FINE || fault == TS_JSON_CUT;
}

static ts_status not_json(const ts_splitter *s, ts_err *err) {
    char sample[41] = "";
    size_t n = TS_MIN(s->window.len - s->start, sizeof sample - 1);
    memcpy(sample, s->window.data + s->start, n);
    sample[strcspn(sample, "\r\n")] = 0;
    if (ts_utf8_check(sample, strlen(sample)) < strlen(sample) && strlen(sample) < 36) sample[0] = 0;
    return ts_fail(err, TS_FORMAT,
                   "%s is not JSON: line %lld begins with \"%s\", where a [ or { is needed (--format csv, tsv or text "
                   "reads other files); nothing was imported",
                   name_of(s), (long long)s->line, sample);
}

/* Is the first line a table's, by the columns it names? */
static bool names_columns(ts_splitter *s, char delimiter) {
    const char *p = s->window.data + s->start, *end = memchr(p, s->eol, s->window.len - s->start);
    size_t n = end ? (size_t)(end - p) : s->window.len - s->start;
    s->table = (ts_table){.delimiter = delimiter, .line_end = s->eol, .quotes = true};
    n -= n && p[n - 1] == '\r';
    return ts_table_names_known(&s->table, p, n);
}

static ts_file_kind kind_of(ts_splitter *s, char first) {
    bool csv = ts_source_is_named(s->source, ".csv"), tsv = ts_source_is_named(s->source, ".tsv");
    if (csv || tsv) return csv ? TS_FILE_CSV : TS_FILE_TSV;
    if (first == '[' || first == '{') return TS_FILE_JSON;
    if (names_columns(s, '\t')) return TS_FILE_TSV;
    if (names_columns(s, ',')) return TS_FILE_CSV;
    return ts_source_is_named(s->source, ".txt") ? TS_FILE_TEXT : TS_FILE_JSON;
}

static ts_status find_end(ts_splitter *s, ts_piece *out, size_t *end, bool *found, ts_err *err);

static ts_status begin_table(ts_splitter *s, char delimiter, bool named, ts_err *err) {
    ts_piece header = {0};
    size_t end = 0;
    bool found;
    s->mode = RECORDS;
    s->table = (ts_table){.delimiter = delimiter, .line_end = s->eol};
    ts_table_dialect(&s->table, s->window.data + s->start, s->window.len - s->start);
    TS_TRY(find_end(s, &header, &end, &found, err));
    if (header.too_large)
        return ts_fail(err, TS_FORMAT,
                       "%s has no line of column names: its first line is larger than %zu MB; nothing "
                       "was imported",
                       name_of(s), TS_ROW_MAX >> 20);
    TS_TRY(ts_table_header(&s->table, header.raw, header.n_raw, named, name_of(s), err));
    if (named) use(s, end);
    return TS_OK;
}

static ts_status begin_json(ts_splitter *s, char c, ts_err *err) {
    if (c == '[') {
        s->mode = ARRAY;
        use(s, 1);
    } else if (c == '{') {
        s->mode = object_mode(s);
    } else {
        return not_json(s, err);
    }
    return TS_OK;
}

static ts_status begin(ts_splitter *s, const ts_split_options *o, ts_err *err) {
    bool more;
    char c;
    TS_TRY(fill(s, &more, err));
    if (memchr(s->window.data, '\r', s->window.len) && !memchr(s->window.data, '\n', s->window.len)) s->eol = '\r';
    TS_TRY(skip_space(s, &c, err));
    if (s->start == s->window.len) return ts_fail(err, TS_FORMAT, "%s is empty; nothing was imported", name_of(s));
    if (!memchr(s->window.data + s->start, s->eol, s->window.len - s->start)) TS_TRY(fill(s, &more, err));
    ts_file_kind kind = o && o->kind != TS_FILE_AUTO ? o->kind : kind_of(s, c);
    if (kind == TS_FILE_TEXT && (c == '[' || c == '{') && is_json(s)) kind = TS_FILE_JSON; /* {"text":..} rows */
    if (kind == TS_FILE_JSON) return begin_json(s, c, err);
    while (s->start > 0 && s->window.data[s->start - 1] != s->eol)
        s->start--; /* a field may begin with blanks */
    if (kind != TS_FILE_TEXT) return begin_table(s, kind == TS_FILE_CSV ? ',' : '\t', !o || !o->no_header, err);
    s->mode = TEXT;
    return TS_OK;
}

static ts_status finish_open(ts_splitter **out, ts_source *source, const ts_split_options *o, ts_err *err) {
    ts_splitter *s = ts_calloc(1, sizeof *s);
    s->source = source;
    s->line = 1;
    s->eol = '\n';
    ts_status status = begin(s, o, err);
    *out = status == TS_OK ? s : NULL;
    if (status != TS_OK) ts_splitter_close(s);
    return status;
}

ts_status ts_splitter_open(ts_splitter **out, const char *path, const ts_split_options *options, ts_err *err) {
    ts_source *source;
    *out = NULL;
    TS_TRY(ts_source_open(&source, path, err));
    return finish_open(out, source, options, err);
}

ts_status ts_splitter_open_bytes(ts_splitter **out, const char *bytes, size_t n, const char *name,
                                 const ts_split_options *options, ts_err *err) {
    ts_source *source;
    *out = NULL;
    TS_TRY(ts_source_open_bytes(&source, bytes, n, name, err));
    return finish_open(out, source, options, err);
}

void ts_splitter_close(ts_splitter *s) {
    if (!s) return;
    ts_source_close(s->source);
    ts_table_release(&s->table);
    ts_buf_release(&s->window);
    ts_buf_release(&s->head);
    ts_buf_release(&s->row);
    free(s);
}

ts_file_kind ts_splitter_kind(const ts_splitter *s) {
    return s->mode == TEXT             ? TS_FILE_TEXT
           : s->mode != RECORDS        ? TS_FILE_JSON
           : s->table.delimiter == ',' ? TS_FILE_CSV
                                       : TS_FILE_TSV;
}

/* ---- the end of a row ---- */

struct scan {
    size_t at; /* offset from the row's start */
    int64_t depth;
    bool in_string, found, dropped;
    ts_table_scan record;
};

/* Up to the closing quote or the end of what is there. A backslash takes the byte behind it along. */
static size_t scan_string(struct scan *k, const char *p, size_t i, size_t n) {
    while (i < n && p[i] != '"') {
        if (p[i] == '\\' && i + 1 == n) return i; /* the window ends between the two */
        i += p[i] == '\\' ? 2 : 1;
    }
    if (i < n) {
        k->in_string = false;
        i++;
    }
    return i;
}

static void scan_value(struct scan *k, const char *p, size_t n) {
    size_t i = k->at;
    while (i < n && !k->found) {
        if (k->in_string) {
            size_t next = scan_string(k, p, i, n);
            if (k->in_string && next < n) { /* stopped at a backslash */
                i = next;
                break;
            }
            i = next;
            k->found = !k->in_string && k->depth == 0;
            continue;
        }
        char c = p[i];
        if (k->depth == 0 && i > 0 && (c == ',' || c == ']' || c == '}' || is_space(c))) {
            k->found = true; /* behind a number or a word */
            break;
        }
        k->in_string = c == '"';
        if (c == '{' || c == '[') k->depth++;
        if (c == '}' || c == ']') k->found = --k->depth <= 0;
        i++;
    }
    k->at = i;
}

static void scan_line(struct scan *k, const char *p, size_t n, char eol) {
    const char *end = n > k->at ? memchr(p + k->at, eol, n - k->at) : NULL;
    k->found = end != NULL;
    k->at = end ? (size_t)(end - p) : n;
}

/* Forgets what was walked of a row that is too large, all but its head. */
static void drop_walked(ts_splitter *s, struct scan *k) {
    if (!s->head.len) ts_buf_add(&s->head, s->window.data + s->start, TS_MIN(k->at, (size_t)HEAD));
    use(s, k->at);
    k->at = k->record.at = 0;
    k->dropped = true;
}

/* A field in quotes that has no end takes just its first line along. */
static void scan_record(const ts_splitter *s, struct scan *k, const char *p, size_t n) {
    k->found = ts_table_scan_end(&s->table, &k->record, p, n);
    k->at = k->record.at;
    bool lost = !k->dropped && ts_table_scan_open(&k->record) && (s->end_of_file || k->at > TS_ROW_MAX);
    if (!k->found && lost && k->record.line_end) {
        k->at = k->record.line_end - 1;
        k->found = true;
    }
}

static void scan(const ts_splitter *s, struct scan *k) {
    const char *p = s->window.data + s->start;
    size_t n = s->window.len - s->start;
    if (s->mode == LINES || s->mode == TEXT)
        scan_line(k, p, n, s->eol);
    else if (s->mode == RECORDS)
        scan_record(s, k, p, n);
    else
        scan_value(k, p, n);
}

/* Finds the end of the row at the window's start. Not found: the file ends first. */
static ts_status find_end(ts_splitter *s, ts_piece *out, size_t *end, bool *found, ts_err *err) {
    struct scan k = {0};
    out->line = s->line;
    ts_buf_reset(&s->head);
    for (bool more = true; !k.found;) {
        scan(s, &k);
        if (k.found || !more) break;
        if (k.at > TS_ROW_MAX) {
            out->too_large = true;
            drop_walked(s, &k);
        }
        TS_TRY(fill(s, &more, err));
    }
    if (k.at > TS_ROW_MAX) out->too_large = true;
    if (out->too_large && !s->head.len) ts_buf_add(&s->head, s->window.data + s->start, HEAD);
    out->raw = out->too_large ? s->head.data : s->window.data + s->start;
    out->n_raw = out->too_large ? s->head.len : k.at;
    bool lines = s->mode == RECORDS || s->mode == TEXT;
    if (lines && out->n_raw && out->raw[out->n_raw - 1] == '\r') out->n_raw--;
    *end = k.at + (lines && k.found); /* the line end goes along: a line of blanks may be a record */
    *found = k.found;
    return TS_OK;
}

static ts_status cut_array(const ts_splitter *s, int64_t line, ts_err *err) {
    return ts_fail(
        err, TS_FORMAT,
        "%s is cut short: the array has no end, and its last row begins at line %lld; get the whole file, or "
        "write one row per line. Nothing was imported",
        name_of(s), (long long)line);
}

/* Behind a row of an array: a comma, or the end of the array and of the file. */
static ts_status behind_row(ts_splitter *s, bool first, ts_err *err) {
    char c;
    TS_TRY(skip_space(s, &c, err));
    if (c == ']') {
        use(s, 1);
        s->finished = true;
        TS_TRY(skip_space(s, &c, err));
        if (s->start < s->window.len)
            return ts_fail(err, TS_FORMAT,
                           "%s has text behind the end of its array, at line %lld; nothing was imported", name_of(s),
                           (long long)s->line);
        return TS_OK;
    }
    if (s->start == s->window.len) return cut_array(s, s->line, err);
    if (first) return TS_OK;
    if (c != ',')
        return ts_fail(
            err, TS_FORMAT,
            "%s is not a JSON array: at line %lld a comma or ] is missing between rows; nothing was imported",
            name_of(s), (long long)s->line);
    use(s, 1);
    TS_TRY(skip_space(s, &c, err));
    return s->start == s->window.len ? cut_array(s, s->line, err) : TS_OK;
}

/* Records and lines of text as JSON. */
static void convert(ts_splitter *s, ts_piece *out) {
    out->text = out->raw;
    out->n = out->n_raw;
    out->detail = "";
    if (out->too_large || (s->mode != RECORDS && s->mode != TEXT)) return;
    ts_buf_reset(&s->row);
    if (s->mode == TEXT)
        ts_text_row(out->raw, out->n_raw, &s->row);
    else
        out->fault = ts_table_row(&s->table, out->raw, out->n_raw, &s->row, &out->detail);
    out->text = s->row.data;
    out->n = s->row.len;
}

/* Skips lines of nothing, or of blanks in text; a record of blanks and tabs may be one of empty fields. */
static ts_status skip_blank_lines(ts_splitter *s, ts_err *err) {
    for (bool more = true; more || s->start < s->window.len;) {
        const char *p = s->window.data + s->start, *end = s->window.data + s->window.len, *at = p;
        while (at < end && *at != s->eol && (*at == '\r' || (s->mode == TEXT && is_space(*at))))
            at++;
        if (at == end) {
            if (!more) {
                use(s, (size_t)(at - p));
                return TS_OK;
            }
            TS_TRY(fill(s, &more, err));
        } else if (*at == s->eol) {
            use(s, (size_t)(at - p) + 1);
        } else {
            return TS_OK;
        }
    }
    return TS_OK;
}

ts_status ts_splitter_next(ts_splitter *s, ts_piece *out, bool *more, ts_err *err) {
    size_t end;
    bool found;
    char c;
    *out = (ts_piece){0};
    *more = false;
    if (s->finished) return TS_OK;
    if (s->mode == ARRAY)
        TS_TRY(behind_row(s, !s->begun, err));
    else
        TS_TRY(s->mode == RECORDS || s->mode == TEXT ? skip_blank_lines(s, err) : skip_space(s, &c, err));
    s->begun = true;
    if (s->finished || s->start == s->window.len) return TS_OK;
    TS_TRY(find_end(s, out, &end, &found, err));
    if (!found && s->mode == ARRAY) return cut_array(s, out->line, err);
    convert(s, out);
    use(s, end);
    *more = true;
    return TS_OK;
}

int64_t ts_splitter_offset(const ts_splitter *s) {
    return ts_source_offset(s->source);
}
