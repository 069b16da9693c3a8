#include "tui/row.h"

#include "core/base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

char ts_row_sign(ts_row_status s) {
    static const char signs[] = {[TS_NEW] = '.', [TS_ACCEPTED] = '+', [TS_REJECTED] = 'x', [TS_LATER] = '?'};
    return signs[s];
}

ts_role ts_row_role(ts_row_status s) {
    static const ts_role roles[] = {
        [TS_NEW] = TS_R_NEW, [TS_ACCEPTED] = TS_R_ACCEPTED, [TS_REJECTED] = TS_R_REJECTED, [TS_LATER] = TS_R_LATER};
    return roles[s];
}

const char *ts_thousands(int64_t n, char *out) {
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n), at = 0;
    for (int i = 0; i < len; i++) {
        out[at++] = digits[i];
        int left = len - 1 - i;
        if (left > 0 && left % 3 == 0 && digits[i] != '-') out[at++] = ',';
    }
    out[at] = 0;
    return out;
}

static void add_part(ts_row_part *out, size_t *n, const char *name, ts_field field, ts_text text) {
    out[(*n)++] = (ts_row_part){.name = name, .field = field, .text = text};
}

/* The text of a message's content: a string, or the text parts of an array of typed parts. */
static ts_text content_text(const ts_json *content, ts_arena *arena) {
    ts_buf b = TS_BUF_INIT;
    if (ts_json_is_string(content)) ts_buf_puts(&b, ts_json_str(content, ""));
    for (const ts_json *p = ts_json_is_array(content) ? ts_json_child(content) : NULL; p; p = ts_json_next(p))
        ts_buf_puts(&b, ts_json_str(ts_json_get(p, "text"), ts_json_str(ts_json_get(p, "value"), "")));
    ts_text t = {ts_arena_strndup(arena, ts_buf_str(&b), b.len), b.len};
    ts_buf_release(&b);
    return t;
}

ts_text ts_row_talk(const char *messages, size_t n, ts_arena *arena) {
    ts_buf out = TS_BUF_INIT;
    ts_json *root = ts_json_parse(messages, n, NULL);
    for (const ts_json *m = ts_json_child(root); m; m = ts_json_next(m)) {
        ts_text t = content_text(ts_json_get(m, "content"), arena);
        ts_buf_printf(&out, "%s%s: ", out.len ? "\n\n" : "", ts_json_str(ts_json_get(m, "role"), "?"));
        ts_buf_add(&out, t.s, t.n);
    }
    ts_json_free(root);
    ts_text text = {ts_arena_strndup(arena, ts_buf_str(&out), out.len), out.len};
    ts_buf_release(&out);
    return text;
}

/* The only turn of its role can be edited by itself, which leaves the rest of the array as it was written. */
static void name_single_turn(ts_row_part *parts, size_t n, size_t at) {
    static const struct {
        const char *role;
        ts_field field;
    } fields[] = {{"system", TS_SYSTEM}, {"user", TS_INSTRUCTION}, {"assistant", TS_OUTPUT}};
    for (size_t i = 0; i < n; i++)
        if (i != at && strcmp(parts[i].name, parts[at].name) == 0) return;
    for (size_t i = 0; i < TS_COUNT(fields); i++)
        if (strcmp(parts[at].name, fields[i].role) == 0) parts[at].field = fields[i].field;
}

static size_t message_parts(const ts_row *row, ts_row_part *out, bool *more, ts_arena *arena) {
    size_t n = 0, turn = 0;
    ts_json *root = ts_json_parse(row->messages.s, row->messages.n, NULL);
    for (const ts_json *m = ts_json_child(root); m; m = ts_json_next(m), turn++) {
        if (n == TS_PARTS_MAX) {
            *more = true;
            break;
        }
        const char *role = ts_json_str(ts_json_get(m, "role"), "?");
        add_part(out, &n, ts_arena_strndup(arena, role, strlen(role)), TS_FIELDS,
                 content_text(ts_json_get(m, "content"), arena));
        out[n - 1].turn = turn;
    }
    ts_json_free(root);
    for (size_t i = 0; i < n && !*more; i++)
        name_single_turn(out, n, i);
    return n;
}

size_t ts_row_parts(const ts_row *row, ts_row_part *out, bool *more, ts_arena *arena) {
    size_t n = 0;
    *more = false;
    if (row->shape == TS_MESSAGES && row->messages.s) return message_parts(row, out, more, arena);
    if (row->system.s) add_part(out, &n, "system", TS_SYSTEM, row->system);
    add_part(out, &n, "instruction", TS_INSTRUCTION, row->instruction);
    add_part(out, &n, "input", TS_INPUT, row->input);
    add_part(out, &n, "output", TS_OUTPUT, row->output);
    return n;
}

void ts_row_title(const ts_row *row, char *out, size_t n) {
    char id[32], rating[24] = "", score[24] = "", tokens[48] = "", number[32];
    if (row->rating) snprintf(rating, sizeof rating, "  rated %d", row->rating);
    if (!isnan(row->score)) snprintf(score, sizeof score, "  score %.2f", row->score);
    if (row->tokens >= 0) snprintf(tokens, sizeof tokens, "  %s tokens", ts_thousands(row->tokens, number));
    snprintf(out, n, "#%s  %s%s%s%s%s%.80s", ts_thousands(row->id, id), ts_row_status_name(row->status), rating, score,
             tokens, *row->tags ? "  tags: " : "", row->tags);
}

static void rule_line(ts_doc *d, const ts_rule_value *r) {
    char bar[21];
    int filled = (int)lround(r->value * 20);
    memset(bar, '-', 20);
    memset(bar, '#', (size_t)TS_MAX(0, TS_MIN(filled, 20)));
    bar[20] = 0;
    ts_doc_linef(d, 2, r->dismissed ? TS_R_DIM : TS_R_TEXT, "%-18s %.2f  %s%s", r->rule, r->value, bar,
                 r->dismissed ? "  (dismissed)" : "");
}

void ts_row_page(ts_doc *d, const ts_row *row, const ts_rule_value *rules, size_t n_rules) {
    ts_row_part parts[TS_PARTS_MAX];
    bool more;
    size_t n = ts_row_parts(row, parts, &more, d->arena);
    for (size_t i = 0; i < n; i++) {
        bool optional = parts[i].field == TS_INPUT && parts[i].text.n == 0;
        if (optional) continue;
        ts_doc_line_put(d, 0, TS_R_LABEL, parts[i].name);
        if (parts[i].text.n)
            ts_doc_text(d, 2, TS_R_TEXT, parts[i].text.s, parts[i].text.n, NULL, TS_R_TEXT);
        else
            ts_doc_line_put(d, 2, TS_R_DIM, "(empty)");
        ts_doc_blank(d);
    }
    if (more) ts_doc_line_put(d, 0, TS_R_DIM, "(more turns than can be shown here)");
    if (n_rules) ts_doc_line_put(d, 0, TS_R_LABEL, "findings");
    for (size_t i = 0; i < n_rules; i++)
        rule_line(d, &rules[i]);
    if (n_rules) ts_doc_blank(d);
    if (row->dup) ts_doc_linef(d, 0, TS_R_WARN, "= one of duplicate group %lld", (long long)row->dup);
    ts_doc_linef(d, 0, TS_R_DIM, "from %s", row->origin ? row->origin : "?");
    if (row->extra.n) {
        ts_doc_blank(d);
        ts_doc_line_put(d, 0, TS_R_LABEL, "other members");
        ts_doc_text(d, 2, TS_R_DIM, row->extra.s, row->extra.n, NULL, TS_R_DIM);
    }
}
