/* The rows that imports refused: where each stands, why, what it says; one is put right in the editor and imported. */
#include "core/base/file.h"
#include "core/base/json.h"
#include "dataset/formats.h"
#include "dataset/import.h"
#include "tui/app.h"
#include "tui/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXCERPT = 2000 };

/* The numbers of all rejected rows; of what they say only the part that is drawn is read. */
struct rejects {
    ts_layer layer;
    int64_t *ids;
    size_t n, scroll;
    ts_arena arena; /* of the page: rows [from, from + n_page) of the list */
    ts_reject *page;
    size_t from, n_page;
    ts_list list;
    bool editing, saving;
    ts_editor editor;
    char problem[520]; /* why the row as typed is still no good */
};

static const ts_layer_ops rejects_ops;

/* The layer, if it is still open when something that it began is finished. */
static struct rejects *open_layer(ts_app *app) {
    for (ts_layer *l = app->layers; l; l = l->below)
        if (l->ops == &rejects_ops && !l->closed) return (struct rejects *)l;
    return NULL;
}

/* ---- reading ---- */

struct read_job {
    ts_job job;
    ts_app *app;
    int64_t *ids;
    size_t n;
};

static void read_run(ts_job *job) {
    struct read_job *k = (struct read_job *)job;
    job->status = ts_rejects_ids(k->app->scanner, &k->ids, &k->n, &job->err);
}

static void take_ids(struct rejects *r, struct read_job *k) {
    free(r->ids);
    r->ids = k->ids;
    r->n = k->n;
    r->n_page = 0;
    k->ids = NULL;
}

/* The row at a place of the list; NULL when it is no longer among the rejected ones. The page around the cursor is read
 * when it is not the one that is there. */
static const ts_reject *item_at(struct rejects *r, size_t at) {
    size_t rows = (size_t)TS_MAX(r->list.height, 1), from = r->list.top;
    if (at < r->from || at >= r->from + r->n_page) {
        if (at < from || at >= from + rows) from = at;
        ts_arena_reset(&r->arena);
        r->n_page = 0;
        r->from = from;
        ts_err ignored;
        if (ts_rejects_read(r->layer.app->reader, r->ids[from] - 1, TS_MIN(rows, r->n - from), &r->page, &r->n_page,
                            &r->arena, &ignored) != TS_OK)
            return NULL;
    }
    /* rows that were repaired meanwhile leave the ones behind them in earlier places */
    for (size_t i = 0; i < r->n_page; i++)
        if (r->page[i].id == r->ids[at]) return &r->page[i];
    return NULL;
}

static void read_done(ts_job *job) {
    struct read_job *k = (struct read_job *)job;
    struct rejects *r = open_layer(k->app);
    if (job->status == TS_OK && (r || k->n)) {
        if (!r) {
            r = ts_calloc(1, sizeof *r);
            r->layer.ops = &rejects_ops;
            ts_editor_init(&r->editor, "", 0, false);
            ts_layer_push(k->app, &r->layer);
        }
        take_ids(r, k);
        if (r->n == 0) r->layer.closed = true;
    } else if (job->status == TS_OK) {
        ts_app_say(k->app, TS_R_TEXT, "no row was refused (or all were put right)");
    } else if (job->status != TS_CANCELLED) {
        ts_app_say(k->app, TS_R_ERROR, "%s", job->err.text);
    }
    free(k->ids);
    free(k);
}

void ts_rejects_open(ts_app *app) {
    struct read_job *k = ts_calloc(1, sizeof *k);
    k->job = (ts_job){.title = "reading the rejected rows", .run = read_run, .done = read_done};
    k->app = app;
    ts_queue_push(app->jobs, &k->job);
}

/* ---- putting one right ---- */

struct repair {
    ts_act act; /* first; text: the row as typed, id: the reject's */
    ts_import_file file;
};

/* The repair goes through a file, as the command line's does. */
static ts_status run_repair(ts_act *a, ts_store *st, ts_err *err) {
    struct repair *r = (struct repair *)a;
    const char *tmp = getenv("TMPDIR");
    char *dir = ts_printf("%s/tunesmith-XXXXXX", tmp && *tmp ? tmp : "/tmp"), *path = NULL;
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&line);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "id", a->id);
    ts_jw_kstr(&w, "text", a->text);
    ts_jw_end_obj(&w);
    ts_status status = mkdtemp(dir) ? TS_OK : ts_fail_errno(err, "cannot make a folder for the repaired row");
    if (status == TS_OK) {
        path = ts_path_join(dir, "repaired.jsonl");
        status = ts_file_write(path, line.data, line.len, err);
        if (status == TS_OK) status = ts_rejects_repair(st, path, NULL, &r->file, &a->done, err);
        unlink(path);
        rmdir(dir);
    }
    ts_buf_release(&line);
    free(path);
    free(dir);
    return status;
}

/* Why it was refused again. */
static const char *reason_of(const ts_import_file *f) {
    for (size_t i = 0; ts_reasons[i].code; i++)
        if (f->reasons[i]) return ts_reasons[i].sentence;
    return "it cannot be read";
}

