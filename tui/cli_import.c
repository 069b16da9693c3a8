/* import, rejects, export */
#include "core/base/json.h"
#include "dataset/export.h"
#include "dataset/formats.h"
#include "dataset/import.h"
#include "tui/cli_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- import ---- */

struct import_opts {
    const char *format;
    ts_texts map;
    bool skip_known;
};

static void put_json(ts_buf *out, const ts_import_file *files, size_t n) {
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_key(&w, "files");
    ts_jw_arr(&w);
    for (size_t i = 0; i < n; i++) {
        const ts_import_file *f = &files[i];
        ts_jw_obj(&w);
        ts_jw_kstr(&w, "path", f->path);
        ts_jw_kstr(&w, "format", f->format);
        ts_jw_kint(&w, "read", f->read);
        ts_jw_kint(&w, "imported", f->imported);
        ts_jw_kint(&w, "rejected", f->rejected);
        ts_jw_kint(&w, "known", f->known);
        ts_jw_key(&w, "reasons");
        ts_jw_obj(&w);
        for (size_t r = 0; ts_reasons[r].code; r++)
            if (f->reasons[r]) ts_jw_kint(&w, ts_reasons[r].code, f->reasons[r]);
        ts_jw_end_obj(&w);
        ts_jw_end_obj(&w);
    }
    ts_jw_end_arr(&w);
    ts_jw_end_obj(&w);
    ts_cmd_print_line(out);
}

static void put_text(ts_buf *out, const ts_import_file *f) {
    ts_cmd_safe(out, f->path, strlen(f->path), false, 0);
    ts_buf_printf(out, ": %lld rows read as %s, %lld imported, %lld rejected", (long long)f->read, f->format,
                  (long long)f->imported, (long long)f->rejected);
    ts_cmd_print_line(out);
    for (size_t r = 0; ts_reasons[r].code; r++) {
        if (!f->reasons[r]) continue;
        ts_buf_printf(out, "  %lld %s: %s", (long long)f->reasons[r], ts_reasons[r].code, ts_reasons[r].sentence);
        ts_cmd_print_line(out);
    }
}

/* Rows left out because they were asked to be left out are no problem. */
static bool has_problems(const ts_import_file *files, size_t n) {
    int64_t bad = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t r = 0; ts_reasons[r].code; r++)
            bad += strcmp(ts_reasons[r].code, "known") != 0 ? files[i].reasons[r] : 0;
    return bad > 0;
}

static void print_result(const ts_cmd *cmd, const struct import_opts *o, const ts_import_file *files, size_t n) {
    ts_buf out = TS_BUF_INIT;
    int64_t known = 0;
    if (cmd->json) put_json(&out, files, n);
    for (size_t i = 0; i < n; i++) {
        known += files[i].known;
        if (!cmd->json) put_text(&out, &files[i]);
    }
    if (known && !o->skip_known)
        ts_cmd_note(
            cmd,
            "%lld of the rows were there already and are now there twice; `tunesmith undo %s` takes the import back, "
            "--skip-known leaves them out",
            (long long)known, cmd->args[0]);
    if (has_problems(files, n)) ts_cmd_note(cmd, "`tunesmith rejects %s` shows the rejected rows", cmd->args[0]);
    ts_buf_release(&out);
}

static int run_import(const ts_cmd *cmd, const void *opts) {
    const struct import_opts *o = opts;
    size_t n = cmd->n_args - 1;
    ts_progress progress = {0};
    ts_err err;
    if (!ts_import_format_known(o->format)) {
        ts_buf names = TS_BUF_INIT;
        ts_format_list(&names);
        int code =
            ts_cmd_usage(cmd, "there is no format \"%s\"; there are auto, json, csv, tsv, %s", o->format, names.data);
        ts_buf_release(&names);
        return code;
    }
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    ts_import_file *files = ts_calloc(n, sizeof *files);
    ts_import_options io = {.format = o->format, .map = o->map.items, .n_map = o->map.n, .skip_known = o->skip_known};
    ts_meter *meter = ts_meter_start(cmd, &progress, "importing", "bytes");
    ts_status status = ts_import(st, cmd->args + 1, n, &io, &progress, files, NULL, &err);
    ts_meter_stop(meter);
    int code = TS_EXIT_OK;
    if (status == TS_OK) {
        print_result(cmd, o, files, n);
        code = has_problems(files, n) ? TS_EXIT_PROBLEMS : TS_EXIT_OK;
    } else {
        code = err.code == TS_INVALID && o->map.n ? ts_cmd_usage(cmd, "%s", err.text) : ts_cmd_fail(cmd, &err);
    }
    free(files);
    ts_store_close(st);
    return code;
}

