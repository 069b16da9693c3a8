#include "eval/prompts.h"

#include "core/base/file.h"
#include "dataset/view.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PROMPT_FILE = 1 << 28, ROWS_AT_ONCE = 64 };

static void put_turn(ts_jw *w, const char *role, const char *text, size_t n) {
    ts_jw_obj(w);
    ts_jw_kstr(w, "role", role);
    ts_jw_key(w, "content");
    ts_jw_strn(w, text, n);
    ts_jw_end_obj(w);
}

static void push(ts_compare *c, const char *shown, size_t n, ts_buf *messages, const char *reference, int64_t example) {
    ts_prompt p = {.text = ts_strndup(shown, n),
                   .messages = ts_buf_take(messages),
                   .reference = reference && *reference ? ts_strdup(reference) : NULL,
                   .example = example};
    TS_PUSH(c->prompts, c->n_prompts, c->cap_prompts, p);
}

/* A system turn (system NULL: none) and a user turn. */
static void push_plain(ts_compare *c, ts_text system, ts_text user, ts_text input, const char *reference,
                       int64_t example) {
    ts_buf messages = TS_BUF_INIT, prompt = TS_BUF_INIT;
    ts_buf_add(&prompt, user.s, user.n);
    if (input.n) ts_buf_putc(&prompt, '\n');
    ts_buf_add(&prompt, input.s ? input.s : "", input.n);
    ts_jw w = ts_jw_to(&messages);
    ts_jw_arr(&w);
    if (system.s) put_turn(&w, "system", system.s, system.n);
    put_turn(&w, "user", ts_buf_str(&prompt), prompt.len);
    ts_jw_end_arr(&w);
    push(c, ts_buf_str(&prompt), prompt.len, &messages, reference, example);
    ts_buf_release(&prompt);
}

static bool has_role(const ts_json *message, const char *role) {
    return strcmp(ts_json_str(ts_json_get(message, "role"), ""), role) == 0;
}

/* A conversation: its last turn, when it is the assistant's, is the reference. */
static ts_status push_messages(ts_compare *c, const ts_json *list, int64_t example, ts_err *err) {
    size_t n = ts_json_count(list), i = 0, asked;
    const ts_json *last = NULL, *user = NULL;
    ts_buf messages = TS_BUF_INIT;
    for (const ts_json *m = ts_json_child(list); m; m = ts_json_next(m))
        last = m;
    bool reference = has_role(last, "assistant");
    asked = n - (reference ? 1 : 0);
    ts_buf_putc(&messages, '[');
    for (const ts_json *m = ts_json_child(list); m && i < asked; m = ts_json_next(m), i++) {
        if (i) ts_buf_putc(&messages, ',');
        ts_json_print(m, &messages);
        if (has_role(m, "user")) user = m;
    }
    ts_buf_putc(&messages, ']');
    if (!user) {
        ts_buf_release(&messages);
        return ts_fail(err, TS_FORMAT, "the conversation has no user turn to answer");
    }
    const char *shown = ts_json_str(ts_json_get(user, "content"), "");
    push(c, shown, strlen(shown), &messages, reference ? ts_json_str(ts_json_get(last, "content"), NULL) : NULL,
         example);
    return TS_OK;
}

static ts_text text_of(const ts_json *row, const char *key) {
    const char *s = ts_json_str(ts_json_get(row, key), NULL);
    return (ts_text){s, s ? strlen(s) : 0};
}

/* The index that "answer" names; n: none. A text that is one of the choices is that one, else a letter counts. */
static size_t right_choice(const ts_json *answer, char *const *choices, size_t n) {
    int64_t index;
    if (ts_json_int(answer, 0, (int64_t)n - 1, &index)) return (size_t)index;
    const char *s = ts_json_str(answer, NULL);
    for (size_t i = 0; s && i < n; i++)
        if (strcmp(s, choices[i]) == 0) return i;
    if (!s || !s[0] || s[1]) return n;
    size_t letter = (size_t)(unsigned char)(*s | 0x20) - 'a';
    return letter < n && letter < 26 ? letter : n;
}

