#include "core/base/gzip.h"

#include "core/base/mem.h"

#include <stdlib.h>
#include <zlib.h>

enum { PACKED = 64 * 1024, GZIP_ONLY = 16 + MAX_WBITS };

struct ts_gunzip {
    z_stream z;
    ts_gunzip_source source;
    void *ctx;
    char *name;
    bool input_ended, between; /* between: a part has ended and no other has begun */
    char packed[PACKED];
};

ts_gunzip *ts_gunzip_new(ts_gunzip_source source, void *ctx, const char *name) {
    ts_gunzip *g = ts_calloc(1, sizeof *g);
    g->source = source;
    g->ctx = ctx;
    g->name = ts_strdup(name);
    int rc = inflateInit2(&g->z, GZIP_ONLY);
    ts_assert(rc == Z_OK); /* it fails for want of memory alone */
    return g;
}

void ts_gunzip_free(ts_gunzip *g) {
    if (!g) return;
    inflateEnd(&g->z);
    free(g->name);
    free(g);
}

static ts_status more_input(ts_gunzip *g, ts_err *err) {
    size_t got = 0;
    if (g->z.avail_in || g->input_ended) return TS_OK;
    TS_TRY(g->source(g->ctx, g->packed, sizeof g->packed, &got, err));
    g->z.next_in = (Bytef *)g->packed;
    g->z.avail_in = (uInt)got;
    g->input_ended = got == 0;
    return TS_OK;
}

ts_status ts_gunzip_read(ts_gunzip *g, char *to, size_t n, size_t *got, ts_err *err) {
    *got = 0;
    n = TS_MIN(n, (size_t)1 << 30);
    g->z.next_out = (Bytef *)to;
    g->z.avail_out = (uInt)n;
    while (g->z.avail_out == n) {
        TS_TRY(more_input(g, err));
        if (!g->z.avail_in && g->between) return TS_OK;
        if (!g->z.avail_in)
            return ts_fail(err, TS_FORMAT, "%s is cut short: its gzip data has no end; get the whole file", g->name);
        if (g->between) inflateReset(&g->z);
        g->between = false;
        int rc = inflate(&g->z, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return ts_fail(err, TS_FORMAT, "%s is damaged: its gzip data cannot be unpacked (%s); get the file again",
                           g->name, g->z.msg ? g->z.msg : "zlib error");
        g->between = rc == Z_STREAM_END;
    }
    *got = n - g->z.avail_out;
    return TS_OK;
}
