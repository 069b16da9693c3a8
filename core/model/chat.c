/* From messages to a rendering with spans, from spans to labels. */
#include "core/model/chat.h"

#include "core/model/chat_templates.h"
#include "core/model/jinja.h"

#include <stdlib.h>
#include <string.h>

#define MAX_WEIGHT 1e6

struct ts_chat {
    const ts_tokenizer *t;
    ts_jinja *jinja;
    int32_t end_of_turn;
    const char *begin, *end; /* text_begin and turn_end of chat_templates.h, borrowed from t */
};

enum { FIXED_VARS = 8, VARS_MAX = 64 };

void ts_rendered_release(ts_rendered *r) {
    ts_buf_release(&r->text);
    free(r->spans);
    *r = (ts_rendered){0};
}

void ts_example_release(ts_example *e) {
    ts_ids_release(&e->ids);
    ts_ids_release(&e->labels);
    free(e->weights);
    e->weights = NULL;
    e->supervised = 0;
}

int32_t ts_chat_end_of_turn(const ts_chat *c) {
    return c->end_of_turn;
}

/* ---- messages ---- */

static const char *role_of(const ts_json *messages, int i) {
    const ts_json *m = ts_json_child(messages);
    while (i-- > 0)
        m = ts_json_next(m);
    return ts_json_str(ts_json_get(m, "role"), "");
}

/* What no template can do anything sensible with. */
static ts_status check_messages(const ts_json *messages, ts_err *err) {
    size_t i = 0;
    if (!ts_json_is_array(messages)) return ts_fail(err, TS_INVALID, "the messages should be an array");
    for (const ts_json *m = ts_json_child(messages); m; m = ts_json_next(m), i++) {
        const char *role = ts_json_str(ts_json_get(m, "role"), NULL);
        const ts_json *content = ts_json_get(m, "content");
        if (!ts_json_is_object(m)) return ts_fail(err, TS_INVALID, "message %zu is not an object", i + 1);
        if (!role) return ts_fail(err, TS_INVALID, "message %zu has no role", i + 1);
        bool has_content = ts_json_is_string(content) || ts_json_is_array(content) || ts_json_is_object(content);
        if (!has_content && !ts_json_get(m, "tool_calls"))
            return ts_fail(err, TS_INVALID, "message %zu (%.40s) has no content that is a text", i + 1, role);
    }
    return TS_OK;
}

/* ---- rendering ---- */

static void add_span(ts_rendered *out, size_t start, size_t end, int message) {
    ts_chat_span s = {start, end, message};
    TS_PUSH(out->spans, out->n_spans, out->cap_spans, s);
}

/* The first message after `last` that is the assistant's: a generation block that shows no content of its own. */
static int next_assistant(const ts_json *messages, int last) {
    int i = 0;
    for (const ts_json *m = ts_json_child(messages); m; m = ts_json_next(m), i++)
        if (i > last && strcmp(ts_json_str(ts_json_get(m, "role"), ""), "assistant") == 0) return i;
    return last;
}

/* Runs that touch are one block; its message is the first that any of it came from. */
static void generation_spans(const ts_jinja_output *o, const ts_json *messages, ts_rendered *out) {
    int last = -1;
    for (size_t i = 0, next; i < o->n_runs; i = next) {
        next = i + 1;
        if (!o->runs[i].generation) continue;
        int message = o->runs[i].source;
        for (; next < o->n_runs && o->runs[next].generation && o->runs[next].start == o->runs[next - 1].end; next++)
            if (message < 0) message = o->runs[next].source;
        last = message >= 0 ? message : next_assistant(messages, last);
        add_span(out, o->runs[i].start, o->runs[next - 1].end, last);
    }
}

static void take_output(ts_jinja_output *o, const ts_json *messages, ts_rendered *out) {
    for (size_t i = 0; i < o->n_runs; i++)
        out->generation = out->generation || o->runs[i].generation;
    if (out->generation)
        generation_spans(o, messages, out);
    else
        for (size_t i = 0; i < o->n_runs; i++)
            add_span(out, o->runs[i].start, o->runs[i].end, o->runs[i].source);
    ts_buf_release(&out->text);
    out->text = o->text;
    o->text = (ts_buf)TS_BUF_INIT;
}