/* Logs of an API have a list of objects under this name, other rows null or nothing in it: those are no choices. */
static bool has_choices(const ts_json *row) {
    const ts_json *list = ts_json_get(row, "choices"), *first = ts_json_child(list);
    if (!list || ts_json_is_null(list) || (ts_json_is_array(list) && !first)) return false;
    return !ts_json_is_array(list) || !ts_json_is_object(first) || ts_json_get(row, "answer");
}

/* Multiple choice: the right one is the reference. */
static ts_status take_choices(ts_prompt *p, const ts_json *row, ts_err *err) {
    const ts_json *list = ts_json_get(row, "choices"), *answer = ts_json_get(row, "answer");
    size_t n = ts_json_count(list);
    if (!ts_json_is_array(list)) return ts_fail(err, TS_FORMAT, "\"choices\" is no list of texts");
    if (n < 2 || n > TS_CHOICES_MAX)
        return ts_fail(err, TS_FORMAT, "\"choices\" holds %zu, from 2 to %d texts are needed", n, TS_CHOICES_MAX);
    p->choices = ts_calloc(n, sizeof *p->choices);
    for (const ts_json *v = ts_json_child(list); v; v = ts_json_next(v)) {
        const char *s = ts_json_str(v, "");
        if (!*s)
            return ts_fail(err, TS_FORMAT, "choice %zu is %s; every choice is a text that is not empty",
                           p->n_choices + 1, ts_json_is_string(v) ? "empty" : "no text");
        p->choices[p->n_choices++] = ts_strdup(s);
    }
    p->right = right_choice(answer, p->choices, n);
    if (p->right < n) {
        free(p->reference);
        p->reference = ts_strdup(p->choices[p->right]);
        return TS_OK;
    }
    ts_buf found = TS_BUF_INIT;
    if (answer) ts_json_print(answer, &found);
    ts_status status = ts_fail(err, TS_FORMAT,
                               "\"answer\" is %.60s; it must be an index from 0 to %zu, the text of a choice or a "
                               "letter from A to %c",
                               answer ? ts_buf_str(&found) : "missing", n - 1, (int)('A' + n - 1));
    ts_buf_release(&found);
    return status;
}

static ts_status push_asked(ts_compare *c, const ts_json *row, ts_err *err) {
    const ts_json *messages = ts_json_is_array(row) ? row : ts_json_get(row, "messages");
    ts_text instruction = text_of(row, "instruction"), prompt = text_of(row, "prompt"),
            question = text_of(row, "question");
    if (ts_json_is_array(messages)) return push_messages(c, messages, 0, err);
    if (ts_json_is_array(ts_json_get(row, "prompt"))) return push_messages(c, ts_json_get(row, "prompt"), 0, err);
    if (instruction.n) {
        push_plain(c, text_of(row, "system"), instruction, text_of(row, "input"), text_of(row, "output").s, 0);
        return TS_OK;
    }
    if (prompt.n) {
        const char *reference = text_of(row, "completion").s;
        push_plain(c, text_of(row, "system"), prompt, (ts_text){NULL, 0},
                   reference ? reference : text_of(row, "reference").s, 0);
        return TS_OK;
    }
    if (question.n && has_choices(row)) {
        push_plain(c, text_of(row, "system"), question, (ts_text){NULL, 0}, NULL, 0);
        return TS_OK;
    }
    return ts_fail(err, TS_FORMAT, "there is neither \"messages\" nor \"instruction\" nor \"prompt\"");
}

static ts_status push_row(ts_compare *c, const ts_json *row, ts_err *err) {
    size_t before = c->n_prompts;
    TS_TRY(push_asked(c, row, err));
    if (c->n_prompts == before || !has_choices(row)) return TS_OK;
    return take_choices(&c->prompts[c->n_prompts - 1], row, err);
}

static bool is_full(const ts_compare *c, int64_t limit) {
    return limit > 0 && c->n_prompts >= (size_t)limit;
}

