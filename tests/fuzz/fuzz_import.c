/* Any bytes as a file to import: cut into rows, checked, read by every format. What is read must be valid UTF-8 without
 * NUL bytes, and its compact form must be good JSON again. */
#include "core/base/utf8.h"
#include "dataset/formats.h"
#include "dataset/splitter.h"
#include "dataset/turns.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void good_text(ts_text t) {
    ts_assert(!t.s || (!memchr(t.s, 0, t.n) && ts_utf8_check(t.s, t.n) == t.n));
}

static void good_json(const char *before, ts_text t, const char *after) {
    ts_buf whole = TS_BUF_INIT;
    size_t at;
    ts_buf_puts(&whole, before);
    ts_buf_add(&whole, t.s, t.n);
    ts_buf_puts(&whole, after);
    ts_assert(ts_json_check(whole.data, whole.len, &at) == TS_JSON_FINE);
    ts_buf_release(&whole);
}

static void read_row(ts_piece piece, ts_parts *parts) {
    size_t at;
    ts_json_fault fault = ts_json_check(piece.text, piece.n, &at);
    ts_assert(at <= piece.n);
    if (fault != TS_JSON_FINE) return;
    ts_jview row = ts_jview_of(piece.text, piece.n);
    for (const ts_format *f = ts_formats; f->name; f++) {
        if (!ts_format_fits(f, row)) continue;
        ts_parts_reset(parts);
        if (f->read(f, row, parts)) continue;
        ts_draft d = ts_parts_draft(parts);
        good_text(d.instruction);
        good_text(d.input);
        good_text(d.output);
        good_text(d.system);
        if (d.messages.s) good_json("", d.messages, "");
        if (d.extra.s) good_json("{", d.extra, "}");
    }
}

/* The whole file as one kind, under one name. */
static void read_file(const uint8_t *data, size_t n, const char *name, ts_file_kind kind) {
    ts_splitter *s;
    ts_piece piece;
    ts_parts parts = {0};
    ts_split_options options = {.kind = kind, .no_header = n % 2};
    bool more = true;
    ts_err err;
    if (ts_splitter_open_bytes(&s, (const char *)data, n, name, &options, &err) != TS_OK) return;
    while (ts_splitter_next(s, &piece, &more, &err) == TS_OK && more)
        if (!piece.fault) read_row(piece, &parts);
    ts_assert(ts_splitter_offset(s) <= (int64_t)n);
    ts_splitter_close(s);
    ts_parts_release(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    read_file(data, n, "x", TS_FILE_AUTO);
    read_file(data, n, "x", TS_FILE_CSV);
    read_file(data, n, "x", TS_FILE_TSV);
    read_file(data, n, "x.txt", TS_FILE_TEXT);
    return 0;
}
