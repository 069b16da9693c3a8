#include "tui/record.h"

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/text/cells.h"
#include "dataset/jsontext.h"
#include "tui/browse.h"
#include "tui/change.h"
#include "tui/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Longer texts go to $EDITOR: laying out and undoing them here would make every key slow. */
enum { TYPED_MAX = 1 << 20 };

struct field {
    char *name;     /* of a turn: its role */
    ts_field field; /* TS_FIELDS: message number `turn` */
    size_t turn;
    char *saved; /* as stored */
    size_t n_saved;
    bool fresh;   /* was not there when the row was read */
    bool renamed; /* a turn of another role than the stored one */
    ts_editor editor;
};

struct ts_record {
    ts_app *app;
    int64_t id, revision;
    ts_row_status status;
    char title[200];
    bool talk;                  /* shape messages: the fields are turns */
    char *messages;             /* the array as stored; NULL before the first save */
    size_t n_messages, n_turns; /* n_turns: how many of its turns are fields when nothing was changed */
    bool more;                  /* it has further turns */
    bool dropped;               /* a turn or the system prompt was taken out */
    struct field *fields;
    size_t n, cap, chosen, top;
    bool typing;
    struct save *saving; /* under way */
};

struct save {
    ts_act act; /* first */
    ts_edit edits[TS_PARTS_MAX];
    ts_buf texts[TS_PARTS_MAX];
    size_t n;
    int64_t revision;
    ts_record *record; /* NULL when it was closed meanwhile */
};

static bool differs(const struct field *f) {
    return f->fresh || f->renamed || f->editor.text.len != f->n_saved ||
           memcmp(f->editor.text.data, f->saved, f->n_saved) != 0;
}

bool ts_record_unsaved(const ts_record *r) {
    for (size_t i = 0; i < r->n; i++)
        if (differs(&r->fields[i])) return true;
    return r->dropped;
}

int64_t ts_record_id(const ts_record *r) {
    return r->id;
}

bool ts_record_typing(const ts_record *r) {
    return r->typing;
}

static void add_field(ts_record *r, const char *name, ts_field field, size_t turn, ts_text text) {
    struct field f = {.name = ts_strdup(name), .field = field, .turn = turn};
    f.saved = ts_strndup(text.s ? text.s : "", text.n);
    f.n_saved = text.n;
    ts_editor_init(&f.editor, f.saved, f.n_saved, false);
    TS_PUSH(r->fields, r->n, r->cap, f);
}

static void release_field(struct field *f) {
    free(f->name);
    free(f->saved);
    ts_editor_release(&f->editor);
}

static void drop_fields(ts_record *r) {
    for (size_t i = 0; i < r->n; i++)
        release_field(&r->fields[i]);
    r->n = 0;
    r->dropped = r->more = false;
    free(r->messages);
    r->messages = NULL;
}

static bool load(ts_record *r) {
    ts_arena arena = TS_ARENA_INIT;
    ts_row row;
    ts_err err;
    ts_row_part parts[TS_PARTS_MAX];
    if (ts_row_read(r->app->reader, r->id, &row, &arena, &err) != TS_OK) {
        ts_app_say(r->app, TS_R_ERROR, "%s", err.text);
        ts_arena_release(&arena);
        return false;
    }
    drop_fields(r);
    r->revision = row.revision;
    r->status = row.status;
    ts_row_title(&row, r->title, sizeof r->title);
    r->talk = row.messages.s != NULL;
    if (row.messages.s) {
        r->messages = ts_strndup(row.messages.s, row.messages.n);
        r->n_messages = row.messages.n;
    }
    size_t n = r->n_turns = ts_row_parts(&row, parts, &r->more, &arena);
    for (size_t i = 0; i < n; i++)
        add_field(r, parts[i].name, parts[i].field, parts[i].turn, parts[i].text);
    if (r->chosen >= r->n) r->chosen = r->n ? r->n - 1 : 0;
    ts_arena_release(&arena);
    return true;
}