static void repair_done(ts_job *job) {
    struct repair *r = (struct repair *)job;
    ts_app *app = r->act.app;
    struct rejects *open = open_layer(app);
    bool imported = job->status == TS_OK && r->file.imported > 0;
    if (open) open->saving = false;
    if (open && imported) open->editing = false;
    if (open && job->status == TS_OK && !imported) {
        snprintf(open->problem, sizeof open->problem, "still refused: %s", reason_of(&r->file));
        r->act.done.text[0] = 0;
    }
    if (imported) ts_rejects_open(app);
    ts_act_done(job);
}

static void save(struct rejects *r) {
    ts_app *app = r->layer.app;
    if (r->saving || !r->editing) return;
    ts_act *plain = ts_act_new(app, run_repair);
    struct repair *p = ts_calloc(1, sizeof *p);
    p->act = *plain;
    free(plain);
    p->act.job.done = repair_done;
    p->act.id = r->ids[r->list.cursor];
    p->act.text = ts_strdup(ts_buf_str(&r->editor.text));
    p->act.rows_change = true;
    r->saving = true;
    ts_act_push(&p->act);
}

/* A row that is no JSON object begins as one, with its text where the prompt belongs. */
static void put_text(struct rejects *r, const ts_reject *reject) {
    size_t blanks = 0;
    while (blanks < reject->text.n && strchr(" \t\r\n", reject->text.s[blanks]))
        blanks++;
    if (blanks < reject->text.n && reject->text.s[blanks] == '{') {
        ts_editor_init(&r->editor, reject->text.s, reject->text.n, false);
        return;
    }
    ts_buf b = TS_BUF_INIT;
    ts_buf_puts(&b, "{\"instruction\": ");
    ts_jw w = ts_jw_to(&b);
    ts_jw_strn(&w, reject->text.s, reject->text.n);
    ts_buf_puts(&b, ",\n \"input\": \"\",\n \"output\": \"\"}");
    ts_editor_init(&r->editor, b.data, b.len, false);
    ts_buf_release(&b);
}

static void edit(struct rejects *r) {
    ts_app *app = r->layer.app;
    const ts_reject *item = item_at(r, r->list.cursor);
    if (ts_store_read_only(app->reader)) {
        ts_app_say(app, TS_R_WARN, "this workspace can only be read");
    } else if (!item) {
        ts_app_say(app, TS_R_WARN, "this row is no longer among the rejected ones");
    } else if (item->cut) {
        ts_app_say(app, TS_R_WARN,
                   "only the beginning of this row was kept: put it right in the file, import it again");
    } else {
        ts_editor_release(&r->editor);
        put_text(r, item);
        r->problem[0] = 0;
        r->editing = true;
    }
}

