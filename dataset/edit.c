/* Changes of texts, new rows, dismissals: steps kept as changesets. */
#include "core/base/hash.h"
#include "core/base/utf8.h"
#include "dataset/db.h"
#include "dataset/score.h"
#include "dataset/turns.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const field_names[TS_FIELDS] = {"instruction", "input", "output", "system", "messages", "tags"};

const char *ts_field_name(ts_field f) {
    return f < TS_FIELDS ? field_names[f] : "?";
}

bool ts_field_of(const char *name, size_t n, ts_field *out) {
    for (int i = 0; i < TS_FIELDS; i++)
        if (strlen(field_names[i]) == n && memcmp(field_names[i], name, n) == 0) {
            *out = (ts_field)i;
            return true;
        }
    return false;
}

int64_t ts_texts_hash(const ts_draft *d) {
    const ts_text texts[] = {d->messages, d->instruction, d->input, d->output, d->system};
    uint64_t hash = 0;
    size_t n = d->messages.s ? 1 : TS_COUNT(texts);
    for (size_t i = 0; i < n; i++)
        hash = ts_hash64(texts[i].s ? texts[i].s : "", texts[i].n, hash * 31 + (texts[i].s != NULL));
    return (int64_t)hash;
}

/* ---- what a row will be ---- */

/* The texts of a row being changed; bufs own what was made new. */
struct texts {
    ts_draft d;
    ts_text tags;
    ts_buf made, instruction, output, system;
};

static void release_texts(struct texts *t) {
    ts_buf_release(&t->made);
    ts_buf_release(&t->instruction);
    ts_buf_release(&t->output);
    ts_buf_release(&t->system);
}

static ts_text text_of(const ts_buf *b) {
    return (ts_text){ts_buf_str(b), b->len};
}

static ts_status check_text(const char *field, ts_text t, ts_err *err) {
    if (t.s && memchr(t.s, 0, t.n))
        return ts_fail(err, TS_INVALID, "the new text of %s has a NUL byte in it; nothing was changed", field);
    if (t.s && ts_utf8_check(t.s, t.n) < t.n)
        return ts_fail(err, TS_INVALID, "the new text of %s is not valid UTF-8 at byte %zu; nothing was changed", field,
                       ts_utf8_check(t.s, t.n) + 1);
    return TS_OK;
}

/* Takes t->d.messages (any JSON text) as the conversation: checks it, makes it compact, makes the derived fields. */
static ts_status take_messages(struct texts *t, ts_err *err) {
    const char *detail;
    size_t at;
    ts_text m = t->d.messages;
    if (ts_json_check(m.s, m.n, &at) != TS_JSON_FINE)
        return ts_fail(err, TS_INVALID, "the messages are not valid JSON at byte %zu; nothing was changed", at + 1);
    if (ts_turns_fault(ts_jview_of(m.s, m.n), &detail))
        return ts_fail(err, TS_INVALID, "this is no conversation to learn from: %s; nothing was changed", detail);
    ts_buf compact = TS_BUF_INIT;
    bool has_system;
    ts_jview_compact(ts_jview_of(m.s, m.n), &compact);
    ts_buf_release(&t->made);
    t->made = compact;
    ts_buf_reset(&t->instruction);
    ts_buf_reset(&t->output);
    ts_buf_reset(&t->system);
    ts_turns_fields(ts_jview_of(compact.data, compact.len), &t->instruction, &t->output, &t->system, &has_system);
    t->d.messages = text_of(&t->made);
    t->d.instruction = text_of(&t->instruction);
    t->d.input = (ts_text){"", 0};
    t->d.output = text_of(&t->output);
    t->d.system = has_system ? text_of(&t->system) : (ts_text){NULL, 0};
    return TS_OK;
}

static ts_status edit_turn(struct texts *t, const ts_edit *e, ts_err *err) {
    static const char *const roles[TS_FIELDS] = {
        [TS_INSTRUCTION] = "user", [TS_OUTPUT] = "assistant", [TS_SYSTEM] = "system"};
    if (!roles[e->field] || !e->text.s)
        return ts_fail(err, TS_INVALID,
                       "a conversation has no field %s that could be changed so; change messages instead",
                       ts_field_name(e->field));
    ts_buf changed = TS_BUF_INIT;
    ts_status status = ts_turns_replace(ts_jview_of(t->d.messages.s, t->d.messages.n), roles[e->field], e->text.s,
                                        e->text.n, &changed, err);
    if (status == TS_OK) {
        t->d.messages = text_of(&changed);
        status = take_messages(t, err);
    }
    ts_buf_release(&changed);
    return status;
}

