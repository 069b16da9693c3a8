#include "dataset/formats.h"

#include "core/base/json.h"
#include "dataset/turns.h"

#include <stdlib.h>
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
    {"odd_quotes", "the quotes of the row do not match"},
    {"wrong_columns", "the row has not as many fields as the first line names"},
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

static const char *const not_text[TS_PARTS] = {"the instruction is not text", "the input is not text",
                                               "the answer is not text", "the system prompt is not text"};

static const char *read_plain(const ts_format *f, ts_jview row, ts_parts *p) {
    ts_buf *const to[TS_PARTS] = {&p->instruction, &p->input, &p->output, &p->system};
    bool have[TS_PARTS] = {false};
    ts_jview at = {0}, key, value;
    while (ts_jview_next(row, &at, &key, &value)) {
        int field = 0;
        while (field < TS_PARTS && !(f->names[field] && ts_jview_equals(key, f->names[field])))
            field++;
        if (field == TS_PARTS) {
            keep_member(p, key, value);
            continue;
        }
        if (ts_jview_kind(value) == 'n') continue; /* null: as if it were not there */
        p->detail = not_text[field];
        if (ts_jview_kind(value) != '"') return "not_text";
        ts_jview_string(value, to[field]);
        have[field] = true;
    }
    p->has_system = have[TS_PART_SYSTEM];
    p->detail = "";
    if (!have[TS_PART_OUTPUT]) return "missing_answer";
    bool asked = have[TS_PART_INSTRUCTION] || have[TS_PART_INPUT];
    return asked || !f->names[TS_PART_INSTRUCTION] ? NULL : "missing_instruction";
}

/* An instruction with a list of cases: the first one is the example; when there are more, all stay beside it. */
static const char *read_instances(const ts_format *f, ts_jview row, ts_parts *p) {
    ts_jview at = {0}, key, value, list = ts_jview_get(row, "instances"), first = {0};
    if (ts_jview_kind(list) != '[' || !ts_jview_next(list, &at, NULL, &first) || ts_jview_kind(first) != '{') {
        p->detail = "instances is no list of {\"input\",\"output\"}";
        return "missing_answer";
    }
    const char *fault = read_plain(f, first, p);
    if (fault && strcmp(fault, "missing_instruction") != 0) return fault;
    at = (ts_jview){0};
    while (ts_jview_next(row, &at, &key, &value)) {
        if (ts_jview_equals(key, f->needs[0])) {
            p->detail = not_text[TS_PART_INSTRUCTION];
            if (ts_jview_kind(value) != '"') return "not_text";
            ts_jview_string(value, &p->instruction);
        } else if (!ts_jview_equals(key, "instances") || ts_jview_count(list) > 1) {
            keep_member(p, key, value);
        }
    }
    p->detail = "";
    return NULL;
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
    while (ts_jview_next(row, &at, &key, &value)) {
        if (ts_jview_equals(key, f->needs[0]))
            messages = value;
        else
            keep_member(p, key, value);
    }
    const char *fault = take_turns(p, messages);
    if (!fault) ts_jview_compact(messages, &p->messages);
    return fault;
}

static void put_turns(ts_parts *p, ts_jview list) {
    ts_jview at = {0}, turn;
    while (ts_jview_next(list, &at, NULL, &turn)) {
        if (p->messages.len > 1) ts_buf_putc(&p->messages, ',');
        ts_jview_compact(turn, &p->messages);
    }
}

/* How many turns at their start two lists share. */
static size_t shared_turns(ts_jview a, ts_jview b) {
    ts_jview at_a = {0}, at_b = {0}, x, y;
    ts_buf one = TS_BUF_INIT, two = TS_BUF_INIT;
    size_t n = 0;
    while (ts_jview_next(a, &at_a, NULL, &x) && ts_jview_next(b, &at_b, NULL, &y)) {
        ts_buf_reset(&one);
        ts_buf_reset(&two);
        ts_jview_compact(x, &one);
        ts_jview_compact(y, &two);
        if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0) break;
        n++;
    }
    ts_buf_release(&one);
    ts_buf_release(&two);
    return n;
}

/* A prompt and its answer, each a text or a list of messages; an answer's list may hold the prompt too. What `rejected`
 * holds stays beside it. */
