#include "dataset/answers.h"

#include "core/base/clock.h"
#include "core/base/json.h"
#include "dataset/db.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

int64_t ts_prompt_find(ts_store *st, ts_text messages) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT id FROM prompt WHERE messages=?1", NULL);
    int64_t id = 0;
    if (!s) return 0;
    ts_db_bind_text(s, 1, messages);
    if (sqlite3_step(s) == SQLITE_ROW) id = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return id;
}

ts_status ts_prompt_keep(ts_store *st, ts_text messages, ts_text reference, int64_t *id, ts_err *err) {
    static const char what[] = "keep a prompt";
    TS_TRY(ts_db_begin(st, what, err));
    ts_status status = TS_OK;
    *id = ts_prompt_find(st, messages);
    if (!*id) TS_GOTO(ts_db_next(st, "prompt", 1, id, err));
    sqlite3_stmt *s = ts_db_stmt(st,
                                 "INSERT INTO prompt VALUES(?1,?2,?3,?4)"
                                 " ON CONFLICT(id) DO UPDATE SET reference=ifnull(?3,reference)",
                                 err);
    if (s) {
        sqlite3_bind_int64(s, 1, *id);
        ts_db_bind_text(s, 2, messages);
        ts_db_bind_text(s, 3, reference);
        sqlite3_bind_int64(s, 4, ts_wall_ms());
    }
    TS_GOTO(ts_db_step(st, s, what, err));
    status = ts_db_commit(st, what, err);
out:
    if (status != TS_OK) ts_db_rollback(st);
    return status;
}

ts_status ts_answer_keep(ts_store *st, int64_t prompt, const ts_kept_answer *answer, ts_err *err) {
    static const char what[] = "keep an answer";
    int64_t id;
    TS_TRY(ts_db_begin(st, what, err));
    ts_status status;
    TS_GOTO(ts_db_next(st, "answer", 1, &id, err));
    sqlite3_stmt *s = ts_db_stmt(st,
                                 "INSERT INTO answer VALUES(?1,?2,?3,?4,?5,?6) ON CONFLICT(prompt,side) DO UPDATE SET"
                                 " id=?1,text=?4,detail=?5,created=?6 WHERE text<>?4",
                                 err);
    if (s) {
        sqlite3_bind_int64(s, 1, id);
        sqlite3_bind_int64(s, 2, prompt);
        sqlite3_bind_text(s, 3, answer->side, -1, SQLITE_STATIC);
        ts_db_bind_text(s, 4, answer->text.s ? answer->text : (ts_text){"", 0});
        ts_db_bind_text(s, 5, answer->detail);
        sqlite3_bind_int64(s, 6, ts_wall_ms());
    }
    TS_GOTO(ts_db_step(st, s, what, err));
    status = ts_db_commit(st, what, err);
out:
    if (status != TS_OK) ts_db_rollback(st);
    return status;
}

static ts_text copy_of(sqlite3_stmt *s, int i, ts_arena *arena) {
    ts_text t = ts_db_text(s, i);
    return t.s ? (ts_text){ts_arena_strndup(arena, t.s, t.n), t.n} : t;
}

ts_status ts_answers_read(ts_store *st, int64_t prompt, ts_kept_answer **out, size_t *n, ts_arena *arena, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT side,text,detail FROM answer WHERE prompt=?1 ORDER BY side", err);
    ts_kept_answer *list = NULL;
    size_t cap = 0;
    if (!s) return err ? err->code : TS_IO;
    *n = 0;
    sqlite3_bind_int64(s, 1, prompt);
    while (sqlite3_step(s) == SQLITE_ROW) {
        ts_kept_answer a = {ts_db_copy(s, 0, arena), copy_of(s, 1, arena), copy_of(s, 2, arena)};
        TS_PUSH(list, *n, cap, a);
    }
    sqlite3_reset(s);
    *out = ts_arena_alloc(arena, TS_MAX(*n, 1) * sizeof **out);
    if (*n) memcpy(*out, list, *n * sizeof **out);
    free(list);
    return TS_OK;
}

static ts_status write_vote(ts_store *st, int64_t prompt, const char *side, bool blind, const char *note, ts_err *err) {
    sqlite3_stmt *s =
        side ? ts_db_stmt(st, "INSERT OR REPLACE INTO vote(prompt,at,side,blind,note) VALUES(?1,?2,?3,?4,?5)", err)
             : ts_db_stmt(st, "DELETE FROM vote WHERE prompt=?1", err);
    if (s) sqlite3_bind_int64(s, 1, prompt);
    if (s && side) {
        sqlite3_bind_int64(s, 2, ts_wall_ms());
        sqlite3_bind_text(s, 3, side, -1, SQLITE_STATIC);
        sqlite3_bind_int(s, 4, blind);
        sqlite3_bind_text(s, 5, note ? note : "", -1, SQLITE_STATIC);
    }
    return ts_db_step(st, s, "keep a vote", err);
}

