/* import, rejects, export */
#include "core/base/file.h"
#include "core/base/json.h"
#include "dataset/card.h"
#include "dataset/dedupe.h"
#include "dataset/export.h"
#include "dataset/formats.h"
#include "dataset/import.h"
#include "dataset/view.h"
#include "tui/cli_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- import ---- */

struct import_opts {
    const char *format;
    ts_texts map;
    bool skip_known, near;
};

/* near: -1 when it was not asked for. */
static void put_json(ts_buf *out, const ts_import_file *files, size_t n, int64_t near) {
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
    if (near >= 0) ts_jw_kint(&w, "near", near);
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

static void print_result(const ts_cmd *cmd, const struct import_opts *o, const ts_import_file *files, size_t n,
                         int64_t near) {
    ts_buf out = TS_BUF_INIT;
    int64_t known = 0;
    if (cmd->json) put_json(&out, files, n, near);
    for (size_t i = 0; i < n; i++) {
        known += files[i].known;
        if (!cmd->json) put_text(&out, &files[i]);
    }
    if (near >= 0 && !cmd->json) {
        ts_buf_printf(&out, "%lld of the new rows have a near duplicate among the rows that were there",
                      (long long)near);
        ts_cmd_print_line(&out);
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

static ts_status count_near(const ts_cmd *cmd, ts_store *st, int64_t step, int64_t *near, ts_err *err) {
    ts_progress progress = {0};
    *near = 0;
    if (!step) return TS_OK; /* all were known, nothing came in */
    ts_meter *meter = ts_meter_start(cmd, &progress, "looking for near duplicates", "rows");
    ts_status status = ts_dup_count_new(st, step, &progress, near, err);
    ts_meter_stop(meter);
    return status;
}

static int run_import(const ts_cmd *cmd, const void *opts) {
    const struct import_opts *o = opts;
    size_t n = cmd->n_args - 1;
    ts_progress progress = {0};
    ts_done done = {0};
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
    ts_status status = ts_import(st, cmd->args + 1, n, &io, &progress, files, &done, &err);
    ts_meter_stop(meter);
    int64_t near = -1;
    if (status == TS_OK && o->near) status = count_near(cmd, st, done.step, &near, &err);
    int code = TS_EXIT_OK;
    if (status == TS_OK) {
        print_result(cmd, o, files, n, near);
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
    {"near", TS_OPT_FLAG, offsetof(struct import_opts, near), NULL,
     "count new rows whose prompt is nearly that of a row that was there"},
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

struct rejects_opts {
    const char *repair;
};

static int repair(const ts_cmd *cmd, const char *path) {
    ts_progress progress = {0};
    ts_import_file f;
    ts_done done;
    ts_err err;
    ts_buf out = TS_BUF_INIT;
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    ts_meter *meter = ts_meter_start(cmd, &progress, "repairing", "bytes");
    ts_status status = ts_rejects_repair(st, path, &progress, &f, &done, &err);
    ts_meter_stop(meter);
    ts_store_close(st);
    if (status != TS_OK) return ts_cmd_fail(cmd, &err);
    if (cmd->json)
        put_json(&out, &f, 1, -1);
    else
        put_text(&out, &f);
    ts_buf_release(&out);
    return f.rejected ? TS_EXIT_PROBLEMS : TS_EXIT_OK;
}

static int run_rejects(const ts_cmd *cmd, const void *opts) {
    enum { PIECE = 64 };
    const struct rejects_opts *o = opts;
    ts_arena arena = TS_ARENA_INIT;
    ts_buf line = TS_BUF_INIT;
    ts_err err;
    if (o->repair) return repair(cmd, o->repair);
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

static const ts_opt rejects_opts[] = {
    {"repair", TS_OPT_TEXT, offsetof(struct rejects_opts, repair), "FILE",
     "import the rows of FILE in place of their rejects; undo takes it back"},
};
const ts_verb ts_verb_rejects = {
    "rejects",
    "WS",
    "list rows that imports rejected, and why; or import them repaired",
    "To repair rows: `rejects WS --json > FILE`, put the \"text\" of each right (or write the row as \"row\":{..} "
    "beside\n"
    "its \"id\"), delete the lines you leave, and `rejects WS --repair FILE`. Exit 3 when some are still no good.",
    1,
    1,
    rejects_opts,
    TS_COUNT(rejects_opts),
    sizeof(struct rejects_opts),
    NULL,
    run_rejects,
    false};

/* ---- export ---- */

struct export_opts {
    const char *format, *where;
    bool split, card;
};

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* "out.jsonl" and ".train" give "out.train.jsonl"; with `end` the old ending goes. New. */
static char *name_beside(const char *path, const char *word, const char *end) {
    const char *dot = strrchr(ts_path_base(path), '.');
    int stem = dot ? (int)(dot - path) : (int)strlen(path);
    return ts_printf("%.*s%s%s", stem, path, word, end ? end : dot ? dot : "");
}

struct exporting {
    const ts_cmd *cmd;
    const struct export_opts *o;
    ts_store *st;
    ts_progress progress;
    ts_buf json; /* the objects of all files, with commas */
    ts_err err;
};

static void say_written(struct exporting *e, const char *path, const ts_export_report *r, const char *card) {
    ts_buf out = TS_BUF_INIT;
    if (e->cmd->json) {
        ts_jw w = ts_jw_to(&e->json);
        if (e->json.len) ts_buf_putc(&e->json, '\n');
        ts_jw_obj(&w);
        ts_jw_kstr(&w, "path", path);
        ts_jw_kstr(&w, "format", r->format);
        ts_jw_kint(&w, "rows", r->rows);
        if (card) ts_jw_kstr(&w, "card", card);
        ts_jw_end_obj(&w);
        return;
    }
    ts_buf_printf(&out, "%s: %lld rows as %s", path, (long long)r->rows, r->format);
    if (card) ts_buf_printf(&out, ", described in %s", card);
    ts_cmd_print_line(&out);
    ts_buf_release(&out);
}

static ts_status write_card(struct exporting *e, const char *path, const char *card, const char *where,
                            const char *format) {
    ts_buf text = TS_BUF_INIT;
    ts_status status = ts_data_card(e->st, path, format, where, &e->progress, &text, &e->err);
    if (status == TS_OK) status = ts_file_write(card, text.data, text.len, &e->err);
    ts_buf_release(&text);
    return status;
}

static ts_status export_one(struct exporting *e, const char *path, const char *where) {
    ts_export_options eo = {e->o->format, where, ends_with(path, ".json")};
    ts_export_report report;
    char *card = e->o->card ? name_beside(path, "", ".md") : NULL;
    ts_status status = ts_export(e->st, path, &eo, &e->progress, &report, &e->err);
    if (status == TS_OK && card) status = write_card(e, path, card, where, report.format);
    if (status == TS_OK) say_written(e, path, &report, card);
    free(card);
    return status;
}

/* Both sides of the split that training stored. */
static ts_status export_sides(struct exporting *e, const char *path) {
    static const char *const sides[] = {"train", "valid"};
    const char *where = e->o->where;
    ts_view *held;
    TS_TRY(ts_view_new(&held, e->st, "split=train or split=valid", NULL, NULL, NULL, &e->err));
    size_t n = ts_view_count(held);
    ts_view_free(held);
    if (!n)
        return ts_fail(&e->err, TS_INVALID, "no split is stored yet; `tunesmith train` makes one of the rows it takes");
    ts_status status = TS_OK;
    for (size_t i = 0; i < TS_COUNT(sides) && status == TS_OK; i++) {
        char *word = ts_printf(".%s", sides[i]), *name = name_beside(path, word, NULL);
        char *query =
            where && *where ? ts_printf("(%s) and split=%s", where, sides[i]) : ts_printf("split=%s", sides[i]);
        status = export_one(e, name, query);
        free(word);
        free(name);
        free(query);
    }
    return status;
}

static int run_export(const ts_cmd *cmd, const void *opts) {
    struct exporting e = {.cmd = cmd, .o = opts};
    const char *path = cmd->args[1];
    e.st = ts_cmd_store(cmd);
    if (!e.st) return TS_EXIT_FAILED;
    ts_meter *meter = ts_meter_start(cmd, &e.progress, "exporting", "rows");
    ts_status status = e.o->split ? export_sides(&e, path) : export_one(&e, path, e.o->where);
    ts_meter_stop(meter);
    ts_store_close(e.st);
    if (status == TS_OK && cmd->json) ts_cmd_print_line(&e.json);
    ts_buf_release(&e.json);
    if (status == TS_INVALID) return ts_cmd_usage(cmd, "%s", e.err.text);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &e.err);
}

static const ts_opt export_opts[] = {
    {"format", TS_OPT_TEXT, offsetof(struct export_opts, format), "NAME",
     "auto, alpaca, messages, sharegpt, completion, openai or csv"},
    {"where", TS_OPT_TEXT, offsetof(struct export_opts, where), "QUERY", "which rows; all without it"},
    {"split", TS_OPT_FLAG, offsetof(struct export_opts, split), NULL,
     "two files, OUT with .train and .valid in its name, by the stored split"},
    {"card", TS_OPT_FLAG, offsetof(struct export_opts, card), NULL, "a data card beside each file, in Markdown"},
};
static const struct export_opts export_defaults = {.format = "auto"};
const ts_verb ts_verb_export = {
    "export",
    "WS OUT",
    "write examples to a file",
    "A name that ends in .json gives one array, .csv a table, any other name one row per line. Of conversations and\n"
    "single texts together, auto writes messages; openai writes only rows that keep its rules.",
    2,
    2,
    export_opts,
    TS_COUNT(export_opts),
    sizeof(struct export_opts),
    &export_defaults,
    run_export,
    false};