/* The variables that transformers gives a template, and two of our own. */
static size_t fixed_vars(const ts_chat *c, const ts_json *messages, bool add_generation_prompt, ts_jinja_var *v) {
    int32_t bos = ts_tokenizer_bos(c->t), eos = ts_tokenizer_eos(c->t);
    v[0] = (ts_jinja_var){.name = "messages", .json = messages, .tracked = true};
    v[1] = (ts_jinja_var){.name = "add_generation_prompt", .truth = add_generation_prompt};
    v[2] = (ts_jinja_var){.name = "bos_token", .text = ts_tokenizer_token(c->t, bos)};
    v[3] = (ts_jinja_var){.name = "eos_token", .text = ts_tokenizer_token(c->t, eos)};
    v[4] = (ts_jinja_var){.name = "tools", .none = true};
    v[5] = (ts_jinja_var){.name = "documents", .none = true};
    v[6] = (ts_jinja_var){.name = "text_begin", .text = c->begin};
    v[7] = (ts_jinja_var){.name = "turn_end", .text = c->end};
    return FIXED_VARS;
}

ts_status ts_chat_render(const ts_chat *c, const ts_json *messages, bool add_generation_prompt, const ts_json *vars,
                         ts_rendered *out, ts_err *err) {
    ts_jinja_var all[VARS_MAX];
    ts_jinja_output output = {0};
    TS_TRY(check_messages(messages, err));
    size_t n = fixed_vars(c, messages, add_generation_prompt, all);
    for (const ts_json *v = ts_json_child(vars); v; v = ts_json_next(v)) {
        if (n == VARS_MAX) return ts_fail(err, TS_LIMIT, "more than %d template variables", VARS_MAX - FIXED_VARS);
        all[n++] = (ts_jinja_var){.name = ts_json_key(v), .json = v};
    }
    ts_rendered_release(out);
    ts_status status = ts_jinja_render(c->jinja, all, n, &output, err);
    if (status == TS_OK) take_output(&output, messages, out);
    ts_jinja_output_release(&output);
    return status;
}

/* ---- labels ---- */

