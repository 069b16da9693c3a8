#include "dataset/writers.h"

#include "dataset/jsontext.h"
#include "dataset/openai.h"
#include "dataset/rowjson.h"
#include "dataset/snapshot.h"
#include "dataset/turns.h"

#include <string.h>

/* ---- shared ---- */

/* system?, user, assistant and nothing else: a row of plain texts can hold that. */
static bool single_turn(const ts_row *row) {
    ts_jview at = {0}, m, messages = ts_jview_of(row->messages.s, row->messages.n);
    static const char *const order[] = {"user", "assistant"};
    size_t want = 0;
    for (bool first = true; ts_jview_next(messages, &at, NULL, &m); first = false) {
        ts_jview role = ts_jview_get(m, "role");
        if (first && ts_jview_equals(role, "system")) continue;
        if (want == 2 || !ts_jview_equals(role, order[want])) return false;
        want++;
    }
    return want == 2;
}

static void put_extra(const ts_row *row, ts_buf *out) {
    if (!row->extra.n) return;
    ts_buf_putc(out, ',');
    ts_buf_add(out, row->extra.s, row->extra.n);
}

static void put_text(ts_jw *w, const char *key, ts_text text) {
    if (!text.s) return;
    ts_jw_key(w, key);
    ts_jw_strn(w, text.s, text.n);
}

static void put_raw(ts_buf *out, ts_jview v) {
    ts_buf_add(out, v.p, (size_t)(v.end - v.p));
}

/* The row's messages as a list, its own or made of its texts; borrowed from `made` or the row. */
static ts_jview messages_of(const ts_row *row, ts_buf *made) {
    if (row->messages.s) return ts_jview_of(row->messages.s, row->messages.n);
    ts_jw w = ts_jw_to(made);
    ts_row_messages(row, &w, true);
    return ts_jview_of(made->data, made->len);
}

/* ---- alpaca, messages ---- */

static ts_status put_alpaca(const ts_row *row, ts_buf *out, ts_err *err) {
    ts_jw w = ts_jw_to(out);
    if (row->shape == TS_MESSAGES && !single_turn(row))
        return ts_fail(err, TS_INVALID,
                       "row %lld is a conversation of several turns, which the format alpaca cannot hold; export as "
                       "messages, or leave it out with --where shape=alpaca",
                       (long long)row->id);
    ts_jw_obj(&w);
    put_text(&w, "system", row->system);
    put_text(&w, "instruction", row->instruction);
    put_text(&w, "input", row->input);
    put_text(&w, "output", row->output);
    put_extra(row, out);
    ts_jw_end_obj(&w);
    return TS_OK;
}

static ts_status put_messages(const ts_row *row, ts_buf *out, ts_err *err) {
    ts_buf made = TS_BUF_INIT;
    (void)err;
    ts_buf_puts(out, "{\"messages\":");
    put_raw(out, messages_of(row, &made));
    put_extra(row, out);
    ts_buf_putc(out, '}');
    ts_buf_release(&made);
    return TS_OK;
}

/* ---- sharegpt ---- */

static const char *from_of(ts_jview role, ts_jview name) {
    static const char *const names[][2] = {{"user", "human"},          {"assistant", "gpt"}, {"system", "system"},
                                           {"developer", "developer"}, {"tool", "tool"},     {"function", "function"}};
    static const char *const calls[] = {"function_call", "observation"};
    for (size_t i = 0; i < TS_COUNT(calls); i++)
        if (ts_jview_equals(name, calls[i])) return calls[i];
    for (size_t i = 0; i < TS_COUNT(names); i++)
        if (ts_jview_equals(role, names[i][0])) return names[i][1];
    return "human";
}

static void put_sharegpt_turn(ts_jview m, ts_buf *out) {
    ts_jview at = {0}, key, value, content = ts_jview_get(m, "content"), name = ts_jview_get(m, "name");
    const char *from = from_of(ts_jview_get(m, "role"), name);
    bool call = ts_jview_equals(name, from);
    ts_buf text = TS_BUF_INIT;
    ts_buf_printf(out, "{\"from\":\"%s\",\"value\":", from);
    if (ts_jview_kind(content) == '"') {
        put_raw(out, content);
    } else {
        ts_jw w = ts_jw_to(out);
        ts_turn_text(content, &text);
        ts_jw_strn(&w, ts_buf_str(&text), text.len);
    }
    while (ts_jview_next(m, &at, &key, &value)) {
        bool said = ts_jview_equals(key, "role") || ts_jview_equals(key, "content");
        if (said || (call && ts_jview_equals(key, "name"))) continue;
        ts_buf_putc(out, ',');
        put_raw(out, key);
        ts_buf_putc(out, ':');
        put_raw(out, value);
    }
    ts_buf_putc(out, '}');
    ts_buf_release(&text);
}

static ts_status put_sharegpt(const ts_row *row, ts_buf *out, ts_err *err) {
    ts_buf made = TS_BUF_INIT;
    ts_jview list = messages_of(row, &made), at = {0}, m;
    (void)err;
    ts_buf_puts(out, "{\"conversations\":[");
    for (bool first = true; ts_jview_next(list, &at, NULL, &m); first = false) {
        if (!first) ts_buf_putc(out, ',');
        put_sharegpt_turn(m, out);
    }
    ts_buf_putc(out, ']');
    put_extra(row, out);
    ts_buf_putc(out, '}');
    ts_buf_release(&made);
    return TS_OK;
}

/* ---- completion: texts, or for conversations two lists of messages, the last answer being the second ---- */