static void edit_outside(struct rejects *r) {
    ts_app *app = r->layer.app;
    const char *tmp = getenv("TMPDIR");
    char *path = ts_printf("%s/tunesmith-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ts_buf text = TS_BUF_INIT;
    ts_err err;
    int fd = mkstemp(path);
    ts_status status = fd < 0 ? ts_fail_errno(&err, "cannot make a file for the editor") : TS_OK;
    if (fd >= 0) close(fd);
    if (status == TS_OK) status = ts_file_write(path, r->editor.text.data, r->editor.text.len, &err);
    if (status == TS_OK) status = ts_app_editor(app, path, &err);
    if (status == TS_OK) status = ts_file_read(path, 64 << 20, &text, &err);
    if (status == TS_OK)
        ts_editor_set(&r->editor, ts_buf_str(&text), text.len);
    else
        ts_app_say(app, TS_R_ERROR, "%s", err.text);
    if (fd >= 0) unlink(path);
    ts_buf_release(&text);
    free(path);
}

/* ---- keys ---- */

static ts_status run_undo(ts_act *a, ts_store *st, ts_err *err) {
    ts_status status = a->on ? ts_undo(st, 0, &a->done, err) : ts_redo(st, &a->done, err);
    a->done.step = 0;
    return status;
}

static void undone(ts_act *a) {
    ts_rejects_open(a->app);
}

/* As everywhere, and then the list is read again. */
static void undo(ts_app *app, bool on) {
    ts_act *a = ts_act_new(app, run_undo);
    a->on = on;
    a->rows_change = true;
    a->after = undone;
    ts_act_push(a);
}

static void edit_key(struct rejects *r, uint32_t key) {
    if (key == TS_CTRL('S'))
        save(r);
    else if (key == TS_CTRL('O'))
        edit_outside(r);
    else if (key == TS_KEY_ESC || key == TS_CTRL('C'))
        r->editing = false;
    else if (key == 31)
        ts_editor_undo(&r->editor);
    else
        ts_editor_key(&r->editor, key);
}

static bool rejects_input(ts_layer *l, const ts_input *in) {
    struct rejects *r = (struct rejects *)l;
    if (in->kind == TS_IN_PASTE && r->editing) ts_editor_paste(&r->editor, in->text, in->n);
    if (in->kind == TS_IN_WHEEL) ts_list_move(&r->list, in->delta > 0 ? 1 : -1);
    if (in->kind != TS_IN_KEY || r->saving) return true;
    ts_command_id id = ts_command_for_key(TS_IN_BROWSE, in->key);
    if (r->editing) {
        edit_key(r, in->key);
    } else if (in->key == TS_KEY_ENTER || in->key == 'e') {
        edit(r);
    } else if (in->key == 'E') {
        edit(r);
        if (r->editing) edit_outside(r);
    } else if (id == TS_DO_UNDO || id == TS_DO_REDO) {
        undo(l->app, id == TS_DO_UNDO);
    } else if (ts_list_command(&r->list, id)) {
        r->scroll = 0;
    } else {
        l->closed = in->key == TS_KEY_ESC || in->key == 'q' || in->key == TS_CTRL('C');
    }
    return true;
}

/* ---- drawing ---- */

static void draw_items(struct rejects *r, ts_canvas *c, ts_rect area) {
    char line[32], place[80];
    for (int i = 0; i < area.h && r->list.top + (size_t)i < r->n; i++) {
        const ts_reject *item = item_at(r, r->list.top + (size_t)i);
        bool here = r->list.top + (size_t)i == r->list.cursor;
        if (!item) continue;
        snprintf(place, sizeof place, "%.40s:%s", item->file, ts_thousands(item->line, line));
        ts_put(c, area.x, area.y + i, 1, TS_R_KEY, here ? ">" : " ");
        ts_put(c, area.x + 2, area.y + i, 22, TS_R_DIM, place);
        ts_put(c, area.x + 25, area.y + i, 14, TS_R_WARN, item->code);
        ts_putn(c, area.x + 40, area.y + i, area.w - 40, TS_R_TEXT, item->text.s, TS_MIN(item->text.n, (size_t)300));
        if (here) ts_select(c, area.x, area.y + i, area.w);
    }
}

static void draw_reject(struct rejects *r, ts_canvas *c, ts_rect area) {
    const ts_reject *item = item_at(r, r->list.cursor);
    if (!item) return;
    ts_doc d = ts_doc_new(&r->layer.app->frame, area.w);
    const char *why = ts_reason_sentence(item->code);
    ts_doc_text(&d, 0, TS_R_WARN, why, strlen(why), NULL, TS_R_WARN);
    if (*item->detail) ts_doc_text(&d, 0, TS_R_TEXT, item->detail, strlen(item->detail), NULL, TS_R_TEXT);
    ts_doc_text(&d, 2, TS_R_TEXT, item->text.s, TS_MIN(item->text.n, (size_t)EXCERPT), NULL, TS_R_TEXT);
    if (item->cut || item->text.n > EXCERPT) ts_doc_line_put(&d, 2, TS_R_DIM, "(the row is longer)");
    ts_doc_draw(&d, c, area, &r->scroll);
    ts_doc_release(&d);
}

static void draw_editor(struct rejects *r, ts_canvas *c, ts_rect area) {
    const char *hint = r->saving ? "importing" : *r->problem ? r->problem : "the row as JSON, as it should have been";
    ts_put(c, area.x, area.y, area.w, *r->problem ? TS_R_ERROR : TS_R_DIM, hint);
    ts_editor_draw(&r->editor, c, (ts_rect){area.x, area.y + 1, area.w, area.h - 1}, TS_R_TEXT, true);
}

static void rejects_draw(ts_layer *l, ts_canvas *c) {
    struct rejects *r = (struct rejects *)l;
    char title[80], n[32];
    ts_rect box = {0, 1, c->w, c->h - 2};
    int rows = (int)TS_MIN(r->n, (size_t)TS_MAX(3, (box.h - 3) / (r->editing ? 4 : 2)));
    snprintf(title, sizeof title, "%s rejected row%s", ts_thousands((int64_t)r->n, n), r->n == 1 ? "" : "s");
    ts_box(c, box, title);
    if (r->n == 0) return;
    ts_list_fit(&r->list, r->n, rows);
    draw_items(r, c, (ts_rect){box.x + 2, box.y + 1, box.w - 4, rows});
    ts_hline(c, box.x + 1, box.y + 1 + rows, box.w - 2);
    ts_rect below = {box.x + 2, box.y + 2 + rows, box.w - 4, box.h - rows - 3};
    int x = c->cursor_x, y = c->cursor_y;
    if (r->editing)
        draw_editor(r, c, below);
    else
        draw_reject(r, c, below);
    int hint_x = c->cursor_x, hint_y = c->cursor_y;
    ts_put(c, box.x + 3, box.y + box.h - 1, box.w - 6, TS_R_DIM,
           r->editing ? " ^S imports it   ^O $EDITOR   ^_ undo   Esc leaves it "
                      : " e puts it right   E in $EDITOR   u undo   Esc closes ");
    ts_cursor(c, r->editing ? hint_x : x, r->editing ? hint_y : y);
}

static void rejects_free(ts_layer *l) {
    struct rejects *r = (struct rejects *)l;
    ts_arena_release(&r->arena);
    ts_editor_release(&r->editor);
    free(r->ids);
    free(r);
}

static const ts_layer_ops rejects_ops = {.input = rejects_input, .draw = rejects_draw, .free = rejects_free};
