#include "dataset/source.h"

#include "core/base/file.h"
#include "core/base/gzip.h"
#include "core/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WIDE = 64 * 1024, LOOK = 1 << 20, LATIN_BYTES = 2 };

enum encoding { UTF8, UTF16_LE, UTF16_BE };

struct ts_source {
    int fd;           /* -1: bytes in memory */
    const char *rest; /* what of them was not taken yet */
    size_t n_rest;
    char *name;
    int64_t taken;
    ts_gunzip *gunzip; /* NULL: not packed */
    ts_buf head;       /* the first bytes, looked at and not handed out yet: [head_at, len) */
    size_t head_at;
    enum encoding encoding;
    ts_buf wide; /* UTF-16 that was not converted yet */
    bool ended;  /* of the UTF-16 */
};

/* ---- raw bytes, unpacked bytes ---- */

static ts_status read_raw(void *ctx, char *to, size_t n, size_t *got, ts_err *err) {
    ts_source *s = ctx;
    ssize_t r;
    if (s->fd < 0) {
        r = (ssize_t)TS_MIN(s->n_rest, n);
        if (r) memcpy(to, s->rest, (size_t)r);
        s->rest += r;
        s->n_rest -= (size_t)r;
    } else {
        do
            r = read(s->fd, to, n);
        while (r < 0 && errno == EINTR);
        if (r < 0) return ts_fail_errno(err, "cannot read %s", s->name);
    }
    s->taken += r;
    *got = (size_t)r;
    return TS_OK;
}

/* The head first, then what comes behind it. */
static ts_status read_bytes(ts_source *s, char *to, size_t n, size_t *got, ts_err *err) {
    *got = TS_MIN(n, s->head.len - s->head_at);
    if (*got) {
        memcpy(to, s->head.data + s->head_at, *got);
        s->head_at += *got;
        if (s->head_at == s->head.len) ts_buf_release(&s->head), s->head_at = 0;
        return TS_OK;
    }
    return s->gunzip ? ts_gunzip_read(s->gunzip, to, n, got, err) : read_raw(s, to, n, got, err);
}

/* Fills the head with what comes next, up to n bytes. */
static ts_status look_ahead(ts_source *s, size_t n, ts_err *err) {
    size_t got = 1;
    ts_buf_reserve(&s->head, n);
    while (s->head.len < n && got) {
        char *to = s->head.data + s->head.len;
        TS_TRY(s->gunzip ? ts_gunzip_read(s->gunzip, to, n - s->head.len, &got, err)
                         : read_raw(s, to, n - s->head.len, &got, err));
        s->head.len += got;
    }
    return TS_OK;
}

/* ---- what kind of file ---- */

static bool begins(const ts_source *s, const char *magic, size_t n) {
    return s->head.len >= n && memcmp(s->head.data, magic, n) == 0;
}