ts_record *ts_record_open(ts_app *app, int64_t id) {
    ts_record *r = ts_calloc(1, sizeof *r);
    r->app = app;
    r->id = id;
    if (load(r)) return r;
    ts_record_free(r);
    return NULL;
}

ts_record *ts_record_new_row(ts_app *app) {
    ts_record *r = ts_calloc(1, sizeof *r);
    r->app = app;
    snprintf(r->title, sizeof r->title, "new example");
    add_field(r, "instruction", TS_INSTRUCTION, 0, (ts_text){0});
    add_field(r, "input", TS_INPUT, 0, (ts_text){0});
    add_field(r, "output", TS_OUTPUT, 0, (ts_text){0});
    return r;
}

ts_record *ts_record_new_talk(ts_app *app) {
    ts_record *r = ts_calloc(1, sizeof *r);
    r->app = app;
    r->talk = true;
    snprintf(r->title, sizeof r->title, "new conversation");
    add_field(r, "user", TS_FIELDS, SIZE_MAX, (ts_text){0});
    add_field(r, "assistant", TS_FIELDS, SIZE_MAX, (ts_text){0});
    return r;
}

void ts_record_free(ts_record *r) {
    if (!r) return;
    if (r->saving) r->saving->record = NULL;
    drop_fields(r);
    free(r->fields);
    free(r);
}

void ts_record_changed(ts_record *r) {
    if (r->id && !ts_record_unsaved(r) && !r->typing) load(r);
}

/* ---- saving ---- */

/* One stored turn with the role and text of its field; everything else in it stays as it was written. */
static void write_turn(const struct field *f, ts_jview turn, ts_jw *w) {
    ts_jview at = {0}, key, value;
    ts_buf name = TS_BUF_INIT;
    bool has_content = false;
    ts_jw_obj(w);
    while (ts_jview_next(turn, &at, &key, &value)) {
        bool role = ts_jview_equals(key, "role"), content = ts_jview_equals(key, "content");
        bool typed = f->editor.text.len != f->n_saved || memcmp(f->editor.text.data, f->saved, f->n_saved) != 0;
        ts_buf_reset(&name);
        ts_jview_string(key, &name);
        ts_jw_key(w, ts_buf_str(&name));
        has_content |= content;
        if (role)
            ts_jw_str(w, f->name);
        else if (content && typed)
            ts_jw_strn(w, ts_buf_str(&f->editor.text), f->editor.text.len);
        else
            ts_jw_raw(w, value.p, (size_t)(value.end - value.p));
    }
    if (!has_content) {
        ts_jw_key(w, "content");
        ts_jw_strn(w, ts_buf_str(&f->editor.text), f->editor.text.len);
    }
    ts_jw_end_obj(w);
    ts_buf_release(&name);
}

static void write_new_turn(const struct field *f, ts_jw *w) {
    ts_jw_obj(w);
    ts_jw_kstr(w, "role", f->name);
    ts_jw_key(w, "content");
    ts_jw_strn(w, ts_buf_str(&f->editor.text), f->editor.text.len);
    ts_jw_end_obj(w);
}

/* The array of messages as the fields have it: stored turns, new ones, and behind them those that are not shown. */
static void write_messages(const ts_record *r, ts_buf *out) {
    ts_jview *turns = NULL, array = r->messages ? ts_jview_of(r->messages, r->n_messages) : (ts_jview){0}, at = {0},
             key, value;
    size_t n = 0, cap = 0;
    ts_jw w = ts_jw_to(out);
    while (array.p && ts_jview_next(array, &at, &key, &value))
        TS_PUSH(turns, n, cap, value);
    ts_jw_arr(&w);
    for (size_t i = 0; i < r->n; i++) {
        if (r->fields[i].turn < n)
            write_turn(&r->fields[i], turns[r->fields[i].turn], &w);
        else
            write_new_turn(&r->fields[i], &w);
    }
    for (size_t i = r->n_turns; r->more && i < n; i++)
        ts_jw_raw(&w, turns[i].p, (size_t)(turns[i].end - turns[i].p));
    ts_jw_end_arr(&w);
    free(turns);
}

