/* A window of the file slides over it: [start, len) of `window` is what was read and not yet used. A row's end is
 * searched with a small state (depth, in a string), kept while the window is filled up, so every byte is looked at
 * once. A row larger than TS_ROW_MAX is walked through and dropped, all but its first bytes. */
#include "dataset/splitter.h"

#include "core/base/file.h"
#include "core/base/utf8.h"
#include "dataset/jsontext.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILL = 1 << 20, HEAD = 4096 };

enum mode { LINES, ARRAY, VALUES };

struct ts_splitter {
    int fd;           /* -1: bytes in memory */
    const char *rest; /* what of them is not in the window yet */
    size_t n_rest;
    char *path;
    ts_buf window;
    size_t start;
    bool end_of_file, begun, finished;
    enum mode mode;
    int64_t line, used;
    ts_buf head; /* first bytes of a row that is being dropped */
};

/* Reads more behind the window; false at the end of the file. */
static ts_status fill(ts_splitter *s, bool *got, ts_err *err) {
    *got = false;
    if (s->end_of_file) return TS_OK;
    if (s->start > 0) {
        memmove(s->window.data, s->window.data + s->start, s->window.len - s->start);
        s->window.len -= s->start;
        s->start = 0;
    }
    ts_buf_reserve(&s->window, FILL);
    ssize_t n;
    if (s->fd < 0) {
        n = (ssize_t)TS_MIN(s->n_rest, (size_t)FILL);
        memcpy(s->window.data + s->window.len, s->rest, (size_t)n);
        s->rest += n;
        s->n_rest -= (size_t)n;
    } else {
        do
            n = read(s->fd, s->window.data + s->window.len, FILL);
        while (n < 0 && errno == EINTR);
        if (n < 0) return ts_fail_errno(err, "cannot read %s", s->path);
    }
    s->window.len += (size_t)n;
    s->window.data[s->window.len] = 0;
    s->end_of_file = n == 0;
    *got = n > 0;
    return TS_OK;
}

static int64_t count_lines(const char *p, size_t n) {
    int64_t lines = 0;
    for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))); p++)
        lines++;
    return lines;
}