static ts_status check_prompt(ts_store *st, int64_t prompt, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT 1 FROM prompt WHERE id=?1", err);
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_int64(s, 1, prompt);
    bool there = sqlite3_step(s) == SQLITE_ROW;
    sqlite3_reset(s);
    return there ? TS_OK
                 : ts_fail(err, TS_NOT_FOUND, "there is no prompt %lld in %s; compare keeps those it asks",
                           (long long)prompt, st->folder);
}

ts_status ts_vote_set(ts_store *st, int64_t prompt, const char *side, bool blind, const char *note, ts_done *done,
                      ts_err *err) {
    ts_act a;
    ts_buf before = TS_BUF_INIT;
    TS_TRY(ts_act_begin(&a, st, TS_KIND_CHANGES, "keep a vote", err));
    ts_status status;
    TS_GOTO(check_prompt(st, prompt, err));
    bool voted = ts_vote_get(st, prompt, &before);
    bool same = side ? voted && strcmp(ts_buf_str(&before), side) == 0 : !voted;
    if (!same) TS_GOTO(write_vote(st, prompt, side, blind, note, err));
    a.rows = !same;
    if (!side)
        status = ts_act_commit(&a, done, err, "took the vote on prompt %lld away", (long long)prompt);
    else
        status = ts_act_commit(&a, done, err, "%s on prompt %lld: %.60s", same ? "is your vote already" : "voted",
                               (long long)prompt, side);
out:
    if (status != TS_OK) ts_act_abandon(&a);
    ts_buf_release(&before);
    return status;
}

bool ts_vote_get(ts_store *st, int64_t prompt, ts_buf *side) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT side FROM vote WHERE prompt=?1", NULL);
    if (!s) return false;
    sqlite3_bind_int64(s, 1, prompt);
    bool found = sqlite3_step(s) == SQLITE_ROW;
    if (found) ts_buf_puts(side, (const char *)sqlite3_column_text(s, 0));
    sqlite3_reset(s);
    return found;
}

ts_status ts_vote_note(ts_store *st, int64_t prompt, const char *note, ts_done *done, ts_err *err) {
    ts_act a;
    TS_TRY(ts_act_begin(&a, st, TS_KIND_CHANGES, "keep a note", err));
    ts_status status;
    sqlite3_stmt *s = ts_db_stmt(st, "UPDATE vote SET note=?2 WHERE prompt=?1", err);
    if (s) sqlite3_bind_int64(s, 1, prompt);
    if (s) sqlite3_bind_text(s, 2, note, -1, SQLITE_STATIC);
    TS_GOTO(ts_db_step(st, s, "keep a note", err));
    a.rows = sqlite3_changes(st->db);
    if (a.rows == 0) {
        status = ts_fail(err, TS_NOT_FOUND, "nobody voted on prompt %lld; a note goes with a vote", (long long)prompt);
        goto out;
    }
    status = ts_act_commit(&a, done, err, *note ? "noted on prompt %lld" : "took the note on prompt %lld away",
                           (long long)prompt);
out:
    if (status != TS_OK) ts_act_abandon(&a);
    return status;
}

bool ts_vote_note_get(ts_store *st, int64_t prompt, ts_buf *note) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT note FROM vote WHERE prompt=?1", NULL);
    if (!s) return false;
    sqlite3_bind_int64(s, 1, prompt);
    bool found = sqlite3_step(s) == SQLITE_ROW;
    if (found) ts_buf_puts(note, (const char *)sqlite3_column_text(s, 0));
    sqlite3_reset(s);
    return found;
}

ts_status ts_row_find_pair(ts_store *st, ts_text prompt, ts_text answer, int64_t *id, ts_err *err) {
    sqlite3_stmt *s =
        ts_db_stmt(st,
                   "SELECT e.id FROM body b JOIN example e ON e.id=b.id WHERE b.output=?2 AND"
                   " CASE WHEN b.instruction<>'' AND b.input<>'' THEN b.instruction||char(10)||b.input"
                   " ELSE b.instruction||b.input END=?1 AND e.batch NOT IN " TS_HIDDEN " ORDER BY e.id LIMIT 1",
                   err);
    if (!s) return err ? err->code : TS_IO;
    ts_db_bind_text(s, 1, prompt);
    ts_db_bind_text(s, 2, answer);
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) *id = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    if (rc == SQLITE_ROW) return TS_OK;
    if (rc != SQLITE_DONE) return ts_db_fail(st, "look for the row", err);
    return ts_fail(err, TS_NOT_FOUND, "no row of the workspace asks this and answers like the reference");
}