static ts_text keep(struct save *s, const char *text, size_t n) {
    ts_buf *b = &s->texts[s->n];
    ts_buf_add(b, text, n);
    return (ts_text){ts_buf_str(b), b->len};
}

static ts_status run_save(ts_act *a, ts_store *st, ts_err *err) {
    struct save *s = (struct save *)a;
    if (a->id) return ts_row_edit(st, a->id, s->revision, s->edits, s->n, &a->done, err);
    ts_draft draft = {0};
    for (size_t i = 0; i < s->n; i++) {
        ts_text *const to[TS_FIELDS] = {&draft.instruction, &draft.input, &draft.output, &draft.system,
                                        &draft.messages};
        *to[s->edits[i].field] = s->edits[i].text;
    }
    return ts_row_add(st, &draft, &a->id, &a->done, err);
}

static void save_done(ts_job *job) {
    struct save *s = (struct save *)job;
    ts_record *r = s->record;
    if (r) r->saving = NULL;
    if (r && job->status == TS_OK) {
        if (!r->id) ts_browse_go_after(r->app, s->act.id);
        r->id = s->act.id;
        r->typing = false;
        for (size_t i = 0; i < r->n; i++) { /* what was typed is what is stored */
            struct field *f = &r->fields[i];
            free(f->saved);
            f->saved = ts_strndup(f->editor.text.data, f->editor.text.len);
            f->n_saved = f->editor.text.len;
        }
        load(r);
    }
    for (size_t i = 0; i < TS_PARTS_MAX; i++)
        ts_buf_release(&s->texts[i]);
    s->act.app->count_wanted |= job->status == TS_OK;
    ts_act_done(job);
}

static void save(ts_record *r) {
    if (r->saving) return;
    if (!ts_record_unsaved(r)) {
        r->typing = false;
        ts_app_say(r->app, TS_R_TEXT, "nothing to save");
        return;
    }
    ts_act *plain = ts_act_new(r->app, run_save);
    struct save *s = ts_calloc(1, sizeof *s);
    s->act = *plain;
    free(plain);
    s->act.job.done = save_done;
    s->act.id = r->id;
    s->act.rows_change = r->id == 0;
    s->revision = r->revision;
    bool whole = r->talk && r->dropped; /* what only the whole array can say */
    for (size_t i = 0; i < r->n; i++)
        whole |= differs(&r->fields[i]) && r->fields[i].field == TS_FIELDS;
    if (whole) {
        ts_buf json = TS_BUF_INIT;
        write_messages(r, &json);
        s->edits[0] = (ts_edit){TS_MESSAGES_JSON, keep(s, json.data, json.len)};
        s->n = 1;
        ts_buf_release(&json);
    }
    for (size_t i = 0; i < r->n && !whole; i++) {
        const struct field *f = &r->fields[i];
        if (r->id && !differs(f)) continue;
        s->edits[s->n] = (ts_edit){f->field, keep(s, f->editor.text.data, f->editor.text.len)};
        s->n++;
    }
    if (r->dropped && !r->talk) s->edits[s->n++] = (ts_edit){TS_SYSTEM, {NULL, 0}};
    s->record = r;
    r->saving = s;
    ts_act_push(&s->act);
}

/* ---- $EDITOR ---- */

/* One file, one heading line per field. A text that holds such a line itself gets longer headings. */
static size_t heading_length(const ts_record *r) {
    size_t n = 3;
    for (size_t i = 0; i < r->n; i++) {
        const char *s = ts_buf_str(&r->fields[i].editor.text);
        for (const char *at = strstr(s, "==="); at; at = strstr(at, "===")) {
            size_t run = strspn(at, "=");
            n = TS_MAX(n, run + 1);
            at += run;
        }
    }
    return n;
}