static ts_status check_tags(ts_text tags, ts_err *err) {
    for (size_t i = 0; i < tags.n;) {
        size_t len = strcspn(tags.s + i, " ");
        if (len) TS_TRY(ts_tag_check(tags.s + i, len, err));
        i += len + 1;
    }
    return TS_OK;
}

static ts_status apply_edit(struct texts *t, const ts_edit *e, ts_err *err) {
    ts_text *const fields[TS_FIELDS] = {&t->d.instruction, &t->d.input, &t->d.output, &t->d.system};
    TS_TRY(check_text(ts_field_name(e->field), e->text, err));
    if (e->field == TS_TAGS) {
        TS_TRY(check_tags(e->text, err));
        t->tags = e->text;
        return TS_OK;
    }
    if (e->field == TS_MESSAGES_JSON) {
        if (!t->d.messages.s)
            return ts_fail(err, TS_INVALID, "the row has no messages: it has instruction, input and output");
        t->d.messages = e->text;
        return take_messages(t, err);
    }
    if (t->d.messages.s) return edit_turn(t, e, err);
    if (!e->text.s && e->field != TS_SYSTEM)
        return ts_fail(err, TS_INVALID, "only the system prompt can be taken away; %s can be empty",
                       ts_field_name(e->field));
    *fields[e->field] = e->text;
    return TS_OK;
}

/* ---- writing ---- */

/* To the parameters at, at + 1, .. at + 6. */
static void bind_texts_at(sqlite3_stmt *s, int at, int64_t id, const ts_draft *d) {
    static const ts_text empty = {"", 0};
    sqlite3_bind_int64(s, at, id);
    ts_db_bind_text(s, at + 1, d->instruction.s ? d->instruction : empty);
    ts_db_bind_text(s, at + 2, d->input.s ? d->input : empty);
    ts_db_bind_text(s, at + 3, d->output.s ? d->output : empty);
    ts_db_bind_text(s, at + 4, d->system);
    ts_db_bind_text(s, at + 5, d->messages);
    ts_db_bind_text(s, at + 6, d->extra);
}

static void bind_texts(sqlite3_stmt *s, int64_t id, const ts_draft *d) {
    bind_texts_at(s, 1, id, d);
}

static ts_status write_row(ts_act *a, int64_t id, const struct texts *t, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(a->st,
                                 "UPDATE body SET instruction=?2,input=?3,output=?4,system=?5,messages=?6,extra=?7"
                                 " WHERE id=?1",
                                 err);
    if (s) bind_texts(s, id, &t->d);
    TS_TRY(ts_db_step(a->st, s, a->what, err));
    s = ts_db_stmt(a->st, "UPDATE example SET hash=?2,revision=?3,tags=?4 WHERE id=?1", err);
    if (s) {
        sqlite3_bind_int64(s, 1, id);
        sqlite3_bind_int64(s, 2, ts_texts_hash(&t->d));
        sqlite3_bind_int64(s, 3, a->step);
        ts_db_bind_text(s, 4, t->tags);
    }
    TS_TRY(ts_db_step(a->st, s, a->what, err));
    TS_TRY(ts_act_touch(a, id, err));
    a->rows = 1;
    return ts_derived_forget(a->st, id, err);
}

static ts_status changed_meanwhile(ts_store *st, const ts_row *row, ts_err *err) {
    char who[64] = "another program", label[200] = "changed it";
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT who,label FROM step WHERE id=?1", NULL);
    if (s) sqlite3_bind_int64(s, 1, row->revision);
    if (s && sqlite3_step(s) == SQLITE_ROW) {
        snprintf(who, sizeof who, "%s", sqlite3_column_text(s, 0));
        snprintf(label, sizeof label, "%s", sqlite3_column_text(s, 1));
    }
    if (s) sqlite3_reset(s);
    if (!row->revision) snprintf(label, sizeof label, "took its last change back");
    return ts_fail(err, TS_BUSY, "row %lld was changed meanwhile: %s %s; look at it again before changing it",
                   (long long)row->id, who, label);
}