/* A document that is one array: of rows, or of the turns of a single conversation. */
static ts_status read_array(ts_compare *c, const char *path, const ts_json *root, int64_t limit, ts_err *err) {
    size_t number = 0;
    ts_status status = TS_OK;
    if (ts_json_get(ts_json_child(root), "role")) return push_messages(c, root, 0, err);
    for (const ts_json *v = ts_json_child(root); v && status == TS_OK && !is_full(c, limit); v = ts_json_next(v)) {
        number++;
        status = push_row(c, v, err);
        if (status != TS_OK) ts_wrap(err, status, "%s row %zu", path, number);
    }
    return status;
}

static ts_status read_line(ts_compare *c, const char *line, size_t n, bool json, ts_err *err) {
    if (!json) {
        push_plain(c, (ts_text){NULL, 0}, (ts_text){line, n}, (ts_text){NULL, 0}, NULL, 0);
        return TS_OK;
    }
    ts_json *row = ts_json_parse(line, n, err);
    if (!row) return TS_FORMAT;
    ts_status status = push_row(c, row, err);
    ts_json_free(row);
    return status;
}

static ts_status read_lines(ts_compare *c, const char *path, ts_buf *text, int64_t limit, ts_err *err) {
    size_t number = 0;
    char first = text->data[strspn(text->data, " \t\r\n")];
    bool json = first == '{' || first == '[';
    ts_status status = TS_OK;
    for (size_t at = 0; at < text->len && status == TS_OK && !is_full(c, limit);) {
        char *line = text->data + at, *end = memchr(line, '\n', text->len - at);
        size_t n = end ? (size_t)(end - line) : text->len - at;
        at += n + 1;
        number++;
        while (n && memchr(" \t\r", line[n - 1], 3))
            n--;
        line[n] = 0;
        if (strspn(line, " \t") >= n) continue;
        status = read_line(c, line, n, json, err);
        if (status != TS_OK) ts_wrap(err, status, "%s line %zu", path, number);
    }
    return status;
}

ts_status ts_prompts_read(ts_compare *c, const char *path, int64_t limit, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    size_t before = c->n_prompts;
    ts_status status = ts_file_read(path, MAX_PROMPT_FILE, &text, err);
    ts_json *root = status == TS_OK && text.len ? ts_json_parse(text.data, text.len, NULL) : NULL;
    if (ts_json_is_array(root))
        status = read_array(c, path, root, limit, err);
    else if (status == TS_OK && text.len)
        status = read_lines(c, path, &text, limit, err);
    ts_json_free(root);
    ts_buf_release(&text);
    if (status == TS_OK && c->n_prompts == before) status = ts_fail(err, TS_INVALID, "%s holds no prompts", path);
    return status;
}

static ts_status push_stored(ts_compare *c, const ts_row *row, ts_err *err) {
    if (!row->messages.s) {
        push_plain(c, row->system, row->instruction, row->input, row->output.s, row->id);
        return TS_OK;
    }
    ts_json *list = ts_json_parse(row->messages.s, row->messages.n, err);
    if (!list) return TS_FORMAT;
    ts_status status = push_messages(c, list, row->id, err);
    ts_json_free(list);
    return status;
}

ts_status ts_prompts_query(ts_compare *c, const char *ws, const char *where, int64_t limit, ts_err *err) {
    ts_store *st = NULL;
    ts_view *v = NULL;
    ts_row rows[ROWS_AT_ONCE];
    ts_arena arena = TS_ARENA_INIT;
    ts_status status = TS_OK;
    TS_GOTO(ts_store_open(&st, ws, "compare", err));
    TS_GOTO(ts_view_new(&v, st, where, NULL, NULL, NULL, err));
    size_t count = ts_view_count(v);
    if (limit > 0) count = TS_MIN(count, (size_t)limit);
    for (size_t at = 0; at < count; at += ROWS_AT_ONCE) {
        size_t piece = TS_MIN(count - at, (size_t)ROWS_AT_ONCE);
        ts_arena_reset(&arena);
        TS_GOTO(ts_rows_read(st, ts_view_ids(v) + at, piece, rows, &arena, err));
        for (size_t i = 0; i < piece; i++)
            if (!rows[i].gone) TS_GOTO(push_stored(c, &rows[i], err));
    }
out:
    ts_arena_release(&arena);
    ts_view_free(v);
    ts_store_close(st);
    return status;
}
