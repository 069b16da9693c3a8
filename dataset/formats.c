#include "dataset/formats.h"

#include "core/base/json.h"
#include "dataset/turns.h"

#include <string.h>

const ts_reason ts_reasons[] = {
    {"not_json", "the row is not valid JSON"},
    {"cut", "the row ends in the middle"},
    {"bad_utf8", "the row has bytes that are not UTF-8"},
    {"nul_character", "the row has a NUL character"},
    {"half_surrogate", "the row has half of a surrogate pair (\\ud83d without its other half)"},
    {"too_deep", "the row is nested more than 100 deep"},
    {"duplicate_key", "the row names a member twice"},
    {"too_large", "the row is larger than 64 MB"},
    {"data_type", "the row is not an object"},
    {"missing_instruction", "the row has no instruction"},
    {"missing_answer", "the row has no answer"},
    {"not_text", "a field that must be text is not"},
    {"missing_messages_list", "the row has no list of messages, or an empty one"},
    {"message_not_object", "a message is not an object"},
    {"message_missing_key", "a message has no role or no content"},
    {"unrecognized_role", "a message has a role we do not know"},
    {"missing_content", "a message has no text as its content"},
    {"example_missing_assistant_message", "no message is from the assistant"},
    {"known", "the row is there already (--skip-known)"},
    {NULL, NULL},
};

const char *ts_reason_sentence(const char *code) {
    for (size_t i = 0; ts_reasons[i].code; i++)
        if (strcmp(ts_reasons[i].code, code) == 0) return ts_reasons[i].sentence;
    return "";
}

const char *ts_reason_of_fault(ts_json_fault fault) {
    static const char *const codes[] = {
        [TS_JSON_FINE] = NULL,           [TS_JSON_BROKEN] = "not_json",
        [TS_JSON_CUT] = "cut",           [TS_JSON_UTF8] = "bad_utf8",
        [TS_JSON_NUL] = "nul_character", [TS_JSON_SURROGATE] = "half_surrogate",
        [TS_JSON_DEEP] = "too_deep",     [TS_JSON_DUPLICATE_KEY] = "duplicate_key",
    };
    return codes[fault];
}

/* ---- parts ---- */

void ts_parts_reset(ts_parts *p) {
    ts_buf *const bufs[] = {&p->instruction, &p->input, &p->output, &p->system, &p->messages, &p->extra};
    for (size_t i = 0; i < TS_COUNT(bufs); i++)
        ts_buf_reset(bufs[i]);
    p->has_system = p->is_messages = false;
    p->detail = "";
}

void ts_parts_release(ts_parts *p) {
    ts_buf *const bufs[] = {&p->instruction, &p->input, &p->output, &p->system, &p->messages, &p->extra};
    for (size_t i = 0; i < TS_COUNT(bufs); i++)
        ts_buf_release(bufs[i]);
}

static ts_text text_of(const ts_buf *b) {
    return (ts_text){ts_buf_str(b), b->len};
}

ts_draft ts_parts_draft(const ts_parts *p) {
    static const ts_text none = {NULL, 0};
    return (ts_draft){.instruction = text_of(&p->instruction),
                      .input = text_of(&p->input),
                      .output = text_of(&p->output),
                      .system = p->has_system ? text_of(&p->system) : none,
                      .messages = p->is_messages ? text_of(&p->messages) : none,
                      .extra = p->extra.len ? text_of(&p->extra) : none};
}

/* Appends a member that we do not know, as it was written. */
static void keep_member(ts_parts *p, ts_jview key, ts_jview value) {
    if (p->extra.len) ts_buf_putc(&p->extra, ',');
    ts_buf_add(&p->extra, key.p, (size_t)(key.end - key.p));
    ts_buf_putc(&p->extra, ':');
    ts_jview_compact(value, &p->extra);
}

/* ---- formats of plain fields ---- */

enum { INSTRUCTION, INPUT, OUTPUT, SYSTEM, PLAIN_FIELDS };

static const char *const not_text[PLAIN_FIELDS] = {"the instruction is not text", "the input is not text",
                                                   "the answer is not text", "the system prompt is not text"};

static const char *read_plain(const ts_format *f, ts_jview row, ts_parts *p) {
    ts_buf *const to[PLAIN_FIELDS] = {&p->instruction, &p->input, &p->output, &p->system};
    bool have[PLAIN_FIELDS] = {false};
    ts_jview at = {0}, key, value;
    while (ts_jview_next(row, &at, &key, &value)) {
        int field = 0;
        while (field < PLAIN_FIELDS && !(f->names[field] && ts_jview_equals(key, f->names[field])))
            field++;
        if (field == PLAIN_FIELDS) {
            keep_member(p, key, value);
            continue;
        }
        if (ts_jview_kind(value) == 'n') continue; /* null: as if it were not there */
        p->detail = not_text[field];
        if (ts_jview_kind(value) != '"') return "not_text";
        ts_jview_string(value, to[field]);
        have[field] = true;
    }
    p->has_system = have[SYSTEM];
    p->detail = "";
    if (!have[OUTPUT]) return "missing_answer";
    return have[INSTRUCTION] || have[INPUT] ? NULL : "missing_instruction";
}

/* ---- conversations ---- */

static const char *take_turns(ts_parts *p, ts_jview messages) {
    const char *fault = ts_turns_fault(messages, &p->detail);
    if (fault) return fault;
    p->is_messages = true;
    ts_turns_fields(messages, &p->instruction, &p->output, &p->system, &p->has_system);
    return NULL;
}