static const ts_opt import_opts[] = {
    {"format", TS_OPT_TEXT, offsetof(struct import_opts, format), "NAME",
     "auto, alpaca, messages, sharegpt, qa, completion, preference, dolly, self-instruct, text; or json, csv, tsv"},
    {"map", TS_OPT_LIST, offsetof(struct import_opts, map), "F=COLUMN",
     "where instruction, input, output, system or messages is found; several times"},
    {"skip-known", TS_OPT_FLAG, offsetof(struct import_opts, skip_known), NULL,
     "leave out rows that are there already"},
};
static const struct import_opts import_defaults = {.format = "auto"};
const ts_verb ts_verb_import = {
    "import",
    "WS FILE...",
    "read examples from JSON, JSON lines, CSV, TSV or plain text",
    "The format is found out from the file; .gz is unpacked. Of preference pairs the chosen one is the\n"
    "answer, everything else of a row stays beside it. A table without column names is mapped by numbers:\n"
    "--format tsv --map instruction=2 --map output=3.",
    2,
    -1,
    import_opts,
    TS_COUNT(import_opts),
    sizeof(struct import_opts),
    &import_defaults,
    run_import,
    false};

/* ---- rejects ---- */

static void put_reject(const ts_cmd *cmd, ts_buf *out, const ts_reject *r) {
    if (!cmd->json) {
        ts_cmd_safe(out, r->file, strlen(r->file), false, 0);
        ts_buf_printf(out, ":%lld  %s  %s%s%s", (long long)r->line, r->code, ts_reason_sentence(r->code),
                      *r->detail ? ": " : "", r->detail);
        ts_buf_puts(out, "\n    ");
        ts_cmd_safe(out, r->text.s, r->text.n, false, 100);
        return;
    }
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "id", r->id);
    ts_jw_kstr(&w, "file", r->file);
    ts_jw_kint(&w, "line", r->line);
    ts_jw_kstr(&w, "code", r->code);
    ts_jw_kstr(&w, "reason", ts_reason_sentence(r->code));
    ts_jw_kstr(&w, "detail", r->detail);
    ts_jw_key(&w, "text");
    ts_jw_strn(&w, r->text.s, r->text.n);
    ts_jw_kbool(&w, "cut", r->cut);
    ts_jw_end_obj(&w);
}

static int run_rejects(const ts_cmd *cmd, const void *opts) {
    enum { PIECE = 64 };
    ts_arena arena = TS_ARENA_INIT;
    ts_buf line = TS_BUF_INIT;
    ts_err err;
    (void)opts;
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    ts_status status = TS_OK;
    size_t n = PIECE;
    int64_t after = 0;
    while (status == TS_OK && n == PIECE) {
        ts_reject *list;
        ts_arena_reset(&arena);
        status = ts_rejects_read(st, after, PIECE, &list, &n, &arena, &err);
        for (size_t i = 0; i < n && status == TS_OK; i++) {
            put_reject(cmd, &line, &list[i]);
            ts_cmd_print_line(&line);
            after = list[i].id;
        }
    }
    ts_buf_release(&line);
    ts_arena_release(&arena);
    ts_store_close(st);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

const ts_verb ts_verb_rejects = {
    "rejects", "WS", "list rows that imports rejected, and why", NULL, 1, 1, NULL, 0, 0, NULL, run_rejects, false};

/* ---- export ---- */

struct export_opts {
    const char *format, *where;
};

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static int run_export(const ts_cmd *cmd, const void *opts) {
    const struct export_opts *o = opts;
    ts_progress progress = {0};
    ts_export_report report;
    ts_buf out = TS_BUF_INIT;
    ts_err err;
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    ts_export_options eo = {o->format, o->where, ends_with(cmd->args[1], ".json")};
    ts_meter *meter = ts_meter_start(cmd, &progress, "exporting", "rows");
    ts_status status = ts_export(st, cmd->args[1], &eo, &progress, &report, &err);
    ts_meter_stop(meter);
    ts_store_close(st);
    if (status == TS_INVALID) return ts_cmd_usage(cmd, "%s", err.text);
    if (status != TS_OK) return ts_cmd_fail(cmd, &err);
    if (cmd->json) {
        ts_jw w = ts_jw_to(&out);
        ts_jw_obj(&w);
        ts_jw_kstr(&w, "path", cmd->args[1]);
        ts_jw_kstr(&w, "format", report.format);
        ts_jw_kint(&w, "rows", report.rows);
        ts_jw_end_obj(&w);
    } else {
        ts_buf_printf(&out, "%s: %lld rows as %s", cmd->args[1], (long long)report.rows, report.format);
    }
    ts_cmd_print_line(&out);
    ts_buf_release(&out);
    return TS_EXIT_OK;
}

static const ts_opt export_opts[] = {
    {"format", TS_OPT_TEXT, offsetof(struct export_opts, format), "NAME", "auto, alpaca or messages"},
    {"where", TS_OPT_TEXT, offsetof(struct export_opts, where), "QUERY", "which rows; all without it"},
};
static const struct export_opts export_defaults = {"auto", NULL};
const ts_verb ts_verb_export = {"export",
                                "WS OUT",
                                "write examples to a file",
                                "A name that ends in .json gives one array, any other name one row per line.",
                                2,
                                2,
                                export_opts,
                                TS_COUNT(export_opts),
                                sizeof(struct export_opts),
                                &export_defaults,
                                run_export,
                                false};