static bool same_text(ts_text a, ts_text b) {
    return a.n == b.n && (a.s != NULL) == (b.s != NULL) && (!a.n || memcmp(a.s, b.s, a.n) == 0);
}

static bool unchanged(const struct texts *t, const ts_row *row) {
    return same_text(t->d.instruction, row->instruction) && same_text(t->d.input, row->input) &&
           same_text(t->d.output, row->output) && same_text(t->d.system, row->system) &&
           same_text(t->d.messages, row->messages) && t->tags.n == strlen(row->tags) &&
           memcmp(t->tags.s, row->tags, t->tags.n) == 0;
}

ts_status ts_row_edit(ts_store *st, int64_t id, int64_t revision, const ts_edit *edits, size_t n, ts_done *done,
                      ts_err *err) {
    return ts_row_change(st, id, revision, edits, n, NULL, done, err);
}

ts_status ts_row_change(ts_store *st, int64_t id, int64_t revision, const ts_edit *edits, size_t n, const char *label,
                        ts_done *done, ts_err *err) {
    ts_act a;
    ts_row row;
    ts_arena arena = TS_ARENA_INIT;
    struct texts t = {0};
    ts_status status;
    TS_TRY(ts_act_begin(&a, st, TS_KIND_CHANGES, "change the row", err));
    TS_GOTO(ts_row_read(st, id, &row, &arena, err));
    if (revision >= 0 && row.revision != revision) {
        status = changed_meanwhile(st, &row, err);
        goto out;
    }
    t.d = (ts_draft){row.instruction, row.input, row.output, row.system, row.messages, row.extra};
    t.tags = (ts_text){row.tags, strlen(row.tags)};
    ts_buf what = TS_BUF_INIT;
    for (size_t i = 0; i < n && status == TS_OK; i++) {
        ts_buf_printf(&what, "%s%s", i ? ", " : "", ts_field_name(edits[i].field));
        status = apply_edit(&t, &edits[i], err);
    }
    if (status == TS_OK && !unchanged(&t, &row)) status = write_row(&a, id, &t, err);
    if (status == TS_OK && label)
        status = ts_act_commit(&a, done, err, "%s", label);
    else if (status == TS_OK)
        status = ts_act_commit(&a, done, err, "edited %.100s of row %lld", ts_buf_str(&what), (long long)id);
    ts_buf_release(&what);
out:
    if (status != TS_OK) ts_act_abandon(&a);
    release_texts(&t);
    ts_arena_release(&arena);
    return status;
}

ts_status ts_row_insert(ts_store *st, int64_t id, int64_t batch, int64_t line, int64_t revision, int64_t hash,
                        const ts_draft *d, ts_err *err) {
    sqlite3_stmt *s =
        ts_db_stmt(st, "INSERT INTO example(id,batch,line,shape,hash,revision) VALUES(?1,?2,?3,?4,?5,?6)", err);
    if (s) {
        sqlite3_bind_int64(s, 1, id);
        sqlite3_bind_int64(s, 2, batch);
        sqlite3_bind_int64(s, 3, line);
        sqlite3_bind_int(s, 4, d->messages.s ? TS_MESSAGES : TS_ALPACA);
        sqlite3_bind_int64(s, 5, hash);
        sqlite3_bind_int64(s, 6, revision);
    }
    TS_TRY(ts_db_step(st, s, "store a row", err));
    s = ts_db_stmt(st, "INSERT INTO body VALUES(?1,?2,?3,?4,?5,?6,?7)", err);
    if (s) bind_texts(s, id, d);
    return ts_db_step(st, s, "store a row", err);
}

#define SIXTEEN(row)                                                                                                   \
    row "," row "," row "," row "," row "," row "," row "," row "," row "," row "," row "," row "," row "," row        \
        "," row "," row