/* First token that begins at or behind byte `at`. */
static size_t token_at(const ts_ids *starts, size_t at) {
    size_t low = 0, high = starts->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if ((size_t)starts->items[mid] < at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool only_space(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r\n", s[i])) return false;
    return true;
}

/* Does the token in front of `first` hold the first word of the span behind white space of the template? */
static bool holds_first_word(const ts_ids *starts, size_t first, const ts_chat_span *s, const ts_buf *text) {
    if (first == 0) return false;
    size_t begin = (size_t)starts->items[first - 1], end = first < starts->n ? (size_t)starts->items[first] : text->len;
    end = TS_MIN(end, s->end);
    return end > s->start && only_space(text->data + begin, s->start - begin) &&
           !only_space(text->data + s->start, end - s->start);
}

static void label(ts_example *e, size_t i, float weight) {
    e->labels.items[i] = e->ids.items[i];
    if (e->weights) e->weights[i] = weight;
}

static void label_span(ts_example *e, const ts_ids *starts, const ts_chat_span *s, const ts_buf *text, float weight) {
    size_t first = token_at(starts, s->start), end = token_at(starts, s->end);
    first -= holds_first_word(starts, first, s, text);
    for (size_t i = first; i < end; i++)
        label(e, i, weight);
}

/* The token that ends the turn: the first of its kind behind the message's last span and before other content. */
static void label_end(const ts_chat *c, ts_example *e, const ts_ids *starts, const ts_rendered *r, size_t span,
                      float weight) {
    size_t end = r->spans[span].end, limit = span + 1 < r->n_spans ? r->spans[span + 1].start : r->text.len;
    for (size_t i = token_at(starts, end); i < e->ids.n && (size_t)starts->items[i] < limit; i++) {
        if (e->ids.items[i] != c->end_of_turn) continue;
        label(e, i, weight);
        return;
    }
}

/* The weight of message `index`: 1 unless it says another. */
static ts_status weight_of(const ts_json *messages, int index, float *out, ts_err *err) {
    const ts_json *m = ts_json_child(messages);
    for (int i = 0; i < index && m; i++)
        m = ts_json_next(m);
    const ts_json *w = ts_json_get(m, "weight");
    *out = 1;
    if (!w || ts_json_is_null(w)) return TS_OK;
    double value = ts_json_num(w, -1);
    if (!ts_json_is_number(w) || !(value >= 0 && value <= MAX_WEIGHT))
        return ts_fail(err, TS_FORMAT, "the weight of message %d is no number from 0 to %g", index + 1, MAX_WEIGHT);
    *out = (float)value;
    return TS_OK;
}

/* All ones, where a message has a weight that is neither 0 nor 1. */
static ts_status make_weights(const ts_json *messages, ts_example *e, ts_err *err) {
    bool any = false;
    int index = 0;
    for (const ts_json *m = ts_json_child(messages); m; m = ts_json_next(m), index++) {
        float w;
        TS_TRY(weight_of(messages, index, &w, err));
        any = any || (w > 0 && w != 1);
    }
    if (!any) return TS_OK;
    e->weights = ts_malloc((e->ids.n + 1) * sizeof *e->weights);
    for (size_t i = 0; i < e->ids.n; i++)
        e->weights[i] = 1;
    return TS_OK;
}

static void label_all(const ts_chat *c, const ts_json *messages, const ts_rendered *r, const ts_ids *starts,
                      ts_example *e) {
    for (size_t i = 0; i < r->n_spans; i++) {
        const ts_chat_span *s = &r->spans[i];
        bool last = i + 1 == r->n_spans || r->spans[i + 1].message != s->message;
        if (!r->generation && strcmp(role_of(messages, s->message), "assistant") != 0) continue;
        float weight = 1;
        if (weight_of(messages, s->message, &weight, NULL) != TS_OK || weight <= 0) continue; /* checked before */
        label_span(e, starts, s, &r->text, weight);
        if (last && !r->generation && c->end_of_turn >= 0) label_end(c, e, starts, r, i, weight);
    }
    for (size_t i = 1; i < e->labels.n; i++)
        e->supervised += e->labels.items[i] != TS_NO_LABEL;
}

ts_status ts_chat_example(const ts_chat *c, const ts_json *messages, const ts_json *vars, ts_example *out,
                          ts_err *err) {
    ts_rendered r = {0};
    ts_ids starts = {0};
    ts_example_release(out);
    TS_TRY(ts_chat_render(c, messages, false, vars, &r, err));
    ts_tokenizer_encode(c->t, ts_buf_str(&r.text), r.text.len, false, &out->ids, &starts);
    for (size_t i = 0; i < out->ids.n; i++)
        TS_PUSH(out->labels.items, out->labels.n, out->labels.cap, (int32_t)TS_NO_LABEL);
    ts_status status = make_weights(messages, out, err);
    if (status == TS_OK) label_all(c, messages, &r, &starts, out);
    ts_ids_release(&starts);
    ts_rendered_release(&r);
    if (status != TS_OK) ts_example_release(out);
    return status;
}

ts_status ts_chat_prompt(const ts_chat *c, const ts_json *messages, const ts_json *vars, ts_ids *ids, ts_err *err) {
    ts_rendered r = {0};
    TS_TRY(ts_chat_render(c, messages, true, vars, &r, err));
    ts_tokenizer_encode(c->t, ts_buf_str(&r.text), r.text.len, false, ids, NULL);
    ts_rendered_release(&r);
    return TS_OK;
}

/* ---- opening ---- */

/* The special token that stands behind an assistant's answer, white space between them allowed. */
static int32_t probe(const ts_chat *c, const char *conversation) {
    ts_rendered r = {0};
    ts_ids ids = {0}, starts = {0};
    ts_err err;
    int32_t found = -1;
    ts_json *messages = ts_json_parse(conversation, strlen(conversation), &err);
    if (ts_chat_render(c, messages, false, NULL, &r, &err) != TS_OK || !r.n_spans) goto out;
    size_t end = 0;
    for (size_t i = 0; i < r.n_spans; i++)
        if (strcmp(role_of(messages, r.spans[i].message), "assistant") == 0) end = r.spans[i].end;
    ts_tokenizer_encode(c->t, ts_buf_str(&r.text), r.text.len, false, &ids, &starts);
    if (end && r.generation) { /* the block holds the token itself */
        size_t i = token_at(&starts, end);
        if (i && ts_tokenizer_is_special(c->t, ids.items[i - 1])) found = ids.items[i - 1];
    }
    for (size_t i = token_at(&starts, end); end && found < 0 && i < ids.n; i++) {
        if (!only_space(r.text.data + end, (size_t)starts.items[i] - end)) break;
        if (ts_tokenizer_is_special(c->t, ids.items[i]) || ids.items[i] == ts_tokenizer_eos(c->t)) found = ids.items[i];
    }
out:
    ts_json_free(messages);
    ts_rendered_release(&r);
    ts_ids_release(&ids);
    ts_ids_release(&starts);
    return found;
}

static int32_t find_end_of_turn(const ts_chat *c) {
    static const char *const conversations[] = {
        "[{\"role\":\"user\",\"content\":\"Good day.\"},{\"role\":\"assistant\",\"content\":\"Hello.\"}]",
        "[{\"role\":\"system\",\"content\":\"Be kind.\"},{\"role\":\"user\",\"content\":\"Good day.\"},"
        "{\"role\":\"assistant\",\"content\":\"Hello.\"}]",
        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Good day.\"}]},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"Hello.\"}]}]",
    };
    int32_t found = -1;
    for (size_t i = 0; i < TS_COUNT(conversations) && found < 0; i++)
        found = probe(c, conversations[i]);
    return found;
}

/* What our own templates put at the start and behind an answer. */
static void find_ends(ts_chat *c) {
    ts_ids none = {0};
    int32_t bos = ts_tokenizer_bos(c->t), end = ts_tokenizer_id(c->t, "<|im_end|>");
    ts_tokenizer_encode(c->t, "", 0, true, &none, NULL);
    c->begin = none.n && none.items[0] == bos ? ts_tokenizer_token(c->t, bos) : "";
    c->end = ts_tokenizer_token(c->t, ts_tokenizer_is_special(c->t, end) ? end : ts_tokenizer_eos(c->t));
    ts_ids_release(&none);
}

static void set_variable(const char *name, const char *text, const char *source, ts_buf *out) {
    if (!strstr(source, name)) return;
    ts_buf_printf(out, "{%%- set %s = '", name);
    for (; *text; text++) {
        if (strchr("'\\", *text)) ts_buf_putc(out, '\\');
        ts_buf_putc(out, *text);
    }
    ts_buf_puts(out, "' %}");
}

void ts_chat_template_portable(const ts_tokenizer *t, const char *source, ts_buf *out) {
    ts_chat c = {.t = t};
    find_ends(&c);
    set_variable("text_begin", c.begin, source, out);
    set_variable("turn_end", c.end, source, out);
    ts_buf_puts(out, source);
}

static ts_status no_template(ts_err *err) {
    char names[TS_TEMPLATE_NAMES];
    ts_chat_template_names(names);
    return ts_fail(
        err, TS_NOT_FOUND,
        "the model has no chat template (it is a base model), so conversations cannot be put into its words; "
        "choose one with --template or the setting template: %s, or a file with Jinja",
        names);
}

ts_status ts_chat_open(ts_chat **out, const ts_tokenizer *t, const char *source, ts_err *err) {
    *out = NULL;
    if (!source) source = ts_tokenizer_template(t);
    if (!source) return no_template(err);
    ts_chat *c = ts_calloc(1, sizeof *c);
    c->t = t;
    find_ends(c);
    ts_status status = ts_jinja_parse(&c->jinja, source, strlen(source), err);
    if (status != TS_OK) {
        ts_chat_free(c);
        return status;
    }
    c->end_of_turn = find_end_of_turn(c);
    *out = c;
    return TS_OK;
}

void ts_chat_free(ts_chat *c) {
    if (!c) return;
    ts_jinja_free(c->jinja);
    free(c);
}