static const char *read_pair(const ts_format *f, ts_jview row, ts_parts *p) {
    ts_jview prompt = ts_jview_get(row, f->names[TS_PART_INSTRUCTION]);
    ts_jview answer = ts_jview_get(row, f->names[TS_PART_OUTPUT]), at = {0}, key, value;
    if (ts_jview_kind(answer) != '[' && ts_jview_kind(prompt) != '[') return read_plain(f, row, p);
    while (ts_jview_next(row, &at, &key, &value))
        if (!ts_jview_equals(key, f->names[TS_PART_INSTRUCTION]) && !ts_jview_equals(key, f->names[TS_PART_OUTPUT]))
            keep_member(p, key, value);
    bool whole = ts_jview_kind(prompt) == '[' && ts_jview_count(prompt) > 0 &&
                 shared_turns(prompt, answer) == ts_jview_count(prompt);
    /* a text as the prompt beside whole conversations repeats their first turn */
    bool repeats = ts_jview_kind(prompt) == '"' && ts_jview_count(answer) > 1;
    ts_buf_putc(&p->messages, '[');
    if (ts_jview_kind(prompt) == '"' && !repeats)
        ts_buf_printf(&p->messages, "{\"role\":\"user\",\"content\":%.*s}", (int)(prompt.end - prompt.p), prompt.p);
    if (!whole) put_turns(p, prompt);
    put_turns(p, answer);
    if (ts_jview_kind(answer) == '"')
        ts_buf_printf(&p->messages, ",{\"role\":\"assistant\",\"content\":%.*s}", (int)(answer.end - answer.p),
                      answer.p);
    ts_buf_putc(&p->messages, ']');
    return take_turns(p, ts_jview_of(p->messages.data, p->messages.len));
}

static const char *role_of(ts_jview from) {
    static const char *const roles[][2] = {
        {"human", "user"},        {"user", "user"},
        {"gpt", "assistant"},     {"developer", "developer"},
        {"function", "function"}, {"assistant", "assistant"},
        {"system", "system"},     {"tool", "tool"},
        {"observation", "tool"},  {"function_call", "assistant"},
        {"chatgpt", "assistant"}, {"bard", "assistant"},
        {"bing", "assistant"},
    };
    for (size_t i = 0; i < TS_COUNT(roles); i++)
        if (ts_jview_equals(from, roles[i][0])) return roles[i][1];
    return NULL;
}

/* A call of a function as people write it for training: the name of the turn stays, as "name". */
static bool is_call(ts_jview from) {
    return ts_jview_equals(from, "function_call") || ts_jview_equals(from, "observation");
}