static void write_fields(const ts_record *r, size_t heading, ts_buf *out) {
    char bar[64];
    heading = TS_MIN(heading, sizeof bar - 1);
    memset(bar, '=', heading);
    bar[heading] = 0;
    ts_buf_printf(out, "%s tunesmith: the texts between the headings are saved; keep the headings\n", bar);
    for (size_t i = 0; i < r->n; i++) {
        ts_buf_printf(out, "%s %s\n", bar, r->fields[i].name);
        ts_buf_add(out, r->fields[i].editor.text.data, r->fields[i].editor.text.len);
        ts_buf_putc(out, '\n');
    }
}

/* Puts the texts of the file into the fields. False when the headings are not those that were written. */
static bool read_fields(ts_record *r, size_t heading, const ts_buf *in) {
    size_t at = 0, f = 0;
    const char *starts[TS_PARTS_MAX + 1];
    size_t lens[TS_PARTS_MAX + 1];
    while (at < in->len) {
        const char *line = in->data + at, *nl = memchr(line, '\n', in->len - at);
        size_t n = nl ? (size_t)(nl - line) : in->len - at;
        bool head = strspn(line, "=") == heading && n > heading;
        at += n + (nl != NULL);
        if (!head) continue;
        if (f > 0) lens[f - 1] = (size_t)(line - starts[f - 1]);
        if (f > r->n) return false;
        if (f > 0 && (strlen(r->fields[f - 1].name) != n - heading - 1 ||
                      memcmp(line + heading + 1, r->fields[f - 1].name, n - heading - 1) != 0))
            return false;
        starts[f++] = in->data + at;
    }
    if (f != r->n + 1) return false;
    lens[r->n] = (size_t)(in->data + in->len - starts[r->n]);
    for (size_t i = 0; i < r->n; i++) {
        size_t n = lens[i + 1];
        if (n && starts[i + 1][n - 1] == '\n') n--; /* the newline we wrote, or the editor's own */
        ts_editor *e = &r->fields[i].editor;
        if (n != e->text.len || memcmp(starts[i + 1], e->text.data, n) != 0) ts_editor_set(e, starts[i + 1], n);
    }
    return true;
}

