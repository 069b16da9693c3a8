#include "dataset/rowjson.h"

#include "dataset/lmscore.h"
#include "dataset/snapshot.h"
#include "dataset/turns.h"

#include <math.h>
#include <string.h>

void ts_row_prompt(const ts_row *row, ts_buf *out) {
    ts_buf_add(out, row->instruction.s, row->instruction.n);
    if (row->input.n && row->instruction.n) ts_buf_putc(out, '\n');
    ts_buf_add(out, row->input.s, row->input.n);
}

static void put_turn(ts_jw *w, const char *role, const char *text, size_t n) {
    ts_jw_obj(w);
    ts_jw_kstr(w, "role", role);
    ts_jw_key(w, "content");
    ts_jw_strn(w, text, n);
    ts_jw_end_obj(w);
}

/* A message as it is, with typed content parts made plain text. */
static void put_message(ts_jw *w, ts_jview m) {
    ts_jview at = {0}, key, value;
    ts_buf piece = TS_BUF_INIT;
    ts_jw_obj(w);
    while (ts_jview_next(m, &at, &key, &value)) {
        ts_buf_reset(&piece);
        ts_jview_string(key, &piece);
        ts_jw_key(w, ts_buf_str(&piece));
        bool parts = strcmp(ts_buf_str(&piece), "content") == 0 && ts_jview_kind(value) == '[';
        ts_buf_reset(&piece);
        if (parts) {
            ts_turn_text(value, &piece);
            ts_jw_strn(w, ts_buf_str(&piece), piece.len);
        } else {
            ts_jview_compact(value, &piece);
            ts_jw_raw(w, piece.data, piece.len);
        }
    }
    ts_jw_end_obj(w);
    ts_buf_release(&piece);
}

static void put_conversation(const ts_row *row, ts_jw *w, bool with_answer) {
    ts_jview messages = ts_jview_of(row->messages.s, row->messages.n), at = {0}, m;
    size_t n = ts_jview_count(messages), last = n, i = 0;
    while (!with_answer && ts_jview_next(messages, &at, NULL, &m)) {
        if (ts_jview_equals(ts_jview_get(m, "role"), "assistant")) last = i;
        i++;
    }
    at = (ts_jview){0};
    for (i = 0; i < last && ts_jview_next(messages, &at, NULL, &m); i++)
        put_message(w, m);
}

void ts_row_messages(const ts_row *row, ts_jw *w, bool with_answer) {
    ts_jw_arr(w);
    if (row->messages.s) {
        put_conversation(row, w, with_answer);
    } else {
        ts_buf prompt = TS_BUF_INIT;
        ts_row_prompt(row, &prompt);
        if (row->system.n) put_turn(w, "system", row->system.s, row->system.n);
        put_turn(w, "user", ts_buf_str(&prompt), prompt.len);
        if (with_answer) put_turn(w, "assistant", row->output.s, row->output.n);
        ts_buf_release(&prompt);
    }
    ts_jw_end_arr(w);
}

void ts_row_messages_line(const ts_row *row, ts_buf *out) {
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_key(&w, "messages");
    ts_row_messages(row, &w, true);
    ts_jw_end_obj(&w);
}

void ts_row_prompt_messages(const ts_row *row, ts_buf *out) {
    ts_jw w = ts_jw_to(out);
    ts_row_messages(row, &w, false);
}

/* ---- one object per row ---- */

static bool wanted(const char *only, const char *name) {
    size_t n = strlen(name);
    for (const char *p = only; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, name, n) == 0 && (p[n] == 0 || p[n] == ',')) return true;
    return !only;
}

static void put_tags(const char *tags, ts_jw *w) {
    ts_jw_arr(w);
    for (const char *p = tags; *p;) {
        size_t len = strcspn(p, " ");
        ts_jw_strn(w, p, len);
        p += len;
        p += strspn(p, " ");
    }
    ts_jw_end_arr(w);
}

static ts_status put_scores(ts_store *st, const ts_row *row, ts_jw *w, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_rule_value *values;
    size_t n;
    ts_status status = ts_row_scores(st, row->id, &values, &n, &arena, err);
    if (status == TS_OK) {
        ts_jw_obj(w);
        ts_jw_knum(w, "score", row->score);
        for (size_t i = 0; i < n; i++)
            ts_jw_knum(w, values[i].rule, values[i].dismissed ? 0 : values[i].value);
        double lm[TS_LM_FIELDS];
        ts_lm_values(st, row->id, lm);
        for (size_t i = 0; i < TS_LM_FIELDS; i++)
            if (!isnan(lm[i])) ts_jw_knum(w, ts_lm_fields[i].name, lm[i]);
        ts_jw_end_obj(w);
    }
    ts_arena_release(&arena);
    return status;
}

static void put_texts(const ts_row *row, const char *only, ts_jw *w) {
    const struct {
        const char *name;
        ts_text text;
    } texts[] = {
        {"instruction", row->instruction}, {"input", row->input}, {"output", row->output}, {"system", row->system}};
    for (size_t i = 0; i < TS_COUNT(texts); i++) {
        if (!texts[i].text.s || row->shape != TS_ALPACA || !wanted(only, texts[i].name)) continue;
        ts_jw_key(w, texts[i].name);
        ts_jw_strn(w, texts[i].text.s, texts[i].text.n);
    }
}

ts_status ts_row_json(ts_store *st, const ts_row *row, const char *only, ts_jw *w, ts_err *err) {
    ts_jw_obj(w);
    if (wanted(only, "id")) ts_jw_kint(w, "id", row->id);
    if (wanted(only, "status")) ts_jw_kstr(w, "status", ts_row_status_name(row->status));
    if (wanted(only, "rating")) ts_jw_knum(w, "rating", row->rating ? row->rating : NAN);
    if (wanted(only, "tags")) {
        ts_jw_key(w, "tags");
        put_tags(row->tags, w);
    }
    if (wanted(only, "origin")) ts_jw_kstr(w, "origin", row->origin);
    put_texts(row, only, w);
    if (wanted(only, "messages")) {
        ts_jw_key(w, "messages");
        ts_row_messages(row, w, true);
    }
    if (wanted(only, "scores")) {
        ts_jw_key(w, "scores");
        TS_TRY(put_scores(st, row, w, err));
    }
    if (wanted(only, "tokens")) ts_jw_knum(w, "tokens", row->tokens < 0 ? NAN : (double)row->tokens);
    if (wanted(only, "dup")) ts_jw_knum(w, "dup", row->dup ? (double)row->dup : NAN);
    if (row->extra.n && wanted(only, "extra")) {
        ts_jw_key(w, "extra");
        ts_buf extra = TS_BUF_INIT;
        ts_buf_printf(&extra, "{%s}", row->extra.s);
        ts_jw_raw(w, extra.data, extra.len);
        ts_buf_release(&extra);
    }
    ts_jw_end_obj(w);
    return TS_OK;
}