/* Moves over n bytes of the window. */
static void use(ts_splitter *s, size_t n) {
    s->line += count_lines(s->window.data + s->start, n);
    s->start += n;
    s->used += (int64_t)n;
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
static bool objects_on_lines(const char *p, size_t n) {
    const char *end = p + n, *at = memchr(p, '\n', n);
    while (at && at + 1 < end && is_space(at[1]) && at[1] != ' ' && at[1] != '\t')
        at = memchr(at + 1, '\n', (size_t)(end - at - 1));
    return at && at + 1 < end && at[1] == '{';
}

static enum mode object_mode(const ts_splitter *s) {
    const char *p = s->window.data + s->start;
    size_t n = s->window.len - s->start, at;
    const char *line_end = memchr(p, '\n', n);
    if (!line_end) return s->end_of_file ? VALUES : LINES;
    ts_json_fault fault = ts_json_check(p, (size_t)(line_end - p), &at);
    return fault != TS_JSON_CUT || objects_on_lines(p, n) ? LINES : VALUES;
}

static ts_status known_other(const ts_splitter *s, ts_err *err) {
    static const struct {
        const char *magic;
        size_t n;
        const char *what;
    } others[] = {
        {"PAR1", 4, "a Parquet file; turn it into JSON lines first (for example with pandas: to_json(lines=True))"},
        {"\x1f\x8b", 2, "compressed with gzip; unpack it first (gunzip)"},
        {"\x28\xb5\x2f\xfd", 4, "compressed with zstd; unpack it first (unzstd)"},
        {"PK\x03\x04", 4, "a zip archive; unpack it first (unzip)"},
        {"\xff\xfe", 2, "written in UTF-16; save it as UTF-8 first (iconv -f UTF-16 -t UTF-8)"},
        {"\xfe\xff", 2, "written in UTF-16; save it as UTF-8 first (iconv -f UTF-16 -t UTF-8)"},
    };
    for (size_t i = 0; i < TS_COUNT(others); i++)
        if (s->window.len >= others[i].n && memcmp(s->window.data, others[i].magic, others[i].n) == 0)
            return ts_fail(err, TS_FORMAT, "%s is %s; nothing was imported", s->path, others[i].what);
    return TS_OK;
}

static ts_status not_json(const ts_splitter *s, ts_err *err) {
    char sample[41] = "";
    size_t n = TS_MIN(s->window.len - s->start, sizeof sample - 1);
    memcpy(sample, s->window.data + s->start, n);
    sample[strcspn(sample, "\r\n")] = 0;
    if (ts_utf8_check(sample, strlen(sample)) < strlen(sample) && strlen(sample) < 36) sample[0] = 0;
    return ts_fail(err, TS_FORMAT,
                   "%s is not JSON: line %lld begins with \"%s\", where a [ or { is needed; nothing was imported",
                   s->path, (long long)s->line, sample);
}

static ts_status begin(ts_splitter *s, ts_err *err) {
    bool more;
    char c;
    TS_TRY(fill(s, &more, err));
    TS_TRY(known_other(s, err));
    if (s->window.len >= 3 && memcmp(s->window.data, "\xef\xbb\xbf", 3) == 0) use(s, 3);
    TS_TRY(skip_space(s, &c, err));
    if (s->start == s->window.len) return ts_fail(err, TS_FORMAT, "%s is empty; nothing was imported", s->path);
    if (!memchr(s->window.data + s->start, '\n', s->window.len - s->start)) TS_TRY(fill(s, &more, err));
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

static ts_splitter *splitter_new(const char *path) {
    ts_splitter *s = ts_calloc(1, sizeof *s);
    s->fd = -1;
    s->line = 1;
    s->path = ts_strdup(path);
    return s;
}

ts_status ts_splitter_open(ts_splitter **out, const char *path, ts_err *err) {
    ts_splitter *s = splitter_new(path);
    struct stat st;
    ts_status status;
    *out = NULL;
    s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe nobody writes to is refused, not waited for */
    if (s->fd < 0)
        status = ts_fail_errno(err, "cannot open %s", path);
    else if (fstat(s->fd, &st) != 0)
        status = ts_fail_errno(err, "cannot examine %s", path);
    else if (S_ISDIR(st.st_mode))
        status = ts_fail(err, TS_INVALID, "%s is a folder; name the files in it", path);
    else if (!S_ISREG(st.st_mode))
        status = ts_fail(err, TS_INVALID, "%s is not a regular file; write it to one first (it is read twice)", path);
    else
        status = begin(s, err);
    if (status == TS_OK)
        *out = s;
    else
        ts_splitter_close(s);
    return status;
}

ts_status ts_splitter_open_bytes(ts_splitter **out, const char *bytes, size_t n, ts_err *err) {
    ts_splitter *s = splitter_new("the text");
    s->rest = bytes;
    s->n_rest = n;
    ts_status status = begin(s, err);
    *out = status == TS_OK ? s : NULL;
    if (status != TS_OK) ts_splitter_close(s);
    return status;
}

void ts_splitter_close(ts_splitter *s) {
    if (!s) return;
    if (s->fd >= 0) close(s->fd);
    ts_buf_release(&s->window);
    ts_buf_release(&s->head);
    free(s->path);
    free(s);
}

/* ---- the end of a row ---- */

struct scan {
    size_t at; /* offset from the row's start */
    int64_t depth;
    bool in_string, found;
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

static void scan_line(struct scan *k, const char *p, size_t n) {
    const char *end = n > k->at ? memchr(p + k->at, '\n', n - k->at) : NULL;
    k->found = end != NULL;
    k->at = end ? (size_t)(end - p) : n;
}

/* Forgets what was walked of a row that is too large, all but its head. */
static void drop_walked(ts_splitter *s, struct scan *k) {
    if (!s->head.len) ts_buf_add(&s->head, s->window.data + s->start, TS_MIN(k->at, (size_t)HEAD));
    use(s, k->at);
    k->at = 0;
}

/* Finds the end of the row at the window's start. Not found: the file ends first. */
static ts_status find_end(ts_splitter *s, ts_piece *out, struct scan *k, ts_err *err) {
    out->line = s->line;
    ts_buf_reset(&s->head);
    for (bool more = true; more && !k->found;) {
        const char *p = s->window.data + s->start;
        size_t n = s->window.len - s->start;
        if (s->mode == LINES)
            scan_line(k, p, n);
        else
            scan_value(k, p, n);
        if (k->found) break;
        if (k->at > TS_ROW_MAX) {
            out->too_large = true;
            drop_walked(s, k);
        }
        TS_TRY(fill(s, &more, err));
    }
    if (k->at > TS_ROW_MAX) out->too_large = true;
    if (out->too_large && !s->head.len) ts_buf_add(&s->head, s->window.data + s->start, HEAD);
    out->text = out->too_large ? s->head.data : s->window.data + s->start;
    out->n = out->too_large ? s->head.len : k->at;
    return TS_OK;
}

static ts_status cut_array(const ts_splitter *s, int64_t line, ts_err *err) {
    return ts_fail(
        err, TS_FORMAT,
        "%s is cut short: the array has no end, and its last row begins at line %lld; get the whole file, or "
        "write one row per line. Nothing was imported",
        s->path, (long long)line);
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
                           "%s has text behind the end of its array, at line %lld; nothing was imported", s->path,
                           (long long)s->line);
        return TS_OK;
    }
    if (s->start == s->window.len) return cut_array(s, s->line, err);
    if (first) return TS_OK;
    if (c != ',')
        return ts_fail(
            err, TS_FORMAT,
            "%s is not a JSON array: at line %lld a comma or ] is missing between rows; nothing was imported", s->path,
            (long long)s->line);
    use(s, 1);
    TS_TRY(skip_space(s, &c, err));
    return s->start == s->window.len ? cut_array(s, s->line, err) : TS_OK;
}

ts_status ts_splitter_next(ts_splitter *s, ts_piece *out, bool *more, ts_err *err) {
    struct scan k = {0};
    char c;
    *out = (ts_piece){0};
    *more = false;
    if (s->finished) return TS_OK;
    if (s->mode == ARRAY)
        TS_TRY(behind_row(s, !s->begun, err));
    else
        TS_TRY(skip_space(s, &c, err));
    s->begun = true;
    if (s->finished || s->start == s->window.len) return TS_OK;
    TS_TRY(find_end(s, out, &k, err));
    if (!k.found && s->mode == ARRAY) return cut_array(s, out->line, err);
    use(s, k.at);
    *more = true;
    return TS_OK;
}

int64_t ts_splitter_offset(const ts_splitter *s) {
    return s->used;
}
