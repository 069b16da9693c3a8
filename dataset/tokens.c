#include "dataset/tokens.h"

#include "core/base/json.h"
#include "core/model/chat.h"
#include "core/model/chat_templates.h"
#include "dataset/db.h"
#include "dataset/snapshot.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 256 };

struct counter {
    ts_store *st;
    ts_tokenizer *tokenizer;
    ts_chat *chat;                /* NULL: the model has no template */
    ts_buf line, model, template; /* model, template: the settings that count */
};

/* What a row's texts came to. */
struct count {
    int64_t id, revision, tokens;
};

static ts_status open_counter(struct counter *c, ts_err *err) {
    ts_buf source = TS_BUF_INIT;
    ts_status status = TS_OK;
    bool named = ts_setting_get(c->st, "template", &c->template);
    if (!ts_setting_get(c->st, "model", &c->model)) {
        status = ts_fail(err, TS_NOT_FOUND, "no model is set that could count tokens");
        goto out;
    }
    TS_GOTO(ts_tokenizer_open(&c->tokenizer, ts_buf_str(&c->model), err));
    if (named) TS_GOTO(ts_chat_template_read(ts_buf_str(&c->template), &source, err));
    status = ts_chat_open(&c->chat, c->tokenizer, named ? ts_buf_str(&source) : NULL, err);
    if (status == TS_NOT_FOUND && !named) status = TS_OK;
out:
    ts_buf_release(&source);
    return status;
}

static int64_t count_bare(const struct counter *c, const ts_row *row) {
    const ts_text texts[] = {row->system, row->instruction, row->input, row->output};
    ts_ids ids = {0};
    for (size_t i = 0; i < TS_COUNT(texts); i++)
        if (texts[i].n) ts_tokenizer_encode(c->tokenizer, texts[i].s, texts[i].n, false, &ids, NULL);
    int64_t n = (int64_t)ids.n;
    ts_ids_release(&ids);
    return n;
}

/* -1: the template refuses the row. */
static int64_t count_row(struct counter *c, const ts_row *row) {
    ts_example example = {0};
    ts_err ignored;
    int64_t n = -1;
    if (!c->chat) return count_bare(c, row);
    ts_buf_reset(&c->line);
    ts_row_messages_line(row, &c->line);
    ts_json *line = ts_json_parse(c->line.data, c->line.len, &ignored);
    const ts_json *messages = line ? ts_json_get(line, "messages") : NULL;
    if (messages && ts_chat_example(c->chat, messages, NULL, &example, &ignored) == TS_OK) n = (int64_t)example.ids.n;
    ts_example_release(&example);
    ts_json_free(line);
    return n;
}

static bool still_set(ts_store *st, const char *key, const ts_buf *to) {
    ts_buf now = TS_BUF_INIT;
    ts_setting_get(st, key, &now);
    bool same = strcmp(ts_buf_str(&now), ts_buf_str(to)) == 0;
    ts_buf_release(&now);
    return same;
}

/* Rows that were edited and a model that was changed while we counted: what was counted of them is not kept. */
static ts_status keep_counts(struct counter *c, const struct count *counts, size_t n, ts_err *err) {
    ts_status status = TS_OK;
    TS_TRY(ts_db_begin(c->st, "store token counts", err));
    if (!still_set(c->st, "model", &c->model) || !still_set(c->st, "template", &c->template))
        status = ts_fail(err, TS_CANCELLED, "the model was changed while its tokens were counted");
    for (size_t i = 0; i < n && status == TS_OK; i++) {
        sqlite3_stmt *s = ts_db_stmt(c->st,
                                     "INSERT INTO metric(id,tokens) SELECT ?1,?2 WHERE EXISTS"
                                     "(SELECT 1 FROM example WHERE id=?1 AND revision=?3)"
                                     " ON CONFLICT(id) DO UPDATE SET tokens=?2",
                                     err);
        if (s) sqlite3_bind_int64(s, 1, counts[i].id);
        if (s) sqlite3_bind_int64(s, 2, counts[i].tokens);
        if (s) sqlite3_bind_int64(s, 3, counts[i].revision);
        status = ts_db_step(c->st, s, "store token counts", err);
    }
    if (status == TS_OK) return ts_db_commit(c->st, "store token counts", err);
    ts_db_rollback(c->st);
    return status;
}

static ts_status count_piece(struct counter *c, const int64_t *ids, size_t n, int64_t *counted, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_row rows[PIECE];
    struct count counts[PIECE];
    size_t m = 0;
    ts_status status = ts_rows_read(c->st, ids, n, rows, &arena, err);
    for (size_t i = 0; i < n && status == TS_OK; i++) {
        int64_t tokens = rows[i].gone ? -1 : count_row(c, &rows[i]);
        if (tokens >= 0) counts[m++] = (struct count){rows[i].id, rows[i].revision, tokens};
    }
    if (status == TS_OK && m) status = keep_counts(c, counts, m, err);
    *counted += (int64_t)m;
    ts_arena_release(&arena);
    return status;
}

static ts_status find_uncounted(ts_store *st, int64_t **ids, size_t *n, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st,
                                 "SELECT e.id FROM example e LEFT JOIN metric m ON m.id=e.id WHERE m.tokens IS NULL"
                                 " AND e.batch NOT IN " TS_HIDDEN " ORDER BY e.id",
                                 err);
    size_t cap = 0;
    int rc;
    if (!s) return err ? err->code : TS_IO;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        TS_PUSH(*ids, *n, cap, sqlite3_column_int64(s, 0));
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? TS_OK : ts_db_fail(st, "read the rows", err);
}

ts_status ts_tokens_count(ts_store *st, ts_progress *progress, int64_t *counted, ts_err *err) {
    struct counter c = {.st = st};
    int64_t *ids = NULL, done = 0;
    size_t n = 0;
    ts_status status = TS_OK;
    if (ts_store_read_only(st)) goto out;
    TS_GOTO(find_uncounted(st, &ids, &n, err));
    if (!n) goto out;
    ts_progress_what(progress, "counting tokens");
    TS_GOTO(open_counter(&c, err));
    for (size_t i = 0; i < n && status == TS_OK; i += PIECE) {
        status = count_piece(&c, ids + i, TS_MIN((size_t)PIECE, n - i), &done, err);
        ts_progress_set(progress, (int64_t)TS_MIN(i + PIECE, n), (int64_t)n);
        if (status == TS_OK && ts_cancelled(progress)) status = ts_fail(err, TS_CANCELLED, "stopped");
    }
out:
    if (counted) *counted = done;
    free(ids);
    ts_chat_free(c.chat);
    ts_tokenizer_free(c.tokenizer);
    ts_buf_release(&c.line);
    ts_buf_release(&c.model);
    ts_buf_release(&c.template);
    return status;
}
