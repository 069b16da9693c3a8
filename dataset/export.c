#include "dataset/export.h"

#include "core/base/file.h"
#include "dataset/view.h"
#include "dataset/writers.h"

#include <string.h>

enum { PIECE = 256 };

struct exporting {
    ts_store *st;
    ts_view *view;
    const ts_writer *writer;
    bool array;
    size_t written;
    ts_out file;
};

static ts_status write_rows(struct exporting *e, ts_progress *progress, ts_err *err) {
    size_t n = ts_view_count(e->view);
    ts_arena arena = TS_ARENA_INIT;
    ts_buf line = TS_BUF_INIT;
    ts_row rows[PIECE];
    ts_status status = TS_OK;
    for (size_t i = 0; i < n && status == TS_OK; i += PIECE) {
        size_t m = TS_MIN((size_t)PIECE, n - i);
        ts_arena_reset(&arena);
        status = ts_rows_read(e->st, ts_view_ids(e->view) + i, m, rows, &arena, err);
        for (size_t j = 0; j < m && status == TS_OK; j++) {
            if (rows[j].gone) continue;
            ts_buf_reset(&line);
            if (e->array && e->written++) ts_buf_puts(&line, ",\n");
            status = e->writer->put(&rows[j], &line, err);
            if (!e->array) ts_buf_putc(&line, '\n');
            if (status == TS_OK) ts_out_add(&e->file, line.data, line.len);
        }
        ts_progress_set(progress, (int64_t)(i + m), (int64_t)n);
        if (status == TS_OK && ts_cancelled(progress))
            status = ts_fail(err, TS_CANCELLED, "stopped; no file was written");
    }
    ts_buf_release(&line);
    ts_arena_release(&arena);
    return status;
}

static void add_header(struct exporting *e) {
    ts_buf line = TS_BUF_INIT;
    ts_write_csv_header(&line);
    ts_buf_puts(&line, "\r\n");
    ts_out_add(&e->file, line.data, line.len);
    ts_buf_release(&line);
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static ts_status choose_writer(struct exporting *e, const char *path, const ts_export_options *o, ts_err *err) {
    ts_view *conversations = NULL;
    const char *name = o->format;
    if (ends_with(path, ".csv") && (!name || strcmp(name, "auto") == 0)) name = "csv";
    if (!name || strcmp(name, "auto") == 0) {
        ts_buf where = TS_BUF_INIT;
        ts_buf_printf(&where, "shape=messages%s%s%s", o->where && *o->where ? " and (" : "", o->where ? o->where : "",
                      o->where && *o->where ? ")" : "");
        ts_status status = ts_view_new(&conversations, e->st, where.data, NULL, NULL, NULL, err);
        ts_buf_release(&where);
        TS_TRY(status);
        name = ts_view_count(conversations) ? "messages" : "alpaca";
        ts_view_free(conversations);
    }
    e->writer = ts_writer_find(name);
    e->array &= e->writer && !e->writer->table;
    if (e->writer) return TS_OK;
    ts_buf names = TS_BUF_INIT;
    for (const ts_writer *w = ts_writers; w->name; w++)
        ts_buf_printf(&names, "%s%s", names.len ? ", " : "", w->name);
    ts_status status = ts_fail(err, TS_INVALID, "there is no export format \"%.40s\"; there are %s", name, names.data);
    ts_buf_release(&names);
    return status;
}

ts_status ts_export(ts_store *st, const char *path, const ts_export_options *options, ts_progress *progress,
                    ts_export_report *out, ts_err *err) {
    struct exporting e = {.st = st, .array = options->array, .file = {.fd = -1}};
    ts_status status;
    ts_progress_what(progress, "exporting");
    TS_GOTO(ts_view_new(&e.view, st, options->where, NULL, NULL, NULL, err));
    TS_GOTO(choose_writer(&e, path, options, err));
    TS_GOTO(ts_out_open(&e.file, path, err));
    if (e.array) ts_out_add(&e.file, "[\n", 2);
    if (e.writer->table) add_header(&e);
    TS_GOTO(write_rows(&e, progress, err));
    if (e.array) ts_out_add(&e.file, "\n]\n", 3);
    TS_GOTO(ts_out_commit(&e.file, err));
    *out = (ts_export_report){(int64_t)ts_view_count(e.view), e.writer->name};
out:
    ts_out_drop(&e.file);
    ts_view_free(e.view);
    return status;
}