ts_status ts_prompts_each(ts_store *st, void (*fn)(void *ctx, int64_t id, ts_text messages, const char *vote),
                          void *ctx, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st,
                                 "SELECT p.id,p.messages,ifnull(v.side,'') FROM prompt p LEFT JOIN vote v"
                                 " ON v.prompt=p.id ORDER BY p.id",
                                 err);
    int rc;
    if (!s) return err ? err->code : TS_IO;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        fn(ctx, sqlite3_column_int64(s, 0), ts_db_text(s, 1), (const char *)sqlite3_column_text(s, 2));
    ts_status status = rc == SQLITE_DONE ? TS_OK : ts_db_fail(st, "read the prompts", err);
    sqlite3_reset(s);
    return status;
}

ts_status ts_kept_prompts_each(ts_store *st, void (*fn)(void *ctx, const ts_kept_prompt *p), void *ctx, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st,
                                 "SELECT p.id,p.messages,p.reference,ifnull(v.side,''),ifnull(v.note,''),"
                                 "ifnull(v.blind,0) FROM prompt p LEFT JOIN vote v ON v.prompt=p.id ORDER BY p.id",
                                 err);
    int rc;
    if (!s) return err ? err->code : TS_IO;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        ts_kept_prompt p = {.id = sqlite3_column_int64(s, 0),
                            .messages = ts_db_text(s, 1),
                            .reference = ts_db_text(s, 2),
                            .vote = (const char *)sqlite3_column_text(s, 3),
                            .note = (const char *)sqlite3_column_text(s, 4),
                            .blind = sqlite3_column_int(s, 5) != 0};
        fn(ctx, &p);
    }
    ts_status status = rc == SQLITE_DONE ? TS_OK : ts_db_fail(st, "read the prompts", err);
    sqlite3_reset(s);
    return status;
}

ts_status ts_answer_sides(ts_store *st, const char ***out, size_t *n, ts_arena *arena, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT DISTINCT side FROM answer ORDER BY side", err);
    const char **list = NULL;
    size_t cap = 0;
    int rc;
    *n = 0;
    if (!s) return err ? err->code : TS_IO;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        TS_PUSH(list, *n, cap, ts_db_copy(s, 0, arena));
    ts_status status = rc == SQLITE_DONE ? TS_OK : ts_db_fail(st, "read the sides", err);
    sqlite3_reset(s);
    *out = ts_arena_alloc(arena, TS_MAX(*n, 1) * sizeof **out);
    if (*n) memcpy(*out, list, *n * sizeof **out);
    free(list);
    return status;
}

void ts_prompt_text(ts_text messages, ts_buf *out) {
    ts_json *root = ts_json_parse(messages.s, messages.n, NULL);
    ts_buf_reset(out);
    for (const ts_json *m = ts_json_child(root); m; m = ts_json_next(m)) {
        if (strcmp(ts_json_str(ts_json_get(m, "role"), ""), "user") != 0) continue;
        ts_buf_reset(out);
        ts_buf_puts(out, ts_json_str(ts_json_get(m, "content"), ""));
    }
    ts_json_free(root);
}

ts_status ts_votes_by_side(ts_store *st, ts_side_votes **out, size_t *n, ts_arena *arena, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st,
                                 "SELECT a.side,sum(v.side=a.side),sum(v.side NOT IN(a.side,'" TS_VOTE_TIE
                                 "','" TS_VOTE_NONE "')),sum(v.side='" TS_VOTE_TIE "'),sum(v.side='" TS_VOTE_NONE
                                 "'),sum(v.blind) FROM vote v JOIN answer a ON a.prompt=v.prompt"
                                 " AND (a.created<=v.at OR a.side=v.side)"
                                 " GROUP BY a.side ORDER BY 2 DESC,1",
                                 err);
    ts_side_votes *list = NULL;
    size_t cap = 0;
    int rc;
    *n = 0;
    if (!s) return err ? err->code : TS_IO;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        ts_side_votes v = {.side = ts_db_copy(s, 0, arena),
                           .wins = sqlite3_column_int64(s, 1),
                           .losses = sqlite3_column_int64(s, 2),
                           .ties = sqlite3_column_int64(s, 3),
                           .none = sqlite3_column_int64(s, 4),
                           .blind = sqlite3_column_int64(s, 5)};
        TS_PUSH(list, *n, cap, v);
    }
    ts_status status = rc == SQLITE_DONE ? TS_OK : ts_db_fail(st, "count the votes", err);
    sqlite3_reset(s);
    *out = ts_arena_alloc(arena, TS_MAX(*n, 1) * sizeof **out);
    if (*n) memcpy(*out, list, *n * sizeof **out);
    free(list);
    return status;
}