/* {"from","value"} to {"role","content"}; the text stays as it was written, other members too. */
static const char *put_sharegpt_turn(ts_parts *p, ts_jview turn) {
    ts_jview from = ts_jview_get(turn, "from"), value = ts_jview_get(turn, "value");
    if (!from.p) from = ts_jview_get(turn, "role");
    if (!value.p) value = ts_jview_get(turn, "content");
    const char *role = role_of(from);
    p->detail = "a turn has no \"from\" or no \"value\"";
    if (!from.p || !value.p) return ts_jview_kind(turn) == '{' ? "message_missing_key" : "message_not_object";
    p->detail = "\"from\" is none of human, gpt, system, function_call, observation";
    if (!role) return "unrecognized_role";
    p->detail = "the value of a turn is not text";
    if (ts_jview_kind(value) != '"') return "missing_content";
    ts_buf_printf(&p->messages, "%s{\"role\":\"%s\",\"content\":", p->messages.len > 1 ? "," : "", role);
    ts_buf_add(&p->messages, value.p, (size_t)(value.end - value.p));
    if (is_call(from)) ts_buf_printf(&p->messages, ",\"name\":%.*s", (int)(from.end - from.p), from.p);
    ts_jview at = {0}, key, other;
    while (ts_jview_next(turn, &at, &key, &other)) {
        if (ts_jview_equals(key, "from") || ts_jview_equals(key, "value") || ts_jview_equals(key, "role") ||
            ts_jview_equals(key, "content") || (is_call(from) && ts_jview_equals(key, "name")))
            continue;
        ts_buf_putc(&p->messages, ',');
        ts_buf_add(&p->messages, key.p, (size_t)(key.end - key.p));
        ts_buf_putc(&p->messages, ':');
        ts_jview_compact(other, &p->messages);
    }
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
    p->detail = "conversations is not a list, or an empty one";
    if (ts_jview_kind(turns) != '[' || !ts_jview_count(turns)) return "missing_messages_list";
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

#define NEEDS(...) ((const char *const[]){__VA_ARGS__, NULL})

const ts_format ts_formats[] = {
    {"preference",
     "{\"prompt\",\"chosen\",\"rejected\"}",
     NEEDS("prompt", "chosen", "rejected"),
     read_pair,
     {"prompt", NULL, "chosen", "system"}},
    {"preference",
     "{\"question\",\"chosen\",\"rejected\"}",
     NEEDS("question", "chosen", "rejected"),
     read_pair,
     {"question", NULL, "chosen", "system"}},
    {"preference",
     "{\"instruction\",\"input\",\"chosen\",\"rejected\"}",
     NEEDS("instruction", "chosen", "rejected"),
     read_plain,
     {"instruction", "input", "chosen", "system"}},
    {"alpaca",
     "{\"instruction\",\"input\",\"output\"}",
     NEEDS("instruction", "output"),
     read_plain,
     {"instruction", "input", "output", "system"}},
    {"messages", "{\"messages\":[{\"role\",\"content\"},..]}", NEEDS("messages"), read_messages, {NULL}},
    {"sharegpt", "{\"conversations\":[{\"from\",\"value\"},..]}", NEEDS("conversations"), read_sharegpt, {NULL}},
    {"preference",
     "{\"chosen\":[messages],\"rejected\"}",
     NEEDS("chosen", "rejected"),
     read_pair,
     {"prompt", NULL, "chosen", "system"}},
    {"qa",
     "{\"question\",\"answer\"}",
     NEEDS("question", "answer"),
     read_plain,
     {"question", NULL, "answer", "system"}},
    {"qa",
     "{\"question\",\"response\"}",
     NEEDS("question", "response"),
     read_plain,
     {"question", NULL, "response", "system_prompt"}},
    {"completion",
     "{\"prompt\",\"completion\"}",
     NEEDS("prompt", "completion"),
     read_pair,
     {"prompt", NULL, "completion", "system"}},
    {"completion",
     "{\"prompt\",\"response\"}",
     NEEDS("prompt", "response"),
     read_pair,
     {"prompt", NULL, "response", "system"}},
    {"dolly",
     "{\"instruction\",\"context\",\"response\"}",
     NEEDS("instruction", "response"),
     read_plain,
     {"instruction", "context", "response", "system"}},
    {"self-instruct",
     "{\"instruction\",\"instances\":[{\"input\",\"output\"},..]}",
     NEEDS("instruction", "instances"),
     read_instances,
     {"instruction", "input", "output", NULL}},
    {"text", "{\"text\"}", NEEDS("text"), read_plain, {NULL, NULL, "text", NULL}},
    {NULL, NULL, NULL, NULL, {NULL}},
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

static bool same(const char *name, const char *s, size_t n) {
    return name && strlen(name) == n && memcmp(name, s, n) == 0;
}

bool ts_format_names(const char *column, size_t n) {
    for (const ts_format *f = ts_formats; f->name; f++) {
        for (size_t i = 0; f->needs[i]; i++)
            if (same(f->needs[i], column, n)) return true;
        for (size_t i = 0; i < TS_PARTS; i++)
            if (same(f->names[i], column, n)) return true;
    }
    return false;
}

void ts_format_list(ts_buf *out) {
    for (const ts_format *f = ts_formats; f->name; f++)
        if (ts_format_find(f->name) == f) ts_buf_printf(out, "%s%s", f == ts_formats ? "" : ", ", f->name);
}

/* ---- mappings ---- */

static bool is_number(const char *s) {
    return *s && strspn(s, "0123456789") == strlen(s);
}

static ts_status map_one(ts_mapping *m, const char *pair, ts_err *err) {
    static const char *const fields[] = {"instruction", "input", "output", "system", "messages"};
    const char *eq = strchr(pair, '=');
    size_t i = 0;
    while (eq && i < TS_COUNT(fields) && !same(fields[i], pair, (size_t)(eq - pair)))
        i++;
    if (!eq || !eq[1] || i == TS_COUNT(fields))
        return ts_fail(err, TS_INVALID,
                       "a mapping is FIELD=COLUMN with a FIELD of instruction, input, output, system, messages; not "
                       "\"%.60s\"",
                       pair);
    char **to = i < TS_PARTS ? &m->columns[i] : &m->list;
    if (*to) return ts_fail(err, TS_INVALID, "the field %s is mapped twice", fields[i]);
    *to = ts_strdup(eq + 1);
    m->by_number &= is_number(eq + 1);
    return TS_OK;
}

ts_status ts_mapping_make(ts_mapping *m, const char *const *pairs, size_t n, ts_err *err) {
    size_t needs = 0;
    *m = (ts_mapping){.by_number = true};
    for (size_t i = 0; i < n; i++)
        TS_TRY(map_one(m, pairs[i], err));
    if (m->list && (m->columns[TS_PART_OUTPUT] || m->columns[TS_PART_INSTRUCTION]))
        return ts_fail(err, TS_INVALID, "map either messages or the single texts, not both");
    if (!m->list && !m->columns[TS_PART_OUTPUT])
        return ts_fail(err, TS_INVALID, "a mapping must say which column is the answer: output=COLUMN");
    m->format = (ts_format){"mapped", "by --map", m->needs, m->list ? read_messages : read_plain, {NULL}};
    if (m->list) m->needs[needs++] = m->list;
    for (size_t i = 0; i < TS_PARTS; i++) {
        m->format.names[i] = m->columns[i];
        if (m->columns[i] && (i == TS_PART_OUTPUT || i == TS_PART_INSTRUCTION)) m->needs[needs++] = m->columns[i];
    }
    return TS_OK;
}

void ts_mapping_release(ts_mapping *m) {
    for (size_t i = 0; i < TS_PARTS; i++)
        free(m->columns[i]);
    free(m->list);
    *m = (ts_mapping){0};
}
