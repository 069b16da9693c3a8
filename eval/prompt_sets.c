#include "eval/prompt_sets.h"

#include "core/base/json.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LENGTH = 40, SET_MAX = 1 << 26 };
static const char ending[] = ".jsonl";

static char *folder_of(const char *ws) {
    return ts_path_join(ws, "prompts");
}

static bool good_name(const char *name) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t n = strlen(name);
    return n > 0 && n <= NAME_MAX_LENGTH && name[0] != '.' && name[0] != '-' && strspn(name, letters) == n;
}

static char *path_of(const char *ws, const char *name) {
    char *folder = folder_of(ws), *path = ts_printf("%s/%s%s", folder, name, ending);
    free(folder);
    return path;
}

ts_status ts_prompt_sets_list(const char *ws, ts_names *out, ts_err *err) {
    char *folder = folder_of(ws);
    size_t kept = 0;
    *out = (ts_names){0};
    ts_status status = ts_is_dir(folder) ? ts_dir_list(folder, out, err) : TS_OK;
    for (size_t i = 0; i < out->n; i++) {
        char *name = out->items[i];
        size_t n = strlen(name), end = sizeof ending - 1;
        bool is_set = n > end && strcmp(name + n - end, ending) == 0;
        if (is_set) name[n - end] = 0;
        if (is_set && good_name(name))
            out->items[kept++] = name;
        else
            free(name);
    }
    out->n = kept;
    free(folder);
    return status;
}

char *ts_prompt_set_file(const char *ws, const char *name) {
    char *path = good_name(name) ? path_of(ws, name) : NULL;
    if (path && ts_is_file(path)) return path;
    free(path);
    return NULL;
}

/* {"messages":[..]}, on one line whatever blanks stand between the messages; with choices also "choices":[..] and
 * "answer", which name the reference. */
static ts_status put_prompt(const ts_prompt_line *p, ts_buf *out, ts_err *err) {
    ts_json *list = ts_json_parse(p->messages, strlen(p->messages), err);
    bool first = true;
    if (!list) return TS_FORMAT;
    ts_jw w = ts_jw_to(out);
    ts_buf_puts(out, "{\"messages\":[");
    for (const ts_json *m = ts_json_child(list); m; m = ts_json_next(m), first = false) {
        if (!first) ts_buf_putc(out, ',');
        ts_json_print(m, out);
    }
    if (p->reference && !p->choices) {
        if (!first) ts_buf_putc(out, ',');
        ts_jw_obj(&w);
        ts_jw_kstr(&w, "role", "assistant");
        ts_jw_kstr(&w, "content", p->reference);
        ts_jw_end_obj(&w);
    }
    ts_buf_putc(out, ']');
    if (p->choices) ts_buf_printf(out, ",\"choices\":%s,\"answer\":%zu", p->choices, p->right);
    ts_buf_puts(out, "}\n");
    ts_json_free(list);
    return TS_OK;
}

/* Whether `line`, with its newline, is one of the lines of `text`. */
static bool stands_in(const ts_buf *text, const ts_buf *line) {
    for (const char *at = text->len ? text->data : NULL; at && (at = strstr(at, line->data)); at++)
        if (at == text->data || at[-1] == '\n') return true;
    return false;
}

static ts_status add_all(ts_buf *text, const ts_prompt_line *prompts, size_t n, size_t *added, ts_err *err) {
    ts_buf line = TS_BUF_INIT;
    ts_status status = TS_OK;
    for (size_t i = 0; i < n && status == TS_OK; i++) {
        ts_buf_reset(&line);
        status = put_prompt(&prompts[i], &line, err);
        if (status != TS_OK || stands_in(text, &line)) continue;
        ts_buf_add(text, line.data, line.len);
        ++*added;
    }
    ts_buf_release(&line);
    return status;
}

/* What is not JSON lines, but one array or plain text, a line of JSON more would make unreadable. */
static ts_status takes_lines(const char *path, const ts_buf *text, ts_err *err) {
    char first = text->len ? text->data[strspn(text->data, " \t\r\n")] : 0;
    if (!first || first == '{') return TS_OK;
    return ts_fail(err, TS_INVALID,
                   "%s is %s, so no prompt can be added to it; choose another name, or write it as JSON lines, one "
                   "{\"messages\":[..]} a line",
                   path, first == '[' ? "a JSON array" : "plain text");
}

ts_status ts_prompt_set_add(const char *ws, const char *name, const ts_prompt_line *prompts, size_t n, size_t *added,
                            ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    *added = 0;
    if (!good_name(name))
        return ts_fail(err, TS_INVALID,
                       "\"%.60s\" is no name for a set of prompts: letters, digits, '_', '.' and '-', %d at most", name,
                       NAME_MAX_LENGTH);
    char *folder = folder_of(ws), *path = path_of(ws, name);
    ts_status status = ts_mkdirs(folder, err);
    if (status == TS_OK && ts_is_file(path)) status = ts_file_read(path, SET_MAX, &text, err);
    if (status == TS_OK) status = takes_lines(path, &text, err);
    if (text.len && text.data[text.len - 1] != '\n') ts_buf_putc(&text, '\n');
    if (status == TS_OK) status = add_all(&text, prompts, n, added, err);
    if (status == TS_OK && *added) status = ts_file_write(path, text.data, text.len, err);
    ts_buf_release(&text);
    free(folder);
    free(path);
    return status;
}