static ts_status known_other(const ts_source *s, ts_err *err) {
    static const struct {
        const char *magic;
        size_t n;
        const char *what;
    } others[] = {
        {"PAR1", 4,
         "a Parquet file; turn it into JSON lines first (with pandas: to_json(orient=\"records\", lines=True))"},
        {"ARROW1", 6, "an Arrow file; turn it into JSON lines first (with datasets: to_json)"},
        {"\xff\xff\xff\xff", 4, "an Arrow stream; turn it into JSON lines first (with datasets: to_json)"},
        {"\x28\xb5\x2f\xfd", 4, "compressed with zstd; unpack it first (unzstd)"},
        {"BZh", 3, "compressed with bzip2; unpack it first (bunzip2)"},
        {"\xfd"
         "7zXZ",
         5, "compressed with xz; unpack it first (unxz)"},
        {"\xd0\xcf\x11\xe0", 4, "an old Office document; save the sheet as CSV first"},
        {"SQLite format 3", 15, "an SQLite database; write the rows out as CSV or JSON lines first"},
        {"\xff\xfe\0\0", 4, "written in UTF-32; save it as UTF-8 first (iconv -f UTF-32 -t UTF-8)"},
        {"\0\0\xfe\xff", 4, "written in UTF-32; save it as UTF-8 first (iconv -f UTF-32 -t UTF-8)"},
    };
    for (size_t i = 0; i < TS_COUNT(others); i++)
        if (begins(s, others[i].magic, others[i].n))
            return ts_fail(err, TS_FORMAT, "%s is %s; nothing was imported", s->name, others[i].what);
    if (begins(s, "PK\x03\x04", 4))
        return ts_fail(err, TS_FORMAT, "%s is %s; nothing was imported", s->name,
                       ts_source_is_named(s, ".xlsx") ? "an Excel workbook (xlsx); save the sheet as CSV first"
                                                      : "a zip archive; unpack it first (unzip)");
    if (s->head.len >= 2 && (s->head.data[0] == 0) != (s->head.data[1] == 0))
        return ts_fail(err, TS_FORMAT,
                       "%s seems to be UTF-16 without the mark at its start that would say which; save it as UTF-8 "
                       "first (iconv -f UTF-16%s -t UTF-8); nothing was imported",
                       s->name, s->head.data[0] ? "LE" : "BE");
    return TS_OK;
}

/* Latin-1 (or Windows-1252) shows as letters above 0x9f, each a broken sequence, and not one whole sequence. */
static ts_status refuse_latin(const ts_source *s, ts_err *err) {
    const char *p = s->head.data, *end = p + s->head.len, *first = NULL;
    size_t bad = 0, lines = 1;
    for (; p < end; p++) {
        lines += !first && *p == '\n';
        if ((unsigned char)*p < 0x80) continue;
        if (ts_utf8_sequence(p, (size_t)(end - p))) return TS_OK;
        if (end - p < 4) break; /* a sequence may go on behind the head */
        if ((unsigned char)*p < 0xa0) return TS_OK;
        if (!first) first = p;
        bad++;
    }
    if (bad < LATIN_BYTES) return TS_OK;
    return ts_fail(err, TS_FORMAT,
                   "%s is not UTF-8: byte 0x%02x at line %zu; it looks like Latin-1, save it as UTF-8 first (iconv -f "
                   "LATIN1 -t UTF-8); nothing was imported",
                   s->name, (unsigned char)*first, lines);
}

static ts_status begin(ts_source *s, ts_err *err) {
    TS_TRY(look_ahead(s, LOOK, err));
    if (begins(s, "\x1f\x8b", 2)) { /* what was read goes back: a pack is read from its start */
        if (s->fd >= 0 && lseek(s->fd, 0, SEEK_SET) != 0) return ts_fail_errno(err, "cannot read %s", s->name);
        if (s->fd < 0) {
            s->rest -= s->head.len;
            s->n_rest += s->head.len;
        }
        ts_buf_reset(&s->head);
        s->taken = 0;
        s->gunzip = ts_gunzip_new(read_raw, s, s->name);
        TS_TRY(look_ahead(s, LOOK, err));
    }
    TS_TRY(known_other(s, err));
    s->encoding = begins(s, "\xff\xfe", 2) ? UTF16_LE : begins(s, "\xfe\xff", 2) ? UTF16_BE : UTF8;
    if (s->encoding != UTF8) s->head_at = 2;
    if (begins(s, "\xef\xbb\xbf", 3)) s->head_at = 3;
    return s->encoding == UTF8 ? refuse_latin(s, err) : TS_OK;
}

static ts_source *source_new(const char *name) {
    ts_source *s = ts_calloc(1, sizeof *s);
    s->fd = -1;
    s->name = ts_strdup(name);
    return s;
}

static ts_status finish_open(ts_source **out, ts_source *s, ts_status status, ts_err *err) {
    if (status == TS_OK) status = begin(s, err);
    *out = status == TS_OK ? s : NULL;
    if (status != TS_OK) ts_source_close(s);
    return status;
}

