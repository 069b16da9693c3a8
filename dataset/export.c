#include "dataset/export.h"

#include "core/base/file.h"
#include "dataset/rowjson.h"
#include "dataset/turns.h"
#include "dataset/view.h"

#include <string.h>

enum { PIECE = 256 };

/* system?, user, assistant and nothing else: an alpaca row can hold that. */
static bool single_turn(const ts_row *row) {
    ts_jview at = {0}, m, messages = ts_jview_of(row->messages.s, row->messages.n);
    static const char *const order[] = {"user", "assistant"};
    size_t want = 0;
    for (bool first = true; ts_jview_next(messages, &at, NULL, &m); first = false) {
        ts_jview role = ts_jview_get(m, "role");
        if (first && ts_jview_equals(role, "system")) continue;
        if (want == 2 || !ts_jview_equals(role, order[want])) return false;
        want++;
    }
    return want == 2;
}

static void put_extra(const ts_row *row, ts_buf *out) {
    if (!row->extra.n) return;
    ts_buf_putc(out, ',');
    ts_buf_add(out, row->extra.s, row->extra.n);
}

static ts_status put_alpaca(const ts_row *row, ts_buf *out, ts_err *err) {
    ts_jw w = ts_jw_to(out);
    if (row->shape == TS_MESSAGES && !single_turn(row))
        return ts_fail(err, TS_INVALID,
                       "row %lld is a conversation of several turns, which the format alpaca cannot hold; export as "
                       "messages, or leave it out with --where shape=alpaca",
                       (long long)row->id);
    ts_jw_obj(&w);
    if (row->system.s) {
        ts_jw_key(&w, "system");
        ts_jw_strn(&w, row->system.s, row->system.n);
    }
    ts_jw_key(&w, "instruction");
    ts_jw_strn(&w, row->instruction.s, row->instruction.n);
    ts_jw_key(&w, "input");
    ts_jw_strn(&w, row->input.s, row->input.n);
    ts_jw_key(&w, "output");
    ts_jw_strn(&w, row->output.s, row->output.n);
    put_extra(row, out);
    ts_jw_end_obj(&w);
    return TS_OK;
}

static ts_status put_messages(const ts_row *row, ts_buf *out, ts_err *err) {
    ts_jw w = ts_jw_to(out);
    (void)err;
    ts_jw_obj(&w);
    ts_jw_key(&w, "messages");
    if (row->messages.s)
        ts_jw_raw(&w, row->messages.s, row->messages.n);
    else
        ts_row_messages(row, &w, true);
    put_extra(row, out);
    ts_jw_end_obj(&w);
    return TS_OK;
}

static const struct writer {
    const char *name;
    ts_status (*put)(const ts_row *row, ts_buf *out, ts_err *err);
} writers[] = {{"alpaca", put_alpaca}, {"messages", put_messages}};

static const struct writer *find_writer(const char *name) {
    for (size_t i = 0; i < TS_COUNT(writers); i++)
        if (strcmp(writers[i].name, name) == 0) return &writers[i];
    return NULL;
}

struct exporting {
    ts_store *st;
    ts_view *view;
    const struct writer *writer;
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

static ts_status choose_writer(struct exporting *e, const ts_export_options *o, ts_err *err) {
    ts_view *conversations = NULL;
    const char *name = o->format;
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
    e->writer = find_writer(name);
    if (e->writer) return TS_OK;
    return ts_fail(err, TS_INVALID, "there is no export format \"%.40s\"; there are alpaca and messages", name);
}

ts_status ts_export(ts_store *st, const char *path, const ts_export_options *options, ts_progress *progress,
                    ts_export_report *out, ts_err *err) {
    struct exporting e = {.st = st, .array = options->array, .file = {.fd = -1}};
    ts_status status;
    ts_progress_what(progress, "exporting");
    TS_GOTO(ts_view_new(&e.view, st, options->where, NULL, NULL, NULL, err));
    TS_GOTO(choose_writer(&e, options, err));
    TS_GOTO(ts_out_open(&e.file, path, err));
    if (e.array) ts_out_add(&e.file, "[\n", 2);
    TS_GOTO(write_rows(&e, progress, err));
    if (e.array) ts_out_add(&e.file, "\n]\n", 3);
    TS_GOTO(ts_out_commit(&e.file, err));
    *out = (ts_export_report){(int64_t)ts_view_count(e.view), e.writer->name};
out:
    ts_out_drop(&e.file);
    ts_view_free(e.view);
    return status;
}