static void put_halves(const ts_row *row, ts_buf *out) {
    ts_jview list = ts_jview_of(row->messages.s, row->messages.n), at = {0}, m;
    size_t last = 0, i = 0;
    for (; ts_jview_next(list, &at, NULL, &m); i++)
        if (ts_jview_equals(ts_jview_get(m, "role"), "assistant")) last = i;
    ts_buf_puts(out, "\"prompt\":[");
    at = (ts_jview){0};
    for (i = 0; ts_jview_next(list, &at, NULL, &m); i++) {
        if (i == last)
            ts_buf_puts(out, "],\"completion\":[");
        else if (i)
            ts_buf_putc(out, ',');
        put_raw(out, m);
    }
    ts_buf_putc(out, ']');
}

static ts_status put_completion(const ts_row *row, ts_buf *out, ts_err *err) {
    ts_jw w = ts_jw_to(out);
    (void)err;
    ts_jw_obj(&w);
    if (row->messages.s) {
        put_halves(row, out);
    } else {
        ts_buf prompt = TS_BUF_INIT;
        ts_row_prompt(row, &prompt);
        put_text(&w, "system", row->system);
        put_text(&w, "prompt", (ts_text){ts_buf_str(&prompt), prompt.len});
        put_text(&w, "completion", row->output);
        ts_buf_release(&prompt);
    }
    put_extra(row, out);
    ts_jw_end_obj(&w);
    return TS_OK;
}

/* ---- openai: only what it takes, and only rows that pass its rules ---- */

static ts_status put_openai(const ts_row *row, ts_buf *out, ts_err *err) {
    static const char *const taken[] = {"tools", "functions", "parallel_tool_calls"};
    ts_buf made = TS_BUF_INIT, plain = TS_BUF_INIT, extra = TS_BUF_INIT;
    ts_openai_findings is;
    ts_jw w = ts_jw_to(&plain);
    ts_row_messages(row, &w, true); /* typed parts as plain text */
    ts_openai_look(plain.data, plain.len, &is);
    size_t rule = 0;
    while (rule < TS_OPENAI_RULES && !(is.found[rule] && ts_openai_rules[rule].error))
        rule++;
    ts_status status = TS_OK;
    if (rule < TS_OPENAI_RULES)
        status = ts_fail(err, TS_INVALID,
                         "row %lld is nothing that OpenAI takes: %s, %s; --where can leave "
                         "it out",
                         (long long)row->id, ts_openai_rules[rule].name, ts_openai_rules[rule].sentence);
    ts_buf_puts(out, "{\"messages\":");
    ts_buf_add(out, plain.data, plain.len);
    ts_buf_printf(&extra, "{%.*s}", (int)row->extra.n, row->extra.s ? row->extra.s : "");
    for (size_t i = 0; i < TS_COUNT(taken); i++) {
        ts_jview v = ts_jview_get(ts_jview_of(extra.data, extra.len), taken[i]);
        if (!v.p) continue;
        ts_buf_printf(out, ",\"%s\":", taken[i]);
        put_raw(out, v);
    }
    ts_buf_putc(out, '}');
    ts_buf_release(&made);
    ts_buf_release(&plain);
    ts_buf_release(&extra);
    return status;
}

/* ---- csv ---- */

static void put_field(ts_text text, ts_buf *out) {
    if (!text.s) return;
    if (text.n && !memchr(text.s, '"', text.n) && !memchr(text.s, ',', text.n) && !memchr(text.s, '\n', text.n) &&
        !memchr(text.s, '\r', text.n)) {
        ts_buf_add(out, text.s, text.n);
        return;
    }
    ts_buf_putc(out, '"');
    for (const char *p = text.s, *end = p + text.n; p < end;) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        const char *stop = quote ? quote + 1 : end;
        ts_buf_add(out, p, (size_t)(stop - p));
        if (quote) ts_buf_putc(out, '"');
        p = stop;
    }
    ts_buf_putc(out, '"');
}

void ts_write_csv_header(ts_buf *out) {
    ts_buf_puts(out, "instruction,input,output,system,messages,extra");
}

/* A conversation is its list alone: its texts beside it would make it a row of plain texts for whoever reads it. */
static ts_status put_csv(const ts_row *row, ts_buf *out, ts_err *err) {
    static const ts_text none = {NULL, 0};
    ts_buf extra = TS_BUF_INIT;
    bool plain = !row->messages.s;
    (void)err;
    if (row->extra.n) {
        ts_buf_putc(&extra, '{');
        ts_buf_add(&extra, row->extra.s, row->extra.n);
        ts_buf_putc(&extra, '}');
    }
    const ts_text fields[] = {plain ? row->instruction : none,
                              plain ? row->input : none,
                              plain ? row->output : none,
                              plain ? row->system : none,
                              row->messages,
                              {extra.data, extra.len}};
    for (size_t i = 0; i < TS_COUNT(fields); i++) {
        if (i) ts_buf_putc(out, ',');
        put_field(fields[i], out);
    }
    ts_buf_putc(out, '\r');
    ts_buf_release(&extra);
    return TS_OK;
}

/* ---- the table ---- */

const ts_writer ts_writers[] = {
    {"alpaca", "instruction, input, output; no conversations of several turns", false, put_alpaca},
    {"messages", "a list of role and content", false, put_messages},
    {"sharegpt", "conversations of from and value", false, put_sharegpt},
    {"completion", "prompt and completion, as texts or lists of messages", false, put_completion},
    {"openai", "messages, every row checked by OpenAI's rules", false, put_openai},
    {"csv", "a table of instruction, input, output, system, messages, extra", true, put_csv},
    {NULL, NULL, false, NULL},
};

const ts_writer *ts_writer_find(const char *name) {
    for (const ts_writer *w = ts_writers; w->name; w++)
        if (strcmp(w->name, name) == 0) return w;
    return NULL;
}