ts_status ts_rows_insert(ts_store *st, const ts_new_row *rows, ts_err *err) {
    static const char examples[] =
        "INSERT INTO example(id,batch,line,shape,hash,revision) VALUES" SIXTEEN("(?,?,?,?,?,0)");
    static const char bodies[] = "INSERT INTO body VALUES" SIXTEEN("(?,?,?,?,?,?,?)");
    _Static_assert(TS_ROWS_AT_ONCE == 16, "as many as the statements take");
    sqlite3_stmt *s = ts_db_stmt(st, examples, err);
    for (int i = 0; s && i < TS_ROWS_AT_ONCE; i++) {
        sqlite3_bind_int64(s, 5 * i + 1, rows[i].id);
        sqlite3_bind_int64(s, 5 * i + 2, rows[i].batch);
        sqlite3_bind_int64(s, 5 * i + 3, rows[i].line);
        sqlite3_bind_int(s, 5 * i + 4, rows[i].d.messages.s ? TS_MESSAGES : TS_ALPACA);
        sqlite3_bind_int64(s, 5 * i + 5, rows[i].hash);
    }
    TS_TRY(ts_db_step(st, s, "store rows", err));
    s = ts_db_stmt(st, bodies, err);
    for (int i = 0; s && i < TS_ROWS_AT_ONCE; i++)
        bind_texts_at(s, 7 * i + 1, rows[i].id, &rows[i].d);
    return ts_db_step(st, s, "store rows", err);
}

ts_status ts_row_add(ts_store *st, const ts_draft *draft, int64_t *id, ts_done *done, ts_err *err) {
    const ts_text all[] = {draft->instruction, draft->input, draft->output, draft->system, draft->messages};
    struct texts t = {.d = *draft};
    ts_act a = {0};
    int64_t made = 0;
    ts_status status = TS_OK;
    for (size_t i = 0; i < TS_COUNT(all); i++)
        TS_TRY(check_text(field_names[i], all[i], err));
    if (t.d.messages.s) TS_GOTO(take_messages(&t, err));
    if (!t.d.messages.s && !t.d.instruction.n && !t.d.input.n) {
        status = ts_fail(err, TS_INVALID, "a new row needs an instruction");
        goto out;
    }
    TS_GOTO(ts_act_begin(&a, st, TS_KIND_CHANGES, "add a row", err));
    TS_GOTO(ts_db_next(st, "example", 1, &made, err));
    TS_GOTO(ts_row_insert(st, made, 0, 0, a.step, ts_texts_hash(&t.d), &t.d, err));
    TS_GOTO(ts_act_touch(&a, made, err));
    a.rows = 1;
    TS_GOTO(ts_act_commit(&a, done, err, "added row %lld", (long long)made));
    if (id) *id = made;
out:
    if (status != TS_OK) ts_act_abandon(&a);
    release_texts(&t);
    return status;
}

ts_status ts_row_dismiss(ts_store *st, int64_t id, const char *rule, bool on, ts_done *done, ts_err *err) {
    ts_act a;
    ts_row row;
    ts_arena arena = TS_ARENA_INIT;
    ts_status status;
    if (!ts_rule_exists(rule, strlen(rule)))
        return ts_fail(err, TS_INVALID, "there is no score \"%.40s\"; `tunesmith score` lists them", rule);
    TS_TRY(ts_act_begin(&a, st, TS_KIND_CHANGES, "dismiss a finding", err));
    a.value = 1;
    TS_GOTO(ts_row_read(st, id, &row, &arena, err));
    sqlite3_stmt *s = on ? ts_db_stmt(st, "INSERT OR IGNORE INTO dismissed VALUES(?1,?2)", err)
                         : ts_db_stmt(st, "DELETE FROM dismissed WHERE id=?1 AND rule=?2", err);
    if (s) sqlite3_bind_int64(s, 1, id);
    if (s) sqlite3_bind_text(s, 2, rule, -1, SQLITE_STATIC);
    TS_GOTO(ts_db_step(st, s, a.what, err));
    a.rows = sqlite3_changes(st->db);
    TS_GOTO(ts_act_touch(&a, id, err));
    TS_GOTO(ts_score_refresh(st, id, err));
    status = ts_act_commit(&a, done, err, on ? "dismissed %s of row %lld" : "no longer dismissed: %s of row %lld", rule,
                           (long long)id);
out:
    if (status != TS_OK) ts_act_abandon(&a);
    ts_arena_release(&arena);
    return status;
}
