#include "dataset/turns.h"

#include "core/base/json.h"

#include <string.h>

static const char *const roles[] = {"system", "user", "assistant", "tool", "function", "developer"};

bool ts_turn_text(ts_jview content, ts_buf *out) {
    if (ts_jview_kind(content) == '"') {
        ts_jview_string(content, out);
        return true;
    }
    if (ts_jview_kind(content) != '[') return false;
    ts_jview at = {0}, part;
    while (ts_jview_next(content, &at, NULL, &part)) {
        ts_jview text = ts_jview_get(part, "text");
        if (!text.p) text = ts_jview_get(part, "value");
        if (ts_jview_kind(text) != '"' || !ts_jview_equals(ts_jview_get(part, "type"), "text")) return false;
        ts_jview_string(text, out);
    }
    return true;
}

static bool known_role(ts_jview role) {
    for (size_t i = 0; i < TS_COUNT(roles); i++)
        if (ts_jview_equals(role, roles[i])) return true;
    return false;
}

static const char *message_fault(ts_jview m, bool *answered, const char **detail) {
    if (ts_jview_kind(m) != '{') {
        *detail = "a message is not an object";
        return "message_not_object";
    }
    ts_jview role = ts_jview_get(m, "role"), content = ts_jview_get(m, "content");
    bool calls = ts_jview_kind(ts_jview_get(m, "tool_calls")) == '[' || ts_jview_get(m, "function_call").p;
    if (!role.p || (!content.p && !calls)) {
        *detail = role.p ? "a message has no content" : "a message has no role";
        return "message_missing_key";
    }
    if (!known_role(role)) {
        *detail = "the role is none of system, user, assistant, tool, function, developer";
        return "unrecognized_role";
    }
    ts_buf text = TS_BUF_INIT;
    bool readable = ts_turn_text(content, &text);
    bool answer = ts_jview_equals(role, "assistant");
    ts_buf_release(&text);
    if (!readable && !(calls && (!content.p || ts_jview_kind(content) == 'n'))) {
        *detail = "the content of a message is not text";
        return "missing_content";
    }
    *answered |= answer;
    return NULL;
}

const char *ts_turns_fault(ts_jview messages, const char **detail) {
    ts_jview at = {0}, m;
    bool answered = false;
    *detail = "";
    if (ts_jview_kind(messages) != '[') {
        *detail = "messages is not a list";
        return "missing_messages_list";
    }
    while (ts_jview_next(messages, &at, NULL, &m)) {
        const char *fault = message_fault(m, &answered, detail);
        if (fault) return fault;
    }
    if (!at.p) {
        *detail = "the list of messages is empty";
        return "missing_messages_list";
    }
    if (answered) return NULL;
    *detail = "no message has the role assistant, so there is nothing to learn";
    return "example_missing_assistant_message";
}

void ts_turns_fields(ts_jview messages, ts_buf *instruction, ts_buf *output, ts_buf *system, bool *has_system) {
    ts_jview at = {0}, m;
    *has_system = false;
    while (ts_jview_next(messages, &at, NULL, &m)) {
        ts_jview role = ts_jview_get(m, "role");
        bool is_system = ts_jview_equals(role, "system");
        ts_buf *to = ts_jview_equals(role, "user")        ? instruction
                     : ts_jview_equals(role, "assistant") ? output
                     : is_system                          ? system
                                                          : NULL;
        if (!to) continue;
        if (to->len) ts_buf_puts(to, "\n\n");
        ts_turn_text(ts_jview_get(m, "content"), to);
        *has_system |= is_system;
    }
}

static void put_message(ts_jw *w, ts_jview m, const char *text, size_t n) {
    ts_jview at = {0}, key, value;
    ts_jw_obj(w);
    while (ts_jview_next(m, &at, &key, &value)) {
        ts_buf name = TS_BUF_INIT, raw = TS_BUF_INIT;
        ts_jview_string(key, &name);
        ts_jview_compact(value, &raw);
        ts_jw_key(w, ts_buf_str(&name));
        if (strcmp(ts_buf_str(&name), "content") == 0)
            ts_jw_strn(w, text, n);
        else
            ts_jw_raw(w, raw.data, raw.len);
        ts_buf_release(&name);
        ts_buf_release(&raw);
    }
    ts_jw_end_obj(w);
}

ts_status ts_turns_replace(ts_jview messages, const char *role, const char *text, size_t n, ts_buf *out, ts_err *err) {
    ts_jview at = {0}, m;
    size_t found = 0;
    while (ts_jview_next(messages, &at, NULL, &m))
        found += ts_jview_equals(ts_jview_get(m, "role"), role);
    if (found != 1)
        return ts_fail(
            err, TS_INVALID,
            "the conversation has %zu turns of the role %s, so it is not clear which one is meant; change the "
            "field messages instead",
            found, role);
    ts_jw w = ts_jw_to(out);
    at = (ts_jview){0};
    ts_jw_arr(&w);
    while (ts_jview_next(messages, &at, NULL, &m)) {
        if (ts_jview_equals(ts_jview_get(m, "role"), role)) {
            put_message(&w, m, text, n);
            continue;
        }
        ts_buf raw = TS_BUF_INIT;
        ts_jview_compact(m, &raw);
        ts_jw_raw(&w, raw.data, raw.len);
        ts_buf_release(&raw);
    }
    ts_jw_end_arr(&w);
    return TS_OK;
}