static const char *read_messages(const ts_format *f, ts_jview row, ts_parts *p) {
    ts_jview at = {0}, key, value, messages = {0};
    (void)f;
    while (ts_jview_next(row, &at, &key, &value)) {
        if (ts_jview_equals(key, "messages"))
            messages = value;
        else
            keep_member(p, key, value);
    }
    const char *fault = take_turns(p, messages);
    if (!fault) ts_jview_compact(messages, &p->messages);
    return fault;
}

static const char *role_of(ts_jview from) {
    static const char *const roles[][2] = {
        {"human", "user"},        {"user", "user"},      {"gpt", "assistant"},    {"assistant", "assistant"},
        {"system", "system"},     {"tool", "tool"},      {"observation", "tool"}, {"function_call", "assistant"},
        {"chatgpt", "assistant"}, {"bard", "assistant"}, {"bing", "assistant"},
    };
    for (size_t i = 0; i < TS_COUNT(roles); i++)
        if (ts_jview_equals(from, roles[i][0])) return roles[i][1];
    return NULL;
}

/* {"from","value"} to {"role","content"}; the text stays as it was written. */
static const char *put_sharegpt_turn(ts_parts *p, ts_jview turn) {
    ts_jview from = ts_jview_get(turn, "from"), value = ts_jview_get(turn, "value");
    const char *role = role_of(from);
    p->detail = "a turn has no \"from\" or no \"value\"";
    if (!from.p || !value.p) return ts_jview_kind(turn) == '{' ? "message_missing_key" : "message_not_object";
    p->detail = "\"from\" is none of human, gpt, system, function_call, observation";
    if (!role) return "unrecognized_role";
    p->detail = "the value of a turn is not text";
    if (ts_jview_kind(value) != '"') return "missing_content";
    ts_buf_printf(&p->messages, "%s{\"role\":\"%s\",\"content\":", p->messages.len > 1 ? "," : "", role);
    ts_buf_add(&p->messages, value.p, (size_t)(value.end - value.p));
    ts_buf_putc(&p->messages, '}');
    return NULL;
}

static const char *read_sharegpt(const ts_format *f, ts_jview row, ts_parts *p) {
    ts_jview at = {0}, key, value, turns = {0}, system = {0}, chosen = {0}, turn;
    while (ts_jview_next(row, &at, &key, &value)) {
        if (ts_jview_equals(key, f->needs[0]))
            turns = value;
        else if (ts_jview_equals(key, "system") && ts_jview_kind(value) == '"')
            system = value;
        else if (ts_jview_equals(key, "chosen") && ts_jview_kind(value) == '{')
            chosen = value; /* a preference pair: its answer; `rejected` stays beside it */
        else
            keep_member(p, key, value);
    }
    p->detail = "conversations is not a list";
    if (ts_jview_kind(turns) != '[') return "missing_messages_list";
    ts_buf_putc(&p->messages, '[');
    if (system.p && system.end - system.p > 2)
        ts_buf_printf(&p->messages, "{\"role\":\"system\",\"content\":%.*s}", (int)(system.end - system.p), system.p);
    at = (ts_jview){0};
    while (ts_jview_next(turns, &at, NULL, &turn)) {
        const char *fault = put_sharegpt_turn(p, turn);
        if (fault) return fault;
    }
    const char *fault = chosen.p ? put_sharegpt_turn(p, chosen) : NULL;
    if (fault) return fault;
    ts_buf_putc(&p->messages, ']');
    return take_turns(p, ts_jview_of(p->messages.data, p->messages.len));
}

/* ---- the table; where several fit, the first wins ---- */

static const char *const needs_messages[] = {"messages", NULL};
static const char *const needs_conversations[] = {"conversations", NULL};
static const char *const needs_alpaca[] = {"instruction", "output", NULL};
static const char *const needs_qa[] = {"question", "answer", NULL};
static const char *const needs_completion[] = {"prompt", "completion", NULL};
static const char *const needs_response[] = {"instruction", "response", NULL};
static const char *const names_alpaca[] = {"instruction", "input", "output", "system"};
static const char *const names_qa[] = {"question", NULL, "answer", NULL};
static const char *const names_completion[] = {"prompt", NULL, "completion", NULL};
static const char *const names_response[] = {"instruction", "context", "response", "system"};

const ts_format ts_formats[] = {
    {"alpaca", "{\"instruction\",\"input\",\"output\"}", needs_alpaca, read_plain, names_alpaca},
    {"messages", "{\"messages\":[{\"role\",\"content\"},..]}", needs_messages, read_messages, NULL},
    {"sharegpt", "{\"conversations\":[{\"from\",\"value\"},..]}", needs_conversations, read_sharegpt, NULL},
    {"qa", "{\"question\",\"answer\"}", needs_qa, read_plain, names_qa},
    {"completion", "{\"prompt\",\"completion\"}", needs_completion, read_plain, names_completion},
    {"dolly", "{\"instruction\",\"context\",\"response\"}", needs_response, read_plain, names_response},
    {NULL, NULL, NULL, NULL, NULL},
};

const ts_format *ts_format_find(const char *name) {
    for (const ts_format *f = ts_formats; f->name; f++)
        if (strcmp(f->name, name) == 0) return f;
    return NULL;
}

bool ts_format_fits(const ts_format *f, ts_jview row) {
    if (ts_jview_kind(row) != '{') return false;
    for (size_t i = 0; f->needs[i]; i++)
        if (!ts_jview_get(row, f->needs[i]).p) return false;
    return true;
}