ts_status ts_source_open(ts_source **out, const char *path, ts_err *err) {
    ts_source *s = source_new(path);
    struct stat st;
    ts_status status = TS_OK;
    s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe nobody writes to is refused, not waited for */
    if (s->fd < 0)
        status = ts_fail_errno(err, "cannot open %s", path);
    else if (fstat(s->fd, &st) != 0)
        status = ts_fail_errno(err, "cannot examine %s", path);
    else if (S_ISDIR(st.st_mode))
        status = ts_fail(err, TS_INVALID, "%s is a folder; name the files in it", path);
    else if (!S_ISREG(st.st_mode))
        status = ts_fail(err, TS_INVALID, "%s is not a regular file; write it to one first (it is read twice)", path);
    return finish_open(out, s, status, err);
}

ts_status ts_source_open_bytes(ts_source **out, const char *bytes, size_t n, const char *name, ts_err *err) {
    ts_source *s = source_new(name);
    s->rest = bytes;
    s->n_rest = n;
    return finish_open(out, s, TS_OK, err);
}

void ts_source_close(ts_source *s) {
    if (!s) return;
    if (s->fd >= 0) close(s->fd);
    ts_gunzip_free(s->gunzip);
    ts_buf_release(&s->head);
    ts_buf_release(&s->wide);
    free(s->name);
    free(s);
}

const char *ts_source_name(const ts_source *s) {
    return s->name;
}

bool ts_source_is_named(const ts_source *s, const char *suffix) {
    size_t n = strlen(s->name), m = strlen(suffix);
    if (n > 3 && strcasecmp(s->name + n - 3, ".gz") == 0) n -= 3;
    return n > m && strncasecmp(s->name + n - m, suffix, m) == 0;
}

int64_t ts_source_offset(const ts_source *s) {
    return s->taken;
}

/* ---- UTF-16 ---- */

static uint32_t unit(const ts_source *s, size_t at) {
    const unsigned char *p = (const unsigned char *)s->wide.data + at;
    return s->encoding == UTF16_LE ? (uint32_t)(p[0] | p[1] << 8) : (uint32_t)(p[0] << 8 | p[1]);
}

static size_t put(char *to, uint32_t c) {
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3f));
    to[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

/* Converts what is there into `to`. Half a pair, or half a unit at the end, becomes the byte 0xff, which no UTF-8 has,
 * so that its row is refused. Stops where the other half of a pair has not been read yet. */
static size_t convert(ts_source *s, char *to, size_t n) {
    size_t at = 0, made = 0;
    while (at + 2 <= s->wide.len && made + 4 <= n) {
        uint32_t c = unit(s, at);
        if (c >= 0xd800 && c < 0xdc00) {
            if (at + 4 > s->wide.len && !s->ended) break;
            uint32_t low = at + 4 <= s->wide.len ? unit(s, at + 2) : 0;
            bool pair = low >= 0xdc00 && low < 0xe000;
            c = pair ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : 0xdfff;
            at += pair ? 2 : 0;
        }
        at += 2;
        if (c >= 0xd800 && c < 0xe000)
            to[made++] = (char)0xff;
        else
            made += put(to + made, c);
    }
    if (s->ended && at + 1 == s->wide.len && made < n) {
        to[made++] = (char)0xff;
        at++;
    }
    memmove(s->wide.data, s->wide.data + at, s->wide.len - at);
    s->wide.len -= at;
    return made;
}

ts_status ts_source_read(ts_source *s, char *to, size_t n, size_t *got, ts_err *err) {
    if (s->encoding == UTF8) return read_bytes(s, to, n, got, err);
    *got = 0;
    while (!*got && !(s->ended && !s->wide.len)) {
        size_t more = 0;
        ts_buf_reserve(&s->wide, WIDE);
        if (!s->ended && s->wide.len < WIDE)
            TS_TRY(read_bytes(s, s->wide.data + s->wide.len, WIDE - s->wide.len, &more, err));
        s->wide.len += more;
        s->ended |= more == 0 && s->wide.len < WIDE;
        *got = convert(s, to, n);
    }
    return TS_OK;
}