void ts_record_outside(ts_record *r) {
    ts_err err;
    ts_buf text = TS_BUF_INIT;
    size_t heading = heading_length(r);
    const char *tmp = getenv("TMPDIR");
    char *path = ts_printf("%s/tunesmith-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    int fd = mkstemp(path);
    write_fields(r, heading, &text);
    ts_status status = fd < 0 ? ts_fail_errno(&err, "cannot make a file for the editor") : TS_OK;
    if (fd >= 0) close(fd);
    if (status == TS_OK) status = ts_file_write(path, text.data, text.len, &err);
    if (status == TS_OK) status = ts_app_editor(r->app, path, &err);
    ts_buf_reset(&text);
    if (status == TS_OK) status = ts_file_read(path, 64 << 20, &text, &err);
    if (status != TS_OK) {
        ts_app_say(r->app, TS_R_ERROR, "%s", err.text);
    } else if (!read_fields(r, heading, &text)) {
        ts_app_say(r->app, TS_R_ERROR, "the headings were changed, so the text cannot be taken over; it is in %s",
                   path);
        fd = -1;
    } else if (ts_record_unsaved(r)) {
        save(r);
    } else {
        ts_app_say(r->app, TS_R_TEXT, "nothing was changed");
    }
    if (fd >= 0) unlink(path);
    free(path);
    ts_buf_release(&text);
}

/* ---- keys ---- */

void ts_record_begin(ts_record *r) {
    if (r->n == 0) return;
    if (r->fields[r->chosen].editor.text.len > TYPED_MAX) {
        ts_app_say(r->app, TS_R_WARN, "this text is too long to edit here; E opens it in $EDITOR");
        return;
    }
    r->typing = true;
}

/* ---- turns ---- */

static void put_field(ts_record *r, size_t at, const char *name, ts_field field) {
    add_field(r, name, field, SIZE_MAX, (ts_text){0});
    struct field added = r->fields[r->n - 1];
    added.fresh = r->id != 0;
    memmove(&r->fields[at + 1], &r->fields[at], (r->n - 1 - at) * sizeof *r->fields);
    r->fields[at] = added;
    r->chosen = at;
}

static bool is_role(const struct field *f, const char *role) {
    return strcmp(f->name, role) == 0;
}

static void add_turn(ts_record *r) {
    if (r->more || r->n >= TS_PARTS_MAX) {
        ts_app_say(r->app, TS_R_WARN, "this conversation is too long to be rearranged here");
        return;
    }
    if (!r->talk && r->n && r->fields[0].field == TS_SYSTEM) {
        ts_app_say(r->app, TS_R_TEXT, "it has a system prompt already; only conversations have more turns");
        return;
    }
    if (r->talk)
        put_field(r, r->n ? r->chosen + 1 : 0, r->n && is_role(&r->fields[r->chosen], "user") ? "assistant" : "user",
                  TS_FIELDS);
    else
        put_field(r, 0, "system", TS_SYSTEM);
    ts_record_begin(r);
}

static void drop_turn(ts_record *r) {
    struct field *f = &r->fields[r->chosen];
    if (r->n == 0) return;
    if (!r->talk && f->field != TS_SYSTEM) {
        ts_app_say(r->app, TS_R_WARN, "only the system prompt can be taken out; %s can be empty", f->name);
        return;
    }
    if (r->talk && (r->more || r->n == 1)) {
        ts_app_say(r->app, TS_R_WARN,
                   r->more ? "this conversation is too long to be rearranged here"
                           : "the last turn stays; reject the row instead");
        return;
    }
    if (!f->fresh) r->dropped = true;
    release_field(f);
    memmove(f, f + 1, (--r->n - r->chosen) * sizeof *f);
    if (r->chosen >= r->n) r->chosen = r->n ? r->n - 1 : 0;
    ts_app_say(r->app, TS_R_TEXT, "taken out; ^S saves, Esc leaves it as it was");
}

static void change_role(ts_record *r) {
    static const char *const roles[] = {"user", "assistant", "system"};
    struct field *f = &r->fields[r->chosen];
    size_t now = 0;
    if (!r->talk || r->n == 0) {
        ts_app_say(r->app, TS_R_WARN, "only turns of a conversation have a role");
        return;
    }
    while (now < TS_COUNT(roles) && !is_role(f, roles[now]))
        now++;
    free(f->name);
    f->name = ts_strdup(roles[now < TS_COUNT(roles) ? (now + 1) % TS_COUNT(roles) : 0]);
    f->field = TS_FIELDS;
    f->renamed = true;
}

static void go_to_field(ts_record *r, int by) {
    size_t to = r->chosen + (size_t)by;
    if (to < r->n) r->chosen = to;
}

static bool typing_command(ts_record *r, ts_command_id id) {
    ts_editor *e = &r->fields[r->chosen].editor;
    switch (id) {
    case TS_DO_TYPE_NEXT:
        r->chosen = (r->chosen + 1) % r->n;
        return true;
    case TS_DO_TYPE_PREV:
        r->chosen = (r->chosen + r->n - 1) % r->n;
        return true;
    case TS_DO_TYPE_OUTSIDE:
        r->typing = false;
        ts_record_outside(r);
        return true;
    case TS_DO_TYPE_UNDO:
        if (!ts_editor_undo(e)) ts_app_say(r->app, TS_R_TEXT, "nothing typed to take back");
        return true;
    case TS_DO_TYPE_REDO:
        if (!ts_editor_redo(e)) ts_app_say(r->app, TS_R_TEXT, "nothing to do again");
        return true;
    case TS_DO_TYPE_END:
        r->typing = false;
        if (ts_record_unsaved(r)) ts_app_say(r->app, TS_R_WARN, "edited, not saved: ^S saves");
        return true;
    default:
        return false;
    }
}

bool ts_record_command(ts_record *r, ts_command_id id) {
    if (id == TS_DO_SAVE) {
        save(r);
        return true;
    }
    if (r->typing) return typing_command(r, id);
    switch (id) {
    case TS_DO_DOWN:
    case TS_DO_PANE_NEXT:
        go_to_field(r, 1);
        return true;
    case TS_DO_UP:
    case TS_DO_PANE_PREV:
        go_to_field(r, -1);
        return true;
    case TS_DO_FIRST:
        r->chosen = 0;
        return true;
    case TS_DO_LAST:
        r->chosen = r->n ? r->n - 1 : 0;
        return true;
    case TS_DO_EDIT:
    case TS_DO_OPEN:
        ts_record_begin(r);
        return true;
    case TS_DO_EDIT_OUTSIDE:
        ts_record_outside(r);
        return true;
    case TS_DO_TURN_ADD:
        add_turn(r);
        return true;
    case TS_DO_TURN_DROP:
        drop_turn(r);
        return true;
    case TS_DO_TURN_ROLE:
        change_role(r);
        return true;
    case TS_DO_COPY:
        if (r->n) {
            const ts_buf *b = &r->fields[r->chosen].editor.text;
            r->app->term->copy(r->app->term, b->data, b->len);
            ts_app_say(r->app, TS_R_OK, "copied %s", r->fields[r->chosen].name);
        }
        return true;
    default:
        return false;
    }
}

bool ts_record_input(ts_record *r, const ts_input *in) {
    if (!r->typing || r->saving) return false;
    ts_editor *e = &r->fields[r->chosen].editor;
    if (in->kind == TS_IN_PASTE) {
        ts_editor_paste(e, in->text, in->n);
        return true;
    }
    if (in->kind != TS_IN_KEY || ts_command_for_key(TS_IN_TYPING, in->key) != TS_COMMAND_COUNT) return false;
    return ts_editor_key(e, in->key);
}

/* ---- drawing ---- */

/* Rows of each field: what it needs, shrunk from the largest down until all fit, the chosen one last. */
static void share_rows(const ts_record *r, int width, int height, int *rows) {
    int sum = 0;
    for (size_t i = 0; i < r->n; i++) {
        size_t need = r->fields[i].editor.text.len > TYPED_MAX ? 4 : ts_editor_height(&r->fields[i].editor, width);
        rows[i] = (int)TS_MIN(need, 1000) + (i == r->chosen && r->typing);
        sum += rows[i] + 2;
    }
    while (sum > height) {
        size_t largest = r->chosen;
        for (size_t i = 0; i < r->n; i++)
            if (i != r->chosen && rows[i] > 2 && (largest == r->chosen || rows[i] > rows[largest])) largest = i;
        if (rows[largest] <= 3) return;
        rows[largest]--;
        sum--;
    }
}

static int draw_field(ts_record *r, size_t i, ts_canvas *c, int y, int end, int rows) {
    struct field *f = &r->fields[i];
    ts_editor *e = &f->editor;
    bool on = i == r->chosen;
    char about[80];
    size_t words = 0;
    for (size_t k = 0; k < e->text.len; k++)
        words += (unsigned char)e->text.data[k] > ' ' && (k == 0 || (unsigned char)e->text.data[k - 1] <= ' ');
    snprintf(about, sizeof about, "%s%zu word%s ", differs(f) ? "edited   " : "", words, words == 1 ? "" : "s");
    ts_put(c, 0, y, 1, TS_R_KEY, on ? ">" : " ");
    ts_put(c, 2, y, c->w - 30, on ? TS_R_TITLE : TS_R_LABEL, f->name);
    ts_put_right(c, c->w - 30, y, 30, differs(f) ? TS_R_WARN : TS_R_DIM, about);
    if (on) ts_cursor(c, 0, y);
    y++;
    rows = TS_MIN(rows, end - y);
    if (rows <= 0) return y;
    if (on && r->typing) ts_vline(c, 2, y, rows);
    if (e->text.len == 0 && !(on && r->typing))
        ts_put(c, 4, y, c->w - 6, TS_R_DIM, "(empty)");
    else
        ts_editor_draw(e, c, (ts_rect){4, y, c->w - 6, rows}, TS_R_TEXT, on && r->typing);
    return y + rows + 1;
}

/* What was typed into the chosen field beside what is stored, where there is room for both. */
static int change_height(const ts_record *r, int height) {
    enum { LEAST = 18, ROWS = 5 };
    if (!r->n || !r->id || height < LEAST) return 0;
    const struct field *f = &r->fields[r->chosen];
    bool same = f->editor.text.len == f->n_saved && memcmp(f->editor.text.data, f->saved, f->n_saved) == 0;
    return f->fresh || same ? 0 : ROWS;
}

static void draw_change(ts_record *r, ts_canvas *c, ts_rect area) {
    const struct field *f = &r->fields[r->chosen];
    int x = c->cursor_x, y = c->cursor_y;
    ts_hline(c, area.x, area.y, area.w);
    ts_put(c, area.x + 2, area.y, area.w - 4, TS_R_LABEL, " change since the last save ");
    ts_change_draw(r->app, c, (ts_rect){area.x + 2, area.y + 1, area.w - 4, area.h - 1},
                   (ts_text){f->saved, f->n_saved}, (ts_text){ts_buf_str(&f->editor.text), f->editor.text.len});
    ts_cursor(c, x, y);
}

void ts_record_draw(ts_record *r, ts_canvas *c, ts_rect body) {
    int rows[TS_PARTS_MAX], y = body.y + 1, end = body.y + body.h;
    bool unsaved = ts_record_unsaved(r);
    ts_hline(c, 0, body.y, body.w);
    int used = ts_put(c, 3, body.y, body.w - 30,
                      ts_row_role(r->status) == TS_R_NEW ? TS_R_STRONG : ts_row_role(r->status), r->title);
    ts_put(c, 2, body.y, 1, TS_R_TEXT, " ");
    ts_put(c, 3 + used, body.y, 1, TS_R_TEXT, " ");
    if (unsaved || r->typing)
        ts_putf(c, body.w - 30, body.y, 29, TS_R_WARN, "%s%s", unsaved ? " edited, not saved " : "",
                r->typing ? " INSERT " : "");
    int change = change_height(r, body.h);
    if (change) {
        draw_change(r, c, (ts_rect){body.x, body.y + body.h - change, body.w, change});
        body.h -= change;
        end -= change;
    }
    share_rows(r, body.w - 6, body.h - 1, rows);
    if (r->chosen < r->top) r->top = r->chosen;
    for (;;) { /* the chosen field begins and ends in view */
        int need = 0;
        for (size_t i = r->top; i <= r->chosen && i < r->n; i++)
            need += rows[i] + 2;
        if (need <= body.h || r->top >= r->chosen) break;
        r->top++;
    }
    for (size_t i = r->top; i < r->n && y < end; i++)
        y = draw_field(r, i, c, y, end, rows[i]);
}

void ts_record_status(ts_record *r, char *left, char *right) {
    size_t line, column;
    if (r->n == 0) return;
    snprintf(left, 200, "field %zu of %zu", r->chosen + 1, r->n);
    if (!r->typing) return;
    ts_editor_place(&r->fields[r->chosen].editor, &line, &column);
    snprintf(right, 200, "line %zu  column %zu", line, column);
}
