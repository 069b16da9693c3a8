#include "dataset/openai.h"

#include "dataset/rowjson.h"
#include "dataset/turns.h"
#include "dataset/view.h"

#include <string.h>

const ts_openai_rule ts_openai_rules[TS_OPENAI_RULES] = {
    {"data_type", "a message is not an object", true},
    {"missing_messages_list", "there are no messages", true},
    {"message_missing_key", "a message has no role or no content", true},
    {"message_unrecognized_key", "a message has a member that OpenAI does not take", true},
    {"unrecognized_role", "a message has a role that OpenAI does not know", true},
    {"missing_content", "a message is empty, or its content is not text", true},
    {"example_missing_assistant_message", "no message is from the assistant", true},
    {"over_token_limit", "the example is longer than the limit; what is behind it is cut off", false},
    {"missing_system", "there is no system message", false},
    {"missing_user", "there is no user message", false},
};

static bool is_one_of(ts_jview text, const char *const *list) {
    for (; *list; list++)
        if (ts_jview_equals(text, *list)) return true;
    return false;
}

static void note(ts_openai_findings *f, ts_openai_rule_id rule, int message) {
    if (!f->found[rule]++) f->first[rule] = message;
}

static bool has_text(ts_jview content) {
    ts_buf text = TS_BUF_INIT;
    bool fine = ts_turn_text(content, &text) && text.len > 0;
    ts_buf_release(&text);
    return fine;
}

static void look_at_message(ts_jview m, int number, ts_openai_findings *f) {
    static const char *const keys[] = {"role",         "content", "name", "function_call", "weight", "tool_calls",
                                       "tool_call_id", "refusal", NULL};
    static const char *const roles[] = {"system", "user", "assistant", "function", "tool", "developer", NULL};
    ts_jview at = {0}, key, value, role = ts_jview_get(m, "role"), content = ts_jview_get(m, "content");
    if (ts_jview_kind(m) != '{') {
        note(f, TS_OPENAI_DATA_TYPE, number);
        return;
    }
    bool calls = ts_jview_get(m, "tool_calls").p || ts_jview_get(m, "function_call").p;
    if (!role.p || (!content.p && !calls)) note(f, TS_OPENAI_MISSING_KEY, number);
    bool unknown = false;
    while (ts_jview_next(m, &at, &key, &value))
        unknown |= !is_one_of(key, keys);
    if (unknown) note(f, TS_OPENAI_UNKNOWN_KEY, number);
    if (!is_one_of(role, roles)) note(f, TS_OPENAI_UNKNOWN_ROLE, number);
    bool none = !content.p || ts_jview_kind(content) == 'n' || ts_jview_equals(content, "");
    if (!has_text(content) && !(none && calls)) note(f, TS_OPENAI_NO_CONTENT, number);
}

void ts_openai_look(const char *messages, size_t n, ts_openai_findings *out) {
    ts_jview list = ts_jview_of(messages, n), at = {0}, m;
    bool assistant = false, user = false, system = false;
    int number = 0;
    *out = (ts_openai_findings){0};
    while (ts_jview_next(list, &at, NULL, &m)) {
        ts_jview role = ts_jview_get(m, "role");
        look_at_message(m, ++number, out);
        assistant |= ts_jview_equals(role, "assistant");
        user |= ts_jview_equals(role, "user");
        system |= ts_jview_equals(role, "system") || ts_jview_equals(role, "developer");
    }
    if (!number) {
        note(out, TS_OPENAI_NO_LIST, 0);
        return;
    }
    if (!assistant) note(out, TS_OPENAI_NO_ASSISTANT, 0);
    if (!user) note(out, TS_OPENAI_NO_USER, 0);
    if (!system) note(out, TS_OPENAI_NO_SYSTEM, 0);
}

/* ---- all rows ---- */

enum { PIECE = 256 };

struct looking {
    int64_t limit;
    void (*fn)(void *ctx, const ts_openai_row *row);
    void *ctx;
    ts_openai_report *report;
    ts_buf messages;
};

static void look_at_row(struct looking *l, const ts_row *row) {
    ts_openai_row r = {.id = row->id, .tokens = row->tokens};
    ts_openai_report *all = l->report;
    if (row->messages.s) {
        ts_buf_add(&l->messages, row->messages.s, row->messages.n);
    } else {
        ts_jw w = ts_jw_to(&l->messages);
        ts_row_messages(row, &w, true);
    }
    ts_openai_look(l->messages.data, l->messages.len, &r.is);
    if (r.tokens < 0) {
        r.tokens = (int64_t)(row->instruction.n + row->input.n + row->output.n + row->system.n) / 4;
        all->estimated++;
    }
    if (r.tokens > l->limit) note(&r.is, TS_OPENAI_TOO_LONG, 0);
    all->rows++;
    all->tokens += TS_MIN(r.tokens, l->limit);
    all->longest = TS_MAX(all->longest, r.tokens);
    bool any = false, errors = false;
    for (size_t i = 0; i < TS_OPENAI_RULES; i++) {
        all->rows_by_rule[i] += r.is.found[i] > 0;
        any |= r.is.found[i] > 0;
        errors |= r.is.found[i] > 0 && ts_openai_rules[i].error;
    }
    all->rows_with_errors += errors;
    if (any && l->fn) l->fn(l->ctx, &r);
}

/* Three, moved so that examples times epochs stays within 100 and 25,000, and epochs within 1 and 25. */
static int epochs_for(int64_t rows) {
    int64_t epochs = 3;
    if (rows > 0 && rows * epochs < 100) epochs = TS_MIN((int64_t)25, 100 / rows);
    if (rows * epochs > 25000) epochs = TS_MAX((int64_t)1, 25000 / rows);
    return (int)epochs;
}

static ts_status look_at_rows(struct looking *l, ts_store *st, const ts_view *v, ts_progress *progress, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_row rows[PIECE];
    size_t n = ts_view_count(v);
    ts_status status = TS_OK;
    for (size_t i = 0; i < n && status == TS_OK; i += PIECE) {
        size_t m = TS_MIN((size_t)PIECE, n - i);
        ts_arena_reset(&arena);
        status = ts_rows_read(st, ts_view_ids(v) + i, m, rows, &arena, err);
        for (size_t k = 0; k < m && status == TS_OK; k++) {
            ts_buf_reset(&l->messages);
            if (!rows[k].gone) look_at_row(l, &rows[k]);
        }
        ts_progress_set(progress, (int64_t)(i + m), (int64_t)n);
        if (status == TS_OK && ts_cancelled(progress)) status = ts_fail(err, TS_CANCELLED, "stopped");
    }
    ts_arena_release(&arena);
    return status;
}

ts_status ts_openai_check(ts_store *st, const char *where, int64_t token_limit,
                          void (*fn)(void *ctx, const ts_openai_row *row), void *ctx, ts_progress *progress,
                          ts_openai_report *out, ts_err *err) {
    struct looking l = {.limit = token_limit, .fn = fn, .ctx = ctx, .report = out};
    ts_view *v;
    *out = (ts_openai_report){0};
    TS_TRY(ts_view_new(&v, st, where, NULL, NULL, NULL, err));
    ts_status status = look_at_rows(&l, st, v, progress, err);
    out->epochs = epochs_for(out->rows);
    ts_buf_release(&l.messages);
    ts_view_free(v);
    return status;
}
