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
    ts_chat *chat; /* NULL: the model has no template */
    ts_buf line;
};

static ts_status open_counter(struct counter *c, ts_err *err) {
    ts_buf model = TS_BUF_INIT, name = TS_BUF_INIT, source = TS_BUF_INIT;
    ts_status status = TS_OK;
    bool named = ts_setting_get(c->st, "template", &name);
    if (!ts_setting_get(c->st, "model", &model)) {
        status = ts_fail(err, TS_NOT_FOUND, "no model is set that could count tokens");
        goto out;
    }
    TS_GOTO(ts_tokenizer_open(&c->tokenizer, ts_buf_str(&model), err));
    if (named) TS_GOTO(ts_chat_template_read(ts_buf_str(&name), &source, err));
    status = ts_chat_open(&c->chat, c->tokenizer, named ? ts_buf_str(&source) : NULL, err);
    if (status == TS_NOT_FOUND && !named) status = TS_OK;
out:
    ts_buf_release(&model);
    ts_buf_release(&name);
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

static ts_status count_piece(struct counter *c, const int64_t *ids, size_t n, int64_t *counted, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_row rows[PIECE];
    int64_t which[PIECE], tokens[PIECE];
    size_t m = 0;
    ts_status status = ts_rows_read(c->st, ids, n, rows, &arena, err);
    for (size_t i = 0; i < n && status == TS_OK; i++) {
        if (rows[i].gone || (tokens[m] = count_row(c, &rows[i])) < 0) continue;
        which[m++] = rows[i].id;
    }
    if (status == TS_OK) status = ts_rows_set_tokens(c->st, which, tokens, m, err);
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
    return status;
}
